//! Evidence that no point had a hand in: probabilities out of fold.

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::choose::evidence::check_table;
use crate::choose::neighbours::near::{Lists, near_standardised};
use crate::choose::neighbours::rows::first_largest;
use crate::choose::ridge::{Map, Sums, factor, one_hot};
use crate::choose::stack::shares;
use crate::data::stratified_folds;
use crate::error::{Error, Result};
use crate::seeds::Seeds;

/// Settings of [`CrossFit::classes`]: the judges of each fold, taught by the others.
///
/// ```text
/// phi(x)     x standardised and a one; or `fourier` waves cos(w'x + b), w ~ N(0, 1/s^2): a Gaussian kernel as wide as
///            the median distance s of some pairs; and a one
/// T          (Phi'Phi + lambda I)^-1 Phi'Y, Y one-hot labels, without the points of the fold
/// l(x), r(x) softmax(phi(x)'T / temperature), of the features themselves and of the waves
/// v(x)       (1/C + the number of each class among the k nearest others) / (1 + k), by standardised features
/// p(x)       w_1 l(x) + w_2 r(x) + w_3 v(x)
/// ```
///
/// A linear, a smooth and a local judge err differently: on tables, texts and pictures with flipped labels the mixture ranks
/// wrong labels as well as the best of them or better, and none is best everywhere.
///
/// `lambda` is the one of seven powers of ten (times the mean of the diagonal) with the least squared error out of fold,
/// the temperature that with the least cross-entropy, and so are the shares `w`, which are not negative and sum to one
/// (stacked generalisation).
///
/// # Cost
/// `O(n d^2 + folds d^3)` time for `d` features or waves, in blocks, on all cores, and `O(n^2 width)` for the
/// neighbours, which from 100,000 points on are [nearly](crate::value::Audit::recall) the nearest, in `O(n width)`;
/// `O(n (classes + k) + folds d^2)` memory beside the features. More than 2,048 features are folded to as many for the linear judge, each added to one or subtracted from it.
///
/// # References
/// A. Rahimi, B. Recht, *Random Features for Large-Scale Kernel Machines*, NeurIPS 2007; L. Breiman, *Stacked Regressions*,
/// Machine Learning 1996; K. Weinberger et al., *Feature Hashing for Large Scale Multitask Learning*, ICML 2009.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossFit {
    /// Parts of the data, of which each is judged by what the others teach; 5 by default.
    pub folds: usize,
    /// Whether there is the linear judge; there is by default.
    pub linear: bool,
    /// Waves; 512 by default. With none there is no smooth judge.
    pub fourier: usize,
    /// Others that vote; 15 by default. With none there is no local judge.
    pub neighbours: usize,
}

impl Default for CrossFit {
    fn default() -> Self {
        Self { folds: 5, linear: true, fourier: 512, neighbours: 15 }
    }
}

/// One of the judges of a [`CrossFit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JudgedBy {
    /// A ridge regression on the features.
    Linear {
        /// In units of the mean of the diagonal.
        ridge: f64,
        /// What scores are divided by.
        temperature: f64,
    },
    /// A ridge regression on waves of them.
    Smooth {
        /// In units of the mean of the diagonal.
        ridge: f64,
        /// What scores are divided by.
        temperature: f64,
    },
    /// The neighbours' votes.
    Local,
}

/// What was found out of fold.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutOfFold {
    /// A probability a class, a row a point: for [`Evidence::with_probabilities`](crate::choose::Evidence).
    pub probabilities: Vec<f32>,
    /// The neighbours' part of them, before it is mixed; empty where none were asked.
    pub votes: Vec<f32>,
    /// Classes.
    pub classes: usize,
    /// The fold of each point.
    pub folds: Vec<usize>,
    /// Who judged, and each one's share in the probabilities.
    pub judges: Vec<(JudgedBy, f64)>,
}

impl OutOfFold {
    /// The most likely class of each point; of equal ones the first.
    pub fn likely(&self) -> Vec<u32> {
        let rows = self.probabilities.chunks(self.classes);
        rows.map(|row| first_largest(row) as u32).collect()
    }
}

/// Ridges to choose from, in units of the mean of the diagonal of `Phi'Phi`.
const RIDGES: [f64; 7] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];
/// Features of the linear judge at most.
const WIDEST: usize = 2048;
/// Halvings of the range of the temperature's logarithm.
const HALVINGS: usize = 60;
/// Points that are looked at together.
const BLOCK: usize = 4096;

