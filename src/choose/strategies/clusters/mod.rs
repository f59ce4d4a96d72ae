//! Points by where they lie in a cluster.

pub(crate) mod k_means;
pub(crate) mod prototypes;
pub(crate) mod sem_de_dup;
