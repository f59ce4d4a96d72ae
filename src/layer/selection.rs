//! The selection program as a candle operation: costs in, assignment and weights out, differentiable.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Shape, Tensor};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use crate::conic::model::Derivative;
use crate::error::{Error, Result};
use crate::layer::bridge::{dims2, to_vec};
use crate::layer::parameters::Parameters;
use crate::program::{
    Budget, BudgetRow, Diagnostics, Multipliers, Norm, ProgramOptions, Regulariser, Selection,
    SelectionProgram, SolveOptions, Upstream, Verdict, typical,
};

/// A length in the units of the costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// As it is.
    Absolute(f64),
    /// Times the median cost of each program; the median counts as a constant in the gradient.
    OfMedianCost(f64),
}

/// The smoothing term of the layer's programs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Smoothing {
    /// None: a vertex solution, whose cost gradient is zero almost everywhere.
    None,
    /// `eps/2 ||Z||^2`.
    Quadratic(Scale),
    /// `eps sum Z log Z`.
    Entropic(Scale),
}

/// What a [`SelectionLayer`] solves.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerOptions {
    /// The norm of the weights.
    pub norm: Norm,
    /// The smoothing term.
    pub smoothing: Smoothing,
    /// The budget, unless a call brings its own.
    pub budget: Budget,
    /// Solver and tolerances.
    pub solve: SolveOptions,
    /// Exact or perturbed; the second by two more solves a program and answer that a loss uses, assignment or weights.
    pub derivative: Derivative,
}

impl Default for LayerOptions {
    /// p = inf, quadratic with 0.1 of the median cost, budget one fifth; the exact derivative.
    fn default() -> Self {
        Self {
            norm: Norm::Infinity,
            smoothing: Smoothing::Quadratic(Scale::OfMedianCost(0.1)),
            budget: Budget::Fraction(0.2),
            solve: SolveOptions::default(),
            derivative: Derivative::Exact,
        }
    }
}

/// What a call may bring besides the costs. Gradients flow to every tensor.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerInputs<'a> {
    /// Column costs `c >= 0`, `q` (or `batch x q`), `q = n` without groups; default zero.
    pub column_costs: Option<&'a Tensor>,
    /// Row masses `r > 0`, `n` (or `batch x n`); default one.
    pub row_masses: Option<&'a Tensor>,
    /// The budget `kappa`, a scalar (or `batch`); with budget rows their limits, `b` (or `batch x b`).
    /// Default: the layer's.
    pub budget: Option<&'a Tensor>,
    /// `eps` in the units of the costs, a scalar (or `batch`); default: by the layer's scale.
    pub eps: Option<&'a Tensor>,
    /// Budget rows in place of the layer's budget, for coefficients that belong to the batch: the classes
    /// of its points, their costs.
    pub budget_rows: Option<&'a [BudgetRow]>,
    /// The group of each incoming point, numbered `0..q` without gaps: a group is weighted as a whole.
    pub groups: Option<&'a [usize]>,
    /// Which columns may stand in for which rows, `n x (n + m)` (or `batch x n x (n + m)`) of `u8`, zero where not;
    /// default: all. No gradient reaches costs that are not allowed, whatever they are.
    pub allowed: Option<&'a Tensor>,
    /// Where to start each program, say from the [`Status::multipliers`] of the same points a step ago.
    pub start: Option<&'a [Multipliers]>,
}

/// How one program of a call ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The solver's verdict.
    pub verdict: Verdict,
    /// Live rows, weak activity, margin.
    pub diagnostics: Diagnostics,
    /// Prices of row mass and budget; [`LayerInputs::start`] of a similar program.
    pub multipliers: Multipliers,
}

/// The answer of [`SelectionLayer::forward`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerOutput {
    /// `Z`, `n x (n + m)`.
    pub assignment: Tensor,
    /// `s`, `n` (`q` with groups).
    pub weights: Tensor,
    /// How the solve ended.
    pub status: Status,
}

/// The answer of [`SelectionLayer::forward_batch`].
#[derive(Debug)]
#[non_exhaustive]
pub struct BatchOutput {
    /// `Z`, `batch x n x (n + m)`; zero for a program that failed.
    pub assignment: Tensor,
    /// `s`, `batch x n` (`q` with groups); zero for a program that failed.
    pub weights: Tensor,
    /// One a program; a failed one passes no gradient and leaves the others alone.
    pub statuses: Vec<Result<Status>>,
}

