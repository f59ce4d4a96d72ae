//! What a weighted batch makes of a learner, as each look-ahead sees it, and the derivative in every weight.

#[allow(dead_code)] // this file needs the number of cases only
mod common;

use candle_core::{DType, Device, Result as Candle, Tensor, Var};
use common::cases;
use gleaner::data::{Batch, Dataset, Source};
use gleaner::joint::{LookAhead, hypergradient, weighted_gradient};
use gleaner::layer::bridge::{to_matrix, to_scalar, to_vec};
use gleaner::learn::{Mlp, MlpOptions};
use gleaner::{Error, Learner, Result};
use nalgebra::DMatrix;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WIDTH: usize = 4;
const CLASSES: usize = 3;

/// A layer of hyperbolic tangents before the last: smooth, so that differences mean something.
struct Smooth(Mlp);

impl Learner for Smooth {
    fn features(&self, inputs: &Tensor) -> Candle<Tensor> {
        let variable = |name: &str| &self.0.variables().iter().find(|(n, _)| n == name).unwrap().1;
        let (weight, bias) = (variable("hidden0.weight"), variable("hidden0.bias"));
        inputs.matmul(&weight.t()?)?.broadcast_add(bias)?.tanh()
    }

    fn head(&self, features: &Tensor) -> Candle<Tensor> {
        self.0.head(features)
    }

    fn variables(&self) -> &[(String, Var)] {
        self.0.variables()
    }
}

fn mlp(hidden: Vec<usize>, classes: usize, seed: u64) -> Mlp {
    mlp_in(hidden, classes, seed, DType::F64)
}

/// Equal seeds give equal weights, to the type's rounding.
fn mlp_in(hidden: Vec<usize>, classes: usize, seed: u64, dtype: DType) -> Mlp {
    let options = MlpOptions { inputs: WIDTH, hidden, classes };
    Mlp::new(&options, seed, dtype, &Device::Cpu).unwrap()
}

fn smooth(hidden: usize, classes: usize, seed: u64) -> Smooth {
    Smooth(mlp(vec![hidden], classes, seed))
}

/// Random points; numbers to predict where there are no classes.
fn batch(points: usize, classes: usize, seed: u64) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let x: Vec<f64> = (0..points * WIDTH).map(|_| rng.random_range(-2.0..2.0)).collect();
    let inputs = Tensor::from_vec(x, (points, WIDTH), &Device::Cpu).unwrap();
    let indices = (0..points).collect();
    let labels = match classes {
        1 => Tensor::from_vec(
            (0..points).map(|_| rng.random()).collect::<Vec<f64>>(),
            points,
            &Device::Cpu,
        ),
        _ => {
            let labels =
                (0..points).map(|_| rng.random_range(0..classes as u32)).collect::<Vec<_>>();
            Tensor::from_vec(labels, points, &Device::Cpu)
        }
    };
    Batch { indices, inputs, labels: labels.unwrap() }
}

fn any_look_ahead() -> impl Strategy<Value = LookAhead> {
    prop_oneof![
        (0.05..1.0).prop_map(|rate| LookAhead::OneStep { rate }),
        (-3.0..1.0f64).prop_map(|power| LookAhead::LastLayer { ridge: 10f64.powf(power) }),
        (0.05..1.0, 1usize..6).prop_map(|(rate, steps)| LookAhead::Linearised { rate, steps }),
    ]
}