impl CrossFit {
    /// Probabilities of each class for each of the rows of `width` features, by what the points of other folds teach.
    /// Folds hold of every class the same number, up to one; a class of a single point is unknown to the folds that
    /// judge it. Constant features say nothing and are left out.
    ///
    /// # Errors
    /// [`Error::Shape`] if lengths do not fit, [`Error::NotFinite`] for features that are not,
    /// [`Error::OutOfRange`] for fewer than two folds or classes, fewer points than folds, or a label that is none of the
    /// classes.
    ///
    /// # Example
    /// ```
    /// use gleaner::Seeds;
    /// use gleaner::choose::CrossFit;
    ///
    /// // Two clusters on a line; the label of the fourth point is wrong.
    /// let features: Vec<f32> = (0..20).map(|i| if i < 10 { i as f32 } else { 100.0 + i as f32 }).collect();
    /// let labels: Vec<u32> = (0..20).map(|i| u32::from(i >= 10) ^ u32::from(i == 3)).collect();
    /// let seen = CrossFit::default().classes(&features, 1, &labels, 2, Seeds::new(0))?;
    /// let own = |i: usize| seen.probabilities[i * 2 + labels[i] as usize];
    /// let least = (0..20).min_by(|&a, &b| own(a).total_cmp(&own(b)));
    /// assert_eq!(least, Some(3));
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    pub fn classes(
        &self,
        features: &[f32],
        width: usize,
        labels: &[u32],
        classes: usize,
        seeds: Seeds,
    ) -> Result<OutOfFold> {
        self.check(features, width, labels, classes)?;
        let lists = near_standardised(features, width, self.neighbours, seeds)?.lists;
        self.with_neighbours(features, width, (labels, classes), &lists, seeds)
    }

    /// The same with lists of neighbours, of standardised rows, that are at least as long as is asked for.
    pub(crate) fn with_neighbours(
        &self,
        features: &[f32],
        width: usize,
        (labels, classes): (&[u32], usize),
        lists: &Lists,
        seeds: Seeds,
    ) -> Result<OutOfFold> {
        self.check(features, width, labels, classes)?;
        let folds = stratified_folds(labels, self.folds, &mut seeds.named("folds"));
        let places: Vec<Vec<usize>> = (0..self.folds)
            .map(|fold| (0..labels.len()).filter(|i| folds[*i] == fold).collect())
            .collect();
        let fit = |map: &Map| Folds { map, features, labels, classes, places: &places }.judged();
        let (mut judges, mut opinions) = (Vec::with_capacity(3), Vec::with_capacity(3));
        if self.linear {
            let map = Map::linear(features, width, WIDEST, &mut seeds.named("folded"))?;
            let (opinion, ridge, temperature) = fit(&map);
            judges.push(JudgedBy::Linear { ridge, temperature });
            opinions.push(opinion);
        }
        if self.fourier > 0 {
            let map = Map::new(features, width, self.fourier, &mut seeds.named("fourier"))?;
            let (opinion, ridge, temperature) = fit(&map);
            judges.push(JudgedBy::Smooth { ridge, temperature });
            opinions.push(opinion);
        }
        if self.neighbours > 0 {
            judges.push(JudgedBy::Local);
            opinions.push(votes(lists, (labels, classes), self.neighbours));
        }
        let own = |p: &Vec<f32>| {
            let rows = p.chunks(classes).zip(labels);
            rows.map(|(row, label)| f64::from(row[*label as usize])).collect()
        };
        let shares = shares(&opinions.iter().map(own).collect::<Vec<_>>());
        let mixed = |k: usize| {
            let parts = opinions.iter().zip(&shares);
            parts.map(|(p, share)| share * f64::from(p[k])).sum::<f64>() as f32
        };
        let probabilities = (0..labels.len() * classes).map(mixed).collect();
        let votes = opinions.pop().filter(|_| self.neighbours > 0).unwrap_or_default();
        let judges = judges.into_iter().zip(shares).collect();
        Ok(OutOfFold { probabilities, votes, classes, folds, judges })
    }

