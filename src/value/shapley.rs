//! The exact Shapley value of a nearest-neighbour classifier.

use rand::RngCore;
use rayon::prelude::*;

use crate::choose::neighbours::rows::squared_distance_exact;
use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::value::Valuation;

/// What each point adds to the accuracy of a `k`-nearest-neighbour vote on the validation set, averaged over all orders in
/// which points could come: the Shapley value, exactly, by a recursion from the farthest point to the nearest.
///
/// ```text
/// v(S)         share of right labels among the min(k, |S|) nearest of S to a validation point, divided by k, not |S|
/// s_(N)        1[y_(N) = y] min(k, N) / (k N)
/// s_(j)        s_(j + 1) + (1[y_(j) = y] - 1[y_(j + 1) = y]) min(k, j) / (k j)
/// ```
///
/// with `(j)` the `j`-th nearest point, of equally near ones the smaller index first; mean over the validation points. The
/// values sum to the vote's accuracy on all points.
///
/// # Cost
/// `O(M (N width + N log N))` time for `M` validation points on all cores, memory for 64 numbers a point.
///
/// # Reference
/// R. Jia et al., *Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms*, VLDB 2019 (theorem 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnnShapley {
    /// Neighbours that vote; 5 by default.
    pub neighbours: usize,
}

impl Default for KnnShapley {
    fn default() -> Self {
        Self { neighbours: 5 }
    }
}

/// Parts of the validation points that are summed apart: sums do not depend on the threads.
const PARTS: usize = 64;

impl Valuation for KnnShapley {
    fn name(&self) -> &str {
        "knn-shapley"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels, Kind::Validation])
    }

    /// [`Error::OutOfRange`] without a neighbour, [`Error::Shape`] if validation points have another width.
    fn values(&self, evidence: &Evidence, _: &mut dyn RngCore) -> Result<Vec<f64>> {
        if self.neighbours == 0 {
            return Err(Error::range("neighbours", "at least 1", 0.0));
        }
        let name = self.name();
        let (rows, width) = evidence.features(name)?;
        let labels = evidence.labels(name)?;
        let validation = evidence.validation(name)?;
        let (others, found) = validation.features(name)?;
        if found != width {
            return Err(Error::shape("width of validation features", width, found));
        }
        let wanted = validation.labels(name)?;
        let queries: Vec<(&[f32], u32)> =
            others.chunks(width).zip(wanted.iter().copied()).collect();
        let parts: Vec<Vec<f64>> = queries
            .par_chunks(queries.len().div_ceil(PARTS))
            .map(|queries| {
                let mut sums = vec![0.0; labels.len()];
                queries.iter().for_each(|query| self.add((rows, width), labels, *query, &mut sums));
                sums
            })
            .collect();
        let mut values = vec![0.0; labels.len()];
        for part in parts {
            values.iter_mut().zip(part).for_each(|(value, part)| *value += part);
        }
        values.iter_mut().for_each(|value| *value /= queries.len() as f64);
        Ok(values)
    }
}

impl KnnShapley {
    /// Adds what one validation point says.
    fn add(
        &self,
        (rows, width): (&[f32], usize),
        labels: &[u32],
        (query, label): (&[f32], u32),
        sums: &mut [f64],
    ) {
        let distances = rows.chunks(width).map(|row| squared_distance_exact(row, query));
        let mut order: Vec<(f64, u32)> = distances.zip(0..).collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let right = |place: usize| f64::from(u8::from(labels[order[place].1 as usize] == label));
        let (k, n) = (self.neighbours as f64, labels.len());
        let mut value = 0.0;
        for place in (0..n).rev() {
            let j = (place + 1) as f64;
            let after = if place + 1 < n { right(place + 1) } else { 0.0 };
            value += (right(place) - after) * k.min(j) / (k * j);
            sums[order[place].1 as usize] += value;
        }
    }
}
