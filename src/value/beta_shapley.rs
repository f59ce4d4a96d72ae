//! The exact Beta Shapley value of a nearest-neighbour classifier.

use rand::RngCore;

use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::value::Valuation;
use crate::value::semivalue::{semivalues, steps};

/// What each point adds to the vote of [`KnnShapley`](crate::value::KnnShapley) on the validation set, where sets of
/// some sizes count more than others: each point is in the set with a probability `t` that is itself drawn, once for
/// all points, from a beta distribution.
///
/// ```text
/// s_i          E_t sum_{S without i} t^|S| (1 - t)^(N - 1 - |S|) (v(S + i) - v(S))        t ~ Beta(beta, alpha)
/// ```
///
/// A larger `alpha` asks what points add to small sets, a larger `beta` what they add to large ones; both one is the
/// Shapley value. Exact, not sampled: for this vote the sums over sets are probabilities of an urn.
///
/// # Cost
/// `O(M (N width + N log N) + N k)` time for `M` validation points on all cores, memory for 64 numbers a point.
///
/// # Errors
/// [`Error::OutOfRange`] without a neighbour or unless `alpha` and `beta` lie in [1e-6, 1e6], [`Error::Shape`] if
/// validation points have another width.
///
/// # Reference
/// Y. Kwon, J. Zou, *Beta Shapley: a Unified and Noise-reduced Data Valuation Framework for Machine Learning*, AISTATS
/// 2022. Any learner is sampled there; this vote needs no samples. `Beta(16, 1)`, which serves there, looks at sets of
/// a seventeenth of the points or less, most of them too small for a vote of several.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{KnnBetaShapley, Valuation};
/// # let mut rng = rand::rng();
///
/// // Two points, both right, and one votes: each adds to the empty set alone, which is drawn with the probability
/// // E (1 - t) = alpha / (alpha + beta).
/// let validation = Evidence::new(1).with_features(&[0.0], 1)?.with_labels(&[7])?;
/// let evidence = Evidence::new(2).with_features(&[0.0, 1.0], 1)?.with_labels(&[7, 7])?;
/// let evidence = evidence.with_validation(&validation);
/// let method = KnnBetaShapley { neighbours: 1, alpha: 3.0, beta: 1.0 };
/// assert_eq!(method.values(&evidence, &mut rng)?, [0.75, 0.75]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnnBetaShapley {
    /// Neighbours that vote; 5 by default.
    pub neighbours: usize,
    /// Weight of small sets; 4 by default.
    pub alpha: f64,
    /// Weight of large sets; 1 by default.
    pub beta: f64,
}

impl Default for KnnBetaShapley {
    fn default() -> Self {
        Self { neighbours: 5, alpha: 4.0, beta: 1.0 }
    }
}

impl Valuation for KnnBetaShapley {
    fn name(&self) -> &str {
        "knn-beta-shapley"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels, Kind::Validation])
    }

    fn values(&self, evidence: &Evidence, _: &mut dyn RngCore) -> Result<Vec<f64>> {
        let (alpha, beta) = (self.alpha, self.beta);
        for (what, found) in [("alpha", alpha), ("beta", beta)] {
            if !(1e-6..=1e6).contains(&found) {
                return Err(Error::range(what, "at least 1e-6 and at most 1e6", found));
            }
        }
        // Drawing with a probability from a beta distribution is drawing from Pólya's urn.
        let next = |m: usize, a: usize| (a as f64 + beta) / (m as f64 + alpha + beta);
        semivalues(evidence, self.name(), self.neighbours, |points, k| steps(points, k, next))
    }
}
