//! One choice from data whose labels are all known.

use super::engine::{Candidate, Experiment, Joint, REPEATS};
use super::{Chooser, Configuration, Model, Outcome, Seconds, Stages, Task};
use crate::choose::{Evidence, Kind, Needs, Random, Strategy, check_distinct};
use crate::error::{Error, Result};
use crate::experiment::metrics::spearman;
use crate::joint::Amount;

/// What [`core_set`] compares.
#[derive(Clone, Debug, PartialEq)]
pub struct CoreSetOptions {
    /// Shares of the pool to keep, each in (0, 1].
    pub fractions: Vec<f64>,
    /// Whether the target also chooses for itself, with every strategy: what the proxy is measured
    /// against, and what it saves.
    pub target_chooses: bool,
    /// The learned selection beside the strategies, if asked for, the proxy going on from where its own
    /// training ended: the strategy `convex, learned`.
    pub joint: Option<Joint>,
}

impl Default for CoreSetOptions {
    /// 10 to 90 %, and the target chooses for itself.
    fn default() -> Self {
        Self {
            fractions: (1..10).map(|k| f64::from(k) / 10.0).collect(),
            target_chooses: true,
            joint: None,
        }
    }
}

impl CoreSetOptions {
    /// Refuses what no pool of so many points can give: for callers who want to know before they open a
    /// run for it.
    ///
    /// # Errors
    /// [`Error::Shape`] for no fraction, [`Error::OutOfRange`] for one that is not in (0, 1].
    pub fn check(&self, points: usize) -> Result<()> {
        if self.fractions.is_empty() {
            return Err(Error::shape("fractions", "at least one", 0));
        }
        self.fractions.iter().try_for_each(|&f| Amount::Fraction(f).of(points).map(|_| ()))
    }

    /// Adds every setting to a configuration.
    pub fn note(&self, configuration: &mut Configuration) {
        configuration.insert("fractions".into(), format!("{:?}", self.fractions));
        configuration.insert("target chooses".into(), self.target_chooses.to_string());
        configuration.insert("joint".into(), format!("{:?}", self.joint));
    }

    /// How many learners one seed trains, for a progress bar.
    pub fn trainings(&self, strategies: &[Box<dyn Strategy>]) -> usize {
        let choosers = 1 + usize::from(self.target_chooses);
        let joint = usize::from(self.joint.is_some());
        let averaged = needs_of(strategies).contains(Kind::Repeats);
        let repeats = if averaged { choosers * REPEATS } else { 0 };
        let each = choosers * strategies.len() + 2 + joint;
        2 + joint + repeats + each * self.fractions.len()
    }
}

/// Whether proxy and target rank the pool alike.
#[derive(Clone, Debug, PartialEq)]
pub struct RankAgreement {
    /// The strategy.
    pub strategy: String,
    /// Spearman's correlation; strategies that draw at random draw the same for both. `None` if one of
    /// them gives every point the same rank.
    pub correlation: Option<f64>,
    /// The number each point is ranked by, larger first: the score, or for strategies that choose
    /// jointly minus the place in the largest choice, points left out sharing the last place.
    pub proxy: Vec<f64>,
    /// The same by the target.
    pub target: Vec<f64>,
}

/// All that [`core_set`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct CoreSet {
    /// A row for each way of choosing and fraction; `full data`, `random` and `fresh-random` are baselines.
    pub outcomes: Vec<Outcome>,
    /// A row a strategy, if the target chose for itself as well.
    pub agreements: Vec<RankAgreement>,
}

