//! Confident learning: counts of labels that the probabilities contradict with confidence.

use nalgebra::DMatrix;

use crate::choose::Evidence;
use crate::choose::strategies::within::class_balanced::members;
use crate::error::Result;

/// What confident learning says about given labels.
///
/// ```text
/// t_c       mean probability of class c among the points labelled c: what confidence in c looks like
/// joint     points labelled a that are confidently of class b: the largest p_b of those with p_b >= t_b; rows scaled
///           to the numbers of points labelled a, all of it to a sum of one
/// wrong     of the points labelled a, the (1 - joint_aa / sum_b joint_ab) share with the least p_a
/// ```
///
/// The probabilities must be out of fold ([`CrossFit`](crate::choose::CrossFit)): a learner that has seen a wrong label
/// agrees with it. `O(N C)` time.
///
/// # Reference
/// C. Northcutt, L. Jiang, I. Chuang, *Confident Learning: Estimating Uncertainty in Dataset Labels*, JAIR 70, 2021
/// (pruning by class).
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::ConfidentLearning;
///
/// // The third point is labelled 0 and looks like class 1.
/// let p = [0.9, 0.1, 0.8, 0.2, 0.1, 0.9, 0.2, 0.8, 0.1, 0.9];
/// let evidence = Evidence::new(5).with_probabilities(&p, 2)?.with_labels(&[0, 0, 0, 1, 1])?;
/// let found = ConfidentLearning::of(&evidence)?;
/// assert_eq!(found.wrong, [false, false, true, false, false]);
/// assert_eq!((found.joint[(0, 1)], found.joint[(1, 0)]), (0.2, 0.0));
/// assert!((found.noise() - 0.2).abs() < 1e-12);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConfidentLearning {
    /// Share of points labelled `a` that are of class `b`, `C x C`; it sums to one.
    pub joint: DMatrix<f64>,
    /// The class that each point is confidently of, if of any: the largest `p_b` of those with `p_b >= t_b`.
    pub confident: Vec<Option<u32>>,
    /// Whether each label is held to be wrong.
    pub wrong: Vec<bool>,
    /// How much speaks against each label, in [0, 1]: one less the label's probability.
    pub suspicion: Vec<f64>,
}

impl ConfidentLearning {
    /// From probabilities and labels. A class that no point is labelled as has no threshold and is nobody's true class; a
    /// label of which no point is sure of anything counts as right.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error) without probabilities or labels.
    pub fn of(evidence: &Evidence) -> Result<Self> {
        Self::asked_by("confident learning", evidence)
    }

    /// In the name of whoever asks, for errors.
    pub(crate) fn asked_by(name: &str, evidence: &Evidence) -> Result<Self> {
        let (rows, classes) = evidence.probabilities(name)?;
        let labels = evidence.labels(name)?;
        let own = |i: usize| f64::from(rows[i * classes + labels[i] as usize]);
        let (mut sums, mut counts) = (vec![0.0; classes], vec![0usize; classes]);
        for (i, label) in labels.iter().enumerate() {
            sums[*label as usize] += own(i);
            counts[*label as usize] += 1;
        }
        let thresholds: Vec<f64> = (sums.iter().zip(&counts))
            .map(|(sum, count)| if *count > 0 { sum / *count as f64 } else { f64::INFINITY })
            .collect();
        let mut joint = DMatrix::zeros(classes, classes);
        let mut confident = vec![None; labels.len()];
        for (i, (row, label)) in rows.chunks(classes).zip(labels).enumerate() {
            let sure = (0..classes).filter(|&c| f64::from(row[c]) >= thresholds[c]);
            // Of equal ones the first.
            let best = sure.reduce(|best, c| if row[c] > row[best] { c } else { best });
            best.into_iter().for_each(|class| joint[(*label as usize, class)] += 1.0);
            confident[i] = best.map(|class| class as u32);
        }
        let joint = calibrated(joint, &counts);
        let mut wrong = vec![false; labels.len()];
        for mut members in members(labels) {
            let class = labels[members[0]] as usize; // a class with members
            let share = joint[(class, class)] / joint.row(class).sum();
            let several = (members.len() as f64 * (1.0 - share)).round() as usize;
            members.sort_by(|a, b| own(*a).total_cmp(&own(*b)).then(a.cmp(b)));
            members.into_iter().take(several).for_each(|i| wrong[i] = true);
        }
        let suspicion = (0..labels.len()).map(|i| 1.0 - own(i)).collect();
        Ok(Self { joint, confident, wrong, suspicion })
    }

    /// Estimated share of wrong labels.
    pub fn noise(&self) -> f64 {
        1.0 - self.joint.trace()
    }
}

/// Rows in proportion to the points of each label, all of it summing to one.
fn calibrated(mut joint: DMatrix<f64>, counts: &[usize]) -> DMatrix<f64> {
    let points = counts.iter().sum::<usize>().max(1) as f64;
    for (class, count) in counts.iter().enumerate() {
        let sum = joint.row(class).sum();
        if sum == 0.0 {
            joint[(class, class)] = *count as f64 / points;
        } else {
            joint.row_mut(class).apply(|x| *x *= *count as f64 / sum / points);
        }
    }
    joint
}
