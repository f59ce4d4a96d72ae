//! What the examples of selection via proxy share: progress, tables, `summary.csv` and pictures.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use gleaner::experiment::Configuration;
use gleaner::experiment::metrics::mean_and_std;
use gleaner::experiment::{Progress, Seconds};
use gleaner::learn::Recipe;
use gleaner::report::{
    Bar, BarOptions, BarPanel, ChartOptions, Panel, Series, Spread, bar_chart, line_chart,
    text_table, write_csv,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// One target: a line of `summary.csv`.
#[derive(Clone)]
pub struct Row {
    pub strategy: String,
    /// Share of the pool, or labels bought.
    pub size: f64,
    pub seed: u64,
    pub error: f64,
    pub seconds: Seconds,
}

/// A bar for the trainings to come and one for the epochs of the present one.
pub struct Bars {
    trainings: ProgressBar,
    epochs: ProgressBar,
    stage: String,
}

impl Bars {
    pub fn new(trainings: usize) -> Result<Self> {
        let all = MultiProgress::new();
        let (top, below) = (ProgressBar::new(trainings as u64), ProgressBar::new(1));
        let (trainings, epochs) = (all.add(top), all.add(below));
        let style = "{bar:32} {pos}/{len} trainings {elapsed_precise}, {eta} left";
        trainings.set_style(ProgressStyle::with_template(style)?);
        epochs.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} epochs of {msg}")?);
        Ok(Self { trainings, epochs, stage: String::new() })
    }

    pub fn show(&mut self, progress: &Progress) {
        if self.stage != progress.stage {
            self.stage = progress.stage.to_string();
            self.epochs.set_length(progress.epochs as u64);
        }
        self.epochs.set_position(progress.epoch as u64);
        self.epochs.set_message(format!("{}, loss {:.3}", progress.stage, progress.loss));
        if progress.epoch == progress.epochs {
            self.trainings.inc(1);
        }
    }

    pub fn finish(&self) {
        self.epochs.finish_and_clear();
        self.trainings.finish_and_clear();
    }
}

/// Every setting of a recipe under the name of the model it trains.
pub fn note_recipe(configuration: &mut Configuration, model: &str, recipe: &Recipe) {
    for (name, value) in recipe.settings() {
        configuration.insert(format!("{model} {name}"), value);
    }
}

/// The values of the rows that share a strategy and a size, in order of first appearance.
fn groups(rows: &[Row]) -> Vec<(String, f64, Vec<&Row>)> {
    let mut groups: Vec<(String, f64, Vec<&Row>)> = Vec::new();
    for row in rows {
        let known = groups.iter_mut().find(|g| g.0 == row.strategy && g.1 == row.size);
        match known {
            Some(group) => group.2.push(row),
            None => groups.push((row.strategy.clone(), row.size, vec![row])),
        }
    }
    groups
}

/// Strategies in order of first appearance.
fn strategies(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        if !names.contains(&row.strategy) {
            names.push(row.strategy.clone());
        }
    }
    names
}

fn spread(rows: &[&Row], of: impl Fn(&Row) -> f64) -> (f64, f64) {
    mean_and_std(&rows.iter().map(|row| of(row)).collect::<Vec<_>>())
}

/// A line a training.
pub fn write_summary(dir: &Path, size: &str, rows: &[Row]) -> Result<()> {
    let header =
        ["strategy", size, "seed", "error", "selection_seconds", "train_seconds", "target_seconds"];
    let lines = rows.iter().map(|row| {
        let Seconds { training, selection, target } = row.seconds;
        let seconds = [selection, training, target].map(|s| format!("{s:.3}"));
        let first = [row.strategy.clone(), row.size.to_string(), row.seed.to_string()];
        first.into_iter().chain([format!("{:.5}", row.error)]).chain(seconds).collect()
    });
    Ok(write_csv(dir.join("summary.csv"), &header, lines)?)
}

/// Test error, mean ± standard deviation over seeds: a line a strategy, a column a size. A strategy with
/// the size `whole` only stands in every column.
pub fn error_table(title: &str, rows: &[Row], sizes: &[f64], size: impl Fn(f64) -> String) {
    let groups = groups(rows);
    let cell = |strategy: &str, size: f64| {
        let own: Vec<_> = groups.iter().filter(|g| g.0 == strategy).collect();
        let found =
            own.iter().find(|g| g.1 == size).or(if own.len() == 1 { own.first() } else { None });
        found.map_or("-".to_string(), |group| {
            let (mean, std) = spread(&group.2, |row| row.error);
            format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * std)
        })
    };
    let mut header = vec!["strategy".to_string()];
    header.extend(sizes.iter().map(|s| size(*s)));
    let lines: Vec<Vec<String>> = strategies(rows)
        .into_iter()
        .map(|strategy| {
            let cells: Vec<String> = sizes.iter().map(|size| cell(&strategy, *size)).collect();
            std::iter::once(strategy).chain(cells).collect()
        })
        .collect();
    println!("\n{title}");
    println!("{}", text_table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &lines));
}

