//! What is chosen from: tables, several as one; texts; folders of pictures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use clap::Args;
use gleaner::data::table::{Categories, Extent, Groups, Table, TableOptions, extent, load, store};
use gleaner::data::{Dataset, Malformed};
use gleaner::{Error, Result};
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::embedded::{self, Embedded, Embedding, Shown, Texts};
use crate::known::Known;
use crate::listed::{Listed, listed_wrong};
use crate::memory::Demand;
use crate::stored::Stored;

#[derive(Args, Clone)]
pub struct Input {
    /// Files with the same columns, or patterns such as 'part-*.csv', read as one; or a folder of pictures, one folder a class.
    #[arg(required = true, value_name = "DATA")]
    data: Vec<PathBuf>,
    /// The column, array or file of the labels.
    #[arg(long)]
    pub label: Option<String>,
    /// What the rows are called; rows have their numbers anyway, from 0 below the header.
    #[arg(long)]
    id: Option<String>,
    /// The features [default: everything that has no other role].
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    features: Vec<String>,
    /// What is no feature.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", conflicts_with = "features")]
    ignore: Vec<String>,
    /// Columns of sequences of one length, such as residues: every letter of every place becomes a feature.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    letters: Vec<String>,
    /// Columns of a CSV file that hold text: their words become the features.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", requires = "label", conflicts_with_all = ["features", "ignore", "id"])]
    text: Vec<String>,
    /// The column of a parquet file that holds pictures of one size; its labels are numbers.
    #[arg(long, requires = "label", conflicts_with_all = ["features", "ignore", "id", "text"])]
    image: Option<String>,
    /// The file is one of texts without a header: the class, counted from 1, and what is written.
    #[arg(long, conflicts_with_all = ["label", "features", "ignore", "id", "text", "image"])]
    numbered_texts: bool,
    /// Pixels to which pictures of a folder are brought, either way.
    #[arg(long, default_value_t = 32, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8..=256))]
    size: usize,
    /// What stands between two columns.
    #[arg(long, default_value_t = ',')]
    delimiter: char,
    /// Numbers are written 1,5 instead of 1.5.
    #[arg(long)]
    decimal_comma: bool,
    /// Leaves malformed rows out instead of refusing the file.
    #[arg(long)]
    skip_malformed: bool,
}

/// Rows from which on neighbours are looked for in parts of the data.
pub const LARGE: usize = 100_000;

/// Which other columns a command wants.
#[derive(Default)]
pub struct Extra<'a> {
    pub group: Option<&'a String>,
    pub cost: Option<&'a String>,
}

/// What was read, and from where.
pub struct Data {
    pub table: Table,
    pub labelled: bool,
    /// The file and the row in it of each row.
    origin: Vec<(usize, usize)>,
    files: Vec<PathBuf>,
    hashes: Vec<String>,
    embedding: Option<Embedding>,
    /// What rows look like, if they are more than their features.
    pub shown: Option<Shown>,
}

impl Input {
    /// # Errors
    /// Before anything is read, [`Error::Shape`] where the work needs more memory than it may have.
    pub fn read(&self, extra: &Extra, demand: Demand, context: &mut Context) -> Result<Data> {
        let files = self.files()?;
        if let Some(limit) = context.memory_limit() {
            demand.check(limit, &self.extents(&files, extra)?)?;
        }
        context.step("reading", || match self.kind() {
            Kind::Tables => self.tables(files, extra),
            _ => self.embedded(files, extra),
        })
    }

    /// Whether a table is so large that its features had better stay on disk, and fit in the limit only there.
    ///
    /// # Errors
    /// As [`extent`], and [`Error::Shape`] where they do not fit even so.
    pub fn is_large(
        &self,
        extra: &Extra,
        demand: Demand,
        on_disk: impl FnOnce(&[Extent]) -> Demand,
        context: &Context,
    ) -> Result<bool> {
        if self.kind() != Kind::Tables {
            return Ok(false);
        }
        let extents = self.extents(&self.files()?, extra)?;
        // What text becomes is known when all of it is read: it stays in memory.
        if extents.iter().any(|extent| extent.text) {
            return Ok(false);
        }
        let rows: usize = extents.iter().map(|extent| extent.rows).sum();
        let Some(limit) = context.memory_limit() else { return Ok(rows > LARGE) };
        let large = rows > LARGE || demand.check(limit, &extents).is_err();
        if large {
            on_disk(&extents).check(limit, &extents)?;
        }
        Ok(large)
    }

