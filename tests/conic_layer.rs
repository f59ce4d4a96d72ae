//! The conic layer: tensors in and out, batches, outcomes, gradients by gradcheck; the selection program written in the
//! modelling language.

use candle_core::{DType, Device, Tensor, Var};
use gleaner::conic::model::*;
use gleaner::conic::{ConicOptions, Outcome, Status};
use gleaner::gradcheck::{GradcheckOptions, gradcheck};
use gleaner::program::{Budget, Norm};
use gleaner::{
    ConicLayer, ConicLayerOptions, Distance, Error, LayerInputs, LayerOptions, Scale,
    SelectionLayer, Smoothing,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CPU: &Device = &Device::Cpu;

fn draw(rng: &mut ChaCha8Rng, dims: &[usize]) -> Tensor {
    let n: usize = dims.iter().product();
    let values: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, dims, CPU).unwrap()
}

fn tight() -> ConicLayerOptions {
    let solve = ConicOptions { tolerance: 1e-10, interior_tolerance: 1e-9, ..Default::default() };
    ConicLayerOptions { solve, ..Default::default() }
}

/// minimise |x - p|^2 + weight |a x|_1  subject to  sum x = 1: a parameter of every shape.
fn lasso() -> Model {
    let x = Variable::vector("x", 3);
    let (p, a) = (Parameter::vector("p", 3), Parameter::matrix("a", 2, 3));
    let weight = Parameter::scalar("weight").nonnegative();
    let total = x.sum().equals(1.0);
    let problem = Problem::minimise(sum_squares(&x - &p) + &weight * norm1(&a * &x));
    let problem = problem.subject_to([total.clone()]);
    problem.compile(&[&p, &a, &weight], &[&x]).unwrap().with_duals(&[&total]).unwrap()
}

fn right(report: gleaner::Result<gleaner::gradcheck::GradcheckReport>, what: &str) {
    let report = report.unwrap();
    assert!(report.is_right() && report.kinks.is_empty(), "{what}: {report}");
}

#[test]
fn gradients_are_right_alone_and_in_batches() {
    let layer = ConicLayer::new(lasso(), tight());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (p, a) = (draw(&mut rng, &[3]), draw(&mut rng, &[2, 3]));
    let weight = Tensor::new(0.1f64, CPU).unwrap();
    let (x_pull, z_pull) = (draw(&mut rng, &[3]), 0.7);
    let alone = |inputs: &[Tensor]| {
        let answer = layer.forward(&[&inputs[0], &inputs[1], &inputs[2]])?;
        assert_eq!((answer.values[0].dims(), answer.values[1].rank()), (&[3][..], 0));
        Ok(((&answer.values[0] * &x_pull)?.sum_all()? + (&answer.values[1] * z_pull)?)?)
    };
    right(gradcheck(alone, &[p, a.clone(), weight.clone()], GradcheckOptions::default()), "alone");
    // Points and weights of four programs (weights as a batch of one), one matrix for all.
    let (points, pull) = (draw(&mut rng, &[4, 3]), draw(&mut rng, &[4, 3]));
    let batch = |inputs: &[Tensor]| {
        let answer = layer.forward_batch(&[&inputs[0], &inputs[1], &inputs[2]])?;
        assert_eq!((answer.values[0].dims(), answer.values[1].dims()), (&[4, 3][..], &[4][..]));
        Ok(((&answer.values[0] * &pull)?.sum_all()? + answer.values[1].sum_all()?)?)
    };
    let inputs = [points, a, weight.unsqueeze(0).unwrap()];
    right(gradcheck(batch, &inputs, GradcheckOptions::default()), "batch");
}

