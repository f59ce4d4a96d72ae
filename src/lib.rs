//! temp
#![deny(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

pub mod datasets;
pub mod error;
pub mod metrics;
pub mod program;
#[cfg(feature = "report")]
pub mod report;

pub use error::{Error, Result};
