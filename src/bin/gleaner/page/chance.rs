//! The page of a study of chance.

use gleaner::report::html::{Column, Report, Table, grouped};
use serde_json::Value;

use super::{Left, figure};

pub fn page(left: &Left) -> Report {
    let repeats = left.list("/repeats");
    let text = |name: &str| -> Vec<String> {
        repeats.iter().map(|r| r[name].as_str().unwrap_or_default().to_owned()).collect()
    };
    let number =
        |name: &str| repeats.iter().map(|r| r[name].as_f64().unwrap_or(f64::NAN)).collect();
    let same = |r: &Value| if r["same_bits"] == true { "yes" } else { "no" }.to_owned();
    let columns = vec![
        Column::text("strategy", text("strategy")),
        Column::text("changed", text("change")),
        Column::share("test error", number("error")),
        Column::share("same points", number("common")),
        Column::text("same bits", repeats.iter().map(same).collect()),
    ];
    let about = "The same network after the same number of steps; points and bits are those of the first run."
        .to_owned();
    Report {
        title: format!("How much of a result on {} is chance?", left.text("/set")),
        kind: left.kind(),
        lead: "One thing is changed at a time, and the test error says what that does.".into(),
        figures: vec![
            figure(grouped(repeats.len()), "networks"),
            figure(grouped(left.number("/rows") as usize), "rows to choose from"),
        ],
        tables: vec![Table { title: "Every run".into(), about, columns, filter: None, total: 0 }],
        ..Default::default()
    }
}
