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

use nalgebra::{DMatrix, DVector};

use super::candidates::{Candidate, Candidates};
use super::certificate::Bound;
use super::conjugate::dot;
use super::prox::{self, Block, Entry};
use super::{Multipliers, Norm, Regulariser, SelectionProgram};

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

    /// Multipliers of the program as given, from the solver's units.
    pub fn unscale(&self, point: &Point) -> Multipliers {
        Multipliers {
            rows: &point.nu * self.scale + &self.row_shift,
            budgets: &point.lambda * self.scale,
        }
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
    /// Multipliers that are still to be evaluated.
    pub fn new(nu: DVector<f64>, lambda: DVector<f64>) -> Self {
        Self {
            entries: Vec::with_capacity(8 * nu.len()),
            live: Vec::with_capacity(nu.len()),
            value: f64::NEG_INFINITY,
            row_gap: DVector::zeros(nu.len()),
            overspend: DVector::zeros(lambda.len()),
            nu,
            lambda,
        }
    }

    /// Evaluates the dual at the multipliers and the smoothing `eps` (which a homotopy varies), over
    /// candidates that cover `nu`. Linear in their number; allocates only to grow its lists.
    pub fn evaluate(&mut self, scaled: &Scaled, candidates: &Candidates, eps: f64) {
        let program = &scaled.program;
        self.value = program.row_masses.dot(&self.nu) - program.limits.dot(&self.lambda);
        self.row_gap.copy_from(&program.row_masses);
        self.overspend.copy_from(&program.limits);
        self.overspend.neg_mut();
        self.entries.clear();
        self.live.clear();
        for group in 0..program.groups.len() {
            let tau = scaled.threshold(group, &self.lambda);
            self.add_group(scaled, eps, group, candidates.of(group), tau);
        }
        let start = self.entries.len();
        let entropic = scaled.entropic();
        self.collect(candidates.remembered(), if entropic { f64::NEG_INFINITY } else { 0.0 });
        let free = if entropic { prox::entropic_free } else { prox::quadratic_free };
        self.entries[start..].iter_mut().for_each(|entry| free(entry, eps));
        let mut smooth = 0.0;
        for entry in &self.entries {
            let z = entry.value;
            self.row_gap[entry.row()] -= z;
            smooth += if entropic { z } else { 0.5 * z * z };
        }
        self.value -= eps * smooth;
    }

    fn collect(&mut self, candidates: &[Candidate], keep: f64) {
        for candidate in candidates {
            let v = self.nu[candidate.row as usize] - candidate.cost;
            if v > keep {
                self.entries.push(Entry::new(candidate.row, candidate.column, v));
            }
        }
    }

    fn add_group(
        &mut self,
        scaled: &Scaled,
        eps: f64,
        group: usize,
        candidates: &[Candidate],
        tau: f64,
    ) {
        let norm = scaled.program.norm;
        let start = self.entries.len();
        if scaled.entropic() {
            self.collect(candidates, f64::NEG_INFINITY);
        } else {
            self.collect(candidates, prox::floor(norm, tau));
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
                let prices = scaled.program.coefficients.column(group);
                self.overspend.axpy(block.norm, &prices, 1.0);
                self.live.push(LiveGroup { group, range: start..self.entries.len(), block });
            }
        }
    }

    /// The slope of the dual along a direction.
    pub fn ascent(&self, rows: &[f64], prices: &[f64]) -> f64 {
        dot(self.row_gap.as_slice(), rows) + dot(self.overspend.as_slice(), prices)
    }

    /// Entries of remembered columns.
    pub fn free_entries(&self) -> Range<usize> {
        self.live.last().map_or(0, |live| live.range.end)..self.entries.len()
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

    /// What the dual's value at the program's own `eps` proves.
    pub fn bound(&self, program: &SelectionProgram) -> Bound {
        Bound { value: self.value, magnitude: self.magnitude(program) }
    }

    /// `r'nu - h'lambda`, what the multipliers prove without a regulariser, where they are feasible. A
    /// smoothing term only adds to it, unless it is entropic: that may fall to `eps r log(r / (n + m))` a row.
    /// A bound below zero proves less than no multipliers at all.
    pub fn linear_bound(&mut self, scaled: &Scaled) -> Bound {
        let program = &scaled.program;
        let width = program.costs.ncols() as f64;
        let smooth = if scaled.entropic() {
            program.row_masses.iter().map(|r| r * (r / width).ln()).sum::<f64>() * scaled.eps
        } else {
            0.0
        };
        let value = program.row_masses.dot(&self.nu) - program.limits.dot(&self.lambda);
        if value <= 0.0 {
            self.nu.fill(0.0);
            self.lambda.fill(0.0);
        }
        Bound { value: value.max(0.0) + smooth, magnitude: self.magnitude(program) }
    }

    /// The size of the numbers that the dual's value is the difference of.
    pub fn magnitude(&self, program: &SelectionProgram) -> f64 {
        let rows = self.nu.iter().zip(&program.row_masses).map(|(nu, r)| nu.abs() * r);
        rows.sum::<f64>() + program.limits.dot(&self.lambda)
    }

    /// `out = M x` over the rows and the budgets that take part; the others pass through.
    pub fn product(&self, program: &SelectionProgram, part: &[bool], x: &[f64], out: &mut [f64]) {
        let n = program.incoming();
        let (rows, prices) = x.split_at(n);
        let (out, out_prices) = out.split_at_mut(n);
        out.fill(0.0);
        for ((slot, price), part) in out_prices.iter_mut().zip(prices).zip(part) {
            *slot = if *part { 0.0 } else { *price };
        }
        for live in &self.live {
            let entries = &self.entries[live.range.clone()];
            let Block { rho, border, corner, .. } = live.block;
            let coefficients = &program.coefficients.as_slice()[live.group * prices.len()..];
            let taking_part = || part.iter().enumerate().filter(|(_, part)| **part);
            let price: f64 = taking_part().map(|(b, _)| coefficients[b] * prices[b]).sum();
            let along: f64 = entries.iter().map(|e| e.u * rows[e.row()]).sum();
            let lift = rho * along - border * price;
            for e in entries {
                out[e.row()] += e.diagonal * rows[e.row()] + lift * e.u;
            }
            let paid = corner * price - border * along;
            taking_part().for_each(|(b, _)| out_prices[b] += coefficients[b] * paid);
        }
        for e in &self.entries[self.free_entries()] {
            out[e.row()] += e.diagonal * rows[e.row()];
        }
    }
}

