//! Digits that the shifted factorisation of a [`System`] has not.

use super::system::{System, norm};

/// Rounds of refinement, and steps of each.
const ROUNDS: usize = 3;
const STEPS: usize = 20;
/// Relative residual at which refinement is done.
const FINE: f64 = 2e-15;
impl System {
    /// The solution of the system without the shift, and what is left of the right-hand side: generalised minimal
    /// residuals, the shifted factorisation for a preconditioner. All eigenvalues well above the shift are one to it, so a
    /// step or two do but for those below.
    pub(super) fn refine(&self, right: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let target = FINE * norm(right);
        let (mut solution, mut rest) = (vec![0.0; right.len()], right.to_vec());
        for _ in 0..ROUNDS {
            let size = norm(&rest);
            if size <= target {
                break;
            }
            let change = self.minimal_residual(&rest, target);
            let trial: Vec<f64> = solution.iter().zip(&change).map(|(x, dx)| x + dx).collect();
            let mut left = right.to_vec();
            self.subtract_product(&trial, &mut left);
            let now = norm(&left);
            // Also when it is no number.
            if now.is_nan() || now >= size {
                break;
            }
            (solution, rest) = (trial, left);
            if now > 0.1 * size {
                break;
            }
        }
        (solution, rest)
    }

    /// One round: the combination of at most [`STEPS`] directions that leaves least of `right`.
    fn minimal_residual(&self, right: &[f64], target: f64) -> Vec<f64> {
        let size = norm(right);
        let mut basis: Vec<Vec<f64>> = vec![right.iter().map(|r| r / size).collect()];
        let mut directions: Vec<Vec<f64>> = Vec::new();
        // The triangle of the least-squares problem, column by column, its rotations, and its right-hand side.
        let (mut triangle, mut turns): (Vec<Vec<f64>>, Vec<(f64, f64)>) = (Vec::new(), Vec::new());
        let mut left = vec![size];
        for k in 0..STEPS {
            let mut direction = basis[k].clone();
            self.precondition(&mut direction);
            let mut image = vec![0.0; right.len()];
            self.subtract_product(&direction, &mut image);
            image.iter_mut().for_each(|x| *x = -*x);
            let mut column = Vec::with_capacity(k + 2);
            for axis in &basis {
                let along = dot(axis, &image);
                image.iter_mut().zip(axis).for_each(|(x, a)| *x -= along * a);
                column.push(along);
            }
            let beyond = norm(&image);
            for (row, &(c, s)) in turns.iter().enumerate() {
                let (a, b) = (column[row], column[row + 1]);
                (column[row], column[row + 1]) = (c * a + s * b, c * b - s * a);
            }
            let length = column[k].hypot(beyond);
            // Nothing new, or no number.
            if length.is_nan() || length <= f64::MIN_POSITIVE {
                break;
            }
            let (c, s) = (column[k] / length, beyond / length);
            column[k] = length;
            turns.push((c, s));
            triangle.push(column);
            directions.push(direction);
            let last = left[k];
            left[k] = c * last;
            left.push(-s * last);
            let stuck = k > 2 && (s * last).abs() > 0.99 * last.abs();
            if (s * last).abs() <= target || beyond <= f64::EPSILON || stuck {
                break;
            }
            basis.push(image.iter().map(|x| x / beyond).collect());
        }
        let mut change = vec![0.0; right.len()];
        let mut shares = left;
        for k in (0..directions.len()).rev() {
            let share = shares[k] / triangle[k][k];
            (0..k).for_each(|row| shares[row] -= share * triangle[k][row]);
            change.iter_mut().zip(&directions[k]).for_each(|(x, d)| *x += share * d);
        }
        change
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
