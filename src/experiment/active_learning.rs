//! Choosing in rounds what is worth a label.

use std::time::Instant;

use super::Observations;
use super::engine::{Candidate, Experiment, sampling_of};
use super::stages::{index_tensor, indices_of};
use super::{Chooser, Model, Outcome, Seconds, Stages, Task};
use crate::choose::{Choice, Evidence, Kind, Needs, Random, Strategy, check_needs};
use crate::data::{Source, Subset};
use crate::error::{Error, Result};
use crate::learn::Checkpoint;
use crate::learn::Learner;
use crate::learn::{Sampling, Training, restore_learner};
use candle_core::{Device, Tensor};

/// What a strategy can be told about points without labels.
pub const KNOWN_WITHOUT_LABELS: Needs = Needs::of(&[Kind::Features, Kind::Probabilities]);

/// Whoever knows the labels: a file, a person, a service.
pub trait Oracle {
    /// The class of each of these points of the pool, in that order.
    ///
    /// Every answer is kept before anything else happens, so no point is asked for twice, also after a
    /// kill; only an answer that was still being given is asked for again.
    ///
    /// # Errors
    /// Whatever keeps it from answering; the round can be repeated.
    fn ask(&mut self, points: &[usize]) -> Result<Vec<u32>>;
}

/// Answers with labels that are there already: for experiments.
#[derive(Clone, Copy, Debug)]
pub struct KnownLabels<'a>(pub &'a [u32]);

impl Oracle for KnownLabels<'_> {
    fn ask(&mut self, points: &[usize]) -> Result<Vec<u32>> {
        points
            .iter()
            .map(|&point| {
                self.0.get(point).copied().ok_or(Error::range(
                    "point asked for",
                    "below the number of known labels",
                    point as f64,
                ))
            })
            .collect()
    }
}

/// How many labels are bought, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// Labels of random points to begin with.
    pub initial: usize,
    /// Labels of each round after that.
    pub rounds: Vec<usize>,
    /// Rounds after which the target is trained and tested, 0 being the initial one.
    pub evaluate: Vec<usize>,
    /// Whether the proxy goes on from its weights of the round before, rather than from fresh ones.
    pub warm: bool,
}

impl Rounds {
    /// Equal rounds, the target tested after each, the proxy trained from scratch.
    pub fn equal(initial: usize, size: usize, rounds: usize) -> Self {
        let evaluate = (0..=rounds).collect();
        Self { initial, rounds: vec![size; rounds], evaluate, warm: false }
    }

    /// All that decides which labels are bought, as text.
    fn sizes(&self) -> String {
        let start = if self.warm { "warm" } else { "fresh" };
        format!("{} and {:?}, {start} proxies", self.initial, self.rounds)
    }

    /// Refuses what no pool of so many points can give: for callers who want to know before they open a
    /// run for it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an empty round, more labels than points, or a round to evaluate that
    /// there is not.
    pub fn check(&self, points: usize) -> Result<()> {
        let sizes = self.rounds.iter().chain([&self.initial]);
        let total = sizes.clone().try_fold(0usize, |sum, size| sum.checked_add(*size));
        if sizes.clone().any(|size| *size == 0) {
            let (what, rule) = ("labels of a round", "at least 1");
            return Err(Error::range(what, rule, 0.0));
        }
        let total = total.unwrap_or(usize::MAX);
        if total > points {
            let (what, rule) = ("labels of all rounds", "at most the number of points");
            return Err(Error::range(what, rule, total as f64));
        }
        match self.evaluate.iter().find(|round| **round > self.rounds.len()) {
            None => Ok(()),
            Some(&round) => {
                Err(Error::range("round to evaluate", "at most the number of rounds", round as f64))
            }
        }
    }
}

/// All that [`active_learning`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveLearning {
    /// The rounds that were evaluated: the points are the labels bought so far, the seconds those of all
    /// rounds, but for the target of this round alone.
    pub outcomes: Vec<Outcome>,
    /// Points of the pool in the order in which their labels were bought.
    pub bought: Vec<usize>,
    /// Their labels.
    pub labels: Vec<u32>,
}

