//! The device that a flag names.

use anyhow::Result;
use candle_core::Device;
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DeviceKind {
    Cpu,
    Cuda,
    Metal,
}

impl DeviceKind {
    /// How many of `jobs` run side by side on it, see `side_by_side`.
    #[allow(dead_code)] // not every example has jobs
    pub fn at_once(self, jobs: u64) -> u64 {
        if matches!(self, Self::Cpu) { jobs } else { 1 }
    }

    pub fn open(self) -> Result<Device> {
        Ok(match self {
            Self::Cpu => Device::Cpu,
            Self::Cuda => Device::new_cuda(0)?,
            Self::Metal => Device::new_metal(0)?,
        })
    }
}
