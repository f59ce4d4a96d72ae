//! Ranking by how unsure the learner is.

use crate::choose::{Evidence, Kind, Needs, Score};
use crate::error::Result;

/// `1 - max_c p_c`: the points whose best class is least probable.
///
/// `O(N C)` for `C` classes, plus the sort.
///
/// # Reference
/// D. Lewis, W. Gale, *A Sequential Algorithm for Training Text Classifiers*, SIGIR 1994.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastConfidence;

/// `p_second - p_first`, the two largest probabilities: the points with the smallest margin.
///
/// `O(N C)`, plus the sort. With one class the margin is that class's probability.
///
/// # Reference
/// T. Scheffer, C. Decomain, S. Wrobel, *Active Hidden Markov Models for Information Extraction*,
/// IDA 2001.
#[derive(Clone, Copy, Debug, Default)]
pub struct Margin;

/// `-sum_c p_c log p_c`: the points whose probabilities are most spread out.
///
/// `0 log 0` counts as zero, its limit, so a softmax that underflows is as certain as it looks.
/// `O(N C)`, plus the sort.
///
/// # Reference
/// B. Settles, *Active Learning Literature Survey*, 2009; C. Coleman et al., *Selection via Proxy*,
/// ICLR 2020.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entropy;

impl Score for LeastConfidence {
    const NAME: &'static str = "least-confidence";
    const NEEDS: Needs = Needs::of(&[Kind::Probabilities]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        each(evidence, Self::NAME, |p| 1.0 - two_largest(p).0)
    }
}

impl Score for Margin {
    const NAME: &'static str = "margin";
    const NEEDS: Needs = Needs::of(&[Kind::Probabilities]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        each(evidence, Self::NAME, |p| {
            let (first, second) = two_largest(p);
            second - first
        })
    }
}

impl Score for Entropy {
    const NAME: &'static str = "entropy";
    const NEEDS: Needs = Needs::of(&[Kind::Probabilities]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        each(evidence, Self::NAME, |p| {
            let positive = p.iter().map(|p| f64::from(*p)).filter(|p| *p > 0.0);
            -positive.map(|p| p * p.ln()).sum::<f64>()
        })
    }
}

fn each(evidence: &Evidence, name: &str, score: impl Fn(&[f32]) -> f64) -> Result<Vec<f64>> {
    let (rows, classes) = evidence.probabilities(name)?;
    Ok(rows.chunks(classes).map(score).collect())
}

/// The largest probability and the next; zero where there is none.
fn two_largest(probabilities: &[f32]) -> (f64, f64) {
    let (first, second) = probabilities.iter().fold((0.0f32, 0.0f32), |(first, second), &p| {
        if p > first { (p, first) } else { (first, second.max(p)) }
    });
    (f64::from(first), f64::from(second))
}
