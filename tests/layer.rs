//! The selection layer inside candle: answers, gradients, batches, failures.

#[allow(dead_code)] // this file needs the number of cases and the norms only
mod common;

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use candle_nn::{Linear, Module};
use common::{cases, norms};
use gleaner::layer::bridge::to_vec;
use gleaner::learn::SeededWeights;
use gleaner::program::{
    Budget, BudgetRow, Multipliers, Norm, ProgramOptions, Regulariser, SelectionProgram,
    SolveOptions, Upstream,
};
use gleaner::{
    BatchOutput, Derivative, Distance, Error, LayerInputs, LayerOptions, LayerOutput, Scale,
    SelectionLayer, Smoothing, Status,
};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CPU: &Device = &Device::Cpu;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A layer that solves to rounding, so that differences of two solutions mean something.
fn tight(norm: Norm, smoothing: Smoothing) -> SelectionLayer {
    let solve = SolveOptions { tolerance: 1e-13, ..Default::default() };
    SelectionLayer::new(LayerOptions { norm, smoothing, solve, ..Default::default() })
}

fn quadratic() -> SelectionLayer {
    tight(Norm::Infinity, Smoothing::Quadratic(Scale::Absolute(0.3)))
}

/// Uniform numbers in `[low, high)`.
fn uniform(shape: &[usize], low: f64, high: f64, seed: u64) -> Tensor {
    let mut rng = rng(seed);
    let values: Vec<f64> =
        (0..shape.iter().product()).map(|_| rng.random_range(low..high)).collect();
    Tensor::from_vec(values, shape, CPU).unwrap()
}

fn var(tensor: &Tensor) -> Var {
    Var::from_tensor(tensor).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    to_vec(tensor).unwrap()
}

fn gradient(grads: &GradStore, of: &Var) -> Vec<f64> {
    values(grads.get(of).expect("a gradient"))
}

/// Bit for bit, with the sign of zero.
fn bits(tensor: &Tensor) -> Vec<u64> {
    values(tensor).into_iter().map(f64::to_bits).collect()
}

fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |a, b| a.max(b.abs()))
}

/// A loss that sees every entry of the answer, each with its own factor.
fn loss(assignment: &Tensor, weights: &Tensor, seed: u64) -> Tensor {
    let factor = |tensor: &Tensor, seed| {
        uniform(tensor.dims(), -1.0, 1.0, seed).to_dtype(tensor.dtype()).unwrap()
    };
    let mut seen = [assignment, weights].into_iter().zip([seed, seed ^ 1]).map(|(tensor, seed)| {
        (tensor.sqr().unwrap() * factor(tensor, seed)).unwrap().sum_all().unwrap()
    });
    (seen.next().unwrap() + seen.next().unwrap()).unwrap()
}

/// Points, exemplars, column costs and budget: everything a user may differentiate.
#[derive(Clone, Debug)]
struct Scene {
    parts: [Tensor; 4],
    distance: Distance,
    seed: u64,
}

impl Scene {
    /// A few points and exemplars on the square, each number drawn by itself.
    fn any(
        norm: impl Strategy<Value = Norm>,
        distance: impl Strategy<Value = Distance>,
    ) -> impl Strategy<Value = (Norm, Self)> {
        use prop::collection::vec;
        (2usize..6, 0usize..4, norm, distance).prop_flat_map(|(n, m, norm, distance)| {
            let smallest = match norm {
                _ if m > 0 => 0.3 * n as f64,
                Norm::One => n as f64,
                Norm::Two => (n as f64).sqrt(),
                Norm::Infinity => 1.0,
            };
            let (points, exemplars) = (vec(-1.0..1.0, 2 * n), vec(-1.0..1.0, 2 * m));
            let parts = (points, exemplars, vec(0.05..0.3, n), 1.1..1.8, any::<u64>());
            parts.prop_map(move |(points, exemplars, prices, budget, seed)| {
                let tensor = |values: Vec<f64>, shape: &[usize]| {
                    Tensor::from_vec(values, shape, CPU).unwrap()
                };
                let parts = [
                    tensor(points, &[n, 2]),
                    tensor(exemplars, &[m, 2]),
                    tensor(prices, &[n]),
                    Tensor::new(smallest * budget, CPU).unwrap(),
                ];
                (norm, Self { parts, distance, seed })
            })
        })
    }

    /// Distance, layer, loss; all in the type of the points.
    fn run(
        &self,
        layer: &SelectionLayer,
        parts: [&Tensor; 4],
    ) -> gleaner::Result<(Tensor, Status)> {
        let [points, exemplars, prices, budget] = parts;
        let mut costs = self.distance.between(points, points)?;
        if exemplars.dim(0)? > 0 {
            let to_exemplars = self.distance.between(points, exemplars)?;
            costs = Tensor::cat(&[&costs, &to_exemplars], 1)?;
        }
        let inputs =
            LayerInputs { column_costs: Some(prices), budget: Some(budget), ..Default::default() };
        let LayerOutput { assignment, weights, status, .. } = layer.forward(&costs, inputs)?;
        assert_eq!((assignment.dtype(), weights.dtype()), (points.dtype(), points.dtype()));
        Ok((loss(&assignment, &weights, self.seed), status))
    }

    /// The gradient of every part, in a row, in the type given.
    fn gradients(&self, layer: &SelectionLayer, dtype: DType) -> (Vec<Vec<f64>>, Status) {
        let vars = self.parts.each_ref().map(|part| var(&part.to_dtype(dtype).unwrap()));
        let (loss, status) = self.run(layer, vars.each_ref().map(|var| var.as_tensor())).unwrap();
        let grads = loss.backward().unwrap();
        let of = |var: &Var| match grads.get(var) {
            Some(found) => {
                assert_eq!((found.dtype(), found.dims()), (dtype, var.dims()));
                values(found)
            }
            None => vec![0.0; var.elem_count()], // no exemplars
        };
        (vars.iter().map(of).collect(), status)
    }

