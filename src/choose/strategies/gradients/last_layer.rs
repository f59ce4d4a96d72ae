//! Gradients of the loss in the last layer, a point at a time, never written out.
//!
//! With what enters the layer `h`, the probabilities `p` that leave it and a one-hot label `y`, the
//! cross-entropy's gradient in weights and bias is the product `a [h; 1]'` with `a = p - y`: `classes`
//! times `width + 1` numbers of rank one. So
//!
//! ```text
//! <g_i, g_j> = <a_i, a_j> <h_i, h_j>
//! ```

use std::borrow::Cow;

use nalgebra::{DMatrix, DMatrixView};
use rayon::prelude::*;

use crate::choose::neighbours::nearest::Screen;
use crate::choose::neighbours::rows::{first_largest, inner, squared_norm};

use crate::choose::{Evidence, Kind, Needs};
use crate::error::Result;

/// What gradients towards the labels are made of.
pub(crate) const LABEL_GRADIENTS: Needs = Needs::of(&[Kind::Errors, Kind::Features]);

/// Of all points.
pub(crate) struct Gradients<'a> {
    /// The loss's derivative in the outputs, `p - y` for classes, a row a point.
    errors: Vec<f32>,
    classes: usize,
    /// What enters the layer, a row a point, with a one for the bias where it counts.
    inputs: Cow<'a, [f32]>,
    width: usize,
}

impl<'a> Gradients<'a> {
    /// In weights and bias, towards the labels.
    pub(crate) fn of_labels(evidence: &Evidence<'a>, strategy: &str) -> Result<Self> {
        let (errors, classes) = evidence.errors(strategy)?;
        let (errors, (rows, width)) = (errors.into_owned(), evidence.features(strategy)?);
        let one = std::iter::once(&1.0);
        let inputs = rows.chunks(width).flat_map(|row| row.iter().chain(one.clone()));
        Ok(Self { errors, classes, inputs: inputs.copied().collect(), width: width + 1 })
    }

    /// In the weights, towards what the learner itself thinks likeliest.
    pub(crate) fn of_guesses(evidence: &Evidence<'a>, strategy: &str) -> Result<Self> {
        let (probabilities, classes) = evidence.probabilities(strategy)?;
        let (rows, width) = evidence.features(strategy)?;
        let mut errors = probabilities.to_vec();
        for row in errors.chunks_mut(classes) {
            row[first_largest(row)] -= 1.0;
        }
        Ok(Self { errors, classes, inputs: Cow::Borrowed(rows), width })
    }

    pub(crate) fn points(&self) -> usize {
        self.errors.len() / self.classes
    }

