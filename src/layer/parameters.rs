//! The numbers of a program beside its costs, and their order.

/// What a program has beside its costs: side by side in one tensor, since an operation takes few.
pub(super) struct Parameters<T> {
    pub(super) column_costs: T,
    pub(super) row_masses: T,
    pub(super) limits: T,
    pub(super) eps: T,
}

impl<T> Parameters<T> {
    /// The order in which they stand in a row of numbers.
    pub(super) fn in_order(self) -> [T; 4] {
        [self.column_costs, self.row_masses, self.limits, self.eps]
    }
}

impl Parameters<usize> {
    pub(super) fn sum(self) -> usize {
        self.in_order().into_iter().sum()
    }

    /// Those of program `k` among the rows of all.
    pub(super) fn of(self, rows: &[f64], k: usize) -> Parameters<&[f64]> {
        let [q, n, limits, eps] = self.in_order();
        let row = &rows[k * (q + n + limits + eps)..];
        let (column_costs, row) = row.split_at(q);
        let (row_masses, row) = row.split_at(n);
        let (limits, row) = row.split_at(limits);
        Parameters { column_costs, row_masses, limits, eps: &row[..eps] }
    }
}
