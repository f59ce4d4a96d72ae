//! Labels below what points of a made-up class reach.

use rand::RngCore;
use rand::seq::SliceRandom;

use crate::choose::{Aum, Evidence, Score};
use crate::error::{Error, Result};

/// Points that are put into a class of their own to see how far a learner gets with labels that are surely wrong: what
/// is learned no better is held to be labelled wrong too.
///
/// ```text
/// samples    N / (C + 1) points at random, whose label becomes C, a class that is not there
/// area       of a point: its label's logit less the largest other one, on the mean of the epochs ([`Aum`])
/// threshold  99th percentile of the samples' areas
/// wrong      other points with an area below the threshold
/// ```
///
/// A run has no verdict on its own samples. [`pair`](Self::pair) draws two runs with samples apart, and
/// [`wrong_of_pair`](Self::wrong_of_pair) has a verdict on every point.
///
/// The learner needs `classes` outputs, one more than there are classes, and is to be watched from the first epoch on. One
/// that has not learned yet what points have in common gives right labels no more than samples, one that knows wrong labels
/// by heart gives samples as much as right labels: in both cases too many are called wrong.
///
/// # Cost
/// Two trainings; here `O(N epochs)` and a sort of the samples.
///
/// # Reference
/// G. Pleiss, T. Zhang, E. Elenberg, K. Weinberger, *Identifying Mislabeled Data using the Area Under the Margin Ranking*,
/// NeurIPS 2020 (threshold samples).
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::ThresholdSamples;
/// use rand::SeedableRng;
///
/// let labels = [0, 1, 0, 1, 0, 1];
/// let runs = ThresholdSamples::pair(&labels, 2, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1))?;
/// assert_eq!((runs[0].classes, runs[0].samples.len()), (3, 2));
/// assert!(runs[0].samples.iter().all(|i| runs[0].labels[*i] == 2));
///
/// // A learner of three classes is trained with `runs[0].labels` and its margins noted: here of one epoch, in which
/// // samples get -1 and others 3, but for one point that the learner believes no more than the samples.
/// let doubtful = (0..6).find(|i| runs[0].labels[*i] != 2).unwrap_or(0);
/// let mut margins = [3.0; 6];
/// runs[0].samples.iter().for_each(|i| margins[*i] = -1.0);
/// margins[doubtful] = -2.0;
/// let found = runs[0].judged(&Evidence::new(6).with_margins(&margins)?)?;
/// assert_eq!(found.threshold, -1.0);
/// assert_eq!(found.wrong[doubtful], Some(true));
/// assert_eq!(found.wrong[runs[0].samples[0]], None);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThresholdSamples {
    /// The labels to train with, one a point.
    pub labels: Vec<u32>,
    /// How many classes these have, the one of the samples included: it is the last.
    pub classes: usize,
    /// The points of that class, in ascending order.
    pub samples: Vec<usize>,
}

/// What a run says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BelowThreshold {
    /// The samples' 99th percentile, between the two nearest areas in proportion.
    pub threshold: f64,
    /// Area under the margin of each point, for the label it was trained with.
    pub areas: Vec<f64>,
    /// Whether each label is held to be wrong; nothing is said about samples.
    pub wrong: Vec<Option<bool>>,
}

/// Of the samples' areas the threshold leaves so much below.
const PERCENTILE: f64 = 0.99;

impl ThresholdSamples {
    /// Two runs, no sample of one of which is one of the other; of each `N / (C + 1)` rounded, and at least one.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for fewer than two points or classes, or a label that is none of the classes.
    pub fn pair(labels: &[u32], classes: usize, rng: &mut dyn RngCore) -> Result<[Self; 2]> {
        if labels.len() < 2 {
            return Err(Error::range("labelled points", "at least 2", labels.len() as f64));
        }
        let Some(extra) = u32::try_from(classes).ok().filter(|classes| *classes >= 2) else {
            return Err(Error::range("classes", "at least 2, and a u32", classes as f64));
        };
        if let Some(label) = labels.iter().find(|label| **label >= extra) {
            let (what, rule) = ("labels", "below the number of classes");
            return Err(Error::range(what, rule, f64::from(*label)));
        }
        let share = (labels.len() as f64 / (classes as f64 + 1.0)).round().max(1.0) as usize;
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.shuffle(rng);
        // Twice a third of the points, or one of two, are there.
        Ok([0, share].map(|start| {
            let mut samples = order[start..start + share].to_vec();
            samples.sort_unstable();
            let mut labels = labels.to_vec();
            samples.iter().for_each(|i| labels[*i] = extra);
            Self { labels, classes: classes + 1, samples }
        }))
    }

    /// The threshold and what lies below, from the margins along a training with [`labels`](Self::labels).
    ///
    /// # Errors
    /// [`Error::Unknown`] without margins, [`Error::Shape`] if the evidence is about other points than were drawn from, or
    /// its labels, where it has some, are not those of this run.
    pub fn judged(&self, evidence: &Evidence) -> Result<BelowThreshold> {
        const NAME: &str = "threshold samples";
        let points = self.labels.len();
        if evidence.points() != points {
            return Err(Error::shape("points with margins", points, evidence.points()));
        }
        evidence.margins(NAME)?;
        if evidence.labels(NAME).is_ok_and(|labels| labels != self.labels) {
            return Err(Error::shape("labels of the margins", "those of the run", "others"));
        }
        let areas: Vec<f64> = Aum.scores(evidence)?.into_iter().map(|score| -score).collect();
        let threshold = percentile(self.samples.iter().map(|i| areas[*i]).collect());
        let mut wrong: Vec<Option<bool>> =
            areas.iter().map(|area| Some(*area < threshold)).collect();
        self.samples.iter().for_each(|i| wrong[*i] = None);
        Ok(BelowThreshold { threshold, areas, wrong })
    }

    /// Whether each label is held to be wrong: by the first run, or of its samples by the second. A sample of both is
    /// not.
    ///
    /// # Errors
    /// [`Error::Shape`] if the two are not about as many points.
    pub fn wrong_of_pair(found: &[BelowThreshold; 2]) -> Result<Vec<bool>> {
        let [first, second] = found.each_ref().map(|found| &found.wrong);
        if first.len() != second.len() {
            return Err(Error::shape("points of the second run", first.len(), second.len()));
        }
        let both = first.iter().zip(second);
        Ok(both.map(|(first, second)| first.or(*second).unwrap_or(false)).collect())
    }
}

/// Of at least one number.
fn percentile(mut areas: Vec<f64>) -> f64 {
    areas.sort_by(f64::total_cmp);
    let place = PERCENTILE * (areas.len() - 1) as f64;
    let below = areas[place.floor() as usize];
    let above = areas[place.ceil() as usize];
    below + place.fract() * (above - below)
}
