//! `gleaner report`.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use gleaner::report::html::write;
use gleaner::{Error, Result};
use serde_json::{Value, json};

use crate::config;
use crate::context::Context;
use crate::input::Data;
use crate::known::Known;
use crate::page::{Left, Sheet};
use crate::{Arguments, Command};

#[derive(Args)]
#[command(after_help = "Examples:
  gleaner report kept.json
  gleaner report compared --page ~/compared.html")]
pub struct Flags {
    /// A report (.json) of select, merge, audit, compare or demo, or the folder that holds one. Files that it names are looked for
    /// from the folder in which this command is started, as they were by the command that wrote it.
    run: PathBuf,
    /// Where the page goes [default: the name of the report with .html].
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    let (path, report) = match flags.run.is_dir() {
        true => only_report(&flags.run)?,
        false => (flags.run.clone(), read(&flags.run)?),
    };
    let sheet = sheet(&path, &report)?;
    let data = if sheet.is_some() { data(&report, &mut context) } else { None };
    let left = Left { report: &report, sheet: sheet.as_ref(), data: data.as_ref() };
    let page = flags.page.unwrap_or_else(|| path.with_extension("html"));
    context.step("drawing", || write(&page, &left.page()?))?;
    let told = context.complete(json!({"command": "report", "report": path, "page": page}));
    context.tell(&format!("page: {}\n", page.display()), told)
}

fn refused(path: &Path, found: impl ToString) -> Error {
    Error::File {
        path: path.to_path_buf(),
        expected: "one report of select, merge, audit, compare or demo".into(),
        found: found.to_string(),
    }
}

fn read(path: &Path) -> Result<Value> {
    let io = |source| Error::io(path, source);
    let text = std::fs::read_to_string(path).map_err(io)?;
    let report: Value = serde_json::from_str(&text).map_err(|error| refused(path, error))?;
    match report["gleaner"].is_string() && report["command"].is_string() {
        true => Ok(report),
        false => Err(refused(path, "other JSON")),
    }
}

/// The report in a folder, where there is one only.
fn only_report(folder: &Path) -> Result<(PathBuf, Value)> {
    let io = |source| Error::io(folder, source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            found.extend(read(&path).ok().map(|report| (path, report)));
        }
    }
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(refused(folder, "none")),
        (Some(_), others) => Err(refused(folder, format!("{}; name one", others + 1))),
    }
}

/// The table that the command wrote, where it was, or beside the report.
fn sheet(path: &Path, report: &Value) -> Result<Option<Sheet>> {
    let writes_one = ["select", "merge", "audit"].map(Value::from).contains(&report["command"]);
    let Some(out) = report["out"].as_str().map(Path::new).filter(|_| writes_one) else {
        return Ok(None);
    };
    let moved = out.file_name().map(|name| path.with_file_name(name));
    let place = moved.filter(|_| !out.exists()).unwrap_or(out.to_path_buf());
    Sheet::read(&place).map(Some)
}

/// What the command read, if the same command line still reads the same.
fn data(report: &Value, context: &mut Context) -> Option<Data> {
    let words = config::words(&report["asked"]).ok()?;
    let asked = Arguments::try_parse_from(std::iter::once("gleaner".into()).chain(words)).ok()?;
    let read = match &asked.command {
        Command::Select(flags) => flags.read(context),
        Command::Audit(flags) => flags.read(context),
        _ => return None,
    };
    let data = read.ok()?;
    (data.report() == report["input"]).then_some(data)
}
