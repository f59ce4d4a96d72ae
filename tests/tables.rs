//! Outcomes on paper: what stands in which cell, by hand.

use std::fs;
use std::path::Path;

use gleaner::Result;
use gleaner::experiment::tables::{
    Grid, Measured, Number, report_active_learning, report_comparison, report_core_sets,
};
use gleaner::experiment::{Chooser, Comparison, CoreSet, Level, Outcome, RankAgreement, Seconds};

fn outcome(strategy: &str, chooser: Chooser, fraction: f64, seed: u64, error: f64) -> Outcome {
    Outcome {
        strategy: strategy.into(),
        chooser,
        fraction,
        points: (100.0 * fraction) as usize,
        seed,
        error,
        flipped: None,
        seconds: Seconds { training: 1.0, selection: 0.5, target: 2.0 },
    }
}

/// A line of the text that begins with these words, its blanks made one.
fn line<'a>(text: &'a str, start: &str) -> String {
    let found = text.lines().find(|line| line.starts_with(start));
    let words: Vec<&'a str> = found.unwrap_or_default().split_whitespace().collect();
    words.join(" ")
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn a_line_that_does_not_vary_stands_in_every_column() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Chooser::Nobody;
    let seeds = [0, 1].map(|seed| {
        let shift = 0.1 * seed as f64;
        let flipped = Some(0.25);
        let outcomes = vec![
            outcome("random", nobody, 0.1, seed, 0.4 + shift),
            Outcome { flipped, ..outcome("random", nobody, 0.2, seed, 0.2) },
            outcome("full data", nobody, 1.0, seed, 0.1),
        ];
        let mut found = Comparison::default();
        found.outcomes = outcomes;
        found
    });
    let levels = [Level { noise: 0.2, seeds: seeds.into() }];
    let text = report_comparison(folder.path(), "Clusters", &[0.1, 0.2], &levels)?;
    assert!(text.contains("Clusters, 20 % of the labels flipped: test accuracy"), "{text}");
    assert!(text.contains("over 2 seeds"), "{text}");
    assert_eq!(line(&text, "random"), "random 0.550 ± 0.071 0.800 ± 0.000 25.0 % 3.5");
    assert_eq!(line(&text, "full data"), "full data 0.900 ± 0.000 0.900 ± 0.000 - 3.5");
    let summary = read(folder.path(), "summary.csv");
    assert!(summary.starts_with("method,noise,fraction,accuracy_mean,accuracy_std,seconds\n"));
    assert!(summary.contains("random,0.2000,0.1000,0.5500,0.0707,3.5000\n"), "{summary}");
    let seeds = read(folder.path(), "seeds.csv");
    assert!(seeds.contains("random,0.2,0.2,1,0.80000,0.25000,1.500,2.000\n"), "{seeds}");
    assert_eq!(read(folder.path(), "detection.csv").lines().count(), 1);
    assert!(read(folder.path(), "accuracy.svg").contains("full data"));
    Ok(())
}

#[test]
fn the_proxys_choice_stands_beside_the_targets_own() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let slow = Seconds { training: 4.0, selection: 0.5, target: 2.0 };
    let by_target = Outcome { seconds: slow, ..outcome("entropy", Chooser::Target, 0.3, 0, 0.25) };
    let outcomes = vec![
        outcome("entropy", Chooser::Proxy, 0.3, 0, 0.3),
        outcome("random", Chooser::Nobody, 0.3, 0, 0.5),
        by_target,
    ];
    let (strategy, correlation) = ("entropy".to_string(), Some(0.5));
    let (proxy, target) = (vec![1.0, 2.0, 3.0], vec![1.0, 3.0, 2.0]);
    let agreements = vec![RankAgreement { strategy, correlation, proxy, target }];
    let found = [CoreSet { outcomes, agreements }];
    let text = report_core_sets(folder.path(), "preact20", "CIFAR-10", &[0.3], &found)?;
    assert_eq!(line(&text, "entropy, target"), "entropy, target chooses 25.0 ± 0.0");
    // Three times faster to choose, five points worse.
    assert!(text.contains("+5.0 ± 0.0") && text.contains("3.0 ± 0.0"), "{text}");
    assert!(text.contains("0.500 ± 0.000"), "{text}");
    let summary = read(folder.path(), "summary.csv");
    let header = "strategy,fraction,seed,error,selection_seconds,train_seconds,target_seconds\n";
    assert!(summary.starts_with(header), "{summary}");
    assert!(summary.contains("\"entropy, target chooses\",0.3,0,0.25000,0.500,4.000,2.000\n"));
    for picture in ["error.svg", "time.svg", "ranks.svg"] {
        assert!(!read(folder.path(), picture).is_empty());
    }
    Ok(())
}

#[test]
fn active_learning_is_laid_out_by_labels() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let outcomes = [(0.2, 0.4), (0.5, 0.2)]
        .map(|(fraction, error)| outcome("margin", Chooser::Proxy, fraction, 3, error));
    let text = report_active_learning(folder.path(), "fasttext", "reviews", &outcomes)?;
    assert_eq!(line(&text, "strategy"), "strategy 20 50");
    assert_eq!(line(&text, "margin"), "margin 40.0 ± 0.0 20.0 ± 0.0");
    let summary = read(folder.path(), "summary.csv");
    assert!(summary.starts_with("strategy,budget,seed,error"), "{summary}");
    assert!(summary.contains("margin,50,3,0.20000,0.500,1.000,2.000\n"), "{summary}");
    Ok(())
}

#[test]
fn a_grid_leaves_out_what_was_not_measured() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let at = |line: &str, setting, seed, x| {
        let (line, numbers) = (line.to_string(), vec![x, 10.0 * x]);
        Measured { line, setting, seed, numbers }
    };
    let measured = vec![at("a", 5.0, 0, 1.0), at("a", 5.0, 1, 3.0), at("b", 2.0, 0, 7.0)];
    let numbers =
        vec![Number { name: "error", spread: true }, Number { name: "seconds", spread: false }];
    let grid = Grid { setting: "price", numbers, measured };
    let text = grid.means("title", "error", 10.0, 1);
    assert_eq!(line(&text, "a"), "a 20.0 ± 14.1 -");
    assert!(text.starts_with("title\n") && text.contains("price 5") && text.contains("price 2"));
    assert_eq!(grid.mean("b", 5.0, "error"), None);
    assert_eq!(grid.mean("b", 2.0, "speed"), None);
    grid.write(folder.path())?;
    let expected = "method,price,error_mean,error_std,seconds\n\
                    a,5,2.0000,1.4142,20.0000\nb,2,7.0000,0.0000,70.0000\n";
    assert_eq!(read(folder.path(), "summary.csv"), expected);
    assert_eq!(read(folder.path(), "seeds.csv").lines().count(), 4);
    Ok(())
}
