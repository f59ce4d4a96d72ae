//! Labelled points in memory.

use candle_core::{DType, Device, Tensor};

use crate::data::Source;
use crate::error::{Error, Result};

/// Points scanned at a time when inputs are checked, so that the check needs little memory.
const CHECKED_AT_ONCE: usize = 1024;

/// Labelled points, checked once: as many labels as inputs, every label below the number of
/// classes, every input finite.
///
/// # Example
///
/// ```
/// use candle_core::{Device, Tensor};
/// use gleaner::data::Dataset;
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
    targets: Option<Vec<f32>>,
}

/// Some points of a [`Dataset`], as tensors on its device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Position of each point in the data set, in the order of the rows below.
    pub indices: Vec<usize>,
    /// The inputs, one point per entry of the first dimension.
    pub inputs: Tensor,
    /// The labels, `u32`, one per point; or the numbers to predict, floats.
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
    /// What a reader has checked line by line already.
    pub(super) fn read(inputs: Tensor, labels: Vec<u32>, classes: usize) -> Self {
        Self { inputs, labels, classes, targets: None }
    }

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
        Ok(Self { inputs, labels, classes, targets: None })
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

    /// The number to predict for every point, if that is the task.
    pub fn targets(&self) -> Option<&[f32]> {
        self.targets.as_deref()
    }

    /// The same points with a number to predict for each, such as
    /// those of a table: the task is then regression.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many numbers as points, [`Error::NotFinite`] for one that is not
    /// finite as `f32`.
    pub fn with_targets(self, targets: &[f64]) -> Result<Dataset> {
        if targets.len() != self.len() {
            return Err(Error::shape("targets", self.len(), targets.len()));
        }
        let targets: Vec<f32> = targets.iter().map(|target| *target as f32).collect();
        if let Some(row) = targets.iter().position(|target| !target.is_finite()) {
            let found = f64::from(targets[row]);
            return Err(Error::NotFinite { what: "targets", row, column: 0, found });
        }
        Ok(Self { targets: Some(targets), ..self })
    }

    /// Number of points of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        Source::class_counts(self)
    }

    /// The inputs as features, rounded to `f32`, a row a point, one row after the other, and the width of a row: what
    /// `Evidence::with_features` takes.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device refuses to give them.
    pub fn features(&self) -> Result<(Vec<f32>, usize)> {
        let rows = self.inputs.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
        Ok((rows, self.inputs.elem_count() / self.len()))
    }

    /// The points at `indices`, in that order; an index may come twice. [`Source::batch_at`] is the same.
    ///
    /// # Errors
    /// [`Error::Shape`] if `indices` is empty, [`Error::OutOfRange`] if there is no such point.
    pub fn batch(&self, indices: &[usize]) -> Result<Batch> {
        self.batch_at(indices)
    }

    /// A copy of the points at `indices`, in that order; the number of classes stays.
    ///
    /// # Errors
    /// As [`Dataset::batch`].
    pub fn subset(&self, indices: &[usize]) -> Result<Dataset> {
        let inputs = self.inputs_at(indices)?;
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        let at = |all: &Vec<f32>| indices.iter().map(|&index| all[index]).collect();
        let targets = self.targets.as_ref().map(at);
        Ok(Self { inputs, labels, classes: self.classes, targets })
    }

    /// The same inputs with other labels, for example after [`flip_labels`](crate::data::flip_labels).
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
        Ok(self.with_inputs(self.inputs.to_device(device)?))
    }

    /// The same data with its inputs converted to `dtype`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device does not know the type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Dataset> {
        Ok(self.with_inputs(self.inputs.to_dtype(dtype)?))
    }

    /// The same points with inputs made of theirs.
    pub(crate) fn with_inputs(&self, inputs: Tensor) -> Dataset {
        Self { inputs, ..self.clone() }
    }
}

pub(crate) fn check_labels(labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().find(|&&label| label as usize >= classes) {
        None => Ok(()),
        Some(&label) => Err(Error::range("label", "below the number of classes", f64::from(label))),
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