/// Zeros from the allocator: pages that are never written cost nothing.
pub(super) fn zeros(rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_vec(rows, columns, vec![0.0; rows * columns])
}

/// Where a solve starts from nothing: a guess at the budget's multiplier, and the row multipliers that meet
/// every row mass when each unit of weight has that price (exact for p = 1).
///
/// The guess is the multiplier of the linear program for p = 1: a row gains what its nearest remembered
/// column costs more than its nearest incoming one, and the budget goes to the rows that gain most.
/// Without memory, and with several budgets, the guess is zero.
pub(super) fn first_guess(
    scaled: &Scaled,
    candidates: &mut Candidates,
    eps: f64,
) -> (DVector<f64>, DVector<f64>) {
    let program = &scaled.program;
    let mut lambda = DVector::zeros(program.limits.len());
    if scaled.entropic() {
        return (entropic_rows(scaled, candidates, eps), lambda);
    }
    let [incoming, remembered] = &program.nearest;
    let price = program.coefficients.mean();
    if program.remembered() > 0 && lambda.len() == 1 && price > 0.0 {
        let mut gains: Vec<f64> = remembered
            .iter()
            .zip(incoming)
            .map(|(far, near)| (far - near) / scaled.scale)
            .collect();
        gains.sort_unstable_by(|a, b| b.total_cmp(a));
        let mass = program.row_masses.mean();
        let served = (program.limits[0] / (price * mass)) as usize;
        // A row that no remembered column may stand in for gains without bound.
        let gain = gains.iter().skip(served).find(|gain| gain.is_finite());
        lambda[0] = gain.map_or(0.0, |gain| gain.max(0.0) / price);
    }
    (priced_rows(scaled, candidates, eps, &lambda), lambda)
}

/// `sum_j exp((nu - D_j)/eps - 1) = r` with all columns free.
fn entropic_rows(scaled: &Scaled, candidates: &Candidates, eps: f64) -> DVector<f64> {
    let masses = &scaled.program.row_masses;
    let mut sums = vec![0.0; masses.len()];
    for candidate in candidates.iter() {
        sums[candidate.row as usize] += (-candidate.cost / eps).exp();
    }
    // Every row's smallest cost is zero: no sum is below one.
    let rows = masses.iter().zip(sums);
    let nu = rows.map(|(mass, sum)| eps * (1.0 + mass.ln() - f64::ln(sum)));
    DVector::from_iterator(masses.len(), nu)
}

/// `sum_j (nu - D_j - tau_j)_+ = eps r`, falling from where the cheapest column alone would meet it: each
/// round drops the columns that the last level rules out, as in the projection onto a simplex.
fn priced_rows(
    scaled: &Scaled,
    candidates: &mut Candidates,
    eps: f64,
    lambda: &DVector<f64>,
) -> DVector<f64> {
    let program = &scaled.program;
    let masses = &program.row_masses;
    let thresholds: Vec<f64> =
        (0..program.groups.len()).map(|group| scaled.threshold(group, lambda)).collect();
    let dearest = thresholds.iter().fold(0.0f64, |a, b| a.max(*b));
    let [incoming, remembered] = &program.nearest;
    let mut nu = DVector::from_fn(masses.len(), |i, _| {
        let own = scaled.cost(i, incoming[i]) + dearest;
        own.min(scaled.cost(i, remembered[i])) + eps * masses[i]
    });
    candidates.scan(scaled, nu.as_slice(), 0.0);
    let mut counted = u64::MAX;
    loop {
        let mut sums: Vec<(f64, u32)> = masses.iter().map(|mass| (eps * mass, 0)).collect();
        let mut add = |row: u32, cost: f64| {
            let sum = &mut sums[row as usize];
            if cost < nu[row as usize] {
                *sum = (sum.0 + cost, sum.1 + 1);
            }
        };
        for (group, tau) in thresholds.iter().enumerate() {
            candidates.of(group).iter().for_each(|c| add(c.row, c.cost + tau));
        }
        candidates.remembered().iter().for_each(|c| add(c.row, c.cost));
        // Every count falls or stays, but for rounding, by which two levels could follow each other for ever.
        let before = std::mem::replace(&mut counted, sums.iter().map(|sum| u64::from(sum.1)).sum());
        if counted >= before {
            return nu;
        }
        for (nu, (sum, count)) in nu.iter_mut().zip(sums) {
            *nu = if count > 0 { sum / f64::from(count) } else { *nu };
        }
    }
}

