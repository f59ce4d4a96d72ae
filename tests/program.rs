//! The selection program through its public door: known answers, refused inputs, optimality from
//! scratch, symmetries, and a sweep over hard instances.

#[allow(dead_code)] // this file draws no upstream gradients
mod common;

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use common::{Recipe, cases, matrices, norms, recipe, recipes, smoothed};
use gleaner::Error;
use gleaner::program::{
    Budget, BudgetRow, Method, Norm, ProgramOptions, Regulariser, Selection, SelectionProgram,
    SolveOptions,
};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Smoothed programs are solved to a relative residual of 1e-10.
const SMOOTH: f64 = 1e-8;
/// A vertex from clarabel, whose gap is below 1e-9, on instances with margins of order 0.1 to 1.
const VERTEX: f64 = 1e-6;
/// Without a regulariser p = 2 leaves a curved face: a gap of 1e-9 allows a distance of its root, 3e-5.
const CURVED: f64 = 1e-4;

const EVERY_NORM: &[Norm] = &[Norm::One, Norm::Two, Norm::Infinity];
const EVERY_METHOD: &[Method] = &[Method::Reference, Method::Structured, Method::Auto];

// ---------------------------------------------------------------------------------------------
// Known answers
// ---------------------------------------------------------------------------------------------

enum Limit {
    Total(f64),
    Share(f64),
    Rows(&'static [(&'static [f64], f64)]),
}

/// One program with its answer; empty options are left at their defaults.
struct Case {
    name: &'static str,
    norms: &'static [Norm],
    regularisers: &'static [Regulariser],
    costs: &'static [&'static [f64]],
    limit: Limit,
    column_costs: &'static [f64],
    row_masses: &'static [f64],
    groups: &'static [usize],
    assignment: &'static [&'static [f64]],
}

/// A small quadratic term leaves a vertex with margins above eps exactly where it is.
const SHARP: &[Regulariser] = &[Regulariser::None, Regulariser::Quadratic(0.01)];
const BLURRED: &[Regulariser] = &[Regulariser::Quadratic(0.3), Regulariser::Entropic(0.3)];
const EVERY: &[Regulariser] =
    &[Regulariser::None, Regulariser::Quadratic(0.1), Regulariser::Entropic(0.1)];

const BASE: Case = Case {
    name: "",
    norms: EVERY_NORM,
    regularisers: SHARP,
    costs: &[],
    limit: Limit::Total(1.0),
    column_costs: &[],
    row_masses: &[],
    groups: &[],
    assignment: &[],
};

/// Three points, 0.5, 2 and 1 away from the only exemplar and far from each other.
const FAR_APART: &[&[f64]] = &[&[0.0, 3.0, 3.0, 0.5], &[3.0, 0.0, 3.0, 2.0], &[3.0, 3.0, 0.0, 1.0]];
/// Two near-duplicates (the second stands in better for the first than the reverse), one point apart.
const PAIR: &[&[f64]] = &[&[0.0, 0.1, 4.0], &[0.2, 0.0, 4.0], &[4.0, 4.0, 0.0]];
/// The same with an exemplar, far from the pair and near the third point.
const PAIR_AND_MEMORY: &[&[f64]] =
    &[&[0.0, 0.1, 4.0, 5.0], &[0.2, 0.0, 4.0, 5.0], &[4.0, 4.0, 0.0, 1.0]];
const THIRD: f64 = 1.0 / 3.0;
const EVEN: &[&[f64]] = &[&[THIRD, THIRD, THIRD], &[THIRD, THIRD, THIRD], &[THIRD, THIRD, THIRD]];
const QUARTERS: &[&[f64]] = &[&[0.25, 0.25, 0.5], &[0.25, 0.25, 0.5]];
const EQUAL_WITH_MEMORY: &[&[f64]] = &[&[1.0, 1.0, 1.0], &[1.0, 1.0, 1.0]];
/// Four points, far from each other, 5, 4, 2 and 1 away from the only exemplar.
const FOUR: &[&[f64]] = &[
    &[0.0, 9.0, 9.0, 9.0, 5.0],
    &[9.0, 0.0, 9.0, 9.0, 4.0],
    &[9.0, 9.0, 0.0, 9.0, 2.0],
    &[9.0, 9.0, 9.0, 0.0, 1.0],
];
/// Points 0 and 1 are twice as far from memory as 2 and 3.
const TWO_GROUPS: &[&[f64]] = &[
    &[0.0, 3.0, 3.0, 3.0, 2.0],
    &[3.0, 0.0, 3.0, 3.0, 2.0],
    &[3.0, 3.0, 0.0, 3.0, 1.0],
    &[3.0, 3.0, 3.0, 0.0, 1.0],
];
const FIRST_GROUP: &[&[f64]] = &[
    &[1.0, 0.0, 0.0, 0.0, 0.0],
    &[0.0, 1.0, 0.0, 0.0, 0.0],
    &[0.0, 0.0, 0.0, 0.0, 1.0],
    &[0.0, 0.0, 0.0, 0.0, 1.0],
];
/// 1 / sqrt(5), and what is left of one.
const SHORT: f64 = 0.447_213_595_499_958;

