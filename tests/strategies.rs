//! One contract for all strategies, and cases solved by hand.

#[allow(dead_code)] // this file needs the number of cases only
mod common;

use std::ops::Range;

use common::cases;
use gleaner::choose::{
    Affordable, Aum, Averaged, Badge, BetaSampled, Choice, ClassBalanced, Convex, CoverageCentric,
    Craig, D2, Dual, Easiest, El2n, Entropy, Evidence, FacilityLocation, Forgetting, FullGrand,
    Glister, GradMatch, Grand, GraphCut, Greedy, Grouped, Herding, KCenter, Keep, Kind,
    LargestLoss, LeastConfidence, LogDeterminant, Margin, Mixed, Moderate, Offers, Prototypes,
    Prune4Rel, Pull, Purchase, Random, Score, SemDeDup, Shares, Similarity, SmallestLoss,
    Strategy as Selects, TowardsTarget, Transported, Window, check_distinct, named, top,
};
use gleaner::value::Trusted;
use gleaner::{Error, Result};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Every strategy, plain and wrapped.
fn all() -> Vec<Box<dyn Selects>> {
    let similarity = Similarity::Rbf { bandwidth: 0.8 };
    let greedy = Greedy::Stochastic { epsilon: 0.2 };
    let sampled = FacilityLocation { neighbours: 9, similarity, greedy, ..Default::default() };
    vec![
        Box::new(Random),
        Box::new(KCenter),
        Box::new(LargestLoss),
        Box::new(SmallestLoss),
        Box::new(LeastConfidence),
        Box::new(Margin),
        Box::new(Entropy),
        Box::new(El2n),
        Box::new(Grand),
        Box::new(Forgetting),
        Box::new(Aum),
        Box::new(Easiest::new(Aum)),
        Box::new(Herding),
        Box::new(FacilityLocation { neighbours: 4, ..Default::default() }),
        Box::new(ClassBalanced::new(sampled, Shares::Proportional)),
        Box::new(Convex { batch: 7, passes: 4, ..Default::default() }),
        Box::new(Grouped::new(Entropy)),
        Box::new(Affordable::new(KCenter, 12.0).unwrap()),
        Box::new(FacilityLocation { budget: Some(30.0), ..Default::default() }),
        Box::new(Badge),
        Box::new(Craig { neighbours: 5, ..Default::default() }),
        Box::new(GradMatch::default()),
        Box::new(Glister { rate: 0.5, refreshes: 3 }),
        Box::new(ClassBalanced::new(GradMatch { ridge: 0.1 }, Shares::Proportional)),
        Box::new(GraphCut::default()),
        Box::new(LogDeterminant::default()),
        Box::new(CoverageCentric::new(El2n, 0.2, 5).unwrap()),
        Box::new(ClassBalanced::new(KCenter, Shares::Equal)),
        Box::new(ClassBalanced::new(Forgetting, Shares::Proportional)),
        Box::new(ClassBalanced::new(Grand, Shares::Equal)),
        Box::new(CoverageCentric::new(Aum, 0.2, 5).unwrap().cut_by_share()),
        Box::new(Window::new(El2n, 0.2).unwrap()),
        Box::new(D2::new(Aum, 3, 1.0, 0.5).unwrap()),
        Box::new(Moderate),
        Box::new(Prune4Rel { threshold: 0.7, ..Default::default() }),
        Box::new(ClassBalanced::new(Prune4Rel { greedy, ..Default::default() }, Shares::Equal)),
        Box::new(TowardsTarget::default()),
        Box::new(ClassBalanced::new(
            TowardsTarget { similarity, greedy, relevance: 0.5 },
            Shares::Equal,
        )),
        Box::new(Transported::default()),
        Box::new(Transported { pull: Pull::Pool, ..Default::default() }),
        Box::new(ClassBalanced::new(Transported::default(), Shares::Proportional)),
        Box::new(Prototypes::default()),
        Box::new(Prototypes { clusters: Some(3), keep: Keep::Nearest }),
        Box::new(SemDeDup { clusters: Some(2) }),
        Box::new(ClassBalanced::new(SemDeDup::default(), Shares::Proportional)),
        Box::new(Dual::new(3).unwrap()),
        Box::new(BetaSampled::default()),
        Box::new(ClassBalanced::new(BetaSampled::default(), Shares::Equal)),
        Box::new(Trusted::new(KCenter)),
        Box::new(FullGrand),
        Box::new(Averaged(El2n)),
        Box::new(Averaged(Grand)),
        Box::new(Averaged(FullGrand)),
        Box::new(ClassBalanced::new(Averaged(LargestLoss), Shares::Equal)),
        Box::new(CoverageCentric::new(Averaged(El2n), 0.2, 5).unwrap()),
    ]
}

/// The same and those that solve a program of all points, for pools that are not large.
fn all_for_small_pools() -> Vec<Box<dyn Selects>> {
    let mut all = all();
    for (offers, at_random) in [
        (Offers::Groups, false),
        (Offers::Points, false),
        (Offers::PointsWithSessions, false),
        (Offers::Groups, true),
        (Offers::Points, true),
    ] {
        all.push(Box::new(bought(offers, at_random)));
    }
    all
}

/// Money enough for a group or two of the pools below.
fn bought(offers: Offers, at_random: bool) -> Purchase {
    Purchase { offers, at_random, session: 2.0, money: 30.0, smoothing: 0.1 }
}

