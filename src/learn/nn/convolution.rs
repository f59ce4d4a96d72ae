//! Convolution of channel-last images, with its bias and ReLU, as one operation.
//!
//! candle 0.11.1 convolves well forward, but its backward pass is a naive transposed convolution,
//! several times the price of everything else; and patches written out for a whole batch are
//! memory that is touched once. Here a block of a few images at a time has its patches copied into
//! the rows of a matrix small enough to stay in the cache, and matrix products do the work:
//!
//! ```text
//! P  patches x (down right channel)    W  outputs x (down right channel)    b  outputs
//!
//! Y = relu(P W' + 1 b')
//! G = dY where Y > 0:    dW = G' P,    db = G' 1,    dP = G W, added where the patches came from
//! ```
//!
//! Blocks, and the order in which their sums are added, depend on shapes alone: every bit is the
//! same for any number of threads.

use std::cell::RefCell;
use std::ops::Range;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor, WithDType};
use candle_nn::init::{DEFAULT_KAIMING_NORMAL, ZERO};
use candle_nn::var_builder::VarBuilder;
use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, RealField};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::layer::bridge::{cpu, is_plain, slice};

/// Bytes of patches in a block, if one image does not need more: they, and what the products pack,
/// should fit a core's second-level cache.
const BLOCK_BYTES: usize = 300 << 10;

/// Sums over images are taken in at most so many parts, side by side, and then added up: more
/// parts could use more threads, but each is a copy of the weights.
const PARTS: usize = 16;

/// How a convolution moves over an image, and what becomes of its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    /// Height and width of a patch, at least 1 each.
    pub(crate) kernel: [usize; 2],
    /// Zeros above and below the image, and left and right of it.
    pub(crate) padding: [usize; 2],
    /// From one patch to the next, down and right; at least 1.
    pub(crate) stride: usize,
    /// Whether a number is added to each output channel.
    pub(crate) bias: bool,
    /// Negative values become zero; their derivative, and that at exactly zero, is zero.
    pub(crate) relu: bool,
}

impl Stage {
    /// A square kernel of odd side, padded so that stride 1 keeps sizes; neither bias nor ReLU.
    pub(crate) const fn square(kernel: usize, stride: usize) -> Self {
        let padding = [kernel / 2, kernel / 2];
        Self { kernel: [kernel, kernel], padding, stride, bias: false, relu: false }
    }

    /// Height and width after the convolution; an error where not one patch fits.
    fn output(self, size: [usize; 2]) -> Result<[usize; 2]> {
        let padded = [size[0] + 2 * self.padding[0], size[1] + 2 * self.padding[1]];
        if padded[0] < self.kernel[0] || padded[1] < self.kernel[1] {
            let [height, width] = self.kernel;
            let expected = format!("at least {height} x {width} pixels, padding included");
            let found = format!("{} x {}", padded[0], padded[1]);
            return Err(Error::Shape { what: "images", expected, found });
        }
        Ok([0, 1].map(|axis| (padded[axis] - self.kernel[axis]) / self.stride + 1))
    }

    /// Whether every patch is one pixel of the image, and every pixel a patch.
    fn is_pointwise(self) -> bool {
        self.kernel == [1, 1] && self.padding == [0, 0] && self.stride == 1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    /// outputs x inputs x kernel height x kernel width, as everywhere else.
    weight: Tensor,
    /// outputs, or none at all.
    bias: Tensor,
    stage: Stage,
}

impl Convolution {
    pub(crate) fn new(
        inputs: usize,
        outputs: usize,
        stage: Stage,
        builder: &VarBuilder,
    ) -> candle_core::Result<Self> {
        let shape = (outputs, inputs, stage.kernel[0], stage.kernel[1]);
        let weight = builder.get_with_hints(shape, "weight", DEFAULT_KAIMING_NORMAL)?;
        let bias = if stage.bias {
            builder.get_with_hints(outputs, "bias", ZERO)?
        } else {
            Tensor::zeros(0, weight.dtype(), weight.device())?
        };
        Ok(Self { weight, bias, stage })
    }

