//! How far a step on a point lowers the validation loss.

use nalgebra::DMatrix;
use rand::RngCore;

use crate::choose::strategies::gradients::last_layer::Gradients;
use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::value::Valuation;

/// How far a step of gradient descent on each point lowers the mean validation loss, to first order, in the last layer:
///
/// ```text
/// v_i = 1/M sum_v <g_i, g_v> = 1/M sum_v <p_i - y_i, p_v - y_v> (<h_i, h_v> + 1)
/// ```
///
/// for a step of length one. The features must be what enters the layer, those of the validation points too;
/// probabilities are those of the learner at one checkpoint. Sum the values of several checkpoints, each times its
/// step, for a whole training. Where a learner agrees with all labels, right or wrong, its errors and so all values are
/// nearly zero: take an earlier checkpoint.
///
/// # Cost
/// `O((N + M) width C)` time for `M` validation points and `C` classes, `O(N (width + C))` memory.
///
/// # Errors
/// [`Error::Shape`] if validation points have another width or other classes.
///
/// # Reference
/// G. Pruthi, F. Liu, M. Sundararajan, S. Kale, *Estimating Training Data Influence by Tracing Gradient Descent*,
/// NeurIPS 2020 (TracInCP with one checkpoint and the last layer).
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{TracIn, Valuation};
/// # let mut rng = rand::rng();
///
/// // The validation point wants more of class 1 at feature 1: so does the second point, and the first the contrary.
/// let validation = Evidence::new(1).with_features(&[1.0], 1)?.with_labels(&[1])?;
/// let validation = validation.with_probabilities(&[0.5, 0.5], 2)?;
/// let evidence = Evidence::new(2).with_features(&[1.0, 1.0], 1)?.with_labels(&[0, 1])?;
/// let evidence = evidence.with_probabilities(&[0.5; 4], 2)?.with_validation(&validation);
/// assert_eq!(TracIn.values(&evidence, &mut rng)?, [-1.0, 1.0]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracIn;

impl Valuation for TracIn {
    fn name(&self) -> &str {
        "tracin"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Errors, Kind::Features, Kind::Validation])
    }

    fn values(&self, evidence: &Evidence, _: &mut dyn RngCore) -> Result<Vec<f64>> {
        let (gradients, wanted) = with_validation(evidence, self.name())?;
        Ok(gradients.along_exactly(&wanted))
    }
}

/// The gradients of the points and the mean of those of the validation points; none of no points.
pub(crate) fn with_validation<'a>(
    evidence: &Evidence<'a>,
    name: &str,
) -> Result<(Gradients<'a>, DMatrix<f64>)> {
    let gradients = Gradients::of_labels(evidence, name)?;
    let validation = evidence.validation(name)?;
    let (seen, points) = (Gradients::of_labels(validation, name)?, validation.points());
    let share = 1.0 / points as f64;
    let mean = seen.sum((0..points).map(|v| (v, share)));
    let (classes, width) = gradients.shape();
    if mean.shape() != (classes, width) {
        let what = "classes and features of a validation point";
        return Err(Error::shape(what, (classes, width - 1), (mean.nrows(), mean.ncols() - 1)));
    }
    Ok((gradients, mean))
}
