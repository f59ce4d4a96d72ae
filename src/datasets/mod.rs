//! Labelled data in memory, how it is cut into batches and splits, and where it comes from.
//!
//! | Data set | Function | Input of a point | Classes | Points | Source |
//! |---|---|---|---|---|---|
//! | Gaussian clusters of very unequal size | [`synthetic::clusters`] | `dimensions` | any | any | drawn here |
//! | CIFAR-10 | [`cifar::load`] | 3 × 32 × 32 | 10 | 50,000 + 10,000 | binary version, on disk |
//! | CIFAR-100 | [`cifar::load`] | 3 × 32 × 32 | 100 or 20 | 50,000 + 10,000 | binary version, on disk |
//! | any texts, such as Amazon reviews | `text::TextCsv` (feature `text`) | ids, see [`encode`] | any | any | CSV file, plain or gzip |
//! | Folders of pictures, as ImageNet comes | `ImageFolder` (`images`) | 3 × `size` × `size` | any | any | files, decoded on demand |
//! | Pictures in parquet, as on the hub | `load_image_parquet` (`images`, `parquet`) | 3 × height × width | any | any | one file |
//! | Ready-made features | `features::load` (`tables`, `parquet`) | any length | any | any | csv, npy, npz, safetensors, parquet |
//!
//! Names in brackets are cargo features. Nothing is downloaded, unless `download::HubFile::fetch`
//! (`download`) is asked to. Anything else becomes a [`Dataset`] through [`Dataset::new`], or
//! implements [`Source`].
//!
//! # Adding a data set
//!
//! 1. One file here, named after it, with one public function that returns [`Dataset`]s.
//! 2. Plain options with `Default`; every option and every byte read is checked, and an error names the file.
//! 3. Inputs are `f32` on the CPU, points along the first dimension; randomness is the last argument.
//! 4. A row in the table above: what a point is, how many there are, where they come from.
//! 5. A test in `tests/datasets.rs` that writes a tiny copy, and one broken copy per way to be broken.

mod augmentation;
pub mod cifar;
#[cfg(feature = "download")]
pub mod download;
pub mod encode;
#[cfg(feature = "tables")]
pub mod features;
#[cfg(feature = "tables")]
mod features_array;
#[cfg(feature = "tables")]
mod features_csv;
#[cfg(feature = "tables")]
mod features_npy;
#[cfg(feature = "parquet")]
mod features_parquet;
#[cfg(feature = "tables")]
mod features_safetensors;
#[cfg(feature = "images")]
mod image_folder;
#[cfg(all(feature = "images", feature = "parquet"))]
mod image_parquet;
#[cfg(feature = "images")]
mod picture;
mod source;
pub mod synthetic;
#[cfg(feature = "text")]
pub mod text;
#[cfg(feature = "text")]
mod text_rows;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use rand::{Rng, RngCore, seq::SliceRandom};

use crate::error::{Error, Result};
use crate::shares::proportional;

pub use augmentation::Augmentation;
#[cfg(feature = "images")]
pub use image_folder::{ImageFolder, ImageFolderOptions};
#[cfg(all(feature = "images", feature = "parquet"))]
pub use image_parquet::{ImageParquetOptions, load_image_parquet};
use source::check_indices;
pub use source::{Part, Source};

/// Points scanned at a time when inputs are checked, so that the check needs little memory.
const CHECKED_AT_ONCE: usize = 1024;

/// What becomes of a row, or a picture, that is not what it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Malformed {
    /// The first one is an error that names the file, the line or row, and what was found.
    #[default]
    Refuse,
    /// It is left out; what was left out can be read afterwards.
    Skip,
}

/// Labelled points, checked once: as many labels as inputs, every label below the number of
/// classes, every input finite.
///
/// # Example
///
/// ```
/// use candle_core::{Device, Tensor};
/// use gleaner::datasets::Dataset;
///
/// let inputs = Tensor::new(&[[0f32, 1.0], [2.0, 3.0], [4.0, 5.0]], &Device::Cpu)?;
/// let data = Dataset::new(inputs, vec![0, 1, 1], 2)?;
/// let batch = data.batch(&[2, 0])?;
/// assert_eq!(batch.inputs.to_vec2::<f32>()?, [[4.0, 5.0], [0.0, 1.0]]);
/// assert_eq!(batch.labels.to_vec1::<u32>()?, [1, 0]);
/// assert_eq!(data.class_counts(), [1, 2]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    inputs: Tensor,
    labels: Vec<u32>,
    classes: usize,
}

