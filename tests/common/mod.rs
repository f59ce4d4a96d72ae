//! Random programs for the property tests.

use gleaner::program::{Budget, BudgetRow, Norm, ProgramOptions, Regulariser, SelectionProgram};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
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

/// Points in the unit cube with Euclidean costs (zero self-cost), unequal row masses, some column
/// costs; groups of two and a second budget row now and then; the budget from just above the smallest
/// feasible one to slack.
pub fn recipe(
    seed: u64,
    incoming: usize,
    remembered: usize,
    norm: Norm,
    regulariser: Regulariser,
) -> Recipe {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let points = DMatrix::from_fn(incoming + remembered, 3, |_, _| rng.random::<f64>());
    let costs = DMatrix::from_fn(incoming, incoming + remembered, |i, j| {
        (points.row(i) - points.row(j)).norm()
    });
    let row_masses: Vec<f64> = (0..incoming).map(|_| rng.random_range(0.7..1.3)).collect();
    let grouped = incoming >= 4 && rng.random_bool(0.3);
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
    let limit = lowest + rng.random::<f64>() * (1.1 * largest - lowest);
    let total = BudgetRow { coefficients: vec![1.0; count], limit };
    let budget = if remembered > 0 && rng.random_bool(0.4) {
        let coefficients = (0..count).map(|_| rng.random_range(0.0..2.0)).collect();
        Budget::Rows(vec![total, BudgetRow { coefficients, limit: limit * 0.8 }])
    } else {
        Budget::Absolute(limit)
    };
    let column_costs =
        rng.random_bool(0.6).then(|| (0..count).map(|_| rng.random_range(0.01..0.4)).collect());
    let options = ProgramOptions {
        norm,
        regulariser,
        column_costs,
        row_masses: Some(row_masses),
        groups,
        allowed: None,
    };
    Recipe { costs, budget, options }
}

pub fn norms() -> impl Strategy<Value = Norm> {
    prop_oneof![Just(Norm::One), Just(Norm::Two), Just(Norm::Infinity)]
}

pub fn smoothed() -> impl Strategy<Value = Regulariser> {
    prop_oneof![
        3 => (0.01f64..1.0).prop_map(Regulariser::Quadratic),
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
        failure_persistence: None,
        ..Default::default()
    }
}
