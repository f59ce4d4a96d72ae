//! A learner whose training has a closed form, so that the validation loss has an exact gradient in every
//! weight.

use std::sync::Arc;

use nalgebra::DMatrix;
use rand::Rng;

use super::normal::Normal;
use crate::choose::ridge::{Map, one_hot};
use crate::choose::{softmax, temperature};
use crate::error::{Error, Result};

/// What is to be learned of some points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Targets<'a> {
    /// A label a point, and how many classes there are.
    Classes(&'a [u32], usize),
    /// A number a point.
    Numbers(&'a [f32]),
}

/// Some points: their features, row-major, and what is to be learned of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lesson<'a> {
    /// A row a point.
    pub rows: &'a [f32],
    /// What is to be learned.
    pub targets: Targets<'a>,
}

/// Ridge regression with a weight a point, and what its validation loss owes to each weight.
///
/// ```text
/// A    X'W X + ridge u m I                   W = diag(w) m / sum w for m points, u the mean square of a feature
/// T    A^-1 X'W Y                            Y one-hot labels, or numbers
/// L    mean cross-entropy of softmax(X_val T / temperature), or mean squared error of X_val T
/// dL/dw_j = m / sum w (g_j - sum_k w_k g_k / sum w),     g_j = <y_j - T'x_j, B'x_j>,     B = A^-1 dL/dT
/// ```
///
/// with `x` the standardised features, random waves of them or both kinds of the caller's own, and a one. The weights
/// are normalised first: their scale is not a regulariser. Unlike one look-ahead step of a trainer this sees the end of
/// training, and all points at once.
///
/// # Cost
/// A [verdict](Self::verdict) over `m` points with `d` features takes `O(m d min(m, d) + min(m, d)^3)` time, all `m`
/// derivatives included. `O((n + n_val) d)` memory.
///
/// # Reference
/// A. Rahimi, B. Recht, *Random Features for Large-Scale Kernel Machines*, NeurIPS 2007, for the waves; the gradient is
/// that of influence functions (P. Koh, P. Liang, ICML 2017), exact because the loss is quadratic.
///
/// # Example
/// ```
/// use gleaner::Seeds;
/// use gleaner::joint::{Judge, Lesson, Targets};
///
/// // On a line: zeros left, ones right; the label of the third point is wrong.
/// let taught = Lesson { rows: &[0.0, 1.0, 2.0, 8.0, 9.0], targets: Targets::Classes(&[0, 0, 1, 1, 1], 2) };
/// let asked = Lesson { rows: &[0.5, 1.5, 2.5, 7.5, 8.5], targets: Targets::Classes(&[0, 0, 0, 1, 1], 2) };
/// let judge = Judge::new(taught, asked, 1, 0, Seeds::new(0))?;
/// let verdict = judge.verdict(&[0, 1, 2, 3, 4], &[1.0; 5])?;
/// let most = (0..5).max_by(|&a, &b| verdict.by_weight[a].total_cmp(&verdict.by_weight[b]));
/// assert_eq!(most, Some(2)); // more weight for it, more loss
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Judge {
    taught: Arc<Side>,
    asked: Arc<Side>,
    classes: bool,
    /// Mean square of a feature.
    unit: f64,
    /// In units of the mean square of a feature and the number of points; 0.01 until [tuned](Self::tune).
    pub ridge: f64,
    /// Divides the scores of classes; 0.1 until [tuned](Self::tune).
    pub temperature: f64,
}

/// `X` and `Y`, a row a point.
#[derive(Debug)]
struct Side {
    rows: DMatrix<f64>,
    targets: DMatrix<f64>,
    labels: Vec<u32>,
}

/// What a [`Judge`] says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// Validation loss.
    pub loss: f64,
    /// Its derivative in the weight of each point.
    pub by_weight: Vec<f64>,
}

/// Ridges to choose from.
const RIDGES: [f64; 6] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

