//! Rows of a CSV file, one after the other, with where each begins.
//!
//! Not by the `csv` crate because that takes broken quoting as it comes: there, one quote too few makes
//! the rest of the file a single field.

use std::io::{ErrorKind, Read};
#[cfg(feature = "text")]
use std::io::{Seek, SeekFrom};

/// Bytes read at a time.
const BLOCK: usize = 1 << 14;

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    delimiter: u8,
    /// Whether a carriage return alone ends a line. `None`: if the first line ends so.
    returns: Option<bool>,
    /// A quote inside a column without quotes is text, and blanks may follow a closing quote.
    loose: bool,
    /// Bytes of a row, in MiB. A longer one is malformed, most likely for want of a closing quote.
    longest: usize,
}

impl Dialect {
    /// Of texts, in which a carriage return may be one more character.
    #[cfg(feature = "text")]
    pub(crate) fn texts(delimiter: u8) -> Self {
        Self { delimiter, returns: None, loose: false, longest: 16 }
    }

    /// Of tables, whose rows may have millions of columns.
    #[cfg(feature = "tables")]
    pub(crate) fn table(delimiter: u8) -> Self {
        Self { delimiter, returns: Some(true), loose: true, longest: 256 }
    }
}

/// Whether a byte can stand between two columns.
pub(crate) fn check_delimiter(what: &'static str, delimiter: u8) -> crate::Result<()> {
    if delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\n' | b'\r') {
        return Ok(());
    }
    let rule = "ASCII, no quote and no line break";
    Err(crate::Error::range(what, rule, f64::from(delimiter)))
}

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

/// The text in `bytes`, or which encoding they may have instead and what turns it into UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> std::result::Result<&str, Complaint> {
    std::str::from_utf8(bytes).map_err(|error| {
        // There is a byte that is not UTF-8, unless a character is cut off at the end.
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        Complaint::new(
            "UTF-8 (`iconv -f WINDOWS-1252 -t UTF-8 FILE` makes it from these)",
            format!("byte 0x{byte:02X}, as of Latin-1 or Windows-1252,"),
        )
    })
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
    /// The bytes of a column, if there is such a column.
    pub(crate) fn bytes(&self, at: usize) -> Option<&[u8]> {
        let from = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.bytes.get(from..*self.ends.get(at)?)
    }

    pub(crate) fn column(&self, at: usize) -> std::result::Result<&str, Complaint> {
        utf8(self.bytes(at).unwrap_or_default()).map_err(|Complaint { expected, found }| {
            Complaint::new(expected, format!("{found} in column {}", at + 1))
        })
    }
}

/// How scanning a row ended.
pub(crate) enum Scanned {
    Row,
    /// Not a row, for this reason.
    Broken(String),
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
    /// After a carriage return in or before such a column.
    Return,
    /// Inside quotes.
    Quoted,
    /// After a quote inside quotes: the end of the column, or the first of a doubled quote.
    Closed,
    /// After blanks behind a closing quote.
    Behind,
    /// After a carriage return behind a closing quote.
    ClosedReturn,
}

/// The rows of a CSV file, one after the other.
pub(crate) struct Rows<R> {
    reader: R,
    dialect: Dialect,
    /// Bytes of the file, at least from where the row begins to where the file has been read.
    held: Vec<u8>,
    /// Position in the file of the first of them.
    from: u64,
    /// Where among them the next byte is, and in which line.
    at: usize,
    line: u64,
}

impl<R: Read> Rows<R> {
    pub(crate) fn new(reader: R, dialect: Dialect) -> Self {
        Self { reader, dialect, held: Vec::new(), from: 0, at: 0, line: 1 }
    }

