//! The judge against differences, and the learned selection that it teaches.

#[allow(dead_code)] // this file needs matrices and the number of cases only
mod common;

use common::{cases, matrices};
use gleaner::choose::{CrossFit, Evidence, Random, Strategy as Selects};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::joint::{Gleaner, Judge, Lesson, Targets};
use gleaner::{Error, Result, Seeds};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::Rng;

const POINTS: usize = 9;
const ASKED: usize = 5;

fn judge(rows: &[f32], asked: &[f32], width: usize, kind: usize, fourier: usize) -> Result<Judge> {
    let labels: Vec<u32> = (0..POINTS as u32).map(|i| i % 3).collect();
    let wanted: Vec<u32> = (0..ASKED as u32).map(|i| (i + 1) % 3).collect();
    let (numbers, others) = (&rows[..POINTS], &asked[..ASKED]);
    let (taught, asking) = match kind {
        0 => (Targets::Classes(&labels, 3), Targets::Classes(&wanted, 3)),
        _ => (Targets::Numbers(numbers), Targets::Numbers(others)),
    };
    let (taught, asked) =
        (Lesson { rows, targets: taught }, Lesson { rows: asked, targets: asking });
    Judge::new(taught, asked, width, fourier, Seeds::new(1))
}

proptest! {
    #![proptest_config(cases(60))]

    /// Every derivative against a central difference of fourth order, on both sides of as many points as features, for
    /// classes and numbers: 1e-8 of the largest derivative or of the loss. A step of 1/2000 leaves (1/400)^4 of the curvature
    /// of weights from 0.2 on, and of rounding, which the ridge of 1e-3 can magnify a thousandfold, less than 1e-9.
    #[test]
    fn derivatives_are_differences(
        rows in matrices(3, POINTS, -2.0..2.0),
        asked in matrices(3, ASKED, -2.0..2.0),
        weights in vec(0.2f64..2.0, POINTS),
        kind in 0..2usize,
        fourier in prop_oneof![Just(0usize), Just(4), Just(24)],
        ridge in prop_oneof![Just(1e-3), Just(1e-1), Just(10.0)],
        temperature in 0.1f64..1.0,
    ) {
        let single = |m: &nalgebra::DMatrix<f64>| m.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let mut judge = judge(&single(&rows), &single(&asked), 3, kind, fourier).unwrap();
        (judge.ridge, judge.temperature) = (ridge, temperature);
        let points: Vec<usize> = (0..POINTS).rev().collect();
        let verdict = judge.verdict(&points, &weights).unwrap();
        let loss = |weights: &[f64]| judge.verdict(&points, weights).unwrap().loss;
        let size = verdict.by_weight.iter().fold(verdict.loss.abs(), |a, b| a.max(b.abs()));
        for j in 0..POINTS {
            let at = |move_by: f64| {
                let mut moved = weights.clone();
                moved[j] += move_by;
                loss(&moved)
            };
            let step = 5e-4;
            let near = (at(step) - at(-step)) / (2.0 * step);
            let far = (at(2.0 * step) - at(-2.0 * step)) / (4.0 * step);
            let difference = (4.0 * near - far) / 3.0;
            let error = (difference - verdict.by_weight[j]).abs();
            prop_assert!(error <= 1e-8 * size.max(1.0), "{difference} and {}", verdict.by_weight[j]);
        }
        // The scale of the weights is nothing.
        let double: Vec<f64> = weights.iter().map(|w| 2.0 * w).collect();
        prop_assert!((loss(&double) - verdict.loss).abs() <= 1e-10 * size);
        let along: f64 = verdict.by_weight.iter().zip(&weights).map(|(g, w)| g * w).sum();
        prop_assert!(along.abs() <= 1e-10 * size);
    }
}

/// A weight of zero is a point that is not there.
#[test]
fn no_weight_is_no_point() -> Result<()> {
    let mut rng = Seeds::new(4).stream(0);
    let mut draw = |n: usize| (0..n).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
    let judge = judge(&draw(POINTS * 3), &draw(ASKED * 3), 3, 0, 16)?;
    let mut weights = [1.0; POINTS];
    weights[4] = 0.0;
    let all: Vec<usize> = (0..POINTS).collect();
    let without: Vec<usize> = all.iter().copied().filter(|i| *i != 4).collect();
    let (some, fewer) =
        (judge.verdict(&all, &weights)?, judge.verdict(&without, &[1.0; POINTS - 1])?);
    assert!((some.loss - fewer.loss).abs() < 1e-10, "{} and {}", some.loss, fewer.loss);
    Ok(())
}

