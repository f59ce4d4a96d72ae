//! Facility location: every point close to a chosen one.

use rand::RngCore;

use crate::choose::neighbours::Neighbours;
use crate::choose::strategies::submodular::greedy::{Budget, Objective};
use crate::choose::{Choice, Evidence, Greedy, Kind, Needs, Similarity, Strategy, check_count};
use crate::error::Result;

/// Maximises how well the chosen set `S` represents all points,
///
/// ```text
/// f(S) = sum_i m_i max_{j in S} s_ij  -  mean(m) sum_{j in S} c_j
/// ```
///
/// with `s_ij` the similarity of the features, `m` the masses ([`Evidence::with_masses`]; one without) and `c` the
/// column costs ([`Evidence::with_column_costs`]; none without). Similarities are kept between nearest neighbours only; a
/// chosen point outside a point's neighbourhood counts as similarity zero for it, as if it did not
/// represent it at all. With `neighbours >= N - 1` the kernel is complete. Remembered points count as chosen
/// already, for every point.
///
/// With a `budget` and costs ([`Evidence::with_costs`]) the greedy search runs twice, by gain and by gain
/// per cost, passing over what no longer fits, and the better set is kept: at least `(1 - 1/e) / 2` of the
/// optimum that fits (lazy search only).
///
/// # Cost
/// The neighbour graph takes `O(N^2 width)` time and `O(N (width + k))` memory, a gain `O(k)` on average.
///
/// # Reference
/// K. Wei, R. Iyer, J. Bilmes, *Submodularity in Data Subset Selection and Active Learning*, ICML 2015;
/// J. Leskovec et al., *Cost-effective Outbreak Detection in Networks*, KDD 2007, for budgets.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, FacilityLocation, Similarity, Strategy};
/// # let mut rng = rand::rng();
///
/// // Three points around 1 and two around 7: one for each group, the larger group first.
/// let evidence = Evidence::new(5).with_features(&[0.5, 1.0, 1.5, 7.0, 7.5], 1)?;
/// let similarity = Similarity::Rbf { bandwidth: 1.0 };
/// let strategy = FacilityLocation { similarity, ..Default::default() };
/// assert_eq!(strategy.select(&evidence, 2, &mut rng)?.indices, [1, 3]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FacilityLocation {
    /// The nearest others of each point that enter the kernel; 32 by default.
    pub neighbours: usize,
    /// At least so many times `N / count` of them, the points that a chosen one stands for: few chosen points
    /// need neighbourhoods that reach far. None by default.
    pub times_share: usize,
    /// Cosine by default.
    pub similarity: Similarity,
    /// Lazy by default.
    pub greedy: Greedy,
    /// What the chosen points may cost together, if that counts; `count` is then an upper bound.
    pub budget: Option<f64>,
}

impl Default for FacilityLocation {
    fn default() -> Self {
        let (similarity, greedy) = (Similarity::Cosine, Greedy::Lazy);
        Self { neighbours: 32, times_share: 0, similarity, greedy, budget: None }
    }
}

impl Strategy for FacilityLocation {
    fn name(&self) -> &str {
        if self.budget.is_some() { "affordable facility-location" } else { "facility-location" }
    }

    fn needs(&self) -> Needs {
        let costs = if self.budget.is_some() { Needs::of(&[Kind::Costs]) } else { Needs::NOTHING };
        Needs::of(&[Kind::Features]).and(costs)
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(self.name())?;
        let budget = match self.budget {
            Some(budget) => Some(Budget::new(budget, evidence.costs(self.name())?)?),
            None => None,
        };
        let far = (self.times_share * evidence.points()).div_ceil(count);
        let neighbours = self.neighbours.max(far.min(evidence.points()));
        let kernel = Neighbours::new(rows, width, neighbours, self.similarity)?;
        let mut objective = Representation::new(&kernel).with(evidence);
        if !evidence.remembered().is_empty() {
            objective.best = self.similarity.to_nearest(rows, evidence.remembered(), width);
        }
        if let Some(budget) = budget {
            return self.greedy.maximise_within(&objective, evidence.points(), count, budget);
        }
        self.greedy.maximise(&mut objective, evidence.points(), count, rng)
    }
}

