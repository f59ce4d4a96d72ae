//! Selection via proxy on CIFAR-10: a cheap network chooses the images that an expensive one learns from.
//!
//! `cargo run --release --example core_set -- --data DIR [--quick]`, DIR holding `cifar-10-batches-bin`.
//! Killed at any moment and started again with the same flags, it goes on where it was.

mod shared;

use anyhow::Result;
use candle_core::DType;
use clap::Parser;
use gleaner::choose::{Needs, listed};
use gleaner::data::cifar::{CifarOptions, load};
use gleaner::data::stratified_split;
use gleaner::experiment::tables::report_core_sets;
use gleaner::experiment::{CoreSetOptions, Joint, Model, Run, Stages, Task, core_set};
use gleaner::learn::{ImageLearner, TrainingOptions};
use rand::SeedableRng;
use shared::core_set::CoreSetFlags as Flags;

fn main() -> Result<()> {
    let flags = Flags::parse();
    let common = &flags.common;
    let (seeds, device) = (common.seeds(3, u64::MAX), common.open(1)?);
    let size = flags.size();
    let limits = CifarOptions { train: size.train, test: size.test, ..Default::default() };
    let cifar = load(&flags.data, &limits)?.shrunk(size.shrink)?;
    let (side, classes) = (32 / size.shrink, cifar.train.classes());
    let strategies = listed(&size.strategies, Needs::EVERYTHING)?;
    let joint = Joint { steps: size.joint_steps, ..Default::default() };
    let options = CoreSetOptions {
        fractions: size.fractions,
        target_chooses: !flags.proxy_only,
        joint: (!flags.no_joint).then_some(joint),
    };
    let builder = |learner: ImageLearner| {
        let device = device.clone();
        move |seed| learner.build(side, classes, seed, DType::F32, &device)
    };
    let training = |epochs| TrainingOptions::images(epochs, size.batch, 4 / size.shrink);
    let [proxy, target] = [builder(flags.proxy), builder(flags.target)];
    let [proxy, target] = [
        Model {
            name: flags.proxy.to_string(),
            build: &proxy,
            training: training(size.proxy_epochs),
        },
        Model { name: flags.target.to_string(), build: &target, training: training(size.epochs) },
    ];

    // Before the run's folder remembers what was asked for.
    options.check(cifar.train.len().saturating_sub(size.validation))?;
    let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name()).collect();
    let mut asked = common.configuration(&seeds);
    asked.insert("data".into(), flags.data.display().to_string());
    asked.insert("training images".into(), format!("{:?}", cifar.train.inputs().dims()));
    asked.insert("test images".into(), cifar.test.len().to_string());
    asked.insert("strategies".into(), names.join(", "));
    options.note(&mut asked);
    proxy.note("proxy", &mut asked);
    target.note("target", &mut asked);
    let out = common.out("core_set");
    let run = Run::open(out.join("run"), &asked)?;
    println!("CIFAR-10 at {side} x {side}; everything is kept in {}", out.join("run").display());
    let bars = shared::Bars::new(options.trainings(strategies.len()) * seeds.clone().count())?;
    let mut found = Vec::new();
    for seed in seeds {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let (validation, pool) = stratified_split(cifar.train.labels(), size.validation, &mut rng)?;
        let (pool, validation) = (cifar.train.subset(&pool)?, cifar.train.subset(&validation)?);
        let task =
            Task { pool: &pool, validation: Some(&validation), test: &cifar.test, flipped: &[] };
        let stages = Stages { run: &run, watch: &mut |progress| bars.show(progress) };
        found.push(core_set(task, (&proxy, &target), &strategies, &options, seed, stages)?);
    }
    bars.finish();
    print!("{}", report_core_sets(&out, &target.name, "CIFAR-10", &options.fractions, &found)?);
    println!("written: {}/summary.csv and pictures", out.display());
    Ok(())
}
