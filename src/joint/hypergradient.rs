//! How the validation loss after one look-ahead step depends on the weight of each incoming point.
//!
//! ```text
//! theta_hat = theta - eta grad L_w(theta),     L_w = sum_j w_j l_j / sum_j w_j
//! v         = grad L_val(theta_hat)
//! a_j       = -eta <grad l_j(theta), v>
//! dL_val(theta_hat)/dw_j = (a_j - sum_k w_k a_k / W) / W,     W = sum_k w_k
//! ```
//!
//! The second term of the last line is the quotient rule. All `<grad l_j, v>` together are one
//! directional derivative of the vector of losses, taken by a central difference: two forward passes
//! instead of a backward pass a sample.

use candle_core::{DType, Tensor, Var};

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::layer::bridge::{to_scalar, to_vec};
use crate::learn::Learner;

/// What the validation set says about a weighted batch.
#[derive(Clone, Debug)]
pub struct Hypergradient {
    /// Weighted training loss at `theta`.
    pub training_loss: f64,
    /// Validation loss at `theta_hat`.
    pub validation_loss: f64,
    /// `dL_val(theta_hat)/dw_j`, one a point.
    pub by_weight: Vec<f64>,
    /// `a_j`: what one unit of `l_j`'s gradient does to the validation loss; positive is harmful.
    pub harm: Vec<f64>,
    /// `grad L_w(theta)`, in the order of the learner's variables: the learner's own step uses it too.
    pub gradient: Vec<Option<Tensor>>,
}

/// Computes the hypergradient; the learner is as before when it returns.
///
/// # Cost
/// Two backward passes (batch and validation set) and three forward passes.
///
/// # Errors
/// [`Error::OutOfRange`] if the weights sum to zero or the look-ahead is not positive;
/// [`Error::Tensor`] from the learner.
pub fn hypergradient(
    learner: &dyn Learner,
    batch: &Batch,
    weights: &[f64],
    validation: &Batch,
    look_ahead: f64,
) -> Result<Hypergradient> {
    let positive = look_ahead > 0.0 && look_ahead.is_finite();
    if !positive {
        return Err(Error::range("look-ahead", "> 0", look_ahead));
    }
    let variables = learner.variables();
    let here = snapshot(variables)?;
    let (loss, gradient) = weighted_gradient(learner, batch, weights)?;
    let outcome = (|| -> Result<(f64, Vec<f64>)> {
        shift(variables, &here, &gradient, -look_ahead)?;
        let (validation_loss, v) = mean_gradient(learner, validation)?;
        let along = directional(learner, batch, &here, &v)?;
        Ok((validation_loss, along))
    })();
    // Restore whatever happened: an error loses nothing.
    shift(variables, &here, &gradient, 0.0)?;
    let (validation_loss, along) = outcome?;
    let harm: Vec<f64> = along.iter().map(|d| -look_ahead * d).collect();
    let total: f64 = weights.iter().sum();
    let mean = harm.iter().zip(weights).map(|(a, w)| a * w).sum::<f64>() / total;
    Ok(Hypergradient {
        training_loss: loss,
        validation_loss,
        by_weight: harm.iter().map(|a| (a - mean) / total).collect(),
        harm,
        gradient,
    })
}

/// `L_w(theta)` and its gradient.
///
/// # Errors
/// [`Error::OutOfRange`] if the weights sum to zero; [`Error::Tensor`] from the learner.
pub fn weighted_gradient(
    learner: &dyn Learner,
    batch: &Batch,
    weights: &[f64],
) -> Result<(f64, Vec<Option<Tensor>>)> {
    let total: f64 = weights.iter().sum();
    let usable = total > 0.0 && total.is_finite();
    if !usable {
        return Err(Error::range("sum of weights", "> 0", total));
    }
    let losses = learner.losses(&batch.inputs, &batch.labels)?;
    let shares: Vec<f64> = weights.iter().map(|w| w / total).collect();
    let shares = Tensor::from_vec(shares, weights.len(), &candle_core::Device::Cpu)?;
    let shares = shares.to_dtype(losses.dtype())?.to_device(losses.device())?;
    let loss = (losses * shares)?.sum_all()?;
    let grads = loss.backward()?;
    let gradient =
        learner.variables().iter().map(|(_, var)| grads.get(var).map(Tensor::detach)).collect();
    Ok((to_scalar(&loss)?, gradient))
}

