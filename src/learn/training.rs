//! Training a learner by itself: how long, on which points, at which rate, and what is noted on the way.
//!
//! [`Training`] goes an epoch at a time and can be saved between two; [`train`] and [`evaluate`] do it in
//! one call. Test data is looked at once, after the last step, never to choose an epoch.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::{Augmentation, Batch, Source, shuffled_batches};
use crate::error::{Error, Result};
use crate::learn::checkpoint::Checkpoint;
use crate::learn::optimiser::{Optimiser, OptimiserOptions};
use crate::learn::{Learner, cross_entropy, error_in_batches, set_variables};

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
/// use gleaner::learn::{Length, TrainingOptions, Schedule};
///
/// let options = TrainingOptions {
///     length: Length::Epochs(30),
///     batch: 128,
///     optimiser: OptimiserOptions::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 },
///     learning_rate: 0.1,
///     warm_up: 0.05,
///     schedule: Schedule::Cosine,
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
    /// `s` in [0, 1): the label has probability `1 - s + s/C` and every other class `s/C`.
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
    pub fn settings(&self) -> [(&'static str, String); 8] {
        [
            ("length", format!("{:?}", self.length)),
            ("batch", self.batch.to_string()),
            ("optimiser", format!("{:?}", self.optimiser)),
            ("learning_rate", self.learning_rate.to_string()),
            ("warm_up", self.warm_up.to_string()),
            ("schedule", format!("{:?}", self.schedule)),
            ("label_smoothing", self.label_smoothing.to_string()),
            ("augmentation", format!("{:?}", self.augmentation)),
        ]
    }

    fn check(&self) -> Result<()> {
        let (Length::Steps(length) | Length::Epochs(length)) = self.length;
        for (what, found) in
            [("TrainingOptions::length", length), ("TrainingOptions::batch", self.batch)]
        {
            if found == 0 {
                return Err(Error::OutOfRange { what, rule: "at least 1", found: 0.0 });
            }
        }
        let shares = [
            ("TrainingOptions::warm_up", self.warm_up),
            ("TrainingOptions::label_smoothing", self.label_smoothing),
        ];
        for (what, found) in shares {
            if !(0.0..1.0).contains(&found) {
                return Err(Error::OutOfRange { what, rule: "in [0, 1)", found });
            }
        }
        if let Schedule::Step { milestones, factor } = &self.schedule {
            let positions = milestones.iter().map(|m| ("a milestone", *m));
            for (what, found) in positions.chain([("factor of a milestone", *factor)]) {
                if !(0.0..=1.0).contains(&found) {
                    return Err(Error::OutOfRange { what, rule: "in [0, 1]", found });
                }
            }
        }
        Ok(())
    }

    /// Loss of each point of a batch.
    fn losses(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        let losses = cross_entropy(logits, labels)?;
        if self.label_smoothing == 0.0 {
            return Ok(losses);
        }
        // -log p of the average class is that of the label plus how far its logit is above the mean.
        let at_label = logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
        let even = (&losses + (at_label - logits.mean(1)?)?)?;
        (losses * (1.0 - self.label_smoothing))? + (even * self.label_smoothing)?
    }
}

/// Which points a learner is trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling<'a> {
    /// All of them.
    All,
    /// The same points all the time.
    Fixed(&'a [usize]),
    /// The same points all the time, each loss times the point's weight: of mean one, so that a batch's
    /// mean loss estimates the weighted mean over all.
    Weighted(&'a [usize], &'a [f64]),
    /// A new uniform sample of this many points every epoch ("fresh random"): it sees, over time, all
    /// the data, at the cost of never being a subset that could be labelled or stored.
    FreshRandom(usize),
}

