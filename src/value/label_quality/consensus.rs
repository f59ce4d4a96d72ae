//! What several judges that have not seen a label think of it.

use rand::RngCore;

use crate::Seeds;
use crate::choose::{CrossFit, Evidence, Kind, Needs};
use crate::error::Result;
use crate::value::{DataOob, Valuation};

/// The mean of two probabilities of each point's own label, neither of which has seen it: that of [`CrossFit`], itself a
/// mixture of ridge regressions and of the neighbours, and the share of a random forest's trees that are right about it
/// ([`DataOob`]). Linear, smooth, local and piecewise constant judges err differently, so that their mean ranks wrong labels
/// better than each; shares by likelihood, as within [`CrossFit`], ranked them worse on tables with flipped labels.
///
/// # Cost
/// That of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Consensus {
    /// The first.
    pub cross_fit: CrossFit,
    /// The second; 300 trees of at most 8 cuts on the way to a leaf by default, which learn few wrong labels.
    pub forest: DataOob,
}

impl Default for Consensus {
    fn default() -> Self {
        let forest = DataOob { trees: 300, depth: 8, ..Default::default() };
        Self { cross_fit: CrossFit::default(), forest }
    }
}

impl Valuation for Consensus {
    fn name(&self) -> &str {
        "consensus"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels])
    }

    fn values(&self, evidence: &Evidence, rng: &mut dyn RngCore) -> Result<Vec<f64>> {
        let (rows, width) = evidence.features(self.name())?;
        let labels = evidence.labels(self.name())?;
        let classes = labels.iter().max().map_or(0, |largest| *largest as usize + 1);
        let seeds = Seeds::new(rng.next_u64());
        let seen = self.cross_fit.classes(rows, width, labels, classes, seeds)?;
        let own = seen.probabilities.chunks(classes).zip(labels);
        let own = own.map(|(p, label)| f64::from(p[*label as usize]));
        let forest = self.forest.values(evidence, rng)?;
        Ok(own.zip(forest).map(|(own, forest)| 0.5 * (own + forest)).collect())
    }
}
