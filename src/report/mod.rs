//! Results on paper: CSV tables, plain-text tables, SVG charts and pages.
//!
//! | what | for example |
//! | --- | --- |
//! | [`write_csv`], [`text_table`] | results of all seeds; their summary |
//! | [`line_chart`] | accuracy against the share kept, with its spread over seeds |
//! | [`bar_chart`] | time by stage: proxy, selection, target |
//! | [`scatter_chart`] | a proxy's ranking of thousands of points against the target's |
//! | [`html`] | a run as one page: certificate, curves, map of the rows, label issues |
//!
//! Needs the feature `report`. Files appear whole or not at all, missing parent folders are made, and
//! equal input gives equal bytes. One call at a time may write a file.
//!
//! Things of one kind are told apart by the colours of Okabe and Ito, which colour-blind readers can
//! tell apart, without the yellow, which is too pale on white.
//!
//! # Reference
//! M. Okabe and K. Ito, "Color Universal Design", 2008: the palette.

use std::fs::{self, File};
use std::path::Path;

use crate::error::{Error, Result};
use crate::whole_file::write_whole;

mod axes;
mod bar;
pub mod html;
mod line;
mod look;
mod page;
mod scatter;
mod table;

pub use bar::{Bar, BarOptions, BarPanel, bar_chart};
pub use line::{ChartOptions, Panel, Series, Spread, line_chart};
pub use scatter::{ScatterOptions, ScatterPanel, scatter_chart};
pub use table::{text_table, write_csv};

/// Runs `fill` on a new file and moves it to `path`, whose folder is made if it is missing: for formats of one's own.
///
/// # Errors
/// What `fill` returns, [`Error::Io`] if the system refuses. An older file at `path` is then untouched.
pub fn write_report(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| Error::io(path, source))?;
    }
    write_whole(path, fill)
}
