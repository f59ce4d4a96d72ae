//! BADGE: gradients that are large and unlike one another.

use rand::{Rng, RngCore};
use rayon::prelude::*;

use crate::choose::strategies::gradients::last_layer::Gradients;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count, top};
use crate::error::Result;

/// Draws points as k-means++ draws centres, in the space of the gradients that the learner's own guesses
/// would cause: starts at the largest, then each point with a probability proportional to the squared
/// distance of its gradient from the nearest chosen one.
///
/// The gradient is that of the cross-entropy in the last layer's weights, `(p - y) h'` with `y` the
/// likeliest class and `h` the features, which must be what enters that layer. An unsure point has a
/// large one; a point like a chosen one is near it. No labels are needed: this is active learning.
/// Where only duplicates of chosen points are left, all of them are as likely.
///
/// # Cost
/// `O(N count (C + width))` time for `C` classes: distances come from `<a, a'> <h, h'>`, the products
/// themselves are never formed. `O(N C)` memory beside the evidence.
///
/// # Reference
/// J. Ash et al., *Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds*, ICLR 2020. The
/// first point is the one of the authors' code; their paper draws it uniformly.
///
/// # Example
/// ```
/// use gleaner::choose::{Badge, Evidence, Strategy};
/// # let mut rng = rand::rng();
///
/// // The learner is sure of the first two; the last two are alike.
/// let p = [1.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.6, 0.4, 0.6, 0.4];
/// let evidence = Evidence::new(5).with_probabilities(&p, 2)?;
/// let evidence = evidence.with_features(&[1.0, 0.0, 0.0, 9.0, 3.0, 0.0, 0.0, 3.0, 0.0, 3.0], 2)?;
/// assert_eq!(Badge.select(&evidence, 2, &mut rng)?.indices[0], 2);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Badge;

impl Strategy for Badge {
    fn name(&self) -> &str {
        "badge"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Probabilities, Kind::Features])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let gradients = Gradients::of_guesses(evidence, self.name())?;
        let points = gradients.points();
        let sizes: Vec<f64> = (0..points).map(|i| gradients.square(i)).collect();
        let mut next = top(&sizes, 1)[0];
        // To the nearest chosen one; zero for the chosen ones themselves.
        let mut distances = vec![f64::INFINITY; points];
        let mut free = vec![true; points];
        let mut chosen = Vec::with_capacity(count);
        loop {
            chosen.push(next);
            free[next] = false;
            if chosen.len() == count {
                return Ok(Choice::equal(chosen));
            }
            distances.par_iter_mut().enumerate().with_min_len(256).for_each(|(i, distance)| {
                *distance = distance.min(gradients.squared_distance(i, next));
            });
            next = draw(&distances, &free, rng);
        }
    }
}

/// A free point with a probability proportional to its distance; any, if all are zero.
pub(crate) fn draw(distances: &[f64], free: &[bool], rng: &mut dyn RngCore) -> usize {
    let total: f64 = distances.iter().sum();
    let weight = |i: usize| match (free[i], total > 0.0) {
        (false, _) => 0.0,
        (true, true) => distances[i],
        (true, false) => 1.0,
    };
    let total: f64 = (0..distances.len()).map(weight).sum();
    let mut left = rng.random::<f64>() * total;
    let mut last = 0;
    // Rounding may leave a little beyond the last weight: that one it is then.
    for i in (0..distances.len()).filter(|i| weight(*i) > 0.0) {
        last = i;
        left -= weight(i);
        if left < 0.0 {
            break;
        }
    }
    last
}
