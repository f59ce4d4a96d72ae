//! Times steps of the trainer on images: the counterpart of `hostcp.py`, with the same batch, memory,
//! validation set, network and data.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use gleaner::data::cifar::{CifarOptions, load};
use gleaner::data::{Batch, Dataset, shuffled_batches};
use gleaner::joint::{CostFeatures, Heads, ModelOptions, StageSeconds, weighted_gradient};
use gleaner::learn::{Cnn, CnnOptions};
use gleaner::program::Budget;
use gleaner::{LayerOptions, Trainer, TrainerOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::row::Row;
use crate::timing::{Timing, milliseconds};

const BATCH: usize = 40;
const REMEMBERED: usize = 40;
/// Images of an epoch.
const TRAINING: usize = 5_000;
/// Images that the selection answers to: as many as published, and as few as can do.
const VALIDATION: [usize; 2] = [1_000, 100];
/// Images of a part of the validation set, as the trainer asks it.
const PIECE: usize = 64;
/// Steps that may fill the memory before the clock runs.
const FILLING: usize = 100;

/// A line a validation set, for p = inf: with the published p = 1 an empty memory leaves the first program infeasible.
pub fn time_all(data: Option<&Path>, quick: bool) -> Result<Vec<Row>> {
    let steps = if quick { 20 } else { 40 };
    let images = images(data)?;
    let training = images.subset(&(0..TRAINING).collect::<Vec<_>>())?;
    let line = |count: usize| {
        let validation = images.subset(&(TRAINING..TRAINING + count).collect::<Vec<_>>())?;
        time(&training, &validation, steps)
    };
    let lines = VALIDATION.into_iter().map(line).collect::<Result<Vec<_>>>()?;
    Ok(lines.concat())
}

/// The first images of CIFAR-10, or noise of the same shape.
fn images(data: Option<&Path>) -> Result<Dataset> {
    if let Some(data) = data {
        let limits = CifarOptions { train: Some(TRAINING + VALIDATION[0]), ..Default::default() };
        let images = load(data, &limits)?.train;
        ensure!(images.len() == TRAINING + VALIDATION[0], "only {} images", images.len());
        return Ok(images);
    }
    let count = TRAINING + VALIDATION[0];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let pixels: Vec<f32> = (0..count * 3 * 32 * 32).map(|_| rng.sample(StandardNormal)).collect();
    let labels = (0..count).map(|_| rng.random_range(0..10)).collect();
    let pixels = Tensor::from_vec(pixels, (count, 3, 32, 32), &Device::Cpu)?;
    Ok(Dataset::new(pixels, labels, 10)?)
}

/// Steps, and in turn with them what no step can do without: the learner's gradient on a batch and on the validation set.
fn time(training: &Dataset, validation: &Dataset, steps: usize) -> Result<Vec<Row>> {
    let layer = LayerOptions { budget: Budget::Fraction(0.2), ..Default::default() };
    let options = TrainerOptions {
        layer,
        cost_features: CostFeatures::Learner,
        model: ModelOptions { heads: Heads::Embedding, ..Default::default() },
        remembered: REMEMBERED,
        warm_up: 0,
        ..Default::default()
    };
    let learner = Cnn::new(&CnnOptions::default(), 0, DType::F32, &Device::Cpu)?;
    let mut trainer = Trainer::new(learner, validation, options, 0)?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut batches = shuffled_batches(training.len(), BATCH, &mut rng).into_iter().cycle();
    let mut next = || training.batch(&batches.next().unwrap_or_default());
    let mut fill = 0;
    while trainer.memory().len() < REMEMBERED {
        ensure!(fill < FILLING, "{} exemplars remembered in {fill} steps", trainer.memory().len());
        trainer.step(&next()?)?;
        fill += 1;
    }
    let points: Vec<usize> = (0..validation.len()).collect();
    let pieces = points.chunks(PIECE).map(|piece| validation.batch(piece));
    let pieces = pieces.collect::<gleaner::Result<Vec<_>>>()?;
    let (mut times, mut floors, mut stages) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..steps {
        let batch = next()?;
        let start = Instant::now();
        let report = trainer.step(&batch)?;
        times.push(milliseconds(start.elapsed()));
        stages.push(report.seconds);
        let start = Instant::now();
        std::iter::once(&batch).chain(&pieces).try_for_each(|part| gradient(&trainer, part))?;
        floors.push(milliseconds(start.elapsed()));
    }
    let ratios = times.iter().zip(&floors).map(|(time, floor)| time / floor).collect();
    let ratio = Timing::of(ratios);
    let note = format!(
        "{}; {:.2} times its learner's gradients alone ({:.2} to {:.2})",
        shares(&stages),
        ratio.median,
        ratio.low,
        ratio.high
    );
    let case = format!("hostcp epoch ({} validation images)", validation.len());
    println!("{case}: {note}");
    let row = |system: &str, times, note| Row {
        case: case.clone(),
        n: BATCH,
        m: REMEMBERED,
        p: "inf",
        system: system.into(),
        forward: Some(Timing::of(times)),
        note,
        ..Row::default()
    };
    Ok(vec![
        row("gleaner", times, note),
        row("gleaner, the learner's gradients alone", floors, String::new()),
    ])
}

/// Of the learner on some points.
fn gradient(trainer: &Trainer<Cnn>, points: &Batch) -> Result<()> {
    weighted_gradient(trainer.learner(), points, &vec![1.0; points.indices.len()])?;
    Ok(())
}

/// What the stages of a step take of it.
fn shares(stages: &[StageSeconds]) -> String {
    let sum = |stage: fn(&StageSeconds) -> f64| stages.iter().map(stage).sum::<f64>();
    let parts = [
        ("evidence", sum(|s| s.evidence)),
        ("selection forward", sum(|s| s.selection)),
        ("learner's gradients", sum(|s| s.hypergradient)),
        ("selection backward with updates", sum(|s| s.update)),
    ];
    let whole: f64 = parts.iter().map(|part| part.1).sum();
    let part = |(name, seconds): &(&str, f64)| format!("{name} {:.2} %", 100.0 * seconds / whole);
    parts.iter().map(part).collect::<Vec<_>>().join("; ")
}