/// Where groups stay whole or a budget binds, `count` is an upper bound.
fn may_be_fewer(strategy: &dyn Selects) -> bool {
    [Kind::Groups, Kind::Costs].iter().any(|kind| strategy.needs().contains(*kind))
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Numbers on a coarse grid, so that ties and exact duplicates are common.
#[derive(Clone, Debug)]
struct Pool {
    features: Vec<f32>,
    width: usize,
    losses: Vec<f64>,
    probabilities: Vec<f32>,
    labels: Vec<u32>,
    history: Vec<bool>,
    margins: Vec<f32>,
    label_probabilities: Vec<f32>,
    groups: Vec<u32>,
    costs: Vec<f64>,
    validation: Option<Box<Self>>,
}

impl Pool {
    fn draw(points: usize, width: usize, seed: u64) -> Self {
        let validation = Self::draw_alone(4, width, !seed);
        Self { validation: Some(Box::new(validation)), ..Self::draw_alone(points, width, seed) }
    }

    fn draw_alone(points: usize, width: usize, seed: u64) -> Self {
        let mut runner = TestRunner::new_with_rng(
            ProptestConfig::default(),
            TestRng::from_seed(RngAlgorithm::ChaCha, &rng(seed).random::<[u8; 32]>()),
        );
        Self::alone(points, width).new_tree(&mut runner).unwrap().current()
    }

    /// Pools of a few points, with a small one to validate on.
    fn any(points: Range<usize>, width: Range<usize>) -> impl Strategy<Value = Self> {
        (points, width).prop_flat_map(|(points, width)| {
            (Self::alone(points, width), Self::alone(4, width)).prop_map(|(pool, validation)| {
                Self { validation: Some(Box::new(validation)), ..pool }
            })
        })
    }

    fn alone(points: usize, width: usize) -> impl Strategy<Value = Self> {
        const EPOCHS: usize = 4;
        let inputs = (vec(0u8..4, points * width), vec(0u8..6, points), vec(0u8..5, points));
        let labels = (vec(0u32..3, points), vec(any::<bool>(), EPOCHS * points));
        let rest = (vec(-2i8..3, EPOCHS * points), vec(1u8..5, points));
        (inputs, labels, rest).prop_map(move |(inputs, (labels, history), (margins, costs))| {
            let (features, losses, pairs) = inputs;
            let pairs = pairs.into_iter().map(|p| f32::from(p) / 4.0);
            Self {
                features: features.into_iter().map(f32::from).collect(),
                width,
                losses: losses.into_iter().map(|loss| f64::from(loss) / 2.0).collect(),
                probabilities: pairs.flat_map(|p| [p * 0.5, 1.0 - p, p * 0.5]).collect(),
                labels,
                history,
                label_probabilities: margins.iter().map(|m| f32::from(m + 2) / 4.0).collect(),
                margins: margins.into_iter().map(f32::from).collect(),
                // One point, then three a group.
                groups: (0..points as u32).map(|i| i.div_ceil(3)).collect(),
                costs: costs.into_iter().map(f64::from).collect(),
                validation: None,
            }
        })
    }

    /// Calls with everything there is to know but one kind.
    fn with<T>(&self, missing: Option<Kind>, see: impl FnOnce(&Evidence) -> T) -> T {
        let validation = self.validation.as_ref().map(|validation| validation.table(None));
        let (mut evidence, repeats) = (self.table(missing), [self.table(None)]);
        if let Some(validation) = validation.as_ref().filter(|_| missing != Some(Kind::Validation))
        {
            evidence = evidence.with_validation(validation);
        }
        if missing != Some(Kind::Repeats) && !self.losses.is_empty() {
            evidence = evidence.with_repeats(&repeats).unwrap();
        }
        see(&evidence)
    }

    fn evidence(&self) -> Evidence<'_> {
        self.table(None)
    }

    fn table(&self, missing: Option<Kind>) -> Evidence<'_> {
        let mut evidence = Evidence::new(self.losses.len());
        for kind in Kind::ALL.into_iter().filter(|kind| Some(*kind) != missing) {
            evidence = match kind {
                Kind::Features => evidence.with_features(&self.features, self.width),
                Kind::Losses => evidence.with_losses(&self.losses),
                Kind::Probabilities => evidence.with_probabilities(&self.probabilities, 3),
                Kind::Labels => evidence.with_labels(&self.labels),
                Kind::History => evidence.with_history(&self.history),
                Kind::Margins => evidence.with_margins(&self.margins),
                Kind::LabelProbabilities => {
                    evidence.with_label_probabilities(&self.label_probabilities)
                }
                Kind::Groups => evidence.with_groups(&self.groups),
                Kind::Costs => evidence.with_costs(&self.costs),
                Kind::GradientNorms => evidence.with_gradient_norms(&self.losses),
                // Errors follow from probabilities and labels.
                Kind::Validation | Kind::Repeats | Kind::Errors => Ok(evidence),
            }
            .unwrap();
        }
        evidence
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn every_strategy_keeps_the_contract(
        pool in Pool::any(1..30, 1..4), share in 0.0f64..1.0, seed in any::<u64>(),
    ) {
        let points = pool.losses.len();
        let count = 1 + ((points - 1) as f64 * share).round() as usize;
        for strategy in all_for_small_pools() {
            let name = strategy.name();
            let select = || {
                pool.with(None, |evidence| strategy.select(evidence, count, &mut rng(seed))).unwrap()
            };
            let choice = select();
            prop_assert_eq!(&choice, &select(), "{}", name);
            let total: f64 = choice.weights.iter().sum();
            prop_assert_eq!(choice.weights.len(), choice.len());
            prop_assert!(choice.weights.iter().all(|w| *w >= 0.0), "{name}: {choice:?}");
            prop_assert!((total - choice.len() as f64).abs() < 1e-9 * total, "{name}: {choice:?}");
            prop_assert!(choice.gains.iter().all(|gains| gains.len() == choice.len()));
            let chosen = choice.indices;
            let fewer = may_be_fewer(&strategy) && !chosen.is_empty() && chosen.len() < count;
            prop_assert!(chosen.len() == count || fewer, "{name}: {} of {count}", chosen.len());
            prop_assert!(chosen.iter().all(|&i| i < points), "{name}: {chosen:?}");
            let mut distinct = chosen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), chosen.len(), "{} repeats: {:?}", name, chosen);
        }
    }

    /// The textbook form: before each choice, the distance of every point to every chosen one.
    #[test]
    fn k_center_is_the_naive_search(pool in Pool::any(1..25, 1..4), seed in any::<u64>()) {
        let (points, width) = (pool.losses.len(), pool.width);
        let rows: Vec<&[f32]> = pool.features.chunks(width).collect();
        let square = |i: usize, j: usize| -> f32 {
            rows[i].iter().zip(rows[j]).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        for count in 1..=points {
            let chosen = KCenter.select(&pool.evidence(), count, &mut rng(seed)).unwrap().indices;
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
    fn losses_are_ranked(pool in Pool::any(1..30, 1..2)) {
        let points = pool.losses.len();
        let losses = &pool.losses;
        for (strategy, sign) in [(&LargestLoss as &dyn Selects, -1.0), (&SmallestLoss, 1.0)] {
            let order = strategy.select(&pool.evidence(), points, &mut rng(0)).unwrap().indices;
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
    for strategy in all_for_small_pools() {
        for count in [0, 6, usize::MAX] {
            let outcome = pool.with(None, |evidence| strategy.select(evidence, count, &mut rng(0)));
            let (name, error) = (strategy.name(), outcome.unwrap_err());
            assert!(matches!(error, Error::OutOfRange { .. }), "{name} on {count}: {error}");
        }
        assert!(strategy.select(&Evidence::new(0), 1, &mut rng(0)).is_err(), "{}", strategy.name());
    }
}

/// One kind taken away at a time: every strategy needs what it says, and nothing else.
#[test]
fn a_strategy_needs_what_it_says() {
    let pool = Pool::draw(12, 2, 4);
    for strategy in all_for_small_pools() {
        let name = strategy.name();
        for kind in Kind::ALL {
            let outcome =
                pool.with(Some(kind), |evidence| strategy.select(evidence, 2, &mut rng(0)));
            let makes_errors = [Kind::Probabilities, Kind::Labels].contains(&kind);
            let needs = |kind| strategy.needs().contains(kind);
            // Errors are never given here, so nothing is taken away with them.
            let missed = needs(kind) && kind != Kind::Errors;
            let misses = missed || (makes_errors && needs(Kind::Errors));
            if !misses {
                let found = outcome.expect(name).len();
                let fewer = found == 1 && may_be_fewer(&strategy);
                assert!(found == 2 || fewer, "{name} without {kind:?}");
                continue;
            }
            let error = outcome.expect_err(name);
            assert!(matches!(error, Error::Unknown { .. }), "{name}: {error}");
            // Of a strategy within another, the inner one may be the one that asks.
            let said = error.to_string();
            let asks = |part: &str| said.contains(&format!("{part} needs it"));
            let asked = asks(name) || name.split(' ').any(asks);
            assert!(said.contains(kind.name()) && asked, "{said}");
        }
    }
}

#[test]
fn names_tell_strategies_apart() {
    let names: Vec<String> =
        all_for_small_pools().iter().map(|strategy| strategy.name().into()).collect();
    for (k, name) in names.iter().enumerate() {
        assert!(!names[..k].contains(name), "{name}");
    }
}

#[test]
fn defaults_are_found_by_name() -> Result<()> {
    let others = [
        "random",
        "towards-target",
        "transported",
        "full-gradient grand",
        "averaged el2n",
        "averaged grand",
        "averaged full-gradient grand",
    ];
    let defaults = gleaner::choose::all();
    for name in defaults.iter().map(|strategy| strategy.name()).chain(others) {
        assert_eq!(named(name)?.name(), name);
    }
    check_distinct(&defaults)
}

#[test]
fn evidence_is_checked_at_the_door() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = Evidence::new(2).with_features(&[0.0, 1.0, 2.0, bad], 2).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, column: 1, .. }), "{error}");
        let error = Evidence::new(2).with_losses(&[f64::from(bad), 1.0]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 0, column: 0, .. }), "{error}");
        let error = Evidence::new(2).with_probabilities(&[0.5, 0.5, bad, 1.0], 2).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, column: 0, .. }), "{error}");
        let error = Evidence::new(2).with_margins(&[0.0, 1.0, 2.0, bad]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, column: 1, .. }), "{error}");
        let error = Evidence::new(2).with_label_probabilities(&[1.0, bad]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 0, column: 1, .. }), "{error}");
    }
    let shapes = [
        Evidence::new(2).with_probabilities(&[1.0; 3], 1),
        Evidence::new(2).with_probabilities(&[], 0),
        Evidence::new(usize::MAX).with_probabilities(&[1.0], 2),
        Evidence::new(2).with_labels(&[0; 3]),
        Evidence::new(2).with_history(&[true; 3]),
        Evidence::new(2).with_history(&[]),
        Evidence::new(0).with_history(&[]),
        Evidence::new(0).with_margins(&[1.0]),
        Evidence::new(2).with_margins(&[1.0; 5]),
        Evidence::new(2).with_label_probabilities(&[1.0; 3]),
        Evidence::new(2).with_features(&[0.0; 5], 2),
        Evidence::new(2).with_features(&[], 0),
        Evidence::new(2).with_losses(&[0.0; 3]),
        Evidence::new(2).with_groups(&[0; 3]),
        Evidence::new(2).with_costs(&[1.0; 3]),
        Evidence::new(2).with_column_costs(&[1.0; 3]),
    ];
    for outcome in shapes {
        assert!(matches!(outcome.unwrap_err(), Error::Shape { .. }));
    }
    let ranges = [
        Evidence::new(1).with_costs(&[0.0]),
        Evidence::new(1).with_label_probabilities(&[1.01]),
        Evidence::new(1).with_label_probabilities(&[-0.01]),
        Evidence::new(1).with_column_costs(&[-1.0]),
        Evidence::new(1).with_probabilities(&[1.1, -0.1], 2),
        Evidence::new(1).with_probabilities(&[0.5, 0.498], 2),
        Evidence::new(1).with_probabilities(&[0.5, 0.502], 2),
        Evidence::new(1).with_labels(&[2]).and_then(|e| e.with_probabilities(&[0.5, 0.5], 2)),
        Evidence::new(1).with_probabilities(&[0.5, 0.5], 2).and_then(|e| e.with_labels(&[2])),
    ];
    for outcome in ranges {
        assert!(matches!(outcome.unwrap_err(), Error::OutOfRange { .. }));
    }
    assert!(Evidence::new(1).with_probabilities(&[0.5, 0.4995], 2).is_ok());
}

