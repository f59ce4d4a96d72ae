//! Labelled texts in CSV files, read on demand: millions of rows without holding the texts.
//!
//! Opening a file reads it once, checks every row and keeps its label and where it begins: 12 bytes
//! a row. Texts are read again when points are asked for, and go through a [`TextEncoder`].

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use flate2::bufread::MultiGzDecoder;

use crate::data::Malformed;
use crate::data::rows::{Complaint, Dialect, Row, Rows, Scanned, check_delimiter};
use crate::data::source::{Source, check_indices};
use crate::data::text::encode::TextEncoder;
use crate::error::{Error, Result};

/// Most different labels of a column; more mean that the wrong column was named.
const MOST_CLASSES: usize = 1 << 16;

/// Malformed rows whose fault is kept when they are skipped.
const FAULTS_KEPT: usize = 10;

/// Which columns there are, and which classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextLayout {
    /// No header; the class, counted from 1, and then the text columns. This is the form of the
    /// sets of Zhang, Zhao & LeCun (NeurIPS 2015): Amazon and Yelp reviews, AG News, DBpedia, Yahoo.
    /// As there, a backslash followed by `n` in a text stands for a line break.
    Numbered {
        /// Names of the classes 1, 2, …; at least one.
        class_names: Vec<String>,
        /// Text columns, at least 1.
        texts: usize,
    },
    /// A header, columns by name, others ignored.
    Named {
        /// The column of the labels, which are any strings.
        label: String,
        /// The text columns, at least one.
        texts: Vec<String>,
        /// The labels there are, in the order of the classes: a file of test points must count
        /// classes as the training file does. `None` takes those found, in order of their numbers
        /// if all are whole numbers, and of their bytes otherwise.
        class_names: Option<Vec<String>>,
    },
}

impl TextLayout {
    /// Amazon Review Polarity: 1 negative, 2 positive; title and text.
    pub fn amazon_polarity() -> Self {
        let class_names = ["negative", "positive"].map(String::from).into();
        Self::Numbered { class_names, texts: 2 }
    }

    /// Amazon Review Full: 1 to 5 stars; title and text.
    pub fn amazon_full() -> Self {
        Self::numbered(5, 2)
    }

    /// Classes named "1", "2", … and `texts` text columns, without a header.
    pub fn numbered(classes: usize, texts: usize) -> Self {
        Self::Numbered { class_names: (1..=classes).map(|k| k.to_string()).collect(), texts }
    }
}

/// How a file of texts is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns and classes.
    pub layout: TextLayout,
    /// Between two columns; not a quote or line break. A comma unless set.
    pub delimiter: u8,
    /// Malformed rows: refused unless set.
    pub malformed: Malformed,
    /// Only so many good rows are read, from the first; at least 1. All unless set.
    pub limit: Option<usize>,
    /// Where a compressed file is unpacked; the system's folder for temporary files unless set.
    pub scratch: Option<PathBuf>,
}

impl Default for TextOptions {
    /// Amazon Review Polarity, whole, every row good.
    fn default() -> Self {
        Self {
            layout: TextLayout::amazon_polarity(),
            delimiter: b',',
            malformed: Malformed::default(),
            limit: None,
            scratch: None,
        }
    }
}

impl TextOptions {
    fn check(&self) -> Result<()> {
        let (texts, classes) = match &self.layout {
            TextLayout::Numbered { class_names, texts } => (*texts, Some(class_names)),
            TextLayout::Named { texts, class_names, .. } => (texts.len(), class_names.as_ref()),
        };
        let classes = classes.map_or(1, Vec::len);
        let limit = self.limit.unwrap_or(1);
        for (what, found) in [
            ("TextLayout::texts", texts),
            ("TextLayout::class_names", classes),
            ("TextOptions::limit", limit),
        ] {
            if found == 0 {
                return Err(Error::range(what, "at least 1", 0.0));
            }
        }
        if let TextLayout::Numbered { class_names, .. }
        | TextLayout::Named { class_names: Some(class_names), .. } = &self.layout
        {
            let distinct: HashSet<&String> = class_names.iter().collect();
            if distinct.len() < class_names.len() {
                let found = format!("{} of {}", distinct.len(), class_names.len());
                return Err(Error::shape("TextLayout::class_names", "distinct names", found));
            }
        }
        check_delimiter("TextOptions::delimiter", self.delimiter)
    }
}

/// Why a row was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line the row begins in; the first is 1.
    pub line: u64,
    /// What there should have been.
    pub expected: String,
    /// What there was.
    pub found: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: expected {}, found {}", self.line, self.expected, self.found)
    }
}

/// The rows that were left out of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub count: usize,
    /// The first ten of them.
    pub first: Vec<Fault>,
}

