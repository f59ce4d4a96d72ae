//! `gleaner select --task K/N`, and what a task leaves for `gleaner merge`.
//!
//! Beside the output lies a folder `.parts`. Each task has a [`Run`] of its own in it, so that one that is started again goes
//! on where it was and no two processes are one task; `merge` has one too, and says there what tasks are asked next.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::{DType, Device, Tensor, WithDType};
use gleaner::choose::{Asked, Candidates, Streaming, Tasks};
use gleaner::data::Source;
use gleaner::experiment::Run;
use gleaner::learn::Checkpoint;
use gleaner::{Error, Result};
use serde_json::{Value, json};

use crate::context::Context;
use crate::input::Extra;
use crate::keep::Keep;
use crate::known::Known;
use crate::memory::Demand;
use crate::output::{Column, Values};
use crate::select;
use crate::stored::Stored;
use crate::summary::Balance;

/// One of several tasks.
#[derive(Clone, Copy, PartialEq)]
pub struct Task {
    /// From 1 on.
    pub number: usize,
    pub tasks: usize,
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.trim().split_once('/');
        let parsed = parts.and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((number, tasks)) if (1..=tasks).contains(&number) => Ok(Self { number, tasks }),
            _ => Err(format!("expected a task as 3/64, the third of 64, found {text:?}")),
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "task {} of {}", self.number, self.tasks)
    }
}

/// Where the parts are.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn beside(out: &Path) -> Self {
        Self(out.with_extension("parts"))
    }

    fn of_task(&self, task: Task) -> PathBuf {
        self.0.join(format!("task-{}-of-{}", task.number, task.tasks))
    }

    pub fn of_merge(&self) -> PathBuf {
        self.0.join("merge")
    }

    /// What tasks are asked, once they have been asked more than what they begin with, and what they had been told.
    pub fn asked(&self) -> Result<Option<(Vec<Asked>, Value)>> {
        let state = state(&self.of_merge(), ASKED)?;
        state.map(|state| Ok((asked_of(&state)?, state.note("told")?))).transpose()
    }

    /// What a task found and left, if it has.
    pub fn part(&self, task: Task) -> Result<Option<(Candidates, Part)>> {
        state(&self.of_task(task), PART)?.map(|state| Part::of(&state)).transpose()
    }

    /// How many tasks there are, by the folders of those that have begun.
    ///
    /// # Errors
    /// [`Error::File`] where none has, or their numbers differ.
    pub fn tasks(&self) -> Result<usize> {
        let io = |source| Error::io(&self.0, source);
        let mut found = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(&self.0).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let numbers =
                name.to_str().and_then(|name| name.strip_prefix("task-")?.split_once("-of-"));
            found.extend(numbers.and_then(|(_, tasks)| tasks.parse::<usize>().ok()));
        }
        match (found.len(), found.first()) {
            (1, Some(tasks)) => Ok(*tasks),
            _ => Err(Error::File {
                path: self.0.clone(),
                expected: "what tasks of one choice have left".into(),
                found: match found.len() {
                    0 => "none".into(),
                    _ => format!("parts of {found:?} tasks"),
                },
            }),
        }
    }
}

/// A stage of another process's run, if it is there: it may be at work.
fn state(run: &Path, stage: &str) -> Result<Option<Checkpoint>> {
    match Checkpoint::load(run.join(format!("{stage}.safetensors"))) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        loaded => loaded.map(Some),
    }
}

/// The stages of runs.
const PART: &str = "part";
pub const ASKED: &str = "asked";

/// What a task left beside what it found.
pub struct Part {
    /// What it was asked.
    pub asked: Asked,
    /// What all tasks must have been told alike: the command line less the task, and the seed.
    pub told: Value,
    pub method: String,
    pub keep: Keep,
    /// What it read.
    pub input: Value,
    /// What is known of the candidates, one row each.
    pub columns: Vec<Column>,
    /// Of labelled rows, the classes with their numbers.
    pub classes: Option<Vec<Balance>>,
}

