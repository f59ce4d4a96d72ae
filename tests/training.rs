//! Training by itself: rates, losses, what is noted, and going on after a pause as if there were none.

use candle_core::{DType, Device, Tensor};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::data::{Augmentation, Dataset};
use gleaner::learn::Checkpoint;
use gleaner::learn::optimiser::OptimiserOptions;
use gleaner::learn::{Cnn, CnnOptions, Learner, Mlp, MlpOptions};
use gleaner::learn::{
    Length, Sampling, Schedule, Training, TrainingOptions, evaluate, restore_learner, train,
};
use gleaner::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn points(seed: u64) -> Result<(Dataset, Dataset)> {
    let shape = ClusterOptions { points: 300, test: 200, dimensions: 5, ..Default::default() };
    let made = clusters(&shape, &mut ChaCha8Rng::seed_from_u64(seed))?;
    Ok((made.train, made.test))
}

fn mlp(data: &Dataset, seed: u64) -> Result<Mlp> {
    let options = MlpOptions { inputs: 5, hidden: vec![16], classes: data.classes() };
    Mlp::new(&options, seed, DType::F32, &Device::Cpu)
}

#[test]
fn rates_by_hand() {
    let base = TrainingOptions { learning_rate: 0.8, ..Default::default() };
    let at = |recipe: &TrainingOptions, steps: &[usize], of: usize| -> Vec<f64> {
        steps.iter().map(|step| recipe.rate(*step, of)).collect()
    };
    let close = |found: Vec<f64>, expected: &[f64]| {
        let same = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(same && found.len() == expected.len(), "{found:?}, expected {expected:?}");
    };
    close(at(&base, &[0, 5, 10], 10), &[0.8, 0.4, 0.0]);
    let constant = TrainingOptions { schedule: Schedule::Constant, ..base.clone() };
    close(at(&constant, &[0, 9], 10), &[0.8, 0.8]);
    // Four steps up, then a cosine over the other sixteen.
    let warm = TrainingOptions { warm_up: 0.2, ..base.clone() };
    close(at(&warm, &[0, 1, 3, 4, 12], 20), &[0.2, 0.4, 0.8, 0.8, 0.4]);
    let schedule = Schedule::Step { milestones: vec![0.5, 0.75], factor: 0.1 };
    let step = TrainingOptions { schedule, ..base };
    close(at(&step, &[0, 49, 50, 74, 75, 99], 100), &[0.8, 0.8, 0.08, 0.08, 0.008, 0.008]);
}

/// One step of plain descent at rate one moves the head's bias by minus the gradient of the loss.
#[test]
fn label_smoothing_moves_the_targets() -> Result<()> {
    let inputs = Tensor::new(&[[0.3f32, -1.0, 0.2, 0.0, 2.0]], &Device::Cpu)?;
    let data = Dataset::new(inputs.clone(), vec![2], 4)?;
    for smoothing in [0.0, 0.1, 0.6] {
        let learner = mlp(&data, 3)?;
        let logits = learner.logits(&inputs)?.to_vec2::<f32>()?.remove(0);
        let bias = |learner: &Mlp| -> Result<Vec<f32>> {
            let found = learner.variables().iter().find(|(name, _)| name == "head.bias");
            Ok(found.map(|(_, bias)| bias.to_vec1()).transpose()?.unwrap_or_default())
        };
        let before = bias(&learner)?;
        let optimiser = OptimiserOptions::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        let recipe = TrainingOptions {
            length: Length::Steps(1),
            optimiser,
            learning_rate: 1.0,
            label_smoothing: smoothing,
            ..Default::default()
        };
        train(&learner, &data, Sampling::Fixed(&[0]), &recipe, 0, |_| {})?;
        let total: f64 = logits.iter().map(|z| f64::from(*z).exp()).sum();
        for (class, (after, before)) in bias(&learner)?.iter().zip(&before).enumerate() {
            let target = if class == 2 { 1.0 - smoothing } else { 0.0 } + smoothing / 4.0;
            let gradient = f64::from(logits[class]).exp() / total - target;
            let moved = f64::from(before - after);
            // f32 arithmetic on numbers of order one.
            assert!((moved - gradient).abs() < 1e-6, "class {class}: {moved} for {gradient}");
        }
    }
    Ok(())
}

