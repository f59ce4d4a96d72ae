//! Which way of choosing training data helps on real tables and texts, with wrong labels and without.
//!
//! `cargo run --release --example real_data -- --data DIR [--set NAME,…]` for the sets that `shared/real_data.rs` names, or
//! `-- --train FILE --test FILE --label COLUMN` for tables of yours.

mod shared;

use anyhow::Result;
use candle_core::DType;
use clap::Parser;
use gleaner::choose::{ClassBalanced, FacilityLocation, Random, Shares, SmallestLoss};
use gleaner::data::{flip_labels, flip_labels_to_next, stratified_split};
use gleaner::experiment::tables::{PairedLevel, report_paired};
use gleaner::experiment::{
    Comparison, ComparisonOptions, Data, Joint, Model, PortfolioOptions, Run, Selector, Stages,
    compare, side_by_side,
};
use gleaner::joint::Gleaner;
use gleaner::learn::{Length, Mlp, MlpOptions, TrainingOptions};
use gleaner::value::{Suspects, Trusted};
use gleaner::{Learner, Seeds};
use shared::real_data::{Set, SetFlags, standardised};

/// Compares ways of choosing training data by the accuracy of networks trained on it.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    sets: SetFlags,
    /// Points to choose from at most.
    #[arg(long, default_value_t = 4_000)]
    points: usize,
    #[command(flatten)]
    common: shared::Common,
}

/// Kinds of noise and their rates.
const NOISES: [(&str, f64); 3] = [("no", 0.0), ("symmetric", 0.2), ("next-class", 0.2)];
const VALIDATION: usize = 300;

/// What is compared; the simple rivals are filters of labels with coverage or random behind them.
fn selectors() -> Vec<Selector> {
    let proportional = Shares::Proportional;
    let random = || ClassBalanced::new(Random, proportional);
    let covering = || ClassBalanced::new(FacilityLocation::default(), proportional);
    let named = |name: &str, strategy| Selector::OutOfFold(name.into(), strategy);
    vec![
        named("random", Box::new(random())),
        Selector::Gleaner(Gleaner::default()),
        named("out-of-fold filter + coverage", Box::new(Trusted::new(covering()))),
        named(
            "neighbour filter + coverage",
            Box::new(Trusted::beyond(Suspects::Neighbours(15), covering())),
        ),
        named("small loss", Box::new(ClassBalanced::new(SmallestLoss, proportional))),
        Selector::Certified(PortfolioOptions::default()),
        Selector::Strategy(Box::new(Trusted::beyond(Suspects::Margins, random()))),
        Selector::FreshRandom,
        Selector::ValidationAlone,
        Selector::FullData,
    ]
}

/// The data of one seed: validation labels stay right.
fn spoiled(
    set: &Set,
    points: usize,
    (kind, rate): (&str, f64),
    seed: u64,
) -> gleaner::Result<Data> {
    let (seeds, labels) = (Seeds::new(seed), set.train.labels());
    let rng = &mut seeds.named("split");
    let size = VALIDATION.min(labels.len() / 4);
    let (validation, rest) = stratified_split(labels, size, rng)?;
    let of_rest: Vec<u32> = rest.iter().map(|i| labels[*i]).collect();
    let (kept, _) = stratified_split(&of_rest, points.min(rest.len()), rng)?;
    let pool: Vec<usize> = kept.iter().map(|k| rest[*k]).collect();
    let (pool, validation) = (set.train.subset(&pool)?, set.train.subset(&validation)?);
    let [pool, validation, test] = standardised([&pool, &validation, &set.test])?;
    let (given, classes, rng) = (pool.labels(), pool.classes(), &mut seeds.named("noise"));
    let (noisy, flipped) = match kind {
        "next-class" => flip_labels_to_next(given, classes, rate, rng)?,
        _ => flip_labels(given, classes, rate, rng)?,
    };
    let flipped = if rate > 0.0 { flipped } else { Vec::new() };
    Ok(Data { pool: pool.with_labels(noisy)?, validation, test, flipped })
}

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
                let run = Run::in_memory();
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
