//! Long runs: memory stays where it is, one layer serves many threads as it serves one, and a day of training that is stopped
//! every hour ends where an unbroken one does.
//!
//! `GLEANER_SOAK=100000` takes so many steps of the layer and of the day, and of the conic layer, and ten times as many conic
//! programs.

use candle_core::{DType, Device, Result, Tensor, Var};
use gleaner::conic::model::{Parameter, Problem, Variable, sum_squares};
use gleaner::conic::{Cone, ConicOptions, ConicProgram, Pattern, Upstream, Values};
use gleaner::data::synthetic::{ClusterOptions, Clusters, clusters};
use gleaner::layer::{ConicLayer, ConicLayerOptions};
use gleaner::learn::{Mlp, MlpOptions};
use gleaner::{LayerInputs, LayerOptions, SelectionLayer, Trainer, TrainerOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn steps() -> usize {
    std::env::var("GLEANER_SOAK").map_or(600, |steps| steps.parse().unwrap())
}

/// Resident bytes; nothing where the system does not say.
fn resident() -> Option<f64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<f64>().ok()? * 4096.0)
}

/// Memory after a tenth of the steps and after all of them is the same up to what allocators keep: far less than a tenth of
/// a kilobyte a step.
fn flat(name: &str, steps: usize, mut step: impl FnMut(usize)) {
    let warm = steps.div_ceil(10);
    (0..warm).for_each(&mut step);
    let before = resident();
    (warm..steps).for_each(&mut step);
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after - before;
        println!("{name}: {steps} steps, {:.1} MB, {:.2} MB more", after / 1e6, grown / 1e6);
        assert!(grown < 4e6 + 50.0 * steps as f64, "{name}: {grown} bytes in {steps} steps");
    }
}

fn costs(points: usize, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    let numbers: Vec<f64> = (0..points * points).map(|_| rng.random()).collect();
    Tensor::from_vec(numbers, (points, points), &Device::Cpu)
}

/// The gradient in the costs of a loss that weighs every entry of the assignment.
fn gradient(layer: &SelectionLayer, costs: &Tensor) -> Result<Vec<f64>> {
    let variable = Var::from_tensor(costs)?;
    let assignment = layer.forward(&variable, LayerInputs::default())?.assignment;
    let count = assignment.elem_count();
    let upstream = Tensor::arange(0.0, count as f64, &Device::Cpu)?.reshape(assignment.shape())?;
    let gradients = (assignment * upstream)?.sum_all()?.backward()?;
    gradients.get(&variable).unwrap().flatten_all()?.to_vec1()
}

/// One test, so that no other takes memory meanwhile.
#[test]
fn memory_is_flat_and_threads_share_a_layer() {
    let layer = SelectionLayer::new(LayerOptions::default());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    flat("layer", steps(), |_| {
        gradient(&layer, &costs(20, &mut rng).unwrap()).unwrap();
    });

    let (constraints, _) = Pattern::from_places(3, 2, &[(1, 0), (2, 1)]).unwrap();
    let disc =
        ConicProgram::new(Pattern::diagonal(2), constraints, vec![Cone::SecondOrder(3)]).unwrap();
    flat("conic", 10 * steps(), |_| {
        let linear = [rng.random_range(-5.0..5.0), rng.random_range(-5.0..5.0)];
        let values = Values {
            quadratic: &[1.0, 1.0],
            linear: &linear,
            constraints: &[-1.0, -1.0],
            right: &[1.0, 0.0, 0.0],
        };
        let solution = disc.solve(values, &ConicOptions::default()).unwrap().solution().unwrap();
        let upstream = Upstream { x: Some(&[1.0, 0.0]), ..Default::default() };
        assert!(solution.pullback(upstream).unwrap().right[0].is_finite());
    });

    // What is nearest to a point in the nonnegative ones.
    let (size, batch) = (500, 4);
    let (x, p) = (Variable::vector("x", size), Parameter::vector("p", size));
    let nearest = Problem::minimise(sum_squares(&x - &p)).subject_to([x.ge(0.0)]);
    let model = nearest.compile(&[&p], &[&x]).unwrap();
    let conic = ConicLayer::new(model, ConicLayerOptions::default());
    flat("conic layer", steps(), |_| {
        let points = (0..batch * size).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
        let points = Tensor::from_vec(points, (batch, size), &Device::Cpu).unwrap();
        let points = Var::from_tensor(&points).unwrap();
        let found = conic.forward_batch(&[&points]).unwrap().values.remove(0);
        let gradients = found.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&points).unwrap().dims(), [batch, size]);
    });

    a_day(steps().div_ceil(24));

    // Sixteen threads on one layer find what one finds, to the bit.
    let problems: Vec<Tensor> = (0..16).map(|_| costs(20, &mut rng).unwrap()).collect();
    let alone: Vec<Vec<f64>> = problems.iter().map(|p| gradient(&layer, p).unwrap()).collect();
    let together = |problem: usize| {
        let (layer, problems, alone) = (&layer, &problems, &alone);
        move || {
            for turn in 0..steps().div_ceil(100) {
                let own = (problem + turn) % problems.len();
                assert!(gradient(layer, &problems[own]).unwrap() == alone[own], "problem {own}");
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|problem| scope.spawn(together(problem))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A day of so many steps an hour: every hour a new trainer loads what the last one saved. Neither memory nor the file grows,
/// and the file is that of a run that nobody stopped.
fn a_day(hour: usize) {
    const HOURS: usize = 24;
    let options = ClusterOptions { points: 1_000, test: 20, ..Default::default() };
    let made = clusters(&options, &mut ChaCha8Rng::seed_from_u64(2)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [stopped, unbroken] = ["stopped", "unbroken"].map(|name| folder.path().join(name));
    let mut sizes = Vec::new();
    flat("day", HOURS, |now| {
        let mut trainer = trainer(&made);
        if now > 0 {
            trainer.load(&stopped).unwrap();
        }
        trainer.fit_until(&made.train, 32, hour * (now + 1), 7, |_| {}).unwrap();
        trainer.save(&stopped).unwrap();
        sizes.push(std::fs::metadata(&stopped).unwrap().len());
    });
    let mut whole = trainer(&made);
    whole.fit_until(&made.train, 32, hour * HOURS, 7, |_| {}).unwrap();
    whole.save(&unbroken).unwrap();
    assert!(std::fs::read(&stopped).unwrap() == std::fs::read(&unbroken).unwrap());
    // Memory is full and every point seen by noon; then only the digits of a count can add to the file.
    assert!(sizes[HOURS - 1] <= sizes[HOURS / 2] + 64, "{sizes:?}");
}

fn trainer(made: &Clusters) -> Trainer<Mlp> {
    let (inputs, classes) = (made.train.inputs().dim(1).unwrap(), made.train.classes());
    let shape = MlpOptions { inputs, hidden: vec![16], classes };
    let learner = Mlp::new(&shape, 0, DType::F32, &Device::Cpu).unwrap();
    let options = TrainerOptions { warm_up: 20, memory: 60, ..Default::default() };
    Trainer::new(learner, &made.validation, options, 1).unwrap()
}
