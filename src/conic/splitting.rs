//! Operator splitting: slow to the last digit, but content with projections. For semidefinite cones, and for what an
//! interior point gives up on.
//!
//! ```text
//! solve     | P + sigma I   A'    | (x~)   (sigma x - q)
//!           | A          -1 / rho | (nu) = (b - s - z / rho),    s~ = s + (z - nu) / rho
//! project   v = s~ - z / rho  (s~ and x~ over-relaxed),   p = Pi(-v),   s = v + p,   z = rho p
//! ```
//!
//! `Pi` is the projection on the dual cone, so `s` and `z` are in their cones and complementary all the time. What it
//! finds is a start for Newton's method, tried each time the residuals have fallen tenfold.
//!
//! Reference: M. Garstka, M. Cannon, P. Goulart, *COSMO: A conic operator splitting method for convex conic problems*,
//! Journal of Optimization Theory and Applications 190, 2021; the rule for `rho` is that of B. Stellato et al., *OSQP*,
//! Mathematical Programming Computation 12, 2020.
//!
//! # Differences from the papers
//! The Newton finish.

use super::cone::Cone;
use super::ldl::Factor;
use super::program::{Data, Form};
use super::projection::project;
use super::scaling::largest;

const SIGMA: f64 = 1e-6;
const RELAXATION: f64 = 1.6;
/// Equalities are held so much tighter.
const EQUALITIES: f64 = 1e3;
/// Iterations between looks at the residuals.
const LOOK: usize = 25;
/// In units near one.
const FIRST_RHO: f64 = 1.0;
/// The ratio of residuals at which `rho` is changed, and its limits.
const UNBALANCED: f64 = 5.0;
const RHO: (f64, f64) = (1e-6, 1e6);
/// The first residual at which Newton's method is worth a try, and how much smaller it is at the next.
const FIRST: f64 = 1e-2;
const NEXT: f64 = 0.1;
/// Looks without that after which it is tried all the same.
const ANYHOW: usize = 40;
/// Residuals below this are not going to fall further.
const LEAST: f64 = 1e-13;

/// Values smaller than this, in units near one, are none.
const FLOOR: f64 = 1e-6;

/// What the caller is to make of the iterates.
pub(super) enum Look {
    /// A point.
    Point { x: Vec<f64>, s: Vec<f64>, z: Vec<f64> },
    /// What multipliers and variables change by: a certificate, if the program has no solution.
    Change { x: Vec<f64>, z: Vec<f64> },
}

/// The iteration.
struct Splitting<'a> {
    form: &'a Form,
    data: &'a Data,
    rho: f64,
    factor: Factor,
    x: Vec<f64>,
    s: Vec<f64>,
    z: Vec<f64>,
}

/// Iterates until `look` says that it has seen enough, or `most` times; the number of iterations.
pub(super) fn run(
    form: &Form,
    data: &Data,
    most: usize,
    mut look: impl FnMut(Look) -> bool,
) -> usize {
    let mut splitting = Splitting::new(form, data);
    let (mut next, mut waited) = (FIRST, 0);
    for iteration in 1..=most {
        let before =
            iteration.is_multiple_of(LOOK).then(|| (splitting.x.clone(), splitting.z.clone()));
        splitting.step();
        let Some((x, z)) = before else { continue };
        let (primal, dual) = splitting.residuals();
        let residual = primal.max(dual);
        waited += 1;
        if residual <= next || waited >= ANYHOW {
            (next, waited) = (next.min(residual) * NEXT, 0);
            if look(splitting.point()) {
                return iteration;
            }
        }
        if residual <= LEAST || look(splitting.change(&x, &z)) {
            return iteration;
        }
        splitting.balance(primal, dual);
    }
    most
}

impl<'a> Splitting<'a> {
    fn new(form: &'a Form, data: &'a Data) -> Self {
        let rho = FIRST_RHO;
        let factor = factor(form, data, rho);
        let (n, m) = (form.variables(), form.rows());
        Self { form, data, rho, factor, x: vec![0.0; n], s: vec![0.0; m], z: vec![0.0; m] }
    }

