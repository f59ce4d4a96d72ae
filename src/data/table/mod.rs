//! Ready-made features, one row a point, from the files people keep them in.
//!
//! | file | features | labels, groups, costs |
//! |---|---|---|
//! | `.csv`, `.tsv`, `.txt` (with a header), or these and `.gz` | columns of numbers or [text](Categories) | columns |
//! | `.npy` | the array (rows, columns), C or Fortran order | `NAME.npy` in the same folder |
//! | `.npz` | one array (rows, columns) | arrays of one dimension |
//! | `.safetensors` | one tensor (rows, columns) | tensors of one dimension |
//! | `.parquet` (cargo feature `parquet`) | columns of numbers or [text](Categories), or one of lists | columns |
//!
//! Everything numeric is read, floats of 16 to 64 bits, whole numbers and booleans; features become
//! `f32`. Files are streamed: besides the `f32` matrix only a block of the file is in memory (of
//! `.parquet`, one column of a row group). Sizes that a file claims are believed only as far as
//! there are bytes to back them.

mod array;
mod categories;
mod coder;
mod columns;
mod csv;
mod extent;
mod key;
mod npy;
#[cfg(feature = "parquet")]
pub(super) mod parquet;
#[cfg(feature = "parquet")]
mod quiet;
mod safetensors;
mod stored;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::data::rows::check_delimiter;
use crate::data::{Dataset, Malformed};
use crate::error::{Error, Result};
pub use categories::{Categories, Values};
pub(crate) use columns::{Amount, Columns, Role};
pub use extent::{Extent, extent};
pub(crate) use key::{Found, Key};
pub use stored::{StoredTable, store};

/// Which columns (`.csv`, `.parquet`), arrays (`.npz`), tensors (`.safetensors`) or files in the
/// same folder (`.npy`: `label` is read from `label.npy`) hold what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// The features, in this order; empty: everything that has no other role, in the order of the
    /// file, but the [index](load#columns) that pandas adds. Arrays, tensors and columns of lists
    /// hold all features in one. Not used for `.npy`.
    pub features: Vec<String>,
    /// What is no feature, where those are not named.
    pub ignored: Vec<String>,
    /// The class of each row. `None`: there is one class, and every row belongs to it.
    pub label: Option<String>,
    /// The group of each row: rows chosen together.
    pub group: Option<String>,
    /// What each row is called.
    pub id: Option<String>,
    /// What choosing each row costs.
    pub cost: Option<String>,
    /// The number to be predicted for each row. Labels are read as well, unless there are none.
    pub target: Option<String>,
    /// The labels of the classes in the order of their numbers, for example
    /// [`Table::class_names`] of the training file; another label makes a row malformed. `None`: the
    /// labels that occur, numbers in order of their values and then other text, so that labels
    /// 0, 1, … stay what they are.
    pub class_names: Option<Vec<String>>,
    /// What becomes of a row that is not what it should be.
    pub malformed: Malformed,
    /// What becomes of text among the features. `None`: it is malformed.
    pub categories: Option<Categories>,
    /// What stands between two columns of `.csv`; not a quote or line break. A comma unless set,
    /// which in a file named `.tsv` means a tab.
    pub delimiter: u8,
    /// Numbers in `.csv` are written `1,5` instead of `1.5` (within quotes, if the delimiter is a
    /// comma too), and without marks between thousands.
    pub decimal_comma: bool,
}

/// Labels from `label`; everything else is a feature.
impl Default for TableOptions {
    fn default() -> Self {
        Self {
            features: Vec::new(),
            ignored: Vec::new(),
            label: Some("label".to_owned()),
            group: None,
            id: None,
            cost: None,
            target: None,
            class_names: None,
            malformed: Malformed::default(),
            categories: None,
            delimiter: b',',
            decimal_comma: false,
        }
    }
}

impl TableOptions {
    fn keys(&self) -> impl Iterator<Item = (Role, &String)> {
        let roles = [(Role::Label, &self.label), (Role::Group, &self.group), (Role::Id, &self.id)];
        roles.into_iter().filter_map(|(role, name)| Some((role, name.as_ref()?)))
    }

