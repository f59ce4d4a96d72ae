//! The linear program for p = 1 by one sort: no smoothing, no budget but one with the same coefficient for all.
//!
//! With p = 1 a row's mass is spent on its cheapest incoming column, at `a` units of budget each, or on its
//! cheapest remembered one, which is free. A row gains `remembered - incoming` for each unit of mass; the
//! budget goes to the rows that gain most, the last of them possibly in part.

use nalgebra::DVector;

use super::certificate::at;
use super::scaled::Scaled;
use super::{Method, Norm, Selection, SelectionProgram};
use crate::error::Result;

/// Whether [`solve`] applies.
pub(super) fn applies(program: &SelectionProgram) -> bool {
    let mut live = live(program).map(|budget| program.coefficients.row(budget));
    let even = live.next().is_none_or(|row| row.iter().all(|a| *a > 0.0 && *a == row[0]));
    program.norm == Norm::One && even && live.next().is_none()
}

/// The budgets that anything is spent of.
fn live(program: &SelectionProgram) -> impl Iterator<Item = usize> {
    (0..program.limits.len()).filter(|budget| program.coefficients.row(*budget).amax() > 0.0)
}

/// The cheapest column of a row in a set.
#[derive(Clone, Copy)]
struct Cheapest {
    column: usize,
    cost: f64,
}

const NONE: Cheapest = Cheapest { column: usize::MAX, cost: f64::INFINITY };

/// `O(n (n + m) + n log n)`. Ties go to the smaller column and the smaller row.
pub(super) fn solve(program: &SelectionProgram) -> Result<Selection> {
    let scaled = Scaled::new(program);
    let n = program.incoming();
    let mut incoming = vec![NONE; n];
    for (group, columns) in program.groups.iter().enumerate() {
        let price = scaled.column_costs[group];
        columns.iter().for_each(|&j| improve(&mut incoming, &scaled, j, price));
    }
    let mut remembered = vec![NONE; n];
    (n..program.costs.ncols()).for_each(|j| improve(&mut remembered, &scaled, j, 0.0));

    let gain = |i: usize| remembered[i].cost - incoming[i].cost;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| gain(b).total_cmp(&gain(a)));
    let masses = &program.row_masses;
    let budget = live(program).next();
    let price = budget.map_or(1.0, |budget| program.coefficients[(budget, 0)]);
    let mut left = budget.map_or(f64::INFINITY, |budget| program.limits[budget] / price);
    let mut assignment = Vec::new();
    // What one more unit of mass on incoming columns would gain: the budget's multiplier.
    let mut marginal = 0.0f64;
    for &i in &order {
        // Without memory there is nothing else to spend on: that this fits was checked at the door.
        let forced = gain(i) == f64::INFINITY;
        let taken = match gain(i) > 0.0 {
            true if forced => masses[i],
            true => masses[i].min(left),
            false => 0.0,
        };
        if taken > 0.0 {
            assignment.push(at(i, incoming[i].column, taken));
        }
        if taken < masses[i] {
            assignment.push(at(i, remembered[i].column, masses[i] - taken));
            marginal = marginal.max(gain(i));
        }
        left -= taken;
    }
    let nu = DVector::from_fn(n, |i, _| remembered[i].cost.min(incoming[i].cost + marginal));
    let mut lambda = DVector::zeros(program.limits.len());
    budget.into_iter().for_each(|budget| lambda[budget] = marginal / price);
    Selection::from_vertex(scaled, assignment, [(nu, lambda)], Method::Structured, 0)
}

fn improve(cheapest: &mut [Cheapest], scaled: &Scaled, column: usize, price: f64) {
    let costs = scaled.program.costs.column(column);
    for (row, (best, given)) in cheapest.iter_mut().zip(&costs).enumerate() {
        let cost = scaled.cost(row, *given) + price;
        if cost < best.cost {
            *best = Cheapest { column, cost };
        }
    }
}
