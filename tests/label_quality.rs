//! Evidence out of fold, confident learning, and what it is good for.

use approx::assert_relative_eq;
use gleaner::choose::{ClassBalanced, CrossFit, Evidence, OutOfFold, Random, Shares};
use gleaner::data::synthetic::{ClusterOptions, Clusters, clusters};
use gleaner::experiment::metrics::average_precision;
use gleaner::value::{ConfidentLearning, Trusted};
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

/// Every fold against a refit of its own, written down plainly: 1e-5, for probabilities come in f32.
#[test]
fn each_fold_is_judged_by_the_others_alone() {
    let mut rng = Seeds::new(3).stream(0);
    let (n, width, classes) = (40, 3, 3);
    let features: Vec<f32> = (0..n * width).map(|_| rng.random_range(-1.0..1.0)).collect();
    let labels: Vec<u32> = (0..n).map(|_| rng.random_range(0..3)).collect();
    let settings = CrossFit { folds: 4, fourier: 0, neighbours: 0 };
    let found = settings.classes(&features, width, &labels, classes, Seeds::new(5)).unwrap();
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
        let ridge = found.ridge * gram.trace() / (width + 1) as f64;
        let a = gram + DMatrix::identity(width + 1, width + 1) * ridge;
        let scores = phi.row(i) * a.lu().solve(&(rows.transpose() * targets)).unwrap();
        let powers: Vec<f64> = scores.iter().map(|s| (s / found.temperature).exp()).collect();
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
    let settings = CrossFit { folds: 2, fourier: 0, neighbours: 1 };
    let of = |labels: &[u32]| {
        settings.classes(&[0.0, 1.0, 10.0, 11.0], 1, labels, 2, Seeds::new(0)).unwrap()
    };
    assert_eq!(of(&[0, 0, 1, 1]).votes, [0.75, 0.25, 0.75, 0.25, 0.25, 0.75, 0.25, 0.75]);
    let seen = of(&[0, 1, 1, 1]);
    assert_eq!(seen.votes[..4], [0.25, 0.75, 0.75, 0.25]);
    let alone = CrossFit { neighbours: 0, ..settings };
    let alone = alone.classes(&[0.0, 1.0, 10.0, 11.0], 1, &[0, 1, 1, 1], 2, Seeds::new(0)).unwrap();
    assert!(alone.votes.is_empty());
    for (k, p) in seen.probabilities.iter().enumerate() {
        assert_relative_eq!(*p, 0.5 * (alone.probabilities[k] + seen.votes[k]), epsilon = 1e-6);
    }
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