    fn step(&mut self) {
        let (n, data) = (self.x.len(), self.data);
        let rho = rhos(self.form, self.rho);
        let mut right: Vec<f64> = self.x.iter().zip(&data.q).map(|(x, q)| SIGMA * x - q).collect();
        right.extend((0..rho.len()).map(|i| data.b[i] - self.s[i] - self.z[i] / rho[i]));
        self.factor.solve(&mut right);
        let relax = |new: f64, old: f64| RELAXATION * new + (1.0 - RELAXATION) * old;
        for (x, &new) in self.x.iter_mut().zip(&right) {
            *x = relax(new, *x);
        }
        let v: Vec<f64> = (0..rho.len())
            .map(|i| {
                let tilde = self.s[i] + (self.z[i] - right[n + i]) / rho[i];
                relax(tilde, self.s[i]) - self.z[i] / rho[i]
            })
            .collect();
        let minus: Vec<f64> = v.iter().map(|v| -v).collect();
        for (cone, rows) in &self.form.parts {
            project(*cone, &minus[rows.clone()], &mut self.z[rows.clone()]);
        }
        for (i, v) in v.iter().enumerate() {
            self.s[i] = v + self.z[i];
            self.z[i] *= rho[i];
        }
    }

    /// Of feasibility and of stationarity, relative to their largest terms.
    fn residuals(&self) -> (f64, f64) {
        let (form, data) = (self.form, self.data);
        let (mut px, mut az) = (vec![0.0; self.x.len()], vec![0.0; self.x.len()]);
        let mut ax = vec![0.0; self.s.len()];
        form.full.add_symmetric(&data.p, &self.x, &mut px);
        form.constraints.add_transposed(&data.a, &self.z, &mut az);
        form.constraints.add_product(&data.a, &self.x, &mut ax);
        let off = |terms: [&[f64]; 2], last: &[f64], sign: f64| {
            let sums = (0..last.len()).map(|i| terms[0][i] + terms[1][i] + sign * last[i]);
            let size = terms.iter().map(|t| largest(t)).fold(largest(last), f64::max);
            sums.fold(0.0, |off: f64, sum| off.max(sum.abs())) / size.max(FLOOR)
        };
        (off([&ax, &self.s], &data.b, -1.0), off([&px, &az], &data.q, 1.0))
    }

    fn balance(&mut self, primal: f64, dual: f64) {
        let ratio = (primal.max(LEAST) / dual.max(LEAST)).sqrt();
        if (1.0 / UNBALANCED..=UNBALANCED).contains(&ratio) {
            return;
        }
        self.rho = (self.rho * ratio).clamp(RHO.0, RHO.1);
        self.factor = factor(self.form, self.data, self.rho);
    }

    fn point(&self) -> Look {
        Look::Point { x: self.x.clone(), s: self.s.clone(), z: self.z.clone() }
    }

    fn change(&self, x: &[f64], z: &[f64]) -> Look {
        let minus = |now: &[f64], before: &[f64]| {
            now.iter().zip(before).map(|(now, before)| now - before).collect::<Vec<f64>>()
        };
        Look::Change { x: minus(&self.x, x), z: minus(&self.z, z) }
    }
}

/// `rho` of every row.
fn rhos(form: &Form, rho: f64) -> Vec<f64> {
    let mut rows = vec![rho; form.rows()];
    for (_, part) in form.parts.iter().filter(|(cone, _)| matches!(cone, Cone::Zero(_))) {
        rows[part.clone()].fill((rho * EQUALITIES).min(RHO.1));
    }
    rows
}

fn factor(form: &Form, data: &Data, rho: f64) -> Factor {
    let inverse: Vec<f64> = rhos(form, rho).iter().map(|rho| 1.0 / rho).collect();
    form.plain_layout().factor_shifted(&data.p, &data.a, SIGMA, &inverse)
}
