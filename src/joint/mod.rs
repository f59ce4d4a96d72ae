//! Online alternating minimisation: a learner and a selection model trained together on mini-batches.
//!
//! One step, for the batch `B_t`, learner parameters `theta`, selection parameters `phi`:
//!
//! ```text
//! 1  e_i, f_i     evidence and cost features of every point, no gradient into theta
//! 2  v = h_phi    embeddings, and column costs c(phi); memory's embeddings with today's phi
//! 3  w = s(phi)   the selection program on D(v), c: weights of the incoming points
//! 4  theta        one optimiser step on  sum_j w_j l_j / sum_j w_j
//! 5  phi          one optimiser step on  L_val(theta_hat)  through the program, theta_hat = theta - eta grad L_w(theta)
//! 6  memory       points whose weight passes the threshold are remembered
//! ```
//!
//! Steps 4 and 5 start from the same `theta`, so one backward pass of the batch serves both; see
//! [`hypergradient`] for step 5 and [`LookAhead`] for other `theta_hat`. During the warm-up all weights are one and `phi` stays.
//!
//! # Reference
//! S. Das et al., *Finding High-Value Training Data Subset through Differentiable Convex Programming*,
//! ECML-PKDD 2021, arXiv 2104.13794.
//!
//! # Differences from the paper
//! p = inf and a regularised program; a unary head; memory keeps the inputs of `h_phi`; the
//! hypergradient is one directional derivative, not a backward pass a sample; validation data is never
//! test data.

mod blocks;
mod checkpoint;
mod choose;
mod evidence;
mod gleaner;
mod head;
mod hypergradient;
mod judge;
mod look_ahead;
mod memory;
mod model;
mod normal;
mod options;
mod parts;
mod ranked;
mod trainer;

pub use choose::{Amount, Balance, ChooseOptions};
pub use gleaner::{Gleaned, Gleaner};
pub use hypergradient::{Hypergradient, hypergradient, weighted_gradient};
pub use judge::{Judge, Lesson, Targets, Verdict};
pub use look_ahead::LookAhead;
pub use memory::{Eviction, ExemplarMemory};
pub use model::{Heads, ModelOptions, SelectionModel};
pub use options::*;
pub use trainer::*;
