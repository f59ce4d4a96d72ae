//! How far a solution is from a change of its active set.

use super::Norm;
use super::dual::Point;
use super::prox::{self, Entry};
use super::scaled::Scaled;

/// Distances from a change of the active set, see [`super::Diagnostics`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    /// The smallest distance, in the solver's units.
    pub smallest: f64,
    /// How many distances are below the tolerance.
    pub weak: usize,
    tolerance: f64,
}

impl Margins {
    pub fn new(tolerance: f64) -> Self {
        Self { smallest: f64::INFINITY, weak: 0, tolerance }
    }

    pub fn note(&mut self, distance: f64) {
        self.smallest = self.smallest.min(distance.abs());
        self.weak += usize::from(distance.abs() <= self.tolerance);
    }

    /// Walks over every entry, group and budget. `O(n (n + m))`.
    pub fn of(scaled: &Scaled, point: &Point, tolerance: f64) -> Self {
        let mut margins = Self::new(tolerance);
        let program = &scaled.program;
        for b in 0..point.lambda.len() {
            margins.note(point.lambda[b].max(-point.overspend[b]));
        }
        if scaled.entropic() && program.norm != Norm::Infinity {
            return margins; // every entry is live and smooth
        }
        // Thresholds of the costs as given, so that one subtraction an entry does.
        let levels = &point.nu * scaled.scale + &scaled.row_shift;
        for (group, columns) in program.groups.iter().enumerate() {
            let tau = scaled.threshold(group, &point.lambda);
            margins.of_group(scaled, levels.as_slice(), columns, tau);
        }
        if !scaled.entropic() {
            for j in program.incoming()..program.costs.ncols() {
                margins.of_column(scaled, levels.as_slice(), j, 0.0);
            }
        }
        margins
    }

    /// Every `v - tau` of one column.
    fn of_column(&mut self, scaled: &Scaled, levels: &[f64], column: usize, tau: f64) {
        let n = levels.len();
        let costs = &scaled.program.costs.as_slice()[column * n..(column + 1) * n];
        let (offset, tolerance) = (tau * scaled.scale, self.tolerance * scaled.scale);
        let (mut least, mut weak) = ([f64::INFINITY; 4], [0u32; 4]);
        for (levels, costs) in levels.chunks(4).zip(costs.chunks(4)) {
            let lanes = least.iter_mut().zip(&mut weak).zip(levels.iter().zip(costs));
            for ((least, weak), (level, cost)) in lanes {
                let distance = (level - cost - offset).abs();
                *least = if distance < *least { distance } else { *least };
                *weak += u32::from(distance <= tolerance);
            }
        }
        let least = least.into_iter().fold(f64::INFINITY, f64::min);
        self.smallest = self.smallest.min(least / scaled.scale);
        self.weak += weak.into_iter().map(|weak| weak as usize).sum::<usize>();
    }

    fn of_group(&mut self, scaled: &Scaled, levels: &[f64], columns: &[usize], tau: f64) {
        let norm = scaled.program.norm;
        if norm == Norm::One {
            return columns.iter().for_each(|&j| self.of_column(scaled, levels, j, tau));
        }
        let lowest = if scaled.entropic() { f64::NEG_INFINITY } else { 0.0 };
        let costs = columns.iter().flat_map(|&j| scaled.program.costs.column(j).into_iter());
        let values =
            levels.iter().cycle().zip(costs).map(|(level, cost)| (level - cost) / scaled.scale);
        let entries: Vec<Entry> =
            values.filter(|v| *v > lowest).map(|v| Entry::new(0, 0, v)).collect();
        let positive = entries.iter().map(|e| e.value);
        if !scaled.entropic() {
            // The dual norm against tau decides whether the group is live at all.
            let dual = match norm {
                Norm::Two => positive.map(|v| v * v).sum::<f64>().sqrt(),
                _ => positive.sum(),
            };
            self.note(dual - tau);
            if dual <= tau {
                return;
            }
            columns.iter().for_each(|&j| self.of_column(scaled, levels, j, 0.0));
        }
        if norm == Norm::Infinity && tau > 0.0 {
            let level = prox::level(&entries, tau, lowest);
            entries.iter().for_each(|e| self.note(e.value - level));
        } else if norm == Norm::Infinity {
            // Without a threshold the weight is the largest entry: a tie for it is a kink.
            let mut values: Vec<f64> = entries.iter().map(|e| e.value).collect();
            values.sort_unstable_by(|a, b| b.total_cmp(a));
            values.windows(2).take(1).for_each(|two| self.note(two[0] - two[1]));
        }
    }
}
