//! Evidence that no point had a hand in: probabilities out of fold.

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::choose::evidence::check_table;
use crate::choose::neighbours::nearest::nearest_rows;
use crate::choose::neighbours::rows::first_largest;
use crate::choose::ridge::{Map, Sums, factor, one_hot};
use crate::choose::stack::shares;
use crate::data::{Standardiser, stratified_folds};
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
/// `O(n d^2 + folds d^3)` time for `d` features or waves, in blocks of a fold, on all cores, and `O(n^2 width)` for the
/// neighbours; `O(n d / folds + folds d^2 + n k)` memory. 20,000 points with 100 features take three seconds on two
/// cores. More than 2,048 features are folded to as many for the linear judge, each added to one or subtracted from it.
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
        let mut votes = Vec::new();
        if self.neighbours > 0 {
            let rows = Standardiser::fit(features, width)?.apply(features);
            votes = self::votes(&rows, width, (labels, classes), self.neighbours);
            judges.push(JudgedBy::Local);
            opinions.push(votes.clone());
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
        let judges = judges.into_iter().zip(shares).collect();
        Ok(OutOfFold { probabilities, votes, classes, folds, judges })
    }

    fn check(&self, features: &[f32], width: usize, labels: &[u32], classes: usize) -> Result<()> {
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
        let judged = match self.labels.len() < self.map.width() {
            true => self.by_points(),
            false => self.by_features(),
        };
        let mut squared = [0.0; RIDGES.len()];
        for (scores, points) in judged.iter().zip(self.places) {
            let wanted = self.targets(points);
            let errors = squared.iter_mut().zip(scores);
            errors.for_each(|(sum, scores)| *sum += (scores - &wanted).norm_squared());
        }
        let best = (0..RIDGES.len()).min_by(|a, b| squared[*a].total_cmp(&squared[*b]));
        let best = best.unwrap_or_default(); // there are seven
        let mut scores = DMatrix::zeros(self.classes, self.labels.len());
        for (of, points) in judged.iter().zip(self.places) {
            for (row, &i) in of[best].row_iter().zip(points) {
                scores.set_column(i, &row.transpose());
            }
        }
        let temperature = temperature(&scores, self.labels);
        let probabilities = scores.column_iter().flat_map(|s| softmax(s.as_slice(), temperature));
        (probabilities.map(|p| p as f32).collect(), RIDGES[best], temperature)
    }

    /// Scores of each fold at each ridge, by `(Phi'Phi + lambda I)^-1 Phi'Y`.
    fn by_features(&self) -> Vec<[DMatrix<f64>; RIDGES.len()]> {
        let sums: Vec<Sums> = (self.places.par_iter())
            .map(|points| Sums::of(&self.map.rows(self.features, points), &self.targets(points)))
            .collect();
        let of = |(fold, points): (usize, &Vec<usize>)| {
            let taught = Sums::without(&sums, fold);
            let rows = self.map.rows(self.features, points);
            RIDGES.map(|ridge| &rows * taught.solve(ridge))
        };
        self.places.par_iter().enumerate().map(of).collect()
    }

    /// The same by `Phi' (Phi Phi' + lambda I)^-1 Y`: less work where there are fewer points than features.
    fn by_points(&self) -> Vec<[DMatrix<f64>; RIDGES.len()]> {
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
        self.places.par_iter().enumerate().map(of).collect()
    }

    fn targets(&self, points: &[usize]) -> DMatrix<f64> {
        one_hot(self.labels, points, self.classes)
    }
}

/// The classes of the `k` nearest others, and one vote for all classes together.
fn votes(rows: &[f32], width: usize, (labels, classes): (&[u32], usize), k: usize) -> Vec<f32> {
    let nearest = nearest_rows(rows, width, k);
    let of = |list: Vec<(u32, f64)>| {
        let share = 1.0 / (1.0 + list.len() as f32);
        let mut votes = vec![share / classes as f32; classes];
        list.iter().for_each(|(j, _)| votes[labels[*j as usize] as usize] += share);
        votes
    };
    nearest.into_iter().flat_map(of).collect()
}

/// The one with the least cross-entropy, which is convex in its inverse: bisection on its logarithm. A column a point;
/// where there are more than labels, these begin again.
pub(crate) fn temperature(scores: &DMatrix<f64>, labels: &[u32]) -> f64 {
    // d/d(1/t) of the sum of -log p: the mean score less the label's.
    let slope = |temperature: f64| -> f64 {
        let of = |(s, label): (nalgebra::DVectorView<f64>, &u32)| {
            let p = softmax(s.as_slice(), temperature);
            let mean: f64 = p.iter().zip(s.iter()).map(|(p, s)| p * s).sum();
            mean - s[*label as usize]
        };
        scores.column_iter().zip(labels.iter().cycle()).map(of).sum()
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
