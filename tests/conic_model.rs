//! The modelling language: atoms against closed forms, refusals by name, gradients against differences.

use gleaner::Error;
use gleaner::conic::ConicOptions;
use gleaner::conic::model::*;

fn options() -> ConicOptions {
    ConicOptions { tolerance: 1e-10, interior_tolerance: 1e-9, ..Default::default() }
}

#[track_caller]
fn close(found: f64, expected: f64, allowed: f64, what: &str) {
    let off = (found - expected).abs() / expected.abs().max(1.0);
    assert!(off <= allowed, "{what}: {found} for {expected}, off by {off:.1e}");
}

/// Numbers that look random and are the same everywhere: a linear congruential generator.
struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal: a sum of uniform ones.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    fn normals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.normal()).collect()
    }
}

/// Gradients of `sum weights * output` against central differences, in every entry of every parameter.
#[track_caller]
fn differences(what: &str, model: &Model, theta: &[Vec<f64>], allowed: f64) {
    let mut draw = Draw(7);
    let weights: Vec<Vec<f64>> =
        model.outputs().iter().map(|slot| draw.normals(slot.range.len())).collect();
    let solve = |theta: &[Vec<f64>]| {
        let parts: Vec<&[f64]> = theta.iter().map(Vec::as_slice).collect();
        let answer = model.solve(&parts, &options());
        answer.unwrap_or_else(|error| panic!("{what}: {error}"))
    };
    let loss = |answer: &Answer| -> f64 {
        let one = |(k, w): (usize, &Vec<f64>)| -> f64 {
            answer.output(k).iter().zip(w).map(|(x, w)| x * w).sum()
        };
        weights.iter().enumerate().map(one).sum()
    };
    let upstream: Vec<&[f64]> = weights.iter().map(Vec::as_slice).collect();
    let gradients = solve(theta).pullback(&upstream, Derivative::Exact).unwrap();
    let size = gradients.iter().flatten().fold(1e-3_f64, |size, g| size.max(g.abs()));
    for (k, slot) in model.parameters().iter().enumerate() {
        for entry in 0..slot.range.len() {
            let h = 1e-4;
            let at = |by: f64| {
                let mut theta = theta.to_vec();
                theta[k][entry] += by * h;
                loss(&solve(&theta))
            };
            let numeric = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
            let off = (gradients[k][entry] - numeric).abs() / size;
            assert!(
                off <= allowed,
                "{what}: {}[{entry}] is {:e}, differences say {numeric:e} ({off:.1e})",
                slot.name,
                gradients[k][entry]
            );
        }
    }
}

/// The value of an atom at a parameter: what is optimal when a variable is held there.
fn value(of: impl Fn(&Variable) -> Expression, n: usize, at: &[f64]) -> (f64, Vec<f64>) {
    let (x, p) = (Variable::vector("x", n), Parameter::vector("p", n));
    let expression = of(&x).sum();
    let problem = if expression.curvature().is_convex() {
        Problem::minimise(expression)
    } else {
        Problem::maximise(expression)
    };
    // The multiplier of the equality is the gradient of the atom.
    let here = x.equals(&p);
    let model = problem.subject_to([here.clone()]).compile(&[&p], &[&x]).unwrap();
    let model = model.with_duals(&[&here]).unwrap();
    let answer = model.solve(&[at], &options()).unwrap();
    let sign = if of(&x).curvature().is_convex() { -1.0 } else { 1.0 };
    (answer.objective(), answer.dual(0).iter().map(|z| sign * z).collect())
}

type Atom = fn(&Variable) -> Expression;
type Formula = fn(&[f64]) -> f64;

