//! What a solve gives: an outcome, a solution, its derivative.

use std::sync::{Arc, OnceLock};

use super::away::Bound;
use super::derivative::{self, Differentiated};
use super::options::ConicOptions;
use super::perturbed;
use super::point::Point;
use super::program::ConicProgram;
use super::scaling::Scaling;
use crate::error::{Error, Result};

/// How a program ended.
///
/// # Example
/// In a batch, a program without a solution leaves the others alone.
/// ```
/// use gleaner::conic::{Cone, ConicProgram, Outcome, Pattern, Values};
///
/// // minimise x  subject to  low <= x <= high
/// let (constraints, _) = Pattern::from_places(2, 1, &[(0, 0), (1, 0)])?;
/// let cones = vec![Cone::Nonnegative(2)];
/// let interval = ConicProgram::new(Pattern::empty(1, 1), constraints, cones)?;
/// let between = |right| Values { quadratic: &[], linear: &[1.0], constraints: &[-1.0, 1.0], right };
/// let batch = [between(&[-1.0, 2.0]), between(&[-2.0, 1.0])];
/// let outcomes = interval.solve_batch(&batch, &Default::default());
///
/// assert!((outcomes[0].as_ref().unwrap().as_solution().unwrap().x()[0] - 1.0).abs() < 1e-9);
/// assert!(matches!(outcomes[1], Ok(Outcome::Infeasible { .. })));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The optimality conditions hold to [`ConicOptions::tolerance`].
    Solved(ConicSolution),
    /// They hold to [`ConicOptions::reduced_tolerance`] only, or what is curved is so little beside the slopes that it says
    /// nothing in `f64`: the objective is optimal, `x` one of many as good.
    AlmostSolved(ConicSolution),
    /// No `x` is feasible.
    Infeasible {
        /// `z` in the dual cone with `A'z = 0` and `b'z = -1`, one entry a row.
        certificate: Vec<f64>,
    },
    /// The objective falls without end, if anything is feasible.
    Unbounded {
        /// `x` with `P x = 0`, `-A x` in the cone and `q'x = -1`, one entry a variable.
        certificate: Vec<f64>,
    },
    /// No solver found an answer or a proof that there is none.
    Failed {
        /// What happened, in words.
        why: String,
    },
}

/// The kind of an [`Outcome`], for tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// [`Outcome::Solved`].
    Solved,
    /// [`Outcome::AlmostSolved`].
    AlmostSolved,
    /// [`Outcome::Infeasible`].
    Infeasible,
    /// [`Outcome::Unbounded`].
    Unbounded,
    /// [`Outcome::Failed`].
    Failed,
}

impl Outcome {
    /// Its kind.
    pub fn status(&self) -> Status {
        match self {
            Self::Solved(_) => Status::Solved,
            Self::AlmostSolved(_) => Status::AlmostSolved,
            Self::Infeasible { .. } => Status::Infeasible,
            Self::Unbounded { .. } => Status::Unbounded,
            Self::Failed { .. } => Status::Failed,
        }
    }

    /// The solution, solved or almost.
    pub fn as_solution(&self) -> Option<&ConicSolution> {
        match self {
            Self::Solved(solution) | Self::AlmostSolved(solution) => Some(solution),
            _ => None,
        }
    }

    /// The solution, solved or almost.
    ///
    /// # Errors
    /// [`Error::NoSolution`] saying what the program is instead.
    pub fn solution(self) -> Result<ConicSolution> {
        let found = match self {
            Self::Solved(solution) | Self::AlmostSolved(solution) => return Ok(solution),
            Self::Infeasible { .. } => "infeasible".into(),
            Self::Unbounded { .. } => "unbounded".into(),
            Self::Failed { why } => format!("not solved: {why}"),
        };
        Err(Error::NoSolution { found })
    }
}

/// Who found a solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Newton's method from the start that was given.
    Warm,
    /// Newton's method from nowhere: equalities only.
    Newton,
    /// Clarabel's interior point, then Newton's method.
    Interior,
    /// Operator splitting, then Newton's method.
    Splitting,
}

/// How good a solution is, and what it took.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// [`Status::Solved`] or [`Status::AlmostSolved`].
    pub status: Status,
    /// `1/2 x'Px + q'x`, smoothing included.
    pub objective: f64,
    /// Largest entry of `A x + s - b`, relative to the largest of its row's (or cone's) terms, or of all those of `A x`, rows and columns scaled to ones. Slacks and multipliers lie in their cones and
    /// are complementary by construction.
    pub primal_residual: f64,
    /// Largest entry of `P x + q + A'z`, likewise.
    pub dual_residual: f64,
    /// Who found it.
    pub method: Method,
    /// Interior-point or splitting iterations.
    pub iterations: usize,
    /// Newton steps.
    pub polish_steps: usize,
}

