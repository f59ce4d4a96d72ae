//! Joint training: the hypergradient is right, runs repeat, the final pass keeps its promises.

use candle_core::{DType, Device, Tensor};
use gleaner::data::Dataset;
use gleaner::data::synthetic::{ClusterOptions, Clusters, clusters};
use gleaner::joint::{
    Amount, Balance, ChooseOptions, CostFeatures, Eviction, Heads, LookAhead, ModelOptions,
    hypergradient, weighted_gradient,
};
use gleaner::layer::bridge::{to_scalar, to_vec};
use gleaner::learn::optimiser::OptimiserOptions;
use gleaner::learn::{Mlp, MlpOptions, accuracy_in_batches};
use gleaner::program::Budget;
use gleaner::{Error, LayerOptions, Learner, Scale, Smoothing, Trainer, TrainerOptions};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn data(points: usize, noise: f64, seed: u64) -> Clusters {
    let options = ClusterOptions {
        points,
        clusters: 12,
        classes: 3,
        dimensions: 4,
        label_noise: noise,
        near_duplicates: 0.0,
        validation: 40,
        test: 200,
        ..Default::default()
    };
    clusters(&options, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
}

fn mlp(seed: u64, dtype: DType) -> Mlp {
    let options = MlpOptions { inputs: 4, hidden: vec![16], classes: 3 };
    Mlp::new(&options, seed, dtype, &Device::Cpu).unwrap()
}

fn options(heads: Heads) -> TrainerOptions {
    TrainerOptions {
        model: ModelOptions { heads, ..Default::default() },
        warm_up: 5,
        memory: 30,
        remembered: 10,
        ..Default::default()
    }
}

/// The whole chain, from a parameter of the selection model through embeddings, costs, the program, the
/// weights and the look-ahead to the validation loss, against central differences in f64.
///
/// Relative 1e-4 of the largest entry: the weights come from solves with residual 1e-10.
#[test]
fn the_selection_model_has_the_right_gradient() {
    let made = data(60, 0.2, 2);
    let (train, validation) = (in_f64(&made.train), in_f64(&made.validation));
    let one_step = LookAhead::OneStep { rate: 0.5 };
    for (heads, look_ahead) in [
        (Heads::Embedding, one_step),
        (Heads::Unary, one_step),
        (Heads::Both, one_step),
        (Heads::Unary, LookAhead::LastLayer { ridge: 0.1 }),
        (Heads::Unary, LookAhead::Linearised { rate: 0.5, steps: 3 }),
    ] {
        check_gradient(mlp(4, DType::F64), (&train, &validation), heads, look_ahead);
    }
}

/// The same where a number is to be predicted.
#[test]
fn the_gradient_is_right_for_numbers_too() {
    let made = data(60, 0.0, 2);
    let numbers = |data: &Dataset| {
        let sums = to_vec(&data.inputs().sum(1).unwrap()).unwrap();
        let sums: Vec<f64> = sums.iter().map(|x| 100.0 + 5.0 * x.sin()).collect();
        in_f64(data).with_targets(&sums).unwrap()
    };
    let (train, validation) = (numbers(&made.train), numbers(&made.validation));
    let shape = MlpOptions { inputs: 4, hidden: vec![16], classes: 1 };
    for heads in [Heads::Embedding, Heads::Unary] {
        let learner = Mlp::new(&shape, 4, DType::F64, &Device::Cpu).unwrap();
        let look_ahead = LookAhead::OneStep { rate: 1e-4 };
        check_gradient(learner, (&train, &validation), heads, look_ahead);
    }
}

fn in_f64(data: &Dataset) -> Dataset {
    data.to_dtype(DType::F64).unwrap()
}

fn check_gradient(
    learner: Mlp,
    (train, validation): (&Dataset, &Dataset),
    heads: Heads,
    look_ahead: LookAhead,
) {
    let layer = LayerOptions {
        budget: Budget::Fraction(0.4),
        // The median of the costs counts as a constant; here it must be one.
        smoothing: Smoothing::Quadratic(Scale::Absolute(3.0)),
        ..Default::default()
    };
    let mut settings = TrainerOptions { layer, look_ahead, ..options(heads) };
    settings.model.floor = 0.3;
    let mut trainer = Trainer::new(learner, validation, settings, 7).unwrap();
    trainer.fit_steps(train, 12, 15, 0, |_| {}).unwrap();
    assert!(!trainer.memory().is_empty());

    let batch = train.batch(&(20..32).collect::<Vec<_>>()).unwrap();
    let (_, gradient) = trainer.model_gradient(&batch).unwrap();
    let variables = trainer.model().variables().to_vec();
    for ((name, var), gradient) in variables.iter().zip(gradient) {
        if name.starts_with("embedding") && heads == Heads::Both {
            // The unit of column costs, the median pairwise cost, counts as a constant: the
            // embedding moves it. Checked without column costs, by the embedding head alone.
            continue;
        }
        let gradient = to_vec(&gradient.unwrap()).unwrap();
        let largest = gradient.iter().fold(0.0f64, |a, g| a.max(g.abs()));
        assert!(largest > 1e-9, "{heads:?} {name}: no signal");
        let here = var.as_tensor().copy().unwrap();
        let flat = to_vec(&here).unwrap();
        for k in (0..flat.len()).step_by(3) {
            let step = 1e-5;
            let at = |h: f64| {
                let mut flat = flat.clone();
                flat[k] += h;
                let moved = Tensor::from_vec(flat, here.shape(), &Device::Cpu).unwrap();
                var.set(&moved).unwrap();
                trainer.model_gradient(&batch).unwrap().0
            };
            let central = (at(step) - at(-step)) / (2.0 * step);
            var.set(&here).unwrap();
            let error = (central - gradient[k]).abs();
            assert!(error < 1e-4 * largest, "{heads:?} {name}[{k}]: {central} {}", gradient[k]);
        }
    }
}

#[test]
fn the_learner_is_untouched_by_the_look_ahead_even_on_error() {
    let made = data(60, 0.0, 3);
    let learner = mlp(5, DType::F32);
    let batch = made.train.batch(&[0, 1, 2]).unwrap();
    let validation = made.validation.batch(&[0, 1]).unwrap();
    let before: Vec<Vec<f64>> =
        learner.variables().iter().map(|(_, v)| to_vec(v.as_tensor()).unwrap()).collect();
    for look_ahead in [
        LookAhead::default(),
        LookAhead::LastLayer { ridge: 0.1 },
        LookAhead::Linearised { rate: 0.1, steps: 2 },
    ] {
        hypergradient(&learner, &batch, &[1.0, 0.5, 0.0], &validation, look_ahead).unwrap();
    }
    // Validation inputs of the wrong width fail after the variables were moved.
    let mut broken = validation.clone();
    broken.inputs = Tensor::zeros((2, 7), DType::F32, &Device::Cpu).unwrap();
    for look_ahead in [LookAhead::default(), LookAhead::Linearised { rate: 0.1, steps: 2 }] {
        hypergradient(&learner, &batch, &[1.0, 0.5, 0.0], &broken, look_ahead).unwrap_err();
    }
    let after: Vec<Vec<f64>> =
        learner.variables().iter().map(|(_, v)| to_vec(v.as_tensor()).unwrap()).collect();
    assert_eq!(before, after);
    let zero = weighted_gradient(&learner, &batch, &[0.0; 3]).unwrap_err();
    assert!(matches!(zero, Error::OutOfRange { what: "sum of weights", .. }), "{zero}");
}

struct Trace {
    losses: Vec<f64>,
    weights: Vec<Vec<f64>>,
    chosen: Vec<usize>,
}

fn run(seed: u64, threads: usize) -> Trace {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let made = data(300, 0.2, 4);
        let settings = options(Heads::Both);
        let mut trainer =
            Trainer::new(mlp(seed, DType::F32), &made.validation, settings, seed).unwrap();
        let mut trace = Trace { losses: vec![], weights: vec![], chosen: vec![] };
        trainer
            .fit_steps(&made.train, 24, 20, seed, |report| {
                trace.losses.push(report.training_loss);
                trace.weights.push(report.weights.clone());
            })
            .unwrap();
        let subset =
            trainer.choose(&made.train, Amount::Count(30), &ChooseOptions::default()).unwrap();
        trace.chosen = subset.indices;
        trace
    })
}

