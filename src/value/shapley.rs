//! The exact Shapley value of a nearest-neighbour classifier.

use rand::RngCore;

use crate::choose::{Evidence, Kind, Needs};
use crate::error::Result;
use crate::value::Valuation;
use crate::value::semivalue::semivalues;

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

impl Valuation for KnnShapley {
    fn name(&self) -> &str {
        "knn-shapley"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels, Kind::Validation])
    }

    /// [`Error::OutOfRange`](crate::Error::OutOfRange) without a neighbour, [`Error::Shape`](crate::Error::Shape) if
    /// validation points have another width.
    fn values(&self, evidence: &Evidence, _: &mut dyn RngCore) -> Result<Vec<f64>> {
        semivalues(evidence, self.name(), self.neighbours, |points, k| {
            (1..=points).map(|j| k.min(j) as f64 / (k as f64 * j as f64)).collect()
        })
    }
}
