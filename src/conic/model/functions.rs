//! The atoms as functions, with their formulas.

use std::sync::Arc;

use nalgebra::DMatrix;

use super::atom::Atom;
use super::expression::{Expression, Kind};
use super::refusal::Fault;

/// How far below zero a pivot of a semidefinite matrix may be, relative to its largest entry.
const ROUNDING: f64 = 1e-11;

fn entrywise(atom: Atom, x: Expression, fault: Option<Fault>) -> Expression {
    let shape = x.shape();
    atom.of(vec![x], shape, fault)
}

fn single(atom: Atom, x: Expression, fault: Option<Fault>) -> Expression {
    atom.of(vec![x], (1, 1), fault)
}

/// `|x|`, entry by entry. Convex.
pub fn abs(x: impl Into<Expression>) -> Expression {
    entrywise(Atom::Abs, x.into(), None)
}

/// `sum |x_i|`. Convex.
pub fn norm1(x: impl Into<Expression>) -> Expression {
    single(Atom::Norm1, x.into(), None)
}

/// `sqrt(sum x_i^2)`; of a matrix, Frobenius' norm. Convex.
pub fn norm2(x: impl Into<Expression>) -> Expression {
    single(Atom::Norm2, x.into(), None)
}

/// `max |x_i|`. Convex.
pub fn norm_inf(x: impl Into<Expression>) -> Expression {
    single(Atom::NormInf, x.into(), None)
}

/// `x^2`, entry by entry. Convex.
pub fn square(x: impl Into<Expression>) -> Expression {
    entrywise(Atom::Square, x.into(), None)
}

/// `sum x_i^2`. Convex; in an objective it is a quadratic term, without cones.
pub fn sum_squares(x: impl Into<Expression>) -> Expression {
    single(Atom::SumSquares, x.into(), None)
}

/// `x'P x`, for `x` affine; the symmetric part of `P` counts.
///
/// With a constant `P`: convex or concave by its eigenvalues, refused if neither. With a `P` that is affine in the
/// parameters: in an objective only, and convex; a solve whose `P` is not positive semidefinite is refused
/// ([`Error::NotConvex`](crate::Error::NotConvex)).
///
/// # Cost
/// A constant `P` of order `n` is factorised once, `n^3`.
///
/// # Example
/// ```
/// use gleaner::conic::model::{Parameter, Problem, Variable, quad_form};
///
/// let (x, p) = (Variable::vector("x", 2), Parameter::matrix("p", 2, 2));
/// let model = Problem::minimise(quad_form(&x, &p) - 2.0 * x.sum()).compile(&[&p], &[&x])?;
/// let answer = model.solve(&[&[2.0, 0.0, 0.0, 4.0]], &Default::default())?;
/// assert!((answer.variable(0)[0] - 0.5).abs() < 1e-9 && (answer.variable(0)[1] - 0.25).abs() < 1e-9);
///
/// let refused = model.solve(&[&[2.0, 0.0, 0.0, -4.0]], &Default::default());
/// assert!(refused.unwrap_err().to_string().contains("positive semidefinite"));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn quad_form(x: impl Into<Expression>, p: impl Into<Expression>) -> Expression {
    let (x, p) = (x.into(), p.into());
    let n = x.len();
    let fits = p.shape() == (n, n);
    let misfit = || Fault::misfit("P is square, with a row for each entry of x", p.printed_shape());
    let mut fault = (!fits).then(misfit);
    if let (Kind::Constant(entries), true) = (&p.0.kind, fits) {
        let mut matrix = DMatrix::zeros(n, n);
        for &(place, value) in entries {
            matrix[(place / n, place % n)] += 0.5 * value;
            matrix[(place % n, place / n)] += 0.5 * value;
        }
        let negative = !semidefinite(&matrix);
        if negative && !semidefinite(&-&matrix) {
            fault = Some(Fault::Dcp("P is positive or negative semidefinite"));
        }
        return single(Atom::QuadForm(Arc::new(matrix), negative), x, fault);
    }
    if p.0.variables {
        fault = Some(Fault::Dcp("P is without variables"));
    } else if !p.curvature().is_affine() {
        fault = Some(Fault::Dpp("P is affine in the parameters"));
    }
    let fault = fault.or_else(|| {
        let affine = x.curvature().is_affine();
        (!affine).then_some(Fault::Dcp("x is affine"))
    });
    Atom::QuadFormOf.of(vec![x, p], (1, 1), fault)
}

fn semidefinite(matrix: &DMatrix<f64>) -> bool {
    let shift = ROUNDING * matrix.amax().max(f64::MIN_POSITIVE);
    (matrix + DMatrix::identity(matrix.nrows(), matrix.nrows()) * shift).cholesky().is_some()
}

/// `sum x_i^2 / y` for a scalar `y > 0`. Convex in both.
pub fn quad_over_lin(x: impl Into<Expression>, y: impl Into<Expression>) -> Expression {
    let y = y.into();
    let fault = (!y.is_scalar()).then(|| Fault::misfit("y is a scalar", y.printed_shape()));
    Atom::QuadOverLin.of(vec![x.into(), y], (1, 1), fault)
}

/// The largest entry. Convex.
pub fn max(x: impl Into<Expression>) -> Expression {
    single(Atom::Max, x.into(), None)
}

/// The smallest entry. Concave.
pub fn min(x: impl Into<Expression>) -> Expression {
    max(x.into().negative()).negative()
}