/// An upstream gradient: what the loss says about the answer. Missing parts count as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Upstream<'a> {
    /// `dL/dx`, one entry a variable.
    pub x: Option<&'a [f64]>,
    /// `dL/ds`, one entry a row.
    pub s: Option<&'a [f64]>,
    /// `dL/dz`, one entry a row.
    pub z: Option<&'a [f64]>,
}

/// The gradient of a loss with respect to every number of the program, in the order of its patterns.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gradients {
    /// `dL/dP`, one a entry of the upper triangle. An entry off the diagonal stands for two of the symmetric matrix and has
    /// the gradient of both: `-(l_i x_j + l_j x_i)`.
    pub quadratic: Vec<f64>,
    /// `dL/dq`.
    pub linear: Vec<f64>,
    /// `dL/dA`, one an entry.
    pub constraints: Vec<f64>,
    /// `dL/db`.
    pub right: Vec<f64>,
    /// How far to trust the above.
    pub diagnostics: Diagnostics,
}

/// What a user should know before trusting a gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Diagnostics {
    /// Conditions (row active or not, cone at its apex, face or inside) that hold by less than 1e-7 of the largest
    /// multiplier or slack. If any, the derivative is one-sided and an element of the generalised derivative is given.
    pub weakly_active: usize,
    /// What iterative refinement left over of the right-hand side, relative; rounding, if all is well.
    pub backward_residual: f64,
    /// The part of the upstream gradient that asks for what the program does not determine (along a face of equally good
    /// answers, or of multipliers), relative to its norm. It was taken away: the gradient is that of the rest.
    pub undetermined: f64,
    /// Whether `x` is the only answer to first order.
    pub primal_unique: bool,
    /// Whether `z` is (it is not where active constraints repeat each other).
    pub dual_unique: bool,
}

impl Diagnostics {
    /// Whether the gradient is the derivative: nothing weakly active, no constraint that repeats others (`x` follows whichever
    /// moves first), all of the upstream gradient answered.
    pub fn is_regular(&self) -> bool {
        let answered = self.undetermined == 0.0 && self.backward_residual < 1e-8;
        self.weakly_active == 0 && self.dual_unique && answered
    }
}

/// A solution `(x, s, z)` with what its derivative needs.
///
/// # Example
/// See [`ConicProgram`].
#[derive(Clone, Debug)]
pub struct ConicSolution {
    program: ConicProgram,
    scaling: Arc<Scaling>,
    /// In the scaling's units.
    point: Point,
    x: Vec<f64>,
    s: Vec<f64>,
    z: Vec<f64>,
    held: Vec<(Bound, f64)>,
    verdict: Verdict,
    options: ConicOptions,
    differentiated: OnceLock<Arc<Differentiated>>,
}

impl ConicSolution {
    pub(super) fn new(
        program: ConicProgram,
        scaling: Arc<Scaling>,
        point: Point,
        method: Method,
        iterations: usize,
        polish_steps: usize,
        options: ConicOptions,
    ) -> Self {
        let mut curved = vec![0.0; point.x.len()];
        program.form.full.add_symmetric(&scaling.data.p, &point.x, &mut curved);
        let terms = curved.iter().zip(&scaling.data.q).zip(&point.x);
        let objective: f64 = terms.map(|((px, q), x)| (0.5 * px + q) * x).sum();
        let verdict = Verdict {
            status: Status::Solved,
            objective: objective * scaling.of_objective(),
            primal_residual: point.primal_residual,
            dual_residual: point.dual_residual,
            method,
            iterations,
            polish_steps,
        };
        let out = |values: &[f64], units: &mut dyn Iterator<Item = f64>| {
            values.iter().zip(units).map(|(value, unit)| value * unit).collect()
        };
        let x = out(&point.x, &mut scaling.of_variables());
        let s = out(&point.s, &mut scaling.of_slacks());
        let z = out(&point.z, &mut scaling.of_multipliers());
        let held = Vec::new();
        let differentiated = OnceLock::new();
        Self { x, s, z, held, program, scaling, point, verdict, options, differentiated }
    }

    /// The outcome of which this is the answer, all of the tolerance met or not.
    pub(super) fn outcome(mut self, solved: bool) -> Outcome {
        match solved {
            true => Outcome::Solved(self),
            false => {
                self.verdict.status = Status::AlmostSolved;
                Outcome::AlmostSolved(self)
            }
        }
    }

    /// In the program's own units numbers can be too large.
    pub(super) fn is_finite(&self) -> bool {
        let all = self.x.iter().chain(&self.s).chain(&self.z);
        all.into_iter().all(|number| number.is_finite()) && self.verdict.objective.is_finite()
    }

