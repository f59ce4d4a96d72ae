//! How much to keep, as people write it.

use std::str::FromStr;

use clap::builder::RangedU64ValueParser;
use gleaner::{Error, Result};

/// Numbers from here on.
pub fn at_least(least: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..)
}

/// How much to keep.
#[derive(Clone, Copy, PartialEq)]
pub enum Keep {
    Rows(usize),
    /// In (0, 1].
    Share(f64),
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("expected a share as 10% or a number of rows, found {text:?}");
        let Some(percent) = text.trim().strip_suffix('%') else {
            let rows: usize = text.trim().parse().map_err(|_| wrong())?;
            return if rows > 0 { Ok(Self::Rows(rows)) } else { Err(wrong()) };
        };
        match percent.trim().parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self::Share(percent / 100.0)),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "{rows}"),
            Self::Share(share) => write!(f, "{}%", 100.0 * share),
        }
    }
}

impl Keep {
    /// How many of so many rows; at least one.
    pub fn of(self, rows: usize) -> Result<usize> {
        match self {
            Self::Share(share) => Ok(((share * rows as f64).round() as usize).max(1)),
            Self::Rows(wanted) if wanted <= rows => Ok(wanted),
            Self::Rows(wanted) => Err(Error::Shape {
                what: "--keep",
                expected: format!("at most the {rows} rows there are"),
                found: wanted.to_string(),
            }),
        }
    }

    /// The share, if it is one.
    pub fn share(self) -> Option<f64> {
        match self {
            Self::Rows(_) => None,
            Self::Share(share) => Some(share),
        }
    }

    /// The heading of who is among so many.
    pub fn name(self) -> String {
        format!("in_{self}")
    }
}
