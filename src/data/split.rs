//! How data is cut into batches and parts, and how labels are made wrong on purpose.

use std::collections::BTreeMap;

use rand::{Rng, RngCore, seq::SliceRandom};

use crate::data::dataset::check_labels;
use crate::data::shares::proportional;
use crate::error::{Error, Result};

/// One epoch: the indices `0..points` in random order, cut into batches of `batch_size`.
///
/// Every index comes exactly once. The last batch is shorter if `batch_size` does not divide
/// `points`. A `batch_size` of 0 counts as 1, and no points give no batches.
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let batches = gleaner::data::shuffled_batches(10, 4, &mut rng);
/// assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
/// ```
pub fn shuffled_batches(
    points: usize,
    batch_size: usize,
    rng: &mut dyn RngCore,
) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..points).collect();
    order.shuffle(rng);
    order.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}

/// The fold of each point, from 0: those of a class are dealt in turns, going on where the class before ended, so that folds
/// hold the same number of every class, up to one, and of all points. Without folds, all zeros.
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let folds = gleaner::data::stratified_folds(&[0, 0, 0, 0, 1, 1], 2, &mut rng);
/// assert_eq!(folds.iter().filter(|fold| **fold == 0).count(), 3);
/// assert_ne!(folds[4], folds[5]);
/// ```
pub fn stratified_folds(labels: &[u32], folds: usize, rng: &mut dyn RngCore) -> Vec<usize> {
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    labels.iter().enumerate().for_each(|(i, label)| classes.entry(*label).or_default().push(i));
    let (mut of, mut next) = (vec![0; labels.len()], 0);
    for mut points in classes.into_values() {
        points.shuffle(rng);
        for i in points {
            of[i] = next % folds.max(1);
            next += 1;
        }
    }
    of
}

/// Splits the positions of `labels` at random into `first` and the rest, class proportions kept.
///
/// A class with `n_c` of the `n` points gives `first · n_c / n` of them to the first part, rounded
/// so that the counts add up to `first`: each quota is rounded down, and the largest remainders are
/// rounded up (equal remainders: the smaller label first). Both lists are ascending.
///
/// # Errors
/// [`Error::OutOfRange`] if `first` is larger than the number of labels.
///
/// # Example
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let labels = [0, 0, 0, 0, 1, 1];
/// let (validation, train) = gleaner::data::stratified_split(&labels, 3, &mut rng)?;
/// assert_eq!(validation.iter().filter(|&&i| labels[i] == 0).count(), 2);
/// assert_eq!((validation.len(), train.len()), (3, 3));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn stratified_split(
    labels: &[u32],
    first: usize,
    rng: &mut dyn RngCore,
) -> Result<(Vec<usize>, Vec<usize>)> {
    if first > labels.len() {
        return Err(Error::range(
            "size of the first part",
            "at most the number of points",
            first as f64,
        ));
    }
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (point, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(point);
    }
    let sizes: Vec<usize> = members.values().map(Vec::len).collect();
    let (mut left, mut right) = (Vec::with_capacity(first), Vec::new());
    for (mut points, take) in members.into_values().zip(proportional(&sizes, first)) {
        points.shuffle(rng);
        left.extend_from_slice(&points[..take]);
        right.extend_from_slice(&points[take..]);
    }
    left.sort_unstable();
    right.sort_unstable();
    Ok((left, right))
}

/// Labels of which exactly `round(fraction · n)` are wrong, and which ones those are.
///
/// The points are chosen uniformly without replacement; each gets one of the *other* classes,
/// uniformly, so that every entry marked `true` really differs.
///
/// # Errors
/// [`Error::OutOfRange`] if `fraction` is not in [0, 1], a label is not below `classes`, or there
/// is no other class (`classes < 2` with a positive `fraction`).
pub fn flip_labels(
    labels: &[u32],
    classes: usize,
    fraction: f64,
    rng: &mut dyn RngCore,
) -> Result<(Vec<u32>, Vec<bool>)> {
    // Labels are u32, so more than 2^32 classes cannot be named and the cap loses nothing.
    let others = u32::try_from(classes.saturating_sub(1)).unwrap_or(u32::MAX);
    // One of the other classes: those from the true label on move up by one.
    flip(labels, classes, fraction, rng, |label, rng| {
        let other = rng.random_range(0..others);
        other + u32::from(other >= label)
    })
}

/// The same where every wrong label is the next class, and the first after the last: the mistakes of a class are all
/// alike, which is harder to find out than mistakes at random.
///
/// # Errors
/// As [`flip_labels`].
pub fn flip_labels_to_next(
    labels: &[u32],
    classes: usize,
    fraction: f64,
    rng: &mut dyn RngCore,
) -> Result<(Vec<u32>, Vec<bool>)> {
    let next = |label: u32, _: &mut dyn RngCore| match label as usize + 1 {
        next if next < classes => label + 1,
        _ => 0,
    };
    flip(labels, classes, fraction, rng, next)
}

fn flip(
    labels: &[u32],
    classes: usize,
    fraction: f64,
    mut rng: &mut dyn RngCore,
    wrong: impl Fn(u32, &mut dyn RngCore) -> u32,
) -> Result<(Vec<u32>, Vec<bool>)> {
    if !(0.0..=1.0).contains(&fraction) {
        let (what, rule) = ("fraction of labels to flip", "in [0, 1]");
        return Err(Error::range(what, rule, fraction));
    }
    check_labels(labels, classes)?;
    if classes < 2 && fraction > 0.0 {
        let (what, rule) = ("number of classes", "at least 2 to flip labels");
        return Err(Error::range(what, rule, classes as f64));
    }
    let (mut noisy, mut flipped) = (labels.to_vec(), vec![false; labels.len()]);
    let count = (fraction * labels.len() as f64).round() as usize;
    for point in rand::seq::index::sample(&mut rng, labels.len(), count) {
        noisy[point] = wrong(labels[point], rng);
        flipped[point] = true;
    }
    Ok((noisy, flipped))
}
