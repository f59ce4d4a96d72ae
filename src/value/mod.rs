//! What a point is worth, and whether its label is right.
//!
//! | method | answers | needs |
//! | --- | --- | --- |
//! | [`ConfidentLearning`] | which labels are wrong, how many, and taken for what | probabilities out of fold, labels |
//! | [`SelfConfidence`] | how likely each label is | the same |
//! | [`NeighbourAgreement`] | how many neighbours share the label | features, labels |
//! | [`KnnShapley`] | what each point adds to a vote of neighbours | features, labels, a validation set |
//! | [`Trusted`] | what any strategy keeps of the points whose labels hold | the same, and its strategy's |
//!
//! What gives a number a point is a [`Valuation`].

pub(crate) mod label_quality;
pub(crate) mod shapley;
pub(crate) mod valuation;

pub use label_quality::agreement::{NeighbourAgreement, SelfConfidence};
pub use label_quality::confident::ConfidentLearning;
pub use label_quality::trusted::Trusted;
pub use shapley::KnnShapley;
pub use valuation::Valuation;
