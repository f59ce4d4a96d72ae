//! The similarity kernel of all pairs, cut down to nearest neighbours.

pub(crate) mod near;
pub(crate) mod nearest;
pub(crate) mod rows;

use std::borrow::Cow;

use rayon::prelude::*;

use crate::choose::neighbours::nearest::{Screen, nearest_rows};
use crate::choose::neighbours::rows::{inner, squared_distance_exact, unit_rows};
use crate::choose::strategies::gradients::last_layer::Gradients;
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
    /// `max(0, 1 - ||a - b|| / reach)`: what facility location covers is then a sum of distances.
    Linear {
        /// The distance from which on rows are strangers; positive.
        reach: f64,
    },
}

/// For each point itself, at similarity one, and its neighbours: the pairs in which at least one is among
/// the other's `k` nearest. All other pairs count as similarity zero, so the kernel stays symmetric.
///
/// Exact up to the rounding of sums in `f64`: `O(N^2 width)` time, as products of matrices, and
/// `O(N (width + k))` memory. Equally near neighbours: the smaller index first.
pub(crate) struct Neighbours {
    rows: Vec<Vec<(u32, f32)>>,
}

impl Neighbours {
    pub(crate) fn new(
        features: &[f32],
        width: usize,
        k: usize,
        similarity: Similarity,
    ) -> Result<Self> {
        check_neighbours(k)?;
        similarity.check()?;
        let rows = similarity.prepared(features, width);
        let row = |i: usize| &rows[i * width..(i + 1) * width];
        let screen = match similarity {
            Similarity::Cosine => Screen::inner_products(&rows, width),
            Similarity::Rbf { .. } | Similarity::Linear { .. } => Screen::distances(&rows, width),
        };
        let lists = screen.nearest(k, |i, j| similarity.closeness(row(i), row(j)));
        Ok(Self { rows: symmetric(&lists, 1.0, |closeness| similarity.of(closeness)) })
    }

    /// `exp(-d_ij^2)`, with distances in units of the root mean square over the listed pairs.
    pub(crate) fn by_distance(features: &[f32], width: usize, k: usize) -> Result<Self> {
        check_neighbours(k)?;
        let lists = nearest_rows(features, width, k);
        let pairs = lists.iter().map(Vec::len).sum::<usize>().max(1) as f64;
        let unit = lists.iter().flatten().map(|(_, closeness)| -closeness / pairs).sum::<f64>();
        // Without any distance all are equal, and 0 / 0 would not say so.
        let of = |closeness: f64| if unit > 0.0 { (closeness / unit).exp() as f32 } else { 1.0 };
        Ok(Self { rows: symmetric(&lists, 1.0, of) })
    }

    /// `d_max - ||g_i - g_j||`, with the largest distance of a listed pair for `d_max`.
    pub(crate) fn of_gradients(gradients: &Gradients, k: usize) -> Result<Self> {
        check_neighbours(k)?;
        let squared = |i, j| -gradients.squared_distance(i, j);
        let lists = gradients.screen().nearest(k, squared);
        let farthest = lists.iter().flatten().map(|pair| -pair.1).fold(0.0, f64::max).sqrt();
        let of = |closeness: f64| (farthest - (-closeness).sqrt()) as f32;
        Ok(Self { rows: symmetric(&lists, farthest as f32, of) })
    }

    /// The neighbours of a point and itself, by index.
    pub(crate) fn of(&self, point: usize) -> impl Iterator<Item = (usize, f32)> {
        self.rows[point].iter().map(|(j, similarity)| (*j as usize, *similarity))
    }

    pub(crate) fn points(&self) -> usize {
        self.rows.len()
    }
}

