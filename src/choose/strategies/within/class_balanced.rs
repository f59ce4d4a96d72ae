//! Any strategy, within each class.

use rand::RngCore;

use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::data::shares::{in_proportion, near_equal, proportional, take_turns};
use crate::error::Result;

/// How many points each class gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shares {
    /// The same number, as far as the classes' sizes allow.
    #[default]
    Equal,
    /// In proportion to the classes' sizes.
    Proportional,
}

/// Applies a strategy to each class by itself. Every beginning of the result serves the classes as the whole does: they take
/// turns, in the order of their labels, where they give equally, and come in proportion where they do not.
///
/// A strategy that ranks all points may leave out whole classes. It needs labels beside the evidence of
/// the strategy within; a score, mean or similarity within is then that of the class alone, and
/// what costs `O(N^2)` costs only the sum over classes. Copies the evidence of one class at a time.
///
/// # Example
/// ```
/// use gleaner::choose::{ClassBalanced, Evidence, LargestLoss, Shares, Strategy};
/// # let mut rng = rand::rng();
///
/// let evidence = Evidence::new(5).with_losses(&[9.0, 8.0, 7.0, 0.1, 0.2])?;
/// let evidence = evidence.with_labels(&[0, 0, 0, 1, 1])?;
/// let strategy = ClassBalanced::new(LargestLoss, Shares::Equal);
/// assert_eq!(strategy.select(&evidence, 3, &mut rng)?.indices, [0, 4, 1]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClassBalanced<S> {
    inner: S,
    shares: Shares,
    name: String,
}

impl<S: Strategy> ClassBalanced<S> {
    /// The strategy within each class, and how many points each class gives.
    pub fn new(inner: S, shares: Shares) -> Self {
        let name = format!("class-balanced {}", inner.name());
        Self { inner, shares, name }
    }
}

impl<S: Strategy> Strategy for ClassBalanced<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and(Needs::of(&[Kind::Labels]))
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        by_class(evidence, &self.name, (self.shares, count), |part, share| {
            self.inner.select(part, share, rng)
        })
    }
}

/// What is chosen in each class, in one order; evidence without labels is refused in the name of who asks.
pub(crate) fn by_class(
    evidence: &Evidence,
    name: &str,
    (shares, count): (Shares, usize),
    mut choose: impl FnMut(&Evidence, usize) -> Result<Choice>,
) -> Result<Choice> {
    let classes = members(evidence.labels(name)?);
    let sizes: Vec<usize> = classes.iter().map(Vec::len).collect();
    let of_each = match shares {
        Shares::Equal => near_equal(&sizes, count),
        Shares::Proportional => proportional(&sizes, count),
    };
    let mut chosen = Vec::with_capacity(classes.len());
    for (members, share) in classes.iter().zip(of_each).filter(|(_, share)| *share > 0) {
        let part = evidence.part(members);
        chosen.push(choose(&part.evidence(), share)?.among(members));
    }
    Ok(match shares {
        Shares::Equal => Choice::in_order(&chosen, take_turns),
        Shares::Proportional => Choice::in_order(&chosen, in_proportion),
    })
}

/// The points of each class that has any, by label.
pub(crate) fn members(labels: &[u32]) -> Vec<Vec<usize>> {
    let mut classes = std::collections::BTreeMap::<u32, Vec<usize>>::new();
    for (i, label) in labels.iter().enumerate() {
        classes.entry(*label).or_default().push(i);
    }
    classes.into_values().collect()
}

/// Labels as places in their order, and how many different ones there are.
pub(crate) fn numbered(labels: &[u32]) -> (Vec<u32>, usize) {
    let classes = members(labels);
    let mut numbers = vec![0; labels.len()];
    for (number, points) in (0..).zip(&classes) {
        points.iter().for_each(|i| numbers[*i] = number);
    }
    (numbers, classes.len())
}