    /// The loss with one number moved.
    fn moved(&self, layer: &SelectionLayer, part: usize, entry: usize, by: f64) -> f64 {
        let mut parts = self.parts.clone();
        let mut entries = values(&parts[part]);
        entries[entry] += by;
        parts[part] = Tensor::from_vec(entries, parts[part].shape(), CPU).unwrap();
        self.run(layer, parts.each_ref()).unwrap().0.to_scalar().unwrap()
    }
}

fn smoothings() -> impl Strategy<Value = Smoothing> {
    prop_oneof![
        2 => (0.1f64..0.8).prop_map(|eps| Smoothing::Quadratic(Scale::Absolute(eps))),
        1 => (0.1f64..0.8).prop_map(|eps| Smoothing::Entropic(Scale::Absolute(eps))),
    ]
}

fn distances() -> impl Strategy<Value = Distance> {
    prop_oneof![Just(Distance::SquaredEuclidean), Just(Distance::Euclidean)]
}

proptest! {
    #![proptest_config(cases(40))]

    /// Five-point differences with step `h = 1e-5`: truncation `(h / eps)^4` is below 1e-15, rounding
    /// `1e-13 / (h eps)` below 1e-7. A step changes costs by at most `8 h`; conditions that hold by
    /// less than `100 h` of the mean cost could flip, and there the derivative is one-sided.
    #[test]
    fn gradients_are_central_differences(
        (norm, scene) in Scene::any(norms(), distances()), smoothing in smoothings(),
    ) {
        const STEP: f64 = 1e-5;
        const TOLERANCE: f64 = 2e-6;
        let layer = tight(norm, smoothing);
        let (exact, status) = scene.gradients(&layer, DType::F64);
        prop_assume!(status.diagnostics.margin > 100.0 * STEP);
        for (part, name) in ["points", "exemplars", "column costs", "budget"].into_iter().enumerate() {
            let size = 0.1f64.max(largest(exact[part].iter().copied()));
            for (entry, &exact) in exact[part].iter().enumerate() {
                let at = |h: f64| scene.moved(&layer, part, entry, h * STEP);
                let central = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * STEP);
                let error = (exact - central).abs() / size;
                prop_assert!(error < TOLERANCE, "{name} {entry}: {exact} or {central} ({error:.1e})");
            }
        }
    }

    /// The program is solved in `f64` whatever the costs come in: what is left is the rounding of
    /// costs and outputs, 1e-7 times a few, divided by `eps >= 0.1`.
    #[test]
    fn single_precision_is_close(
        (norm, scene) in Scene::any(norms(), Just(Distance::SquaredEuclidean)), smoothing in smoothings(),
    ) {
        let layer = tight(norm, smoothing);
        let (double, status) = scene.gradients(&layer, DType::F64);
        prop_assume!(status.diagnostics.margin > 1e-4);
        let (single, _) = scene.gradients(&layer, DType::F32);
        for (double, single) in double.iter().zip(&single) {
            let size = 1f64.max(largest(double.iter().copied()));
            let error = largest(double.iter().zip(single).map(|(a, b)| a - b)) / size;
            prop_assert!(error < 1e-4, "{error:.1e}: {double:?} {single:?}");
        }
    }
}

/// A cost matrix that is neither square nor symmetric: a transposed copy shows at once.
#[test]
fn row_i_of_the_tensor_is_row_i_of_the_program() {
    for (n, width) in [(2, 3), (3, 3), (4, 9)] {
        let costs = var(&uniform(&[n, width], 0.0, 3.0, 4));
        let output = quadratic()
            .forward(&costs, LayerInputs { budget: Some(&scalar(1.4)), ..Default::default() })
            .unwrap();
        let matrix = DMatrix::from_row_slice(n, width, &values(&costs));
        let options =
            ProgramOptions { regulariser: Regulariser::Quadratic(0.3), ..Default::default() };
        let program = SelectionProgram::new(matrix, Budget::Absolute(1.4), options).unwrap();
        let solved = program.solve(quadratic().options().solve).unwrap();
        for (i, row) in output.assignment.to_vec2::<f64>().unwrap().iter().enumerate() {
            for (j, &z) in row.iter().enumerate() {
                assert_eq!(z, solved.assignment()[(i, j)], "({i}, {j}) of {n} x {width}");
            }
        }
        assert_eq!(values(&output.weights), solved.weights().as_slice());
        assert_eq!(&output.status.verdict, solved.verdict());

        let (to_assignment, to_weights) =
            (uniform(&[n, width], -1.0, 1.0, 5), uniform(&[n], -1.0, 1.0, 6));
        let seen = ((&output.assignment * &to_assignment).unwrap().sum_all().unwrap()
            + (&output.weights * &to_weights).unwrap().sum_all().unwrap())
        .unwrap();
        let by_rows = gradient(&seen.backward().unwrap(), &costs);
        let upstream = DMatrix::from_row_slice(n, width, &values(&to_assignment));
        let of_weights = DVector::from_vec(values(&to_weights));
        // Assignment and weights are pulled back one by one.
        let expected = [
            Upstream { assignment: Some(&upstream), weights: None },
            Upstream { assignment: None, weights: Some(&of_weights) },
        ]
        .map(|upstream| solved.pullback(upstream).unwrap().costs);
        let expected = &expected[0] + &expected[1];
        assert_eq!(DMatrix::from_row_slice(n, width, &by_rows), expected, "{n} x {width}");
    }
}

