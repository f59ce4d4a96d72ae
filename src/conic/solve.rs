//! From values to an outcome: who is asked, in which order, and what is believed.

use std::sync::Arc;

use super::away::{Away, Moved, REACHES};
use super::cone::Cone;
use super::interior::{self, Verdict};
use super::options::ConicOptions;
use super::point::{Point, polish};
use super::program::{ConicProgram, Data, Form};
use super::projection::project;
use super::scaling::{Scaling, largest};
use super::solution::{ConicSolution, Method, Outcome};
use super::splitting::{self, Look};
use crate::error::Result;

/// Tolerances that clarabel is asked for in turn, relative to the first, until an answer is accepted.
const FINER: [f64; 3] = [1.0, 1e-4, 1e-6];
/// A certificate's condition must hold to this, relative to its terms.
const PROOF: f64 = 1e-6;

/// How far Newton's method may go, relative to where it is: from a solver's answer, and from a start that was given.
const NEAR: f64 = 0.1;
const FAR: f64 = 10.0;
/// From a solver's answer, where the first did not end in rounding.
const FURTHER: f64 = 1.0;
/// A residual below this is rounding.
const FINE: f64 = 1e-12;

/// An answer that stands, or a better one than none.
struct Candidate {
    point: Point,
    method: Method,
    iterations: usize,
    polished: usize,
}

pub(super) fn solve(
    program: &ConicProgram,
    data: Data,
    start: Option<&ConicSolution>,
    options: &ConicOptions,
) -> Result<Outcome> {
    let form = &*program.form;
    let away = Away::new(form, &data);
    let outcome = match from_nearby(program, (&data, &away), start, options)? {
        Some(outcome) => outcome,
        None => solve_as_it_is(program, data.clone(), (start, &Moved::default()), options)?,
    };
    Ok(match outcome {
        Outcome::Solved(found) | Outcome::AlmostSolved(found)
            if !away.leaves_rows(form, &data, &found) =>
        {
            let largest = largest(&data.b).max(largest(&data.a));
            let why = format!("numbers as large as {largest:e} leave no digits for others");
            Outcome::Failed { why }
        }
        // Nothing is better by its objective, as far as digits go; others may be as good.
        Outcome::Solved(found) if !away.leaves_slopes(form, &data, &found) => found.outcome(false),
        outcome => outcome,
    })
}

/// The outcome with what is far away [brought near](Away::brought_near), where it is that of the program as given.
fn from_nearby(
    program: &ConicProgram,
    (data, away): (&Data, &Away),
    start: Option<&ConicSolution>,
    options: &ConicOptions,
) -> Result<Option<Outcome>> {
    let form = &*program.form;
    for reach in REACHES {
        let Some((near, moved)) = away.brought_near(form, data, reach) else { break };
        let again = moved.is_steep();
        let outcome = match solve_as_it_is(program, near, (start, &moved), options)? {
            Outcome::Solved(solution) => moved.taken_back(solution).map(Outcome::Solved),
            // What cannot be without far inequalities cannot be with them; what the objective is does not matter.
            Outcome::Infeasible { certificate } => {
                proves_infeasible(form, data, moved.without_far(certificate))
                    .map(|certificate| Outcome::Infeasible { certificate })
            }
            // Where it leads does not depend on how far they are; whether the objective falls there is to be seen.
            Outcome::Unbounded { certificate } => proves_unbounded(form, data, certificate)
                .map(|certificate| Outcome::Unbounded { certificate }),
            _ => None,
        };
        if outcome.is_some() || !again {
            return Ok(outcome);
        }
    }
    Ok(None)
}

/// What `moved` says is nearer than where the start was found.
fn solve_as_it_is(
    program: &ConicProgram,
    data: Data,
    (start, moved): (Option<&ConicSolution>, &Moved),
    options: &ConicOptions,
) -> Result<Outcome> {
    let form = &*program.form;
    let scaling = Scaling::new(form, data);
    let data = &scaling.data;
    let mut best: Option<Candidate> = None;
    if let Some(start) = start {
        let into = |values: &[f64], units: &mut dyn Iterator<Item = f64>| {
            values.iter().zip(units).map(|(value, unit)| value / unit).collect::<Vec<f64>>()
        };
        let x = into(start.x(), &mut scaling.of_variables());
        let (slacks, multipliers) = moved.start(start);
        let s = into(&slacks, &mut scaling.of_slacks());
        let z = into(&multipliers, &mut scaling.of_multipliers());
        let point = point(form, data, x, &s, &z);
        offer(&mut best, form, data, point, Method::Warm, 0, options);
    }
    if !accepted(&best, options) && form.parts.iter().all(|(cone, _)| matches!(cone, Cone::Zero(_)))
    {
        // Equations, and linear ones: one step from anywhere.
        let zeros = vec![0.0; form.rows()];
        let point = point(form, data, vec![0.0; form.variables()], &zeros, &zeros);
        offer(&mut best, form, data, point, Method::Newton, 0, options);
    }
    let mut why = String::from("no solver took it");
    if !accepted(&best, options) {
        let split = |best: &mut _, most| by_splitting(form, data, best, most, options);
        let proof = match form.is_semidefinite() {
            true => split(&mut best, options.splitting_iterations),
            false => quickly(form, data, options)
                .map_or(Ok(()), |most| split(&mut best, most))
                .and_then(|()| by_interior_point(form, data, &mut best, &mut why, options))
                .and_then(|()| split(&mut best, options.splitting_iterations)),
        };
        if let Err(proof) = proof {
            return Ok(proof.outcome(&scaling));
        }
    }
    Ok(conclude(program, scaling, best, why, options))
}

