//! What users of neighbouring projects ran into, as they would meet it here: float types, shared inputs, signs of
//! gradients, memory, budgets that exclude each other, large pools, blobs, empty classes, odd charts.
//!
//! The rest of the kind is where it belongs: far costs in `certificate.rs`, near pairs beside a far row in
//! `distance.rs`, last batches in `trainer.rs`, readers in `features.rs`, `text.rs`, `image_folder.rs` and
//! `image_parquet.rs`.

use std::collections::BTreeSet;

use approx::assert_relative_eq;
use candle_core::{DType, Device, Tensor, Var};
use gleaner::choose::{Convex, Evidence, FacilityLocation, KCenter, Similarity, Strategy, named};
use gleaner::data::{Dataset, Source};
use gleaner::experiment::{
    ActiveLearning, KnownLabels, Model, Oracle, Rounds, Run, Stages, Task, active_learning,
};
use gleaner::joint::{Amount, Balance, ChooseOptions, Heads, ModelOptions};
use gleaner::layer::bridge::{to_scalar, to_vec};
use gleaner::learn::{Length, Mlp, MlpOptions, TrainingOptions};
use gleaner::program::{
    Budget, BudgetRow, Method, Norm, ProgramOptions, Regulariser, SelectionProgram,
};
use gleaner::{
    Distance, Error, LayerInputs, LayerOptions, Learner, Result, Scale, SelectionLayer, Smoothing,
    Trainer, TrainerOptions,
};
use nalgebra::DMatrix;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Uniform in the unit cube: `n x d`.
fn points(n: usize, d: usize, seed: u64) -> Tensor {
    let mut rng = rng(seed);
    let values: Vec<f64> = (0..n * d).map(|_| rng.random()).collect();
    Tensor::from_vec(values, (n, d), &Device::Cpu).unwrap()
}

fn layer(budget: f64) -> SelectionLayer {
    SelectionLayer::new(LayerOptions { budget: Budget::Absolute(budget), ..Default::default() })
}

/// Answer and cost gradient come in the type of the costs, the budget's gradient in the budget's; a type's rounding
/// of the costs moves the answer and the gradients' sizes by no more than a few times itself.
#[test]
fn every_float_type_beside_a_budget_in_f64() -> Result<()> {
    let points = points(12, 3, 2);
    let costs = Distance::SquaredEuclidean.between(&points, &points)?;
    let run = |dtype: DType| -> Result<[f64; 3]> {
        let (costs, budget) =
            (Var::from_tensor(&costs.to_dtype(dtype)?)?, Var::new(3.0f64, &Device::Cpu)?);
        let inputs = LayerInputs { budget: Some(&budget), ..Default::default() };
        let answer = layer(3.0).forward(&costs, inputs)?;
        assert_eq!(answer.weights.dtype(), dtype);
        let value = answer.weights.to_dtype(DType::F32)?.sqr()?.sum_all()?;
        let found = value.backward()?;
        let (of_costs, of_budget) = (found.get(&costs).unwrap(), found.get(&budget).unwrap());
        assert_eq!((of_costs.dtype(), of_budget.dtype()), (dtype, DType::F64));
        let of_costs = to_vec(of_costs)?.iter().map(|g| g.abs()).sum();
        Ok([to_scalar(&value)?, of_costs, to_scalar(of_budget)?])
    };
    let exact = run(DType::F64)?;
    for (dtype, rounding) in [(DType::F32, 6e-8), (DType::F16, 5e-4), (DType::BF16, 4e-3)] {
        assert_relative_eq!(run(dtype)?[..], exact[..], max_relative = 4.0 * rounding);
    }
    Ok(())
}

