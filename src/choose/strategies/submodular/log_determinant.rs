//! Log-determinant: the chosen features span a large volume.

use rand::RngCore;
use rayon::prelude::*;

use crate::choose::neighbours::rows::unit_rows;
use crate::choose::strategies::submodular::greedy::Objective;
use crate::choose::{Choice, Evidence, Greedy, Kind, Needs, Strategy, check_count};
use crate::error::{Error, Result};

/// Maximises the volume that the chosen set `S` spans,
///
/// ```text
/// f(S) = log det(I + K_S / ridge)        K_ij = <x_i, x_j>, rows of features scaled to length one
/// ```
///
/// the most probable set of a determinantal point process, and a D-optimal design.
///
/// A kernel cut down to nearest neighbours need not be positive semidefinite, and its determinants then
/// mean nothing. This one is complete and still never formed: with `A = ridge I + X_S' X_S`, of the
/// features' width, point `j` adds `log(1 + x_j' A^-1 x_j)`, and a choice changes `A^-1` by rank one.
///
/// # Cost
/// `O(N count width + count width^2)` time, `O(N width + width^2)` memory.
///
/// # Reference
/// L. Chen, G. Zhang, E. Zhou, *Fast Greedy MAP Inference for Determinantal Point Process to Improve
/// Recommendation Diversity*, NeurIPS 2018.
#[derive(Clone, Copy, Debug)]
pub struct LogDeterminant {
    /// At least 1e-9, by default 1. A small one rewards any new direction, a large one repeated
    /// ones too.
    pub ridge: f64,
}

/// Novelty falls from `1 / ridge` to about one by subtraction, which must leave digits of it.
const SMALLEST_RIDGE: f64 = 1e-9;

impl Default for LogDeterminant {
    fn default() -> Self {
        Self { ridge: 1.0 }
    }
}

impl Strategy for LogDeterminant {
    fn name(&self) -> &str {
        "log-determinant"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(self.name())?;
        if !(self.ridge >= SMALLEST_RIDGE && self.ridge.is_finite()) {
            let (what, rule, found) = ("ridge", "finite and at least 1e-9", self.ridge);
            return Err(Error::range(what, rule, found));
        }
        let mut objective = Volume::new(unit_rows(rows, width), width, self.ridge);
        Greedy::Lazy.maximise(&mut objective, evidence.points(), count, rng)
    }
}

struct Volume {
    rows: Vec<f32>,
    width: usize,
    /// `A^-1`.
    inverse: Vec<f64>,
    /// `x_j' A^-1 x_j` of every point.
    novelty: Vec<f64>,
}

impl Volume {
    fn new(rows: Vec<f32>, width: usize, ridge: f64) -> Self {
        let mut inverse = vec![0.0; width * width];
        inverse.iter_mut().step_by(width + 1).for_each(|diagonal| *diagonal = 1.0 / ridge);
        let square = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let novelty = rows.chunks(width).map(|row| square(row) / ridge).collect();
        Self { rows, width, inverse, novelty }
    }
}

impl Objective for Volume {
    fn gain(&self, point: usize) -> f64 {
        self.novelty[point].ln_1p()
    }

    /// Sherman and Morrison: with `u = A^-1 x` and `scale = 1 + x'u` the inverse loses `u u' / scale`.
    fn add(&mut self, point: usize) {
        let width = self.width;
        let x = &self.rows[point * width..(point + 1) * width];
        let u: Vec<f64> = self.inverse.par_chunks(width).map(|row| dot(x, row)).collect();
        let scale = 1.0 + dot(x, &u);
        self.inverse.par_chunks_mut(width).zip(&u).for_each(|(row, u_i)| {
            row.iter_mut().zip(&u).for_each(|(entry, u_j)| *entry -= u_i * u_j / scale);
        });
        let novelty = self.novelty.par_iter_mut().zip(self.rows.par_chunks(width));
        novelty.with_min_len(1024).for_each(|(novelty, row)| {
            // It only falls, and rounding must not take it below zero.
            *novelty = (*novelty - dot(row, &u).powi(2) / scale).max(0.0);
        });
    }
}

/// Four partial sums, so that the compiler can keep them in registers.
fn dot(a: &[f32], b: &[f64]) -> f64 {
    const LANES: usize = 4;
    let mut sums = [0.0; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f64 = rest.map(|(a, b)| f64::from(*a) * b).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += f64::from(a[lane]) * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::choose::strategies::submodular::greedy::naive;

    /// `log det(I + K_S / ridge)` from its definition.
    fn log_determinant(rows: &[f32], width: usize, set: &[usize], ridge: f64) -> f64 {
        let x = DMatrix::from_fn(set.len(), width, |i, j| f64::from(rows[set[i] * width + j]));
        let kernel = &x * x.transpose() / ridge;
        (DMatrix::identity(set.len(), set.len()) + kernel).determinant().ln()
    }

    #[test]
    fn lazy_search_is_exhaustive_search_and_gains_are_determinants() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for case in 0..40 {
            let (points, width) = (rng.random_range(1..25), 1 + case % 7);
            let ridge = [1.0, 0.1, 1e-3][case % 3];
            let rows: Vec<f32> =
                (0..points * width).map(|_| rng.random_range(-2..3) as f32).collect();
            let rows = unit_rows(&rows, width);
            let all = naive(&mut Volume::new(rows.clone(), width, ridge), points, points);
            let mut objective = Volume::new(rows.clone(), width, ridge);
            assert_eq!(
                Greedy::Lazy.maximise(&mut objective, points, points, &mut rng)?.indices,
                all
            );

            let mut objective = Volume::new(rows.clone(), width, ridge);
            for (t, point) in all.iter().enumerate() {
                let value = |upto: usize| log_determinant(&rows, width, &all[..upto], ridge);
                let (gain, difference) = (objective.gain(*point), value(t + 1) - value(t));
                // Determinants up to 1e3^7 leave about nine digits of a difference.
                assert!((gain - difference).abs() < 1e-8, "case {case}: {gain} {difference}");
                objective.add(*point);
            }
        }
        Ok(())
    }
}
