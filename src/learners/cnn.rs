//! A small convolutional network for square images, made to be trained on a CPU.
//!
//! candle 0.11.1 convolves well forward, but its backward pass is a naive transposed convolution,
//! several times the price of everything else. Here images stay channel-last and a convolution is
//! one copy of all patches into a matrix (our own op, whose derivative is the copy back) and one
//! matrix product, so that nearly all the work, backward too, is in the fast product.
//!
//! Nothing in here has a wrong gradient in candle 0.11.1 (`max_pool2d` has): images are halved by
//! strided convolution, and averaged at the end.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor, Var};
use candle_nn::init::{DEFAULT_KAIMING_NORMAL, ZERO};
use candle_nn::var_builder::VarBuilder;
use candle_nn::{Linear, Module, linear};
use rayon::prelude::*;

use super::{Learner, SeededWeights};
use crate::error::{Error, Result};

/// Zeros around the image, on each side.
const PADDING: usize = 1;

/// Kernel and stride of the three convolutions. With padding 1, stride 2 halves an even size exactly.
const STAGES: [Stage; 3] = [
    Stage { kernel: 3, stride: 2 },
    Stage { kernel: 3, stride: 2 },
    Stage { kernel: 3, stride: 1 },
];

/// Shape of a [`Cnn`]. The default is CIFAR-10's: 3 x 32 x 32, 10 classes, widths 32, 64, 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CnnOptions {
    /// Channels of an image, at least 1.
    pub channels: usize,
    /// Height and width of an image: a positive multiple of 4, since it is halved twice.
    pub size: usize,
    /// Classes, at least 1.
    pub classes: usize,
    /// Channels after each of the three convolutions, at least 1 each.
    pub widths: [usize; 3],
}

impl Default for CnnOptions {
    fn default() -> Self {
        Self { channels: 3, size: 32, classes: 10, widths: [32, 64, 64] }
    }
}

impl CnnOptions {
    fn check(&self) -> Result<()> {
        let [first, second, third] = self.widths;
        for (what, size) in [
            ("CnnOptions::channels", self.channels),
            ("CnnOptions::classes", self.classes),
            ("CnnOptions::widths", first.min(second).min(third)),
        ] {
            if size == 0 {
                return Err(Error::OutOfRange { what, rule: "at least 1", found: 0.0 });
            }
        }
        if self.size == 0 || !self.size.is_multiple_of(4) {
            let (what, rule) = ("CnnOptions::size", "a positive multiple of 4");
            return Err(Error::OutOfRange { what, rule, found: self.size as f64 });
        }
        Ok(())
    }
}

/// Three convolutions with ReLU, an average over the image, a linear head; no batch statistics.
///
/// ```text
/// n x C x S x S  -3x3, stride 2->  n x w0 x S/2 x S/2  -3x3, stride 2->  n x w1 x S/4 x S/4
///                -3x3->  n x w2 x S/4 x S/4  -mean->  features (n x w2)  -linear->  logits
/// ```
///
/// Weights start Kaiming normal, convolution biases at zero, from the seed alone. Variables are
/// called `conv0.weight` (w0 x C x 3 x 3), `conv0.bias`, …, `head.weight`, `head.bias`.
///
/// # Cost
/// At batch 64 and the default options a step (losses, gradients, update) takes about 36 ms on two
/// idle CPU cores. The same network on candle's `conv2d` takes about 5 times as long, and one with
/// 3 x 3 convolutions at full size and average pooling about 12 times (measured side by side).
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gleaner::learners::{Cnn, CnnOptions, Learner};
///
/// let options = CnnOptions { channels: 1, size: 8, classes: 4, widths: [4, 8, 6] };
/// let cnn = Cnn::new(&options, 0, DType::F32, &Device::Cpu)?;
/// let images = Tensor::ones((2, 1, 8, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(cnn.features(&images)?.dims(), [2, 6]);
/// assert_eq!(cnn.logits(&images)?.dims(), [2, 4]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cnn {
    options: CnnOptions,
    convolutions: Vec<Convolution>,
    head: Linear,
    variables: Vec<(String, Var)>,
}

impl Cnn {
    /// An untrained network.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside the range given at [`CnnOptions`];
    /// [`Error::Tensor`] if the device refuses `dtype`.
    pub fn new(options: &CnnOptions, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        options.check()?;
        let (builder, weights) = SeededWeights::builder(seed, dtype, device);
        let (mut convolutions, mut inputs) = (Vec::with_capacity(STAGES.len()), options.channels);
        for (k, (stage, &outputs)) in STAGES.into_iter().zip(&options.widths).enumerate() {
            let builder = builder.pp(format!("conv{k}"));
            convolutions.push(Convolution::new(inputs, outputs, stage, &builder)?);
            inputs = outputs;
        }
        let head = linear(inputs, options.classes, builder.pp("head"))?;
        Ok(Self { options: *options, convolutions, head, variables: weights.variables() })
    }
}

