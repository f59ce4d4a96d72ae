//! The similarity kernel of all pairs, cut down to nearest neighbours.

use rayon::prelude::*;

use super::rows::unit_rows;
use crate::error::{Error, Result};

/// How alike two rows of features are: 1 for equal ones, 0 for strangers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Similarity {
    /// `max(0, <a, b> / (||a|| ||b||))`; a zero row is like itself alone.
    #[default]
    Cosine,
    /// `exp(-||a - b||^2 / (2 bandwidth^2))`.
    Rbf {
        /// The distance at which similarity has dropped to `exp(-1/2)`, about 0.61; positive.
        bandwidth: f64,
    },
}

/// For each point itself, at similarity one, and its neighbours: the pairs in which at least one is among
/// the other's `k` nearest. All other pairs count as similarity zero, so the kernel stays symmetric.
///
/// Exact: `O(N^2 width)` time, a panel of columns at a time, and `O(N k)` memory. Equally near
/// neighbours: the smaller index first.
pub(super) struct Neighbours {
    rows: Vec<Vec<(u32, f32)>>,
}

impl Neighbours {
    pub(super) fn new(
        features: &[f32],
        width: usize,
        k: usize,
        similarity: Similarity,
    ) -> Result<Self> {
        if k == 0 {
            return Err(Error::OutOfRange { what: "neighbours", rule: "at least 1", found: 0.0 });
        }
        let lists = match similarity {
            Similarity::Cosine => nearest(&unit_rows(features, width), width, k, |a, b| a * b),
            Similarity::Rbf { bandwidth } if bandwidth > 0.0 && bandwidth.is_finite() => {
                nearest(features, width, k, |a, b| -(a - b) * (a - b))
            }
            Similarity::Rbf { bandwidth: found } => {
                let (what, rule) = ("bandwidth", "positive and finite");
                return Err(Error::OutOfRange { what, rule, found });
            }
        };
        Ok(Self { rows: symmetric(&lists, |closeness| similarity.of(closeness)) })
    }

    /// The neighbours of a point and itself, by index.
    pub(super) fn of(&self, point: usize) -> impl Iterator<Item = (usize, f32)> {
        self.rows[point].iter().map(|(j, similarity)| (*j as usize, *similarity))
    }

    pub(super) fn points(&self) -> usize {
        self.rows.len()
    }
}

impl Similarity {
    /// From what [`nearest`] sums up: the cosine, or minus the squared distance.
    fn of(self, closeness: f32) -> f32 {
        match self {
            Self::Cosine => closeness.clamp(0.0, 1.0),
            // Divided twice: the square of a tiny bandwidth is zero, and equal rows would be 0 / 0.
            Self::Rbf { bandwidth } => {
                (f64::from(closeness) / bandwidth / bandwidth / 2.0).exp() as f32
            }
        }
    }
}

/// Columns that are compared with a row at once; their sums fit the registers of any machine.
const PANEL: usize = 16;
/// Rows of a task, which share a packed panel.
const BLOCK: usize = 64;

/// For each row the `k` others with the largest `sum of term(a, b)`, largest first.
fn nearest<T>(rows: &[f32], width: usize, k: usize, term: T) -> Vec<Vec<(u32, f32)>>
where
    T: Fn(f32, f32) -> f32 + Copy + Sync + Send,
{
    let block = |(b, block)| nearest_of_block(rows, width, b * BLOCK, block, k, term);
    rows.par_chunks(BLOCK * width).enumerate().flat_map_iter(block).collect()
}

fn nearest_of_block(
    rows: &[f32],
    width: usize,
    start: usize,
    block: &[f32],
    k: usize,
    term: impl Fn(f32, f32) -> f32 + Copy,
) -> Vec<Vec<(u32, f32)>> {
    let mut lists = vec![Vec::new(); block.len() / width];
    let mut panel = vec![[0.0f32; PANEL]; width];
    for (p, columns) in rows.chunks(PANEL * width).enumerate() {
        for (lane, column) in columns.chunks(width).enumerate() {
            panel.iter_mut().zip(column).for_each(|(packed, x)| packed[lane] = *x);
        }
        for (r, (row, list)) in block.chunks(width).zip(&mut lists).enumerate() {
            let sums = sums(row, &panel, term);
            for (lane, sum) in sums.into_iter().take(columns.len() / width).enumerate() {
                let j = p * PANEL + lane;
                if j != start + r {
                    offer(list, k, j, sum);
                }
            }
        }
    }
    lists
}

fn sums(row: &[f32], panel: &[[f32; PANEL]], term: impl Fn(f32, f32) -> f32) -> [f32; PANEL] {
    let mut sums = [0.0; PANEL];
    for (a, packed) in row.iter().zip(panel) {
        for (sum, b) in sums.iter_mut().zip(packed) {
            *sum += term(*a, *b);
        }
    }
    sums
}

