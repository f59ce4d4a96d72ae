//! Models being trained, behind one trait, and weights that a seed decides.
//!
//! | Learner | For | Features |
//! |---|---|---|
//! | [`Mlp`] | vectors, or anything flattened | last hidden activations |
//! | [`Cnn`] | small square images, quickly | channels of the last convolution, averaged over the image |
//! | [`ResNet`] | small square images, well | channels of the last block, averaged over the image |
//! | [`FastText`] | texts, as bags of hashed n-grams | averaged embeddings |
//! | [`Vdcnn`] | texts, as characters | last hidden activations |
//!
//! A model of your own needs two functions and a list of variables; see [`Learner`].
//!
//! # Randomness
//! candle cannot be seeded on the CPU (0.11.1: `Device::set_seed` returns an error), so two equal
//! models built on a `VarMap` start with different weights, and `candle_nn::Dropout` draws from the
//! same unseedable source. `VarMap::all_vars` changes its order from instance to instance as well.
//! [`SeededWeights`] is the cure: same seed, same weights, in one order.

mod batch_norm;
mod cnn;
mod convolution;
mod fast_text;
mod mlp;
mod pooling;
mod resnet;
mod text_learner;
mod vdcnn;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{D, DType, Device, Shape, Tensor, Var};
use candle_nn::init::{Init, NormalOrUniform};
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::datasets::Source;
use crate::error::{Error, Result};

pub use cnn::{Cnn, CnnOptions};
pub use fast_text::{FastText, FastTextOptions};
pub use mlp::{Mlp, MlpOptions};
pub use resnet::{ResNet, ResNetKind, ResNetOptions};
pub use text_learner::TextLearner;
pub use vdcnn::{Vdcnn, VdcnnDepth, VdcnnOptions};

/// A model being trained, cut in two before its last layer.
///
/// Results are candle's own, so that an implementation is a few lines with `?`.
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device, Result, Tensor, Var};
/// use candle_nn::{Linear, Module, linear};
/// use gleaner::learners::{Learner, SeededWeights};
///
/// struct Tiny { body: Linear, last: Linear, variables: Vec<(String, Var)> }
///
/// impl Learner for Tiny {
///     fn features(&self, inputs: &Tensor) -> Result<Tensor> { self.body.forward(inputs)?.tanh() }
///     fn head(&self, features: &Tensor) -> Result<Tensor> { self.last.forward(features) }
///     fn variables(&self) -> &[(String, Var)] { &self.variables }
/// }
///
/// let (builder, weights) = SeededWeights::builder(7, DType::F32, &Device::Cpu);
/// let (body, last) = (linear(4, 8, builder.pp("body"))?, linear(8, 3, builder.pp("last"))?);
/// let tiny = Tiny { body, last, variables: weights.variables() };
///
/// let inputs = Tensor::ones((5, 4), DType::F32, &Device::Cpu)?;
/// assert_eq!(tiny.logits(&inputs)?.dims(), [5, 3]);
/// assert_eq!(tiny.variables()[0].0, "body.bias");
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Learner {
    /// Inputs (n x …) to features (n x d): what the last layer sees.
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor>;

    /// Features (n x d) to logits (n x classes).
    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor>;

    /// The trainable variables with distinct names, in an order that never changes.
    fn variables(&self) -> &[(String, Var)];

    /// What training changes without a gradient, such as the running means of batch normalisation,
    /// under names that differ from those of the variables: a saved learner needs them too.
    fn buffers(&self) -> &[(String, Var)] {
        &[]
    }

    /// Where the variables live, and inputs must be.
    fn device(&self) -> Device {
        self.variables().first().map_or(Device::Cpu, |(_, variable)| variable.device().clone())
    }

    /// Inputs to logits as a training step sees them: a learner that behaves differently while it
    /// is trained (batch normalisation) normalises with the batch and updates its buffers here.
    /// [`Learner::logits`] unless overridden.
    fn training_logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.logits(inputs)
    }

    /// Inputs (n x …) to logits (n x classes).
    fn logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.head(&self.features(inputs)?)
    }

    /// Loss of each point (n), for labels (n, `u32`). [`cross_entropy`] unless overridden.
    fn losses(&self, inputs: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        cross_entropy(&self.logits(inputs)?, labels)
    }

    /// Class of the largest logit of each point (n); among equals the smallest class.
    ///
    /// Fails if a logit is NaN or infinite, rather than call that a class.
    fn predict(&self, inputs: &Tensor) -> candle_core::Result<Vec<u32>> {
        let logits = self.logits(inputs)?.detach().to_device(&Device::Cpu)?;
        let logits = logits.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let classes = logits.iter().enumerate().map(|(row, logits)| largest(row, logits));
        Ok(classes.collect::<Result<_>>()?)
    }
}