/// Labelled texts of a CSV file, plain or compressed with gzip, as a [`Source`] of encoded texts.
///
/// Quoting is that of RFC 4180: a column that holds the delimiter, a quote or a line break is
/// quoted as a whole, and a quote in it is doubled. Text is UTF-8 (a byte order mark is skipped);
/// lines end in LF or CR LF, or in CR alone if the first one does; blank lines are skipped. The text of a point is its text columns with
/// line breaks between those that are not empty; all may be. A row is malformed if it has
/// the wrong number of columns, no known class, broken quoting or bad UTF-8, or is longer than 16 MiB.
///
/// After broken quoting, reading goes on with the line after the one the row began in.
///
/// # Cost
/// Opening reads the file once and keeps 12 bytes a row. Compressed files cannot be read from the
/// middle: they are unpacked once, into a nameless temporary file that the system removes when this
/// is dropped. A batch is read in the order of the file, under a lock, and encoded in parallel.
///
/// # Example
///
/// ```
/// use gleaner::data::Source;
/// use gleaner::data::text::encode::HashedWords;
/// use gleaner::data::text::{TextCsv, TextOptions};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("reviews.csv");
/// std::fs::write(&path, "\"2\",\"Loved it\",\"Read it \"\"twice\"\".\"\n\"1\",\"No\",\"\"\n")?;
/// let reviews = TextCsv::open(&path, &TextOptions::default(), HashedWords::default())?;
/// assert_eq!(reviews.labels(), [1, 0]); // classes count from 0 here
/// assert_eq!(reviews.texts_at(&[0])?, ["Loved it\nRead it \"twice\"."]);
/// assert_eq!(reviews.inputs_at(&[1])?.dims(), [1, 1]); // one word
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TextCsv {
    path: PathBuf,
    /// Uncompressed; whoever holds the lock moves to where it reads.
    file: Mutex<File>,
    dialect: Dialect,
    columns: Columns,
    /// Where each good row begins.
    starts: Vec<u64>,
    labels: Vec<u32>,
    class_names: Vec<String>,
    skipped: Skipped,
    encoder: Box<dyn TextEncoder>,
}

impl TextCsv {
    /// Reads through `path` once; its texts will be encoded by `encoder`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range; [`Error::Io`] if the system refuses to
    /// read the file or to unpack it; [`Error::Unknown`] if the header lacks a column;
    /// [`Error::File`] for the first malformed row (unless they are skipped), a broken compressed
    /// file, no good row at all, or more than 65,536 different labels.
    pub fn open(
        path: impl AsRef<Path>,
        options: &TextOptions,
        encoder: impl TextEncoder + 'static,
    ) -> Result<Self> {
        options.check()?;
        let path = path.as_ref();
        let file = plain(path, options.scratch.as_deref())?;
        let mut rows = Rows::new(&file, Dialect::texts(options.delimiter));
        let io = |source| Error::io(path, source);
        rows.skip_byte_order_mark().map_err(io)?.map_err(|Complaint { expected, found }| {
            Error::File { path: path.into(), expected, found }
        })?;
        let columns = Columns::find(path, &options.layout, &mut rows)?;
        let mut index = Index::new(&options.layout);
        index.read(path, &mut rows, &columns, options)?;
        let Index { starts, labels, classes, skipped } = index;
        if starts.is_empty() {
            let found = match skipped.first.first() {
                None => "no rows".to_string(),
                Some(fault) => format!("{} malformed ones, first {fault}", skipped.count),
            };
            return Err(Error::File { path: path.into(), expected: "labelled rows".into(), found });
        }
        let (labels, class_names) = classes.in_order(labels);
        let dialect = rows.dialect();
        Ok(Self {
            path: path.into(),
            file: Mutex::new(file),
            dialect,
            columns,
            starts,
            labels,
            class_names,
            skipped,
            encoder: Box::new(encoder),
        })
    }

    /// Names of the classes, in their order.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The malformed rows that were left out; none unless [`Malformed::Skip`] was asked for.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// The texts of the points at `indices`, in that order, as they are before encoding.
    ///
    /// # Errors
    /// [`Error::Shape`] if `indices` is empty, [`Error::OutOfRange`] if there is no such point;
    /// [`Error::Io`] if the system refuses, [`Error::File`] if the file has changed meanwhile.
    pub fn texts_at(&self, indices: &[usize]) -> Result<Vec<String>> {
        check_indices(indices, self.starts.len())?;
        let mut order: Vec<usize> = (0..indices.len()).collect();
        order.sort_unstable_by_key(|&k| self.starts[indices[k]]);
        let mut texts = vec![String::new(); indices.len()];
        // A panic elsewhere leaves nothing behind but a position, and ours is set below.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Rows::new(&*file, self.dialect);
        let io = |source| Error::io(&self.path, source);
        let mut row = Row::default();
        for k in order {
            rows.move_to(self.starts[indices[k]]).map_err(io)?;
            let scanned = rows.next(&mut row).map_err(io)?;
            let text = match scanned {
                Scanned::Row => self.columns.text(&row),
                Scanned::End => Err(Complaint::new("a row", "the end of the file")),
                Scanned::Broken(found) => Err(Complaint::new("whole quotes", found)),
            };
            texts[k] = text.map_err(|complaint| {
                let expected = format!("row {} as it was when opened", indices[k]);
                Error::File { path: self.path.clone(), expected, found: complaint.found }
            })?;
        }
        Ok(texts)
    }
}

