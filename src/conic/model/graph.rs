//! Each atom as the edge of a convex set: new columns, and cones that hold them to it.
//!
//! A convex atom becomes columns `t` with `f(x) <= t`, a concave one `t <= f(x)`; being optimal presses `t` on `f`. In an
//! objective squares stay squares and need no cone.

use std::sync::Arc;

use nalgebra::DMatrix;

use super::atom::Atom;
use super::canonical::{Canonical, packed};
use super::expression::Expression;
use super::form::{Form, Term};
use crate::conic::cone::Cone;
use crate::error::{Error, Result};

/// Eigenvalues of a constant quadratic form below this share of the largest are rounding.
const ROUNDING: f64 = 1e-13;

impl Canonical {
    pub(super) fn atom(
        &mut self,
        whole: &Expression,
        atom: &Atom,
        arguments: &[Expression],
        quadratic: bool,
    ) -> Result<Form> {
        let forms = arguments.iter().map(|argument| self.form(argument, false));
        let forms = forms.collect::<Result<Vec<_>>>()?;
        let n = whole.len();
        // The argument of atoms of one; every atom has an argument.
        let Some((x, size)) = forms.first().zip(arguments.first().map(Expression::len)) else {
            return Ok(Form::default());
        };
        Ok(match atom {
            Atom::Abs => self.abs(x, size),
            Atom::Norm1 => self.abs(x, size).total(),
            Atom::NormInf => self.norm_inf(x, size),
            Atom::Norm2 => self.norm2(x, size),
            Atom::Square => self.squares(x, size, quadratic),
            Atom::SumSquares => self.sum_squares(x, size, quadratic),
            Atom::QuadForm(p, negative) => self.quad_form(x, p, *negative, quadratic),
            Atom::QuadFormOf if quadratic => self.quad_form_of(x, &forms[1], size),
            Atom::QuadFormOf => {
                let rule = "a quadratic form of a parameter stands in the objective; elsewhere take \
                            sum_squares(root * x)";
                return Err(Error::NotDpp { rule, expression: whole.to_string() });
            }
            Atom::QuadOverLin => self.quad_over_lin(x, size, &forms[1]),
            Atom::Max => {
                let t = self.fresh(1);
                self.nonnegative(size, t.spread(size).minus(x));
                t
            }
            Atom::Maximum => self.maximum(&forms, arguments, n),
            Atom::Pos => {
                let t = self.fresh(n);
                self.nonnegative(n, t.clone());
                self.nonnegative(n, t.minus(x));
                t
            }
            Atom::Huber(bend) => self.huber(x, n, *bend, quadratic),
            Atom::Exp => self.exp(x, n),
            Atom::Log => self.hypograph(n, |t, one| [t.clone(), one, (**x).clone()]),
            Atom::Entr => self.hypograph(n, |t, one| [t.clone(), (**x).clone(), one]),
            Atom::LogSumExp => self.log_sum_exp(x, size),
            Atom::Logistic => self.logistic(x, n),
            Atom::RelEntr => self.rel_entr(&forms, arguments, n).0,
            Atom::KlDiv => {
                let (t, x, y) = self.rel_entr(&forms, arguments, n);
                t.minus(&x).plus(&y)
            }
            Atom::Power(p) => self.power(x, n, *p),
            Atom::GeoMean(weights) => self.geo_mean(x, weights, 0),
            Atom::LambdaMax => self.lambda_max(x, arguments[0].shape().0),
        })
    }

    /// `-t <= x <= t`.
    fn abs(&mut self, x: &Form, n: usize) -> Form {
        let t = self.fresh(n);
        self.nonnegative(2 * n, Form::stacked(&[(&t.minus(x), n), (&t.plus(x), n)]));
        t
    }

    fn norm_inf(&mut self, x: &Form, n: usize) -> Form {
        let t = self.fresh(1);
        let all = t.spread(n);
        self.nonnegative(2 * n, Form::stacked(&[(&all.minus(x), n), (&all.plus(x), n)]));
        t
    }

    /// `(t, x)` in the second-order cone.
    fn norm2(&mut self, x: &Form, n: usize) -> Form {
        let t = self.fresh(1);
        self.require(Cone::SecondOrder(n + 1), 1, Form::stacked(&[(&t, 1), (x, n)]));
        t
    }

