//! Selection via proxy: a cheap learner chooses the data for an expensive one.
//!
//! ```text
//! pool --train--> proxy --observe--> evidence --strategy--> subset --train--> target --test once--> error
//! ```
//!
//! [`core_set`] knows all labels and chooses once; [`active_learning`] pays for every label and chooses in
//! rounds. Both account for time by stage, put random choices and the target's own choices beside the
//! proxy's, and can be killed at any moment: every epoch, selection and answer is kept in a
//! [`Run`], and the same call started again ends with the same bits.
//!
//! # What is held to
//! - The pool is observed as it is, without augmentation.
//! - Whatever tunes a choice comes from a validation part of the training data. A target sees the test data
//!   once, after its last epoch.
//! - All ways of choosing as many points train the same target, from the same weights, for as many steps.
//!
//! # Reference
//! C. Coleman et al., *Selection via Proxy: Efficient Data Selection for Deep Learning*, ICLR 2020,
//! arXiv 1906.11829.

mod active_learning;
mod compare;
mod core_set;
mod engine;
mod jobs;
pub mod metrics;
mod observations;
mod run;
mod stages;
#[cfg(feature = "report")]
pub mod tables;
mod task;

pub use active_learning::{
    ActiveLearning, KNOWN_WITHOUT_LABELS, KnownLabels, Oracle, Rounds, active_learning,
};
pub use compare::{
    Comparison, ComparisonOptions, Data, Detection, Level, Way, compare, compare_levels,
};
pub use core_set::{CoreSet, CoreSetOptions, RankAgreement, core_set};
pub use engine::Joint;
pub use jobs::{one_thread_a_job, side_by_side};
pub use observations::Observations;
pub use run::{Configuration, Run};
pub use stages::{Progress, Stages};
pub use task::{Chooser, Model, Outcome, Seconds, Task};