    pub(crate) fn check(
        &self,
        features: &[f32],
        width: usize,
        labels: &[u32],
        classes: usize,
    ) -> Result<()> {
        let points = labels.len();
        check_table("features", features, points, width)?;
        if classes < 2 {
            return Err(Error::range("classes", "at least 2", classes as f64));
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
            return Err(Error::range("labels", "below the number of classes", f64::from(*label)));
        }
        if !(2..=points).contains(&self.folds) {
            let rule = "at least 2, at most the number of points";
            return Err(Error::range("folds", rule, self.folds as f64));
        }
        if !self.linear && self.fourier == 0 && self.neighbours == 0 {
            return Err(Error::range("judges", "at least 1", 0.0));
        }
        Ok(())
    }
}

/// What a ridge regression is fitted on, fold by fold.
struct Folds<'a> {
    map: &'a Map,
    features: &'a [f32],
    labels: &'a [u32],
    classes: usize,
    /// The points of each fold.
    places: &'a [Vec<usize>],
}

impl Folds<'_> {
    /// Probabilities, the ridge and the temperature.
    fn judged(&self) -> (Vec<f32>, f64, f64) {
        let (scores, ridge) = match self.labels.len() < self.map.width() {
            true => self.by_points(),
            false => self.by_features(),
        };
        let temperature = temperature(&scores, self.labels);
        let probabilities = scores.column_iter().flat_map(|s| softmax(s.as_slice(), temperature));
        (probabilities.map(|p| p as f32).collect(), ridge, temperature)
    }

    /// Scores, a column a point, by `T = (Phi'Phi + lambda I)^-1 Phi'Y` of the other folds, and the best ridge. Its error
    /// takes no look at the points: for those of a fold `|Y - Phi T|^2 = |Y|^2 - 2 <T, Phi'Y> + <T, Phi'Phi T>`.
    fn by_features(&self) -> (DMatrix<f64>, f64) {
        let sums: Vec<Sums> = self.places.par_iter().map(|points| self.sums(points)).collect();
        let errors = |fold: usize| {
            let (others, own) = (Sums::without(&sums, fold), &sums[fold]);
            RIDGES.map(|ridge| {
                let taught = others.solve(ridge);
                taught.dot(&(&own.gram * &taught)) - 2.0 * taught.dot(&own.targets)
            })
        };
        let errors: Vec<_> = (0..sums.len()).into_par_iter().map(errors).collect();
        let best = smallest(errors);
        let taught = |fold| Sums::without(&sums, fold).solve(RIDGES[best]);
        let taught: Vec<_> = (0..sums.len()).into_par_iter().map(taught).collect();
        let blocks = self.places.iter().zip(&taught);
        let blocks: Vec<(&[usize], &DMatrix<f64>)> = blocks
            .flat_map(|(points, taught)| points.chunks(BLOCK).map(move |block| (block, taught)))
            .collect();
        let of = |(block, taught): &(&[usize], &DMatrix<f64>)| {
            taught.tr_mul(&self.map.rows(self.features, block).transpose())
        };
        let judged: Vec<DMatrix<f64>> = blocks.par_iter().map(of).collect();
        let mut scores = DMatrix::zeros(self.classes, self.labels.len());
        for ((block, _), judged) in blocks.iter().zip(&judged) {
            let columns = block.iter().zip(judged.column_iter());
            columns.for_each(|(i, column)| scores.set_column(*i, &column));
        }
        (scores, RIDGES[best])
    }

    /// Of the points of a fold, in blocks, the halves at the same time.
    fn sums(&self, points: &[usize]) -> Sums {
        let half = |points: &[usize]| {
            let mut blocks = points.chunks(BLOCK);
            let of = |block: &[usize]| {
                Sums::of(&self.map.rows(self.features, block), &self.targets(block))
            };
            let first = of(blocks.next().unwrap_or_default());
            blocks.fold(first, |mut sum, block| {
                sum.add(&of(block));
                sum
            })
        };
        if points.len() <= 2 * BLOCK {
            return half(points);
        }
        let (first, second) = points.split_at(points.len() / 2);
        let (mut sum, second) = rayon::join(|| half(first), || half(second));
        sum.add(&second);
        sum
    }

    /// The same by `Phi' (Phi Phi' + lambda I)^-1 Y`: less work where there are fewer points than features.
    fn by_points(&self) -> (DMatrix<f64>, f64) {
        let everyone: Vec<usize> = (0..self.labels.len()).collect();
        let rows = self.map.rows(self.features, &everyone);
        let products = &rows * rows.transpose();
        let of = |(fold, points): (usize, &Vec<usize>)| {
            let folds = self.places.iter().enumerate().filter(|(k, _)| *k != fold);
            let others: Vec<usize> = folds.flat_map(|(_, points)| points).copied().collect();
            let toward = products.select_rows(points).select_columns(&others);
            let taught = products.select_rows(&others).select_columns(&others);
            // The mean of the diagonal of Phi'Phi.
            let unit = (taught.trace() / rows.ncols() as f64).max(f64::MIN_POSITIVE);
            let wanted = self.targets(&others);
            RIDGES.map(|ridge| &toward * factor(&taught, ridge * unit).solve(&wanted))
        };
        let judged: Vec<_> = self.places.par_iter().enumerate().map(of).collect();
        let errors = |(scores, points): (&[DMatrix<f64>; RIDGES.len()], &Vec<usize>)| {
            let wanted = self.targets(points);
            scores.each_ref().map(|scores| (scores - &wanted).norm_squared())
        };
        let best = smallest(judged.iter().zip(self.places).map(errors));
        let mut scores = DMatrix::zeros(self.classes, self.labels.len());
        for (of, points) in judged.iter().zip(self.places) {
            let rows = of[best].row_iter().zip(points);
            rows.for_each(|(row, &i)| scores.set_column(i, &row.transpose()));
        }
        (scores, RIDGES[best])
    }

    fn targets(&self, points: &[usize]) -> DMatrix<f64> {
        one_hot(self.labels, points, self.classes)
    }
}

