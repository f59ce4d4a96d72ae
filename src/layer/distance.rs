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
            Self::SquaredEuclidean => squared(a, b),
            Self::Euclidean => {
                let squared = squared(a, b)?;
                let zero = squared.detach().le(0.0)?;
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

/// Squared distances. What is not a number stays so: a broken point must not look like everybody's perfect stand-in.
fn squared(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let given = a.dtype();
    Ok(match given {
        DType::BF16 | DType::F16 => {
            squared(&a.to_dtype(DType::F32)?, &b.to_dtype(DType::F32)?)?.to_dtype(given)?
        }
        DType::F32 if a.device().is_cuda() => {
            let (a, b) = (a.to_dtype(DType::F64)?, b.to_dtype(DType::F64)?);
            expanded(&a, &b)?.to_dtype(given)?
        }
        _ if is_plain(a) && is_plain(b) => exact(a, b)?,
        _ => expanded(a, b)?,
    })
}

/// On an accelerator, by operations of candle; what is left below the rounding error of the cancellation counts as zero, with zero
/// gradient.
fn expanded(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let width = a.dim(1)? as f64;
    // Far rows may move the mean; a look at the numbers would wait for the device.
    let mean = b.detach().mean_keepdim(0)?;
    let (a, b) = (a.broadcast_sub(&mean)?, b.broadcast_sub(&mean)?);
    let sum = a.sqr()?.sum_keepdim(1)?.broadcast_add(&b.sqr()?.sum_keepdim(1)?.t()?)?;
    let raw = (&sum - (a.matmul(&b.t()?)? * 2.0)?)?;
    let unit = if a.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    // Roundings of a sum of `width` terms grow like the root of their number.
    let threshold = (4.0 + 2.0 * width.sqrt()) * unit;
    let finite = sum.detach().lt(f64::INFINITY)?;
    let zero = (raw.detach().le(&(sum.detach() * threshold)?)? * finite)?;
    Ok(zero.where_cond(&raw.zeros_like()?, &raw)?)
}

/// On the CPU: pairs that cancel are summed up by themselves.
fn exact(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (a.contiguous()?, b.contiguous()?);
    let about = match a.dtype() {
        DType::F64 => Expansion::new::<f64>(&a, &b)?,
        _ => Expansion::new::<f32>(&a, &b)?,
    };
    Ok(a.apply_op2(&b, Exact(about))?)
}

/// Rows less a centre, and what the squared distances are made of; free of the graph.
struct Expansion {
    a: Tensor,
    b: Tensor,
    product: Tensor,
}

impl Expansion {
    fn new<T: WithDType>(a: &Tensor, b: &Tensor) -> Result<Self> {
        let (centre, width) = (centre::<T>(b)?, b.dim(1)?);
        let centred = |rows: &Tensor| -> Result<Tensor> {
            let given = read::<T, _>(rows, |rows| less(rows, &centre))?;
            Ok(Tensor::from_vec(given, (rows.dim(0)?, width), rows.device())?)
        };
        let (a, b) = (centred(a)?, centred(b)?);
        let product = a.matmul(&b.t()?)?;
        Ok(Self { a, b, product })
    }
}

/// What `of` makes of the numbers of a contiguous tensor on the CPU.
fn read<T: WithDType, R>(tensor: &Tensor, of: impl FnOnce(&[T]) -> R) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    Ok(of(slice(cpu(&storage)?, layout)?))
}

/// Rows less a centre.
fn less<T: WithDType>(rows: &[T], centre: &[T]) -> Vec<T> {
    let mut out = Vec::with_capacity(rows.len());
    for row in rows.chunks_exact(centre.len()) {
        out.extend(row.iter().zip(centre).map(|(x, c)| *x - *c));
    }
    out
}

/// The mean of the rows; where some are far out, of those that are not: one far row would move it away from all
/// others.
fn centre<T: WithDType>(rows: &Tensor) -> Result<Vec<T>> {
    /// How many times the median squared distance from the mean is far out, and how many is not.
    const FAR: f64 = 100.0;
    const NEAR: f64 = 4.0;
    let width = rows.dim(1)?;
    Ok(read::<T, _>(rows, |rows| {
        let all = mean(rows.chunks_exact(width), width);
        let from = |row: &[T]| difference(row, &all).to_f64();
        let from: Vec<f64> = rows.chunks_exact(width).map(from).collect();
        let mut sorted = from.clone();
        let middle = sorted.len() / 2;
        let median = *sorted.select_nth_unstable_by(middle, f64::total_cmp).1;
        if from.iter().all(|from| *from <= FAR * median) {
            return all;
        }
        let near = rows.chunks_exact(width).zip(&from).filter(|(_, from)| **from <= NEAR * median);
        mean(near.map(|(row, _)| row), width)
    })?)
}

/// The mean of rows of so many numbers; not a number if there are none.
fn mean<'a, T: WithDType>(rows: impl Iterator<Item = &'a [T]>, width: usize) -> Vec<T> {
    let (mut sum, mut count) = (vec![0.0; width], 0.0);
    for row in rows {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.to_f64());
        count += 1.0;
    }
    sum.into_iter().map(|sum| T::from_f64(sum / count)).collect()
}

/// `||a - b||^2` for all pairs, on the CPU.
struct Exact(Expansion);

/// A squared distance below this share of `||a||^2 + ||b||^2` is summed up by itself.
const CANCELLED: f64 = 0.125;

/// Distances that a thread takes at once.
const AT_A_TIME: usize = 1 << 13;

impl Exact {
    fn rows<T: WithDType>(&self, a: &[T], b: &[T], width: usize) -> candle_core::Result<Vec<T>> {
        let zero = vec![T::zero(); width];
        let lengths = |rows: &[T]| -> Vec<T> {
            rows.chunks_exact(width).map(|row| difference(row, &zero)).collect()
        };
        let (own, other) = (read(&self.0.a, lengths)?, read(&self.0.b, lengths)?);
        let (two, cancelled) = (T::from_f64(2.0), T::from_f64(CANCELLED));
        let columns = other.len();
        let mut out: Vec<T> = read(&self.0.product, <[T]>::to_vec)?;
        let at_once = (AT_A_TIME / columns).max(1);
        out.par_chunks_mut(at_once * columns).enumerate().for_each(|(chunk, out)| {
            for (i, out) in (chunk * at_once..).zip(out.chunks_exact_mut(columns)) {
                let trusted = |slot: T, other: T| slot >= cancelled * (own[i] + other);
                let mut all = true;
                for (slot, other) in out.iter_mut().zip(&other) {
                    *slot = own[i] + *other - two * *slot;
                    all &= trusted(*slot, *other);
                }
                if all {
                    continue;
                }
                let a = &a[i * width..(i + 1) * width];
                for ((slot, other), b) in out.iter_mut().zip(&other).zip(b.chunks_exact(width)) {
                    if !trusted(*slot, *other) {
                        *slot = difference(a, b);
                    }
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
