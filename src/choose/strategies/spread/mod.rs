//! Points spread over the features, or over nothing.

pub(crate) mod convex;
pub(crate) mod herding;
pub(crate) mod k_center;
pub(crate) mod random;
