//! The optimisers follow the published formulas, resume bit by bit and refuse bad input unharmed.

use candle_core::{DType, Device, Tensor, Var};
use gleaner::Error;
use gleaner::learn::optimiser::{Optimiser, OptimiserOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STEPS: usize = 7;

fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> OptimiserOptions {
    OptimiserOptions::Sgd { momentum, nesterov, weight_decay }
}

fn adam_w(weight_decay: f64) -> OptimiserOptions {
    OptimiserOptions::AdamW { beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weight_decay }
}

fn cases() -> Vec<(&'static str, OptimiserOptions)> {
    vec![
        ("plain", sgd(0.0, false, 0.0)),
        ("plain with decay", sgd(0.0, false, 0.3)),
        ("momentum", sgd(0.9, false, 0.0)),
        ("momentum with decay", sgd(0.7, false, 0.2)),
        ("nesterov", sgd(0.9, true, 0.0)),
        ("nesterov with decay", sgd(0.5, true, 0.1)),
        ("adam", adam_w(0.0)),
        ("adamw", adam_w(0.4)),
        ("default", OptimiserOptions::default()),
    ]
}

/// One number of one variable, updated as torch.optim documents `SGD` and `AdamW`.
#[derive(Default)]
struct Scalar {
    x: f64,
    buffer: Option<f64>,
    m: f64,
    v: f64,
    t: i32,
}

impl Scalar {
    fn step(&mut self, options: OptimiserOptions, lr: f64, gradient: f64) {
        match options {
            OptimiserOptions::Sgd { momentum, nesterov, weight_decay } => {
                let mut g = gradient + weight_decay * self.x;
                if momentum != 0.0 {
                    let b = self.buffer.map_or(g, |b| momentum * b + g);
                    self.buffer = Some(b);
                    g = if nesterov { g + momentum * b } else { b };
                }
                self.x -= lr * g;
            }
            OptimiserOptions::AdamW { beta1, beta2, epsilon, weight_decay } => {
                self.t += 1;
                self.x -= lr * weight_decay * self.x;
                self.m = beta1 * self.m + (1.0 - beta1) * gradient;
                self.v = beta2 * self.v + (1.0 - beta2) * gradient * gradient;
                let m_hat = self.m / (1.0 - beta1.powi(self.t));
                let v_hat = self.v / (1.0 - beta2.powi(self.t));
                self.x -= lr * m_hat / (v_hat.sqrt() + epsilon);
            }
        }
    }
}

fn variables(dtype: DType) -> Vec<(String, Var)> {
    let make = |name: &str, values: &[f64], shape: (usize, usize)| {
        let values = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        (name.to_string(), Var::from_tensor(&values.to_dtype(dtype).unwrap()).unwrap())
    };
    vec![make("b", &[0.5, -1.5, 2.0, 0.0], (2, 2)), make("a", &[3.0, -0.25], (1, 2))]
}

fn numbers(variables: &[(String, Var)]) -> Vec<f64> {
    let one = |variable: &Var| {
        let flat = variable.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
        flat.to_vec1::<f64>().unwrap()
    };
    variables.iter().flat_map(|(_, variable)| one(variable)).collect()
}

/// Gradients from a seed, one of them exactly zero; the second variable has none in every third step.
fn gradients(step: usize, like: &[(String, Var)]) -> Vec<Option<Tensor>> {
    let mut rng = ChaCha8Rng::seed_from_u64(step as u64);
    let mut draw = |variable: &Var| {
        let mut values: Vec<f64> =
            (0..variable.elem_count()).map(|_| rng.random_range(-2.0..2.0)).collect();
        values[0] *= f64::from(u8::from(step != 1));
        let values = Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap();
        values.to_dtype(variable.dtype()).unwrap()
    };
    let drawn: Vec<Tensor> = like.iter().map(|(_, variable)| draw(variable)).collect();
    drawn.into_iter().enumerate().map(|(k, g)| (k == 0 || step % 3 != 2).then_some(g)).collect()
}

/// A schedule, so that the learning rate of the moment is what counts.
fn rate(step: usize) -> f64 {
    0.1 / (1.0 + step as f64)
}

fn run(optimiser: &mut Optimiser, variables: &[(String, Var)], steps: std::ops::Range<usize>) {
    for step in steps {
        optimiser.set_learning_rate(rate(step)).unwrap();
        optimiser.step(&gradients(step, variables)).unwrap();
    }
}

#[test]
fn every_rule_follows_its_formula() {
    for (name, options) in cases() {
        let variables = variables(DType::F64);
        let mut expected: Vec<Scalar> =
            numbers(&variables).into_iter().map(|x| Scalar { x, ..Scalar::default() }).collect();
        let mut optimiser = Optimiser::new(variables.clone(), options, 1.0).unwrap();
        for step in 0..STEPS {
            let gradients = gradients(step, &variables);
            run(&mut optimiser, &variables, step..step + 1);
            let mut scalars = expected.iter_mut();
            for ((_, variable), gradient) in variables.iter().zip(&gradients) {
                let count = variable.elem_count();
                let values = gradient.as_ref().map(|g| g.flatten_all().unwrap());
                let values = values.map(|g| g.to_vec1::<f64>().unwrap());
                for (k, scalar) in scalars.by_ref().take(count).enumerate() {
                    if let Some(values) = &values {
                        scalar.step(options, rate(step), values[k]);
                    }
                }
            }
            for (got, want) in numbers(&variables).iter().zip(&expected) {
                // Only the order of rounding differs: a few units in the last place a step.
                let close = (got - want.x).abs() <= 1e-13 * want.x.abs().max(1.0);
                assert!(close, "{name}, step {step}: {got} against {}", want.x);
            }
        }
    }
}

#[test]
fn two_steps_computed_by_hand() {
    // x = 1, g = 2 twice, lr = 0.1, momentum = 0.5:  b = 2, x = 0.8;  b = 3, x = 0.5.
    let x = Var::new(&[1f64], &Device::Cpu).unwrap();
    let mut optimiser =
        Optimiser::new(vec![("x".into(), x.clone())], sgd(0.5, false, 0.0), 0.1).unwrap();
    for expected in [0.8, 0.5] {
        optimiser.step(&[Some(Tensor::new(&[2f64], &Device::Cpu).unwrap())]).unwrap();
        assert!((x.to_vec1::<f64>().unwrap()[0] - expected).abs() < 1e-15);
    }
    // Adam's first step is lr · sign(g), whatever the size of g.
    let x = Var::new(&[1f64, 1.0], &Device::Cpu).unwrap();
    let options =
        OptimiserOptions::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-12, weight_decay: 0.0 };
    let mut optimiser = Optimiser::new(vec![("x".into(), x.clone())], options, 0.1).unwrap();
    optimiser.step(&[Some(Tensor::new(&[1e-3, -50.0], &Device::Cpu).unwrap())]).unwrap();
    let got = x.to_vec1::<f64>().unwrap();
    assert!((got[0] - 0.9).abs() < 1e-8 && (got[1] - 1.1).abs() < 1e-8, "{got:?}");
}

