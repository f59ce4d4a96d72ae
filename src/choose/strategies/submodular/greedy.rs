//! Greedy maximisation of submodular functions: engines that know gains alone.
//!
//! A set function is submodular if what a point adds never grows while the set does. So an old gain is
//! an upper bound of today's, and a point whose old gain is already too small need not be looked at.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{Rng, RngCore};
use rayon::prelude::*;

use crate::choose::Choice;
use crate::choose::strategies::within::affordable::{check_budget, unaffordable};
use crate::error::{Error, Result};

/// How the next point is searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Greedy {
    /// The best of all points, found by looking first at those whose gain was large before: the same
    /// choice as an evaluation of all gains.
    ///
    /// M. Minoux, *Accelerated Greedy Algorithms for Maximizing Submodular Set Functions*, 1978.
    #[default]
    Lazy,
    /// The best of `N / count * ln(1 / epsilon)` random points: for a monotone function an expected
    /// `1 - 1/e - epsilon` of the optimum from `N ln(1 / epsilon)` gains in all, whatever `count` is.
    ///
    /// B. Mirzasoleiman et al., *Lazier Than Lazy Greedy*, AAAI 2015.
    Stochastic {
        /// Accuracy, in (0, 1).
        epsilon: f64,
    },
}

/// A submodular function and the set chosen so far.
///
/// Gains must not grow in floating point either: then lazy and exhaustive search agree, ties included.
pub(crate) trait Objective: Sync {
    /// What the point would add; never NaN.
    fn gain(&self, point: usize) -> f64;

    /// Moves the point into the set.
    fn add(&mut self, point: usize);
}

/// What the chosen points may cost together.
#[derive(Clone, Copy)]
pub(crate) struct Budget<'a> {
    limit: f64,
    costs: &'a [f64],
}

impl<'a> Budget<'a> {
    /// Costs are positive.
    pub(crate) fn new(limit: f64, costs: &'a [f64]) -> Result<Self> {
        check_budget(limit)?;
        if costs.iter().all(|cost| *cost > limit) {
            return Err(unaffordable(limit));
        }
        Ok(Self { limit, costs })
    }
}

impl Greedy {
    /// At most `count` points within the budget: the better of two searches, by gain and by gain per
    /// cost. Either alone can be arbitrarily bad.
    pub(crate) fn maximise_within(
        self,
        objective: &(impl Objective + Clone),
        points: usize,
        count: usize,
        budget: Budget,
    ) -> Result<Choice> {
        if self != Self::Lazy {
            let (method, what) = ("stochastic greedy search", "selection within a budget");
            return Err(Error::Unsupported { method, what, instead: "Greedy::Lazy" });
        }
        let search = |divisors: Option<&[f64]>| {
            lazy_within(&mut objective.clone(), points, count, budget, divisors)
        };
        let (by_gain, by_ratio) = (search(None), search(Some(budget.costs)));
        Ok(if by_ratio.value() > by_gain.value() { by_ratio } else { by_gain }.into())
    }

    /// `count` of `points` points, `count` being at most as many; ties go to the smaller index.
    pub(crate) fn maximise(
        self,
        objective: &mut impl Objective,
        points: usize,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice> {
        match self {
            Self::Lazy => Ok(lazy(objective, points, count).into()),
            Self::Stochastic { epsilon } if epsilon > 0.0 && epsilon < 1.0 => {
                let sample = (points as f64 / count as f64 * -epsilon.ln()).ceil() as usize;
                Ok(stochastic(objective, points, count, sample.max(1), rng).into())
            }
            Self::Stochastic { epsilon: found } => {
                Err(Error::range("epsilon", "between 0 and 1", found))
            }
        }
    }
}

/// The set so far, and what each point added to it.
#[derive(Default)]
pub(crate) struct Chosen {
    points: Vec<usize>,
    gains: Vec<f64>,
}

impl Chosen {
    fn push(&mut self, objective: &mut impl Objective, point: usize, gain: f64) {
        objective.add(point);
        self.points.push(point);
        self.gains.push(gain);
    }

    /// Each gain with its point.
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (f64, usize)> {
        self.gains.into_iter().zip(self.points)
    }

