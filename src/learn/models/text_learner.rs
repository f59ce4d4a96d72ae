//! Learners of texts by name, for the command line.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use candle_core::{DType, Device};

use crate::data::text::encode::{Characters, HashedWords, TextEncoder};
use crate::error::{Error, Result};
use crate::learn::{FastText, FastTextOptions, Learner, Vdcnn, VdcnnDepth, VdcnnOptions};

/// A learner of texts with the options of its paper, and how it wants texts encoded.
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device};
/// use gleaner::learn::{Learner, TextLearner};
///
/// let proxy: TextLearner = "fasttext".parse()?;
/// let inputs = proxy.encoder().batch(&["A fine book.".into()])?;
/// let learner = proxy.build(5, 0, DType::F32, &Device::Cpu)?;
/// assert_eq!(learner.logits(&inputs)?.dims(), [1, 5]);
///
/// let error = "fasttxt".parse::<TextLearner>().unwrap_err().to_string();
/// assert_eq!(error, "text learner: no \"fasttxt\"; there is fasttext, vdcnn9, vdcnn29");
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextLearner {
    /// [`FastText`].
    FastText,
    /// [`Vdcnn`] of [`VdcnnDepth::Nine`].
    Vdcnn9,
    /// [`Vdcnn`] of [`VdcnnDepth::TwentyNine`].
    Vdcnn29,
}

impl TextLearner {
    /// All of them, from small to large.
    pub const ALL: [Self; 3] = [Self::FastText, Self::Vdcnn9, Self::Vdcnn29];

    /// Its name: `fasttext`, `vdcnn9` or `vdcnn29`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FastText => "fasttext",
            Self::Vdcnn9 => "vdcnn9",
            Self::Vdcnn29 => "vdcnn29",
        }
    }

    /// What makes its inputs, with default options.
    pub fn encoder(self) -> Box<dyn TextEncoder> {
        match self {
            Self::FastText => Box::new(HashedWords::default()),
            Self::Vdcnn9 | Self::Vdcnn29 => Box::new(Characters::default()),
        }
    }

    /// An untrained learner, with default options but for the number of classes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `classes` is 0; [`Error::Tensor`] if the device refuses `dtype`.
    pub fn build(
        self,
        classes: usize,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Box<dyn Learner>> {
        let vdcnn = |depth| -> Result<Box<dyn Learner>> {
            let options = VdcnnOptions { depth, classes, ..Default::default() };
            Ok(Box::new(Vdcnn::new(&options, seed, dtype, device)?))
        };
        match self {
            Self::FastText => {
                let options = FastTextOptions { classes, ..Default::default() };
                Ok(Box::new(FastText::new(&options, seed, dtype, device)?))
            }
            Self::Vdcnn9 => vdcnn(VdcnnDepth::Nine),
            Self::Vdcnn29 => vdcnn(VdcnnDepth::TwentyNine),
        }
    }
}

impl Display for TextLearner {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TextLearner {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|learner| learner.name() == name).ok_or_else(|| {
            let expected = Self::ALL.map(Self::name).join(", ");
            Error::Unknown { what: "text learner", expected, found: name.into() }
        })
    }
}
