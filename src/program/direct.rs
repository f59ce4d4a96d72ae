//! The Newton system by factorisation: for up to about a hundred live groups, and where conjugate
//! gradients stall.
//!
//! With the live groups' rank-one terms as columns of `U` (scaled by `sqrt(rho)`) and the borders of the
//! tight budgets as columns of `B`, the system is
//!
//! ```text
//! M = [ D + U U'   B ]      D diagonal, U n x c sparse, B n x b, C b x b
//!     [ B'         C ]
//! ```
//!
//! The rows are solved for by the Woodbury identity,
//!
//! ```text
//! (D + U U')^-1 = D^-1 - D^-1 U (I + U'D^-1 U)^-1 U'D^-1          O(nnz + c^3 / 6)
//! ```
//!
//! (for p = 1 there is no `U` and nothing to factor), or, with as many live groups as rows, by a dense
//! factor of `D + U U'`; the budgets by their Schur complement `S = C - B'(D + U U')^-1 B`. `D` is zero in
//! rows that hang on caps alone (p = inf): a damping keeps it invertible.

use super::SelectionProgram;
use super::cholesky;
use super::conjugate::dot;
use super::dual::Point;

/// Relative to the mean diagonal of `M`. Smaller would drown in the cancellation of the Woodbury identity
/// where `D` is zero, larger would slow Newton's method down.
pub(super) const DAMPING: f64 = 1e-10;
/// A row without a live entry has no curvature: this lets it move by a bounded amount.
pub(super) const IDLE_ROW: f64 = 1e-2;

/// A factored system. Reused from step to step, it allocates only to grow.
#[derive(Clone, Debug, Default)]
pub(super) struct Direct {
    n: usize,
    /// Size of the kernel: live groups with a rank-one term, or rows.
    size: usize,
    dense: bool,
    /// The mean diagonal entry of the rows of `M`.
    mean: f64,
    /// `1 / (D + damping)`.
    inverse: Vec<f64>,
    /// `U` by rows: `entries[start[i]..start[i + 1]]` are `(column, value)`, in rising order of the columns.
    start: Vec<u32>,
    /// The column of each row's last entry so far.
    newest: Vec<u32>,
    entries: Vec<(u32, f64)>,
    /// Cholesky factor of `I + U'D^-1 U`, or of `D + U U'`.
    kernel: Vec<f64>,
    /// Which budgets take part.
    tight: Vec<bool>,
    /// `B` and `(D + U U')^-1 B`, column by column, all budgets.
    border: Vec<f64>,
    solved: Vec<f64>,
    /// `S` with identity rows for the budgets that take no part, and its factor.
    schur: Vec<f64>,
    schur_factor: Vec<f64>,
    /// Space for a right-hand side of the kernel.
    scratch: Vec<f64>,
}

impl Direct {
    /// Factors the system of `point`; the damping grows until the factors exist. `false` if none helps
    /// (entries that are not finite).
    pub fn factor(
        &mut self,
        program: &SelectionProgram,
        point: &Point,
        tight: &[bool],
        damping: f64,
    ) -> bool {
        self.n = program.incoming();
        self.tight.clear();
        self.tight.extend_from_slice(tight);
        let curved = point.live.iter().filter(|live| live.block.rho != 0.0).count();
        self.dense = curved >= self.n;
        self.size = if self.dense { self.n } else { curved };
        self.gather(point);
        self.mean = self.mean_diagonal(point);
        let mut wanted = damping.max(DAMPING);
        let largest = 10.0 * wanted.max(1.0);
        while wanted <= largest {
            let added = wanted * self.mean;
            if self.factor_rows(point, added) && self.factor_budgets(program, point, added) {
                return true;
            }
            wanted *= 100.0;
        }
        false
    }

