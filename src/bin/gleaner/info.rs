//! `gleaner info`.

use clap::Args;
use gleaner::data::table::Values;
use gleaner::report::text_table;
use gleaner::{Result, Seeds};
use serde_json::{Value, json};

use crate::context::Context;
use crate::input::{Data, Extra, Input, LARGE};
use crate::known::Known;
use crate::memory::{Bytes, Demand};
use crate::trial::{said, seconds};

#[derive(Args)]
pub struct Flags {
    #[command(flatten)]
    input: Input,
}

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    let data = flags.input.read(&Extra::default(), Demand::READING, &mut context)?;
    let classes: Vec<(String, usize)> = if data.labelled {
        let counts = data.table.data.class_counts().into_iter().enumerate();
        counts.map(|(class, count)| (data.class(class as u32), count)).collect()
    } else {
        Vec::new()
    };
    let bytes = 4 * data.len() * data.width();
    let seeds = context.seeds;
    let work = context.step("trying on some rows", || Ok(wanted(&data, seeds)))?;
    let counted = |(class, rows): &(String, usize)| json!({"class": class, "rows": rows});
    let report = json!({
        "command": "info",
        "input": data.report(),
        "columns": data.table.columns,
        "feature_names": data.table.feature_names,
        "classes": classes.iter().map(counted).collect::<Vec<_>>(),
        "feature_bytes": bytes,
        "work": work.iter().map(Wanted::report).collect::<Vec<_>>(),
    });
    let report = context.complete(report);
    context.tell(&text(&data, &classes, bytes, &work), report)
}

/// What a kind of work would take.
struct Wanted {
    what: &'static str,
    memory: Bytes,
    /// About; where it was tried.
    seconds: Option<f64>,
}

impl Wanted {
    fn report(&self) -> Value {
        json!({"work": self.what, "bytes": self.memory.0, "seconds": self.seconds})
    }
}

/// What work would take.
fn wanted(data: &Data, seeds: Seeds) -> Vec<Wanted> {
    // More rows are covered cell by cell.
    let coverage = if data.len() > LARGE { Demand::READING } else { Demand::COVERAGE };
    let kinds = [
        ("k-center", Demand::READING, Some("k-center")),
        ("convex", Demand::READING, Some("convex")),
        ("facility-location, prototypes", coverage, Some("facility-location")),
        ("select (gleaner), audit, score", Demand::EVIDENCE, data.labelled.then_some("gleaner")),
        ("select by auto", Demand::TRIALS, None),
    ];
    let of = |(what, demand, work): (_, Demand, Option<&str>)| {
        let memory = demand.of(data.len(), data.width());
        // What cannot be done of these rows takes no time.
        let seconds =
            work.and_then(|name| seconds(name, &data.table.data, data.labelled, seeds).ok());
        Wanted { what, memory, seconds }
    };
    kinds.into_iter().map(of).collect()
}

fn text(data: &Data, classes: &[(String, usize)], bytes: usize, work: &[Wanted]) -> String {
    let table = &data.table;
    let mut text = format!(
        "{} rows, {} features from {} columns, {:.1} MB in memory\n",
        data.len(),
        data.width(),
        table.columns.len(),
        bytes as f64 / 1e6,
    );
    if !table.skipped.is_empty() {
        text += &format!("{} malformed rows left out\n", table.skipped.len());
    }
    let categories = table.categories.iter().flat_map(|categories| categories.values.iter());
    for (column, values) in categories.flatten() {
        let count = match values {
            Values::Whole(values) => format!("{} values", values.len()),
            Values::Letters(places) => format!("{} letters", places.len()),
        };
        text += &format!("text: {column:?}, {count}\n");
    }
    let row = |wanted: &Wanted| {
        let time = wanted.seconds.map_or_else(|| "-".into(), said);
        vec![wanted.what.to_owned(), wanted.memory.to_string(), time]
    };
    let rows: Vec<Vec<String>> = work.iter().map(row).collect();
    text += &text_table(&["work on 10 %", "memory", "time, about"], &rows);
    let rows: Vec<Vec<String>> =
        classes.iter().map(|(class, rows)| vec![class.clone(), rows.to_string()]).collect();
    if rows.is_empty() { text } else { text + &text_table(&["class", "rows"], &rows) }
}
