//! Everything of a table that is worth a second look, in one pass.

use nalgebra::DMatrix;

use crate::Seeds;
use crate::choose::neighbours::near::{Lists, Near, near_standardised};
use crate::choose::strategies::within::moderate::median;
use crate::choose::{CrossFit, Evidence, OutOfFold};
use crate::error::{Error, Result};
use crate::value::ConfidentLearning;

/// How an [`Audit`] is made.
///
/// ```text
/// labels       p out of fold by CrossFit; wrong are those of points that ConfidentLearning holds to be confidently of another
///              class, or holds to be wrong, if they are not the most probable class
/// agreement    the share of the nearest others that have the label
/// duplicates   pairs of neighbours nearer to each other than a share of the usual reach
/// outliers     points whose neighbours are far: reach = mean distance to the nearest others, log reach above the median
///              by more than so many deviations (1.4826 times the median absolute one)
/// ```
///
/// Distances are Euclidean, between standardised features.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditOptions {
    /// Where probabilities come from.
    pub cross_fit: CrossFit,
    /// Others that are asked; 15 by default, fewer where there are not so many.
    pub neighbours: usize,
    /// Two points nearer than this share of the median reach are duplicates; 0.01 by default. Equal ones always are.
    pub duplicate: f64,
    /// Deviations that make an outlier; 5 by default.
    pub outlier: f64,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { cross_fit: CrossFit::default(), neighbours: 15, duplicate: 0.01, outlier: 5.0 }
    }
}

/// What speaks against a label.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LabelVerdict {
    /// The probability of the label, out of fold.
    pub probability: f64,
    /// The most probable class.
    pub likely: u32,
    /// And how probable it is.
    pub likely_probability: f64,
    /// The share of the nearest others that have the label.
    pub agreement: f64,
    /// Whether it is held to be wrong.
    pub wrong: bool,
}

/// Two points that are nearly one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Duplicate {
    /// The smaller index.
    pub first: usize,
    /// The larger one.
    pub second: usize,
    /// Between them, of standardised features.
    pub distance: f64,
}

/// What an audit found.
///
/// # Example
/// ```
/// use gleaner::Seeds;
/// use gleaner::choose::Evidence;
/// use gleaner::value::{Audit, AuditOptions};
///
/// // Two clusters on a line, ten points each; the label of the fourth is wrong, and two points are one.
/// let mut features: Vec<f32> = (0..20).map(|i| if i < 10 { i as f32 } else { 100.0 + i as f32 }).collect();
/// features[19] = features[18];
/// let labels: Vec<u32> = (0..20).map(|i| u32::from(i >= 10) ^ u32::from(i == 3)).collect();
/// let evidence = Evidence::new(20).with_features(&features, 1)?.with_labels(&labels)?;
/// let audit = Audit::of(&evidence, &AuditOptions::default(), Seeds::new(0))?;
/// assert_eq!(audit.suspects(), [3]);
/// assert_eq!((audit.labels[3].likely, audit.duplicates[0].first), (0, 18));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Audit {
    /// One a point.
    pub labels: Vec<LabelVerdict>,
    /// Share of points labelled `a` that are of class `b`, `C x C`: where classes overlap or are confused.
    pub joint: DMatrix<f64>,
    /// Nearest first. Of many equal points each is named with one other at least.
    pub duplicates: Vec<Duplicate>,
    /// Mean distance of each point to its neighbours.
    pub reach: Vec<f64>,
    /// Points whose neighbours are far, the farthest first.
    pub outliers: Vec<usize>,
    /// Features that are the same number everywhere.
    pub constant: Vec<usize>,
    /// The share of the nearest others that were found, by a sample of 256 points; none up to 100,000 points, where all are
    /// compared.
    pub recall: Option<f64>,
}

const NAME: &str = "audit";

impl Audit {
    /// Looks at features and labels. `O(N^2 width)` time as products of matrices for the neighbours, and that of
    /// [`CrossFit`]; `O(N (width + neighbours + classes))` memory.
    ///
    /// From 100,000 points on the neighbours are nearly the nearest, in `O(N width)` time: each point is compared with those
    /// of its cell in several random divisions, then with its neighbours' neighbours. [`recall`](Self::recall) says how many
    /// were found; where dimensions are many and independent of one another it is low, and the nearest hardly nearer than others.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a setting that is none, [`Error::Unknown`] without features or labels, and those of
    /// [`CrossFit::classes`].
    pub fn of(evidence: &Evidence, options: &AuditOptions, seeds: Seeds) -> Result<Self> {
        let near = Self::near(evidence, options, seeds)?;
        let seen = Self::out_of_fold(evidence, options, &near, seeds)?;
        Self::made(evidence, options, near, &seen)
    }

