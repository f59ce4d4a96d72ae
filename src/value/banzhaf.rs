//! The exact Banzhaf value of a nearest-neighbour classifier.

use rand::RngCore;

use crate::choose::{Evidence, Kind, Needs};
use crate::error::Result;
use crate::value::Valuation;
use crate::value::semivalue::{semivalues, steps};

/// What each point adds to the vote of [`KnnShapley`](crate::value::KnnShapley) on the validation set, mean over all
/// sets of the others: the Banzhaf value, of all such values the one whose ranking bears most noise of the vote.
///
/// ```text
/// s_i          2^(1 - N) sum_{S without i} (v(S + i) - v(S))
/// ```
///
/// Exact, not sampled. Sets hold half of the points: what lies far beyond the `2 k`-th nearest of every validation
/// point has a value of nearly zero, so more of them vote than for the Shapley value.
///
/// # Cost
/// `O(M (N width + N log N) + N k)` time for `M` validation points on all cores, memory for 64 numbers a point.
///
/// # Errors
/// [`Error::OutOfRange`](crate::Error::OutOfRange) without a neighbour, [`Error::Shape`](crate::Error::Shape) if
/// validation points have another width.
///
/// # Reference
/// J. T. Wang, R. Jia, *Data Banzhaf: A Robust Data Valuation Framework for Machine Learning*, AISTATS 2023. Any
/// learner is sampled there; this vote needs no samples.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{KnnBanzhaf, Valuation};
/// # let mut rng = rand::rng();
///
/// // The nearest point is wrong and takes the vote of the others wherever one is there: of four sets, three.
/// let validation = Evidence::new(1).with_features(&[0.0], 1)?.with_labels(&[1])?;
/// let evidence = Evidence::new(3).with_features(&[0.0, 1.0, 2.0], 1)?.with_labels(&[0, 1, 1])?;
/// let evidence = evidence.with_validation(&validation);
/// let values = KnnBanzhaf { neighbours: 1 }.values(&evidence, &mut rng)?;
/// assert_eq!(values, [-0.75, 0.25, 0.25]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnnBanzhaf {
    /// Neighbours that vote; 30 by default.
    pub neighbours: usize,
}

impl Default for KnnBanzhaf {
    fn default() -> Self {
        Self { neighbours: 30 }
    }
}

impl Valuation for KnnBanzhaf {
    fn name(&self) -> &str {
        "knn-banzhaf"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels, Kind::Validation])
    }

    fn values(&self, evidence: &Evidence, _: &mut dyn RngCore) -> Result<Vec<f64>> {
        semivalues(evidence, self.name(), self.neighbours, |points, k| steps(points, k, |_, _| 0.5))
    }
}
