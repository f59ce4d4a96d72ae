//! CIFAR-10 and CIFAR-100 from their binary versions on disk. Nothing is downloaded.
//!
//! The binary version is a list of records without header: one label byte (CIFAR-100: the coarse
//! label, then the fine one), then 3,072 pixel bytes, the red plane, the green, the blue, each 32
//! rows of 32. That is candle's channel, height, width order, so nothing is transposed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use crate::data::Dataset;
use crate::error::{Error, Result};

const CHANNELS: usize = 3;
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = CHANNELS * PLANE;

/// Which CIFAR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Ten classes, in `cifar-10-batches-bin/`: `data_batch_1.bin` to `data_batch_5.bin`,
    /// `test_batch.bin` and `batches.meta.txt`.
    #[default]
    Cifar10,
    /// A hundred classes in twenty groups, in `cifar-100-binary/`: `train.bin`, `test.bin`,
    /// `fine_label_names.txt` and `coarse_label_names.txt`.
    Cifar100 {
        /// Which of the two labels of an image is used.
        labels: CifarLabels,
    },
}

/// The two labels of a CIFAR-100 image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CifarLabels {
    /// The 100 classes, such as "maple".
    #[default]
    Fine,
    /// The 20 groups of five classes, such as "trees".
    Coarse,
}

/// What [`load`] reads. The default is all of CIFAR-10.
///
/// A limit makes for a quick run in little memory: of 50,000 training images that become 614 MB of
/// `f32`, only the first so many are read. The order on disk is kept, so take care that it is not
/// sorted by class (the published files are not).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CifarOptions {
    /// Which CIFAR.
    pub version: Version,
    /// At most this many training images, at least 1; `None` reads all.
    pub train: Option<usize>,
    /// At most this many test images, at least 1; `None` reads all.
    pub test: Option<usize>,
}

/// What [`load`] returns.
#[derive(Clone, Debug)]
pub struct Cifar {
    /// Training images, normalised, (points, 3, 32, 32).
    pub train: Dataset,
    /// Test images, normalised like the training images.
    pub test: Dataset,
    /// Name of each class.
    pub class_names: Vec<String>,
}

impl Cifar {
    /// The same pictures with every square of `side x side` pixels averaged into one.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `side` is 0 or more than 32.
    pub fn shrunk(self, side: usize) -> Result<Self> {
        if !(1..=32).contains(&side) {
            let (what, rule) = ("side of a square of pixels", "between 1 and 32");
            return Err(Error::range(what, rule, side as f64));
        }
        if side == 1 {
            return Ok(self);
        }
        let smaller = |data: Dataset| -> Result<Dataset> {
            let inputs = data.inputs().avg_pool2d(side)?;
            Dataset::new(inputs, data.labels().to_vec(), data.classes())
        };
        Ok(Self { train: smaller(self.train)?, test: smaller(self.test)?, ..self })
    }
}

impl Version {
    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 { labels: CifarLabels::Fine } => 100,
            Self::Cifar100 { labels: CifarLabels::Coarse } => 20,
        }
    }

    /// Mean of each channel (red, green, blue) over the training images, pixels in [0, 1].
    pub fn channel_mean(self) -> [f32; 3] {
        match self {
            Self::Cifar10 => [0.4914, 0.4822, 0.4465],
            Self::Cifar100 { .. } => [0.5071, 0.4865, 0.4409],
        }
    }

    /// Standard deviation of each channel over the training images, pixels in [0, 1].
    pub fn channel_std(self) -> [f32; 3] {
        match self {
            Self::Cifar10 => [0.2470, 0.2435, 0.2616],
            Self::Cifar100 { .. } => [0.2673, 0.2564, 0.2762],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar-10-batches-bin",
            Self::Cifar100 { .. } => "cifar-100-binary",
        }
    }

    fn train_files(self) -> &'static [&'static str] {
        match self {
            Self::Cifar10 => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            Self::Cifar100 { .. } => &["train.bin"],
        }
    }

    fn test_file(self) -> &'static str {
        match self {
            Self::Cifar10 => "test_batch.bin",
            Self::Cifar100 { .. } => "test.bin",
        }
    }

    fn names_file(self) -> &'static str {
        match self {
            Self::Cifar10 => "batches.meta.txt",
            Self::Cifar100 { labels: CifarLabels::Fine } => "fine_label_names.txt",
            Self::Cifar100 { labels: CifarLabels::Coarse } => "coarse_label_names.txt",
        }
    }

    /// Label bytes before the pixels, and which of them counts.
    fn label_bytes(self) -> (usize, usize) {
        match self {
            Self::Cifar10 => (1, 0),
            Self::Cifar100 { labels: CifarLabels::Coarse } => (2, 0),
            Self::Cifar100 { labels: CifarLabels::Fine } => (2, 1),
        }
    }

    fn record(self) -> usize {
        self.label_bytes().0 + PIXELS
    }
}

