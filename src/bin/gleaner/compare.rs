//! `gleaner compare`.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use gleaner::data::stratified_split;
use gleaner::experiment::tables::{PairedLevel, report_paired};
use gleaner::experiment::{
    Certificate, ComparisonOptions, Configuration, FeatureStudy, Joint, LabelNoise,
    PortfolioOptions, Progress, Run, Selector, one_thread_a_job, side_by_side,
};
use gleaner::{Dataset, Error, Result, Seeds};
use serde_json::{Value, json};

use crate::context::Context;
use crate::input::{Extra, Input};
use crate::keep::Keep;
use crate::page::{Left, PageFlags, accuracies};

#[derive(Args)]
#[command(after_help = "Examples:
  gleaner compare train.csv --label y --test test.csv --keep 1%,5%,20% --out compared
  gleaner compare train.csv --label y --keep 5% --noise 20% --seeds 5 --out compared")]
pub struct Flags {
    #[command(flatten)]
    input: Input,
    /// The test part [default: a fifth of the rows, class by class].
    #[arg(long)]
    test: Option<PathBuf>,
    /// Shares to keep.
    #[arg(long, value_delimiter = ',', default_value = "1%,5%,20%", value_name = "KEEP,…")]
    keep: Vec<Keep>,
    /// A share of labels that are made wrong first.
    #[arg(long, value_name = "SHARE")]
    noise: Option<Keep>,
    /// Seeds, each with a split and networks of its own.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Rows to choose from at most.
    #[arg(long, default_value_t = 4_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(10..))]
    points: usize,
    /// Optimiser steps of every network.
    #[arg(long, default_value_t = 400, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    steps: usize,
    /// Where tables and the picture go; what is done is kept there: the same command goes on where it was stopped.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    page: PageFlags,
}

/// The rows that the picture shows.
const DRAWN: [&str; 8] = [
    "random",
    "gleaner",
    "auto",
    "out-of-fold filter + coverage",
    "neighbour filter + coverage",
    "small loss",
    "fresh-random",
    "full data",
];

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    flags.input.labelled()?;
    let share = |keep: &Keep| {
        keep.share().ok_or_else(|| Error::Shape {
            what: "--keep and --noise of a comparison",
            expected: "shares as 10%".into(),
            found: "a number of rows".into(),
        })
    };
    let fractions = flags.keep.iter().map(share).collect::<Result<Vec<_>>>()?;
    let noise = match &flags.noise {
        None => LabelNoise::No,
        Some(noise) => LabelNoise::Symmetric(share(noise)?),
    };
    let (train, test) = parts(&flags, &mut context)?;
    let mut selectors = Selector::on_features();
    selectors.extend([
        Selector::Certified(PortfolioOptions::default()),
        Selector::FreshRandom,
        Selector::ValidationAlone,
        Selector::FullData,
    ]);
    let options = ComparisonOptions { selectors, fractions, joint: Joint::default() };
    let name = flags.input.name();
    let study = FeatureStudy {
        name: &name,
        train: &train,
        test: &test,
        points: flags.points,
        steps: flags.steps,
        options: &options,
    };
    let first = context.seeds.value();
    let seeds: Vec<u64> = (first..first + flags.seeds).collect();
    one_thread_a_job(seeds.len())?;
    let bar = context.bar(seeds.len() * options.trainings());
    let found = context.step("comparing", || {
        side_by_side(&seeds, &Device::Cpu, |&seed| {
            let run = |asked: Configuration| {
                Run::open(flags.out.join(format!("run/{}-{seed}", noise.name())), &asked)
            };
            let watch = &mut |progress: &Progress| {
                bar.inc(u64::from(progress.epoch == progress.epochs));
            };
            study.seed(noise, seed, &Device::Cpu, run, watch)
        })
    })?;
    bar.finish_and_clear();
    let (kind, rate) = (noise.name().to_owned(), noise.rate());
    let levels = [PairedLevel { set: name.clone(), noise: kind, rate, seeds: found }];
    report_paired(&flags.out, &levels, &options.fractions, &DRAWN)?;
    let table = levels[0].text("random", &options.fractions);
    let out = flags.out.display();
    let text = format!("{table}written: {out}/{{summary,certificates}}.csv, {name}.svg\n");
    let report = json!({
        "command": "compare",
        "rows": train.len(),
        "test_rows": test.len(),
        "keep": options.fractions,
        "noise": rate,
        "seeds": flags.seeds,
        "set": name,
        "accuracies": accuracies(&[levels[0].panel(&options.fractions, &[])]),
        "interval": format!("Means over {} seeds with 95 % intervals of the mean.", flags.seeds),
        "drawn": DRAWN,
        "certificates": levels[0].certificates().map(certificate).collect::<Vec<_>>(),
        "out": flags.out,
    });
    let report = context.complete(report);
    let path = flags.out.join("report.json");
    crate::output::write_json(&path, &report)?;
    let left = Left { report: &report, sheet: None, data: None };
    let page = flags.page.write(&path, &left, &mut context)?;
    context.tell(&(text + &page), report)
}

fn certificate(certificate: &Certificate) -> Value {
    let Certificate { fraction, seed, best, gain, lower, confidence, kept, .. } = certificate;
    json!({
        "share": fraction, "seed": seed, "best": best, "gain": gain, "lower": lower, "confidence": confidence, "way": kept,
        "text": certificate.to_string(),
    })
}

/// What is chosen from, and what tests.
fn parts(flags: &Flags, context: &mut Context) -> Result<(Dataset, Dataset)> {
    let data = flags.input.read(&Extra::default(), context)?;
    data.check_labels()?;
    if let Some(path) = &flags.test {
        let test = flags.input.read_like(path, &data, context)?.data;
        return Ok((data.table.data, test));
    }
    let all = data.table.data;
    // Of any seed the same rows test.
    let rng = &mut Seeds::new(0).named("test part");
    let (test, train) = stratified_split(all.labels(), all.len() / 5, rng)?;
    Ok((all.subset(&train)?, all.subset(&test)?))
}