#[test]
fn a_batch_is_its_programs_one_by_one() {
    let layer = ConicLayer::new(lasso(), tight());
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (p, a) = (draw(&mut rng, &[5, 3]), draw(&mut rng, &[2, 3]));
    let weight = draw(&mut rng, &[5]).abs().unwrap();
    let batch = layer.forward_batch(&[&p, &a, &weight]).unwrap();
    for k in 0..5 {
        let one = [&p.get(k).unwrap(), &a, &weight.get(k).unwrap()];
        let one = layer.forward(&one).unwrap();
        let (found, expected) = (batch.values[0].get(k).unwrap(), &one.values[0]);
        assert_eq!(found.to_vec1::<f64>().unwrap(), expected.to_vec1::<f64>().unwrap());
    }
    // From their own answers they go nowhere else.
    let again = layer.forward_batch_from(&batch, &[&p, &a, &weight]).unwrap();
    let off = (&again.values[0] - &batch.values[0]).unwrap().abs().unwrap().max_all().unwrap();
    assert!(off.to_scalar::<f64>().unwrap() < 1e-9);
    assert!(again.outcomes().iter().flatten().all(|outcome| {
        outcome.as_solution().unwrap().verdict().method == gleaner::conic::Method::Warm
    }));
}

#[test]
fn single_precision_comes_back_as_it_went_in() {
    let layer = ConicLayer::new(lasso(), ConicLayerOptions::default());
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let single = |t: Tensor| Var::from_tensor(&t.to_dtype(DType::F32).unwrap()).unwrap();
    let (p, a) = (single(draw(&mut rng, &[3])), single(draw(&mut rng, &[2, 3])));
    let weight = single(Tensor::new(0.1f64, CPU).unwrap());
    let answer = layer.forward(&[&p, &a, &weight]).unwrap();
    assert_eq!(answer.values[0].dtype(), DType::F32);
    let gradients = answer.values[0].sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&a).unwrap().dtype(), DType::F32);
    assert_eq!(gradients.get(&a).unwrap().dims(), [2, 3]);
    let mixed = layer.forward(&[&p, &a, &Tensor::new(0.1f64, CPU).unwrap()]).unwrap_err();
    assert!(mixed.to_string().contains("weight") && mixed.to_string().contains("F64"), "{mixed}");
}

/// minimise c x  subject to  low <= x <= high
fn interval() -> Model {
    let x = Variable::scalar("x");
    let (c, low, high) =
        (Parameter::scalar("c"), Parameter::scalar("low"), Parameter::scalar("high"));
    Problem::minimise(&c * &x + 0.0 * &high)
        .subject_to([x.ge(&low), (&x - &high).le(0.0)])
        .compile(&[&c, &low, &high], &[&x])
        .unwrap()
}

