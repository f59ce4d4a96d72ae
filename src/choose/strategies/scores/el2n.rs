//! Ranking by the size of the error.

use crate::choose::{Evidence, Kind, Needs, Score};
use crate::error::Result;

/// `||p - y||_2`, the distance of the predicted probabilities from the one-hot label; zero for a point
/// predicted right with certainty, `sqrt(2)` for one predicted wrong with certainty.
///
/// The paper averages the score over several short trainings: add up [`Score::scores`] and rank with
/// [`top`](crate::choose::top). `O(N C)` for `C` classes, plus the sort.
///
/// # Reference
/// M. Paul, S. Ganguli, G. K. Dziugaite, *Deep Learning on a Data Diet: Finding Important Examples Early
/// in Training*, NeurIPS 2021.
#[derive(Clone, Copy, Debug, Default)]
pub struct El2n;

impl Score for El2n {
    const NAME: &'static str = "el2n";
    const NEEDS: Needs = Needs::of(&[Kind::Probabilities, Kind::Labels]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        error_norms(evidence, Self::NAME)
    }
}

/// `||p - y||_2` of every point.
pub(crate) fn error_norms(evidence: &Evidence, strategy: &str) -> Result<Vec<f64>> {
    let (rows, classes) = evidence.probabilities(strategy)?;
    let labels = evidence.labels(strategy)?;
    let norm = |(row, label): (&[f32], &u32)| {
        let error = |(class, p): (usize, &f32)| {
            f64::from(*p) - if class == *label as usize { 1.0 } else { 0.0 }
        };
        row.iter().enumerate().map(error).map(|e| e * e).sum::<f64>().sqrt()
    };
    Ok(rows.chunks(classes).zip(labels).map(norm).collect())
}
