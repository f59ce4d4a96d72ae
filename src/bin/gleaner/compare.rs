//! `gleaner compare`.

use std::path::PathBuf;

use candle_core::Device;
use clap::{Args, ValueEnum};
use gleaner::choose::{ClassBalanced, Random, Shares};
use gleaner::data::{stratified_folds, stratified_split};
use gleaner::experiment::tables::{PairedLevel, report_paired, report_reproducibility};
use gleaner::experiment::{
    Certificate, ComparisonOptions, Configuration, FeatureStudy, Joint, LabelNoise,
    PortfolioOptions, Progress, Repeat, Run, Selector, one_thread_a_job, side_by_side,
};
use gleaner::joint::Gleaner;
use gleaner::{Dataset, Error, Result, Seeds, Strategy};
use serde_json::{Value, json};

use crate::context::Context;
use crate::input::{Extra, Input, hash};
use crate::keep::{Keep, at_least};
use crate::known::Known;
use crate::memory::Demand;
use crate::page::{Left, PageFlags, accuracies};

#[derive(Args)]
#[command(after_help = "Examples:
  gleaner compare train.csv --label y --test test.csv --keep 1%,5%,20% --out compared
  gleaner compare train.csv --label y --keep 5% --noise 20% --seeds 5 --out compared
  gleaner compare train.csv --label y --folds 5 --seeds 1 --out compared    # every row tests once
  gleaner compare train.csv --label y --keep 10% --study reproducibility --out chance")]
pub struct Flags {
    #[command(flatten)]
    input: Input,
    /// The test part [default: a fifth of the rows, class by class].
    #[arg(long)]
    test: Option<PathBuf>,
    /// Cross-validation instead of one test part: every row tests once a seed.
    #[arg(long, conflicts_with = "test", value_parser = at_least(2))]
    folds: Option<usize>,
    /// What is asked.
    #[arg(long, value_enum, default_value_t = Question::Methods)]
    study: Question,
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
    #[arg(long, default_value_t = 4_000, value_parser = at_least(10))]
    points: usize,
    /// Optimiser steps of every network.
    #[arg(long, default_value_t = 400, value_parser = at_least(1))]
    steps: usize,
    /// Where tables and the picture go; what is done is kept there: the same command goes on where it was stopped.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    page: PageFlags,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Question {
    /// Which method is better than random rows.
    Methods,
    /// How much of a result is chance: the same again, and with other threads, precision, order and seeds.
    Reproducibility,
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
    context.resumes(Some(&flags.out.join("run")))?;
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
    let (parts, input) = parts(&flags, &mut context)?;
    match flags.study {
        Question::Methods => methods(&flags, (fractions, noise), (&parts, input), context),
        Question::Reproducibility => {
            chance(&flags, (&fractions, noise), (&parts[0], input), context)
        }
    }
}

/// What is chosen from, and what tests.
type Parts = (Dataset, Dataset);

