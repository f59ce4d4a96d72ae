//! Features of mean zero and deviation one.

use candle_core::Tensor;

use super::Dataset;
use crate::error::{Error, Result};

/// Takes the mean of each feature off and divides by its deviation, both those of the rows it was fitted to:
/// test data are moved as the training data were.
///
/// ```text
/// (x_j - mean_j) / deviation_j        0 for a feature that is constant, but for rounding
/// ```
///
/// # Example
/// ```
/// use gleaner::data::Standardiser;
///
/// let standard = Standardiser::fit(&[1.0, 7.0, 3.0, 7.0], 2)?;
/// assert_eq!(standard.apply(&[1.0, 7.0, 3.0, 7.0]), [-1.0, 0.0, 1.0, 0.0]);
/// assert_eq!(standard.apply(&[4.0, 9.0]), [2.0, 0.0]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Standardiser {
    mean: Vec<f64>,
    /// One over the deviation; zero where there is none.
    scale: Vec<f64>,
}

impl Standardiser {
    /// To rows of `width` features; sums are in `f64`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the length is a positive multiple of `width`, [`Error::NotFinite`] for NaN or
    /// infinity.
    pub fn fit(rows: &[f32], width: usize) -> Result<Self> {
        if width == 0 || rows.is_empty() || !rows.len().is_multiple_of(width) {
            return Err(Error::shape("rows to standardise", ("1 or more", width), rows.len()));
        }
        if let Some(k) = rows.iter().position(|x| !x.is_finite()) {
            let (what, row, column) = ("features", k / width, k % width);
            return Err(Error::NotFinite { what, row, column, found: rows[k].into() });
        }
        let points = (rows.len() / width) as f64;
        let mut mean = vec![0.0; width];
        for row in rows.chunks(width) {
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / points);
        }
        let mut squares = vec![0.0; width];
        for row in rows.chunks(width) {
            let differences = row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean);
            squares.iter_mut().zip(differences).for_each(|(sum, d)| *sum += d * d / points);
        }
        // What rounding leaves of a constant is no feature.
        let inverse = |(square, mean): (&f64, &f64)| match square.sqrt() {
            deviation if deviation > 4.0 * f64::from(f32::EPSILON) * mean.abs() => 1.0 / deviation,
            _ => 0.0,
        };
        let scale = squares.iter().zip(&mean).map(inverse).collect();
        Ok(Self { mean, scale })
    }

    /// To the inputs of a data set, a row a point.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn of(data: &Dataset) -> Result<Self> {
        let (rows, width) = data.features()?;
        Self::fit(&rows, width)
    }

    /// A data set with its inputs moved; numbers to predict stay as they are.
    ///
    /// # Errors
    /// [`Error::Shape`] for inputs of another width.
    pub fn dataset(&self, data: &Dataset) -> Result<Dataset> {
        let (rows, width) = data.features()?;
        if width != self.width() {
            return Err(Error::shape("features to standardise", self.width(), width));
        }
        let given = data.inputs();
        let inputs = Tensor::from_vec(self.apply(&rows), given.shape(), given.device())?;
        Ok(data.with_inputs(inputs.to_dtype(given.dtype())?))
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// What is taken off each feature.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// What each feature is multiplied by then: one over its deviation, 0 for a constant.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// One row after the other; a last one that is too short is moved as far as it goes.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        rows.chunks(self.width()).flat_map(|row| self.row(row)).map(|x| x as f32).collect()
    }

    pub(crate) fn row(&self, row: &[f32]) -> impl Iterator<Item = f64> {
        let known = self.mean.iter().zip(&self.scale);
        row.iter().zip(known).map(|(x, (mean, scale))| (f64::from(*x) - mean) * scale)
    }
}
