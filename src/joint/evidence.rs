//! What the selection model is told of a point beside its cost features.

use candle_core::{D, Tensor};

use crate::data::Source;
use crate::error::{Error, Result};
use crate::layer::bridge::to_vec;
use crate::learn::loss::are_numbers;

/// What a learner is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Asked {
    /// One of so many classes.
    Classes(usize),
    /// A number; those of the validation points lie around `middle`, `spread` (their standard deviation) about.
    Numbers { middle: f64, spread: f64 },
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Classes(classes) => write!(f, "{classes} classes"),
            Self::Numbers { middle, spread } => write!(f, "numbers around {middle} by {spread}"),
        }
    }
}

impl Asked {
    /// By the points that the selection model answers to.
    pub(super) fn of(validation: &dyn Source) -> Self {
        let Some(targets) = validation.targets() else {
            return Self::Classes(validation.classes());
        };
        let count = targets.len() as f64;
        let middle = targets.iter().map(|y| f64::from(*y)).sum::<f64>() / count;
        let square = targets.iter().map(|y| (f64::from(*y) - middle).powi(2)).sum::<f64>();
        let spread = (square / count).sqrt();
        Self::Numbers { middle, spread: if spread > 0.0 { spread } else { 1.0 } }
    }

    /// Numbers of evidence a point.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Classes(classes) => 2 * classes + 2,
            Self::Numbers { .. } => 4,
        }
    }

    /// Refuses labels where numbers are asked for, and numbers where classes are.
    pub(super) fn check(self, labels: &Tensor) -> Result<()> {
        let (numbers, found) = (matches!(self, Self::Numbers { .. }), labels.dtype().as_str());
        if numbers == are_numbers(labels) {
            return Ok(());
        }
        let expected =
            if numbers { "numbers, as the validation points have" } else { "classes (u32)" };
        Err(Error::shape("labels of a batch", expected, found))
    }

    /// The evidence (`n x` [`width`](Self::width)) from a learner's outputs (`n x k`).
    ///
    /// Of classes: one-hot label, residual (probabilities minus one-hot), loss and running mean loss, both squashed to
    /// `[0, 1)` by `1 - exp(-l)`. Of numbers the same in units of their spread: the number and the residual, squashed to
    /// `(-1, 1)` by `x / (1 + |x|)`, and so the losses, which are far from one before the learner knows the middle.
    pub(super) fn evidence(
        self,
        outputs: &Tensor,
        labels: &Tensor,
        losses: &[f64],
        running: &[f64],
    ) -> Result<Tensor> {
        let n = outputs.dim(0)?;
        let column = |values: Vec<f32>| -> Result<Tensor> {
            Ok(Tensor::from_vec(values, (n, 1), outputs.device())?.to_dtype(outputs.dtype())?)
        };
        let about = |x: f64| x / (1.0 + x.abs());
        let told = match self {
            Self::Classes(_) => residuals_of_classes(outputs, labels)?,
            Self::Numbers { middle, spread } => {
                let (outputs, targets) = (to_vec(&outputs.flatten_all()?)?, to_vec(labels)?);
                let numbers = targets.iter().map(|y| about((y - middle) / spread) as f32);
                let pairs = outputs.iter().zip(&targets);
                let residuals = pairs.map(|(o, y)| about((o - y) / spread) as f32);
                vec![column(numbers.collect())?, column(residuals.collect())?]
            }
        };
        let squash = |loss: &f64| match self {
            Self::Classes(_) => (1.0 - (-loss).exp()) as f32,
            Self::Numbers { spread, .. } => about(loss / (spread * spread)) as f32,
        };
        let squash = |values: &[f64]| column(values.iter().map(squash).collect());
        let losses = [squash(losses)?, squash(running)?];
        Ok(Tensor::cat(&[&told[..], &losses].concat(), 1)?)
    }

    /// Rows of cost features and evidence side by side, apart again.
    pub(super) fn apart(self, rows: &Tensor) -> Result<(Tensor, Tensor)> {
        let features = rows.dim(1)? - self.width();
        let evidence = rows.narrow(1, features, self.width())?.contiguous()?;
        Ok((rows.narrow(1, 0, features)?.contiguous()?, evidence))
    }
}

/// One-hot labels, and the probabilities minus these.
fn residuals_of_classes(logits: &Tensor, labels: &Tensor) -> Result<Vec<Tensor>> {
    let (n, classes) = logits.dims2()?;
    let probabilities = candle_nn::ops::softmax(logits, D::Minus1)?;
    let mut one_hot = vec![0f32; n * classes];
    for (row, label) in labels.to_vec1::<u32>()?.into_iter().enumerate() {
        one_hot[row * classes + label as usize] = 1.0;
    }
    let one_hot =
        Tensor::from_vec(one_hot, (n, classes), logits.device())?.to_dtype(logits.dtype())?;
    let residual = (&probabilities - &one_hot)?;
    Ok(vec![one_hot, residual])
}
