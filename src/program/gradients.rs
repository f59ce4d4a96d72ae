//! What goes into a pullback, and what comes out.

use nalgebra::{DMatrix, DVector};

use super::Diagnostics;
use crate::error::Result;

/// An upstream gradient: what the loss says about the answer. Missing parts count as zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upstream<'a> {
    /// `dL/dZ`, `n x (n + m)`.
    pub assignment: Option<&'a DMatrix<f64>>,
    /// `dL/ds`, one entry a group.
    pub weights: Option<&'a DVector<f64>>,
}

/// The gradient of a loss with respect to every parameter of the program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gradients {
    /// `dL/dD`, `n x (n + m)`.
    pub costs: DMatrix<f64>,
    /// `dL/dc`, one entry a group.
    pub column_costs: DVector<f64>,
    /// `dL/dr`, one entry an incoming point.
    pub row_masses: DVector<f64>,
    /// `dL/dh`, one entry a budget row.
    pub budgets: DVector<f64>,
    /// `dL/deps`; zero without a regulariser.
    pub eps: f64,
    /// How far to trust the above.
    pub diagnostics: Diagnostics,
}

impl Gradients {
    /// No infinity leaves, and no NaN: a slope beyond the largest number is an error.
    pub(super) fn checked(self) -> Result<Self> {
        super::finite("gradient of the costs", &self.costs)?;
        super::finite_entries("gradient of the column costs", self.column_costs.as_slice())?;
        super::finite_entries("gradient of the row masses", self.row_masses.as_slice())?;
        super::finite_entries("gradient of the budgets", self.budgets.as_slice())?;
        super::finite_entries("gradient of eps", &[self.eps])?;
        Ok(self)
    }
}
