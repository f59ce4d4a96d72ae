//! Sparse `L D L'` of symmetric quasi-definite matrices: the pattern is analysed once, the numbers many times.
//!
//! A quasi-definite matrix (a positive definite block, a negative definite one, anything between them) has such a
//! factorisation in every order, so the order is chosen for sparsity alone and no pivot is looked for. A pivot that
//! rounding turned to the wrong sign, or to nothing, is replaced.
//!
//! Reference: R. J. Vanderbei, *Symmetric Quasidefinite Matrices*, SIAM J. Optim. 5(1), 1995. The order is
//! clarabel's approximate minimum degree.

use std::sync::Arc;

use clarabel::algebra::CscMatrix;
use clarabel::qdldl::{QDLDLFactorisation, QDLDLSettings};

/// A pivot smaller than this has lost its sign to rounding (the matrix is scaled to entries of one).
const LEAST_PIVOT: f64 = 1e-14;

/// Where the numbers go: order, elimination tree and the pattern of `L`.
#[derive(Debug)]
pub(super) struct Symbolic {
    /// `order[k]` is the row that comes `k`-th.
    order: Vec<usize>,
    /// Sign of the pivot that comes `k`-th.
    signs: Vec<f64>,
    /// Permuted upper triangle: column starts, and for each entry its row and its place in the caller's values.
    starts: Vec<usize>,
    entries: Vec<(usize, usize)>,
    /// Columns of `L`, strictly below the diagonal.
    lower_starts: Vec<usize>,
    lower: Vec<usize>,
    /// Rows of `L`: for each row the columns that reach it, ascending.
    row_starts: Vec<usize>,
    rows: Vec<usize>,
}

impl Symbolic {
    /// Analyses the upper triangle `(starts, indices)` of a matrix, in compressed columns with every diagonal entry.
    pub(super) fn new(starts: &[usize], indices: &[usize], signs: &[f64]) -> Self {
        let order = order(starts, indices);
        let size = order.len();
        let mut place = vec![0; size];
        order.iter().enumerate().for_each(|(k, &row)| place[row] = k);
        let mut columns: Vec<Vec<(usize, usize)>> = vec![Vec::new(); size];
        for j in 0..size {
            for at in starts[j]..starts[j + 1] {
                let (a, b) = (place[indices[at]], place[j]);
                columns[a.max(b)].push((a.min(b), at));
            }
        }
        columns.iter_mut().for_each(|column| column.sort_unstable());
        let rows = reach(&columns);
        let mut counts = vec![0; size];
        rows.iter().flatten().for_each(|&j| counts[j] += 1);
        let lower_starts = running(counts.iter().copied());
        let mut next = lower_starts.clone();
        let mut lower = vec![0; lower_starts[size]];
        for (k, row) in rows.iter().enumerate() {
            for &j in row {
                lower[next[j]] = k;
                next[j] += 1;
            }
        }
        Self {
            signs: order.iter().map(|&row| signs[row]).collect(),
            starts: running(columns.iter().map(Vec::len)),
            entries: columns.concat(),
            lower_starts,
            lower,
            row_starts: running(rows.iter().map(Vec::len)),
            rows: rows.concat(),
            order,
        }
    }

    /// Factorises the matrix with these values, `shift` added to the diagonal with each pivot's sign.
    pub(super) fn factor(self: &Arc<Self>, values: &[f64], shift: f64) -> Factor {
        let size = self.order.len();
        let mut next: Vec<usize> = self.lower_starts[..size].to_vec();
        let mut work = vec![0.0; size];
        let mut values_of_l = vec![0.0; self.lower.len()];
        let mut inverse = vec![0.0; size];
        let mut replaced = None;
        for k in 0..size {
            for &(row, at) in &self.entries[self.starts[k]..self.starts[k + 1]] {
                work[row] += values[at];
            }
            let mut pivot = work[k] + shift * self.signs[k];
            work[k] = 0.0;
            for &j in &self.rows[self.row_starts[k]..self.row_starts[k + 1]] {
                let y = work[j];
                work[j] = 0.0;
                let (from, to) = (self.lower_starts[j], next[j]);
                subtract(&mut work, &self.lower[from..to], &values_of_l[from..to], y);
                let l = y * inverse[j];
                pivot -= y * l;
                values_of_l[to] = l;
                next[j] += 1;
            }
            if pivot * self.signs[k] <= LEAST_PIVOT || pivot.is_nan() {
                replaced = replaced.or(Some((self.order[k], pivot)));
                pivot = self.signs[k] * shift.max(LEAST_PIVOT);
            }
            inverse[k] = 1.0 / pivot;
        }
        Factor { symbolic: self.clone(), lower: values_of_l, inverse, replaced }
    }
}

