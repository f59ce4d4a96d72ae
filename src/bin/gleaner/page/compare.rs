//! The page of a comparison, and of the demo.

use gleaner::report::html::{Column, Curves, Report, Table, Verdict, grouped};
use gleaner::report::{Panel, Series};
use serde_json::{Value, json};

use super::{Left, figure};

/// What a report holds of the lines of panels.
pub fn accuracies(panels: &[Panel]) -> Value {
    let point = |&(share, accuracy, spread): &(f64, f64, f64)| json!({"share": share, "accuracy": accuracy, "spread": spread});
    let series = |series: &Series| {
        let points: Vec<Value> = series.points.iter().map(point).collect();
        json!({"way": series.name, "points": points})
    };
    let panel = |panel: &Panel| {
        let ways: Vec<Value> = panel.series.iter().map(series).collect();
        json!({"labels": panel.title, "ways": ways})
    };
    panels.iter().map(panel).collect()
}

/// And back.
fn panels(left: &Left) -> Vec<Panel> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value, name: &str| value[name].as_f64();
    // A number that is none is null, and no point.
    let point =
        |p: &Value| Some((number(p, "share")?, number(p, "accuracy")?, number(p, "spread")?));
    let series = |way: &Value| {
        let points = list(way, "points").iter().filter_map(point).collect();
        Series { name: text(way, "way"), points }
    };
    let panel = |panel: &Value| {
        let series = list(panel, "ways").iter().map(series).collect();
        Panel { title: text(panel, "labels"), series }
    };
    left.list("/accuracies").iter().map(panel).collect()
}

pub fn page(left: &Left) -> Report {
    let names = left.list("/drawn").iter().filter_map(|name| Some(name.as_str()?.to_owned()));
    let panels = panels(left);
    let ways = panels.first().map_or(0, |panel| panel.series.len());
    let (rows, seeds) = (left.number("/rows"), left.number("/seeds"));
    let mut figures =
        vec![figure(grouped(ways), "ways compared"), figure(grouped(seeds as usize), "seeds")];
    if rows.is_finite() {
        let test = left.number("/test_rows") as usize;
        figures.extend([
            figure(grouped(rows as usize), "rows to choose from"),
            figure(grouped(test), "test rows"),
        ]);
    }
    let set = left.text("/set");
    Report {
        title: match set.as_str() {
            "" => "Which rows are worth keeping?".into(),
            set => format!("Which rows of {set} are worth keeping?"),
        },
        kind: left.kind(),
        lead: "Every way of choosing keeps a share of the training rows; fresh networks learn from that share alone and are \
               tested once on rows that nothing has seen."
            .into(),
        figures,
        verdict: verdict(left.list("/certificates")),
        curves: vec![Curves {
            title: "Test accuracy by share kept".into(),
            about: left.text("/interval"),
            x_label: "share of the training rows kept".into(),
            y_label: "test accuracy".into(),
            shown: names.collect(),
            panels,
        }],
        tables: certificates(left.list("/certificates")),
        ..Default::default()
    }
}

fn verdict(all: &[Value]) -> Option<Verdict> {
    let first = all.first()?["text"].as_str()?;
    let gains = all.iter().filter(|certificate| certificate["way"] == certificate["best"]).count();
    let of = all.len();
    Some(Verdict {
        holds: gains > 0,
        text: match gains {
            0 => format!("None of {of} gains over random rows is sure. Such as: {first}"),
            _ => format!("{gains} of {of} gains over random rows are sure. Such as: {first}"),
        },
        about: "For every seed and share the best way but random was compared with random on points that chose nothing; where \
                the lower end of the difference is not above zero, random rows are kept."
            .into(),
        tried: Vec::new(),
    })
}

fn certificates(all: &[Value]) -> Vec<Table> {
    if all.is_empty() {
        return Vec::new();
    }
    let text = |name: &str| {
        all.iter().map(|c| c[name].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let number = |name: &str| all.iter().map(|c| c[name].as_f64().unwrap_or(f64::NAN)).collect();
    let columns = vec![
        Column::share("share kept", number("share")),
        Column::number("seed", number("seed")),
        Column::text("best way", text("best")),
        Column::share("gain over random", number("gain")),
        Column::share("lower end", number("lower")),
        Column::text("kept", text("way")),
    ];
    let about = "A row a certificate; gains are points of accuracy.".into();
    vec![Table { title: "All certificates".into(), about, columns, filter: None, total: 0 }]
}
