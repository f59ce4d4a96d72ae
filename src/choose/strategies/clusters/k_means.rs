//! Spherical k-means: clusters of directions.

use rand::{Rng, RngCore};
use rayon::prelude::*;

use crate::choose::neighbours::rows::{inner, mean, unit_rows};
use crate::choose::strategies::gradients::badge::draw;
use crate::error::{Error, Result};

/// After so many rounds hardly a point changes its cluster.
const ROUNDS: usize = 25;

/// Directions, each in the cluster of the centre with which it has the largest cosine; of equal ones the first.
///
/// Centres start as k-means++ draws them and move to the direction of their cluster's mean. `O(N k width)` time a
/// round, `O((N + k) width)` memory. Equal for equal seeds and any number of threads.
pub(crate) struct Clusters {
    pub(crate) width: usize,
    /// Rows of length one, a point each; zero rows stay zero.
    pub(crate) unit: Vec<f32>,
    /// The points of each cluster, ascending; some may have none.
    pub(crate) members: Vec<Vec<usize>>,
    /// Of each point with the centre of its cluster.
    pub(crate) cosines: Vec<f64>,
}

impl Clusters {
    /// At most `number` clusters, about the root of the number of points without one; fewer where there are fewer
    /// different directions. There is at least one point.
    pub(crate) fn of_directions(
        features: &[f32],
        width: usize,
        number: Option<usize>,
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        let unit = unit_rows(features, width);
        let points = unit.len() / width;
        let number = number.unwrap_or((points as f64).sqrt().round() as usize);
        if number == 0 {
            return Err(Error::range("clusters", "at least 1", 0.0));
        }
        let mut centres = first_centres(&unit, width, number.min(points), rng);
        let mut nearest = assign(&unit, &centres, width);
        for _ in 0..ROUNDS {
            move_to_means(&mut centres, &unit, width, &nearest);
            let next = assign(&unit, &centres, width);
            let settled = next.iter().zip(&nearest).all(|(new, old)| new.0 == old.0);
            nearest = next;
            if settled {
                break;
            }
        }
        let members = members(&nearest, centres.len() / width);
        let cosines = nearest.into_iter().map(|(_, cosine)| cosine).collect();
        Ok(Self { width, unit, members, cosines })
    }

    pub(crate) fn row(&self, point: usize) -> &[f32] {
        &self.unit[point * self.width..(point + 1) * self.width]
    }
}

/// A point at random, then each with a probability proportional to one minus the cosine with the nearest centre, as
/// long as there is another direction.
fn first_centres(unit: &[f32], width: usize, number: usize, rng: &mut dyn RngCore) -> Vec<f32> {
    let points = unit.len() / width;
    let row = |i: usize| &unit[i * width..(i + 1) * width];
    let mut next = rng.random_range(0..points);
    let mut free = vec![true; points];
    let mut distances = vec![f64::INFINITY; points];
    let mut centres = Vec::with_capacity(number * width);
    loop {
        centres.extend_from_slice(row(next));
        free[next] = false;
        distances.par_iter_mut().enumerate().with_min_len(256).for_each(|(i, distance)| {
            *distance = distance.min((1.0 - inner(row(i), row(next))).max(0.0));
        });
        // The inner product of a row with itself is one up to rounding, that of a zero row is not.
        distances[next] = 0.0;
        if centres.len() == number * width || distances.iter().all(|distance| *distance == 0.0) {
            return centres;
        }
        next = draw(&distances, &free, rng);
    }
}

/// The nearest centre of every point, and the cosine with it.
fn assign(unit: &[f32], centres: &[f32], width: usize) -> Vec<(usize, f64)> {
    let nearest = |row: &[f32]| {
        let cosines = centres.chunks(width).map(|centre| inner(row, centre)).enumerate();
        cosines.fold((0, f64::NEG_INFINITY), |best, c| if c.1 > best.1 { c } else { best })
    };
    unit.par_chunks(width).with_min_len(64).map(nearest).collect()
}

/// A centre without points, or whose points cancel out, stays.
fn move_to_means(centres: &mut [f32], unit: &[f32], width: usize, nearest: &[(usize, f64)]) {
    let members = members(nearest, centres.len() / width);
    centres.par_chunks_mut(width).zip(members).for_each(|(centre, members)| {
        let rows: Vec<f32> =
            members.iter().flat_map(|i| &unit[i * width..(i + 1) * width]).copied().collect();
        let mean: Vec<f32> = mean(&rows, width).into_iter().map(|x| x as f32).collect();
        if !members.is_empty() && mean.iter().any(|x| *x != 0.0) {
            centre.copy_from_slice(&unit_rows(&mean, width));
        }
    });
}

fn members(nearest: &[(usize, f64)], clusters: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); clusters];
    nearest.iter().enumerate().for_each(|(i, (cluster, _))| members[*cluster].push(i));
    members
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn directions_apart_are_clusters() -> Result<()> {
        // Around (1, 0), (0, 1) and (-1, 0), of many lengths.
        let rows = [5.0, 0.1, 0.1, 2.0, -3.0, 0.1, 1.0, -0.1, -0.1, 9.0, -0.5, -0.01, 7.0, 0.0f32];
        for seed in 0..20 {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let clusters = Clusters::of_directions(&rows, 2, Some(3), &mut rng)?;
            let mut members = clusters.members;
            members.sort();
            assert_eq!(members, [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
            assert!(clusters.cosines.iter().all(|cosine| *cosine > 0.99), "{:?}", clusters.cosines);
        }
        Ok(())
    }

    #[test]
    fn no_more_clusters_than_directions() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let rows = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0f32];
        let clusters = Clusters::of_directions(&rows, 2, Some(3), &mut rng)?;
        assert_eq!(clusters.members.len(), 2);
        assert_eq!(clusters.cosines, [1.0; 3]);
        // Zero rows have no direction.
        assert!(Clusters::of_directions(&[0.0; 4], 2, None, &mut rng)?.cosines == [0.0; 2]);
        assert!(Clusters::of_directions(&rows, 2, Some(0), &mut rng).is_err());
        Ok(())
    }
}