/// Indices come in ascending order: behind its equals, a new one leaves the smaller index in front.
fn offer(list: &mut Vec<(u32, f32)>, k: usize, j: usize, closeness: f32) {
    if list.len() == k {
        if list[k - 1].1 >= closeness {
            return;
        }
        list.pop();
    }
    let place = list.partition_point(|(_, other)| *other >= closeness);
    // Half the memory of usize; comparing more than 2^32 points with one another would take decades.
    list.insert(place, (j as u32, closeness));
}

/// Every listed pair in both directions, and every point with itself; pairs of similarity zero go.
fn symmetric(lists: &[Vec<(u32, f32)>], of: impl Fn(f32) -> f32) -> Vec<Vec<(u32, f32)>> {
    let mut rows: Vec<_> = (0..lists.len() as u32).map(|i| vec![(i, 1.0)]).collect();
    for (i, list) in lists.iter().enumerate() {
        for (j, closeness) in list {
            let similarity = of(*closeness);
            if similarity > 0.0 {
                rows[i].push((*j, similarity));
                rows[*j as usize].push((i as u32, similarity));
            }
        }
    }
    rows.par_iter_mut().for_each(|row| {
        // A pair that lists each other is here twice, with equal similarities: the sums are symmetric.
        row.sort_unstable_by_key(|(j, _)| *j);
        row.dedup_by_key(|(j, _)| *j);
        row.shrink_to_fit();
    });
    rows
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    /// All pairs, sorted; sizes around the edges of blocks and panels.
    #[test]
    fn blocks_and_panels_find_what_a_full_sort_finds() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        for (points, width, k) in [(1, 2, 3), (2, 1, 1), (15, 3, 4), (16, 1, 20), (83, 5, 7)] {
            // A coarse grid: many ties, and every sum exact.
            let rows: Vec<f32> =
                (0..points * width).map(|_| rng.random_range(-2..3) as f32).collect();
            let lists = nearest(&rows, width, k, |a, b| -(a - b) * (a - b));
            let row = |i: usize| &rows[i * width..(i + 1) * width];
            for (i, list) in lists.iter().enumerate() {
                let closeness = |j: &u32| -> f32 {
                    row(i).iter().zip(row(*j as usize)).map(|(a, b)| -(a - b) * (a - b)).sum()
                };
                let mut all: Vec<u32> = (0..points as u32).filter(|j| *j != i as u32).collect();
                all.sort_by(|a, b| closeness(b).total_cmp(&closeness(a)));
                let expected: Vec<_> = all.iter().take(k).map(|j| (*j, closeness(j))).collect();
                assert_eq!(*list, expected, "{points} points, row {i}");
            }
        }
    }

    #[test]
    fn the_graph_is_symmetric_and_holds_every_point_itself() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(6);
        let mut rows: Vec<f32> = (0..70 * 3).map(|_| rng.random_range(-1.0..1.0)).collect();
        rows[..3].fill(0.0);
        for similarity in [Similarity::Cosine, Similarity::Rbf { bandwidth: 0.5 }] {
            let graph = Neighbours::new(&rows, 3, 4, similarity)?;
            for i in 0..graph.points() {
                assert!(graph.of(i).any(|pair| pair == (i, 1.0)), "{similarity:?}: {i}");
                for (j, s) in graph.of(i) {
                    assert!(s > 0.0 && s <= 1.0 && graph.of(j).any(|pair| pair == (i, s)));
                }
            }
        }
        assert_eq!(Neighbours::new(&rows, 3, 4, Similarity::Cosine)?.of(0).count(), 1);
        Ok(())
    }

    #[test]
    fn similarities_by_hand() -> Result<()> {
        // 3-4-5 triangles; the two axes are strangers to each other.
        let rows = [2.0, 0.0, 3.0, 4.0, 0.0, 9.0];
        let graph = Neighbours::new(&rows, 2, 2, Similarity::Cosine)?;
        let close = |found: Vec<(usize, f32)>, expected: &[(usize, f32)]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-6, "{found:?}");
            }
        };
        close(graph.of(0).collect(), &[(0, 1.0), (1, 0.6)]);
        close(graph.of(1).collect(), &[(0, 0.6), (1, 1.0), (2, 0.8)]);
        // At one bandwidth exp(-1/2); one neighbour each, and the pair is there from both ends.
        let graph = Neighbours::new(&[0.0, 2.0, 5.0], 1, 1, Similarity::Rbf { bandwidth: 2.0 })?;
        let (near, far) = ((-0.5f32).exp(), (-9.0f32 / 8.0).exp());
        close(graph.of(1).collect(), &[(0, near), (1, 1.0), (2, far)]);
        close(graph.of(2).collect(), &[(1, far), (2, 1.0)]);
        Ok(())
    }
}
