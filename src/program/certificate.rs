//! What an answer must pass before anyone sees it.
//!
//! A solver's own residuals are relative to its units, and no unit fits costs that spread over forty orders of
//! magnitude. So the assignment is first repaired, rows to their masses exactly and budgets by moving what is
//! too much to where it costs no budget, and then judged by itself: its objective above the row minima against
//! a lower bound from the multipliers, both from the costs as given.
//!
//! ```text
//! upper   sum (D_ij - min_j D_ij) Z_ij + R_eps(Z) + <c, s>        s from Z
//! lower   r'nu - h'lambda - eps sum psi(z(nu, lambda))            any nu, any lambda >= 0
//! gap     (upper - lower) / (|D part| + |R part| + |c part|)      the unit is the answer's own
//! ```

use nalgebra::{DMatrix, DVector};

use super::prox::Entry;
use super::scaled::{Scaled, zeros};
use super::{Method, Norm, SelectionProgram};
use crate::error::{Error, Result};

/// A relative gap above this is no solution.
const ACCEPTED_GAP: f64 = 1e-6;
/// Nor is a budget exceeded by more than this, relative to its limit.
const ACCEPTED_EXCESS: f64 = 1e-8;
/// What a budget may be exceeded by without being repaired.
const TOLERATED_EXCESS: f64 = 1e-9;
/// The bound subtracts numbers of the size of `r'nu` and `h'lambda`: below this share of them it is blind.
const ROUNDING: f64 = 1e-14;

/// An assignment that rows and budgets agree with, and how close to the best it is.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    /// `s`.
    pub weights: DVector<f64>,
    /// Objective and lower bound of the program as given.
    pub primal: f64,
    pub dual: f64,
    /// Negative where a budget is overspent by what is tolerated: the answer is better than the best.
    pub gap: f64,
    /// The numbers that the bound is the difference of, in the gap's unit.
    pub magnitude: f64,
    /// Largest relative violation of row masses and budgets.
    pub residual: f64,
    /// Nothing is paid above the row minima, and nothing smoothed: no multipliers prove that best.
    pub free: bool,
    /// `Z`, where the repair had to add entries.
    pub assignment: Option<DMatrix<f64>>,
}

/// A lower bound of the objective above the row minima, in the solver's units, and the size of the numbers it
/// was computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub value: f64,
    pub magnitude: f64,
}

impl Certificate {
    /// Repairs the values of `entries` and judges them. `O(entries)`, and `O(n (n + m))` where the objective
    /// above the row minima is zero or the repair had to add entries.
    pub fn of(scaled: &Scaled, entries: &mut [Entry], bound: Bound) -> Self {
        let program = &scaled.program;
        let added = fill_rows(scaled, entries);
        let mut all: Option<Vec<Entry>> = merged(program, entries, added);
        let list = all.as_deref_mut().unwrap_or(entries);
        let (budget, excess) = overspend(program, &weights(program, list));
        if excess > TOLERATED_EXCESS {
            let saved = save(scaled, list, budget);
            let both = merged(program, list, saved);
            all = both.or(all);
        }
        match all {
            None => Self::judge(scaled, entries, bound),
            Some(all) => {
                let assignment = Some(matrix(program, all.iter()));
                Self { assignment, ..Self::judge(scaled, &all, bound) }
            }
        }
    }

    fn judge(scaled: &Scaled, entries: &[Entry], bound: Bound) -> Self {
        let program = &scaled.program;
        let weights = weights(program, entries);
        let (mut cost, mut smooth) = (scaled.column_costs.dot(&weights), 0.0);
        let mut rows = -&program.row_masses;
        for e in entries {
            cost += scaled.cost(e.row(), program.costs[(e.row(), e.column())]) * e.value;
            smooth += program.regulariser.value(e.value);
            rows[e.row()] += e.value;
        }
        let smooth = scaled.eps * smooth;
        let upper = cost + smooth;
        // An entropic term is zero where entries are one, which is nothing but a choice of their unit.
        let entropic = if scaled.entropic() { scaled.eps * program.row_masses.sum() } else { 0.0 };
        let unit = cost + smooth.abs() + entropic;
        let unit = if unit > 0.0 { unit } else { scaled.smallest_excess() };
        let off = rows.iter().zip(&program.row_masses).map(|(off, mass)| off.abs() / mass);
        let shift = scaled.row_shift.dot(&program.row_masses);
        Self {
            primal: upper * scaled.scale + shift,
            dual: bound.value * scaled.scale + shift,
            gap: (upper - bound.value) / unit,
            magnitude: bound.magnitude / unit,
            free: upper == 0.0,
            residual: off.fold(overspend(program, &weights).1.max(0.0), larger),
            weights,
            assignment: None,
        }
    }