/// So that a model can be picked at run time.
impl Learner for Box<dyn Learner> {
    fn features(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        (**self).features(inputs)
    }

    fn head(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        (**self).head(features)
    }

    fn variables(&self) -> &[(String, Var)] {
        (**self).variables()
    }

    fn buffers(&self) -> &[(String, Var)] {
        (**self).buffers()
    }

    fn device(&self) -> Device {
        (**self).device()
    }

    fn training_logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        (**self).training_logits(inputs)
    }

    fn logits(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        (**self).logits(inputs)
    }

    fn losses(&self, inputs: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        (**self).losses(inputs, labels)
    }

    fn predict(&self, inputs: &Tensor) -> candle_core::Result<Vec<u32>> {
        (**self).predict(inputs)
    }
}

/// First position of the largest of `logits`, all of which must be finite.
fn largest(row: usize, logits: &[f64]) -> Result<u32> {
    let mut best = 0;
    for (column, &found) in logits.iter().enumerate() {
        if !found.is_finite() {
            return Err(Error::NotFinite { what: "logits", row, column, found });
        }
        if found > logits[best] {
            best = column;
        }
    }
    Ok(best as u32)
}

/// Softmax cross-entropy of each row of `logits` (n x classes) at its label (n, `u32`): n losses.
///
/// ```text
/// loss_i = log sum_k exp(z_ik - max_i) - (z_iy - max_i),      y = label of i
/// ```
///
/// Finite for all finite logits in `f32` and `f64`. The row maximum is taken as a constant:
/// its derivative cancels on paper, but candle's `max` sends the full gradient to every tie.
///
/// # Errors
/// Shapes that do not fit, labels that are not integers or not below the number of classes.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
    let largest = logits.detach().max_keepdim(D::Minus1)?;
    let shifted = logits.broadcast_sub(&largest)?;
    let at_label = shifted.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
    shifted.exp()?.sum(D::Minus1)?.log()? - at_label
}

/// Share of the points of `data` that `learner` classifies correctly, in [0, 1].
///
/// At most `batch_size` points are in the learner at a time, here and in the two functions below.
///
/// # Errors
/// [`Error::OutOfRange`] if `batch_size` is 0; [`Error::NotFinite`] or [`Error::Tensor`] if the
/// learner fails, for example on inputs of another shape or type than its own.
pub fn accuracy_in_batches(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
) -> Result<f64> {
    let mut right = 0;
    for_each_batch(learner, data, batch_size, |inputs, labels| {
        let classes = learner.predict(inputs)?;
        expect_rows("predicted classes", labels.len(), &[classes.len()], 1)?;
        right += classes.iter().zip(labels).filter(|(class, label)| class == label).count();
        Ok(())
    })?;
    Ok(right as f64 / data.points() as f64)
}