/// Atoms, in the objective and hidden under another one, where squares need cones.
const ATOMS: &[(&str, Atom, Formula, &[f64])] = &[
    ("abs", |x| abs(x), |x| x.iter().map(|x| x.abs()).sum(), &[1.5, -0.5]),
    ("norm1", |x| norm1(x), |x| x.iter().map(|x| x.abs()).sum(), &[1.5, -0.5]),
    ("norm2", |x| norm2(x), |x| x.iter().map(|x| x * x).sum::<f64>().sqrt(), &[1.5, -0.5]),
    ("norm_inf", |x| norm_inf(x), |x| x.iter().fold(0.0, |m, x| x.abs().max(m)), &[0.4, -1.5]),
    ("square", |x| square(x), |x| x.iter().map(|x| x * x).sum(), &[1.5, -0.5]),
    (
        "square, cones",
        |x| maximum([square(x), exp(-1.0 * x) * 1e-3]),
        |x| x.iter().map(|x| x * x).sum(),
        &[1.5, -0.5],
    ),
    ("sum_squares", |x| sum_squares(x), |x| x.iter().map(|x| x * x).sum(), &[1.5, -0.5]),
    (
        "sum_squares, cones",
        |x| max(sum_squares(x)),
        |x| x.iter().map(|x| x * x).sum(),
        &[1.5, -0.5],
    ),
    (
        "quad_form",
        |x| quad_form(x, Expression::sparse(2, 2, &[(0, 0, 2.0), (0, 1, 1.0), (1, 1, 3.0)])),
        |x| 2.0 * x[0] * x[0] + x[0] * x[1] + 3.0 * x[1] * x[1],
        &[1.5, -0.5],
    ),
    (
        "quad_form, cones",
        |x| max(quad_form(x, Expression::sparse(2, 2, &[(0, 0, 2.0), (0, 1, 1.0), (1, 1, 3.0)]))),
        |x| 2.0 * x[0] * x[0] + x[0] * x[1] + 3.0 * x[1] * x[1],
        &[1.5, -0.5],
    ),
    (
        "quad_form, concave",
        |x| quad_form(x, Expression::sparse(2, 2, &[(0, 0, -2.0), (1, 1, -3.0)])),
        |x| -2.0 * x[0] * x[0] - 3.0 * x[1] * x[1],
        &[1.5, -0.5],
    ),
    (
        "quad_over_lin",
        |x| quad_over_lin(x.rows(0..2), x.at(2)),
        |x| (x[0] * x[0] + x[1] * x[1]) / x[2],
        &[1.0, -2.0, 1.7],
    ),
    ("max", |x| max(x), |x| x.iter().copied().fold(f64::MIN, f64::max), &[0.4, -1.5, 0.7]),
    ("min", |x| min(x), |x| x.iter().copied().fold(f64::MAX, f64::min), &[0.4, -1.5, 0.7]),
    (
        "maximum",
        |x| maximum([Expression::from(x), 0.5.into(), -x]),
        |x| x.iter().map(|x| x.abs().max(0.5)).sum(),
        &[0.4, -1.5, 0.7],
    ),
    (
        "minimum",
        |x| minimum([Expression::from(x), 0.5.into()]),
        |x| x.iter().map(|x| x.min(0.5)).sum(),
        &[0.4, -1.5, 0.7],
    ),
    ("pos", |x| pos(x), |x| x.iter().map(|x| x.max(0.0)).sum(), &[0.4, -1.5, 0.7]),
    (
        "huber",
        |x| huber(x, 0.8),
        |x| x.iter().map(|x| if x.abs() < 0.8 { x * x } else { 1.6 * x.abs() - 0.64 }).sum(),
        &[0.4, -1.5],
    ),
    (
        "huber, cones",
        |x| max(huber(x, 0.8).sum()),
        |x| x.iter().map(|x| if x.abs() < 0.8 { x * x } else { 1.6 * x.abs() - 0.64 }).sum(),
        &[0.4, -1.5],
    ),
    ("exp", |x| exp(x), |x| x.iter().map(|x| x.exp()).sum(), &[0.4, -1.5]),
    ("log", |x| log(x), |x| x.iter().map(|x| x.ln()).sum(), &[0.4, 1.5]),
    (
        "log_sum_exp",
        |x| log_sum_exp(x),
        |x| x.iter().map(|x| x.exp()).sum::<f64>().ln(),
        &[0.4, -1.5, 0.3],
    ),
    ("entr", |x| entr(x), |x| x.iter().map(|x| -x * x.ln()).sum(), &[0.4, 1.5]),
    ("rel_entr", |x| rel_entr(x.at(0), x.at(1)), |x| x[0] * (x[0] / x[1]).ln(), &[0.4, 1.5]),
    (
        "kl_div",
        |x| kl_div(x.at(0), x.at(1)),
        |x| x[0] * (x[0] / x[1]).ln() - x[0] + x[1],
        &[0.4, 1.5],
    ),
    ("logistic", |x| logistic(x), |x| x.iter().map(|x| (1.0 + x.exp()).ln()).sum(), &[0.4, -1.5]),
    ("power 3", |x| power(x, 3.0), |x| x.iter().map(|x| x.powi(3)).sum(), &[0.4, 1.5]),
    ("power 4", |x| power(x, 4.0), |x| x.iter().map(|x| x.powi(4)).sum(), &[0.7, -1.5]),
    ("power 1.5", |x| power(x, 1.5), |x| x.iter().map(|x| x.powf(1.5)).sum(), &[0.4, 1.5]),
    ("power 0.3", |x| power(x, 0.3), |x| x.iter().map(|x| x.powf(0.3)).sum(), &[0.4, 1.5]),
    ("sqrt", |x| sqrt(x), |x| x.iter().map(|x| x.sqrt()).sum(), &[0.4, 1.5]),
    ("inv_pos", |x| inv_pos(x), |x| x.iter().map(|x| 1.0 / x).sum(), &[0.4, 1.5]),
    (
        "geo_mean",
        |x| geo_mean(x),
        |x| x.iter().product::<f64>().powf(0.2),
        &[0.4, 1.5, 0.7, 1.1, 2.0],
    ),
    (
        "weighted_geo_mean",
        |x| weighted_geo_mean(x, &[1.0, 3.0]),
        |x| x[0].powf(0.25) * x[1].powf(0.75),
        &[0.4, 1.5],
    ),
    // of | a b ; b c |
    (
        "lambda_max",
        |x| lambda_max(x.pick([0, 1, 1, 2]).reshape(2, 2)),
        |x| (x[0] + x[2]) / 2.0 + ((x[0] - x[2]).powi(2) / 4.0 + x[1] * x[1]).sqrt(),
        &[0.4, 0.8, -0.3],
    ),
    (
        "lambda_min",
        |x| lambda_min(x.pick([0, 1, 1, 2]).reshape(2, 2)),
        |x| (x[0] + x[2]) / 2.0 - ((x[0] - x[2]).powi(2) / 4.0 + x[1] * x[1]).sqrt(),
        &[0.4, 0.8, -0.3],
    ),
    (
        "affine",
        |x| x.dot([1.0, 2.0, 3.0]) - x.at(1) + x.t() * [0.5, 0.0, 0.5],
        |x| 1.5 * x[0] + x[1] + 3.5 * x[2],
        &[0.4, 0.8, -0.3],
    ),
    // sums of rows and of columns of | a b c ; b c a |, and its block
    (
        "moved",
        |x| {
            let m = x.pick([0, 1, 2, 1, 2, 0]).reshape(2, 3);
            m.row_sums().dot([1.0, 10.0])
                + m.column_sums().t().dot([1.0, 2.0, 3.0])
                + m.block(0..2, 1..3).trace()
                + m.columns(0..2).diagonal().at(1)
                + m.t().at(1)
                + m.entry(1, 2)
                + m.row(1).at(0)
                + m.column(2).at(0)
                + x.to_diagonal().column_sums().at(2)
                + hstack([&m, &m]).at(7)
                + vstack([m.row(1), m.row(0)]).at(3)
        },
        |x| {
            let (a, b, c) = (x[0], x[1], x[2]);
            11.0 * (a + b + c)
                + (a + b)
                + 2.0 * (b + c)
                + 3.0 * (c + a)
                + (b + a)
                + c
                + b
                + a
                + b
                + c
                + c
                + c
                + a
        },
        &[0.4, 0.8, -0.3],
    ),
];

#[test]
fn atoms_have_their_values_and_slopes() {
    for (name, atom, formula, at) in ATOMS {
        let (found, slope) = value(atom, at.len(), at);
        close(found, formula(at), 1e-7, name);
        for k in 0..at.len() {
            let moved = |by: f64| {
                let mut at = at.to_vec();
                at[k] += by;
                formula(&at)
            };
            close(
                slope[k],
                (moved(1e-5) - moved(-1e-5)) / 2e-5,
                1e-6,
                &format!("{name}, slope {k}"),
            );
        }
    }
}

