//! Greedy k-center: the farthest point first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rand::{Rng, RngCore};
use rayon::prelude::*;

use crate::choose::neighbours::rows::squared_distance;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::error::Result;

/// Starts at a random point and adds, one at a time, the point farthest from all chosen ones (squared
/// Euclidean distance of the features): a 2-approximation of the smallest covering radius. Where points
/// are remembered it starts from those instead.
///
/// # Cost
/// `O(N count width)` time at worst, and mostly far less: a point is compared with a chosen one only once
/// nothing else looks farther away. `O(N + count width)` memory.
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

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features])
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let (rows, width) = evidence.features(self.name())?;
        let mut reach = match evidence.remembered() {
            [] => Reach::from_one(rows, width, rng.random_range(0..evidence.points())),
            remembered => Reach::from_centres(rows, width, remembered.to_vec(), Vec::new()),
        };
        reach.extend(count);
        Ok(Choice::equal(reach.chosen))
    }
}

/// How far a point is from the chosen ones, as far as anybody has looked.
struct Bound {
    distance: f32,
    point: usize,
    /// How many of the centres, in their order, have been looked at.
    seen: usize,
}

/// The search: a distance to some of the chosen points bounds that to all from above, so only the point
/// with the largest bound is looked at, and only until another bound is larger.
struct Reach<'a> {
    rows: &'a [f32],
    width: usize,
    chosen: Vec<usize>,
    /// The rows of remembered and chosen points, side by side.
    centres: Vec<f32>,
    bounds: BinaryHeap<Bound>,
}

impl<'a> Reach<'a> {
    fn from_one(rows: &'a [f32], width: usize, start: usize) -> Self {
        let centre = rows[start * width..(start + 1) * width].to_vec();
        Self::from_centres(rows, width, centre, vec![start])
    }

    /// `centres` holds a row or more, those of the points in `chosen` last.
    fn from_centres(rows: &'a [f32], width: usize, centres: Vec<f32>, chosen: Vec<usize>) -> Self {
        let bounds: Vec<Bound> = (rows.par_chunks(width).enumerate().with_min_len(256))
            .filter(|(point, _)| !chosen.contains(point))
            .map(|(point, row)| Bound {
                distance: squared_distance(row, &centres[..width]),
                point,
                seen: 1,
            })
            .collect();
        Self { rows, width, chosen, centres, bounds: bounds.into() }
    }

    /// Goes on until `count` points are chosen.
    fn extend(&mut self, count: usize) {
        self.centres.reserve((count - self.chosen.len()) * self.width);
        while self.chosen.len() < count
            && let Some(mut farthest) = self.bounds.pop()
        {
            let row = &self.rows[farthest.point * self.width..(farthest.point + 1) * self.width];
            while farthest.seen < self.centres.len() / self.width
                && self.bounds.peek().is_none_or(|other| farthest > *other)
            {
                let centre = &self.centres[farthest.seen * self.width..][..self.width];
                farthest.distance = farthest.distance.min(squared_distance(row, centre));
                farthest.seen += 1;
            }
            if self.bounds.peek().is_none_or(|other| farthest > *other) {
                self.chosen.push(farthest.point);
                self.centres.extend_from_slice(row);
            } else {
                self.bounds.push(farthest);
            }
        }
    }
}

/// Larger distance first, then the smaller index.
impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(other.point.cmp(&self.point))
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bound {}
