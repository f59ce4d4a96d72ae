//! Outcomes on paper: text for people, CSV for programs, pictures. Needs the feature `report`.
//!
//! Each function writes its files into a folder and returns the tables as text. All seeds of a strategy and
//! size share a cell: mean ± standard deviation.

mod comparison;
mod core_set;
mod grid;
mod paired;
mod reproducibility;

use std::path::Path;

use crate::error::Result;
use crate::experiment::metrics::mean_and_std;
use crate::experiment::{Outcome, Seconds};
use crate::report::{
    Bar, BarOptions, BarPanel, ChartOptions, Panel, Series, Spread, bar_chart, line_chart,
    text_table, write_csv,
};

pub use comparison::report_comparison;
pub use core_set::report_core_sets;
pub use grid::{Grid, Measured, Number};
pub use paired::{PairedLevel, report_paired};
pub use reproducibility::report_reproducibility;

/// All seeds of active learning: `summary.csv`, `error.svg` and `time.svg`, by labels bought.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a file cannot be written.
pub fn report_active_learning(
    folder: &Path,
    target: &str,
    data: &str,
    outcomes: &[Outcome],
) -> Result<String> {
    let mut budgets: Vec<f64> = outcomes.iter().map(|o| Axis::Points.of(o)).collect();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    let lines = lines(outcomes, Axis::Points);
    let mut text = error_table(target, &lines, &budgets, Axis::Points);
    text += &seconds(folder, target, &lines)?;
    write_summary(folder, outcomes, Axis::Points)?;
    let panels = [error_panel("", &lines, &budgets)];
    error_chart(&folder.join("error.svg"), format!("{target}, {data}"), Axis::Points, &panels)?;
    Ok(text)
}

/// What is varied.
#[derive(Clone, Copy, PartialEq)]
enum Axis {
    Fraction,
    Points,
}

impl Axis {
    fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Fraction => outcome.fraction,
            Self::Points => outcome.points as f64,
        }
    }

    /// Column of a CSV file, words in a title, heading of a picture.
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::Fraction => ["fraction", "", "share of the training images kept"],
            Self::Points => ["budget", " by labels bought", "labels bought"],
        }
    }

    fn heading(self, size: f64) -> String {
        match self {
            Self::Fraction => format!("{:.0} %", 100.0 * size),
            Self::Points => size.to_string(),
        }
    }
}

/// A strategy at all its sizes, in order of first appearance; the seeds of each.
struct Line<'a> {
    name: String,
    cells: Vec<(f64, Vec<&'a Outcome>)>,
}

fn lines<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, axis: Axis) -> Vec<Line<'a>> {
    let mut lines: Vec<Line> = Vec::new();
    for outcome in outcomes {
        let (name, size) = (outcome.label(), axis.of(outcome));
        let at = lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            lines.push(Line { name, cells: Vec::new() });
            lines.len() - 1
        });
        match lines[at].cells.iter_mut().find(|cell| cell.0 == size) {
            Some(cell) => cell.1.push(outcome),
            None => lines[at].cells.push((size, vec![outcome])),
        }
    }
    lines
}

/// Mean and standard deviation over the outcomes of a cell.
fn spread(cell: &[&Outcome], of: impl Fn(&Outcome) -> f64) -> (f64, f64) {
    mean_and_std(&cell.iter().map(|outcome| of(outcome)).collect::<Vec<_>>())
}

impl<'a> Line<'a> {
    /// The cell of a size. A line whose only size is none of those asked for does not vary: the same
    /// cell stands everywhere.
    fn at(&self, size: f64, sizes: &[f64]) -> Option<&[&'a Outcome]> {
        let level = matches!(self.cells.as_slice(), [only] if !sizes.contains(&only.0));
        self.cells.iter().find(|cell| level || cell.0 == size).map(|cell| cell.1.as_slice())
    }

    fn series(&self, sizes: &[f64], of: impl Fn(&Outcome) -> f64) -> Series {
        let point = |size: &f64| {
            let (mean, std) = spread(self.at(*size, sizes)?, &of);
            Some((*size, mean, std))
        };
        Series { name: self.name.clone(), points: sizes.iter().filter_map(point).collect() }
    }

    fn largest(&self) -> &[&'a Outcome] {
        let largest = self.cells.iter().max_by(|a, b| a.0.total_cmp(&b.0));
        largest.map_or(&[], |cell| cell.1.as_slice())
    }
}

