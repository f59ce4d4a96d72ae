//! Residual networks for small square images: with pre-activation as for CIFAR, and ResNet-18.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::var_builder::VarBuilder;
use candle_nn::{Linear, Module, linear};

use crate::error::{Error, Result};
use crate::learn::models::cnn::average;
use crate::learn::nn::batch_norm::{BatchNorm, Mode};
use crate::learn::nn::convolution::{Convolution, Stage};
use crate::learn::{Learner, SeededWeights};

/// Which residual network. Parameters are those of the default [`ResNetOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResNetKind {
    /// `preact8`: 3 basic blocks, 77,850 parameters. A quick stand-in for its larger sisters.
    PreAct8,
    /// `preact14`: 6 basic blocks, 175,066 parameters.
    PreAct14,
    /// `preact20`: 9 basic blocks, 272,282 parameters.
    PreAct20,
    /// `preact56`: 27 basic blocks, 855,578 parameters.
    PreAct56,
    /// `preact110`: 54 basic blocks, 1,730,522 parameters.
    PreAct110,
    /// `preact164`: 54 bottleneck blocks, 1,703,258 parameters.
    PreAct164,
    /// `resnet18`: 8 basic blocks with activations behind them, 11,173,962 parameters.
    ResNet18,
}

impl ResNetKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::PreAct8,
        Self::PreAct14,
        Self::PreAct20,
        Self::PreAct56,
        Self::PreAct110,
        Self::PreAct164,
        Self::ResNet18,
    ];

    /// The name that [`FromStr`] reads, such as `preact20`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreAct8 => "preact8",
            Self::PreAct14 => "preact14",
            Self::PreAct20 => "preact20",
            Self::PreAct56 => "preact56",
            Self::PreAct110 => "preact110",
            Self::PreAct164 => "preact164",
            Self::ResNet18 => "resnet18",
        }
    }

    const fn plan(self) -> Plan {
        let (style, stages, blocks) = match self {
            // 6 n + 2 layers with two convolutions a block, 9 n + 2 with three.
            Self::PreAct8 => (Style::Basic, 3, 1),
            Self::PreAct14 => (Style::Basic, 3, 2),
            Self::PreAct20 => (Style::Basic, 3, 3),
            Self::PreAct56 => (Style::Basic, 3, 9),
            Self::PreAct110 => (Style::Basic, 3, 18),
            Self::PreAct164 => (Style::Bottleneck, 3, 18),
            Self::ResNet18 => (Style::PostActivation, 4, 2),
        };
        Plan { style, stages, blocks }
    }
}

impl fmt::Display for ResNetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// From its [`ResNetKind::name`]; anything else is an [`Error::Unknown`] that lists the names.
impl FromStr for ResNetKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| Error::Unknown {
            what: "residual network",
            expected: Self::ALL.map(Self::name).join(", "),
            found: name.into(),
        })
    }
}

/// What a network is made of.
struct Plan {
    style: Style,
    /// Stages; each but the first halves the image and doubles the channels.
    stages: u32,
    /// Blocks of a stage.
    blocks: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Pre-activation, two 3x3 convolutions.
    Basic,
    /// Pre-activation; 1x1, 3x3 and 1x1 to four times the channels.
    Bottleneck,
    /// Two 3x3 convolutions, each before its normalisation.
    PostActivation,
}

/// Shape of a [`ResNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetOptions {
    /// Which network.
    pub kind: ResNetKind,
    /// Channels of an image, at least 1.
    pub channels: usize,
    /// Height and width of an image, at least 1. Each halving rounds up.
    pub size: usize,
    /// Classes, at least 1.
    pub classes: usize,
    /// Channels of the first stage, at least 1. Published: 16, and 64 for ResNet-18.
    pub width: usize,
}

impl ResNetOptions {
    /// The published network for CIFAR-10: 3 x 32 x 32, 10 classes.
    pub const fn new(kind: ResNetKind) -> Self {
        let width = if matches!(kind, ResNetKind::ResNet18) { 64 } else { 16 };
        Self { kind, channels: 3, size: 32, classes: 10, width }
    }

    fn check(&self) -> Result<()> {
        for (what, size) in [
            ("ResNetOptions::channels", self.channels),
            ("ResNetOptions::size", self.size),
            ("ResNetOptions::classes", self.classes),
            ("ResNetOptions::width", self.width),
        ] {
            if size == 0 {
                return Err(Error::range(what, "at least 1", 0.0));
            }
        }
        Ok(())
    }
}

/// [`ResNetKind::PreAct20`] for CIFAR-10.
impl Default for ResNetOptions {
    fn default() -> Self {
        Self::new(ResNetKind::PreAct20)
    }
}

