//! Tables from files, several as one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use clap::Args;
use gleaner::data::table::{Categories, Groups, Table, TableOptions, load};
use gleaner::data::{Dataset, Malformed};
use gleaner::{Error, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::context::Context;

#[derive(Args)]
pub struct Input {
    /// Files with the same columns; several are read as one.
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
}

impl Input {
    pub fn read(&self, extra: &Extra, context: &mut Context) -> Result<Data> {
        context.step("reading", || self.tables(extra))
    }

    /// What the first file is called, without its ending.
    pub fn name(&self) -> String {
        let name = self.data[0].file_stem().unwrap_or_default(); // clap asks for one
        name.to_string_lossy().into_owned()
    }

    /// # Errors
    /// Without labels, one that says what to do.
    pub fn labelled(&self) -> Result<()> {
        match self.label {
            Some(_) => Ok(()),
            None => Err(Error::Unknown {
                what: "label",
                expected: "--label and the column of the labels".into(),
                found: String::new(),
            }),
        }
    }

    /// Another file with the same columns and classes.
    pub fn read_like(&self, path: &Path, first: &Data, context: &mut Context) -> Result<Table> {
        let mut options = like(&first.table, &self.options(&Extra::default())?);
        options.class_names = Some(first.table.class_names.clone());
        options.id = None;
        context.step("reading the other set", || load(path, &options))
    }

    fn options(&self, extra: &Extra) -> Result<TableOptions> {
        let Ok(delimiter) = u8::try_from(self.delimiter) else {
            let (what, rule) = ("--delimiter", "a character of ASCII");
            return Err(Error::OutOfRange { what, rule, found: u32::from(self.delimiter).into() });
        };
        Ok(TableOptions {
            features: self.features.clone(),
            ignored: self.ignore.clone(),
            label: self.label.clone(),
            id: self.id.clone(),
            group: extra.group.cloned(),
            cost: extra.cost.cloned(),
            malformed: if self.skip_malformed { Malformed::Skip } else { Malformed::Refuse },
            categories: Some(Categories::default()),
            delimiter,
            decimal_comma: self.decimal_comma,
            ..Default::default()
        })
    }

    fn tables(&self, extra: &Extra) -> Result<Data> {
        let options = self.options(extra)?;
        let hashes = self.data.iter().map(|path| hash(path)).collect::<Result<_>>()?;
        let first = load(&self.data[0], &options)?; // clap asks for one
        let mut tables = vec![first];
        for path in &self.data[1..] {
            tables.push(load(path, &like(&tables[0], &options))?);
        }
        let origin = tables.iter().enumerate().flat_map(origins).collect();
        let table = joined(tables)?;
        let (labelled, files) = (self.label.is_some(), self.data.clone());
        Ok(Data { table, labelled, origin, files, hashes })
    }
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
        append(&mut labels, table.data.labels(), &table.class_names);
        inputs.push(table.data.inputs().clone());
        if let (Some(groups), Some(more)) = (&mut whole.groups, table.groups) {
            append(groups, &more.ids, &more.names);
        }
        whole.ids.iter_mut().for_each(|ids| ids.extend(table.ids.clone().unwrap_or_default()));
        whole.costs.iter_mut().for_each(|c| c.extend(table.costs.clone().unwrap_or_default()));
    }
    let classes = labels.names.len();
    whole.data = Dataset::new(Tensor::cat(&inputs, 0)?, labels.ids, classes)?;
    whole.class_names = labels.names;
    Ok(whole)
}

fn append(keys: &mut Groups, ids: &[u32], names: &[String]) {
    let mut known: HashMap<String, u32> = keys.names.iter().cloned().zip(0..).collect();
    let mut number = |name: &String| {
        let next = keys.names.len() as u32;
        *known.entry(name.clone()).or_insert_with(|| {
            keys.names.push(name.clone());
            next
        })
    };
    let renamed: Vec<u32> = names.iter().map(&mut number).collect();
    keys.ids.extend(ids.iter().map(|id| renamed[*id as usize]));
}

fn hash(path: &Path) -> Result<String> {
    let refused = |source| Error::Io { path: path.to_path_buf(), source };
    let mut digest = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path).map_err(refused)?, &mut digest)
        .map_err(refused)?;
    Ok(format!("{:x}", digest.finalize()))
}

impl Data {
    pub fn len(&self) -> usize {
        self.table.data.len()
    }

    /// Whether rows need the name of their file.
    pub fn several(&self) -> bool {
        self.files.len() > 1
    }

    /// What a feature is called; those of an array have numbers.
    pub fn feature(&self, k: usize) -> String {
        let names = &self.table.feature_names;
        if names.len() == self.width() { names[k].clone() } else { k.to_string() }
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.table.data.inputs().dims().last().copied().unwrap_or(0)
    }

    /// # Errors
    /// [`Error::Shape`] for labels most of which are there once.
    pub fn check_labels(&self) -> Result<()> {
        let classes = self.table.class_names.len();
        match self.labelled && 2 * classes > self.len() {
            false => Ok(()),
            true => Err(Error::Shape {
                what: "labels",
                expected: "classes of several rows".into(),
                found: format!("{classes} classes of {} rows", self.len()),
            }),
        }
    }

    pub fn file(&self, i: usize) -> String {
        self.files[self.origin[i].0].display().to_string()
    }

    /// The row in its file, from 0 below the header.
    pub fn row(&self, i: usize) -> i64 {
        self.origin[i].1 as i64
    }

    pub fn class(&self, label: u32) -> String {
        self.table.class_names[label as usize].clone()
    }

    /// What was read, for a report.
    pub fn report(&self) -> Value {
        let files = self.files.iter().zip(&self.hashes);
        let file = |(path, hash): (&PathBuf, &String)| json!({"path": path, "sha256": hash});
        json!({
            "files": files.map(file).collect::<Vec<_>>(),
            "rows": self.len(),
            "features": self.width(),
            "classes": self.labelled.then_some(self.table.class_names.len()),
            "skipped_rows": self.table.skipped.len(),
        })
    }
}
