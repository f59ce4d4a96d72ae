//! What `synthetic` and `cifar10` share: every way of choosing, with wrong labels and without.

use std::ops::Range;

use anyhow::Result;
use candle_core::Device;
use gleaner::experiment::tables::report_comparison;
use gleaner::experiment::{ComparisonOptions, Data, Model, Progress, compare_levels};

use super::{Bars, Common};

/// Shares of labels that are flipped.
pub const NOISES: [f64; 2] = [0.2, 0.0];

/// Compares, prints the tables and writes them; `example` names the folder, `title` the pictures.
pub fn run(
    common: &Common,
    (example, title): (&str, &str),
    seeds: Range<u64>,
    (model, options): (&Model, &ComparisonOptions),
    device: &Device,
    data: impl Fn(f64, u64) -> gleaner::Result<Data> + Sync,
) -> Result<()> {
    let bars = Bars::new(options.trainings() * NOISES.len() * seeds.clone().count())?;
    let show = |progress: &Progress<'_>| bars.show(progress);
    let levels = compare_levels(&NOISES, seeds, (model, options), device, data, show)?;
    bars.finish();
    let out = common.out(example);
    print!("{}", report_comparison(&out, title, &options.fractions, &levels)?);
    println!("written: {}/{{summary,seeds,detection}}.csv, accuracy.svg", out.display());
    Ok(())
}
