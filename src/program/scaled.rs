//! A program in the solver's units.

use nalgebra::{DMatrix, DVector};

use super::{Multipliers, Regulariser, SelectionProgram};

/// A program and the solver's units: costs shifted by their row minima (which only shifts `nu`) and scaled
/// to order one (which scales `nu`, `lambda`, `eps` and `c`), so that tolerances mean the same for costs of
/// 1e-6 and 1e6. The cost matrix itself is converted entry by entry where it is read.
#[derive(Clone, Debug)]
pub(super) struct Scaled {
    pub program: SelectionProgram,
    pub column_costs: DVector<f64>,
    /// `eps` in the solver's units.
    pub eps: f64,
    pub scale: f64,
    pub row_shift: DVector<f64>,
}

impl Scaled {
    pub fn new(program: &SelectionProgram) -> Self {
        let [incoming, remembered] = &program.nearest;
        let row_shift = incoming.iter().zip(remembered).map(|(a, b)| a.min(*b));
        let row_shift = DVector::from_iterator(program.incoming(), row_shift);
        // All costs of every row equal: what is left to choose a unit from are column costs and eps.
        let rest = program.column_costs.amax().max(program.regulariser.eps());
        let scale =
            [program.excess, rest, 1.0].into_iter().find(|&s| s > f64::MIN_POSITIVE).unwrap_or(1.0);
        Self {
            column_costs: &program.column_costs / scale,
            eps: program.regulariser.eps() / scale,
            scale,
            row_shift,
            program: program.clone(),
        }
    }

    /// The same with budgets smaller by a share.
    pub fn tightened(&self, share: f64) -> Self {
        let mut tight = self.clone();
        tight.program.limits *= 1.0 - share;
        tight
    }

    /// A cost of `row` in the solver's units.
    pub fn cost(&self, row: usize, given: f64) -> f64 {
        (given - self.row_shift[row]) / self.scale
    }

    /// All costs in the solver's units, column by column.
    pub fn costs(&self) -> impl Iterator<Item = f64> {
        let n = self.program.incoming();
        self.program.costs.iter().enumerate().map(move |(k, &cost)| self.cost(k % n, cost))
    }

    /// The cheapest column of a row; a tie goes to the remembered.
    pub fn nearest_column(&self, row: usize) -> usize {
        let [incoming, remembered] = &self.program.nearest;
        if remembered[row] <= incoming[row] {
            self.nearest_remembered(row)
        } else {
            self.program.costs.row(row).columns(0, self.program.incoming()).transpose().imin()
        }
    }

    /// The cheapest remembered column of a row, of which there must be one.
    pub fn nearest_remembered(&self, row: usize) -> usize {
        let (n, m) = (self.program.incoming(), self.program.remembered());
        n + self.program.costs.row(row).columns(n, m).transpose().imin()
    }

    /// The smallest cost above the minimum of its row, for the whole mass.
    pub fn smallest_excess(&self) -> f64 {
        let least = self.costs().filter(|cost| *cost > 0.0).fold(f64::INFINITY, f64::min);
        if least.is_finite() { least * self.program.row_masses.sum() } else { 1.0 }
    }

    pub fn entropic(&self) -> bool {
        matches!(self.program.regulariser, Regulariser::Entropic(_))
    }

    /// Multipliers in the solver's units; a negative price of a budget counts as none.
    pub fn scale_down(&self, given: &Multipliers) -> (DVector<f64>, DVector<f64>) {
        let nu = (&given.rows - &self.row_shift) / self.scale;
        (nu, given.budgets.map(|lambda| lambda.max(0.0) / self.scale))
    }

    /// `tau_g = c_g + (G'lambda)_g`.
    pub fn threshold(&self, group: usize, lambda: &DVector<f64>) -> f64 {
        let prices = self.program.coefficients.column(group);
        self.column_costs[group] + prices.iter().zip(lambda).map(|(a, l)| a * l).sum::<f64>()
    }
}

/// Zeros from the allocator: pages that are never written cost nothing.
pub(super) fn zeros(rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_vec(rows, columns, vec![0.0; rows * columns])
}