#[test]
fn a_resumed_run_is_bit_equal_to_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in [DType::F32, DType::F64] {
        for (name, options) in cases() {
            let whole = variables(dtype);
            let mut optimiser = Optimiser::new(whole.clone(), options, 1.0).unwrap();
            run(&mut optimiser, &whole, 0..STEPS);

            let first = variables(dtype);
            let mut optimiser = Optimiser::new(first.clone(), options, 1.0).unwrap();
            run(&mut optimiser, &first, 0..4);
            let path = folder.path().join("state.safetensors");
            optimiser.save(&path).unwrap();

            let second: Vec<(String, Var)> = first
                .iter()
                .map(|(name, v)| {
                    (name.clone(), Var::from_tensor(&v.copy().unwrap().detach()).unwrap())
                })
                .collect();
            let mut resumed = Optimiser::new(second.clone(), options, 9.0).unwrap();
            resumed.load(&path).unwrap();
            assert_eq!(resumed.learning_rate(), rate(3), "{name}");
            run(&mut resumed, &second, 4..STEPS);
            assert_eq!(numbers(&whole), numbers(&second), "{name} {dtype:?}");
            assert_eq!(numbers(&first).len(), 6);
        }
    }
}

#[test]
fn state_names_and_kinds_are_checked_before_anything_changes() {
    let donor = variables(DType::F64);
    let mut other = Optimiser::new(donor.clone(), adam_w(0.0), 0.1).unwrap();
    run(&mut other, &donor, 0..2);
    let state = other.state().unwrap();

    let variables = variables(DType::F64);
    let mut optimiser = Optimiser::new(variables.clone(), adam_w(0.0), 0.7).unwrap();
    let with = |name: &str, tensor: Option<Tensor>| {
        let mut changed = state.clone();
        changed.retain(|(n, _)| n != name);
        changed.extend(tensor.map(|tensor| (name.to_string(), tensor)));
        changed
    };
    let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    let negative = Tensor::new(&[-1i64], &Device::Cpu).unwrap();
    let infinite = Tensor::new(&[f64::INFINITY], &Device::Cpu).unwrap();
    for (case, state) in [
        ("missing", with("first_moment/a", None)),
        ("extra", with("first_moment/c", Some(zeros(&[1, 2], DType::F64)))),
        ("shape", with("second_moment/a", Some(zeros(&[2, 1], DType::F64)))),
        ("type", with("second_moment/a", Some(zeros(&[1, 2], DType::F32)))),
        ("steps", with("steps/b", Some(negative))),
        ("rate", with("learning_rate", Some(infinite))),
    ] {
        let error = optimiser.load_state(&state).unwrap_err();
        let right = match case {
            "missing" | "extra" => matches!(error, Error::Unknown { .. }),
            "shape" | "type" => matches!(error, Error::Shape { .. }),
            _ => matches!(error, Error::OutOfRange { .. }),
        };
        assert!(right, "{case}: {error}");
        assert_eq!(optimiser.learning_rate(), 0.7, "{case}");
        let steps = optimiser.state().unwrap()[1].1.to_vec1::<i64>().unwrap();
        assert_eq!(steps, [0], "{case}");
    }
    let mut sgd = Optimiser::new(variables, sgd(0.9, false, 0.0), 0.1).unwrap();
    assert!(matches!(sgd.load_state(&state), Err(Error::Unknown { .. })), "another kind");
    let reversed: Vec<_> = state.iter().rev().cloned().collect();
    optimiser.load_state(&reversed).unwrap();
    assert_eq!(optimiser.learning_rate(), rate(1));
}

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut optimiser = Optimiser::new(variables(DType::F32), adam_w(0.0), 0.1).unwrap();
    let missing = folder.path().join("missing");
    assert!(matches!(optimiser.load(&missing), Err(Error::Io { path, .. }) if path == missing));
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, b"not a checkpoint").unwrap();
    assert!(matches!(optimiser.load(&garbage), Err(Error::File { path, .. }) if path == garbage));
    let nowhere = folder.path().join("no/such/folder");
    assert!(matches!(optimiser.save(&nowhere), Err(Error::Io { path, .. }) if path == nowhere));
}

