//! Labels that may be wrong.

pub(crate) mod agreement;
pub(crate) mod confident;
pub(crate) mod consensus;
pub(crate) mod threshold_samples;
pub(crate) mod trusted;
