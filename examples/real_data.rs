//! Which way of choosing training data helps on real tables and texts, with wrong labels and without.
//!
//! `cargo run --release --example real_data -- --data DIR [--set NAME,…]` for the sets that `shared/real_data.rs` names, or
//! `-- --train FILE --test FILE --label COLUMN` for tables of yours.

mod shared;

use anyhow::Result;
use candle_core::DType;
use clap::Parser;
use gleaner::Learner;
use gleaner::experiment::tables::{PairedLevel, report_paired};
use gleaner::experiment::{
    Comparison, ComparisonOptions, Joint, Model, Run, Stages, compare, side_by_side,
};
use gleaner::learn::{Length, Mlp, MlpOptions, TrainingOptions};
use shared::real_data::{NOISES, RealDataFlags as Flags, selectors, spoiled};

fn main() -> Result<()> {
    let flags = Flags::parse();
    let common = &flags.common;
    let seeds: Vec<u64> = common.seeds(5, 1).collect();
    let device = common.open(8)?;
    let out = common.out("real_data");
    let (steps, shares): (_, &[f64]) = match common.quick {
        true => (200, &[0.05, 0.2]),
        false => (400, &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5]),
    };
    let points = if common.quick { flags.points.min(1_000) } else { flags.points };
    let kept = out.join(if common.quick { "run-quick" } else { "run" });
    println!(
        "everything is kept in {}: the same command goes on where it was stopped",
        kept.display()
    );
    let mut levels = Vec::new();
    for set in flags.sets.sets()? {
        let many = set.train.classes() > 2;
        let noises = NOISES.into_iter().filter(|noise| many || noise.0 != "next-class");
        let jobs: Vec<((&str, f64), u64)> =
            noises.clone().flat_map(|noise| seeds.iter().map(move |seed| (noise, *seed))).collect();
        println!(
            "{}: {} points, {} features",
            set.name,
            set.train.len(),
            set.train.inputs().dim(1)?
        );
        let options = ComparisonOptions {
            selectors: selectors(),
            fractions: shares.into(),
            joint: Joint::default(),
        };
        let bars = shared::Bars::new(jobs.len() * options.trainings())?;
        let found =
            side_by_side(&jobs, &device, |&(noise, seed)| -> gleaner::Result<Comparison> {
                let data = spoiled(&set, points, noise, seed)?.to_device(&device)?;
                let shape = MlpOptions {
                    inputs: data.pool.inputs().dim(1)?,
                    hidden: vec![64],
                    classes: data.pool.classes(),
                };
                let build = |seed| -> gleaner::Result<Box<dyn Learner>> {
                    Ok(Box::new(Mlp::new(&shape, seed, DType::F32, &device)?))
                };
                let training =
                    TrainingOptions { length: Length::Steps(steps), ..Default::default() };
                let model = Model { name: "mlp".into(), build: &build, training };
                let mut asked = common.configuration(&(seed..seed + 1));
                asked.insert("data".into(), format!("{}, {points} points, {noise:?}", set.name));
                options.note(&mut asked);
                model.note("model", &mut asked);
                let run = Run::open(kept.join(format!("{}-{}-{seed}", set.name, noise.0)), &asked)?;
                compare(
                    data.task(),
                    &model,
                    &options,
                    seed,
                    Stages { run: &run, watch: &mut |p| bars.show(p) },
                )
            })?;
        bars.finish();
        let mut found = found.into_iter();
        levels.extend(noises.map(|(noise, rate)| PairedLevel {
            set: set.name.clone(),
            noise: noise.into(),
            rate,
            seeds: found.by_ref().take(seeds.len()).collect(),
        }));
        print!("{}", report_paired(&out, &levels, "random", shares)?);
    }
    println!("written: {}/summary.csv and a picture a set", out.display());
    Ok(())
}