const CASES: &[Case] = &[
    Case {
        name: "the farthest from memory is taken",
        costs: FAR_APART,
        limit: Limit::Total(1.0),
        assignment: &[&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 1.0]],
        ..BASE
    },
    Case {
        name: "the two farthest from memory are taken",
        costs: FAR_APART,
        limit: Limit::Total(2.0),
        assignment: &[&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0]],
        ..BASE
    },
    Case {
        name: "one point, no memory",
        regularisers: EVERY,
        costs: &[&[0.0]],
        limit: Limit::Share(1.0),
        assignment: &[&[1.0]],
        ..BASE
    },
    Case {
        name: "one point, one remembered",
        regularisers: EVERY,
        costs: &[&[0.0, 1.0]],
        limit: Limit::Share(0.4),
        assignment: &[&[0.4, 0.6]],
        ..BASE
    },
    Case {
        name: "all costs zero",
        regularisers: BLURRED,
        costs: &[&[0.0, 0.0, 0.0], &[0.0, 0.0, 0.0], &[0.0, 0.0, 0.0]],
        limit: Limit::Total(3.0),
        assignment: EVEN,
        ..BASE
    },
    Case {
        name: "all costs equal",
        regularisers: BLURRED,
        costs: &[&[2.0, 2.0, 2.0], &[2.0, 2.0, 2.0], &[2.0, 2.0, 2.0]],
        limit: Limit::Total(3.0),
        assignment: EVEN,
        ..BASE
    },
    Case {
        name: "all costs equal, tight, p = 1",
        norms: &[Norm::One],
        regularisers: BLURRED,
        costs: EQUAL_WITH_MEMORY,
        limit: Limit::Total(1.0),
        assignment: QUARTERS,
        ..BASE
    },
    Case {
        name: "all costs equal, tight, p = 2",
        norms: &[Norm::Two],
        regularisers: BLURRED,
        costs: EQUAL_WITH_MEMORY,
        limit: Limit::Total(FRAC_1_SQRT_2),
        assignment: QUARTERS,
        ..BASE
    },
    Case {
        name: "all costs equal, tight, p = inf",
        norms: &[Norm::Infinity],
        regularisers: BLURRED,
        costs: EQUAL_WITH_MEMORY,
        limit: Limit::Total(0.5),
        assignment: QUARTERS,
        ..BASE
    },
    Case {
        name: "slack: each point represents itself",
        regularisers: &[Regulariser::None, Regulariser::Quadratic(0.5)],
        costs: &[&[0.0, 1.0, 1.0], &[1.0, 0.0, 1.0], &[1.0, 1.0, 0.0]],
        limit: Limit::Total(3.0),
        assignment: &[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]],
        ..BASE
    },
    Case {
        name: "p = inf: near-duplicates share one representative",
        norms: &[Norm::Infinity],
        costs: PAIR,
        limit: Limit::Total(2.0),
        assignment: &[&[0.0, 1.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]],
        ..BASE
    },
    Case {
        name: "p = inf: the budget left goes to the third point",
        norms: &[Norm::Infinity],
        costs: PAIR_AND_MEMORY,
        limit: Limit::Total(2.0),
        assignment: &[&[0.0, 1.0, 0.0, 0.0], &[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0]],
        ..BASE
    },
    Case {
        name: "p = 1: both near-duplicates are taken",
        norms: &[Norm::One],
        costs: PAIR_AND_MEMORY,
        limit: Limit::Total(2.0),
        assignment: &[&[1.0, 0.0, 0.0, 0.0], &[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 1.0]],
        ..BASE
    },
    Case {
        name: "p = 2: a weight is shared in proportion to what it saves",
        norms: &[Norm::Two],
        regularisers: &[Regulariser::None],
        costs: &[&[0.0, 9.0, 1.0], &[0.0, 9.0, 2.0]],
        limit: Limit::Total(1.0),
        assignment: &[&[SHORT, 0.0, 1.0 - SHORT], &[2.0 * SHORT, 0.0, 1.0 - 2.0 * SHORT]],
        ..BASE
    },
    Case {
        name: "everything remembered at zero cost",
        costs: &[&[0.0, 1.0, 0.0, 1.0], &[1.0, 0.0, 1.0, 0.0]],
        limit: Limit::Total(2.0),
        column_costs: &[0.1, 0.1],
        assignment: &[&[0.0, 0.0, 1.0, 0.0], &[0.0, 0.0, 0.0, 1.0]],
        ..BASE
    },
    Case {
        name: "a point dearer than memory is left out",
        costs: &[&[0.0, 9.0, 1.0], &[9.0, 0.0, 1.0]],
        limit: Limit::Total(2.0),
        column_costs: &[0.5, 2.0],
        assignment: &[&[1.0, 0.0, 0.0], &[0.0, 0.0, 1.0]],
        ..BASE
    },
    Case {
        name: "unequal row masses",
        costs: &[&[0.0, 9.0], &[9.0, 0.0]],
        limit: Limit::Total(2.5),
        row_masses: &[2.0, 0.5],
        assignment: &[&[2.0, 0.0], &[0.0, 0.5]],
        ..BASE
    },
    Case {
        name: "a group as a whole, p = 1",
        norms: &[Norm::One],
        costs: TWO_GROUPS,
        limit: Limit::Total(2.0),
        groups: &[0, 0, 1, 1],
        assignment: FIRST_GROUP,
        ..BASE
    },
    Case {
        name: "a group as a whole, p = 2",
        norms: &[Norm::Two],
        costs: TWO_GROUPS,
        limit: Limit::Total(SQRT_2),
        groups: &[0, 0, 1, 1],
        assignment: FIRST_GROUP,
        ..BASE
    },
    Case {
        name: "a group as a whole, p = inf",
        norms: &[Norm::Infinity],
        costs: TWO_GROUPS,
        limit: Limit::Total(1.0),
        groups: &[0, 0, 1, 1],
        assignment: FIRST_GROUP,
        ..BASE
    },
    Case {
        name: "one budget for all takes the first class",
        costs: FOUR,
        limit: Limit::Total(2.0),
        assignment: &[
            &[1.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 1.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 1.0],
            &[0.0, 0.0, 0.0, 0.0, 1.0],
        ],
        ..BASE
    },
    Case {
        name: "a quota a class takes one of each",
        costs: FOUR,
        limit: Limit::Rows(&[(&[1.0, 1.0, 0.0, 0.0], 1.0), (&[0.0, 0.0, 1.0, 1.0], 1.0)]),
        assignment: &[
            &[1.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 1.0],
            &[0.0, 0.0, 1.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 1.0],
        ],
        ..BASE
    },
    Case {
        name: "knapsack: what a point saves counts by its price",
        costs: &[&[0.0, 9.0, 9.0, 5.0], &[9.0, 0.0, 9.0, 2.0], &[9.0, 9.0, 0.0, 2.0]],
        limit: Limit::Rows(&[(&[3.0, 1.0, 1.0], 2.0)]),
        assignment: &[&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0]],
        ..BASE
    },
];

fn matrix(rows: &[&[f64]]) -> DMatrix<f64> {
    DMatrix::from_fn(rows.len(), rows[0].len(), |i, j| rows[i][j])
}

impl Case {
    fn recipe(&self, norm: Norm, regulariser: Regulariser) -> Recipe {
        let given = |values: &[f64]| (!values.is_empty()).then(|| values.to_vec());
        let budget = match self.limit {
            Limit::Total(kappa) => Budget::Absolute(kappa),
            Limit::Share(fraction) => Budget::Fraction(fraction),
            Limit::Rows(rows) => Budget::Rows(
                rows.iter()
                    .map(|&(a, limit)| BudgetRow { coefficients: a.to_vec(), limit })
                    .collect(),
            ),
        };
        let options = ProgramOptions {
            norm,
            regulariser,
            column_costs: given(self.column_costs),
            row_masses: given(self.row_masses),
            groups: (!self.groups.is_empty()).then(|| self.groups.to_vec()),
            allowed: None,
        };
        Recipe { costs: matrix(self.costs), budget, options }
    }
}

fn solves(method: Method, regulariser: Regulariser) -> bool {
    method != Method::Structured || regulariser != Regulariser::None
}

#[test]
fn every_method_answers_every_case() {
    for case in CASES {
        for (&norm, &regulariser) in
            case.norms.iter().flat_map(|norm| case.regularisers.iter().map(move |r| (norm, r)))
        {
            for &method in EVERY_METHOD.iter().filter(|&&method| solves(method, regulariser)) {
                let name = format!("{}: {norm:?} {regulariser:?} {method:?}", case.name);
                let recipe = case.recipe(norm, regulariser);
                let selection = recipe
                    .program()
                    .solve(method)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                let tolerance = match (regulariser, norm) {
                    (Regulariser::None, Norm::Two) => CURVED,
                    (Regulariser::None, _) => VERTEX,
                    _ => SMOOTH,
                };
                let expected = matrix(case.assignment);
                let off = (selection.assignment() - &expected).amax();
                assert!(off < tolerance, "{name}: off by {off:.1e}, {}", selection.assignment());
                let weights = weights_of(&recipe, &expected);
                let off = (selection.weights() - &weights).amax();
                assert!(off < 10.0 * tolerance, "{name}: {} not {weights}", selection.weights());
                assert_eq!(selection.verdict().fallback, None, "{name}");
                assert_ne!(selection.verdict().method, Method::Auto, "{name}");
            }
        }
    }
}

