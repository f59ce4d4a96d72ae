//! What a solution must satisfy.

use std::fmt;
use std::sync::Arc;

use super::curvature::Curvature;
use super::expression::{Expression, Kind, vstack};
use super::refusal::Fault;
use crate::conic::cone::Cone;

/// What an expression of a constraint must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Relation {
    /// `expression <= 0`.
    AtMostZero,
    /// `expression = 0`.
    Zero,
    /// Its entries, in order, in a cone of so many rows.
    In(Cone),
    /// Positive semidefinite, its symmetric part.
    Semidefinite,
}

/// A condition on the variables, made by [`Expression::le`], [`ge`](Expression::ge), [`equals`](Expression::equals),
/// [`is_semidefinite`](Expression::is_semidefinite), [`in_second_order`], [`in_exponential`] and [`in_power`].
///
/// Clones are the same constraint: keep one to ask for its dual variable, see
/// [`Model::with_duals`](super::Model::with_duals).
///
/// # Dual variables
/// ```text
/// f <= g, f = g    z with  objective + z'(f - g)  stationary; z >= 0 for an inequality
/// f >= g           the same with g - f
/// x in a cone      z in the dual cone with  objective - z'x
/// X semidefinite   Z with  objective - tr(Z X)
/// ```
/// of the objective to be minimised; of one to be maximised, its negative. The optimal objective falls by `z` for every
/// unit by which the constraint is loosened.
#[derive(Clone)]
pub struct Constraint(pub(super) Arc<Condition>);

pub(super) struct Condition {
    pub(super) expression: Expression,
    pub(super) relation: Relation,
    text: String,
}

impl Constraint {
    fn new(expression: Expression, relation: Relation, text: String) -> Self {
        Self(Arc::new(Condition { expression, relation, text }))
    }

    fn at_most_zero(expression: Expression, text: String) -> Self {
        let fault = (!expression.curvature().is_convex()).then_some(Fault::Dcp(
            "what is at most something is convex, what is at least something is concave",
        ));
        Self::new(marked(expression, fault), Relation::AtMostZero, text)
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// The expression, with a fault if it has one; what is wrong in it comes first.
fn marked(expression: Expression, fault: Option<Fault>) -> Expression {
    if fault.is_none() || expression.0.refusal.is_some() {
        return expression;
    }
    let (shape, sign) = (expression.shape(), expression.sign());
    Expression::new(shape, Kind::Sum(vec![expression]), Curvature::Unknown, sign, fault)
}

impl Expression {
    /// At most `other`, entry by entry: this is convex, `other` concave. A scalar is compared with every entry.
    pub fn le(&self, other: impl Into<Expression>) -> Constraint {
        let other = other.into();
        let text = format!("{self} <= {other}");
        Constraint::at_most_zero(self - &other, text)
    }

    /// At least `other`, entry by entry: this is concave, `other` convex. A scalar is compared with every entry.
    pub fn ge(&self, other: impl Into<Expression>) -> Constraint {
        let other = other.into();
        let text = format!("{self} >= {other}");
        Constraint::at_most_zero(&other - self, text)
    }

    /// The same as `other`, entry by entry: both affine. A scalar is compared with every entry.
    pub fn equals(&self, other: impl Into<Expression>) -> Constraint {
        let other = other.into();
        let text = format!("{self} = {other}");
        let difference = self - &other;
        let affine = difference.curvature().is_affine();
        let fault = (!affine).then_some(Fault::Dcp("what is equal is affine"));
        Constraint::new(marked(difference, fault), Relation::Zero, text)
    }

    /// That the symmetric part of a square matrix, affine, is positive semidefinite.
    pub fn is_semidefinite(&self) -> Constraint {
        let fault = self.not_square().or_else(|| not_affine(self));
        let text = format!("{self} positive semidefinite");
        Constraint::new(marked(self.clone(), fault), Relation::Semidefinite, text)
    }
}

fn not_affine(expression: &Expression) -> Option<Fault> {
    let affine = expression.curvature().is_affine();
    (!affine).then_some(Fault::Dcp("what lies in a cone is affine"))
}

fn in_cone(parts: Vec<Expression>, cone: Cone, name: &str) -> Constraint {
    let all = vstack(parts);
    let text = format!("{all} in the {name} cone");
    let fault = not_affine(&all);
    Constraint::new(marked(all, fault), Relation::In(cone), text)
}

/// `t >= |x|_2`, `t` a scalar, both affine. The dual variable is `(u, v)` with `u >= |v|`.
pub fn in_second_order(t: impl Into<Expression>, x: impl Into<Expression>) -> Constraint {
    let (t, x) = (t.into(), x.into());
    let (n, fault) = (x.len(), scalars(&[&t]));
    in_cone(vec![marked(t, fault), x.reshape(n, 1)], Cone::SecondOrder(n + 1), "second-order")
}

/// `y exp(x / y) <= z`, `y > 0`, all scalars and affine.
pub fn in_exponential(
    x: impl Into<Expression>,
    y: impl Into<Expression>,
    z: impl Into<Expression>,
) -> Constraint {
    let (x, y, z) = (x.into(), y.into(), z.into());
    let fault = scalars(&[&x, &y, &z]);
    in_cone(vec![marked(x, fault), y, z], Cone::Exponential, "exponential")
}

/// `x^alpha y^(1 - alpha) >= |z|`, `x, y >= 0`, `alpha` in `(0, 1)`, all scalars and affine.
pub fn in_power(
    x: impl Into<Expression>,
    y: impl Into<Expression>,
    z: impl Into<Expression>,
    alpha: f64,
) -> Constraint {
    let (x, y, z) = (x.into(), y.into(), z.into());
    // NaN is not inside.
    let inside = alpha > 0.0 && alpha < 1.0;
    let fault = scalars(&[&x, &y, &z])
        .or_else(|| (!inside).then(|| Fault::misfit("an exponent in (0, 1)", alpha.to_string())));
    in_cone(vec![marked(x, fault), y, z], Cone::Power(alpha), "power")
}

fn scalars(parts: &[&Expression]) -> Option<Fault> {
    let odd = parts.iter().find(|part| !part.is_scalar());
    odd.map(|odd| Fault::misfit("a cone of scalars", odd.printed_shape()))
}

impl Constraint {
    /// What its dual variable is like: rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        self.0.expression.shape()
    }
}
