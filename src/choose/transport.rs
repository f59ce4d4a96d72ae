//! Optimal transport between points and others, by Sinkhorn's iteration.

use rayon::prelude::*;

use crate::data::Standardiser;
use crate::error::{Error, Result};

/// What a pair costs: a row a point, a column one of the others.
pub(crate) struct Costs {
    pub(crate) of: Vec<f64>,
    pub(crate) columns: usize,
}

impl Costs {
    /// Distances of features that are standardised by the points.
    pub(crate) fn distances(points: &[f32], others: &[f32], width: usize) -> Result<Self> {
        let standard = Standardiser::fit(points, width)?;
        let all = |rows: &[f32]| -> Vec<f64> {
            rows.chunks(width).flat_map(|row| standard.row(row)).collect()
        };
        let (points, others) = (all(points), all(others));
        let cost = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        let rows = points.par_chunks(width);
        let of = rows.flat_map_iter(|a| others.chunks(width).map(move |b| cost(a, b)));
        Ok(Self { of: of.collect(), columns: others.len() / width })
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.of[row * self.columns..][..self.columns]
    }

    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f64]> {
        self.of.chunks_mut(self.columns)
    }

    pub(crate) fn part(&self, rows: &[usize], columns: &[usize]) -> Self {
        let cell = |i: usize| columns.iter().map(move |v| self.of[i * self.columns + v]);
        Self { of: rows.iter().flat_map(|i| cell(*i)).collect(), columns: columns.len() }
    }

    /// Less the least of each column, which every plan pays: the same plans are best, and one column that is far from all
    /// rows says nothing about how far these are from one another.
    pub(crate) fn above_least(mut self) -> Self {
        let mut least = vec![f64::INFINITY; self.columns];
        for row in self.of.chunks(self.columns) {
            least.iter_mut().zip(row).for_each(|(least, cost)| *least = least.min(*cost));
        }
        self.rows_mut().for_each(|row| {
            row.iter_mut().zip(&least).for_each(|(cost, least)| *cost -= least);
        });
        self
    }

    fn rows(&self) -> impl IndexedParallelIterator<Item = &[f64]> {
        self.of.par_chunks(self.columns)
    }

    pub(crate) fn transposed(&self) -> Self {
        let rows = self.of.len() / self.columns;
        let column = |v: usize| self.of.iter().skip(v).step_by(self.columns).copied();
        Self { of: (0..self.columns).flat_map(column).collect(), columns: rows }
    }
}

/// What each row sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rows {
    /// An equal share of all.
    Equal,
    /// At most so much.
    AtMost(f64),
}

/// What was found of a transport.
pub(crate) struct Transport {
    /// Dual variables of the rows; at most zero where these send at most so much.
    pub(crate) duals: Vec<f64>,
    /// Those of the columns.
    pub(crate) column_duals: Vec<f64>,
    /// `<P, C>`.
    pub(crate) cost: f64,
}

impl Transport {
    /// What the transport costs less for each unit of mass that moves to a row from all others alike: the mean dual
    /// variable of the others less its own. Of two rows and more.
    pub(crate) fn falls(&self) -> Vec<f64> {
        let sum: f64 = self.duals.iter().sum();
        let others = (self.duals.len() - 1) as f64;
        self.duals.iter().map(|f| (sum - f) / others - f).collect()
    }
}

/// The entropic transport
///
/// ```text
/// min <P, C> - eps entropy(P)        over P >= 0 with the rows' sums and column sums b
/// P_iv = a_i b_v exp((f_i + g_v - C_iv) / eps)
/// ```
///
/// by sweeps that give each dual variable in turn its best value: `f` for the rows' sums, cut off at zero where these are
/// upper bounds, then `g` for the columns'. It ends with exact column sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sinkhorn {
    /// `eps`, in units of the mean cost.
    pub(crate) smoothing: f64,
    /// Sweeps, at most.
    pub(crate) sweeps: usize,
}

/// Relative error of the row sums.
const TOLERANCE: f64 = 1e-5;

impl Sinkhorn {
    /// [`Error::OutOfRange`] unless `smoothing` lies in [1e-4, 1e4] and there is a sweep.
    pub(crate) fn check(&self) -> Result<()> {
        if !(1e-4..=1e4).contains(&self.smoothing) {
            let rule = "at least 1e-4 and at most 1e4";
            return Err(Error::range("smoothing", rule, self.smoothing));
        }
        if self.sweeps == 0 {
            return Err(Error::range("sweeps", "at least 1", 0.0));
        }
        Ok(())
    }

