//! Where a solve starts.

use nalgebra::DVector;

use super::candidates::Candidates;
use super::scaled::Scaled;

/// Where a solve starts from nothing: a guess at the budget's multiplier, and the row multipliers that meet
/// every row mass when each unit of weight has that price (exact for p = 1).
///
/// The guess is the multiplier of the linear program for p = 1: a row gains what its nearest remembered
/// column costs more than its nearest incoming one, and the budget goes to the rows that gain most.
/// Without memory, and with several budgets, the guess is zero.
pub(super) fn first_guess(
    scaled: &Scaled,
    candidates: &mut Candidates,
    eps: f64,
) -> (DVector<f64>, DVector<f64>) {
    let program = &scaled.program;
    let mut lambda = DVector::zeros(program.limits.len());
    if scaled.entropic() {
        return (entropic_rows(scaled, candidates, eps), lambda);
    }
    let [incoming, remembered] = &program.nearest;
    let price = program.coefficients.mean();
    if program.remembered() > 0 && lambda.len() == 1 && price > 0.0 {
        let mut gains: Vec<f64> = remembered
            .iter()
            .zip(incoming)
            .map(|(far, near)| (far - near) / scaled.scale)
            .collect();
        gains.sort_unstable_by(|a, b| b.total_cmp(a));
        let mass = program.row_masses.mean();
        let served = (program.limits[0] / (price * mass)) as usize;
        // A row that no remembered column may stand in for gains without bound.
        let gain = gains.iter().skip(served).find(|gain| gain.is_finite());
        lambda[0] = gain.map_or(0.0, |gain| gain.max(0.0) / price);
    }
    (priced_rows(scaled, candidates, eps, &lambda), lambda)
}

/// `sum_j exp((nu - D_j)/eps - 1) = r` with all columns free.
fn entropic_rows(scaled: &Scaled, candidates: &Candidates, eps: f64) -> DVector<f64> {
    let masses = &scaled.program.row_masses;
    let mut sums = vec![0.0; masses.len()];
    for candidate in candidates.iter() {
        sums[candidate.row as usize] += (-candidate.cost / eps).exp();
    }
    // Every row's smallest cost is zero: no sum is below one.
    let rows = masses.iter().zip(sums);
    let nu = rows.map(|(mass, sum)| eps * (1.0 + mass.ln() - f64::ln(sum)));
    DVector::from_iterator(masses.len(), nu)
}

/// `sum_j (nu - D_j - tau_j)_+ = eps r`, falling from where the cheapest column alone would meet it: each
/// round drops the columns that the last level rules out, as in the projection onto a simplex.
fn priced_rows(
    scaled: &Scaled,
    candidates: &mut Candidates,
    eps: f64,
    lambda: &DVector<f64>,
) -> DVector<f64> {
    let program = &scaled.program;
    let masses = &program.row_masses;
    let thresholds: Vec<f64> =
        (0..program.groups.len()).map(|group| scaled.threshold(group, lambda)).collect();
    let dearest = thresholds.iter().fold(0.0f64, |a, b| a.max(*b));
    let [incoming, remembered] = &program.nearest;
    let mut nu = DVector::from_fn(masses.len(), |i, _| {
        let own = scaled.cost(i, incoming[i]) + dearest;
        own.min(scaled.cost(i, remembered[i])) + eps * masses[i]
    });
    candidates.scan(scaled, nu.as_slice(), 0.0);
    let mut counted = u64::MAX;
    loop {
        let mut sums: Vec<(f64, u32)> = masses.iter().map(|mass| (eps * mass, 0)).collect();
        let mut add = |row: u32, cost: f64| {
            let sum = &mut sums[row as usize];
            if cost < nu[row as usize] {
                *sum = (sum.0 + cost, sum.1 + 1);
            }
        };
        for (group, tau) in thresholds.iter().enumerate() {
            candidates.of(group).iter().for_each(|c| add(c.row, c.cost + tau));
        }
        candidates.remembered().iter().for_each(|c| add(c.row, c.cost));
        // Every count falls or stays, but for rounding, by which two levels could follow each other for ever.
        let before = std::mem::replace(&mut counted, sums.iter().map(|sum| u64::from(sum.1)).sum());
        if counted >= before {
            return nu;
        }
        for (nu, (sum, count)) in nu.iter_mut().zip(sums) {
            *nu = if count > 0 { sum / f64::from(count) } else { *nu };
        }
    }
}
