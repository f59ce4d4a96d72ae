//! How a program is solved.

use crate::error::{Error, Result};

/// How a program is solved. Start from `ConicOptions::default()`.
///
/// # Example
/// A linear program has a vertex for its answer, and a derivative of zero; with smoothing it moves.
/// ```
/// use gleaner::conic::{Cone, ConicOptions, ConicProgram, Pattern, Upstream, Values};
///
/// // minimise q'x  subject to  x >= 0,  x_0 + x_1 = 1
/// let (constraints, _) = Pattern::from_places(3, 2, &[(0, 0), (0, 1), (1, 0), (2, 1)])?;
/// let cones = vec![Cone::Zero(1), Cone::Nonnegative(2)];
/// let simplex = ConicProgram::new(Pattern::empty(2, 2), constraints, cones)?;
/// let values = Values {
///     quadratic: &[],
///     linear: &[0.3, 0.5],
///     constraints: &[1.0, -1.0, 1.0, -1.0],
///     right: &[1.0, 0.0, 0.0],
/// };
/// let pull = Upstream { x: Some(&[1.0, 0.0]), ..Default::default() };
/// let vertex = simplex.solve(values, &ConicOptions::default())?.solution()?;
/// assert!((vertex.x()[0] - 1.0).abs() < 1e-9);
/// assert!(vertex.pullback(pull)?.linear[0].abs() < 1e-9);
///
/// let smooth = ConicOptions { smoothing: 1.0, ..Default::default() };
/// let smoothed = simplex.solve(values, &smooth)?.solution()?;
/// assert!((smoothed.x()[0] - 0.6).abs() < 1e-9);
/// assert!((smoothed.pullback(pull)?.linear[0] + 0.5).abs() < 1e-9);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConicOptions {
    /// Largest relative residual of the optimality conditions at which a program counts as solved.
    pub tolerance: f64,
    /// Up to this it counts as almost solved; beyond, as failed.
    pub reduced_tolerance: f64,
    /// `eps >= 0`: adds `eps / 2 |x|^2` to the objective. Where the answer is a vertex its derivative is zero; with this
    /// it is that of a nearby program whose answer moves.
    pub smoothing: f64,
    /// Clarabel's tolerances, feasibility and gap: where the polishing starts from. Its last iterations cost more than the
    /// Newton steps that do without them; where they do not, it is asked for more.
    pub interior_tolerance: f64,
    /// Clarabel's iteration limit.
    pub max_iterations: usize,
    /// Newton steps granted to polish an answer.
    pub polish_steps: usize,
    /// Iterations of the splitting method before clarabel is asked, for quadratic objectives with equalities, inequalities
    /// and second-order cones only; zero for none.
    pub quick_iterations: usize,
    /// Iterations of the splitting method, for programs that clarabel does not take or not solve.
    pub splitting_iterations: usize,
}

impl Default for ConicOptions {
    fn default() -> Self {
        Self {
            tolerance: 1e-9,
            reduced_tolerance: 1e-5,
            smoothing: 0.0,
            interior_tolerance: 1e-6,
            max_iterations: 200,
            polish_steps: 12,
            quick_iterations: 100,
            splitting_iterations: 100_000,
        }
    }
}

impl ConicOptions {
    pub(super) fn check(&self) -> Result<()> {
        let positive = [
            ("tolerance", self.tolerance),
            ("reduced tolerance", self.reduced_tolerance),
            ("interior tolerance", self.interior_tolerance),
        ];
        for (what, found) in positive {
            // NaN is neither.
            if !(found > 0.0 && found < 1.0) {
                return Err(Error::range(what, "in (0, 1)", found));
            }
        }
        if !(self.smoothing >= 0.0 && self.smoothing.is_finite()) {
            return Err(Error::range("smoothing", ">= 0 and finite", self.smoothing));
        }
        Ok(())
    }
}
