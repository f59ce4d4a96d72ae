//! Very deep convolutional network over the characters of a text.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{Init, Linear, Module, linear};

use crate::data::text::encode::Characters;
use crate::error::{Error, Result};
use crate::learn::nn::batch_norm::{BatchNorm, Mode};
use crate::learn::nn::convolution::{Convolution, Stage};
use crate::learn::nn::pooling::{halve, k_max};
use crate::learn::{Learner, SeededWeights};

/// Levels: between two of them time is halved.
const LEVELS: usize = 4;

/// Three neighbours in time; texts are images of height 1.
const TEMPORAL: Stage =
    Stage { kernel: [1, 3], padding: [0, 1], stride: 1, bias: false, relu: false };

/// Convolutions of a [`Vdcnn`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VdcnnDepth {
    /// One block on every level.
    #[default]
    Nine,
    /// Five blocks on each of the first two levels, two on each of the others.
    TwentyNine,
}

impl VdcnnDepth {
    fn blocks(self) -> [usize; LEVELS] {
        match self {
            Self::Nine => [1; LEVELS],
            Self::TwentyNine => [5, 5, 2, 2],
        }
    }
}

/// Shape of a [`Vdcnn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VdcnnOptions {
    /// Convolutions.
    pub depth: VdcnnDepth,
    /// Different ids, padding included, at least 1: [`Characters::IDS`] unless you have your own.
    pub ids: usize,
    /// Numbers in the embedding of a character, at least 1.
    pub embedding: usize,
    /// Channels of each level, at least 1 each.
    pub widths: [usize; LEVELS],
    /// Values of each channel that are kept at the end, at least 1; a text must have at least
    /// 8 (k - 1) + 1 ids.
    pub k: usize,
    /// Widths of the two hidden layers, at least 1 each.
    pub hidden: [usize; 2],
    /// Classes, at least 1.
    pub classes: usize,
}

impl Default for VdcnnOptions {
    /// The paper's numbers at depth 9, and 2 classes.
    fn default() -> Self {
        Self {
            depth: VdcnnDepth::Nine,
            ids: Characters::IDS,
            embedding: 16,
            widths: [64, 128, 256, 512],
            k: 8,
            hidden: [2048, 2048],
            classes: 2,
        }
    }
}

impl VdcnnOptions {
    fn check(&self) -> Result<()> {
        let sizes = [
            ("VdcnnOptions::ids", self.ids),
            ("VdcnnOptions::embedding", self.embedding),
            ("VdcnnOptions::k", self.k),
            ("VdcnnOptions::classes", self.classes),
        ];
        let widths = self.widths.map(|width| ("VdcnnOptions::widths", width));
        let hidden = self.hidden.map(|width| ("VdcnnOptions::hidden", width));
        for (what, size) in sizes.into_iter().chain(widths).chain(hidden) {
            if size == 0 {
                return Err(Error::range(what, "at least 1", 0.0));
            }
        }
        Ok(())
    }
}

/// Convolution, batch normalisation and ReLU.
#[derive(Clone, Debug)]
struct Layer {
    convolution: Convolution,
    norm: BatchNorm,
}

/// Characters to classes through 9 or 29 temporal convolutions.
///
/// ```text
/// ids (n x t, u32)  -embedding->  n x t x 16  -convolution 3->  n x t x 64
///
/// level:  blocks of two times (convolution 3, batch normalisation, ReLU), 64 channels
///         halve: largest of three neighbours at every second position
/// levels of 128, 256 and 512 channels, time halved between them (t / 8 at the end)
///
/// 8 largest values of each channel, in the order of time (n x 4096)
/// -linear, ReLU->  n x 2048  -linear, ReLU->  features (n x 2048)  -linear->  logits
/// ```
///
/// Inputs are made by [`Characters`]; all texts of a batch have the same number of ids, and padding
/// is a character like any other. In [`Learner::training_logits`] the batch normalises itself and
/// the running statistics follow; everywhere else they normalise.
///
/// Convolutions and hidden layers start Kaiming normal, the embedding normal with deviation 1,
/// from the seed alone. Variables are called `embedding.weight`, `first.weight`, `first.bias`,
/// `level0.block0.conv0.weight`, `level0.block0.norm0.weight`, …, `hidden0.weight`, …, `head.bias`;
/// buffers `level0.block0.norm0.running_mean` and `running_var`, ….
///
/// # Cost
/// At depth 9, 1,014 characters and the paper's widths a text takes 0.30 billion multiplications and
/// additions forward and about twice as many backward; on a CPU choose smaller widths or shorter texts.
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device};
/// use gleaner::data::text::encode::{Characters, TextEncoder};
/// use gleaner::learn::{Learner, Vdcnn, VdcnnOptions};
///
/// let inputs = Characters { length: 64 }.batch(&["A fine book.".into(), "Tedious!".into()])?;
/// let options = VdcnnOptions { widths: [8, 8, 16, 16], hidden: [32, 24], ..Default::default() };
/// let learner = Vdcnn::new(&options, 0, DType::F32, &Device::Cpu)?;
/// assert_eq!(learner.features(&inputs)?.dims(), [2, 24]);
/// assert_eq!(learner.training_logits(&inputs)?.dims(), [2, 2]);
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Reference
/// A. Conneau, H. Schwenk, L. Barrault & Y. LeCun: *Very Deep Convolutional Networks for Text
/// Classification*, EACL 2017, arXiv 1606.01781: depths 9 and 29 with max-pooling, without the
/// optional shortcuts.
#[derive(Clone, Debug)]
pub struct Vdcnn {
    embedding: Tensor,
    first: Convolution,
    levels: Vec<Vec<Layer>>,
    k: usize,
    hidden: [Linear; 2],
    head: Linear,
    variables: Vec<(String, Var)>,
    buffers: Vec<(String, Var)>,
}

