//! Clarabel's interior point, kept and given new numbers.
//!
//! Setting one up costs as much as several of its iterations, so workspaces are kept in a pool. Clarabel's own scaling
//! would be that of the first program a workspace met; it gets scaled programs instead (see [`scaling`](super::scaling)), so that the
//! answer is the same bits whichever workspace it came from.

use std::sync::{Mutex, PoisonError};

use clarabel::algebra::CscMatrix;
use clarabel::solver::{
    DefaultSettings, DefaultSolver, IPSolver, SolverStatus, SupportedConeT as Their,
};

use super::cone::Cone;
use super::options::ConicOptions;
use super::pattern::Pattern;
use super::program::{Data, Form};

/// Workspaces that are not in use: at most as many as threads have ever solved at once.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<DefaultSolver<f64>>>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

/// What an interior point says.
pub(super) enum Verdict {
    /// Of whatever accuracy it reached.
    Point { x: Vec<f64>, s: Vec<f64>, z: Vec<f64> },
    /// Multipliers that prove that nothing is feasible.
    Infeasible(Vec<f64>),
    /// A direction that lowers the objective for ever.
    Unbounded(Vec<f64>),
    /// Nothing of use.
    Nothing(String),
}

/// Runs clarabel to a tolerance; the verdict and its iterations.
pub(super) fn solve(
    form: &Form,
    data: &Data,
    tolerance: f64,
    options: &ConicOptions,
) -> (Verdict, usize) {
    // A panic while the lock is held cannot leave the list half-changed.
    let kept = form.pool.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let settings = settings(tolerance, options);
    let ready = match kept {
        Some(mut solver) => renew(&mut solver, data, settings).map(|()| solver),
        None => set_up(form, data, settings),
    };
    let mut solver = match ready {
        Ok(solver) => solver,
        Err(why) => return (Verdict::Nothing(why), 0),
    };
    solver.solve();
    let verdict = verdict(&solver);
    let iterations = solver.solution.iterations as usize;
    form.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(solver);
    (verdict, iterations)
}

fn settings(tolerance: f64, options: &ConicOptions) -> DefaultSettings<f64> {
    DefaultSettings {
        verbose: false,
        max_threads: 1,
        direct_solve_method: "qdldl".into(),
        max_iter: u32::try_from(options.max_iterations).unwrap_or(u32::MAX),
        tol_feas: tolerance,
        tol_gap_abs: tolerance,
        tol_gap_rel: tolerance,
        presolve_enable: false,
        equilibrate_enable: false,
        ..DefaultSettings::default()
    }
}

fn set_up(
    form: &Form,
    data: &Data,
    settings: DefaultSettings<f64>,
) -> Result<DefaultSolver<f64>, String> {
    let matrix = |pattern: &Pattern, values: &[f64]| {
        let (starts, indices) = (pattern.starts().to_vec(), pattern.indices().to_vec());
        CscMatrix::new(pattern.rows(), pattern.columns(), starts, indices, values.to_vec())
    };
    let (p, a) = (matrix(&form.full, &data.p), matrix(&form.constraints, &data.a));
    let cones: Vec<Their<f64>> = form.parts.iter().filter_map(|(cone, _)| theirs(*cone)).collect();
    DefaultSolver::new(&p, &data.q, &a, &data.b, &cones, settings).map_err(|e| e.to_string())
}

fn renew(
    solver: &mut DefaultSolver<f64>,
    data: &Data,
    settings: DefaultSettings<f64>,
) -> Result<(), String> {
    solver.update_settings(settings).map_err(|error| error.to_string())?;
    solver.update_data(&data.p, &data.q, &data.a, &data.b).map_err(|error| error.to_string())
}

fn theirs(cone: Cone) -> Option<Their<f64>> {
    match cone {
        Cone::Zero(rows) => Some(Their::ZeroConeT(rows)),
        Cone::Nonnegative(rows) => Some(Their::NonnegativeConeT(rows)),
        Cone::SecondOrder(rows) => Some(Their::SecondOrderConeT(rows)),
        Cone::Exponential => Some(Their::ExponentialConeT()),
        Cone::Power(alpha) => Some(Their::PowerConeT(alpha)),
        // Such programs go elsewhere.
        Cone::Semidefinite(_) => None,
    }
}

fn verdict(solver: &DefaultSolver<f64>) -> Verdict {
    let solution = &solver.solution;
    match solution.status {
        SolverStatus::PrimalInfeasible | SolverStatus::AlmostPrimalInfeasible => {
            Verdict::Infeasible(solution.z.clone())
        }
        SolverStatus::DualInfeasible | SolverStatus::AlmostDualInfeasible => {
            Verdict::Unbounded(solution.x.clone())
        }
        // Judged by its residuals, whatever it is.
        _ if solution.x.iter().chain(&solution.z).chain(&solution.s).all(|v| v.is_finite()) => {
            Verdict::Point { x: solution.x.clone(), s: solution.s.clone(), z: solution.z.clone() }
        }
        status => Verdict::Nothing(format!("clarabel stopped: {status:?}")),
    }
}
