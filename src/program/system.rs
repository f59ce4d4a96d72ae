//! The linear system of a Newton step and of the adjoint, and who solves it.
//!
//! With few live groups a factorisation is cheapest ([`direct`](super::direct)), beyond that conjugate
//! gradients: a product with `M` touches live entries only, and scaled by its diagonal `M` is well
//! conditioned unless rows hang together by caps alone. Where they stall, the factorisation takes over.

use super::SelectionProgram;
use super::cholesky;
use super::conjugate::{self, dot};
use super::direct::{DAMPING, Direct, IDLE_ROW, uneven};
use super::dual::Point;

/// Up to this many live groups with a rank-one term a factorisation is faster.
const FEW: usize = 96;
/// Steps of conjugate gradients before they count as stalled.
const STEPS: usize = 200;
/// The worst relative residual at which a Newton direction is still worth its line search.
const USABLE: f64 = 0.1;
/// A relative residual that the adjoint need not improve on.
const EXACT: f64 = 1e-14;
/// What the adjoint accepts from the forward pass's factor, and from conjugate gradients.
const ACCURATE: f64 = 1e-12;

/// Solves with `M` at one point after the other. It allocates only to grow.
#[derive(Clone, Debug, Default)]
pub(super) struct System {
    direct: Direct,
    space: conjugate::Space,
    /// The diagonal of `M`, damped.
    diagonal: Vec<f64>,
    /// Conjugate gradients have stalled here before.
    stalled: bool,
    budgets: BudgetStep,
    /// Budgets that conjugate gradients solve for, values of the others, and right sides.
    part: Vec<bool>,
    known: Vec<f64>,
    gradient: Vec<f64>,
    right: Vec<f64>,
    scratch: Vec<f64>,
}

fn few(point: &Point) -> bool {
    point.live.iter().filter(|live| live.block.rho != 0.0).count() <= FEW
}

impl System {
    /// The maximiser of the dual's quadratic model over `lambda + direction >= 0`: `direction` holds the
    /// scaled gradient on the way in. `accuracy` is relative, for conjugate gradients. `false` if there is
    /// no such direction (entries that are not finite).
    pub fn step(
        &mut self,
        program: &SelectionProgram,
        point: &Point,
        tight: &[bool],
        (damping, accuracy): (f64, f64),
        direction: &mut [f64],
    ) -> bool {
        if !self.stalled && !few(point) {
            if self.conjugate_step(program, point, tight, (damping, accuracy), direction) {
                return true;
            }
            self.stalled = true;
        }
        if !self.direct.factor(program, point, tight, damping) {
            return false;
        }
        self.direct.eliminate_rows(direction, &mut self.scratch);
        let prices = &mut direction[point.nu.len()..];
        if !self.budgets.solve(self.direct.schur(), prices, point.lambda.as_slice(), tight) {
            return false;
        }
        self.direct.substitute_budgets(direction);
        true
    }