#[test]
fn a_fraction_is_relative_to_the_incoming_points() {
    for seed in 0..5 {
        let mut recipe = recipe(seed, 6, 3, Norm::Infinity, Regulariser::Quadratic(0.1));
        recipe.options.groups = None;
        recipe.options.column_costs = None;
        let mut solve = |budget| {
            recipe.budget = budget;
            recipe.program().solve(Method::Auto).expect("solves")
        };
        let (share, total) = (solve(Budget::Fraction(0.25)), solve(Budget::Absolute(1.5)));
        assert_eq!(share.assignment(), total.assignment());
        assert_eq!(share.program().limits()[0], 1.5);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// p = 1 without a regulariser: a point saves what its nearest exemplar costs, minus the cheapest
    /// incoming column; the budget goes to the largest savings first.
    #[test]
    fn the_linear_program_of_p_one_is_a_sort(
        given in (1usize..9, 1usize..5).prop_flat_map(|(n, m)| matrices(n, n + m, 0.01..2.0)),
        // Just below a budget that is slack, the optimum is next to nothing.
        share in prop_oneof![0.02f64..1.0, (-5.0f64..-1.0).prop_map(|less| 1.0 - 10f64.powf(less))],
    ) {
        let (n, m) = (given.nrows(), given.ncols() - given.nrows());
        let costs = given.map_with_location(|i, j, cost| if i == j { 0.0 } else { cost });
        let kappa = share * n as f64;
        let mut left = kappa;
        let cheapest = |i: usize, from: usize, to: usize| {
            (from..to).map(|j| costs[(i, j)]).fold(f64::INFINITY, f64::min)
        };
        let mut expected = (0..n).map(|i| cheapest(i, n, n + m)).sum::<f64>();
        let mut savings: Vec<f64> = (0..n).map(|i| cheapest(i, n, n + m)).collect();
        savings.sort_by(|a, b| b.total_cmp(a));
        for saving in savings {
            expected -= saving * left.min(1.0);
            left -= left.min(1.0);
        }
        let options = ProgramOptions {
            norm: Norm::One, regulariser: Regulariser::None, ..Default::default()
        };
        let program = SelectionProgram::new(costs.clone(), Budget::Absolute(kappa), options).unwrap();
        for method in [Method::Reference, Method::Auto] {
            let tight = SolveOptions { method, reference_tolerance: 1e-9, ..Default::default() };
            let selection = program.solve(tight).unwrap();
            let off = (selection.verdict().primal - expected).abs();
            // A gap up to 1e-6 is accepted, and a budget overspent by 1e-9, which saves up to 2 a unit.
            prop_assert!(off <= 1e-6 * expected + 2e-9 * kappa, "{method:?} is off by {off:e}");
            // Which point is chosen is defined up to equal savings. A gap of 1e-9 (costs sum to ten
            // or so) lets 1e-8 / MARGIN be spent on the wrong point.
            const MARGIN: f64 = 1e-2;
            for i in 0..n {
                let saving = cheapest(i, n, n + m);
                let better =
                    (0..n).filter(|&k| cheapest(k, n, n + m) > saving - MARGIN).count() as f64;
                let worse = (0..n).filter(|&k| cheapest(k, n, n + m) < saving + MARGIN).count() as f64;
                let weight = selection.weights()[i];
                if better <= kappa {
                    prop_assert!((weight - 1.0).abs() < VERTEX, "{i} is taken: {weight}");
                }
                if n as f64 - worse >= kappa {
                    prop_assert!(weight < VERTEX, "{i} is not taken: {weight}");
                }
            }
        }
    }

    /// With p = 1 and slack budget the rows do not meet: softmax, or projection on the simplex.
    #[test]
    fn rows_alone_have_closed_forms(
        costs in (1usize..5, 1usize..6).prop_flat_map(|(n, m)| matrices(n, n + m, 0.0..2.0)),
        eps in 0.05f64..2.0,
    ) {
        let n = costs.nrows();
        type Row = fn(&[f64]) -> Vec<f64>;
        let forms = [
            (Regulariser::Quadratic(eps), project_to_simplex as Row),
            (Regulariser::Entropic(eps), softmax as Row),
        ];
        for (regulariser, form) in forms {
            let options = ProgramOptions { norm: Norm::One, regulariser, ..Default::default() };
            let program =
                SelectionProgram::new(costs.clone(), Budget::Fraction(1.0), options).unwrap();
            for &method in EVERY_METHOD {
                let selection = program.solve(method).unwrap();
                for i in 0..n {
                    let point: Vec<f64> = costs.row(i).iter().map(|cost| -cost / eps).collect();
                    for (found, expected) in selection.assignment().row(i).iter().zip(form(&point)) {
                        prop_assert!((found - expected).abs() < SMOOTH, "{regulariser:?} {method:?}");
                    }
                }
            }
        }
    }
}

/// Nearest point of the probability simplex, by sorting.
fn project_to_simplex(point: &[f64]) -> Vec<f64> {
    let mut sorted = point.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut level) = (0.0, 0.0);
    for (k, &value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (k + 1) as f64;
        if value > candidate {
            level = candidate;
        }
    }
    point.iter().map(|value| (value - level).max(0.0)).collect()
}

