//! One choice by several tasks: what it promises however the rows are shared.

use candle_core::{Device, Tensor};
use gleaner::choose::{
    Asked, Candidates, Choice, Convex, KCenter, Next, Random, Streaming, Tasks, named,
};
use gleaner::data::{Dataset, Source};
use gleaner::{Result, Seeds};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WIDTH: usize = 3;

fn data(rows: &[f32]) -> Dataset {
    let points = rows.len() / WIDTH;
    let inputs = Tensor::from_slice(rows, (points, WIDTH), &Device::Cpu).unwrap();
    Dataset::new(inputs, vec![0; points], 1).unwrap()
}

/// Clusters of unequal size, ordered along one axis or shuffled, in tasks of unequal size, the last of one row.
fn shared(points: usize, tasks: usize, ordered: bool) -> Vec<Vec<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut row = || {
        let cluster = (12.0 * rng.random::<f32>().powi(2)).floor();
        std::array::from_fn(|k| cluster * (k as f32 + 1.0) + rng.random_range(-0.4..0.4))
    };
    let mut rows: Vec<[f32; WIDTH]> = (0..points).map(|_| row()).collect();
    match ordered {
        true => rows.sort_by(|a, b| a[0].total_cmp(&b[0])),
        false => rows.shuffle(&mut rng),
    }
    let cut = |k: usize| if k == tasks { points } else { (points - 1) * k / (tasks - 1) };
    let of = |task: usize| rows[cut(task)..cut(task + 1)].concat();
    (0..tasks).map(of).collect()
}

fn choose(method: &dyn Streaming, shares: &[Vec<f32>], count: usize, seed: u64) -> Result<Choice> {
    let data: Vec<Dataset> = shares.iter().map(|rows| data(rows)).collect();
    let sources: Vec<&dyn Source> = data.iter().map(|data| data as &dyn Source).collect();
    Tasks::new(method, sources.len())?.choose(&sources, count, Seeds::new(seed))
}

/// The squared distance from each row to the nearest chosen one.
fn to_chosen(rows: &[f32], choice: &Choice) -> Vec<f64> {
    let row = |i: usize| &rows[i * WIDTH..(i + 1) * WIDTH];
    let between = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    };
    let nearest = |a| choice.indices.iter().map(|j| between(a, row(*j))).fold(f64::MAX, f64::min);
    rows.chunks(WIDTH).map(nearest).collect()
}

fn methods() -> Vec<Box<dyn gleaner::Strategy>> {
    ["random", "k-center", "convex", "facility-location"].map(|name| named(name).unwrap()).into()
}

#[test]
fn one_task_chooses_what_one_process_does() -> Result<()> {
    let rows = shared(5_000, 2, false).concat();
    for method in methods() {
        let method = method.as_streaming().unwrap();
        let (data, rng) = (data(&rows), &mut Seeds::new(3).stream(0));
        let whole = method.select_from(&data, 321, rng)?;
        let task = choose(method, std::slice::from_ref(&rows), 321, 3)?;
        assert_eq!(task.indices, whole.indices, "{}", method.name());
    }
    Ok(())
}

#[test]
fn so_many_different_rows_however_they_are_shared() -> Result<()> {
    for method in methods() {
        let method = method.as_streaming().unwrap();
        for (points, tasks, count) in [(2_000, 4, 200), (300, 3, 299), (40, 8, 3), (7, 3, 7)] {
            for ordered in [false, true] {
                let shares = shared(points, tasks, ordered);
                let choice = choose(method, &shares, count, 5)?;
                let mut sorted = choice.indices.clone();
                sorted.sort_unstable();
                sorted.dedup();
                let name = method.name();
                assert_eq!((sorted.len(), choice.len()), (count, count), "{name} {points}");
                assert!(sorted.iter().all(|i| *i < points));
                assert!(choice.gains.unwrap().is_sorted_by(|a, b| a >= b), "{name}");
            }
        }
    }
    Ok(())
}

/// Whoever has the rows far apart gives more of the centres, and the radius covers all.
#[test]
fn centres_share_a_radius() -> Result<()> {
    for ordered in [false, true] {
        let shares = shared(3_000, 4, ordered);
        let choice = choose(&KCenter, &shares, 60, 7)?;
        let farthest = to_chosen(&shares.concat(), &choice).into_iter().fold(0.0, f64::max).sqrt();
        let radius = choice.gains.as_ref().unwrap()[59];
        assert!(farthest <= 2.0 * radius, "{farthest} beyond 2 x {radius}");
        let whole = choose(&KCenter, &[shares.concat()], 60, 7)?;
        let exact = to_chosen(&shares.concat(), &whole).into_iter().fold(0.0, f64::max).sqrt();
        assert!(farthest <= 1.6 * exact, "{farthest} against {exact} in one process");
    }
    Ok(())
}

/// A task whose rows are all needed is asked again, and nobody else.
#[test]
fn only_who_falls_short_is_asked_again() -> Result<()> {
    let near: Vec<f32> = (0..100 * WIDTH).map(|k| 1e-3 * k as f32).collect();
    let far: Vec<f32> = (0..100 * WIDTH).map(|k| 1e3 * (k / WIDTH) as f32).collect();
    let (near, far) = (data(&near), data(&far));
    let (tasks, seeds) = (Tasks::new(&KCenter, 2)?, Seeds::new(2));
    let first = tasks.first(0.2);
    let found = [
        tasks.candidates(0, &near, &first[0], seeds)?,
        tasks.candidates(1, &far, &first[1], seeds)?,
    ];
    let Next::Again(again) = tasks.next(&found, &first, 40)? else { panic!("one is short") };
    assert_eq!(again[0], first[0]);
    assert_eq!(again[1], Asked { surplus: 2.0 * first[1].surplus, ..first[1].clone() });
    let found = [found[0].clone(), tasks.candidates(1, &far, &again[1], seeds)?];
    let Next::Chosen { choice, .. } = tasks.next(&found, &again, 40)? else { panic!("enough") };
    assert_eq!(choice.indices.iter().filter(|i| **i >= 100).count(), 39);
    Ok(())
}

