//! Dense Cholesky factorisation in place, on the lower triangle of a column-major slice.
//!
//! The matrices here are small (as many rows as there are live groups) and many, so there is one kernel,
//! which takes four finished columns at a time: half of a naive loop's memory traffic is gone, and nothing
//! is allocated.

use super::conjugate::dot;

/// Replaces the lower triangle of `a` (`size x size`) by `L` with `L L' = a`, but its diagonal by the inverse
/// of `L`'s, which is what solves need; `false` if a pivot is not positive (or not a number), which leaves
/// `a` spoilt. `size^3 / 6` multiply-adds.
pub(super) fn factor(a: &mut [f64], size: usize) -> bool {
    for j in 0..size {
        let (done, rest) = a.split_at_mut(j * size);
        let column = &mut rest[j..size];
        subtract_products(done, size, j, column);
        let pivot = column[0];
        if !(pivot > 0.0 && pivot.is_finite()) {
            return false;
        }
        let inverse = 1.0 / pivot.sqrt();
        column.iter_mut().for_each(|x| *x *= inverse);
        column[0] = inverse;
    }
    true
}

/// `column -= sum_k L[j, k] L[j.., k]` over the finished columns `k < j`.
fn subtract_products(done: &[f64], size: usize, j: usize, column: &mut [f64]) {
    let mut fours = done.chunks_exact(4 * size);
    for four in &mut fours {
        let (a, four) = four.split_at(size);
        let (b, four) = four.split_at(size);
        let (c, d) = four.split_at(size);
        let (a, b, c, d) = (&a[j..], &b[j..], &c[j..], &d[j..]);
        let (wa, wb, wc, wd) = (a[0], b[0], c[0], d[0]);
        let sources = a.iter().zip(b).zip(c).zip(d);
        for (x, (((a, b), c), d)) in column.iter_mut().zip(sources) {
            *x -= (wa * a + wb * b) + (wc * c + wd * d);
        }
    }
    for a in fours.remainder().chunks_exact(size) {
        let a = &a[j..];
        let w = a[0];
        column.iter_mut().zip(a).for_each(|(x, a)| *x -= w * a);
    }
}

/// Solves `L L' x = b` in place, `l` as [`factor`] leaves it.
pub(super) fn solve(l: &[f64], size: usize, x: &mut [f64]) {
    for (j, column) in l.chunks_exact(size.max(1)).enumerate() {
        let (head, tail) = x[j..].split_at_mut(1);
        head[0] *= column[j];
        let known = head[0];
        tail.iter_mut().zip(&column[j + 1..]).for_each(|(x, l)| *x -= known * l);
    }
    for (j, column) in l.chunks_exact(size.max(1)).enumerate().rev() {
        let (head, tail) = x[j..].split_at_mut(1);
        head[0] = (head[0] - dot(tail, &column[j + 1..])) * column[j];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, DVector};
    use rand::{Rng, SeedableRng};

    /// Against nalgebra, at sizes around the unrolling; 1e-12: condition numbers are below a thousand.
    #[test]
    fn solves_as_nalgebra_does() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for size in [1, 2, 3, 4, 5, 8, 9, 31] {
            let b = DMatrix::from_fn(size, size, |_, _| rng.random_range(-1.0..1.0));
            let a = &b * b.transpose() + DMatrix::identity(size, size);
            let right = DVector::from_fn(size, |_, _| rng.random_range(-1.0..1.0));
            let mut l = a.as_slice().to_vec();
            assert!(factor(&mut l, size));
            let mut x = right.as_slice().to_vec();
            solve(&l, size, &mut x);
            let expected = a.cholesky().unwrap().solve(&right);
            approx::assert_relative_eq!(DVector::from_vec(x), expected, epsilon = 1e-12);
        }
    }

    #[test]
    fn refuses_what_is_not_positive_definite() {
        assert!(!factor(&mut [1.0, 2.0, 2.0, 1.0], 2));
        assert!(!factor(&mut [f64::NAN], 1));
        assert!(factor(&mut [], 0));
    }
}
