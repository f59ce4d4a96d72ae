//! One trait for all that says what points are worth.

use rand::RngCore;

use crate::choose::{Evidence, Needs};
use crate::error::Result;

/// Says what each point is worth to a learner, in a unit of its own: larger is better, and the smallest are the first to be
/// suspected of a wrong label.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{KnnShapley, Valuation};
/// # let mut rng = rand::rng();
///
/// // On a line: two points of each class, the last one with the wrong label; one validation point a class.
/// let validation = Evidence::new(2).with_features(&[0.0, 10.0], 1)?.with_labels(&[0, 1])?;
/// let evidence = Evidence::new(4).with_features(&[0.0, 1.0, 9.0, 10.0], 1)?;
/// let evidence = evidence.with_labels(&[0, 0, 1, 0])?.with_validation(&validation);
/// let values = KnnShapley { neighbours: 1 }.values(&evidence, &mut rng)?;
/// let least = (0..4).min_by(|&a, &b| values[a].total_cmp(&values[b]));
/// assert_eq!(least, Some(3));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub trait Valuation {
    /// Its name in tables.
    fn name(&self) -> &str;

    /// The evidence that it cannot do without.
    fn needs(&self) -> Needs;

    /// A number a point.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) if evidence is missing, others where the method says so.
    fn values(&self, evidence: &Evidence, rng: &mut dyn RngCore) -> Result<Vec<f64>>;
}

/// Which values are in the lower of two clusters: the split of the sorted values that leaves the least sum of squared
/// distances to the two means, exactly; of equal splits the lowest. Equal values stay together, and where all are equal none
/// is low. OpenDataVal's rule for which labels a valuation calls wrong. `O(N log N)`.
///
/// # Reference
/// K. Jiang et al., *OpenDataVal: a Unified Benchmark for Data Valuation*, NeurIPS 2023.
///
/// ```
/// use gleaner::value::lower_cluster;
/// assert_eq!(lower_cluster(&[5.0, 0.1, 5.5, 0.0, 4.0]), [false, true, false, true, false]);
/// assert_eq!(lower_cluster(&[2.0, 2.0]), [false, false]);
/// ```
pub fn lower_cluster(values: &[f64]) -> Vec<bool> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let points = values.len() as f64;
    let mean = values.iter().sum::<f64>() / points;
    // The least sum within is the largest sum between: n_low n_high (mean_low - mean_high)^2, by sums around the mean.
    let (mut sum, mut best) = (0.0, (0.0, f64::NEG_INFINITY));
    for (k, pair) in sorted.windows(2).enumerate() {
        sum += pair[0] - mean;
        let low = (k + 1) as f64;
        let between = sum * sum / low + sum * sum / (points - low);
        if pair[0] < pair[1] && between > best.0 {
            best = (between, pair[0]);
        }
    }
    values.iter().map(|value| *value <= best.1).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Against all splits, plainly.
    #[test]
    fn the_split_is_the_best_of_all() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let within = |part: &[f64]| -> f64 {
            let mean = part.iter().sum::<f64>() / part.len().max(1) as f64;
            part.iter().map(|x| (x - mean).powi(2)).sum()
        };
        for case in 0..200 {
            let points = rng.random_range(0..12);
            let draw = |_| match case % 3 {
                0 => f64::from(rng.random_range(0..4)),
                _ => rng.random_range(-1.0..1.0),
            };
            let values: Vec<f64> = (0..points).map(draw).collect();
            let low = lower_cluster(&values);
            let cost = |low: &[bool]| {
                let part = |wanted: bool| -> Vec<f64> {
                    let own = values.iter().zip(low).filter(|(_, low)| **low == wanted);
                    own.map(|(x, _)| *x).collect()
                };
                within(&part(true)) + within(&part(false))
            };
            let least = values
                .iter()
                .map(|limit| cost(&values.iter().map(|x| x <= limit).collect::<Vec<_>>()));
            let least = least.fold(within(&values), f64::min);
            assert!(cost(&low) <= least + 1e-12, "case {case}: {values:?}");
        }
    }
}
