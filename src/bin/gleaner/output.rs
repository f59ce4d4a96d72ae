//! Columns to files: whole, or not at all.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use gleaner::report::{write_csv, write_report};
use gleaner::{Error, Result};
use npyz::WriterBuilder;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use serde_json::Value;

/// A column of a result.
pub struct Column {
    pub name: String,
    pub values: Values,
}

pub enum Values {
    Whole(Vec<i64>),
    Real(Vec<f64>),
    Text(Vec<String>),
    /// Few texts, each of which stands in many rows.
    Named {
        names: Vec<String>,
        ids: Vec<u32>,
    },
    Truth(Vec<bool>),
}

impl Column {
    pub fn new(name: impl Into<String>, values: Values) -> Self {
        Self { name: name.into(), values }
    }
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(values) => values.len(),
            Self::Real(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Named { ids, .. } => ids.len(),
            Self::Truth(values) => values.len(),
        }
    }

    pub fn cell(&self, row: usize) -> String {
        match self {
            Self::Whole(values) => values[row].to_string(),
            Self::Real(values) => values[row].to_string(),
            Self::Text(values) => values[row].clone(),
            Self::Named { names, ids } => names[ids[row] as usize].clone(),
            Self::Truth(values) => values[row].to_string(),
        }
    }
}

/// What a file of results may be called, before any work is done.
pub fn check(path: &Path) -> Result<()> {
    match ending(path) {
        "csv" | "npy" | "parquet" => Ok(()),
        _ => Err(Error::File {
            path: path.to_path_buf(),
            expected: "a name that ends in .csv, .npy or .parquet".into(),
            found: "another one".into(),
        }),
    }
}

fn ending(path: &Path) -> &str {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

/// Writes columns of one length; of `.npy`, only the first, and every other but text as `FILE.NAME.npy` beside it; files and
/// classes have numbers there, by their order in the report.
pub fn write(path: &Path, columns: &[Column]) -> Result<()> {
    match ending(path) {
        "npy" => {
            let numbers = columns.iter().filter(|c| !matches!(c.values, Values::Text(_)));
            for (k, column) in numbers.enumerate() {
                let beside = path.with_extension(format!("{}.npy", column.name));
                write_array(if k == 0 { path } else { &beside }, &column.values)?;
            }
            Ok(())
        }
        "parquet" => write_parquet(path, columns),
        _ => {
            let header: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let rows = columns.first().map_or(0, |column| column.values.len());
            let row = |r: usize| columns.iter().map(|column| column.values.cell(r)).collect();
            write_csv(path, &header, (0..rows).map(row))
        }
    }
}

/// Writes a report beside other results.
pub fn write_json(path: &Path, report: &Value) -> Result<()> {
    write_report(path, |file| {
        let text = serde_json::to_string_pretty(report).unwrap_or_default();
        writeln!(file, "{text}").map_err(|source| refused(path, source))
    })
}

pub fn stdout_error(source: std::io::Error) -> Error {
    refused(Path::new("standard output"), source)
}

fn refused(path: &Path, source: std::io::Error) -> Error {
    Error::io(path, source)
}

fn write_array(path: &Path, values: &Values) -> Result<()> {
    write_report(path, |file| {
        let written = match values {
            Values::Whole(values) => array(file, values),
            Values::Real(values) => array(file, values),
            Values::Truth(values) => array(file, values),
            Values::Named { ids, .. } => array(file, ids),
            Values::Text(_) => Ok(()), // the caller's to leave out
        };
        written.map_err(|source| refused(path, source))
    })
}

fn array<T: npyz::AutoSerialize + Copy>(file: &mut File, values: &[T]) -> std::io::Result<()> {
    let options = npyz::WriteOptions::new().default_dtype().shape(&[values.len() as u64]);
    let mut writer = options.writer(file).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()
}

fn write_parquet(path: &Path, columns: &[Column]) -> Result<()> {
    let wrong = |error: parquet::errors::ParquetError| Error::File {
        path: path.to_path_buf(),
        expected: "a table that can be written".into(),
        found: error.to_string(),
    };
    let fields = columns.iter().map(|column| field(column).map(Arc::new));
    let fields = fields.collect::<std::result::Result<Vec<_>, _>>().map_err(wrong)?;
    let schema = Type::group_type_builder("rows").with_fields(fields).build().map_err(wrong)?;
    write_report(path, |file| {
        let mut writer =
            SerializedFileWriter::new(file, Arc::new(schema), Default::default()).map_err(wrong)?;
        let mut group = writer.next_row_group().map_err(wrong)?;
        columns.iter().try_for_each(|column| fill(&mut group, &column.values)).map_err(wrong)?;
        group.close().map_err(wrong)?;
        writer.close().map_err(wrong)?;
        Ok(())
    })
}

fn field(column: &Column) -> parquet::errors::Result<Type> {
    let (physical, logical) = match column.values {
        Values::Whole(_) => (Physical::INT64, None),
        Values::Real(_) => (Physical::DOUBLE, None),
        Values::Text(_) | Values::Named { .. } => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Values::Truth(_) => (Physical::BOOLEAN, None),
    };
    let builder = Type::primitive_type_builder(&column.name, physical);
    builder.with_repetition(Repetition::REQUIRED).with_logical_type(logical).build()
}

fn fill(
    group: &mut SerializedRowGroupWriter<'_, &mut File>,
    values: &Values,
) -> parquet::errors::Result<()> {
    match values {
        Values::Whole(values) => put::<Int64Type>(group, values),
        Values::Real(values) => put::<DoubleType>(group, values),
        Values::Truth(values) => put::<BoolType>(group, values),
        Values::Text(values) => {
            let bytes: Vec<ByteArray> = values.iter().map(|text| text.as_str().into()).collect();
            put::<ByteArrayType>(group, &bytes)
        }
        Values::Named { names, ids } => {
            let names: Vec<ByteArray> = names.iter().map(|name| name.as_str().into()).collect();
            let bytes: Vec<ByteArray> = ids.iter().map(|id| names[*id as usize].clone()).collect();
            put::<ByteArrayType>(group, &bytes)
        }
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut File>,
    values: &[T::T],
) -> parquet::errors::Result<()> {
    let Some(mut column) = group.next_column()? else { return Ok(()) }; // one a field
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}