    /// As [`step`](Self::step), by conjugate gradients, a run for each set of budgets held at zero; leaves
    /// the gradient in `direction` where it fails.
    fn conjugate_step(
        &mut self,
        program: &SelectionProgram,
        point: &Point,
        tight: &[bool],
        (damping, accuracy): (f64, f64),
        direction: &mut [f64],
    ) -> bool {
        let n = program.incoming();
        let added = self.fill_diagonal(program, point, tight, damping);
        copy(&mut self.gradient, direction);
        self.part.clear();
        self.part.extend_from_slice(tight);
        for _ in 0..=2 * tight.len() {
            self.hold_others(program, point, tight);
            direction.fill(0.0);
            let Self { part, diagonal, space, right, .. } = &mut *self;
            let outcome = space.solve(
                right,
                direction,
                (accuracy, STEPS),
                |x, out| {
                    point.product(program, part, x, out);
                    out.iter_mut().zip(x).for_each(|(out, x)| *out += added * x);
                },
                |x, out| divide(x, diagonal, out),
            );
            let usable = outcome.residual <= USABLE;
            if !usable {
                break;
            }
            direction.iter_mut().zip(&self.known).for_each(|(x, known)| *x += known);
            let mut fell = false;
            for (b, part) in self.part.iter_mut().enumerate() {
                if *part && point.lambda[b] + direction[n + b] < 0.0 {
                    (*part, fell) = (false, true);
                }
            }
            if fell {
                continue;
            }
            // Where the model rises beyond a bound, the bound is let go.
            point.product(program, tight, direction, &mut self.scratch);
            let slope = |b: usize| self.gradient[n + b] - self.scratch[n + b];
            let worst = (0..tight.len())
                .filter(|&b| tight[b] && !self.part[b])
                .max_by(|&a, &b| slope(a).total_cmp(&slope(b)));
            match worst {
                Some(b) if slope(b) > accuracy * dot(&self.gradient, &self.gradient).sqrt() => {
                    self.part[b] = true;
                }
                _ => return true,
            }
        }
        direction.copy_from_slice(&self.gradient);
        false
    }

    /// Budgets that are held move to zero whatever the rows do: their values, and the right side that is
    /// left for the others.
    fn hold_others(&mut self, program: &SelectionProgram, point: &Point, tight: &[bool]) {
        let n = program.incoming();
        self.known.clear();
        self.known.resize(self.gradient.len(), 0.0);
        for b in (0..tight.len()).filter(|&b| tight[b] && !self.part[b]) {
            self.known[n + b] = -point.lambda[b];
        }
        copy(&mut self.scratch, &self.gradient);
        point.product(program, tight, &self.known, &mut self.scratch);
        copy(&mut self.right, &self.gradient);
        self.right.iter_mut().zip(&self.scratch).for_each(|(r, s)| *r -= s);
        for b in (0..tight.len()).filter(|&b| !self.part[b]) {
            self.right[n + b] = 0.0;
        }
    }

    /// The diagonal of `M` with its damping, which is returned.
    fn fill_diagonal(
        &mut self,
        program: &SelectionProgram,
        point: &Point,
        tight: &[bool],
        damping: f64,
    ) -> f64 {
        let n = program.incoming();
        self.diagonal.clear();
        self.diagonal.resize(n + tight.len(), 0.0);
        for live in &point.live {
            let coefficients = program.coefficients.column(live.group);
            for e in &point.entries[live.range.clone()] {
                self.diagonal[e.row()] += e.diagonal + live.block.rho * e.u * e.u;
            }
            for b in (0..tight.len()).filter(|&b| tight[b]) {
                self.diagonal[n + b] += coefficients[b] * coefficients[b] * live.block.corner;
            }
        }
        for e in &point.entries[point.free_entries()] {
            self.diagonal[e.row()] += e.diagonal;
        }
        let mean = self.diagonal[..n].iter().sum::<f64>() / n as f64;
        let added = damping * mean.max(f64::MIN_POSITIVE);
        for d in &mut self.diagonal {
            *d = if *d > 0.0 { *d + added } else { IDLE_ROW };
        }
        added
    }