    /// Reads a table that [is large](Self::is_large); what is not in a file as it is to be goes into a nameless one beside
    /// the result.
    pub fn store(&self, extra: &Extra, out: &Path, context: &mut Context) -> Result<Stored> {
        let beside = out.parent().filter(|folder| *folder != Path::new(""));
        let scratch = beside.unwrap_or(Path::new("."));
        let files = self.files()?;
        let options = self.options(extra)?;
        context.step("reading", || {
            let hashes = files.iter().map(|path| hash(path)).collect::<Result<_>>()?;
            let mut table = store(&files[0], &options, scratch)?; // clap asks for one
            for path in &files[1..] {
                let same = TableOptions {
                    features: table.columns.clone(),
                    ignored: Vec::new(),
                    ..options.clone()
                };
                table.append(store(path, &same, scratch)?)?;
            }
            Ok(Stored { table, labelled: self.label.is_some(), files, hashes })
        })
    }

    /// The files of one of several tasks, from 0 on: some that follow one another.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer files than tasks, [`Error::Unknown`] for what is no table.
    pub fn of_task(&self, task: usize, tasks: usize) -> Result<Self> {
        if self.kind() != Kind::Tables {
            let (expected, found) = ("tables".into(), "texts or pictures".into());
            return Err(Error::Unknown { what: "--task", expected, found });
        }
        let files = self.files()?;
        if files.len() < tasks {
            let expected = format!("as many files as tasks, {tasks} or more");
            return Err(Error::Shape { what: "--task", expected, found: files.len().to_string() });
        }
        let cut = |task: usize| files.len() * task / tasks;
        Ok(Self { data: files[cut(task)..cut(task + 1)].to_vec(), ..self.clone() })
    }

    /// How many rows there are, or about so many.
    pub fn rows(&self, extra: &Extra) -> Result<usize> {
        Ok(self.extents(&self.files()?, extra)?.iter().map(|extent| extent.rows).sum())
    }

    fn extents(&self, files: &[PathBuf], extra: &Extra) -> Result<Vec<Extent>> {
        if self.kind() != Kind::Tables {
            let expected = "a table: of texts and pictures nobody knows beforehand".into();
            let found = files[0].display().to_string(); // clap asks for one
            return Err(Error::Unknown { what: "--memory-limit", expected, found });
        }
        let options = self.options(extra)?;
        files.iter().map(|path| extent(path, &options)).collect()
    }

    /// What the first file is called, without its ending.
    pub fn name(&self) -> String {
        let name = self.data[0].file_stem().unwrap_or_default(); // clap asks for one
        name.to_string_lossy().into_owned()
    }

    fn kind(&self) -> Kind {
        if self.data[0].is_dir() || self.image.is_some() {
            Kind::Pictures
        } else if self.numbered_texts || !self.text.is_empty() {
            Kind::Texts
        } else {
            Kind::Tables
        }
    }

    pub fn is_labelled(&self) -> bool {
        self.label.is_some() || self.numbered_texts || self.kind() == Kind::Pictures
    }

    /// # Errors
    /// Without labels, one that says what to do.
    pub fn labelled(&self) -> Result<()> {
        match self.is_labelled() {
            true => Ok(()),
            false => Err(Error::Unknown {
                what: "label",
                expected: "--label and the column of the labels".into(),
                found: String::new(),
            }),
        }
    }

    /// Another file with the same columns and classes.
    pub fn read_like(&self, path: &Path, first: &Data, context: &mut Context) -> Result<Table> {
        if let Some(embedding) = &first.embedding {
            let like = Some((embedding, &first.table));
            return context.step("reading the other set", || Ok(self.embed(path, like)?.table));
        }
        let mut options = like(&first.table, &self.options(&Extra::default())?);
        options.class_names = Some(first.table.class_names.clone());
        options.id = None;
        context.step("reading the other set", || load(path, &options))
    }

    /// Another file with the same columns, and one of labels that are these.
    pub fn read_labelled(
        &self,
        path: &Path,
        (label, classes): (&str, Vec<String>),
        first: &Data,
        context: &mut Context,
    ) -> Result<Dataset> {
        let mut options = like(&first.table, &self.options(&Extra::default())?);
        (options.label, options.class_names, options.id) =
            (Some(label.into()), Some(classes), None);
        Ok(context.step("reading the other set", || load(path, &options))?.data)
    }