/// Looks at the files of a task, unless it has.
pub fn run(
    flags: &select::Flags,
    task: Task,
    method: &dyn Streaming,
    mut context: Context,
) -> Result<()> {
    let folder = Folder::beside(&flags.out);
    context.resumes(Some(&folder.of_task(task)))?;
    let input = flags.input.of_task(task.number - 1, task.tasks)?;
    let tasks = Tasks::new(method, task.tasks)?;
    let told = told(&context);
    let asked = asked(flags, task, &tasks, &folder, &told)?;
    let configuration = [("told", told.to_string()), ("tasks", task.tasks.to_string())];
    let configuration = configuration.map(|(name, value)| (name.to_owned(), value)).into();
    let run = Run::open(folder.of_task(task), &configuration)?;
    let before = folder.part(task)?.map(|(_, before)| before);
    let report =
        json!({"command": "select", "task": task.number, "tasks": task.tasks, "parts": folder.0});
    if before.as_ref().is_some_and(|before| before.asked == asked) {
        return context.tell(&format!("{task}: done already\n"), report);
    }
    input.is_large(&Extra::default(), Demand::READING, Demand::on_disk, &context)?;
    let stored = input.store(&Extra::default(), &folder.of_task(task).join(PART), &mut context)?;
    if before.is_some_and(|before| before.input != stored.report()) {
        return Err(mixed(&folder.of_task(task), "a part of other data".into()));
    }
    let seeds = context.seeds;
    let found = context
        .step("looking", || tasks.candidates(task.number - 1, &stored.table, &asked, seeds))?;
    let text = format!("{task}: {} candidates of {} rows\n", found.indices.len(), found.rows);
    let part = Part {
        asked,
        told,
        method: method.name().to_owned(),
        keep: flags.keep,
        input: stored.report(),
        columns: columns(&stored, &found.indices, task),
        classes: stored.labelled().then(|| classes(&stored)),
    };
    context.step("writing", || run.save(PART, &part.state(&found)?))?;
    context.tell(&text, report)
}

/// What a task is asked now.
fn asked(
    flags: &select::Flags,
    task: Task,
    tasks: &Tasks,
    folder: &Folder,
    told: &Value,
) -> Result<Asked> {
    let asked = match folder.asked()? {
        Some((asked, before)) if before == *told => asked,
        Some(_) => return Err(mixed(&folder.of_merge(), "questions of another one".into())),
        None => tasks.first(match flags.keep {
            Keep::Share(share) => share,
            Keep::Rows(rows) => {
                (rows as f64 / flags.input.rows(&Extra::default())? as f64).min(1.0)
            }
        }),
    };
    let of_others = || mixed(&folder.0, format!("questions to fewer than {} tasks", task.tasks));
    asked.into_iter().nth(task.number - 1).ok_or_else(of_others)
}

/// What tells candidates apart, and their labels.
fn columns(stored: &Stored, rows: &[usize], task: Task) -> Vec<Column> {
    let mut columns = stored.keys(rows);
    // One file of several.
    if task.tasks > 1 && !stored.several() {
        columns.insert(1, stored.file_names(rows));
    }
    columns.extend(stored.labelled().then(|| stored.labels(rows)));
    columns
}

/// How many rows there are of each class; none is kept yet.
fn classes(stored: &Stored) -> Vec<Balance> {
    let counts = stored.table.class_counts().into_iter().enumerate();
    counts.map(|(class, rows)| (stored.class(class as u32), rows, 0)).collect()
}

/// The command line without the task, and the seed.
fn told(context: &Context) -> Value {
    let mut told = context.asked().clone();
    if let Some(told) = told.as_object_mut() {
        told.remove("task");
    }
    json!({"asked": told, "seed": context.seeds.value()})
}

/// A folder of several runs.
pub fn mixed(path: &Path, found: String) -> Error {
    Error::File { path: path.to_path_buf(), expected: "parts of one choice".into(), found }
}

impl Part {
    /// A number of what it read.
    pub fn number(&self, name: &str) -> usize {
        self.input[name].as_u64().unwrap_or(0) as usize
    }

    fn state(&self, found: &Candidates) -> Result<Checkpoint> {
        let mut state = Checkpoint::new();
        state.set("index", tensor(found.indices.iter().map(|i| *i as i64).collect())?);
        state.set("gain", tensor(found.gains.clone())?);
        state.set("numbers", tensor(found.numbers.clone())?);
        put_asked(&mut state, std::slice::from_ref(&self.asked))?;
        let mut names = Vec::new();
        for (k, column) in self.columns.iter().enumerate() {
            let values = match &column.values {
                Values::Whole(numbers) => tensor(numbers.clone())?,
                Values::Real(numbers) => tensor(numbers.clone())?,
                Values::Truth(bits) => tensor(bits.iter().map(|bit| u8::from(*bit)).collect())?,
                Values::Text(texts) => tensor(json!(texts).to_string().into_bytes())?,
                Values::Named { ids, .. } => tensor(ids.clone())?,
            };
            state.set(format!("column-{k}"), values);
            names.push(match &column.values {
                Values::Named { names, .. } => json!({"name": column.name, "names": names}),
                _ => json!({"name": column.name}),
            });
        }
        let classes = self.classes.iter().flatten();
        let classes: Vec<Value> = classes.map(|(class, rows, _)| json!([class, rows])).collect();
        state.set_note("rows", found.rows);
        state.set_note("method", &self.method);
        state.set_note("keep", self.keep);
        state.set_note(
            "json",
            json!({
                "told": self.told,
                "input": self.input,
                "columns": names,
                "classes": self.classes.as_ref().map(|_| classes),
            }),
        );
        Ok(state)
    }

