//! The derivative by perturbing and solving again: informative where the exact one is zero.
//!
//! A linear program's solution sits at a vertex, and a quadratically smoothed one has plateaus: rows held
//! by a single column. There the exact derivative is zero and says nothing about a cost that is about to
//! matter. Following the Lagrangian proximal gradient method, let the loss pull at the objective with a
//! small weight `delta` and see how the solution gives way:
//!
//! ```text
//! x(delta) = the solution with  delta (<Zbar, Z> + sum_g sbar_g ||Z_g||)  added to the objective
//! dL/dD    = (Z(delta) - Z(-delta)) / (2 delta)       dL/dc = (s(delta) - s(-delta)) / (2 delta)
//! dL/dr    = (nu(delta) - nu(-delta)) / (2 delta)     dL/dh = -(lambda(delta) - lambda(-delta)) / (2 delta)
//! ```
//!
//! Each line is the change of the optimal value's derivative in that parameter; for `delta -> 0` all of them
//! tend to the exact gradient, where there is one. A weight with a positive coefficient enters as a column
//! cost. One with a negative coefficient would make the program concave and enters to first order, by the
//! subgradient of the norm that the optimality conditions single out, `u = (nu - D - eps phi'(Z))_+ / tau`:
//! so even a group that is not selected feels the wish that it were.
//!
//! Reference: A. Paulus, G. Martius, V. Musil, *LPGD: A General Framework for Backpropagation through
//! Embedded Optimization Layers*, ICML 2024, arXiv 2407.05920 (there also one-sided and with an augmented
//! Lagrangian; here two-sided without).

use nalgebra::{DMatrix, DVector};

use super::gradients::{Gradients, Upstream};
use super::scaled::Scaled;
use super::{Diagnostics, Norm, Regulariser, Selection, SelectionProgram, SolveOptions};
use crate::error::Result;

pub(super) fn pullback(
    (selection, diagnostics): (&Selection, Diagnostics),
    scaled: &Scaled,
    upstream: Upstream,
    size: f64,
    options: SolveOptions,
) -> Result<Gradients> {
    let program = &scaled.program;
    let directions = subgradients(selection, upstream);
    let largest = upstream.assignment.map_or(0.0, DMatrix::amax);
    let largest = largest.max(upstream.weights.map_or(0.0, DVector::amax));
    let delta = if largest > 0.0 { size * scaled.scale / largest } else { 1.0 };
    let solve = |delta: f64| -> Result<Selection> {
        let perturbed = pull(program, upstream, &directions, delta)?;
        perturbed.solve_with(Some(selection.multipliers()), options)
    };
    let (up, down) = (solve(delta)?, solve(-delta)?);
    let slope = 0.5 / delta;
    let smooth = |s: &Selection| s.assignment().map(|z| program.regulariser.value(z)).sum();
    Ok(Gradients {
        costs: (up.assignment() - down.assignment()) * slope,
        column_costs: (up.weights() - down.weights()) * slope,
        row_masses: (up.row_multipliers() - down.row_multipliers()) * slope,
        budgets: (down.budget_multipliers() - up.budget_multipliers()) * slope,
        eps: (smooth(&up) - smooth(&down)) * slope,
        diagnostics,
    })
}

/// The program with the loss pulling at it.
fn pull(
    program: &SelectionProgram,
    upstream: Upstream,
    directions: &DMatrix<f64>,
    delta: f64,
) -> Result<SelectionProgram> {
    let mut costs = (*program.costs).clone();
    let mut column_costs = program.column_costs.clone();
    if let Some(bar) = upstream.assignment {
        costs += bar * delta;
    }
    if let Some(bar) = upstream.weights {
        for (group, columns) in program.groups.iter().enumerate() {
            let price = bar[group] * delta;
            column_costs[group] += price.max(0.0);
            for &j in columns.iter().filter(|_| price < 0.0) {
                costs.column_mut(j).axpy(price, &directions.column(j), 1.0);
            }
        }
    }
    program.with_costs(costs, column_costs)
}

/// For every group the subgradient of its norm at the solution, `n x n`.
fn subgradients(selection: &Selection, upstream: Upstream) -> DMatrix<f64> {
    let program = selection.program();
    let n = program.incoming();
    let mut u = DMatrix::zeros(n, n);
    if upstream.weights.is_none() {
        return u;
    }
    let z = selection.assignment();
    let (nu, lambda) = (selection.row_multipliers(), selection.budget_multipliers());
    let eps = program.regulariser.eps();
    let slope = |z: f64| match program.regulariser {
        Regulariser::Entropic(_) if z <= 0.0 => f64::NEG_INFINITY,
        regulariser => regulariser.slope(z),
    };
    for (group, columns) in program.groups.iter().enumerate() {
        let prices = program.coefficients.column(group).dot(lambda);
        let (tau, weight) = (program.column_costs[group] + prices, selection.weights()[group]);
        for &j in columns {
            for i in 0..n {
                u[(i, j)] = match program.norm {
                    Norm::One => 1.0,
                    _ if tau > 0.0 => {
                        let pull = nu[i] - program.costs[(i, j)] - eps * slope(z[(i, j)]);
                        if pull.is_finite() { (pull / tau).max(0.0) } else { 0.0 }
                    }
                    // Without a price the norm is differentiable where it is positive, but for ties.
                    Norm::Two if weight > 0.0 => z[(i, j)] / weight,
                    Norm::Infinity if weight > 0.0 && z[(i, j)] == weight => 1.0,
                    _ => 0.0,
                };
            }
        }
        if program.norm == Norm::Infinity {
            // A distribution over the entries that tie (rounding, or no price at all, may leave more).
            let total: f64 = columns.iter().map(|&j| u.column(j).sum()).sum();
            if total > 1.0 {
                columns.iter().for_each(|&j| u.column_mut(j).unscale_mut(total));
            }
        }
    }
    u
}
