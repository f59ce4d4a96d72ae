//! Methods by name, and the evidence that a table can give them.

use std::sync::Arc;

use candle_core::{DType, Device};
use gleaner::choose::{
    Choice, ClassBalanced, CrossFit, FacilityLocation, Kind, Needs, Random, Shares, Strategy, named,
};
use gleaner::data::{Source, Standardiser};
use gleaner::experiment::{
    Certificate, Model, Observations, PortfolioOptions, Run, Selector, Stages, certified, gleaned,
};
use gleaner::joint::Gleaner;
use gleaner::learn::{Length, Mlp, MlpOptions, TrainingOptions};
use gleaner::{Error, Evidence, Learner, Result, Seeds};
use rand::RngCore;

use crate::input::Data;
use crate::known::Known;
use crate::memory::Demand;

/// What a table cannot give: a network must be trained for it.
const OF_TRAINING: [Kind; 5] =
    [Kind::History, Kind::Margins, Kind::LabelProbabilities, Kind::GradientNorms, Kind::Repeats];

/// The method of that name; of none, the one for what is known.
pub fn method(name: Option<&str>, labelled: bool) -> Result<Box<dyn Strategy>> {
    match name {
        None if labelled => Ok(Box::new(Gleaner::default())),
        None => Ok(Box::new(FacilityLocation::default())),
        Some("gleaner") => Ok(Box::new(Gleaner::default())),
        Some("random") => Ok(Box::new(Random)),
        Some(name) => named(name).map_err(|error| match error {
            Error::Unknown { what, expected, found } => {
                Error::Unknown { what, expected: format!("auto, gleaner, {expected}"), found }
            }
            other => other,
        }),
    }
}

/// The way that cross-validation certifies, or a random choice of every class's share where nothing is surely better.
///
/// What is done is kept in `run`.
pub fn certified_best(
    data: &Data,
    count: usize,
    seed: u64,
    run: &Run,
) -> Result<(Certificate, Choice)> {
    let pool = Standardiser::of(&data.table.data)?.dataset(&data.table.data)?;
    let (inputs, classes) = (pool.inputs().dim(1)?, pool.classes());
    let shape = MlpOptions { inputs, hidden: vec![64], classes };
    let build = |seed| -> Result<Box<dyn Learner>> {
        Ok(Box::new(Mlp::new(&shape, seed, DType::F32, &Device::Cpu)?))
    };
    let training = TrainingOptions { length: Length::Steps(STEPS), ..Default::default() };
    let model = Model { name: "mlp".into(), build: &build, training };
    let ways = Selector::on_features();
    let share = count as f64 / data.len() as f64;
    let stages = Stages { run, watch: &mut |_| () };
    certified((&pool, None), &model, &ways, share, &PortfolioOptions::default(), seed, stages)
}

/// The method `gleaner` on one table, once: what takes a while is kept in a run.
pub struct GleanerIn {
    pub settings: Gleaner,
    pub run: Arc<Run>,
}

impl Strategy for GleanerIn {
    fn name(&self) -> &str {
        "gleaner"
    }

    fn needs(&self) -> Needs {
        self.settings.needs()
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        let seeds = Seeds::new(rng.next_u64());
        gleaned(&self.settings, evidence, seeds, &self.run)?.choose(count)
    }
}

/// A choice that was made elsewhere, so that what goes around strategies goes around it.
pub struct Made(pub Choice);

impl Strategy for Made {
    fn name(&self) -> &str {
        "made"
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

    fn select(&self, _: &Evidence, _: usize, _: &mut dyn RngCore) -> Result<Choice> {
        Ok(self.0.clone())
    }
}

/// Of every network that tries a choice.
const STEPS: usize = 400;

/// Every class by its share, or all classes alike.
pub fn balanced(inner: Box<dyn Strategy>, shares: Option<Shares>) -> Box<dyn Strategy> {
    match shares {
        None => inner,
        // It compares classes, and cannot look at one by itself.
        quota if inner.name() == "gleaner" => Box::new(Gleaner { quota, ..Default::default() }),
        Some(shares) => Box::new(ClassBalanced::new(inner, shares)),
    }
}

/// The memory that a strategy takes, by what it looks at.
pub fn demand(strategy: &dyn Strategy) -> Demand {
    if is_judged(strategy.needs()) || strategy.name() == "gleaner" {
        Demand::EVIDENCE
    } else if ["random", "k-center", "convex"].contains(&strategy.name()) {
        Demand::READING
    } else {
        Demand::COVERAGE
    }
}

/// That a table with these columns can give what a strategy needs.
pub fn check(strategy: &dyn Strategy, data: &Data, target: bool) -> Result<()> {
    let needs = strategy.needs();
    let missing = |kinds: &[Kind]| kinds.iter().copied().find(|kind| needs.contains(*kind));
    let wanted = |expected: String| Error::Unknown {
        what: "evidence",
        expected,
        found: strategy.name().to_owned(),
    };
    if let Some(kind) = missing(&OF_TRAINING) {
        let expected =
            format!("methods without {}, which a network must be trained for", kind.name());
        return Err(wanted(expected));
    }
    let of_labels = [Kind::Labels, Kind::Probabilities, Kind::Losses, Kind::Errors];
    let lacking = [
        (!data.labelled, missing(&of_labels), "--label for"),
        (data.table.groups.is_none(), missing(&[Kind::Groups]), "--group for"),
        (data.table.costs.is_none(), missing(&[Kind::Costs]), "--cost for"),
        (!target, missing(&[Kind::Validation]), "--target-set for"),
    ];
    match lacking.into_iter().find(|(lacks, kind, _)| *lacks && kind.is_some()) {
        None => Ok(()),
        Some((_, _, flag)) => Err(wanted(format!("{flag} this method"))),
    }
}

/// Whether a strategy looks at probabilities out of fold, which take a while.
pub fn is_judged(needs: Needs) -> bool {
    let judged = [Kind::Probabilities, Kind::Losses, Kind::Errors];
    judged.iter().any(|kind| needs.contains(*kind))
}

/// What is known of the rows, as far as `needs` go; what takes a while is kept in `run`.
pub fn observed(
    data: &dyn Source,
    labelled: bool,
    needs: Needs,
    seeds: Seeds,
    run: Option<&Run>,
) -> Result<Observations> {
    match (labelled, is_judged(needs), run) {
        (false, ..) => Observations::inputs(data),
        (true, false, _) => Observations::labelled_inputs(data),
        (true, true, None) => Observations::out_of_fold(data, &CrossFit::default(), seeds),
        (true, true, Some(run)) => {
            Observations::out_of_fold_in(run, data, &CrossFit::default(), seeds)
        }
    }
}

/// With groups and costs, where the table has them.
pub fn evidence<'a>(seen: &'a Observations, data: &'a Data) -> Result<Evidence<'a>> {
    let mut evidence = seen.evidence()?;
    if let Some(groups) = &data.table.groups {
        evidence = evidence.with_groups(&groups.ids)?;
    }
    if let Some(costs) = &data.table.costs {
        evidence = evidence.with_costs(costs)?;
    }
    Ok(evidence)
}
