//! Choices towards a target by optimal transport: by hand, against all choices, in mixtures, on odd data.

use approx::assert_relative_eq;
use gleaner::choose::{Evidence, Pull, Random, Strategy, Transported};
use gleaner::{Error, Result, Seeds};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

const POOL: Transported = Transported { pull: Pull::Pool, smoothing: 0.02, sweeps: 1000 };

fn choose(
    strategy: &dyn Strategy,
    rows: &[f32],
    target: &[f32],
    width: usize,
    count: usize,
) -> Result<Vec<usize>> {
    let target = Evidence::new(target.len() / width).with_features(target, width)?;
    let evidence = Evidence::new(rows.len() / width).with_features(rows, width)?;
    let evidence = evidence.with_validation(&target);
    Ok(strategy.select(&evidence, count, &mut Seeds::new(0).stream(0))?.indices)
}

fn sorted(mut chosen: Vec<usize>) -> Vec<usize> {
    chosen.sort_unstable();
    chosen
}

/// To one target point all plans are the same and `f` is the cost but for a constant, whatever the smoothing; 0 and 2 have
/// deviation one, and 0, 2 and 4 the root of 8/3.
#[test]
fn slopes_by_hand() -> Result<()> {
    let unit = (8.0f64 / 3.0).sqrt();
    for (rows, target, expected) in [
        (vec![0.0, 2.0], 0.0, vec![2.0, -2.0]),
        (vec![0.0, 2.0], 10.0, vec![-2.0, 2.0]),
        (vec![0.0, 2.0], 1.0, vec![0.0, 0.0]),
        (vec![0.0, 2.0, 4.0], 0.0, vec![3.0 / unit, 0.0, -3.0 / unit]),
        (vec![0.0, 2.0, 4.0], 2.0, vec![-1.0 / unit, 2.0 / unit, -1.0 / unit]),
        (vec![7.0], 3.0, vec![0.0]),
    ] {
        let target = [target];
        let target = Evidence::new(1).with_features(&target, 1)?;
        let evidence = Evidence::new(rows.len()).with_features(&rows, 1)?.with_validation(&target);
        for smoothing in [1e-3, 0.02, 10.0] {
            let strategy = Transported { smoothing, ..POOL };
            let found = strategy.ranking(&evidence)?.expect("the pool is ranked");
            for (found, expected) in found.iter().zip(&expected) {
                assert_relative_eq!(*found, *expected, epsilon = 1e-4);
            }
        }
        assert_eq!(Transported::default().ranking(&evidence)?, None);
    }
    Ok(())
}

#[test]
fn choices_by_hand() -> Result<()> {
    let near = Transported::default();
    let of = |rows: &[f32], target: &[f32], count| choose(&near, rows, target, 1, count);
    let line = [0.0, 1.0, 10.0, 11.0];
    // One for each, the nearer one.
    assert_eq!(sorted(of(&line, &[0.2, 10.9], 2)?), [0, 3]);
    // Two for each of one region, none for the other.
    assert_eq!(sorted(of(&line, &[0.5], 2)?), [0, 1]);
    // One point for all: the one in the middle of them.
    assert_eq!(of(&[0.0, 4.0, 10.0], &[0.0, 5.0, 10.0], 1)?, [1]);
    // Duplicates are spread as the target is: of the many on one side no more than of the few on the other.
    assert_eq!(sorted(of(&[0.0, 0.0, 0.0, 5.0, 5.0], &[0.0, 5.0], 2)?), [0, 3]);
    assert_eq!(sorted(of(&[0.0, 0.0, 0.0, 5.0, 5.0], &[0.0, 5.0], 4)?), [0, 1, 3, 4]);
    // What is asked of one region beyond what is there comes from the next.
    assert_eq!(sorted(of(&[0.0, 5.0, 6.0, 20.0], &[0.0], 3)?), [0, 1, 2]);
    // Where all are alike the first ones are taken; a point alone is.
    assert_eq!(of(&[3.0, 3.0, 3.0], &[7.0, 8.0], 2)?, [0, 1]);
    assert_eq!(of(&[3.0], &[7.0], 1)?, [0]);
    assert_eq!(choose(&POOL, &[3.0], &[7.0], 1, 1)?, [0]);
    // A target point that is equally far from everything takes what the others leave.
    let chosen = of(&line, &[0.2, 10.9, 1e30], 3)?;
    assert!(chosen.contains(&0) && chosen.contains(&3), "{chosen:?}");
    Ok(())
}

