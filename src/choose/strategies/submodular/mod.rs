//! Greedy maximisation of functions with diminishing returns.

pub(crate) mod facility_location;
pub(crate) mod graph_cut;
pub(crate) mod greedy;
pub(crate) mod log_determinant;
pub(crate) mod prune4rel;
pub(crate) mod towards_target;