#[test]
fn equal_seeds_give_bit_equal_runs_for_any_number_of_threads() {
    let (one, again, two, other) = (run(1, 1), run(1, 1), run(1, 2), run(2, 1));
    for repeat in [again, two] {
        assert_eq!(one.losses, repeat.losses);
        assert_eq!(one.weights, repeat.weights);
        assert_eq!(one.chosen, repeat.chosen);
    }
    assert_ne!(one.losses, other.losses);
}

#[test]
fn joint_training_finds_flipped_labels_and_keeps_the_clean() {
    let shape = ClusterOptions {
        points: 1500,
        clusters: 30,
        label_noise: 0.2,
        near_duplicates: 0.0,
        test: 500,
        ..Default::default()
    };
    let made = clusters(&shape, &mut ChaCha8Rng::seed_from_u64(5)).unwrap();
    let wide = MlpOptions { inputs: 10, hidden: vec![64, 64], classes: 5 };
    let learner = Mlp::new(&wide, 6, DType::F32, &Device::Cpu).unwrap();
    let settings = TrainerOptions { warm_up: 300, ..Default::default() };
    let mut trainer = Trainer::new(learner, &made.validation, settings, 6).unwrap();
    let mut warmed = 0;
    trainer
        .fit_steps(&made.train, 48, 500, 6, |report| {
            assert_eq!(report.step < 300, report.status.is_none());
            warmed += usize::from(report.validation_loss.is_none());
            if let Some(status) = &report.status {
                assert!(status.verdict.gap < 1e-6 && report.remembered <= 400);
                let total: f64 = report.weights.iter().sum();
                assert!(total <= 0.3 * 48.0 * (1.0 + 1e-6), "{total}");
            }
        })
        .unwrap();
    assert_eq!(warmed, 300);
    let options = ChooseOptions::default();
    let subset = trainer.choose(&made.train, Amount::Fraction(0.1), &options).unwrap();
    assert_eq!(subset.indices.len(), 150);
    assert_eq!(subset.weights.len(), 150);
    assert!(subset.indices.windows(2).all(|pair| pair[0] < pair[1]));
    let wrong = subset.indices.iter().filter(|&&i| made.flipped[i]).count();
    assert!(wrong <= 6, "{wrong} of 150 kept labels are flipped");
    let suspicion = trainer.suspicion(&made.train, &options).unwrap();
    let precision =
        gleaner::experiment::metrics::average_precision(&suspicion, &made.flipped).unwrap();
    assert!(precision > 0.9, "average precision {precision}");
    assert!(accuracy_in_batches(trainer.learner(), &made.test, 100).unwrap() > 0.8);

    let balance = ChooseOptions { balance: Balance::Classes, ..options };
    let subset = trainer.choose(&made.train, Amount::Count(52), &balance).unwrap();
    let mut counts = [0; 5];
    subset.indices.iter().for_each(|&i| counts[made.train.labels()[i] as usize] += 1);
    counts.sort_unstable();
    assert_eq!(counts, [10, 10, 10, 11, 11]);
}