/// A residual network with batch normalisation.
///
/// ```text
/// pre-activation:   3x3 stem -> blocks -> norm, relu -> mean over the image -> features -> linear
///     basic         x + conv3(norm(conv3(norm(x))))                      (norm includes its relu)
///     bottleneck    x + conv1(norm(conv3(norm(conv1(norm(x))))))
/// ResNet-18:        3x3 stem, norm -> blocks -> mean over the image -> features -> linear
///     block         relu(x + norm'(conv3(norm(conv3(x)))))               (norm' has no relu)
/// ```
///
/// Channels are w, 2w, 4w (and 8w for ResNet-18; four times as many behind a bottleneck block) on
/// images of size S, S/2, S/4 (and S/8), w being [`ResNetOptions::width`]. The first block of a stage
/// that changes channels or size has a 1x1 convolution in place of x (in pre-activation blocks of
/// norm(x)), as has its first or only 3x3 convolution the stride. Convolutions have no bias.
///
/// [`Learner::training_logits`] normalises with the batch and moves the running statistics, which
/// are [`Learner::buffers`]; everything else uses those as they are. A training batch must have at
/// least two pixels left where it is normalised: one image is enough as long as S > 8.
///
/// Weights start Kaiming normal (fan in), norms at weight 1 and bias 0, from the seed alone.
/// Variables are called `stem.conv.weight`, `stage1.block0.conv0.weight`, `stage1.block0.norm0.bias`,
/// `stage2.block0.shortcut.weight`, …, `norm.weight`, `head.weight`; numbers of blocks and of the
/// layers in them count from 0. Buffers end in `running_mean` and `running_var`.
///
/// # Cost
/// From forward to backward, the output of every convolution and of every norm is kept. In
/// processor time, with one thread, a training step on 64 images 3 x 32 x 32 took 0.15 s for
/// `preact8` and 0.41 s for `preact20`: 1.1 to 1.3 times as long as PyTorch's, and 1.5 to 1.9 times
/// as long as PyTorch's on channel-last images (`benches/peers/README.md`). Nearly half of that is
/// matrix products and their packing.
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gleaner::learn::{Learner, ResNet, ResNetKind, ResNetOptions};
///
/// let kind: ResNetKind = "preact8".parse()?;
/// let options = ResNetOptions { size: 8, width: 4, classes: 5, ..ResNetOptions::new(kind) };
/// let network = ResNet::new(&options, 0, DType::F32, &Device::Cpu)?;
/// let images = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(network.features(&images)?.dims(), [2, 16]);
/// assert_eq!(network.training_logits(&images)?.dims(), [2, 5]);
/// assert!(network.buffers().iter().any(|(name, _)| name == "norm.running_mean"));
///
/// let unknown = "resnet19".parse::<ResNetKind>().unwrap_err().to_string();
/// assert!(unknown.contains("preact8, preact14"));
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # References
/// - K. He, X. Zhang, S. Ren and J. Sun, *Identity Mappings in Deep Residual Networks*, ECCV 2016:
///   blocks with pre-activation, depths 110 and 164.
/// - K. He, X. Zhang, S. Ren and J. Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016:
///   depths 20 and 56 and widths for CIFAR (section 4.2), ResNet-18 (table 1).
///
/// # Differences from the papers
/// Where channels change, basic blocks too have a 1x1 convolution (the papers pad the identity with
/// zeros on CIFAR): 2,560 parameters. ResNet-18 is the usual one for small images: its stem is a
/// 3x3 convolution with stride 1 and nothing is pooled before the blocks.
#[derive(Clone, Debug)]
pub struct ResNet {
    options: ResNetOptions,
    stem: Convolution,
    /// Before the blocks of ResNet-18, behind those with pre-activation.
    norm: BatchNorm,
    blocks: Vec<Block>,
    head: Linear,
    variables: Vec<(String, Var)>,
    buffers: Vec<(String, Var)>,
}

impl ResNet {
    /// An untrained network.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside the range given at [`ResNetOptions`];
    /// [`Error::Tensor`] if the device refuses `dtype`.
    pub fn new(options: &ResNetOptions, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        options.check()?;
        let (root, weights) = SeededWeights::builder(seed, dtype, device);
        let Plan { style, stages, blocks: count } = options.kind.plan();
        let stem = Stage::square(3, 1);
        let stem = Convolution::new(options.channels, options.width, stem, &root.pp("stem.conv"))?;
        let (mut blocks, mut inputs) = (Vec::new(), options.width);
        for stage in 0..stages {
            let width = options.width << stage;
            for k in 0..count {
                let builder = root.pp(format!("stage{}.block{k}", stage + 1));
                let stride = if stage > 0 && k == 0 { 2 } else { 1 };
                let block = Shape { style, inputs, width, stride };
                blocks.push(Block::new(block, &builder, &weights)?);
                inputs = block.outputs();
            }
        }
        let channels = if style == Style::PostActivation { options.width } else { inputs };
        let norm = BatchNorm::new(channels, true, &root.pp("norm"), &weights)?;
        let head = linear(inputs, options.classes, root.pp("head"))?;
        let (variables, buffers) = (weights.variables(), weights.buffers());
        Ok(Self { options: *options, stem, norm, blocks, head, variables, buffers })
    }

