//! Prototypes: points by their distance from the centre of a cluster, without labels.

use rand::RngCore;

use crate::choose::strategies::clusters::k_means::Clusters;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::error::Result;

/// Clusters the features by k-means and keeps the points with the largest distance `1 - cos` from the centre of
/// their cluster, or the smallest.
///
/// Far from all centres means hard for any learner, and no label is asked. Where few are kept of little data the
/// nearest are the better choice, as with every measure of difficulty. Clusters may go unserved.
///
/// # Cost
/// `O(N k width)` time for each of at most 25 rounds of k-means with `k` clusters, a copy of the features.
///
/// # Reference
/// B. Sorscher et al., *Beyond Neural Scaling Laws: Beating Power Law Scaling via Data Pruning*, NeurIPS 2022. Their
/// number of clusters is that of the classes, and theirs are features learned without labels.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, Keep, Prototypes, Strategy};
/// # let mut rng = rand::rng();
///
/// // All but the last point in one direction.
/// let rows = [1.0, 0.0, 2.0, 0.0, 3.0, 0.1, 1.0, 1.0];
/// let evidence = Evidence::new(4).with_features(&rows, 2)?;
/// let strategy = Prototypes { clusters: Some(1), keep: Keep::Farthest };
/// assert_eq!(strategy.select(&evidence, 1, &mut rng)?.indices, [3]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Prototypes {
    /// How many clusters; by default about the root of the number of points.
    pub clusters: Option<usize>,
    /// The farthest by default.
    pub keep: Keep,
}

/// Which end of the distances is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The hardest points.
    #[default]
    Farthest,
    /// The easiest points.
    Nearest,
}

impl Strategy for Prototypes {
    fn name(&self) -> &str {
        match self.keep {
            Keep::Farthest => "prototypes",
            Keep::Nearest => "easiest prototypes",
        }
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(self.name())?;
        let clusters = Clusters::of_directions(rows, width, self.clusters, rng)?;
        let score = |cosine: &f64| match self.keep {
            Keep::Farthest => 1.0 - cosine,
            Keep::Nearest => cosine - 1.0,
        };
        let scores: Vec<f64> = clusters.cosines.iter().map(score).collect();
        Ok(Choice::top(&scores, count))
    }
}
