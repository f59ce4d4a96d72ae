//! Coverage-centric selection: all degrees of difficulty, save the very hardest.

use rand::RngCore;

use crate::choose::{Choice, Evidence, Needs, Score, Strategy, check_count, top};
use crate::data::shares::{near_equal, take_turns};
use crate::error::{Error, Result};

/// Prunes the hardest points, cuts the range of the remaining scores into strata of equal width, and
/// draws as equal a number from each stratum as their sizes allow, uniformly within it.
///
/// Keeping the hardest points alone fails when few are kept: what the model mostly meets is then
/// missing, and mislabelled points are among the hardest. Fewer are pruned where `count` needs them.
/// The strata take turns in the result, the easiest first. `O(N log N)` beside the score.
///
/// How many are too hard depends on how many are kept: see [`cut_by_share`](Self::cut_by_share).
///
/// # Reference
/// H. Zheng et al., *Coverage-centric Coreset Selection for High Pruning Rates*, ICLR 2023.
///
/// # Example
/// ```
/// use gleaner::choose::{CoverageCentric, Evidence, LargestLoss, Strategy};
/// # let mut rng = rand::rng();
///
/// // The loss of 9 is pruned; one point from each half of what is left, 0 to 4.
/// let evidence = Evidence::new(4).with_losses(&[4.0, 9.0, 0.0, 3.0])?;
/// let strategy = CoverageCentric::new(LargestLoss, 0.25, 2)?;
/// let chosen = strategy.select(&evidence, 2, &mut rng)?.indices;
/// assert!(chosen[0] == 2 && [0, 3].contains(&chosen[1]));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CoverageCentric<S> {
    score: S,
    cut: Cut,
    strata: usize,
    name: String,
}

/// The share of all points that is pruned as too hard.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Fixed(f64),
    ByShare,
}

impl<S: Score> CoverageCentric<S> {
    /// Prunes the share `prune` of all points (`beta` in the paper, which tunes it between 0 and 0.5)
    /// and cuts into `strata` (50 in the paper).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `prune` is in [0, 1) and there is a stratum.
    pub fn new(score: S, prune: f64, strata: usize) -> Result<Self> {
        if !(0.0..1.0).contains(&prune) {
            let (what, rule) = ("share to prune", "at least 0 and below 1");
            return Err(Error::range(what, rule, prune));
        }
        if strata == 0 {
            return Err(Error::range("strata", "at least 1", 0.0));
        }
        let name = format!("coverage-centric {}", S::NAME);
        Ok(Self { score, cut: Cut::Fixed(prune), strata, name })
    }

    /// Prunes, of all points, the share that the paper tuned for areas under the margin on CIFAR-10, instead of a
    /// fixed one. The paper gives five values; between them it goes in straight lines, beyond them it is constant:
    ///
    /// ```text
    /// not chosen             up to 0.5    0.7    0.8    from 0.9
    /// pruned as too hard           0      0.1    0.1        0.3
    /// ```
    pub fn cut_by_share(self) -> Self {
        let name = format!("adaptive coverage-centric {}", S::NAME);
        Self { cut: Cut::ByShare, name, ..self }
    }
}

/// A tenth pruned, 50 strata.
impl<S: Score + Default> Default for CoverageCentric<S> {
    fn default() -> Self {
        let name = format!("coverage-centric {}", S::NAME);
        Self { score: S::default(), cut: Cut::Fixed(0.1), strata: 50, name }
    }
}

impl<S: Score> Strategy for CoverageCentric<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        S::NEEDS
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (scores, points) = (self.score.scores(evidence)?, evidence.points());
        let pruned = self.cut.of(points, count).min(points - count);
        let kept = top(&scores, points).split_off(pruned);
        let strata = strata(&scores, &kept, self.strata);
        let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
        let draw = |(stratum, share): (&Vec<usize>, usize)| -> Vec<usize> {
            let drawn = rand::seq::index::sample(rng, stratum.len(), share);
            drawn.into_iter().map(|k| stratum[k]).collect()
        };
        let drawn: Vec<_> = strata.iter().zip(near_equal(&sizes, count)).map(draw).collect();
        Ok(Choice::equal(take_turns(&drawn)))
    }
}

impl Cut {
    /// How many points are too hard where `count` are chosen.
    fn of(self, points: usize, count: usize) -> usize {
        let all = points as f64;
        match self {
            Self::Fixed(share) => (all * share) as usize,
            Self::ByShare => {
                let left_out = 1.0 - count as f64 / all;
                let rise = |from: f64, to: f64| ((left_out - from) / (to - from)).clamp(0.0, 1.0);
                (all * (0.1 * rise(0.5, 0.7) + 0.2 * rise(0.8, 0.9))).round() as usize
            }
        }
    }
}

/// The points, hardest first, by where their score lies between the smallest and the largest.
fn strata(scores: &[f64], hardest_first: &[usize], number: usize) -> Vec<Vec<usize>> {
    let mut strata = vec![Vec::new(); number];
    if let [hardest, .., easiest] = hardest_first {
        let (least, range) = (scores[*easiest], scores[*hardest] - scores[*easiest]);
        for i in hardest_first {
            // Equal scores give 0 / 0; a cast takes NaN to zero.
            let place = (scores[*i] - least) / range * number as f64;
            strata[(place as usize).min(number - 1)].push(*i);
        }
    } else {
        strata[0].extend(hardest_first);
    }
    strata
}