    /// Whether this is a solution.
    pub fn accepted(&self) -> bool {
        let open = ACCEPTED_GAP + ROUNDING * self.magnitude;
        // Better than the best by more than an overspent budget explains: then the bound is none.
        let better = open + ACCEPTED_EXCESS * self.magnitude;
        self.gap <= open && self.gap >= -better && self.residual <= ACCEPTED_EXCESS
    }

    /// # Errors
    /// [`Error::NotConverged`] if this is no solution.
    pub fn accept(self, method: Method, iterations: usize) -> Result<Self> {
        if self.accepted() {
            return Ok(self);
        }
        let (residual, tolerance) = if self.residual > ACCEPTED_EXCESS {
            (self.residual, ACCEPTED_EXCESS)
        } else {
            (self.gap, ACCEPTED_GAP)
        };
        Err(Error::NotConverged { method: method.name(), iterations, residual, tolerance })
    }
}

/// Both lists in one, if the second has any: some of its entries may lie on others.
fn merged(program: &SelectionProgram, entries: &[Entry], added: Vec<Entry>) -> Option<Vec<Entry>> {
    let all = || entries.iter().chain(&added);
    (!added.is_empty()).then(|| self::entries(&matrix(program, all())))
}

/// Scales every row to its mass; a row that has nothing gets its mass where that is cheapest.
fn fill_rows(scaled: &Scaled, entries: &mut [Entry]) -> Vec<Entry> {
    let masses = &scaled.program.row_masses;
    let mut held = vec![0.0; masses.len()];
    entries.iter().for_each(|e| held[e.row()] += e.value);
    for e in entries.iter_mut() {
        let (mass, held) = (masses[e.row()], held[e.row()]);
        // Exactly representable answers stay what they are.
        if held != mass && held > 0.0 {
            e.value *= mass / held;
        }
    }
    let empty = (0..masses.len()).filter(|&i| held[i].is_nan() || held[i] <= 0.0);
    empty.map(|i| at(i, scaled.nearest_column(i), masses[i])).collect()
}

/// An entry of the assignment.
pub(super) fn at(row: usize, column: usize, value: f64) -> Entry {
    Entry::new(row as u32, column as u32, value)
}

/// Moves towards an assignment that costs less, in all rows alike, by no more than the budgets need: to every
/// row's nearest remembered column, else to the groups that cost least of the worst budget, else to the one that
/// costs least of all.
fn save(scaled: &Scaled, entries: &mut [Entry], budget: usize) -> Vec<Entry> {
    let program = &scaled.program;
    let n = program.incoming();
    let spent = &program.coefficients * weights(program, entries);
    let needed = |refuge: &DVector<f64>| {
        let limits = spent.iter().zip(&program.limits).zip(refuge);
        let shares = limits.map(|((spent, limit), refuge)| (spent - limit) / (spent - refuge));
        shares.filter(|share| *share > 0.0).fold(0.0, f64::max).min(1.0)
    };
    let (share, columns) = if program.remembered() > 0 {
        (needed(&DVector::zeros(spent.len())), Vec::new())
    } else {
        let refuges = [cheapest_columns(program, entries, budget), best_group(program)];
        let spent_by = |columns: &[(usize, f64)]| {
            let spread =
                |i: usize| columns.iter().map(move |&(j, s)| at(i, j, s * program.row_masses[i]));
            let spread: Vec<Entry> = (0..n).flat_map(spread).collect();
            &program.coefficients * weights(program, &spread)
        };
        let fits = |columns: &[(usize, f64)]| {
            let spent = spent_by(columns);
            spent
                .iter()
                .zip(&program.limits)
                .all(|(spent, limit)| *spent <= limit * (1.0 + ACCEPTED_EXCESS))
        };
        let [first, second] = refuges;
        let columns = if fits(&first) { first } else { second };
        (needed(&spent_by(&columns)), columns)
    };
    let mut moved = vec![0.0; n];
    for e in entries.iter_mut().filter(|e| e.column() < n) {
        moved[e.row()] += share * e.value;
        e.value *= 1.0 - share;
    }
    let mut added = Vec::new();
    for (row, mass) in moved.into_iter().enumerate().filter(|(_, mass)| *mass > 0.0) {
        if columns.is_empty() {
            added.push(at(row, scaled.nearest_remembered(row), mass));
        }
        added.extend(columns.iter().map(|&(j, share)| at(row, j, share * mass)));
    }
    added
}

