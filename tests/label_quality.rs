//! Evidence out of fold, confident learning, and what it is good for.

use approx::assert_relative_eq;
use candle_core::{DType, Device};
use gleaner::choose::{ClassBalanced, CrossFit, Evidence, JudgedBy, OutOfFold, Random, Shares};
use gleaner::data::Dataset;
use gleaner::data::synthetic::{ClusterOptions, Clusters, clusters};
use gleaner::experiment::metrics::average_precision;
use gleaner::learn::{Length, Mlp, MlpOptions, Sampling, Training, TrainingOptions};
use gleaner::value::{BelowThreshold, ConfidentLearning, ThresholdSamples, Trusted};
use gleaner::{Error, Seeds, Strategy};
use nalgebra::DMatrix;
use rand::Rng;

/// Flipped labels, a fifth of them.
fn noisy(seed: u64) -> (Clusters, Vec<f32>) {
    let shape = ClusterOptions { label_noise: 0.2, points: 1500, ..Default::default() };
    let made = clusters(&shape, &mut Seeds::new(seed).stream(0)).unwrap();
    let features = made.train.inputs().flatten_all().unwrap().to_vec1().unwrap();
    (made, features)
}

fn cross_fit(made: &Clusters, features: &[f32], settings: CrossFit) -> OutOfFold {
    let width = features.len() / made.train.len();
    settings
        .classes(features, width, made.train.labels(), made.train.classes(), Seeds::new(1))
        .unwrap()
}

/// Every fold against a refit of its own, written down plainly, with more points than features and with fewer: 1e-5, for
/// probabilities come in f32.
#[test]
fn each_fold_is_judged_by_the_others_alone() {
    [3, 45].into_iter().for_each(refitted);
}

fn refitted(width: usize) {
    let mut rng = Seeds::new(3).stream(0);
    let (n, classes) = (40, 3);
    let features: Vec<f32> = (0..n * width).map(|_| rng.random_range(-1.0..1.0)).collect();
    let labels: Vec<u32> = (0..n).map(|_| rng.random_range(0..3)).collect();
    let settings = CrossFit { folds: 4, linear: true, fourier: 0, neighbours: 0 };
    let found = settings.classes(&features, width, &labels, classes, Seeds::new(5)).unwrap();
    let [(JudgedBy::Linear { ridge, temperature }, 1.0)] = found.judges[..] else {
        panic!("{:?}", found.judges)
    };
    for fold in 0..4 {
        assert!(found.folds.iter().filter(|f| **f == fold).count() == 10, "{:?}", found.folds);
    }
    let column = |j: usize| (0..n).map(move |i| i * width + j);
    let mean = |j: usize| column(j).map(|k| f64::from(features[k])).sum::<f64>() / n as f64;
    let deviation = |j: usize| {
        let squares = column(j).map(|k| (f64::from(features[k]) - mean(j)).powi(2));
        (squares.sum::<f64>() / n as f64).sqrt()
    };
    let phi = DMatrix::from_fn(n, width + 1, |i, j| match j {
        j if j == width => 1.0,
        j => (f64::from(features[i * width + j]) - mean(j)) / deviation(j),
    });
    let y = DMatrix::from_fn(n, classes, |i, c| f64::from(labels[i] as usize == c));
    for i in 0..n {
        let others: Vec<usize> = (0..n).filter(|k| found.folds[*k] != found.folds[i]).collect();
        let (rows, targets) = (phi.select_rows(&others), y.select_rows(&others));
        let gram = rows.transpose() * &rows;
        let ridge = ridge * gram.trace() / (width + 1) as f64;
        let a = gram + DMatrix::identity(width + 1, width + 1) * ridge;
        let scores = phi.row(i) * a.lu().solve(&(rows.transpose() * targets)).unwrap();
        let powers: Vec<f64> = scores.iter().map(|s| (s / temperature).exp()).collect();
        for (c, power) in powers.iter().enumerate() {
            let p = f64::from(found.probabilities[i * classes + c]);
            assert_relative_eq!(p, power / powers.iter().sum::<f64>(), epsilon = 1e-5);
        }
    }
}