/// A price shared by three programs feels the sum of what it feels in each; three budgets do not fit one program.
#[test]
fn a_shared_price_beside_a_budget_a_program() -> Result<()> {
    let points = points(5, 3, 3);
    let costs = Distance::SquaredEuclidean.between(&points, &points)?;
    let batch = Tensor::stack(&[&costs, &(&costs * 2.0)?, &(&costs * 3.0)?], 0)?;
    let prices = Var::new(&[0.1f64, 0.2, 0.0, 0.3, 0.0], &Device::Cpu)?;
    let budgets = Var::new(&[1.5f64, 2.0, 2.5], &Device::Cpu)?;
    let gradient = |weights: &Tensor| -> Result<Vec<f64>> {
        to_vec(weights.sqr()?.sum_all()?.backward()?.get(&prices).unwrap())
    };
    fn with<'a>(prices: &'a Tensor, budget: &'a Tensor) -> LayerInputs<'a> {
        LayerInputs { column_costs: Some(prices), budget: Some(budget), ..Default::default() }
    }
    let together = gradient(&layer(2.0).forward_batch(&batch, with(&prices, &budgets))?.weights)?;
    let mut sum = vec![0.0; 5];
    for k in 0..3 {
        let budget = budgets.get(k)?;
        let single =
            gradient(&layer(2.0).forward(&batch.get(k)?, with(&prices, &budget))?.weights)?;
        sum.iter_mut().zip(single).for_each(|(sum, single)| *sum += single);
    }
    for (together, sum) in together.iter().zip(&sum) {
        assert_relative_eq!(together, sum, max_relative = 1e-14);
    }
    assert!(matches!(
        layer(2.0).forward(&costs, with(&prices, &budgets)),
        Err(Error::Shape { .. })
    ));
    Ok(())
}

/// Along a random direction: central differences with a step of 1e-6 are good to about 1e-8 where the program's
/// solution is smooth; two losses' gradients add up to rounding.
#[test]
fn gradients_agree_with_differences_and_add_up() -> Result<()> {
    let (incoming, remembered) = (points(60, 4, 4), points(15, 4, 44));
    let all = Tensor::cat(&[&incoming, &remembered], 0)?;
    let start = Distance::SquaredEuclidean.between(&incoming, &all)?;
    let (readout, direction) = (points(60, 75, 5), points(60, 75, 6));
    for norm in [Norm::One, Norm::Two, Norm::Infinity] {
        let layer = SelectionLayer::new(LayerOptions {
            norm,
            budget: Budget::Absolute(8.0),
            smoothing: Smoothing::Quadratic(Scale::Absolute(0.05)),
            ..Default::default()
        });
        let loss = |costs: &Tensor| -> Result<Tensor> {
            let answer = layer.forward(costs, LayerInputs::default())?;
            Ok((answer.assignment * &readout)?.sum_all()?)
        };
        let costs = Var::from_tensor(&start)?;
        let of =
            |loss: Tensor| -> Result<Tensor> { Ok(loss.backward()?.get(&costs).unwrap().clone()) };
        let along = to_scalar(&(of(loss(&costs)?)? * &direction)?.sum_all()?)?;
        let step = 1e-6;
        let at = |h: f64| to_scalar(&loss(&(&start + (&direction * h)?)?)?);
        assert_relative_eq!(along, (at(step)? - at(-step)?) / (2.0 * step), max_relative = 1e-6);

        let answer = layer.forward(&costs, LayerInputs::default())?;
        let (a, b) =
            ((&answer.assignment * &readout)?.sum_all()?, answer.weights.sqr()?.sum_all()?);
        let (sum, both) = ((of(a.clone())? + of(b.clone())?)?, of((a + b)?)?);
        let off = to_vec(&(sum - &both)?)?.into_iter().fold(0.0, |off: f64, d| off.max(d.abs()));
        assert!(off <= 1e-12, "{norm:?}: {off:e}");
    }
    Ok(())
}

/// A point whose price falls along the gradient is chosen in the end.
#[test]
fn descending_on_minus_a_weight_raises_it() -> Result<()> {
    const TARGET: usize = 4;
    let points = points(6, 3, 9);
    let costs = Distance::SquaredEuclidean.between(&points, &points)?;
    let mut prices = Var::from_tensor(&Tensor::full(0.3f64, 6, &Device::Cpu)?)?;
    let mut seen = Vec::new();
    for _ in 0..60 {
        let inputs = LayerInputs { column_costs: Some(&prices), ..Default::default() };
        let weight = layer(2.0).forward(&costs, inputs)?.weights.get(TARGET)?;
        seen.push(to_scalar(&weight)?);
        let found = weight.neg()?.backward()?;
        let next = (prices.as_tensor() - (found.get(&prices).unwrap() * 0.05)?)?.relu()?;
        prices = Var::from_tensor(&next.detach())?;
    }
    assert!(seen[0] < 0.9, "{seen:?}");
    assert_relative_eq!(seen[59], 1.0, epsilon = 1e-6);
    Ok(())
}

