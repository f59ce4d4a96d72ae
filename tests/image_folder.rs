//! Pictures in folders: what counts as one, how it is scaled, and what happens to broken ones.

use std::fs;
use std::io::Write;
use std::path::Path;

use candle_core::Tensor;
use gleaner::Error;
use gleaner::data::{ImageFolder, ImageFolderOptions, Malformed, Source};
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{
    ExtendedColorType, GrayImage, ImageBuffer, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage,
};
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
fn sixteen_bits_become_the_nearest_eight() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    let at = |name: &str| root.path().join("a").join(name);
    let grey = ImageBuffer::from_pixel(8, 8, image::Luma([40_000u16]));
    grey.save(at("1.png")).unwrap();
    let pale = ImageBuffer::from_pixel(8, 8, image::LumaA([40_000u16, 9]));
    image::DynamicImage::from(pale).save(at("2.png")).unwrap();
    let colour = ImageBuffer::from_pixel(8, 8, Rgb([40_000u16, 10_000, 60_000]));
    image::DynamicImage::from(colour).save(at("3.png")).unwrap();
    let folder = ImageFolder::open(root.path(), &options(1, 1)).unwrap();
    // Of 65,535 to of 255: divided by 257.
    let [grey, red, green, blue] =
        [40_000f32, 40_000., 10_000., 60_000.].map(|x| (x / 257.).round());
    let expected = [grey, grey, grey, grey, grey, grey, red, green, blue];
    let got = bytes(&folder.inputs_at(&[0, 1, 2]).unwrap());
    assert!(close(&got, &expected, 1e-3), "{got:?}");
}

/// A PNG of 2 × 2 pixels of a palette, the second of its two colours, optionally with transparency.
fn palette(transparent: bool) -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let named = [name, data].concat();
        let mut sum = flate2::Crc::new();
        sum.update(&named);
        [&(data.len() as u32).to_be_bytes(), &named[..], &sum.sum().to_be_bytes()].concat()
    };
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&[0, 1, 1, 0, 1, 1]).unwrap(); // two rows, each with its filter, none
    let packed = packed.finish().unwrap();
    let size = [0, 0, 0, 2, 0, 0, 0, 2, 8, 3, 0, 0, 0]; // 8 bits a pixel, by palette
    let mut png = b"\x89PNG\r\n\x1A\n".to_vec();
    png.extend(chunk(b"IHDR", &size));
    png.extend(chunk(b"PLTE", &[9, 9, 9, 200, 30, 60]));
    if transparent {
        png.extend(chunk(b"tRNS", &[255, 0]));
    }
    png.extend(chunk(b"IDAT", &packed));
    png.extend(chunk(b"IEND", b""));
    png
}

/// 8 × 8 pixels of red 200, green 30, blue 60 as CMYK and as a progressive JPEG, by Pillow.
const CMYK: &str = "ffd8ffee000e41646f626500640000000000ffdb0043000101010101010101010101010101010101010101010101\
    0101010101010101010101010101010101010101010101010101010101010101010101010101010101ffc0001408\
    00100010044311004d11005911004b1100ffc4001f00000105010101010101000000000000000001020304050607\
    08090a0bffc400b5100002010303020403050504040000017d010203000411051221314106135161072271143281\
    91a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a5354\
    55565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8\
    a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7\
    f8f9faffda000e0443004d0059004b00003f00fe902bf8efafe77ebfbf8a28a28a28a28a28a28affd9";
