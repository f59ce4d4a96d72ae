//! A small convolutional network for square images, made to be trained on a CPU.
//!
//! Images stay channel-last and are convolved by an operation of our own; see `convolution.rs`.
//! Nothing in here has a wrong gradient in candle 0.11.1 (`max_pool2d` has): images are halved by
//! strided convolution, and averaged at the end.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor, Var, WithDType};
use candle_nn::{Linear, Module, linear};

use crate::error::{Error, Result};
use crate::layer::bridge::{is_plain, slice};
use crate::learn::nn::convolution::{Convolution, Number, Stage};
use crate::learn::{Learner, SeededWeights};

/// The three convolutions. With their padding of 1, stride 2 halves an even size exactly.
const STAGES: [Stage; 3] = [
    Stage { bias: true, relu: true, ..Stage::square(3, 2) },
    Stage { bias: true, relu: true, ..Stage::square(3, 2) },
    Stage { bias: true, relu: true, ..Stage::square(3, 1) },
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
                return Err(Error::range(what, "at least 1", 0.0));
            }
        }
        if self.size == 0 || !self.size.is_multiple_of(4) {
            let (what, rule) = ("CnnOptions::size", "a positive multiple of 4");
            return Err(Error::range(what, rule, self.size as f64));
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
/// At batch 64 and the default options losses and gradients take about 17 ms on two idle CPU cores,
/// and about as long for each 64 images of a batch of 1,000. The same network on candle's `conv2d`
/// takes at least 5 times as long (measured side by side).
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gleaner::learn::{Cnn, CnnOptions, Learner};
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
            images = convolution.forward(&images)?;
        }
        average(&images)
    }

    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        self.head.forward(features)
    }

    fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }
}

/// n x h x w x c to n x c.
///
/// candle 0.11.1 sums over other dimensions than the last one number at a time, working out where
/// each belongs by division, at the price of a convolution.
pub(crate) fn average(images: &Tensor) -> candle_core::Result<Tensor> {
    if is_plain(images) { images.contiguous()?.apply_op1(Average) } else { images.mean((1, 2)) }
}

struct Average;

impl CustomOp1 for Average {
    fn name(&self) -> &'static str {
        "average over the image"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        fn run<T: Number>(images: &[T], pixels: usize, channels: usize) -> CpuStorage {
            let share = <T as WithDType>::from_f64(1.0 / pixels as f64);
            let mut averages = Vec::with_capacity(images.len() / pixels);
            for image in images.chunks_exact(pixels * channels) {
                let from = averages.len();
                averages.resize(from + channels, T::zero());
                for pixel in image.chunks_exact(channels) {
                    averages[from..].iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += x);
                }
                averages[from..].iter_mut().for_each(|sum| *sum *= share);
            }
            T::to_cpu_storage_owned(averages)
        }
        let (n, height, width, channels) = layout.shape().dims4()?;
        let pixels = height * width;
        let averages = match storage.dtype() {
            DType::F32 => run::<f32>(slice(storage, layout)?, pixels, channels),
            DType::F64 => run::<f64>(slice(storage, layout)?, pixels, channels),
            other => candle_core::bail!("no average of {other:?}"),
        };
        Ok((averages, Shape::from((n, channels))))
    }

    fn bwd(
        &self,
        images: &Tensor,
        _averages: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let (n, height, width, channels) = images.dims4()?;
        let share = (gradient / (height * width) as f64)?;
        share.reshape((n, 1, 1, channels))?.broadcast_as(images.shape())?.contiguous().map(Some)
    }
}
