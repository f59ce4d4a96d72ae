//! Linear programs by the slime mould's dynamics and by an interior point: steps, time, accuracy.
//!
//! ```text
//! minimise c'x  subject to  A x = b,  x >= 0         c in (1, 2), all three with n variables and a feasible point
//! ```
//!
//! `cargo run --release --example physarum`

use std::time::Instant;

use gleaner::conic::{Cone, ConicProgram, Pattern, Physarum, PhysarumOptions, Values};
use gleaner::{Result, Seeds};
use rand::Rng;

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
fn random(n: usize, rng: &mut impl Rng) -> (usize, Entries, Vec<f64>) {
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

fn main() -> Result<()> {
    let rng = &mut Seeds::new(0).stream(0);
    println!("                        physarum                          interior point");
    println!("program      n    m    steps         ms  relative gap    steps        ms");
    for n in [20, 200, 2000] {
        for (name, (m, entries, b)) in
            [("shortest", shortest(n)), ("transport", transport(n)), ("random", random(n, rng))]
        {
            let n = entries.iter().map(|entry| entry.1 + 1).max().unwrap_or(0);
            let c: Vec<f64> = (0..n).map(|_| rng.random_range(1.0..2.0)).collect();
            let below = (0..n).map(|j| (m + j, j, -1.0)); // x >= 0
            let all: Entries = entries.iter().copied().chain(below).collect();
            let filled = |rows, entries: &Entries| -> Result<(Pattern, Vec<f64>)> {
                let places: Vec<(usize, usize)> = entries.iter().map(|e| (e.0, e.1)).collect();
                let (pattern, order) = Pattern::from_places(rows, n, &places)?;
                let mut values = vec![0.0; places.len()];
                order.iter().zip(entries).for_each(|(&at, entry)| values[at] = entry.2);
                Ok((pattern, values))
            };
            let ((own, a), (whole, constraints)) = (filled(m, &entries)?, filled(m + n, &all)?);
            let cones = vec![Cone::Zero(m), Cone::Nonnegative(n)];
            let conic = ConicProgram::new(Pattern::empty(n, n), whole, cones)?;
            let right = [b.clone(), vec![0.0; n]].concat();
            let values = Values {
                linear: &c,
                constraints: &constraints,
                right: &right,
                ..Default::default()
            };
            let start = Instant::now();
            let exact = *conic.solve(values, &Default::default())?.solution()?.verdict();
            let slow = start.elapsed().as_secs_f64() * 1e3;
            let start = Instant::now();
            let options = PhysarumOptions {
                smoothing: 1e-6 * exact.objective / n as f64,
                tolerance: 0.1,
                ..Default::default()
            };
            let found = Physarum::new(own)?.solve(&c, &a, &b, &options);
            let ms = start.elapsed().as_secs_f64() * 1e3;
            match found {
                Ok(f) => {
                    let gap = (f.verdict().objective - f.verdict().bound) / exact.objective;
                    println!(
                        "{name:9} {n:5} {m:4} {:8} {ms:10.2} {gap:13.1e} {:8} {slow:9.2}",
                        f.verdict().iterations,
                        exact.iterations
                    )
                }
                Err(e) => {
                    println!("{name:9} {n:5} {m:4} {e} {ms:10.2} {:8} {slow:9.2}", exact.iterations)
                }
            }
        }
    }
    Ok(())
}
