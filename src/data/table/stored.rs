//! Tables whose features stay on disk.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor};

use super::columns::Beside;
use super::{Columns, Groups, TableOptions, file_error, read};
use crate::data::Source;
use crate::data::source::check_indices;
use crate::error::{Error, Result};

/// Labels and what else is known of each row in memory, features on disk: a [`Source`] of rows that need not fit into
/// memory.
///
/// # Example
/// ```
/// use gleaner::choose::{KCenter, Streaming};
/// use gleaner::data::{Source, table::{TableOptions, store}};
/// # let mut rng = rand::rng();
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train.csv");
/// std::fs::write(&path, "x,label\n0.5,cat\n1.5,dog\n9.5,dog\n").unwrap();
///
/// let table = store(&path, &TableOptions::default(), folder.path())?;
/// assert_eq!(table.inputs_at(&[2, 0])?.to_vec2::<f32>()?, [[9.5], [0.5]]);
/// assert!(KCenter.select_from(&table, 2, &mut rng)?.indices.contains(&2));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub struct StoredTable {
    parts: Vec<Part>,
    labels: Vec<u32>,
    width: usize,
    /// The columns, arrays or tensors that the features come from, as in [`Table`](super::Table).
    pub columns: Vec<String>,
    /// The label each class has in the file.
    pub class_names: Vec<String>,
    /// What the rows are called, if asked for.
    pub ids: Option<Vec<String>>,
    /// Groups, if asked for.
    pub groups: Option<Groups>,
    /// Costs, if asked for; finite.
    pub costs: Option<Vec<f64>>,
}

/// The rows of one file.
struct Part {
    path: PathBuf,
    /// Only positions are shared, and every read sets its own.
    file: Mutex<File>,
    offset: u64,
    /// Number of the first one in the table.
    first: usize,
    rows: usize,
    /// The malformed ones, left out; ascending.
    skipped: Vec<usize>,
}

/// Reads the table at `path` once, as [`load`](super::load) does, and leaves the features on disk: where they are, if that is
/// an array or tensor of 32-bit floats, rows one after the other; otherwise in a nameless file in the folder `scratch`,
/// four bytes a number, which goes when the table does, or the process.
///
/// # Cost
/// One pass over the file. Memory: a block of rows (of `.parquet` a group), 4 bytes a row for the label, and what else is
/// asked for.
///
/// # Errors
/// As [`load`](super::load); [`Error::File`] for an array in Fortran order, and for text among the features, whose number
/// nobody knows before the end.
pub fn store(
    path: impl AsRef<Path>,
    options: &TableOptions,
    scratch: impl AsRef<Path>,
) -> Result<StoredTable> {
    options.check()?;
    let path = path.as_ref();
    let mut columns = Columns::new(path, options).spooled(Spool::new(scratch.as_ref())?);
    let (width, names) = read(path, options, &mut columns)?;
    if (0..names.len()).any(|feature| columns.coder.is_text(feature)) {
        let expected = "numbers only in a table that stays on disk; leave other columns out";
        return Err(file_error(path, expected, "text among the features"));
    }
    columns.spill_all(width)?;
    let rows = columns.gone;
    let Beside { labels, groups, ids, costs, bad, spool, .. } = columns.beside(rows, width)?;
    let (path, file, offset) = match spool {
        Some(Spool::File { folder, file }) => {
            let file = file.into_inner().map_err(|error| Error::io(&folder, error.into_error()))?;
            (folder, file, 0)
        }
        Some(Spool::InPlace { offset }) => (
            path.to_path_buf(),
            File::open(path).map_err(|source| Error::io(path, source))?,
            offset,
        ),
        None => return Err(file_error(path, "rows on disk", "none")), // they went there above
    };
    let skipped: Vec<usize> = bad.into_iter().collect();
    let part = Part {
        path,
        file: Mutex::new(file),
        offset,
        first: 0,
        rows: rows - skipped.len(),
        skipped,
    };
    Ok(StoredTable {
        parts: vec![part],
        labels: labels.ids,
        width,
        columns: names,
        class_names: labels.names,
        ids,
        groups,
        costs,
    })
}

impl StoredTable {
    /// Number of features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The file of a point, by its number in the order in which they were [appended](Self::append), and its row there, from
    /// 0 below the header.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no such point.
    pub fn origin(&self, point: usize) -> Result<(usize, usize)> {
        check_indices(&[point], self.points())?;
        let part = self.part(point);
        Ok((part, self.parts[part].row(point)))
    }

