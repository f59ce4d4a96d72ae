//! Ranking by the size of the error.

use crate::choose::neighbours::rows::squared_norm;
use crate::choose::{Evidence, Kind, Needs, Score};
use crate::error::Result;

/// `||p - y||_2`, the distance of the predicted probabilities from the one-hot label; zero for a point
/// predicted right with certainty, `sqrt(2)` for one predicted wrong with certainty. Of numbers to predict the
/// length of [`Evidence::errors`], `2 |o - y|` for the squared error.
///
/// The paper averages the score over several short trainings: [`Averaged`](crate::choose::Averaged). `O(N C)` for `C`
/// classes, plus the sort.
///
/// # Reference
/// M. Paul, S. Ganguli, G. K. Dziugaite, *Deep Learning on a Data Diet: Finding Important Examples Early
/// in Training*, NeurIPS 2021.
#[derive(Clone, Copy, Debug, Default)]
pub struct El2n;

impl Score for El2n {
    const NAME: &'static str = "el2n";
    const NEEDS: Needs = Needs::of(&[Kind::Errors]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        error_norms(evidence, Self::NAME)
    }
}

/// The length of every point's error.
pub(crate) fn error_norms(evidence: &Evidence, strategy: &str) -> Result<Vec<f64>> {
    let (rows, width) = evidence.errors(strategy)?;
    Ok(rows.chunks(width).map(|row| squared_norm(row).sqrt()).collect())
}
