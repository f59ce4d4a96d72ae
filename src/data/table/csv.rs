//! Tables of separated values with a header, plain or compressed with gzip.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::data::rows::{self, Complaint, Dialect, Rows, Scanned};
use crate::data::table::categories::MOST_VALUES;
use crate::data::table::coder::{Coder, Kind, MISSING, is_missing};
use crate::data::table::{
    Columns, Extent, Features, Key, Roles, TableOptions, file_error, is_unnamed_index,
};
use crate::error::{Error, Result};

pub(super) fn read(
    path: &Path,
    options: &TableOptions,
    compressed: bool,
    columns: &mut Columns,
) -> Result<Features> {
    let mut file = Csv::open(path, options, compressed)?;
    let roles = Roles::new(path, &file.names, &index(&file.names), options)?;
    let features: Vec<String> = roles.features.iter().map(|&at| file.names[at].clone()).collect();
    if let Some(categories) = &options.categories {
        categories.check_features(&features)?;
        columns.coder = match &categories.values {
            Some(values) => Coder::known(&features, values, categories),
            None => {
                let first_pass = Csv::open(path, options, compressed)?;
                let decimal_comma = options.decimal_comma;
                let kinds = first_pass.kinds(&roles, &categories.letters, decimal_comma)?;
                Coder::open(kinds, categories)
            }
        };
    }
    let width = columns.coder.width(features.len());
    for row in 0.. {
        match file.next()? {
            Scanned::End => break,
            Scanned::Row => {}
            Scanned::Broken(found) => {
                let place = format!("line {}", file.record.line);
                columns.fault(row, &place, "a row with whole quotes", &found)?;
            }
        }
        let (record, names, decimal_comma) = (&file.record, &file.names[..], options.decimal_comma);
        Row { record, row, names, decimal_comma }.read(&roles, columns)?;
        columns.spill(width)?;
    }
    Ok((width, features))
}

/// By the first rows.
pub(crate) fn extent(path: &Path, options: &TableOptions, compressed: bool) -> Result<Extent> {
    /// Bytes that are read.
    const SAMPLE: u64 = 1 << 20;
    let mut file = Csv::open(path, options, compressed)?;
    let roles = Roles::new(path, &file.names, &index(&file.names), options)?;
    let mut seen = vec![Seen::default(); roles.features.len()];
    let (mut rows, mut start, mut exact) = (0, None, true);
    while !matches!(file.next()?, Scanned::End) {
        let start = *start.get_or_insert(file.record.start);
        let read = file.record.start - start;
        if read > SAMPLE {
            let per_row = read as f64 / rows as f64;
            let bytes = text_size(path, compressed)?.saturating_sub(start);
            (rows, exact) = (((bytes as f64 / per_row).round() as usize).max(rows), false);
            break;
        }
        rows += 1;
        // Without categories text is malformed, and so is a row of another length.
        if let Some(categories) = &options.categories
            && file.record.ends.len() == file.names.len()
        {
            for (&at, seen) in roles.features.iter().zip(&mut seen) {
                let text = file.record.column(at).unwrap_or_default().trim();
                let is_letters = categories.letters.contains(&file.names[at]);
                seen.add(text, is_letters, options.decimal_comma);
            }
        }
    }
    let names: Vec<String> = roles.features.iter().map(|&at| file.names[at].clone()).collect();
    let known = options.categories.as_ref().and_then(|known| known.width(&names));
    let features = known.unwrap_or_else(|| seen.iter().map(Seen::features).sum());
    let text = seen.iter().any(|seen| seen.is_text);
    Ok(Extent { rows, features, at_once: 0, text, exact })
}

/// Bytes of the text: of a compressed file as it says, which is right up to 4 GiB of one piece.
fn text_size(path: &Path, compressed: bool) -> Result<u64> {
    let io = |source| Error::io(path, source);
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    if !compressed || size < 4 {
        return Ok(size);
    }
    let mut length = [0; 4];
    file.seek(SeekFrom::End(-4)).map_err(io)?;
    file.read_exact(&mut length).map_err(io)?;
    Ok(size.max(u32::from_le_bytes(length).into()))
}

/// What was met in a feature column.
#[derive(Clone, Default)]
struct Seen {
    is_text: bool,
    /// Values, or letters and their places.
    values: HashSet<(usize, String)>,
}

impl Seen {
    fn add(&mut self, text: &str, is_letters: bool, decimal_comma: bool) {
        if is_letters {
            self.is_text = true;
            self.values.extend(text.chars().map(String::from).enumerate());
        } else {
            self.is_text |= !is_missing(text) && number(text, decimal_comma).is_none();
            // More are refused when all is read.
            if self.values.len() <= MOST_VALUES {
                let value = if is_missing(text) { MISSING } else { text };
                self.values.insert((0, value.to_owned()));
            }
        }
    }

    fn features(&self) -> usize {
        if self.is_text { self.values.len() } else { 1 }
    }
}

/// A file behind its header.
struct Csv<'a> {
    path: &'a Path,
    lines: Rows<Box<dyn Read>>,
    names: Vec<String>,
    /// The row that was read last.
    record: rows::Row,
}

