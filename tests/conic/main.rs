//! Conic programs: known answers for every cone, gradients against central differences, statuses, degenerate points.

mod cases;
mod draw;
mod gradients;
mod known;
mod steep;

/// How many random programs; `GLEANER_CASES=2000` for a thorough run.
fn count(least: u64) -> u64 {
    std::env::var("GLEANER_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(0).max(least)
}
