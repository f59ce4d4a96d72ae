//! Ways to choose data that people compare with: plain evidence in, indices out.
//!
//! A strategy never sees a model or a tensor: [`Evidence`] is plain numbers, each kind optional, and a
//! strategy that needs a missing one says which. Ties go to the smaller index.
//!
//! | strategy | keeps | needs |
//! | --- | --- | --- |
//! | [`Random`] | a uniform sample | nothing |
//! | [`KCenter`] | points far from one another | features |
//! | [`Herding`] | points whose mean is the mean of all | features |
//! | [`FacilityLocation`] | points to which all others are similar | features |
//! | [`GraphCut`] | points like the rest and unlike one another | features |
//! | [`LogDeterminant`] | points that span a large volume | features |
//! | [`Convex`] | points that represent all others, by the selection program | features; takes column costs |
//! | [`LargestLoss`], [`SmallestLoss`] | what the learner finds hardest, easiest | losses |
//! | [`LeastConfidence`], [`Margin`], [`Entropy`] | what the learner is unsure of | probabilities |
//! | [`El2n`] | points with a large error | probabilities, labels |
//! | [`Grand`] | points with a large gradient | probabilities, labels, features |
//! | [`Badge`] | large gradients unlike one another | probabilities, features |
//! | [`Craig`] | gradients close to all others of the class | probabilities, labels, features |
//! | [`GradMatch`] | gradients that sum up to the mean of all | probabilities, labels, features |
//! | [`Glister`] | gradients along which the validation loss falls | probabilities, labels, features, validation |
//! | [`Forgetting`] | what the learner keeps forgetting | history |
//! | [`Aum`] | what looks mislabelled all through training | margins |
//! | [`Easiest`] | the other end of any score | its score's |
//! | [`CoverageCentric`] | every degree of a score but the hardest | its score's |
//! | [`ClassBalanced`] | what any strategy keeps in each class | its strategy's, labels |
//! | [`Grouped`] | whole groups by their mean score | its score's, groups |
//! | [`Affordable`] | what a budget allows of any strategy's choice | its strategy's, costs |
//!
//! A [`Score`] is a number a point, larger for harder ones; it is a strategy by ranking.
//!
//! # Adding a strategy
//! 1. One file with one type and its docs: rule, cost, memory, paper.
//! 2. `impl Strategy`: check the evidence it needs through the accessors, leave ties to [`top`]. A ranking
//!    number: `impl Score`. A submodular function: the engines in `submodular.rs`.
//! 3. Re-export it here and add its row to the table.
//! 4. Add it to the contract test in `tests/strategies.rs`, with a case solved by hand.

mod affordable;
mod aum;
mod badge;
mod class_balanced;
pub(crate) mod convex;
mod coverage_centric;
mod craig;
mod el2n;
mod evidence;
mod facility_location;
mod forgetting;
mod glister;
mod grad_match;
mod grand;
mod graph_cut;
mod grouped;
mod herding;
mod k_center;
mod last_layer;
mod log_determinant;
mod loss;
mod nearest;
mod neighbours;
mod random;
mod rows;
mod score;
mod submodular;
mod uncertainty;

use rand::RngCore;

use crate::error::{Error, Result};

pub use affordable::Affordable;
pub use aum::Aum;
pub use badge::Badge;
pub use class_balanced::{ClassBalanced, Shares};
pub use convex::Convex;
pub use coverage_centric::CoverageCentric;
pub use craig::Craig;
pub use el2n::El2n;
pub use evidence::Evidence;
pub use facility_location::FacilityLocation;
pub use forgetting::Forgetting;
pub use glister::Glister;
pub use grad_match::GradMatch;
pub use grand::Grand;
pub use graph_cut::GraphCut;
pub use grouped::Grouped;
pub use herding::Herding;
pub use k_center::KCenter;
pub use log_determinant::LogDeterminant;
pub use loss::{LargestLoss, SmallestLoss};
pub use neighbours::Similarity;
pub use random::Random;
pub use score::{Easiest, Score};
pub use submodular::Greedy;
pub use uncertainty::{Entropy, LeastConfidence, Margin};

