//! What is learned from what, by whom, and what comes out.

use std::fmt::{Display, Formatter};

use crate::data::Source;
use crate::error::Result;
use crate::experiment::run::Configuration;
use crate::learn::{Learner, TrainingOptions};

/// What is learned from what.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// What is chosen from.
    pub pool: &'a dyn Source,
    /// What a choice may be tuned on: split from the training data, never test data. GLISTER and the
    /// learned selection need it; active learning does not use it.
    pub validation: Option<&'a dyn Source>,
    /// Looked at once by every target.
    pub test: &'a dyn Source,
    /// Which labels of the pool are known to be wrong, one a point: for reporting only. Empty where nothing
    /// is known.
    pub flipped: &'a [bool],
}

/// A kind of learner and how it is trained.
pub struct Model<'a> {
    /// Its name in tables and stages, such as `preact8`.
    pub name: String,
    /// A fresh one, its weights decided by the seed.
    pub build: &'a (dyn Fn(u64) -> Result<Box<dyn Learner>> + Sync),
    /// How it is trained.
    pub training: TrainingOptions,
}

impl Model<'_> {
    /// Adds its name and every setting of its training to a configuration, in the name of its role.
    pub fn note(&self, role: &str, configuration: &mut Configuration) {
        configuration.insert(role.into(), self.name.clone());
        for (name, value) in self.training.settings() {
            configuration.insert(format!("{role} {name}"), value);
        }
    }
}

/// Seconds by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// Training whatever chooses.
    pub training: f64,
    /// Observing the pool with it and ranking the points.
    pub selection: f64,
    /// Training the target.
    pub target: f64,
}

impl Seconds {
    /// All stages together.
    pub fn sum(&self) -> f64 {
        self.training + self.selection + self.target
    }
}

/// Who looks at the pool for a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chooser {
    /// Nobody: a baseline.
    Nobody,
    /// Nobody that was trained: the inputs themselves.
    Inputs,
    /// The proxy.
    Proxy,
    /// The target itself.
    Target,
}

/// As in the names of stages.
impl Display for Chooser {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Nobody => "none",
            Self::Inputs => "inputs",
            Self::Proxy => "proxy",
            Self::Target => "full",
        })
    }
}

/// One target trained on one choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How its data was chosen.
    pub strategy: String,
    /// Whose evidence that used.
    pub chooser: Chooser,
    /// The share of the pool kept; one where the size is not what is varied.
    pub fraction: f64,
    /// Number of points trained on.
    pub points: usize,
    /// The seed it follows from.
    pub seed: u64,
    /// Test error after the last epoch.
    pub error: f64,
    /// Share of labels known to be wrong among the points; `None` where none are known or no fixed part of
    /// the pool was trained on.
    pub flipped: Option<f64>,
    /// Time by stage. Training and observing the chooser is paid once and counted in every row: each
    /// row is what that choice would cost by itself.
    pub seconds: Seconds,
}

impl Outcome {
    /// Its line in tables: the strategy, and who chose where that was the target.
    pub fn label(&self) -> String {
        match self.chooser {
            Chooser::Target => format!("{}, target chooses", self.strategy),
            Chooser::Proxy | Chooser::Inputs | Chooser::Nobody => self.strategy.clone(),
        }
    }
}