/// Weights after training with a pause after `pause` epochs, or none.
fn weights_after(
    learner: impl Fn() -> Result<Box<dyn Learner>>,
    data: &Dataset,
    recipe: &TrainingOptions,
    pause: Option<usize>,
) -> Result<(Checkpoint, Box<dyn Learner>)> {
    let everyone: Vec<usize> = (0..data.len()).collect();
    let sampling = Sampling::Fixed(&everyone);
    let mut saved = None;
    if let Some(pause) = pause {
        let first = learner()?;
        let mut training = Training::new(&first, data, sampling, recipe, 5)?.with_history();
        for _ in 0..pause {
            training.epoch(|_| {})?;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        training.checkpoint()?.save(&path)?;
        saved = Some(Checkpoint::load(&path)?);
    }
    let second = learner()?;
    let mut training = Training::new(&second, data, sampling, recipe, 5)?.with_history();
    if let Some(saved) = saved {
        training.restore(&saved)?;
    }
    while !training.is_finished() {
        training.epoch(|_| {})?;
    }
    let state = training.checkpoint()?;
    drop(training);
    Ok((state, second))
}

fn bytes(state: Checkpoint) -> Vec<(String, Vec<u8>)> {
    let raw = |tensor: &Tensor| match tensor.dtype() {
        DType::F32 => tensor
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect(),
        DType::F64 => tensor
            .flatten_all()
            .unwrap()
            .to_vec1::<f64>()
            .unwrap()
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect(),
        DType::I64 => tensor
            .flatten_all()
            .unwrap()
            .to_vec1::<i64>()
            .unwrap()
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect(),
        _ => tensor.flatten_all().unwrap().to_vec1::<u8>().unwrap(),
    };
    state.into_tensors().iter().map(|(name, tensor)| (name.clone(), raw(tensor))).collect()
}

#[test]
fn a_pause_leaves_no_trace() -> Result<()> {
    let (data, _) = points(1)?;
    let schedule = Schedule::Step { milestones: vec![0.5], factor: 0.1 };
    let optimiser = OptimiserOptions::Sgd { momentum: 0.9, nesterov: true, weight_decay: 1e-3 };
    let recipes = [
        TrainingOptions { length: Length::Epochs(4), ..Default::default() },
        // Ends in the middle of its fourth epoch.
        TrainingOptions {
            length: Length::Steps(17),
            schedule,
            optimiser,
            warm_up: 0.1,
            ..Default::default()
        },
    ];
    for recipe in &recipes {
        let learner = || -> Result<Box<dyn Learner>> { Ok(Box::new(mlp(&data, 2)?)) };
        let (straight, _) = weights_after(learner, &data, recipe, None)?;
        let straight = bytes(straight);
        for pause in 0..4 {
            let (paused, _) = weights_after(learner, &data, recipe, Some(pause))?;
            assert!(bytes(paused) == straight, "{recipe:?} after a pause at {pause}");
        }
    }
    Ok(())
}

/// The generators of order and augmentation both go on where they stood.
#[test]
fn a_pause_leaves_no_trace_with_augmented_images() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let pixels: Vec<f32> = (0..40 * 64).map(|_| rng.random_range(-1.0..1.0)).collect();
    let labels = (0..40).map(|k| k % 3).collect();
    let data = Dataset::new(Tensor::from_vec(pixels, (40, 1, 8, 8), &Device::Cpu)?, labels, 3)?;
    let options = CnnOptions { channels: 1, size: 8, classes: 3, widths: [4, 4, 4] };
    let learner = || -> Result<Box<dyn Learner>> {
        Ok(Box::new(Cnn::new(&options, 0, DType::F32, &Device::Cpu)?))
    };
    let augmentation = Some(Augmentation { padding: 2, flip: true });
    let recipe = TrainingOptions {
        length: Length::Epochs(3),
        batch: 16,
        augmentation,
        ..Default::default()
    };
    let (straight, trained) = weights_after(learner, &data, &recipe, None)?;
    let (paused, _) = weights_after(learner, &data, &recipe, Some(2))?;
    let plain = TrainingOptions { augmentation: None, ..recipe };
    let (unaugmented, _) = weights_after(learner, &data, &plain, None)?;
    assert!(bytes(straight.clone()) != bytes(unaugmented), "augmentation does something");
    // A learner on its own takes the weights alone.
    let fresh = learner()?;
    restore_learner(&fresh, &straight)?;
    assert_eq!(fresh.predict(data.inputs())?, trained.predict(data.inputs())?);
    assert!(bytes(straight) == bytes(paused));
    Ok(())
}