#[test]
fn a_program_without_a_solution_leaves_the_others_alone() {
    let layer = ConicLayer::new(interval(), tight());
    // solved, infeasible, solved, not a number
    let c = Var::new(&[1.0f64, 1.0, -1.0, f64::NAN], CPU).unwrap();
    let low = Var::new(&[-1.0f64, 2.0, 0.0, 0.0], CPU).unwrap();
    let high = Var::new(&[1.0f64, 1.0, 3.0, 1.0], CPU).unwrap();
    let batch = layer.forward_batch(&[&c, &low, &high]).unwrap();
    assert_eq!(batch.solved(), [true, false, true, false]);
    assert!(matches!(batch.outcomes()[1], Ok(Outcome::Infeasible { .. })));
    let refused = batch.outcomes()[3].as_ref().unwrap_err();
    assert!(matches!(refused, Error::Parameter { .. }) && refused.to_string().contains("\"c\""));
    let values = batch.values[0].to_vec1::<f64>().unwrap();
    assert!((values[0] + 1.0).abs() < 1e-8 && (values[2] - 3.0).abs() < 1e-8, "{values:?}");
    assert_eq!((values[1], values[3]), (0.0, 0.0));
    assert_eq!(
        batch.mask(DType::F32, CPU).unwrap().to_vec1::<f32>().unwrap(),
        [1.0, 0.0, 1.0, 0.0]
    );
    let gradients = batch.values[0].sum_all().unwrap().backward().unwrap();
    let of = |var: &Var| gradients.get(var).unwrap().to_vec1::<f64>().unwrap();
    for (found, expected) in [(of(&low), [1.0, 0.0, 0.0, 0.0]), (of(&high), [0.0, 0.0, 1.0, 0.0])] {
        found.iter().zip(expected).for_each(|(f, e)| assert!((f - e).abs() < 1e-8, "{found:?}"));
    }
    // Alone it is an error.
    let scalar = |x: f64| Tensor::new(x, CPU).unwrap();
    let error = layer.forward(&[&scalar(1.0), &scalar(2.0), &scalar(1.0)]).unwrap_err();
    assert!(matches!(error, Error::NoSolution { .. }), "{error}");
    // Without an end.
    let x = Variable::scalar("x");
    let c = Parameter::scalar("c");
    let ray = Problem::minimise(&c * &x).subject_to([x.ge(0.0)]).compile(&[&c], &[&x]).unwrap();
    let layer = ConicLayer::new(ray, tight());
    let c = Tensor::new(&[1.0f64, -1.0], CPU).unwrap();
    let batch = layer.forward_batch(&[&c]).unwrap();
    let statuses: Vec<Status> =
        batch.outcomes().iter().map(|outcome| outcome.as_ref().unwrap().status()).collect();
    assert_eq!(statuses, [Status::Solved, Status::Unbounded]);
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let layer = ConicLayer::new(lasso(), tight());
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F64, CPU).unwrap();
    let (p, a, w) = (zeros(&[3]), zeros(&[2, 3]), zeros(&[]));
    let says = |error: Error, parts: &[&str]| {
        let text = error.to_string();
        parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
    };
    says(layer.forward(&[&p, &a]).unwrap_err(), &["parameters", "weight", "2"]);
    says(layer.forward(&[&p, &a.t().unwrap(), &w]).unwrap_err(), &["\"a\"", "[2, 3]", "[3, 2]"]);
    says(layer.forward(&[&zeros(&[4, 3]), &a, &w]).unwrap_err(), &["\"p\"", "forward_batch"]);
    says(layer.forward_batch(&[&p, &a, &w]).unwrap_err(), &["batch"]);
    let batches = [&zeros(&[4, 3]), &a, &zeros(&[3])];
    says(layer.forward_batch(&batches).unwrap_err(), &["\"weight\"", "batch of 4", "3"]);
    let bad = Tensor::new(&[0.0, f64::NAN, 0.0], CPU).unwrap();
    says(layer.forward(&[&bad, &a, &w]).unwrap_err(), &["\"p\"", "finite", "entry 1"]);
    says(
        layer.forward(&[&p, &a, &Tensor::new(-0.5f64, CPU).unwrap()]).unwrap_err(),
        &["weight", ">= 0"],
    );
}

#[test]
fn two_layers_share_a_parameter() {
    let projection = |name: &str| {
        let x = Variable::vector(name, 3);
        let p = Parameter::vector("p", 3);
        let problem = Problem::minimise(sum_squares(&x - &p)).subject_to([norm2(&x).le(0.5)]);
        ConicLayer::new(problem.compile(&[&p], &[&x]).unwrap(), tight())
    };
    let (first, second) = (projection("x"), ConicLayer::new(lasso(), tight()));
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let a = draw(&mut rng, &[2, 3]);
    let weight = Tensor::new(0.05f64, CPU).unwrap();
    let loss = |inputs: &[Tensor]| {
        let p = &inputs[0];
        let x = first.forward(&[p])?.values.remove(0);
        let y = second.forward(&[&(p + x.clone())?, &a, &weight])?.values.remove(0);
        Ok(((x - y)?.sqr()?.sum_all()? + p.sum_all()?)?)
    };
    right(gradcheck(loss, &[draw(&mut rng, &[3])], GradcheckOptions::default()), "two layers");
}

#[test]
fn vertices_move_under_smoothing_and_perturbation() {
    let n = 4;
    let (x, c) = (Variable::vector("x", n).nonnegative(), Parameter::vector("c", n));
    let problem = Problem::minimise(c.dot(&x)).subject_to([x.sum().equals(1.0)]);
    let model = problem.compile(&[&c], &[&x]).unwrap();
    let c = Var::new(&[0.3f64, 0.5, 0.9, 0.7], CPU).unwrap();
    let slope = |options: ConicLayerOptions| -> Vec<f64> {
        let layer = ConicLayer::new(model.clone(), options);
        let answer = layer.forward(&[&c]).unwrap();
        let gradients = answer.values[0].get(0).unwrap().backward().unwrap();
        gradients.get(&c).unwrap().to_vec1().unwrap()
    };
    assert!(slope(tight()).iter().all(|g| g.abs() < 1e-9));
    let mut smooth = tight();
    smooth.solve.smoothing = 1.0;
    assert!(slope(smooth)[0] < -0.1, "{:?}", slope(smooth));
    let perturbed =
        ConicLayerOptions { derivative: Derivative::Perturbed { size: 1.0 }, ..tight() };
    assert!(slope(perturbed)[0] < -0.1, "{:?}", slope(perturbed));
}

