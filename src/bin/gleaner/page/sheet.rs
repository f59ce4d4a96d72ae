//! A table of results, as it was written, or as it is read back.

use std::fs::File;
use std::path::Path;

use gleaner::report::html::Cells;
use gleaner::{Error, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::output::Column;

/// Columns of text, whatever they hold, of one length.
pub struct Sheet {
    names: Vec<String>,
    columns: Vec<Vec<String>>,
}

impl Sheet {
    pub fn of(columns: &[Column]) -> Self {
        let cells = |column: &Column| -> Vec<String> {
            (0..column.values.len()).map(|row| column.values.cell(row)).collect()
        };
        Self {
            names: columns.iter().map(|column| column.name.clone()).collect(),
            columns: columns.iter().map(cells).collect(),
        }
    }

    /// # Errors
    /// [`Error::File`] for another kind of file, or one that is not as it was written.
    pub fn read(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => csv(path),
            Some("parquet") => parquet(path),
            Some("npy") => npy(path),
            _ => Err(malformed(path, "another kind of file")),
        }
    }

    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&[String]> {
        let at = self.names.iter().position(|known| known == name)?;
        Some(&self.columns[at])
    }

    /// The rows' names: their ids or numbers, with their file where there are several.
    pub fn row_name(&self, row: usize) -> String {
        let cell = |name: &str| self.column(name).map(|cells| cells[row].as_str());
        match (cell("id"), cell("file"), cell("row")) {
            (Some(id), _, _) => id.to_owned(),
            (_, Some(file), Some(row)) => format!("{file}:{row}"),
            (_, _, row) => row.unwrap_or_default().to_owned(),
        }
    }

    /// Some rows of a column for a page: as numbers where all are.
    pub fn cells(&self, name: &str, rows: &[usize]) -> Option<Cells> {
        let column = self.column(name)?;
        let numbers: Option<Vec<f64>> = rows.iter().map(|r| column[*r].parse().ok()).collect();
        let text = || rows.iter().map(|r| column[*r].clone()).collect();
        Some(match numbers {
            Some(numbers) if !["id", "label", "likely"].contains(&name) => Cells::Number(numbers),
            _ => Cells::Text(text()),
        })
    }
}

fn malformed(path: &Path, found: impl ToString) -> Error {
    Error::File {
        path: path.to_path_buf(),
        expected: "the table that the run wrote, .csv, .parquet or .npy".into(),
        found: found.to_string(),
    }
}

fn csv(path: &Path) -> Result<Sheet> {
    let mut reader = csv::Reader::from_reader(open(path)?);
    let header = reader.headers().map_err(|error| malformed(path, error))?;
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let mut columns = vec![Vec::new(); names.len()];
    for record in reader.records() {
        let record = record.map_err(|error| malformed(path, error))?;
        // The reader refuses rows of another length.
        columns.iter_mut().zip(&record).for_each(|(column, cell)| column.push(cell.to_owned()));
    }
    Ok(Sheet { names, columns })
}

fn parquet(path: &Path) -> Result<Sheet> {
    let reader = SerializedFileReader::new(open(path)?).map_err(|error| malformed(path, error))?;
    let fields = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut columns = vec![Vec::new(); names.len()];
    let rows = reader.get_row_iter(None).map_err(|error| malformed(path, error))?;
    for row in rows {
        let row = row.map_err(|error| malformed(path, error))?;
        for (column, (_, field)) in columns.iter_mut().zip(row.get_column_iter()) {
            column.push(match field {
                Field::Str(text) => text.clone(),
                other => other.to_string(),
            });
        }
    }
    Ok(Sheet { names, columns })
}

/// The rows alone: what else there is lies in files of its own.
fn npy(path: &Path) -> Result<Sheet> {
    let array = npyz::NpyFile::new(std::io::BufReader::new(open(path)?));
    let rows = array.and_then(npyz::NpyFile::into_vec::<i64>);
    let rows = rows.map_err(|error| malformed(path, error))?;
    let column = rows.iter().map(i64::to_string).collect();
    Ok(Sheet { names: vec!["row".into()], columns: vec![column] })
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| Error::io(path, source))
}