/// Reads CIFAR-10 or CIFAR-100 from `dir`, the folder of the binary version or the folder it is in.
///
/// Every channel is normalised, `(byte / 255 - mean) / std` with the constants of
/// [`Version::channel_mean`] and [`Version::channel_std`]. Files may hold any positive number of
/// whole records, so a cut-down copy loads as well. The size of every file is checked, whatever
/// the limits; labels only where they are read.
///
/// # Cost
/// 12 KiB of memory per image read; with all images about 740 MB.
///
/// # Errors
/// [`Error::File`] if `dir` does not hold the files, a file is not a positive number of whole
/// records, a label byte is too large (names the file and the record), or there is not one class
/// name per class; [`Error::Io`] if the system refuses; [`Error::OutOfRange`] for a limit of 0.
///
/// # Example
///
/// ```no_run
/// use gleaner::data::cifar::{self, CifarOptions};
///
/// let options = CifarOptions { train: Some(5000), test: Some(1000), ..Default::default() };
/// let data = cifar::load("data", &options)?;
/// assert_eq!(data.train.inputs().dims(), [5000, 3, 32, 32]);
/// assert_eq!(data.class_names[0], "airplane");
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Reference
/// A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report,
/// University of Toronto, 2009: the images and labels.
pub fn load(dir: impl AsRef<Path>, options: &CifarOptions) -> Result<Cifar> {
    let version = options.version;
    for (what, limit) in
        [("CifarOptions::train", options.train), ("CifarOptions::test", options.test)]
    {
        if limit == Some(0) {
            return Err(Error::range(what, "at least 1", 0.0));
        }
    }
    let folder = find_folder(dir.as_ref(), version)?;
    let class_names = read_names(&folder.join(version.names_file()), version)?;
    let train_files: Vec<_> = version.train_files().iter().map(|name| folder.join(name)).collect();
    let train = read_images(&train_files, version, options.train)?;
    let test = read_images(&[folder.join(version.test_file())], version, options.test)?;
    Ok(Cifar { train, test, class_names })
}

fn find_folder(dir: &Path, version: Version) -> Result<PathBuf> {
    let first = version.train_files()[0];
    for folder in [dir.join(version.folder()), dir.to_path_buf()] {
        if folder.join(first).is_file() {
            return Ok(folder);
        }
    }
    let found = match dir.is_dir() {
        true => format!("a folder with neither {} nor {first}", version.folder()),
        false if dir.exists() => "a file".to_owned(),
        false => "nothing".to_owned(),
    };
    let expected = format!("the folder {} or its parent", version.folder());
    Err(Error::File { path: dir.to_path_buf(), expected, found })
}

fn read_names(path: &Path, version: Version) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != version.classes() {
        return Err(Error::File {
            path: path.to_path_buf(),
            expected: format!("{} class names, one a line", version.classes()),
            found: format!("{} names", names.len()),
        });
    }
    Ok(names)
}

/// The first `limit` records of `files` taken together.
fn read_images(files: &[PathBuf], version: Version, limit: Option<usize>) -> Result<Dataset> {
    let records =
        files.iter().map(|path| count_records(path, version)).collect::<Result<Vec<usize>>>()?;
    let total = records.iter().sum::<usize>().min(limit.unwrap_or(usize::MAX));
    let mut pixels = Vec::with_capacity(total * PIXELS);
    let mut labels = Vec::with_capacity(total);
    for (path, &available) in files.iter().zip(&records) {
        let wanted = available.min(total - labels.len());
        if wanted > 0 {
            read_records(path, version, wanted, &mut pixels, &mut labels)?;
        }
    }
    // Already checked: labels while reading, and bytes through the table are finite.
    let inputs = Tensor::from_vec(pixels, (total, CHANNELS, SIDE, SIDE), &Device::Cpu)?;
    Ok(Dataset::read(inputs, labels, version.classes()))
}

fn count_records(path: &Path, version: Version) -> Result<usize> {
    let size = std::fs::metadata(path).map_err(|source| Error::io(path, source))?.len();
    let record = version.record() as u64;
    if size == 0 || size % record != 0 {
        return Err(Error::File {
            path: path.to_path_buf(),
            expected: format!("a positive number of whole records of {record} bytes"),
            found: format!("{size} bytes"),
        });
    }
    Ok((size / record) as usize)
}

fn read_records(
    path: &Path,
    version: Version,
    wanted: usize,
    pixels: &mut Vec<f32>,
    labels: &mut Vec<u32>,
) -> Result<()> {
    let mut bytes = vec![0; wanted * version.record()];
    let mut file = File::open(path).map_err(|source| Error::io(path, source))?;
    file.read_exact(&mut bytes).map_err(|source| Error::io(path, source))?;
    let table = normalised_bytes(version);
    let (label_bytes, label_at) = version.label_bytes();
    for (number, record) in bytes.chunks_exact(version.record()).enumerate() {
        let label = record[label_at];
        if usize::from(label) >= version.classes() {
            return Err(Error::File {
                path: path.to_path_buf(),
                expected: format!("labels below {}", version.classes()),
                found: format!("label {label} in record {number} (the first is 0)"),
            });
        }
        labels.push(u32::from(label));
        for (plane, table) in record[label_bytes..].chunks_exact(PLANE).zip(&table) {
            pixels.extend(plane.iter().map(|&byte| table[usize::from(byte)]));
        }
    }
    Ok(())
}

/// For each channel, what each of the 256 byte values becomes.
fn normalised_bytes(version: Version) -> [[f32; 256]; CHANNELS] {
    let (mean, std) = (version.channel_mean(), version.channel_std());
    std::array::from_fn(|channel| {
        std::array::from_fn(|byte| (byte as f32 / 255.0 - mean[channel]) / std[channel])
    })
}
