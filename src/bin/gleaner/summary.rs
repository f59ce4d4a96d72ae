//! What was chosen, as files, reports and people are told.

use std::path::{Path, PathBuf};

use gleaner::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::input::Data;
use crate::keep::Keep;
use crate::output::{self, Column, Values};
use crate::page::{Left, PageFlags, Sheet};

/// A class, how many rows of it there are, and how many are kept.
pub type Balance = (String, usize, usize);

/// What was chosen.
pub struct Summary<'a> {
    pub command: &'static str,
    pub method: &'a str,
    /// What was read.
    pub input: Value,
    /// Number of rows.
    pub rows: usize,
    pub indices: &'a [usize],
    /// Of labelled rows.
    pub classes: Option<Vec<Balance>>,
}

/// Classes that are printed.
const SHOWN: usize = 30;

impl Summary<'_> {
    pub fn report(&self, out: &Path) -> Value {
        let mut digest = Sha256::new();
        self.indices.iter().for_each(|i| digest.update((*i as u64).to_le_bytes()));
        let class =
            |(class, rows, kept): &Balance| json!({"class": class, "rows": rows, "kept": kept});
        let classes = self.classes.as_ref().map(|classes| classes.iter().map(class).collect());
        json!({
            "command": self.command,
            "input": self.input,
            "method": self.method,
            "kept": self.indices.len(),
            "chosen_sha256": format!("{:x}", digest.finalize()),
            "classes": classes.map(Value::Array),
            "out": out,
        })
    }

    /// With a line of what else there is to say.
    pub fn text(&self, out: &Path, more: Option<&dyn std::fmt::Display>) -> String {
        let (kept, rows, method) = (self.indices.len(), self.rows, self.method);
        let share = 100.0 * kept as f64 / rows as f64;
        let mut text =
            format!("{kept} of {rows} rows ({share:.1} %) by {method}: {}\n", out.display());
        text.extend(more.map(|more| format!("{more}\n")));
        let Some(classes) = &self.classes else { return text };
        let row =
            |(class, rows, kept): &Balance| vec![class.clone(), rows.to_string(), kept.to_string()];
        let shown: Vec<Vec<String>> = classes.iter().take(SHOWN).map(row).collect();
        text += &gleaner::report::text_table(&["class", "rows", "kept"], &shown);
        match classes.len().saturating_sub(SHOWN) {
            0 => text,
            more => text + &format!("and {more} more classes\n"),
        }
    }
}

/// Where results go.
pub struct Places<'a> {
    pub out: &'a Path,
    /// The name of `out` with .json where there is none.
    pub report: Option<&'a PathBuf>,
    pub page: &'a PageFlags,
}

impl Places<'_> {
    /// Writes the rows, the report and the page.
    pub fn finish(
        &self,
        (columns, report, text): (Vec<Column>, Value, String),
        data: Option<&Data>,
        mut context: Context,
    ) -> Result<()> {
        context.step("writing", || output::write(self.out, &columns))?;
        let report = context.complete(report);
        let path = self.report.cloned().unwrap_or_else(|| self.out.with_extension("json"));
        output::write_json(&path, &report)?;
        let left = Left { report: &report, sheet: Some(&Sheet::of(&columns)), data };
        let page = self.page.write(&path, &left, &mut context)?;
        context.tell(&(text + &page), report)
    }
}

/// A column for each smaller choice that says who of so many kept rows is in it.
///
/// # Errors
/// [`Error::Shape`](gleaner::Error::Shape) for one that is larger.
pub fn nested(asked: &[Keep], kept: usize, rows: usize) -> Result<Vec<Column>> {
    let column = |keep: &Keep| {
        let within = keep.of(rows)?;
        match within <= kept {
            true => {
                let inside = (0..kept).map(|place| place < within).collect();
                Ok(Column::new(keep.name(), Values::Truth(inside)))
            }
            false => Err(gleaner::Error::Shape {
                what: "--nested",
                expected: format!("at most the {kept} rows that are kept"),
                found: within.to_string(),
            }),
        }
    };
    asked.iter().map(column).collect()
}
