//! Where a matrix may have entries: compressed columns, checked once.

use super::ldl::running;
use crate::error::{Error, Result};

/// The places of a sparse matrix that hold a number, in compressed columns: those of column `j` are the rows
/// `indices[starts[j]..starts[j + 1]]`, ascending. Values come separately, in the same order.
///
/// # Example
/// ```
/// use gleaner::conic::Pattern;
///
/// // | 0 . |
/// // | 1 2 |
/// let pattern = Pattern::new(2, 2, vec![0, 2, 3], vec![0, 1, 1])?;
/// assert_eq!(pattern.len(), 3);
/// assert!(Pattern::new(2, 2, vec![0, 2, 3], vec![1, 0, 1]).is_err()); // not ascending
///
/// // From places in any order; the second answer says which entry each of them became.
/// let (same, entries) = Pattern::from_places(2, 2, &[(1, 1), (0, 0), (1, 0)])?;
/// assert_eq!((same, entries), (pattern, vec![2, 0, 1]));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    rows: usize,
    starts: Vec<usize>,
    indices: Vec<usize>,
}

impl Pattern {
    /// Checks compressed columns.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `starts` has one entry more than there are columns; [`Error::Pattern`] naming the column
    /// where starts fall or do not end at the number of indices, rows are beyond the last, not ascending, or twice.
    pub fn new(
        rows: usize,
        columns: usize,
        starts: Vec<usize>,
        indices: Vec<usize>,
    ) -> Result<Self> {
        if starts.len() != columns + 1 {
            return Err(Error::shape("column starts", columns + 1, starts.len()));
        }
        let refuse = |rule, column, found| Err(Error::Pattern { rule, column, found });
        if starts[0] != 0 {
            return refuse("column starts begin at zero", 0, starts[0]);
        }
        if starts[columns] != indices.len() {
            return refuse("the last start is the number of indices", columns, starts[columns]);
        }
        for column in 0..columns {
            let (from, to) = (starts[column], starts[column + 1]);
            if from > to || to > indices.len() {
                return refuse("column starts ascend", column, from);
            }
            let within = &indices[from..to];
            if let Some(&row) = within.iter().find(|&&row| row >= rows) {
                return refuse("rows are below the number of rows", column, row);
            }
            if let Some(pair) = within.windows(2).find(|pair| pair[0] == pair[1]) {
                return refuse("no row comes twice", column, pair[0]);
            }
            if let Some(pair) = within.windows(2).find(|pair| pair[0] > pair[1]) {
                return refuse("rows ascend", column, pair[1]);
            }
        }
        Ok(Self { rows, starts, indices })
    }

    /// From places `(row, column)` in any order, and for each of them the number of its entry.
    ///
    /// # Errors
    /// [`Error::Shape`] for a column beyond the last, and those of [`new`](Self::new): a place that comes twice among
    /// them.
    pub fn from_places(
        rows: usize,
        columns: usize,
        places: &[(usize, usize)],
    ) -> Result<(Self, Vec<usize>)> {
        let mut counts = vec![0; columns];
        for &(_, column) in places {
            let count = counts.get_mut(column);
            *count.ok_or_else(|| Error::shape("columns", columns, column + 1))? += 1;
        }
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|&k| (places[k].1, places[k].0));
        let indices = order.iter().map(|&k| places[k].0).collect();
        let mut entries = vec![0; places.len()];
        order.iter().enumerate().for_each(|(entry, &k)| entries[k] = entry);
        Ok((Self::new(rows, columns, running(counts.into_iter()), indices)?, entries))
    }

    /// Every place of a `rows x columns` matrix, column by column.
    pub fn dense(rows: usize, columns: usize) -> Self {
        let starts = (0..=columns).map(|j| j * rows).collect();
        Self { rows, starts, indices: (0..rows * columns).map(|k| k % rows).collect() }
    }

    /// The upper triangle of an `n x n` matrix, diagonal included, column by column.
    pub fn upper_triangle(n: usize) -> Self {
        let starts = running(1..=n);
        Self { rows: n, starts, indices: (0..n).flat_map(|j| 0..=j).collect() }
    }

    /// The diagonal of an `n x n` matrix.
    pub fn diagonal(n: usize) -> Self {
        Self { rows: n, starts: (0..=n).collect(), indices: (0..n).collect() }
    }

    /// No place at all.
    pub fn empty(rows: usize, columns: usize) -> Self {
        Self { rows, starts: vec![0; columns + 1], indices: Vec::new() }
    }

    /// For columns that are well-formed by construction.
    pub(super) fn of_checked(rows: usize, starts: Vec<usize>, indices: Vec<usize>) -> Self {
        Self { rows, starts, indices }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Where the entries of each column start; one more than there are columns.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The row of each entry.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// `(row, column)` of each entry, in order.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.columns()).flat_map(move |j| {
            self.indices[self.starts[j]..self.starts[j + 1]].iter().map(move |&i| (i, j))
        })
    }

    /// `out += M x`.
    pub(super) fn add_product(&self, values: &[f64], x: &[f64], out: &mut [f64]) {
        for ((i, j), value) in self.places().zip(values) {
            out[i] += value * x[j];
        }
    }

    /// The largest term of each row of `M x`, where it is larger than what is there.
    pub(super) fn add_sizes(&self, values: &[f64], x: &[f64], out: &mut [f64]) {
        for ((i, j), value) in self.places().zip(values) {
            out[i] = out[i].max((value * x[j]).abs());
        }
    }

    /// `out += M' y`.
    pub(super) fn add_transposed(&self, values: &[f64], y: &[f64], out: &mut [f64]) {
        for ((i, j), value) in self.places().zip(values) {
            out[j] += value * y[i];
        }
    }

    /// The largest term of each row of `M' y`, where it is larger than what is there.
    pub(super) fn add_transposed_sizes(&self, values: &[f64], y: &[f64], out: &mut [f64]) {
        for ((i, j), value) in self.places().zip(values) {
            out[j] = out[j].max((value * y[i]).abs());
        }
    }

    /// The same for each row of `M x`, for the symmetric matrix whose upper triangle this is.
    pub(super) fn add_symmetric_sizes(&self, values: &[f64], x: &[f64], out: &mut [f64]) {
        for ((i, j), value) in self.places().zip(values) {
            out[i] = out[i].max((value * x[j]).abs());
            out[j] = out[j].max((value * x[i]).abs());
        }
    }

    /// `out += M x` for the symmetric matrix whose upper triangle this is.
    pub(super) fn add_symmetric(&self, values: &[f64], x: &[f64], out: &mut [f64]) {
        for ((i, j), value) in self.places().zip(values) {
            out[i] += value * x[j];
            if i != j {
                out[j] += value * x[i];
            }
        }
    }
}
