//! Ways of choosing against a baseline, seed by seed.

use std::path::Path;

use super::{Axis, table};
use crate::error::Result;
use crate::experiment::metrics::mean_interval;
use crate::experiment::{Certificate, Comparison, Outcome};
use crate::report::{ChartOptions, Panel, Series, Spread, line_chart, write_csv};

/// What was found on one set at one kind of noise.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedLevel {
    /// The set.
    pub set: String,
    /// The kind of noise.
    pub noise: String,
    /// Share of wrong labels.
    pub rate: f64,
    /// One a seed.
    pub seeds: Vec<Comparison>,
}

impl PairedLevel {
    fn outcomes(&self) -> impl Iterator<Item = &Outcome> + Clone {
        self.seeds.iter().flat_map(|seed| &seed.outcomes)
    }

    fn ways(&self) -> Vec<&str> {
        let mut ways = Vec::new();
        for outcome in self.outcomes() {
            if !ways.contains(&outcome.strategy.as_str()) {
                ways.push(outcome.strategy.as_str());
            }
        }
        ways
    }

    /// Accuracy by seed; a way whose size does not vary is the same at every share.
    fn accuracies(&self, way: &str, kept: f64) -> Vec<(u64, f64)> {
        let own = self.outcomes().filter(|o| o.strategy == way);
        let level = own.clone().all(|o| o.fraction == 1.0);
        let at = own.filter(|o| level || o.fraction == kept);
        at.map(|o| (o.seed, 1.0 - o.error)).collect()
    }

    /// Differences to the baseline, of seeds that have both.
    fn differences(&self, way: &str, baseline: &str, kept: f64) -> Vec<f64> {
        let others = self.accuracies(baseline, kept);
        let pair = |(seed, own): (u64, f64)| {
            let other = others.iter().find(|(other, _)| *other == seed)?;
            Some(own - other.1)
        };
        self.accuracies(way, kept).into_iter().filter_map(pair).collect()
    }

    /// Accuracies in %, and below them how many points each way is above the baseline, with 95 % intervals.
    pub fn text(&self, baseline: &str, shares: &[f64]) -> String {
        let headings = shares.iter().map(|share| Axis::Fraction.heading(*share));
        let header: Vec<String> = std::iter::once("way".to_string()).chain(headings).collect();
        let rows = |cell: &dyn Fn(&str, f64) -> String| -> Vec<Vec<String>> {
            let row = |way: &&str| {
                let cells = shares.iter().map(|share| cell(way, *share));
                std::iter::once(way.to_string()).chain(cells).collect()
            };
            self.ways().iter().map(row).collect()
        };
        let accuracy = |way: &str, share: f64| {
            let all: Vec<f64> =
                self.accuracies(way, share).into_iter().map(|pair| pair.1).collect();
            format!("{:.1}", 100.0 * mean_interval(&all).0)
        };
        let difference = |way: &str, share: f64| {
            let (mean, half) = mean_interval(&self.differences(way, baseline, share));
            // One seed has no interval.
            match half.is_finite() {
                true => format!("{:+.1} ± {:.1}", 100.0 * mean, 100.0 * half),
                false => format!("{:+.1}", 100.0 * mean),
            }
        };
        let Self { set, noise, rate, seeds } = self;
        let what = format!("{set}, {noise} noise {:.0} %, {} seeds", 100.0 * rate, seeds.len());
        let accuracies = table(&format!("\ntest accuracy in %: {what}"), &header, &rows(&accuracy));
        let title = format!("points above {baseline}, paired by seed, with 95 % intervals: {what}");
        accuracies + &table(&title, &header, &rows(&difference)) + &self.certified()
    }

    /// How often a gain was certified, and the first certificate.
    fn certified(&self) -> String {
        let all: Vec<&Certificate> = self.certificates().collect();
        let Some(first) = all.first() else { return String::new() };
        let gains = all.iter().filter(|certificate| certificate.best == certificate.kept).count();
        format!("{gains} of {} gains certified, such as: {first}\n", all.len())
    }

