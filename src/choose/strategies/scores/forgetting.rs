//! Ranking by how often the learner unlearns a point.

use crate::choose::{Evidence, Kind, Needs, Score};
use crate::error::Result;

/// The number of forgetting events: epochs at which a point is predicted wrong right after one at which
/// it was predicted right. A point that was never right counts as forgotten most: its score is the
/// number of epochs, which no number of events reaches.
///
/// `O(N epochs)` time, `O(N)` memory beside the history.
///
/// # Reference
/// M. Toneva et al., *An Empirical Study of Example Forgetting during Deep Neural Network Learning*,
/// ICLR 2019.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetting;

impl Score for Forgetting {
    const NAME: &'static str = "forgetting";
    const NEEDS: Needs = Needs::of(&[Kind::History]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        let (history, points) = (evidence.history(Self::NAME)?, evidence.points());
        let mut events = vec![0.0; points];
        let mut learned = history[..points].to_vec();
        let epochs = history.chunks(points);
        for (before, now) in epochs.clone().zip(epochs.clone().skip(1)) {
            for i in 0..points {
                events[i] += f64::from(before[i] && !now[i]);
                learned[i] |= now[i];
            }
        }
        let most = epochs.len() as f64;
        Ok(events.iter().zip(learned).map(|(e, learned)| if learned { *e } else { most }).collect())
    }
}
