//! The mean of a score over several trainings.

use std::marker::PhantomData;

use crate::choose::{Evidence, Kind, Needs, Score};
use crate::error::Result;

/// Any score's mean over several trainings of one kind of learner, each from its own first weights:
///
/// ```text
/// s_i = 1/K sum_k s_i^k
/// ```
///
/// `k` runs over the evidence itself and its [repeats](Evidence::with_repeats). One training's score of a point owes
/// much to its first weights and the order of its batches; the papers' [`El2n`](crate::choose::El2n) and
/// [`Grand`](crate::choose::Grand) are means over ten trainings, EL2N's cut off after a tenth of the epochs. `K` times the
/// cost of the score, and of the training and the look at all points that it needs.
///
/// # Reference
/// M. Paul, S. Ganguli, G. K. Dziugaite, *Deep Learning on a Data Diet: Finding Important Examples Early
/// in Training*, NeurIPS 2021.
///
/// # Example
/// ```
/// use gleaner::choose::{Averaged, El2n, Evidence, LargestLoss, Score, Strategy};
///
/// // The first learner finds point 0 hard, the second point 1, which it is sure to be right about: the mean is about 0.
/// let repeats = [Evidence::new(2).with_losses(&[1.0, 2.0])?];
/// let evidence = Evidence::new(2).with_losses(&[4.0, 1.0])?.with_repeats(&repeats)?;
/// assert_eq!(Averaged(LargestLoss).scores(&evidence)?, [2.5, 1.5]);
/// assert_eq!(Averaged(El2n).name(), "averaged el2n");
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Averaged<S>(pub S);

impl<S: Score> Score for Averaged<S> {
    const NAME: &'static str = Name::<S>::WHOLE;
    const NEEDS: Needs = S::NEEDS.and(Needs::of(&[Kind::Repeats]));

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        let all = evidence.by_training(Self::NAME, |one| self.0.scores(one))?;
        let trainings = all.len() as f64;
        let mean = |i: usize| all.iter().map(|scores| scores[i]).sum::<f64>() / trainings;
        Ok((0..evidence.points()).map(mean).collect())
    }
}

/// The name of an averaged score: two constants put together.
struct Name<S>(PhantomData<S>);

impl<S: Score> Name<S> {
    const FIRST: &'static [u8] = b"averaged ";
    const LENGTH: usize = Self::FIRST.len() + S::NAME.len();
    /// A name that is too long does not compile: the index is out of bounds.
    const BYTES: &'static [u8; 80] = &{
        let (mut bytes, mut k) = ([0; 80], 0);
        while k < Self::LENGTH {
            let first = Self::FIRST.len();
            bytes[k] = if k < first { Self::FIRST[k] } else { S::NAME.as_bytes()[k - first] };
            k += 1;
        }
        bytes
    };
    const WHOLE: &'static str = match str::from_utf8(Self::BYTES.split_at(Self::LENGTH).0) {
        Ok(name) => name,
        // Two strings in a row are a string; and this is found out while compiling.
        Err(_) => panic!(),
    };
}
