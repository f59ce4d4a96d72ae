//! What chance does to a result.

use std::path::Path;

use crate::error::Result;
use crate::experiment::Repeat;
use crate::experiment::metrics::mean_and_std;
use crate::report::{Bar, BarOptions, BarPanel, bar_chart, text_table, write_csv};

/// All repetitions of [`FeatureStudy::reproducibility`](crate::experiment::FeatureStudy::reproducibility):
/// `reproducibility.csv` and `reproducibility.svg`, the errors with their spread by what was changed.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a file cannot be written.
pub fn report_reproducibility(folder: &Path, title: &str, repeats: &[Repeat]) -> Result<String> {
    let header = ["strategy", "change", "repeat", "error", "common", "same_bits"];
    let line = |repeat: &Repeat| {
        let cells =
            [repeat.repeat.to_string(), repeat.error.to_string(), repeat.common.to_string()];
        let head = [repeat.strategy.clone(), repeat.name()];
        head.into_iter().chain(cells).chain([repeat.same_bits.to_string()]).collect::<Vec<_>>()
    };
    write_csv(folder.join("reproducibility.csv"), &header, repeats.iter().map(line))?;
    let (mut rows, mut panels) = (Vec::new(), Vec::new());
    let same = |a: &Repeat, b: &Repeat| a.strategy == b.strategy;
    for strategy in repeats.chunk_by(same) {
        let mut bars = Vec::new();
        for group in strategy.chunk_by(|a, b| a.change == b.change) {
            let errors: Vec<f64> = group.iter().map(|repeat| 100.0 * repeat.error).collect();
            let (mean, std) = mean_and_std(&errors);
            let (low, high) = errors
                .iter()
                .fold((f64::INFINITY, 0.0_f64), |(low, high), e| (low.min(*e), high.max(*e)));
            let common = group.iter().map(|repeat| repeat.common).sum::<f64>() / group.len() as f64;
            let same_bits = group.iter().filter(|repeat| repeat.same_bits).count();
            rows.push(vec![
                strategy[0].strategy.clone(),
                group[0].name(),
                group.len().to_string(),
                format!("{mean:.2}"),
                format!("{low:.2} .. {high:.2}"),
                format!("{:.0} %", 100.0 * common),
                format!("{same_bits} of {}", group.len()),
            ]);
            let segments = vec![("test error".to_owned(), mean)];
            let std = if std.is_finite() { std } else { 0.0 };
            bars.push(Bar { label: group[0].name(), segments, std });
        }
        let title = strategy[0].strategy.clone();
        panels.push(BarPanel { title, bars, reference: None });
    }
    let options = BarOptions {
        title: title.to_owned(),
        x_label: "test error in %, mean and standard deviation".into(),
        unit: " %".into(),
        ..Default::default()
    };
    bar_chart(folder.join("reproducibility.svg"), &options, &panels)?;
    let header =
        ["strategy", "change", "runs", "error in %", "from .. to", "same points", "same bits"];
    Ok(text_table(&header, &rows))
}