/// The selection program ([`crate::program`]) as an operation inside candle code.
///
/// Costs may be `f32` or `f64` on any device; the program is solved in `f64` on the CPU, and the answer
/// comes back in the type and on the device of the costs. Gradients flow to costs, column costs, row masses,
/// budgets and eps through [`Selection::pullback`], or [`Selection::pullback_perturbed`] if the
/// [options](LayerOptions::derivative) say so: without smoothing the answer is a vertex, and the first is zero.
///
/// # Example
/// Raising the budget lowers the representation cost, at the rate of the budget's multiplier.
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use gleaner::{Distance, LayerInputs, LayerOptions, SelectionLayer};
///
/// let points = Tensor::new(&[[0.0f64, 0.0], [0.1, 0.0], [1.0, 1.0], [0.9, 1.2]], &Device::Cpu)?;
/// let costs = Distance::SquaredEuclidean.between(&points, &points)?;
/// let budget = Var::new(1.5f64, &Device::Cpu)?;
/// let layer = SelectionLayer::new(LayerOptions::default());
///
/// let inputs = LayerInputs { budget: Some(&budget), ..Default::default() };
/// let selected = layer.forward(&costs, inputs)?;
/// let gradient = selected.weights.sum_all()?.backward()?;
/// let slope = gradient.get(&budget).unwrap().to_scalar::<f64>()?;
/// assert!((slope - 1.0).abs() < 1e-9); // the weights add up to the budget
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SelectionLayer {
    options: LayerOptions,
}

impl SelectionLayer {
    /// A layer; its options are checked with each program, since what is feasible depends on its size.
    pub fn new(options: LayerOptions) -> Self {
        Self { options }
    }

    /// What the layer solves.
    pub fn options(&self) -> &LayerOptions {
        &self.options
    }

    /// Solves one program with the costs `n x (n + m)`.
    ///
    /// # Errors
    /// As [`SelectionProgram::new`] and [`SelectionProgram::solve`]; [`Error::Shape`] for inputs of the
    /// wrong shape.
    pub fn forward(&self, costs: &Tensor, inputs: LayerInputs) -> Result<LayerOutput> {
        let (n, width) = dims2("costs", costs)?;
        let mut batch = self.forward_batch(&costs.unsqueeze(0)?, inputs)?;
        let status = batch.statuses.pop().ok_or_else(|| Error::shape("statuses", 1, 0))??;
        Ok(LayerOutput {
            assignment: batch.assignment.reshape((n, width))?,
            weights: batch.weights.flatten_all()?,
            status,
        })
    }

    /// Solves a batch of independent programs, in parallel; the number of threads never changes the
    /// answer. Column costs and budgets may be shared by all programs or given one a program.
    ///
    /// # Errors
    /// Only for tensors of the wrong shape, or a perturbation that is not positive: a program that is refused or fails has
    /// its own status.
    pub fn forward_batch(&self, costs: &Tensor, inputs: LayerInputs) -> Result<BatchOutput> {
        let (count, n, width) = match costs.dims() {
            &[count, n, width] if count > 0 && n > 0 && costs.dtype().is_float() => {
                (count, n, width)
            }
            dims => {
                return Err(Error::Shape {
                    what: "costs",
                    expected: "batch x n x (n + m) floats, batch >= 1, n >= 1, m >= 0".into(),
                    found: format!("{dims:?} of {:?}", costs.dtype()),
                });
            }
        };
        if let Derivative::Perturbed { size } = self.options.derivative
            && !(size > 0.0 && size.is_finite())
        {
            return Err(Error::range("perturbation size", "> 0 and finite", size));
        }
        let items = Items::gather(costs, (count, n, width), &inputs, &self.options)?;
        let solved: Vec<Result<Selection>> =
            (0..count).into_par_iter().map(|k| items.solve(k, &self.options)).collect();
        let (solved, statuses) = Solved::new(solved, &items, &self.options);
        let solved = Arc::new(solved);
        let part = |of: Part| -> Result<Tensor> {
            let op = SelectionOp { solved: Arc::clone(&solved), of };
            let part = items.costs_tensor.apply_op2(&items.parameters_tensor, op)?;
            Ok(part.to_dtype(costs.dtype())?.to_device(costs.device())?)
        };
        let (assignment, weights) = (part(Part::Assignment)?, part(Part::Weights)?);
        Ok(BatchOutput { assignment, weights, statuses })
    }
}

