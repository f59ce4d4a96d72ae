//! Pairwise distances as differentiable tensor operations, with finite gradients everywhere.

use candle_core::{D, DType, Tensor};

use crate::error::{Error, Result};

/// A distance between rows of two matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distance {
    /// `||a - b||^2`.
    #[default]
    SquaredEuclidean,
    /// `||a - b||`; where it is zero, so is its gradient.
    Euclidean,
    /// `1 - <a, b> / (||a|| ||b||)`; a zero vector is at distance one from everything, with zero gradient.
    Cosine,
}

impl Distance {
    /// Distances between the rows of `a` (`n x d`) and of `b` (`w x d`), as an `n x w` tensor on the
    /// same device, differentiable in both.
    ///
    /// Squared distances come from one matrix product after centring (which keeps the cancellation in
    /// `||a||^2 + ||b||^2 - 2 <a, b>` small); what is left below its rounding error counts as zero.
    /// The gradient of `sqrt` at zero never appears.
    ///
    /// # Cost
    /// `O(n w d)` time, `O(n w)` memory.
    ///
    /// # Errors
    /// [`Error::Shape`] unless both are matrices of floats of the same width.
    ///
    /// # Example
    /// ```
    /// use gleaner::Distance;
    /// use candle_core::{Device, Tensor, Var};
    ///
    /// let a = Var::new(&[[0.0f64, 0.0], [3.0, 4.0]], &Device::Cpu)?;
    /// let d = Distance::Euclidean.between(&a, &a)?;
    /// assert_eq!(d.to_vec2::<f64>()?, [[0.0, 5.0], [5.0, 0.0]]);
    /// let gradient = d.sum_all()?.backward()?;
    /// let gradient = gradient.get(&a).unwrap().to_vec2::<f64>()?;
    /// assert!((gradient[1][0] - 1.2).abs() < 1e-12); // twice 3/5; the zero diagonal adds nothing
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn between(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let (&[_, width], &[_, other]) = (a.dims(), b.dims()) else {
            return Err(Error::shape(
                "rows to compare (two matrices)",
                "n x d",
                (a.dims(), b.dims()),
            ));
        };
        if width != other {
            return Err(Error::shape("rows to compare", a.dims(), b.dims()));
        }
        if !a.dtype().is_float() || a.dtype() != b.dtype() {
            let found = (a.dtype(), b.dtype());
            return Err(Error::shape("type of rows to compare", "one float type", found));
        }
        match self {
            Self::SquaredEuclidean => Ok(squared(a, b)?.0),
            Self::Euclidean => {
                let (squared, zero) = squared(a, b)?;
                let safe = zero.where_cond(&squared.ones_like()?, &squared)?;
                Ok(zero.where_cond(&squared.zeros_like()?, &safe.sqrt()?)?)
            }
            Self::Cosine => {
                let cosine = unit_rows(a)?.matmul(&unit_rows(b)?.t()?)?;
                Ok((1.0 - cosine)?.relu()?)
            }
        }
    }
}

/// Squared distances, zero (with zero gradient) where they drown in rounding; and where they do. What is
/// not a number stays so: a broken point must not look like everybody's perfect stand-in.
fn squared(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let width = a.dim(1)? as f64;
    let centre = b.detach().mean_keepdim(0)?;
    let (a, b) = (a.broadcast_sub(&centre)?, b.broadcast_sub(&centre)?);
    let a_square = a.sqr()?.sum_keepdim(1)?;
    let b_square = b.sqr()?.sum_keepdim(1)?.t()?;
    let sum = a_square.broadcast_add(&b_square)?;
    let raw = (&sum - (a.matmul(&b.t()?)? * 2.0)?)?;
    let unit = match a.dtype() {
        DType::F64 => f64::EPSILON,
        DType::BF16 => 2f64.powi(-7),
        DType::F16 => 2f64.powi(-10),
        _ => f64::from(f32::EPSILON),
    };
    // Roundings of a sum of `width` terms grow like the root of their number.
    let threshold = (4.0 + 2.0 * width.sqrt()) * unit;
    let finite = sum.detach().lt(f64::INFINITY)?;
    let zero = (raw.detach().le(&(sum.detach() * threshold)?)? * finite)?;
    let distances = zero.where_cond(&raw.zeros_like()?, &raw)?;
    Ok((distances, zero))
}

/// Rows scaled to length one; zero rows (as far as their squares can tell) stay zero, with zero gradient.
fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let square = x.sqr()?.sum_keepdim(D::Minus1)?;
    let zero = square.detach().le(0.0)?;
    let length = zero.where_cond(&square.ones_like()?, &square)?.sqrt()?;
    let unit = x.broadcast_div(&length)?;
    Ok(zero.broadcast_as(x.shape())?.where_cond(&x.zeros_like()?, &unit)?)
}
