//! Settings of a trainer, and what it reports of a step.

#[cfg(doc)]
use super::Trainer;
use super::look_ahead::LookAhead;
use super::memory::Eviction;
use super::model::ModelOptions;
use crate::layer::distance::Distance;
use crate::layer::{LayerOptions, Status};
use crate::learn::optimiser::OptimiserOptions;
use crate::program::Budget;

/// What pairwise costs are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostFeatures {
    /// The learner's inputs, flattened: keeps rare clusters apart.
    #[default]
    Inputs,
    /// The learner's penultimate features.
    Learner,
}

/// Settings of a [`Trainer`].
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerOptions {
    /// The selection program of a training batch.
    pub layer: LayerOptions,
    /// Pairwise costs.
    pub distance: Distance,
    /// What they are computed from.
    pub cost_features: CostFeatures,
    /// The selection model.
    pub model: ModelOptions,
    /// Exemplars remembered at most.
    pub memory: usize,
    /// Who makes room in a full memory.
    pub eviction: Eviction,
    /// Remembered columns of a batch's program at most.
    pub remembered: usize,
    /// A point is remembered if its weight passes this.
    pub threshold: f64,
    /// Steps with all weights one before selection starts: evidence of an untrained learner is noise.
    pub warm_up: usize,
    /// What the validation set is asked about.
    pub look_ahead: LookAhead,
    /// The learner's optimiser.
    pub learner_optimiser: OptimiserOptions,
    /// The learner's learning rate.
    pub learner_rate: f64,
    /// The selection model's optimiser.
    pub model_optimiser: OptimiserOptions,
    /// The selection model's learning rate.
    pub model_rate: f64,
}

impl Default for TrainerOptions {
    fn default() -> Self {
        Self {
            layer: LayerOptions { budget: Budget::Fraction(0.3), ..Default::default() },
            distance: Distance::SquaredEuclidean,
            cost_features: CostFeatures::Inputs,
            model: ModelOptions::default(),
            memory: 400,
            eviction: Eviction::OldestOut,
            remembered: 48,
            threshold: 0.5,
            warm_up: 1000,
            look_ahead: LookAhead::default(),
            learner_optimiser: OptimiserOptions::default(),
            learner_rate: 1e-3,
            model_optimiser: OptimiserOptions::default(),
            model_rate: 1e-2,
        }
    }
}

/// What happened in one step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepReport {
    /// Number of this step, from zero.
    pub step: usize,
    /// Weighted training loss before the step; zero, and nothing was learned, if memory represents the
    /// batch entirely.
    pub training_loss: f64,
    /// Validation loss after the look-ahead; `None` during the warm-up.
    pub validation_loss: Option<f64>,
    /// Weight of every point of the batch.
    pub weights: Vec<f64>,
    /// Verdict, diagnostics and budget multiplier of the program; `None` during the warm-up.
    pub status: Option<Status>,
    /// Norm of the selection model's gradient.
    pub model_gradient: f64,
    /// Exemplars remembered after the step.
    pub remembered: usize,
    /// Seconds spent in each stage.
    pub seconds: StageSeconds,
}

/// Seconds a stage of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageSeconds {
    /// Evidence and features of the batch.
    pub evidence: f64,
    /// Costs, memory lookup and the program.
    pub selection: f64,
    /// Hypergradient (including the learner's gradient).
    pub hypergradient: f64,
    /// Backward through the program and both updates.
    pub update: f64,
}