/// A fifth of the labels flipped: out of fold they stand out, far above what chance would give, and the estimated
/// noise is near the true one.
#[test]
fn flipped_labels_are_found() {
    for seed in 0..3 {
        let (made, features) = noisy(seed);
        let seen = cross_fit(&made, &features, CrossFit { fourier: 256, ..Default::default() });
        let evidence = Evidence::new(made.train.len())
            .with_probabilities(&seen.probabilities, seen.classes)
            .and_then(|evidence| evidence.with_labels(made.train.labels()))
            .unwrap();
        let found = ConfidentLearning::of(&evidence).unwrap();
        let precision = average_precision(&found.suspicion, &made.flipped).unwrap();
        assert!(precision > 0.9, "seed {seed}: average precision {precision}");
        let true_noise =
            made.flipped.iter().filter(|f| **f).count() as f64 / made.flipped.len() as f64;
        let noise = found.noise();
        assert!((noise - true_noise).abs() < 0.06, "seed {seed}: {noise} of {true_noise}");
        assert_relative_eq!(found.joint.sum(), 1.0, epsilon = 1e-12);

        // What a strategy keeps of the rest has few of them.
        let inner = ClassBalanced::new(Random, Shares::Proportional);
        let choice =
            Trusted::new(inner).select(&evidence, 300, &mut Seeds::new(0).stream(0)).unwrap();
        let wrong = choice.indices.iter().filter(|i| made.flipped[**i]).count();
        assert!(wrong < 30, "seed {seed}: {wrong} of 300, where chance has 60");
    }
}

/// Equal seeds, equal bits, whatever the threads.
#[test]
fn equal_seeds_give_equal_bits_for_any_number_of_threads() {
    let (made, features) = noisy(0);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| cross_fit(&made, &features, CrossFit { fourier: 64, ..Default::default() }))
    };
    assert_eq!(run(1), run(3));
}

/// One class, a class of one point, constant features, numbers that are none, more folds than points.
#[test]
fn odd_data_is_judged_or_refused() {
    let fit = |features: &[f32], labels: &[u32], classes: usize, folds: usize| {
        let settings = CrossFit { folds, fourier: 16, ..Default::default() };
        settings.classes(features, 1, labels, classes, Seeds::new(0))
    };
    let refused = [
        fit(&[0.0, 1.0], &[0, 0], 1, 2),
        fit(&[0.0, 1.0], &[0, 2], 2, 2),
        fit(&[0.0, 1.0], &[0, 1], 2, 3),
        fit(&[0.0, 1.0], &[0, 1], 2, 1),
        fit(&[], &[], 2, 2),
    ];
    for (k, found) in refused.into_iter().enumerate() {
        assert!(matches!(found, Err(Error::OutOfRange { .. })), "{k}: {found:?}");
    }
    assert!(matches!(fit(&[0.0, f32::NAN], &[0, 1], 2, 2), Err(Error::NotFinite { .. })));
    assert!(matches!(fit(&[0.0], &[0, 1], 2, 2), Err(Error::Shape { .. })));
    for (features, labels) in [
        (vec![7.0; 9], vec![0, 1, 0, 1, 0, 1, 0, 1, 0]), // nothing to tell them by
        (vec![1e30, -1e30, 1e30, -1e30, 0.0], vec![0, 1, 0, 1, 2]), // a class of one
        (vec![1e-30, 2e-30, 3e-30, 4e-30], vec![0, 0, 1, 1]),
        (vec![0.0, 1.0, 2.0, 3.0], vec![1, 1, 1, 1]), // the other class is empty
    ] {
        let found = fit(&features, &labels, 3, 2).unwrap();
        assert!(found.probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{found:?}");
        let evidence = Evidence::new(labels.len())
            .with_probabilities(&found.probabilities, 3)
            .and_then(|evidence| evidence.with_labels(&labels))
            .unwrap();
        let noise = ConfidentLearning::of(&evidence).unwrap().noise();
        assert!((-1e-12..=1.0).contains(&noise), "{noise}");
    }
}

/// Two pairs on a line, one neighbour each: a half for the neighbour's class, a half shared out.
#[test]
fn votes_by_hand() {
    let settings = CrossFit { folds: 2, linear: true, fourier: 0, neighbours: 1 };
    let of = |labels: &[u32]| {
        settings.classes(&[0.0, 1.0, 10.0, 11.0], 1, labels, 2, Seeds::new(0)).unwrap()
    };
    assert_eq!(of(&[0, 0, 1, 1]).votes, [0.75, 0.25, 0.75, 0.25, 0.25, 0.75, 0.25, 0.75]);
    let seen = of(&[0, 1, 1, 1]);
    assert_eq!(seen.votes[..4], [0.25, 0.75, 0.75, 0.25]);
    let alone = CrossFit { neighbours: 0, ..settings };
    let alone = alone.classes(&[0.0, 1.0, 10.0, 11.0], 1, &[0, 1, 1, 1], 2, Seeds::new(0)).unwrap();
    assert!(alone.votes.is_empty());
    let [(_, linear), (JudgedBy::Local, local)] = seen.judges[..] else {
        panic!("{:?}", seen.judges)
    };
    assert_relative_eq!(linear + local, 1.0, epsilon = 1e-12);
    for (k, p) in seen.probabilities.iter().enumerate() {
        let mixed = linear * f64::from(alone.probabilities[k]) + local * f64::from(seen.votes[k]);
        assert_relative_eq!(f64::from(*p), mixed, epsilon = 1e-6);
    }
}

/// More features than the linear judge takes, of which one in ten leans to the class: folded among noise they still tell.
/// Without a judge there is no verdict.
#[test]
fn wide_features_are_folded() {
    let (n, width) = (300, 2500);
    let mut rng = Seeds::new(2).stream(0);
    let labels: Vec<u32> = (0..n).map(|i| i % 2).collect();
    let mut leaning = |label: u32, j: usize| {
        let lean = if j.is_multiple_of(10) { label as f32 - 0.5 } else { 0.0 };
        lean + rng.random_range(-1.0f32..1.0)
    };
    let features: Vec<f32> = labels
        .iter()
        .flat_map(|y| (0..width).map(|j| leaning(*y, j)).collect::<Vec<_>>())
        .collect();
    let settings = CrossFit { fourier: 0, neighbours: 0, ..Default::default() };
    let found = settings.classes(&features, width, &labels, 2, Seeds::new(0)).unwrap();
    let right = found.likely().iter().zip(&labels).filter(|(a, b)| a == b).count();
    assert!(right > 250, "{right} of {n}: {:?}", found.judges);
    let none = CrossFit { linear: false, ..settings };
    let refused = none.classes(&features, width, &labels, 2, Seeds::new(0));
    assert!(matches!(refused, Err(Error::OutOfRange { .. })), "{refused:?}");
}

/// What each kind of suspect leaves out of five points: the fourth label is unlikely, the fifth merely in doubt.
#[test]
fn suspects_by_hand() {
    use gleaner::value::Suspects;
    let p = [0.9, 0.1, 0.8, 0.2, 0.2, 0.8, 0.7, 0.3, 0.4, 0.6];
    let labels = [0, 0, 1, 1, 1];
    let evidence =
        Evidence::new(5).with_probabilities(&p, 2).unwrap().with_labels(&labels).unwrap();
    let evidence = evidence.with_features(&[0.0, 1.0, 10.0, 2.0, 11.0], 1).unwrap();
    let margins = [1.0, 1.0, 1.0, -1.0, 0.5];
    let evidence = evidence.with_margins(&margins).unwrap();
    for suspects in [Suspects::Unlikely(0.0), Suspects::Neighbours(2), Suspects::Margins] {
        let mut rng = Seeds::new(0).stream(0);
        let strategy = Trusted::beyond(suspects, Random);
        let mut chosen = strategy.select(&evidence, 4, &mut rng).unwrap().indices;
        assert_eq!(strategy.select(&evidence, 5, &mut rng).unwrap().indices[4], 3, "{suspects:?}");
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2, 4], "{suspects:?}");
    }
}