#[test]
fn settings_out_of_range_are_refused() {
    let pool = Pool::draw(9, 2, 0);
    let rbf = |bandwidth| FacilityLocation {
        similarity: Similarity::Rbf { bandwidth },
        ..Default::default()
    };
    let stochastic =
        |epsilon| FacilityLocation { greedy: Greedy::Stochastic { epsilon }, ..Default::default() };
    let cut = |trade_off| GraphCut { trade_off, ..Default::default() };
    let refused: Vec<Box<dyn Selects>> = vec![
        Box::new(rbf(0.0)),
        Box::new(rbf(f64::NAN)),
        Box::new(rbf(f64::INFINITY)),
        Box::new(stochastic(0.0)),
        Box::new(stochastic(f64::NAN)),
        Box::new(FacilityLocation { neighbours: 0, ..Default::default() }),
        Box::new(GraphCut { neighbours: 0, ..Default::default() }),
        Box::new(cut(-1.0)),
        Box::new(cut(f64::NAN)),
        Box::new(Prototypes { clusters: Some(0), ..Default::default() }),
        Box::new(SemDeDup { clusters: Some(0) }),
        Box::new(Prune4Rel { neighbours: 0, ..Default::default() }),
        Box::new(Prune4Rel { threshold: f64::NAN, ..Default::default() }),
        Box::new(Prune4Rel { threshold: 1.1, ..Default::default() }),
        Box::new(Convex { batch: 0, ..Default::default() }),
        Box::new(Convex { eps: 0.0, ..Default::default() }),
        Box::new(Convex { eps: f64::NAN, ..Default::default() }),
        Box::new(Affordable::new(Random, 0.5).unwrap()),
        Box::new(FacilityLocation { budget: Some(0.5), ..Default::default() }),
        Box::new(FacilityLocation { budget: Some(f64::NAN), ..Default::default() }),
        Box::new(GradMatch { ridge: 0.0 }),
        Box::new(GradMatch { ridge: f64::NAN }),
        Box::new(Glister { rate: -1.0, ..Default::default() }),
        Box::new(Glister { rate: f64::NAN, ..Default::default() }),
        Box::new(Glister { refreshes: 0, ..Default::default() }),
        Box::new(Craig { neighbours: 0, ..Default::default() }),
        Box::new(LogDeterminant { ridge: 0.0 }),
        Box::new(LogDeterminant { ridge: f64::NAN }),
        Box::new(LogDeterminant { ridge: f64::INFINITY }),
    ];
    for (k, strategy) in refused.iter().enumerate() {
        let error = strategy.select(&pool.evidence(), 2, &mut rng(0)).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{k}: {error}");
    }
    let target = Evidence::new(1).with_features(&[1.0, 0.0], 2).unwrap();
    let aimed = pool.evidence().with_validation(&target);
    let rbf = |bandwidth| Similarity::Rbf { bandwidth };
    for (relevance, similarity) in
        [(-1.0, rbf(1.0)), (f64::NAN, rbf(1.0)), (1.0, rbf(0.0)), (1.0, rbf(f64::NAN))]
    {
        let strategy = TowardsTarget { relevance, similarity, ..Default::default() };
        let error = strategy.select(&aimed, 2, &mut rng(0)).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }
    for (prune, strata) in [(1.0, 5), (-0.1, 5), (f64::NAN, 5), (0.1, 0)] {
        assert!(CoverageCentric::new(Forgetting, prune, strata).is_err(), "{prune}, {strata}");
    }
    for share in [1.0, -0.1, f64::NAN] {
        assert!(Window::new(Forgetting, share).is_err(), "{share}");
    }
    for (neighbours, forward, reverse) in [(0, 1.0, 1.0), (1, -1.0, 1.0), (1, 1.0, f64::NAN)] {
        assert!(D2::new(Forgetting, neighbours, forward, reverse).is_err());
    }
    assert!(Dual::new(1).is_err());
    for exponent in [0.0, f64::NAN, f64::INFINITY] {
        assert!(BetaSampled::new(Dual::default(), exponent).is_err(), "{exponent}");
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
    assert_eq!(KCenter.select(&line, 4, &mut Fixed(0))?.indices, [0, 3, 2, 1]);
    assert_eq!(KCenter.select(&line, 1, &mut Fixed(u64::MAX))?.indices, [3]);
    // From 10: 0 is 100 away (squares), then 2, 4 from 0 and 64 from 10, then 1.
    assert_eq!(KCenter.select(&line, 4, &mut Fixed(u64::MAX))?.indices, [3, 0, 2, 1]);
    // Equally far: the smaller position.
    let cross = Evidence::new(5).with_features(&[0., 0., 1., 0., -1., 0., 0., 1., 0., -1.], 2)?;
    assert_eq!(KCenter.select(&cross, 5, &mut Fixed(0))?.indices, [0, 1, 2, 3, 4]);
    Ok(())
}

#[test]
fn k_center_takes_exact_duplicates_last_and_each_once() -> Result<()> {
    let features = [5.0, 5.0, 5.0, 1.0, 1.0, 9.0];
    let pile = Evidence::new(6).with_features(&features, 1)?;
    assert_eq!(KCenter.select(&pile, 6, &mut Fixed(0))?.indices, [0, 3, 5, 1, 2, 4]);
    let same = Evidence::new(4).with_features(&[7.0; 4], 1)?;
    assert_eq!(KCenter.select(&same, 4, &mut Fixed(0))?.indices, [0, 1, 2, 3]);
    Ok(())
}

#[test]
fn losses_by_hand() -> Result<()> {
    let losses = Evidence::new(5).with_losses(&[0.5, 2.0, 0.0, 2.0, 0.5])?;
    assert_eq!(LargestLoss.select(&losses, 3, &mut rng(0))?.indices, [1, 3, 0]);
    assert_eq!(SmallestLoss.select(&losses, 3, &mut rng(0))?.indices, [2, 0, 4]);
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
        for i in Random.select(&Evidence::new(5), 2, &mut rng)?.indices {
            counts[i] += 1;
        }
    }
    assert!(counts.iter().all(|count| (count - 1600).abs() < 155), "{counts:?}");
    Ok(())
}

#[test]
fn another_seed_is_another_choice() -> Result<()> {
    let pool = Pool::draw(200, 3, 0);
    let greedy = Greedy::Stochastic { epsilon: 0.2 };
    let sampled = FacilityLocation { greedy, ..Default::default() };
    let coverage = CoverageCentric::new(Aum, 0.1, 4)?;
    let random: [&dyn Selects; 6] =
        [&Random, &KCenter, &sampled, &coverage, &Badge, &Convex::default()];
    for strategy in random {
        let choices: Vec<Vec<usize>> = (0..2)
            .map(|seed| Ok(strategy.select(&pool.evidence(), 20, &mut rng(seed))?.indices))
            .collect::<Result<_>>()?;
        assert_ne!(choices[0], choices[1], "{}", strategy.name());
    }
    Ok(())
}

/// More points than one task takes, so that threads really share the work.
#[test]
fn the_number_of_threads_changes_nothing() {
    let mut pool = Pool::draw(3000, 3, 9);
    let mut draw = rng(9);
    pool.features.iter_mut().for_each(|x| *x += draw.random::<f32>());
    for k in 0..all().len() {
        let [one, three] = [1, 3].map(|threads| {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let select = |evidence: &Evidence| {
                threads.install(|| all()[k].select(evidence, 50, &mut rng(1)))
            };
            pool.with(None, select).unwrap()
        });
        assert_eq!(one, three, "{}", all()[k].name());
    }
}

#[test]
fn zeros_of_either_sign_tie() {
    assert_eq!(top(&[-0.0, 0.0], 2), [0, 1]);
}

#[test]
fn uncertainty_by_hand() -> Result<()> {
    let rows = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.4, 0.3, 0.3, 0.6, 0.2, 0.2];
    let evidence = Evidence::new(4).with_probabilities(&rows, 3)?;
    // Largest probabilities 1, 0.5, 0.4, 0.6.
    assert_eq!(LeastConfidence.select(&evidence, 4, &mut rng(0))?.indices, [2, 1, 3, 0]);
    // Margins 1, 0, 0.1, 0.4.
    assert_eq!(Margin.select(&evidence, 4, &mut rng(0))?.indices, [1, 2, 3, 0]);
    // Entropies 0, 0.69, 1.09, 0.95.
    assert_eq!(Entropy.select(&evidence, 4, &mut rng(0))?.indices, [2, 3, 1, 0]);
    assert_eq!(Easiest::new(Entropy).select(&evidence, 4, &mut rng(0))?.indices, [0, 1, 3, 2]);
    // With one class the margin is the whole probability.
    assert_eq!(Margin.scores(&Evidence::new(1).with_probabilities(&[1.0], 1)?)?, [-1.0]);
    Ok(())
}

