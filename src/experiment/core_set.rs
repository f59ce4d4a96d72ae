//! One choice from data whose labels are all known.

use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::Observations;
use super::stages::{CHUNK, Model, Seconds, Stages, Task, Trained, index_tensor, indices_of};
use crate::choose::{Evidence, Random, Strategy, check_distinct};
use crate::error::{Error, Result};
use crate::experiment::metrics::spearman;
use crate::joint::{Amount, ChooseOptions, CostFeatures, Trainer, TrainerOptions};
use crate::learn::Checkpoint;
use crate::learn::{Diet, Training, restore_learner};
use crate::learn::{Learner, accuracy_in_batches};

/// What [`core_set`] compares.
#[derive(Clone, Debug, PartialEq)]
pub struct CoreSetOptions {
    /// Shares of the pool to keep, each in (0, 1].
    pub fractions: Vec<f64>,
    /// Whether the target also chooses for itself, with every strategy: what the proxy is measured
    /// against, and what it saves.
    pub target_chooses: bool,
    /// The learned selection beside the strategies, if asked for: see [`Joint`].
    pub joint: Option<Joint>,
}

/// Training the selection model together with the proxy, which goes on from where its own training ended,
/// and choosing with it: the strategy `convex, learned`.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    /// Settings of the trainer. The proxy has learned already: no warm-up is needed.
    pub trainer: TrainerOptions,
    /// Points of a step.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// The final pass.
    pub choose: ChooseOptions,
}

impl Default for Joint {
    /// 300 steps of 48 points, costs between the proxy's features.
    fn default() -> Self {
        let trainer = TrainerOptions {
            cost_features: CostFeatures::Learner,
            warm_up: 0,
            ..Default::default()
        };
        Self { trainer, batch: 48, steps: 300, choose: ChooseOptions::default() }
    }
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
}

/// Who looks at the pool for a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chooser {
    /// Nobody: a baseline.
    Nobody,
    /// The proxy.
    Proxy,
    /// The target itself.
    Target,
}

impl Chooser {
    /// In the names of stages.
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Proxy => "proxy",
            Self::Target => "full",
        }
    }
}

/// One target trained on one choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The strategy; `full data`, `random` and `fresh-random` are baselines.
    pub strategy: String,
    /// Whose evidence it used.
    pub chooser: Chooser,
    /// The share of the pool kept.
    pub fraction: f64,
    /// Test error after the last epoch.
    pub error: f64,
    /// Time by stage. Training and observing the chooser is paid once and counted in every row: each
    /// row is what that choice would cost by itself.
    pub seconds: Seconds,
}

/// Whether proxy and target rank the pool alike.
#[derive(Clone, Debug, PartialEq)]
pub struct RankAgreement {
    /// The strategy.
    pub strategy: String,
    /// Spearman's correlation; strategies that draw at random draw the same for both. `None` if one of them gives every point the same rank.
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
    /// A row for each way of choosing and fraction.
    pub outcomes: Vec<Outcome>,
    /// A row a strategy, if the target chose for itself as well.
    pub agreements: Vec<RankAgreement>,
}

/// Trains `proxy` on the whole pool, chooses with each strategy on its evidence, and trains `target` on
/// every choice; beside it the target on everything, on random points and, if asked for, on its own
/// choices.
///
/// Points count alike in training: strategies whose papers give weights with their choice (CRAIG, GradMatch)
/// are judged by the choice alone.
///
/// Everything follows from `seed`. Stages are kept under names that begin with it, so one run
/// can hold several seeds; times are what stages took when they ran.
///
/// # Cost
/// One training of the proxy, one of the target on everything, and one of the target for each row.
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
    let found = CoreSet { outcomes: Vec::new(), agreements: Vec::new() };
    let mut work = Work { task, target, strategies, options, seed, stages, found };
    let by_proxy = work.chosen_by(Chooser::Proxy, proxy)?;
    work.chosen_jointly(proxy)?;
    work.baselines()?;
    if options.target_chooses {
        let by_target = work.chosen_by(Chooser::Target, target)?;
        work.compare(by_proxy, by_target);
    }
    Ok(work.found)
}

