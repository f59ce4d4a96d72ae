//! The pullback on an explicit active set: a dense KKT system, differentiated by a solve with its
//! transpose. It serves programs without a regulariser, whose solution sits at a vertex (or, p = 2, on
//! a curved face) where the dual point of `adjoint` has no curvature to invert; and it is the second,
//! independent rule that `adjoint` is tested against.
//!
//! On the face the free variables are the live entries, with all entries at a binding cap of a group
//! merged into one. Row masses and tight budgets are equalities:
//!
//! ```text
//! K = [ H  A' ]    H = eps phi''(Z) + sum_g tau_g Hess ||Z_g||_p        K [p; q] = [dL/dx; 0]
//!     [ A  0  ]    dL/dD = -p   dL/dr = q_rows   dL/dh = q_budgets   dL/dc_g = -<p, grad ||Z_g||>
//! ```

use nalgebra::{DMatrix, DVector};

use super::conjugate::Space;
use super::gradients::{Gradients, Upstream};
use super::margins::Margins;
use super::{Diagnostics, Norm, Regulariser, Selection};
use crate::error::Result;

/// An entry counts as live above this share of the largest mass, a multiplier above this share of the rows':
/// solvers are exact to about 1e-9 and vertices of generic programs have entries far larger.
pub(super) const LIVE: f64 = 1e-6;
/// Singular values below this, relative to the largest, are treated as zero.
const RANK: f64 = 1e-10;
/// Unknowns of a dense decomposition at most: a few seconds. For more, conjugate gradients on the least squares, as
/// many steps as this at most, to this relative residual of their normal equations.
const LARGEST: usize = 2000;
const STEPS: usize = 2000;
const ACCURACY: f64 = 1e-13;

/// The free variables on the face.
struct Face {
    /// Entries `(row, column)` moved by each variable.
    variables: Vec<Vec<(usize, usize)>>,
    /// `(variable, d||Z_g||/dx)` for each group.
    norms: Vec<Vec<(usize, f64)>>,
    tight: Vec<usize>,
    /// `H`: its diagonal, and for p = 2 what a group's slopes bend less along themselves; `None` where it is zero.
    curvature: Option<(DVector<f64>, Vec<f64>)>,
}

impl Face {
    fn of(selection: &Selection) -> Self {
        let program = selection.program();
        let z = selection.assignment();
        let lambda = selection.budget_multipliers();
        let (live_above, scale) = (LIVE * program.row_masses.amax(), selection.unit());
        let tau = &program.column_costs + program.coefficients.tr_mul(lambda);
        // The entropic regulariser keeps every entry positive.
        let entropic = matches!(program.regulariser, Regulariser::Entropic(_));
        let least = if entropic { 0.0 } else { live_above };
        let mut variables = Vec::new();
        let mut norms = vec![Vec::new(); program.groups.len()];
        for (g, columns) in program.groups.iter().enumerate() {
            let live = columns.iter().flat_map(|&j| (0..z.nrows()).map(move |i| (i, j)));
            let live: Vec<_> = live.filter(|&e| z[e] > least).collect();
            let weight = selection.weights()[g];
            let at_cap = |e: &(usize, usize)| z[*e] >= weight - live_above;
            let binding = tau[g] > LIVE * scale;
            let (capped, free): (Vec<_>, Vec<_>) = if program.norm == Norm::Infinity && binding {
                live.into_iter().partition(at_cap)
            } else {
                (Vec::new(), live)
            };
            for e in free {
                match program.norm {
                    Norm::One => norms[g].push((variables.len(), 1.0)),
                    Norm::Two => norms[g].push((variables.len(), z[e] / weight)),
                    // Not binding: the weight is the largest entry.
                    Norm::Infinity if !binding && z[e] == weight => {
                        norms[g].push((variables.len(), 1.0));
                    }
                    Norm::Infinity => {}
                }
                variables.push(vec![e]);
            }
            if !capped.is_empty() {
                norms[g].push((variables.len(), 1.0));
                variables.push(capped);
            }
        }
        for j in z.nrows()..z.ncols() {
            variables.extend((0..z.nrows()).filter(|&i| z[(i, j)] > least).map(|i| vec![(i, j)]));
        }
        let tight = (0..lambda.len()).filter(|&b| lambda[b] > LIVE * scale).collect();
        let curved = program.norm == Norm::Two || program.regulariser != Regulariser::None;
        let curvature = curved.then(|| curvature(selection, &variables, &norms, &tau));
        Self { variables, norms, tight, curvature }
    }

