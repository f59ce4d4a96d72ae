//! Ways of choosing side by side on one task: the same data, the same fresh learners, the same training,
//! selection cost included.

use std::ops::Range;
use std::time::Instant;

use candle_core::Device;

use super::engine::{Candidate, Experiment, Joint, Observed, REPEATS, gone};
use super::exam::{CrossValidation, Folds, HoldOut, Way};
use super::jobs::side_by_side;
use super::portfolio::{Certificate, PortfolioOptions, Scheme, certify};
use super::{
    Chooser, Configuration, Model, Observations, Outcome, Progress, Run, Seconds, Stages, Task,
};
use crate::choose::{
    ClassBalanced, Evidence, FacilityLocation, KCenter, Kind, LargestLoss, Margin, Mixed, Needs,
    Random, Shares, SmallestLoss, Strategy,
};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::experiment::metrics::{average_precision, recall_at, roc_auc};
use crate::joint::{Gleaner, Heads};
use crate::seeds::{Part, Seeds};
use crate::value::{Suspects, Trusted};

/// A way to decide what a target is trained on.
pub enum Selector {
    /// A strategy on what a learner sees that was trained on everything; one that needs nothing is not
    /// charged for that learner.
    Strategy(Box<dyn Strategy>),
    /// The same, and what it ranks first is suspected of a wrong label.
    Suspicion(Box<dyn Strategy>),
    /// A strategy on the inputs themselves as features, and nothing else.
    OnInputs(Box<dyn Strategy>),
    /// A strategy on the inputs, the labels, and probabilities and losses [out of fold](Observations::out_of_fold), under a
    /// name of its own.
    OutOfFold(String, Box<dyn Strategy>),
    /// The learned selection on the inputs, under a name of its own.
    Gleaner(String, Gleaner),
    /// The [certified](Certificate) best of the two kinds above that stand before it; the first of them must be random.
    Certified(PortfolioOptions),
    /// The selection model trained together with a fresh learner.
    Joint(Heads),
    /// The selection program with an untrained selection model.
    Untrained,
    /// A new uniform sample every epoch: not a subset, but the baseline in equal steps.
    FreshRandom,
    /// The validation set alone: if it wins, the validation set does the work, not the selection.
    ValidationAlone,
    /// Everything.
    FullData,
    /// Any of these under a name of its own.
    Named(String, Box<Selector>),
}

impl Selector {
    /// Any way under a name of its own, in tables and in a run's folder.
    pub fn named(name: &str, way: Self) -> Self {
        Self::Named(name.into(), Box::new(way))
    }

    /// The learned selection and what it must beat, in the order of the tables.
    pub fn usual() -> Vec<Self> {
        vec![
            Self::Joint(Heads::Unary),
            Self::Joint(Heads::Both),
            Self::Joint(Heads::Embedding),
            Self::Untrained,
            Self::OnInputs(Box::new(KCenter)),
            Self::Strategy(Box::new(KCenter)),
            Self::Strategy(Box::new(SmallestLoss)),
            Self::Suspicion(Box::new(LargestLoss)),
            Self::Strategy(Box::new(Random)),
            Self::FreshRandom,
            Self::ValidationAlone,
            Self::FullData,
        ]
    }

    /// Ways that look at features and labels alone, random first: the learned selection, and filters of labels with coverage
    /// or random behind them. What [`certified`](super::certified) is for.
    pub fn on_features() -> Vec<Self> {
        let covering = || balanced(FacilityLocation::default());
        let filtered = |suspects| Box::new(Trusted::beyond(suspects, covering()));
        // A share of a half is one.
        let half_hard = Mixed::new(FacilityLocation::default(), Margin, 0.5).map(balanced);
        let half_hard =
            half_hard.map(|strategy| -> Box<dyn Strategy> { Box::new(Trusted::new(strategy)) });
        let named = |name: &str, strategy| Self::OutOfFold(name.into(), strategy);
        let mut ways = vec![
            named("random", Box::new(balanced(Random))),
            Self::Gleaner("gleaner".into(), Gleaner::default()),
            Self::Gleaner(
                "gleaner, a quarter hard".into(),
                Gleaner { hard: 0.25, ..Default::default() },
            ),
            named("out-of-fold filter + coverage", Box::new(Trusted::new(covering()))),
        ];
        ways.extend(half_hard.map(|s| named("out-of-fold filter + half hard", s)));
        ways.extend([
            named("neighbour filter + coverage", filtered(Suspects::Neighbours(15))),
            named("small loss", Box::new(balanced(SmallestLoss))),
        ]);
        ways
    }

