//! Facility location: every point close to a chosen one.

use rand::RngCore;
use rayon::prelude::*;

use crate::choose::cells::{Across, InMemory, Pool, divide};
use crate::choose::neighbours::Neighbours;
use crate::choose::neighbours::near::EXACT;
use crate::choose::strategies::check_share;
use crate::choose::strategies::submodular::greedy::{Budget, Objective, lazy};
use crate::choose::{
    Choice, Evidence, Greedy, Kind, Needs, Similarity, Strategy, Streaming, check_count,
};
use crate::data::Source;
use crate::error::{Error, Result};

/// Points of a cell of a large pool, about.
const CELL: usize = 8_192;

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
/// More than 100,000 points are divided into cells of neighbours, as [`select_from`](Streaming::select_from) divides them, unless
/// there is a budget or the search is stochastic.
///
/// # Cost
/// The neighbour graph takes `O(N^2 width)` time and `O(N (width + k))` memory, a gain `O(k)` on average. In cells,
/// `O(8192 N width)` time.
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
        if evidence.points() > EXACT && self.budget.is_none() && self.greedy == Greedy::Lazy {
            let pool = InMemory { rows, width };
            return self.by_cells(&pool, pool.size().div_ceil(CELL), evidence, count, rng);
        }
        let budget = match self.budget {
            Some(budget) => Some(Budget::new(budget, evidence.costs(self.name())?)?),
            None => None,
        };
        let neighbours = self.reach(evidence.points(), count);
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

    fn as_streaming(&self) -> Option<&dyn Streaming> {
        if self.budget.is_some() { None } else { Some(self) }
    }
}

impl Streaming for FacilityLocation {
    /// Representatives of a source that may be larger than memory, by lazy search; gains are what each adds to `f`.
    ///
    /// The points are divided into cells of neighbours. Points of different cells count as strangers, so that `f` falls into a
    /// sum `g` over the cells, at most `f` for every set. The cells are searched one by one, and the largest gains of all are
    /// taken: that is the greedy search for `g`, so `f(S) >= g(S) >= (1 - 1/e) max g`. With one cell, so up to 8,192 points,
    /// this is [`select`](Strategy::select).
    ///
    /// # Cost
    /// Two passes over the source and `O(8192 N width)` time; of rows, one cell a thread is in memory, and `O(N)` numbers.
    ///
    /// # Errors
    /// Also [`Error::Unknown`] with a budget, which is not kept cell by cell.
    ///
    /// # References
    /// G. Nemhauser, L. Wolsey, M. Fisher, *An analysis of approximations for maximizing submodular set functions*, 1978; for
    /// parts that are searched on their own, B. Mirzasoleiman et al., *Distributed Submodular Maximization*, NIPS 2013.
    ///
    /// # Example
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use gleaner::{choose::{FacilityLocation, Similarity, Streaming}, data::Dataset};
    /// # let mut rng = rand::rng();
    ///
    /// let inputs = Tensor::new(&[[0.5f32], [1.0], [1.5], [7.0], [7.5]], &Device::Cpu)?;
    /// let data = Dataset::new(inputs, vec![0; 5], 1)?;
    /// let similarity = Similarity::Rbf { bandwidth: 1.0 };
    /// let strategy = FacilityLocation { similarity, ..Default::default() };
    /// assert_eq!(strategy.select_from(&data, 2, &mut rng)?.indices, [1, 3]);
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    fn select_from(
        &self,
        source: &dyn Source,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice> {
        check_share(source.points(), count)?;
        if self.budget.is_some() {
            let (what, expected) =
                ("method for rows on disk", "facility-location without a budget".into());
            return Err(Error::Unknown { what, expected, found: self.name().into() });
        }
        let points = source.points();
        self.by_cells(&source, points.div_ceil(CELL), &Evidence::new(points), count, rng)
    }
}

impl FacilityLocation {
    /// How many neighbours of each point enter the kernel.
    fn reach(&self, points: usize, count: usize) -> usize {
        self.neighbours.max((self.times_share * points).div_ceil(count).min(points))
    }

