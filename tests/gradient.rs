//! The pullback against central differences, for every parameter.

mod common;

use common::{Recipe, cases, directions, norms, recipe, recipes, smoothed};
use gleaner::Error;
use gleaner::program::{
    Budget, Gradients, Method, Norm, ProgramOptions, Regulariser, Selection, SelectionProgram,
    SolveOptions, Upstream,
};
use nalgebra::{DMatrix, DVector, dmatrix};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};

/// Step of the central differences. With the five-point stencil the truncation error is of the order
/// (step/eps)^4 <= 1e-12; the assignment is exact to about 1e-15/eps, so the differences to
/// 1e-15/(eps step) <= 1e-8 at eps = 0.01.
fn step(eps: f64) -> f64 {
    (1e-3 * eps).min(1e-4)
}

/// Allowed difference, relative to the largest gradient entry of the kind (or to 0.1, where a whole kind
/// vanishes: the upstream gradient is of order one).
const TOLERANCE: f64 = 1e-7;

struct Loss {
    assignment: DMatrix<f64>,
    weights: DVector<f64>,
}

impl Loss {
    fn random(selection: &Selection, seed: u64) -> Self {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
        let numbers = std::iter::repeat_with(|| rng.random_range(-1.0..1.0));
        Self::of_numbers(selection, numbers)
    }

    fn of_numbers(selection: &Selection, mut numbers: impl Iterator<Item = f64>) -> Self {
        let ((n, w), count) = (selection.assignment().shape(), selection.weights().len());
        Self {
            assignment: DMatrix::from_iterator(n, w, numbers.by_ref().take(n * w)),
            weights: DVector::from_iterator(count, numbers.take(count)),
        }
    }

    fn of(&self, selection: &Selection) -> f64 {
        self.assignment.dot(selection.assignment()) + self.weights.dot(selection.weights())
    }

    fn upstream(&self) -> Upstream<'_> {
        Upstream { assignment: Some(&self.assignment), weights: Some(&self.weights) }
    }
}

fn tight_options(method: Method) -> SolveOptions {
    SolveOptions { method, tolerance: 1e-13, ..Default::default() }
}

/// Five-point central difference of the loss along one parameter.
fn difference(
    recipe: &Recipe,
    loss: &Loss,
    method: Method,
    step: f64,
    vary: impl Fn(&mut Recipe, f64),
) -> f64 {
    let at = |h: f64| {
        let mut recipe = recipe.clone();
        vary(&mut recipe, h);
        loss.of(&recipe.program().solve(tight_options(method)).expect("solves"))
    };
    (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step)
}

