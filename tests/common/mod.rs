//! Random programs for the property tests.

use std::ops::Range;

use gleaner::program::{Budget, BudgetRow, Norm, ProgramOptions, Regulariser, SelectionProgram};
use nalgebra::{DMatrix, DVector};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A program's ingredients: unlike the program itself they can be varied.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub costs: DMatrix<f64>,
    pub budget: Budget,
    pub options: ProgramOptions,
}

impl Recipe {
    pub fn program(&self) -> SelectionProgram {
        SelectionProgram::new(self.costs.clone(), self.budget.clone(), self.options.clone())
            .expect("recipes are feasible")
    }
}

/// What a recipe is drawn from.
#[derive(Clone, Debug)]
struct Draw {
    /// In the unit cube: the incoming, then the remembered.
    points: DMatrix<f64>,
    row_masses: Vec<f64>,
    grouped: bool,
    /// Where the budget lies between the smallest and a slack one.
    slack: f64,
    second_budget: Option<Vec<f64>>,
    column_costs: Option<Vec<f64>>,
}

impl Draw {
    /// Euclidean costs (zero self-cost), unequal row masses, some column costs; groups of two and a second budget row
    /// now and then; the budget from just above the smallest feasible one to slack.
    fn recipe(self, norm: Norm, regulariser: Regulariser) -> Recipe {
        let Self { points, row_masses, grouped, slack, second_budget, column_costs } = self;
        let incoming = row_masses.len();
        let remembered = points.nrows() - incoming;
        let costs = DMatrix::from_fn(incoming, incoming + remembered, |i, j| {
            (points.row(i) - points.row(j)).norm()
        });
        let groups: Option<Vec<usize>> = grouped.then(|| (0..incoming).map(|j| j / 2).collect());
        let count = if grouped { incoming.div_ceil(2) } else { incoming };
        let mass = DVector::from_vec(row_masses.clone());
        let smallest = match norm {
            Norm::One => mass.sum(),
            Norm::Two => mass.norm(),
            Norm::Infinity => mass.max(),
        };
        let largest = mass.sum().max(smallest * 1.2);
        let lowest = if remembered == 0 { smallest * 1.1 } else { 0.1 * smallest };
        let limit = lowest + slack * (1.1 * largest - lowest);
        let total = BudgetRow { coefficients: vec![1.0; count], limit };
        let first = |numbers: Vec<f64>| numbers.into_iter().take(count).collect::<Vec<_>>();
        let budget = match second_budget {
            Some(coefficients) if remembered > 0 => {
                let coefficients = first(coefficients);
                Budget::Rows(vec![total, BudgetRow { coefficients, limit: limit * 0.8 }])
            }
            _ => Budget::Absolute(limit),
        };
        let options = ProgramOptions {
            norm,
            regulariser,
            column_costs: column_costs.map(first),
            row_masses: Some(row_masses),
            groups,
            allowed: None,
        };
        Recipe { costs, budget, options }
    }
}

/// Random recipes of a few points, which shrink number by number.
pub fn recipes(
    incoming: impl Strategy<Value = usize>,
    remembered: impl Strategy<Value = usize>,
    norm: impl Strategy<Value = Norm>,
    regulariser: impl Strategy<Value = Regulariser>,
) -> impl Strategy<Value = Recipe> {
    (incoming, remembered, norm, regulariser).prop_flat_map(|(n, m, norm, regulariser)| {
        let grouped = prop::bool::weighted(if n >= 4 { 0.3 } else { 0.0 });
        let second_budget = prop::option::weighted(0.4, vec(0.0..2.0, n));
        let column_costs = prop::option::weighted(0.6, vec(0.01..0.4, n));
        let draw = (matrices(n + m, 3, 0.0..1.0), vec(0.7..1.3, n), grouped, 0.0..1.0);
        (draw, second_budget, column_costs).prop_map(move |(draw, second_budget, column_costs)| {
            let (points, row_masses, grouped, slack) = draw;
            Draw { points, row_masses, grouped, slack, second_budget, column_costs }
                .recipe(norm, regulariser)
        })
    })
}

/// One random recipe of any size.
pub fn recipe(
    seed: u64,
    incoming: usize,
    remembered: usize,
    norm: Norm,
    regulariser: Regulariser,
) -> Recipe {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let points = DMatrix::from_fn(incoming + remembered, 3, |_, _| rng.random::<f64>());
    let mut numbers = |low: f64, high: f64| -> Vec<f64> {
        (0..incoming).map(|_| rng.random_range(low..high)).collect()
    };
    let (row_masses, coefficients, prices) =
        (numbers(0.7, 1.3), numbers(0.0, 2.0), numbers(0.01, 0.4));
    let grouped = incoming >= 4 && rng.random_bool(0.3);
    let second_budget = rng.random_bool(0.4).then_some(coefficients);
    let column_costs = rng.random_bool(0.6).then_some(prices);
    let slack = rng.random();
    Draw { points, row_masses, grouped, slack, second_budget, column_costs }
        .recipe(norm, regulariser)
}

/// A matrix that shrinks entry by entry.
pub fn matrices(
    rows: usize,
    columns: usize,
    entries: Range<f64>,
) -> impl Strategy<Value = DMatrix<f64>> {
    vec(entries, rows * columns).prop_map(move |all| DMatrix::from_vec(rows, columns, all))
}

/// Numbers for an upstream gradient of any size, from the start again where they end.
pub fn directions() -> impl Strategy<Value = Vec<f64>> {
    vec(-1.0..1.0, 61) // a prime: rows of a matrix differ
}

pub fn norms() -> impl Strategy<Value = Norm> {
    prop_oneof![Just(Norm::One), Just(Norm::Two), Just(Norm::Infinity)]
}

pub fn quadratic() -> impl Strategy<Value = Regulariser> {
    (0.01f64..1.0).prop_map(Regulariser::Quadratic)
}

pub fn smoothed() -> impl Strategy<Value = Regulariser> {
    prop_oneof![
        3 => quadratic(),
        1 => (0.05f64..1.0).prop_map(Regulariser::Entropic),
    ]
}

/// How many random programs a property is tried on: few in everyday runs, more with
/// `GLEANER_CASES=2000 cargo test`.
pub fn cases(everyday: u32) -> ProptestConfig {
    let wanted = std::env::var("GLEANER_CASES").ok().and_then(|text| text.parse().ok());
    let cases = wanted.unwrap_or(everyday);
    ProptestConfig {
        cases,
        // Of the programs next to a kink, where there is no derivative to check: about one in eight.
        max_global_rejects: 1024.max(cases),
        // Beside the test, to be committed.
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource(
            "proptest-regressions",
        ))),
        ..Default::default()
    }
}
