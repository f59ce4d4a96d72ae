//! What a program is made of besides its costs, and how it is solved.

use nalgebra::DMatrix;

#[cfg(doc)]
use super::Verdict;

/// The norm that turns a column of the assignment into a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Norm {
    /// Sum: total mass. No diversity within a batch.
    One,
    /// Euclidean.
    Two,
    /// Largest entry: weights lie in `[0, r_max]`.
    #[default]
    Infinity,
}

impl Norm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
            Self::Infinity => "inf",
        }
    }

    /// `||values||_p` for non-negative values.
    pub(super) fn of(self, values: impl Iterator<Item = f64>) -> f64 {
        match self {
            Self::One => values.sum(),
            Self::Two => values.map(|v| v * v).sum::<f64>().sqrt(),
            Self::Infinity => values.fold(0.0, f64::max),
        }
    }
}

/// The smoothing term `R_eps`; the number is `eps > 0`, in the units of the costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Regulariser {
    /// No smoothing: a linear (p = 1, inf) or second-order cone (p = 2) program.
    None,
    /// `eps/2 ||Z||_F^2`: sparse assignments, piecewise smooth.
    Quadratic(f64),
    /// `eps sum Z log Z`: dense assignments, smooth.
    Entropic(f64),
}

impl Regulariser {
    /// `eps`, zero for [`Regulariser::None`].
    pub fn eps(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Quadratic(eps) | Self::Entropic(eps) => eps,
        }
    }

    /// `phi(z)` of `R_eps = eps sum phi(z)`.
    pub(super) fn value(self, z: f64) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Quadratic(_) => 0.5 * z * z,
            Self::Entropic(_) if z > 0.0 => z * z.ln(),
            Self::Entropic(_) => 0.0,
        }
    }

    /// `phi'(z)` for a live entry.
    pub(super) fn slope(self, z: f64) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Quadratic(_) => z,
            Self::Entropic(_) => 1.0 + z.ln(),
        }
    }
}

/// How much weight the incoming points may carry.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Budget {
    /// `sum(t) <= fraction * n`.
    Fraction(f64),
    /// `sum(t) <= kappa`.
    Absolute(f64),
    /// One or more rows of `G t <= h`: quotas a class, costs a point, sizes of groups.
    Rows(Vec<BudgetRow>),
}

/// One budget: `sum_g coefficients_g * t_g <= limit`.
///
/// # Example
/// A quota a class beside the total: of two points in all, at most one is to be a zebra. And a knapsack: what
/// labelling a point costs, in minutes.
/// ```
/// use gleaner::program::{Budget, BudgetRow, Method, ProgramOptions, SelectionProgram};
/// use nalgebra::DMatrix;
///
/// let places = [0.0_f64, 1.0, 2.1, 9.0, 10.3];
/// let zebra = [1.0, 1.0, 0.0, 1.0, 0.0];
/// let minutes = [1.0, 1.0, 6.0, 2.0, 1.0];
/// let costs = DMatrix::from_fn(5, 5, |i, j| (places[i] - places[j]).abs());
/// let budget = |limit_in_minutes| {
///     Budget::Rows(vec![
///         BudgetRow { coefficients: vec![1.0; 5], limit: 2.0 },
///         BudgetRow { coefficients: zebra.to_vec(), limit: 1.0 },
///         BudgetRow { coefficients: minutes.to_vec(), limit: limit_in_minutes },
///     ])
/// };
/// let solve = |limit| -> gleaner::Result<_> {
///     let options = ProgramOptions::default();
///     SelectionProgram::new(costs.clone(), budget(limit), options)?.solve(Method::Auto)
/// };
/// let spent = |weights: &[f64], row: &[f64]| weights.iter().zip(row).map(|(w, a)| w * a).sum::<f64>();
///
/// let generous = solve(100.0)?;
/// assert!(spent(generous.weights().as_slice(), &zebra) <= 1.0 + 1e-8);
/// // With little time the point that takes six minutes has to go.
/// let hurried = solve(2.5)?;
/// assert!(spent(hurried.weights().as_slice(), &minutes) <= 2.5 + 1e-8);
/// assert!(hurried.weights()[2] < 0.1);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetRow {
    /// One coefficient `>= 0` a group (by default: an incoming point).
    pub coefficients: Vec<f64>,
    /// The limit `h > 0`.
    pub limit: f64,
}

