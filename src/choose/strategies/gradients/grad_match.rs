//! GradMatch: few gradients whose weighted sum is that of all.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use rand::RngCore;
use rand::seq::SliceRandom;

use crate::choose::strategies::gradients::last_layer::{Gradients, LABEL_GRADIENTS};
use crate::choose::{Choice, Evidence, Needs, Strategy, check_count};
use crate::error::{Error, Result};

/// Chooses points, and weights for them, so that their weighted gradients sum up to the mean over all,
///
/// ```text
/// minimise  || sum_{j in S} w_j g_j - mean_i g_i ||^2 + ridge gamma ||w||^2,   w >= 0,  |S| = count
/// ```
///
/// by orthogonal matching pursuit: adds the point whose gradient is most along what is still missing,
/// fits all weights anew, and drops a point whose weight turns negative. `gamma` is the mean squared
/// length of a gradient, so that `ridge` has no unit.
///
/// Gradients are those of the cross-entropy in the last layer's weights and bias, `(p - y) [h; 1]'`; the
/// features `h` must be what enters that layer. For a match within each class, as the paper prefers, wrap it
/// in [`ClassBalanced`](crate::choose::ClassBalanced). Once no point would lower the objective the rest is drawn
/// uniformly: the match is then as good as it gets, and those points have weight zero.
///
/// # Cost
/// `O(N C width)` a chosen point for `C` classes, as a product of matrices in `f32`, and `O(count^2)` to fit
/// the weights; `O(N (C + width) + count^2)` memory. The gradients themselves are never formed.
///
/// # Reference
/// K. Killamsetty et al., *GRAD-MATCH: Gradient Matching Based Data Subset Selection for Efficient Deep
/// Model Training*, ICML 2021. There the points drawn at the end have weight one, and weights are not scaled
/// to the number of points.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, GradMatch, Strategy};
/// # let mut rng = rand::rng();
///
/// // Errors (-1, 1) / 2 three times and twice that once: each length deserves a weight.
/// let evidence = Evidence::new(4).with_features(&[1.0; 4], 1)?.with_labels(&[0, 0, 0, 1])?;
/// let p = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0];
/// let evidence = evidence.with_probabilities(&p, 2)?;
/// let choice = GradMatch { ridge: 1e-9 }.select(&evidence, 2, &mut rng)?;
/// assert_eq!(choice.indices[0], 0);
/// assert!((choice.weights.iter().sum::<f64>() - 2.0).abs() < 1e-12);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GradMatch {
    /// Keeps weights small and alike; at least 1e-9, by default 0.5.
    pub ridge: f64,
}

/// The matrix to factor must be positive definite beyond rounding, duplicates or not.
const SMALLEST_RIDGE: f64 = 1e-9;
/// What correlations in `f32` may be off, relative to the lengths of both.
const CORRELATION: f64 = 1e-6;

impl Default for GradMatch {
    fn default() -> Self {
        Self { ridge: 0.5 }
    }
}

impl Strategy for GradMatch {
    fn name(&self) -> &str {
        "grad-match"
    }

    fn needs(&self) -> Needs {
        LABEL_GRADIENTS
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let found = self.ridge;
        if !(found >= SMALLEST_RIDGE && found.is_finite()) {
            let (what, rule) = ("ridge", "finite and at least 1e-9");
            return Err(Error::range(what, rule, found));
        }
        let gradients = Gradients::of_labels(evidence, self.name())?;
        let pursuit = Pursuit::new(&gradients, self.ridge).run(count);
        let (mut chosen, mut weights) = (pursuit.chosen, pursuit.weights);
        let mut free = vec![true; evidence.points()];
        chosen.iter().for_each(|&i| free[i] = false);
        let mut rest: Vec<usize> = (0..evidence.points()).filter(|&i| free[i]).collect();
        let missing = count - chosen.len();
        chosen.extend(rest.partial_shuffle(rng, missing).0.iter());
        weights.resize(count, 0.0);
        Choice::weighted(chosen, weights)
    }
}

/// An active-set method for the weights, stopped when the set is large enough.
struct Pursuit<'a> {
    gradients: &'a Gradients<'a>,
    lengths: Vec<f64>,
    target: DMatrix<f64>,
    ridge: f64,
    /// The points with a weight, in the order of the factor's rows.
    chosen: Vec<usize>,
    weights: Vec<f64>,
    /// `<g_j, target>` of the chosen points.
    wanted: Vec<f64>,
    /// Of the chosen points' inner products plus the ridge; nothing while no point is chosen.
    factor: Option<Cholesky<f64, Dyn>>,
}

