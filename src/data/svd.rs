//! Sparse rows, and the directions in which most of them lies.

use nalgebra::{DMatrix, SymmetricEigen};
use rand::{Rng, RngCore};
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Directions searched beyond those wanted: 5 to 10 are enough (Halko et al., section 4.2).
const OVERSAMPLING: usize = 10;

/// Text spectra fall slowly, so that one multiplication would mix in the directions behind them; two more
/// take the error to a few per cent of the best (section 4.5 there).
const POWER_ITERATIONS: usize = 2;

/// A singular value below this share of the largest one is rounding: the entries are of 24 bits.
const NOTHING: f64 = 1e-6;

/// A matrix by its rows: columns and values of what is not zero, columns in order.
pub(super) struct Sparse {
    /// Where each row begins, and where the last one ends.
    starts: Vec<usize>,
    entries: Vec<(u32, f32)>,
    columns: usize,
}

impl Sparse {
    /// Fewer than 2^32 rows; every column below `columns`.
    pub(super) fn new(rows: &[Vec<(u32, f32)>], columns: usize) -> Self {
        let mut starts = vec![0];
        starts.extend(rows.iter().scan(0, |end, row| {
            *end += row.len();
            Some(*end)
        }));
        Self { starts, entries: rows.concat(), columns }
    }

    fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    fn row(&self, row: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }

    fn transposed(&self) -> Self {
        let mut starts = vec![0; self.columns + 1];
        self.entries.iter().for_each(|&(column, _)| starts[column as usize + 1] += 1);
        (0..self.columns).for_each(|column| starts[column + 1] += starts[column]);
        let (mut next, mut entries) = (starts.clone(), vec![(0, 0.0); self.entries.len()]);
        for row in 0..self.rows() {
            for &(column, value) in self.row(row) {
                let at = &mut next[column as usize];
                entries[*at] = (row as u32, value);
                *at += 1;
            }
        }
        Self { starts, entries, columns: self.rows() }
    }

    /// The product with a matrix of `width` columns, both row after row. Each row is summed in the order of
    /// its entries, so threads change no bit.
    fn times(&self, dense: &[f64], width: usize) -> Vec<f64> {
        let mut product = vec![0.0; self.rows() * width];
        product.par_chunks_mut(width).enumerate().for_each(|(row, sums)| {
            for &(column, value) in self.row(row) {
                let from = column as usize * width;
                let factors = &dense[from..from + width];
                sums.iter_mut().zip(factors).for_each(|(sum, x)| *sum += f64::from(value) * x);
            }
        });
        product
    }
}

/// Right singular vectors of the largest singular values, largest first.
#[derive(Clone, Debug)]
pub(super) struct Directions {
    /// How many: as many as wanted, or the rank if that is less.
    pub(super) count: usize,
    /// One row for each column of the matrix.
    pub(super) rows: Vec<f32>,
}

impl Directions {
    /// ```text
    /// Q = orth(A Omega),  twice Q = orth(A A' Q)        Omega: standard normal, (columns, wanted + 10)
    /// Q' A A' Q = U S^2 U'                              V = A' Q U S^-1
    /// ```
    pub(super) fn new(a: &Sparse, wanted: usize, rng: &mut dyn RngCore) -> Self {
        let searched = wanted.saturating_add(OVERSAMPLING).min(a.rows()).min(a.columns);
        let omega: Vec<f64> =
            (0..a.columns * searched).map(|_| rng.sample(StandardNormal)).collect();
        let mut y = a.times(&omega, searched);
        drop(omega); // as large as the directions
        let transposed = a.transposed();
        for _ in 0..POWER_ITERATIONS {
            let q = orthonormal(y, searched);
            y = a.times(&transposed.times(&q, searched), searched);
        }
        let q = orthonormal(y, searched);
        let projected = transposed.times(&q, searched);
        let y = a.times(&projected, searched);
        // A matrix of rows read column by column is its transpose.
        let q = DMatrix::from_vec(searched, a.rows(), q);
        let y = DMatrix::from_vec(searched, a.rows(), y).transpose();
        let gram = q * y;
        let spectrum = SymmetricEigen::new((&gram + gram.transpose()) * 0.5);
        let mut order: Vec<usize> = (0..searched).collect();
        let square = |at: usize| spectrum.eigenvalues[at];
        order.sort_by(|&a, &b| square(b).total_cmp(&square(a)));
        let largest = order.first().map_or(0.0, |&at| square(at));
        order.retain(|&at| square(at) > largest * NOTHING * NOTHING);
        order.truncate(wanted);
        let count = order.len();
        let turn = DMatrix::from_fn(count, searched, |k, at| {
            spectrum.eigenvectors[(at, order[k])] / square(order[k]).sqrt()
        });
        let rows = turn * DMatrix::from_vec(searched, a.columns, projected);
        Self { count, rows: rows.iter().map(|&entry| entry as f32).collect() }
    }
}

/// An orthonormal basis of the columns of `rows`, as rows again; no more columns than rows.
fn orthonormal(rows: Vec<f64>, width: usize) -> Vec<f64> {
    let matrix = DMatrix::from_row_slice(rows.len() / width, width, &rows);
    matrix.qr().q().transpose().data.into()
}
