//! The rows in the plane, and what became of each.

use serde_json::{Value, json};

use super::frame::Page;
use super::table::{coded, paragraph};
use super::text::{cut, grouped};
use crate::error::{Error, Result};
use crate::report::page::check_finite;

/// What became of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Nothing was found about it.
    #[default]
    Plain,
    /// It is not chosen.
    Dropped,
    /// It is chosen.
    Kept,
    /// It is nearly another row.
    Duplicate,
    /// It is far from all others.
    Outlier,
    /// Its label is held to be wrong.
    Suspect,
}

impl Mark {
    /// All, in the order in which they are drawn, one over the other.
    pub const ALL: [Self; 6] =
        [Self::Plain, Self::Dropped, Self::Kept, Self::Duplicate, Self::Outlier, Self::Suspect];

    /// In a legend.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "nothing found",
            Self::Dropped => "dropped",
            Self::Kept => "kept",
            Self::Duplicate => "near duplicate",
            Self::Outlier => "outlier",
            Self::Suspect => "suspect label",
        }
    }
}

/// A row on a [`Map`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Where it lies; both axes have one scale.
    pub x: f64,
    /// See `x`.
    pub y: f64,
    /// What became of it.
    pub mark: Mark,
    /// What it is called, such as its number or id.
    pub name: String,
    /// Its class; empty where there are none.
    pub class: String,
    /// One for each of the map's columns.
    pub values: Vec<String>,
}

/// Rows in the plane: similar ones near each other. The page shows a row's name, class and values under the pointer or by the
/// arrow keys, and all of them as a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// What the two axes are.
    pub about: String,
    /// What the values of every point are called.
    pub columns: Vec<String>,
    /// Of more than [`MOST`](Self::MOST) those that [`sample`] names are shown.
    pub points: Vec<Point>,
    /// How many rows of each mark there are of which these are some; empty: these are all.
    pub of: Vec<(Mark, usize)>,
}

/// Letters of a value, a name or a class.
const MOST_LETTERS: usize = 40;

impl Map {
    /// Points that are shown at most.
    pub const MOST: usize = 5_000;

    pub(super) fn show(&self, page: &mut Page) -> Result<()> {
        if self.points.is_empty() {
            return Ok(());
        }
        self.check()?;
        let marks: Vec<Mark> = self.points.iter().map(|point| point.mark).collect();
        let shown = sample(&marks, Self::MOST);
        let shown: Vec<&Point> = shown.into_iter().map(|i| &self.points[i]).collect();
        let mut html = paragraph(&format!("{} {}", self.counted(&shown), self.about));
        let note = "<noscript><p class=\"note\">The map needs JavaScript.</p></noscript>";
        html += &format!("<div class=\"map\" id=\"{}\">{note}</div>", page.id());
        page.section("Map of the data", &html, Some(self.live(&shown)));
        Ok(())
    }

    fn check(&self) -> Result<()> {
        for (row, point) in self.points.iter().enumerate() {
            check_finite("place on the map", row, &[point.x, point.y])?;
            if point.values.len() != self.columns.len() {
                let (what, expected) = ("values of a point", self.columns.len());
                return Err(Error::shape(what, expected, point.values.len()));
            }
        }
        Ok(())
    }

    /// How many of which are shown, in words.
    fn counted(&self, shown: &[&Point]) -> String {
        let here = |mark: Mark| shown.iter().filter(|point| point.mark == mark).count();
        let given = |mark: Mark| self.points.iter().filter(|point| point.mark == mark).count();
        let all = |mark: Mark| {
            let of = self.of.iter().filter(|(known, _)| *known == mark).map(|known| known.1);
            of.sum::<usize>().max(given(mark))
        };
        let total: usize = Mark::ALL.into_iter().map(all).sum();
        let of = |part: usize, whole: usize| match part < whole {
            true => format!("{} of {}", grouped(part), grouped(whole)),
            false => grouped(whole),
        };
        let marks = Mark::ALL.into_iter().rev().filter(|mark| all(*mark) > 0);
        let marks = marks.map(|mark| format!("{} {}", mark.name(), of(here(mark), all(mark))));
        let rows = if total == 1 { "row" } else { "rows" };
        let marks = marks.collect::<Vec<_>>().join(", ");
        format!("{} {rows}: {marks}.", of(shown.len(), total))
    }

    fn live(&self, shown: &[&Point]) -> Value {
        let (x, y) = placed(shown);
        let marks: Vec<Mark> =
            Mark::ALL.into_iter().filter(|mark| shown.iter().any(|p| p.mark == *mark)).collect();
        let mark = |point: &&Point| marks.iter().position(|mark| *mark == point.mark);
        let text =
            |of: &dyn Fn(&Point) -> &str| coded(shown.iter().map(|p| cut(of(p), MOST_LETTERS)));
        let values: Vec<Value> = (0..self.columns.len()).map(|k| text(&|p| &p.values[k])).collect();
        json!({
            "kind": "map",
            "x": x,
            "y": y,
            "marks": marks.iter().map(|mark| mark.name()).collect::<Vec<_>>(),
            "mark": shown.iter().map(mark).collect::<Vec<_>>(),
            "name": text(&|p| &p.name),
            "class": text(&|p| &p.class),
            "columns": self.columns,
            "values": values,
        })
    }
}

/// Places in ten-thousandths of the wider extent: short in JSON, and finer than a screen.
fn placed(shown: &[&Point]) -> (Vec<u32>, Vec<u32>) {
    let least = |of: fn(&Point) -> f64| shown.iter().map(|p| of(p)).fold(f64::INFINITY, f64::min);
    let most =
        |of: fn(&Point) -> f64| shown.iter().map(|p| of(p)).fold(f64::NEG_INFINITY, f64::max);
    let (left, low) = (least(|p| p.x), least(|p| p.y));
    // Halves, since the extent of finite numbers need not be finite.
    let half = |most: f64, least: f64| 0.5 * most - 0.5 * least;
    let extent = half(most(|p| p.x), left).max(half(most(|p| p.y), low));
    let place = |x: f64, least: f64| match extent > 0.0 {
        true => (10_000.0 * (half(x, least) / extent)).round() as u32,
        false => 0,
    };
    (
        shown.iter().map(|p| place(p.x, left)).collect(),
        shown.iter().map(|p| place(p.y, low)).collect(),
    )
}

/// Which rows a map shows, `most` or all: every mark has the same room, what one leaves free goes to the others, so that what
/// is rare is shown whole. Rows of a mark are evenly spaced.
///
/// ```
/// use gleaner::report::html::{Mark, sample};
///
/// let marks: Vec<Mark> = (0..50).map(|i| if i == 7 { Mark::Kept } else { Mark::Dropped }).collect();
/// let shown = sample(&marks, 8);
/// assert!(shown.len() == 8 && shown.contains(&7));
/// ```
pub fn sample(marks: &[Mark], most: usize) -> Vec<usize> {
    if marks.len() <= most {
        return (0..marks.len()).collect();
    }
    let rows = |mark: Mark| (0..marks.len()).filter(move |i| marks[*i] == mark).collect::<Vec<_>>();
    let mut kinds: Vec<Vec<usize>> = Mark::ALL.into_iter().map(rows).collect();
    kinds.sort_by_key(Vec::len);
    let (mut room, mut shown) = (most, Vec::new());
    for (k, rows) in kinds.iter().enumerate() {
        let fair = room / (Mark::ALL.len() - k);
        let count = rows.len().min(fair);
        shown.extend((0..count).map(|place| rows[place * rows.len() / count]));
        room -= count;
    }
    shown.sort();
    shown
}