/// Splitting iterations before clarabel is asked. Where the objective is curved and the cones are simple they and three
/// Newton steps cost half of an interior point or less; elsewhere more.
fn quickly(form: &Form, data: &Data, options: &ConicOptions) -> Option<usize> {
    let simple =
        |cone: &Cone| matches!(cone, Cone::Zero(_) | Cone::Nonnegative(_) | Cone::SecondOrder(_));
    let curved = data.p.iter().any(|&p| p != 0.0);
    let worth = curved && form.parts.iter().all(|(cone, _)| simple(cone));
    worth.then_some(options.quick_iterations)
}

/// That there is no solution.
enum Proof {
    Infeasible(Vec<f64>),
    Unbounded(Vec<f64>),
}

impl Proof {
    /// In the program's own units; `b'z` and `q'x` are minus one in any.
    fn outcome(self, scaling: &Scaling) -> Outcome {
        let out = |values: Vec<f64>, units: &mut dyn Iterator<Item = f64>| {
            let gain = 1.0 / scaling.of_objective();
            values.iter().zip(units).map(|(value, unit)| value * unit * gain).collect()
        };
        match self {
            Self::Infeasible(z) => {
                Outcome::Infeasible { certificate: out(z, &mut scaling.of_multipliers()) }
            }
            Self::Unbounded(x) => {
                Outcome::Unbounded { certificate: out(x, &mut scaling.of_variables()) }
            }
        }
    }
}

/// Clarabel, at finer and finer tolerances until an answer is accepted; a proof that there is none ends all.
fn by_interior_point(
    form: &Form,
    data: &Data,
    best: &mut Option<Candidate>,
    why: &mut String,
    options: &ConicOptions,
) -> std::result::Result<(), Proof> {
    if accepted(best, options) {
        return Ok(());
    }
    for finer in FINER {
        let tolerance = options.interior_tolerance * finer;
        let (verdict, iterations) = interior::solve(form, data, tolerance, options);
        match verdict {
            Verdict::Point { x, s, z } => {
                let point = point(form, data, x, &s, &z);
                offer(best, form, data, point, Method::Interior, iterations, options);
            }
            Verdict::Infeasible(z) => {
                if let Some(certificate) = proves_infeasible(form, data, z) {
                    return Err(Proof::Infeasible(certificate));
                }
            }
            Verdict::Unbounded(x) => {
                if let Some(certificate) = proves_unbounded(form, data, x) {
                    return Err(Proof::Unbounded(certificate));
                }
            }
            Verdict::Nothing(reason) => *why = reason,
        }
        if accepted(best, options) {
            break;
        }
    }
    Ok(())
}

/// Splitting, until Newton's method takes over or a proof is found that there is no answer.
fn by_splitting(
    form: &Form,
    data: &Data,
    best: &mut Option<Candidate>,
    most: usize,
    options: &ConicOptions,
) -> std::result::Result<(), Proof> {
    if accepted(best, options) {
        return Ok(());
    }
    let mut proof = None;
    let iterations = splitting::run(form, data, most, |look| match look {
        Look::Point { x, s, z } => {
            let point = point(form, data, x, &s, &z);
            offer(best, form, data, point, Method::Splitting, 0, options);
            accepted(best, options)
        }
        Look::Change { x, z } => {
            let unbounded = || proves_unbounded(form, data, x).map(Proof::Unbounded);
            proof = proves_infeasible(form, data, z).map(Proof::Infeasible).or_else(unbounded);
            proof.is_some()
        }
    });
    if let Some(best) = best.as_mut().filter(|best| best.method == Method::Splitting) {
        best.iterations = iterations;
    }
    proof.map_or(Ok(()), Err)
}

fn point(form: &Form, data: &Data, x: Vec<f64>, s: &[f64], z: &[f64]) -> Point {
    Point::new(form, data, x, z.iter().zip(s).map(|(z, s)| z - s).collect())
}

fn accepted(best: &Option<Candidate>, options: &ConicOptions) -> bool {
    best.as_ref().is_some_and(|best| best.point.residual() <= options.tolerance)
}

