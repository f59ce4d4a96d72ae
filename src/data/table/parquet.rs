//! Tables in `.parquet` files, a column of a row group at a time.

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use half::f16;
use parquet::basic::{CompressionCodec, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::data::rows;
use crate::data::table::categories::MOST_VALUES;
use crate::data::table::coder::{Coder, Kind};
use crate::data::table::quiet::quietly;
use crate::data::table::{
    Columns, Extent, Features, Found, Key, Roles, TableOptions, file_error, is_unnamed_index,
};
use crate::error::{Error, Result};

/// Rows decoded at a time.
const AT_ONCE: usize = 4096;

pub(super) fn read(path: &Path, options: &TableOptions, columns: &mut Columns) -> Result<Features> {
    contained(path, || read_all(path, options, columns))
}

/// The parquet reader panics over some damaged files (its version 60 does): that is an error here.
/// Nothing that outlives such a panic is used again but `path`.
pub(crate) fn contained<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        let found = text.unwrap_or_else(|| "damage that stopped the reader".to_owned());
        Err(file_error(path, "a whole parquet file", found))
    })
}

fn read_all(path: &Path, options: &TableOptions, columns: &mut Columns) -> Result<Features> {
    let file = Rows::open(path)?;
    let names = file.names();
    let roles = Roles::new(path, &names, &file.index(&names), options)?;
    let features: Vec<String> = roles.features.iter().map(|&at| names[at].clone()).collect();
    if let Some(categories) = &options.categories {
        categories.check_features(&features)?;
        columns.coder = match &categories.values {
            Some(values) => Coder::known(&features, values, categories),
            None => Coder::open(file.kinds(&roles.features, &categories.letters)?, categories),
        };
    }
    for (feature, &at) in roles.features.iter().enumerate() {
        match columns.coder.is_text(feature) {
            true => file.check_single(at)?,
            false => file.check_number(at)?,
        }
    }
    roles.amounts.iter().try_for_each(|&(_, at)| file.check_number(at))?;
    let list = roles.features.iter().find(|&&at| file.column(at).max_rep_level() > 0).copied();
    if list.is_some() {
        roles.feature_array(path, &names)?;
    }
    let (mut lists, flat) = (Lists::default(), columns.coder.width(features.len()));
    for group in 0..file.groups() {
        let group = file.group(group)?;
        match list {
            Some(at) => lists.read(&file, &*group, at, columns)?,
            None => read_flat(&file, &*group, &roles.features, columns)?,
        }
        for &(role, at) in &roles.keys {
            file.check_single(at)?;
            file.cells(&*group, at, &mut |_, cell| columns.push_key(role, cell.key()))?;
        }
        for &(amount, at) in &roles.amounts {
            file.check_single(at)?;
            file.cells(&*group, at, &mut |_, cell| {
                columns.push_amount(amount, cell.real());
                Ok(())
            })?;
        }
        columns.spill(if list.is_some() { lists.width } else { flat })?;
    }
    Ok((if list.is_some() { lists.width } else { flat }, features))
}

/// By the header, and the text columns of the first group of rows.
pub(crate) fn extent(path: &Path, options: &TableOptions) -> Result<Extent> {
    contained(path, || {
        let file = Rows::open(path)?;
        let names = file.names();
        let roles = Roles::new(path, &names, &file.index(&names), options)?;
        let letters = options.categories.as_ref().map_or(&[][..], |c| &c.letters);
        let kinds = file.kinds(&roles.features, letters)?;
        let rows = file.reader.metadata().file_metadata().num_rows();
        let (mut features, mut exact) = (0, true);
        for (kind, &at) in kinds.iter().zip(&roles.features) {
            let is_list = file.column(at).max_rep_level() > 0;
            if !is_list && matches!(kind, Kind::Number) {
                features += 1;
            } else if file.groups() > 0 {
                let group = file.group(0)?;
                features += match is_list {
                    true => {
                        let meta = group.metadata();
                        let (values, rows) = (meta.column(at).num_values(), meta.num_rows());
                        usize::try_from(values / rows.max(1)).unwrap_or(0)
                    }
                    false => file.values(&*group, at, matches!(kind, Kind::Letters(_)))?,
                };
                exact &= !is_list && file.groups() == 1;
            }
        }
        let names: Vec<String> = roles.features.iter().map(|&at| names[at].clone()).collect();
        let known = options.categories.as_ref().and_then(|known| known.width(&names));
        let features = known.unwrap_or(features);
        let groups = file.reader.metadata().row_groups().iter().map(|group| group.num_rows());
        let whole = |rows: i64| usize::try_from(rows).unwrap_or(0);
        let at_once = groups.map(whole).max().unwrap_or(0);
        let text = kinds.iter().any(|kind| !matches!(kind, Kind::Number));
        Ok(Extent { rows: whole(rows), features, at_once, text, exact })
    })
}

