//! The main job, with no data and no network: a learner and a selection model trained together on
//! synthetic clusters, and the subsets judged against every other way of choosing.
//!
//! `cargo run --release --example synthetic`

mod shared;

use std::path::PathBuf;

use anyhow::Result;
use candle_core::DType;
use clap::Parser;
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::experiment::compare::{ComparisonOptions, Way};
use gleaner::joint::{ChooseOptions, TrainerOptions};
use gleaner::learn::{Length, Recipe};
use gleaner::learn::{Mlp, MlpOptions};
use rand::SeedableRng;
use shared::{Data, DeviceKind, over_seeds, report, with_thread_count};

/// Compares ways of choosing training data on clusters with Zipf sizes, where rare clusters matter.
#[derive(Parser)]
struct Flags {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of seeds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Where tables and the picture go.
    #[arg(long, default_value = "target/gleaner/synthetic")]
    out: PathBuf,
    /// A smaller task: 1,500 points, two seeds at most, fewer steps.
    #[arg(long)]
    quick: bool,
    /// Where tensors live.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    with_thread_count(flags.device.at_once(2 * flags.seeds))?;
    let device = flags.device.open()?;
    let seeds = if flags.quick { flags.seeds.min(2) } else { flags.seeds };
    let shape = if flags.quick {
        ClusterOptions { points: 1500, clusters: 30, near_duplicates: 0.0, ..Default::default() }
    } else {
        ClusterOptions { near_duplicates: 0.0, ..Default::default() }
    };
    let (warm_up, trainer_steps) = if flags.quick { (300, 500) } else { (1000, 1700) };
    let steps = if flags.quick { 300 } else { 600 };
    let options = ComparisonOptions {
        ways: Way::ALL.to_vec(),
        fractions: vec![0.05, 0.1, 0.2],
        training: Recipe { length: Length::Steps(steps), ..Default::default() },
        trainer: TrainerOptions { warm_up, ..Default::default() },
        trainer_steps,
        trainer_batch: 48,
        choose: ChooseOptions::default(),
    };
    println!(
        "{} points in {} clusters of Zipf({}) sizes, {} classes, {} trusted validation points, \
         {} test points spread evenly over the clusters; {} optimiser steps for every fresh learner",
        shape.points,
        shape.clusters,
        shape.zipf_exponent,
        shape.classes,
        shape.validation,
        shape.test,
        steps
    );
    let learner = |seed| {
        let (inputs, classes) = (shape.dimensions, shape.classes);
        Mlp::new(&MlpOptions { inputs, hidden: vec![64, 64], classes }, seed, DType::F32, &device)
    };
    let noises = [0.2, 0.0];
    let data = |noise: f64, seed: u64| -> Result<Data> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let made = clusters(&ClusterOptions { label_noise: noise, ..shape }, &mut rng)?;
        Ok(Data {
            train: made.train.to_device(&device)?,
            validation: made.validation.to_device(&device)?,
            test: made.test.to_device(&device)?,
            flipped: made.flipped,
        })
    };
    let levels =
        over_seeds(&device, flags.seed..flags.seed + seeds, &noises, &options, learner, data)?;
    report(&flags.out, "Synthetic clusters", &options.fractions, &levels)
}