fn softmax(point: &[f64]) -> Vec<f64> {
    let largest = point.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = point.iter().map(|value| (value - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

// ---------------------------------------------------------------------------------------------
// Refused inputs
// ---------------------------------------------------------------------------------------------

/// Two incoming points, one exemplar, nothing wrong.
fn sound() -> Recipe {
    let costs = DMatrix::from_row_slice(2, 3, &[0.0, 1.0, 2.0, 1.0, 0.0, 2.0]);
    Recipe { costs, budget: Budget::Absolute(1.0), options: ProgramOptions::default() }
}

struct Refusal {
    name: &'static str,
    spoil: fn(&mut Recipe),
    variant: fn(&Error) -> bool,
    says: &'static str,
}

fn shape(error: &Error) -> bool {
    matches!(error, Error::Shape { .. })
}

fn range(error: &Error) -> bool {
    matches!(error, Error::OutOfRange { .. })
}

fn not_finite(error: &Error) -> bool {
    matches!(error, Error::NotFinite { .. })
}

fn one_row(coefficients: &[f64], limit: f64) -> Budget {
    Budget::Rows(vec![BudgetRow { coefficients: coefficients.to_vec(), limit }])
}

const REFUSALS: &[Refusal] = &[
    Refusal {
        name: "no costs",
        spoil: |r| r.costs = DMatrix::zeros(0, 0),
        variant: shape,
        says: "costs: expected n rows and n + m columns, n >= 1, m >= 0, found 0 x 0",
    },
    Refusal {
        name: "columns without rows",
        spoil: |r| r.costs = DMatrix::zeros(0, 3),
        variant: shape,
        says: "costs: expected n rows and n + m columns, n >= 1, m >= 0, found 0 x 3",
    },
    Refusal {
        name: "more rows than columns",
        spoil: |r| r.costs = DMatrix::zeros(3, 2),
        variant: shape,
        says: "costs: expected n rows and n + m columns, n >= 1, m >= 0, found 3 x 2",
    },
    Refusal {
        name: "NaN cost",
        spoil: |r| r.costs[(1, 2)] = f64::NAN,
        variant: not_finite,
        says: "costs must be finite, found NaN at row 1, column 2",
    },
    Refusal {
        name: "infinite cost",
        spoil: |r| r.costs[(0, 1)] = f64::INFINITY,
        variant: not_finite,
        says: "costs must be finite, found inf at row 0, column 1",
    },
    Refusal {
        name: "minus infinite cost",
        spoil: |r| r.costs[(1, 0)] = f64::NEG_INFINITY,
        variant: not_finite,
        says: "costs must be finite, found -inf at row 1, column 0",
    },
    Refusal {
        name: "eps zero, quadratic",
        spoil: |r| r.options.regulariser = Regulariser::Quadratic(0.0),
        variant: range,
        says: "eps must be > 0 and finite, found 0",
    },
    Refusal {
        name: "eps negative, entropic",
        spoil: |r| r.options.regulariser = Regulariser::Entropic(-0.5),
        variant: range,
        says: "eps must be > 0 and finite, found -0.5",
    },
    Refusal {
        name: "eps NaN, quadratic",
        spoil: |r| r.options.regulariser = Regulariser::Quadratic(f64::NAN),
        variant: range,
        says: "eps must be > 0 and finite, found NaN",
    },
    Refusal {
        name: "eps infinite, entropic",
        spoil: |r| r.options.regulariser = Regulariser::Entropic(f64::INFINITY),
        variant: range,
        says: "eps must be > 0 and finite, found inf",
    },
    Refusal {
        name: "budget zero",
        spoil: |r| r.budget = Budget::Absolute(0.0),
        variant: range,
        says: "budget must be > 0 and finite, found 0",
    },
    Refusal {
        name: "budget negative",
        spoil: |r| r.budget = Budget::Absolute(-1.0),
        variant: range,
        says: "budget must be > 0 and finite, found -1",
    },
    Refusal {
        name: "budget NaN",
        spoil: |r| r.budget = Budget::Absolute(f64::NAN),
        variant: range,
        says: "budget must be > 0 and finite, found NaN",
    },
    Refusal {
        name: "fraction zero",
        spoil: |r| r.budget = Budget::Fraction(0.0),
        variant: range,
        says: "budget fraction must be > 0 and finite, found 0",
    },
    Refusal {
        name: "fraction negative",
        spoil: |r| r.budget = Budget::Fraction(-0.1),
        variant: range,
        says: "budget fraction must be > 0 and finite, found -0.1",
    },
    Refusal {
        name: "fraction NaN",
        spoil: |r| r.budget = Budget::Fraction(f64::NAN),
        variant: range,
        says: "budget fraction must be > 0 and finite, found NaN",
    },
    Refusal {
        name: "fraction above one",
        spoil: |r| r.budget = Budget::Fraction(1.5),
        variant: range,
        says: "budget fraction must be at most 1, found 1.5",
    },
    Refusal {
        name: "no budget rows",
        spoil: |r| r.budget = Budget::Rows(Vec::new()),
        variant: shape,
        says: "budget rows: expected",
    },
    Refusal {
        name: "limit zero",
        spoil: |r| r.budget = one_row(&[1.0, 1.0], 0.0),
        variant: range,
        says: "budget must be > 0 and finite, found 0",
    },
    Refusal {
        name: "coefficients of the wrong length",
        spoil: |r| r.budget = one_row(&[1.0], 1.0),
        variant: shape,
        says: "budget coefficients: expected 2, found 1",
    },
    Refusal {
        name: "coefficients a column where groups are given",
        spoil: |r| {
            r.options.groups = Some(vec![0, 0]);
            r.budget = one_row(&[1.0, 1.0], 1.0);
        },
        variant: shape,
        says: "budget coefficients: expected 1, found 2",
    },
    Refusal {
        name: "negative coefficient",
        spoil: |r| r.budget = one_row(&[1.0, -2.0], 1.0),
        variant: range,
        says: "budget coefficient must be >= 0, found -2",
    },
    Refusal {
        name: "NaN coefficient",
        spoil: |r| r.budget = one_row(&[1.0, f64::NAN], 1.0),
        variant: not_finite,
        says: "budget coefficients must be finite, found NaN",
    },
    Refusal {
        name: "negative column cost",
        spoil: |r| r.options.column_costs = Some(vec![0.0, -0.5]),
        variant: range,
        says: "column cost must be >= 0, found -0.5",
    },
    Refusal {
        name: "NaN column cost",
        spoil: |r| r.options.column_costs = Some(vec![0.0, f64::NAN]),
        variant: not_finite,
        says: "column costs must be finite, found NaN",
    },
    Refusal {
        name: "column costs of the wrong length",
        spoil: |r| r.options.column_costs = Some(vec![0.0; 3]),
        variant: shape,
        says: "column costs: expected 2, found 3",
    },
    Refusal {
        name: "row mass zero",
        spoil: |r| r.options.row_masses = Some(vec![1.0, 0.0]),
        variant: range,
        says: "row mass must be > 0 and finite, found 0",
    },
    Refusal {
        name: "row mass negative",
        spoil: |r| r.options.row_masses = Some(vec![-1.0, 1.0]),
        variant: range,
        says: "row mass must be > 0 and finite, found -1",
    },
    Refusal {
        name: "row mass NaN",
        spoil: |r| r.options.row_masses = Some(vec![1.0, f64::NAN]),
        variant: not_finite,
        says: "row masses must be finite, found NaN",
    },
    Refusal {
        name: "row masses of the wrong length",
        spoil: |r| r.options.row_masses = Some(vec![1.0]),
        variant: shape,
        says: "row masses: expected 2, found 1",
    },
    Refusal {
        name: "groups of the wrong length",
        spoil: |r| r.options.groups = Some(vec![0, 0, 1]),
        variant: shape,
        says: "groups: expected 2, found 3",
    },
    Refusal {
        name: "a gap in the group numbers",
        spoil: |r| r.options.groups = Some(vec![0, 2]),
        variant: shape,
        says: "groups: expected every number in 0..q used, found no column in group 1",
    },
    Refusal {
        name: "group numbers that do not start at zero",
        spoil: |r| r.options.groups = Some(vec![1, 1]),
        variant: shape,
        says: "groups: expected every number in 0..q used, found no column in group 0",
    },
    Refusal {
        name: "group number out of range",
        spoil: |r| r.options.groups = Some(vec![0, 9]),
        variant: range,
        says: "group number must be in 0..q without gaps, found 9",
    },
    Refusal {
        name: "absurd group number",
        spoil: |r| r.options.groups = Some(vec![usize::MAX, 0]),
        variant: range,
        says: "group number must be in 0..q without gaps, found 18446744073709552000",
    },
];

fn door(recipe: &Recipe) -> gleaner::Result<SelectionProgram> {
    SelectionProgram::new(recipe.costs.clone(), recipe.budget.clone(), recipe.options.clone())
}

#[test]
fn bad_inputs_are_refused_at_the_door() {
    assert!(door(&sound()).is_ok());
    for refusal in REFUSALS {
        let mut recipe = sound();
        (refusal.spoil)(&mut recipe);
        let error = door(&recipe).expect_err(refusal.name);
        assert!((refusal.variant)(&error), "{}: {error:?}", refusal.name);
        assert!(error.to_string().starts_with(refusal.says), "{}: {error}", refusal.name);
    }
}

#[test]
fn without_memory_the_smallest_budget_is_named_and_accepted() {
    for (norm, expected) in [(Norm::One, 9.0), (Norm::Two, 3.0), (Norm::Infinity, 1.0)] {
        let mut recipe = recipe(1, 9, 0, norm, Regulariser::Quadratic(0.1));
        recipe.options = ProgramOptions { norm, ..Default::default() };
        recipe.budget = Budget::Absolute(0.9 * expected);
        let error = door(&recipe).unwrap_err();
        let Error::Infeasible { budget, smallest, .. } = error else { panic!("{norm:?}: {error}") };
        assert_eq!((budget, smallest), (0.9 * expected, expected), "{norm:?}");
        let says = format!("at least {expected}, found {}", 0.9 * expected);
        assert!(error.to_string().ends_with(&says), "{norm:?}: {error}");
        recipe.budget = Budget::Absolute(smallest);
        assert!(door(&recipe).is_ok(), "{norm:?}");
        recipe.budget = Budget::Absolute(smallest * (1.0 - 1e-9));
        assert!(matches!(door(&recipe), Err(Error::Infeasible { .. })), "{norm:?}");
    }
}

proptest! {
    #![proptest_config(cases(40))]

    /// Groups, masses and prices included, the smallest budget is the smallest: below it the door
    /// refuses, a little above it there is a solution.
    #[test]
    fn the_smallest_budget_is_sharp(
        mut recipe in recipes(1usize..8, Just(0usize), norms(), smoothed()),
        prices in prop::collection::vec(0.2..2.0f64, 8),
    ) {
        let coefficients = &prices[..parts(&recipe).groups.len()];
        recipe.budget = one_row(coefficients, 1e-9);
        let error = door(&recipe).unwrap_err();
        let Error::Infeasible { smallest, .. } = error else { panic!("{error}") };
        recipe.budget = one_row(coefficients, 0.999 * smallest);
        prop_assert!(door(&recipe).is_err());
        recipe.budget = one_row(coefficients, 1.01 * smallest);
        let selection = recipe.program().solve(Method::Auto);
        prop_assert!(selection.is_ok(), "{:?}", selection.err());
    }
}

#[test]
fn budgets_that_exclude_each_other_are_an_error() {
    // Each budget alone can be met (by point 1, by point 0), both together cannot.
    let rows = [
        BudgetRow { coefficients: vec![1.0, 0.1], limit: 0.3 },
        BudgetRow { coefficients: vec![0.1, 1.0], limit: 0.3 },
    ];
    let mut recipe = sound();
    recipe.costs = recipe.costs.columns(0, 2).into_owned();
    for &norm in EVERY_NORM {
        let scale = match norm {
            Norm::One => 2.0,
            Norm::Two => SQRT_2,
            Norm::Infinity => 1.0,
        };
        let scaled = rows.iter().cloned().map(|row| BudgetRow { limit: row.limit * scale, ..row });
        recipe.budget = Budget::Rows(scaled.collect());
        for &regulariser in EVERY {
            recipe.options = ProgramOptions { norm, regulariser, ..Default::default() };
            let program = recipe.program();
            for &method in EVERY_METHOD.iter().filter(|&&method| solves(method, regulariser)) {
                let name = format!("{norm:?} {regulariser:?} {method:?}");
                let error = program.solve(method).expect_err(&name);
                match method {
                    // The dual is unbounded; that it does not converge is all this solver knows.
                    Method::Structured => {
                        assert!(matches!(error, Error::NotConverged { .. }), "{name}: {error}");
                    }
                    _ => {
                        assert!(
                            matches!(error, Error::InfeasibleProgram { .. }),
                            "{name}: {error}"
                        );
                        assert!(error.to_string().contains("no assignment meets all budgets"));
                    }
                }
            }
        }
    }
}

/// Clarabel's gap is 1e-8 of the objective.
#[test]
fn structured_solves_linear_programs_too() {
    for seed in 0..20 {
        for norm in [Norm::One, Norm::Two, Norm::Infinity] {
            let recipe = recipe(seed, 7, (seed % 4) as usize, norm, Regulariser::None);
            let solve = |method| recipe.program().solve(method).unwrap().verdict().clone();
            let (ours, reference) = (solve(Method::Structured), solve(Method::Reference));
            assert_eq!(ours.method, Method::Structured);
            assert!((ours.primal - reference.primal).abs() <= 1e-7 * (1.0 + reference.primal));
        }
    }
}

/// So large that threads share the work: groups and remembered columns stay where they belong, and the bits are those of one
/// thread.
#[test]
fn large_programs_have_the_same_bits_for_any_number_of_threads() {
    let (n, m) = (700, 120);
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let points: Vec<[f64; 3]> = (0..n + m).map(|_| rng.random()).collect();
    let apart = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let costs = DMatrix::from_fn(n, n + m, |i, j| apart(points[i], points[j]));
    for groups in [None, Some((0..n).map(|j| j % 97).collect())] {
        let options = ProgramOptions {
            norm: Norm::Infinity,
            regulariser: Regulariser::Quadratic(0.02),
            groups,
            ..Default::default()
        };
        let budget = Budget::Absolute(40.0);
        let program = SelectionProgram::new(costs.clone(), budget, options).unwrap();
        let solved = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| program.solve(SolveOptions::default()).unwrap())
        };
        let (one, three) = (solved(1), solved(3));
        assert_eq!(one.assignment(), three.assignment());
        assert_eq!(one.row_multipliers(), three.row_multipliers());
        assert!(one.verdict().gap < 1e-7, "{:?}", one.verdict());
    }
}

/// A price of a unit of weight from nothing to far beyond every cost: the solve ends, and every row is served.
#[test]
fn prices_out_of_all_proportion_end() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for (n, m) in [(1, 0), (2, 0), (3, 1), (5, 0), (5, 1), (8, 0), (25, 0), (25, 1)] {
        for power in -100..100 {
            let points: Vec<[f64; 3]> = (0..n + m).map(|_| rng.random()).collect();
            let apart =
                |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
            let costs = DMatrix::from_fn(n, n + m, |i, j| apart(points[i], points[j]));
            for norm in [Norm::One, Norm::Two, Norm::Infinity] {
                let options = ProgramOptions {
                    norm,
                    regulariser: Regulariser::Quadratic(10f64.powi(rng.random_range(-6..1))),
                    column_costs: Some(vec![10f64.powf(f64::from(power) + rng.random::<f64>()); n]),
                    ..Default::default()
                };
                let budget = Budget::Absolute(2.0 * n as f64);
                let program = SelectionProgram::new(costs.clone(), budget, options).unwrap();
                // Where the price leaves no digits for the costs an error may say so.
                match program.solve(SolveOptions { tolerance: 1e-6, ..Default::default() }) {
                    Ok(solved) => {
                        for row in solved.assignment().row_iter() {
                            assert!((row.sum() - 1.0).abs() < 1e-6, "1e{power} {norm:?}: {row}");
                        }
                    }
                    Err(error) => assert!(power > 6, "1e{power} {norm:?}: {error}"),
                }
            }
        }
    }
}

