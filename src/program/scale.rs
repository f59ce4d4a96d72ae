//! Which cost spoils the scale, where a solver did not get to its end.

use super::SelectionProgram;
use crate::error::Error;

/// A cost this many times above the median leaves doubles too few digits for the others.
const SPOILS: f64 = 1e9;

/// The error, or [`Error::Scale`] in its place where one cost stands far above the others.
pub(super) fn explain(program: &SelectionProgram, error: Error) -> Error {
    let Error::NotConverged { method, iterations, .. } = error else { return error };
    let [incoming, remembered] = &program.nearest;
    let (n, costs) = (program.incoming(), &program.costs);
    let above = |k: usize| costs[k] - incoming[k % n].min(remembered[k % n]);
    let mut all: Vec<usize> = (0..costs.len()).filter(|k| above(*k).is_finite()).collect();
    // There is a program only where every row has a column, so there is a cost.
    let middle = all.len() / 2;
    let by_size = |a: &usize, b: &usize| above(*a).total_cmp(&above(*b));
    let typical = above(*all.select_nth_unstable_by(middle, by_size).1);
    match all.into_iter().max_by(by_size) {
        Some(k) if above(k) > SPOILS * typical => {
            let (row, column, cost) = (k % n, k / n, costs[k]);
            Error::Scale { method, iterations, row, column, cost, typical }
        }
        _ => error,
    }
}