fn scalar(value: f64) -> Tensor {
    Tensor::new(value, CPU).unwrap()
}

#[test]
fn a_point_like_an_exemplar_is_not_selected() {
    // The first point is next to the exemplar, the second far from everything.
    let costs = Tensor::new(&[[0.0f64, 9.0, 0.1], [9.0, 0.0, 8.0]], CPU).unwrap();
    let layer = tight(Norm::Infinity, Smoothing::Quadratic(Scale::Absolute(0.01)));
    let inputs = LayerInputs { budget: Some(&scalar(1.0)), ..Default::default() };
    let output = layer.forward(&costs, inputs).unwrap();
    let assignment = output.assignment.to_vec2::<f64>().unwrap();
    assert!(assignment[0][2] > 0.99 && assignment[1][1] > 0.99, "{assignment:?}");
    let weights = values(&output.weights);
    assert!(weights[0] < 0.01 && weights[1] > 0.99, "{weights:?}");
    assert!((output.status.verdict.gap < 1e-9) && output.status.multipliers.budgets.len() == 1);
}

/// Costs `batch x n x (n + m)` with column costs and budgets of every program's own.
struct Programs {
    costs: Tensor,
    prices: Tensor,
    budgets: Tensor,
}

impl Programs {
    fn draw(count: usize, n: usize, m: usize) -> Self {
        Self {
            costs: uniform(&[count, n, n + m], 0.0, 2.0, 1),
            prices: uniform(&[count, n], 0.0, 0.4, 2),
            budgets: uniform(&[count], 1.1, 0.8 * n as f64, 3),
        }
    }

    /// Answers and the gradients of costs, column costs and budgets.
    fn run(&self, layer: &SelectionLayer) -> (BatchOutput, [Tensor; 3]) {
        let inputs = [&self.costs, &self.prices, &self.budgets].map(var);
        let output = layer
            .forward_batch(
                &inputs[0],
                LayerInputs {
                    column_costs: Some(&inputs[1]),
                    budget: Some(&inputs[2]),
                    ..Default::default()
                },
            )
            .unwrap();
        let (count, _, _) = output.assignment.dims3().unwrap();
        let losses: Vec<Tensor> = (0..count)
            .map(|k| {
                let (z, s) = (output.assignment.get(k).unwrap(), output.weights.get(k).unwrap());
                loss(&z, &s, 40)
            })
            .collect();
        let grads = Tensor::stack(&losses, 0).unwrap().sum_all().unwrap().backward().unwrap();
        (output, inputs.each_ref().map(|input| grads.get(input).unwrap().clone()))
    }

    /// Program `k` alone, through the single door.
    fn run_one(&self, layer: &SelectionLayer, k: usize) -> (LayerOutput, [Tensor; 3]) {
        let inputs =
            [&self.costs, &self.prices, &self.budgets].map(|all| var(&all.get(k).unwrap()));
        let output = layer
            .forward(
                &inputs[0],
                LayerInputs {
                    column_costs: Some(&inputs[1]),
                    budget: Some(&inputs[2]),
                    ..Default::default()
                },
            )
            .unwrap();
        let grads = loss(&output.assignment, &output.weights, 40).backward().unwrap();
        (output, inputs.each_ref().map(|input| grads.get(input).unwrap().clone()))
    }

    /// Sets one number of one of the inputs.
    fn spoil(mut self, which: fn(&mut Self) -> &mut Tensor, entry: usize, value: f64) -> Self {
        let input = which(&mut self);
        let mut entries = values(input);
        entries[entry] = value;
        *input = Tensor::from_vec(entries, input.shape(), CPU).unwrap();
        self
    }
}

fn assert_item_is_single(
    programs: &Programs,
    layer: &SelectionLayer,
    batch: &(BatchOutput, [Tensor; 3]),
    k: usize,
) {
    let (output, gradients) = batch;
    let (single, of_single) = programs.run_one(layer, k);
    let status = output.statuses[k].as_ref().unwrap();
    assert_eq!(status.verdict, single.status.verdict, "program {k}");
    assert_eq!(status.diagnostics, single.status.diagnostics, "program {k}");
    assert_eq!(bits(&output.assignment.get(k).unwrap()), bits(&single.assignment), "program {k}");
    assert_eq!(bits(&output.weights.get(k).unwrap()), bits(&single.weights), "program {k}");
    for (all, one) in gradients.iter().zip(&of_single) {
        assert_eq!(bits(&all.get(k).unwrap()), bits(one), "gradient of program {k}");
    }
}

#[test]
fn a_batch_is_the_single_calls_bit_for_bit() {
    for (norm, smoothing) in [
        (Norm::Infinity, Smoothing::Quadratic(Scale::OfMedianCost(0.1))),
        (Norm::Two, Smoothing::Entropic(Scale::OfMedianCost(0.2))),
        (Norm::One, Smoothing::Quadratic(Scale::Absolute(0.5))),
        (Norm::Infinity, Smoothing::None),
    ] {
        let layer = SelectionLayer::new(LayerOptions { norm, smoothing, ..Default::default() });
        let programs = Programs::draw(5, 4, 2);
        let batch = programs.run(&layer);
        assert_eq!(batch.0.assignment.dims(), [5, 4, 6]);
        assert_eq!(batch.0.weights.dims(), [5, 4]);
        (0..5).for_each(|k| assert_item_is_single(&programs, &layer, &batch, k));
    }
}

