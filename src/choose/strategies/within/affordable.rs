//! What a budget allows of any strategy's choice.

use rand::RngCore;

use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::error::{Error, Result};

/// Walks through a strategy's ranking of all points and takes what still fits into a budget of costs
/// ([`Evidence::with_costs`]): seconds of labelling, bytes on disk.
///
/// `count` becomes an upper bound. What does not fit is passed over, so a dear point does not end the
/// walk. Costs do not enter the ranking; [`FacilityLocation`](crate::choose::FacilityLocation) has a budget of
/// its own and weighs gains against costs. Time and memory of the strategy, asked for all points.
///
/// # Example
/// ```
/// use gleaner::choose::{Affordable, Evidence, LargestLoss, Strategy};
/// # let mut rng = rand::rng();
///
/// let evidence = Evidence::new(4).with_losses(&[4.0, 3.0, 2.0, 1.0])?;
/// let evidence = evidence.with_costs(&[5.0, 9.0, 1.0, 1.0])?;
/// let strategy = Affordable::new(LargestLoss, 7.0)?;
/// assert_eq!(strategy.select(&evidence, 4, &mut rng)?.indices, [0, 2, 3]);
/// assert_eq!(strategy.select(&evidence, 2, &mut rng)?.indices, [0, 2]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Affordable<S> {
    inner: S,
    budget: f64,
    name: String,
}

impl<S: Strategy> Affordable<S> {
    /// What all chosen points together may cost, in the unit of the costs.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless the budget is positive and finite.
    pub fn new(inner: S, budget: f64) -> Result<Self> {
        check_budget(budget)?;
        let name = format!("affordable {}", inner.name());
        Ok(Self { inner, budget, name })
    }
}

impl<S: Strategy> Strategy for Affordable<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and(Needs::of(&[Kind::Costs]))
    }

    /// At most `count` points; [`Error::OutOfRange`] if the cheapest costs more than the budget.
    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let costs = evidence.costs(&self.name)?;
        let mut left = self.budget;
        let ranked = self.inner.select(evidence, evidence.points(), rng)?;
        let mut places: Vec<usize> = (0..ranked.len()).collect();
        places.retain(|k| {
            let cost = costs[ranked.indices[*k]];
            let fits = cost <= left;
            left -= if fits { cost } else { 0.0 };
            fits
        });
        places.truncate(count);
        if places.is_empty() {
            return Err(unaffordable(self.budget));
        }
        ranked.at(&places)
    }
}

pub(crate) fn check_budget(found: f64) -> Result<()> {
    if !(found > 0.0 && found.is_finite()) {
        let (what, rule) = ("budget", "positive and finite");
        return Err(Error::range(what, rule, found));
    }
    Ok(())
}

/// Nothing can be chosen.
pub(crate) fn unaffordable(found: f64) -> Error {
    Error::range("budget", "at least the cost of the cheapest point", found)
}