fn slices(theta: &[Vec<f64>]) -> Vec<&[f64]> {
    theta.iter().map(Vec::as_slice).collect()
}

#[test]
fn l1_regression_with_nonnegative_weights() {
    let x = Variable::vector("x", 2);
    let (a, b) = (Parameter::matrix("a", 3, 2), Parameter::vector("b", 3));
    let problem = Problem::minimise(norm1(&a * &x - &b)).subject_to([x.ge(0.0)]);
    let model = problem.compile(&[&a, &b], &[&x]).unwrap();
    let theta = [vec![1.0, 0.2, -0.3, 1.5, 0.8, 0.7], vec![1.0, 2.0, 5.0]];
    differences("l1 regression", &model, &theta, 1e-6);
}

#[test]
fn regularised_least_squares_has_its_closed_form() {
    let (m, n) = (100, 20);
    let x = Variable::vector("x", n);
    let (a, b) = (Parameter::matrix("a", m, n), Parameter::vector("b", m));
    let weight = Parameter::scalar("weight").nonnegative();
    let objective = sum_squares(&a * &x - &b) + &weight * sum_squares(&x);
    let model = Problem::minimise(objective).compile(&[&a, &b, &weight], &[&x]).unwrap();
    let mut draw = Draw(1);
    let theta = [draw.normals(m * n), draw.normals(m), vec![0.7]];
    let matrix = nalgebra::DMatrix::from_row_slice(m, n, &theta[0]);
    let normal = matrix.transpose() * &matrix + nalgebra::DMatrix::identity(n, n) * 0.7;
    let factor = normal.cholesky().unwrap();
    let right = nalgebra::DVector::from_vec(theta[1].clone());
    let expected = factor.solve(&(matrix.transpose() * &right));
    let answer = model.solve(&slices(&theta), &options()).unwrap();
    for k in 0..n {
        close(answer.variable(0)[k], expected[k], 1e-9, "x");
    }
    let g = draw.normals(n);
    let gradients = answer.pullback(&[&g], Derivative::Exact).unwrap();
    let l = factor.solve(&nalgebra::DVector::from_vec(g));
    let to_b = &matrix * &l;
    close(gradients[2][0], -l.dot(&expected), 1e-8, "to the weight");
    let residual = &matrix * &expected - &right;
    for i in 0..m {
        close(gradients[1][i], to_b[i], 1e-8, "to b");
        for j in 0..n {
            let to_a = -(residual[i] * l[j] + to_b[i] * expected[j]);
            close(gradients[0][i * n + j], to_a, 1e-8, "to a");
        }
    }
}

#[test]
fn a_quadratic_program_in_a_ball() {
    let n = 5;
    let x = Variable::vector("x", n);
    let (root, p) = (Parameter::matrix("root", n, n), Parameter::vector("p", n));
    let radius = Parameter::scalar("radius");
    let ball = norm2(&x).le(&radius);
    let problem = Problem::minimise(0.5 * sum_squares(&root * &x) + p.dot(&x));
    let problem = problem.subject_to([ball.clone()]);
    let model =
        problem.compile(&[&root, &p, &radius], &[&x]).unwrap().with_duals(&[&ball]).unwrap();
    let mut draw = Draw(2);
    let theta = [draw.normals(n * n), draw.normals(n).iter().map(|p| 3.0 * p).collect(), vec![0.5]];
    differences("ball", &model, &theta, 1e-6);
}

#[test]
fn projection_on_equalities_and_its_multipliers() {
    let (m, n) = (2, 4);
    let x = Variable::vector("x", n);
    let (a, b) = (Parameter::matrix("a", m, n), Parameter::vector("b", m));
    let p = Parameter::vector("p", n);
    let equal = (&a * &x).equals(&b);
    let problem = Problem::minimise(0.5 * sum_squares(&x - &p)).subject_to([equal.clone()]);
    let model = problem.compile(&[&a, &b, &p], &[&x]).unwrap().with_duals(&[&equal]).unwrap();
    let mut draw = Draw(3);
    let theta = [draw.normals(m * n), draw.normals(m), draw.normals(n)];
    let matrix = nalgebra::DMatrix::from_row_slice(m, n, &theta[0]);
    let point = nalgebra::DVector::from_vec(theta[2].clone());
    let off = &matrix * &point - nalgebra::DVector::from_vec(theta[1].clone());
    let multipliers = (&matrix * matrix.transpose()).lu().solve(&off).unwrap();
    let nearest = point - matrix.transpose() * &multipliers;
    let answer = model.solve(&slices(&theta), &options()).unwrap();
    (0..n).for_each(|k| close(answer.variable(0)[k], nearest[k], 1e-9, "x"));
    (0..m).for_each(|k| close(answer.dual(0)[k], multipliers[k], 1e-9, "multiplier"));
    differences("projection", &model, &theta, 1e-6);
}

#[test]
fn soft_top_k_is_a_sigmoid_at_a_common_threshold() {
    let n = 6;
    let (x, p) = (Variable::vector("x", n), Parameter::vector("p", n));
    let objective = p.dot(&x) + entr(&x).sum() + entr(1.0 - &x).sum();
    let problem = Problem::maximise(objective).subject_to([x.sum().equals(2.0)]);
    let model = problem.compile(&[&p], &[&x]).unwrap();
    let theta = [vec![0.3, -1.0, 2.0, 0.5, 0.1, -0.4]];
    let answer = model.solve(&slices(&theta), &options()).unwrap();
    let threshold = |k: usize| {
        let x = answer.variable(0)[k];
        (x / (1.0 - x)).ln() - theta[0][k]
    };
    (1..n).for_each(|k| close(threshold(k), threshold(0), 1e-7, "threshold"));
    close(answer.variable(0).iter().sum(), 2.0, 1e-9, "sum");
    differences("soft top-k", &model, &theta, 1e-6);
}

