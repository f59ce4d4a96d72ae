//! D2: hard points unlike one another, by messages over a graph of neighbours.

use rand::RngCore;

use crate::choose::neighbours::Neighbours;
use crate::choose::strategies::submodular::greedy::Objective;
use crate::choose::{Choice, Evidence, Greedy, Kind, Needs, Score, Strategy, check_count};
use crate::error::{Error, Result};

/// Raises a point's score by those of its neighbours, so that hard points in a dense place come first; then, whenever
/// a point is chosen, lowers those of its neighbours, so that the next one is elsewhere:
///
/// ```text
/// once               x_i  =  s_i + sum over neighbours j of  exp(-forward d_ij^2) s_j
/// with each choice k x_j -=  exp(-reverse d_kj^2) x_k        for every neighbour j of k
/// ```
///
/// The smaller `reverse`, the more a choice takes from its neighbours, and the more diverse is the set. Distances
/// are Euclidean; two points are neighbours where one is among the other's nearest.
///
/// # Differences from the paper
/// Scores are brought to 0..1, so that a score of any sign can be passed on, and distances are in units of the root
/// mean square distance of a point to its nearest, so that no setting depends on the unit of the features. A message
/// is never negative.
///
/// # Cost
/// That of the graph, `O(N^2 width)` time and `O(N (width + neighbours))` memory.
///
/// # Reference
/// A. Maharana, P. Yadav, M. Bansal, *D2 Pruning: Message Passing for Balancing Diversity and Difficulty in Data
/// Pruning*, ICLR 2024.
///
/// # Example
/// ```
/// use gleaner::choose::{D2, Evidence, LargestLoss, Strategy};
/// # let mut rng = rand::rng();
///
/// // A hard pair and a point of middling loss far away: one of the pair is enough.
/// let evidence = Evidence::new(4).with_features(&[0.0, 0.1, 5.0, 5.1], 1)?;
/// let evidence = evidence.with_losses(&[3.0, 2.9, 2.0, 0.0])?;
/// let strategy = D2::new(LargestLoss, 1, 1.0, 0.1)?;
/// assert_eq!(strategy.select(&evidence, 2, &mut rng)?.indices, [0, 2]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct D2<S> {
    score: S,
    neighbours: usize,
    forward: f64,
    reverse: f64,
    name: String,
}

impl<S: Score> D2<S> {
    /// The score, the nearest others of each point in the graph, and how fast messages fade with distance
    /// (`gamma_f` and `gamma_r` in the paper).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] without neighbours, or for a rate that is negative or not finite.
    pub fn new(score: S, neighbours: usize, forward: f64, reverse: f64) -> Result<Self> {
        if neighbours == 0 {
            return Err(Error::range("neighbours", "at least 1", 0.0));
        }
        for rate in [forward, reverse] {
            if !(rate >= 0.0 && rate.is_finite()) {
                return Err(Error::range("rate of fading", "finite and at least zero", rate));
            }
        }
        Ok(Self { score, neighbours, forward, reverse, name: format!("d2 {}", S::NAME) })
    }
}

/// Ten neighbours, both rates one.
impl<S: Score + Default> Default for D2<S> {
    fn default() -> Self {
        let (score, name) = (S::default(), format!("d2 {}", S::NAME));
        Self { score, neighbours: 10, forward: 1.0, reverse: 1.0, name }
    }
}

impl<S: Score> Strategy for D2<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        S::NEEDS.and(Needs::of(&[Kind::Features]))
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(&self.name)?;
        let scores = to_unit_range(&self.score.scores(evidence)?);
        let graph = Neighbours::by_distance(rows, width, self.neighbours)?;
        let received = |i: usize| -> f64 {
            let others = graph.of(i).filter(|(j, _)| *j != i);
            others.map(|(j, s)| f64::from(s).powf(self.forward) * scores[j]).sum()
        };
        let values = (0..scores.len()).map(|i| scores[i] + received(i)).collect();
        let mut messages = Messages { graph: &graph, values, reverse: self.reverse };
        Greedy::Lazy.maximise(&mut messages, evidence.points(), count, rng)
    }
}

/// Linearly to 0..1; all one where all are equal.
fn to_unit_range(scores: &[f64]) -> Vec<f64> {
    let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let place = |score: &f64| {
        if most > least { score / (most - least) - least / (most - least) } else { 1.0 }
    };
    scores.iter().map(place).collect()
}

/// What the points are worth after the messages so far. Values only fall: the lazy search is the exhaustive one.
struct Messages<'a> {
    graph: &'a Neighbours,
    values: Vec<f64>,
    reverse: f64,
}

impl Objective for Messages<'_> {
    fn gain(&self, point: usize) -> f64 {
        self.values[point]
    }

    fn add(&mut self, point: usize) {
        let sent = self.values[point].max(0.0);
        for (j, similarity) in self.graph.of(point).filter(|(j, _)| *j != point) {
            self.values[j] -= f64::from(similarity).powf(self.reverse) * sent;
        }
    }
}
