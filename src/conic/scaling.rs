//! The program in units in which numbers are near one: rows and columns of `P` and `A`, and `q` and `b`.
//!
//! All of the work is done in them. An interior point wants it; and `w = z - s` has digits for both only if multipliers and
//! slacks are of one size. Every factor is a power of two, so that going there and back changes no digit.

use super::program::{Data, Form};

/// Rounds of scaling by the roots of the largest entries, at most.
const ROUNDS: usize = 10;
/// A row or column is not scaled beyond this, or its inverse.
const LIMIT: f64 = 16_384.0;

/// `x = beta D x~`, `s = beta E^-1 s~`, `z = E z~ / c`: diagonal `D`, `E`, alike within a cone that is not a product.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    columns: Vec<f64>,
    rows: Vec<f64>,
    /// `c`.
    objective: f64,
    /// `beta`.
    right: f64,
    /// The program in these units.
    pub(super) data: Data,
}

impl Scaling {
    pub(super) fn new(form: &Form, mut data: Data) -> Self {
        let (mut columns, mut rows) = (vec![1.0; form.variables()], vec![1.0; form.rows()]);
        for _ in 0..ROUNDS {
            let (by_column, by_row) = balance(form, &data, &columns, &rows);
            if by_column.iter().chain(&by_row).all(|&by| by == 1.0) {
                break;
            }
            scale(form, &mut data, &by_column, &by_row);
            columns.iter_mut().zip(&by_column).for_each(|(scale, by)| *scale *= by);
            rows.iter_mut().zip(&by_row).for_each(|(scale, by)| *scale *= by);
        }
        let (curvature, slopes) = (largest(&data.p), largest(&data.q));
        let right = match largest(&data.b) {
            b if b > 0.0 => power_of_two(b),
            _ if slopes > 0.0 && curvature > 0.0 => power_of_two(slopes / curvature),
            _ => 1.0,
        };
        let size = slopes.max(right * curvature);
        let objective = if size > 0.0 { 1.0 / power_of_two(size) } else { 1.0 };
        data.p.iter_mut().for_each(|p| *p *= objective * right);
        data.q.iter_mut().for_each(|q| *q *= objective);
        data.b.iter_mut().for_each(|b| *b /= right);
        Self { columns, rows, objective, right, data }
    }

    /// The program as it was given.
    pub(super) fn original(&self, form: &Form) -> Data {
        let mut data = self.data.clone();
        data.p.iter_mut().for_each(|p| *p /= self.objective * self.right);
        data.q.iter_mut().for_each(|q| *q /= self.objective);
        data.b.iter_mut().for_each(|b| *b *= self.right);
        let inverse = |values: &[f64]| values.iter().map(|value| 1.0 / value).collect::<Vec<_>>();
        scale(form, &mut data, &inverse(&self.columns), &inverse(&self.rows));
        data
    }

    /// `beta D`, one a variable: `x` in its own units for `x~`, and the gradient in `x~` for that in `x`.
    pub(super) fn of_variables(&self) -> impl Iterator<Item = f64> + '_ {
        self.columns.iter().map(|by| by * self.right)
    }

    /// `beta E^-1`, one a row: the same for slacks.
    pub(super) fn of_slacks(&self) -> impl Iterator<Item = f64> + '_ {
        self.rows.iter().map(|by| self.right / by)
    }

    /// `E / c`, one a row: the same for multipliers.
    pub(super) fn of_multipliers(&self) -> impl Iterator<Item = f64> + '_ {
        self.rows.iter().map(|by| by / self.objective)
    }

    /// What an objective in these units is in its own.
    pub(super) fn of_objective(&self) -> f64 {
        self.right / self.objective
    }

    /// What an entry of `P` in these units was multiplied by, and so is the gradient in it divided.
    pub(super) fn of_quadratic(&self, i: usize, j: usize) -> f64 {
        self.objective * self.right * self.columns[i] * self.columns[j]
    }

    /// The same for `q`.
    pub(super) fn of_linear(&self, j: usize) -> f64 {
        self.objective * self.columns[j]
    }

    /// The same for `A`.
    pub(super) fn of_constraint(&self, i: usize, j: usize) -> f64 {
        self.rows[i] * self.columns[j]
    }

    /// The same for `b`.
    pub(super) fn of_right(&self, i: usize) -> f64 {
        self.rows[i] / self.right
    }
}

fn scale(form: &Form, data: &mut Data, by_column: &[f64], by_row: &[f64]) {
    for ((i, j), p) in form.full.places().zip(&mut data.p) {
        *p *= by_column[i] * by_column[j];
    }
    for ((i, j), a) in form.constraints.places().zip(&mut data.a) {
        *a *= by_row[i] * by_column[j];
    }
    data.q.iter_mut().zip(by_column).for_each(|(q, by)| *q *= by);
    data.b.iter_mut().zip(by_row).for_each(|(b, by)| *b *= by);
}

/// One over the roots of the largest entries, within the limits in all.
fn balance(form: &Form, data: &Data, columns: &[f64], rows: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut of_columns, mut of_rows) = (vec![0.0_f64; columns.len()], vec![0.0_f64; rows.len()]);
    for ((i, j), p) in form.full.places().zip(&data.p) {
        of_columns[i] = of_columns[i].max(p.abs());
        of_columns[j] = of_columns[j].max(p.abs());
    }
    for ((i, j), a) in form.constraints.places().zip(&data.a) {
        of_rows[i] = of_rows[i].max(a.abs());
        of_columns[j] = of_columns[j].max(a.abs());
    }
    for (_, part) in form.parts.iter().filter(|(cone, _)| !cone.is_separable()) {
        let shared = largest(&of_rows[part.clone()]);
        of_rows[part.clone()].fill(shared);
    }
    let by = |largest: &[f64], before: &[f64]| {
        let by = |(&l, &was): (&f64, &f64)| match l > 0.0 {
            true => (was / power_of_two(l.sqrt())).clamp(1.0 / LIMIT, LIMIT) / was,
            false => 1.0,
        };
        largest.iter().zip(before).map(by).collect()
    };
    (by(&of_columns, columns), by(&of_rows, rows))
}

/// The nearest power of two.
fn power_of_two(value: f64) -> f64 {
    value.log2().round().exp2()
}

pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}
