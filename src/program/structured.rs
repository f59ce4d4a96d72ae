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
//! Where it creeps, or no unit fits the numbers, an [`interior`](super::interior) point takes over; where rounding ends
//! that too soon, the homotopy starts again in the unit that it came to.
//!
//! Entries that can be live are listed in [`candidates`](super::candidates); [`system`](super::system)
//! solves for the step.
//!
//! Reference for the method: L. Qi, J. Sun, *A nonsmooth version of Newton's method*, Mathematical
//! Programming 58, 1993.

use std::ops::Range;

use nalgebra::DVector;

use super::candidates::Candidates;
use super::direct::DAMPING;
use super::dual::Point;
use super::interior;
use super::least;
use super::proximal;
use super::scaled::Scaled;
use super::start::first_guess;
use super::system::System;
use super::{Method, Multipliers, Norm, Selection, SelectionProgram, SolveOptions};
use crate::error::Result;

/// Where the homotopy starts (costs have mean one), unless eps is larger.
const FIRST_EPS: f64 = 0.05;
/// By how much a stage shrinks eps.
const SHRINK: f64 = 0.1;
/// Tolerance of all stages but the last.
const STAGE_TOLERANCE: f64 = 1e-2;
/// Armijo's constant.
const SUFFICIENT: f64 = 1e-4;
/// How far, relative to its start, the slope of d may have turned at the end of a step.
const TURNED: f64 = 0.5;
/// A slope that has fallen to no less than this share of its start says that the maximum is far ahead.
const UNTURNED: f64 = 0.5;
/// How far a step goes on, in its own lengths.
const FARTHEST: f64 = 1e6;
/// Rows creep where eps times their share of the largest mass is below this, relative to the row multipliers.
const NEARLY_IDLE: f64 = 1e-3;
/// A budget of which less than this share is spent is idle.
const IDLE: f64 = 1e-9;
/// What such a budget's multiplier may leave of it, or exceed it by, for Newton's iteration to see to.
const SPENT: f64 = 0.1;
/// How much more exact than asked for an iteration tries to be.
const MARGIN: f64 = 0.1;
/// Steps without a smaller residual before an iteration counts as stuck.
const PATIENCE: usize = 40;
/// Changes of d below this, relative to the numbers that it is the difference of, are lost in its rounding.
const VISIBLE: f64 = 1e-12;
/// A budget multiplier below this, relative to the rows', is zero: rounding must not keep a slack budget.
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
/// A program of an eps below this, relative to the row multipliers, may be too much for the homotopy.
const NEARLY: f64 = 1e-5;
/// Starts of the homotopy with the usual first eps and smaller ones, and with larger ones, this factor apart.
const STARTS: i32 = 9;
const LARGER_STARTS: i32 = 2;
const RESTART: f64 = 1e-4;
/// Where costs have mean one, no cost is as small.
const VANISHING: f64 = 1e-120;
/// Newton steps of one stage.
const STAGE_STEPS: usize = 60;
/// The smoothing of the proximal point method.
const PROXIMAL: f64 = 1e-4;
/// By how much budgets are tightened where what they are exceeded by is too dear to repair.
const MARGINS: [f64; 2] = [0.0, 1e-8];
/// Newton steps granted to a warm start; it takes two or three where it is any good.
const WARM_STEPS: usize = 25;

pub(super) fn solve(
    program: &SelectionProgram,
    start: Option<&Multipliers>,
    options: &SolveOptions,
) -> Result<Selection> {
    let scaled = Scaled::new(program);
    let eps = scaled.eps;
    if let (Some(start), true) = (start, eps > 0.0) {
        let (nu, lambda) = scaled.scale_down(start);
        let mut newton = Newton::new(&scaled, nu, lambda, eps);
        let there = newton.finish(options.tolerance, options.max_iterations.min(WARM_STEPS));
        if let (true, Ok(warm)) = (there, newton.conclude()) {
            return Ok(warm);
        }
    }
    if let Some(solved) = least::solve(&scaled) {
        return solved;
    }
    let solved = attempt(&scaled, FIRST_EPS.max(eps), 0.0, options);
    solved.or_else(|error| {
        interior::solve(&scaled, options).or_else(|unit| {
            let first = (FIRST_EPS * unit).max(eps);
            let sound = first.is_finite() && first > VANISHING;
            let again = sound.then(|| attempt(&scaled, first, 0.0, options).ok());
            again.flatten().ok_or(error)
        })
    })
}

