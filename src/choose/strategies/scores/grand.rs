//! Ranking by the size of the gradient.

use crate::choose::strategies::scores::el2n::error_norms;
use crate::choose::{Evidence, Kind, Needs, Score};
use crate::error::Result;

/// The norm of the cross-entropy's gradient in the last layer's weights and bias.
///
/// With penultimate features `h`, logits `W h + b`, probabilities `p` and one-hot label `y`, that
/// gradient is `(p - y) h'` and `p - y`, so its norm is exactly
///
/// ```text
/// ||p - y||_2 sqrt(||h||_2^2 + 1)
/// ```
///
/// For numbers to predict the loss's derivative in the outputs ([`Evidence::errors`]) takes the place of
/// `p - y`, here as in [`Craig`](crate::choose::Craig) and [`GradMatch`](crate::choose::GradMatch).
///
/// The paper takes the gradient in all weights ([`FullGrand`](crate::choose::FullGrand)), and its mean over several
/// initialisations ([`Averaged`](crate::choose::Averaged)); this is the last layer's share, for one learner, without a
/// backward pass. The features must be what enters that layer. `O(N (C + width))`, plus the sort.
///
/// # Reference
/// M. Paul, S. Ganguli, G. K. Dziugaite, *Deep Learning on a Data Diet: Finding Important Examples Early
/// in Training*, NeurIPS 2021.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grand;

impl Score for Grand {
    const NAME: &'static str = "grand";
    const NEEDS: Needs = Needs::of(&[Kind::Errors, Kind::Features]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        let (rows, width) = evidence.features(Self::NAME)?;
        let errors = error_norms(evidence, Self::NAME)?;
        let square = |row: &[f32]| row.iter().map(|h| f64::from(*h).powi(2)).sum::<f64>();
        let sizes = rows.chunks(width).map(|row| (square(row) + 1.0).sqrt());
        Ok(errors.iter().zip(sizes).map(|(error, size)| error * size).collect())
    }
}
