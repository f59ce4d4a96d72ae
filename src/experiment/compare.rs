//! Ways of choosing side by side on one task: the same data, the same fresh learners, the same number of
//! optimiser steps, selection cost included.

use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::data::Dataset;
use crate::error::Result;
use crate::layer::bridge::to_vec;

use crate::choose::{Evidence, KCenter, LargestLoss, Random, SmallestLoss, Strategy};
use crate::experiment::metrics::{average_precision, recall_at, roc_auc};
use crate::joint::{Amount, ChooseOptions, Heads, Trainer, TrainerOptions};
use crate::learn::{Diet, Recipe, judge, train};
use crate::learn::{Learner, features_in_batches, losses_in_batches};

/// Points of one forward pass where nothing is trained.
const CHUNK: usize = 512;

/// A way to decide what the judged learner is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A uniform sample.
    Random,
    /// A new uniform sample every epoch: not a subset, but the baseline in equal steps.
    FreshRandom,
    /// k-center on the inputs.
    KCenterInputs,
    /// k-center on the features of a learner trained on everything.
    KCenterFeatures,
    /// Smallest losses of a learner trained on everything.
    SmallestLoss,
    /// Largest losses of a learner trained on everything.
    LargestLoss,
    /// The selection program with an untrained selection model.
    Untrained,
    /// Joint training; the paper's embedding head alone.
    Embedding,
    /// Joint training; the unary head alone: this crate's default.
    Unary,
    /// Joint training; both heads.
    Both,
    /// The validation set alone: if it wins, the validation set does the work, not the selection.
    ValidationAlone,
    /// Everything.
    FullData,
}

impl Way {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 12] = [
        Self::Unary,
        Self::Both,
        Self::Embedding,
        Self::Untrained,
        Self::KCenterInputs,
        Self::KCenterFeatures,
        Self::SmallestLoss,
        Self::LargestLoss,
        Self::Random,
        Self::FreshRandom,
        Self::ValidationAlone,
        Self::FullData,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::FreshRandom => "fresh-random",
            Self::KCenterInputs => "k-center (inputs)",
            Self::KCenterFeatures => "k-center (features)",
            Self::SmallestLoss => "smallest-loss",
            Self::LargestLoss => "largest-loss",
            Self::Untrained => "gleaner, untrained",
            Self::Embedding => "gleaner, embedding",
            Self::Unary => "gleaner (unary)",
            Self::Both => "gleaner, both heads",
            Self::ValidationAlone => "validation alone",
            Self::FullData => "full data",
        }
    }

    fn heads(self) -> Option<Heads> {
        match self {
            Self::Untrained | Self::Unary => Some(Heads::Unary),
            Self::Embedding => Some(Heads::Embedding),
            Self::Both => Some(Heads::Both),
            _ => None,
        }
    }
}

/// What is being learned from what.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// What is chosen from.
    pub train: &'a Dataset,
    /// What selection may be tuned on; never test data.
    pub validation: &'a Dataset,
    /// Touched once a judged learner.
    pub test: &'a Dataset,
    /// Which training labels are known to be wrong, if any: for reporting only.
    pub flipped: &'a [bool],
}

/// How a comparison runs.
#[derive(Clone, Debug)]
pub struct ComparisonOptions {
    /// Who takes part.
    pub ways: Vec<Way>,
    /// Sizes of the subsets.
    pub fractions: Vec<f64>,
    /// Training of every judged learner, and of the learner whose losses and features baselines use.
    pub training: Recipe,
    /// Joint training.
    pub trainer: TrainerOptions,
    /// Steps of joint training, warm-up included.
    pub trainer_steps: usize,
    /// Points of a step of joint training.
    pub trainer_batch: usize,
    /// The final pass.
    pub choose: ChooseOptions,
}

