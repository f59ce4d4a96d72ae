//! Linear programs by the slime mould's dynamics and by an interior point: steps and milliseconds.
//!
//! ```text
//! minimise c'x  subject to  A x = b,  x >= 0          c in (1, 2)
//! ```
//!
//! The dynamics stop at a point that is proved to cost one per cent too much at most, or a tenth of that; the interior point
//! is right to nine digits or so.
//!
//! `cargo run --release --example physarum`

mod shared;

use std::time::Instant;

use gleaner::conic::{Physarum, PhysarumOptions, Values};
use gleaner::{Error, Result, Seeds};
use shared::linear::programs;

fn main() -> Result<()> {
    let rng = &mut Seeds::new(0).stream(0);
    println!("                             gap 1e-2          gap 1e-3       interior point");
    println!("program          n    m   steps       ms    steps       ms   steps       ms");
    let (mut least, mut most) = (f64::INFINITY, 0f64);
    for n in [20, 200, 2000] {
        for program in programs(n, rng)? {
            let n = program.costs.len();
            let start = Instant::now();
            let values = Values {
                quadratic: &[],
                linear: &program.costs,
                constraints: &program.conic_entries,
                right: &program.conic_right,
            };
            let exact = *program.conic.solve(values, &Default::default())?.solution()?.verdict();
            let interior = 1e3 * start.elapsed().as_secs_f64();
            print!("{:12} {n:5} {:4}", program.name, program.rows);
            for gap in [1e-2, 1e-3] {
                let start = Instant::now();
                let smoothing = 0.9 * gap * exact.objective / n as f64;
                let options = PhysarumOptions {
                    smoothing,
                    tolerance: 0.1,
                    max_iterations: 10_000,
                    ..Default::default()
                };
                let physarum = Physarum::new(program.pattern.clone())?;
                let (costs, entries, right) = (&program.costs, &program.entries, &program.right);
                let found = physarum.solve(costs, entries, right, &options);
                let ms = 1e3 * start.elapsed().as_secs_f64();
                match found {
                    Ok(found) => print!(" {:7} {ms:8.1} ", found.verdict().iterations),
                    Err(Error::NotConverged { iterations, .. }) => {
                        print!(" {:>7} {ms:8.1} ", format!(">{iterations}"))
                    }
                    Err(error) => return Err(error),
                }
                (least, most) = (least.min(ms / interior), most.max(ms / interior));
            }
            println!(" {:6} {interior:8.1}", exact.iterations);
        }
    }
    println!("the interior point is {least:.1} to {most:.0} times faster");
    Ok(())
}
