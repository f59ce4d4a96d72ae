//! Is a gradient right? Every entry against central differences, in `f64`: for a layer of your own, or a loss that
//! this crate's layer is a part of.
//!
//! ```text
//! central   (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h          error O(h^4) where f is smooth
//! bend      |(f(x+h) - 2 f(x) + f(x-h)) / h|                           O(h) there; what it jumps by at a kink
//! ```
//!
//! A difference that rounding of `f` alone may make, `64 epsilon |f| / h`, is none.
//!
//! At a kink of `f` no number is the derivative, and differences prove nothing: such an entry is reported as a kink,
//! not as wrong.

use std::fmt;

use candle_core::{DType, Tensor, Var};

use crate::error::{Error, Result};
use crate::layer::bridge::{to_scalar, to_vec};

/// How [`gradcheck`] looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradcheckOptions {
    /// `h`, in units of an entry's size where that is above one.
    pub step: f64,
    /// An error above this, relative to the largest entry of the input's gradient, is one.
    pub tolerance: f64,
}

impl Default for GradcheckOptions {
    /// `1e-4` and `1e-6`: truncation and rounding are then both near `1e-11` of a function of size one.
    fn default() -> Self {
        Self { step: 1e-4, tolerance: 1e-6 }
    }
}

/// One entry of one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradcheckEntry {
    /// Which input.
    pub input: usize,
    /// Which of its entries, in row-major order.
    pub entry: usize,
    /// The gradient that backward gave.
    pub analytic: f64,
    /// The central difference.
    pub numeric: f64,
    /// What they differ by, relative to the largest entry of the input's gradient, of either kind; zero where rounding may
    /// be all of it.
    pub error: f64,
}

/// What [`gradcheck`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct GradcheckReport {
    /// Entries looked at.
    pub checked: usize,
    /// The entry with the largest error that is no kink; `None` if all are or there are none.
    pub worst: Option<GradcheckEntry>,
    /// Entries where the function has a kink within reach of the differences.
    pub kinks: Vec<GradcheckEntry>,
    /// The tolerance it was held to.
    pub tolerance: f64,
}

impl GradcheckReport {
    /// Whether every entry that is no kink is within the tolerance.
    pub fn is_right(&self) -> bool {
        self.worst.is_none_or(|worst| worst.error <= self.tolerance)
    }
}

impl fmt::Display for GradcheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries, {} of them at kinks", self.checked, self.kinks.len())?;
        let Some(worst) = self.worst else { return Ok(()) };
        let GradcheckEntry { input, entry, analytic, numeric, error } = worst;
        write!(
            f,
            "; worst: input {input}, entry {entry}: backward says {analytic:e}, differences {numeric:e} (error \
             {error:.1e}, allowed {:.1e})",
            self.tolerance
        )
    }
}

