//! What a ridge regression loses with a point, in closed form.

use nalgebra::DMatrix;
use rand::RngCore;
use rayon::prelude::*;

use crate::choose::ridge::{Map, Sums, one_hot};
use crate::choose::strategies::within::class_balanced::numbered;
use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::seeds::Seeds;
use crate::value::Valuation;
use crate::value::judged::Judged;
use crate::value::parts::part;

/// By how much the mean squared error on the validation set grows when a point is left out of a ridge regression on
/// one-hot labels: exactly, without teaching it again.
///
/// ```text
/// T          (Phi'Phi + lambda I)^-1 Phi'Y        lambda = ridge * mean of the diagonal of Phi'Phi, of all points
/// h_i        phi_i' (Phi'Phi + lambda I)^-1 phi_i
/// T without  T - (Phi'Phi + lambda I)^-1 phi_i (y_i - T'phi_i)' / (1 - h_i)
/// v_i        1/M sum_v ||T without'phi_v - y_v||^2 - ||T'phi_v - y_v||^2
/// ```
///
/// `phi` are the features, standardised by all points, `fourier` random waves of them as in
/// [`CrossFit`](crate::choose::CrossFit) if wanted, and a one. One point of many changes little: values are small, and
/// good for their order.
///
/// # Cost
/// `O((N + M) d (d + C) + d^3)` time for `d` features in all, mostly on all cores, in at most 64 parts and `N / d`;
/// memory for as many times `d (d + C)` numbers.
///
/// # Errors
/// [`Error::OutOfRange`] unless the ridge lies in [1e-9, 1e9], [`Error::Shape`] if validation points have another
/// width.
///
/// # Reference
/// R. D. Cook, *Detection of Influential Observation in Linear Regression*, Technometrics 19, 1977; the value that
/// others are compared with since P. W. Koh, P. Liang, *Understanding Black-box Predictions via Influence Functions*,
/// ICML 2017.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{LeaveOneOut, Valuation};
/// # let mut rng = rand::rng();
///
/// // On a line: three points of each class, the last one with the wrong label.
/// let validation = Evidence::new(2).with_features(&[0.0, 10.0], 1)?.with_labels(&[0, 1])?;
/// let evidence = Evidence::new(6).with_features(&[0.0, 1.0, 2.0, 8.0, 9.0, 10.0], 1)?;
/// let evidence = evidence.with_labels(&[0, 0, 0, 1, 1, 0])?.with_validation(&validation);
/// let values = LeaveOneOut::default().values(&evidence, &mut rng)?;
/// let least = (0..6).min_by(|&a, &b| values[a].total_cmp(&values[b]));
/// assert_eq!(least, Some(5));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaveOneOut {
    /// In units of the mean of the diagonal; 1 by default. A smaller one measures what this learner loses; a larger one
    /// finds more wrong labels, for it hears less of what only one point says.
    pub ridge: f64,
    /// Random features; none by default: the standardised features serve themselves.
    pub fourier: usize,
}

impl Default for LeaveOneOut {
    fn default() -> Self {
        Self { ridge: 1.0, fourier: 0 }
    }
}

impl Valuation for LeaveOneOut {
    fn name(&self) -> &str {
        "leave-one-out"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels, Kind::Validation])
    }

    fn values(&self, evidence: &Evidence, rng: &mut dyn RngCore) -> Result<Vec<f64>> {
        if !(1e-9..=1e9).contains(&self.ridge) {
            return Err(Error::range("ridge", "at least 1e-9 and at most 1e9", self.ridge));
        }
        let judged = Judged::of(evidence, self.name())?;
        if judged.labels.is_empty() {
            return Ok(Vec::new());
        }
        let (numbers, classes) = numbered(&[judged.labels, judged.wanted].concat());
        let (labels, wanted) = numbers.split_at(judged.labels.len());
        let mut waves = Seeds::new(rng.next_u64()).named("fourier");
        let map = Map::new(judged.rows, judged.width, self.fourier, &mut waves)?;
        // Sums of fewer points would be larger than these.
        let least = 1 + if self.fourier == 0 { judged.width } else { self.fourier };
        let taught = Blocks::new(&map, judged.rows, labels, (classes, least));
        let seen = Blocks::new(&map, judged.others, wanted, (classes, least));
        Ok(values(&taught, &seen, self.ridge))
    }
}

/// Points, some at a time.
struct Blocks<'a> {
    map: &'a Map,
    features: &'a [f32],
    labels: &'a [u32],
    classes: usize,
    of: Vec<Vec<usize>>,
}

impl<'a> Blocks<'a> {
    fn new(
        map: &'a Map,
        features: &'a [f32],
        labels: &'a [u32],
        (classes, least): (usize, usize),
    ) -> Self {
        let points: Vec<usize> = (0..labels.len()).collect();
        let of = points.chunks(part(points.len()).max(least)).map(<[usize]>::to_vec).collect();
        Self { map, features, labels, classes, of }
    }

    /// Something of each block's `Phi` and `Y`.
    fn map<T: Send>(&self, f: impl Fn(DMatrix<f64>, DMatrix<f64>) -> T + Sync) -> Vec<T> {
        let table = |points: &Vec<usize>| {
            let targets = one_hot(self.labels, points, self.classes);
            f(self.map.rows(self.features, points), targets)
        };
        self.of.par_iter().map(table).collect()
    }
}

fn values(taught: &Blocks, seen: &Blocks, ridge: f64) -> Vec<f64> {
    let sums = Sums::total(&taught.map(|rows, targets| Sums::of(&rows, &targets)));
    let factor = sums.factor(ridge);
    let solution = factor.solve(&sums.targets);
    // Sums of phi_v phi_v' and of phi_v times the error there.
    let errors = |rows: DMatrix<f64>, targets| Sums::of(&rows, &(&rows * &solution - targets));
    let Sums { gram: spread, targets: pull } = Sums::total(&seen.map(errors));
    let parts = taught.map(|rows, targets| {
        let moves = factor.solve(&rows.transpose());
        let (along, across) = (pull.tr_mul(&moves), &spread * &moves);
        let residuals = targets - &rows * &solution;
        let value = |i: usize| {
            let step = moves.column(i);
            // The ridge keeps it above zero but for rounding.
            let left = (1.0 - rows.row(i).transpose().dot(&step)).max(f64::EPSILON);
            let error = residuals.row(i).transpose() / left;
            let linear = along.column(i).dot(&error);
            step.dot(&across.column(i)) * error.norm_squared() - 2.0 * linear
        };
        (0..rows.nrows()).map(value).collect::<Vec<f64>>()
    });
    let share = 1.0 / seen.labels.len() as f64;
    parts.into_iter().flatten().map(|value| value * share).collect()
}
