//! Ways of choosing side by side on given features.

use candle_core::{DType, Device};

use super::{Comparison, ComparisonOptions, Configuration, Data, Model, Run, Stages, compare};
use crate::data::{
    Dataset, Standardiser, fingerprint, flip_labels, flip_labels_to_next, stratified_split,
};
use crate::error::Result;
use crate::learn::{Learner, Length, Mlp, MlpOptions, TrainingOptions};
use crate::seeds::Seeds;

/// Labels that are made wrong for a study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LabelNoise {
    /// Labels as they are.
    No,
    /// This share of the labels becomes any other class.
    Symmetric(f64),
    /// This share becomes the next class.
    NextClass(f64),
}

impl LabelNoise {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Symmetric(_) => "symmetric",
            Self::NextClass(_) => "next-class",
        }
    }

    /// The share of labels that become wrong.
    pub fn rate(self) -> f64 {
        match self {
            Self::No => 0.0,
            Self::Symmetric(rate) | Self::NextClass(rate) => rate,
        }
    }
}

/// Networks (one hidden layer of 64) trained on what each way chooses of given features, and tested once.
///
/// ```text
/// train part --> 300 points of validation, a quarter at most, whose labels stay right
///            --> `points` of the rest, class by class: the pool, its labels spoiled, features standardised
/// ```
pub struct FeatureStudy<'a> {
    /// The set's name.
    pub name: &'a str,
    /// What pool and validation part are drawn from.
    pub train: &'a Dataset,
    /// Looked at once by every network.
    pub test: &'a Dataset,
    /// Points of the pool at most.
    pub points: usize,
    /// Optimiser steps of every network.
    pub steps: usize,
    /// Who takes part, at which shares.
    pub options: &'a ComparisonOptions,
}

const VALIDATION: usize = 300;

impl FeatureStudy<'_> {
    /// One seed at one kind of noise, its stages kept in the run that `run` opens for everything that decides about the
    /// results.
    ///
    /// # Errors
    /// As [`compare`], and [`Error::OutOfRange`](crate::Error::OutOfRange) for a rate that is none.
    pub fn seed(
        &self,
        noise: LabelNoise,
        seed: u64,
        device: &Device,
        run: impl FnOnce(Configuration) -> Result<Run>,
        watch: &mut dyn FnMut(&super::Progress),
    ) -> Result<Comparison> {
        let data = self.data(noise, seed)?.to_device(device)?;
        let (inputs, classes) = (data.pool.inputs().dim(1)?, data.pool.classes());
        let shape = MlpOptions { inputs, hidden: vec![64], classes };
        let build = |seed| -> Result<Box<dyn Learner>> {
            Ok(Box::new(Mlp::new(&shape, seed, DType::F32, device)?))
        };
        let training = TrainingOptions { length: Length::Steps(self.steps), ..Default::default() };
        let model = Model { name: "mlp".into(), build: &build, training };
        let data_of = format!("{}, {} points, {noise:?}", self.name, self.points);
        let parts = [&data.pool, &data.validation, &data.test];
        let contents = parts.into_iter().map(|part| fingerprint(part));
        let contents = contents.collect::<Result<Vec<_>>>()?.join(" ");
        let mut asked = Configuration::from([("data".into(), data_of)]);
        asked.insert("contents".into(), contents);
        self.options.note(&mut asked);
        model.note("model", &mut asked);
        let run = run(asked)?;
        compare(data.task(), &model, self.options, seed, Stages { run: &run, watch })
    }

    pub(super) fn data(&self, noise: LabelNoise, seed: u64) -> Result<Data> {
        let (seeds, labels) = (Seeds::new(seed), self.train.labels());
        let rng = &mut seeds.named("split");
        let size = VALIDATION.min(labels.len() / 4);
        let (validation, rest) = stratified_split(labels, size, rng)?;
        let of_rest: Vec<u32> = rest.iter().map(|i| labels[*i]).collect();
        let (kept, _) = stratified_split(&of_rest, self.points.min(rest.len()), rng)?;
        let pool: Vec<usize> = kept.iter().map(|k| rest[*k]).collect();
        let pool = self.train.subset(&pool)?;
        let standard = Standardiser::of(&pool)?;
        let validation = standard.dataset(&self.train.subset(&validation)?)?;
        let (pool, test) = (standard.dataset(&pool)?, standard.dataset(self.test)?);
        let (given, classes, rng) = (pool.labels(), pool.classes(), &mut seeds.named("noise"));
        let (noisy, flipped) = match noise {
            LabelNoise::No => (given.to_vec(), Vec::new()),
            LabelNoise::Symmetric(rate) => flip_labels(given, classes, rate, rng)?,
            LabelNoise::NextClass(rate) => flip_labels_to_next(given, classes, rate, rng)?,
        };
        Ok(Data { pool: pool.with_labels(noisy)?, validation, test, flipped })
    }
}
