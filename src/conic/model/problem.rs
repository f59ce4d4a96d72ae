//! An objective and constraints; compiled, a model.

use std::sync::Arc;

use super::canonical::Canonical;
use super::compiled::Model;
use super::constraint::Constraint;
use super::expression::{Expression, Kind, Node};
use super::leaf::{Parameter, Variable};
use super::refusal::{Fault, Refusal};
use crate::error::{Error, Result};

/// A convex problem: what is minimised or maximised, subject to what.
///
/// # Example
/// Markowitz' portfolio: how much of each asset to hold, and how that answers to the forecasts.
/// ```
/// use gleaner::conic::model::{Derivative, Parameter, Problem, Variable, norm1, sum_squares};
///
/// let hold = Variable::vector("hold", 3);
/// let forecast = Parameter::vector("forecast", 3);
/// let factors = Parameter::matrix("factors", 2, 3);
/// let risk = sum_squares(&factors * &hold) + 0.1 * sum_squares(&hold);
/// let costs = 0.01 * norm1(&hold - [0.3, 0.3, 0.4]);
/// let problem = Problem::maximise(forecast.dot(&hold) - risk - costs)
///     .subject_to([hold.sum().equals(1.0), hold.ge(0.0)]);
/// let model = problem.compile(&[&forecast, &factors], &[&hold])?;
///
/// let factors = [0.3, 0.2, 0.1, -0.1, 0.4, 0.2];
/// let answer = model.solve(&[&[0.10, 0.12, 0.07], &factors], &Default::default())?;
/// assert!((answer.variable(0).iter().sum::<f64>() - 1.0).abs() < 1e-8);
/// let gradients = answer.pullback(&[&[1.0, 0.0, 0.0]], Derivative::Exact)?;
/// assert!(gradients[0][0] > 0.0); // a better forecast, more of the asset
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Problem {
    /// To be minimised.
    objective: Expression,
    maximise: bool,
    constraints: Vec<Constraint>,
}

impl Problem {
    /// Minimise a convex scalar.
    pub fn minimise(objective: impl Into<Expression>) -> Self {
        Self { objective: objective.into(), maximise: false, constraints: Vec::new() }
    }

    /// Maximise a concave scalar.
    pub fn maximise(objective: impl Into<Expression>) -> Self {
        let objective = objective.into().negative();
        Self { objective, maximise: true, constraints: Vec::new() }
    }

    /// The same with more constraints.
    #[must_use]
    pub fn subject_to(mut self, constraints: impl IntoIterator<Item = Constraint>) -> Self {
        self.constraints.extend(constraints);
        self
    }

    /// Takes the problem apart, once: into a [`ConicProgram`](crate::conic::ConicProgram), and sparse maps from the
    /// parameters to its values and from its answer to the variables. A solve gives the parameters in this order, and
    /// answers with the variables in this order.
    ///
    /// # Cost
    /// A term for every number that multiplies something, and a sort of these.
    ///
    /// # Errors
    /// [`Error::NotDcp`] for what is not convex by the rules of curvature, [`Error::NotDpp`] for parameters where they
    /// may not be, [`Error::Expression`] for shapes that do not fit or indices out of range: each with the expression.
    /// [`Error::Parameter`] for a parameter that the problem uses and the list lacks, that the list has and the problem
    /// does not use, or that is there twice; [`Error::Unknown`] for a variable that is not in the problem.
    pub fn compile(&self, parameters: &[&Parameter], variables: &[&Variable]) -> Result<Model> {
        self.check_objective()?;
        self.check_parameters(parameters)?;
        let mut first = 0;
        let starts = parameters.iter().map(|parameter| {
            first += parameter.len();
            (Arc::as_ptr(parameter.node()), first - parameter.len())
        });
        let mut canonical = Canonical::new(starts);
        let objective = canonical.form(&self.objective, true)?;
        let blocks = self.constraints.iter().map(|constraint| canonical.constraint(constraint));
        let blocks = blocks.collect::<Result<Vec<_>>>()?;
        let unused = parameters.iter().find(|p| !canonical.is_used(Arc::as_ptr(p.node())));
        if let Some(unused) = unused {
            return refuse(unused.name(), "a parameter of the problem", "one it does not use");
        }
        for variable in variables {
            if canonical.variable(Arc::as_ptr(variable.node())).is_none() {
                let names: Vec<String> =
                    leaves(&self.roots(), true).iter().map(|node| name_of(node)).collect();
                let found = variable.name().to_string();
                let what = "variable of the problem";
                return Err(Error::Unknown { what, expected: names.join(", "), found });
            }
        }
        let constraints = self.constraints.iter().cloned().zip(blocks).collect();
        Model::assemble(canonical, &objective, self.maximise, parameters, variables, constraints)
    }

    fn check_objective(&self) -> Result<()> {
        if let Some(refusal) = &self.objective.0.refusal {
            return Err(refusal.error());
        }
        let fault = if !self.objective.is_scalar() {
            Fault::misfit("an objective is a scalar", self.objective.printed_shape())
        } else if !self.objective.curvature().is_convex() {
            Fault::Dcp("what is minimised is convex, what is maximised is concave")
        } else {
            return Ok(());
        };
        let objective =
            if self.maximise { self.objective.negative() } else { self.objective.clone() };
        Err(Refusal::new(fault, &objective.0).error())
    }

    fn check_parameters(&self, given: &[&Parameter]) -> Result<()> {
        for (k, parameter) in given.iter().enumerate() {
            if given[..k].iter().any(|before| before.name() == parameter.name()) {
                return refuse(parameter.name(), "a parameter once", "one given twice");
            }
        }
        let used = leaves(&self.roots(), false);
        for node in used {
            if !given.iter().any(|given| std::ptr::eq(&**given.node(), node)) {
                return refuse(&name_of(node), "every parameter of the problem", "one not given");
            }
        }
        Ok(())
    }

    fn roots(&self) -> Vec<&Expression> {
        let constraints = self.constraints.iter().map(|constraint| &constraint.0.expression);
        std::iter::once(&self.objective).chain(constraints).collect()
    }
}

fn refuse<T>(name: &str, expected: &str, found: &str) -> Result<T> {
    Err(Error::Parameter { name: name.into(), expected: expected.into(), found: found.into() })
}

fn name_of(node: &Node) -> String {
    match &node.kind {
        Kind::Variable(leaf) => leaf.name.clone(),
        Kind::Parameter(leaf) => leaf.name.clone(),
        _ => String::new(),
    }
}

/// The variables below, or else the parameters; each once, in order of appearance.
fn leaves<'a>(roots: &[&'a Expression], variables: bool) -> Vec<&'a Node> {
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::new();
    let mut open: Vec<&Expression> = roots.iter().rev().copied().collect();
    while let Some(expression) = open.pop() {
        if !seen.insert(Arc::as_ptr(&expression.0)) {
            continue;
        }
        match (&expression.0.kind, variables) {
            (Kind::Variable(_), true) | (Kind::Parameter(_), false) => found.push(&*expression.0),
            (kind, _) => open.extend(kind.children().rev()),
        }
    }
    found
}
