//! Gradients of the last layer, and what is chosen by them.

pub(crate) mod badge;
pub(crate) mod craig;
pub(crate) mod glister;
pub(crate) mod grad_match;
pub(crate) mod last_layer;
