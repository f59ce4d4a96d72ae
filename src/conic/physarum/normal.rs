//! Weighted normal equations `A D A' p = r`: the pattern is analysed once, the weights change with each iteration.

use std::sync::Arc;

use crate::conic::ldl::{Factor, Symbolic};
use crate::conic::pattern::Pattern;

/// Added to the unit diagonal that the matrix is scaled to, so that equations that repeat others do no harm.
const SHIFT: f64 = 1e-14;
/// Rounds of iterative refinement at most; they end where the residual no longer halves.
const ROUNDS: usize = 5;

/// Where the products of two entries of a column go in the upper triangle of `A D A'`.
#[derive(Debug)]
pub(super) struct Normal {
    constraints: Pattern,
    triangle: Pattern,
    /// One a pair of entries, column by column.
    places: Vec<usize>,
    symbolic: Arc<Symbolic>,
}

impl Normal {
    pub(super) fn new(constraints: Pattern) -> Self {
        let rows = constraints.rows();
        let pairs: Vec<(usize, usize)> = pairs(&constraints).collect();
        // Column, then row: the order of compressed columns. The diagonal is complete whatever A is.
        let mut order: Vec<(usize, usize)> = pairs.iter().map(|&(i, k)| (k, i)).collect();
        order.extend((0..rows).map(|i| (i, i)));
        order.sort_unstable();
        order.dedup();
        let starts = (0..=rows).map(|k| order.partition_point(|place| place.0 < k)).collect();
        let indices = order.iter().map(|place| place.1).collect();
        let triangle = Pattern::of_checked(rows, starts, indices);
        let place = |&(i, k): &(usize, usize)| order.partition_point(|place| *place < (k, i));
        let places = pairs.iter().map(place).collect();
        let signs = vec![1.0; rows];
        let symbolic = Arc::new(Symbolic::new(triangle.starts(), triangle.indices(), &signs));
        Self { constraints, triangle, places, symbolic }
    }

    /// Factorises `A D A'`, the weights positive.
    pub(super) fn factor<'a>(&'a self, a: &'a [f64], weights: &'a [f64]) -> Factored<'a> {
        let mut values = vec![0.0; self.triangle.len()];
        let starts = self.constraints.starts();
        let mut places = self.places.iter();
        for (j, weight) in weights.iter().enumerate() {
            let column = &a[starts[j]..starts[j + 1]];
            for (at, second) in column.iter().enumerate() {
                for (first, &place) in column[..=at].iter().zip(&mut places) {
                    values[place] += first * second * weight;
                }
            }
        }
        let diagonal = |k: usize| values[self.triangle.starts()[k + 1] - 1];
        let positive = |d: f64| if d > 0.0 { 1.0 / d.sqrt() } else { 1.0 };
        let scale: Vec<f64> = (0..self.triangle.columns()).map(|k| positive(diagonal(k))).collect();
        for ((i, k), value) in self.triangle.places().zip(&mut values) {
            *value *= scale[i] * scale[k];
        }
        Factored { normal: self, a, weights, factor: self.symbolic.factor(&values, SHIFT), scale }
    }
}

/// The rows of each pair of entries in a column, the first not below the second; column by column.
fn pairs(constraints: &Pattern) -> impl Iterator<Item = (usize, usize)> + '_ {
    (0..constraints.columns()).flat_map(move |j| {
        let rows = &constraints.indices()[constraints.starts()[j]..constraints.starts()[j + 1]];
        (0..rows.len()).flat_map(move |at| (0..=at).map(move |first| (rows[first], rows[at])))
    })
}

/// `A D A'`, factorised.
pub(super) struct Factored<'a> {
    normal: &'a Normal,
    a: &'a [f64],
    weights: &'a [f64],
    factor: Factor,
    scale: Vec<f64>,
}

impl Factored<'_> {
    /// The solution, and the largest entry of its residual. Refined against `A D A'` itself.
    pub(super) fn solve(&self, right: &[f64]) -> (Vec<f64>, f64) {
        let mut p = vec![0.0; right.len()];
        let (mut residual, mut size) = (right.to_vec(), largest(right));
        for _ in 0..ROUNDS {
            let mut step: Vec<f64> = residual.iter().zip(&self.scale).map(|(r, s)| r * s).collect();
            self.factor.solve(&mut step);
            let next: Vec<f64> =
                p.iter().zip(&step).zip(&self.scale).map(|((p, d), s)| p + d * s).collect();
            let left = self.residual(right, &next);
            let found = largest(&left);
            let smaller = found < size; // NaN is not
            if !smaller {
                break;
            }
            let enough = found > 0.5 * size;
            (p, residual, size) = (next, left, found);
            if enough {
                break;
            }
        }
        (p, size)
    }

    fn residual(&self, right: &[f64], p: &[f64]) -> Vec<f64> {
        let constraints = &self.normal.constraints;
        let mut flow = vec![0.0; constraints.columns()];
        constraints.add_transposed(self.a, p, &mut flow);
        flow.iter_mut().zip(self.weights).for_each(|(flow, weight)| *flow *= -weight);
        let mut residual = right.to_vec();
        constraints.add_product(self.a, &flow, &mut residual);
        residual
    }
}

pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
}
