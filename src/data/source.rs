//! Points whose inputs may be made on demand: what training and selection read.

use candle_core::{Device, Tensor};

use crate::data::dataset::check_labels;
use crate::data::{Batch, Dataset};
use crate::error::{Error, Result};

/// Labelled points in a fixed order. Labels are in memory; inputs are made when asked for, so that
/// images can stay compressed and texts on disk.
///
/// # Example
/// A learner's pool without its last point:
/// ```
/// use candle_core::{Device, Tensor};
/// use gleaner::data::{Dataset, Subset, Source};
///
/// let inputs = Tensor::new(&[[0f32, 1.0], [2.0, 3.0], [4.0, 5.0]], &Device::Cpu)?;
/// let data = Dataset::new(inputs, vec![0, 1, 1], 2)?;
/// let part = Subset::new(&data, vec![1, 0])?;
/// assert_eq!(part.labels(), [1, 0]);
/// assert_eq!(part.inputs_at(&[0])?.to_vec2::<f32>()?, [[2.0, 3.0]]);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub trait Source: Sync {
    /// The class of every point, each below [`Source::classes`].
    fn labels(&self) -> &[u32];

    /// Number of classes; a class may have no points.
    fn classes(&self) -> usize;

    /// The number to predict for every point, all finite, where that is the task; then labels are no more
    /// than strata. `None` unless overridden: the classes are what is learned.
    fn targets(&self) -> Option<&[f32]> {
        None
    }

    /// The inputs of the points at `indices` along the first dimension, in that order and without
    /// augmentation: equal indices give equal inputs. What is padded may be as long as the longest
    /// of these points only.
    ///
    /// # Errors
    /// [`Error::Shape`] if `indices` is empty, [`Error::OutOfRange`] if there is no such point, and
    /// whatever reading can meet.
    fn inputs_at(&self, indices: &[usize]) -> Result<Tensor>;

    /// Number of points, at least one.
    fn points(&self) -> usize {
        self.labels().len()
    }

    /// Number of points of each class.
    fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes()];
        self.labels().iter().for_each(|&label| counts[label as usize] += 1);
        counts
    }

    /// Inputs and labels at `indices`; instead of labels the [numbers to predict](Self::targets), where there are any.
    ///
    /// # Errors
    /// As [`Source::inputs_at`].
    fn batch_at(&self, indices: &[usize]) -> Result<Batch> {
        let inputs = self.inputs_at(indices)?;
        let labels = targets_at(self, indices, inputs.device())?;
        Ok(Batch { indices: indices.to_vec(), inputs, labels })
    }
}

/// What is to be learned of some points: labels (`u32`), or the numbers to predict (`f32`).
pub(crate) fn targets_at<S: Source + ?Sized>(
    data: &S,
    points: &[usize],
    device: &Device,
) -> Result<Tensor> {
    let labels = || points.iter().map(|point| data.labels()[*point]).collect::<Vec<u32>>();
    Ok(match data.targets() {
        None => Tensor::from_vec(labels(), points.len(), device)?,
        Some(all) => {
            let targets: Vec<f32> = points.iter().map(|point| all[*point]).collect();
            Tensor::from_vec(targets, points.len(), device)?
        }
    })
}

impl Source for Dataset {
    fn labels(&self) -> &[u32] {
        Dataset::labels(self)
    }

    fn classes(&self) -> usize {
        Dataset::classes(self)
    }

    fn targets(&self) -> Option<&[f32]> {
        Dataset::targets(self)
    }

    fn inputs_at(&self, indices: &[usize]) -> Result<Tensor> {
        check_indices(indices, self.points())?;
        let ids: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        let ids = Tensor::from_vec(ids, indices.len(), self.inputs().device())?;
        Ok(self.inputs().index_select(&ids, 0)?)
    }
}

/// Some points of a source, in an order of their own, without a copy of their inputs.
#[derive(Clone)]
pub struct Subset<'a> {
    source: &'a dyn Source,
    indices: Vec<usize>,
    labels: Vec<u32>,
    targets: Option<Vec<f32>>,
}

impl<'a> Subset<'a> {
    /// The points at `indices`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `indices` is empty, [`Error::OutOfRange`] if there is no such point.
    pub fn new(source: &'a dyn Source, indices: Vec<usize>) -> Result<Self> {
        check_indices(&indices, source.points())?;
        let labels = indices.iter().map(|&index| source.labels()[index]).collect();
        let at = |all: &[f32]| indices.iter().map(|&index| all[index]).collect();
        let targets = source.targets().map(at);
        Ok(Self { source, indices, labels, targets })
    }

    /// The same points with other labels, for example those that somebody just gave.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many labels as points, [`Error::OutOfRange`] if one is not
    /// below the number of classes.
    pub fn with_labels(self, labels: Vec<u32>) -> Result<Self> {
        if labels.len() != self.indices.len() {
            return Err(Error::shape("labels", self.indices.len(), labels.len()));
        }
        check_labels(&labels, self.source.classes())?;
        Ok(Self { labels, ..self })
    }

    /// Positions in the source, in the order of this part.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl Source for Subset<'_> {
    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn classes(&self) -> usize {
        self.source.classes()
    }

    fn targets(&self) -> Option<&[f32]> {
        self.targets.as_deref()
    }

    fn inputs_at(&self, indices: &[usize]) -> Result<Tensor> {
        check_indices(indices, self.indices.len())?;
        let inside: Vec<usize> = indices.iter().map(|&index| self.indices[index]).collect();
        self.source.inputs_at(&inside)
    }
}

/// At least one index, and all of them positions among `points` points.
pub(crate) fn check_indices(indices: &[usize], points: usize) -> Result<()> {
    if indices.is_empty() {
        return Err(Error::shape("indices", "at least one", 0));
    }
    match indices.iter().find(|&&index| index >= points) {
        None => Ok(()),
        Some(&outside) => {
            Err(Error::range("index of a point", "below the number of points", outside as f64))
        }
    }
}
