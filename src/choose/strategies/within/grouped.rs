//! Whole groups, by what a strategy thinks of their points.

use std::collections::BTreeMap;

use rand::RngCore;

use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count, top};
use crate::error::{Error, Result};

/// Keeps or leaves whole groups ([`Evidence::with_groups`]): all utterances of a speaker, all pictures of
/// a patient. Groups with the largest mean [ranking number](Strategy::ranking) come first, or, of a strategy that does not
/// rank, those of which it would choose the largest share; one that no longer fits is passed over.
///
/// `count` becomes an upper bound: a strategy that must not split groups cannot meet every number. The
/// first of a group by the strategy come first within it. `O(N log N)` beside the strategy.
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
    inner: S,
    name: String,
}

impl<S: Strategy> Grouped<S> {
    /// By a strategy on single points.
    pub fn new(inner: S) -> Self {
        let name = format!("grouped {}", inner.name());
        Self { inner, name }
    }
}

impl<S: Strategy> Strategy for Grouped<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and(Needs::of(&[Kind::Groups]))
    }

    /// At most `count` points; [`Error::OutOfRange`] if the smallest group is larger.
    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let groups = evidence.groups(&self.name)?;
        let scores = match self.inner.ranking(evidence)? {
            Some(scores) => scores,
            None => {
                let mut chosen = vec![0.0; evidence.points()];
                let single = self.inner.select(evidence, count, rng)?;
                single.indices.into_iter().for_each(|i| chosen[i] = 1.0);
                chosen
            }
        };
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