    /// With what is known of the points beside their features.
    fn by_cells(
        &self,
        pool: &dyn Pool,
        cells: usize,
        known: &Evidence,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice> {
        let alike = Alike { pool, similarity: self.similarity };
        let cells = divide(&alike, cells, Across::LongestAxis, rng)?;
        let neighbours = self.reach(pool.size(), count);
        let found = cells.par_iter().map(|cell| self.cell(pool, known, (cell, neighbours), count));
        let found = found.collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>>>()?;
        let mut found = found.concat();
        found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.truncate(count);
        let (gains, indices) = found.into_iter().unzip();
        Ok(Choice::equal(indices).with_gains(gains))
    }

    /// Members of a cell with their gains, which never grow.
    fn cell(
        &self,
        pool: &dyn Pool,
        known: &Evidence,
        (members, neighbours): (&[usize], usize),
        count: usize,
    ) -> Result<Vec<(f64, usize)>> {
        let (rows, width) = pool.gather(members)?;
        let kernel = Neighbours::new(&rows, width, neighbours.min(members.len()), self.similarity)?;
        let of = |all: &[f64]| -> Vec<f64> { members.iter().map(|i| all[*i]).collect() };
        let (masses, prices) = (known.masses().map(of), known.column_costs().map(of));
        let mut objective = Representation {
            masses: masses.as_deref(),
            prices: prices.as_deref(),
            mean: mean(known),
            ..Representation::new(&kernel)
        };
        if !known.remembered().is_empty() {
            objective.best = self.similarity.to_nearest(&rows, known.remembered(), width);
        }
        let chosen = lazy(&mut objective, members.len(), count.min(members.len()));
        Ok(chosen.into_pairs().map(|(gain, place)| (gain, members[place])).collect())
    }
}

/// Rows by which those that are alike are near one another.
struct Alike<'a> {
    pool: &'a dyn Pool,
    similarity: Similarity,
}

impl Pool for Alike<'_> {
    fn size(&self) -> usize {
        self.pool.size()
    }

    fn gather(&self, points: &[usize]) -> Result<(Vec<f32>, usize)> {
        let (rows, width) = self.pool.gather(points)?;
        Ok((self.similarity.prepared(&rows, width).into_owned(), width))
    }
}

/// Of the masses.
fn mean(evidence: &Evidence) -> f64 {
    evidence.masses().map_or(1.0, |all| all.iter().sum::<f64>() / all.len() as f64)
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
        Self { masses, prices, mean: mean(evidence), ..self }
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

    /// The sum over cells that is searched in them: against the textbook search for the sum, with all that is known of points.
    #[test]
    fn cells_are_searched_as_their_sum_would_be() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        for case in 0..60 {
            let points = rng.random_range(2..50usize);
            let coarse = case % 2 == 0; // for ties
            let mut any = |count: usize| -> Vec<f32> {
                let mut one = || if coarse { rng.random_range(1..4) as f32 } else { rng.random() };
                (0..count).map(|_| one()).collect()
            };
            let (rows, remembered) = (any(2 * points), any(4));
            let masses: Vec<f64> = any(points).into_iter().map(f64::from).collect();
            let prices: Vec<f64> = any(points).into_iter().map(|x| 0.3 * f64::from(x)).collect();
            let mut known = Evidence::new(points).with_features(&rows, 2)?;
            if case % 3 > 0 {
                known = known.with_masses(&masses)?.with_column_costs(&prices)?;
            }
            if case % 3 > 1 {
                known = known.with_remembered(&remembered, 2)?;
            }
            let pool = InMemory { rows: &rows, width: 2 };
            let similarity = Similarity::Rbf { bandwidth: 0.4 };
            let strategy = FacilityLocation { neighbours: 60, similarity, ..Default::default() };
            let mut same = rng.clone();
            let count = 1 + case % points;
            let choice = strategy.by_cells(&pool, 4, &known, count, &mut rng)?;

            let cells = divide(&pool, 4, Across::LongestAxis, &mut same)?;
            let kernel = Neighbours::new(&rows, 2, 60, similarity)?;
            let mut sum = Representation::new(&kernel).with(&known);
            if case % 3 > 1 {
                sum.best = similarity.to_nearest(&rows, &remembered, 2);
            }
            let mut cell = vec![0; points];
            cells
                .iter()
                .enumerate()
                .for_each(|(c, members)| members.iter().for_each(|i| cell[*i] = c));
            let all = naive(&mut Apart { whole: sum, cell }, points, count);
            assert_eq!(choice.indices, all, "case {case}");
            assert!(choice.gains.is_some_and(|gains| gains.is_sorted_by(|a, b| a >= b)));
        }
        Ok(())
    }

    /// Representation by points of the same cell alone.
    struct Apart<'a> {
        whole: Representation<'a>,
        cell: Vec<usize>,
    }

    impl Apart<'_> {
        fn own(&self, point: usize) -> Vec<(usize, f32)> {
            let own = |(i, _): &(usize, f32)| self.cell[*i] == self.cell[point];
            self.whole.kernel.of(point).filter(own).collect()
        }
    }

    impl Objective for Apart<'_> {
        fn gain(&self, point: usize) -> f64 {
            let mass = |i: usize| self.whole.masses.map_or(1.0, |masses| masses[i]);
            let more =
                |(i, s): (usize, f32)| mass(i) * f64::from((s - self.whole.best[i]).max(0.0));
            let price = self.whole.prices.map_or(0.0, |prices| prices[point]);
            self.own(point).into_iter().map(more).sum::<f64>() - self.whole.mean * price
        }

        fn add(&mut self, point: usize) {
            for (i, similarity) in self.own(point) {
                self.whole.best[i] = self.whole.best[i].max(similarity);
            }
        }
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