/// Polishes a point and keeps it if it is the best so far.
fn offer(
    best: &mut Option<Candidate>,
    form: &Form,
    data: &Data,
    point: Point,
    method: Method,
    iterations: usize,
    options: &ConicOptions,
) {
    let reach = match method {
        Method::Interior => NEAR,
        Method::Newton => f64::INFINITY,
        _ => FAR,
    };
    let mut polished = polish(form, data, point.clone(), options.polish_steps, reach);
    if polished.point.residual() > FINE && method == Method::Interior {
        let further = polish(form, data, point, options.polish_steps, FURTHER);
        if further.point.residual() < FINE {
            polished = further;
        }
    }
    let found = polished.point.residual();
    if best.as_ref().is_none_or(|best| found < best.point.residual()) {
        let (point, polished) = (polished.point, polished.steps);
        *best = Some(Candidate { point, method, iterations, polished });
    }
}

fn conclude(
    program: &ConicProgram,
    scaling: Scaling,
    best: Option<Candidate>,
    why: String,
    options: &ConicOptions,
) -> Outcome {
    let Some(best) = best else { return Outcome::Failed { why } };
    let residual = best.point.residual();
    let solved = residual <= options.tolerance;
    // "Not small enough" also catches what is no number.
    let almost = residual <= options.reduced_tolerance;
    if !almost {
        let allowed = options.reduced_tolerance;
        return Outcome::Failed { why: format!("residual {residual:.1e} > {allowed:.1e}; {why}") };
    }
    let Candidate { point, method, iterations, polished } = best;
    let scaling = Arc::new(scaling);
    let solution =
        ConicSolution::new(program.clone(), scaling, point, method, iterations, polished, *options);
    if !solution.is_finite() {
        return Outcome::Failed { why: "the answer is larger than any number".into() };
    }
    solution.outcome(solved)
}

/// `A'z = 0`, `b'z = -1` for `z` in the dual cone: no `x` has `b - A x` in the cone.
fn proves_infeasible(form: &Form, data: &Data, z: Vec<f64>) -> Option<Vec<f64>> {
    let gain = -dot(&data.b, &z);
    // Also when it is no number.
    if gain.is_nan() || gain <= 0.0 {
        return None;
    }
    let scaled: Vec<f64> = z.iter().map(|z| z / gain).collect();
    let z = projected(form, &scaled);
    let mut az = vec![0.0; form.variables()];
    form.constraints.add_transposed(&data.a, &z, &mut az);
    let proved = distance(&z, &scaled) <= PROOF * largest(&scaled)
        && vanishes(&az, &entries(form, data).1, largest(&z));
    proved.then_some(z)
}

/// `P x = 0`, `q'x = -1`, `-A x` in the cone: along `x` all stays feasible and the objective falls.
fn proves_unbounded(form: &Form, data: &Data, mut x: Vec<f64>) -> Option<Vec<f64>> {
    let gain = -dot(&data.q, &x);
    // Also when it is no number.
    if gain.is_nan() || gain <= 0.0 {
        return None;
    }
    x.iter_mut().for_each(|x| *x /= gain);
    let (mut px, mut ax) = (vec![0.0; form.variables()], vec![0.0; form.rows()]);
    form.full.add_symmetric(&data.p, &x, &mut px);
    form.constraints.add_product(&data.a, &x, &mut ax);
    // -A x is in the cone if the dual cone's projection of A x is zero.
    let outside = projected(form, &ax);
    let size = largest(&x);
    let mut curved = vec![0.0; form.variables()];
    form.full.add_symmetric_sizes(&data.p, &vec![1.0; x.len()], &mut curved);
    let proved = vanishes(&px, &curved, size) && vanishes(&outside, &entries(form, data).0, size);
    proved.then_some(x)
}

/// The largest entry of each row, alike within a cone that is not a product, and of each column of `A`.
fn entries(form: &Form, data: &Data) -> (Vec<f64>, Vec<f64>) {
    let (mut rows, mut columns) = (vec![0.0; form.rows()], vec![0.0; form.variables()]);
    form.constraints.add_sizes(&data.a, &vec![1.0; form.variables()], &mut rows);
    form.constraints.add_transposed_sizes(&data.a, &vec![1.0; form.rows()], &mut columns);
    for (_, part) in form.parts.iter().filter(|(cone, _)| !cone.is_separable()) {
        let shared = largest(&rows[part.clone()]);
        rows[part.clone()].fill(shared);
    }
    (rows, columns)
}

/// Whether products of vectors as large as `size` are nothing beside the entries they are made with, each by its own: what is
/// huge elsewhere proves nothing.
fn vanishes(products: &[f64], entries: &[f64], size: f64) -> bool {
    products.iter().zip(entries).all(|(product, entry)| product.abs() <= PROOF * entry * size)
}

/// The nearest point of the dual cone.
fn projected(form: &Form, w: &[f64]) -> Vec<f64> {
    let mut z = vec![0.0; w.len()];
    for (cone, rows) in &form.parts {
        project(*cone, &w[rows.clone()], &mut z[rows.clone()]);
    }
    z
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |far, (a, b)| far.max((a - b).abs()))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