impl Sampling<'_> {
    /// Points of an epoch, of so many in all.
    pub(crate) fn size(&self, points: usize) -> usize {
        match self {
            Self::All => points,
            Self::Fixed(indices) | Self::Weighted(indices, _) => indices.len(),
            Self::FreshRandom(size) => (*size).min(points),
        }
    }

    fn check(&self, points: usize) -> Result<()> {
        if self.size(points) == 0 {
            let (what, rule) = ("points to train on", "at least 1");
            return Err(Error::OutOfRange { what, rule, found: 0.0 });
        }
        if let Self::Fixed(indices) | Self::Weighted(indices, _) = self
            && let Some(&outside) = indices.iter().find(|index| **index >= points)
        {
            let (what, rule) = ("index of a point", "below the number of points");
            return Err(Error::OutOfRange { what, rule, found: outside as f64 });
        }
        let Self::Weighted(indices, weights) = self else { return Ok(()) };
        if weights.len() != indices.len() {
            return Err(Error::shape("weights of the points", indices.len(), weights.len()));
        }
        match weights.iter().find(|weight| !(**weight >= 0.0 && weight.is_finite())) {
            None => Ok(()),
            Some(&found) => {
                let (what, rule) = ("weight of a point", "finite and at least zero");
                Err(Error::OutOfRange { what, rule, found })
            }
        }
    }
}

/// What a learner did with every point in every epoch, as it was trained: with the batch it came in and
/// its augmentation, as the papers on forgetting and on margins count it.
///
/// A row for each epoch that saw every point of the data; others leave no trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Whether the point was predicted right, epochs x points.
    pub right: Vec<bool>,
    /// Logit of the label minus the largest other one, epochs x points.
    pub margins: Vec<f32>,
}

/// What an epoch did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct EpochReport {
    /// Its number, from 0.
    pub epoch: usize,
    /// How many there are in all.
    pub epochs: usize,
    /// Mean training loss.
    pub loss: f64,
    /// Seconds since the training began, pauses left out.
    pub seconds: f64,
}

/// A learner in training, between two epochs.
pub struct Training<'a> {
    learner: &'a dyn Learner,
    data: &'a dyn Source,
    sampling: Sampling<'a>,
    options: &'a TrainingOptions,
    optimiser: Optimiser,
    /// Draws the batches.
    order: ChaCha8Rng,
    /// Draws the augmentation, apart from the order: with and without it batches are the same.
    augmenter: ChaCha8Rng,
    step: usize,
    steps: usize,
    epoch: usize,
    history: Option<History>,
    seconds: f64,
}

