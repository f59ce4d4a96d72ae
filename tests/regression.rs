//! Numbers to predict: losses, training, evidence and comparisons; and weights of points in training.

use candle_core::{DType, Device, Tensor};
use gleaner::choose::{Craig, El2n, GradMatch, Grand, KCenter, LargestLoss, Random, Strategy};
use gleaner::data::{Source, Standardiser, Subset};
use gleaner::experiment::{
    ComparisonOptions, Joint, Model, Observations, Run, Selector, Stages, Task, compare,
};
use gleaner::joint::{Amount, ChooseOptions};
use gleaner::learn::{
    Length, Loss, Mlp, MlpOptions, Sampling, TrainingOptions, error_in_batches, evaluate,
    losses_in_batches, train,
};
use gleaner::{Dataset, Error, Learner, Result, Trainer, TrainerOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `y = 2 x_1 - x_2 + 0.5`, with nothing but a little noise.
fn plane(points: usize, seed: u64) -> Result<Dataset> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rows: Vec<f32> = (0..points * 2).map(|_| rng.random_range(-1.0..1.0)).collect();
    let of = |row: &[f32]| f64::from(2.0 * row[0] - row[1] + 0.5);
    let numbers: Vec<f64> =
        rows.chunks(2).map(|row| of(row) + rng.random_range(-0.01..0.01)).collect();
    let inputs = Tensor::from_vec(rows, (points, 2), &Device::Cpu)?;
    Dataset::new(inputs, vec![0; points], 1)?.with_targets(&numbers)
}

fn learner(seed: u64) -> Result<Mlp> {
    let options = MlpOptions { inputs: 2, hidden: vec![16], classes: 1 };
    Mlp::new(&options, seed, DType::F32, &Device::Cpu)
}

fn steps(steps: usize) -> TrainingOptions {
    TrainingOptions { length: Length::Steps(steps), learning_rate: 1e-2, ..Default::default() }
}

#[test]
fn a_plane_is_learned_and_the_error_is_a_root_mean_square() -> Result<()> {
    let (data, test) = (plane(200, 1)?, plane(100, 2)?);
    let fresh = learner(0)?;
    let before = error_in_batches(&fresh, &test, 30)?;
    let outputs = fresh.logits(test.inputs())?.flatten_all()?.to_vec1::<f32>()?;
    let squares =
        outputs.iter().zip(test.targets().unwrap()).map(|(o, y)| f64::from(o - y).powi(2));
    assert!((before - (squares.sum::<f64>() / 100.0).sqrt()).abs() < 1e-6);
    let after = evaluate(&fresh, &data, Sampling::All, &test, &steps(400), 3)?;
    assert!(after < 0.1 && before > 1.0, "{before} to {after}");
    // A part of the data has its numbers too.
    let part = Subset::new(&data, vec![5, 3])?;
    let all = data.targets().unwrap();
    assert_eq!(part.targets().unwrap(), [all[5], all[3]]);
    assert_eq!(data.subset(&[7])?.targets().unwrap(), [all[7]]);
    Ok(())
}

/// A tenth of the numbers are wild, all to one side: the squared error follows them, Huber's hardly does.
#[test]
fn huber_is_not_carried_away() -> Result<()> {
    let (data, test) = (plane(200, 1)?, plane(100, 2)?);
    let wild: Vec<f64> = (data.targets().unwrap().iter().enumerate())
        .map(|(i, y)| f64::from(*y) + if i % 10 == 0 { 20.0 } else { 0.0 })
        .collect();
    let data = data.with_targets(&wild)?;
    let error = |loss| -> Result<f64> {
        let options = TrainingOptions { loss, ..steps(400) };
        evaluate(&learner(0)?, &data, Sampling::All, &test, &options, 3)
    };
    let (squared, huber) = (error(Loss::Own)?, error(Loss::Huber(0.1))?);
    assert!(huber < 0.5 * squared, "{huber} against {squared}");
    Ok(())
}

