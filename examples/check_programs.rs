//! Solves random programs, from benign to wild, and checks every answer against the original data: one line a
//! kind of fault, with its count; ends with 1 if there is any.
//!
//! ```sh
//! cargo run --release --example check_programs -- --count 20000 --seed 1
//! ```

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Parser;
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

#[path = "shared/programs.rs"]
mod programs;

use programs::{Fault, Trial};

/// Checks answers of the selection program on random inputs. Slow is what takes the solving thread itself more than
/// a second, not what waits for a busy machine (on Linux; elsewhere the time that passes).
#[derive(Parser)]
struct Args {
    /// Programs to solve.
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// The first program's seed; the others follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Incoming, and remembered, points at most.
    #[arg(long, default_value_t = 200)]
    largest: usize,
    /// Also print every fault and the program that has it.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seeds = args.seed..args.seed + args.count;
    let bar = ProgressBar::new(args.count);
    let faults: Vec<(u64, Fault)> = seeds
        .into_par_iter()
        .flat_map_iter(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let trial = Trial::draw(args.largest, &mut rng);
            let faults = trial.faults(&mut rng);
            bar.inc(1);
            if args.verbose {
                faults.iter().for_each(|(fault, seen)| {
                    println!("{fault:?} {seen}; seed {seed}: {}", trial.name)
                });
            }
            faults.into_iter().map(move |(fault, _)| (seed, fault))
        })
        .collect();
    bar.finish_and_clear();
    let mut counts: BTreeMap<Fault, Vec<u64>> = BTreeMap::new();
    faults.into_iter().for_each(|(seed, fault)| counts.entry(fault).or_default().push(seed));
    println!("{} programs, seeds from {}", args.count, args.seed);
    for (fault, name) in Fault::ALL {
        let seeds = counts.get(&fault).map_or(&[][..], |seeds| seeds);
        let example = seeds.first().map_or(String::new(), |seed| format!("  (seed {seed})"));
        println!("{:6}  {name}{example}", seeds.len());
    }
    if counts.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
