//! Arithmetic on rows of features. Sums run in a fixed order, so no result depends on threads.

/// Eight partial sums, so that the compiler can keep them in one register.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f32 = rest.map(|(a, b)| (a - b) * (a - b)).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `<a, b>`, in `f64`.
pub(crate) fn inner(a: &[f32], b: &[f32]) -> f64 {
    in_lanes(a, b, |a, b| a * b)
}

/// `||a||^2`, in `f64`.
pub(crate) fn squared_norm(a: &[f32]) -> f64 {
    inner(a, a)
}

/// `||a - b||^2`, in `f64`.
pub(crate) fn squared_distance_exact(a: &[f32], b: &[f32]) -> f64 {
    in_lanes(a, b, |a, b| (a - b) * (a - b))
}

/// Four partial sums, for the same reason.
fn in_lanes(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 4;
    let mut sums = [0.0; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f64 = rest.map(|(a, b)| term(f64::from(*a), f64::from(*b))).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += term(f64::from(a[lane]), f64::from(b[lane]));
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// A copy with rows of length one; zero rows stay zero.
pub(crate) fn unit_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let mut unit = rows.to_vec();
    for row in unit.chunks_mut(width) {
        // In f64 the squares of the largest and smallest f32 neither overflow nor vanish.
        let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
    }
    unit
}

/// The mean row; every row is one of `width`, and there is at least one.
pub(crate) fn mean(rows: &[f32], width: usize) -> Vec<f64> {
    let mut mean = vec![0.0; width];
    let points = (rows.len() / width) as f64;
    for row in rows.chunks(width) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / points);
    }
    mean
}

/// The first position of the maximum.
pub(crate) fn first_largest(values: &[f32]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, v)| if *v > values[best] { i } else { best })
}

/// Rows that arithmetic is bad at, for tests.
#[cfg(test)]
pub(crate) mod awkward {
    use rand::Rng;

    /// All equal; ties and duplicates, twice; a far-away origin; numbers too small and too large to square; one out of all
    /// proportion; and benign ones.
    pub(crate) const KINDS: usize = 8;

    /// So many numbers of a kind.
    pub(crate) fn numbers(kind: usize, count: usize, rng: &mut impl Rng) -> Vec<f32> {
        let number = |rng: &mut _| -> f32 {
            let unit = Rng::random_range(rng, -1.0..1.0f32);
            match kind {
                0 => 1.0,
                1 => unit.signum(),
                2 => (2.5 * unit).round(),
                3 => 1e4 + unit,
                4 => 1e-38 * unit,
                5 => 3.4e38 * unit,
                _ => unit,
            }
        };
        let mut numbers: Vec<f32> = (0..count).map(|_| number(rng)).collect();
        if kind == 6 {
            numbers[0] = 1e30;
        }
        numbers
    }
}
