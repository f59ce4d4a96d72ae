//! Metrics against hand-computed values and brute force, and the files that reports are made of.

use std::fs;

use gleaner::Error;
use gleaner::metrics::{accuracy, average_precision, mean_and_std, recall_at, roc_auc, spearman};
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

#[cfg(feature = "report")]
mod report {
    use super::*;
    use gleaner::report::{ChartOptions, Panel, Series, Spread, line_chart, text_table, write_csv};
    use std::path::Path;

    fn cells(row: &[&str]) -> Vec<String> {
        row.iter().map(|&cell| cell.to_owned()).collect()
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn csv_is_quoted_where_needed_and_makes_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/table.csv");
        let rows = [cells(&["1", "plain"]), cells(&["2", "with, comma and \"quotes\""])];
        write_csv(&path, &["id", "text"], rows.into_iter()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "id,text\n1,plain\n2,\"with, comma and \"\"quotes\"\"\"\n");
        write_csv(&path, &["other"], std::iter::empty()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "other\n", "replaced as a whole");
    }

    #[test]
    fn a_failed_csv_leaves_the_old_file_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        write_csv(&path, &["a", "b"], [cells(&["1", "2"])].into_iter()).unwrap();
        let rows = [cells(&["3", "4"]), cells(&["5"])];
        let error = write_csv(&path, &["a", "b"], rows.into_iter()).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        assert!(matches!(write_csv(&path, &[], std::iter::empty()), Err(Error::Shape { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n1,2\n");
        assert_eq!(names_in(folder.path()), ["table.csv"]);
        // A file where a folder should be.
        let error = write_csv(path.join("x.csv"), &["a"], std::iter::empty()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }

    #[test]
    fn text_tables_line_up() {
        let rows =
            [cells(&["k-center", "0.84 ± 0.02", "ok"]), cells(&["é", "−1", ""]), cells(&["short"])];
        let expected = "\
name         accuracy  note
--------  -----------  ----
k-center  0.84 ± 0.02  ok
é                  −1
short
";
        assert_eq!(text_table(&["name", "accuracy", "note"], &rows), expected);
        assert_eq!(text_table(&["a"], &[]), "a\n-\n");
        assert_eq!(text_table(&[], &[]), "\n\n");
    }

    fn series(name: &str, level: f64) -> Series {
        let xs = [0.01, 0.02, 0.05, 0.1, 0.2];
        let points = xs.map(|x: f64| (x, level + 0.1 * x.log10(), 0.01)).to_vec();
        Series { name: name.to_owned(), points }
    }

    fn panels(names: usize) -> Vec<Panel> {
        let all = |shift: f64| {
            (0..names)
                .map(|k| series(&format!("series <{k}>"), 0.9 - 0.03 * k as f64 - shift))
                .collect()
        };
        vec![
            Panel { title: "clean".into(), series: all(0.0) },
            Panel { title: "noisy".into(), series: all(0.1) },
        ]
    }

    fn options() -> ChartOptions {
        ChartOptions {
            title: "What is kept".into(),
            x_label: "share kept".into(),
            y_label: "test accuracy".into(),
            x_log: true,
            x_percent: true,
            y_percent: true,
            ..Default::default()
        }
    }

    fn drawn(options: &ChartOptions, panels: &[Panel]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures/chart.svg");
        line_chart(&path, options, panels).unwrap();
        assert_eq!(names_in(path.parent().unwrap()), ["chart.svg"]);
        fs::read_to_string(path).unwrap()
    }

    /// The attribute of every element that has it, as numbers.
    fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
        let opening = format!(" {attribute}=\"");
        let parts = svg.split(&opening).skip(1);
        parts.map(|part| part.split('"').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn a_chart_names_everything_once_and_stays_on_its_page() {
        let svg = drawn(&ChartOptions { y_percent: false, ..options() }, &panels(14));
        assert!(svg.starts_with("<svg width=\"960\"") && svg.trim_end().ends_with("</svg>"));
        let texts: Vec<&str> = svg.lines().filter(|line| !line.starts_with('<')).collect();
        for text in ["What is kept", "test accuracy", "clean", "noisy", "series &lt;13&gt;"] {
            assert_eq!(texts.iter().filter(|line| **line == text).count(), 1, "{text}");
        }
        for text in ["share kept", "1%", "2%", "5%", "10%", "20%"] {
            assert_eq!(texts.iter().filter(|line| **line == text).count(), 2, "{text}");
        }
        let (width, height) = (numbers(&svg, "width")[0], numbers(&svg, "height")[0]);
        assert!(numbers(&svg, "x").iter().all(|&x| (0.0..=width).contains(&x)));
        assert!(numbers(&svg, "y").iter().all(|&y| (0.0..=height).contains(&y)));
        assert!(numbers(&svg, "cx").iter().all(|&x| (0.0..=width).contains(&x)));
    }

    #[test]
    fn every_kind_of_spread_draws_and_drawing_repeats_itself() {
        for spread in [Spread::Bars, Spread::Band, Spread::Hidden] {
            let options = ChartOptions { spread, x_log: false, shared_y: false, ..options() };
            let svg = drawn(&options, &panels(3));
            assert_eq!(svg, drawn(&options, &panels(3)), "{spread:?}");
        }
    }

    #[test]
    fn odd_ranges_draw() {
        let one = |points: Vec<(f64, f64, f64)>| {
            vec![Panel { title: String::new(), series: vec![Series { name: "a".into(), points }] }]
        };
        let many: Vec<_> = (1..500).map(|k| (f64::from(k), 1.0 / f64::from(k), 0.0)).collect();
        for (x_log, points) in [
            (false, vec![(0.0, 0.0, 0.0)]),
            (true, vec![(5.0, 1e9, 0.0)]),
            (false, vec![(-1e300, -1e300, 0.0), (1e300, 1e300, 0.0)]),
            (true, vec![(1e-12, 0.0, 0.0), (1e12, 1e-9, 0.0)]),
            (false, many.clone()),
            (true, many),
        ] {
            let svg = drawn(&ChartOptions { x_log, ..Default::default() }, &one(points));
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn charts_that_cannot_be_read_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        let refused = |options: &ChartOptions, points: Vec<(f64, f64, f64)>| {
            let series = vec![Series { name: "a".into(), points }];
            line_chart(&path, options, &[Panel { title: String::new(), series }]).unwrap_err()
        };
        let (plain, log) = (ChartOptions::default(), options());
        let narrow = ChartOptions { panel_width: 199, ..Default::default() };
        assert!(matches!(line_chart(&path, &plain, &[]).unwrap_err(), Error::Shape { .. }));
        let empty = Panel { title: String::new(), series: vec![] };
        assert!(matches!(line_chart(&path, &plain, &[empty]).unwrap_err(), Error::Shape { .. }));
        assert!(matches!(refused(&plain, vec![]), Error::Shape { .. }));
        let not_finite = refused(&plain, vec![(0.0, 0.0, 0.0), (0.0, f64::NAN, 0.0)]);
        assert!(matches!(not_finite, Error::NotFinite { row: 1, column: 1, .. }));
        assert!(matches!(refused(&plain, vec![(0.0, 0.0, -1.0)]), Error::OutOfRange { .. }));
        assert!(matches!(refused(&log, vec![(0.0, 0.0, 0.0)]), Error::OutOfRange { .. }));
        assert!(matches!(refused(&narrow, vec![(0.0, 0.0, 0.0)]), Error::OutOfRange { .. }));
        assert!(names_in(folder.path()).is_empty());
    }
}