/// One judged learner.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How its data was chosen.
    pub way: Way,
    /// Size of the subset; one for the ways without a size.
    pub fraction: f64,
    /// Test accuracy.
    pub accuracy: f64,
    /// Share of wrong labels in the subset; `None` where there is no fixed subset of the training data.
    pub flipped: Option<f64>,
    /// Seconds to choose, the training of whatever chose included.
    pub selection_seconds: f64,
    /// Seconds to train the judged learner.
    pub training_seconds: f64,
}

/// How well a way finds wrong labels.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Detection {
    /// Whose ranking it is.
    pub way: Way,
    /// Average precision.
    pub average_precision: f64,
    /// Area under the receiver operating characteristic.
    pub roc_auc: f64,
    /// Recall among as many points as there are wrong labels.
    pub recall: f64,
}

/// Everything one seed of a comparison found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Comparison {
    /// One a way and fraction.
    pub outcomes: Vec<Outcome>,
    /// One a way that ranks suspicion; empty if no label is known to be wrong.
    pub detections: Vec<Detection>,
}

/// Runs every way on `task` with one seed. `learner` makes a fresh learner from a seed; `watch` hears the
/// name of every finished piece of work.
///
/// # Errors
/// The first error of any part.
pub fn compare<L: Learner>(
    task: &Task,
    learner: &dyn Fn(u64) -> Result<L>,
    options: &ComparisonOptions,
    seed: u64,
    watch: &mut dyn FnMut(&str),
) -> Result<Comparison> {
    let mut run = Run { task, learner, options, seed, found: Comparison::default() };
    let informed = run.informed()?;
    watch("evidence");
    for &way in &options.ways {
        match way {
            Way::FullData => run.alone(way, task.train)?,
            Way::ValidationAlone => run.alone(way, task.validation)?,
            Way::FreshRandom => run.fresh_random()?,
            _ => match way.heads() {
                Some(heads) => run.joint(way, heads)?,
                None => run.baseline(way, &informed)?,
            },
        }
        watch(way.name());
    }
    Ok(run.found)
}

struct Run<'a, L> {
    task: &'a Task<'a>,
    learner: &'a dyn Fn(u64) -> Result<L>,
    options: &'a ComparisonOptions,
    seed: u64,
    found: Comparison,
}

/// What the baselines look at.
struct Informed {
    inputs: Vec<f32>,
    features: Vec<f32>,
    losses: Vec<f64>,
    seconds: f64,
}

