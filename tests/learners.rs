//! Learners: seeded weights, exact derivatives, safe losses, and training that repeats and works.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Init, Linear, Module, linear};
use gleaner::Error;
use gleaner::choose::{FullGrand, Grand, Score};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::data::{Dataset, shuffled_batches};
use gleaner::experiment::Observations;
use gleaner::learn::optimiser::{Optimiser, OptimiserOptions};
use gleaner::learn::{
    Cnn, CnnOptions, Learner, Loss, Mlp, MlpOptions, SeededWeights, accuracy_in_batches,
    copy_variables, cross_entropy, features_in_batches, gradient_norms, load_variables,
    losses_in_batches, save_variables,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CPU: &Device = &Device::Cpu;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn weights(learner: &dyn Learner) -> Vec<(String, Vec<f64>)> {
    learner.variables().iter().map(|(name, v)| (name.clone(), numbers(v))).collect()
}

fn normal(shape: &[usize], seed: u64) -> Tensor {
    let (builder, _) = SeededWeights::builder(seed, DType::F64, CPU);
    builder.get_with_hints(shape, "x", Init::Randn { mean: 0.0, stdev: 1.0 }).unwrap().detach()
}

fn mlp(seed: u64, dtype: DType) -> Mlp {
    let options = MlpOptions { inputs: 6, hidden: vec![7, 5], classes: 3 };
    Mlp::new(&options, seed, dtype, CPU).unwrap()
}

fn cnn(seed: u64, dtype: DType) -> Cnn {
    let options = CnnOptions { channels: 2, size: 8, classes: 3, widths: [3, 4, 5] };
    Cnn::new(&options, seed, dtype, CPU).unwrap()
}

/// What a user writes.
struct OneLayer {
    body: Linear,
    last: Linear,
    variables: Vec<(String, Var)>,
}

impl OneLayer {
    fn new(seed: u64) -> candle_core::Result<Self> {
        let (builder, weights) = SeededWeights::builder(seed, DType::F64, CPU);
        let (body, last) = (linear(6, 4, builder.pp("body"))?, linear(4, 3, builder.pp("last"))?);
        Ok(Self { body, last, variables: weights.variables() })
    }
}

impl Learner for OneLayer {
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.body.forward(inputs)?.tanh()
    }
    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        self.last.forward(features)
    }
    fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }
}

#[test]
fn a_seed_decides_every_weight() {
    type Build = fn(u64) -> Box<dyn Learner>;
    let builds: [(&str, Build); 3] = [
        ("mlp", |seed| Box::new(mlp(seed, DType::F32))),
        ("cnn", |seed| Box::new(cnn(seed, DType::F32))),
        ("user's", |seed| Box::new(OneLayer::new(seed).unwrap())),
    ];
    for (name, build) in builds {
        let first = weights(&*build(1));
        assert_eq!(first, weights(&*build(1)), "{name}");
        for ((variable, a), (_, b)) in first.iter().zip(&weights(&*build(2))) {
            // Convolution biases start at zero whatever the seed.
            let constant = variable.starts_with("conv") && variable.ends_with("bias");
            assert_eq!(a == b, constant, "{name} {variable}");
        }
        let mut sorted = first.clone();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(first, sorted, "{name}: sorted by name");
    }
}

#[test]
fn weights_do_not_depend_on_the_order_or_on_other_layers() {
    let (forward, of_forward) = SeededWeights::builder(5, DType::F32, CPU);
    linear(4, 3, forward.pp("a")).unwrap();
    linear(3, 2, forward.pp("b")).unwrap();
    let (backward, of_backward) = SeededWeights::builder(5, DType::F32, CPU);
    linear(3, 2, backward.pp("b")).unwrap();
    linear(9, 9, backward.pp("between")).unwrap();
    linear(4, 3, backward.pp("a")).unwrap();
    let all = of_backward.variables();
    for (name, variable) in of_forward.variables() {
        let (_, twin) = all.iter().find(|(other, _)| *other == name).unwrap();
        assert_eq!(numbers(&variable), numbers(twin), "{name}");
    }
}

