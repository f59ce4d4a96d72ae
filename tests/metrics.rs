//! Metrics against hand-computed values and brute force.

use gleaner::Error;
use gleaner::experiment::metrics::{
    accuracy, average_precision, mean_and_std, recall_at, roc_auc, spearman,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Scores among few values, so that ties abound, with marks of both kinds.
fn tied_sample(rng: &mut ChaCha8Rng) -> (Vec<f64>, Vec<bool>) {
    let n = rng.random_range(2..30);
    let scores = (0..n).map(|_| f64::from(rng.random_range(-3..4))).collect();
    let mut positive: Vec<bool> = (0..n).map(|_| rng.random_bool(0.4)).collect();
    (positive[0], positive[1]) = (true, false);
    (scores, positive)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[test]
fn accuracy_counts_matches() {
    assert_eq!(accuracy(&[1], &[1]).unwrap(), 1.0);
    assert_eq!(accuracy(&[1, 2, 3, 4], &[1, 0, 0, 0]).unwrap(), 0.25);
    assert!(matches!(accuracy(&[], &[]).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(accuracy(&[1], &[1, 2]).unwrap_err(), Error::Shape { .. }));
}

#[test]
fn average_precision_on_known_cases() {
    let cases: [(&str, &[f64], &[bool], f64); 6] = [
        ("perfect", &[3.0, 2.0, 1.0], &[true, true, false], 1.0),
        ("worst", &[3.0, 2.0, 1.0], &[false, false, true], 1.0 / 3.0),
        ("mixed", &[0.1, 0.4, 0.35, 0.8], &[false, false, true, true], (1.0 + 2.0 / 3.0) / 2.0),
        ("all equal", &[1.0; 4], &[true, false, false, false], 0.25),
        // Thresholds 2 (1 of 1), 1 (2 of 3): 1/2 * 1 + 1/2 * 2/3.
        ("tie at the end", &[1.0, 2.0, 1.0], &[true, true, false], 5.0 / 6.0),
        ("signed zeros are equal", &[0.0, -0.0], &[true, false], 0.5),
    ];
    for (name, scores, positive, expected) in cases {
        let found = average_precision(scores, positive).unwrap();
        assert!(close(found, expected), "{name}: {found}, not {expected}");
    }
}

#[test]
fn average_precision_is_the_sum_over_thresholds() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..200 {
        let (scores, positive) = tied_sample(&mut rng);
        let positives = positive.iter().filter(|&&mark| mark).count() as f64;
        let (mut expected, mut recall_before) = (0.0, 0.0);
        for threshold in (-3..4).rev().map(f64::from) {
            let chosen = |i: &usize| scores[*i] >= threshold;
            let above: Vec<usize> = (0..scores.len()).filter(chosen).collect();
            let hits = above.iter().filter(|&&i| positive[i]).count() as f64;
            if !above.is_empty() {
                expected += (hits / positives - recall_before) * hits / above.len() as f64;
                recall_before = hits / positives;
            }
        }
        assert!(close(average_precision(&scores, &positive).unwrap(), expected));
    }
}

#[test]
fn roc_auc_is_the_share_of_ordered_pairs() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..200 {
        let (scores, positive) = tied_sample(&mut rng);
        let (mut pairs, mut won) = (0.0, 0.0);
        for i in (0..scores.len()).filter(|&i| positive[i]) {
            for j in (0..scores.len()).filter(|&j| !positive[j]) {
                pairs += 1.0;
                won += match scores[i].total_cmp(&scores[j]) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        assert!(close(roc_auc(&scores, &positive).unwrap(), won / pairs));
    }
    assert_eq!(roc_auc(&[0.0, -0.0], &[true, false]).unwrap(), 0.5);
}

#[test]
fn recall_at_averages_over_ways_to_break_a_tie() {
    let scores = [5.0, 4.0, 4.0, 4.0, 1.0];
    let positive = [false, true, false, true, true];
    // After the first point, each of the three tied ones is a positive with chance 2/3.
    let expected = [0.0, 2.0 / 9.0, 4.0 / 9.0, 2.0 / 3.0, 1.0];
    for (k, expected) in (1..).zip(expected) {
        let found = recall_at(&scores, &positive, k).unwrap();
        assert!(close(found, expected), "k = {k}: {found}, not {expected}");
    }
    for k in [0, 6] {
        let error = recall_at(&scores, &positive, k).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { what: "k", .. }));
    }
}

#[test]
fn ranking_metrics_do_not_depend_on_the_order_of_points() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..50 {
        let (mut scores, mut positive) = tied_sample(&mut rng);
        let all = |scores: &[f64], positive: &[bool]| {
            [
                average_precision(scores, positive).unwrap(),
                roc_auc(scores, positive).unwrap(),
                recall_at(scores, positive, scores.len() / 2).unwrap(),
            ]
        };
        let before = all(&scores, &positive);
        scores.reverse();
        positive.reverse();
        let after = all(&scores, &positive);
        assert!(before.iter().zip(after).all(|(a, b)| close(*a, b)), "{before:?} {after:?}");
    }
}

