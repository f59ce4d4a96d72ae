//! Rows that a file names.

use std::path::Path;

use gleaner::{Error, Result};

/// Rows named in a CSV file, with their file where there is such a column, and other columns.
pub struct Listed {
    pub rows: Vec<(i64, Option<String>, Vec<String>)>,
}

impl Listed {
    pub fn read(path: &Path, others: &[&str]) -> Result<Self> {
        let wrong = |found: String| listed_wrong(path, found);
        let mut reader = csv::Reader::from_path(path).map_err(|error| wrong(error.to_string()))?;
        let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
        let at = |name: &str| header.iter().position(|column| column.trim() == name);
        let named = |name: &&str| at(name).ok_or_else(|| wrong(format!("no column {name}")));
        let (row, file) = (named(&"row")?, at("file"));
        let others = others.iter().map(named).collect::<Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| wrong(error.to_string()))?;
            let cell = |at: usize| record.get(at).unwrap_or_default().trim().to_owned();
            let number = cell(row).parse().map_err(|_| wrong(format!("row {:?}", cell(row))))?;
            rows.push((number, file.map(cell), others.iter().map(|at| cell(*at)).collect()));
        }
        Ok(Self { rows })
    }
}

/// Not such a file.
pub fn listed_wrong(path: &Path, found: String) -> Error {
    let expected = "a CSV file that names rows of the data in a column row".to_owned();
    Error::File { path: path.to_path_buf(), expected, found }
}
