//! Moderate: points at the median distance from the mean of their class.

use rand::RngCore;

use crate::choose::neighbours::rows::mean;
use crate::choose::strategies::within::class_balanced::by_class;
use crate::choose::{Choice, Evidence, Kind, Needs, Shares, Strategy, check_count};
use crate::error::Result;

/// Within each class keeps the points whose features are neither close to the class's mean nor far from it,
///
/// ```text
/// minimise  | d_i - median(d) |        d_i = || h_i - mean(h) ||, mean and median over the class of i
/// ```
///
/// Points near the mean say little that others do not, points far away are hard or mislabelled; what lies between
/// does well whether labels and inputs are clean or not. Every beginning of the result holds of the
/// classes their shares. `O(N width)` time beside a sort, memory for the evidence of one class.
///
/// # Reference
/// X. Xia et al., *Moderate Coreset: A Universal Method of Data Selection for Real-world Data-efficient Deep
/// Learning*, ICLR 2023.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, Moderate, Strategy};
/// # let mut rng = rand::rng();
///
/// // The mean is 3, the distances are 3, 2, 1, 0 and 6: their median is 2.
/// let evidence = Evidence::new(5).with_features(&[0.0, 1.0, 2.0, 3.0, 9.0], 1)?;
/// let evidence = evidence.with_labels(&[0; 5])?;
/// assert_eq!(Moderate.select(&evidence, 3, &mut rng)?.indices, [1, 0, 2]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Moderate;

impl Strategy for Moderate {
    fn name(&self) -> &str {
        "moderate"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels])
    }

    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        by_class(evidence, self.name(), (Shares::Proportional, count), |part, share| {
            let (rows, width) = part.features(self.name())?;
            Ok(Choice::top(&moderation(rows, width), share))
        })
    }
}

/// Minus the distance of each point's distance from the median of them all.
fn moderation(rows: &[f32], width: usize) -> Vec<f64> {
    let centre = mean(rows, width);
    let distance = |row: &[f32]| -> f64 {
        let squares = row.iter().zip(&centre).map(|(x, mu)| (f64::from(*x) - mu).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let distances: Vec<f64> = rows.chunks(width).map(distance).collect();
    let median = median(&distances);
    distances.iter().map(|distance| -(distance - median).abs()).collect()
}

/// Of one or more numbers; between the two in the middle where there are two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    (sorted[half] + sorted[(sorted.len() - 1) / 2]) / 2.0
}
