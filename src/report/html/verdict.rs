//! What was certified, and on what grounds.

use super::frame::Page;
use super::table::{Cells, Column, plain};
use super::text::escaped;
use crate::error::{Error, Result};

/// A certificate in words, and what was tried for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Whether a gain is certified.
    pub holds: bool,
    /// What the certificate says.
    pub text: String,
    /// How it came about; may be empty.
    pub about: String,
    /// What was tried, a row each; may be empty.
    pub tried: Vec<Column>,
}

impl Verdict {
    pub(super) fn show(&self, page: &mut Page) -> Result<()> {
        let (class, word) = match self.holds {
            true => ("holds", "Certified"),
            false => ("open", "Not certified"),
        };
        let mut html = format!(
            "<div class=\"verdict {class}\"><p><strong>{word}</strong> {}</p></div>",
            escaped(&self.text)
        );
        html += &super::table::paragraph(&self.about);
        let rows = self.tried.first().map_or(0, |column| column.cells.len());
        if let Some(other) = self.tried.iter().find(|column| column.cells.len() != rows) {
            return Err(Error::shape("column of a certificate", rows, other.cells.len()));
        }
        if rows > 0 {
            let numeric = |column: &Column| !matches!(column.cells, Cells::Text(_));
            let header: Vec<(&str, bool)> =
                self.tried.iter().map(|column| (column.name.as_str(), numeric(column))).collect();
            let row = |r: usize| self.tried.iter().map(|column| column.cells.shown(r)).collect();
            html += &plain("What was tried", &header, (0..rows).map(row));
        }
        page.section("Certificate", &html, None);
        Ok(())
    }
}
