//! Which labels of a table may be wrong: probabilities out of fold, then confident learning.
//!
//! `cargo run --release --example mislabels` flips a fifth of the labels of seeded clusters and finds them again; with
//! `-- --data FILE.csv --label COLUMN` it looks at a table of yours, with --flip SHARE at one that was spoiled first.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use gleaner::Seeds;
use gleaner::choose::{CrossFit, Evidence, top};
use gleaner::data::flip_labels;
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::data::table::{TableOptions, load};
use gleaner::experiment::metrics::average_precision;
use gleaner::report::{text_table, write_csv};
use gleaner::value::ConfidentLearning;

/// Ranks the labels of a table by what speaks against them.
#[derive(Parser)]
struct Flags {
    /// A table [default: seeded clusters].
    #[arg(long)]
    data: Option<PathBuf>,
    /// The column of the labels.
    #[arg(long, default_value = "label")]
    label: String,
    /// Flips this share of the labels first, to see how many are found [default: 0.2 of the clusters, none of a table].
    #[arg(long)]
    flip: Option<f64>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the table of suspects goes.
    #[arg(long, default_value = "target/gleaner/mislabels")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let (seeds, rng) = (Seeds::new(flags.seed), &mut Seeds::new(flags.seed).stream(0));
    let options = TableOptions { label: Some(flags.label), ..Default::default() };
    let (data, names, usual) = match &flags.data {
        Some(path) => load(path, &options).map(|table| (table.data, table.class_names, 0.0))?,
        None => {
            let data = clusters(&ClusterOptions::default(), rng)?.train;
            let names = (0..data.classes()).map(|class| class.to_string()).collect();
            (data, names, 0.2)
        }
    };
    let flip = flags.flip.unwrap_or(usual);
    let (labels, flipped) = flip_labels(data.labels(), data.classes(), flip, rng)?;
    let (features, width) = data.features()?;
    let seen = CrossFit::default().classes(&features, width, &labels, data.classes(), seeds)?;
    let evidence =
        Evidence::new(data.len()).with_probabilities(&seen.probabilities, seen.classes)?;
    let found = ConfidentLearning::of(&evidence.with_labels(&labels)?)?;
    let count = |marks: &[bool]| marks.iter().filter(|mark| **mark).count();
    let (wrong, all) = (count(&found.wrong), count(&flipped));
    println!("{} points, {} classes, {width} features", data.len(), data.classes());
    println!("about {:.1} % of labels wrong; {wrong} are held to be", 100.0 * found.noise());
    if flip > 0.0 {
        let hits = (0..data.len()).filter(|i| found.wrong[*i] && flipped[*i]).count();
        let f1 = 2.0 * hits as f64 / (wrong + all).max(1) as f64;
        let precision = average_precision(&found.suspicion, &flipped)?;
        println!(
            "{hits} of the {all} that were flipped: F1 {f1:.3}, average precision {precision:.3}"
        );
    }
    let (order, likely) = (top(&found.suspicion, data.len()), seen.likely());
    let row = |i: &usize| {
        let [label, likely] = [labels[*i], likely[*i]].map(|class| names[class as usize].clone());
        let suspicion = format!("{:.4}", found.suspicion[*i]);
        vec![i.to_string(), label, likely, suspicion, found.wrong[*i].to_string()]
    };
    let header = ["row", "label", "likely", "suspicion", "wrong"];
    print!("\n{}", text_table(&header, &order.iter().take(10).map(row).collect::<Vec<_>>()));
    println!("written: {}/suspects.csv, the most suspect first", flags.out.display());
    Ok(write_csv(flags.out.join("suspects.csv"), &header, order.iter().map(row))?)
}
