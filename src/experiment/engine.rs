//! The engine of all experiments: candidates at every share, each choice kept, a fresh target on each.

use std::time::Instant;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::stages::{
    CHUNK, Stages, Trained, kept_choice, kept_numbers, state_of, state_of_numbers,
};
use super::{Chooser, Model, Observations, Outcome, Progress, Seconds, Task};
use crate::choose::{Choice, CrossFit, Evidence, Kind, Needs, Strategy};
use crate::data::Source;
use crate::error::{Error, Result};
use crate::joint::{Amount, ChooseOptions, CostFeatures, Trainer, TrainerOptions};
use crate::learn::{
    Checkpoint, Learner, Loss, Sampling, Training, error_in_batches, gradient_norms,
    restore_learner,
};
use crate::seeds::Seeds;

/// Training a selection model together with a learner, and choosing with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    /// Settings of the trainer.
    pub trainer: TrainerOptions,
    /// Points of a step.
    pub batch: usize,
    /// Steps, warm-up included.
    pub steps: usize,
    /// The final pass.
    pub choose: ChooseOptions,
}

impl Default for Joint {
    /// 300 steps of 48 points for a learner that has learned already: no warm-up, costs between its
    /// features.
    fn default() -> Self {
        let trainer = TrainerOptions {
            cost_features: CostFeatures::Learner,
            warm_up: 0,
            ..Default::default()
        };
        Self { trainer, batch: 48, steps: 300, choose: ChooseOptions::default() }
    }
}

/// One seed of an experiment. All generators start from `seed`; every training, choice and error is kept
/// under a name that begins with `scope`.
pub(crate) struct Experiment<'a, 's> {
    pub(crate) task: Task<'a>,
    pub(crate) target: &'a Model<'a>,
    pub(crate) fractions: &'a [f64],
    pub(crate) seed: u64,
    /// Decides the targets' weights.
    pub(crate) target_seed: u64,
    pub(crate) scope: String,
    pub(crate) stages: Stages<'s>,
    pub(crate) outcomes: Vec<Outcome>,
}

/// A candidate: its name, whose evidence it uses, and what that took before the first choice.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'n> {
    pub(crate) name: &'n str,
    pub(crate) chooser: Chooser,
    pub(crate) before: Seconds,
}

impl<'n> Candidate<'n> {
    /// One that looks at nothing.
    pub(crate) fn blind(name: &'n str) -> Self {
        Self { name, chooser: Chooser::Nobody, before: Seconds::default() }
    }

    fn choice_stage(&self, fraction: f64) -> String {
        format!("{} {} {fraction} choice", self.chooser, self.name)
    }
}

/// Further trainings of a model whose scores are averaged: ten in all, as in the paper.
pub(crate) const REPEATS: usize = 9;

/// What a model trained on the whole pool sees, and what that took.
#[derive(Default)]
pub(crate) struct Observed {
    pub(crate) pool: Observations,
    pub(crate) validation: Option<Observations>,
    pub(crate) seconds: Seconds,
    /// Of the norms of the gradients.
    pub(crate) norms: f64,
    /// What further trainings see of the pool.
    pub(crate) repeats: Vec<Self>,
}

impl Observed {
    /// What all that a strategy needs took.
    pub(crate) fn seconds_of(&self, needs: Needs) -> Seconds {
        let mut seconds = self.seconds;
        if needs.contains(Kind::GradientNorms) {
            seconds.selection += self.norms;
        }
        if needs.contains(Kind::Repeats) {
            for repeat in &self.repeats {
                let more = repeat.seconds_of(needs);
                seconds.training += more.training;
                seconds.selection += more.selection;
            }
        }
        seconds
    }

    /// What `work` makes of it as evidence, that of the validation part included where there is one.
    pub(crate) fn with_evidence<T>(&self, work: impl FnOnce(&Evidence) -> Result<T>) -> Result<T> {
        let validation = self.validation.as_ref().map(Observations::evidence).transpose()?;
        let repeats = self.repeats.iter().map(|repeat| repeat.pool.evidence());
        let repeats = repeats.collect::<Result<Vec<_>>>()?;
        let mut evidence = self.pool.evidence()?;
        if let Some(validation) = &validation {
            evidence = evidence.with_validation(validation);
        }
        if !repeats.is_empty() {
            evidence = evidence.with_repeats(&repeats)?;
        }
        work(&evidence)
    }
}

impl Experiment<'_, '_> {
    pub(crate) fn stage(&self, name: &str) -> String {
        format!("{} {name}", self.scope)
    }

    pub(crate) fn rng(&self, stream: u64) -> ChaCha8Rng {
        Seeds::new(self.seed).stream(stream)
    }