    /// `x^2 <= t`, that is `|(2 x, t - 1)| <= t + 1`, each by itself.
    fn squares(&mut self, x: &Form, n: usize, quadratic: bool) -> Form {
        if quadratic {
            let columns = self.plain(x, n);
            return square_of(&columns);
        }
        let t = self.fresh(n);
        let one = Form::filled(n, 1.0);
        let rows = Form::interleaved(&[&t.plus(&one), &t.minus(&one), &x.scaled(2.0)]);
        self.require(Cone::SecondOrder(3), n, rows);
        t
    }

    fn sum_squares(&mut self, x: &Form, n: usize, quadratic: bool) -> Form {
        if quadratic {
            return self.squares(x, n, true).total();
        }
        self.quad_over_lin(x, n, &Form::filled(1, 1.0))
    }

    /// `|x|^2 <= t y`, that is `|(2 x, y - t)| <= y + t`.
    fn quad_over_lin(&mut self, x: &Form, n: usize, y: &Form) -> Form {
        let t = self.fresh(1);
        let rows = [(&y.plus(&t), 1), (&y.minus(&t), 1), (&x.scaled(2.0), n)];
        self.require(Cone::SecondOrder(n + 2), 1, Form::stacked(&rows));
        t
    }

    fn quad_form(&mut self, x: &Form, p: &DMatrix<f64>, negative: bool, quadratic: bool) -> Form {
        let n = p.nrows();
        if quadratic {
            let columns = self.plain(x, n);
            let places = (0..n).flat_map(|j| (0..=j).map(move |i| (i, j)));
            let terms = places.map(|(i, j)| {
                let value = p[(i, j)] * if i == j { 1.0 } else { 2.0 };
                product_of(columns[i], columns[j], value, 0)
            });
            return Form::new(terms.collect());
        }
        let root = root(p);
        let rows = root.nrows();
        let form = constant(&root).product(x, n, 1);
        let t = self.sum_squares(&form, rows, false);
        if negative { t.scaled(-1.0) } else { t }
    }

    fn quad_form_of(&mut self, x: &Form, p: &Form, n: usize) -> Form {
        let columns = self.plain(x, n);
        let terms = p.terms().iter().map(|term| {
            let (i, j) = (term.row / n, term.row % n);
            product_of(columns[i], columns[j], term.value, term.parameter)
        });
        Form::new(terms.collect())
    }

    fn maximum(&mut self, forms: &[Arc<Form>], arguments: &[Expression], n: usize) -> Form {
        let t = self.fresh(n);
        for (form, argument) in forms.iter().zip(arguments) {
            self.nonnegative(n, t.minus(&of_size(form, argument, n)));
        }
        t
    }

    /// `x = a + b`: `a^2 + 2 bend |b|`.
    fn huber(&mut self, x: &Form, n: usize, bend: f64, quadratic: bool) -> Form {
        let a = self.fresh(n);
        let size = self.abs(&x.minus(&a), n);
        self.squares(&a, n, quadratic).plus(&size.scaled(2.0 * bend))
    }

    fn exp(&mut self, x: &Form, n: usize) -> Form {
        let t = self.fresh(n);
        let one = Form::filled(n, 1.0);
        self.require(Cone::Exponential, n, Form::interleaved(&[x, &one, &t]));
        t
    }

    /// New columns with three rows each in the exponential cone.
    fn hypograph(&mut self, n: usize, rows: impl Fn(&Form, Form) -> [Form; 3]) -> Form {
        let t = self.fresh(n);
        let rows = rows(&t, Form::filled(n, 1.0));
        let rows: Vec<&Form> = rows.iter().collect();
        self.require(Cone::Exponential, n, Form::interleaved(&rows));
        t
    }

    /// `sum exp(x - t) <= 1`.
    fn log_sum_exp(&mut self, x: &Form, n: usize) -> Form {
        let t = self.fresh(1);
        let shares = self.exp(&x.minus(&t.spread(n)), n);
        self.nonnegative(1, Form::filled(1, 1.0).minus(&shares.total()));
        t
    }