    /// The first part of the work, and most of it where there are many points.
    pub(crate) fn near(evidence: &Evidence, options: &AuditOptions, seeds: Seeds) -> Result<Near> {
        options.check()?;
        let (features, width) = evidence.features(NAME)?;
        let (labels, classes) = labelled(evidence)?;
        options.cross_fit.check(features, width, labels, classes)?;
        let asked = options.neighbours.max(options.cross_fit.neighbours);
        near_standardised(features, width, asked, seeds)
    }

    /// The second part.
    pub(crate) fn out_of_fold(
        evidence: &Evidence,
        options: &AuditOptions,
        near: &Near,
        seeds: Seeds,
    ) -> Result<OutOfFold> {
        let (features, width) = evidence.features(NAME)?;
        let labelled = labelled(evidence)?;
        let cross_fit = &options.cross_fit;
        cross_fit.with_neighbours(features, width, labelled, &near.lists, seeds)
    }

    /// What both say.
    pub(crate) fn made(
        evidence: &Evidence,
        options: &AuditOptions,
        Near { lists, recall }: Near,
        seen: &OutOfFold,
    ) -> Result<Self> {
        let (features, width) = evidence.features(NAME)?;
        let (labels, classes) = labelled(evidence)?;
        let judged = Evidence::new(labels.len())
            .with_probabilities(&seen.probabilities, classes)?
            .with_labels(labels)?;
        let confident = ConfidentLearning::asked_by(NAME, &judged)?;
        let neighbours = Neighbours { lists, count: options.neighbours };
        let reach = |i| mean(neighbours.of(i).map(|(_, distance)| distance));
        let reach: Vec<f64> = (0..labels.len()).map(reach).collect();
        Ok(Self {
            labels: verdicts(labels, seen, &confident, &neighbours),
            joint: confident.joint,
            duplicates: duplicates(&neighbours, labels.len(), options.duplicate * median(&reach)),
            outliers: outliers(&reach, options.outlier),
            constant: constant(features, width),
            reach,
            recall,
        })
    }

    /// Points whose labels are held to be wrong, the least probable label first.
    pub fn suspects(&self) -> Vec<usize> {
        let probability = |i: &usize| self.labels[*i].probability;
        let mut suspects: Vec<usize> =
            (0..self.labels.len()).filter(|i| self.labels[*i].wrong).collect();
        suspects.sort_by(|a, b| probability(a).total_cmp(&probability(b)).then(a.cmp(b)));
        suspects
    }

    /// Estimated share of wrong labels.
    pub fn noise(&self) -> f64 {
        1.0 - self.joint.trace()
    }
}

impl AuditOptions {
    fn check(&self) -> Result<()> {
        if self.neighbours == 0 {
            return Err(Error::range("neighbours", "at least 1", 0.0));
        }
        for (what, found) in [("duplicate", self.duplicate), ("outlier", self.outlier)] {
            if !(found >= 0.0 && found.is_finite()) {
                return Err(Error::range(what, "finite and at least zero", found));
            }
        }
        Ok(())
    }
}

/// The nearest others of each point, so many of each.
struct Neighbours {
    lists: Lists,
    count: usize,
}

impl Neighbours {
    /// And their distances, the nearest first.
    fn of(&self, i: usize) -> impl Iterator<Item = (usize, f64)> {
        let distance = |(j, closeness): (u32, f64)| (j as usize, (-closeness).sqrt());
        self.lists.of(i).take(self.count).map(distance)
    }
}

/// Labels, and how many classes they name.
fn labelled<'a>(evidence: &Evidence<'a>) -> Result<(&'a [u32], usize)> {
    let labels = evidence.labels(NAME)?;
    Ok((labels, labels.iter().max().map_or(0, |largest| *largest as usize + 1)))
}

