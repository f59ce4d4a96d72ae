//! Several ranks make one choice of rows that none has all of, and train one learner on batches of their own; the first checks
//! both against one process.
//!
//!     cargo run --release --example ranks    # four threads of this process
//!     cargo build --release --features mpi --example ranks && mpirun -n 4 target/release/examples/ranks
//!
//! The second needs an MPI library and the headers of clang (Debian: libopenmpi-dev, libclang-dev).

use anyhow::{Result, ensure};
use gleaner::Seeds;
use gleaner::choose::{Convex, Tasks};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::data::{Batch, Source, Subset};
use gleaner::learn::accuracy_in_batches;
use gleaner::ranks::Ranks;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use trained::{off, trainer};

#[path = "shared/ranks.rs"]
mod trained;

const BATCH: usize = 24;
const STEPS: usize = 60;

fn main() -> Result<()> {
    #[cfg(feature = "mpi")]
    let found = [work(&gleaner::ranks::Mpi::start()?)];
    #[cfg(not(feature = "mpi"))]
    let found = gleaner::ranks::Threads::run(4, |ranks| work(ranks))?;
    found.into_iter().collect()
}

fn work(ranks: &dyn Ranks) -> Result<()> {
    let options = ClusterOptions { points: 6_000, label_noise: 0.1, ..Default::default() };
    let made = clusters(&options, &mut ChaCha8Rng::seed_from_u64(0))?;
    let (rank, size, points) = (ranks.rank(), ranks.size(), made.train.points());
    let of = |rank| {
        Subset::new(&made.train, (points * rank / size..points * (rank + 1) / size).collect())
    };
    let (convex, seeds) = (Convex::default(), Seeds::new(1));
    let tasks = Tasks::new(&convex, size)?;
    let choice = tasks.choose_on(ranks, &of(rank)?, 300, seeds)?;

    let batch = |rank: usize, step: usize| -> gleaner::Result<Batch> {
        let first = (step * size + rank) * BATCH;
        made.train.batch_at(&(first..first + BATCH).map(|i| i % points).collect::<Vec<_>>())
    };
    let mut trained = trainer(&made)?;
    for step in 0..STEPS {
        trained.step_on(ranks, &batch(rank, step)?)?;
    }
    if rank > 0 {
        return Ok(());
    }
    let all = (0..size).map(of).collect::<gleaner::Result<Vec<_>>>()?;
    let sources: Vec<&dyn Source> = all.iter().map(|part| part as &dyn Source).collect();
    let same = tasks.choose(&sources, 300, seeds)? == choice;
    println!(
        "{size} ranks: {} of {points} rows, those that one process chooses: {same}",
        choice.len()
    );
    let mut alone = trainer(&made)?;
    for step in 0..STEPS {
        let parts = (0..size).map(|rank| batch(rank, step)).collect::<gleaner::Result<Vec<_>>>()?;
        alone.step_parts(&parts)?;
    }
    let accuracy = accuracy_in_batches(trained.learner(), &made.test, 500)?;
    let off = off(trained.learner(), alone.learner())?;
    println!(
        "{STEPS} steps of {size} x {BATCH} points: accuracy {accuracy:.3}, weights off those of one process by {off:.1e}"
    );
    // Gradients may be summed in another order, and are rounded to f32.
    ensure!(same && off < 1e-4, "several ranks are not what one process is");
    Ok(())
}
