//! The learner linearised in all its variables, after some steps.

use candle_core::Tensor;
use nalgebra::DMatrix;

use super::{Ahead, Path, Situation, gradient_of_sum, like, pieces, slopes};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::layer::bridge::{to_matrix, to_tensor};
use crate::learn::Learner;

/// With `z_k = f + J d_k` and `m_k = J v_k` for the points of the batch, backwards from `v = dL_val/dd` after the last step:
///
/// ```text
/// dL_val/ds_j = -rate sum_k <r_j(z_k), m_j,k>,     v <- v - rate sum_j s_j J(x_j)' H_j(z_k) m_j,k
/// ```
///
/// `H_j`, the second derivative of a loss in its outputs, is met along one direction only: a central difference of slopes.
pub(super) fn take(situation: &Situation, rate: f64, steps: usize) -> Result<Ahead> {
    let Situation { learner, batch, shares, validation, gradient } = *situation;
    let linear = Linear { learner, path: Path::new(learner)? };
    let outputs = linear.outputs(batch)?;
    let mut d = plus(vec![None; gradient.len()], gradient, -rate)?;
    let mut places = vec![outputs.clone()];
    for _ in 1..steps {
        let place = &outputs + linear.push(&d, batch)?;
        let (_, r) = slopes(learner, &place, batch)?;
        d = plus(d, &linear.pull(&by_rows(r, shares), batch)?, -rate)?;
        places.push(place);
    }

    let there = linear.outputs(validation)? + linear.push(&d, validation)?;
    let (sum, slope) = slopes(learner, &there, validation)?;
    let points = validation.indices.len() as f64;
    let mut v = linear.pull(&(slope / points), validation)?;

    let mut by_share = vec![0.0; shares.len()];
    for (k, place) in places.iter().enumerate().rev() {
        let m = linear.push(&v, batch)?;
        let (_, r) = slopes(learner, place, batch)?;
        for (j, harm) in by_share.iter_mut().enumerate() {
            *harm -= rate * r.row(j).dot(&m.row(j));
        }
        if k > 0 {
            let bent = bend(learner, place, &m, batch)?;
            v = plus(v, &linear.pull(&by_rows(bent, shares), batch)?, -rate)?;
        }
    }
    Ok(Ahead { validation_loss: sum / points, by_share })
}

/// A learner's outputs and their derivative `J` in its variables.
struct Linear<'a> {
    learner: &'a dyn Learner,
    path: Path<'a>,
}

impl Linear<'_> {
    fn outputs(&self, batch: &Batch) -> Result<DMatrix<f64>> {
        let mut rows = Vec::new();
        let mut width = 0;
        for piece in pieces(batch) {
            let outputs = to_matrix(&self.learner.logits(&piece?.1.inputs)?.detach())?;
            width = outputs.ncols();
            rows.extend(outputs.transpose().as_slice());
        }
        if rows.is_empty() {
            return Err(Error::shape("points of a batch", "at least one", 0));
        }
        Ok(DMatrix::from_row_slice(rows.len() / width, width, &rows))
    }

    /// `J v`.
    fn push(&self, v: &[Option<Tensor>], batch: &Batch) -> Result<DMatrix<f64>> {
        self.path.derivative(v, || self.outputs(batch))
    }

    /// `J'r`.
    fn pull(&self, r: &DMatrix<f64>, batch: &Batch) -> Result<Vec<Option<Tensor>>> {
        let r = to_tensor(r, &like(self.learner, batch)?)?;
        let (_, pulled) = gradient_of_sum(self.learner, batch, |start, piece| {
            let r = r.narrow(0, start, piece.indices.len())?;
            Ok((self.learner.logits(&piece.inputs)? * r)?.sum_all()?)
        })?;
        Ok(pulled)
    }
}

/// `H_j m_j` of every point.
fn bend(
    learner: &dyn Learner,
    place: &DMatrix<f64>,
    m: &DMatrix<f64>,
    batch: &Batch,
) -> Result<DMatrix<f64>> {
    let length = m.amax();
    if length == 0.0 {
        return Ok(m.clone());
    }
    let unit = match like(learner, batch)?.dtype() {
        candle_core::DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    };
    let step = unit.cbrt() * place.amax().max(1.0) / length;
    let at = |h: f64| slopes(learner, &(place + m * h), batch);
    Ok((at(step)?.1 - at(-step)?.1) / (2.0 * step))
}

fn by_rows(mut table: DMatrix<f64>, shares: &[f64]) -> DMatrix<f64> {
    for (mut row, share) in table.row_iter_mut().zip(shares) {
        row *= *share;
    }
    table
}

/// `a + c b`, variable by variable.
fn plus(a: Vec<Option<Tensor>>, b: &[Option<Tensor>], c: f64) -> Result<Vec<Option<Tensor>>> {
    let sum = |(a, b): (Option<Tensor>, &Option<Tensor>)| -> Result<Option<Tensor>> {
        Ok(match (a, b) {
            (Some(a), Some(b)) => Some((a + (b * c)?)?),
            (None, Some(b)) => Some((b * c)?),
            (a, None) => a,
        })
    };
    a.into_iter().zip(b).map(sum).collect()
}
