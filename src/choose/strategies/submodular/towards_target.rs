//! Points for a target: what is like a given set, and covers it.

use rand::RngCore;

use crate::choose::strategies::submodular::greedy::Objective;
use crate::choose::{Choice, Evidence, Greedy, Kind, Needs, Similarity, Strategy, check_count};
use crate::error::{Error, Result};

/// Maximises the mutual information, in the sense of facility location, between the chosen set `S` and the points
/// `T` of the validation set,
///
/// ```text
/// f(S) = sum_{t in T} max_{j in S} s_tj  +  relevance sum_{j in S} max_{t in T} s_tj
/// ```
///
/// with `s` the similarity of the features: every target point has a chosen one like it, and every chosen point is
/// like a target point. For data that must serve one purpose: a rare class, a new domain, a few known failures.
/// Neither labels nor a learner are asked; the validation set needs features of the same kind. Points
/// that are like no target at all are chosen last.
///
/// # Cost
/// `O(N T width)` time and `O(N T)` memory for `T` target points, a gain `O(T)`.
///
/// # Reference
/// V. Kaushal et al., *PRISM: A Rich Class of Parameterized Submodular Information Measures for Guided Data Subset
/// Selection*, AAAI 2022, where it is called FLQMI.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, Strategy, TowardsTarget};
/// # let mut rng = rand::rng();
///
/// // One target along each axis; most points lie elsewhere.
/// let target = Evidence::new(2).with_features(&[1.0, 0.0, 0.0, 1.0], 2)?;
/// let rows = [-1.0, -1.0, -2.0, -1.0, 3.0, 0.1, 4.0, 0.2, 0.0, 5.0];
/// let evidence = Evidence::new(5).with_features(&rows, 2)?.with_validation(&target);
/// let strategy = TowardsTarget { relevance: 0.1, ..Default::default() };
/// assert_eq!(strategy.select(&evidence, 2, &mut rng)?.indices, [3, 4]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TowardsTarget {
    /// Cosine by default.
    pub similarity: Similarity,
    /// How much a chosen point's own likeness to the target counts (`eta` in the paper); one by default. With zero
    /// all that matters is that the target is covered.
    pub relevance: f64,
    /// Lazy by default.
    pub greedy: Greedy,
}

impl Default for TowardsTarget {
    fn default() -> Self {
        Self { similarity: Similarity::Cosine, relevance: 1.0, greedy: Greedy::Lazy }
    }
}

impl Strategy for TowardsTarget {
    fn name(&self) -> &str {
        "towards-target"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Validation])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        if !(self.relevance >= 0.0 && self.relevance.is_finite()) {
            let rule = "finite and at least zero";
            return Err(Error::range("relevance", rule, self.relevance));
        }
        let (rows, width) = evidence.features(self.name())?;
        let target = evidence.validation(self.name())?;
        let (targets, found) = target.features(self.name())?;
        if found != width {
            return Err(Error::shape("width of the validation features", width, found));
        }
        let mut objective = MutualInformation {
            similarities: self.similarity.table(rows, targets, width)?,
            best: vec![0.0; target.points()],
            relevance: self.relevance,
        };
        self.greedy.maximise(&mut objective, evidence.points(), count, rng)
    }
}

struct MutualInformation {
    /// To every target point, a row a point.
    similarities: Vec<f32>,
    /// Of each target point to the chosen one most like it.
    best: Vec<f32>,
    relevance: f64,
}

impl MutualInformation {
    fn of(&self, point: usize) -> &[f32] {
        &self.similarities[point * self.best.len()..][..self.best.len()]
    }
}

impl Objective for MutualInformation {
    fn gain(&self, point: usize) -> f64 {
        let row = self.of(point);
        let covered: f64 =
            row.iter().zip(&self.best).map(|(s, best)| f64::from((s - best).max(0.0))).sum();
        covered + self.relevance * f64::from(row.iter().copied().fold(0.0, f32::max))
    }

    fn add(&mut self, point: usize) {
        let row = &self.similarities[point * self.best.len()..];
        self.best.iter_mut().zip(row).for_each(|(best, s)| *best = best.max(*s));
    }
}
