//! Tables: as CSV for other programs, as aligned text for people.

use std::io::BufWriter;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a CSV file: the header, then the rows as they come.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("results/accuracy.csv");
/// let rows = [("random", 0.71), ("k-center", 0.84)].map(|(name, x)| vec![name.into(), x.to_string()]);
/// gleaner::report::write_csv(&path, &["strategy", "accuracy"], rows.into_iter())?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "strategy,accuracy\nrandom,0.71\nk-center,0.84\n");
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the header is empty or a row has another length, [`Error::Io`] if the system
/// refuses. An older file at `path` is then untouched.
pub fn write_csv(
    path: impl AsRef<Path>,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<()> {
    let path = path.as_ref();
    if header.is_empty() {
        return Err(Error::shape("header", "at least one column", 0));
    }
    super::write_report(path, |file| {
        let mut table = csv::Writer::from_writer(BufWriter::new(file));
        table.write_record(header).map_err(|error| csv_error(path, error))?;
        for row in rows {
            if row.len() != header.len() {
                return Err(Error::shape("row of the table", header.len(), row.len()));
            }
            table.write_record(&row).map_err(|error| csv_error(path, error))?;
        }
        table.flush().map_err(|source| Error::io(path, source))
    })
}

/// A table in plain text: columns aligned by spaces, a rule under the header, no trailing blanks.
///
/// A column whose cells all start like a number is aligned right, any other one left. Short rows
/// are filled with empty cells; cells beyond the header get an empty heading.
///
/// ```
/// let rows = [vec!["random".into(), "71.0 %".into()], vec!["k-center".into(), "4.5 %".into()]];
/// let table = gleaner::report::text_table(&["strategy", "accuracy"], &rows);
/// assert_eq!(table, "\
/// strategy  accuracy
/// --------  --------
/// random      71.0 %
/// k-center     4.5 %
/// ");
/// ```
pub fn text_table(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).chain([header.len()]).max().unwrap_or(0);
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let widths: Vec<usize> = (0..columns)
        .map(|k| rows.iter().chain([&header]).map(|row| cell(row, k).chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let numeric: Vec<bool> =
        (0..columns).map(|k| rows.iter().all(|row| starts_like_number(&cell(row, k)))).collect();
    let line = |row: &[String]| {
        let cells: Vec<String> = (0..columns)
            .map(|k| match numeric[k] {
                true => format!("{:>width$}", cell(row, k), width = widths[k]),
                false => format!("{:<width$}", cell(row, k), width = widths[k]),
            })
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    let mut table = line(&header) + &line(&rule);
    table.extend(rows.iter().map(|row| line(row)));
    table
}

fn starts_like_number(cell: &str) -> bool {
    let unsigned = cell.trim_start().trim_start_matches(['-', '+', '−', '±', '.']);
    cell.trim().is_empty() || unsigned.starts_with(|first: char| first.is_ascii_digit())
}

fn csv_error(path: &Path, error: csv::Error) -> Error {
    let found = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::io(path, source),
        _ => Error::File {
            path: path.to_path_buf(),
            expected: "a table that can be written".to_owned(),
            found,
        },
    }
}
