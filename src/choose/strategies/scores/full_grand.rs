//! Ranking by the size of the gradient in all weights.

use crate::choose::{Evidence, Kind, Needs, Score};
use crate::error::Result;

/// The norm of each point's gradient in all of a learner's weights, `||grad_theta l_i(theta)||_2`.
///
/// The paper's score, for one learner; its mean over several is [`Averaged`](crate::choose::Averaged).
/// [`Grand`](crate::choose::Grand) is the last layer's share of it, which costs no backward pass;
/// [`gradient_norms`](crate::learn::gradient_norms) takes one a point. `O(N)`, plus the sort.
///
/// # Reference
/// M. Paul, S. Ganguli, G. K. Dziugaite, *Deep Learning on a Data Diet: Finding Important Examples Early
/// in Training*, NeurIPS 2021.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, FullGrand, Strategy};
/// # let mut rng = rand::rng();
///
/// let evidence = Evidence::new(3).with_gradient_norms(&[0.5, 2.0, 1.0])?;
/// assert_eq!(FullGrand.select(&evidence, 2, &mut rng)?.indices, [1, 2]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FullGrand;

impl Score for FullGrand {
    const NAME: &'static str = "full-gradient grand";
    const NEEDS: Needs = Needs::of(&[Kind::GradientNorms]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        Ok(evidence.gradient_norms(Self::NAME)?.to_vec())
    }
}
