//! Greedy k-center: the farthest point first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rand::{Rng, RngCore};
use rayon::prelude::*;

use crate::choose::cells::{Across, Pool, divide};
use crate::choose::neighbours::rows::squared_distance;
use crate::choose::strategies::check_share;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, Streaming, check_count};
use crate::data::Source;
use crate::error::Result;

/// Centres of a cell of a large pool, about.
const CENTRES: usize = 1_000;
/// Bytes of the rows of a cell, about.
const CELL_BYTES: usize = 16 << 20;

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

    fn as_streaming(&self) -> Option<&dyn Streaming> {
        Some(self)
    }
}

impl Streaming for KCenter {
    /// Centres of a source that may be larger than memory, the farthest first; gains are distances to what was chosen before.
    ///
    /// The points are divided into cells of neighbours, each of which is greedily covered on its own. All cells share one
    /// radius `r`: the largest for which there are `count` centres. Centres of one cell are at least `r` apart, and every
    /// point is within `r` of a centre, or within `2 r` where its cell has none. With one cell, so up to a thousand
    /// centres or so of a pool that fits, this is [`select`](Strategy::select).
    ///
    /// # Cost
    /// Some three passes over the source and `O(N width min(count, 1000))` time at worst; of rows, one cell a thread is in
    /// memory.
    ///
    /// # Example
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use gleaner::{choose::{KCenter, Streaming}, data::Dataset};
    /// # let mut rng = rand::rng();
    ///
    /// let inputs = Tensor::new(&[[0f32], [1.0], [9.0], [10.0]], &Device::Cpu)?;
    /// let data = Dataset::new(inputs, vec![0; 4], 1)?;
    /// let mut chosen = KCenter.select_from(&data, 2, &mut rng)?.indices;
    /// chosen.sort();
    /// assert!(chosen[0] < 2 && chosen[1] > 1);
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    fn select_from(
        &self,
        source: &dyn Source,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice> {
        check_share(source.points(), count)?;
        let width = source.gather(&[0])?.1;
        let by_size = (4 * width).saturating_mul(source.points()).div_ceil(CELL_BYTES);
        self.by_cells(&source, by_size.max(count.div_ceil(CENTRES)), count, rng)
    }
}

impl KCenter {
    fn by_cells(
        &self,
        pool: &dyn Pool,
        cells: usize,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice> {
        let cells: Vec<Cell> = divide(pool, cells, Across::LongestAxis, rng)?
            .into_iter()
            .map(|members| Cell { start: rng.random_range(0..members.len()), members })
            .collect();
        let firsts: Vec<usize> = cells.iter().map(|cell| cell.members[cell.start]).collect();
        let apart = apart(pool, &firsts)?;
        let share = |cell: &Cell| (cell.members.len() * count).div_ceil(pool.size());
        let mut most: Vec<usize> = cells.iter().map(|cell| share(cell) + share(cell) / 2).collect();
        let mut covers: Vec<Cover> = vec![Cover::new(); cells.len()];
        let mut open: Vec<usize> = (0..cells.len()).collect();
        loop {
            let again = open.par_iter().map(|c| cells[*c].cover(pool, most[*c], apart[*c]));
            for (c, cover) in open.iter().zip(again.collect::<Vec<_>>()) {
                covers[*c] = cover?;
            }
            let mut all: Vec<(f32, usize)> = covers.iter().flatten().copied().collect();
            all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            all.truncate(count);
            // A cell all of whose centres are in may have more that are as far apart.
            let least = all.last().map_or(0.0, |last| last.0);
            let short = |c: &usize| {
                let (cover, members) = (&covers[*c], cells[*c].members.len());
                let all_in = cover.last().is_some_and(|last| last.0 >= least);
                (all_in || all.len() < count) && cover.len() < members
            };
            open = (0..cells.len()).filter(short).collect();
            if open.is_empty() {
                let gains = all.iter().map(|(distance, _)| f64::from(*distance).sqrt()).collect();
                let indices = all.into_iter().map(|(_, point)| point).collect();
                return Ok(Choice::equal(indices).with_gains(gains));
            }
            open.iter().for_each(|c| most[*c] *= 2);
        }
    }
}

/// Squared distances, in the order of the choice never growing, with what was chosen.
type Cover = Vec<(f32, usize)>;

/// Points that are covered on their own, from one of them on.
struct Cell {
    members: Vec<usize>,
    start: usize,
}

impl Cell {
    /// With at most so many centres; the first is as far from those of other cells as is said.
    fn cover(&self, pool: &dyn Pool, most: usize, apart: f32) -> Result<Cover> {
        let (rows, width) = pool.gather(&self.members)?;
        let mut reach = Reach::from_one(&rows, width, self.start);
        reach.extend(most.min(self.members.len()));
        let first = apart.max(reach.distances.get(1).copied().unwrap_or(0.0));
        let distances = std::iter::once(first).chain(reach.distances.iter().copied().skip(1));
        Ok(distances.zip(reach.chosen.iter().map(|place| self.members[*place])).collect())
    }
}

/// Of each of some points the squared distance to those that a greedy cover of them takes before it; infinite of its first.
fn apart(pool: &dyn Pool, points: &[usize]) -> Result<Vec<f32>> {
    let (rows, width) = pool.gather(points)?;
    let mut reach = Reach::from_one(&rows, width, 0);
    reach.extend(points.len());
    let mut apart = vec![f32::INFINITY; points.len()];
    reach.chosen.iter().zip(&reach.distances).for_each(|(place, far)| apart[*place] = *far);
    Ok(apart)
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
    /// Squared, of each chosen point to those before it; infinite of what it starts from.
    distances: Vec<f32>,
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
        let distances = vec![f32::INFINITY; chosen.len()];
        Self { rows, width, chosen, distances, centres, bounds: bounds.into() }
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
                self.distances.push(farthest.distance);
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