impl<L: Learner> Run<'_, L> {
    /// A learner trained on everything, for the baselines that need one.
    fn informed(&self) -> Result<Informed> {
        let started = Instant::now();
        let everyone: Vec<usize> = (0..self.task.train.len()).collect();
        let learner = (self.learner)(self.seed)?;
        train(
            &learner,
            self.task.train,
            Diet::Fixed(&everyone),
            &self.options.training,
            self.seed,
            |_| {},
        )?;
        let flat = |tensor: &candle_core::Tensor| -> Result<Vec<f32>> {
            Ok(to_vec(tensor)?.into_iter().map(|x| x as f32).collect())
        };
        let found = Informed {
            inputs: flat(self.task.train.inputs())?,
            features: flat(&features_in_batches(&learner, self.task.train, CHUNK)?)?,
            losses: losses_in_batches(&learner, self.task.train, CHUNK)?,
            seconds: 0.0,
        };
        Ok(Informed { seconds: started.elapsed().as_secs_f64(), ..found })
    }

    fn count(&self, fraction: f64) -> Result<usize> {
        Amount::Fraction(fraction).of(self.task.train.len())
    }

    /// Judges a subset with a fresh learner, whose seed no way of choosing has seen.
    fn judge(
        &mut self,
        way: Way,
        fraction: f64,
        diet: Diet,
        data: &Dataset,
        selection_seconds: f64,
    ) -> Result<()> {
        let started = Instant::now();
        let learner = (self.learner)(self.seed ^ 0xf4e5)?;
        let accuracy =
            judge(&learner, data, diet, self.task.test, &self.options.training, self.seed)?;
        let flipped = match diet {
            Diet::Fixed(indices) if way != Way::ValidationAlone => {
                let wrong =
                    indices.iter().filter(|&&i| self.task.flipped.get(i) == Some(&true)).count();
                Some(wrong as f64 / indices.len() as f64)
            }
            _ => None,
        };
        let training_seconds = started.elapsed().as_secs_f64();
        let outcome =
            Outcome { way, fraction, accuracy, flipped, selection_seconds, training_seconds };
        self.found.outcomes.push(outcome);
        Ok(())
    }

    fn alone(&mut self, way: Way, data: &Dataset) -> Result<()> {
        let everyone: Vec<usize> = (0..data.len()).collect();
        self.judge(way, 1.0, Diet::Fixed(&everyone), data, 0.0)
    }

    fn fresh_random(&mut self) -> Result<()> {
        for fraction in self.options.fractions.clone() {
            let diet = Diet::FreshRandom(self.count(fraction)?);
            self.judge(Way::FreshRandom, fraction, diet, self.task.train, 0.0)?;
        }
        Ok(())
    }

    fn baseline(&mut self, way: Way, informed: &Informed) -> Result<()> {
        let points = self.task.train.len();
        let evidence = Evidence::new(points).with_losses(&informed.losses)?;
        let (strategy, features, learned): (&dyn Strategy, &[f32], bool) = match way {
            Way::KCenterInputs => (&KCenter, &informed.inputs, false),
            Way::KCenterFeatures => (&KCenter, &informed.features, true),
            Way::SmallestLoss => (&SmallestLoss, &[], true),
            Way::LargestLoss => (&LargestLoss, &[], true),
            _ => (&Random, &[], false),
        };
        let evidence = match features.len() / points {
            0 => evidence,
            width => evidence.with_features(features, width)?,
        };
        for fraction in self.options.fractions.clone() {
            let started = Instant::now();
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            let chosen = strategy.select(&evidence, self.count(fraction)?, &mut rng)?;
            let learned = if learned { informed.seconds } else { 0.0 };
            let seconds = started.elapsed().as_secs_f64() + learned;
            self.judge(way, fraction, Diet::Fixed(&chosen), self.task.train, seconds)?;
        }
        if way == Way::LargestLoss {
            self.detect(way, &informed.losses)?;
        }
        Ok(())
    }

    fn joint(&mut self, way: Way, heads: Heads) -> Result<()> {
        let started = Instant::now();
        let mut options = self.options.trainer.clone();
        options.model.heads = heads;
        let learner = (self.learner)(self.seed)?;
        let mut trainer = Trainer::new(learner, self.task.validation, options, self.seed)?;
        if way != Way::Untrained {
            let steps = self.options.trainer_steps;
            let batch = self.options.trainer_batch;
            trainer.fit_steps(self.task.train, batch, steps, self.seed, |_| {})?;
        }
        let trained = started.elapsed().as_secs_f64();
        for fraction in self.options.fractions.clone() {
            let started = Instant::now();
            let subset = trainer.choose(
                self.task.train,
                Amount::Fraction(fraction),
                &self.options.choose,
            )?;
            let seconds = trained + started.elapsed().as_secs_f64();
            self.judge(way, fraction, Diet::Fixed(&subset.indices), self.task.train, seconds)?;
        }
        if way != Way::Untrained {
            let suspicion = trainer.suspicion(self.task.train, &self.options.choose)?;
            self.detect(way, &suspicion)?;
        }
        Ok(())
    }

    fn detect(&mut self, way: Way, suspicion: &[f64]) -> Result<()> {
        let flipped = self.task.flipped;
        let wrong = flipped.iter().filter(|&&f| f).count();
        if wrong == 0 || wrong == flipped.len() {
            return Ok(());
        }
        self.found.detections.push(Detection {
            way,
            average_precision: average_precision(suspicion, flipped)?,
            roc_auc: roc_auc(suspicion, flipped)?,
            recall: recall_at(suspicion, flipped, wrong)?,
        });
        Ok(())
    }
}
