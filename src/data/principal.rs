//! The directions in which rows differ most.

use rand::RngCore;

use super::Standardiser;
use super::svd::{Directions, Sparse};
use crate::error::Result;

/// Rows by their first principal components: the plane, or space of few dimensions, in which most of their differences can
/// be seen.
///
/// ```text
/// X = U S V'      rows of standardised features;  coordinates X V_k,  explained share  S_k^2 / |X|^2
/// ```
///
/// By a randomised singular value decomposition, to a few per cent of the best: for pictures, not for inference.
///
/// # Cost
/// `O(N width (count + 10))` time, `O(N width)` memory.
///
/// # Example
/// ```
/// use gleaner::Seeds;
/// use gleaner::data::PrincipalComponents;
///
/// // On a line but for a third feature that is constant.
/// let rows: Vec<f32> = (0..9).flat_map(|i| [i as f32, -2.0 * i as f32, 5.0]).collect();
/// let found = PrincipalComponents::of(&rows, 3, 2, &mut Seeds::new(0).stream(0))?;
/// assert!((found.explained[0] - 1.0).abs() < 1e-6 && found.explained[1] < 1e-6);
/// assert!((found.coordinates[0] + found.coordinates[16]).abs() < 1e-4); // the ends, by their first coordinates
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PrincipalComponents {
    /// `N x count`, row after row; zero in directions that rows do not have.
    pub coordinates: Vec<f32>,
    /// Share of the variance of each direction, the largest first.
    pub explained: Vec<f64>,
}

impl PrincipalComponents {
    /// Of rows of `width` features, `count` components.
    ///
    /// # Errors
    /// As [`Standardiser::fit`].
    pub fn of(rows: &[f32], width: usize, count: usize, rng: &mut dyn RngCore) -> Result<Self> {
        let rows = Standardiser::fit(rows, width)?.apply(rows);
        let entries = |row: &[f32]| {
            let entries = (0..).zip(row.iter().copied());
            entries.filter(|(_, x)| *x != 0.0).collect::<Vec<(u32, f32)>>()
        };
        let sparse = Sparse::new(&rows.chunks(width).map(entries).collect::<Vec<_>>(), width);
        let mut found = Directions::new(&sparse, count, rng);
        upright(&mut found);
        let along = |row: &[f32], k: usize| -> f32 {
            let weights = found.rows.iter().skip(k).step_by(found.count.max(1));
            if k < found.count { row.iter().zip(weights).map(|(x, w)| x * w).sum() } else { 0.0 }
        };
        let along = &along;
        let coordinates: Vec<f32> =
            rows.chunks(width).flat_map(|row| (0..count).map(move |k| along(row, k))).collect();
        let squares = |values: &mut dyn Iterator<Item = &f32>| -> f64 {
            values.map(|x| f64::from(*x).powi(2)).sum()
        };
        let all = squares(&mut rows.iter()).max(f64::MIN_POSITIVE);
        let explained =
            (0..count).map(|k| squares(&mut coordinates.iter().skip(k).step_by(count)) / all);
        Ok(Self { explained: explained.collect(), coordinates })
    }
}

/// A direction and its opposite are one: the largest weight of each is made positive, so that pictures do not flip.
fn upright(found: &mut Directions) {
    for k in 0..found.count {
        let largest = found.rows.iter().skip(k).step_by(found.count);
        let largest = largest.fold(0.0f32, |l, w| if w.abs() > l.abs() { *w } else { l });
        if largest < 0.0 {
            found.rows.iter_mut().skip(k).step_by(found.count).for_each(|w| *w = -*w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn equal_rows_lie_at_one_place() -> Result<()> {
        let found = PrincipalComponents::of(&[2.0; 12], 3, 2, &mut ChaCha8Rng::seed_from_u64(0))?;
        assert_eq!(found.coordinates, [0.0; 8]);
        assert_eq!(found.explained, [0.0; 2]);
        Ok(())
    }

    #[test]
    fn one_feature_has_one_direction() -> Result<()> {
        let rows = [1.0f32, 2.0, 4.0];
        let found = PrincipalComponents::of(&rows, 1, 2, &mut ChaCha8Rng::seed_from_u64(0))?;
        assert!((found.explained[0] - 1.0).abs() < 1e-6 && found.explained[1] == 0.0);
        assert!(found.coordinates[0] < found.coordinates[2] && found.coordinates[1] == 0.0);
        Ok(())
    }
}