    /// Rows without a multiplier, each of which is farther away by so much than where it was put to find this, and bounds
    /// whose multipliers are larger by so much, for slopes that are steeper.
    pub(super) fn move_out(&mut self, far: &[(usize, f64)], held: Vec<(Bound, f64)>) {
        far.iter().for_each(|(row, by)| self.s[*row] += by);
        for (bound, by) in &held {
            let Bound { row, variable, entry } = *bound;
            let coefficient =
                self.scaling.data.a[entry] / self.scaling.of_constraint(row, variable);
            self.z[row] += by;
            // What the slope is steeper by is that times the coefficient.
            self.verdict.objective -= by * coefficient * self.x[variable];
        }
        self.held = held;
    }

    /// Bounds whose multipliers are larger by so much than in the point.
    pub(super) fn held(&self) -> &[(Bound, f64)] {
        &self.held
    }

    /// The program's form.
    pub fn program(&self) -> &ConicProgram {
        &self.program
    }

    /// `x`, one entry a variable.
    pub fn x(&self) -> &[f64] {
        &self.x
    }

    /// The slacks `s`, in the cone, one entry a row.
    pub fn s(&self) -> &[f64] {
        &self.s
    }

    /// The multipliers `z`, in the dual cone, one entry a row: the optimal objective falls by `z_i` for each unit that
    /// `b_i` gains.
    pub fn z(&self) -> &[f64] {
        &self.z
    }

    /// How good it is, and what it took.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    pub(super) fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    pub(super) fn options(&self) -> &ConicOptions {
        &self.options
    }

    /// The exact derivative, backwards: from the gradient of a loss in `(x, s, z)` to that in the values of
    /// `(P, q, A, b)`.
    ///
    /// With `D` the derivative of the projection at `z - s`, see the [module](super):
    ///
    /// ```text
    /// P l + A'u = g_x - A'g_s,    D A l + (D - I) u = D g_z,    v = u + g_s
    /// dq = -l    db = v    dP = -(l x' + x l') / 2    dA = -(z l' + v x')
    /// ```
    ///
    /// With [`ConicOptions::smoothing`] it is that of the smoothed program. Never NaN or infinite.
    ///
    /// # Cost
    /// One factorisation for the first upstream gradient of a solution, a few triangular solves for each.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NotFinite`] for an upstream gradient that does not fit.
    pub fn pullback(&self, upstream: Upstream) -> Result<Gradients> {
        let (x, s, z) = self.filled(upstream)?;
        Ok(derivative::pullback(
            self.differentiated(),
            &self.program,
            &self.scaling,
            (&self.point, &self.held),
            (x, s, z),
        ))
    }

    /// A gradient by perturbing the program along the loss and solving it again, twice (LPGD): informative where the exact
    /// one is zero, as at the vertices of linear programs.
    ///
    /// ```text
    /// (x, z)(delta) = the solution for  q + delta (g_x - A'g_s),  b - delta g_z
    /// dq = (x(delta) - x(-delta)) / (2 delta), and so on
    /// ```
    ///
    /// with `delta = size * |q| / |g|` (largest entries; that of `b` and `g_z` if it is smaller). For a small `size` it tends
    /// to the exact gradient, where there is one.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `size > 0` and finite, [`Error::NoSolution`] if a perturbed program has none, and those
    /// of [`pullback`](Self::pullback).
    ///
    /// # Reference
    /// A. Paulus, G. Martius, V. Musil, *LPGD: A General Framework for Backpropagation through Embedded Optimization
    /// Layers*, ICML 2024, arXiv 2407.05920; here two-sided without an augmented Lagrangian.
    pub fn pullback_perturbed(&self, upstream: Upstream, size: f64) -> Result<Gradients> {
        // NaN is neither.
        if !(size > 0.0 && size.is_finite()) {
            return Err(Error::range("size", "> 0 and finite", size));
        }
        let (x, s, z) = self.filled(upstream)?;
        perturbed::pullback(self, (x, s, z), size)
    }

    /// How far to trust a gradient at this solution, before asking for one.
    pub fn diagnostics(&self) -> Diagnostics {
        self.differentiated().diagnostics()
    }

    fn differentiated(&self) -> &Differentiated {
        self.differentiated.get_or_init(|| {
            Arc::new(Differentiated::new(&self.program, &self.scaling.data, &self.point))
        })
    }

    fn filled(&self, upstream: Upstream) -> Result<(Vec<f64>, Vec<f64>, Vec<f64>)> {
        let (n, m) = (self.point.x.len(), self.point.w.len());
        let fill = |what, part: Option<&[f64]>, size: usize| {
            let part = part.map_or_else(|| vec![0.0; size], <[f64]>::to_vec);
            if part.len() != size {
                return Err(Error::shape(what, size, part.len()));
            }
            match part.iter().position(|value| !value.is_finite()) {
                Some(row) => Err(Error::NotFinite { what, row, column: 0, found: part[row] }),
                None => Ok(part),
            }
        };
        let x = fill("upstream gradient of x", upstream.x, n)?;
        let s = fill("upstream gradient of s", upstream.s, m)?;
        Ok((x, s, fill("upstream gradient of z", upstream.z, m)?))
    }
}
