//! Pictures in folders: what counts as one, how it is scaled, and what happens to broken ones.

use std::fs;
use std::path::Path;

use candle_core::Tensor;
use gleaner::Error;
use gleaner::data::{ImageFolder, ImageFolderOptions, Malformed, Source};
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

/// A different colour for every pixel, row and channel; nothing is symmetric.
fn numbered(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(10 * y + x) as u8, (100 + 10 * y + x) as u8, 7]))
}

fn plain(width: u32, height: u32, colour: u8) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb([colour; 3]))
}

fn save(root: &TempDir, path: &str, picture: &RgbImage) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

/// Bytes as they are: input = byte / 255.
fn options(resize: usize, size: usize) -> ImageFolderOptions {
    ImageFolderOptions { resize, size, mean: [0.0; 3], std: [1.0; 3], ..Default::default() }
}

fn bytes(inputs: &Tensor) -> Vec<f32> {
    (inputs.flatten_all().unwrap() * 255.0).unwrap().to_vec1().unwrap()
}

fn close(got: &[f32], expected: &[f32], tolerance: f32) -> bool {
    got.len() == expected.len()
        && got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() <= tolerance)
}

fn names(folder: &ImageFolder) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    folder.paths().iter().map(name).collect()
}

#[test]
fn pixels_become_planes_and_nothing_is_transposed() {
    let root = TempDir::new().unwrap();
    save(&root, "a/wide.png", &numbered(6, 4));
    save(&root, "a/tall.png", &numbered(2, 4));
    let folder = ImageFolder::open(root.path(), &options(4, 4)).unwrap();
    assert_eq!(names(&folder), ["tall.png", "wide.png"]);
    // Height 4 stays, columns 1 to 4 of 6 are the middle.
    let inputs = folder.inputs_at(&[1]).unwrap();
    assert_eq!(inputs.dims(), [1, 3, 4, 4]);
    let plane = |base: f32| (0..16u8).map(move |k| base + f32::from(10 * (k / 4) + k % 4 + 1));
    let expected: Vec<f32> = plane(0.0).chain(plane(100.0)).chain([7.0; 16]).collect();
    assert!(close(&bytes(&inputs), &expected, 1e-4), "{:?}", bytes(&inputs));
    // Width 2 stays, rows 1 and 2 of 4 are the middle.
    let folder = ImageFolder::open(root.path(), &options(2, 2)).unwrap();
    let inputs = folder.inputs_at(&[0]).unwrap();
    let expected = [10., 11., 20., 21., 110., 111., 120., 121., 7., 7., 7., 7.];
    assert!(close(&bytes(&inputs), &expected, 1e-4), "{:?}", bytes(&inputs));
}

#[test]
fn the_middle_of_the_scaled_picture_is_cut_out() {
    // 80 × 40, columns brightening by 3 a pixel from left to right. Resized to 40 × 20, then 10 × 10
    // from the middle: source columns 30 to 49, two at a time.
    let root = TempDir::new().unwrap();
    let ramp = RgbImage::from_fn(80, 40, |x, y| Rgb([3 * x as u8, 6 * y as u8, 50]));
    save(&root, "a/ramp.png", &ramp);
    let folder = ImageFolder::open(root.path(), &options(20, 10)).unwrap();
    let inputs = folder.inputs_at(&[0]).unwrap();
    let got = bytes(&inputs);
    for row in 1..9u8 {
        for column in 1..9u8 {
            let at = usize::from(row) * 10 + usize::from(column);
            // The middle of pixel k of the result is at 30 + 2 k + 1 in pixels of the source, whose
            // pixel j has its middle at j + 1/2. (The outermost pixels see one side only.)
            let red = 3.0 * (30.5 + 2.0 * f32::from(column));
            let green = 6.0 * (10.5 + 2.0 * f32::from(row));
            assert!((got[at] - red).abs() < 0.75, "{row} {column}: {} for {red}", got[at]);
            assert!((got[100 + at] - green).abs() < 0.75, "{row} {column}: {}", got[100 + at]);
            assert!((got[200 + at] - 50.0).abs() < 0.01);
        }
    }
}