    /// `U` by rows. What a row has in the columns of one group moves together, and is one entry.
    fn gather(&mut self, point: &Point) {
        self.start.clear();
        self.start.resize(self.n + 2, 0);
        let curved = || point.live.iter().filter(|live| live.block.rho != 0.0).enumerate();
        self.newest.clear();
        self.newest.resize(self.n, u32::MAX);
        for (column, live) in curved() {
            for e in point.entries[live.range.clone()].iter().filter(|e| e.u != 0.0) {
                let newest = &mut self.newest[e.row()];
                self.start[e.row() + 2] += u32::from(*newest != column as u32);
                *newest = column as u32;
            }
        }
        for i in 2..self.start.len() {
            self.start[i] += self.start[i - 1];
        }
        let total = self.start[self.n + 1] as usize;
        self.entries.clear();
        self.entries.resize(total, (0, 0.0));
        self.newest.fill(u32::MAX);
        for (column, live) in curved() {
            let root = live.block.rho.sqrt();
            for e in point.entries[live.range.clone()].iter().filter(|e| e.u != 0.0) {
                let (newest, slot) = (&mut self.newest[e.row()], &mut self.start[e.row() + 1]);
                if *newest != column as u32 {
                    (*newest, *slot) = (column as u32, *slot + 1);
                    self.entries[*slot as usize - 1].0 = column as u32;
                }
                self.entries[*slot as usize - 1].1 += root * e.u;
            }
        }
    }

    fn row(&self, i: usize) -> &[(u32, f64)] {
        &self.entries[self.start[i] as usize..self.start[i + 1] as usize]
    }

    fn mean_diagonal(&self, point: &Point) -> f64 {
        let plain: f64 = point.entries.iter().map(|e| e.diagonal).sum();
        let curved: f64 = self.entries.iter().map(|(_, u)| u * u).sum();
        ((plain + curved) / self.n as f64).max(f64::MIN_POSITIVE)
    }

    fn factor_rows(&mut self, point: &Point, added: f64) -> bool {
        let n = self.n;
        self.inverse.clear();
        self.inverse.resize(n, added);
        point.entries.iter().for_each(|e| self.inverse[e.row()] += e.diagonal);
        for i in 0..n {
            if self.row(i).is_empty() && self.inverse[i] < IDLE_ROW {
                self.inverse[i] += IDLE_ROW;
            }
        }
        self.kernel.clear();
        self.kernel.resize(self.size * self.size, 0.0);
        if self.dense {
            self.fill_dense(point);
        } else {
            self.inverse.iter_mut().for_each(|d| *d = 1.0 / *d);
            self.fill_woodbury();
        }
        cholesky::factor(&mut self.kernel, self.size)
    }

    /// Lower triangle of `I + U'D^-1 U`.
    fn fill_woodbury(&mut self) {
        let size = self.size;
        self.kernel.iter_mut().step_by(size + 1).for_each(|x| *x = 1.0);
        for i in 0..self.n {
            let row = &self.entries[self.start[i] as usize..self.start[i + 1] as usize];
            for (k, &(column, u)) in row.iter().enumerate() {
                let below = &mut self.kernel[column as usize * size..][..size];
                let scaled = u * self.inverse[i];
                row[k..].iter().for_each(|&(other, v)| below[other as usize] += scaled * v);
            }
        }
    }

    /// Lower triangle of `D + U U'`; the upper one is written too, and never read.
    fn fill_dense(&mut self, point: &Point) {
        let n = self.n;
        self.kernel.iter_mut().step_by(n + 1).zip(&self.inverse).for_each(|(x, d)| *x = *d);
        for live in point.live.iter().filter(|live| live.block.rho != 0.0) {
            let entries = &point.entries[live.range.clone()];
            for a in entries {
                let column = &mut self.kernel[a.row() * n..(a.row() + 1) * n];
                let scaled = live.block.rho * a.u;
                entries.iter().for_each(|b| column[b.row()] += scaled * b.u);
            }
        }
    }

