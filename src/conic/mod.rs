//! Convex programs with cone constraints: solved, and differentiated, in `f64`.
//!
//! ```text
//! minimise    1/2 x'P x + q'x                       x: n variables,  P: n x n positive semidefinite
//! subject to  A x + s = b,   s in K                 K: a product of cones, m rows in all
//!
//! K = zero x nonnegative x second-order x exponential x power x semidefinite, in any order and number
//! ```
//!
//! Linear, quadratic, second-order cone, geometric, entropy and semidefinite programs have this form; it is clarabel's. The
//! *form* (where the matrices may have entries, and the cones) is fixed once in a [`ConicProgram`]; the *values* come with
//! each solve, one or a batch. The answer is `x`, the slacks `s` and the multipliers `z`, and a
//! [pullback](ConicSolution::pullback) from a gradient in these to one in all values.
//!
//! # How it is differentiated
//! With `w = z - s` and `Pi` the projection on the dual cone, `z = Pi(w)` and `s = Pi(w) - w` are complementary whatever `w`
//! is, and the optimality conditions are equations,
//!
//! ```text
//! F(x, w) = ( P x + q + A' Pi(w),   A x + Pi(w) - w - b ) = 0
//! ```
//!
//! Newton's method on `F` polishes an interior point's answer to rounding; the adjoint of its derivative is the pullback.
//! Both are one sparse symmetric quasi-definite system, see [`ConicSolution::pullback`].
//!
//! # Semidefinite cones
//! Clarabel needs BLAS and LAPACK for them. Here they go by operator splitting on nalgebra's symmetric eigenvalues, polished
//! by the same Newton's method: pure Rust, nothing to install. The reduced system of a cone of order `k` is dense in its
//! `k (k + 1) / 2` rows, which bounds the order to some tens.
//!
//! # Three derivatives
//! *Exact*: [`ConicSolution::pullback`]. *Quadratic smoothing*: the same with [`ConicOptions::smoothing`]. *Perturbed*
//! (LPGD): [`ConicSolution::pullback_perturbed`]. Where the answer is a vertex the exact one is zero; the others say which
//! way to go.
//!
//! # Numbers out of all proportion
//! A row such as `x <= 1e20` beside numbers near one would set the unit of all slacks. It is solved as if it stood at 1e5 times
//! the usual distance, and where nothing presses against it there the answer is that of the program as given. So is a slope such
//! as `1e20 x`, there to keep `x` at its bound `x >= 0`: at 1e2 or 1e5 times the others, and where the bound holds `x` there, its
//! multiplier takes the rest. Elsewhere an answer counts only if every row holds in its own units, and as solved only if
//! every slope does: beside huge coefficients and curvatures the outcome may be [`Outcome::Failed`] or
//! [`Outcome::AlmostSolved`].
//!
//! # Linear programs by a dynamics
//! [`Physarum`] iterates to a point of the central path of a linear program with positive costs, and differentiates it there.
//!
//! # Degenerate programs
//! Where the answer is not unique, or a constraint is active by a hair, the derivative does not exist; an element of the
//! generalised derivative is returned, finite, and [`Diagnostics`] says so.
//!
//! # References
//! - P. J. Goulart, Y. Chen, *Clarabel: An interior-point solver for conic programs with quadratic objectives*, 2024, arXiv
//!   2405.12762: the solver, the form, the order of rows within a cone.
//! - A. Agrawal et al., *Differentiable Convex Optimization Layers*, NeurIPS 2019: programs as layers.
//! - E. Busseti, W. M. Moursi, S. Boyd, *Solution Refinement at Regular Points of Conic Problems*, Computational Optimization
//!   and Applications 74, 2019: Newton's method on such a residual map.

mod away;
mod cone;
mod derivative;
mod interior;
mod ldl;
pub mod model;
mod options;
mod pattern;
mod perturbed;
mod physarum;
mod point;
mod program;
mod projection;
mod refinement;
mod scaling;
mod solution;
mod solve;
mod splitting;
mod system;

pub use cone::Cone;
pub use options::ConicOptions;
pub use pattern::Pattern;
pub use physarum::{
    Physarum, PhysarumGradients, PhysarumOptions, PhysarumSolution, PhysarumVerdict,
};
pub use program::{ConicProgram, Values};
pub use solution::{
    ConicSolution, Diagnostics, Gradients, Method, Outcome, Status, Upstream, Verdict,
};