/// What a softmax of logits 200, 0 underflows to must rank last, not first.
#[test]
fn entropy_is_finite_at_exact_zeros_and_ones() -> Result<()> {
    let smallest = f32::from_bits(1);
    let rows = [1.0, 0.0, -0.0, 1.0, smallest, 1.0, 0.5, 0.5];
    let evidence = Evidence::new(4).with_probabilities(&rows, 2)?;
    let scores = Entropy.scores(&evidence)?;
    assert!(scores[0] == 0.0 && scores[1] == 0.0, "{scores:?}");
    assert!(scores[2] > 0.0 && scores[2] < 1e-40, "{scores:?}");
    assert!((scores[3] - 2f64.ln()).abs() < 1e-12, "{scores:?}");
    assert_eq!(Entropy.select(&evidence, 4, &mut rng(0))?.indices, [3, 2, 0, 1]);
    Ok(())
}

#[test]
fn forgetting_by_hand() -> Result<()> {
    // Columns: forgotten twice, never right, never wrong, forgotten once, learned late.
    let (r, w) = (true, false);
    let history =
        [r, w, r, w, w, /**/ w, w, r, r, w, /**/ r, w, r, w, r, /**/ w, w, r, w, r];
    let evidence = Evidence::new(5).with_history(&history)?;
    assert_eq!(Forgetting.scores(&evidence)?, [2.0, 4.0, 0.0, 1.0, 0.0]);
    assert_eq!(Forgetting.select(&evidence, 5, &mut rng(0))?.indices, [1, 0, 3, 2, 4]);
    assert_eq!(
        Easiest::new(Forgetting).select(&evidence, 5, &mut rng(0))?.indices,
        [2, 4, 3, 0, 1]
    );
    // One epoch has no events, yet the wrong point comes first.
    let once = Evidence::new(2).with_history(&[true, false])?;
    assert_eq!(Forgetting.scores(&once)?, [0.0, 1.0]);
    Ok(())
}

#[test]
fn areas_under_the_margin_by_hand() -> Result<()> {
    // Means 2, -3, 0.
    let evidence = Evidence::new(3).with_margins(&[1.0, -2.0, 3.0, 3.0, -4.0, -3.0])?;
    assert_eq!(Aum.scores(&evidence)?, [-2.0, 3.0, 0.0]);
    assert_eq!(Aum.select(&evidence, 3, &mut rng(0))?.indices, [1, 2, 0]);
    assert_eq!(Easiest::new(Aum).select(&evidence, 3, &mut rng(0))?.indices, [0, 2, 1]);
    Ok(())
}

#[test]
fn error_norms_by_hand() -> Result<()> {
    // Errors (-0.5, 0.5), (1, -1) and (0, 0).
    let evidence = Evidence::new(3).with_probabilities(&[0.5, 0.5, 1.0, 0.0, 1.0, 0.0], 2)?;
    let evidence =
        evidence.with_labels(&[0, 1, 0])?.with_features(&[2.0, 2.0, 0.0, 0.0, 7.0, 1.0], 2)?;
    assert_eq!(El2n.scores(&evidence)?, [0.5f64.sqrt(), 2f64.sqrt(), 0.0]);
    assert_eq!(El2n.select(&evidence, 3, &mut rng(0))?.indices, [1, 0, 2]);
    // Features of squared lengths 8, 0, 50, and one for the bias: 0.71 * 3, 1.41 * 1, 0.
    assert_eq!(Grand.scores(&evidence)?, [0.5f64.sqrt() * 3.0, 2f64.sqrt(), 0.0]);
    assert_eq!(Grand.select(&evidence, 3, &mut rng(0))?.indices, [0, 1, 2]);
    Ok(())
}

/// Two trainings of three points: the mean of the scores, in any part of the points as in all of them.
#[test]
fn averages_by_hand() -> Result<()> {
    // Errors (-0.5, 0.5), (1, -1), (0, 0) at first; then (0, 0), (0, 0), (-1, 1).
    let labels = [0, 1, 0];
    let one = |p: &'static [f32]| Evidence::new(3).with_probabilities(p, 2)?.with_labels(&labels);
    let repeats = [one(&[1.0, 0.0, 0.0, 1.0, 0.0, 1.0])?];
    let evidence = one(&[0.5, 0.5, 1.0, 0.0, 1.0, 0.0])?.with_repeats(&repeats)?;
    let expected = [0.5f64.sqrt() / 2.0, 2f64.sqrt() / 2.0, 2f64.sqrt() / 2.0];
    assert_eq!(Averaged(El2n).scores(&evidence)?, expected);
    assert_eq!(Averaged(El2n).select(&evidence, 2, &mut rng(0))?.indices, [1, 2]);
    // Of class 0, points 0 and 2, the second is the harder on average, though not at first.
    let balanced = ClassBalanced::new(Averaged(El2n), Shares::Equal);
    let mut chosen = balanced.select(&evidence, 2, &mut rng(0))?.indices;
    chosen.sort_unstable();
    assert_eq!(chosen, [1, 2]);
    // Norms of gradients are averaged as they are, three trainings of them.
    let norms = |n: &'static [f64]| Evidence::new(2).with_gradient_norms(n);
    let repeats = [norms(&[4.0, 0.0])?, norms(&[1.0, 3.0])?];
    let evidence = norms(&[1.0, 6.0])?.with_repeats(&repeats)?;
    assert_eq!(Averaged(FullGrand).scores(&evidence)?, [2.0, 3.0]);
    assert_eq!(Averaged(FullGrand).name(), "averaged full-gradient grand");
    Ok(())
}

#[test]
fn repeats_and_norms_are_checked_at_the_door() {
    let evidence = Evidence::new(2);
    assert!(matches!(evidence.with_repeats(&[]), Err(Error::Shape { .. })));
    assert!(matches!(evidence.with_repeats(&[Evidence::new(3)]), Err(Error::Shape { .. })));
    assert!(matches!(evidence.with_gradient_norms(&[1.0]), Err(Error::Shape { .. })));
    assert!(matches!(evidence.with_gradient_norms(&[1.0, f64::NAN]), Err(Error::NotFinite { .. })));
    assert!(matches!(evidence.with_gradient_norms(&[1.0, -1.0]), Err(Error::OutOfRange { .. })));
    // A repeat that lacks what the score needs.
    let repeats = [Evidence::new(2)];
    let evidence = evidence.with_losses(&[1.0, 2.0]).unwrap().with_repeats(&repeats).unwrap();
    let error = Averaged(LargestLoss).scores(&evidence).unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}

/// Central differences of the cross-entropy in every weight and bias of the last layer. Their error is
/// about 1e-10 (`h^2` of truncation at `h = 1e-5`); features and probabilities in `f32` leave 1e-6.
#[test]
fn grand_is_the_norm_of_the_last_layers_gradient() -> Result<()> {
    const CLASSES: usize = 3;
    const WIDTH: usize = 2;
    let probabilities = |parameters: &[f64], h: &[f32]| -> Vec<f64> {
        let (weights, bias) = parameters.split_at(CLASSES * WIDTH);
        let product =
            |row: &[f64]| -> f64 { row.iter().zip(h).map(|(w, h)| w * f64::from(*h)).sum() };
        let raised: Vec<f64> =
            weights.chunks(WIDTH).zip(bias).map(|(row, b)| (product(row) + b).exp()).collect();
        let total: f64 = raised.iter().sum();
        raised.iter().map(|x| x / total).collect()
    };
    let mut rng = rng(11);
    for _ in 0..20 {
        let mut parameters: Vec<f64> =
            (0..CLASSES * (WIDTH + 1)).map(|_| rng.random_range(-1.0..1.0)).collect();
        let h: Vec<f32> = (0..WIDTH).map(|_| rng.random_range(-2.0..2.0)).collect();
        let label = rng.random_range(0..CLASSES);
        let p: Vec<f32> = probabilities(&parameters, &h).iter().map(|p| *p as f32).collect();
        let mut square = 0.0;
        for k in 0..parameters.len() {
            let kept = parameters[k];
            let [up, down] = [1e-5, -1e-5].map(|step| {
                parameters[k] = kept + step;
                -probabilities(&parameters, &h)[label].ln()
            });
            parameters[k] = kept;
            square += ((up - down) / 2e-5f64).powi(2);
        }
        let labels = [label as u32];
        let evidence = Evidence::new(1).with_features(&h, WIDTH)?.with_labels(&labels)?;
        let score = Grand.scores(&evidence.with_probabilities(&p, CLASSES)?)?[0];
        assert!((score - square.sqrt()).abs() < 1e-6, "{score} against {}", square.sqrt());
    }
    Ok(())
}