    /// The candidate's choice at every share, then the target on each: choices are kept, whatever chose
    /// may not be. Returns the largest choice.
    pub(crate) fn at_all_fractions(
        &mut self,
        candidate: Candidate,
        mut choose: impl FnMut(usize) -> Result<Choice>,
    ) -> Result<Choice> {
        let mut choices = Vec::new();
        for &fraction in self.fractions {
            let (choice, seconds) = self.choice(candidate, fraction, &mut choose)?;
            choices.push((fraction, choice, seconds));
        }
        let mut largest = Choice::default();
        for (fraction, choice, seconds) in choices {
            self.test_choice(candidate, fraction, &choice, seconds)?;
            largest = if choice.len() > largest.len() { choice } else { largest };
        }
        Ok(largest)
    }

    /// A strategy on evidence.
    pub(crate) fn strategy(
        &mut self,
        candidate: Candidate,
        strategy: &dyn Strategy,
        evidence: &Evidence,
    ) -> Result<Choice> {
        let rng = self.rng(0);
        self.at_all_fractions(candidate, |count| strategy.select(evidence, count, &mut rng.clone()))
    }

    /// One choice, and what it took with all that came before.
    pub(crate) fn choice(
        &mut self,
        candidate: Candidate,
        fraction: f64,
        choose: impl FnOnce(usize) -> Result<Choice>,
    ) -> Result<(Choice, Seconds)> {
        let count = Amount::Fraction(fraction).of(self.task.pool.points())?;
        let stage = self.stage(&candidate.choice_stage(fraction));
        let state = self.stages.kept(&stage, || {
            let started = Instant::now();
            let mut state = state_of(&choose(count)?)?;
            state.set_note("seconds", started.elapsed().as_secs_f64());
            Ok(state)
        })?;
        let selection = candidate.before.selection + state.note::<f64>("seconds")?;
        Ok((kept_choice(&state)?, Seconds { selection, ..candidate.before }))
    }

    /// The target on a choice, its points weighted as the choice says.
    pub(crate) fn test_choice(
        &mut self,
        candidate: Candidate,
        fraction: f64,
        choice: &Choice,
        before: Seconds,
    ) -> Result<()> {
        let sampling = sampling_of(choice);
        let flipped = self.share_flipped(&choice.indices);
        let pool = self.task.pool;
        self.test(Candidate { before, ..candidate }, fraction, pool, sampling, flipped)
    }

    /// The target on everything there is of `data`.
    pub(crate) fn test_alone(
        &mut self,
        candidate: Candidate,
        data: &dyn Source,
        flipped: Option<f64>,
    ) -> Result<()> {
        self.test(candidate, 1.0, data, Sampling::All, flipped)
    }

    /// The target on a new random sample every epoch.
    pub(crate) fn test_fresh_random(&mut self, candidate: Candidate, fraction: f64) -> Result<()> {
        let count = Amount::Fraction(fraction).of(self.task.pool.points())?;
        let pool = self.task.pool;
        self.test(candidate, fraction, pool, Sampling::FreshRandom(count), None)
    }

    /// Trains a fresh target, tests it once, and notes the outcome.
    pub(crate) fn test(
        &mut self,
        candidate: Candidate,
        fraction: f64,
        data: &dyn Source,
        sampling: Sampling,
        flipped: Option<f64>,
    ) -> Result<()> {
        let Candidate { name, chooser, before } = candidate;
        let stage = self.stage(&format!("{chooser} {name} {fraction} target {}", self.target.name));
        let (target, test) = (self.target, self.task.test);
        let seeds = (self.target_seed, self.seed);
        let (error, seconds) = self.stages.evaluate(&stage, target, data, sampling, test, seeds)?;
        let points = sampling.size(data.points());
        let seconds = Seconds { target: seconds, ..before };
        self.note(candidate, (fraction, points), error, flipped, seconds);
        Ok(())
    }

    pub(crate) fn note(
        &mut self,
        candidate: Candidate,
        (fraction, points): (f64, usize),
        error: f64,
        flipped: Option<f64>,
        seconds: Seconds,
    ) {
        let Candidate { name, chooser, .. } = candidate;
        let (strategy, seed) = (name.to_string(), self.seed);
        self.outcomes.push(Outcome {
            strategy,
            chooser,
            fraction,
            points,
            seed,
            error,
            flipped,
            seconds,
        });
    }

    /// Share of known wrong labels among some points.
    fn share_flipped(&self, indices: &[usize]) -> Option<f64> {
        let flipped = self.task.flipped;
        let wrong = indices.iter().filter(|i| flipped.get(**i) == Some(&true)).count();
        (!flipped.is_empty()).then(|| wrong as f64 / indices.len() as f64)
    }

