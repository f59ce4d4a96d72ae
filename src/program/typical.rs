//! The unit in which costs are measured.

use nalgebra::DMatrix;

/// The median cost; the mean where more than half the costs are zero, one where all are or there are none.
pub(crate) fn typical(costs: &DMatrix<f64>) -> f64 {
    let mut sorted = costs.as_slice().to_vec();
    if sorted.is_empty() {
        return 1.0;
    }
    let middle = sorted.len() / 2;
    let (_, median, _) = sorted.select_nth_unstable_by(middle, f64::total_cmp);
    let positive = [*median, costs.mean()].into_iter().find(|cost| *cost > 0.0);
    positive.unwrap_or(1.0)
}
