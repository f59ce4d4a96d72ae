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

use nalgebra::DVector;

use super::candidates::{Candidate, Candidates};
use super::certificate::Bound;
use super::conjugate::dot;
use super::prox::{self, Block, Entry};
use super::scaled::Scaled;
use super::{Multipliers, SelectionProgram};

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

    /// The multipliers in the program's own units.
    pub fn multipliers(&self, scaled: &Scaled) -> Multipliers {
        Multipliers {
            rows: &self.nu * scaled.scale + &scaled.row_shift,
            budgets: &self.lambda * scaled.scale,
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
