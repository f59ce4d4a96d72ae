//! From expressions to the rows of a program: affine parts here, atoms in `graph`.

use std::collections::HashMap;
use std::sync::Arc;

use super::constraint::{Constraint, Relation};
use super::curvature::Sign;
use super::expression::{Axis, Expression, Kind, Move, Node};
use super::form::{Form, Term};
use super::leaf::{Symmetry, VariableLeaf};
use crate::conic::cone::Cone;
use crate::error::Result;

/// Rows that lie in cones: `rows in cone`, `count` times over.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) cone: Cone,
    pub(super) count: usize,
    pub(super) form: Form,
}

impl Block {
    pub(super) fn rows(&self) -> usize {
        self.cone.rows() * self.count
    }
}

/// What is built up while expressions are taken apart.
pub(super) struct Canonical {
    /// Columns used so far.
    pub(super) columns: usize,
    pub(super) blocks: Vec<Block>,
    /// The first entry of each parameter, and whether it is used.
    parameters: HashMap<*const Node, (usize, bool)>,
    /// The columns of each variable, entry by entry.
    variables: HashMap<*const Node, Arc<Form>>,
    /// Shared parts are taken apart once. Expressions outlive this, so an address is a name.
    done: HashMap<(*const Node, bool), Arc<Form>>,
}

impl Canonical {
    /// `parameters`: each with its first entry.
    pub(super) fn new(parameters: impl Iterator<Item = (*const Node, usize)>) -> Self {
        Self {
            columns: 0,
            blocks: Vec::new(),
            parameters: parameters.map(|(node, first)| (node, (first, false))).collect(),
            variables: HashMap::new(),
            done: HashMap::new(),
        }
    }

    pub(super) fn is_used(&self, parameter: *const Node) -> bool {
        self.parameters.get(&parameter).is_some_and(|(_, used)| *used)
    }

    pub(super) fn variable(&self, variable: *const Node) -> Option<&Form> {
        self.variables.get(&variable).map(|form| &**form)
    }

    pub(super) fn fresh(&mut self, count: usize) -> Form {
        let first = self.columns;
        self.columns += count;
        Form::columns(first..self.columns)
    }

    /// Asks for `form` in the cone, repeated; tells the number of the block.
    pub(super) fn require(&mut self, cone: Cone, count: usize, form: Form) -> usize {
        self.blocks.push(Block { cone, count, form });
        self.blocks.len() - 1
    }

    pub(super) fn nonnegative(&mut self, rows: usize, form: Form) -> usize {
        self.require(Cone::Nonnegative(rows), 1, form)
    }

    /// The constraint's block.
    pub(super) fn constraint(&mut self, constraint: &Constraint) -> Result<usize> {
        let expression = &constraint.0.expression;
        let form = self.form(expression, false)?;
        let rows = expression.len();
        Ok(match constraint.0.relation {
            Relation::AtMostZero => self.nonnegative(rows, form.scaled(-1.0)),
            Relation::Zero => self.require(Cone::Zero(rows), 1, form.scaled(-1.0)),
            Relation::In(cone) => self.require(cone, 1, (*form).clone()),
            Relation::Semidefinite => {
                let n = expression.shape().0;
                self.require(Cone::Semidefinite(n), 1, packed(&form, n))
            }
        })
    }

    /// The entries of an expression; with `quadratic`, squares may stay squares.
    pub(super) fn form(&mut self, expression: &Expression, quadratic: bool) -> Result<Arc<Form>> {
        let key = (Arc::as_ptr(&expression.0), quadratic);
        if let Some(done) = self.done.get(&key) {
            return Ok(done.clone());
        }
        if let Some(refusal) = &expression.0.refusal {
            return Err(refusal.error());
        }
        let form = self.taken_apart(expression, quadratic)?;
        self.done.insert(key, form.clone());
        Ok(form)
    }

    fn taken_apart(&mut self, expression: &Expression, quadratic: bool) -> Result<Arc<Form>> {
        let shape = expression.shape();
        let form = match &expression.0.kind {
            Kind::Constant(entries) => {
                Form::new(entries.iter().map(|&(row, value)| Term::constant(row, value)).collect())
            }
            Kind::Variable(leaf) => return Ok(self.variable_form(expression, leaf)),
            Kind::Parameter(_) => self.parameter_form(expression),
            Kind::Sum(parts) => self.sum(parts, expression.len(), quadratic)?,
            Kind::Negative(of) => self.form(of, quadratic)?.scaled(-1.0),
            Kind::Product(a, b) => {
                let (left, right) = (self.form(a, quadratic)?, self.form(b, quadratic)?);
                match (a.is_scalar(), b.is_scalar()) {
                    (true, _) => right.times_scalar(&left),
                    (_, true) => left.times_scalar(&right),
                    _ => left.product(&right, a.shape().1, shape.1),
                }
            }
            Kind::Times(a, b) => {
                let (left, right) = (self.form(a, quadratic)?, self.form(b, quadratic)?);
                match (a.is_scalar(), b.is_scalar()) {
                    (true, _) => right.times_scalar(&left),
                    (_, true) => left.times_scalar(&right),
                    _ => left.times(&right),
                }
            }
            Kind::Moved(by, of) => moved(by, &*self.form(of, quadratic)?, of.shape()),
            Kind::Stacked(parts, axis) => {
                let forms = parts.iter().map(|part| self.form(part, quadratic));
                let forms = forms.collect::<Result<Vec<_>>>()?;
                stacked(&forms, parts, *axis, shape.1)
            }
            Kind::Atom(atom, arguments) => self.atom(expression, atom, arguments, quadratic)?,
        };
        Ok(Arc::new(form))
    }

