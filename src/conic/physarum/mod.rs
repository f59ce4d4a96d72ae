//! Linear programs by the slime mould's dynamics.

mod normal;

use std::sync::Arc;

use super::pattern::Pattern;
use crate::error::{Error, Result};
use normal::{Normal, largest};

/// A program is held to be infeasible once any point of it is proved to cost this many times the present one.
const FAR: f64 = 1e8;
/// Share of the way to zero that an entry may go in one step.
const SHY: f64 = 0.9;

/// How a [`Physarum`] iterates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhysarumOptions {
    /// `mu > 0`, in units of the objective: the answer costs `n mu` more than the bound that its potentials prove.
    pub smoothing: f64,
    /// `h` in `(0, 1]`, the share of a step that is taken; shortened where an entry would lose its sign.
    pub step: f64,
    /// Largest `|x_j s_j - mu|` in units of `mu`, and largest residual of `A x = b` relative to `b`, to stop at. Rounding
    /// leaves of the first about `1e-16 c_j x_j / mu`.
    pub tolerance: f64,
    /// Steps at most.
    pub max_iterations: usize,
}

impl Default for PhysarumOptions {
    fn default() -> Self {
        Self { smoothing: 1e-6, step: 0.9, tolerance: 1e-8, max_iterations: 20_000 }
    }
}

impl PhysarumOptions {
    fn check(&self) -> Result<()> {
        // NaN is neither.
        if !(self.smoothing > 0.0 && self.smoothing.is_finite()) {
            return Err(Error::range("smoothing", "> 0 and finite", self.smoothing));
        }
        if !(self.step > 0.0 && self.step <= 1.0) {
            return Err(Error::range("step", "in (0, 1]", self.step));
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(Error::range("tolerance", "in (0, 1)", self.tolerance));
        }
        Ok(())
    }
}

/// Linear programs with positive costs, solved by the iteration that models how the slime mould *Physarum polycephalum* finds
/// short ways, and differentiated at its fixed point.
///
/// ```text
/// minimise c'x   subject to  A x = b,  x >= 0          c > 0: n costs,  A: m x n
///
/// W = diag(x / c),   A W A' p = b - mu A (1/c),   s = c - A'p
/// x <- (1 - h) x + h (W A'p + mu / c)   =   x + h (mu - x s) / c
/// ```
///
/// Tubes of conductance `x / c` carry a flow that potentials `p` drive through them, and grow where it exceeds them. With
/// `mu = 0` this is the iteration of the papers, which converges to the optimum; but then every vertex is a fixed point, and
/// the optimal one does not move with `c`. With `mu > 0` there is one fixed point, where `x_j s_j = mu` and `A x = b`: that
/// of the central path, the answer of
///
/// ```text
/// minimise c'x - mu sum_j log x_j   subject to  A x = b
/// ```
///
/// and [`pullback`](PhysarumSolution::pullback) is the exact derivative of that point, in `c`, `A` and `b`. As `mu`
/// goes to zero it goes, at a vertex that is unique and not degenerate, to the linear program's own: `dx_B / db = B^-1` for the
/// basic columns `B`, and nothing in `c`.
///
/// # When to use it
/// For a smoothed linear program whose smoothing should keep `x` positive, or for the dynamics themselves. Not for speed:
/// a coordinate that is zero in the answer falls by the factor `1 - h s_j / c_j` a step, so that a column whose reduced
/// cost is a thousandth of its cost takes thousands of steps, a factorisation each, where [`ConicProgram`](super::ConicProgram)
/// takes ten to twenty. The example `physarum` prints a table; it never won.
///
/// # Cost
/// A step is a sparse factorisation of `A W A'`; memory is that of its pattern and factor. Clones share the pattern.
///
/// # Example
/// The shorter of two ways, of lengths 1 and 3, and how much of what more arrives goes along it.
/// ```
/// use gleaner::conic::{Pattern, Physarum, PhysarumOptions};
///
/// let ways = Physarum::new(Pattern::dense(1, 2))?;
/// let options = PhysarumOptions { smoothing: 1e-4, ..Default::default() };
/// let found = ways.solve(&[1.0, 3.0], &[1.0, 1.0], &[1.0], &options)?;
/// assert!((found.x()[0] - 1.0).abs() < 1e-4 && found.x()[1] < 1e-4);
/// assert!(found.verdict().objective - found.verdict().bound <= 2e-4);
///
/// let slopes = found.pullback(&[1.0, 0.0])?;
/// assert!((slopes.right[0] - 1.0).abs() < 1e-4 && slopes.costs[0].abs() < 1e-3);
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # References
/// - D. Straszak, N. K. Vishnoi, *On a Natural Dynamics for Linear Programming*, ITCS 2016: the iteration for linear programs
///   with positive costs, and that it converges.
/// - A. Johannson, J. Zou, *A Slime Mold Solver for Linear Programming Problems*, CiE 2012.
///
/// # Differences from the papers
/// The source `mu / c`, with which the fixed point is that of the logarithmic barrier; steps are shortened rather than small.
#[derive(Clone, Debug)]
pub struct Physarum {
    constraints: Pattern,
    normal: Arc<Normal>,
}

