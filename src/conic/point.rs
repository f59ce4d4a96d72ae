//! A candidate `(x, w)`, how well it meets the optimality conditions, and Newton's method on them.

use super::away::below_the_gap;
use super::program::{Data, Form};
use super::projection::{Face, Small, face, project};
use super::scaling::largest;
use super::system::{Step, System};

/// Multipliers and slacks below this, relative to the largest, are zero for all that is known of them.
const WEAK: f64 = 1e-7;
/// Values of no size are compared with this, or with this share of the largest entry of `P` and `A` where all are small: one
/// that is huge is no allowance for other rows.
const FLOOR: f64 = 1e-6;
/// Slopes farther apart than this are not of one size.
const FAR_APART: f64 = 1e8;
/// A Newton step must reduce the residual this much within [`PATIENCE`] steps to go on.
const PATIENCE: usize = 3;
/// Residuals at the level of rounding: nothing more to be had.
const ROUNDING: f64 = 3e-15;

/// `x` and `w = z - s`, with what follows from them.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) x: Vec<f64>,
    pub(super) w: Vec<f64>,
    /// `Pi(w)`.
    pub(super) z: Vec<f64>,
    /// `Pi(w) - w`.
    pub(super) s: Vec<f64>,
    /// `P x + q + A'z`, and at most relative to what it is made of: see [`steepness`].
    stationarity: Vec<f64>,
    pub(super) dual_residual: f64,
    /// `A x + s - b`, and at most relative to what it is made of: see [`shortfall`].
    feasibility: Vec<f64>,
    pub(super) primal_residual: f64,
    /// What multipliers could be for the slopes of the objective, and slacks for the right-hand side.
    sizes: (f64, f64),
}

impl Point {
    pub(super) fn new(form: &Form, data: &Data, x: Vec<f64>, w: Vec<f64>) -> Self {
        let mut z = vec![0.0; w.len()];
        for (cone, rows) in &form.parts {
            project(*cone, &w[rows.clone()], &mut z[rows.clone()]);
        }
        let s: Vec<f64> = z.iter().zip(&w).map(|(z, w)| z - w).collect();
        let (n, m) = (x.len(), w.len());
        let (mut px, mut az, mut ax) = (vec![0.0; n], vec![0.0; n], vec![0.0; m]);
        form.full.add_symmetric(&data.p, &x, &mut px);
        form.constraints.add_transposed(&data.a, &z, &mut az);
        form.constraints.add_product(&data.a, &x, &mut ax);
        let stationarity: Vec<f64> = (0..n).map(|j| px[j] + data.q[j] + az[j]).collect();
        let feasibility: Vec<f64> = (0..m).map(|i| ax[i] + s[i] - data.b[i]).collect();
        let floor = FLOOR * largest(&data.p).max(largest(&data.a)).min(1.0);
        let mut terms: Vec<f64> = data.q.iter().map(|q| q.abs()).collect();
        form.full.add_symmetric_sizes(&data.p, &x, &mut terms);
        form.constraints.add_transposed_sizes(&data.a, &z, &mut terms);
        let dual_residual = steepness(&stationarity, &terms, &data.q, floor);
        let mut terms = vec![0.0; m];
        form.constraints.add_sizes(&data.a, &x, &mut terms);
        let primal_residual = shortfall(form, &feasibility, [&terms, &s, &data.b], floor);
        let slopes = largest(&px).max(largest(&data.q)) / largest(&data.a).max(f64::MIN_POSITIVE);
        let sizes = (slopes.min(f64::MAX), largest(&ax).max(largest(&data.b)));
        Self { x, w, z, s, stationarity, dual_residual, feasibility, primal_residual, sizes }
    }

    /// The larger of both relative residuals; infinite if one is no number.
    pub(super) fn residual(&self) -> f64 {
        let larger = self.dual_residual.max(self.primal_residual);
        let is_number = self.dual_residual.is_finite() && self.primal_residual.is_finite();
        if is_number { larger } else { f64::INFINITY }
    }

    /// The face of every cone, and how many conditions hold by next to nothing.
    pub(super) fn faces(&self, form: &Form) -> (Vec<Face>, usize) {
        let (slopes, slacks) = self.sizes;
        let small = Small {
            multiplier: WEAK * largest(&self.z).max(slopes),
            slack: WEAK * largest(&self.s).max(slacks),
        };
        let mut weak = 0;
        let mut of = |(cone, rows): &(_, std::ops::Range<usize>)| {
            let (face, found) = face(*cone, &self.w[rows.clone()], small);
            weak += found;
            face
        };
        let faces = form.parts.iter().map(&mut of).collect();
        (faces, weak)
    }