/// Buys labels in rounds: trains `proxy` on what is labelled, lets `strategy` choose among the rest, asks
/// `oracle`; and trains `target` on what was bought where [`Rounds::evaluate`] says so.
///
/// The pool's own labels are never read. The strategy sees features and probabilities of unlabelled
/// points, and the features of the labelled ones as what is already there
/// ([`Evidence::with_remembered`]): a strategy that needs labels or losses is refused. The first round
/// depends on `seed` alone, so strategies can be compared from equal beginnings. A strategy that needs
/// nothing, such as [`Random`], asks no proxy: none is trained for it.
///
/// Stages are kept under names that begin with the seed, the strategy and the proxy.
///
/// # Errors
/// [`Error::OutOfRange`] for rounds that do not fit the pool, [`Error::Shape`] for an answer of the wrong
/// length or labels that were bought in other rounds, [`Error::OutOfRange`] for one that is no class; whatever training, observing and the strategy
/// meet.
pub fn active_learning(
    task: Task,
    (proxy, target): (&Model, &Model),
    strategy: &dyn Strategy,
    rounds: &Rounds,
    oracle: &mut dyn Oracle,
    seed: u64,
    stages: Stages,
) -> Result<ActiveLearning> {
    rounds.check(task.pool.points())?;
    check_needs(strategy, KNOWN_WITHOUT_LABELS)?;
    let scope = format!("seed{seed} {} by {}", strategy.name(), proxy.name);
    let (fractions, outcomes) = (&[], Vec::new());
    let experiment =
        Experiment { task, target, fractions, seed, target_seed: seed, scope, stages, outcomes };
    let mut buyer = Buyer { experiment, proxy, strategy, rounds, oracle };
    let mut ledger = buyer.ledger()?;
    for round in 0..=rounds.rounds.len() {
        if ledger.budgets.len() == round {
            buyer.buy(round, &mut ledger)?;
        }
        if rounds.evaluate.contains(&round) {
            buyer.test(round, &ledger)?;
        }
    }
    let outcomes = buyer.experiment.outcomes;
    Ok(ActiveLearning { outcomes, bought: ledger.bought, labels: ledger.labels })
}

struct Buyer<'a, 'o, 's> {
    experiment: Experiment<'a, 's>,
    proxy: &'a Model<'a>,
    strategy: &'a dyn Strategy,
    rounds: &'a Rounds,
    oracle: &'o mut dyn Oracle,
}

/// What was bought, in order, and what it took.
#[derive(Default)]
struct Ledger {
    bought: Vec<usize>,
    labels: Vec<u32>,
    /// Their weights, each in the round that bought it.
    weights: Vec<f64>,
    /// Labels after each round.
    budgets: Vec<usize>,
    /// Seconds of each round: training the proxy, and choosing.
    seconds: Vec<[f64; 2]>,
}

impl Ledger {
    /// The first `budget` points with the labels that were bought, and their choice as all of them.
    fn labelled<'a>(&self, pool: &'a dyn Source, budget: usize) -> Result<(Subset<'a>, Choice)> {
        let part = Subset::new(pool, self.bought[..budget].to_vec())?;
        let all = Choice::weighted((0..budget).collect(), self.weights[..budget].to_vec())?;
        Ok((part.with_labels(self.labels[..budget].to_vec())?, all))
    }

    fn seconds_until(&self, round: usize) -> Seconds {
        let sum = |k: usize| self.seconds[..=round].iter().map(|seconds| seconds[k]).sum();
        Seconds { training: sum(0), selection: sum(1), target: 0.0 }
    }

    fn state(&self) -> Result<Checkpoint> {
        let mut state = Checkpoint::new();
        state.set("bought", index_tensor(&self.bought)?);
        let labels = Tensor::from_slice(&self.labels, self.labels.len(), &Device::Cpu)?;
        state.set("labels", labels);
        let weights = Tensor::from_slice(&self.weights, self.weights.len(), &Device::Cpu)?;
        state.set("weights", weights);
        state.set("budgets", index_tensor(&self.budgets)?);
        let seconds = self.seconds.as_flattened();
        let seconds = Tensor::from_slice(seconds, (self.seconds.len(), 2), &Device::Cpu)?;
        state.set("seconds", seconds);
        Ok(state)
    }

    fn from_state(state: &Checkpoint) -> Result<Self> {
        let seconds = state.tensor("seconds")?.to_vec2::<f64>()?;
        let bought = indices_of(state, "bought")?;
        // Labels that were kept before weights were: they are worth more than the difference.
        let weights = match state.tensor("weights") {
            Ok(weights) => weights.to_vec1()?,
            Err(_) => vec![1.0; bought.len()],
        };
        Ok(Self {
            bought,
            labels: state.tensor("labels")?.to_vec1()?,
            weights,
            budgets: indices_of(state, "budgets")?,
            seconds: seconds.iter().map(|pair| [pair[0], pair[1]]).collect(),
        })
    }
}

