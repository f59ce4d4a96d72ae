//! The selection program as a strategy, and the engine behind it that trained models share.
//!
//! The data streams through the program batch by batch; what was chosen so far is remembered and costs
//! nothing. Instead of a budget a batch, all batches share one *price* for a unit of weight (a uniform
//! column cost, the budget's multiplier): a batch full of new things may keep many points, one full of
//! known things none. The price is found by bisection so that the pass keeps the requested number. Cheap
//! points (by column cost) stream first, so that a suspicious point is kept only where nothing else
//! represents it.

use std::collections::HashSet;

use nalgebra::DMatrix;
use rand::RngCore;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::choose::neighbours::rows::squared_distance_exact;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::error::{Error, Result};
use crate::program::{
    Budget, Norm, ProgramOptions, Regulariser, Selection, SelectionProgram, SolveOptions, typical,
};

/// Column costs within this (in units of the typical cost) count as equal for the order of the stream.
const PRICE_LEVEL: f64 = 0.05;
/// Points among which the typical cost is taken.
const SAMPLE: usize = 200;

/// Chooses with the selection program ([`program`](crate::program)): every point is represented by chosen
/// ones, at the smallest sum of squared Euclidean distances between features and of what the chosen ones
/// cost.
///
/// The points stream through programs of `batch` incoming points, in random order, those with the
/// smallest column costs ([`Evidence::with_column_costs`], zero without) first. One price for a unit of
/// weight, found by bisection, makes the pass keep `count` points; a surplus goes by least worth, a
/// shortfall is filled by least column cost. Remembered points are there already and cost nothing. The best first: the one whose column saves its batch most.
///
/// What [`Trainer::choose`](crate::Trainer::choose) does with a trained selection model, this does with
/// plain numbers.
///
/// # Cost
/// `passes + 1` times `N / batch` programs of `batch` rows, and `O(passes N count width)` for the
/// distances to what is kept, in a batch's rows at the same time; a pass at too low a price keeps more.
/// `O(N)` memory.
///
/// # Example
/// ```
/// use gleaner::choose::{Convex, Evidence, Strategy};
/// # let mut rng = rand::rng();
///
/// // Two groups; the first point of the first is suspect.
/// let rows = [0.0, 0.0, 0.1, 0.0, 0.0, 0.2, 5.0, 5.0, 5.1, 5.0];
/// let evidence = Evidence::new(5).with_features(&rows, 2)?;
/// let evidence = evidence.with_column_costs(&[3.0, 0.0, 0.0, 0.0, 0.0])?;
/// let mut chosen = Convex::default().select(&evidence, 2, &mut rng)?.indices;
/// chosen.sort();
/// assert!([1, 2].contains(&chosen[0]) && [3, 4].contains(&chosen[1]));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convex {
    /// Points of a batch, at least 1; 25 by default. Small batches cover space evenly, large ones follow
    /// density.
    pub batch: usize,
    /// Smoothing, in units of the typical cost, positive; 0.01 by default: weights are near 0 or 1.
    pub eps: f64,
    /// Bisection steps for the price; 10 by default.
    pub passes: usize,
}

impl Default for Convex {
    fn default() -> Self {
        Self { batch: 25, eps: 0.01, passes: 10 }
    }
}

impl Strategy for Convex {
    fn name(&self) -> &str {
        "convex"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        self.check()?;
        let (rows, width) = evidence.features(self.name())?;
        let mut order: Vec<usize> = (0..evidence.points()).collect();
        order.shuffle(rng);
        let places = Rows::new(rows, width, evidence.remembered());
        let unit = typical(&places.within(&order[..order.len().min(SAMPLE)])?);
        let column_costs: Vec<f64> = match evidence.column_costs() {
            Some(costs) => costs.iter().map(|cost| cost * unit).collect(),
            None => vec![0.0; evidence.points()],
        };
        let stream = Stream { costs: &places, column_costs: &column_costs, unit, settings: *self };
        Ok(choice_of(&stream.choose(order, count)?))
    }
}