    /// n x h x w x inputs to n x h' x w' x outputs.
    pub(crate) fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        if is_plain(images) { self.by_blocks(images, None) } else { self.by_candle(images) }
    }

    /// The same plus `base`, n x h' x w' x outputs, for a convolution without bias and ReLU.
    pub(crate) fn forward_onto(
        &self,
        images: &Tensor,
        base: &Tensor,
    ) -> candle_core::Result<Tensor> {
        if is_plain(images) && !self.stage.bias && !self.stage.relu {
            return self.by_blocks(images, Some(base));
        }
        self.forward(images)? + base
    }

    fn by_blocks(&self, images: &Tensor, base: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let weight = self.weight.permute((0, 2, 3, 1))?.contiguous()?;
        let added = base.unwrap_or(&self.bias).contiguous()?;
        let onto = base.is_some();
        images.contiguous()?.apply_op3(&weight, &added, Fused { stage: self.stage, onto })
    }

    /// For devices and types our op does not know. There, candle 0.11.1 has no derivative of strides
    /// other than 1 over images that are not square.
    fn by_candle(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let Stage { padding: [above, left], stride, bias, relu, .. } = self.stage;
        self.stage.output([images.dim(1)?, images.dim(2)?])?;
        let mut images = images.permute((0, 3, 1, 2))?.contiguous()?;
        if above != left {
            images = images.pad_with_zeros(2, above, above)?.pad_with_zeros(3, left, left)?;
        }
        let padding = if above == left { above } else { 0 };
        let mut convolved = images.conv2d(&self.weight, padding, stride, 1, 1)?;
        convolved = convolved.permute((0, 2, 3, 1))?;
        if bias {
            convolved = convolved.broadcast_add(&self.bias)?;
        }
        if relu { convolved.relu() } else { Ok(convolved) }
    }
}

/// Images (n x h x w x c), weight (outputs x kernel x c) and what is added, all of them contiguous,
/// to n x h' x w' x outputs.
struct Fused {
    stage: Stage,
    /// Whether what is added has the shape of the outputs; otherwise it is the bias, or empty.
    onto: bool,
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        "convolution of channel-last images"
    }

    fn cpu_fwd(
        &self,
        images: &CpuStorage,
        images_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        added: &CpuStorage,
        added_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        fn run<T: Number>(
            sizes: Sizes,
            onto: bool,
            [images, weight, added]: [(&CpuStorage, &Layout); 3],
        ) -> candle_core::Result<CpuStorage> {
            let (images, weight) = (slice::<T>(images.0, images.1)?, slice(weight.0, weight.1)?);
            let added = slice(added.0, added.1)?;
            let outputs = sizes.forward(images, weight, added, onto);
            Ok(T::to_cpu_storage_owned(outputs))
        }
        let sizes = Sizes::new(self.stage, images_layout.shape(), weight_layout.shape())?;
        let [down, right] = sizes.patches;
        let shape = Shape::from((images_layout.dims()[0], down, right, sizes.outputs));
        if self.onto && added_layout.shape() != &shape {
            let (expected, found) = (format!("{shape:?}"), format!("{:?}", added_layout.shape()));
            return Err(Error::Shape { what: "base of a convolution", expected, found }.into());
        }
        let all = [(images, images_layout), (weight, weight_layout), (added, added_layout)];
        let outputs = match images.dtype() {
            DType::F32 => run::<f32>(sizes, self.onto, all)?,
            DType::F64 => run::<f64>(sizes, self.onto, all)?,
            other => candle_core::bail!("no convolution of {other:?}"),
        };
        Ok((outputs, shape))
    }

    fn bwd(
        &self,
        images: &Tensor,
        weight: &Tensor,
        _added: &Tensor,
        outputs: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(self.stage, images.shape(), weight.shape())?;
        // Nothing waits for the derivative of what is not tracked, such as images from a data set.
        let wanted = images.track_op();
        let (on_images, on_weight, on_bias) = match images.dtype() {
            DType::F32 => gradients::<f32>(sizes, [images, weight, outputs, upstream], wanted)?,
            DType::F64 => gradients::<f64>(sizes, [images, weight, outputs, upstream], wanted)?,
            other => candle_core::bail!("no convolution of {other:?}"),
        };
        let on_added = match self.onto {
            true => Some(upstream.clone()),
            false if self.stage.bias => Some(on_bias),
            false => None,
        };
        Ok((on_images, Some(on_weight), on_added))
    }
}