/// The mean loss of a batch and its gradient, piece by piece: a validation set may be large, and the
/// activations of all of it at once would neither fit a cache nor, perhaps, the memory.
fn mean_gradient(learner: &dyn Learner, batch: &Batch) -> Result<(f64, Vec<Option<Tensor>>)> {
    const PIECE: usize = 64;
    let count = batch.indices.len();
    let mut total = 0.0;
    let mut gradient: Vec<Option<Tensor>> = vec![None; learner.variables().len()];
    for start in (0..count).step_by(PIECE) {
        let len = PIECE.min(count - start);
        let inputs = batch.inputs.narrow(0, start, len)?.contiguous()?;
        let labels = batch.labels.narrow(0, start, len)?.contiguous()?;
        let loss = (learner.losses(&inputs, &labels)?.sum_all()? * (1.0 / count as f64))?;
        let grads = loss.backward()?;
        for (sum, (_, var)) in gradient.iter_mut().zip(learner.variables()) {
            *sum = match (sum.take(), grads.get(var)) {
                (Some(sum), Some(more)) => Some((sum + more.detach())?),
                (sum, more) => sum.or_else(|| more.map(Tensor::detach)),
            };
        }
        total += to_scalar(&loss)?;
    }
    Ok((total, gradient))
}

/// `<grad l_j(theta), v>` for every point of the batch; leaves the variables shifted.
fn directional(
    learner: &dyn Learner,
    batch: &Batch,
    here: &[Tensor],
    v: &[Option<Tensor>],
) -> Result<Vec<f64>> {
    let variables = learner.variables();
    let length = norm(v.iter().flatten())?;
    if length == 0.0 {
        return Ok(vec![0.0; batch.indices.len()]);
    }
    // Truncation grows with the square of the step, rounding with its inverse: a cube root of the
    // type's precision, relative to the size of the parameters, balances them.
    let unit = match here.first().map(Tensor::dtype) {
        Some(DType::F64) => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    };
    let step = unit.cbrt() * norm(here.iter())?.max(1.0) / length;
    let losses_at = |h: f64| -> Result<Vec<f64>> {
        shift(variables, here, v, h)?;
        to_vec(&learner.losses(&batch.inputs, &batch.labels)?.detach())
    };
    let (ahead, behind) = (losses_at(step)?, losses_at(-step)?);
    Ok(ahead.iter().zip(&behind).map(|(a, b)| (a - b) / (2.0 * step)).collect())
}

fn snapshot(variables: &[(String, Var)]) -> Result<Vec<Tensor>> {
    Ok(variables
        .iter()
        .map(|(_, var)| var.as_tensor().copy())
        .collect::<candle_core::Result<_>>()?)
}

/// Sets every variable to `here + h * direction`.
fn shift(
    variables: &[(String, Var)],
    here: &[Tensor],
    direction: &[Option<Tensor>],
    h: f64,
) -> Result<()> {
    for (((_, var), here), direction) in variables.iter().zip(here).zip(direction) {
        match direction {
            Some(d) if h != 0.0 => var.set(&(here + (d * h)?)?)?,
            _ => var.set(here)?,
        }
    }
    Ok(())
}

/// Euclidean norm of several tensors together.
fn norm<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<f64> {
    let mut square = 0.0;
    for tensor in tensors {
        square += to_scalar(&tensor.sqr()?.sum_all()?)?;
    }
    Ok(square.sqrt())
}