impl Convex {
    fn check(&self) -> Result<()> {
        if self.batch == 0 {
            return Err(Error::range("batch", "at least 1", 0.0));
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            let (what, rule, found) = ("eps", "positive and finite", self.eps);
            return Err(Error::range(what, rule, found));
        }
        Ok(())
    }
}

/// Plain rows at squared Euclidean distances.
struct Rows<'a> {
    rows: &'a [f32],
    width: usize,
    /// From each row to the nearest remembered one; empty without any.
    remembered: Vec<f64>,
}

impl<'a> Rows<'a> {
    fn new(rows: &'a [f32], width: usize, remembered: &[f32]) -> Self {
        let nearest = |row: &[f32]| {
            let distances = remembered.chunks(width).map(|r| squared_distance_exact(row, r));
            distances.fold(f64::INFINITY, f64::min)
        };
        let remembered = match remembered {
            [] => Vec::new(),
            _ => rows.par_chunks(width).map(nearest).collect(),
        };
        Self { rows, width, remembered }
    }

    fn between(&self, i: usize, j: usize) -> f64 {
        let row = |i: usize| &self.rows[i * self.width..(i + 1) * self.width];
        squared_distance_exact(row(i), row(j))
    }
}

impl Costs for Rows<'_> {
    fn within(&self, batch: &[usize]) -> Result<DMatrix<f64>> {
        let cost = |i: usize, j: usize| self.between(batch[i], batch[j]);
        Ok(DMatrix::from_fn(batch.len(), batch.len(), cost))
    }

    fn nearest(&self, batch: &[usize], kept: &[usize]) -> Result<Option<Vec<f64>>> {
        if kept.is_empty() && self.remembered.is_empty() {
            return Ok(None);
        }
        let to_nearest = |i: &usize| {
            let remembered = self.remembered.get(*i).copied().unwrap_or(f64::INFINITY);
            kept.iter().map(|j| self.between(*i, *j)).fold(remembered, f64::min)
        };
        Ok(Some(batch.par_iter().map(to_nearest).collect()))
    }
}

/// How badly points stand in for one another, as the stream asks for it.
pub(crate) trait Costs {
    /// Among some points; zero on the diagonal.
    fn within(&self, batch: &[usize]) -> Result<DMatrix<f64>>;

    /// From each point of a batch to the nearest kept or remembered one, if there is any.
    fn nearest(&self, batch: &[usize], kept: &[usize]) -> Result<Option<Vec<f64>>>;
}

/// A point kept by a pass.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) index: usize,
    /// What its column saved the batch that kept it.
    worth: f64,
}

/// The kept points in their order; a point is kept or not, so all count alike.
pub(crate) fn choice_of(kept: &[Kept]) -> Choice {
    let indices = kept.iter().map(|k| k.index).collect();
    Choice::equal(indices).with_gains(kept.iter().map(|k| k.worth).collect())
}

/// All points as a pass sees them.
pub(crate) struct Stream<'a, C> {
    pub(crate) costs: &'a C,
    /// One a point, in the units of the costs.
    pub(crate) column_costs: &'a [f64],
    /// The typical cost.
    pub(crate) unit: f64,
    pub(crate) settings: Convex,
}

