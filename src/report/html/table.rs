//! Rows that can be sorted, searched and filtered.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::frame::Page;
use super::text::{cut, escaped, grouped};
use crate::error::{Error, Result};

/// Rows in the order that matters, such as the most suspect first.
///
/// The page sorts by any column, looks for a text in all of them, and shows the rows of one value of a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The heading of its section.
    pub title: String,
    /// A sentence on what it shows; may be empty.
    pub about: String,
    /// All of one length.
    pub columns: Vec<Column>,
    /// The column of text to filter by, if any.
    pub filter: Option<usize>,
    /// How many rows there are of which these are the first; fewer than given means those given.
    pub total: usize,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// One a row.
    pub cells: Cells,
}

/// What stands in the cells of a column, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// As it is; beyond 200 letters, its beginning.
    Text(Vec<String>),
    /// To five significant digits. NaN and infinities are shown as a dash and sorted last.
    Number(Vec<f64>),
    /// In per cent, 0.125 as 12.5 %. NaN as above.
    Share(Vec<f64>),
}

/// Letters of a cell.
const MOST_LETTERS: usize = 200;
/// Rows that are shown at once, and all there are without JavaScript.
const AT_ONCE: usize = 25;

impl Column {
    /// A column of text.
    pub fn text(name: &str, cells: Vec<String>) -> Self {
        Self { name: name.into(), cells: Cells::Text(cells) }
    }

    /// A column of numbers.
    pub fn number(name: &str, cells: Vec<f64>) -> Self {
        Self { name: name.into(), cells: Cells::Number(cells) }
    }

    /// A column of shares.
    pub fn share(name: &str, cells: Vec<f64>) -> Self {
        Self { name: name.into(), cells: Cells::Share(cells) }
    }
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(cells) => cells.len(),
            Self::Number(cells) | Self::Share(cells) => cells.len(),
        }
    }

    pub(super) fn shown(&self, row: usize) -> String {
        match self {
            Self::Text(cells) => cut(&cells[row], MOST_LETTERS),
            Self::Number(cells) if cells[row].is_finite() => number(cells[row]),
            Self::Share(cells) if cells[row].is_finite() => format!("{:.1} %", 100.0 * cells[row]),
            _ => "–".into(),
        }
    }

    fn live(&self, rows: usize) -> Value {
        match self {
            Self::Text(cells) => coded(cells[..rows].iter().map(|c| cut(c, MOST_LETTERS))),
            // What is no number becomes null.
            Self::Number(cells) => {
                json!(cells[..rows].iter().map(|x| digits(*x, 5)).collect::<Vec<_>>())
            }
            Self::Share(cells) => {
                json!(cells[..rows].iter().map(|x| digits(*x, 4)).collect::<Vec<_>>())
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "number",
            Self::Share(_) => "share",
        }
    }
}

impl Table {
    /// Rows that a page holds at most.
    pub const MOST: usize = 10_000;

    pub(super) fn show(&self, page: &mut Page) -> Result<()> {
        let rows = self.columns.first().map_or(0, |column| column.cells.len());
        if let Some(other) = self.columns.iter().find(|column| column.cells.len() != rows) {
            return Err(Error::shape("column of a table", rows, other.cells.len()));
        }
        if rows > 0 {
            let html = self.markup(rows, &page.id());
            page.section(&self.title, &html, Some(self.live(rows)));
        }
        Ok(())
    }

    /// What is there without JavaScript, too.
    fn markup(&self, rows: usize, id: &str) -> String {
        let mut html = paragraph(&self.about);
        let (held, all) = (rows.min(Self::MOST), rows.max(self.total));
        if held < all {
            let text = format!("The first {} of {} rows are here.", grouped(held), grouped(all));
            html += &paragraph(&text);
        }
        let _ = write!(html, "<div class=\"table\" id=\"{id}\">");
        let header: Vec<(&str, bool)> = self.columns.iter().map(Column::heading).collect();
        let row = |r: usize| self.columns.iter().map(|column| column.cells.shown(r)).collect();
        html += &plain(&self.title, &header, (0..held.min(AT_ONCE)).map(row));
        if held > AT_ONCE {
            let more = grouped(held - AT_ONCE);
            let _ = write!(
                html,
                "<noscript><p class=\"note\">{more} more rows need JavaScript.</p></noscript>"
            );
        }
        html + "</div>"
    }

