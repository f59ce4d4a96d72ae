//! The nearest others of every row: matrix products screen all pairs, exact arithmetic decides.
//!
//! A block of pairs costs one product of matrices in `f32`, used for both directions. What its rounding
//! cannot rule out is evaluated again in `f64`, so neither the blocks nor the order in which threads
//! take them show in the result.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::choose::neighbours::rows::{squared_distance_exact, squared_norm};

/// Rows and columns of a block of pairs: its values fit the second-level cache.
const BLOCK: usize = 256;
/// Values that are tested at once.
const LANES: usize = 16;
/// Below what products of numbers up to one may lose to underflow, whatever the width.
const UNDERFLOW: f64 = 1e-30;

/// How close all pairs are, roughly, and how roughly:
///
/// ```text
/// product over the factors of <x_i, x_j>  -  half_i  -  half_j        within slack_i + slack_j
/// ```
///
/// is the closeness, or a multiple of it, exactly as large for one pair as for another.
pub(crate) struct Screen {
    /// Entries at most one; a point a column.
    factors: Vec<DMatrix<f32>>,
    half: Vec<f32>,
    slack: Vec<f32>,
}

impl Screen {
    /// Inner products of rows no longer than one.
    pub(crate) fn inner_products(rows: &[f32], width: usize) -> Self {
        let points = rows.len() / width;
        let slack = rounding(width) as f32;
        Self {
            factors: vec![DMatrix::from_column_slice(width, points, rows)],
            half: vec![0.0; points],
            slack: vec![slack; points],
        }
    }

    /// Minus the squared distances, halved and in units of the largest distance from the mean.
    pub(crate) fn distances(rows: &[f32], width: usize) -> Self {
        let mut mean = vec![0.0; width];
        let points = (rows.len() / width) as f64;
        for row in rows.chunks(width) {
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / points);
        }
        let centred: Vec<f64> = rows
            .chunks(width)
            .flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean))
            .collect();
        Self::of_factors(vec![scaled(&centred, width)])
    }

    /// Minus the squared distances, halved, of the products `a_i h_i'` of a row of each table, in units
    /// of their largest entries.
    pub(crate) fn products(a: (&[f32], usize), h: (&[f32], usize)) -> Self {
        let factor = |(rows, width): (&[f32], usize)| {
            let rows: Vec<f64> = rows.iter().map(|x| f64::from(*x)).collect();
            scaled(&rows, width)
        };
        Self::of_factors(vec![factor(a), factor(h)])
    }

    fn of_factors(factors: Vec<DMatrix<f32>>) -> Self {
        let points = factors.first().map_or(0, DMatrix::ncols);
        let width = factors.iter().map(DMatrix::nrows).sum();
        let square = |i: usize| -> f64 {
            let squares = factors.iter().map(|factor| squared_norm(factor.column(i).as_slice()));
            squares.product()
        };
        let squares: Vec<f64> = (0..points).into_par_iter().map(square).collect();
        Self {
            // Products of two rows, and the scaling, are off by at most the roundings of the squares.
            slack: squares.iter().map(|s| (s * rounding(width) + UNDERFLOW) as f32).collect(),
            half: squares.iter().map(|square| (square / 2.0) as f32).collect(),
            factors,
        }
    }

    /// For each row the `k` others with the largest `exact(i, j)`, largest first, equal ones by index.
    /// `exact` is what the screen approximates, symmetric and up to a factor.
    pub(crate) fn nearest(
        &self,
        k: usize,
        exact: impl Fn(usize, usize) -> f64 + Sync,
    ) -> Vec<Vec<(u32, f64)>> {
        let points = self.slack.len();
        let blocks: Vec<Mutex<Block>> = (0..points.div_ceil(BLOCK))
            .map(|b| Mutex::new(Block::new(b * BLOCK..points.min((b + 1) * BLOCK), k)))
            .collect();
        // By diagonals: tasks that run at the same time seldom want the same block.
        let diagonal = |d: usize| (0..blocks.len() - d).map(move |b| (b, b + d));
        let pairs: Vec<(usize, usize)> = (0..blocks.len()).flat_map(diagonal).collect();
        pairs.into_par_iter().for_each(|(p, q)| self.compare(&blocks, (p, q), &exact));
        let finish = |block: Mutex<Block>| {
            let block = block.into_inner().unwrap_or_else(PoisonError::into_inner);
            block.finish(&self.slack, &exact)
        };
        blocks.into_par_iter().flat_map_iter(finish).collect()
    }

    /// Offers the points of block `p` to those of `q` and the other way round; `p <= q`.
    fn compare(
        &self,
        blocks: &[Mutex<Block>],
        (p, q): (usize, usize),
        exact: &impl Fn(usize, usize) -> f64,
    ) {
        let range = |b: usize| b * BLOCK..self.slack.len().min((b + 1) * BLOCK);
        let values = self.values(range(p), range(q));
        let lock = |b: usize| blocks[b].lock().unwrap_or_else(PoisonError::into_inner);
        // Always the smaller first, so that no two tasks wait for each other.
        let mut rows = lock(p);
        if p == q {
            rows.scan(&values, None, (&self.slack, exact));
        } else {
            rows.scan(&values, Some(&mut lock(q)), (&self.slack, exact));
        }
    }

    fn values(&self, rows: Range<usize>, columns: Range<usize>) -> DMatrix<f32> {
        let products = self.factors.iter().map(|factor| {
            // A copy: nalgebra's products want a contiguous first factor.
            let first = factor.columns_range(rows.clone()).transpose();
            first * factor.columns_range(columns.clone())
        });
        let mut values = products
            .reduce(|product, factor| product.component_mul(&factor))
            .unwrap_or_else(|| DMatrix::zeros(rows.len(), columns.len()));
        let half = &self.half[rows];
        for (column, half_j) in values.column_iter_mut().zip(&self.half[columns]) {
            let mut column = column;
            column.iter_mut().zip(half).for_each(|(value, half_i)| *value -= half_i + half_j);
        }
        values
    }
}