/// A shared input repeated for every program, or one already given a program each.
fn spread(given: &Tensor, shape: &[usize], what: &'static str) -> Result<Tensor> {
    let shared = &shape[1..];
    if given.dims() == shape {
        Ok(given.clone())
    } else if given.dims() == shared {
        Ok(given.unsqueeze(0)?.broadcast_as(shape)?.contiguous()?)
    } else {
        Err(Error::Shape {
            what,
            expected: format!("{shape:?} or {shared:?}"),
            found: format!("{:?}", given.dims()),
        })
    }
}

/// A mask for every program.
fn mask(allowed: &Tensor, shape: &[usize]) -> Result<Vec<u8>> {
    let allowed = spread(&allowed.to_device(&Device::Cpu)?, shape, "allowed")?;
    Ok(allowed.to_dtype(DType::U8)?.flatten_all()?.to_vec1()?)
}

/// The typical cost of what is allowed.
fn typical_allowed(costs: &DMatrix<f64>, allowed: Option<&DMatrix<bool>>) -> f64 {
    let Some(allowed) = allowed else { return typical(costs) };
    let given = costs.iter().zip(allowed).filter(|(_, allowed)| **allowed);
    let given: Vec<f64> = given.map(|(cost, _)| *cost).collect();
    typical(&DMatrix::from_vec(given.len(), 1, given))
}

/// The numbers of a batch, row-major, and the tensors that they came from.
///
/// candle's custom operations take few inputs: all but the costs are joined to one row of parameters a
/// program, `[column costs (q), row masses (n), limits (b), eps (1)]`.
struct Items<'a> {
    n: usize,
    width: usize,
    q: usize,
    rows: Option<&'a [BudgetRow]>,
    inputs: LayerInputs<'a>,
    costs: Vec<f64>,
    allowed: Option<Vec<u8>>,
    parameters: Vec<f64>,
    costs_tensor: Tensor,
    parameters_tensor: Tensor,
}

