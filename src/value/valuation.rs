//! One trait for all that says what points are worth.

use rand::RngCore;

use crate::choose::{Evidence, Needs};
use crate::error::Result;

/// Says what each point is worth to a learner, in a unit of its own: larger is better, and the smallest are the first to be
/// suspected of a wrong label.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{KnnShapley, Valuation};
/// # let mut rng = rand::rng();
///
/// // On a line: two points of each class, the last one with the wrong label; one validation point a class.
/// let validation = Evidence::new(2).with_features(&[0.0, 10.0], 1)?.with_labels(&[0, 1])?;
/// let evidence = Evidence::new(4).with_features(&[0.0, 1.0, 9.0, 10.0], 1)?;
/// let evidence = evidence.with_labels(&[0, 0, 1, 0])?.with_validation(&validation);
/// let values = KnnShapley { neighbours: 1 }.values(&evidence, &mut rng)?;
/// let least = (0..4).min_by(|&a, &b| values[a].total_cmp(&values[b]));
/// assert_eq!(least, Some(3));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub trait Valuation {
    /// Its name in tables.
    fn name(&self) -> &str;

    /// The evidence that it cannot do without.
    fn needs(&self) -> Needs;

    /// A number a point.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) if evidence is missing, others where the method says so.
    fn values(&self, evidence: &Evidence, rng: &mut dyn RngCore) -> Result<Vec<f64>>;
}