    /// Rows and columns of a gradient.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.classes, self.width)
    }

    /// `p - y` of a point.
    pub(crate) fn error(&self, i: usize) -> &[f32] {
        &self.errors[i * self.classes..(i + 1) * self.classes]
    }

    /// So that the layer may move.
    pub(crate) fn error_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.errors[i * self.classes..(i + 1) * self.classes]
    }

    /// What enters the layer for a point, and the one of the bias where it counts.
    pub(crate) fn input(&self, i: usize) -> &[f32] {
        &self.inputs[i * self.width..(i + 1) * self.width]
    }

    /// `<g_i, g_j>`, in `O(classes + width)`.
    pub(crate) fn inner(&self, i: usize, j: usize) -> f64 {
        inner(self.error(i), self.error(j)) * inner(self.input(i), self.input(j))
    }

    /// `||g_i||^2`.
    pub(crate) fn square(&self, i: usize) -> f64 {
        squared_norm(self.error(i)) * squared_norm(self.input(i))
    }

    /// `||g_i - g_j||^2`, exactly zero for equal points.
    pub(crate) fn squared_distance(&self, i: usize, j: usize) -> f64 {
        (self.square(i) + self.square(j) - 2.0 * self.inner(i, j)).max(0.0)
    }

    /// For the nearest gradients of each.
    pub(crate) fn screen(&self) -> Screen {
        Screen::products((&self.errors, self.classes), (&self.inputs, self.width))
    }

    /// `sum_k weight_k g_k` over some points, `classes x width`.
    pub(crate) fn sum(&self, weighted: impl Iterator<Item = (usize, f64)>) -> DMatrix<f64> {
        let mut sum = DMatrix::zeros(self.classes, self.width);
        for (i, weight) in weighted {
            for (mut column, h) in sum.column_iter_mut().zip(self.input(i)) {
                let factor = weight * f64::from(*h);
                column
                    .iter_mut()
                    .zip(self.error(i))
                    .for_each(|(s, a)| *s += factor * f64::from(*a));
            }
        }
        sum
    }

    /// `<g_i, direction>` of every point, in `f64`, which bears inputs of any size.
    pub(crate) fn along_exactly(&self, direction: &DMatrix<f64>) -> Vec<f64> {
        let of = |i: usize| -> f64 {
            let columns = direction.column_iter().zip(self.input(i));
            let terms = columns.map(|(column, h)| {
                let pairs = column.iter().zip(self.error(i)).map(|(d, a)| d * f64::from(*a));
                f64::from(*h) * pairs.sum::<f64>()
            });
            terms.sum()
        };
        (0..self.points()).into_par_iter().map(of).collect()
    }

    /// `<g_i, direction>` of every point, to the accuracy of products in `f32`.
    pub(crate) fn along(&self, direction: &DMatrix<f64>) -> Vec<f64> {
        const BLOCK: usize = 512;
        // In units of its largest entry, which `f32` then holds whatever the scale.
        let unit = direction.amax();
        let unit = if unit > 0.0 { unit } else { 1.0 };
        let direction = direction.map(|x| (x / unit) as f32);
        let block = |(errors, inputs): (&[f32], &[f32])| -> Vec<f64> {
            let inputs = DMatrixView::from_slice(inputs, self.width, inputs.len() / self.width);
            let logits = &direction * inputs;
            let pairs = errors.chunks(self.classes).zip(logits.as_slice().chunks(self.classes));
            pairs.map(|(error, change)| unit * inner(error, change)).collect()
        };
        let errors = self.errors.par_chunks(BLOCK * self.classes);
        errors.zip(self.inputs.par_chunks(BLOCK * self.width)).flat_map_iter(block).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    /// The products written out, in `f64`. Inputs are in `f32`, so is the product behind `along`.
    #[test]
    fn factors_are_the_whole_gradient() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(8);
        let (points, classes, width) = (9, 3, 4);
        let rows: Vec<f32> = (0..points * width).map(|_| rng.random_range(-2.0..2.0)).collect();
        let mut p: Vec<f32> = (0..points * classes).map(|_| rng.random()).collect();
        for row in p.chunks_mut(classes) {
            let total: f32 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= total);
        }
        let labels: Vec<u32> = (0..points).map(|_| rng.random_range(0..3)).collect();
        let evidence = Evidence::new(points).with_features(&rows, width)?.with_labels(&labels)?;
        let evidence = evidence.with_probabilities(&p, classes)?;
        for (gradients, bias) in [
            (Gradients::of_labels(&evidence, "")?, true),
            (Gradients::of_guesses(&evidence, "")?, false),
        ] {
            let whole = |i: usize| {
                let p = &p[i * classes..(i + 1) * classes];
                let guess = (0..classes).fold(0, |best, c| if p[c] > p[best] { c } else { best });
                let y = if bias { labels[i] as usize } else { guess };
                DMatrix::from_fn(classes, width + usize::from(bias), |c, k| {
                    let error = f64::from(p[c]) - if c == y { 1.0 } else { 0.0 };
                    error * if k == width { 1.0 } else { f64::from(rows[i * width + k]) }
                })
            };
            let direction = whole(3) * 2.0 - whole(5) * 0.5;
            let sum = gradients.sum([(3, 2.0), (5, -0.5)].into_iter());
            assert!((&sum - &direction).amax() < 1e-6);
            let along = gradients.along(&direction);
            let exactly = gradients.along_exactly(&direction);
            for (i, along) in along.iter().enumerate() {
                assert!((along - whole(i).dot(&direction)).abs() < 1e-4);
                assert!((exactly[i] - whole(i).dot(&direction)).abs() < 1e-5);
                assert!((gradients.square(i) - whole(i).norm_squared()).abs() < 1e-5);
                for j in 0..points {
                    let distance = (whole(i) - whole(j)).norm_squared();
                    assert!((gradients.squared_distance(i, j) - distance).abs() < 1e-5);
                }
                assert_eq!(gradients.squared_distance(i, i), 0.0);
            }
        }
        Ok(())
    }
}
