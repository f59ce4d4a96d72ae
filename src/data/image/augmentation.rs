//! Random changes of image batches in training: a crop after zero padding, and a mirror image.
//!
//! Never for a pool that is scored: there every point is seen as it is.

use candle_core::{DType, Device, Tensor, WithDType};
use rand::RngCore;
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Random crops and mirror images of a batch of pictures.
///
/// Every picture is surrounded by `padding` zeros on each side, one of the `(2 padding + 1)²`
/// windows of its own size is cut out, and with probability 1/2 the result is mirrored left to
/// right. Zero is the mean colour if the inputs are normalised.
///
/// The default is the usual one for CIFAR: 4 pixels of padding, mirrored.
///
/// # Example
/// A batch of two pictures of 3 channels, moved by at most one pixel:
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gleaner::data::Augmentation;
/// use rand::SeedableRng;
///
/// let images = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let moved = Augmentation { padding: 1, flip: true }.apply(&images, &mut rng)?;
/// assert_eq!(moved.dims(), [2, 3, 8, 8]);
/// // A move by (dy, dx) leaves 64 - 8 |dy| - 8 |dx| + |dy dx| pixels a channel.
/// let left = moved.sum((1, 2, 3))?.to_vec1::<f32>()?;
/// assert!(left.iter().all(|sum| [64.0, 56.0, 49.0].map(|pixels| 3.0 * pixels).contains(sum)));
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Reference
/// K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
/// arXiv:1512.03385, section 4.2: padding by 4, a random 32 × 32 crop of the picture or its mirror image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augmentation {
    /// Zeros put around every picture before the crop, in pixels, below both of its sides; 0: no crop.
    pub padding: usize,
    /// Whether every other picture, at random, is mirrored left to right.
    pub flip: bool,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { padding: 4, flip: true }
    }
}

/// What was drawn for one picture: the corner of its window in the padded picture, and its side.
#[derive(Clone, Copy)]
struct Draw {
    down: usize,
    right: usize,
    mirrored: bool,
}

/// Subset of a side: its first position in the picture and in the window, and its length.
struct Overlap {
    picture: usize,
    window: usize,
    length: usize,
}

impl Augmentation {
    /// Changed copies of `images` (pictures, channels, height, width), of the same type on the same
    /// device. Gradients do not flow through.
    ///
    /// Three 32-bit numbers are drawn for every picture, whatever the options, so that other users
    /// of `rng` do not notice which are set. (An offset is a number times `2 padding + 1`, the high
    /// half: its probability is off by less than 2⁻³² absolute.)
    ///
    /// # Cost
    /// One copy of the batch, row by row, pictures in parallel: about the speed of memory. Other
    /// devices go through the CPU.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `images` has four dimensions, [`Error::OutOfRange`] if the padding is
    /// not below height and width, [`Error::Tensor`] for types other than `f32`, `f64`, `f16`,
    /// `bf16` and `u8`, or if a device refuses. Nothing is drawn then.
    pub fn apply(&self, images: &Tensor, rng: &mut dyn RngCore) -> Result<Tensor> {
        let &[_, _, height, width] = images.dims() else {
            let expected = "(pictures, channels, height, width)";
            return Err(Error::shape("images", expected, images.dims()));
        };
        if images.elem_count() > 0 && self.padding >= height.min(width) {
            return Err(Error::range(
                "Augmentation::padding",
                "below the height and the width of the pictures",
                self.padding as f64,
            ));
        }
        let host = images.to_device(&Device::Cpu)?;
        let moved = match images.dtype() {
            DType::F64 => self.moved::<f64>(&host, rng)?,
            // Through f32 and back without a loss.
            DType::F32 | DType::F16 | DType::BF16 | DType::U8 => {
                self.moved::<f32>(&host.to_dtype(DType::F32)?, rng)?
            }
            other => {
                let error = candle_core::Error::UnsupportedDTypeForOp(other, "augmentation");
                return Err(Error::Tensor(error));
            }
        };
        Ok(moved.to_dtype(images.dtype())?.to_device(images.device())?)
    }

    fn moved<T: WithDType>(&self, images: &Tensor, rng: &mut dyn RngCore) -> Result<Tensor> {
        let (pictures, channels, height, width) = images.dims4()?;
        let draws: Vec<Draw> = (0..pictures).map(|_| self.draw(rng)).collect();
        let from = images.flatten_all()?.to_vec1::<T>()?;
        let mut to = vec![T::zero(); from.len()];
        // A size of 0 has no pixels either, and chunks of length 0 are not allowed.
        let plane = (height * width).max(1);
        let picture = (channels * plane).max(1);
        let pairs = to.par_chunks_mut(picture).zip(from.par_chunks(picture));
        pairs.zip(&draws).for_each(|((to, from), &draw)| {
            for (to, from) in to.chunks_mut(plane).zip(from.chunks(plane)) {
                self.copy_plane(to, from, (height, width), draw);
            }
        });
        Ok(Tensor::from_vec(to, images.shape(), &Device::Cpu)?)
    }

    fn draw(&self, rng: &mut dyn RngCore) -> Draw {
        let windows = 2 * self.padding as u64 + 1;
        let mut offset = || ((u64::from(rng.next_u32()) * windows) >> 32) as usize;
        let (down, right) = (offset(), offset());
        let flip = rng.next_u32() >> 31 == 1; // drawn even where it is not asked for
        Draw { down, right, mirrored: self.flip && flip }
    }

    /// The window of one channel; what lies in the padding keeps the zeros of `to`.
    fn copy_plane<T: Copy>(
        &self,
        to: &mut [T],
        from: &[T],
        (height, width): (usize, usize),
        draw: Draw,
    ) {
        let (rows, columns) = (self.overlap(draw.down, height), self.overlap(draw.right, width));
        for row in 0..rows.length {
            let from = &from[(rows.picture + row) * width + columns.picture..][..columns.length];
            let to = &mut to[(rows.window + row) * width..][..width];
            if draw.mirrored {
                let to = &mut to[width - columns.window - columns.length..][..columns.length];
                to.copy_from_slice(from);
                to.reverse();
            } else {
                to[columns.window..][..columns.length].copy_from_slice(from);
            }
        }
    }

    /// What the picture shares with the window at `offset` of its padded side.
    fn overlap(&self, offset: usize, side: usize) -> Overlap {
        let picture = offset.saturating_sub(self.padding);
        let window = self.padding.saturating_sub(offset);
        // One of the two is zero, the other at most the padding, which is below the side.
        Overlap { picture, window, length: side - picture - window }
    }
}
