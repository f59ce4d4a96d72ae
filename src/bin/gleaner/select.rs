//! `gleaner select`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gleaner::choose::{Affordable, Choice, Grouped, Kind, Shares, Streaming, Weighted};
use gleaner::experiment::{Certificate, Observations, Run, Tried};
use gleaner::{Error, Result, Strategy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::input::{Data, Extra, Input};
use crate::keep::Keep;
use crate::known::Known;
use crate::memory::Demand;
use crate::methods::{Made, balanced, certified_best, check, demand, evidence, method, observed};
use crate::output::{self, Column, Values};
use crate::page::{Left, PageFlags, Sheet};

#[derive(Args)]
#[command(after_help = "Examples:
  gleaner select train.csv --label y --keep 10% --out kept.csv
  gleaner select train.npy --keep 5000 --method k-center --out kept.npy    # numpy.load('kept.npy') has the rows
  gleaner select a.parquet b.parquet --label y --keep 10% --nested 5%,1% --out kept.parquet
  gleaner select pool.csv --keep 200 --method towards-target --target-set wanted.csv --out kept.csv")]
pub struct Flags {
    #[command(flatten)]
    input: Input,
    /// How much: a share as 10%, or a number of rows.
    #[arg(long)]
    keep: Keep,
    /// Where the chosen rows go, in the order in which they were chosen: .csv, .parquet or .npy.
    #[arg(long)]
    out: PathBuf,
    /// Where the report goes [default: the name of OUT with .json].
    #[arg(long)]
    report: Option<PathBuf>,
    /// The method [default: gleaner; without labels facility-location]. auto tries seven on folds of the rows, by small
    /// networks, and keeps random rows unless one is surely better. A wrong name prints all there are.
    #[arg(long)]
    method: Option<String>,
    /// Shares of the classes.
    #[arg(long, value_enum)]
    quota: Option<Quota>,
    /// The column of groups, each of which is kept as a whole or not at all; then at most so many rows are kept.
    #[arg(long, conflicts_with = "cost")]
    group: Option<String>,
    /// The column of what keeping each row costs; then at most so many rows are kept.
    #[arg(long, requires = "budget")]
    cost: Option<String>,
    /// What all kept rows may cost.
    #[arg(long, requires = "cost")]
    budget: Option<f64>,
    /// How much each chosen row counts in a training loss: by what it stands for.
    #[arg(long)]
    weights: bool,
    /// A file of rows that the chosen ones are to be like, for methods towards a target.
    #[arg(long, value_name = "FILE")]
    target_set: Option<PathBuf>,
    /// Smaller choices that this one contains: a column each says who is in.
    #[arg(long, value_delimiter = ',', value_name = "KEEP,…")]
    nested: Vec<Keep>,
    #[command(flatten)]
    page: PageFlags,
}

#[derive(Clone, Copy, ValueEnum)]
enum Quota {
    /// Every class keeps its share.
    Class,
    /// All classes alike.
    Equal,
}

impl From<Quota> for Shares {
    fn from(quota: Quota) -> Self {
        match quota {
            Quota::Class => Self::Proportional,
            Quota::Equal => Self::Equal,
        }
    }
}

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    output::check(&flags.out)?;
    let auto = flags.method.as_deref() == Some("auto");
    // A wrong name is told before anything is read.
    let strategy = match auto {
        true => method(Some("gleaner"), true)?,
        false => method(flags.method.as_deref(), flags.input.is_labelled())?,
    };
    let refused = |what, expected: &str, found: &str| {
        Err(Error::Shape { what, expected: expected.into(), found: found.into() })
    };
    if auto && flags.quota.is_some() {
        return refused("--quota", "a method but auto, which keeps every class's share", "auto");
    }
    if flags.target_set.is_some() && !strategy.needs().contains(Kind::Validation) {
        let expected = "a method towards a target, such as towards-target";
        return refused("--target-set", expected, strategy.name());
    }
    let plain = flags.quota.is_none() && flags.group.is_none() && flags.cost.is_none();
    if let Some(streaming) = strategy.as_streaming()
        && plain
        && !flags.weights
        && flags.input.is_large(&Extra::default(), Demand::READING, Demand::on_disk, &context)?
    {
        return large(&flags, streaming, context);
    }
    let strategy = restricted(balanced(strategy, flags.quota.map(Shares::from)), &flags)?;
    let data = flags.read(&mut context)?;
    data.check_labels()?;
    check(&strategy, &data, flags.target_set.is_some())?;
    let count = flags.keep.of(data.len())?;
    let nested = nested(&flags.nested, count, data.len())?;
    let mut name = strategy.name().to_owned();
    let (choice, certificate) = match auto {
        true => {
            let (certificate, choice) = tried(&flags, &data, count, &mut context)?;
            name.clone_from(&certificate.kept);
            let kept = restricted(Box::new(Made(choice)), &flags)?;
            (chosen(&flags, &data, kept, count, &mut context)?, Some(certificate))
        }
        false => (chosen(&flags, &data, strategy, count, &mut context)?, None),
    };
    let columns = columns(&data, &choice, flags.weights, &nested);
    let report = report(&flags, &data, &choice, &name, certificate.as_ref());
    let text = text(&flags, &data, &choice, &name, certificate.as_ref());
    finish(&flags, (columns, report, text), Some(&data), context)
}