#[test]
fn one_bad_program_fails_alone() {
    let layer = quadratic();
    let spoiled = [
        ("NaN cost", Programs::draw(4, 4, 2).spoil(|p| &mut p.costs, 24 + 7, f64::NAN)),
        ("infinite cost", Programs::draw(4, 4, 2).spoil(|p| &mut p.costs, 24, f64::INFINITY)),
        ("NaN column cost", Programs::draw(4, 4, 2).spoil(|p| &mut p.prices, 4, f64::NAN)),
        ("negative column cost", Programs::draw(4, 4, 2).spoil(|p| &mut p.prices, 5, -1.0)),
        ("NaN budget", Programs::draw(4, 4, 2).spoil(|p| &mut p.budgets, 1, f64::NAN)),
        ("infeasible budget", Programs::draw(4, 4, 0).spoil(|p| &mut p.budgets, 1, 0.5)),
    ];
    for (what, programs) in spoiled {
        let batch = programs.run(&layer);
        let (output, gradients) = &batch;
        let error = output.statuses[1].as_ref().expect_err(what);
        let expected = match what {
            "NaN cost" => {
                matches!(error, Error::NotFinite { what: "costs", row: 1, column: 1, .. })
            }
            "infeasible budget" => matches!(error, Error::Infeasible { .. }),
            _ => matches!(error, Error::NotFinite { .. } | Error::OutOfRange { .. }),
        };
        assert!(expected, "{what}: {error:?}");
        for part in [&output.assignment, &output.weights].into_iter().chain(gradients) {
            let part = values(&part.get(1).unwrap());
            assert!(part.iter().all(|&value| value == 0.0), "{what}: {part:?}");
        }
        [0, 2, 3].into_iter().for_each(|k| assert_item_is_single(&programs, &layer, &batch, k));
    }
}

/// The weights of a failed program are zero, and a loss may be infinitely steep there.
#[test]
fn a_failed_program_passes_no_gradient_however_steep_the_loss() {
    let programs = Programs::draw(2, 3, 1).spoil(|p| &mut p.costs, 0, f64::NAN);
    let costs = var(&programs.costs);
    let inputs = LayerInputs { budget: Some(&programs.budgets), ..Default::default() };
    let output = quadratic().forward_batch(&costs, inputs).unwrap();
    let failed = output.weights.get(0).unwrap();
    let grads = failed.log().unwrap().sum_all().unwrap().backward();
    assert_eq!(gradient(&grads.unwrap(), &costs), [0.0; 24]);
}

#[test]
fn a_bad_upstream_gradient_is_an_error_not_a_nan() {
    let costs = var(&uniform(&[3, 4], 0.0, 1.0, 0));
    let output = quadratic().forward(&costs, LayerInputs::default()).unwrap();
    let error = (output.weights * f64::NAN).unwrap().sum_all().unwrap().backward().unwrap_err();
    assert!(error.to_string().contains("must be finite"), "{error}");
}

#[test]
fn inputs_may_be_shared_or_one_a_program() {
    let (layer, count) = (quadratic(), 3);
    let costs = uniform(&[count, 4, 6], 0.0, 2.0, 1);
    let (prices, budget) = (var(&uniform(&[4], 0.0, 0.4, 2)), var(&scalar(1.7)));
    let each = var(&prices.broadcast_as((count, 4)).unwrap().contiguous().unwrap());
    let every = var(&budget.broadcast_as(count).unwrap().contiguous().unwrap());
    let run = |prices: &Tensor, budget: &Tensor| {
        let inputs =
            LayerInputs { column_costs: Some(prices), budget: Some(budget), ..Default::default() };
        let output = layer.forward_batch(&costs, inputs).unwrap();
        let grads = loss(&output.assignment, &output.weights, 8).backward().unwrap();
        (output, grads)
    };
    let (shared, of_shared) = run(&prices, &budget);
    let (separate, of_separate) = run(&each, &every);
    assert_eq!(bits(&shared.assignment), bits(&separate.assignment));
    assert_eq!(bits(&shared.weights), bits(&separate.weights));
    // What is shared feels the sum of what its copies feel, up to the order of summation.
    for (one, copies) in [(&prices, &each), (&budget, &every)] {
        let copies = of_separate.get(copies).unwrap().sum(0).unwrap();
        let one = of_shared.get(one).unwrap();
        let difference = largest(values(&(one - copies).unwrap()));
        assert!(difference < 1e-14, "{difference:e}");
    }
}

#[test]
fn the_layers_own_budget_serves_where_none_is_given() {
    let costs = uniform(&[5, 7], 0.0, 2.0, 1);
    let with = |budget: Budget| LayerOptions { budget, ..Default::default() };
    let own =
        SelectionLayer::new(with(Budget::Fraction(0.4))).forward(&costs, LayerInputs::default());
    let given = SelectionLayer::new(with(Budget::Fraction(1.0)))
        .forward(&costs, LayerInputs { budget: Some(&scalar(2.0)), ..Default::default() });
    assert_eq!(bits(&own.unwrap().assignment), bits(&given.unwrap().assignment));

    let total = BudgetRow { coefficients: vec![1.0; 5], limit: 2.0 };
    let first = BudgetRow { coefficients: vec![1.0, 0.0, 0.0, 0.0, 0.0], limit: 0.1 };
    let rows = SelectionLayer::new(with(Budget::Rows(vec![total, first])));
    let output = rows.forward(&costs, LayerInputs::default()).unwrap();
    assert_eq!(output.status.multipliers.budgets.len(), 2);
    assert!(values(&output.weights)[0] <= 0.1 + 1e-9);
}

