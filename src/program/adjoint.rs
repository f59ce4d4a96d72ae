//! The adjoint of a smoothed program: one solve with the matrix of the forward Newton step.
//!
//! Differentiating `z_g = prox(nu - D, tau_g)`, `Z 1 = r` and (tight) `G s = h` gives, with the blocks
//! `J_g = diag(d) + rho u u'`, `k_g`, `corner_g` of every group, for the upstream gradients `Zbar`, `sbar`
//!
//! ```text
//! a_g = J_g Zbar_g - k_g sbar_g        b_g = k_g'Zbar_g - corner_g sbar_g
//! M y = [ sum_g a_g ; sum_g G_g b_g ]
//! dL/dD_g = -(1/eps) [ a_g - J_g y_nu - k_g (G'y_lambda)_g ]
//! dL/dc_g =  (1/eps) [ b_g - k_g'y_nu - corner_g (G'y_lambda)_g ]
//! dL/dr = y_nu        dL/dh = -y_lambda        dL/deps = sum dL/dD * phi'(Z)
//! ```
//!
//! (the last since `eps phi'(Z)` stands beside `D` in the stationarity of every live entry).

use nalgebra::DVector;

use super::Diagnostics;
use super::dual::Point;
use super::gradients::{Gradients, Upstream};
use super::prox::{Block, Entry};
use super::scaled::{Scaled, zeros};
use super::system::System;
use crate::error::{Error, Result};

pub(super) fn pullback(
    mut diagnostics: Diagnostics,
    scaled: &Scaled,
    point: &Point,
    last: &System,
    upstream: Upstream,
) -> Result<Gradients> {
    let program = &scaled.program;
    let n = program.incoming();
    let tight: Vec<bool> = point.lambda.iter().map(|&l| l > 0.0).collect();
    let s_bar = |group: usize| upstream.weights.map_or(0.0, |g| g[group]);

    let mut right = vec![0.0; n + tight.len()];
    let bars: Vec<f64> = match upstream.assignment {
        Some(bar) => point.entries.iter().map(|e| bar[(e.row(), e.column())]).collect(),
        None => vec![0.0; point.entries.len()],
    };
    let mut pulled = bars; // Zbar, then a, an entry each
    let mut paid = vec![0.0; point.live.len()]; // b, a live group each
    for (live, paid) in point.live.iter().zip(&mut paid) {
        let entries = &point.entries[live.range.clone()];
        let bar = s_bar(live.group);
        *paid =
            apply(&live.block, entries, &mut pulled[live.range.clone()]) - live.block.corner * bar;
        for (slot, e) in pulled[live.range.clone()].iter_mut().zip(entries) {
            *slot += live.block.border * e.u * bar;
        }
        for b in (0..tight.len()).filter(|&b| tight[b]) {
            right[n + b] += program.coefficients[(b, live.group)] * *paid;
        }
    }
    let free = point.free_entries();
    for (slot, e) in pulled[free.clone()].iter_mut().zip(&point.entries[free.clone()]) {
        *slot *= e.diagonal;
    }
    for (a, e) in pulled.iter().zip(&point.entries) {
        right[e.row()] += a;
    }

    let solved = last.solve_exactly(program, point, &tight, &right);
    if !solved.residual.is_finite() {
        let (method, residual) = ("adjoint", solved.residual);
        return Err(Error::NotConverged { method, iterations: 0, residual, tolerance: 1.0 });
    }
    let (y, y_prices) = solved.y.split_at(n);

    // From here on in the program's own units: 1/eps turns dv into dz.
    let eps = program.regulariser.eps();
    let mut costs = zeros(n, program.costs.ncols());
    let mut column_costs = DVector::zeros(program.group_count());
    let mut along = Vec::new();
    for (live, paid) in point.live.iter().zip(&paid) {
        let entries = &point.entries[live.range.clone()];
        let coefficients = program.coefficients.column(live.group);
        let price: f64 = coefficients.iter().zip(y_prices).map(|(a, y)| a * y).sum();
        along.clear();
        along.extend(entries.iter().map(|e| y[e.row()]));
        let ky = apply(&live.block, entries, &mut along);
        let lift = live.block.border * price;
        for ((e, a), jy) in entries.iter().zip(&pulled[live.range.clone()]).zip(&along) {
            costs[(e.row(), e.column())] = -(a - jy + lift * e.u) / eps;
        }
        column_costs[live.group] = (paid - ky - live.block.corner * price) / eps;
    }
    for (e, a) in point.entries[free.clone()].iter().zip(&pulled[free]) {
        costs[(e.row(), e.column())] = -(a - e.diagonal * y[e.row()]) / eps;
    }
    // An entry that has underflowed does not move: its slope is infinite, and times zero is nothing.
    let moving = point.entries.iter().filter(|e| e.value > 0.0);
    let slope = |e: &Entry| costs[(e.row(), e.column())] * program.regulariser.slope(e.value);
    let eps = moving.map(slope).sum();
    diagnostics.backward_residual = solved.residual;
    diagnostics.conditioning = solved.conditioning;
    Ok(Gradients {
        eps,
        costs,
        column_costs,
        row_masses: DVector::from_column_slice(y),
        budgets: -DVector::from_column_slice(y_prices),
        diagnostics,
    })
}

/// Replaces `x` by `J x` (an entry each) and returns `k'x` for one group.
fn apply(block: &Block, entries: &[Entry], x: &mut [f64]) -> f64 {
    let along: f64 = entries.iter().zip(&*x).map(|(e, x)| e.u * x).sum();
    for (e, x) in entries.iter().zip(x) {
        *x = e.diagonal * *x + block.rho * along * e.u;
    }
    -block.border * along
}
