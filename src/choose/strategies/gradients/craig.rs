//! CRAIG: every gradient close to a chosen one of its class.

use rand::RngCore;

use crate::choose::neighbours::Neighbours;
use crate::choose::strategies::gradients::last_layer::{Gradients, LABEL_GRADIENTS};
use crate::choose::strategies::submodular::facility_location::Representation;
use crate::choose::strategies::within::class_balanced::by_class;
use crate::choose::{Choice, Evidence, Greedy, Kind, Needs, Shares, Strategy, check_count};
use crate::error::Result;

/// Within each class chooses the set `S` whose gradients stand in for all gradients of the class,
///
/// ```text
/// maximise  sum_i max_{j in S} (d_max - ||g_i - g_j||)        g: the loss's gradient in the last layer
/// ```
///
/// which bounds how far a weighted mean gradient over `S` is from that over the class. A point's weight
/// is the number of points it stands in for, itself included, scaled as in every [`Choice`]; a point of
/// which no neighbour is chosen counts for nobody. Every beginning of the result holds of the
/// classes their shares.
///
/// Gradients are those of the cross-entropy in the last layer's weights and bias, `(p - y) [h; 1]'`; the
/// features `h` must be what enters that layer. Similarities are kept between nearest neighbours only, as
/// in [`FacilityLocation`](crate::choose::FacilityLocation), and `d_max` is the largest distance kept. With
/// `neighbours` no less than the largest class nothing is left out: that is the paper's objective.
///
/// # Cost
/// `O(sum over classes of N^2 (C + width))` time for `C` classes, as products of matrices that never form
/// a gradient, and `O(N (C + width + k))` memory.
///
/// # Reference
/// B. Mirzasoleiman, J. Bilmes, J. Leskovec, *Coresets for Data-efficient Training of Machine Learning
/// Models*, ICML 2020.
///
/// # Example
/// ```
/// use gleaner::choose::{Craig, Evidence, Strategy};
/// # let mut rng = rand::rng();
///
/// // One class; gradients -p along with features 1, 1 and 5: the first stands for two points.
/// let evidence = Evidence::new(3).with_features(&[1.0, 1.0, 5.0], 1)?.with_labels(&[0; 3])?;
/// let evidence = evidence.with_probabilities(&[0.5; 6], 2)?;
/// let choice = Craig::default().select(&evidence, 2, &mut rng)?;
/// assert_eq!(choice.indices, [0, 2]);
/// assert_eq!(choice.weights[0], 2.0 * choice.weights[1]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Craig {
    /// The nearest others of each point that enter the kernel; 32 by default.
    pub neighbours: usize,
    /// Lazy by default.
    pub greedy: Greedy,
}

impl Default for Craig {
    fn default() -> Self {
        Self { neighbours: 32, greedy: Greedy::Lazy }
    }
}

impl Strategy for Craig {
    fn name(&self) -> &str {
        "craig"
    }

    fn needs(&self) -> Needs {
        LABEL_GRADIENTS.and(Needs::of(&[Kind::Labels]))
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let shares = (Shares::Proportional, count);
        let Choice { indices, weights, gains } =
            by_class(evidence, self.name(), shares, |part, share| self.within(part, share, rng))?;
        Ok(Choice { gains, ..Choice::weighted(indices, weights)? })
    }
}

impl Craig {
    /// The same about one class; weights are numbers of points.
    fn within(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        let gradients = Gradients::of_labels(evidence, self.name())?;
        let kernel = Neighbours::of_gradients(&gradients, self.neighbours)?;
        let mut objective = Representation::new(&kernel);
        let chosen = self.greedy.maximise(&mut objective, evidence.points(), count, rng)?;
        let weights = represented(&kernel, &chosen.indices);
        Ok(Choice { weights, ..chosen })
    }
}

/// How many points each chosen one is the most similar to; ties go to the one chosen first, and a chosen
/// point stands for itself.
fn represented(kernel: &Neighbours, chosen: &[usize]) -> Vec<f64> {
    let mut place = vec![usize::MAX; kernel.points()];
    chosen.iter().enumerate().for_each(|(k, j)| place[*j] = k);
    let mut weights = vec![0.0; chosen.len()];
    for i in 0..kernel.points() {
        let candidates = kernel.of(i).filter(|(j, _)| place[*j] < usize::MAX);
        let best = candidates.map(|(j, s)| (place[j], s)).reduce(|best, other| {
            let closer = other.1 > best.1 || (other.1 == best.1 && other.0 < best.0);
            if closer { other } else { best }
        });
        let own = Some(place[i]).filter(|k| *k < usize::MAX);
        if let Some(k) = own.or(best.map(|(k, _)| k)) {
            weights[k] += 1.0;
        }
    }
    weights
}
