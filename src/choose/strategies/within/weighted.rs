//! Any strategy, its points weighted by what they stand for.

use rand::RngCore;

use crate::choose::strategies::within::class_balanced::members;
use crate::choose::{Choice, Evidence, Kind, Needs, Similarity, Strategy, check_count};
use crate::error::Result;

/// Gives each chosen point the mass of the points that it stands for, itself included,
///
/// ```text
/// w_j = sum of m_i over the i whose most similar chosen point, of the same class, is j
/// ```
///
/// scaled as in every [`Choice`], with `m` the masses ([`Evidence::with_masses`]; one without): a weighted mean over the
/// choice then stands for the mean over all. Of equally similar points the one chosen first has it, and a chosen point
/// stands for itself. Without labels all are of one class; nobody stands for a class of which no point is chosen.
/// `O(N count width)` time beside the strategy, less by the number of classes.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, FacilityLocation, Similarity, Strategy, Weighted};
/// # let mut rng = rand::rng();
///
/// // Three points around 1 and one at 7.
/// let evidence = Evidence::new(4).with_features(&[0.5, 1.0, 1.5, 7.0], 1)?;
/// let similarity = Similarity::Rbf { bandwidth: 1.0 };
/// let strategy = FacilityLocation { similarity, ..Default::default() };
/// let choice = Weighted::new(strategy, similarity).select(&evidence, 2, &mut rng)?;
/// assert_eq!((choice.indices, choice.weights), (vec![1, 3], vec![1.5, 0.5]));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Weighted<S> {
    inner: S,
    similarity: Similarity,
    name: String,
}

impl<S: Strategy> Weighted<S> {
    /// The strategy that chooses, and how alike features are.
    pub fn new(inner: S, similarity: Similarity) -> Self {
        let name = format!("weighted {}", inner.name());
        Self { inner, similarity, name }
    }
}

impl<S: Strategy> Strategy for Weighted<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and(Needs::of(&[Kind::Features]))
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(&self.name)?;
        let Choice { indices, gains, .. } = self.inner.select(evidence, count, rng)?;
        let classes = match evidence.labels(&self.name) {
            Ok(labels) => members(labels),
            Err(_) => vec![(0..evidence.points()).collect()],
        };
        let mut place = vec![None; evidence.points()];
        indices.iter().enumerate().for_each(|(k, j)| place[*j] = Some(k));
        let mut weights = vec![0.0; indices.len()];
        for class in classes {
            let mut chosen: Vec<usize> = class.iter().filter_map(|i| place[*i]).collect();
            chosen.sort_unstable();
            let there: Vec<usize> = chosen.iter().map(|k| indices[*k]).collect();
            let nearest = self.similarity.nearest_of(rows, width, &class, &there)?;
            for (i, nearest) in class.iter().zip(nearest) {
                let mass = evidence.masses().map_or(1.0, |masses| masses[*i]);
                weights[place[*i].unwrap_or(chosen[nearest])] += mass;
            }
        }
        Ok(Choice { gains, ..Choice::weighted(indices, weights)? })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::choose::{ClassBalanced, Random, Shares};

    /// Every mass goes to somebody of its class, whichever points are chosen; huge and equal rows included.
    #[test]
    fn weights_are_the_masses_of_each_class() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let rows = [0.0, 0.0, 3e38, -3e38, 1.0, 1.0, 5.0, 1e-30, 2.0];
        let (labels, masses) =
            ([0, 1, 0, 1, 0, 1, 0, 1, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let evidence = Evidence::new(9).with_features(&rows, 1)?.with_labels(&labels)?;
        let evidence = evidence.with_masses(&masses)?;
        for similarity in [Similarity::Cosine, Similarity::Rbf { bandwidth: 1.0 }] {
            let within = ClassBalanced::new(Random, Shares::Equal);
            let choice = Weighted::new(within, similarity).select(&evidence, 5, &mut rng)?;
            for (class, mass) in [(0, 16.0), (1, 20.0), (2, 9.0)] {
                let pairs = choice.indices.iter().zip(&choice.weights);
                let found: f64 = pairs.filter(|(i, _)| labels[**i] == class).map(|(_, w)| w).sum();
                assert!((found - mass * 5.0 / 45.0).abs() < 1e-12, "{class}: {found}");
            }
        }
        Ok(())
    }
}
