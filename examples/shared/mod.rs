//! What the examples share: flags of one name, the device, progress bars.
#![allow(dead_code)] // no example needs all of it

pub mod active_learning;
pub mod comparison;
pub mod core_set;
pub mod groups;
pub mod linear;
pub mod real_data;
pub mod regression;
pub mod transport;
pub mod valuation;

use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;
use candle_core::Device;
use clap::{Args, ValueEnum};
use gleaner::experiment::{Configuration, Progress, one_thread_a_job};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

#[derive(Args)]
pub struct Common {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Number of seeds [default: 3; synthetic 5, groups 16].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Where tables and pictures go [default: target/gleaner and the name of the example].
    #[arg(long)]
    out: Option<PathBuf>,
    /// A smaller task, for two cores and a few minutes.
    #[arg(long)]
    pub quick: bool,
    /// Where tensors live; full size is meant for a GPU.
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: DeviceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum DeviceKind {
    Cpu,
    Cuda,
    Metal,
}

impl Common {
    /// So many seeds, at most `quick` of them where less is wanted, unless others were asked for.
    pub fn seeds(&self, usual: u64, quick: u64) -> Range<u64> {
        self.seed
            ..self.seed + self.seeds.unwrap_or(if self.quick { quick.min(usual) } else { usual })
    }

    pub fn out(&self, example: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from("target/gleaner").join(example))
    }

    /// The device, computing with threads for so many jobs side by side (one at a time on an accelerator).
    pub fn open(&self, jobs: usize) -> Result<Device> {
        one_thread_a_job(if self.device == DeviceKind::Cpu { jobs } else { 1 })?;
        Ok(match self.device {
            DeviceKind::Cpu => Device::Cpu,
            DeviceKind::Cuda => Device::new_cuda(0)?,
            DeviceKind::Metal => Device::new_metal(0)?,
        })
    }

    /// What any run depends on.
    pub fn configuration(&self, seeds: &Range<u64>) -> Configuration {
        let seeds = format!("{} from {}", seeds.end - seeds.start, seeds.start);
        let device = format!("{:?}", self.device);
        Configuration::from([("seeds".into(), seeds), ("device".into(), device)])
    }
}

/// A bar for the trainings to come and one for the epochs of the present one.
pub struct Bars {
    trainings: ProgressBar,
    epochs: ProgressBar,
}

impl Bars {
    pub fn new(trainings: usize) -> Result<Self> {
        let all = MultiProgress::new();
        let (top, below) = (ProgressBar::new(trainings as u64), ProgressBar::new(1));
        let (trainings, epochs) = (all.add(top), all.add(below));
        let style = "{bar:32} {pos}/{len} trainings {elapsed_precise}, {eta} left";
        trainings.set_style(ProgressStyle::with_template(style)?);
        epochs.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} epochs of {msg}")?);
        Ok(Self { trainings, epochs })
    }

    pub fn show(&self, progress: &Progress) {
        self.epochs.set_length(progress.epochs as u64);
        self.epochs.set_position(progress.epoch as u64);
        self.epochs.set_message(format!("{}, loss {:.3}", progress.stage, progress.loss));
        self.trainings.inc(u64::from(progress.epoch == progress.epochs));
    }

    pub fn finish(&self) {
        self.epochs.finish_and_clear();
        self.trainings.finish_and_clear();
    }
}