impl<'a> Training<'a> {
    /// Before the first epoch. `seed` decides the order of the points and their augmentation.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for no points, a point that is not there, a weight below zero, or options
    /// out of range; [`Error::Shape`] for weights that are not one a point.
    pub fn new(
        learner: &'a dyn Learner,
        data: &'a dyn Source,
        sampling: Sampling<'a>,
        options: &'a TrainingOptions,
        seed: u64,
    ) -> Result<Self> {
        options.check()?;
        sampling.check(data.points())?;
        let size = sampling.size(data.points());
        let optimiser =
            Optimiser::new(learner.variables().to_vec(), options.optimiser, options.learning_rate)?;
        let order = ChaCha8Rng::seed_from_u64(seed);
        let mut augmenter = order.clone();
        augmenter.set_stream(1);
        let steps = match options.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs * size.div_ceil(options.batch),
        };
        let (step, epoch, history, seconds) = (0, 0, None, 0.0);
        Ok(Self {
            learner,
            data,
            sampling,
            options,
            optimiser,
            order,
            augmenter,
            step,
            steps,
            epoch,
            history,
            seconds,
        })
    }

    /// Notes from now on what happens to every point; see [`History`].
    pub fn with_history(mut self) -> Self {
        self.history = Some(History::default());
        self
    }

    /// Whether the last step is done.
    pub fn is_finished(&self) -> bool {
        self.step == self.steps
    }

    /// Epochs in all, the last one perhaps cut short.
    pub fn epochs(&self) -> usize {
        self.steps.div_ceil(self.sampling.size(self.data.points()).div_ceil(self.options.batch))
    }

    /// Seconds spent so far, those before a resumption included.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// What was noted, if it was asked for.
    pub fn into_history(self) -> Option<History> {
        self.history
    }

    /// The next epoch, or what is left of the steps; `watch` hears of every step.
    ///
    /// # Errors
    /// [`Error::Tensor`] from the learner or the source's own; a diverged training is refused by the
    /// optimiser, which names the gradient that is not finite.
    pub fn epoch(&mut self, mut watch: impl FnMut(usize)) -> Result<EpochReport> {
        let started = Instant::now();
        let batches = self.draw();
        let mut row = self.history.is_some().then(|| Row::new(self.data.points()));
        let (mut sum, mut seen) = (0.0, 0);
        for batch in batches {
            if self.is_finished() {
                break;
            }
            let (loss, logits) = self.one_step(&batch)?;
            sum += loss * batch.points.len() as f64;
            seen += batch.points.len();
            if let Some(row) = &mut row {
                row.note(&batch.points, self.data.labels(), &logits)?;
            }
            watch(self.step);
        }
        if let (Some(history), Some(row)) = (&mut self.history, row) {
            row.append_if_whole(history);
        }
        self.seconds += started.elapsed().as_secs_f64();
        self.epoch += 1;
        Ok(EpochReport {
            epoch: self.epoch - 1,
            epochs: self.epochs(),
            loss: sum / seen.max(1) as f64,
            seconds: self.seconds,
        })
    }

    /// One epoch's batches.
    fn draw(&mut self) -> Vec<Drawn> {
        let size = self.sampling.size(self.data.points());
        let batches = shuffled_batches(size, self.options.batch, &mut self.order);
        let members: Vec<usize> = match self.sampling {
            Sampling::All => (0..size).collect(),
            Sampling::Fixed(indices) | Sampling::Weighted(indices, _) => indices.to_vec(),
            Sampling::FreshRandom(_) => {
                rand::seq::index::sample(&mut self.order, self.data.points(), size).into_vec()
            }
        };
        let pick = |places: Vec<usize>| Drawn {
            weights: match self.sampling {
                Sampling::Weighted(_, weights) => {
                    Some(places.iter().map(|k| weights[*k]).collect())
                }
                _ => None,
            },
            points: places.into_iter().map(|k| members[k]).collect(),
        };
        batches.into_iter().map(pick).collect()
    }

    fn one_step(&mut self, drawn: &Drawn) -> Result<(f64, Tensor)> {
        let Batch { mut inputs, labels, .. } = self.data.batch_at(&drawn.points)?;
        if let Some(augmentation) = &self.options.augmentation {
            inputs = augmentation.apply(&inputs, &mut self.augmenter as &mut dyn RngCore)?;
        }
        let device = self.learner.device();
        let logits = self.learner.training_logits(&inputs.to_device(&device)?)?;
        let mut losses = self.options.losses(&logits, &labels.to_device(&device)?)?;
        if let Some(weights) = &drawn.weights {
            let weights = Tensor::from_slice(weights, weights.len(), &device)?;
            losses = (&losses * weights.to_dtype(losses.dtype())?)?;
        }
        let loss = losses.mean_all()?;
        self.optimiser.set_learning_rate(self.options.rate(self.step, self.steps))?;
        self.optimiser.backward_step(&loss)?;
        self.step += 1;
        let loss = loss.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        Ok((loss, logits.detach()))
    }

    /// Everything a resumed training needs: variables, buffers, the optimiser's state, both generators,
    /// what was noted and how far it has come.
    ///
    /// # Errors
    /// [`Error::Tensor`] if a tensor cannot be made.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let mut state = Checkpoint::new();
        let named = |list: &[(String, candle_core::Var)]| -> Result<Vec<(String, Tensor)>> {
            // A copy: the next step overwrites a variable in place.
            list.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?))).collect()
        };
        state.set_all("variables", named(self.learner.variables())?);
        state.set_all("buffers", named(self.learner.buffers())?);
        state.set_all("optimiser", self.optimiser.state()?);
        if let Some(History { right, margins }) = &self.history {
            let right: Vec<u8> = right.iter().map(|right| u8::from(*right)).collect();
            let length = right.len();
            state.set("history/right", Tensor::from_vec(right, length, &Device::Cpu)?);
            state.set("history/margins", Tensor::from_slice(margins, length, &Device::Cpu)?);
        }
        state.set_generator("order", &self.order);
        state.set_generator("augmenter", &self.augmenter);
        state.set_note("step", self.step);
        state.set_note("steps", self.steps);
        state.set_note("epoch", self.epoch);
        state.set_note("seconds", self.seconds);
        Ok(state)
    }

    /// Goes on where [`Training::checkpoint`] was taken, bit by bit as if there had been no pause. The
    /// training must be made with the same learner, data, sampling and options.
    ///
    /// # Errors
    /// [`Error::Unknown`] and [`Error::Shape`] if the state is not of this learner, this optimiser and as
    /// many steps.
    pub fn restore(&mut self, state: &Checkpoint) -> Result<()> {
        let (order, augmenter) = (state.generator("order")?, state.generator("augmenter")?);
        let (step, epoch) = (state.note("step")?, state.note("epoch")?);
        let steps: usize = state.note("steps")?;
        if steps != self.steps {
            let expected = format!("{} steps in all", self.steps);
            return Err(Error::Shape { what: "kept training", expected, found: steps.to_string() });
        }
        let seconds = state.note("seconds")?;
        let history = match &self.history {
            Some(_) => Some(History {
                right: (state.tensor("history/right")?.to_vec1::<u8>()?.iter())
                    .map(|right| *right != 0)
                    .collect(),
                margins: state.tensor("history/margins")?.to_vec1()?,
            }),
            None => None,
        };
        restore_learner(self.learner, state)?;
        self.optimiser.load_state(&state.all("optimiser"))?;
        (self.order, self.augmenter) = (order, augmenter);
        (self.step, self.epoch, self.seconds, self.history) = (step, epoch, seconds, history);
        Ok(())
    }
}

