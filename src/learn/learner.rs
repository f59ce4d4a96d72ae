//! What a model must do to be trained here, and what can be asked of one in batches.

use candle_core::{DType, Device, Tensor, Var};

use crate::data::Source;
use crate::data::source::targets_at;
use crate::error::{Error, Result};
use crate::layer::bridge::to_vec;
use crate::learn::loss::{are_numbers, cross_entropy, squared_error};

/// A model being trained, cut in two before its last layer.
///
/// Results are candle's own, so that an implementation is a few lines with `?`.
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device, Result, Tensor, Var};
/// use candle_nn::{Linear, Module, linear};
/// use gleaner::learn::{Learner, SeededWeights};
///
/// struct Tiny { body: Linear, last: Linear, variables: Vec<(String, Var)> }
///
/// impl Learner for Tiny {
///     fn features(&self, inputs: &Tensor) -> Result<Tensor> { self.body.forward(inputs)?.tanh() }
///     fn head(&self, features: &Tensor) -> Result<Tensor> { self.last.forward(features) }
///     fn variables(&self) -> &[(String, Var)] { &self.variables }
/// }
///
/// let (builder, weights) = SeededWeights::builder(7, DType::F32, &Device::Cpu);
/// let (body, last) = (linear(4, 8, builder.pp("body"))?, linear(8, 3, builder.pp("last"))?);
/// let tiny = Tiny { body, last, variables: weights.variables() };
///
/// let inputs = Tensor::ones((5, 4), DType::F32, &Device::Cpu)?;
/// assert_eq!(tiny.logits(&inputs)?.dims(), [5, 3]);
/// assert_eq!(tiny.variables()[0].0, "body.bias");
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Learner {
    /// Inputs (n x …) to features (n x d): what the last layer sees.
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor>;

    /// Features (n x d) to logits (n x classes).
    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor>;

    /// The trainable variables with distinct names, in an order that never changes.
    fn variables(&self) -> &[(String, Var)];

    /// What training changes without a gradient, such as the running means of batch normalisation,
    /// under names that differ from those of the variables: a saved learner needs them too.
    fn buffers(&self) -> &[(String, Var)] {
        &[]
    }

    /// Where the variables live, and inputs must be.
    fn device(&self) -> Device {
        self.variables().first().map_or(Device::Cpu, |(_, variable)| variable.device().clone())
    }

    /// Inputs to logits as a training step sees them: a learner that behaves differently while it
    /// is trained (batch normalisation) normalises with the batch and updates its buffers here.
    /// [`Learner::logits`] unless overridden.
    fn training_logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.logits(inputs)
    }

    /// Inputs (n x …) to logits (n x classes).
    fn logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.head(&self.features(inputs)?)
    }

    /// Loss of each point (n) from its logits (n x classes) and label (n, `u32`), or from its single output
    /// (n x 1) and the number to predict (n, a float). [`cross_entropy`] and [`squared_error`] unless
    /// overridden.
    fn losses_of(&self, logits: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
        match are_numbers(targets) {
            true => squared_error(logits, targets),
            false => cross_entropy(logits, targets),
        }
    }

    /// Loss of each point (n) from its inputs: [`Learner::losses_of`] its [logits](Learner::logits). Override that for a loss of
    /// your own; who has the logits already does not ask here.
    fn losses(&self, inputs: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        self.losses_of(&self.logits(inputs)?, labels)
    }

    /// Class of the largest logit of each point (n); among equals the smallest class.
    ///
    /// Fails if a logit is NaN or infinite, rather than call that a class.
    fn predict(&self, inputs: &Tensor) -> candle_core::Result<Vec<u32>> {
        let logits = self.logits(inputs)?.detach().to_device(&Device::Cpu)?;
        let logits = logits.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let classes = logits.iter().enumerate().map(|(row, logits)| largest(row, logits));
        Ok(classes.collect::<Result<_>>()?)
    }
}

/// So that a model can be picked at run time.
impl Learner for Box<dyn Learner> {
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        (**self).features(inputs)
    }

    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        (**self).head(features)
    }

    fn variables(&self) -> &[(String, Var)] {
        (**self).variables()
    }

    fn buffers(&self) -> &[(String, Var)] {
        (**self).buffers()
    }

    fn device(&self) -> Device {
        (**self).device()
    }

    fn training_logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        (**self).training_logits(inputs)
    }

    fn logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        (**self).logits(inputs)
    }

    fn losses_of(&self, logits: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
        (**self).losses_of(logits, targets)
    }

    fn losses(&self, inputs: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        (**self).losses(inputs, labels)
    }

    fn predict(&self, inputs: &Tensor) -> candle_core::Result<Vec<u32>> {
        (**self).predict(inputs)
    }
}