/// Adds the rows of a group whose features have columns of their own.
fn read_flat(
    file: &Rows,
    group: &dyn RowGroupReader,
    features: &[usize],
    columns: &mut Columns,
) -> Result<()> {
    let (width, before) = (columns.coder.width(features.len()), columns.values.len());
    let mut from = 0;
    for (feature, &at) in features.iter().enumerate() {
        let mut column = Vec::new();
        match columns.coder.is_text(feature) {
            true => {
                let first = columns.gone + before / width;
                read_text(file, group, (feature, at), first, columns, &mut column)?;
            }
            false => file.cells(group, at, &mut |_, cell| {
                column.push(cell.real() as f32);
                Ok(())
            })?,
        }
        let codes = columns.coder.codes(feature);
        let rows = column.len() / codes;
        if feature == 0 {
            // As many rows as were really there, not as many as the file says.
            columns.values.reserve_exact(rows * width);
            columns.values.resize(before + rows * width, f32::NAN);
        }
        if columns.values.len() != before + rows * width {
            let found = format!("{rows} in column {:?}", file.name(at));
            return Err(file_error(file.path, "as many values in every column", found));
        }
        for (row, codes) in columns.values[before..].chunks_mut(width).zip(column.chunks(codes)) {
            row[from..from + codes.len()].copy_from_slice(codes);
        }
        from += codes;
    }
    Ok(())
}

/// Appends the codes of a feature that is text, from the group's first row on.
fn read_text(
    file: &Rows,
    group: &dyn RowGroupReader,
    (feature, at): (usize, usize),
    mut row: usize,
    columns: &mut Columns,
    codes: &mut Vec<f32>,
) -> Result<()> {
    file.cells(group, at, &mut |_, cell| {
        let place = || format!("row {row} (the first is 0), column {:?}", file.name(at));
        let text = cell.text();
        if let Err(found) = &text {
            columns.fault(row, &place(), "text", found)?;
        }
        let done = columns.coder.push(feature, text.ok().as_deref(), codes);
        columns.settle(done, row, place)?;
        row += 1;
        Ok(())
    })
}

/// Features that are lists of equal length.
#[derive(Default)]
struct Lists {
    /// Length of the lists: that of the first one with a value; 0 before that.
    width: usize,
    rows: usize,
}

impl Lists {
    fn read(
        &mut self,
        file: &Rows,
        group: &dyn RowGroupReader,
        at: usize,
        columns: &mut Columns,
    ) -> Result<()> {
        let (mut row, mut started) = (Vec::new(), false);
        file.cells(group, at, &mut |new_row, cell| {
            if new_row && started {
                self.add(&mut row, file, at, columns)?;
            }
            started = true;
            row.push(cell.real() as f32);
            Ok(())
        })?;
        if started {
            self.add(&mut row, file, at, columns)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        row: &mut Vec<f32>,
        file: &Rows,
        at: usize,
        columns: &mut Columns,
    ) -> Result<()> {
        let place = || format!("row {} (the first is 0), column {:?}", self.rows, file.name(at));
        // A missing or empty list comes as one missing value.
        let missing = row.len() == 1 && row[0].is_nan();
        if self.width == 0 && missing {
            columns.fault(self.rows, &place(), "a list of numbers", "none")?;
        } else if self.width == 0 {
            self.width = row.len();
            columns.values.resize(self.rows * self.width, f32::NAN);
        } else if row.len() != self.width {
            let expected = format!("a list of {} numbers", self.width);
            columns.fault(self.rows, &place(), &expected, &format!("{} of them", row.len()))?;
            row.clear();
            row.resize(self.width, f32::NAN);
        }
        if self.width > 0 {
            columns.values.append(row);
        }
        row.clear();
        self.rows += 1;
        Ok(())
    }
}

/// One value of a column.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'a> {
    Missing,
    Half(f16),
    Single(f32),
    Real(f64),
    Whole(i128),
    Bytes(&'a [u8]),
}

impl Cell<'_> {
    /// NaN for what is no number.
    fn real(self) -> f64 {
        match self {
            Self::Half(half) => half.to_f64(),
            Self::Single(single) => single.into(),
            Self::Real(real) => real,
            Self::Whole(whole) => whole as f64,
            Self::Missing | Self::Bytes(_) => f64::NAN,
        }
    }

    pub(crate) fn key(self) -> Found {
        match self {
            Self::Missing => Err("nothing".to_owned()),
            Self::Half(half) => Key::real(half.to_f32(), 11),
            Self::Single(single) => Key::real(single, 24),
            Self::Real(real) => Key::real(real, 53),
            Self::Whole(whole) => Ok(Key::Number(whole)),
            Self::Bytes(bytes) => Key::bytes(bytes),
        }
    }