/// Trains `proxy` on the whole pool, chooses with each strategy on its evidence, and trains `target` on
/// every choice; beside it the target on everything, on random points and, if asked for, on its own
/// choices.
///
/// The weights of a choice (CRAIG, GradMatch) are weights of its points' losses in the target's training.
///
/// Everything follows from `seed`. Stages are kept under names that begin with it, so one run
/// can hold several seeds; times are what stages took when they ran.
///
/// # Cost
/// One training of the proxy, one of the target on everything, and one of the target for each row. Where a strategy
/// averages over [several trainings](crate::choose::Averaged), nine more of whoever chooses, their seeds drawn from
/// `seed`; gradients in all weights are a backward pass a point for each.
///
/// # Errors
/// [`Error::OutOfRange`] for a fraction out of range, [`Error::Shape`] for no fraction, two strategies of
/// one name or a [`Joint`] without validation part; whatever training, observing and
/// the strategies meet, and [`Error::Io`] if the run cannot be kept.
pub fn core_set(
    task: Task,
    (proxy, target): (&Model, &Model),
    strategies: &[Box<dyn Strategy>],
    options: &CoreSetOptions,
    seed: u64,
    stages: Stages,
) -> Result<CoreSet> {
    options.check(task.pool.points())?;
    check_distinct(strategies)?;
    let fractions = &options.fractions;
    let (scope, outcomes) = (format!("seed{seed}"), Vec::new());
    let mut experiment =
        Experiment { task, target, fractions, seed, target_seed: seed, scope, stages, outcomes };
    let by_proxy = chosen_by(&mut experiment, Chooser::Proxy, proxy, strategies)?;
    if let Some(joint) = &options.joint {
        chosen_jointly(&mut experiment, proxy, joint)?;
    }
    baselines(&mut experiment)?;
    let agreements = if options.target_chooses {
        let by_target = chosen_by(&mut experiment, Chooser::Target, target, strategies)?;
        agreements(strategies, by_proxy, by_target)
    } else {
        Vec::new()
    };
    Ok(CoreSet { outcomes: experiment.outcomes, agreements })
}

/// All strategies on the evidence of one model; returns what each ranks the points by.
fn chosen_by(
    experiment: &mut Experiment,
    chooser: Chooser,
    model: &Model,
    strategies: &[Box<dyn Strategy>],
) -> Result<Vec<Vec<f64>>> {
    let seen = experiment.observe(chooser, model, needs_of(strategies))?;
    seen.with_evidence(|evidence| {
        let mut rankings = Vec::new();
        for strategy in strategies {
            let before = seen.seconds_of(strategy.needs());
            let candidate = Candidate { name: strategy.name(), chooser, before };
            let largest = experiment.strategy(candidate, strategy, evidence)?;
            rankings.push(match strategy.ranking(evidence)? {
                Some(scores) => scores,
                None => places(&largest.indices, evidence.points()),
            });
        }
        Ok(rankings)
    })
}

/// All that any of them needs.
fn needs_of(strategies: &[Box<dyn Strategy>]) -> Needs {
    strategies.iter().fold(Needs::NOTHING, |all, strategy| all.and(strategy.needs()))
}

/// The learned selection, by the proxy alone.
fn chosen_jointly(experiment: &mut Experiment, proxy: &Model, joint: &Joint) -> Result<()> {
    let stage = experiment.stage(&format!("{} {}", Chooser::Proxy, proxy.name));
    let state = experiment.stages.run.load(&stage)?;
    let training: f64 = state.as_ref().map_or(Ok(0.0), |state| state.note("seconds"))?;
    let before = Seconds { training, ..Default::default() };
    let candidate = Candidate { name: "convex, learned", chooser: Chooser::Proxy, before };
    experiment.joint(candidate, proxy, state.as_ref(), joint, false).map(|_| ())
}

/// Random points, fresh random points, and everything.
fn baselines(experiment: &mut Experiment) -> Result<()> {
    let (random, rng) = (Candidate::blind("random"), experiment.rng(0));
    let nothing = Evidence::new(experiment.task.pool.points());
    for &fraction in experiment.fractions {
        let draw = |count| Random.select(&nothing, count, &mut rng.clone());
        let (choice, seconds) = experiment.choice(random, fraction, draw)?;
        experiment.test_choice(random, fraction, &choice, seconds)?;
        experiment.test_fresh_random(Candidate::blind("fresh-random"), fraction)?;
    }
    experiment.test_everything()
}

fn agreements(
    strategies: &[Box<dyn Strategy>],
    by_proxy: Vec<Vec<f64>>,
    by_target: Vec<Vec<f64>>,
) -> Vec<RankAgreement> {
    let mut found = Vec::new();
    for ((strategy, proxy), target) in strategies.iter().zip(by_proxy).zip(by_target) {
        // Refused only where all ranks are equal, and then there is none.
        let correlation = spearman(&proxy, &target).ok();
        let strategy = strategy.name().to_string();
        found.push(RankAgreement { strategy, correlation, proxy, target });
    }
    found
}

/// Minus the place of each point in a choice; points left out share the place behind the last.
fn places(chosen: &[usize], points: usize) -> Vec<f64> {
    let mut places = vec![-(chosen.len() as f64); points];
    for (place, &point) in chosen.iter().enumerate() {
        places[point] = -(place as f64);
    }
    places
}