/// The ridge with the smallest sum over all folds; the first of equal ones.
fn smallest(errors: impl IntoIterator<Item = [f64; RIDGES.len()]>) -> usize {
    let mut squared = [0.0; RIDGES.len()];
    for fold in errors {
        squared.iter_mut().zip(fold).for_each(|(sum, error)| *sum += error);
    }
    let smaller = |best, k| if squared[k] < squared[best] { k } else { best };
    (0..squared.len()).fold(0, smaller)
}

/// The classes of the `k` nearest others, and one vote for all classes together.
fn votes(lists: &Lists, (labels, classes): (&[u32], usize), k: usize) -> Vec<f32> {
    let of = |i: usize| {
        let share = 1.0 / (1.0 + lists.of(i).take(k).count() as f32);
        let mut votes = vec![share / classes as f32; classes];
        lists.of(i).take(k).for_each(|(j, _)| votes[labels[j as usize] as usize] += share);
        votes
    };
    (0..labels.len()).flat_map(of).collect()
}

/// The one with the least cross-entropy, which is convex in its inverse: bisection on its logarithm. A column a point;
/// where there are more than labels, these begin again.
pub(crate) fn temperature(scores: &DMatrix<f64>, labels: &[u32]) -> f64 {
    // d/d(1/t) of the sum of -log p: the mean score less the label's.
    let of = |s: &[f64], label: u32, temperature: f64| {
        let top = s.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        let (mut mean, mut sum) = (0.0, 0.0);
        for score in s {
            let power = ((score - top) / temperature).exp();
            mean += power * score;
            sum += power;
        }
        mean / sum - s[label as usize]
    };
    let columns: Vec<(&[f64], u32)> = scores
        .as_slice()
        .chunks(scores.nrows().max(1))
        .zip(labels.iter().copied().cycle())
        .collect();
    // Blocks in their order, so that no number depends on threads.
    let slope = |temperature: f64| -> f64 {
        let block = |block: &[(&[f64], u32)]| -> f64 {
            block.iter().map(|(s, label)| of(s, *label, temperature)).sum()
        };
        columns.par_chunks(BLOCK).map(block).collect::<Vec<f64>>().iter().sum()
    };
    let (mut low, mut high) = (1e-3f64.ln(), 1e3f64.ln());
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        // A positive slope asks for a smaller inverse.
        if slope(middle.exp()) > 0.0 { low = middle } else { high = middle }
    }
    (0.5 * (low + high)).exp()
}

pub(crate) fn softmax(scores: &[f64], temperature: f64) -> Vec<f64> {
    let top = scores.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let powers = move |s: &f64| ((s - top) / temperature).exp();
    let sum: f64 = scores.iter().map(powers).sum();
    scores.iter().map(powers).map(|p| p / sum).collect()
}
