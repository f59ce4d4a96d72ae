//! Nearly the nearest others of more rows than can all be compared with one another.

use rand::RngCore;
use rand::seq::index::sample;
use rayon::prelude::*;

use crate::Seeds;
use crate::choose::cells::{Across, InMemory, divide};
use crate::choose::neighbours::nearest::nearest_rows;
use crate::choose::neighbours::rows::squared_distance_exact;
use crate::data::Standardiser;
use crate::error::Result;

/// Rows up to which all are compared with one another.
pub(crate) const EXACT: usize = 100_000;
/// Rows of a cell, about, in which all are compared.
const LEAF: usize = 2_000;
/// Divisions into cells.
const TREES: usize = 6;
/// Rounds of asking the neighbours of neighbours.
const ROUNDS: usize = 2;
/// Rows whose lists are replaced at once.
const BLOCK: usize = 1 << 15;
/// Rows by which the recall is measured.
const ASKED: usize = 256;

/// The nearest others of each row, and how sure that is.
pub(crate) struct Near {
    pub(crate) lists: Lists,
    /// Of some rows, the share of their true nearest others that was found; none where all were compared.
    pub(crate) recall: Option<f64>,
}

/// So many others of each row, the nearest first, each with minus the square of its distance: side by side, as there may be
/// many.
pub(crate) struct Lists {
    k: usize,
    others: Vec<u32>,
    /// Minus infinity where nobody was found.
    closeness: Vec<f64>,
}

impl Lists {
    /// Of nobody yet.
    fn new(points: usize, k: usize) -> Self {
        let k = k.min(points.saturating_sub(1));
        let (others, closeness) = (vec![0; points * k], vec![f64::NEG_INFINITY; points * k]);
        Self { k, others, closeness }
    }

    /// How many of each row, who, and how close.
    pub(crate) fn parts(&self) -> (usize, &[u32], &[f64]) {
        (self.k, &self.others, &self.closeness)
    }

    /// Of so many points; nothing where [`parts`](Self::parts) do not belong together.
    pub(crate) fn from_parts(
        points: usize,
        k: usize,
        others: Vec<u32>,
        closeness: Vec<f64>,
    ) -> Option<Self> {
        let entries = points.checked_mul(k)?;
        let whole = others.len() == entries && closeness.len() == entries;
        let known = others.iter().all(|j| (*j as usize) < points);
        (whole && known).then_some(Self { k, others, closeness })
    }

    pub(crate) fn of(&self, i: usize) -> impl Iterator<Item = (u32, f64)> {
        let own = i * self.k..(i + 1) * self.k;
        let all = self.others[own.clone()].iter().copied().zip(self.closeness[own].iter().copied());
        all.take_while(|(_, closeness)| *closeness > f64::NEG_INFINITY)
    }

    /// Leaves the nearest of what a row has and of these, best first.
    fn merge(&mut self, i: usize, mut more: Vec<(u32, f64)>) {
        if more.is_empty() {
            return;
        }
        more.extend(self.of(i));
        more.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        more.dedup();
        let own = i * self.k..(i + 1) * self.k;
        let places = self.others[own.clone()].iter_mut().zip(&mut self.closeness[own]);
        places.zip(more).for_each(|((other, closeness), found)| (*other, *closeness) = found);
    }
}

/// The `k` nearest others of each row by Euclidean distance, exact up to 100,000 rows.
///
/// Of more, each is compared with those of its cell in several random divisions (random projection trees), and then with the
/// neighbours of its neighbours: what is found is a list of true distances, which may miss some that are nearer.
///
/// # Cost
/// `O(N width (cell + k^2))` time, and the lists in memory beside the rows.
///
/// # References
/// S. Dasgupta, Y. Freund, *Random projection trees and low dimensional manifolds*, STOC 2008; W. Dong, M. Charikar, K. Li,
/// *Efficient k-nearest neighbor graph construction for generic similarity measures*, WWW 2011.
pub(crate) fn near(rows: &[f32], width: usize, k: usize, seeds: Seeds) -> Result<Near> {
    let points = rows.len() / width;
    if points < 2 {
        return Ok(Near { lists: Lists::new(points, 0), recall: None });
    }
    if points > EXACT {
        return roughly(rows, width, k, LEAF, &mut seeds.named("near"));
    }
    let mut lists = Lists::new(points, k);
    for (i, list) in nearest_rows(rows, width, k).into_iter().enumerate() {
        lists.merge(i, list);
    }
    Ok(Near { lists, recall: None })
}

/// The same of standardised rows.
pub(crate) fn near_standardised(
    features: &[f32],
    width: usize,
    k: usize,
    seeds: Seeds,
) -> Result<Near> {
    if k == 0 {
        return Ok(Near { lists: Lists::new(features.len() / width, 0), recall: None });
    }
    near(&Standardiser::fit(features, width)?.apply(features), width, k, seeds)
}

