//! What a program is checked for at the door, once: a program that exists is well-formed.

use nalgebra::{DMatrix, DVector};

use super::{Budget, BudgetRow};
use crate::error::{Error, Result};

pub(super) fn positive(what: &'static str, found: f64) -> Result<()> {
    if found > 0.0 && found.is_finite() {
        Ok(())
    } else {
        Err(Error::range(what, "> 0 and finite", found))
    }
}

/// Sums and squares of numbers up to this stay finite.
pub(super) const LARGEST: f64 = 1e100;

pub(super) fn within_reach<'a>(
    what: &'static str,
    mut values: impl Iterator<Item = &'a f64>,
) -> Result<()> {
    match values.find(|value| value.abs() > LARGEST) {
        None => Ok(()),
        Some(&found) => Err(Error::range(what, "at most 1e100 in magnitude", found)),
    }
}

pub(super) fn finite(what: &'static str, matrix: &DMatrix<f64>) -> Result<()> {
    match not_finite(matrix.as_slice()) {
        None => Ok(()),
        Some(k) => {
            let (row, column) = (k % matrix.nrows(), k / matrix.nrows());
            Err(Error::NotFinite { what, row, column, found: matrix[(row, column)] })
        }
    }
}

pub(super) fn finite_entries(what: &'static str, values: &[f64]) -> Result<()> {
    match not_finite(values) {
        None => Ok(()),
        Some(row) => Err(Error::NotFinite { what, row, column: 0, found: values[row] }),
    }
}

/// The first entry that is not finite. Eight at a time, which the compiler turns into vector code.
pub(super) fn not_finite(values: &[f64]) -> Option<usize> {
    let bad = |values: &[f64]| values.iter().fold(false, |bad, x| bad | !x.is_finite());
    if values.chunks(8).any(bad) { values.iter().position(|x| !x.is_finite()) } else { None }
}

/// Costs with infinity where a column is not allowed, checked where it is.
pub(super) fn masked(
    mut costs: DMatrix<f64>,
    allowed: Option<DMatrix<bool>>,
) -> Result<DMatrix<f64>> {
    let Some(allowed) = allowed else {
        // Infinity means that a column is not allowed: only a mask may say so.
        return match costs.iter().any(|cost| *cost == f64::INFINITY) {
            true => finite("costs", &costs).map(|()| costs),
            false => Ok(costs),
        };
    };
    if allowed.shape() != costs.shape() {
        return Err(Error::shape("allowed", costs.shape(), allowed.shape()));
    }
    if let Some(row) = allowed.row_iter().position(|row| !row.iter().any(|allowed| *allowed)) {
        let (expected, found) = ("a column for every row".into(), format!("none for row {row}"));
        return Err(Error::Shape { what: "allowed", expected, found });
    }
    costs.zip_apply(&allowed, |cost: &mut f64, allowed| {
        if !allowed {
            *cost = 0.0
        }
    });
    finite("costs", &costs)?;
    costs.zip_apply(&allowed, |cost: &mut f64, allowed| {
        if !allowed {
            *cost = f64::INFINITY
        }
    });
    Ok(costs)
}

/// Checks that costs are finite and within reach; returns the row minima among incoming and among remembered
/// columns and the mean of what lies above the smaller of the two. One pass.
pub(super) fn survey(costs: &DMatrix<f64>) -> Result<([Vec<f64>; 2], f64)> {
    let n = costs.nrows();
    // Deviations from some cost of the row: sums of costs themselves would drown small differences
    // between large costs.
    let first = &costs.as_slice()[..n];
    let (mut sums, mut largest) = (vec![0.0; n], vec![0.0; n]);
    let mut minima = |columns: &[f64]| {
        let mut least = vec![f64::INFINITY; n];
        for column in columns.chunks_exact(n) {
            let rows =
                least.iter_mut().zip(&mut sums).zip(&mut largest).zip(first.iter().zip(column));
            for (((least, sum), largest), (first, &cost)) in rows {
                let size = cost.abs();
                *least = if cost < *least { cost } else { *least };
                *largest = if size > *largest { size } else { *largest };
                *sum += cost - first;
            }
        }
        least
    };
    let (incoming, remembered) = costs.as_slice().split_at(n * n);
    let nearest = [minima(incoming), minima(remembered)];
    let sum: f64 = sums.iter().sum();
    if !sum.is_finite() && costs.iter().all(|cost| *cost == f64::INFINITY || cost.abs() <= LARGEST)
    {
        return Ok(survey_allowed(costs, nearest));
    }
    // Comparisons pass NaN by, the sum does not.
    if !sum.is_finite() || largest.iter().any(|size| *size > LARGEST) {
        finite("costs", costs)?;
        within_reach("cost", costs.iter())?;
    }
    let least = nearest[0].iter().zip(&nearest[1]).map(|(a, b)| a.min(*b));
    let below: f64 = first.iter().zip(least).map(|(first, least)| first - least).sum();
    let excess = (sum / costs.ncols() as f64 + below) / n as f64;
    Ok((nearest, excess))
}

