//! GLISTER: what a step on the chosen points does for the validation set.

use nalgebra::DMatrix;
use rand::RngCore;

use crate::choose::strategies::gradients::last_layer::Gradients;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count, top};
use crate::error::{Error, Result};

/// Chooses the points along whose gradients the validation loss falls fastest. With what is chosen the
/// last layer takes a step,
///
/// ```text
/// theta(S) = theta - rate / count * sum_{j in S} g_j        next: the largest <g_j, grad L_val(theta(S))>
/// ```
///
/// and the validation gradient is taken anew at that place `refreshes` times on the way: each time the
/// first-order best points are added, a `refreshes`-th of `count`. With one refresh this is a ranking.
///
/// Gradients are those of the cross-entropy in the last layer's weights and bias; the features must be
/// what enters that layer, and so must those of the validation points
/// ([`Evidence::with_validation`]). The step is followed exactly: the validation points' logits move with
/// the last layer, no backward pass and no Hessian is needed.
///
/// # Cost
/// `O(refreshes (N + V) C width + count V (C + width))` time for `C` classes and `V` validation points,
/// `O((N + V) (C + width))` memory.
///
/// # Reference
/// K. Killamsetty et al., *GLISTER: Generalization based Data Subset Selection for Efficient and Robust
/// Learning*, AAAI 2021. There the step is a sum, so that a larger subset takes a larger one; here it is
/// a mean.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, Glister, Strategy};
/// # let mut rng = rand::rng();
///
/// // The validation point wants more of class 1 at feature 1: so does the second point.
/// let validation = Evidence::new(1).with_features(&[1.0], 1)?.with_labels(&[1])?;
/// let validation = validation.with_probabilities(&[0.5, 0.5], 2)?;
/// let evidence = Evidence::new(3).with_features(&[1.0, 1.0, -1.0], 1)?.with_labels(&[0, 1, 0])?;
/// let evidence = evidence.with_probabilities(&[0.5; 6], 2)?.with_validation(&validation);
/// assert_eq!(Glister::default().select(&evidence, 1, &mut rng)?.indices, [1]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Glister {
    /// Length of the step along the chosen points' mean gradient; at least 0, by default 0.1.
    pub rate: f64,
    /// How often the validation gradient is taken; at least 1, by default 20.
    pub refreshes: usize,
}

impl Default for Glister {
    fn default() -> Self {
        Self { rate: 0.1, refreshes: 20 }
    }
}

impl Strategy for Glister {
    fn name(&self) -> &str {
        "glister"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Probabilities, Kind::Labels, Kind::Features, Kind::Validation])
    }

    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        self.check()?;
        let validation = evidence.validation(self.name())?;
        let gradients = Gradients::of_labels(evidence, self.name())?;
        let mut validation_loss = Validation::new(validation, &gradients, self.name())?;
        let (mut chosen, mut along) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let stage = count.div_ceil(self.refreshes);
        while chosen.len() < count {
            let mut gains = gradients.along(&validation_loss.gradient());
            chosen.iter().for_each(|i: &usize| gains[*i] = f64::NEG_INFINITY);
            let next = top(&gains, stage.min(count - chosen.len()));
            validation_loss.follow(&gradients, &next, self.rate / count as f64);
            along.extend(next.iter().map(|i| gains[*i]));
            chosen.extend(next);
        }
        Ok(Choice::equal(chosen).with_gains(along))
    }
}

impl Glister {
    fn check(&self) -> Result<()> {
        if !(self.rate >= 0.0 && self.rate.is_finite()) {
            let (what, rule, found) = ("rate", "finite and at least zero", self.rate);
            return Err(Error::range(what, rule, found));
        }
        if self.refreshes == 0 {
            return Err(Error::range("refreshes", "at least 1", 0.0));
        }
        Ok(())
    }
}

/// The validation points, as the last layer moves.
struct Validation<'a> {
    gradients: Gradients<'a>,
    labels: &'a [u32],
    classes: usize,
    /// A row a validation point, up to a constant each.
    logits: Vec<f64>,
}

impl<'a> Validation<'a> {
    fn new(validation: &Evidence<'a>, training: &Gradients, strategy: &str) -> Result<Self> {
        let (probabilities, classes) = validation.probabilities(strategy)?;
        let gradients = Gradients::of_labels(validation, strategy)?;
        let expected = (training.error(0).len(), training.input(0).len() - 1);
        let found = (classes, gradients.input(0).len() - 1);
        if expected != found {
            let what = "classes and features of a validation point";
            return Err(Error::shape(what, expected, found));
        }
        // What has underflown is unlikely, not impossible.
        let logit = |p: &f32| f64::from(p.max(f32::MIN_POSITIVE)).ln();
        let logits = probabilities.iter().map(logit).collect();
        Ok(Self { gradients, labels: validation.labels(strategy)?, classes, logits })
    }

    /// Of the mean validation loss, in weights and bias.
    fn gradient(&mut self) -> DMatrix<f64> {
        for (v, (logits, label)) in self.logits.chunks(self.classes).zip(self.labels).enumerate() {
            let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, z| largest.max(*z));
            let total: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
            for (class, (error, z)) in
                self.gradients.error_mut(v).iter_mut().zip(logits).enumerate()
            {
                let y = if class == *label as usize { 1.0 } else { 0.0 };
                *error = ((z - largest).exp() / total - y) as f32;
            }
        }
        let share = 1.0 / self.labels.len() as f64;
        self.gradients.sum((0..self.labels.len()).map(|v| (v, share)))
    }

    /// Moves the last layer by `-rate` times the sum of some gradients.
    fn follow(&mut self, training: &Gradients, points: &[usize], rate: f64) {
        let step = training.sum(points.iter().map(|i| (*i, -rate)));
        for (v, logits) in self.logits.chunks_mut(self.classes).enumerate() {
            for (column, h) in step.column_iter().zip(self.gradients.input(v)) {
                logits.iter_mut().zip(column.iter()).for_each(|(z, s)| *z += s * f64::from(*h));
            }
        }
    }
}
