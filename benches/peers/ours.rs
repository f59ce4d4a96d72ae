//! Our side of the comparison with other differentiable layers; `benches/peers/run.sh` runs both sides.
//!
//! `write` makes the problems as files, `solve` times this library and clarabel on them, `epoch` times
//! training steps, `convolution` training steps of the image networks beside PyTorch's, `memory` measures one large program in a process of its own.

mod convolution;
mod epoch;
mod problems;
mod row;
mod solve;
mod timing;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
    /// Writes the problems that both sides read.
    Write {
        /// The folder for them.
        folder: PathBuf,
    },
    /// Times this library on the problems of a folder and writes a CSV.
    Solve {
        /// A folder that `write` filled.
        folder: PathBuf,
        /// The CSV to write.
        out: PathBuf,
        /// Fewer repeats.
        #[arg(long)]
        quick: bool,
        /// Also what no peer can take: 400, 1,000, and 1,000 incoming with 20,000 remembered points.
        #[arg(long)]
        large: bool,
    },
    /// Times steps of the trainer and writes a CSV.
    Epoch {
        /// The CSV to write.
        out: PathBuf,
        /// The folder that holds cifar-10-batches-bin; noise images of the same shape without it.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Fewer steps.
        #[arg(long)]
        quick: bool,
    },
    /// Times training steps of the image networks and PyTorch's in turn, and writes a CSV.
    Convolution {
        /// The CSV to write.
        out: PathBuf,
        /// The Python that has torch.
        #[arg(long)]
        python: PathBuf,
        /// Fewer steps, and not ResNet-18.
        #[arg(long)]
        quick: bool,
        /// This network alone.
        #[arg(long)]
        network: Option<String>,
    },
    /// Solves 1,000 incoming against 20,000 remembered points, forward only, and prints milliseconds,
    /// objective and this process's peak memory in MiB.
    #[command(hide = true)]
    Memory,
}

const NAMES: [&str; 5] = ["write", "solve", "epoch", "convolution", "memory"];

fn main() -> Result<()> {
    // `cargo bench` runs every bench, with a filter or criterion's flags: nothing to do then.
    if !std::env::args().nth(1).is_some_and(|first| NAMES.contains(&first.as_str())) {
        println!("peers: benches/peers/run.sh [--quick] compares with other differentiable layers");
        return Ok(());
    }
    match Flags::parse().command {
        Command::Write { folder } => problems::write(&folder),
        Command::Solve { folder, out, quick, large } => {
            solve::time_all(&folder, quick, large).and_then(|rows| row::write(&out, &rows))
        }
        Command::Epoch { out, data, quick } => {
            epoch::time_all(data.as_deref(), quick).and_then(|rows| row::write(&out, &rows))
        }
        Command::Convolution { out, python, quick, network } => {
            convolution::time_all(&python, quick, network.as_deref())
                .and_then(|rows| row::write(&out, &rows))
        }
        Command::Memory => solve::memory(),
    }
}
