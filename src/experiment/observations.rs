//! What a trained learner makes of a pool: the evidence of all strategies from one forward pass.

use candle_core::{DType, Device, Tensor, Var};

use super::stages::CHUNK;
use super::{Run, kept};
use crate::choose::{CrossFit, Evidence};
use crate::data::Source;
use crate::data::dataset::check_labels;
use crate::data::source::targets_at;
use crate::error::{Error, Result};
use crate::layer::bridge::to_vec;
use crate::learn::History;
use crate::learn::{Learner, Loss};
use crate::seeds::Seeds;

/// A learner's features, probabilities and losses for every point of a pool, and what was noted about
/// the points while it was trained.
///
/// # Cost
/// One forward pass; `points (width + classes)` numbers of memory, and two a point for every epoch of a history.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    points: usize,
    width: usize,
    features: Vec<f32>,
    classes: usize,
    probabilities: Vec<f32>,
    /// Empty where labels are not known, as are the two below.
    labels: Vec<u32>,
    losses: Vec<f64>,
    /// Of numbers to predict: the loss's derivative in the outputs, and how many of these there are.
    errors: Vec<f32>,
    outputs: usize,
    history: History,
    /// Empty unless they were asked for.
    gradient_norms: Vec<f64>,
}

impl Observations {
    /// Observes all points as they are, without augmentation, labels (or the numbers to predict) and the
    /// loss at them included.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the learner gives something that is not a number, [`Error::Tensor`] if it
    /// fails, and whatever the source meets.
    pub fn labelled(
        learner: &dyn Learner,
        data: &dyn Source,
        history: Option<History>,
        loss: Loss,
    ) -> Result<Self> {
        let mut seen = Self::observed(learner, data, Some(loss))?;
        seen.labels = data.labels().to_vec();
        seen.history = history.unwrap_or_default();
        Ok(seen)
    }

    /// The same without looking at a label.
    ///
    /// # Errors
    /// As [`Observations::labelled`].
    pub fn unlabelled(learner: &dyn Learner, data: &dyn Source) -> Result<Self> {
        Self::observed(learner, data, None)
    }

    fn observed(learner: &dyn Learner, data: &dyn Source, loss: Option<Loss>) -> Result<Self> {
        let mut seen = Self { points: data.points(), ..Default::default() };
        let (everyone, device) = ((0..data.points()).collect::<Vec<_>>(), learner.device());
        for chunk in everyone.chunks(CHUNK) {
            let inputs = data.inputs_at(chunk)?.to_device(&device)?;
            let features = learner.features(&inputs)?.detach();
            let logits = learner.head(&features)?.detach();
            seen.width = append("features", &features, chunk, &mut seen.features)?;
            if data.targets().is_none() {
                seen.add_probabilities(&logits, chunk)?;
            }
            if let Some(loss) = loss {
                let targets = targets_at(data, chunk, &device)?;
                let losses = if data.targets().is_some() {
                    let outputs = Var::from_tensor(&logits)?;
                    let losses = loss.of(learner, &outputs, &targets)?;
                    seen.add_errors(&losses, &outputs, chunk)?;
                    losses
                } else {
                    check_labels(&data.labels()[chunk[0]..][..chunk.len()], seen.classes)?;
                    loss.of(learner, &logits, &targets)?
                };
                append_losses(&losses, chunk, &mut seen.losses)?;
            }
        }
        Ok(seen)
    }

    fn add_probabilities(&mut self, logits: &Tensor, chunk: &[usize]) -> Result<()> {
        let start = self.probabilities.len();
        self.classes = append("logits", logits, chunk, &mut self.probabilities)?;
        self.probabilities[start..].chunks_mut(self.classes).for_each(softmax);
        Ok(())
    }

    /// The derivative of the losses in the learner's outputs.
    fn add_errors(&mut self, losses: &Tensor, outputs: &Var, chunk: &[usize]) -> Result<()> {
        let slopes = losses.sum_all()?.backward()?;
        let Some(slopes) = slopes.get(outputs) else {
            // A loss that does not depend on the outputs has no derivative in them.
            return Err(Error::shape("losses", "made from the learner's outputs", losses.dims()));
        };
        self.outputs = append("errors", slopes, chunk, &mut self.errors)?;
        Ok(())
    }

    /// The inputs themselves as features, flattened, and nothing else: what is known without a learner.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a number that is none, and whatever the source meets.
    pub fn inputs(data: &dyn Source) -> Result<Self> {
        let mut seen = Self { points: data.points(), ..Default::default() };
        let everyone: Vec<usize> = (0..data.points()).collect();
        for chunk in everyone.chunks(CHUNK) {
            let rows = data.inputs_at(chunk)?.flatten_from(1)?;
            seen.width = append("inputs", &rows, chunk, &mut seen.features)?;
        }
        Ok(seen)
    }

    /// The inputs themselves as features, the labels, and probabilities and losses [out of fold](CrossFit): what is
    /// known of a table without training anything.
    ///
    /// # Errors
    /// As [`inputs`](Self::inputs) and [`CrossFit::classes`].
    pub fn out_of_fold(data: &dyn Source, settings: &CrossFit, seeds: Seeds) -> Result<Self> {
        let seen = Self::labelled_inputs(data)?;
        let (labels, classes) = (data.labels(), data.classes());
        let found = settings.classes(&seen.features, seen.width, labels, classes, seeds)?;
        Ok(seen.judged(found.probabilities, classes))
    }

