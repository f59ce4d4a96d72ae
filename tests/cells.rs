//! Choices from pools that are too large to compare all with all: what the division into cells promises.

use candle_core::{Device, Tensor};
use gleaner::Result;
use gleaner::choose::{
    Choice, Convex, Evidence, FacilityLocation, KCenter, Random, Similarity, Strategy, Streaming,
};
use gleaner::data::Dataset;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn data(rows: &[f32], width: usize) -> Result<Dataset> {
    let points = rows.len() / width;
    let inputs = Tensor::from_slice(rows, (points, width), &Device::Cpu)?;
    Dataset::new(inputs, vec![0; points], 1)
}

/// Clusters of unequal size and spread.
fn clusters(points: usize, width: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let centres: Vec<f32> = (0..20 * width).map(|_| rng.random_range(-5.0..5.0)).collect();
    (0..points)
        .flat_map(|_| {
            let c = (20.0 * rng.random::<f32>().powi(2)) as usize;
            let spread = 0.1 * (1 + c % 5) as f32;
            let jitter = |k: usize| centres[c * width + k] + spread * rng.random_range(-1.0..1.0);
            (0..width).map(jitter).collect::<Vec<f32>>()
        })
        .collect()
}

/// The squared distance from each row to the nearest chosen one.
fn to_chosen(rows: &[f32], width: usize, choice: &Choice) -> Vec<f64> {
    let row = |i: usize| &rows[i * width..(i + 1) * width];
    let between = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    };
    let nearest = |a| choice.indices.iter().map(|j| between(a, row(*j))).fold(f64::MAX, f64::min);
    rows.chunks(width).map(nearest).collect()
}

fn check_distinct(choice: &Choice, count: usize, points: usize) {
    let mut sorted = choice.indices.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!((sorted.len(), choice.len()), (count, count));
    assert!(sorted.iter().all(|i| *i < points));
}

/// Several cells, by the number of centres; where a cell has none of them, too.
#[test]
fn every_point_is_near_a_centre() -> Result<()> {
    for (points, count, kind) in [
        (6_000, 2_500, 0),
        (6_000, 2_500, 1),
        (5_000, 1_200, 2),
        (5_000, 1_001, 3),
        (1_500, 1_500, 0),
    ] {
        let width = 4;
        let mut rows = clusters(points, width, &mut rng(1));
        match kind {
            1 => rows.iter_mut().for_each(|x| *x = x.round()), // ties and duplicates
            2 => rows.fill(0.25),
            3 => rows[..width].fill(1e15), // out of all proportion
            _ => {}
        }
        let choice = KCenter.select_from(&data(&rows, width)?, count, &mut rng(2))?;
        check_distinct(&choice, count, points);
        let gains = choice.gains.clone().unwrap();
        assert!(gains.is_sorted_by(|a, b| a >= b), "the farthest first");
        let radius = gains[count - 1];
        let farthest = to_chosen(&rows, width, &choice).into_iter().fold(0.0, f64::max).sqrt();
        assert!(farthest <= 2.0 * radius * (1.0 + 1e-5), "{kind}: {farthest} beyond 2 x {radius}");
        // What the greedy cover of all reaches, which no cell knows of: not much less.
        let evidence = Evidence::new(points).with_features(&rows, width)?;
        let exact = KCenter.select(&evidence, count, &mut rng(2))?;
        let exact = to_chosen(&rows, width, &exact).into_iter().fold(0.0, f64::max).sqrt();
        assert!(farthest <= 1.5 * exact, "{kind}: {farthest} against {exact}");
    }
    Ok(())
}

/// One cell: what the strategies choose anyway.
#[test]
fn a_pool_of_one_cell_is_chosen_from_as_a_whole() -> Result<()> {
    let rows = clusters(700, 3, &mut rng(4));
    let (data, evidence) = (data(&rows, 3)?, Evidence::new(700).with_features(&rows, 3)?);
    let plain = KCenter.select(&evidence, 90, &mut rng(5))?;
    assert_eq!(KCenter.select_from(&data, 90, &mut rng(5))?.indices, plain.indices);
    let plain = Convex::default().select(&evidence, 90, &mut rng(5))?;
    assert_eq!(Convex::default().select_from(&data, 90, &mut rng(5))?, plain);
    let plain = FacilityLocation::default().select(&evidence, 90, &mut rng(5))?;
    assert_eq!(FacilityLocation::default().select_from(&data, 90, &mut rng(5))?, plain);
    let within = FacilityLocation { budget: Some(1.0), ..Default::default() };
    assert!(within.as_streaming().is_none() && within.select_from(&data, 5, &mut rng(5)).is_err());
    assert!(FacilityLocation::default().select_from(&data, 701, &mut rng(5)).is_err());
    assert!(KCenter.select_from(&data, 701, &mut rng(5)).is_err());
    assert!(Convex::default().select_from(&data, 0, &mut rng(5)).is_err());
    Ok(())
}

/// Many cells under one price: the number asked for, and rows that stand for all others better than random ones, or those
/// far from one another.
#[test]
fn cells_share_a_price() -> Result<()> {
    const POINTS: usize = 110_000; // some 27 cells: the price is found in a part of them
    let rows = clusters(POINTS, 3, &mut rng(6));
    let (source, evidence) = (data(&rows, 3)?, Evidence::new(POINTS).with_features(&rows, 3)?);
    let strategy = Convex { batch: 40, passes: 7, ..Default::default() };
    let choose = || strategy.select_from(&source, 400, &mut rng(7));
    let choice = choose()?;
    check_distinct(&choice, 400, POINTS);
    assert_eq!(choice, strategy.select(&evidence, 400, &mut rng(7))?);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(choice, one.install(choose)?, "for any number of threads");
    let cost = |choice: &Choice| to_chosen(&rows, 3, choice).into_iter().sum::<f64>();
    let of = |strategy: &dyn Strategy| -> Result<f64> {
        Ok(cost(&strategy.select(&evidence, 400, &mut rng(8))?))
    };
    let (ours, random, centres) = (cost(&choice), of(&Random)?, of(&KCenter)?);
    assert!(ours < 0.9 * random, "{ours} against {random} at random and {centres} by k-center");
    Ok(())
}