/// Gradients of images (if wanted), weight and bias.
fn gradients<T: Number>(
    sizes: Sizes,
    [images, weight, outputs, upstream]: [&Tensor; 4],
    images_wanted: bool,
) -> candle_core::Result<(Option<Tensor>, Tensor, Tensor)> {
    let upstream = upstream.contiguous()?;
    let [on_images, on_weight, on_bias] = {
        let [images, weight, outputs, upstream] =
            [images, weight, outputs, &upstream].map(Tensor::storage_and_layout);
        let given = Given {
            images: slice::<T>(cpu(&images.0)?, images.1)?,
            weight: slice(cpu(&weight.0)?, weight.1)?,
            outputs: slice(cpu(&outputs.0)?, outputs.1)?,
            upstream: slice(cpu(&upstream.0)?, upstream.1)?,
        };
        sizes.backward(given, images_wanted)
    };
    let tensor = |numbers, shape: &Shape| Tensor::from_vec(numbers, shape, weight.device());
    let on_images = if images_wanted { Some(tensor(on_images, images.shape())?) } else { None };
    let biases = on_bias.len().into();
    Ok((on_images, tensor(on_weight, weight.shape())?, tensor(on_bias, &biases)?))
}

/// Numbers that candle stores and nalgebra multiplies.
pub(crate) trait Number: RealField + WithDType {
    /// Lends the calling thread's buffers. They stay with the thread, because memory fresh from the
    /// system costs more than the copies made into it. `work` must not ask for them again.
    fn with_scratch<R>(work: impl FnOnce(&mut Scratch<Self>) -> R) -> R;
}

macro_rules! number {
    ($number:ty) => {
        impl Number for $number {
            fn with_scratch<R>(work: impl FnOnce(&mut Scratch<Self>) -> R) -> R {
                thread_local! {
                    static SCRATCH: RefCell<Scratch<$number>> = RefCell::default();
                }
                SCRATCH.with_borrow_mut(work)
            }
        }
    };
}

number!(f32);
number!(f64);

/// Buffers for a block; what is in them at the start does not matter.
#[derive(Default)]
pub(crate) struct Scratch<T> {
    patches: Vec<T>,
    /// Upstream gradient where the output is positive.
    upstream: Vec<T>,
}

/// What a backward pass reads: row-major, and all but the weight by image.
#[derive(Clone, Copy)]
struct Given<'a, T> {
    images: &'a [T],
    weight: &'a [T],
    outputs: &'a [T],
    upstream: &'a [T],
}

impl<T> Given<'_, T> {
    /// The same for the images in `range` only.
    fn images(self, sizes: Sizes, range: Range<usize>) -> Self {
        let of = |len: usize| range.start * len..range.end * len;
        Self {
            images: &self.images[of(sizes.image_len())],
            outputs: &self.outputs[of(sizes.output_len())],
            upstream: &self.upstream[of(sizes.output_len())],
            ..self
        }
    }
}

/// One image, and where its patches lie.
#[derive(Clone, Copy)]
struct Sizes {
    height: usize,
    width: usize,
    channels: usize,
    outputs: usize,
    /// How many patches lie below each other, and how many side by side.
    patches: [usize; 2],
    stage: Stage,
}

impl Sizes {
    fn new(stage: Stage, images: &Shape, weight: &Shape) -> candle_core::Result<Self> {
        let (_, height, width, channels) = images.dims4()?;
        let (outputs, _, _, inputs) = weight.dims4()?;
        if channels != inputs {
            let expected = format!("{inputs} channels");
            let found = format!("{:?}", images.dims());
            return Err(Error::Shape { what: "images", expected, found }.into());
        }
        let patches = stage.output([height, width])?;
        Ok(Self { height, width, channels, outputs, patches, stage })
    }