/// Each half of the columns gets a budget of .45 where the triangle inequality asks for 1 together.
#[test]
fn budgets_that_exclude_each_other_are_called_infeasible() -> Result<()> {
    for seed in 0..60 {
        let points = points(6, 3, seed);
        let scale = [1.0, 1e-6, 1e6][seed as usize % 3];
        let costs = to_vec(&Distance::SquaredEuclidean.between(&points, &points)?)?;
        let costs = DMatrix::from_row_slice(6, 6, &costs) * scale;
        let half = |first: bool| BudgetRow {
            coefficients: (0..6).map(|j| f64::from(u8::from((j < 3) == first))).collect(),
            limit: 0.45,
        };
        let eps = 0.05 * scale;
        for norm in [Norm::One, Norm::Two, Norm::Infinity] {
            for regulariser in
                [Regulariser::None, Regulariser::Quadratic(eps), Regulariser::Entropic(eps)]
            {
                let options = ProgramOptions { norm, regulariser, ..Default::default() };
                let budget = Budget::Rows(vec![half(true), half(false)]);
                let solved = SelectionProgram::new(costs.clone(), budget, options)?
                    .solve(Method::Auto)
                    .map(|selection| selection.verdict().clone());
                assert!(
                    matches!(solved, Err(Error::InfeasibleProgram { .. })),
                    "{seed} {norm:?} {regulariser:?}: {solved:?}"
                );
            }
        }
    }
    Ok(())
}

/// Points on a line; the third stands apart by a cost that stands for "never". No mass lies there, so the answer is that of
/// 100 whatever the number, in either type: weights to the rounding of the costs, their sum the budget.
#[test]
fn a_very_large_cost_means_never() -> Result<()> {
    let x: Vec<f64> = (0..20).map(|k| f64::from((k * 7) % 20) * 0.1).collect();
    let apart = |far: f64| -> Vec<f64> {
        let cost = |i: usize, j: usize| match i != j && (i == 3 || j == 3) {
            true => far,
            false => (x[i] - x[j]).powi(2),
        };
        (0..400).map(|k| cost(k / 20, k % 20)).collect()
    };
    let weights = |costs: Vec<f64>, n: usize, kappa: f64, dtype| -> Result<Vec<f64>> {
        let costs = Tensor::from_vec(costs, (n, n), &Device::Cpu)?.to_dtype(dtype)?;
        let costs = Var::from_tensor(&costs)?;
        let found = layer(kappa).forward(&costs, LayerInputs::default())?;
        let rows = found.assignment.to_dtype(DType::F64)?.sum(1)?.to_vec1::<f64>()?;
        assert!(rows.iter().all(|row| (row - 1.0).abs() < 1e-6), "{rows:?}");
        let slopes = found.weights.sqr()?.sum_all()?.backward()?;
        let slopes = slopes.get(&costs).unwrap().to_dtype(DType::F64)?.flatten_all()?;
        assert!(slopes.to_vec1::<f64>()?.iter().all(|slope| slope.is_finite()));
        Ok(found.weights.to_dtype(DType::F64)?.to_vec1()?)
    };
    for (dtype, rounding) in [(DType::F64, 1e-6), (DType::F32, 1e-4)] {
        let expected = weights(apart(1e2), 20, 4.0, dtype)?;
        for far in [1e6, 9e9, 1e12, 9.007e15, 1e20, 1e30, 3e38] {
            let found = weights(apart(far), 20, 4.0, dtype)?;
            let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < rounding, "{far:e} {dtype:?}: weights off by {off:.1e}");
            assert!((found.iter().sum::<f64>() - 4.0).abs() < rounding, "{far:e} {dtype:?}");
            // Three on a line and one apart.
            let y = [0.0f64, 1.0, 2.1];
            let cost = |i: usize, j: usize| match (i == j, i == 3 || j == 3) {
                (true, _) => 0.0,
                (_, true) => far,
                _ => (y[i] - y[j]).abs(),
            };
            let four = (0..16).map(|k| cost(k / 4, k % 4)).collect();
            let sum: f64 = weights(four, 4, 2.0, dtype)?.iter().sum();
            assert!((sum - 2.0).abs() < rounding, "{far:e} {dtype:?}: weights sum to {sum}");
        }
    }
    Ok(())
}

