//! A primal-dual interior point, for programs whose numbers no single unit fits.
//!
//! Newton's iteration on the dual creeps where an answer hangs on many caps or a budget is only just feasible, and what
//! smooths it is the same for all rows, however far apart their costs are. A barrier bends every entry in its own
//! unit: some tens of steps, dearer ones, whatever the program.
//!
//! ```text
//! D_ij + eps phi'(Z_ij) = nu_i + S_ij - Y_ij     Z 1 = r     Z S = mu     (h - G s) lambda = mu
//!
//! Y   remembered: 0     p = 1: tau_g     p = 2: tau_g Z_ij / s_g
//!     p = inf: sum Y_g = tau_g, (s_g - Z_ij) Y_ij = mu
//! ```
//!
//! Solved for all but `nu` and `lambda` group by group ([`barrier`](super::barrier)), a step's system is positive
//! definite.
//!
//! Reference: S. Mehrotra, *On the implementation of a primal-dual interior point method*, SIAM Journal on
//! Optimization 2, 1992: predictor and corrector.

use nalgebra::DVector;

use super::barrier::{Part, Variable};
use super::certificate::at;
use super::cholesky;
use super::prox::{Block, Entry};
use super::reference::feasible_rows;
use super::scaled::Scaled;
use super::structured::Newton;
use super::{Method, Regulariser, Selection, SolveOptions};

/// Steps at most.
const STEPS: usize = 150;
/// How far towards the boundary a step goes, and the least share of the mean product that it aims at: numbers that
/// are many orders apart fall out of step where these are bolder.
const NEARLY: f64 = 0.9;
const CENTRING: f64 = 1e-2;
/// A corrector that shortens the predictor's step to less than this share is left out, and the aim at least as much.
const SPOILT: f64 = 0.1;
/// Steps below this length lead nowhere; after so many of them it ends.
const SHORT: f64 = 1e-3;
const PATIENCE: usize = 5;
/// Products below this share of the objective, summed, may already make an answer; below the other nothing more is
/// to be had.
const CLOSE: f64 = 1e-6;
const CLOSEST: f64 = 1e-14;
/// Corrections of a direction for what rounding leaves.
const REFINEMENTS: usize = 2;
/// What is added to a diagonal of ones, from the first tenfold up to the last, until there is a factor.
const RIDGES: [f64; 2] = [1e-15, 1e-6];
/// Newton steps from an answer to the exact multipliers of a smoothed program.
const POLISH: usize = 25;

/// The iteration's state and the space it works in.
struct Interior<'a> {
    scaled: &'a Scaled,
    /// The groups, then the remembered columns.
    parts: Vec<Part>,
    nu: DVector<f64>,
    lambda: DVector<f64>,
    /// `h - G s`.
    slack: DVector<f64>,
    /// Directions of rows and budgets, and of the slacks.
    direction: Vec<f64>,
    slack_step: Vec<f64>,
    /// The system's factor, and what scales its diagonal to one.
    factor: Vec<f64>,
    balance: Vec<f64>,
}

/// The solution, or else what a unit of mass pays where this came to.
pub(super) fn solve(scaled: &Scaled, options: &SolveOptions) -> Result<Selection, f64> {
    let run = |unit: f64| {
        let mut interior = Interior::new(scaled, unit);
        let paid = |interior: &Interior| interior.objective() / scaled.program.row_masses.sum();
        interior.run(options).ok_or_else(|| paid(&interior))
    };
    // What this came to is a better guess at the unit.
    run(scaled.eps * scaled.program.row_masses.amax() + 1.0).or_else(run)
}

impl<'a> Interior<'a> {
    /// From a guess at the size of the multipliers.
    fn new(scaled: &'a Scaled, unit: f64) -> Self {
        let program = &scaled.program;
        let part = |group: Option<usize>, columns: &mut dyn Iterator<Item = usize>| {
            let mut variables = Vec::new();
            for column in columns {
                let costs = program.costs.column(column);
                let allowed = costs.iter().enumerate().filter(|(_, cost)| cost.is_finite());
                variables.extend(allowed.map(|(row, given)| {
                    let cost = scaled.cost(row, *given);
                    Variable { row, column, cost, ..Default::default() }
                }));
            }
            Part::new(group, program.norm, variables)
        };
        let groups = program.groups.iter().enumerate();
        let groups = groups.map(|(group, columns)| part(Some(group), &mut columns.iter().copied()));
        let mut parts: Vec<Part> = groups.collect();
        parts.push(part(None, &mut (program.incoming()..program.costs.ncols())));
        let (n, budgets) = (program.incoming(), program.limits.len());
        let mut interior = Self {
            scaled,
            parts,
            nu: DVector::from_element(n, -unit),
            lambda: DVector::zeros(budgets),
            slack: DVector::zeros(budgets),
            direction: vec![0.0; n + budgets],
            slack_step: vec![0.0; budgets],
            factor: Vec::new(),
            balance: Vec::new(),
        };
        interior.start(unit);
        interior
    }

