//! The selection program, its solvers and its derivative, in `f64` on nalgebra.
//!
//! A batch has `n` incoming points; `m` exemplars are remembered from before. The `n x (n + m)` cost
//! matrix `D` says how badly column `j` stands in for incoming point `i`; the incoming columns come
//! first. The program is
//!
//! ```text
//! minimise    <D, Z> + R_eps(Z) + <c, t>               over Z (n x (n + m)) and t (one a group)
//! subject to  Z >= 0,  Z 1 = r                         every incoming point is represented
//!             || Z_{:,g} ||_p <= t_g                   for every group g of incoming columns
//!             G t <= h                                 budgets; by default sum(t) <= kappa
//!
//! R_eps(Z) = eps/2 ||Z||_F^2  (quadratic)    eps sum Z log Z  (entropic)    0  (none)
//! ```
//!
//! `Z` is the *assignment*; the *weight* of a group (by default: of an incoming point) is
//! `s_g = ||Z_{:,g}||_p`. Remembered columns cost no budget.
//!
//! # Choosing the norm
//! `p = inf` (default) and `p = 2` couple the rows: near-duplicates share one representative. With
//! `p = 1` the constraint collapses to "total mass on incoming columns at most kappa", and two
//! near-duplicates far from memory are both taken; it is the program of the HOST-CP paper's code.
//!
//! # Choosing eps
//! A linear program's solution is a vertex and its cost derivative is zero almost everywhere. `eps`
//! smooths it: tie it to the costs (0.1 of their median is a good start) and look at
//! [`Diagnostics::live_rows`]: a row passes gradient to its costs only if two or more columns share it.
//!
//! # References
//! - E. Elhamifar, M. C. De Paolis Kaluza, *Online Summarization via Submodular and Convex
//!   Optimization*, CVPR 2017: the program with incoming and remembered columns.
//! - S. Das, A. Singh, S. Chatterjee, S. Bhattacharya, S. Bhattacharya, *Finding High-Value Training
//!   Data Subset through Differentiable Convex Programming*, ECML-PKDD 2021, arXiv 2104.13794: its use
//!   as a layer.
//! - A. Agrawal et al., *Differentiable Convex Optimization Layers*, NeurIPS 2019; B. Amos,
//!   J. Z. Kolter, *OptNet*, ICML 2017: implicit differentiation of the KKT conditions.
//!
//! # Differences from the papers
//! The regulariser, p = inf as the default, groups, several budget rows and column costs are added.

mod adjoint;
mod barrier;
mod candidates;
mod certificate;
mod checks;
mod cholesky;
mod conjugate;
mod derivative;
mod direct;
mod dual;
mod gradients;
mod interior;
mod least;
mod linear;
mod margins;
mod options;
mod perturbed;
mod prox;
mod proximal;
mod reference;
mod scale;
mod scaled;
mod selection;
mod start;
mod structured;
mod system;
mod typical;
mod vertex;

use std::ops::Range;
use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use checks::{
    Groups, budget_rows, finite, finite_entries, groups_of, masked, positive, survey, vector,
    within_reach,
};

pub use gradients::{Gradients, Upstream};
pub use options::*;
pub use selection::{Diagnostics, Multipliers, Selection, Verdict};
pub(crate) use typical::typical;

/// Costs up to which the reference solver takes milliseconds.
const SMALL: usize = 4000;
/// Further attempts of the structured solver before the reference has its turn.
const FEW: usize = 4;

/// A checked selection program; see the [module](self) for the formula.
///
/// # Example
/// Two near-duplicates and one point apart, nothing remembered, budget for two points. The pair is
/// represented once; which of the two is a tie, so their weights share it.
/// ```
/// use gleaner::program::{Budget, Method, ProgramOptions, SelectionProgram};
/// use nalgebra::dmatrix;
///
/// let costs = dmatrix![
///     0.0, 0.1, 4.0;
///     0.1, 0.0, 4.0;
///     4.0, 4.0, 0.0
/// ];
/// let program = SelectionProgram::new(costs, Budget::Absolute(2.0), ProgramOptions::default())?;
/// let selection = program.solve(Method::Auto)?;
/// let w = selection.weights();
/// assert!((w[0] + w[1] - 1.0).abs() < 1e-6 && (w[2] - 1.0).abs() < 1e-6);
/// assert!(selection.verdict().gap < 1e-8);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SelectionProgram {
    /// Shared by the program and its solutions; infinite where a column is not allowed.
    costs: Arc<DMatrix<f64>>,
    /// The smallest cost of each row among incoming and among remembered columns (infinite without any).
    nearest: [Vec<f64>; 2],
    /// The mean of what the costs have above the minima of their rows.
    excess: f64,
    norm: Norm,
    regulariser: Regulariser,
    column_costs: DVector<f64>,
    row_masses: DVector<f64>,
    groups: Groups,
    /// `G`, budgets x groups.
    coefficients: DMatrix<f64>,
    /// `h`.
    limits: DVector<f64>,
}