#[test]
fn bad_rankings_are_refused() {
    type Metric = fn(&[f64], &[bool]) -> gleaner::Result<f64>;
    let metrics: [(&str, Metric); 3] = [
        ("average_precision", average_precision),
        ("roc_auc", roc_auc),
        ("recall_at", |scores, positive| recall_at(scores, positive, 1)),
    ];
    for (name, metric) in metrics {
        let refused = |scores: &[f64], positive: &[bool]| metric(scores, positive).unwrap_err();
        assert!(matches!(refused(&[], &[]), Error::Shape { .. }), "{name}");
        assert!(matches!(refused(&[1.0], &[true, false]), Error::Shape { .. }), "{name}");
        assert!(matches!(refused(&[1.0, 2.0], &[false; 2]), Error::OutOfRange { .. }), "{name}");
        for bad in [f64::NAN, f64::INFINITY] {
            let error = refused(&[1.0, bad], &[true, false]);
            assert!(matches!(error, Error::NotFinite { row: 1, .. }), "{name}: {error}");
        }
    }
    assert!(matches!(roc_auc(&[1.0], &[true]).unwrap_err(), Error::OutOfRange { .. }));
}

#[test]
fn mean_and_sample_deviation() {
    let (mean, std) = mean_and_std(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
    assert!(close(mean, 5.0) && close(std, (32.0f64 / 7.0).sqrt()));
    assert_eq!(mean_and_std(&[3.5]), (3.5, 0.0));
    assert!(mean_and_std(&[]).0.is_nan() && mean_and_std(&[]).1.is_nan());
    assert!(mean_and_std(&[1.0, f64::NAN]).0.is_nan() && mean_and_std(&[f64::NAN]).1.is_nan());
    // Large offset: the two-pass formula keeps the deviation.
    assert!(close(mean_and_std(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]).1, 1.0));
}

#[test]
fn spearman_on_known_cases() {
    let cases: [(&str, &[f64], &[f64], f64); 5] = [
        ("same order", &[1.0, 5.0, 2.0], &[0.1, 9.0, 0.2], 1.0),
        ("reversed", &[1.0, 2.0, 3.0], &[3.0, 2.0, -8.0], -1.0),
        // Without ties 1 - 6 sum d^2 / (n (n^2 - 1)), here d = (1, 1, 0, 0, 0).
        ("one swap", &[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 3.0, 4.0, 5.0], 0.9),
        ("no relation", &[1.0, 2.0, 3.0, 4.0], &[2.0, 4.0, 1.0, 3.0], 0.0),
        // Ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5 / sqrt(4.5 * 5).
        ("tie", &[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0], 0.9f64.sqrt()),
    ];
    for (name, a, b, expected) in cases {
        assert!(close(spearman(a, b).unwrap(), expected), "{name}");
        assert!(close(spearman(b, a).unwrap(), expected), "{name}, swapped");
    }
}

#[test]
fn bad_lists_have_no_rank_correlation() {
    assert!(matches!(spearman(&[1.0], &[1.0, 2.0]).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(spearman(&[], &[]).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(spearman(&[1.0], &[1.0]).unwrap_err(), Error::OutOfRange { .. }));
    assert!(matches!(spearman(&[1.0, 1.0], &[1.0, 2.0]).unwrap_err(), Error::OutOfRange { .. }));
    let error = spearman(&[1.0, 2.0], &[1.0, f64::NAN]).unwrap_err();
    assert!(matches!(error, Error::NotFinite { what: "second list", row: 1, .. }), "{error}");
}