    /// One semismooth Newton step: `A dx + D dw - dw = -F_2` gives `dw` from `dx` and `D dw`. A step that is long beside
    /// the point goes where the program says nothing; then the damped one is taken.
    fn newton(&self, form: &Form, data: &Data, system: &System, reach: f64) -> Option<Self> {
        let minus = |values: &[f64]| values.iter().map(|value| -value).collect::<Vec<_>>();
        let right = (minus(&self.stationarity), minus(&self.feasibility));
        let near = |step: &Step| {
            // "Not small enough" also catches what is no number.
            let within = |by: &[f64], of: &[f64]| {
                largest_or_nan(by) <= reach * largest(of).max(f64::MIN_POSITIVE)
            };
            within(&step.variables, &self.x) && within(&step.rows, &self.w)
        };
        let exact = system.solve(&right.0, &right.1);
        let step = match near(&exact) {
            true => exact,
            false => Some(system.solve_damped(&right.0, &right.1)).filter(near)?,
        };
        let x = self.x.iter().zip(&step.variables).map(|(x, dx)| x + dx).collect();
        let mut w: Vec<f64> = self.w.clone();
        for (i, w) in w.iter_mut().enumerate() {
            *w += step.rows[i] + self.feasibility[i];
        }
        form.constraints.add_product(&data.a, &step.variables, &mut w);
        Some(Self::new(form, data, x, w))
    }
}

/// The largest slope that is left, relative to the largest of its variable's terms; at least to the largest of any and to
/// `floor`, but for variables that are moved by less than slopes that are out of all proportion: those count by the usual one.
fn steepness(residuals: &[f64], terms: &[f64], slopes: &[f64], floor: f64) -> f64 {
    let usual = below_the_gap(slopes.iter().map(|slope| slope.abs()), FAR_APART);
    let least = usual.unwrap_or_else(|| largest(terms).max(floor)).max(f64::MIN_POSITIVE);
    let relative = |(residual, term): (&f64, &f64)| residual.abs() / term.max(least);
    let all: Vec<f64> = residuals.iter().zip(terms).map(relative).collect();
    largest_or_nan(&all)
}

/// The largest residual of a row relative to the largest of its terms, or of those of its cone where rows of one hang
/// together; at least to the largest term of any `A x`, where the row has some itself, or to `floor`. A slack or right-hand
/// side that is huge in a row by itself is no allowance for the others.
fn shortfall(form: &Form, residuals: &[f64], terms: [&[f64]; 3], floor: f64) -> f64 {
    let mut most = 0.0f64;
    let any = largest(terms[0]);
    for (cone, rows) in &form.parts {
        let size = |rows: std::ops::Range<usize>| {
            let own = terms.map(|term| largest(&term[rows.clone()]));
            let least = if own[0] > 0.0 { any.max(floor) } else { floor };
            own.into_iter().fold(least, f64::max)
        };
        let mut of = |rows: std::ops::Range<usize>| {
            let residual = largest_or_nan(&residuals[rows.clone()]);
            if residual != 0.0 {
                let relative = residual / size(rows).max(f64::MIN_POSITIVE);
                most = if relative.is_nan() { f64::NAN } else { relative.max(most) };
            }
        };
        match cone.is_separable() {
            true => rows.clone().for_each(|row| of(row..row + 1)),
            false => of(rows.clone()),
        }
        if most.is_nan() {
            break;
        }
    }
    most
}

fn largest_or_nan(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) { f64::NAN } else { largest(values) }
}

/// What Newton's method made of a point.
pub(super) struct Polished {
    pub(super) point: Point,
    pub(super) steps: usize,
}

/// Newton's method on the optimality conditions, down to rounding; the best point met.
///
/// Next to a regular solution it converges in one to three steps. Elsewhere it may not; then the point stays.
///
/// `reach` bounds a step relative to the point: a solver's answer is to be improved, not left for another one far out
/// on an unbounded set of equally good ones.
pub(super) fn polish(form: &Form, data: &Data, start: Point, most: usize, reach: f64) -> Polished {
    let (mut best, mut current) = (start.clone(), start);
    let (mut steps, mut failures) = (0, 0);
    let mut last: Option<System> = None;
    while steps < most && failures < PATIENCE && best.residual() > ROUNDING {
        let faces = current.faces(form).0;
        // As long as the active set stays, and nothing is curved, so does the matrix.
        let kept = last.take().filter(|system| system.faces() == faces);
        let system = kept.unwrap_or_else(|| form.layout().factor(&data.p, &data.a, faces));
        steps += 1;
        let Some(next) = current.newton(form, data, &system, reach) else { break };
        last = Some(system);
        current = next;
        if !current.residual().is_finite() {
            break;
        }
        if current.residual() < 0.5 * best.residual() {
            failures = 0;
        } else {
            failures += 1;
        }
        if current.residual() < best.residual() {
            best = current.clone();
        }
        if failures > 0 && best.residual() < 1e-13 {
            break;
        }
    }
    Polished { point: best, steps }
}
