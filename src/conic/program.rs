//! A checked program: patterns and cones once, values with each solve.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::cone::Cone;
use super::interior::Pool;
use super::ldl::Symbolic;
use super::options::ConicOptions;
use super::pattern::Pattern;
use super::solution::{ConicSolution, Outcome};
use super::solve;
use super::system::Layout;
use crate::error::{Error, Result};

/// Added to the diagonal of `P`, scaled to ones, before it is factorised: rounding must not refuse a singular matrix.
const CURVATURE: f64 = 1e-9;

/// The numbers of one program, in the order of its patterns.
///
/// # Example
/// See [`ConicProgram`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values<'a> {
    /// The entries of `P`, its upper triangle.
    pub quadratic: &'a [f64],
    /// `q`, one a variable.
    pub linear: &'a [f64],
    /// The entries of `A`.
    pub constraints: &'a [f64],
    /// `b`, one a row.
    pub right: &'a [f64],
}

/// What all programs of one form share.
#[derive(Debug)]
pub(super) struct Form {
    /// `P` as given.
    pub(super) quadratic: Pattern,
    /// `P` with its whole diagonal, and where the given entries are in it.
    pub(super) full: Pattern,
    pub(super) slots: Vec<usize>,
    pub(super) constraints: Pattern,
    pub(super) cones: Vec<Cone>,
    /// Cones that have rows, each with its rows; those of one row are half-lines.
    pub(super) parts: Vec<(Cone, Range<usize>)>,
    /// Clarabel's workspaces that are not in use.
    pub(super) pool: Pool,
    layout: OnceLock<Arc<Layout>>,
    plain: OnceLock<Layout>,
    curvature: OnceLock<Arc<Symbolic>>,
    /// The last `P` that was found to be convex.
    convex: Mutex<Vec<f64>>,
}

impl Form {
    pub(super) fn variables(&self) -> usize {
        self.full.columns()
    }

    pub(super) fn rows(&self) -> usize {
        self.constraints.rows()
    }

    pub(super) fn layout(&self) -> &Arc<Layout> {
        self.layout.get_or_init(|| {
            let cones: Vec<Cone> = self.parts.iter().map(|(cone, _)| *cone).collect();
            Arc::new(Layout::new(&self.full, &self.constraints, &cones))
        })
    }

    /// The layout in which every row stays by itself.
    pub(super) fn plain_layout(&self) -> &Layout {
        let all = [Cone::Zero(self.rows())];
        self.plain.get_or_init(|| Layout::new(&self.full, &self.constraints, &all))
    }

    /// Whether there are cones that clarabel's interior point does not take.
    pub(super) fn is_semidefinite(&self) -> bool {
        self.parts.iter().any(|(cone, _)| matches!(cone, Cone::Semidefinite(_)))
    }
}

/// The values of one program, checked; `P` with its whole diagonal.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub(super) p: Vec<f64>,
    pub(super) q: Vec<f64>,
    pub(super) a: Vec<f64>,
    pub(super) b: Vec<f64>,
}

/// A convex program with cone constraints, of one form; see the [module](super) for the formula.
///
/// The form (where `P` and `A` may have entries, and the cones) is checked and analysed once; the numbers come with
/// each solve. Clones share it, as do threads.
///
/// # Example
/// The point of a disc that is nearest to `(3, 4)`, and how it answers to the disc's radius.
/// ```
/// use gleaner::conic::{Cone, ConicProgram, Pattern, Upstream, Values};
///
/// // minimise 1/2 |x|^2 - 3 x_0 - 4 x_1   subject to  |x| <= radius:  s = (radius, x_0, x_1)
/// let (constraints, _) = Pattern::from_places(3, 2, &[(1, 0), (2, 1)])?;
/// let disc = ConicProgram::new(Pattern::diagonal(2), constraints, vec![Cone::SecondOrder(3)])?;
/// let values = Values {
///     quadratic: &[1.0, 1.0],
///     linear: &[-3.0, -4.0],
///     constraints: &[-1.0, -1.0],
///     right: &[1.0, 0.0, 0.0],
/// };
/// let solution = disc.solve(values, &Default::default())?.solution()?;
/// assert!((solution.x()[0] - 0.6).abs() < 1e-9 && (solution.x()[1] - 0.8).abs() < 1e-9);
///
/// let gradients = solution.pullback(Upstream { x: Some(&[1.0, 0.0]), ..Default::default() })?;
/// assert!((gradients.right[0] - 0.6).abs() < 1e-9);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConicProgram {
    pub(super) form: Arc<Form>,
}

