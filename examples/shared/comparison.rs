//! What `synthetic` and `cifar10` share: every way of choosing, with wrong labels and without.

use std::ops::Range;

use anyhow::Result;
use candle_core::Device;
use gleaner::experiment::tables::report_comparison;
use gleaner::experiment::{ComparisonOptions, Data, Model, Progress, Run, compare_levels};

use super::{Bars, Common};

/// Shares of labels that are flipped.
pub const NOISES: [f64; 2] = [0.2, 0.0];

/// Compares, prints the tables and writes them; `example` names the folder, `title` the pictures, `source`
/// the data. What is done is kept in the folder: the same command goes on where it was stopped.
pub fn run(
    common: &Common,
    (example, title, source): (&str, &str, String),
    seeds: Range<u64>,
    (model, options): (&Model, &ComparisonOptions),
    device: &Device,
    data: impl Fn(f64, u64) -> gleaner::Result<Data> + Sync,
) -> Result<()> {
    let bars = Bars::new(options.trainings() * NOISES.len() * seeds.clone().count())?;
    let show = |progress: &Progress<'_>| bars.show(progress);
    let out = common.out(example);
    let kept = out.join(if common.quick { "run-quick" } else { "run" });
    let run = |noise: f64, seed: u64| {
        let mut asked = common.configuration(&(seed..seed + 1));
        asked.insert("data".into(), format!("{source}, noise {noise}"));
        options.note(&mut asked);
        model.note("model", &mut asked);
        Run::open(kept.join(format!("noise{noise}-seed{seed}")), &asked)
    };
    println!("everything is kept in {}", kept.display());
    let levels = compare_levels(&NOISES, seeds, (model, options), device, data, run, show)?;
    bars.finish();
    print!("{}", report_comparison(&out, title, &options.fractions, &levels)?);
    println!("written: {}/{{summary,seeds,detection}}.csv, accuracy.svg", out.display());
    Ok(())
}
