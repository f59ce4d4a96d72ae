//! The reduced system behind the derivative and the Newton step: symmetric, quasi-definite, of one pattern.
//!
//! In the eigenbasis of the projection's derivative (see [`projection`](super::projection)) both are
//!
//! ```text
//! | P   A~' | (l)   (g)        A~  the rows of A in that basis
//! | A~  -C  | (u) = (h~)       C   the ratios (1 - d) / d;  where d = 0 the row is zero and C = 1
//! ```
//!
//! so an inactive row costs a pivot and nothing else, an active one is an equality. Every basis mixes rows within a
//! cone only: the pattern is known beforehand, and analysed once. A second-order cone is not rotated, which would fill
//! it; its first row carries `(1, v)`, and one more variable keeps the others orthogonal to `v`:
//!
//! ```text
//! (a_0 + v'A_1) l / √2 = h~_0,    A_1 l - c u_1 - √c v m = h_1,    -√c v'u_1 = 0
//! ```
//!
//! The matrix is scaled to entries of one, factorised with a tiny multiple of the identity (signed) added, and the
//! solution refined on the system without it. Where that is singular the right-hand side may have a part that no
//! solution reaches: refinement leaves exactly that part over. It is taken away, and said.

use std::ops::Range;
use std::sync::Arc;

use nalgebra::DMatrix;

use super::cone::Cone;
use super::ldl::{Factor, Symbolic, running};
use super::pattern::Pattern;
use super::projection::{Face, matrix, triangle};

/// Added to the scaled diagonal. A variable without curvature has it for a pivot, and the pivots after that are
/// differences of numbers of size `1 / SHIFT`: its root must stand well above rounding.
const SHIFT: f64 = 1e-7;
/// A relative residual above this is a part that no solution reaches, not rounding.
const UNREACHED: f64 = 1e-8;
/// Rounds of scaling rows and columns to a largest entry of one.
const SCALINGS: usize = 3;
/// Steps towards the null space, and the share that is none: between them a direction counts as null in which the scaled
/// matrix is below nine shifts.
const PROJECTIONS: usize = 6;
const GONE: f64 = 1e-6;

/// How one cone's rows enter the matrix.
#[derive(Debug)]
struct Block {
    cone: Cone,
    rows: Range<usize>,
    /// Columns that the mixed rows have entries in; empty where rows stay by themselves.
    columns: Vec<usize>,
    /// Entries of the block: row within it, place among the columns, number among the values of `A`.
    entries: Vec<(usize, usize, usize)>,
    /// Second-order cones: the number of the extra variable.
    extra: Option<usize>,
}

/// The pattern of the system, and where numbers go.
#[derive(Debug)]
pub(super) struct Layout {
    variables: usize,
    rows: usize,
    starts: Vec<usize>,
    indices: Vec<usize>,
    symbolic: Arc<Symbolic>,
    blocks: Vec<Block>,
    /// Place of each entry of `P`, and of each entry of `A` that stays in its row (`usize::MAX` otherwise).
    quadratic: Vec<usize>,
    plain: Vec<usize>,
}

