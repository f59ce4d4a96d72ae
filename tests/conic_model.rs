//! The modelling language: atoms against closed forms, refusals by name, gradients against differences.

use gleaner::Error;
use gleaner::conic::ConicOptions;
use gleaner::conic::model::*;

const TIGHT: ConicOptions = ConicOptions {
    tolerance: 1e-10,
    reduced_tolerance: 1e-5,
    smoothing: 0.0,
    interior_tolerance: 1e-9,
    max_iterations: 200,
    polish_steps: 20,
    splitting_iterations: 50_000,
};

fn options() -> ConicOptions {
    ConicOptions { ..TIGHT }
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
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
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
    ("square, cones", |x| maximum([square(x), exp(-1.0 * x) * 1e-3]), |x| x.iter().map(|x| x * x).sum(), &[1.5, -0.5]),
    ("sum_squares", |x| sum_squares(x), |x| x.iter().map(|x| x * x).sum(), &[1.5, -0.5]),
    ("sum_squares, cones", |x| max(sum_squares(x)), |x| x.iter().map(|x| x * x).sum(), &[1.5, -0.5]),
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
    ("quad_over_lin", |x| quad_over_lin(x.rows(0..2), x.at(2)), |x| (x[0] * x[0] + x[1] * x[1]) / x[2], &[1.0, -2.0, 1.7]),
    ("max", |x| max(x), |x| x.iter().copied().fold(f64::MIN, f64::max), &[0.4, -1.5, 0.7]),
    ("min", |x| min(x), |x| x.iter().copied().fold(f64::MAX, f64::min), &[0.4, -1.5, 0.7]),
    ("maximum", |x| maximum([Expression::from(x), 0.5.into(), -x]), |x| x.iter().map(|x| x.abs().max(0.5)).sum(), &[0.4, -1.5, 0.7]),
    ("minimum", |x| minimum([Expression::from(x), 0.5.into()]), |x| x.iter().map(|x| x.min(0.5)).sum(), &[0.4, -1.5, 0.7]),
    ("pos", |x| pos(x), |x| x.iter().map(|x| x.max(0.0)).sum(), &[0.4, -1.5, 0.7]),
    ("huber", |x| huber(x, 0.8), |x| x.iter().map(|x| if x.abs() < 0.8 { x * x } else { 1.6 * x.abs() - 0.64 }).sum(), &[0.4, -1.5]),
    ("huber, cones", |x| max(huber(x, 0.8).sum()), |x| x.iter().map(|x| if x.abs() < 0.8 { x * x } else { 1.6 * x.abs() - 0.64 }).sum(), &[0.4, -1.5]),
    ("exp", |x| exp(x), |x| x.iter().map(|x| x.exp()).sum(), &[0.4, -1.5]),
    ("log", |x| log(x), |x| x.iter().map(|x| x.ln()).sum(), &[0.4, 1.5]),
    ("log_sum_exp", |x| log_sum_exp(x), |x| x.iter().map(|x| x.exp()).sum::<f64>().ln(), &[0.4, -1.5, 0.3]),
    ("entr", |x| entr(x), |x| x.iter().map(|x| -x * x.ln()).sum(), &[0.4, 1.5]),
    ("rel_entr", |x| rel_entr(x.at(0), x.at(1)), |x| x[0] * (x[0] / x[1]).ln(), &[0.4, 1.5]),
    ("kl_div", |x| kl_div(x.at(0), x.at(1)), |x| x[0] * (x[0] / x[1]).ln() - x[0] + x[1], &[0.4, 1.5]),
    ("logistic", |x| logistic(x), |x| x.iter().map(|x| (1.0 + x.exp()).ln()).sum(), &[0.4, -1.5]),
    ("power 3", |x| power(x, 3.0), |x| x.iter().map(|x| x.powi(3)).sum(), &[0.4, 1.5]),
    ("power 4", |x| power(x, 4.0), |x| x.iter().map(|x| x.powi(4)).sum(), &[0.7, -1.5]),
    ("power 1.5", |x| power(x, 1.5), |x| x.iter().map(|x| x.powf(1.5)).sum(), &[0.4, 1.5]),
    ("power 0.3", |x| power(x, 0.3), |x| x.iter().map(|x| x.powf(0.3)).sum(), &[0.4, 1.5]),
    ("sqrt", |x| sqrt(x), |x| x.iter().map(|x| x.sqrt()).sum(), &[0.4, 1.5]),
    ("inv_pos", |x| inv_pos(x), |x| x.iter().map(|x| 1.0 / x).sum(), &[0.4, 1.5]),
    ("geo_mean", |x| geo_mean(x), |x| x.iter().product::<f64>().powf(0.2), &[0.4, 1.5, 0.7, 1.1, 2.0]),
    ("weighted_geo_mean", |x| weighted_geo_mean(x, &[1.0, 3.0]), |x| x[0].powf(0.25) * x[1].powf(0.75), &[0.4, 1.5]),
    // of | a b ; b c |
    ("lambda_max", |x| lambda_max(x.pick([0, 1, 1, 2]).reshape(2, 2)), |x| (x[0] + x[2]) / 2.0 + ((x[0] - x[2]).powi(2) / 4.0 + x[1] * x[1]).sqrt(), &[0.4, 0.8, -0.3]),
    ("lambda_min", |x| lambda_min(x.pick([0, 1, 1, 2]).reshape(2, 2)), |x| (x[0] + x[2]) / 2.0 - ((x[0] - x[2]).powi(2) / 4.0 + x[1] * x[1]).sqrt(), &[0.4, 0.8, -0.3]),
    ("affine", |x| x.dot([1.0, 2.0, 3.0]) - x.at(1) + x.t() * [0.5, 0.0, 0.5], |x| 1.5 * x[0] + x[1] + 3.5 * x[2], &[0.4, 0.8, -0.3]),
    // sums of rows and of columns of | a b c ; b c a |, and its block
    (
        "moved",
        |x| {
            let m = x.pick([0, 1, 2, 1, 2, 0]).reshape(2, 3);
            m.row_sums().dot([1.0, 10.0]) + m.column_sums().t().dot([1.0, 2.0, 3.0])
                + m.block(0..2, 1..3).trace() + m.columns(0..2).diagonal().at(1)
                + m.t().at(1) + m.entry(1, 2) + m.row(1).at(0) + m.column(2).at(0)
                + x.to_diagonal().column_sums().at(2) + hstack([&m, &m]).at(7)
                + vstack([m.row(1), m.row(0)]).at(3)
        },
        |x| {
            let (a, b, c) = (x[0], x[1], x[2]);
            11.0 * (a + b + c) + (a + b) + 2.0 * (b + c) + 3.0 * (c + a) + (b + a) + c + b + a + b + c + c + c + a
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
            close(slope[k], (moved(1e-5) - moved(-1e-5)) / 2e-5, 1e-6, &format!("{name}, slope {k}"));
        }
    }
}