#[test]
fn seeded_draws_have_the_moments_asked_for() {
    use candle_nn::init::{DEFAULT_KAIMING_NORMAL, DEFAULT_KAIMING_UNIFORM};
    let (builder, _) = SeededWeights::builder(0, DType::F64, CPU);
    let kaiming = (2.0 / 50.0_f64).sqrt();
    for (name, init, mean, deviation, bound) in [
        ("const", Init::Const(1.5), 1.5, 0.0, 1.5),
        ("normal", Init::Randn { mean: 2.0, stdev: 3.0 }, 2.0, 3.0, f64::INFINITY),
        ("uniform", Init::Uniform { lo: -1.0, up: 3.0 }, 1.0, 4.0 / 12f64.sqrt(), 3.0),
        ("kaiming normal", DEFAULT_KAIMING_NORMAL, 0.0, kaiming, f64::INFINITY),
        ("kaiming uniform", DEFAULT_KAIMING_UNIFORM, 0.0, kaiming, 3f64.sqrt() * kaiming),
    ] {
        let values = numbers(&builder.get_with_hints((400, 50), name, init).unwrap());
        let n = values.len() as f64;
        let found = values.iter().sum::<f64>() / n;
        let spread = (values.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n).sqrt();
        // Five standard errors of a mean of 20,000 draws; the spread's error is no larger.
        let slack = 5.0 * deviation / n.sqrt() + 1e-12;
        assert!((found - mean).abs() <= slack, "{name}: mean {found}");
        assert!((spread - deviation).abs() <= slack, "{name}: deviation {spread}");
        assert!(values.iter().all(|x| x.abs() <= bound), "{name}");
    }
}

#[test]
fn a_name_is_one_variable() {
    let (builder, weights) = SeededWeights::builder(0, DType::F32, CPU);
    let first = builder.get_with_hints((2, 3), "w", Init::Const(1.0)).unwrap();
    let again = builder.get_with_hints((2, 3), "w", Init::Const(2.0)).unwrap();
    assert_eq!(first.id(), again.id());
    assert_eq!(weights.variables().len(), 1);
    let error = builder.get_with_hints((3, 2), "w", Init::Const(1.0)).unwrap_err().to_string();
    assert!(error.contains("\"w\"") && error.contains("[2, 3]"), "{error}");
    assert!(builder.get_unchecked("unknown").is_err());
}

#[test]
fn buffers_are_kept_apart_from_variables() {
    let (builder, weights) = SeededWeights::builder(0, DType::F64, CPU);
    let below = builder.pp("layer");
    below.get_with_hints(3, "weight", Init::Const(1.0)).unwrap();
    let mean = weights.buffer(3, "mean", 0.0, &below).unwrap();
    weights.buffer((2, 1), "count", 4.0, &builder).unwrap();
    mean.set(&Tensor::ones(3, DType::F64, CPU).unwrap()).unwrap();
    let found: Vec<_> = weights.buffers().into_iter().map(|(n, v)| (n, numbers(&v))).collect();
    assert_eq!(found, [("count".into(), vec![4.0; 2]), ("layer.mean".into(), vec![1.0; 3])]);
    assert_eq!(weights.variables().len(), 1);
    for taken in ["mean", "weight"] {
        let error = weights.buffer(3, taken, 0.0, &below).unwrap_err().to_string();
        assert!(error.contains(&format!("layer.{taken}")), "{error}");
    }
}

/// Central differences of the summed, unevenly weighted losses in every number of every variable.
///
/// Step 1e-5 in f64: truncation is about 1e-10 and rounding 1e-16 / 1e-5 = 1e-11 for derivatives of
/// order 1, so 1e-6 of the largest derivative leaves room for third derivatives of a few hundred,
/// yet a wrong factor, a lost edge pixel or a swapped axis is off by far more. A ReLU that changes
/// sign within a step would show as an error too; the seeds are such that none does.
fn check_derivatives(learner: &dyn Learner, inputs: &Tensor, labels: &Tensor) {
    let n = labels.elem_count();
    let uneven: Vec<f64> = (0..n).map(|i| 0.5 + i as f64).collect();
    let uneven = Tensor::from_vec(uneven, n, CPU).unwrap();
    let objective =
        || (learner.losses(inputs, labels).unwrap() * &uneven).unwrap().sum_all().unwrap();
    let gradients = objective().backward().unwrap();
    for (name, variable) in learner.variables() {
        let got = numbers(gradients.get(variable).unwrap());
        let scale = got.iter().fold(1e-3, |largest: f64, g| largest.max(g.abs()));
        let start = numbers(variable);
        let at = |k: usize, step: f64| {
            let mut moved = start.clone();
            moved[k] += step;
            variable.set(&Tensor::from_vec(moved, variable.shape(), CPU).unwrap()).unwrap();
            objective().to_scalar::<f64>().unwrap()
        };
        for (k, got) in got.iter().enumerate() {
            let expected = (at(k, 1e-5) - at(k, -1e-5)) / 2e-5;
            let error = (got - expected).abs() / scale;
            assert!(error < 1e-6, "{name}[{k}]: {got} against {expected}");
        }
        at(0, 0.0);
    }
}