/// Name of the learned selection in tables.
const LEARNED: &str = "convex, learned";

struct Work<'a, 's> {
    task: Task<'a>,
    target: &'a Model<'a>,
    strategies: &'a [Box<dyn Strategy>],
    options: &'a CoreSetOptions,
    seed: u64,
    stages: Stages<'s>,
    found: CoreSet,
}

impl Work<'_, '_> {
    fn stage(&self, name: &str) -> String {
        format!("seed{} {name}", self.seed)
    }

    fn count(&self, fraction: f64) -> Result<usize> {
        Amount::Fraction(fraction).of(self.task.pool.points())
    }

    /// All strategies on the evidence of one model; returns what each ranks the points by.
    fn chosen_by(&mut self, chooser: Chooser, model: &Model) -> Result<Vec<Vec<f64>>> {
        let (seen, validation, before) = self.observe(chooser, model)?;
        let validation = validation.as_ref().map(Observations::evidence).transpose()?;
        let seen = seen.evidence()?;
        let evidence = match &validation {
            Some(validation) => seen.with_validation(validation),
            None => seen,
        };
        let mut rankings = Vec::new();
        for strategy in self.strategies {
            let mut largest: Vec<usize> = Vec::new();
            for fraction in self.options.fractions.clone() {
                let stage = format!("{} {} {fraction}", chooser.name(), strategy.name());
                let (count, seed) = (self.count(fraction)?, self.seed);
                let (chosen, ranking) = self.choose(&stage, || {
                    strategy.select(&evidence, count, &mut ChaCha8Rng::seed_from_u64(seed))
                })?;
                let before = Seconds { selection: before.selection + ranking, ..before };
                self.test(strategy.name(), chooser, fraction, &chosen, before)?;
                if chosen.len() > largest.len() {
                    largest = chosen;
                }
            }
            rankings.push(match strategy.ranking(&evidence)? {
                Some(scores) => scores,
                None => places(&largest, self.task.pool.points()),
            });
        }
        Ok(rankings)
    }

    /// The learned selection, by the proxy alone.
    fn chosen_jointly(&mut self, model: &Model) -> Result<()> {
        let Some(joint) = self.options.joint.clone() else { return Ok(()) };
        let state = self.stages.run.load(&self.stage(&format!("proxy {}", model.name)))?;
        let before: f64 = state.as_ref().map_or(Ok(0.0), |state| state.note("seconds"))?;
        // All choices before the first target: they are kept, the joint training is not.
        for (fraction, chosen, mut seconds) in self.joint_choices(model, state.as_ref(), &joint)? {
            seconds.training += before;
            self.test(LEARNED, Chooser::Proxy, fraction, &chosen, seconds)?;
        }
        Ok(())
    }

    /// Fraction, choice and what it took beyond the proxy's own training.
    fn joint_choices(
        &mut self,
        model: &Model,
        state: Option<&Checkpoint>,
        joint: &Joint,
    ) -> Result<Vec<(f64, Vec<usize>, Seconds)>> {
        let stage = |fraction: f64| format!("proxy {LEARNED} {fraction}");
        let (started, mut trainer) = (Instant::now(), None);
        for &fraction in &self.options.fractions {
            if trainer.is_none() && !self.is_chosen(&stage(fraction))? {
                trainer = Some(self.train_jointly(model, state, joint)?);
            }
        }
        let training = self.once("proxy jointly trained", started.elapsed().as_secs_f64())?;
        let mut found = Vec::new();
        for fraction in self.options.fractions.clone() {
            let (pool, count) = (self.task.pool, Amount::Count(self.count(fraction)?));
            let (chosen, selection) = self.choose(&stage(fraction), || match &mut trainer {
                Some(trainer) => Ok(trainer.choose(pool, count, &joint.choose)?.indices),
                // Not called: all choices are there already.
                None => Ok(Vec::new()),
            })?;
            found.push((fraction, chosen, Seconds { training, selection, target: 0.0 }));
        }
        Ok(found)
    }

