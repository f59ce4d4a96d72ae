//! The final pass: with the trained selection model, the subset of the requested size.
//!
//! The engine is that of [`Convex`]; here costs are distances of embeddings, and points have the column
//! costs of the model.

use candle_core::Tensor;
use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::trainer::{Trainer, View, without_diagonal};
use crate::choose::strategies::spread::stream::{Costs, Kept, Stream, choice_of, solve, worths};
use crate::choose::{Choice, Convex};
use crate::data::shares::near_equal;
use crate::data::{Source, shuffled_batches};
use crate::error::{Error, Result};
use crate::layer::bridge::{to_matrix, to_vec};
use crate::layer::distance::Distance;
use crate::learn::Learner;
use crate::program::{Budget, typical};
use crate::seeds::Seeds;

/// How many points to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Exactly this many.
    Count(usize),
    /// This share of the data, rounded, at least one.
    Fraction(f64),
}

impl Amount {
    /// The number of points out of `points`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for zero, more points than there are, or a fraction outside (0, 1].
    pub fn of(self, points: usize) -> Result<usize> {
        let count = match self {
            Self::Count(count) => count,
            Self::Fraction(fraction) => {
                let inside = fraction > 0.0 && fraction <= 1.0;
                if !inside {
                    let rule = "in (0, 1]";
                    return Err(Error::range("fraction to keep", rule, fraction));
                }
                ((fraction * points as f64).round() as usize).max(1)
            }
        };
        if count == 0 || count > points {
            let rule = "between 1 and the number of points";
            return Err(Error::range("points to keep", rule, count as f64));
        }
        Ok(count)
    }
}

/// Whether classes share the subset evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// As the program has it.
    #[default]
    Free,
    /// Every class (by its given label) gets the same number, as far as it has points.
    Classes,
}

/// How the final pass runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChooseOptions {
    /// Whether classes share the subset evenly.
    pub balance: Balance,
    /// Points of a batch. Small batches cover space evenly, large ones follow density.
    pub batch: usize,
    /// Smoothing of the pass, in units of the typical cost; small, so that weights are near 0 or 1.
    pub eps: f64,
    /// Bisection steps for the price.
    pub passes: usize,
}

impl Default for ChooseOptions {
    fn default() -> Self {
        Self { balance: Balance::Free, batch: 25, eps: 0.01, passes: 10 }
    }
}

/// All points as the final pass sees them.
struct Pool {
    /// `N x width`.
    places: Tensor,
    /// One a point, in the units of the costs.
    column_costs: Vec<f64>,
    /// The typical cost.
    unit: f64,
    distance: Distance,
    seed: u64,
}

impl Pool {
    fn rows(&self, indices: &[usize]) -> Result<Tensor> {
        let index: Vec<u32> = indices.iter().map(|&i| i as u32).collect();
        let index = Tensor::from_vec(index, indices.len(), self.places.device())?;
        Ok(self.places.index_select(&index, 0)?)
    }
}

impl Pool {
    fn within(&self, indices: &[usize]) -> Result<DMatrix<f64>> {
        let rows = self.rows(indices)?;
        to_matrix(&without_diagonal(&self.distance.between(&rows, &rows)?)?)
    }
}

/// Some points of the pool.
struct Members<'a> {
    pool: &'a Pool,
    indices: Vec<usize>,
}

impl Members<'_> {
    fn at(&self, places: &[usize]) -> Vec<usize> {
        places.iter().map(|place| self.indices[*place]).collect()
    }
}

impl Costs for Members<'_> {
    fn within(&self, batch: &[usize]) -> Result<DMatrix<f64>> {
        self.pool.within(&self.at(batch))
    }

    fn nearest(&self, batch: &[usize], kept: &[usize]) -> Result<Option<Vec<f64>>> {
        if kept.is_empty() {
            return Ok(None);
        }
        let (batch, kept) = (self.pool.rows(&self.at(batch))?, self.pool.rows(&self.at(kept))?);
        to_vec(&self.pool.distance.between(&batch, &kept)?.min(1)?).map(Some)
    }
}

impl<L: Learner> Trainer<L> {
    /// The subset of the requested size, by the trained selection model. Indices are positions in
    /// `data`, ascending; points count alike, and their gains are what their columns saved their batches.
    /// Equal trainers and options give equal subsets.
    ///
    /// # Cost
    /// One forward pass of the learner, then `passes` times `N / batch` programs of `batch` rows.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an impossible amount; errors of the program.
    pub fn choose(
        &mut self,
        data: &dyn Source,
        amount: Amount,
        options: &ChooseOptions,
    ) -> Result<Choice> {
        let count = amount.of(data.points())?;
        let pool = self.pool(data)?;
        let everyone: Vec<usize> = (0..data.points()).collect();
        let mut kept = match options.balance {
            Balance::Free => pool.choose_among(&everyone, count, options)?,
            Balance::Classes => {
                let mut kept = Vec::new();
                for (class, share) in
                    near_equal(&data.class_counts(), count).into_iter().enumerate()
                {
                    let label = class as u32;
                    let members: Vec<usize> =
                        everyone.iter().copied().filter(|&i| data.labels()[i] == label).collect();
                    if share > 0 {
                        kept.extend(pool.choose_among(&members, share, options)?);
                    }
                }
                kept
            }
        };
        kept.sort_unstable_by_key(|k| k.index);
        Ok(choice_of(&kept))
    }

