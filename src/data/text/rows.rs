//! Rows of a CSV file of texts, one after the other, with where each begins.
//!
//! Not by the `csv` crate because that takes broken quoting as it comes: there, one quote too few makes
//! the rest of the file a single field.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// Bytes of a row. A longer one is malformed, most likely for want of a closing quote.
const LONGEST_ROW: usize = 16 << 20;

/// What is wrong with a row.
pub(crate) struct Complaint {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Complaint {
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

/// One row: its columns without quotes, one behind the other.
#[derive(Default)]
pub(crate) struct Row {
    bytes: Vec<u8>,
    /// Where each column ends.
    pub(crate) ends: Vec<usize>,
    /// Where in the file it begins, and in which line.
    pub(crate) start: u64,
    pub(crate) line: u64,
}

impl Row {
    pub(crate) fn column(&self, at: usize) -> std::result::Result<&str, Complaint> {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        std::str::from_utf8(&self.bytes[from..self.ends[at]])
            .map_err(|_| Complaint::new("UTF-8", format!("other bytes in column {}", at + 1)))
    }
}

/// How scanning a row ended.
pub(crate) enum Scanned {
    Row,
    /// Not a row, for this reason.
    Broken(&'static str),
    /// There are no more rows.
    End,
}

/// Where in a row the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// First of a column.
    Start,
    /// Inside a column without quotes.
    Bare,
    /// Inside quotes.
    Quoted,
    /// After a quote inside quotes: the end of the column, or the first of a doubled quote.
    Closed,
    /// After a carriage return behind a closing quote.
    Return,
}

/// The rows of a CSV file, one after the other.
pub(crate) struct Rows<R> {
    pub(crate) reader: R,
    delimiter: u8,
    /// Position and line of the next byte.
    offset: u64,
    line: u64,
}

impl<R: BufRead> Rows<R> {
    pub(crate) fn new(reader: R, delimiter: u8) -> Self {
        Self { reader, delimiter, offset: 0, line: 1 }
    }

    pub(crate) fn skip_byte_order_mark(&mut self) -> std::io::Result<()> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        if self.reader.fill_buf()?.starts_with(MARK) {
            self.reader.consume(MARK.len());
            self.offset = MARK.len() as u64;
        }
        Ok(())
    }

    /// Scans the next row that is not blank into `row`.
    pub(crate) fn next(&mut self, row: &mut Row) -> std::io::Result<Scanned> {
        loop {
            row.bytes.clear();
            row.ends.clear();
            (row.start, row.line) = (self.offset, self.line);
            let scanned = self.scan(row)?;
            let blank = matches!(scanned, Scanned::Row) && row.ends.is_empty();
            if !blank {
                return Ok(scanned);
            }
        }
    }

    /// Scans up to the end of the row; a blank line is a row without columns.
    fn scan(&mut self, row: &mut Row) -> std::io::Result<Scanned> {
        let mut place = Place::Start;
        loop {
            let buffer = self.reader.fill_buf()?;
            let at_end = buffer.is_empty();
            if at_end && place == Place::Start && row.ends.is_empty() {
                return Ok(Scanned::End);
            }
            let (used, scanned) = match at_end {
                true => (0, Some(finish(place, row))),
                false => advance(buffer, self.delimiter, &mut place, row),
            };
            self.line += buffer[..used].iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.offset += used as u64;
            self.reader.consume(used);
            if let Some(scanned) = scanned {
                return Ok(scanned);
            }
            if row.bytes.len() > LONGEST_ROW {
                return Ok(Scanned::Broken("a row of more than 16 MiB"));
            }
        }
    }
}

impl<R: BufRead + Seek> Rows<R> {
    /// Goes on with the line after the one `row` began in.
    pub(crate) fn resume_behind_first_line(&mut self, row: &Row) -> std::io::Result<()> {
        self.reader.seek(SeekFrom::Start(row.start))?;
        let skipped = self.reader.skip_until(b'\n')?;
        (self.offset, self.line) = (row.start + skipped as u64, row.line + 1);
        Ok(())
    }
}

impl<R: Read + Seek> Rows<BufReader<R>> {
    /// Goes on at `offset`, without a new read if that is in the buffer.
    pub(crate) fn move_to(&mut self, offset: u64) -> std::io::Result<()> {
        // Files are smaller than 2^63 bytes.
        self.reader.seek_relative(offset as i64 - self.offset as i64)?;
        self.offset = offset;
        Ok(())
    }
}

/// Scans `buffer` up to the end of the row, if it is in there: bytes used, and how the row ended.
fn advance(
    buffer: &[u8],
    delimiter: u8,
    place: &mut Place,
    row: &mut Row,
) -> (usize, Option<Scanned>) {
    let mut at = 0;
    while at < buffer.len() {
        let byte = buffer[at];
        at += 1;
        *place = match (*place, byte) {
            (Place::Quoted, b'"') => Place::Closed,
            (Place::Quoted, _) => {
                let run = buffer[at..].iter().take_while(|&&byte| byte != b'"').count();
                row.bytes.extend_from_slice(&buffer[at - 1..at + run]);
                at += run;
                Place::Quoted
            }
            (_, b'\n') => return (at, Some(finish(*place, row))),
            (Place::Start, b'"') => Place::Quoted,
            (Place::Bare, b'"') => return (at, Some(Scanned::Broken("a quote inside a column"))),
            (Place::Closed, b'"') => {
                row.bytes.push(b'"');
                Place::Quoted
            }
            (Place::Closed, b'\r') => Place::Return,
            (Place::Start | Place::Bare | Place::Closed, _) if byte == delimiter => {
                row.ends.push(row.bytes.len());
                Place::Start
            }
            (Place::Closed | Place::Return, _) => {
                return (at, Some(Scanned::Broken("text after a closing quote")));
            }
            (Place::Start | Place::Bare, _) => {
                row.bytes.push(byte);
                Place::Bare
            }
        };
    }
    (at, None)
}

/// What has been scanned when the line or the file ends at `place`.
fn finish(place: Place, row: &mut Row) -> Scanned {
    if place == Place::Quoted {
        return Scanned::Broken("no closing quote");
    }
    if place == Place::Bare && row.bytes.last() == Some(&b'\r') {
        row.bytes.pop(); // half of the line break
    }
    let blank = matches!(place, Place::Start | Place::Bare) && row.bytes.is_empty();
    if !(blank && row.ends.is_empty()) {
        row.ends.push(row.bytes.len());
    }
    Scanned::Row
}
