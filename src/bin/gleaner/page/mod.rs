//! The page of a run, from what it left: the report, the table it wrote, and the data if they are still there.

mod audit;
mod chance;
mod compare;
mod features;
mod looks;
mod map;
mod select;
mod sheet;

use std::path::{Path, PathBuf};

use clap::Args;
use gleaner::report::html::{Column, Report, write};
use gleaner::{Error, Result};
use serde_json::Value;

use crate::config;
use crate::context::Context;
use crate::input::Data;
pub use compare::accuracies;
pub use sheet::Sheet;

#[derive(Args)]
pub struct PageFlags {
    /// Where the page for people goes [default: the name of the report with .html]. It holds rows of the data.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Writes no page.
    #[arg(long, conflicts_with = "page")]
    no_page: bool,
}

impl PageFlags {
    /// Where it goes, if anywhere.
    fn path(&self, report: &Path) -> Option<PathBuf> {
        let usual = || report.with_extension("html");
        (!self.no_page).then(|| self.page.clone().unwrap_or_else(usual))
    }

    /// Makes the page of the report at a path; a line on where it is.
    pub fn write(&self, path: &Path, left: &Left, context: &mut Context) -> Result<String> {
        let Some(page) = self.path(path) else { return Ok(String::new()) };
        context.step("drawing", || write(&page, &left.page()?))?;
        Ok(format!("page: {}\n", page.display()))
    }
}

/// What a run left.
pub struct Left<'a> {
    /// The report.
    pub report: &'a Value,
    /// The table of rows, of commands that write one.
    pub sheet: Option<&'a Sheet>,
    /// What was read, if it is still the same.
    pub data: Option<&'a Data>,
}

impl Left<'_> {
    /// # Errors
    /// [`Error::Unknown`] for a command that has no page.
    pub fn page(&self) -> Result<Report> {
        let mut page = match self.text("/command").as_str() {
            "select" | "merge" => select::page(self)?,
            "audit" => audit::page(self)?,
            "compare" if self.text("/study") == "reproducibility" => chance::page(self),
            "compare" | "demo" => compare::page(self),
            other => {
                let expected = "select, merge, audit, compare, demo".to_owned();
                return Err(Error::Unknown { what: "command", expected, found: other.to_owned() });
            }
        };
        page.asked.extend(self.asked());
        page.timings = self.timings();
        page.peak_memory = self.report["peak_memory_bytes"].as_u64();
        page.footer = format!("Made by gleaner {}.", self.text("/gleaner"));
        let stored = self.report.pointer("/input/stored").is_some();
        if (self.sheet.is_some() || stored) && self.data.is_none() {
            let because = match stored {
                true => "Features stayed on disk",
                false => "The data were not found as they had been",
            };
            page.notes.push(format!("{because}: there is no map, and no features are shown."));
            if self.sheet.is_none() {
                page.notes.push("The rows are in the result beside this page.".into());
            }
        }
        Ok(page)
    }

    /// What stands in the report under a path of names; empty if nothing does.
    fn text(&self, path: &str) -> String {
        match self.report.pointer(path) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    fn number(&self, path: &str) -> f64 {
        self.report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }

    fn list(&self, path: &str) -> &[Value] {
        self.report.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The kind of report, and of what.
    fn kind(&self) -> String {
        let names = self.list("/input/files").iter().filter_map(|file| file["path"].as_str());
        let names: Vec<&str> = names.map(|path| path.rsplit('/').next().unwrap_or(path)).collect();
        let command = format!("gleaner {}", self.text("/command"));
        if names.is_empty() { command } else { format!("{command} · {}", names.join(", ")) }
    }

    /// What was asked of every command.
    fn asked(&self) -> Vec<(String, String)> {
        let words = config::words(&self.report["asked"]).unwrap_or_default();
        let command = std::iter::once("gleaner".to_owned()).chain(words.iter().map(|w| quoted(w)));
        let file = |file: &Value| {
            let part = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
            let digest: String = part("sha256").chars().take(12).collect();
            ("data".to_owned(), format!("{} (SHA-256 {digest}…)", part("path")))
        };
        let mut asked = vec![("command".into(), command.collect::<Vec<_>>().join(" "))];
        asked.extend(self.list("/input/files").iter().map(file));
        let rest = [
            ("skipped rows", "/input/skipped_rows"),
            ("method", "/method"),
            ("study", "/study"),
            ("seed", "/seed"),
            ("result", "/out"),
        ];
        let told = rest.into_iter().map(|(name, path)| (name.to_owned(), self.text(path)));
        asked.extend(
            told.filter(|(name, value)| {
                !value.is_empty() && (name != "skipped rows" || value != "0")
            }),
        );
        asked
    }

    fn timings(&self) -> Vec<(String, f64)> {
        let Some(seconds) = self.report["seconds"].as_object() else { return Vec::new() };
        let step = |(name, value): (&String, &Value)| Some((name.clone(), value.as_f64()?));
        seconds.iter().filter_map(step).collect()
    }
}

/// A word of a command as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./,:%+@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The ways that were tried for a certificate.
fn tried(ways: &[Value]) -> Vec<Column> {
    if ways.is_empty() {
        return Vec::new();
    }
    let text = |way: &Value| way["way"].as_str().unwrap_or_default().to_owned();
    let number = |way: &Value, name: &str| way[name].as_f64().unwrap_or(f64::NAN);
    vec![
        Column::text("way", ways.iter().map(text).collect()),
        Column::number("networks", ways.iter().map(|way| number(way, "trainings")).collect()),
        Column::share("accuracy", ways.iter().map(|way| number(way, "accuracy")).collect()),
    ]
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

fn figure(value: String, name: &str) -> (String, String) {
    (value, name.to_owned())
}
