//! Certificates: what is kept is what is tested, and random where nothing is surely better.

use candle_core::{DType, Device, Tensor};
use gleaner::choose::{ClassBalanced, Random, Shares};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::experiment::{
    Comparison, ComparisonOptions, Configuration, Data, Joint, Model, PortfolioOptions, Progress,
    Run, Scheme, Selector, Stages, Task, compare,
};
use gleaner::joint::Gleaner;
use gleaner::learn::{Length, Mlp, MlpOptions, TrainingOptions};
use gleaner::{Dataset, Error, Learner, Result, Seeds};

fn data(points: usize, seed: u64) -> Result<Data> {
    let shape = ClusterOptions {
        label_noise: 0.3,
        clusters: 20,
        points,
        validation: points,
        ..Default::default()
    };
    let made = clusters(&shape, &mut Seeds::new(seed).stream(0))?;
    let (pool, validation, test) = (made.train, made.validation, made.test);
    Ok(Data { pool, validation, test, flipped: made.flipped })
}

fn found(
    selectors: Vec<Selector>,
    task: Task,
    fraction: f64,
    seed: u64,
    run: &Run,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Comparison> {
    let options =
        ComparisonOptions { selectors, fractions: vec![fraction], joint: Joint::default() };
    let shape = MlpOptions {
        inputs: task.pool.inputs_at(&[0])?.dim(1)?,
        hidden: vec![64],
        classes: task.pool.classes(),
    };
    let build = |seed| -> Result<Box<dyn Learner>> {
        Ok(Box::new(Mlp::new(&shape, seed, DType::F32, &Device::Cpu)?))
    };
    let training = TrainingOptions { length: Length::Steps(200), ..Default::default() };
    let model = Model { name: "mlp".into(), build: &build, training };
    compare(task, &model, &options, seed, Stages { run, watch })
}

fn random(name: &str) -> Selector {
    Selector::OutOfFold(name.into(), Box::new(ClassBalanced::new(Random, Shares::Proportional)))
}

fn certified(scheme: Scheme) -> Selector {
    Selector::Certified(PortfolioOptions { scheme, ..Default::default() })
}

const SCHEMES: [Scheme; 2] = [Scheme::HoldOut, Scheme::CrossValidation { folds: 5 }];

/// A third of the labels wrong, also of those that are asked: the learned selection is kept, its outcome is that of its own
/// line, and all that was trained is paid for. The same from a folder, stopped after a third of the epochs.
#[test]
fn a_large_gain_is_certified() -> Result<()> {
    SCHEMES.into_iter().try_for_each(a_large_gain_is_certified_by)
}

fn a_large_gain_is_certified_by(scheme: Scheme) -> Result<()> {
    let data = data(1500, 1)?;
    let selectors = || {
        let gleaner = Selector::Gleaner("gleaner".into(), Gleaner::default());
        vec![random("random"), gleaner, certified(scheme)]
    };
    let run = Run::in_memory();
    let whole = found(selectors(), data.task(), 0.1, 3, &run, &mut |_| {})?;
    let [certificate] = &whole.certificates[..] else { panic!("{:?}", whole.certificates) };
    assert_eq!(certificate.kept, "gleaner", "{certificate}");
    assert!(
        certificate.gain > 0.05 && certificate.lower > 0.0 && certificate.lower < certificate.gain
    );
    let names: Vec<&str> = certificate.tried.iter().map(|tried| tried.name.as_str()).collect();
    assert_eq!(names, ["random", "gleaner"]);
    assert!(certificate.tried.iter().all(|tried| tried.trainings == 1));
    assert_eq!(certificate.scheme, scheme);
    let of = |name: &str| whole.outcomes.iter().find(|o| o.strategy == name).unwrap();
    assert_eq!(of("auto").error, of("gleaner").error);
    // Looking and choosing of all that was tried.
    assert!(of("auto").seconds.selection >= of("gleaner").seconds.selection);
    assert!(of("auto").seconds.training > 0.0 && of("gleaner").seconds.training == 0.0);

    let folder = tempfile::tempdir().unwrap();
    let asked = Configuration::new();
    let mut epochs = 0;
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let run = Run::open(folder.path(), &asked).unwrap();
        let mut watch = |_: &Progress| {
            epochs += 1;
            assert!(epochs < 30, "stopped on purpose");
        };
        found(selectors(), data.task(), 0.1, 3, &run, &mut watch)
    }));
    assert!(stopped.is_err() && epochs == 30);
    let run = Run::open(folder.path(), &asked)?;
    let again = found(selectors(), data.task(), 0.1, 3, &run, &mut |_| {})?;
    assert_eq!(again.certificates, whole.certificates);
    Ok(())
}

/// Random against other ways of drawing at random, nine tenths of the points, so that no draw can be much luckier than
/// another: one of twenty seeds may seem better at 95 %, and more than three with a probability of 0.016.
#[test]
fn nothing_is_certified_where_there_is_nothing() -> Result<()> {
    SCHEMES.into_iter().try_for_each(nothing_is_certified_by)
}

