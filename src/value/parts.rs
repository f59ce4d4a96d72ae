//! Sums in parts that do not depend on the threads.

use rayon::prelude::*;

/// Parts that are summed apart.
const PARTS: usize = 64;

/// In how long runs of `items` the parts come.
pub(crate) fn part(items: usize) -> usize {
    items.div_ceil(PARTS).max(1)
}

/// What `add` adds up over the items, in a fixed order.
pub(crate) fn sums<T: Sync>(
    length: usize,
    items: &[T],
    add: impl Fn(&T, &mut [f64]) + Sync,
) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = (items.par_chunks(part(items.len())))
        .map(|items| {
            let mut sums = vec![0.0; length];
            items.iter().for_each(|item| add(item, &mut sums));
            sums
        })
        .collect();
    parts.into_iter().fold(vec![0.0; length], |mut sums, part| {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        sums
    })
}