#[test]
fn a_judge_refuses_what_it_cannot_weigh() -> Result<()> {
    let rows: Vec<f32> = (0..POINTS * 2).map(|k| (k * k % 7) as f32).collect();
    let judge = judge(&rows, &rows[..ASKED * 2], 2, 0, 8)?;
    let ones = [1.0; 2];
    assert!(matches!(judge.verdict(&[], &[]), Err(Error::Shape { .. })));
    assert!(matches!(judge.verdict(&[0], &ones), Err(Error::Shape { .. })));
    assert!(matches!(judge.verdict(&[0, POINTS], &ones), Err(Error::OutOfRange { .. })));
    for weights in [[0.0, 0.0], [1.0, -1.0], [1.0, f64::NAN], [f64::MAX, f64::MAX]] {
        assert!(matches!(judge.verdict(&[0, 1], &weights), Err(Error::OutOfRange { .. })));
    }
    assert!(matches!(judge.asking(&[]), Err(Error::Shape { .. })));
    assert!(matches!(judge.asking(&[ASKED]), Err(Error::OutOfRange { .. })));
    let numbers = Lesson { rows: &[1.0, 2.0], targets: Targets::Numbers(&[1.0, 2.0]) };
    let labels = Lesson { rows: &[1.0, 2.0], targets: Targets::Classes(&[0, 1], 2) };
    assert!(Judge::new(numbers, labels, 1, 0, Seeds::new(0)).is_err());
    let beyond = Lesson { rows: &[1.0, 2.0], targets: Targets::Classes(&[0, 2], 2) };
    assert!(Judge::new(labels, beyond, 1, 0, Seeds::new(0)).is_err());
    let constant = Lesson { rows: &[3.0, 3.0], targets: Targets::Classes(&[0, 1], 2) };
    assert!(
        Judge::new(constant, labels, 1, 0, Seeds::new(0))?
            .verdict(&[0, 1], &ones)?
            .loss
            .is_finite()
    );
    Ok(())
}

