//! Arrays as NumPy saves them: `.npy` files, and `.npz` archives of such.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

use crate::data::table::array::{Array, Element};
use crate::data::table::{Columns, Extent, Features, Roles, TableOptions, file_error};
use crate::error::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header accepted. NumPy pads to about a hundred bytes, and itself refuses 10,000.
const LONGEST_HEADER: usize = 10_000;

/// DEFLATE turns one byte into at most 1,032.
const MOST_FROM_ONE_BYTE: u64 = 1032;

/// Features from the array at `path`; labels, groups and costs from files beside it.
pub(super) fn read(path: &Path, options: &TableOptions, columns: &mut Columns) -> Result<Features> {
    let width = open(path, "features")?.into_features(columns)?;
    let beside = |name: &String| path.with_file_name(format!("{name}.npy"));
    for (role, name) in options.keys() {
        open(&beside(name), name)?.into_keys(role, columns)?;
    }
    for (amount, name) in options.amounts() {
        open(&beside(name), name)?.into_amounts(amount, columns)?;
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok((width, vec![name]))
}

/// Everything from the arrays of one archive.
pub(super) fn read_archive(
    path: &Path,
    options: &TableOptions,
    columns: &mut Columns,
) -> Result<Features> {
    let mut archive = Archive::open(path)?;
    let roles = Roles::new(path, &archive.names, &[], options)?;
    let features = roles.feature_array(path, &archive.names)?;

    let width = archive.array(features, |array| array.into_features(columns))?;
    for &(role, at) in &roles.keys {
        archive.array(at, |array| array.into_keys(role, columns))?;
    }
    for &(amount, at) in &roles.amounts {
        archive.array(at, |array| array.into_amounts(amount, columns))?;
    }
    Ok((width, vec![archive.names[features].clone()]))
}

/// By the header of the array at `path`.
pub(crate) fn extent(path: &Path) -> Result<Extent> {
    open(path, "features")?.extent()
}

/// By the header of the features.
pub(crate) fn extent_of_archive(path: &Path, options: &TableOptions) -> Result<Extent> {
    let mut archive = Archive::open(path)?;
    let roles = Roles::new(path, &archive.names, &[], options)?;
    let features = roles.feature_array(path, &archive.names)?;
    archive.array(features, |array| array.extent())
}

/// An archive of arrays.
struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    files: Vec<String>,
    names: Vec<String>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let broken = |error| broken(path, error);
        let file = BufReader::new(File::open(path).map_err(|source| Error::io(path, source))?);
        let zip = ZipArchive::new(file).map_err(broken)?;
        let files = zip.file_names().map(|name| Ok(name?.into_owned()));
        let files: Vec<String> = files.collect::<zip::result::ZipResult<_>>().map_err(broken)?;
        let name = |file: &String| file.strip_suffix(".npy").unwrap_or(file).to_owned();
        let names = files.iter().map(name).collect();
        Ok(Self { path, zip, files, names })
    }

    fn array<T>(&mut self, at: usize, take: impl FnOnce(Array) -> Result<T>) -> Result<T> {
        let entry = self.zip.by_name(&self.files[at]).map_err(|error| broken(self.path, error))?;
        let most = entry.compressed_size().saturating_mul(MOST_FROM_ONE_BYTE);
        let size = entry.size().min(most);
        let array = parse(self.path, &self.names[at], Box::new(entry), size)?;
        take(Array { offset: None, ..array })
    }
}

fn broken(path: &Path, error: zip::result::ZipError) -> Error {
    match error {
        zip::result::ZipError::Io(source) if source.raw_os_error().is_some() => {
            Error::io(path, source)
        }
        other => file_error(path, "an archive of arrays", other.to_string()),
    }
}

fn open<'a>(path: &'a Path, name: &'a str) -> Result<Array<'a>> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let size = file.metadata().map_err(|source| Error::io(path, source))?.len();
    parse(path, name, Box::new(BufReader::new(file)), size)
}

/// The array whose header comes next in `bytes`, `size` bytes with the header.
fn parse<'a>(
    path: &'a Path,
    name: &'a str,
    mut bytes: Box<dyn Read + 'a>,
    size: u64,
) -> Result<Array<'a>> {
    let refused =
        |found: &str| file_error(path, format!("an array saved by NumPy in {name:?}"), found);
    let mut read = |count: usize| {
        let mut part = vec![0; count];
        bytes.read_exact(&mut part).map(|()| part).map_err(|_| refused("a truncated header"))
    };
    let start = read(MAGIC.len() + 2)?;
    if start[..MAGIC.len()] != MAGIC[..] {
        return Err(refused("other bytes at the start"));
    }
    let length_bytes = match start[MAGIC.len()] {
        1 => 2,
        2 | 3 => 4,
        version => return Err(refused(&format!("format version {version}"))),
    };
    let length =
        read(length_bytes)?.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    if length > LONGEST_HEADER {
        return Err(refused(&format!("a header of {length} bytes")));
    }
    let header = read(length)?;
    let header_size = MAGIC.len() + 2 + length_bytes + length;
    let header = String::from_utf8_lossy(&header);
    let fields = Fields::parse(&header)
        .ok_or_else(|| refused(&format!("a header that makes no sense: {}", header.trim())))?;
    let element =
        fields.element().ok_or_else(|| refused(&format!("elements {:?}", fields.kind)))?;
    Ok(Array {
        path,
        name,
        element,
        big_endian: fields.kind.starts_with('>'),
        shape: fields.shape,
        fortran: fields.fortran,
        bytes,
        offset: Some(header_size as u64),
        available: size.saturating_sub(header_size as u64),
    })
}

/// The header of an array: a Python dictionary of three entries, such as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }`.
struct Fields<'a> {
    kind: &'a str,
    fortran: bool,
    shape: Vec<usize>,
}

impl<'a> Fields<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let value = |key: &str| {
            let (_, rest) = header.split_once(key)?;
            Some(rest.trim_start().strip_prefix(':')?.trim_start())
        };
        let kind = value("'descr'")?.strip_prefix('\'')?.split_once('\'')?.0;
        let order = value("'fortran_order'")?;
        let fortran = order.starts_with("True");
        if !fortran && !order.starts_with("False") {
            return None;
        }
        let sides = value("'shape'")?.strip_prefix('(')?.split_once(')')?.0;
        let sides = sides.split(',').map(str::trim).filter(|side| !side.is_empty());
        let shape = sides.map(|side| side.parse().ok()).collect::<Option<_>>()?;
        Some(Self { kind, fortran, shape })
    }

    fn element(&self) -> Option<Element> {
        let rest = self.kind.strip_prefix(['<', '>', '|', '=']).unwrap_or(self.kind);
        let letter = rest.chars().next()?;
        let size: usize = rest.get(letter.len_utf8()..)?.parse().ok()?;
        Some(match (letter, size) {
            ('b', 1) => Element::Bool,
            ('f', 2) => Element::F16,
            ('f', 4) => Element::F32,
            ('f', 8) => Element::F64,
            ('i', 1 | 2 | 4 | 8) => Element::Signed(size),
            ('u', 1 | 2 | 4 | 8) => Element::Unsigned(size),
            ('S', 1..) => Element::Bytes(size),
            ('U', 1..) => Element::Utf32(size),
            _ => return None,
        })
    }
}