impl SelectionProgram {
    /// Checks everything once; a program that exists is well-formed.
    ///
    /// `costs` is `n x (n + m)`: row `i` an incoming point, the first `n` columns the incoming points,
    /// the last `m` (zero or more) the remembered ones.
    ///
    /// # Errors
    /// [`Error::Shape`] for an empty matrix, fewer columns than rows, or an option of the wrong length;
    /// [`Error::NotFinite`] for NaN or infinity; [`Error::OutOfRange`] for `eps <= 0` in a regulariser,
    /// a budget `<= 0`, a fraction above 1, negative column costs or coefficients, masses `<= 0`;
    /// [`Error::Shape`] for a row without an allowed column; [`Error::Infeasible`] where a closed form shows that no assignment meets a budget (only without
    /// remembered columns; the message names the smallest budget).
    pub fn new(costs: DMatrix<f64>, budget: Budget, options: ProgramOptions) -> Result<Self> {
        let (n, width) = costs.shape();
        if n == 0 || width < n {
            return Err(Error::Shape {
                what: "costs",
                expected: "n rows and n + m columns, n >= 1, m >= 0".into(),
                found: format!("{n} x {width}"),
            });
        }
        let costs = masked(costs, options.allowed)?;
        let (nearest, excess) = survey(&costs)?;
        if !matches!(options.regulariser, Regulariser::None) {
            positive("eps", options.regulariser.eps())?;
            within_reach("eps", [options.regulariser.eps()].iter())?;
        }
        let groups = groups_of(options.groups, n)?;
        let q = groups.len();
        let column_costs = vector("column costs", options.column_costs, q, 0.0)?;
        within_reach("column cost", column_costs.iter())?;
        for &cost in &column_costs {
            if cost < 0.0 {
                return Err(Error::range("column cost", ">= 0", cost));
            }
        }
        let row_masses = vector("row masses", options.row_masses, n, 1.0)?;
        row_masses.iter().try_for_each(|&mass| positive("row mass", mass))?;
        let (coefficients, limits) = budget_rows(budget, n, q)?;
        let program = Self {
            costs: Arc::new(costs),
            nearest,
            excess,
            norm: options.norm,
            regulariser: options.regulariser,
            column_costs: column_costs.into(),
            row_masses: row_masses.into(),
            groups,
            coefficients,
            limits,
        };
        program.check_feasible()?;
        Ok(program.without_idle_budgets())
    }

    /// Number of incoming points `n`.
    pub fn incoming(&self) -> usize {
        self.costs.nrows()
    }

    /// Number of remembered exemplars `m`.
    pub fn remembered(&self) -> usize {
        self.costs.ncols() - self.costs.nrows()
    }

    /// Number of groups, and so of weights (`n` unless groups were given).
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The `n x (n + m)` costs; infinite where a column is not allowed.
    pub fn costs(&self) -> &DMatrix<f64> {
        &self.costs
    }

    /// The norm of the weights.
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// The smoothing term.
    pub fn regulariser(&self) -> Regulariser {
        self.regulariser
    }

    /// `h`, one limit a budget row.
    pub fn limits(&self) -> &DVector<f64> {
        &self.limits
    }

    /// `r`, one mass an incoming point.
    pub fn row_masses(&self) -> &DVector<f64> {
        &self.row_masses
    }

    /// `c`, one cost a group.
    pub fn column_costs(&self) -> &DVector<f64> {
        &self.column_costs
    }

    /// Solves the program.
    ///
    /// # Cost
    /// Structured: Newton steps of `O(e + n l^2 + c^3 / 6)` with `e` entries near the live ones, `c` live groups
    /// in all and `l` a row (conjugate gradients in `O(e)` an iteration for more than about a hundred groups),
    /// and a few scans of the costs, `O(n (n + m))`. With memory and eps a tenth of the mean cost one to ten
    /// steps; without memory, with large groups or a smaller eps some tens. Where they lead nowhere, 20 to 150 steps of
    /// `O(n^2 q + n (n + m))` with `q` groups. Reference: a sparse interior point over `n (n + m)` variables, hundreds
    /// of times slower.
    ///
    /// # Errors
    /// [`Error::NotConverged`] with the residual reached, or [`Error::Scale`] with the cost that leaves no digits for the
    /// others; [`Error::InfeasibleProgram`] if several budget rows exclude each other.
    ///
    /// For p = 2 without memory a budget a hair above the smallest is next to none, yet moves the answer by the root of
    /// that. Such programs are solved, but for some whose costs spread over tens of orders of magnitude and masses over
    /// seven: of random ones one in twelve is refused at 1e-9 of the smallest above it, one in two hundred at 1e-6, hardly
    /// one from 1e-4 on. The smallest budget itself is solved in closed form, whatever the costs: ask for that, or for more.
    pub fn solve(&self, options: impl Into<SolveOptions>) -> Result<Selection> {
        self.solve_with(None, options.into())
    }

