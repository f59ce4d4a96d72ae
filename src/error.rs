//! The only error type: every variant says what was wrong, what was expected and what was found.

use std::path::PathBuf;

/// `Result` with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call was refused or did not finish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array, tensor or list has the wrong shape or length.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// The shape or length it must have.
        expected: String,
        /// The shape or length it has.
        found: String,
    },
    /// A number lies outside its allowed range (NaN lies outside every range).
    #[error("{what} must be {rule}, found {found}")]
    OutOfRange {
        /// The argument.
        what: &'static str,
        /// The allowed range, in words.
        rule: &'static str,
        /// The number found.
        found: f64,
    },
    /// An entry of an array is NaN or infinite.
    #[error("{what} must be finite, found {found} at row {row}, column {column}")]
    NotFinite {
        /// The argument.
        what: &'static str,
        /// Row of the first such entry.
        row: usize,
        /// Column of the first such entry.
        column: usize,
        /// The entry.
        found: f64,
    },
    /// No assignment meets the budget.
    #[error(
        "infeasible: with no remembered columns and p = {norm} the budget must be at least {smallest}, found {budget}"
    )]
    Infeasible {
        /// The norm of the program.
        norm: &'static str,
        /// The budget asked for.
        budget: f64,
        /// The smallest feasible budget.
        smallest: f64,
    },
    /// A solver found the constraints inconsistent, where no closed form could tell beforehand.
    #[error("infeasible: {method} proved that no assignment meets all budgets ({found})")]
    InfeasibleProgram {
        /// The solver that proved it.
        method: &'static str,
        /// The solver's own words.
        found: String,
    },
    /// The places of a sparse matrix are not compressed columns.
    #[error("sparse pattern: {rule}; column {column} has {found}")]
    Pattern {
        /// What must hold.
        rule: &'static str,
        /// The first column where it does not.
        column: usize,
        /// The row or start found there.
        found: usize,
    },
    /// A quadratic objective curves downwards.
    #[error(
        "{what} must be positive semidefinite; it curves downwards at variable {variable} ({found:.3e})"
    )]
    NotConvex {
        /// The matrix.
        what: &'static str,
        /// The variable whose pivot is negative.
        variable: usize,
        /// The pivot, relative to the diagonal entry; or that entry itself, if it is negative.
        found: f64,
    },
    /// A problem is not convex by the rules of curvature.
    #[error("not convex: {rule}; found {expression}")]
    NotDcp {
        /// The rule it breaks.
        rule: &'static str,
        /// The expression that breaks it.
        expression: String,
    },
    /// A problem is not affine in its parameters.
    #[error("parameters: {rule}; found {expression}")]
    NotDpp {
        /// The rule it breaks.
        rule: &'static str,
        /// The expression that breaks it.
        expression: String,
    },
    /// An expression whose shapes or numbers do not fit.
    #[error("{expression}: expected that {rule}, found {found}")]
    Expression {
        /// What must hold.
        rule: &'static str,
        /// The expression where it does not.
        expression: String,
        /// What is there instead.
        found: String,
    },
    /// A parameter of a problem is missing, there twice, not used, or has a value it may not have.
    #[error("parameter {name:?}: expected {expected}, found {found}")]
    Parameter {
        /// Its name.
        name: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A conic program has no solution to give.
    #[error("no solution: the program is {found}")]
    NoSolution {
        /// What it is instead.
        found: String,
    },
    /// Another of several ranks that do one job together failed, and all stop.
    #[error(
        "rank {rank}: expected all ranks to succeed, found that rank {failed} failed; it says why"
    )]
    Rank {
        /// This one.
        rank: usize,
        /// The first that failed.
        failed: usize,
    },
    /// A solver stopped before it met its tolerance.
    #[error(
        "{method} stopped after {iterations} iterations: residual {residual:.1e} > {tolerance:.1e}"
    )]
    NotConverged {
        /// The solver.
        method: &'static str,
        /// Iterations used.
        iterations: usize,
        /// Relative residual reached.
        residual: f64,
        /// Relative residual asked for.
        tolerance: f64,
    },
    /// A solver could not prove its answer, and one cost stands so far above the others that it leaves no digits for them.
    #[error(
        "{method} stopped after {iterations} iterations: the cost {cost:.1e} at row {row}, column {column} spoils the scale, where the median is {typical:.1e} above its row's least; leave that pair out with `allowed`"
    )]
    Scale {
        /// The solver.
        method: &'static str,
        /// Iterations used.
        iterations: usize,
        /// Row of the largest cost.
        row: usize,
        /// Column of the largest cost.
        column: usize,
        /// The cost, as given.
        cost: f64,
        /// The median of all costs above the least of their rows.
        typical: f64,
    },
    /// The chosen solver does not handle this kind of program.
    #[error("{method} does not solve {what}; use {instead}")]
    Unsupported {
        /// The solver.
        method: &'static str,
        /// The kind of program.
        what: &'static str,
        /// What to use.
        instead: &'static str,
    },
    /// A data file is missing, truncated or not what it should be.
    #[error("{path}: expected {expected}, found {found}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it must hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// The operating system refused to read or write a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A run's folder belongs to another configuration, or to another process.
    #[error(
        "{path}: this run has {expected}, found {found}; use the same settings or another folder",
        path = path.display()
    )]
    Configuration {
        /// The file that says so.
        path: PathBuf,
        /// What the run there has.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// The system refused a thread or a process.
    #[error("cannot start {what}: {source}")]
    Start {
        /// What was to be started.
        what: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A name was looked up and is not there.
    #[error("{what}: no {found:?}; there is {expected}")]
    Unknown {
        /// The kind of thing.
        what: &'static str,
        /// The names there are.
        expected: String,
        /// The name asked for.
        found: String,
    },
    /// A tensor operation failed.
    #[error("tensor: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// What the system said of a file.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// A number outside its allowed range.
    pub(crate) fn range(what: &'static str, rule: &'static str, found: f64) -> Self {
        Self::OutOfRange { what, rule, found }
    }

    /// Shape error from anything printable.
    pub(crate) fn shape(
        what: &'static str,
        expected: impl std::fmt::Debug,
        found: impl std::fmt::Debug,
    ) -> Self {
        Self::Shape { what, expected: format!("{expected:?}"), found: format!("{found:?}") }
    }
}

/// So that a failed selection can travel through candle's own `Result`, for example out of a user's
/// `Module::forward`.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Tensor(inner) => inner,
            other => candle_core::Error::wrap(other),
        }
    }
}