    fn patches_per_image(self) -> usize {
        self.patches[0] * self.patches[1]
    }

    fn patch_len(self) -> usize {
        self.stage.kernel[0] * self.stage.kernel[1] * self.channels
    }

    /// How many numbers are in the bias.
    fn biases(self) -> usize {
        if self.stage.bias { self.outputs } else { 0 }
    }

    fn image_len(self) -> usize {
        self.height * self.width * self.channels
    }

    fn output_len(self) -> usize {
        self.patches_per_image() * self.outputs
    }

    /// Images in a part, and in a block of that part.
    fn part_and_block<T>(self, n: usize) -> (usize, usize) {
        let part = n.div_ceil(PARTS).max(1);
        let image_bytes = self.patches_per_image() * self.patch_len() * size_of::<T>();
        let most = (BLOCK_BYTES / image_bytes.max(1)).max(1);
        // Blocks of about one size.
        (part, part.div_ceil(part.div_ceil(most)))
    }

    /// `added` is as long as the outputs if they go `onto` it, otherwise the bias.
    fn forward<T: Number>(self, images: &[T], weight: &[T], added: &[T], onto: bool) -> Vec<T> {
        let n = images.len() / self.image_len();
        let (_, block) = self.part_and_block::<T>(n);
        let weight = DMatrixView::from_slice(weight, self.patch_len(), self.outputs).transpose();
        let mut outputs = vec![T::zero(); n * self.output_len()];
        let length = block * self.output_len();
        let blocks =
            outputs.par_chunks_mut(length).zip(images.par_chunks(block * self.image_len()));
        blocks.enumerate().for_each(|(k, (outputs, images))| {
            if onto {
                outputs.copy_from_slice(&added[k * length..][..outputs.len()]);
            }
            T::with_scratch(|scratch| {
                let patches = self.patches(images, &mut scratch.patches);
                let keep = if onto { T::one() } else { T::zero() };
                self.multiply(patches, &weight, keep, outputs);
            });
            if self.stage.bias {
                for row in outputs.chunks_exact_mut(self.outputs) {
                    row.iter_mut().zip(added).for_each(|(y, &b)| *y += b);
                }
            }
            if self.stage.relu {
                // Not a maximum, which would turn NaN into an innocent zero.
                outputs.iter_mut().for_each(|y| *y = if *y < T::zero() { T::zero() } else { *y });
            }
        });
        outputs
    }

    // nalgebra's matrices are column-major: one made from the numbers of a row-major matrix is its
    // transpose, so the three products below are written transposed. A view with strides may only be
    // the second factor: as the first, nalgebra 0.34.2 writes past the end of narrow products.

    /// Y' = W P' + keep Y'.
    fn multiply<T: Number>(self, patches: &[T], weight: &DMatrix<T>, keep: T, outputs: &mut [T]) {
        let (len, rows) = (self.patch_len(), outputs.len() / self.outputs);
        let patches = DMatrixView::from_slice(patches, len, rows);
        let mut outputs = DMatrixViewMut::from_slice(outputs, self.outputs, rows);
        outputs.gemm(T::one(), weight, &patches, keep);
    }

    /// dW' += P' G.
    fn add_weight_gradient<T: Number>(self, patches: &[T], upstream: &[T], sum: &mut [T]) {
        let (len, rows) = (self.patch_len(), upstream.len() / self.outputs);
        let patches = DMatrixView::from_slice(patches, len, rows);
        let upstream =
            DMatrixView::from_slice_with_strides(upstream, rows, self.outputs, self.outputs, 1);
        let mut sum = DMatrixViewMut::from_slice(sum, len, self.outputs);
        sum.gemm(T::one(), &patches, &upstream, T::one());
    }

    /// dP' = W' G'.
    fn patch_gradients<T: Number>(self, weight: &[T], upstream: &[T], patches: &mut [T]) {
        let (len, rows) = (self.patch_len(), upstream.len() / self.outputs);
        let weight = DMatrixView::from_slice(weight, len, self.outputs);
        let upstream = DMatrixView::from_slice(upstream, self.outputs, rows);
        let mut patches = DMatrixViewMut::from_slice(patches, len, rows);
        patches.gemm(T::one(), &weight, &upstream, T::zero());
    }

