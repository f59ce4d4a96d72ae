//! Selection via proxy: a cheap learner chooses the data for an expensive one.
//!
//! ```text
//! pool --train--> proxy --observe--> evidence --strategy--> subset --train--> target --test once--> error
//! ```
//!
//! One engine does it all: candidates at every share, every choice kept, a fresh target trained on each and
//! tested once, time accounted for by stage. [`compare`] sets ways of choosing side by side; [`core_set`]
//! knows all labels, chooses once, and sets the target's own choices beside the proxy's;
//! [`certified`] makes one choice, the best way by cross-validation, or a random one where nothing is surely better;
//! [`active_learning`] pays for every label and chooses in rounds. All can be killed at any moment: every
//! epoch, selection and answer is kept in a [`Run`], and the same call started again ends with the same
//! bits. [`side_by_side`] runs seeds in parallel; `tables` puts outcomes on paper.
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
mod certified;
mod compare;
mod core_set;
mod engine;
mod exam;
mod features;
mod jobs;
mod kept;
pub mod metrics;
mod observations;
mod portfolio;
mod reproducibility;
mod run;
mod stages;
mod synthetic;
#[cfg(feature = "report")]
pub mod tables;
mod task;

pub use active_learning::{
    ActiveLearning, KNOWN_WITHOUT_LABELS, KnownLabels, Oracle, Rounds, active_learning,
};
pub use certified::certified;
pub use compare::{
    Comparison, ComparisonOptions, Data, Detection, Level, Selector, compare, compare_levels,
};
pub use core_set::{CoreSet, CoreSetOptions, RankAgreement, core_set};
pub use engine::Joint;
pub use features::{FeatureStudy, LabelNoise};
pub use jobs::{one_thread_a_job, side_by_side};
pub use kept::{audited, gleaned};
pub use observations::Observations;
pub use portfolio::{Certificate, PortfolioOptions, Scheme, Tried};
pub use reproducibility::{Change, Repeat};
pub use run::{Configuration, Run};
pub use stages::{Progress, Stages};
pub use synthetic::SyntheticStudy;
pub use task::{Chooser, Model, Outcome, Seconds, Task};
