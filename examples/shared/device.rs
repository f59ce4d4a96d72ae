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
    pub fn open(self) -> Result<Device> {
        Ok(match self {
            Self::Cpu => Device::Cpu,
            Self::Cuda => Device::new_cuda(0)?,
            Self::Metal => Device::new_metal(0)?,
        })
    }
}