    /// Gradients of images (empty unless wanted), weight and bias.
    fn backward<T: Number>(self, given: Given<T>, images_wanted: bool) -> [Vec<T>; 3] {
        let n = given.images.len() / self.image_len();
        let (part, block) = self.part_and_block::<T>(n);
        let length = if images_wanted { given.images.len() } else { 0 };
        let mut on_images = vec![T::zero(); length];
        let mut slots: Vec<&mut [T]> = on_images.chunks_mut(part * self.image_len()).collect();
        slots.resize_with(n.div_ceil(part), || &mut []);
        let parts: Vec<Vec<T>> = (slots.into_par_iter().enumerate())
            .map(|(k, slot)| {
                let given = given.images(self, k * part..n.min((k + 1) * part));
                T::with_scratch(|scratch| self.part_backward(given, block, slot, scratch))
            })
            .collect();
        let mut on_weight = sum_in_order(&parts, given.weight.len() + self.biases());
        let on_bias = on_weight.split_off(given.weight.len());
        [on_images, on_weight, on_bias]
    }

    /// Sums over the images in `given` of the gradients of weight and bias, one behind the other.
    /// The gradients of the images go to `on_images`, unless that is empty.
    fn part_backward<T: Number>(
        self,
        given: Given<T>,
        block: usize,
        on_images: &mut [T],
        scratch: &mut Scratch<T>,
    ) -> Vec<T> {
        let Scratch { patches, upstream: positive } = scratch;
        let n = given.images.len() / self.image_len();
        let mut sums = vec![T::zero(); given.weight.len() + self.biases()];
        let (on_weight, on_bias) = sums.split_at_mut(given.weight.len());
        let mut slots = on_images.chunks_mut(block * self.image_len());
        for from in (0..n).step_by(block) {
            let given = given.images(self, from..n.min(from + block));
            let mut upstream = given.upstream;
            if self.stage.relu {
                let pairs = given.upstream.iter().zip(given.outputs);
                positive.clear();
                positive.extend(pairs.map(|(&g, &y)| if y > T::zero() { g } else { T::zero() }));
                upstream = positive;
            }
            if self.stage.bias {
                for row in upstream.chunks_exact(self.outputs) {
                    on_bias.iter_mut().zip(row).for_each(|(sum, &g)| *sum += g);
                }
            }
            self.add_weight_gradient(self.patches(given.images, patches), upstream, on_weight);
            match slots.next() {
                Some(on_images) if self.stage.is_pointwise() => {
                    self.patch_gradients(given.weight, upstream, on_images);
                }
                Some(on_images) => {
                    patches.resize(upstream.len() / self.outputs * self.patch_len(), T::zero());
                    self.patch_gradients(given.weight, upstream, patches);
                    self.fold(patches, on_images);
                }
                None => {}
            }
        }
        sums
    }

    /// The patches of images, one a row: in `room`, unless the images are their own patches.
    fn patches<'a, T: Number>(self, images: &'a [T], room: &'a mut Vec<T>) -> &'a [T] {
        if self.stage.is_pointwise() {
            return images;
        }
        self.unfold(images, room);
        room
    }

    /// Images to their patches, one a row, with zeros where a patch is outside.
    fn unfold<T: Number>(self, images: &[T], patches: &mut Vec<T>) {
        let per_image = self.patches_per_image() * self.patch_len();
        patches.resize(images.len() / self.image_len() * per_image, T::zero());
        let pairs = patches.chunks_exact_mut(per_image).zip(images.chunks_exact(self.image_len()));
        for (patches, image) in pairs {
            self.for_each_row(|Row { row, inside, pixel }| {
                let (before, after) = (row.start..inside.start, inside.end..row.end);
                patches[before].fill(T::zero());
                let len = inside.len();
                patches[inside].copy_from_slice(&image[pixel..pixel + len]);
                patches[after].fill(T::zero());
            });
        }
    }

