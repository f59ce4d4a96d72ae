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

use crate::choose::cells::{Across, InMemory, Pool, divide};
use crate::choose::neighbours::rows::squared_distance_exact;
use crate::choose::strategies::check_share;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, Streaming, check_count};
use crate::data::Source;
use crate::error::{Error, Result};
use crate::program::{
    Budget, Norm, ProgramOptions, Regulariser, Selection, SelectionProgram, SolveOptions, typical,
};

/// Column costs within this (in units of the typical cost) count as equal for the order of the stream.
const PRICE_LEVEL: f64 = 0.05;
/// Points among which the typical cost is taken.
const SAMPLE: usize = 200;
/// Points of a cell, about: so many remember one another.
const CELL: usize = 4_096;
/// Cells by which the price is found before all are looked at, about.
const TRIAL: usize = 6;

/// Chooses with the selection program ([`program`](crate::program)): every point is represented by chosen
/// ones, at the smallest sum of squared Euclidean distances between features and of what the chosen ones
/// cost.
///
/// The points stream through programs of `batch` incoming points, in random order, those with the
/// smallest column costs ([`Evidence::with_column_costs`], zero without) first. One price for a unit of
/// weight, found by bisection, makes the pass keep `count` points; a surplus goes by least worth, a
/// shortfall is filled by least column cost. Remembered points are there already and cost nothing. The best first: the one whose column saves its batch most.
///
/// More than some 4,096 points are divided into cells of neighbours. A cell knows nothing of what others keep, but all share
/// the price: it is found in a few of them, and then adjusted by passes over all until at most 6 % are too many.
///
/// What [`Trainer::choose`](crate::Trainer::choose) does with a trained selection model, this does with
/// plain numbers.
///
/// # Cost
/// `passes + 1` times `N / batch` programs of `batch` rows, and `O(passes N count width)` for the distances to what is kept;
/// a pass at too low a price keeps more. In cells, all of them at the same time, two to four passes over all, and of a count
/// only the share of one cell. `O(N)` memory.
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
        let remembered = distances(rows, evidence.remembered(), width);
        self.choose(&InMemory { rows, width }, &remembered, evidence.column_costs(), count, rng)
    }

    fn as_streaming(&self) -> Option<&dyn Streaming> {
        Some(self)
    }
}

