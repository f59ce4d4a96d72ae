//! Projections on dual cones, and their derivatives in a basis that makes them diagonal.
//!
//! With `w = z - s`, Moreau's decomposition gives the multipliers `z = Pi(w)` and the slacks `s = Pi(w) - w`, `Pi` the
//! projection on the dual cone. Its derivative `D` is symmetric with eigenvalues in `[0, 1]`; every cone here has it in
//! closed form, once the projection is known:
//!
//! ```text
//! half-line                1 or 0
//! second order             1 along (1, v),  0 along (1, -v),  t = (w_0 + |w_1|) / (2 |w_1|) across,  v = w_1 / |w_1|
//! exponential, power       1 along Pi(w),   0 along Pi(w) - w,   one number for the third direction
//! semidefinite             1, 0 or l_i / (l_i - l_j) along q_i q_j',  q_i the eigenvectors
//! ```
//!
//! What enters the equations is not the eigenvalue `d` but its *ratio* `(1 - d) / d`: zero for an equality, infinite
//! for a direction that is free. It is computed without cancellation.

mod exponential;
mod power;
mod second_order;
mod semidefinite;
mod surface;
#[cfg(test)]
mod tests;

pub(super) use semidefinite::{matrix, triangle};

use nalgebra::DMatrix;

use super::cone::Cone;

/// What the projection's derivative looks like at a point of one cone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Face {
    /// `D = I`: the multipliers are inside their cone, the slacks are zero.
    Whole,
    /// `D = 0`: the slacks are inside theirs, the multipliers are zero.
    Nothing,
    /// Each row by itself: whether it is active.
    Rows(Vec<bool>),
    /// `v`, and the ratio `(|w_1| - w_0) / (|w_1| + w_0)` of the directions across.
    SecondOrder(Vec<f64>, f64),
    /// An orthonormal basis, and the ratio of each direction.
    Three([[f64; 3]; 3], [f64; 3]),
    /// Eigenvectors and eigenvalues.
    Semidefinite(DMatrix<f64>, Vec<f64>),
}

/// A ratio beyond this leaves nothing of a direction.
const FREE: f64 = 1e16;

/// Infinite beyond [`FREE`].
fn ratio(of: f64, to: f64) -> f64 {
    if of < FREE * to { of / to } else { f64::INFINITY }
}

impl Face {
    /// The ratio of a pair of eigenvectors.
    pub(super) fn pair_ratio(a: f64, b: f64) -> f64 {
        match (a > 0.0, b > 0.0) {
            (true, true) => 0.0,
            (false, false) => f64::INFINITY,
            (true, false) => ratio(-b, a),
            (false, true) => ratio(-a, b),
        }
    }
}

/// What counts as zero: a multiplier up to the first, a slack up to the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Small {
    pub(super) multiplier: f64,
    pub(super) slack: f64,
}

impl Small {
    fn either_side(self, above: f64) -> bool {
        if above > 0.0 { above <= self.multiplier } else { -above <= self.slack }
    }
}

/// The nearest point of the dual cone.
pub(super) fn project(cone: Cone, w: &[f64], z: &mut [f64]) {
    match cone {
        Cone::Zero(_) => z.copy_from_slice(w),
        Cone::Nonnegative(_) => z.iter_mut().zip(w).for_each(|(z, w)| *z = w.max(0.0)),
        Cone::SecondOrder(_) => second_order::project(w, z),
        Cone::Exponential => z.copy_from_slice(&surface::dual(w, exponential::project).point),
        Cone::Power(alpha) => {
            z.copy_from_slice(&surface::dual(w, |v| power::project(alpha, v)).point);
        }
        Cone::Semidefinite(order) => semidefinite::project(order, w, z),
    }
}

/// The derivative of [`project`], and how many of its conditions hold by next to nothing.
pub(super) fn face(cone: Cone, w: &[f64], small: Small) -> (Face, usize) {
    match cone {
        Cone::Zero(_) => (Face::Whole, 0),
        Cone::Nonnegative(_) => {
            let weak = w.iter().filter(|&&w| small.either_side(w)).count();
            (Face::Rows(w.iter().map(|&w| w > 0.0).collect()), weak)
        }
        Cone::SecondOrder(_) => second_order::face(w, small),
        Cone::Exponential => surface::face(w, small, exponential::project, exponential::INSIDE),
        Cone::Power(alpha) => {
            surface::face(w, small, |v| power::project(alpha, v), power::inside(alpha))
        }
        Cone::Semidefinite(order) => semidefinite::face(order, w, small),
    }
}
