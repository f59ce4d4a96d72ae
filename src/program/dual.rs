//! The dual of a smoothed program, evaluated: value, gradient, live entries, Newton matrix.
//!
//! With row multipliers `nu` and budget multipliers `lambda >= 0`, group `g` has the threshold
//! `tau_g = c_g + (G'lambda)_g` and its part of `Z` is the proximal step of `v = nu - D`
//! (see [`prox`](super::prox)). The dual function
//!
//! ```text
//! d(nu, lambda) = r'nu - h'lambda - eps sum psi(z),   psi = z^2/2 (quadratic), z (entropic)
//! d_nu = r - Z 1          d_lambda = G s - h
//! ```
//!
//! is concave and differentiable. `eps` times its negative generalised Hessian is the matrix `M` that
//! both the forward Newton step and the adjoint solve with.

use std::ops::Range;

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::prox::{self, Block, Entry};
use super::{Norm, Regulariser, SelectionProgram};

/// A program in the solver's units: costs shifted by their row minima (which only shifts `nu`) and
/// scaled to order one (which scales `nu`, `lambda`, `eps` and `c`), so that tolerances mean the same
/// for costs of 1e-6 and 1e6.
pub(super) struct Scaled<'a> {
    pub program: &'a SelectionProgram,
    pub costs: DMatrix<f64>,
    pub column_costs: DVector<f64>,
    /// `eps` in the solver's units.
    pub eps: f64,
    pub scale: f64,
    pub row_shift: DVector<f64>,
}

impl<'a> Scaled<'a> {
    pub fn new(program: &'a SelectionProgram) -> Self {
        let mut costs = program.costs.clone();
        let row_shift =
            DVector::from_iterator(costs.nrows(), costs.row_iter().map(|row| row.min()));
        for mut column in costs.column_iter_mut() {
            column -= &row_shift;
        }
        let mean = costs.sum() / costs.len() as f64;
        // All costs of every row equal: what is left to choose a unit from are column costs and eps.
        let rest = program.column_costs.amax().max(program.regulariser.eps());
        let scale = [mean, rest, 1.0].into_iter().find(|&s| s > f64::MIN_POSITIVE).unwrap_or(1.0);
        costs /= scale;
        Self {
            program,
            costs,
            column_costs: &program.column_costs / scale,
            eps: program.regulariser.eps() / scale,
            scale,
            row_shift,
        }
    }

    pub fn entropic(&self) -> bool {
        matches!(self.program.regulariser, Regulariser::Entropic(_))
    }

    /// Multipliers of the program as given, from the solver's units.
    pub fn unscale(&self, point: &Point) -> (DVector<f64>, DVector<f64>) {
        (&point.nu * self.scale + &self.row_shift, &point.lambda * self.scale)
    }

    /// `tau_g = c_g + (G'lambda)_g`.
    pub fn thresholds(&self, lambda: &DVector<f64>) -> DVector<f64> {
        &self.column_costs + self.program.coefficients.tr_mul(lambda)
    }
}

/// A live group: its index, its range of [`Point::entries`] and its derivative block.
#[derive(Clone, Debug)]
pub(super) struct LiveGroup {
    pub group: usize,
    pub range: Range<usize>,
    pub block: Block,
}

/// Multipliers and everything that follows from them.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub nu: DVector<f64>,
    pub lambda: DVector<f64>,
    /// Entries of live groups first, group by group, then those of remembered columns.
    pub entries: Vec<Entry>,
    pub live: Vec<LiveGroup>,
    pub value: f64,
    /// `d_nu`.
    pub row_gap: DVector<f64>,
    /// `d_lambda`.
    pub overspend: DVector<f64>,
}

impl Point {
    /// Evaluates the dual at the smoothing `eps` (which a homotopy varies). `O(n (n + m))`.
    pub fn at(scaled: &Scaled, eps: f64, nu: DVector<f64>, lambda: DVector<f64>) -> Self {
        let program = scaled.program;
        let mut point = Self {
            value: program.row_masses.dot(&nu) - program.limits.dot(&lambda),
            row_gap: program.row_masses.clone(),
            overspend: -&program.limits,
            entries: Vec::with_capacity(4 * nu.len()),
            live: Vec::new(),
            nu,
            lambda,
        };
        let tau = scaled.thresholds(&point.lambda);
        for (group, columns) in program.groups.iter().enumerate() {
            point.add_group(scaled, eps, group, columns, tau[group]);
        }
        let (start, n) = (point.entries.len(), program.incoming());
        let keep = if scaled.entropic() { f64::NEG_INFINITY } else { 0.0 };
        for j in n..n + program.remembered() {
            point.collect(scaled, j, keep);
        }
        let free = if scaled.entropic() { prox::entropic_free } else { prox::quadratic_free };
        point.entries[start..].iter_mut().for_each(|entry| free(entry, eps));
        for entry in &point.entries {
            let z = entry.value;
            point.row_gap[entry.row] -= z;
            point.value -= eps * if scaled.entropic() { z } else { 0.5 * z * z };
        }
        point
    }

