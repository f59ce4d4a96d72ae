//! A compiled problem: parameters in, variables out, gradients back.

use std::ops::Range;
use std::sync::Arc;

use super::canonical::{Block, Canonical, triangle};
use super::constraint::{Constraint, Relation};
use super::form::Form;
use super::leaf::{Parameter, Variable};
use super::theta::ThetaMap;
use crate::conic::cone::Cone;
use crate::conic::{ConicOptions, ConicProgram, ConicSolution, Pattern, Upstream, Values};
use crate::error::{Error, Result};

/// Which derivative a pullback takes, of this and of the selection layer; smoothing is an option of the program
/// ([here](ConicOptions::smoothing)).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Derivative {
    /// [`ConicSolution::pullback`], [`Selection::pullback`](crate::Selection::pullback).
    #[default]
    Exact,
    /// [`ConicSolution::pullback_perturbed`], [`Selection::pullback_perturbed`](crate::Selection::pullback_perturbed): tells
    /// something at the vertices of linear programs too.
    Perturbed {
        /// How far the program is moved, relative to itself.
        size: f64,
    },
}

/// What one parameter or output is like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slot {
    /// Its name; of a dual variable, its constraint.
    pub name: String,
    /// The dimensions of its tensor; none for a scalar.
    pub dims: Vec<usize>,
    /// Where it is in the row of all parameters or outputs.
    pub range: Range<usize>,
    nonnegative: bool,
}

impl Slot {
    fn after(slots: &[Slot], name: String, dims: Vec<usize>, nonnegative: bool) -> Self {
        let from = slots.last().map_or(0, |last| last.range.end);
        let length: usize = dims.iter().product();
        Self { name, dims, range: from..from + length, nonnegative }
    }
}

/// Where an output is read from: its entries are columns of the answer, or rows of its multipliers, times a number.
#[derive(Clone, Copy, Debug)]
enum Source {
    Column(usize, f64),
    Row(usize, f64),
}

/// A [`Problem`](super::Problem) compiled: `theta -> (P, q, A, b)`, a [`ConicProgram`], `(x, z) -> outputs`, all sparse and
/// linear but the program. Clones share, as do threads.
///
/// # Example
/// See [`Problem`](super::Problem).
#[derive(Clone, Debug)]
pub struct Model {
    compiled: Arc<Compiled>,
    outputs: Arc<Outputs>,
}

#[derive(Debug)]
struct Compiled {
    program: ConicProgram,
    parameters: Vec<Slot>,
    quadratic: ThetaMap,
    linear: ThetaMap,
    constraints: ThetaMap,
    right: ThetaMap,
    /// What the objective has besides `x`.
    offset: ThetaMap,
    maximise: bool,
    /// Constraints with their first row.
    rows: Vec<(Constraint, usize)>,
}

#[derive(Clone, Debug, Default)]
struct Outputs {
    slots: Vec<Slot>,
    sources: Vec<Source>,
}

/// The numbers of a model's program for given parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelData {
    quadratic: Vec<f64>,
    linear: Vec<f64>,
    constraints: Vec<f64>,
    right: Vec<f64>,
}

impl ModelData {
    /// As a program takes them.
    pub fn values(&self) -> Values<'_> {
        Values {
            quadratic: &self.quadratic,
            linear: &self.linear,
            constraints: &self.constraints,
            right: &self.right,
        }
    }
}

impl Model {
    pub(super) fn assemble(
        canonical: Canonical,
        objective: &Form,
        maximise: bool,
        parameters: &[&Parameter],
        variables: &[&Variable],
        constraints: Vec<(Constraint, usize)>,
    ) -> Result<Self> {
        let mut outputs = Outputs::default();
        for variable in variables {
            // Those that the problem does not have are refused before.
            let Some(form) = canonical.variable(Arc::as_ptr(variable.node())) else { continue };
            let (name, dims) = (variable.name().into(), variable.dims().to_vec());
            outputs.slots.push(Slot::after(&outputs.slots, name, dims, false));
            outputs.sources.extend(form.terms().iter().map(|t| Source::Column(t.first - 1, 1.0)));
        }
        let columns = canonical.columns.max(1);
        let (objective, p) = Objective::new(objective, columns)?;
        let rows = Rows::new(canonical.blocks, columns)?;
        let starts = &rows.starts;
        let placed = constraints.into_iter().map(|(constraint, block)| (constraint, starts[block]));
        let placed = placed.collect();
        let mut slots: Vec<Slot> = Vec::new();
        for parameter in parameters {
            let (name, dims) = (parameter.name().into(), parameter.dims().to_vec());
            slots.push(Slot::after(&slots, name, dims, parameter.sign().nonnegative));
        }
        let compiled = Compiled {
            program: ConicProgram::new(p, rows.pattern, rows.cones)?,
            parameters: slots,
            quadratic: objective.quadratic,
            linear: objective.linear,
            constraints: rows.constraints,
            right: rows.right,
            offset: objective.offset,
            maximise,
            rows: placed,
        };
        Ok(Self { compiled: Arc::new(compiled), outputs: Arc::new(outputs) })
    }

