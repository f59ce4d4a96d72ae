//! First-order optimisers whose whole state can be saved: SGD with momentum, and AdamW.
//!
//! candle-nn 0.11.1 has an SGD without momentum and an AdamW whose moments are private, so a run
//! cannot be resumed exactly. Both update rules here are those of PyTorch 2, written out at
//! [`OptimiserOptions`]. Schedules are left to the caller: [`Optimiser::set_learning_rate`].

mod one_pass;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{Error, Result};
use crate::layer::bridge::{cpu, is_plain, slice};
use crate::learn::checkpoint::Checkpoint;

/// Name under which the learning rate is kept in the state.
const LEARNING_RATE: &str = "learning_rate";

/// Which update rule, with everything but the learning rate `lr`.
///
/// `x` is a variable, `g` its gradient; moments start at zero.
///
/// ```text
/// Sgd     g <- g + weight_decay x                        (coupled: an L2 penalty)
///         b <- momentum b + g
///         x <- x - lr (g + momentum b)   nesterov,   x <- x - lr b   otherwise
///
/// AdamW   x <- (1 - lr weight_decay) x                   (decoupled)
///         m <- beta1 m + (1 - beta1) g
///         v <- beta2 v + (1 - beta2) g^2
///         x <- x - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
/// ```
///
/// As in PyTorch, `t` counts the steps of each variable, so one without a gradient falls behind.
///
/// # Reference
/// Sutskever, Martens, Dahl & Hinton: *On the importance of initialization and momentum in deep
/// learning*, ICML 2013 (in PyTorch's form, where `lr` is outside the momentum buffer).
/// Loshchilov & Hutter: *Decoupled Weight Decay Regularization*, ICLR 2019, arXiv 1711.05101
/// (decay multiplied by `lr`, again as in PyTorch).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimiserOptions {
    /// Stochastic gradient descent.
    Sgd {
        /// In [0, 1); 0 keeps no buffer.
        momentum: f64,
        /// Look ahead along the buffer; needs `momentum > 0`.
        nesterov: bool,
        /// At least 0; added to the gradient.
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay of the first moment, in [0, 1).
        beta1: f64,
        /// Decay of the second moment, in [0, 1).
        beta2: f64,
        /// Added to the root of the second moment; positive, so that a zero gradient is harmless.
        epsilon: f64,
        /// At least 0; shrinks the variable itself.
        weight_decay: f64,
    },
}

impl Default for OptimiserOptions {
    /// AdamW with PyTorch's numbers: 0.9, 0.999, 1e-8, weight decay 0.01.
    fn default() -> Self {
        Self::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

impl OptimiserOptions {
    fn check(&self) -> Result<()> {
        match *self {
            Self::Sgd { momentum, nesterov, weight_decay } => {
                in_unit("momentum", momentum)?;
                if nesterov && momentum == 0.0 {
                    let (what, rule) = ("momentum", "positive with nesterov");
                    return Err(Error::range(what, rule, momentum));
                }
                not_negative("weight_decay", weight_decay)
            }
            Self::AdamW { beta1, beta2, epsilon, weight_decay } => {
                in_unit("beta1", beta1)?;
                in_unit("beta2", beta2)?;
                if !(epsilon > 0.0 && epsilon.is_finite()) {
                    let (what, rule) = ("epsilon", "positive and finite");
                    return Err(Error::range(what, rule, epsilon));
                }
                not_negative("weight_decay", weight_decay)
            }
        }
    }

    /// Names of the moments kept for each variable; they double as a tag of the kind of optimiser.
    fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum: 0.0, .. } => &[],
            Self::Sgd { .. } => &["momentum"],
            Self::AdamW { .. } => &["first_moment", "second_moment"],
        }
    }
}

fn in_unit(what: &'static str, found: f64) -> Result<()> {
    if (0.0..1.0).contains(&found) {
        return Ok(());
    }
    Err(Error::range(what, "in [0, 1)", found))
}

fn not_negative(what: &'static str, found: f64) -> Result<()> {
    if found >= 0.0 && found.is_finite() {
        return Ok(());
    }
    Err(Error::range(what, "at least 0 and finite", found))
}

/// A variable with what its update rule remembers of it.
#[derive(Debug)]
struct Slot {
    name: String,
    variable: Var,
    steps: i64,
    /// As many as [`OptimiserOptions::moments`], each like the variable.
    moments: Vec<Tensor>,
}