#[test]
fn herding_by_hand() -> Result<()> {
    // On a line 0, 1, 2, 9 with mean 3. The nearest to 3 is 2; to 6 - 2 = 4 it is 1; to 9 - 3 = 6 it is
    // 9, three away; then what is left.
    let line = Evidence::new(4).with_features(&[0.0, 1.0, 2.0, 9.0], 1)?;
    assert_eq!(Herding.select(&line, 4, &mut rng(0))?.indices, [2, 1, 3, 0]);
    let same = Evidence::new(3).with_features(&[7.0; 3], 1)?;
    assert_eq!(Herding.select(&same, 3, &mut rng(0))?.indices, [0, 1, 2]);
    // Distances beyond the range of f32.
    let huge = Evidence::new(3).with_features(&[f32::MAX, f32::MIN, 0.0], 1)?;
    assert_eq!(Herding.select(&huge, 3, &mut rng(0))?.len(), 3);
    Ok(())
}

/// Directions (1, 0), (0.6, 0.8), (0, 1): cosines 0.6 and 0.8 with the middle one, 0 between the axes.
fn three_directions() -> Evidence<'static> {
    Evidence::new(3).with_features(&[2.0, 0.0, 3.0, 4.0, 0.0, 9.0], 2).unwrap()
}

#[test]
fn facility_location_by_hand() -> Result<()> {
    // Alone 1.6, 2.4, 1.8; beside the middle one the axes add what it leaves: 0.4 and 0.2.
    let lazy = FacilityLocation::default();
    assert_eq!(lazy.select(&three_directions(), 3, &mut rng(0))?.indices, [1, 0, 2]);
    // A sample of all points is the same search.
    let sampled = FacilityLocation { greedy: Greedy::Stochastic { epsilon: 1e-9 }, ..lazy };
    assert_eq!(sampled.select(&three_directions(), 3, &mut rng(0))?.indices, [1, 0, 2]);
    // Opposite directions and the zero row stand for nobody else.
    let apart = Evidence::new(3).with_features(&[1.0, -1.0, 0.0], 1)?;
    assert_eq!(lazy.select(&apart, 3, &mut rng(0))?.indices, [0, 1, 2]);
    Ok(())
}

#[test]
fn graph_cut_by_hand() -> Result<()> {
    let choice = |trade_off| {
        let strategy = GraphCut { trade_off, ..Default::default() };
        strategy.select(&three_directions(), 3, &mut rng(0))
    };
    // Alone 3 * (1.6, 2.4, 1.8) - 1; then 3.8 - 1.2 = 2.6 against 4.4 - 1.6 = 2.8.
    assert_eq!(choice(3.0)?.indices, [1, 2, 0]);
    // Diversity alone: the first, then the one at a right angle.
    assert_eq!(choice(0.0)?.indices, [0, 2, 1]);
    Ok(())
}

#[test]
fn log_determinant_by_hand() -> Result<()> {
    // log 2 each alone; then log 1.5 for the same direction once more, log 2 for the other axis.
    let strategy = LogDeterminant::default();
    let evidence = Evidence::new(4).with_features(&[1.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 2.0], 2)?;
    assert_eq!(strategy.select(&evidence, 4, &mut rng(0))?.indices, [0, 3, 1, 2]);
    Ok(())
}

#[test]
fn coverage_prunes_the_hardest_and_serves_every_stratum() -> Result<()> {
    let losses: Vec<f64> = (0..100).map(f64::from).collect();
    let evidence = Evidence::new(100).with_losses(&losses)?;
    let strategy = CoverageCentric::new(LargestLoss, 0.2, 10)?;
    // 80 to 99 are pruned; the range 0 to 79 is cut into ten strata of eight losses, four from each.
    let chosen = strategy.select(&evidence, 40, &mut rng(0))?.indices;
    let mut strata = [0; 10];
    chosen.iter().for_each(|i| strata[i / 8] += 1);
    assert_eq!(strata, [4; 10]);
    // The beginning of the list covers the strata too.
    let mut first: Vec<usize> = chosen[..10].iter().map(|i| i / 8).collect();
    first.sort_unstable();
    assert_eq!(first, (0..10).collect::<Vec<_>>());
    // Where more are wanted than pruning leaves, fewer are pruned: the hardest ten are still out.
    let chosen = strategy.select(&evidence, 90, &mut rng(0))?.indices;
    assert!(chosen.iter().all(|i| *i < 90));
    // Equal scores are one stratum.
    let same = Evidence::new(5).with_losses(&[3.0; 5])?;
    assert_eq!(strategy.select(&same, 3, &mut rng(0))?.len(), 3);
    Ok(())
}

#[test]
fn the_fewer_are_kept_the_more_are_too_hard() -> Result<()> {
    let losses: Vec<f64> = (0..1000).map(f64::from).collect();
    let evidence = Evidence::new(1000).with_losses(&losses)?;
    let strategy = CoverageCentric::new(LargestLoss, 0.9, 100)?.cut_by_share();
    // Of the hardest stratum that is left some are chosen, of what is pruned nothing.
    for (count, pruned) in
        [(700, 0), (500, 0), (400, 50), (300, 100), (200, 100), (150, 200), (100, 300)]
    {
        let hardest =
            *strategy.select(&evidence, count, &mut rng(0))?.indices.iter().max().unwrap();
        assert!((990 - pruned..1000 - pruned).contains(&hardest), "{hardest} of {count}");
    }
    Ok(())
}

#[test]
fn a_window_starts_below_the_hardest() -> Result<()> {
    let evidence = Evidence::new(5).with_losses(&[4.0, 9.0, 0.0, 3.0, 4.0])?;
    let strategy = Window::new(LargestLoss, 0.4)?;
    // 9 and the first 4 are left out; where more are wanted, fewer.
    let choice = strategy.select(&evidence, 2, &mut rng(0))?;
    assert_eq!((choice.indices, choice.gains), (vec![4, 3], Some(vec![4.0, 3.0])));
    assert_eq!(strategy.select(&evidence, 4, &mut rng(0))?.indices, [0, 4, 3, 2]);
    Ok(())
}

#[test]
fn moderate_by_hand() -> Result<()> {
    // Class 1 at 0, 1, 2, 5 with mean 2: distances 2, 1, 0, 3, median 1.5. Class 4 at 0 and 6: both 3 from the mean.
    let features = [0.0, 0.0, 1.0, 2.0, 6.0, 5.0];
    let evidence =
        Evidence::new(6).with_features(&features, 1)?.with_labels(&[1, 4, 1, 1, 4, 1])?;
    assert_eq!(Moderate.select(&evidence, 6, &mut rng(0))?.indices, [0, 1, 2, 3, 4, 5]);
    // Two thirds from class 1.
    assert_eq!(Moderate.select(&evidence, 3, &mut rng(0))?.indices, [0, 1, 2]);
    Ok(())
}

#[test]
fn dual_by_hand() -> Result<()> {
    // Windows of two epochs: std |p - q| / sqrt(2), mean (p + q) / 2.
    let rows = [0.0, 1.0, 0.5, /**/ 0.5, 1.0, 0.5, /**/ 1.0, 0.0, 0.5];
    let evidence = Evidence::new(3).with_label_probabilities(&rows)?;
    let scores = Dual::new(2)?.scores(&evidence)?;
    // 0.5 * 0.75 and 0.5 * 0.25; 0 and 1 * 0.5; nothing.
    for (score, expected) in scores.iter().zip([0.25, 0.25, 0.0]) {
        assert!((score * 2f64.sqrt() - expected).abs() < 1e-12, "{scores:?}");
    }
    // All three are one window: variances 0.25, 1/3 and means 1/2, 2/3.
    let scores = Dual::default().scores(&evidence)?;
    for (score, expected) in scores.iter().zip([0.25, 3f64.sqrt().recip() / 3.0, 0.0]) {
        assert!((score - expected).abs() < 1e-12, "{scores:?}");
    }
    let once = Evidence::new(2).with_label_probabilities(&[0.2, 0.7])?;
    assert_eq!(Dual::default().scores(&once)?, [0.0, 0.0]);
    Ok(())
}

