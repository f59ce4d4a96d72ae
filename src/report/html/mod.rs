//! A run as one page that needs nothing else: what was asked, what came out, and the rows themselves.
//!
//! | part of a [`Report`] | shows |
//! | --- | --- |
//! | `figures`, `asked`, `notes` | the result in numbers; the command, files and settings; what to bear in mind |
//! | [`Verdict`] | the certificate, and what was tried for it |
//! | [`Curves`] | accuracy by share kept, with intervals |
//! | [`Map`] | the rows in the plane; who is kept, dropped, suspect |
//! | [`Balance`] | classes or groups before and after |
//! | [`Table`] | rows that can be sorted, searched and filtered: label issues, kept rows |
//! | [`ContactSheet`], [`Passages`] | pictures and texts |
//! | `timings`, `peak_memory` | what it cost |
//!
//! All parts are optional; a part without data is not shown. [`write()`] makes a single file with its style, script and
//! data inside. It asks the network for nothing, and a content security policy lets it ask for nothing and run no other
//! script. Every text from outside is shown as text, whatever it holds. Without JavaScript the numbers are there as plain tables.
//!
//! # Size
//! A page stays below 3 MB for any number of rows, pictures apart: longer lists are cut to the constants named `MOST` and
//! long texts to their beginnings, and the page says so.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, Result};

mod balance;
mod curves;
mod frame;
mod gallery;
mod map;
mod table;
mod text;
mod verdict;

pub use balance::{Balance, Counted};
pub use curves::Curves;
pub use gallery::{ContactSheet, Passage, Passages, Thumbnail};
pub use map::{Map, Mark, Point, sample};
pub use table::{Cells, Column, Table};
pub use text::grouped;
pub use verdict::Verdict;

use frame::Page;
use text::escaped;

/// Everything that a page can say.
///
/// # Example
/// ```
/// use gleaner::report::html::{self, Balance, Counted, Report};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("kept.html");
/// let count = |name: &str, before, after| Counted { name: name.into(), before, after };
/// let report = Report {
///     title: "18 of 180 trees".into(),
///     balance: vec![Balance {
///         title: "Classes".into(),
///         before: "all rows".into(),
///         after: "kept".into(),
///         counts: vec![count("ash", 60, 6), count("<b>elm", 120, 12)],
///     }],
///     ..Default::default()
/// };
/// html::write(&path, &report)?;
/// let page = std::fs::read_to_string(&path).unwrap();
/// assert!(page.contains("&lt;b&gt;elm") && !page.contains("<b>elm"));
/// assert!(page.contains("default-src 'none'")); // nothing can be fetched
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The result in a few words: the heading, and the title of the window.
    pub title: String,
    /// What kind of report this is, above the title; may be empty.
    pub kind: String,
    /// The result in a sentence or two.
    pub lead: String,
    /// A few numbers to remember, each with what it is: value, name.
    pub figures: Vec<(String, String)>,
    /// What was asked: name, value.
    pub asked: Vec<(String, String)>,
    /// What a reader should bear in mind.
    pub notes: Vec<String>,
    /// What was certified.
    pub verdict: Option<Verdict>,
    /// Accuracy by share.
    pub curves: Vec<Curves>,
    /// The rows in the plane.
    pub map: Option<Map>,
    /// Classes, groups.
    pub balance: Vec<Balance>,
    /// Rows that can be sorted and searched.
    pub tables: Vec<Table>,
    /// Pictures.
    pub sheets: Vec<ContactSheet>,
    /// Texts.
    pub passages: Vec<Passages>,
    /// Seconds of each step, in order.
    pub timings: Vec<(String, f64)>,
    /// The most memory that was used, in bytes.
    pub peak_memory: Option<u64>,
    /// A last line, such as the version of the program; may be empty.
    pub footer: String,
}

/// Writes the page of a report.
///
/// # Errors
/// Those of [`page`], and [`Error::Io`] if the system refuses. An older file at `path` is then untouched.
pub fn write(path: impl AsRef<Path>, report: &Report) -> Result<()> {
    let (path, page) = (path.as_ref(), page(report)?);
    super::write_report(path, |file| {
        file.write_all(page.as_bytes()).map_err(|source| Error::io(path, source))
    })
}

/// The page of a report; equal reports give equal bytes.
///
/// # Errors
/// [`Error::Shape`] for columns of different lengths or a picture that is none, or too large;
/// [`Error::NotFinite`] for a place on the map, or a number of a curve, that is NaN or infinite.
/// Numbers in tables may be: they are shown as a dash.
pub fn page(report: &Report) -> Result<String> {
    let mut page = Page::default();
    asked(&mut page, report);
    report.verdict.iter().try_for_each(|verdict| verdict.show(&mut page))?;
    report.curves.iter().try_for_each(|curves| curves.show(&mut page))?;
    report.map.iter().try_for_each(|map| map.show(&mut page))?;
    report.balance.iter().for_each(|balance| balance.show(&mut page));
    report.tables.iter().try_for_each(|table| table.show(&mut page))?;
    report.sheets.iter().try_for_each(|sheet| sheet.show(&mut page))?;
    report.passages.iter().for_each(|passages| passages.show(&mut page));
    cost(&mut page, report);
    Ok(page.finish(report))
}

/// What was asked, and what to bear in mind.
fn asked(page: &mut Page, report: &Report) {
    if report.asked.is_empty() && report.notes.is_empty() {
        return;
    }
    let mut html = definitions(report.asked.iter().map(|(name, value)| (name.as_str(), value)));
    for note in &report.notes {
        // Writing to a String cannot fail; here and below.
        let _ = write!(html, "<p class=\"note\">{}</p>", escaped(note));
    }
    page.section("What was asked", &html, None);
}

fn cost(page: &mut Page, report: &Report) {
    if report.timings.is_empty() && report.peak_memory.is_none() {
        return;
    }
    let seconds = |seconds: &f64| match *seconds {
        few if few < 10.0 => format!("{few:.2} s"),
        many => format!("{} s", grouped(many.round() as usize)),
    };
    let mut rows: Vec<(&str, String)> =
        report.timings.iter().map(|(step, took)| (step.as_str(), seconds(took))).collect();
    if let Some(bytes) = report.peak_memory {
        rows.push(("most memory", format!("{:.0} MB", bytes as f64 / 1e6)));
    }
    page.section("Time and memory", &definitions(rows.iter().map(|(n, v)| (*n, v))), None);
}

fn definitions<'a>(pairs: impl Iterator<Item = (&'a str, &'a String)>) -> String {
    let mut html = String::from("<dl class=\"facts\">");
    for (name, value) in pairs {
        let _ = write!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value));
    }
    html + "</dl>"
}
