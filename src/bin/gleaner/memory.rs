//! How much memory a command takes, said before it takes it.

use std::str::FromStr;

use gleaner::data::table::Extent;
use gleaner::{Error, Result};

/// A number of bytes as people write it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bytes(pub f64);

const UNITS: [(&str, f64); 4] = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("expected a size as 500MB or 2GB, found {text:?}");
        let text = text.trim();
        let ends = |unit: &&str| text.to_ascii_lowercase().ends_with(&unit.to_ascii_lowercase());
        let (unit, scale) = UNITS.into_iter().find(|(unit, _)| ends(unit)).ok_or_else(wrong)?;
        let number: f64 = text[..text.len() - unit.len()].trim().parse().map_err(|_| wrong())?;
        let is_size = number > 0.0 && number.is_finite();
        is_size.then_some(Self(number * scale)).ok_or_else(wrong)
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, scale) =
            UNITS.into_iter().find(|(_, scale)| self.0 >= *scale).unwrap_or(("B", 1.0));
        write!(f, "{:.1} {unit}", self.0 / scale)
    }
}

/// What work needs beside what any work needs: bytes, a little more than were measured (docs/size.md).
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    pub fixed: f64,
    pub per_row: f64,
    /// Copies of the features, of four bytes each.
    pub copies: f64,
}

/// The program itself, its threads and buffers.
const PROGRAM: f64 = 28e6;

impl Demand {
    /// Reading, and what looks at each row once.
    pub const READING: Self = Self { fixed: 0.0, per_row: 100.0, copies: 2.5 };
    /// Nearest neighbours and what rows stand for.
    pub const COVERAGE: Self = Self { fixed: 5e6, per_row: 2_200.0, copies: 4.5 };
    /// Judges out of fold as well.
    pub const EVIDENCE: Self = Self { fixed: 60e6, per_row: 2_400.0, copies: 3.5 };
    /// And networks that are tried on folds of all.
    pub const TRIALS: Self = Self { fixed: 60e6, per_row: 2_500.0, copies: 18.0 };
    /// Or on some thousands.
    pub const SAMPLE: Self = Self { fixed: 200e6, ..Self::READING };

    /// An audit of tables that stay on disk: for a while all features are in memory twice, and neighbours.
    pub const AUDIT_ON_DISK: Self = Self { fixed: 60e6, per_row: 300.0, copies: 2.0 };

    /// Tables that stay on disk: a few numbers a row, a sample, what is read together, and a cell of neighbours a thread.
    pub fn on_disk(extents: &[Extent]) -> Self {
        /// Copies of what is handed on.
        const COPIES: f64 = 3.0;
        let bytes = |rows: f64, features: usize| 4.0 * rows * features as f64;
        let of = |extent: &Extent| bytes(extent.rows as f64, extent.features);
        let all: f64 = extents.iter().map(of).sum();
        let width = extents.iter().map(|extent| extent.features).max().unwrap_or(0);
        let together = extents.iter().map(|e| bytes(e.at_once as f64, e.features));
        let cell = bytes(8_192.0, width).max(16e6).min(all);
        let sample = (all / 64.0).min(64e6);
        let threads = rayon::current_num_threads() as f64;
        let fixed = 5e6 + COPIES * (cell * threads + sample) + 2.0 * together.fold(0.0, f64::max);
        Self { fixed, per_row: 60.0, copies: 0.0 }
    }

    /// With probabilities of so many classes, for which one copy of the features makes room.
    pub fn with_classes(self, classes: usize) -> Self {
        Self { per_row: self.per_row + 30.0 * classes as f64, copies: self.copies - 1.0, ..self }
    }

    pub fn of(self, rows: usize, features: usize) -> Bytes {
        let (rows, features) = (rows as f64, features as f64);
        Bytes(PROGRAM + self.fixed + rows * (self.per_row + 4.0 * self.copies * features))
    }

    /// # Errors
    /// [`Error::Shape`] where that is more than the limit.
    pub fn check(self, limit: Bytes, extents: &[Extent]) -> Result<()> {
        let rows = extents.iter().map(|extent| extent.rows).sum();
        let features = extents.iter().map(|extent| extent.features).max().unwrap_or(0);
        let about = if extents.iter().all(|extent| extent.exact) { "" } else { "about " };
        self.check_rows(limit, (about, rows), features)
    }

    /// # Errors
    /// [`Error::Shape`] where so many rows, or about so many, take more than the limit.
    pub fn check_rows(
        self,
        limit: Bytes,
        (about, rows): (&str, usize),
        features: usize,
    ) -> Result<()> {
        let needed = self.of(rows, features);
        if needed.0 <= limit.0 {
            return Ok(());
        }
        Err(Error::Shape {
            what: "--memory-limit",
            expected: format!("{needed} for {about}{rows} rows of {features} features"),
            found: limit.to_string(),
        })
    }
}
