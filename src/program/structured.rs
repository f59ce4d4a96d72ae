//! Semismooth Newton on the dual, with a homotopy in `eps`.
//!
//! ```text
//! start      nu meeting every row mass with all columns free, lambda = 0
//! stages     eps_k from order one down to eps, tenfold a stage, loose but for the last
//! step       M delta = eps (d_nu, d_lambda) over rows and tight budgets, lambda kept >= 0
//! accept     sufficient increase of d, or a clearly smaller residual (near the end d is rounding)
//! ```
//!
//! Reference for the method: L. Qi, J. Sun, *A nonsmooth version of Newton's method*, Mathematical
//! Programming 58, 1993.

use nalgebra::{DMatrix, DVector};

use super::dual::{Factor, Point, Scaled, unconstrained_rows};
use super::{Method, Selection, SelectionProgram, SolveOptions};
use crate::error::{Error, Result};

/// Where the homotopy starts, relative to costs of mean one.
const FIRST_EPS: f64 = 1.0;
/// By how much a stage shrinks eps.
const SHRINK: f64 = 0.1;
/// Tolerance of all stages but the last.
const STAGE_TOLERANCE: f64 = 1e-2;
/// Armijo's constant.
const SUFFICIENT: f64 = 1e-4;
/// Changes of d below this (relative) are lost in its rounding.
const VISIBLE: f64 = 1e-12;
/// A budget multiplier below this (costs have mean one) is zero: rounding must not keep a slack budget.
const NEGLIGIBLE: f64 = 1e-13;
/// Relative to the mean diagonal: keeps a rank-deficient `M` solvable, invisible next to rounding.
const DAMPING: f64 = 1e-13;
/// Further damping in proportion to the residual: far from the solution `M` may be nearly singular.
const CAUTION: f64 = 1e-8;

pub(super) fn solve(program: &SelectionProgram, options: &SolveOptions) -> Result<Selection> {
    let scaled = Scaled::new(program);
    let mut iterations = 0;
    let mut eps = scaled.eps.max(FIRST_EPS);
    let nu = unconstrained_rows(&scaled, eps);
    let mut point = Point::at(&scaled, eps, nu, DVector::zeros(program.limits.len()));
    loop {
        let last = eps == scaled.eps;
        let tolerance = if last {
            options.tolerance.max(rounding_floor(&scaled, &point))
        } else {
            STAGE_TOLERANCE
        };
        let limit = options.max_iterations;
        let residual = newton(&scaled, eps, &mut point, tolerance, limit, &mut iterations);
        if last {
            let small_enough = residual <= tolerance;
            if !small_enough {
                let method = Method::Structured.name();
                return Err(Error::NotConverged { method, iterations, residual, tolerance });
            }
            return Selection::from_dual(program, &scaled, point, Method::Structured, iterations);
        }
        eps = (eps * SHRINK).max(scaled.eps);
        point = Point::at(&scaled, eps, point.nu, point.lambda);
    }
}

/// The residual that rounding alone leaves: `nu - D` is exact to the last digit of `nu`, and the
/// assignment divides it by `eps`.
pub(super) fn rounding_floor(scaled: &Scaled, point: &Point) -> f64 {
    let program = scaled.program;
    let size = program.row_masses.amax().min(program.limits.min());
    4.0 * f64::EPSILON * point.nu.amax().max(1.0) / (scaled.eps * size)
}

/// Newton steps from `point` until the residual is at most `tolerance`, the limit is reached or no
/// step helps; returns the residual reached.
pub(super) fn newton(
    scaled: &Scaled,
    eps: f64,
    point: &mut Point,
    tolerance: f64,
    limit: usize,
    iterations: &mut usize,
) -> f64 {
    let mut residual = point.residual(scaled.program);
    let mut extra = 0.0f64;
    while residual > tolerance && *iterations < limit {
        *iterations += 1;
        let damping = extra.max(DAMPING + CAUTION * residual.min(1.0));
        match step(scaled, eps, point, residual, damping) {
            Some(next) => {
                residual = next.residual(scaled.program);
                *point = next;
                extra *= 1e-2;
            }
            None if extra < 1e2 => extra = (extra * 1e4).max(1e-6),
            None => break,
        }
    }
    residual
}