#[test]
fn every_amount_is_exact_or_refused() {
    let made = data(90, 0.0, 6);
    let settings =
        TrainerOptions { cost_features: CostFeatures::Learner, ..options(Heads::Embedding) };
    let mut trainer = Trainer::new(mlp(7, DType::F32), &made.validation, settings, 8).unwrap();
    let choose = ChooseOptions::default();
    for count in [1, 2, 45, 89, 90] {
        let subset = trainer.choose(&made.train, Amount::Count(count), &choose).unwrap();
        let mut unique = subset.indices.clone();
        unique.dedup();
        assert_eq!(unique.len(), count);
    }
    for amount in
        [Amount::Count(0), Amount::Count(91), Amount::Fraction(0.0), Amount::Fraction(f64::NAN)]
    {
        let error = trainer.choose(&made.train, amount, &choose).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }
    // Identical points, where every choice is a tie.
    let same = Tensor::ones((20, 4), DType::F32, &Device::Cpu).unwrap();
    let same = Dataset::new(same, vec![0; 20], 3).unwrap();
    assert_eq!(trainer.choose(&same, Amount::Count(7), &choose).unwrap().indices.len(), 7);
}

#[test]
fn the_optimisers_of_a_trainer_resume_bit_for_bit() {
    let made = data(200, 0.2, 7);
    let sgd = OptimiserOptions::Sgd { momentum: 0.9, nesterov: true, weight_decay: 1e-4 };
    let settings =
        || TrainerOptions { learner_optimiser: sgd, learner_rate: 0.05, ..options(Heads::Unary) };
    let mut trainer = Trainer::new(mlp(9, DType::F32), &made.validation, settings(), 1).unwrap();
    trainer.fit_steps(&made.train, 24, 10, 1, |_| {}).unwrap();
    let state = trainer.model_optimiser().state().unwrap();
    let mut fresh = Trainer::new(mlp(9, DType::F32), &made.validation, settings(), 1).unwrap();
    fresh.model_optimiser().load_state(&state).unwrap();
    let restored = fresh.model_optimiser().state().unwrap();
    for ((name, a), (other, b)) in state.iter().zip(&restored) {
        assert_eq!(name, other);
        assert_eq!(to_vec(a).unwrap(), to_vec(b).unwrap());
    }
    let loss = trainer.learner().losses(
        made.train.inputs(),
        &made.train.batch(&(0..200).collect::<Vec<_>>()).unwrap().labels,
    );
    assert!(to_scalar(&loss.unwrap().mean_all().unwrap()).unwrap().is_finite());
}

