//! The adjoint of the optimality conditions.
//!
//! Reference: A. Agrawal, S. Barratt, S. Boyd, E. Busseti, W. M. Moursi, *Differentiating through a Cone Program*, 2019,
//! arXiv 1904.09043: differentiating the residual map through the projection.
//!
//! # Differences from the paper
//! A quadratic objective; no homogeneous embedding; a direct solve of the reduced symmetric system in place of least
//! squares.

use super::point::Point;
use super::program::{ConicProgram, Data};
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
    data: &Data,
    point: &Point,
    (mut g_x, g_s, g_z): (Vec<f64>, Vec<f64>, Vec<f64>),
) -> Gradients {
    let form = &*program.form;
    // s = b - A x.
    let minus: Vec<f64> = g_s.iter().map(|g| -g).collect();
    form.constraints.add_transposed(&data.a, &minus, &mut g_x);
    let step = at.system.solve(&g_x, &g_z);
    let diagnostics = Diagnostics {
        backward_residual: step.residual,
        undetermined: step.unreached,
        ..at.diagnostics()
    };
    let v: Vec<f64> = step.rows.iter().zip(&g_s).map(|(u, g)| u + g).collect();
    let l = step.variables;
    let places = form.quadratic.places();
    let quadratic = places.map(|(i, j)| match i == j {
        true => -l[i] * point.x[i],
        false => -(l[i] * point.x[j] + l[j] * point.x[i]),
    });
    let quadratic = quadratic.map(finite).collect();
    let places = form.constraints.places();
    let constraints = places.map(|(i, j)| finite(-(point.z[i] * l[j] + v[i] * point.x[j])));
    Gradients {
        quadratic,
        constraints: constraints.collect(),
        linear: l.iter().map(|l| finite(-l)).collect(),
        right: v.iter().copied().map(finite).collect(),
        diagnostics,
    }
}

/// The nearest number that is one; only an overflow needs it.
pub(super) fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}
