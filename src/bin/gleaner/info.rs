//! `gleaner info`.

use clap::Args;
use gleaner::Result;
use gleaner::data::table::Values;
use gleaner::report::text_table;
use serde_json::json;

use crate::context::Context;
use crate::input::{Data, Extra, Input};
use crate::known::Known;
use crate::memory::{Bytes, Demand};

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
    let counted = |(class, rows): &(String, usize)| json!({"class": class, "rows": rows});
    let report = json!({
        "command": "info",
        "input": data.report(),
        "columns": data.table.columns,
        "feature_names": data.table.feature_names,
        "classes": classes.iter().map(counted).collect::<Vec<_>>(),
        "feature_bytes": bytes,
        "memory_bytes": demands(&data).map(|(what, bytes)| json!({"work": what, "bytes": bytes.0})),
    });
    let report = context.complete(report);
    context.tell(&text(&data, &classes, bytes), report)
}

/// What work would take.
fn demands(data: &Data) -> [(&'static str, Bytes); 4] {
    let of = |demand: Demand| demand.of(data.len(), data.width());
    [
        ("reading; random, k-center, convex", of(Demand::READING)),
        ("facility-location, prototypes", of(Demand::COVERAGE)),
        ("select (gleaner), audit, score", of(Demand::EVIDENCE)),
        ("select by auto", of(Demand::TRIALS)),
    ]
}

fn text(data: &Data, classes: &[(String, usize)], bytes: usize) -> String {
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
    let memory = demands(data).map(|(what, bytes)| vec![what.to_owned(), bytes.to_string()]);
    text += &text_table(&["work", "memory"], &memory);
    let rows: Vec<Vec<String>> =
        classes.iter().map(|(class, rows)| vec![class.clone(), rows.to_string()]).collect();
    if rows.is_empty() { text } else { text + &text_table(&["class", "rows"], &rows) }
}