const PROGRESSIVE: &str = "ffd8ffe000104a46494600010100000100010000ffdb004300010101010101010101010101010101010101010101\
    01010101010101010101010101010101010101010101010101010101010101010101010101010101010101ffdb00\
    43010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101\
    0101010101010101010101010101010101010101ffc20011080010001003011100021101031101ffc40015000101\
    00000000000000000000000000000008ffc400160101010100000000000000000000000000000609ffda000c0301\
    000210031000000193e1f53001ffc40014100100000000000000000000000000000020ffda00080101000105021f\
    ffc40014110100000000000000000000000000000020ffda0008010301013f011fffc40014110100000000000000\
    000000000000000020ffda0008010201013f011fffc40014100100000000000000000000000000000020ffda0008\
    010100063f021fffc40014100100000000000000000000000000000020ffda0008010100013f211fffda000c0301\
    0002000300000010000fffc40014110100000000000000000000000000000020ffda0008010301013f101fffc400\
    14110100000000000000000000000000000020ffda0008010201013f101fffc40014100100000000000000000000\
    000000000020ffda0008010100013f101fffd9";

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn one_colour_is_the_same_in_every_form() {
    let root = TempDir::new().unwrap();
    let colour = RgbImage::from_pixel(8, 8, Rgb([200, 30, 60]));
    for name in ["rgb.png", "rgb.bmp", "rgb.gif", "rgb.webp", "rgb.jpg"] {
        save(&root, &format!("a/{name}"), &colour);
    }
    let put =
        |name: &str, bytes: &[u8]| fs::write(root.path().join("a").join(name), bytes).unwrap();
    let read = |name: &str| fs::read(root.path().join("a").join(name)).unwrap();
    put("cmyk.jpg", &from_hex(CMYK));
    put("progressive.jpg", &from_hex(PROGRESSIVE));
    put("palette.png", &palette(false));
    put("palette_transparent.png", &palette(true));
    put("png_named.jpeg", &read("rgb.png"));
    put("trailing.jpg", &[&read("rgb.jpg")[..], b"something else"].concat());
    let folder = ImageFolder::open(root.path(), &options(1, 1)).unwrap();
    assert_eq!(folder.points(), 11);
    for (k, name) in names(&folder).iter().enumerate() {
        let got = bytes(&folder.inputs_at(&[k]).unwrap());
        // Lossy formats may be off by a little.
        let tolerance = if name.ends_with("jpg") { 1.0 } else { 1e-3 };
        assert!(close(&got, &[200.0, 30.0, 60.0], tolerance), "{name}: {got:?}");
    }
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    let grey = GrayImage::from_pixel(8, 8, Luma([77]));
    for name in ["grey.jpg", "grey.png"] {
        grey.save(root.path().join("a").join(name)).unwrap();
    }
    let folder = ImageFolder::open(root.path(), &options(1, 1)).unwrap();
    for k in 0..2 {
        assert!(close(&bytes(&folder.inputs_at(&[k]).unwrap()), &[77.0; 3], 1.0));
    }
}

/// An Exif note that says how a picture is to be turned, 1 to 8.
fn exif(orientation: u8, big_endian: bool) -> Vec<u8> {
    let mut note = match big_endian {
        true => b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec(),
        false => b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec(),
    };
    note.push(orientation);
    note.extend([0; 6]);
    note.extend((!big_endian).then_some(0));
    note
}