    fn features_in(&self, inputs: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let ResNetOptions { kind, channels, size, .. } = self.options;
        if inputs.rank() != 4 || inputs.dims()[1..] != [channels, size, size] {
            let expected = format!("n x {channels} x {size} x {size}");
            let found = format!("{:?}", inputs.dims());
            return Err(Error::Shape { what: "images", expected, found }.into());
        }
        let before = kind.plan().style == Style::PostActivation;
        let mut images = self.stem.forward(&inputs.permute((0, 2, 3, 1))?)?;
        if before {
            images = self.norm.forward(&images, mode)?;
        }
        for block in &self.blocks {
            images = block.forward(&images, mode)?;
        }
        if !before {
            images = self.norm.forward(&images, mode)?;
        }
        average(&images)
    }
}

impl Learner for ResNet {
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

/// Shape of a block.
#[derive(Clone, Copy)]
struct Shape {
    style: Style,
    inputs: usize,
    /// Channels of its stage, before a bottleneck's last convolution makes them four times as many.
    width: usize,
    stride: usize,
}

impl Shape {
    fn outputs(self) -> usize {
        if self.style == Style::Bottleneck { 4 * self.width } else { self.width }
    }

    /// Kernel, stride and outputs of each convolution.
    fn convolutions(self) -> Vec<(usize, usize, usize)> {
        let Self { width, stride, .. } = self;
        match self.style {
            Style::Bottleneck => vec![(1, 1, width), (3, stride, width), (1, 1, 4 * width)],
            Style::Basic | Style::PostActivation => vec![(3, stride, width), (3, 1, width)],
        }
    }
}

#[derive(Clone, Debug)]
enum Block {
    PreActivation {
        layers: Vec<(BatchNorm, Convolution)>,
        shortcut: Option<Convolution>,
    },
    PostActivation {
        layers: Vec<(Convolution, BatchNorm)>,
        shortcut: Option<(Convolution, BatchNorm)>,
    },
}

impl Block {
    fn new(
        shape: Shape,
        builder: &VarBuilder,
        weights: &SeededWeights,
    ) -> candle_core::Result<Self> {
        let layer = |k: usize, name: &str| builder.pp(format!("{name}{k}"));
        let norm = |channels, relu, builder| BatchNorm::new(channels, relu, &builder, weights);
        let (outputs, projected) = (shape.outputs(), builder.pp("shortcut"));
        let changes = shape.stride != 1 || shape.inputs != outputs;
        let project =
            || Convolution::new(shape.inputs, outputs, Stage::square(1, shape.stride), &projected);
        let (all, mut inputs) = (shape.convolutions(), shape.inputs);
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        for (k, &(kernel, stride, outputs)) in all.iter().enumerate() {
            let stage = Stage::square(kernel, stride);
            let convolution = Convolution::new(inputs, outputs, stage, &layer(k, "conv"))?;
            if shape.style == Style::PostActivation {
                let relu = k + 1 < all.len();
                behind.push((convolution, norm(outputs, relu, layer(k, "norm"))?));
            } else {
                before.push((norm(inputs, true, layer(k, "norm"))?, convolution));
            }
            inputs = outputs;
        }
        if shape.style == Style::PostActivation {
            let norm = || norm(outputs, false, builder.pp("shortcut_norm"));
            let shortcut = if changes { Some((project()?, norm()?)) } else { None };
            return Ok(Self::PostActivation { layers: behind, shortcut });
        }
        let shortcut = if changes { Some(project()?) } else { None };
        Ok(Self::PreActivation { layers: before, shortcut })
    }

    fn forward(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        match self {
            Self::PreActivation { layers, shortcut } => {
                let (mut inner, mut identity) = (images.clone(), images.clone());
                for (k, (norm, convolution)) in layers.iter().enumerate() {
                    inner = norm.forward(&inner, mode)?;
                    if let (0, Some(shortcut)) = (k, shortcut) {
                        identity = shortcut.forward(&inner)?;
                    }
                    inner = if k + 1 == layers.len() {
                        convolution.forward_onto(&inner, &identity)?
                    } else {
                        convolution.forward(&inner)?
                    };
                }
                Ok(inner)
            }
            Self::PostActivation { layers, shortcut } => {
                let mut inner = images.clone();
                for (convolution, norm) in layers {
                    inner = norm.forward(&convolution.forward(&inner)?, mode)?;
                }
                let identity = match shortcut {
                    Some((project, norm)) => norm.forward(&project.forward(images)?, mode)?,
                    None => images.clone(),
                };
                (inner + identity)?.relu()
            }
        }
    }
}