    /// Solves `M y = right` as exactly as rounding allows: by the forward pass's last factor where that
    /// still fits, by conjugate gradients where there is none, else by a new factor.
    pub fn solve_exactly(
        &self,
        program: &SelectionProgram,
        point: &Point,
        tight: &[bool],
        right: &[f64],
    ) -> Exact {
        let zero = || Exact { y: vec![0.0; right.len()], residual: 1.0, conditioning: 1.0 };
        let size = dot(right, right).sqrt();
        if size == 0.0 {
            return Exact { residual: 0.0, ..zero() };
        }
        let refine = |precondition: &dyn Fn(&[f64], &mut [f64]), steps| {
            refine(program, point, tight, right, steps, precondition)
        };
        let factored = |direct: &Direct, steps| {
            let scratch = std::cell::RefCell::new(Vec::new());
            let mut exact = refine(
                &|x, out| {
                    out.copy_from_slice(x);
                    direct.solve(out, &mut scratch.borrow_mut());
                },
                steps,
            );
            let mut vector = vec![0.0; right.len()];
            exact.conditioning = direct.conditioning(&mut vector, &mut scratch.borrow_mut());
            exact
        };
        let mut best = zero();
        if few(point) || self.stalled {
            if self.direct.is_for(tight) {
                best = factored(&self.direct, 4);
            }
        } else {
            let mut system = Self::default();
            system.fill_diagonal(program, point, tight, DAMPING);
            best = refine(&|x, out| divide(x, &system.diagonal, out), STEPS);
            best.conditioning = system.probe(program, point, tight);
        }
        if best.residual > ACCURATE {
            let mut direct = Direct::default();
            if direct.factor(program, point, tight, DAMPING) {
                let exact = factored(&direct, 12);
                best = if exact.residual < best.residual { exact } else { best };
            }
        }
        best
    }

    /// An upper estimate of the smallest eigenvalue of `M` scaled to unit diagonal.
    fn probe(&self, program: &SelectionProgram, point: &Point, tight: &[bool]) -> f64 {
        let mut right = vec![0.0; self.diagonal.len()];
        uneven(&mut right);
        let mut x = vec![0.0; right.len()];
        let outcome = conjugate::Space::default().solve(
            &right,
            &mut x,
            (1e-3, 30),
            |x, out| point.product(program, tight, x, out),
            |x, out| divide(x, &self.diagonal, out),
        );
        outcome.smallest
    }
}

fn copy(to: &mut Vec<f64>, from: &[f64]) {
    to.clear();
    to.extend_from_slice(from);
}

fn divide(x: &[f64], diagonal: &[f64], out: &mut [f64]) {
    out.iter_mut().zip(x).zip(diagonal).for_each(|((out, x), d)| *out = x / d);
}

/// What [`System::solve_exactly`] found.
pub(super) struct Exact {
    pub y: Vec<f64>,
    /// `||M y - right|| / ||right||`.
    pub residual: f64,
    pub conditioning: f64,
}

/// Conjugate gradients, restarted from the true residual until rounding is all that is left.
fn refine(
    program: &SelectionProgram,
    point: &Point,
    tight: &[bool],
    right: &[f64],
    steps: usize,
    precondition: &dyn Fn(&[f64], &mut [f64]),
) -> Exact {
    let size = dot(right, right).sqrt();
    let mut exact = Exact { y: vec![0.0; right.len()], residual: 1.0, conditioning: 1.0 };
    let mut space = conjugate::Space::default();
    let (mut rest, mut more) = (right.to_vec(), vec![0.0; right.len()]);
    for _ in 0..4 {
        more.fill(0.0);
        let tolerance = 0.3 * EXACT / exact.residual;
        space.solve(
            &rest,
            &mut more,
            (tolerance, steps),
            |x, out| point.product(program, tight, x, out),
            precondition,
        );
        more.iter_mut().zip(&exact.y).for_each(|(x, y)| *x += y);
        point.product(program, tight, &more, &mut rest);
        rest.iter_mut().zip(right).for_each(|(p, r)| *p = r - *p);
        let left = dot(&rest, &rest).sqrt() / size;
        if left.is_nan() || left >= exact.residual {
            break;
        }
        std::mem::swap(&mut exact.y, &mut more);
        exact.residual = left;
        if left <= EXACT {
            break;
        }
    }
    exact
}

/// Minimises `x'Sx / 2 - t'x` over `x >= -lambda`, by an active-set method over the (few) budgets.
#[derive(Clone, Debug, Default)]
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
            let slope =
                |b: usize| t[b] - (0..count).map(|k| schur[k * count + b] * self.x[k]).sum::<f64>();
            let worst =
                (0..count).filter(|&b| self.held[b]).max_by(|&a, &b| slope(a).total_cmp(&slope(b)));
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
