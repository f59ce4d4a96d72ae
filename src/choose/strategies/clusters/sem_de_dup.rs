//! SemDeDup: near duplicates go, however they are written.

use rand::RngCore;
use rayon::prelude::*;

use crate::choose::neighbours::rows::inner;
use crate::choose::strategies::clusters::k_means::Clusters;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::error::Result;

/// Clusters the features by k-means and leaves out the points that are most like another one of their cluster.
///
/// Within a cluster the points come in an order, those least like the centre first, and a point is as redundant as
/// its largest cosine with a point before it:
///
/// ```text
/// redundancy(i) = max over j before i of cos(h_i, h_j)        minus one for the first of a cluster
/// ```
///
/// The paper removes the points whose redundancy exceeds a threshold. A lower threshold removes more and keeps
/// nothing else, so the least redundant `count` are what the right threshold keeps. Two near
/// duplicates on either side of a border between clusters stay.
///
/// # Cost
/// k-means as in [`Prototypes`](crate::choose::Prototypes), then `O(sum over clusters of N^2 width)`: few large
/// clusters cost as much as all pairs. `O(N width)` memory.
///
/// # Reference
/// A. Abbas et al., *SemDeDup: Data-efficient Learning at Web-scale through Semantic Deduplication*, 2023.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, SemDeDup, Strategy};
/// # let mut rng = rand::rng();
///
/// // The first two are one direction.
/// let rows = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0, 0.0, 1.0];
/// let evidence = Evidence::new(4).with_features(&rows, 2)?;
/// let strategy = SemDeDup { clusters: Some(1) };
/// let mut kept = strategy.select(&evidence, 3, &mut rng)?.indices;
/// kept.sort();
/// assert_eq!(kept, [0, 2, 3]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SemDeDup {
    /// How many clusters; by default about the root of the number of points.
    pub clusters: Option<usize>,
}

impl Strategy for SemDeDup {
    fn name(&self) -> &str {
        "semdedup"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(self.name())?;
        let clusters = Clusters::of_directions(rows, width, self.clusters, rng)?;
        let mut novelty = vec![0.0; evidence.points()];
        let found =
            clusters.members.par_iter().flat_map_iter(|members| novelties(&clusters, members));
        for (i, value) in found.collect::<Vec<_>>() {
            novelty[i] = value;
        }
        Ok(Choice::top(&novelty, count))
    }
}

/// Minus the redundancy of each point of a cluster.
fn novelties(clusters: &Clusters, members: &[usize]) -> Vec<(usize, f64)> {
    let mut order = members.to_vec();
    // Stable: equal ones stay by index.
    order.sort_by(|i, j| clusters.cosines[*i].total_cmp(&clusters.cosines[*j]));
    let redundancy = |k: usize| {
        let own = clusters.row(order[k]);
        order[..k].iter().map(|j| inner(own, clusters.row(*j))).fold(-1.0, f64::max)
    };
    (0..order.len()).map(|k| (order[k], -redundancy(k))).collect()
}
