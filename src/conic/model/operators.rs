//! `+ - * /` of expressions, variables, parameters and numbers.

use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use super::curvature::{Curvature, Sign};
use super::expression::{Expression, Kind, Shape};
use super::leaf::{Parameter, Variable};
use super::refusal::Fault;

impl Expression {
    fn plus(self, other: Expression) -> Self {
        let shape = if self.is_scalar() { other.shape() } else { self.shape() };
        let fits = self.shape() == other.shape() || self.is_scalar() || other.is_scalar();
        let curvature = self.curvature().plus(other.curvature());
        let sign = self.sign().and(other.sign());
        let known = curvature != Curvature::Unknown;
        let fault = if !fits {
            let found = format!("{} and {}", self.printed_shape(), other.printed_shape());
            Some(Fault::misfit("summands have the same shape", found))
        } else {
            (!known).then_some(Fault::Dcp("a convex and a concave term do not add up to either"))
        };
        Self::new(shape, Kind::Sum(joined(self, other)), curvature, sign, fault)
    }

    pub(super) fn negative(&self) -> Self {
        if let Kind::Negative(inner) = &self.0.kind {
            return inner.clone();
        }
        let (curvature, sign) = (self.curvature().negative(), self.sign().negative());
        Self::new(self.shape(), Kind::Negative(self.clone()), curvature, sign, None)
    }

    pub(super) fn product(&self, other: &Expression) -> Self {
        let (a, b) = (self.shape(), other.shape());
        let shape = match (self.is_scalar(), other.is_scalar()) {
            (true, _) => Some(b),
            (_, true) => Some(a),
            _ => (a.1 == b.0).then_some((a.0, b.1)),
        };
        let rule = if a == b {
            "factors fit as matrices; `times` multiplies entry by entry, `dot` sums up"
        } else {
            "factors fit as matrices"
        };
        let kind = Kind::Product(self.clone(), other.clone());
        self.multiplied(other, shape, rule, kind)
    }

    /// The product entry by entry; a scalar multiplies every entry. One factor is without variables.
    pub fn times(&self, other: impl Into<Expression>) -> Self {
        let other = &other.into();
        let shape = match (self.is_scalar(), other.is_scalar()) {
            (true, _) => Some(other.shape()),
            (_, true) => Some(self.shape()),
            _ => (self.shape() == other.shape()).then_some(self.shape()),
        };
        let kind = Kind::Times(self.clone(), other.clone());
        self.multiplied(other, shape, "factors have the same shape", kind)
    }

    fn multiplied(
        &self,
        other: &Expression,
        shape: Option<Shape>,
        rule: &'static str,
        kind: Kind,
    ) -> Self {
        let found = || format!("{} and {}", self.printed_shape(), other.printed_shape());
        let (curvature, fault) = match shape {
            Some(_) => match self.curvature_of_product(other) {
                Ok(curvature) => (curvature, None),
                Err(fault) => (Curvature::Unknown, Some(fault)),
            },
            None => (Curvature::Unknown, Some(Fault::misfit(rule, found()))),
        };
        let sign = self.sign().times(other.sign());
        Self::new(shape.unwrap_or(self.shape()), kind, curvature, sign, fault)
    }

    fn curvature_of_product(&self, other: &Expression) -> Result<Curvature, Fault> {
        let (a, b) = (&*self.0, &*other.0);
        if a.variables && b.variables {
            return Err(Fault::Dcp("of two factors one is affine, without variables"));
        }
        if a.parameters && b.parameters {
            return Err(Fault::Dpp("of two factors one is without parameters"));
        }
        let swap = a.variables || (!b.variables && !a.curvature.is_affine());
        let (factor, of) = if swap { (b, a) } else { (a, b) };
        if !factor.curvature.is_affine() {
            return Err(Fault::Dpp("a factor is affine in the parameters"));
        }
        if factor.curvature == Curvature::Constant {
            let curvature = of.curvature.times(factor.sign);
            return known(curvature)
                .ok_or(Fault::Dcp("what is convex or concave is multiplied by what has one sign"));
        }
        if of.curvature == Curvature::Constant {
            return Ok(Curvature::Affine);
        }
        known(of.curvature.times(factor.sign)).ok_or(Fault::Dcp(
            "what is convex or concave is multiplied by a parameter of known sign: declare it `nonnegative`",
        ))
    }

