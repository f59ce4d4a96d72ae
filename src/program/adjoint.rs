//! The adjoint of a smoothed program: one solve with the matrix of the forward Newton step.
//!
//! Differentiating `z_g = prox(nu - D, tau_g)`, `Z 1 = r` and (tight) `G s = h` gives, with the blocks
//! `J_g = diag(d) + rho u u'`, `k_g`, `corner_g` of every group, for the upstream gradients `Zbar`, `sbar`
//!
//! ```text
//! a_g = J_g Zbar_g - k_g sbar_g        b_g = k_g'Zbar_g - corner_g sbar_g
//! M y = [ sum_g a_g ; sum_g G_g b_g ]
//! dL/dD_g = -(1/eps) [ a_g - J_g y_nu - k_g (G'y_lambda)_g ]
//! dL/dc_g =  (1/eps) [ b_g - k_g'y_nu - corner_g (G'y_lambda)_g ]
//! dL/dr = y_nu        dL/dh = -y_lambda        dL/deps = sum dL/dD * phi'(Z)
//! ```
//!
//! (the last since `eps phi'(Z)` stands beside `D` in the stationarity of every live entry).

use nalgebra::DVector;

use super::dual::{Point, Scaled, zeros};
use super::prox::{Block, Entry};
use super::selection::{Gradients, Selection, Upstream};
use super::system::{DAMPING, System};
use crate::error::{Error, Result};

/// Rounds of iterative refinement: each gains the digits that the damping cost.
const REFINEMENTS: usize = 12;
/// A relative residual that refinement need not improve on.
const EXACT: f64 = 1e-14;
/// The forward pass's last factor serves if it leaves at most this.
const REUSED: f64 = 1e-12;

pub(super) fn pullback(
    selection: &Selection,
    scaled: &Scaled,
    point: &Point,
    last: &System,
    upstream: Upstream,
) -> Result<Gradients> {
    let program = &scaled.program;
    let n = program.incoming();
    let tight: Vec<bool> = point.lambda.iter().map(|&l| l > 0.0).collect();
    let s_bar = |group: usize| upstream.weights.map_or(0.0, |g| g[group]);

    let mut right = vec![0.0; n + tight.len()];
    let bars: Vec<f64> = match upstream.assignment {
        Some(bar) => point.entries.iter().map(|e| bar[(e.row(), e.column())]).collect(),
        None => vec![0.0; point.entries.len()],
    };
    let mut pulled = bars; // Zbar, then a, an entry each
    let mut paid = vec![0.0; point.live.len()]; // b, a live group each
    for (live, paid) in point.live.iter().zip(&mut paid) {
        let entries = &point.entries[live.range.clone()];
        let bar = s_bar(live.group);
        *paid = apply(&live.block, entries, &mut pulled[live.range.clone()]) - live.block.corner * bar;
        for (slot, e) in pulled[live.range.clone()].iter_mut().zip(entries) {
            *slot -= e.border * bar;
        }
        for b in (0..tight.len()).filter(|&b| tight[b]) {
            right[n + b] += program.coefficients[(b, live.group)] * *paid;
        }
    }
    let free = point.free_entries();
    for (slot, e) in pulled[free.clone()].iter_mut().zip(&point.entries[free.clone()]) {
        *slot *= e.diagonal;
    }
    for (a, e) in pulled.iter().zip(&point.entries) {
        right[e.row()] += a;
    }

    let solved = Refined::solve(scaled, point, last, &tight, &right)?;
    let (y, y_prices) = solved.y.split_at(n);

    // From here on in the program's own units: 1/eps turns dv into dz.
    let eps = program.regulariser.eps();
    let mut costs = zeros(n, program.costs.ncols());
    let mut column_costs = DVector::zeros(program.group_count());
    let mut along = Vec::new();
    for (live, paid) in point.live.iter().zip(&paid) {
        let entries = &point.entries[live.range.clone()];
        let coefficients = program.coefficients.column(live.group);
        let price: f64 = coefficients.iter().zip(y_prices).map(|(a, y)| a * y).sum();
        along.clear();
        along.extend(entries.iter().map(|e| y[e.row()]));
        let ky = apply(&live.block, entries, &mut along);
        for ((e, a), jy) in entries.iter().zip(&pulled[live.range.clone()]).zip(&along) {
            costs[(e.row(), e.column())] = -(a - jy - e.border * price) / eps;
        }
        column_costs[live.group] = (paid - ky - live.block.corner * price) / eps;
    }
    for (e, a) in point.entries[free.clone()].iter().zip(&pulled[free]) {
        costs[(e.row(), e.column())] = -(a - e.diagonal * y[e.row()]) / eps;
    }
    let slope = |e: &Entry| costs[(e.row(), e.column())] * program.regulariser.slope(e.value);
    let eps = point.entries.iter().map(slope).sum();
    let mut diagnostics = selection.diagnostics();
    diagnostics.backward_residual = solved.residual;
    diagnostics.conditioning = solved.conditioning;
    Ok(Gradients {
        eps,
        costs,
        column_costs,
        row_masses: DVector::from_column_slice(y),
        budgets: -DVector::from_column_slice(y_prices),
        diagnostics,
    })
}

