//! What a point is worth, and whether its label is right.
//!
//! | method | answers | needs |
//! | --- | --- | --- |
//! | [`ConfidentLearning`] | which labels are wrong, how many, and taken for what | probabilities out of fold, labels |
//! | [`ThresholdSamples`] | which labels a learner learns no better than made-up ones | labels, margins of two trainings |
//! | [`SelfConfidence`] | how likely each label is | the same |
//! | [`Consensus`] | the same, by several kinds of judges | features, labels |
//! | [`NeighbourAgreement`] | how many neighbours share the label | features, labels |
//! | [`KnnShapley`] | what each point adds to a vote of neighbours | features, labels, a validation set |
//! | [`KnnBetaShapley`] | the same, where small or large sets count more | the same |
//! | [`KnnBanzhaf`] | the same, where all sets count alike | the same |
//! | [`LeaveOneOut`] | what a ridge regression loses without each point | the same |
//! | [`Influence`] | the same of a softmax regression, to first order | features, labels, probabilities, a validation set |
//! | [`TracIn`] | how far a step on each point lowers the validation loss | the same, or errors for labels and probabilities |
//! | [`Lava`] | how much each point costs an optimal transport to the validation set | features, labels, a validation set |
//! | [`DataOob`] | how often trees that have not seen a point agree with its label | features, labels |
//! | [`Dvrl`] | how probably a network selects each point that learned what a validation set gains by it | features, labels, a validation set |
//! | [`Audit`] | all of a table that is worth a second look: labels, duplicates, outliers, constant features | features, labels |
//! | [`Trusted`] | what any strategy keeps of the points whose labels hold | the same, and its strategy's |
//!
//! What gives a number a point is a [`Valuation`].

pub(crate) mod audit;
pub(crate) mod banzhaf;
pub(crate) mod beta_shapley;
pub(crate) mod data_oob;
pub(crate) mod dvrl;
pub(crate) mod estimator;
pub(crate) mod influence;
pub(crate) mod judged;
pub(crate) mod label_quality;
pub(crate) mod lava;
pub(crate) mod leave_one_out;
pub(crate) mod parts;
pub(crate) mod semivalue;
pub(crate) mod shapley;
pub(crate) mod trac_in;
pub(crate) mod tree;
pub(crate) mod valuation;

pub use audit::{Audit, AuditOptions, Duplicate, LabelVerdict};
pub use banzhaf::KnnBanzhaf;
pub use beta_shapley::KnnBetaShapley;
pub use data_oob::{CutFeatures, DataOob};
pub use dvrl::Dvrl;
pub use influence::Influence;
pub use label_quality::agreement::{NeighbourAgreement, SelfConfidence};
pub use label_quality::confident::ConfidentLearning;
pub use label_quality::consensus::Consensus;
pub use label_quality::threshold_samples::{BelowThreshold, ThresholdSamples};
pub use label_quality::trusted::{Suspects, Trusted};
pub use lava::{Lava, ValidationMasses};
pub use leave_one_out::LeaveOneOut;
pub use shapley::KnnShapley;
pub use trac_in::TracIn;
pub use valuation::{Valuation, lower_cluster};
