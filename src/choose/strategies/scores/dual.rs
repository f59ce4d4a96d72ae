//! DUAL: points that are hard and of which the learner keeps changing its mind.

use rand::{Rng, RngCore};

use crate::choose::{Choice, Evidence, Kind, Needs, Score, Strategy, check_count, top};
use crate::error::{Error, Result};

/// How much the probability of the label varies along training, more so where it is low:
///
/// ```text
/// mean over all windows of J epochs in a row of  std(p) (1 - mean(p))
/// ```
///
/// with `p` the probability of the label at each epoch of the window, and the standard deviation that of a sample.
/// Unlike scores of a whole training it tells points apart early: the paper observes 30 epochs. Of fewer epochs
/// than `J` all are one window, and of one epoch the score is zero. Few points to keep: [`BetaSampled`].
/// `O(N epochs J)` time, `O(N)` memory beside the probabilities.
///
/// # Reference
/// Y. Cho, B. Shin, C. Kang, C. Yun, *Lightweight Dataset Pruning without Full Training via Example Difficulty and
/// Prediction Uncertainty*, ICML 2025.
///
/// # Example
/// ```
/// use gleaner::choose::{Dual, Evidence, Score};
///
/// // Two epochs of three points: always sure, always wrong, learned late.
/// let evidence = Evidence::new(3);
/// let evidence = evidence.with_label_probabilities(&[1.0, 0.0, 0.0, 1.0, 0.0, 1.0])?;
/// assert_eq!(Dual::new(10)?.scores(&evidence)?, [0.0, 0.0, 0.5f64.sqrt() * 0.5]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dual {
    window: usize,
}

impl Dual {
    /// Windows of `window` epochs (`J` in the paper, 10 there).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a window of fewer than two epochs, in which nothing varies.
    pub fn new(window: usize) -> Result<Self> {
        if window < 2 {
            return Err(Error::range("epochs of a window", "at least 2", window as f64));
        }
        Ok(Self { window })
    }
}

/// Windows of ten epochs.
impl Default for Dual {
    fn default() -> Self {
        Self { window: 10 }
    }
}

impl Score for Dual {
    const NAME: &'static str = "dual";
    const NEEDS: Needs = Needs::of(&[Kind::LabelProbabilities]);

    fn scores(&self, evidence: &Evidence) -> Result<Vec<f64>> {
        let (points, all) = (evidence.points(), evidence.label_probabilities(Self::NAME)?);
        let epochs = all.len() / points;
        let length = self.window.min(epochs);
        let mut scores = vec![0.0; points];
        for window in all.windows(length * points).step_by(points) {
            let (means, squares) = moments(window, points);
            for ((score, mean), square) in scores.iter_mut().zip(means).zip(squares) {
                *score += (square / (length.max(2) - 1) as f64).sqrt() * (1.0 - mean);
            }
        }
        let windows = (epochs - length + 1) as f64;
        Ok(scores.into_iter().map(|score| score / windows).collect())
    }
}

/// The mean of every point's probabilities and the sum of their squared distances from it.
fn moments(epochs: &[f32], points: usize) -> (Vec<f64>, Vec<f64>) {
    let number = (epochs.len() / points) as f64;
    let (mut means, mut squares) = (vec![0.0; points], vec![0.0; points]);
    for epoch in epochs.chunks(points) {
        means.iter_mut().zip(epoch).for_each(|(mean, p)| *mean += f64::from(*p));
    }
    means.iter_mut().for_each(|mean| *mean /= number);
    for epoch in epochs.chunks(points) {
        for ((square, mean), p) in squares.iter_mut().zip(&means).zip(epoch) {
            *square += (f64::from(*p) - mean).powi(2);
        }
    }
    (means, squares)
}

/// Draws points by their [`Dual`] score times a beta density of the mean probability of the label, without
/// replacement:
///
/// ```text
/// Beta(a, b)        b = C (1 - m) (1 - r^e),  a = C + 1 - b
/// ```
///
/// with `r` the share that is not chosen, `m` the mean probability among the ten points of the highest score, and
/// `C = 15`. The fewer are chosen, the closer the density's mode comes to one: to easy points, without which little
/// data teaches nothing. Where fewer points than `count` can be drawn at all, the rest are those with the
/// smallest indices. `O(N log N)` beside the score.
///
/// # Reference
/// As [`Dual`]; `a` is that of the authors' code.
///
/// # Example
/// ```
/// use gleaner::choose::{BetaSampled, Dual, Evidence, Strategy};
/// # let mut rng = rand::rng();
///
/// // What the learner never changes its mind about is not drawn.
/// let evidence = Evidence::new(3);
/// let evidence = evidence.with_label_probabilities(&[0.9, 0.2, 0.1, 0.9, 0.6, 0.7])?;
/// let strategy = BetaSampled::new(Dual::default(), 4.0)?;
/// let mut chosen = strategy.select(&evidence, 2, &mut rng)?.indices;
/// chosen.sort();
/// assert_eq!(chosen, [1, 2]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BetaSampled {
    dual: Dual,
    exponent: f64,
}

impl BetaSampled {
    /// The score, and how late the mode turns to easy points as the share falls (`e` above, `c_D` in the paper: 5.5
    /// for CIFAR-10, 4 for CIFAR-100, 11 for ImageNet; the more complex the data, or the more there is of it, the
    /// larger).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless the exponent is positive and finite.
    pub fn new(dual: Dual, exponent: f64) -> Result<Self> {
        if !(exponent > 0.0 && exponent.is_finite()) {
            return Err(Error::range("exponent", "positive and finite", exponent));
        }
        Ok(Self { dual, exponent })
    }

    /// The parameters `a` and `b` of the density.
    fn shape(&self, scores: &[f64], means: &[f64], count: usize) -> (f64, f64) {
        let hardest = top(scores, 10);
        let mean = hardest.iter().map(|i| means[*i]).sum::<f64>() / hardest.len() as f64;
        let left_out = 1.0 - count as f64 / scores.len() as f64;
        let b = CONCENTRATION * (1.0 - mean) * (1.0 - left_out.powf(self.exponent));
        (CONCENTRATION + 1.0 - b, b)
    }
}

/// `C` in the paper.
const CONCENTRATION: f64 = 15.0;

/// Windows of ten epochs, an exponent of 5.5.
impl Default for BetaSampled {
    fn default() -> Self {
        Self { dual: Dual::default(), exponent: 5.5 }
    }
}

impl Strategy for BetaSampled {
    fn name(&self) -> &str {
        "beta-sampled dual"
    }

    fn needs(&self) -> Needs {
        Dual::NEEDS
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let scores = self.dual.scores(evidence)?;
        let (means, _) = moments(evidence.label_probabilities(self.name())?, evidence.points());
        let (a, b) = self.shape(&scores, &means, count);
        // The order of weights times exponential noise, in logarithms, is that of draws without replacement. A
        // score of zero stays at minus infinity; others have a mean strictly between zero and one.
        let key = |(score, p): (&f64, &f64)| {
            let noise = -(-(1.0 - rng.random::<f64>()).ln()).ln();
            if *score > 0.0 && *p > 0.0 && *p < 1.0 {
                score.ln() + (a - 1.0) * p.ln() + (b - 1.0) * (1.0 - p).ln() + noise
            } else {
                f64::NEG_INFINITY
            }
        };
        let keys: Vec<f64> = scores.iter().zip(&means).map(key).collect();
        Ok(Choice::equal(top(&keys, count)))
    }
}
