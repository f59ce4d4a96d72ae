//! Prune4ReL: every point near confident ones, which can correct its label.

use rand::RngCore;

use crate::choose::neighbours::Neighbours;
use crate::choose::strategies::submodular::greedy::Objective;
use crate::choose::{Choice, Evidence, Greedy, Kind, Needs, Similarity, Strategy, check_count};
use crate::error::{Error, Result};

/// Maximises how much confidence the chosen set `S` has in every point's neighbourhood,
///
/// ```text
/// f(S) = sum_i tanh( sum_{j in S, s_ij >= tau} s_ij c_j )
/// ```
///
/// with `s_ij` the cosine of the features and `c` the learner's confidence, the largest probability of the point. A
/// learner that replaces labels it does not believe in does so rightly where the neighbours it trains on are
/// confident; so wrong labels may be chosen, with company that puts them right. The learner must
/// not have learned the labels by heart: take one of a few epochs. No labels are needed. In
/// [`ClassBalanced`](crate::choose::ClassBalanced) neighbourhoods are those of one class.
///
/// Similarities are kept between nearest neighbours only, as in
/// [`FacilityLocation`](crate::choose::FacilityLocation).
///
/// # Cost
/// The neighbour graph takes `O(N^2 width)` time and `O(N (width + k))` memory, a gain `O(k)` on average.
///
/// # Reference
/// D. Park et al., *Robust Data Pruning under Label Noise via Maximizing Re-labeling Accuracy*, NeurIPS 2023.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, Prune4Rel, Strategy};
/// # let mut rng = rand::rng();
///
/// // Three points in one direction, of which the second is the surest, and one in another.
/// let evidence = Evidence::new(4).with_features(&[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0, 1.0], 2)?;
/// let evidence = evidence.with_probabilities(&[0.6, 0.4, 0.9, 0.1, 0.6, 0.4, 0.3, 0.7], 2)?;
/// let strategy = Prune4Rel::default();
/// assert_eq!(strategy.select(&evidence, 2, &mut rng)?.indices, [1, 3]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Prune4Rel {
    /// The nearest others of each point that enter the kernel; 32 by default.
    pub neighbours: usize,
    /// The least cosine of neighbours (`tau` in the paper), from 0 to 1; 0.95 by default.
    pub threshold: f64,
    /// Lazy by default.
    pub greedy: Greedy,
}

impl Default for Prune4Rel {
    fn default() -> Self {
        Self { neighbours: 32, threshold: 0.95, greedy: Greedy::Lazy }
    }
}

impl Strategy for Prune4Rel {
    fn name(&self) -> &str {
        "prune4rel"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Probabilities])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(Error::range("least cosine", "between 0 and 1", self.threshold));
        }
        let (rows, width) = evidence.features(self.name())?;
        let (probabilities, classes) = evidence.probabilities(self.name())?;
        let largest = |row: &[f32]| f64::from(row.iter().copied().fold(0.0, f32::max));
        let mut objective = Neighbourhoods {
            kernel: &Neighbours::new(rows, width, self.neighbours, Similarity::Cosine)?,
            confidence: probabilities.chunks(classes).map(largest).collect(),
            threshold: self.threshold as f32,
            sums: vec![0.0; evidence.points()],
        };
        self.greedy.maximise(&mut objective, evidence.points(), count, rng)
    }
}

struct Neighbourhoods<'a> {
    kernel: &'a Neighbours,
    confidence: Vec<f64>,
    threshold: f32,
    /// The confidence of the chosen points in the neighbourhood of each point.
    sums: Vec<f64>,
}

impl Neighbourhoods<'_> {
    /// The points whose neighbourhood the point is in, and what it brings there.
    fn brings(&self, point: usize) -> impl Iterator<Item = (usize, f64)> {
        let near = self.kernel.of(point).filter(|(_, s)| *s >= self.threshold);
        near.map(move |(i, s)| (i, f64::from(s) * self.confidence[point]))
    }
}

impl Objective for Neighbourhoods<'_> {
    fn gain(&self, point: usize) -> f64 {
        self.brings(point).map(|(i, more)| (self.sums[i] + more).tanh() - self.sums[i].tanh()).sum()
    }

    fn add(&mut self, point: usize) {
        for (i, more) in self.brings(point).collect::<Vec<_>>() {
            self.sums[i] += more;
        }
    }
}
