//! Which values of training points find wrong labels, and which points a learner can spare: by OpenDataVal's protocol
//! (1,000 points, 100 for validation, 500 for the test, a fifth of the labels flipped).
//!
//! `cargo run --release --example valuation -- --data DIR [--set NAME,…] [--seeds N]`, or `-- --train FILE --test FILE --label
//! COLUMN` for a table of yours.

mod shared;

use anyhow::Result;
use clap::Parser;
use gleaner::Seeds;
use gleaner::choose::Evidence;
use gleaner::experiment::metrics::average_precision;
use gleaner::experiment::tables::{Grid, Measured, Number};
use gleaner::experiment::{Observations, side_by_side};
use gleaner::report::{ChartOptions, Panel, line_chart, write_csv};
use gleaner::value::lower_cluster;
use shared::valuation::{Spoiled, ValuationFlags, all, removal};

fn main() -> Result<()> {
    let flags = ValuationFlags::parse();
    let common = &flags.common;
    let seeds: Vec<u64> = common.seeds(5, 1).collect();
    let (device, out) = (common.open(seeds.len())?, common.out("valuation"));
    let (mut rows, mut panels) = (Vec::new(), Vec::new());
    for set in flags.sets.sets()? {
        let found = side_by_side(&seeds, &device, |&seed| -> gleaner::Result<_> {
            let Spoiled { train, validation, test, flipped } = Spoiled::of(&set, seed)?;
            let learned = shared::valuation::linear(&train, &validation, seed)?;
            let evidence =
                Observations::out_of_fold(&train, &Default::default(), Seeds::new(seed))?;
            let asked = learned.1.evidence()?;
            let (own, seen) = (evidence.evidence()?, learned.0.evidence()?);
            let mut measured = Vec::new();
            for (valuation, on_learner) in all() {
                let evidence: &Evidence = if on_learner { &seen } else { &own };
                let (started, mut rng) =
                    (std::time::Instant::now(), Seeds::new(seed).named("values"));
                let values = valuation.values(&evidence.with_validation(&asked), &mut rng)?;
                let seconds = started.elapsed().as_secs_f64();
                let low = lower_cluster(&values);
                let count = |marks: &[bool]| marks.iter().filter(|mark| **mark).count() as f64;
                let hits = low.iter().zip(&flipped).filter(|(low, flip)| **low && **flip).count();
                let f1 = 2.0 * hits as f64 / (count(&low) + count(&flipped));
                let against: Vec<f64> = values.iter().map(|value| -value).collect();
                let precision = average_precision(&against, &flipped)?;
                let name = valuation.name().to_string();
                let curves = removal(&train, &test, &values, seed, common.quick)?;
                measured.push((name, seed, [f1, precision, seconds], curves));
            }
            Ok(measured)
        })?;
        let found: Vec<_> = found.into_iter().flatten().collect();
        let number = |name| Number { name, spread: true };
        let of = |(name, seed, numbers, _): &(String, u64, [f64; 3], _)| Measured {
            line: name.clone(),
            setting: 0.2,
            seed: *seed,
            numbers: numbers.to_vec(),
        };
        let numbers = ["f1", "average_precision", "seconds"];
        let grid = Grid {
            setting: "flipped",
            numbers: numbers.map(number).to_vec(),
            measured: found.iter().map(of).collect(),
        };
        for (name, digits) in numbers.into_iter().zip([3, 3, 2]) {
            print!("{}", grid.means(&format!("\n{}: {name}", set.name), name, 1.0, digits));
        }
        for (name, seed, [f1, precision, seconds], _) in &found {
            let numbers = [format!("{f1:.4}"), format!("{precision:.4}"), format!("{seconds:.4}")];
            let first = [set.name.clone(), name.clone(), seed.to_string()];
            rows.push(first.into_iter().chain(numbers).collect());
        }
        for (k, title) in ["worst removed first", "best removed first"].into_iter().enumerate() {
            let curves =
                found.iter().map(|(name, seed, _, curves)| (name.as_str(), *seed, &curves[k]));
            let series = shared::valuation::series(curves);
            panels.push(Panel { title: format!("{}: {title}", set.name), series });
        }
    }
    let header = ["set", "method", "seed", "f1", "average_precision", "seconds"];
    write_csv(out.join("valuation.csv"), &header, rows.into_iter())?;
    let options = ChartOptions {
        title: "test accuracy of a network while points are removed by their value".into(),
        x_label: "share of the points removed".into(),
        y_label: "test accuracy".into(),
        x_percent: true,
        y_percent: true,
        shared_y: false,
        ..Default::default()
    };
    line_chart(out.join("removal.svg"), &options, &panels)?;
    println!("written: {}/valuation.csv, removal.svg", out.display());
    Ok(())
}