    fn amounts(&self) -> impl Iterator<Item = (Amount, &String)> {
        let amounts = [(Amount::Cost, &self.cost), (Amount::Target, &self.target)];
        amounts.into_iter().filter_map(|(amount, name)| Some((amount, name.as_ref()?)))
    }

    fn check(&self) -> Result<()> {
        let names: BTreeSet<&str> =
            self.class_names.iter().flatten().map(|name| name.trim()).collect();
        let count = self.class_names.as_ref().map_or(0, Vec::len);
        if names.len() < count {
            let found = format!("{} of {count}", names.len());
            return Err(Error::shape("TableOptions::class_names", "distinct names", found));
        }
        self.categories.iter().try_for_each(Categories::check)?;
        check_delimiter("TableOptions::delimiter", self.delimiter)
    }
}

/// Which group each row belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Number of each row's group.
    pub ids: Vec<u32>,
    /// Name of each group: numbers in order of their values, then other text.
    pub names: Vec<String>,
}

impl Groups {
    /// More rows below; equal names are one group.
    pub fn append(&mut self, more: &Groups) {
        let mut known: HashMap<String, u32> = self.names.iter().cloned().zip(0..).collect();
        let mut number = |name: &String| {
            let next = self.names.len() as u32;
            *known.entry(name.clone()).or_insert_with(|| {
                self.names.push(name.clone());
                next
            })
        };
        let renamed: Vec<u32> = more.names.iter().map(&mut number).collect();
        self.ids.extend(more.ids.iter().map(|id| renamed[*id as usize]));
    }
}

/// Features, labels and what else is known about each row.
#[derive(Clone, Debug)]
pub struct Table {
    /// Features (rows, columns), `f32` on the CPU, and labels.
    pub data: Dataset,
    /// The columns, arrays or tensors that the features come from: pass it on as
    /// [`TableOptions::features`] to read the same in the same order elsewhere.
    pub columns: Vec<String>,
    /// What the features are called: as `columns`, but for those that [`Categories`] make.
    pub feature_names: Vec<String>,
    /// The values of the text columns, if they were asked for: pass it on as
    /// [`TableOptions::categories`] to make the same features of them elsewhere.
    pub categories: Option<Categories>,
    /// The label each class has in the file.
    pub class_names: Vec<String>,
    /// Groups, if asked for.
    pub groups: Option<Groups>,
    /// What the rows are called, if asked for; several may have one name.
    pub ids: Option<Vec<String>>,
    /// Costs, if asked for; finite.
    pub costs: Option<Vec<f64>>,
    /// Targets, if asked for; finite.
    pub targets: Option<Vec<f64>>,
    /// The rows left out, counted from 0 below the header; none unless [`Malformed::Skip`] was
    /// asked for.
    pub skipped: Vec<usize>,
}