    /// Every row's mass spread so that all its products are alike, and the other products like these.
    fn start(&mut self, unit: f64) {
        let program = &self.scaled.program;
        let mut shares = vec![0.0; self.nu.len()];
        self.variables().for_each(|x| shares[x.row] += 1.0 / (x.cost + unit));
        let (mut sum, mut count) = (0.0, 0.0);
        for x in self.parts.iter_mut().flat_map(|part| &mut part.variables) {
            x.s = x.cost + unit;
            x.z = program.row_masses[x.row] / (shares[x.row] * x.s);
            sum += x.z * x.s;
            count += 1.0;
        }
        let mu = sum / count;
        for part in self.parts.iter_mut().filter(|part| part.capped()) {
            part.cap = 2.0 * part.variables.iter().fold(0.0, |top: f64, x| top.max(x.z));
            for x in &mut part.variables {
                x.room = part.cap - x.z;
                x.y = mu / x.room;
                x.s += x.y;
            }
        }
        let left = &program.limits - self.spent();
        self.slack = left.zip_map(&program.limits, |left, limit| left.max(0.1 * limit));
        self.lambda = self.slack.map(|slack| mu / slack);
    }

    /// Steps until the answer is as good as it gets.
    fn run(&mut self, options: &SolveOptions) -> Option<Selection> {
        let gap = |made: &Selection| made.verdict().gap;
        let (mut best, mut short): (Option<Selection>, usize) = (None, 0);
        for steps in 0..options.max_iterations.min(STEPS) {
            let (mu, count) = self.products(|x| x.z * x.s + x.room * x.y, [0.0; 2]);
            let open = mu * count / self.objective();
            if !open.is_finite() || open <= CLOSEST || short > PATIENCE {
                break;
            }
            if open <= CLOSE {
                let before = best.as_ref().map_or(f64::INFINITY, gap);
                let better = self.answer(steps).filter(|made| gap(made) < 0.5 * before);
                if best.is_some() && better.is_none() {
                    break;
                }
                best = better.or(best);
                if best.as_ref().is_some_and(|best| gap(best) <= options.tolerance) {
                    break;
                }
            }
            if !self.factor() {
                break;
            }
            short = if self.step(mu) < SHORT { short + 1 } else { 0 };
        }
        let best = best?;
        Some(self.polished(options).unwrap_or(best))
    }

    /// The assignment reached, if it is a solution.
    fn answer(&self, steps: usize) -> Option<Selection> {
        let (scaled, regulariser) = (self.scaled, self.scaled.program.regulariser);
        let entries: Vec<Entry> = self.variables().map(|x| at(x.row, x.column, x.z)).collect();
        // Without the regulariser multipliers are feasible once what it adds to a row's costs is taken off.
        let mut added = DVector::<f64>::zeros(self.nu.len());
        for x in self.variables().filter(|_| scaled.eps > 0.0) {
            added[x.row] = added[x.row].max(scaled.eps * regulariser.slope(x.z));
        }
        let plain = feasible_rows(scaled, &self.nu - added, &self.lambda);
        let multipliers = [plain, self.nu.clone()].map(|nu| (nu, self.lambda.clone()));
        Selection::from_vertex(scaled.clone(), entries, multipliers, Method::Structured, steps).ok()
    }

    /// The solution of a smoothed program from the exact multipliers next to these: they know the derivative.
    fn polished(&self, options: &SolveOptions) -> Option<Selection> {
        if self.scaled.eps == 0.0 {
            return None;
        }
        let (nu, lambda) = (self.nu.clone(), self.lambda.clone());
        let mut newton = Newton::new(self.scaled, nu, lambda, self.scaled.eps);
        newton.finish(options.tolerance, POLISH);
        newton.conclude().ok()
    }

    fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().flat_map(|part| &part.variables)
    }

    /// Parts that are groups, with their numbers.
    fn groups(&self) -> impl Iterator<Item = (&Part, usize)> {
        self.parts.iter().filter_map(|part| Some((part, part.group?)))
    }

    /// `G s`.
    fn spent(&self) -> DVector<f64> {
        let weights: Vec<f64> = self.groups().map(|(part, _)| part.weight()).collect();
        &self.scaled.program.coefficients * DVector::from_vec(weights)
    }

    /// The mean product and how many there are, after steps of the answer's and the multipliers' length.
    fn products(&self, product: impl Fn(&Variable) -> f64, [primal, dual]: [f64; 2]) -> (f64, f64) {
        let entries: f64 = self.variables().map(product).sum();
        let count = self.parts.iter().map(|part| part.variables.len() << u32::from(part.capped()));
        let count = (count.sum::<usize>() + self.slack.len()) as f64;
        let prices = self.lambda.iter().zip(&self.direction[self.nu.len()..]);
        let budgets = self.slack.iter().zip(&self.slack_step).zip(prices);
        let budgets = budgets.map(|((s, ds), (l, dl))| (s + primal * ds) * (l + dual * dl));
        ((entries + budgets.sum::<f64>()) / count, count)
    }

    /// What the answer pays, in the unit of the certificate: nothing cancels.
    fn objective(&self) -> f64 {
        let (scaled, program) = (self.scaled, &self.scaled.program);
        let masses = if scaled.entropic() { program.row_masses.sum() } else { 0.0 };
        let smooth = |z: f64| scaled.eps * program.regulariser.value(z).abs();
        let paid: f64 = self.variables().map(|x| x.cost * x.z + smooth(x.z)).sum();
        let weights = self.groups().map(|(part, g)| scaled.column_costs[g] * part.weight());
        paid + weights.sum::<f64>() + scaled.eps * masses
    }

    /// Blocks of all parts and the factor of the system; `false` if there is none.
    fn factor(&mut self) -> bool {
        let (scaled, eps) = (self.scaled, self.scaled.eps);
        for part in &mut self.parts {
            let tau = part.group.map_or(0.0, |g| scaled.threshold(g, &self.lambda));
            match scaled.program.regulariser {
                Regulariser::Entropic(_) => part.bend(tau, |z| eps / z),
                _ => part.bend(tau, |_| eps),
            }
        }
        let mut matrix = self.matrix();
        let size = self.direction.len();
        self.balance = matrix.iter().step_by(size + 1).map(|x| 1.0 / x.sqrt()).collect();
        for (column, left) in matrix.chunks_exact_mut(size).zip(&self.balance) {
            column.iter_mut().zip(&self.balance).for_each(|(x, right)| *x *= left * right);
        }
        let mut ridge = 0.0;
        while ridge <= RIDGES[1] {
            self.factor.clone_from(&matrix);
            self.factor.iter_mut().step_by(size + 1).for_each(|x| *x += ridge);
            if cholesky::factor(&mut self.factor, size) {
                return true;
            }
            ridge = RIDGES[0].max(10.0 * ridge);
        }
        false
    }

    /// The system's lower triangle, column by column: rows, then budgets. `O(n^2)` a group.
    fn matrix(&self) -> Vec<f64> {
        let (n, size) = (self.nu.len(), self.direction.len());
        let mut matrix = vec![0.0; size * size];
        self.variables().for_each(|x| matrix[x.row * (size + 1)] += x.d);
        let mut along = vec![0.0; n];
        for (part, group) in self.groups() {
            along.fill(0.0);
            part.variables.iter().for_each(|x| along[x.row] += x.u);
            let Block { rho, border, corner, .. } = part.block;
            let prices = self.scaled.program.coefficients.column(group);
            for (i, &u) in along.iter().enumerate() {
                let (rows, budgets) = matrix[i * size..(i + 1) * size].split_at_mut(n);
                if rho > 0.0 {
                    let lift = rho * u;
                    rows[i..].iter_mut().zip(&along[i..]).for_each(|(x, v)| *x += lift * v);
                }
                budgets.iter_mut().zip(&prices).for_each(|(x, a)| *x -= border * u * a);
            }
            for (b, price) in prices.iter().enumerate() {
                let budgets = &mut matrix[(n + b) * size + n..(n + b + 1) * size];
                budgets.iter_mut().zip(&prices).for_each(|(x, a)| *x += corner * price * a);
            }
        }
        for b in 0..size - n {
            matrix[(n + b) * (size + 1)] += self.slack[b] / self.lambda[b];
        }
        matrix
    }

    /// Predictor and corrector from products of mean `mu`; returns the shorter length.
    fn step(&mut self, mu: f64) -> f64 {
        let shorter = |[primal, dual]: [f64; 2]| f64::min(primal, dual);
        self.find_direction(0.0, 0.0);
        let predicted = self.longest();
        let [primal, dual] = predicted;
        let ahead = |x: &Variable| {
            (x.z + primal * x.step.z) * (x.s + dual * x.step.s)
                + (x.room + primal * x.step.room) * (x.y + dual * x.step.y)
        };
        let (ahead, _) = self.products(ahead, predicted);
        let centring = (ahead / mu).powi(3).clamp(CENTRING, 1.0);
        self.find_direction(centring * mu, 1.0);
        if shorter(self.longest()) < SPOILT * shorter(predicted) {
            self.find_direction(centring.max(SPOILT) * mu, 0.0);
        }
        let lengths = self.longest().map(|length| NEARLY * length);
        self.go(lengths);
        shorter(lengths)
    }

    /// Towards products of `mu`, less a `share` of what the last direction's products came to.
    fn find_direction(&mut self, mu: f64, share: f64) {
        let (scaled, program) = (self.scaled, &self.scaled.program);
        let n = self.nu.len();
        for part in &mut self.parts {
            let tau = part.group.map_or(0.0, |g| scaled.threshold(g, &self.lambda));
            let regulariser = (scaled.eps, program.regulariser);
            part.aim((mu, share), (tau, self.nu.as_slice()), regulariser);
        }
        for b in 0..self.slack.len() {
            let corrected = mu - share * self.slack_step[b] * self.direction[n + b];
            self.slack_step[b] = corrected / self.lambda[b] - self.slack[b];
        }
        self.direction.fill(0.0);
        let mut rest = self.rest();
        let (rows, budgets) = rest.split_at_mut(n);
        for part in &self.parts {
            let weight = part.promise(rows);
            let prices = part.group.map(|group| program.coefficients.column(group));
            let prices = prices.iter().flat_map(|prices| prices.iter());
            budgets.iter_mut().zip(prices).for_each(|(x, a)| *x += a * weight);
        }
        self.correct(rest, 1.0);
        for _ in 0..REFINEMENTS {
            self.correct(self.rest(), 0.0);
        }
    }

    /// Solves for what the direction leaves of rows and budgets, and adds what follows for all else, from a `share` of the
    /// parts' right sides too.
    fn correct(&mut self, mut rest: Vec<f64>, share: f64) {
        let program = &self.scaled.program;
        let n = self.nu.len();
        rest.iter_mut().zip(&self.balance).for_each(|(x, b)| *x *= b);
        cholesky::solve(&self.factor, self.balance.len(), &mut rest);
        rest.iter_mut().zip(&self.balance).for_each(|(x, b)| *x *= b);
        self.direction.iter_mut().zip(&rest).for_each(|(x, d)| *x += d);
        let (rows, prices) = rest.split_at(n);
        for part in &mut self.parts {
            let threshold = part.group.map_or(0.0, |group| {
                let costs = program.coefficients.column(group);
                costs.iter().zip(prices).map(|(a, x)| a * x).sum()
            });
            part.follow(rows, threshold, share);
        }
        for (b, price) in prices.iter().enumerate() {
            self.slack_step[b] -= self.slack[b] / self.lambda[b] * price;
        }
    }

    /// What a direction leaves of rows and budgets.
    fn rest(&self) -> Vec<f64> {
        let program = &self.scaled.program;
        let mut rest = program.row_masses.as_slice().to_vec();
        self.variables().for_each(|x| rest[x.row] -= x.z + x.step.z);
        let mut spent = self.spent();
        for (part, group) in self.groups() {
            spent.axpy(part.step, &program.coefficients.column(group), 1.0);
        }
        let slacks = self.slack.iter().zip(&self.slack_step);
        let budgets = program.limits.iter().zip(&spent).zip(slacks);
        rest.extend(budgets.map(|((limit, spent), (slack, step))| spent + slack + step - limit));
        rest
    }

    /// The longest steps up to one, of the answer and of its multipliers, that leave everything positive.
    fn longest(&self) -> [f64; 2] {
        let mut longest = [1.0f64; 2];
        let mut bound = |which: usize, now: f64, step: f64| {
            if step < 0.0 {
                longest[which] = longest[which].min(-now / step);
            }
        };
        for x in self.variables() {
            bound(0, x.z, x.step.z);
            bound(1, x.s, x.step.s);
            bound(0, x.room, x.step.room);
            bound(1, x.y, x.step.y);
        }
        for b in 0..self.slack.len() {
            bound(0, self.slack[b], self.slack_step[b]);
            bound(1, self.lambda[b], self.direction[self.nu.len() + b]);
        }
        longest
    }

    fn go(&mut self, [primal, dual]: [f64; 2]) {
        self.parts.iter_mut().for_each(|part| part.go([primal, dual]));
        let (rows, prices) = self.direction.split_at(self.nu.len());
        self.nu.iter_mut().zip(rows).for_each(|(x, d)| *x += dual * d);
        self.lambda.iter_mut().zip(prices).for_each(|(x, d)| *x += dual * d);
        self.slack.iter_mut().zip(&self.slack_step).for_each(|(x, d)| *x += primal * d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::structured;
    use crate::program::{Budget, BudgetRow, Norm, ProgramOptions, SelectionProgram};
    use nalgebra::DMatrix;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// With groups, column costs, masses, two budgets and columns that are not allowed.
    fn program(norm: Norm, regulariser: Regulariser, m: usize, seed: u64) -> SelectionProgram {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let n = 9;
        let costs = DMatrix::from_fn(n, n + m, |_, _| rng.random_range(0.1..2.0));
        let allowed = DMatrix::from_fn(n, n + m, |i, j| i == j || rng.random_bool(0.8));
        let mut numbers = |low: f64, high: f64, count: usize| -> Vec<f64> {
            (0..count).map(|_| rng.random_range(low..high)).collect()
        };
        let masses = numbers(0.5, 1.2, n);
        let size = norm.of(masses.iter().copied());
        let rows = vec![
            BudgetRow { coefficients: vec![1.0; 6], limit: 1.3 * size },
            BudgetRow { coefficients: numbers(0.2, 2.0, 6), limit: 1.5 * size },
        ];
        let options = ProgramOptions {
            norm,
            regulariser,
            column_costs: Some(numbers(0.0, 0.3, 6)),
            row_masses: Some(masses),
            groups: Some(vec![0, 1, 2, 3, 4, 5, 0, 0, 3]),
            allowed: Some(allowed),
        };
        SelectionProgram::new(costs, Budget::Rows(rows), options).unwrap()
    }

    /// 1e-6: the gap that either may leave, of objectives of order ten.
    #[test]
    fn agrees_with_the_dual() {
        let regularisers = [0.05, 0.3].map(Regulariser::Quadratic);
        let regularisers =
            [Regulariser::None, Regulariser::Entropic(0.1)].into_iter().chain(regularisers);
        for (seed, regulariser) in regularisers.enumerate() {
            for norm in [Norm::One, Norm::Two, Norm::Infinity] {
                for m in [0, 4] {
                    let program = program(norm, regulariser, m, seed as u64);
                    let options = SolveOptions::default();
                    let ours = solve(&Scaled::new(&program), &options).expect("benign");
                    let other = structured::solve(&program, None, &options).unwrap();
                    let apart = ours.verdict().primal - other.verdict().primal;
                    let name = format!("{norm:?} {regulariser:?} m = {m}: {apart:e}");
                    assert!(apart.abs() <= 1e-6 * (1.0 + other.verdict().primal.abs()), "{name}");
                    assert!(ours.verdict().gap <= 1e-7, "{name}: {}", ours.verdict().gap);
                }
            }
        }
    }

    /// Thirty orders of magnitude, and a budget a hair above the smallest: tens of steps as for any other program.
    #[test]
    fn scales_do_not_matter() {
        for norm in [Norm::Two, Norm::Infinity] {
            let n = 11;
            let scale = |k: usize| 1e3f64.powi((k % 11) as i32 - 5);
            let costs =
                DMatrix::from_fn(n, n, |i, j| if i == j { 0.0 } else { scale(3 * i + 5 * j) });
            let smallest = norm.of(std::iter::repeat_n(1.0, n));
            let regulariser = Regulariser::None;
            let options = ProgramOptions { norm, regulariser, ..Default::default() };
            let budget = Budget::Absolute(1.001 * smallest);
            let program = SelectionProgram::new(costs, budget, options).unwrap();
            let solved = solve(&Scaled::new(&program), &SolveOptions::default()).expect("solves");
            assert!(solved.verdict().iterations <= 60, "{norm:?}: {}", solved.verdict().iterations);
        }
    }
}
