//! Pictures of one size in a `.parquet` file, as the sets of the Hugging Face hub come.

use std::path::Path;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::data::Dataset;
use crate::data::image::cifar::Version;
use crate::data::image::picture::{CHANNELS, Normaliser, decode};
use crate::data::table::file_error;
use crate::data::table::parquet::{Cell, Rows, contained};
use crate::error::{Error, Result};

/// How [`load_image_parquet`] reads.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageParquetOptions {
    /// The column of pictures: a struct with a field `bytes` that holds an image file, or such bytes
    /// themselves.
    pub image: String,
    /// The column of labels, whole numbers from 0.
    pub label: String,
    /// Number of classes; `None`: the largest label and one.
    pub classes: Option<usize>,
    /// Mean of each channel (red, green, blue), pixels in [0, 1]; taken off.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, positive; divided by.
    pub std: [f32; 3],
    /// At most this many pictures, at least 1, the first ones; `None` reads all.
    pub limit: Option<usize>,
    /// Turn pictures as the camera noted (Exif), before their sizes are compared. On unless set.
    pub upright: bool,
}

impl ImageParquetOptions {
    /// The columns of the hub's CIFAR sets, normalised as by [`cifar::load`](crate::data::image::cifar::load).
    ///
    /// ```
    /// use gleaner::data::{ImageParquetOptions, cifar::Version};
    ///
    /// let options = ImageParquetOptions::cifar(Version::Cifar10);
    /// assert_eq!((options.image.as_str(), options.label.as_str()), ("img", "label"));
    /// assert_eq!(options.classes, Some(10));
    /// ```
    pub fn cifar(version: Version) -> Self {
        let label = match version {
            Version::Cifar10 => "label",
            Version::Cifar100 { .. } if version.classes() == 20 => "coarse_label",
            Version::Cifar100 { .. } => "fine_label",
        };
        Self {
            image: "img".to_owned(),
            label: label.to_owned(),
            classes: Some(version.classes()),
            mean: version.channel_mean(),
            std: version.channel_std(),
            limit: None,
            upright: true,
        }
    }
}

/// Reads and decodes the pictures in the parquet file at `path`: inputs (points, 3, height, width),
/// `(byte / 255 - mean) / std` channel by channel, in the order of the file.
///
/// What a picture may be, and what becomes of grey and transparent ones, is said at
/// [`ImageFolder`](crate::data::ImageFolder).
///
/// # Cost
/// Decoding, in parallel. In memory: the result, and the image files of one row group.
///
/// # Errors
/// [`Error::OutOfRange`] for a limit of 0, or a mean or deviation that cannot be used;
/// [`Error::Unknown`] for a column that is not there; [`Error::File`] if the file is not what it
/// should be, and with its row for a missing or broken picture, one of another size than the first,
/// and a label that is none; [`Error::Io`] if the system refuses.
///
/// # Example
/// ```no_run
/// use gleaner::data::{ImageParquetOptions, cifar::Version, load_image_parquet};
///
/// let options = ImageParquetOptions::cifar(Version::Cifar10);
/// let train = load_image_parquet("cifar10/train.parquet", &options)?;
/// assert_eq!(train.inputs().dims(), [50_000, 3, 32, 32]);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn load_image_parquet(
    path: impl AsRef<Path>,
    options: &ImageParquetOptions,
) -> Result<Dataset> {
    let path = path.as_ref();
    if options.limit == Some(0) {
        let (what, rule) = ("ImageParquetOptions::limit", "at least 1");
        return Err(Error::range(what, rule, 0.0));
    }
    let normaliser = Normaliser::new(options.mean, options.std)?;
    contained(path, || read(path, options, &normaliser))
}