    fn of(state: &Checkpoint) -> Result<(Candidates, Self)> {
        let notes: Value = state.note("json")?;
        let numbers = |name: &str| -> Result<Vec<f64>> { Ok(state.tensor(name)?.to_vec1()?) };
        let indices = state.tensor("index")?.to_vec1::<i64>()?;
        let indices = indices.into_iter().map(|i| usize::try_from(i).unwrap_or(usize::MAX));
        let found = Candidates {
            rows: state.note("rows")?,
            indices: indices.collect(),
            gains: numbers("gain")?,
            numbers: numbers("numbers")?,
        };
        let [asked] = &asked_of(state)?[..] else { return Err(other("questions")) };
        let names = notes["columns"].as_array().map_or(&[][..], Vec::as_slice).iter().enumerate();
        let column = |(k, about): (usize, &Value)| {
            let column = state.tensor(&format!("column-{k}"))?;
            let texts = |names: &Value| serde_json::from_value(names.clone());
            let values = match (column.dtype(), about.get("names")) {
                (DType::I64, _) => Values::Whole(column.to_vec1()?),
                (DType::F64, _) => Values::Real(column.to_vec1()?),
                (DType::U32, Some(names)) => {
                    let (names, ids): (Vec<String>, _) =
                        (texts(names).map_err(|_| other("names"))?, column.to_vec1()?);
                    if ids.iter().any(|id| *id as usize >= names.len()) {
                        return Err(other("a name each"));
                    }
                    Values::Named { names, ids }
                }
                _ => {
                    let texts = serde_json::from_slice(&column.to_vec1::<u8>()?);
                    Values::Text(texts.map_err(|_| other("texts"))?)
                }
            };
            match values.len() == found.indices.len() {
                true => Ok(Column::new(about["name"].as_str().unwrap_or_default(), values)),
                false => Err(other("columns of one length")),
            }
        };
        let columns = names.map(column).collect::<Result<_>>()?;
        let class = |pair: &Value| Some((pair[0].as_str()?.into(), pair[1].as_u64()? as usize, 0));
        let classes =
            notes["classes"].as_array().map(|pairs| pairs.iter().filter_map(class).collect());
        let keep = state.note::<String>("keep")?.parse().map_err(|_| other("a share"))?;
        let method = state.note("method")?;
        let (told, input) = (notes["told"].clone(), notes["input"].clone());
        let asked = asked.clone();
        Ok((found, Self { asked, told, method, keep, input, columns, classes }))
    }
}

/// Nobody changes a state unseen: this is another program's.
fn other(expected: &str) -> Error {
    Error::Shape { what: "part of a task", expected: expected.into(), found: "others".into() }
}

/// A state of the questions to some tasks.
pub fn put_asked(state: &mut Checkpoint, asked: &[Asked]) -> Result<()> {
    let of = |number: fn(&Asked) -> f64| tensor(asked.iter().map(number).collect());
    state.set("asked/share", of(|asked| asked.share)?);
    state.set("asked/surplus", of(|asked| asked.surplus)?);
    for (task, asked) in asked.iter().enumerate() {
        state.set(format!("asked/numbers-{task}"), tensor(asked.numbers.clone())?);
    }
    Ok(())
}

fn asked_of(state: &Checkpoint) -> Result<Vec<Asked>> {
    let numbers = |name: &str| -> Result<Vec<f64>> { Ok(state.tensor(name)?.to_vec1()?) };
    let pairs = numbers("asked/share")?.into_iter().zip(numbers("asked/surplus")?);
    let asked = |(task, (share, surplus))| {
        Ok(Asked { share, surplus, numbers: numbers(&format!("asked/numbers-{task}"))? })
    };
    pairs.enumerate().map(asked).collect()
}

fn tensor<T: WithDType>(values: Vec<T>) -> Result<Tensor> {
    let count = values.len();
    Ok(Tensor::from_vec(values, count, &Device::Cpu)?)
}
