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

use super::dual::Scaled;
use super::selection::{ACCEPTED_GAP, relative_gap};
use super::structured::Newton;
use super::{
    Method, Multipliers, Norm, Regulariser, Selection, SelectionProgram, SolveOptions, Verdict,
};
use crate::error::{Error, Result};

/// Newton steps granted to the refinement: it starts next to the solution.
const REFINEMENT_STEPS: usize = 50;

pub(super) fn solve(program: &SelectionProgram, options: &SolveOptions) -> Result<Selection> {
    let scaled = Scaled::new(program);
    let answer = interior_point(&scaled, options)?;
    if program.regulariser != Regulariser::None {
        let (nu, lambda) = (answer.nu.clone(), answer.lambda.clone());
        let mut newton = Newton::new(&scaled, nu, lambda, scaled.eps);
        let (residual, tolerance) = newton.finish(options.tolerance, REFINEMENT_STEPS);
        if residual <= tolerance {
            let (point, system, _) = newton.into_parts();
            let refined = Selection::from_dual(
                scaled.clone(),
                point,
                system,
                Method::Reference,
                answer.iterations,
            );
            if let Ok(mut selection) = refined {
                selection.record_refinement((selection.assignment() - &answer.assignment).amax());
                return Ok(selection);
            }
        }
    }
    answer.accept(scaled, options)
}

/// What clarabel returned, in the solver's units.
struct Answer {
    assignment: DMatrix<f64>,
    nu: DVector<f64>,
    lambda: DVector<f64>,
    dual: f64,
    residual: f64,
    iterations: usize,
    solved: bool,
}

impl Answer {
    /// The interior-point answer as it is: without a regulariser, or where the refinement found no
    /// multipliers (a budget that is only just feasible has none).
    fn accept(self, scaled: Scaled, options: &SolveOptions) -> Result<Selection> {
        let program = &scaled.program;
        let refuse = |residual| {
            Err(Error::NotConverged {
                method: Method::Reference.name(),
                iterations: self.iterations,
                residual,
                tolerance: options.reference_tolerance,
            })
        };
        if !self.solved {
            return refuse(self.residual);
        }
        let primal = program.objective(&self.assignment, &program.weights_of(&self.assignment));
        let dual = self.dual * scaled.scale + scaled.row_shift.dot(&program.row_masses);
        let verdict = Verdict {
            primal,
            dual,
            gap: relative_gap(primal, dual, scaled.scale),
            residual: self.residual,
            iterations: self.iterations,
            method: Method::Reference,
            fallback: None,
            refinement: None,
        };
        let closed = verdict.gap <= ACCEPTED_GAP;
        if !closed {
            return refuse(verdict.gap);
        }
        let rows = self.nu * scaled.scale + &scaled.row_shift;
        let budgets = self.lambda * scaled.scale;
        Ok(Selection::from_vertex(scaled, self.assignment, Multipliers { rows, budgets }, verdict))
    }
}

fn interior_point(scaled: &Scaled, options: &SolveOptions) -> Result<Answer> {
    let form = Form::new(scaled);
    let settings = DefaultSettings {
        verbose: false,
        max_threads: 1,
        direct_solve_method: "qdldl".into(),
        max_iter: u32::try_from(options.reference_max_iterations).unwrap_or(u32::MAX),
        tol_feas: options.reference_tolerance,
        tol_gap_abs: options.reference_tolerance,
        tol_gap_rel: options.reference_tolerance,
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
        SolverStatus::Solved | SolverStatus::AlmostSolved => {}
        _ => {
            return Err(refused(
                solution.r_prim.max(solution.r_dual),
                solution.iterations as usize,
            ));
        }
    }
    Ok(Answer {
        // Interior points are positive up to the tolerance; below it they are zero.
        assignment: DMatrix::from_column_slice(n, width, &solution.x[..n * width])
            .map(|z| z.max(0.0)),
        nu: DVector::from_iterator(n, solution.z[..n].iter().map(|y| -y)),
        lambda: DVector::from_iterator(
            budgets,
            solution.z[n..n + budgets].iter().map(|y| y.max(0.0)),
        ),
        dual: solution.obj_val_dual,
        residual: solution.r_prim.max(solution.r_dual),
        iterations: solution.iterations as usize,
        solved: solution.status == SolverStatus::Solved,
    })
}

/// Rows of `A` as triplets, with `b`, the cones and the linear objective.
struct Form {
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
        let (z_count, q) = (n * width, program.groups.len());
        let entropic = scaled.entropic();
        let mut linear = scaled.costs().collect::<Vec<f64>>();
        linear.extend(scaled.column_costs.iter());
        if entropic {
            linear.extend(std::iter::repeat_n(scaled.eps, z_count));
        }
        let mut form = Self {
            variables: linear.len(),
            entries: Default::default(),
            right: Vec::new(),
            cones: Vec::new(),
            linear,
        };
        for i in 0..n {
            form.row((0..width).map(|j| (i + j * n, 1.0)), program.row_masses[i]);
        }
        form.cones.push(Cone::ZeroConeT(n));
        for (row, &limit) in program.coefficients.row_iter().zip(&program.limits) {
            form.row(row.iter().enumerate().map(|(g, &a)| (z_count + g, a)), limit);
        }
        if !entropic {
            (0..z_count).for_each(|k| form.row([(k, -1.0)], 0.0));
        }
        match program.norm {
            Norm::One => form.sums(program, n, z_count),
            Norm::Infinity => form.caps(program, n, z_count),
            Norm::Two => {}
        }
        form.cones.push(Cone::NonnegativeConeT(form.right.len() - n));
        if program.norm == Norm::Two {
            form.second_order(program, n, z_count);
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

    fn row(&mut self, entries: impl IntoIterator<Item = (usize, f64)>, right: f64) {
        let row = self.right.len();
        for (column, value) in entries {
            self.entries.0.push(row);
            self.entries.1.push(column);
            self.entries.2.push(value);
        }
        self.right.push(right);
    }

    fn sums(&mut self, program: &SelectionProgram, n: usize, z_count: usize) {
        for (g, columns) in program.groups.iter().enumerate() {
            let entries = columns.iter().flat_map(|j| (j * n..(j + 1) * n).map(|k| (k, 1.0)));
            self.row(entries.chain([(z_count + g, -1.0)]), 0.0);
        }
    }

    fn caps(&mut self, program: &SelectionProgram, n: usize, z_count: usize) {
        for (g, columns) in program.groups.iter().enumerate() {
            for k in columns.iter().flat_map(|j| j * n..(j + 1) * n) {
                self.row([(k, 1.0), (z_count + g, -1.0)], 0.0);
            }
        }
    }

    fn second_order(&mut self, program: &SelectionProgram, n: usize, z_count: usize) {
        for (g, columns) in program.groups.iter().enumerate() {
            self.row([(z_count + g, -1.0)], 0.0);
            for k in columns.iter().flat_map(|j| j * n..(j + 1) * n) {
                self.row([(k, -1.0)], 0.0);
            }
            self.cones.push(Cone::SecondOrderConeT(1 + columns.len() * n));
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
                let on: Vec<usize> = (0..scaled.program.costs.len()).collect();
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