/// Replaces `x` by `J x` (an entry each) and returns `k'x` for one group.
fn apply(block: &Block, entries: &[Entry], x: &mut [f64]) -> f64 {
    let (mut along, mut k) = (0.0, 0.0);
    for (e, x) in entries.iter().zip(&*x) {
        along += e.u * x;
        k += e.border * x;
    }
    along *= block.rho;
    for (e, x) in entries.iter().zip(x) {
        *x = e.diagonal * *x + along * e.u;
    }
    k
}

/// The solution of `M y = right`.
struct Refined {
    y: Vec<f64>,
    /// Relative.
    residual: f64,
    conditioning: f64,
}

impl Refined {
    /// By the forward pass's last factor if its active set is that of the solution, else by a new one.
    fn solve(
        scaled: &Scaled,
        point: &Point,
        last: &System,
        tight: &[bool],
        right: &[f64],
    ) -> Result<Self> {
        let program = &scaled.program;
        let size = norm(right);
        if size == 0.0 {
            return Ok(Self { y: vec![0.0; right.len()], residual: 0.0, conditioning: 1.0 });
        }
        if last.is_for(tight) {
            let reused = Self::refine(program, point, last, tight, right, size);
            if reused.residual <= REUSED {
                return Ok(reused);
            }
        }
        let mut system = System::default();
        let factored = system.factor(program, point, tight, DAMPING);
        let refined = if factored {
            Self::refine(program, point, &system, tight, right, size)
        } else {
            Self { y: Vec::new(), residual: f64::INFINITY, conditioning: 0.0 }
        };
        if refined.residual.is_finite() {
            return Ok(refined);
        }
        Err(Error::NotConverged {
            method: "adjoint",
            iterations: 0,
            residual: refined.residual,
            tolerance: 1.0,
        })
    }

    fn refine(
        program: &super::SelectionProgram,
        point: &Point,
        system: &System,
        tight: &[bool],
        right: &[f64],
        size: f64,
    ) -> Self {
        let mut scratch = Vec::new();
        let mut y = vec![0.0; right.len()];
        let mut rest = right.to_vec();
        let (mut better, mut product) = (y.clone(), y.clone());
        let mut residual = 1.0;
        for _ in 0..REFINEMENTS {
            better.copy_from_slice(&rest);
            system.solve(&mut better, &mut scratch);
            better.iter_mut().zip(&y).for_each(|(x, y)| *x += y);
            point.product(program, tight, &better, &mut product);
            product.iter_mut().zip(right).for_each(|(p, r)| *p = r - *p);
            let left = norm(&product) / size;
            if left.is_nan() || left >= residual {
                break;
            }
            std::mem::swap(&mut y, &mut better);
            std::mem::swap(&mut rest, &mut product);
            residual = left;
            if residual <= EXACT {
                break;
            }
        }
        let conditioning = system.conditioning(&mut better, &mut scratch);
        Self { y, residual, conditioning }
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}
