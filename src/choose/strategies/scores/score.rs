//! Ranking points by one number each.

use rand::RngCore;

use crate::choose::{Choice, Evidence, Needs, Strategy, check_count};
use crate::error::Result;

/// A number a point; larger means harder for the learner.
///
/// Every score is a [`Strategy`]: it keeps the hardest points. [`Easiest`] keeps the other end, and
/// [`CoverageCentric`](crate::choose::CoverageCentric) spreads the choice over the whole range.
pub trait Score: Send + Sync {
    /// Its name in tables.
    const NAME: &'static str;

    /// The evidence it cannot do without.
    const NEEDS: Needs;

    /// A finite number a point.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) for missing evidence.
    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>>;
}

impl<S: Score> Strategy for S {
    fn name(&self) -> &str {
        S::NAME
    }

    fn needs(&self) -> Needs {
        S::NEEDS
    }

    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        Ok(Choice::top(&self.scores(evidence)?, count))
    }

    fn ranking(&self, evidence: &Evidence) -> Result<Option<Vec<f64>>> {
        self.scores(evidence).map(Some)
    }
}

/// Keeps the points with the smallest scores, the easiest first.
///
/// Few points to keep, or many wrong labels: easy points then teach more than hard ones.
///
/// # Reference
/// B. Sorscher et al., *Beyond Neural Scaling Laws: Beating Power Law Scaling via Data Pruning*,
/// NeurIPS 2022.
#[derive(Clone, Debug)]
pub struct Easiest<S> {
    score: S,
    name: String,
}

impl<S: Score> Easiest<S> {
    /// The other end of a score.
    pub fn new(score: S) -> Self {
        Self { score, name: format!("easiest {}", S::NAME) }
    }
}

impl<S: Score> Strategy for Easiest<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        S::NEEDS
    }

    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        Ok(Choice::top(&negated(&self.score.scores(evidence)?), count))
    }

    fn ranking(&self, evidence: &Evidence) -> Result<Option<Vec<f64>>> {
        Ok(Some(negated(&self.score.scores(evidence)?)))
    }
}

pub(crate) fn negated(scores: &[f64]) -> Vec<f64> {
    scores.iter().map(|score| -score).collect()
}
