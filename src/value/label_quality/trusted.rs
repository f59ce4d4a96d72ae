//! Any strategy, on the points whose labels hold.

use rand::RngCore;

use crate::choose::{Aum, Choice, Evidence, Kind, Needs, Score, Strategy, check_count};
use crate::error::{Error, Result};
use crate::value::{ConfidentLearning, NeighbourAgreement, Valuation};

/// Whose labels are not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Suspects {
    /// Those that [`ConfidentLearning`] holds to be wrong; the evidence's probabilities must be out of fold
    /// ([`CrossFit`](crate::choose::CrossFit)).
    #[default]
    Confident,
    /// Those over whose probability that of another class stands by more than so much: with 0 those that are not the most
    /// probable class; the same probabilities. Leaves out more where classes overlap: what is left is what can be learned.
    Unlikely(f64),
    /// Those that fewer than half of so many nearest others share (D. Wilson, *Asymptotic Properties of Nearest Neighbor
    /// Rules Using Edited Data*, 1972).
    Neighbours(usize),
    /// Those over whose logit another one stood, on the mean of all epochs: a negative area under the margin
    /// (G. Pleiss et al., *Identifying Mislabeled Data using the Area Under the Margin Ranking*, NeurIPS 2020, without its
    /// [threshold samples](crate::value::ThresholdSamples)).
    Margins,
}

impl Suspects {
    /// How much speaks against each label, and whether it is believed.
    fn found(
        self,
        name: &str,
        evidence: &Evidence,
        rng: &mut dyn RngCore,
    ) -> Result<(Vec<f64>, Vec<bool>)> {
        let (against, limit) = match self {
            Self::Confident => {
                let found = ConfidentLearning::asked_by(name, evidence)?;
                return Ok((found.suspicion, found.wrong));
            }
            Self::Unlikely(doubt) => {
                if !(0.0..=1.0).contains(&doubt) {
                    return Err(Error::range("doubt that is borne", "from 0 to 1", doubt));
                }
                let (rows, classes) = evidence.probabilities(name)?;
                let margin = |(row, label): (&[f32], &u32)| {
                    let others = row.iter().enumerate().filter(|(c, _)| *c != *label as usize);
                    let other = others.map(|(_, p)| *p).fold(0.0, f32::max);
                    f64::from(other) - f64::from(row[*label as usize])
                };
                let labels = evidence.labels(name)?;
                (rows.chunks(classes).zip(labels).map(margin).collect::<Vec<_>>(), doubt)
            }
            Self::Neighbours(neighbours) => {
                let agreement = NeighbourAgreement { neighbours }.values(evidence, rng)?;
                (agreement.into_iter().map(|a| 1.0 - a).collect::<Vec<_>>(), 0.5)
            }
            Self::Margins => (Aum.scores(evidence)?, 0.0),
        };
        let wrong = against.iter().map(|x| *x > limit).collect();
        Ok((against, wrong))
    }

    fn needs(self) -> Needs {
        match self {
            Self::Confident | Self::Unlikely(_) => Needs::of(&[Kind::Probabilities, Kind::Labels]),
            Self::Neighbours(_) => Needs::of(&[Kind::Features, Kind::Labels]),
            Self::Margins => Aum.needs(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Confident => "trusted",
            Self::Unlikely(_) => "likely",
            Self::Neighbours(_) => "neighbour-trusted",
            Self::Margins => "margin-trusted",
        }
    }
}

/// Leaves out the [`Suspects`] and applies a strategy to the rest. Where `count` needs more than there are left, the least
/// suspect of the others come last.
///
/// The strategy within sees the evidence of the points that are left, copied.
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
    suspects: Suspects,
    name: String,
}

impl<S: Strategy> Trusted<S> {
    /// The strategy for what [`ConfidentLearning`] leaves.
    pub fn new(inner: S) -> Self {
        Self::beyond(Suspects::Confident, inner)
    }

    /// The strategy for what these suspects leave.
    pub fn beyond(suspects: Suspects, inner: S) -> Self {
        let name = format!("{} {}", suspects.name(), inner.name());
        Self { inner, suspects, name }
    }
}

impl<S: Strategy> Strategy for Trusted<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and(self.suspects.needs())
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (against, wrong) = self.suspects.found(&self.name, evidence, rng)?;
        let (suspect, trusted): (Vec<usize>, Vec<usize>) =
            (0..evidence.points()).partition(|i| wrong[*i]);
        let mut chosen = Choice::default();
        if !trusted.is_empty() {
            let part = evidence.part(&trusted);
            let wanted = count.min(trusted.len());
            chosen = self.inner.select(&part.evidence(), wanted, rng)?.among(&trusted);
        }
        let mut last = suspect;
        last.sort_by(|a, b| against[*a].total_cmp(&against[*b]).then(a.cmp(b)));
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
