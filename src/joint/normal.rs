//! Damped least squares: the normal equations, whichever side of them is the smaller.

use nalgebra::{Cholesky, DMatrix, Dyn};

use crate::choose::ridge::factor;

/// `A = X'X + ridge I`.
pub(super) struct Normal {
    rows: DMatrix<f64>,
    /// Of `A`, or of `X X' + ridge I` where there are fewer rows than columns.
    factor: Cholesky<f64, Dyn>,
    ridge: f64,
}

impl Normal {
    /// Of rows `X` and a positive ridge.
    pub(super) fn new(rows: DMatrix<f64>, ridge: f64) -> Self {
        let gram = match rows.nrows() < rows.ncols() {
            true => &rows * rows.transpose(),
            false => rows.tr_mul(&rows),
        };
        Self { factor: factor(&gram, ridge), rows, ridge }
    }

    fn is_dual(&self) -> bool {
        self.rows.nrows() < self.rows.ncols()
    }

    /// `A^-1 X'y`.
    pub(super) fn regress(&self, y: &DMatrix<f64>) -> DMatrix<f64> {
        match self.is_dual() {
            true => self.rows.tr_mul(&self.factor.solve(y)),
            false => self.factor.solve(&self.rows.tr_mul(y)),
        }
    }

    /// `A^-1 b`; from the dual `(b - X'(X X' + ridge I)^-1 X b) / ridge`.
    pub(super) fn inverse_times(&self, b: DMatrix<f64>) -> DMatrix<f64> {
        if self.is_dual() {
            let inner = self.factor.solve(&(&self.rows * &b));
            return (b - self.rows.tr_mul(&inner)) / self.ridge;
        }
        self.factor.solve(&b)
    }
}