/// Every row is as likely as any other, and the tasks' numbers are those of a draw without replacement: their variance is
/// `count p q (all - count) / (all - 1)`.
#[test]
fn a_random_choice_is_uniform_over_all_tasks() -> Result<()> {
    const DRAWS: usize = 6_000;
    let rows = |rows: usize| vec![0.5; rows * WIDTH];
    let (mut times, mut first, mut squares) = ([0usize; 15], 0.0, 0.0);
    for seed in 0..DRAWS {
        let choice = choose(&Random, &[rows(3), rows(10), rows(2)], 5, seed as u64)?;
        choice.indices.iter().for_each(|i| times[*i] += 1);
        let of_second = choice.indices.iter().filter(|i| (3..13).contains(*i)).count() as f64;
        first += of_second / DRAWS as f64;
        squares += of_second * of_second / DRAWS as f64;
    }
    let (p, draws) = (1.0 / 3.0, DRAWS as f64);
    let deviation = (draws * p * (1.0 - p)).sqrt();
    for times in times {
        let off = (times as f64 - draws * p) / deviation;
        assert!(off.abs() < 4.5, "{times} of {draws}: off by {off} deviations");
    }
    let variance = 5.0 * (2.0 / 3.0) * (1.0 / 3.0) * (10.0 / 14.0);
    assert!(
        (squares - first * first - variance).abs() < 0.06,
        "{} {variance}",
        squares - first * first
    );
    Ok(())
}

/// One price for all: better than random rows; as good as one process where tasks have rows of their own kind, while tasks that
/// all have the same kinds stand for them several times. Those with little to say keep little.
#[test]
fn programs_of_several_tasks_share_a_price() -> Result<()> {
    for ordered in [false, true] {
        let shares = shared(12_000, 4, ordered);
        let rows = shares.concat();
        let method = Convex { passes: 8, ..Default::default() };
        let cost = |choice: &Choice| to_chosen(&rows, choice).into_iter().sum::<f64>();
        let tasks = cost(&choose(&method, &shares, 400, 9)?);
        let whole = cost(&choose(&method, std::slice::from_ref(&rows), 400, 9)?);
        let random = cost(&choose(&Random, &shares, 400, 9)?);
        let most = if ordered { 1.05 } else { 1.25 };
        assert!(tasks < most * whole, "{tasks} against {whole} in one process");
        assert!(tasks < 0.9 * random, "{tasks} against {random} at random");
    }
    // All rows of one task are one: of it there is one row, or a few.
    let shares = [vec![0.25; 2_000 * WIDTH], shared(2_000, 2, false).concat()];
    let choice = choose(&Convex::default(), &shares, 100, 9)?;
    let of_first = choice.indices.iter().filter(|i| **i < 2_000).count();
    assert!(of_first < 10, "{of_first} of equal rows");
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    assert!(Tasks::new(&Random, 0).is_err());
    let (tasks, seeds) = (Tasks::new(&Random, 2)?, Seeds::new(0));
    let asked = tasks.first(0.5);
    let rows = data(&shared(10, 2, false).concat());
    assert!(tasks.candidates(2, &rows, &asked[0], seeds).is_err(), "no such task");
    for wrong in [
        Asked { share: 0.0, ..asked[0].clone() },
        Asked { share: f64::NAN, ..asked[0].clone() },
        Asked { surplus: -1.0, ..asked[0].clone() },
    ] {
        assert!(tasks.candidates(0, &rows, &wrong, seeds).is_err(), "{wrong:?}");
    }
    let found = tasks.candidates(0, &rows, &asked[0], seeds)?;
    let both = |second: Candidates| tasks.next(&[found.clone(), second], &asked, 4);
    assert!(both(found.clone()).is_ok());
    for wrong in [
        Candidates { rows: 0, ..found.clone() },
        Candidates { rows: 3, ..found.clone() },
        Candidates { gains: vec![], ..found.clone() },
        Candidates { gains: vec![f64::NAN; found.gains.len()], ..found.clone() },
        Candidates { gains: (0..found.gains.len()).map(|k| k as f64).collect(), ..found.clone() },
    ] {
        assert!(both(wrong.clone()).is_err(), "{wrong:?}");
    }
    assert!(tasks.next(std::slice::from_ref(&found), &asked, 4).is_err(), "a task is missing");
    assert!(tasks.next(&[found.clone(), found.clone()], &asked, 21).is_err(), "more than all");
    // Numbers that no other task wrote.
    let convex = Convex::default();
    let tasks = Tasks::new(&convex, 2)?;
    assert!(tasks.next(&[found.clone(), found.clone()], &asked, 4).is_err());
    let wrong = Asked { numbers: vec![1.0, 2.0, 3.0], ..asked[0].clone() };
    assert!(tasks.candidates(0, &rows, &wrong, seeds).is_err());
    assert!(choose(&KCenter, &[vec![0.0; 30], vec![0.0; 30]], 21, 0).is_err(), "more than all");
    Ok(())
}
