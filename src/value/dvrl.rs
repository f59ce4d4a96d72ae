//! Which points a network learns to select, rewarded with what a validation set gains.

use nalgebra::DMatrix;
use rand::seq::index;
use rand::{Rng, RngCore};

use crate::choose::ridge::{Map, Sums, one_hot};
use crate::choose::strategies::within::class_balanced::numbered;
use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::seeds::Seeds;
use crate::value::Valuation;
use crate::value::estimator::{Estimator, Forward, log_slope};
use crate::value::judged::Judged;

/// Data valuation by reinforcement learning: the probability with which a small network selects each point, after it was
/// rewarded for what a learner of the selected points gains on the validation set.
///
/// ```text
/// p_i    sigmoid(w' tanh(W'[x_i / sqrt(width); y_i; |y_i - f_val(x_i)|; 1]) + b)
///        f_val taught on the validation set, cut to [0, 1]
/// s_i    1 with probability p_i, otherwise 0, for each i of a batch
/// R      -1/M sum_v ||T'phi_v - y_v||^2      T = (Phi_s'Phi_s + lambda I)^-1 Phi_s'Y_s, of the selected points
/// A      (R - mean of past R) / spread       the mean moves over a window, from the R of all points on
/// step   up A sum_i log pi(s_i) / batch - 10 (max(mean p - threshold, 0) + max(1 - threshold - mean p, 0))
/// v_i    p_i
/// ```
///
/// The predictor is no network but a ridge regression on one-hot labels, on standardised features or `fourier` random waves
/// of them as in [`CrossFit`](crate::choose::CrossFit): an iteration teaches it in closed form and to the end, so that
/// thousands take seconds. What the value knows of a point are its features, its label and `f_val`: points that look alike
/// are worth alike. Training is noisy, and now and then a run learns little: the mean of several runs' values is safer.
///
/// # Cost
/// `O(iterations (batch d (d + C) + d^3 + M d C + batch hidden (width + 2 C)))` time on one core, for `d` features that the
/// predictor sees and `C` classes, `O((N + M) (d + width + C))` memory. The defaults take 2 s with 64 features and 10
/// classes.
///
/// # Errors
/// [`Error::OutOfRange`] without an iteration, a point in the batch, a hidden unit or a window, unless the rate lies in
/// (0, 10], the threshold in [0.5, 1] and the ridge in [1e-9, 1e9]; [`Error::Shape`] if validation points have another
/// width.
///
/// # Reference
/// J. Yoon, S. O. Arik, T. Pfister, *Data Valuation using Reinforcement Learning*, ICML 2020.
///
/// # Differences from the paper
/// The predictor, as said; one hidden layer, where the paper has several; advantages are divided by their spread and rates
/// fall linearly. The penalty and the absolute difference are those of the authors' code.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{Dvrl, Valuation};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
///
/// // Two clusters on a line; the label of the fourth point is wrong.
/// let validation = Evidence::new(4).with_features(&[0.0, 9.0, 110.0, 119.0], 1)?.with_labels(&[0, 0, 1, 1])?;
/// let features: Vec<f32> = (0..20).map(|i| if i < 10 { i as f32 } else { 100.0 + i as f32 }).collect();
/// let labels: Vec<u32> = (0..20).map(|i| u32::from(i >= 10) ^ u32::from(i == 3)).collect();
/// let evidence = Evidence::new(20).with_features(&features, 1)?.with_labels(&labels)?;
/// let values = Dvrl::default().values(&evidence.with_validation(&validation), &mut rng)?;
/// let least = (0..20).min_by(|&a, &b| values[a].total_cmp(&values[b]));
/// assert_eq!(least, Some(3));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dvrl {
    /// Selections that are tried; 4000 by default. Of all settings the defaults were chosen on optdigits and Spambase with
    /// flipped labels: there fewer iterations find fewer of these, and more no more.
    pub iterations: usize,
    /// Points that may be selected in an iteration; all, if there are fewer. 256 by default: with few of them the predictor
    /// says little about each.
    pub batch: usize,
    /// Hidden units; 10 by default.
    pub hidden: usize,
    /// Of Adam's first step; it falls linearly. 0.01 by default.
    pub rate: f64,
    /// Iterations over which the mean of past rewards moves; the paper's `T`, 20 by default.
    pub window: usize,
    /// The mean probability is kept below this, and above one minus it, so that both selections are tried; 0.9 as in the
    /// authors' code. At one nothing is penalised.
    pub threshold: f64,
    /// Of both regressions, in units of the mean of the diagonal; 0.1 by default.
    pub ridge: f64,
    /// Random features; none by default: the standardised features serve themselves.
    pub fourier: usize,
}

