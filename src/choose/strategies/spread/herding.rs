//! Herding: the chosen points' mean follows the mean of all.

use rand::RngCore;
use rayon::prelude::*;

use crate::choose::neighbours::rows::{first_largest, mean, squared_distance};
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::error::Result;

/// Adds, one at a time, the point that brings the mean of the chosen features closest to the mean `mu`
/// of all features: with `t` points chosen so far and their sum `s`, the one nearest to
///
/// ```text
/// w = (t + 1) mu - s
/// ```
///
/// For features of one common length this is the paper's `argmax <w, x>`; for others it stays a match
/// of the mean, where the paper's rule would favour long features. `O(N count width)` time, `O(N)` memory.
///
/// # Reference
/// M. Welling, *Herding Dynamical Weights to Learn*, ICML 2009.
#[derive(Clone, Copy, Debug, Default)]
pub struct Herding;

impl Strategy for Herding {
    fn name(&self) -> &str {
        "herding"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features])
    }

    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(self.name())?;
        let mean = mean(rows, width);
        let mut wanted = vec![0.0f64; width];
        let mut closeness = vec![0.0f32; evidence.points()];
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            wanted.iter_mut().zip(&mean).for_each(|(w, mu)| *w += mu);
            let target: Vec<f32> = wanted.iter().map(|w| *w as f32).collect();
            closeness.par_iter_mut().zip(rows.par_chunks(width)).with_min_len(1024).for_each(
                |(closeness, row)| {
                    // A chosen point stays at minus infinity; what is too far for f32 stays above.
                    if *closeness > f32::NEG_INFINITY {
                        *closeness = (-squared_distance(row, &target)).max(f32::MIN);
                    }
                },
            );
            let next = first_largest(&closeness);
            closeness[next] = f32::NEG_INFINITY;
            let row = &rows[next * width..(next + 1) * width];
            wanted.iter_mut().zip(row).for_each(|(w, x)| *w -= f64::from(*x));
            chosen.push(next);
        }
        Ok(Choice::equal(chosen))
    }
}
