//! Ranking by the area under the margin.

use crate::choose::{Evidence, Kind, Needs, Score};
use crate::error::Result;

/// Minus the margin `logit of the label - largest other logit`, averaged over the observed epochs.
///
/// A low area is suspect: the other points of the true class pull the learner away from a wrong label
/// all through training. Like every score this one puts the hardest first, so here the most likely
/// mislabelled; `Easiest::new(Aum)` keeps the points with the largest area, as the paper does for
/// training. `O(N epochs)` time, `O(N)` memory beside the margins.
///
/// # Reference
/// G. Pleiss et al., *Identifying Mislabeled Data using the Area Under the Margin Ranking*, NeurIPS 2020.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aum;

impl Score for Aum {
    const NAME: &'static str = "aum";
    const NEEDS: Needs = Needs::of(&[Kind::Margins]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        let margins = evidence.margins(Self::NAME)?.chunks(evidence.points());
        let epochs = margins.len() as f64;
        let mut scores = vec![0.0; evidence.points()];
        for epoch in margins {
            for (score, margin) in scores.iter_mut().zip(epoch) {
                *score -= f64::from(*margin) / epochs;
            }
        }
        Ok(scores)
    }
}