    fn sum(&mut self, parts: &[Expression], rows: usize, quadratic: bool) -> Result<Form> {
        let mut terms = Vec::new();
        for part in parts {
            let form = self.form(part, quadratic)?;
            if part.is_scalar() && rows > 1 {
                terms.extend_from_slice(form.spread(rows).terms());
            } else {
                terms.extend_from_slice(form.terms());
            }
        }
        Ok(Form::new(terms))
    }

    fn parameter_form(&mut self, expression: &Expression) -> Form {
        // `Problem::compile` has seen to it that every parameter of the problem is here.
        let (first, used) = self.parameters.entry(Arc::as_ptr(&expression.0)).or_insert((0, false));
        *used = true;
        let term = |row| Term { parameter: *first + row + 1, ..Term::constant(row, 1.0) };
        Form::new((0..expression.len()).map(term).collect())
    }

    fn variable_form(&mut self, expression: &Expression, leaf: &VariableLeaf) -> Arc<Form> {
        let key = Arc::as_ptr(&expression.0);
        if let Some(form) = self.variables.get(&key) {
            return form.clone();
        }
        let n = expression.shape().0;
        let form = if leaf.symmetry == Symmetry::None {
            self.fresh(expression.len())
        } else {
            let first = self.columns;
            self.columns += n * (n + 1) / 2;
            Form::columns((0..n * n).map(|place| {
                let (i, j) = (place / n, place % n);
                first + triangle(i.min(j), i.max(j))
            }))
        };
        if expression.sign() == Sign::NONNEGATIVE {
            self.nonnegative(expression.len(), form.clone());
        }
        if leaf.symmetry == Symmetry::Semidefinite {
            self.require(Cone::Semidefinite(n), 1, packed(&form, n));
        }
        let form = Arc::new(form);
        self.variables.insert(key, form.clone());
        form
    }

    /// The columns of a vector, one an entry: those it has if it is one of variables, else new ones that are equal to it.
    pub(super) fn plain(&mut self, form: &Form, rows: usize) -> Vec<usize> {
        let is_plain = |(row, term): (usize, &Term)| {
            *term == Term { first: term.first, ..Term::column(row, 0) }
        };
        let terms = form.terms();
        if terms.len() == rows && terms.iter().enumerate().all(is_plain) {
            return terms.iter().map(|term| term.first - 1).collect();
        }
        let first = self.columns;
        let new = self.fresh(rows);
        self.require(Cone::Zero(rows), 1, form.minus(&new));
        (first..first + rows).collect()
    }
}

/// Place of `(i, j)`, `i <= j`, in the upper triangle, column by column.
pub(super) fn triangle(i: usize, j: usize) -> usize {
    j * (j + 1) / 2 + i
}

/// The symmetric part of an `n x n` matrix as the rows of a semidefinite cone.
pub(super) fn packed(form: &Form, n: usize) -> Form {
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let terms = form.terms().iter().map(|term| {
        let (i, j) = (term.row / n, term.row % n);
        let scale = if i == j { 1.0 } else { half };
        Term { row: triangle(i.min(j), i.max(j)), value: scale * term.value, ..*term }
    });
    Form::new(terms.collect())
}

fn moved(by: &Move, form: &Form, (rows, columns): (usize, usize)) -> Form {
    let on_diagonal = |place: usize| place / columns == place % columns;
    match by {
        Move::Sum => form.total(),
        Move::RowSums => form.moved(|place| Some(place / columns)),
        Move::ColumnSums => form.moved(|place| Some(place % columns)),
        Move::Transpose => form.moved(|place| Some(place % columns * rows + place / columns)),
        Move::Reshape => form.clone(),
        Move::Trace => form.moved(|place| on_diagonal(place).then_some(0)),
        Move::Diagonal => form.moved(|place| on_diagonal(place).then_some(place / columns)),
        Move::ToDiagonal => form.moved(|place| Some(place * rows + place)),
        Move::Block(some, across) => {
            let mut terms = Vec::new();
            for (to, row) in some.clone().enumerate() {
                for term in form.rows(row * columns + across.start..row * columns + across.end) {
                    let row = to * across.len() + term.row % columns - across.start;
                    terms.push(Term { row, ..*term });
                }
            }
            Form::new(terms)
        }
        Move::Pick(entries) => {
            let row = |(row, &entry): (usize, &usize)| {
                form.rows(entry..entry + 1).iter().map(move |term| Term { row, ..*term })
            };
            Form::new(entries.iter().enumerate().flat_map(row).collect())
        }
    }
}

fn stacked(forms: &[Arc<Form>], parts: &[Expression], axis: Axis, columns: usize) -> Form {
    let (mut terms, mut from) = (Vec::new(), 0);
    for (form, part) in forms.iter().zip(parts) {
        let width = part.shape().1;
        let row = |place: usize| match axis {
            Axis::Rows => from + place,
            Axis::Columns => place / width * columns + from + place % width,
        };
        terms.extend(form.terms().iter().map(|term| Term { row: row(term.row), ..*term }));
        from += if axis == Axis::Rows { part.len() } else { width };
    }
    Form::new(terms)
}
