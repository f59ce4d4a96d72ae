//! Expressions: shared trees of variables, parameters, constants and atoms, with shape, curvature and sign.

use std::ops::Range;
use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use super::atom::Atom;
use super::curvature::{Curvature, Sign};
use super::leaf::{ParameterLeaf, VariableLeaf};
use super::refusal::{Fault, Refusal};

/// Rows and columns; a scalar is `(1, 1)`, a vector one column.
pub(super) type Shape = (usize, usize);

/// A scalar, vector or matrix that depends on variables and parameters.
///
/// Made from [`Variable`](super::Variable)s, [`Parameter`](super::Parameter)s and numbers by `+ - * /`, by the methods here,
/// and by the functions of the [module](super). `*` is the product of matrices, or with a scalar; entry by entry it is
/// [`times`](Self::times). A scalar is added to every entry. Clones share.
///
/// An operator cannot return an error: what is wrong with an expression (shapes that do not fit, a product of two
/// variables, ..) is remembered by it and all that contains it, and reported by
/// [`Problem::compile`](super::Problem::compile).
///
/// # Example
/// ```
/// use gleaner::conic::model::{Curvature, Parameter, Variable, norm2};
///
/// let x = Variable::vector("x", 3);
/// let a = Parameter::matrix("a", 2, 3);
/// let residual = norm2(&a * &x - [1.0, 2.0]) + 3.0 * x.sum();
/// assert_eq!(residual.to_string(), "norm2(a * x - [1, 2]) + 3 * sum(x)");
/// assert_eq!((residual.shape(), residual.curvature()), ((1, 1), Curvature::Convex));
/// ```
#[derive(Clone)]
pub struct Expression(pub(super) Arc<Node>);

pub(super) struct Node {
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    pub(super) curvature: Curvature,
    pub(super) sign: Sign,
    /// Whether its entries depend on columns of the program, and on parameters other than through these.
    pub(super) variables: bool,
    pub(super) parameters: bool,
    pub(super) refusal: Option<Arc<Refusal>>,
}

/// Entries are numbered by rows, as in tensors.
pub(super) enum Kind {
    /// The entries that are not zero, by place.
    Constant(Vec<(usize, f64)>),
    Variable(VariableLeaf),
    Parameter(ParameterLeaf),
    Sum(Vec<Expression>),
    Negative(Expression),
    Product(Expression, Expression),
    Times(Expression, Expression),
    Moved(Move, Expression),
    /// One above the other, or side by side.
    Stacked(Vec<Expression>, Axis),
    Atom(Atom, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Rows,
    Columns,
}

/// Where entries go; those that meet are added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Sum,
    RowSums,
    ColumnSums,
    Transpose,
    Reshape,
    Trace,
    Diagonal,
    ToDiagonal,
    /// A block of rows and columns.
    Block(Range<usize>, Range<usize>),
    /// These entries, in this order.
    Pick(Vec<usize>),
}

impl Kind {
    pub(super) fn children(&self) -> impl DoubleEndedIterator<Item = &Expression> {
        let (some, one): (&[Expression], Option<&Expression>) = match self {
            Self::Constant(_) | Self::Variable(_) | Self::Parameter(_) => (&[], None),
            Self::Negative(of) | Self::Moved(_, of) => (std::slice::from_ref(of), None),
            Self::Sum(parts) | Self::Stacked(parts, _) | Self::Atom(_, parts) => (parts, None),
            Self::Product(a, b) | Self::Times(a, b) => (std::slice::from_ref(a), Some(b)),
        };
        some.iter().chain(one)
    }
}

impl Expression {
    /// A node over its children; the first thing wrong in them, or else with it, is remembered.
    pub(super) fn new(
        shape: Shape,
        kind: Kind,
        curvature: Curvature,
        sign: Sign,
        fault: Option<Fault>,
    ) -> Self {
        let children = || kind.children();
        // What an atom stands for is columns of the program: parameters under it do not show.
        let (is_leaf, hides) = match &kind {
            Kind::Atom(atom, _) => ((true, false), atom.hides_parameters()),
            kind => {
                ((matches!(kind, Kind::Variable(_)), matches!(kind, Kind::Parameter(_))), false)
            }
        };
        let variables = is_leaf.0 || children().any(|child| child.0.variables);
        let parameters = is_leaf.1 || (!hides && children().any(|child| child.0.parameters));
        let refusal = children().find_map(|child| child.0.refusal.clone());
        let mut node = Node { shape, kind, curvature, sign, variables, parameters, refusal };
        if let (None, Some(fault)) = (&node.refusal, fault) {
            node.refusal = Some(Arc::new(Refusal::new(fault, &node)));
        }
        Self(Arc::new(node))
    }

    fn moved(&self, by: Move, shape: Shape, fault: Option<Fault>) -> Self {
        let (curvature, sign) = (self.0.curvature, self.0.sign);
        Self::new(shape, Kind::Moved(by, self.clone()), curvature, sign, fault)
    }

