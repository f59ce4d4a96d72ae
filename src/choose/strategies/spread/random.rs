//! Uniform sampling: the baseline that every other strategy must beat.

use rand::RngCore;

use crate::choose::{Evidence, Strategy, check_count};
use crate::error::Result;

/// A uniform sample without replacement. `O(count)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Strategy for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn select(
        &self,
        evidence: &Evidence,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<usize>> {
        check_count(evidence, count)?;
        Ok(rand::seq::index::sample(rng, evidence.points(), count).into_vec())
    }
}
