//! Two strategies for one choice.

use rand::RngCore;

use crate::choose::{Choice, Evidence, Needs, Strategy, check_count};
use crate::data::shares::in_proportion;
use crate::error::{Error, Result};

/// One strategy for most of the points, another for a share of them, among those that the first left: such as points that
/// represent their class and some that are hard.
///
/// Every beginning of the result holds of both their shares. What both cost, and the evidence of the points that the first
/// left, copied.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, KCenter, LargestLoss, Mixed, Strategy};
/// # let mut rng = rand::rng();
///
/// let evidence = Evidence::new(4).with_features(&[0.0, 1.0, 2.0, 9.0], 1)?;
/// let evidence = evidence.with_losses(&[0.1, 0.2, 0.9, 0.3])?;
/// let strategy = Mixed::new(KCenter, LargestLoss, 0.3)?;
/// // The far point and the lost one, whichever comes first.
/// let chosen = strategy.select(&evidence, 3, &mut rng)?.indices;
/// assert!(chosen.contains(&2) && chosen.contains(&3));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mixed<A, B> {
    first: A,
    second: B,
    share: f64,
    name: String,
}

impl<A: Strategy, B: Strategy> Mixed<A, B> {
    /// The two, and the share of the second; a number of points is rounded.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a share that is not from 0 to 1.
    pub fn new(first: A, second: B, share: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::range("share of the second strategy", "from 0 to 1", share));
        }
        let name = format!("{} and {}", first.name(), second.name());
        Ok(Self { first, second, share, name })
    }
}

impl<A: Strategy, B: Strategy> Strategy for Mixed<A, B> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        self.first.needs().and(self.second.needs())
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let others = (self.share * count as f64).round() as usize;
        let mut first = Choice::default();
        if others < count {
            first = self.first.select(evidence, count - others, rng)?;
        }
        if others == 0 {
            return Ok(first);
        }
        let mut left = vec![true; evidence.points()];
        first.indices.iter().for_each(|i| left[*i] = false);
        let left: Vec<usize> = (0..left.len()).filter(|i| left[*i]).collect();
        let part = evidence.part(&left);
        let second = self.second.select(&part.evidence(), others, rng)?.among(&left);
        Ok(Choice::in_order(&[first, second], in_proportion))
    }
}