proptest! {
    #![proptest_config(cases(48))]

    /// `dL_val/dw_j`, quotient rule included, against central differences of the look-ahead itself, in f64.
    ///
    /// Relative 1e-5 of the largest entry: the products along directions are central differences themselves, good to
    /// about 1e-9, which the outer difference with step 1e-3 turns into 1e-6; its own truncation is smaller.
    #[test]
    fn weights_have_the_right_hypergradient(
        look_ahead in any_look_ahead(), seed in any::<u64>(), points in 2usize..14, hidden in 2usize..9,
        numbers in any::<bool>(),
    ) {
        let classes = if numbers { 1 } else { CLASSES };
        let learner = smooth(hidden, classes, seed);
        let (batch, validation) = (batch(points, classes, seed), batch(70, classes, !seed));
        let weights: Vec<f64> = (0..points).map(|j| 0.2 + 0.1 * (j % 5) as f64).collect();
        let at = |weights: &[f64]| hypergradient(&learner, &batch, weights, &validation, look_ahead).unwrap();
        let found = at(&weights);
        let step = 1e-3;
        let largest = found.by_weight.iter().fold(0.0f64, |a, g| a.max(g.abs()));
        for j in 0..points {
            let along = |h: f64| {
                let mut weights = weights.clone();
                weights[j] += h;
                at(&weights).validation_loss
            };
            // Of order four.
            let central = (8.0 * (along(step) - along(-step)) - along(2.0 * step) + along(-2.0 * step)) / (12.0 * step);
            let error = (central - found.by_weight[j]).abs();
            prop_assert!(error < 1e-5 * largest + 1e-9, "{j}: {central} {}", found.by_weight[j]);
        }
        // Weighted by the weights, the derivative of a normalised loss vanishes along the weights.
        let along: f64 = found.by_weight.iter().zip(&weights).map(|(g, w)| g * w).sum();
        prop_assert!(along.abs() < 1e-12 * (1.0 + largest));
    }

    /// The last layer's variables, set to what the normal equations say, give the validation loss that is reported, and
    /// never a larger training loss; for numbers the damped training loss is then flat.
    ///
    /// Relative 1e-9: ridges of at least 1e-3 leave seven digits more.
    #[test]
    fn the_last_layer_is_trained_exactly(
        power in -3.0..1.0f64, seed in any::<u64>(), points in 2usize..14, hidden in 2usize..9, numbers in any::<bool>(),
    ) {
        let (classes, c) = if numbers { (1, 2.0) } else { (CLASSES, 0.5) };
        let ridge = 10f64.powf(power);
        let learner = smooth(hidden, classes, seed);
        let (batch, validation) = (batch(points, classes, seed), batch(70, classes, !seed));
        let weights: Vec<f64> = (0..points).map(|j| 0.2 + 0.1 * (j % 5) as f64).collect();
        let found =
            hypergradient(&learner, &batch, &weights, &validation, LookAhead::LastLayer { ridge }).unwrap();

        // The slope of the weighted loss in the last layer is the learner's own gradient in it.
        let variables = learner.variables();
        let (before, gradient) = weighted_gradient(&learner, &batch, &weights).unwrap();
        let named = |name: &str| variables.iter().position(|(n, _)| n == name).unwrap();
        let (weight, bias) = (named("head.weight"), named("head.bias"));
        let slope = to_matrix(gradient[weight].as_ref().unwrap()).unwrap();
        let mut slope = slope.insert_column(hidden, 0.0);
        slope.column_mut(hidden).copy_from_slice(&to_vec(gradient[bias].as_ref().unwrap()).unwrap());
        let phi = to_matrix(&learner.features(&batch.inputs).unwrap()).unwrap().insert_column(hidden, 1.0);
        let lambda = ridge * c * phi.norm_squared() / phi.len() as f64;
        let total: f64 = weights.iter().sum();
        let mut a = DMatrix::identity(hidden + 1, hidden + 1) * lambda;
        for (row, weight) in phi.row_iter().zip(&weights) {
            a += row.transpose() * row * (c * weight / total);
        }
        let d = -(slope * a.try_inverse().unwrap());

        let moved = |name: usize, by: DMatrix<f64>| {
            let here = variables[name].1.as_tensor();
            let by = Tensor::from_vec(by.transpose().as_slice().to_vec(), here.shape(), &Device::Cpu).unwrap();
            let there = (here + by).unwrap();
            variables[name].1.set(&there).unwrap();
        };
        moved(weight, d.columns(0, hidden).into_owned());
        moved(bias, d.columns(hidden, 1).into_owned());
        let losses = learner.losses(&validation.inputs, &validation.labels).unwrap();
        let loss = to_scalar(&losses.mean_all().unwrap()).unwrap();
        prop_assert!((loss - found.validation_loss).abs() < 1e-9 * (1.0 + loss), "{loss} {found:?}");
        let (after, gradient) = weighted_gradient(&learner, &batch, &weights).unwrap();
        prop_assert!(after <= before + 1e-12, "{before} to {after}");
        if numbers {
            let slope = to_matrix(gradient[weight].as_ref().unwrap()).unwrap();
            prop_assert!((slope + d.columns(0, hidden) * lambda).amax() < 1e-9);
        }
    }

    /// A learner without hidden layers is its own linearisation: the look-ahead is as many steps of gradient descent.
    #[test]
    fn a_linear_learner_takes_its_steps(rate in 0.05..1.0f64, steps in 1usize..6, seed in any::<u64>()) {
        let learner = mlp(vec![], CLASSES, seed);
        let (batch, validation) = (batch(9, CLASSES, seed), batch(70, CLASSES, !seed));
        let weights: Vec<f64> = (0..9).map(|j| 0.2 + 0.1 * (j % 5) as f64).collect();
        let look_ahead = LookAhead::Linearised { rate, steps };
        let found = hypergradient(&learner, &batch, &weights, &validation, look_ahead).unwrap();
        for _ in 0..steps {
            let (_, gradient) = weighted_gradient(&learner, &batch, &weights).unwrap();
            for ((_, variable), slope) in learner.variables().iter().zip(gradient) {
                variable.set(&(variable.as_tensor() - (slope.unwrap() * rate).unwrap()).unwrap()).unwrap();
            }
        }
        let losses = learner.losses(&validation.inputs, &validation.labels).unwrap();
        let loss = to_scalar(&losses.mean_all().unwrap()).unwrap();
        // 1e-8: the products along directions are central differences.
        prop_assert!((loss - found.validation_loss).abs() < 1e-8, "{loss} {}", found.validation_loss);
    }

    /// The linearised network against one whose Jacobian comes from a backward pass an output.
    #[test]
    fn the_whole_network_is_linearised(rate in 0.05..1.0f64, seed in any::<u64>()) {
        let learner = smooth(5, CLASSES, seed);
        let (batch, validation) = (batch(6, CLASSES, seed), batch(7, CLASSES, !seed));
        let weights = [0.5, 1.0, 0.0, 0.3, 0.7, 0.2];
        let look_ahead = LookAhead::Linearised { rate, steps: 3 };
        let found = hypergradient(&learner, &batch, &weights, &validation, look_ahead).unwrap();

        let (here, j) = outputs_and_jacobian(&learner, &batch);
        let (there, j_validation) = outputs_and_jacobian(&learner, &validation);
        let shares = weights.map(|w| w / weights.iter().sum::<f64>());
        let mut d = DMatrix::zeros(j.ncols(), 1);
        for _ in 0..3 {
            let (_, mut r) = loss_and_slopes(&(&here + &j * &d), &batch);
            for (k, slope) in r.iter_mut().enumerate() {
                *slope *= shares[k / CLASSES];
            }
            d -= j.tr_mul(&r) * rate;
        }
        let (sum, _) = loss_and_slopes(&(there + j_validation * d), &validation);
        // 1e-8: as above.
        prop_assert!((sum / 7.0 - found.validation_loss).abs() < 1e-8, "{sum} {}", found.validation_loss);
    }
}