    fn options(&self, extra: &Extra) -> Result<TableOptions> {
        Ok(TableOptions {
            features: self.features.clone(),
            ignored: self.ignore.clone(),
            label: self.label.clone(),
            id: self.id.clone(),
            group: extra.group.cloned(),
            cost: extra.cost.cloned(),
            malformed: self.malformed(),
            categories: Some(Categories { letters: self.letters.clone(), values: None }),
            delimiter: self.delimiter()?,
            decimal_comma: self.decimal_comma,
            ..Default::default()
        })
    }

    /// The files that are meant, those of a pattern in the order of their names.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for path in &self.data {
            let pattern = path.to_string_lossy();
            if path.exists() || !pattern.contains(['*', '?', '[']) {
                files.push(path.clone());
                continue;
            }
            let wrong = |found: String| Error::File {
                path: path.clone(),
                expected: "a pattern that files match".into(),
                found,
            };
            let found = glob::glob(&pattern).map_err(|error| wrong(error.to_string()))?;
            let before = files.len();
            for path in found {
                files.push(path.map_err(|error| wrong(error.to_string()))?);
            }
            if files.len() == before {
                return Err(wrong("none".into()));
            }
        }
        Ok(files)
    }

    fn tables(&self, files: Vec<PathBuf>, extra: &Extra) -> Result<Data> {
        let options = self.options(extra)?;
        let hashes = files.iter().map(|path| hash(path)).collect::<Result<_>>()?;
        let first = load(&files[0], &options)?; // clap asks for one
        let mut tables = vec![first];
        for path in &files[1..] {
            tables.push(load(path, &like(&tables[0], &options))?);
        }
        let origin = tables.iter().enumerate().flat_map(origins).collect();
        let table = joined(tables)?;
        let labelled = self.label.is_some();
        Ok(Data { table, labelled, origin, files, hashes, embedding: None, shown: None })
    }

    /// Texts or pictures.
    fn embedded(&self, files: Vec<PathBuf>, extra: &Extra) -> Result<Data> {
        let [path] = &files[..] else {
            let (what, expected) = ("texts or pictures", "one file or folder".to_owned());
            return Err(Error::Shape { what, expected, found: files.len().to_string() });
        };
        let is_folder = path.is_dir();
        for (flag, given) in [
            ("--group, --cost or --truth", extra.group.or(extra.cost).is_some()),
            ("--letters", !self.letters.is_empty()),
            ("--decimal-comma", self.decimal_comma),
            ("--skip-malformed", self.skip_malformed && !is_folder),
            ("--label", self.label.is_some() && is_folder),
            ("--id", self.id.is_some()),
            ("--features or --ignore", !self.features.is_empty() || !self.ignore.is_empty()),
        ] {
            if given {
                let expected = "for tables only".to_owned();
                return Err(Error::Unknown {
                    what: "flag for texts and pictures",
                    expected,
                    found: flag.into(),
                });
            }
        }
        let hashes = if is_folder { Vec::new() } else { vec![hash(path)?] };
        let Embedded { table, embedding, shown } = self.embed(path, None)?;
        let origin = (0..table.data.len()).map(|row| (0, row)).collect();
        Ok(Data {
            table,
            labelled: true,
            origin,
            files,
            hashes,
            embedding: Some(embedding),
            shown: Some(shown),
        })
    }

    fn embed(&self, path: &Path, like: Option<(&Embedding, &Table)>) -> Result<Embedded> {
        if let (Some(image), Some(label)) = (&self.image, &self.label) {
            return embedded::column(path, image, label, like);
        }
        if self.kind() == Kind::Pictures {
            return embedded::folder(path, self.size, self.malformed(), like);
        }
        let columns = match &self.label {
            Some(label) => Texts::Named { label, texts: &self.text },
            None => Texts::Numbered,
        };
        embedded::texts(path, &columns, self.delimiter()?, like)
    }

    fn malformed(&self) -> Malformed {
        if self.skip_malformed { Malformed::Skip } else { Malformed::Refuse }
    }

    fn delimiter(&self) -> Result<u8> {
        u8::try_from(self.delimiter).map_err(|_| Error::OutOfRange {
            what: "--delimiter",
            rule: "a character of ASCII",
            found: u32::from(self.delimiter).into(),
        })
    }
}