/// What a slot becomes: computed for all slots before any of them changes.
struct Update {
    value: Tensor,
    moments: Vec<Tensor>,
}

/// Updates named variables from their gradients; equations at [`OptimiserOptions`].
///
/// The state (moments, like each variable in type and device; step counts; learning rate) can be
/// taken out and put back, so a run that is interrupted, saved and resumed goes on bit by bit as if
/// it had not been.
///
/// # Cost
/// A step allocates a second copy of variables and moments for its duration: they are replaced only once
/// all of them are known. On the CPU it is one pass over each variable, elsewhere a few.
///
/// # Example
///
/// ```
/// use candle_core::{Device, Var};
/// use gleaner::learn::optimiser::{Optimiser, OptimiserOptions};
///
/// let x = Var::new(&[3f64, -2.0], &Device::Cpu)?;
/// let options = OptimiserOptions::Sgd { momentum: 0.5, nesterov: false, weight_decay: 0.0 };
/// let mut optimiser = Optimiser::new(vec![("x".into(), x.clone())], options, 0.1)?;
/// for _ in 0..60 {
///     optimiser.backward_step(&x.sqr()?.sum_all()?)?;
/// }
/// assert!(x.to_vec1::<f64>()?.iter().all(|x| x.abs() < 1e-6));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimiser {
    slots: Vec<Slot>,
    options: OptimiserOptions,
    learning_rate: f64,
}

impl Optimiser {
    /// Optimiser of `variables` (shared with the learner, not copied), all moments zero.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a hyper-parameter outside the range given at
    /// [`OptimiserOptions`], or a `learning_rate` that is negative or not finite; [`Error::Shape`]
    /// if two variables have one name or a variable does not hold floating-point numbers.
    pub fn new(
        variables: Vec<(String, Var)>,
        options: OptimiserOptions,
        learning_rate: f64,
    ) -> Result<Self> {
        options.check()?;
        not_negative(LEARNING_RATE, learning_rate)?;
        let mut names = HashSet::new();
        let mut slots = Vec::with_capacity(variables.len());
        for (name, variable) in variables {
            if !variable.dtype().is_float() {
                let expected = format!("floating-point numbers in {name:?}");
                let found = format!("{:?}", variable.dtype());
                return Err(Error::Shape { what: "variables", expected, found });
            }
            if !names.insert(name.clone()) {
                let (expected, found) = ("distinct names".into(), format!("{name:?} twice"));
                return Err(Error::Shape { what: "variables", expected, found });
            }
            let zeros = options.moments().iter().map(|_| variable.zeros_like());
            let moments = zeros.collect::<candle_core::Result<_>>()?;
            slots.push(Slot { name, variable, steps: 0, moments });
        }
        Ok(Self { slots, options, learning_rate })
    }

    /// The update rule.
    pub fn options(&self) -> &OptimiserOptions {
        &self.options
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Replaces the learning rate, for example before every step of a schedule.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is negative or not finite; the old one then stays.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        not_negative(LEARNING_RATE, learning_rate)?;
        self.learning_rate = learning_rate;
        Ok(())
    }

    /// One step. `gradients` are in the order of the variables and shaped like them; `None` leaves
    /// its variable, moments and step count as they are (no weight decay either).
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong number of gradients or one unlike its variable in shape or
    /// type; [`Error::Tensor`] naming the variable whose gradient is not finite, or if the device
    /// refuses. After an error all variables and all state are as before.
    pub fn step(&mut self, gradients: &[Option<Tensor>]) -> Result<()> {
        self.check_gradients(gradients)?;
        let updates = (self.slots.iter().zip(gradients))
            .map(|(slot, gradient)| match gradient {
                None => Ok(None),
                Some(gradient) => self.update(slot, &gradient.detach()).map(Some),
            })
            .collect::<candle_core::Result<Vec<_>>>()?;
        for (slot, update) in self.slots.iter_mut().zip(updates) {
            let Some(Update { value, moments }) = update else { continue };
            // Same shape, type and device as checked, so this cannot stop halfway.
            slot.variable.set(&value)?;
            slot.moments = moments;
            slot.steps += 1;
        }
        Ok(())
    }

