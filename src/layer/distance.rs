//! Pairwise distances as differentiable tensor operations, with finite gradients everywhere.

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::bridge::{cpu, is_plain, slice};
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
    /// Squared distances come from one matrix product, `||a||^2 + ||b||^2 - 2 <a, b>` about a centre that far
    /// rows do not move. On the CPU, pairs so near to each other that this cancels are summed up by themselves:
    /// they are right to a few roundings, whatever else is in the batch. On an accelerator the product is
    /// computed in `f64` where the device has it. The gradient of `sqrt` at zero never appears.
    ///
    /// # Cost
    /// `O(n w d)` time, `O(n w)` memory.
    ///
    /// # Errors
    /// [`Error::Shape`] unless both are matrices of floats of the same width, with rows.
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
        if width != other || width == 0 || a.dim(0)? == 0 || b.dim(0)? == 0 {
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

/// Squared distances, and where they are zero. What is not a number stays so: a broken point must not look like
/// everybody's perfect stand-in.
fn squared(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let given = a.dtype();
    let distances = match given {
        DType::BF16 | DType::F16 => {
            squared(&a.to_dtype(DType::F32)?, &b.to_dtype(DType::F32)?)?.0.to_dtype(given)?
        }
        DType::F32 if a.device().is_cuda() => {
            let (a, b) = (a.to_dtype(DType::F64)?, b.to_dtype(DType::F64)?);
            expanded(&a, &b)?.to_dtype(given)?
        }
        _ if is_plain(a) && is_plain(b) => exact(a, b)?,
        _ => expanded(a, b)?,
    };
    let zero = distances.detach().le(0.0)?;
    Ok((distances, zero))
}

/// By operations of candle; what is left below the rounding error of the cancellation counts as zero, with zero
/// gradient.
fn expanded(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let width = a.dim(1)? as f64;
    let Expansion { sum, product, .. } = Expansion::about(&centre(b)?, a, b)?;
    let raw = (&sum - (product * 2.0)?)?;
    let unit = if a.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    // Roundings of a sum of `width` terms grow like the root of their number.
    let threshold = (4.0 + 2.0 * width.sqrt()) * unit;
    let finite = sum.detach().lt(f64::INFINITY)?;
    let zero = (raw.detach().le(&(sum.detach() * threshold)?)? * finite)?;
    Ok(zero.where_cond(&raw.zeros_like()?, &raw)?)
}

/// `||a||^2 + ||b||^2` and `<a, b>` about a centre.
struct Expansion {
    a: Tensor,
    b: Tensor,
    sum: Tensor,
    product: Tensor,
}

impl Expansion {
    fn about(centre: &Tensor, a: &Tensor, b: &Tensor) -> Result<Self> {
        let (a, b) = (a.broadcast_sub(centre)?, b.broadcast_sub(centre)?);
        let a_square = a.sqr()?.sum_keepdim(1)?;
        let b_square = b.sqr()?.sum_keepdim(1)?.t()?;
        let sum = a_square.broadcast_add(&b_square)?;
        let product = a.matmul(&b.t()?)?;
        Ok(Self { a, b, sum, product })
    }
}

/// The mean of the rows; where some are far out, of those that are not: one far row would move it away from all
/// others.
fn centre(rows: &Tensor) -> Result<Tensor> {
    /// How many times the median squared distance from the mean is far out, and how many is not.
    const FAR: f64 = 100.0;
    const NEAR: f64 = 4.0;
    let rows = rows.detach();
    let mean = rows.mean_keepdim(0)?;
    if !is_plain(&rows) {
        return Ok(mean); // a look at the numbers would wait for the device
    }
    let from = rows.broadcast_sub(&mean)?.sqr()?.sum(1)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let mut sorted = from.clone();
    let middle = sorted.len() / 2;
    let median = *sorted.select_nth_unstable_by(middle, f64::total_cmp).1;
    if from.iter().all(|from| *from <= FAR * median) {
        return Ok(mean);
    }
    let near = from.iter().enumerate().filter(|(_, from)| **from <= NEAR * median);
    let near: Vec<u32> = near.map(|(row, _)| row as u32).collect();
    let count = near.len();
    let near = Tensor::from_vec(near, count, rows.device())?;
    Ok(rows.index_select(&near, 0)?.mean_keepdim(0)?)
}

fn exact(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let centre = centre(b)?;
    let about = Expansion::about(&centre, &a.detach(), &b.detach())?;
    Ok(a.contiguous()?.apply_op2(&b.contiguous()?, Exact(about))?)
}

/// `||a - b||^2` for all pairs, on the CPU.
struct Exact(Expansion);

/// A squared distance below this share of `||a||^2 + ||b||^2` is summed up by itself.
const CANCELLED: f64 = 0.125;

impl Exact {
    fn rows<T: WithDType>(&self, a: &[T], b: &[T], width: usize) -> candle_core::Result<Vec<T>> {
        let (sum, product) = (self.0.sum.contiguous()?, self.0.product.contiguous()?);
        let ((sum, sums), (product, products)) =
            (sum.storage_and_layout(), product.storage_and_layout());
        let sum: &[T] = slice(cpu(&sum)?, sums)?;
        let product: &[T] = slice(cpu(&product)?, products)?;
        let columns = b.len() / width;
        let (two, cancelled) = (T::from_f64(2.0), T::from_f64(CANCELLED));
        let mut out = vec![T::zero(); sum.len()];
        out.par_chunks_mut(columns).enumerate().for_each(|(i, out)| {
            let at = i * columns..(i + 1) * columns;
            for (slot, (sum, product)) in
                out.iter_mut().zip(sum[at.clone()].iter().zip(&product[at]))
            {
                *slot = *sum - two * *product;
            }
            let a = &a[i * width..(i + 1) * width];
            for (j, slot) in out.iter_mut().enumerate() {
                let trusted = *slot >= cancelled * sum[i * columns + j];
                if !trusted {
                    *slot = difference(a, &b[j * width..(j + 1) * width]);
                }
            }
        });
        Ok(out)
    }
}

/// `||a - b||^2` in eight lanes: a single running sum would wait for each addition, and round more.
fn difference<T: WithDType>(a: &[T], b: &[T]) -> T {
    const LANES: usize = 8;
    let square = |a: &T, b: &T| (*a - *b) * (*a - *b);
    let (a8, b8) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a8.remainder().iter().zip(b8.remainder());
    let rest = rest.fold(T::zero(), |rest, (a, b)| rest + square(a, b));
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a8.zip(b8) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += square(a, b);
        }
    }
    lanes.into_iter().fold(rest, |sum, lane| sum + lane)
}

