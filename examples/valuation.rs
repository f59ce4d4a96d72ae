//! Which values of training points find wrong labels, and which points a learner can spare: by OpenDataVal's protocol
//! (1,000 points, 100 for validation, 500 for the test, a fifth of the labels flipped).
//!
//! `cargo run --release --example valuation -- --data DIR [--set NAME,…] [--seeds N]`, or `-- --train FILE --test FILE --label
//! COLUMN` for a table of yours.

mod shared;

use anyhow::Result;
use clap::Parser;
use gleaner::experiment::side_by_side;
use gleaner::experiment::tables::{Grid, Measured, Number};
use gleaner::report::{ChartOptions, Panel, line_chart, write_csv};
use shared::valuation::{Found, ValuationFlags, measured, series};

fn main() -> Result<()> {
    let flags = ValuationFlags::parse();
    let common = &flags.common;
    let seeds: Vec<u64> = common.seeds(5, 1).collect();
    let (device, out) = (common.open(seeds.len())?, common.out("valuation"));
    let (mut rows, mut panels) = (Vec::new(), Vec::new());
    for set in flags.sets.sets()? {
        let found = side_by_side(&seeds, &device, |&seed| measured(&set, seed, common.quick))?;
        let found: Vec<Found> = found.into_iter().flatten().collect();
        let number = |name| Number { name, spread: true };
        let of = |found: &Found| Measured {
            line: found.name.clone(),
            setting: 0.2,
            seed: found.seed,
            numbers: found.numbers.to_vec(),
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
        for Found { name, seed, numbers, .. } in &found {
            let first = [set.name.clone(), name.clone(), seed.to_string()];
            let numbers = numbers.map(|number| format!("{number:.4}"));
            rows.push(first.into_iter().chain(numbers).collect());
        }
        for (k, title) in ["worst removed first", "best removed first"].into_iter().enumerate() {
            let series = series(found.iter().map(|one| (one.name.as_str(), &one.curves[k])));
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
