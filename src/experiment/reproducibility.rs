//! How much of a result is chance, and whose.

use candle_core::{DType, Device};
use rand::seq::SliceRandom;

use super::engine::sampling_of;
use super::{FeatureStudy, LabelNoise, Observations};
use crate::choose::{CrossFit, Strategy};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::joint::Amount;
use crate::layer::bridge::to_vec;
use crate::learn::{Learner, Length, Mlp, MlpOptions, TrainingOptions, error_in_batches, train};
use crate::seeds::Seeds;

/// What a repetition does otherwise than the first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: the same seed again.
    Nothing,
    /// So many threads; the first run has one.
    Threads(usize),
    /// Numbers of 64 bits in the network.
    Precision,
    /// The rows of the pool in another order.
    Order,
    /// Another seed for evidence, choice and network; the pool stays.
    Seed,
}

impl Change {
    /// All, as a study makes them.
    pub const ALL: [Self; 5] =
        [Self::Nothing, Self::Threads(2), Self::Precision, Self::Order, Self::Seed];

    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Self::Nothing => "same seed again".into(),
            Self::Threads(threads) => format!("{threads} threads"),
            Self::Precision => "f64 network".into(),
            Self::Order => "rows in another order".into(),
            Self::Seed => "another seed".into(),
        }
    }

    /// Whether one repetition says all: what would be drawn is the same each time.
    fn is_fixed(self) -> bool {
        !matches!(self, Self::Order | Self::Seed)
    }
}

/// One run of a strategy, and the network trained on what it chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    /// `None`: the first run, which the others are held against.
    pub change: Option<Change>,
    /// Which time with this change, from 1; 0 for the first run.
    pub repeat: usize,
    /// The strategy.
    pub strategy: String,
    /// Test error of the network.
    pub error: f64,
    /// The share of its points that the first run has chosen too.
    pub common: f64,
    /// Whether the choice and every weight of the network are the first run's, to the last bit.
    pub same_bits: bool,
}

impl Repeat {
    /// What was changed, in tables.
    pub fn name(&self) -> String {
        self.change.map_or("first run".into(), Change::name)
    }
}

/// What a run left.
struct Found {
    /// Rows of the pool as it was drawn, ascending.
    chosen: Vec<usize>,
    error: f64,
    /// All of the network's, one after the other.
    weights: Vec<f64>,
}

impl FeatureStudy<'_> {
    /// Every strategy at one share: once, and again with each [`Change`], those that draw anew `repeats` times.
    ///
    /// Strategies see inputs, labels and probabilities out of fold; the same pool, noise and test part for all.
    ///
    /// # Cost
    /// `4 + 2 repeats` runs a strategy.
    ///
    /// # Errors
    /// As [`seed`](Self::seed), [`Error::Start`] if the system refuses a thread, and whatever a strategy meets.
    pub fn reproducibility(
        &self,
        strategies: &[Box<dyn Strategy>],
        (noise, share): (LabelNoise, f64),
        repeats: usize,
        seed: u64,
        mut watch: impl FnMut(),
    ) -> Result<Vec<Repeat>> {
        let data = self.data(noise, seed)?;
        let count = Amount::Fraction(share).of(data.pool.len())?;
        let mut all = Vec::new();
        for strategy in strategies {
            let mut run = |change, k| -> Result<Found> {
                let found =
                    once(self.steps, (&data.pool, &data.test), strategy, count, (change, k, seed))?;
                watch();
                Ok(found)
            };
            let first = run(None, 0)?;
            let mut note = |change, k: usize, found: &Found| {
                let common = found.chosen.iter().filter(|i| first.chosen.binary_search(i).is_ok());
                all.push(Repeat {
                    change,
                    repeat: k,
                    strategy: strategy.name().to_owned(),
                    error: found.error,
                    common: common.count() as f64 / count as f64,
                    same_bits: (&found.chosen, &found.weights) == (&first.chosen, &first.weights),
                });
            };
            note(None, 0, &first);
            for change in Change::ALL {
                for k in 1..=if change.is_fixed() { 1 } else { repeats } {
                    note(Some(change), k, &run(Some(change), k)?);
                }
            }
        }
        Ok(all)
    }
}

/// A choice and a network, with a change.
fn once(
    steps: usize,
    (pool, test): (&Dataset, &Dataset),
    strategy: &dyn Strategy,
    count: usize,
    (change, k, seed): (Option<Change>, usize, u64),
) -> Result<Found> {
    let mut order: Vec<usize> = (0..pool.len()).collect();
    if change == Some(Change::Order) {
        order.shuffle(&mut Seeds::new(seed).named(&format!("order {k}")));
    }
    let seed = if change == Some(Change::Seed) { seed.wrapping_add(k as u64) } else { seed };
    let dtype = if change == Some(Change::Precision) { DType::F64 } else { DType::F32 };
    let threads = if let Some(Change::Threads(threads)) = change { threads } else { 1 };
    let workers = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let workers = workers
        .map_err(|error| Error::Start { what: "threads", source: std::io::Error::other(error) })?;
    workers.install(|| {
        let (pool, seeds) = (pool.subset(&order)?, Seeds::new(seed));
        let seen = Observations::out_of_fold(&pool, &CrossFit::default(), seeds)?;
        let choice = strategy.select(&seen.evidence()?, count, &mut seeds.stream(0))?;
        let shape =
            MlpOptions { inputs: pool.inputs().dim(1)?, hidden: vec![64], classes: pool.classes() };
        let learner = Mlp::new(&shape, seed, dtype, &Device::Cpu)?;
        let training = TrainingOptions { length: Length::Steps(steps), ..Default::default() };
        train(&learner, &pool.to_dtype(dtype)?, sampling_of(&choice), &training, seed, |_| ())?;
        let mut weights = Vec::new();
        for (_, variable) in learner.variables() {
            weights.extend(to_vec(variable)?);
        }
        let mut chosen: Vec<usize> = choice.indices.iter().map(|i| order[*i]).collect();
        chosen.sort_unstable();
        Ok(Found {
            chosen,
            error: error_in_batches(&learner, &test.to_dtype(dtype)?, 256)?,
            weights,
        })
    })
}