#[test]
fn logistic_regression_and_how_it_answers_to_its_data() {
    for (m, n, seed) in [(5, 2, 4), (30, 2, 5)] {
        let w = Variable::vector("w", n);
        let points = Parameter::matrix("points", m, n);
        let mut draw = Draw(seed);
        let data = draw.normals(m * n);
        let labels: Vec<f64> =
            (0..m).map(|i| if data[i * n] + draw.normal() > 0.0 { 1.0 } else { -1.0 }).collect();
        let margins = (&points * &w).times(&labels);
        let loss = logistic(-margins).sum() / m as f64 + 0.05 * sum_squares(&w);
        let model = Problem::minimise(loss).compile(&[&points], &[&w]).unwrap();
        // Newton's method on the loss itself.
        let x = nalgebra::DMatrix::from_row_slice(m, n, &data);
        let mut expected = nalgebra::DVector::zeros(n);
        for _ in 0..50 {
            let mut gradient = 0.1 * &expected;
            let mut hessian = nalgebra::DMatrix::identity(n, n) * 0.1;
            for (row, label) in x.row_iter().zip(&labels) {
                let row = row.transpose();
                let s = 1.0 / (1.0 + (label * row.dot(&expected)).exp());
                gradient -= &row * (label * s / m as f64);
                hessian += &row * row.transpose() * (s * (1.0 - s) / m as f64);
            }
            expected -= hessian.cholesky().unwrap().solve(&gradient);
        }
        let answer = model.solve(&[&data], &options()).unwrap();
        (0..n).for_each(|k| close(answer.variable(0)[k], expected[k], 1e-8, "w"));
        differences("logistic", &model, &[data], 1e-6);
    }
}

#[test]
fn entropy_is_largest_where_rows_allow() {
    let n = 8;
    let x = Variable::vector("x", n);
    let (a, b) = (Parameter::matrix("a", 2, n), Parameter::vector("b", 2));
    let (f, g) = (Parameter::matrix("f", 2, n), Parameter::vector("g", 2));
    let problem = Problem::maximise(entr(&x).sum()).subject_to([
        (&a * &x).equals(&b),
        (&f * &x).le(&g),
        x.sum().equals(1.0),
    ]);
    let model = problem.compile(&[&a, &b, &f, &g], &[&x]).unwrap();
    let mut draw = Draw(6);
    let (a, f) = (draw.normals(2 * n), draw.normals(2 * n));
    let inside: Vec<f64> = (0..n).map(|_| draw.uniform()).collect();
    let total: f64 = inside.iter().sum();
    let rows = |m: &[f64], more: [f64; 2]| -> Vec<f64> {
        let row = |k: usize| {
            m[k * n..(k + 1) * n].iter().zip(&inside).map(|(m, x)| m * x / total).sum::<f64>()
        };
        vec![row(0) + more[0], row(1) + more[1]]
    };
    let theta = [a.clone(), rows(&a, [0.0; 2]), f.clone(), rows(&f, [1e-2, 2.0])];
    differences("entropy", &model, &theta, 1e-6);
}

#[test]
fn duals_of_every_cone_are_outputs() {
    // Linear objectives around a point; one problem a cone, and all in one.
    let n = 3;
    let x = Variable::vector("x", n);
    let c = Parameter::vector("c", n);
    let matrix = Variable::symmetric("matrix", 2);
    let d = Parameter::matrix("d", 2, 2);
    let near = sum_squares(&x) * 0.5 + c.dot(&x);
    let equality = x.sum().equals(1.0);
    let inequality = x.at(0).ge(0.8);
    let second_order = in_second_order(x.at(0), x.rows(1..3) + 0.3);
    let exponential = in_exponential(x.at(0), x.at(1), x.at(2));
    let power = in_power(x.at(0), x.at(1), x.at(2), 0.3);
    let semidefinite = (&matrix + Expression::sparse(2, 2, &[(0, 1, 0.1)])).is_semidefinite();
    let c0 = vec![0.4, -0.7, 1.1];
    let cases: [(&str, &[&Constraint], Vec<f64>); 6] = [
        ("equality", &[&equality], c0.clone()),
        ("inequality", &[&inequality], c0.clone()),
        ("second-order", &[&second_order], c0.clone()),
        ("exponential", &[&exponential], c0.clone()),
        ("power", &[&power], vec![-1.0, -0.5, -2.0]),
        ("equality and power", &[&equality, &power], vec![-1.0, -0.5, -2.0]),
    ];
    for (name, constraints, c0) in cases {
        let problem = Problem::minimise(near.clone());
        let problem = problem.subject_to(constraints.iter().map(|one| (*one).clone()));
        let model = problem.compile(&[&c], &[&x]).unwrap().with_duals(constraints).unwrap();
        let answer = model.solve(&[&c0], &options()).unwrap();
        assert!(answer.dual(0).iter().any(|z| z.abs() > 1e-3), "{name}: {:?}", answer.dual(0));
        differences(name, &model, &[c0], 1e-6);
    }
    let spread = 0.5 * sum_squares(&matrix) + matrix.times(&d).sum();
    let problem = Problem::minimise(spread.clone()).subject_to([semidefinite.clone()]);
    let model = problem.compile(&[&d], &[&matrix]).unwrap().with_duals(&[&semidefinite]).unwrap();
    let d0 = vec![1.0, 0.4, 0.4, -0.5];
    differences("semidefinite", &model, std::slice::from_ref(&d0), 1e-6);
    let second_order = in_second_order(x.at(0) + 0.1, x.rows(1..3) + 0.3);
    let exponential = in_exponential(x.at(1), x.at(0), x.at(2));
    let power = in_power(x.at(0), x.at(2), x.at(1), 0.3);
    let all = [&equality, &inequality, &second_order, &exponential, &power, &semidefinite];
    let problem = Problem::minimise(near + spread).subject_to(all.map(Clone::clone));
    let model = problem.compile(&[&c, &d], &[&x, &matrix]).unwrap();
    let model = model.with_duals(&[&equality, &semidefinite, &exponential]).unwrap();
    differences("all", &model, &[vec![0.4, 0.7, 1.1], d0], 1e-6);
}

