//! How long each point's gradient is.

use crate::data::Source;
use crate::data::source::targets_at;
use crate::error::Result;
use crate::layer::bridge::to_scalar;
use crate::learn::{Learner, Loss};

/// `||grad_theta l_i(theta)||_2` of every point of `data`, in its order, `theta` all of the learner's variables.
///
/// # Cost
/// A forward and a backward pass of one point for every point: exact, and more than a pass over batches of as many
/// points, which share what a pass costs by itself. An unbiased estimate by random directions, two forward passes over
/// everything for each, would need hundreds of them for errors of a tenth, and take longer.
///
/// # Errors
/// [`Error::Tensor`](crate::Error::Tensor) from the learner, and whatever the source meets; a norm that is not finite is
/// returned as it is.
///
/// # Example
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gleaner::data::Dataset;
/// use gleaner::learn::{Loss, Mlp, MlpOptions, gradient_norms};
///
/// // A linear learner whose weights are zero gives both classes one half: p - y = (-1/2, 1/2), and the gradient of the
/// // weights is that times x = 3, of the biases that times 1.
/// let learner = Mlp::new(&MlpOptions { inputs: 1, hidden: vec![], classes: 2 }, 0, DType::F32, &Device::Cpu)?;
/// # use gleaner::Learner;
/// for (_, variable) in learner.variables() {
///     variable.set(&variable.zeros_like()?)?;
/// }
/// let data = Dataset::new(Tensor::new(&[[3f32]], &Device::Cpu)?, vec![0], 2)?;
/// assert_eq!(gradient_norms(&learner, &data, Loss::Own)?, [5f64.sqrt()]);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn gradient_norms(learner: &dyn Learner, data: &dyn Source, loss: Loss) -> Result<Vec<f64>> {
    let device = learner.device();
    let one = |point: usize| {
        let inputs = data.inputs_at(&[point])?.to_device(&device)?;
        let losses =
            loss.of(learner, &learner.logits(&inputs)?, &targets_at(data, &[point], &device)?)?;
        let grads = losses.sum_all()?.backward()?;
        let mut square = 0.0;
        for (_, variable) in learner.variables() {
            if let Some(gradient) = grads.get(variable) {
                square += to_scalar(&gradient.sqr()?.sum_all()?)?;
            }
        }
        Ok(square.sqrt())
    };
    (0..data.points()).map(one).collect()
}
