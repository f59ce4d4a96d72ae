//! Random selection programs, from benign to wild, and a check of the answers that shares nothing with the
//! library but the formula.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use gleaner::program::{
    Budget, BudgetRow, Method, Norm, ProgramOptions, Regulariser, Selection, SelectionProgram,
    Upstream,
};
use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A program's ingredients; what it is made of is feasible by construction.
#[derive(Clone, Debug)]
pub struct Trial {
    pub costs: DMatrix<f64>,
    pub rows: Vec<BudgetRow>,
    pub options: ProgramOptions,
    /// What was drawn, for a failure's message.
    pub name: String,
}

/// What can be wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Panic,
    Refused,
    RowSum,
    Sign,
    Weight,
    Budget,
    Gap,
    Gradient,
    Slow,
}

impl Fault {
    pub const ALL: [(Self, &str); 9] = [
        (Self::Panic, "panics"),
        (Self::Refused, "feasible, refused"),
        (Self::RowSum, "row sums wrong"),
        (Self::Sign, "negative or not finite"),
        (Self::Weight, "weights are not the norms"),
        (Self::Budget, "budget exceeded"),
        (Self::Gap, "not optimal"),
        (Self::Gradient, "gradient not finite"),
        (
            Self::Slow,
            "slower than a second at n, m <= 100 (of the solving thread's own time on Linux)",
        ),
    ];
}

/// Relative to the row's mass, the budget's limit, the group's weight: repaired answers are exact to rounding.
const EXACT: f64 = 1e-8;
/// Rounds over the rows' multipliers, and thirds cut off in each, until rounding ends it.
const PASSES: usize = 20;
const HALVINGS: usize = 200;
/// Duality gap in units of the objective above the row minima.
const OPTIMAL: f64 = 1e-6;

/// The seconds that this thread has worked, whatever else the machine does: solvers run on the thread that calls
/// them. Where the system does not say (anywhere but on Linux), the seconds that have passed.
struct Clock {
    passed: Instant,
    worked: Option<f64>,
}

impl Clock {
    fn start() -> Self {
        Self { passed: Instant::now(), worked: Self::worked() }
    }

    /// The first number is the time on a core, in nanoseconds.
    fn worked() -> Option<f64> {
        let numbers = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(numbers.split_whitespace().next()?.parse::<f64>().ok()? * 1e-9)
    }

    fn seconds(&self) -> f64 {
        let worked = self.worked.zip(Self::worked()).map(|(start, end)| end - start);
        worked.unwrap_or_else(|| self.passed.elapsed().as_secs_f64())
    }
}

impl Trial {
    /// Up to `largest` incoming and as many remembered points.
    pub fn draw(largest: usize, rng: &mut ChaCha8Rng) -> Self {
        let size = |rng: &mut ChaCha8Rng| {
            ((largest as f64).powf(rng.random::<f64>()).round() as usize).clamp(1, largest)
        };
        let n = size(rng);
        let m = if rng.random_bool(0.4) { 0 } else { size(rng) };
        let (kind, costs) = costs(n, m, rng);
        let excess = excess(&costs);
        let norm = [Norm::One, Norm::Two, Norm::Infinity][rng.random_range(0..3)];
        let unit = unit(&excess, rng);
        let eps = unit * log_uniform(1e-9, 1e3, rng);
        let regulariser = match rng.random_range(0..10) {
            0 | 1 => Regulariser::None,
            2..=4 => Regulariser::Entropic(eps),
            _ => Regulariser::Quadratic(eps),
        };
        let grouped = n > 1 && rng.random_bool(0.3);
        let groups = grouped.then(|| {
            let q = rng.random_range(1..=n);
            let mut groups: Vec<usize> =
                (0..n).map(|j| if j < q { j } else { rng.random_range(0..q) }).collect();
            rand::seq::SliceRandom::shuffle(&mut groups[..], rng);
            groups
        });
        let q = groups.as_ref().map_or(n, |groups| groups.iter().max().map_or(0, |g| g + 1));
        let column_costs = rng.random_bool(0.3).then(|| {
            let unit = self::unit(&excess, rng);
            (0..q)
                .map(|_| if rng.random_bool(0.3) { 0.0 } else { unit * rng.random::<f64>() })
                .collect()
        });
        let row_masses = match rng.random_range(0..4) {
            0 => Some((0..n).map(|_| rng.random_range(0.1..2.0)).collect()),
            1 => Some((0..n).map(|_| log_uniform(1e-4, 1e3, rng)).collect::<Vec<f64>>()),
            _ => None,
        };
        let masses = row_masses.clone().unwrap_or_else(|| vec![1.0; n]);
        let rows = budgets(&masses, m, q, groups.as_deref(), norm, rng);
        let name = format!(
            "n = {n}, m = {m}, {kind}, {norm:?}, {regulariser:?} (unit {unit:.1e}), {q} groups, column costs {}, masses {}, {} budgets, first {:e}",
            column_costs.is_some(),
            row_masses.is_some(),
            rows.len(),
            rows[0].limit
        );
        let options = ProgramOptions {
            norm,
            regulariser,
            column_costs,
            row_masses,
            groups,
            ..Default::default()
        };
        Self { costs, rows, options, name }
    }