/// Twice what sums of `width` products of numbers up to one, and a few roundings around them, can be
/// off.
fn rounding(width: usize) -> f64 {
    (width as f64 + 16.0) * f64::from(f32::EPSILON)
}

/// Scaled by a power of two, so that no entry exceeds one and only the rounding to `f32` is lost.
fn scaled(rows: &[f64], width: usize) -> DMatrix<f32> {
    let largest = rows.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let scale = if largest > 0.0 { (-largest.log2().ceil()).exp2() } else { 1.0 };
    let scaled = rows.iter().map(|x| (x * scale) as f32);
    DMatrix::from_iterator(width, rows.len() / width, scaled)
}

/// The candidates of some rows.
struct Block {
    start: usize,
    k: usize,
    /// Point and value.
    found: Vec<Vec<(u32, f32)>>,
    /// How many candidates are too many.
    limits: Vec<usize>,
    /// A value that a newcomer, its own slack included, must reach.
    bars: Vec<f32>,
}

impl Block {
    fn new(points: Range<usize>, k: usize) -> Self {
        let rows = points.len();
        Self {
            start: points.start,
            k,
            found: vec![Vec::new(); rows],
            limits: vec![k.saturating_mul(2).saturating_add(LANES); rows],
            bars: vec![f32::NEG_INFINITY; rows],
        }
    }

    /// Takes every value in, and gives the columns theirs unless they are the rows themselves.
    fn scan(
        &mut self,
        values: &DMatrix<f32>,
        mut columns: Option<&mut Self>,
        by: (&[f32], &impl Fn(usize, usize) -> f64),
    ) {
        let slack = by.0;
        let rows = self.found.len();
        let first = columns.as_ref().map_or(self.start, |columns| columns.start);
        for (c, column) in values.as_slice().chunks(rows).enumerate() {
            let j = first + c;
            for at in (0..rows).step_by(LANES) {
                let end = rows.min(at + LANES);
                let bar = columns.as_ref().map_or(f32::INFINITY, |columns| columns.bars[c]);
                let of_rows = &slack[self.start + at..self.start + end];
                if !promising(&column[at..end], &self.bars[at..end], of_rows, slack[j], bar) {
                    continue;
                }
                for (r, value) in (at..end).zip(&column[at..end]) {
                    let i = self.start + r;
                    if i != j && value + slack[j] >= self.bars[r] {
                        self.take(r, (j, *value), by);
                    }
                    if let Some(columns) = columns.as_deref_mut()
                        && value + slack[i] >= columns.bars[c]
                    {
                        columns.take(c, (i, *value), by);
                    }
                }
            }
        }
    }

    fn take(
        &mut self,
        row: usize,
        (point, value): (usize, f32),
        (slack, exact): (&[f32], &impl Fn(usize, usize) -> f64),
    ) {
        // Half the memory of usize; comparing more than 2^32 points with one another would take decades.
        self.found[row].push((point as u32, value));
        if self.found[row].len() < self.limits[row] {
            return;
        }
        self.prune(row, slack);
        // Where the screen cannot tell rows apart, as where one column is out of all proportion, everybody would stay.
        let crowded = crowded(self.k);
        if self.found[row].len() >= crowded {
            let nearest = self.settled(row, exact).into_iter().map(|(pair, _)| pair).collect();
            self.found[row] = nearest;
        }
        self.limits[row] =
            self.limits[row].max(self.found[row].len().saturating_mul(2)).min(crowded);
    }