/// Writes the rows, the report and the page.
fn finish(
    flags: &Flags,
    (columns, report, text): (Vec<Column>, Value, String),
    data: Option<&Data>,
    mut context: Context,
) -> Result<()> {
    context.step("writing", || output::write(&flags.out, &columns))?;
    let report = context.complete(report);
    let path = flags.report.clone().unwrap_or_else(|| flags.out.with_extension("json"));
    output::write_json(&path, &report)?;
    let left = Left { report: &report, sheet: Some(&Sheet::of(&columns)), data };
    let page = flags.page.write(&path, &left, &mut context)?;
    context.tell(&(text + &page), report)
}

/// Rows of a table that stays on disk.
fn large(flags: &Flags, method: &dyn Streaming, mut context: Context) -> Result<()> {
    let stored = flags.input.store(&Extra::default(), &flags.out, &mut context)?;
    stored.check_labels()?;
    let count = flags.keep.of(stored.len())?;
    let nested = nested(&flags.nested, count, stored.len())?;
    let rng = &mut context.seeds.stream(0);
    let choice = context.step("choosing", || method.select_from(&stored.table, count, rng))?;
    let name = method.name();
    let report = report(flags, &stored, &choice, name, None);
    let text = text(flags, &stored, &choice, name, None);
    finish(flags, (columns(&stored, &choice, false, &nested), report, text), None, context)
}

impl Flags {
    /// The rows to choose from.
    pub fn read(&self, context: &mut Context) -> Result<Data> {
        let extra = Extra { group: self.group.as_ref(), cost: self.cost.as_ref() };
        let demand = match self.method.as_deref() {
            Some("auto") => Demand::TRIALS,
            name => demand(method(name, self.input.is_labelled())?.as_ref()),
        };
        self.input.read(&extra, demand, context)
    }
}

/// To whole groups, or to a budget.
fn restricted(inner: Box<dyn Strategy>, flags: &Flags) -> Result<Box<dyn Strategy>> {
    Ok(match (&flags.group, flags.budget) {
        (Some(_), _) => Box::new(Grouped::new(inner)),
        (None, Some(budget)) => Box::new(Affordable::new(inner, budget)?),
        (None, None) => inner,
    })
}

/// What cross-validation certifies. It takes minutes: what is done lies beside the output until all is, and the same
/// command goes on with it.
fn tried(
    flags: &Flags,
    data: &Data,
    count: usize,
    context: &mut Context,
) -> Result<(Certificate, Choice)> {
    let (seed, folder) = (context.seeds.value(), flags.out.with_extension("run"));
    let asked = [
        ("data", data.report().to_string()),
        ("keep", count.to_string()),
        ("seed", seed.to_string()),
    ];
    let asked = asked.map(|(name, value)| (name.to_owned(), value)).into();
    let found = context.step("trying methods", || {
        certified_best(data, count, seed, &Run::open(&folder, &asked)?)
    })?;
    std::fs::remove_dir_all(&folder).map_err(|source| Error::Io { path: folder, source })?;
    Ok(found)
}

fn chosen(
    flags: &Flags,
    data: &Data,
    strategy: Box<dyn Strategy>,
    count: usize,
    context: &mut Context,
) -> Result<Choice> {
    let target = match &flags.target_set {
        None => None,
        Some(path) => {
            let target = flags.input.read_like(path, data, context)?.data;
            Some(Observations::labelled_inputs(&target)?)
        }
    };
    let seeds = context.seeds;
    context.step("choosing", || {
        let seen = observed(data, strategy.needs(), seeds)?;
        let mut known = evidence(&seen, data)?;
        let target = target.as_ref().map(Observations::evidence).transpose()?;
        if let Some(target) = &target {
            known = known.with_validation(target);
        }
        let rng = &mut seeds.stream(0);
        match flags.weights {
            true => Weighted::new(strategy, Default::default()).select(&known, count, rng),
            false => strategy.select(&known, count, rng),
        }
    })
}

