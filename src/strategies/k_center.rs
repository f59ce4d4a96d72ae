//! Greedy k-center: the farthest point first.

use rand::{Rng, RngCore};
use rayon::prelude::*;

use super::rows::{first_largest, squared_distance};
use super::{Evidence, Strategy, check_count};
use crate::error::Result;

/// Starts at a random point and adds, one at a time, the point farthest from all chosen ones (squared
/// Euclidean distance of the features): a 2-approximation of the smallest covering radius.
///
/// `O(N count width)` time; a running minimum of `N` numbers is all the memory it takes.
///
/// # Reference
/// T. Gonzalez, *Clustering to minimize the maximum intercluster distance*, 1985; O. Sener,
/// S. Savarese, *Active Learning for Convolutional Neural Networks: A Core-Set Approach*, ICLR 2018.
#[derive(Clone, Copy, Debug, Default)]
pub struct KCenter;

impl Strategy for KCenter {
    fn name(&self) -> &str {
        "k-center"
    }

    fn select(
        &self,
        evidence: &Evidence,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<usize>> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(self.name())?;
        let mut nearest = vec![f32::INFINITY; evidence.points()];
        let mut chosen = Vec::with_capacity(count);
        let mut next = rng.random_range(0..evidence.points());
        loop {
            chosen.push(next);
            if chosen.len() == count {
                return Ok(chosen);
            }
            let centre = &rows[next * width..(next + 1) * width];
            nearest.par_iter_mut().zip(rows.par_chunks(width)).with_min_len(1024).for_each(
                |(nearest, row)| {
                    *nearest = nearest.min(squared_distance(row, centre));
                },
            );
            // A chosen point must not come again, even among exact duplicates at distance zero.
            nearest[next] = f32::NEG_INFINITY;
            next = first_largest(&nearest);
        }
    }
}