    fn train_jointly(
        &self,
        model: &Model,
        state: Option<&Checkpoint>,
        joint: &Joint,
    ) -> Result<Trainer<Box<dyn Learner>>> {
        let learner = (model.build)(self.seed)?;
        if let Some(state) = state {
            restore_learner(&learner, state)?;
        }
        let options = joint.trainer.clone();
        let Some(validation) = self.task.validation else {
            return Err(Error::shape("validation part for the learned selection", "one", "none"));
        };
        let mut trainer = Trainer::new(learner, validation, options, self.seed)?;
        trainer.fit_steps(self.task.pool, joint.batch, joint.steps, self.seed, |_| {})?;
        Ok(trainer)
    }

    /// Trains the target on a choice and notes the outcome.
    fn test(
        &mut self,
        strategy: &str,
        chooser: Chooser,
        fraction: f64,
        chosen: &[usize],
        before: Seconds,
    ) -> Result<()> {
        let stage = format!("{} {strategy} {fraction}", chooser.name());
        let (error, target) = self.judge(&stage, Diet::Fixed(chosen))?;
        let (strategy, seconds) = (strategy.to_string(), Seconds { target, ..before });
        self.found.outcomes.push(Outcome { strategy, chooser, fraction, error, seconds });
        Ok(())
    }

    /// Trains the model on the whole pool and looks at the pool and the validation part with it.
    fn observe(
        &mut self,
        chooser: Chooser,
        model: &Model,
    ) -> Result<(Observations, Option<Observations>, Seconds)> {
        let (learner, trained) = self.train_on_all(chooser, model)?;
        let started = Instant::now();
        let Task { pool, validation, .. } = self.task;
        let seen = Observations::labelled(&learner, pool, trained.history)?;
        let of = |validation| Observations::labelled(&learner, validation, None);
        let validation = validation.map(of).transpose()?;
        let selection = started.elapsed().as_secs_f64();
        let selection = self.once(&format!("{} observed", chooser.name()), selection)?;
        Ok((seen, validation, Seconds { training: trained.seconds, selection, target: 0.0 }))
    }

    /// A model trained on the whole pool: once, whoever asks.
    fn train_on_all(
        &mut self,
        chooser: Chooser,
        model: &Model,
    ) -> Result<(Box<dyn Learner>, Trained)> {
        let stage = self.stage(&format!("{} {}", chooser.name(), model.name));
        let learner = (model.build)(self.seed)?;
        let everyone: Vec<usize> = (0..self.task.pool.points()).collect();
        let diet = Diet::Fixed(&everyone);
        let training = Training::new(&learner, self.task.pool, diet, &model.recipe, self.seed)?;
        let kept = self.stages.run.load(&stage)?;
        let trained = self.stages.train(&stage, training.with_history(), kept.as_ref())?;
        Ok((learner, trained))
    }

    /// The seconds noted when a stage was first done, whatever a repetition took.
    fn once(&mut self, name: &str, seconds: f64) -> Result<f64> {
        let stage = self.stage(name);
        if let Some(state) = self.stages.run.load(&stage)? {
            return state.note("seconds");
        }
        let mut state = Checkpoint::new();
        state.set_note("seconds", seconds);
        self.stages.run.save(&stage, &state)?;
        Ok(seconds)
    }

    fn is_chosen(&self, name: &str) -> Result<bool> {
        Ok(self.stages.run.load(&self.stage(&format!("{name} choice")))?.is_some())
    }