/// The largest resident size so far, in KiB, where the system tells.
fn peak() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// All pairs of 50,000 points would be 10 GB in f32.
#[test]
fn large_pools_take_memory_by_the_point() -> Result<()> {
    let mut draw = rng(5);
    let features: Vec<f32> = (0..100_000 * 25).map(|_| draw.random()).collect();
    for (name, points) in [
        ("facility-location", 100_000),
        ("k-center", 100_000),
        ("graph-cut", 50_000),
        ("convex", 50_000),
    ] {
        let evidence = Evidence::new(points).with_features(&features[..points * 25], 25)?;
        let chosen = named(name)?.select(&evidence, 100, &mut rng(0))?.indices;
        assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 100, "{name}");
    }
    if let Some(peak) = peak() {
        assert!(peak < 1 << 20, "{peak} KiB");
    }
    Ok(())
}

#[test]
fn one_of_each_blob_whatever_the_seed() -> Result<()> {
    let centres = [[0.0f32, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0]];
    let mut draw = rng(4);
    let features: Vec<f32> =
        (0..200).flat_map(|i| centres[i % 4].map(|centre| centre + draw.random::<f32>())).collect();
    let evidence = Evidence::new(200).with_features(&features, 2)?;
    for name in ["k-center", "facility-location", "convex", "herding"] {
        for seed in 0..10 {
            let chosen = named(name)?.select(&evidence, 4, &mut rng(seed))?.indices;
            let blobs: BTreeSet<usize> = chosen.iter().map(|i| i % 4).collect();
            assert_eq!(blobs.len(), 4, "{name}, seed {seed}: {chosen:?}");
        }
    }
    Ok(())
}

/// Two remembered points stand for the first two of four: one of the far two is chosen.
#[test]
fn what_is_near_remembered_points_is_not_chosen() -> Result<()> {
    let evidence = Evidence::new(4)
        .with_features(&[0.0, 0.1, 5.0, 5.1], 1)?
        .with_remembered(&[0.05, 0.02], 1)?;
    let similarity = Similarity::Rbf { bandwidth: 1.0 };
    let facilities = FacilityLocation { similarity, ..Default::default() };
    for strategy in [&KCenter as &dyn Strategy, &facilities, &Convex::default()] {
        let chosen = strategy.select(&evidence, 1, &mut rng(0))?.indices;
        assert!(chosen == [2] || chosen == [3], "{}: {chosen:?}", strategy.name());
    }
    Ok(())
}

/// Quarters are exact in f32 beside 10,000, so nothing is lost by the shift itself.
#[test]
fn features_far_from_zero_choose_the_same() -> Result<()> {
    let at = |shift: f32| -> Vec<f32> {
        (0..40).map(|i| shift + 0.25 * ((i * 7) % 40) as f32).collect()
    };
    let (here, there) = (at(0.0), at(10_000.0));
    let (here, there) =
        (Evidence::new(40).with_features(&here, 1)?, Evidence::new(40).with_features(&there, 1)?);
    let similarity = Similarity::Rbf { bandwidth: 1.0 };
    let facilities = FacilityLocation { similarity, ..Default::default() };
    for strategy in [&KCenter as &dyn Strategy, &facilities, &Convex::default()] {
        let choose = |evidence: &Evidence| strategy.select(evidence, 5, &mut rng(0));
        assert_eq!(choose(&here)?, choose(&there)?, "{}", strategy.name());
    }
    Ok(())
}

/// Two features that tell the class.
fn labelled(labels: &[u32], classes: usize, seed: u64) -> Dataset {
    let mut draw = rng(seed);
    let inputs: Vec<f32> = labels
        .iter()
        .flat_map(|label| [*label as f32, -(*label as f32)])
        .map(|centre| centre + 0.3 * draw.random::<f32>())
        .collect();
    let inputs = Tensor::from_vec(inputs, (labels.len(), 2), &Device::Cpu).unwrap();
    Dataset::new(inputs, labels.to_vec(), classes).unwrap()
}