    /// [`out_of_fold`](Self::out_of_fold) of many rows, which can be killed at any moment: the nearest others, then the
    /// probabilities are kept in `run`, and the same call goes on from there. A run belongs to one table, with the same
    /// settings and seeds: its [configuration](super::Configuration) should say which.
    ///
    /// # Errors
    /// As [`out_of_fold`](Self::out_of_fold) and [`Run::save`].
    pub fn out_of_fold_in(
        run: &Run,
        data: &dyn Source,
        settings: &CrossFit,
        seeds: Seeds,
    ) -> Result<Self> {
        let seen = Self::labelled_inputs(data)?;
        let (table, labelled) = ((&*seen.features, seen.width), (data.labels(), data.classes()));
        let found = kept::out_of_fold(settings, table, labelled, seeds, run)?;
        Ok(seen.judged(found.probabilities, data.classes()))
    }

    /// With probabilities of its labels' classes, and the losses that follow.
    fn judged(self, probabilities: Vec<f32>, classes: usize) -> Self {
        let own = probabilities.chunks(classes).zip(&self.labels).map(|(p, y)| p[*y as usize]);
        let losses = own.map(|p| -f64::from(p.max(f32::MIN_POSITIVE)).ln()).collect();
        Self { losses, classes, probabilities, ..self }
    }

    /// The inputs themselves as features, and the labels.
    ///
    /// # Errors
    /// As [`inputs`](Self::inputs).
    pub fn labelled_inputs(data: &dyn Source) -> Result<Self> {
        Ok(Self { labels: data.labels().to_vec(), ..Self::inputs(data)? })
    }

    /// With norms of gradients, a number a point, such as [`gradient_norms`](crate::learn::gradient_norms) gives.
    pub fn with_gradient_norms(self, gradient_norms: Vec<f64>) -> Self {
        Self { gradient_norms, ..self }
    }

    /// Features, a row a point, and their width.
    pub fn features(&self) -> (&[f32], usize) {
        (&self.features, self.width)
    }

    /// The same as a strategy may look at it.
    ///
    /// # Errors
    /// As the functions of [`Evidence`].
    pub fn evidence(&self) -> Result<Evidence<'_>> {
        let mut evidence = Evidence::new(self.points).with_features(&self.features, self.width)?;
        if !self.probabilities.is_empty() {
            evidence = evidence.with_probabilities(&self.probabilities, self.classes)?;
        }
        if !self.labels.is_empty() {
            evidence = evidence.with_labels(&self.labels)?;
        }
        if !self.losses.is_empty() {
            evidence = evidence.with_losses(&self.losses)?;
        }
        if !self.errors.is_empty() {
            evidence = evidence.with_errors(&self.errors, self.outputs)?;
        }
        if !self.gradient_norms.is_empty() {
            evidence = evidence.with_gradient_norms(&self.gradient_norms)?;
        }
        if !self.history.right.is_empty() {
            evidence = evidence.with_history(&self.history.right)?;
            evidence = evidence.with_margins(&self.history.margins)?;
            evidence = evidence.with_label_probabilities(&self.history.label_probabilities)?;
        }
        Ok(evidence)
    }
}

/// Appends a table of one row a point and returns its width.
fn append(
    what: &'static str,
    table: &Tensor,
    chunk: &[usize],
    rows: &mut Vec<f32>,
) -> Result<usize> {
    let &[points, width] = table.dims() else {
        return Err(Error::shape(what, "one row a point", table.dims()));
    };
    if points != chunk.len() || width == 0 {
        return Err(Error::shape(what, (chunk.len(), "at least 1"), table.dims()));
    }
    let flat = table.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?;
    let flat = flat.to_vec1::<f32>()?;
    if let Some(at) = flat.iter().position(|x| !x.is_finite()) {
        let (row, column, found) = (chunk[at / width], at % width, f64::from(flat[at]));
        return Err(Error::NotFinite { what, row, column, found });
    }
    rows.extend(flat);
    Ok(width)
}

/// Appends a loss a point.
fn append_losses(losses: &Tensor, chunk: &[usize], all: &mut Vec<f64>) -> Result<()> {
    let found = to_vec(losses)?;
    if found.len() != chunk.len() {
        return Err(Error::shape("losses", chunk.len(), losses.dims()));
    }
    all.extend(found);
    Ok(())
}

/// In `f64`, so that the sum is one to the last digit of `f32`.
fn softmax(logits: &mut [f32]) {
    let largest = largest(logits);
    let total = total(logits, largest);
    logits.iter_mut().for_each(|z| *z = ((f64::from(*z) - largest).exp() / total) as f32);
}

fn largest(logits: &[f32]) -> f64 {
    f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// Sum of `exp(z - largest)`.
fn total(logits: &[f32], largest: f64) -> f64 {
    logits.iter().map(|z| (f64::from(*z) - largest).exp()).sum()
}
