//! Which of several choices to keep, and whether any of them is surely better than random.

use std::fmt::{Display, Formatter};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::engine::Experiment;
use super::stages::{CHUNK, kept_numbers, state_of_numbers};
use crate::choose::Choice;
use crate::data::stratified_split;
use crate::error::{Error, Result};
use crate::experiment::metrics::mean_and_std;
use crate::learn::learner::for_each_batch;
use crate::learn::{Sampling, Training};
use crate::seeds::Seeds;

/// How a [`Certificate`] comes about.
///
/// ```text
/// 1  the validation data are cut in two halves, class by class
/// 2  every choice trains a model by the real recipe; the better half of them, by accuracy on the first half of the data,
///    trains another with another seed, and so on until one is left (successive halving); random is always trained along
/// 3  the last one and random are compared on the second half, which chose nothing: for each point the difference of how
///    many of their models are right, and a bootstrap over the points
/// 4  unless the lower end of the interval is above zero, random is kept
/// ```
///
/// It speaks of these choices, not of how they were drawn: of a few random points some draws are better than others.
///
/// # Reference
/// K. Jamieson, A. Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*, AISTATS 2016, for
/// halving; B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PortfolioOptions {
    /// Models that the last two are compared by; 3 by default.
    pub trainings: usize,
    /// Of the lower end, one-sided, in (0.5, 1); 0.95 by default.
    pub confidence: f64,
}

impl Default for PortfolioOptions {
    fn default() -> Self {
        Self { trainings: 3, confidence: 0.95 }
    }
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;

/// A choice that was tried.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// Models that were trained on it.
    pub trainings: usize,
    /// Their mean accuracy on the half of the validation data that chooses.
    pub accuracy: f64,
}

/// What a portfolio found: the choice to keep, and on what grounds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Certificate {
    /// The share of the pool.
    pub fraction: f64,
    /// The seed.
    pub seed: u64,
    /// Random first.
    pub tried: Vec<Tried>,
    /// The best of the others.
    pub best: String,
    /// How much more accurate its models are than those on random points, on the half that chose nothing.
    pub gain: f64,
    /// The lower end of the gain.
    pub lower: f64,
    /// How sure that end is.
    pub confidence: f64,
    /// What is kept: the best if that end is above zero, otherwise random.
    pub kept: String,
}

impl Display for Certificate {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { best, kept, .. } = self;
        let (share, sure) = (100.0 * self.fraction, 100.0 * self.confidence);
        let (gain, lower) = (100.0 * self.gain, 100.0 * self.lower);
        let of = self.tried.len();
        if best == kept {
            write!(
                f,
                "{best} at {share} %: {gain:+.1} points over random, above {lower:+.1} with {sure} % confidence; {of} tried"
            )
        } else {
            write!(
                f,
                "no certified gain at {share} %: kept {kept} ({best} {gain:+.1} points, lower end {lower:+.1} with {sure} % confidence; {of} tried)"
            )
        }
    }
}

/// The models of one choice so far: for each, whether every validation point is predicted right, as zeros and ones.
struct Models<'c> {
    name: &'c str,
    choice: &'c Choice,
    right: Vec<Vec<f64>>,
}

impl Models<'_> {
    /// Mean over the models.
    fn right(&self, point: usize) -> f64 {
        self.right.iter().map(|right| right[point]).sum::<f64>() / self.right.len() as f64
    }

    fn accuracy(&self, points: &[usize]) -> f64 {
        points.iter().map(|i| self.right(*i)).sum::<f64>() / points.len().max(1) as f64
    }
}