/// The least cost of giving each of `wanted` a different one of `chosen`, by trying all ways; as many of both.
fn assignment(cost: &dyn Fn(usize, usize) -> f64, chosen: &[usize], wanted: &[usize]) -> f64 {
    let Some((last, wanted)) = wanted.split_last() else { return 0.0 };
    let rest = |k: usize| -> Vec<usize> {
        chosen.iter().enumerate().filter(|(other, _)| *other != k).map(|(_, i)| *i).collect()
    };
    let each = chosen.iter().enumerate();
    each.map(|(k, i)| cost(*i, *last) + assignment(cost, &rest(k), wanted))
        .fold(f64::INFINITY, f64::min)
}

/// Standardised distances of the points and the targets, written down once more.
fn distances(rows: &[f32], target: &[f32], width: usize) -> impl Fn(usize, usize) -> f64 {
    let points = (rows.len() / width) as f64;
    let deviation: Vec<f64> = (0..width)
        .map(|j| {
            let column = || rows.iter().skip(j).step_by(width).map(|x| f64::from(*x));
            let mean = column().sum::<f64>() / points;
            (column().map(|x| (x - mean).powi(2)).sum::<f64>() / points).sqrt()
        })
        .collect();
    let (rows, target) = (rows.to_vec(), target.to_vec());
    move |i, v| {
        let gap = |j: usize| f64::from(rows[i * width + j]) - f64::from(target[v * width + j]);
        (0..width).map(|j| (gap(j) / deviation[j]).powi(2)).sum::<f64>().sqrt()
    }
}

/// All sets of `count` of the first `points`.
fn subsets(points: usize, count: usize) -> Vec<Vec<usize>> {
    let sets = (0u32..1 << points).filter(|set| set.count_ones() as usize == count);
    sets.map(|set| (0..points).filter(|i| set >> i & 1 == 1).collect()).collect()
}

/// With little smoothing and one or two points for each target point, the choice is the best of all there are.
#[test]
fn nothing_is_nearer_than_the_choice() -> Result<()> {
    let strategy = Transported { smoothing: 2e-3, sweeps: 5000, ..Default::default() };
    for seed in 0..6 {
        let mut rng = Seeds::new(seed).stream(0);
        let (points, width) = (9, 2);
        let mut draw = |n: usize| -> Vec<f32> {
            (0..n * width).map(|_| rng.random_range(-1.0..1.0)).collect()
        };
        for (targets, each) in [(3, 1), (4, 1), (2, 2), (1, 4), (3, 2)] {
            let (rows, target) = (draw(points), draw(targets));
            let cost = distances(&rows, &target, width);
            let wanted: Vec<usize> = (0..targets * each).map(|k| k / each).collect();
            let sets = subsets(points, wanted.len()).into_iter();
            let best = sets.map(|set| assignment(&cost, &set, &wanted)).fold(f64::MAX, f64::min);
            let chosen = choose(&strategy, &rows, &target, width, wanted.len())?;
            let found = assignment(&cost, &chosen, &wanted);
            assert!(found <= best + 1e-9, "seed {seed}, {targets} x {each}: {found} of {best}");
        }
    }
    Ok(())
}