impl CustomOp2 for Exact {
    fn name(&self) -> &'static str {
        "squared-distances"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (rows, width) = a_layout.shape().dims2()?;
        let shape = Shape::from((rows, b_layout.shape().dims2()?.0));
        Ok(match a {
            CpuStorage::F64(_) => {
                let out = self.rows::<f64>(slice(a, a_layout)?, slice(b, b_layout)?, width)?;
                (CpuStorage::F64(out), shape)
            }
            _ => {
                let out = self.rows::<f32>(slice(a, a_layout)?, slice(b, b_layout)?, width)?;
                (CpuStorage::F32(out), shape)
            }
        })
    }

    /// `d/da_i = 2 sum_j g_ij (a_i - b_j)`, and for `b` alike; equal rows pass nothing.
    fn bwd(
        &self,
        _a: &Tensor,
        _b: &Tensor,
        distances: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = distances.le(0.0)?.where_cond(&gradient.zeros_like()?, gradient)?;
        let Expansion { a, b, .. } = &self.0;
        let turned = gradient.t()?.contiguous()?;
        let side = |own: &Tensor, other: &Tensor, gradient: &Tensor| {
            let total = gradient.sum_keepdim(1)?;
            (own.broadcast_mul(&total)? - gradient.matmul(other)?)? * 2.0
        };
        Ok((Some(side(a, b, &gradient)?), Some(side(b, a, &turned)?)))
    }
}

/// Rows scaled to length one; zero rows (as far as their squares can tell) stay zero, with zero gradient.
fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let square = x.sqr()?.sum_keepdim(D::Minus1)?;
    let zero = square.detach().le(0.0)?;
    let length = zero.where_cond(&square.ones_like()?, &square)?.sqrt()?;
    let unit = x.broadcast_div(&length)?;
    Ok(zero.broadcast_as(x.shape())?.where_cond(&x.zeros_like()?, &unit)?)
}