/// Holds the gradient of `loss`, a scalar, against differences, in every entry of every input. Inputs are `f64`; `loss`
/// gets them in the same order, and may use whatever else it likes that stays the same from call to call.
///
/// # Cost
/// A backward pass, and four calls of `loss` an entry.
///
/// # Errors
/// [`Error::Shape`] for inputs that are not `f64` or a loss that is not a scalar, [`Error::OutOfRange`] for a step
/// that is not positive or a loss that is not finite, and those of `loss`.
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use gleaner::gradcheck::gradcheck;
/// use gleaner::program::Budget;
/// use gleaner::{Distance, LayerInputs, LayerOptions, SelectionLayer};
///
/// let points = Tensor::new(&[[0.0f64, 0.0], [0.3, 0.1], [1.0, 1.0], [0.9, 1.2]], &Device::Cpu)?;
/// let layer = SelectionLayer::new(LayerOptions { budget: Budget::Absolute(2.0), ..Default::default() });
/// let report = gradcheck(
///     |inputs| {
///         let costs = Distance::SquaredEuclidean.between(&inputs[0], &inputs[0])?;
///         let answer = layer.forward(&costs, LayerInputs::default())?;
///         Ok((answer.assignment * costs)?.sum_all()?)
///     },
///     &[points],
///     Default::default(),
/// )?;
/// assert!(report.is_right(), "{report}");
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn gradcheck(
    loss: impl Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
    options: GradcheckOptions,
) -> Result<GradcheckReport> {
    if options.step.is_nan() || options.step <= 0.0 {
        return Err(Error::range("step", "> 0", options.step));
    }
    if let Some(other) = inputs.iter().find(|input| input.dtype() != DType::F64) {
        return Err(Error::shape("inputs", DType::F64, other.dtype()));
    }
    let value = |inputs: &[Tensor]| -> Result<f64> {
        let found = to_scalar(&loss(inputs)?)?;
        let rule = "finite";
        if found.is_finite() { Ok(found) } else { Err(Error::range("loss", rule, found)) }
    };
    let mut report = GradcheckReport {
        checked: 0,
        worst: None,
        kinks: Vec::new(),
        tolerance: options.tolerance,
    };
    let middle = value(inputs)?;
    for (k, analytic) in analytic(&loss, inputs)?.into_iter().enumerate() {
        let at = to_vec(&inputs[k])?;
        let mut changed = inputs.to_vec();
        let mut along = |entry: usize, by: f64| -> Result<f64> {
            let mut values = at.clone();
            values[entry] += by;
            changed[k] = Tensor::from_vec(values, inputs[k].dims(), inputs[k].device())?;
            value(&changed)
        };
        let mut found = Vec::with_capacity(at.len());
        for (entry, x) in at.iter().enumerate() {
            let h = options.step * x.abs().max(1.0);
            found.push(Differences::new(middle, h, |by| along(entry, by))?);
        }
        let size = found.iter().map(|d| d.central).chain(analytic.iter().copied());
        let size = size.fold(f64::MIN_POSITIVE, |size, g| size.max(g.abs()));
        for (entry, (differences, analytic)) in found.iter().zip(analytic).enumerate() {
            let numeric = differences.central;
            let off = (analytic - numeric).abs();
            // Not the other way round: what is no number is an error.
            let error = if off <= differences.rounding { 0.0 } else { off / size };
            let entry = GradcheckEntry { input: k, entry, analytic, numeric, error };
            report.checked += 1;
            // A gradient that is no number is wrong at a kink too.
            if analytic.is_finite() && differences.kink(options.tolerance * size) {
                report.kinks.push(entry);
            } else if report.worst.is_none_or(|worst| error.is_nan() || error > worst.error) {
                report.worst = Some(entry);
            }
        }
    }
    Ok(report)
}

/// What backward says; zero where it says nothing.
fn analytic(
    loss: &impl Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
) -> Result<Vec<Vec<f64>>> {
    let vars = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let found = loss(&tensors)?.backward()?;
    let of = |var: &Var| match found.get(var) {
        Some(gradient) => to_vec(gradient),
        None => Ok(vec![0.0; var.elem_count()]),
    };
    vars.iter().map(of).collect()
}

/// Differences along one entry.
struct Differences {
    central: f64,
    /// The change of slope across the entry, with the step and with twice the step.
    bends: [f64; 2],
    /// What rounding may have made of them.
    rounding: f64,
}

impl Differences {
    fn new(middle: f64, h: f64, mut at: impl FnMut(f64) -> Result<f64>) -> Result<Self> {
        let [far_left, left, right, far_right] = [at(-2.0 * h)?, at(-h)?, at(h)?, at(2.0 * h)?];
        let largest =
            [far_left, left, middle, right, far_right].iter().fold(0.0_f64, |l, f| l.max(f.abs()));
        let bend = |left: f64, right: f64, h: f64| ((right - middle) - (middle - left)).abs() / h;
        Ok(Self {
            central: (8.0 * (right - left) - (far_right - far_left)) / (12.0 * h),
            bends: [bend(left, right, h), bend(far_left, far_right, 2.0 * h)],
            rounding: 64.0 * f64::EPSILON * largest / h,
        })
    }

    /// Where the function is smooth, twice the step bends twice as much; across a kink it does not.
    fn kink(&self, visible: f64) -> bool {
        let [near, far] = self.bends;
        (near - 0.5 * far).abs() > visible.max(0.1 * far).max(self.rounding)
    }
}
