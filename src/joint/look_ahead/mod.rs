//! How a look-ahead sees the end of training on a weighted batch.

mod last_layer;
mod linearised;
mod one_step;
mod path;

use candle_core::{Tensor, Var};
use nalgebra::DMatrix;

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::layer::bridge::{to_matrix, to_scalar, to_tensor};
use crate::learn::Learner;
use path::Path;

/// What the learner is thought to become by training on a weighted batch, before the validation set is asked.
///
/// With shares `s_j = w_j / sum_k w_k`, slopes `r_j = dl_j/df(x_j)` in the outputs `f`, and all that follows
/// differentiated exactly:
///
/// ```text
/// OneStep      theta - rate grad L_w(theta)
/// LastLayer    f(x) + D'phi(x),   phi = (h, 1),   D = -(c sum_j s_j phi_j phi_j' + lambda I)^-1 sum_j s_j phi_j r_j'
/// Linearised   f(x) + J(x) d,   `steps` times  d <- d - rate sum_j s_j J(x_j)' r_j  from d = 0,  r_j at f(x_j) + J(x_j) d
/// ```
///
/// `OneStep` is the network itself, but only one step away. The other two are linear in what is trained, the "lazy"
/// learner of the theory, around the learner's weights of the moment:
///
/// - `LastLayer` trains the last layer on the features `h` that enter it, in closed form. `c` is a bound on the loss's
///   second derivative in the outputs, 1/2 for classes and 2 for numbers: for the squared error the step ends in the
///   optimum of the damped problem, for the cross-entropy it is Böhning's, which lowers it for certain. A loss of the
///   learner's own is given the same `c`. `lambda` is `ridge c` times the mean square of an entry of `phi` over the batch.
///   The [head](Learner::head) must be one linear layer.
/// - `Linearised` trains all variables. `J` is the derivative of the logits in them. candle has no forward mode and cuts its
///   gradients off, so a product `J v` is a central difference of two forward passes, its step the cube root of the
///   type's precision relative to the variables: good to about 1e-10 in `f64` and 1e-4 in `f32` of its size, and wrong at
///   points that a kink of the network (ReLU) lies that near to. A product `J'r` is one backward pass.
///
/// # Cost
/// Beside the gradient of the weighted batch, in passes over batch (`B`) and validation set (`V`), a backward pass with
/// its forward pass counted as three:
///
/// | | passes |
/// | --- | --- |
/// | `OneStep` | `2 B + 3 V` |
/// | `LastLayer` | `B + V`, and `O(n p min(n, p))` for `n` points and `p` features |
/// | `Linearised` | `(10 steps - 7) B + 6 V` |
///
/// On a network of 2 x 64 hidden units, 48 points and 100 validation points, a whole step of the trainer takes about 2 ms of
/// processor time with either of the first two, 4 ms with three linearised steps, 5 ms with five.
///
/// # Which one
/// The default, as far as is known. On the clusters of the example `synthetic` (3 seeds, 5 to 20 % kept, with wrong labels
/// and without) what is learned from the kept points is as good with `LastLayer { ridge: 0.1 }`, -0.3 to +0.3 points of
/// accuracy, and no better with `Linearised { rate: 0.1, steps: 5 }`, -1.0 to 0.0. `LastLayer` has no
/// rate to choose and takes no differences.
///
/// # Reference
/// D. Böhning, *Multinomial Logistic Regression Algorithm*, Annals of the Institute of Statistical Mathematics 44, 1992
/// (the bound); A. Jacot, F. Gabriel, C. Hongler, *Neural Tangent Kernel*, NeurIPS 2018 (the linearised learner).
///
/// # Example
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gleaner::data::{Dataset, Source};
/// use gleaner::joint::{LookAhead, hypergradient};
/// use gleaner::learn::{Mlp, MlpOptions};
///
/// // Zeros left, ones right; the label of the third point is wrong.
/// let on_a_line = |x: [f64; 5], y: [u32; 5]| -> gleaner::Result<_> {
///     Dataset::new(Tensor::from_slice(&x, (5, 1), &Device::Cpu)?, y.to_vec(), 2)?.batch_at(&[0, 1, 2, 3, 4])
/// };
/// let batch = on_a_line([-4.0, -3.0, -2.0, 3.0, 4.0], [0, 0, 1, 1, 1])?;
/// let validation = on_a_line([-3.5, -2.5, -1.5, 2.5, 3.5], [0, 0, 0, 1, 1])?;
/// let shape = MlpOptions { inputs: 1, hidden: vec![8], classes: 2 };
/// let learner = Mlp::new(&shape, 0, DType::F64, &Device::Cpu)?;
/// for look_ahead in [
///     LookAhead::OneStep { rate: 0.1 },
///     LookAhead::LastLayer { ridge: 0.1 },
///     LookAhead::Linearised { rate: 0.1, steps: 5 },
/// ] {
///     let found = hypergradient(&learner, &batch, &[1.0; 5], &validation, look_ahead)?;
///     let most = (0..5).max_by(|&a, &b| found.by_weight[a].total_cmp(&found.by_weight[b]));
///     assert_eq!(most, Some(2), "{look_ahead:?}"); // more weight for it, more loss
/// }
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LookAhead {
    /// One step of gradient descent of all variables.
    OneStep {
        /// Its length.
        rate: f64,
    },
    /// The last layer, trained to the end.
    LastLayer {
        /// What holds it where it is: the larger, the less it moves.
        ridge: f64,
    },
    /// The learner linearised in all its variables, after some steps of gradient descent.
    Linearised {
        /// Length of a step.
        rate: f64,
        /// Their number.
        steps: usize,
    },
}