    /// At the start of the file: skips the mark of UTF-8; other marks are complained about.
    pub(crate) fn skip_byte_order_mark(
        &mut self,
    ) -> std::io::Result<std::result::Result<(), Complaint>> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        while self.held.len() < MARK.len() && self.fill()? > 0 {}
        if self.held.starts_with(MARK) {
            self.at = MARK.len();
        }
        // Without a mark, every second byte of UTF-16 is zero where the text is English.
        let wide = matches!(self.held[..], [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..])
            || matches!(self.held[..], [a, b, ..] if (a == 0) != (b == 0));
        let expected = "UTF-8 (`iconv -f UTF-16 -t UTF-8 FILE` makes it from UTF-16)";
        Ok(if wide { Err(Complaint::new(expected, "UTF-16 in line 1")) } else { Ok(()) })
    }

    /// Scans the next row that is not blank into `row`.
    pub(crate) fn next(&mut self, row: &mut Row) -> std::io::Result<Scanned> {
        loop {
            row.bytes.clear();
            row.ends.clear();
            self.forget();
            (row.start, row.line) = (self.from + self.at as u64, self.line);
            let scanned = self.scan(row)?;
            let blank = matches!(scanned, Scanned::Row) && row.ends.is_empty();
            if !blank {
                return Ok(scanned);
            }
        }
    }

    /// Scans up to the end of the row; a blank line is a row without columns.
    fn scan(&mut self, row: &mut Row) -> std::io::Result<Scanned> {
        let (begin, mut place) = (self.at, Place::Start);
        loop {
            if self.at == self.held.len() && self.fill()? == 0 {
                let nothing = self.at == begin;
                return Ok(if nothing { Scanned::End } else { finish(place, row) });
            }
            let (used, scanned) =
                advance(&self.held[self.at..], &mut self.dialect, &mut place, row);
            self.at += used;
            if let Some(scanned) = scanned {
                self.line += self.line_ends(&self.held[begin..self.at]);
                return Ok(scanned);
            }
            let longest = self.dialect.longest;
            if self.at - begin > longest << 20 {
                return Ok(Scanned::Broken(format!("a row of more than {longest} MiB")));
            }
        }
    }

    fn line_ends(&self, bytes: &[u8]) -> u64 {
        let feeds = bytes.iter().filter(|&&byte| byte == b'\n').count();
        let pair = |at: usize| bytes.get(at + 1) == Some(&b'\n');
        let returns = match self.dialect.returns {
            Some(true) => (0..bytes.len()).filter(|&at| bytes[at] == b'\r' && !pair(at)).count(),
            _ => 0,
        };
        (feeds + returns) as u64
    }

    /// Goes on with the line after the one `row`, the last one scanned, began in.
    pub(crate) fn resume_behind_first_line(&mut self, row: &Row) -> std::io::Result<()> {
        self.at = (row.start - self.from) as usize; // held from there on
        self.line = row.line + 1;
        while let Some(byte) = self.peek()? {
            self.at += 1;
            if byte == b'\n' {
                break;
            }
            if byte == b'\r' && self.dialect.returns != Some(false) {
                let feed = self.peek()? == Some(b'\n');
                self.at += usize::from(feed);
                self.dialect.returns.get_or_insert(!feed);
                break;
            }
        }
        Ok(())
    }

    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        if self.at == self.held.len() {
            self.forget();
            self.fill()?;
        }
        Ok(self.held.get(self.at).copied())
    }

    /// Drops what has been used, once it is the larger part: each byte is moved once, on average.
    fn forget(&mut self) {
        if self.at > self.held.len() / 2 {
            self.held.drain(..self.at);
            self.from += self.at as u64;
            self.at = 0;
        }
    }

    /// Reads on: how many bytes, 0 at the end of the file.
    fn fill(&mut self) -> std::io::Result<usize> {
        let before = self.held.len();
        self.held.resize(before + BLOCK, 0);
        let read = loop {
            match self.reader.read(&mut self.held[before..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.held.truncate(before + read.as_ref().copied().unwrap_or(0));
        read
    }
}

#[cfg(feature = "text")]
impl<R: Read + Seek> Rows<R> {
    /// Goes on at `offset`, without a new read if that is at hand.
    pub(crate) fn move_to(&mut self, offset: u64) -> std::io::Result<()> {
        let end = self.from + self.held.len() as u64;
        if (self.from..end).contains(&offset) {
            self.at = (offset - self.from) as usize;
            return Ok(());
        }
        self.held.clear();
        (self.from, self.at) = (self.reader.seek(SeekFrom::Start(offset))?, 0);
        Ok(())
    }

    /// How the file has turned out to be written.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }
}

/// Scans `buffer` up to the end of the row, if it is in there: bytes used, and how the row ended.
fn advance(
    buffer: &[u8],
    dialect: &mut Dialect,
    place: &mut Place,
    row: &mut Row,
) -> (usize, Option<Scanned>) {
    use Place::*;
    let (delimiter, loose) = (dialect.delimiter, dialect.loose);
    let broken = |at, why: &str| (at, Some(Scanned::Broken(why.to_owned())));
    let mut at = 0;
    while at < buffer.len() {
        let byte = buffer[at];
        at += 1;
        *place = match (*place, byte) {
            (Quoted, b'"') => Closed,
            (Quoted, _) => {
                at = run(buffer, at - 1, row, |byte| byte == b'"');
                Quoted
            }
            (_, b'\n') => {
                dialect.returns.get_or_insert(false);
                return (at, Some(finish(*place, row)));
            }
            (Return | ClosedReturn, _) if *dialect.returns.get_or_insert(true) => {
                return (at - 1, Some(finish(*place, row)));
            }
            (Return, _) => {
                row.bytes.push(b'\r');
                at -= 1;
                Bare
            }
            (Start | Bare, b'\r') => Return,
            (Closed | Behind, b'\r') => ClosedReturn,
            (Start, b'"') => Quoted,
            (Bare, b'"') if !loose => return broken(at, "a quote inside a column"),
            (Closed, b'"') => {
                row.bytes.push(b'"');
                Quoted
            }
            (Start | Bare | Closed | Behind, _) if byte == delimiter => {
                row.ends.push(row.bytes.len());
                Start
            }
            (Closed | Behind, b' ' | b'\t') if loose => Behind,
            (Closed | Behind | ClosedReturn, _) => return broken(at, "text after a closing quote"),
            (Start | Bare, _) => {
                row.bytes.push(byte);
                at = run(buffer, at, row, |byte| {
                    byte == delimiter || matches!(byte, b'"' | b'\r' | b'\n')
                });
                Bare
            }
        };
    }
    (at, None)
}

/// Takes what comes before the first byte that is special into the row: where that is.
fn run(buffer: &[u8], from: usize, row: &mut Row, special: impl Fn(u8) -> bool) -> usize {
    let length = buffer[from..].iter().position(|&byte| special(byte));
    let to = length.map_or(buffer.len(), |length| from + length);
    row.bytes.extend_from_slice(&buffer[from..to]);
    to
}

/// What has been scanned when the line or the file ends at `place`.
fn finish(place: Place, row: &mut Row) -> Scanned {
    if place == Place::Quoted {
        return Scanned::Broken("no closing quote".to_owned());
    }
    let bare = matches!(place, Place::Start | Place::Bare | Place::Return);
    if !(bare && row.bytes.is_empty() && row.ends.is_empty()) {
        row.ends.push(row.bytes.len());
    }
    Scanned::Row
}