/// Reads the table at `path`; the end of its name says how, see [the overview](self).
///
/// Labels and groups are names, even where they look like numbers: `1`, `01` and `1.0` are three in
/// `.csv` and wherever else they are text, but for blanks around them. A number in a column of
/// numbers has its shortest text as name, also there `1` for `1.0`. Whole numbers that floats of the
/// column's type cannot tell apart (2⁵³ and more of 64 bits) are malformed. Two files need not have the
/// same labels: read the second one with the class names of the first, or equal numbers may mean
/// different classes.
///
/// Text in a feature column becomes features with [`TableOptions::categories`] (`.csv` and `.parquet`),
/// and is malformed without: then leave such a column out by naming the others.
///
/// # Columns
/// The index that pandas writes is no feature, unless it is named as one or has another role. In
/// `.parquet` that is what the file says, and `__index_level_0__` and the like; in `.csv`, columns
/// without a name before all others, as `to_csv` makes them; `Unnamed: 0`, as a first column, in both.
/// Two columns of one name are refused, unless neither is used.
///
/// In `.csv`, text is UTF-8 (a byte order mark is skipped) and lines end in LF, CR LF or CR; blank
/// lines are skipped. A column that begins with a quote ends with the next one that is not doubled
/// and may hold delimiters and line breaks. A row whose last quote is missing, or has text behind
/// it, or that is longer than 256 MiB, is malformed; reading goes on with the line after the one it
/// began in.
///
/// # Cost
/// One pass over the file, 4 bytes of memory a feature; about as much again for a moment while a
/// `.csv` or compressed file, whose number of rows nobody knows beforehand, grows in memory. Text
/// columns to be found in a `.csv` take a pass before that.
///
/// # Errors
/// [`Error::File`] if the file is truncated or not what its name says, for a malformed row (see
/// [`Malformed`]), and if no row is left; [`Error::Unknown`] for a name that is not there;
/// [`Error::OutOfRange`] for a delimiter that cannot be one; [`Error::Shape`] for equal class names; [`Error::Io`] if the system refuses. Over some damaged parquet files the reader used here panics;
/// that is caught and returned as [`Error::File`]. A panic hook that is set in front of the program's
/// own keeps it from being printed.
///
/// # Example
/// ```
/// use gleaner::data::table::{self, Categories, TableOptions};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train.csv");
/// std::fs::write(&path, "x,sex,speaker,label\n0.5,f,ann,cat\n1.5,m,bob,dog\n2.5,f,ann,dog\n").unwrap();
///
/// let options = TableOptions {
///     group: Some("speaker".into()),
///     categories: Some(Categories::default()),
///     ..Default::default()
/// };
/// let table = table::load(&path, &options)?;
/// assert_eq!(table.feature_names, ["x", "sex=f", "sex=m"]);
/// assert_eq!(table.data.inputs().to_vec2::<f32>()?[0], [0.5, 1.0, 0.0]);
/// assert_eq!(table.data.labels(), [0, 1, 1]);
/// assert_eq!(table.class_names, ["cat", "dog"]);
/// assert_eq!(table.groups.unwrap().ids, [0, 1, 0]);
///
/// // The test file: the same features and the same numbers for the same classes.
/// let test = TableOptions {
///     features: table.columns,
///     categories: table.categories,
///     class_names: Some(table.class_names),
///     ..options
/// };
/// # assert!(table::load(&path, &test).is_ok());
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn load(path: impl AsRef<Path>, options: &TableOptions) -> Result<Table> {
    options.check()?;
    let path = path.as_ref();
    let mut columns = Columns::new(path, options);
    let (width, names) = read(path, options, &mut columns)?;
    columns.finish(width, names)
}

/// Numbers of a row while it is read, and the columns that they come from.
type Features = (usize, Vec<String>);

fn read(path: &Path, options: &TableOptions, columns: &mut Columns) -> Result<Features> {
    match Form::of(path, options)? {
        Form::Text { delimiter, compressed } => {
            csv::read(path, &TableOptions { delimiter, ..options.clone() }, compressed, columns)
        }
        Form::Array => npy::read(path, options, columns),
        Form::Archive => npy::read_archive(path, options, columns),
        Form::Tensors => safetensors::read(path, options, columns),
        #[cfg(feature = "parquet")]
        Form::Parquet => parquet::read(path, options, columns),
    }
}

/// How a file is written, by the end of its name.
enum Form {
    Text {
        delimiter: u8,
        compressed: bool,
    },
    Array,
    Archive,
    Tensors,
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Form {
    fn of(path: &Path, options: &TableOptions) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let (plain, compressed) = match name.strip_suffix(".gz") {
            Some(plain) => (plain, true),
            None => (&name[..], false),
        };
        let form = match (plain.rsplit_once('.').map(|(_, ending)| ending), compressed) {
            (Some("csv" | "txt"), _) => {
                return Ok(Self::Text { delimiter: options.delimiter, compressed });
            }
            (Some("tsv"), _) => {
                let given = options.delimiter;
                let delimiter = if given == b',' { b'\t' } else { given };
                return Ok(Self::Text { delimiter, compressed });
            }
            (Some("npy"), false) => Self::Array,
            (Some("npz"), false) => Self::Archive,
            (Some("safetensors"), false) => Self::Tensors,
            #[cfg(feature = "parquet")]
            (Some("parquet"), false) => return Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            (Some("parquet"), false) => {
                return Err(unknown_kind(
                    path,
                    "a parquet file, without the cargo feature `parquet`",
                ));
            }
            _ => return Err(unknown_kind(path, "another name")),
        };
        // Arrays hold no text.
        options.categories.iter().try_for_each(|categories| categories.check_features(&[]))?;
        Ok(form)
    }
}

