//! What a selection program keeps of a batch: one program a class, from what points are worth to how much each counts.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use crate::choose::Similarity;
use crate::choose::strategies::within::class_balanced::members;
use crate::error::Result;
use crate::program::{Budget, Method, ProgramOptions, Selection, SelectionProgram, Upstream};

/// The programs of any batch:
///
/// ```text
/// D_ij = 1 - s_ij     r_i = w_i     c_j = price (1 - w_j)     kappa = share n     p = inf, quadratic
/// ```
///
/// over the `n` points of a class, with `s` their similarities and `w` what they are worth, in (0, 1] or a little above.
pub(crate) struct Blocks<'a> {
    /// A row a point of the data.
    pub(crate) rows: &'a [f32],
    pub(crate) width: usize,
    pub(crate) labels: &'a [u32],
    pub(crate) similarity: Similarity,
    pub(crate) price: f64,
    pub(crate) share: f64,
}

/// A budget is at least so many times the largest mass: the smallest one that is feasible leaves no choice.
const ROOM: f64 = 1.1;

/// How much each point of a batch counts, and the programs that say so.
pub(crate) struct Kept {
    pub(crate) weights: Vec<f64>,
    /// Places in the batch, and what was solved of them.
    solved: Vec<(Vec<usize>, Selection)>,
    price: f64,
}

impl Blocks<'_> {
    pub(crate) fn keep(&self, points: &[usize], worth: &[f64]) -> Result<Kept> {
        let labels: Vec<u32> = points.iter().map(|i| self.labels[*i]).collect();
        let solved = (members(&labels).into_par_iter())
            .map(|places| {
                let of_class: Vec<usize> = places.iter().map(|k| points[*k]).collect();
                let worth: Vec<f64> = places.iter().map(|k| worth[*k]).collect();
                Ok((places, self.solve(&of_class, worth)?))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut weights = vec![0.0; points.len()];
        for (places, selection) in &solved {
            places.iter().zip(selection.weights()).for_each(|(k, weight)| weights[*k] = *weight);
        }
        Ok(Kept { weights, solved, price: self.price })
    }

    fn solve(&self, points: &[usize], worth: Vec<f64>) -> Result<Selection> {
        let (n, width) = (points.len(), self.width);
        let rows: Vec<f32> =
            points.iter().flat_map(|i| &self.rows[i * width..(i + 1) * width]).copied().collect();
        let similarities = self.similarity.table(&rows, &rows, width)?;
        let costs = DMatrix::from_fn(n, n, |i, j| match i == j {
            true => 0.0,
            false => 1.0 - f64::from(similarities[i * n + j]),
        });
        let largest = worth.iter().copied().fold(0.0, f64::max);
        let options = ProgramOptions {
            column_costs: Some(worth.iter().map(|w| self.price * (1.0 - w).max(0.0)).collect()),
            row_masses: Some(worth),
            ..Default::default()
        };
        let budget = Budget::Absolute((self.share * n as f64).max(ROOM * largest));
        SelectionProgram::new(costs, budget, options)?.solve(Method::Auto)
    }
}

impl Kept {
    /// From derivatives in the weights to those in what the points are worth.
    pub(crate) fn pullback(&self, by_weight: &[f64]) -> Result<Vec<f64>> {
        let mut by_worth = vec![0.0; by_weight.len()];
        for (places, selection) in &self.solved {
            let own = DVector::from_iterator(places.len(), places.iter().map(|k| by_weight[*k]));
            let found = selection.pullback(Upstream { weights: Some(&own), assignment: None })?;
            let masses = found.row_masses.iter().zip(&found.column_costs);
            let worth = selection.program().row_masses();
            for ((k, (by_mass, by_cost)), worth) in places.iter().zip(masses).zip(worth) {
                // What is worth more than one is free already.
                let price = if *worth < 1.0 { self.price } else { 0.0 };
                by_worth[*k] = by_mass - price * by_cost;
            }
        }
        Ok(by_worth)
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::Seeds;

    /// Against central differences, along every point's worth: 1e-5 of the largest derivative, for steps of 1e-5 and
    /// solutions to 1e-10 leave that of a piecewise rational function; a draw whose active set changes within a step shows
    /// as a difference of the two halves, and is passed over.
    #[test]
    fn the_worth_of_points_has_a_derivative() -> Result<()> {
        let (points, width) = (24, 3);
        let mut checked = 0;
        for seed in 0..12 {
            let mut rng = Seeds::new(seed).stream(0);
            let rows: Vec<f32> = (0..points * width).map(|_| rng.random_range(-1.0..1.0)).collect();
            let labels: Vec<u32> = (0..points).map(|i| (i % 5 > 2).into()).collect();
            let similarity = Similarity::Cosine;
            let (rows, labels) = (&rows[..], &labels[..]);
            let blocks = Blocks { rows, width, labels, similarity, price: 0.3, share: 0.25 };
            let batch: Vec<usize> = (0..points).rev().collect();
            let worth: Vec<f64> = batch.iter().map(|_| rng.random_range(0.2..1.2)).collect();
            let along: Vec<f64> = batch.iter().map(|_| rng.random_range(-1.0..1.0)).collect();
            let kept = blocks.keep(&batch, &worth)?;
            let class = |c: u32| {
                let of = batch.iter().zip(&kept.weights).filter(|(i, _)| labels[**i] == c);
                of.map(|(_, w)| w).sum::<f64>()
            };
            assert!(class(0) <= 0.25 * 15.0 + 1e-6 && class(1) <= 0.25 * 9.0 + 1e-6);
            let value = |worth: &[f64]| -> Result<f64> {
                let kept = blocks.keep(&batch, worth)?;
                Ok(kept.weights.iter().zip(&along).map(|(w, a)| w * a).sum())
            };
            let found = kept.pullback(&along)?;
            let size = found.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            for k in 0..points {
                let at = |step: f64| {
                    let mut moved = worth.clone();
                    moved[k] += step;
                    value(&moved)
                };
                let (up, here, down) = (at(1e-5)?, at(0.0)?, at(-1e-5)?);
                if ((up - here) - (here - down)).abs() > 1e-6 * 1e-5 * size.max(1.0) * 10.0 {
                    continue;
                }
                let difference = (up - down) / 2e-5;
                let error = (difference - found[k]).abs();
                assert!(error <= 1e-5 * size.max(1.0), "{seed}, {k}: {difference}, {}", found[k]);
                checked += 1;
            }
        }
        assert!(checked > 200, "only {checked} of {} are smooth", 12 * points);
        Ok(())
    }
}
