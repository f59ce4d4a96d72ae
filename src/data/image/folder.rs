//! Pictures in folders, one folder a class, decoded when they are asked for.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use rayon::prelude::*;

use crate::data::Malformed;
use crate::data::image::picture::{CHANNELS, Normaliser, decode};
use crate::data::source::{Source, check_indices};
use crate::error::{Error, Result};

/// File names that count as pictures, by what follows the last dot, in small letters.
const EXTENSIONS: [&str; 6] = ["bmp", "gif", "jpeg", "jpg", "png", "webp"];

/// How [`ImageFolder`] reads. The default is the usual evaluation form of ImageNet.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFolderOptions {
    /// Length in pixels to which the shorter side is brought, at least `size`.
    pub resize: usize,
    /// Side in pixels of the square cut out of the middle of that, at least 1.
    pub size: usize,
    /// Mean of each channel (red, green, blue), pixels in [0, 1]; taken off.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, positive; divided by.
    pub std: [f32; 3],
    /// At most this many files of each class, at least 1: the first ones by path. Files are counted
    /// before unreadable ones are left out.
    pub limit: Option<usize>,
    /// Names of the classes in the order of their numbers, for example those of the training
    /// folder: then a class folder may be missing, and any other folder is refused. `None`: the
    /// folders, sorted by name.
    pub class_names: Option<Vec<String>>,
    /// What becomes of a picture that cannot be read.
    pub malformed: Malformed,
    /// Turn pictures as the camera noted (Exif), before anything else. On unless set.
    pub upright: bool,
}

impl Default for ImageFolderOptions {
    fn default() -> Self {
        Self {
            resize: 256,
            size: 224,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            limit: None,
            class_names: None,
            malformed: Malformed::default(),
            upright: true,
        }
    }
}

/// Pictures in folders, one folder a class, as ImageNet comes: `root/CLASS/…/NAME.jpg`.
///
/// Paths and labels are in memory; pictures are decoded when asked for, many at a time in parallel.
/// An input has shape (3, `size`, `size`):
///
/// ```text
/// side    = size / resize × shorter side of the picture          the square in its middle
/// input   = (square scaled to size × size / 255 - mean) / std    channel by channel
/// ```
///
/// Scaling averages with a triangle as wide as the step (bilinear, anti-aliased). This is resizing
/// the shorter side and cutting out the middle in one go, without rounding the longer side and the
/// corner to whole pixels in between.
///
/// # What counts
/// - Classes are the folders in `root`, in the order of their names' bytes, and so are the pictures
///   of a class by their paths. A folder without pictures is a class without points.
/// - Pictures are the files anywhere below a class folder named `.jpg`, `.jpeg`, `.png`, `.bmp`,
///   `.gif` or `.webp` (any case). What is in them decides about the format, not the name.
/// - Other files, files in `root` itself, and whatever begins with a dot are ignored.
/// - Symbolic links to class folders and to pictures are followed; links to folders *inside* a class
///   folder are not, as they may lead round in circles.
/// - Pictures are turned and mirrored as the camera noted (Exif), unless
///   [`ImageFolderOptions::upright`] says otherwise. Colour profiles and transparency are ignored; of
///   an animation the first picture counts.
///
/// # Example
/// ```no_run
/// use gleaner::data::{ImageFolder, ImageFolderOptions, Source};
///
/// let train = ImageFolder::open("imagenet/train", &ImageFolderOptions::default())?;
/// // Equal numbers for equal classes, whatever folders the other part has.
/// let class_names = Some(train.class_names().to_vec());
/// let options = ImageFolderOptions { class_names, ..Default::default() };
/// let validation = ImageFolder::open("imagenet/val", &options)?;
/// assert_eq!(validation.inputs_at(&[0, 1])?.dims(), [2, 3, 224, 224]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    paths: Vec<PathBuf>,
    labels: Vec<u32>,
    class_names: Vec<String>,
    skipped: Vec<PathBuf>,
    resize: usize,
    size: usize,
    upright: bool,
    normaliser: Normaliser,
}

impl ImageFolder {
    /// Finds the pictures below `root`.
    ///
    /// # Cost
    /// Listing the folders; with [`Malformed::Skip`] also decoding every picture once.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a size or limit of 0, `resize < size`, or a mean or deviation that
    /// cannot be used; [`Error::File`] if `root` is not a folder, holds no folder or a folder that
    /// is not among the given class names, or if no readable picture is below it; [`Error::Io`] if
    /// the system refuses.
    pub fn open(root: impl AsRef<Path>, options: &ImageFolderOptions) -> Result<Self> {
        let normaliser = options.check()?;
        let root = root.as_ref();
        let folders = class_folders(root)?;
        let class_names = options
            .class_names
            .clone()
            .unwrap_or_else(|| folders.iter().map(|folder| name(folder)).collect());
        let (mut paths, mut labels) = (Vec::new(), Vec::new());
        for folder in &folders {
            let label = class_names.iter().position(|class| *class == name(folder));
            let label = label.ok_or_else(|| Error::File {
                path: folder.clone(),
                expected: format!("a folder for one of {} classes", class_names.len()),
                found: format!("{:?}, which is not among their names", name(folder)),
            })?;
            let mut pictures = pictures_below(folder)?;
            pictures.truncate(options.limit.unwrap_or(usize::MAX));
            labels.extend(std::iter::repeat_n(label as u32, pictures.len()));
            paths.append(&mut pictures);
        }
        let ImageFolderOptions { resize, size, upright, .. } = *options;
        let skipped = Vec::new();
        let mut found =
            Self { paths, labels, class_names, skipped, resize, size, upright, normaliser };
        if options.malformed == Malformed::Skip {
            found.leave_out_unreadable();
        }
        match found.paths.is_empty() {
            false => Ok(found),
            true => Err(Error::File {
                path: root.to_path_buf(),
                expected: "readable pictures in its class folders".to_owned(),
                found: format!("{} folders, {} unreadable", folders.len(), found.skipped.len()),
            }),
        }
    }