fn scaled_error(exact: &[f64], differences: &[f64]) -> f64 {
    let size = exact.iter().chain(differences).fold(0.1f64, |a, b| a.max(b.abs()));
    exact.iter().zip(differences).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

/// The largest scaled error of each kind of parameter.
fn errors(
    recipe: &Recipe,
    loss: &Loss,
    gradients: &Gradients,
    method: Method,
) -> Vec<(&'static str, f64)> {
    let (n, w) = recipe.costs.shape();
    let eps = recipe.options.regulariser.eps();
    let step = step(eps);
    let groups = gradients.column_costs.len();
    let central =
        |step, vary: &dyn Fn(&mut Recipe, f64)| difference(recipe, loss, method, step, vary);
    let costs: Vec<f64> =
        (0..n * w).map(|k| central(step, &|r: &mut Recipe, h| r.costs[k] += h)).collect();
    let masses: Vec<f64> = (0..n)
        .map(|i| {
            central(step, &|r: &mut Recipe, h| {
                r.options.row_masses.get_or_insert_with(|| vec![1.0; n])[i] += h;
            })
        })
        .collect();
    let rows = gradients.budgets.len();
    let budgets: Vec<f64> = (0..rows)
        .map(|b| {
            central(step, &|r: &mut Recipe, h| match &mut r.budget {
                Budget::Absolute(kappa) => *kappa += h,
                Budget::Rows(rows) => rows[b].limit += h,
                other => panic!("{other:?}"),
            })
        })
        .collect();
    let mut found = vec![
        ("costs", scaled_error(gradients.costs.as_slice(), &costs)),
        ("row masses", scaled_error(gradients.row_masses.as_slice(), &masses)),
        ("budgets", scaled_error(gradients.budgets.as_slice(), &budgets)),
    ];
    // A zero column cost can only rise; its derivative is tested where it has room both ways.
    if recipe.options.column_costs.is_some() {
        let prices: Vec<f64> = (0..groups)
            .map(|g| {
                central(step, &|r: &mut Recipe, h| {
                    r.options.column_costs.as_mut().expect("given")[g] += h;
                })
            })
            .collect();
        found.push(("column costs", scaled_error(gradients.column_costs.as_slice(), &prices)));
    }
    if eps > 0.0 {
        let along = central(step, &|r: &mut Recipe, h| {
            r.options.regulariser = match r.options.regulariser {
                Regulariser::Quadratic(eps) => Regulariser::Quadratic(eps + h),
                Regulariser::Entropic(eps) => Regulariser::Entropic(eps + h),
                Regulariser::None => Regulariser::None,
            };
        });
        found.push(("eps", scaled_error(&[gradients.eps], &[along])));
    }
    found
}

fn check(recipe: &Recipe, numbers: &[f64], method: Method) -> Result<(), TestCaseError> {
    let selection = recipe.program().solve(tight_options(method)).expect("solves");
    let loss = Loss::of_numbers(&selection, numbers.iter().copied().cycle());
    let gradients = selection.pullback(loss.upstream()).expect("pulls back");
    // Differences straddle a kink where a condition holds by less than a few steps: not defined there.
    prop_assume!(gradients.diagnostics.margin > 40.0 * step(recipe.options.regulariser.eps()));
    prop_assume!(gradients.diagnostics.conditioning > 1e-9);
    prop_assert!(gradients.diagnostics.backward_residual < 1e-10);
    for (name, error) in errors(recipe, &loss, &gradients, method) {
        prop_assert!(error < TOLERANCE, "{name}: {error:.2e}\n{:?}", gradients.diagnostics);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn structured(recipe in recipes(1usize..8, 0usize..5, norms(), smoothed()), loss in directions()) {
        check(&recipe, &loss, Method::Structured)?;
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn reference(recipe in recipes(1usize..5, 0usize..4, norms(), smoothed()), loss in directions()) {
        check(&recipe, &loss, Method::Reference)?;
    }
}

/// Programs with many live groups (conjugate gradients instead of a factorisation), along random directions
/// of the costs. 1e-6: at this size some condition nearly always holds by less than the step moves the
/// multipliers, and a kink inside the stencil costs its share of the difference.
#[test]
fn large_programs_along_a_direction() {
    for (seed, norm, m) in [(1, Norm::Two, 60), (2, Norm::Infinity, 60), (3, Norm::Infinity, 0)] {
        let recipe = recipe(seed, 200, m, norm, Regulariser::Quadratic(0.05));
        let selection = recipe.program().solve(tight_options(Method::Structured)).unwrap();
        let loss = Loss::random(&selection, seed);
        let gradients = selection.pullback(loss.upstream()).unwrap();
        assert!(gradients.diagnostics.backward_residual < 1e-11, "{:?}", gradients.diagnostics);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let along = recipe.costs.map(|_| rng.random_range(-1.0..1.0));
        let step = (0.02 * gradients.diagnostics.margin).clamp(1e-8, 1e-5);
        let slope = difference(&recipe, &loss, Method::Structured, step, |r, h| {
            r.costs += &along * h;
        });
        let exact = gradients.costs.dot(&along);
        assert!((slope - exact).abs() < 1e-6 * exact.abs().max(1.0), "{norm:?} {slope} {exact}");
    }
}

/// The perturbed derivative tends to the exact one: its error falls with the square of the perturbation, and
/// at 1e-4 of the mean cost (eps is 5 to 50 % of it) is below 1e-3.
#[test]
fn a_small_perturbation_gives_the_exact_gradient() {
    for seed in 0..30 {
        for norm in [Norm::One, Norm::Two, Norm::Infinity] {
            for regulariser in [Regulariser::Quadratic(0.1), Regulariser::Entropic(0.2)] {
                let recipe = recipe(seed, 6, 3, norm, regulariser);
                let selection = recipe.program().solve(tight_options(Method::Structured)).unwrap();
                let loss = Loss::random(&selection, seed);
                let exact = selection.pullback(loss.upstream()).unwrap();
                if exact.diagnostics.margin < 3e-3 || exact.diagnostics.conditioning < 1e-6 {
                    continue;
                }
                let options = tight_options(Method::Structured);
                let near = selection.pullback_perturbed(loss.upstream(), 1e-4, options).unwrap();
                for (kind, a, b) in [
                    ("costs", exact.costs.as_slice(), near.costs.as_slice()),
                    ("column costs", exact.column_costs.as_slice(), near.column_costs.as_slice()),
                    ("row masses", exact.row_masses.as_slice(), near.row_masses.as_slice()),
                    ("budgets", exact.budgets.as_slice(), near.budgets.as_slice()),
                    ("eps", &[exact.eps], &[near.eps]),
                ] {
                    let error = scaled_error(a, b);
                    assert!(
                        error < 1e-3,
                        "seed {seed} {norm:?} {regulariser:?} {kind} {error:.1e}"
                    );
                }
            }
        }
    }
}

/// Linear programs: the exact gradient is zero, the perturbed one leads downhill. A step against it, long
/// enough to change the vertex, must not raise the loss, and must lower it most of the time.
#[test]
fn perturbed_gradients_of_linear_programs_lead_downhill() {
    let mut lowered = 0;
    for seed in 0..20 {
        for norm in [Norm::One, Norm::Infinity] {
            let mut recipe = recipe(seed, 6, 4, norm, Regulariser::None);
            recipe.options.groups = None;
            recipe.options.column_costs = None;
            recipe.budget = Budget::Absolute(2.0);
            let selection = recipe.program().solve(Method::Auto).unwrap();
            let loss = Loss::random(&selection, seed);
            let gradients =
                selection.pullback_perturbed(loss.upstream(), 0.3, Method::Auto).unwrap();
            let before = loss.of(&selection);
            let mut best = f64::INFINITY;
            for step in [0.03, 0.1, 0.3] {
                let mut moved = recipe.clone();
                moved.costs -= &gradients.costs * (step / gradients.costs.amax().max(1e-9));
                best = best.min(loss.of(&moved.program().solve(Method::Auto).unwrap()));
            }
            // The interior point is exact to about 1e-7.
            assert!(best <= before + 1e-6, "seed {seed} {norm:?}: {before} to {best}");
            lowered += usize::from(best < before - 1e-3);
        }
    }
    assert!(lowered >= 30, "lowered {lowered} of 40");
}

/// A linear program: its vertex does not move with the costs, and moves linearly with budget and masses.
#[test]
fn a_vertex_moves_with_the_budget_only() {
    let costs = dmatrix![
        0.0, 1.1, 2.0, 1.3;
        1.1, 0.0, 1.7, 0.6;
        2.0, 1.7, 0.0, 2.9
    ];
    for (norm, kappa) in [(Norm::One, 1.4), (Norm::Infinity, 1.4)] {
        let options = ProgramOptions { norm, regulariser: Regulariser::None, ..Default::default() };
        let recipe = Recipe { costs: costs.clone(), budget: Budget::Absolute(kappa), options };
        let selection = recipe.program().solve(Method::Auto).unwrap();
        let weights = DVector::from_vec(vec![1.0, 2.0, 3.0]);
        let upstream = Upstream { weights: Some(&weights), assignment: None };
        let gradients = selection.pullback(upstream).unwrap();
        assert!(gradients.costs.amax() < 1e-12, "{norm:?}: {}", gradients.costs);
        let at = |h: f64| {
            let mut recipe = recipe.clone();
            recipe.budget = Budget::Absolute(kappa + h);
            weights.dot(recipe.program().solve(Method::Auto).unwrap().weights())
        };
        let central = (at(1e-3) - at(-1e-3)) / 2e-3;
        // Clarabel's solution is good to about 1e-8, so the difference to 1e-5.
        assert!((gradients.budgets[0] - central).abs() < 1e-4, "{norm:?} {central} {gradients:?}");
    }
}

/// Exact ties: the derivative is one-sided, but defined, finite and reported.
#[test]
fn ties_are_reported_and_finite() {
    for norm in [Norm::One, Norm::Two, Norm::Infinity] {
        let costs = DMatrix::from_fn(4, 6, |i, j| if i == j { 0.0 } else { 1.0 });
        let budget = Budget::Absolute(2.0);
        let options = ProgramOptions { norm, ..Default::default() };
        let program = SelectionProgram::new(costs, budget, options).unwrap();
        let selection = program.solve(Method::Auto).unwrap();
        let upstream = DMatrix::from_fn(4, 6, |i, j| (i * 6 + j) as f64);
        let gradients =
            selection.pullback(Upstream { assignment: Some(&upstream), weights: None }).unwrap();
        assert!(gradients.costs.iter().all(|g| g.is_finite()));
        assert!(gradients.eps.is_finite() && gradients.budgets[0].is_finite());
        assert!(gradients.diagnostics.margin.is_finite());
    }
}

#[test]
fn bad_upstream_gradients_are_refused() {
    let program =
        SelectionProgram::new(DMatrix::zeros(2, 3), Budget::Absolute(1.0), Default::default())
            .unwrap();
    let selection = program.solve(Method::Auto).unwrap();
    let wrong = DMatrix::zeros(3, 2);
    let error =
        selection.pullback(Upstream { assignment: Some(&wrong), weights: None }).unwrap_err();
    assert!(error.to_string().contains("expected (2, 3), found (3, 2)"), "{error}");
    let nan = DVector::from_vec(vec![0.0, f64::NAN]);
    let error = selection.pullback(Upstream { weights: Some(&nan), assignment: None }).unwrap_err();
    assert!(error.to_string().contains("must be finite"), "{error}");
}

/// With a smoothing near the smallest number slopes of 1/eps are beyond the largest: that is an error, never an infinity.
#[test]
fn what_leaves_is_finite() {
    let (mut finite, mut refused) = (0, 0);
    for exponent in [-300, -307, -309, -312, -318, -323] {
        let unit = 10f64.powi(exponent);
        for regulariser in [Regulariser::Quadratic(unit), Regulariser::Entropic(unit)] {
            let costs = dmatrix![0.0, 2.0, 1.0; 1.0, 0.0, 2.0] * unit;
            let options = ProgramOptions { regulariser, ..Default::default() };
            let program = SelectionProgram::new(costs, Budget::Absolute(1.2), options);
            let Ok(selection) = program.and_then(|program| program.solve(Method::Structured))
            else {
                refused += 1;
                continue;
            };
            let loss = Loss::random(&selection, 0);
            match selection.pullback(loss.upstream()) {
                Ok(found) => {
                    let parts = [&found.column_costs, &found.row_masses, &found.budgets];
                    let mut all = parts.into_iter().flat_map(|part| part.iter());
                    assert!(found.costs.iter().chain([&found.eps]).all(|x| x.is_finite()));
                    assert!(all.all(|x| x.is_finite()));
                    finite += 1;
                }
                Err(error) => {
                    assert!(matches!(error, Error::NotFinite { .. } | Error::NotConverged { .. }));
                    refused += 1;
                }
            }
        }
    }
    assert!(finite > 0 && refused > 0, "{finite} finite, {refused} refused");
}