fn methods(
    flags: &Flags,
    (fractions, noise): (Vec<f64>, LabelNoise),
    (parts, input): (&[Parts], Value),
    mut context: Context,
) -> Result<()> {
    let mut selectors = Selector::on_features();
    selectors.extend([
        Selector::Certified(PortfolioOptions::default()),
        Selector::FreshRandom,
        Selector::ValidationAlone,
        Selector::FullData,
    ]);
    let options = ComparisonOptions { selectors, fractions, joint: Joint::default() };
    let name = flags.input.name();
    let studies: Vec<FeatureStudy> =
        parts.iter().map(|parts| study(flags, &name, &options, parts)).collect();
    let first = context.seeds.value();
    // A seed for every fold of every repetition.
    let jobs: Vec<(u64, &FeatureStudy)> =
        (first..).zip((0..flags.seeds).flat_map(|_| &studies)).collect();
    one_thread_a_job(jobs.len())?;
    let bar = context.bar(jobs.len() * options.trainings());
    let found = context.step("comparing", || {
        side_by_side(&jobs, &Device::Cpu, |&(seed, study)| {
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
    let own = json!({
        "input": input,
        "keep": options.fractions,
        "seeds": flags.seeds,
        "folds": flags.folds,
        "set": name,
        "accuracies": accuracies(&[levels[0].panel(&options.fractions, &[])]),
        "interval": format!("Means over {} runs with 95 % intervals of the mean.", jobs.len()),
        "drawn": DRAWN,
        "certificates": levels[0].certificates().map(certificate).collect::<Vec<_>>(),
    });
    finish(flags, noise, &parts[0], (&text, own), context)
}

fn chance(
    flags: &Flags,
    (fractions, noise): (&[f64], LabelNoise),
    (parts, input): (&Parts, Value),
    mut context: Context,
) -> Result<()> {
    /// Repetitions of what draws anew.
    const REPEATS: usize = 5;
    let [share] = fractions else {
        let expected = "one share, as --keep 10%".to_owned();
        let found = fractions.len().to_string();
        return Err(Error::Shape { what: "--keep of a study of chance", expected, found });
    };
    let strategies: [Box<dyn Strategy>; 2] =
        [Box::new(ClassBalanced::new(Random, Shares::Proportional)), Box::new(Gleaner::default())];
    let (name, fractions) = (flags.input.name(), fractions.to_vec());
    let options = ComparisonOptions { selectors: Vec::new(), fractions, joint: Joint::default() };
    let study = study(flags, &name, &options, parts);
    let bar = context.bar(strategies.len() * (4 + 2 * REPEATS));
    let seed = context.seeds.value();
    let found = context.step("repeating", || {
        study.reproducibility(&strategies, (noise, *share), REPEATS, seed, || bar.inc(1))
    })?;
    bar.finish_and_clear();
    let table = report_reproducibility(&flags.out, &name, &found)?;
    let text = format!("{table}written: {}/reproducibility.{{csv,svg}}\n", flags.out.display());
    let repeat = |repeat: &Repeat| {
        json!({
            "strategy": repeat.strategy,
            "change": repeat.name(),
            "error": repeat.error,
            "common": repeat.common,
            "same_bits": repeat.same_bits,
        })
    };
    let repeats: Vec<Value> = found.iter().map(repeat).collect();
    let own = json!({
        "input": input,
        "study": "reproducibility",
        "set": name,
        "keep": share,
        "repeats": repeats,
    });
    finish(flags, noise, parts, (&text, own), context)
}

fn study<'a>(
    flags: &Flags,
    name: &'a str,
    options: &'a ComparisonOptions,
    (train, test): &'a Parts,
) -> FeatureStudy<'a> {
    FeatureStudy { name, train, test, points: flags.points, steps: flags.steps, options }
}

fn finish(
    flags: &Flags,
    noise: LabelNoise,
    (train, test): &Parts,
    (text, own): (&str, Value),
    mut context: Context,
) -> Result<()> {
    let mut report = json!({
        "command": "compare",
        "rows": train.len(),
        "test_rows": test.len(),
        "noise": noise.rate(),
        "out": flags.out,
    });
    if let (Some(report), Value::Object(own)) = (report.as_object_mut(), own) {
        report.extend(own);
    }
    let report = context.complete(report);
    let path = flags.out.join("report.json");
    crate::output::write_json(&path, &report)?;
    let left = Left { report: &report, sheet: None, data: None };
    let page = flags.page.write(&path, &left, &mut context)?;
    context.tell(&(text.to_owned() + &page), report)
}

fn certificate(certificate: &Certificate) -> Value {
    let Certificate { fraction, seed, best, gain, lower, confidence, kept, .. } = certificate;
    json!({
        "share": fraction, "seed": seed, "best": best, "gain": gain, "lower": lower, "confidence": confidence, "way": kept,
        "text": certificate.to_string(),
    })
}

/// One pair, or one a fold; and what was read.
fn parts(flags: &Flags, context: &mut Context) -> Result<(Vec<Parts>, Value)> {
    let data = flags.input.read(&Extra::default(), Demand::SAMPLE, context)?;
    data.check_labels()?;
    let mut input = data.report();
    if let Some(path) = &flags.test {
        let test = flags.input.read_like(path, &data, context)?.data;
        // A folder of pictures has no hash.
        let sha256 = if path.is_dir() { None } else { Some(hash(path)?) };
        input["test"] = json!({"path": path, "sha256": sha256});
        return Ok((vec![(data.table.data, test)], input));
    }
    let all = data.table.data;
    if let Some(folds) = flags.folds {
        let of = stratified_folds(all.labels(), folds, &mut Seeds::new(0).named("test folds"));
        let part = |fold: usize, own: bool| {
            let rows: Vec<usize> = (0..of.len()).filter(|i| (of[*i] == fold) == own).collect();
            all.subset(&rows)
        };
        let parts = (0..folds).map(|fold| Ok((part(fold, false)?, part(fold, true)?)));
        return Ok((parts.collect::<Result<_>>()?, input));
    }
    // Of any seed the same rows test.
    let rng = &mut Seeds::new(0).named("test part");
    let (test, train) = stratified_split(all.labels(), all.len() / 5, rng)?;
    Ok((vec![(all.subset(&train)?, all.subset(&test)?)], input))
}