#[test]
fn pictures_are_turned_as_the_camera_noted() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    // Rows of the picture as it is to be looked at, for the stored rows 1 2 3 and 4 5 6, in the words
    // of the Exif standard.
    let cases: [(u8, &str, &[u8]); 8] = [
        (1, "row 0 is the top, column 0 the left", &[1, 2, 3, 4, 5, 6]),
        (2, "row 0 is the top, column 0 the right", &[3, 2, 1, 6, 5, 4]),
        (3, "row 0 is the bottom, column 0 the right", &[6, 5, 4, 3, 2, 1]),
        (4, "row 0 is the bottom, column 0 the left", &[4, 5, 6, 1, 2, 3]),
        (5, "row 0 is the left, column 0 the top", &[1, 4, 2, 5, 3, 6]),
        (6, "row 0 is the right, column 0 the top", &[4, 1, 5, 2, 6, 3]),
        (7, "row 0 is the right, column 0 the bottom", &[6, 3, 5, 2, 4, 1]),
        (8, "row 0 is the left, column 0 the bottom", &[3, 6, 2, 5, 1, 4]),
    ];
    // Each of the six is a square of 8 × 8 pixels, which a JPEG keeps apart.
    let stored = RgbImage::from_fn(24, 16, |x, y| Rgb([30 * (1 + x / 8 + 3 * (y / 8)) as u8; 3]));
    type Encode = fn(&mut Vec<u8>, &RgbImage, Vec<u8>);
    fn encode(mut encoder: impl ImageEncoder, picture: &RgbImage, exif: Vec<u8>) {
        encoder.set_exif_metadata(exif).unwrap();
        let (width, height) = picture.dimensions();
        encoder.write_image(picture, width, height, ExtendedColorType::Rgb8).unwrap();
    }
    let formats: [(&str, Encode); 3] = [
        ("png", |to, picture, exif| encode(PngEncoder::new(to), picture, exif)),
        ("webp", |to, picture, exif| encode(WebPEncoder::new_lossless(to), picture, exif)),
        ("jpg", |to, picture, exif| encode(JpegEncoder::new_with_quality(to, 100), picture, exif)),
    ];
    for (extension, encode) in formats {
        for (orientation, what, expected) in cases {
            let path = root.path().join(format!("a/x.{extension}"));
            let mut file = Vec::new();
            encode(&mut file, &stored, exif(orientation, orientation % 2 == 0));
            fs::write(&path, file).unwrap();
            let shown = |upright, columns: usize| {
                let options = ImageFolderOptions { upright, ..options(16, 16) };
                let folder = ImageFolder::open(root.path(), &options).unwrap();
                let got = bytes(&folder.inputs_at(&[0]).unwrap());
                // Of three squares side by side (or one below the other) the middle 16 pixels are cut
                // out: a half, a whole one, a half. Read in the middle of each that is there.
                let centres: [(usize, usize); 6] = match columns {
                    3 => [(4, 1), (4, 8), (4, 14), (12, 1), (12, 8), (12, 14)],
                    _ => [(1, 4), (1, 12), (8, 4), (8, 12), (14, 4), (14, 12)],
                };
                centres.map(|(y, x)| (got[16 * y + x] / 30.0).round() as u8)
            };
            let columns = if orientation < 5 { 3 } else { 2 };
            assert_eq!(shown(true, columns), expected, "{extension} {orientation}: {what}");
            assert_eq!(shown(false, 3), cases[0].2, "{extension} {orientation} as it is stored");
            fs::remove_file(path).unwrap();
        }
    }
    // A note that makes no sense turns nothing and is no fault.
    for note in [exif(9, true), exif(0, false), b"MM\0*\xFF\xFF\xFF\xFF".to_vec(), Vec::new()] {
        let mut file = Vec::new();
        encode(PngEncoder::new(&mut file), &stored, note);
        fs::write(root.path().join("a/x.png"), file).unwrap();
        let folder = ImageFolder::open(root.path(), &options(16, 16)).unwrap();
        let got = bytes(&folder.inputs_at(&[0]).unwrap());
        assert!(close(&got[64..66], &[30.0, 30.0], 1e-3), "{got:?}");
    }
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
fn what_is_no_picture_is_refused_by_name_and_left_out_by_name() {
    let root = TempDir::new().unwrap();
    save(&root, "a/good.jpg", &numbered(16, 16));
    save(&root, "a/good.png", &numbered(8, 8));
    let put =
        |name: &str, bytes: &[u8]| fs::write(root.path().join("a").join(name), bytes).unwrap();
    let read = |name: &str| fs::read(root.path().join("a").join(name)).unwrap();
    let (jpeg, png) = (read("good.jpg"), read("good.png"));
    let checksum = png.len() - 12 - 4; // of the pixels; the last chunk has 12 bytes
    let mut wrong = png.clone();
    wrong[checksum] ^= 1;
    let cases: [(&str, &[u8]); 8] = [
        ("checksum.png", &wrong),
        ("empty.jpg", b""),
        ("half.jpg", &jpeg[..jpeg.len() / 2]),
        ("half.png", &png[..png.len() / 2]),
        ("heic.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("no_end.jpg", &jpeg[..jpeg.len() - 2]),
        ("page.jpg", b"<html>404</html>"),
        ("text.png", b"not found"),
    ];
    cases.iter().for_each(|(name, bytes)| put(name, bytes));
    let folder = ImageFolder::open(root.path(), &options(8, 8)).unwrap();
    for (name, _) in cases {
        let point = names(&folder).iter().position(|other| other == name).unwrap();
        let error = folder.inputs_at(&[point]).unwrap_err();
        let named = matches!(&error, Error::File { path, .. } if path.ends_with(name));
        assert!(named, "{name}: {error}");
    }
    let skip = ImageFolderOptions { malformed: Malformed::Skip, ..options(8, 8) };
    let folder = ImageFolder::open(root.path(), &skip).unwrap();
    assert_eq!(names(&folder), ["good.jpg", "good.png"]);
    let skipped: Vec<&str> =
        folder.skipped().iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(skipped, cases.map(|(name, _)| name));
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
