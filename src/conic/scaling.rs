//! The program in units that a solver likes: rows and columns of `P` and `A` near one, and so are `b` and `q`.

use super::program::{Data, Form};

/// Rounds of scaling by the roots of the largest entries.
const ROUNDS: usize = 10;
/// A row or column is not scaled beyond this, or its inverse.
const LIMIT: f64 = 1e4;

/// `x = beta D x~`, `s = beta E^-1 s~`, `z = E z~ / c`: diagonal `D`, `E`, alike within a cone that is not a product.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    pub(super) columns: Vec<f64>,
    pub(super) rows: Vec<f64>,
    pub(super) objective: f64,
    pub(super) right: f64,
    pub(super) data: Data,
}

impl Scaling {
    pub(super) fn new(form: &Form, data: &Data) -> Self {
        let mut scaled = data.clone();
        let (mut columns, mut rows) = (vec![1.0_f64; form.variables()], vec![1.0_f64; form.rows()]);
        for _ in 0..ROUNDS {
            let (by_column, by_row) = balance(form, &scaled, &columns, &rows);
            for ((i, j), p) in form.full.places().zip(&mut scaled.p) {
                *p *= by_column[i] * by_column[j];
            }
            for ((i, j), a) in form.constraints.places().zip(&mut scaled.a) {
                *a *= by_row[i] * by_column[j];
            }
            columns.iter_mut().zip(&by_column).for_each(|(scale, by)| *scale *= by);
            rows.iter_mut().zip(&by_row).for_each(|(scale, by)| *scale *= by);
        }
        scaled.q.iter_mut().zip(&columns).for_each(|(q, by)| *q *= by);
        scaled.b.iter_mut().zip(&rows).for_each(|(b, by)| *b *= by);
        let curvature = largest(&scaled.p);
        let right = match (largest(&scaled.b), largest(&scaled.q)) {
            (b, _) if b > 0.0 => b,
            (_, q) if q > 0.0 && curvature > 0.0 => q / curvature,
            _ => 1.0,
        };
        let size = largest(&scaled.q).max(right * curvature);
        let objective = if size > 0.0 { 1.0 / size } else { 1.0 };
        scaled.p.iter_mut().for_each(|p| *p *= objective * right);
        scaled.q.iter_mut().for_each(|q| *q *= objective);
        scaled.b.iter_mut().for_each(|b| *b /= right);
        Self { columns, rows, objective, right, data: scaled }
    }

    pub(super) fn variables(&self, x: &[f64]) -> Vec<f64> {
        x.iter().zip(&self.columns).map(|(x, by)| x * by * self.right).collect()
    }

    pub(super) fn slacks(&self, s: &[f64]) -> Vec<f64> {
        s.iter().zip(&self.rows).map(|(s, by)| s / by * self.right).collect()
    }

    pub(super) fn multipliers(&self, z: &[f64]) -> Vec<f64> {
        z.iter().zip(&self.rows).map(|(z, by)| z * by / self.objective).collect()
    }
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
            true => (was / l.sqrt()).clamp(1.0 / LIMIT, LIMIT) / was,
            false => 1.0,
        };
        largest.iter().zip(before).map(by).collect()
    };
    (by(&of_columns, columns), by(&of_rows, rows))
}

pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}
