//! Rows by what is known of them beside their features.

use std::path::PathBuf;

use gleaner::data::table::Groups;
use gleaner::{Error, Result};
use serde_json::{Value, json};

use crate::output::{Column, Values};

/// Rows by what is known of them beside their features, which need not be in memory.
pub trait Known {
    /// The files, and their hashes where they have some.
    fn files(&self) -> (&[PathBuf], &[String]);
    /// The file and the row in it, from 0 below the header.
    fn origin(&self, i: usize) -> (usize, usize);
    fn labelled(&self) -> bool;
    fn classes(&self) -> (&[u32], &[String]);
    fn ids(&self) -> Option<&[String]>;
    fn groups(&self) -> Option<&Groups>;
    /// What the features are called, if they have names.
    fn features(&self) -> &[String];
    /// Whether features stay on disk.
    fn stored(&self) -> bool;
    /// Number of features.
    fn width(&self) -> usize;
    fn skipped(&self) -> usize;

    /// What a feature is called; those of an array have numbers.
    fn feature(&self, k: usize) -> String {
        let names = self.features();
        if names.len() == self.width() { names[k].clone() } else { k.to_string() }
    }

    fn len(&self) -> usize {
        self.classes().0.len()
    }

    /// Whether rows need the name of their file.
    fn several(&self) -> bool {
        self.files().0.len() > 1
    }

    fn file(&self, i: usize) -> String {
        self.files().0[self.origin(i).0].display().to_string()
    }

    fn row(&self, i: usize) -> i64 {
        self.origin(i).1 as i64
    }

    /// # Errors
    /// [`Error::Shape`] for labels most of which are there once.
    fn check_labels(&self) -> Result<()> {
        let classes = self.classes().1.len();
        match self.labelled() && 2 * classes > self.len() {
            false => Ok(()),
            true => Err(Error::Shape {
                what: "labels",
                expected: "classes of several rows".into(),
                found: format!("{classes} classes of {} rows", self.len()),
            }),
        }
    }

    /// What tells rows apart in a result: row, file where there are several, id where there are such.
    fn keys(&self, rows: &[usize]) -> Vec<Column> {
        let numbers = rows.iter().map(|i| self.row(*i)).collect();
        let mut columns = vec![Column::new("row", Values::Whole(numbers))];
        if self.several() {
            columns.push(self.file_names(rows));
        }
        if let Some(ids) = self.ids() {
            let ids = rows.iter().map(|i| ids[*i].clone()).collect();
            columns.push(Column::new("id", Values::Text(ids)));
        }
        columns
    }

    /// The files of some rows.
    fn file_names(&self, rows: &[usize]) -> Column {
        let names = self.files().0.iter().map(|path| path.display().to_string()).collect();
        let ids = rows.iter().map(|i| self.origin(*i).0 as u32).collect(); // nobody names 2^32 files
        Column::new("file", Values::Named { names, ids })
    }

    /// The given labels of some rows.
    fn labels(&self, rows: &[usize]) -> Column {
        let (labels, classes) = self.classes();
        let names = (0..classes.len()).map(|class| self.class(class as u32)).collect();
        let ids = rows.iter().map(|i| labels[*i]).collect();
        Column::new("label", Values::Named { names, ids })
    }

    /// What a row is called in a table of rows.
    fn key(&self, i: usize) -> String {
        match self.ids() {
            Some(ids) => ids[i].clone(),
            None if self.several() => format!("{}:{}", self.file(i), self.row(i)),
            None => self.row(i).to_string(),
        }
    }

    /// The same in words.
    fn name(&self, i: usize) -> String {
        let alone = self.ids().is_none() && !self.several();
        if alone { format!("row {}", self.key(i)) } else { self.key(i) }
    }

    fn class(&self, label: u32) -> String {
        self.classes().1[label as usize].clone()
    }

    /// What was read, for a report.
    fn report(&self) -> Value {
        let (files, hashes) = self.files();
        // A folder has none.
        let hashes = hashes.iter().map(Some).chain(std::iter::repeat(None));
        let files = files.iter().zip(hashes);
        let file =
            |(path, hash): (&PathBuf, Option<&String>)| json!({"path": path, "sha256": hash});
        let mut report = json!({
            "files": files.map(file).collect::<Vec<_>>(),
            "rows": self.len(),
            "features": self.width(),
            "classes": self.labelled().then_some(self.classes().1.len()),
            "skipped_rows": self.skipped(),
        });
        if self.stored() {
            report["stored"] = json!(true);
        }
        report
    }
}
