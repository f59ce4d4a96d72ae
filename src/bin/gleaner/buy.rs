//! `gleaner buy`.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use clap::Args;
use gleaner::choose::{Random, named};
use gleaner::data::{Dataset, Standardiser, fingerprint};
use gleaner::experiment::{
    ActiveLearning, Configuration, KNOWN_WITHOUT_LABELS, Model, Oracle, Outcome, Rounds, Run,
    Stages, Task, active_learning,
};
use gleaner::learn::{Length, Mlp, MlpOptions, TrainingOptions};
use gleaner::{Error, Learner, Result, Strategy};
use serde_json::json;

use crate::context::Context;
use crate::input::{Data, Extra, Input};
use crate::keep::at_least;
use crate::known::Known;
use crate::listed::Listed;
use crate::memory::Demand;
use crate::output::{self, Column, Values};

#[derive(Args)]
#[command(after_help = "Examples:
  gleaner buy pool.csv --id key --classes cat,dog --initial 20 --round 20 --rounds 4 --out labels
  # fill the column label of labels/ask-0.csv, then the same command again: it asks for the next ones")]
pub struct Flags {
    #[command(flatten)]
    input: Input,
    /// The labels that there are.
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAME,…")]
    classes: Vec<String>,
    /// A labelled test part, with --test-label: how good a network is after each round.
    #[arg(long, requires = "test_label")]
    test: Option<PathBuf>,
    /// Its column of the labels.
    #[arg(long, requires = "test")]
    test_label: Option<String>,
    /// Random rows to begin with.
    #[arg(long, default_value_t = 50, value_parser = at_least(1))]
    initial: usize,
    /// Rows of each round after that.
    #[arg(long, default_value_t = 50, value_parser = at_least(1))]
    round: usize,
    /// Rounds after the first.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The strategy, one that needs no labels: margin, entropy, k-center, random and others.
    #[arg(long, default_value = "margin")]
    method: String,
    /// Optimiser steps of every network.
    #[arg(long, default_value_t = 400, value_parser = at_least(1))]
    steps: usize,
    /// Where questions, answers and labels are kept; the same command goes on with what was answered.
    #[arg(long)]
    out: PathBuf,
}

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    if flags.input.is_labelled() {
        let expected = "no --label: labels are what is bought".to_owned();
        return Err(Error::Unknown { what: "flag", expected, found: "--label".into() });
    }
    context.resumes(Some(&flags.out.join("run")))?;
    let strategy = strategy(&flags.method)?;
    let data = flags.input.read(&Extra::default(), Demand::SAMPLE, &mut context)?;
    let (inputs, classes) = (data.table.data.inputs().clone(), flags.classes.len());
    let pool = Dataset::new(inputs, vec![0; data.len()], classes)?;
    let standard = Standardiser::of(&pool)?;
    let pool = standard.dataset(&pool)?;
    let test =
        test(&flags, &data, &mut context)?.map(|test| standard.dataset(&test)).transpose()?;
    let mut rounds = Rounds::equal(flags.initial, flags.round, flags.rounds);
    if test.is_none() {
        rounds.evaluate.clear();
    }
    rounds.check(data.len())?;
    let seed = context.seeds.value();
    let run =
        Run::open(flags.out.join("run"), &configuration(&flags, &data, test.as_ref(), seed)?)?;
    let shape = MlpOptions { inputs: data.width(), hidden: vec![64], classes };
    let build = |seed| -> Result<Box<dyn Learner>> {
        Ok(Box::new(Mlp::new(&shape, seed, DType::F32, &Device::Cpu)?))
    };
    let training = TrainingOptions { length: Length::Steps(flags.steps), ..Default::default() };
    let model = Model { name: "mlp".into(), build: &build, training };
    let mut file = File { flags: &flags, data: &data, waiting: Cell::new(None) };
    let task =
        Task { pool: &pool, validation: None, test: test.as_ref().unwrap_or(&pool), flipped: &[] };
    let stages = Stages { run: &run, watch: &mut |_| () };
    let found = context.step("choosing", || {
        active_learning(task, (&model, &model), strategy.as_ref(), &rounds, &mut file, seed, stages)
    });
    let waiting = file.waiting.take();
    match (found, waiting) {
        (Ok(found), _) => finish(&flags, &data, &found, context),
        (Err(_), Some(waiting)) => tell(&flags, &data, &waiting, context),
        (Err(error), None) => Err(error),
    }
}

fn strategy(name: &str) -> Result<Box<dyn Strategy>> {
    if name == "random" {
        return Ok(Box::new(Random));
    }
    let strategy = named(name)?;
    gleaner::choose::check_needs(strategy.as_ref(), KNOWN_WITHOUT_LABELS)?;
    Ok(strategy)
}

/// The labelled part, its classes numbered as here.
fn test(flags: &Flags, data: &Data, context: &mut Context) -> Result<Option<Dataset>> {
    let (Some(path), Some(label)) = (&flags.test, &flags.test_label) else { return Ok(None) };
    let classes = flags.classes.clone();
    flags.input.read_labelled(path, (label, classes), data, context).map(Some)
}

