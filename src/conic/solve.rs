//! From values to an outcome: who is asked, in which order, and what is believed.

use std::sync::Arc;

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

/// An inequality farther away than this, in units of what is usual for the program, is brought there first.
const NEARBY: f64 = 1e5;

pub(super) fn solve(
    program: &ConicProgram,
    data: Data,
    start: Option<&ConicSolution>,
    options: &ConicOptions,
) -> Result<Outcome> {
    let away = Away::new(&program.form, &data);
    let outcome = match from_nearby(program, (&data, &away), start, options)? {
        Some(outcome) => outcome,
        None => solve_as_it_is(program, data.clone(), (start, &[]), options)?,
    };
    if outcome.as_solution().is_none_or(|found| away.leaves_digits(program, &data, found)) {
        return Ok(outcome);
    }
    let largest = largest(&data.b).max(largest(&data.a));
    let why = format!("numbers as large as {largest:e} leave no digits for others");
    Ok(Outcome::Failed { why })
}

/// The outcome with far inequalities [moved in](brought_near), where it is that of the program as given.
fn from_nearby(
    program: &ConicProgram,
    (data, away): (&Data, &Away),
    start: Option<&ConicSolution>,
    options: &ConicOptions,
) -> Result<Option<Outcome>> {
    let Some((near, far)) = away.brought_near(&program.form, data) else { return Ok(None) };
    Ok(match solve_as_it_is(program, near, (start, &far), options)? {
        // Where nothing presses against them there, nothing does farther out.
        Outcome::Solved(mut solution) if far.iter().all(|(row, _)| solution.z()[*row] == 0.0) => {
            solution.move_out(&far);
            Some(Outcome::Solved(solution))
        }
        // What cannot be without them cannot be with them.
        Outcome::Infeasible { mut certificate } => {
            far.iter().for_each(|(row, _)| certificate[*row] = 0.0);
            proves_infeasible(&program.form, data, certificate)
                .map(|certificate| Outcome::Infeasible { certificate })
        }
        // Where it leads does not depend on how far they are.
        Outcome::Unbounded { certificate } => Some(Outcome::Unbounded { certificate }),
        _ => None,
    })
}

/// How far away the rows of a program are, to tell those that are out of all proportion.
struct Away {
    /// The largest entry of every row, one where there is none.
    entries: Vec<f64>,
    /// `|b_i|` over that.
    rows: Vec<f64>,
    /// The lower median of those that are not zero and of what the objective alone would have, `|q| / |P|`; nothing where all
    /// are zero.
    usual: Option<f64>,
}

impl Away {
    fn new(form: &Form, data: &Data) -> Self {
        let mut entries = vec![0.0f64; form.rows()];
        for ((i, _), value) in form.constraints.places().zip(&data.a) {
            entries[i] = entries[i].max(value.abs());
        }
        entries.iter_mut().filter(|entry| **entry == 0.0).for_each(|entry| *entry = 1.0);
        let rows: Vec<f64> =
            data.b.iter().zip(&entries).map(|(b, entry)| b.abs() / entry).collect();
        let alone = largest(&data.q) / largest(&data.p);
        let mut some: Vec<f64> = rows.iter().copied().chain([alone]).collect();
        some.retain(|away| *away > 0.0 && away.is_finite());
        let middle = some.len().checked_sub(1).map(|last| last / 2);
        let usual = middle.map(|middle| *some.select_nth_unstable_by(middle, f64::total_cmp).1);
        Self { entries, rows, usual }
    }

    /// The program with inequalities such as `x <= 1e20` moved in to [`NEARBY`] times what is usual, and by how much; nothing
    /// where there are none. They would set the unit of all slacks, and take the digits of the others.
    fn brought_near(&self, form: &Form, data: &Data) -> Option<(Data, Vec<(usize, f64)>)> {
        let reach = NEARBY * self.usual?;
        let inequalities =
            form.parts.iter().filter(|(cone, _)| matches!(cone, Cone::Nonnegative(_)));
        let rows = inequalities.flat_map(|(_, rows)| rows.clone());
        let far: Vec<usize> =
            rows.filter(|row| data.b[*row] > 0.0 && self.rows[*row] > reach).collect();
        if far.is_empty() {
            return None;
        }
        let mut near = data.clone();
        far.iter().for_each(|row| near.b[*row] = reach * self.entries[*row]);
        let by = |row: usize| (row, data.b[row] - near.b[row]);
        let moved = far.into_iter().map(by).collect();
        Some((near, moved))
    }

    /// Whether every row holds in its own units, where the largest numbers of the answer are out of all proportion to them:
    /// a residual that is little beside those may be all that another row says.
    fn leaves_digits(&self, program: &ConicProgram, data: &Data, found: &ConicSolution) -> bool {
        /// Numbers that are no farther apart are of one program.
        const SPREAD: f64 = 1e8;
        /// What a row may be off by, in its largest term or in units that are usual.
        const OFF: f64 = 1e-3;
        let Some(usual) = self.usual else { return true };
        let constraints = &program.form.constraints;
        let mut terms: Vec<f64> = data.b.iter().map(|b| b.abs()).collect();
        constraints.add_sizes(&data.a, found.x(), &mut terms);
        let smallest = self.entries.iter().fold(f64::INFINITY, |least, entry| least.min(*entry));
        if largest(&terms) <= SPREAD * usual * smallest {
            return true;
        }
        let mut residuals: Vec<f64> = found.s().iter().zip(&data.b).map(|(s, b)| s - b).collect();
        constraints.add_product(&data.a, found.x(), &mut residuals);
        // What is no number is not little.
        let is_little = |(residual, (term, entry)): (&f64, (&f64, &f64))| {
            residual.abs() <= OFF * term.max(usual * entry)
        };
        residuals.iter().zip(terms.iter().zip(&self.entries)).all(is_little)
    }
}

/// Rows of `far` are nearer by so much than where the start was found.
fn solve_as_it_is(
    program: &ConicProgram,
    data: Data,
    (start, far): (Option<&ConicSolution>, &[(usize, f64)]),
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
        let mut slacks = start.s().to_vec();
        far.iter().for_each(|(row, by)| slacks[*row] = (slacks[*row] - by).max(0.0));
        let s = into(&slacks, &mut scaling.of_slacks());
        let z = into(start.z(), &mut scaling.of_multipliers());
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
    if solved { Outcome::Solved(solution) } else { Outcome::AlmostSolved(solution) }
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
    let (mut az, mut terms) = (vec![0.0; form.variables()], vec![0.0; form.variables()]);
    form.constraints.add_transposed(&data.a, &z, &mut az);
    let sizes = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
    form.constraints.add_transposed(&sizes(&data.a), &sizes(&z), &mut terms);
    let proved = distance(&z, &scaled) <= PROOF * largest(&scaled)
        && largest(&az) <= PROOF * largest(&terms);
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
    let outside = largest(&projected(form, &ax));
    let proved = largest(&px) <= PROOF * largest(&data.p) * largest(&x)
        && outside <= PROOF * largest(&data.a) * largest(&x);
    proved.then_some(x)
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