    /// Its name in tables.
    pub fn name(&self) -> String {
        match self {
            Self::Strategy(strategy) | Self::Suspicion(strategy) => {
                let on_features = strategy.needs().contains(Kind::Features);
                format!("{}{}", strategy.name(), if on_features { " (features)" } else { "" })
            }
            Self::OnInputs(strategy) => format!("{} (inputs)", strategy.name()),
            Self::OutOfFold(name, _) | Self::Gleaner(name, _) => name.clone(),
            Self::Certified(_) => "auto".into(),
            Self::Joint(Heads::Unary) => "gleaner (unary)".into(),
            Self::Joint(Heads::Embedding) => "gleaner, embedding".into(),
            Self::Joint(Heads::Both) => "gleaner, both heads".into(),
            Self::Untrained => "gleaner, untrained".into(),
            Self::FreshRandom => "fresh-random".into(),
            Self::ValidationAlone => "validation alone".into(),
            Self::FullData => "full data".into(),
            Self::Named(name, _) => name.clone(),
        }
    }

    /// What it does, whatever it is called.
    pub(super) fn way(&self) -> &Self {
        match self {
            Self::Named(_, way) => way.way(),
            unnamed => unnamed,
        }
    }

    /// Its name and what else its choices depend on.
    fn settings(&self) -> String {
        match self {
            Self::OutOfFold(name, strategy) => format!("{name} ({})", strategy.name()),
            Self::Gleaner(name, gleaner) => format!("{name} ({gleaner:?})"),
            Self::Certified(options) => format!("{} ({options:?})", self.name()),
            Self::Named(name, way) => format!("{name} ({})", way.settings()),
            other => other.name(),
        }
    }

    /// What a learner trained on everything is to tell; nothing where none is looked at.
    fn needs_of_a_learner(&self) -> Needs {
        match self.way() {
            Self::Strategy(strategy) | Self::Suspicion(strategy) => strategy.needs(),
            _ => Needs::NOTHING,
        }
    }
}

/// Every class keeps its share.
fn balanced<S: Strategy>(inner: S) -> ClassBalanced<S> {
    ClassBalanced::new(inner, Shares::Proportional)
}

/// How a comparison runs.
pub struct ComparisonOptions {
    /// Who takes part.
    pub selectors: Vec<Selector>,
    /// Shares of the pool to keep, each in (0, 1].
    pub fractions: Vec<f64>,
    /// Joint training.
    pub joint: Joint,
}

/// How well a selector finds wrong labels.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Detection {
    /// Whose ranking it is.
    pub selector: String,
    /// The seed it follows from.
    pub seed: u64,
    /// Average precision.
    pub average_precision: f64,
    /// Area under the receiver operating characteristic.
    pub roc_auc: f64,
    /// Recall among as many points as there are wrong labels.
    pub recall: f64,
}

/// Everything one seed of a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// One a selector and fraction.
    pub outcomes: Vec<Outcome>,
    /// One a selector that ranks suspicion; empty if no label is known to be wrong.
    pub detections: Vec<Detection>,
    /// One a fraction for every [`Selector::Certified`].
    pub certificates: Vec<Certificate>,
}

impl ComparisonOptions {
    /// Adds every setting to a configuration.
    pub fn note(&self, configuration: &mut Configuration) {
        let settings: Vec<String> = self.selectors.iter().map(Selector::settings).collect();
        configuration.insert("selectors".into(), settings.join(", "));
        configuration.insert("fractions".into(), format!("{:?}", self.fractions));
        configuration.insert("joint".into(), format!("{:?}", self.joint));
    }

    /// How many learners one seed trains at most, for a progress bar.
    pub fn trainings(&self) -> usize {
        let (mut candidates, mut once, mut each) = (0, 0, 0);
        for selector in &self.selectors {
            match selector.way() {
                Selector::ValidationAlone | Selector::FullData => once += 1,
                // Trains none of its own for the test.
                Selector::Certified(options) => each += options.trainings(candidates),
                Selector::OutOfFold(..) | Selector::Gleaner(..) => {
                    (candidates, each) = (candidates + 1, each + 1);
                }
                Selector::Joint(_) => (once, each) = (once + 1, each + 1),
                _ => each += 1,
            }
        }
        let needs = self.needs_of_a_learner();
        let seen = usize::from(needs != Needs::NOTHING);
        let repeats = if needs.contains(Kind::Repeats) { REPEATS } else { 0 };
        seen + repeats + once + each * self.fractions.len()
    }

