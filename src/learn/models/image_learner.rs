//! Learners of small images by name, for the command line.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use candle_core::{DType, Device};

use crate::error::{Error, Result};
use crate::learn::{Cnn, CnnOptions, Learner, ResNet, ResNetKind, ResNetOptions};

/// A learner of square images of three channels, with default options but for their size.
///
/// # Example
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gleaner::learn::{ImageLearner, Learner};
///
/// let proxy: ImageLearner = "cnn".parse()?;
/// let learner = proxy.build(16, 10, 0, DType::F32, &Device::Cpu)?;
/// let images = Tensor::zeros((2, 3, 16, 16), DType::F32, &Device::Cpu)?;
/// assert_eq!(learner.logits(&images)?.dims(), [2, 10]);
///
/// let error = "resnet81".parse::<ImageLearner>().unwrap_err().to_string();
/// assert!(error.contains("no \"resnet81\"; there is cnn, preact8"), "{error}");
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageLearner {
    /// [`Cnn`].
    Cnn,
    /// [`ResNet`] of a kind.
    ResNet(ResNetKind),
}

impl ImageLearner {
    /// Its name: `cnn`, or that of the residual network.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cnn => "cnn",
            Self::ResNet(kind) => kind.name(),
        }
    }

    /// An untrained learner of images of `size x size` pixels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a size or a number of classes it cannot have, [`Error::Tensor`] if the
    /// device refuses `dtype`.
    pub fn build(
        self,
        size: usize,
        classes: usize,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Box<dyn Learner>> {
        Ok(match self {
            Self::Cnn => {
                let options = CnnOptions { size, classes, ..Default::default() };
                Box::new(Cnn::new(&options, seed, dtype, device)?)
            }
            Self::ResNet(kind) => {
                let options = ResNetOptions { size, classes, ..ResNetOptions::new(kind) };
                Box::new(ResNet::new(&options, seed, dtype, device)?)
            }
        })
    }
}

impl Display for ImageLearner {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ImageLearner {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        if name == Self::Cnn.name() {
            return Ok(Self::Cnn);
        }
        name.parse().map(Self::ResNet).map_err(|_| {
            let names = ResNetKind::ALL.map(ResNetKind::name).join(", ");
            let (what, expected) = ("image learner", format!("cnn, {names}"));
            Error::Unknown { what, expected, found: name.into() }
        })
    }
}