impl Learner for Cnn {
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        let CnnOptions { channels, size, .. } = self.options;
        if inputs.rank() != 4 || inputs.dims()[1..] != [channels, size, size] {
            let expected = format!("n x {channels} x {size} x {size}");
            let found = format!("{:?}", inputs.dims());
            return Err(Error::Shape { what: "images", expected, found }.into());
        }
        let mut images = inputs.permute((0, 2, 3, 1))?;
        for convolution in &self.convolutions {
            images = convolution.forward(&images)?.relu()?;
        }
        images.mean((1, 2))
    }

    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        self.head.forward(features)
    }

    fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }
}

/// How a convolution moves over an image.
#[derive(Clone, Copy, Debug)]
struct Stage {
    kernel: usize,
    stride: usize,
}

impl Stage {
    /// Height or width after the convolution.
    fn output(self, size: usize) -> usize {
        (size + 2 * PADDING - self.kernel) / self.stride + 1
    }
}

#[derive(Clone, Debug)]
struct Convolution {
    /// outputs x inputs x kernel x kernel, as everywhere else.
    weight: Tensor,
    bias: Tensor,
    stage: Stage,
}

impl Convolution {
    fn new(
        inputs: usize,
        outputs: usize,
        stage: Stage,
        builder: &VarBuilder,
    ) -> candle_core::Result<Self> {
        let shape = (outputs, inputs, stage.kernel, stage.kernel);
        let weight = builder.get_with_hints(shape, "weight", DEFAULT_KAIMING_NORMAL)?;
        let bias = builder.get_with_hints(outputs, "bias", ZERO)?;
        Ok(Self { weight, bias, stage })
    }

    /// n x h x w x inputs to n x h' x w' x outputs.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let ours = images.device().is_cpu() && matches!(images.dtype(), DType::F32 | DType::F64);
        let convolved = if ours { self.by_patches(images)? } else { self.by_candle(images)? };
        convolved.broadcast_add(&self.bias)
    }

    fn by_patches(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let (n, height, width, _) = images.dims4()?;
        let outputs = self.weight.dim(0)?;
        let patches = images.contiguous()?.apply_op1(Unfold(self.stage))?;
        // Rows in the order of a patch: down, right, channel.
        let kernel = self.weight.permute((2, 3, 1, 0))?.reshape(((), outputs))?;
        let shape = (n, self.stage.output(height), self.stage.output(width), outputs);
        patches.matmul(&kernel)?.reshape(shape)
    }

    /// For devices and types our op does not know.
    fn by_candle(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let images = images.permute((0, 3, 1, 2))?.contiguous()?;
        images.conv2d(&self.weight, PADDING, self.stage.stride, 1, 1)?.permute((0, 2, 3, 1))
    }
}

/// Images (n x h x w x c) to their patches, one a row: (n h' w') x (kernel kernel c), zeros outside.
struct Unfold(Stage);

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "unfold patches"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, height, width, channels) = layout.shape().dims4()?;
        let grid = Grid { height, width, channels, stage: self.0 };
        let range = contiguous(layout)?;
        let patches = match storage {
            CpuStorage::F32(images) => CpuStorage::F32(grid.unfold(&images[range])),
            CpuStorage::F64(images) => CpuStorage::F64(grid.unfold(&images[range])),
            other => candle_core::bail!("no patches of {:?}", other.dtype()),
        };
        let shape = Shape::from((n * grid.patches_per_image(), grid.patch_len()));
        Ok((patches, shape))
    }

    fn bwd(
        &self,
        images: &Tensor,
        _patches: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let (_, height, width, channels) = images.dims4()?;
        let grid = Grid { height, width, channels, stage: self.0 };
        gradient.contiguous()?.apply_op1_no_bwd(&Fold(grid)).map(Some)
    }
}

/// The transpose of [`Unfold`]: every number of a patch is added where it came from.
struct Fold(Grid);

impl CustomOp1 for Fold {
    fn name(&self) -> &'static str {
        "fold patches"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Self(grid) = self;
        let range = contiguous(layout)?;
        let n = layout.dims()[0] / grid.patches_per_image();
        let images = match storage {
            CpuStorage::F32(patches) => CpuStorage::F32(grid.fold(&patches[range])),
            CpuStorage::F64(patches) => CpuStorage::F64(grid.fold(&patches[range])),
            other => candle_core::bail!("no patches of {:?}", other.dtype()),
        };
        Ok((images, Shape::from((n, grid.height, grid.width, grid.channels))))
    }
}