/// A last batch is whatever is left; every point gets its number all the same.
#[test]
fn suspicion_is_a_number_for_every_point_of_any_count() {
    for points in [1usize, 2, 3, 25, 75, 76, 77, 78, 101, 1001] {
        let x: Vec<f32> = (0..2 * points).map(|k| ((k * 37) % 101) as f32 / 101.0).collect();
        let inputs = Tensor::from_vec(x, (points, 2), &Device::Cpu).unwrap();
        let labels = (0..points as u32).map(|k| k % 3).collect();
        let data = Dataset::new(inputs, labels, 3).unwrap();
        let heads = gleaner::joint::Heads::Embedding;
        let model = gleaner::joint::ModelOptions { heads, ..Default::default() };
        let options = TrainerOptions { warm_up: 1, model, ..Default::default() };
        let learner = MlpOptions { inputs: 2, hidden: vec![8], classes: 3 };
        let learner = Mlp::new(&learner, 0, DType::F32, &Device::Cpu).unwrap();
        let mut trainer = Trainer::new(learner, &data, options, 0).unwrap();
        if points >= 25 {
            trainer.fit_steps(&data, 25, 4, 0, |_| {}).unwrap(); // fewer cannot meet the budget of a training batch
        }
        let suspicion = trainer.suspicion(&data, &Default::default()).unwrap();
        assert_eq!(suspicion.len(), points);
        assert!(suspicion.iter().all(|s| s.is_finite()), "{points}: {suspicion:?}");
    }
}

/// A trainer with both heads, a reservoir that draws from the generator, and every kind of state.
fn kept_trainer(made: &Clusters, seed: u64) -> Trainer<Mlp> {
    let options = TrainerOptions { eviction: Eviction::Reservoir, ..options(Heads::Both) };
    Trainer::new(mlp(seed, DType::F32), &made.validation, options, seed).unwrap()
}