impl<'a> Items<'a> {
    fn gather(
        costs: &Tensor,
        (count, n, width): (usize, usize, usize),
        inputs: &LayerInputs<'a>,
        options: &'a LayerOptions,
    ) -> Result<Self> {
        let q = match inputs.groups {
            Some(groups) if groups.len() != n => {
                return Err(Error::shape("groups", n, groups.len()));
            }
            Some(groups) => groups.iter().max().map_or(0, |&g| g.saturating_add(1)).min(n),
            None => n,
        };
        let rows = match (inputs.budget_rows, &options.budget) {
            (Some(rows), _) => Some(rows),
            (None, Budget::Rows(rows)) => Some(rows.as_slice()),
            _ => None,
        };
        if let Some(start) = inputs.start.filter(|start| start.len() != count) {
            return Err(Error::shape("starts", count, start.len()));
        }
        let on_cpu = |tensor: &Tensor| -> Result<Tensor> {
            Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?)
        };
        let part = |given: Option<&Tensor>, shape: &[usize], what, default: f64| match given {
            Some(given) => spread(&on_cpu(given)?, shape, what),
            None => Ok(Tensor::full(default, shape, &Device::Cpu)?),
        };
        // A scalar a program where there is one budget.
        let budget = match rows {
            Some(rows) => part(inputs.budget, &[count, rows.len()], "budget", 0.0)?,
            None => part(inputs.budget, &[count], "budget", 0.0)?.unsqueeze(1)?,
        };
        let parameters = Parameters {
            column_costs: part(inputs.column_costs, &[count, q], "column costs", 0.0)?,
            row_masses: part(inputs.row_masses, &[count, n], "row masses", 1.0)?,
            limits: budget,
            eps: part(inputs.eps, &[count], "eps", 0.0)?.unsqueeze(1)?,
        };
        let allowed = match inputs.allowed {
            Some(allowed) => Some(mask(allowed, &[count, n, width])?),
            None => None,
        };
        let costs_tensor = on_cpu(costs)?;
        let parameters_tensor = Tensor::cat(&parameters.in_order(), 1)?;
        Ok(Self {
            n,
            width,
            q,
            rows,
            inputs: *inputs,
            costs: to_vec(&costs_tensor)?,
            allowed,
            parameters: to_vec(&parameters_tensor)?,
            costs_tensor,
            parameters_tensor,
        })
    }

    /// Numbers of each parameter of a program.
    fn sizes(&self) -> Parameters<usize> {
        let limits = self.rows.map_or(1, <[BudgetRow]>::len);
        Parameters { column_costs: self.q, row_masses: self.n, limits, eps: 1 }
    }

    fn solve(&self, k: usize, options: &LayerOptions) -> Result<Selection> {
        let program = self.program(k, options)?;
        match self.inputs.start {
            Some(start) => program.solve_from(&start[k], options.solve),
            None => program.solve(options.solve),
        }
    }

    fn program(&self, k: usize, options: &LayerOptions) -> Result<SelectionProgram> {
        let (n, size) = (self.n, self.n * self.width);
        let costs = DMatrix::from_row_slice(n, self.width, &self.costs[k * size..(k + 1) * size]);
        let allowed = self.allowed.as_ref().map(|allowed| {
            let allowed = &allowed[k * size..(k + 1) * size];
            DMatrix::from_row_iterator(n, self.width, allowed.iter().map(|allowed| *allowed != 0))
        });
        let Parameters { column_costs, row_masses, limits, eps } =
            self.sizes().of(&self.parameters, k);
        let given = self.inputs.budget.is_some();
        let budget = match self.rows {
            Some(rows) => {
                let rows = rows.iter().zip(limits).map(|(row, &limit)| BudgetRow {
                    coefficients: row.coefficients.clone(),
                    limit: if given { limit } else { row.limit },
                });
                Budget::Rows(rows.collect())
            }
            None if given => Budget::Absolute(limits[0]),
            None => options.budget.clone(),
        };
        let eps = |scale| match scale {
            _ if self.inputs.eps.is_some() => eps[0],
            Scale::Absolute(eps) => eps,
            Scale::OfMedianCost(share) => share * typical_allowed(&costs, allowed.as_ref()),
        };
        let regulariser = match options.smoothing {
            Smoothing::None => Regulariser::None,
            Smoothing::Quadratic(scale) => Regulariser::Quadratic(eps(scale)),
            Smoothing::Entropic(scale) => Regulariser::Entropic(eps(scale)),
        };
        let program_options = ProgramOptions {
            norm: options.norm,
            regulariser,
            column_costs: Some(column_costs.to_vec()),
            row_masses: Some(row_masses.to_vec()),
            groups: self.inputs.groups.map(<[usize]>::to_vec),
            allowed,
        };
        SelectionProgram::new(costs, budget, program_options)
    }
}

/// One call's answers and what their derivative needs.
struct Solved {
    selections: Vec<Option<Selection>>,
    n: usize,
    width: usize,
    /// Weights and parameters of one program.
    weights: usize,
    parameters: usize,
    derivative: Derivative,
    options: SolveOptions,
}

impl Solved {
    fn new(
        solved: Vec<Result<Selection>>,
        items: &Items,
        options: &LayerOptions,
    ) -> (Self, Vec<Result<Status>>) {
        let (selections, statuses) = solved
            .into_iter()
            .map(|result| match result {
                Ok(selection) => {
                    let status = Status {
                        verdict: selection.verdict().clone(),
                        diagnostics: selection.diagnostics(),
                        multipliers: selection.multipliers().clone(),
                    };
                    (Some(selection), Ok(status))
                }
                Err(error) => (None, Err(error)),
            })
            .unzip();
        let parameters = items.sizes().sum();
        let solved = Self {
            selections,
            n: items.n,
            width: items.width,
            weights: items.q,
            parameters,
            derivative: options.derivative,
            options: options.solve,
        };
        (solved, statuses)
    }

    /// Entries of the assignment of one program.
    fn entries(&self) -> usize {
        self.n * self.width
    }
}