/// Some points of a [`Dataset`], as tensors on its device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Position of each point in the data set, in the order of the rows below.
    pub indices: Vec<usize>,
    /// The inputs, one point per entry of the first dimension.
    pub inputs: Tensor,
    /// The labels, `u32`, one per point.
    pub labels: Tensor,
}

impl Batch {
    /// The same batch on `device`; free if it is there already.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device refuses, for example for lack of memory.
    pub fn to_device(&self, device: &Device) -> Result<Batch> {
        Ok(Self {
            indices: self.indices.clone(),
            inputs: self.inputs.to_device(device)?,
            labels: self.labels.to_device(device)?,
        })
    }
}

impl Dataset {
    /// Data set of the points along the first dimension of `inputs` (any shape after it).
    ///
    /// The loaders of this crate return `f32` on the CPU; other types and devices work as well.
    ///
    /// # Cost
    /// One pass over `inputs` (copied to the host piecewise) to refuse what is not finite.
    ///
    /// # Errors
    /// [`Error::Shape`] without any point or number, or if there are not as many labels as points;
    /// [`Error::OutOfRange`] for a label that is not below `classes`; [`Error::NotFinite`] for an
    /// input that is NaN or infinite (row: the point; column: the number within it).
    pub fn new(inputs: Tensor, labels: Vec<u32>, classes: usize) -> Result<Self> {
        let Some(&points) = inputs.dims().first() else {
            return Err(Error::shape("inputs", "points along a first dimension", inputs.dims()));
        };
        if inputs.elem_count() == 0 {
            let expected = "at least one point of at least one number";
            return Err(Error::shape("inputs", expected, inputs.dims()));
        }
        if labels.len() != points {
            return Err(Error::shape("labels", points, labels.len()));
        }
        check_labels(&labels, classes)?;
        check_finite(&inputs, points)?;
        Ok(Self { inputs, labels, classes })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always `false`: a data set has at least one point.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of classes. A class may have no points here, for example after [`Dataset::subset`].
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All inputs, points along the first dimension.
    pub fn inputs(&self) -> &Tensor {
        &self.inputs
    }

    /// All labels, each below [`Dataset::classes`].
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Number of points of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        Source::class_counts(self)
    }

    /// The points at `indices`, in that order; an index may come twice.
    ///
    /// # Errors
    /// [`Error::Shape`] if `indices` is empty, [`Error::OutOfRange`] if there is no such point.
    pub fn batch(&self, indices: &[usize]) -> Result<Batch> {
        let (inputs, labels) = self.rows(indices)?;
        let labels = Tensor::from_vec(labels, indices.len(), self.inputs.device())?;
        Ok(Batch { indices: indices.to_vec(), inputs, labels })
    }

    /// A copy of the points at `indices`, in that order; the number of classes stays.
    ///
    /// # Errors
    /// As [`Dataset::batch`].
    pub fn subset(&self, indices: &[usize]) -> Result<Dataset> {
        let (inputs, labels) = self.rows(indices)?;
        Ok(Self { inputs, labels, classes: self.classes })
    }

    /// The same inputs with other labels, for example after [`flip_labels`].
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many labels as points, [`Error::OutOfRange`] if one is
    /// not below the number of classes.
    pub fn with_labels(self, labels: Vec<u32>) -> Result<Dataset> {
        if labels.len() != self.len() {
            return Err(Error::shape("labels", self.len(), labels.len()));
        }
        check_labels(&labels, self.classes)?;
        Ok(Self { labels, ..self })
    }

    /// The same data with its inputs on `device`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device refuses, for example for lack of memory.
    pub fn to_device(&self, device: &Device) -> Result<Dataset> {
        Ok(Self { inputs: self.inputs.to_device(device)?, ..self.clone() })
    }

    /// The same data with its inputs converted to `dtype`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device does not know the type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Dataset> {
        Ok(Self { inputs: self.inputs.to_dtype(dtype)?, ..self.clone() })
    }

    fn rows(&self, indices: &[usize]) -> Result<(Tensor, Vec<u32>)> {
        check_indices(indices, self.len())?;
        let ids: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        let ids = Tensor::from_vec(ids, indices.len(), self.inputs.device())?;
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Ok((self.inputs.index_select(&ids, 0)?, labels))
    }
}

fn check_labels(labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().find(|&&label| label as usize >= classes) {
        None => Ok(()),
        Some(&label) => Err(Error::OutOfRange {
            what: "label",
            rule: "below the number of classes",
            found: f64::from(label),
        }),
    }
}

