//! Layers that candle lacks, or computes slowly or wrongly on the CPU.

pub(crate) mod batch_norm;
pub(crate) mod convolution;
pub(crate) mod pooling;
