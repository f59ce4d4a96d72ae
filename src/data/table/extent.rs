//! How large a table is, by its header and its first rows.

use std::path::Path;

use super::{TableOptions, csv, npy, safetensors};
use crate::error::Result;

/// How many rows and features a table has.
///
/// # Example
/// ```
/// use gleaner::data::table::{TableOptions, extent};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train.csv");
/// std::fs::write(&path, "x,sex,label\n0.5,f,cat\n1.5,m,dog\n2.5,f,dog\n").unwrap();
///
/// let options = TableOptions { categories: Some(Default::default()), ..Default::default() };
/// let found = extent(&path, &options)?;
/// assert_eq!((found.rows, found.features, found.exact), (3, 3, true)); // x, sex=f, sex=m
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extent {
    /// Rows, malformed ones too.
    pub rows: usize,
    /// Features, with those that text columns become.
    pub features: usize,
    /// Rows that are in memory together while the table is [stored](super::store): of `.parquet` the longest group, else none
    /// to speak of.
    pub at_once: usize,
    /// Whether some feature is text, by the rows that were looked at.
    pub text: bool,
    /// Whether both numbers are known, if no row is malformed; otherwise a text file's rows are as long as its first ones, and its
    /// text columns have no more values.
    pub exact: bool,
}

/// The size of the table at `path`, which [`load`](super::load) with these options would read.
///
/// # Cost
/// Headers of arrays and the text columns of the first row group of `.parquet` are read, and a first mebibyte of text.
///
/// # Errors
/// As [`load`](super::load), as far as it looks.
pub fn extent(path: impl AsRef<Path>, options: &TableOptions) -> Result<Extent> {
    options.check()?;
    let path = path.as_ref();
    match super::Form::of(path, options)? {
        super::Form::Text { delimiter, compressed } => {
            csv::extent(path, &TableOptions { delimiter, ..options.clone() }, compressed)
        }
        super::Form::Array => npy::extent(path),
        super::Form::Archive => npy::extent_of_archive(path, options),
        super::Form::Tensors => safetensors::extent(path, options),
        #[cfg(feature = "parquet")]
        super::Form::Parquet => super::parquet::extent(path, options),
    }
}
