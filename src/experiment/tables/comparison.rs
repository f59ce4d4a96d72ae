//! Comparisons at several levels of label noise.

use std::path::Path;

use super::{Axis, Line, lines, seeds, spread, table};
use crate::error::Result;
use crate::experiment::metrics::mean_and_std;
use crate::experiment::{Detection, Level, Outcome};
use crate::report::{ChartOptions, Panel, Series, Spread, line_chart, write_csv};

impl Level {
    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.seeds.iter().flat_map(|seed| &seed.outcomes)
    }

    fn detections(&self) -> impl Iterator<Item = &Detection> {
        self.seeds.iter().flat_map(|seed| &seed.detections)
    }

    fn lines(&self) -> Vec<Line<'_>> {
        lines(self.outcomes(), Axis::Fraction)
    }

    /// Mean accuracy of every way at each share, with its standard deviation over seeds.
    pub fn panel(&self, fractions: &[f64]) -> Panel {
        let series: Vec<Series> =
            self.lines().iter().map(|line| line.series(fractions, accuracy)).collect();
        let title = match self.noise {
            0.0 => "clean labels".to_string(),
            noise => format!("{:.0} % of the labels flipped", 100.0 * noise),
        };
        Panel { title, series }
    }
}

/// All levels: `summary.csv`, `seeds.csv`, `detection.csv` and `accuracy.svg`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a file cannot be written.
pub fn report_comparison(
    folder: &Path,
    title: &str,
    fractions: &[f64],
    levels: &[Level],
) -> Result<String> {
    write_summary(folder, levels)?;
    write_seeds(folder, levels)?;
    let panels: Vec<Panel> = levels.iter().map(|level| level.panel(fractions)).collect();
    let options = ChartOptions {
        title: format!("{title}: accuracy of a fresh learner trained on the subset alone"),
        x_label: "share of the training data kept".into(),
        y_label: "test accuracy".into(),
        x_log: true,
        x_percent: true,
        y_percent: true,
        spread: Spread::Bars,
        ..Default::default()
    };
    line_chart(folder.join("accuracy.svg"), &options, &panels)?;
    let text = |level: &Level| accuracy_table(title, fractions, level) + &detection_table(level);
    Ok(levels.iter().map(text).collect())
}

fn accuracy(outcome: &Outcome) -> f64 {
    1.0 - outcome.error
}

fn seconds(cell: &[&Outcome]) -> f64 {
    spread(cell, |outcome| outcome.seconds.sum()).0
}

/// `None` where a seed of it is not known.
fn flipped(cell: &[&Outcome]) -> Option<f64> {
    let shares: Option<Vec<f64>> = cell.iter().map(|outcome| outcome.flipped).collect();
    shares.map(|shares| mean_and_std(&shares).0)
}

fn plus_minus((mean, std): (f64, f64)) -> String {
    format!("{mean:.3} ± {std:.3}")
}

fn accuracy_table(title: &str, fractions: &[f64], level: &Level) -> String {
    let row = |line: &Line| {
        let cell = |f: &f64| line.at(*f, fractions).map(|cell| plus_minus(spread(cell, accuracy)));
        let cells = fractions.iter().map(|f| cell(f).unwrap_or("-".into()));
        let shares = line.cells.iter().filter_map(|cell| flipped(&cell.1));
        let shares: Vec<String> = shares.map(|share| format!("{:.1}", 100.0 * share)).collect();
        let shares = if shares.is_empty() { "-".into() } else { shares.join(" / ") + " %" };
        let slowest = line.cells.iter().map(|cell| seconds(&cell.1)).fold(0.0, f64::max);
        let ends = [shares, format!("{slowest:.1}")];
        std::iter::once(line.name.clone()).chain(cells).chain(ends).collect()
    };
    let lines = level.lines();
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let mut header = vec!["way of choosing".to_string()];
    header.extend(fractions.iter().map(|fraction| Axis::Fraction.heading(*fraction)));
    header.extend(["flipped kept".into(), "seconds".into()]);
    let (percent, seeds) = (100.0 * level.noise, seeds(&lines));
    let title = format!(
        "\n{title}, {percent:.0} % of the labels flipped: test accuracy, mean ± standard deviation \
         over {seeds} seeds"
    );
    table(&title, &header, &rows)
}

fn detection_table(level: &Level) -> String {
    let mut selectors: Vec<(&str, Vec<&Detection>)> = Vec::new();
    for detection in level.detections() {
        match selectors.iter_mut().find(|(selector, _)| *selector == detection.selector) {
            Some((_, seeds)) => seeds.push(detection),
            None => selectors.push((&detection.selector, vec![detection])),
        }
    }
    if selectors.is_empty() {
        return String::new();
    }
    let row = |(selector, seeds): &(&str, Vec<&Detection>)| {
        let cell = |pick: fn(&Detection) -> f64| {
            plus_minus(mean_and_std(&seeds.iter().map(|d| pick(d)).collect::<Vec<_>>()))
        };
        let cells = [cell(|d| d.average_precision), cell(|d| d.roc_auc), cell(|d| d.recall)];
        std::iter::once(selector.to_string()).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = selectors.iter().map(row).collect();
    let header = ["ranking", "average precision", "AUC", "recall at the noise rate"];
    table("finding the flipped labels", &header.map(String::from), &rows)
}

/// A line a selector and fraction: means over seeds.
fn write_summary(folder: &Path, levels: &[Level]) -> Result<()> {
    let header = ["method", "noise", "fraction", "accuracy_mean", "accuracy_std", "seconds"];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for level in levels {
        for line in level.lines() {
            for (fraction, cell) in &line.cells {
                let (mean, std) = spread(cell, accuracy);
                let numbers = [level.noise, *fraction, mean, std, seconds(cell)];
                let numbers = numbers.map(|x| format!("{x:.4}"));
                rows.push(std::iter::once(line.name.clone()).chain(numbers).collect());
            }
        }
    }
    write_csv(folder.join("summary.csv"), &header, rows.into_iter())
}

fn write_seeds(folder: &Path, levels: &[Level]) -> Result<()> {
    let first = ["method", "noise", "fraction", "seed", "accuracy", "flipped"];
    let header = [&first[..], &["selection_seconds", "training_seconds"]].concat();
    let outcomes = levels.iter().flat_map(|level| level.outcomes().map(move |o| (level.noise, o)));
    let rows = outcomes.map(|(noise, o)| {
        vec![
            o.strategy.clone(),
            noise.to_string(),
            o.fraction.to_string(),
            o.seed.to_string(),
            format!("{:.5}", accuracy(o)),
            o.flipped.map_or(String::new(), |f| format!("{f:.5}")),
            format!("{:.3}", o.seconds.training + o.seconds.selection),
            format!("{:.3}", o.seconds.target),
        ]
    });
    write_csv(folder.join("seeds.csv"), &header, rows)?;
    let header = ["method", "noise", "seed", "average_precision", "auc", "recall"];
    let found = levels.iter().flat_map(|level| level.detections().map(move |d| (level.noise, d)));
    let rows = found.map(|(noise, d)| {
        let numbers = [d.average_precision, d.roc_auc, d.recall].map(|x| format!("{x:.5}"));
        [d.selector.clone(), noise.to_string(), d.seed.to_string()]
            .into_iter()
            .chain(numbers)
            .collect()
    });
    write_csv(folder.join("detection.csv"), &header, rows)
}