/// Where [`solve`] failed: no single unit fits costs of all scales. Larger first values of `eps`, for budgets that are
/// small beside the masses, then ever smaller ones; each also with budgets that are a hair tighter: what little an answer
/// exceeds them by may cost more to repair than all of it does. Some of these attempts.
pub(super) fn insist(
    program: &SelectionProgram,
    options: &SolveOptions,
    some: Range<usize>,
) -> Option<Selection> {
    let scaled = Scaled::new(program);
    let eps = scaled.eps;
    let larger = (1..=LARGER_STARTS).map(|start| FIRST_EPS.max(eps) / RESTART.powi(start));
    let smaller = (1..STARTS).map(|start| FIRST_EPS * RESTART.powi(start));
    let starts = larger.chain(smaller.take_while(|first| *first >= eps));
    let attempts = starts.flat_map(|first| MARGINS.map(|margin| (first, margin)));
    let mut attempts = attempts.skip(some.start).take(some.len());
    attempts.find_map(|(first, margin)| attempt(&scaled, first, margin, options).ok())
}

/// The homotopy from a first `eps`, and what follows it, with budgets tightened by the relative `margin`.
fn attempt(scaled: &Scaled, first: f64, margin: f64, options: &SolveOptions) -> Result<Selection> {
    let eps = scaled.eps;
    let limit = options.max_iterations;
    let tightened;
    let tight = if margin > 0.0 {
        tightened = scaled.tightened(margin);
        &tightened
    } else {
        scaled
    };
    let mut newton = Newton::cold(tight, first);
    while newton.eps > eps.max(newton.nearly_zero()).max(VANISHING) {
        newton.run(STAGE_TOLERANCE, limit.min(STAGE_STEPS));
        newton.set_eps((newton.eps * SHRINK).max(eps));
    }
    let (rho, nearly_zero) =
        (newton.eps.max(newton.nearly_zero()), newton.eps < NEARLY * newton.size());
    let mut start = (newton.point.nu.clone(), newton.point.lambda.clone());
    if newton.eps == eps {
        newton.finish(options.tolerance, limit);
        start = (newton.point.nu.clone(), newton.point.lambda.clone());
        let exact = newton.conclude_for(scaled);
        if exact.is_ok() || !nearly_zero {
            return exact;
        }
    }
    // From here on rounding, divided by eps, is too large.
    let (nearly, (nu, lambda)) =
        proximal::solve((scaled, tight), (&start.0, &start.1), rho, options);
    if eps > 0.0 {
        let mut newton = Newton::new(tight, nu, lambda, eps);
        newton.settle();
        newton.finish(options.tolerance, WARM_STEPS);
        let exact = newton.conclude_for(scaled);
        if exact.is_ok() {
            return exact;
        }
    }
    nearly
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
        let shrink = eps / self.eps;
        self.eps = eps;
        // The last scan may have been for a trial point that was turned down.
        if !self.candidates.cover(self.point.nu.as_slice()) {
            self.candidates.scan(self.scaled, self.point.nu.as_slice(), 0.0);
        }
        self.point.evaluate(self.scaled, &self.candidates, eps);
        if self.scaled.entropic() {
            self.shrink(shrink);
        }
        self.settle();
    }

    /// Where no cost is of the smoothing's size the assignment hangs on the multipliers in its units alone, and they
    /// shrink with it: the stage is solved. Left as they are, everything under a price underflows.
    fn shrink(&mut self, share: f64) {
        self.trial.nu.copy_from(&self.point.nu);
        self.trial.lambda.copy_from(&self.point.lambda);
        self.trial.nu *= share;
        self.trial.lambda *= share;
        self.evaluate_trial();
        if self.trial.residual(&self.scaled.program) <= STAGE_TOLERANCE {
            std::mem::swap(&mut self.point, &mut self.trial);
        }
    }

    /// Multipliers of another smoothing, or of none, leave entropic rows off by orders of magnitude.
    pub fn settle(&mut self) {
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

    /// Runs to the tolerance wanted or to what rounding leaves; whether it got there.
    pub fn finish(&mut self, tolerance: f64, limit: usize) -> bool {
        // A margin, since exact rows leave what they were off by to the budgets.
        let residual = self.run((MARGIN * tolerance).max(self.rounding_floor()), limit);
        residual <= tolerance.max(self.rounding_floor())
    }

    /// The solution, at the program's own `eps`, if it passes. The iteration may have stopped short of its tolerance:
    /// a budget that is only just feasible has no finite multiplier.
    pub fn conclude(self) -> Result<Selection> {
        let scaled = self.scaled.clone();
        Selection::from_dual(scaled, self.point, self.system, Method::Structured, self.iterations)
    }

    /// The same for a program that differs in its limits alone.
    fn conclude_for(self, scaled: &Scaled) -> Result<Selection> {
        if std::ptr::eq(self.scaled, scaled) {
            return self.conclude();
        }
        let Point { nu, lambda, .. } = self.point;
        let there = Newton::start(scaled, self.candidates, nu, lambda, self.eps);
        Newton { iterations: self.iterations, ..there }.conclude()
    }

    /// The point reached; adds the steps it took.
    pub fn into_point(self, steps: &mut usize) -> Point {
        *steps += self.iterations;
        self.point
    }

    /// A smoothing that changes answers by about a ten thousandth.
    fn nearly_zero(&self) -> f64 {
        PROXIMAL * self.size() / self.scaled.program.row_masses.amax()
    }

    /// The size of the multipliers, in whose units everything is small or large.
    fn size(&self) -> f64 {
        self.point.nu.amax()
    }

    /// The residual that rounding alone leaves: `nu - D` is exact to the last digit of `nu`, and the
    /// assignment divides it by `eps`.
    fn rounding_floor(&self) -> f64 {
        let program = &self.scaled.program;
        let mass = program.row_masses.amax().min(program.limits.min());
        8.0 * f64::EPSILON * self.size() / (self.eps * mass)
    }

    /// Newton steps until the residual is at most `tolerance`, the limit is reached or no step helps;
    /// returns the residual reached.
    pub fn run(&mut self, tolerance: f64, limit: usize) -> f64 {
        let program = &self.scaled.program;
        let mut residual = self.point.residual(program);
        let (mut best, mut since) = (residual, 0);
        let last = self.iterations + limit;
        while residual > tolerance && self.iterations < last && since < PATIENCE {
            self.iterations += 1;
            if self.lift_idle_rows() | self.lower_idle_budgets() {
                residual = self.point.residual(program);
            }
            let damping = self.caution.max(DAMPING + ROUGH * residual.min(1.0));
            match self.step(residual, damping) {
                Some(length) => {
                    residual = self.point.residual(program);
                    (best, since) = if residual < best { (residual, 0) } else { (best, since + 1) };
                    self.adapt(length);
                }
                None if self.caution < 1e2 => self.caution = (self.caution * 1e2).max(1e-6),
                None => break,
            }
        }
        residual
    }

    /// A row without a live entry has no curvature, and where eps or its mass is small creeps: it may rise at once to the
    /// nearest column that is free or of a live group. Returns whether one did.
    fn lift_idle_rows(&mut self) -> bool {
        let program = &self.scaled.program;
        let masses = &program.row_masses;
        let reach = NEARLY_IDLE * self.size() * masses.amax();
        let idle = |i: usize| self.point.row_gap[i] == masses[i] && self.eps * masses[i] < reach;
        let idle: Vec<usize> = (0..masses.len()).filter(|&i| idle(i)).collect();
        if idle.is_empty() || self.scaled.entropic() {
            return false;
        }
        self.trial.nu.copy_from(&self.point.nu);
        self.trial.lambda.copy_from(&self.point.lambda);
        let mut left = self.left_of_thresholds();
        let mut lifted = false;
        for &i in &idle {
            let now = self.trial.nu[i];
            let cost = |j: usize| self.scaled.cost(i, program.costs[(i, j)]);
            let group = |j: usize| (j < program.incoming()).then(|| program.groups.of(j));
            // Where the row's multiplier opens column `j`.
            let opens = |j: usize| match group(j) {
                None => cost(j),
                Some(g) => match program.norm {
                    Norm::One => cost(j) + left[g],
                    Norm::Two => cost(j) + (left[g] + (now - cost(j)).max(0.0).powi(2)).sqrt(),
                    Norm::Infinity => cost(j).max(now) + left[g],
                },
            };
            let columns = 0..program.costs.ncols();
            let nearest = columns.clone().map(opens).fold(f64::INFINITY, f64::min);
            if !(nearest.is_finite() && nearest > now) {
                continue;
            }
            // What the row takes of the thresholds of groups that are still dead.
            for j in columns.filter(|&j| cost(j) < nearest) {
                let part = |nu: f64| (nu - cost(j)).max(0.0);
                match (group(j), program.norm) {
                    (None, _) | (_, Norm::One) => {}
                    (Some(g), Norm::Two) => {
                        left[g] = (left[g] + part(now).powi(2) - part(nearest).powi(2)).max(0.0);
                    }
                    (Some(g), Norm::Infinity) => {
                        left[g] = (left[g] + part(now) - part(nearest)).max(0.0);
                    }
                }
            }
            // And half its mass, so that the row is found live.
            self.trial.nu[i] = nearest + 0.5 * self.eps * masses[i];
            lifted = true;
        }
        if !lifted {
            return false;
        }
        self.evaluate_trial();
        let better = self.trial.value > self.point.value;
        if better {
            std::mem::swap(&mut self.point, &mut self.trial);
        }
        better
    }

    /// A budget that nothing is spent of has no curvature either, where no group is live or all entries have underflowed:
    /// its multiplier may fall at once to where the budget is spent. Returns whether one did.
    fn lower_idle_budgets(&mut self) -> bool {
        let limits = &self.scaled.program.limits;
        let idle = |b: &usize| {
            self.point.lambda[*b] > 0.0 && self.point.overspend[*b] < -(1.0 - IDLE) * limits[*b]
        };
        let idle: Vec<usize> = (0..limits.len()).filter(idle).collect();
        if idle.is_empty() {
            return false;
        }
        self.trial.nu.copy_from(&self.point.nu);
        self.trial.lambda.copy_from(&self.point.lambda);
        for b in idle {
            // The slope in `lambda_b` falls with it: bisection for where it turns, unless not even zero does.
            let (mut low, mut high) = (0.0, self.point.lambda[b]);
            self.trial.lambda[b] = low;
            for _ in 0..60 {
                self.trial.evaluate(self.scaled, &self.candidates, self.eps);
                let (over, now) = (self.trial.overspend[b], self.trial.lambda[b]);
                if (over <= 0.0 && now == 0.0) || over.abs() <= SPENT * limits[b] {
                    break;
                }
                if over > 0.0 {
                    low = now
                } else {
                    high = now
                }
                self.trial.lambda[b] = 0.5 * (low + high);
            }
        }
        self.trial.evaluate(self.scaled, &self.candidates, self.eps);
        let better = self.trial.value > self.point.value;
        if better {
            std::mem::swap(&mut self.point, &mut self.trial);
        }
        better
    }

    /// What the positive parts of `nu - D` leave of every group's threshold; its square for p = 2.
    fn left_of_thresholds(&self) -> Vec<f64> {
        let program = &self.scaled.program;
        let left = |group: usize| {
            let tau = self.scaled.threshold(group, &self.point.lambda);
            let candidates = self.candidates.of(group).iter();
            let positive = candidates.map(|c| (self.point.nu[c.row as usize] - c.cost).max(0.0));
            match program.norm {
                Norm::One => tau,
                Norm::Two => (tau * tau - positive.map(|v| v * v).sum::<f64>()).max(0.0),
                Norm::Infinity => (tau - positive.sum::<f64>()).max(0.0),
            }
        };
        (0..program.groups.len()).map(left).collect()
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
        let magnitude = self.point.magnitude(&self.scaled.program);
        // Where `M` is nearly singular the direction is long without meaning: the radius bounds it.
        let longest = rows.iter().fold(0.0f64, |longest, d| longest.max(d.abs()));
        let full = if longest > self.radius { self.radius / longest } else { 1.0 };
        let mut length = full;
        for _ in 0..40 {
            self.move_trial(length);
            self.evaluate_trial();
            let (rows, prices) = self.direction.split_at(n);
            let slope = self.trial.ascent(rows, prices);
            // Where the promise drowns in the rounding of d its slope decides instead: d is concave, so it has
            // risen unless the slope has turned.
            let better = if promised * length > VISIBLE * magnitude {
                self.trial.value >= self.point.value + SUFFICIENT * length * promised
            } else {
                slope >= -TURNED * promised || self.trial.residual(&self.scaled.program) < residual
            };
            if better {
                std::mem::swap(&mut self.point, &mut self.trial);
                if length == full && full < 1.0 {
                    self.radius *= 4.0;
                }
                let curved = self.scaled.program.norm == Norm::Two || self.scaled.entropic();
                if curved && length == 1.0 && slope > UNTURNED * promised {
                    self.go_on(slope);
                }
                return Some(length);
            }
            // Towards the maximum along the direction, where the secant of the slopes sees it.
            let drop = promised - slope;
            length *= if drop > 0.0 { (promised / drop).clamp(0.1, 0.5) } else { 0.5 };
        }
        None
    }

    /// Further along the direction, twice as far each time, for as long as d rises and its slope has hardly fallen:
    /// where a budget is only just feasible, d is a ridge for p = 2 and for entropic programs, whose multipliers then have
    /// far to go or no end, with less curvature than the damping.
    fn go_on(&mut self, mut slope: f64) {
        let n = self.scaled.program.incoming();
        let falling = self.point.lambda.iter().zip(&self.direction[n..]).filter(|(_, d)| **d < 0.0);
        let mut room = falling.map(|(lambda, d)| lambda / -d).fold(f64::INFINITY, f64::min);
        let mut length = 1.0;
        while length < FARTHEST && length < room {
            self.move_trial(length);
            self.evaluate_trial();
            let (rows, prices) = self.direction.split_at(n);
            let ahead = self.trial.ascent(rows, prices);
            if self.trial.value < self.point.value || ahead < 0.0 {
                return;
            }
            std::mem::swap(&mut self.point, &mut self.trial);
            if ahead < UNTURNED * slope {
                return;
            }
            (slope, room, length) = (ahead, room - length, 2.0 * length);
        }
    }

    fn move_trial(&mut self, length: f64) {
        let (rows, prices) = self.direction.split_at(self.point.nu.len());
        let negligible = NEGLIGIBLE * self.size();
        for ((next, now), d) in self.trial.nu.iter_mut().zip(&self.point.nu).zip(rows) {
            *next = now + length * d;
        }
        for ((next, now), d) in self.trial.lambda.iter_mut().zip(&self.point.lambda).zip(prices) {
            let moved = now + length * d;
            *next = if moved > negligible { moved } else { 0.0 };
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