#[test]
fn derivatives_match_finite_differences() {
    let labels = Tensor::new(&[0u32, 2, 1, 2], CPU).unwrap();
    check_derivatives(&mlp(3, DType::F64), &normal(&[4, 6], 1), &labels);
    check_derivatives(&cnn(3, DType::F64), &normal(&[4, 2, 8, 8], 2), &labels);
    check_derivatives(&OneLayer::new(3).unwrap(), &normal(&[4, 6], 3), &labels);
}

#[test]
fn the_image_has_a_derivative_too() {
    let learner = cnn(4, DType::F64);
    let image = Var::from_tensor(&normal(&[1, 2, 8, 8], 5)).unwrap();
    let label = Tensor::new(&[1u32], CPU).unwrap();
    let loss = |x: &Tensor| learner.losses(x, &label).unwrap().sum_all().unwrap();
    let got = numbers(loss(&image).backward().unwrap().get(&image).unwrap());
    let start = numbers(&image);
    let at = |k: usize, step: f64| {
        let mut moved = start.clone();
        moved[k] += step;
        loss(&Tensor::from_vec(moved, (1, 2, 8, 8), CPU).unwrap()).to_scalar::<f64>().unwrap()
    };
    for (k, got) in got.iter().enumerate() {
        let expected = (at(k, 1e-5) - at(k, -1e-5)) / 2e-5;
        assert!((got - expected).abs() < 1e-7, "pixel {k}: {got} against {expected}");
    }
}

#[test]
fn cross_entropy_is_right_and_safe() {
    let logits = [[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [0.3, -0.2, 1.1]];
    let labels = Tensor::new(&[1u32, 0, 2, 2], CPU).unwrap();
    let last = (0.3f64.exp() + (-0.2f64).exp() + 1.1f64.exp()).ln() - 1.1;
    let expected = [2e4, 3f64.ln(), 3f64.ln(), last];
    for dtype in [DType::F32, DType::F64] {
        let logits = Tensor::new(&logits, CPU).unwrap().to_dtype(dtype).unwrap();
        let logits = Var::from_tensor(&logits).unwrap();
        let losses = cross_entropy(&logits, &labels).unwrap();
        for (loss, expected) in numbers(&losses).iter().zip(expected) {
            assert!((loss - expected).abs() <= 1e-6 * expected, "{loss} against {expected}");
        }
        // The gradient is softmax minus one-hot, ties included.
        let gradients = losses.sum_all().unwrap().backward().unwrap();
        let gradient = numbers(gradients.get(&logits).unwrap());
        let third = 1.0 / 3.0;
        let ties = [third - 1.0, third, third, third, third, third - 1.0];
        assert!(gradient.iter().all(|g| g.is_finite()));
        assert_eq!(&gradient[..3], [1.0, -1.0, 0.0]);
        for (got, want) in gradient[3..9].iter().zip(ties) {
            assert!((got - want).abs() < 1e-7, "{got} against {want}");
        }
    }
    let outside = Tensor::new(&[3u32], CPU).unwrap();
    assert!(cross_entropy(&Tensor::zeros((1, 3), DType::F32, CPU).unwrap(), &outside).is_err());
}

/// Hands its inputs through as logits.
struct Identity;

impl Learner for Identity {
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        Ok(inputs.clone())
    }
    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        Ok(features.clone())
    }
    fn variables(&self) -> &[(String, Var)] {
        &[]
    }
}

