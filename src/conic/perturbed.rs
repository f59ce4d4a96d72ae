//! The derivative by perturbing and solving again.
//!
//! The optimality conditions are linear in small changes `u` of `q` and `v` of `b`: the answer to `(u, -v)` is minus the
//! solution of the adjoint system for `(u, v)`. So the exact pullback is a difference quotient along the loss, and the
//! quotient at a finite step sees what the derivative does not: which vertex is next. The gradients in `P` and `A` are the
//! changes of the Lagrangian's, `x x'/2` and `z x'`.

use super::derivative::finite;
use super::scaling::largest;
use super::solution::{ConicSolution, Diagnostics, Gradients};
use super::solve;
use crate::error::Result;

pub(super) fn pullback(
    solution: &ConicSolution,
    (mut g_x, g_s, g_z): (Vec<f64>, Vec<f64>, Vec<f64>),
    size: f64,
) -> Result<Gradients> {
    let form = &*solution.program().form;
    let data = solution.scaling().original(form);
    let minus: Vec<f64> = g_s.iter().map(|g| -g).collect();
    form.constraints.add_transposed(&data.a, &minus, &mut g_x);
    let delta = step(size, [(&data.q, &g_x), (&data.b, &g_z)]);
    let solved = |delta: f64| {
        let mut moved = data.clone();
        moved.q.iter_mut().zip(&g_x).for_each(|(q, g)| *q += delta * g);
        moved.b.iter_mut().zip(&g_z).for_each(|(b, g)| *b -= delta * g);
        solve::solve(solution.program(), moved, Some(solution), solution.options())?.solution()
    };
    let (up, down) = (solved(delta)?, solved(-delta)?);
    let slope = |up: f64, down: f64| finite((up - down) / (2.0 * delta));
    let slopes = |up: &[f64], down: &[f64]| -> Vec<f64> {
        up.iter().zip(down).map(|(up, down)| slope(*up, *down)).collect()
    };
    let (x, z) = (solution.x(), slopes(down.z(), up.z()));
    let quadratic = form.quadratic.places().map(|(i, j)| {
        let product = |s: &ConicSolution| s.x()[i] * s.x()[j] * if i == j { 0.5 } else { 1.0 };
        slope(product(&up), product(&down))
    });
    // Multipliers of slopes that were brought near to solve this are larger than those of what was moved.
    let mut beyond = vec![0.0; g_z.len()];
    solution.held().iter().for_each(|(bound, by)| beyond[bound.row] = *by);
    let constraints = form.constraints.places().map(|(i, j)| {
        let product = |s: &ConicSolution| (s.z()[i] + beyond[i]) * s.x()[j];
        slope(product(&up), product(&down)) - g_s[i] * x[j]
    });
    Ok(Gradients {
        quadratic: quadratic.collect(),
        constraints: constraints.map(finite).collect(),
        linear: slopes(up.x(), down.x()),
        right: z.iter().zip(&g_s).map(|(v, g)| finite(v + g)).collect(),
        diagnostics: Diagnostics { ..solution.diagnostics() },
    })
}

/// The smaller of both steps that move a vector by `size` of its own; one where nothing moves.
fn step(size: f64, parts: [(&[f64], &[f64]); 2]) -> f64 {
    let of = |(values, pull): (&[f64], &[f64])| {
        let (values, pull) = (largest(values), largest(pull));
        let values = if values > 0.0 { values } else { 1.0 };
        if pull > 0.0 { size * values / pull } else { f64::INFINITY }
    };
    let step = parts.into_iter().map(of).fold(f64::INFINITY, f64::min);
    if step.is_finite() { step } else { 1.0 }
}
