//! The cones a program is made of.

use crate::error::{Error, Result};

/// One cone of the product `K`; the constraints of a program are split among its cones in order.
///
/// ```text
/// Zero(k)          {0}                                                        k rows
/// Nonnegative(k)   s >= 0                                                     k rows
/// SecondOrder(k)   s_0 >= ||(s_1 .. s_{k-1})||_2                              k rows
/// Exponential      y exp(x / y) <= z,  y > 0, and its closure; s = (x, y, z)  3 rows
/// Power(alpha)     x^alpha y^(1 - alpha) >= |z|,  x, y >= 0; s = (x, y, z)    3 rows
/// Semidefinite(k)  the symmetric k x k matrix of s is positive semidefinite   k (k + 1) / 2 rows
/// ```
///
/// A symmetric matrix is written as its upper triangle, column by column, the entries off the diagonal times the
/// square root of two, so that inner products of vectors are those of matrices:
/// `(M_00, √2 M_01, M_11, √2 M_02, √2 M_12, M_22, ..)`. These are clarabel's conventions.
///
/// # Example
/// ```
/// use gleaner::conic::Cone;
///
/// let cones = [Cone::Nonnegative(2), Cone::Exponential, Cone::Semidefinite(3)];
/// assert_eq!(cones.iter().map(Cone::rows).sum::<usize>(), 2 + 3 + 6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cone {
    /// Equalities.
    Zero(usize),
    /// Inequalities.
    Nonnegative(usize),
    /// The second-order (Lorentz) cone; with one row the same as one inequality.
    SecondOrder(usize),
    /// The exponential cone.
    Exponential,
    /// The power cone with this exponent, in `(0, 1)`.
    Power(f64),
    /// Positive semidefinite matrices of this order.
    Semidefinite(usize),
}

impl Cone {
    /// How many rows of the constraints belong to it.
    pub fn rows(&self) -> usize {
        match *self {
            Self::Zero(rows) | Self::Nonnegative(rows) | Self::SecondOrder(rows) => rows,
            Self::Exponential | Self::Power(_) => 3,
            Self::Semidefinite(order) => order * (order + 1) / 2,
        }
    }

    /// Whether rows of the cone may be scaled one by one.
    pub(super) fn is_separable(&self) -> bool {
        matches!(self, Self::Zero(_) | Self::Nonnegative(_))
    }

    pub(super) fn check(&self) -> Result<()> {
        match *self {
            // NaN is in no range.
            Self::Power(alpha) if !(alpha > 0.0 && alpha < 1.0) => {
                Err(Error::range("exponent of a power cone", "in (0, 1)", alpha))
            }
            Self::Semidefinite(order) if order > 10_000 => {
                Err(Error::range("order of a semidefinite cone", "at most 10,000", order as f64))
            }
            _ => Ok(()),
        }
    }
}