impl std::fmt::Debug for TextCsv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextCsv")
            .field("path", &self.path)
            .field("points", &self.labels.len())
            .field("class_names", &self.class_names)
            .field("skipped", &self.skipped.count)
            .finish_non_exhaustive()
    }
}

impl Source for TextCsv {
    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn classes(&self) -> usize {
        self.class_names.len()
    }

    fn inputs_at(&self, indices: &[usize]) -> Result<Tensor> {
        self.encoder.batch(&self.texts_at(indices)?)
    }
}

/// The file itself, or an unpacked copy without a name if it is compressed.
fn plain(path: &Path, scratch: Option<&Path>) -> Result<File> {
    let io = |path: &Path, source| Error::io(path, source);
    let mut file = File::open(path).map_err(|source| io(path, source))?;
    let mut magic = [0; 2];
    // Fewer than two bytes are no compressed file, and stay as they are.
    let whole = file.read_exact(&mut magic).is_ok();
    file.seek(SeekFrom::Start(0)).map_err(|source| io(path, source))?;
    if !whole || magic != [0x1f, 0x8b] {
        return Ok(file);
    }
    let folder = scratch.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let mut unpacked = tempfile::tempfile_in(&folder).map_err(|source| io(&folder, source))?;
    let mut packed = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = packed.read(&mut buffer).map_err(|error| {
            let (expected, found) = ("a whole gzip file".into(), error.to_string());
            Error::File { path: path.into(), expected, found }
        })?;
        if read == 0 {
            break;
        }
        unpacked.write_all(&buffer[..read]).map_err(|source| io(&folder, source))?;
    }
    unpacked.seek(SeekFrom::Start(0)).map_err(|source| io(&folder, source))?;
    Ok(unpacked)
}

/// Where label and texts are in a row.
#[derive(Clone, Debug)]
struct Columns {
    count: usize,
    label: usize,
    texts: Vec<usize>,
    /// Whether a backslash followed by `n` is a line break.
    escaped: bool,
}

impl Columns {
    /// Reads the header, if the layout has one.
    fn find<R: Read>(path: &Path, layout: &TextLayout, rows: &mut Rows<R>) -> Result<Self> {
        let (label, texts) = match layout {
            TextLayout::Numbered { texts, .. } => {
                let (count, texts) = (1 + texts, (1..=*texts).collect());
                return Ok(Self { count, label: 0, texts, escaped: true });
            }
            TextLayout::Named { label, texts, .. } => (label, texts),
        };
        let mut header = Row::default();
        let scanned = rows.next(&mut header);
        let scanned = scanned.map_err(|source| Error::io(path, source))?;
        let names = match scanned {
            Scanned::Row => (0..header.ends.len()).map(|k| header.column(k)).collect(),
            Scanned::End => Err(Complaint::new("", "an empty file")),
            Scanned::Broken(found) => Err(Complaint::new("", found)),
        };
        let names: Vec<&str> = names.map_err(|Complaint { found, .. }| Error::File {
            path: path.into(),
            expected: "a header with column names".into(),
            found,
        })?;
        let position = |wanted: &String| match names.iter().position(|name| name == wanted) {
            Some(at) => Ok(at),
            None => {
                let (found, expected) = (wanted.clone(), names.join(", "));
                Err(Error::Unknown { what: "column", expected, found })
            }
        };
        let texts = texts.iter().map(position).collect::<Result<_>>()?;
        Ok(Self { count: names.len(), label: position(label)?, texts, escaped: false })
    }

    fn text(&self, row: &Row) -> std::result::Result<String, Complaint> {
        self.check(row)?;
        let mut whole = String::new();
        for &at in &self.texts {
            let part = row.column(at)?;
            if !(whole.is_empty() || part.is_empty()) {
                whole.push('\n');
            }
            if self.escaped { whole += &part.replace("\\n", "\n") } else { whole += part }
        }
        Ok(whole)
    }

    fn check(&self, row: &Row) -> std::result::Result<(), Complaint> {
        if row.ends.len() == self.count {
            return Ok(());
        }
        let (expected, found) = (self.count, row.ends.len());
        Err(Complaint::new(format!("{expected} columns"), format!("{found}")))
    }
}