/// Loss of every point of `data`, in its order.
///
/// # Errors
/// As [`accuracy_in_batches`]; a loss that is not finite is returned as it is.
pub fn losses_in_batches(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(data.points());
    for_each_batch(learner, data, batch_size, |inputs, labels| {
        let labels = Tensor::new(labels, inputs.device())?;
        let losses = learner.losses(inputs, &labels)?.detach().to_device(&Device::Cpu)?;
        expect_rows("losses", labels.elem_count(), losses.dims(), 1)?;
        all.extend(losses.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        Ok(())
    })?;
    Ok(all)
}

/// Features of every point of `data` (points x d), in its order, without gradient.
///
/// # Errors
/// As [`accuracy_in_batches`].
pub fn features_in_batches(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
) -> Result<Tensor> {
    let mut all = Vec::new();
    for_each_batch(learner, data, batch_size, |inputs, labels| {
        // Detached at once: otherwise every batch would keep all its activations alive.
        let features = learner.features(inputs)?.detach();
        expect_rows("features", labels.len(), features.dims(), 2)?;
        all.push(features);
        Ok(())
    })?;
    Ok(Tensor::cat(&all, 0)?)
}

fn for_each_batch(
    learner: &dyn Learner,
    data: &dyn Source,
    batch_size: usize,
    mut act: impl FnMut(&Tensor, &[u32]) -> Result<()>,
) -> Result<()> {
    if batch_size == 0 {
        return Err(Error::OutOfRange { what: "batch_size", rule: "at least 1", found: 0.0 });
    }
    let everyone: Vec<usize> = (0..data.points()).collect();
    for chunk in everyone.chunks(batch_size) {
        let inputs = data.inputs_at(chunk)?.to_device(&learner.device())?;
        act(&inputs, &data.labels()[chunk[0]..chunk[0] + chunk.len()])?;
    }
    Ok(())
}

/// What a learner returns must have one row a point: otherwise answers shift between points.
fn expect_rows(what: &'static str, rows: usize, dims: &[usize], rank: usize) -> Result<()> {
    if dims.len() == rank && dims[0] == rows {
        return Ok(());
    }
    Err(Error::shape(what, format!("{rows} rows, {rank} dimension(s)"), dims))
}

/// Source of weights for candle-nn layers that a seed decides completely.
///
/// Every variable is drawn from a ChaCha8 stream of its own, chosen by the seed *and the variable's
/// name*, so neither the order in which layers are built nor an added layer changes the others.
/// Numbers are drawn in `f64` and rounded to the type asked for. All of candle-nn's [`Init`]s are
/// served with candle's own distributions; a name asked for twice is the same variable.
///
/// # Example
///
/// ```
/// use candle_core::{DType, Device};
/// use gleaner::learners::SeededWeights;
///
/// let (builder, weights) = SeededWeights::builder(1, DType::F64, &Device::Cpu);
/// let layer = candle_nn::linear(3, 2, builder.pp("layer"))?;
/// let names: Vec<_> = weights.variables().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["layer.bias", "layer.weight"]);
///
/// let (again, _) = SeededWeights::builder(1, DType::F64, &Device::Cpu);
/// let twin = candle_nn::linear(3, 2, again.pp("layer"))?;
/// assert_eq!(layer.weight().to_vec2::<f64>()?, twin.weight().to_vec2::<f64>()?);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SeededWeights {
    seed: u64,
    variables: Arc<Mutex<BTreeMap<String, Var>>>,
    buffers: Arc<Mutex<BTreeMap<String, Var>>>,
}

impl SeededWeights {
    /// A builder for candle-nn layers, and a handle that knows the variables it has handed out.
    pub fn builder(seed: u64, dtype: DType, device: &Device) -> (VarBuilder<'static>, Self) {
        let weights = Self { seed, variables: Arc::default(), buffers: Arc::default() };
        let backend: Box<dyn SimpleBackend> = Box::new(weights.clone());
        (VarBuilder::from_backend(backend, dtype, device.clone()), weights)
    }

    /// The variables drawn so far, sorted by name.
    ///
    /// Everything a layer asks the builder for is here, also what it does not train:
    /// `candle_nn::BatchNorm` asks for its running statistics. They never get a gradient, so an
    /// optimiser skips them. A layer of your own keeps such numbers in a [`SeededWeights::buffer`].
    pub fn variables(&self) -> Vec<(String, Var)> {
        listed(&self.variables)
    }

    /// The buffers handed out so far, sorted by name: for [`Learner::buffers`].
    pub fn buffers(&self) -> Vec<(String, Var)> {
        listed(&self.buffers)
    }

    /// Numbers that training changes without a gradient, all of them `start` at first: kept under
    /// the name that `builder` would give to a variable called `name`, with its type and device,
    /// but among the [buffers](SeededWeights::buffers).
    ///
    /// # Errors
    /// If a buffer or a variable of that name exists, or the device refuses the type.
    pub fn buffer(
        &self,
        shape: impl Into<Shape>,
        name: &str,
        start: f64,
        builder: &VarBuilder,
    ) -> candle_core::Result<Var> {
        let prefix = builder.prefix();
        let name = if prefix.is_empty() { name.into() } else { format!("{prefix}.{name}") };
        let mut buffers = lock(&self.buffers);
        if buffers.contains_key(&name) || lock(&self.variables).contains_key(&name) {
            let expected = "a name that is not taken".into();
            return Err(Error::Shape { what: "buffer", expected, found: name }.into());
        }
        let zeros = Tensor::zeros(shape, builder.dtype(), builder.device())?;
        let buffer = Var::from_tensor(&(zeros + start)?)?;
        buffers.insert(name, buffer.clone());
        Ok(buffer)
    }
}