/// Groups, row masses, limits of two budget rows, eps: the gradient of each against central differences, for
/// a batch of two programs. 1e-6: a five-point stencil at 1e-4 on a program solved to rounding.
#[test]
fn gradients_reach_every_input_of_a_batch() {
    let groups = [0, 0, 1, 2, 2, 1];
    let rows = [
        BudgetRow { coefficients: vec![1.0; 3], limit: 9.0 },
        BudgetRow { coefficients: vec![2.0, 0.5, 1.0], limit: 9.0 },
    ];
    let tensors = [
        uniform(&[2, 6, 10], 0.1, 2.0, 1),
        uniform(&[2, 3], 0.02, 0.2, 2),
        uniform(&[6], 0.8, 1.2, 3),
        Tensor::new(&[[0.9f64, 0.85], [0.7, 0.65]], CPU).unwrap(),
        Tensor::new(&[0.3f64, 0.25], CPU).unwrap(),
    ];
    for norm in [Norm::Two, Norm::Infinity] {
        let layer = tight(norm, Smoothing::Quadratic(Scale::OfMedianCost(0.1)));
        let run = |parts: [&Tensor; 5]| {
            let inputs = LayerInputs {
                column_costs: Some(parts[1]),
                row_masses: Some(parts[2]),
                budget: Some(parts[3]),
                eps: Some(parts[4]),
                budget_rows: Some(&rows),
                groups: Some(&groups),
                ..Default::default()
            };
            let output = layer.forward_batch(parts[0], inputs).unwrap();
            for status in &output.statuses {
                assert!(status.as_ref().unwrap().diagnostics.margin > 2e-3, "a kink is near");
            }
            assert_eq!(output.weights.dims(), [2, 3]);
            loss(&output.assignment, &output.weights, 4)
        };
        let variables = tensors.each_ref().map(var);
        let grads = run(variables.each_ref().map(|var| var.as_tensor())).backward().unwrap();
        for (k, variable) in variables.iter().enumerate() {
            let exact = gradient(&grads, variable);
            for entry in 0..exact.len() {
                let at = |by: f64| {
                    let mut moved = values(&tensors[k]);
                    moved[entry] += by;
                    let moved = Tensor::from_vec(moved, tensors[k].shape(), CPU).unwrap();
                    let mut parts = tensors.each_ref();
                    parts[k] = &moved;
                    run(parts).to_scalar::<f64>().unwrap()
                };
                let h = 1e-4;
                let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                let error = (slope - exact[entry]).abs() / slope.abs().max(1.0);
                assert!(error < 1e-6, "{norm:?} input {k} entry {entry}: {slope} {}", exact[entry]);
            }
        }
    }
}

/// Starting from the multipliers of a similar program changes the way, not the answer.
#[test]
fn a_warm_start_is_shorter_and_ends_in_the_same_place() {
    let layer = SelectionLayer::new(LayerOptions::default());
    let points = uniform(&[30, 3], 0.0, 1.0, 5);
    let costs = |shift: f64| {
        let moved = (&points * (1.0 + shift)).unwrap();
        Distance::SquaredEuclidean.between(&moved, &points).unwrap().unsqueeze(0).unwrap()
    };
    let run = |shift: f64, start: Option<&[Multipliers]>| {
        let inputs = LayerInputs { start, ..Default::default() };
        let mut output = layer.forward_batch(&costs(shift), inputs).unwrap();
        (output.weights, output.statuses.pop().unwrap().unwrap())
    };
    let (_, before) = run(0.0, None);
    let (cold, long) = run(1e-3, None);
    let (warm, short) = run(1e-3, Some(&[before.multipliers]));
    assert!(short.verdict.iterations < long.verdict.iterations);
    // Both have a residual below 1e-10.
    assert!(largest(values(&(cold - warm).unwrap())) < 1e-8);

    let inputs = LayerInputs { start: Some(&[]), ..Default::default() };
    let error = layer.forward_batch(&costs(0.0), inputs).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "starts", .. }), "{error}");
    let short = Multipliers { rows: DVector::zeros(3), budgets: DVector::zeros(1) };
    let inputs = LayerInputs { start: Some(&[short]), ..Default::default() };
    let error = layer.forward_batch(&costs(0.0), inputs).unwrap().statuses.pop().unwrap();
    assert!(matches!(error, Err(Error::Shape { .. })));
}

/// Gradient reaches what asks for it, whichever of the three inputs that is.
#[test]
fn each_input_may_be_the_only_variable() {
    let tensors = [uniform(&[4, 5], 0.0, 2.0, 1), uniform(&[4], 0.0, 0.4, 2), scalar(1.5)];
    let everything = tensors.each_ref().map(var);
    let run = |inputs: [&Tensor; 3]| {
        let others = LayerInputs {
            column_costs: Some(inputs[1]),
            budget: Some(inputs[2]),
            ..Default::default()
        };
        let output = quadratic().forward(inputs[0], others).unwrap();
        loss(&output.assignment, &output.weights, 9).backward().unwrap()
    };
    let all = run(everything.each_ref().map(|var| var.as_tensor()));
    for k in 0..3 {
        let mut inputs = tensors.each_ref();
        inputs[k] = &everything[k];
        let alone = run(inputs);
        assert_eq!(gradient(&alone, &everything[k]), gradient(&all, &everything[k]), "input {k}");
        assert!(alone.get(&tensors[(k + 1) % 3]).is_none());
    }
    // Their types may differ: each gets its gradient in its own.
    let single = var(&tensors[0].to_dtype(DType::F32).unwrap());
    let mixed = run([&single, &everything[1], &everything[2]]);
    assert_eq!(mixed.get(&single).unwrap().dtype(), DType::F32);
    assert_eq!(mixed.get(&everything[1]).unwrap().dtype(), DType::F64);
}

