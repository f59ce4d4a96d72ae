//! Figures of merit on plain slices: how right predictions are, how well scores rank, how results
//! of repeated runs spread.
//!
//! Each function says what equal scores mean to it, and none depends on the order of the points.

use crate::error::{Error, Result};

/// Share of the predictions that equal the truth, `#{i : predicted_i = truth_i} / n`.
///
/// # Errors
/// [`Error::Shape`] if there are none, or not as many predictions as true labels.
///
/// ```
/// assert_eq!(gleaner::experiment::metrics::accuracy(&[0, 1, 2, 2], &[0, 1, 1, 2])?, 0.75);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn accuracy(predicted: &[u32], truth: &[u32]) -> Result<f64> {
    if predicted.len() != truth.len() {
        return Err(Error::shape("predicted labels", truth.len(), predicted.len()));
    }
    if truth.is_empty() {
        return Err(Error::shape("predicted labels", "at least one", 0));
    }
    let right = predicted.iter().zip(truth).filter(|(p, t)| p == t).count();
    Ok(right as f64 / truth.len() as f64)
}

/// Area under the precision-recall curve as a step function, high scores first.
///
/// ```text
/// AP = sum over thresholds t, descending, of (recall_t - recall_before_t) * precision_t
/// ```
///
/// Thresholds are the distinct scores, so points of equal score enter together: constant scores
/// give the share of positives. The right number for finding few among many, such as wrong labels.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ, [`Error::NotFinite`] for a score that is NaN or infinite,
/// [`Error::OutOfRange`] if there is no positive.
///
/// ```
/// let ap = gleaner::experiment::metrics::average_precision(&[0.9, 0.8, 0.3], &[true, false, true])?;
/// assert!((ap - (0.5 * 1.0 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Result<f64> {
    let positives = count_positives(scores, positive)?;
    let (mut seen, mut hits, mut sum) = (0, 0, 0.0);
    for group in descending_groups(scores) {
        let new_hits = group.iter().filter(|&&i| positive[i]).count();
        seen += group.len();
        hits += new_hits;
        sum += new_hits as f64 * hits as f64 / seen as f64;
    }
    Ok(sum / positives as f64)
}

/// Probability that a random positive scores higher than a random negative, equal scores counting
/// one half: the area under the ROC curve.
///
/// ```text
/// AUC = (sum of the positives' average ranks - P (P + 1) / 2) / (P N)
/// ```
///
/// with `P` positives, `N` negatives and rank 1 for the lowest score (the Mann-Whitney statistic).
///
/// # Errors
/// [`Error::Shape`] if the lengths differ, [`Error::NotFinite`] for a score that is NaN or infinite,
/// [`Error::OutOfRange`] unless there are both positives and negatives.
///
/// ```
/// assert_eq!(gleaner::experiment::metrics::roc_auc(&[0.1, 0.4, 0.4, 0.8], &[false, false, true, true])?, 0.875);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn roc_auc(scores: &[f64], positive: &[bool]) -> Result<f64> {
    let positives = count_positives(scores, positive)?;
    let negatives = scores.len() - positives;
    if negatives == 0 {
        return Err(Error::range("negatives", "at least 1", 0.0));
    }
    let ranks = average_ranks(scores);
    let rank_sum: f64 = ranks.iter().zip(positive).filter(|(_, p)| **p).map(|(rank, _)| rank).sum();
    let (p, n) = (positives as f64, negatives as f64);
    Ok((rank_sum - p * (p + 1.0) / 2.0) / (p * n))
}

/// Share of the positives that are among the `k` highest scores.
///
/// ```text
/// recall@k = (positives among the k highest) / (all positives)
/// ```
///
/// Where equal scores straddle the cut, the value is the mean over all ways to break the tie: a
/// group of `g` points with `h` positives, of which `r` fit, contributes `r · h / g`.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ, [`Error::NotFinite`] for a score that is NaN or infinite,
/// [`Error::OutOfRange`] if there is no positive or `k` is not in 1..=n.
///
/// ```
/// let scores = [0.9, 0.5, 0.5, 0.1];
/// assert_eq!(gleaner::experiment::metrics::recall_at(&scores, &[true, true, false, false], 2)?, 0.75);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn recall_at(scores: &[f64], positive: &[bool], k: usize) -> Result<f64> {
    let positives = count_positives(scores, positive)?;
    if !(1..=scores.len()).contains(&k) {
        let rule = "from 1 to the number of scores";
        return Err(Error::range("k", rule, k as f64));
    }
    let (mut room, mut hits) = (k, 0.0);
    for group in descending_groups(scores) {
        let taken = group.len().min(room);
        let in_group = group.iter().filter(|&&i| positive[i]).count();
        hits += taken as f64 * in_group as f64 / group.len() as f64;
        room -= taken;
        if room == 0 {
            break;
        }
    }
    Ok(hits / positives as f64)
}