    /// The same with the dual variables of these constraints as further outputs, after the variables; see [`Constraint`]
    /// for their signs. They are differentiable like the rest.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a constraint that the problem does not have.
    ///
    /// # Example
    /// The price of a budget is what another unit of it would bring.
    /// ```
    /// use gleaner::conic::model::{Parameter, Problem, Variable, sum_squares};
    ///
    /// let (x, budget) = (Variable::vector("x", 2), Parameter::scalar("budget"));
    /// let within = x.sum().le(&budget);
    /// let problem = Problem::minimise(sum_squares(&x - [1.0, 2.0])).subject_to([within.clone()]);
    /// let model = problem.compile(&[&budget], &[&x])?.with_duals(&[&within])?;
    /// let answer = model.solve(&[&[2.0]], &Default::default())?;
    /// assert!((answer.dual(0)[0] - 1.0).abs() < 1e-9); // the objective is (3 - budget)^2 / 2
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    pub fn with_duals(&self, constraints: &[&Constraint]) -> Result<Self> {
        let mut outputs = (*self.outputs).clone();
        for constraint in constraints {
            let rows = &self.compiled.rows;
            let known = rows.iter().find(|(known, _)| Arc::ptr_eq(&known.0, &constraint.0));
            let Some((_, first)) = known else {
                let names: Vec<String> = rows.iter().take(8).map(|row| row.0.to_string()).collect();
                return Err(Error::Unknown {
                    what: "constraint of the problem",
                    expected: names.join("; "),
                    found: constraint.to_string(),
                });
            };
            let (rows, columns) = constraint.shape();
            let dims = match (rows, columns) {
                (1, 1) => vec![],
                (_, 1) => vec![rows],
                _ => vec![rows, columns],
            };
            outputs.slots.push(Slot::after(&outputs.slots, constraint.to_string(), dims, false));
            outputs.sources.extend((0..rows * columns).map(|place| {
                if constraint.0.relation != Relation::Semidefinite {
                    return Source::Row(first + place, 1.0);
                }
                let (i, j) = (place / columns, place % columns);
                let scale = if i == j { 1.0 } else { std::f64::consts::FRAC_1_SQRT_2 };
                Source::Row(first + triangle(i.min(j), i.max(j)), scale)
            }));
        }
        Ok(Self { compiled: self.compiled.clone(), outputs: Arc::new(outputs) })
    }

    /// The program that is solved.
    pub fn program(&self) -> &ConicProgram {
        &self.compiled.program
    }

    /// The parameters, in order.
    pub fn parameters(&self) -> &[Slot] {
        &self.compiled.parameters
    }

    /// The outputs, in order: variables, then dual variables.
    pub fn outputs(&self) -> &[Slot] {
        &self.outputs.slots
    }

    /// The program's numbers for all parameters in a row (each row by row).
    ///
    /// # Errors
    /// [`Error::Shape`] for too many or too few; [`Error::Parameter`] naming the one that is not finite, or negative where
    /// it was declared not to be.
    pub fn data(&self, theta: &[f64]) -> Result<ModelData> {
        let compiled = &*self.compiled;
        let expected = compiled.parameters.last().map_or(0, |last| last.range.end);
        if theta.len() != expected {
            return Err(Error::shape("numbers of all parameters", expected, theta.len()));
        }
        for slot in &compiled.parameters {
            let within = &theta[slot.range.clone()];
            let odd = |value: &f64| !value.is_finite() || (slot.nonnegative && *value < 0.0);
            if let Some(at) = within.iter().position(odd) {
                let rule = if within[at].is_finite() { ">= 0" } else { "finite" };
                let found = format!("{} at entry {at}", within[at]);
                return Err(Error::Parameter {
                    name: slot.name.clone(),
                    expected: rule.into(),
                    found,
                });
            }
        }
        Ok(ModelData {
            quadratic: compiled.quadratic.apply(theta),
            linear: compiled.linear.apply(theta),
            constraints: compiled.constraints.apply(theta),
            right: compiled.right.apply(theta),
        })
    }