#[test]
fn parametric_quadratic_forms_take_what_is_convex_and_nothing_else() {
    let n = 3;
    let x = Variable::vector("x", n);
    let (p, q) = (Parameter::matrix("p", n, n), Parameter::vector("q", n));
    let objective =
        0.5 * quad_form(2.0 * &x + 1.0, 0.5 * &p + Expression::sparse(n, n, &[(0, 0, 1.0)]));
    let problem = Problem::minimise(objective + q.dot(&x)).subject_to([x.le(0.2)]);
    let model = problem.compile(&[&p, &q], &[&x]).unwrap();
    let p0 = vec![2.0, 0.3, -0.1, 0.5, 1.0, 0.2, 0.1, 0.0, 1.5];
    differences("quadratic form", &model, &[p0.clone(), vec![0.3, -3.0, 1.0]], 1e-6);
    let negative: Vec<f64> = p0.iter().map(|p| -p).collect();
    let refused = model.solve(&[&negative, &[0.0; 3]], &options()).unwrap_err();
    assert!(matches!(refused, Error::NotConvex { .. }), "{refused}");
}

#[test]
fn a_portfolio_of_twelve_assets_with_trading_costs() {
    let n = 12;
    let hold = Variable::vector("hold", n);
    let forecast = Parameter::vector("forecast", n);
    let root = Parameter::matrix("root", n, n);
    let before = Parameter::vector("before", n);
    let aversion = Parameter::scalar("aversion").nonnegative();
    let trade = &hold - &before;
    let cost = 0.002 * norm1(&trade) + 0.01 * power(abs(&trade), 1.5).sum();
    let risk = sum_squares(&root * &hold);
    let problem = Problem::maximise(forecast.dot(&hold) - &aversion * risk - cost)
        .subject_to([hold.sum().equals(1.0), hold.ge(0.0)]);
    let model = problem.compile(&[&forecast, &root, &before, &aversion], &[&hold]).unwrap();
    let mut draw = Draw(12);
    let theta = [
        draw.normals(n).iter().map(|f| 0.05 + 0.03 * f).collect(),
        draw.normals(n * n).iter().map(|f| 0.1 * f).collect(),
        vec![1.0 / n as f64; n],
        vec![2.0],
    ];
    let answer = model.solve(&slices(&theta), &options()).unwrap();
    close(answer.variable(0).iter().sum(), 1.0, 1e-9, "budget");
    let diagnostics = answer.solution().diagnostics();
    assert!(diagnostics.weakly_active == 0, "{diagnostics:?}");
    differences("portfolio", &model, &theta, 1e-6);
}

#[test]
fn what_breaks_a_rule_is_named() {
    let (x, y) = (Variable::vector("x", 3), Variable::scalar("y"));
    let (p, q) = (Parameter::vector("p", 3), Parameter::scalar("q"));
    let compiled = |problem: &Problem| problem.compile(&[&p, &q], &[&x]).unwrap_err();
    let least = |e: Expression| compiled(&Problem::minimise(e));
    // (what it is, the error, its kind, what it must say)
    let cases: Vec<(&str, Error, &str, &str)> = vec![
        ("product", least(x.at(0) * &y), "NotDcp", "x[0] * y"),
        ("concave", least(log(&y)), "NotDcp", "found log(y)"),
        ("convex, maximised", compiled(&Problem::maximise(norm1(&x))), "NotDcp", "found norm1(x)"),
        ("mixed sum", least(exp(&y) + log(&y) + 1.0), "NotDcp", "exp(y) + log(y)"),
        ("composition", least(norm2(abs(&x) - 1.0)), "NotDcp", "norm2(abs(x) - 1)"),
        ("composition", least(exp(log(&y))), "NotDcp", "exp(log(y))"),
        ("sign of a factor", least(&q * norm1(&x)), "NotDcp", "q * norm1(x)"),
        ("two parameters", least(&q * p.dot(&x)), "NotDpp", "q * (p' * x)"),
        ("two parameters", least(kl_div(&y, &q) * &q), "NotDpp", "kl_div(y, q) * q"),
        ("a factor that bends", least(exp(&q) * &y), "NotDcp", "exp(q) * y"),
        ("shapes", least((&x + &p.rows(0..2)).sum()), "Expression", "x + p[0..2]"),
        ("shapes", least((&x * &x).sum()), "Expression", "`dot` sums up"),
        ("index", least(x.at(3)), "Expression", "x[3]"),
        ("objective", least(Expression::from(&x)), "Expression", "scalar"),
        ("divisor", least(&y / &q), "Expression", "inverse"),
        ("constant", least(&y + f64::NAN), "Expression", "finite"),
        (
            "quadratic form",
            least(quad_form(x.rows(0..2), Expression::sparse(2, 2, &[(0, 0, 1.0), (1, 1, -1.0)]))),
            "NotDcp",
            "semidefinite",
        ),
        ("huber", least(huber(&y, -1.0)), "Expression", "positive"),
        (
            "constraint",
            compiled(
                &Problem::minimise(&y + &q).subject_to([norm2(&x).ge(1.0), p.dot(&x).le(1.0)]),
            ),
            "NotDcp",
            "1 - norm2(x)",
        ),
        (
            "equality",
            compiled(&Problem::minimise(&y + &q).subject_to([square(&x).equals(&p)])),
            "NotDcp",
            "square(x) - p",
        ),
        (
            "cone",
            compiled(&Problem::minimise(&y + &q).subject_to([in_second_order(abs(&y), &x)])),
            "NotDcp",
            "cone",
        ),
        (
            "quadratic form of a parameter",
            Problem::minimise(&y)
                .subject_to([quad_form(&y, &q).le(1.0)])
                .compile(&[&q], &[&y])
                .unwrap_err(),
            "NotDpp",
            "quad_form(y, q)",
        ),
    ];
    for (what, error, kind, says) in cases {
        let text = error.to_string();
        assert!(text.contains(says), "{what}: {text}");
        assert!(format!("{error:?}").starts_with(kind), "{what}: {error:?}");
    }
}