impl ConicProgram {
    /// Checks the form. `quadratic` is the upper triangle of `P`, `n x n`; `constraints` is `A`, `m x n`; the cones take
    /// the `m` rows in order.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `P` is square with as many columns as `A` and the cones have as many rows as it;
    /// [`Error::Pattern`] for an entry of `P` below the diagonal; [`Error::OutOfRange`] for a power cone whose exponent
    /// is not in `(0, 1)`, or no variables.
    pub fn new(quadratic: Pattern, constraints: Pattern, cones: Vec<Cone>) -> Result<Self> {
        let n = quadratic.columns();
        if quadratic.rows() != n {
            return Err(Error::shape("P (rows)", n, quadratic.rows()));
        }
        if n == 0 {
            return Err(Error::range("number of variables", ">= 1", 0.0));
        }
        if constraints.columns() != n {
            return Err(Error::shape("A (columns)", n, constraints.columns()));
        }
        if let Some((row, column)) = quadratic.places().find(|(row, column)| row > column) {
            let rule = "P has entries in its upper triangle only";
            return Err(Error::Pattern { rule, column, found: row });
        }
        cones.iter().try_for_each(Cone::check)?;
        let rows: usize = cones.iter().map(Cone::rows).sum();
        if rows != constraints.rows() {
            return Err(Error::shape("rows of the cones", constraints.rows(), rows));
        }
        let (full, slots) = with_diagonal(&quadratic);
        let parts = parts(&cones);
        let (layout, plain, curvature) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let pool = Pool::default();
        let form = Form {
            quadratic,
            full,
            slots,
            constraints,
            cones,
            parts,
            pool,
            layout,
            plain,
            curvature,
            convex: Mutex::default(),
        };
        Ok(Self { form: Arc::new(form) })
    }

    /// Number of variables `n`.
    pub fn variables(&self) -> usize {
        self.form.variables()
    }

    /// Number of rows `m` of the constraints.
    pub fn rows(&self) -> usize {
        self.form.rows()
    }

    /// The upper triangle of `P`.
    pub fn quadratic(&self) -> &Pattern {
        &self.form.quadratic
    }

    /// `A`.
    pub fn constraints(&self) -> &Pattern {
        &self.form.constraints
    }

    /// The cones, in the order of the rows.
    pub fn cones(&self) -> &[Cone] {
        &self.form.cones
    }

    /// Solves one program.
    ///
    /// Whoever is asked, the answer is polished by Newton's method and judged by its own residuals:
    ///
    /// ```text
    /// equalities only                                       Newton's method               then as below
    /// P not zero; equalities, inequalities, second order   splitting, some iterations    then clarabel
    /// linear objectives, exponential and power cones       clarabel                      then splitting
    /// semidefinite cones                                   splitting
    /// ```
    ///
    /// # Cost
    /// Splitting: one factorisation of the optimality system and 25 to 100 solves with it; clarabel: 6 to 15 factorisations; then
    /// one to three more to polish. No work for the derivative. A dense quadratic program of 20 variables and 24 rows takes
    /// about 0.06 ms, one of 100 and 120 about 1.3 ms, a semidefinite one of order 10 with 55 variables 3 ms.
    ///
    /// # Errors
    /// [`Error::Shape`] for values of the wrong number, [`Error::NotFinite`] for NaN or infinity among them,
    /// [`Error::NotConvex`] for a `P` that is not positive semidefinite, [`Error::OutOfRange`] for options out of range. A
    /// program without a solution is no error but an [`Outcome`].
    pub fn solve(&self, values: Values, options: &ConicOptions) -> Result<Outcome> {
        options.check()?;
        solve::solve(self, self.check(values, options)?, None, options)
    }

    /// Solves one program starting from the solution of a similar one.
    ///
    /// If the active set is the same, or nearly so, a few Newton steps from there replace the whole interior-point run: two
    /// to four factorisations in place of 10 to 30. A start that leads nowhere costs a few steps, never the answer.
    ///
    /// # Errors
    /// As [`solve`](Self::solve); [`Error::Shape`] for a solution of another form.
    pub fn solve_from(
        &self,
        start: &ConicSolution,
        values: Values,
        options: &ConicOptions,
    ) -> Result<Outcome> {
        options.check()?;
        let (found, expected) =
            ((start.x().len(), start.z().len()), (self.variables(), self.rows()));
        if found != expected {
            return Err(Error::shape("start (variables, rows)", expected, found));
        }
        solve::solve(self, self.check(values, options)?, Some(start), options)
    }

    /// Solves many programs of this form in parallel: an answer each, in order. What is wrong with one says nothing
    /// about the others; the answers do not depend on the number of threads.
    pub fn solve_batch(&self, batch: &[Values], options: &ConicOptions) -> Vec<Result<Outcome>> {
        batch.par_iter().map(|&values| self.solve(values, options)).collect()
    }