fn mlp(classes: usize) -> impl Fn(u64) -> Result<Box<dyn Learner>> + Sync {
    move |seed| {
        let options = MlpOptions { inputs: 2, hidden: vec![8], classes };
        Ok(Box::new(Mlp::new(&options, seed, DType::F32, &Device::Cpu)?))
    }
}

/// Labels 0, 1, .. in turns.
fn turns(points: u32, classes: u32) -> Vec<u32> {
    (0..points).map(|i| i % classes).collect()
}

fn buy(strategy: &str, rounds: &Rounds, oracle: &mut dyn Oracle) -> Result<ActiveLearning> {
    let (pool, test) = (labelled(&turns(60, 3), 3, 1), labelled(&turns(12, 3), 3, 2));
    let build = mlp(3);
    let training = TrainingOptions { length: Length::Epochs(3), ..Default::default() };
    let model = Model { name: "mlp".into(), build: &build, training };
    let run = Run::in_memory();
    let task = Task { pool: &pool, validation: None, test: &test, flipped: &[] };
    let stages = Stages { run: &run, watch: &mut |_| {} };
    active_learning(task, (&model, &model), &*named(strategy)?, rounds, oracle, 0, stages)
}

/// Counts what it is asked.
struct Counting<'a> {
    known: KnownLabels<'a>,
    asked: usize,
}

impl Oracle for Counting<'_> {
    fn ask(&mut self, points: &[usize]) -> Result<Vec<u32>> {
        self.asked += points.len();
        self.known.ask(points)
    }
}

const BUYERS: [&str; 10] = [
    "entropy",
    "k-center",
    "badge",
    "random",
    "margin",
    "facility-location",
    "convex",
    "log-determinant",
    "graph-cut",
    "herding",
];

#[test]
fn the_whole_pool_is_bought_once_and_not_a_point_more() -> Result<()> {
    let truth = turns(60, 3);
    for strategy in BUYERS {
        let mut oracle = Counting { known: KnownLabels(&truth), asked: 0 };
        let found = buy(strategy, &Rounds::equal(10, 25, 2), &mut oracle)?;
        assert_eq!(found.bought.iter().collect::<BTreeSet<_>>().len(), 60, "{strategy}");
        assert_eq!(oracle.asked, 60, "{strategy}");
        let found = buy(strategy, &Rounds::equal(52, 1, 8), &mut KnownLabels(&truth))?;
        assert_eq!(found.bought.iter().collect::<BTreeSet<_>>().len(), 60, "{strategy}");
        let mut oracle = Counting { known: KnownLabels(&truth), asked: 0 };
        assert!(buy(strategy, &Rounds::equal(10, 17, 3), &mut oracle).is_err(), "{strategy}");
        assert_eq!(oracle.asked, 0, "{strategy}: 61 of 60 are refused before anyone is asked");
    }
    let error = buy("entropy", &Rounds::equal(5, 5, 2), &mut KnownLabels(&[7; 60]));
    assert!(matches!(error, Err(Error::OutOfRange { .. } | Error::Shape { .. })), "{error:?}");
    Ok(())
}

#[test]
fn labels_that_are_all_alike_do_not_stop_buying() -> Result<()> {
    for strategy in BUYERS {
        let found = buy(strategy, &Rounds::equal(5, 5, 2), &mut KnownLabels(&[1; 60]))?;
        assert_eq!(found.bought.len(), 15, "{strategy}");
    }
    Ok(())
}

