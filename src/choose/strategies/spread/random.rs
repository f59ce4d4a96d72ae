//! Uniform sampling: the baseline that every other strategy must beat.

use rand::RngCore;

use crate::choose::{Choice, Evidence, Needs, Strategy, check_count};
use crate::error::Result;

/// A uniform sample without replacement. `O(count)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Strategy for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let sample = rand::seq::index::sample(rng, evidence.points(), count);
        Ok(Choice::equal(sample.into_vec()))
    }
}
