//! What the comparison examples share: seeds in parallel under one progress bar, tables, CSV, pictures.

mod device;
mod jobs;
mod threads;

use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use gleaner::experiment::compare::{Comparison, ComparisonOptions, Task, Way, compare};
use gleaner::experiment::metrics::mean_and_std;
use gleaner::learn::Learner;
use gleaner::report::{ChartOptions, Panel, Series, Spread, line_chart, text_table, write_csv};
use indicatif::{ProgressBar, ProgressStyle};

pub use device::DeviceKind;
use jobs::side_by_side;
pub use threads::with_thread_count;

/// All seeds at one level of label noise.
pub struct Level {
    pub noise: f64,
    pub seeds: Vec<Comparison>,
}

/// Runs the comparison for every level of noise and every seed, on the CPU one of them a core at a time.
pub fn over_seeds<L: Learner>(
    device: &Device,
    seeds: std::ops::Range<u64>,
    noises: &[f64],
    options: &ComparisonOptions,
    learner: impl Fn(u64) -> gleaner::Result<L> + Sync,
    data: impl Fn(f64, u64) -> Result<Data> + Sync,
) -> Result<Vec<Level>> {
    let jobs: Vec<(usize, u64)> =
        (0..noises.len()).flat_map(|level| seeds.clone().map(move |seed| (level, seed))).collect();
    let bar = ProgressBar::new((jobs.len() * (options.ways.len() + 1)) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed_precise} {msg}")?);
    let one = |(level, seed): (usize, u64)| -> Result<Comparison> {
        let data = data(noises[level], seed)?;
        let task = Task {
            train: &data.train,
            validation: &data.validation,
            test: &data.test,
            flipped: &data.flipped,
        };
        let mut watch = |what: &str| {
            bar.set_message(format!("noise {}, seed {seed}: {what}", noises[level]));
            bar.inc(1);
        };
        Ok(compare(&task, &|s| learner(s), options, seed, &mut watch)?)
    };
    let found = side_by_side(&jobs, device, |&job| one(job))?;
    bar.finish_and_clear();
    let mut levels: Vec<Level> =
        noises.iter().map(|&noise| Level { noise, seeds: Vec::new() }).collect();
    let found = jobs.iter().zip(found);
    found.for_each(|(&(level, _), comparison)| levels[level].seeds.push(comparison));
    Ok(levels)
}

/// One seed's data.
pub struct Data {
    pub train: gleaner::data::Dataset,
    pub validation: gleaner::data::Dataset,
    pub test: gleaner::data::Dataset,
    pub flipped: Vec<bool>,
}

/// A line of the summary: mean and spread over seeds.
struct Row {
    way: Way,
    noise: f64,
    fraction: f64,
    accuracy: (f64, f64),
    flipped: Option<f64>,
    seconds: f64,
}

fn summarise(levels: &[Level]) -> Vec<Row> {
    let mut rows = Vec::new();
    for level in levels {
        let Some(first) = level.seeds.first() else { continue };
        for (k, outcome) in first.outcomes.iter().enumerate() {
            let all: Vec<_> = level.seeds.iter().filter_map(|seed| seed.outcomes.get(k)).collect();
            let accuracies: Vec<f64> = all.iter().map(|o| o.accuracy).collect();
            let flipped: Option<Vec<f64>> = all.iter().map(|o| o.flipped).collect();
            let seconds: Vec<f64> =
                all.iter().map(|o| o.selection_seconds + o.training_seconds).collect();
            rows.push(Row {
                way: outcome.way,
                noise: level.noise,
                fraction: outcome.fraction,
                accuracy: mean_and_std(&accuracies),
                flipped: flipped.map(|f| mean_and_std(&f).0),
                seconds: mean_and_std(&seconds).0,
            });
        }
    }
    rows
}

/// Prints the tables; writes `summary.csv`, `seeds.csv`, `detection.csv` and `accuracy.svg`.
pub fn report(dir: &Path, title: &str, fractions: &[f64], levels: &[Level]) -> Result<()> {
    let rows = summarise(levels);
    for level in levels {
        print_level(title, fractions, level, &rows);
    }
    write_csv(
        dir.join("summary.csv"),
        &["method", "noise", "fraction", "accuracy_mean", "accuracy_std", "seconds"],
        rows.iter().map(|r| {
            let (mean, std) = r.accuracy;
            let numbers = [r.noise, r.fraction, mean, std, r.seconds];
            std::iter::once(r.way.name().into()).chain(numbers.map(|x| format!("{x:.4}"))).collect()
        }),
    )?;
    write_seeds(dir, levels)?;
    let panels: Vec<Panel> =
        levels.iter().map(|level| panel(level.noise, &rows, fractions)).collect();
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
    line_chart(dir.join("accuracy.svg"), &options, &panels)?;
    println!("written: {}/{{summary,seeds,detection}}.csv, accuracy.svg", dir.display());
    Ok(())
}

