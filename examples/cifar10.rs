//! The same comparison as `synthetic` on real CIFAR-10 in its standard binary form, clean and with 20 %
//! flipped labels.
//!
//! `cargo run --release --example cifar10 -- --data DIR [--quick]`, DIR holding `cifar-10-batches-bin`.

mod shared;

use std::path::PathBuf;

use anyhow::Result;
use candle_core::DType;
use clap::Parser;
use gleaner::data::cifar::{CifarOptions, load};
use gleaner::data::{flip_labels, stratified_split};
use gleaner::experiment::{ComparisonOptions, Data, Joint, Model, Selector};
use gleaner::joint::{ChooseOptions, CostFeatures, TrainerOptions};
use gleaner::learn::{Cnn, CnnOptions, Length, TrainingOptions};
use gleaner::{Learner, Seeds};

/// Compares ways of choosing training data on CIFAR-10; with --quick on 4,200 training images (200 of them
/// validation) and 1,000 test images, with a narrow network.
#[derive(Parser)]
struct Flags {
    /// The folder that holds cifar-10-batches-bin.
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    common: shared::Common,
}

fn main() -> Result<()> {
    let Flags { data: folder, common } = Flags::parse();
    let seeds = common.seeds(3, u64::MAX);
    let device = common.open(shared::comparison::NOISES.len() * seeds.clone().count())?;
    let ([train, test], validation, widths) = match common.quick {
        true => ([Some(4_200), Some(1_000)], 200, [8, 16, 32]),
        false => ([None; 2], 1_000, [32, 64, 64]),
    };
    let [fresh, warm_up, steps] =
        if common.quick { [200, 200, 300] } else { [8_000, 5_000, 10_000] };
    let cifar = load(&folder, &CifarOptions { train, test, ..Default::default() })?;
    let trainer =
        TrainerOptions { warm_up, cost_features: CostFeatures::Learner, ..Default::default() };
    let joint = Joint { trainer, batch: 48, steps, choose: ChooseOptions::default() };
    let (selectors, fractions) = (Selector::usual(), vec![0.05, 0.1, 0.2]);
    let options = ComparisonOptions { selectors, fractions, joint };
    let (train, test) = (cifar.train.len(), cifar.test.len());
    println!(
        "CIFAR-10: {train} training images, {validation} of them set aside as clean validation; {test} \
         test images; {fresh} optimiser steps for every fresh learner"
    );
    let shape = CnnOptions { widths, ..Default::default() };
    let build = |seed| -> gleaner::Result<Box<dyn Learner>> {
        Ok(Box::new(Cnn::new(&shape, seed, DType::F32, &device)?))
    };
    let training = TrainingOptions { length: Length::Steps(fresh), ..Default::default() };
    let model = Model { name: "cnn".into(), build: &build, training };
    let data = |noise: f64, seed: u64| {
        let mut rng = Seeds::new(seed).stream(0);
        let (validation, pool) = stratified_split(cifar.train.labels(), validation, &mut rng)?;
        let (pool, validation) = (cifar.train.subset(&pool)?, cifar.train.subset(&validation)?);
        let (labels, flipped) = flip_labels(pool.labels(), pool.classes(), noise, &mut rng)?;
        let (pool, test) = (pool.with_labels(labels)?, cifar.test.clone());
        Ok(Data { pool, validation, test, flipped })
    };
    let names = ("cifar10", "CIFAR-10", folder.display().to_string());
    shared::comparison::run(&common, names, seeds, (&model, &options), &device, data)
}