/// Entry by entry, the largest of all; scalars count for every entry. Convex.
pub fn maximum<E: Into<Expression>>(parts: impl IntoIterator<Item = E>) -> Expression {
    let parts: Vec<Expression> = parts.into_iter().map(Into::into).collect();
    let shape = parts.iter().map(Expression::shape).max_by_key(|(rows, columns)| rows * columns);
    let fault = match shape {
        None => Some(Fault::misfit("something to compare", "nothing".into())),
        Some(shape) => parts
            .iter()
            .find(|part| !part.is_scalar() && part.shape() != shape)
            .map(|odd| Fault::misfit("all have the same shape", odd.printed_shape())),
    };
    Atom::Maximum.of(parts, shape.unwrap_or((1, 1)), fault)
}

/// Entry by entry, the smallest of all; scalars count for every entry. Concave.
pub fn minimum<E: Into<Expression>>(parts: impl IntoIterator<Item = E>) -> Expression {
    maximum(parts.into_iter().map(|part| part.into().negative())).negative()
}

/// `max(x, 0)`, entry by entry. Convex.
pub fn pos(x: impl Into<Expression>) -> Expression {
    entrywise(Atom::Pos, x.into(), None)
}

/// `x^2` where `|x| <= bend`, `2 bend |x| - bend^2` beyond; entry by entry, `bend > 0`. Convex.
pub fn huber(x: impl Into<Expression>, bend: f64) -> Expression {
    // NaN is neither.
    let positive = bend > 0.0 && bend.is_finite();
    let fault = (!positive).then(|| Fault::misfit("the bend is positive", bend.to_string()));
    entrywise(Atom::Huber(bend), x.into(), fault)
}

/// `e^x`, entry by entry. Convex.
pub fn exp(x: impl Into<Expression>) -> Expression {
    entrywise(Atom::Exp, x.into(), None)
}

/// The natural logarithm, entry by entry, for `x > 0`. Concave.
pub fn log(x: impl Into<Expression>) -> Expression {
    entrywise(Atom::Log, x.into(), None)
}

/// `log sum e^(x_i)`. Convex.
pub fn log_sum_exp(x: impl Into<Expression>) -> Expression {
    single(Atom::LogSumExp, x.into(), None)
}

/// `-x log x`, entry by entry, for `x >= 0`. Concave.
pub fn entr(x: impl Into<Expression>) -> Expression {
    entrywise(Atom::Entr, x.into(), None)
}

/// `x log(x / y)`, entry by entry, for `x >= 0`, `y > 0`. Convex in both.
pub fn rel_entr(x: impl Into<Expression>, y: impl Into<Expression>) -> Expression {
    pair(Atom::RelEntr, x.into(), y.into())
}

/// `x log(x / y) - x + y`, entry by entry, for `x >= 0`, `y > 0`. Convex in both.
pub fn kl_div(x: impl Into<Expression>, y: impl Into<Expression>) -> Expression {
    pair(Atom::KlDiv, x.into(), y.into())
}

fn pair(atom: Atom, x: Expression, y: Expression) -> Expression {
    let shape = if x.is_scalar() { y.shape() } else { x.shape() };
    let fits = x.shape() == y.shape() || x.is_scalar() || y.is_scalar();
    let fault = (!fits).then(|| Fault::misfit("both have the same shape", y.printed_shape()));
    atom.of(vec![x, y], shape, fault)
}

/// `log(1 + e^x)`, entry by entry. Convex.
pub fn logistic(x: impl Into<Expression>) -> Expression {
    entrywise(Atom::Logistic, x.into(), None)
}

/// `x^p`, entry by entry.
///
/// ```text
/// p an even number   |x|^p                 convex
/// p > 1              x >= 0                convex
/// p = 1              x
/// 0 < p < 1          x >= 0                concave
/// p < 0              x > 0                 convex
/// ```
pub fn power(x: impl Into<Expression>, p: f64) -> Expression {
    let x = x.into();
    match p {
        1.0 => x,
        2.0 => square(x),
        _ => {
            let usable = p.is_finite() && p != 0.0;
            let rule = "an exponent is finite and not zero";
            let fault = (!usable).then(|| Fault::misfit(rule, p.to_string()));
            entrywise(Atom::Power(p), x, fault)
        }
    }
}

/// `sqrt(x)`, entry by entry, for `x >= 0`. Concave.
pub fn sqrt(x: impl Into<Expression>) -> Expression {
    power(x, 0.5)
}

/// `1 / x`, entry by entry, for `x > 0`. Convex.
pub fn inv_pos(x: impl Into<Expression>) -> Expression {
    power(x, -1.0)
}

/// `(x_1 .. x_n)^(1/n)` for `x >= 0`. Concave.
pub fn geo_mean(x: impl Into<Expression>) -> Expression {
    let x = x.into();
    let weights = vec![1.0; x.len()];
    weighted_geo_mean(x, &weights)
}

/// `prod x_i^(w_i / sum w)` for `x >= 0`, positive weights `w`. Concave.
pub fn weighted_geo_mean(x: impl Into<Expression>, weights: &[f64]) -> Expression {
    let x = x.into();
    let total: f64 = weights.iter().sum();
    let odd = weights.iter().find(|weight| !(**weight > 0.0 && weight.is_finite()));
    let fault = match odd {
        Some(odd) => Some(Fault::misfit("weights are positive", odd.to_string())),
        None if weights.len() != x.len() => {
            Some(Fault::misfit("a weight for each entry", format!("{} weights", weights.len())))
        }
        None => None,
    };
    let weights = weights.iter().map(|weight| weight / total).collect();
    single(Atom::GeoMean(weights), x, fault)
}

/// The largest eigenvalue of the symmetric part of a square matrix. Convex.
pub fn lambda_max(x: impl Into<Expression>) -> Expression {
    let x = x.into();
    let fault = x.not_square();
    single(Atom::LambdaMax, x, fault)
}

/// The smallest eigenvalue of the symmetric part of a square matrix. Concave.
pub fn lambda_min(x: impl Into<Expression>) -> Expression {
    lambda_max(x.into().negative()).negative()
}