#[derive(Clone)]
pub(crate) struct Representation<'a> {
    kernel: &'a Neighbours,
    /// Similarity of each point to the chosen one most like it.
    best: Vec<f32>,
    masses: Option<&'a [f64]>,
    prices: Option<&'a [f64]>,
    /// Of the masses, in which prices are counted.
    mean: f64,
}

impl<'a> Representation<'a> {
    pub(crate) fn new(kernel: &'a Neighbours) -> Self {
        let best = vec![0.0; kernel.points()];
        Self { kernel, best, masses: None, prices: None, mean: 1.0 }
    }

    /// With the masses and prices of the evidence, where there are any.
    fn with(self, evidence: &Evidence<'a>) -> Self {
        let (masses, prices) = (evidence.masses(), evidence.column_costs());
        let mean = masses.map_or(1.0, |all| all.iter().sum::<f64>() / all.len() as f64);
        Self { masses, prices, mean, ..self }
    }
}

impl Objective for Representation<'_> {
    fn gain(&self, point: usize) -> f64 {
        let mass = |i: usize| self.masses.map_or(1.0, |masses| masses[i]);
        let covered =
            self.kernel.of(point).map(|(i, s)| mass(i) * f64::from((s - self.best[i]).max(0.0)));
        let price = self.prices.map_or(0.0, |prices| prices[point]);
        covered.sum::<f64>() - self.mean * price
    }

    fn add(&mut self, point: usize) {
        for (i, similarity) in self.kernel.of(point) {
            self.best[i] = self.best[i].max(similarity);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::choose::strategies::submodular::greedy::naive;

    /// Against the best of all sets that fit: the paper's bound holds, and the choice fits.
    #[test]
    fn a_budget_is_kept_and_well_spent() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        for case in 0..60 {
            let points = rng.random_range(1..10usize);
            let rows: Vec<f32> = (0..points * 2).map(|_| rng.random()).collect();
            let kernel = Neighbours::new(&rows, 2, 9, Similarity::Rbf { bandwidth: 0.2 })?;
            let costs: Vec<f64> = (0..points).map(|_| rng.random_range(1..6) as f64).collect();
            let limit = 5.0 + (case % 7) as f64;
            let value = |set: &[usize]| -> f64 {
                let mut objective = Representation::new(&kernel);
                set.iter().for_each(|j| objective.add(*j));
                objective.best.iter().map(|s| f64::from(*s)).sum()
            };
            let cost = |set: &[usize]| set.iter().map(|j| costs[*j]).sum::<f64>();
            let best = (0..1usize << points)
                .map(|code| (0..points).filter(|j| code >> j & 1 == 1).collect::<Vec<_>>())
                .filter(|set| cost(set) <= limit)
                .map(|set| value(&set))
                .fold(0.0, f64::max);
            let budget = Budget::new(limit, &costs)?;
            let objective = Representation::new(&kernel);
            let chosen = Greedy::Lazy.maximise_within(&objective, points, points, budget)?.indices;
            assert!(cost(&chosen) <= limit, "case {case}: {chosen:?}");
            let bound = 0.5 * (1.0 - (-1f64).exp());
            assert!(value(&chosen) >= bound * best, "case {case}: {} of {best}", value(&chosen));
        }
        Ok(())
    }

    #[test]
    fn lazy_search_is_exhaustive_search() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for case in 0..40 {
            let points = rng.random_range(1..60);
            // Every other case on a coarse grid, for ties and duplicates.
            let rows: Vec<f32> = (0..points * 2)
                .map(|_| if case % 2 == 0 { rng.random() } else { rng.random_range(0..4) as f32 })
                .collect();
            for similarity in [Similarity::Cosine, Similarity::Rbf { bandwidth: 0.7 }] {
                let kernel = Neighbours::new(&rows, 2, 1 + case % 9, similarity)?;
                let all = naive(&mut Representation::new(&kernel), points, points);
                let mut objective = Representation::new(&kernel);
                assert_eq!(
                    Greedy::Lazy.maximise(&mut objective, points, points, &mut rng)?.indices,
                    all
                );
            }
        }
        Ok(())
    }
}