    /// As text, without blanks around; nothing where there is nothing.
    fn text(self) -> std::result::Result<String, String> {
        match self {
            Self::Missing => Ok(String::new()),
            Self::Bytes(bytes) => match rows::utf8(bytes) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(complaint) => Err(complaint.found),
            },
            _ => self.key().map(|key| key.to_string()),
        }
    }
}

/// What is done with a value of a column; first, whether a row begins with it. Not a generic one: each
/// of parquet's readers is long enough to be compiled once.
pub(crate) type UseCell<'a> = &'a mut dyn FnMut(bool, Cell) -> Result<()>;

/// A parquet file whose schema is read.
pub(crate) struct Rows<'a> {
    pub(crate) path: &'a Path,
    reader: SerializedFileReader<File>,
}

impl<'a> Rows<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let reader = quietly(|| SerializedFileReader::new(file));
        let reader = reader.map_err(|error| broken(path, &error))?;
        Ok(Self { path, reader })
    }

    pub(crate) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    pub(crate) fn group(&self, group: usize) -> Result<Box<dyn RowGroupReader + '_>> {
        quietly(|| self.reader.get_row_group(group)).map_err(|error| broken(self.path, &error))
    }

    /// What the columns are called: the fields of a struct `struct.field`, lists like their column.
    pub(crate) fn names(&self) -> Vec<String> {
        let columns = self.reader.metadata().file_metadata().schema_descr().columns();
        (0..columns.len()).map(|at| self.name(at)).collect()
    }

    /// The columns that pandas says, or shows by their names, to be its index.
    fn index(&self, names: &[String]) -> Vec<usize> {
        let notes = self.reader.metadata().file_metadata().key_value_metadata();
        let note = notes.into_iter().flatten().find(|note| note.key == "pandas");
        let note = note.and_then(|note| serde_json::from_str(note.value.as_deref()?).ok());
        let note: serde_json::Value = note.unwrap_or_default();
        // An index that only counts is noted by its bounds, not as a column.
        let told: Vec<&str> = note["index_columns"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|column| column.as_str())
            .collect();
        let is_index = |name: &str| told.contains(&name) || is_unnamed_index(name);
        (0..names.len()).filter(|&at| is_index(&names[at])).collect()
    }

    fn name(&self, at: usize) -> String {
        let column = self.column(at);
        match column.path().parts().first() {
            Some(first) if column.max_rep_level() > 0 => first.clone(),
            _ => column.path().string(),
        }
    }

    fn column(&self, at: usize) -> &ColumnDescriptor {
        &self.reader.metadata().file_metadata().schema_descr().columns()[at]
    }

    /// That a column holds one value a row.
    pub(crate) fn check_single(&self, at: usize) -> Result<()> {
        match self.column(at).max_rep_level() {
            0 => Ok(()),
            _ => {
                let expected = format!("one value a row in column {:?}", self.name(at));
                Err(file_error(self.path, expected, "lists"))
            }
        }
    }

    /// That a column holds numbers, or lists of numbers.
    fn check_number(&self, at: usize) -> Result<()> {
        let column = self.column(at);
        let plain = match (column.physical_type(), column.logical_type_ref()) {
            (Type::BYTE_ARRAY | Type::INT96, _) => false,
            (Type::FIXED_LEN_BYTE_ARRAY, logical) => logical == Some(&LogicalType::Float16),
            (_, None | Some(LogicalType::Integer(_))) => true,
            _ => false, // decimals, dates and times have other units than they seem
        };
        if plain && column.max_rep_level() <= 1 {
            return Ok(());
        }
        let expected = format!("numbers or lists of numbers in column {:?}", self.name(at));
        let logical = column.logical_type_ref().map_or(String::new(), |kind| format!(" {kind:?}"));
        Err(file_error(self.path, expected, format!("{}{logical}", column.physical_type())))
    }

    /// What the feature columns hold, by their types; how many letters, by the first text there is.
    fn kinds(&self, features: &[usize], letters: &[String]) -> Result<Vec<Kind>> {
        let kind = |&at: &usize| {
            let column = self.column(at);
            let text = column.physical_type() == Type::BYTE_ARRAY
                && matches!(column.logical_type_ref(), None | Some(LogicalType::String));
            match (letters.contains(&self.name(at)), text && column.max_rep_level() == 0) {
                (true, _) => self.letters(at).map(Kind::Letters),
                (false, true) => Ok(Kind::Whole("its type".to_owned())),
                (false, false) => Ok(Kind::Number),
            }
        };
        features.iter().map(kind).collect()
    }

    /// How many letters the first text of a column has.
    fn letters(&self, at: usize) -> Result<usize> {
        let mut letters = 0;
        self.check_single(at)?;
        for group in 0..self.groups() {
            self.cells(&*self.group(group)?, at, &mut |_, cell| {
                if let (0, Ok(text)) = (letters, cell.text()) {
                    letters = text.chars().count();
                }
                Ok(())
            })?;
            if letters > 0 {
                return Ok(letters);
            }
        }
        let expected = format!("letters in column {:?}", self.name(at));
        Err(file_error(self.path, expected, "nothing in any row"))
    }

    /// How many values a text column of a group has, or letters in their places.
    fn values(&self, group: &dyn RowGroupReader, at: usize, is_letters: bool) -> Result<usize> {
        let mut values = BTreeSet::new();
        self.cells(group, at, &mut |_, cell| {
            match cell.text() {
                Ok(text) if is_letters => {
                    values.extend(text.chars().map(String::from).enumerate());
                }
                // More are refused when all is read.
                Ok(text) if values.len() <= MOST_VALUES => drop(values.insert((0, text))),
                _ => {}
            }
            Ok(())
        })?;
        Ok(values.len())
    }

    /// That a column of a group is compressed by a method that is built in.
    fn check_codec(&self, group: &dyn RowGroupReader, at: usize) -> Result<()> {
        let codec = match group.metadata().column(at).compression_codec() {
            CompressionCodec::BROTLI => "Brotli",
            CompressionCodec::LZO => "LZO",
            _ => return Ok(()),
        };
        let expected = "columns compressed by Snappy, gzip, Zstandard or LZ4, or not at all";
        Err(file_error(self.path, expected, format!("{codec} in column {:?}", self.name(at))))
    }

    /// Calls `use_cell` with every value of a column of a group, and whether a row begins with it.
    pub(crate) fn cells(
        &self,
        group: &dyn RowGroupReader,
        at: usize,
        use_cell: UseCell,
    ) -> Result<()> {
        let column = self.column(at);
        let unsigned = matches!(column.logical_type_ref(),
            Some(LogicalType::Integer(kind)) if !kind.is_signed);
        let is_half = column.logical_type_ref() == Some(&LogicalType::Float16);
        let path = self.path;
        self.check_codec(group, at)?;
        let reader = quietly(|| group.get_column_reader(at));
        let reader = reader.map_err(|error| broken(path, &error))?;
        match reader {
            ColumnReader::BoolColumnReader(reader) => {
                each(path, column, reader, use_cell, &|value| Cell::Whole(i128::from(*value)))
            }
            ColumnReader::Int32ColumnReader(reader) => {
                each(path, column, reader, use_cell, &|value| {
                    Cell::Whole(if unsigned { (*value as u32).into() } else { (*value).into() })
                })
            }
            ColumnReader::Int64ColumnReader(reader) => {
                each(path, column, reader, use_cell, &|value| {
                    Cell::Whole(if unsigned { (*value as u64).into() } else { (*value).into() })
                })
            }
            ColumnReader::FloatColumnReader(reader) => {
                each(path, column, reader, use_cell, &|value| Cell::Single(*value))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                each(path, column, reader, use_cell, &|value| Cell::Real(*value))
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                each(path, column, reader, use_cell, &|value| Cell::Bytes(value.data()))
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                each(path, column, reader, use_cell, &|value| match value.data() {
                    &[a, b] if is_half => Cell::Half(f16::from_le_bytes([a, b])),
                    bytes => Cell::Bytes(bytes),
                })
            }
            ColumnReader::Int96ColumnReader(_) => {
                let expected = format!("numbers or text in column {:?}", self.name(at));
                Err(file_error(path, expected, "INT96"))
            }
        }
    }
}

fn each<T: DataType>(
    path: &Path,
    column: &ColumnDescriptor,
    mut reader: ColumnReaderImpl<T>,
    use_cell: UseCell,
    cell: &dyn Fn(&T::T) -> Cell<'_>,
) -> Result<()> {
    let (most_defined, most_repeated) = (column.max_def_level(), column.max_rep_level());
    let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        defined.clear();
        repeated.clear();
        values.clear();
        let read = quietly(|| {
            reader.read_records(AT_ONCE, Some(&mut defined), Some(&mut repeated), &mut values)
        });
        let (_, _, levels) = read.map_err(|error| broken(path, &error))?;
        if levels == 0 {
            return Ok(());
        }
        // A value is stored where it is defined all the way down.
        let mut stored = values.iter();
        for level in 0..levels {
            let new_row = most_repeated == 0 || repeated.get(level) == Some(&0);
            let here = most_defined == 0 || defined.get(level) == Some(&most_defined);
            let value = if here { stored.next().map(cell) } else { None };
            use_cell(new_row, value.unwrap_or(Cell::Missing))?;
        }
    }
}

fn broken(path: &Path, error: &ParquetError) -> Error {
    file_error(path, "a whole parquet file", error.to_string())
}
