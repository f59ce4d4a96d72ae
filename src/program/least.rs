//! p = 2 at the smallest budget there is, in closed form.
//!
//! Without memory `sum_g a_g ||Z_g|| >= ||r|| min_g a_g / sqrt |g|`, and a budget of just that leaves only
//! assignments whose rows are all alike: the columns of the cheapest groups, evenly within each,
//!
//! ```text
//! Z_ij = r_i T_g / |g|          sum T = 1,  T >= 0
//! ```
//!
//! What is left is a program over the shares `T`, separable but for their sum. There is no finite multiplier of
//! the budget; with a large one the bound is open by no more than its inverse.

use nalgebra::DVector;

use super::certificate::at;
use super::dual::Point;
use super::prox::Entry;
use super::proximal::Pair;
use super::scaled::Scaled;
use super::structured::Newton;
use super::{Method, Norm, Regulariser, Selection, SelectionProgram};
use crate::error::Result;

/// A budget within this of the smallest, relative to it, is the smallest.
const SAME: f64 = 1e-12;
/// The budget's multiplier in units of what the costs of a used column differ by.
const LARGE: f64 = 1e7;

/// The solution, if a budget is the smallest and the others allow the answer.
pub(super) fn solve(scaled: &Scaled) -> Option<Result<Selection>> {
    let program = &scaled.program;
    if program.norm != Norm::Two || program.remembered() > 0 {
        return None;
    }
    let tight = |b: &usize| program.limits[*b] <= program.smallest_budget(*b) * (1.0 + SAME);
    let budget = (0..program.limits.len()).find(tight)?;
    let cheap = cheapest(program, budget);
    let (shares, others) = shares(scaled, budget, &cheap);
    let entries = spread(program, &cheap, &shares);
    let multipliers = multipliers(scaled, (budget, others), &cheap, &entries);
    let made = Selection::from_vertex(scaled.clone(), entries, multipliers, Method::Structured, 0);
    made.is_ok().then_some(made)
}

fn cheapest(program: &SelectionProgram, budget: usize) -> Vec<usize> {
    let least = program.smallest_budget(budget) * (1.0 + SAME);
    (0..program.groups.len()).filter(|&g| program.spread_over(budget, g) <= least).collect()
}

/// What each unit of share costs: `B_g`.
fn prices(scaled: &Scaled, cheap: &[usize]) -> Vec<f64> {
    let program = &scaled.program;
    let masses = &program.row_masses;
    let cost = |&group: &usize| {
        let column = |&j: &usize| -> f64 {
            let costs = program.costs.column(j);
            costs.iter().enumerate().map(|(i, d)| masses[i] * scaled.cost(i, *d)).sum()
        };
        let columns = program.groups.columns(group);
        let size = columns.len() as f64;
        columns.iter().map(column).sum::<f64>() / size
            + scaled.column_costs[group] * masses.norm() / size.sqrt()
    };
    cheap.iter().map(cost).collect()
}

/// `T`, and the multipliers of the other budgets: each by bisection, in turns.
fn shares(scaled: &Scaled, budget: usize, cheap: &[usize]) -> (Vec<f64>, DVector<f64>) {
    const TURNS: usize = 60;
    let program = &scaled.program;
    let own = prices(scaled, cheap);
    let mut lambda = DVector::zeros(program.limits.len());
    let spends = |b: usize, g: usize| program.spread_over(b, g);
    let at = |lambda: &DVector<f64>| {
        let priced = own.iter().zip(cheap).map(|(own, &g)| {
            own + lambda.iter().enumerate().map(|(b, l)| l * spends(b, g)).sum::<f64>()
        });
        spread_shares(scaled, cheap, &priced.collect::<Vec<f64>>())
    };
    let over = |b: usize, shares: &[f64]| {
        let spent = cheap.iter().zip(shares).map(|(&g, share)| share * spends(b, g));
        spent.sum::<f64>() > program.limits[b] * (1.0 + SAME)
    };
    let unit = own.iter().fold(scaled.eps, |a, b| a.max(b.abs())).max(f64::MIN_POSITIVE);
    for _ in 0..TURNS {
        let before = lambda.clone();
        for b in (0..lambda.len()).filter(|b| *b != budget) {
            let first = unit / program.limits[b];
            let (mut low, mut high) = (0.0, 0.0);
            lambda[b] = 0.0;
            while over(b, &at(&lambda)) && high < 1e12 * first {
                (low, high) = (high, first.max(10.0 * high));
                lambda[b] = high;
            }
            while high - low > f64::EPSILON * high.max(first) {
                lambda[b] = 0.5 * (low + high);
                if over(b, &at(&lambda)) { low = lambda[b] } else { high = lambda[b] }
            }
            lambda[b] = high;
        }
        if (&lambda - &before).amax() <= SAME * lambda.amax() {
            break;
        }
    }
    let shares = at(&lambda);
    (shares, lambda)
}

