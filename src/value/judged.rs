//! The points, those that judge them, and sums over the latter that do not depend on the threads.

use rayon::prelude::*;

use crate::choose::Evidence;
use crate::error::{Error, Result};

/// Features and labels of the points and of the validation points; there is at least one of these.
pub(crate) struct Judged<'a> {
    /// Features, a row a point.
    pub(crate) rows: &'a [f32],
    pub(crate) width: usize,
    pub(crate) labels: &'a [u32],
    /// Features of the validation points.
    pub(crate) others: &'a [f32],
    /// Their labels.
    pub(crate) wanted: &'a [u32],
}

impl<'a> Judged<'a> {
    /// [`Error::Unknown`] in the name of who asks, [`Error::Shape`] if validation points have another width.
    pub(crate) fn of(evidence: &Evidence<'a>, name: &str) -> Result<Self> {
        let (rows, width) = evidence.features(name)?;
        let labels = evidence.labels(name)?;
        let validation = evidence.validation(name)?;
        let (others, found) = validation.features(name)?;
        if found != width {
            return Err(Error::shape("width of validation features", width, found));
        }
        Ok(Self { rows, width, labels, others, wanted: validation.labels(name)? })
    }
}

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