fn read(path: &Path, options: &ImageParquetOptions, normaliser: &Normaliser) -> Result<Dataset> {
    let file = Rows::open(path)?;
    let image = find(&file, &[&format!("{}.bytes", options.image), &options.image])?;
    let label = find(&file, &[&options.label])?;
    let limit = options.limit.unwrap_or(usize::MAX);
    let upright = options.upright;
    let mut pictures = Pictures { path, upright, size: None, planes: Vec::new(), rows: 0 };
    let mut labels = Vec::new();
    for group in 0..file.groups() {
        if labels.len() >= limit {
            break;
        }
        let group = file.group(group)?;
        file.cells(&*group, label, &mut |_, cell| {
            labels.push(class(cell, options.classes).map_err(|found| {
                pictures.error(labels.len(), "a class, a whole number from 0", found)
            })?);
            Ok(())
        })?;
        let mut files = Vec::new();
        file.cells(&*group, image, &mut |_, cell| {
            match cell {
                Cell::Bytes(bytes) => files.push(bytes.to_vec()),
                _ => files.push(Vec::new()), // refused below: no picture
            }
            Ok(())
        })?;
        if pictures.rows + files.len() != labels.len() {
            let found = format!("{} for {} labels", pictures.rows + files.len(), labels.len());
            return Err(file_error(path, "as many pictures as labels", found));
        }
        files.truncate(limit - pictures.rows);
        pictures.add(&files, normaliser)?;
    }
    labels.truncate(limit);
    let Some((width, height)) = pictures.size else {
        return Err(file_error(path, "at least one picture", "none"));
    };
    let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    let shape = (labels.len(), CHANNELS, height as usize, width as usize);
    // Checked above: labels are below the number of classes, and bytes through the table finite.
    let inputs = Tensor::from_vec(pictures.planes, shape, &Device::Cpu)?;
    Ok(Dataset::read(inputs, labels, options.classes.unwrap_or(classes)))
}

/// Position of the first of `names` that there is.
fn find(file: &Rows, names: &[&str]) -> Result<usize> {
    let columns = file.names();
    let found = names.iter().find_map(|name| columns.iter().position(|column| column == name));
    let at = found.ok_or_else(|| Error::Unknown {
        what: "column",
        expected: columns.join(", "),
        found: names.join(" or "),
    })?;
    file.check_single(at)?;
    Ok(at)
}

fn class(cell: Cell, classes: Option<usize>) -> std::result::Result<u32, String> {
    let key = cell.key()?;
    // The largest u32 is left out, so that one more is a number of classes anywhere.
    let label = key.whole().filter(|label| (0..i128::from(u32::MAX)).contains(label));
    let label = label.ok_or_else(|| format!("{:?}", key.to_string()))?;
    match classes.filter(|&classes| label >= classes as i128) {
        None => Ok(label as u32),
        Some(classes) => Err(format!("{label} of {classes} classes")),
    }
}

/// Pictures decoded so far.
struct Pictures<'a> {
    path: &'a Path,
    upright: bool,
    /// Width and height of all of them.
    size: Option<(u32, u32)>,
    planes: Vec<f32>,
    rows: usize,
}

impl Pictures<'_> {
    /// Decodes image files, the next rows.
    fn add(&mut self, files: &[Vec<u8>], normaliser: &Normaliser) -> Result<()> {
        let Some(first) = files.first() else { return Ok(()) };
        let decoded = |row: usize, bytes: &[u8]| {
            decode(bytes, self.upright).map_err(|found| self.error(row, "a picture", found))
        };
        let size = match self.size {
            Some(size) => size,
            None => decoded(self.rows, first)?.dimensions(),
        };
        let values = CHANNELS * size.0 as usize * size.1 as usize;
        let mut planes = vec![0f32; files.len() * values];
        let results: Vec<Result<()>> = planes
            .par_chunks_mut(values)
            .zip(files)
            .enumerate()
            .map(|(k, (planes, bytes))| {
                let row = self.rows + k;
                let picture = decoded(row, bytes)?;
                if picture.dimensions() != size {
                    let expected = format!("a picture of {} × {} pixels", size.0, size.1);
                    let (width, height) = picture.dimensions();
                    return Err(self.error(row, &expected, format!("{width} × {height}")));
                }
                normaliser.planes(picture.as_raw(), planes);
                Ok(())
            })
            .collect();
        results.into_iter().collect::<Result<()>>()?;
        self.size = Some(size);
        self.rows += files.len();
        if self.planes.is_empty() {
            self.planes = planes;
        } else {
            self.planes.append(&mut planes);
        }
        Ok(())
    }

    fn error(&self, row: usize, expected: &str, found: String) -> Error {
        file_error(self.path, expected, format!("{found} in row {row} (the first is 0)"))
    }
}
