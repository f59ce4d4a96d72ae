//! Graph cut: like the rest, unlike one another.

use rand::RngCore;

use crate::choose::neighbours::Neighbours;
use crate::choose::strategies::submodular::greedy::Objective;
use crate::choose::{Choice, Evidence, Greedy, Kind, Needs, Similarity, Strategy, check_count};
use crate::error::{Error, Result};

/// Maximises likeness to all points less likeness within the chosen set `S`,
///
/// ```text
/// f(S) = trade_off sum_{i, j in S} s_ij - sum_{i in S, j in S} s_ij        first sum: i over all points
/// ```
///
/// with `s_ij` the similarity of the features between nearest neighbours, zero elsewhere. From a trade-off
/// of 2 on the function grows with every point; below, diversity may win over representation.
///
/// # Cost
/// The neighbour graph takes `O(N^2 width)` time and `O(N k)` memory, a gain `O(1)` and a choice `O(k)`
/// on average.
///
/// # Reference
/// R. Iyer et al., *Submodular Combinatorial Information Measures with Applications in Machine
/// Learning*, ALT 2021.
#[derive(Clone, Copy, Debug)]
pub struct GraphCut {
    /// The nearest others of each point that enter the kernel; 32 by default.
    pub neighbours: usize,
    /// Cosine by default.
    pub similarity: Similarity,
    /// What representation is worth beside diversity; at least 0, by default 2.
    pub trade_off: f64,
}

impl Default for GraphCut {
    fn default() -> Self {
        Self { neighbours: 32, similarity: Similarity::Cosine, trade_off: 2.0 }
    }
}

impl Strategy for GraphCut {
    fn name(&self) -> &str {
        "graph-cut"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(self.name())?;
        let found = self.trade_off;
        if !(found >= 0.0 && found.is_finite()) {
            let (what, rule) = ("trade-off", "finite and at least zero");
            return Err(Error::range(what, rule, found));
        }
        let kernel = Neighbours::new(rows, width, self.neighbours, self.similarity)?;
        let mut objective = Cut::new(&kernel, self.trade_off);
        Greedy::Lazy.maximise(&mut objective, evidence.points(), count, rng)
    }
}

struct Cut<'a> {
    kernel: &'a Neighbours,
    /// What each point would add to the empty set.
    alone: Vec<f64>,
    /// Similarity of each point to all chosen ones.
    redundancy: Vec<f64>,
}

impl<'a> Cut<'a> {
    fn new(kernel: &'a Neighbours, trade_off: f64) -> Self {
        let total = |j| kernel.of(j).map(|(_, s)| f64::from(s)).sum::<f64>();
        // A point's similarity to itself is one.
        let alone = (0..kernel.points()).map(|j| trade_off * total(j) - 1.0).collect();
        Self { kernel, alone, redundancy: vec![0.0; kernel.points()] }
    }
}

impl Objective for Cut<'_> {
    fn gain(&self, point: usize) -> f64 {
        self.alone[point] - 2.0 * self.redundancy[point]
    }

    fn add(&mut self, point: usize) {
        for (i, similarity) in self.kernel.of(point) {
            self.redundancy[i] += f64::from(similarity);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::choose::strategies::submodular::greedy::naive;

    #[test]
    fn lazy_search_is_exhaustive_search_and_gains_are_differences() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        for case in 0..40 {
            let points = rng.random_range(1..40);
            let rows: Vec<f32> = (0..points * 2).map(|_| rng.random_range(-2..3) as f32).collect();
            let kernel = Neighbours::new(&rows, 2, 1 + case % 9, Similarity::Cosine)?;
            let trade_off = (case % 4) as f64;
            let all = naive(&mut Cut::new(&kernel, trade_off), points, points);
            let mut objective = Cut::new(&kernel, trade_off);
            assert_eq!(
                Greedy::Lazy.maximise(&mut objective, points, points, &mut rng)?.indices,
                all
            );

            let similarity = |i: usize, j: usize| {
                kernel.of(i).find(|pair| pair.0 == j).map_or(0.0, |pair| f64::from(pair.1))
            };
            let value = |set: &[usize]| -> f64 {
                let to = |others: &[usize]| -> f64 {
                    set.iter().flat_map(|j| others.iter().map(|i| similarity(*i, *j))).sum()
                };
                trade_off * to(&(0..points).collect::<Vec<_>>()) - to(set)
            };
            let mut objective = Cut::new(&kernel, trade_off);
            for (t, point) in all.iter().enumerate() {
                let difference = value(&all[..t + 1]) - value(&all[..t]);
                assert!((objective.gain(*point) - difference).abs() < 1e-9);
                objective.add(*point);
            }
        }
        Ok(())
    }
}