/// The minimiser of `sum B_g T_g` plus what the smoothing comes to.
fn spread_shares(scaled: &Scaled, cheap: &[usize], costs: &[f64]) -> Vec<f64> {
    let program = &scaled.program;
    let masses = &program.row_masses;
    let size = |group: usize| program.groups.columns(group).len() as f64;
    let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
    match program.regulariser {
        Regulariser::None => {
            let best: Vec<f64> =
                costs.iter().map(|cost| f64::from(u8::from(*cost == least))).collect();
            let count: f64 = best.iter().sum();
            best.into_iter().map(|share| share / count).collect()
        }
        Regulariser::Entropic(_) => {
            let eps = scaled.eps * masses.sum();
            let weights = cheap.iter().zip(costs);
            let weights: Vec<f64> =
                weights.map(|(&g, cost)| size(g) * ((least - cost) / eps).exp()).collect();
            let total: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / total).collect()
        }
        Regulariser::Quadratic(_) => {
            let bend: Vec<f64> =
                cheap.iter().map(|&g| scaled.eps * masses.norm_squared() / size(g)).collect();
            water(costs, &bend)
        }
    }
}

/// `T_g = (level - B_g)_+ / bend_g` with `sum T = 1`.
fn water(costs: &[f64], bend: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
    let least = order.first().map_or(0.0, |&g| costs[g]);
    // sum (level - B_g) / bend_g = 1 over those below the level; relative to the least, for precision.
    let (mut wanted, mut slope, mut level) = (1.0, 0.0, 0.0);
    for &g in &order {
        let height = costs[g] - least;
        if slope > 0.0 && height >= level {
            break;
        }
        wanted += height / bend[g];
        slope += 1.0 / bend[g];
        level = wanted / slope;
    }
    let share = |(cost, bend): (&f64, &f64)| (level - (cost - least)).max(0.0) / bend;
    costs.iter().zip(bend).map(share).collect()
}

fn spread(program: &SelectionProgram, cheap: &[usize], shares: &[f64]) -> Vec<Entry> {
    let used = cheap.iter().zip(shares).filter(|(_, share)| **share > 0.0);
    let columns = used.flat_map(|(&group, share)| {
        let columns = program.groups.columns(group);
        columns.iter().map(move |&j| (j, share / columns.len() as f64))
    });
    let masses = &program.row_masses;
    columns
        .flat_map(|(j, share)| masses.iter().enumerate().map(move |(i, r)| at(i, j, share * r)))
        .collect()
}

/// `nu = length r / ||r|| + mu` with a large `length`, `mu` what a unit of mass costs in each row, and `lambda` so
/// that the first part alone is on the edge of what the cheapest groups allow.
fn multipliers(
    scaled: &Scaled,
    (budget, others): (usize, DVector<f64>),
    cheap: &[usize],
    entries: &[Entry],
) -> Vec<Pair> {
    let program = &scaled.program;
    let masses = &program.row_masses;
    let paid = |e: &Entry| {
        let slope = program.regulariser.slope(e.value);
        scaled.cost(e.row(), program.costs[(e.row(), e.column())])
            + scaled.eps * if slope.is_finite() { slope } else { 0.0 }
    };
    let mut mu = DVector::zeros(masses.len());
    entries.iter().for_each(|e| mu[e.row()] += e.value / masses[e.row()] * paid(e));
    let differ = entries.iter().map(|e| f64::abs(paid(e) - mu[e.row()])).fold(0.0, f64::max);
    let direction = masses.normalize();
    // What the other budgets ask of a unit of weight, along `r` like the first part.
    let asked = program.coefficients.tr_mul(&others).amax();
    let length = LARGE * differ.max(mu.amax()).max(scaled.eps * masses.amax()).max(asked);
    let price = cheap.first().map_or(1.0, |&g| program.coefficients[(budget, g)]);
    let size = cheap.first().map_or(1.0, |&g| program.groups.columns(g).len() as f64);
    let mut lambda = others;
    lambda[budget] = length * size.sqrt() / price;
    // Along `r` the dual is concave: bisection for its top.
    let at = |shift: f64| &mu + &direction * (length + shift);
    let eps = if scaled.eps > 0.0 { scaled.eps } else { 1.0 };
    let rises = |shift: f64| {
        let point = Newton::new(scaled, at(shift), lambda.clone(), eps).into_point(&mut 0);
        if scaled.eps == 0.0 { point.entries.is_empty() } else { slope(&point, &direction) > 0.0 }
    };
    let reach = length.min(10.0 * (mu.norm() + differ + asked + eps * masses.norm()));
    let (mut low, mut high) = (-reach, reach);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if rises(middle) { low = middle } else { high = middle }
    }
    // The first pair is one of the program without its smoothing, where this one is in general not feasible.
    let nothing = (DVector::zeros(masses.len()), DVector::zeros(lambda.len()));
    let found = (at(low), lambda);
    if scaled.eps > 0.0 { vec![nothing, found] } else { vec![found] }
}

fn slope(point: &Point, direction: &DVector<f64>) -> f64 {
    point.row_gap.dot(direction)
}