/// All outputs in one column, point by point, and their derivatives, a row each.
fn outputs_and_jacobian(learner: &dyn Learner, batch: &Batch) -> (DMatrix<f64>, DMatrix<f64>) {
    let outputs = learner.logits(&batch.inputs).unwrap().flatten_all().unwrap();
    let values = to_vec(&outputs).unwrap();
    let rows = (0..values.len()).map(|k| {
        let grads = outputs.get(k).unwrap().backward().unwrap();
        let of = |(_, var): &(String, Var)| to_vec(grads.get(var).unwrap()).unwrap();
        learner.variables().iter().flat_map(of).collect::<Vec<_>>()
    });
    let rows: Vec<Vec<f64>> = rows.collect();
    let jacobian = DMatrix::from_row_slice(rows.len(), rows[0].len(), &rows.concat());
    (DMatrix::from_vec(values.len(), 1, values), jacobian)
}

/// Sum of the cross-entropies and `p - y`, from outputs in one column.
fn loss_and_slopes(outputs: &DMatrix<f64>, batch: &Batch) -> (f64, DMatrix<f64>) {
    let labels = batch.labels.to_vec1::<u32>().unwrap();
    let (mut sum, mut slopes) = (0.0, outputs.clone());
    for (row, label) in slopes.as_mut_slice().chunks_mut(CLASSES).zip(labels) {
        let total: f64 = row.iter().map(|z| z.exp()).sum();
        sum += total.ln() - row[label as usize];
        row.iter_mut().for_each(|z| *z = z.exp() / total);
        row[label as usize] -= 1.0;
    }
    (sum, slopes)
}