fn configuration(
    flags: &Flags,
    data: &Data,
    tested: Option<&Dataset>,
    seed: u64,
) -> Result<Configuration> {
    let Flags { classes, initial, round, rounds, method, steps, test, .. } = flags;
    let set = |name: &str, value: String| (name.to_owned(), value);
    Ok(Configuration::from([
        set("data", data.report().to_string()),
        set("contents", fingerprint(&data.table.data)?),
        set("test rows", tested.map_or(Ok("none".into()), |tested| fingerprint(tested))?),
        set("classes", classes.join(", ")),
        set("labels", format!("{initial}, then {rounds} times {round}")),
        set("method", method.clone()),
        set("steps", steps.to_string()),
        set("test", format!("{test:?}")),
        set("seed", seed.to_string()),
    ]))
}

/// Labels that are written into a file by whoever knows them.
struct File<'a> {
    flags: &'a Flags,
    data: &'a Data,
    waiting: Cell<Option<Waiting>>,
}

/// What has to be answered first.
struct Waiting {
    path: PathBuf,
    rows: usize,
    missing: usize,
}

impl Oracle for File<'_> {
    fn ask(&mut self, points: &[usize]) -> Result<Vec<u32>> {
        let path = self.path(points)?;
        let answers = if path.exists() { self.read(&path)? } else { HashMap::new() };
        let label = |i: &usize| answers.get(&(self.data.file(*i), self.data.row(*i))).copied();
        let labels: Vec<Option<u32>> = points.iter().map(label).collect();
        let missing = labels.iter().filter(|label| label.is_none()).count();
        if missing == 0 {
            return Ok(labels.into_iter().flatten().collect());
        }
        if !path.exists() {
            output::write(&path, &self.questions(points))?;
        }
        self.waiting.set(Some(Waiting { path, rows: points.len(), missing }));
        Err(Error::Shape {
            what: "answered labels",
            expected: points.len().to_string(),
            found: (points.len() - missing).to_string(),
        })
    }
}

impl File<'_> {
    /// The file of this question: the first that asks for these rows, or a new one.
    fn path(&self, points: &[usize]) -> Result<PathBuf> {
        let wanted: Vec<i64> = points.iter().map(|i| self.data.row(*i)).collect();
        let mut round = 0;
        loop {
            let path = self.flags.out.join(format!("ask-{round}.csv"));
            if !path.exists() || rows(&path)? == wanted {
                return Ok(path);
            }
            round += 1;
        }
    }

    fn questions(&self, points: &[usize]) -> Vec<Column> {
        let mut columns = self.data.keys(points);
        columns.push(Column::new("label", Values::Text(vec![String::new(); points.len()])));
        columns
    }

    /// Class of each row that has one, by its file and number.
    fn read(&self, path: &Path) -> Result<HashMap<(String, i64), u32>> {
        let first = self.data.file(0);
        let mut classes = HashMap::new();
        for (row, file, others) in Listed::read(path, &["label"])?.rows {
            let Some(label) = others.into_iter().find(|label| !label.is_empty()) else { continue };
            let class = self.flags.classes.iter().position(|class| *class == label);
            let Some(class) = class else {
                let expected = self.flags.classes.join(", ");
                return Err(Error::Unknown { what: "label of a row", expected, found: label });
            };
            classes.insert((file.unwrap_or_else(|| first.clone()), row), class as u32);
        }
        Ok(classes)
    }
}

fn rows(path: &Path) -> Result<Vec<i64>> {
    Ok(Listed::read(path, &[])?.rows.into_iter().map(|(row, ..)| row).collect())
}

/// What is to be done before it goes on.
fn tell(flags: &Flags, data: &Data, waiting: &Waiting, context: Context) -> Result<()> {
    let Waiting { path, rows, missing } = waiting;
    let path = path.display();
    let text = match missing == rows {
        true => format!(
            "{rows} labels wanted: fill the column label of {path}, then the same command again\n"
        ),
        false => format!(
            "{missing} of {rows} labels of {path} are missing; then the same command again\n"
        ),
    };
    let report = json!({
        "command": "buy",
        "input": data.report(),
        "wanted": {"file": path.to_string(), "rows": rows, "missing": missing},
        "out": flags.out,
    });
    context.tell(&text, report)
}

fn finish(flags: &Flags, data: &Data, found: &ActiveLearning, context: Context) -> Result<()> {
    let ActiveLearning { outcomes, bought, labels } = found;
    let path = flags.out.join("bought.csv");
    let mut columns = data.keys(bought);
    let names = labels.iter().map(|label| flags.classes[*label as usize].clone()).collect();
    columns.push(Column::new("label", Values::Text(names)));
    output::write(&path, &columns)?;
    let accuracy =
        |outcome: &Outcome| json!({"labels": outcome.points, "accuracy": 1.0 - outcome.error});
    let report = context.complete(json!({
        "command": "buy",
        "input": data.report(),
        "method": flags.method,
        "bought": bought.len(),
        "rounds": outcomes.iter().map(accuracy).collect::<Vec<_>>(),
        "out": flags.out,
    }));
    output::write_json(&flags.out.join("report.json"), &report)?;
    let mut text =
        format!("{} labels bought by {}: {}\n", bought.len(), flags.method, path.display());
    if !outcomes.is_empty() {
        let row = |outcome: &Outcome| {
            vec![outcome.points.to_string(), format!("{:.1} %", 100.0 * (1.0 - outcome.error))]
        };
        let rows: Vec<Vec<String>> = outcomes.iter().map(row).collect();
        text += &gleaner::report::text_table(&["labels", "test accuracy"], &rows);
    }
    context.tell(&text, report)
}