impl Streaming for Convex {
    /// Of rows, one cell a thread is in memory.
    fn select_from(
        &self,
        source: &dyn Source,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice> {
        check_share(source.points(), count)?;
        self.check()?;
        self.choose(&source, &[], None, count, rng)
    }
}

impl Convex {
    fn choose(
        &self,
        pool: &dyn Pool,
        remembered: &[f64],
        column_costs: Option<&[f64]>,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice> {
        let points = pool.size();
        let mut order: Vec<usize> = (0..points).collect();
        order.shuffle(rng);
        let load = |members: &[usize]| {
            let (rows, width) = pool.gather(members)?;
            let of = |i: &usize| remembered.get(*i).copied().unwrap_or(f64::INFINITY);
            Ok(Rows { rows, width, remembered: members.iter().map(of).collect() })
        };
        let sample = &order[..points.min(SAMPLE)];
        let unit = typical(&load(sample)?.within(&(0..sample.len()).collect::<Vec<_>>())?);
        let column_costs: Vec<f64> = match column_costs {
            Some(costs) => costs.iter().map(|cost| cost * unit).collect(),
            None => vec![0.0; points],
        };
        let cells = divide(pool, points.div_ceil(CELL), Across::LongestAxis, rng)?;
        let cells = if cells.len() == 1 { vec![order] } else { in_order(cells, &order) };
        let stream = Stream { load, column_costs: &column_costs, unit, settings: *self };
        Ok(choice_of(&stream.choose(cells, count)?))
    }

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

/// The members of each cell in the order of the whole pool.
fn in_order(cells: Vec<Vec<usize>>, order: &[usize]) -> Vec<Vec<usize>> {
    let mut place = vec![0u32; order.len()];
    for (at, i) in order.iter().enumerate() {
        place[*i] = at as u32; // sorting more than 2^32 points would take more memory than there is
    }
    let sorted = |mut cell: Vec<usize>| {
        cell.sort_unstable_by_key(|i| place[*i]);
        cell
    };
    cells.into_par_iter().map(sorted).collect()
}

/// From each row to the nearest of others; nothing without others.
fn distances(rows: &[f32], others: &[f32], width: usize) -> Vec<f64> {
    if others.is_empty() {
        return Vec::new();
    }
    let nearest = |row: &[f32]| {
        let distances = others.chunks(width).map(|other| squared_distance_exact(row, other));
        distances.fold(f64::INFINITY, f64::min)
    };
    rows.par_chunks(width).map(nearest).collect()
}

/// The rows of a cell at squared Euclidean distances.
struct Rows {
    rows: Vec<f32>,
    width: usize,
    /// From each row to the nearest remembered one; infinite without any.
    remembered: Vec<f64>,
}

impl Rows {
    fn between(&self, i: usize, j: usize) -> f64 {
        let row = |i: usize| &self.rows[i * self.width..(i + 1) * self.width];
        squared_distance_exact(row(i), row(j))
    }
}

impl Costs for Rows {
    fn within(&self, batch: &[usize]) -> Result<DMatrix<f64>> {
        let mut costs = DMatrix::zeros(batch.len(), batch.len());
        for i in 0..batch.len() {
            for j in 0..i {
                costs[(i, j)] = self.between(batch[i], batch[j]);
                costs[(j, i)] = costs[(i, j)];
            }
        }
        Ok(costs)
    }

    fn nearest(&self, batch: &[usize], kept: &[usize]) -> Result<Option<Vec<f64>>> {
        let to_nearest = |i: &usize| {
            kept.iter().map(|j| self.between(*i, *j)).fold(self.remembered[*i], f64::min)
        };
        let nearest: Vec<f64> = batch.par_iter().map(to_nearest).collect();
        // Of none the distance is infinite, and of all alike.
        Ok(nearest.iter().all(|far| far.is_finite()).then_some(nearest))
    }
}

/// How badly the points of a cell stand in for one another, as the stream asks for it; by their places in the cell.
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

/// All points as a pass sees them, in cells that do not know of one another but share a price.
pub(crate) struct Stream<'a, L> {
    /// The costs of a cell, of which one a thread is in memory.
    pub(crate) load: L,
    /// One a point, in the units of the costs.
    pub(crate) column_costs: &'a [f64],
    /// The typical cost.
    pub(crate) unit: f64,
    pub(crate) settings: Convex,
}

impl<C: Costs, L: Fn(&[usize]) -> Result<C> + Sync> Stream<'_, L> {
    /// `count` of the points, which come in cells, there in a random order; the most worth first.
    pub(crate) fn choose(&self, mut cells: Vec<Vec<usize>>, count: usize) -> Result<Vec<Kept>> {
        // Cheap points first: a suspicious one is kept only if nothing cheaper has come by.
        let level = |i: &usize| (self.column_costs[*i] / (PRICE_LEVEL * self.unit)) as u64;
        cells.iter_mut().for_each(|cell| cell.sort_by_key(level));
        let all: usize = cells.iter().map(Vec::len).sum();
        let mut best = match &cells[..] {
            [only] => self.bisected(only, count)?,
            _ => {
                // Neighbours follow one another: every so many cells are like all.
                let step = (cells.len() / TRIAL).max(1);
                let trial: Vec<&[usize]> = cells.iter().step_by(step).map(Vec::as_slice).collect();
                let points: usize = trial.iter().map(|cell| cell.len()).sum();
                let share = (count as f64 * points as f64 / all as f64).round() as usize;
                self.adjusted(&cells, count, self.price(&trial, share.max(1))?)?
            }
        };
        // Surplus goes by least worth; a shortfall (prices of all others too high) is filled by least
        // column cost.
        best.sort_by(|a, b| b.worth.total_cmp(&a.worth).then(a.index.cmp(&b.index)));
        best.truncate(count);
        if best.len() < count {
            let taken: HashSet<usize> = best.iter().map(|k| k.index).collect();
            let rest = cells.into_iter().flatten().filter(|i| !taken.contains(i));
            let mut rest: Vec<usize> = rest.collect();
            rest.sort_by(|&a, &b| {
                self.column_costs[a].total_cmp(&self.column_costs[b]).then(a.cmp(&b))
            });
            let fill = rest.into_iter().map(|index| Kept { index, worth: 0.0 });
            best.extend(fill.take(count - taken.len()));
        }
        Ok(best)
    }

