//! Losses of points, from what a learner puts out.

use candle_core::{D, DType, Tensor};

use crate::error::{Error, Result};
use crate::learn::Learner;

/// Which loss a training minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    /// The learner's own: softmax cross-entropy for classes and the squared error for numbers, unless it
    /// says otherwise ([`Learner::losses_of`]).
    #[default]
    Own,
    /// [`huber`] with this delta, for numbers: errors beyond it count linearly.
    Huber(f64),
}

impl Loss {
    /// Loss of each point (n) from a learner's outputs, for labels (n, `u32`) or numbers to predict (n).
    ///
    /// # Errors
    /// Shapes and types that do not fit.
    pub fn of(
        self,
        learner: &dyn Learner,
        outputs: &Tensor,
        targets: &Tensor,
    ) -> candle_core::Result<Tensor> {
        match self {
            Self::Own => learner.losses_of(outputs, targets),
            Self::Huber(delta) => huber(outputs, targets, delta),
        }
    }

    /// Refuses what makes no sense for classes, or for numbers.
    pub(crate) fn check(self, numbers: bool) -> Result<()> {
        let Self::Huber(found) = self else { return Ok(()) };
        if !numbers {
            let (method, what) = ("the Huber loss", "classification");
            return Err(Error::Unsupported { method, what, instead: "Loss::Own" });
        }
        if !(found > 0.0 && found.is_finite()) {
            let (what, rule) = ("delta of the Huber loss", "positive and finite");
            return Err(Error::range(what, rule, found));
        }
        Ok(())
    }
}

/// Softmax cross-entropy of each row of `logits` (n x classes) at its label (n, `u32`): n losses.
///
/// ```text
/// loss_i = log sum_k exp(z_ik - max_i) - (z_iy - max_i),      y = label of i
/// ```
///
/// Finite for all finite logits in `f32` and `f64`. The row maximum is taken as a constant:
/// its derivative cancels on paper, but candle's `max` sends the full gradient to every tie.
///
/// # Errors
/// Shapes that do not fit, labels that are not integers or not below the number of classes.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
    let largest = logits.detach().max_keepdim(D::Minus1)?;
    let shifted = logits.broadcast_sub(&largest)?;
    let at_label = shifted.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
    shifted.exp()?.sum(D::Minus1)?.log()? - at_label
}

/// `(o - y)^2` for each output (n x 1) and the number to predict (n): n losses.
///
/// # Errors
/// Shapes that do not fit.
pub fn squared_error(outputs: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
    residuals(outputs, targets)?.sqr()
}

/// For each output (n x 1) and the number to predict (n), with `r = |o - y|`:
///
/// ```text
/// r^2                      up to delta
/// 2 delta r - delta^2      beyond
/// ```
///
/// the squared error up to `delta` and a line from there on, so that a few wild numbers do not decide.
///
/// # Errors
/// Shapes that do not fit.
pub fn huber(outputs: &Tensor, targets: &Tensor, delta: f64) -> candle_core::Result<Tensor> {
    let far = residuals(outputs, targets)?.abs()?;
    // r^2 - (r - delta)_+^2 is both branches in one, and smooth where they meet.
    far.sqr()? - (far - delta)?.relu()?.sqr()?
}

fn residuals(outputs: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
    outputs.squeeze(1)? - targets.to_dtype(outputs.dtype())?
}

/// Whether these are numbers to predict rather than classes.
pub(crate) fn are_numbers(targets: &Tensor) -> bool {
    matches!(targets.dtype(), DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// Values and derivatives on both sides of the knee and at it.
    #[test]
    fn huber_is_the_square_and_then_a_line() -> candle_core::Result<()> {
        let outputs = Var::new(&[[0.0f64], [0.5], [1.0], [3.0], [-3.0]], &Device::Cpu)?;
        let targets = Tensor::zeros(5, DType::F64, &Device::Cpu)?;
        let losses = huber(&outputs, &targets, 1.0)?;
        assert_eq!(losses.to_vec1::<f64>()?, [0.0, 0.25, 1.0, 5.0, 5.0]);
        let slopes = losses.sum_all()?.backward()?;
        let slopes = slopes.get(&outputs).unwrap().flatten_all()?.to_vec1::<f64>()?;
        assert_eq!(slopes, [0.0, 1.0, 2.0, 2.0, -2.0]);
        assert_eq!(squared_error(&outputs, &targets)?.to_vec1::<f64>()?[3], 9.0);
        Ok(())
    }
}