    /// Every fault of the answer, each with what was seen.
    pub fn faults(&self, rng: &mut ChaCha8Rng) -> Vec<(Fault, String)> {
        let clock = Clock::start();
        let budget = Budget::Rows(self.rows.clone());
        let answer = catch_unwind(AssertUnwindSafe(|| {
            SelectionProgram::new(self.costs.clone(), budget, self.options.clone())?
                .solve(Method::Auto)
        }));
        let seconds = clock.seconds();
        let (n, width) = self.costs.shape();
        let mut faults = match answer {
            Err(_) => return vec![(Fault::Panic, String::new())],
            Ok(Err(error)) => {
                let fast = SelectionProgram::new(
                    self.costs.clone(),
                    Budget::Rows(self.rows.clone()),
                    self.options.clone(),
                )
                .and_then(|program| program.solve(Method::Structured));
                let fast = fast.err().map_or(String::new(), |error| error.to_string());
                vec![(Fault::Refused, format!("{error} / {fast}"))]
            }
            Ok(Ok(selection)) => {
                let mut faults = self.check(&selection);
                if let Some(seen) = bad_gradient(&selection, rng) {
                    faults.push((Fault::Gradient, seen));
                }
                faults
            }
        };
        if seconds > 1.0 && n <= 100 && width - n <= 100 {
            faults.push((Fault::Slow, format!("{seconds:.2} s")));
        }
        faults
    }