fn print_level(title: &str, fractions: &[f64], level: &Level, rows: &[Row]) {
    let percent = 100.0 * level.noise;
    let seeds = level.seeds.len();
    println!(
        "\n{title}, {percent:.0} % of the labels flipped: test accuracy, mean ± standard deviation over {seeds} seeds"
    );
    let mut header = vec!["way of choosing".to_string()];
    header.extend(fractions.iter().map(|f| format!("{:.0} %", 100.0 * f)));
    header.extend(["flipped kept".into(), "seconds".into()]);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = Vec::new();
    for way in Way::ALL {
        let own: Vec<&Row> =
            rows.iter().filter(|r| r.way == way && r.noise == level.noise).collect();
        let Some(first) = own.first() else { continue };
        let mut line = vec![way.name().to_string()];
        for fraction in fractions {
            let cell = own.iter().find(|r| r.fraction == *fraction || r.fraction == 1.0);
            line.push(
                cell.map_or("-".into(), |r| format!("{:.3} ± {:.3}", r.accuracy.0, r.accuracy.1)),
            );
        }
        let flipped: Vec<String> =
            own.iter().filter_map(|r| r.flipped).map(|f| format!("{:.1}", 100.0 * f)).collect();
        line.push(if flipped.is_empty() { "-".into() } else { flipped.join(" / ") + " %" });
        let spread = own.iter().map(|r| r.seconds).fold(first.seconds, f64::max);
        line.push(format!("{spread:.1}"));
        table.push(line);
    }
    println!("{}", text_table(&header, &table));
    print_detection(level);
}

fn print_detection(level: &Level) {
    let Some(first) = level.seeds.first().filter(|seed| !seed.detections.is_empty()) else {
        return;
    };
    let mut table = Vec::new();
    for (k, detection) in first.detections.iter().enumerate() {
        let all: Vec<_> = level.seeds.iter().filter_map(|seed| seed.detections.get(k)).collect();
        let cell = |pick: fn(&gleaner::experiment::compare::Detection) -> f64| {
            let (mean, std) = mean_and_std(&all.iter().map(|d| pick(d)).collect::<Vec<_>>());
            format!("{mean:.3} ± {std:.3}")
        };
        table.push(vec![
            detection.way.name().to_string(),
            cell(|d| d.average_precision),
            cell(|d| d.roc_auc),
            cell(|d| d.recall),
        ]);
    }
    println!("finding the flipped labels");
    let header = ["ranking", "average precision", "AUC", "recall at the noise rate"];
    println!("{}", text_table(&header, &table));
}

fn write_seeds(dir: &Path, levels: &[Level]) -> Result<()> {
    let each =
        || levels.iter().flat_map(|l| l.seeds.iter().enumerate().map(|(s, c)| (l.noise, s, c)));
    write_csv(
        dir.join("seeds.csv"),
        &[
            "method",
            "noise",
            "fraction",
            "seed",
            "accuracy",
            "flipped",
            "selection_seconds",
            "training_seconds",
        ],
        each().flat_map(|(noise, seed, found)| {
            found.outcomes.iter().map(move |o| {
                vec![
                    o.way.name().into(),
                    noise.to_string(),
                    o.fraction.to_string(),
                    seed.to_string(),
                    format!("{:.5}", o.accuracy),
                    o.flipped.map_or(String::new(), |f| format!("{f:.5}")),
                    format!("{:.3}", o.selection_seconds),
                    format!("{:.3}", o.training_seconds),
                ]
            })
        }),
    )?;
    write_csv(
        dir.join("detection.csv"),
        &["method", "noise", "seed", "average_precision", "auc", "recall"],
        each().flat_map(|(noise, seed, found)| {
            found.detections.iter().map(move |d| {
                let numbers = [d.average_precision, d.roc_auc, d.recall].map(|x| format!("{x:.5}"));
                [d.way.name().into(), noise.to_string(), seed.to_string()]
                    .into_iter()
                    .chain(numbers)
                    .collect()
            })
        }),
    )?;
    Ok(())
}

/// Ways with a size as lines; those without one as level lines across the panel.
fn panel(noise: f64, rows: &[Row], fractions: &[f64]) -> Panel {
    let series = Way::ALL.iter().filter_map(|&way| {
        let own: Vec<&Row> = rows.iter().filter(|r| r.way == way && r.noise == noise).collect();
        let points: Vec<(f64, f64, f64)> = match own.as_slice() {
            [] => return None,
            [only] if only.fraction == 1.0 => {
                fractions.iter().map(|&f| (f, only.accuracy.0, only.accuracy.1)).collect()
            }
            all => all.iter().map(|r| (r.fraction, r.accuracy.0, r.accuracy.1)).collect(),
        };
        Some(Series { name: way.name().into(), points })
    });
    let title = match noise {
        0.0 => "clean labels".to_string(),
        _ => format!("{:.0} % of the labels flipped", 100.0 * noise),
    };
    Panel { title, series: series.collect() }
}
