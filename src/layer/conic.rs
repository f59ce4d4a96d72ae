//! Convex problems as candle operations: parameters in, variables out, differentiable.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::conic::model::{Derivative, Model, Slot};
use crate::conic::{ConicOptions, ConicSolution, Outcome};
use crate::error::{Error, Result};
use crate::layer::bridge::to_vec;

/// Programs whose gradients are held at once.
const AT_A_TIME: usize = 64;

/// How a [`ConicLayer`] solves and differentiates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConicLayerOptions {
    /// Tolerances, and the [smoothing](ConicOptions::smoothing).
    pub solve: ConicOptions,
    /// Exact or perturbed.
    pub derivative: Derivative,
}

/// The answer of [`ConicLayer::forward`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConicOutput {
    /// The variables, then the dual variables, as the model has them.
    pub values: Vec<Tensor>,
    /// Verdict, multipliers, diagnostics.
    pub solution: ConicSolution,
}

/// The answer of [`ConicLayer::forward_batch`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConicBatchOutput {
    /// The variables, then the dual variables, `batch x` as the model has them; zero for a program without a solution.
    pub values: Vec<Tensor>,
    outcomes: Arc<Vec<Result<Outcome>>>,
}

impl ConicBatchOutput {
    /// How each program ended: an outcome, or why it was refused (values that are not finite, say). One without a solution
    /// has zeros for its values, passes no gradient and leaves the others alone.
    pub fn outcomes(&self) -> &[Result<Outcome>] {
        &self.outcomes
    }

    /// Whether each program has a solution.
    pub fn solved(&self) -> Vec<bool> {
        self.outcomes.iter().map(|outcome| solution(outcome).is_some()).collect()
    }

    /// One for each program with a solution, zero for the others: a vector to weight a loss with.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device refuses.
    pub fn mask(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        let ones = self.solved().into_iter().map(|solved| f64::from(u8::from(solved)));
        let mask = Tensor::from_iter(ones, &Device::Cpu)?;
        Ok(mask.to_dtype(dtype)?.to_device(device)?)
    }
}

fn solution(outcome: &Result<Outcome>) -> Option<&ConicSolution> {
    outcome.as_ref().ok().and_then(Outcome::as_solution)
}

/// A convex problem ([`Model`]) as an operation inside candle code.
///
/// Parameters are tensors of `f32` or `f64`, all of one type and on one device, whatever it is; programs are solved in `f64`
/// on the CPU, and answers come back in the type and on the device of the parameters. Gradients flow to every parameter.
/// The layer keeps nothing from call to call; it may be shared by threads.
///
/// # Cost
/// That of the solves, in parallel over a batch; parameters and answers are copied a few times, what a batch shares once
/// for all. Work for derivatives is done by `backward` only.
///
/// # Example
/// The point of the probability simplex nearest to `p`, and how its first entry moves with `p`.
/// ```
/// use candle_core::{Device, Var};
/// use gleaner::conic::model::{Parameter, Problem, Variable, sum_squares};
/// use gleaner::{ConicLayer, ConicLayerOptions};
///
/// let (x, p) = (Variable::vector("x", 3).nonnegative(), Parameter::vector("p", 3));
/// let problem = Problem::minimise(sum_squares(&x - &p)).subject_to([x.sum().equals(1.0)]);
/// let layer = ConicLayer::new(problem.compile(&[&p], &[&x])?, ConicLayerOptions::default());
///
/// let p = Var::new(&[0.5f64, 0.9, -0.3], &Device::Cpu)?;
/// let nearest = &layer.forward(&[&p])?.values[0];
/// assert!((nearest.to_vec1::<f64>()?[0] - 0.3).abs() < 1e-8); // (0.3, 0.7, 0)
/// let gradients = nearest.get(0)?.backward()?;
/// let slopes = gradients.get(&p).unwrap().to_vec1::<f64>()?;
/// assert!((slopes[0] - 0.5).abs() < 1e-8 && (slopes[1] + 0.5).abs() < 1e-8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConicLayer {
    model: Model,
    options: ConicLayerOptions,
}

impl ConicLayer {
    /// A layer of a compiled problem. The options are checked with each solve.
    pub fn new(model: Model, options: ConicLayerOptions) -> Self {
        Self { model, options }
    }

    /// What is solved.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Solves one program. Each parameter has the dimensions that it was declared with: none for a scalar, `n`, or
    /// `rows x columns`; so have the answers.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming a parameter of the wrong shape, type or values, [`Error::Shape`] for too many or too few;
    /// those of [`ConicProgram::solve`](crate::conic::ConicProgram::solve); [`Error::NoSolution`] for a problem that is
    /// infeasible, unbounded or not solved.
    pub fn forward(&self, parameters: &[&Tensor]) -> Result<ConicOutput> {
        let theta = Theta::gather(self.model.parameters(), parameters, false)?;
        let (flat, outcomes) = self.solve(&theta, None)?;
        let mut outcomes = Arc::try_unwrap(outcomes).unwrap_or_else(|shared| copies(&shared));
        let outcome = outcomes.pop().ok_or_else(|| Error::shape("outcomes", 1, 0))??;
        let solution = outcome.solution()?;
        let values = self.split(&flat, &theta, |dims| dims.to_vec())?;
        Ok(ConicOutput { values, solution })
    }