    /// How much the selection model holds against every point; mislabelled points come first. With a
    /// unary head its column cost, in units of the typical cost; without one the negative of what the
    /// point would save its batch, `-sum_i (nu_i - D_ij)_+`, averaged over shuffles.
    ///
    /// # Errors
    /// As [`choose`](Self::choose).
    pub fn suspicion(&mut self, data: &dyn Source, options: &ChooseOptions) -> Result<Vec<f64>> {
        /// Shuffles that are averaged.
        const SHUFFLES: usize = 3;
        let pool = self.pool(data)?;
        if self.model.options().heads.prices() {
            return Ok(pool.column_costs.iter().map(|c| c / pool.unit).collect());
        }
        let mut suspicion = vec![0.0; data.points()];
        let mut rng = Seeds::new(self.seed).stream(0);
        for _ in 0..SHUFFLES {
            let batches = whole_batches(data.points(), options.batch.max(2), &mut rng);
            let per_batch: Vec<Result<Vec<f64>>> = batches
                .par_iter()
                .map(|batch| {
                    let free = vec![0.0; batch.len()];
                    let budget = budget_of(&self.options.layer.budget, batch.len());
                    let solved = solve(pool.within(batch)?, free, budget, pool.unit * 0.1)?;
                    Ok(worths(&solved))
                })
                .collect();
            for (batch, worths) in batches.iter().zip(per_batch) {
                for (&i, worth) in batch.iter().zip(worths?) {
                    suspicion[i] -= worth / (pool.unit * SHUFFLES as f64);
                }
            }
        }
        Ok(suspicion)
    }

    fn pool(&mut self, data: &dyn Source) -> Result<Pool> {
        /// Points of one forward pass.
        const CHUNK: usize = 512;
        let (mut places, mut column_costs) = (Vec::new(), Vec::new());
        let everyone: Vec<usize> = (0..data.points()).collect();
        for chunk in everyone.chunks(CHUNK) {
            let batch = data.batch_at(chunk)?.to_device(&self.learner.device())?;
            let View { features, evidence, .. } = self.view(&batch)?;
            places.push(self.model.embed(&features, &evidence)?.detach());
            match self.model.column_costs(&evidence)? {
                Some(costs) => column_costs.extend(to_vec(&costs)?),
                None => column_costs.resize(column_costs.len() + chunk.len(), 0.0),
            }
        }
        let places = Tensor::cat(&places, 0)?;
        let mut rng = Seeds::new(self.seed).stream(0);
        let sample = &shuffled_batches(data.points(), 200, &mut rng)[0];
        let mut pool = Pool {
            places,
            column_costs,
            unit: 1.0,
            distance: self.options.distance,
            seed: self.seed,
        };
        pool.unit = typical(&pool.within(sample)?);
        pool.column_costs.iter_mut().for_each(|c| *c *= pool.unit);
        Ok(pool)
    }
}

/// Shuffled batches; a last one that would be less than half a batch goes with the one before it.
fn whole_batches(points: usize, batch: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut batches = shuffled_batches(points, batch, rng);
    if batches.len() > 1 && batches[batches.len() - 1].len() < batch.div_ceil(2) {
        let rest = batches.pop().unwrap_or_default();
        if let Some(last) = batches.last_mut() {
            last.extend(rest);
        }
    }
    batches
}

/// A budget that a batch of any size can meet: p = inf needs one unit of weight.
fn budget_of(budget: &Budget, points: usize) -> Budget {
    match budget {
        Budget::Fraction(fraction) => Budget::Absolute((fraction * points as f64).max(1.0)),
        Budget::Absolute(kappa) => Budget::Absolute(kappa.max(1.0)),
        rows => rows.clone(),
    }
}

impl Pool {
    fn choose_among(
        &self,
        members: &[usize],
        count: usize,
        options: &ChooseOptions,
    ) -> Result<Vec<Kept>> {
        let mut rng = Seeds::new(self.seed).stream(0);
        let order = shuffled_batches(members.len(), members.len(), &mut rng).remove(0);
        let order = order.into_iter().map(|k| members[k]).collect();
        let ChooseOptions { batch, eps, passes, .. } = *options;
        let settings = Convex { batch, eps, passes };
        let load = |indices: &[usize]| Ok(Members { pool: self, indices: indices.to_vec() });
        let (column_costs, share) = (&self.column_costs, count as f64 / members.len() as f64);
        Stream { load, column_costs, unit: self.unit, share, settings }.choose(vec![order], count)
    }
}
