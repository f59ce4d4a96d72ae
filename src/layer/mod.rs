//! Tensors around the programs: the layers, the costs of a selection, and the way between candle and nalgebra.

pub mod bridge;
mod conic;
pub(crate) mod distance;
mod parameters;
mod selection;

pub use crate::conic::model::Derivative;
pub use conic::{ConicBatchOutput, ConicLayer, ConicLayerOptions, ConicOutput};
pub use distance::Distance;
pub use selection::{
    BatchOutput, LayerInputs, LayerOptions, LayerOutput, Scale, SelectionLayer, Smoothing, Status,
};