    /// Rows left out as malformed, in all files.
    pub fn skipped(&self) -> usize {
        self.parts.iter().map(|part| part.skipped.len()).sum()
    }

    /// Another table's rows below these; equal names are equal classes and groups.
    ///
    /// # Errors
    /// [`Error::Shape`] unless it has the same columns, and ids, groups and costs where this one has.
    pub fn append(&mut self, other: Self) -> Result<()> {
        let has = |table: &Self| {
            (table.ids.is_some(), table.groups.is_some(), table.costs.is_some(), table.width)
        };
        if has(self) != has(&other) {
            let expected = format!("{} features, and ids, groups and costs alike", self.width);
            let found = format!("{} features", other.width);
            return Err(Error::Shape { what: "another table", expected, found });
        }
        let first = self.points();
        let mut labels = Groups {
            ids: std::mem::take(&mut self.labels),
            names: std::mem::take(&mut self.class_names),
        };
        labels.append(&Groups { ids: other.labels, names: other.class_names });
        (self.labels, self.class_names) = (labels.ids, labels.names);
        if let (Some(groups), Some(more)) = (&mut self.groups, &other.groups) {
            groups.append(more);
        }
        self.ids.iter_mut().for_each(|ids| ids.extend(other.ids.clone().unwrap_or_default()));
        self.costs.iter_mut().for_each(|c| c.extend(other.costs.clone().unwrap_or_default()));
        let moved = |part: Part| Part { first: first + part.first, ..part };
        self.parts.extend(other.parts.into_iter().map(moved));
        Ok(())
    }

    fn part(&self, point: usize) -> usize {
        self.parts.partition_point(|part| part.first <= point) - 1 // the first one begins at 0
    }
}

impl Source for StoredTable {
    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn classes(&self) -> usize {
        self.class_names.len()
    }

    fn inputs_at(&self, indices: &[usize]) -> Result<Tensor> {
        check_indices(indices, self.points())?;
        let mut rows = Vec::with_capacity(indices.len() * self.width);
        let mut bytes = Vec::new();
        let mut rest = indices;
        while let Some(&first) = rest.first() {
            let part = &self.parts[self.part(first)];
            // Rows that follow one another are read at once.
            let start = part.row(first);
            let follows = |(k, point): (usize, &usize)| {
                (part.first..part.first + part.rows).contains(point)
                    && part.row(*point) == start + k
            };
            let count = rest.iter().enumerate().take_while(|pair| follows(*pair)).count();
            bytes.resize(count * self.width * size_of::<f32>(), 0);
            part.read(start, self.width, &mut bytes)?;
            let numbers = bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four));
            rows.extend(numbers);
            rest = &rest[count..];
        }
        Ok(Tensor::from_vec(rows, (indices.len(), self.width), &Device::Cpu)?)
    }
}

impl Part {
    /// Where a point's row is in the file, those left out counted.
    fn row(&self, point: usize) -> usize {
        let mut row = point - self.first;
        // Each one left out before it moves it on by one.
        let mut before = 0;
        loop {
            let now = self.skipped.partition_point(|skipped| *skipped <= row);
            if now == before {
                return row;
            }
            row += now - before;
            before = now;
        }
    }

    fn read(&self, row: usize, width: usize, into: &mut [u8]) -> Result<()> {
        let at = self.offset + (row * width * size_of::<f32>()) as u64;
        // A thread that panicked left nothing but a position.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(into));
        read.map_err(|source| Error::io(&self.path, source))
    }
}

/// Where rows go while a table is read.
pub(super) enum Spool {
    /// To a nameless file in a folder.
    File { folder: PathBuf, file: BufWriter<File> },
    /// Nowhere: the table's own file has them from there on, as they are to be.
    InPlace { offset: u64 },
}

impl Spool {
    fn new(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|source| Error::io(folder, source))?;
        Ok(Self::File { folder: folder.to_path_buf(), file: BufWriter::new(file) })
    }

    pub(super) fn take(&mut self, values: &[f32]) -> Result<()> {
        let Self::File { folder, file } = self else { return Ok(()) };
        let write = |value: &f32| file.write_all(&value.to_le_bytes());
        values.iter().try_for_each(write).map_err(|source| Error::io(&*folder, source))
    }
}