/// The classes there are, or those met so far.
enum Classes {
    Numbered(Vec<String>),
    Known(Vec<String>, HashMap<String, u32>),
    /// In the order they were met.
    Open(Vec<String>, HashMap<String, u32>),
}

impl Classes {
    /// The number of the class called `name`.
    fn number(&mut self, name: &str) -> std::result::Result<u32, Complaint> {
        match self {
            Self::Numbered(names) => match name.parse::<usize>() {
                // Fits: the numbers of points' classes are below the number of classes, 2^32 at most.
                Ok(class) if (1..=names.len()).contains(&class) => Ok(class as u32 - 1),
                _ => Err(Complaint::new(
                    format!("a class from 1 to {}", names.len()),
                    format!("{name:?}"),
                )),
            },
            Self::Known(names, numbers) => numbers.get(name).copied().ok_or_else(|| {
                let expected = format!("one of the labels {}", names.join(", "));
                Complaint::new(expected, format!("{name:?}"))
            }),
            Self::Open(..) if name.is_empty() => Err(Complaint::new("a label", "none")),
            Self::Open(names, numbers) => Ok(match numbers.get(name) {
                Some(&number) => number,
                None => {
                    let number = names.len() as u32; // at most MOST_CLASSES
                    names.push(name.into());
                    numbers.insert(name.into(), number);
                    number
                }
            }),
        }
    }

    fn too_many(&self) -> bool {
        matches!(self, Self::Open(names, _) if names.len() > MOST_CLASSES)
    }

    /// Final class numbers of `labels`, and the names in their order.
    fn in_order(self, labels: Vec<u32>) -> (Vec<u32>, Vec<String>) {
        let names = match self {
            Self::Numbered(names) | Self::Known(names, _) => return (labels, names),
            Self::Open(names, _) => names,
        };
        let mut order: Vec<usize> = (0..names.len()).collect();
        let values: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        match values {
            // Names such as "1" and "01" are equal numbers, but still two classes.
            Some(values) => order.sort_by_key(|&k| (values[k], names[k].clone())),
            None => order.sort_by(|&a, &b| names[a].cmp(&names[b])),
        }
        let mut rank = vec![0; names.len()];
        order.iter().enumerate().for_each(|(place, &k)| rank[k] = place as u32);
        let labels = labels.into_iter().map(|label| rank[label as usize]).collect();
        (labels, order.into_iter().map(|k| names[k].clone()).collect())
    }
}

/// What opening a file finds out.
struct Index {
    starts: Vec<u64>,
    labels: Vec<u32>,
    classes: Classes,
    skipped: Skipped,
}

impl Index {
    fn new(layout: &TextLayout) -> Self {
        let classes = match layout {
            TextLayout::Numbered { class_names, .. } => Classes::Numbered(class_names.clone()),
            TextLayout::Named { class_names: Some(names), .. } => {
                let numbers = names.iter().cloned().zip(0..).collect();
                Classes::Known(names.clone(), numbers)
            }
            TextLayout::Named { class_names: None, .. } => {
                Classes::Open(Vec::new(), HashMap::new())
            }
        };
        Self { starts: Vec::new(), labels: Vec::new(), classes, skipped: Skipped::default() }
    }

    fn read<R: Read>(
        &mut self,
        path: &Path,
        rows: &mut Rows<R>,
        columns: &Columns,
        options: &TextOptions,
    ) -> Result<()> {
        let io = |source| Error::io(path, source);
        let limit = options.limit.unwrap_or(usize::MAX);
        let mut row = Row::default();
        while self.starts.len() < limit {
            let complaint = match rows.next(&mut row).map_err(io)? {
                Scanned::End => break,
                Scanned::Row => self.take(&row, columns).err(),
                Scanned::Broken(found) => {
                    rows.resume_behind_first_line(&row).map_err(io)?;
                    Some(Complaint::new("a row with whole quotes", found))
                }
            };
            if self.classes.too_many() {
                let expected = format!("at most {MOST_CLASSES} different labels");
                let found = format!("more, up to line {}", row.line);
                return Err(Error::File { path: path.into(), expected, found });
            }
            let Some(Complaint { expected, found }) = complaint else { continue };
            if options.malformed == Malformed::Refuse {
                let found = format!("{found} in line {}", row.line);
                return Err(Error::File { path: path.into(), expected, found });
            }
            self.skipped.count += 1;
            if self.skipped.first.len() < FAULTS_KEPT {
                self.skipped.first.push(Fault { line: row.line, expected, found });
            }
        }
        Ok(())
    }

    fn take(&mut self, row: &Row, columns: &Columns) -> std::result::Result<(), Complaint> {
        columns.check(row)?;
        for &at in &columns.texts {
            row.column(at)?;
        }
        self.labels.push(self.classes.number(row.column(columns.label)?)?);
        self.starts.push(row.start);
        Ok(())
    }
}
