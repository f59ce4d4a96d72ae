//! Tensors around the selection program: the layer, the costs it takes, and the way between candle and nalgebra.

pub mod bridge;
pub(crate) mod distance;
mod selection;

pub use distance::Distance;
pub use selection::{
    BatchOutput, LayerInputs, LayerOptions, LayerOutput, Scale, SelectionLayer, Smoothing, Status,
};
