//! The program in clarabel's form: slow, general, trusted.
//!
//! Variables `Z` (column by column), `t`, and for the entropic regulariser one epigraph variable an
//! entry. Constraints in this order, `A x + s = b` with `s` in the cone:
//!
//! ```text
//! zero          Z 1 = r
//! non-negative  h - G t;  Z (not entropic);  p = inf: t_g - Z_ij;  p = 1: t_g - sum Z_ij
//! second order  p = 2: (t_g, Z_g), a cone a group
//! exponential   entropic: (-u_ij, Z_ij, 1), that is u_ij >= Z_ij log Z_ij
//! ```
//!
//! Interior-point multipliers identify the active set; a few Newton steps of the dual from there give
//! the solution to rounding (eps > 0), which accurate derivatives need.

use clarabel::algebra::CscMatrix;
use clarabel::solver::{
    DefaultSettings, DefaultSolver, IPSolver, SolverStatus, SupportedConeT as Cone,
};
use nalgebra::{DMatrix, DVector};

use super::certificate;
use super::scaled::Scaled;
use super::structured::Newton;
use super::{Method, Norm, Regulariser, Selection, SelectionProgram, SolveOptions};
use crate::error::{Error, Result};

/// Newton steps granted to the refinement: it starts next to the solution.
const REFINEMENT_STEPS: usize = 50;
/// Costs beyond this many times their median are all alike to an interior point.
const CLIP: f64 = 1e6;
/// Entries below this, relative to the largest mass, may be an interior point's zeros.
const NEGLIGIBLE: f64 = 1e-6;
/// Interior points started, each with a tolerance so many times that of the one before, until an answer is accepted.
const TRIES: i32 = 5;
/// Costs up to which that is worth its time.
const RETRIED: usize = 4000;
const FINER: f64 = 1e-2;

pub(super) fn solve(program: &SelectionProgram, options: &SolveOptions) -> Result<Selection> {
    let scaled = Scaled::new(program);
    let try_at = |tolerance| {
        let answer = interior_point(&scaled, options, tolerance)?;
        conclude(answer, &scaled, options)
    };
    let first = try_at(options.reference_tolerance);
    let small = program.costs.len() <= RETRIED;
    if !(small && matches!(first, Err(Error::NotConverged { .. }))) {
        return first;
    }
    // A gap of 1e-9 of the costs is not small where the optimum is next to nothing; asked for more than it can
    // give, an interior point loses what it has, so one step at a time.
    let finer = (1..TRIES).map(|k| options.reference_tolerance * FINER.powi(k));
    finer.map(try_at).find(Result::is_ok).unwrap_or(first)
}

/// The solution that an interior point's answer leads to.
fn conclude(answer: Answer, scaled: &Scaled, options: &SolveOptions) -> Result<Selection> {
    if scaled.program.regulariser != Regulariser::None {
        let (nu, lambda) = (answer.nu.clone(), answer.lambda.clone());
        let mut newton = Newton::new(scaled, nu, lambda, scaled.eps);
        newton.finish(options.tolerance, REFINEMENT_STEPS);
        if let Ok(mut selection) = newton.conclude() {
            let moved = (selection.assignment() - &answer.assignment).amax();
            selection.record_reference(answer.iterations, moved);
            return Ok(selection);
        }
    }
    answer.accept(scaled)
}

/// What clarabel returned, in the solver's units.
struct Answer {
    assignment: DMatrix<f64>,
    nu: DVector<f64>,
    lambda: DVector<f64>,
    iterations: usize,
}

impl Answer {
    /// The interior-point answer as it is: without a regulariser, or where the refinement found no
    /// multipliers (a budget that is only just feasible has none).
    fn accept(self, scaled: &Scaled) -> Result<Selection> {
        let all = certificate::entries(&self.assignment);
        // What an interior point leaves everywhere costs little, but more than an optimum of zero.
        let least = NEGLIGIBLE * scaled.program.row_masses.amax();
        let large = all.iter().copied().filter(|e| e.value > least).collect();
        let feasible = (feasible_rows(scaled, self.nu.clone(), &self.lambda), self.lambda.clone());
        let multipliers = [feasible, (self.nu, self.lambda)];
        let made = [large, all].map(|entries| {
            let (scaled, multipliers) = (scaled.clone(), multipliers.clone());
            Selection::from_vertex(scaled, entries, multipliers, Method::Reference, self.iterations)
        });
        let gap =
            |made: &Result<Selection>| made.as_ref().map_or(f64::INFINITY, |m| m.verdict().gap);
        let [large, all] = made;
        if gap(&large) <= gap(&all) { large } else { all }
    }
}