    /// From the rows to columns of the masses given, which sum to one, in logarithms.
    pub(crate) fn transport(&self, costs: &Costs, rows: Rows, masses: &[f64]) -> Transport {
        let points = costs.of.len() / costs.columns;
        // Bounds that are not felt at first may be felt later, so that a first sweep without a change proves nothing.
        let (sent, limit, start) = match rows {
            Rows::Equal => (equal(points), f64::INFINITY, 0.0),
            Rows::AtMost(mass) => (vec![mass; points], 0.0, f64::NEG_INFINITY),
        };
        let mean = costs.of.iter().sum::<f64>() / costs.of.len() as f64;
        // Where nothing costs anything any unit will do.
        let eps = if mean > 0.0 { self.smoothing * mean } else { 1.0 };
        let turned = costs.transposed();
        let (mut f, mut g) = (vec![start; points], vec![0.0; masses.len()]);
        for _ in 0..self.sweeps {
            let mut next = soft_minima(costs, &powers(&g, masses, eps), eps);
            next.iter_mut().for_each(|f| *f = f.min(limit));
            // Row i held exp((f_i - next_i) / eps) times its mass.
            let worst = next.iter().zip(&f).fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs()));
            f = next;
            g = soft_minima(&turned, &powers(&f, &sent, eps), eps);
            if worst <= TOLERANCE * eps {
                break;
            }
        }
        let (row_powers, powers) = (powers(&f, &sent, eps), powers(&g, masses, eps));
        let paid = |(row, of): (&[f64], &f64)| {
            let each = row.iter().zip(&powers).map(|(c, power)| c * (of + power - c / eps).exp());
            each.sum::<f64>()
        };
        let paid: Vec<f64> = costs.rows().zip(&row_powers).map(paid).collect();
        Transport { duals: f, column_duals: g, cost: paid.iter().sum() }
    }
}

pub(crate) fn equal(points: usize) -> Vec<f64> {
    vec![1.0 / points as f64; points]
}

/// Logarithms of what the sums below weigh by; minus infinity for no mass.
fn powers(duals: &[f64], masses: &[f64], eps: f64) -> Vec<f64> {
    duals.iter().zip(masses).map(|(dual, mass)| dual / eps + mass.ln()).collect()
}

/// `-eps log sum exp(power - c / eps)` of each row.
fn soft_minima(costs: &Costs, powers: &[f64], eps: f64) -> Vec<f64> {
    let of = |row: &[f64]| {
        let each = || row.iter().zip(powers).map(|(c, power)| power - c / eps);
        // Some mass is positive.
        let top = each().fold(f64::NEG_INFINITY, f64::max);
        -eps * (top + each().map(|power| (power - top).exp()).sum::<f64>().ln())
    };
    let rows = costs.rows();
    // In few runs: a row alone is no task.
    let least = rows.len().div_ceil(64);
    rows.with_min_len(least).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One column: the first row's bound of 0.6 binds, so that the second sends 0.4, and both dual variables follow.
    #[test]
    fn a_bound_by_hand() {
        let costs = Costs { of: vec![0.0, 3.0], columns: 1 };
        let engine = Sinkhorn { smoothing: 0.5, sweeps: 1000 };
        let found = engine.transport(&costs, Rows::AtMost(0.6), &[1.0]);
        let eps = 0.5 * 1.5;
        let price = 3.0 + eps * (2.0f64 / 3.0).ln();
        for (found, expected) in [
            (found.duals[0], -price),
            (found.duals[1], 0.0),
            (found.column_duals[0], price),
            (found.cost, 1.2),
        ] {
            assert!((found - expected).abs() < 1e-4, "{found} against {expected}");
        }
    }

    /// Two rows to two columns with `P = [[p, 1/2 - p], [1/2 - p, p]]`: `p / (1/2 - p) = exp(c / eps)`.
    #[test]
    fn two_by_two_in_closed_form() {
        let costs = Costs { of: vec![0.0, 2.0, 2.0, 0.0], columns: 2 };
        let ratio = (2.0f64 / 0.7).exp();
        let engine = Sinkhorn { smoothing: 0.7, sweeps: 1000 };
        for rows in [Rows::Equal, Rows::AtMost(0.5)] {
            let found = engine.transport(&costs, rows, &[0.5, 0.5]);
            assert!((found.cost - 2.0 / (1.0 + ratio)).abs() < 1e-6, "{rows:?}: {}", found.cost);
            assert!(found.falls().iter().all(|fall| fall.abs() < 1e-9));
        }
    }
}