/// A state kept in memory is of its moment, whatever the learner does after it.
#[test]
fn a_training_can_be_taken_back() -> Result<()> {
    let (data, _) = points(1)?;
    let everyone: Vec<usize> = (0..data.len()).collect();
    let recipe = TrainingOptions { length: Length::Epochs(4), ..Default::default() };
    let learner = mlp(&data, 2)?;
    let mut training = Training::new(&learner, &data, Sampling::Fixed(&everyone), &recipe, 5)?;
    training.epoch(|_| {})?;
    let kept = training.checkpoint()?;
    let then = bytes(kept.clone());
    training.epoch(|_| {})?;
    let ahead = bytes(training.checkpoint()?);
    assert!(bytes(kept.clone()) == then && ahead != then);
    training.restore(&kept)?;
    assert!(bytes(training.checkpoint()?) == then);
    training.epoch(|_| {})?;
    assert!(bytes(training.checkpoint()?) == ahead);
    Ok(())
}

#[test]
fn a_state_of_another_training_is_refused() -> Result<()> {
    let (data, _) = points(1)?;
    let everyone: Vec<usize> = (0..data.len()).collect();
    let recipe = TrainingOptions { length: Length::Steps(3), ..Default::default() };
    let small = mlp(&data, 0)?;
    let state =
        Training::new(&small, &data, Sampling::Fixed(&everyone), &recipe, 0)?.checkpoint()?;
    let options = MlpOptions { inputs: 5, hidden: vec![17], classes: data.classes() };
    let wide = Mlp::new(&options, 0, DType::F32, &Device::Cpu)?;
    let mut other = Training::new(&wide, &data, Sampling::Fixed(&everyone), &recipe, 0)?;
    assert!(matches!(other.restore(&state), Err(Error::Shape { .. })));
    assert!(matches!(other.restore(&Checkpoint::new()), Err(Error::Unknown { .. })));
    let longer = TrainingOptions { length: Length::Steps(4), ..recipe };
    let mut longer = Training::new(&small, &data, Sampling::Fixed(&everyone), &longer, 0)?;
    assert!(matches!(longer.restore(&state), Err(Error::Shape { .. })));
    // What an earlier version kept lacks a part of the history.
    let mut earlier = state;
    earlier.set("history/right", Tensor::zeros(0, DType::U8, &Device::Cpu)?);
    earlier.set("history/margins", Tensor::zeros(0, DType::F32, &Device::Cpu)?);
    let recipe = TrainingOptions { length: Length::Steps(3), ..Default::default() };
    let training = Training::new(&small, &data, Sampling::Fixed(&everyone), &recipe, 0)?;
    let refused = training.with_history().restore(&earlier).unwrap_err();
    assert!(matches!(refused, Error::Unknown { .. }));
    assert!(refused.to_string().contains("history/label_probabilities"), "{refused}");
    Ok(())
}

/// History is what the learner said while it was trained: with a rate of zero, what it says at all.
#[test]
fn history_by_a_learner_that_stands_still() -> Result<()> {
    let (data, _) = points(4)?;
    let learner = mlp(&data, 9)?;
    let everyone: Vec<usize> = (0..data.len()).rev().collect();
    let optimiser = OptimiserOptions::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
    let recipe = TrainingOptions {
        length: Length::Epochs(2),
        batch: 7,
        optimiser,
        learning_rate: 0.0,
        ..Default::default()
    };
    let mut training =
        Training::new(&learner, &data, Sampling::Fixed(&everyone), &recipe, 0)?.with_history();
    while !training.is_finished() {
        training.epoch(|_| {})?;
    }
    let history = training.into_history().unwrap();
    let logits = learner.logits(data.inputs())?.to_vec2::<f32>()?;
    let predicted = learner.predict(data.inputs())?;
    assert_eq!(history.right.len(), 2 * data.len());
    for (k, (&right, &margin)) in history.right.iter().zip(&history.margins).enumerate() {
        let (point, label) = (k % data.len(), data.labels()[k % data.len()]);
        assert_eq!(right, predicted[point] == label, "point {point}");
        let mut others = logits[point].clone();
        let own = others.remove(label as usize);
        let expected = own - others.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Products of 7 rows at a time round differently from those of all rows.
        assert!((margin - expected).abs() < 1e-5, "point {point}: {margin}, {expected}");
        let total: f64 = logits[point].iter().map(|z| f64::from(*z).exp()).sum();
        let expected = f64::from(own).exp() / total;
        let p = f64::from(history.label_probabilities[k]);
        assert!((p - expected).abs() < 1e-5, "point {point}: {p}, {expected}");
    }
    assert_eq!(history.label_probabilities.len(), 2 * data.len());
    // A part of the data leaves no rows: they would not line up.
    let part = [0, 1, 2];
    let mut training =
        Training::new(&learner, &data, Sampling::Fixed(&part), &recipe, 0)?.with_history();
    training.epoch(|_| {})?;
    assert!(training.into_history().unwrap().right.is_empty());
    Ok(())
}