    /// `A`: the coefficients of row masses and tight budgets.
    fn links(&self, selection: &Selection) -> DMatrix<f64> {
        let program = selection.program();
        let n = program.incoming();
        let mut a = DMatrix::zeros(n + self.tight.len(), self.variables.len());
        for (x, entries) in self.variables.iter().enumerate() {
            entries.iter().for_each(|&(i, _)| a[(i, x)] += 1.0);
        }
        for (row, &b) in self.tight.iter().enumerate() {
            for (g, slopes) in self.norms.iter().enumerate() {
                for &(x, slope) in slopes {
                    a[(n + row, x)] += program.coefficients[(b, g)] * slope;
                }
            }
        }
        a
    }

    /// `[H A'; A 0] x`, `H` from its parts.
    fn product(
        &self,
        selection: &Selection,
        (diagonal, bends): &(DVector<f64>, Vec<f64>),
        x: &DVector<f64>,
    ) -> DVector<f64> {
        let program = selection.program();
        let (count, n) = (self.variables.len(), program.incoming());
        let mut out = DVector::zeros(x.len());
        for (v, entries) in self.variables.iter().enumerate() {
            out[v] += diagonal[v] * x[v];
            for &(i, _) in entries {
                out[v] += x[count + i];
                out[count + i] += x[v];
            }
        }
        for (g, (slopes, bend)) in self.norms.iter().zip(bends).enumerate() {
            let along: f64 = slopes.iter().map(|&(v, slope)| slope * x[v]).sum();
            let prices = self.tight.iter().enumerate();
            let prices = prices.map(|(row, &b)| (count + n + row, program.coefficients[(b, g)]));
            let mut lift = -bend * along;
            for (row, price) in prices {
                out[row] += price * along;
                lift += price * x[row];
            }
            slopes.iter().for_each(|&(v, slope)| out[v] += lift * slope);
        }
        out
    }

    /// The same as a matrix.
    fn matrix(
        &self,
        selection: &Selection,
        curvature: &(DVector<f64>, Vec<f64>),
        size: usize,
    ) -> DMatrix<f64> {
        let mut unit = DVector::zeros(size);
        let mut matrix = DMatrix::zeros(size, size);
        for (k, mut column) in matrix.column_iter_mut().enumerate() {
            unit[k] = 1.0;
            column.copy_from(&self.product(selection, curvature, &unit));
            unit[k] = 0.0;
        }
        matrix
    }
}

/// As [`least_squares`] where `H` is zero: `p` is zero, and `q` solves `A'q = dL/dx` as well as it can.
fn flat(a: DMatrix<f64>, right: &DVector<f64>) -> (DVector<f64>, f64, f64) {
    let (rows, count) = a.shape();
    let mut solution = DVector::zeros(right.len());
    let x = right.rows(0, count);
    let size = x.norm();
    if size == 0.0 {
        return (solution, 0.0, 1.0);
    }
    let normal = (&a * a.transpose()).symmetric_eigen();
    let largest = normal.eigenvalues.max().max(f64::MIN_POSITIVE);
    let along = normal.eigenvectors.tr_mul(&(&a * x));
    let inverse = |(along, value): (&f64, &f64)| {
        if *value > RANK * largest { along / value } else { 0.0 }
    };
    let along = DVector::from_iterator(rows, along.iter().zip(&normal.eigenvalues).map(inverse));
    let q = &normal.eigenvectors * along;
    let residual = (x - a.tr_mul(&q)).norm() / size;
    solution.rows_mut(count, rows).copy_from(&q);
    (solution, residual, (normal.eigenvalues.min().max(0.0) / largest).sqrt())
}