    fn over(&self, divisor: &Expression) -> Self {
        let value = match &divisor.0.kind {
            Kind::Constant(entries) if divisor.is_scalar() => entries.first().map(|entry| entry.1),
            _ => None,
        };
        match value {
            Some(value) => Expression::from(1.0 / value).product(self),
            None => {
                let rule =
                    "a divisor is a number that is not zero; take the inverse as a parameter";
                let kind = Kind::Product(self.clone(), divisor.clone());
                let fault = Some(Fault::misfit(rule, divisor.to_string()));
                Self::new(self.shape(), kind, Curvature::Unknown, Sign::UNKNOWN, fault)
            }
        }
    }
}

fn known(curvature: Curvature) -> Option<Curvature> {
    (curvature != Curvature::Unknown).then_some(curvature)
}

/// Sums of sums are one sum, so that a long one is no deep tree: one of the two is taken apart, never both, so that
/// doubling does not grow it exponentially.
fn joined(a: Expression, b: Expression) -> Vec<Expression> {
    // What is wrong with a sum is remembered by it, not by its parts.
    let opens = |sum: &Expression| matches!(sum.0.kind, Kind::Sum(_)) && sum.0.refusal.is_none();
    if !opens(&a) {
        let mut parts = vec![a];
        if opens(&b) {
            parts.extend(b.0.kind.children().cloned())
        } else {
            parts.push(b)
        }
        return parts;
    }
    let parts = match Arc::try_unwrap(a.0) {
        Ok(node) => match node.kind {
            Kind::Sum(mut parts) => {
                parts.push(b);
                return parts;
            }
            _ => unreachable!("looked at above"),
        },
        Err(shared) => shared,
    };
    parts.kind.children().cloned().chain(std::iter::once(b)).collect()
}

macro_rules! operators {
    ($($left:ty),*) => {$(
        impl<R: Into<Expression>> Add<R> for $left {
            type Output = Expression;

            fn add(self, right: R) -> Expression {
                Expression::from(self).plus(right.into())
            }
        }

        impl<R: Into<Expression>> Sub<R> for $left {
            type Output = Expression;

            fn sub(self, right: R) -> Expression {
                Expression::from(self).plus(right.into().negative())
            }
        }

        impl<R: Into<Expression>> Mul<R> for $left {
            type Output = Expression;

            fn mul(self, right: R) -> Expression {
                Expression::from(self).product(&right.into())
            }
        }

        impl<R: Into<Expression>> Div<R> for $left {
            type Output = Expression;

            fn div(self, right: R) -> Expression {
                Expression::from(self).over(&right.into())
            }
        }

        impl Neg for $left {
            type Output = Expression;

            fn neg(self) -> Expression {
                Expression::from(self).negative()
            }
        }

        numbers!($left: f64, &DMatrix<f64>, &DVector<f64>, DMatrix<f64>, DVector<f64>, &[f64], Vec<f64>);
    )*};
}

/// Numbers on the left.
macro_rules! numbers {
    ($right:ty: $($left:ty),*) => {$(
        impl Add<$right> for $left {
            type Output = Expression;

            fn add(self, right: $right) -> Expression {
                Expression::from(self).plus(right.into())
            }
        }

        impl Sub<$right> for $left {
            type Output = Expression;

            fn sub(self, right: $right) -> Expression {
                Expression::from(self).plus(Expression::from(right).negative())
            }
        }

        impl Mul<$right> for $left {
            type Output = Expression;

            fn mul(self, right: $right) -> Expression {
                Expression::from(self).product(&right.into())
            }
        }
    )*};
}

operators!(Expression, &Expression, Variable, &Variable, Parameter, &Parameter);

impl<E: Into<Expression>> std::iter::Sum<E> for Expression {
    fn sum<I: Iterator<Item = E>>(parts: I) -> Expression {
        let mut parts = parts.map(Into::into);
        let Some(first) = parts.next() else { return Expression::from(0.0) };
        parts.fold(first, |sum, part| sum.plus(part))
    }
}