fn nothing_is_certified_by(scheme: Scheme) -> Result<()> {
    let mut kept = 0;
    for seed in 0..20 {
        let another = |name: &str, strategy| Selector::OutOfFold(name.into(), strategy);
        let selectors = vec![
            random("random"),
            another("plain", Box::new(Random)),
            another("equal", Box::new(ClassBalanced::new(Random, Shares::Equal))),
            certified(scheme),
        ];
        let found =
            found(selectors, data(600, seed)?.task(), 0.9, seed, &Run::in_memory(), &mut |_| {})?;
        let certificate = &found.certificates[0];
        kept += usize::from(certificate.kept != "random");
        let says = certificate.to_string();
        assert_eq!(says.contains("no certified gain"), certificate.kept == "random", "{says}");
        assert_eq!(says.contains("cross-validation"), scheme != Scheme::HoldOut, "{says}");
    }
    assert!(kept <= 3, "{kept} of 20");
    Ok(())
}

#[test]
fn a_certificate_needs_sane_settings() -> Result<()> {
    let data = data(600, 2)?;
    for portfolio in [
        PortfolioOptions { scheme: Scheme::CrossValidation { folds: 2 }, ..Default::default() },
        PortfolioOptions { scheme: Scheme::CrossValidation { folds: 601 }, ..Default::default() },
        PortfolioOptions { trainings: 0, ..Default::default() },
        PortfolioOptions { confidence: 1.0, ..Default::default() },
        PortfolioOptions { confidence: f64::NAN, ..Default::default() },
    ] {
        let selectors = vec![random("random"), Selector::Certified(portfolio)];
        let refused = found(selectors, data.task(), 0.1, 0, &Run::in_memory(), &mut |_| {});
        assert!(matches!(refused, Err(Error::OutOfRange { .. })), "{refused:?}");
    }
    // Nothing to compare with.
    for scheme in SCHEMES {
        let nobody = vec![certified(scheme)];
        let refused = found(nobody, data.task(), 0.1, 0, &Run::in_memory(), &mut |_| {});
        assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
    }
    Ok(())
}

/// Nobody needs a validation part for cross-validation, and everybody else does.
#[test]
fn without_validation_data() -> Result<()> {
    let data = data(1500, 1)?;
    let alone = Task { validation: None, ..data.task() };
    let selectors = |scheme| {
        let gleaner = Selector::Gleaner("gleaner".into(), Gleaner::default());
        vec![random("random"), gleaner, certified(scheme)]
    };
    let [folds, halves] = [Scheme::CrossValidation { folds: 3 }, Scheme::HoldOut];
    let found = |scheme| found(selectors(scheme), alone, 0.1, 3, &Run::in_memory(), &mut |_| {});
    assert_eq!(found(folds)?.certificates[0].kept, "gleaner");
    let refused = found(halves);
    assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
    Ok(())
}

/// A run with other settings is another run.
#[test]
fn settings_of_what_chooses_are_noted() {
    let noted = |gleaner: Gleaner, portfolio: PortfolioOptions| {
        let selectors =
            vec![Selector::Gleaner("g".into(), gleaner), Selector::Certified(portfolio)];
        let options =
            ComparisonOptions { selectors, fractions: vec![0.1], joint: Joint::default() };
        let mut configuration = Configuration::new();
        options.note(&mut configuration);
        configuration
    };
    let usual = noted(Gleaner::default(), PortfolioOptions::default());
    let learned = Gleaner { steps: 7, ..Default::default() };
    assert_ne!(noted(learned, PortfolioOptions::default()), usual);
    let bold = PortfolioOptions { confidence: 0.8, ..Default::default() };
    assert_ne!(noted(Gleaner::default(), bold), usual);
}

/// A class of one point, folds without it, hardly a point to keep: a certificate all the same.
#[test]
fn few_points_give_a_certificate() -> Result<()> {
    let inputs: Vec<f32> = (0..26).map(|k| (k % 13) as f32 + 100.0 * (k / 13) as f32).collect();
    let labels: Vec<u32> = (0..26).map(|i| if i == 25 { 2 } else { i / 13 }).collect();
    let inputs = Tensor::from_vec(inputs, (26, 1), &Device::Cpu)?;
    let few = Dataset::new(inputs, labels, 3)?;
    let task = Task { pool: &few, validation: None, test: &few, flipped: &[] };
    for (fraction, folds) in [(0.05, 3), (0.3, 5), (1.0, 13)] {
        let gleaner = Selector::Gleaner("gleaner".into(), Gleaner::default());
        let selectors =
            vec![random("random"), gleaner, certified(Scheme::CrossValidation { folds })];
        let found = found(selectors, task, fraction, 0, &Run::in_memory(), &mut |_| {})?;
        let certificate = &found.certificates[0];
        assert!(certificate.gain.is_finite(), "{certificate}");
    }
    Ok(())
}
