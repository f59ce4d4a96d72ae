//! `gleaner select`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use gleaner::choose::{Affordable, Choice, CrossFit, Grouped, Kind, Shares, Streaming, Weighted};
use gleaner::data::fingerprint;
use gleaner::experiment::{Certificate, Observations, Run, Tried};
use gleaner::joint::Gleaner;
use gleaner::value::ConfidentLearning;
use gleaner::{Error, Result, Seeds, Strategy};
use serde_json::{Value, json};

use crate::context::Context;
use crate::input::{Data, Extra, Input};
use crate::keep::Keep;
use crate::kept::Kept;
use crate::known::Known;
use crate::memory::Demand;
use crate::methods::{
    GleanerIn, Made, balanced, certified_best, check, demand, evidence, is_judged, method, observed,
};
use crate::output::{self, Column, Values};
use crate::page::PageFlags;
use crate::summary::{Balance, Places, Summary, nested};
use crate::tasks::{self, Task};

#[derive(Args)]
#[command(after_help = "Examples:
  gleaner select train.csv --label y --keep 10% --out kept.csv
  gleaner select train.npy --keep 5000 --method k-center --out kept.npy    # numpy.load('kept.npy') has the rows
  gleaner select a.parquet b.parquet --label y --keep 10% --nested 5%,1% --out kept.parquet
  gleaner select pool.csv --keep 200 --method towards-target --target-set wanted.csv --out kept.csv
  gleaner select 'part-*.npy' --keep 1% --method k-center --out kept.npy --task 3/64    # then gleaner merge kept.parts")]
pub struct Flags {
    #[command(flatten)]
    pub input: Input,
    /// How much: a share as 10%, or a number of rows.
    #[arg(long)]
    pub keep: Keep,
    /// Where the chosen rows go, in the order in which they were chosen: .csv, .parquet or .npy.
    #[arg(long)]
    pub out: PathBuf,
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
    /// Does a part of the work: task 3 of 64 looks at its files only, by random, k-center, convex or facility-location, and leaves
    /// what it finds beside OUT, in a folder .parts. Tasks run wherever and whenever you like; gleaner merge makes one choice of what they found.
    #[arg(long, value_name = "K/N", conflicts_with_all = ["quota", "group", "cost", "weights", "target_set", "nested"])]
    task: Option<Task>,
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
    // What is asked for wrongly is told before anything is read.
    let strategy = flags.method()?;
    if let Some(task) = flags.task {
        let Some(streaming) = strategy.as_streaming() else {
            let expected = "the method random, k-center, convex or facility-location";
            return refused("--task", expected, strategy.name());
        };
        return tasks::run(&flags, task, streaming, context);
    }
    let grouped = flags.group.is_some() || flags.cost.is_some();
    // Of groups it may be asked more than once.
    let gleans = !grouped && strategy.name() == "gleaner";
    let judged = flags.input.is_labelled() && (gleans || is_judged(strategy.needs()));
    let folder =
        if flags.is_auto() { Kept::trials(&flags.out) } else { Kept::evidence(&flags.out) };
    context.resumes((flags.is_auto() || judged).then_some(folder.as_path()))?;
    if let Some(streaming) = strategy.as_streaming()
        && !(grouped || flags.weights || flags.quota.is_some())
        && flags.input.is_large(&Extra::default(), demand(streaming), Demand::on_disk, &context)?
    {
        return large(&flags, streaming, context);
    }
    let strategy = restricted(balanced(strategy, flags.shares()), &flags)?;
    let data = flags.read(&mut context)?;
    data.check_labels()?;
    check(&strategy, &data, flags.target_set.is_some())?;
    let count = flags.keep.of(data.len())?;
    let nested = nested(&flags.nested, count, data.len())?;
    let chosen = match (flags.is_auto(), judged) {
        (true, _) => by_trials(&flags, &data, count, &mut context)?,
        (false, true) => by_evidence(&flags, &data, (strategy, gleans), count, &mut context)?,
        (false, false) => {
            let name = strategy.name().to_owned();
            let choice = chosen(&flags, &data, (strategy, None), count, &mut context)?;
            Chosen { choice, name, certificate: None, suspects: Value::Null, kept: None }
        }
    };
    let Chosen { choice, name, certificate, suspects, kept } = chosen;
    let mut told = flags.told(&data, (&choice, &name), nested, certificate.as_ref());
    told.1["suspects"] = suspects;
    flags.places().finish(told, Some(&data), context)?;
    kept.map_or(Ok(()), Kept::done)
}

fn refused<T>(what: &'static str, expected: &str, found: &str) -> Result<T> {
    Err(Error::Shape { what, expected: expected.into(), found: found.into() })
}

/// A choice, who made it, what speaks for it, and what is to be kept until it is written.
struct Chosen {
    choice: Choice,
    name: String,
    certificate: Option<Certificate>,
    suspects: Value,
    kept: Option<Kept>,
}

/// What cross-validation certifies. It takes minutes: the same command goes on with what is done.
fn by_trials(flags: &Flags, data: &Data, count: usize, context: &mut Context) -> Result<Chosen> {
    let seed = context.seeds.value();
    let asked = [
        ("data", data.report().to_string()),
        ("contents", fingerprint(&data.table.data)?),
        ("keep", count.to_string()),
        ("seed", seed.to_string()),
    ];
    let kept = Kept::open(Kept::trials(&flags.out), asked)?;
    let try_all = || certified_best(data, count, seed, kept.run());
    let (certificate, choice) = context.step("trying methods", try_all)?;
    let made = restricted(Box::new(Made(choice)), flags)?;
    let choice = chosen(flags, data, (made, None), count, context)?;
    let (name, certificate) = (certificate.kept.clone(), Some(certificate));
    Ok(Chosen { choice, name, certificate, suspects: Value::Null, kept: Some(kept) })
}