/// A point for several target points: greedy, but near the best of all choices and far below chance.
#[test]
fn few_points_stand_for_many_targets() -> Result<()> {
    let (mut found, mut best, mut chance) = (0.0, 0.0, 0.0);
    for seed in 0..20 {
        let mut rng = Seeds::new(seed).stream(1);
        let mut draw =
            |n: usize| -> Vec<f32> { (0..n * 2).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let (rows, target) = (draw(8), draw(6));
        let cost = distances(&rows, &target, 2);
        let wanted: Vec<usize> = (0..6).collect();
        // Each of two points three times over.
        let of = |set: &[usize]| assignment(&cost, &[set, set, set].concat(), &wanted);
        let all: Vec<f64> = subsets(8, 2).iter().map(|set| of(set)).collect();
        found += of(&choose(&Transported::default(), &rows, &target, 2, 2)?);
        best += all.iter().copied().fold(f64::MAX, f64::min);
        chance += all.iter().sum::<f64>() / all.len() as f64;
    }
    let gap = (found - best) / (chance - best);
    assert!(gap < 0.25, "{found} where the best is {best} and chance {chance}");
    Ok(())
}

/// Normal clouds of one deviation around the centres, in turns of their shares.
fn clouds(centres: &[(f32, f32)], shares: &[usize], rng: &mut impl Rng) -> (Vec<f32>, Vec<usize>) {
    let each = shares.iter().enumerate().flat_map(|(k, n)| std::iter::repeat_n(k, *n));
    let of: Vec<usize> = each.collect();
    let noise = |rng: &mut _| -> f32 { StandardNormal.sample(rng) };
    let rows = of.iter().flat_map(|k| [centres[*k].0 + noise(rng), centres[*k].1 + noise(rng)]);
    (rows.collect(), of)
}

/// Of four clouds the target has a quarter of one and three quarters of another, rare ones of the pool: the choice has
/// as much of each, where the slope alone goes to whatever the pool has too little of.
#[test]
fn a_target_in_a_mixture_is_found_in_its_shares() -> Result<()> {
    for seed in 0..3 {
        let mut rng = Seeds::new(seed).stream(2);
        let centres = [(0.0, 0.0), (8.0, 0.0), (0.0, 8.0), (8.0, 8.0)];
        let (rows, of) = clouds(&centres, &[400, 80, 300, 120], &mut rng);
        let (target, _) = clouds(&centres, &[0, 10, 0, 30], &mut rng);
        for scale in [1e-30f32, 1e-6, 1.0, 1e15] {
            let scaled = |rows: &[f32]| rows.iter().map(|x| x * scale).collect::<Vec<f32>>();
            let shares = |strategy: &dyn Strategy| -> Result<[usize; 4]> {
                let chosen = choose(strategy, &scaled(&rows), &scaled(&target), 2, 80)?;
                let mut shares = [0; 4];
                chosen.iter().for_each(|i| shares[of[*i]] += 1);
                Ok(shares)
            };
            assert_eq!(shares(&Transported::default())?, [0, 20, 0, 60], "seed {seed}, {scale}");
            let slope = shares(&POOL)?;
            assert_eq!(slope[0] + slope[2], 0, "seed {seed}, {scale}: {slope:?}");
            assert!(shares(&Random)?[0] > 20);
        }
    }
    Ok(())
}

#[test]
fn the_number_of_threads_changes_nothing() -> Result<()> {
    let mut rng = Seeds::new(4).stream(0);
    let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let (rows, target) = (draw(1500), draw(90));
    let run = |threads: usize| -> Result<Vec<Vec<usize>>> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let both = [Transported::default(), POOL];
        let of = |strategy: &Transported| choose(strategy, &rows, &target, 3, 100);
        threads.install(|| both.iter().map(of).collect())
    };
    assert_eq!(run(1)?, run(3)?);
    Ok(())
}

#[test]
fn what_cannot_be_answered_is_refused() -> Result<()> {
    let (rows, target) = ([0.0, 1.0, 2.0, 3.0], [0.0, 1.0]);
    for strategy in [Transported::default(), POOL] {
        for wrong in [
            Transported { smoothing: 0.0, ..strategy },
            Transported { smoothing: f64::NAN, ..strategy },
            Transported { smoothing: f64::INFINITY, ..strategy },
            Transported { sweeps: 0, ..strategy },
        ] {
            let error = choose(&wrong, &rows, &target, 1, 2).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        }
        for count in [0, 5] {
            let error = choose(&strategy, &rows, &target, 1, count).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        }
        // Nobody to go towards, a target of other features, one without, and numbers that are none.
        let error = choose(&strategy, &rows, &[], 1, 2).unwrap_err();
        assert!(error.to_string().contains("validation"), "{error}");
        let pool = Evidence::new(4).with_features(&rows, 1)?;
        let wide = Evidence::new(1).with_features(&target, 2)?;
        let bare = Evidence::new(2);
        let rng = &mut Seeds::new(0).stream(0);
        let error = strategy.select(&pool.with_validation(&wide), 2, rng).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        let error = strategy.select(&pool.with_validation(&bare), 2, rng).unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
        let error = choose(&strategy, &rows, &[f32::NAN], 1, 2).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    }
    // A single sweep is far from converged, and still a choice.
    let hasty = Transported { sweeps: 1, ..Default::default() };
    assert_eq!(sorted(choose(&hasty, &rows, &target, 1, 4)?), [0, 1, 2, 3]);
    Ok(())
}
