//! Ways to choose data that people compare with: plain evidence in, indices out.
//!
//! A strategy never sees a model or a tensor: [`Evidence`] is plain numbers, each kind optional, and a
//! strategy that needs a missing one says which. Ties go to the smaller index.
//!
//! | strategy | keeps | needs |
//! | --- | --- | --- |
//! | [`Random`] | a uniform sample | nothing |
//! | [`KCenter`] | points far from one another | features |
//! | [`LargestLoss`] | what the learner finds hardest | losses |
//! | [`SmallestLoss`] | what the learner finds easiest | losses |
//!
//! # Adding a strategy
//! 1. One file with one type and its docs: rule, cost, memory, paper.
//! 2. `impl Strategy`: check the evidence it needs through the accessors, leave ties to [`top`].
//! 3. Re-export it here and add its row to the table.
//! 4. Add it to the contract test in `tests/strategies.rs`, with a case solved by hand.

mod k_center;
mod loss;
mod random;

use rand::RngCore;

use crate::error::{Error, Result};

pub use k_center::KCenter;
pub use loss::{LargestLoss, SmallestLoss};
pub use random::Random;

/// What a strategy may look at.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    points: usize,
    features: Option<(&'a [f32], usize)>,
    losses: Option<&'a [f64]>,
}

impl<'a> Evidence<'a> {
    /// Nothing but the number of points.
    pub fn new(points: usize) -> Self {
        Self { points, features: None, losses: None }
    }

    /// With a row of `width` features a point, row-major.
    ///
    /// # Errors
    /// [`Error::Shape`] if the length is not `points * width`, [`Error::NotFinite`] for NaN or infinity.
    pub fn with_features(self, rows: &'a [f32], width: usize) -> Result<Self> {
        if rows.len() != self.points * width || width == 0 {
            return Err(Error::shape("features", (self.points, width), rows.len()));
        }
        if let Some(k) = rows.iter().position(|x| !x.is_finite()) {
            let found = f64::from(rows[k]);
            return Err(Error::NotFinite {
                what: "features",
                row: k / width,
                column: k % width,
                found,
            });
        }
        Ok(Self { features: Some((rows, width)), ..self })
    }

    /// With a loss a point.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NotFinite`] for NaN or infinity.
    pub fn with_losses(self, losses: &'a [f64]) -> Result<Self> {
        if losses.len() != self.points {
            return Err(Error::shape("losses", self.points, losses.len()));
        }
        if let Some(row) = losses.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { what: "losses", row, column: 0, found: losses[row] });
        }
        Ok(Self { losses: Some(losses), ..self })
    }

    /// Number of points.
    pub fn points(&self) -> usize {
        self.points
    }

    fn features(&self, strategy: &'static str) -> Result<(&'a [f32], usize)> {
        self.features.ok_or_else(|| missing(strategy, "features"))
    }

    fn losses(&self, strategy: &'static str) -> Result<&'a [f64]> {
        self.losses.ok_or_else(|| missing(strategy, "losses"))
    }
}

fn missing(strategy: &'static str, what: &str) -> Error {
    Error::Unknown {
        what: "evidence",
        expected: format!("nothing of that kind, and {strategy} needs it"),
        found: what.into(),
    }
}

/// A rule that chooses points.
pub trait Strategy {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// `count` different points, best first.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are fewer points or `count` is zero, [`Error::Unknown`] for
    /// missing evidence.
    fn select(
        &self,
        evidence: &Evidence,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<usize>>;
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
    if count == 0 || count > evidence.points {
        let rule = "between 1 and the number of points";
        return Err(Error::OutOfRange { what: "points to select", rule, found: count as f64 });
    }
    Ok(())
}