fn curvature(
    selection: &Selection,
    variables: &[Vec<(usize, usize)>],
    norms: &[Vec<(usize, f64)>],
    tau: &DVector<f64>,
) -> (DVector<f64>, Vec<f64>) {
    let program = selection.program();
    let z = selection.assignment();
    let of = |e: &(usize, usize)| match program.regulariser {
        Regulariser::None => 0.0,
        Regulariser::Quadratic(eps) => eps,
        Regulariser::Entropic(eps) => eps / z[*e],
    };
    let own = variables.iter().map(|entries| entries.iter().map(of).sum());
    let mut diagonal = DVector::from_iterator(variables.len(), own);
    let mut bends = vec![0.0; norms.len()];
    if program.norm == Norm::Two {
        for (g, slopes) in norms.iter().enumerate() {
            bends[g] = tau[g] / selection.weights()[g].max(f64::MIN_POSITIVE);
            slopes.iter().for_each(|&(x, _)| diagonal[x] += bends[g]);
        }
    }
    (diagonal, bends)
}

pub(super) fn pullback(
    selection: &Selection,
    mut diagnostics: Diagnostics,
    upstream: Upstream,
) -> Result<Gradients> {
    let program = selection.program();
    let face = Face::of(selection);
    let (count, n) = (face.variables.len(), program.incoming());
    let mut right = DVector::zeros(count + n + face.tight.len());
    if let Some(bar) = upstream.assignment {
        for (x, entries) in face.variables.iter().enumerate() {
            right[x] += entries.iter().map(|&e| bar[e]).sum::<f64>();
        }
    }
    if let Some(bar) = upstream.weights {
        for (g, slopes) in face.norms.iter().enumerate() {
            slopes.iter().for_each(|&(x, slope)| right[x] += bar[g] * slope);
        }
    }
    let (solution, backward_residual, conditioning) = match &face.curvature {
        None => flat(face.links(selection), &right),
        Some(curvature) if right.len() > LARGEST => {
            let product = |x: &DVector<f64>| face.product(selection, curvature, x);
            iterated(product, &curvature.0, &right)
        }
        Some(curvature) => least_squares(face.matrix(selection, curvature, right.len()), &right),
    };

    let mut costs = DMatrix::zeros(n, program.costs.ncols());
    let mut eps = 0.0;
    for (x, entries) in face.variables.iter().enumerate() {
        for &e in entries {
            costs[e] = -solution[x];
            eps -= solution[x] * program.regulariser.slope(selection.assignment()[e]);
        }
    }
    let priced = |slopes: &Vec<(usize, f64)>| slopes.iter().map(|&(x, s)| -solution[x] * s).sum();
    let mut budgets = DVector::zeros(program.limits.len());
    for (row, &b) in face.tight.iter().enumerate() {
        budgets[b] = solution[count + n + row];
    }
    diagnostics.backward_residual = backward_residual;
    diagnostics.conditioning = conditioning;
    Ok(Gradients {
        costs,
        column_costs: DVector::from_iterator(face.norms.len(), face.norms.iter().map(priced)),
        row_masses: solution.rows(count, n).into_owned(),
        budgets,
        eps,
        diagnostics,
    })
}

/// The same as [`least_squares`] by conjugate gradients, for a symmetric matrix that is known by its products and the
/// first part of its diagonal; the ratio of singular values is not known, and given as zero where it did not get there.
fn iterated(
    product: impl Fn(&DVector<f64>) -> DVector<f64>,
    diagonal: &DVector<f64>,
    right: &DVector<f64>,
) -> (DVector<f64>, f64, f64) {
    let size = right.norm();
    let mut balance = DVector::from_element(right.len(), 1.0);
    balance.iter_mut().zip(diagonal).for_each(|(b, d)| *b = 1.0 / d.max(1.0).sqrt());
    let balanced = |x: &DVector<f64>| product(&x.component_mul(&balance)).component_mul(&balance);
    let twice = |x: &[f64], out: &mut [f64]| {
        let once = balanced(&DVector::from_column_slice(x));
        out.copy_from_slice(balanced(&once).as_slice());
    };
    let mut x = DVector::zeros(right.len());
    let normal = balanced(&right.component_mul(&balance));
    let outcome = Space::default().solve(
        normal.as_slice(),
        x.as_mut_slice(),
        (ACCURACY, STEPS),
        twice,
        |rest, out| out.copy_from_slice(rest),
    );
    let solution = x.component_mul(&balance);
    let residual = if size > 0.0 { (right - product(&solution)).norm() / size } else { 0.0 };
    let there = outcome.residual <= ACCURACY;
    (solution, residual, if there { 1.0 } else { 0.0 })
}