/// A learner of one class more than there are, trained with the labels of a run and watched all along.
fn watched(made: &Clusters, run: &ThresholdSamples, seed: u64) -> BelowThreshold {
    let inputs = made.train.inputs();
    let data = Dataset::new(inputs.clone(), run.labels.clone(), run.classes).unwrap();
    let shape = MlpOptions { inputs: 10, hidden: vec![64], classes: run.classes };
    let learner = Mlp::new(&shape, seed, DType::F32, &Device::Cpu).unwrap();
    let recipe = TrainingOptions { length: Length::Epochs(40), ..Default::default() };
    let mut training =
        Training::new(&learner, &data, Sampling::All, &recipe, seed).unwrap().with_history();
    while !training.is_finished() {
        training.epoch(|_| {}).unwrap();
    }
    let margins = training.into_history().unwrap().margins;
    let evidence = Evidence::new(run.labels.len()).with_margins(&margins).unwrap();
    run.judged(&evidence.with_labels(&run.labels).unwrap()).unwrap()
}

/// A fifth of the labels flipped. Who calls every label wrong has an F1 of a third, and who tosses a coin less; the
/// threshold, which nobody was told, has to do far better, by what it calls wrong as well as by what it leaves.
#[test]
fn threshold_samples_find_flipped_labels() {
    for seed in 0..3 {
        let (made, _) = noisy(seed);
        let mut rng = Seeds::new(seed).stream(1);
        let runs =
            ThresholdSamples::pair(made.train.labels(), made.train.classes(), &mut rng).unwrap();
        let wrong = ThresholdSamples::wrong_of_pair(&runs.map(|run| watched(&made, &run, seed)));
        let pairs: Vec<(bool, bool)> =
            wrong.unwrap().into_iter().zip(made.flipped.iter().copied()).collect();
        let count = |of: &dyn Fn(&(bool, bool)) -> bool| pairs.iter().filter(|p| of(p)).count();
        let hits = count(&|(wrong, flipped)| *wrong && *flipped) as f64;
        let (called, flipped) = (count(&|(wrong, _)| *wrong), count(&|(_, flipped)| *flipped));
        let (precision, recall) = (hits / called as f64, hits / flipped as f64);
        let f1 = 2.0 * precision * recall / (precision + recall);
        println!("seed {seed}: F1 {f1:.3}, precision {precision:.3}, recall {recall:.3}");
        assert!(f1 > 0.6, "seed {seed}: F1 {f1}, precision {precision}, recall {recall}");
    }
}