    /// What all ways that look at a learner need of it.
    fn needs_of_a_learner(&self) -> Needs {
        let ways = self.selectors.iter().map(Selector::needs_of_a_learner);
        ways.fold(Needs::NOTHING, Needs::and)
    }
}

/// The data of one seed.
#[derive(Clone, Debug)]
pub struct Data {
    /// What is chosen from.
    pub pool: Dataset,
    /// Split from the training data.
    pub validation: Dataset,
    /// Looked at once by every learner.
    pub test: Dataset,
    /// Which labels of the pool are known to be wrong; empty if nothing is known.
    pub flipped: Vec<bool>,
}

impl Data {
    /// The same where computations run.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device has no room.
    pub fn to_device(self, device: &Device) -> Result<Self> {
        let Self { pool, validation, test, flipped } = self;
        let [pool, validation, test] = [pool, validation, test].map(|set| set.to_device(device));
        Ok(Self { pool: pool?, validation: validation?, test: test?, flipped })
    }

    /// As a task.
    pub fn task(&self) -> Task<'_> {
        let Self { pool, validation, test, flipped } = self;
        Task { pool, validation: Some(validation), test, flipped }
    }
}

/// All seeds at one level of label noise.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Share of labels that were flipped.
    pub noise: f64,
    /// What each seed found.
    pub seeds: Vec<Comparison>,
}

/// [`compare`] at every level of noise with every seed, [side by side](side_by_side), on the `data` of
/// each, its stages kept in the `run` of each.
///
/// # Errors
/// As [`compare`].
pub fn compare_levels(
    noises: &[f64],
    seeds: Range<u64>,
    (model, options): (&Model, &ComparisonOptions),
    device: &Device,
    data: impl Fn(f64, u64) -> Result<Data> + Sync,
    run: impl Fn(f64, u64) -> Result<Run> + Sync,
    watch: impl Fn(&Progress) + Sync,
) -> Result<Vec<Level>> {
    let jobs: Vec<(f64, u64)> =
        noises.iter().flat_map(|noise| seeds.clone().map(move |seed| (*noise, seed))).collect();
    let mut found = side_by_side(&jobs, device, |&(noise, seed)| {
        let (run, data) = (run(noise, seed)?, data(noise, seed)?.to_device(device)?);
        compare(data.task(), model, options, seed, Stages { run: &run, watch: &mut |p| watch(p) })
    })?
    .into_iter();
    let each = jobs.len() / noises.len().max(1);
    let level = |noise: &f64| Level { noise: *noise, seeds: found.by_ref().take(each).collect() };
    Ok(noises.iter().map(level).collect())
}

/// Trains a fresh `model` on what each selector chooses of the pool, at every share, and tests it once. The
/// same kind of model, trained on everything, is what strategies look at, and what is trained jointly.
///
/// Everything follows from `seed`; the weights of the fresh ones from a seed that nothing that chooses has
/// seen. Stages are kept under names that begin with the seed.
///
/// # Errors
/// As [`core_set`](crate::experiment::core_set).
pub fn compare(
    task: Task,
    model: &Model,
    options: &ComparisonOptions,
    seed: u64,
    stages: Stages,
) -> Result<Comparison> {
    let experiment = Experiment {
        task,
        target: model,
        fractions: &options.fractions,
        seed,
        target_seed: Seeds::new(seed).part(Part::Targets).value(),
        scope: format!("seed{seed}"),
        stages,
        outcomes: Vec::new(),
    };
    let mut work = Work {
        experiment,
        model,
        joint: &options.joint,
        out_of_fold: None,
        ways: Vec::new(),
        detections: Vec::new(),
        certificates: Vec::new(),
    };
    let needs = options.needs_of_a_learner();
    let seen = match needs == Needs::NOTHING {
        true => None,
        false => Some(work.experiment.observe(Chooser::Proxy, model, needs)?),
    };
    for selector in &options.selectors {
        work.run(selector, selector.name(), seen.as_ref())?;
    }
    let (outcomes, certificates) = (work.experiment.outcomes, work.certificates);
    Ok(Comparison { outcomes, detections: work.detections, certificates })
}