#[test]
fn channels_are_normalised_apart() {
    let root = TempDir::new().unwrap();
    save(&root, "a/x.png", &RgbImage::from_pixel(3, 3, Rgb([0, 51, 255])));
    let defaults = ImageFolderOptions::default();
    assert_eq!((defaults.resize, defaults.size), (256, 224));
    let small = ImageFolderOptions { resize: 1, size: 1, ..defaults };
    let folder = ImageFolder::open(root.path(), &small).unwrap();
    let got = folder.inputs_at(&[0]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let expected = [-0.485 / 0.229, (0.2 - 0.456) / 0.224, (1.0 - 0.406) / 0.225];
    assert!(close(&got, &expected, 1e-5), "{got:?}");
}

#[test]
fn classes_are_sorted_folders_and_only_pictures_count() {
    let root = TempDir::new().unwrap();
    for path in ["b/2.PNG", "b/1.jpg", "b/deep/er/0.bmp", "a/x.gif", "a/y.webp", "c d/z.jpeg"] {
        save(&root, path, &plain(5, 4, 90));
    }
    save(&root, "loose.png", &plain(5, 4, 90));
    save(&root, ".hidden/1.png", &plain(5, 4, 90));
    save(&root, "b/.1.png", &plain(5, 4, 90));
    fs::write(root.path().join("b/readme.txt"), "no picture").unwrap();
    fs::write(root.path().join("b/png"), "no picture").unwrap();
    fs::create_dir(root.path().join("empty")).unwrap();

    let folder = ImageFolder::open(root.path(), &options(4, 4)).unwrap();
    assert_eq!(folder.class_names(), ["a", "b", "c d", "empty"]);
    assert_eq!(names(&folder), ["x.gif", "y.webp", "1.jpg", "2.PNG", "0.bmp", "z.jpeg"]);
    assert_eq!(folder.labels(), [0, 0, 1, 1, 1, 2]);
    assert_eq!((folder.points(), folder.classes()), (6, 4));
    let batch = folder.batch_at(&[5, 0, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), [2, 0, 0, 1, 1, 1, 2]);
    // Every format says the same, the lossy one nearly.
    let got = bytes(&batch.inputs);
    assert!(got.iter().all(|byte| (byte - 90.0).abs() < 2.5), "{got:?}");

    let limit = ImageFolderOptions { limit: Some(1), ..options(4, 4) };
    let limited = ImageFolder::open(root.path(), &limit).unwrap();
    assert_eq!(names(&limited), ["x.gif", "1.jpg", "z.jpeg"]);
    assert_eq!(limited.classes(), 4);
}

#[test]
fn the_content_decides_about_the_format() {
    let root = TempDir::new().unwrap();
    save(&root, "a/x.png", &numbered(4, 4));
    fs::rename(root.path().join("a/x.png"), root.path().join("a/x.JPEG")).unwrap();
    let folder = ImageFolder::open(root.path(), &options(4, 4)).unwrap();
    assert!((bytes(&folder.inputs_at(&[0]).unwrap())[5] - 11.0).abs() < 1e-4);
}

#[test]
fn grey_and_transparent_pictures_become_three_channels() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    let grey = image::GrayImage::from_pixel(2, 2, image::Luma([80]));
    grey.save(root.path().join("a/grey.png")).unwrap();
    let clear = image::RgbaImage::from_pixel(2, 2, image::Rgba([1, 2, 3, 0]));
    clear.save(root.path().join("a/clear.png")).unwrap();
    let folder = ImageFolder::open(root.path(), &options(1, 1)).unwrap();
    let got = bytes(&folder.inputs_at(&[0, 1]).unwrap());
    assert!(close(&got, &[1., 2., 3., 80., 80., 80.], 1e-4), "{got:?}");
}