#[test]
fn parameters_and_outputs_are_checked_by_name() {
    let (x, other) = (Variable::vector("x", 2), Variable::vector("other", 2));
    let (p, q) = (Parameter::vector("p", 2), Parameter::scalar("q").nonnegative());
    let unused = Parameter::scalar("unused");
    let problem = Problem::minimise(&q * sum_squares(&x - &p));
    let says = |error: Error, parts: &[&str]| {
        let text = error.to_string();
        parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
    };
    says(problem.compile(&[&p], &[&x]).unwrap_err(), &["q", "not given"]);
    says(problem.compile(&[&p, &q, &p], &[&x]).unwrap_err(), &["p", "twice"]);
    says(problem.compile(&[&p, &q, &unused], &[&x]).unwrap_err(), &["unused", "not use"]);
    says(problem.compile(&[&p, &q], &[&other]).unwrap_err(), &["other", "x"]);
    let model = problem.compile(&[&p, &q], &[&x]).unwrap();
    says(model.with_duals(&[&x.le(1.0)]).unwrap_err(), &["x <= 1"]);
    let solve = |parts: &[&[f64]]| model.solve(parts, &options()).unwrap_err();
    says(solve(&[&[0.0, 1.0]]), &["parameters", "q"]);
    says(solve(&[&[0.0], &[1.0]]), &["p", "2 numbers"]);
    says(solve(&[&[0.0, f64::NAN], &[1.0]]), &["\"p\"", "finite", "NaN at entry 1"]);
    says(solve(&[&[0.0, 1.0], &[-1.0]]), &["\"q\"", ">= 0", "-1"]);
}

#[test]
fn long_and_shared_expressions_take_no_more_than_their_size() {
    let n = 10_000;
    let started = std::time::Instant::now();
    let (x, p) = (Variable::vector("x", n), Parameter::vector("p", n));
    let mut sum = Expression::from(0.0);
    for i in 0..n {
        sum = sum + square(x.at(i) - p.at(i));
    }
    let ends: Vec<Constraint> = (0..n).map(|i| x.at(i).le(i as f64)).collect();
    let model = Problem::minimise(sum).subject_to(ends).compile(&[&p], &[&x]).unwrap();
    assert_eq!(model.program().rows(), 2 * n);
    // Doubled 40 times.
    let y = Variable::scalar("y");
    let mut doubled = abs(&y) + 1.0;
    for _ in 0..40 {
        doubled = &doubled + &doubled;
    }
    assert!(doubled.to_string().len() < 300);
    let model = Problem::minimise(doubled).compile(&[], &[&y]).unwrap();
    assert_eq!(model.program().variables(), 2);
    let taken = started.elapsed().as_secs_f64();
    println!("{n} entries one by one: {taken:.3} s");
    assert!(taken < 30.0, "{taken} s");
}

#[test]
fn a_semidefinite_program_finds_the_smallest_eigenvector() {
    let n = 3;
    let x = Variable::semidefinite("x", n);
    let c = Parameter::matrix("c", n, n);
    let trace = x.trace().equals(1.0);
    let problem = Problem::minimise((&c * &x).trace()).subject_to([trace.clone()]);
    let model = problem.compile(&[&c], &[&x]).unwrap().with_duals(&[&trace]).unwrap();
    let c0 = vec![1.0, 0.3, -0.2, 0.3, 2.0, 0.5, -0.2, 0.5, 0.4];
    let matrix = nalgebra::DMatrix::from_row_slice(n, n, &c0);
    let eigen = matrix.symmetric_eigen();
    let least = eigen.eigenvalues.imin();
    let answer = model.solve(&[&c0], &options()).unwrap();
    close(answer.objective(), eigen.eigenvalues[least], 1e-8, "objective");
    close(answer.dual(0)[0], -eigen.eigenvalues[least], 1e-8, "multiplier of the trace");
    let v = eigen.eigenvectors.column(least);
    for (k, found) in answer.variable(0).iter().enumerate() {
        close(*found, v[k / n] * v[k % n], 1e-7, "x");
    }
    differences("smallest eigenvector", &model, &[c0], 1e-6);
}

#[test]
fn a_geometric_program_after_the_logarithm() {
    // The largest box: height h, width w, depth d, in logarithms.
    let [h, w, d] = ["h", "w", "d"].map(Variable::scalar);
    let [wall, floor, low, high] = ["wall", "floor", "low", "high"].map(Parameter::scalar);
    let two = 2.0_f64.ln();
    let walls = log_sum_exp(vstack([two + &h + &w, two + &h + &d])).le(&wall);
    let problem = Problem::maximise(&h + &w + &d).subject_to([
        walls,
        (&w + &d).le(&floor),
        (&h - &w).ge(&low),
        (&h - &w).le(&high),
        (&d - &w).ge(&low),
        (&d - &w).le(&high),
    ]);
    let model = problem.compile(&[&wall, &floor, &low, &high], &[&h, &w, &d]).unwrap();
    let theta = [[200.0_f64], [200.0], [0.7], [1.8]].map(|value| vec![value[0].ln()]);
    let answer = model.solve(&slices(&theta), &options()).unwrap();
    let [h, w, d] = [0, 1, 2].map(|k| answer.variable(k)[0].exp());
    close(2.0 * (h * w + h * d), 200.0, 1e-7, "walls");
    differences("geometric", &model, &theta[..], 1e-6);
}

#[test]
fn rectifying_isotonic_and_denoising_layers() {
    let n = 6;
    let (x, p) = (Variable::vector("x", n), Parameter::vector("p", n));
    let p0 = vec![0.5, -1.0, 0.3, 0.2, 1.5, 0.9];
    let nearest = Problem::minimise(sum_squares(&x - &p));
    let rectified = nearest.clone().subject_to([x.ge(0.0)]).compile(&[&p], &[&x]).unwrap();
    let answer = rectified.solve(&[&p0], &options()).unwrap();
    (0..n).for_each(|k| close(answer.variable(0)[k], p0[k].max(0.0), 1e-9, "rectified"));
    differences("rectified", &rectified, std::slice::from_ref(&p0), 1e-6);

    let rising = x.rows(1..n).ge(x.rows(0..n - 1));
    let isotonic = nearest.subject_to([rising]).compile(&[&p], &[&x]).unwrap();
    let answer = isotonic.solve(&[&p0], &options()).unwrap();
    let pooled = [-0.25, -0.25, 0.25, 0.25, 1.2, 1.2];
    (0..n).for_each(|k| close(answer.variable(0)[k], pooled[k], 1e-8, "isotonic"));
    differences("isotonic", &isotonic, &[p0], 1e-6);

    let n = 100;
    let (x, p) = (Variable::vector("x", n), Parameter::vector("p", n));
    let weight = Parameter::scalar("weight").nonnegative();
    let jumps = norm1(x.rows(1..n) - x.rows(0..n - 1));
    let denoised = Problem::minimise(sum_squares(&x - &p) + &weight * jumps);
    let denoised = denoised.compile(&[&p, &weight], &[&x]).unwrap();
    let mut draw = Draw(17);
    let noisy = (0..n).map(|k| f64::from(u8::from(k > 40)) + 0.1 * draw.normal()).collect();
    differences("denoised", &denoised, &[noisy, vec![0.5]], 1e-6);
}