    fn check(&self, selection: &Selection) -> Vec<(Fault, String)> {
        let mut faults = Vec::new();
        let mut note = |fault, amount: f64, allowed: f64| {
            if amount.is_nan() || amount > allowed {
                faults.push((fault, format!("{amount:.1e} ({:?})", selection.verdict().method)));
            }
        };
        let (n, _) = self.costs.shape();
        let z = selection.assignment();
        let masses = self.masses();
        let least = z
            .iter()
            .fold(0.0f64, |least, z| if z.is_nan() { f64::NEG_INFINITY } else { least.min(*z) });
        note(Fault::Sign, -least, 0.0);
        let row = |i: usize| (z.row(i).sum() / masses[i] - 1.0).abs();
        note(Fault::RowSum, (0..n).map(row).fold(0.0, larger), EXACT);
        let weights = self.weights(z);
        let off = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a - b).abs() / b.abs() };
        note(
            Fault::Weight,
            selection.weights().iter().zip(&weights).map(off).fold(0.0, larger),
            EXACT,
        );
        let spent = |row: &BudgetRow| {
            row.coefficients.iter().zip(&weights).map(|(a, w)| a * w).sum::<f64>() / row.limit - 1.0
        };
        note(Fault::Budget, self.rows.iter().map(spent).fold(0.0, larger), EXACT);
        let (gap, allowed) = self.gap(selection, &weights);
        note(Fault::Gap, gap, allowed);
        faults
    }

    fn masses(&self) -> Vec<f64> {
        self.options.row_masses.clone().unwrap_or_else(|| vec![1.0; self.costs.nrows()])
    }

    fn groups(&self) -> Vec<Vec<usize>> {
        let n = self.costs.nrows();
        let Some(groups) = &self.options.groups else { return (0..n).map(|j| vec![j]).collect() };
        let mut columns = vec![Vec::new(); self.rows[0].coefficients.len()];
        groups.iter().enumerate().for_each(|(j, g)| columns[*g].push(j));
        columns
    }

    fn weights(&self, z: &DMatrix<f64>) -> Vec<f64> {
        let of = |columns: &Vec<usize>| {
            let entries =
                columns.iter().flat_map(|&j| z.column(j).iter().copied().collect::<Vec<_>>());
            match self.options.norm {
                Norm::One => entries.sum(),
                Norm::Two => {
                    let entries: Vec<f64> = entries.collect();
                    let top = entries.iter().fold(0.0f64, |a, b| a.max(*b)).max(f64::MIN_POSITIVE);
                    top * entries.iter().map(|z| (z / top).powi(2)).sum::<f64>().sqrt()
                }
                Norm::Infinity => entries.fold(0.0, f64::max),
            }
        };
        self.groups().iter().map(of).collect()
    }

    /// Relative duality gap by weak duality at the returned multipliers, and how much of it is allowed:
    /// the bound subtracts numbers of the size of `r'nu` and `h'lambda`, whose rounding it cannot see through.
    fn gap(&self, selection: &Selection, weights: &[f64]) -> (f64, f64) {
        let (n, width) = self.costs.shape();
        let excess = excess(&self.costs);
        let z = selection.assignment();
        let lambda: Vec<f64> = selection.budget_multipliers().iter().copied().collect();
        let mut nu: Vec<f64> =
            (0..n).map(|i| selection.row_multipliers()[i] - self.costs.row(i).min()).collect();
        let column_costs =
            self.options.column_costs.clone().unwrap_or_else(|| vec![0.0; weights.len()]);
        let eps = self.options.regulariser.eps();
        let groups = self.groups();
        let tau = |g: usize| {
            column_costs[g]
                + self.rows.iter().zip(&lambda).map(|(row, l)| row.coefficients[g] * l).sum::<f64>()
        };
        let smooth: f64 = match self.options.regulariser {
            Regulariser::None => 0.0,
            Regulariser::Quadratic(_) => z.iter().map(|z| 0.5 * eps * z * z).sum(),
            Regulariser::Entropic(_) => {
                z.iter().filter(|z| **z > 0.0).map(|z| eps * z * z.ln()).sum()
            }
        };
        let paid: f64 = excess.iter().zip(z).map(|(d, z)| d * z).sum::<f64>()
            + column_costs.iter().zip(weights).map(|(c, s)| c * s).sum::<f64>();
        let masses = self.masses();
        let limits_paid: f64 = self.rows.iter().zip(&lambda).map(|(row, l)| row.limit * l).sum();
        let value = |nu: &[f64], share: f64, regulariser: Regulariser| {
            let v = |i: usize, j: usize| share * nu[i] - excess[(i, j)];
            let masses_paid: f64 = masses.iter().zip(nu).map(|(r, nu)| r * nu).sum();
            let mut inner = 0.0;
            for (g, columns) in groups.iter().enumerate() {
                let v: Vec<f64> = columns
                    .iter()
                    .flat_map(|&j| (0..n).map(move |i| (i, j)))
                    .map(|(i, j)| v(i, j))
                    .collect();
                inner += self.inner(&v, tau(g), regulariser);
            }
            for j in n..width {
                let v: Vec<f64> = (0..n).map(|i| v(i, j)).collect();
                inner += self.inner(&v, 0.0, regulariser);
            }
            share * masses_paid - limits_paid - inner
        };
        // Without the regulariser multipliers are feasible up to rounding: a hair smaller ones are for certain. A
        // smoothing term only adds to that, unless it is entropic: that may fall to `eps r log(r / (n + m))` a row.
        let digit = |i: usize| 4.0 * f64::EPSILON * selection.row_multipliers()[i].abs();
        let raised: Vec<f64> = (0..n).map(|i| nu[i] + digit(i)).collect();
        let lowered = [nu.clone(), raised].map(|mut nu| {
            self.lower(&mut nu, &excess, &tau);
            nu
        });
        let least: f64 = match self.options.regulariser {
            Regulariser::Entropic(_) => masses.iter().map(|r| r * (r / width as f64).ln()).sum(),
            _ => 0.0,
        };
        let shares = (0..12).map(|k| 1.0 - if k == 0 { 0.0 } else { 1e-15 * 10f64.powi(k) });
        let linear = shares
            .flat_map(|share| lowered.iter().map(move |nu| (nu, share)))
            .map(|(nu, share)| value(nu, share, Regulariser::None) + eps * least)
            .fold(f64::NEG_INFINITY, f64::max);
        let value = |nu: &[f64]| value(nu, 1.0, self.options.regulariser);
        let dual = linear.max(value(&nu));
        let tiny = excess.iter().filter(|d| **d > 0.0).fold(f64::INFINITY, |a, b| a.min(*b));
        let tiny = if tiny.is_finite() { 1e-6 * tiny * masses.iter().sum::<f64>() } else { 0.0 };
        let entropic = matches!(self.options.regulariser, Regulariser::Entropic(_));
        let measure = if entropic { eps * masses.iter().sum::<f64>() } else { 0.0 };
        let unit = (paid + smooth.abs() + measure).max(tiny).max(f64::MIN_POSITIVE);
        let rounding =
            1e-13 * (nu.iter().zip(&masses).map(|(nu, r)| nu.abs() * r).sum::<f64>() + limits_paid);
        let allowed = OPTIMAL + rounding / unit;
        let gap = (paid + smooth - dual) / unit;
        if gap <= allowed || eps == 0.0 {
            return (gap, allowed);
        }
        // A multiplier beside a large row minimum is known to the last digit of that minimum only: the best ones
        // within it, one after the other, until that helps no more.
        let digits: Vec<(f64, f64)> =
            (0..n).map(|i| (nu[i] - digit(i), nu[i] + digit(i))).collect();
        let mut best = value(&nu).max(linear);
        for _ in 0..PASSES {
            let before = best;
            for (i, &(mut low, mut high)) in digits.iter().enumerate() {
                let start = nu[i];
                for _ in 0..HALVINGS {
                    let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
                    nu[i] = a;
                    let left = value(&nu);
                    nu[i] = b;
                    if left < value(&nu) { low = a } else { high = b }
                }
                nu[i] = 0.5 * (low + high);
                let found = value(&nu);
                if found > best { best = found } else { nu[i] = start }
            }
            if (paid + smooth - best) / unit <= allowed || best <= before {
                break;
            }
        }
        ((paid + smooth - best) / unit, allowed)
    }

    /// What a linear program's multipliers are beyond a bound of their own is rounding: remembered columns, columns
    /// without a price or of one entry, and with p = 1 all columns, bound each alone.
    fn lower(&self, nu: &mut [f64], excess: &DMatrix<f64>, tau: &dyn Fn(usize) -> f64) {
        let n = nu.len();
        for (g, columns) in self.groups().iter().enumerate() {
            let tau = tau(g);
            let alone = n == 1 && columns.len() == 1;
            if tau > 0.0 && self.options.norm != Norm::One && !alone {
                continue;
            }
            for &j in columns {
                nu.iter_mut().enumerate().for_each(|(i, nu)| *nu = nu.min(excess[(i, j)] + tau));
            }
        }
        for j in n..excess.ncols() {
            nu.iter_mut().enumerate().for_each(|(i, nu)| *nu = nu.min(excess[(i, j)]));
        }
    }

    /// An upper bound of `max over z >= 0 of <v, z> - eps sum phi(z) - tau ||z||_p`, infinite without the
    /// regulariser where `v` is outside the dual ball: `tau ||z|| >= u'z` for any `u` of dual norm `tau`.
    fn inner(&self, v: &[f64], tau: f64, regulariser: Regulariser) -> f64 {
        let positive = |v: f64| v.max(0.0);
        let top = v.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        let entropic = matches!(regulariser, Regulariser::Entropic(_));
        let u: Vec<f64> = match self.options.norm {
            _ if tau <= 0.0 => vec![0.0; v.len()],
            Norm::One => vec![tau; v.len()],
            Norm::Two if entropic => {
                let eps = regulariser.eps();
                let u = entropic_pull(v, tau / eps, eps);
                along(&u, tau)
            }
            Norm::Two => {
                let positive: Vec<f64> = v.iter().map(|v| positive(*v)).collect();
                if norm(&positive) <= tau {
                    return 0.0;
                };
                along(&positive, tau)
            }
            Norm::Infinity => {
                let floor = if entropic { f64::NEG_INFINITY } else { 0.0 };
                let above = |level: f64| v.iter().map(|v| positive(v - level)).sum::<f64>();
                if !entropic && above(0.0) <= tau {
                    return 0.0;
                };
                // Bisection for the level above which `u` takes everything; the upper end leaves less than tau.
                let (mut low, mut high) = (floor.max(top - tau), top);
                for _ in 0..200 {
                    let middle = 0.5 * (low + high);
                    if above(middle) > tau { low = middle } else { high = middle }
                }
                v.iter().map(|v| positive(v - high)).collect()
            }
        };
        let rest = v.iter().zip(u).map(|(v, u)| v - u);
        match regulariser {
            Regulariser::None => {
                if rest.fold(0.0, f64::max) > 0.0 {
                    f64::INFINITY
                } else {
                    0.0
                }
            }
            Regulariser::Quadratic(eps) => rest.map(|v| positive(v).powi(2) / (2.0 * eps)).sum(),
            Regulariser::Entropic(eps) => rest.map(|v| eps * (v / eps - 1.0).exp()).sum(),
        }
    }
}