impl Judge {
    /// On rows of `width` features, through `fourier` random waves of them, or as they are if that is zero; standardised
    /// in both cases by the rows that are `taught`.
    ///
    /// # Errors
    /// [`Error::Shape`] if lengths do not fit, one side is empty or the targets are of different kinds,
    /// [`Error::NotFinite`] for numbers that are not, [`Error::OutOfRange`] for a label that is none of the classes.
    pub fn new(
        taught: Lesson,
        asked: Lesson,
        width: usize,
        fourier: usize,
        seeds: crate::Seeds,
    ) -> Result<Self> {
        let map = Map::new(taught.rows, width, fourier, &mut seeds.named("fourier"))?;
        let classes = matches!(taught.targets, Targets::Classes(..));
        let taught = Side::new(&map, taught, width)?;
        let asked = Side::new(&map, asked, width)?;
        if taught.targets.ncols() != asked.targets.ncols()
            || taught.labels.is_empty() != asked.labels.is_empty()
        {
            let found = asked.targets.ncols();
            return Err(Error::shape("validation targets", "as those of the points", found));
        }
        let unit = taught.rows.norm_squared() / taught.rows.len() as f64;
        let (taught, asked) = (Arc::new(taught), Arc::new(asked));
        Ok(Self { taught, asked, classes, unit, ridge: 1e-2, temperature: 0.1 })
    }

    /// Points that can be taught.
    pub fn points(&self) -> usize {
        self.taught.rows.nrows()
    }

    /// Points that are asked.
    pub fn validation_points(&self) -> usize {
        self.asked.rows.nrows()
    }

    /// The same judge, asked about these validation points alone.
    ///
    /// # Errors
    /// [`Error::Shape`] for none, [`Error::OutOfRange`] for an index beyond them.
    pub fn asking(&self, points: &[usize]) -> Result<Self> {
        check_indices(points, self.validation_points())?;
        Ok(Self { asked: Arc::new(self.asked.part(points)), ..self.clone() })
    }

    /// Trains on some points, each with its weight, and looks at the validation points.
    ///
    /// # Errors
    /// [`Error::Shape`] for no points or another number of weights, [`Error::OutOfRange`] for an index beyond the points,
    /// weights that are negative or not finite, or all zero.
    pub fn verdict(&self, points: &[usize], weights: &[f64]) -> Result<Verdict> {
        let total = self.check(points, weights)?;
        let m = points.len() as f64;
        let normal: Vec<f64> = weights.iter().map(|w| w / total * m).collect();
        let fitted = self.fit(points, &normal);
        let (loss, mut slope) = self.loss(&(&self.asked.rows * &fitted.solution));
        slope = self.asked.rows.tr_mul(&slope);
        let back = fitted.normal.inverse_times(slope);
        let left = &fitted.targets - &fitted.rows * &fitted.solution;
        let along = &fitted.rows * back;
        let each: Vec<f64> = (0..points.len()).map(|j| left.row(j).dot(&along.row(j))).collect();
        let mean = each.iter().zip(&normal).map(|(g, w)| g * w).sum::<f64>() / m;
        let by_weight = each.iter().map(|g| (g - mean) * m / total).collect();
        Ok(Verdict { loss, by_weight })
    }

    /// Chooses ridge and temperature: those with the least validation loss over batches of points that all count alike.
    ///
    /// # Errors
    /// As [`verdict`](Self::verdict).
    pub fn tune(&mut self, batches: &[Vec<usize>]) -> Result<()> {
        let mut best = (f64::INFINITY, self.ridge, self.temperature);
        for ridge in RIDGES {
            let mut judge = Self { ridge, ..self.clone() };
            let mut scores = Vec::with_capacity(batches.len());
            for batch in batches {
                let equal = vec![1.0; batch.len()];
                self.check(batch, &equal)?;
                scores.push(&self.asked.rows * judge.fit(batch, &equal).solution);
            }
            if self.classes {
                let columns = scores.iter().flat_map(|s| s.row_iter());
                let columns: Vec<_> = columns.map(|row| row.transpose()).collect();
                if !columns.is_empty() {
                    judge.temperature =
                        temperature(&DMatrix::from_columns(&columns), &self.asked.labels);
                }
            }
            let loss: f64 = scores.iter().map(|scores| judge.loss(scores).0).sum();
            if loss < best.0 {
                best = (loss, ridge, judge.temperature);
            }
        }
        (_, self.ridge, self.temperature) = best;
        Ok(())
    }

    fn check(&self, points: &[usize], weights: &[f64]) -> Result<f64> {
        check_indices(points, self.points())?;
        if weights.len() != points.len() {
            return Err(Error::shape("weights of the points", points.len(), weights.len()));
        }
        let total: f64 = weights.iter().sum();
        let wrong = |w: &&f64| !(**w >= 0.0 && w.is_finite());
        if let Some(&found) = weights.iter().chain([&total]).find(wrong) {
            return Err(Error::range("weight of a point", "finite and at least zero", found));
        }
        if total == 0.0 {
            return Err(Error::range("sum of the weights", "positive", total));
        }
        Ok(total)
    }