#[test]
fn a_solve_that_did_not_finish_is_an_error() {
    let program = recipe(3, 8, 4, Norm::Infinity, Regulariser::Quadratic(0.02)).program();
    let hurried = |method| SolveOptions {
        method,
        max_iterations: 1,
        reference_max_iterations: 1,
        ..Default::default()
    };
    for (method, name) in [
        (Method::Structured, "structured"),
        (Method::Reference, "reference"),
        (Method::Auto, "reference"),
    ] {
        let error = program.solve(hurried(method)).unwrap_err();
        let Error::NotConverged { method, residual, tolerance, .. } = error else {
            panic!("{name}: {error}")
        };
        assert_eq!(method, name);
        assert!(residual.is_finite() && residual > tolerance, "{name}: {residual} {tolerance}");
        assert!(error.to_string().starts_with(&format!("{name} stopped after ")), "{error}");
    }
    let patient = SolveOptions { max_iterations: 1, ..Default::default() };
    let selection = program.solve(patient).unwrap();
    let verdict = selection.verdict();
    assert_eq!(verdict.method, Method::Reference);
    let reason = verdict.fallback.as_deref().expect("a fallback is never silent");
    assert!(reason.starts_with("structured stopped after "), "{reason}");
}

// ---------------------------------------------------------------------------------------------
// Properties, computed here from the ingredients
// ---------------------------------------------------------------------------------------------

