//! Which of several choices to keep, and whether any of them is surely better than random.

use std::fmt::{Display, Formatter};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::exam::{Exam, Part};
use crate::error::{Error, Result};
use crate::experiment::metrics::mean_and_std;
use crate::seeds::Seeds;

/// How a [`Certificate`] comes about.
///
/// ```text
/// 1  every way trains a model by the real recipe; the better half of them, by accuracy on the points that choose, trains
///    another with another seed, and so on until one is left (successive halving); random is always trained along
/// 2  new models of the last one and of random are compared on points that chose nothing: for each point the difference of
///    how many of their models are right, and a bootstrap over points and models
/// 3  unless the lower end of the interval is above zero, random is kept
/// ```
///
/// By [`Scheme::CrossValidation`] nobody needs trusted labels: the points are those of the pool, and their labels are
/// as good as those that are chosen from. Wrong ones among them make every difference smaller, by the factor
/// `1 - r C / (C - 1)` for `C` classes and a share `r` of labels that are any other class; they do not turn it round, as
/// long as they fall on right and wrong predictions alike. The gain is therefore left as it is measured: an estimate of
/// `r` would take classes that overlap for wrong labels and promise too much.
///
/// # Reference
/// K. Jamieson, A. Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*, AISTATS 2016, for
/// halving; B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PortfolioOptions {
    /// Which points choose and test.
    pub scheme: Scheme,
    /// Models, on every part of the data that tests, that the last two are compared by; 3 by default.
    pub trainings: usize,
    /// Of the lower end, one-sided, in (0.5, 1); 0.95 by default.
    pub confidence: f64,
}

/// Which points choose, and which test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Two halves of the validation part, class by class. The certificate speaks of the very choices that are kept, not of
    /// how they were drawn: of a few random points some draws are better than others.
    HoldOut,
    /// So many folds of the pool, class by class, the last two fifths of which test: each is asked of models that learned of
    /// a choice among the other folds, drawn anew for every model. The certificate speaks of the ways.
    CrossValidation {
        /// At least three.
        folds: usize,
    },
}

impl Scheme {
    /// How many of so many folds test.
    pub(crate) fn testing(folds: usize) -> usize {
        (2 * folds).div_ceil(5)
    }
}

/// Cross-validation with five folds.
impl Default for Scheme {
    fn default() -> Self {
        Self::CrossValidation { folds: 5 }
    }
}

impl Default for PortfolioOptions {
    fn default() -> Self {
        Self { scheme: Scheme::default(), trainings: 3, confidence: 0.95 }
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
    /// Models that were trained on it for the points that choose.
    pub trainings: usize,
    /// Their mean accuracy on the points that choose.
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
    /// Which points chose and tested.
    pub scheme: Scheme,
    /// How much more accurate its models are than those on random points, by the labels of the points that chose nothing.
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
        let Self { best, kept, scheme, .. } = self;
        let by = match scheme {
            Scheme::HoldOut => "",
            Scheme::CrossValidation { .. } => ", by cross-validation on the labels as given",
        };
        // A number of rows is a share with many digits.
        let share = (1e5 * self.fraction).round() / 1e3;
        let sure = 100.0 * self.confidence;
        let (gain, lower) = (100.0 * self.gain, 100.0 * self.lower);
        let of = self.tried.len();
        if best == kept {
            write!(
                f,
                "{best} at {share} %: {gain:+.1} points over random, above {lower:+.1} with {sure} % confidence{by}; {of} tried"
            )
        } else {
            write!(
                f,
                "no certified gain at {share} %: kept {kept} ({best} {gain:+.1} points, lower end {lower:+.1} with {sure} % confidence{by}; {of} tried)"
            )
        }
    }
}

/// A way in the running.
struct Runner<'n> {
    name: &'n str,
    /// Of every model, on points that choose.
    accuracies: Vec<f64>,
}

impl Runner<'_> {
    fn accuracy(&self) -> f64 {
        mean_and_std(&self.accuracies).0
    }
}