#[test]
fn a_bad_gradient_changes_nothing() {
    for (name, options) in cases() {
        let variables = variables(DType::F32);
        let mut optimiser = Optimiser::new(variables.clone(), options, 0.1).unwrap();
        run(&mut optimiser, &variables, 0..2);
        let before = numbers(&variables);
        let good = gradients(3, &variables);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bad = Tensor::new(&[[1.0, bad]], &Device::Cpu).unwrap();
            let error = optimiser.step(&[good[0].clone(), Some(bad)]).unwrap_err().to_string();
            assert!(error.contains("\"a\"") && error.contains("element 1"), "{name}: {error}");
        }
        let wrong_shape = Tensor::zeros((2, 1), DType::F32, &Device::Cpu).unwrap();
        let wrong_type = Tensor::zeros((1, 2), DType::F64, &Device::Cpu).unwrap();
        for bad in [wrong_shape, wrong_type] {
            let error = optimiser.step(&[good[0].clone(), Some(bad)]).unwrap_err();
            assert!(matches!(error, Error::Shape { .. }), "{name}: {error}");
        }
        assert!(matches!(optimiser.step(&good[..1]), Err(Error::Shape { .. })), "{name}");
        assert_eq!(numbers(&variables), before, "{name}");

        // And the state is untouched: the next steps are those of a run that saw no bad gradient.
        let twin = self::variables(DType::F32);
        let mut calm = Optimiser::new(twin.clone(), options, 0.1).unwrap();
        run(&mut calm, &twin, 0..4);
        run(&mut optimiser, &variables, 2..4);
        assert_eq!(numbers(&variables), numbers(&twin), "{name}");
    }
}

