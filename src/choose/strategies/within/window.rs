//! A window of a score: the hardest points that are not too hard.

use rand::RngCore;

use crate::choose::{Choice, Evidence, Needs, Score, Strategy, check_count, top};
use crate::error::{Error, Result};

/// Leaves out a share of all points, those with the very highest scores, and keeps the hardest of the rest.
///
/// The hardest points of all are often mislabelled or beyond the learner. Fewer are left out where `count` needs
/// them. [`CoverageCentric`](crate::choose::CoverageCentric) leaves out as many but draws from all the rest: better
/// where few are kept. `O(N log N)` beside the score.
///
/// # Reference
/// M. Paul, S. Ganguli, G. K. Dziugaite, *Deep Learning on a Data Diet: Finding Important Examples Early in
/// Training*, NeurIPS 2021, where such windows are compared; the share is for the user to tune.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, LargestLoss, Strategy, Window};
/// # let mut rng = rand::rng();
///
/// // A quarter of the four points is too hard: the one with the loss of 9.
/// let evidence = Evidence::new(4).with_losses(&[4.0, 9.0, 0.0, 3.0])?;
/// let strategy = Window::new(LargestLoss, 0.25)?;
/// assert_eq!(strategy.select(&evidence, 2, &mut rng)?.indices, [0, 3]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Window<S> {
    score: S,
    skip: f64,
    name: String,
}

impl<S: Score> Window<S> {
    /// Leaves out the share `skip` of all points, rounded down.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `skip` is in [0, 1).
    pub fn new(score: S, skip: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&skip) {
            return Err(Error::range("share to leave out", "at least 0 and below 1", skip));
        }
        Ok(Self { score, skip, name: format!("window {}", S::NAME) })
    }
}

impl<S: Score> Strategy for Window<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        S::NEEDS
    }

    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (scores, points) = (self.score.scores(evidence)?, evidence.points());
        let skipped = ((points as f64 * self.skip) as usize).min(points - count);
        let chosen = top(&scores, skipped + count).split_off(skipped);
        let gains = chosen.iter().map(|i| scores[*i]).collect();
        Ok(Choice::equal(chosen).with_gains(gains))
    }
}
