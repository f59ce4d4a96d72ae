//! Semismooth Newton on the dual, with a homotopy in `eps`.
//!
//! ```text
//! start      given multipliers, or a guess at the budget's and nu meeting every row mass at that price
//! stages     eps_k from FIRST_EPS down to eps, tenfold a stage, loose but for the last
//! step       (M + damping) delta = eps (d_nu, d_lambda) over rows and tight budgets, lambda kept >= 0
//! accept     sufficient increase of d, or a smaller residual (near the end d is rounding)
//! damping    more after short steps, less after full ones
//! ```
//!
//! Entries that can be live are listed in [`candidates`](super::candidates); [`system`](super::system)
//! solves for the step.
//!
//! Reference for the method: L. Qi, J. Sun, *A nonsmooth version of Newton's method*, Mathematical
//! Programming 58, 1993.

use nalgebra::DVector;

use super::candidates::Candidates;
use super::direct::DAMPING;
use super::dual::{Point, Scaled, first_guess};
use super::system::System;
use super::{Method, Multipliers, Selection, SelectionProgram, SolveOptions};
use crate::error::{Error, Result};

/// Where the homotopy starts (costs have mean one), unless eps is larger.
const FIRST_EPS: f64 = 0.05;
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
const ROUGH: f64 = 1e-8;
/// The first bound on the change of a row multiplier in a step (in units of eps where that is larger than
/// the mean cost).
const RADIUS: f64 = 0.25;
/// Slack of a new scan, in terms of how far the point came since the last: early on, scans are cheaper than
/// long lists; near the solution one list serves to the end.
const SLACK: f64 = 0.1;
/// Sweeps of row scaling when the homotopy moves on.
const SWEEPS: usize = 20;
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
            let warm =
                Selection::from_dual(scaled.clone(), point, system, Method::Structured, steps);
            if warm.is_ok() {
                return warm;
            }
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
    iterations: usize,
    /// Bound on the change of a row multiplier in a step; grows where it binds and the step succeeds.
    radius: f64,
    /// Damping that short steps have called for.
    caution: f64,
}

impl<'a> Newton<'a> {
    /// From given multipliers.
    pub fn new(scaled: &'a Scaled, nu: DVector<f64>, lambda: DVector<f64>, eps: f64) -> Self {
        let candidates =
            if scaled.entropic() { Candidates::all(scaled) } else { Candidates::default() };
        Self::start(scaled, candidates, nu, lambda, eps)
    }