#[test]
fn wrong_shapes_are_refused() {
    let layer = quadratic();
    let costs = uniform(&[2, 3, 5], 0.0, 1.0, 0);
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F64, CPU).unwrap();
    for (what, column_costs, budget) in [
        ("prices for all columns", Some(zeros(&[5])), None),
        ("prices for three programs", Some(zeros(&[3, 3])), None),
        ("one price", Some(zeros(&[])), None),
        ("budgets for three programs", None, Some(zeros(&[3]))),
        ("a column of budgets", None, Some(zeros(&[2, 1]))),
    ] {
        let inputs = LayerInputs {
            column_costs: column_costs.as_ref(),
            budget: budget.as_ref(),
            ..Default::default()
        };
        let error = layer.forward_batch(&costs, inputs).expect_err(what);
        assert!(matches!(error, Error::Shape { .. }), "{what}: {error}");
    }
    let inputs =
        LayerInputs { column_costs: Some(&zeros(&[5])), budget: None, ..Default::default() };
    let error = layer.forward_batch(&costs, inputs).unwrap_err();
    assert_eq!(error.to_string(), "column costs: expected [2, 3] or [3], found [5]");

    // Fewer columns than rows: not a program.
    let error = layer.forward(&zeros(&[3, 2]), LayerInputs::default()).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "costs", .. }), "{error}");
    let output = layer.forward_batch(&zeros(&[2, 3, 2]), LayerInputs::default()).unwrap();
    assert!(output.statuses.iter().all(|status| matches!(status, Err(Error::Shape { .. }))));

    assert!(layer.forward(&costs, LayerInputs::default()).is_err());
    assert!(layer.forward_batch(&zeros(&[3, 5]), LayerInputs::default()).is_err());
}

/// A user's own model: `?` turns this crate's errors into candle's.
struct Selector {
    embed: Linear,
    layer: SelectionLayer,
}

impl Module for Selector {
    fn forward(&self, points: &Tensor) -> candle_core::Result<Tensor> {
        let places = self.embed.forward(points)?;
        let costs = Distance::SquaredEuclidean.between(&places, &places)?;
        Ok(self.layer.forward(&costs, LayerInputs::default())?.weights)
    }
}

#[test]
fn it_works_inside_a_users_module() -> candle_core::Result<()> {
    let (builder, variables) = SeededWeights::builder(3, DType::F32, CPU);
    let embed = candle_nn::linear(3, 2, builder.pp("embed"))?;
    let points = uniform(&[8, 3], -1.0, 1.0, 0).to_dtype(DType::F32)?;
    let budget = Budget::Absolute(2.0);
    let options = LayerOptions { budget, ..Default::default() };
    let model = Selector { embed: embed.clone(), layer: SelectionLayer::new(options.clone()) };
    let weights = points.apply(&model)?; // a module like any other
    assert!((weights.sum_all()?.to_scalar::<f32>()? - 2.0).abs() < 1e-5);
    let grads =
        (weights * uniform(&[8], 0.0, 1.0, 1).to_dtype(DType::F32)?)?.sum_all()?.backward()?;
    let (name, matrix) = &variables.variables()[1];
    assert_eq!(name, "embed.weight");
    let gradient = gradient(&grads, matrix);
    assert!(gradient.iter().all(|g| g.is_finite()) && largest(gradient) > 0.0);

    let options = LayerOptions { budget: Budget::Absolute(0.5), ..options };
    let error = points.apply(&Selector { embed, layer: SelectionLayer::new(options) }).unwrap_err();
    assert!(error.to_string().contains("the budget must be at least 1, found 0.5"), "{error}");
    Ok(())
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let programs = Programs::draw(16, 6, 3);
    let [one, two] = [1, 2].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (output, gradients) = pool.install(|| programs.run(&quadratic()));
        [vec![output.assignment, output.weights], gradients.to_vec()].concat()
    });
    for (one, two) in one.iter().zip(&two) {
        assert_eq!(bits(one), bits(two));
    }
}

#[test]
fn inputs_need_not_be_contiguous() {
    let wide = uniform(&[7, 4, 3], 0.0, 2.0, 1);
    let prices = uniform(&[6, 3], 0.0, 0.4, 2);
    // A slice of programs, each transposed to 3 x 4; every second of the prices.
    let view = |wide: &Tensor| wide.narrow(0, 2, 3).unwrap().transpose(1, 2).unwrap();
    let run = |copy: bool| {
        let (wide, prices) = (var(&wide), var(&prices));
        let (mut costs, mut some) =
            (view(&wide), prices.t().unwrap().narrow(1, 1, 3).unwrap().t().unwrap());
        assert!(!costs.is_contiguous());
        if copy {
            (costs, some) =
                (costs.copy().unwrap().contiguous().unwrap(), some.contiguous().unwrap());
        }
        let inputs = LayerInputs {
            column_costs: Some(&some),
            budget: Some(&scalar(1.3)),
            ..Default::default()
        };
        let output = quadratic().forward_batch(&costs, inputs).unwrap();
        let grads = loss(&output.assignment, &output.weights, 3).backward().unwrap();
        let of = |var: &Var| grads.get(var).unwrap().clone();
        [output.assignment, output.weights, of(&wide), of(&prices)].map(|tensor| bits(&tensor))
    };
    assert_eq!(run(false), run(true));
    // An upstream gradient may be a view too.
    let costs = var(&uniform(&[3, 5], 0.0, 2.0, 1));
    let output = quadratic().forward(&costs, LayerInputs::default()).unwrap();
    let factors = uniform(&[5, 3], -1.0, 1.0, 2);
    let there = (output.assignment.t().unwrap() * &factors).unwrap().sum_all().unwrap();
    let here = (&output.assignment * factors.t().unwrap()).unwrap().sum_all().unwrap();
    let [there, here] = [there, here].map(|loss| gradient(&loss.backward().unwrap(), &costs));
    assert_eq!(there, here);
}

