//! One array of numbers or text in a stream of bytes, as `.npy` and `.safetensors` keep it.

use std::io::{ErrorKind, Read};
use std::path::Path;

use half::{bf16, f16};

use crate::data::table::{Amount, Columns, Extent, Found, Key, Role, file_error};
use crate::error::{Error, Result};

/// Bytes read at a time, about.
const BLOCK: usize = 1 << 16;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Bool,
    F16,
    Bf16,
    F32,
    F64,
    /// Whole numbers of so many bytes: 1, 2, 4 or 8.
    Signed(usize),
    Unsigned(usize),
    /// Text of so many bytes, filled up with zeros.
    Bytes(usize),
    /// Text of so many characters of four bytes each, filled up with zeros.
    Utf32(usize),
}

/// An array whose elements are about to be read.
pub(crate) struct Array<'a> {
    pub(crate) path: &'a Path,
    /// What the array is called in messages.
    pub(crate) name: &'a str,
    pub(crate) element: Element,
    pub(crate) big_endian: bool,
    pub(crate) shape: Vec<usize>,
    /// The first dimension runs fastest.
    pub(crate) fortran: bool,
    pub(crate) bytes: Box<dyn Read + 'a>,
    /// Where they begin in the file, if they are there as they come.
    pub(crate) offset: Option<u64>,
    /// The array has at most so many bytes: a bound that the file backs, not its header.
    pub(crate) available: u64,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Signed(size) | Self::Unsigned(size) | Self::Bytes(size) => size,
            Self::Utf32(characters) => characters.saturating_mul(4),
        }
    }

    /// The number in `bytes`, most significant byte last. Text is no number.
    fn real(self, bytes: &[u8]) -> f64 {
        match (self, bytes) {
            (Self::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f64(),
            (Self::Bf16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f64(),
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]).into(),
            (Self::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => self.whole(bytes).map_or(f64::NAN, |number| number as f64),
        }
    }

    /// The whole number in `bytes`, if that is what they hold by type.
    fn whole(self, bytes: &[u8]) -> Option<i128> {
        let signed = match self {
            Self::Bool | Self::Unsigned(_) => false,
            Self::Signed(_) => true,
            _ => return None,
        };
        let negative = signed && bytes.last().is_some_and(|&byte| byte >> 7 == 1);
        let start = if negative { -1 } else { 0 };
        Some(bytes.iter().rev().fold(start, |number, &byte| (number << 8) | i128::from(byte)))
    }

    fn key(self, bytes: &[u8]) -> Found {
        match (self, bytes) {
            (Self::Bytes(_), _) => {
                let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                Key::bytes(&bytes[..length])
            }
            (Self::Utf32(_), _) => {
                let code = |four: &[u8]| four.iter().rev().fold(0, |c, &b| (c << 8) | u32::from(b));
                let text: Option<String> =
                    bytes.chunks_exact(4).map(|four| char::from_u32(code(four))).collect();
                let text = text.ok_or("a code that is no character")?;
                Key::text(text.trim_end_matches('\0'))
            }
            (Self::F16, &[a, b]) => Key::real(f16::from_le_bytes([a, b]).to_f32(), 11),
            (Self::Bf16, &[a, b]) => Key::real(bf16::from_le_bytes([a, b]).to_f32(), 8),
            (Self::F32, &[a, b, c, d]) => Key::real(f32::from_le_bytes([a, b, c, d]), 24),
            _ => match self.whole(bytes) {
                Some(number) => Ok(Key::Number(number)),
                None => Key::real(self.real(bytes), 53),
            },
        }
    }
}