#[test]
fn water_filling_has_its_closed_form() {
    // maximise sum log(floor + x), sum x = power: x = max(level - floor, 0)
    let n = 5;
    let x = Variable::vector("x", n);
    let (floor, power) = (Parameter::vector("floor", n), Parameter::scalar("power"));
    let problem =
        Problem::maximise(log(&floor + &x).sum()).subject_to([x.sum().equals(&power), x.ge(0.0)]);
    let model = problem.compile(&[&floor, &power], &[&x]).unwrap();
    let theta = [vec![0.3, 0.8, 0.5, 2.0, 0.9], vec![1.1]];
    let answer = model.solve(&slices(&theta), &options()).unwrap();
    // All but the fourth are filled: 4 levels less their floors, 2.5, are 1.1.
    let level = (1.1 + 2.5) / 4.0;
    for (x, floor) in answer.variable(0).iter().zip(&theta[0]) {
        close(*x, (level - floor).max(0.0), 1e-7, "x");
    }
}

#[test]
fn model_predictive_control_answers_to_its_model() {
    let (n, m, steps) = (10, 4, 5);
    let (a, b) = (Parameter::matrix("a", n, n), Parameter::matrix("b", n, m));
    let start = Parameter::vector("start", n);
    let states: Vec<Variable> = (0..steps).map(|t| Variable::vector(&format!("x{t}"), n)).collect();
    let controls: Vec<Variable> =
        (0..steps).map(|t| Variable::vector(&format!("u{t}"), m)).collect();
    let mut cost = Expression::from(0.0);
    let mut constraints = Vec::new();
    for t in 0..steps {
        let before = if t == 0 { Expression::from(&start) } else { (&states[t - 1]).into() };
        // The start is a parameter, and so is what it is multiplied by: where it leads to is given.
        let free = if t == 0 { Expression::from(&before) } else { &a * before };
        constraints.push(states[t].equals(free + &b * &controls[t]));
        constraints.push(norm_inf(&controls[t]).le(0.3));
        cost = cost + sum_squares(&states[t]) + 0.1 * sum_squares(&controls[t]);
    }
    let model = Problem::minimise(cost).subject_to(constraints);
    let model = model.compile(&[&a, &b, &start], &[&controls[0], &states[steps - 1]]).unwrap();
    let mut draw = Draw(14);
    let theta = [
        draw.normals(n * n).iter().map(|a| 0.3 * a).collect(),
        draw.normals(n * m),
        draw.normals(n),
    ];
    differences("predictive control", &model, &theta, 1e-6);
}

/// The regulator's policy with controls that have a limit: 8 states, 2 controls.
#[test]
fn a_regulator_with_limits() {
    let (n, m) = (8, 2);
    let mut draw = Draw(18);
    let b = nalgebra::DMatrix::from_row_slice(n, m, &draw.normals(n * m));
    let (u, next) = (Variable::vector("u", m), Variable::vector("next", n));
    let (root, free) = (Parameter::matrix("root", n, n), Parameter::vector("free", n));
    let limit = Parameter::scalar("limit");
    let objective = sum_squares(&u) + sum_squares(&root * &next);
    let dynamics = next.equals(&free + Expression::from(b) * &u);
    let problem = Problem::minimise(objective).subject_to([dynamics, norm_inf(&u).le(&limit)]);
    let model = problem.compile(&[&root, &free, &limit], &[&u, &next]).unwrap();
    let theta = [draw.normals(n * n), draw.normals(n), vec![0.2]];
    let answer = model.solve(&slices(&theta), &options()).unwrap();
    let largest = answer.variable(0).iter().fold(0.0_f64, |a, u| a.max(u.abs()));
    close(largest, 0.2, 1e-9, "a control at its limit");
    differences("limited regulator", &model, &theta, 1e-6);
}

/// One step of approximate dynamic programming: u = -(I + B'PB)^-1 B'P f, f where the state drifts to.
#[test]
fn a_policy_of_approximate_dynamic_programming() {
    let (n, m) = (3, 2);
    let (u, next) = (Variable::vector("u", m), Variable::vector("next", n));
    let (root, drift) = (Parameter::matrix("root", n, n), Parameter::vector("drift", n));
    let mut draw = Draw(21);
    let (b, root0, drift0) = (draw.normals(n * m), draw.normals(n * n), draw.normals(n));
    let b = nalgebra::DMatrix::from_row_slice(n, m, &b);
    let pushed = Expression::from(&b) * &u;
    let problem = Problem::minimise(sum_squares(&u) + sum_squares(&root * &next))
        .subject_to([next.equals(&drift + pushed)]);
    let model = problem.compile(&[&root, &drift], &[&u]).unwrap();
    let root = nalgebra::DMatrix::from_row_slice(n, n, &root0);
    let p = root.transpose() * root;
    let inner = nalgebra::DMatrix::identity(m, m) + b.transpose() * &p * &b;
    let pull = b.transpose() * p * nalgebra::DVector::from_column_slice(&drift0);
    let expected = -inner.try_inverse().unwrap() * pull;
    let answer = model.solve(&[&root0, &drift0], &options()).unwrap();
    (0..m).for_each(|k| close(answer.variable(0)[k], expected[k], 1e-9, "u"));
    differences("dynamic programming", &model, &[root0, drift0], 1e-6);
}