/// Which of the ways to keep, the first being random, and the seconds of all trainings.
pub(crate) fn certify<'n>(
    exam: &mut dyn Exam,
    options: &PortfolioOptions,
    (fraction, seed): (f64, u64),
    names: &[&'n str],
) -> Result<(Certificate, f64)> {
    if names.is_empty() {
        return Err(Error::shape("ways of a portfolio", "random before it", "none"));
    }
    let new = |name: &&'n str| Runner { name, accuracies: Vec::new() };
    let mut runners: Vec<Runner> = names.iter().map(new).collect();
    let (best, mut seconds) = halving(exam, &mut runners)?;
    let mut tested = Vec::new();
    for k in [0, best] {
        let mut models = Vec::new();
        for number in 0..options.trainings {
            let answers = exam.ask(k, Part::Testing, number)?;
            seconds += answers.seconds;
            models.push(answers.right);
        }
        tested.push(models);
    }
    let mut rng = Seeds::new(seed).named("portfolio bootstrap");
    let (gain, lower) = compared(&tested[1], &tested[0], options.confidence, &mut rng);
    let tried = |r: &Runner| Tried {
        name: r.name.to_string(),
        trainings: r.accuracies.len(),
        accuracy: r.accuracy(),
    };
    let kept = if lower > 0.0 { best } else { 0 };
    let certificate = Certificate {
        fraction,
        seed,
        tried: runners.iter().map(tried).collect(),
        best: names[best].to_string(),
        scheme: options.scheme,
        gain,
        lower,
        confidence: options.confidence,
        kept: names[kept].to_string(),
    };
    Ok((certificate, seconds))
}

/// The best but the first, or the first where it is alone, and the seconds.
fn halving(exam: &mut dyn Exam, runners: &mut [Runner]) -> Result<(usize, f64)> {
    let (mut left, mut seconds): (Vec<usize>, f64) = ((1..runners.len()).collect(), 0.0);
    for round in 0.. {
        for k in std::iter::once(0).chain(left.iter().copied()) {
            let answers = exam.ask(k, Part::Choosing, round)?;
            let right: Vec<f64> = answers.right.concat();
            runners[k].accuracies.push(mean_and_std(&right).0);
            seconds += answers.seconds;
        }
        // Stable: of equal ones the earlier.
        left.sort_by(|a, b| runners[*b].accuracy().total_cmp(&runners[*a].accuracy()));
        left.truncate(left.len().div_ceil(2));
        if left.len() < 2 {
            break;
        }
    }
    Ok((left.first().copied().unwrap_or(0), seconds))
}

/// Models of a way, each with the blocks of points that it was asked about.
type Models = [Vec<Vec<f64>>];

/// How much more often the first models are right than the second, and the lower end of that.
fn compared(first: &Models, second: &Models, confidence: f64, rng: &mut ChaCha8Rng) -> (f64, f64) {
    let sizes: Vec<usize> = first[0].iter().map(Vec::len).collect(); // of at least one model
    let total = sizes.iter().sum::<usize>() as f64;
    if total == 0.0 {
        return (0.0, f64::NEG_INFINITY);
    }
    let everyone: Vec<Vec<f64>> = sizes.iter().map(|size| vec![1.0; *size]).collect();
    let all: Vec<usize> = (0..first.len()).collect();
    // Points of a block counted so often, each answered by one model of the list after the other.
    let right = |models: &Models, drawn: &[usize], block: usize, counts: &[f64]| -> f64 {
        let of = |k: &usize| -> f64 {
            models[*k][block].iter().zip(counts).map(|(right, count)| right * count).sum()
        };
        drawn.iter().map(of).sum::<f64>() / drawn.len() as f64
    };
    let mut difference = 0.0;
    for (block, counts) in everyone.iter().enumerate() {
        difference += right(first, &all, block, counts) - right(second, &all, block, counts);
    }
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut sum = 0.0;
            for (block, size) in sizes.iter().enumerate() {
                let mut counts = vec![0.0; *size];
                (0..*size).for_each(|_| counts[rng.random_range(0..*size)] += 1.0);
                let mut models = || -> Vec<usize> {
                    all.iter().map(|_| rng.random_range(0..all.len())).collect()
                };
                let (a, b) = (models(), models());
                sum += right(first, &a, block, &counts) - right(second, &b, block, &counts);
            }
            sum / total
        })
        .collect();
    let place = ((1.0 - confidence) * RESAMPLES as f64) as usize;
    let place = place.min(RESAMPLES - 1);
    (difference / total, *drawn.select_nth_unstable_by(place, f64::total_cmp).1)
}

impl PortfolioOptions {
    /// Models that so many ways train at most, random among them.
    pub(crate) fn trainings(&self, ways: usize) -> usize {
        let blocks = match self.scheme {
            Scheme::HoldOut => 1,
            Scheme::CrossValidation { folds } => Scheme::testing(folds),
        };
        let (mut left, mut sum) = (ways.saturating_sub(1), 0);
        loop {
            sum += 1 + left;
            left = left.div_ceil(2);
            if left < 2 {
                return sum + 2 * self.trainings * blocks;
            }
        }
    }

    /// # Errors
    /// [`Error::OutOfRange`] for no trainings or no confidence.
    pub(crate) fn check(&self) -> Result<()> {
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
