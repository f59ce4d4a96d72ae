//! What `valuation` needs: its flags, the values it compares, the curves of removal.

use std::time::Instant;

use candle_core::{DType, Device};
use clap::Parser;
use gleaner::choose::{Evidence, Kind, Needs};
use gleaner::data::{Standardiser, flip_labels, stratified_split};
use gleaner::experiment::Observations;
use gleaner::experiment::metrics::{average_precision, mean_and_std};
use gleaner::learn::{
    Length, Loss, Mlp, MlpOptions, Sampling, Training, TrainingOptions, accuracy_in_batches,
};
use gleaner::report::Series;
use gleaner::value::{
    Consensus, DataOob, Dvrl, Influence, KnnBanzhaf, KnnBetaShapley, KnnShapley, Lava, LeaveOneOut,
    NeighbourAgreement, SelfConfidence, TracIn, Valuation, lower_cluster,
};
use gleaner::{Dataset, Result, Seeds};
use rand::{Rng, RngCore};

use super::real_data::{Set, SetFlags};

/// Compares values of training points by the wrong labels they find.
#[derive(Parser)]
pub struct ValuationFlags {
    #[command(flatten)]
    pub sets: SetFlags,
    #[command(flatten)]
    pub common: super::Common,
}

/// A set by the protocol.
struct Spoiled {
    train: Dataset,
    validation: Dataset,
    test: Dataset,
    flipped: Vec<bool>,
}

impl Spoiled {
    /// Training and validation points of the training part, test points of the test part.
    fn of(set: &Set, seed: u64) -> Result<Self> {
        let rng = &mut Seeds::new(seed).named("split");
        let mut some = |data: &Dataset, points: usize| -> Result<(Dataset, Dataset)> {
            let points = points.min(data.len() / 2);
            let (first, rest) = stratified_split(data.labels(), points, rng)?;
            Ok((data.subset(&first)?, data.subset(&rest)?))
        };
        let (train, rest) = some(&set.train, 1_000)?;
        let (validation, _) = some(&rest, 100)?;
        let (test, _) = some(&set.test, 500)?;
        let standard = Standardiser::of(&train)?;
        let (train, validation) = (standard.dataset(&train)?, standard.dataset(&validation)?);
        let test = standard.dataset(&test)?;
        let rng = &mut Seeds::new(seed).named("noise");
        let (labels, flipped) = flip_labels(train.labels(), train.classes(), 0.2, rng)?;
        Ok(Self { train: train.with_labels(labels)?, validation, test, flipped })
    }
}

/// A baseline.
struct Nothing;

