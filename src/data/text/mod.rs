//! Labelled texts from CSV files, and how texts become numbers.

pub mod encode;
#[cfg(feature = "text")]
mod file;
pub mod tfidf;

#[cfg(feature = "text")]
pub use file::*;