    /// Back-propagates `loss` (a scalar; anything larger counts as its sum) and takes a step.
    ///
    /// A variable that `loss` does not depend on has no gradient and stays as it is.
    ///
    /// # Errors
    /// As [`Optimiser::step`], and [`Error::Tensor`] if an operation has no derivative.
    pub fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        let gradients = loss.backward()?;
        let gradients: Vec<_> =
            self.slots.iter().map(|slot| gradients.get(&slot.variable).cloned()).collect();
        self.step(&gradients)
    }

    fn check_gradients(&self, gradients: &[Option<Tensor>]) -> Result<()> {
        if gradients.len() != self.slots.len() {
            return Err(Error::shape("gradients", self.slots.len(), gradients.len()));
        }
        for (slot, gradient) in self.slots.iter().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let (variable, name) = (&slot.variable, &slot.name);
            let like = gradient.dims() == variable.dims() && gradient.dtype() == variable.dtype();
            if !like {
                let expected = format!("{:?} {:?} for {name:?}", variable.dtype(), variable.dims());
                let found = format!("{:?} {:?}", gradient.dtype(), gradient.dims());
                return Err(Error::Shape { what: "gradient", expected, found });
            }
            if !is_finite(&gradient.detach())? {
                return Err(not_finite(name, gradient)?);
            }
        }
        Ok(())
    }

    fn update(&self, slot: &Slot, gradient: &Tensor) -> candle_core::Result<Update> {
        // Detached: the variable's history must not be recorded in the update.
        let x = slot.variable.as_detached_tensor();
        let rate = self.learning_rate;
        let gradient = &gradient.contiguous()?;
        if is_plain(&x) && x.is_contiguous() {
            return match x.dtype() {
                DType::F32 => self.in_one_pass::<f32>(slot, &x, gradient),
                _ => self.in_one_pass::<f64>(slot, &x, gradient),
            };
        }
        match (self.options, slot.moments.as_slice()) {
            (OptimiserOptions::Sgd { momentum, nesterov, weight_decay }, moments) => {
                let gradient = if weight_decay == 0.0 {
                    gradient.clone()
                } else {
                    (gradient + (&x * weight_decay)?)?
                };
                let Some(buffer) = moments.first() else {
                    return Ok(Update { value: (x - (gradient * rate)?)?, moments: vec![] });
                };
                let buffer = ((buffer * momentum)? + &gradient)?;
                let direction =
                    if nesterov { (gradient + (&buffer * momentum)?)? } else { buffer.clone() };
                Ok(Update { value: (x - (direction * rate)?)?, moments: vec![buffer] })
            }
            (OptimiserOptions::AdamW { beta1, beta2, epsilon, weight_decay }, moments) => {
                // `new` made two moments for AdamW, and nothing changes their number.
                let [first, second] = moments else {
                    candle_core::bail!("AdamW keeps 2 moments, found {}", moments.len())
                };
                let t = (slot.steps + 1) as f64;
                let first = ((first * beta1)? + (gradient * (1.0 - beta1))?)?;
                let second = ((second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
                let root = (second.sqrt()? * (1.0 / (1.0 - beta2.powf(t)).sqrt()))?;
                let direction = (&first / (root + epsilon)?)?;
                let x = (x * (1.0 - rate * weight_decay))?;
                let value = (x - (direction * (rate / (1.0 - beta1.powf(t))))?)?;
                Ok(Update { value, moments: vec![first, second] })
            }
        }
    }

    /// Everything a resumed run needs besides the variables themselves: `learning_rate` (`f64`),
    /// and for each variable `steps/<name>` (`i64`) and its moments, `momentum/<name>` or
    /// `first_moment/<name>` and `second_moment/<name>`.
    ///
    /// Cheap: moments are shared, and a later step replaces rather than overwrites them.
    ///
    /// # Errors
    /// [`Error::Tensor`] if a tensor cannot be made.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let rate = Tensor::new(&[self.learning_rate], &Device::Cpu)?;
        let mut state = vec![(LEARNING_RATE.to_string(), rate)];
        for slot in &self.slots {
            let steps = Tensor::new(&[slot.steps], &Device::Cpu)?;
            state.push((format!("steps/{}", slot.name), steps));
            for (kind, moment) in self.options.moments().iter().zip(&slot.moments) {
                state.push((format!("{kind}/{}", slot.name), moment.clone()));
            }
        }
        Ok(state)
    }

    /// Puts back what [`Optimiser::state`] gave, in any order, learning rate included.
    ///
    /// # Errors
    /// [`Error::Unknown`] for an entry that is missing or belongs to no variable (another learner,
    /// or another kind of optimiser); [`Error::Shape`] for an entry of the wrong shape or type;
    /// [`Error::OutOfRange`] for a negative step count or learning rate. After an error the state
    /// is as before.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let mut left: BTreeMap<&str, &Tensor> =
            state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let rate = take(&mut left, LEARNING_RATE, DType::F64, &[1])?.to_vec1::<f64>()?[0];
        not_negative(LEARNING_RATE, rate)?;
        let mut loaded = Vec::with_capacity(self.slots.len());
        for Slot { name, variable, .. } in &self.slots {
            let steps = take(&mut left, &format!("steps/{name}"), DType::I64, &[1])?;
            let steps = steps.to_vec1::<i64>()?[0];
            not_negative("steps", steps as f64)?;
            let mut moments = Vec::new();
            for kind in self.options.moments() {
                let name = format!("{kind}/{name}");
                let moment = take(&mut left, &name, variable.dtype(), variable.dims())?;
                moments.push(moment.detach().to_device(variable.device())?);
            }
            loaded.push((steps, moments));
        }
        if let Some(&extra) = left.keys().next() {
            let names: Vec<_> = self.slots.iter().map(|slot| slot.name.as_str()).collect();
            let (what, expected) = ("variable of the optimiser state", names.join(", "));
            return Err(Error::Unknown { what, expected, found: extra.to_string() });
        }
        // Everything is known to fit: only now does anything change.
        self.learning_rate = rate;
        for (slot, (steps, moments)) in self.slots.iter_mut().zip(loaded) {
            (slot.steps, slot.moments) = (steps, moments);
        }
        Ok(())
    }

    /// Writes [`Optimiser::state`] to a safetensors file. An existing file is replaced only once
    /// the new one is complete.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut state = Checkpoint::new();
        self.state()?.into_iter().for_each(|(name, tensor)| state.set(name, tensor));
        state.save(path)
    }

    /// Reads what [`Optimiser::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is not a safetensors file,
    /// and as [`Optimiser::load_state`]. After an error the state is as before.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.load_state(&Checkpoint::load(path)?.into_tensors().into_iter().collect::<Vec<_>>())
    }
}