    fn collect(&mut self, scaled: &Scaled, column: usize, keep: f64) {
        for (row, (&nu, &cost)) in self.nu.iter().zip(&scaled.costs.column(column)).enumerate() {
            let v = nu - cost;
            if v > keep {
                self.entries.push(Entry::new(row, column, v));
            }
        }
    }

    fn add_group(&mut self, scaled: &Scaled, eps: f64, group: usize, columns: &[usize], tau: f64) {
        let norm = scaled.program.norm;
        let start = self.entries.len();
        let keep = if scaled.entropic() { f64::NEG_INFINITY } else { prox::floor(norm, tau) };
        for &column in columns {
            self.collect(scaled, column, keep);
        }
        let entries = &mut self.entries[start..];
        let block = if scaled.entropic() {
            prox::entropic(norm, entries, tau, eps)
        } else {
            prox::quadratic(norm, entries, tau, eps)
        };
        match block {
            None => self.entries.truncate(start),
            Some(block) => {
                self.overspend.axpy(block.norm, &scaled.program.coefficients.column(group), 1.0);
                self.live.push(LiveGroup { group, range: start..self.entries.len(), block });
            }
        }
    }

    /// Relative KKT residual: row masses against the largest mass, budgets against their limits
    /// (a budget without multiplier may be slack).
    pub fn residual(&self, program: &SelectionProgram) -> f64 {
        let rows = self.row_gap.amax() / program.row_masses.amax();
        let budgets = self.overspend.iter().zip(&self.lambda).zip(&program.limits);
        let budgets = budgets.map(|((&over, &lambda), &limit)| {
            (if lambda > 0.0 { over.abs() } else { over.max(0.0) }) / limit
        });
        let worst = budgets.fold(rows, f64::max);
        // `max` drops NaN; a point that is not a number must not look converged.
        if self.value.is_finite() && rows.is_finite() { worst } else { f64::INFINITY }
    }

    /// Whether budget `b` takes part in a Newton step: tight, or violated.
    pub fn is_tight(&self, b: usize) -> bool {
        self.lambda[b] > 0.0 || self.overspend[b] > 0.0
    }

    /// `Z` as a matrix.
    pub fn assignment(&self, program: &SelectionProgram) -> DMatrix<f64> {
        let mut z = DMatrix::zeros(program.costs.nrows(), program.costs.ncols());
        for entry in &self.entries {
            z[(entry.row, entry.column)] = entry.value;
        }
        z
    }

    /// `M`, over the rows and then the budgets for which `tight` holds; slack budgets are left out by
    /// an identity row.
    pub fn newton_matrix(&self, program: &SelectionProgram, tight: &[bool]) -> DMatrix<f64> {
        let n = program.incoming();
        let size = n + tight.len();
        let mut m = DMatrix::zeros(size, size);
        for entry in &self.entries {
            m[(entry.row, entry.row)] += entry.diagonal;
        }
        for live in &self.live {
            self.add_block(&mut m, program, tight, live);
        }
        for (b, tight) in tight.iter().enumerate() {
            if !tight {
                m[(n + b, n + b)] = 1.0;
            }
        }
        m
    }

    /// Adds one group's rank-one term, border and corner (lower triangle).
    fn add_block(
        &self,
        m: &mut DMatrix<f64>,
        program: &SelectionProgram,
        tight: &[bool],
        live: &LiveGroup,
    ) {
        let n = program.incoming();
        let entries = &self.entries[live.range.clone()];
        let Block { rho, corner, .. } = live.block;
        if rho != 0.0 {
            for a in entries.iter().filter(|e| e.u != 0.0) {
                let mut column = m.column_mut(a.row);
                let scale = rho * a.u;
                for b in entries {
                    column[b.row] += scale * b.u;
                }
            }
        }
        let coefficients = program.coefficients.column(live.group);
        for b in (0..tight.len()).filter(|&b| tight[b] && coefficients[b] != 0.0) {
            for entry in entries {
                m[(n + b, entry.row)] += coefficients[b] * entry.border;
            }
            for other in (0..=b).filter(|&other| tight[other]) {
                m[(n + b, n + other)] += coefficients[b] * coefficients[other] * corner;
            }
        }
    }
}

/// Solves with `M + damping`, where `M` is given by its lower triangle and positive semidefinite up to
/// rounding: the damping grows until the factorisation exists.
pub(super) struct Factor {
    cholesky: Cholesky<f64, Dyn>,
}

impl Factor {
    /// `None` if no damping up to order one helps (the matrix has entries that are not finite).
    pub fn new(mut matrix: DMatrix<f64>, damping: f64) -> Option<Self> {
        let mean = matrix.diagonal().mean().max(f64::MIN_POSITIVE);
        let mut added = 0.0;
        let mut wanted = damping * mean;
        while wanted <= 10.0 * mean {
            for i in 0..matrix.nrows() {
                matrix[(i, i)] += wanted - added;
            }
            added = wanted;
            if let Some(cholesky) = Cholesky::new(matrix.clone()) {
                return Some(Self { cholesky });
            }
            wanted = 100.0 * wanted.max(1e-14 * mean);
        }
        None
    }

