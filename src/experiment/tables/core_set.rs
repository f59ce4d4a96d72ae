//! Core-sets: what the proxy chose, beside what the target would have chosen itself.

use std::path::Path;

use super::{
    Axis, error_chart, error_panel, error_table, lines, seconds, seeds, table, write_summary,
};
use crate::error::Result;
use crate::experiment::metrics::{mean_and_std, ranks};
use crate::experiment::{Chooser, CoreSet, Outcome};
use crate::report::{ScatterOptions, ScatterPanel, scatter_chart};

/// All seeds: `summary.csv`, `error.svg`, `time.svg` and, if the target chose as well, `ranks.svg`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a file cannot be written.
pub fn report_core_sets(
    folder: &Path,
    target: &str,
    data: &str,
    fractions: &[f64],
    found: &[CoreSet],
) -> Result<String> {
    let outcomes: Vec<Outcome> = found.iter().flat_map(|seed| seed.outcomes.clone()).collect();
    let all = lines(&outcomes, Axis::Fraction);
    let mut text = error_table(target, &all, fractions, Axis::Fraction);
    text += &seconds(folder, target, &all)?;
    if seeds(&all) > 0 && found.iter().any(|seed| !seed.agreements.is_empty()) {
        text += &agreement_table(found);
        text += &claim(&outcomes, found);
        rank_scatter(folder, found)?;
    }
    write_summary(folder, &outcomes, Axis::Fraction)?;
    pictures(folder, format!("{target} on core-sets of {data}"), fractions, &outcomes)?;
    Ok(text)
}

fn agreement_table(found: &[CoreSet]) -> String {
    let names = found.first().map_or(&[][..], |first| &first.agreements);
    let rows = names.iter().enumerate().map(|(k, first)| {
        let all: Option<Vec<f64>> = found.iter().map(|f| f.agreements[k].correlation).collect();
        let cell = all.map_or("-".into(), |all| {
            let (mean, std) = mean_and_std(&all);
            format!("{mean:.3} ± {std:.3}")
        });
        vec![first.strategy.clone(), cell]
    });
    let title = "Spearman's correlation of the proxy's and the target's ranking";
    table(title, &["strategy", "correlation"].map(String::from), &rows.collect::<Vec<_>>())
}

/// What the proxy saves, and what it costs.
fn claim(outcomes: &[Outcome], found: &[CoreSet]) -> String {
    let of = |chooser: Chooser| outcomes.iter().filter(move |o| o.chooser == chooser);
    let choice = |o: &Outcome| o.seconds.training + o.seconds.selection;
    let mut rows = Vec::new();
    for agreement in found.first().map_or(&[][..], |first| &first.agreements) {
        let own = of(Chooser::Proxy).filter(|o| o.strategy == agreement.strategy);
        let pairs: Vec<(&Outcome, &Outcome)> = own
            .filter_map(|o| {
                let key = |o: &Outcome| (o.strategy.clone(), o.fraction.to_bits(), o.seed);
                Some((o, of(Chooser::Target).find(|other| key(other) == key(o))?))
            })
            .collect();
        let ratios: Vec<f64> = pairs.iter().map(|(a, b)| choice(b) / choice(a)).collect();
        let errors: Vec<f64> = pairs.iter().map(|(a, b)| 100.0 * (a.error - b.error)).collect();
        let (ratio, error) = (mean_and_std(&ratios), mean_and_std(&errors));
        rows.push(vec![
            agreement.strategy.clone(),
            format!("{:.1} ± {:.1}", ratio.0, ratio.1),
            format!("{:+.1} ± {:.1}", error.0, error.1),
        ]);
    }
    let header = ["strategy", "times faster to choose", "difference of the error, points"];
    let title = "the proxy's choice against the target's own, over fractions and seeds";
    table(title, &header.map(String::from), &rows)
}

/// The first seed's ranks, a dot a point: 0 % is what the model would keep first.
fn rank_scatter(folder: &Path, found: &[CoreSet]) -> Result<()> {
    let share = |values: &[f64]| -> Result<Vec<f64>> {
        let (ranks, points) = (ranks(values)?, values.len() as f64);
        Ok(ranks.iter().map(|rank| 1.0 - rank / points).collect())
    };
    let mut panels = Vec::new();
    for agreement in found.first().map_or(&[][..], |first| &first.agreements) {
        let points = share(&agreement.proxy)?.into_iter().zip(share(&agreement.target)?).collect();
        let note =
            agreement.correlation.map_or("no ranks".into(), |rho| format!("Spearman {rho:.2}"));
        panels.push(ScatterPanel { title: agreement.strategy.clone(), note, points });
    }
    let options = ScatterOptions {
        title: "what the proxy and the target would keep first".into(),
        x_label: "rank by the proxy".into(),
        y_label: "rank by the target".into(),
        x_percent: true,
        y_percent: true,
        identity: true,
        ..Default::default()
    };
    scatter_chart(folder.join("ranks.svg"), &options, &panels)
}

/// The proxy's choices and the target's own, each beside the baselines.
fn pictures(folder: &Path, title: String, fractions: &[f64], outcomes: &[Outcome]) -> Result<()> {
    let panel = |title: &str, chooser: Chooser| {
        let part: Vec<Outcome> = (outcomes.iter())
            .filter(|o| [chooser, Chooser::Nobody].contains(&o.chooser))
            // Who chooses is the panel's title.
            .map(|o| Outcome { chooser: Chooser::Nobody, ..o.clone() })
            .collect();
        error_panel(title, &lines(&part, Axis::Fraction), fractions)
    };
    let mut panels = vec![panel("the proxy chooses", Chooser::Proxy)];
    if outcomes.iter().any(|o| o.chooser == Chooser::Target) {
        panels.push(panel("the target chooses for itself", Chooser::Target));
    }
    error_chart(&folder.join("error.svg"), title, Axis::Fraction, &panels)
}