/// Least-squares solution of least norm, its relative residual and the
/// ratio of extreme singular values: at a degenerate vertex the system
/// is singular, and this is the defined element that is returned.
fn least_squares(matrix: DMatrix<f64>, right: &DVector<f64>) -> (DVector<f64>, f64, f64) {
    let size = right.norm();
    if size == 0.0 {
        return (DVector::zeros(right.len()), 0.0, 1.0);
    }
    // Entropic curvature eps/z is huge at tiny entries: symmetric scaling to unit diagonal keeps them
    // from hiding the rest under the rank cut.
    let balance = matrix.diagonal().map(|d| 1.0 / d.max(1.0).sqrt());
    let balanced =
        DMatrix::from_fn(right.len(), right.len(), |i, j| balance[i] * matrix[(i, j)] * balance[j]);
    let svd = balanced.svd(true, true);
    let (smallest, largest) = (svd.singular_values.min(), svd.singular_values.max());
    let cut = RANK * largest;
    // `solve` fails only if the singular vectors were not asked for; they were.
    let solution = svd
        .solve(&right.component_mul(&balance), cut)
        .unwrap_or_else(|_| DVector::zeros(right.len()))
        .component_mul(&balance);
    let residual = (right - matrix * &solution).norm() / size;
    (solution, residual, smallest / largest)
}

