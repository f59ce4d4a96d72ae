//! How the validation loss after a look-ahead depends on the weight of each incoming point.
//!
//! ```text
//! theta_hat  what the learner is thought to become on   L_w = sum_j w_j l_j / sum_j w_j      (LookAhead)
//! a_j        dL_val(theta_hat)/ds_j,                     s_j = w_j / W,   W = sum_k w_k
//! dL_val(theta_hat)/dw_j = (a_j - sum_k w_k a_k / W) / W
//! ```
//!
//! The second term of the last line is the quotient rule. After one step of gradient descent of length `eta`,
//! `a_j = -eta <grad l_j(theta), grad L_val(theta_hat)>`.

use candle_core::Tensor;

use super::look_ahead::{LookAhead, Situation};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::layer::bridge::to_scalar;
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
    /// `a_j`: what one more share of the point does to the validation loss; positive is harmful.
    pub harm: Vec<f64>,
    /// `grad L_w(theta)`, in the order of the learner's variables: the learner's own step uses it too.
    pub gradient: Vec<Option<Tensor>>,
}

/// Computes the hypergradient; the learner is as before when it returns.
///
/// # Cost
/// One backward pass of the batch and what the [look-ahead](LookAhead) takes.
///
/// # Errors
/// [`Error::OutOfRange`] if the weights sum to zero or the look-ahead's settings have no meaning;
/// [`Error::Tensor`] from the learner.
pub fn hypergradient(
    learner: &dyn Learner,
    batch: &Batch,
    weights: &[f64],
    validation: &Batch,
    look_ahead: LookAhead,
) -> Result<Hypergradient> {
    let losses = learner.losses(&batch.inputs, &batch.labels)?;
    hypergradient_of(learner, (batch, &losses), weights, validation, look_ahead)
}

/// The same, where the losses of the batch have been made.
pub(super) fn hypergradient_of(
    learner: &dyn Learner,
    (batch, losses): (&Batch, &Tensor),
    weights: &[f64],
    validation: &Batch,
    look_ahead: LookAhead,
) -> Result<Hypergradient> {
    look_ahead.check()?;
    let (training_loss, gradient) = weighted_gradient_of(learner, losses, weights)?;
    let total: f64 = weights.iter().sum();
    let shares: Vec<f64> = weights.iter().map(|w| w / total).collect();
    let situation = Situation { learner, batch, shares: &shares, gradient: &gradient, validation };
    let found = look_ahead.take(&situation)?;
    let harm = found.by_share;
    let mean = harm.iter().zip(weights).map(|(a, w)| a * w).sum::<f64>() / total;
    Ok(Hypergradient {
        training_loss,
        validation_loss: found.validation_loss,
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
    weighted_gradient_of(learner, &learner.losses(&batch.inputs, &batch.labels)?, weights)
}

/// The same, where the losses have been made.
pub(super) fn weighted_gradient_of(
    learner: &dyn Learner,
    losses: &Tensor,
    weights: &[f64],
) -> Result<(f64, Vec<Option<Tensor>>)> {
    let total: f64 = weights.iter().sum();
    let usable = total > 0.0 && total.is_finite();
    if !usable {
        return Err(Error::range("sum of weights", "> 0", total));
    }
    let shares: Vec<f64> = weights.iter().map(|w| w / total).collect();
    let shares = Tensor::from_vec(shares, weights.len(), &candle_core::Device::Cpu)?;
    let shares = shares.to_dtype(losses.dtype())?.to_device(losses.device())?;
    let loss = (losses * shares)?.sum_all()?;
    let grads = loss.backward()?;
    let gradient =
        learner.variables().iter().map(|(_, var)| grads.get(var).map(Tensor::detach)).collect();
    Ok((to_scalar(&loss)?, gradient))
}