/// The numbers of a factorisation.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    symbolic: Arc<Symbolic>,
    lower: Vec<f64>,
    inverse: Vec<f64>,
    /// The first pivot that had the wrong sign, and its row.
    pub(super) replaced: Option<(usize, f64)>,
}

impl Factor {
    /// Solves for a right-hand side, in place.
    pub(super) fn solve(&self, right: &mut [f64]) {
        let symbolic = &*self.symbolic;
        let mut work: Vec<f64> = symbolic.order.iter().map(|&row| right[row]).collect();
        let column = |j: usize| symbolic.lower_starts[j]..symbolic.lower_starts[j + 1];
        for j in 0..work.len() {
            let y = work[j];
            subtract(&mut work, &symbolic.lower[column(j)], &self.lower[column(j)], y);
        }
        for j in (0..work.len()).rev() {
            let mut y = work[j] * self.inverse[j];
            for (&i, &l) in symbolic.lower[column(j)].iter().zip(&self.lower[column(j)]) {
                y -= l * work[i];
            }
            work[j] = y;
        }
        symbolic.order.iter().zip(work).for_each(|(&row, value)| right[row] = value);
    }
}

/// `work[i] -= l y` for ascending `i`. Where they are consecutive, as in dense parts, the processor takes several at once.
fn subtract(work: &mut [f64], rows: &[usize], values: &[f64], y: f64) {
    let ends = rows.first().zip(rows.last());
    match ends.filter(|(first, last)| *last - *first + 1 == rows.len()) {
        Some((&first, &last)) => {
            work[first..=last].iter_mut().zip(values).for_each(|(work, l)| *work -= l * y);
        }
        None => rows.iter().zip(values).for_each(|(&i, l)| work[i] -= l * y),
    }
}

/// A fill-reducing order; the natural one should clarabel refuse.
fn order(starts: &[usize], indices: &[usize]) -> Vec<usize> {
    let size = starts.len() - 1;
    let values = vec![1.0; indices.len()];
    let matrix = CscMatrix::new(size, size, starts.to_vec(), indices.to_vec(), values);
    let settings = QDLDLSettings { logical: true, ..QDLDLSettings::default() };
    match size {
        0 => Vec::new(),
        _ => QDLDLFactorisation::new(&matrix, Some(settings))
            .map_or_else(|_| (0..size).collect(), |factor| factor.perm),
    }
}

/// The pattern of every row of `L`, by walking up the elimination tree.
fn reach(columns: &[Vec<(usize, usize)>]) -> Vec<Vec<usize>> {
    let size = columns.len();
    let mut parent = vec![usize::MAX; size];
    let mut seen = vec![usize::MAX; size];
    let mut rows = Vec::with_capacity(size);
    for (k, column) in columns.iter().enumerate() {
        let mut row = Vec::new();
        seen[k] = k;
        for &(start, _) in column {
            let mut j = start;
            while seen[j] != k {
                seen[j] = k;
                row.push(j);
                if parent[j] == usize::MAX {
                    parent[j] = k;
                }
                j = parent[j];
            }
        }
        row.sort_unstable();
        rows.push(row);
    }
    rows
}

/// Running totals, from zero to the sum.
pub(super) fn running(counts: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut totals = vec![0];
    let mut total = 0;
    for count in counts {
        total += count;
        totals.push(total);
    }
    totals
}