    /// And among all.
    pub(crate) fn share_flipped_of_all(&self) -> Option<f64> {
        self.share_flipped(&(0..self.task.pool.points()).collect::<Vec<_>>())
    }

    /// A model trained on the whole pool: once, whoever asks.
    pub(crate) fn train_on_all(
        &mut self,
        chooser: Chooser,
        model: &Model,
    ) -> Result<(Box<dyn Learner>, Trained)> {
        self.train_on_pool(&format!("{chooser}"), model, self.seed)
    }

    fn train_on_pool(
        &mut self,
        name: &str,
        model: &Model,
        seed: u64,
    ) -> Result<(Box<dyn Learner>, Trained)> {
        let stage = self.stage(&format!("{name} {}", model.name));
        let learner = (model.build)(seed)?;
        let (pool, options) = (self.task.pool, &model.training);
        let training = Training::new(&learner, pool, Sampling::All, options, seed)?;
        let kept = self.stages.run.load(&stage)?;
        let trained = self.stages.train(&stage, training.with_history(), kept.as_ref())?;
        Ok((learner, trained))
    }

    /// Trains the model on the whole pool and looks at the pool and the validation part with it; trains it again, and
    /// takes the norms of gradients, where that is needed.
    pub(crate) fn observe(
        &mut self,
        chooser: Chooser,
        model: &Model,
        needs: Needs,
    ) -> Result<Observed> {
        let mut seen = self.observe_once(&format!("{chooser}"), model, self.seed, needs)?;
        if needs.contains(Kind::Repeats) {
            let mut rng = Seeds::new(self.seed).named("repeats");
            for k in 1..=REPEATS {
                let (name, seed) = (format!("{chooser} repeat {k}"), rng.random());
                seen.repeats.push(self.observe_once(&name, model, seed, needs)?);
            }
        }
        Ok(seen)
    }

    fn observe_once(
        &mut self,
        name: &str,
        model: &Model,
        seed: u64,
        needs: Needs,
    ) -> Result<Observed> {
        let (learner, trained) = self.train_on_pool(name, model, seed)?;
        let (started, loss) = (Instant::now(), model.training.loss);
        let pool = Observations::labelled(&learner, self.task.pool, trained.history, loss)?;
        let of = |validation| Observations::labelled(&learner, validation, None, loss);
        let validation = self.task.validation.map(of).transpose()?;
        let selection = started.elapsed().as_secs_f64();
        let selection = self.once(&format!("{name} observed"), selection)?;
        let seconds = Seconds { training: trained.seconds, selection, target: 0.0 };
        let seen = Observed { pool, validation, seconds, ..Default::default() };
        match needs.contains(Kind::GradientNorms) {
            true => self.with_norms(name, &learner, loss, seen),
            false => Ok(seen),
        }
    }

    /// The norms are kept: they take longer than a training epoch.
    fn with_norms(
        &mut self,
        name: &str,
        learner: &dyn Learner,
        loss: Loss,
        seen: Observed,
    ) -> Result<Observed> {
        let (stage, pool) = (self.stage(&format!("{name} gradient norms")), self.task.pool);
        let state = self.stages.kept(&stage, || {
            let started = Instant::now();
            let mut state = state_of_numbers(&gradient_norms(learner, pool, loss)?)?;
            state.set_note("seconds", started.elapsed().as_secs_f64());
            Ok(state)
        })?;
        let (norms, pool) = (state.note("seconds")?, seen.pool);
        Ok(Observed { pool: pool.with_gradient_norms(kept_numbers(&state)?), norms, ..seen })
    }

    /// What is known of the inputs without training anything.
    pub(crate) fn observe_inputs(&mut self) -> Result<Observed> {
        let (started, seeds) = (Instant::now(), Seeds::new(self.seed));
        let pool = Observations::out_of_fold(self.task.pool, &CrossFit::default(), seeds)?;
        let validation = self.task.validation.map(Observations::labelled_inputs).transpose()?;
        let selection = self.once("inputs observed", started.elapsed().as_secs_f64())?;
        let seconds = Seconds { selection, ..Default::default() };
        Ok(Observed { pool, validation, seconds, ..Default::default() })
    }

    /// The target on everything, sharing the training that lets it choose for itself, whose weights are kept
    /// for that.
    pub(crate) fn test_everything(&mut self) -> Result<()> {
        let (learner, trained) = self.train_on_all(Chooser::Target, self.target)?;
        let (stage, test) = (self.stage("full data error"), self.task.test);
        let state = self.stages.kept(&stage, || {
            let mut state = Checkpoint::new();
            state.set_note("error", error_in_batches(&learner, test, CHUNK)?);
            Ok(state)
        })?;
        let seconds = Seconds { target: trained.seconds, ..Default::default() };
        let size = (1.0, self.task.pool.points());
        let flipped = self.share_flipped_of_all();
        self.note(Candidate::blind("full data"), size, state.note("error")?, flipped, seconds);
        Ok(())
    }