/// Losses and weights of every step, and the bits of every variable at the end.
fn trace(trainer: &mut Trainer<Mlp>, made: &Clusters, steps: usize) -> (Vec<f64>, Vec<f64>) {
    let mut seen = Vec::new();
    let note = |report: &gleaner::joint::StepReport| {
        seen.push(report.training_loss);
        seen.extend(&report.weights);
    };
    trainer.fit_until(&made.train, 20, steps, 7, note).unwrap();
    let variables = trainer.learner().variables().iter().chain(trainer.model().variables());
    (seen, variables.flat_map(|(_, var)| to_vec(var).unwrap()).collect())
}

#[test]
fn a_trainer_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let made = data(100, 0.2, 4);
    // Stopped in the warm-up, before there is a memory, in the middle, and at an epoch's end.
    for stop in [2, 5, 10, 13] {
        let path = folder.path().join(format!("{stop}.safetensors"));
        let (unbroken, expected) = trace(&mut kept_trainer(&made, 1), &made, 24);
        let mut first = kept_trainer(&made, 1);
        let (mut seen, _) = trace(&mut first, &made, stop);
        first.save(&path).unwrap();
        drop(first);
        // Another seed: nothing of it may be left.
        let mut second = kept_trainer(&made, 2);
        second.load(&path).unwrap();
        let (rest, found) = trace(&mut second, &made, 24);
        seen.extend(rest);
        assert_eq!(seen, unbroken, "stopped after {stop}");
        assert_eq!(found, expected, "stopped after {stop}");
        let suspicion = |trainer: &mut Trainer<Mlp>| {
            trainer.suspicion(&made.train, &ChooseOptions::default()).unwrap()
        };
        let mut third = kept_trainer(&made, 1);
        trace(&mut third, &made, 24);
        assert_eq!(suspicion(&mut second), suspicion(&mut third));
    }
}

#[test]
fn a_checkpoint_of_something_else_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trainer.safetensors");
    let made = data(100, 0.2, 4);
    let mut trainer = kept_trainer(&made, 1);
    trace(&mut trainer, &made, 12);
    trainer.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();

    let other = TrainerOptions { threshold: 0.4, ..trainer.options().clone() };
    let mut other = Trainer::new(mlp(1, DType::F32), &made.validation, other, 1).unwrap();
    let error = other.load(&path).unwrap_err();
    assert!(error.to_string().contains("threshold: 0.4"), "{error}");
    // Another learner under the same options: found only after the selection model has been set.
    let wide = MlpOptions { inputs: 4, hidden: vec![17], classes: 3 };
    let wide = Mlp::new(&wide, 1, DType::F32, &Device::Cpu).unwrap();
    let mut wide = Trainer::new(wide, &made.validation, trainer.options().clone(), 1).unwrap();
    let before = wide.checkpoint().unwrap();
    assert!(matches!(wide.load(&path), Err(Error::Shape { .. })));
    let after = wide.checkpoint().unwrap();
    for (name, tensor) in before.into_tensors() {
        let found = to_vec(after.tensor(&name).unwrap()).unwrap();
        assert_eq!(found, to_vec(&tensor).unwrap(), "{name}");
    }

    for cut in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(trainer.load(&path), Err(Error::File { .. })), "{cut} bytes");
    }
    // A bit here and there: in the length, the header, every kind of tensor.
    let before = trainer.checkpoint().unwrap().into_tensors();
    for at in (0..whole.len()).step_by(97).chain(0..8) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, &flipped).unwrap();
        let error = trainer.load(&path).expect_err("a flipped bit");
        assert!(matches!(error, Error::File { .. } | Error::Unknown { .. }), "byte {at}: {error}");
    }
    for (name, tensor) in trainer.checkpoint().unwrap().into_tensors() {
        let bits = |tensor: &Tensor| -> Vec<u64> {
            to_vec(tensor).unwrap().into_iter().map(f64::to_bits).collect()
        };
        assert_eq!(bits(&tensor), bits(&before[&name]), "{name}");
    }
    std::fs::write(&path, &whole).unwrap();
    trainer.load(&path).unwrap();
    gleaner::learn::Checkpoint::new().save(&path).unwrap();
    assert!(matches!(trainer.load(&path), Err(Error::Unknown { .. })));
}