    /// Smallest over largest pivot: a cheap estimate of the reciprocal condition number.
    pub fn conditioning(&self) -> f64 {
        let pivots = self.cholesky.l_dirty().diagonal().map(|l| l * l);
        pivots.min() / pivots.max()
    }

    pub fn solve(&self, right: &DVector<f64>) -> DVector<f64> {
        self.cholesky.solve(right)
    }
}

/// `M x` from the lower triangle.
pub(super) fn symmetric_product(lower: &DMatrix<f64>, x: &DVector<f64>) -> DVector<f64> {
    let mut y = DVector::zeros(x.len());
    y.sygemv(1.0, lower, x, 0.0);
    y
}

/// Row multipliers that meet every row mass when all columns are free: where the solver starts.
pub(super) fn unconstrained_rows(scaled: &Scaled, eps: f64) -> DVector<f64> {
    let masses = &scaled.program.row_masses;
    let rows = scaled.costs.row_iter().zip(masses);
    if scaled.entropic() {
        // sum_j exp((nu - D_j)/eps - 1) = r; every row's smallest cost is zero.
        let nu = rows.map(|(row, mass)| {
            let sum: f64 = row.iter().map(|cost| (-cost / eps).exp()).sum();
            eps * (1.0 + mass.ln() - sum.ln())
        });
        return DVector::from_iterator(masses.len(), nu);
    }
    let nu = rows.map(|(row, mass)| {
        // sum_j (nu - D_j)_+ = eps r: costs in rising order, as in the projection onto a simplex.
        let mut costs: Vec<f64> = row.iter().copied().collect();
        costs.sort_unstable_by(f64::total_cmp);
        let (mut sum, mut nu) = (eps * mass, f64::INFINITY);
        for (k, cost) in costs.iter().enumerate() {
            if *cost >= nu {
                break;
            }
            sum += cost;
            nu = sum / (k + 1) as f64;
        }
        nu
    });
    DVector::from_iterator(masses.len(), nu)
}

/// Distances from a change of the active set, see [`super::Diagnostics`].
pub(super) struct Margins {
    /// The smallest distance, in the solver's units.
    pub smallest: f64,
    /// How many distances are below the tolerance.
    pub weak: usize,
}

impl Margins {
    /// Walks over every entry, group and budget. `O(n (n + m))`.
    pub fn of(scaled: &Scaled, point: &Point, tolerance: f64) -> Self {
        let mut margins = Self { smallest: f64::INFINITY, weak: 0 };
        let mut note = |distance: f64| {
            margins.smallest = margins.smallest.min(distance.abs());
            margins.weak += usize::from(distance.abs() <= tolerance);
        };
        let program = scaled.program;
        for b in 0..point.lambda.len() {
            note(point.lambda[b].max(-point.overspend[b]));
        }
        if scaled.entropic() && program.norm != Norm::Infinity {
            return margins; // every entry is live and smooth
        }
        let tau = scaled.thresholds(&point.lambda);
        for (group, columns) in program.groups.iter().enumerate() {
            group_margins(scaled, point, columns, tau[group], &mut note);
        }
        if !scaled.entropic() {
            for j in program.incoming()..scaled.costs.ncols() {
                point.nu.iter().zip(&scaled.costs.column(j)).for_each(|(nu, cost)| note(nu - cost));
            }
        }
        margins
    }
}

fn group_margins(
    scaled: &Scaled,
    point: &Point,
    columns: &[usize],
    tau: f64,
    note: &mut impl FnMut(f64),
) {
    let values = || {
        let entries = columns.iter().flat_map(|&j| (0..point.nu.len()).map(move |i| (i, j)));
        entries.map(|(i, j)| point.nu[i] - scaled.costs[(i, j)])
    };
    let norm = scaled.program.norm;
    if norm == Norm::One {
        return values().for_each(|v| note(v - tau));
    }
    let lowest = if scaled.entropic() { f64::NEG_INFINITY } else { 0.0 };
    let entries: Vec<Entry> =
        values().filter(|v| *v > lowest).enumerate().map(|(i, v)| Entry::new(i, 0, v)).collect();
    let positive = entries.iter().map(|e| e.value);
    if !scaled.entropic() {
        // The dual norm against tau decides whether the group is live at all.
        let dual = match norm {
            Norm::Two => positive.map(|v| v * v).sum::<f64>().sqrt(),
            _ => positive.sum(),
        };
        note(dual - tau);
        if dual <= tau {
            return;
        }
        values().for_each(&mut *note);
    }
    if norm == Norm::Infinity && tau > 0.0 {
        let level = prox::level(&entries, tau, lowest);
        entries.iter().for_each(|e| note(e.value - level));
    } else if norm == Norm::Infinity {
        // Without a threshold the weight is the largest entry: a tie for it is a kink.
        let mut values: Vec<f64> = entries.iter().map(|e| e.value).collect();
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        values.windows(2).take(1).for_each(|two| note(two[0] - two[1]));
    }
}
