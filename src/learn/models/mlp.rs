//! Multi-layer perceptron.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Linear, Module, linear};

use crate::error::{Error, Result};
use crate::learn::{Learner, SeededWeights};

/// Shape of an [`Mlp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MlpOptions {
    /// Numbers per point, at least 1.
    pub inputs: usize,
    /// Width of each hidden layer, at least 1 each; none makes the learner linear.
    pub hidden: Vec<usize>,
    /// Classes, at least 1.
    pub classes: usize,
}

/// Fully connected layers with ReLU between them.
///
/// ```text
/// a_0 = inputs, flattened (n x inputs),   a_k = max(a_{k-1} W_k' + b_k, 0)   for each hidden layer
/// features = last a (n x d),              logits = features W' + b
/// ```
///
/// Weights start Kaiming normal, biases uniform in ±1/sqrt(fan-in), from the seed alone.
/// Variables are called `hidden0.weight`, `hidden0.bias`, …, `head.weight`, `head.bias`.
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gleaner::learn::{Learner, Mlp, MlpOptions};
///
/// let options = MlpOptions { inputs: 12, hidden: vec![16, 8], classes: 3 };
/// let mlp = Mlp::new(&options, 0, DType::F32, &Device::Cpu)?;
/// let images = Tensor::ones((5, 3, 2, 2), DType::F32, &Device::Cpu)?;
/// assert_eq!(mlp.features(&images)?.dims(), [5, 8]);
/// assert_eq!(mlp.predict(&images)?.len(), 5);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mlp {
    hidden: Vec<Linear>,
    head: Linear,
    variables: Vec<(String, Var)>,
}

impl Mlp {
    /// An untrained network.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a size is 0; [`Error::Tensor`] if the device refuses `dtype`.
    pub fn new(options: &MlpOptions, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        let MlpOptions { inputs, hidden: widths, classes } = options;
        let sizes = [("MlpOptions::inputs", *inputs), ("MlpOptions::classes", *classes)];
        let widths_named = widths.iter().map(|&width| ("MlpOptions::hidden", width));
        for (what, size) in sizes.into_iter().chain(widths_named) {
            if size == 0 {
                return Err(Error::range(what, "at least 1", 0.0));
            }
        }
        let (builder, weights) = SeededWeights::builder(seed, dtype, device);
        let (mut hidden, mut fan_in) = (Vec::with_capacity(widths.len()), *inputs);
        for (k, &width) in widths.iter().enumerate() {
            hidden.push(linear(fan_in, width, builder.pp(format!("hidden{k}")))?);
            fan_in = width;
        }
        let head = linear(fan_in, *classes, builder.pp("head"))?;
        Ok(Self { hidden, head, variables: weights.variables() })
    }
}

impl Learner for Mlp {
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        let mut activations = inputs.flatten_from(1)?;
        for layer in &self.hidden {
            activations = layer.forward(&activations)?.relu()?;
        }
        Ok(activations)
    }

    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        self.head.forward(features)
    }

    fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }
}
