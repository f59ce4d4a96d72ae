//! Training and testing in stages that survive a kill.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::Model;
use crate::choose::Choice;
use crate::data::Source;
use crate::error::Result;
use crate::experiment::run::Run;
use crate::learn::{Checkpoint, History, Sampling, Training, error_in_batches};

/// Points of one forward pass where nothing is trained.
pub(crate) const CHUNK: usize = 256;
/// What a kill may cost.
const BETWEEN_SAVES: Duration = Duration::from_secs(1);

/// How far a stage has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Its name, such as `seed0 proxy preact8`.
    pub stage: &'a str,
    /// Epochs done.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Mean training loss of the last one.
    pub loss: f64,
}

/// Where stages are kept, and who hears of them.
pub struct Stages<'a> {
    /// Keeps trainings, selections and answers.
    pub run: &'a Run,
    /// Called after every epoch.
    pub watch: &'a mut dyn FnMut(&Progress),
}

/// A learner that was trained, or taken from a checkpoint of the end of its training.
pub(crate) struct Trained {
    pub(crate) history: Option<History>,
    pub(crate) seconds: f64,
}

impl Stages<'_> {
    /// What the stage left when it was done; does it now if it was not.
    pub(crate) fn kept(
        &self,
        stage: &str,
        work: impl FnOnce() -> Result<Checkpoint>,
    ) -> Result<Checkpoint> {
        if let Some(state) = self.run.load(stage)? {
            return Ok(state);
        }
        let state = work()?;
        self.run.save(stage, &state)?;
        Ok(state)
    }

    /// Whether all of these are done.
    pub(crate) fn has_all(&self, stages: &[String]) -> Result<bool> {
        for stage in stages {
            if self.run.load(stage)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Trains a learner, leaving a checkpoint about once a second and at the end, and going on from the last one.
    pub(crate) fn train(
        &mut self,
        stage: &str,
        training: Training,
        keep: Option<&Checkpoint>,
    ) -> Result<Trained> {
        let mut training = training;
        if let Some(state) = keep {
            training.restore(state)?;
        }
        let mut saved = Instant::now();
        while !training.is_finished() {
            let report = training.epoch(|_| {})?;
            // An epoch may be a single step, and take less than writing a file.
            if training.is_finished() || saved.elapsed() >= BETWEEN_SAVES {
                self.run.save(stage, &training.checkpoint()?)?;
                saved = Instant::now();
            }
            let (epoch, epochs, loss) = (report.epoch + 1, report.epochs, report.loss);
            (self.watch)(&Progress { stage, epoch, epochs, loss });
        }
        let seconds = training.seconds();
        Ok(Trained { history: training.into_history(), seconds })
    }

    /// Test error of a fresh target trained on some of `data`, and the seconds of its training. Once known,
    /// the error takes the place of the target's weights. The seeds are those of the weights and of the
    /// order of the points.
    pub(crate) fn evaluate(
        &mut self,
        stage: &str,
        target: &Model,
        data: &dyn Source,
        sampling: Sampling,
        test: &dyn Source,
        (weights, order): (u64, u64),
    ) -> Result<(f64, f64)> {
        let kept = self.run.load(stage)?;
        if let Some(done) = kept.as_ref().filter(|state| state.has_note("error")) {
            return Ok((done.note("error")?, done.note("seconds")?));
        }
        let learner = (target.build)(weights)?;
        let training = Training::new(&learner, data, sampling, &target.training, order)?;
        let trained = self.train(stage, training, kept.as_ref())?;
        let error = error_in_batches(&learner, test, CHUNK)?;
        let mut done = Checkpoint::new();
        done.set_note("error", error);
        done.set_note("seconds", trained.seconds);
        self.run.save(stage, &done)?;
        Ok((error, trained.seconds))
    }
}

/// A choice as a checkpoint, without its gains.
pub(crate) fn state_of(choice: &Choice) -> Result<Checkpoint> {
    let mut state = Checkpoint::new();
    state.set("chosen", index_tensor(&choice.indices)?);
    state.set("weights", Tensor::from_slice(&choice.weights, choice.len(), &Device::Cpu)?);
    Ok(state)
}

/// And back.
pub(crate) fn kept_choice(state: &Checkpoint) -> Result<Choice> {
    let (indices, weights) = (indices_of(state, "chosen")?, state.tensor("weights")?.to_vec1()?);
    Ok(Choice { indices, weights, gains: None })
}

/// A number a point as a checkpoint.
pub(crate) fn state_of_numbers(numbers: &[f64]) -> Result<Checkpoint> {
    let mut state = Checkpoint::new();
    state.set("numbers", Tensor::from_slice(numbers, numbers.len(), &Device::Cpu)?);
    Ok(state)
}

/// And back.
pub(crate) fn kept_numbers(state: &Checkpoint) -> Result<Vec<f64>> {
    Ok(state.tensor("numbers")?.to_vec1()?)
}

/// Indices as a tensor that a checkpoint can keep.
pub(crate) fn index_tensor(indices: &[usize]) -> Result<Tensor> {
    let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
    let length = indices.len();
    Ok(Tensor::from_vec(indices, length, &Device::Cpu)?)
}

/// And back.
pub(crate) fn indices_of(state: &Checkpoint, name: &str) -> Result<Vec<usize>> {
    let indices = state.tensor(name)?.to_vec1::<i64>()?;
    Ok(indices.into_iter().map(|index| index as usize).collect())
}