    /// [`solve_batch`](Self::solve_batch) with a start for each program that has one.
    pub fn solve_batch_from(
        &self,
        starts: &[Option<&ConicSolution>],
        batch: &[Values],
        options: &ConicOptions,
    ) -> Vec<Result<Outcome>> {
        let start = |k: usize| starts.get(k).copied().flatten();
        let one = |(k, &values): (usize, &Values)| match start(k) {
            Some(start) => self.solve_from(start, values, options),
            None => self.solve(values, options),
        };
        batch.par_iter().enumerate().map(one).collect()
    }

    fn check(&self, values: Values, options: &ConicOptions) -> Result<Data> {
        let form = &*self.form;
        finite("P", values.quadratic, &form.quadratic)?;
        finite("q", values.linear, &Pattern::dense(form.variables(), 1))?;
        finite("A", values.constraints, &form.constraints)?;
        finite("b", values.right, &Pattern::dense(form.rows(), 1))?;
        let mut p = vec![0.0; form.full.len()];
        form.slots.iter().zip(values.quadratic).for_each(|(&at, value)| p[at] = *value);
        self.check_curvature(&p)?;
        if options.smoothing > 0.0 {
            (1..=form.variables()).for_each(|j| p[form.full.starts()[j] - 1] += options.smoothing);
        }
        let (q, a) = (values.linear.to_vec(), values.constraints.to_vec());
        Ok(Data { p, q, a, b: values.right.to_vec() })
    }

    /// Refuses a `P` that is not positive semidefinite, by the pivots of `P` scaled to a diagonal of ones.
    fn check_curvature(&self, p: &[f64]) -> Result<()> {
        let full = &self.form.full;
        let n = full.columns();
        let diagonal = |j: usize| p[full.starts()[j + 1] - 1];
        let refuse = |variable, found| Err(Error::NotConvex { what: "P", variable, found });
        if let Some(j) = (0..n).find(|&j| diagonal(j) < 0.0) {
            return refuse(j, diagonal(j));
        }
        // Many programs share a `P`. A panic while the lock is held cannot leave it half-written: it is replaced at once.
        let last = || self.form.convex.lock().unwrap_or_else(PoisonError::into_inner);
        if full.len() == n || *last() == p {
            return Ok(());
        }
        let root: Vec<f64> = (0..n).map(|j| diagonal(j).sqrt()).collect();
        let mut scaled = Vec::with_capacity(p.len());
        for ((i, j), &value) in full.places().zip(p) {
            let entry = if i == j { 1.0 } else { (value / root[i]) / root[j] };
            let entry = if value == 0.0 && i != j { 0.0 } else { entry };
            if entry.is_nan() || entry.abs() > 1.0 + CURVATURE {
                return refuse(j, 1.0 - entry.abs());
            }
            scaled.push(entry);
        }
        let analysed = self
            .form
            .curvature
            .get_or_init(|| Arc::new(Symbolic::new(full.starts(), full.indices(), &vec![1.0; n])));
        match analysed.factor(&scaled, CURVATURE).replaced {
            Some((variable, pivot)) => refuse(variable, pivot),
            None => {
                *last() = p.to_vec();
                Ok(())
            }
        }
    }
}

fn finite(what: &'static str, values: &[f64], pattern: &Pattern) -> Result<()> {
    if values.len() != pattern.len() {
        return Err(Error::shape(what, pattern.len(), values.len()));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            let (row, column) = pattern.places().nth(at).unwrap_or_default();
            Err(Error::NotFinite { what, row, column, found: values[at] })
        }
        None => Ok(()),
    }
}

/// The pattern with every diagonal entry, and the place of each of its own entries in it.
fn with_diagonal(pattern: &Pattern) -> (Pattern, Vec<usize>) {
    let n = pattern.columns();
    let (mut starts, mut indices, mut slots) = (vec![0], Vec::new(), Vec::new());
    for j in 0..n {
        // The diagonal entry is the last of an upper triangle's column.
        for &i in &pattern.indices()[pattern.starts()[j]..pattern.starts()[j + 1]] {
            slots.push(indices.len());
            indices.push(i);
        }
        if indices.len() == starts[j] || indices[indices.len() - 1] != j {
            indices.push(j);
        }
        starts.push(indices.len());
    }
    // Ascending because the given one is, and complete by construction.
    (Pattern::of_checked(n, starts, indices), slots)
}

fn parts(cones: &[Cone]) -> Vec<(Cone, Range<usize>)> {
    let mut start = 0;
    let mut parts = Vec::new();
    for &cone in cones {
        let rows = start..start + cone.rows();
        start = rows.end;
        match cone {
            _ if rows.is_empty() => {}
            Cone::SecondOrder(1) | Cone::Semidefinite(1) => {
                parts.push((Cone::Nonnegative(1), rows))
            }
            _ => parts.push((cone, rows)),
        }
    }
    parts
}
