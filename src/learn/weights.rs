//! Weights that a seed decides, and how they are copied, saved and loaded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::init::{Init, NormalOrUniform};
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::error::{Error, Result};
use crate::learn::checkpoint::Checkpoint;
use crate::seeds::Seeds;

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
/// use gleaner::learn::SeededWeights;
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

    /// The buffers handed out so far, sorted by name: for [`Learner::buffers`](crate::learn::Learner::buffers).
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
        let values = draw(init, &shape, &mut Seeds::new(self.seed).named(name));
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
    let mut state = Checkpoint::new();
    for (name, variable) in variables {
        state.set(name, variable.as_detached_tensor());
    }
    state.save(path)
}

/// Sets `variables` to what [`save_variables`] wrote.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is not a safetensors file, and
/// as [`copy_variables`]. After an error the variables are as before.
pub fn load_variables(variables: &[(String, Var)], path: impl AsRef<Path>) -> Result<()> {
    let tensors = Checkpoint::load(path)?.into_tensors();
    set_variables(&tensors, variables)
}

pub(crate) fn set_variables(from: &BTreeMap<String, Tensor>, to: &[(String, Var)]) -> Result<()> {
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