/// By probabilities out of fold, which are kept; they tell labels that look wrong as well.
fn by_evidence(
    flags: &Flags,
    data: &Data,
    (strategy, gleans): (Box<dyn Strategy>, bool),
    count: usize,
    context: &mut Context,
) -> Result<Chosen> {
    let name = strategy.name().to_owned();
    let kept = context.keep(&flags.out, &name, &data.table.data)?;
    let run = kept.run().clone();
    let settings = Gleaner { quota: flags.shares(), ..Default::default() };
    let strategy =
        if gleans { Box::new(GleanerIn { settings, run: run.clone() }) } else { strategy };
    let choice = chosen(flags, data, (strategy, Some(&run)), count, context)?;
    let suspects = suspects(data, &run, context.seeds)?;
    Ok(Chosen { choice, name, certificate: None, suspects, kept: Some(kept) })
}

/// Rows of a table that stays on disk.
fn large(flags: &Flags, method: &dyn Streaming, mut context: Context) -> Result<()> {
    let stored = flags.input.store(&Extra::default(), &flags.out, &mut context)?;
    stored.check_labels()?;
    let count = flags.keep.of(stored.len())?;
    let nested = nested(&flags.nested, count, stored.len())?;
    let rng = &mut context.seeds.stream(0);
    let choice = context.step("choosing", || method.select_from(&stored.table, count, rng))?;
    let told = flags.told(&stored, (&choice, method.name()), nested, None);
    flags.places().finish(told, None, context)
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

    fn is_auto(&self) -> bool {
        self.method.as_deref() == Some("auto")
    }

    fn shares(&self) -> Option<Shares> {
        self.quota.map(Shares::from)
    }

    /// The method by its name, for `auto` the usual one.
    fn method(&self) -> Result<Box<dyn Strategy>> {
        let strategy = match self.is_auto() {
            true => method(Some("gleaner"), true)?,
            false => method(self.method.as_deref(), self.input.is_labelled())?,
        };
        if self.is_auto() && self.quota.is_some() {
            let expected = "a method but auto, which keeps every class's share";
            return refused("--quota", expected, "auto");
        }
        if self.target_set.is_some() && !strategy.needs().contains(Kind::Validation) {
            let expected = "a method towards a target, such as towards-target";
            return refused("--target-set", expected, strategy.name());
        }
        Ok(strategy)
    }

    fn places(&self) -> Places<'_> {
        Places { out: &self.out, report: self.report.as_ref(), page: &self.page }
    }

    /// The table, the report and the text.
    fn told(
        &self,
        data: &dyn Known,
        (choice, method): (&Choice, &str),
        nested: Vec<Column>,
        certificate: Option<&Certificate>,
    ) -> (Vec<Column>, Value, String) {
        let summary = Summary {
            command: "select",
            method,
            input: data.report(),
            rows: data.len(),
            indices: &choice.indices,
            classes: data.labelled().then(|| balance(data, choice)),
        };
        let mut report = summary.report(&self.out);
        report["certificate"] = json!(certificate.map(Certificate::to_string));
        report["tried"] = json!(certificate.map(ways));
        report["weights"] = json!(self.weights);
        report["suspects"] = Value::Null;
        let certificate = certificate.map(|certificate| certificate as &dyn std::fmt::Display);
        let mut columns = columns(data, choice, self.weights);
        columns.extend(nested);
        (columns, report, summary.text(&self.out, certificate))
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

fn chosen(
    flags: &Flags,
    data: &Data,
    (strategy, run): (Box<dyn Strategy>, Option<&Arc<Run>>),
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
        let seen = observed(
            &data.table.data,
            data.labelled,
            strategy.needs(),
            seeds,
            run.map(Arc::as_ref),
        )?;
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

/// Rows that are confidently of another class than their label says, by the probabilities of the run, and which; the most
/// suspect first.
fn suspects(data: &Data, run: &Run, seeds: Seeds) -> Result<Value> {
    let seen = Observations::out_of_fold_in(run, &data.table.data, &CrossFit::default(), seeds)?;
    let found = ConfidentLearning::of(&seen.evidence()?)?;
    let likely = found.confident.iter().zip(data.classes().0).enumerate();
    let mut likely: Vec<(usize, u32)> = likely
        .filter_map(|(i, (likely, label))| Some((i, likely.filter(|class| class != label)?)))
        .collect();
    let suspicion = |i: usize| found.suspicion[i];
    likely.sort_by(|a, b| suspicion(b.0).total_cmp(&suspicion(a.0)).then(a.0.cmp(&b.0)));
    let (rows, likely): (Vec<usize>, Vec<String>) =
        likely.into_iter().map(|(i, class)| (i, data.class(class))).unzip();
    Ok(json!({"rows": rows, "likely": likely}))
}

fn columns(data: &dyn Known, choice: &Choice, weighted: bool) -> Vec<Column> {
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
    columns
}

/// How many of each class there are and are kept.
fn balance(data: &dyn Known, choice: &Choice) -> Vec<Balance> {
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