/// Row multipliers that are feasible without the regulariser; a solver's are up to its tolerance. What single columns
/// bound is bounded; for the rest all are lowered alike, by no more than it takes.
pub(super) fn feasible_rows(
    scaled: &Scaled,
    mut nu: DVector<f64>,
    lambda: &DVector<f64>,
) -> DVector<f64> {
    let program = &scaled.program;
    let n = program.incoming();
    let mut bound = |j: usize, tau: f64| {
        for (i, nu) in nu.iter_mut().enumerate() {
            *nu = nu.min(scaled.cost(i, program.costs[(i, j)]) + tau);
        }
    };
    for (group, columns) in program.groups.iter().enumerate() {
        let tau = scaled.threshold(group, lambda);
        if program.norm == Norm::One || tau == 0.0 {
            columns.iter().for_each(|&j| bound(j, tau));
        }
    }
    (n..program.costs.ncols()).for_each(|j| bound(j, 0.0));
    // Where all is feasible nothing is live, with the regulariser that has dead entries.
    let mut plain = scaled.clone();
    plain.program.regulariser = Regulariser::Quadratic(scaled.scale);
    let feasible = |nu: &DVector<f64>| {
        let newton = Newton::new(&plain, nu.clone(), lambda.clone(), 1.0);
        newton.into_point(&mut 0).entries.is_empty()
    };
    let size = nu.amax();
    let digits = (0..=16).rev().map(|digits| 10f64.powi(-digits));
    let lowered = digits
        .flat_map(|share| [nu.map(|nu| nu - share * nu.abs()), nu.map(|nu| nu - share * size)]);
    let first = std::iter::once(nu.clone());
    first.chain(lowered).find(feasible).unwrap_or_else(|| nu.map(|nu| nu - size))
}

/// What clarabel makes of the program; where it ran out of digits too, as every answer is judged later.
fn interior_point(scaled: &Scaled, options: &SolveOptions, tolerance: f64) -> Result<Answer> {
    let form = Form::new(scaled);
    let settings = DefaultSettings {
        verbose: false,
        max_threads: 1,
        direct_solve_method: "qdldl".into(),
        max_iter: u32::try_from(options.reference_max_iterations).unwrap_or(u32::MAX),
        tol_feas: tolerance,
        tol_gap_abs: tolerance,
        tol_gap_rel: tolerance,
        ..DefaultSettings::default()
    };
    let refused = |residual, iterations| Error::NotConverged {
        method: Method::Reference.name(),
        iterations,
        residual,
        tolerance: options.reference_tolerance,
    };
    let mut solver = DefaultSolver::new(
        &form.quadratic(scaled),
        &form.linear,
        &form.matrix(),
        &form.right,
        &form.cones,
        settings,
    )
    .map_err(|_| refused(f64::NAN, 0))?;
    solver.solve();
    let solution = &solver.solution;
    let (n, width) = scaled.program.costs.shape();
    let budgets = scaled.program.limits.len();
    match solution.status {
        SolverStatus::PrimalInfeasible | SolverStatus::AlmostPrimalInfeasible => {
            return Err(Error::InfeasibleProgram {
                method: Method::Reference.name(),
                found: format!("{:?}", solution.status),
            });
        }
        SolverStatus::Solved
        | SolverStatus::AlmostSolved
        | SolverStatus::InsufficientProgress
        | SolverStatus::NumericalError => {}
        _ => {
            return Err(refused(
                solution.r_prim.max(solution.r_dual),
                solution.iterations as usize,
            ));
        }
    }
    Ok(Answer {
        // Interior points are positive up to the tolerance; below it they are zero.
        assignment: DMatrix::from_iterator(
            n,
            width,
            form.index.iter().map(|k| k.map_or(0.0, |k| solution.x[k].max(0.0))),
        ),
        nu: DVector::from_iterator(n, solution.z[..n].iter().map(|y| -y)),
        lambda: DVector::from_iterator(
            budgets,
            solution.z[n..n + budgets].iter().map(|y| y.max(0.0)),
        ),
        iterations: solution.iterations as usize,
    })
}

/// Costs of what is allowed in the solver's units, none so large that it hides the others: no interior point can tell 1e20 from
/// 1e30. Whether it mattered shows when the answer is judged by the costs as given.
fn clipped(scaled: &Scaled) -> Vec<f64> {
    let mut costs: Vec<f64> = scaled.costs().filter(|cost| cost.is_finite()).collect();
    let mut positive: Vec<f64> = costs.iter().copied().filter(|cost| *cost > 0.0).collect();
    let middle = positive.len() / 2;
    if positive.is_empty() {
        positive.push(1.0);
    }
    let (_, median, _) = positive.select_nth_unstable_by(middle, f64::total_cmp);
    let most = CLIP * *median;
    costs.iter_mut().for_each(|cost| *cost = cost.min(most));
    costs
}