impl Layout {
    /// For `P`'s upper triangle with its whole diagonal, `A`, and cones that add up to its rows.
    pub(super) fn new(quadratic: &Pattern, constraints: &Pattern, cones: &[Cone]) -> Self {
        let (n, m) = (quadratic.columns(), constraints.rows());
        let mut by_row = vec![Vec::new(); m];
        for (k, (i, j)) in constraints.places().enumerate() {
            by_row[i].push((j, k));
        }
        let blocks = blocks(cones, &by_row, n + m);
        let size = n + m + blocks.iter().filter(|block| block.extra.is_some()).count();
        let mut columns: Vec<Vec<usize>> = vec![Vec::new(); size];
        quadratic.places().for_each(|(i, j)| columns[j].push(i));
        let mut plain = vec![usize::MAX; constraints.len()];
        let mut plain_rows = vec![true; m];
        for block in &blocks {
            for row in block.rows.clone() {
                let mixed = block.mixes(row - block.rows.start);
                plain_rows[row] = !mixed;
                columns[n + row] = match mixed {
                    true => block.columns.clone(),
                    false => by_row[row].iter().map(|&(j, _)| j).collect(),
                };
                columns[n + row].push(n + row);
            }
            if let Some(extra) = block.extra {
                columns[extra] = block.rows.clone().skip(1).map(|row| n + row).collect();
                columns[extra].push(extra);
            }
        }
        let starts = running(columns.iter().map(Vec::len));
        for row in (0..m).filter(|&row| plain_rows[row]) {
            for (at, &(_, k)) in by_row[row].iter().enumerate() {
                plain[k] = starts[n + row] + at;
            }
        }
        let indices = columns.concat();
        let signs: Vec<f64> =
            (0..size).map(|k| if (n..n + m).contains(&k) { -1.0 } else { 1.0 }).collect();
        Self {
            variables: n,
            rows: m,
            symbolic: Arc::new(Symbolic::new(&starts, &indices, &signs)),
            // Diagonal entries come last, and so does P's.
            quadratic: (0..quadratic.len()).collect(),
            starts,
            indices,
            blocks,
            plain,
        }
    }

    fn size(&self) -> usize {
        self.starts.len() - 1
    }

    fn diagonal(&self, k: usize) -> usize {
        self.starts[k + 1] - 1
    }

    /// The factorised system at a point with these faces, one a cone.
    pub(super) fn factor(
        self: &Arc<Self>,
        quadratic: &[f64],
        constraints: &[f64],
        faces: Vec<Face>,
    ) -> System {
        let mut values = vec![0.0; self.indices.len()];
        self.quadratic.iter().zip(quadratic).for_each(|(&at, value)| values[at] = *value);
        for (block, face) in self.blocks.iter().zip(&faces) {
            self.fill(block, face, constraints, &mut values);
        }
        let scale = self.equilibrate(&mut values);
        let factor = self.symbolic.factor(&values, SHIFT);
        System { layout: self.clone(), faces, values, scale, factor }
    }

    /// `P + sigma I` and `A` with these numbers, negative, on the diagonal of the rows: for a layout of equalities only.
    pub(super) fn factor_shifted(
        &self,
        quadratic: &[f64],
        constraints: &[f64],
        sigma: f64,
        rows: &[f64],
    ) -> Factor {
        let mut values = vec![0.0; self.indices.len()];
        self.quadratic.iter().zip(quadratic).for_each(|(&at, value)| values[at] = *value);
        self.plain.iter().zip(constraints).for_each(|(&at, value)| values[at] = *value);
        (0..self.variables).for_each(|j| values[self.diagonal(j)] += sigma);
        let below = rows.iter().enumerate();
        below.for_each(|(i, row)| values[self.diagonal(self.variables + i)] = -row);
        self.symbolic.factor(&values, 0.0)
    }

