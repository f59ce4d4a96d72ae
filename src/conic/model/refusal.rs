//! What is wrong with an expression, remembered until somebody can be told.

use super::expression::Node;
use super::print::printed;
use crate::error::Error;

/// A rule that does not hold.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Of curvature.
    Dcp(&'static str),
    /// Of where parameters may be.
    Dpp(&'static str),
    /// Of shapes and numbers, and what was found instead.
    Misfit(&'static str, String),
}

impl Fault {
    pub(super) fn misfit(rule: &'static str, found: String) -> Self {
        Self::Misfit(rule, found)
    }
}

/// A fault, and the expression that has it.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    fault: Fault,
    expression: String,
}

impl Refusal {
    pub(super) fn new(fault: Fault, node: &Node) -> Self {
        Self { fault, expression: printed(node) }
    }

    pub(super) fn error(&self) -> Error {
        let expression = self.expression.clone();
        match self.fault.clone() {
            Fault::Dcp(rule) => Error::NotDcp { rule, expression },
            Fault::Dpp(rule) => Error::NotDpp { rule, expression },
            Fault::Misfit(rule, found) => Error::Expression { rule, expression, found },
        }
    }
}