impl SimpleBackend for SeededWeights {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut variables = lock(&self.variables);
        if let Some(known) = variables.get(name) {
            if known.shape() != &shape || known.dtype() != dtype {
                let expected = format!("{:?} {:?} for {name:?}", known.dtype(), known.dims());
                let found = format!("{dtype:?} {:?}", shape.dims());
                return Err(Error::Shape { what: "variable", expected, found }.into());
            }
            return Ok(known.as_tensor().clone());
        }
        let values = draw(init, &shape, &mut stream(self.seed, name));
        let values = Tensor::from_vec(values, shape, &Device::Cpu)?;
        let variable = Var::from_tensor(&values.to_dtype(dtype)?.to_device(device)?)?;
        variables.insert(name.to_string(), variable.clone());
        Ok(variable.into_inner())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        match lock(&self.variables).get(name) {
            Some(known) => Ok(known.as_tensor().clone()),
            None => candle_core::bail!("a new variable needs a shape: use `get` for {name:?}"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        lock(&self.variables).contains_key(name)
    }
}

fn lock(map: &Mutex<BTreeMap<String, Var>>) -> MutexGuard<'_, BTreeMap<String, Var>> {
    // A panic elsewhere cannot leave the map half-changed: entries are inserted whole.
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listed(map: &Mutex<BTreeMap<String, Var>>) -> Vec<(String, Var)> {
    lock(map).iter().map(|(name, var)| (name.clone(), var.clone())).collect()
}

/// The generator of one variable: the seed picks the key, a hash of the name the stream.
fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    // FNV-1a with 64 bits, written out because std's hashers may change between releases.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}

fn draw(init: Init, shape: &Shape, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let count = shape.elem_count();
    let mut normal = |mean: f64, deviation: f64| -> Vec<f64> {
        (0..count).map(|_| mean + deviation * rng.sample::<f64, _>(StandardNormal)).collect()
    };
    match init {
        Init::Const(value) => vec![value; count],
        Init::Randn { mean, stdev } => normal(mean, stdev),
        Init::Uniform { lo, up } => {
            (0..count).map(|_| lo + (up - lo) * rng.random::<f64>()).collect()
        }
        Init::Kaiming { dist, fan, non_linearity } => {
            let deviation = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => normal(0.0, deviation),
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * deviation;
                    (0..count).map(|_| bound * (2.0 * rng.random::<f64>() - 1.0)).collect()
                }
            }
        }
    }
}

/// Gives the variables `to` the values of `from`, matched by name; devices may differ.
///
/// # Errors
/// [`Error::Unknown`] if a name is in one list only, [`Error::Shape`] if shapes or types differ.
/// After an error `to` is as before.
pub fn copy_variables(from: &[(String, Var)], to: &[(String, Var)]) -> Result<()> {
    let from = from.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    set_variables(&from, to)
}

/// Writes `variables` to a safetensors file under their names. An existing file is replaced only
/// once the new one is complete.
///
/// # Errors
/// [`Error::File`] or [`Error::Io`] if the file cannot be written.
pub fn save_variables(variables: &[(String, Var)], path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let tensors: HashMap<&str, Tensor> = (variables.iter())
        .map(|(name, variable)| (name.as_str(), variable.as_detached_tensor()))
        .collect();
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    candle_core::safetensors::save(&tensors, &partial).map_err(|error| {
        let (expected, found) = ("a file that can be written".into(), error.to_string());
        Error::File { path: path.to_path_buf(), expected, found }
    })?;
    std::fs::rename(&partial, path).map_err(|source| Error::Io { path: path.to_path_buf(), source })
}

/// Sets `variables` to what [`save_variables`] wrote.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is not a safetensors file, and
/// as [`copy_variables`]. After an error the variables are as before.
pub fn load_variables(variables: &[(String, Var)], path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes =
        std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|error| {
        let (expected, found) = ("variables in safetensors form".into(), error.to_string());
        Error::File { path: path.to_path_buf(), expected, found }
    })?;
    set_variables(&tensors, variables)
}

fn set_variables(from: &HashMap<String, Tensor>, to: &[(String, Var)]) -> Result<()> {
    let unknown = |found: &str, mut names: Vec<&str>| {
        names.sort_unstable();
        let (found, expected) = (found.to_string(), names.join(", "));
        Error::Unknown { what: "variable", expected, found }
    };
    let mut values = Vec::with_capacity(to.len());
    for (name, variable) in to {
        let value = from
            .get(name)
            .ok_or_else(|| unknown(name, from.keys().map(String::as_str).collect()))?;
        if value.dims() != variable.dims() || value.dtype() != variable.dtype() {
            let expected = format!("{:?} {:?} for {name:?}", variable.dtype(), variable.dims());
            let found = format!("{:?} {:?}", value.dtype(), value.dims());
            return Err(Error::Shape { what: "variable", expected, found });
        }
        values.push(value.to_device(variable.device())?);
    }
    let names: Vec<&str> = to.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(extra) = from.keys().filter(|name| !names.contains(&name.as_str())).min() {
        return Err(unknown(extra, names));
    }
    for ((_, variable), value) in to.iter().zip(&values) {
        // A copy, because candle refuses to set a variable from its own storage.
        variable.set(&value.copy()?)?;
    }
    Ok(())
}