    /// The transpose of unfolding: every number of a patch is added where it came from.
    fn fold<T: Number>(self, patches: &[T], images: &mut [T]) {
        let per_image = self.patches_per_image() * self.patch_len();
        let pairs = images.chunks_exact_mut(self.image_len()).zip(patches.chunks_exact(per_image));
        for (image, patches) in pairs {
            self.for_each_row(|Row { inside, pixel, .. }| {
                let sums = &mut image[pixel..pixel + inside.len()];
                sums.iter_mut().zip(&patches[inside]).for_each(|(sum, &x)| *sum += x);
            });
        }
    }

    /// Calls `act` for every row of every patch of an image.
    fn for_each_row(self, mut act: impl FnMut(Row)) {
        let Stage { kernel: [high, wide], padding: [above, before], stride, .. } = self.stage;
        let [down, right] = self.patches;
        let mut start = 0;
        for (down, right) in (0..down).flat_map(|down| (0..right).map(move |right| (down, right))) {
            // Lines and columns of the image, counted with the padding.
            let left = right * stride;
            let (first, end) = (left.max(before), (left + wide).min(self.width + before));
            for line in down * stride..down * stride + high {
                let row = start..start + wide * self.channels;
                start = row.end;
                let at = |column: usize| row.start + (column - left) * self.channels;
                let seen = first < end && (above..self.height + above).contains(&line);
                let (inside, pixel) = if seen {
                    let pixel = (line - above) * self.width + first - before;
                    (at(first)..at(end), pixel * self.channels)
                } else {
                    (row.end..row.end, 0)
                };
                act(Row { row, inside, pixel });
            }
        }
    }
}

/// One row of a patch: numbers that lie side by side in the patch, and in the image as well.
struct Row {
    /// Where in the patches of the image.
    row: Range<usize>,
    /// The part of it that is not outside the image.
    inside: Range<usize>,
    /// Where in the image that part begins.
    pixel: usize,
}

