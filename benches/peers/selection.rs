//! Our side of the comparison of selection strategies; `selection.py` runs both sides, every system in a
//! process of its own.
//!
//! `write` makes the features, `choose` runs one strategy on them and prints milliseconds and peak memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use gleaner::choose::{Entropy, Evidence, FacilityLocation, Forgetting, KCenter, Strategy};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

#[derive(Parser)]
struct Flags {
    #[command(subcommand)]
    command: Command,
    /// What `cargo bench` adds to every command line.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a table of features in seeded clusters, `f32`, row by row; or images averaged to 8 x 8 x 3.
    Write {
        /// The file to write.
        out: PathBuf,
        /// Points.
        points: usize,
        /// Features a point; 192 with images.
        width: usize,
        /// The folder that holds cifar-10-batches-bin; clusters without it.
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// Runs a strategy, prints milliseconds and peak memory in MiB, and writes the indices.
    Choose {
        /// facility-location, k-center, entropy or forgetting.
        strategy: String,
        /// The table: features, probabilities, or a history of zeros and ones.
        table: PathBuf,
        /// Points.
        points: usize,
        /// How many to choose.
        count: usize,
        /// The file for their indices.
        out: PathBuf,
        /// Neighbours in the kernel of facility location.
        #[arg(long, default_value_t = 32)]
        neighbours: usize,
    },
}

fn main() -> Result<()> {
    // `cargo bench` runs every bench, with a filter or criterion's flags: nothing to do then.
    if !std::env::args().nth(1).is_some_and(|first| ["write", "choose"].contains(&&*first)) {
        println!("selection: benches/peers/run.sh --selection compares selection strategies");
        return Ok(());
    }
    match Flags::parse().command {
        Command::Write { out, points, width, data } => {
            let rows = match data {
                Some(data) => images(&data, points)?,
                None => clusters(points, width),
            };
            Ok(fs::write(out, rows.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?)
        }
        Command::Choose { strategy, table, points, count, out, neighbours } => {
            let facility = FacilityLocation { neighbours, ..Default::default() };
            choose(&strategy, &facility, &table, points, count, &out)
        }
    }
}

/// A hundred Gaussian clusters of deviation 0.7 around standard Gaussian centres.
fn clusters(points: usize, width: usize) -> Vec<f32> {
    const CLUSTERS: usize = 100;
    let mut rng = ChaCha8Rng::seed_from_u64(points as u64);
    let mut normal =
        |count: usize| -> Vec<f32> { (0..count).map(|_| rng.sample(StandardNormal)).collect() };
    let (centres, noise) = (normal(CLUSTERS * width), normal(points * width));
    let centre = |i: usize| &centres[i % CLUSTERS * width..][..width];
    let row = |i: usize| centre(i).iter().zip(&noise[i * width..][..width]);
    (0..points).flat_map(|i| row(i).map(|(c, x)| c + 0.7 * x)).collect()
}

/// The first images of CIFAR-10, training before test, every 4 x 4 pixels averaged, in [0, 1].
fn images(data: &Path, points: usize) -> Result<Vec<f32>> {
    const RECORD: usize = 1 + 3 * 32 * 32;
    let training = (1..=5).map(|k| format!("data_batch_{k}.bin"));
    let mut rows = Vec::with_capacity(points * 192);
    for name in training.chain(["test_batch.bin".into()]) {
        let path = data.join("cifar-10-batches-bin").join(name);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        for record in bytes.chunks_exact(RECORD).take(points - rows.len() / 192) {
            for block in 0..192 {
                let (channel, row, column) = (block / 64, block / 8 % 8, block % 8);
                let at = |k: usize| (row * 4 + k / 4) * 32 + column * 4 + k % 4;
                let pixel = |k| f32::from(record[1 + channel * 1024 + at(k)]);
                rows.push((0..16).map(pixel).sum::<f32>() / (16.0 * 255.0));
            }
        }
    }
    ensure!(rows.len() == points * 192, "only {} images", rows.len() / 192);
    Ok(rows)
}

fn choose(
    name: &str,
    facility: &FacilityLocation,
    table: &Path,
    points: usize,
    count: usize,
    out: &Path,
) -> Result<()> {
    let bytes = fs::read(table)?;
    let rows: Vec<f32> = match name {
        "forgetting" => Vec::new(),
        _ => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    };
    let right: Vec<bool> = bytes.iter().map(|byte| *byte == 1).collect();
    drop(bytes);
    let (empty, width) = (Evidence::new(points), rows.len() / points);
    let (evidence, strategy): (_, &dyn Strategy) = match name {
        "facility-location" => (empty.with_features(&rows, width)?, facility),
        "k-center" => (empty.with_features(&rows, width)?, &KCenter),
        "entropy" => (empty.with_probabilities(&rows, width)?, &Entropy),
        "forgetting" => (empty.with_history(&right)?, &Forgetting),
        _ => bail!("no strategy {name}"),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let start = Instant::now();
    let chosen = strategy.select(&evidence, count, &mut rng)?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    let lines: Vec<String> = chosen.indices.iter().map(usize::to_string).collect();
    fs::write(out, lines.join("\n"))?;
    println!("{time} {}", peak_memory()?);
    Ok(())
}

/// The largest resident size of this process, in MiB, as Linux reports it.
fn peak_memory() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("peak memory needs Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.context("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}