/// `y > 0` with `y + log y = q + v / eps - 1` and `||y|| = size`, by bisection on `q`.
fn entropic_pull(v: &[f64], size: f64, eps: f64) -> Vec<f64> {
    // Newton's method for the logarithm, from above: the function is convex and rises.
    let y = |x: f64| {
        let mut log = if x > 1.0 { x.ln() } else { x };
        for _ in 0..50 {
            let step = (log.exp() + log - x) / (log.exp() + 1.0);
            log -= step;
            if step <= 1e-16 * log.abs() {
                break;
            }
        }
        log.exp()
    };
    let top = v.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let all = |q: f64| v.iter().map(|v| y(q + (v - top) / eps)).collect::<Vec<f64>>();
    let (mut low, mut high) = (-800.0, size + size.max(1.0).ln() + 1.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if norm(&all(middle)) < size { low = middle } else { high = middle }
    }
    all(0.5 * (low + high))
}

fn along(z: &[f64], tau: f64) -> Vec<f64> {
    let size = norm(z);
    z.iter().map(|z| if size > 0.0 { tau * z / size } else { 0.0 }).collect()
}

fn norm(values: &[f64]) -> f64 {
    let top = values.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    if top > 0.0 { top * values.iter().map(|v| (v / top).powi(2)).sum::<f64>().sqrt() } else { 0.0 }
}

