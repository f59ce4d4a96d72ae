//! temp
#![deny(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

pub mod bridge;
pub mod datasets;
pub mod distance;
pub mod error;
pub mod evaluation;
pub mod layer;
pub mod learners;
pub mod memory;
pub mod metrics;
pub mod optimiser;
pub mod program;
#[cfg(feature = "report")]
pub mod report;
pub mod strategies;
pub mod trainer;

pub use distance::Distance;
pub use error::{Error, Result};
pub use layer::{
    BatchOutput, LayerInputs, LayerOptions, LayerOutput, Scale, SelectionLayer, Smoothing, Status,
};
pub use memory::{Eviction, ExemplarMemory};
