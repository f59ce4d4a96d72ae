//! How a learner is trained: how long, at which rate, on what loss.

use candle_core::Tensor;

use crate::data::Augmentation;
use crate::error::{Error, Result};
use crate::learn::optimiser::OptimiserOptions;
use crate::learn::{Learner, Loss};

/// How long a training lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Optimiser steps, whatever the number of points: equal effort for subsets of any size.
    Steps(usize),
    /// Passes over the points: smaller subsets train in less time.
    Epochs(usize),
}

/// How the learning rate moves after the warm-up. Positions are shares of the training, in [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Down to zero along half a cosine, `(1 + cos(pi x)) / 2` with `x` the share of the training after
    /// the warm-up that is done.
    Cosine,
    /// Multiplied by `factor` at every milestone.
    Step {
        /// Shares of the whole training, for example 0.5 and 0.75.
        milestones: Vec<f64>,
        /// For example 0.1.
        factor: f64,
    },
}

/// How a learner is trained.
///
/// # Example
/// How most CIFAR results are made: SGD with Nesterov momentum, cropped and mirrored images, a cosine.
/// ```
/// use gleaner::data::Augmentation;
/// use gleaner::learn::optimiser::OptimiserOptions;
/// use gleaner::learn::{Length, Loss, Schedule, TrainingOptions};
///
/// let options = TrainingOptions {
///     length: Length::Epochs(30),
///     batch: 128,
///     optimiser: OptimiserOptions::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 },
///     learning_rate: 0.1,
///     warm_up: 0.05,
///     schedule: Schedule::Cosine,
///     loss: Loss::Own,
///     label_smoothing: 0.0,
///     augmentation: Some(Augmentation::default()),
/// };
/// assert_eq!(options.rate(0, 100), 0.1 / 5.0);
/// assert!(options.rate(99, 100) < 1e-4);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingOptions {
    /// How long.
    pub length: Length,
    /// Points a step; the last step of an epoch may have fewer.
    pub batch: usize,
    /// The optimiser.
    pub optimiser: OptimiserOptions,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// Share of the training, in [0, 1), during which the rate rises linearly to the largest.
    pub warm_up: f64,
    /// What it does after that.
    pub schedule: Schedule,
    /// What is minimised.
    pub loss: Loss,
    /// For classes, `s` in [0, 1): the label has probability `1 - s + s/C` and every other class `s/C`.
    pub label_smoothing: f64,
    /// Random changes to every training image; never where points are scored or learners tested.
    pub augmentation: Option<Augmentation>,
}

impl Default for TrainingOptions {
    /// 600 steps of 64 points with AdamW at 3e-3, falling along a cosine, nothing else.
    fn default() -> Self {
        Self {
            length: Length::Steps(600),
            batch: 64,
            optimiser: OptimiserOptions::default(),
            learning_rate: 3e-3,
            warm_up: 0.0,
            schedule: Schedule::Cosine,
            loss: Loss::Own,
            label_smoothing: 0.0,
            augmentation: None,
        }
    }
}

impl TrainingOptions {
    /// For small images: SGD with Nesterov momentum under a cosine after a short rise, at a rate of 0.1 for
    /// the usual 128 points a step and in proportion for others, on images that are mirrored and shifted by
    /// up to `padding` pixels.
    pub fn images(epochs: usize, batch: usize, padding: usize) -> Self {
        Self {
            length: Length::Epochs(epochs),
            batch,
            optimiser: OptimiserOptions::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 },
            learning_rate: 0.1 * batch as f64 / 128.0,
            warm_up: 0.05,
            augmentation: Some(Augmentation { padding, flip: true }),
            ..Default::default()
        }
    }

    /// For texts: AdamW at 1e-2 under a cosine, 32 points a step.
    pub fn texts(epochs: usize) -> Self {
        let length = Length::Epochs(epochs);
        Self { length, batch: 32, learning_rate: 1e-2, ..Default::default() }
    }

    /// The learning rate of step `step`, from 0, of `steps`.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        let (step, steps) = (step as f64, steps as f64);
        let rising = (self.warm_up * steps).ceil();
        if step < rising {
            return self.learning_rate * (step + 1.0) / rising;
        }
        match &self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let done = (step - rising) / (steps - rising);
                0.5 * self.learning_rate * (1.0 + (std::f64::consts::PI * done).cos())
            }
            Schedule::Step { milestones, factor } => {
                let passed = milestones.iter().filter(|share| step >= **share * steps).count();
                self.learning_rate * factor.powi(passed as i32)
            }
        }
    }

    /// Every setting by name, for the configuration of a run.
    pub fn settings(&self) -> [(&'static str, String); 9] {
        [
            ("length", format!("{:?}", self.length)),
            ("batch", self.batch.to_string()),
            ("optimiser", format!("{:?}", self.optimiser)),
            ("learning_rate", self.learning_rate.to_string()),
            ("warm_up", self.warm_up.to_string()),
            ("schedule", format!("{:?}", self.schedule)),
            ("loss", format!("{:?}", self.loss)),
            ("label_smoothing", self.label_smoothing.to_string()),
            ("augmentation", format!("{:?}", self.augmentation)),
        ]
    }

    pub(super) fn check(&self, numbers: bool) -> Result<()> {
        self.loss.check(numbers)?;
        if numbers && self.label_smoothing != 0.0 {
            let (method, what) = ("label smoothing", "regression");
            return Err(Error::Unsupported { method, what, instead: "a smoothing of 0" });
        }
        let (Length::Steps(length) | Length::Epochs(length)) = self.length;
        for (what, found) in
            [("TrainingOptions::length", length), ("TrainingOptions::batch", self.batch)]
        {
            if found == 0 {
                return Err(Error::range(what, "at least 1", 0.0));
            }
        }
        let shares = [
            ("TrainingOptions::warm_up", self.warm_up),
            ("TrainingOptions::label_smoothing", self.label_smoothing),
        ];
        for (what, found) in shares {
            if !(0.0..1.0).contains(&found) {
                return Err(Error::range(what, "in [0, 1)", found));
            }
        }
        if let Schedule::Step { milestones, factor } = &self.schedule {
            let positions = milestones.iter().map(|m| ("a milestone", *m));
            for (what, found) in positions.chain([("factor of a milestone", *factor)]) {
                if !(0.0..=1.0).contains(&found) {
                    return Err(Error::range(what, "in [0, 1]", found));
                }
            }
        }
        Ok(())
    }

    /// Loss of each point of a batch.
    pub(super) fn losses(
        &self,
        learner: &dyn Learner,
        logits: &Tensor,
        labels: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let losses = self.loss.of(learner, logits, labels)?;
        if self.label_smoothing == 0.0 {
            return Ok(losses);
        }
        // -log p of the average class is that of the label plus how far its logit is above the mean.
        let at_label = logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
        let even = (&losses + (at_label - logits.mean(1)?)?)?;
        (losses * (1.0 - self.label_smoothing))? + (even * self.label_smoothing)?
    }
}
