//! Points spread over the features, those of a target, or nothing.

pub(crate) mod convex;
pub(crate) mod herding;
pub(crate) mod k_center;
mod priced;
pub(crate) mod random;
pub(crate) mod stream;
pub(crate) mod transported;
