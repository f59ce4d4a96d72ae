//! Times this library, and clarabel as it uses it, on the problems.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use gleaner::Distance;
use gleaner::program::{Method, SelectionProgram, Upstream};
use nalgebra::DMatrix;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::problems::{self, Case, LARGE, LARGEST, Problem, SHARED, SPARSE};
use crate::row::Row;
use crate::timing::{Timing, milliseconds};

/// Width of the features whose cost matrix is timed beside the program.
const FEATURES: usize = 512;

/// How often things are repeated.
struct Repeats {
    fast: usize,
    slow: usize,
}

/// Lines of all problems in `folder`; the slopes that gradients are held against are written into it.
pub fn time_all(folder: &Path, quick: bool, large: bool) -> Result<Vec<Row>> {
    let repeats =
        if quick { Repeats { fast: 100, slow: 3 } } else { Repeats { fast: 300, slow: 10 } };
    let mut rows = Vec::new();
    for case in SHARED {
        let problem = problems::read(folder, case)?;
        let slopes = slopes(&problem)?;
        problems::write_numbers(&folder.join(format!("{}-slopes", case.name)), &slopes)?;
        rows.push(ours(&problem, &slopes, repeats.fast)?);
        if case.smooth {
            rows.push(warm(&problem, repeats.fast)?);
        }
        rows.push(clarabel(&problem, repeats.slow)?);
        rows.push(cost_matrix(case, repeats.fast)?);
        println!("{}: done", case.name);
    }
    if large {
        for case in LARGE {
            let problem = Problem::make(case);
            let repeats = if case.n > 128 { repeats.slow } else { repeats.fast };
            rows.push(ours(&problem, &[], repeats)?);
            rows.push(warm(&problem, repeats)?);
            if case.n <= 128 {
                rows.push(clarabel(&problem, 3)?);
            }
            rows.push(cost_matrix(case, repeats)?);
            println!("{}: done", case.name);
        }
        rows.push(largest()?);
        rows.push(cost_matrix(LARGEST, 3)?);
    }
    Ok(rows)
}

fn start(problem: &Problem, system: &str) -> Row {
    let Case { name, n, m, .. } = problem.case;
    Row { case: name.into(), n, m, p: problem.case.p(), system: system.into(), ..Row::default() }
}

/// Forward cold: nothing is carried over from an earlier solve.
fn ours(problem: &Problem, slopes: &[f64], repeats: usize) -> Result<Row> {
    let method = if problem.case.smooth { Method::Structured } else { Method::Auto };
    let set_up = set_up(problem, repeats)?;
    let program = problem.program(problem.costs.clone())?;
    let selection = program.solve(method)?;
    let upstream = Upstream {
        assignment: Some(&problem.upstream_assignment),
        weights: Some(&problem.upstream_weights),
    };
    let gradients = selection.pullback(upstream)?;
    Ok(Row {
        set_up: Some(set_up.median),
        forward: Some(Timing::measure(repeats, || program.solve(method))),
        backward: Some(backward(&program, method, upstream, repeats)?),
        objective: Some(selection.verdict().primal),
        gradient_error: gradient_error(problem, slopes, &gradients.costs),
        note: format!("{} iterations", selection.verdict().iterations),
        ..start(problem, "gleaner")
    })
}

/// The gradient from a solution that nobody has asked anything before: a second pullback of the same one
/// would find parts of its answer made.
fn backward(
    program: &SelectionProgram,
    method: Method,
    upstream: Upstream,
    repeats: usize,
) -> Result<Timing> {
    let mut samples = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let selection = program.solve(method)?;
        let start = Instant::now();
        let gradients = selection.pullback(upstream)?;
        samples.push(milliseconds(start.elapsed()));
        std::hint::black_box(gradients);
    }
    Ok(Timing::of(samples))
}

/// Forward from the multipliers of a solution whose costs were up to a thousandth different.
fn warm(problem: &Problem, repeats: usize) -> Result<Row> {
    let program = problem.program(problem.costs.clone())?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let near = problem.costs.map(|cost| cost * (1.0 + rng.random_range(-1e-3..1e-3)));
    let before = problem.program(near)?.solve(Method::Structured)?;
    let solve = || program.solve_from(before.multipliers(), Method::Structured);
    let selection = solve()?;
    Ok(Row {
        forward: Some(Timing::measure(repeats, solve)),
        objective: Some(selection.verdict().primal),
        note: format!("{} iterations", selection.verdict().iterations),
        ..start(problem, "gleaner, warm start")
    })
}

/// Construction alone: the copy of the costs that it takes is made outside the clock.
fn set_up(problem: &Problem, repeats: usize) -> Result<Timing> {
    let mut samples = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let costs = problem.costs.clone();
        let start = Instant::now();
        let program: SelectionProgram = problem.program(costs)?;
        samples.push(milliseconds(start.elapsed()));
        std::hint::black_box(program);
    }
    Ok(Timing::of(samples))
}

fn clarabel(problem: &Problem, repeats: usize) -> Result<Row> {
    let program = problem.program(problem.costs.clone())?;
    let selection = program.solve(Method::Reference)?;
    let refined = if problem.case.smooth { ", then refined" } else { "" };
    Ok(Row {
        forward: Some(Timing::measure(repeats, || program.solve(Method::Reference))),
        objective: Some(selection.verdict().primal),
        note: format!("{} iterations{refined}", selection.verdict().iterations),
        ..start(problem, "clarabel (Rust)")
    })
}

