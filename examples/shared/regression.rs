//! The flags of `regression`, and its table with every column in units of its spread.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::Device;
use clap::Parser;
use gleaner::Dataset;
use gleaner::data::stratified_split;
use gleaner::data::table::{TableOptions, load};
use rand::RngCore;

/// Compares ways of choosing training data by the test error of a fresh network, in the column's own unit;
/// with --quick on the first 6,000 rows.
#[derive(Parser)]
pub struct RegressionFlags {
    /// A table: csv, parquet, npz, safetensors.
    #[arg(long)]
    data: PathBuf,
    /// The column to predict.
    #[arg(long)]
    column: String,
    /// Errors beyond so many standard deviations of the column count linearly (Huber's loss) [default: squared].
    #[arg(long)]
    pub huber: Option<f64>,
    #[command(flatten)]
    pub common: super::Common,
}

/// Features and the numbers to predict, all of mean zero and deviation one: what the optimiser's rate is
/// meant for.
pub struct Standardised {
    pub data: Dataset,
    /// The deviation of the numbers as they were.
    pub unit: f64,
}

impl RegressionFlags {
    pub fn read(&self, device: &Device) -> Result<Standardised> {
        let target = Some(self.column.clone());
        let options = TableOptions { label: None, target, ..Default::default() };
        let table = load(&self.data, &options)?;
        let numbers = table.targets.context("the table has no numbers to predict")?;
        let points = if self.common.quick { numbers.len().min(6_000) } else { numbers.len() };
        let data = table.data.subset(&(0..points).collect::<Vec<_>>())?;
        let numbers = &numbers[..points];
        let mean = numbers.iter().sum::<f64>() / points as f64;
        let square = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let unit = (square / points as f64).sqrt();
        let numbers: Vec<f64> = numbers.iter().map(|x| (x - mean) / unit).collect();
        let inputs = data.inputs().broadcast_sub(&data.inputs().mean_keepdim(0)?)?;
        // A constant column stays zero.
        let spread = (inputs.sqr()?.mean_keepdim(0)?.sqrt()? + 1e-6)?;
        let inputs = inputs.broadcast_div(&spread)?.to_device(device)?;
        let data = Dataset::new(inputs, data.labels().to_vec(), data.classes())?;
        Ok(Standardised { data: data.with_targets(&numbers)?, unit })
    }
}

/// A fifth for the test, 200 rows that a selection model may ask, or as many as there are for that, and the rest to choose from.
pub fn split(data: &Dataset, rng: &mut dyn RngCore) -> Result<[Dataset; 3], gleaner::Error> {
    let (test, rest) = stratified_split(data.labels(), data.len() / 5, rng)?;
    let (test, rest) = (data.subset(&test)?, data.subset(&rest)?);
    let few = 200.min(rest.len() / 5);
    let (validation, pool) = stratified_split(rest.labels(), few, rng)?;
    Ok([test, rest.subset(&validation)?, rest.subset(&pool)?])
}