#[test]
fn prediction_takes_the_smaller_class_among_equals_and_refuses_nan() {
    let logits =
        Tensor::new(&[[1f32, 2.0, 2.0], [0.0, 0.0, 0.0], [-3.0, -1.0, -2.0]], CPU).unwrap();
    assert_eq!(Identity.predict(&logits).unwrap(), [1, 0, 1]);
    let broken = Tensor::new(&[[1f32, 2.0], [0.0, f32::NAN]], CPU).unwrap();
    let error = Identity.predict(&broken).unwrap_err().to_string();
    assert!(error.contains("row 1, column 1"), "{error}");
}

/// Norms of gradients against central differences of every point's loss in every weight, in `f64`, with wrong labels and
/// points met twice. Differences with step 1e-5 are good to about 1e-9.
#[test]
fn gradient_norms_are_those_of_differences() {
    let learner = mlp(4, DType::F64);
    let inputs = normal(&[5, 6], 9);
    let inputs = Tensor::cat(&[&inputs, &inputs.narrow(0, 0, 1).unwrap()], 0).unwrap();
    let data = Dataset::new(inputs.clone(), vec![0, 1, 2, 0, 1, 2], 3).unwrap();
    let found = gradient_norms(&learner, &data, Loss::Own).unwrap();
    let losses = || losses_in_batches(&learner, &data, 4).unwrap();
    let mut squares = [0.0; 6];
    for (_, variable) in learner.variables() {
        let here = numbers(variable);
        for k in 0..here.len() {
            let [up, down] = [1e-5, -1e-5].map(|step| {
                let mut moved = here.clone();
                moved[k] += step;
                variable.set(&Tensor::from_vec(moved, variable.shape(), CPU).unwrap()).unwrap();
                losses()
            });
            for ((square, up), down) in squares.iter_mut().zip(up).zip(down) {
                *square += ((up - down) / 2e-5).powi(2);
            }
        }
        variable.set(&Tensor::from_vec(here, variable.shape(), CPU).unwrap()).unwrap();
    }
    for (norm, square) in found.iter().zip(squares) {
        assert!((norm - square.sqrt()).abs() < 1e-7 * square.sqrt(), "{norm} {}", square.sqrt());
    }
    assert_ne!(found[0], found[5]);
}

/// Without hidden layers all weights are the last layer's, whose score needs no backward pass.
#[test]
fn all_gradients_of_a_linear_learner_are_the_last_layers() -> gleaner::Result<()> {
    let options = MlpOptions { inputs: 6, hidden: vec![], classes: 3 };
    let learner = Mlp::new(&options, 2, DType::F32, CPU)?;
    let inputs = normal(&[40, 6], 3).to_dtype(DType::F32)?;
    let data = Dataset::new(inputs, (0..40).map(|k| k % 3).collect(), 3)?;
    let seen = Observations::labelled(&learner, &data, None, Loss::Own)?
        .with_gradient_norms(gradient_norms(&learner, &data, Loss::Own)?);
    let evidence = seen.evidence()?;
    let (all, last) = (FullGrand.scores(&evidence)?, Grand.scores(&evidence)?);
    assert!(all.iter().zip(&last).all(|(a, b)| (a - b).abs() < 1e-5 * b), "{all:?} {last:?}");
    Ok(())
}

#[test]
fn batches_change_memory_not_answers() {
    let data = clusters(
        &ClusterOptions {
            points: 100,
            clusters: 10,
            dimensions: 6,
            classes: 3,
            ..Default::default()
        },
        &mut ChaCha8Rng::seed_from_u64(0),
    )
    .unwrap();
    let (data, learner) = (data.train.to_dtype(DType::F64).unwrap(), mlp(0, DType::F64));
    let labels = Tensor::new(data.labels(), CPU).unwrap();
    let whole = learner.losses(data.inputs(), &labels).unwrap().to_vec1::<f64>().unwrap();
    let right = learner.predict(data.inputs()).unwrap();
    let right = right.iter().zip(data.labels()).filter(|(a, b)| a == b).count() as f64 / 100.0;
    let features = learner.features(data.inputs()).unwrap();
    for batch_size in [1, 7, 100, 1000] {
        let losses = losses_in_batches(&learner, &data, batch_size).unwrap();
        let close = losses.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close && losses.len() == 100, "{batch_size}");
        assert_eq!(accuracy_in_batches(&learner, &data, batch_size).unwrap(), right);
        let parts = features_in_batches(&learner, &data, batch_size).unwrap();
        assert_eq!(parts.dims(), [100, 5]);
        assert!(!parts.track_op(), "detached");
        let apart = numbers(&(parts - &features).unwrap());
        assert!(apart.iter().all(|x| x.abs() < 1e-12), "{batch_size}");
    }
    let zero = losses_in_batches(&learner, &data, 0);
    assert!(matches!(zero, Err(Error::OutOfRange { what: "batch_size", .. })));
}