    fn fill(&self, block: &Block, face: &Face, constraints: &[f64], values: &mut [f64]) {
        let first = self.variables + block.rows.start;
        let free = |values: &mut [f64], row: usize| values[self.diagonal(first + row)] = -1.0;
        let keep = |values: &mut [f64], rows: &dyn Fn(usize) -> bool| {
            for &(row, at, k) in block.entries.iter().filter(|entry| rows(entry.0)) {
                let plain = self.plain[k];
                let place = if plain == usize::MAX { self.starts[first + row] + at } else { plain };
                values[place] = constraints[k];
            }
        };
        match face {
            Face::Whole => keep(values, &|_| true),
            Face::Nothing => (0..block.rows.len()).for_each(|row| free(values, row)),
            Face::Rows(active) => {
                keep(values, &|row| active[row]);
                (0..active.len()).filter(|&row| !active[row]).for_each(|row| free(values, row));
            }
            Face::SecondOrder(direction, ratio) => {
                keep(values, &|row| row > 0);
                for &(row, at, k) in &block.entries {
                    let share = if row == 0 { 1.0 } else { direction[row - 1] };
                    let place = self.starts[first] + at;
                    values[place] += std::f64::consts::FRAC_1_SQRT_2 * share * constraints[k];
                }
                (1..block.rows.len()).for_each(|row| values[self.diagonal(first + row)] = -ratio);
                if let Some(extra) = block.extra {
                    let across = &mut values[self.starts[extra]..self.diagonal(extra)];
                    let size = hold(*ratio);
                    across.iter_mut().zip(direction).for_each(|(at, v)| *at = -size * v);
                }
            }
            Face::Three(basis, ratios) => {
                for (row, (axis, &ratio)) in basis.iter().zip(ratios).enumerate() {
                    if ratio.is_infinite() {
                        free(values, row);
                        continue;
                    }
                    values[self.diagonal(first + row)] = -ratio;
                    for &(from, at, k) in &block.entries {
                        values[self.starts[first + row] + at] += axis[from] * constraints[k];
                    }
                }
            }
            Face::Semidefinite(vectors, eigenvalues) => {
                let rotated = block.rotated(vectors, constraints);
                for (row, (i, j)) in pairs(eigenvalues.len()).enumerate() {
                    let ratio = Face::pair_ratio(eigenvalues[i], eigenvalues[j]);
                    if ratio.is_infinite() {
                        free(values, row);
                        continue;
                    }
                    values[self.diagonal(first + row)] = -ratio;
                    let start = self.starts[first + row];
                    rotated.iter().enumerate().for_each(|(at, column)| {
                        values[start + at] = column[row];
                    });
                }
            }
        }
        let decoupled = !matches!(face, Face::SecondOrder(..));
        if let (Some(extra), true) = (block.extra, decoupled) {
            values[self.diagonal(extra)] = 1.0;
        }
    }

    /// Scales rows and columns alike until the largest entry of each is near one.
    fn equilibrate(&self, values: &mut [f64]) -> Vec<f64> {
        let mut scale = vec![1.0; self.size()];
        for _ in 0..SCALINGS {
            let mut largest = vec![0.0_f64; self.size()];
            self.each(|i, j, at| {
                let value = values[at].abs();
                largest[i] = largest[i].max(value);
                largest[j] = largest[j].max(value);
            });
            // Rows of zeros stay as they are.
            let by: Vec<f64> =
                largest.iter().map(|&l| if l > 0.0 { 1.0 / l.sqrt() } else { 1.0 }).collect();
            self.each(|i, j, at| values[at] *= by[i] * by[j]);
            scale.iter_mut().zip(&by).for_each(|(scale, by)| *scale *= by);
        }
        scale
    }

    fn each(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for j in 0..self.size() {
            for at in self.starts[j]..self.starts[j + 1] {
                visit(self.indices[at], j, at);
            }
        }
    }
}

/// How strongly the extra variable of a second-order cone holds the others: with this much its pivot is about one.
fn hold(ratio: f64) -> f64 {
    ratio.sqrt().max(1e-3)
}

/// Positions of a triangle, column by column.
fn pairs(order: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..order).flat_map(|j| (0..=j).map(move |i| (i, j)))
}

fn blocks(cones: &[Cone], by_row: &[Vec<(usize, usize)>], mut extra: usize) -> Vec<Block> {
    let mut start = 0;
    let mut block = |&cone: &Cone| {
        let rows = start..start + cone.rows();
        start = rows.end;
        let mut columns: Vec<usize> = match cone.is_separable() {
            true => Vec::new(),
            false => by_row[rows.clone()].iter().flatten().map(|&(j, _)| j).collect(),
        };
        columns.sort_unstable();
        columns.dedup();
        let entries = rows.clone().flat_map(|row| by_row[row].iter().map(move |e| (row, e)));
        let entries = entries.map(|(row, &(j, k))| {
            (row - rows.start, columns.binary_search(&j).unwrap_or(usize::MAX), k)
        });
        let entries = entries.collect();
        let extra = matches!(cone, Cone::SecondOrder(_)).then(|| {
            extra += 1;
            extra - 1
        });
        Block { cone, rows, columns, entries, extra }
    };
    cones.iter().map(&mut block).collect()
}