/// `max` that keeps NaN.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn bad_gradient(selection: &Selection, rng: &mut ChaCha8Rng) -> Option<String> {
    let (n, width) = selection.assignment().shape();
    let bar = DMatrix::from_fn(n, width, |_, _| rng.random_range(-1.0..1.0));
    let weights = DVector::from_fn(selection.weights().len(), |_, _| rng.random_range(-1.0..1.0));
    let upstream = Upstream { assignment: Some(&bar), weights: Some(&weights) };
    // The derivative of a linear program's vertex is a dense decomposition: small ones will do.
    if matches!(selection.program().regulariser(), Regulariser::None) && n * width > 400 {
        return None;
    }
    let gradients = match catch_unwind(AssertUnwindSafe(|| selection.pullback(upstream))) {
        Err(_) => return Some("panic".into()),
        Ok(Err(error)) => return Some(error.to_string()),
        Ok(Ok(gradients)) => gradients,
    };
    let parts = [
        ("costs", gradients.costs.as_slice()),
        ("column costs", gradients.column_costs.as_slice()),
        ("row masses", gradients.row_masses.as_slice()),
        ("budgets", gradients.budgets.as_slice()),
        ("eps", &[gradients.eps][..]),
    ];
    parts
        .iter()
        .find(|(_, part)| part.iter().any(|x| !x.is_finite()))
        .map(|(name, _)| name.to_string())
}

fn log_uniform(low: f64, high: f64, rng: &mut ChaCha8Rng) -> f64 {
    (low.ln() + rng.random::<f64>() * (high.ln() - low.ln())).exp()
}

/// What costs have above the smallest of their row.
fn excess(costs: &DMatrix<f64>) -> DMatrix<f64> {
    let least: Vec<f64> = costs.row_iter().map(|row| row.min()).collect();
    DMatrix::from_fn(costs.nrows(), costs.ncols(), |i, j| costs[(i, j)] - least[i])
}

/// The mean excess, or the median of those above zero: with wild costs the two are far apart.
fn unit(excess: &DMatrix<f64>, rng: &mut ChaCha8Rng) -> f64 {
    let mut positive: Vec<f64> = excess.iter().copied().filter(|d| *d > 0.0).collect();
    if positive.is_empty() {
        return 1.0;
    }
    positive.sort_by(f64::total_cmp);
    if rng.random_bool(0.5) { excess.mean() } else { positive[positive.len() / 2] }
}