    pub(super) fn constant(shape: Shape, entries: Vec<(usize, f64)>) -> Self {
        let sign = Sign::of(entries.iter().map(|(_, value)| *value));
        let bad = entries.iter().find(|(_, value)| !value.is_finite());
        let fault = bad.map(|(at, value)| {
            Fault::misfit("constants are finite", format!("{value} at entry {at}"))
        });
        Self::new(shape, Kind::Constant(entries), Curvature::Constant, sign, fault)
    }

    fn dense(shape: Shape, by_rows: impl Iterator<Item = f64>) -> Self {
        Self::constant(shape, by_rows.enumerate().filter(|(_, value)| *value != 0.0).collect())
    }

    /// A constant with few entries `(row, column, value)`, zero elsewhere; those of one place are added up.
    pub fn sparse(rows: usize, columns: usize, entries: &[(usize, usize, f64)]) -> Self {
        let mut placed: Vec<(usize, f64)> =
            entries.iter().map(|&(i, j, value)| (i * columns + j, value)).collect();
        placed.sort_by_key(|(place, _)| *place);
        placed.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0.0 };
            same
        });
        let outside = entries.iter().find(|(i, j, _)| *i >= rows || *j >= columns);
        let constant = Self::constant((rows, columns), placed);
        match outside {
            Some((i, j, _)) => {
                let found = format!("({i}, {j}) of {rows} x {columns}");
                let fault = Fault::misfit("entries lie within the matrix", found);
                constant.moved(Move::Reshape, (rows, columns), Some(fault))
            }
            None => constant,
        }
    }

    /// Rows and columns; a vector has one column.
    pub fn shape(&self) -> (usize, usize) {
        self.0.shape
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.shape.0 * self.0.shape.1
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it bends.
    pub fn curvature(&self) -> Curvature {
        self.0.curvature
    }

    /// Which sign its entries have.
    pub fn sign(&self) -> Sign {
        self.0.sign
    }

    pub(super) fn is_scalar(&self) -> bool {
        self.0.shape == (1, 1)
    }

    /// The sum of all entries.
    pub fn sum(&self) -> Self {
        self.moved(Move::Sum, (1, 1), None)
    }

    /// The sum of each row: a vector.
    pub fn row_sums(&self) -> Self {
        self.moved(Move::RowSums, (self.0.shape.0, 1), None)
    }

    /// The sum of each column: a matrix of one row.
    pub fn column_sums(&self) -> Self {
        self.moved(Move::ColumnSums, (1, self.0.shape.1), None)
    }

    /// Transposed.
    pub fn t(&self) -> Self {
        self.moved(Move::Transpose, (self.0.shape.1, self.0.shape.0), None)
    }

    /// The same entries, row by row, in another shape.
    pub fn reshape(&self, rows: usize, columns: usize) -> Self {
        let fault = (rows * columns != self.len()).then(|| {
            Fault::misfit("a new shape has as many entries", format!("{rows} x {columns}"))
        });
        self.moved(Move::Reshape, (rows, columns), fault)
    }

    /// The sum of the diagonal of a square matrix.
    pub fn trace(&self) -> Self {
        self.moved(Move::Trace, (1, 1), self.not_square())
    }

    /// The diagonal of a square matrix, a vector.
    pub fn diagonal(&self) -> Self {
        self.moved(Move::Diagonal, (self.0.shape.0, 1), self.not_square())
    }

    /// The diagonal matrix of a vector.
    pub fn to_diagonal(&self) -> Self {
        let n = self.len();
        let fault = (self.0.shape.1 != 1)
            .then(|| Fault::misfit("a diagonal is a vector", self.printed_shape()));
        self.moved(Move::ToDiagonal, (n, n), fault)
    }

    /// Entry `i`, counted row by row: of a vector, its `i`-th.
    pub fn at(&self, i: usize) -> Self {
        self.pick([i])
    }

    /// The entry in row `i` and column `j`.
    pub fn entry(&self, i: usize, j: usize) -> Self {
        self.block(i..i + 1, j..j + 1)
    }

    /// A vector of these entries, counted row by row, in this order.
    pub fn pick(&self, entries: impl IntoIterator<Item = usize>) -> Self {
        let entries: Vec<usize> = entries.into_iter().collect();
        let beyond = entries.iter().find(|entry| **entry >= self.len());
        let fault = beyond.map(|entry| {
            let found = format!("{entry} of {} entries", self.len());
            Fault::misfit("an index is below the number of entries", found)
        });
        let shape = (entries.len(), 1);
        self.moved(Move::Pick(entries), shape, fault)
    }

    /// Row `i`: a matrix of one row.
    pub fn row(&self, i: usize) -> Self {
        self.block(i..i + 1, 0..self.0.shape.1)
    }

    /// Column `j`: a vector.
    pub fn column(&self, j: usize) -> Self {
        self.block(0..self.0.shape.0, j..j + 1)
    }

    /// These rows; of a vector, these entries.
    pub fn rows(&self, range: Range<usize>) -> Self {
        self.block(range, 0..self.0.shape.1)
    }

    /// These columns.
    pub fn columns(&self, range: Range<usize>) -> Self {
        self.block(0..self.0.shape.0, range)
    }

    /// A block of rows and columns.
    pub fn block(&self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let shape = (rows.len(), columns.len());
        let inside = rows.end <= self.0.shape.0 && columns.end <= self.0.shape.1;
        let fault = (!inside).then(|| {
            let found = format!("rows {rows:?}, columns {columns:?} of {}", self.printed_shape());
            Fault::misfit("a block lies within the matrix", found)
        });
        self.moved(Move::Block(rows, columns), shape, fault)
    }

    /// The inner product: the sum of the products entry by entry, one factor without variables.
    pub fn dot(&self, other: impl Into<Expression>) -> Self {
        let other = other.into();
        if self.0.shape == other.0.shape && self.0.shape.1 == 1 {
            return self.t().product(&other);
        }
        self.times(other).sum()
    }

    pub(super) fn printed_shape(&self) -> String {
        let (rows, columns) = self.0.shape;
        format!("{rows} x {columns}")
    }

    pub(super) fn not_square(&self) -> Option<Fault> {
        let (rows, columns) = self.0.shape;
        (rows != columns).then(|| Fault::misfit("a square matrix", self.printed_shape()))
    }
}