impl Buyer<'_, '_, '_> {
    fn ledger(&self) -> Result<Ledger> {
        let stage = self.experiment.stage("ledger");
        let Some(kept) = self.experiment.stages.run.load(&stage)? else {
            return Ok(Ledger::default());
        };
        let (found, expected) = (kept.note::<String>("rounds")?, self.rounds.sizes());
        if found != expected {
            return Err(Error::Shape { what: "rounds of the kept labels", expected, found });
        }
        Ledger::from_state(&kept)
    }

    /// Trains and tests the target on the labels of a round and all before it.
    fn test(&mut self, round: usize, ledger: &Ledger) -> Result<()> {
        let (pool, budget) = (self.experiment.task.pool, ledger.budgets[round]);
        let chooser =
            if self.strategy.needs() == Needs::NOTHING { Chooser::Nobody } else { Chooser::Proxy };
        let before = ledger.seconds_until(round);
        let candidate = Candidate { name: self.strategy.name(), chooser, before };
        let fraction = budget as f64 / pool.points() as f64;
        let (part, all) = ledger.labelled(pool, budget)?;
        self.experiment.test(candidate, fraction, &part, whole(&all), None)
    }

    /// One round: choose, ask, and write down the answer before anything else.
    fn buy(&mut self, round: usize, ledger: &mut Ledger) -> Result<()> {
        let (wanted, seconds) = match round {
            0 => (self.first()?, [0.0; 2]),
            _ => self.choose(round, ledger)?,
        };
        let labels = self.oracle.ask(&wanted.indices)?;
        if labels.len() != wanted.len() {
            return Err(Error::shape("labels answered", wanted.len(), labels.len()));
        }
        let classes = self.experiment.task.pool.classes();
        if let Some(&label) = labels.iter().find(|label| **label as usize >= classes) {
            let (what, rule) = ("label answered", "below the number of classes");
            return Err(Error::range(what, rule, f64::from(label)));
        }
        ledger.bought.extend(wanted.indices);
        ledger.labels.extend(labels);
        ledger.weights.extend(wanted.weights);
        ledger.budgets.push(ledger.bought.len());
        ledger.seconds.push(seconds);
        let mut state = ledger.state()?;
        state.set_note("rounds", self.rounds.sizes());
        self.experiment.stages.run.save(&self.experiment.stage("ledger"), &state)
    }

    /// Random points, the same for all strategies.
    fn first(&self) -> Result<Choice> {
        let mut rng = self.experiment.rng(0);
        let nothing = Evidence::new(self.experiment.task.pool.points());
        Random.select(&nothing, self.rounds.initial, &mut rng)
    }

    /// Points of the pool for this round, and the seconds of training the proxy and of choosing.
    fn choose(&mut self, round: usize, ledger: &Ledger) -> Result<(Choice, [f64; 2])> {
        let pool = self.experiment.task.pool;
        let mut free = vec![true; pool.points()];
        ledger.bought.iter().for_each(|point| free[*point] = false);
        let free: Vec<usize> = (0..pool.points()).filter(|point| free[*point]).collect();
        let count = self.rounds.rounds[round - 1];
        let mut rng = self.experiment.rng(round as u64);
        if self.strategy.needs() == Needs::NOTHING {
            let started = Instant::now();
            let chosen = self.strategy.select(&Evidence::new(free.len()), count, &mut rng)?;
            return Ok((chosen.among(&free), [0.0, started.elapsed().as_secs_f64()]));
        }
        let (learner, training) = self.train_proxy(round, ledger)?;
        let started = Instant::now();
        let seen = Observations::unlabelled(&learner, &Subset::new(pool, free.clone())?)?;
        let known = Subset::new(pool, ledger.bought.clone())?;
        let remembered = Observations::unlabelled(&learner, &known)?;
        let (rows, width) = remembered.features();
        let evidence = seen.evidence()?.with_remembered(rows, width)?;
        let chosen = self.strategy.select(&evidence, count, &mut rng)?;
        Ok((chosen.among(&free), [training, started.elapsed().as_secs_f64()]))
    }

    /// The proxy trained on what is labelled, and the seconds it took.
    fn train_proxy(&mut self, round: usize, ledger: &Ledger) -> Result<(Box<dyn Learner>, f64)> {
        let stage = |round: usize| {
            self.experiment.stage(&format!("round {round} proxy {}", self.proxy.name))
        };
        let learner = (self.proxy.build)(self.experiment.seed)?;
        if self.rounds.warm
            && let Some(before) = self.experiment.stages.run.load(&stage(round - 1))?
        {
            restore_learner(&learner, &before)?;
        }
        let (labelled, all) = ledger.labelled(self.experiment.task.pool, ledger.bought.len())?;
        let (options, seed) = (&self.proxy.training, self.experiment.seed);
        let training = Training::new(&learner, &labelled, whole(&all), options, seed)?;
        let stage = stage(round);
        let kept = self.experiment.stages.run.load(&stage)?;
        let seconds = self.experiment.stages.train(&stage, training, kept.as_ref())?.seconds;
        Ok((learner, seconds))
    }
}

/// All that was bought, weighted as the strategy says.
fn whole(all: &Choice) -> Sampling<'_> {
    match sampling_of(all) {
        Sampling::Fixed(_) => Sampling::All,
        weighted => weighted,
    }
}