/// The smaller choices, each with its number of rows.
fn nested(asked: &[Keep], count: usize, all: usize) -> Result<Vec<(Keep, usize)>> {
    let with_count = |keep: &Keep| {
        let rows = keep.of(all)?;
        match rows <= count {
            true => Ok((*keep, rows)),
            false => Err(Error::Shape {
                what: "--nested",
                expected: format!("at most the {count} rows that are kept"),
                found: rows.to_string(),
            }),
        }
    };
    asked.iter().map(with_count).collect()
}

fn columns(
    data: &dyn Known,
    choice: &Choice,
    weighted: bool,
    nested: &[(Keep, usize)],
) -> Vec<Column> {
    let indices = &choice.indices;
    let mut columns = data.keys(indices);
    if data.labelled() {
        columns.push(data.labels(indices));
    }
    if weighted {
        columns.push(Column::new("weight", Values::Real(choice.weights.clone())));
    }
    if let Some(gains) = &choice.gains {
        columns.push(Column::new("gain", Values::Real(gains.clone())));
    }
    for (keep, rows) in nested {
        let inside = (0..indices.len()).map(|place| place < *rows).collect();
        columns.push(Column::new(keep.name(), Values::Truth(inside)));
    }
    columns
}

/// How many of each class there are and are kept.
fn balance(data: &dyn Known, choice: &Choice) -> Vec<(String, usize, usize)> {
    let (labels, classes) = data.classes();
    let (mut before, mut kept) = (vec![0; classes.len()], vec![0; classes.len()]);
    labels.iter().for_each(|label| before[*label as usize] += 1);
    choice.indices.iter().for_each(|i| kept[labels[*i] as usize] += 1);
    (0..before.len()).map(|c| (data.class(c as u32), before[c], kept[c])).collect()
}

fn ways(certificate: &Certificate) -> Vec<Value> {
    let way = |tried: &Tried| json!({"way": tried.name, "trainings": tried.trainings, "accuracy": tried.accuracy});
    certificate.tried.iter().map(way).collect()
}

fn report(
    flags: &Flags,
    data: &dyn Known,
    choice: &Choice,
    method: &str,
    certificate: Option<&Certificate>,
) -> Value {
    let mut digest = Sha256::new();
    choice.indices.iter().for_each(|i| digest.update((*i as u64).to_le_bytes()));
    let balance = balance(data, choice).into_iter();
    let class = |(class, rows, kept): (String, usize, usize)| json!({"class": class, "rows": rows, "kept": kept});
    json!({
        "command": "select",
        "input": data.report(),
        "method": method,
        "certificate": certificate.map(Certificate::to_string),
        "tried": certificate.map(ways),
        "kept": choice.len(),
        "chosen_sha256": format!("{:x}", digest.finalize()),
        "classes": data.labelled().then(|| balance.map(class).collect::<Vec<_>>()),
        "weights": flags.weights,
        "out": flags.out,
    })
}

/// Classes that are printed.
const SHOWN: usize = 30;

fn text(
    flags: &Flags,
    data: &dyn Known,
    choice: &Choice,
    method: &str,
    certificate: Option<&Certificate>,
) -> String {
    let (kept, all) = (choice.len(), data.len());
    let share = 100.0 * kept as f64 / all as f64;
    let mut text =
        format!("{kept} of {all} rows ({share:.1} %) by {method}: {}\n", flags.out.display());
    text.extend(certificate.map(|certificate| format!("{certificate}\n")));
    if data.labelled() {
        let classes = balance(data, choice);
        let more = classes.len().saturating_sub(SHOWN);
        let row = |(class, rows, kept): (String, usize, usize)| {
            vec![class, rows.to_string(), kept.to_string()]
        };
        let rows: Vec<Vec<String>> = classes.into_iter().take(SHOWN).map(row).collect();
        text += &gleaner::report::text_table(&["class", "rows", "kept"], &rows);
        if more > 0 {
            text += &format!("and {more} more classes\n");
        }
    }
    text
}
