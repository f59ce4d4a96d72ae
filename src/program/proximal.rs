//! The proximal point method, for a regulariser that is zero or next to nothing beside the costs.
//!
//! Newton's iteration divides by `eps`, and rounding with it. So a program whose `eps` is too small is solved by a
//! few whose is not: the next one is smoothed about the last answer,
//!
//! ```text
//! Z_k+1 = argmin  <D, Z> + eps/2 ||Z||^2 + rho/2 ||Z - Z_k||^2 + <c, t>     the same constraints
//!       = the program with costs D - rho Z_k and smoothing eps + rho
//! ```
//!
//! whose multipliers tend to those of the program itself; a linear program is solved exactly after finitely many.
//! An entropic term that small changes nothing that can be seen, and is left out.
//!
//! Reference: R. T. Rockafellar, *Monotone operators and the proximal point algorithm*, SIAM Journal on Control
//! and Optimization 14, 1976.

use std::sync::Arc;

use nalgebra::DVector;

use super::certificate::Bound;
use super::dual::Point;
use super::prox::Entry;
use super::scaled::Scaled;
use super::structured::Newton;
use super::{Method, Regulariser, Selection, SolveOptions};
use crate::error::{Error, Result};

/// Programs solved at most.
const ROUNDS: usize = 60;
/// How `rho` shrinks from round to round, and to what, relative to the multipliers.
const SHRINK: f64 = 0.3;
const SMALLEST: f64 = 1e-9;
/// Newton steps of one round.
const STEPS: usize = 60;
/// A gap below this may be the entropic term's.
const NEAR: f64 = 1e-3;
/// Rounds without a smaller gap before it counts as final.
const PATIENCE: usize = 6;
/// The same without an answer so far: others have their turn.
const FRUITLESS: usize = 30;

/// Multipliers of rows and of budgets.
pub(super) type Pair = (DVector<f64>, DVector<f64>);

/// From multipliers of the program smoothed with `rho`, everything in the solver's units; the budgets of the second
/// program, which is solved, are those of the first, which is answered, or a hair tighter.
pub(super) fn solve(
    (scaled, tight): (&Scaled, &Scaled),
    (nu, lambda): (&DVector<f64>, &DVector<f64>),
    rho: f64,
    options: &SolveOptions,
) -> (Result<Selection>, Pair) {
    let quadratic = !scaled.entropic();
    let mut near = tight.clone();
    let (mut nu, mut lambda) = (nu.clone(), lambda.clone());
    let mut centre: Vec<Entry> = Vec::new();
    let (mut best, mut since, mut steps): (Option<Selection>, usize, usize) = (None, 0, 0);
    let mut refused = None;
    let mut rho = rho;
    for _ in 0..ROUNDS {
        near.eps = rho + if quadratic { scaled.eps } else { 0.0 };
        near.program.regulariser = Regulariser::Quadratic(near.eps * scaled.scale);
        near.program.costs = Arc::new(centred(scaled, &centre, rho));
        let mut newton = Newton::new(&near, nu, lambda, near.eps);
        newton.run(options.tolerance, options.max_iterations.min(STEPS));
        let point = newton.into_point(&mut steps);
        let entries = point.entries.clone();
        let plain = feasible(scaled, &point, &centre, rho);
        (nu, lambda) = (point.nu, point.lambda);
        let least = SMALLEST * nu.amax() / scaled.program.row_masses.amax();
        rho = (SHRINK * rho).max(rho.min(least));
        centre = entries.clone();
        let answer = |smoothed: bool| {
            let smoothed = smoothed.then(|| (nu.clone(), lambda.clone()));
            let multipliers = [plain.clone()].into_iter().chain(smoothed);
            let entries = entries.clone();
            Selection::from_vertex(scaled.clone(), entries, multipliers, Method::Structured, steps)
        };
        // What an entropic term adds to a bound takes long to find: only where it may decide.
        let made = match answer(quadratic) {
            Err(Error::NotConverged { residual, .. }) if !quadratic && residual < NEAR => {
                answer(true)
            }
            made => made,
        };
        since += 1;
        match made {
            Err(error) => {
                let off = |error: &Error| match error {
                    Error::NotConverged { residual, .. } => *residual,
                    _ => f64::INFINITY,
                };
                if refused.as_ref().is_none_or(|before| off(&error) < 0.5 * off(before)) {
                    (refused, since) = (Some(error), 0);
                }
            }
            Ok(made) => {
                let gap = made.verdict().gap;
                if best.as_ref().is_none_or(|best| gap < 0.5 * best.verdict().gap) {
                    (best, since) = (Some(made), 0);
                }
                if gap <= options.tolerance {
                    break;
                }
            }
        }
        if since >= if best.is_some() { PATIENCE } else { FRUITLESS } {
            break;
        }
    }
    let unconverged = || Error::NotConverged {
        method: Method::Structured.name(),
        iterations: steps,
        residual: f64::NAN,
        tolerance: options.tolerance,
    };
    (best.ok_or_else(|| refused.unwrap_or_else(unconverged)), (nu, lambda))
}

/// `D - rho Z_k`.
fn centred(scaled: &Scaled, centre: &[Entry], rho: f64) -> nalgebra::DMatrix<f64> {
    let mut costs = (*scaled.program.costs).clone();
    for e in centre {
        costs[(e.row(), e.column())] -= rho * scaled.scale * e.value;
    }
    costs
}

/// Multipliers that are feasible in the program itself without its regulariser: where an entry has grown since
/// the last round, or is smoothed, its row's is larger than the costs alone allow.
fn feasible(scaled: &Scaled, point: &Point, centre: &[Entry], rho: f64) -> Pair {
    let before = super::certificate::matrix(&scaled.program, centre.iter());
    let own = if scaled.entropic() { 0.0 } else { scaled.eps };
    let mut grown = vec![0.0f64; point.nu.len()];
    for e in &point.entries {
        let growth = (rho + own) * e.value - rho * before[(e.row(), e.column())];
        grown[e.row()] = grown[e.row()].max(growth);
    }
    (&point.nu - DVector::from_vec(grown), point.lambda.clone())
}

/// The best that some multipliers prove, with and without the program's regulariser.
pub(super) fn best_bound(
    scaled: &Scaled,
    multipliers: impl IntoIterator<Item = Pair>,
) -> (Point, Bound) {
    let mut best: Option<(Point, Bound)> = None;
    let mut offer = |point: Point, bound: Bound| {
        // Where both prove the same, the smoothed one also knows the derivative.
        if best.as_ref().is_none_or(|(_, best)| bound.value >= best.value) {
            best = Some((point, bound));
        }
    };
    let mut multipliers = multipliers.into_iter();
    if let Some((nu, lambda)) = multipliers.next() {
        let mut plain = Point::new(nu, lambda);
        let bound = plain.linear_bound(scaled);
        offer(plain, bound);
    }
    for (nu, lambda) in multipliers.filter(|_| scaled.eps > 0.0) {
        let mut newton = Newton::new(scaled, nu, lambda, scaled.eps);
        newton.settle();
        let point = newton.into_point(&mut 0);
        let bound = point.bound(&scaled.program);
        offer(point, bound);
    }
    let nothing = || {
        let zeros = DVector::zeros;
        let mut none =
            Point::new(zeros(scaled.program.incoming()), zeros(scaled.program.limits.len()));
        let bound = none.linear_bound(scaled);
        (none, bound)
    };
    best.unwrap_or_else(nothing)
}