/// A rule that chooses points.
pub trait Strategy {
    /// Its name in tables.
    fn name(&self) -> &str;

    /// `count` different points, best first; fewer only where the strategy keeps groups whole or to a
    /// budget, and says so.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are fewer points, `count` is zero or a setting is out of range,
    /// [`Error::Unknown`] for missing evidence.
    fn select(
        &self,
        evidence: &Evidence,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<usize>>;

    /// The number a point is ranked by, larger first; `None` where points are chosen jointly.
    ///
    /// # Errors
    /// [`Error::Unknown`] for missing evidence.
    fn ranking(&self, _evidence: &Evidence) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }
}

/// So that strategies can be picked at run time and put into wrappers.
impl Strategy for Box<dyn Strategy> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn select(
        &self,
        evidence: &Evidence,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<usize>> {
        (**self).select(evidence, count, rng)
    }

    fn ranking(&self, evidence: &Evidence) -> Result<Option<Vec<f64>>> {
        (**self).ranking(evidence)
    }
}

/// Every strategy with its default settings, baselines first, [`Random`] left out: for comparisons of all.
pub fn all() -> Vec<Box<dyn Strategy>> {
    vec![
        Box::new(LeastConfidence),
        Box::new(Margin),
        Box::new(Entropy),
        Box::new(KCenter),
        Box::new(Forgetting),
        Box::new(El2n),
        Box::new(Grand),
        Box::new(Aum),
        Box::new(LargestLoss),
        Box::new(SmallestLoss),
        Box::new(CoverageCentric::<Aum>::default()),
        Box::new(Herding),
        Box::new(FacilityLocation::default()),
        Box::new(GraphCut::default()),
        Box::new(LogDeterminant::default()),
        Box::new(Badge),
        Box::new(Craig::default()),
        Box::new(GradMatch::default()),
        Box::new(Glister::default()),
        Box::new(Convex::default()),
    ]
}

/// The strategy of that name with its default settings; `class-balanced NAME` takes equal shares of every
/// class.
///
/// ```
/// use gleaner::strategies::{Strategy, named};
/// assert_eq!(named("k-center")?.name(), "k-center");
/// assert_eq!(named("class-balanced entropy")?.name(), "class-balanced entropy");
/// assert!(named("entropie").is_err_and(|error| error.to_string().contains("entropy")));
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`] with all the names there are.
pub fn named(name: &str) -> Result<Box<dyn Strategy>> {
    if let Some(inner) = name.strip_prefix("class-balanced ") {
        return Ok(Box::new(ClassBalanced::new(named(inner)?, Shares::Equal)));
    }
    let mut all = all();
    all.push(Box::new(Random));
    let names: Vec<String> = all.iter().map(|strategy| strategy.name().to_string()).collect();
    let found = all.into_iter().find(|strategy| strategy.name() == name);
    found.ok_or(Error::Unknown { what: "strategy", expected: names.join(", "), found: name.into() })
}

/// Refuses two strategies of one name, whose results could not be told apart.
///
/// # Errors
/// [`Error::Shape`] that says which.
pub fn check_distinct(strategies: &[Box<dyn Strategy>]) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    match strategies.iter().find(|strategy| !names.insert(strategy.name())) {
        None => Ok(()),
        Some(twice) => {
            let (expected, found) = ("different names".into(), format!("{:?} twice", twice.name()));
            Err(Error::Shape { what: "strategies", expected, found })
        }
    }
}

/// Positions of the `count` largest scores, best first; equal scores keep the smaller position first.
pub fn top(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // Stable; adding zero makes -0 and 0 the tie they are.
    order.sort_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
    order.truncate(count);
    order
}

fn check_count(evidence: &Evidence, count: usize) -> Result<()> {
    if count == 0 || count > evidence.points() {
        let rule = "between 1 and the number of points";
        return Err(Error::OutOfRange { what: "points to select", rule, found: count as f64 });
    }
    Ok(())
}
