//! What concerns our conic layer alone: a table for the docs.

use std::fs;

use anyhow::Result;
use candle_core::{Tensor, Var};
use gleaner::conic::Method;
use gleaner::{ConicLayer, ConicLayerOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::conic_cases::{self, Case};
use crate::repeated;

/// How far parameters move between a start and what is solved from it, relative to themselves.
const NEAR: f64 = 1e-2;
/// Calls between two looks at the memory in use.
const CALLS: usize = 1000;

/// A line a case: the share of `theta -> data` in a solve, time a program in batches, and what a warm start leaves of the
/// time of a batch; then memory.
pub fn print(quick: bool) -> Result<()> {
    let seconds = if quick { 0.1 } else { 0.4 };
    println!("| case | modelling | 1 | 8 | 128, ms a program | warm / cold | started warm |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let cases = conic_cases::all(quick)?;
    for case in &cases {
        let layer = ConicLayer::new(case.model.clone(), ConicLayerOptions::default());
        let share = modelling(case, seconds)?;
        let mut cells = vec![case.name.to_owned(), format!("{:.1} %", 100.0 * share)];
        for count in [1, 8, 128] {
            cells.push(match count <= case.batch {
                true => format!("{:.3}", a_program(case, &layer, count, seconds)?),
                false => String::new(),
            });
        }
        let (ratio, warm) = warm(case, &layer, seconds)?;
        cells.extend([format!("{ratio:.2}"), format!("{warm} of {}", case.batch)]);
        println!("| {} |", cells.join(" | "));
    }
    for case in cases.iter().take(3) {
        let layer = ConicLayer::new(case.model.clone(), ConicLayerOptions::default());
        let calls = if quick { CALLS / 10 } else { CALLS };
        for _ in 0..calls / 10 {
            a_step(case, &layer, 1)?;
        }
        let before = resident();
        for _ in 0..calls {
            a_step(case, &layer, 1)?;
        }
        let (name, after) = (case.name, resident());
        println!(
            "{name}: {before} KiB in use, {after} KiB after {calls} more forward and backward passes"
        );
    }
    Ok(())
}

/// `theta -> data` over a solve of the data.
fn modelling(case: &Case, seconds: f64) -> Result<f64> {
    let theta = case.theta(0);
    let mapping = repeated(seconds / 4.0, || Ok(case.model.data(&theta)?))?;
    let data = case.model.data(&theta)?;
    let program = case.model.program();
    let solving = repeated(seconds, || Ok(program.solve(data.values(), &Default::default())?))?;
    Ok(mapping.median / solving.median)
}

/// Forward and backward, in milliseconds a program.
fn a_program(case: &Case, layer: &ConicLayer, count: usize, seconds: f64) -> Result<f64> {
    Ok(repeated(seconds, || a_step(case, layer, count))?.median / count as f64)
}

fn a_step(case: &Case, layer: &ConicLayer, count: usize) -> Result<()> {
    let variables =
        case.parameters.iter().map(|given| Ok(Var::from_tensor(&given.tensor(Some(count))?)?));
    let variables = variables.collect::<Result<Vec<Var>>>()?;
    let parameters: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
    let values = layer.forward_batch(&parameters)?.values;
    values[0].sqr()?.sum_all()?.backward()?;
    Ok(())
}

/// The time of a batch that starts from the answers of a near one, over that of one that does not; and how many programs
/// went on from their starts.
fn warm(case: &Case, layer: &ConicLayer, seconds: f64) -> Result<(f64, usize)> {
    let batch = Some(case.batch);
    let before =
        case.parameters.iter().map(|given| given.tensor(batch)).collect::<Result<Vec<_>>>()?;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut moved = |tensor: &Tensor| -> Result<Tensor> {
        let by: Vec<f64> =
            (0..tensor.elem_count()).map(|_| 1.0 + rng.random_range(-NEAR..NEAR)).collect();
        Ok((tensor * Tensor::from_vec(by, tensor.shape(), tensor.device())?)?)
    };
    let after = before.iter().map(&mut moved).collect::<Result<Vec<_>>>()?;
    let (before, after): (Vec<&Tensor>, Vec<&Tensor>) =
        (before.iter().collect(), after.iter().collect());
    let start = layer.forward_batch(&before)?;
    let answer = layer.forward_batch_from(&start, &after)?;
    let outcomes = answer.outcomes().iter().flatten().filter_map(|outcome| outcome.as_solution());
    let started = outcomes.filter(|solution| solution.verdict().method == Method::Warm).count();
    let cold = repeated(seconds, || Ok(layer.forward_batch(&after)?))?;
    let warm = repeated(seconds, || Ok(layer.forward_batch_from(&start, &after)?))?;
    Ok((warm.median / cold.median, started))
}

/// KiB of memory in use; zero where the system does not tell.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|size| size.parse().ok()).unwrap_or(0)
}