/// Ten points of four classes: two samples a run. The 99th percentile of two areas lies 0.99 of the way up.
#[test]
fn thresholds_by_hand() {
    let labels = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1];
    let mut rng = Seeds::new(2).stream(0);
    let runs = ThresholdSamples::pair(&labels, 4, &mut rng).unwrap();
    for run in &runs {
        assert_eq!((run.samples.len(), run.classes), (2, 5));
        for (i, label) in labels.iter().enumerate() {
            let expected = if run.samples.contains(&i) { 4 } else { *label };
            assert_eq!(run.labels[i], expected);
        }
    }
    let [a, b] = [runs[0].samples[0], runs[0].samples[1]];
    assert!(!runs[1].samples.contains(&a) && !runs[1].samples.contains(&b));

    // Two epochs: areas are the means, -2 and 0 of the samples, the others' 0 and 2 by turns.
    let others: Vec<usize> = (0..10).filter(|i| *i != a && *i != b).collect();
    let mut margins = vec![0.0f32; 20];
    (margins[a], margins[10 + a]) = (-3.0, -1.0);
    (margins[b], margins[10 + b]) = (-1.0, 1.0);
    for (k, i) in others.iter().enumerate() {
        let area = [0.0, 2.0, -0.5, -0.01, -0.03][k % 5];
        (margins[*i], margins[10 + i]) = (area - 4.0, area + 4.0);
    }
    let evidence = Evidence::new(10).with_margins(&margins).unwrap();
    let first = runs[0].judged(&evidence).unwrap();
    assert_relative_eq!(first.threshold, -0.02, epsilon = 1e-6);
    assert_eq!((first.wrong[a], first.wrong[b]), (None, None));
    assert_relative_eq!(first.areas[a], -2.0, epsilon = 1e-6);
    for (k, i) in others.iter().enumerate() {
        assert_eq!(first.wrong[*i], Some([false, false, true, false, true][k % 5]), "{k}");
    }

    // Of the second run only the first one's samples count.
    let mut margins = [1.0f32; 10];
    margins[a] = 0.0;
    let second = runs[1].judged(&Evidence::new(10).with_margins(&margins).unwrap()).unwrap();
    let wrong = ThresholdSamples::wrong_of_pair(&[first.clone(), second]).unwrap();
    assert!(wrong[a] && !wrong[b]);
    others.iter().for_each(|i| assert_eq!(Some(wrong[*i]), first.wrong[*i]));

    // Margins of other points or labels, none at all, and data that cannot be drawn from.
    let of = |evidence: gleaner::Result<Evidence>| runs[0].judged(&evidence.unwrap());
    let short = of(Evidence::new(9).with_margins(&[0.0; 9]));
    assert!(matches!(short, Err(Error::Shape { .. })), "{short:?}");
    let given = of(Evidence::new(10).with_margins(&margins).unwrap().with_labels(&labels));
    assert!(matches!(given, Err(Error::Shape { .. })), "{given:?}");
    let bare = of(Ok(Evidence::new(10)));
    assert!(matches!(bare, Err(Error::Unknown { .. })), "{bare:?}");
    for (labels, classes) in [(&[0][..], 2), (&[], 2), (&[0, 0], 1), (&[0, 2], 2)] {
        let found = ThresholdSamples::pair(labels, classes, &mut rng);
        assert!(matches!(found, Err(Error::OutOfRange { .. })), "{labels:?}, {classes}: {found:?}");
    }
    // Two points: one a run.
    let [first, second] = ThresholdSamples::pair(&[0, 1], 2, &mut rng).unwrap();
    assert_ne!(first.samples, second.samples);
    assert_eq!((first.samples.len(), second.samples.len()), (1, 1));
}