impl Default for Dvrl {
    fn default() -> Self {
        Self {
            iterations: 4000,
            batch: 256,
            hidden: 10,
            rate: 0.01,
            window: 20,
            threshold: 0.9,
            ridge: 0.1,
            fourier: 0,
        }
    }
}

/// Weight of the penalty on the mean probability, where advantages are about one: out of bounds it outweighs them.
const PENALTY: f64 = 10.0;
/// Errors above are cut, so that their squares are finite.
const LARGEST: f64 = 1e150;

impl Valuation for Dvrl {
    fn name(&self) -> &str {
        "dvrl"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels, Kind::Validation])
    }

    fn values(&self, evidence: &Evidence, rng: &mut dyn RngCore) -> Result<Vec<f64>> {
        self.check()?;
        let judged = Judged::of(evidence, self.name())?;
        if judged.labels.is_empty() {
            return Ok(Vec::new());
        }
        let seeds = Seeds::new(rng.next_u64());
        let map = Map::new(judged.rows, judged.width, self.fourier, &mut seeds.named("fourier"))?;
        let predictor = Predictor::new(&judged, &map, self.ridge);
        let inputs = predictor.inputs(map.standard().apply(judged.rows), judged.width);
        let estimator = self.learn(&predictor, &inputs, seeds);
        Ok(estimator.forward(&inputs).probabilities)
    }
}

impl Dvrl {
    fn check(&self) -> Result<()> {
        let counts = [
            ("iterations", self.iterations),
            ("batch", self.batch),
            ("hidden units", self.hidden),
            ("window", self.window),
        ];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::range(what, "at least 1", 0.0));
        }
        if !(self.rate > 0.0 && self.rate <= 10.0) {
            return Err(Error::range("rate", "positive and at most 10", self.rate));
        }
        if !(0.5..=1.0).contains(&self.threshold) {
            return Err(Error::range("threshold", "at least 0.5 and at most 1", self.threshold));
        }
        if !(1e-9..=1e9).contains(&self.ridge) {
            return Err(Error::range("ridge", "at least 1e-9 and at most 1e9", self.ridge));
        }
        Ok(())
    }

    /// REINFORCE.
    fn learn(&self, predictor: &Predictor, inputs: &DMatrix<f64>, seeds: Seeds) -> Estimator {
        let all: Vec<usize> = (0..inputs.nrows()).collect();
        let mut rng = seeds.named("selections");
        let mut estimator =
            Estimator::new(inputs.ncols(), self.hidden, &mut seeds.named("weights"));
        let mut baseline = Baseline::new(self.window, predictor.reward(&all));
        for k in 0..self.iterations {
            let points = match self.batch < all.len() {
                true => index::sample(&mut rng, all.len(), self.batch).into_vec(),
                false => all.clone(),
            };
            let rows = inputs.select_rows(&points);
            let seen = estimator.forward(&rows);
            let selected: Vec<bool> =
                seen.probabilities.iter().map(|p| rng.random::<f64>() < *p).collect();
            let pairs = points.iter().zip(&selected);
            let kept: Vec<usize> = pairs.filter(|(_, kept)| **kept).map(|(i, _)| *i).collect();
            let advantage = baseline.advantage(predictor.reward(&kept));
            let slope = self.slope(&seen, &selected, advantage);
            let rate = self.rate * (1.0 - k as f64 / self.iterations as f64);
            estimator.step(&rows, &seen, &slope, rate);
        }
        estimator
    }

    /// Of what is to be small, in each logit.
    fn slope(&self, seen: &Forward, selected: &[bool], advantage: f64) -> Vec<f64> {
        let p = &seen.probabilities;
        let share = 1.0 / p.len() as f64;
        let mean = p.iter().sum::<f64>() * share;
        let penalty = match mean {
            mean if mean > self.threshold => PENALTY,
            mean if mean < 1.0 - self.threshold => -PENALTY,
            _ => 0.0,
        };
        let slopes = log_slope(p, selected).into_iter().zip(p);
        slopes.map(|(log, p)| share * (penalty * p * (1.0 - p) - advantage * log)).collect()
    }
}