/// Distances from a change of the active set, see [`super::Diagnostics`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    /// The smallest distance, in the solver's units.
    pub smallest: f64,
    /// How many distances are below the tolerance.
    pub weak: usize,
    tolerance: f64,
}

impl Margins {
    pub fn new(tolerance: f64) -> Self {
        Self { smallest: f64::INFINITY, weak: 0, tolerance }
    }

    pub fn note(&mut self, distance: f64) {
        self.smallest = self.smallest.min(distance.abs());
        self.weak += usize::from(distance.abs() <= self.tolerance);
    }

    /// Walks over every entry, group and budget. `O(n (n + m))`.
    pub fn of(scaled: &Scaled, point: &Point, tolerance: f64) -> Self {
        let mut margins = Self::new(tolerance);
        let program = &scaled.program;
        for b in 0..point.lambda.len() {
            margins.note(point.lambda[b].max(-point.overspend[b]));
        }
        if scaled.entropic() && program.norm != Norm::Infinity {
            return margins; // every entry is live and smooth
        }
        // Thresholds of the costs as given, so that one subtraction an entry does.
        let levels = &point.nu * scaled.scale + &scaled.row_shift;
        for (group, columns) in program.groups.iter().enumerate() {
            let tau = scaled.threshold(group, &point.lambda);
            margins.of_group(scaled, levels.as_slice(), columns, tau);
        }
        if !scaled.entropic() {
            for j in program.incoming()..program.costs.ncols() {
                margins.of_column(scaled, levels.as_slice(), j, 0.0);
            }
        }
        margins
    }

    /// Every `v - tau` of one column.
    fn of_column(&mut self, scaled: &Scaled, levels: &[f64], column: usize, tau: f64) {
        let n = levels.len();
        let costs = &scaled.program.costs.as_slice()[column * n..(column + 1) * n];
        let (offset, tolerance) = (tau * scaled.scale, self.tolerance * scaled.scale);
        let (mut least, mut weak) = ([f64::INFINITY; 4], [0u32; 4]);
        for (levels, costs) in levels.chunks(4).zip(costs.chunks(4)) {
            let lanes = least.iter_mut().zip(&mut weak).zip(levels.iter().zip(costs));
            for ((least, weak), (level, cost)) in lanes {
                let distance = (level - cost - offset).abs();
                *least = if distance < *least { distance } else { *least };
                *weak += u32::from(distance <= tolerance);
            }
        }
        let least = least.into_iter().fold(f64::INFINITY, f64::min);
        self.smallest = self.smallest.min(least / scaled.scale);
        self.weak += weak.into_iter().map(|weak| weak as usize).sum::<usize>();
    }

    fn of_group(&mut self, scaled: &Scaled, levels: &[f64], columns: &[usize], tau: f64) {
        let norm = scaled.program.norm;
        if norm == Norm::One {
            return columns.iter().for_each(|&j| self.of_column(scaled, levels, j, tau));
        }
        let lowest = if scaled.entropic() { f64::NEG_INFINITY } else { 0.0 };
        let costs = columns.iter().flat_map(|&j| scaled.program.costs.column(j).into_iter());
        let values =
            levels.iter().cycle().zip(costs).map(|(level, cost)| (level - cost) / scaled.scale);
        let entries: Vec<Entry> =
            values.filter(|v| *v > lowest).map(|v| Entry::new(0, 0, v)).collect();
        let positive = entries.iter().map(|e| e.value);
        if !scaled.entropic() {
            // The dual norm against tau decides whether the group is live at all.
            let dual = match norm {
                Norm::Two => positive.map(|v| v * v).sum::<f64>().sqrt(),
                _ => positive.sum(),
            };
            self.note(dual - tau);
            if dual <= tau {
                return;
            }
            columns.iter().for_each(|&j| self.of_column(scaled, levels, j, 0.0));
        }
        if norm == Norm::Infinity && tau > 0.0 {
            let level = prox::level(&entries, tau, lowest);
            entries.iter().for_each(|e| self.note(e.value - level));
        } else if norm == Norm::Infinity {
            // Without a threshold the weight is the largest entry: a tie for it is a kink.
            let mut values: Vec<f64> = entries.iter().map(|e| e.value).collect();
            values.sort_unstable_by(|a, b| b.total_cmp(a));
            values.windows(2).take(1).for_each(|two| self.note(two[0] - two[1]));
        }
    }
}