    /// The weights sum to the number of points.
    fn fit(&self, points: &[usize], weights: &[f64]) -> Fitted {
        let Side { rows, targets, .. } = self.taught.part(points);
        let m = points.len();
        let scale = |mut table: DMatrix<f64>| {
            for (mut row, weight) in table.row_iter_mut().zip(weights) {
                row *= weight.sqrt();
            }
            table
        };
        let wanted = scale(targets.clone());
        let normal = Normal::new(scale(rows.clone()), self.ridge * self.unit * m as f64);
        let solution = normal.regress(&wanted);
        Fitted { rows, targets, normal, solution }
    }

    /// Mean loss of the validation points, and its derivative in their scores.
    fn loss(&self, scores: &DMatrix<f64>) -> (f64, DMatrix<f64>) {
        let points = scores.nrows() as f64;
        if !self.classes {
            let left = scores - &self.asked.targets;
            return (left.norm_squared() / points, left * (2.0 / points));
        }
        let (mut loss, mut slope) = (0.0, scores.clone());
        for (mut row, label) in slope.row_iter_mut().zip(&self.asked.labels) {
            let scores: Vec<f64> = row.iter().copied().collect();
            let p = softmax(&scores, self.temperature);
            let label = *label as usize;
            // Of the logarithm's argument, which may underflow, nothing is taken.
            let top = scores.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
            let powers = scores.iter().map(|s| ((s - top) / self.temperature).exp());
            loss += powers.sum::<f64>().ln() - (scores[label] - top) / self.temperature;
            for (c, (slope, p)) in row.iter_mut().zip(p).enumerate() {
                *slope = (p - f64::from(u8::from(c == label))) / (self.temperature * points);
            }
        }
        (loss / points, slope)
    }
}

/// A weighted ridge regression, solved.
struct Fitted {
    rows: DMatrix<f64>,
    targets: DMatrix<f64>,
    /// Of `W^(1/2) X`.
    normal: Normal,
    solution: DMatrix<f64>,
}

impl Side {
    fn new(map: &Map, lesson: Lesson, width: usize) -> Result<Self> {
        let points = match lesson.targets {
            Targets::Classes(labels, _) => labels.len(),
            Targets::Numbers(numbers) => numbers.len(),
        };
        crate::choose::check_table("features", lesson.rows, points, width)?;
        if points == 0 {
            return Err(Error::shape("points of a judge", "at least one", 0));
        }
        let all: Vec<usize> = (0..points).collect();
        let (targets, labels) = match lesson.targets {
            Targets::Classes(labels, classes) => {
                if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
                    let rule = "below the number of classes";
                    return Err(Error::range("labels", rule, f64::from(*label)));
                }
                (one_hot(labels, &all, classes), labels.to_vec())
            }
            Targets::Numbers(numbers) => {
                crate::choose::check_table("targets", numbers, points, 1)?;
                let column = numbers.iter().map(|y| f64::from(*y));
                (DMatrix::from_iterator(points, 1, column), Vec::new())
            }
        };
        Ok(Self { rows: map.rows(lesson.rows, &all), targets, labels })
    }

    fn part(&self, points: &[usize]) -> Self {
        Self {
            rows: self.rows.select_rows(points),
            targets: self.targets.select_rows(points),
            labels: match self.labels.is_empty() {
                true => Vec::new(),
                false => points.iter().map(|i| self.labels[*i]).collect(),
            },
        }
    }
}

fn check_indices(points: &[usize], below: usize) -> Result<()> {
    if points.is_empty() {
        return Err(Error::shape("points of a judge", "at least one", 0));
    }
    match points.iter().find(|i| **i >= below) {
        Some(i) => Err(Error::range("index of a point", "below their number", *i as f64)),
        None => Ok(()),
    }
}

/// Random points of every class, each class its share of about `points`, at least one.
pub(crate) fn stratified(classes: &[Vec<usize>], points: usize, rng: &mut impl Rng) -> Vec<usize> {
    let all: usize = classes.iter().map(Vec::len).sum();
    let mut drawn = Vec::with_capacity(points + classes.len());
    for members in classes {
        let share = (members.len() as f64 * points as f64 / all as f64).round() as usize;
        let share = share.clamp(1, members.len());
        drawn
            .extend(rand::seq::index::sample(rng, members.len(), share).iter().map(|k| members[k]));
    }
    drawn
}
