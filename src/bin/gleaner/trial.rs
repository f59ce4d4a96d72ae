//! How long work would take, by a trial of it on some of the rows.

use std::time::Instant;

use gleaner::data::{Source, Subset};
use gleaner::{Result, Seeds, Strategy};
use rand::seq::index::sample;

use crate::input::LARGE;
use crate::methods::{method, observed};

/// Rows of the two trials; fewer take less than anybody wants to know beforehand.
const ROWS: [usize; 2] = [2_000, 4_000];
/// What caches and threads take to begin with.
const WARMING: usize = 500;
/// What is kept.
const SHARE: f64 = 0.1;

/// About how many seconds a method takes of all rows, where it can be tried.
pub fn seconds(name: &str, data: &dyn Source, labelled: bool, seeds: Seeds) -> Result<f64> {
    let strategy = method(Some(name), labelled)?;
    let all = data.points();
    let trial = |rows: usize| trial(strategy.as_ref(), data, (labelled, rows), seeds);
    trial(all.min(WARMING))?;
    let [few, more] = ROWS;
    if all <= more {
        return trial(all);
    }
    let (first, second, n, m) = (trial(few)?, trial(more)?, few as f64, more as f64);
    // Seconds are `a n + b n^2`, up to the rows that are looked at together.
    let b = ((second / m - first / n) / (m - n)).max(0.0);
    let a = (second / m - b * m).max(0.0);
    Ok(all as f64 * (a + b * together(name, all) as f64))
}

/// Of so many rows, how many a method looks at together.
fn together(name: &str, all: usize) -> usize {
    match name {
        "k-center" if all > LARGE => 10_000,
        "convex" => all.min(4_096),
        "facility-location" if all > LARGE => 8_192,
        _ => all,
    }
}

fn trial(
    strategy: &dyn Strategy,
    data: &dyn Source,
    (labelled, rows): (bool, usize),
    seeds: Seeds,
) -> Result<f64> {
    let mut rng = seeds.stream(0);
    let mut some = sample(&mut rng, data.points(), rows).into_vec();
    some.sort_unstable();
    let part = Subset::new(data, some)?;
    let count = ((SHARE * rows as f64).round() as usize).max(1);
    let start = Instant::now();
    let seen = observed(&part, labelled, strategy.needs(), seeds, None)?;
    strategy.select(&seen.evidence()?, count, &mut rng)?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds as people say them.
pub fn said(seconds: f64) -> String {
    match seconds {
        s if s < 0.95 => "under 1 s".into(),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5_400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3_600.0),
    }
}