struct Work<'a, 's> {
    experiment: Experiment<'a, 's>,
    model: &'a Model<'a>,
    joint: &'a Joint,
    /// Once somebody asked for it.
    out_of_fold: Option<Observed>,
    /// What a certificate may compare; evidence that several look at is counted at the first.
    ways: Vec<Way<'a>>,
    detections: Vec<Detection>,
    certificates: Vec<Certificate>,
}

impl<'a> Work<'a, '_> {
    fn run(&mut self, selector: &'a Selector, name: String, seen: Option<&Observed>) -> Result<()> {
        let blind = Candidate::blind(&name);
        let experiment = &mut self.experiment;
        match selector {
            Selector::Named(_, way) => self.run(way, name, seen),
            Selector::Strategy(strategy) => self.strategy(&name, strategy, seen).map(|_| ()),
            Selector::Suspicion(strategy) => {
                let ranking = self.strategy(&name, strategy, seen)?;
                ranking.map_or(Ok(()), |ranking| self.detect(name, &ranking))
            }
            Selector::OnInputs(strategy) => {
                let inputs = Observations::inputs(experiment.task.pool)?;
                experiment.strategy(blind, strategy, &inputs.evidence()?).map(|_| ())
            }
            Selector::OutOfFold(_, strategy) => {
                let before = self.out_of_fold(&name, strategy)?;
                self.ways.push(Way { name, selector, before });
                Ok(())
            }
            Selector::Gleaner(_, gleaner) => {
                let before = self.gleaner(&name, gleaner)?;
                self.ways.push(Way { name, selector, before });
                Ok(())
            }
            Selector::Certified(options) => self.certified(&name, options),
            Selector::Joint(heads) => {
                let mut joint = self.joint.clone();
                joint.trainer.model.heads = *heads;
                let suspicion = experiment.joint(blind, self.model, None, &joint, true)?;
                suspicion.map_or(Ok(()), |suspicion| self.detect(name, &suspicion))
            }
            Selector::Untrained => {
                let mut joint = Joint { steps: 0, ..self.joint.clone() };
                joint.trainer.model.heads = Heads::Unary;
                experiment.joint(blind, self.model, None, &joint, false).map(|_| ())
            }
            Selector::FreshRandom => {
                let mut fractions = experiment.fractions.iter();
                fractions.try_for_each(|fraction| experiment.test_fresh_random(blind, *fraction))
            }
            Selector::ValidationAlone => match experiment.task.validation {
                Some(validation) => experiment.test_alone(blind, validation, None),
                None => Err(Error::shape("validation part to train on", "one", "none")),
            },
            Selector::FullData => {
                let flipped = experiment.share_flipped_of_all();
                experiment.test_alone(blind, experiment.task.pool, flipped)
            }
        }
    }

    /// Tests a strategy's choices; returns what it ranks the points by.
    fn strategy(
        &mut self,
        name: &str,
        strategy: &dyn Strategy,
        seen: Option<&Observed>,
    ) -> Result<Option<Vec<f64>>> {
        let Some(seen) = seen.filter(|_| strategy.needs() != Needs::NOTHING) else {
            let nothing = Evidence::new(self.experiment.task.pool.points());
            self.experiment.strategy(Candidate::blind(name), strategy, &nothing)?;
            return strategy.ranking(&nothing);
        };
        let before = seen.seconds_of(strategy.needs());
        let candidate = Candidate { name, chooser: Chooser::Proxy, before };
        seen.with_evidence(|evidence| {
            self.experiment.strategy(candidate, strategy, evidence)?;
            strategy.ranking(evidence)
        })
    }

    /// A strategy on what is known of the inputs; one that looks at no probability is not charged for it.
    /// The seconds before the first choice.
    fn out_of_fold(&mut self, name: &str, strategy: &dyn Strategy) -> Result<Seconds> {
        let blind = Candidate { chooser: Chooser::Inputs, ..Candidate::blind(name) };
        let needs = strategy.needs();
        let judged = [Kind::Probabilities, Kind::Losses, Kind::Errors];
        if !judged.iter().any(|kind| needs.contains(*kind)) {
            let inputs = Observations::labelled_inputs(self.experiment.task.pool)?;
            self.experiment.strategy(blind, strategy, &inputs.evidence()?)?;
            return Ok(blind.before);
        }
        let (seen, charged) = match self.out_of_fold.take() {
            Some(seen) => (seen, Seconds::default()),
            None => {
                let seen = self.experiment.observe_inputs()?;
                let charged = seen.seconds;
                (seen, charged)
            }
        };
        let candidate = Candidate { before: seen.seconds, ..blind };
        let done =
            seen.with_evidence(|evidence| self.experiment.strategy(candidate, strategy, evidence));
        self.out_of_fold = Some(seen);
        done.map(|_| charged)
    }

    /// One look, then a choice at every share; the seconds of looking.
    fn gleaner(&mut self, name: &str, gleaner: &Gleaner) -> Result<Seconds> {
        let experiment = &mut self.experiment;
        let (started, seeds) = (Instant::now(), Seeds::new(experiment.seed));
        let pool = Observations::labelled_inputs(experiment.task.pool)?;
        let validation =
            experiment.task.validation.map(Observations::labelled_inputs).transpose()?;
        let evidence = pool.evidence()?;
        let validation = validation.as_ref().map(Observations::evidence).transpose()?;
        let gleaned = match &validation {
            Some(validation) => gleaner.look(&evidence.with_validation(validation), seeds)?,
            None => gleaner.look(&evidence, seeds)?,
        };
        let looked = experiment.once(&format!("{name} looked"), started.elapsed().as_secs_f64())?;
        let before = Seconds { selection: looked, ..Default::default() };
        let candidate = Candidate { name, chooser: Chooser::Inputs, before };
        experiment.at_all_fractions(candidate, |count| gleaned.choose(count)).map(|_| before)
    }

    /// The outcome of the choice that is kept, at the price of all that was tried.
    fn certified(&mut self, name: &str, options: &PortfolioOptions) -> Result<()> {
        options.check()?;
        let Self { experiment, ways, .. } = self;
        let names: Vec<&str> = ways.iter().map(|way| way.name.as_str()).collect();
        let mut folds = match options.scheme {
            Scheme::CrossValidation { folds } => Some(Folds::new(experiment, ways, folds)?),
            Scheme::HoldOut => None,
        };
        for &fraction in experiment.fractions {
            let mut choices = Vec::new();
            let mut selection = 0.0;
            for Way { name, before, .. } in ways.iter() {
                let candidate = Candidate { name, chooser: Chooser::Inputs, before: *before };
                let kept = experiment.choice(candidate, fraction, |_| Err(gone()))?;
                choices.push(kept.0);
                selection += kept.1.selection;
            }
            let asked = (fraction, experiment.seed);
            let (certificate, seconds) = match &mut folds {
                Some(folds) => {
                    let mut exam = CrossValidation { experiment, folds, fraction };
                    certify(&mut exam, options, asked, &names)?
                }
                None => {
                    let mut exam = HoldOut::new(experiment, fraction, ways, &choices)?;
                    certify(&mut exam, options, asked, &names)?
                }
            };
            let of = |o: &&Outcome| {
                let kept = o.strategy == certificate.kept && o.chooser == Chooser::Inputs;
                kept && o.fraction == fraction
            };
            let Some(kept) = experiment.outcomes.iter().find(of) else { return Err(gone()) };
            let seconds = Seconds { training: seconds, selection, ..kept.seconds };
            let outcome = Outcome { strategy: name.to_string(), seconds, ..kept.clone() };
            experiment.outcomes.push(outcome);
            self.certificates.push(certificate);
        }
        Ok(())
    }

    fn detect(&mut self, selector: String, suspicion: &[f64]) -> Result<()> {
        let flipped = self.experiment.task.flipped;
        let wrong = flipped.iter().filter(|&&f| f).count();
        if wrong == 0 || wrong == flipped.len() {
            return Ok(());
        }
        self.detections.push(Detection {
            selector,
            seed: self.experiment.seed,
            average_precision: average_precision(suspicion, flipped)?,
            roc_auc: roc_auc(suspicion, flipped)?,
            recall: recall_at(suspicion, flipped, wrong)?,
        });
        Ok(())
    }
}