/// Mean and sample standard deviation, for example of one result over several seeds.
///
/// ```text
/// mean = sum x_i / n        std = sqrt(sum (x_i - mean)^2 / (n - 1))
/// ```
///
/// One value has standard deviation 0, for there is nothing to estimate it from; no values give NaN
/// for both, and a NaN among the values makes both NaN.
///
/// ```
/// assert_eq!(gleaner::experiment::metrics::mean_and_std(&[1.0, 2.0, 3.0]), (2.0, 1.0));
/// ```
pub fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let degrees = if values.len() == 1 { 1.0 } else { n - 1.0 };
    // Without values, 0 / -1 would be -0; the mean is 0 / 0 = NaN, which is the honest answer.
    let std = if values.is_empty() { f64::NAN } else { (squares / degrees).sqrt() };
    (mean, std)
}

/// Mean, and half the width of its 95 % confidence interval by Student's t:
///
/// ```text
/// half = t_{n - 1} std / sqrt(n)
/// ```
///
/// One value has an infinite interval; no values give NaN for the mean.
///
/// ```
/// let (mean, half) = gleaner::experiment::metrics::mean_interval(&[1.0, 2.0, 3.0]);
/// assert!(mean == 2.0 && (half - 4.303 / 3f64.sqrt()).abs() < 1e-9);
/// ```
pub fn mean_interval(values: &[f64]) -> (f64, f64) {
    /// The 97.5 % points for 1, 2, … degrees of freedom.
    const T: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ];
    let (mean, std) = mean_and_std(values);
    match values.len() {
        0 => (mean, f64::NAN),
        1 => (mean, f64::INFINITY),
        // Beyond the table a little wide.
        n => (mean, T[(n - 2).min(T.len() - 1)] * std / (n as f64).sqrt()),
    }
}

/// Spearman's rank correlation: do `a` and `b` order the points alike? In [-1, 1].
///
/// ```text
/// rho = cov(rank a, rank b) / sqrt(var(rank a) var(rank b))
/// ```
///
/// Equal values share the mean of the ranks they occupy.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ or there are no values, [`Error::NotFinite`] for a value
/// that is NaN or infinite, [`Error::OutOfRange`] if all values of `a` or of `b` are equal (the
/// correlation is then undefined).
///
/// ```
/// assert_eq!(gleaner::experiment::metrics::spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0])?, 1.0);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn spearman(a: &[f64], b: &[f64]) -> Result<f64> {
    if a.len() != b.len() {
        return Err(Error::shape("second list", a.len(), b.len()));
    }
    check_finite("first list", a)?;
    check_finite("second list", b)?;
    let (a, b) = (centred(average_ranks(a)), centred(average_ranks(b)));
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    for (what, ranks) in [
        ("number of distinct values in the first list", &a),
        ("number of distinct values in the second list", &b),
    ] {
        // Centred ranks are multiples of one half, exactly 0 if and only if all values are equal.
        if ranks.iter().all(|&rank| rank == 0.0) {
            return Err(Error::range(what, "at least 2", 1.0));
        }
    }
    Ok((dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()).clamp(-1.0, 1.0))
}

/// Rank of every value, from 1 for the lowest; equal values share the mean of the ranks they occupy.
///
/// # Errors
/// [`Error::Shape`] if there are no values, [`Error::NotFinite`] for one that is NaN or infinite.
///
/// ```
/// assert_eq!(gleaner::experiment::metrics::ranks(&[3.0, 1.0, 3.0])?, [2.5, 1.0, 2.5]);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn ranks(values: &[f64]) -> Result<Vec<f64>> {
    check_finite("values to rank", values)?;
    Ok(average_ranks(values))
}

/// Checks scores against their marks and counts the positives, of which there must be one.
fn count_positives(scores: &[f64], positive: &[bool]) -> Result<usize> {
    if scores.len() != positive.len() {
        return Err(Error::shape("scores", positive.len(), scores.len()));
    }
    check_finite("scores", scores)?;
    match positive.iter().filter(|&&mark| mark).count() {
        0 => Err(Error::range("positives", "at least 1", 0.0)),
        positives => Ok(positives),
    }
}

fn check_finite(what: &'static str, values: &[f64]) -> Result<()> {
    if values.is_empty() {
        return Err(Error::shape(what, "at least one value", 0));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(row) => Err(Error::NotFinite { what, row, column: 0, found: values[row] }),
    }
}

/// Positions grouped by equal score, the highest score first. Scores are finite.
fn descending_groups(scores: &[f64]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    // Compared as numbers: total_cmp puts -0 next to 0, and the two are equal scores.
    order.chunk_by(|&a, &b| scores[a] == scores[b]).map(<[usize]>::to_vec).collect()
}

/// Ranks from 1, lowest value first; equal values share the mean of their ranks. Values are finite.
fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut above = values.len();
    for group in descending_groups(values) {
        // The group holds ranks above - len + 1 ..= above.
        let rank = above as f64 - (group.len() as f64 - 1.0) / 2.0;
        above -= group.len();
        for i in group {
            ranks[i] = rank;
        }
    }
    ranks
}

/// Minus the mean of all ranks, which is `(n + 1) / 2` whatever the ties.
fn centred(mut ranks: Vec<f64>) -> Vec<f64> {
    let mean = (ranks.len() as f64 + 1.0) / 2.0;
    ranks.iter_mut().for_each(|rank| *rank -= mean);
    ranks
}