#[test]
fn the_selection_program_written_in_the_language() {
    // minimise <D, Z> + eps/2 |Z|^2  subject to  Z >= 0, Z 1 = 1, Z_ij <= s_j, sum s <= kappa
    let n = 8;
    let (eps, kappa) = (0.05, 2.5);
    let z = Variable::matrix("Z", n, n).nonnegative();
    let s = Variable::vector("s", n);
    let d = Parameter::matrix("D", n, n);
    let each = Expression::from(vec![1.0; n]);
    let problem = Problem::minimise(d.times(&z).sum() + 0.5 * eps * sum_squares(&z)).subject_to([
        z.row_sums().equals(1.0),
        z.le(&each * s.t()),
        s.sum().le(kappa),
    ]);
    let conic = ConicLayer::new(problem.compile(&[&d], &[&z, &s]).unwrap(), tight());
    let options = LayerOptions {
        norm: Norm::Infinity,
        smoothing: Smoothing::Quadratic(Scale::Absolute(eps)),
        budget: Budget::Absolute(kappa),
        ..Default::default()
    };
    let fast = SelectionLayer::new(options);
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let points = draw(&mut rng, &[n, 2]);
    let costs =
        Var::from_tensor(&Distance::SquaredEuclidean.between(&points, &points).unwrap()).unwrap();
    let pull = draw(&mut rng, &[n, n]);
    let general = conic.forward(&[&costs]).unwrap();
    let special = fast.forward(&costs, LayerInputs::default()).unwrap();
    let gradient = |z: &Tensor| {
        let loss = (z * &pull).unwrap().sum_all().unwrap();
        loss.backward().unwrap().get(&costs).unwrap().clone()
    };
    let off = |a: &Tensor, b: &Tensor| {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let answers = off(&general.values[0], &special.assignment);
    let weights = off(&general.values[1], &special.weights);
    let gradients = off(&gradient(&general.values[0]), &gradient(&special.assignment));
    println!("Z off by {answers:.1e}, weights {weights:.1e}, gradients {gradients:.1e}");
    println!("{:?}", general.solution.diagnostics());
    assert!(answers < 1e-7 && weights < 1e-7, "{answers:.1e}, {weights:.1e}");
    assert!(gradients < 1e-6, "{gradients:.1e}");
}

#[test]
fn threads_share_a_layer_and_nothing_depends_on_them() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let layer = ConicLayer::new(lasso(), ConicLayerOptions::default());
    shared(&layer);
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let (p, a) = (draw(&mut rng, &[16, 3]), draw(&mut rng, &[2, 3]));
    let weight = Tensor::new(0.1f64, CPU).unwrap();
    let solve =
        || layer.forward_batch(&[&p, &a, &weight]).unwrap().values[0].to_vec2::<f64>().unwrap();
    let expected = solve();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(solve)).collect();
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), expected));
    });
}

/// The gain of the linear-quadratic regulator, by iterating Riccati's equation.
fn riccati(a: &nalgebra::DMatrix<f64>, b: &nalgebra::DMatrix<f64>) -> nalgebra::DMatrix<f64> {
    let (n, m) = b.shape();
    let (q, r) = (nalgebra::DMatrix::identity(n, n), nalgebra::DMatrix::identity(m, m));
    let (mut p, mut gain) = (q.clone(), nalgebra::DMatrix::zeros(m, n));
    for _ in 0..500 {
        let right = b.transpose() * &p * a;
        gain = (&r + b.transpose() * &p * b).lu().solve(&right).unwrap();
        p = &q + a.transpose() * &p * a - right.transpose() * &gain;
    }
    gain
}

