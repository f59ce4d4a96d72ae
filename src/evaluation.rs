//! Judging a subset: the test accuracy of a fresh learner trained on it alone, with the same number of
//! optimiser steps for every way of choosing.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::datasets::{Dataset, shuffled_batches};
use crate::error::{Error, Result};
use crate::learners::{Learner, accuracy_in_batches};
use crate::optimiser::{Optimiser, OptimiserOptions};

/// How a fresh learner is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingOptions {
    /// Optimiser steps, whatever the size of the subset.
    pub steps: usize,
    /// Points a step (fewer if the subset is smaller).
    pub batch: usize,
    /// The optimiser.
    pub optimiser: OptimiserOptions,
    /// Learning rate at the start; it falls to zero along a half cosine.
    pub learning_rate: f64,
}

impl Default for TrainingOptions {
    /// 600 steps of 64 points with AdamW at 3e-3.
    fn default() -> Self {
        Self { steps: 600, batch: 64, optimiser: OptimiserOptions::default(), learning_rate: 3e-3 }
    }
}

/// Which points a learner is trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Diet<'a> {
    /// The same points all the time.
    Fixed(&'a [usize]),
    /// A new uniform sample of this many points every epoch ("fresh random"): it sees, over time, all
    /// the data, at the cost of never being a subset that could be labelled or stored.
    FreshRandom(usize),
}

/// Trains `learner` on `data` restricted to `diet`, calling `watch` after every step.
///
/// # Errors
/// [`Error::OutOfRange`] for an empty diet or options out of range; [`Error::Tensor`] from the learner.
pub fn train(
    learner: &dyn Learner,
    data: &Dataset,
    diet: Diet,
    options: &TrainingOptions,
    seed: u64,
    mut watch: impl FnMut(usize),
) -> Result<()> {
    let size = match diet {
        Diet::Fixed(indices) => indices.len(),
        Diet::FreshRandom(size) => size.min(data.len()),
    };
    if size == 0 || options.batch == 0 {
        let (what, rule) = ("points to train on and batch size", "at least 1");
        return Err(Error::OutOfRange { what, rule, found: 0.0 });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut optimiser =
        Optimiser::new(learner.variables().to_vec(), options.optimiser, options.learning_rate)?;
    let mut step = 0;
    while step < options.steps {
        for batch in epoch(data.len(), diet, size, options.batch, &mut rng) {
            if step == options.steps {
                break;
            }
            let done = step as f64 / options.steps as f64;
            let rate = 0.5 * options.learning_rate * (1.0 + (std::f64::consts::PI * done).cos());
            optimiser.set_learning_rate(rate)?;
            let batch = data.batch(&batch)?;
            let loss = learner.losses(&batch.inputs, &batch.labels)?.mean_all()?;
            optimiser.backward_step(&loss)?;
            watch(step);
            step += 1;
        }
    }
    Ok(())
}

/// One epoch's batches as positions in the data.
fn epoch(
    points: usize,
    diet: Diet,
    size: usize,
    batch: usize,
    rng: &mut dyn RngCore,
) -> Vec<Vec<usize>> {
    let batches = shuffled_batches(size, batch, rng);
    let members: Vec<usize> = match diet {
        Diet::Fixed(indices) => indices.to_vec(),
        Diet::FreshRandom(_) => rand::seq::index::sample(rng, points, size).into_vec(),
    };
    batches.into_iter().map(|b| b.into_iter().map(|k| members[k]).collect()).collect()
}

/// Test accuracy of `learner` after training on `diet` alone.
///
/// # Errors
/// As [`train`].
pub fn judge(
    learner: &dyn Learner,
    data: &Dataset,
    diet: Diet,
    test: &Dataset,
    options: &TrainingOptions,
    seed: u64,
) -> Result<f64> {
    train(learner, data, diet, options, seed, |_| {})?;
    accuracy_in_batches(learner, test, 512)
}
