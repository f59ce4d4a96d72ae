//! Preconditioned conjugate gradients for the Newton system, which is positive semidefinite and, for right
//! sides that come up, consistent.
//!
//! Reference: M. R. Hestenes, E. Stiefel, *Methods of conjugate gradients for solving linear systems*,
//! Journal of Research of the National Bureau of Standards 49, 1952.

/// How an iteration ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// `||b - M x|| / ||b||` as the recurrence carries it.
    pub residual: f64,
    /// Smallest pivot of the Lanczos matrix: an upper estimate of the smallest eigenvalue of `P^-1 M` that
    /// the right side touches.
    pub smallest: f64,
}

/// Vectors of the iteration, reusable.
#[derive(Clone, Debug, Default)]
pub(super) struct Space {
    residual: Vec<f64>,
    solved: Vec<f64>,
    direction: Vec<f64>,
    product: Vec<f64>,
}

impl Space {
    /// Improves `x`, given as zero, until the relative residual is at most `tolerance`; `product` writes
    /// `M x` for its first argument to its second, `precondition` does the like for `P^-1`.
    pub fn solve(
        &mut self,
        right: &[f64],
        x: &mut [f64],
        (tolerance, limit): (f64, usize),
        mut product: impl FnMut(&[f64], &mut [f64]),
        mut precondition: impl FnMut(&[f64], &mut [f64]),
    ) -> Outcome {
        let Self { residual, solved, direction, product: image } = self;
        for vector in [&mut *residual, solved, direction, image] {
            vector.clear();
            vector.extend_from_slice(right);
        }
        let size = dot(right, right).sqrt();
        let mut outcome = Outcome { residual: 1.0, smallest: f64::INFINITY };
        if size == 0.0 {
            return Outcome { residual: 0.0, ..outcome };
        }
        precondition(residual, solved);
        direction.copy_from_slice(solved);
        let mut power = dot(residual, solved);
        for _ in 0..limit {
            product(direction, image);
            let curvature = dot(direction, image);
            if !(curvature > 0.0 && power > 0.0) {
                break; // as good as rounding allows
            }
            let length = power / curvature;
            x.iter_mut().zip(&*direction).for_each(|(x, d)| *x += length * d);
            residual.iter_mut().zip(&*image).for_each(|(r, q)| *r -= length * q);
            outcome.smallest = outcome.smallest.min(curvature / power);
            outcome.residual = dot(residual, residual).sqrt() / size;
            if outcome.residual <= tolerance {
                break;
            }
            precondition(residual, solved);
            let next = dot(residual, solved);
            let turn = next / power;
            power = next;
            direction.iter_mut().zip(&*solved).for_each(|(d, z)| *d = z + turn * *d);
        }
        outcome
    }
}

/// In four lanes: a single running sum would wait for each addition.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    let mut lanes = [0.0; 4];
    for (a, b) in a4.zip(b4) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}