/// The same mean over the columns that are allowed, whose costs are finite.
fn survey_allowed(costs: &DMatrix<f64>, nearest: [Vec<f64>; 2]) -> ([Vec<f64>; 2], f64) {
    let (mut sum, mut count) = (0.0, 0.0);
    for column in costs.column_iter() {
        for (cost, (a, b)) in column.iter().zip(nearest[0].iter().zip(&nearest[1])) {
            if cost.is_finite() {
                sum += cost - a.min(*b);
                count += 1.0;
            }
        }
    }
    (nearest, sum / count)
}

/// An optional vector: of the right length and finite, or filled with its default.
pub(super) fn vector(
    what: &'static str,
    given: Option<Vec<f64>>,
    len: usize,
    default: f64,
) -> Result<Vec<f64>> {
    let Some(values) = given else { return Ok(vec![default; len]) };
    if values.len() != len {
        return Err(Error::shape(what, len, values.len()));
    }
    finite_entries(what, &values)?;
    Ok(values)
}

/// The columns of each group, one group after the other.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    start: Vec<usize>,
    columns: Vec<usize>,
    /// The group of each column.
    of: Vec<usize>,
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.start.len() - 1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[usize]> {
        self.start.windows(2).map(|ends| &self.columns[ends[0]..ends[1]])
    }

    pub(super) fn columns(&self, group: usize) -> &[usize] {
        &self.columns[self.start[group]..self.start[group + 1]]
    }

    pub(super) fn of(&self, column: usize) -> usize {
        self.of[column]
    }
}

pub(super) fn groups_of(given: Option<Vec<usize>>, n: usize) -> Result<Groups> {
    let Some(labels) = given else {
        return Ok(Groups {
            start: (0..=n).collect(),
            columns: (0..n).collect(),
            of: (0..n).collect(),
        });
    };
    if labels.len() != n {
        return Err(Error::shape("groups", n, labels.len()));
    }
    let count = labels.iter().max().map_or(0, |&g| g.saturating_add(1)).min(n + 1);
    let mut groups = vec![Vec::new(); count];
    for (j, &g) in labels.iter().enumerate() {
        let group = groups.get_mut(g).ok_or(Error::range(
            "group number",
            "in 0..q without gaps",
            g as f64,
        ))?;
        group.push(j);
    }
    if let Some(missing) = groups.iter().position(Vec::is_empty) {
        return Err(Error::Shape {
            what: "groups",
            expected: "every number in 0..q used".into(),
            found: format!("no column in group {missing}"),
        });
    }
    let mut start = vec![0];
    start.extend(groups.iter().scan(0, |end, group| {
        *end += group.len();
        Some(*end)
    }));
    Ok(Groups { start, columns: groups.concat(), of: labels })
}

pub(super) fn budget_rows(
    budget: Budget,
    n: usize,
    q: usize,
) -> Result<(DMatrix<f64>, DVector<f64>)> {
    let total = |limit| vec![BudgetRow { coefficients: vec![1.0; q], limit }];
    let rows = match budget {
        Budget::Fraction(fraction) => {
            positive("budget fraction", fraction)?;
            if fraction > 1.0 {
                let rule = "at most 1";
                return Err(Error::range("budget fraction", rule, fraction));
            }
            total(fraction * n as f64)
        }
        Budget::Absolute(kappa) => total(kappa),
        Budget::Rows(rows) => rows,
    };
    if rows.is_empty() {
        let (expected, found) = ("at least one".into(), "none".into());
        return Err(Error::Shape { what: "budget rows", expected, found });
    }
    for row in &rows {
        positive("budget", row.limit)?;
        let coefficients = vector("budget coefficients", Some(row.coefficients.clone()), q, 0.0)?;
        if let Some(&found) = coefficients.iter().find(|&&a| a < 0.0) {
            return Err(Error::range("budget coefficient", ">= 0", found));
        }
    }
    let coefficients = DMatrix::from_fn(rows.len(), q, |b, g| rows[b].coefficients[g]);
    Ok((coefficients, DVector::from_iterator(rows.len(), rows.iter().map(|row| row.limit))))
}