/// On clusters with a fifth of the labels flipped: hardly a flip among the kept, at every size; the same points for any
/// number of threads; without a validation set too.
#[test]
fn flips_are_left_out_at_every_size() -> Result<()> {
    let shape = ClusterOptions { label_noise: 0.2, points: 1200, ..Default::default() };
    let made = clusters(&shape, &mut Seeds::new(2).stream(0))?;
    let flat = |data: &gleaner::Dataset| data.inputs().flatten_all().unwrap().to_vec1().unwrap();
    let (rows, asked) = (flat(&made.train), flat(&made.validation));
    let width = rows.len() / made.train.len();
    let validation = Evidence::new(made.validation.len())
        .with_features(&asked, width)?
        .with_labels(made.validation.labels())?;
    let evidence = Evidence::new(made.train.len())
        .with_features(&rows, width)?
        .with_labels(made.train.labels())?;
    let trusted = evidence.with_validation(&validation);
    for (steps, evidence) in [(0, trusted), (60, trusted), (60, evidence)] {
        let gleaner = Gleaner { steps, ..Default::default() };
        let gleaned = gleaner.look(&evidence, Seeds::new(3))?;
        for count in [20, 60, 240, 600] {
            let chosen = gleaned.choose(count)?.indices;
            let flips = chosen.iter().filter(|i| made.flipped[**i]).count();
            assert!(chosen.len() == count && flips * 20 <= count, "{flips} flips of {count}");
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let again = pool.install(|| gleaner.look(&evidence, Seeds::new(3))?.choose(60))?;
        assert_eq!(again, gleaned.choose(60)?);
    }
    Ok(())
}

/// Each choice in every larger one, flips in none, and the masses of what is believed as weights.
#[test]
fn nested_choices_and_weights() -> Result<()> {
    let shape = ClusterOptions { label_noise: 0.2, points: 1200, ..Default::default() };
    let made = clusters(&shape, &mut Seeds::new(2).stream(0))?;
    let rows: Vec<f32> = made.train.inputs().flatten_all()?.to_vec1()?;
    let evidence = Evidence::new(made.train.len())
        .with_features(&rows, rows.len() / made.train.len())?
        .with_labels(made.train.labels())?;
    let plain = Gleaner { doubt: 0.0, ..Default::default() }.look(&evidence, Seeds::new(3))?;
    let hard = Gleaner { doubt: 0.0, hard: 0.3, weighted: true, ..Default::default() };
    let hard = hard.look(&evidence, Seeds::new(3))?;
    for gleaned in [&plain, &hard] {
        let [large, small, middle] = &gleaned.nested(&[600, 60, 200])?[..] else { panic!() };
        assert_eq!((large.len(), small.len(), middle.len()), (600, 60, 200));
        assert!(large.indices.starts_with(&middle.indices));
        assert!(middle.indices.starts_with(&small.indices));
        let flips = small.indices.iter().filter(|i| made.flipped[**i]).count();
        assert!(flips <= 3, "{flips} flips of 60");
        for choice in [large, small, middle] {
            assert!((choice.weights.iter().sum::<f64>() - choice.len() as f64).abs() < 1e-9);
        }
    }
    assert!(plain.choose(60)?.is_equal() && !hard.choose(60)?.is_equal());
    assert!(hard.nested(&[])?.is_empty() && hard.nested(&[10, 0]).is_err());
    // A weight of one point's mass is 60 over what is believed.
    let believed = hard.unlikely.iter().filter(|wrong| !**wrong).count() as f64;
    for weight in hard.choose(60)?.weights {
        let points = weight * believed / 60.0;
        assert!((points - points.round()).abs() < 1e-6 && points > 0.5, "{points}");
    }
    for (doubt, share) in [(-1.0, 0.0), (f64::NAN, 0.0), (0.4, 1.5), (0.4, f64::NAN)] {
        let wrong = Gleaner { doubt, hard: share, ..Default::default() };
        assert!(matches!(
            wrong.look(&evidence, Seeds::new(3))?.choose(60),
            Err(Error::OutOfRange { .. })
        ));
    }
    Ok(())
}

/// Few points, few classes, features that say nothing, sizes out of all proportion: so many points, or an error.
#[test]
fn odd_data_gives_a_choice_or_an_error() -> Result<()> {
    let mut rng = Seeds::new(5).stream(0);
    let one = Evidence::new(6).with_features(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1)?;
    let alike = one.with_labels(&[0; 6])?;
    assert!(matches!(
        Gleaner::default().select(&alike, 2, &mut rng),
        Err(Error::OutOfRange { .. })
    ));
    assert!(matches!(Gleaner::default().select(&one, 2, &mut rng), Err(Error::Unknown { .. })));
    let two = one.with_labels(&[0, 0, 0, 1, 1, 1])?;
    for count in [0, 7] {
        assert!(matches!(
            Gleaner::default().select(&two, count, &mut rng),
            Err(Error::OutOfRange { .. })
        ));
    }
    let labels: Vec<u32> = (0..30).map(|i| if i == 29 { 2 } else { i % 2 }).collect();
    let kinds: [&dyn Fn(usize) -> f32; 5] = [
        &|_| 7.0,
        &|i| (i / 10) as f32,
        &|i| 1e-38 * i as f32,
        &|i| if i == 3 { 1e30 } else { i as f32 },
        &|i| 1e37 * (i % 5) as f32,
    ];
    for (k, kind) in kinds.iter().enumerate() {
        let rows: Vec<f32> = (0..60).map(kind).collect();
        let evidence = Evidence::new(30).with_features(&rows, 2)?.with_labels(&labels)?;
        for count in [1, 2, 13, 30] {
            let gleaner = Gleaner { steps: 5 * (count % 2), ..Default::default() };
            let chosen = gleaner.select(&evidence, count, &mut rng)?;
            let mut indices = chosen.indices.clone();
            indices.sort_unstable();
            indices.dedup();
            assert_eq!(indices.len(), count, "features {k}");
            assert!(chosen.weights.iter().all(|w| w.is_finite()));
        }
    }
    // As few as there can be.
    let evidence = Evidence::new(2).with_features(&[0.0, 1.0], 1)?.with_labels(&[0, 1])?;
    let settings = CrossFit { folds: 2, ..Default::default() };
    let gleaner = Gleaner { cross_fit: settings, steps: 5, ..Default::default() };
    assert_eq!(gleaner.select(&evidence, 2, &mut rng)?.len(), 2);
    assert_eq!(Random.select(&evidence, 2, &mut rng)?.len(), 2);
    Ok(())
}