impl Similarity {
    /// From the cosine, or minus the squared distance.
    fn of(self, closeness: f64) -> f32 {
        match self {
            Self::Cosine => closeness.clamp(0.0, 1.0) as f32,
            // Divided twice: the square of a tiny bandwidth is zero, and equal rows would be 0 / 0.
            Self::Rbf { bandwidth } => (closeness / bandwidth / bandwidth / 2.0).exp() as f32,
            Self::Linear { reach } => (1.0 - (-closeness).sqrt() / reach).max(0.0) as f32,
        }
    }

    /// Of every row to the one of `others` most like it. `O(N M width)` time.
    pub(crate) fn to_nearest(self, rows: &[f32], others: &[f32], width: usize) -> Vec<f32> {
        let (rows, others) = (self.prepared(rows, width), self.prepared(others, width));
        let closest = |row: &[f32]| {
            let all = others.chunks(width).map(|other| self.closeness(row, other));
            all.fold(f64::NEG_INFINITY, f64::max)
        };
        rows.par_chunks(width).map(|row| self.of(closest(row))).collect()
    }

    /// Of each of these points the place among `chosen` of the one most like it, of equal ones the first; nothing where none
    /// is chosen. `O(N M width)` time.
    pub(crate) fn nearest_of(
        self,
        rows: &[f32],
        width: usize,
        points: &[usize],
        chosen: &[usize],
    ) -> Result<Vec<usize>> {
        self.check()?;
        let gathered = |of: &[usize]| -> Vec<f32> {
            of.iter().flat_map(|i| &rows[i * width..(i + 1) * width]).copied().collect()
        };
        let (rows, others) = (gathered(points), gathered(chosen));
        let (rows, others) = (self.prepared(&rows, width), self.prepared(&others, width));
        let nearest = |row: &[f32]| {
            let all = others.chunks(width).map(|other| self.closeness(row, other)).enumerate();
            all.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|best| best.0)
        };
        Ok(rows.par_chunks(width).filter_map(nearest).collect())
    }

    /// Of every row to every one of `others`, a row each. `O(N M width)` time.
    pub(crate) fn table(self, rows: &[f32], others: &[f32], width: usize) -> Result<Vec<f32>> {
        self.check()?;
        let (rows, others) = (self.prepared(rows, width), self.prepared(others, width));
        let to_all = |row: &[f32]| -> Vec<f32> {
            others.chunks(width).map(|other| self.of(self.closeness(row, other))).collect()
        };
        Ok(rows.par_chunks(width).flat_map_iter(to_all).collect())
    }

    /// Rows as [`closeness`](Self::closeness) takes them.
    pub(crate) fn prepared(self, rows: &[f32], width: usize) -> Cow<'_, [f32]> {
        match self {
            Self::Cosine => Cow::Owned(unit_rows(rows, width)),
            Self::Rbf { .. } | Self::Linear { .. } => Cow::Borrowed(rows),
        }
    }

    /// The cosine, or minus the squared distance.
    fn closeness(self, a: &[f32], b: &[f32]) -> f64 {
        match self {
            Self::Cosine => inner(a, b),
            Self::Rbf { .. } | Self::Linear { .. } => -squared_distance_exact(a, b),
        }
    }

    fn check(self) -> Result<()> {
        let (what, unit) = match self {
            Self::Cosine => return Ok(()),
            Self::Rbf { bandwidth } => ("bandwidth", bandwidth),
            Self::Linear { reach } => ("reach", reach),
        };
        if unit > 0.0 && unit.is_finite() {
            return Ok(());
        }
        Err(Error::range(what, "positive and finite", unit))
    }
}

fn check_neighbours(k: usize) -> Result<()> {
    if k == 0 {
        return Err(Error::range("neighbours", "at least 1", 0.0));
    }
    Ok(())
}

/// Every listed pair in both directions, and every point with itself; pairs of similarity zero go.
fn symmetric(
    lists: &[Vec<(u32, f64)>],
    itself: f32,
    of: impl Fn(f64) -> f32,
) -> Vec<Vec<(u32, f32)>> {
    let mut rows: Vec<_> = (0..lists.len() as u32).map(|i| vec![(i, itself)]).collect();
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