/// Who solves the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Structured, reference if that does not converge; the [`Verdict`] says which ran and why.
    #[default]
    Auto,
    /// Clarabel, a general interior-point solver, followed by an active-set refinement when eps > 0.
    /// Slow, trusted.
    Reference,
    /// Fast: semismooth Newton on the dual; for an eps that is zero or next to nothing beside the costs within
    /// a proximal point method, with p = 1 and a budget that prices all groups alike by one sort. Where that gets nowhere
    /// (costs of all scales, a budget that is only just feasible), a primal-dual interior point on the same structure.
    Structured,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Reference => "reference",
            Self::Structured => "structured",
        }
    }
}

/// When a solve counts as finished, and how much it may try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SolveOptions {
    /// Who solves.
    pub method: Method,
    /// Largest relative KKT residual of the structured solver and of the refinement: row masses
    /// relative to the largest mass, budgets relative to their limit; never below what rounding
    /// leaves, about 1e-15 times the typical cost over eps. Stationarity holds to rounding.
    pub tolerance: f64,
    /// Largest number of Newton steps of a stage of the structured solver.
    pub max_iterations: usize,
    /// Clarabel's feasibility, absolute and relative gap tolerance; at 1e-9 it gives up on a few in a
    /// hundred second-order cone programs.
    pub reference_tolerance: f64,
    /// Clarabel's iteration limit.
    pub reference_max_iterations: usize,
}

impl Default for SolveOptions {
    fn default() -> Self {
        Self {
            method: Method::Auto,
            tolerance: 1e-10,
            max_iterations: 300,
            reference_tolerance: 1e-8,
            reference_max_iterations: 200,
        }
    }
}

impl From<Method> for SolveOptions {
    fn from(method: Method) -> Self {
        Self { method, ..Self::default() }
    }
}

/// What a program may have besides costs and budget. Start from `ProgramOptions::default()`.
///
/// # Example
/// Utterances of three speakers, chosen a speaker at a time; a session with the third costs extra.
/// ```
/// use gleaner::program::{Budget, Method, Norm, ProgramOptions, SelectionProgram};
/// use nalgebra::DMatrix;
///
/// let accents = [0.0_f64, 0.2, 0.1, 0.3, 0.15, 5.0];
/// let speakers = vec![0, 0, 1, 1, 2, 2];
/// let costs = DMatrix::from_fn(6, 6, |i, j| (accents[i] - accents[j]).powi(2));
/// let options = ProgramOptions {
///     norm: Norm::Two,
///     groups: Some(speakers),
///     column_costs: Some(vec![0.0, 0.0, 0.5]),
///     ..Default::default()
/// };
/// let program = SelectionProgram::new(costs, Budget::Absolute(4.0), options)?;
/// let selection = program.solve(Method::Auto)?;
/// assert_eq!(selection.weights().len(), 3); // a weight a speaker
/// assert!(selection.weights()[2] > 0.9); // dear, but nobody else sounds like the last utterance
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramOptions {
    /// The norm of the weights.
    pub norm: Norm,
    /// The smoothing term.
    pub regulariser: Regulariser,
    /// `c`, one entry `>= 0` a group: a price for each unit of weight. Default: zero.
    pub column_costs: Option<Vec<f64>>,
    /// `r`, one entry `> 0` an incoming point. Default: one.
    pub row_masses: Option<Vec<f64>>,
    /// The group of each incoming column, numbered `0..q` without gaps; groups are weighted as a
    /// whole. Default: a group a column.
    ///
    /// With p = inf a row may spread over `k` like columns of a group at `1/k` each and so open the group
    /// at `1/k` of its price. Where a group is bought as a whole (facility location), leave each row one
    /// column a group, the nearest, and do not allow the others.
    pub groups: Option<Vec<usize>>,
    /// Which columns may stand in for which rows, `n x (n + m)`; at least one a row. Default: all. What is not
    /// allowed costs nothing to exclude; a huge cost in its place would be a number like any other, on which
    /// nothing is known to be forbidden. Costs that are not allowed are not looked at.
    pub allowed: Option<DMatrix<bool>>,
}

impl Default for ProgramOptions {
    /// p = inf, quadratic with eps = 0.1, no column costs, unit masses, a group a column.
    fn default() -> Self {
        Self {
            norm: Norm::Infinity,
            regulariser: Regulariser::Quadratic(0.1),
            column_costs: None,
            row_masses: None,
            groups: None,
            allowed: None,
        }
    }
}