#[derive(PartialEq)]
enum Kind {
    Tables,
    Texts,
    Pictures,
}

/// The same features of another file.
fn like(first: &Table, options: &TableOptions) -> TableOptions {
    TableOptions {
        features: first.columns.clone(),
        ignored: Vec::new(),
        categories: first.categories.clone(),
        ..options.clone()
    }
}

/// Where the rows of a table stood, those left out counted.
fn origins((file, table): (usize, &Table)) -> Vec<(usize, usize)> {
    let all = table.data.len() + table.skipped.len();
    let skipped = |row: &usize| table.skipped.binary_search(row).is_err();
    (0..all).filter(skipped).map(|row| (file, row)).collect()
}

/// One table under the other: equal names are equal classes and groups.
fn joined(mut tables: Vec<Table>) -> Result<Table> {
    let mut whole = tables.remove(0); // there is one
    if tables.is_empty() {
        return Ok(whole);
    }
    let mut labels = Groups { ids: whole.data.labels().to_vec(), names: whole.class_names };
    let mut inputs = vec![whole.data.inputs().clone()];
    for table in tables {
        let ids = table.data.labels().to_vec();
        labels.append(&Groups { ids, names: table.class_names });
        inputs.push(table.data.inputs().clone());
        if let (Some(groups), Some(more)) = (&mut whole.groups, table.groups) {
            groups.append(&more);
        }
        whole.ids.iter_mut().for_each(|ids| ids.extend(table.ids.clone().unwrap_or_default()));
        whole.costs.iter_mut().for_each(|c| c.extend(table.costs.clone().unwrap_or_default()));
    }
    let classes = labels.names.len();
    whole.data = Dataset::new(Tensor::cat(&inputs, 0)?, labels.ids, classes)?;
    whole.class_names = labels.names;
    Ok(whole)
}

/// SHA-256 of a file.
pub fn hash(path: &Path) -> Result<String> {
    let refused = |source| Error::io(path, source);
    let mut digest = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path).map_err(refused)?, &mut digest)
        .map_err(refused)?;
    Ok(format!("{:x}", digest.finalize()))
}

impl Known for Data {
    fn files(&self) -> (&[PathBuf], &[String]) {
        (&self.files, &self.hashes)
    }

    fn origin(&self, i: usize) -> (usize, usize) {
        self.origin[i]
    }

    fn labelled(&self) -> bool {
        self.labelled
    }

    fn classes(&self) -> (&[u32], &[String]) {
        (self.table.data.labels(), &self.table.class_names)
    }

    fn ids(&self) -> Option<&[String]> {
        self.table.ids.as_deref()
    }

    fn groups(&self) -> Option<&Groups> {
        self.table.groups.as_ref()
    }

    fn features(&self) -> &[String] {
        &self.table.feature_names
    }

    fn stored(&self) -> bool {
        false
    }

    fn width(&self) -> usize {
        self.table.data.inputs().dims().last().copied().unwrap_or(0)
    }

    fn skipped(&self) -> usize {
        self.table.skipped.len()
    }
}

impl Data {
    /// Where each row stands, by its file and its number there.
    pub fn places(&self) -> HashMap<(String, i64), usize> {
        (0..self.len()).map(|i| ((self.file(i), self.row(i)), i)).collect()
    }

    /// The rows that a file names by a column `row`, and a column `file` where there are several; ascending, each once.
    ///
    /// # Errors
    /// [`Error::File`] for another form, no rows, or one that is not here.
    pub fn rows_in(&self, path: &Path) -> Result<Vec<usize>> {
        let listed = Listed::read(path, &[])?;
        let places = self.places();
        let first = self.file(0);
        let mut rows = Vec::with_capacity(listed.rows.len());
        for (row, file, _) in listed.rows {
            let at = (file.unwrap_or_else(|| first.clone()), row);
            let place = places.get(&at).ok_or_else(|| listed_wrong(path, format!("row {row}")))?;
            rows.push(*place);
        }
        rows.sort_unstable();
        rows.dedup();
        if rows.is_empty() { Err(listed_wrong(path, "none".into())) } else { Ok(rows) }
    }
}