#[test]
fn numbers_of_classes_can_be_those_of_another_folder() {
    let root = TempDir::new().unwrap();
    save(&root, "cat/1.png", &plain(2, 2, 0));
    save(&root, "dog/1.png", &plain(2, 2, 0));
    let with = |names: &[&str]| {
        let class_names = Some(names.iter().map(|name| name.to_string()).collect());
        ImageFolder::open(root.path(), &ImageFolderOptions { class_names, ..options(2, 2) })
    };
    let folder = with(&["ape", "dog", "cat"]).unwrap();
    assert_eq!(folder.labels(), [2, 1]);
    assert_eq!(folder.classes(), 3);
    let error = with(&["ape", "cat"]).unwrap_err();
    assert!(error.to_string().contains("dog"), "{error}");
}

/// `a/1.png` whole; `a/2.jpg` cut short, `a/3.png` cut short, `b/4.png` no picture, `b/5.jpg` empty.
fn damaged() -> TempDir {
    let root = TempDir::new().unwrap();
    save(&root, "a/1.png", &numbered(8, 8));
    save(&root, "a/2.jpg", &numbered(64, 64));
    save(&root, "a/3.png", &numbered(8, 8));
    save(&root, "b/4.png", &numbered(8, 8));
    for (name, kept) in [("a/2.jpg", 0.8), ("a/3.png", 0.8)] {
        let path = root.path().join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(path, &whole[..(kept * whole.len() as f64) as usize]).unwrap();
    }
    fs::write(root.path().join("b/4.png"), "no picture at all").unwrap();
    fs::write(root.path().join("b/5.jpg"), "").unwrap();
    root
}

#[test]
fn a_picture_that_cannot_be_read_is_an_error_with_its_path() {
    let root = damaged();
    let folder = ImageFolder::open(root.path(), &options(8, 8)).unwrap();
    assert_eq!(folder.points(), 5);
    assert!(folder.skipped().is_empty());
    assert_eq!(folder.inputs_at(&[0]).unwrap().dims(), [1, 3, 8, 8]);
    for (point, name) in [(1, "2.jpg"), (2, "3.png"), (3, "4.png"), (4, "5.jpg")] {
        let error = folder.inputs_at(&[0, point, 4]).unwrap_err();
        let file = matches!(&error, Error::File { path, .. } if path.ends_with(name));
        assert!(file, "{name}: {error}");
    }
    fs::remove_file(root.path().join("a/1.png")).unwrap();
    assert!(matches!(folder.inputs_at(&[0]).unwrap_err(), Error::Io { .. }));
}

#[test]
fn unreadable_pictures_can_be_left_out_when_opening() {
    let root = damaged();
    let skip = ImageFolderOptions { malformed: Malformed::Skip, ..options(8, 8) };
    let folder = ImageFolder::open(root.path(), &skip).unwrap();
    assert_eq!((names(&folder), folder.labels()), (vec!["1.png".to_owned()], &[0][..]));
    assert_eq!(folder.skipped().len(), 4);
    assert_eq!(folder.classes(), 2);
    fs::remove_file(root.path().join("a/1.png")).unwrap();
    let error = ImageFolder::open(root.path(), &skip).unwrap_err();
    assert!(error.to_string().contains("4 unreadable"), "{error}");
}

#[test]
fn a_truncated_jpeg_is_noticed_wherever_it_ends() {
    let root = TempDir::new().unwrap();
    save(&root, "a/x.jpg", &numbered(24, 24));
    let path = root.path().join("a/x.jpg");
    let whole = fs::read(&path).unwrap();
    let folder = ImageFolder::open(root.path(), &options(8, 8)).unwrap();
    assert!(folder.inputs_at(&[0]).is_ok());
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(folder.inputs_at(&[0]).is_err(), "{length} of {} bytes", whole.len());
    }
    // Something behind the end is no fault.
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(folder.inputs_at(&[0]).is_ok());
}

