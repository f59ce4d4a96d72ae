//! `gleaner merge`.

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
    let run =
        Run::open(folder.of_merge(), &Configuration::from([("tasks".into(), tasks.to_string())]))?;
    let (asked, parts) = context.step("reading", || read(&folder, tasks))?;
    let parts = match parts {
        Ok(parts) => parts,
        Err(missing) => return again(&missing, tasks, &context),
    };
    check(&folder, &parts)?;
    let [first, ..] = &parts[..] else { return Err(mixed(&folder.0, "none".into())) };
    let strategy = method(Some(&first.method), false)?;
    let Some(streaming) = strategy.as_streaming() else {
        return Err(mixed(&folder.0, format!("parts by {}", first.method)));
    };
    let rows = parts.iter().map(|part| part.found.rows).sum();
    let count = first.keep.of(rows)?;
    let nested = nested(&flags.nested, count, rows)?;
    let found: Vec<Candidates> = parts.iter().map(|part| part.found.clone()).collect();
    let choice = match Tasks::new(streaming, tasks)?.next(&found, &asked, count)? {
        Next::Chosen(choice) => choice,
        Next::Again(next) => {
            let mut state = Checkpoint::new();
            put_asked(&mut state, &next)?;
            run.save(ASKED, &state)?;
            let more = |task: &usize| next[task - 1] != asked[task - 1];
            let again_: Vec<usize> = (1..=tasks).filter(more).collect();
            return again(&again_, tasks, &context);
        }
    };
    let out = match (&flags.out, first.told["asked"]["out"].as_str()) {
        (Some(out), _) => out.clone(),
        (None, Some(out)) => out.into(),
        (None, None) => return Err(mixed(&folder.0, "parts that name no output".into())),
    };
    let merged = Merged::of(&parts, &choice);
    let summary = Summary {
        command: "merge",
        method: &first.method,
        input: input(&parts, rows),
        rows,
        indices: &choice.indices,
        classes: merged.classes,
    };
    let mut report = summary.report(&out);
    report["tasks"] = json!(tasks);
    report["told"] = first.told.clone();
    let mut columns = merged.columns;
    columns.extend(nested);
    let places = Places { out: &out, report: flags.report.as_ref(), page: &flags.page };
    let text = summary.text(&out, None);
    places.finish((columns, report, text), None, context)?;
    Ok(ExitCode::SUCCESS)
}

/// Says who is to run.
fn again(missing: &[usize], tasks: usize, context: &Context) -> Result<ExitCode> {
    let names: Vec<String> = missing.iter().map(usize::to_string).collect();
    let text = format!("still to run, of {tasks} tasks: {}\n", names.join(" "));
    context.tell(&text, json!({"command": "merge", "tasks": tasks, "still_to_run": missing}))?;
    Ok(AGAIN.into())
}

/// What the tasks were asked and left, or the numbers of those that have not.
#[allow(clippy::type_complexity)]
fn read(
    folder: &Folder,
    tasks: usize,
) -> Result<(Vec<Asked>, std::result::Result<Vec<Part>, Vec<usize>>)> {
    let asked = folder.asked()?;
    let (mut parts, mut missing) = (Vec::new(), Vec::new());
    for number in 1..=tasks {
        let part = folder.part(Task { number, tasks })?;
        let wanted = asked.as_ref().and_then(|asked| asked.get(number - 1));
        match part.filter(|part| wanted.is_none_or(|wanted| *wanted == part.asked)) {
            Some(part) => parts.push(part),
            None => missing.push(number),
        }
    }
    let asked = asked.unwrap_or_else(|| parts.iter().map(|part| part.asked.clone()).collect());
    Ok((asked, if missing.is_empty() { Ok(parts) } else { Err(missing) }))
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
    fn of(parts: &[Part], choice: &Choice) -> Self {
        let places = places(parts, choice);
        let mut columns: Vec<Column> = Vec::new();
        for (k, first) in parts[0].columns.iter().enumerate() {
            columns.push(Column::new(first.name.clone(), gathered(parts, k, &places)));
        }
        let classes = parts[0].classes.is_some().then(|| {
            let labels = columns.last().map(|column| &column.values);
            balance(parts, labels)
        });
        columns.extend(choice.gains.clone().map(|gains| Column::new("gain", Values::Real(gains))));
        Self { columns, classes }
    }
}

/// The task of each chosen row, and its place among the candidates there.
fn places(parts: &[Part], choice: &Choice) -> Vec<(usize, usize)> {
    let mut first = vec![0];
    first.extend(parts.iter().scan(0, |rows, part| {
        *rows += part.found.rows;
        Some(*rows)
    }));
    let known: Vec<std::collections::HashMap<usize, usize>> = parts
        .iter()
        .map(|part| part.found.indices.iter().enumerate().map(|(place, i)| (*i, place)).collect())
        .collect();
    let place = |i: &usize| {
        let task = first.partition_point(|first| first <= i) - 1; // the first task begins at 0
        (task, known[task][&(i - first[task])])
    };
    choice.indices.iter().map(place).collect()
}

/// A column of the chosen rows; all parts have columns alike.
fn gathered(parts: &[Part], k: usize, places: &[(usize, usize)]) -> Values {
    let of = |(task, place): &(usize, usize)| (&parts[*task].columns[k].values, *place);
    match &parts[0].columns[k].values {
        Values::Whole(_) => Values::Whole(
            places
                .iter()
                .map(of)
                .map(|(values, place)| match values {
                    Values::Whole(values) => values[place],
                    _ => 0,
                })
                .collect(),
        ),
        _ => {
            Values::Text(places.iter().map(of).map(|(values, place)| values.cell(place)).collect())
        }
    }
}

/// Classes by their names, in the order in which tasks have them.
fn balance(parts: &[Part], labels: Option<&Values>) -> Vec<Balance> {
    let mut classes: Vec<Balance> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (class, rows, _) in parts.iter().flat_map(|part| part.classes.iter().flatten()) {
        let at = *known.entry(class.clone()).or_insert_with(|| {
            classes.push((class.clone(), 0, 0));
            classes.len() - 1
        });
        classes[at].1 += rows;
    }
    for row in 0..labels.map_or(0, Values::len) {
        let label = labels.map(|labels| labels.cell(row)).unwrap_or_default();
        if let Some(at) = known.get(&label) {
            classes[*at].2 += 1;
        }
    }
    classes
}

/// What all tasks read.
fn input(parts: &[Part], rows: usize) -> Value {
    let number = |part: &Part, name: &str| part.input[name].as_u64().unwrap_or(0);
    let files = parts.iter().flat_map(|part| part.input["files"].as_array().into_iter().flatten());
    let classes = parts.iter().flat_map(|part| part.classes.iter().flatten());
    let classes: std::collections::BTreeSet<&str> = classes.map(|class| class.0.as_str()).collect();
    json!({
        "files": files.collect::<Vec<_>>(),
        "rows": rows,
        "features": number(&parts[0], "features"),
        "classes": parts[0].classes.is_some().then_some(classes.len()),
        "skipped_rows": parts.iter().map(|part| number(part, "skipped_rows")).sum::<u64>(),
        "stored": true,
    })
}
