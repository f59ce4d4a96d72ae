//! Training a learner by itself, and what is noted on the way.
//!
//! [`Training`] goes an epoch at a time and can be saved between two; [`train`] and [`evaluate`] do it in
//! one call. Test data is looked at once, after the last step, never to choose an epoch.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use rand::RngCore;
use rand_chacha::ChaCha8Rng;

use crate::data::source::targets_at;
use crate::data::{Source, shuffled_batches};
use crate::error::{Error, Result};
use crate::learn::checkpoint::Checkpoint;
use crate::learn::optimiser::Optimiser;
use crate::learn::{Learner, Length, Sampling, TrainingOptions, error_in_batches, set_variables};
use crate::seeds::Seeds;

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
    /// Probability of the label, the softmax of its logit among all (in `f64`), epochs x points.
    pub label_probabilities: Vec<f32>,
}

impl History {
    fn set_in(&self, state: &mut Checkpoint) -> Result<()> {
        let right: Vec<u8> = self.right.iter().map(|right| u8::from(*right)).collect();
        let length = right.len();
        state.set("history/right", Tensor::from_vec(right, length, &Device::Cpu)?);
        for (name, numbers) in
            [(MARGINS, &self.margins), (PROBABILITIES, &self.label_probabilities)]
        {
            state.set(name, Tensor::from_slice(numbers, length, &Device::Cpu)?);
        }
        Ok(())
    }

    fn kept_in(state: &Checkpoint) -> Result<Self> {
        let right = state.tensor("history/right")?.to_vec1::<u8>()?;
        Ok(Self {
            right: right.into_iter().map(|right| right != 0).collect(),
            margins: state.tensor(MARGINS)?.to_vec1()?,
            label_probabilities: state.tensor(PROBABILITIES)?.to_vec1()?,
        })
    }
}

const MARGINS: &str = "history/margins";
const PROBABILITIES: &str = "history/label_probabilities";

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
    /// out of range; [`Error::Unsupported`] for options that make no sense for classes, or for numbers;
    /// [`Error::Shape`] for weights that are not one a point.
    pub fn new(
        learner: &'a dyn Learner,
        data: &'a dyn Source,
        sampling: Sampling<'a>,
        options: &'a TrainingOptions,
        seed: u64,
    ) -> Result<Self> {
        options.check(data.targets().is_some())?;
        sampling.check(data.points())?;
        let size = sampling.size(data.points());
        let optimiser =
            Optimiser::new(learner.variables().to_vec(), options.optimiser, options.learning_rate)?;
        let (order, augmenter) = (Seeds::new(seed).stream(0), Seeds::new(seed).stream(1));
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

    /// Notes from now on what happens to every point; see [`History`]. Numbers to predict are neither right
    /// nor wrong: of them there is none.
    pub fn with_history(mut self) -> Self {
        self.history = self.data.targets().is_none().then(History::default);
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
        let mut inputs = self.data.inputs_at(&drawn.points)?;
        if let Some(augmentation) = &self.options.augmentation {
            inputs = augmentation.apply(&inputs, &mut self.augmenter as &mut dyn RngCore)?;
        }
        let device = self.learner.device();
        let logits = self.learner.training_logits(&inputs.to_device(&device)?)?;
        let targets = targets_at(self.data, &drawn.points, &device)?;
        let mut losses = self.options.losses(self.learner, &logits, &targets)?;
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
        state.set_variables("variables", self.learner.variables())?;
        state.set_variables("buffers", self.learner.buffers())?;
        state.set_all("optimiser", self.optimiser.state()?);
        if let Some(history) = &self.history {
            history.set_in(&mut state)?;
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
        let history = self.history.is_some().then(|| History::kept_in(state)).transpose()?;
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
    label_probabilities: Vec<f32>,
    seen: Vec<bool>,
}

impl Row {
    fn new(points: usize) -> Self {
        Self {
            right: vec![false; points],
            margins: vec![0.0; points],
            label_probabilities: vec![0.0; points],
            seen: vec![false; points],
        }
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
            self.label_probabilities[point] = probability(logits, label);
            self.seen[point] = true;
        }
        Ok(())
    }

    fn append_if_whole(self, history: &mut History) {
        if self.seen.iter().all(|seen| *seen) {
            history.right.extend(self.right);
            history.margins.extend(self.margins);
            history.label_probabilities.extend(self.label_probabilities);
        }
    }
}

/// Softmax of one logit among all: `1 / sum_c exp(z_c - z)`, which is 0 where the sum overflows.
fn probability(logits: &[f32], label: usize) -> f32 {
    let own = f64::from(logits[label]);
    (1.0 / logits.iter().map(|z| (f64::from(*z) - own).exp()).sum::<f64>()) as f32
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