impl<'a> Csv<'a> {
    fn open(path: &'a Path, options: &TableOptions, compressed: bool) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let bytes: Box<dyn Read> = match compressed {
            true => Box::new(MultiGzDecoder::new(std::io::BufReader::new(file))),
            false => Box::new(file),
        };
        let mut lines = Rows::new(bytes, Dialect::table(options.delimiter));
        let names = header(path, &mut lines)?;
        Ok(Self { path, lines, names, record: rows::Row::default() })
    }

    /// Reads the next row; one whose quotes are broken has no fields.
    fn next(&mut self) -> Result<Scanned> {
        let read = |error| read_error(self.path, error);
        let scanned = self.lines.next(&mut self.record).map_err(read)?;
        if matches!(scanned, Scanned::Broken(_)) {
            // What follows is read line by line, so that one quote too few costs one row.
            self.lines.resume_behind_first_line(&self.record).map_err(read)?;
            self.record.ends.clear();
        }
        Ok(scanned)
    }

    /// What the features hold, by all rows with the right number of fields.
    fn kinds(
        mut self,
        roles: &Roles,
        letters: &[String],
        decimal_comma: bool,
    ) -> Result<Vec<Kind>> {
        let kind = |&at: &usize| match letters.contains(&self.names[at]) {
            true => Kind::Letters(0),
            false => Kind::Number,
        };
        let mut kinds: Vec<Kind> = roles.features.iter().map(kind).collect();
        while !matches!(self.next()?, Scanned::End) {
            if self.record.ends.len() != self.names.len() {
                continue;
            }
            for (&at, kind) in roles.features.iter().zip(&mut kinds) {
                let text = self.record.column(at).unwrap_or_default().trim();
                match kind {
                    Kind::Letters(0) => *kind = Kind::Letters(text.chars().count()),
                    Kind::Number if !is_missing(text) && number(text, decimal_comma).is_none() => {
                        *kind = Kind::Whole(format!("{text:?} in line {}", self.record.line));
                    }
                    _ => {}
                }
            }
        }
        for (&at, kind) in roles.features.iter().zip(&kinds) {
            if matches!(kind, Kind::Letters(0)) {
                let expected = format!("letters in column {:?}", self.names[at]);
                return Err(file_error(self.path, expected, "nothing in any row"));
            }
        }
        Ok(kinds)
    }
}

/// The number that is written as `text`.
fn number(text: &str, decimal_comma: bool) -> Option<f64> {
    match decimal_comma {
        // A point can only stand between thousands, where a number would be misread.
        true if text.contains('.') => None,
        true => text.replace(',', ".").parse().ok(),
        false => text.parse().ok(),
    }
}

/// The names of the columns.
fn header(path: &Path, lines: &mut Rows<Box<dyn Read>>) -> Result<Vec<String>> {
    let refused = |Complaint { expected, found }| file_error(path, expected, found);
    let read = |error| read_error(path, error);
    lines.skip_byte_order_mark().map_err(read)?.map_err(refused)?;
    let mut record = rows::Row::default();
    let expected = "a header with the names of the columns";
    match lines.next(&mut record).map_err(read)? {
        Scanned::Row => {}
        Scanned::End => return Err(file_error(path, expected, "an empty file")),
        Scanned::Broken(found) => {
            return Err(file_error(path, expected, format!("{found} in line {}", record.line)));
        }
    }
    let name = |at| record.column(at).map(|name| name.trim().to_owned()).map_err(refused);
    (0..record.ends.len()).map(name).collect()
}

/// The columns in which pandas, or R, has written what it calls the rows.
fn index(names: &[String]) -> Vec<usize> {
    let unnamed = names.iter().take_while(|name| name.is_empty()).count();
    match names.first() {
        Some(first) if is_unnamed_index(first) => vec![0],
        _ => (0..unnamed).collect(),
    }
}

/// One record, and where it stands.
struct Row<'a> {
    record: &'a rows::Row,
    row: usize,
    names: &'a [String],
    decimal_comma: bool,
}

impl Row<'_> {
    /// Adds one entry to every column, whatever is wrong.
    fn read(&self, roles: &Roles, columns: &mut Columns) -> Result<()> {
        if self.record.ends.len() != self.names.len() {
            let expected = format!("{} fields", self.names.len());
            let found = format!("{} fields", self.record.ends.len());
            columns.fault(self.row, &format!("line {}", self.record.line), &expected, &found)?;
        }
        for (feature, &at) in roles.features.iter().enumerate() {
            if columns.coder.is_text(feature) {
                let text = self.text(at, columns)?;
                columns.push_text(feature, text, self.row, || self.place(at))?;
                continue;
            }
            let value = self.number(at, columns, |value| (value as f32).is_finite())?;
            columns.values.push(value as f32);
        }
        for &(amount, at) in &roles.amounts {
            let number = self.number(at, columns, f64::is_finite)?;
            columns.push_amount(amount, number);
        }
        for &(role, at) in &roles.keys {
            let key = Key::text(self.text(at, columns)?.unwrap_or_default());
            columns.push_key_at(role, key, |_| self.place(at))?;
        }
        Ok(())
    }

    fn number(
        &self,
        at: usize,
        columns: &mut Columns,
        is_finite: impl Fn(f64) -> bool,
    ) -> Result<f64> {
        let text = self.text(at, columns)?.unwrap_or("no text");
        let number = number(text, self.decimal_comma).unwrap_or(f64::NAN);
        if !is_finite(number) {
            let found = format!("{text:?}");
            columns.fault(self.row, &self.place(at), "a finite number", &found)?;
        }
        Ok(number)
    }

    /// What stands in a column, without blanks around.
    fn text(&self, at: usize, columns: &mut Columns) -> Result<Option<&str>> {
        match self.record.bytes(at).map(rows::utf8).transpose() {
            Ok(text) => Ok(text.map(str::trim)),
            Err(Complaint { expected, found }) => {
                columns.fault(self.row, &self.place(at), &expected, &found)?;
                Ok(None)
            }
        }
    }

    fn place(&self, at: usize) -> String {
        format!("column {:?}, line {}", self.names[at], self.record.line)
    }
}

/// The system's errors as they are. Compressed bytes that make no sense or end too early are the
/// file's fault.
fn read_error(path: &Path, error: std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => Error::io(path, error),
        None => file_error(path, "a whole gzip file", error.to_string()),
    }
}
