//! Values of points against their definitions, written down plainly.

use approx::assert_relative_eq;
use gleaner::choose::Evidence;
use gleaner::value::{KnnShapley, NeighbourAgreement, SelfConfidence, Valuation};
use gleaner::{Error, Seeds};
use proptest::collection::vec;
use proptest::prelude::*;

/// The vote on one validation point by the points of a set, a bit each.
fn vote(set: u32, features: &[f32], labels: &[u32], k: usize, query: (f32, u32)) -> f64 {
    let mut members: Vec<usize> = (0..labels.len()).filter(|i| set >> i & 1 == 1).collect();
    let far = |i: &usize| f64::from(features[*i]) - f64::from(query.0);
    members.sort_by(|a, b| far(a).powi(2).total_cmp(&far(b).powi(2)).then(a.cmp(b)));
    let right = members.iter().take(k).filter(|i| labels[**i] == query.1).count();
    right as f64 / k as f64
}

/// The definition: mean of what a point adds to each set of the others, sets of a size counting alike.
fn shapley(features: &[f32], labels: &[u32], k: usize, query: (f32, u32)) -> Vec<f64> {
    let n = labels.len();
    let choose = |n: usize, r: usize| (0..r).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
    let value = |set: u32| vote(set, features, labels, k, query);
    (0..n)
        .map(|i| {
            let others = (0..1u32 << n).filter(|set| set >> i & 1 == 0);
            let adds = others.map(|set| {
                let size = set.count_ones() as usize;
                (value(set | 1 << i) - value(set)) / (n as f64 * choose(n - 1, size))
            });
            adds.sum()
        })
        .collect()
}

proptest! {
    /// Coarse features, so that ties are common; fewer points than neighbours included.
    #[test]
    fn knn_shapley_is_the_shapley_value(
        (features, labels) in (1usize..8).prop_flat_map(|n| (vec(0u8..5, n), vec(0u32..3, n))),
        validation in vec((0u8..5, 0u32..3), 1..4), k in 1usize..9,
    ) {
        let features: Vec<f32> = features.into_iter().map(f32::from).collect();
        let rows: Vec<f32> = validation.iter().map(|(x, _)| f32::from(*x)).collect();
        let wanted: Vec<u32> = validation.iter().map(|(_, y)| *y).collect();
        let seen = Evidence::new(rows.len()).with_features(&rows, 1)?.with_labels(&wanted)?;
        let evidence = Evidence::new(labels.len()).with_features(&features, 1)?;
        let evidence = evidence.with_labels(&labels)?.with_validation(&seen);
        let found = KnnShapley { neighbours: k }.values(&evidence, &mut Seeds::new(0).stream(0))?;
        let each: Vec<Vec<f64>> = rows.iter().zip(&wanted)
            .map(|(x, y)| shapley(&features, &labels, k, (*x, *y)))
            .collect();
        for (i, found) in found.iter().enumerate() {
            let mean = each.iter().map(|values| values[i]).sum::<f64>() / each.len() as f64;
            // Sums of a hundred terms below one.
            prop_assert!((found - mean).abs() < 1e-12, "{i}: {found} {mean}");
        }
    }
}

#[test]
fn labels_agree_with_themselves_and_with_neighbours() {
    let rng = &mut Seeds::new(0).stream(0);
    let evidence = Evidence::new(4)
        .with_features(&[0.0, 1.0, 2.0, 10.0], 1)
        .and_then(|evidence| evidence.with_labels(&[0, 0, 1, 1]))
        .and_then(|evidence| {
            evidence.with_probabilities(&[0.75, 0.25, 0.5, 0.5, 1.0, 0.0, 0.25, 0.75], 2)
        })
        .unwrap();
    assert_eq!(SelfConfidence.values(&evidence, rng).unwrap(), [0.75, 0.5, 0.0, 0.75]);
    // The two nearest of each: 1 2, 0 2 (a tie with nobody), 1 0, 2 1.
    let found = NeighbourAgreement { neighbours: 2 }.values(&evidence, rng).unwrap();
    assert_eq!(found, [0.5, 0.5, 0.0, 0.5]);
    // All others, however many were asked for.
    let found = NeighbourAgreement { neighbours: 99 }.values(&evidence, rng).unwrap();
    found.iter().for_each(|share| assert_relative_eq!(*share, 1.0 / 3.0));
    let alone = Evidence::new(1).with_features(&[3.0], 1).unwrap().with_labels(&[0]).unwrap();
    assert_eq!(NeighbourAgreement::default().values(&alone, rng).unwrap(), [1.0]);
}

#[test]
fn what_is_missing_or_odd_is_refused() {
    let rng = &mut Seeds::new(0).stream(0);
    let all: [&dyn Valuation; 3] =
        [&KnnShapley::default(), &NeighbourAgreement::default(), &SelfConfidence];
    for valuation in all {
        let found = valuation.values(&Evidence::new(2), rng);
        assert!(matches!(found, Err(Error::Unknown { .. })), "{}", valuation.name());
    }
    let seen = Evidence::new(1).with_features(&[0.0, 1.0], 2).unwrap().with_labels(&[0]).unwrap();
    let evidence = Evidence::new(2).with_features(&[0.0, 1.0], 1).unwrap();
    let evidence = evidence.with_labels(&[0, 1]).unwrap().with_validation(&seen);
    let found = KnnShapley::default().values(&evidence, rng);
    assert!(matches!(found, Err(Error::Shape { .. })), "{found:?}");
    for valuation in
        [&KnnShapley { neighbours: 0 } as &dyn Valuation, &NeighbourAgreement { neighbours: 0 }]
    {
        assert!(matches!(valuation.values(&evidence, rng), Err(Error::OutOfRange { .. })));
    }
}
