//! Models that answer for a way of choosing: trained by the real recipe, asked about points that they did not see.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use rand::Rng;

use super::engine::{Experiment, Observed, sampling_of};
use super::portfolio::Scheme;
use super::stages::{CHUNK, kept_numbers, state_of_numbers};
use super::{Observations, Seconds, Selector};
use crate::choose::{Choice, CrossFit};
use crate::data::{Source, Subset, stratified_folds, stratified_split};
use crate::error::{Error, Result};
use crate::joint::{Amount, Gleaned};
use crate::learn::Training;
use crate::learn::learner::for_each_batch;
use crate::seeds::Seeds;

/// A way that a certificate may compare.
pub(crate) struct Way<'a> {
    pub(crate) name: String,
    pub(crate) selector: &'a Selector,
    /// The seconds before the first choice.
    pub(crate) before: Seconds,
}

impl<'a> Way<'a> {
    pub(crate) fn new(selector: &'a Selector, before: Seconds) -> Self {
        Self { name: selector.name(), selector: selector.way(), before }
    }
}

/// Points that choose, and points that test what was chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Choosing,
    Testing,
}

/// What one model a block of points answered: whether each point is right, as zeros and ones.
pub(crate) struct Answers {
    pub(crate) right: Vec<Vec<f64>>,
    /// Of choosing and training, where this was not known.
    pub(crate) seconds: f64,
}

/// Who asks the models of a way, by its place; the same number is the same models.
pub(crate) trait Exam {
    fn ask(&mut self, way: usize, part: Part, number: usize) -> Result<Answers>;
}

/// The halves of the validation data: one choice a way, another model a number.
pub(crate) struct HoldOut<'e, 'a, 's> {
    experiment: &'e mut Experiment<'a, 's>,
    fraction: f64,
    ways: &'e [Way<'a>],
    /// One a way.
    choices: &'e [Choice],
    validation: &'a dyn Source,
    halves: [Vec<usize>; 2],
    known: BTreeMap<(usize, usize), Vec<f64>>,
}

impl<'e, 'a, 's> HoldOut<'e, 'a, 's> {
    pub(crate) fn new(
        experiment: &'e mut Experiment<'a, 's>,
        fraction: f64,
        ways: &'e [Way<'a>],
        choices: &'e [Choice],
    ) -> Result<Self> {
        let Some(validation) = experiment.task.validation else {
            return Err(Error::shape("validation part for a certificate", "one", "none"));
        };
        let mut rng = Seeds::new(experiment.seed).named("portfolio");
        let half = validation.points() / 2;
        let (first, second) = stratified_split(validation.labels(), half, &mut rng)?;
        let (halves, known) = ([first, second], BTreeMap::new());
        Ok(Self { experiment, fraction, ways, choices, validation, halves, known })
    }
}

impl Exam for HoldOut<'_, '_, '_> {
    fn ask(&mut self, way: usize, part: Part, number: usize) -> Result<Answers> {
        let mut seconds = 0.0;
        if !self.known.contains_key(&(way, number)) {
            let (name, choice) = (&self.ways[way].name, &self.choices[way]);
            let stage = format!("portfolio {name} {} model {number}", self.fraction);
            let (pool, asked) = (self.experiment.task.pool, self.validation);
            let (right, took) =
                self.experiment.one_more(&stage, number, pool, asked, || Ok(choice.clone()))?;
            self.known.insert((way, number), right);
            seconds = took;
        }
        let right = &self.known[&(way, number)];
        let half = &self.halves[usize::from(part == Part::Testing)];
        Ok(Answers { right: vec![half.iter().map(|i| right[*i]).collect()], seconds })
    }
}

/// Folds of the pool, each asked of models that were trained on a choice among the others. The last two fifths of them
/// test; a number is one of the others in turns.
pub(crate) struct Folds<'w, 'a> {
    ways: &'w [Way<'a>],
    folds: Vec<Fold<'a>>,
    testing: usize,
}

/// One of them.
struct Fold<'a> {
    taught: Subset<'a>,
    asked: Subset<'a>,
    /// Once somebody wants it.
    seen: Option<Observed>,
    gleaned: BTreeMap<usize, Gleaned>,
}

impl<'w, 'a> Folds<'w, 'a> {
    pub(crate) fn new(
        experiment: &Experiment<'a, '_>,
        ways: &'w [Way<'a>],
        folds: usize,
    ) -> Result<Self> {
        let pool = experiment.task.pool;
        if !(3..=pool.points()).contains(&folds) {
            let rule = "at least 3, at most the number of points";
            return Err(Error::range("folds of a certificate", rule, folds as f64));
        }
        let fold = stratified_folds(
            pool.labels(),
            folds,
            &mut Seeds::new(experiment.seed).named("portfolio"),
        );
        let part = |of: usize| -> Result<Fold> {
            let (asked, taught) = (0..pool.points()).partition(|i| fold[*i] == of);
            let [taught, asked] = [taught, asked].map(|points| Subset::new(pool, points));
            Ok(Fold { taught: taught?, asked: asked?, seen: None, gleaned: BTreeMap::new() })
        };
        let folds = (0..folds).map(part).collect::<Result<Vec<_>>>()?;
        let testing = Scheme::testing(folds.len());
        Ok(Self { ways, folds, testing })
    }
}