#[test]
fn changed_bytes_give_errors_or_pictures_never_a_panic() {
    let root = TempDir::new().unwrap();
    for format in
        [ImageFormat::Png, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Jpeg]
    {
        let extension = format.extensions_str()[0];
        save(&root, &format!("a/x.{extension}"), &numbered(12, 9));
        let path = root.path().join(format!("a/x.{extension}"));
        let whole = fs::read(&path).unwrap();
        let folder = ImageFolder::open(root.path(), &options(8, 8)).unwrap();
        for at in 0..whole.len().min(250) {
            for value in [0, 0xFF] {
                let mut changed = whole.clone();
                changed[at] = value;
                fs::write(&path, changed).unwrap();
                // Whether it can still be read is up to the decoder; it must say so.
                let _ = folder.inputs_at(&[0]);
            }
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn folders_that_are_not_there_or_empty_are_refused() {
    let root = TempDir::new().unwrap();
    let open = |path: &Path| ImageFolder::open(path, &options(4, 4)).unwrap_err();
    let none = open(root.path());
    assert!(none.to_string().contains("no folder"), "{none}");
    assert!(matches!(open(&root.path().join("nowhere")), Error::Io { .. }));
    fs::create_dir(root.path().join("a")).unwrap();
    let empty = open(root.path());
    assert!(matches!(empty, Error::File { .. }), "{empty}");
    fs::write(root.path().join("file"), "").unwrap();
    assert!(matches!(open(&root.path().join("file")), Error::Io { .. }));
}

#[test]
fn options_are_checked_at_the_door() {
    let root = TempDir::new().unwrap();
    save(&root, "a/1.png", &plain(2, 2, 0));
    let refused = [
        options(4, 0),
        options(3, 4),
        options(1 << 17, 1 << 16),
        ImageFolderOptions { limit: Some(0), ..options(2, 2) },
        ImageFolderOptions { std: [1.0, 0.0, 1.0], ..options(2, 2) },
        ImageFolderOptions { std: [1.0, 1.0, f32::INFINITY], ..options(2, 2) },
        ImageFolderOptions { mean: [f32::NAN, 0.0, 0.0], ..options(2, 2) },
    ];
    for options in refused {
        let error = ImageFolder::open(root.path(), &options).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{options:?}: {error}");
    }
    let folder = ImageFolder::open(root.path(), &options(2, 2)).unwrap();
    assert!(matches!(folder.inputs_at(&[]).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(folder.inputs_at(&[1]).unwrap_err(), Error::OutOfRange { .. }));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let root = TempDir::new().unwrap();
    for k in 0..9u8 {
        save(&root, &format!("a/{k}.jpg"), &numbered(20 + u32::from(k), 17));
    }
    let folder = ImageFolder::open(root.path(), &options(9, 8)).unwrap();
    let all: Vec<usize> = (0..9).rev().collect();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        bytes(&pool.install(|| folder.inputs_at(&all)).unwrap())
    };
    assert_eq!(with(1), with(4));
}

#[cfg(unix)]
#[test]
fn links_are_followed_except_to_folders_inside_a_class() {
    let (root, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    save(&elsewhere, "dogs/1.png", &plain(2, 2, 0));
    save(&root, "cat/1.png", &plain(2, 2, 0));
    let link = |to: &Path, at: &str| std::os::unix::fs::symlink(to, root.path().join(at)).unwrap();
    link(&elsewhere.path().join("dogs"), "dog");
    link(&elsewhere.path().join("dogs/1.png"), "cat/2.png");
    link(root.path(), "cat/round");
    link(Path::new("nowhere"), "cat/3.png");
    let folder = ImageFolder::open(root.path(), &options(2, 2)).unwrap();
    assert_eq!(folder.class_names(), ["cat", "dog"]);
    assert_eq!(names(&folder), ["1.png", "2.png", "3.png", "1.png"]);
    assert!(folder.inputs_at(&[0, 1, 3]).is_ok());
    assert!(matches!(folder.inputs_at(&[2]).unwrap_err(), Error::Io { .. }));
}
