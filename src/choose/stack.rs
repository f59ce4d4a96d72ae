//! Stacked generalisation: several judges' probabilities as one mixture.

/// Rounds of expectation and maximisation; what a share may still move by then is far below what the probabilities know.
const ROUNDS: usize = 300;

/// The shares of judges in the mixture that makes the labels most likely:
///
/// ```text
/// maximise  sum_i log sum_j w_j p_ij    over w >= 0, sum w = 1      p_ij: what judge j gives the label of point i
/// ```
///
/// a concave problem, by expectation and maximisation: `w_j` becomes the mean of `w_j p_ij / sum_k w_k p_ik`. Points whose
/// label no judge thinks possible say nothing; without any other the shares are equal. `O(points judges)` a round.
///
/// L. Breiman, *Stacked Regressions*, Machine Learning 1996; M. van der Laan, E. Polley, A. Hubbard, *Super Learner*, 2007.
pub(crate) fn shares(likelihoods: &[Vec<f64>]) -> Vec<f64> {
    let judges = likelihoods.len();
    let points = likelihoods.first().map_or(0, Vec::len);
    let mut shares = vec![1.0 / judges as f64; judges];
    for _ in 0..ROUNDS {
        let (mut sums, mut heard) = (vec![0.0; judges], 0.0);
        for i in 0..points {
            let of = |(share, judge): (&f64, &Vec<f64>)| share * judge[i];
            let total: f64 = shares.iter().zip(likelihoods).map(of).sum();
            if total > 0.0 {
                heard += 1.0;
                let parts = shares.iter().zip(likelihoods).map(of);
                sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part / total);
            }
        }
        if heard == 0.0 {
            break;
        }
        shares = sums.into_iter().map(|sum| sum / heard).collect();
    }
    shares
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    /// Two judges of three points: with `w` for the first the likelihood is `(.9 w + .3 (1 - w))^2 (.2 w + .8 (1 - w))`,
    /// largest where `2 * .6 / (.3 + .6 w) = .6 / (.8 - .6 w)`, at `w = 13/18`.
    #[test]
    fn the_best_mixture_by_hand() {
        let found = shares(&[vec![0.9, 0.9, 0.2], vec![0.3, 0.3, 0.8]]);
        assert_relative_eq!(found[0], 13.0 / 18.0, epsilon = 1e-9);
        assert_relative_eq!(found[0] + found[1], 1.0, epsilon = 1e-12);
    }

    /// One judge is believed alone, equal ones alike; nobody heard, nothing learned.
    #[test]
    fn odd_judges() {
        assert_eq!(shares(&[vec![0.5, 0.1]]), [1.0]);
        assert_eq!(shares(&[vec![0.5, 0.1], vec![0.5, 0.1]]), [0.5, 0.5]);
        assert_eq!(shares(&[vec![0.0, 0.0], vec![0.0, 0.0]]), [0.5, 0.5]);
        assert_eq!(shares(&[Vec::new(), Vec::new()]), [0.5, 0.5]);
        let found = shares(&[vec![1e-300, 0.0, 0.7], vec![0.0, 0.0, 0.7]]);
        assert!(found.iter().all(|share| share.is_finite()) && found[0] > 0.9, "{found:?}");
    }
}
