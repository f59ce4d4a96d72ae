//! `gleaner merge`.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gleaner::Result;
use gleaner::choose::{Asked, Candidates, Choice, Next, Tasks};
use gleaner::experiment::{Configuration, Run};
use gleaner::learn::Checkpoint;
use serde_json::{Value, json};

use crate::context::Context;
use crate::keep::Keep;
use crate::methods::method;
use crate::output::{self, Column, Values};
use crate::page::PageFlags;
use crate::summary::{Balance, Places, Summary, nested};
use crate::tasks::{ASKED, Folder, Part, Task, mixed, put_asked};

#[derive(Args)]
#[command(after_help = "Examples:
  for k in 1 2 3 4; do gleaner select 'part-*.npy' --keep 1% --method convex --out kept.npy --task $k/4; done
  gleaner merge kept.parts

Exit code 3: tasks have still to run, all the same command lines again; then merge again.")]
pub struct Flags {
    /// The folder that the tasks left.
    #[arg(id = "data", value_name = "PARTS")]
    parts: PathBuf,
    /// Where the chosen rows go [default: what the tasks were told].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where the report goes [default: the name of OUT with .json].
    #[arg(long)]
    report: Option<PathBuf>,
    /// Smaller choices that this one contains: a column each says who is in.
    #[arg(long, value_delimiter = ',', value_name = "KEEP,…")]
    nested: Vec<Keep>,
    #[command(flatten)]
    page: PageFlags,
}

/// When tasks have still to run.
const AGAIN: u8 = 3;

pub fn run(flags: Flags, mut context: Context) -> Result<ExitCode> {
    flags.out.as_deref().map(output::check).transpose()?;
    let folder = Folder(flags.parts.clone());
    let tasks = folder.tasks()?;
    let configuration = Configuration::from([("tasks".into(), tasks.to_string())]);
    let run = Run::open(folder.of_merge(), &configuration)?;
    let (asked, left) = context.step("reading", || read(&folder, tasks))?;
    let (found, parts): (Vec<Candidates>, Vec<Part>) = match left {
        Ok(left) => left.into_iter().unzip(),
        Err(missing) => return still_to_run(&missing, tasks, &context),
    };
    check(&folder, &parts)?;
    let strategy = method(Some(&parts[0].method), false)?;
    let Some(streaming) = strategy.as_streaming() else {
        return Err(mixed(&folder.0, format!("parts by {}", parts[0].method)));
    };
    let count = parts[0].keep.of(found.iter().map(|found| found.rows).sum())?;
    match Tasks::new(streaming, tasks)?.next(&found, &asked, count)? {
        Next::Chosen { choice, places } => {
            finish(&flags, &folder, (&parts, &choice, &places), context)?;
            Ok(ExitCode::SUCCESS)
        }
        Next::Again(next) => {
            let mut state = Checkpoint::new();
            put_asked(&mut state, &next)?;
            state.set_note("told", &parts[0].told);
            run.save(ASKED, &state)?;
            let more = |task: &usize| next[task - 1] != asked[task - 1];
            let tasks_again: Vec<usize> = (1..=tasks).filter(more).collect();
            still_to_run(&tasks_again, tasks, &context)
        }
    }
}

/// Writes the choice.
fn finish(
    flags: &Flags,
    folder: &Folder,
    (parts, choice, places): (&[Part], &Choice, &[(usize, usize)]),
    context: Context,
) -> Result<()> {
    let first = &parts[0]; // there is one
    let out = match (&flags.out, first.told["asked"]["out"].as_str()) {
        (Some(out), _) => out.clone(),
        (None, Some(out)) => out.into(),
        (None, None) => return Err(mixed(&folder.0, "parts that name no output".into())),
    };
    let rows = parts.iter().map(|part| part.number("rows")).sum();
    let Merged { mut columns, classes } = Merged::of(parts, choice, places);
    columns.extend(nested(&flags.nested, choice.len(), rows)?);
    let (command, input) = ("merge", input(parts, rows));
    let (method, indices) = (&first.method, &choice.indices);
    let summary = Summary { command, method, input, rows, indices, classes };
    let mut report = summary.report(&out);
    report["tasks"] = json!(parts.len());
    report["told"] = first.told.clone();
    let places = Places { out: &out, report: flags.report.as_ref(), page: &flags.page };
    places.finish((columns, report, summary.text(&out, None)), None, context)
}

/// Says who is to run.
fn still_to_run(missing: &[usize], tasks: usize, context: &Context) -> Result<ExitCode> {
    let names: Vec<String> = missing.iter().map(usize::to_string).collect();
    let text = format!("still to run, of {tasks} tasks: {}\n", names.join(" "));
    context.tell(&text, json!({"command": "merge", "tasks": tasks, "still_to_run": missing}))?;
    Ok(AGAIN.into())
}

/// What all tasks found and left, or the numbers of those that have not.
type Left = std::result::Result<Vec<(Candidates, Part)>, Vec<usize>>;