    /// All outputs of a solution in a row.
    pub fn read(&self, solution: &ConicSolution) -> Vec<f64> {
        let (x, z) = (solution.x(), solution.z());
        let entry = |source: &Source| match *source {
            Source::Column(column, scale) => scale * x[column],
            Source::Row(row, scale) => scale * z[row],
        };
        self.outputs.sources.iter().map(entry).collect()
    }

    /// From a gradient in all outputs, in a row, to one in all parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] for too many or too few, and those of [`ConicSolution::pullback`] or
    /// [`ConicSolution::pullback_perturbed`].
    pub fn pull(
        &self,
        solution: &ConicSolution,
        upstream: &[f64],
        derivative: Derivative,
    ) -> Result<Vec<f64>> {
        let (compiled, sources) = (&*self.compiled, &self.outputs.sources);
        if upstream.len() != sources.len() {
            return Err(Error::shape("upstream gradient", sources.len(), upstream.len()));
        }
        let mut x = vec![0.0; solution.x().len()];
        let mut z = vec![0.0; solution.z().len()];
        for (source, upstream) in sources.iter().zip(upstream) {
            match *source {
                Source::Column(column, scale) => x[column] += scale * upstream,
                Source::Row(row, scale) => z[row] += scale * upstream,
            }
        }
        let upstream = Upstream { x: Some(&x), z: Some(&z), ..Default::default() };
        let gradients = match derivative {
            Derivative::Exact => solution.pullback(upstream)?,
            Derivative::Perturbed { size } => solution.pullback_perturbed(upstream, size)?,
        };
        let mut theta = vec![0.0; compiled.parameters.last().map_or(0, |last| last.range.end)];
        compiled.quadratic.add_transposed(&gradients.quadratic, &mut theta);
        compiled.linear.add_transposed(&gradients.linear, &mut theta);
        compiled.constraints.add_transposed(&gradients.constraints, &mut theta);
        compiled.right.add_transposed(&gradients.right, &mut theta);
        Ok(theta)
    }

    /// Solves for parameters in the order of [`parameters`](Self::parameters), matrices row by row.
    ///
    /// # Errors
    /// [`Error::Shape`] unless each is there with as many numbers as it has; those of [`data`](Self::data) and
    /// [`ConicProgram::solve`]; [`Error::NoSolution`] for a problem that is infeasible, unbounded or not solved.
    pub fn solve(&self, parameters: &[&[f64]], options: &ConicOptions) -> Result<Answer> {
        let slots = self.parameters();
        if parameters.len() != slots.len() {
            return Err(Error::shape("parameters", names(slots), parameters.len()));
        }
        for (slot, given) in slots.iter().zip(parameters) {
            if given.len() != slot.range.len() {
                return Err(Error::Parameter {
                    name: slot.name.clone(),
                    expected: format!("{} numbers", slot.range.len()),
                    found: given.len().to_string(),
                });
            }
        }
        let theta = parameters.concat();
        let data = self.data(&theta)?;
        let solution = self.program().solve(data.values(), options)?.solution()?;
        let flat = self.read(&solution);
        let offset = self.compiled.offset.apply(&theta)[0];
        Ok(Answer { model: self.clone(), solution, flat, offset })
    }
}

/// The names, for a message.
fn names(slots: &[Slot]) -> Vec<&str> {
    slots.iter().map(|slot| slot.name.as_str()).collect()
}

/// A solved model.
///
/// # Example
/// See [`Problem`](super::Problem).
#[derive(Clone, Debug)]
pub struct Answer {
    model: Model,
    solution: ConicSolution,
    flat: Vec<f64>,
    offset: f64,
}

impl Answer {
    /// Output `k`, row by row: the variables as compiled, then the dual variables.
    ///
    /// # Panics
    /// If there are no so many, as indexing does.
    pub fn output(&self, k: usize) -> &[f64] {
        &self.flat[self.model.outputs()[k].range.clone()]
    }

    /// Variable `k` of those compiled, row by row.
    ///
    /// # Panics
    /// As [`output`](Self::output).
    pub fn variable(&self, k: usize) -> &[f64] {
        self.output(k)
    }

    /// Dual variable `k` of those asked for, row by row.
    ///
    /// # Panics
    /// As [`output`](Self::output).
    pub fn dual(&self, k: usize) -> &[f64] {
        let is_dual = |slot: &Slot| {
            let sources = &self.model.outputs.sources;
            matches!(sources.get(slot.range.start), Some(Source::Row(..)))
        };
        let variables = self.model.outputs().iter().take_while(|slot| !is_dual(slot)).count();
        self.output(variables + k)
    }

    /// The value of the objective, as it was written.
    pub fn objective(&self) -> f64 {
        let minimised = self.solution.verdict().objective + self.offset;
        if self.model.compiled.maximise { -minimised } else { minimised }
    }