    /// The learned selection at every share, a learner going on from `start` or beginning; and how much it
    /// holds against each point, if that is `wanted`.
    pub(crate) fn joint(
        &mut self,
        candidate: Candidate,
        model: &Model,
        start: Option<&Checkpoint>,
        joint: &Joint,
        wanted: bool,
    ) -> Result<Option<Vec<f64>>> {
        let (pool, name) = (self.task.pool, candidate.name);
        let mut missing = vec![self.stage(&format!("{name} suspicion"))];
        missing.truncate(usize::from(wanted));
        let choices = self.fractions.iter().map(|f| self.stage(&candidate.choice_stage(*f)));
        missing.extend(choices);
        let (mut trainer, seconds) = match self.stages.has_all(&missing)? {
            true => (None, 0.0),
            false => {
                let (trainer, seconds) = self.train_jointly(name, model, start, joint)?;
                (Some(trainer), seconds)
            }
        };
        let training = self.once(&format!("{name} trained"), seconds)?;
        let training = candidate.before.training + training;
        let before = Seconds { training, ..candidate.before };
        let suspicion = if wanted {
            let stage = self.stage(&format!("{name} suspicion"));
            let state = self.stages.kept(&stage, || match &mut trainer {
                Some(trainer) => state_of_numbers(&trainer.suspicion(pool, &joint.choose)?),
                None => Err(gone()),
            })?;
            Some(kept_numbers(&state)?)
        } else {
            None
        };
        let candidate = Candidate { before, ..candidate };
        self.at_all_fractions(candidate, |count| match &mut trainer {
            Some(trainer) => trainer.choose(pool, Amount::Count(count), &joint.choose),
            None => Err(gone()),
        })?;
        Ok(suspicion)
    }

    /// The pair after all its steps, and the seconds these took; a checkpoint is left about once an epoch, and the
    /// training goes on from the last one.
    fn train_jointly(
        &mut self,
        name: &str,
        model: &Model,
        start: Option<&Checkpoint>,
        joint: &Joint,
    ) -> Result<(Trainer<Box<dyn Learner>>, f64)> {
        let started = Instant::now();
        let learner = (model.build)(self.seed)?;
        if let Some(state) = start {
            restore_learner(&learner, state)?;
        }
        let Some(validation) = self.task.validation else {
            return Err(Error::shape("validation part for the learned selection", "one", "none"));
        };
        let mut trainer = Trainer::new(learner, validation, joint.trainer.clone(), self.seed)?;
        let stage = self.stage(&format!("{name} training"));
        let mut before = 0.0;
        if let Some(state) = self.stages.run.load(&stage)? {
            trainer.restore(&state)?;
            before = state.note("seconds")?;
        }
        let (pool, batch) = (self.task.pool, joint.batch);
        let in_epoch = (pool.points() / batch.max(1)).max(1);
        let mut seconds = before + started.elapsed().as_secs_f64();
        while trainer.steps() < joint.steps {
            let (first, last) = (trainer.steps(), (trainer.steps() + in_epoch).min(joint.steps));
            let mut loss = 0.0;
            trainer.fit_until(pool, batch, last, self.seed, |step| loss += step.training_loss)?;
            seconds = before + started.elapsed().as_secs_f64();
            let mut state = trainer.checkpoint()?;
            state.set_note("seconds", seconds);
            self.stages.run.save(&stage, &state)?;
            let (epoch, epochs) = (last.div_ceil(in_epoch), joint.steps.div_ceil(in_epoch));
            let loss = loss / (last - first) as f64;
            (self.stages.watch)(&Progress { stage: &stage, epoch, epochs, loss });
        }
        Ok((trainer, seconds))
    }

    /// The seconds noted when a stage was first done, whatever a repetition took.
    pub(crate) fn once(&mut self, name: &str, seconds: f64) -> Result<f64> {
        let stage = self.stage(name);
        let state = self.stages.kept(&stage, || {
            let mut state = Checkpoint::new();
            state.set_note("seconds", seconds);
            Ok(state)
        })?;
        state.note("seconds")
    }
}

/// The points of a choice, weighted as it says.
pub(crate) fn sampling_of(choice: &Choice) -> Sampling<'_> {
    match choice.is_equal() {
        true => Sampling::Fixed(&choice.indices),
        false => Sampling::Weighted(&choice.indices, &choice.weights),
    }
}

/// A stage vanished from the run's folder while it was at work.
pub(crate) fn gone() -> Error {
    Error::shape("kept choices", "all of them", "some")
}
