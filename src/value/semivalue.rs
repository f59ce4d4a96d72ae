//! What a point adds to sets of the others in a nearest-neighbour vote, exactly, however sizes of sets count.
//!
//! With `(j)` the `j`-th nearest point to a validation point, exchanging `(j)` for `(j + 1)` in a set changes the vote
//! only if fewer than `k` of its members are nearer than both. So for weights of sets that come from drawing each point
//! with one probability, or with a random one,
//!
//! ```text
//! s_(N)        1[y_(N) = y] r_N / k
//! s_(j)        s_(j + 1) + (1[y_(j) = y] - 1[y_(j + 1) = y]) r_j / k
//! r_j          probability that fewer than k of j - 1 points are drawn
//! ```

use crate::choose::Evidence;
use crate::choose::neighbours::rows::squared_distance_exact;
use crate::error::{Error, Result};
use crate::value::judged::Judged;
use crate::value::parts::sums;

/// What each point adds, mean over the validation points; `steps` says `r_j / k` for a number of points and a `k`.
pub(crate) fn semivalues(
    evidence: &Evidence,
    name: &str,
    neighbours: usize,
    steps: impl Fn(usize, usize) -> Vec<f64>,
) -> Result<Vec<f64>> {
    if neighbours == 0 {
        return Err(Error::range("neighbours", "at least 1", 0.0));
    }
    let judged = Judged::of(evidence, name)?;
    let steps = steps(judged.labels.len(), neighbours);
    let queries: Vec<(&[f32], u32)> =
        judged.others.chunks(judged.width).zip(judged.wanted.iter().copied()).collect();
    let mut values = sums(judged.labels.len(), &queries, |query, sums| {
        add(&judged, &steps, *query, sums);
    });
    values.iter_mut().for_each(|value| *value /= queries.len() as f64);
    Ok(values)
}

/// Adds what one validation point says.
fn add(judged: &Judged, steps: &[f64], (query, label): (&[f32], u32), sums: &mut [f64]) {
    let distances = judged.rows.chunks(judged.width).map(|row| squared_distance_exact(row, query));
    let mut order: Vec<(f64, u32)> = distances.zip(0..).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let right = |i: u32| f64::from(u8::from(judged.labels[i as usize] == label));
    let (mut value, mut after) = (0.0, 0.0);
    for ((_, i), step) in order.iter().zip(steps).rev() {
        let here = right(*i);
        value += (here - after) * step;
        sums[*i as usize] += value;
        after = here;
    }
}

/// `r_j / k` of all points, where `next` is the probability that a point is drawn after `a` of `m` others were.
pub(crate) fn steps(points: usize, k: usize, next: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    // Probability that a of m points are drawn, for a below k.
    let mut drawn = vec![0.0; k.min(points)];
    drawn.iter_mut().take(1).for_each(|none| *none = 1.0);
    (0..points)
        .map(|m| {
            let few = drawn.iter().sum::<f64>() / k as f64;
            for a in (0..drawn.len()).rev() {
                let before = if a > 0 { drawn[a - 1] * next(m, a - 1) } else { 0.0 };
                drawn[a] = drawn[a] * (1.0 - next(m, a)) + before;
            }
            few
        })
        .collect()
}
