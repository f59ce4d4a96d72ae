//! Whether trees that have not seen a point agree with its label.

use rand::{Rng, RngCore};
use rayon::prelude::*;

use crate::choose::strategies::within::class_balanced::{members, numbered};
use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::seeds::Seeds;
use crate::value::Valuation;
use crate::value::parts::part;
use crate::value::tree::{Bins, Growth};

/// How often decision trees that were taught without a point predict its label: of `trees` bags, each of as many points
/// as there are, drawn with replacement, those that it is out of.
///
/// ```text
/// v_i = sum_b 1[i not in bag b] 1[tree_b(x_i) = y_i] / sum_b 1[i not in bag b]
/// ```
///
/// No validation set, and no feature needs a scale. A point that is in every bag has the mean of its class's others, or
/// of all where these are in every bag too; a point alone agrees with everybody.
///
/// # Cost
/// `O(trees features N log N)` time for `features` looked at by a cut, on all cores; `O(N width)` memory. 800 trees on
/// 1,000 points with 57 features take 0.7 s on two cores, and 4 s where each cut looks at all features.
///
/// # Errors
/// [`Error::OutOfRange`] without a tree.
///
/// # Reference
/// Y. Kwon, J. Zou, *Data-OOB: Out-of-bag Estimate as a Simple and Efficient Data Value*, ICML 2023, with 800 trees.
///
/// # Differences from the paper
/// A feature of more than 64 different values is cut between 64 groups of them.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{DataOob, Valuation};
/// # let mut rng = rand::rng();
///
/// // Two clusters on a line; the label of the fourth point is wrong.
/// let features: Vec<f32> = (0..20).map(|i| if i < 10 { i as f32 } else { 100.0 + i as f32 }).collect();
/// let labels: Vec<u32> = (0..20).map(|i| u32::from(i >= 10) ^ u32::from(i == 3)).collect();
/// let evidence = Evidence::new(20).with_features(&features, 1)?.with_labels(&labels)?;
/// let values = DataOob::default().values(&evidence, &mut rng)?;
/// let least = (0..20).min_by(|&a, &b| values[a].total_cmp(&values[b]));
/// assert_eq!(least, Some(3));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataOob {
    /// Bags, and trees; 800 by default.
    pub trees: usize,
    /// What each cut chooses from.
    pub features: CutFeatures,
    /// Cuts on the way to a leaf, at most; no limit by default. Deep trees learn wrong labels too: where many are
    /// wrong, 8 may find more of them.
    pub depth: usize,
}

/// Features that a cut of a tree chooses from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CutFeatures {
    /// All: bagging.
    All,
    /// As many as the square root of their number, drawn anew for each cut: a random forest.
    #[default]
    SquareRoot,
}

impl Default for DataOob {
    fn default() -> Self {
        Self { trees: 800, features: CutFeatures::default(), depth: usize::MAX }
    }
}

impl Valuation for DataOob {
    fn name(&self) -> &str {
        "data-oob"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels])
    }

    fn values(&self, evidence: &Evidence, rng: &mut dyn RngCore) -> Result<Vec<f64>> {
        if self.trees == 0 {
            return Err(Error::range("trees", "at least 1", 0.0));
        }
        let (rows, width) = evidence.features(self.name())?;
        let given = evidence.labels(self.name())?;
        let (labels, classes) = numbered(given);
        let features = match self.features {
            CutFeatures::All => width,
            CutFeatures::SquareRoot => width.isqrt(),
        };
        let bins = Bins::new(rows, width);
        let growth = Growth { bins: &bins, labels: &labels, classes, depth: self.depth, features };
        let counts = self.count(&growth, Seeds::new(rng.next_u64()));
        Ok(shares(&counts, &members(given)))
    }
}

/// Of a point: trees that have not seen it, and those of them that predict its label.
type Count = (u32, u32);

impl DataOob {
    fn count(&self, growth: &Growth, seeds: Seeds) -> Vec<Count> {
        let points = growth.labels.len();
        let trees: Vec<u64> = (0..self.trees as u64).collect();
        let parts: Vec<Vec<Count>> = (trees.par_chunks(part(trees.len())))
            .map(|trees| {
                let mut counts = vec![(0, 0); points];
                trees.iter().for_each(|tree| judge(growth, &mut seeds.stream(*tree), &mut counts));
                counts
            })
            .collect();
        parts.into_iter().fold(vec![(0, 0); points], |mut sums, part| {
            let pairs = sums.iter_mut().zip(part);
            pairs.for_each(|(sum, (out, right))| *sum = (sum.0 + out, sum.1 + right));
            sums
        })
    }
}

/// Adds what one tree says of those out of its bag.
fn judge(growth: &Growth, rng: &mut impl Rng, counts: &mut [Count]) {
    let points = counts.len();
    let mut bag = vec![0; points];
    (0..points).for_each(|_| bag[rng.random_range(0..points)] += 1);
    if points == 0 {
        return;
    }
    let tree = growth.tree(&bag, rng);
    for i in (0..points).filter(|i| bag[*i] == 0) {
        let right = tree.class(growth.bins, i) == growth.labels[i];
        counts[i] = (counts[i].0 + 1, counts[i].1 + u32::from(right));
    }
}

fn shares(counts: &[Count], classes: &[Vec<usize>]) -> Vec<f64> {
    let share = |i: &usize| {
        let (out, right) = counts[*i];
        (out > 0).then(|| f64::from(right) / f64::from(out))
    };
    let mean = |points: &mut dyn Iterator<Item = usize>| {
        let (sum, known) =
            points.filter_map(|i| share(&i)).fold((0.0, 0), |(sum, n), x| (sum + x, n + 1));
        (known > 0).then(|| sum / f64::from(known))
    };
    let all = mean(&mut (0..counts.len())).unwrap_or(1.0);
    let mut values = vec![all; counts.len()];
    for points in classes {
        let class = mean(&mut points.iter().copied()).unwrap_or(all);
        points.iter().for_each(|i| values[*i] = share(i).unwrap_or(class));
    }
    values
}