impl Vdcnn {
    /// An untrained network.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a size is 0; [`Error::Tensor`] if the device refuses `dtype`.
    pub fn new(options: &VdcnnOptions, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        options.check()?;
        let VdcnnOptions { ids, embedding: wide, widths, k, .. } = *options;
        let (builder, weights) = SeededWeights::builder(seed, dtype, device);
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let embedding = builder.pp("embedding").get_with_hints((ids, wide), "weight", normal)?;
        let biased = Stage { bias: true, ..TEMPORAL };
        let first = Convolution::new(wide, widths[0], biased, &builder.pp("first"))?;
        let (mut levels, mut inputs) = (Vec::with_capacity(LEVELS), widths[0]);
        for (level, (blocks, width)) in options.depth.blocks().into_iter().zip(widths).enumerate() {
            let mut layers = Vec::with_capacity(2 * blocks);
            for layer in 0..2 * blocks {
                let builder = builder.pp(format!("level{level}.block{}", layer / 2));
                let (conv, norm) = (format!("conv{}", layer % 2), format!("norm{}", layer % 2));
                let convolution = Convolution::new(inputs, width, TEMPORAL, &builder.pp(conv))?;
                let norm = BatchNorm::new(width, true, &builder.pp(norm), &weights)?;
                layers.push(Layer { convolution, norm });
                inputs = width;
            }
            levels.push(layers);
        }
        let [wide, narrow] = options.hidden;
        let hidden = [
            linear(k * inputs, wide, builder.pp("hidden0"))?,
            linear(wide, narrow, builder.pp("hidden1"))?,
        ];
        let head = linear(narrow, options.classes, builder.pp("head"))?;
        let (variables, buffers) = (weights.variables(), weights.buffers());
        Ok(Self { embedding, first, levels, k, hidden, head, variables, buffers })
    }

    fn features_in(&self, ids: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let texts = self.embed(ids)?.unsqueeze(1)?; // n x 1 x time x 16
        let mut texts = self.first.forward(&texts)?;
        for (level, layers) in self.levels.iter().enumerate() {
            if level > 0 {
                texts = halve(&texts.squeeze(1)?)?.unsqueeze(1)?;
            }
            for Layer { convolution, norm } in layers {
                texts = norm.forward(&convolution.forward(&texts)?, mode)?;
            }
        }
        let mut features = k_max(&texts.squeeze(1)?, self.k)?.flatten_from(1)?;
        for layer in &self.hidden {
            features = layer.forward(&features)?.relu()?;
        }
        Ok(features)
    }

    /// n x time to n x time x embedding.
    fn embed(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        let shortest = (1 << (LEVELS - 1)) * (self.k - 1) + 1;
        let fits = ids.rank() == 2 && ids.dtype() == DType::U32 && ids.elem_count() > 0;
        if !fits || ids.dims()[1] < shortest {
            let expected = format!("n x at least {shortest} of U32");
            let found = format!("{:?} of {:?}", ids.dims(), ids.dtype());
            return Err(Error::shape("ids of texts", expected, found).into());
        }
        let known = self.embedding.dims()[0];
        let largest = ids.max_all()?.to_scalar::<u32>()?;
        if largest as usize >= known {
            let (what, rule) = ("id of a character", "below the number of ids");
            return Err(Error::range(what, rule, f64::from(largest)).into());
        }
        let rows = self.embedding.index_select(&ids.flatten_all()?, 0)?;
        rows.reshape((ids.dims()[0], ids.dims()[1], self.embedding.dim(D::Minus1)?))
    }
}

impl Learner for Vdcnn {
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.features_in(inputs, Mode::Evaluation)
    }

    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        self.head.forward(features)
    }

    fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    fn buffers(&self) -> &[(String, Var)] {
        &self.buffers
    }

    fn training_logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.head(&self.features_in(inputs, Mode::Training)?)
    }
}
