//! One step of gradient descent of the network itself.

use super::{Ahead, Path, Situation, gradient_of_sum};
use crate::error::Result;
use crate::layer::bridge::to_vec;
use nalgebra::DMatrix;

/// ```text
/// v = grad L_val(theta - rate grad L_w(theta)),     dL_val/ds_j = -rate <grad l_j(theta), v>
/// ```
///
/// All `<grad l_j, v>` together are one directional derivative of the vector of losses: two forward passes instead of a
/// backward pass a sample.
pub(super) fn take(situation: &Situation, rate: f64) -> Result<Ahead> {
    let Situation { learner, batch, validation, gradient, .. } = *situation;
    let path = Path::new(learner)?;
    let points = validation.indices.len() as f64;
    let (validation_loss, v) = path.at(gradient, -rate, || {
        gradient_of_sum(learner, validation, |_, piece| {
            Ok((learner.losses(&piece.inputs, &piece.labels)?.sum_all()? * (1.0 / points))?)
        })
    })?;
    let along = path.derivative(&v, || {
        let losses = to_vec(&learner.losses(&batch.inputs, &batch.labels)?.detach())?;
        Ok(DMatrix::from_vec(losses.len(), 1, losses))
    })?;
    Ok(Ahead { validation_loss, by_share: along.iter().map(|d| -rate * d).collect() })
}