/// One above the other; all have as many columns.
///
/// # Example
/// ```
/// use gleaner::conic::model::{Variable, vstack};
///
/// let (x, y) = (Variable::vector("x", 2), Variable::vector("y", 3));
/// assert_eq!(vstack([&x, &y]).shape(), (5, 1));
/// ```
pub fn vstack<E: Into<Expression>>(parts: impl IntoIterator<Item = E>) -> Expression {
    stacked(parts.into_iter().map(Into::into).collect(), Axis::Rows)
}

/// Side by side; all have as many rows.
pub fn hstack<E: Into<Expression>>(parts: impl IntoIterator<Item = E>) -> Expression {
    stacked(parts.into_iter().map(Into::into).collect(), Axis::Columns)
}

fn stacked(parts: Vec<Expression>, axis: Axis) -> Expression {
    let along = |shape: Shape| if axis == Axis::Rows { shape } else { (shape.1, shape.0) };
    let across = parts.first().map_or(0, |part| along(part.0.shape).1);
    let length = parts.iter().map(|part| along(part.0.shape).0).sum();
    let odd = parts.iter().find(|part| along(part.0.shape).1 != across);
    let rule = match axis {
        Axis::Rows => "what is stacked has as many columns",
        Axis::Columns => "what is stacked has as many rows",
    };
    let fault = match odd {
        Some(odd) => Some(Fault::misfit(rule, odd.printed_shape())),
        None if length * across == 0 => Some(Fault::misfit("something to stack", "nothing".into())),
        None => None,
    };
    let curvature = parts.iter().fold(Curvature::Constant, |c, part| c.plus(part.0.curvature));
    let fault = fault.or_else(|| {
        let rule = "convex and concave parts are kept apart";
        (curvature == Curvature::Unknown).then_some(Fault::Dcp(rule))
    });
    let zero = Sign { nonnegative: true, nonpositive: true };
    let sign = parts.iter().fold(zero, |sign, part| sign.and(part.0.sign));
    let shape = along((length, across));
    Expression::new(shape, Kind::Stacked(parts, axis), curvature, sign, fault)
}

impl From<&Expression> for Expression {
    fn from(expression: &Expression) -> Self {
        expression.clone()
    }
}

impl From<f64> for Expression {
    fn from(value: f64) -> Self {
        Self::dense((1, 1), std::iter::once(value))
    }
}

impl From<&[f64]> for Expression {
    /// A vector.
    fn from(values: &[f64]) -> Self {
        Self::dense((values.len(), 1), values.iter().copied())
    }
}

impl From<Vec<f64>> for Expression {
    fn from(values: Vec<f64>) -> Self {
        values.as_slice().into()
    }
}

impl From<&Vec<f64>> for Expression {
    fn from(values: &Vec<f64>) -> Self {
        values.as_slice().into()
    }
}

impl<const N: usize> From<[f64; N]> for Expression {
    fn from(values: [f64; N]) -> Self {
        values.as_slice().into()
    }
}

impl From<&DVector<f64>> for Expression {
    fn from(values: &DVector<f64>) -> Self {
        values.as_slice().into()
    }
}

impl From<DVector<f64>> for Expression {
    fn from(values: DVector<f64>) -> Self {
        values.as_slice().into()
    }
}

impl From<&DMatrix<f64>> for Expression {
    fn from(matrix: &DMatrix<f64>) -> Self {
        // Column by column of the transposed matrix is row by row.
        Self::dense(matrix.shape(), matrix.transpose().iter().copied())
    }
}

impl From<DMatrix<f64>> for Expression {
    fn from(matrix: DMatrix<f64>) -> Self {
        (&matrix).into()
    }
}