impl<C: Costs> Stream<'_, C> {
    /// `count` of the points, which come in a random order; the most worth first.
    pub(crate) fn choose(&self, mut order: Vec<usize>, count: usize) -> Result<Vec<Kept>> {
        let all = order.len();
        // Cheap points first: a suspicious one is kept only if nothing cheaper has come by.
        let level = |i: &usize| (self.column_costs[*i] / (PRICE_LEVEL * self.unit)) as u64;
        order.sort_by_key(level);
        let batches: Vec<&[usize]> = order.chunks(self.settings.batch.max(1)).collect();
        // Prices in units of the typical cost, on a logarithmic scale: high prices keep few points.
        let (mut low, mut high) = (-12.0f64, (all as f64).ln() + 2.0);
        let mut best = self.pass(&batches, 0.0)?;
        for _ in 0..self.settings.passes {
            if best.len() == count {
                break;
            }
            let middle = 0.5 * (low + high);
            let kept = self.pass(&batches, middle.exp() * self.unit)?;
            if kept.len() >= count {
                low = middle;
                if kept.len() < best.len() || best.len() < count {
                    best = kept;
                }
            } else {
                high = middle;
            }
        }
        // Surplus goes by least worth; a shortfall (prices of all others too high) is filled by least
        // column cost.
        best.sort_by(|a, b| b.worth.total_cmp(&a.worth).then(a.index.cmp(&b.index)));
        best.truncate(count);
        if best.len() < count {
            let taken: HashSet<usize> = best.iter().map(|k| k.index).collect();
            let mut rest: Vec<usize> = order.into_iter().filter(|i| !taken.contains(i)).collect();
            rest.sort_by(|&a, &b| {
                self.column_costs[a].total_cmp(&self.column_costs[b]).then(a.cmp(&b))
            });
            let fill = rest.into_iter().map(|index| Kept { index, worth: 0.0 });
            best.extend(fill.take(count - taken.len()));
        }
        Ok(best)
    }

    /// One pass over all batches at a price.
    fn pass(&self, batches: &[&[usize]], price: f64) -> Result<Vec<Kept>> {
        let mut kept: Vec<Kept> = Vec::new();
        for batch in batches {
            let mut costs = self.costs.within(batch)?;
            let chosen: Vec<usize> = kept.iter().map(|k| k.index).collect();
            if let Some(nearest) = self.costs.nearest(batch, &chosen)? {
                costs = costs.insert_column(batch.len(), 0.0);
                costs.set_column(batch.len(), &nalgebra::DVector::from_vec(nearest));
            }
            let prices = batch.iter().map(|&i| self.column_costs[i] + price).collect();
            let slack = Budget::Absolute(2.0 * batch.len() as f64);
            let solved = solve(costs, prices, slack, self.unit * self.settings.eps)?;
            let worths = worths(&solved);
            let named = representatives(solved.assignment(), batch.len());
            kept.extend(named.map(|j| Kept { index: batch[j], worth: worths[j] }));
        }
        Ok(kept)
    }
}

/// The program of one batch.
pub(crate) fn solve(
    costs: DMatrix<f64>,
    prices: Vec<f64>,
    budget: Budget,
    eps: f64,
) -> Result<Selection> {
    let options = ProgramOptions {
        norm: Norm::Infinity,
        regulariser: Regulariser::Quadratic(eps),
        column_costs: Some(prices),
        ..Default::default()
    };
    SelectionProgram::new(costs, budget, options)?
        .solve(SolveOptions { tolerance: 1e-6, ..Default::default() })
}

/// `sum_i (nu_i - D_ij)_+ - c_j` of every incoming column.
pub(crate) fn worths(solved: &Selection) -> Vec<f64> {
    let program = solved.program();
    (0..program.incoming())
        .map(|j| {
            let column = program.costs().column(j);
            let pairs = solved.row_multipliers().iter().zip(column.iter());
            pairs.map(|(nu, cost)| (nu - cost).max(0.0)).sum::<f64>() - program.column_costs()[j]
        })
        .collect()
}

/// Rounds an assignment: every row names one representative; incoming ones are kept. Among columns that carry nearly as much of the row as the best one the busiest is named, so
/// that duplicates sharing a row do not all drop out or all stay.
fn representatives(assignment: &DMatrix<f64>, incoming: usize) -> impl Iterator<Item = usize> {
    let load: Vec<f64> = assignment.column_iter().map(|column| column.sum()).collect();
    let mut named = vec![false; assignment.ncols()];
    for row in assignment.row_iter() {
        let most = row.max();
        let busiest = (0..row.len())
            .filter(|&j| row[j] >= 0.5 * most)
            .max_by(|&a, &b| load[a].total_cmp(&load[b]).then(b.cmp(&a)));
        if let Some(j) = busiest {
            named[j] = true;
        }
    }
    (0..incoming).filter(move |&j| named[j])
}
