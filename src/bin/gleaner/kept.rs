//! What a command finds on its way, kept beside its output until all is done.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gleaner::experiment::{Configuration, Run};
use gleaner::{Error, Result};

/// The folder of a run that goes once its command has ended well, or has found nothing yet. The same command goes on with
/// what a killed one left.
pub struct Kept {
    run: Arc<Run>,
    done: bool,
}

impl Kept {
    /// Where what leads to `out` is kept.
    pub fn beside(out: &Path) -> PathBuf {
        out.with_extension("run")
    }

    /// Opens it for what `asked` says; where another run was left there that one is refused.
    pub fn open<const N: usize>(out: &Path, asked: [(&str, String); N]) -> Result<Self> {
        Run::open(own(out)?, &named(asked)).map(|run| Self { run: run.into(), done: false })
    }

    /// Opens it for what is soon found again; where another run was left there it makes way.
    pub fn open_or_replace<const N: usize>(out: &Path, asked: [(&str, String); N]) -> Result<Self> {
        Run::open_or_replace(own(out)?, &named(asked))
            .map(|run| Self { run: run.into(), done: false })
    }

    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// All is done.
    pub fn done(mut self) -> Result<()> {
        self.done = true;
        self.run.remove()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.done && self.run.is_empty() {
            // What stopped the command is what there is to tell.
            let _ = self.run.remove();
        }
    }
}

/// The folder, if it is a run's or nobody's.
fn own(out: &Path) -> Result<PathBuf> {
    let folder = Kept::beside(out);
    let of_run = |name: &OsStr| name == "configuration.json" || name == "lock";
    let known = |entry: DirEntry| of_run(&entry.file_name());
    let mut entries = fs::read_dir(&folder).into_iter().flatten().flatten().peekable();
    if entries.peek().is_none() || entries.any(known) {
        return Ok(folder);
    }
    let expected = "the place of a run beside the output, with no other files in it".to_owned();
    Err(Error::File { path: folder, expected, found: "files of somebody else's".into() })
}

fn named<const N: usize>(asked: [(&str, String); N]) -> Configuration {
    asked.map(|(name, value)| (name.to_owned(), value)).into()
}