/// Points of weight zero leave no trace: their numbers may be anything. Weights of one change no bit.
#[test]
fn weights_are_weights_of_losses() -> Result<()> {
    let data = plane(60, 1)?;
    let everyone: Vec<usize> = (0..60).collect();
    let weights: Vec<f64> = (0..60).map(|i| if i % 2 == 0 { 2.0 } else { 0.0 }).collect();
    let spoilt: Vec<f64> = (data.targets().unwrap().iter().zip(&weights))
        .map(|(y, weight)| if *weight == 0.0 { 99.0 } else { f64::from(*y) })
        .collect();
    let spoilt = data.clone().with_targets(&spoilt)?;
    let losses = |trained_on: &Dataset, sampling| -> Result<Vec<f64>> {
        let fresh = learner(4)?;
        train(&fresh, trained_on, sampling, &steps(30), 1, |_| {})?;
        losses_in_batches(&fresh, &data, 60)
    };
    let weighted = Sampling::Weighted(&everyone, &weights);
    assert_eq!(losses(&data, weighted)?, losses(&spoilt, weighted)?);
    let even = losses(&data, Sampling::Weighted(&everyone, &[1.0; 60]))?;
    assert_eq!(even, losses(&data, Sampling::All)?);
    assert_ne!(even, losses(&data, weighted)?);
    Ok(())
}

/// Errors are the loss's derivative, and what ranks by them ranks by the distance of the numbers.
#[test]
fn evidence_of_numbers() -> Result<()> {
    let (data, fresh) = (plane(20, 1)?, learner(0)?);
    let seen = Observations::labelled(&fresh, &data, None, Loss::Own)?;
    let evidence = seen.evidence()?;
    let outputs = fresh.logits(data.inputs())?.flatten_all()?.to_vec1::<f32>()?;
    let (errors, width) = evidence.errors("test")?;
    let losses = evidence.losses("test")?;
    assert_eq!(width, 1);
    for (i, (output, target)) in outputs.iter().zip(data.targets().unwrap()).enumerate() {
        assert!((errors[i] - 2.0 * (output - target)).abs() < 1e-5);
        assert!((losses[i] - f64::from(output - target).powi(2)).abs() < 1e-5);
    }
    assert!(evidence.probabilities("test").is_err());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut choice = |strategy: &dyn Strategy| strategy.select(&evidence, 5, &mut rng);
    assert_eq!(choice(&El2n)?.indices, choice(&LargestLoss)?.indices);
    for strategy in [&Grand as &dyn Strategy, &Craig::default(), &GradMatch::default()] {
        assert_eq!(choice(strategy)?.len(), 5, "{}", strategy.name());
    }
    // Far from the numbers Huber's slope is 2 delta.
    let seen = Observations::labelled(&fresh, &data, None, Loss::Huber(1e-3))?;
    let evidence = seen.evidence()?;
    assert!(evidence.errors("test")?.0.iter().all(|slope| (slope.abs() - 2e-3).abs() < 1e-6));
    Ok(())
}

/// A fifth of the numbers are wild. The selection model learns from trusted points that these do not help, whatever unit
/// the numbers are in, and goes on where it was saved.
#[test]
fn the_joint_trainer_leaves_wild_numbers_out() -> Result<()> {
    let validation = plane(40, 2)?;
    for unit in [1.0, 1e4] {
        let scaled = |data: &Dataset, wild: f64| {
            let numbers = (data.targets().unwrap().iter().enumerate())
                .map(|(i, y)| unit * (f64::from(*y) + if i % 5 == 0 { wild } else { 0.0 }));
            data.clone().with_targets(&numbers.collect::<Vec<_>>())
        };
        let (data, validation) = (scaled(&plane(300, 1)?, 6.0)?, scaled(&validation, 0.0)?);
        let options = TrainerOptions {
            warm_up: 60,
            learner_rate: if unit > 1.0 { 3.0 } else { 1e-2 },
            ..Default::default()
        };
        let mut trainer = Trainer::new(learner(3)?, &validation, options.clone(), 5)?;
        trainer.fit_steps(&data, 30, 260, 0, |_| {})?;
        let mut saved = Trainer::new(learner(3)?, &validation, options, 5)?;
        saved.restore(&trainer.checkpoint()?)?;
        let mut chosen = [Vec::new(), Vec::new()];
        for (trainer, chosen) in [&mut trainer, &mut saved].into_iter().zip(&mut chosen) {
            trainer.fit_until(&data, 30, 300, 0, |_| {})?;
            *chosen = trainer.choose(&data, Amount::Count(60), &ChooseOptions::default())?.indices;
        }
        assert_eq!(chosen[0], chosen[1]);
        let wild = chosen[0].iter().filter(|i| **i % 5 == 0).count();
        assert!(wild <= 3, "{wild} of 60, where 12 would be chance, in units of {unit}");
        // Labels in place of numbers are a mistake, not a class.
        let classes = Dataset::new(data.inputs().clone(), vec![0; 300], 1)?;
        let refused = trainer.step(&classes.batch(&[0, 1, 2])?);
        assert!(matches!(refused, Err(Error::Shape { .. })));
    }
    Ok(())
}