    /// A choice and the seconds it took.
    fn choose(
        &mut self,
        name: &str,
        choice: impl FnOnce() -> Result<Vec<usize>>,
    ) -> Result<(Vec<usize>, f64)> {
        let stage = self.stage(&format!("{name} choice"));
        if let Some(state) = self.stages.run.load(&stage)? {
            return Ok((indices_of(&state, "chosen")?, state.note("seconds")?));
        }
        let started = Instant::now();
        let chosen = choice()?;
        let seconds = started.elapsed().as_secs_f64();
        let mut state = Checkpoint::new();
        state.set("chosen", index_tensor(&chosen)?);
        state.set_note("seconds", seconds);
        self.stages.run.save(&stage, &state)?;
        Ok((chosen, seconds))
    }

    fn judge(&mut self, name: &str, diet: Diet) -> Result<(f64, f64)> {
        let stage = self.stage(&format!("{name} target {}", self.target.name));
        let Task { pool, test, .. } = self.task;
        self.stages.judge(&stage, self.target, pool, diet, test, self.seed)
    }

    /// Random points, fresh random points, and everything.
    fn baselines(&mut self) -> Result<()> {
        for fraction in self.options.fractions.clone() {
            let (count, seed) = (self.count(fraction)?, self.seed);
            let nothing = Evidence::new(self.task.pool.points());
            let (chosen, selection) = self.choose(&format!("random {fraction}"), || {
                Random.select(&nothing, count, &mut ChaCha8Rng::seed_from_u64(seed))
            })?;
            let (error, target) =
                self.judge(&format!("random {fraction}"), Diet::Fixed(&chosen))?;
            self.baseline("random", fraction, error, Seconds { selection, target, training: 0.0 });
            let diet = Diet::FreshRandom(chosen.len());
            let (error, target) = self.judge(&format!("fresh-random {fraction}"), diet)?;
            self.baseline(
                "fresh-random",
                fraction,
                error,
                Seconds { target, ..Default::default() },
            );
        }
        let (error, target) = self.full_data()?;
        self.baseline("full data", 1.0, error, Seconds { target, ..Default::default() });
        Ok(())
    }

    fn baseline(&mut self, strategy: &str, fraction: f64, error: f64, seconds: Seconds) {
        let (strategy, chooser) = (strategy.to_string(), Chooser::Nobody);
        self.found.outcomes.push(Outcome { strategy, chooser, fraction, error, seconds });
    }

    /// The target on everything: the same training as the one that lets it choose for itself, whose
    /// weights are kept for that.
    fn full_data(&mut self) -> Result<(f64, f64)> {
        let (learner, trained) = self.train_on_all(Chooser::Target, self.target)?;
        let result = self.stage("full data error");
        if let Some(state) = self.stages.run.load(&result)? {
            return Ok((state.note("error")?, trained.seconds));
        }
        let error = 1.0 - accuracy_in_batches(&learner, self.task.test, CHUNK)?;
        let mut state = Checkpoint::new();
        state.set_note("error", error);
        self.stages.run.save(&result, &state)?;
        Ok((error, trained.seconds))
    }

    fn compare(&mut self, by_proxy: Vec<Vec<f64>>, by_target: Vec<Vec<f64>>) {
        let pairs = self.strategies.iter().zip(by_proxy.into_iter().zip(by_target));
        for (strategy, (proxy, target)) in pairs {
            // Refused only where all ranks are equal, and then there is none.
            let correlation = spearman(&proxy, &target).ok();
            let strategy = strategy.name().to_string();
            self.found.agreements.push(RankAgreement { strategy, correlation, proxy, target });
        }
    }
}

/// Minus the place of each point in a choice; points left out share the place behind the last.
fn places(chosen: &[usize], points: usize) -> Vec<f64> {
    let mut places = vec![-(chosen.len() as f64); points];
    for (place, &point) in chosen.iter().enumerate() {
        places[point] = -(place as f64);
    }
    places
}