    /// Name of each class.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// File of each point.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Files left out because they could not be read; none unless [`Malformed::Skip`] was asked for.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    fn leave_out_unreadable(&mut self) {
        let is_readable = |path: &PathBuf| read(path, self.upright).is_ok();
        let readable: Vec<bool> = self.paths.par_iter().map(is_readable).collect();
        let (paths, labels) = (std::mem::take(&mut self.paths), std::mem::take(&mut self.labels));
        for ((path, label), readable) in paths.into_iter().zip(labels).zip(readable) {
            if readable {
                self.paths.push(path);
                self.labels.push(label);
            } else {
                self.skipped.push(path);
            }
        }
    }

    /// The picture at `path` as normalised planes.
    fn load(&self, path: &Path, resizer: &mut Resizer, planes: &mut [f32]) -> Result<()> {
        let picture = read(path, self.upright)?;
        let refused = |found: String| Error::File {
            path: path.to_path_buf(),
            expected: "a picture that can be scaled".to_owned(),
            found,
        };
        let (width, height) = picture.dimensions();
        let from = ImageRef::new(width, height, picture.as_raw(), PixelType::U8x3)
            .map_err(|error| refused(error.to_string()))?;
        // Checked when opened: the size is a u32.
        let mut to = Image::new(self.size as u32, self.size as u32, PixelType::U8x3);
        let (width, height) = (f64::from(width), f64::from(height));
        let side = width.min(height) * (self.size as f64 / self.resize as f64);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop((width - side) / 2.0, (height - side) / 2.0, side, side);
        resizer.resize(&from, &mut to, &options).map_err(|error| refused(error.to_string()))?;
        self.normaliser.planes(to.buffer(), planes);
        Ok(())
    }
}

impl Source for ImageFolder {
    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// Pictures of shape (points, 3, `size`, `size`), `f32` on the CPU.
    ///
    /// # Errors
    /// As the trait says, and [`Error::File`] or [`Error::Io`] for the first of the pictures that
    /// cannot be read.
    fn inputs_at(&self, indices: &[usize]) -> Result<Tensor> {
        check_indices(indices, self.paths.len())?;
        let size = self.size;
        let mut planes = vec![0f32; indices.len() * CHANNELS * size * size];
        let read: Vec<Result<()>> = planes
            .par_chunks_mut(CHANNELS * size * size)
            .zip(indices)
            .map_init(Resizer::new, |resizer, (planes, &index)| {
                self.load(&self.paths[index], resizer, planes)
            })
            .collect();
        read.into_iter().collect::<Result<()>>()?;
        Ok(Tensor::from_vec(planes, (indices.len(), CHANNELS, size, size), &Device::Cpu)?)
    }
}

impl ImageFolderOptions {
    fn check(&self) -> Result<Normaliser> {
        // Beyond 65,535 pixels a side one input would have more than 50 GB.
        let sides = [
            ("ImageFolderOptions::size", self.size, 1..=65_535, "between 1 and 65535"),
            ("ImageFolderOptions::resize", self.resize, self.size..=usize::MAX, "at least size"),
        ];
        for (what, side, allowed, rule) in sides {
            if !allowed.contains(&side) {
                return Err(Error::range(what, rule, side as f64));
            }
        }
        if self.limit == Some(0) {
            let (what, rule) = ("ImageFolderOptions::limit", "at least 1");
            return Err(Error::range(what, rule, 0.0));
        }
        Normaliser::new(self.mean, self.std)
    }
}

fn read(path: &Path, upright: bool) -> Result<image::RgbImage> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    decode(&bytes, upright).map_err(|found| Error::File {
        path: path.to_path_buf(),
        expected: "a whole picture".to_owned(),
        found,
    })
}

/// The folders in `root` and links to folders, sorted by name.
fn class_folders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = entries(root)?
        .into_iter()
        .filter(|(path, kind)| *kind != Kind::File && path.is_dir())
        .map(|(path, _)| path)
        .collect();
    folders.sort_unstable();
    if folders.is_empty() {
        return Err(Error::File {
            path: root.to_path_buf(),
            expected: "one folder for each class".to_owned(),
            found: "no folder".to_owned(),
        });
    }
    Ok(folders)
}

/// The pictures anywhere below `folder`, sorted by path.
fn pictures_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut pictures, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for (path, kind) in entries(&folder)? {
            match kind {
                Kind::Folder => folders.push(path),
                Kind::Link if path.is_dir() => {}
                _ if is_picture(&path) => pictures.push(path),
                _ => {}
            }
        }
    }
    pictures.sort_unstable();
    Ok(pictures)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Link,
    File,
}

/// What is in a folder, hidden entries left out. Files are not looked at: there may be millions.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, Kind)>> {
    let refused = |source| Error::io(folder, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let kind = match entry.file_type().map_err(refused)? {
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::File,
        };
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            found.push((entry.path(), kind));
        }
    }
    Ok(found)
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