impl<'a> Pursuit<'a> {
    fn new(gradients: &'a Gradients, ridge: f64) -> Self {
        let share = 1.0 / gradients.points() as f64;
        let lengths: Vec<f64> =
            (0..gradients.points()).map(|i| gradients.square(i).sqrt()).collect();
        let mean_square = lengths.iter().map(|length| length * length * share).sum::<f64>();
        Self {
            target: gradients.sum((0..gradients.points()).map(|i| (i, share))),
            gradients,
            lengths,
            ridge: ridge * mean_square,
            chosen: Vec::new(),
            weights: Vec::new(),
            wanted: Vec::new(),
            factor: None,
        }
    }

    /// Until `count` points have a weight, or no other point deserves one.
    fn run(mut self, count: usize) -> Self {
        // Every round but the last lowers the objective; the bound is for rounding alone.
        for _ in 0..4 * count {
            if self.chosen.len() == count {
                break;
            }
            let missing = &self.target - self.gradients.sum(self.weighted());
            let Some(next) = self.most_along(&missing) else { break };
            self.add(next);
            self.fit();
            if !self.chosen.contains(&next) {
                break;
            }
        }
        self
    }

    fn weighted(&self) -> impl Iterator<Item = (usize, f64)> {
        self.chosen.iter().copied().zip(self.weights.iter().copied())
    }

    /// The point without a weight that is most along the direction; none where that is mere rounding.
    fn most_along(&self, direction: &DMatrix<f64>) -> Option<usize> {
        let mut along = self.gradients.along(direction);
        self.chosen.iter().for_each(|j| along[*j] = f64::NEG_INFINITY);
        let largest = |best: usize, i: usize| if along[i] > along[best] { i } else { best };
        let next = (0..along.len()).reduce(largest)?;
        let rounding = CORRELATION * self.lengths[next] * self.target.norm();
        (along[next] > rounding).then_some(next)
    }

    fn add(&mut self, next: usize) {
        let products = self.chosen.iter().map(|j| self.gradients.inner(next, *j));
        let own = self.gradients.square(next) + self.ridge;
        let column = DVector::from_iterator(self.chosen.len() + 1, products.chain([own]));
        self.factor = match &self.factor {
            Some(factor) => Some(factor.insert_column(self.chosen.len(), column)),
            None => Cholesky::new(DMatrix::from_element(1, 1, own)),
        };
        let input = DVector::from_iterator(
            self.target.ncols(),
            self.gradients.input(next).iter().map(|h| f64::from(*h)),
        );
        let change = &self.target * input;
        let error = self.gradients.error(next).iter().map(|a| f64::from(*a));
        self.wanted.push(error.zip(change.iter()).map(|(a, c)| a * c).sum());
        self.chosen.push(next);
        self.weights.push(0.0);
    }

    /// The best weights; where one would be negative, goes as far as all allow and drops those at zero.
    fn fit(&mut self) {
        while let Some(factor) = &self.factor {
            let best = factor.solve(&DVector::from_column_slice(&self.wanted));
            let step = (self.weights.iter().zip(best.iter()))
                .filter(|(_, best)| **best <= 0.0)
                .map(|(now, best)| now / (now - best).max(f64::MIN_POSITIVE))
                .fold(1.0, f64::min);
            let mut at_zero = Vec::new();
            for (k, (now, best)) in self.weights.iter_mut().zip(best.iter()).enumerate() {
                let ratio = *now / (*now - best).max(f64::MIN_POSITIVE);
                if *best <= 0.0 && ratio <= step {
                    at_zero.push(k);
                }
                *now += step * (best - *now);
            }
            if at_zero.is_empty() {
                return;
            }
            at_zero.into_iter().rev().for_each(|k| self.drop(k));
        }
    }

    fn drop(&mut self, k: usize) {
        self.chosen.remove(k);
        self.weights.remove(k);
        self.wanted.remove(k);
        let left = !self.chosen.is_empty();
        self.factor = self.factor.take().filter(|_| left).map(|factor| factor.remove_column(k));
    }
}
