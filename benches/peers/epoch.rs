//! Times steps of the trainer on images: the counterpart of `hostcp.py`, with the same batch, memory,
//! validation set, network and data.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use gleaner::data::cifar::{CifarOptions, load};
use gleaner::data::{Dataset, shuffled_batches};
use gleaner::joint::{CostFeatures, Heads, ModelOptions, StageSeconds};
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
    VALIDATION.into_iter().map(line).collect()
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

fn time(training: &Dataset, validation: &Dataset, steps: usize) -> Result<Row> {
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
    let (mut times, mut stages) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
    for _ in 0..steps {
        let start = Instant::now();
        let report = trainer.step(&next()?)?;
        times.push(milliseconds(start.elapsed()));
        stages.push(report.seconds);
    }
    let note = shares(&stages);
    let case = format!("hostcp epoch ({} validation images)", validation.len());
    println!("{case}: {note}");
    Ok(Row {
        case,
        n: BATCH,
        m: REMEMBERED,
        p: "inf",
        system: "gleaner".into(),
        forward: Some(Timing::of(times)),
        note,
        ..Row::default()
    })
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