    fn factor_budgets(&mut self, program: &SelectionProgram, point: &Point, added: f64) -> bool {
        let (n, budgets) = (self.n, self.tight.len());
        self.border.clear();
        self.border.resize(n * budgets, 0.0);
        self.schur.clear();
        self.schur.resize(budgets * budgets, 0.0);
        for live in &point.live {
            let coefficients = program.coefficients.column(live.group);
            for b in (0..budgets).filter(|&b| self.tight[b] && coefficients[b] != 0.0) {
                let border = &mut self.border[b * n..(b + 1) * n];
                let scale = -coefficients[b] * live.block.border;
                let entries = &point.entries[live.range.clone()];
                entries.iter().for_each(|e| border[e.row()] += scale * e.u);
                for other in (0..budgets).filter(|&other| self.tight[other]) {
                    self.schur[other * budgets + b] +=
                        coefficients[b] * coefficients[other] * live.block.corner;
                }
            }
        }
        let mut solved = std::mem::take(&mut self.solved);
        let mut scratch = std::mem::take(&mut self.scratch);
        solved.clear();
        solved.extend_from_slice(&self.border);
        for b in (0..budgets).filter(|&b| self.tight[b]) {
            self.solve_rows(&mut solved[b * n..(b + 1) * n], &mut scratch);
        }
        for b in 0..budgets {
            for other in 0..budgets {
                self.schur[b * budgets + other] -=
                    dot(&solved[b * n..(b + 1) * n], &self.border[other * n..(other + 1) * n]);
            }
            self.schur[b * budgets + b] += if self.tight[b] { added } else { 1.0 };
        }
        (self.solved, self.scratch) = (solved, scratch);
        self.schur_factor.clear();
        self.schur_factor.extend_from_slice(&self.schur);
        cholesky::factor(&mut self.schur_factor, budgets)
    }

    /// `x = (D + U U')^-1 x`.
    fn solve_rows(&self, x: &mut [f64], scratch: &mut Vec<f64>) {
        if self.dense {
            return cholesky::solve(&self.kernel, self.size, x);
        }
        scratch.clear();
        scratch.resize(self.size, 0.0);
        for (i, (x, inverse)) in x.iter_mut().zip(&self.inverse).enumerate() {
            *x *= inverse;
            self.row(i).iter().for_each(|&(column, u)| scratch[column as usize] += u * *x);
        }
        cholesky::solve(&self.kernel, self.size, scratch);
        for (i, (x, inverse)) in x.iter_mut().zip(&self.inverse).enumerate() {
            let pull: f64 =
                self.row(i).iter().map(|&(column, u)| u * scratch[column as usize]).sum();
            *x -= inverse * pull;
        }
    }

    /// Whether these are the budgets that take part in the factored system.
    pub fn is_for(&self, tight: &[bool]) -> bool {
        self.n > 0 && self.tight == tight
    }

    /// Estimates the smallest over the mean eigenvalue of `M` by a few steps of inverse iteration.
    pub fn conditioning(&self, x: &mut [f64], scratch: &mut Vec<f64>) -> f64 {
        uneven(x);
        let mut growth = 1.0;
        for _ in 0..3 {
            let before = dot(x, x).sqrt();
            x.iter_mut().for_each(|x| *x /= before);
            self.solve(x, scratch);
            growth = dot(x, x).sqrt();
        }
        1.0 / (growth * self.mean)
    }

    /// `S`, `b x b`.
    pub fn schur(&self) -> &[f64] {
        &self.schur
    }

    /// First half of a solve: `x` becomes `(D + U U')^-1 x` over the rows and what is left for the budgets,
    /// `x_b - B'x_rows`, over the tight ones (zero over the others).
    pub fn eliminate_rows(&self, x: &mut [f64], scratch: &mut Vec<f64>) {
        let (rows, prices) = x.split_at_mut(self.n);
        for (b, price) in prices.iter_mut().enumerate() {
            let known = dot(rows, &self.solved[b * self.n..(b + 1) * self.n]);
            *price = if self.tight[b] { *price - known } else { 0.0 };
        }
        self.solve_rows(rows, scratch);
    }

    /// Last half: the rows, given the values of the budgets in `x`.
    pub fn substitute_budgets(&self, x: &mut [f64]) {
        let (rows, prices) = x.split_at_mut(self.n);
        for (b, &price) in prices.iter().enumerate().filter(|(b, _)| self.tight[*b]) {
            let solved = &self.solved[b * self.n..(b + 1) * self.n];
            rows.iter_mut().zip(solved).for_each(|(x, s)| *x -= price * s);
        }
    }

    /// `x = (M + damping)^-1 x`.
    pub fn solve(&self, x: &mut [f64], scratch: &mut Vec<f64>) {
        self.eliminate_rows(x, scratch);
        cholesky::solve(&self.schur_factor, self.tight.len(), &mut x[self.n..]);
        self.substitute_budgets(x);
    }
}

/// A fixed vector that is orthogonal to nothing in particular.
pub(super) fn uneven(x: &mut [f64]) {
    x.iter_mut().enumerate().for_each(|(i, x)| *x = ((i as f64 + 1.0) * 0.618_034).fract() - 0.4);
}
