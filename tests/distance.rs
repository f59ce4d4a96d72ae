//! Distances against a plain double loop, and their gradients against central differences.

#[allow(dead_code)] // this file needs the number of cases only
mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::cases;
use gleaner::{Distance, Error};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ALL: [Distance; 3] = [Distance::SquaredEuclidean, Distance::Euclidean, Distance::Cosine];

type Rows = Vec<Vec<f64>>;

/// Rows in a box of side 2 around `offset` times a vertex of the cube.
fn rows(count: usize, width: usize, offset: f64) -> impl Strategy<Value = Rows> {
    let signs = vec(prop_oneof![Just(-offset), Just(offset)], width);
    (signs, vec(vec(-1.0..1.0, width), count)).prop_map(|(centre, mut rows)| {
        rows.iter_mut().for_each(|row| row.iter_mut().zip(&centre).for_each(|(x, c)| *x += c));
        rows
    })
}

/// So many rows of uniform numbers.
fn uniform(count: usize, width: usize, rng: &mut ChaCha8Rng) -> Rows {
    (0..count).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
}

fn tensor(rows: &Rows, dtype: DType) -> Tensor {
    Tensor::new(rows.clone(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn read(tensor: &Tensor) -> Rows {
    tensor.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The definition, in `f64`.
fn plain(distance: Distance, a: &[f64], b: &[f64]) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    match distance {
        Distance::SquaredEuclidean => square,
        Distance::Euclidean => square.sqrt(),
        Distance::Cosine => 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
    }
}

/// Squared distance of each row of `rows` to the mean of `of`.
fn spread(rows: &Rows, of: &Rows) -> Vec<f64> {
    let mean: Vec<f64> = (0..of[0].len())
        .map(|k| of.iter().map(|row| row[k]).sum::<f64>() / of.len() as f64)
        .collect();
    rows.iter().map(|row| plain(Distance::SquaredEuclidean, row, &mean)).collect()
}

/// What rounding may do: each of the `d` terms of a scalar product rounds twice, and the few
/// operations around it once, in units of the *centred* squared lengths `scale`. So squared distances
/// have an absolute error of `2 (d + 4) eps scale`; a root of `x` turns an error `e` into
/// `min(e / sqrt(x), sqrt(e))`; a cosine is a product of unit vectors.
fn allowed(distance: Distance, exact: f64, scale: f64, width: usize, eps: f64) -> f64 {
    let roundings = 2.0 * (width + 4) as f64 * eps;
    match distance {
        Distance::SquaredEuclidean => roundings * scale,
        Distance::Euclidean => {
            let error = roundings * scale;
            (error / exact.max(f64::MIN_POSITIVE)).min(error.sqrt())
        }
        Distance::Cosine => roundings,
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// In `f32` as in `f64`, far from the origin too: centring removes the offset from the error.
    #[test]
    fn every_distance_is_its_definition(
        (n, both) in (1usize..7, 1usize..7, 1usize..12, prop_oneof![Just(0.0), 0.0f64..100.0])
            .prop_flat_map(|(n, w, width, offset)| (Just(n), rows(n + w, width, offset))),
        single in any::<bool>(),
    ) {
        let (w, width) = (both.len() - n, both[0].len());
        let (dtype, eps) = match single {
            true => (DType::F32, f64::from(f32::EPSILON)),
            false => (DType::F64, f64::EPSILON),
        };
        let (a, b) = (tensor(&both[..n].to_vec(), dtype), tensor(&both[n..].to_vec(), dtype));
        // What the tensors hold, not what was rounded away before.
        let (exact_a, exact_b) = (read(&a), read(&b));
        let (spread_a, spread_b) = (spread(&exact_a, &exact_b), spread(&exact_b, &exact_b));
        for distance in ALL {
            let got = read(&distance.between(&a, &b).unwrap());
            prop_assert_eq!((got.len(), got[0].len()), (n, w));
            for (i, row) in got.iter().enumerate() {
                for (j, found) in row.iter().enumerate() {
                    let exact = plain(distance, &exact_a[i], &exact_b[j]);
                    let limit = allowed(distance, exact, spread_a[i] + spread_b[j], width, eps);
                    let error = (found - exact).abs();
                    prop_assert!(error <= limit, "{distance:?} {dtype:?} ({i}, {j}): {error:e} > {limit:e}");
                }
            }
        }
    }

    /// Equal rows are at distance zero exactly, not at the rounding error of a large cancellation;
    /// cosines of equal rows differ from one by a few roundings.
    #[test]
    fn equal_rows_are_at_distance_zero(
        points in (1usize..7, 1usize..12, 0.0f64..100.0)
            .prop_flat_map(|(n, width, offset)| rows(n, width, offset)),
    ) {
        let width = points[0].len();
        for (dtype, eps) in [(DType::F32, f64::from(f32::EPSILON)), (DType::F64, f64::EPSILON)] {
            let points = tensor(&points, dtype);
            for distance in ALL {
                let limit = match distance {
                    Distance::Cosine => 2.0 * (width + 4) as f64 * eps,
                    _ => 0.0,
                };
                let got = read(&distance.between(&points, &points).unwrap());
                for (i, row) in got.iter().enumerate() {
                    prop_assert!(row[i].abs() <= limit, "{distance:?} {dtype:?}: {:e}", row[i]);
                }
            }
        }
    }

    /// Five-point differences with step `h = 1e-3`: rows at least 0.3 apart and from the origin make
    /// the fifth derivatives of order 100 / 0.3^5, so truncation is below h^4 * 1e5 / 30 = 3e-9 and
    /// rounding below 1e-15 * 100 / h = 1e-10. The tolerance leaves room for sums over six rows.
    #[test]
    fn gradients_are_central_differences(
        (a, b, upstream) in (1usize..5, 1usize..5, 2usize..5).prop_flat_map(|(n, w, width)| {
            (rows(n, width, 1.0), rows(w, width, 0.0), rows(n, w, 0.0))
        }),
    ) {
        const STEP: f64 = 1e-3;
        const TOLERANCE: f64 = 1e-6;
        let width = a[0].len();
        let far = |a: &[f64], b: &[f64]| plain(Distance::Euclidean, a, b) > 0.3;
        let origin = vec![0.0; width];
        prop_assume!(a.iter().chain(&b).all(|row| far(row, &origin)));
        prop_assume!(a.iter().all(|a| b.iter().all(|b| far(a, b))));
        for distance in ALL {
            let loss = |a: &Tensor, b: &Tensor| {
                let costs = distance.between(a, b).unwrap();
                (costs * tensor(&upstream, DType::F64)).unwrap().sum_all().unwrap()
            };
            let at = |a: &Rows, b: &Rows| {
                loss(&tensor(a, DType::F64), &tensor(b, DType::F64)).to_scalar::<f64>().unwrap()
            };
            let vars = [&a, &b].map(|rows| Var::from_tensor(&tensor(rows, DType::F64)).unwrap());
            let grads = loss(&vars[0], &vars[1]).backward().unwrap();
            for (which, side) in [&a, &b].into_iter().enumerate() {
                let gradient = read(grads.get(&vars[which]).unwrap());
                for (i, row) in side.iter().enumerate() {
                    for k in 0..row.len() {
                        let moved = |h: f64| {
                            let mut both = [a.clone(), b.clone()];
                            both[which][i][k] += h * STEP;
                            at(&both[0], &both[1])
                        };
                        let central =
                            (8.0 * (moved(1.0) - moved(-1.0)) - (moved(2.0) - moved(-2.0))) / (12.0 * STEP);
                        let error = (gradient[i][k] - central).abs();
                        prop_assert!(error < TOLERANCE, "{distance:?} {which} ({i}, {k}): {error:e}");
                    }
                }
            }
        }
    }
}

/// Distances at and near zero, where `sqrt` and a quotient have no derivative.
#[test]
fn gradients_are_finite_at_equal_rows_and_at_zero_vectors() {
    for dtype in [DType::F32, DType::F64] {
        let points =
            vec![vec![0.5, -2.0], vec![0.5, -2.0], vec![0.0, 0.0], vec![0.0, 0.0], vec![3.0, 1.0]];
        let points = Var::from_tensor(&tensor(&points, dtype)).unwrap();
        for distance in ALL {
            let costs = distance.between(&points, &points).unwrap();
            let grads = costs.sum_all().unwrap().backward().unwrap();
            let gradient = read(grads.get(&points).unwrap());
            assert!(
                gradient.iter().flatten().all(|g| g.is_finite()),
                "{distance:?} {dtype:?}: {gradient:?}"
            );
            assert!(read(&costs).iter().flatten().all(|d| d.is_finite()), "{distance:?} {dtype:?}");
            // Twins see the world alike.
            assert_eq!(gradient[0], gradient[1], "{distance:?} {dtype:?}");
        }
    }
}

/// Where everything coincides there is no direction to go.
#[test]
fn a_pile_of_equal_rows_has_no_gradient() {
    for distance in [Distance::SquaredEuclidean, Distance::Euclidean] {
        let points = Var::new(&[[0.3f64, 7.0], [0.3, 7.0], [0.3, 7.0]], &Device::Cpu).unwrap();
        let costs = distance.between(&points, &points).unwrap();
        let grads = costs.sum_all().unwrap().backward().unwrap();
        assert_eq!(read(grads.get(&points).unwrap()), [[0.0; 2]; 3], "{distance:?}");
    }
}

#[test]
fn a_zero_vector_is_at_cosine_distance_one() {
    let zero = Tensor::zeros((1, 2), DType::F64, &Device::Cpu).unwrap();
    let others = Tensor::new(&[[3.0f64, 4.0], [0.0, 0.0]], &Device::Cpu).unwrap();
    assert_eq!(read(&Distance::Cosine.between(&zero, &others).unwrap()), [[1.0, 1.0]]);
}

#[test]
fn known_distances() {
    let a = Tensor::new(&[[0.0f64, 0.0], [3.0, 4.0]], &Device::Cpu).unwrap();
    let b = Tensor::new(&[[0.0f64, 5.0], [-4.0, 3.0], [6.0, 8.0]], &Device::Cpu).unwrap();
    for (distance, expected) in [
        (Distance::SquaredEuclidean, [[25.0, 25.0, 100.0], [10.0, 50.0, 25.0]]),
        (Distance::Euclidean, [[5.0, 5.0, 10.0], [10f64.sqrt(), 50f64.sqrt(), 5.0]]),
        (Distance::Cosine, [[1.0, 1.0, 1.0], [0.2, 1.0, 0.0]]),
    ] {
        let got = read(&distance.between(&a, &b).unwrap());
        for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
            assert!((got - expected).abs() < 1e-13, "{distance:?}: {got} instead of {expected}");
        }
    }
}

/// Views into other tensors: transposed, and a slice of columns.
#[test]
fn inputs_need_not_be_contiguous() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let wide = tensor(&uniform(3, 6, &mut rng), DType::F64);
    let (a, b) = (wide.narrow(1, 1, 3).unwrap(), wide.narrow(1, 3, 3).unwrap().t().unwrap());
    for distance in ALL {
        let plain = distance.between(&a.contiguous().unwrap(), &b.contiguous().unwrap()).unwrap();
        assert_eq!(read(&distance.between(&a, &b).unwrap()), read(&plain), "{distance:?}");
    }
}

#[test]
fn rows_of_different_width_are_refused() {
    let (a, b) = (
        Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap(),
        Tensor::zeros((4, 2), DType::F32, &Device::Cpu).unwrap(),
    );
    for distance in ALL {
        let error = distance.between(&a, &b).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        assert_eq!(error.to_string(), "rows to compare: expected [2, 3], found [4, 2]");
        assert!(distance.between(&a.flatten_all().unwrap(), &b).is_err(), "a vector is not rows");
    }
}

#[test]
fn equal_rows_are_at_distance_zero_however_wide() {
    for width in [784, 3072] {
        let points = uniform(40, width, &mut ChaCha8Rng::seed_from_u64(2));
        for dtype in [DType::F32, DType::F64] {
            let points = tensor(&points, dtype);
            for distance in [Distance::SquaredEuclidean, Distance::Euclidean] {
                let got = read(&distance.between(&points, &points).unwrap());
                let worst = (0..40).map(|i| got[i][i]).fold(0.0, f64::max);
                assert_eq!(worst, 0.0, "{distance:?} {dtype:?} {width}");
            }
        }
    }
}

#[test]
fn rows_that_are_not_finite_never_look_close() {
    for bad in [f32::NAN, f32::INFINITY, 1e20] {
        let points = Tensor::new(&[[bad, 0.0], [1.0, 0.0]], &Device::Cpu).unwrap();
        for distance in [Distance::SquaredEuclidean, Distance::Euclidean] {
            if let Ok(costs) = distance.between(&points, &points) {
                let found = read(&costs)[0][1];
                assert!(found != 0.0, "{distance:?} of {bad} and 1: {found}");
            }
        }
    }
}

#[test]
fn a_zero_vector_has_no_cosine_gradient() {
    let zero = Var::zeros((1, 2), DType::F64, &Device::Cpu).unwrap();
    let other = Tensor::new(&[[3.0f64, 4.0]], &Device::Cpu).unwrap();
    let grads = Distance::Cosine.between(&zero, &other).unwrap().backward().unwrap();
    assert_eq!(read(grads.get(&zero).unwrap()), [[0.0, 0.0]]);
}

/// Pairs near to each other beside rows that are far from them: right to the roundings of one sum, relative to the
/// distance itself. `16 (d + 4)` covers the worst order of `d` terms at the share that is trusted to the product.
#[test]
fn near_pairs_are_exact_beside_far_rows() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for (dtype, eps, far) in [
        (DType::F32, f64::from(f32::EPSILON), 1e4),
        (DType::F32, f64::from(f32::EPSILON), 1e6),
        (DType::F32, f64::from(f32::EPSILON), 1e15),
        (DType::F64, f64::EPSILON, 1e9),
        (DType::F64, f64::EPSILON, 1e100),
    ] {
        for width in [1, 3, 40] {
            let mut points = uniform(20, width, &mut rng);
            points[3][0] = far;
            let points = tensor(&points, dtype);
            let exact = read(&points);
            let found = read(&Distance::SquaredEuclidean.between(&points, &points).unwrap());
            for (i, row) in found.iter().enumerate() {
                for (j, found) in row.iter().enumerate() {
                    let expected = plain(Distance::SquaredEuclidean, &exact[i], &exact[j]);
                    let limit = 16.0 * (width + 4) as f64 * eps * expected;
                    let error = (found - expected).abs();
                    assert!(error <= limit, "{dtype:?} {far:e} ({i}, {j}): {found} not {expected}");
                }
            }
        }
    }
    let points = Tensor::new(&[[0f32], [0.5], [1.0], [10_000.0]], &Device::Cpu).unwrap();
    let found = read(&Distance::SquaredEuclidean.between(&points, &points).unwrap());
    assert_eq!((found[0][1], found[0][2], found[1][2]), (0.25, 1.0, 0.25));
}

#[test]
fn nothing_to_compare_is_an_error() {
    let empty = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
    let some = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let narrow = Tensor::zeros((2, 0), DType::F32, &Device::Cpu).unwrap();
    for distance in ALL {
        for (a, b) in [(&empty, &some), (&some, &empty), (&empty, &empty), (&narrow, &narrow)] {
            assert!(matches!(distance.between(a, b), Err(Error::Shape { .. })), "{distance:?}");
        }
    }
}
