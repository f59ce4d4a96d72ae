//! A pool too large to compare all with all, divided into cells of neighbours.

use rand::seq::index::sample;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::choose::neighbours::rows::{mean, squared_norm};
use crate::data::Source;
use crate::error::{Error, Result};

/// Sampled rows a cell, by which the pool is divided.
const SAMPLED: usize = 64;
/// Bytes of the sample at most.
const SAMPLE_BYTES: usize = 64 << 20;
/// Rows among which an axis is found.
const AXIS_ROWS: usize = 512;
/// Power iterations for an axis: it need not be exact.
const TURNS: usize = 8;
/// Rows that are read at once.
const BLOCK: usize = 4096;

/// Rows that are asked for by their points.
pub(crate) trait Pool: Sync {
    /// Number of points.
    fn size(&self) -> usize;

    /// The rows of some points, side by side; all of one width, which comes with them.
    fn gather(&self, points: &[usize]) -> Result<(Vec<f32>, usize)>;
}

impl Pool for &dyn Source {
    fn size(&self) -> usize {
        self.points()
    }

    fn gather(&self, points: &[usize]) -> Result<(Vec<f32>, usize)> {
        let inputs = self.inputs_at(points)?.flatten_all()?;
        let rows = inputs.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()?;
        match rows.len() / points.len().max(1) {
            0 => Err(Error::shape("features", "at least one a point", 0)),
            width => Ok((rows, width)),
        }
    }
}

/// Rows side by side.
pub(crate) struct InMemory<'a> {
    pub(crate) rows: &'a [f32],
    pub(crate) width: usize,
}

impl Pool for InMemory<'_> {
    fn size(&self) -> usize {
        self.rows.len() / self.width
    }

    fn gather(&self, points: &[usize]) -> Result<(Vec<f32>, usize)> {
        let row = |i: &usize| &self.rows[i * self.width..(i + 1) * self.width];
        Ok((points.iter().flat_map(row).copied().collect(), self.width))
    }
}

/// Across what a set of rows is halved.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Across {
    /// The direction of nearly the largest spread: cells are compact.
    LongestAxis,
    /// That from one random row to another: cells are different every time.
    RandomPair,
}

/// The members of each cell, ascending. A tree of hyperplanes halves the pool again and again by a sample, so that cells hold
/// nearly equal numbers; one of more than twice its share, as where rows are duplicates, is cut in the order of its members.
/// Cells that follow one another are near one another.
///
/// # Cost
/// One pass over the pool, `O(N width log cells)` time; a sample, a block of rows and a number a point in memory.
pub(crate) fn divide(
    pool: &dyn Pool,
    cells: usize,
    across: Across,
    rng: &mut dyn RngCore,
) -> Result<Vec<Vec<usize>>> {
    let points = pool.size();
    let cells = cells.clamp(1, points);
    if cells == 1 {
        return Ok(vec![(0..points).collect()]);
    }
    let width = pool.gather(&[0])?.1;
    let most = (SAMPLE_BYTES / (4 * width)).max(2);
    let mut sampled = sample(rng, points, points.min(SAMPLED * cells).min(most)).into_vec();
    sampled.sort_unstable();
    let (rows, _) = pool.gather(&sampled)?;
    let all: Vec<&[f32]> = rows.chunks(width).collect();
    let tree = Tree::new(all, cells, across, rng.next_u64());

    let mut found: Vec<Vec<usize>> = vec![Vec::new(); cells];
    for start in (0..points).step_by(BLOCK) {
        let block: Vec<usize> = (start..points.min(start + BLOCK)).collect();
        let (rows, _) = pool.gather(&block)?;
        let of: Vec<usize> = rows.par_chunks(width).map(|row| tree.cell(row)).collect();
        block.into_iter().zip(of).for_each(|(point, cell)| found[cell].push(point));
    }
    let share = points.div_ceil(cells);
    let pieces = |members: Vec<usize>| {
        let parts = if members.len() > 2 * share { members.len().div_ceil(share) } else { 1 };
        let each = members.len().div_ceil(parts).max(1);
        members.chunks(each).map(<[usize]>::to_vec).collect::<Vec<_>>()
    };
    Ok(found.into_iter().filter(|members| !members.is_empty()).flat_map(pieces).collect())
}

enum Tree {
    Leaf,
    Split { axis: Vec<f64>, bar: f64, cells_left: usize, sides: Box<[Tree; 2]> },
}

