//! What a program is solved for, and what it is solved with.

use std::ops::Deref;
use std::sync::Arc;

use super::curvature::{Curvature, Sign};
use super::expression::{Expression, Kind, Node, Shape};

/// What is known of a matrix variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symmetry {
    None,
    Symmetric,
    Semidefinite,
}

#[derive(Clone, Debug)]
pub(super) struct VariableLeaf {
    pub(super) name: String,
    pub(super) symmetry: Symmetry,
}

#[derive(Clone, Debug)]
pub(super) struct ParameterLeaf {
    pub(super) name: String,
    /// Dimensions of its tensor.
    pub(super) dims: Vec<usize>,
}

/// What a program is solved for. Used like an [`Expression`], which it dereferences to; clones are the same variable.
///
/// # Example
/// ```
/// use gleaner::conic::model::Variable;
///
/// let x = Variable::vector("x", 3).nonnegative();
/// let total = x.sum() - 1.0;
/// assert_eq!(total.to_string(), "sum(x) - 1");
/// ```
#[derive(Clone)]
pub struct Variable {
    expression: Expression,
    dims: Vec<usize>,
}

impl Variable {
    /// A number.
    pub fn scalar(name: &str) -> Self {
        Self::new(name, (1, 1), vec![], Symmetry::None, Sign::UNKNOWN)
    }

    /// `n` numbers.
    pub fn vector(name: &str, n: usize) -> Self {
        Self::new(name, (n, 1), vec![n], Symmetry::None, Sign::UNKNOWN)
    }

    /// A matrix.
    pub fn matrix(name: &str, rows: usize, columns: usize) -> Self {
        Self::new(name, (rows, columns), vec![rows, columns], Symmetry::None, Sign::UNKNOWN)
    }

    /// A symmetric `n x n` matrix.
    pub fn symmetric(name: &str, n: usize) -> Self {
        Self::new(name, (n, n), vec![n, n], Symmetry::Symmetric, Sign::UNKNOWN)
    }

    /// A symmetric positive semidefinite `n x n` matrix.
    pub fn semidefinite(name: &str, n: usize) -> Self {
        Self::new(name, (n, n), vec![n, n], Symmetry::Semidefinite, Sign::UNKNOWN)
    }

    /// The same, no entry negative: a new variable.
    pub fn nonnegative(self) -> Self {
        let leaf = self.leaf().clone();
        Self::new(&leaf.name, self.shape(), self.dims, leaf.symmetry, Sign::NONNEGATIVE)
    }

    fn new(name: &str, shape: Shape, dims: Vec<usize>, symmetry: Symmetry, sign: Sign) -> Self {
        let kind = Kind::Variable(VariableLeaf { name: name.into(), symmetry });
        Self { expression: Expression::new(shape, kind, Curvature::Affine, sign, None), dims }
    }

    pub(super) fn leaf(&self) -> &VariableLeaf {
        match &self.expression.0.kind {
            Kind::Variable(leaf) => leaf,
            _ => unreachable!("`new` is the only constructor"),
        }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.leaf().name
    }

    /// The dimensions of its tensor: none, `[n]` or `[rows, columns]`.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.expression.0
    }
}

/// What a program is solved with: numbers that come with each solve, and that gradients flow to. Used like an
/// [`Expression`], which it dereferences to; clones are the same parameter.
///
/// # Example
/// ```
/// use gleaner::conic::model::{Parameter, Variable, norm1};
///
/// let weight = Parameter::scalar("weight").nonnegative(); // its sign decides whether this is convex
/// let penalty = &weight * norm1(Variable::vector("x", 3));
/// assert!(penalty.curvature().is_convex());
/// ```
#[derive(Clone)]
pub struct Parameter {
    expression: Expression,
}

impl Parameter {
    /// A number.
    pub fn scalar(name: &str) -> Self {
        Self::new(name, (1, 1), vec![], Sign::UNKNOWN)
    }

    /// `n` numbers.
    pub fn vector(name: &str, n: usize) -> Self {
        Self::new(name, (n, 1), vec![n], Sign::UNKNOWN)
    }

    /// A matrix, row by row.
    pub fn matrix(name: &str, rows: usize, columns: usize) -> Self {
        Self::new(name, (rows, columns), vec![rows, columns], Sign::UNKNOWN)
    }

    /// The same, no entry negative: a new parameter. A solve with a negative entry is refused.
    pub fn nonnegative(self) -> Self {
        let leaf = self.leaf().clone();
        Self::new(&leaf.name, self.shape(), leaf.dims, Sign::NONNEGATIVE)
    }

    fn new(name: &str, shape: Shape, dims: Vec<usize>, sign: Sign) -> Self {
        let kind = Kind::Parameter(ParameterLeaf { name: name.into(), dims });
        Self { expression: Expression::new(shape, kind, Curvature::Affine, sign, None) }
    }

    pub(super) fn leaf(&self) -> &ParameterLeaf {
        match &self.expression.0.kind {
            Kind::Parameter(leaf) => leaf,
            _ => unreachable!("`new` is the only constructor"),
        }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.leaf().name
    }

    /// The dimensions of its tensor: none, `[n]` or `[rows, columns]`.
    pub fn dims(&self) -> &[usize] {
        &self.leaf().dims
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.expression.0
    }
}

macro_rules! an_expression {
    ($($leaf:ty),*) => {$(
        impl Deref for $leaf {
            type Target = Expression;

            fn deref(&self) -> &Expression {
                &self.expression
            }
        }

        impl From<&$leaf> for Expression {
            fn from(leaf: &$leaf) -> Self {
                leaf.expression.clone()
            }
        }

        impl From<$leaf> for Expression {
            fn from(leaf: $leaf) -> Self {
                leaf.expression
            }
        }

        impl std::fmt::Debug for $leaf {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.expression.fmt(f)
            }
        }
    )*};
}

an_expression!(Variable, Parameter);
