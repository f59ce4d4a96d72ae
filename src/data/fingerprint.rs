//! A short name of what a source holds.

use candle_core::{DType, Device};

use super::Source;
use crate::error::Result;
use crate::hash::{FNV_START, fnv};

/// Points that are read together.
const CHUNK: usize = 1024;

/// A name for the data: other inputs, labels or targets, or another order of them, have another one. What was found of some
/// data and kept must not be taken for what is found of others: a part of a run's configuration.
///
/// FNV-1a with 64 bits, for accidents and not for enemies. Reads every input once, about a second for a gigabyte.
///
/// # Errors
/// What the source meets.
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use gleaner::data::{Dataset, fingerprint};
///
/// let inputs = Tensor::new(&[[0f32, 1.0], [2.0, 3.0]], &Device::Cpu)?;
/// let data = Dataset::new(inputs, vec![0, 1], 2)?;
/// assert_eq!(fingerprint(&data)?, fingerprint(&data)?);
/// assert_ne!(fingerprint(&data)?, fingerprint(&data.with_labels(vec![1, 0])?)?);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn fingerprint(source: &dyn Source) -> Result<String> {
    let whole = |hash, number: usize| fnv(hash, &(number as u64).to_le_bytes());
    let mut hash = [source.points(), source.classes()].into_iter().fold(FNV_START, whole);
    hash = source.labels().iter().fold(hash, |hash, label| fnv(hash, &label.to_le_bytes()));
    let targets = source.targets().unwrap_or_default();
    hash = targets.iter().fold(hash, |hash, target| fnv(hash, &target.to_le_bytes()));
    let everyone: Vec<usize> = (0..source.points()).collect();
    for chunk in everyone.chunks(CHUNK) {
        let inputs = source.inputs_at(chunk)?;
        hash = inputs.dims().iter().fold(hash, |hash, size| whole(hash, *size));
        let numbers = inputs.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?;
        let numbers = numbers.to_vec1::<f64>()?;
        hash = numbers.iter().fold(hash, |hash, number| fnv(hash, &number.to_le_bytes()));
    }
    Ok(format!("{hash:016x}"))
}