fn unknown_kind(path: &Path, found: &str) -> Error {
    let expected =
        "a file named .csv, .tsv or .txt (or these and .gz), .npy, .npz, .safetensors or .parquet";
    file_error(path, expected, found)
}

/// Position of the columns or arrays of each role among the names of a file.
pub(crate) struct Roles {
    pub(crate) features: Vec<usize>,
    pub(crate) keys: Vec<(Role, usize)>,
    pub(crate) amounts: Vec<(Amount, usize)>,
}

impl Roles {
    /// `index` are the columns that number the rows: features only if asked for by name.
    pub(crate) fn new(
        path: &Path,
        names: &[String],
        index: &[usize],
        options: &TableOptions,
    ) -> Result<Self> {
        let mut taken = BTreeSet::new();
        let mut place = |name: &String| {
            let Some(at) = names.iter().position(|other| other == name) else {
                let (what, expected) = ("column or array", names.join(", "));
                return Err(Error::Unknown { what, expected, found: name.clone() });
            };
            only(path, names, at)?;
            if !taken.insert(at) {
                let expected = format!("one purpose for {name:?}");
                return Err(file_error(path, expected, "two of them"));
            }
            Ok(at)
        };
        let (mut keys, mut amounts) = (Vec::new(), Vec::new());
        for (role, name) in options.keys() {
            keys.push((role, place(name)?));
        }
        for (amount, name) in options.amounts() {
            amounts.push((amount, place(name)?));
        }
        for name in &options.ignored {
            place(name)?;
        }
        let mut features = options.features.iter().map(place).collect::<Result<Vec<_>>>()?;
        if options.features.is_empty() {
            let free = |at: &usize| !taken.contains(at) && !index.contains(at);
            features = (0..names.len()).filter(free).collect();
            features.iter().try_for_each(|&at| only(path, names, at))?;
        }
        if features.is_empty() {
            let found = format!("only {}", names.join(", "));
            return Err(file_error(path, "features", found));
        }
        Ok(Self { features, keys, amounts })
    }

    /// The only feature array, for formats that keep all features in one.
    pub(crate) fn feature_array(&self, path: &Path, names: &[String]) -> Result<usize> {
        match self.features[..] {
            [at] => Ok(at),
            _ => {
                let found: Vec<&str> = self.features.iter().map(|&at| names[at].as_str()).collect();
                let expected = "one array of features: name it, or the labels";
                Err(file_error(path, expected, found.join(", ")))
            }
        }
    }
}

/// That no other column is called as the one at `at`: a name must mean one column, here and when the
/// names of the features are passed on.
fn only(path: &Path, names: &[String], at: usize) -> Result<()> {
    let same: Vec<String> = (0..names.len())
        .filter(|&other| names[other] == names[at])
        .map(|other| (other + 1).to_string())
        .collect();
    if same.len() == 1 {
        return Ok(());
    }
    let found = format!("{:?} as columns {}", names[at], same.join(" and "));
    Err(file_error(path, "columns of different names (or others named as features)", found))
}

/// Whether a column holds what pandas calls the rows, by the name that it gives where there is none.
fn is_unnamed_index(name: &str) -> bool {
    name == "Unnamed: 0"
        || name
            .strip_prefix("__index_level_")
            .and_then(|rest| rest.strip_suffix("__"))
            .is_some_and(|level| level.parse::<u32>().is_ok())
}

pub(crate) fn file_error(
    path: &Path,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    Error::File { path: PathBuf::from(path), expected: expected.into(), found: found.into() }
}