/// All scores are equal, so the density of the mean probability alone decides: with `m` the mean of the points drawn,
/// few points are easier than many.
#[test]
fn beta_sampling_turns_to_easy_points_as_the_share_falls() -> Result<()> {
    const POINTS: usize = 2000;
    // Means 0.1 to 0.9, and the spread that makes std(p) (1 - mean(p)) 0.005 sqrt(2).
    let means: Vec<f32> = (0..POINTS).map(|i| 0.1 + 0.8 * i as f32 / POINTS as f32).collect();
    let spread = |m: &f32| 0.005 / (1.0 - m);
    let rows: Vec<f32> =
        (means.iter().map(|m| m - spread(m))).chain(means.iter().map(|m| m + spread(m))).collect();
    let evidence = Evidence::new(POINTS).with_label_probabilities(&rows)?;
    let mean = |count: usize| -> Result<f32> {
        let chosen = BetaSampled::default().select(&evidence, count, &mut rng(3))?.indices;
        Ok(chosen.iter().map(|i| means[*i]).sum::<f32>() / count as f32)
    };
    let (few, some, many) = (mean(40)?, mean(400)?, mean(1000)?);
    assert!(few > some + 0.05 && some > many + 0.05, "{few}, {some}, {many}");
    Ok(())
}

#[test]
fn d2_by_hand() -> Result<()> {
    // Neighbours at distance 1 but the last, which lies 3 beyond the third: their mean square is 3, the unit.
    let evidence = Evidence::new(4).with_features(&[0.0, 1.0, 2.0, 5.0], 1)?;
    let evidence = evidence.with_losses(&[4.0, 0.0, 2.0, 3.0])?;
    let (near, far) = ((-1f64 / 3.0).exp(), (-3f64).exp());
    // Scores 1, 0, 0.5, 0.75. The second is between two hard ones and gets most of all.
    let second = near * 1.5;
    let strategy = D2::new(LargestLoss, 1, 1.0, 1.0)?;
    let choice = strategy.select(&evidence, 4, &mut rng(0))?;
    assert_eq!(choice.indices, [1, 3, 0, 2]);
    let last = 0.75 + far * 0.5;
    let third = 0.5 + far * 0.75 - near * second - far * last;
    let expected = [second, last, 1.0 - near * second, third];
    for (gain, expected) in choice.gains.unwrap().iter().zip(expected) {
        assert!((gain - expected).abs() < 1e-6, "{gain} against {expected}");
    }
    // Messages that fade at once leave the score alone.
    let alone = D2::new(LargestLoss, 1, 1e6, 1e6)?;
    assert_eq!(alone.select(&evidence, 4, &mut rng(0))?.indices, [0, 3, 2, 1]);
    // Duplicates of equal loss: no distance, no range.
    let same = Evidence::new(3).with_features(&[7.0; 3], 1)?.with_losses(&[1.0; 3])?;
    assert_eq!(strategy.select(&same, 3, &mut rng(0))?.len(), 3);
    Ok(())
}

#[test]
fn prototypes_by_hand() -> Result<()> {
    // One cluster of the directions (1, 0), (1, 0), (0.8, 0.6), (0, 1) around (2.8, 1.6): products 2.8, 2.8, 3.2, 1.6.
    let rows = [1.0, 0.0, 9.0, 0.0, 4.0, 3.0, 0.0, 2.0];
    let evidence = Evidence::new(4).with_features(&rows, 2)?;
    let choice = |keep| Prototypes { clusters: Some(1), keep }.select(&evidence, 4, &mut rng(0));
    let hardest = choice(Keep::Farthest)?;
    assert_eq!(hardest.indices, [3, 0, 1, 2]);
    assert_eq!(choice(Keep::Nearest)?.indices, [2, 0, 1, 3]);
    Ok(())
}

#[test]
fn semdedup_by_hand() -> Result<()> {
    // Directions (1, 0), (1, 0), (0.8, 0.6), (0, 1) around (2.8, 1.6). The last is least like the centre and comes
    // first, then the first two, then the third, with a cosine of 0.8 to both.
    let rows = [1.0, 0.0, 9.0, 0.0, 4.0, 3.0, 0.0, 2.0];
    let evidence = Evidence::new(4).with_features(&rows, 2)?;
    let choice = SemDeDup { clusters: Some(1) }.select(&evidence, 4, &mut rng(0))?;
    assert_eq!(choice.indices, [3, 0, 2, 1]);
    for (gain, expected) in choice.gains.unwrap().iter().zip([1.0, 0.0, -0.8, -1.0]) {
        assert!((gain - expected).abs() < 1e-6, "{gain} against {expected}");
    }
    Ok(())
}

#[test]
fn prune4rel_by_hand() -> Result<()> {
    // Cosines 0.6 and 0.8 with the middle one; confidences 0.9, 0.5 and 0.8.
    let evidence = three_directions().with_probabilities(&[0.9, 0.1, 0.5, 0.5, 0.2, 0.8], 2)?;
    let choice = |threshold| {
        let strategy = Prune4Rel { threshold, ..Default::default() };
        strategy.select(&evidence, 3, &mut rng(0))
    };
    // Nobody is near but oneself: by confidence.
    let alone = choice(0.95)?;
    assert_eq!(alone.indices, [0, 2, 1]);
    let gains = alone.gains.unwrap();
    for (gain, confidence) in gains.iter().zip([0.9f64, 0.8, 0.5]) {
        assert!((gain - confidence.tanh()).abs() < 1e-6, "{gains:?}");
    }
    // The last two are neighbours: the last brings 0.8 to itself and 0.64 to the middle one.
    let near = choice(0.7)?;
    assert_eq!(near.indices, [2, 0, 1]);
    let second = (0.64f64 + 0.5).tanh() - 0.64f64.tanh() + (0.8f64 + 0.4).tanh() - 0.8f64.tanh();
    let expected = [0.8f64.tanh() + 0.64f64.tanh(), 0.9f64.tanh(), second];
    for (gain, expected) in near.gains.unwrap().iter().zip(expected) {
        assert!((gain - expected).abs() < 1e-6, "{gain} against {expected}");
    }
    Ok(())
}

#[test]
fn towards_a_target_by_hand() -> Result<()> {
    // To the targets (1, 0) and (0, 1): 1 and 0, 0.6 and 0.8, 0 and 1.
    let target = Evidence::new(2).with_features(&[5.0, 0.0, 0.0, 0.5], 2)?;
    let evidence = three_directions().with_validation(&target);
    let choice = |relevance| {
        let strategy = TowardsTarget { relevance, ..Default::default() };
        strategy.select(&evidence, 3, &mut rng(0))
    };
    // Coverage alone: 1.4 for the middle one, then 0.4 and 0.2 more.
    let covering = choice(0.0)?;
    assert_eq!(covering.indices, [1, 0, 2]);
    for (gain, expected) in covering.gains.unwrap().iter().zip([1.4, 0.4, 0.2]) {
        assert!((gain - expected).abs() < 1e-6, "{gain} against {expected}");
    }
    // Likeness counts three times: 4, 3.8, 4; then 0.8 + 2.4 against 1 + 3.
    assert_eq!(choice(3.0)?.indices, [0, 2, 1]);
    let other = Evidence::new(1).with_features(&[1.0], 1)?;
    let mixed = three_directions().with_validation(&other);
    let error = TowardsTarget::default().select(&mixed, 1, &mut rng(0)).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    Ok(())
}

/// Two hard points among the hardest that the first strategy left, and the beginnings hold of both.
#[test]
fn a_mixed_choice_holds_both_shares() -> Result<()> {
    let losses: Vec<f64> = (0..10).map(f64::from).collect();
    let rows: Vec<f32> = (0..10).map(|i| if i == 9 { 100.0 } else { i as f32 }).collect();
    let evidence = Evidence::new(10).with_losses(&losses)?.with_features(&rows, 1)?;
    let mixed = |share| Mixed::new(KCenter, LargestLoss, share);
    let choice = mixed(0.5)?.select(&evidence, 4, &mut rng(0))?;
    let centers = KCenter.select(&evidence, 2, &mut rng(0))?.indices;
    // Of the largest losses those that are no centers.
    let hard: Vec<usize> = (0..10).rev().filter(|i| !centers.contains(i)).take(2).collect();
    assert_eq!(choice.indices, [centers[0], hard[0], centers[1], hard[1]]);
    for (share, other) in [(0.0, &KCenter as &dyn Selects), (1.0, &LargestLoss)] {
        let (mixed, other) = (
            mixed(share)?.select(&evidence, 3, &mut rng(0))?,
            other.select(&evidence, 3, &mut rng(0))?,
        );
        assert_eq!(mixed.indices, other.indices);
    }
    for share in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(mixed(share), Err(Error::OutOfRange { .. })));
    }
    Ok(())
}

