//! Times in milliseconds, with their spread.

use std::time::Duration;

/// Median and quartiles of some repeats, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub repeats: usize,
}

impl Timing {
    /// Of at least one sample, in milliseconds.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize];
        Self { median: at(0.5), low: at(0.25), high: at(0.75), repeats: samples.len() }
    }

    /// Median, quartiles and repeats as the cells of a table; empty where there is no such time.
    pub fn cells(timing: Option<Self>) -> [String; 4] {
        match timing {
            Some(t) => {
                [t.median.to_string(), t.low.to_string(), t.high.to_string(), t.repeats.to_string()]
            }
            None => Default::default(),
        }
    }
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
