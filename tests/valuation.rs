//! Values of points against their definitions, written down plainly.

use approx::assert_relative_eq;
use gleaner::choose::{Evidence, Kind};
use gleaner::value::{
    CutFeatures, DataOob, Dvrl, Influence, KnnBanzhaf, KnnBetaShapley, KnnShapley, Lava,
    LeaveOneOut, NeighbourAgreement, SelfConfidence, TracIn, ValidationMasses, Valuation,
};
use gleaner::{Error, Seeds};
use nalgebra::{DMatrix, DVector};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::Rng;

/// The vote on one validation point by the points of a set, a bit each.
fn vote(set: u32, features: &[f32], labels: &[u32], k: usize, query: (f32, u32)) -> f64 {
    let mut members: Vec<usize> = (0..labels.len()).filter(|i| set >> i & 1 == 1).collect();
    let far = |i: &usize| f64::from(features[*i]) - f64::from(query.0);
    members.sort_by(|a, b| far(a).powi(2).total_cmp(&far(b).powi(2)).then(a.cmp(b)));
    let right = members.iter().take(k).filter(|i| labels[**i] == query.1).count();
    right as f64 / k as f64
}

/// Of a set, by its size.
type Weight<'a> = &'a dyn Fn(usize) -> f64;

/// The definition: sum of what a point adds to each set of the others, times the set's weight by its size.
fn semivalue(
    features: &[f32],
    labels: &[u32],
    k: usize,
    query: (f32, u32),
    weight: Weight,
) -> Vec<f64> {
    let value = |set: u32| vote(set, features, labels, k, query);
    (0..labels.len())
        .map(|i| {
            let others = (0..1u32 << labels.len()).filter(|set| set >> i & 1 == 0);
            let adds = others
                .map(|set| weight(set.count_ones() as usize) * (value(set | 1 << i) - value(set)));
            adds.sum()
        })
        .collect()
}

/// `E t^s (1 - t)^(m - s)` for `t ~ Beta(beta, alpha)`: a product of factors, one a point.
fn beta_weight(alpha: f64, beta: f64, m: usize, s: usize) -> f64 {
    let drawn: f64 = (0..s).map(|a| beta + a as f64).product();
    let left: f64 = (0..m - s).map(|a| alpha + a as f64).product();
    drawn * left / (0..m).map(|a| alpha + beta + a as f64).product::<f64>()
}

