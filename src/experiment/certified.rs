//! One choice, the certified best of several ways, without a test part.

use std::collections::BTreeMap;

use super::engine::Experiment;
use super::exam::{CrossValidation, Folds, HoldOut, Way, choose, observe};
use super::portfolio::{Certificate, PortfolioOptions, Scheme, certify};
use super::{Model, Seconds, Selector, Stages, Task};
use crate::choose::Choice;
use crate::data::Source;
use crate::error::{Error, Result};
use crate::joint::Amount;
use crate::seeds::Seeds;

/// Chooses a share of the pool by the way that a certificate keeps, of ways on the inputs
/// ([`Selector::OutOfFold`], [`Selector::Gleaner`]); the first must be random. A [`Scheme::HoldOut`] asks the validation part;
/// where there is one the ways look at it too.
///
/// # Cost
/// [`Certificate`] says what is trained; every way looks at the pool and at each fold.
///
/// # Errors
/// [`Error::OutOfRange`] for options or a share that are none, [`Error::Shape`] without ways or for one of another kind, and
/// whatever a way or a training meets.
///
/// # Example
/// ```
/// use candle_core::{DType, Device};
/// use gleaner::data::synthetic::{ClusterOptions, clusters};
/// use gleaner::experiment::{Model, PortfolioOptions, Run, Selector, Stages, certified};
/// use gleaner::learn::{Learner, Length, Mlp, MlpOptions, TrainingOptions};
/// # let mut rng = rand::rng();
///
/// let shape = ClusterOptions { points: 400, clusters: 8, label_noise: 0.2, ..Default::default() };
/// let pool = clusters(&shape, &mut rng)?.train;
/// let mlp = MlpOptions { inputs: shape.dimensions, hidden: vec![16], classes: shape.classes };
/// let build = |seed| -> gleaner::Result<Box<dyn Learner>> {
///     Ok(Box::new(Mlp::new(&mlp, seed, DType::F32, &Device::Cpu)?))
/// };
/// let training = TrainingOptions { length: Length::Steps(50), ..Default::default() };
/// let model = Model { name: "mlp".into(), build: &build, training };
/// let ways = &Selector::on_features()[..2]; // random, gleaner
/// let stages = Stages { run: &Run::in_memory(), watch: &mut |_| () };
/// let (certificate, choice) =
///     certified((&pool, None), &model, ways, 0.1, &PortfolioOptions::default(), 0, stages)?;
/// println!("{certificate}"); // gleaner at 10 %: +12.5 points over random, above +8.1 with 95 % confidence, …
/// assert_eq!((certificate.tried.len(), choice.len()), (2, 40));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn certified(
    (pool, validation): (&dyn Source, Option<&dyn Source>),
    model: &Model,
    ways: &[Selector],
    fraction: f64,
    options: &PortfolioOptions,
    seed: u64,
    stages: Stages,
) -> Result<(Certificate, Choice)> {
    options.check()?;
    let count = Amount::Fraction(fraction).of(pool.points())?;
    let way = |selector| Way::new(selector, Seconds::default());
    let ways: Vec<Way> = ways.iter().map(way).collect();
    let seeds = Seeds::new(seed);
    let (seen, mut gleaned) = (observe(pool, validation, seeds)?, BTreeMap::new());
    let mut choice_of =
        |way: usize| choose(ways[way].selector, (way, count), &seen, &mut gleaned, (seeds, 0));
    let mut experiment = Experiment {
        // Nobody is tested.
        task: Task { pool, validation, test: pool, flipped: &[] },
        target: model,
        fractions: &[fraction],
        seed,
        target_seed: seed,
        scope: format!("seed{seed}"),
        stages,
        outcomes: Vec::new(),
    };
    let names: Vec<&str> = ways.iter().map(|way| way.name.as_str()).collect();
    let asked = (fraction, seed);
    let (certificate, _) = match options.scheme {
        Scheme::CrossValidation { folds } => {
            let mut folds = Folds::new(&experiment, &ways, folds)?;
            let mut exam =
                CrossValidation { experiment: &mut experiment, folds: &mut folds, fraction };
            certify(&mut exam, options, asked, &names)?
        }
        Scheme::HoldOut => {
            let choices = (0..ways.len()).map(&mut choice_of).collect::<Result<Vec<_>>>()?;
            let mut exam = HoldOut::new(&mut experiment, fraction, &ways, &choices)?;
            certify(&mut exam, options, asked, &names)?
        }
    };
    let Some(kept) = names.iter().position(|name| *name == certificate.kept) else {
        return Err(Error::shape("way that is kept", "one of those tried", &certificate.kept));
    };
    let choice = choice_of(kept)?;
    Ok((certificate, choice))
}