impl Physarum {
    /// Programs whose `A` has entries there.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for no rows or no columns.
    pub fn new(constraints: Pattern) -> Result<Self> {
        for (what, found) in
            [("number of rows", constraints.rows()), ("number of variables", constraints.columns())]
        {
            if found == 0 {
                return Err(Error::range(what, ">= 1", 0.0));
            }
        }
        Ok(Self { normal: Arc::new(Normal::new(constraints.clone())), constraints })
    }

    /// Iterates from a multiple of `1 / c` to the fixed point. `constraints` are the entries of `A` in the order of its
    /// pattern.
    ///
    /// # Errors
    /// [`Error::Shape`] for values of the wrong number, [`Error::NotFinite`] for NaN or infinity among them,
    /// [`Error::OutOfRange`] for a cost that is not positive or options out of range; [`Error::NoSolution`] where equations
    /// contradict each other, or potentials prove that any `x` would cost a hundred million times the present one;
    /// [`Error::NotConverged`] after [`max_iterations`](PhysarumOptions::max_iterations), as for programs without a point whose
    /// entries are all positive.
    pub fn solve(
        &self,
        costs: &[f64],
        constraints: &[f64],
        right: &[f64],
        options: &PhysarumOptions,
    ) -> Result<PhysarumSolution> {
        options.check()?;
        self.check(costs, constraints, right)?;
        let data = Data {
            costs: costs.into(),
            a: constraints.into(),
            b: right.into(),
            mu: options.smoothing,
        };
        let mut x = self.start(&data)?;
        let mut residual = f64::INFINITY;
        for iterations in 0..options.max_iterations {
            let at = self.look(&data, &x)?;
            residual = at.off.max(at.primal);
            if residual <= options.tolerance {
                let verdict = PhysarumVerdict {
                    objective: dot(costs, &x),
                    bound: at.bound,
                    primal_residual: at.primal,
                    centring: at.off,
                    iterations,
                };
                let (program, p, s) = (self.clone(), at.p, at.s);
                return Ok(PhysarumSolution { program, data, x, p, s, verdict });
            }
            let steepest = at.s.iter().zip(costs).fold(0.0, |most: f64, (s, c)| most.max(s / c));
            let h = options.step.min(SHY / steepest);
            for ((x, s), c) in x.iter_mut().zip(&at.s).zip(costs) {
                *x += h * (data.mu - *x * s) / c;
            }
        }
        let (iterations, tolerance) = (options.max_iterations, options.tolerance);
        Err(Error::NotConverged { method: "physarum", iterations, residual, tolerance })
    }

    fn check(&self, costs: &[f64], constraints: &[f64], right: &[f64]) -> Result<()> {
        let (rows, columns) = (self.constraints.rows(), self.constraints.columns());
        finite("costs", costs, &Pattern::dense(columns, 1))?;
        finite("A", constraints, &self.constraints)?;
        finite("b", right, &Pattern::dense(rows, 1))?;
        match costs.iter().find(|cost| **cost <= 0.0) {
            Some(&cost) => Err(Error::range("cost", "> 0", cost)),
            None => Ok(()),
        }
    }

    /// The multiple of `1 / c` that costs what its potentials say.
    fn start(&self, data: &Data) -> Result<Vec<f64>> {
        let ones: Vec<f64> = data.costs.iter().map(|c| 1.0 / c).collect();
        let weights: Vec<f64> = ones.iter().map(|x| x * x).collect();
        let (p, residual) = self.normal.factor(&data.a, &weights).solve(&data.b);
        // Rounding leaves far less of equations that agree; NaN is not small.
        let agree = residual <= 1e-6 * largest(&data.b);
        if !agree {
            let found = "infeasible: equations contradict each other".into();
            return Err(Error::NoSolution { found });
        }
        let scale = (dot(&data.b, &p).max(0.0) / ones.len() as f64).sqrt().max(data.mu);
        Ok(ones.iter().map(|x| scale * x).collect())
    }

