//! A solved program: assignment, weights, verdict, and its pullback.

use std::sync::OnceLock;

use nalgebra::{DMatrix, DVector};

use super::certificate::{self, Certificate};
use super::dual::Point;
use super::margins::Margins;
use super::prox::Entry;
use super::proximal::Pair;
use super::scaled::Scaled;
use super::system::System;
use super::{Method, SelectionProgram, proximal};
use crate::error::{Error, Result};

/// How a solve ended. A solve that did not finish is an error, so every verdict describes a solution.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// Objective at the returned assignment.
    pub primal: f64,
    /// Lower bound on the optimal objective.
    pub dual: f64,
    /// `primal - dual` relative to the answer's own size: what it pays above the row minima, its smoothing
    /// term and its column costs. At most 1e-6 and 1e-14 of the [sensitivity](Self::sensitivity); 1e-8 of that if a
    /// budget is used up to its tolerance.
    pub gap: f64,
    /// By how much the objective moves, in the unit of the gap, for a relative change of row masses and budgets: these
    /// times their multipliers. Where it is beyond 1e8, the last digits of the program as given decide about the
    /// objective, and no bound in `f64` is closer than that.
    pub sensitivity: f64,
    /// Largest violation of a row's mass or a budget by the returned assignment, relative to that mass or
    /// limit.
    pub residual: f64,
    /// Newton steps, or interior-point iterations.
    pub iterations: usize,
    /// The solver whose answer this is; never [`Method::Auto`].
    pub method: Method,
    /// Why [`Method::Auto`] turned from structured to reference, if it did.
    pub fallback: Option<String>,
    /// For the reference solver: how far the active-set refinement moved the assignment from
    /// clarabel's own answer (largest entry); `None` if there was no refinement.
    pub refinement: Option<f64>,
}

/// What a user should know before trusting a gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Diagnostics {
    /// Rows shared by two or more columns: only these pass gradient to their costs.
    pub live_rows: usize,
    /// Conditions (entry zero or not, at the cap or below it, group live or not, budget tight or
    /// slack) that hold by less than 1e-7 of the mean cost. If any, the derivative is one-sided and an
    /// element of the generalised derivative is returned.
    pub weakly_active: usize,
    /// The smallest such distance, in units of the mean cost.
    pub margin: f64,
    /// `||M y - b|| / ||b||` of the adjoint solve; zero before a pullback.
    pub backward_residual: f64,
    /// An estimate of the smallest over the mean eigenvalue of the adjoint matrix (a few steps of inverse
    /// iteration, or of conjugate gradients); one before a pullback. Near zero (common with p = inf, where
    /// rows hang together by one cap) the row multipliers are not unique: the gradients of costs, column costs
    /// and budgets are still exact, that of row masses is one of several one-sided ones.
    pub conditioning: f64,
}

/// Multipliers of a solved program: where to start on a similar one, see
/// [`SelectionProgram::solve_from`].
#[derive(Clone, Debug, PartialEq)]
pub struct Multipliers {
    /// `nu`, one an incoming point.
    pub rows: DVector<f64>,
    /// `lambda >= 0`, one a budget row.
    pub budgets: DVector<f64>,
}

impl Multipliers {
    pub(super) fn check(&self, program: &SelectionProgram) -> Result<()> {
        let found = (self.rows.len(), self.budgets.len());
        let expected = (program.incoming(), program.limits.len());
        if found != expected {
            return Err(Error::shape("multipliers (rows, budgets)", expected, found));
        }
        super::finite_entries("row multipliers", self.rows.as_slice())?;
        super::finite_entries("budget multipliers", self.budgets.as_slice())
    }
}

/// What the pullback differentiates.
#[derive(Clone, Debug)]
pub(super) enum Face {
    /// A smoothed program: the dual point in the solver's units and the last system solved on the way.
    Smooth(Box<(Point, System)>),
    /// A program without a regulariser: the solution sits on a face of the feasible set.
    Vertex,
}

/// The solution of a [`SelectionProgram`]. It owns what its derivative needs.
///
/// # Example
/// How the weights answer to the budget: here it is tight, so their sum rises one for one with it.
/// ```
/// use gleaner::program::{Budget, Method, ProgramOptions, SelectionProgram, Upstream};
/// use nalgebra::{DMatrix, DVector};
///
/// let points = [0.0_f64, 0.3, 1.0, 1.6];
/// let costs = DMatrix::from_fn(4, 4, |i, j| (points[i] - points[j]).abs());
/// let program = SelectionProgram::new(costs, Budget::Absolute(2.2), ProgramOptions::default())?;
/// let selection = program.solve(Method::Auto)?;
///
/// let every_weight = DVector::from_element(4, 1.0);
/// let gradients = selection.pullback(Upstream { weights: Some(&every_weight), assignment: None })?;
/// // The weights sum to the budget, so their sum rises one for one with it.
/// assert!((gradients.budgets[0] - 1.0).abs() < 1e-9);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Selection {
    /// The program, and the solver's units.
    pub(super) scaled: Scaled,
    /// Made when asked for: few of its entries are not zero.
    assignment: OnceLock<DMatrix<f64>>,
    weights: DVector<f64>,
    multipliers: Multipliers,
    verdict: Verdict,
    pub(super) margins: OnceLock<Margins>,
    pub(super) face: Face,
}

