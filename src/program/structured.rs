//! Semismooth Newton on the dual, with a homotopy in `eps`.
//!
//! ```text
//! start      given multipliers, or nu meeting every row mass with all columns free and lambda = 0
//! stages     eps_k from FIRST_EPS down to eps, tenfold a stage, loose but for the last
//! step       M delta = eps (d_nu, d_lambda) over rows and tight budgets, lambda kept >= 0
//! accept     sufficient increase of d, or a clearly smaller residual (near the end d is rounding)
//! ```
//!
//! Reference for the method: L. Qi, J. Sun, *A nonsmooth version of Newton's method*, Mathematical
//! Programming 58, 1993.

use nalgebra::DVector;

use super::candidates::Candidates;
use super::cholesky;
use super::dual::{Point, Scaled, unconstrained_rows};
use super::system::{DAMPING, System};
use super::{Method, Multipliers, Selection, SelectionProgram, SolveOptions};
use crate::error::{Error, Result};

/// Where the homotopy starts (costs have mean one), unless eps is larger.
const FIRST_EPS: f64 = 0.1;
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
/// Further damping in proportion to the residual: far from the solution `M` may be nearly singular.
const CAUTION: f64 = 1e-8;
/// Newton steps granted to a warm start; it takes two or three where it is any good.
const WARM_STEPS: usize = 25;

pub(super) fn solve(
    program: &SelectionProgram,
    start: Option<&Multipliers>,
    options: &SolveOptions,
) -> Result<Selection> {
    let scaled = Scaled::new(program);
    let eps = scaled.eps;
    if let Some(start) = start {
        let (nu, lambda) = scaled.scale_down(start);
        let mut newton = Newton::new(&scaled, nu, lambda, eps);
        let limit = options.max_iterations.min(WARM_STEPS);
        let (residual, tolerance) = newton.finish(options.tolerance, limit);
        if residual <= tolerance {
            let (point, system, steps) = newton.into_parts();
            return Selection::from_dual(scaled, point, system, Method::Structured, steps);
        }
    }
    let mut newton = Newton::cold(&scaled, eps.max(FIRST_EPS));
    while newton.eps > eps {
        newton.run(STAGE_TOLERANCE, options.max_iterations);
        newton.set_eps((newton.eps * SHRINK).max(eps));
    }
    let (residual, tolerance) = newton.finish(options.tolerance, options.max_iterations);
    let (point, system, iterations) = newton.into_parts();
    let small_enough = residual <= tolerance;
    if !small_enough {
        let method = Method::Structured.name();
        return Err(Error::NotConverged { method, iterations, residual, tolerance });
    }
    Selection::from_dual(scaled, point, system, Method::Structured, iterations)
}

/// The iteration: its state and the space it works in.
pub(super) struct Newton<'a> {
    scaled: &'a Scaled,
    eps: f64,
    candidates: Candidates,
    point: Point,
    trial: Point,
    system: System,
    tight: Vec<bool>,
    direction: Vec<f64>,
    scratch: Vec<f64>,
    budgets: BudgetStep,
    iterations: usize,
}

impl<'a> Newton<'a> {
    /// From given multipliers.
    pub fn new(scaled: &'a Scaled, nu: DVector<f64>, lambda: DVector<f64>, eps: f64) -> Self {
        let candidates =
            if scaled.entropic() { Candidates::all(scaled) } else { Candidates::default() };
        Self::start(scaled, candidates, nu, lambda, eps)
    }

    /// From the multipliers of the program whose columns are all free.
    fn cold(scaled: &'a Scaled, eps: f64) -> Self {
        let mut candidates =
            if scaled.entropic() { Candidates::all(scaled) } else { Candidates::default() };
        let nu = unconstrained_rows(scaled, &mut candidates, eps);
        let lambda = DVector::zeros(scaled.program.limits.len());
        Self::start(scaled, candidates, nu, lambda, eps)
    }