impl Tree {
    /// Of so many leaves, fewer where rows are equal.
    fn new(mut rows: Vec<&[f32]>, cells: usize, across: Across, seed: u64) -> Self {
        if cells < 2 {
            return Self::Leaf;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let axis = match across {
            Across::LongestAxis => longest_axis(&rows),
            // Where the two are equal others may differ.
            Across::RandomPair => random_pair(&rows, &mut rng).or_else(|| longest_axis(&rows)),
        };
        let Some(axis) = axis else { return Self::Leaf };
        let cells_left = cells / 2;
        rows.sort_by(|a, b| along(&axis, a).total_cmp(&along(&axis, b)));
        let cut = (rows.len() * cells_left / cells).clamp(1, rows.len() - 1);
        let bar = along(&axis, rows[cut]);
        let right = rows.split_off(cut);
        let (first, second) = (rng.next_u64(), rng.next_u64());
        let (left, right) = rayon::join(
            || Self::new(rows, cells_left, across, first),
            || Self::new(right, cells - cells_left, across, second),
        );
        Self::Split { axis, bar, cells_left, sides: Box::new([left, right]) }
    }

    fn cell(&self, row: &[f32]) -> usize {
        let (mut tree, mut first) = (self, 0);
        while let Self::Split { axis, bar, cells_left, sides } = tree {
            let right = along(axis, row) >= *bar;
            first += if right { *cells_left } else { 0 };
            tree = &sides[usize::from(right)];
        }
        first
    }
}

fn along(axis: &[f64], row: &[f32]) -> f64 {
    axis.iter().zip(row).map(|(a, x)| a * f64::from(*x)).sum()
}

/// From one row to another; none where they are equal.
fn random_pair(rows: &[&[f32]], rng: &mut ChaCha8Rng) -> Option<Vec<f64>> {
    let mut any = || rows[rng.random_range(0..rows.len())].iter().map(|x| f64::from(*x));
    let (a, b): (Vec<f64>, Vec<f64>) = (any().collect(), any().collect());
    let axis = unit(a.iter().zip(&b).map(|(a, b)| a - b).collect())?;
    is_long(&axis, rows).then_some(axis)
}

/// The direction of nearly the largest spread; none where all rows are equal, or there is one.
fn longest_axis(rows: &[&[f32]]) -> Option<Vec<f64>> {
    let step = rows.len().div_ceil(AXIS_ROWS).max(1);
    let some: Vec<&[f32]> = rows.iter().copied().step_by(step).collect();
    let width = some.first()?.len();
    let centre = mean(&some.concat(), width);
    let centred = |row: &[f32]| -> Vec<f64> {
        row.iter().zip(&centre).map(|(x, mean)| f64::from(*x) - mean).collect()
    };
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let centred: Vec<Vec<f64>> = some.iter().map(|row| centred(row)).collect();
    let farthest = centred.iter().max_by(|a, b| norm(a).total_cmp(&norm(b)))?;
    let mut axis = unit(farthest.clone())?;
    for _ in 0..TURNS {
        let mut next = vec![0.0; width];
        for row in &centred {
            let dot: f64 = row.iter().zip(&axis).map(|(x, a)| x * a).sum();
            next.iter_mut().zip(row).for_each(|(next, x)| *next += dot * x);
        }
        let Some(turned) = unit(next) else { break };
        axis = turned;
    }
    is_long(&axis, rows).then_some(axis)
}

/// Whether rows differ along an axis: rounding can call equal rows different, and then there is nothing to divide.
fn is_long(axis: &[f64], rows: &[&[f32]]) -> bool {
    let reach = |of: fn(f64, f64) -> f64, start: f64| {
        rows.iter().map(|row| along(axis, row)).fold(start, of)
    };
    let spread = reach(f64::max, f64::NEG_INFINITY) - reach(f64::min, f64::INFINITY);
    let size = rows.iter().map(|row| squared_norm(row)).fold(0.0, f64::max).sqrt();
    spread > 1e-12 * size
}

fn unit(mut v: Vec<f64>) -> Option<Vec<f64>> {
    let largest = v.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    if !(largest > 0.0 && largest.is_finite()) {
        return None;
    }
    v.iter_mut().for_each(|x| *x /= largest);
    let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.iter_mut().for_each(|x| *x /= norm);
    Some(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::neighbours::rows::awkward;

    fn divided(
        rows: &[f32],
        width: usize,
        cells: usize,
        across: Across,
    ) -> Result<Vec<Vec<usize>>> {
        let pool = InMemory { rows, width };
        let points = pool.size();
        let found = divide(&pool, cells, across, &mut ChaCha8Rng::seed_from_u64(1))?;
        let mut all = found.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..points), "every point is in one cell");
        Ok(found)
    }

    /// Duplicates, one row out of all proportion, numbers too small and too large to square in f32.
    #[test]
    fn every_point_is_in_one_cell_and_no_cell_is_large() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for (points, width, cells) in [(1usize, 1, 1), (3, 2, 3), (1_000, 3, 10), (9_000, 5, 37)] {
            for data in 0..awkward::KINDS {
                let rows = awkward::numbers(data, points * width, &mut rng);
                let share = points.div_ceil(cells);
                for across in [Across::LongestAxis, Across::RandomPair] {
                    let found = divided(&rows, width, cells, across)?;
                    let small = found.iter().all(|cell| cell.len() <= 2 * share);
                    assert!(small, "{points}, data {data}");
                }
            }
        }
        Ok(())
    }

    /// Four groups far from one another, four cells: each is mostly one of them.
    #[test]
    fn cells_keep_neighbours_together() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let corner = |i: usize| [(i % 2) as f32 * 100.0, (i / 2 % 2) as f32 * 60.0];
        let rows: Vec<f32> =
            (0..2_000).flat_map(|i| corner(i).map(|x| x + rng.random::<f32>())).collect();
        let found = divided(&rows, 2, 4, Across::LongestAxis)?;
        assert_eq!(found.len(), 4);
        // The middle of a sample of 256 is off by 3 % of all rows (one deviation), that of its halves by 4 %: three of both
        // leave a cell two thirds of its group.
        let together = |cell: &Vec<usize>| {
            let of = |group: usize| cell.iter().filter(|i| *i % 4 == group).count();
            (0..4).map(of).max() >= Some(cell.len() * 2 / 3)
        };
        assert!(found.iter().all(together));
        Ok(())
    }
}