fn contiguous(layout: &Layout) -> candle_core::Result<std::ops::Range<usize>> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(from..to),
        None => candle_core::bail!("patches need a contiguous tensor"),
    }
}

/// Where patches lie in an image.
#[derive(Clone, Copy)]
struct Grid {
    height: usize,
    width: usize,
    channels: usize,
    stage: Stage,
}

impl Grid {
    fn patches_per_image(self) -> usize {
        self.stage.output(self.height) * self.stage.output(self.width)
    }

    fn patch_len(self) -> usize {
        self.stage.kernel * self.stage.kernel * self.channels
    }

    fn image_len(self) -> usize {
        self.height * self.width * self.channels
    }

    fn unfold<T: Copy + Default + Send + Sync>(self, images: &[T]) -> Vec<T> {
        let per_image = self.patches_per_image() * self.patch_len();
        let mut patches = vec![T::default(); images.len() / self.image_len() * per_image];
        let pairs = patches.par_chunks_mut(per_image).zip(images.par_chunks(self.image_len()));
        pairs.for_each(|(patches, image)| {
            self.for_each_run(|patch, pixel, len| {
                patches[patch..patch + len].copy_from_slice(&image[pixel..pixel + len]);
            });
        });
        patches
    }

    /// One thread an image, so that the order of the sums, and with it every bit, is fixed.
    fn fold<T>(self, patches: &[T]) -> Vec<T>
    where
        T: Copy + Default + Send + Sync + std::ops::AddAssign,
    {
        let per_image = self.patches_per_image() * self.patch_len();
        let mut images = vec![T::default(); patches.len() / per_image * self.image_len()];
        let pairs = images.par_chunks_mut(self.image_len()).zip(patches.par_chunks(per_image));
        pairs.for_each(|(image, patches)| {
            self.for_each_run(|patch, pixel, len| {
                let part = &patches[patch..patch + len];
                image[pixel..pixel + len].iter_mut().zip(part).for_each(|(sum, &x)| *sum += x);
            });
        });
        images
    }

    /// Calls `act(start in the patches, start in the image, length)` for every run of numbers that
    /// lie side by side in both: the part of one row of a patch that is inside the image.
    fn for_each_run(self, mut act: impl FnMut(usize, usize, usize)) {
        let Stage { kernel, stride } = self.stage;
        let across = self.stage.output(self.width);
        for down in 0..self.stage.output(self.height) {
            // Rows and columns below count the padding.
            for row in
                (down * stride).max(PADDING)..(down * stride + kernel).min(self.height + PADDING)
            {
                for right in 0..across {
                    let left = right * stride;
                    let first = left.max(PADDING);
                    let end = (left + kernel).min(self.width + PADDING);
                    let in_patch = (row - down * stride) * kernel + first - left;
                    let patch =
                        (down * across + right) * self.patch_len() + in_patch * self.channels;
                    let pixel = (row - PADDING) * self.width + first - PADDING;
                    act(patch, pixel * self.channels, (end - first) * self.channels);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// candle's own convolution is an independent reference, for values and for both derivatives;
    /// and it is what other devices run.
    #[test]
    fn patches_agree_with_candle() -> candle_core::Result<()> {
        for stage in STAGES {
            let (builder, weights) = SeededWeights::builder(3, DType::F64, &Device::Cpu);
            let layer = Convolution::new(2, 5, stage, &builder)?;
            let init = candle_nn::Init::Randn { mean: 0.0, stdev: 1.0 };
            let images = builder.get_with_hints((3, 8, 8, 2), "images", init)?;
            let upstream =
                builder.get_with_hints((3, stage.output(8), stage.output(8), 5), "g", init)?;
            let mut answers = Vec::new();
            for convolved in [layer.by_patches(&images)?, layer.by_candle(&images)?] {
                let gradients = (&convolved * &upstream)?.sum_all()?.backward()?;
                let variables = weights.variables();
                let of = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, v)| v);
                let parts =
                    [of("images"), of("weight")].map(|v| gradients.get(v.unwrap()).unwrap());
                let all = [&convolved, parts[0], parts[1]].map(|t| t.flatten_all().unwrap());
                answers.push(Tensor::cat(&all, 0)?.to_vec1::<f64>()?);
            }
            for (ours, theirs) in answers[0].iter().zip(&answers[1]) {
                assert!((ours - theirs).abs() < 1e-12, "{stage:?}: {ours} against {theirs}");
            }
        }
        Ok(())
    }
}
