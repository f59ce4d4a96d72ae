//! Our side of the comparison of general conic layers; `benches/peers/run.sh --conic` runs both sides.
//!
//! `solve` draws the programs, writes them with the truth about them as files, and times this library (and clarabel, forward
//! only); `lines` measures what only concerns us: the share of modelling, warm starts, batches, memory.

mod conic_cases;
mod conic_lines;
mod timing;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use clap::{Parser, Subcommand};
use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver, SupportedConeT};
use conic_cases::Case;
use gleaner::conic::{Cone, Pattern, Values};
use gleaner::{ConicLayer, ConicLayerOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use timing::{Timing, milliseconds};

/// Directions that slopes are taken along.
const DIRECTIONS: usize = 8;

#[derive(Parser)]
struct Flags {
    #[command(subcommand)]
    command: Command,
    /// What `cargo bench` adds to every command line.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the programs into a folder, times this library on them and writes a CSV.
    Solve {
        /// The folder for the programs.
        folder: PathBuf,
        /// The CSV to write.
        out: PathBuf,
        /// Fewer cases and repeats.
        #[arg(long)]
        quick: bool,
        /// This case alone.
        #[arg(long)]
        only: Option<String>,
    },
    /// Prints the share of modelling in a solve, what warm starts save, time a program in batches, and memory.
    Lines {
        /// Fewer cases and repeats.
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> Result<()> {
    // `cargo bench` runs every bench, with a filter or criterion's flags: nothing to do then.
    if !std::env::args().nth(1).is_some_and(|first| ["solve", "lines"].contains(&&*first)) {
        println!("conic: benches/peers/run.sh --conic compares general conic layers");
        return Ok(());
    }
    match Flags::parse().command {
        Command::Solve { folder, out, quick, only } => {
            let mut cases = conic_cases::all(quick)?;
            cases.retain(|case| only.as_deref().is_none_or(|only| only == case.name));
            std::fs::create_dir_all(&folder)?;
            conic_cases::write(&folder, &cases)?;
            let mut lines = Vec::new();
            for case in &cases {
                time(case, &folder, quick, &mut lines)?;
                println!("{}: done", case.name);
            }
            write(&out, &lines)
        }
        Command::Lines { quick } => conic_lines::print(quick),
    }
}

/// A line of the results; what is missing does not exist for this system.
#[derive(Default)]
struct Line {
    case: &'static str,
    batch: usize,
    system: &'static str,
    set_up: Option<f64>,
    forward: Option<Timing>,
    backward: Option<Timing>,
    gradient_error: Option<f64>,
    /// Largest difference of an output from the answer solved to rounding.
    difference: Option<f64>,
    note: String,
}

const HEADER: [&str; 14] = [
    "case",
    "batch",
    "system",
    "forward_ms",
    "forward_low",
    "forward_high",
    "forward_repeats",
    "backward_ms",
    "backward_low",
    "backward_high",
    "backward_repeats",
    "gradient_error",
    "difference",
    "set-up_ms",
];

fn write(path: &Path, lines: &[Line]) -> Result<()> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let cells = lines.iter().map(|line| {
        let mut cells = vec![line.case.into(), line.batch.to_string(), line.system.into()];
        cells.extend(Timing::cells(line.forward));
        cells.extend(Timing::cells(line.backward));
        cells.extend([line.gradient_error, line.difference, line.set_up].map(number));
        cells.push(line.note.clone());
        cells
    });
    let header: Vec<&str> = HEADER.into_iter().chain(["note"]).collect();
    Ok(gleaner::report::write_csv(path, &header, cells)?)
}

/// Lines of one case: one program and, where there are more, all of them.
fn time(case: &Case, folder: &Path, quick: bool, lines: &mut Vec<Line>) -> Result<()> {
    let answers: Vec<f64> =
        (0..case.batch).map(|k| case.answer(&case.theta(k))).collect::<Result<Vec<_>>>()?.concat();
    conic_cases::write_numbers(folder, case.name, "answers", &answers)?;
    let truth = Truth::of(case)?;
    conic_cases::write_numbers(folder, case.name, "directions", &truth.directions.concat())?;
    conic_cases::write_numbers(folder, case.name, "slopes", &truth.slopes)?;
    let start = Instant::now();
    let layer = ConicLayer::new(case.model.clone(), ConicLayerOptions::default());
    let set_up = milliseconds(start.elapsed());
    let seconds = if quick { 0.3 } else { 1.0 };
    for batch in [None, Some(case.batch)].into_iter().filter(|batch| *batch != Some(1)) {
        let (forward, backward, run) = ours(case, &layer, batch, seconds)?;
        let count = batch.unwrap_or(1);
        let off = run.outputs.iter().zip(&answers).map(|(found, truth)| (found - truth).abs());
        lines.push(Line {
            case: case.name,
            batch: count,
            system: "gleaner",
            set_up: Some(set_up),
            forward: Some(forward),
            backward: Some(backward),
            gradient_error: Some(truth.error(&run.gradient)),
            difference: Some(off.fold(0.0, f64::max)),
            note: format!("{}; differences agree to {:.0e}", run.note, truth.disagreement),
        });
        let plain: Vec<Tensor> =
            case.parameters.iter().map(|given| given.tensor(batch)).collect::<Result<_>>()?;
        lines.push(Line {
            case: case.name,
            batch: count,
            system: "gleaner, no gradient",
            forward: Some(repeated(seconds / 2.0, || Ok(forward_pass(&layer, &plain, batch)?.0))?),
            ..Line::default()
        });
    }
    lines.extend(clarabel(case, seconds)?);
    Ok(())
}

/// One call's results.
struct Run {
    /// All outputs of all programs.
    outputs: Vec<f64>,
    /// Of the first program's parameters, in a row.
    gradient: Vec<f64>,
    note: String,
}

/// The outputs, a row a program; and what found the first.
fn forward_pass(
    layer: &ConicLayer,
    parameters: &[Tensor],
    batch: Option<usize>,
) -> Result<(Tensor, String)> {
    let parameters: Vec<&Tensor> = parameters.iter().collect();
    let (values, solution) = match batch {
        None => {
            let output = layer.forward(&parameters)?;
            (output.values, Some(output.solution))
        }
        Some(_) => {
            let output = layer.forward_batch(&parameters)?;
            ensure!(output.solved().iter().all(|solved| *solved), "a program was not solved");
            (output.values, None)
        }
    };
    let count = batch.unwrap_or(1);
    let flat =
        values.iter().map(|value| value.reshape((count, ()))).collect::<Result<Vec<_>, _>>()?;
    let found = solution.map_or(String::new(), |solution| {
        let verdict = solution.verdict();
        format!(
            "{:?}, {} iterations, {} steps",
            verdict.method, verdict.iterations, verdict.polish_steps
        )
    });
    Ok((Tensor::cat(&flat, 1)?, found))
}

/// Forward and backward as a user has them: tensors in, tensors out, candle's `backward`.
fn ours(
    case: &Case,
    layer: &ConicLayer,
    batch: Option<usize>,
    seconds: f64,
) -> Result<(Timing, Timing, Run)> {
    let count = batch.unwrap_or(1);
    let variables: Vec<Var> = case
        .parameters
        .iter()
        .map(|given| Ok(Var::from_tensor(&given.tensor(batch)?)?))
        .collect::<Result<_>>()?;
    let parameters: Vec<Tensor> = variables.iter().map(|var| var.as_tensor().clone()).collect();
    let upstream = case.upstream[..count * case.width()].to_vec();
    let upstream = Tensor::from_vec(upstream, (count, case.width()), &Device::Cpu)?;
    let both = || -> Result<(f64, f64, (Tensor, String), GradStore)> {
        let start = Instant::now();
        let found = forward_pass(layer, &parameters, batch)?;
        let solved = Instant::now();
        let loss = (&found.0 * &upstream)?.sum_all()?;
        let begin = Instant::now();
        let gradients = loss.backward()?;
        Ok((milliseconds(solved - start), milliseconds(begin.elapsed()), found, gradients))
    };
    let (_, _, (outputs, note), gradients) = both()?;
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while forward.len() < 5 || (began.elapsed().as_secs_f64() < seconds && forward.len() < 1000) {
        let (solving, pulling, ..) = both()?;
        forward.push(solving);
        backward.push(pulling);
    }
    let mut gradient = Vec::new();
    for (variable, given) in variables.iter().zip(&case.parameters) {
        let length: usize = given.dims.iter().product();
        let all = match gradients.get(variable) {
            Some(gradient) => gradient.flatten_all()?.to_vec1::<f64>()?,
            None => vec![0.0; length],
        };
        gradient.extend_from_slice(&all[..length]);
    }
    let outputs = outputs.flatten_all()?.to_vec1()?;
    Ok((Timing::of(forward), Timing::of(backward), Run { outputs, gradient, note }))
}

/// As often as fits into these seconds, five times at least, after one untimed call.
fn repeated<T>(seconds: f64, mut work: impl FnMut() -> Result<T>) -> Result<Timing> {
    work()?;
    let (mut samples, began) = (Vec::new(), Instant::now());
    while samples.len() < 5 || (began.elapsed().as_secs_f64() < seconds && samples.len() < 1000) {
        let start = Instant::now();
        let result = work()?;
        samples.push(milliseconds(start.elapsed()));
        std::hint::black_box(result);
    }
    Ok(Timing::of(samples))
}

/// Slopes of the first program's loss by differences of our own answers.
struct Truth {
    directions: Vec<Vec<f64>>,
    slopes: Vec<f64>,
    /// How well differences at two step sizes agree, relative to the largest slope.
    disagreement: f64,
}

impl Truth {
    /// Five-point central differences, at the step that agrees best with half of it.
    fn of(case: &Case) -> Result<Self> {
        let theta = case.theta(0);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        // A parameter's entries move in proportion to its size.
        let directions: Vec<Vec<f64>> = (0..DIRECTIONS)
            .map(|_| {
                let one = |given: &conic_cases::Given| -> Vec<f64> {
                    let own = given.of(0);
                    let size =
                        (own.iter().map(|v| v * v).sum::<f64>() / own.len().max(1) as f64).sqrt();
                    own.iter().map(|_| size * rng.sample::<f64, _>(StandardNormal)).collect()
                };
                case.parameters.iter().flat_map(one).collect()
            })
            .collect();
        let at = |direction: &[f64], step: f64| -> Result<f64> {
            let moved = theta.iter().zip(direction).map(|(t, d)| t + step * d);
            case.loss(&moved.collect::<Vec<f64>>())
        };
        let mut best = Self { directions, slopes: vec![], disagreement: f64::INFINITY };
        for step in [1e-4, 3e-5, 3e-4, 1e-5, 1e-3, 3e-6, 1e-6] {
            let slope = |direction: &Vec<f64>, h: f64| -> Result<f64> {
                let near = at(direction, h)? - at(direction, -h)?;
                let far = at(direction, 2.0 * h)? - at(direction, -2.0 * h)?;
                Ok((8.0 * near - far) / (12.0 * h))
            };
            let whole =
                best.directions.iter().map(|d| slope(d, step)).collect::<Result<Vec<_>>>()?;
            let half =
                best.directions.iter().map(|d| slope(d, step / 2.0)).collect::<Result<Vec<_>>>()?;
            let off = whole.iter().zip(&half).fold(0.0_f64, |off, (w, h)| off.max((w - h).abs()));
            // Where all slopes are zero (a vertex) the upstream gradient is what to compare with.
            let disagreement = off / scale(&whole);
            if disagreement < best.disagreement {
                best.slopes = whole;
                best.disagreement = disagreement;
            }
            // Good enough to judge by, and some programs are large.
            if best.disagreement < 1e-9 {
                break;
            }
        }
        Ok(best)
    }

    /// The largest error of a slope, relative to the largest slope.
    fn error(&self, gradient: &[f64]) -> f64 {
        let slope = |direction: &Vec<f64>| -> f64 {
            direction.iter().zip(gradient).map(|(d, g)| d * g).sum()
        };
        let errors = self.directions.iter().zip(&self.slopes).map(|(d, s)| (slope(d) - s).abs());
        errors.fold(0.0, f64::max) / scale(&self.slopes)
    }
}

/// The largest slope; one where all are zero, as at a vertex.
fn scale(slopes: &[f64]) -> f64 {
    let largest = slopes.iter().fold(0.0_f64, |largest, slope| largest.max(slope.abs()));
    if largest > 1e-6 { largest } else { 1.0 }
}

/// Clarabel as it is, from the program's numbers to its answer, set-up included: what a solve without a derivative costs.
fn clarabel(case: &Case, seconds: f64) -> Result<Option<Line>> {
    let program = case.model.program();
    let theirs = |cone: &Cone| match *cone {
        Cone::Zero(rows) => Some(SupportedConeT::ZeroConeT(rows)),
        Cone::Nonnegative(rows) => Some(SupportedConeT::NonnegativeConeT(rows)),
        Cone::SecondOrder(rows) => Some(SupportedConeT::SecondOrderConeT(rows)),
        Cone::Exponential => Some(SupportedConeT::ExponentialConeT()),
        Cone::Power(alpha) => Some(SupportedConeT::PowerConeT(alpha)),
        // It would need LAPACK.
        _ => None,
    };
    let Some(cones) = program.cones().iter().map(theirs).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let matrix = |pattern: &Pattern, values: &[f64]| {
        let (starts, indices) = (pattern.starts().to_vec(), pattern.indices().to_vec());
        CscMatrix::new(pattern.rows(), pattern.columns(), starts, indices, values.to_vec())
    };
    let data = case.model.data(&case.theta(0))?;
    let Values { quadratic, linear, constraints, right } = data.values();
    let p = matrix(program.quadratic(), quadratic);
    let a = matrix(program.constraints(), constraints);
    let mut iterations = 0;
    let forward = repeated(seconds, || {
        let settings = DefaultSettings { verbose: false, max_threads: 2, ..Default::default() };
        let mut solver = DefaultSolver::new(&p, linear, &a, right, &cones, settings)?;
        solver.solve();
        iterations = solver.solution.iterations;
        Ok(solver)
    })?;
    Ok(Some(Line {
        case: case.name,
        batch: 1,
        system: "clarabel (Rust)",
        forward: Some(forward),
        note: format!("{iterations} iterations"),
        ..Line::default()
    }))
}