#[test]
fn standardised_data_keep_their_numbers() -> Result<()> {
    let data = plane(20, 1)?;
    let standard = Standardiser::of(&data)?.dataset(&data)?;
    assert_eq!(standard.targets(), data.targets());
    Ok(())
}

#[test]
fn ways_of_choosing_are_compared_by_the_error_of_numbers() -> Result<()> {
    let (data, test) = (plane(200, 1)?, plane(100, 2)?);
    let build = |seed| -> Result<Box<dyn Learner>> { Ok(Box::new(learner(seed)?)) };
    let model = Model { name: "mlp".into(), build: &build, training: steps(100) };
    let selectors = vec![
        Selector::Strategy(Box::new(Random)),
        Selector::FreshRandom,
        Selector::OnInputs(Box::new(KCenter)),
        Selector::Strategy(Box::new(GradMatch::default())),
        Selector::FullData,
    ];
    let options = ComparisonOptions { selectors, fractions: vec![0.2], joint: Joint::default() };
    let task = Task { pool: &data, validation: None, test: &test, flipped: &[] };
    let run = Run::in_memory();
    let found = compare(task, &model, &options, 0, Stages { run: &run, watch: &mut |_| {} })?;
    assert_eq!(found.outcomes.len(), 5);
    for outcome in &found.outcomes {
        assert!(outcome.error > 0.0 && outcome.error < 1.0, "{outcome:?}");
    }
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused() -> Result<()> {
    let numbers = plane(10, 1)?;
    let classes = Dataset::new(numbers.inputs().clone(), vec![0; 10], 1)?;
    let run = |data: &Dataset, options: TrainingOptions| {
        train(&learner(0)?, data, Sampling::All, &options, 0, |_| {})
    };
    let huber = |delta| TrainingOptions { loss: Loss::Huber(delta), ..steps(2) };
    let smooth = TrainingOptions { label_smoothing: 0.1, ..steps(2) };
    assert!(matches!(run(&classes, huber(1.0)), Err(Error::Unsupported { .. })));
    assert!(matches!(run(&numbers, smooth), Err(Error::Unsupported { .. })));
    for delta in [0.0, -1.0, f64::NAN] {
        assert!(matches!(run(&numbers, huber(delta)), Err(Error::OutOfRange { .. })));
    }
    assert!(matches!(classes.clone().with_targets(&[1.0; 9]), Err(Error::Shape { .. })));
    let bad = [1.0, f64::NAN, 1e300, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let refused = classes.with_targets(&bad);
    assert!(matches!(refused, Err(Error::NotFinite { row: 1, .. })));
    let weighted = |weights: &[f64]| {
        let sampling = Sampling::Weighted(&[0, 1], weights);
        train(&learner(0)?, &numbers, sampling, &steps(2), 0, |_| {})
    };
    assert!(matches!(weighted(&[1.0]), Err(Error::Shape { .. })));
    assert!(matches!(weighted(&[1.0, -1.0]), Err(Error::OutOfRange { .. })));
    Ok(())
}
