//! Lines with intervals, such as accuracy by the share kept.

use serde_json::{Value, json};

use super::frame::Page;
use super::table::{digits, paragraph, plain};
use crate::error::Result;
use crate::report::page::check_finite;
use crate::report::{Panel, Series};

/// Lines over one axis, in panels beside each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// The heading of the section.
    pub title: String,
    /// What the intervals are, and anything else to say; may be empty.
    pub about: String,
    /// Below the axis: what is varied, as a share; the axis is logarithmic.
    pub x_label: String,
    /// What is measured, a share between 0 and 1.
    pub y_label: String,
    /// The lines. A spread of zero is no interval.
    pub panels: Vec<Panel>,
    /// Names of the series that are switched on at first; empty: all.
    pub shown: Vec<String>,
}

impl Curves {
    pub(super) fn show(&self, page: &mut Page) -> Result<()> {
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            for (row, (x, mean, spread)) in series.points.iter().enumerate() {
                check_finite("points of a curve", row, &[*x, *mean, *spread])?;
            }
        }
        let some = self.panels.iter().flat_map(|panel| &panel.series).any(|s| !s.points.is_empty());
        if some {
            let mut html = paragraph(&self.about);
            html += &format!("<div class=\"curves\" id=\"{}\"></div>", page.id());
            let open = "<details class=\"numbers\"><summary>The numbers as a table</summary>";
            let tables: String = self.panels.iter().map(|panel| self.table(panel)).collect();
            html += &format!("{open}{tables}</details>");
            page.section(&self.title, &html, Some(self.live()));
        }
        Ok(())
    }

    fn table(&self, panel: &Panel) -> String {
        let mut xs: Vec<f64> =
            panel.series.iter().flat_map(|s| s.points.iter().map(|point| point.0)).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let headings: Vec<String> = xs.iter().map(|x| percent(*x)).collect();
        let mut header = vec![(self.x_label.as_str(), false)];
        header.extend(headings.iter().map(|heading| (heading.as_str(), true)));
        let row = |series: &Series| {
            let cell = |x: &f64| match series.points.iter().find(|point| point.0 == *x) {
                None => "–".into(),
                Some((_, mean, spread)) if *spread > 0.0 => {
                    format!("{:.1} ± {:.1} %", 100.0 * mean, 100.0 * spread)
                }
                Some((_, mean, _)) => format!("{:.1} %", 100.0 * mean),
            };
            std::iter::once(series.name.clone()).chain(xs.iter().map(cell)).collect()
        };
        let title = if panel.title.is_empty() { &self.title } else { &panel.title };
        paragraph(&panel.title) + &plain(title, &header, panel.series.iter().map(row))
    }

    fn live(&self) -> Value {
        let series = |series: &Series| {
            let mut points = series.points.clone();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let points = points.iter().map(|p| [p.0, p.1, p.2].map(|x| digits(x, 6)));
            let on = self.shown.is_empty() || self.shown.contains(&series.name);
            json!({"name": series.name, "points": points.collect::<Vec<_>>(), "on": on})
        };
        let panel = |panel: &Panel| {
            let series: Vec<Value> = panel.series.iter().map(series).collect();
            json!({"title": panel.title, "series": series})
        };
        let panels: Vec<Value> = self.panels.iter().map(panel).collect();
        json!({"kind": "curves", "name": self.title, "x": self.x_label, "y": self.y_label, "panels": panels})
    }
}

/// 0.05 as 5 %, without digits that say nothing.
fn percent(share: f64) -> String {
    format!("{} %", digits(100.0 * share, 4))
}
