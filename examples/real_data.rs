//! Which way of choosing training data helps on real tables, texts and pictures, with wrong labels and without.
//!
//! `cargo run --release --example real_data -- --data DIR [--set NAME,…]` for the sets that `shared/real_data.rs` names, or
//! `-- --train FILE --test FILE --label COLUMN` for tables of yours.

mod shared;

use anyhow::Result;
use clap::Parser;
use gleaner::experiment::tables::{PairedLevel, report_paired};
use gleaner::experiment::{ComparisonOptions, FeatureStudy, LabelNoise, Run, side_by_side};
use shared::real_data::{DRAWN, NOISES, RealDataFlags as Flags, joint, selectors};

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
    let (selectors, joint) = (selectors(&flags), joint(common.quick));
    let options = ComparisonOptions { selectors, fractions: shares.to_vec(), joint };
    println!(
        "everything is kept in {}: the same command goes on where it was stopped",
        kept.display()
    );
    let mut levels = Vec::new();
    for set in flags.sets.sets()? {
        let many = set.train.classes() > 2;
        let noises =
            (NOISES.into_iter()).filter(|noise| many || !matches!(noise, LabelNoise::NextClass(_)));
        let jobs: Vec<(LabelNoise, u64)> =
            noises.clone().flat_map(|noise| seeds.iter().map(move |seed| (noise, *seed))).collect();
        println!(
            "{}: {} points, {} features",
            set.name,
            set.train.len(),
            set.train.inputs().dim(1)?
        );
        let bars = shared::Bars::new(jobs.len() * options.trainings())?;
        let (name, train, test) = (&set.name, &set.train, &set.test);
        let study = FeatureStudy { name, train, test, points, steps, options: &options };
        let found = side_by_side(&jobs, &device, |&(noise, seed)| {
            let run = |mut asked: gleaner::experiment::Configuration| {
                asked.extend(common.configuration(&(seed..seed + 1)));
                Run::open(kept.join(format!("{}-{}-{seed}", set.name, noise.name())), &asked)
            };
            study.seed(noise, seed, &device, run, &mut |p| bars.show(p))
        })?;
        bars.finish();
        let (mut found, first) = (found.into_iter(), levels.len());
        levels.extend(noises.map(|noise| PairedLevel {
            set: set.name.clone(),
            noise: noise.name().into(),
            rate: noise.rate(),
            seeds: found.by_ref().take(seeds.len()).collect(),
        }));
        report_paired(&out, &levels, shares, &DRAWN)?;
        levels[first..].iter().for_each(|level| print!("{}", level.text("random", shares)));
    }
    println!("written: {}/{{summary,certificates}}.csv and a picture a set", out.display());
    Ok(())
}
