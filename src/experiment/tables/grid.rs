//! Numbers measured at several settings with several seeds.

use std::path::Path;

use super::table;
use crate::error::Result;
use crate::experiment::metrics::mean_and_std;
use crate::report::{Series, write_csv};

/// What was measured for one line, one setting and one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Such as the way of choosing.
    pub line: String,
    /// What is varied.
    pub setting: f64,
    /// The seed.
    pub seed: u64,
    /// One for each name of the [`Grid`].
    pub numbers: Vec<f64>,
}

/// A number of a [`Grid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Its column in CSV files.
    pub name: &'static str,
    /// Whether the summary has its standard deviation beside its mean.
    pub spread: bool,
}

/// Lines by settings, several seeds a cell: as text, as CSV, as lines of a chart.
///
/// # Example
/// ```
/// use gleaner::experiment::tables::{Grid, Measured, Number};
///
/// let at = |setting, seed, x| Measured { line: "a".into(), setting, seed, numbers: vec![x] };
/// let measured = vec![at(1.0, 0, 2.0), at(1.0, 1, 4.0), at(5.0, 0, 7.0)];
/// let numbers = vec![Number { name: "errors", spread: true }];
/// let grid = Grid { setting: "price", numbers, measured };
/// assert_eq!(grid.mean("a", 1.0, "errors"), Some(3.0));
/// assert_eq!(grid.series("a", "errors").points[1], (5.0, 7.0, 0.0));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The column of the setting in CSV files, and with it the heading in text.
    pub setting: &'static str,
    /// What the numbers are.
    pub numbers: Vec<Number>,
    /// In any order; lines and settings appear in the order of the first of each.
    pub measured: Vec<Measured>,
}

impl Grid {
    fn lines(&self) -> Vec<&str> {
        firsts(self.measured.iter().map(|m| m.line.as_str()))
    }

    fn settings(&self) -> Vec<f64> {
        firsts(self.measured.iter().map(|m| m.setting))
    }

    /// Mean and standard deviation over seeds.
    fn cell(&self, line: &str, setting: f64, number: usize) -> Option<(f64, f64)> {
        let own = self.measured.iter().filter(|m| m.line == line && m.setting == setting);
        let values: Vec<f64> = own.map(|m| m.numbers[number]).collect();
        (!values.is_empty()).then(|| mean_and_std(&values))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.numbers.iter().position(|number| number.name == name)
    }

    /// The mean over seeds of one cell; `None` where nothing was measured or no number has that name.
    pub fn mean(&self, line: &str, setting: f64, name: &str) -> Option<f64> {
        Some(self.cell(line, setting, self.position(name)?)?.0)
    }

    /// A line over all settings, with the spread over seeds; empty if no number has that name.
    pub fn series(&self, line: &str, name: &str) -> Series {
        let point = |setting: f64| {
            let (mean, std) = self.cell(line, setting, self.position(name)?)?;
            Some((setting, mean, std))
        };
        let points = self.settings().into_iter().filter_map(point).collect();
        Series { name: line.to_string(), points }
    }

    /// A table with its title: a line each, a column a setting, what `cell` makes of it.
    pub fn text(&self, title: &str, cell: impl Fn(&str, f64) -> String) -> String {
        let settings = self.settings();
        let row = |line: &str| -> Vec<String> {
            let cells = settings.iter().map(|setting| cell(line, *setting));
            std::iter::once(line.to_string()).chain(cells).collect()
        };
        let headings = settings.iter().map(|setting| format!("{} {setting}", self.setting));
        let header: Vec<String> = std::iter::once(String::new()).chain(headings).collect();
        table(title, &header, &self.lines().into_iter().map(row).collect::<Vec<_>>())
    }

    /// One number of every cell, mean ± standard deviation over seeds, each times `scale` and with so many
    /// digits after the point.
    pub fn means(&self, title: &str, name: &str, scale: f64, digits: usize) -> String {
        self.text(title, |line, setting| {
            let cell = self.position(name).and_then(|k| self.cell(line, setting, k));
            cell.map_or("-".into(), |(mean, std)| {
                format!("{:.digits$} ± {:.digits$}", scale * mean, scale * std)
            })
        })
    }

    /// `summary.csv`, a row a cell, and `seeds.csv`, a row a measurement.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut header = vec!["method".to_string(), self.setting.to_string()];
        for Number { name, spread } in &self.numbers {
            match spread {
                true => header.extend([format!("{name}_mean"), format!("{name}_std")]),
                false => header.push(name.to_string()),
            }
        }
        let mut rows = Vec::new();
        for line in self.lines() {
            for setting in self.settings() {
                let mut row = vec![line.to_string(), setting.to_string()];
                for (k, number) in self.numbers.iter().enumerate() {
                    let Some((mean, std)) = self.cell(line, setting, k) else { continue };
                    row.push(format!("{mean:.4}"));
                    row.extend(number.spread.then(|| format!("{std:.4}")));
                }
                // A cell where nothing was measured has no row.
                rows.extend((row.len() == header.len()).then_some(row));
            }
        }
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        write_csv(folder.join("summary.csv"), &header, rows.into_iter())?;
        let names = self.numbers.iter().map(|number| number.name);
        let header: Vec<&str> = ["method", self.setting, "seed"].into_iter().chain(names).collect();
        let rows = self.measured.iter().map(|m| {
            let first = [m.line.clone(), m.setting.to_string(), m.seed.to_string()];
            first.into_iter().chain(m.numbers.iter().map(|x| format!("{x:.5}"))).collect()
        });
        write_csv(folder.join("seeds.csv"), &header, rows)
    }
}

/// What appears, in the order of its first appearance.
fn firsts<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut known, next| {
        if !known.contains(&next) {
            known.push(next);
        }
        known
    })
}
