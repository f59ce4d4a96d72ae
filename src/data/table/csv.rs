//! Tables of comma-separated values with a header, plain or compressed with gzip.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use csv::ByteRecord;
use flate2::read::MultiGzDecoder;

use crate::data::table::{Columns, Key, Role, Roles, Table, TableOptions, file_error, io_error};
use crate::error::{Error, Result};

pub(crate) fn load(path: &Path, options: &TableOptions, compressed: bool) -> Result<Table> {
    let file = BufReader::new(File::open(path).map_err(|source| io_error(path, source))?);
    let bytes: Box<dyn Read> =
        if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    // Records of any length come through, so that a wrong one can be left out.
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| csv_error(path, error))?;
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let roles = Roles::new(path, &names, options)?;
    let mut columns = Columns::new(path, options);
    let (mut record, mut row) = (ByteRecord::new(), 0);
    while reader.read_byte_record(&mut record).map_err(|error| csv_error(path, error))? {
        let line = record.position().map_or(0, csv::Position::line);
        Row { record: &record, row, line, names: &names }.read(&roles, &mut columns)?;
        row += 1;
    }
    let feature_names = roles.features.iter().map(|&at| names[at].clone()).collect();
    columns.finish(roles.features.len(), feature_names)
}

/// One record, and where it stands.
struct Row<'a> {
    record: &'a ByteRecord,
    row: usize,
    line: u64,
    names: &'a [String],
}

impl Row<'_> {
    /// Adds one entry to every column, whatever is wrong.
    fn read(&self, roles: &Roles, columns: &mut Columns) -> Result<()> {
        if self.record.len() != self.names.len() {
            let expected = format!("{} fields", self.names.len());
            let found = format!("{} fields", self.record.len());
            columns.fault(self.row, &format!("line {}", self.line), &expected, &found)?;
        }
        for &at in &roles.features {
            let value = self.number(at, columns)?;
            columns.values.push(value as f32);
        }
        if let Some(at) = roles.cost {
            let cost = self.number(at, columns)?;
            columns.costs.iter_mut().for_each(|costs| costs.push(cost));
        }
        for (role, at) in [(Role::Label, roles.label), (Role::Group, roles.group)] {
            if let Some(at) = at {
                let key = self.field(at).and_then(Key::text);
                columns.push_key_at(role, key, |_| self.place(at))?;
            }
        }
        Ok(())
    }

    fn number(&self, at: usize, columns: &mut Columns) -> Result<f64> {
        let text = self.field(at).unwrap_or("no text");
        let number: f64 = text.parse().unwrap_or(f64::NAN);
        if !(number as f32).is_finite() {
            let found = format!("{text:?}");
            columns.fault(self.row, &self.place(at), "a finite number", &found)?;
        }
        Ok(number)
    }

    fn field(&self, at: usize) -> Option<&str> {
        std::str::from_utf8(self.record.get(at)?).ok()
    }

    fn place(&self, at: usize) -> String {
        format!("column {:?}, line {}", self.names[at], self.line)
    }
}

/// The system's errors as they are, anything else as a fault of the file. Compressed bytes that make
/// no sense or end too early are the file's fault as well.
fn csv_error(path: &Path, error: csv::Error) -> Error {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) if source.raw_os_error().is_some() => io_error(path, source),
        _ => file_error(path, "comma-separated values", text),
    }
}