/// A recipe with its defaults filled in.
struct Parts {
    groups: Vec<Vec<usize>>,
    column_costs: Vec<f64>,
    masses: DVector<f64>,
    rows: Vec<BudgetRow>,
}

fn parts(recipe: &Recipe) -> Parts {
    let n = recipe.costs.nrows();
    let labels = recipe.options.groups.clone().unwrap_or_else(|| (0..n).collect());
    let count = labels.iter().max().map_or(0, |&g| g + 1);
    let columns = |g: usize| (0..n).filter(|&j| labels[j] == g).collect();
    let total = |limit| vec![BudgetRow { coefficients: vec![1.0; count], limit }];
    let rows = match &recipe.budget {
        Budget::Fraction(fraction) => total(fraction * n as f64),
        Budget::Absolute(kappa) => total(*kappa),
        Budget::Rows(rows) => rows.clone(),
        other => panic!("{other:?}"),
    };
    Parts {
        groups: (0..count).map(columns).collect(),
        column_costs: recipe.options.column_costs.clone().unwrap_or(vec![0.0; count]),
        masses: recipe.options.row_masses.clone().unwrap_or(vec![1.0; n]).into(),
        rows,
    }
}

fn norm_of(norm: Norm, values: impl Iterator<Item = f64>) -> f64 {
    match norm {
        Norm::One => values.map(f64::abs).sum(),
        Norm::Two => values.map(|x| x * x).sum::<f64>().sqrt(),
        Norm::Infinity => values.map(f64::abs).fold(0.0, f64::max),
    }
}

fn dual_norm(norm: Norm) -> Norm {
    match norm {
        Norm::One => Norm::Infinity,
        Norm::Two => Norm::Two,
        Norm::Infinity => Norm::One,
    }
}

fn weights_of(recipe: &Recipe, assignment: &DMatrix<f64>) -> DVector<f64> {
    let groups = parts(recipe).groups;
    DVector::from_iterator(
        groups.len(),
        groups.iter().map(|columns| {
            let entries = columns.iter().flat_map(|&j| assignment.column(j).into_iter().copied());
            norm_of(recipe.options.norm, entries)
        }),
    )
}

fn spent(row: &BudgetRow, weights: &DVector<f64>) -> f64 {
    row.coefficients.iter().zip(weights).map(|(a, s)| a * s).sum()
}

fn objective(recipe: &Recipe, assignment: &DMatrix<f64>) -> f64 {
    let smooth = match recipe.options.regulariser {
        Regulariser::None => 0.0,
        Regulariser::Quadratic(eps) => 0.5 * eps * assignment.norm_squared(),
        Regulariser::Entropic(eps) => {
            assignment.iter().filter(|&&z| z > 0.0).map(|z| eps * z * z.ln()).sum()
        }
    };
    let prices = parts(recipe).column_costs;
    let weights = weights_of(recipe, assignment);
    recipe.costs.dot(assignment)
        + smooth
        + prices.iter().zip(&weights).map(|(c, s)| c * s).sum::<f64>()
}

/// Largest violation of stationarity over all groups. With `g = nu - D - eps phi'(Z)` (the positive
/// part where `Z = 0`) and `tau = c + G'lambda`, a group is stationary if and only if the dual norm of
/// `g` is at most `tau` and `<g, Z> = tau ||Z||`; a remembered column is the case `tau = 0`.
fn stationarity(recipe: &Recipe, selection: &Selection) -> f64 {
    let parts = parts(recipe);
    let (z, nu) = (selection.assignment(), selection.row_multipliers());
    let lambda = selection.budget_multipliers();
    let pull = |i: usize, j: usize| {
        let v = nu[i] - recipe.costs[(i, j)];
        match recipe.options.regulariser {
            Regulariser::Quadratic(eps) if z[(i, j)] > 0.0 => v - eps * z[(i, j)],
            Regulariser::Quadratic(_) | Regulariser::None => v.max(0.0),
            Regulariser::Entropic(eps) if z[(i, j)] > 0.0 => v - eps * (1.0 + z[(i, j)].ln()),
            // Underflow: the entry is below 1e-308.
            Regulariser::Entropic(_) => 0.0,
        }
    };
    let n = z.nrows();
    let mut worst = 0.0f64;
    for (g, columns) in parts.groups.iter().enumerate() {
        let entries = || columns.iter().flat_map(|&j| (0..n).map(move |i| (i, j)));
        let tau = parts.column_costs[g]
            + parts.rows.iter().zip(lambda).map(|(row, l)| row.coefficients[g] * l).sum::<f64>();
        let dual = norm_of(dual_norm(recipe.options.norm), entries().map(|(i, j)| pull(i, j)));
        let aligned = entries().map(|(i, j)| pull(i, j) * z[(i, j)]).sum::<f64>();
        worst = worst.max(dual - tau).max((aligned - tau * selection.weights()[g]).abs());
    }
    for j in n..z.ncols() {
        worst = (0..n).fold(worst, |worst, i| worst.max(pull(i, j).abs()));
    }
    worst
}

/// A random feasible assignment: random rows, mixed with one known to be feasible as far as needed.
fn feasible(recipe: &Recipe, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let parts = parts(recipe);
    let (n, width) = recipe.costs.shape();
    let random_rows = |rng: &mut ChaCha8Rng, columns: &[usize]| {
        let mut z = DMatrix::zeros(n, width);
        for i in 0..n {
            columns.iter().for_each(|&j| z[(i, j)] = rng.random::<f64>().powi(4) + 1e-3);
            let factor = parts.masses[i] / z.row(i).sum();
            z.row_mut(i).scale_mut(factor);
        }
        z
    };
    let safe = if width > n {
        random_rows(rng, &(n..width).collect::<Vec<_>>())
    } else {
        // Without memory: everything evenly on one group.
        let group = &parts.groups[rng.random_range(0..parts.groups.len())];
        DMatrix::from_fn(n, width, |i, j| {
            if group.contains(&j) { parts.masses[i] / group.len() as f64 } else { 0.0 }
        })
    };
    let wild = random_rows(rng, &(0..width).collect::<Vec<_>>());
    let mut share = 1.0;
    loop {
        let z = &safe + share * (&wild - &safe);
        let weights = weights_of(recipe, &z);
        if parts.rows.iter().all(|row| spent(row, &weights) <= row.limit) {
            return z;
        }
        share *= 0.7;
    }
}

fn solve(recipe: &Recipe) -> Selection {
    recipe.program().solve(Method::Structured).expect("solves")
}

