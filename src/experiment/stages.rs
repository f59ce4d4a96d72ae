//! Training and testing in stages that survive a kill.

use crate::data::Source;
use crate::error::Result;
use crate::experiment::run::Run;
use crate::learn::Checkpoint;
use crate::learn::{Diet, History, Recipe, Training};
use crate::learn::{Learner, accuracy_in_batches};

/// Points of one forward pass where nothing is trained.
pub(crate) const CHUNK: usize = 256;

/// A kind of learner and how it is trained.
pub struct Model<'a> {
    /// Its name in tables and stages, such as `preact8`.
    pub name: String,
    /// A fresh one, its weights decided by the seed.
    pub build: &'a (dyn Fn(u64) -> Result<Box<dyn Learner>> + Sync),
    /// How it is trained.
    pub recipe: Recipe,
}

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
    /// Keeps every epoch, selection and answer.
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
    /// Trains a learner, leaving a checkpoint after every epoch and going on from the last one.
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
        while !training.is_finished() {
            let report = training.epoch(|_| {})?;
            self.run.save(stage, &training.checkpoint()?)?;
            let (epoch, epochs, loss) = (report.epoch + 1, report.epochs, report.loss);
            (self.watch)(&Progress { stage, epoch, epochs, loss });
        }
        let seconds = training.seconds();
        Ok(Trained { history: training.into_history(), seconds })
    }

    /// Test error of a fresh target trained on `diet`, and the seconds of its training. Once known, the
    /// error takes the place of the target's weights.
    pub(crate) fn judge(
        &mut self,
        stage: &str,
        target: &Model,
        data: &dyn Source,
        diet: Diet,
        test: &dyn Source,
        seed: u64,
    ) -> Result<(f64, f64)> {
        let kept = self.run.load(stage)?;
        if let Some(done) = kept.as_ref().filter(|state| state.has_note("error")) {
            return Ok((done.note("error")?, done.note("seconds")?));
        }
        let learner = (target.build)(seed)?;
        let training = Training::new(&learner, data, diet, &target.recipe, seed)?;
        let trained = self.train(stage, training, kept.as_ref())?;
        let error = 1.0 - accuracy_in_batches(&learner, test, CHUNK)?;
        let mut done = Checkpoint::new();
        done.set_note("error", error);
        done.set_note("seconds", trained.seconds);
        self.run.save(stage, &done)?;
        Ok((error, trained.seconds))
    }
}

/// Indices as a tensor that a checkpoint can keep.
pub(crate) fn index_tensor(indices: &[usize]) -> Result<candle_core::Tensor> {
    let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
    let length = indices.len();
    Ok(candle_core::Tensor::from_vec(indices, length, &candle_core::Device::Cpu)?)
}

/// And back.
pub(crate) fn indices_of(state: &Checkpoint, name: &str) -> Result<Vec<usize>> {
    let indices = state.tensor(name)?.to_vec1::<i64>()?;
    Ok(indices.into_iter().map(|index| index as usize).collect())
}