#[test]
fn the_largest_finite_gradient_is_accepted() {
    let x = Var::zeros(2, DType::F32, &Device::Cpu).unwrap();
    let mut optimiser =
        Optimiser::new(vec![("x".into(), x.clone())], sgd(0.0, false, 0.0), 1e-38).unwrap();
    optimiser.step(&[Some(Tensor::new(&[f32::MAX, f32::MAX], &Device::Cpu).unwrap())]).unwrap();
    assert!(x.to_vec1::<f32>().unwrap().iter().all(|x| (x + 3.4).abs() < 0.01));
}

#[test]
fn refused_options() {
    let zero = Var::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let new = |options, rate| Optimiser::new(vec![("x".into(), zero.clone())], options, rate);
    let adam = |beta1, beta2, epsilon, weight_decay| OptimiserOptions::AdamW {
        beta1,
        beta2,
        epsilon,
        weight_decay,
    };
    for (name, options, rate) in [
        ("momentum 1", sgd(1.0, false, 0.0), 0.1),
        ("momentum NaN", sgd(f64::NAN, false, 0.0), 0.1),
        ("nesterov alone", sgd(0.0, true, 0.0), 0.1),
        ("negative decay", sgd(0.0, false, -0.1), 0.1),
        ("beta1", adam(1.0, 0.9, 1e-8, 0.0), 0.1),
        ("beta2", adam(0.9, -0.1, 1e-8, 0.0), 0.1),
        ("epsilon", adam(0.9, 0.9, 0.0, 0.0), 0.1),
        ("decay", adam(0.9, 0.9, 1e-8, f64::INFINITY), 0.1),
        ("negative rate", OptimiserOptions::default(), -1.0),
        ("rate NaN", OptimiserOptions::default(), f64::NAN),
    ] {
        assert!(matches!(new(options, rate), Err(Error::OutOfRange { .. })), "{name}");
    }
    let mut optimiser = new(OptimiserOptions::default(), 0.1).unwrap();
    assert!(optimiser.set_learning_rate(f64::NAN).is_err());
    assert_eq!(optimiser.learning_rate(), 0.1);

    let twice = vec![("x".to_string(), zero.clone()), ("x".to_string(), zero)];
    let default = OptimiserOptions::default();
    assert!(matches!(Optimiser::new(twice, default, 0.1), Err(Error::Shape { .. })));
    let integers = Var::zeros(1, DType::U32, &Device::Cpu).unwrap();
    let integers = vec![("x".to_string(), integers)];
    assert!(matches!(Optimiser::new(integers, default, 0.1), Err(Error::Shape { .. })));
}

#[test]
fn a_variable_the_loss_does_not_touch_stays() {
    let variables = variables(DType::F64);
    let before = numbers(&variables[1..]);
    let mut optimiser = Optimiser::new(variables.clone(), adam_w(0.5), 0.1).unwrap();
    optimiser.backward_step(&variables[0].1.sqr().unwrap().sum_all().unwrap()).unwrap();
    assert_eq!(numbers(&variables[1..]), before);
    assert_ne!(numbers(&variables[..1]), numbers(&self::variables(DType::F64)[..1]));
}
