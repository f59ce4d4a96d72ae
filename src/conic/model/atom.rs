//! What atoms there are, and what is known of each: curvature, sign, how it answers to its arguments.

use std::sync::Arc;

use nalgebra::DMatrix;

use super::curvature::{Curvature, Sign, Slope};
use super::expression::{Expression, Kind, Shape};
use super::refusal::Fault;

/// A function with a cone form; see the function of the same name for its formula.
#[derive(Clone, Debug)]
pub(super) enum Atom {
    Abs,
    Norm1,
    Norm2,
    NormInf,
    Square,
    SumSquares,
    /// A constant matrix, symmetric; the flag says that it is negative semidefinite.
    QuadForm(Arc<DMatrix<f64>>, bool),
    /// The matrix is the second argument.
    QuadFormOf,
    QuadOverLin,
    Max,
    Maximum,
    Pos,
    Huber(f64),
    Exp,
    Log,
    LogSumExp,
    Entr,
    RelEntr,
    KlDiv,
    Logistic,
    Power(f64),
    /// Weights that add up to one.
    GeoMean(Vec<f64>),
    LambdaMax,
}

impl Atom {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Norm1 => "norm1",
            Self::Norm2 => "norm2",
            Self::NormInf => "norm_inf",
            Self::Square => "square",
            Self::SumSquares => "sum_squares",
            Self::QuadForm(..) | Self::QuadFormOf => "quad_form",
            Self::QuadOverLin => "quad_over_lin",
            Self::Max => "max",
            Self::Maximum => "maximum",
            Self::Pos => "pos",
            Self::Huber(_) => "huber",
            Self::Exp => "exp",
            Self::Log => "log",
            Self::LogSumExp => "log_sum_exp",
            Self::Entr => "entr",
            Self::RelEntr => "rel_entr",
            Self::KlDiv => "kl_div",
            Self::Logistic => "logistic",
            Self::Power(_) => "power",
            Self::GeoMean(_) => "geo_mean",
            Self::LambdaMax => "lambda_max",
        }
    }

    /// A number among its arguments.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Huber(number) | Self::Power(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether its cone form is columns only, whatever the parameters under it.
    pub(super) fn hides_parameters(&self) -> bool {
        !matches!(self, Self::QuadFormOf | Self::KlDiv)
    }

    fn curvature(&self) -> Curvature {
        match self {
            Self::Log | Self::Entr | Self::GeoMean(_) | Self::QuadForm(_, true) => {
                Curvature::Concave
            }
            Self::Power(p) if *p > 0.0 && *p < 1.0 => Curvature::Concave,
            _ => Curvature::Convex,
        }
    }

    fn sign(&self, arguments: &[Expression]) -> Sign {
        let nonnegative = |e: &Expression| e.sign().nonnegative;
        let all = arguments
            .iter()
            .fold(None, |all: Option<Sign>, e| Some(all.map_or(e.sign(), |all| all.and(e.sign()))));
        match self {
            Self::Log | Self::LogSumExp | Self::Entr | Self::RelEntr | Self::LambdaMax => {
                Sign::UNKNOWN
            }
            Self::QuadForm(_, true) => Sign::NONNEGATIVE.negative(),
            Self::Max | Self::Maximum => Sign {
                nonnegative: arguments.iter().any(nonnegative),
                nonpositive: all.is_some_and(|all| all.nonpositive),
            },
            _ => Sign::NONNEGATIVE,
        }
    }

    fn slope(&self, argument: usize, sign: Sign) -> Slope {
        match self {
            Self::QuadOverLin if argument == 1 => Slope::Falls,
            Self::RelEntr if argument == 1 => Slope::Falls,
            Self::Abs | Self::Norm1 | Self::Norm2 | Self::NormInf | Self::Square => {
                Slope::of_size(sign)
            }
            Self::SumSquares | Self::QuadOverLin | Self::Huber(_) => Slope::of_size(sign),
            Self::Max | Self::Maximum | Self::Pos | Self::Exp | Self::Log => Slope::Rises,
            Self::LogSumExp | Self::Logistic | Self::GeoMean(_) => Slope::Rises,
            Self::Power(p) if *p < 0.0 => Slope::Falls,
            Self::Power(p) if *p < 1.0 => Slope::Rises,
            // Beyond the domain's end it is infinite, and does not rise from there.
            Self::Power(_) if sign.nonnegative => Slope::Rises,
            Self::Power(p) if p % 2.0 == 0.0 => Slope::of_size(sign),
            _ => Slope::Either,
        }
    }

    /// The atom of its arguments, checked.
    pub(super) fn of(
        self,
        arguments: Vec<Expression>,
        shape: Shape,
        fault: Option<Fault>,
    ) -> Expression {
        let outer = self.curvature();
        let keeps = |(k, argument): (usize, &Expression)| {
            self.slope(k, argument.sign()).keeps(outer, argument.curvature())
        };
        let dcp = arguments.iter().enumerate().all(keeps);
        let rule = match outer {
            Curvature::Concave => {
                "a concave function is given what is affine, or concave where it rises, or convex where it falls"
            }
            _ => {
                "a convex function is given what is affine, or convex where it rises, or concave where it falls"
            }
        };
        let fault = fault.or((!dcp).then_some(Fault::Dcp(rule)));
        let curvature = if dcp { outer } else { Curvature::Unknown };
        let sign = self.sign(&arguments);
        Expression::new(shape, Kind::Atom(self, arguments), curvature, sign, fault)
    }
}