/// First position of the largest of `logits`, all of which must be finite.
fn largest(row: usize, logits: &[f64]) -> Result<u32> {
    let mut best = 0;
    for (column, &found) in logits.iter().enumerate() {
        if !found.is_finite() {
            return Err(Error::NotFinite { what: "logits", row, column, found });
        }
        if found > logits[best] {
            best = column;
        }
    }
    Ok(best as u32)
}

/// Share of the points of `data` that `learner` classifies correctly, in [0, 1].
///
/// At most `batch_size` points are in the learner at a time, here and in the functions below.
///
/// # Errors
/// [`Error::OutOfRange`] if `batch_size` is 0; [`Error::NotFinite`] or [`Error::Tensor`] if the
/// learner fails, for example on inputs of another shape or type than its own.
pub fn accuracy_in_batches(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
) -> Result<f64> {
    let mut right = 0;
    for_each_batch(learner, data, batch_size, |inputs, points| {
        let classes = learner.predict(inputs)?;
        expect_rows("predicted classes", points.len(), &[classes.len()], 1)?;
        let labels = points.iter().map(|point| data.labels()[*point]);
        right += classes.iter().zip(labels).filter(|(class, label)| **class == *label).count();
        Ok(())
    })?;
    Ok(right as f64 / data.points() as f64)
}

/// Test error of `learner` on `data`: the share of points that it classifies wrong, or, where the data has
/// [targets](Source::targets), the root of the mean squared error.
///
/// # Errors
/// As [`accuracy_in_batches`].
pub fn error_in_batches(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
) -> Result<f64> {
    let Some(targets) = data.targets() else {
        return Ok(1.0 - accuracy_in_batches(learner, data, batch_size)?);
    };
    let mut sum = 0.0;
    for_each_batch(learner, data, batch_size, |inputs, points| {
        let outputs = learner.logits(inputs)?.detach();
        expect_rows("predicted numbers", points.len(), &[outputs.elem_count()], 1)?;
        let pairs = to_vec(&outputs)?.into_iter().zip(points);
        sum += pairs.map(|(o, point)| (o - f64::from(targets[*point])).powi(2)).sum::<f64>();
        Ok(())
    })?;
    Ok((sum / data.points() as f64).sqrt())
}

/// Loss of every point of `data`, in its order.
///
/// # Errors
/// As [`accuracy_in_batches`]; a loss that is not finite is returned as it is.
pub fn losses_in_batches(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(data.points());
    for_each_batch(learner, data, batch_size, |inputs, points| {
        let targets = targets_at(data, points, inputs.device())?;
        let losses = learner.losses(inputs, &targets)?.detach().to_device(&Device::Cpu)?;
        expect_rows("losses", points.len(), losses.dims(), 1)?;
        all.extend(losses.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        Ok(())
    })?;
    Ok(all)
}

/// Features of every point of `data` (points x d), in its order, without gradient.
///
/// # Errors
/// As [`accuracy_in_batches`].
pub fn features_in_batches(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
) -> Result<Tensor> {
    let mut all = Vec::new();
    for_each_batch(learner, data, batch_size, |inputs, points| {
        // Detached at once: otherwise every batch would keep all its activations alive.
        let features = learner.features(inputs)?.detach();
        expect_rows("features", points.len(), features.dims(), 2)?;
        all.push(features);
        Ok(())
    })?;
    Ok(Tensor::cat(&all, 0)?)
}

pub(crate) fn for_each_batch(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
    mut act: impl FnMut(&Tensor, &[usize]) -> Result<()>,
) -> Result<()> {
    if batch_size == 0 {
        return Err(Error::range("batch_size", "at least 1", 0.0));
    }
    let everyone: Vec<usize> = (0..data.points()).collect();
    for chunk in everyone.chunks(batch_size) {
        let inputs = data.inputs_at(chunk)?.to_device(&learner.device())?;
        act(&inputs, chunk)?;
    }
    Ok(())
}

/// What a learner returns must have one row a point: otherwise answers shift between points.
fn expect_rows(what: &'static str, rows: usize, dims: &[usize], rank: usize) -> Result<()> {
    if dims.len() == rank && dims[0] == rows {
        return Ok(());
    }
    Err(Error::shape(what, format!("{rows} rows, {rank} dimension(s)"), dims))
}