/// What the tasks were asked, and left.
fn read(folder: &Folder, tasks: usize) -> Result<(Vec<Asked>, Left)> {
    let (asked, told) = folder.asked()?.unzip();
    let (mut left, mut missing) = (Vec::new(), Vec::new());
    for number in 1..=tasks {
        let part = folder.part(Task { number, tasks })?;
        let wanted = asked.as_ref().and_then(|asked| asked.get(number - 1));
        match part.filter(|(_, part)| wanted.is_none_or(|wanted| *wanted == part.asked)) {
            Some((_, part)) if told.as_ref().is_some_and(|told| *told != part.told) => {
                return Err(mixed(&folder.of_merge(), "questions of another one".into()));
            }
            Some(part) => left.push(part),
            None => missing.push(number),
        }
    }
    let first = || left.iter().map(|(_, part)| part.asked.clone()).collect();
    let asked = asked.unwrap_or_else(first);
    Ok((asked, if missing.is_empty() { Ok(left) } else { Err(missing) }))
}

/// That all tasks were told the same, and read the same columns.
fn check(folder: &Folder, parts: &[Part]) -> Result<()> {
    let names =
        |part: &Part| part.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    for part in parts {
        let differs = |what: &str| Err(mixed(&folder.0, format!("tasks of other {what}")));
        let first = &parts[0];
        if part.told != first.told || part.method != first.method || part.keep != first.keep {
            return differs("command lines");
        }
        if part.input["features"] != first.input["features"] || names(part) != names(first) {
            return differs("columns");
        }
    }
    Ok(())
}

/// What is known of the chosen rows.
struct Merged {
    columns: Vec<Column>,
    classes: Option<Vec<Balance>>,
}

impl Merged {
    fn of(parts: &[Part], choice: &Choice, places: &[(usize, usize)]) -> Self {
        let alike = parts[0].columns.iter().enumerate();
        let mut columns: Vec<Column> = alike
            .map(|(k, first)| Column::new(first.name.clone(), gathered(parts, k, places)))
            .collect();
        let labels = parts[0].classes.is_some().then(|| columns.last()).flatten();
        let classes = labels.map(|labels| balance(parts, &labels.values));
        columns.extend(choice.gains.clone().map(|gains| Column::new("gain", Values::Real(gains))));
        Self { columns, classes }
    }
}

/// A column of the chosen rows; all parts have columns alike.
fn gathered(parts: &[Part], k: usize, places: &[(usize, usize)]) -> Values {
    let column = |task: usize| &parts[task].columns[k].values;
    if let Values::Named { .. } = column(0) {
        let (mut names, mut known) = (Vec::new(), HashMap::new());
        let mut id = |name: &String| {
            *known.entry(name.clone()).or_insert_with(|| {
                names.push(name.clone());
                names.len() as u32 - 1 // as many as all parts have, by numbers of 32 bits
            })
        };
        let of_part = |part: &Part| match &part.columns[k].values {
            Values::Named { names, .. } => names.iter().map(&mut id).collect(),
            _ => Vec::new(),
        };
        let of: Vec<Vec<u32>> = parts.iter().map(of_part).collect();
        let id = |(task, place): &(usize, usize)| match column(*task) {
            Values::Named { ids, .. } => of[*task][ids[*place] as usize],
            _ => 0,
        };
        let ids = places.iter().map(id).collect();
        return Values::Named { names, ids };
    }
    let number = |(task, place): &(usize, usize)| match column(*task) {
        Values::Whole(numbers) => numbers[*place],
        _ => 0,
    };
    match column(0) {
        Values::Whole(_) => Values::Whole(places.iter().map(number).collect()),
        _ => Values::Text(places.iter().map(|(task, place)| column(*task).cell(*place)).collect()),
    }
}

/// Classes by their names, in the order in which tasks have them, which is that of the labels.
fn balance(parts: &[Part], labels: &Values) -> Vec<Balance> {
    let Values::Named { names, ids } = labels else { return Vec::new() };
    let mut classes: Vec<Balance> = names.iter().map(|name| (name.clone(), 0, 0)).collect();
    let known: HashMap<&String, usize> = names.iter().zip(0..).collect();
    for (class, rows, _) in parts.iter().flat_map(|part| part.classes.iter().flatten()) {
        if let Some(at) = known.get(class) {
            classes[*at].1 += rows;
        }
    }
    ids.iter().for_each(|id| classes[*id as usize].2 += 1);
    classes
}

/// What all tasks read.
fn input(parts: &[Part], rows: usize) -> Value {
    let files = parts.iter().flat_map(|part| part.input["files"].as_array().into_iter().flatten());
    let classes = parts.iter().flat_map(|part| part.classes.iter().flatten());
    let classes: BTreeSet<&str> = classes.map(|class| class.0.as_str()).collect();
    json!({
        "files": files.collect::<Vec<_>>(),
        "rows": rows,
        "features": parts[0].number("features"),
        "classes": parts[0].classes.is_some().then_some(classes.len()),
        "skipped_rows": parts.iter().map(|part| part.number("skipped_rows")).sum::<usize>(),
        "stored": true,
    })
}