    /// Solves a batch of independent programs, in parallel; the number of threads never changes the answer. Each parameter
    /// is shared by all programs (with its own dimensions), or has one more in front, of the batch's size or one. At least
    /// one has it.
    ///
    /// # Errors
    /// Only for tensors that do not fit, as [`forward`](Self::forward): a program that is refused or has no solution says so
    /// in its own [outcome](ConicBatchOutput::outcomes).
    pub fn forward_batch(&self, parameters: &[&Tensor]) -> Result<ConicBatchOutput> {
        self.batch(parameters, None)
    }

    /// [`forward_batch`](Self::forward_batch), each program starting from the solution of an earlier call that is in its
    /// place, if there is one: cheaper if the parameters have changed little, and the same answer up to the tolerance.
    ///
    /// # Errors
    /// As [`forward_batch`](Self::forward_batch); [`Error::Shape`] for a start of another size.
    pub fn forward_batch_from(
        &self,
        start: &ConicBatchOutput,
        parameters: &[&Tensor],
    ) -> Result<ConicBatchOutput> {
        self.batch(parameters, Some(&start.outcomes))
    }

    fn batch(
        &self,
        parameters: &[&Tensor],
        start: Option<&[Result<Outcome>]>,
    ) -> Result<ConicBatchOutput> {
        let theta = Theta::gather(self.model.parameters(), parameters, true)?;
        if let Some(start) = start.filter(|start| start.len() != theta.count) {
            return Err(Error::shape("start", theta.count, start.len()));
        }
        let (flat, outcomes) = self.solve(&theta, start)?;
        let values = self.split(&flat, &theta, |dims| [&[theta.count], dims].concat())?;
        Ok(ConicBatchOutput { values, outcomes })
    }

    /// All outputs, `batch x their number`, tied to the parameters; and how each program ended.
    fn solve(
        &self,
        theta: &Theta,
        start: Option<&[Result<Outcome>]>,
    ) -> Result<(Tensor, Arc<Vec<Result<Outcome>>>)> {
        let numbers = to_vec(&theta.tensor)?;
        let solve = |k: usize| -> Result<Outcome> {
            let (program, options) = (self.model.program(), &self.options.solve);
            let data = self.model.data(&theta.places.of(k, &numbers))?;
            match start.and_then(|start| solution(&start[k])) {
                Some(start) => program.solve_from(start, data.values(), options),
                None => program.solve(data.values(), options),
            }
        };
        let outcomes: Vec<Result<Outcome>> = (0..theta.count).into_par_iter().map(solve).collect();
        let outcomes = Arc::new(outcomes);
        let op = ConicOp {
            model: self.model.clone(),
            derivative: self.options.derivative,
            outcomes: outcomes.clone(),
            places: theta.places.clone(),
        };
        Ok((theta.tensor.apply_op1(op)?, outcomes))
    }

    fn split(
        &self,
        flat: &Tensor,
        theta: &Theta,
        dims: impl Fn(&[usize]) -> Vec<usize>,
    ) -> Result<Vec<Tensor>> {
        let part = |slot: &Slot| -> Result<Tensor> {
            let part = flat.narrow(1, slot.range.start, slot.range.len())?;
            let part = part.reshape(dims(&slot.dims))?;
            Ok(part.to_dtype(theta.dtype)?.to_device(&theta.device)?)
        };
        self.model.outputs().iter().map(part).collect()
    }
}

/// For a call whose outcomes its operation still holds.
fn copies(outcomes: &[Result<Outcome>]) -> Vec<Result<Outcome>> {
    let copy = |outcome: &Result<Outcome>| match outcome {
        Ok(outcome) => Ok(outcome.clone()),
        Err(error) => Err(Error::NoSolution { found: error.to_string() }),
    };
    outcomes.iter().map(copy).collect()
}

/// The parameters of a call, all numbers in a row, in `f64` on the CPU, and what they came as.
struct Theta {
    tensor: Tensor,
    count: usize,
    places: Places,
    dtype: DType,
    device: Device,
}

/// Where the numbers of each parameter are in that row. What all programs share is there once.
#[derive(Clone, Debug, Default)]
struct Places {
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    from: usize,
    length: usize,
    shared: bool,
}

impl Part {
    /// The numbers of program `k`.
    fn range(&self, k: usize) -> std::ops::Range<usize> {
        let from = self.from + if self.shared { 0 } else { k * self.length };
        from..from + self.length
    }
}

impl Places {
    /// All numbers of program `k`.
    fn of(&self, k: usize, numbers: &[f64]) -> Vec<f64> {
        self.parts.iter().flat_map(|part| &numbers[part.range(k)]).copied().collect()
    }

    /// Adds a gradient of program `k` in its place.
    fn add(&self, k: usize, gradient: &[f64], sum: &mut [f64]) {
        let mut from = 0;
        for part in &self.parts {
            let own = &gradient[from..from + part.length];
            sum[part.range(k)].iter_mut().zip(own).for_each(|(sum, g)| *sum += g);
            from += part.length;
        }
    }
}