impl Array<'_> {
    /// Reads the features, (rows, columns) row by row, and gives the number of columns.
    pub(crate) fn into_features(self, columns: &mut Columns) -> Result<usize> {
        let (rows, width) = self.rows_and_columns()?;
        if matches!(self.element, Element::Bytes(_) | Element::Utf32(_)) {
            return Err(self.error("numbers", "text".to_owned()));
        }
        let (element, fortran) = (self.element, self.fortran);
        let as_stored = element == Element::F32 && !self.big_endian && !fortran;
        if columns.leaves(self.offset.filter(|_| as_stored)) {
            if fortran {
                return Err(self.error("rows one after the other", "Fortran order".to_owned()));
            }
            self.each(|_, bytes| {
                columns.values.push(element.real(bytes) as f32);
                columns.spill(width)
            })?;
            return Ok(width);
        }
        columns.values = vec![0.0; self.count()?];
        self.each(|at, bytes| {
            let at = if fortran { at % rows * width + at / rows } else { at };
            columns.values[at] = element.real(bytes) as f32;
            Ok(())
        })?;
        Ok(width)
    }

    /// By its header.
    pub(crate) fn extent(self) -> Result<Extent> {
        self.count()?;
        let (rows, features) = self.rows_and_columns()?;
        Ok(Extent { rows, features, at_once: 0, text: false, exact: true })
    }

    fn rows_and_columns(&self) -> Result<(usize, usize)> {
        match self.shape[..] {
            [rows, width] => Ok((rows, width)),
            _ => Err(self.error("an array (rows, columns)", format!("shape {:?}", self.shape))),
        }
    }

    /// Reads labels or groups.
    pub(crate) fn into_keys(self, role: Role, columns: &mut Columns) -> Result<()> {
        let element = self.element;
        self.check_single()?.each(|_, bytes| columns.push_key(role, element.key(bytes)))
    }

    /// Reads costs or targets.
    pub(crate) fn into_amounts(self, amount: Amount, columns: &mut Columns) -> Result<()> {
        let element = self.element;
        self.check_single()?.each(|_, bytes| {
            columns.push_amount(amount, element.real(bytes));
            Ok(())
        })
    }

    fn check_single(self) -> Result<Self> {
        match self.shape[..] {
            [_] | [_, 1] => Ok(self),
            _ => Err(self.error("an array of one dimension", format!("shape {:?}", self.shape))),
        }
    }

    /// Number of elements, once it is clear that the file has room for them.
    fn count(&self) -> Result<usize> {
        let size = self.element.size() as u64;
        let count = self.shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side));
        let bytes = count.and_then(|count| (count as u64).checked_mul(size));
        match (count, bytes) {
            (Some(count), Some(bytes)) if bytes <= self.available && size > 0 => Ok(count),
            _ => {
                let expected = format!("an array of shape {:?}, {size} bytes each", self.shape);
                Err(self.error(&expected, format!("at most {} bytes of it", self.available)))
            }
        }
    }

    /// Calls `use_element` with the position and the bytes, most significant last, of every element
    /// in the order of the file; then nothing may be left.
    fn each(mut self, mut use_element: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        let (count, size) = (self.count()?, self.element.size());
        let at_once = (BLOCK / size).max(1);
        // Of text, characters are turned round, not the whole.
        let unit = match self.element {
            Element::Bytes(_) => 1,
            Element::Utf32(_) => 4,
            _ => size,
        };
        let mut block = vec![0; at_once.min(count) * size];
        for start in (0..count).step_by(at_once) {
            let block = &mut block[..at_once.min(count - start) * size];
            self.bytes.read_exact(block).map_err(|source| self.broken(source))?;
            if self.big_endian {
                block.chunks_mut(unit).for_each(<[u8]>::reverse);
            }
            for (k, bytes) in block.chunks(size).enumerate() {
                use_element(start + k, bytes)?;
            }
        }
        // Reading to the end also makes an archive check its checksum.
        match self.bytes.read(&mut [0]).map_err(|source| self.broken(source))? {
            0 => Ok(()),
            _ => Err(self.error(&format!("{count} elements"), "more bytes than that".to_owned())),
        }
    }

    fn broken(&self, source: std::io::Error) -> Error {
        if source.raw_os_error().is_some() {
            return Error::io(self.path, source);
        }
        let found = match source.kind() {
            ErrorKind::UnexpectedEof => "a truncated file".to_owned(),
            _ => source.to_string(),
        };
        self.error(&format!("an array of shape {:?}", self.shape), found)
    }

    fn error(&self, expected: &str, found: String) -> Error {
        file_error(self.path, format!("{expected} in {:?}", self.name), found)
    }
}