/// The columns of the group that, taking everything, exceeds the budgets least.
fn best_group(program: &SelectionProgram) -> Vec<(usize, f64)> {
    let worst = |group: usize| {
        let limits = program.limits.iter().enumerate();
        limits.map(|(b, limit)| program.spread_over(b, group) / limit).fold(0.0, f64::max)
    };
    let groups = (0..program.groups.len()).map(|group| (group, worst(group)));
    let best = groups.fold((0, f64::INFINITY), |best, new| if new.1 < best.1 { new } else { best });
    let columns = program.groups.columns(best.0);
    columns.iter().map(|&j| (j, 1.0 / columns.len() as f64)).collect()
}

/// The columns of the groups that cost least of a budget, each with its share of what these hold now.
fn cheapest_columns(
    program: &SelectionProgram,
    entries: &[Entry],
    budget: usize,
) -> Vec<(usize, f64)> {
    let least = program.smallest_budget(budget) * (1.0 + 1e-9);
    let cheap = |group: &usize| program.spread_over(budget, *group) <= least;
    let cheap: Vec<usize> = (0..program.groups.len()).filter(cheap).collect();
    let mut held = vec![0.0; program.groups.len()];
    let incoming = entries.iter().filter(|e| e.column() < program.incoming());
    incoming.for_each(|e| held[program.groups.of(e.column())] += e.value);
    let total: f64 = cheap.iter().map(|&group| held[group]).sum();
    let share =
        |group: usize| if total > 0.0 { held[group] / total } else { 1.0 / cheap.len() as f64 };
    let columns = cheap.iter().flat_map(|&group| {
        let columns = program.groups.columns(group);
        columns.iter().map(move |&j| (j, share(group) / columns.len() as f64))
    });
    columns.filter(|(_, share)| *share > 0.0).collect()
}

/// The most overspent budget, and by how much relative to its limit; negative if none is.
fn overspend(program: &SelectionProgram, weights: &DVector<f64>) -> (usize, f64) {
    let spent = &program.coefficients * weights;
    let over = spent.iter().zip(&program.limits).map(|(spent, limit)| spent / limit - 1.0);
    let worst = |a: (usize, f64), b: (usize, f64)| if b.1 <= a.1 { a } else { b };
    over.enumerate().fold((0, f64::NEG_INFINITY), worst)
}

/// `max` that keeps what is not a number.
fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

/// `||Z_g||_p` for every group.
pub(super) fn weights(program: &SelectionProgram, entries: &[Entry]) -> DVector<f64> {
    let n = program.incoming();
    let incoming = || {
        let entries = entries.iter().filter(|e| e.column() < n);
        entries.map(|e| (program.groups.of(e.column()), e.value))
    };
    let mut weights = DVector::zeros(program.groups.len());
    if program.norm == Norm::One {
        incoming().for_each(|(group, z)| weights[group] += z);
        return weights;
    }
    incoming().for_each(|(group, z)| weights[group] = f64::max(weights[group], z));
    if program.norm == Norm::Two {
        // In units of the largest entry, squares neither overflow nor vanish.
        let mut squares = DVector::zeros(program.groups.len());
        let positive = incoming().filter(|(_, z)| *z > 0.0);
        positive.for_each(|(group, z)| squares[group] += (z / weights[group]).powi(2));
        weights.zip_apply(&squares, |weight: &mut f64, square: f64| *weight *= square.sqrt());
    }
    weights
}

/// `Z` as a matrix; an entry that is listed twice counts twice.
pub(super) fn matrix<'a>(
    program: &SelectionProgram,
    entries: impl Iterator<Item = &'a Entry>,
) -> DMatrix<f64> {
    let mut z = zeros(program.costs.nrows(), program.costs.ncols());
    entries.for_each(|e| z[(e.row(), e.column())] += e.value);
    z
}

/// The entries of a matrix that are not zero.
pub(super) fn entries(assignment: &DMatrix<f64>) -> Vec<Entry> {
    let n = assignment.nrows();
    let positive = assignment.iter().enumerate().filter(|(_, z)| **z > 0.0);
    positive.map(|(k, &z)| at(k % n, k / n, z)).collect()
}