/// One damped Newton step with backtracking; `None` if no step length improves the point.
fn step(scaled: &Scaled, eps: f64, point: &Point, residual: f64, damping: f64) -> Option<Point> {
    let n = scaled.program.incoming();
    let budgets = point.lambda.len();
    let gradient = DVector::from_fn(n + budgets, |i, _| match i.checked_sub(n) {
        None => point.row_gap[i],
        Some(b) => point.overspend[b],
    });
    let direction = direction(scaled.program, eps, point, &gradient, damping)?;
    let promised = gradient.dot(&direction);
    let mut length = 1.0;
    for _ in 0..40 {
        let nu = &point.nu + length * direction.rows(0, n);
        let lambda = (&point.lambda + length * direction.rows(n, budgets))
            .map(|l| if l > NEGLIGIBLE { l } else { 0.0 });
        let next = Point::at(scaled, eps, nu, lambda);
        // Where the promise drowns in the rounding of d, the residual decides instead.
        let better = if promised * length > VISIBLE * (point.value.abs() + 1.0) {
            next.value >= point.value + SUFFICIENT * length * promised
        } else {
            next.residual(scaled.program) < residual
        };
        if better {
            return Some(next);
        }
        length *= 0.5;
    }
    None
}

/// The Newton direction within `lambda + direction >= 0`: the maximiser of the quadratic model over
/// that set, by an active-set method over the (few) budgets. As the maximiser it improves on standing
/// still, so it ascends, and the whole segment is admissible.
fn direction(
    program: &SelectionProgram,
    eps: f64,
    point: &Point,
    gradient: &DVector<f64>,
    damping: f64,
) -> Option<DVector<f64>> {
    let n = program.incoming();
    let budgets = point.lambda.len();
    let tight: Vec<bool> = (0..budgets).map(|b| point.is_tight(b)).collect();
    let mut matrix = point.newton_matrix(program, &tight);
    // A row without a live entry has no curvature: let it move by a bounded amount.
    for i in 0..n {
        if matrix[(i, i)] < 1e-8 {
            matrix[(i, i)] += 1e-2;
        }
    }
    matrix.fill_upper_triangle_with_lower_triangle();
    let mut right = gradient * eps;
    (0..budgets).filter(|&b| !tight[b]).for_each(|b| right[n + b] = 0.0);
    let mut held = vec![false; budgets];
    // Each round holds or releases at least one budget; a cycle can only come from rounding.
    for _ in 0..=2 * budgets {
        let direction = if held.contains(&true) {
            let (mut matrix, mut right) = (matrix.clone(), right.clone());
            for b in (0..budgets).filter(|&b| held[b]) {
                hold(&mut matrix, &mut right, n + b, -point.lambda[b]);
            }
            Factor::new(matrix, damping)?.solve(&right)
        } else {
            Factor::new(matrix.clone(), damping)?.solve(&right)
        };
        let below = |&b: &usize| tight[b] && !held[b] && point.lambda[b] + direction[n + b] < 0.0;
        let leaving: Vec<usize> = (0..budgets).filter(below).collect();
        if !leaving.is_empty() {
            leaving.into_iter().for_each(|b| held[b] = true);
            continue;
        }
        let slope = |b: usize| right[n + b] - matrix.row(n + b).tr_dot(&direction);
        let back = (0..budgets).filter(|&b| held[b]).max_by(|&a, &b| slope(a).total_cmp(&slope(b)));
        match back {
            Some(b) if slope(b) > 1e-12 * (1.0 + right.amax()) => held[b] = false,
            _ => return Some(direction),
        }
    }
    None
}

/// Fixes one unknown of `matrix x = right` at `value`.
fn hold(matrix: &mut DMatrix<f64>, right: &mut DVector<f64>, index: usize, value: f64) {
    right.axpy(-value, &matrix.column(index), 1.0);
    matrix.row_mut(index).fill(0.0);
    matrix.column_mut(index).fill(0.0);
    matrix[(index, index)] = 1.0;
    right[index] = value;
}
