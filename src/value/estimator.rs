//! The data value estimator: a small network from what is known of a point to the probability of its selection.

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rand_distr::StandardNormal;

use crate::adam::Adam;

/// `p = sigmoid(w' tanh(W'x) + b)`, with the optimiser that moves it.
pub(crate) struct Estimator {
    weights: Weights,
    moments: [Adam; 3],
}

/// `W`, a column a hidden unit; `w`; `b`.
#[derive(Clone)]
struct Weights {
    first: DMatrix<f64>,
    second: DVector<f64>,
    bias: f64,
}

/// What the network made of some points, a row each: the hidden units and the probabilities.
pub(crate) struct Forward {
    hidden: DMatrix<f64>,
    pub(crate) probabilities: Vec<f64>,
}

impl Estimator {
    /// Points come as rows of `inputs` numbers, a one among them. At first each has a probability near a half.
    pub(crate) fn new(inputs: usize, hidden: usize, rng: &mut impl Rng) -> Self {
        let mut draw =
            |inputs: usize| rng.sample::<f64, _>(StandardNormal) / (inputs as f64).sqrt();
        let first = DMatrix::from_fn(inputs, hidden, |_, _| draw(inputs));
        let second = DVector::from_fn(hidden, |_, _| draw(hidden));
        let moments = [Adam::new(inputs * hidden), Adam::new(hidden), Adam::new(1)];
        Self { weights: Weights { first, second, bias: 0.0 }, moments }
    }

    pub(crate) fn forward(&self, rows: &DMatrix<f64>) -> Forward {
        self.weights.forward(rows)
    }

    /// One step of Adam down a loss, given its derivatives in the logits of the points that [`forward`](Self::forward)
    /// has seen.
    pub(crate) fn step(
        &mut self,
        rows: &DMatrix<f64>,
        seen: &Forward,
        by_logit: &[f64],
        rate: f64,
    ) {
        let slope = self.weights.pullback(rows, seen, by_logit);
        let [first, second, bias] = &mut self.moments;
        first.step(self.weights.first.as_mut_slice(), slope.first.as_slice(), rate);
        second.step(self.weights.second.as_mut_slice(), slope.second.as_slice(), rate);
        bias.step(std::slice::from_mut(&mut self.weights.bias), &[slope.bias], rate);
    }
}

impl Weights {
    fn forward(&self, rows: &DMatrix<f64>) -> Forward {
        let hidden = (rows * &self.first).map(f64::tanh);
        let logits = &hidden * &self.second;
        let probabilities = logits.iter().map(|z| 1.0 / (1.0 + (-z - self.bias).exp())).collect();
        Forward { hidden, probabilities }
    }

    /// Derivatives in the weights.
    fn pullback(&self, rows: &DMatrix<f64>, seen: &Forward, by_logit: &[f64]) -> Self {
        let by_logit = DVector::from_column_slice(by_logit);
        let mut by_hidden = &by_logit * self.second.transpose();
        by_hidden.zip_apply(&seen.hidden, |slope, h| *slope *= 1.0 - h * h);
        Self {
            first: rows.tr_mul(&by_hidden),
            second: seen.hidden.tr_mul(&by_logit),
            bias: by_logit.sum(),
        }
    }
}

/// The derivative of `log pi(s) = sum_i s_i log p_i + (1 - s_i) log(1 - p_i)` in each logit.
pub(crate) fn log_slope(probabilities: &[f64], selected: &[bool]) -> Vec<f64> {
    let pairs = probabilities.iter().zip(selected);
    pairs.map(|(p, selected)| f64::from(u8::from(*selected)) - p).collect()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;
    use crate::seeds::Seeds;

    /// Against central differences of steps of 1e-5, whose own error is near 1e-10.
    #[test]
    fn the_gradient_of_the_log_probability_is_its_slope() {
        for seed in 0..5 {
            let (points, inputs, hidden) = (7, 4, 3);
            let mut rng = Seeds::new(seed).stream(0);
            let rows = DMatrix::from_fn(points, inputs, |_, _| rng.random_range(-2.0..2.0));
            let selected: Vec<bool> = (0..points).map(|_| rng.random()).collect();
            let mut weights = Estimator::new(inputs, hidden, &mut rng).weights;
            weights.bias = 0.3;
            let log_probability = |weights: &Weights| -> f64 {
                let seen = weights.forward(&rows).probabilities;
                let each = seen.iter().zip(&selected);
                each.map(|(p, s)| if *s { p.ln() } else { (1.0 - p).ln() }).sum()
            };
            let seen = weights.forward(&rows);
            let found = weights.pullback(&rows, &seen, &log_slope(&seen.probabilities, &selected));
            let slope = |place: &dyn Fn(&mut Weights) -> &mut f64| {
                let at = |step: f64| {
                    let mut moved = weights.clone();
                    *place(&mut moved) += step;
                    log_probability(&moved)
                };
                (at(1e-5) - at(-1e-5)) / 2e-5
            };
            for k in 0..inputs * hidden {
                assert_relative_eq!(slope(&|w| &mut w.first[k]), found.first[k], epsilon = 1e-6);
            }
            for k in 0..hidden {
                assert_relative_eq!(slope(&|w| &mut w.second[k]), found.second[k], epsilon = 1e-6);
            }
            assert_relative_eq!(slope(&|w| &mut w.bias), found.bias, epsilon = 1e-6);
        }
    }
}