    /// Mean accuracy of the ways in `drawn`, or of all where none is named, at each share, with half a 95 % interval; zero
    /// of one seed.
    pub fn panel(&self, shares: &[f64], drawn: &[&str]) -> Panel {
        let series = |way: &&str| {
            let point = |share: &f64| {
                let all: Vec<f64> =
                    self.accuracies(way, *share).into_iter().map(|pair| pair.1).collect();
                let (mean, half) = mean_interval(&all);
                // One seed says nothing of the spread.
                (*share, mean, if half.is_finite() { half } else { 0.0 })
            };
            Series { name: way.to_string(), points: shares.iter().map(point).collect() }
        };
        let title = match self.rate {
            0.0 => "labels as they are".to_string(),
            rate => format!("{:.0} % wrong labels, {}", 100.0 * rate, self.noise),
        };
        let ways = self.ways();
        let ways = ways.iter().filter(|way| drawn.is_empty() || drawn.contains(way));
        Panel { title, series: ways.map(series).collect() }
    }

    /// All certificates.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.seeds.iter().flat_map(|seed| &seed.certificates)
    }
}

/// `summary.csv`, a row a training: set, kind and rate of noise, share kept, way, seed, accuracy and seconds; and for
/// every set a picture of its name with a panel a kind of noise, of the ways in `drawn` or of all where none is named.
/// `certificates.csv`, a row a certificate: the best way and
/// its gain, the lower end of that, and the way that was kept.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a file cannot be written.
pub fn report_paired(
    folder: &Path,
    levels: &[PairedLevel],
    shares: &[f64],
    drawn: &[&str],
) -> Result<()> {
    let header = ["set", "noise", "rate", "kept", "way", "seed", "accuracy", "seconds"];
    let rows = levels.iter().flat_map(|level| {
        level.outcomes().map(|o| {
            let (accuracy, seconds) = (1.0 - o.error, o.seconds.sum());
            vec![
                level.set.clone(),
                level.noise.clone(),
                level.rate.to_string(),
                o.fraction.to_string(),
                o.strategy.clone(),
                o.seed.to_string(),
                format!("{accuracy:.5}"),
                format!("{seconds:.3}"),
            ]
        })
    });
    write_csv(folder.join("summary.csv"), &header, rows)?;
    let mut sets: Vec<&str> = levels.iter().map(|level| level.set.as_str()).collect();
    sets.dedup();
    for set in sets {
        let own = levels.iter().filter(|level| level.set == set);
        let panels: Vec<Panel> = own.map(|level| level.panel(shares, drawn)).collect();
        let options = ChartOptions {
            title: format!("{set}: test accuracy of networks trained on what was kept"),
            x_label: "share of the training data kept".into(),
            y_label: "test accuracy".into(),
            x_percent: true,
            x_log: true,
            y_percent: true,
            spread: Spread::Band,
            ..Default::default()
        };
        line_chart(folder.join(format!("{set}.svg")), &options, &panels)?;
    }
    write_certificates(folder, levels)
}

fn write_certificates(folder: &Path, levels: &[PairedLevel]) -> Result<()> {
    let header =
        ["set", "noise", "rate", "kept", "seed", "best", "gain", "lower", "confidence", "way"];
    let row = |level: &PairedLevel, certificate: &Certificate| {
        let Certificate { fraction, seed, best, gain, lower, confidence, kept, .. } = certificate;
        let numbers = [gain, lower].map(|number| format!("{number:.5}"));
        let first = [level.set.clone(), level.noise.clone(), level.rate.to_string()];
        let second = [fraction.to_string(), seed.to_string(), best.clone()];
        let last = [confidence.to_string(), kept.clone()];
        first.into_iter().chain(second).chain(numbers).chain(last).collect()
    };
    let rows = levels.iter().flat_map(|level| level.certificates().map(move |c| row(level, c)));
    write_csv(folder.join("certificates.csv"), &header, rows)
}