/// Rows of `A` as triplets, with `b`, the cones and the linear objective.
struct Form {
    /// The variable of each entry of `Z`, column by column; `None` where a column is not allowed.
    index: Vec<Option<usize>>,
    z_count: usize,
    variables: usize,
    entries: (Vec<usize>, Vec<usize>, Vec<f64>),
    right: Vec<f64>,
    cones: Vec<Cone<f64>>,
    linear: Vec<f64>,
}

impl Form {
    fn new(scaled: &Scaled) -> Self {
        let program = &scaled.program;
        let (n, width) = scaled.program.costs.shape();
        let q = program.groups.len();
        let entropic = scaled.entropic();
        let allowed = scaled.program.costs.iter().map(|cost| cost.is_finite());
        let mut z_count = 0;
        let mut number = |allowed: bool| {
            z_count += usize::from(allowed);
            allowed.then(|| z_count - 1)
        };
        let index: Vec<Option<usize>> = allowed.map(&mut number).collect();
        let mut linear = clipped(scaled);
        linear.extend(scaled.column_costs.iter());
        if entropic {
            linear.extend(std::iter::repeat_n(scaled.eps, z_count));
        }
        let mut form = Self {
            index,
            z_count,
            variables: linear.len(),
            entries: Default::default(),
            right: Vec::new(),
            cones: Vec::new(),
            linear,
        };
        for i in 0..n {
            let row = form.numbered((0..width).map(|j| i + j * n), 1.0);
            form.row(row, program.row_masses[i]);
        }
        form.cones.push(Cone::ZeroConeT(n));
        for (row, &limit) in program.coefficients.row_iter().zip(&program.limits) {
            form.row(row.iter().enumerate().map(|(g, &a)| (z_count + g, a)), limit);
        }
        if !entropic {
            (0..z_count).for_each(|k| form.row([(k, -1.0)], 0.0));
        }
        match program.norm {
            Norm::One => form.sums(program),
            Norm::Infinity => form.caps(program),
            Norm::Two => {}
        }
        form.cones.push(Cone::NonnegativeConeT(form.right.len() - n));
        if program.norm == Norm::Two {
            form.second_order(program);
        }
        if entropic {
            for k in 0..z_count {
                form.row([(z_count + q + k, 1.0)], 0.0);
                form.row([(k, -1.0)], 0.0);
                form.row([], 1.0);
                form.cones.push(Cone::ExponentialConeT());
            }
        }
        form
    }

    /// The variables of entries, each with a value.
    fn numbered(&self, entries: impl Iterator<Item = usize>, value: f64) -> Vec<(usize, f64)> {
        entries.filter_map(|k| self.index[k]).map(|variable| (variable, value)).collect()
    }

    /// The variables of a group's entries.
    fn group(&self, columns: &[usize], n: usize, value: f64) -> Vec<(usize, f64)> {
        self.numbered(columns.iter().flat_map(|j| j * n..(j + 1) * n), value)
    }

    fn row(&mut self, entries: impl IntoIterator<Item = (usize, f64)>, right: f64) {
        let row = self.right.len();
        for (column, value) in entries {
            self.entries.0.push(row);
            self.entries.1.push(column);
            self.entries.2.push(value);
        }
        self.right.push(right);
    }

    fn sums(&mut self, program: &SelectionProgram) {
        for (g, columns) in program.groups.iter().enumerate() {
            let mut entries = self.group(columns, program.incoming(), 1.0);
            entries.push((self.z_count + g, -1.0));
            self.row(entries, 0.0);
        }
    }

    fn caps(&mut self, program: &SelectionProgram) {
        for (g, columns) in program.groups.iter().enumerate() {
            for entry in self.group(columns, program.incoming(), 1.0) {
                self.row([entry, (self.z_count + g, -1.0)], 0.0);
            }
        }
    }

    fn second_order(&mut self, program: &SelectionProgram) {
        for (g, columns) in program.groups.iter().enumerate() {
            self.row([(self.z_count + g, -1.0)], 0.0);
            let entries = self.group(columns, program.incoming(), -1.0);
            let size = 1 + entries.len();
            entries.into_iter().for_each(|entry| self.row([entry], 0.0));
            self.cones.push(Cone::SecondOrderConeT(size));
        }
    }

    fn matrix(&self) -> CscMatrix<f64> {
        let (rows, columns, values) = self.entries.clone();
        CscMatrix::new_from_triplets(self.right.len(), self.variables, rows, columns, values)
    }

    /// `eps` on the diagonal of `Z` for the quadratic regulariser, else empty.
    fn quadratic(&self, scaled: &Scaled) -> CscMatrix<f64> {
        let size = self.variables;
        match scaled.program.regulariser {
            Regulariser::Quadratic(_) => {
                let on: Vec<usize> = (0..self.z_count).collect();
                CscMatrix::new_from_triplets(
                    size,
                    size,
                    on.clone(),
                    on.clone(),
                    vec![scaled.eps; on.len()],
                )
            }
            _ => CscMatrix::zeros((size, size)),
        }
    }
}