/// The recipe with its incoming points in the order `incoming` and its exemplars in the order
/// `remembered`.
fn permuted(recipe: &Recipe, incoming: &[usize], remembered: &[usize]) -> Recipe {
    let n = incoming.len();
    let source = |j: usize| if j < n { incoming[j] } else { n + remembered[j - n] };
    let mut other = recipe.clone();
    other.costs =
        DMatrix::from_fn(n, recipe.costs.ncols(), |i, j| recipe.costs[(incoming[i], source(j))]);
    let shuffle = |values: &mut Vec<f64>| *values = incoming.iter().map(|&i| values[i]).collect();
    other.options.row_masses.iter_mut().for_each(shuffle);
    match &mut other.options.groups {
        // The groups keep their numbers, and so their costs and coefficients.
        Some(labels) => *labels = incoming.iter().map(|&i| labels[i]).collect(),
        None => {
            other.options.column_costs.iter_mut().for_each(shuffle);
            if let Budget::Rows(rows) = &mut other.budget {
                rows.iter_mut().for_each(|row| shuffle(&mut row.coefficients));
            }
        }
    }
    other
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn solutions_are_feasible_and_optimal(
        recipe in recipes(1usize..10, 0usize..7, norms(), smoothed()),
    ) {
        let smooth = recipe.options.regulariser;
        let selection = solve(&recipe);
        let (z, verdict) = (selection.assignment(), selection.verdict());
        let parts = parts(&recipe);

        prop_assert!(z.iter().all(|&z| z >= 0.0));
        for (row, mass) in z.row_iter().zip(&parts.masses) {
            prop_assert!((row.sum() - mass).abs() < 1e-9, "a row sums to {}, not {mass}", row.sum());
        }
        let weights = weights_of(&recipe, z);
        prop_assert!((selection.weights() - &weights).amax() < 1e-12);
        let lambda = selection.budget_multipliers();
        for (row, &lambda) in parts.rows.iter().zip(lambda) {
            let spent = spent(row, &weights);
            prop_assert!(spent <= row.limit * (1.0 + 1e-9), "{spent} of {}", row.limit);
            prop_assert!(lambda >= 0.0);
            prop_assert!(lambda * (row.limit - spent) < 1e-8, "{lambda} on slack {}", row.limit - spent);
        }

        // Costs are of order one, multipliers up to about ten, eps at least 0.01.
        let violation = stationarity(&recipe, &selection);
        prop_assert!(violation < 1e-9, "stationary to {violation:.1e}");

        let primal = objective(&recipe, z);
        let curvature = match smooth {
            Regulariser::Entropic(eps) => eps * z.sum(),
            other => 0.5 * other.eps() * z.norm_squared(),
        };
        let limits = parts.rows.iter().zip(lambda).map(|(row, lambda)| row.limit * lambda);
        let dual = parts.masses.dot(selection.row_multipliers()) - limits.sum::<f64>() - curvature;
        prop_assert!((verdict.primal - primal).abs() < 1e-10 * (1.0 + primal.abs()));
        prop_assert!((verdict.dual - dual).abs() < 1e-8 * (1.0 + dual.abs()), "{} {dual}", verdict.dual);
        prop_assert!(verdict.gap < 1e-8 && verdict.residual <= 1e-10, "{verdict:?}");
        prop_assert!(verdict.dual <= verdict.primal + 1e-8);
    }

    /// No feasible assignment is better; with the quadratic regulariser, strong convexity says by how
    /// much each must be worse.
    #[test]
    fn nothing_feasible_is_better(
        recipe in recipes(1usize..8, 0usize..6, norms(), smoothed()), seed in any::<u64>(),
    ) {
        let smooth = recipe.options.regulariser;
        let selection = solve(&recipe);
        let best = objective(&recipe, selection.assignment());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..10 {
            let other = feasible(&recipe, &mut rng);
            for step in [1.0, 0.1, 1e-3] {
                let move_ = step * (&other - selection.assignment());
                let growth = match smooth {
                    Regulariser::Quadratic(eps) => 0.5 * eps * move_.norm_squared(),
                    _ => 0.0,
                };
                let there = objective(&recipe, &(selection.assignment() + &move_));
                prop_assert!(there >= best + growth - 1e-8, "{step}: {there} < {best} + {growth}");
            }
        }
    }

    #[test]
    fn the_order_of_points_does_not_matter(
        recipe in recipes(1usize..9, 0usize..6, norms(), smoothed()), seed in any::<u64>(),
    ) {
        let (n, m) = (recipe.costs.nrows(), recipe.costs.ncols() - recipe.costs.nrows());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut incoming, mut remembered): (Vec<_>, Vec<_>) = ((0..n).collect(), (0..m).collect());
        incoming.shuffle(&mut rng);
        remembered.shuffle(&mut rng);
        let (one, other) = (solve(&recipe), solve(&permuted(&recipe, &incoming, &remembered)));
        for i in 0..n {
            for j in 0..n + m {
                let k = if j < n { incoming[j] } else { n + remembered[j - n] };
                let (a, b) = (one.assignment()[(incoming[i], k)], other.assignment()[(i, j)]);
                prop_assert!((a - b).abs() < 1e-7, "({i}, {j}): {a} {b}");
            }
        }
        prop_assert!((one.verdict().primal - other.verdict().primal).abs() < 1e-9);
    }

    #[test]
    fn the_unit_of_cost_does_not_matter(
        recipe in recipes(1usize..9, 0usize..6, norms(), smoothed()), exponent in -6i32..=6,
    ) {
        let smooth = recipe.options.regulariser;
        let scale = 10f64.powi(exponent);
        let mut other = recipe.clone();
        other.costs *= scale;
        other.options.column_costs.iter_mut().flatten().for_each(|c| *c *= scale);
        other.options.regulariser = match smooth {
            Regulariser::Quadratic(eps) => Regulariser::Quadratic(eps * scale),
            Regulariser::Entropic(eps) => Regulariser::Entropic(eps * scale),
            Regulariser::None => Regulariser::None,
        };
        let (one, other) = (solve(&recipe), solve(&other));
        let off = (one.assignment() - other.assignment()).amax();
        prop_assert!(off < 1e-7, "off by {off:.1e}");
        let (a, b) = (one.verdict().primal, other.verdict().primal / scale);
        prop_assert!((a - b).abs() < 1e-9 * (1.0 + a.abs()), "{a} {b}");
    }

    #[test]
    fn a_constant_on_a_row_does_not_matter(
        recipe in recipes(1usize..9, 0usize..6, norms(), smoothed()),
        row in any::<prop::sample::Index>(), shift in -3.0f64..3.0,
    ) {
        let row = row.index(recipe.costs.nrows());
        let mut other = recipe.clone();
        other.costs.row_mut(row).add_scalar_mut(shift);
        let (one, other) = (solve(&recipe), solve(&other));
        let off = (one.assignment() - other.assignment()).amax();
        prop_assert!(off < 1e-7, "off by {off:.1e}");
        let paid = shift * one.assignment().row(row).sum();
        prop_assert!((one.verdict().primal + paid - other.verdict().primal).abs() < 1e-9);
    }
}

