//! What a softmax regression on the features loses with a point, to first order.

use nalgebra::DMatrix;
use rand::RngCore;
use rayon::prelude::*;

use crate::choose::strategies::gradients::last_layer::Gradients;
use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::value::Valuation;
use crate::value::parts::part;
use crate::value::trac_in::with_validation;

/// By how much the mean validation loss grows when a point is left out and the last layer, a softmax regression, finds
/// its new optimum: the influence function, to first order in the weight of the point.
///
/// ```text
/// v_i = 1/N g_val' (H + delta I)^-1 g_i
/// H   = 1/N sum_j (diag(p_j) - p_j p_j') x [h_j; 1] [h_j; 1]'
/// ```
///
/// with `g` the cross-entropy's gradients in weights and bias (of validation points the mean), `x` the Kronecker
/// product and `delta` the damping. The features must be what enters the layer, those of the validation points too, and
/// the probabilities the layer's own at its optimum, where `delta / 2 ||theta||^2` was added to the mean loss; at other
/// places the value is that of a Newton step. `H` is also the Gauss-Newton matrix. Of features of unlike scales the
/// small ones are damped away: standardise.
///
/// # Cost
/// `O(N width C)` time for each of the steps of conjugate gradients, at most 10,000, on all cores; they grow with the
/// square root of `width / damping`. Memory for `2 N (width + C)` numbers and 64 gradients.
///
/// # Errors
/// [`Error::OutOfRange`] unless the damping lies in [1e-6, 1e6], [`Error::Shape`] if validation points have another
/// width or other classes, [`Error::NotConverged`] if a relative residual of 1e-10 is out of reach.
///
/// # Reference
/// P. W. Koh, P. Liang, *Understanding Black-box Predictions via Influence Functions*, ICML 2017.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{Influence, Valuation};
/// # let mut rng = rand::rng();
///
/// // The validation point wants more of class 1 at feature 1: so does the second point, and the first the contrary.
/// let validation = Evidence::new(1).with_features(&[1.0], 1)?.with_labels(&[1])?;
/// let validation = validation.with_probabilities(&[0.5, 0.5], 2)?;
/// let evidence = Evidence::new(2).with_features(&[1.0, 1.0], 1)?.with_labels(&[0, 1])?;
/// let evidence = evidence.with_probabilities(&[0.5; 4], 2)?.with_validation(&validation);
/// // All gradients are multiples of one, on which H is one and the damping of a mean square of one 0.01.
/// let values = Influence { damping: 0.01 }.values(&evidence, &mut rng)?;
/// assert!((values[0] + 0.5 / 1.01).abs() < 1e-9 && (values[1] - 0.5 / 1.01).abs() < 1e-9);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Influence {
    /// In units of the mean square of what enters the layer, the bias's one included; 0.1 by default. The larger, the
    /// more the order is that of [`TracIn`](crate::value::TracIn).
    pub damping: f64,
}

impl Default for Influence {
    fn default() -> Self {
        Self { damping: 0.1 }
    }
}

impl Valuation for Influence {
    fn name(&self) -> &str {
        "influence"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Probabilities, Kind::Labels, Kind::Features, Kind::Validation])
    }

    fn values(&self, evidence: &Evidence, _: &mut dyn RngCore) -> Result<Vec<f64>> {
        if !(1e-6..=1e6).contains(&self.damping) {
            return Err(Error::range("damping", "at least 1e-6 and at most 1e6", self.damping));
        }
        let (probabilities, classes) = evidence.probabilities(self.name())?;
        evidence.labels(self.name())?;
        let (gradients, wanted) = with_validation(evidence, self.name())?;
        if wanted.nrows() != classes {
            return Err(Error::shape("width of the errors", classes, wanted.nrows()));
        }
        if gradients.points() == 0 {
            return Ok(Vec::new());
        }
        let curvature = Curvature::new(&gradients, probabilities, self.damping);
        let direction = curvature.solve(wanted)?;
        let share = 1.0 / gradients.points() as f64;
        Ok(gradients.along_exactly(&direction).into_iter().map(|along| along * share).collect())
    }
}