/// Which of the choices to keep, the first being random, and the seconds of all trainings.
pub(crate) fn certify(
    experiment: &mut Experiment,
    options: &PortfolioOptions,
    fraction: f64,
    choices: &[(String, Choice)],
) -> Result<(Certificate, f64)> {
    options.check()?;
    let Some(validation) = experiment.task.validation else {
        return Err(Error::shape("validation part for a certificate", "one", "none"));
    };
    if choices.is_empty() {
        return Err(Error::shape("choices of a portfolio", "random before it", "none"));
    }
    let mut rng = Seeds::new(experiment.seed).named("portfolio");
    let half = validation.points() / 2;
    let (first, second) = stratified_split(validation.labels(), half, &mut rng)?;
    let mut models: Vec<Models> =
        choices.iter().map(|(name, choice)| Models { name, choice, right: Vec::new() }).collect();
    let mut seconds = 0.0;
    let mut train = |models: &mut Models| -> Result<()> {
        let (right, took) = one_more(experiment, fraction, models)?;
        models.right.push(right);
        seconds += took;
        Ok(())
    };
    let mut left: Vec<usize> = (1..models.len()).collect();
    loop {
        train(&mut models[0])?;
        left.iter().try_for_each(|k| train(&mut models[*k]))?;
        if left.len() < 2 {
            break;
        }
        // Stable: of equal ones the earlier.
        left.sort_by(|a, b| models[*b].accuracy(&first).total_cmp(&models[*a].accuracy(&first)));
        left.truncate(left.len().div_ceil(2));
    }
    let best = left.first().copied().unwrap_or(0);
    for k in [0, best] {
        while models[k].right.len() < options.trainings {
            train(&mut models[k])?;
        }
    }
    let differences: Vec<f64> =
        second.iter().map(|i| models[best].right(*i) - models[0].right(*i)).collect();
    let (gain, _) = mean_and_std(&differences);
    let lower = lower_end(&differences, options.confidence, &mut rng);
    let tried = |models: &Models| Tried {
        name: models.name.to_string(),
        trainings: models.right.len(),
        accuracy: models.accuracy(&first),
    };
    let kept = if lower > 0.0 { best } else { 0 };
    let certificate = Certificate {
        fraction,
        seed: experiment.seed,
        tried: models.iter().map(tried).collect(),
        best: models[best].name.to_string(),
        gain,
        lower,
        confidence: options.confidence,
        kept: models[kept].name.to_string(),
    };
    Ok((certificate, seconds))
}

/// Trains another model on the choice; which validation points it predicts right, and the seconds.
fn one_more(
    experiment: &mut Experiment,
    fraction: f64,
    models: &Models,
) -> Result<(Vec<f64>, f64)> {
    let (number, name) = (models.right.len(), models.name);
    let stage = experiment.stage(&format!("portfolio {name} {fraction} model {number}"));
    let kept = experiment.stages.run.load(&stage)?;
    if let Some(done) = kept.as_ref().filter(|state| state.has_note("done")) {
        return Ok((kept_numbers(done)?, done.note("seconds")?));
    }
    // Other seeds than those of the targets, whose errors are what is reported.
    let seed = Seeds::new(experiment.seed).named(&format!("portfolio model {number}")).random();
    let (model, pool) = (experiment.target, experiment.task.pool);
    let learner = (model.build)(seed)?;
    let choice = models.choice;
    let sampling = match choice.is_equal() {
        true => Sampling::Fixed(&choice.indices),
        false => Sampling::Weighted(&choice.indices, &choice.weights),
    };
    let training = Training::new(&learner, pool, sampling, &model.training, seed)?;
    let trained = experiment.stages.train(&stage, training, kept.as_ref())?;
    let mut right = Vec::new();
    if let Some(validation) = experiment.task.validation {
        for_each_batch(&learner, validation, CHUNK, |inputs, points| {
            let classes = learner.predict(inputs)?;
            let labels = points.iter().map(|i| validation.labels()[*i]);
            right.extend(classes.iter().zip(labels).map(|(c, y)| f64::from(u8::from(*c == y))));
            Ok(())
        })?;
    }
    let mut done = state_of_numbers(&right)?;
    done.set_note("done", 1);
    done.set_note("seconds", trained.seconds);
    experiment.stages.run.save(&stage, &done)?;
    Ok((right, trained.seconds))
}

/// Of the mean of such numbers, by resampling them; no number is surely above anything.
fn lower_end(differences: &[f64], confidence: f64, rng: &mut ChaCha8Rng) -> f64 {
    let points = differences.len();
    if points == 0 {
        return f64::NEG_INFINITY;
    }
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..points).map(|_| differences[rng.random_range(0..points)]);
            drawn.sum::<f64>() / points as f64
        })
        .collect();
    let place = ((1.0 - confidence) * RESAMPLES as f64) as usize;
    *means.select_nth_unstable_by(place.min(RESAMPLES - 1), f64::total_cmp).1
}

impl PortfolioOptions {
    /// Models that so many choices train at most, random among them.
    pub(crate) fn trainings(&self, choices: usize) -> usize {
        let (mut left, mut sum) = (choices.saturating_sub(1), 0);
        loop {
            sum += 1 + left;
            if left < 2 {
                return sum + 2 * self.trainings;
            }
            left = left.div_ceil(2);
        }
    }

    fn check(&self) -> Result<()> {
        if self.trainings == 0 {
            return Err(Error::range("trainings of a portfolio", "at least 1", 0.0));
        }
        let inside = self.confidence > 0.5 && self.confidence < 1.0;
        match inside {
            true => Ok(()),
            false => Err(Error::range("confidence", "above 0.5 and below 1", self.confidence)),
        }
    }
}
