//! Structured and reference solver agree: two algorithms that share the evaluation of the dual, and,
//! through clarabel's own answer before refinement, two that share nothing.

mod common;

use common::{Recipe, cases, directions, norms, quadratic, recipe, recipes, smoothed};
use gleaner::program::{Budget, Method, Norm, Regulariser, Selection, Upstream};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Objectives, relative. Both solutions have a KKT residual of 1e-10 and multipliers up to about ten:
/// the objective is then right to 1e-9.
const OBJECTIVE: f64 = 1e-8;
/// Dual values, relative: the dual is flat at its maximum, so it is as good as the objective; a
/// multiplier may be large where the budget is just feasible.
const DUAL: f64 = 1e-7;
/// Entries of the assignment. The objective is strongly convex with modulus eps >= 0.01, and a residual
/// of 1e-10 moves its minimiser by up to 1e-10 times the condition number of the active set, 1e3 or so.
const ASSIGNMENT: f64 = 1e-6;
/// Clarabel's own answer before refinement: 1e-4 as a rule. Its relative gap of 1e-9 bounds the squared
/// distance through strong convexity, `eps/2 |dZ|^2 <= gap`, which allows more where eps is small.
const INTERIOR_POINT: f64 = 1e-4;
/// Clarabel's relative gap, and as much again for its infeasibility.
const INTERIOR_POINT_GAP: f64 = 2e-9;
/// Gradients, relative to the largest entry of the kind (or to one, the upstream gradient's size): the
/// derivative amplifies the distance of the two solutions by 1/eps.
const GRADIENT: f64 = 1e-6;