    fn start(
        scaled: &'a Scaled,
        candidates: Candidates,
        nu: DVector<f64>,
        lambda: DVector<f64>,
        eps: f64,
    ) -> Self {
        let point = Point::new(nu, lambda);
        let mut newton = Self {
            scaled,
            eps,
            candidates,
            trial: point.clone(),
            point,
            system: System::default(),
            tight: Vec::new(),
            direction: Vec::new(),
            scratch: Vec::new(),
            budgets: BudgetStep::default(),
            iterations: 0,
        };
        newton.evaluate_trial();
        std::mem::swap(&mut newton.point, &mut newton.trial);
        newton
    }

    fn set_eps(&mut self, eps: f64) {
        self.eps = eps;
        self.point.evaluate(self.scaled, &self.candidates, eps);
    }

    /// The point reached, the last factored system, and how many steps were made.
    pub fn into_parts(self) -> (Point, System, usize) {
        (self.point, self.system, self.iterations)
    }

    /// Runs to the tolerance wanted or to what rounding leaves; returns residual and tolerance.
    pub fn finish(&mut self, tolerance: f64, limit: usize) -> (f64, f64) {
        let wanted = tolerance.max(self.rounding_floor());
        let residual = self.run(wanted, limit);
        (residual, tolerance.max(self.rounding_floor()))
    }

    /// The residual that rounding alone leaves: `nu - D` is exact to the last digit of `nu`, and the
    /// assignment divides it by `eps`.
    fn rounding_floor(&self) -> f64 {
        let program = &self.scaled.program;
        let size = program.row_masses.amax().min(program.limits.min());
        4.0 * f64::EPSILON * self.point.nu.amax().max(1.0) / (self.scaled.eps * size)
    }

    /// Newton steps until the residual is at most `tolerance`, the limit is reached or no step helps;
    /// returns the residual reached.
    fn run(&mut self, tolerance: f64, limit: usize) -> f64 {
        let program = &self.scaled.program;
        let mut residual = self.point.residual(program);
        let mut extra = 0.0f64;
        while residual > tolerance && self.iterations < limit {
            self.iterations += 1;
            let damping = extra.max(DAMPING + CAUTION * residual.min(1.0));
            if self.step(residual, damping) {
                residual = self.point.residual(program);
                extra *= 1e-2;
            } else if extra < 1e2 {
                extra = (extra * 1e4).max(1e-6);
            } else {
                break;
            }
        }
        residual
    }

    /// One damped Newton step with backtracking; `false` if no step length improves the point.
    fn step(&mut self, residual: f64, damping: f64) -> bool {
        if !self.find_direction(damping) {
            return false;
        }
        let n = self.scaled.program.incoming();
        let (rows, prices) = self.direction.split_at(n);
        let ascent = |gap: &DVector<f64>, along: &[f64]| {
            gap.iter().zip(along).map(|(g, d)| g * d).sum::<f64>()
        };
        let promised =
            ascent(&self.point.row_gap, rows) + ascent(&self.point.overspend, prices);
        let mut length = 1.0;
        for _ in 0..40 {
            self.move_trial(length);
            self.evaluate_trial();
            // Where the promise drowns in the rounding of d, the residual decides instead.
            let better = if promised * length > VISIBLE * (self.point.value.abs() + 1.0) {
                self.trial.value >= self.point.value + SUFFICIENT * length * promised
            } else {
                self.trial.residual(&self.scaled.program) < residual
            };
            if better {
                std::mem::swap(&mut self.point, &mut self.trial);
                return true;
            }
            length *= 0.5;
        }
        false
    }

    fn move_trial(&mut self, length: f64) {
        let (rows, prices) = self.direction.split_at(self.point.nu.len());
        for ((next, now), d) in self.trial.nu.iter_mut().zip(&self.point.nu).zip(rows) {
            *next = now + length * d;
        }
        for ((next, now), d) in self.trial.lambda.iter_mut().zip(&self.point.lambda).zip(prices) {
            let moved = now + length * d;
            *next = if moved > NEGLIGIBLE { moved } else { 0.0 };
        }
    }