proptest! {
    /// Coarse features, so that ties are common; fewer points than neighbours included.
    #[test]
    fn votes_have_the_values_that_their_definitions_say(
        (features, labels) in (1usize..8).prop_flat_map(|n| (vec(0u8..5, n), vec(0u32..3, n))),
        validation in vec((0u8..5, 0u32..3), 1..4), k in 1usize..9,
    ) {
        let features: Vec<f32> = features.into_iter().map(f32::from).collect();
        let rows: Vec<f32> = validation.iter().map(|(x, _)| f32::from(*x)).collect();
        let wanted: Vec<u32> = validation.iter().map(|(_, y)| *y).collect();
        let seen = Evidence::new(rows.len()).with_features(&rows, 1)?.with_labels(&wanted)?;
        let evidence = Evidence::new(labels.len()).with_features(&features, 1)?;
        let evidence = evidence.with_labels(&labels)?.with_validation(&seen);
        let (others, rng) = (labels.len() - 1, &mut Seeds::new(0).stream(0));
        let shapley = |s: usize| beta_weight(1.0, 1.0, others, s);
        let small = |s: usize| beta_weight(4.0, 0.5, others, s);
        let alike = |_: usize| 0.5f64.powi(others as i32);
        let cases: [(&dyn Valuation, Weight); 3] = [
            (&KnnShapley { neighbours: k }, &shapley),
            (&KnnBetaShapley { neighbours: k, alpha: 4.0, beta: 0.5 }, &small),
            (&KnnBanzhaf { neighbours: k }, &alike),
        ];
        for (valuation, weight) in cases {
            let found = valuation.values(&evidence, rng)?;
            let each: Vec<Vec<f64>> = rows.iter().zip(&wanted)
                .map(|(x, y)| semivalue(&features, &labels, k, (*x, *y), weight))
                .collect();
            for (i, found) in found.iter().enumerate() {
                let mean = each.iter().map(|values| values[i]).sum::<f64>() / each.len() as f64;
                // Sums of a hundred terms below one.
                prop_assert!((found - mean).abs() < 1e-12, "{} {i}: {found} {mean}", valuation.name());
            }
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

/// Points around one centre a class, row-major.
fn clouds(labels: &[u32], width: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seeds::new(seed).stream(9);
    let centre = |label: &u32, j: usize| if *label as usize % width == j { 2.0 } else { 0.0 };
    let rows = labels.iter().flat_map(|label| (0..width).map(move |j| centre(label, j)));
    rows.map(|centre| centre + rng.random_range(-1.5..1.5)).collect()
}

#[test]
fn trees_vote_on_what_is_out_of_their_bag() {
    let rng = &mut Seeds::new(0).stream(0);
    let mut value = |features: &[f32], labels: &[u32], settings: DataOob| {
        let evidence = Evidence::new(labels.len()).with_features(features, 1).unwrap();
        settings.values(&evidence.with_labels(labels).unwrap(), rng).unwrap()
    };
    // Nothing to cut by: the bag's majority. Out of the bag the only one of its class meets the others alone.
    let found = value(&[5.0; 9], &[0, 0, 0, 0, 3, 0, 0, 0, 0], DataOob::default());
    assert_eq!(found[4], 0.0);
    // The others are wrong where it is most of the bag: five or more of nine draws of one in nine (of them out of bag).
    assert!(found.iter().enumerate().all(|(i, value)| i == 4 || *value > 0.98), "{found:?}");
    // Two far clusters; a bag without one of them has a chance of 2^-19.
    let features: Vec<f32> = (0..20).map(|i| if i < 10 { 0.0 } else { 100.0 } + i as f32).collect();
    let mut labels: Vec<u32> = (0..20).map(|i| u32::from(i >= 10)).collect();
    for features_of in [CutFeatures::All, CutFeatures::SquareRoot] {
        let found =
            value(&features, &labels, DataOob { features: features_of, ..Default::default() });
        assert!(found.iter().all(|value| *value > 0.95), "{found:?}");
    }
    // One cut tells them apart, and no bag contradicts a wrong label once it is out.
    labels[4] = 1;
    let found = value(&features, &labels, DataOob { depth: 1, ..Default::default() });
    assert!(found[4] < 0.05 && found[5] > 0.9, "{found:?}");
    // In its one bag, a point has the mean of the others of its class; alone it agrees with everybody.
    let found = value(&features, &labels, DataOob { trees: 1, ..Default::default() });
    assert!(found.iter().all(|value| (0.0..=1.0).contains(value)), "{found:?}");
    assert_eq!(value(&[1.0], &[7], DataOob::default()), [1.0]);
}

/// A fifth of two clusters' labels is wrong: of as many points with the least values chance finds a fifth too. The bar is
/// four fifths, for each of three seeds.
#[test]
fn reinforcement_finds_flipped_labels() {
    let (points, wrong) = (100, |i: usize| i % 5 == 3);
    let clean: Vec<u32> = (0..points as u32).map(|i| i / 50).collect();
    let labels: Vec<u32> = clean.iter().enumerate().map(|(i, y)| y ^ u32::from(wrong(i))).collect();
    let wanted: Vec<u32> = (0..20).map(|i| i / 10).collect();
    // Further apart than they are wide: no flipped label is one that its place explains.
    let apart = |labels: &[u32], seed| -> Vec<f32> {
        let rows = clouds(labels, 2, seed);
        let moved =
            rows.iter().zip(labels.iter().flat_map(|y| [*y as f32 * -2.0, *y as f32 * 2.0]));
        moved.map(|(x, by)| x + by).collect()
    };
    let (features, others) = (apart(&clean, 10), apart(&wanted, 11));
    let seen = Evidence::new(20).with_features(&others, 2).unwrap();
    let seen = seen.with_labels(&wanted).unwrap();
    let evidence = Evidence::new(points).with_features(&features, 2).unwrap();
    let evidence = evidence.with_labels(&labels).unwrap().with_validation(&seen);
    for seed in 0..3 {
        let values = Dvrl::default().values(&evidence, &mut Seeds::new(seed).stream(0)).unwrap();
        assert!(values.iter().all(|p| (0.0..=1.0).contains(p)));
        let mut order: Vec<usize> = (0..points).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let found = order[..20].iter().filter(|i| wrong(**i)).count();
        assert!(found >= 16, "seed {seed}: {found} of 20");
    }
}

/// Against a ridge taught without the point, written down plainly. 1e-8: factors of matrices with a condition below
/// 1e6.
#[test]
fn leaving_one_out_is_teaching_without_it() {
    let (width, classes) = (3, 3);
    let labels: Vec<u32> = (0..20).map(|i| i * 7 % 3).collect();
    let wanted = [0, 1, 2, 0, 1];
    let (features, others) = (clouds(&labels, width, 1), clouds(&wanted, width, 2));
    let seen = Evidence::new(5).with_features(&others, width).unwrap();
    let seen = seen.with_labels(&wanted).unwrap();
    let evidence = Evidence::new(20).with_features(&features, width).unwrap();
    let evidence = evidence.with_labels(&labels).unwrap().with_validation(&seen);
    let rng = &mut Seeds::new(0).stream(0);
    let found = LeaveOneOut { ridge: 1e-3, fourier: 0 }.values(&evidence, rng).unwrap();

    let raw = DMatrix::from_fn(20, width, |i, j| f64::from(features[i * width + j]));
    let means: Vec<f64> = raw.column_iter().map(|column| column.mean()).collect();
    let deviations: Vec<f64> = raw.column_iter().map(|c| c.variance().sqrt()).collect();
    let table = |rows: &[f32]| {
        DMatrix::from_fn(rows.len() / width, width + 1, |i, j| match j {
            j if j == width => 1.0,
            j => (f64::from(rows[i * width + j]) - means[j]) / deviations[j],
        })
    };
    let one_hot = |of: &[u32]| {
        DMatrix::from_fn(of.len(), classes, |i, c| f64::from(u8::from(of[i] as usize == c)))
    };
    let (phi, y, phi_v, y_v) =
        (table(&features), one_hot(&labels), table(&others), one_hot(&wanted));
    let lambda = 1e-3 * (phi.transpose() * &phi).trace() / (width + 1) as f64;
    let loss = |kept: &[usize]| {
        let (rows, targets) = (phi.select_rows(kept), y.select_rows(kept));
        let a = rows.transpose() * &rows + DMatrix::identity(width + 1, width + 1) * lambda;
        let t = a.lu().solve(&(rows.transpose() * targets)).unwrap();
        (&phi_v * t - &y_v).norm_squared() / 5.0
    };
    let all: Vec<usize> = (0..20).collect();
    for (i, found) in found.iter().enumerate() {
        let kept: Vec<usize> = all.iter().copied().filter(|j| *j != i).collect();
        assert_relative_eq!(*found, loss(&kept) - loss(&all), epsilon = 1e-8);
    }
}

/// Softmax regression of weighted points, `sum w_i loss_i / N + lambda / 2 ||theta||^2`, by Newton's method: classes x
/// inputs.
fn softmax_regression(
    rows: &DMatrix<f64>,
    labels: &[u32],
    weights: &[f64],
    lambda: f64,
) -> DMatrix<f64> {
    let (classes, width) = (3, rows.ncols());
    let n = labels.len() as f64;
    let mut theta = DMatrix::zeros(classes, width);
    for _ in 0..30 {
        let mut gradient = &theta * lambda;
        let mut hessian = DMatrix::identity(classes * width, classes * width) * lambda;
        for (i, label) in labels.iter().enumerate() {
            let h: DVector<f64> = rows.row(i).transpose();
            let p = softmax(&(&theta * &h));
            let mut error = p.clone();
            error[*label as usize] -= 1.0;
            gradient += error * h.transpose() * (weights[i] / n);
            let curvature = DMatrix::from_diagonal(&p) - &p * p.transpose();
            hessian += (&h * h.transpose()).kronecker(&curvature) * (weights[i] / n);
        }
        let step = hessian.lu().solve(&DVector::from_column_slice(gradient.as_slice())).unwrap();
        theta -= DMatrix::from_column_slice(classes, width, step.as_slice());
    }
    theta
}

fn softmax(z: &DVector<f64>) -> DVector<f64> {
    let top = z.max();
    let powers = z.map(|z| (z - top).exp());
    let sum = powers.sum();
    powers / sum
}

/// Influence against central differences in a point's weight, TracIn against all products of gradients. 1e-5 of the
/// largest: probabilities come in `f32`, and the difference's own error is the square of 1e-3.
#[test]
fn influence_is_the_derivative_in_a_points_weight() {
    let (width, classes, damping) = (2, 3, 0.05);
    let labels: Vec<u32> = (0..15).map(|i| i * 7 % 3).collect();
    let wanted = [0, 1, 2, 2];
    let (features, others) = (clouds(&labels, width, 3), clouds(&wanted, width, 4));
    let table = |rows: &[f32]| {
        DMatrix::from_fn(rows.len() / width, width + 1, |i, j| match j {
            j if j == width => 1.0,
            j => f64::from(rows[i * width + j]),
        })
    };
    let (rows, rows_v) = (table(&features), table(&others));
    let lambda = damping * rows.norm_squared() / rows.len() as f64;
    let judge = |theta: &DMatrix<f64>, rows: &DMatrix<f64>| -> Vec<f32> {
        let each =
            rows.row_iter().flat_map(|h| softmax(&(theta * h.transpose())).as_slice().to_vec());
        each.map(|p| p as f32).collect()
    };
    let loss = |theta: &DMatrix<f64>| -> f64 {
        let each = rows_v.row_iter().zip(wanted);
        each.map(|(h, y)| -softmax(&(theta * h.transpose()))[y as usize].ln()).sum::<f64>() / 4.0
    };
    let theta = softmax_regression(&rows, &labels, &[1.0; 15], lambda);
    let (p, p_v) = (judge(&theta, &rows), judge(&theta, &rows_v));
    let seen = Evidence::new(4).with_features(&others, width).unwrap();
    let seen = seen.with_labels(&wanted).unwrap().with_probabilities(&p_v, classes).unwrap();
    let evidence = Evidence::new(15).with_features(&features, width).unwrap();
    let evidence = evidence.with_labels(&labels).unwrap().with_probabilities(&p, classes).unwrap();
    let evidence = evidence.with_validation(&seen);
    let rng = &mut Seeds::new(0).stream(0);

    let found = Influence { damping }.values(&evidence, rng).unwrap();
    let largest = found.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (i, found) in found.iter().enumerate() {
        let at = |step: f64| {
            let mut weights = [1.0; 15];
            weights[i] += step;
            loss(&softmax_regression(&rows, &labels, &weights, lambda))
        };
        let slope = (at(1e-3) - at(-1e-3)) / 2e-3;
        assert_relative_eq!(-slope, *found, epsilon = 1e-5 * largest);
    }

    let error = |p: &[f32], label: u32, i: usize| {
        let one = |c: usize| f64::from(u8::from(label as usize == c));
        DVector::from_fn(classes, |c, _| f64::from(p[i * classes + c]) - one(c))
    };
    for (i, found) in TracIn.values(&evidence, rng).unwrap().iter().enumerate() {
        let product = |v: usize| {
            let errors = error(&p, labels[i], i).dot(&error(&p_v, wanted[v], v));
            errors * rows.row(i).dot(&rows_v.row(v)) / 4.0
        };
        // Errors are subtracted in f32.
        assert_relative_eq!(*found, (0..4).map(product).sum::<f64>(), epsilon = 1e-6);
    }
}

/// Entropic transport as it is written, without logarithms: the rows' duals, the transport's cost and the whole
/// objective.
fn sinkhorn(
    costs: &DMatrix<f64>,
    rows: &DVector<f64>,
    columns: &DVector<f64>,
    eps: f64,
) -> (DVector<f64>, f64, f64) {
    let kernel = costs.map(|c| (-c / eps).exp());
    let (mut u, mut v) = (rows.clone(), columns.clone());
    for _ in 0..20_000 {
        u = rows.component_div(&(&kernel * &v));
        v = columns.component_div(&(kernel.transpose() * &u));
    }
    let plan = DMatrix::from_diagonal(&u) * kernel * DMatrix::from_diagonal(&v);
    let cost = plan.dot(costs);
    let entropy = -plan.map(|p| p * p.ln()).sum();
    (u.map(|u| eps * u.ln()), cost, cost - eps * entropy)
}

/// Against the plain iteration to its end: 1e-4 of a cost near one, for row sums are right to a relative 1e-5. The
/// value is minus the slope of the objective, by central differences.
#[test]
fn lava_is_the_slope_of_the_transport() {
    let (width, n, m) = (2, 8, 5);
    let labels = [0, 1, 2, 0, 1, 2, 0, 1];
    let wanted = [0, 1, 0, 2, 1];
    let (features, others) = (clouds(&labels, width, 5), clouds(&wanted, width, 6));
    let seen = Evidence::new(m).with_features(&others, width).unwrap();
    let seen = seen.with_labels(&wanted).unwrap();
    let evidence = Evidence::new(n).with_features(&features, width).unwrap();
    let evidence = evidence.with_labels(&labels).unwrap().with_validation(&seen);

    let raw = DMatrix::from_fn(n, width, |i, j| f64::from(features[i * width + j]));
    let deviation: Vec<f64> = raw.column_iter().map(|c| c.variance().sqrt()).collect();
    let far = DMatrix::from_fn(n, m, |i, v| {
        let gap = |j: usize| f64::from(features[i * width + j]) - f64::from(others[v * width + j]);
        (0..width).map(|j| (gap(j) / deviation[j]).powi(2)).sum::<f64>().sqrt()
    });
    let equal = |n: usize| DVector::repeat(n, 1.0 / n as f64);
    let between = |a: u32, b: u32| {
        let of = |all: &[u32], label: u32| -> Vec<usize> {
            (0..all.len()).filter(|i| all[*i] == label).collect()
        };
        let part = far.select_rows(&of(&labels, a)).select_columns(&of(&wanted, b));
        sinkhorn(&part, &equal(part.nrows()), &equal(part.ncols()), 0.2 * part.mean()).1
    };
    let costs = DMatrix::from_fn(n, m, |i, v| far[(i, v)] + 0.7 * between(labels[i], wanted[v]));
    let eps = 0.2 * costs.mean();
    // Three, three and two of eight, over two, two and one.
    let like_points = DVector::from_column_slice(&[3.0, 3.0, 3.0, 4.0, 3.0]) / 16.0;
    for (masses, columns) in
        [(ValidationMasses::Equal, equal(m)), (ValidationMasses::LikePoints, like_points)]
    {
        let method = Lava { smoothing: 0.2, label_weight: 0.7, masses, ..Default::default() };
        let found = method.values(&evidence, &mut Seeds::new(0).stream(0)).unwrap();
        let (duals, ..) = sinkhorn(&costs, &equal(n), &columns, eps);
        for i in 0..n {
            let calibrated = duals[i] - (duals.sum() - duals[i]) / (n - 1) as f64;
            assert_relative_eq!(found[i], -calibrated, epsilon = 1e-4);
            let objective = |step: f64| {
                let mut rows = equal(n).add_scalar(-step / (n - 1) as f64);
                rows[i] = 1.0 / n as f64 + step;
                sinkhorn(&costs, &rows, &columns, eps).2
            };
            let slope = (objective(1e-4) - objective(-1e-4)) / 2e-4;
            assert_relative_eq!(found[i], -slope, epsilon = 1e-4);
        }
    }
}

/// All of them, with as few trees and iterations as tests can wait for.
fn all() -> Vec<Box<dyn Valuation + Send + Sync>> {
    vec![
        Box::new(KnnShapley::default()),
        Box::new(KnnBetaShapley::default()),
        Box::new(KnnBanzhaf::default()),
        Box::new(LeaveOneOut::default()),
        Box::new(LeaveOneOut { fourier: 8, ..Default::default() }),
        Box::new(Influence::default()),
        Box::new(TracIn),
        Box::new(Lava::default()),
        Box::new(Lava { masses: ValidationMasses::Equal, ..Default::default() }),
        Box::new(DataOob { trees: 30, ..Default::default() }),
        Box::new(DataOob { trees: 30, features: CutFeatures::All, depth: 0 }),
        Box::new(Dvrl { iterations: 30, ..Default::default() }),
        Box::new(Dvrl { iterations: 30, batch: 5, fourier: 8, ..Default::default() }),
        Box::new(NeighbourAgreement::default()),
        Box::new(SelfConfidence),
    ]
}

/// Points and validation points: features, a row of `width` each, and labels below 4.
type Data<'a> = (&'a [f32], &'a [u32], &'a [f32], &'a [u32], usize);

/// With probabilities that are one-hot (half of them wrong), as sharp as they come, or those of nobody knowing.
fn judge(data: Data, sharp: bool, valuation: &dyn Valuation) -> gleaner::Result<Vec<f64>> {
    let (features, labels, others, wanted, width) = data;
    let table = |points: usize| -> Vec<f32> {
        let cell = |k: usize| if sharp { f32::from(u8::from(k / 4 % 2 == k % 4)) } else { 0.25 };
        (0..points * 4).map(cell).collect()
    };
    let (p, p_v) = (table(labels.len()), table(wanted.len()));
    let seen = Evidence::new(wanted.len()).with_features(others, width)?.with_labels(wanted)?;
    let seen = seen.with_probabilities(&p_v, 4)?;
    let evidence =
        Evidence::new(labels.len()).with_features(features, width)?.with_labels(labels)?;
    let evidence = evidence.with_probabilities(&p, 4)?.with_validation(&seen);
    valuation.values(&evidence, &mut Seeds::new(2).stream(0))
}

#[test]
fn odd_data_is_worth_a_number() {
    let tiny = f32::MIN_POSITIVE;
    let cases: [(&str, Data); 10] = [
        ("one class", (&[0.0, 1.0, 2.0], &[1, 1, 1], &[1.0], &[1], 1)),
        ("one point", (&[3.0], &[1], &[1.0, 2.0], &[1, 0], 1)),
        ("constant features", (&[7.0; 6], &[0, 1, 2, 0, 1, 2], &[7.0, 8.0], &[0, 1], 1)),
        ("duplicates", (&[1.0, 1.0, 1.0, 2.0], &[0, 0, 1, 1], &[1.0, 2.0], &[0, 1], 1)),
        ("nothing at all", (&[0.0; 4], &[0, 1], &[0.0, 0.0], &[0], 2)),
        ("a label unknown to all points", (&[0.0, 1.0, 5.0], &[0, 0, 1], &[1.0], &[3], 1)),
        ("huge", (&[1e30, -1e30, 3e38, -3e38], &[0, 1, 0, 1], &[3e38, -1e30], &[0, 1], 1)),
        ("tiny", (&[1e-30, 2e-30, tiny, -1e-45], &[0, 1, 0, 1], &[1e-30], &[1], 1)),
        ("huge beside tiny", (&[1e30, 1e-30, -1e30, 2e-30], &[0, 1], &[1e30, 1e-30], &[0], 2)),
        ("judged from afar", (&[1e-45, 0.0, 0.0], &[0, 1, 1], &[3e38, -3e38], &[0, 1], 1)),
    ];
    for (what, data) in cases {
        for valuation in all() {
            for sharp in [false, true] {
                let found = judge(data, sharp, &*valuation);
                let name = valuation.name();
                let found = found.unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
                assert_eq!(found.len(), data.1.len(), "{name}, {what}");
                assert!(found.iter().all(|v| v.is_finite()), "{name}, {what}: {found:?}");
            }
        }
    }
    for valuation in all() {
        assert!(judge((&[], &[], &[1.0], &[0], 1), true, &*valuation).unwrap().is_empty());
    }
}

/// Equal seeds, equal bits, whatever the threads.
#[test]
fn equal_seeds_give_equal_bits_for_any_number_of_threads() {
    let labels: Vec<u32> = (0..150).map(|i| i * 7 % 3).collect();
    let wanted: Vec<u32> = (0..80).map(|i| i * 7 % 3).collect();
    let (features, others) = (clouds(&labels, 4, 7), clouds(&wanted, 4, 8));
    for valuation in all() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| judge((&features, &labels, &others, &wanted, 4), false, &*valuation))
        };
        assert_eq!(run(1).unwrap(), run(3).unwrap(), "{}", valuation.name());
    }
}