fn solve(recipe: &Recipe, method: Method) -> Selection {
    let selection = recipe.program().solve(method).expect("solves");
    assert_eq!(selection.verdict().method, method);
    selection
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

fn agree(one: &Selection, two: &Selection) -> Result<(), TestCaseError> {
    let (a, b) = (one.verdict(), two.verdict());
    prop_assert!(close(a.primal, b.primal, OBJECTIVE), "objective {} {}", a.primal, b.primal);
    prop_assert!(close(a.dual, b.dual, DUAL), "dual {} {}", a.dual, b.dual);
    let off = (one.assignment() - two.assignment()).amax();
    prop_assert!(off < ASSIGNMENT, "assignment off by {off:.1e}");
    let off = (one.weights() - two.weights()).amax();
    // A group's sum of weights adds up its entries.
    prop_assert!(off < 10.0 * ASSIGNMENT, "weights off by {off:.1e}");
    Ok(())
}

/// The refinement started from clarabel's answer, and did not go far.
fn refined_from_nearby(reference: &Selection) -> Result<(), TestCaseError> {
    let eps = reference.program().regulariser().eps();
    let gap = INTERIOR_POINT_GAP * reference.verdict().primal.abs().max(1.0);
    let allowed = (2.0 * gap / eps).sqrt().max(INTERIOR_POINT);
    let moved = reference.verdict().refinement;
    prop_assert!(moved.is_some_and(|moved| moved < allowed), "moved by {moved:?} of {allowed:.1e}");
    Ok(())
}

fn agree_backwards(one: &Selection, two: &Selection, numbers: &[f64]) -> Result<(), TestCaseError> {
    let mut numbers = numbers.iter().copied().cycle();
    let (n, width) = one.assignment().shape();
    let assignment = DMatrix::from_iterator(n, width, numbers.by_ref().take(n * width));
    let count = one.weights().len();
    let weights = DVector::from_iterator(count, numbers.take(count));
    let upstream = Upstream { assignment: Some(&assignment), weights: Some(&weights) };
    let (a, b) = (one.pullback(upstream).unwrap(), two.pullback(upstream).unwrap());
    // Next to a change of the active set the two may stand on either side of it.
    if a.diagnostics.margin < 1e-5 || b.diagnostics.margin < 1e-5 {
        return Ok(());
    }
    let mut kinds = vec![
        ("costs", a.costs.as_slice(), b.costs.as_slice()),
        ("column costs", a.column_costs.as_slice(), b.column_costs.as_slice()),
        ("eps", std::slice::from_ref(&a.eps), std::slice::from_ref(&b.eps)),
    ];
    // Where multipliers are not unique, neither are the gradients of masses and budgets.
    if a.diagnostics.conditioning > 1e-9 && b.diagnostics.conditioning > 1e-9 {
        kinds.push(("row masses", a.row_masses.as_slice(), b.row_masses.as_slice()));
        kinds.push(("budgets", a.budgets.as_slice(), b.budgets.as_slice()));
    }
    for (kind, a, b) in kinds {
        let size = a.iter().chain(b).fold(1.0f64, |size, x| size.max(x.abs()));
        let off = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max) / size;
        prop_assert!(off < GRADIENT, "gradient of {kind} off by {off:.1e} of {size:.1e}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(200))]

    /// Groups, prices, masses and second budgets included. Entropic programs are kept small: each entry
    /// is an exponential cone to clarabel.
    #[test]
    fn on_random_programs(
        recipe in prop_oneof![
            recipes(1usize..=12, 0usize..8, norms(), quadratic()),
            recipes(1usize..=7, 0usize..8, norms(), smoothed()),
        ],
        upstream in directions(),
    ) {
        let (one, two) = (solve(&recipe, Method::Structured), solve(&recipe, Method::Reference));
        agree(&one, &two)?;
        refined_from_nearby(&two)?;
        agree_backwards(&one, &two, &upstream)?;
    }

    /// The linear program is the limit of the smoothed one: `0 <= <D, Z_eps> - <D, Z> <= eps/2 |Z|^2`,
    /// column costs included, and no entry of Z exceeds its row mass of at most 1.3.
    #[test]
    fn smoothing_tends_to_the_linear_program(
        mut recipe in recipes(
            1usize..=8, 0usize..5, prop_oneof![Just(Norm::One), Just(Norm::Infinity)], Just(Regulariser::None),
        ),
    ) {
        let n = recipe.costs.nrows();
        let sharp = solve(&recipe, Method::Reference);
        for eps in [0.3, 0.1, 0.03] {
            recipe.options.regulariser = Regulariser::Quadratic(eps);
            let smooth = solve(&recipe, Method::Structured);
            let linear = smooth.verdict().primal - 0.5 * eps * smooth.assignment().norm_squared();
            let excess = linear - sharp.verdict().primal;
            let bound = 0.5 * eps * 1.3 * 1.3 * n as f64;
            prop_assert!((-1e-7..=bound + 1e-7).contains(&excess), "{eps}: {excess:.1e}");
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// p = 1 without a regulariser: the sort against the interior point. Where the optimum is not unique the
    /// assignments may differ, the objectives may not.
    #[test]
    fn the_sort_solves_the_linear_program(
        mut recipe in recipes(1usize..=8, 0usize..5, Just(Norm::One), Just(Regulariser::None)),
    ) {
        if let Budget::Rows(rows) = &recipe.budget {
            recipe.budget = Budget::Absolute(rows[0].limit);
        }
        let (one, two) = (solve(&recipe, Method::Structured), solve(&recipe, Method::Reference));
        let (a, b) = (one.verdict(), two.verdict());
        // Clarabel's gap of 1e-8, the sort's own of rounding.
        prop_assert!(close(a.primal, b.primal, 1e-7), "objective {} {}", a.primal, b.primal);
        prop_assert!(a.gap < 1e-12, "gap {}", a.gap);
        let rows = one.assignment().column_sum() - one.program().row_masses();
        prop_assert!(rows.amax() < 1e-12);
        prop_assert!(one.weights().sum() <= one.program().limits()[0] + 1e-12);
    }
}

/// Many live groups, where conjugate gradients take over from the factorisation: the duality gap proves each
/// answer optimal without a second solver.
#[test]
fn large_programs_are_solved() {
    for (seed, norm, eps) in [
        (1, Norm::Two, 0.05),
        (2, Norm::Infinity, 0.05),
        (3, Norm::Infinity, 0.01),
        (4, Norm::Infinity, 0.2),
        (5, Norm::Two, 0.3),
        (6, Norm::One, 0.05),
    ] {
        for m in [0, 150] {
            let recipe = recipe(seed, 260, m, norm, Regulariser::Quadratic(eps));
            let selection = solve(&recipe, Method::Structured);
            let verdict = selection.verdict();
            assert!(verdict.gap < 1e-9 && verdict.residual <= 1e-10, "{norm:?} {m} {verdict:?}");
            let rows = selection.assignment().column_sum() - selection.program().row_masses();
            assert!(rows.amax() < 1e-8 && selection.assignment().min() >= 0.0);
        }
    }
}

/// Smoothed programs do not stop at clarabel's answer.
#[test]
fn the_reference_is_refined() {
    for seed in 0..u64::from(cases(60).cases) {
        let (n, m) = (1 + seed as usize % 8, seed as usize / 8 % 5);
        for norm in [Norm::One, Norm::Two, Norm::Infinity] {
            for smooth in [Regulariser::Quadratic(0.05), Regulariser::Entropic(0.1)] {
                let reference = solve(&recipe(seed, n, m, norm, smooth), Method::Reference);
                let verdict = reference.verdict();
                let name = format!("seed {seed}: n = {n} m = {m} {norm:?} {smooth:?}");
                assert!(verdict.refinement.is_some(), "{name}: {verdict:?}");
                assert!(verdict.residual <= 1e-10, "{name}: {verdict:?}");
            }
        }
    }
}

/// Costs from a small grid, so that ties abound, and budgets down to just feasible.
#[test]
fn with_ties_and_tight_budgets() {
    for seed in 0..u64::from(cases(200).cases) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (n, m) = (rng.random_range(1..=8), rng.random_range(0..5));
        let norm = [Norm::One, Norm::Two, Norm::Infinity][rng.random_range(0..3)];
        let eps = rng.random_range(0.05..1.0);
        let smooth = if rng.random_bool(0.7) {
            Regulariser::Quadratic(eps)
        } else {
            Regulariser::Entropic(eps)
        };
        let slack = [1.001, 1.05, 1.5][rng.random_range(0..3)];
        let mut recipe = recipe(seed, n, m, norm, smooth);
        recipe.costs = recipe.costs.map(|cost| (3.0 * cost).round() / 3.0);
        recipe.options.groups = None;
        recipe.options.column_costs = None;
        recipe.options.row_masses = None;
        let smallest = match norm {
            Norm::One => n as f64,
            Norm::Two => (n as f64).sqrt(),
            Norm::Infinity => 1.0,
        };
        recipe.budget = Budget::Absolute(slack * smallest * if m == 0 { 1.0 } else { 0.1 });
        agree(&solve(&recipe, Method::Structured), &solve(&recipe, Method::Reference))
            .unwrap_or_else(|off| {
                panic!("seed {seed}: n = {n} m = {m} {norm:?} {smooth:?} slack {slack}: {off}")
            });
    }
}
