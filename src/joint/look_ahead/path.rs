//! A learner's variables, moved along a direction and put back.

use candle_core::{DType, Tensor};
use nalgebra::DMatrix;

use crate::error::Result;
use crate::layer::bridge::to_scalar;
use crate::learn::Learner;

/// Where a learner is: its variables' values at the start.
pub(super) struct Path<'a> {
    learner: &'a dyn Learner,
    here: Vec<Tensor>,
}

impl<'a> Path<'a> {
    pub(super) fn new(learner: &'a dyn Learner) -> Result<Self> {
        let copies = learner.variables().iter().map(|(_, var)| var.as_tensor().copy());
        Ok(Self { learner, here: copies.collect::<candle_core::Result<_>>()? })
    }

    /// What is seen at `here + h * direction`. The variables are put back whatever happened: an error loses nothing.
    pub(super) fn at<T>(
        &self,
        direction: &[Option<Tensor>],
        h: f64,
        look: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let seen = self.go(direction, h).and_then(|()| look());
        self.go(&[], 0.0)?;
        seen
    }

    /// The derivative of some outputs along a direction, a central difference.
    pub(super) fn derivative(
        &self,
        direction: &[Option<Tensor>],
        outputs: impl Fn() -> Result<DMatrix<f64>>,
    ) -> Result<DMatrix<f64>> {
        let length = norm(direction.iter().flatten())?;
        if length == 0.0 {
            return Ok(outputs()? * 0.0);
        }
        // Truncation grows with the square of the step, rounding with its inverse: a cube root of the
        // type's precision, relative to the size of the parameters, balances them.
        let unit = match self.here.first().map(Tensor::dtype) {
            Some(DType::F64) => f64::EPSILON,
            _ => f64::from(f32::EPSILON),
        };
        let step = unit.cbrt() * norm(self.here.iter())?.max(1.0) / length;
        let ahead = self.at(direction, step, &outputs)?;
        let behind = self.at(direction, -step, &outputs)?;
        Ok((ahead - behind) / (2.0 * step))
    }

    /// Sets every variable; those that the direction does not name stay.
    fn go(&self, direction: &[Option<Tensor>], h: f64) -> Result<()> {
        for (k, ((_, var), here)) in self.learner.variables().iter().zip(&self.here).enumerate() {
            match direction.get(k) {
                Some(Some(d)) => var.set(&(here + (d * h)?)?)?,
                _ => var.set(here)?,
            }
        }
        Ok(())
    }
}

/// Euclidean norm of several tensors together.
fn norm<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<f64> {
    let mut square = 0.0;
    for tensor in tensors {
        square += to_scalar(&tensor.sqr()?.sum_all()?)?;
    }
    Ok(square.sqrt())
}