/// Which part of the answers.
#[derive(Clone, Copy)]
enum Part {
    Assignment,
    Weights,
}

/// A part of one call's answers, each with a derivative of its own: candle makes a zero of every output that a loss does not
/// use, and adds to it. A fresh object a call: candle keeps it from forward to backward.
struct SelectionOp {
    solved: Arc<Solved>,
    of: Part,
}

impl SelectionOp {
    /// Numbers of one program.
    fn stride(&self) -> usize {
        match self.of {
            Part::Assignment => self.solved.entries(),
            Part::Weights => self.solved.weights,
        }
    }

    fn shape(&self) -> Shape {
        let Solved { selections, n, width, weights, .. } = &*self.solved;
        match self.of {
            Part::Assignment => Shape::from((selections.len(), *n, *width)),
            Part::Weights => Shape::from((selections.len(), *weights)),
        }
    }

    /// Gradients of one program, each in its row, from its row of the upstream gradient.
    fn pull(
        &self,
        selection: &Selection,
        upstream: &[f64],
        to_costs: &mut [f64],
        to_parameters: &mut [f64],
    ) -> Result<()> {
        let Solved { n, width, derivative, options, .. } = *self.solved;
        let pull = |upstream: Upstream| match derivative {
            Derivative::Exact => selection.pullback(upstream),
            Derivative::Perturbed { size } => selection.pullback_perturbed(upstream, size, options),
        };
        let found = match self.of {
            Part::Assignment => {
                let assignment = DMatrix::from_row_slice(n, width, upstream);
                pull(Upstream { assignment: Some(&assignment), weights: None })
            }
            Part::Weights => {
                let weights = DVector::from_column_slice(upstream);
                pull(Upstream { assignment: None, weights: Some(&weights) })
            }
        }?;
        for (j, column) in found.costs.column_iter().enumerate() {
            let places = to_costs[j..].iter_mut().step_by(width);
            places.zip(&column).for_each(|(place, slope)| *place = *slope);
        }
        let slopes = Parameters {
            column_costs: found.column_costs.as_slice(),
            row_masses: found.row_masses.as_slice(),
            limits: found.budgets.as_slice(),
            eps: &[found.eps],
        };
        let numbers = slopes.in_order().into_iter().flatten();
        to_parameters.iter_mut().zip(numbers).for_each(|(place, slope)| *place = *slope);
        Ok(())
    }
}

impl CustomOp2 for SelectionOp {
    fn name(&self) -> &'static str {
        "selection"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let selections = &self.solved.selections;
        let mut flat = vec![0.0; selections.len() * self.stride()];
        // Costs without a column, all of which are refused, have chunks of nothing.
        let answers = flat.par_chunks_mut(self.stride().max(1)).zip(selections);
        answers.for_each(|(flat, selection)| match (selection, self.of) {
            (None, _) => {}
            (Some(selection), Part::Assignment) => selection.add_to_rows(flat),
            (Some(selection), Part::Weights) => {
                flat.copy_from_slice(selection.weights().as_slice());
            }
        });
        Ok((CpuStorage::F64(flat), self.shape()))
    }

    fn bwd(
        &self,
        costs: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let Solved { selections, parameters: of_parameters, .. } = &*self.solved;
        let upstream = to_vec(upstream)?;
        let mut to_costs = vec![0.0; selections.len() * self.solved.entries()];
        let mut to_parameters = vec![0.0; selections.len() * of_parameters];
        let places = to_costs
            .par_chunks_mut(self.solved.entries().max(1))
            .zip(to_parameters.par_chunks_mut(*of_parameters));
        let programs = selections.par_iter().zip(upstream.par_chunks(self.stride().max(1)));
        let pulled: Vec<Result<()>> = (programs.zip(places))
            .map(|((selection, upstream), (to_costs, to_parameters))| match selection {
                Some(selection) => self.pull(selection, upstream, to_costs, to_parameters),
                None => Ok(()),
            })
            .collect();
        pulled.into_iter().collect::<Result<()>>()?;
        let device = &Device::Cpu;
        Ok((
            Some(Tensor::from_vec(to_costs, costs.shape(), device)?),
            Some(Tensor::from_vec(to_parameters, parameters.shape(), device)?),
        ))
    }
}