/// Of the preconditioned residual, relative to the right side's.
const TOLERANCE: f64 = 1e-10;
/// Steps of conjugate gradients.
const STEPS: usize = 10_000;

/// `H + delta I`, never written out.
struct Curvature {
    blocks: Vec<Block>,
    share: f64,
    damping: f64,
    diagonal: DMatrix<f64>,
}

/// Some of the points, a column each.
struct Block {
    inputs: DMatrix<f64>,
    /// The same, a row each.
    rows: DMatrix<f64>,
    probabilities: DMatrix<f64>,
}

impl Curvature {
    /// Of at least one point.
    fn new(gradients: &Gradients, probabilities: &[f32], damping: f64) -> Self {
        let ((classes, width), points) = (gradients.shape(), gradients.points());
        let block = |first: usize, last: usize| {
            let input = |k: usize, i: usize| f64::from(gradients.input(first + i)[k]);
            let inputs = DMatrix::from_fn(width, last - first, input);
            let p = probabilities[first * classes..last * classes].iter().map(|p| f64::from(*p));
            let probabilities = DMatrix::from_iterator(classes, last - first, p);
            Block { rows: inputs.transpose(), inputs, probabilities }
        };
        let step = part(points);
        let firsts = (0..points).step_by(step);
        let blocks: Vec<Block> =
            firsts.map(|first| block(first, points.min(first + step))).collect();
        let share = 1.0 / points as f64;
        let squares: f64 = blocks.iter().map(|block| block.inputs.norm_squared()).sum();
        // The bias's one keeps it above zero.
        let damping = damping * squares * share / width as f64;
        let curvatures = blocks.iter().map(|Block { rows, probabilities, .. }| {
            probabilities.map(|p| p * (1.0 - p)) * rows.map(|h| h * h)
        });
        let sum = curvatures.fold(DMatrix::zeros(classes, width), |sum, part| sum + part);
        let diagonal = sum.map(|c| (c * share).max(0.0) + damping);
        Self { blocks, share, damping, diagonal }
    }

    fn times(&self, direction: &DMatrix<f64>) -> DMatrix<f64> {
        let part = |Block { inputs, rows, probabilities }: &Block| {
            let mut logits = direction * inputs;
            for (mut z, p) in logits.column_iter_mut().zip(probabilities.column_iter()) {
                let mean = z.dot(&p);
                z.zip_apply(&p, |z, p| *z = p * (*z - mean));
            }
            logits * rows
        };
        let parts: Vec<DMatrix<f64>> = self.blocks.par_iter().map(part).collect();
        let sum = parts
            .into_iter()
            .fold(DMatrix::zeros(direction.nrows(), direction.ncols()), |sum, part| sum + part);
        sum * self.share + direction * self.damping
    }

    /// Conjugate gradients, preconditioned with the diagonal.
    fn solve(&self, right: DMatrix<f64>) -> Result<DMatrix<f64>> {
        let mut x = DMatrix::zeros(right.nrows(), right.ncols());
        let mut residual = right;
        let mut direction = residual.component_div(&self.diagonal);
        let mut power = residual.dot(&direction);
        let wanted = power * TOLERANCE * TOLERANCE;
        for _ in 0..STEPS {
            if power <= wanted {
                return Ok(x);
            }
            let image = self.times(&direction);
            let length = power / direction.dot(&image);
            x += &direction * length;
            residual -= image * length;
            let solved = residual.component_div(&self.diagonal);
            let next = residual.dot(&solved);
            direction = solved + direction * (next / power);
            power = next;
        }
        let residual = (power / wanted).sqrt() * TOLERANCE;
        Err(Error::NotConverged {
            method: "influence",
            iterations: STEPS,
            residual,
            tolerance: TOLERANCE,
        })
    }
}
