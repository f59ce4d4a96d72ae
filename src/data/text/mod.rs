//! Labelled texts from CSV files, and how texts become numbers.

pub mod encode;
#[cfg(feature = "text")]
mod file;
mod svd;
pub mod tfidf;

#[cfg(feature = "text")]
pub use file::*;
