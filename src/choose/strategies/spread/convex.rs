//! The selection program as a strategy.

use nalgebra::DMatrix;
use rand::RngCore;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::choose::cells::{Across, InMemory, Pool, divide};
use crate::choose::neighbours::rows::squared_distance_exact;
use crate::choose::strategies::check_share;
use crate::choose::strategies::spread::priced::{Offer, Priced, agreed};
use crate::choose::strategies::spread::stream::{Costs, Stream, choice_of};
use crate::choose::{
    Asked, Candidates, Choice, Evidence, Kind, Needs, Strategy, Streaming, check_count,
};
use crate::data::Source;
use crate::error::{Error, Result};
use crate::program::typical;

/// Points among which the typical cost is taken.
const SAMPLE: usize = 200;
/// Points of a cell, about: so many remember one another.
const CELL: usize = 4_096;

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
    /// Smoothing, in units of the typical cost, positive; 0.01 by default: weights are near 0 or 1. It is less where points
    /// are kept that save less, as within clusters that are far from one another.
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

    /// At first, how many rows a few cells keep at some prices; then what all of them keep at the one price for all tasks.
    fn candidates(
        &self,
        source: &dyn Source,
        asked: &Asked,
        rng: &mut dyn RngCore,
    ) -> Result<Candidates> {
        self.check()?;
        let pool: &dyn Pool = &source;
        let (cells, unit) = self.arranged(pool, &[], rng)?;
        let column_costs = vec![0.0; pool.size()];
        let load = |members: &[usize]| load(pool, &[], members);
        let (column_costs, share) = (&column_costs, asked.share);
        let mut stream = Stream { load, column_costs, unit, share, settings: *self };
        match Priced::of(&asked.numbers)? {
            None => {
                let count = (asked.share * pool.size() as f64).ceil() as usize;
                stream.offer(&cells, count).map(Offer::into_candidates)
            }
            Some(priced) => {
                stream.unit = priced.unit;
                stream.candidates(&cells, priced.now, asked.count(pool.size()))
            }
        }
    }

    fn next(
        &self,
        found: &[Candidates],
        asked: &[Asked],
        count: usize,
    ) -> Result<Option<Vec<Asked>>> {
        let numbers = asked.first().map_or(&[][..], |asked| &asked.numbers);
        let numbers = match Priced::of(numbers)? {
            None => Some(agreed(found, count)?.into_numbers()),
            Some(priced) => priced.next(found, count)?.map(Priced::into_numbers),
        };
        let with = |numbers: Vec<f64>| {
            asked.iter().map(|asked| Asked { numbers: numbers.clone(), ..asked.clone() }).collect()
        };
        Ok(numbers.map(with))
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
        let (cells, unit) = self.arranged(pool, remembered, rng)?;
        let column_costs: Vec<f64> = match column_costs {
            Some(costs) => costs.iter().map(|cost| cost * unit).collect(),
            None => vec![0.0; pool.size()],
        };
        let load = |members: &[usize]| load(pool, remembered, members);
        let (column_costs, share) = (&column_costs, count as f64 / pool.size() as f64);
        let stream = Stream { load, column_costs, unit, share, settings: *self };
        Ok(choice_of(&stream.choose(cells, count)?))
    }

    /// The points in cells, there in a random order, and the typical cost.
    fn arranged(
        &self,
        pool: &dyn Pool,
        remembered: &[f64],
        rng: &mut dyn RngCore,
    ) -> Result<(Vec<Vec<usize>>, f64)> {
        let points = pool.size();
        let mut order: Vec<usize> = (0..points).collect();
        order.shuffle(rng);
        let sample = &order[..points.min(SAMPLE)];
        let costs = load(pool, remembered, sample)?;
        let unit = typical(&costs.within(&(0..sample.len()).collect::<Vec<_>>())?);
        let cells = divide(pool, points.div_ceil(CELL), Across::LongestAxis, rng)?;
        Ok((if cells.len() == 1 { vec![order] } else { in_order(cells, &order) }, unit))
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

/// The rows of some points.
fn load(pool: &dyn Pool, remembered: &[f64], members: &[usize]) -> Result<Rows> {
    let (rows, width) = pool.gather(members)?;
    let of = |i: &usize| remembered.get(*i).copied().unwrap_or(f64::INFINITY);
    Ok(Rows { rows, width, remembered: members.iter().map(of).collect() })
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