    /// From nothing.
    fn cold(scaled: &'a Scaled, eps: f64) -> Self {
        let mut candidates =
            if scaled.entropic() { Candidates::all(scaled) } else { Candidates::default() };
        let (nu, lambda) = first_guess(scaled, &mut candidates, eps);
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
            iterations: 0,
            radius: RADIUS * eps.max(1.0),
            caution: 0.0,
        };
        newton.evaluate_trial();
        std::mem::swap(&mut newton.point, &mut newton.trial);
        newton
    }

    fn set_eps(&mut self, eps: f64) {
        self.eps = eps;
        // The last scan may have been for a trial point that was turned down.
        if !self.candidates.cover(self.point.nu.as_slice()) {
            self.candidates.scan(self.scaled, self.point.nu.as_slice(), 0.0);
        }
        self.point.evaluate(self.scaled, &self.candidates, eps);
        if self.scaled.entropic() {
            self.scale_rows();
        }
    }

    /// Brings entropic rows near their masses, as Sinkhorn's iteration does: a smaller eps leaves them off by
    /// orders of magnitude, where a quadratic model of an exponential is worth nothing.
    fn scale_rows(&mut self) {
        /// Largest factor of a sweep, as a logarithm; also what a row that has underflowed gets.
        const LARGEST: f64 = 30.0;
        for _ in 0..SWEEPS {
            let mut worst = 0.0f64;
            for (i, mass) in self.scaled.program.row_masses.iter().enumerate() {
                let held = mass - self.point.row_gap[i];
                let factor = if held > 0.0 { (mass / held).ln() } else { LARGEST };
                let factor = factor.clamp(-LARGEST, LARGEST);
                worst = worst.max(factor.abs());
                self.point.nu[i] += self.eps * factor;
            }
            self.point.evaluate(self.scaled, &self.candidates, self.eps);
            if worst < 0.5 {
                break;
            }
        }
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
        8.0 * f64::EPSILON * self.point.nu.amax().max(1.0) / (self.scaled.eps * size)
    }

    /// Newton steps until the residual is at most `tolerance`, the limit is reached or no step helps;
    /// returns the residual reached.
    fn run(&mut self, tolerance: f64, limit: usize) -> f64 {
        let program = &self.scaled.program;
        let mut residual = self.point.residual(program);
        while residual > tolerance && self.iterations < limit {
            self.iterations += 1;
            let damping = self.caution.max(DAMPING + ROUGH * residual.min(1.0));
            match self.step(residual, damping) {
                Some(length) => {
                    residual = self.point.residual(program);
                    self.adapt(length);
                }
                None if self.caution < 1e2 => self.caution = (self.caution * 1e2).max(1e-6),
                None => break,
            }
        }
        residual
    }

    /// As a trust region does: short steps say that the quadratic model does not reach far, and call for
    /// more damping; full ones for less.
    fn adapt(&mut self, length: f64) {
        if length < 0.3 {
            self.caution = (self.caution * 10.0).clamp(1e-4, 1.0);
        } else if length > 0.9 {
            self.caution = if self.caution > 1e-7 { self.caution * 0.2 } else { 0.0 };
        }
    }

    /// One damped Newton step with backtracking; returns its length, `None` if none improves the point.
    fn step(&mut self, residual: f64, damping: f64) -> Option<f64> {
        if !self.find_direction(residual, damping) {
            return None;
        }
        let n = self.scaled.program.incoming();
        let (rows, prices) = self.direction.split_at(n);
        let promised = self.point.ascent(rows, prices);
        // Where `M` is nearly singular the direction is long without meaning: the radius bounds it.
        let longest = rows.iter().fold(0.0f64, |longest, d| longest.max(d.abs()));
        let full = if longest > self.radius { self.radius / longest } else { 1.0 };
        let mut length = full;
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
                if length == full && full < 1.0 {
                    self.radius *= 4.0;
                }
                return Some(length);
            }
            // Towards the maximum along the direction, where the secant of the slopes sees it.
            let (rows, prices) = self.direction.split_at(n);
            let drop = promised - self.trial.ascent(rows, prices);
            length *= if drop > 0.0 { (promised / drop).clamp(0.1, 0.5) } else { 0.5 };
        }
        None
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
            let slack = SLACK * self.candidates.distance(nu);
            self.candidates.scan(self.scaled, nu, slack);
        }
        self.trial.evaluate(self.scaled, &self.candidates, self.eps);
    }

    /// The Newton direction within `lambda + direction >= 0`: the maximiser of the quadratic model over
    /// that set. As the maximiser it improves on standing still, so it ascends, and the whole segment is
    /// admissible.
    fn find_direction(&mut self, residual: f64, damping: f64) -> bool {
        let point = &self.point;
        let budgets = point.lambda.len();
        self.tight.clear();
        self.tight.extend((0..budgets).map(|b| point.is_tight(b)));
        self.direction.clear();
        self.direction.extend(point.row_gap.iter().map(|gap| self.eps * gap));
        let overspend = point.overspend.iter().zip(&self.tight);
        self.direction
            .extend(overspend.map(|(over, tight)| if *tight { self.eps * over } else { 0.0 }));
        // The closer, the more accurate: keeps the convergence fast without exactness from the start.
        let accuracy = (0.1 * residual).clamp(1e-11, 1e-3);
        let program = &self.scaled.program;
        self.system.step(program, point, &self.tight, (damping, accuracy), &mut self.direction)
    }
}