/// A vertex does not move with its costs, but with its budget it does.
#[test]
fn without_smoothing_only_the_budget_has_a_gradient() {
    for norm in [Norm::One, Norm::Infinity] {
        let layer = tight(norm, Smoothing::None);
        let points = uniform(&[4, 2], -1.0, 1.0, 11);
        let exemplars = uniform(&[2, 2], -1.0, 1.0, 12);
        let incoming = Distance::Euclidean.between(&points, &points).unwrap();
        let remembered = Distance::Euclidean.between(&points, &exemplars).unwrap();
        let costs = var(&Tensor::cat(&[incoming, remembered], 1).unwrap());
        let budget = var(&scalar(1.4));
        let inputs = LayerInputs { budget: Some(&budget), ..Default::default() };
        let output = layer.forward(&costs, inputs).unwrap();
        let grads = output.weights.sum_all().unwrap().backward().unwrap();
        assert!(largest(gradient(&grads, &costs)) < 1e-12, "{norm:?}");
        assert!(
            (gradient(&grads, &budget)[0] - 1.0).abs() < 1e-9,
            "{norm:?}: the weights add up to it"
        );
    }
}

/// Smoothing in units of the costs: other units, same answer.
#[test]
fn a_scale_of_the_median_cost_knows_no_units() {
    let costs = uniform(&[5, 7], 0.1, 2.0, 3);
    let median = {
        let mut sorted = values(&costs);
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let answer = |smoothing, costs: &Tensor| {
        let output =
            tight(Norm::Infinity, smoothing).forward(costs, LayerInputs::default()).unwrap();
        values(&output.assignment)
    };
    for kind in [Smoothing::Quadratic, Smoothing::Entropic] {
        let relative = answer(kind(Scale::OfMedianCost(0.2)), &costs);
        assert_eq!(relative, answer(kind(Scale::Absolute(0.2 * median)), &costs));
        for unit in [1e-6, 1e6] {
            let other = answer(kind(Scale::OfMedianCost(0.2)), &(&costs * unit).unwrap());
            let difference = largest(relative.iter().zip(&other).map(|(a, b)| a - b));
            assert!(difference < 1e-9, "{unit:e}: {difference:e}");
        }
    }
    let nothing = Tensor::zeros((3, 4), DType::F64, CPU).unwrap();
    let spread = answer(Smoothing::Quadratic(Scale::OfMedianCost(0.2)), &nothing);
    assert!(spread.iter().all(|z| z.is_finite()));
}

#[test]
fn one_forward_serves_two_losses() {
    let programs = Programs::draw(2, 4, 1);
    let costs = var(&programs.costs);
    let output = quadratic().forward_batch(&costs, LayerInputs::default()).unwrap();
    let first = (output.weights.sqr().unwrap()).sum_all().unwrap();
    let second =
        (&output.assignment * uniform(&[2, 4, 5], 0.0, 1.0, 1)).unwrap().sum_all().unwrap();
    let [one, two] = [&first, &second].map(|loss| gradient(&loss.backward().unwrap(), &costs));
    let both = gradient(&(&first + &second).unwrap().backward().unwrap(), &costs);
    let error = largest(one.iter().zip(&two).zip(&both).map(|((a, b), both)| a + b - both));
    assert!(error < 1e-12, "the pullback is linear: {error:e}");
    assert!(largest(one.iter().copied()) > 1e-3 && largest(two) > 1e-3);
    assert_eq!(gradient(&first.backward().unwrap(), &costs), one, "and remembers nothing");
}

#[test]
fn programs_without_points_fail_without_a_panic() {
    let costs = Var::zeros((2, 0, 3), DType::F64, CPU).unwrap();
    let error = quadratic().forward_batch(&costs, LayerInputs::default()).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "costs", .. }), "{error}");
}

#[test]
fn integer_costs_do_not_round_the_answer() {
    let costs = Tensor::new(&[[0u32, 1, 4], [1, 0, 2], [4, 2, 0]], CPU).unwrap();
    let inputs = LayerInputs { budget: Some(&scalar(1.5)), ..Default::default() };
    if let Ok(output) = quadratic().forward(&costs, inputs) {
        assert!((values(&output.weights).iter().sum::<f64>() - 1.5).abs() < 1e-9);
    }
}

#[test]
fn costs_of_the_wrong_rank_are_a_shape_error() {
    let error =
        quadratic().forward(&uniform(&[9], 0.0, 1.0, 0), LayerInputs::default()).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}

#[test]
fn nothing_to_choose_from_is_an_error() {
    let layer = SelectionLayer::new(LayerOptions::default());
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F64, &Device::Cpu).unwrap();
    for shape in [&[0, 3][..], &[0, 0], &[2, 1]] {
        let error = layer.forward(&zeros(shape), LayerInputs::default()).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{shape:?}: {error}");
    }
    for shape in [&[0, 2, 3][..], &[2, 0, 3], &[2, 0, 0]] {
        let error = layer.forward_batch(&zeros(shape), LayerInputs::default()).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{shape:?}: {error}");
    }
    for groups in [&[][..], &[0], &[0, 1, 1]] {
        let inputs = LayerInputs { groups: Some(groups), ..Default::default() };
        let error = layer.forward(&zeros(&[2, 3]), inputs).unwrap_err();
        assert!(matches!(error, Error::Shape { what: "groups", .. }), "{groups:?}: {error}");
    }
}

