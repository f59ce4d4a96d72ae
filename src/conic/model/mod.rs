//! Convex problems written as mathematics, compiled to a [`ConicProgram`](super::ConicProgram).
//!
//! ```text
//! theta  --sparse-->  (P, q, A, b)  --solve-->  (x, z)  --sparse-->  variables, dual variables
//! ```
//!
//! Write a [`Problem`] in [`Variable`]s and [`Parameter`]s, compile it once to a [`Model`], solve it for as many values of
//! the parameters as you like; a gradient in the answer goes back to the parameters through the transposes.
//!
//! # What may be written
//! *Curvature.* An objective to be minimised is convex, by these rules: sums of convex terms are convex, so are multiples
//! by what is not negative; a convex atom may be given what is affine, what is convex where it rises, what is concave
//! where it falls. The same for concave the other way round. A constraint is convex `<=` concave, affine `=` affine, or
//! affine in a cone.
//!
//! *Parameters.* Of two factors one is without variables and one without parameters, so that all numbers of the program
//! are affine in the parameters. `p * q * x` is refused: make the product a parameter of its own. Parameters under an atom
//! do not count, since its place is taken by columns: `p * norm1(q * x)` is fine (more than the rule of DPP allows).
//!
//! What breaks a rule is refused when the problem is compiled, with the rule and the expression.
//!
//! # Atoms
//! | | |
//! | --- | --- |
//! | sizes | [`abs`] [`norm1`] [`norm2`] [`norm_inf`] [`huber`] |
//! | squares | [`square`] [`sum_squares`] [`quad_form`] [`quad_over_lin`] |
//! | extremes | [`max`] [`min`] [`maximum`] [`minimum`] [`pos`] |
//! | exponentials | [`exp`] [`log`] [`log_sum_exp`] [`logistic`] [`entr`] [`rel_entr`] [`kl_div`] |
//! | powers | [`power`] [`sqrt`] [`inv_pos`] [`geo_mean`] [`weighted_geo_mean`] |
//! | eigenvalues | [`lambda_max`] [`lambda_min`] |
//! | affine | the methods of [`Expression`], [`vstack`], [`hstack`] |
//!
//! # References
//! - M. Grant, S. Boyd, Y. Ye, *Disciplined Convex Programming*, in Global Optimization, 2006: the rules of curvature.
//! - M. Grant, S. Boyd, *Graph Implementations for Nonsmooth Convex Programs*, 2008: atoms as sets of cones.
//! - A. Agrawal et al., *Differentiable Convex Optimization Layers*, NeurIPS 2019: the rules for parameters, and the maps
//!   before and after the solver.

mod atom;
mod canonical;
mod compiled;
mod constraint;
mod curvature;
mod expression;
mod form;
mod functions;
mod graph;
mod leaf;
mod operators;
mod print;
mod problem;
mod refusal;
mod theta;

pub use compiled::{Answer, Derivative, Model, ModelData, Slot};
pub use constraint::{Constraint, in_exponential, in_power, in_second_order};
pub use curvature::{Curvature, Sign};
pub use expression::{Expression, hstack, vstack};
pub use functions::{
    abs, entr, exp, geo_mean, huber, inv_pos, kl_div, lambda_max, lambda_min, log, log_sum_exp,
    logistic, max, maximum, min, minimum, norm_inf, norm1, norm2, pos, power, quad_form,
    quad_over_lin, rel_entr, sqrt, square, sum_squares, weighted_geo_mean,
};
pub use leaf::{Parameter, Variable};
pub use problem::Problem;
