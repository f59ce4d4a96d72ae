//! What was read and left on disk.

use std::path::PathBuf;

use gleaner::data::Source;
use gleaner::data::table::{Groups, StoredTable};

use crate::known::Known;

/// A table whose features stay on disk.
pub struct Stored {
    pub table: StoredTable,
    pub labelled: bool,
    pub files: Vec<PathBuf>,
    pub hashes: Vec<String>,
}

impl Known for Stored {
    fn files(&self) -> (&[PathBuf], &[String]) {
        (&self.files, &self.hashes)
    }

    fn origin(&self, i: usize) -> (usize, usize) {
        self.table.origin(i).unwrap_or_default() // rows are those of the table
    }

    fn labelled(&self) -> bool {
        self.labelled
    }

    fn classes(&self) -> (&[u32], &[String]) {
        (self.table.labels(), &self.table.class_names)
    }

    fn ids(&self) -> Option<&[String]> {
        self.table.ids.as_deref()
    }

    fn groups(&self) -> Option<&Groups> {
        self.table.groups.as_ref()
    }

    fn features(&self) -> &[String] {
        &self.table.columns
    }

    fn stored(&self) -> bool {
        true
    }

    fn width(&self) -> usize {
        self.table.width()
    }

    fn skipped(&self) -> usize {
        self.table.skipped()
    }
}
