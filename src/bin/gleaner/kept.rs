//! What a command finds on its way, kept beside its output until all is done.

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
    /// Where the trials that lead to `out` are kept.
    pub fn trials(out: &Path) -> PathBuf {
        out.with_extension("run")
    }

    /// Where what is found of the rows is kept on the way to `out`.
    pub fn evidence(out: &Path) -> PathBuf {
        out.with_extension("evidence")
    }

    /// Opens it for what `asked` says; where another run was left there that one is refused.
    pub fn open<const N: usize>(folder: PathBuf, asked: [(&str, String); N]) -> Result<Self> {
        let run = Run::open(own(folder)?, &named(asked))?;
        Ok(Self { run: run.into(), done: false })
    }

    /// Opens it for what is soon found again; where another run was left there it makes way.
    pub fn open_or_replace<const N: usize>(
        folder: PathBuf,
        asked: [(&str, String); N],
    ) -> Result<Self> {
        let run = Run::open_or_replace(own(folder)?, &named(asked))?;
        Ok(Self { run: run.into(), done: false })
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
fn own(folder: PathBuf) -> Result<PathBuf> {
    let of_run = |entry: DirEntry| match entry.file_name().to_str() {
        Some("lock" | "configuration.json.partial") => true,
        Some("configuration.json") => is_configuration(&entry.path()),
        _ => false,
    };
    let entries: Vec<DirEntry> = fs::read_dir(&folder).into_iter().flatten().flatten().collect();
    let configured = is_configuration(&folder.join("configuration.json"));
    if configured || entries.into_iter().all(of_run) {
        return Ok(folder);
    }
    let expected = "room for a folder that is removed in the end".to_owned();
    Err(Error::File { path: folder, expected, found: "files of somebody else's in it".into() })
}

/// Every run's says which gleaner it is of.
fn is_configuration(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let known = serde_json::from_str::<Configuration>(&text);
    known.is_ok_and(|known| known.contains_key("gleaner"))
}

fn named<const N: usize>(asked: [(&str, String); N]) -> Configuration {
    asked.map(|(name, value)| (name.to_owned(), value)).into()
}