/// A line for each training, as text in `summary.csv`.
fn write_summary(folder: &Path, outcomes: &[Outcome], axis: Axis) -> Result<()> {
    let seconds = ["selection_seconds", "train_seconds", "target_seconds"];
    let header = [&["strategy", axis.names()[0], "seed", "error"], &seconds[..]].concat();
    let rows = outcomes.iter().map(|outcome| {
        let Seconds { training, selection, target } = outcome.seconds;
        let seconds = [selection, training, target].map(|s| format!("{s:.3}"));
        let size = axis.of(outcome).to_string();
        let first = [outcome.label(), size, outcome.seed.to_string()];
        first.into_iter().chain([format!("{:.5}", outcome.error)]).chain(seconds).collect()
    });
    write_csv(folder.join("summary.csv"), &header, rows)
}

/// A table with its title: a line each, a column a size.
fn table(title: &str, header: &[String], rows: &[Vec<String>]) -> String {
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    format!("{title}\n{}\n", text_table(&header, rows))
}

fn error_table(target: &str, lines: &[Line], sizes: &[f64], axis: Axis) -> String {
    let cell = |line: &Line, size: f64| match line.at(size, sizes) {
        None => "-".to_string(),
        Some(cell) => {
            let (mean, std) = spread(cell, |outcome| outcome.error);
            format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * std)
        }
    };
    let row = |line: &Line| {
        let cells = sizes.iter().map(|size| cell(line, *size));
        std::iter::once(line.name.clone()).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let headings = sizes.iter().map(|size| axis.heading(*size));
    let header: Vec<String> = std::iter::once("strategy".to_string()).chain(headings).collect();
    let seeds = seeds(lines);
    let [_, by, _] = axis.names();
    let title =
        format!("\ntest error of {target} in %{by}, mean ± standard deviation over {seeds} seeds");
    table(&title, &header, &rows)
}

/// Seeds of the fullest cell.
fn seeds(lines: &[Line]) -> usize {
    lines.iter().flat_map(|line| &line.cells).map(|cell| cell.1.len()).max().unwrap_or(0)
}

fn error_panel(title: &str, lines: &[Line], sizes: &[f64]) -> Panel {
    let series = lines.iter().map(|line| line.series(sizes, |outcome| outcome.error));
    Panel { title: title.to_string(), series: series.collect() }
}

/// Error against size, with bands.
fn error_chart(path: &Path, title: String, axis: Axis, panels: &[Panel]) -> Result<()> {
    let options = ChartOptions {
        title,
        x_label: axis.names()[2].into(),
        y_label: "test error".into(),
        x_percent: axis == Axis::Fraction,
        y_percent: true,
        spread: Spread::Band,
        panel_width: if panels.len() == 1 { 640 } else { 480 },
        ..Default::default()
    };
    line_chart(path, &options, panels)
}

/// Where the time of a choice and its target goes, at the largest size of each strategy: a table and
/// `time.svg`.
fn seconds(folder: &Path, target: &str, lines: &[Line]) -> Result<String> {
    let stages = ["training what chooses", "choosing", "training the target"];
    let parts = |line: &Line| {
        let of = |f: fn(&Seconds) -> f64| spread(line.largest(), |o| f(&o.seconds)).0;
        [of(|s| s.training), of(|s| s.selection), of(|s| s.target)]
    };
    let std = |line: &Line| spread(line.largest(), |o| o.seconds.sum()).1;
    let row = |line: &Line| {
        let (parts, name) = (parts(line), line.name.clone());
        let sum = format!("{:.1} ± {:.1}", parts.iter().sum::<f64>(), std(line));
        let parts = parts.map(|seconds| format!("{seconds:.1}"));
        std::iter::once(name).chain(parts).chain([sum]).collect()
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let bar = |line: &Line| Bar {
        label: line.name.clone(),
        segments: stages.map(String::from).into_iter().zip(parts(line)).collect(),
        std: std(line),
    };
    let bars = lines.iter().map(bar).collect();
    let options = BarOptions {
        title: format!("seconds of choosing and of training {target}, mean over seeds"),
        x_label: "seconds".into(),
        unit: " s".into(),
        columns: 1,
        panel_width: 720,
        ..Default::default()
    };
    let panel = BarPanel { title: String::new(), bars, reference: None };
    bar_chart(folder.join("time.svg"), &options, &[panel])?;
    let header = ["strategy", stages[0], stages[1], stages[2], "sum"].map(String::from);
    Ok(table("mean seconds by stage, at the largest size", &header, &rows))
}
