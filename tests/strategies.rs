//! One contract for all strategies, and cases solved by hand.

use gleaner::strategies::{
    Evidence, KCenter, LargestLoss, Random, SmallestLoss, Strategy as Selects, top,
};
use gleaner::{Error, Result};
use proptest::prelude::*;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Every strategy, and the evidence it cannot do without.
const ALL: [(&dyn Selects, Option<&str>); 4] = [
    (&Random, None),
    (&KCenter, Some("features")),
    (&LargestLoss, Some("losses")),
    (&SmallestLoss, Some("losses")),
];

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Points on a coarse grid, so that ties and exact duplicates are common.
struct Pool {
    features: Vec<f32>,
    width: usize,
    losses: Vec<f64>,
}

impl Pool {
    fn draw(points: usize, width: usize, seed: u64) -> Self {
        let mut rng = rng(seed);
        let features = (0..points * width).map(|_| rng.random_range(0..4) as f32).collect();
        let losses = (0..points).map(|_| f64::from(rng.random_range(0..6)) / 2.0).collect();
        Self { features, width, losses }
    }

    fn evidence(&self) -> Evidence<'_> {
        let evidence = Evidence::new(self.losses.len()).with_losses(&self.losses).unwrap();
        evidence.with_features(&self.features, self.width).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_strategy_keeps_the_contract(
        points in 1usize..30, width in 1usize..4, share in 0.0f64..1.0, seed in any::<u64>(),
    ) {
        let pool = Pool::draw(points, width, seed);
        let evidence = pool.evidence();
        let count = 1 + ((points - 1) as f64 * share).round() as usize;
        for (strategy, _) in ALL {
            let name = strategy.name();
            let chosen = strategy.select(&evidence, count, &mut rng(seed)).unwrap();
            prop_assert_eq!(chosen.len(), count, "{}", name);
            prop_assert!(chosen.iter().all(|&i| i < points), "{name}: {chosen:?}");
            let mut distinct = chosen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), count, "{} repeats: {:?}", name, chosen);
            let again = strategy.select(&evidence, count, &mut rng(seed)).unwrap();
            prop_assert_eq!(chosen, again, "{}", name);
        }
    }

    /// The textbook form: before each choice, the distance of every point to every chosen one.
    #[test]
    fn k_center_is_the_naive_search(points in 1usize..25, width in 1usize..4, seed in any::<u64>()) {
        let pool = Pool::draw(points, width, seed);
        let rows: Vec<&[f32]> = pool.features.chunks(width).collect();
        let square = |i: usize, j: usize| -> f32 {
            rows[i].iter().zip(rows[j]).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        for count in 1..=points {
            let chosen = KCenter.select(&pool.evidence(), count, &mut rng(seed)).unwrap();
            let mut naive = vec![chosen[0]];
            while naive.len() < count {
                let reach = |i: usize| naive.iter().map(|&j| square(i, j)).fold(f32::INFINITY, f32::min);
                let free = (0..points).filter(|i| !naive.contains(i));
                let next = free.fold(None, |best: Option<usize>, i| match best {
                    Some(b) if reach(i) <= reach(b) => best,
                    _ => Some(i),
                });
                naive.push(next.unwrap());
            }
            prop_assert_eq!(chosen, naive);
        }
    }

    #[test]
    fn losses_are_ranked(points in 1usize..30, seed in any::<u64>()) {
        let pool = Pool::draw(points, 1, seed);
        let losses = &pool.losses;
        for (strategy, sign) in [(&LargestLoss as &dyn Selects, -1.0), (&SmallestLoss, 1.0)] {
            let order = strategy.select(&pool.evidence(), points, &mut rng(0)).unwrap();
            for pair in order.windows(2) {
                let (a, b) = (sign * losses[pair[0]], sign * losses[pair[1]]);
                prop_assert!(a < b || (a == b && pair[0] < pair[1]), "{order:?} of {losses:?}");
            }
        }
    }
}

#[test]
fn counts_nobody_can_choose_are_refused() {
    let pool = Pool::draw(5, 2, 0);
    for (strategy, _) in ALL {
        for count in [0, 6, usize::MAX] {
            let error = strategy.select(&pool.evidence(), count, &mut rng(0)).unwrap_err();
            let name = strategy.name();
            assert!(matches!(error, Error::OutOfRange { .. }), "{name} on {count}: {error}");
        }
        assert!(strategy.select(&Evidence::new(0), 1, &mut rng(0)).is_err(), "{}", strategy.name());
    }
}

#[test]
fn a_strategy_says_which_evidence_it_misses() {
    for (strategy, needed) in ALL {
        let outcome = strategy.select(&Evidence::new(5), 2, &mut rng(0));
        match needed {
            None => assert_eq!(outcome.unwrap().len(), 2),
            Some(needed) => {
                let error = outcome.unwrap_err();
                assert!(matches!(error, Error::Unknown { .. }), "{error}");
                let said = error.to_string();
                assert!(said.contains(needed) && said.contains(strategy.name()), "{said}");
            }
        }
    }
}