fn verdicts(
    labels: &[u32],
    seen: &OutOfFold,
    confident: &ConfidentLearning,
    neighbours: &Neighbours,
) -> Vec<LabelVerdict> {
    let likely = seen.likely();
    let of = |i: usize| {
        let p = |class: u32| f64::from(seen.probabilities[i * seen.classes + class as usize]);
        let same = neighbours.of(i).map(|(j, _)| f64::from(labels[j] == labels[i]));
        LabelVerdict {
            probability: p(labels[i]),
            likely: likely[i],
            likely_probability: p(likely[i]),
            agreement: if neighbours.of(i).next().is_none() { 1.0 } else { mean(same) },
            wrong: likely[i] != labels[i]
                && (confident.wrong[i] || confident.confident[i].is_some_and(|c| c != labels[i])),
        }
    };
    (0..labels.len()).map(of).collect()
}

fn duplicates(neighbours: &Neighbours, points: usize, threshold: f64) -> Vec<Duplicate> {
    let near = |i: usize| {
        let near = neighbours.of(i).take_while(move |(_, distance)| *distance <= threshold);
        near.map(move |(j, distance)| Duplicate { first: i.min(j), second: i.max(j), distance })
    };
    let mut found: Vec<Duplicate> = (0..points).flat_map(near).collect();
    found.sort_by(|a, b| {
        let pair = |d: &Duplicate| (d.first, d.second);
        a.distance.total_cmp(&b.distance).then(pair(a).cmp(&pair(b)))
    });
    found.dedup_by_key(|duplicate| (duplicate.first, duplicate.second));
    found
}

fn outliers(reach: &[f64], deviations: f64) -> Vec<usize> {
    /// Of a normal distribution, the standard over the median absolute deviation.
    const NORMAL: f64 = 1.4826;
    let logs: Vec<f64> = reach.iter().map(|reach| reach.max(f64::MIN_POSITIVE).ln()).collect();
    let middle = median(&logs);
    let off: Vec<f64> = logs.iter().map(|log| (log - middle).abs()).collect();
    let limit = middle + deviations * NORMAL * median(&off);
    // Where most points reach alike nothing says what is far.
    let far = |i: &usize| logs[*i] > limit && median(&off) > 0.0;
    let mut found: Vec<usize> = (0..reach.len()).filter(far).collect();
    found.sort_by(|a, b| reach[*b].total_cmp(&reach[*a]).then(a.cmp(b)));
    found
}

fn constant(features: &[f32], width: usize) -> Vec<usize> {
    let mut rows = features.chunks(width);
    let Some(first) = rows.next() else { return Vec::new() };
    let mut constant: Vec<usize> = (0..width).collect();
    rows.for_each(|row| constant.retain(|k| row[*k] == first[*k]));
    constant
}

/// Zero of nothing.
fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0u32), |(sum, count), number| (sum + number, count + 1));
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_apart_is_an_outlier_and_what_is_equal_a_duplicate() -> Result<()> {
        let mut features: Vec<f32> =
            (0..60).flat_map(|i| [(i % 8) as f32, (i / 8) as f32]).collect();
        features.extend([40.0, 40.0, 3.0, 3.0]); // far; equal to point 27
        let features: Vec<f32> = features.chunks(2).flat_map(|p| [p[0], p[1], 7.0]).collect();
        let labels: Vec<u32> = features.chunks(3).map(|p| u32::from(p[0] > 3.0)).collect();
        let evidence = Evidence::new(62).with_features(&features, 3)?.with_labels(&labels)?;
        let audit = Audit::of(&evidence, &AuditOptions::default(), Seeds::new(0))?;
        assert_eq!(audit.outliers, [60]);
        assert_eq!(audit.constant, [2]);
        let pairs: Vec<_> = audit.duplicates.iter().map(|d| (d.first, d.second)).collect();
        assert_eq!(pairs, [(27, 61)]);
        Ok(())
    }

    #[test]
    fn equal_points_have_no_outliers_and_settings_are_checked() -> Result<()> {
        let (features, labels) = (vec![1.0f32; 40], [[0u32, 1]; 20].concat());
        let evidence = Evidence::new(40).with_features(&features, 1)?.with_labels(&labels)?;
        let audit = Audit::of(&evidence, &AuditOptions::default(), Seeds::new(0))?;
        assert!(audit.outliers.is_empty() && audit.duplicates.len() >= 20);
        assert!(audit.labels.iter().all(|label| label.probability.is_finite()));
        for options in [
            AuditOptions { neighbours: 0, ..Default::default() },
            AuditOptions { outlier: f64::NAN, ..Default::default() },
            AuditOptions { duplicate: -1.0, ..Default::default() },
        ] {
            assert!(Audit::of(&evidence, &options, Seeds::new(0)).is_err());
        }
        Ok(())
    }
}