/// What the costs themselves take from features of a usual width, in `f64`.
fn cost_matrix(case: Case, repeats: usize) -> Result<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(case.n as u64);
    let mut features = |count: usize| -> Result<Tensor> {
        let numbers: Vec<f64> = (0..count * FEATURES).map(|_| rng.random()).collect();
        Ok(Tensor::from_vec(numbers, (count, FEATURES), &Device::Cpu)?)
    };
    let incoming = features(case.n)?;
    let all = Tensor::cat(&[&incoming, &features(case.m)?], 0)?;
    debug_assert_eq!(all.dtype(), DType::F64);
    let between = || Distance::SquaredEuclidean.between(&incoming, &all);
    between()?;
    Ok(Row {
        case: case.name.into(),
        n: case.n,
        m: case.m,
        p: case.p(),
        system: format!("cost matrix d={FEATURES}"),
        forward: Some(Timing::measure(repeats, between)),
        ..Row::default()
    })
}

/// The derivative of the loss along every direction, by five-point central differences at two step
/// sizes; says how well the two agree.
fn slopes(problem: &Problem) -> Result<Vec<f64>> {
    if problem.directions.is_empty() {
        return Ok(Vec::new());
    }
    let selection = problem.program(problem.costs.clone())?.solve(Method::Structured)?;
    // Far enough inside the piece on which the solution is smooth.
    let reach = (selection.diagnostics().margin / 8.0).clamp(1e-7, 1e-3) * problem.costs.mean();
    let mut fine = Vec::new();
    let mut disagreement: f64 = 0.0;
    for direction in &problem.directions {
        let step = reach / direction.amax();
        let at = |multiple: f64| problem.loss(&problem.costs + direction * (multiple * step));
        let difference = |k: f64| -> Result<f64> {
            Ok((at(-2.0 * k)? - 8.0 * at(-k)? + 8.0 * at(k)? - at(2.0 * k)?) / (12.0 * k * step))
        };
        let (coarse, half) = (difference(1.0)?, difference(0.5)?);
        disagreement = disagreement.max((coarse - half).abs());
        fine.push(coarse);
    }
    let largest = fine.iter().fold(0.0, |largest: f64, slope| largest.max(slope.abs()));
    let disagreement = disagreement / largest;
    println!("{}: central differences agree to {disagreement:.1e}", problem.case.name);
    ensure!(disagreement < 1e-5, "{}: the loss has a kink nearby", problem.case.name);
    Ok(fine)
}

/// The largest error along a direction, relative to the largest slope of its kind (one entry, dense).
/// Without a regulariser the true gradient is zero, and the norm of the gradient relative to that of
/// the upstream gradient is returned instead.
fn gradient_error(problem: &Problem, slopes: &[f64], gradient: &DMatrix<f64>) -> Option<f64> {
    if !problem.case.smooth {
        return Some(gradient.norm() / problem.upstream_norm());
    }
    let kinds = slopes.chunks(SPARSE).zip(problem.directions.chunks(SPARSE));
    kinds
        .map(|(slopes, directions)| {
            let largest = slopes.iter().fold(0.0, |largest: f64, slope| largest.max(slope.abs()));
            let errors = slopes.iter().zip(directions).map(|(s, d)| (gradient.dot(d) - s).abs());
            errors.fold(0.0, f64::max) / largest
        })
        .reduce(f64::max)
}

/// [`memory`] in a process of its own, whose peak memory is that of this one program.
fn largest() -> Result<Row> {
    let output = Command::new(std::env::current_exe()?).arg("memory").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "memory: {}", String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let &[time, objective, before, peak] = numbers.as_slice() else {
        anyhow::bail!("memory printed {text:?}");
    };
    let Case { name, n, m, .. } = LARGEST;
    Ok(Row {
        case: name.into(),
        n,
        m,
        p: LARGEST.p(),
        system: "gleaner".into(),
        forward: Some(Timing::of(vec![time])),
        objective: Some(objective),
        note: format!("peak memory {peak:.0} MiB; {before:.0} MiB before the solve"),
        ..Row::default()
    })
}

/// Milliseconds and objective of one solve; peak memory in MiB before it and after it.
pub fn memory() -> Result<()> {
    let mut problem = Problem::make(LARGEST);
    let costs = std::mem::replace(&mut problem.costs, DMatrix::zeros(0, 0));
    let program = problem.program(costs)?;
    drop(problem);
    // Making the problem took more than holding the program does: the peak starts anew from here.
    fs::write("/proc/self/clear_refs", "5").context("resetting the peak needs Linux")?;
    let before = peak_memory()?;
    let start = Instant::now();
    let selection = program.solve(Method::Structured)?;
    let time = milliseconds(start.elapsed());
    println!("{time} {} {before} {}", selection.verdict().primal, peak_memory()?);
    Ok(())
}

/// The largest resident size of this process since the peak was last reset, in MiB, as Linux reports it.
fn peak_memory() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("peak memory needs Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.context("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}