/// Error against size, with bands.
pub fn error_chart(
    path: &Path,
    title: String,
    x_label: &str,
    percent: bool,
    panels: &[(&str, Vec<Row>)],
    sizes: &[f64],
) -> Result<()> {
    let panel = |(title, rows): &(&str, Vec<Row>)| {
        let groups = groups(rows);
        let series = strategies(rows).into_iter().map(|name| {
            let own: Vec<_> = groups.iter().filter(|g| g.0 == name).collect();
            let point = |x: f64, rows: &[&Row]| {
                let (mean, std) = spread(rows, |row| row.error);
                (x, mean, std)
            };
            let points = match own.as_slice() {
                [only] if sizes.len() > 1 => sizes.iter().map(|x| point(*x, &only.2)).collect(),
                all => all.iter().map(|group| point(group.1, &group.2)).collect(),
            };
            Series { name, points }
        });
        Panel { title: title.to_string(), series: series.collect() }
    };
    let options = ChartOptions {
        title,
        x_label: x_label.into(),
        y_label: "test error".into(),
        x_percent: percent,
        y_percent: true,
        spread: Spread::Band,
        panel_width: if panels.len() == 1 { 640 } else { 480 },
        ..Default::default()
    };
    let panels: Vec<Panel> = panels.iter().map(panel).collect();
    Ok(line_chart(path, &options, &panels)?)
}

/// Mean seconds by stage of every strategy at the largest size it has, and the deviation of their sum.
fn seconds_by_stage(rows: &[Row]) -> Vec<(String, Seconds, f64)> {
    let mut largest: BTreeMap<&str, f64> = BTreeMap::new();
    for row in rows {
        let size = largest.entry(&row.strategy).or_insert(row.size);
        *size = size.max(row.size);
    }
    let mean = |name: String| {
        let size = largest[name.as_str()];
        let own: Vec<&Row> =
            rows.iter().filter(|row| row.strategy == name && row.size == size).collect();
        let of = |f: fn(&Seconds) -> f64| spread(&own, |row| f(&row.seconds)).0;
        let seconds = Seconds {
            training: of(|s| s.training),
            selection: of(|s| s.selection),
            target: of(|s| s.target),
        };
        let std = spread(&own, |row| sum(&row.seconds)).1;
        (name, seconds, std)
    };
    strategies(rows).into_iter().map(mean).collect()
}

fn sum(seconds: &Seconds) -> f64 {
    seconds.training + seconds.selection + seconds.target
}

/// Where the time of a choice and its target goes: a table and `time.svg`.
pub fn report_seconds(dir: &Path, title: &str, rows: &[Row]) -> Result<()> {
    let stages = ["training what chooses", "choosing", "training the target"];
    let by_stage = seconds_by_stage(rows);
    let lines = by_stage.iter().map(|(name, s, std)| {
        let seconds = [s.training, s.selection, s.target].map(|s| format!("{s:.1}"));
        let sum = format!("{:.1} ± {std:.1}", sum(s));
        std::iter::once(name.clone()).chain(seconds).chain([sum]).collect()
    });
    let lines: Vec<Vec<String>> = lines.collect();
    let header = ["strategy", stages[0], stages[1], stages[2], "sum"];
    println!("mean seconds by stage, at the largest size");
    println!("{}", text_table(&header, &lines));
    let bar = |(label, s, std): (String, Seconds, f64)| {
        let lengths = [s.training, s.selection, s.target];
        let segments = stages.map(String::from).into_iter().zip(lengths).collect();
        Bar { label, segments, std }
    };
    let bars = by_stage.into_iter().map(bar).collect();
    let panel = BarPanel { title: String::new(), bars, reference: None };
    let options = BarOptions {
        title: title.to_string(),
        x_label: "seconds".into(),
        unit: " s".into(),
        columns: 1,
        panel_width: 720,
        ..Default::default()
    };
    Ok(bar_chart(dir.join("time.svg"), &options, &[panel])?)
}
