//! The whole of a [`Trainer`] on disk, so that a run that was stopped goes on as if it had not been.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::Trainer;
use crate::error::{Error, Result};
use crate::learn::{Checkpoint, Learner, restore_learner, set_variables};

impl<L: Learner> Trainer<L> {
    /// Everything a resumed training needs: the learner's variables and buffers, the selection model, both
    /// optimisers, the memory, every point's running loss, the generator and the number of steps done.
    ///
    /// # Errors
    /// [`Error::Tensor`] if a tensor cannot be copied.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let mut state = Checkpoint::new();
        state.set_variables("variables", self.learner.variables())?;
        state.set_variables("buffers", self.learner.buffers())?;
        state.set_variables("model", self.model.variables())?;
        state.set_all("learner_optimiser", self.learner_optimiser.state()?);
        state.set_all("model_optimiser", self.model_optimiser.state()?);
        self.memory.keep(&mut state)?;
        let history = Tensor::from_slice(&self.history, self.history.len(), &Device::Cpu)?;
        state.set("history", history);
        state.set_generator("generator", &self.rng);
        state.set_note("seed", self.seed);
        state.set_note("steps", self.steps);
        state.set_note("kind", &self.kind);
        Ok(state)
    }

    /// Goes on where [`Trainer::checkpoint`] was taken, bit by bit as if there had been no pause. The trainer must
    /// be made with the same kind of learner, the same options and as many validation points; its seed is replaced.
    ///
    /// # Errors
    /// [`Error::Unknown`] and [`Error::Shape`] if the state is of another learner, another selection model or
    /// other options. After an error the trainer is as before.
    pub fn restore(&mut self, state: &Checkpoint) -> Result<()> {
        let before = self.checkpoint()?;
        let restored = self.put(state);
        if restored.is_err() {
            self.put(&before)?;
        }
        restored
    }

    /// Writes [`Trainer::checkpoint`] to one safetensors file, with the notes as JSON in its header. An older file
    /// is replaced only once the new one is complete.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] if the file cannot be written; an older one is then untouched.
    ///
    /// # Example
    /// ```
    /// # use candle_core::{DType, Device, Tensor};
    /// # use gleaner::data::Dataset;
    /// # use gleaner::learn::{Mlp, MlpOptions};
    /// # use gleaner::{Trainer, TrainerOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("trainer.safetensors");
    /// # let points: Vec<f32> = (0..120).map(|k| (k % 7) as f32).collect();
    /// # let labels: Vec<u32> = (0..60).map(|k| k % 2).collect();
    /// # let data = Dataset::new(Tensor::from_vec(points, (60, 2), &Device::Cpu)?, labels, 2)?;
    /// # let validation = data.clone();
    /// let fresh = || {
    ///     let shape = MlpOptions { inputs: 2, hidden: vec![8], classes: 2 };
    ///     let learner = Mlp::new(&shape, 0, DType::F32, &Device::Cpu)?;
    ///     let options = TrainerOptions { warm_up: 1, ..Default::default() };
    ///     Trainer::new(learner, &validation, options, 0)
    /// };
    /// let mut first = fresh()?;
    /// first.fit_until(&data, 20, 3, 0, |_| {})?; // stopped after three of five steps
    /// first.save(&path)?;
    ///
    /// let mut second = fresh()?;
    /// second.load(&path)?;
    /// second.fit_until(&data, 20, 5, 0, |_| {})?; // the other two
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.checkpoint()?.save(path)
    }

    /// Reads what [`Trainer::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is not a whole safetensors file, and as
    /// [`Trainer::restore`]. After an error the trainer is as before.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.restore(&Checkpoint::load(path)?)
    }

    fn put(&mut self, state: &Checkpoint) -> Result<()> {
        let found: String = state.note("kind")?;
        if found != self.kind {
            let expected = self.kind.clone();
            return Err(Error::Shape { what: "kept trainer", expected, found });
        }
        let (rng, seed, steps) =
            (state.generator("generator")?, state.note("seed")?, state.note("steps")?);
        let memory = self.memory.kept(state, &self.place)?;
        let history = state.tensor("history")?.to_vec1()?;
        set_variables(&state.all("model").into_iter().collect(), self.model.variables())?;
        restore_learner(&self.learner, state)?;
        self.learner_optimiser.load_state(&state.all("learner_optimiser"))?;
        self.model_optimiser.load_state(&state.all("model_optimiser"))?;
        (self.rng, self.seed, self.steps) = (rng, seed, steps);
        (self.memory, self.history) = (memory, history);
        Ok(())
    }
}
