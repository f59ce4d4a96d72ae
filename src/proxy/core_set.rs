//! One choice from data whose labels are all known.

use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{CHUNK, Model, Observations, Seconds, Stages, Task, index_tensor, indices_of};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::learners::{Learner, accuracy_in_batches};
use crate::metrics::spearman;
use crate::strategies::{Evidence, Random, Strategy};
use crate::trainer::{Amount, ChooseOptions, CostFeatures, Trainer, TrainerOptions};
use crate::training::{Diet, Training, restore_learner};

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

/// One target trained on one choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The strategy; `full data`, `random` and `fresh-random` are baselines.
    pub strategy: String,
    /// The model whose evidence it used; empty for the baselines, which need none.
    pub chooser: String,
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
    /// Spearman's correlation; `None` if one of them gives every point the same rank.
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
/// Everything follows from `seed`. Stages are kept under names that begin with it, so one run
/// can hold several seeds; times are what stages took when they ran.
///
/// # Cost
/// One training of the proxy, one of the target on everything, and one of the target for each row.
///
/// # Errors
/// [`Error::OutOfRange`] for a fraction out of range or no fraction, whatever training, observing and
/// the strategies meet, and [`Error::Io`] if the run cannot be kept.
pub fn core_set(
    task: Task,
    (proxy, target): (&Model, &Model),
    strategies: &[Box<dyn Strategy>],
    options: &CoreSetOptions,
    seed: u64,
    stages: Stages,
) -> Result<CoreSet> {
    if options.fractions.is_empty() {
        return Err(Error::shape("fractions", "at least one", 0));
    }
    for &fraction in &options.fractions {
        Amount::Fraction(fraction).of(task.pool.points())?;
    }
    let found = CoreSet { outcomes: Vec::new(), agreements: Vec::new() };
    let mut work = Work { task, target, strategies, options, seed, stages, found };
    let by_proxy = work.chosen_by("proxy", proxy)?;
    work.chosen_jointly(proxy)?;
    work.baselines()?;
    if options.target_chooses {
        let by_target = work.chosen_by("full", target)?;
        work.compare(by_proxy, by_target);
    }
    Ok(work.found)
}

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
    fn chosen_by(&mut self, role: &str, model: &Model) -> Result<Vec<Vec<f64>>> {
        let (seen, validation, before) = self.observe(role, model)?;
        let validation = validation.evidence()?;
        let evidence = seen.evidence()?.with_validation(&validation);
        let mut rankings = Vec::new();
        for strategy in self.strategies {
            let mut largest: Vec<usize> = Vec::new();
            for fraction in self.options.fractions.clone() {
                let stage = format!("{role} {} {fraction}", strategy.name());
                let (count, seed) = (self.count(fraction)?, self.seed);
                let (chosen, ranking) = self.choose(&stage, || {
                    strategy.select(&evidence, count, &mut ChaCha8Rng::seed_from_u64(seed))
                })?;
                let before = Seconds { selection: before.selection + ranking, ..before };
                self.test(strategy.name(), role, model, fraction, &chosen, before)?;
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
        const NAME: &str = "convex, learned";
        let Some(joint) = self.options.joint.clone() else { return Ok(()) };
        let state = self.stages.run.load(&self.stage(&format!("proxy {}", model.name)))?;
        let before: f64 = state.as_ref().map_or(Ok(0.0), |state| state.note("seconds"))?;
        let mut trainer = None;
        for fraction in self.options.fractions.clone() {
            let stage = format!("proxy {NAME} {fraction}");
            let count = Amount::Count(self.count(fraction)?);
            let pool = self.task.pool;
            let mut trained = 0.0;
            if trainer.is_none() && !self.is_chosen(&stage)? {
                let started = Instant::now();
                trainer = Some(self.train_jointly(model, state.as_ref(), &joint)?);
                trained = started.elapsed().as_secs_f64();
            }
            let trained = self.once("proxy jointly trained", trained)?;
            let (chosen, selection) = self.choose(&stage, || match &mut trainer {
                Some(trainer) => Ok(trainer.choose(pool, count, &joint.choose)?.indices),
                // Not called: the choice is there already.
                None => Ok(Vec::new()),
            })?;
            let seconds = Seconds { training: before + trained, selection, target: 0.0 };
            self.test(NAME, "proxy", model, fraction, &chosen, seconds)?;
        }
        Ok(())
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
        let mut trainer = Trainer::new(learner, self.task.validation, options, self.seed)?;
        trainer.fit_steps(self.task.pool, joint.batch, joint.steps, self.seed, |_| {})?;
        Ok(trainer)
    }

    /// Trains the target on a choice and notes the outcome.
    fn test(
        &mut self,
        strategy: &str,
        role: &str,
        model: &Model,
        fraction: f64,
        chosen: &[usize],
        before: Seconds,
    ) -> Result<()> {
        let (error, target) =
            self.judge(&format!("{role} {strategy} {fraction}"), Diet::Fixed(chosen))?;
        let (strategy, chooser) = (strategy.to_string(), model.name.clone());
        let seconds = Seconds { target, ..before };
        self.found.outcomes.push(Outcome { strategy, chooser, fraction, error, seconds });
        Ok(())
    }

    /// Trains the model on the whole pool and looks at the pool and the validation part with it.
    fn observe(
        &mut self,
        role: &str,
        model: &Model,
    ) -> Result<(Observations, Observations, Seconds)> {
        let stage = self.stage(&format!("{role} {}", model.name));
        let learner = (model.build)(self.seed)?;
        let everyone: Vec<usize> = (0..self.task.pool.points()).collect();
        let diet = Diet::Fixed(&everyone);
        let training = Training::new(&learner, self.task.pool, diet, &model.recipe, self.seed)?;
        let kept = self.stages.run.load(&stage)?;
        let trained = self.stages.train(&stage, training.with_history(), kept.as_ref())?;
        let started = Instant::now();
        let seen = Observations::labelled(&learner, self.task.pool, trained.history)?;
        let validation = Observations::labelled(&learner, self.task.validation, None)?;
        let selection = self.once(&format!("{role} observed"), started.elapsed().as_secs_f64())?;
        Ok((seen, validation, Seconds { training: trained.seconds, selection, target: 0.0 }))
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
        let (strategy, chooser) = (strategy.to_string(), String::new());
        self.found.outcomes.push(Outcome { strategy, chooser, fraction, error, seconds });
    }

    /// The target on everything: the same training as the one that lets it choose for itself, whose
    /// weights are kept for that.
    fn full_data(&mut self) -> Result<(f64, f64)> {
        let stage = self.stage(&format!("full {}", self.target.name));
        let learner = (self.target.build)(self.seed)?;
        let everyone: Vec<usize> = (0..self.task.pool.points()).collect();
        let diet = Diet::Fixed(&everyone);
        let recipe = &self.target.recipe;
        let training = Training::new(&learner, self.task.pool, diet, recipe, self.seed)?;
        let kept = self.stages.run.load(&stage)?;
        let trained = self.stages.train(&stage, training.with_history(), kept.as_ref())?;
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