#[test]
fn refused_shapes() {
    let mlp = |inputs, hidden, classes| {
        Mlp::new(&MlpOptions { inputs, hidden, classes }, 0, DType::F32, CPU).err()
    };
    for error in [mlp(0, vec![1], 2), mlp(3, vec![4, 0], 2), mlp(3, vec![], 0)] {
        assert!(matches!(error, Some(Error::OutOfRange { rule: "at least 1", .. })), "{error:?}");
    }
    let base = CnnOptions::default();
    for options in [
        CnnOptions { channels: 0, ..base },
        CnnOptions { classes: 0, ..base },
        CnnOptions { size: 0, ..base },
        CnnOptions { size: 30, ..base },
        CnnOptions { widths: [8, 0, 8], ..base },
    ] {
        let error = Cnn::new(&options, 0, DType::F32, CPU).err();
        assert!(matches!(error, Some(Error::OutOfRange { .. })), "{options:?}");
    }
    let wrong = Tensor::zeros((1, 8, 8, 2), DType::F32, CPU).unwrap();
    let error = cnn(0, DType::F32).features(&wrong).unwrap_err().to_string();
    assert!(error.contains("n x 2 x 8 x 8"), "{error}");
}

#[test]
fn a_linear_mlp_and_the_smallest_image() {
    let linear = MlpOptions { inputs: 12, hidden: vec![], classes: 2 };
    let linear = Mlp::new(&linear, 0, DType::F32, CPU).unwrap();
    let images = Tensor::ones((3, 3, 2, 2), DType::F32, CPU).unwrap();
    assert_eq!(linear.features(&images).unwrap().dims(), [3, 12]);
    assert_eq!(linear.logits(&images).unwrap().dims(), [3, 2]);
    let smallest = CnnOptions { channels: 1, size: 4, classes: 2, widths: [1, 1, 1] };
    let smallest = Cnn::new(&smallest, 0, DType::F32, CPU).unwrap();
    let image = Tensor::ones((1, 1, 4, 4), DType::F32, CPU).unwrap();
    assert_eq!(smallest.features(&image).unwrap().dims(), [1, 1]);
}

#[test]
fn variables_are_copied_saved_and_loaded_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let (source, target) = (cnn(1, DType::F32), cnn(2, DType::F32));
    copy_variables(source.variables(), target.variables()).unwrap();
    assert_eq!(weights(&source), weights(&target));
    copy_variables(source.variables(), source.variables()).unwrap();

    let target = cnn(3, DType::F32);
    save_variables(source.variables(), &path).unwrap();
    load_variables(target.variables(), &path).unwrap();
    assert_eq!(weights(&source), weights(&target));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");

    // Copies are copies: training one leaves the other alone.
    let before = weights(&source);
    target.variables()[0].1.set(&target.variables()[0].1.ones_like().unwrap()).unwrap();
    assert_eq!(weights(&source), before);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let learner = mlp(0, DType::F32);
    let before = weights(&learner);
    let refused = |from: &[(String, Var)], case: &str| {
        let copied = copy_variables(from, learner.variables()).unwrap_err();
        save_variables(from, &path).unwrap();
        let loaded = load_variables(learner.variables(), &path).unwrap_err();
        assert_eq!(copied.to_string(), loaded.to_string(), "{case}");
        assert_eq!(weights(&learner), before, "{case}");
        copied
    };
    let mut renamed = mlp(1, DType::F32).variables().to_vec();
    renamed[3].0 = "stranger".into();
    assert!(matches!(refused(&renamed, "renamed"), Error::Unknown { .. }));
    let mut more = mlp(1, DType::F32).variables().to_vec();
    more.push(("stranger".into(), Var::zeros(1, DType::F32, CPU).unwrap()));
    let error = refused(&more, "one more");
    assert!(matches!(error, Error::Unknown { ref found, .. } if found == "stranger"), "{error}");
    let wide = MlpOptions { inputs: 6, hidden: vec![8, 5], classes: 3 };
    let wide = Mlp::new(&wide, 1, DType::F32, CPU).unwrap();
    assert!(matches!(refused(wide.variables(), "shape"), Error::Shape { .. }));
    let double = mlp(1, DType::F64);
    assert!(matches!(refused(double.variables(), "type"), Error::Shape { .. }));

    std::fs::write(&path, b"garbage").unwrap();
    let error = load_variables(learner.variables(), &path).unwrap_err();
    assert!(matches!(error, Error::File { path: ref at, .. } if *at == path), "{error}");
    let missing = folder.path().join("missing");
    let error = load_variables(learner.variables(), &missing).unwrap_err();
    assert!(matches!(error, Error::Io { path: ref at, .. } if *at == missing), "{error}");
}

