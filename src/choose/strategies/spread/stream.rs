//! The engine behind the selection program as a strategy, which trained models share.
//!
//! The data streams through the program batch by batch; what was chosen so far is remembered and costs
//! nothing. Instead of a budget a batch, all batches share one *price* for a unit of weight (a uniform
//! column cost, the budget's multiplier): a batch full of new things may keep many points, one full of
//! known things none. The price is found by bisection so that the pass keeps the requested number. Cheap
//! points (by column cost) stream first, so that a suspicious point is kept only where nothing else
//! represents it.

use std::collections::HashSet;

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::choose::strategies::spread::priced::{Offer, PASSES, best, next_price};
use crate::choose::{Candidates, Choice, Convex};
use crate::data::shares::in_proportion;
use crate::error::Result;
use crate::program::{
    Budget, Norm, ProgramOptions, Regulariser, Selection, SelectionProgram, SolveOptions,
};

/// Column costs within this (in units of the typical cost) count as equal for the order of the stream.
const PRICE_LEVEL: f64 = 0.05;
/// Cells by which the price is found before all are looked at, about.
const TRIAL: usize = 6;

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
    /// The share of the points that is to be kept.
    pub(crate) share: f64,
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
                let (trial, points) = trial(&cells);
                let share = share_of(count, points, all);
                let (price, _) = self.price(&trial, share, share)?;
                self.adjusted(&cells, count, price)?
            }
        };
        // Surplus goes by least worth; a shortfall (prices of all others too high) is filled by least
        // column cost.
        sort(&mut best);
        best.truncate(count);
        if best.len() < count {
            let fill = self.rest(&cells, &best).into_iter().map(|index| Kept { index, worth: 0.0 });
            best.extend(fill.take(count - best.len()));
        }
        Ok(best)
    }

    /// What was not kept, by column cost; of equal ones every cell its share, in its random order.
    fn rest(&self, cells: &[Vec<usize>], kept: &[Kept]) -> Vec<usize> {
        let taken: HashSet<usize> = kept.iter().map(|kept| kept.index).collect();
        let rest =
            |cell: &Vec<usize>| cell.iter().copied().filter(|i| !taken.contains(i)).collect();
        let mut rest = in_proportion(&cells.iter().map(rest).collect::<Vec<Vec<usize>>>());
        rest.sort_by(|a, b| self.column_costs[*a].total_cmp(&self.column_costs[*b]));
        rest
    }

    /// What a pass keeps at the highest price at which it keeps `count` or more: high prices keep few points.
    fn bisected(&self, cell: &[usize], count: usize) -> Result<Vec<Kept>> {
        let mut best: Vec<Kept> = Vec::new();
        for (mut low, mut high) in brackets(cell.len()) {
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
                    return Ok(best);
                }
            }
            if !best.is_empty() {
                return Ok(best);
            }
        }
        self.pass(cell, 0.0, usize::MAX)
    }

    /// The logarithm of the price at which these cells keep about so many, and what they kept at those that were tried;
    /// one cell that keeps more than `most` settles that it is too many.
    fn price(
        &self,
        cells: &[&[usize]],
        count: usize,
        most: usize,
    ) -> Result<(f64, Vec<(f64, usize)>)> {
        /// A number that is off by so much will do.
        const OFF: f64 = 0.02;
        let mut tried = Vec::new();
        let mut price = 0.0;
        for (mut low, mut high) in brackets(cells.iter().map(|cell| cell.len()).sum()) {
            let bottom = low;
            for _ in 0..self.settings.passes {
                let middle = 0.5 * (low + high);
                let kept = |cell: &&[usize]| self.pass(cell, middle.exp() * self.unit, most);
                let kept: Vec<Result<Vec<Kept>>> = cells.par_iter().map(kept).collect();
                let kept = kept.into_iter().map(|kept| Ok(kept?.len())).sum::<Result<usize>>()?;
                tried.push((middle, kept));
                if (kept as f64 / count as f64 - 1.0).abs() <= OFF {
                    return Ok((middle, tried));
                }
                if kept > count { low = middle } else { high = middle }
            }
            price = low;
            if low > bottom {
                break;
            }
        }
        Ok((price, tried))
    }

    /// How many of all points would be kept at some prices around the one at which so many are, judged by a few cells.
    pub(crate) fn offer(&self, cells: &[Vec<usize>], count: usize) -> Result<Offer> {
        /// Numbers beyond so many times the right one need not be known.
        const FAR: usize = 4;
        let all: usize = cells.iter().map(Vec::len).sum();
        let (trial, points) = trial(cells);
        let share = share_of(count, points, all);
        let (_, mut tried) = self.price(&trial, share, share.saturating_mul(FAR))?;
        tried.sort_by(|a, b| a.0.total_cmp(&b.0));
        let of_all = |kept: usize| kept as f64 * all as f64 / points as f64;
        let kept = tried.iter().map(|(price, kept)| (price + self.unit.ln(), of_all(*kept)));
        Ok(Offer { rows: all, unit: self.unit, kept: kept.collect() })
    }

    /// What all cells keep at the price of this logarithm, the most worth first; then others, so that there are `count` or more.
    pub(crate) fn candidates(
        &self,
        cells: &[Vec<usize>],
        price: f64,
        count: usize,
    ) -> Result<Candidates> {
        let mut kept = self.all(cells, price - self.unit.ln())?;
        sort(&mut kept);
        let mut indices: Vec<usize> = kept.iter().map(|kept| kept.index).collect();
        let mut gains: Vec<f64> = kept.iter().map(|kept| kept.worth.max(0.0)).collect();
        if kept.len() < count {
            indices.extend(self.rest(cells, &kept).into_iter().take(count - kept.len()));
        }
        // In the order of the gains a zero with a sign stands behind one without.
        gains.resize(indices.len(), -0.0);
        let rows = cells.iter().map(Vec::len).sum();
        Ok(Candidates { rows, indices, gains, numbers: vec![kept.len() as f64] })
    }

    /// What a pass over all cells keeps at about that price: a little more than `count`.
    fn adjusted(&self, cells: &[Vec<usize>], count: usize, mut price: f64) -> Result<Vec<Kept>> {
        let (mut kept, mut tried): (Vec<Kept>, Vec<(f64, f64)>) = (Vec::new(), Vec::new());
        for _ in 0..PASSES {
            let now = self.all(cells, price)?;
            tried.push((price, now.len() as f64));
            if best(&tried, count) == Some(price) {
                kept = now;
            }
            match next_price(&tried, count) {
                Some(next) => price = next,
                None => break,
            }
        }
        Ok(kept)
    }

    /// What all cells keep at the price of this logarithm.
    fn all(&self, cells: &[Vec<usize>], price: f64) -> Result<Vec<Kept>> {
        let cell = |members: &Vec<usize>| self.pass(members, price.exp() * self.unit, usize::MAX);
        let kept: Vec<Result<Vec<Kept>>> = cells.par_iter().map(cell).collect();
        Ok(kept.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }

    /// Mass spreads over columns that differ by about this. It must not be more than a row saves by what stands for it, about
    /// the price of a unit of weight times the share that is kept: where clusters are far apart the typical cost is that from
    /// one to another, and says nothing of how near points are to one another within.
    fn smoothing(&self, price: f64) -> f64 {
        /// With the usual setting, one hundredth, that is what a row saves.
        const SAVED: f64 = 100.0;
        /// A program without smoothing is another one.
        const LEAST: f64 = 1e-14;
        let saved = SAVED * price * self.share;
        self.settings.eps * saved.clamp(LEAST * self.unit, self.unit)
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
            let solved = solve(within, prices, slack, self.smoothing(price))?;
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

/// The most worth first.
fn sort(kept: &mut [Kept]) {
    kept.sort_by(|a, b| b.worth.total_cmp(&a.worth).then(a.index.cmp(&b.index)));
}

/// Logarithms of prices between which the right one is, in units of the typical cost; and, if no price there is low enough,
/// where it is then.
fn brackets(points: usize) -> [(f64, f64); 2] {
    const LOW: f64 = -12.0;
    const BOTTOM: f64 = -46.0;
    [(LOW, (points as f64).ln() + 2.0), (BOTTOM, LOW)]
}

/// Some cells, and the number of their points. Neighbours follow one another: every so many are like all.
fn trial(cells: &[Vec<usize>]) -> (Vec<&[usize]>, usize) {
    let step = (cells.len() / TRIAL).max(1);
    let trial: Vec<&[usize]> = cells.iter().step_by(step).map(Vec::as_slice).collect();
    let points = trial.iter().map(|cell| cell.len()).sum();
    (trial, points)
}

/// How many of some of all points are to be kept; one at least.
fn share_of(count: usize, points: usize, all: usize) -> usize {
    ((count as f64 * points as f64 / all as f64).round() as usize).max(1)
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