/// Adds up vectors of length `len`, each number in the order of `parts`.
fn sum_in_order<T: Number>(parts: &[Vec<T>], len: usize) -> Vec<T> {
    const CHUNK: usize = 4096;
    let mut sums = vec![T::zero(); len];
    sums.par_chunks_mut(CHUNK).enumerate().for_each(|(k, sums)| {
        for part in parts {
            sums.iter_mut().zip(&part[k * CHUNK..]).for_each(|(sum, &x)| *sum += x);
        }
    });
    sums
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use candle_nn::Init;

    use super::*;
    use crate::learn::SeededWeights;

    const NORMAL: Init = Init::Randn { mean: 0.0, stdev: 1.0 };

    fn stages() -> impl Iterator<Item = Stage> {
        let moves = [
            Stage { bias: true, ..Stage::square(3, 1) },
            Stage { bias: true, ..Stage::square(3, 2) },
            Stage::square(3, 1),
            Stage::square(1, 1),
            Stage::square(1, 2),
            Stage { kernel: [1, 3], padding: [0, 2], bias: true, ..Stage::square(1, 1) },
            Stage { kernel: [4, 2], padding: [3, 1], ..Stage::square(1, 1) },
            Stage { kernel: [2, 2], padding: [3, 3], bias: true, ..Stage::square(2, 2) },
        ];
        moves.into_iter().flat_map(|stage| [false, true].map(|relu| Stage { relu, ..stage }))
    }

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    /// A layer with a bias that is not zero, and images: channel-first in memory, as they come.
    struct Case {
        layer: Convolution,
        images: Var,
        upstream: Tensor,
    }

    impl Case {
        fn new(stage: Stage, dims: [usize; 4], outputs: usize, dtype: DType) -> Self {
            let [n, height, width, channels] = dims;
            let (builder, _) = SeededWeights::builder(3, dtype, &Device::Cpu);
            let mut layer = Convolution::new(channels, outputs, stage, &builder).unwrap();
            if stage.bias {
                layer.bias = builder.get_with_hints(outputs, "offset", NORMAL).unwrap();
            }
            let images = (n, channels, height, width);
            let images = builder.get_with_hints(images, "images", NORMAL).unwrap();
            let [down, right] = stage.output([height, width]).unwrap();
            let upstream = (n, down, right, outputs);
            let upstream = builder.get_with_hints(upstream, "upstream", NORMAL).unwrap().detach();
            Self { layer, images: Var::from_tensor(&images).unwrap(), upstream }
        }

        /// Outputs, and gradients of images, weight and bias.
        fn answers(
            &self,
            convolve: impl Fn(&Convolution, &Tensor) -> candle_core::Result<Tensor>,
        ) -> [Vec<f64>; 4] {
            let images = self.images.permute((0, 2, 3, 1)).unwrap();
            let outputs = convolve(&self.layer, &images).unwrap();
            let sum = (&outputs * &self.upstream).unwrap().sum_all().unwrap();
            let gradients = sum.backward().unwrap();
            let of = |tensor: &Tensor| match gradients.get(tensor) {
                Some(gradient) => gradient.clone(),
                None => tensor.zeros_like().unwrap(), // the bias that is not there
            };
            [outputs, of(&self.images), of(&self.layer.weight), of(&self.layer.bias)]
                .map(|tensor| numbers(&tensor))
        }
    }

    /// candle's own convolution is an independent reference, for values and for all derivatives;
    /// and it is what other devices run.
    #[test]
    fn blocks_agree_with_candle() {
        // One image; parts of two and three images, the last one smaller; several blocks a part.
        let sizes = [(1, 8, 2, 7), (17, 8, 2, 3), (37, 8, 9, 6), (35, 16, 32, 8)];
        for (stage, (n, size, channels, outputs)) in
            stages().flat_map(|stage| sizes.map(|sizes| (stage, sizes)))
        {
            let case = Case::new(stage, [n, size, size, channels], outputs, DType::F64);
            let ours = case.answers(|layer, images| layer.by_blocks(images, None));
            let theirs = case.answers(Convolution::by_candle);
            for (what, (ours, theirs)) in
                ["outputs", "images", "weight", "bias"].into_iter().zip(ours.iter().zip(&theirs))
            {
                assert_eq!(ours.len(), theirs.len());
                let largest = theirs.iter().fold(1.0, |largest: f64, x| largest.max(x.abs()));
                for (ours, theirs) in ours.iter().zip(theirs) {
                    let close = (ours - theirs).abs() < 1e-12 * largest;
                    assert!(close, "{stage:?}, {n} images, {what}: {ours} against {theirs}");
                }
            }
        }
    }

    /// Without ReLU the sum is linear in each of images, weight and bias, so that central
    /// differences have no error but rounding's; with it, unless a sign changes within the step.
    #[test]
    fn gradients_match_finite_differences() {
        for (stage, [height, width]) in
            stages().flat_map(|stage| [[5, 4], [3, 7], [1, 1]].map(|size| (stage, size)))
        {
            let case = Case::new(stage, [3, height, width, 2], 6, DType::F64);
            let [_, images, weight, bias] = case.answers(Convolution::forward);
            let Case { layer, images: pixels, upstream } = &case;
            for (what, tensor, gradient) in [
                ("images", pixels.as_tensor(), images),
                ("weight", &layer.weight, weight),
                ("bias", &layer.bias, bias),
            ] {
                let start = numbers(tensor);
                let at = |k: usize, step: f64| {
                    let mut moved = start.clone();
                    moved[k] += step;
                    let moved = Tensor::from_vec(moved, tensor.shape(), &Device::Cpu).unwrap();
                    let (mut layer, mut images) = (layer.clone(), pixels.as_tensor().clone());
                    match what {
                        "images" => images = moved,
                        "weight" => layer.weight = moved,
                        _ => layer.bias = moved,
                    }
                    let images = images.permute((0, 2, 3, 1)).unwrap();
                    let sum = (layer.forward(&images).unwrap() * upstream).unwrap().sum_all();
                    sum.unwrap().to_scalar::<f64>().unwrap()
                };
                for (k, got) in gradient.iter().enumerate() {
                    let expected = (at(k, 1e-6) - at(k, -1e-6)) / 2e-6;
                    let close = (got - expected).abs() < 1e-7;
                    assert!(close, "{stage:?}, {what}[{k}]: {got} against {expected}");
                }
            }
        }
    }

    #[test]
    fn every_bit_is_the_same_for_any_number_of_threads() {
        for stage in stages() {
            let case = Case::new(stage, [83, 16, 16, 24], 16, DType::F32);
            let [one, two, three] = [1, 2, 3].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| case.answers(|layer, images| layer.by_blocks(images, None)))
            });
            assert!(one == two && one == three, "{stage:?}");
        }
    }

    #[test]
    fn onto_a_base_is_plus_the_base() {
        for stage in stages() {
            let case = Case::new(stage, [19, 5, 7, 3], 6, DType::F64);
            let base = Var::from_tensor(&case.upstream.affine(0.5, 1.0).unwrap()).unwrap();
            let apart = case.answers(|layer, images| layer.forward(images)? + base.as_tensor());
            let fused = case.answers(|layer, images| layer.forward_onto(images, &base));
            for (apart, fused) in apart.iter().flatten().zip(fused.iter().flatten()) {
                let close = (apart - fused).abs() < 1e-12 * apart.abs().max(1.0);
                assert!(close, "{stage:?}: {apart} against {fused}");
            }
            let images = case.images.permute((0, 2, 3, 1)).unwrap();
            let outputs = case.layer.forward_onto(&images, &base).unwrap();
            let sum = (outputs * &case.upstream).unwrap().sum_all().unwrap();
            let gradients = sum.backward().unwrap();
            assert_eq!(numbers(gradients.get(&base).unwrap()), numbers(&case.upstream));
            let narrow = base.narrow(0, 0, 18).unwrap();
            assert!(case.layer.forward_onto(&images, &narrow).is_err());
        }
    }

    #[test]
    fn images_that_are_not_tracked_get_no_gradient() {
        let case = Case::new(stages().last().unwrap(), [3, 8, 8, 2], 6, DType::F32);
        let images = case.images.permute((0, 2, 3, 1)).unwrap().detach();
        let sum = case.layer.forward(&images).unwrap().sum_all().unwrap();
        let gradients = sum.backward().unwrap();
        assert!(gradients.get(&case.layer.weight).is_some());
        assert!(gradients.get(&images).is_none());
    }

    #[test]
    fn relu_has_no_derivative_at_zero_and_lets_nan_through() {
        let stage = Stage { bias: true, relu: true, ..Stage::square(3, 1) };
        let case = Case::new(stage, [1, 4, 4, 1], 2, DType::F64);
        case.images.set(&case.images.zeros_like().unwrap()).unwrap();
        let layer = Convolution {
            bias: Var::zeros(2, DType::F64, &Device::Cpu).unwrap().into_inner(),
            ..case.layer.clone()
        };
        let images = case.images.permute((0, 2, 3, 1)).unwrap();
        let gradients = layer.forward(&images).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(numbers(gradients.get(&layer.bias).unwrap()), [0.0, 0.0]);
        let nan = (images * f64::NAN).unwrap();
        assert!(numbers(&layer.forward(&nan).unwrap()).iter().all(|y| y.is_nan()));
    }

    #[test]
    fn no_images_are_no_error() {
        let case = Case::new(stages().last().unwrap(), [0, 8, 8, 2], 6, DType::F32);
        let [outputs, images, weight, bias] = case.answers(Convolution::forward);
        assert!(outputs.is_empty() && images.is_empty());
        assert!(weight.iter().chain(&bias).all(|g| *g == 0.0));
    }

    #[test]
    fn images_that_do_not_fit_are_refused() {
        let stage = Stage { kernel: [1, 5], padding: [0, 1], ..Stage::square(1, 1) };
        let layer = Case::new(stage, [1, 1, 3, 2], 1, DType::F32).layer;
        for (dims, expected) in [
            ((1, 1, 2, 2), "at least 1 x 5 pixels, padding included, found 1 x 4"),
            ((1, 1, 3, 4), "2 channels, found [1, 1, 3, 4]"),
        ] {
            let images = Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
            let error = layer.forward(&images).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