/// Three cells: gains sum up to no more than what the choice is worth, which is nearly what a search of all finds; whatever the
/// scale of the rows, and with any number of threads.
#[test]
fn rows_are_covered_cell_by_cell() -> Result<()> {
    const POINTS: usize = 20_000;
    let rows = clusters(POINTS, 3, &mut rng(12));
    for (unit, similarity) in [
        (1e12f32, Similarity::Cosine),
        (1.0, Similarity::Rbf { bandwidth: 0.3 }),
        (1e-9, Similarity::Linear { reach: 1e-9 }),
    ] {
        let rows: Vec<f32> = rows.iter().map(|x| x * unit).collect();
        let (source, evidence) = (data(&rows, 3)?, Evidence::new(POINTS).with_features(&rows, 3)?);
        let strategy = FacilityLocation { similarity, ..Default::default() };
        let choose = || strategy.select_from(&source, 800, &mut rng(13));
        let choice = choose()?;
        check_distinct(&choice, 800, POINTS);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(choice, one.install(choose)?, "for any number of threads");
        let worth = |choice: &Choice| covered(&rows, 3, choice, similarity);
        let gains = choice.gains.as_ref().unwrap();
        assert!(gains.is_sorted_by(|a, b| a >= b));
        let (ours, sum) = (worth(&choice), gains.iter().sum::<f64>());
        assert!(sum <= ours * (1.0 + 1e-5), "{similarity:?}: {sum} of {ours}");
        let whole = worth(&strategy.select(&evidence, 800, &mut rng(13))?);
        let random = worth(&Random.select(&evidence, 800, &mut rng(13))?);
        assert!(ours > 0.98 * whole && ours > random, "{similarity:?}: {random} {ours} {whole}");
    }
    Ok(())
}

/// The sum over all rows of the similarity to the chosen one most like it.
fn covered(rows: &[f32], width: usize, choice: &Choice, similarity: Similarity) -> f64 {
    let row = |i: usize| rows[i * width..(i + 1) * width].iter().map(|x| f64::from(*x));
    let product = |i: usize, j: usize| row(i).zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
    let of = |i: usize, j: usize| match similarity {
        Similarity::Cosine => product(i, j) / (product(i, i) * product(j, j)).sqrt(),
        Similarity::Rbf { bandwidth } => {
            let far: f64 = row(i).zip(row(j)).map(|(a, b)| (a - b).powi(2)).sum();
            (-far / (2.0 * bandwidth * bandwidth)).exp()
        }
        Similarity::Linear { reach } => {
            1.0 - row(i).zip(row(j)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() / reach
        }
    };
    let best = |i| choice.indices.iter().map(|j| of(i, *j)).fold(0.0, f64::max);
    (0..rows.len() / width).map(best).sum()
}

/// A source whose rows cannot be read says so.
#[test]
fn a_source_that_fails_is_an_error() -> Result<()> {
    struct Broken(Dataset);
    impl gleaner::data::Source for Broken {
        fn labels(&self) -> &[u32] {
            self.0.labels()
        }
        fn classes(&self) -> usize {
            1
        }
        fn inputs_at(&self, _: &[usize]) -> Result<Tensor> {
            Err(gleaner::Error::OutOfRange { what: "row", rule: "readable", found: 0.0 })
        }
    }
    let broken = Broken(data(&clusters(60, 2, &mut rng(9)), 2)?);
    assert!(KCenter.select_from(&broken, 5, &mut rng(9)).is_err());
    assert!(Convex::default().select_from(&broken, 5, &mut rng(9)).is_err());
    assert!(FacilityLocation::default().select_from(&broken, 5, &mut rng(9)).is_err());
    Ok(())
}

/// Clusters far from one another, and columns of very different units: the typical cost says nothing of what is near, and the
/// price still keeps what was asked for, not what comes first.
#[test]
fn scales_far_apart_do_not_hide_what_is_near() -> Result<()> {
    for (points, apart, units) in [
        (3_000, 1e2, [1.0, 1.0]),
        (9_000, 1e2, [1.0, 1.0]),
        (9_000, 1e4, [1.0, 1.0]),
        (9_000, 1.0, [1.0, 1e-3]),
    ] {
        let mut rng = rng(11);
        let mut rows: Vec<f32> = Vec::with_capacity(2 * points);
        for i in 0..points {
            let cluster = (i * 4 / points) as f32;
            let place = [cluster * apart + rng.random::<f32>(), rng.random::<f32>()];
            rows.extend(place.iter().zip(units).map(|(x, unit)| x * unit));
        }
        let evidence = Evidence::new(points).with_features(&rows, 2)?;
        for count in [points / 30, points / 8] {
            let choice = Convex::default().select(&evidence, count, &mut rng)?;
            check_distinct(&choice, count, points);
            let filled = choice.gains.as_ref().unwrap().iter().filter(|gain| **gain == 0.0).count();
            assert!(filled * 50 < count, "{points} {apart} {count}: {filled} by no worth");
            let cost = |choice: &Choice| to_chosen(&rows, 2, choice).into_iter().sum::<f64>();
            let random = cost(&Random.select(&evidence, count, &mut rng)?);
            let ours = cost(&choice);
            assert!(ours < 0.85 * random, "{points} {apart} {count}: {ours} against {random}");
        }
    }
    Ok(())
}