/// Springs in a row under forces of their own give way least if each is as stiff as its force is large.
#[test]
fn stiffness_goes_where_the_forces_are() {
    let n = 4;
    let stiffness = Variable::vector("stiffness", n);
    let (force, total) = (Parameter::vector("force", n), Parameter::scalar("total"));
    let work = (0..n).map(|k| quad_over_lin(force.at(k), stiffness.at(k)));
    let work = work.fold(Expression::from(0.0), |sum, spring| sum + spring);
    let problem = Problem::minimise(work).subject_to([stiffness.sum().le(&total)]);
    let model = problem.compile(&[&force, &total], &[&stiffness]).unwrap();
    let theta = [vec![1.0, -2.0, 0.5, 1.5], vec![3.0]];
    let answer = model.solve(&slices(&theta), &options()).unwrap();
    for (found, force) in answer.variable(0).iter().zip(&theta[0]) {
        close(*found, 3.0 * force.abs() / 5.0, 1e-7, "stiffness");
    }
    differences("stiffness", &model, &theta, 1e-6);
}

/// Two suppliers, two stores, three shops: what is bought, kept and shipped at prices and demands that change.
#[test]
fn a_supply_chain_answers_to_prices_and_demands() {
    let (suppliers, stores, shops) = (2, 2, 3);
    let buy = Variable::matrix("buy", suppliers, stores);
    let ship = Variable::matrix("ship", stores, shops);
    let keep = Variable::vector("keep", stores);
    let price = Parameter::vector("price", suppliers);
    let (stock, demand) = (Parameter::vector("stock", stores), Parameter::vector("demand", shops));
    let sold = ship.column_sums();
    let cost = price.dot(buy.row_sums()) + 0.1 * sum_squares(&buy) + 0.2 * sum_squares(&ship)
        - 3.0 * sold.sum()
        + 0.3 * sum_squares(&keep);
    let problem = Problem::minimise(cost).subject_to([
        keep.equals(&stock + buy.column_sums().t() - ship.row_sums()),
        sold.t().le(&demand),
        buy.ge(0.0),
        ship.ge(0.0),
        keep.ge(0.0),
    ]);
    let model = problem.compile(&[&price, &stock, &demand], &[&buy, &ship, &keep]).unwrap();
    let theta = [vec![0.8, 1.1], vec![0.7, 0.2], vec![1.0, 1.5, 0.6]];
    differences("supply chain", &model, &theta, 1e-6);
}

#[test]
fn points_that_poison_an_elastic_net() {
    let (m, n) = (60, 3);
    let (w, points) = (Variable::vector("w", n), Parameter::matrix("points", m, n));
    let mut draw = Draw(15);
    let data = draw.normals(m * n);
    let label = |i: usize| if data[i * n] - 0.5 * data[i * n + 1] > 0.1 { 1.0 } else { -1.0 };
    let labels: Vec<f64> = (0..m).map(label).collect();
    let loss = logistic(-(&points * &w).times(&labels)).sum() / m as f64;
    let problem = Problem::minimise(loss + 0.05 * norm1(&w) + 0.02 * sum_squares(&w));
    differences("poison", &problem.compile(&[&points], &[&w]).unwrap(), &[data], 1e-6);
}

#[test]
fn transport_entropic_and_exact() {
    let n = 4;
    let (t, c) = (Variable::matrix("t", n, n), Parameter::matrix("c", n, n));
    let mut draw = Draw(18);
    let costs: Vec<f64> = (0..n * n).map(|_| draw.uniform()).collect();
    let one_to_one = [t.row_sums().equals(1.0), t.column_sums().equals(1.0)];
    let spread = Problem::minimise(c.times(&t).sum() - 0.2 * entr(&t).sum());
    let spread = spread.subject_to(one_to_one.clone()).compile(&[&c], &[&t]).unwrap();
    let answer = spread.solve(&[&costs], &options()).unwrap();
    // log t + c / eps is a sum of a row's and a column's number.
    let potential =
        |i: usize, j: usize| answer.variable(0)[i * n + j].ln() + costs[i * n + j] / 0.2;
    for (i, j) in (1..n).flat_map(|i| (1..n).map(move |j| (i, j))) {
        let crossed = potential(i, j) + potential(0, 0) - potential(i, 0) - potential(0, j);
        close(crossed, 0.0, 1e-6, "potentials");
    }
    differences("entropic transport", &spread, std::slice::from_ref(&costs), 1e-6);

    let exact = Problem::minimise(c.times(&t).sum()).subject_to(one_to_one).subject_to([t.ge(0.0)]);
    let answer = exact.compile(&[&c], &[&t]).unwrap().solve(&[&costs], &options()).unwrap();
    let mut best = f64::INFINITY;
    for code in 0..n.pow(4) {
        let to: Vec<usize> = (0..4).map(|k| code / n.pow(k) % n).collect();
        if (0..n).all(|j| to.contains(&j)) {
            best = best.min((0..n).map(|i| costs[i * n + to[i]]).sum());
        }
    }
    close(answer.objective(), best, 1e-9, "one to one");
    let many =
        Problem::minimise(c.times(&t).sum()).subject_to([t.row_sums().equals(1.0), t.ge(0.0)]);
    let answer = many.compile(&[&c], &[&t]).unwrap().solve(&[&costs], &options()).unwrap();
    let nearest: f64 = costs.chunks(n).map(|row| row.iter().copied().fold(1.0, f64::min)).sum();
    close(answer.objective(), nearest, 1e-9, "many to one");
}

#[test]
fn a_thousand_capped_weights_keep_their_constraints() {
    let (n, k) = (1000, 100.0);
    let (x, c) = (Variable::vector("x", n), Parameter::vector("c", n));
    let problem =
        Problem::minimise(c.dot(&x)).subject_to([x.sum().equals(k), x.ge(0.0), x.le(1.0)]);
    let model = problem.compile(&[&c], &[&x]).unwrap();
    let costs = Draw(19).normals(n);
    let answer = model.solve(&[&costs], &options()).unwrap();
    let found = answer.variable(0);
    close(found.iter().sum(), k, 1e-8, "sum");
    assert!(found.iter().all(|x| (-1e-8..=1.0 + 1e-8).contains(x)));
    let mut sorted = costs.clone();
    sorted.sort_by(f64::total_cmp);
    for (x, c) in found.iter().zip(&costs) {
        close(*x, f64::from(u8::from(*c < sorted[100])), 1e-8, "the hundred least");
    }
}
