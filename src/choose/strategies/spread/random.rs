//! Uniform sampling: the baseline that every other strategy must beat.

use rand::RngCore;

use crate::choose::strategies::check_share;
use crate::choose::{Choice, Evidence, Needs, Strategy, Streaming, check_count};
use crate::data::Source;
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
        Ok(sample(evidence.points(), count, rng))
    }

    fn as_streaming(&self) -> Option<&dyn Streaming> {
        Some(self)
    }
}

impl Streaming for Random {
    fn select_from(
        &self,
        source: &dyn Source,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice> {
        check_share(source.points(), count)?;
        Ok(sample(source.points(), count, rng))
    }
}

fn sample(points: usize, count: usize, rng: &mut dyn RngCore) -> Choice {
    Choice::equal(rand::seq::index::sample(rng, points, count).into_vec())
}