impl Theta {
    fn gather(slots: &[Slot], given: &[&Tensor], batched: bool) -> Result<Self> {
        if slots.len() != given.len() {
            let names: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
            return Err(Error::shape("parameters", names, given.len()));
        }
        let (dtype, device) =
            given.first().map_or((DType::F64, Device::Cpu), |t| (t.dtype(), t.device().clone()));
        let mut count = None;
        for (slot, tensor) in slots.iter().zip(given) {
            let size = leading(slot, tensor, batched)?;
            if !matches!(tensor.dtype(), DType::F32 | DType::F64) || tensor.dtype() != dtype {
                let expected = "f32 or f64, the same for all".to_string();
                return Err(refusal(slot, expected, format!("{:?}", tensor.dtype())));
            }
            count = match (count, size) {
                (None | Some(1), Some(size)) => Some(size),
                (Some(count), Some(size)) if size != 1 && size != count => {
                    let expected = format!("a batch of {count}, like those before");
                    return Err(refusal(slot, expected, format!("one of {size}")));
                }
                (count, _) => count,
            };
        }
        let count = match (batched, count) {
            (false, _) => 1,
            (true, Some(count)) => count,
            (true, None) => {
                let found = "none that has it";
                return Err(Error::shape("batch", "a parameter with a batch's dimension", found));
            }
        };
        let (mut flat, mut places, mut from) = (Vec::new(), Places::default(), 0);
        for (slot, tensor) in slots.iter().zip(given) {
            flat.push(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?);
            let (length, all) = (slot.range.len(), tensor.elem_count());
            places.parts.push(Part { from, length, shared: all == length });
            from += all;
        }
        let tensor = match flat.len() {
            0 => Tensor::zeros(0, DType::F64, &Device::Cpu)?,
            _ => Tensor::cat(&flat, 0)?,
        };
        Ok(Self { tensor, count, places, dtype, device })
    }
}

/// The size of a parameter's batch, if it has one.
fn leading(slot: &Slot, tensor: &Tensor, batched: bool) -> Result<Option<usize>> {
    match tensor.dims() {
        dims if dims == slot.dims => Ok(None),
        [size, rest @ ..] if batched && *size > 0 && rest == slot.dims => Ok(Some(*size)),
        dims => {
            let own = &slot.dims;
            let expected = if batched {
                format!("dimensions {own:?}, or the same with that of a batch in front")
            } else {
                format!("dimensions {own:?}; batches go to forward_batch")
            };
            Err(refusal(slot, expected, format!("{dims:?}")))
        }
    }
}

fn refusal(slot: &Slot, expected: String, found: String) -> Error {
    Error::Parameter { name: slot.name.clone(), expected, found }
}

/// One call's answers and what their derivative needs: candle keeps it from forward to backward, if a parameter wants
/// a gradient.
struct ConicOp {
    model: Model,
    derivative: Derivative,
    outcomes: Arc<Vec<Result<Outcome>>>,
    places: Places,
}

impl ConicOp {
    /// Numbers of all outputs of one program.
    fn width(&self) -> usize {
        self.model.outputs().last().map_or(0, |last| last.range.end)
    }

    /// The gradient in one program's parameters; none where nothing is asked (an output that the loss leaves out), or
    /// there is no solution.
    fn pull(&self, outcome: &Result<Outcome>, upstream: &[f64]) -> Result<Option<Vec<f64>>> {
        let solution = solution(outcome).filter(|_| upstream.iter().any(|g| *g != 0.0));
        let pull = |solution| self.model.pull(solution, upstream, self.derivative);
        solution.map(pull).transpose()
    }
}

impl CustomOp1 for ConicOp {
    fn name(&self) -> &'static str {
        "conic"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let mut flat = Vec::with_capacity(self.outcomes.len() * self.width());
        for outcome in self.outcomes.iter() {
            match solution(outcome) {
                Some(solution) => flat.extend(self.model.read(solution)),
                None => flat.resize(flat.len() + self.width(), 0.0),
            }
        }
        Ok((CpuStorage::F64(flat), Shape::from((self.outcomes.len(), self.width()))))
    }

    fn bwd(
        &self,
        theta: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let upstream = to_vec(upstream)?;
        let width = self.width();
        let mut sum = vec![0.0; theta.elem_count()];
        // Some at a time, since each is as long as all parameters; added up in their order, whoever was first.
        for first in (0..self.outcomes.len()).step_by(AT_A_TIME) {
            let some = first..self.outcomes.len().min(first + AT_A_TIME);
            let pull = |k| self.pull(&self.outcomes[k], &upstream[k * width..(k + 1) * width]);
            let pulled: Vec<_> = some.clone().into_par_iter().map(pull).collect::<Result<_>>()?;
            for (k, gradient) in some.zip(pulled) {
                gradient.into_iter().for_each(|gradient| self.places.add(k, &gradient, &mut sum));
            }
        }
        Ok(Some(Tensor::from_vec(sum, theta.shape(), &Device::Cpu)?))
    }
}