    /// `exp(-t) + exp(x - t) <= 1`.
    fn logistic(&mut self, x: &Form, n: usize) -> Form {
        let t = self.fresh(n);
        let one = self.exp(&t.scaled(-1.0), n);
        let other = self.exp(&x.minus(&t), n);
        self.nonnegative(n, Form::filled(n, 1.0).minus(&one).minus(&other));
        t
    }

    /// `x exp(-t / x) <= y`; and the arguments, all of one size.
    fn rel_entr(
        &mut self,
        forms: &[Arc<Form>],
        arguments: &[Expression],
        n: usize,
    ) -> (Form, Form, Form) {
        let [x, y] = [0, 1].map(|k| of_size(&forms[k], &arguments[k], n));
        let t = self.hypograph(n, |t, _| [t.scaled(-1.0), x.clone(), y.clone()]);
        (t, x, y)
    }

    fn power(&mut self, x: &Form, n: usize, p: f64) -> Form {
        let t = self.fresh(n);
        let one = Form::filled(n, 1.0);
        let (alpha, rows) = if p < 0.0 {
            // t^alpha x^(1 - alpha) >= 1
            (1.0 / (1.0 - p), [&t, x, &one])
        } else if p < 1.0 {
            // x^p >= |t|
            (p, [x, &one, &t])
        } else {
            // t^(1/p) >= |x|
            (1.0 / p, [&t, &one, x])
        };
        self.require(Cone::Power(alpha), n, Form::interleaved(&rows));
        if p > 1.0 && p % 2.0 != 0.0 {
            self.nonnegative(n, x.clone());
        }
        t
    }

    /// Of the entries from `first` on, as many as weights: halves, joined by a power cone.
    fn geo_mean(&mut self, x: &Form, weights: &[f64], first: usize) -> Form {
        let n = weights.len();
        if n == 1 {
            return x.moved(|row| (row == first).then_some(0));
        }
        let (left, right) = weights.split_at(n / 2);
        let (before, after): (f64, f64) = (left.iter().sum(), right.iter().sum());
        let a = self.geo_mean(x, left, first);
        let b = self.geo_mean(x, right, first + n / 2);
        let t = self.fresh(1);
        let rows = Form::stacked(&[(&a, 1), (&b, 1), (&t, 1)]);
        self.require(Cone::Power(before / (before + after)), 1, rows);
        t
    }

    /// `t I - X` positive semidefinite.
    fn lambda_max(&mut self, x: &Form, n: usize) -> Form {
        let t = self.fresh(1);
        let diagonal = t.spread(n).moved(|k| Some(k * n + k));
        self.require(Cone::Semidefinite(n), 1, packed(&diagonal.minus(x), n));
        t
    }
}

fn of_size(form: &Form, of: &Expression, n: usize) -> Form {
    if of.is_scalar() && n > 1 { form.spread(n) } else { form.clone() }
}

/// The square of each column.
fn square_of(columns: &[usize]) -> Form {
    let squares = columns.iter().enumerate();
    Form::new(squares.map(|(row, &j)| Term { row, ..product_of(j, j, 1.0, 0) }).collect())
}

fn product_of(i: usize, j: usize, value: f64, parameter: usize) -> Term {
    Term { row: 0, first: i.min(j) + 1, second: i.max(j) + 1, parameter, value }
}

/// `R` with `R'R = P` or `-P`, without the rows that are zero.
fn root(p: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = p.clone().symmetric_eigen();
    let largest = eigen.eigenvalues.amax();
    let kept: Vec<usize> =
        (0..p.nrows()).filter(|&k| eigen.eigenvalues[k].abs() > ROUNDING * largest).collect();
    let entry = |row: usize, column: usize| {
        let k = kept[row];
        eigen.eigenvectors[(column, k)] * eigen.eigenvalues[k].abs().sqrt()
    };
    DMatrix::from_fn(kept.len(), p.nrows(), entry)
}

fn constant(matrix: &DMatrix<f64>) -> Form {
    let by_rows = matrix.transpose();
    let terms = by_rows.iter().enumerate().map(|(row, &value)| Term::constant(row, value));
    Form::new(terms.collect())
}
