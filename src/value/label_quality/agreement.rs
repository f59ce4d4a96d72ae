//! How far labels agree with what they say themselves, out of fold, and with their neighbours.

use rand::RngCore;

use crate::Seeds;
use crate::choose::neighbours::near::near;
use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::value::Valuation;

/// The probability of each point's own label, which must be out of fold ([`CrossFit`](crate::choose::CrossFit)). `O(N)`.
///
/// # Reference
/// C. Northcutt, L. Jiang, I. Chuang, *Confident Learning*, JAIR 70, 2021, where it is the self-confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelfConfidence;

impl Valuation for SelfConfidence {
    fn name(&self) -> &str {
        "self-confidence"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Probabilities, Kind::Labels])
    }

    fn values(&self, evidence: &Evidence, _: &mut dyn RngCore) -> Result<Vec<f64>> {
        let (rows, classes) = evidence.probabilities(self.name())?;
        let labels = evidence.labels(self.name())?;
        let own = |(row, label): (&[f32], &u32)| f64::from(row[*label as usize]);
        Ok(rows.chunks(classes).zip(labels).map(own).collect())
    }
}

/// The share of each point's nearest others, by Euclidean distance, that have its label. `O(N^2 width)` time as products
/// of matrices, `O(N (width + k))` memory; from 100,000 points on by [nearly](crate::value::Audit::recall) the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourAgreement {
    /// Others that are asked; 15 by default, fewer where there are not so many.
    pub neighbours: usize,
}

impl Default for NeighbourAgreement {
    fn default() -> Self {
        Self { neighbours: 15 }
    }
}

impl Valuation for NeighbourAgreement {
    fn name(&self) -> &str {
        "neighbour-agreement"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels])
    }

    /// A point alone agrees with everybody. [`Error::OutOfRange`] without a neighbour.
    fn values(&self, evidence: &Evidence, rng: &mut dyn RngCore) -> Result<Vec<f64>> {
        if self.neighbours == 0 {
            return Err(Error::range("neighbours", "at least 1", 0.0));
        }
        let (rows, width) = evidence.features(self.name())?;
        let labels = evidence.labels(self.name())?;
        let lists = near(rows, width, self.neighbours, Seeds::new(rng.next_u64()))?.lists;
        let of = |i: usize| match lists.of(i).count() {
            0 => 1.0,
            all => {
                let same = lists.of(i).filter(|(j, _)| labels[*j as usize] == labels[i]).count();
                same as f64 / all as f64
            }
        };
        Ok((0..labels.len()).map(of).collect())
    }
}