impl Block {
    /// Whether a row takes entries from the others.
    fn mixes(&self, row: usize) -> bool {
        match self.cone {
            Cone::Zero(_) | Cone::Nonnegative(_) => false,
            Cone::SecondOrder(_) => row == 0,
            Cone::Exponential | Cone::Power(_) | Cone::Semidefinite(_) => true,
        }
    }

    /// Every column of the block, a symmetric matrix, in the basis of the eigenvectors.
    fn rotated(&self, vectors: &DMatrix<f64>, constraints: &[f64]) -> Vec<Vec<f64>> {
        let mut columns = vec![vec![0.0; self.rows.len()]; self.columns.len()];
        self.entries.iter().for_each(|&(row, at, k)| columns[at][row] = constraints[k]);
        columns.iter_mut().for_each(|column| rotate(vectors, column));
        columns
    }
}

fn rotate(vectors: &DMatrix<f64>, column: &mut [f64]) {
    let inner = vectors.tr_mul(&matrix(vectors.nrows(), column)) * vectors;
    triangle(&inner, column);
}

fn unrotate(vectors: &DMatrix<f64>, column: &mut [f64]) {
    let inner = vectors * matrix(vectors.nrows(), column) * vectors.transpose();
    triangle(&inner, column);
}

/// The factorised system of one point.
#[derive(Clone, Debug)]
pub(super) struct System {
    layout: Arc<Layout>,
    faces: Vec<Face>,
    values: Vec<f64>,
    scale: Vec<f64>,
    factor: Factor,
}

/// A solution of the reduced system.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// `l`, one a variable.
    pub(super) variables: Vec<f64>,
    /// `u`, one a row, back in the rows' own basis.
    pub(super) rows: Vec<f64>,
    /// What refinement left over, relative to the right-hand side: rounding, or a part that no solution reaches.
    pub(super) residual: f64,
    /// The part of the right-hand side that no solution reaches, relative; zero if it is none.
    pub(super) unreached: f64,
}

impl System {
    /// Where it was factorised.
    pub(super) fn faces(&self) -> &[Face] {
        &self.faces
    }

    /// Solves `P l + A'u = g`, `A l - C u = h` within the range of `D`.
    pub(super) fn solve(&self, g: &[f64], h: &[f64]) -> Step {
        let right = self.right(g, h);
        let size = norm(&right);
        let (mut solution, mut rest) = self.refine(&right);
        let mut unreached = 0.0;
        if norm(&rest) > UNREACHED * size {
            unreached = norm(&rest) / size;
            let reached: Vec<f64> = right.iter().zip(&rest).map(|(b, r)| b - r).collect();
            (solution, rest) = self.refine(&reached);
        }
        let residual = if size > 0.0 { norm(&rest) / size } else { 0.0 };
        self.step(solution, residual, unreached)
    }

    /// The same with the shift left in: short where the system says nothing.
    pub(super) fn solve_damped(&self, g: &[f64], h: &[f64]) -> Step {
        let mut solution = self.right(g, h);
        self.factor.solve(&mut solution);
        self.step(solution, 0.0, 0.0)
    }

    /// A right-hand side in the scaled basis.
    fn right(&self, g: &[f64], h: &[f64]) -> Vec<f64> {
        let n = self.layout.variables;
        let mut right = vec![0.0; self.layout.size()];
        right[..n].copy_from_slice(g);
        right[n..n + h.len()].copy_from_slice(h);
        self.enter_basis(&mut right[n..n + h.len()]);
        right.iter_mut().zip(&self.scale).for_each(|(right, scale)| *right *= scale);
        right
    }

    /// A solution out of it.
    fn step(&self, mut solution: Vec<f64>, residual: f64, unreached: f64) -> Step {
        let rows = self.layout.variables..self.layout.variables + self.layout.rows;
        solution.iter_mut().zip(&self.scale).for_each(|(x, scale)| *x *= scale);
        self.leave_basis(&mut solution[rows.clone()]);
        let variables = solution[..rows.start].to_vec();
        Step { variables, rows: solution[rows].to_vec(), residual, unreached }
    }

    /// The shifted inverse, in place.
    pub(super) fn precondition(&self, x: &mut [f64]) {
        self.factor.solve(x);
    }