/// One step of length 0.1.
impl Default for LookAhead {
    fn default() -> Self {
        Self::OneStep { rate: 0.1 }
    }
}

/// What is looked at: a learner, a batch with the share of each point, and those who judge.
pub(super) struct Situation<'a> {
    pub(super) learner: &'a dyn Learner,
    pub(super) batch: &'a Batch,
    /// They sum to one.
    pub(super) shares: &'a [f64],
    /// Of the weighted loss, in the order of the learner's variables.
    pub(super) gradient: &'a [Option<Tensor>],
    pub(super) validation: &'a Batch,
}

/// What a look-ahead finds.
pub(super) struct Ahead {
    pub(super) validation_loss: f64,
    /// Its derivative in the share of each point, as if shares need not sum to one.
    pub(super) by_share: Vec<f64>,
}

impl LookAhead {
    /// Refuses settings without meaning.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a rate or ridge that is not positive and finite, or no steps.
    pub fn check(self) -> Result<()> {
        let positive = |what, found: f64| match found > 0.0 && found.is_finite() {
            true => Ok(()),
            false => Err(Error::range(what, "positive and finite", found)),
        };
        match self {
            Self::OneStep { rate } => positive("rate of the look-ahead", rate),
            Self::LastLayer { ridge } => positive("ridge of the look-ahead", ridge),
            Self::Linearised { steps: 0, .. } => {
                Err(Error::range("steps of the look-ahead", "at least 1", 0.0))
            }
            Self::Linearised { rate, .. } => positive("rate of the look-ahead", rate),
        }
    }

    /// The learner is as before when it returns.
    pub(super) fn take(self, situation: &Situation) -> Result<Ahead> {
        match self {
            Self::OneStep { rate } => one_step::take(situation, rate),
            Self::LastLayer { ridge } => last_layer::take(situation, ridge),
            Self::Linearised { rate, steps } => linearised::take(situation, rate, steps),
        }
    }
}

/// The sum of some points' losses from their outputs, and its derivative in each output.
fn slopes(
    learner: &dyn Learner,
    outputs: &DMatrix<f64>,
    of: &Batch,
) -> Result<(f64, DMatrix<f64>)> {
    let like = like(learner, of)?;
    let outputs = Var::from_tensor(&to_tensor(outputs, &like)?)?;
    let sum = learner.losses_of(&outputs, &of.labels)?.sum_all()?;
    let grads = sum.backward()?;
    match grads.get(&outputs) {
        Some(slopes) => Ok((to_scalar(&sum)?, to_matrix(slopes)?)),
        None => Err(Error::shape("losses", "made from the learner's outputs", sum.dims())),
    }
}

/// A tensor of the learner's type where its outputs are.
fn like(learner: &dyn Learner, of: &Batch) -> Result<Tensor> {
    let dtype = learner.variables().first().map_or(of.inputs.dtype(), |(_, var)| var.dtype());
    Ok(Tensor::zeros(1, dtype, of.inputs.device())?)
}

/// A batch in parts: a validation set may be large, and the activations of all of it at once would neither fit a cache
/// nor, perhaps, the memory. With each the number of its first point.
fn pieces(batch: &Batch) -> impl Iterator<Item = Result<(usize, Batch)>> {
    const PIECE: usize = 64;
    let count = batch.indices.len();
    (0..count).step_by(PIECE).map(move |start| {
        let len = PIECE.min(count - start);
        let piece = Batch {
            indices: batch.indices[start..start + len].to_vec(),
            inputs: batch.inputs.narrow(0, start, len)?.contiguous()?,
            labels: batch.labels.narrow(0, start, len)?.contiguous()?,
        };
        Ok((start, piece))
    })
}

/// The sum of what `of` makes of each piece of a batch, and its gradient.
fn gradient_of_sum(
    learner: &dyn Learner,
    batch: &Batch,
    of: impl Fn(usize, &Batch) -> Result<Tensor>,
) -> Result<(f64, Vec<Option<Tensor>>)> {
    let mut total = 0.0;
    let mut gradient: Vec<Option<Tensor>> = vec![None; learner.variables().len()];
    for piece in pieces(batch) {
        let (start, piece) = piece?;
        let part = of(start, &piece)?;
        let grads = part.backward()?;
        for (sum, (_, var)) in gradient.iter_mut().zip(learner.variables()) {
            *sum = match (sum.take(), grads.get(var)) {
                (Some(sum), Some(more)) => Some((sum + more.detach())?),
                (sum, more) => sum.or_else(|| more.map(Tensor::detach)),
            };
        }
        total += to_scalar(&part)?;
    }
    Ok((total, gradient))
}