    /// What a pass keeps at the highest price at which it keeps `count` or more: high prices keep few points.
    fn bisected(&self, cell: &[usize], count: usize) -> Result<Vec<Kept>> {
        let (mut low, mut high) = self.bracket(cell.len());
        let mut best: Vec<Kept> = Vec::new();
        for _ in 0..self.settings.passes {
            let middle = 0.5 * (low + high);
            let kept = self.pass(cell, middle.exp() * self.unit, usize::MAX)?;
            if kept.len() < count {
                high = middle;
                continue;
            }
            low = middle;
            if kept.len() < best.len() || best.is_empty() {
                best = kept;
            }
            if best.len() == count {
                break;
            }
        }
        if best.is_empty() { self.pass(cell, 0.0, usize::MAX) } else { Ok(best) }
    }

    /// Logarithms of prices between which the right one is, in units of the typical cost.
    fn bracket(&self, points: usize) -> (f64, f64) {
        (-12.0, (points as f64).ln() + 2.0)
    }

    /// The logarithm of the price at which these cells keep about so many.
    fn price(&self, cells: &[&[usize]], count: usize) -> Result<f64> {
        /// A number that is off by so much will do.
        const OFF: f64 = 0.02;
        let (mut low, mut high) = self.bracket(cells.iter().map(|cell| cell.len()).sum());
        for _ in 0..self.settings.passes {
            let middle = 0.5 * (low + high);
            // One cell that keeps more than all should settles it.
            let kept = |cell: &&[usize]| self.pass(cell, middle.exp() * self.unit, count);
            let kept: Vec<Result<Vec<Kept>>> = cells.par_iter().map(kept).collect();
            let kept = kept.into_iter().map(|kept| Ok(kept?.len())).sum::<Result<usize>>()?;
            if (kept as f64 / count as f64 - 1.0).abs() <= OFF {
                return Ok(middle);
            }
            if kept > count { low = middle } else { high = middle }
        }
        Ok(low)
    }

    /// What a pass over all cells keeps at about that price: a little more than `count`.
    fn adjusted(&self, cells: &[Vec<usize>], count: usize, mut price: f64) -> Result<Vec<Kept>> {
        /// Passes at most.
        const PASSES: usize = 4;
        /// The surplus that is left to the worths, and the one that is aimed at.
        const MOST: f64 = 1.06;
        const AIM: f64 = 1.03;
        let aim = |kept: usize| (kept.max(1) as f64 / (AIM * count as f64)).ln();
        let mut best = self.all(cells, price)?;
        let (mut off, mut slope) = (aim(best.len()), -0.5);
        for _ in 1..PASSES {
            let fits = best.len() >= count && best.len() as f64 <= MOST * count as f64;
            if fits {
                break;
            }
            let next = price - off / slope;
            let kept = self.all(cells, next)?;
            let found = aim(kept.len());
            // The number falls with the price, more or less steeply.
            slope = ((found - off) / (next - price)).clamp(-2.0, -0.1);
            (price, off) = (next, found);
            let surplus = |kept: &Vec<Kept>| match kept.len() >= count {
                true => kept.len(),
                false => usize::MAX - kept.len(),
            };
            if surplus(&kept) < surplus(&best) {
                best = kept;
            }
        }
        Ok(best)
    }

    /// What all cells keep at the price of this logarithm.
    fn all(&self, cells: &[Vec<usize>], price: f64) -> Result<Vec<Kept>> {
        let cell = |members: &Vec<usize>| self.pass(members, price.exp() * self.unit, usize::MAX);
        let kept: Vec<Result<Vec<Kept>>> = cells.par_iter().map(cell).collect();
        Ok(kept.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }

    /// One pass over the batches of a cell at a price, which ends when it has kept more than `most`.
    fn pass(&self, members: &[usize], price: f64, most: usize) -> Result<Vec<Kept>> {
        let costs = (self.load)(members)?;
        let places: Vec<usize> = (0..members.len()).collect();
        let (mut kept, mut chosen): (Vec<Kept>, Vec<usize>) = (Vec::new(), Vec::new());
        for batch in places.chunks(self.settings.batch.max(1)) {
            let mut within = costs.within(batch)?;
            if let Some(nearest) = costs.nearest(batch, &chosen)? {
                within = within.insert_column(batch.len(), 0.0);
                within.set_column(batch.len(), &nalgebra::DVector::from_vec(nearest));
            }
            let prices = batch.iter().map(|&k| self.column_costs[members[k]] + price).collect();
            let slack = Budget::Absolute(2.0 * batch.len() as f64);
            let solved = solve(within, prices, slack, self.unit * self.settings.eps)?;
            let worths = worths(&solved);
            for j in representatives(solved.assignment(), batch.len()) {
                kept.push(Kept { index: members[batch[j]], worth: worths[j] });
                chosen.push(batch[j]);
            }
            if kept.len() > most {
                break;
            }
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