/// The folds at work on one share.
pub(crate) struct CrossValidation<'e, 'w, 'a, 's> {
    pub(crate) experiment: &'e mut Experiment<'a, 's>,
    pub(crate) folds: &'e mut Folds<'w, 'a>,
    pub(crate) fraction: f64,
}

impl Exam for CrossValidation<'_, '_, '_, '_> {
    fn ask(&mut self, way: usize, part: Part, number: usize) -> Result<Answers> {
        let choosing = self.folds.folds.len() - self.folds.testing;
        let asked: Vec<usize> = match part {
            Part::Choosing => vec![number % choosing],
            Part::Testing => (choosing..self.folds.folds.len()).collect(),
        };
        let mut answers = Answers { right: Vec::new(), seconds: 0.0 };
        for at in asked {
            let Folds { ways, folds, .. } = &mut *self.folds;
            let Way { name, selector, .. } = &ways[way];
            let (fraction, experiment) = (self.fraction, &mut *self.experiment);
            let stage = format!("portfolio {name} {fraction} fold {at} model {number}");
            let (seeds, validation) = (Seeds::new(experiment.seed), experiment.task.validation);
            let Fold { taught, asked, seen, gleaned } = &mut folds[at];
            let count = Amount::Fraction(fraction).of(taught.points())?;
            let choose = || {
                let seeds = Seeds::new(seeds.named(&format!("portfolio fold {at}")).random());
                let seen = match seen {
                    Some(seen) => seen,
                    None => seen.insert(observe(taught, validation, seeds)?),
                };
                choose(selector, (way, count), seen, gleaned, (seeds, number))
            };
            let (right, took) = experiment.one_more(&stage, number, taught, asked, choose)?;
            answers.right.push(right);
            answers.seconds += took;
        }
        Ok(answers)
    }
}

/// What is known of data before anything is trained on it.
pub(crate) fn observe(
    taught: &dyn Source,
    validation: Option<&dyn Source>,
    seeds: Seeds,
) -> Result<Observed> {
    let pool = Observations::out_of_fold(taught, &CrossFit::default(), seeds)?;
    let validation = validation.map(Observations::labelled_inputs).transpose()?;
    Ok(Observed { pool, validation, ..Default::default() })
}

/// The choice of a way there; another number draws anew.
pub(crate) fn choose(
    selector: &Selector,
    (way, count): (usize, usize),
    seen: &Observed,
    gleaned: &mut BTreeMap<usize, Gleaned>,
    (seeds, number): (Seeds, usize),
) -> Result<Choice> {
    seen.with_evidence(|evidence| match selector {
        Selector::OutOfFold(_, strategy) => {
            strategy.select(evidence, count, &mut seeds.named(&format!("draw {number}")))
        }
        Selector::Gleaner(_, gleaner) => {
            let gleaned = match gleaned.entry(way) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => free.insert(gleaner.look(evidence, seeds)?),
            };
            gleaned.choose(count)
        }
        other => Err(Error::shape("ways of a portfolio", "ways on inputs", other.name())),
    })
}

impl Experiment<'_, '_> {
    /// One model on a choice: which of the asked points it predicts right, and the seconds of choosing and training.
    fn one_more(
        &mut self,
        stage: &str,
        number: usize,
        taught: &dyn Source,
        asked: &dyn Source,
        choose: impl FnOnce() -> Result<Choice>,
    ) -> Result<(Vec<f64>, f64)> {
        let stage = self.stage(stage);
        let kept = self.stages.run.load(&stage)?;
        if let Some(done) = kept.as_ref().filter(|state| state.has_note("done")) {
            return Ok((kept_numbers(done)?, done.note("seconds")?));
        }
        let started = Instant::now();
        let choice = choose()?;
        let chosen = started.elapsed().as_secs_f64();
        // Other seeds than those of the targets, whose errors are what is reported.
        let seed = Seeds::new(self.seed).named(&format!("portfolio model {number}")).random();
        let (model, learner) = (self.target, (self.target.build)(seed)?);
        let sampling = sampling_of(&choice);
        let training = Training::new(&learner, taught, sampling, &model.training, seed)?;
        let trained = self.stages.train(&stage, training, kept.as_ref())?;
        let mut right = Vec::new();
        for_each_batch(&learner, asked, CHUNK, |inputs, points| {
            let classes = learner.predict(inputs)?;
            let labels = points.iter().map(|i| asked.labels()[*i]);
            right.extend(classes.iter().zip(labels).map(|(c, y)| f64::from(u8::from(*c == y))));
            Ok(())
        })?;
        let mut done = state_of_numbers(&right)?;
        done.set_note("done", 1);
        done.set_note("seconds", chosen + trained.seconds);
        self.stages.run.save(&stage, &done)?;
        Ok((right, chosen + trained.seconds))
    }
}