/// A mask takes the place of a huge cost, scale of the smoothing included; no gradient reaches what it hides.
#[test]
fn what_is_not_allowed_takes_no_part() {
    let layer =
        SelectionLayer::new(LayerOptions { budget: Budget::Absolute(2.0), ..Default::default() });
    let values: Vec<f64> = (0..24).map(|k| f64::from((k * 7) % 11) * 0.1).collect();
    let allowed: Vec<u8> = (0..24).map(|k| u8::from(k % 5 != 2)).collect();
    let costs = |hidden: f64| {
        let all = values.iter().zip(&allowed).map(|(v, a)| if *a == 1 { *v } else { hidden });
        Var::from_tensor(&Tensor::from_iter(all, &Device::Cpu).unwrap().reshape((4, 6)).unwrap())
            .unwrap()
    };
    let mask = Tensor::from_vec(allowed.clone(), (4, 6), &Device::Cpu).unwrap();
    let inputs = LayerInputs { allowed: Some(&mask), ..Default::default() };
    let (plain, hidden) = (costs(0.7), costs(1e30));
    let a = layer.forward(&plain, inputs).unwrap();
    let b = layer.forward(&hidden, inputs).unwrap();
    assert_eq!(to_vec(&a.weights).unwrap(), to_vec(&b.weights).unwrap());
    let gradient = b.weights.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = to_vec(gradient.get(&hidden).unwrap()).unwrap();
    for (g, allowed) in gradient.iter().zip(&allowed) {
        assert!(g.is_finite() && (*allowed == 1 || *g == 0.0));
    }
    let narrow = mask.narrow(1, 0, 5).unwrap();
    let inputs = LayerInputs { allowed: Some(&narrow), ..Default::default() };
    let error = layer.forward(&plain, inputs).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "allowed", .. }), "{error}");
}

/// A vertex has no slope; the perturbed derivative is the program's own, for each answer that a loss uses, and leads to a
/// loss that is lower.
#[test]
fn the_perturbed_derivative_sees_past_a_vertex() {
    let budget = Budget::Absolute(2.0);
    let derivative = Derivative::Perturbed { size: 0.3 };
    let options = LayerOptions { smoothing: Smoothing::None, budget, ..Default::default() };
    let exact = SelectionLayer::new(options.clone());
    let perturbed = SelectionLayer::new(LayerOptions { derivative, ..options });
    let costs = var(&uniform(&[2, 6, 6], 0.0, 1.0, 7));
    let (wish, pull) = (uniform(&[2, 6], -1.0, 1.0, 8), uniform(&[2, 6, 6], -1.0, 1.0, 9));
    let loss = |layer: &SelectionLayer, costs: &Tensor| -> Tensor {
        let out = layer.forward_batch(costs, LayerInputs::default()).unwrap();
        let of_weights = (&out.weights * &wish).unwrap().sum_all().unwrap();
        let of_assignment = (&out.assignment * &pull).unwrap().sum_all().unwrap();
        (of_weights + of_assignment).unwrap()
    };
    let slope = |layer| gradient(&loss(layer, &costs).backward().unwrap(), &costs);
    assert!(slope(&exact).iter().all(|slope| slope.abs() < 1e-9));
    let found = slope(&perturbed);

    let out = perturbed.forward_batch(&costs, LayerInputs::default()).unwrap();
    assert!(out.statuses.iter().all(Result::is_ok));
    let (norm, regulariser) = (Norm::Infinity, Regulariser::None);
    for k in 0..2 {
        let rows = |all: &Tensor| DMatrix::from_row_slice(6, 6, &values(&all.get(k).unwrap()));
        let options = ProgramOptions { norm, regulariser, ..Default::default() };
        let program = SelectionProgram::new(rows(&costs), Budget::Absolute(2.0), options).unwrap();
        let selection = program.solve(SolveOptions::default()).unwrap();
        let own = |upstream| {
            selection.pullback_perturbed(upstream, 0.3, SolveOptions::default()).unwrap().costs
        };
        let (pull, wish) = (rows(&pull), DVector::from_vec(values(&wish.get(k).unwrap())));
        let expected = own(Upstream { assignment: Some(&pull), weights: None })
            + own(Upstream { weights: Some(&wish), assignment: None });
        let found = DMatrix::from_row_slice(6, 6, &found[36 * k..36 * (k + 1)]);
        assert_eq!(found, expected, "program {k}");
    }

    let largest = found.iter().fold(0.0f64, |largest, slope| largest.max(slope.abs()));
    let against = Tensor::from_vec(found, (2, 6, 6), CPU).unwrap();
    let value = |costs: &Tensor| loss(&exact, costs).to_scalar::<f64>().unwrap();
    let moved = [0.03, 0.1, 0.3]
        .map(|step| value(&(costs.as_tensor() - (&against * (step / largest)).unwrap()).unwrap()));
    assert!(moved.iter().any(|loss| *loss < value(&costs) - 1e-3), "{moved:?}");

    for size in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let derivative = Derivative::Perturbed { size };
        let layer = SelectionLayer::new(LayerOptions { derivative, ..Default::default() });
        let refused = layer.forward_batch(&costs, LayerInputs::default());
        assert!(matches!(refused, Err(Error::OutOfRange { .. })), "{size}");
    }
}