    /// `out -= K x`, without the shift.
    pub(super) fn subtract_product(&self, x: &[f64], out: &mut [f64]) {
        self.layout.each(|i, j, at| {
            let value = self.values[at];
            out[i] -= value * x[j];
            if i != j {
                out[j] -= value * x[i];
            }
        });
    }

    /// Whether the system determines `l`, and whether it determines `u`.
    ///
    /// Signed, the matrix is monotone, so repeating its resolvent, `x <- (K + delta S)^-1 delta S x`, projects on its null
    /// space: what of a start in one part is still there lies along a direction of equally good answers. Most of such a
    /// direction may be another part's (a cone's extra variable): a small remainder counts.
    pub(super) fn determines(&self) -> (bool, bool) {
        let (n, m) = (self.layout.variables, self.layout.rows);
        let probe = |part: Range<usize>| {
            let mut x = vec![0.0; self.layout.size()];
            // Any direction will do that is orthogonal to nothing in particular.
            part.clone().for_each(|k| x[k] = 1.0 + (k as f64 * 0.618_034).fract());
            let start = norm(&x);
            for _ in 0..PROJECTIONS {
                if norm(&x[part.clone()]) <= GONE * start {
                    return true;
                }
                let shift = |k: usize| if (n..n + m).contains(&k) { -SHIFT } else { SHIFT };
                x.iter_mut().enumerate().for_each(|(k, x)| *x *= shift(k));
                self.factor.solve(&mut x);
            }
            norm(&x[part]) <= GONE * start
        };
        (probe(0..n), probe(n..n + m))
    }

    /// Right-hand sides of rows: `Q'h`, zero in directions that are free.
    fn enter_basis(&self, h: &mut [f64]) {
        for (block, face) in self.layout.blocks.iter().zip(&self.faces) {
            let h = &mut h[block.rows.clone()];
            match face {
                Face::Whole => {}
                Face::Nothing => h.fill(0.0),
                Face::Rows(active) => {
                    h.iter_mut().zip(active).for_each(|(h, active)| *h *= f64::from(*active));
                }
                Face::SecondOrder(direction, _) => {
                    let along: f64 = direction.iter().zip(&h[1..]).map(|(v, h)| v * h).sum();
                    h[0] = std::f64::consts::FRAC_1_SQRT_2 * (h[0] + along);
                    h[1..].iter_mut().zip(direction).for_each(|(h, v)| *h -= along * v);
                }
                Face::Three(basis, ratios) => {
                    let rotated = basis.map(|axis| axis.iter().zip(&*h).map(|(q, h)| q * h).sum());
                    h.copy_from_slice(&rotated);
                    h.iter_mut().zip(ratios).filter(|(_, c)| c.is_infinite()).for_each(free);
                }
                Face::Semidefinite(vectors, values) => {
                    rotate(vectors, h);
                    h.iter_mut().zip(pairs(values.len())).for_each(|(h, (i, j))| {
                        if Face::pair_ratio(values[i], values[j]).is_infinite() {
                            *h = 0.0;
                        }
                    });
                }
            }
        }
    }

    /// Solutions of rows: `Q u`.
    fn leave_basis(&self, u: &mut [f64]) {
        for (block, face) in self.layout.blocks.iter().zip(&self.faces) {
            let u = &mut u[block.rows.clone()];
            match face {
                Face::Whole | Face::Nothing | Face::Rows(_) => {}
                Face::SecondOrder(direction, _) => {
                    u[0] *= std::f64::consts::FRAC_1_SQRT_2;
                    let head = u[0];
                    u[1..].iter_mut().zip(direction).for_each(|(u, v)| *u += head * v);
                }
                Face::Three(basis, _) => {
                    let back: [f64; 3] =
                        std::array::from_fn(|i| (0..3).map(|k| basis[k][i] * u[k]).sum());
                    u.copy_from_slice(&back);
                }
                Face::Semidefinite(vectors, _) => unrotate(vectors, u),
            }
        }
    }
}

fn free((h, _): (&mut f64, &f64)) {
    *h = 0.0;
}

pub(super) fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}
