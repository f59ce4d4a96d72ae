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
use gleaner::{Seeds, Source};
use shared::core_set::CoreSetFlags as Flags;

fn main() -> Result<()> {
    let flags = Flags::parse();
    let (common, size) = (&flags.common, flags.size());
    let (seeds, device) = (common.seeds(3, u64::MAX), common.open(1)?);
    let limits = CifarOptions { train: size.train, test: size.test, ..Default::default() };
    let cifar = load(&flags.data, &limits)?.shrunk(size.shrink)?;
    let (side, classes) = (32 / size.shrink, cifar.train.classes());
    let strategies = listed(&size.strategies, Needs::EVERYTHING)?;
    let joint = Joint { steps: size.joint_steps, ..Default::default() };
    let (target_chooses, joint) = (!flags.proxy_only, (!flags.no_joint).then_some(joint));
    let options = CoreSetOptions { fractions: size.fractions, target_chooses, joint };
    let build = |learner: ImageLearner| {
        let device = &device;
        move |seed| learner.build(side, classes, seed, DType::F32, device)
    };
    let model = |learner: ImageLearner, build, epochs| {
        let training = TrainingOptions::images(epochs, size.batch, 4 / size.shrink);
        Model { name: learner.to_string(), build, training }
    };
    let builds = [build(flags.proxy), build(flags.target)];
    let proxy = model(flags.proxy, &builds[0], size.proxy_epochs);
    let target = model(flags.target, &builds[1], size.epochs);

    // Before the run's folder remembers what was asked for.
    options.check(cifar.train.len().saturating_sub(size.validation))?;
    let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name()).collect();
    let mut asked = common.configuration(&seeds);
    asked.insert("data".into(), flags.data.display().to_string());
    let dims = [&cifar.train, &cifar.test].map(|set| set.inputs().dims());
    asked.insert("images".into(), format!("{dims:?}"));
    asked.insert("strategies".into(), names.join(", "));
    options.note(&mut asked);
    proxy.note("proxy", &mut asked);
    target.note("target", &mut asked);
    let out = common.out("core_set");
    let run = Run::open(out.join("run"), &asked)?;
    let (images, here) = (cifar.train.len(), out.display());
    println!("{images} images of {side} x {side} pixels, {} of them set aside", size.validation);
    println!("{} chooses for {}; everything is kept in {here}/run", proxy.name, target.name);
    let bars = shared::Bars::new(options.trainings(&strategies) * seeds.clone().count())?;
    let mut found = Vec::new();
    for seed in seeds {
        let (rng, all) = (&mut Seeds::new(seed).stream(0), &cifar.train);
        let (validation, pool) = stratified_split(all.labels(), size.validation, rng)?;
        let (pool, validation) = (all.subset(&pool)?, all.subset(&validation)?);
        let (test, validation) = (&cifar.test, Some(&validation as &dyn Source));
        let task = Task { pool: &pool, validation, test, flipped: &[] };
        let stages = Stages { run: &run, watch: &mut |progress| bars.show(progress) };
        found.push(core_set(task, (&proxy, &target), &strategies, &options, seed, stages)?);
    }
    bars.finish();
    print!("{}", report_core_sets(&out, &target.name, "CIFAR-10", &options.fractions, &found)?);
    println!("written: {here}/summary.csv and pictures");
    Ok(())
}