    fn value(&self) -> f64 {
        self.gains.iter().sum()
    }
}

impl From<Chosen> for Choice {
    fn from(chosen: Chosen) -> Self {
        Self::equal(chosen.points).with_gains(chosen.gains)
    }
}

/// A gain as it was when `round` points were chosen.
struct Bound {
    gain: f64,
    point: usize,
    round: usize,
}

/// As [`Greedy::Lazy`].
pub(crate) fn lazy(objective: &mut impl Objective, points: usize, count: usize) -> Chosen {
    let gains: Vec<f64> = (0..points).into_par_iter().map(|point| objective.gain(point)).collect();
    let bounds = gains.into_iter().enumerate();
    let mut heap: BinaryHeap<Bound> =
        bounds.map(|(point, gain)| Bound { gain, point, round: 0 }).collect();
    let mut chosen = Chosen::default();
    while chosen.points.len() < count
        && let Some(best) = heap.pop()
    {
        let round = chosen.points.len();
        if best.round == round {
            chosen.push(objective, best.point, best.gain);
        } else {
            heap.push(Bound { gain: objective.gain(best.point), round, ..best });
        }
    }
    chosen
}

/// Lazy search by gain over divisor; what no longer fits never fits again.
fn lazy_within(
    objective: &mut impl Objective,
    points: usize,
    count: usize,
    budget: Budget,
    divisors: Option<&[f64]>,
) -> Chosen {
    let divisor = |point: usize| divisors.map_or(1.0, |divisors| divisors[point]);
    let gains: Vec<f64> =
        (0..points).into_par_iter().map(|point| objective.gain(point) / divisor(point)).collect();
    let bounds = gains.into_iter().enumerate();
    let mut heap: BinaryHeap<Bound> =
        bounds.map(|(point, gain)| Bound { gain, point, round: 0 }).collect();
    let (mut chosen, mut left) = (Chosen::default(), budget.limit);
    while chosen.points.len() < count
        && let Some(best) = heap.pop()
    {
        let Bound { point, round, .. } = best;
        if budget.costs[point] > left {
            continue;
        }
        let gain = objective.gain(point);
        if round == chosen.points.len() {
            chosen.push(objective, point, gain);
            left -= budget.costs[point];
        } else {
            heap.push(Bound { gain: gain / divisor(point), point, round: chosen.points.len() });
        }
    }
    chosen
}

fn stochastic(
    objective: &mut impl Objective,
    points: usize,
    count: usize,
    sample: usize,
    rng: &mut dyn RngCore,
) -> Chosen {
    let mut free: Vec<usize> = (0..points).collect();
    let mut chosen = Chosen::default();
    while chosen.points.len() < count {
        // The first steps of a Fisher-Yates shuffle bring a uniform sample to the front.
        let sample = sample.min(free.len());
        for k in 0..sample {
            let other = rng.random_range(k..free.len());
            free.swap(k, other);
        }
        let bound = |k: usize| Bound { gain: objective.gain(free[k]), point: free[k], round: k };
        let bounds = (0..sample).into_par_iter().with_min_len(64).map(bound);
        let Some(best) = bounds.max() else { break };
        free.swap_remove(best.round);
        chosen.push(objective, best.point, best.gain);
    }
    chosen
}

/// Larger gain first, then the smaller index; adding zero makes -0 and 0 the tie they are.
impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |bound: &Self| Reverse(bound.point);
        (self.gain + 0.0).total_cmp(&(other.gain + 0.0)).then(key(self).cmp(&key(other)))
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bound {}

/// Every gain before every choice: the textbook form that the lazy search must reproduce.
#[cfg(test)]
pub(crate) fn naive(objective: &mut impl Objective, points: usize, count: usize) -> Vec<usize> {
    let mut chosen = Vec::new();
    while chosen.len() < count {
        let free = (0..points).filter(|point| !chosen.contains(point));
        let gains: Vec<(usize, f64)> = free.map(|point| (point, objective.gain(point))).collect();
        let best = gains.iter().fold(gains[0], |best, g| if g.1 > best.1 { *g } else { best });
        objective.add(best.0);
        chosen.push(best.0);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// How many of the numbers 0..12 the chosen points' multiples cover.
    struct Cover([bool; 12]);

    impl Objective for Cover {
        fn gain(&self, point: usize) -> f64 {
            (0..12).filter(|n| n % (point + 2) == 0 && !self.0[*n]).count() as f64
        }
        fn add(&mut self, point: usize) {
            (0..12).filter(|n| n % (point + 2) == 0).for_each(|n| self.0[n] = true);
        }
    }

    #[test]
    fn coverage_by_hand() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        // Multiples of 2 (six numbers), then of 3 (3, 9), then of 5 or 7 (one each), then nothing new.
        let expected = [0, 1, 3, 5, 2, 4];
        assert_eq!(
            Greedy::Lazy.maximise(&mut Cover([false; 12]), 6, 6, &mut rng)?.indices,
            expected
        );
        assert_eq!(naive(&mut Cover([false; 12]), 6, 6), expected);
        // A sample of everything is the exhaustive search.
        let all = Greedy::Stochastic { epsilon: 1e-9 };
        assert_eq!(all.maximise(&mut Cover([false; 12]), 6, 6, &mut rng)?.indices, expected);
        for epsilon in [0.0, 1.0, -1.0, f64::NAN] {
            let greedy = Greedy::Stochastic { epsilon };
            assert!(greedy.maximise(&mut Cover([false; 12]), 6, 2, &mut rng).is_err());
        }
        Ok(())
    }
}