    /// The nearest so far, by exact arithmetic, nearest first; no candidate is left.
    fn settled(
        &mut self,
        row: usize,
        exact: &impl Fn(usize, usize) -> f64,
    ) -> Vec<((u32, f32), f64)> {
        let i = self.start + row;
        let found = std::mem::take(&mut self.found[row]).into_iter();
        let mut found: Vec<_> = found.map(|pair| (pair, exact(i, pair.0 as usize))).collect();
        found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.0.cmp(&b.0.0)));
        found.truncate(self.k);
        found
    }

    /// Drops what cannot be among the `k` nearest: its value is below the `k` largest by more than the
    /// slack of both.
    fn prune(&mut self, row: usize, slack: &[f32]) {
        let (found, own) = (&mut self.found[row], slack[self.start + row]);
        if found.len() <= self.k {
            return;
        }
        let of = |(j, _): &(u32, f32)| own + slack[*j as usize];
        let mut surely: Vec<f32> = found.iter().map(|pair| pair.1 - of(pair)).collect();
        let (_, least, _) = surely.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a));
        let least = *least;
        found.retain(|pair| pair.1 + of(pair) >= least);
        // What was settled by exact arithmetic may have left a higher one.
        self.bars[row] = self.bars[row].max(least - own);
    }

    fn finish(
        mut self,
        slack: &[f32],
        exact: &impl Fn(usize, usize) -> f64,
    ) -> Vec<Vec<(u32, f64)>> {
        let rows = self.found.len();
        let nearest = |row: usize| {
            self.prune(row, slack);
            self.settled(row, exact).into_iter().map(|((j, _), value)| (j, value)).collect()
        };
        (0..rows).map(nearest).collect()
    }
}

/// Candidates for `k` nearest that are too many even if the screen rules none of them out.
fn crowded(k: usize) -> usize {
    k.saturating_mul(3).saturating_add(2 * LANES)
}

/// Whether any value reaches the bar of its row, or that of its column.
fn promising(values: &[f32], bars: &[f32], slack: &[f32], column: f32, bar: f32) -> bool {
    let mut any = false;
    for ((value, row_bar), row) in values.iter().zip(bars).zip(slack) {
        any |= (value + column >= *row_bar) | (value + row >= bar);
    }
    any
}

/// The `k` nearest others of each row by Euclidean distance, nearest first, each with minus the square of it.
pub(crate) fn nearest_rows(rows: &[f32], width: usize, k: usize) -> Vec<Vec<(u32, f64)>> {
    let row = |i: usize| &rows[i * width..(i + 1) * width];
    Screen::distances(rows, width).nearest(k, |i, j| -squared_distance_exact(row(i), row(j)))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::choose::neighbours::rows::{awkward, inner, unit_rows};

    fn sorted(
        points: usize,
        k: usize,
        exact: impl Fn(usize, usize) -> f64,
    ) -> Vec<Vec<(u32, f64)>> {
        let row = |i: usize| {
            let others = (0..points).filter(|j| *j != i);
            let mut all: Vec<_> = others.map(|j| (j as u32, exact(i, j))).collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            all.truncate(k);
            all
        };
        (0..points).map(row).collect()
    }

    /// All pairs, sorted; sizes around the edges of blocks, and data that screening is bad at: ties,
    /// duplicates, a far-away origin, tiny and huge numbers, one point out of all proportion.
    #[test]
    fn screening_finds_what_a_full_sort_finds() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let sizes = [(1, 2, 3), (2, 1, 1), (15, 3, 4), (255, 8, 3), (257, 7, 40), (600, 5, 7)];
        for (points, width, k) in sizes {
            for data in 0..awkward::KINDS {
                let rows = awkward::numbers(data, points * width, &mut rng);
                let row = |i: usize| &rows[i * width..(i + 1) * width];
                let distance = |i: usize, j: usize| -squared_distance_exact(row(i), row(j));
                let found = Screen::distances(&rows, width).nearest(k, distance);
                assert!(found == sorted(points, k, distance), "{points} points, data {data}");

                let unit = unit_rows(&rows, width);
                let row = |i: usize| &unit[i * width..(i + 1) * width];
                let cosine = |i: usize, j: usize| inner(row(i), row(j));
                let found = Screen::inner_products(&unit, width).nearest(k, cosine);
                assert!(found == sorted(points, k, cosine), "{points} points, data {data}");
            }
        }
    }

    /// One column out of all proportion: the screen rules nobody out, and still nobody keeps everybody.
    #[test]
    fn a_screen_that_tells_nothing_costs_no_memory() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(6);
        let (points, width, k) = (1_500, 3, 5);
        let rows: Vec<f32> = (0..points)
            .flat_map(|i| [1e9 + 64.0 * (i % 7) as f32, rng.random(), rng.random()])
            .collect();
        let row = |i: usize| &rows[i * width..(i + 1) * width];
        let exact = |i: usize, j: usize| -squared_distance_exact(row(i), row(j));
        let screen = Screen::distances(&rows, width);
        assert!(screen.nearest(k, exact) == sorted(points, k, exact));
        // Unit rows are all but equal.
        let unit = unit_rows(&rows, width);
        let row = |i: usize| &unit[i * width..(i + 1) * width];
        let cosine = |i: usize, j: usize| inner(row(i), row(j));
        let screen = Screen::inner_products(&unit, width);
        assert!(screen.nearest(k, cosine) == sorted(points, k, cosine));
        let mut block = Block::new(0..1, k);
        for j in 1..points {
            block.take(0, (j, cosine(0, j) as f32), (&screen.slack, &cosine));
            let found = block.found[0].len();
            assert!(found <= crowded(k), "{found} candidates");
        }
    }
}
