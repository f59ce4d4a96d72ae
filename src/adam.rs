//! Adam on plain numbers.

/// Decay of the mean of slopes, and what is left of one.
const FIRST: (f64, f64) = (0.9, 0.1);
/// Decay of the mean of squared slopes, and what is left of one: a memory of some hundred steps, for runs of some
/// hundreds.
const SECOND: (f64, f64) = (0.99, 0.01);
/// Keeps steps finite where there never was a slope.
const LEAST: f64 = 1e-12;

/// The moments of some numbers' slopes.
#[derive(Clone, Debug)]
pub(crate) struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl Adam {
    pub(crate) fn new(numbers: usize) -> Self {
        Self { first: vec![0.0; numbers], second: vec![0.0; numbers], steps: 0 }
    }

    /// Moves the numbers down their slopes.
    pub(crate) fn step(&mut self, numbers: &mut [f64], slopes: &[f64], rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let unbias = |decay: f64| 1.0 - decay.powi(self.steps);
        let (all, squares) = (unbias(FIRST.0), unbias(SECOND.0));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((number, slope), (first, second)) in numbers.iter_mut().zip(slopes).zip(moments) {
            *first = FIRST.0 * *first + FIRST.1 * slope;
            *second = SECOND.0 * *second + SECOND.1 * slope * slope;
            let size = (*second / squares).sqrt() + LEAST;
            *number -= rate * *first / all / size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first step is as long as the rate, whatever the slope; a quadratic's least is found.
    #[test]
    fn steps_are_as_long_as_the_rate_and_lead_down() {
        let (mut adam, mut x) = (Adam::new(3), [0.0, 1.0, 2.0]);
        adam.step(&mut x, &[1e-3, -1e3, 0.0], 0.5);
        // The least size is 1e-9 of the smallest slope.
        for (found, wanted) in x.iter().zip([-0.5, 1.5, 2.0]) {
            assert!((found - wanted).abs() < 1e-8, "{x:?}");
        }
        let mut adam = Adam::new(3);
        for k in 0..400 {
            let slopes = [x[0] - 3.0, 10.0 * (x[1] + 1.0), 0.0];
            adam.step(&mut x, &slopes, 0.1 * (1.0 - f64::from(k) / 400.0));
        }
        assert!((x[0] - 3.0).abs() < 1e-3 && (x[1] + 1.0).abs() < 1e-3 && x[2] == 2.0, "{x:?}");
    }
}