    fn live(&self, rows: usize) -> Value {
        let held = rows.min(Self::MOST);
        let column = |column: &Column| {
            let Column { name, cells } = column;
            json!({"name": name, "kind": cells.kind(), "cells": cells.live(held)})
        };
        let columns: Vec<Value> = self.columns.iter().map(column).collect();
        json!({"kind": "table", "name": self.title, "rows": held, "columns": columns, "filter": self.filter, "at_once": AT_ONCE})
    }
}

impl Column {
    fn heading(&self) -> (&str, bool) {
        (&self.name, !matches!(self.cells, Cells::Text(_)))
    }
}

/// A table as it is, in a box of its own that scrolls; of each heading, whether numbers stand below.
pub(super) fn plain(
    name: &str,
    header: &[(&str, bool)],
    rows: impl Iterator<Item = Vec<String>>,
) -> String {
    let class = |numeric: bool| if numeric { " class=\"number\"" } else { "" };
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption class=\"unseen\">{0}</caption><thead><tr>",
        escaped(name)
    );
    for (heading, numeric) in header {
        let _ = write!(html, "<th scope=\"col\"{}>{}</th>", class(*numeric), escaped(heading));
    }
    html += "</tr></thead><tbody>";
    for row in rows {
        html += "<tr>";
        for (cell, (_, numeric)) in row.iter().zip(header) {
            let _ = write!(html, "<td{}>{}</td>", class(*numeric), escaped(cell));
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// Nothing of nothing.
pub(super) fn paragraph(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("<p class=\"about\">{}</p>", escaped(text)),
    }
}

/// Texts, each different one once where that is shorter.
pub(super) fn coded(texts: impl Iterator<Item = String>) -> Value {
    let (mut known, mut words, mut codes) = (HashMap::new(), Vec::new(), Vec::new());
    for text in texts {
        let code = *known.entry(text).or_insert_with_key(|text| {
            words.push(text.clone());
            words.len() - 1
        });
        codes.push(code);
    }
    if words.len() * 2 < codes.len() {
        return json!({"words": words, "codes": codes});
    }
    json!(codes.into_iter().map(|code| words[code].as_str()).collect::<Vec<_>>())
}

/// To so many significant digits, so that it is short in JSON.
pub(super) fn digits(x: f64, many: usize) -> f64 {
    // What `{:e}` writes is a number again, or NaN and the like, which stay what they are.
    format!("{x:.*e}", many - 1).parse().unwrap_or(x)
}

/// As people write it, to five digits.
fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if !(1e-4..1e9).contains(&size) => format!("{x:.3e}"),
        _ => digits(x, 5).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_short_and_say_what_is_no_number() {
        let cells = Cells::Number(vec![1.0 / 3.0, 12.0, f64::NAN, 1e-9, -1234.5678, 0.0]);
        let shown: Vec<String> = (0..6).map(|row| cells.shown(row)).collect();
        assert_eq!(shown, ["0.33333", "12", "–", "1.000e-9", "-1234.6", "0"]);
        assert_eq!(cells.live(3).to_string(), "[0.33333,12.0,null]");
        assert_eq!(Cells::Share(vec![0.125]).shown(0), "12.5 %");
        let often = coded(["a", "b", "a", "a", "a"].into_iter().map(String::from));
        assert_eq!(often, json!({"words": ["a", "b"], "codes": [0, 1, 0, 0, 0]}));
    }
}
