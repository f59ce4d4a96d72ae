//! The same comparison on real CIFAR-10 in its standard binary form.
//!
//! `cargo run --release --example cifar10 -- --data DIR [--quick]`, DIR holding `cifar-10-batches-bin`.

mod shared;

use std::path::PathBuf;

use anyhow::Result;
use candle_core::DType;
use clap::Parser;
use gleaner::data::cifar::{CifarOptions, load};
use gleaner::data::{flip_labels, stratified_split};
use gleaner::experiment::compare::{ComparisonOptions, Way};
use gleaner::joint::{ChooseOptions, CostFeatures, TrainerOptions};
use gleaner::learn::{Cnn, CnnOptions};
use gleaner::learn::{Length, Recipe};
use rand::SeedableRng;
use shared::{Data, DeviceKind, over_seeds, report, with_thread_count};

/// Compares ways of choosing training data on CIFAR-10, clean and with 20 % flipped labels.
#[derive(Parser)]
struct Flags {
    /// The folder that holds cifar-10-batches-bin.
    #[arg(long)]
    data: PathBuf,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Where tables and the picture go.
    #[arg(long, default_value = "target/gleaner/cifar10")]
    out: PathBuf,
    /// 4,200 training images (200 of them validation), 1,000 test images, a narrow network.
    #[arg(long)]
    quick: bool,
    /// Where tensors live; full size is meant for a GPU.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

/// What differs between quick and full size.
struct Size {
    train: Option<usize>,
    test: Option<usize>,
    validation: usize,
    widths: [usize; 3],
    steps: usize,
    warm_up: usize,
    trainer_steps: usize,
}

const QUICK: Size = Size {
    train: Some(4_200),
    test: Some(1_000),
    validation: 200,
    widths: [8, 16, 32],
    steps: 200,
    warm_up: 200,
    trainer_steps: 300,
};

const FULL: Size = Size {
    train: None,
    test: None,
    validation: 1_000,
    widths: [32, 64, 64],
    steps: 8_000,
    warm_up: 5_000,
    trainer_steps: 10_000,
};

fn main() -> Result<()> {
    let flags = Flags::parse();
    with_thread_count(flags.device.at_once(2 * flags.seeds))?;
    let device = flags.device.open()?;
    let size = if flags.quick { QUICK } else { FULL };
    let limits = CifarOptions { train: size.train, test: size.test, ..Default::default() };
    let cifar = load(&flags.data, &limits)?;
    let options = ComparisonOptions {
        ways: Way::ALL.to_vec(),
        fractions: vec![0.05, 0.1, 0.2],
        training: Recipe { length: Length::Steps(size.steps), ..Default::default() },
        trainer: TrainerOptions {
            warm_up: size.warm_up,
            cost_features: CostFeatures::Learner,
            ..Default::default()
        },
        trainer_steps: size.trainer_steps,
        trainer_batch: 48,
        choose: ChooseOptions::default(),
    };
    println!(
        "CIFAR-10: {} training images, {} of them set aside as clean validation; {} test images; \
         {} optimiser steps for every fresh learner",
        cifar.train.len(),
        size.validation,
        cifar.test.len(),
        size.steps
    );
    let learner = |seed| {
        Cnn::new(
            &CnnOptions { widths: size.widths, ..Default::default() },
            seed,
            DType::F32,
            &device,
        )
    };
    let noises = [0.2, 0.0];
    let data = |noise: f64, seed: u64| -> Result<Data> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let labels = cifar.train.labels();
        let (validation, train) = stratified_split(labels, size.validation, &mut rng)?;
        let clean = cifar.train.subset(&train)?;
        let (labels, flipped) = flip_labels(clean.labels(), clean.classes(), noise, &mut rng)?;
        Ok(Data {
            train: clean.with_labels(labels)?.to_device(&device)?,
            validation: cifar.train.subset(&validation)?.to_device(&device)?,
            test: cifar.test.to_device(&device)?,
            flipped,
        })
    };
    let levels = over_seeds(
        &device,
        flags.seed..flags.seed + flags.seeds,
        &noises,
        &options,
        learner,
        data,
    )?;
    report(&flags.out, "CIFAR-10", &options.fractions, &levels)
}
