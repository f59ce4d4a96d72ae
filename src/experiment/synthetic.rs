//! The comparison that needs no data: ways of choosing on seeded clusters.

use std::fmt::{Display, Formatter};
use std::ops::Range;

use candle_core::{DType, Device};

use super::{
    ComparisonOptions, Configuration, Data, Joint, Level, Model, Progress, Run, Selector,
    compare_levels,
};
use crate::data::synthetic::{ClusterOptions, clusters};
use crate::error::Result;
use crate::joint::{ChooseOptions, LookAhead, TrainerOptions};
use crate::learn::{Learner, Length, Mlp, MlpOptions, TrainingOptions};
use crate::seeds::Seeds;

/// A learner and a selection model trained together on clusters with Zipf sizes, where rare clusters matter, and the subsets
/// tested against every [usual](Selector::usual) way of choosing, with wrong labels and without.
///
/// # Example
/// ```no_run
/// use candle_core::Device;
/// use gleaner::experiment::{Run, SyntheticStudy};
///
/// let study = SyntheticStudy::new(true, Default::default());
/// let levels = study.levels(0..2, &Device::Cpu, |_, _, _| Ok(Run::in_memory()), |_| ())?;
/// println!("{study}: {} levels of noise", levels.len());
/// # Ok::<(), gleaner::Error>(())
/// ```
pub struct SyntheticStudy {
    shape: ClusterOptions,
    options: ComparisonOptions,
    /// Optimiser steps of every fresh learner.
    steps: usize,
}

impl SyntheticStudy {
    /// Shares of labels that are flipped.
    pub const NOISES: [f64; 2] = [0.2, 0.0];

    /// At its size in the documents, a minute on two cores, or `quick`: fewer points, clusters and steps. With what the
    /// validation set is asked about while learner and selection are trained.
    pub fn new(quick: bool, look_ahead: LookAhead) -> Self {
        let shape = ClusterOptions { near_duplicates: 0.0, ..Default::default() };
        let small = ClusterOptions { points: 1500, clusters: 30, ..shape };
        let shape = if quick { small } else { shape };
        let (warm_up, steps, fresh) = if quick { (300, 500, 300) } else { (1000, 1700, 600) };
        let trainer = TrainerOptions { warm_up, look_ahead, ..Default::default() };
        let joint = Joint { trainer, batch: 48, steps, choose: ChooseOptions::default() };
        let (selectors, fractions) = (Selector::usual(), vec![0.05, 0.1, 0.2]);
        Self { shape, options: ComparisonOptions { selectors, fractions, joint }, steps: fresh }
    }

    /// Shares of the pool that are kept.
    pub fn fractions(&self) -> &[f64] {
        &self.options.fractions
    }

    /// Learners that so many seeds train at most, for a progress bar.
    pub fn trainings(&self, seeds: usize) -> usize {
        self.options.trainings() * Self::NOISES.len() * seeds
    }

    /// All seeds at every level of noise; what is done is kept in the run that `run` opens for a noise, a seed and
    /// everything that decides about the results.
    ///
    /// # Errors
    /// As [`compare_levels`].
    pub fn levels(
        &self,
        seeds: Range<u64>,
        device: &Device,
        run: impl Fn(f64, u64, Configuration) -> Result<Run> + Sync,
        watch: impl Fn(&Progress) + Sync,
    ) -> Result<Vec<Level>> {
        let ClusterOptions { dimensions, classes, .. } = self.shape;
        let mlp = MlpOptions { inputs: dimensions, hidden: vec![64, 64], classes };
        let build = |seed| -> Result<Box<dyn Learner>> {
            Ok(Box::new(Mlp::new(&mlp, seed, DType::F32, device)?))
        };
        let training = TrainingOptions { length: Length::Steps(self.steps), ..Default::default() };
        let model = Model { name: "mlp".into(), build: &build, training };
        let open = |noise: f64, seed: u64| {
            let data = format!("{:?}, noise {noise}", self.shape);
            let mut asked = Configuration::from([("data".into(), data)]);
            self.options.note(&mut asked);
            model.note("model", &mut asked);
            run(noise, seed, asked)
        };
        let data = |noise, seed| self.data(noise, seed);
        compare_levels(&Self::NOISES, seeds, (&model, &self.options), device, data, open, watch)
    }

    fn data(&self, label_noise: f64, seed: u64) -> Result<Data> {
        let shape = ClusterOptions { label_noise, ..self.shape };
        let made = clusters(&shape, &mut Seeds::new(seed).stream(0))?;
        let (pool, validation, test) = (made.train, made.validation, made.test);
        Ok(Data { pool, validation, test, flipped: made.flipped })
    }
}

/// What is learned from what.
impl Display for SyntheticStudy {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let ClusterOptions { points, clusters, zipf_exponent, classes, validation, test, .. } =
            self.shape;
        write!(
            f,
            "{points} points in {clusters} clusters of Zipf({zipf_exponent}) sizes, {classes} classes, {validation} trusted \
             validation points, {test} test points spread evenly over the clusters; {} optimiser steps for every fresh \
             learner",
            self.steps,
        )
    }
}