    /// Evaluates the trial point, after a new scan where it has left the reach of the last one: the
    /// further it came, the more slack.
    fn evaluate_trial(&mut self) {
        let nu = self.trial.nu.as_slice();
        if !self.candidates.cover(nu) {
            let slack = 0.5 * self.candidates.distance(nu);
            self.candidates.scan(self.scaled, nu, slack);
        }
        self.trial.evaluate(self.scaled, &self.candidates, self.eps);
    }

    /// The Newton direction within `lambda + direction >= 0`: the maximiser of the quadratic model over
    /// that set. As the maximiser it improves on standing still, so it ascends, and the whole segment is
    /// admissible.
    fn find_direction(&mut self, damping: f64) -> bool {
        let point = &self.point;
        let budgets = point.lambda.len();
        self.tight.clear();
        self.tight.extend((0..budgets).map(|b| point.is_tight(b)));
        if !self.system.factor(&self.scaled.program, point, &self.tight, damping) {
            return false;
        }
        self.direction.clear();
        self.direction.extend(point.row_gap.iter().map(|gap| self.eps * gap));
        self.direction.extend(point.overspend.iter().map(|over| self.eps * over));
        self.system.eliminate_rows(&mut self.direction, &mut self.scratch);
        let prices = &mut self.direction[point.nu.len()..];
        let lambda = point.lambda.as_slice();
        if !self.budgets.solve(&self.system.schur, prices, lambda, &self.tight) {
            return false;
        }
        self.system.substitute_budgets(&mut self.direction);
        true
    }
}

/// Minimises `x'Sx / 2 - t'x` over `x >= -lambda`, by an active-set method over the (few) budgets.
#[derive(Default)]
struct BudgetStep {
    held: Vec<bool>,
    matrix: Vec<f64>,
    x: Vec<f64>,
}

impl BudgetStep {
    /// `t` goes in, the minimiser comes out; `false` if rounding makes the method cycle.
    fn solve(&mut self, schur: &[f64], t: &mut [f64], lambda: &[f64], tight: &[bool]) -> bool {
        let count = t.len();
        if count == 1 {
            t[0] = if tight[0] { (t[0] / schur[0]).max(-lambda[0]) } else { 0.0 };
            return true;
        }
        self.held.clear();
        self.held.resize(count, false);
        let size = 1.0 + t.iter().fold(0.0f64, |a, b| a.max(b.abs()));
        // Each round holds or releases at least one budget; a cycle can only come from rounding.
        for _ in 0..=2 * count {
            if !self.minimise_over_free(schur, t, lambda) {
                return false;
            }
            let mut fell = false;
            for b in (0..count).filter(|&b| tight[b]) {
                if !self.held[b] && lambda[b] + self.x[b] < 0.0 {
                    (self.held[b], fell) = (true, true);
                }
            }
            if fell {
                continue;
            }
            let slope = |b: usize| {
                t[b] - (0..count).map(|k| schur[k * count + b] * self.x[k]).sum::<f64>()
            };
            let worst = (0..count)
                .filter(|&b| self.held[b])
                .max_by(|&a, &b| slope(a).total_cmp(&slope(b)));
            match worst {
                Some(b) if slope(b) > 1e-12 * size => self.held[b] = false,
                _ => {
                    t.copy_from_slice(&self.x);
                    return true;
                }
            }
        }
        false
    }

    /// The minimiser with every held budget at its bound.
    fn minimise_over_free(&mut self, schur: &[f64], t: &[f64], lambda: &[f64]) -> bool {
        let count = t.len();
        self.matrix.clear();
        self.matrix.extend_from_slice(schur);
        self.x.clear();
        self.x.extend_from_slice(t);
        for b in (0..count).filter(|&b| self.held[b]) {
            for k in 0..count {
                self.x[k] += lambda[b] * schur[b * count + k];
            }
        }
        for b in (0..count).filter(|&b| self.held[b]) {
            for k in 0..count {
                self.matrix[b * count + k] = 0.0;
                self.matrix[k * count + b] = 0.0;
            }
            self.matrix[b * count + b] = 1.0;
            self.x[b] = -lambda[b];
        }
        let positive = cholesky::factor(&mut self.matrix, count);
        if positive {
            cholesky::solve(&self.matrix, count, &mut self.x);
        }
        positive
    }
}
