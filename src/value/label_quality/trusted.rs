//! Any strategy, on the points whose labels hold.

use rand::RngCore;

use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::error::Result;
use crate::value::ConfidentLearning;

/// Leaves out the points whose labels [`ConfidentLearning`] holds to be wrong, and applies a strategy to the rest. Where
/// `count` needs more than there are left, the least suspect of the others come last.
///
/// The evidence's probabilities must be out of fold ([`CrossFit`](crate::choose::CrossFit)); the strategy within sees the
/// same ones. Copies the evidence of the points that are left.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, KCenter, Strategy};
/// use gleaner::value::Trusted;
/// # let mut rng = rand::rng();
///
/// let p = [0.9, 0.1, 0.8, 0.2, 0.1, 0.9, 0.2, 0.8, 0.1, 0.9];
/// let evidence = Evidence::new(5).with_probabilities(&p, 2)?.with_labels(&[0, 0, 0, 1, 1])?;
/// let evidence = evidence.with_features(&[0.0, 1.0, 9.0, 7.0, 8.0], 1)?;
/// let chosen = Trusted::new(KCenter).select(&evidence, 4, &mut rng)?.indices;
/// assert!(!chosen.contains(&2));
/// assert_eq!(Trusted::new(KCenter).select(&evidence, 5, &mut rng)?.indices[4], 2);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trusted<S> {
    inner: S,
    name: String,
}

impl<S: Strategy> Trusted<S> {
    /// The strategy for what is left.
    pub fn new(inner: S) -> Self {
        let name = format!("trusted {}", inner.name());
        Self { inner, name }
    }
}

impl<S: Strategy> Strategy for Trusted<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and(Needs::of(&[Kind::Probabilities, Kind::Labels]))
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let found = ConfidentLearning::asked_by(&self.name, evidence)?;
        let (suspect, trusted): (Vec<usize>, Vec<usize>) =
            (0..evidence.points()).partition(|i| found.wrong[*i]);
        let mut chosen = Choice::default();
        if !trusted.is_empty() {
            let part = evidence.part(&trusted);
            let wanted = count.min(trusted.len());
            chosen = self.inner.select(&part.evidence(), wanted, rng)?.among(&trusted);
        }
        let mut last = suspect;
        last.sort_by(|a, b| found.suspicion[*a].total_cmp(&found.suspicion[*b]).then(a.cmp(b)));
        last.truncate(count.saturating_sub(trusted.len()));
        Ok(match last.is_empty() {
            true => chosen,
            false => {
                let weights = [chosen.weights, vec![1.0; last.len()]].concat();
                Choice::weighted([chosen.indices, last].concat(), weights)?
            }
        })
    }
}