fn check_finite(inputs: &Tensor, points: usize) -> Result<()> {
    if !inputs.dtype().is_float() {
        return Ok(());
    }
    for start in (0..points).step_by(CHECKED_AT_ONCE) {
        let part = inputs.narrow(0, start, CHECKED_AT_ONCE.min(points - start))?;
        // To the host first: not every device knows f64.
        let part = part.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        let values = part.flatten_all()?.to_vec1::<f64>()?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let width = inputs.elem_count() / points;
            return Err(Error::NotFinite {
                what: "inputs",
                row: start + at / width,
                column: at % width,
                found: values[at],
            });
        }
    }
    Ok(())
}

/// One epoch: the indices `0..points` in random order, cut into batches of `batch_size`.
///
/// Every index comes exactly once. The last batch is shorter if `batch_size` does not divide
/// `points`. A `batch_size` of 0 counts as 1, and no points give no batches.
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let batches = gleaner::datasets::shuffled_batches(10, 4, &mut rng);
/// assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
/// ```
pub fn shuffled_batches(
    points: usize,
    batch_size: usize,
    rng: &mut dyn RngCore,
) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..points).collect();
    order.shuffle(rng);
    order.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}

/// Splits the positions of `labels` at random into `first` and the rest, class proportions kept.
///
/// A class with `n_c` of the `n` points gives `first · n_c / n` of them to the first part, rounded
/// so that the counts add up to `first`: each quota is rounded down, and the largest remainders are
/// rounded up (equal remainders: the smaller label first). Both lists are ascending.
///
/// # Errors
/// [`Error::OutOfRange`] if `first` is larger than the number of labels.
///
/// # Example
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let labels = [0, 0, 0, 0, 1, 1];
/// let (validation, train) = gleaner::datasets::stratified_split(&labels, 3, &mut rng)?;
/// assert_eq!(validation.iter().filter(|&&i| labels[i] == 0).count(), 2);
/// assert_eq!((validation.len(), train.len()), (3, 3));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn stratified_split(
    labels: &[u32],
    first: usize,
    rng: &mut dyn RngCore,
) -> Result<(Vec<usize>, Vec<usize>)> {
    if first > labels.len() {
        return Err(Error::OutOfRange {
            what: "size of the first part",
            rule: "at most the number of points",
            found: first as f64,
        });
    }
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (point, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(point);
    }
    let sizes: Vec<usize> = members.values().map(Vec::len).collect();
    let (mut left, mut right) = (Vec::with_capacity(first), Vec::new());
    for (mut points, take) in members.into_values().zip(proportional(&sizes, first)) {
        points.shuffle(rng);
        left.extend_from_slice(&points[..take]);
        right.extend_from_slice(&points[take..]);
    }
    left.sort_unstable();
    right.sort_unstable();
    Ok((left, right))
}

/// Labels of which exactly `round(fraction · n)` are wrong, and which ones those are.
///
/// The points are chosen uniformly without replacement; each gets one of the *other* classes,
/// uniformly, so that every entry marked `true` really differs.
///
/// # Errors
/// [`Error::OutOfRange`] if `fraction` is not in [0, 1], a label is not below `classes`, or there
/// is no other class (`classes < 2` with a positive `fraction`).
pub fn flip_labels(
    labels: &[u32],
    classes: usize,
    fraction: f64,
    rng: &mut dyn RngCore,
) -> Result<(Vec<u32>, Vec<bool>)> {
    if !(0.0..=1.0).contains(&fraction) {
        let (what, rule) = ("fraction of labels to flip", "in [0, 1]");
        return Err(Error::OutOfRange { what, rule, found: fraction });
    }
    check_labels(labels, classes)?;
    if classes < 2 && fraction > 0.0 {
        let (what, rule) = ("number of classes", "at least 2 to flip labels");
        return Err(Error::OutOfRange { what, rule, found: classes as f64 });
    }
    let (mut noisy, mut flipped) = (labels.to_vec(), vec![false; labels.len()]);
    let count = (fraction * labels.len() as f64).round() as usize;
    for point in rand::seq::index::sample(rng, labels.len(), count) {
        // One of the other classes: those from the true label on move up by one. Labels are u32,
        // so more than 2^32 classes cannot be named and the cap loses nothing.
        let others = u32::try_from(classes - 1).unwrap_or(u32::MAX);
        let other = rng.random_range(0..others);
        noisy[point] = other + u32::from(other >= labels[point]);
        flipped[point] = true;
    }
    Ok((noisy, flipped))
}
