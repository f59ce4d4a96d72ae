//! Which points a learner is trained on.

use crate::error::{Error, Result};

/// Which points a learner is trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling<'a> {
    /// All of them.
    All,
    /// The same points all the time.
    Fixed(&'a [usize]),
    /// The same points all the time, each loss times the point's weight: of mean one, so that a batch's
    /// mean loss estimates the weighted mean over all.
    Weighted(&'a [usize], &'a [f64]),
    /// A new uniform sample of this many points every epoch ("fresh random"): it sees, over time, all
    /// the data, at the cost of never being a subset that could be labelled or stored.
    FreshRandom(usize),
}

impl Sampling<'_> {
    /// Points of an epoch, of so many in all.
    pub(crate) fn size(&self, points: usize) -> usize {
        match self {
            Self::All => points,
            Self::Fixed(indices) | Self::Weighted(indices, _) => indices.len(),
            Self::FreshRandom(size) => (*size).min(points),
        }
    }

    pub(super) fn check(&self, points: usize) -> Result<()> {
        if self.size(points) == 0 {
            let (what, rule) = ("points to train on", "at least 1");
            return Err(Error::range(what, rule, 0.0));
        }
        if let Self::Fixed(indices) | Self::Weighted(indices, _) = self
            && let Some(&outside) = indices.iter().find(|index| **index >= points)
        {
            let (what, rule) = ("index of a point", "below the number of points");
            return Err(Error::range(what, rule, outside as f64));
        }
        let Self::Weighted(indices, weights) = self else { return Ok(()) };
        if weights.len() != indices.len() {
            return Err(Error::shape("weights of the points", indices.len(), weights.len()));
        }
        match weights.iter().find(|weight| !(**weight >= 0.0 && weight.is_finite())) {
            None => Ok(()),
            Some(&found) => {
                let (what, rule) = ("weight of a point", "finite and at least zero");
                Err(Error::range(what, rule, found))
            }
        }
    }
}