#[test]
fn classes_take_turns() -> Result<()> {
    let labels = [7, 7, 2, 7, 7, 2, 9];
    let losses = [1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 0.0];
    // Columns of class 7: forgotten once, never right, learned at once, forgotten once.
    let history: Vec<bool> = [[1, 0, 1, 1, 1, 0, 1], [0, 0, 1, 1, 0, 0, 1]]
        .iter()
        .flatten()
        .map(|right| *right == 1)
        .collect();
    let evidence = Evidence::new(7).with_labels(&labels)?.with_losses(&losses)?;
    let evidence = evidence.with_history(&history)?;
    let choice = |strategy: &dyn Selects, count| strategy.select(&evidence, count, &mut rng(0));
    // Classes 2, 7 and 9 have two, four points and one.
    let equal = ClassBalanced::new(LargestLoss, Shares::Equal);
    assert_eq!(choice(&equal, 4)?.indices, [5, 1, 6, 4]);
    assert_eq!(choice(&equal, 6)?.indices, [5, 1, 6, 2, 4, 3]);
    let fair = ClassBalanced::new(LargestLoss, Shares::Proportional);
    assert_eq!(choice(&fair, 3)?.indices, [1, 5, 4]);
    let forgotten = ClassBalanced::new(Forgetting, Shares::Equal);
    assert_eq!(choice(&forgotten, 7)?.indices, [5, 1, 6, 2, 0, 4, 3]);
    Ok(())
}

#[test]
fn remembered_points_count_as_chosen() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    // On a line at 0, 1, 2, …, 9; the remembered points are at 0 and 1.
    let rows: Vec<f32> = (0..10).map(|k| k as f32).collect();
    let evidence = Evidence::new(10).with_features(&rows, 1)?.with_remembered(&[0.0, 1.0], 1)?;
    // Farthest from both: 9; then 5 (4 away, as is nothing else); then 3 and 7 (2 away), the smaller first.
    assert_eq!(KCenter.select(&evidence, 4, &mut rng)?.indices, [9, 5, 3, 7]);
    // Everything may be chosen, but nothing twice.
    let mut all = KCenter.select(&evidence, 10, &mut rng)?.indices;
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>());

    // Two clumps: with one remembered, the other is worth more, though it is smaller.
    let rows = [0.0, 0.1, 0.2, 0.3, 5.0, 5.1];
    let similarity = Similarity::Rbf { bandwidth: 0.5 };
    let strategy = FacilityLocation { similarity, ..Default::default() };
    let fresh = Evidence::new(6).with_features(&rows, 1)?;
    assert!(strategy.select(&fresh, 1, &mut rng)?.indices[0] < 4);
    let known = fresh.with_remembered(&[0.1, 0.2], 1)?;
    assert!(strategy.select(&known, 1, &mut rng)?.indices[0] >= 4);
    // Rows of another width, or not numbers, are refused.
    assert!(fresh.with_remembered(&[0.0, 0.0], 2).is_err());
    assert!(
        Evidence::new(3).with_remembered(&[0.0, 0.0], 2)?.with_features(&rows[..3], 1).is_err()
    );
    assert!(fresh.with_remembered(&[f32::NAN], 1).is_err());
    Ok(())
}

/// A learner's last layer on random points: features, probabilities and labels.
fn outputs(points: usize, width: usize, classes: usize, seed: u64) -> Pool {
    let mut pool = Pool::draw_alone(points, width, seed);
    let mut rng = rng(seed);
    pool.features.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
    pool.labels.iter_mut().for_each(|label| *label = rng.random_range(0..classes as u32));
    pool.probabilities = (0..points * classes).map(|_| rng.random_range(0.05..1.0)).collect();
    for row in pool.probabilities.chunks_mut(classes) {
        let total: f32 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= total);
    }
    pool
}

/// `(p - y) [h; 1]'`, a column a class.
fn gradient(pool: &Pool, classes: usize, i: usize) -> Vec<f64> {
    let h = &pool.features[i * pool.width..(i + 1) * pool.width];
    let p = &pool.probabilities[i * classes..(i + 1) * classes];
    let error = |c: usize| f64::from(p[c]) - f64::from(u8::from(c == pool.labels[i] as usize));
    let inputs = h.iter().chain(&[1.0]).map(|h| f64::from(*h));
    (0..classes).flat_map(|c| inputs.clone().map(move |h| error(c) * h)).collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn badge_draws_in_proportion_to_squared_distances() -> Result<()> {
    // Gradients (-h, h) / 2 with h = 9, 8, 6, 9: the first, then never its double, and 1 : 9 between
    // the others. 4,000 draws: 400 give or take sqrt(4000 * 0.1 * 0.9) = 19.
    let evidence = Evidence::new(4).with_features(&[9.0, 8.0, 6.0, 9.0], 1)?;
    let evidence = evidence.with_probabilities(&[0.5; 8], 2)?;
    let mut rng = rng(7);
    let mut near = 0i32;
    for _ in 0..4000 {
        let chosen = Badge.select(&evidence, 2, &mut rng)?.indices;
        assert!(chosen[0] == 0 && [1, 2].contains(&chosen[1]), "{chosen:?}");
        near += i32::from(chosen[1] == 1);
    }
    assert!((near - 400).abs() < 95, "{near}");
    Ok(())
}

/// With as many points as there are, the weights are the optimum of a convex program: where a weight is
/// positive its derivative is zero, where it is zero the derivative is not negative.
#[test]
fn grad_match_weights_meet_the_optimality_conditions() -> Result<()> {
    for seed in 0..20 {
        let (points, classes) = (12, 3);
        let pool = outputs(points, 2, classes, seed);
        let ridge = [0.5, 0.01][seed as usize % 2];
        let strategy = GradMatch { ridge };
        let choice = strategy.select(&pool.evidence(), points, &mut rng(0))?;
        let chosen = choice.indices;
        let gradients: Vec<_> = (0..points).map(|i| gradient(&pool, classes, i)).collect();
        let share = 1.0 / points as f64;
        let mean_square = gradients.iter().map(|g| product(g, g) * share).sum::<f64>();
        // The choice scales its weights; along their ray the program has its optimum at this multiple.
        let sum = |weight: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let along = |k: usize| (0..points).map(|t| weight(t) * gradients[chosen[t]][k]).sum();
            (0..gradients[0].len()).map(along).collect()
        };
        let (weighted, mean) = (sum(&|t| choice.weights[t]), sum(&|_| share));
        let square = product(&weighted, &weighted)
            + ridge * mean_square * product(&choice.weights, &choice.weights);
        let scale = product(&weighted, &mean) / square;
        let weights: Vec<f64> = choice.weights.iter().map(|weight| scale * weight).collect();
        let missing: Vec<f64> = (0..gradients[0].len())
            .map(|k| {
                let mean = gradients.iter().map(|g| g[k] * share).sum::<f64>();
                mean - chosen.iter().zip(&weights).map(|(i, w)| w * gradients[*i][k]).sum::<f64>()
            })
            .collect();
        for (i, weight) in chosen.iter().zip(&weights) {
            let slope = product(&gradients[*i], &missing) - ridge * mean_square * weight;
            // Correlations in f32 end the search at 1e-6 of the lengths.
            assert!(*weight >= 0.0 && slope < 1e-5, "seed {seed}: {slope} at {weight}");
            assert!(*weight == 0.0 || slope.abs() < 1e-6, "seed {seed}: {slope} at {weight}");
        }
        assert!(weights.iter().any(|weight| *weight > 0.0));
    }
    Ok(())
}

/// With a refresh for each choice: before each one, the slope of the validation loss along every
/// gradient, by central differences in the logits of the validation points (error about 1e-9, far below
/// the gaps between random points).
#[test]
fn glister_follows_the_slope_of_the_validation_loss() -> Result<()> {
    let (points, classes, count, rate) = (10, 3, 6, 4.0);
    for seed in 0..10 {
        let (pool, judge) = (outputs(points, 2, classes, seed), outputs(5, 2, classes, !seed));
        let gradients: Vec<_> = (0..points).map(|i| gradient(&pool, classes, i)).collect();
        let row = |v: usize| judge.features[v * 2..v * 2 + 2].iter().chain(&[1.0]);
        let loss = |step: &[f64]| -> f64 {
            let of = |v: usize| {
                let logit = |c: usize| {
                    let h: Vec<f64> = row(v).map(|h| f64::from(*h)).collect();
                    f64::from(judge.probabilities[v * classes + c]).ln()
                        + product(&step[c * 3..c * 3 + 3], &h)
                };
                let total: f64 = (0..classes).map(|c| logit(c).exp()).sum();
                total.ln() - logit(judge.labels[v] as usize)
            };
            (0..5).map(of).sum::<f64>() / 5.0
        };
        let moved = |step: &[f64], along: &[f64], by: f64| -> Vec<f64> {
            step.iter().zip(along).map(|(s, g)| s - by * g).collect()
        };
        let (mut step, mut naive) = (vec![0.0; classes * 3], Vec::new());
        while naive.len() < count {
            let slope = |i: usize| {
                let at = |by| loss(&moved(&step, &gradients[i], by));
                (at(-1e-5) - at(1e-5)) / 2e-5
            };
            let free = (0..points).filter(|i| !naive.contains(i));
            let next = free.max_by(|a, b| slope(*a).total_cmp(&slope(*b))).unwrap();
            step = moved(&step, &gradients[next], rate / count as f64);
            naive.push(next);
        }
        let strategy = Glister { rate, refreshes: count };
        let validation = judge.evidence();
        let evidence = pool.evidence().with_validation(&validation);
        assert_eq!(strategy.select(&evidence, count, &mut rng(0))?.indices, naive, "seed {seed}");
    }
    Ok(())
}