/// What rewards are compared with: means over a window of past ones and of the squares of their advantages.
struct Baseline {
    share: f64,
    reward: f64,
    square: f64,
}

impl Baseline {
    fn new(window: usize, reward: f64) -> Self {
        Self { share: 1.0 / window as f64, reward, square: 0.0 }
    }

    /// In units of the spread: at most the square root of the window.
    fn advantage(&mut self, reward: f64) -> f64 {
        let gap = reward - self.reward;
        self.reward += self.share * gap;
        self.square += self.share * (gap * gap - self.square);
        if self.square > 0.0 { gap / self.square.sqrt() } else { 0.0 }
    }
}

/// The ridge regression that learns what was selected, and those who judge it.
struct Predictor {
    rows: DMatrix<f64>,
    targets: DMatrix<f64>,
    others: DMatrix<f64>,
    wanted: DMatrix<f64>,
    ridge: f64,
}

impl Predictor {
    fn new(judged: &Judged, map: &Map, ridge: f64) -> Self {
        let (numbers, classes) = numbered(&[judged.labels, judged.wanted].concat());
        let (labels, wanted) = numbers.split_at(judged.labels.len());
        let side = |features: &[f32], labels: &[u32]| {
            let all: Vec<usize> = (0..labels.len()).collect();
            (map.rows(features, &all), one_hot(labels, &all, classes))
        };
        let (rows, targets) = side(judged.rows, labels);
        let (others, wanted) = side(judged.others, wanted);
        Self { rows, targets, others, wanted, ridge }
    }

    /// Minus the mean squared error on the validation points, taught by some points; by none all scores are zero.
    fn reward(&self, points: &[usize]) -> f64 {
        let rows = self.rows.select_rows(points);
        let taught = Sums::of(&rows, &self.targets.select_rows(points)).solve(self.ridge);
        let error = (&self.others * taught - &self.wanted).norm_squared();
        -(error / self.others.nrows() as f64).min(LARGEST)
    }

    /// What the network sees of each point, a row each.
    fn inputs(&self, standardised: Vec<f32>, width: usize) -> DMatrix<f64> {
        let taught = Sums::of(&self.others, &self.wanted).solve(self.ridge);
        let scores = &self.rows * taught;
        let classes = self.targets.ncols();
        // So that many features do not drown what the label adds.
        let scale = 1.0 / (width as f64).sqrt();
        DMatrix::from_fn(self.rows.nrows(), width + 2 * classes + 1, |i, k| {
            let target = |c: usize| self.targets[(i, c)];
            match k {
                k if k < width => f64::from(standardised[i * width + k]) * scale,
                k if k < width + classes => target(k - width),
                k if k < width + 2 * classes => {
                    let c = k - width - classes;
                    (target(c) - scores[(i, c)].clamp(0.0, 1.0)).abs()
                }
                _ => 1.0,
            }
        })
    }
}
