//! Ridge regression on one-hot labels: what enters it, its sums and its solution.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use rand::Rng;
use rand_distr::StandardNormal;

use crate::choose::neighbours::rows::squared_distance_exact;
use crate::data::Standardiser;
use crate::error::Result;

/// Pairs whose median distance is the kernel's width.
const PAIRS: usize = 1000;

/// A one where a point is of a class, a row a point.
pub(crate) fn one_hot(labels: &[u32], points: &[usize], classes: usize) -> DMatrix<f64> {
    DMatrix::from_fn(points.len(), classes, |k, c| f64::from(labels[points[k]] as usize == c))
}

/// Features to `phi`: standardised, then as they are, folded, or waves of them; and a one.
pub(crate) struct Map {
    standard: Standardiser,
    lift: Lift,
}

enum Lift {
    Plain,
    /// Where each feature is added, and its sign; and how many places there are.
    Folded(Vec<(usize, f64)>, usize),
    /// Frequencies, a column each, and phases.
    Waves(DMatrix<f64>, DVector<f64>),
}

impl Map {
    /// Waves, or the features as they are if there are to be none. Errors as [`Standardiser::fit`].
    pub(crate) fn new(
        features: &[f32],
        width: usize,
        fourier: usize,
        rng: &mut impl Rng,
    ) -> Result<Self> {
        let plain = Self { standard: Standardiser::fit(features, width)?, lift: Lift::Plain };
        if fourier == 0 {
            return Ok(plain);
        }
        let spread = plain.median_distance(features, rng);
        let waves =
            DMatrix::from_fn(width, fourier, |_, _| rng.sample::<f64, _>(StandardNormal) / spread);
        let phases = DVector::from_fn(fourier, |_, _| rng.random_range(0.0..std::f64::consts::TAU));
        Ok(Self { lift: Lift::Waves(waves, phases), ..plain })
    }

    /// The features as they are; folded to `widest`, where there are more. Errors as [`Standardiser::fit`].
    pub(crate) fn linear(
        features: &[f32],
        width: usize,
        widest: usize,
        rng: &mut impl Rng,
    ) -> Result<Self> {
        let standard = Standardiser::fit(features, width)?;
        let mut place = || (rng.random_range(0..widest), if rng.random() { 1.0 } else { -1.0 });
        let lift = match width > widest {
            true => Lift::Folded((0..width).map(|_| place()).collect(), widest),
            false => Lift::Plain,
        };
        Ok(Self { standard, lift })
    }

    /// What features are before they become waves.
    pub(crate) fn standard(&self) -> &Standardiser {
        &self.standard
    }

    /// Of some pairs of different points; one where they all coincide.
    fn median_distance(&self, features: &[f32], rng: &mut impl Rng) -> f64 {
        let width = self.standard.width();
        let points = features.len() / width;
        let row = |i: usize| self.standard.apply(&features[i * width..(i + 1) * width]);
        let mut squares: Vec<f64> = (0..PAIRS)
            .map(|_| (rng.random_range(0..points), rng.random_range(0..points)))
            .map(|(a, b)| squared_distance_exact(&row(a), &row(b)))
            .filter(|square| *square > 0.0)
            .collect();
        let middle = squares.len() / 2;
        match squares.is_empty() {
            true => 1.0,
            false => squares.select_nth_unstable_by(middle, f64::total_cmp).1.sqrt(),
        }
    }

    /// Numbers in a row of `phi`.
    pub(crate) fn width(&self) -> usize {
        1 + match &self.lift {
            Lift::Plain => self.standard.width(),
            Lift::Folded(_, widest) => *widest,
            Lift::Waves(waves, _) => waves.ncols(),
        }
    }

    /// `phi` of some points, a row each.
    pub(crate) fn rows(&self, features: &[f32], points: &[usize]) -> DMatrix<f64> {
        let width = self.standard.width();
        let row = |i: usize| self.standard.row(&features[i * width..(i + 1) * width]);
        let plain = || {
            let all = points.iter().flat_map(|i| row(*i));
            DMatrix::from_iterator(width, points.len(), all).transpose()
        };
        let lifted = match &self.lift {
            Lift::Plain => plain(),
            Lift::Folded(places, widest) => {
                let mut all = DMatrix::zeros(points.len(), *widest);
                for (k, i) in points.iter().enumerate() {
                    let entries = row(*i).zip(places);
                    entries.for_each(|(x, (place, sign))| all[(k, *place)] += sign * x);
                }
                all
            }
            Lift::Waves(waves, phases) => {
                let mut all = plain() * waves;
                for (mut column, phase) in all.column_iter_mut().zip(phases) {
                    column.apply(|x| *x = (*x + phase).cos());
                }
                all
            }
        };
        let width = lifted.ncols();
        lifted.insert_column(width, 1.0)
    }
}

/// `Phi'Phi` and `Phi'Y`.
#[derive(Clone)]
pub(crate) struct Sums {
    pub(crate) gram: DMatrix<f64>,
    pub(crate) targets: DMatrix<f64>,
}

impl Sums {
    pub(crate) fn of(rows: &DMatrix<f64>, targets: &DMatrix<f64>) -> Self {
        Self { gram: rows.tr_mul(rows), targets: rows.tr_mul(targets) }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.gram += &other.gram;
        self.targets += &other.targets;
    }

    /// Of all folds but one.
    pub(crate) fn without(all: &[Self], fold: usize) -> Self {
        Self::total(all.iter().enumerate().filter(|(k, _)| *k != fold).map(|(_, part)| part))
    }

    /// Of all parts, in their order; nothing of none.
    pub(crate) fn total<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut parts = parts.into_iter();
        let mut sum = parts
            .next()
            .cloned()
            .unwrap_or_else(|| Self::of(&DMatrix::zeros(0, 0), &DMatrix::zeros(0, 0)));
        parts.for_each(|part| sum.add(part));
        sum
    }

    /// `T`.
    pub(crate) fn solve(&self, ridge: f64) -> DMatrix<f64> {
        self.factor(ridge).solve(&self.targets)
    }

    /// Of `Phi'Phi + ridge I`, the ridge in units of the mean of the diagonal.
    pub(crate) fn factor(&self, ridge: f64) -> Cholesky<f64, Dyn> {
        let unit = self.gram.trace() / self.gram.nrows() as f64;
        factor(&self.gram, ridge * unit.max(f64::MIN_POSITIVE))
    }
}

/// Of `gram + ridge I` for a positive ridge; larger ridges where rounding leaves the sum without a factor.
pub(crate) fn factor(gram: &DMatrix<f64>, ridge: f64) -> Cholesky<f64, Dyn> {
    let mut ridge = ridge;
    loop {
        let mut gram = gram.clone();
        (0..gram.nrows()).for_each(|k| gram[(k, k)] += ridge);
        match Cholesky::new(gram) {
            Some(factor) => return factor,
            // The diagonal dominates in the end.
            None => ridge *= 10.0,
        }
    }
}