    /// The answer of the program, with its verdict and diagnostics.
    pub fn solution(&self) -> &ConicSolution {
        &self.solution
    }

    /// From a gradient in each output to one in each parameter, row by row.
    ///
    /// # Errors
    /// As [`Model::pull`].
    pub fn pullback(&self, upstream: &[&[f64]], derivative: Derivative) -> Result<Vec<Vec<f64>>> {
        let theta = self.model.pull(&self.solution, &upstream.concat(), derivative)?;
        let of = |slot: &Slot| theta[slot.range.clone()].to_vec();
        Ok(self.model.parameters().iter().map(of).collect())
    }
}

/// The objective's share of a program.
struct Objective {
    quadratic: ThetaMap,
    linear: ThetaMap,
    offset: ThetaMap,
}

impl Objective {
    /// And the pattern of `P`.
    fn new(form: &Form, columns: usize) -> Result<(Self, Pattern)> {
        let squares = form.terms().iter().filter(|term| term.second > 0);
        let mut places: Vec<(usize, usize)> =
            squares.map(|term| (term.first - 1, term.second - 1)).collect();
        places.dedup();
        let (pattern, entries) = Pattern::from_places(columns, columns, &places)?;
        let mut quadratic = ThetaMap::zero(places.len());
        let (mut linear, mut offset) = (ThetaMap::zero(columns), ThetaMap::zero(1));
        let mut place = 0;
        for term in form.terms() {
            if term.second > 0 {
                // Terms come in the order of the places, those of one place together.
                let at = (term.first - 1, term.second - 1);
                place += usize::from(places[place] != at);
                let half = if at.0 == at.1 { 2.0 } else { 1.0 };
                quadratic.add(entries[place], term.parameter, half * term.value);
            } else if term.first > 0 {
                linear.add(term.first - 1, term.parameter, term.value);
            } else {
                offset.add(0, term.parameter, term.value);
            }
        }
        Ok((Self { quadratic, linear, offset }, pattern))
    }
}

/// The constraints' share of a program: rows `form` in their cones, that is `A = -(its columns)`, `b = the rest`.
struct Rows {
    pattern: Pattern,
    cones: Vec<Cone>,
    constraints: ThetaMap,
    right: ThetaMap,
    /// The first row of each block.
    starts: Vec<usize>,
}

impl Rows {
    fn new(blocks: Vec<Block>, columns: usize) -> Result<Self> {
        let (order, cones) = arranged(&blocks);
        let mut starts = vec![0; blocks.len()];
        let mut rows = 0;
        for &k in &order {
            starts[k] = rows;
            rows += blocks[k].rows();
        }
        let mut places: Vec<(usize, usize)> = Vec::new();
        let mut right = ThetaMap::zero(rows);
        let mut links = Vec::new();
        for (block, start) in order.iter().map(|&k| (&blocks[k], starts[k])) {
            for term in block.form.terms() {
                let row = start + term.row;
                let Some(column) = term.first.checked_sub(1) else {
                    right.add(row, term.parameter, term.value);
                    continue;
                };
                if places.last() != Some(&(row, column)) {
                    places.push((row, column));
                }
                links.push((places.len() - 1, term.parameter, -term.value));
            }
        }
        let (pattern, entries) = Pattern::from_places(rows, columns, &places)?;
        let mut constraints = ThetaMap::zero(places.len());
        for (place, parameter, value) in links {
            constraints.add(entries[place], parameter, value);
        }
        Ok(Self { pattern, cones, constraints, right, starts })
    }
}

/// Equalities first, then inequalities, then the rest in order; neighbours of the first two kinds are one cone.
fn arranged(blocks: &[Block]) -> (Vec<usize>, Vec<Cone>) {
    let rank = |k: &usize| match blocks[*k].cone {
        Cone::Zero(_) => 0,
        Cone::Nonnegative(_) => 1,
        _ => 2,
    };
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(rank);
    let rows_of = |wanted: usize| -> usize {
        order.iter().filter(|k| rank(k) == wanted).map(|&k| blocks[k].rows()).sum()
    };
    let mut cones = Vec::new();
    cones.extend(Some(rows_of(0)).filter(|rows| *rows > 0).map(Cone::Zero));
    cones.extend(Some(rows_of(1)).filter(|rows| *rows > 0).map(Cone::Nonnegative));
    for block in order.iter().filter(|k| rank(k) == 2).map(|&k| &blocks[k]) {
        cones.extend(std::iter::repeat_n(block.cone, block.count));
    }
    (order, cones)
}
