//! The adjoint of the optimality conditions.
//!
//! Reference: A. Agrawal, S. Barratt, S. Boyd, E. Busseti, W. M. Moursi, *Differentiating through a Cone Program*, 2019,
//! arXiv 1904.09043: differentiating the residual map through the projection.
//!
//! # Differences from the paper
//! A quadratic objective; no homogeneous embedding; a direct solve of the reduced symmetric system in place of least
//! squares.

use super::away::Bound;
use super::point::Point;
use super::program::{ConicProgram, Data};
use super::scaling::Scaling;
use super::solution::{Diagnostics, Gradients};
use super::system::System;

/// What every upstream gradient of a solution shares.
#[derive(Clone, Debug)]
pub(super) struct Differentiated {
    system: System,
    weakly_active: usize,
    unique: (bool, bool),
}

impl Differentiated {
    pub(super) fn new(program: &ConicProgram, data: &Data, point: &Point) -> Self {
        let form = &*program.form;
        let (faces, weakly_active) = point.faces(form);
        let system = form.layout().factor(&data.p, &data.a, faces);
        let unique = system.determines();
        Self { system, weakly_active, unique }
    }

    pub(super) fn diagnostics(&self) -> Diagnostics {
        Diagnostics {
            weakly_active: self.weakly_active,
            backward_residual: 0.0,
            undetermined: 0.0,
            primal_unique: self.unique.0,
            dual_unique: self.unique.1,
        }
    }
}

pub(super) fn pullback(
    at: &Differentiated,
    program: &ConicProgram,
    scaling: &Scaling,
    (point, held): (&Point, &[(Bound, f64)]),
    (mut g_x, mut g_s, mut g_z): (Vec<f64>, Vec<f64>, Vec<f64>),
) -> Gradients {
    let form = &*program.form;
    g_x.iter_mut().zip(scaling.of_variables()).for_each(|(g, unit)| *g *= unit);
    g_s.iter_mut().zip(scaling.of_slacks()).for_each(|(g, unit)| *g *= unit);
    g_z.iter_mut().zip(scaling.of_multipliers()).for_each(|(g, unit)| *g *= unit);
    // s = b - A x.
    let minus: Vec<f64> = g_s.iter().map(|g| -g).collect();
    form.constraints.add_transposed(&scaling.data.a, &minus, &mut g_x);
    let step = at.system.solve(&g_x, &g_z);
    let diagnostics = Diagnostics {
        backward_residual: step.residual,
        undetermined: step.unreached,
        ..at.diagnostics()
    };
    let v: Vec<f64> = step.rows.iter().zip(&g_s).map(|(u, g)| u + g).collect();
    let mut l = step.variables;
    let (x, mut z) = (&point.x, point.z.clone());
    if !held.is_empty() {
        let units: Vec<f64> = scaling.of_multipliers().collect();
        for (Bound { row, variable, entry }, by) in held {
            z[*row] += by / units[*row];
            // What the system says of it, without its rounding: that times a huge multiplier would be something.
            l[*variable] = g_z[*row] / scaling.data.a[*entry];
        }
    }
    let quadratic = form.quadratic.places().map(|(i, j)| {
        let both = if i == j { l[i] * x[i] } else { l[i] * x[j] + l[j] * x[i] };
        finite(-both * scaling.of_quadratic(i, j))
    });
    let constraints = form
        .constraints
        .places()
        .map(|(i, j)| finite(-(z[i] * l[j] + v[i] * x[j]) * scaling.of_constraint(i, j)));
    Gradients {
        quadratic: quadratic.collect(),
        constraints: constraints.collect(),
        linear: l.iter().enumerate().map(|(j, l)| finite(-l * scaling.of_linear(j))).collect(),
        right: v.iter().enumerate().map(|(i, v)| finite(v * scaling.of_right(i))).collect(),
        diagnostics,
    }
}

/// The nearest number that is one; only an overflow needs it.
pub(super) fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}