/// In `f32` the look-aheads agree with their `f64` selves: a smooth network's to 1e-3 of the largest entry.
#[test]
fn single_precision_is_near() {
    for seed in 0..5 {
        for look_ahead in [
            LookAhead::OneStep { rate: 0.1 },
            LookAhead::LastLayer { ridge: 0.1 },
            LookAhead::Linearised { rate: 0.1, steps: 4 },
        ] {
            let by_weight = |dtype| {
                let cast = |mut batch: Batch| {
                    batch.inputs = batch.inputs.to_dtype(dtype).unwrap();
                    batch
                };
                let learner = Smooth(mlp_in(vec![16], CLASSES, seed, dtype));
                let (batch, validation) =
                    (cast(batch(20, CLASSES, seed)), cast(batch(50, CLASSES, !seed)));
                hypergradient(&learner, &batch, &[1.0; 20], &validation, look_ahead)
                    .unwrap()
                    .by_weight
            };
            let (single, double) = (by_weight(DType::F32), by_weight(DType::F64));
            let largest = double.iter().fold(0.0f64, |a, g| a.max(g.abs()));
            let off = single.iter().zip(&double).fold(0.0f64, |off, (a, b)| off.max((a - b).abs()));
            assert!(off < 1e-3 * largest, "{look_ahead:?}: {off} of {largest}");
        }
    }
}

#[test]
fn settings_without_meaning_are_refused() -> Result<()> {
    let points =
        Dataset::new(Tensor::zeros((2, WIDTH), DType::F64, &Device::Cpu)?, vec![0, 1], CLASSES)?;
    let (learner, batch) = (mlp(vec![3], CLASSES, 0), points.batch_at(&[0, 1])?);
    for look_ahead in [
        LookAhead::OneStep { rate: 0.0 },
        LookAhead::OneStep { rate: f64::NAN },
        LookAhead::LastLayer { ridge: 0.0 },
        LookAhead::LastLayer { ridge: f64::INFINITY },
        LookAhead::Linearised { rate: -1.0, steps: 1 },
        LookAhead::Linearised { rate: 0.1, steps: 0 },
    ] {
        let error = hypergradient(&learner, &batch, &[1.0; 2], &batch, look_ahead).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{look_ahead:?}: {error}");
    }
    // Features that are all alike, and a point without weight, are no reason for NaN.
    for look_ahead in
        [LookAhead::LastLayer { ridge: 0.1 }, LookAhead::Linearised { rate: 0.1, steps: 2 }]
    {
        let found = hypergradient(&learner, &batch, &[1.0, 0.0], &batch, look_ahead)?;
        assert!(found.by_weight.iter().all(|g| g.is_finite()), "{found:?}");
    }
    Ok(())
}