/// Gives the learner the weights and buffers of a [`Training::checkpoint`].
///
/// # Errors
/// [`Error::Unknown`] and [`Error::Shape`] if they are another learner's.
pub fn restore_learner(learner: &dyn Learner, state: &Checkpoint) -> Result<()> {
    set_variables(&state.all("variables").into_iter().collect(), learner.variables())?;
    set_variables(&state.all("buffers").into_iter().collect(), learner.buffers())
}

/// A batch: positions in the data, and weights unless all count alike.
struct Drawn {
    points: Vec<usize>,
    weights: Option<Vec<f64>>,
}

/// One epoch's notes.
struct Row {
    right: Vec<bool>,
    margins: Vec<f32>,
    seen: Vec<bool>,
}

impl Row {
    fn new(points: usize) -> Self {
        Self { right: vec![false; points], margins: vec![0.0; points], seen: vec![false; points] }
    }

    fn note(&mut self, batch: &[usize], labels: &[u32], logits: &Tensor) -> Result<()> {
        let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        for (&point, logits) in batch.iter().zip(&logits) {
            let label = labels[point] as usize;
            let others = logits.iter().enumerate().filter(|(class, _)| *class != label);
            let (rival, largest) = others.fold((usize::MAX, f32::NEG_INFINITY), |best, (c, &z)| {
                if z > best.1 { (c, z) } else { best }
            });
            // With a single class there is no other logit, and nothing to be wrong about.
            let margin = if rival == usize::MAX { 0.0 } else { logits[label] - largest };
            self.right[point] = margin > 0.0 || (margin == 0.0 && label < rival);
            self.margins[point] = margin;
            self.seen[point] = true;
        }
        Ok(())
    }

    fn append_if_whole(self, history: &mut History) {
        if self.seen.iter().all(|seen| *seen) {
            history.right.extend(self.right);
            history.margins.extend(self.margins);
        }
    }
}

/// Trains `learner` on the points of `data` that `sampling` says, calling `watch` after every step.
///
/// # Errors
/// As [`Training::new`] and [`Training::epoch`].
pub fn train(
    learner: &dyn Learner,
    data: &dyn Source,
    sampling: Sampling,
    options: &TrainingOptions,
    seed: u64,
    mut watch: impl FnMut(usize),
) -> Result<()> {
    let mut training = Training::new(learner, data, sampling, options, seed)?;
    while !training.is_finished() {
        training.epoch(&mut watch)?;
    }
    Ok(())
}

/// Trains `learner`, a fresh one, on those points alone and returns its test error
/// ([`error_in_batches`]).
///
/// # Errors
/// As [`train`].
pub fn evaluate(
    learner: &dyn Learner,
    data: &dyn Source,
    sampling: Sampling,
    test: &dyn Source,
    options: &TrainingOptions,
    seed: u64,
) -> Result<f64> {
    train(learner, data, sampling, options, seed, |_| {})?;
    error_in_batches(learner, test, 512)
}