/// With two classes the margin `m` says it all: the probability is `1 / (1 + e^-m)`, sure logits included.
#[test]
fn probabilities_of_the_label_are_the_sigmoid_of_the_margin() -> Result<()> {
    let inputs: Vec<f32> = (0..40).map(|k| (k as f32 - 20.0) * [0.1, 50.0][k % 2]).collect();
    let inputs = Tensor::from_vec(inputs, (40, 1), &Device::Cpu)?;
    let data = Dataset::new(inputs, (0..40).map(|k| k / 3 % 2).collect(), 2)?;
    let options = MlpOptions { inputs: 1, hidden: vec![8], classes: 2 };
    let learner = Mlp::new(&options, 4, DType::F32, &Device::Cpu)?;
    let recipe = TrainingOptions { length: Length::Epochs(3), batch: 16, ..Default::default() };
    let mut training = Training::new(&learner, &data, Sampling::All, &recipe, 0)?.with_history();
    while !training.is_finished() {
        training.epoch(|_| {})?;
    }
    let history = training.into_history().unwrap();
    assert_eq!(history.label_probabilities.len(), 3 * 40);
    for (p, margin) in history.label_probabilities.iter().zip(&history.margins) {
        let expected = 1.0 / (1.0 + f64::from(-margin).exp());
        // The margin is rounded to `f32` before it goes through the sigmoid, which is flat for large ones.
        assert!((f64::from(*p) - expected).abs() < 1e-6, "{p}, {expected} of margin {margin}");
    }
    Ok(())
}

#[test]
fn learning_beats_chance_and_fresh_samples_see_everything() -> Result<()> {
    let (data, test) = points(2)?;
    let recipe = TrainingOptions { length: Length::Steps(200), ..Default::default() };
    let chance = 1.0 / data.classes() as f64;
    for sampling in
        [Sampling::FreshRandom(60), Sampling::Fixed(&(0..data.len()).collect::<Vec<_>>())]
    {
        let accuracy = 1.0 - evaluate(&mlp(&data, 1)?, &data, sampling, &test, &recipe, 1)?;
        assert!(accuracy > 2.0 * chance, "{sampling:?}: {accuracy}");
    }
    Ok(())
}

#[test]
fn nonsense_is_refused_at_the_door() -> Result<()> {
    let (data, _) = points(3)?;
    let learner = mlp(&data, 0)?;
    let steps = |factor, milestones| Schedule::Step { milestones, factor };
    let base = TrainingOptions { length: Length::Steps(2), ..Default::default() };
    let broken = [
        TrainingOptions { length: Length::Epochs(0), ..base.clone() },
        TrainingOptions { batch: 0, ..base.clone() },
        TrainingOptions { warm_up: 1.0, ..base.clone() },
        TrainingOptions { warm_up: f64::NAN, ..base.clone() },
        TrainingOptions { label_smoothing: -0.1, ..base.clone() },
        TrainingOptions { learning_rate: f64::INFINITY, ..base.clone() },
        TrainingOptions { schedule: steps(2.0, vec![0.5]), ..base.clone() },
        TrainingOptions { schedule: steps(0.1, vec![1.5]), ..base.clone() },
    ];
    for recipe in &broken {
        let refused = train(&learner, &data, Sampling::Fixed(&[0]), recipe, 0, |_| {});
        assert!(matches!(refused, Err(Error::OutOfRange { .. })), "{recipe:?}");
    }
    let nobody = train(&learner, &data, Sampling::Fixed(&[]), &base, 0, |_| {});
    assert!(matches!(nobody, Err(Error::OutOfRange { .. })));
    let outside = train(&learner, &data, Sampling::Fixed(&[9999]), &base, 0, |_| {});
    assert!(matches!(outside, Err(Error::OutOfRange { .. })));
    Ok(())
}
