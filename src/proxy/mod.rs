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
mod core_set;
mod observations;

use crate::checkpoint::Checkpoint;
use crate::datasets::Source;
use crate::error::Result;
use crate::learners::{Learner, accuracy_in_batches};
use crate::run::Run;
use crate::training::{Diet, History, Recipe, Training};

pub use active_learning::{ActiveLearning, KnownLabels, Oracle, Round, Rounds, active_learning};
pub use core_set::{Chooser, CoreSet, CoreSetOptions, Joint, Outcome, RankAgreement, core_set};
pub use observations::Observations;

/// Points of one forward pass where nothing is trained.
const CHUNK: usize = 256;

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
struct Trained {
    history: Option<History>,
    seconds: f64,
}

impl Stages<'_> {
    /// Trains a learner, leaving a checkpoint after every epoch and going on from the last one.
    fn train(
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
    fn judge(
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
fn index_tensor(indices: &[usize]) -> Result<candle_core::Tensor> {
    let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
    let length = indices.len();
    Ok(candle_core::Tensor::from_vec(indices, length, &candle_core::Device::Cpu)?)
}

/// And back.
fn indices_of(state: &Checkpoint, name: &str) -> Result<Vec<usize>> {
    let indices = state.tensor(name)?.to_vec1::<i64>()?;
    Ok(indices.into_iter().map(|index| index as usize).collect())
}