    /// Potentials and what they say of `x`.
    fn look(&self, data: &Data, x: &[f64]) -> Result<Look> {
        let weights: Vec<f64> = x.iter().zip(&data.costs).map(|(x, c)| x / c).collect();
        let source: Vec<f64> = data.costs.iter().map(|c| -data.mu / c).collect();
        let mut right = data.b.clone();
        self.constraints.add_product(&data.a, &source, &mut right);
        let (p, _) = self.normal.factor(&data.a, &weights).solve(&right);
        let mut pulled = vec![0.0; x.len()];
        self.constraints.add_transposed(&data.a, &p, &mut pulled);
        // The largest multiple of p that is dual feasible proves a bound.
        let most =
            pulled.iter().zip(&data.costs).fold(f64::NEG_INFINITY, |most, (g, c)| most.max(g / c));
        let (worth, cost) = (dot(&data.b, &p), dot(&data.costs, x));
        let bound = match (worth > 0.0, most > 0.0) {
            (false, _) => 0.0,
            (true, true) => worth / most,
            (true, false) => f64::INFINITY,
        };
        if bound > FAR * cost {
            let found = format!("infeasible, or its objective above {bound:.1e}");
            return Err(Error::NoSolution { found });
        }
        let s: Vec<f64> = data.costs.iter().zip(&pulled).map(|(c, g)| c - g).collect();
        let off =
            x.iter().zip(&s).fold(0.0, |off: f64, (x, s)| off.max((x * s / data.mu - 1.0).abs()));
        let mut missing: Vec<f64> = data.b.iter().map(|b| -b).collect();
        self.constraints.add_product(&data.a, x, &mut missing);
        let primal = largest(&missing) / largest(&data.b).max(f64::MIN_POSITIVE.sqrt());
        Ok(Look { p, s, off, primal, bound })
    }
}

#[derive(Clone, Debug)]
struct Data {
    costs: Vec<f64>,
    a: Vec<f64>,
    b: Vec<f64>,
    mu: f64,
}

struct Look {
    p: Vec<f64>,
    s: Vec<f64>,
    off: f64,
    primal: f64,
    bound: f64,
}

/// How good an answer is, and what it took.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PhysarumVerdict {
    /// `c'x`.
    pub objective: f64,
    /// What any feasible `x` costs at least: `b'p` for the largest multiple of the potentials with `A'p <= c`.
    pub bound: f64,
    /// Largest entry of `A x - b`, relative to the largest of `b`.
    pub primal_residual: f64,
    /// Largest `|x_j s_j - mu|`, in units of `mu`.
    pub centring: f64,
    /// Steps taken.
    pub iterations: usize,
}

/// The fixed point of [`Physarum::solve`].
#[derive(Clone, Debug)]
pub struct PhysarumSolution {
    program: Physarum,
    data: Data,
    x: Vec<f64>,
    p: Vec<f64>,
    s: Vec<f64>,
    verdict: PhysarumVerdict,
}

/// A gradient in the numbers of a program.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PhysarumGradients {
    /// In `c`.
    pub costs: Vec<f64>,
    /// In the entries of `A`.
    pub constraints: Vec<f64>,
    /// In `b`.
    pub right: Vec<f64>,
}

impl PhysarumSolution {
    /// `x`, all positive.
    pub fn x(&self) -> &[f64] {
        &self.x
    }

    /// The potentials `p`, multipliers of `A x = b`.
    pub fn potentials(&self) -> &[f64] {
        &self.p
    }

    /// The certificate.
    pub fn verdict(&self) -> &PhysarumVerdict {
        &self.verdict
    }

    /// The gradient of a loss in the program's numbers, from that in `x`: of the fixed point, `mu` held.
    ///
    /// ```text
    /// D = diag(x / s)     A D A' y = A D g     v = D (g - A'y)
    /// db = y              dc = -v              dA = p v' - y x'
    /// ```
    ///
    /// # Cost
    /// A factorisation like that of a step.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NotFinite`] for a gradient that does not fit.
    pub fn pullback(&self, gradient: &[f64]) -> Result<PhysarumGradients> {
        let constraints = &self.program.constraints;
        finite("gradient", gradient, &Pattern::dense(self.x.len(), 1))?;
        let weights: Vec<f64> = self.x.iter().zip(&self.s).map(|(x, s)| x / s).collect();
        let mut right = vec![0.0; self.p.len()];
        let pulled: Vec<f64> = weights.iter().zip(gradient).map(|(d, g)| d * g).collect();
        constraints.add_product(&self.data.a, &pulled, &mut right);
        let (y, _) = self.program.normal.factor(&self.data.a, &weights).solve(&right);
        let mut v: Vec<f64> = gradient.iter().map(|g| -g).collect();
        constraints.add_transposed(&self.data.a, &y, &mut v);
        v.iter_mut().zip(&weights).for_each(|(v, d)| *v *= -d);
        let entry = |(i, j): (usize, usize)| self.p[i] * v[j] - y[i] * self.x[j];
        Ok(PhysarumGradients {
            constraints: constraints.places().map(entry).collect(),
            costs: v.iter().map(|v| -v).collect(),
            right: y,
        })
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn finite(what: &'static str, values: &[f64], pattern: &Pattern) -> Result<()> {
    if values.len() != pattern.len() {
        return Err(Error::shape(what, pattern.len(), values.len()));
    }
    match pattern.places().zip(values).find(|(_, value)| !value.is_finite()) {
        Some(((row, column), &found)) => Err(Error::NotFinite { what, row, column, found }),
        None => Ok(()),
    }
}