impl Selection {
    /// From a dual point that is converged at the program's own `eps`, if its assignment passes.
    pub(super) fn from_dual(
        scaled: Scaled,
        mut point: Point,
        system: System,
        method: Method,
        iterations: usize,
    ) -> Result<Self> {
        let bound = point.bound(&scaled.program);
        let certificate = Certificate::of(&scaled, &mut point.entries, bound);
        let certificate = certificate.accept(method, iterations)?;
        let multipliers = point.multipliers(&scaled);
        let face = Face::Smooth(Box::new((point, system)));
        Ok(Self::new(scaled, certificate, face, multipliers, method, iterations))
    }

    /// From an assignment, and multipliers in the solver's units: the first are feasible without the regulariser.
    pub(super) fn from_vertex(
        scaled: Scaled,
        mut entries: Vec<Entry>,
        multipliers: impl IntoIterator<Item = Pair>,
        method: Method,
        iterations: usize,
    ) -> Result<Self> {
        let program = &scaled.program;
        let (point, bound) = proximal::best_bound(&scaled, multipliers);
        let certificate =
            Certificate::of(&scaled, &mut entries, bound).accept(method, iterations)?;
        let assignment = certificate.assignment.clone();
        let assignment = assignment.unwrap_or_else(|| certificate::matrix(program, entries.iter()));
        // Other multipliers prove that nothing is best up to the rounding of their own numbers only.
        let point = match certificate.free {
            true => proximal::best_bound(&scaled, std::iter::empty()).0,
            false => point,
        };
        let multipliers = point.multipliers(&scaled);
        let face = match point.value.is_finite() {
            true => Face::Smooth(Box::new((point, System::default()))),
            false => Face::Vertex, // never evaluated: the bound is that of the linear program
        };
        let mut selection = Self::new(scaled, certificate, face, multipliers, method, iterations);
        selection.assignment = assignment.into();
        Ok(selection)
    }

    fn new(
        scaled: Scaled,
        certificate: Certificate,
        face: Face,
        multipliers: Multipliers,
        method: Method,
        iterations: usize,
    ) -> Self {
        let Certificate { weights, primal, dual, gap, magnitude, residual, assignment, .. } =
            certificate;
        Self {
            scaled,
            assignment: assignment.map_or_else(OnceLock::new, OnceLock::from),
            weights,
            multipliers,
            verdict: Verdict {
                primal,
                dual,
                gap: gap.abs(),
                sensitivity: magnitude,
                residual,
                iterations,
                method,
                fallback: None,
                refinement: None,
            },
            margins: OnceLock::new(),
            face,
        }
    }

    pub(super) fn record_fallback(&mut self, reason: String) {
        self.verdict.fallback = Some(reason);
    }

    pub(super) fn record_reference(&mut self, iterations: usize, moved: f64) {
        self.verdict.method = Method::Reference;
        self.verdict.iterations = iterations;
        self.verdict.refinement = Some(moved);
    }

    /// The program that was solved.
    pub fn program(&self) -> &SelectionProgram {
        &self.scaled.program
    }

    /// `Z`, `n x (n + m)`; rows sum to the row masses.
    pub fn assignment(&self) -> &DMatrix<f64> {
        self.assignment.get_or_init(|| match &self.face {
            Face::Smooth(face) => certificate::matrix(self.program(), face.0.entries.iter()),
            // A vertex is made with its assignment.
            Face::Vertex => DMatrix::zeros(0, 0),
        })
    }

    /// Adds `Z` to a matrix that lies row by row.
    pub(crate) fn add_to_rows(&self, rows: &mut [f64]) {
        let width = self.program().costs().ncols();
        match (&self.face, self.assignment.get()) {
            (Face::Smooth(face), None) => {
                let entries = face.0.entries.iter();
                entries.for_each(|e| rows[e.row() * width + e.column()] += e.value);
            }
            _ => {
                for (j, column) in self.assignment().column_iter().enumerate() {
                    let places = rows[j..].iter_mut().step_by(width);
                    places.zip(&column).for_each(|(place, z)| *place += z);
                }
            }
        }
    }

    /// `s`, one weight a group (by default: an incoming point).
    pub fn weights(&self) -> &DVector<f64> {
        &self.weights
    }

    /// `nu`: the price of one unit of row mass.
    pub fn row_multipliers(&self) -> &DVector<f64> {
        &self.multipliers.rows
    }

    /// `lambda >= 0`: by how much the optimal cost falls for one more unit of each budget.
    pub fn budget_multipliers(&self) -> &DVector<f64> {
        &self.multipliers.budgets
    }

    /// Both, to start a similar program from.
    pub fn multipliers(&self) -> &Multipliers {
        &self.multipliers
    }

    /// How the solve ended.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The unit of multipliers: the largest of a row above its cheapest column.
    pub(super) fn unit(&self) -> f64 {
        let above = &self.multipliers.rows - &self.scaled.row_shift;
        if above.amax() > 0.0 { above.amax() } else { self.scaled.scale }
    }
}

impl Diagnostics {
    /// Below this distance (in units of the mean cost) a condition counts as weakly active: a change
    /// of the parameters by rounding of an `f32` could flip it.
    pub const WEAK: f64 = 1e-7;
}