impl Valuation for Nothing {
    fn name(&self) -> &str {
        "random"
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

    fn values(&self, evidence: &Evidence, rng: &mut dyn RngCore) -> Result<Vec<f64>> {
        Ok((0..evidence.points()).map(|_| rng.random()).collect())
    }
}

/// What is compared, and whether it looks at what a linear learner makes of the points.
fn all() -> Vec<(Box<dyn Valuation>, bool)> {
    vec![
        (Box::new(Nothing), false),
        (Box::new(LeaveOneOut::default()), false),
        (Box::new(KnnShapley::default()), false),
        (Box::new(KnnBetaShapley::default()), false),
        (Box::new(KnnBanzhaf::default()), false),
        (Box::new(TracIn), true),
        (Box::new(Influence::default()), true),
        (Box::new(Lava::default()), false),
        (Box::new(Dvrl::default()), false),
        (Box::new(DataOob::default()), false),
        (Box::new(NeighbourAgreement::default()), false),
        (Box::new(SelfConfidence), false),
        (Box::new(Consensus::default()), false),
    ]
}

fn mlp(data: &Dataset, hidden: Vec<usize>, seed: u64) -> Result<Mlp> {
    let options = MlpOptions { inputs: data.inputs().dim(1)?, hidden, classes: data.classes() };
    Mlp::new(&options, seed, DType::F32, &Device::Cpu)
}

/// What a linear learner makes of the training and the validation points.
fn linear(
    train: &Dataset,
    validation: &Dataset,
    seed: u64,
) -> Result<(Observations, Observations)> {
    let learner = mlp(train, Vec::new(), seed)?;
    let options = TrainingOptions { length: Length::Steps(300), ..Default::default() };
    let mut training = Training::new(&learner, train, Sampling::All, &options, seed)?;
    while !training.is_finished() {
        training.epoch(|_| {})?;
    }
    let of = |data| Observations::labelled(&learner, data, None, Loss::Own);
    Ok((of(train)?, of(validation)?))
}

/// What one valuation did with one seed.
pub struct Found {
    pub name: String,
    pub seed: u64,
    /// F1 of the lower cluster, average precision, seconds.
    pub numbers: [f64; 3],
    /// While the worst are removed, and the best.
    pub curves: [Curve; 2],
}

/// All valuations on one seed of a set.
pub fn measured(set: &Set, seed: u64, quick: bool) -> Result<Vec<Found>> {
    let Spoiled { train, validation, test, flipped } = Spoiled::of(set, seed)?;
    let started = Instant::now();
    let learned = linear(&train, &validation, seed)?;
    let (to_learn, started) = (started.elapsed().as_secs_f64(), Instant::now());
    let fitted = Observations::out_of_fold(&train, &Default::default(), Seeds::new(seed))?;
    let to_fit = started.elapsed().as_secs_f64();
    let (asked, own, seen) = (learned.1.evidence()?, fitted.evidence()?, learned.0.evidence()?);
    let one = |(valuation, on_learner): (Box<dyn Valuation>, bool)| {
        let evidence = if on_learner { seen } else { own };
        let (started, mut rng) = (Instant::now(), Seeds::new(seed).named("values"));
        let values = valuation.values(&evidence.with_validation(&asked), &mut rng)?;
        // What it looks at is paid for.
        let fitted = valuation.needs().contains(Kind::Probabilities);
        let before = if on_learner { to_learn } else { to_fit * f64::from(u8::from(fitted)) };
        let seconds = before + started.elapsed().as_secs_f64();
        let low = lower_cluster(&values);
        let count = |marks: &[bool]| marks.iter().filter(|mark| **mark).count() as f64;
        let hits = low.iter().zip(&flipped).filter(|(low, flip)| **low && **flip).count();
        let f1 = 2.0 * hits as f64 / (count(&low) + count(&flipped));
        let against: Vec<f64> = values.iter().map(|value| -value).collect();
        let numbers = [f1, average_precision(&against, &flipped)?, seconds];
        let curves = removal(&train, &test, &values, seed, quick)?;
        Ok(Found { name: valuation.name().to_string(), seed, numbers, curves })
    };
    all().into_iter().map(one).collect()
}

/// Share of the points removed, and the accuracy of a network without them.
pub type Curve = Vec<(f64, f64)>;

/// The worst removed first, and the best.
fn removal(
    train: &Dataset,
    test: &Dataset,
    values: &[f64],
    seed: u64,
    quick: bool,
) -> Result<[Curve; 2]> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let worst = curve(train, test, &order, seed, quick)?;
    order.reverse();
    Ok([worst, curve(train, test, &order, seed, quick)?])
}

fn curve(
    train: &Dataset,
    test: &Dataset,
    order: &[usize],
    seed: u64,
    quick: bool,
) -> Result<Curve> {
    let shares: &[f64] = if quick { &[0.0, 0.2] } else { &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5] };
    let at = |share: f64| -> Result<(f64, f64)> {
        // In the order of the data, so that equal sets train alike.
        let mut left = order[(share * order.len() as f64) as usize..].to_vec();
        left.sort_unstable();
        let learner = mlp(train, vec![32], seed)?;
        let options = TrainingOptions { length: Length::Steps(200), ..Default::default() };
        let mut training = Training::new(&learner, train, Sampling::Fixed(&left), &options, seed)?;
        while !training.is_finished() {
            training.epoch(|_| {})?;
        }
        Ok((share, accuracy_in_batches(&learner, test, 256)?))
    };
    shares.iter().map(|share| at(*share)).collect()
}

/// Mean and spread over seeds, a line a method.
pub fn series<'a>(curves: impl Iterator<Item = (&'a str, &'a Curve)>) -> Vec<Series> {
    let mut lines: Vec<(&str, Vec<&Curve>)> = Vec::new();
    for (name, curve) in curves {
        match lines.iter_mut().find(|line| line.0 == name) {
            Some(line) => line.1.push(curve),
            None => lines.push((name, vec![curve])),
        }
    }
    let line = |(name, curves): (&str, Vec<&Curve>)| {
        let point = |k: usize| {
            let (mean, std) = mean_and_std(&curves.iter().map(|c| c[k].1).collect::<Vec<_>>());
            (curves[0][k].0, mean, std)
        };
        Series { name: name.to_string(), points: (0..curves[0].len()).map(point).collect() }
    };
    lines.into_iter().map(line).collect()
}
