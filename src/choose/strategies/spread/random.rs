//! Uniform sampling: the baseline that every other strategy must beat.

use rand::{Rng, RngCore};

use crate::choose::strategies::check_share;
use crate::choose::{Asked, Candidates, Choice, Evidence, Needs, Strategy, Streaming, check_count};
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

    /// As if every row drew a number and those with the largest ones were kept: gains are the logarithms of those numbers, of
    /// which only the largest are drawn, in their order.
    fn candidates(
        &self,
        source: &dyn Source,
        asked: &Asked,
        rng: &mut dyn RngCore,
    ) -> Result<Candidates> {
        let rows = source.points();
        let count = asked.count(rows);
        // The largest of m uniform numbers is u^(1/m), and the others are uniform below it. These come before the rows: who is
        // asked for more has the same numbers again.
        let mut largest = 0.0;
        let gains = (0..count).map(|drawn| {
            largest += (1.0 - rng.random::<f64>()).ln() / (rows - drawn) as f64;
            largest
        });
        let gains = gains.collect();
        let indices = sample(rows, count, rng).indices;
        Ok(Candidates { rows, indices, gains, numbers: Vec::new() })
    }
}

fn sample(points: usize, count: usize, rng: &mut dyn RngCore) -> Choice {
    Choice::equal(rand::seq::index::sample(rng, points, count).into_vec())
}
