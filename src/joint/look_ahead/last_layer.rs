//! The last layer, trained in closed form.

use nalgebra::DMatrix;

use super::{Ahead, Situation, pieces, slopes};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::joint::normal::Normal;
use crate::layer::bridge::to_matrix;
use crate::learn::Learner;
use crate::learn::loss::are_numbers;

/// With `A = c Phi'S Phi + lambda I`, `S` the shares, `D = -A^-1 Phi'S R` and `U = A^-1 dL_val/dD`:
///
/// ```text
/// dL_val/ds_j = -<r_j + c D'phi_j, U'phi_j>
/// ```
pub(super) fn take(situation: &Situation, ridge: f64) -> Result<Ahead> {
    let Situation { learner, batch, shares, validation, .. } = *situation;
    let (phi, outputs) = seen(learner, batch)?;
    let (_, r) = slopes(learner, &outputs, batch)?;
    let c = if are_numbers(&batch.labels) { 2.0 } else { 0.5 };
    let unit = phi.norm_squared() / phi.len() as f64;

    // Rows of sqrt(c s_j) phi_j, and so targets of -sqrt(s_j / c) r_j.
    let normal = Normal::new(scaled(&phi, shares, c), ridge * c * unit);
    let d = normal.regress(&-scaled(&r, shares, 1.0 / c));

    let (phi_validation, outputs) = seen(learner, validation)?;
    let (sum, slope) = slopes(learner, &(outputs + &phi_validation * &d), validation)?;
    let points = validation.indices.len() as f64;
    let u = normal.inverse_times(phi_validation.tr_mul(&slope) / points);

    let (left, along) = (r + &phi * &d * c, phi * u);
    let by_share = (0..shares.len()).map(|j| -left.row(j).dot(&along.row(j))).collect();
    Ok(Ahead { validation_loss: sum / points, by_share })
}

/// What enters the last layer, a one at the end, and what leaves it: a row a point.
fn seen(learner: &dyn Learner, batch: &Batch) -> Result<(DMatrix<f64>, DMatrix<f64>)> {
    let (mut phi, mut outputs) = (Vec::new(), Vec::new());
    for piece in pieces(batch) {
        let features = learner.features(&piece?.1.inputs)?.detach();
        outputs.push(to_matrix(&learner.head(&features)?.detach())?);
        let features = to_matrix(&features)?;
        let width = features.ncols();
        phi.push(features.insert_column(width, 1.0));
    }
    Ok((stacked(phi)?, stacked(outputs)?))
}

/// Pieces of one table.
fn stacked(pieces: Vec<DMatrix<f64>>) -> Result<DMatrix<f64>> {
    let Some(first) = pieces.first() else {
        return Err(Error::shape("points of a batch", "at least one", 0));
    };
    let mut all = DMatrix::zeros(pieces.iter().map(DMatrix::nrows).sum(), first.ncols());
    let mut start = 0;
    for piece in pieces {
        all.rows_mut(start, piece.nrows()).copy_from(&piece);
        start += piece.nrows();
    }
    Ok(all)
}

/// Each row times the root of its share times `c`.
fn scaled(table: &DMatrix<f64>, shares: &[f64], c: f64) -> DMatrix<f64> {
    let mut table = table.clone();
    for (mut row, share) in table.row_iter_mut().zip(shares) {
        row *= (c * share).sqrt();
    }
    table
}