#[test]
fn what_is_missing_or_odd_is_refused() {
    let rng = &mut Seeds::new(0).stream(0);
    for valuation in all() {
        let found = valuation.values(&Evidence::new(2), rng);
        assert!(matches!(found, Err(Error::Unknown { .. })), "{}", valuation.name());
    }
    let (features, labels, p) = ([0.0, 1.0], [0, 1], [0.5; 4]);
    let evidence = Evidence::new(2).with_features(&features, 1).unwrap();
    let evidence = evidence.with_labels(&labels).unwrap().with_probabilities(&p, 2).unwrap();
    let empty = Evidence::new(0).with_features(&[], 1).unwrap().with_labels(&[]).unwrap();
    let empty = empty.with_probabilities(&[], 2).unwrap();
    let wide = Evidence::new(1).with_features(&features, 2).unwrap().with_labels(&[0]).unwrap();
    let wide = wide.with_probabilities(&[0.5, 0.5], 2).unwrap();
    for valuation in all() {
        if valuation.needs().contains(Kind::Validation) {
            for without in [evidence, evidence.with_validation(&empty)] {
                let found = valuation.values(&without, rng);
                assert!(matches!(found, Err(Error::Unknown { .. })), "{}", valuation.name());
            }
            let found = valuation.values(&evidence.with_validation(&wide), rng);
            assert!(matches!(found, Err(Error::Shape { .. })), "{}", valuation.name());
        }
    }
    let refused: [&dyn Valuation; 22] = [
        &KnnShapley { neighbours: 0 },
        &KnnBanzhaf { neighbours: 0 },
        &KnnBetaShapley { neighbours: 0, ..Default::default() },
        &KnnBetaShapley { alpha: 0.0, ..Default::default() },
        &KnnBetaShapley { beta: f64::NAN, ..Default::default() },
        &NeighbourAgreement { neighbours: 0 },
        &DataOob { trees: 0, ..Default::default() },
        &LeaveOneOut { ridge: 0.0, ..Default::default() },
        &Dvrl { iterations: 0, ..Default::default() },
        &Dvrl { batch: 0, ..Default::default() },
        &Dvrl { hidden: 0, ..Default::default() },
        &Dvrl { window: 0, ..Default::default() },
        &Dvrl { rate: 0.0, ..Default::default() },
        &Dvrl { rate: f64::NAN, ..Default::default() },
        &Dvrl { threshold: 0.4, ..Default::default() },
        &Dvrl { threshold: 1.1, ..Default::default() },
        &Dvrl { ridge: 0.0, ..Default::default() },
        &Dvrl { ridge: f64::INFINITY, ..Default::default() },
        &Influence { damping: f64::INFINITY },
        &Lava { smoothing: -1.0, ..Default::default() },
        &Lava { label_weight: f64::NAN, ..Default::default() },
        &Lava { sweeps: 0, ..Default::default() },
    ];
    let seen = evidence;
    for valuation in refused {
        let found = valuation.values(&evidence.with_validation(&seen), rng);
        assert!(matches!(found, Err(Error::OutOfRange { .. })), "{}", valuation.name());
    }
}