fn costs(n: usize, m: usize, rng: &mut ChaCha8Rng) -> (&'static str, DMatrix<f64>) {
    let width = n + m;
    let points = |copies: usize, rng: &mut ChaCha8Rng| {
        let distinct = (width / copies).max(1);
        let places = DMatrix::from_fn(distinct, 3, |_, _| rng.random::<f64>());
        let which: Vec<usize> = (0..width)
            .map(|j| if copies == 1 { j } else { rng.random_range(0..distinct) })
            .collect();
        DMatrix::from_fn(n, width, |i, j| {
            (places.row(which[i]) - places.row(which[j])).norm_squared()
        })
    };
    match rng.random_range(0..10) {
        0 => ("points", points(1, rng)),
        1 => ("duplicates", points(3, rng)),
        2 => ("uniform", DMatrix::from_fn(n, width, |_, _| rng.random::<f64>())),
        3 => ("ties", DMatrix::from_fn(n, width, |_, _| f64::from(rng.random_range(0..4u8)))),
        4 => ("negative", DMatrix::from_fn(n, width, |_, _| rng.random_range(-5.0..1.0))),
        5 => ("all scales", DMatrix::from_fn(n, width, |_, _| log_uniform(1e-12, 1e30, rng))),
        6 => ("all equal", DMatrix::from_element(n, width, 3.5)),
        7 => {
            let unit = log_uniform(1e-12, 1e30, rng);
            ("one scale", points(1, rng) * unit)
        }
        8 => {
            // One point, or column, or a few entries that nobody should use.
            let far = log_uniform(1e2, 1e30, rng);
            let (which, shape) = (rng.random_range(0..n), rng.random_range(0..3));
            let mut costs = points(1, rng);
            for j in 0..width {
                for i in 0..n {
                    let hit = match shape {
                        0 => (i == which) != (j == which),
                        1 => j == which && i != j,
                        _ => i != j && rng.random_bool(0.1),
                    };
                    if hit {
                        costs[(i, j)] = far;
                    }
                }
            }
            ("far", costs)
        }
        _ => {
            let scale: Vec<f64> = (0..n).map(|_| log_uniform(1e-6, 1e12, rng)).collect();
            let points = points(1, rng);
            ("rows of all scales", DMatrix::from_fn(n, width, |i, j| points[(i, j)] * scale[i]))
        }
    }
}

/// Budgets from the exact smallest (without memory: in closed form) to slack, now and then several.
fn budgets(
    masses: &[f64],
    m: usize,
    q: usize,
    groups: Option<&[usize]>,
    p: Norm,
    rng: &mut ChaCha8Rng,
) -> Vec<BudgetRow> {
    let size = match p {
        Norm::One => masses.iter().sum(),
        Norm::Two => norm(masses),
        Norm::Infinity => masses.iter().fold(0.0, |a: f64, b| a.max(*b)),
    };
    let total: f64 = masses.iter().sum();
    let mut sizes = vec![0.0f64; q];
    match groups {
        Some(groups) => groups.iter().for_each(|g| sizes[*g] += 1.0),
        None => sizes.fill(1.0),
    }
    let share = |a: f64, size: f64| match p {
        Norm::One => a,
        Norm::Two => a / size.sqrt(),
        Norm::Infinity => a / size,
    };
    let count = if rng.random_bool(0.3) { rng.random_range(2..4) } else { 1 };
    let coefficients: Vec<Vec<f64>> = (0..count)
        .map(|b| match b {
            0 if rng.random_bool(0.7) => vec![1.0; q],
            _ => (0..q)
                .map(|_| if rng.random_bool(0.2) { 0.0 } else { rng.random_range(0.1..2.0) })
                .collect(),
        })
        .collect();
    // Without memory one group can take everything evenly; whichever it is, all budgets are met by it.
    let smallest = |row: &Vec<f64>| {
        row.iter().zip(&sizes).map(|(a, s)| share(*a, *s)).fold(f64::INFINITY, f64::min)
    };
    let witness = (0..q).min_by(|&a, &b| {
        share(coefficients[0][a], sizes[a]).total_cmp(&share(coefficients[0][b], sizes[b]))
    });
    let witness = witness.unwrap_or(0);
    let level = match rng.random_range(0..4) {
        0 => 1.0,
        1 => 1.0 + log_uniform(1e-9, 1e-2, rng),
        _ => 1.0 + rng.random::<f64>() * (total / size).max(1.0),
    };
    coefficients
        .into_iter()
        .enumerate()
        .map(|(b, row)| {
            let limit = if m > 0 {
                total
                    * if rng.random_bool(0.3) {
                        log_uniform(1e-9, 1.0, rng)
                    } else {
                        rng.random_range(0.01..1.2)
                    }
            } else if b == 0 && smallest(&row) > 0.0 {
                level * size * smallest(&row)
            } else {
                level * size * share(row[witness], sizes[witness]).max(1e-3)
            };
            BudgetRow { coefficients: row, limit }
        })
        .collect()
}