fn roughly(
    rows: &[f32],
    width: usize,
    k: usize,
    leaf: usize,
    rng: &mut dyn RngCore,
) -> Result<Near> {
    let pool = InMemory { rows, width };
    let points = rows.len() / width;
    let mut lists = Lists::new(points, k);
    let mut order = Vec::new();
    for _ in 0..TREES {
        let cells = divide(&pool, points.div_ceil(leaf.max(4 * k)), Across::RandomPair, rng)?;
        for some in cells.chunks(BLOCK.div_ceil(leaf)) {
            let found: Vec<_> = some.par_iter().map(|cell| among(rows, width, cell, k)).collect();
            let found = some.iter().flatten().zip(found.into_iter().flatten());
            found.for_each(|(i, list)| lists.merge(*i, list));
        }
        order = cells.concat();
    }
    for _ in 0..ROUNDS {
        // Neighbours stand together in the order, so that their rows are at hand.
        for block in order.chunks(BLOCK) {
            let found: Vec<_> = block.par_iter().map(|i| beyond(rows, width, &lists, *i)).collect();
            block.iter().zip(found).for_each(|(i, list)| lists.merge(*i, list));
        }
    }
    let asked = sample(rng, points, ASKED.min(points)).into_vec();
    let recall = recall(rows, width, &lists, &asked);
    Ok(Near { lists, recall: Some(recall) })
}

/// The nearest of each in a cell, of the whole numbers.
fn among(rows: &[f32], width: usize, cell: &[usize], k: usize) -> Vec<Vec<(u32, f64)>> {
    let own: Vec<f32> = cell.iter().flat_map(|i| row(rows, width, *i)).copied().collect();
    let mut lists = nearest_rows(&own, width, k);
    for (j, _) in lists.iter_mut().flatten() {
        *j = cell[*j as usize] as u32; // there are fewer: their lists would not fit in memory
    }
    lists
}

/// Neighbours of a row's neighbours that are nearer than the farthest of its own.
fn beyond(rows: &[f32], width: usize, lists: &Lists, i: usize) -> Vec<(u32, f64)> {
    let own: Vec<(u32, f64)> = lists.of(i).collect();
    let bar = if own.len() < lists.k { f64::NEG_INFINITY } else { own[own.len() - 1].1 };
    let theirs = own.iter().flat_map(|(j, _)| lists.of(*j as usize));
    let mut others: Vec<u32> = theirs.map(|(j, _)| j).filter(|j| *j as usize != i).collect();
    others.sort_unstable();
    others.dedup();
    let closeness = |j: u32| {
        let other = row(rows, width, j as usize);
        (j, -squared_distance_exact(row(rows, width, i), other))
    };
    others.into_iter().map(closeness).filter(|(_, closeness)| *closeness > bar).collect()
}

/// The share of the nearest others of some rows that the lists name, or others as near.
fn recall(rows: &[f32], width: usize, lists: &Lists, asked: &[usize]) -> f64 {
    let points = rows.len() / width;
    let of = |i: &usize| {
        let own = row(rows, width, *i);
        let others = (0..points).filter(|j| j != i);
        let mut all: Vec<f64> =
            others.map(|j| -squared_distance_exact(own, row(rows, width, j))).collect();
        let (_, least, _) = all.select_nth_unstable_by(lists.k - 1, |a, b| b.total_cmp(a));
        let least = *least;
        lists.of(*i).filter(|(_, closeness)| *closeness >= least).count() as f64 / lists.k as f64
    };
    asked.par_iter().map(of).collect::<Vec<f64>>().iter().sum::<f64>() / asked.len() as f64
}

fn row(rows: &[f32], width: usize, i: usize) -> &[f32] {
    &rows[i * width..(i + 1) * width]
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::choose::neighbours::rows::awkward;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(1)
    }

    /// On a curved sheet in ten dimensions nearly all are found, and the measured share is the true one.
    #[test]
    fn nearly_all_of_the_nearest_are_found() -> Result<()> {
        let (points, width, k) = (4_000usize, 10usize, 8);
        let mut draw = rng();
        let rows: Vec<f32> = (0..points)
            .flat_map(|_| {
                let (u, v) = (draw.random_range(0.0..3.0f32), draw.random_range(0.0..3.0f32));
                (0..width).map(move |d| (u * (1 + d % 3) as f32 + v * d as f32 / 5.0).sin())
            })
            .collect();
        let found = roughly(&rows, width, k, 100, &mut rng())?;
        let exact = nearest_rows(&rows, width, k);
        let hits =
            (0..points).map(|i| found.lists.of(i).filter(|pair| exact[i].contains(pair)).count());
        let share = hits.sum::<usize>() as f64 / (points * k) as f64;
        let recall = found.recall.unwrap_or_default();
        // 256 rows of 8: the share of a sample is off by a fifth of a point at most, one deviation.
        assert!(share > 0.98 && (recall - share).abs() < 0.01, "{share} {recall}");
        assert!(found.lists.closeness.iter().all(|closeness| closeness.is_finite()));
        Ok(())
    }

    /// Duplicates, one row out of all proportion, numbers of all sizes: every list is full of true distances, in order.
    #[test]
    fn what_is_found_is_true() -> Result<()> {
        let (points, width, k) = (3_000usize, 3usize, 5);
        for data in 0..awkward::KINDS {
            let rows = awkward::numbers(data, points * width, &mut rng());
            let found = roughly(&rows, width, k, 100, &mut rng())?;
            for i in 0..points {
                let list: Vec<(u32, f64)> = found.lists.of(i).collect();
                assert_eq!(list.len(), k, "data {data}");
                let distance = |j: u32| {
                    -squared_distance_exact(row(&rows, width, i), row(&rows, width, j as usize))
                };
                assert!(list.iter().all(|(j, closeness)| *closeness == distance(*j)));
                assert!(list.iter().all(|(j, _)| *j as usize != i));
                assert!(list.is_sorted_by(|a, b| (-a.1, a.0) < (-b.1, b.0)), "data {data}");
            }
            assert!(
                found.recall.is_some_and(|recall| recall > 0.95),
                "data {data} {:?}",
                found.recall
            );
        }
        Ok(())
    }
}
