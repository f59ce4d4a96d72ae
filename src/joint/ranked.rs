//! A trainer on several ranks.

use candle_core::{Device, Tensor, Var};

use super::options::StepReport;
use super::parts::Shared;
use super::trainer::{Clock, Trainer, whole_batches};
use crate::data::{Batch, Source};
use crate::error::{Error, Result};
use crate::layer::bridge::to_vec;
use crate::learn::Learner;
use crate::ranks::{Ranks, agreed};

impl<L: Learner> Trainer<L> {
    /// As [`fit_until`](Self::fit_until) on several ranks, all of which see the same `data`: a step takes the next `batch` points
    /// a rank, each rank its own. See [`step_on`](Self::step_on).
    ///
    /// # Errors
    /// As [`step_on`](Self::step_on); [`Error::Shape`] if the trainers of the ranks are not alike.
    pub fn fit_on(
        &mut self,
        ranks: &dyn Ranks,
        data: &dyn Source,
        batch: usize,
        steps: usize,
        seed: u64,
        mut watch: impl FnMut(&StepReport),
    ) -> Result<()> {
        self.check_alike(ranks)?;
        let device = self.learner.device();
        let batches = whole_batches(data.points(), batch, seed);
        let own = batches.skip(ranks.rank()).step_by(ranks.size());
        for batch in own.take(steps).skip(self.steps) {
            let batch = data.batch_at(&batch).and_then(|batch| batch.to_device(&device));
            watch(&self.step_on(ranks, &agreed(ranks, batch)?)?);
        }
        Ok(())
    }

    /// What the ranks start from must be the same on all of them: another seed on one would train learners that have nothing to
    /// do with one another.
    fn check_alike(&self, ranks: &dyn Ranks) -> Result<()> {
        let sum = |variables: &[(String, Var)]| -> Result<f64> {
            let each = variables.iter().map(|(_, var)| Ok(to_vec(var)?.iter().sum::<f64>()));
            each.sum()
        };
        let sums = sum(self.learner.variables()).and_then(|of_learner| {
            Ok([self.steps as f64, of_learner, sum(self.model.variables())?])
        });
        let all = ranks.gather(&agreed(ranks, sums)?)?;
        let bits = |sums: &[f64]| sums.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>();
        match all.iter().position(|sums| bits(sums) != bits(&all[0])) {
            None => Ok(()),
            Some(other) => {
                let expected = "as many steps and the same weights on all ranks".into();
                let found = format!("{:?} on rank 0, {:?} on rank {other}", all[0], all[other]);
                Err(Error::Shape { what: "trainers (steps, sums of weights)", expected, found })
            }
        }
    }

    /// One step on a batch a rank: what [`step_parts`](Self::step_parts) does with all of them, to rounding, here and on every
    /// other rank. Trainers that were made alike on all ranks stay alike. What the learner changes in its forward pass (running
    /// moments) becomes the mean over the ranks, in one process one batch after the other.
    ///
    /// # Cost
    /// The gradients of both models, in `f64`, and what is remembered go from every rank to every other.
    ///
    /// # Errors
    /// As [`step`](Self::step) on the ranks that fail, [`Error::Rank`] on the others, before anything has changed.
    ///
    /// # Example
    /// ```
    /// # use candle_core::{DType, Device, Tensor};
    /// # use gleaner::data::Dataset;
    /// # use gleaner::learn::{Mlp, MlpOptions};
    /// # use gleaner::{Learner, Trainer, TrainerOptions};
    /// use gleaner::ranks::{Ranks, Threads};
    /// # let points: Vec<f32> = (0..120).map(|k| (k % 7) as f32).collect();
    /// # let labels: Vec<u32> = (0..60).map(|k| k % 2).collect();
    /// # let data = Dataset::new(Tensor::from_vec(points, (60, 2), &Device::Cpu)?, labels, 2)?;
    /// # let validation = data.clone();
    ///
    /// // With `Mpi::start()?` in place of a thread, the same lines work on several machines.
    /// let trained = Threads::run(2, |ranks| -> gleaner::Result<Vec<f32>> {
    ///     let shape = MlpOptions { inputs: 2, hidden: vec![8], classes: 2 };
    ///     let learner = Mlp::new(&shape, 0, DType::F32, &Device::Cpu)?;
    ///     let options = TrainerOptions { warm_up: 1, ..Default::default() };
    ///     let mut trainer = Trainer::new(learner, &validation, options, 0)?;
    ///     trainer.fit_on(ranks, &data, 10, 3, 0, |_| {})?; // three steps on 2 x 10 points
    ///     Ok(trainer.learner().variables()[0].1.flatten_all()?.to_vec1()?)
    /// })?;
    /// let [first, second] = &trained[..] else { unreachable!() };
    /// assert_eq!(first.as_ref().unwrap(), second.as_ref().unwrap());
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    pub fn step_on(&mut self, ranks: &dyn Ranks, batch: &Batch) -> Result<StepReport> {
        let part = agreed(ranks, self.part(batch))?;
        let mut report = part.report.clone();
        let mut clock = Clock::start();
        let shared = Shared::on(ranks, part, &self.likes())?;
        agreed(ranks, self.take(shared))?;
        self.average_buffers(ranks)?;
        report.seconds.update += clock.lap();
        report.remembered = self.memory.len();
        Ok(report)
    }

    /// Running moments become those of all ranks.
    fn average_buffers(&self, ranks: &dyn Ranks) -> Result<()> {
        for (_, buffer) in self.learner.buffers() {
            let mut numbers = to_vec(buffer)?;
            ranks.sum(&mut numbers)?;
            numbers.iter_mut().for_each(|number| *number /= ranks.size() as f64);
            let mean = Tensor::from_vec(numbers, buffer.shape(), &Device::Cpu)?;
            buffer.set(&mean.to_dtype(buffer.dtype())?.to_device(buffer.device())?)?;
        }
        Ok(())
    }
}