/// Trains on batches of 64 and returns the mean loss of each step.
fn train(learner: &dyn Learner, data: &Dataset, epochs: usize, seed: u64) -> Vec<f32> {
    let options = OptimiserOptions::default();
    let mut optimiser = Optimiser::new(learner.variables().to_vec(), options, 3e-3).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut losses = Vec::new();
    for _ in 0..epochs {
        for batch in shuffled_batches(data.len(), 64, &mut rng) {
            let batch = data.batch(&batch).unwrap();
            let loss = learner.losses(&batch.inputs, &batch.labels).unwrap().mean_all().unwrap();
            losses.push(loss.to_scalar::<f32>().unwrap());
            optimiser.backward_step(&loss).unwrap();
        }
    }
    losses
}

#[test]
fn an_mlp_learns_clusters_and_repeats_itself() {
    let options = ClusterOptions { points: 1500, clusters: 20, ..Default::default() };
    let data = clusters(&options, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let run = || {
        let options = MlpOptions { inputs: 10, hidden: vec![32], classes: 5 };
        let learner = Mlp::new(&options, 1, DType::F32, CPU).unwrap();
        let losses = train(&learner, &data.train, 12, 2);
        let accuracy = accuracy_in_batches(&learner, &data.test, 512).unwrap();
        (losses, weights(&learner), accuracy)
    };
    let (losses, weights, accuracy) = run();
    let last = losses[losses.len() - 20..].iter().sum::<f32>() / 20.0;
    assert!(last < 0.2 * losses[0], "{} to {last}", losses[0]);
    assert!(accuracy > 0.9, "accuracy {accuracy}");
    assert_eq!((losses, weights, accuracy), run(), "bit by bit");
}

#[test]
fn a_cnn_learns_where_the_bright_stripes_run_and_repeats_itself() {
    // Horizontal against vertical stripes of random phase: no single pixel tells them apart.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..320 {
        let (vertical, phase) = (rng.random_bool(0.5), rng.random_range(0..4usize));
        labels.push(u32::from(vertical));
        for at in 0..64 {
            let along = if vertical { at % 8 } else { at / 8 };
            let bright = if (along + phase) % 4 < 2 { 1.0 } else { -1.0 };
            pixels.push(bright + rng.random_range(-1.0..1.0f32));
        }
    }
    let inputs = Tensor::from_vec(pixels, (320, 1, 8, 8), CPU).unwrap();
    let data = Dataset::new(inputs, labels, 2).unwrap();
    let run = || {
        let options = CnnOptions { channels: 1, size: 8, classes: 2, widths: [8, 8, 8] };
        let learner = Cnn::new(&options, 1, DType::F32, CPU).unwrap();
        train(&learner, &data, 10, 3);
        (accuracy_in_batches(&learner, &data, 64).unwrap(), weights(&learner))
    };
    let first = run();
    assert!(first.0 > 0.95, "accuracy {}", first.0);
    assert_eq!(first, run(), "bit by bit");
}
