//! Whole groups, by a score.

use std::collections::BTreeMap;

use rand::RngCore;

use crate::choose::{Choice, Evidence, Kind, Needs, Score, Strategy, check_count, top};
use crate::error::{Error, Result};

/// Keeps or leaves whole groups ([`Evidence::with_groups`]): all utterances of a speaker, all pictures of
/// a patient. Groups with the largest mean score come first; one that no longer fits is passed over.
///
/// `count` becomes an upper bound: a strategy that must not split groups cannot meet every number. The
/// hardest points of a group come first within it. `O(N log N)` beside the score.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, Grouped, LargestLoss, Strategy};
/// # let mut rng = rand::rng();
///
/// // Mean losses 4, 3 and 2; after the first group the second is too large for what is left.
/// let evidence = Evidence::new(6).with_losses(&[4.0, 2.0, 3.0, 4.0, 1.0, 3.0])?;
/// let evidence = evidence.with_groups(&[7, 5, 5, 5, 9, 9])?;
/// assert_eq!(Grouped::new(LargestLoss).select(&evidence, 3, &mut rng)?.indices, [0, 5, 4]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Grouped<S> {
    score: S,
    name: String,
}

impl<S: Score> Grouped<S> {
    /// By the mean of a score over each group.
    pub fn new(score: S) -> Self {
        Self { score, name: format!("grouped {}", S::NAME) }
    }
}

impl<S: Score> Strategy for Grouped<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        S::NEEDS.and(Needs::of(&[Kind::Groups]))
    }

    /// At most `count` points; [`Error::OutOfRange`] if the smallest group is larger.
    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let groups = evidence.groups(&self.name)?;
        let scores = self.score.scores(evidence)?;
        let mut members = BTreeMap::<u32, Vec<usize>>::new();
        for i in top(&scores, scores.len()) {
            members.entry(groups[i]).or_default().push(i);
        }
        let members: Vec<Vec<usize>> = members.into_values().collect();
        let mean =
            |group: &Vec<usize>| group.iter().map(|i| scores[*i]).sum::<f64>() / group.len() as f64;
        let means: Vec<f64> = members.iter().map(mean).collect();
        let mut chosen = Vec::with_capacity(count);
        for group in top(&means, means.len()) {
            if chosen.len() + members[group].len() <= count {
                chosen.extend(&members[group]);
            }
        }
        if chosen.is_empty() {
            let (what, rule) = ("points to select", "at least the size of the smallest group");
            return Err(Error::range(what, rule, count as f64));
        }
        let gains = chosen.iter().map(|i| scores[*i]).collect();
        Ok(Choice::equal(chosen).with_gains(gains))
    }
}
