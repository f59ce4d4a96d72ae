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

use nalgebra::{DMatrix, DVector};

use super::dual::{Factor, Point, symmetric_product};
use super::prox::{Block, Entry};
use super::selection::{Gradients, Selection, Upstream};
use crate::error::{Error, Result};

/// Rounds of iterative refinement: each gains the digits that the damping cost.
const REFINEMENTS: usize = 3;
/// Relative damping of `M`, which is singular where rows hang together by caps alone.
const DAMPING: f64 = 1e-12;

pub(super) fn pullback(
    selection: &Selection,
    point: &Point,
    upstream: Upstream,
) -> Result<Gradients> {
    let program = selection.program();
    let n = program.incoming();
    let tight: Vec<bool> = point.lambda.iter().map(|&l| l > 0.0).collect();

    // Every entry as one of `blocks`; remembered entries are a block of their own without a norm.
    let held = point.live.last().map_or(0, |live| live.range.end);
    let z_bar = |e: &Entry| upstream.assignment.map_or(0.0, |g| g[(e.row, e.column)]);
    let s_bar = |group: usize| upstream.weights.map_or(0.0, |g| g[group]);

    let mut right = DVector::zeros(n + tight.len());
    let mut pulled = vec![0.0; point.entries.len()]; // a, an entry each
    let mut paid = DVector::zeros(program.group_count()); // b, a group each
    for live in &point.live {
        let entries = &point.entries[live.range.clone()];
        let bar = s_bar(live.group);
        let (a, k) = apply(&live.block, entries, z_bar);
        for ((slot, a), e) in pulled[live.range.clone()].iter_mut().zip(a).zip(entries) {
            *slot = a - e.border * bar;
        }
        paid[live.group] = k - live.block.corner * bar;
        for b in (0..tight.len()).filter(|&b| tight[b]) {
            right[n + b] += program.coefficients[(b, live.group)] * paid[live.group];
        }
    }
    for (slot, e) in pulled[held..].iter_mut().zip(&point.entries[held..]) {
        *slot = e.diagonal * z_bar(e);
    }
    for (a, e) in pulled.iter().zip(&point.entries) {
        right[e.row] += a;
    }

    let (y, backward_residual, conditioning) =
        solve(&point.newton_matrix(program, &tight), &right)?;
    let y_row = |e: &Entry| y[e.row];
    let y_tau = program.coefficients.tr_mul(&y.rows(n, tight.len()));

    // From here on in the program's own units: 1/eps turns dv into dz.
    let eps = program.regulariser.eps();
    let mut costs = DMatrix::zeros(n, program.costs.ncols());
    let mut column_costs = DVector::zeros(program.group_count());
    for live in &point.live {
        let entries = &point.entries[live.range.clone()];
        let (jy, ky) = apply(&live.block, entries, y_row);
        for ((e, a), jy) in entries.iter().zip(&pulled[live.range.clone()]).zip(jy) {
            costs[(e.row, e.column)] = -(a - jy - e.border * y_tau[live.group]) / eps;
        }
        column_costs[live.group] =
            (paid[live.group] - ky - live.block.corner * y_tau[live.group]) / eps;
    }
    for (e, a) in point.entries[held..].iter().zip(&pulled[held..]) {
        costs[(e.row, e.column)] = -(a - e.diagonal * y[e.row]) / eps;
    }
    let slope = |e: &Entry| costs[(e.row, e.column)] * program.regulariser.slope(e.value);
    let eps = point.entries.iter().map(slope).sum();
    let mut diagnostics = selection.diagnostics();
    diagnostics.backward_residual = backward_residual;
    diagnostics.conditioning = conditioning;
    Ok(Gradients {
        eps,
        costs,
        column_costs,
        row_masses: y.rows(0, n).into_owned(),
        budgets: -y.rows(n, tight.len()),
        diagnostics,
    })
}

/// `J x` (an entry each) and `k'x` for one group, `x` given by entry.
fn apply(block: &Block, entries: &[Entry], x: impl Fn(&Entry) -> f64) -> (Vec<f64>, f64) {
    let (mut along, mut k) = (0.0, 0.0);
    for e in entries {
        along += e.u * x(e);
        k += e.border * x(e);
    }
    let j = entries.iter().map(|e| e.diagonal * x(e) + block.rho * e.u * along).collect();
    (j, k)
}

/// Solves `M y = right` with refinement; returns `y`, the relative residual and the ratio of pivots.
fn solve(matrix: &DMatrix<f64>, right: &DVector<f64>) -> Result<(DVector<f64>, f64, f64)> {
    let size = right.norm();
    if size == 0.0 {
        return Ok((DVector::zeros(right.len()), 0.0, 1.0));
    }
    let not_solved = |residual| Error::NotConverged {
        method: "adjoint",
        iterations: 0,
        residual,
        tolerance: 1.0,
    };
    let factor = Factor::new(matrix.clone(), DAMPING).ok_or(not_solved(f64::INFINITY))?;
    let mut y = factor.solve(right);
    let mut rest = right - symmetric_product(matrix, &y);
    for _ in 0..REFINEMENTS {
        let better = &y + factor.solve(&rest);
        let left = right - symmetric_product(matrix, &better);
        if left.norm() >= rest.norm() {
            break;
        }
        (y, rest) = (better, left);
    }
    let residual = rest.norm() / size;
    if residual.is_finite() {
        Ok((y, residual, factor.conditioning()))
    } else {
        Err(not_solved(residual))
    }
}
