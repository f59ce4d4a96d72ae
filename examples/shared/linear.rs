//! Linear programs of `physarum`.

use gleaner::Result;
use gleaner::conic::{Cone, ConicProgram, Pattern};
use rand::{Rng, RngCore};

/// `minimise c'x, A x = b, x >= 0`, as it is and with `-x <= 0` below for the interior point.
pub struct Linear {
    pub name: &'static str,
    pub rows: usize,
    pub pattern: Pattern,
    pub costs: Vec<f64>,
    pub entries: Vec<f64>,
    pub right: Vec<f64>,
    pub conic: ConicProgram,
    pub conic_entries: Vec<f64>,
    pub conic_right: Vec<f64>,
}

/// One of each kind with about so many variables, costs in (1, 2).
pub fn programs(n: usize, rng: &mut dyn RngCore) -> Result<Vec<Linear>> {
    let kinds =
        [("shortest way", shortest(n)), ("transport", transport(n)), ("random", random(n, rng))];
    kinds.into_iter().map(|(name, parts)| Linear::new(name, parts, rng)).collect()
}

impl Linear {
    fn new(
        name: &'static str,
        (rows, entries, b): (usize, Entries, Vec<f64>),
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        let n = entries.iter().map(|entry| entry.1 + 1).max().unwrap_or(0);
        let below = (0..n).map(|j| (rows + j, j, -1.0));
        let all: Entries = entries.iter().copied().chain(below).collect();
        let (pattern, own) = filled(rows, n, &entries)?;
        let (whole, conic_entries) = filled(rows + n, n, &all)?;
        let cones = vec![Cone::Zero(rows), Cone::Nonnegative(n)];
        Ok(Self {
            name,
            rows,
            pattern,
            costs: (0..n).map(|_| rng.random_range(1.0..2.0)).collect(),
            entries: own,
            conic: ConicProgram::new(Pattern::empty(n, n), whole, cones)?,
            conic_entries,
            conic_right: [b.clone(), vec![0.0; n]].concat(),
            right: b,
        })
    }
}

fn filled(rows: usize, columns: usize, entries: &Entries) -> Result<(Pattern, Vec<f64>)> {
    let places: Vec<(usize, usize)> = entries.iter().map(|entry| (entry.0, entry.1)).collect();
    let (pattern, order) = Pattern::from_places(rows, columns, &places)?;
    let mut values = vec![0.0; places.len()];
    order.iter().zip(entries).for_each(|(&at, entry)| values[at] = entry.2);
    Ok((pattern, values))
}

/// Entries `(row, column, value)` of `A`.
type Entries = Vec<(usize, usize, f64)>;

/// From one corner of a square grid to the other, every street a column for each way.
fn shortest(n: usize) -> (usize, Entries, Vec<f64>) {
    let side = (1 + (n as f64 / 4.0).sqrt() as usize).max(2);
    let street = |i: usize| {
        let right = (i % side + 1 < side).then_some((i, i + 1));
        right.into_iter().chain((i + side < side * side).then_some((i, i + side)))
    };
    let ways = (0..side * side).flat_map(street).flat_map(|(a, b)| [(a, b), (b, a)]);
    let entries = ways.enumerate().flat_map(|(j, (a, b))| [(a, j, 1.0), (b, j, -1.0)]).collect();
    let mut b = vec![0.0; side * side];
    (b[0], b[side * side - 1]) = (1.0, -1.0);
    (side * side, entries, b)
}

/// As many sources as sinks, one unit each.
fn transport(n: usize) -> (usize, Entries, Vec<f64>) {
    let k = (n as f64).sqrt() as usize;
    let one = |j: usize| [(j / k, j, 1.0), (k + j % k, j, 1.0)];
    (2 * k, (0..k * k).flat_map(one).collect(), vec![1.0; 2 * k])
}

/// Four entries a column, a quarter as many rows; feasible by ones.
fn random(n: usize, rng: &mut dyn RngCore) -> (usize, Entries, Vec<f64>) {
    let rows = n / 4;
    let places = |j| (0..4).map(move |k| ((j + k * (1 + j / rows)) % rows, j));
    let mut places: Vec<(usize, usize)> = (0..n).flat_map(places).collect();
    places.sort_unstable_by_key(|place| (place.1, place.0));
    places.dedup();
    let entries: Entries =
        places.iter().map(|&(i, j)| (i, j, rng.random_range(-1.0..1.0))).collect();
    let mut b = vec![0.0; rows];
    entries.iter().for_each(|(i, _, value)| b[*i] += value);
    (rows, entries, b)
}
