//! Ranking by the learner's loss.

use rand::RngCore;

use crate::choose::strategies::scores::score::negated;
use crate::choose::{Choice, Evidence, Kind, Needs, Score, Strategy, check_count};
use crate::error::Result;

/// The points with the largest loss: hard examples, and mislabelled ones. `O(N log N)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LargestLoss;

/// The points with the smallest loss: easy examples, rarely mislabelled, rarely new. `O(N log N)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SmallestLoss;

impl Score for LargestLoss {
    const NAME: &'static str = "largest-loss";
    const NEEDS: Needs = Needs::of(&[Kind::Losses]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        Ok(evidence.losses(Self::NAME)?.to_vec())
    }
}

impl Strategy for SmallestLoss {
    fn name(&self) -> &str {
        "smallest-loss"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Losses])
    }

    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        Ok(Choice::top(&negated(evidence.losses(self.name())?), count))
    }

    fn ranking(&self, evidence: &Evidence) -> Result<Option<Vec<f64>>> {
        Ok(Some(negated(evidence.losses(self.name())?)))
    }
}