/// A class that is absent in training or validation, a single class, a class of one point.
#[test]
fn classes_may_be_missing() -> Result<()> {
    let (three, two) = (turns(60, 3), turns(60, 2));
    let rare: Vec<u32> = two.iter().enumerate().map(|(i, l)| if i == 5 { 2 } else { *l }).collect();
    let cases = [
        (three.clone(), three[..12].to_vec(), 3, 12, Balance::Classes),
        (two.clone(), three[..12].to_vec(), 3, 12, Balance::Classes),
        (three.clone(), two[..12].to_vec(), 3, 12, Balance::Classes),
        (vec![0; 60], vec![0; 12], 1, 12, Balance::Free),
        (vec![1; 60], vec![1; 12], 2, 12, Balance::Free),
        (three.clone(), vec![1], 3, 12, Balance::Free),
        (three.clone(), three[..12].to_vec(), 3, 60, Balance::Classes),
        (rare, three[..12].to_vec(), 3, 30, Balance::Classes),
    ];
    for (case, (train, validation, classes, count, balance)) in cases.into_iter().enumerate() {
        for heads in [Heads::Unary, Heads::Embedding, Heads::Both] {
            let (train, validation) =
                (labelled(&train, classes, 1), labelled(&validation, classes, 2));
            let model = ModelOptions { heads, ..Default::default() };
            let options = TrainerOptions { warm_up: 5, model, ..Default::default() };
            let shape = MlpOptions { inputs: 2, hidden: vec![8], classes };
            let learner = Mlp::new(&shape, 1, DType::F32, &Device::Cpu)?;
            let mut trainer = Trainer::new(learner, &validation, options, 0)?;
            trainer.fit_steps(&train, 20, 20, 0, |_| {})?;
            let options = ChooseOptions { balance, ..Default::default() };
            let chosen = trainer.choose(&train, Amount::Count(count), &options)?;
            assert_eq!(chosen.indices.len(), count, "case {case}, {heads:?}");
            let suspicion = trainer.suspicion(&train, &ChooseOptions::default())?;
            assert_eq!(suspicion.len(), train.points());
            assert!(suspicion.iter().all(|s| s.is_finite()), "case {case}, {heads:?}");
        }
    }
    Ok(())
}

/// A whole picture or an error, never a number that is none, and names that cannot become markup.
#[test]
fn odd_series_draw_or_are_refused() {
    use gleaner::report::{
        Bar, BarOptions, BarPanel, ChartOptions, Panel, ScatterOptions, ScatterPanel, Series,
        bar_chart, line_chart, scatter_chart,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.svg");
    // A picture that is drawn is whole; whether one is, `sound` data decide.
    let check = |title: &str, sound: bool, drawn: Result<()>| {
        let found = std::fs::read_to_string(&path);
        assert!(drawn.is_ok() || !sound, "{title}: {drawn:?}");
        assert_eq!(drawn.is_ok(), found.is_ok(), "{title}");
        if let Ok(svg) = found {
            let whole = roxmltree::Document::parse(&svg);
            assert_eq!(whole.unwrap().root_element().tag_name().name(), "svg", "{title}");
            assert!(!svg.contains("<script") && !svg.contains("NaN") && !svg.contains("inf"));
            std::fs::remove_file(&path).unwrap();
        }
    };
    let all: [(&str, &[f64]); 10] = [
        ("flat", &[5.0, 5.0]),
        ("zero", &[0.0, 0.0]),
        ("single", &[5.0]),
        ("empty", &[]),
        ("a gap", &[1.0, f64::NAN, 3.0]),
        ("nothing but a gap", &[f64::NAN]),
        ("infinite", &[1.0, f64::INFINITY]),
        ("huge", &[1e300, -1e300]),
        ("tiny", &[1e-300, 2e-300]),
        ("close", &[1.0, 1.0 + f64::EPSILON, 1.0 + 2.0 * f64::EPSILON]),
    ];
    let name = "x<y>&z </text><script>";
    for (title, values) in all {
        let points = values.iter().enumerate().map(|(k, y)| (k as f64, *y, 0.0)).collect();
        let series = vec![Series { name: name.into(), points }];
        let panel = Panel { title: "a < b & \"c\"".into(), series };
        let sound = values.iter().all(|y| y.is_finite()) && !values.is_empty();
        check(title, sound, line_chart(&path, &ChartOptions::default(), &[panel]));
        let segments = values.iter().map(|y| (name.into(), *y)).collect();
        let bars = vec![Bar { label: name.into(), segments, std: 0.0 }];
        let panel = BarPanel { title: name.into(), bars, reference: None };
        let sound = sound && values.iter().all(|y| *y >= 0.0);
        check(title, sound, bar_chart(&path, &BarOptions::default(), &[panel]));
        let points: Vec<(f64, f64)> = values.iter().map(|y| (*y, *y)).collect();
        let panel = ScatterPanel { title: name.into(), note: name.into(), points };
        let sound = values.iter().all(|y| y.is_finite()) && !values.is_empty();
        check(title, sound, scatter_chart(&path, &ScatterOptions::default(), &[panel]));
    }
}