    /// Solves the program from the multipliers of a similar one, say of the same points a training step
    /// earlier: the structured solver then takes two or three Newton steps where it would take ten.
    /// A start that leads nowhere costs time, never the answer; the reference solver makes no use of it.
    ///
    /// # Errors
    /// As [`solve`](Self::solve); [`Error::Shape`] or [`Error::NotFinite`] for multipliers that do not fit.
    ///
    /// # Example
    /// ```
    /// use gleaner::program::{Budget, Method, SelectionProgram};
    /// use nalgebra::DMatrix;
    ///
    /// let solve = |drift: f64| {
    ///     let costs = DMatrix::from_fn(30, 50, |i, j| ((i * 7 + j * 3) % 11) as f64 * (1.0 + drift));
    ///     SelectionProgram::new(costs, Budget::Fraction(0.3), Default::default())
    /// };
    /// let before = solve(0.0)?.solve(Method::Auto)?;
    /// let program = solve(1e-3)?;
    /// let (warm, cold) =
    ///     (program.solve_from(&before.multipliers(), Method::Auto)?, program.solve(Method::Auto)?);
    /// assert!((warm.verdict().primal - cold.verdict().primal).abs() < 1e-8);
    /// assert!(warm.verdict().iterations <= cold.verdict().iterations);
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    pub fn solve_from(
        &self,
        start: &Multipliers,
        options: impl Into<SolveOptions>,
    ) -> Result<Selection> {
        start.check(self)?;
        self.solve_with(Some(start), options.into())
    }

    fn solve_with(&self, start: Option<&Multipliers>, options: SolveOptions) -> Result<Selection> {
        let structured = || match self.regulariser {
            Regulariser::None if linear::applies(self) => linear::solve(self),
            _ => structured::solve(self, start, &options),
        };
        let linear = self.regulariser == Regulariser::None;
        let insist = |some: Range<usize>| structured::insist(self, &options, some);
        let reference = |error: &Error| {
            let mut selection = reference::solve(self, &options)?;
            selection.record_fallback(error.to_string());
            Ok(selection)
        };
        let solved = match options.method {
            Method::Reference => reference::solve(self, &options),
            Method::Structured => structured().or_else(|error| insist(0..usize::MAX).ok_or(error)),
            // The reference is the faster of the two for small linear programs.
            Method::Auto => structured().or_else(|error| {
                let few = if linear && self.costs.len() <= SMALL { 0 } else { FEW };
                let first = insist(0..few).map_or_else(|| reference(&error), Ok);
                first.or_else(|error| match error {
                    Error::InfeasibleProgram { .. } => Err(error),
                    _ => insist(few..usize::MAX).ok_or(error),
                })
            }),
        };
        solved.map_err(|error| scale::explain(self, error))
    }

    /// The same program with other costs and column costs `>= 0`.
    fn with_costs(&self, costs: DMatrix<f64>, column_costs: DVector<f64>) -> Result<Self> {
        let (nearest, excess) = survey(&costs)?;
        within_reach("column cost", column_costs.iter())?;
        Ok(Self { costs: Arc::new(costs), nearest, excess, column_costs, ..self.clone() })
    }

    /// A budget that no assignment can exceed is none: it would leave its multiplier undetermined, for the weight of
    /// a group is at most what its columns hold.
    fn without_idle_budgets(mut self) -> Self {
        let total = self.row_masses.sum();
        for (mut row, limit) in self.coefficients.row_iter_mut().zip(&self.limits) {
            if row.max() * total <= limit * (1.0 + 1e-12) {
                row.fill(0.0);
            }
        }
        self
    }

    /// What it takes of a budget to have one group represent everything evenly.
    fn spread_over(&self, budget: usize, group: usize) -> f64 {
        let size = self.groups.columns(group).len() as f64;
        let share = match self.norm {
            Norm::One => 1.0,
            Norm::Two => size.sqrt(),
            Norm::Infinity => size,
        };
        self.norm.of(self.row_masses.iter().copied()) * self.coefficients[(budget, group)] / share
    }

    /// Without memory, `sum_g a_g ||Z_g||_p >= ||r||_p * min_g a_g / |g|^(1 - 1/p)` by the triangle
    /// inequality, with equality for one group that takes everything evenly.
    fn smallest_budget(&self, budget: usize) -> f64 {
        let groups = 0..self.groups.len();
        groups.map(|group| self.spread_over(budget, group)).fold(f64::INFINITY, f64::min)
    }

    fn check_feasible(&self) -> Result<()> {
        if self.remembered() > 0 {
            return Ok(());
        }
        for (budget, &limit) in self.limits.iter().enumerate() {
            let smallest = self.smallest_budget(budget);
            // A budget computed as the bound itself must pass despite rounding.
            if limit < smallest * (1.0 - 1e-12) {
                return Err(Error::Infeasible { norm: self.norm.name(), budget: limit, smallest });
            }
        }
        Ok(())
    }
}