/// Distances from a change of the face: positive entries from zero (and from the cap), other entries
/// by their reduced costs in units of the largest cost.
pub(super) fn margins(selection: &Selection, tolerance: f64) -> Margins {
    let mut margins = Margins::new(tolerance.max(LIVE));
    let mut note = |distance: f64| margins.note(distance);
    let program = selection.program();
    let (z, nu) = (selection.assignment(), selection.row_multipliers());
    let (live_above, scale) = (LIVE * program.row_masses.amax(), selection.unit());
    let lambda = selection.budget_multipliers();
    let spent = &program.coefficients * selection.weights();
    for b in 0..lambda.len() {
        note((lambda[b] / scale).max(program.limits[b] - spent[b]));
    }
    let tau = &program.column_costs + program.coefficients.tr_mul(lambda);
    let value = |i: usize, j: usize| (nu[i] - program.costs[(i, j)]) / scale;
    for (g, columns) in program.groups.iter().enumerate() {
        let entries = || columns.iter().flat_map(|&j| (0..z.nrows()).map(move |i| (i, j)));
        let weight = selection.weights()[g];
        let tau = tau[g] / scale;
        let floor = if program.norm == Norm::One { tau } else { 0.0 };
        if weight <= live_above {
            let positive = entries().map(|(i, j)| (value(i, j) - floor).max(0.0));
            note(match program.norm {
                Norm::One => {
                    entries().map(|(i, j)| value(i, j) - tau).fold(f64::NEG_INFINITY, f64::max)
                }
                Norm::Two => positive.map(|v| v * v).sum::<f64>().sqrt() - tau,
                Norm::Infinity => positive.sum::<f64>() - tau,
            });
            continue;
        }
        if program.norm == Norm::Infinity && tau <= LIVE {
            // Without a price the weight is the largest entry: a tie for it is a kink.
            let mut tops: Vec<f64> = entries().map(|e| z[e]).collect();
            tops.sort_unstable_by(|a, b| b.total_cmp(a));
            tops.windows(2).take(1).for_each(|two| note(two[0] - two[1]));
        }
        for (i, j) in entries() {
            let (z, v) = (z[(i, j)], value(i, j) - floor);
            if z <= live_above {
                note(v);
            } else if program.norm == Norm::Infinity && tau > LIVE {
                note(if z >= weight - live_above { v } else { z.min(weight - z) });
            } else {
                note(z);
            }
        }
    }
    for j in z.nrows()..z.ncols() {
        (0..z.nrows())
            .for_each(|i| note(if z[(i, j)] > live_above { z[(i, j)] } else { value(i, j) }));
    }
    margins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::selection::Face as Kind;
    use crate::program::{Budget, Method, ProgramOptions, SelectionProgram};
    use rand::{Rng, SeedableRng};

    /// Two independent rules for the same derivative. 1e-8: both solve systems with condition numbers
    /// up to about 1e6 in f64.
    #[test]
    fn agrees_with_the_adjoint_of_the_dual() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        for norm in [Norm::One, Norm::Two, Norm::Infinity] {
            for regulariser in [Regulariser::Quadratic(0.05), Regulariser::Entropic(0.1)] {
                for m in [0, 3] {
                    let costs = DMatrix::from_fn(5, 5 + m, |i, j| {
                        if i == j { 0.0 } else { rng.random_range(0.1..2.0) }
                    });
                    let row_masses = Some((0..5).map(|_| rng.random_range(0.8..1.2)).collect());
                    let column_costs = Some((0..5).map(|_| rng.random_range(0.0..0.3)).collect());
                    let options = ProgramOptions {
                        norm,
                        regulariser,
                        column_costs,
                        row_masses,
                        groups: None,
                        allowed: None,
                    };
                    let budget = if norm == Norm::One && m == 0 { 5.5 } else { 2.6 };
                    let program =
                        SelectionProgram::new(costs, Budget::Absolute(budget), options).unwrap();
                    let selection = program.solve(Method::Structured).unwrap();
                    let bar = DMatrix::from_fn(5, 5 + m, |_, _| rng.random_range(-1.0..1.0));
                    let weights = DVector::from_fn(5, |_, _| rng.random_range(-1.0..1.0));
                    let upstream = Upstream { assignment: Some(&bar), weights: Some(&weights) };
                    assert!(matches!(selection.face, Kind::Smooth(_)));
                    let a = selection.pullback(upstream).unwrap();
                    let b = pullback(&selection, selection.diagnostics(), upstream).unwrap();
                    let close = |x: f64, y: f64| (x - y).abs() <= 1e-8 * (1.0 + x.abs());
                    let name = format!("{norm:?} {regulariser:?} m = {m}");
                    assert!(
                        a.costs.iter().zip(&b.costs).all(|(x, y)| close(*x, *y)),
                        "costs {name}"
                    );
                    assert!(
                        a.row_masses.iter().zip(&b.row_masses).all(|(x, y)| close(*x, *y)),
                        "rows {name}"
                    );
                    assert!(close(a.budgets[0], b.budgets[0]), "budget {name}");
                    assert!(close(a.eps, b.eps), "eps {name} {} {}", a.eps, b.eps);
                }
            }
        }
    }

    /// The iteration for large faces gives what the decomposition gives, where the solution is unique and where it
    /// is not. 1e-6: a residual of 1e-13 of the normal equations, times the square of a condition number of 1e3.
    #[test]
    fn the_iteration_agrees_with_the_decomposition() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(6);
        for equal in [false, true] {
            let costs = DMatrix::from_fn(6, 9, |i, j| match equal {
                true => 1.0,
                false if i == j => 0.0,
                false => rng.random_range(0.1..2.0),
            });
            let (norm, regulariser) = (Norm::Two, Regulariser::None);
            let options = ProgramOptions { norm, regulariser, ..Default::default() };
            let program = SelectionProgram::new(costs, Budget::Absolute(2.0), options).unwrap();
            let selection = program.solve(Method::Auto).unwrap();
            let face = Face::of(&selection);
            let size = face.variables.len() + 6 + face.tight.len();
            let right = DVector::from_fn(size, |_, _| rng.random_range(-1.0..1.0));
            let curvature = face.curvature.as_ref().unwrap();
            let (a, ..) = least_squares(face.matrix(&selection, curvature, size), &right);
            let product = |x: &DVector<f64>| face.product(&selection, curvature, x);
            let (b, _, there) = iterated(product, &curvature.0, &right);
            assert_eq!(there, 1.0, "all equal: {equal}");
            assert!((&a - &b).amax() <= 1e-6 * a.amax(), "all equal: {equal}: {a} {b}");
        }
    }
}
