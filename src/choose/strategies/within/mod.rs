//! Strategies made of others: within classes, groups, budgets, strata.

pub(crate) mod affordable;
pub(crate) mod class_balanced;
pub(crate) mod coverage_centric;
pub(crate) mod d2;
pub(crate) mod grouped;
pub(crate) mod mixed;
pub(crate) mod moderate;
pub(crate) mod purchase;
pub(crate) mod weighted;
pub(crate) mod window;