#[test]
fn a_policy_learns_the_regulators_gain() {
    // u = argmin |u|^2 + |root (a x + b u)|^2; its root is learned from costs of what it does.
    let (n, m, horizon) = (4, 2, 30);
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let (a, b) = (draw(&mut rng, &[n, n]), draw(&mut rng, &[n, m]));
    let a = (a * 0.7).unwrap();
    let matrix = |t: &Tensor| gleaner::layer::bridge::to_matrix(t).unwrap();
    let expected = riccati(&matrix(&a), &matrix(&b));
    let (u, next) = (Variable::vector("u", m), Variable::vector("next", n));
    let (root, free) = (Parameter::matrix("root", n, n), Parameter::vector("free", n));
    let dynamics = next.equals(&free + Expression::from(matrix(&b)) * &u);
    let problem = Problem::minimise(sum_squares(&u) + sum_squares(&root * &next));
    let problem = problem.subject_to([dynamics]);
    let model = problem.compile(&[&root, &free], &[&u, &next]).unwrap();
    let layer = ConicLayer::new(model, ConicLayerOptions::default());
    let root = Var::from_tensor(&Tensor::eye(n, DType::F64, CPU).unwrap()).unwrap();
    let cost = |root: &Tensor| -> gleaner::Result<Tensor> {
        let mut x = Tensor::eye(n, DType::F64, CPU)?;
        let mut total = Tensor::zeros((), DType::F64, CPU)?;
        for _ in 0..horizon {
            let free = x.matmul(&a.t()?)?;
            let mut step = layer.forward_batch(&[root, &free])?.values;
            let next = step.remove(1);
            total = ((total + x.sqr()?.sum_all()?)? + step[0].sqr()?.sum_all()?)?;
            x = next;
        }
        Ok(total)
    };
    let gain = |root: &Tensor| {
        let free = a.t().unwrap().contiguous().unwrap(); // the columns of a, a batch of them
        let u = layer.forward_batch(&[root, &free]).unwrap().values.remove(0);
        -matrix(&u).transpose()
    };
    let off = |root: &Tensor| (gain(root) - &expected).amax();
    let before = off(&root);
    // Adam, its step falling off.
    let (mut first, mut second) = (root.zeros_like().unwrap(), root.zeros_like().unwrap());
    let steps = 600;
    for k in 1..=steps {
        let g = cost(&root).unwrap().backward().unwrap().remove(&root).unwrap();
        first = ((first * 0.9).unwrap() + (&g * 0.1).unwrap()).unwrap();
        second = ((second * 0.99).unwrap() + (g.sqr().unwrap() * 0.01).unwrap()).unwrap();
        let (m1, m2) = (1.0 - 0.9f64.powi(k), 1.0 - 0.99f64.powi(k));
        let size = ((&second / m2).unwrap().sqrt().unwrap() + 1e-9).unwrap();
        let rate = 0.1 * (1.0 - f64::from(k - 1) / f64::from(steps));
        let step = ((&first / m1).unwrap() / size).unwrap();
        root.set(&(root.as_tensor() - (step * rate).unwrap()).unwrap()).unwrap();
    }
    println!("gain off by {before:.1e} before, {:.1e} after", off(&root));
    assert!(off(&root) < 1e-3, "{:.1e}", off(&root));
}

/// Kilobytes of memory in use; zero where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0)
}

#[test]
fn memory_does_not_grow_from_step_to_step() {
    let (m, n) = (200, 50);
    let (x, a, b) =
        (Variable::vector("x", n), Parameter::matrix("a", m, n), Parameter::vector("b", m));
    let problem = Problem::minimise(sum_squares(&a * &x - &b) + sum_squares(&x));
    let layer = ConicLayer::new(problem.compile(&[&a, &b], &[&x]).unwrap(), tight());
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    let (a, b) = (Var::from_tensor(&draw(&mut rng, &[m, n])).unwrap(), draw(&mut rng, &[8, m]));
    let step = || {
        let x = layer.forward_batch(&[&a, &b]).unwrap().values.remove(0);
        let gradients = x.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        gradients.get(&a).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let first = step();
    (0..5).for_each(|_| assert_eq!(step(), first));
    let before = resident();
    (0..20).for_each(|_| assert_eq!(step(), first));
    let grown = resident().saturating_sub(before);
    println!("grown by {grown} KB in 20 steps");
    assert!(grown < 20_000, "{grown} KB");
}