#[test]
fn glister_refuses_validation_points_of_another_learner() -> Result<()> {
    let (pool, wider) = (outputs(6, 2, 3, 0), outputs(4, 3, 3, 1));
    let validation = wider.evidence();
    let evidence = pool.evidence().with_validation(&validation);
    let error = Glister::default().select(&evidence, 2, &mut rng(0)).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    Ok(())
}

/// No other point would have added more to the paper's objective over all distances.
#[test]
fn craig_is_the_papers_objective_where_nothing_is_left_out() -> Result<()> {
    let (points, classes) = (20, 3);
    for seed in 0..10 {
        let mut pool = outputs(points, 2, classes, seed);
        pool.labels.fill(1);
        let gradients: Vec<_> = (0..points).map(|i| gradient(&pool, classes, i)).collect();
        let distance = |i: usize, j: usize| {
            let pairs = gradients[i].iter().zip(&gradients[j]);
            pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
        };
        let pairs = (0..points).flat_map(|i| (0..points).map(move |j| (i, j)));
        let farthest = pairs.map(|(i, j)| distance(i, j)).fold(0.0, f64::max);
        let value = |set: &[usize]| -> f64 {
            let best = |i| set.iter().map(|j| farthest - distance(i, *j)).fold(0.0, f64::max);
            (0..points).map(best).sum()
        };
        let strategy = Craig { neighbours: points, ..Default::default() };
        let Choice { indices: chosen, weights, .. } =
            strategy.select(&pool.evidence(), 6, &mut rng(0))?;
        for t in 0..chosen.len() {
            let with = |j: usize| value(&[&chosen[..t], &[j]].concat());
            let best = (0..points).map(with).fold(0.0, f64::max);
            // Two points that stand for each other alone tie; sums of 20 numbers in f32 are good to 1e-5.
            assert!(with(chosen[t]) > best - 1e-5, "seed {seed}: choice {t} of {chosen:?}");
        }
        // Numbers of points, 20 in all, scaled to six.
        for weight in weights.iter().map(|weight| weight * points as f64 / 6.0) {
            assert!(weight > 0.5 && (weight - weight.round()).abs() < 1e-9, "{weight}");
        }
    }
    Ok(())
}

#[test]
fn groups_stay_whole() -> Result<()> {
    let pool = Pool::draw(40, 2, 3);
    let chosen = Grouped::new(El2n).select(&pool.evidence(), 20, &mut rng(0))?.indices;
    for i in &chosen {
        let whole = (0..40).filter(|j| pool.groups[*j] == pool.groups[*i]);
        assert!(whole.into_iter().all(|j| chosen.contains(&j)), "{chosen:?}");
    }
    let pair = Evidence::new(2).with_losses(&[1.0, 2.0])?.with_groups(&[3, 3])?;
    let error = Grouped::new(LargestLoss).select(&pair, 1, &mut rng(0)).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    Ok(())
}

#[test]
fn facility_location_weighs_gains_against_costs() -> Result<()> {
    // Three strangers: by gain the dear one alone, by gain per cost the two cheap ones.
    let axes = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let evidence = Evidence::new(3).with_features(&axes, 3)?.with_costs(&[3.0, 1.0, 2.0])?;
    let within = |budget| FacilityLocation { budget: Some(budget), ..Default::default() };
    assert_eq!(within(3.0).select(&evidence, 3, &mut rng(0))?.indices, [1, 2]);
    assert_eq!(within(1.0).select(&evidence, 3, &mut rng(0))?.indices, [1]);
    // Both searches find two strangers: the one by gain stays.
    assert_eq!(within(9.0).select(&evidence, 2, &mut rng(0))?.indices, [0, 1]);
    let sampled = FacilityLocation { greedy: Greedy::Stochastic { epsilon: 0.1 }, ..within(9.0) };
    let error = sampled.select(&evidence, 2, &mut rng(0)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    Ok(())
}

#[test]
fn convex_takes_one_of_each_pile_and_avoids_what_is_dear() -> Result<()> {
    // Five far piles of eight; in each pile all but the last point carry a price.
    let rows: Vec<f32> =
        (0..40).flat_map(|i| [(i / 8) as f32 * 10.0, (i % 8) as f32 * 0.01]).collect();
    let prices: Vec<f64> = (0..40).map(|i| if i % 8 == 7 { 0.0 } else { 1.0 }).collect();
    let evidence = Evidence::new(40).with_features(&rows, 2)?;
    for seed in 0..5 {
        let mut chosen = Convex::default().select(&evidence, 5, &mut rng(seed))?.indices;
        chosen.sort_unstable();
        assert_eq!(chosen.iter().map(|i| i / 8).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let priced = evidence.with_column_costs(&prices)?;
        let mut chosen = Convex::default().select(&priced, 5, &mut rng(seed))?.indices;
        chosen.sort_unstable();
        assert_eq!(chosen, [7, 15, 23, 31, 39]);
    }
    Ok(())
}

/// Two groups: a dear session pays for one whole group, a free one for the best of both; nothing is bought
/// that the money does not cover.
#[test]
fn a_purchase_keeps_to_its_money_and_groups_stay_whole() -> Result<()> {
    let rows = [0.0, 0.1, 0.2, 5.0, 5.1, 5.2];
    let evidence = Evidence::new(6).with_features(&rows, 1)?.with_groups(&[0, 0, 0, 1, 1, 1])?;
    let evidence = evidence.with_costs(&[1.0; 6])?;
    let buy = |offers, at_random, session, money| -> Result<Vec<usize>> {
        let purchase = Purchase { offers, at_random, session, money, smoothing: 0.1 };
        let mut indices = purchase.select(&evidence, 6, &mut rng(3))?.indices;
        indices.sort_unstable();
        Ok(indices)
    };
    for at_random in [false, true] {
        let group = buy(Offers::Groups, at_random, 10.0, 13.0)?;
        assert!(group == [0, 1, 2] || group == [3, 4, 5], "{group:?}");
        assert_eq!(buy(Offers::Points, at_random, 0.0, 6.0)?.len(), 6);
        assert!(buy(Offers::Points, at_random, 10.0, 10.5).is_err());
    }
    // Two points for the price of two, one of each group.
    for offers in [Offers::Points, Offers::PointsWithSessions] {
        let pair = buy(offers, false, 0.0, 2.0)?;
        assert!(matches!(pair[..], [0..3, 3..6]), "{pair:?}");
    }
    Ok(())
}

/// Points at 0, 1 and 5 on a line, strangers from a distance of 2 on: the first two are half alike.
#[test]
fn masses_and_prices_move_facilities_by_hand() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let similarity = Similarity::Linear { reach: 2.0 };
    let strategy = FacilityLocation { similarity, ..Default::default() };
    let evidence = Evidence::new(3).with_features(&[0.0, 1.0, 5.0], 1)?;
    let gains = |evidence: &Evidence, rng: &mut ChaCha8Rng| -> Result<(Vec<usize>, Vec<f64>)> {
        let choice = strategy.select(evidence, 2, rng)?;
        Ok((choice.indices, choice.gains.unwrap()))
    };
    assert_eq!(gains(&evidence, &mut rng)?, (vec![0, 2], vec![1.5, 1.0]));
    // A mean mass of 2.
    let heavy = evidence.with_masses(&[1.0, 1.0, 4.0])?;
    assert_eq!(gains(&heavy, &mut rng)?, (vec![2, 0], vec![4.0, 1.5]));
    let dear = evidence.with_column_costs(&[0.25, 0.0, 1.5])?;
    assert_eq!(gains(&dear, &mut rng)?, (vec![1, 0], vec![1.5, 0.25]));
    let both = heavy.with_column_costs(&[0.25, 0.0, 1.5])?;
    assert_eq!(gains(&both, &mut rng)?, (vec![1, 2], vec![1.5, 1.0]));
    for masses in [[1.0, -1.0, 1.0], [f64::NAN, 1.0, 1.0]] {
        assert!(evidence.with_masses(&masses).is_err());
    }
    for reach in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let similarity = Similarity::Linear { reach };
        let refused = FacilityLocation { similarity, ..Default::default() };
        assert!(refused.select(&evidence, 1, &mut rng).is_err());
    }
    Ok(())
}