fn is_finite(gradient: &Tensor) -> candle_core::Result<bool> {
    if is_plain(gradient) && gradient.is_contiguous() {
        let (storage, layout) = gradient.storage_and_layout();
        let storage = cpu(&storage)?;
        return Ok(match gradient.dtype() {
            DType::F32 => slice::<f32>(storage, layout)?.iter().all(|x| x.is_finite()),
            _ => slice::<f64>(storage, layout)?.iter().all(|x| x.is_finite()),
        });
    }
    // 0 · x is 0 for every finite x and NaN for the others: no overflow, one number back.
    let zero = (gradient * 0.0)?.sum_all()?.to_device(&Device::Cpu)?;
    Ok(zero.to_dtype(DType::F64)?.to_scalar::<f64>()? == 0.0)
}

/// Takes the entry called `name` out of `left` and checks what it holds.
fn take<'a>(
    left: &mut BTreeMap<&str, &'a Tensor>,
    name: &str,
    dtype: DType,
    dims: &[usize],
) -> Result<&'a Tensor> {
    let what = "optimiser state";
    let Some(tensor) = left.remove(name) else {
        let names: Vec<_> = left.keys().copied().collect();
        return Err(Error::Unknown { what, expected: names.join(", "), found: name.to_string() });
    };
    if tensor.dtype() != dtype || tensor.dims() != dims {
        let expected = format!("{dtype:?} {dims:?} for {name:?}");
        let found = format!("{:?} {:?}", tensor.dtype(), tensor.dims());
        return Err(Error::Shape { what, expected, found });
    }
    Ok(tensor)
}

/// The error for a gradient known to hold a number that is not finite.
fn not_finite(name: &str, gradient: &Tensor) -> Result<Error> {
    let values = gradient.flatten_all()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let values = values.to_vec1::<f64>()?;
    let at = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
    let found = values.get(at).copied().unwrap_or(f64::NAN);
    let message = format!("gradient of {name:?} must be finite, found {found} at element {at}");
    Ok(Error::Tensor(candle_core::Error::Msg(message)))
}