proptest! {
    #![proptest_config(cases(25))]

    #[test]
    fn solving_twice_gives_the_same_bits(
        recipe in recipes(
            1usize..7, 0usize..5, norms(), prop_oneof![smoothed(), Just(Regulariser::None)],
        ),
    ) {
        let (smooth, program) = (recipe.options.regulariser, recipe.program());
        for &method in EVERY_METHOD.iter().filter(|&&method| solves(method, smooth)) {
            match (program.solve(method), program.solve(method)) {
                (Ok(one), Ok(two)) => {
                    prop_assert_eq!(one.assignment(), two.assignment());
                    prop_assert_eq!(one.row_multipliers(), two.row_multipliers());
                    prop_assert_eq!(one.budget_multipliers(), two.budget_multipliers());
                    prop_assert_eq!(one.verdict(), two.verdict());
                }
                (one, two) => prop_assert_eq!(
                    one.unwrap_err().to_string(), two.unwrap_err().to_string()
                ),
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------
// Hard instances
// ---------------------------------------------------------------------------------------------

/// Ways to make costs that are unkind to a Newton method.
#[derive(Clone, Copy, Debug)]
enum Terrain {
    Random,
    Duplicates,
    AllEqual,
    /// All rows and columns alike, but for the zero diagonal.
    OneApart,
    /// Distances on a small grid: ties everywhere.
    Grid,
    /// A few costs a hundred times the others.
    Outliers,
    /// Equal to within 1e-12: what is left of a subtraction.
    Noise,
}

const TERRAINS: &[Terrain] = &[
    Terrain::Random,
    Terrain::Duplicates,
    Terrain::AllEqual,
    Terrain::OneApart,
    Terrain::Grid,
    Terrain::Outliers,
    Terrain::Noise,
];

impl Terrain {
    fn costs(self, n: usize, m: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
        let points = DMatrix::from_fn(n + m, 3, |_, _| rng.random::<f64>());
        let apart = |i: usize, j: usize| points.row(i) - points.row(j);
        DMatrix::from_fn(n, n + m, |i, j| match self {
            Self::Random => apart(i, j).norm(),
            Self::Duplicates => apart(i / 3, j / 3).norm(),
            Self::AllEqual => 1.0,
            Self::OneApart => f64::from(u8::from(i != j)),
            Self::Grid => apart(i, j).map(|x| (3.0 * x).round().abs()).sum(),
            Self::Outliers if (i + j) % 7 == 0 => 100.0 * apart(i, j).norm_squared(),
            Self::Outliers => apart(i, j).norm_squared(),
            Self::Noise => 1.0 + 1e-12 * points[(j, 0)] * points[(i, 1)],
        })
    }
}

/// Entries are `(nu - D) / eps` with `nu` and `D` of order one: rounding alone leaves `1e-16 / eps`
/// in the rows, and that over the budget in its relative residual. Below `eps min(1, budget) = 1e-5`
/// (both relative) the tolerance of 1e-10 is out of reach.
const ROUNDING_FLOOR: f64 = 1e-4;

/// A random hard instance and its name.
fn hard(seed: u64) -> (Recipe, String) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pick = |from: &[f64]| from[rng.random_range(0..from.len())];
    let n = pick(&[1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0]) as usize;
    let m = pick(&[0.0, 1.0, 3.0, 20.0]) as usize;
    let unit = pick(&[1e-6, 1e-3, 1.0, 1e3, 1e6]);
    // The smallest feasible budget is zero with memory.
    let share = if m == 0 {
        pick(&[1.001, 1.01, 1.1, 1.5, 2.0, 100.0])
    } else {
        pick(&[1e-3, 0.01, 0.1, 0.5, 0.9, 100.0])
    };
    let terrain = TERRAINS[rng.random_range(0..TERRAINS.len())];
    let norm = EVERY_NORM[rng.random_range(0..3)];
    let budget = share
        * match norm {
            Norm::One => n as f64,
            Norm::Two => (n as f64).sqrt(),
            Norm::Infinity => 1.0,
        };
    let lowest = (ROUNDING_FLOOR / budget.min(1.0)).log10();
    let eps = 10f64.powf(rng.random_range(lowest..3.0));
    let costs = terrain.costs(n, m, &mut rng);
    let mean = Some(costs.mean()).filter(|&mean| mean > 0.0).unwrap_or(1.0);
    let smooth = if rng.random_bool(0.4) { Regulariser::Entropic } else { Regulariser::Quadratic };
    let name = format!(
        "seed {seed}: {terrain:?} n = {n} m = {m} {norm:?} {:?} of the mean cost {unit:e}, \
         budget {share} of the smallest without memory",
        smooth(eps)
    );
    let options =
        ProgramOptions { norm, regulariser: smooth(eps * mean * unit), ..Default::default() };
    (Recipe { costs: costs * unit, budget: Budget::Absolute(budget), options }, name)
}

/// The structured solver finishes on its own wherever rounding allows.
#[test]
fn structured_solves_hard_instances() {
    let mut failures = Vec::new();
    for seed in 0..u64::from(cases(1500).cases) {
        let (recipe, name) = hard(seed);
        match recipe.program().solve(Method::Auto) {
            Err(error) => failures.push(format!("{name}: {error}")),
            Ok(selection) => {
                let verdict = selection.verdict();
                let fell_back = verdict.fallback.is_some();
                if fell_back || !(verdict.residual <= 1e-9 && verdict.gap < 1e-8) {
                    failures.push(format!("{name}: {verdict:?}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// A random program whose numbers are many orders of magnitude apart, and its name.
fn wild(seed: u64) -> (Recipe, String) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (n, m) = (rng.random_range(2..16usize), rng.random_range(0..3));
    let mut power = |low: f64, high: f64| 10f64.powf(rng.random_range(low..high));
    let scales: Vec<f64> = (0..n).map(|_| power(-6.0, 12.0)).collect();
    let far = power(2.0, 30.0);
    let costs = DMatrix::from_fn(n, n + m, |i, j| match seed % 3 {
        _ if i == j => 0.0,
        0 => power(-12.0, 30.0),
        1 => power(-1.0, 0.0) * scales[i],
        _ if power(0.0, 1.0) < 1.3 => far,
        _ => power(-1.0, 0.0),
    });
    let row_masses = seed.is_multiple_of(2).then(|| (0..n).map(|_| power(-4.0, 3.0)).collect());
    let masses: Vec<f64> = row_masses.clone().unwrap_or_else(|| vec![1.0; n]);
    let norm = EVERY_NORM[seed as usize / 3 % 3];
    // For p = 2 an answer is off the evenest by the root of that.
    let least = if norm == Norm::Two { -4.0 } else { -6.0 };
    let budget = match m {
        0 => norm_of(norm, masses.iter().copied()) * (1.0 + power(least, -2.0)),
        _ => masses.iter().sum::<f64>() * power(-9.0, 0.0),
    };
    let mut sorted: Vec<f64> = costs.iter().copied().filter(|cost| *cost > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    let eps = sorted[sorted.len() / 2] * power(-9.0, 1.0);
    let regulariser = [Regulariser::None, Regulariser::Entropic(eps), Regulariser::Quadratic(eps)]
        [seed as usize / 9 % 3];
    let options = ProgramOptions { norm, regulariser, row_masses, ..Default::default() };
    let name = format!("seed {seed}: n = {n} m = {m} {norm:?} {regulariser:?} budget {budget:e}");
    (Recipe { costs, budget: Budget::Absolute(budget), options }, name)
}

/// No unit fits all numbers of such a program; every answer has passed the certificate.
#[test]
fn wild_programs_are_solved() {
    let mut failures = Vec::new();
    for seed in 0..u64::from(cases(1500).cases) {
        let (recipe, name) = wild(seed);
        if let Err(error) = recipe.program().solve(Method::Auto) {
            failures.push(format!("{name}: {error}"));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// What costs nothing is proved best by no multipliers, exactly; by others only up to their rounding.
#[test]
fn an_answer_that_costs_nothing_has_no_multipliers() {
    let options = ProgramOptions {
        norm: Norm::Two,
        regulariser: Regulariser::None,
        column_costs: Some(vec![0.3, 0.0, 0.2, 0.1]),
        ..Default::default()
    };
    for budget in [2.0, 2.0 + 1e-9, 2.1] {
        let costs = DMatrix::from_element(4, 4, 3.5);
        let program = SelectionProgram::new(costs, Budget::Absolute(budget), options.clone());
        let selection = program.unwrap().solve(Method::Auto).unwrap();
        assert!(selection.row_multipliers().iter().all(|nu| *nu == 3.5), "{budget}");
        assert_eq!(selection.budget_multipliers()[0], 0.0, "{budget}");
    }
}