#[test]
fn evidence_is_checked_at_the_door() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = Evidence::new(2).with_features(&[0.0, 1.0, 2.0, bad], 2).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, column: 1, .. }), "{error}");
        let error = Evidence::new(2).with_losses(&[f64::from(bad), 1.0]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 0, column: 0, .. }), "{error}");
    }
    let shapes = [
        Evidence::new(2).with_features(&[0.0; 5], 2),
        Evidence::new(2).with_features(&[], 0),
        Evidence::new(2).with_losses(&[0.0; 3]),
    ];
    for outcome in shapes {
        assert!(matches!(outcome.unwrap_err(), Error::Shape { .. }));
    }
}

/// A generator that always says the same: k-center starts at the point one asks for.
struct Fixed(u64);

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        (self.0 >> 32) as u32
    }
    fn next_u64(&mut self) -> u64 {
        self.0
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill((self.0 >> 56) as u8);
    }
}

#[test]
fn k_center_by_hand() -> Result<()> {
    // On a line: 0, 1, 2, 10. From 0 the farthest is 10 (position 3), then 2 (4 away from 0), then 1.
    let line = Evidence::new(4).with_features(&[0.0, 1.0, 2.0, 10.0], 1)?;
    assert_eq!(KCenter.select(&line, 4, &mut Fixed(0))?, [0, 3, 2, 1]);
    assert_eq!(KCenter.select(&line, 1, &mut Fixed(u64::MAX))?, [3]);
    // From 10: 0 is 100 away (squares), then 2, 4 from 0 and 64 from 10, then 1.
    assert_eq!(KCenter.select(&line, 4, &mut Fixed(u64::MAX))?, [3, 0, 2, 1]);
    // Equally far: the smaller position.
    let cross = Evidence::new(5).with_features(&[0., 0., 1., 0., -1., 0., 0., 1., 0., -1.], 2)?;
    assert_eq!(KCenter.select(&cross, 5, &mut Fixed(0))?, [0, 1, 2, 3, 4]);
    Ok(())
}

#[test]
fn k_center_takes_exact_duplicates_last_and_each_once() -> Result<()> {
    let features = [5.0, 5.0, 5.0, 1.0, 1.0, 9.0];
    let pile = Evidence::new(6).with_features(&features, 1)?;
    assert_eq!(KCenter.select(&pile, 6, &mut Fixed(0))?, [0, 3, 5, 1, 2, 4]);
    let same = Evidence::new(4).with_features(&[7.0; 4], 1)?;
    assert_eq!(KCenter.select(&same, 4, &mut Fixed(0))?, [0, 1, 2, 3]);
    Ok(())
}

#[test]
fn losses_by_hand() -> Result<()> {
    let losses = Evidence::new(5).with_losses(&[0.5, 2.0, 0.0, 2.0, 0.5])?;
    assert_eq!(LargestLoss.select(&losses, 3, &mut rng(0))?, [1, 3, 0]);
    assert_eq!(SmallestLoss.select(&losses, 3, &mut rng(0))?, [2, 0, 4]);
    assert_eq!(top(&[1.0, 3.0, 3.0, -1.0], 3), [1, 2, 0]);
    assert_eq!(top(&[1.0, 3.0], 9), [1, 0]);
    Ok(())
}

/// 4,000 draws of 2 out of 5: each point is in 1,600, give or take a standard deviation of
/// `sqrt(4000 * 0.4 * 0.6) = 31`; five of those are never exceeded by a fair sample.
#[test]
fn random_is_uniform() -> Result<()> {
    let mut rng = rng(3);
    let mut counts = [0i32; 5];
    for _ in 0..4000 {
        for i in Random.select(&Evidence::new(5), 2, &mut rng)? {
            counts[i] += 1;
        }
    }
    assert!(counts.iter().all(|count| (count - 1600).abs() < 155), "{counts:?}");
    Ok(())
}

#[test]
fn another_seed_is_another_choice() -> Result<()> {
    let pool = Pool::draw(200, 3, 0);
    for (strategy, _) in &ALL[..2] {
        let choices: Vec<Vec<usize>> = (0..2)
            .map(|seed| strategy.select(&pool.evidence(), 20, &mut rng(seed)))
            .collect::<Result<_>>()?;
        assert_ne!(choices[0], choices[1], "{}", strategy.name());
    }
    Ok(())
}

/// More points than one task takes, so that threads really share the work.
#[test]
fn the_number_of_threads_changes_nothing() {
    let mut draw = rng(9);
    let features: Vec<f32> = (0..5000 * 3).map(|_| draw.random()).collect();
    let losses: Vec<f64> = (0..5000).map(|_| draw.random()).collect();
    let evidence = Evidence::new(5000).with_features(&features, 3).unwrap();
    let evidence = evidence.with_losses(&losses).unwrap();
    for (k, (strategy, _)) in ALL.into_iter().enumerate() {
        let [one, two] = [1, 2].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| ALL[k].0.select(&evidence, 50, &mut rng(1))).unwrap()
        });
        assert_eq!(one, two, "{}", strategy.name());
    }
}

#[test]
fn zeros_of_either_sign_tie() {
    assert_eq!(top(&[-0.0, 0.0], 2), [0, 1]);
}
