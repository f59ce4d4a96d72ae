//! Tables of named tensors in `.safetensors` files.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};

use crate::data::table::array::{Array, Element};
use crate::data::table::{Columns, Extent, Features, Roles, TableOptions, file_error};
use crate::error::{Error, Result};

/// Bytes in front of the header that tell its length.
const LENGTH: u64 = 8;

pub(super) fn read(path: &Path, options: &TableOptions, columns: &mut Columns) -> Result<Features> {
    let file = Tensors::open(path)?;
    let names = file.names();
    let roles = Roles::new(path, &names, &[], options)?;
    let features = roles.feature_array(path, &names)?;
    let width = file.array(&names[features])?.into_features(columns)?;
    for &(role, at) in &roles.keys {
        file.array(&names[at])?.into_keys(role, columns)?;
    }
    for &(amount, at) in &roles.amounts {
        file.array(&names[at])?.into_amounts(amount, columns)?;
    }
    Ok((width, vec![names[features].clone()]))
}

/// By the header.
pub(crate) fn extent(path: &Path, options: &TableOptions) -> Result<Extent> {
    let file = Tensors::open(path)?;
    let names = file.names();
    let features = Roles::new(path, &names, &[], options)?.feature_array(path, &names)?;
    file.array(&names[features])?.extent()
}

/// A file whose header is read and agrees with its length.
struct Tensors<'a> {
    path: &'a Path,
    header: Metadata,
    /// Where the first tensor begins.
    start: u64,
}

impl<'a> Tensors<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let refused = |found: String| file_error(path, "named tensors", found);
        let io = |source| Error::io(path, source);
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut length = [0; LENGTH as usize];
        file.read_exact(&mut length).map_err(|_| refused(format!("only {size} bytes")))?;
        let start = LENGTH.saturating_add(u64::from_le_bytes(length));
        if start > size {
            return Err(refused(format!("{size} bytes, fewer than its header")));
        }
        let mut header = Vec::new();
        file.take(start - LENGTH).read_to_end(&mut header).map_err(io)?;
        // Read without the tensors, so that they need not be in memory; the offsets and shapes of
        // what comes out have been checked against each other.
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| refused(error.to_string()))?;
        let end = header.tensors().values().map(|info| info.data_offsets.1 as u64).max();
        let expected = start.saturating_add(end.unwrap_or(0));
        if expected != size {
            return Err(file_error(path, format!("{expected} bytes"), format!("{size} bytes")));
        }
        Ok(Self { path, header, start })
    }

    /// Sorted: the header has no order of its own.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.header.tensors().into_keys().collect();
        names.sort_unstable();
        names
    }

    fn array<'b>(&'b self, name: &'b str) -> Result<Array<'b>> {
        let unknown = || Error::Unknown {
            what: "tensor",
            expected: "another one".to_owned(),
            found: name.to_owned(),
        };
        let info = self.header.info(name).ok_or_else(unknown)?;
        let element = match info.dtype {
            Dtype::BOOL => Element::Bool,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            Dtype::I8 => Element::Signed(1),
            Dtype::I16 => Element::Signed(2),
            Dtype::I32 => Element::Signed(4),
            Dtype::I64 => Element::Signed(8),
            Dtype::U8 => Element::Unsigned(1),
            Dtype::U16 => Element::Unsigned(2),
            Dtype::U32 => Element::Unsigned(4),
            Dtype::U64 => Element::Unsigned(8),
            other => {
                let expected = format!("usual numbers in {name:?}");
                return Err(file_error(self.path, expected, format!("{other:?}")));
            }
        };
        let (from, to) = info.data_offsets;
        let available = to.saturating_sub(from) as u64;
        let io = |source| Error::io(self.path, source);
        let mut file = File::open(self.path).map_err(io)?;
        file.seek(SeekFrom::Start(self.start + from as u64)).map_err(io)?;
        Ok(Array {
            path: self.path,
            name,
            element,
            big_endian: false,
            shape: info.shape.clone(),
            fortran: false,
            bytes: Box::new(BufReader::new(file).take(available)),
            offset: Some(self.start + from as u64),
            available,
        })
    }
}
