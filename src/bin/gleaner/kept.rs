//! What a command finds on its way, kept beside its output until all is done.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gleaner::experiment::{Configuration, Run};
use gleaner::{Error, Result};

/// The folder of a run that goes once its command has ended well, or before anything was kept. The same command goes on with
/// what a killed one left.
pub struct Kept {
    folder: PathBuf,
    run: Arc<Run>,
}

impl Kept {
    /// Where what leads to `out` is kept.
    pub fn beside(out: &Path) -> PathBuf {
        out.with_extension("run")
    }

    /// Opens it for what `asked` says; where another run was left there that one is refused.
    pub fn open<const N: usize>(out: &Path, asked: [(&str, String); N]) -> Result<Self> {
        let folder = Self::beside(out);
        let run = Run::open(&folder, &named(asked))?;
        Ok(Self { folder, run: run.into() })
    }

    /// Opens it for what is soon found again; where another run was left there it makes way.
    pub fn open_or_replace<const N: usize>(out: &Path, asked: [(&str, String); N]) -> Result<Self> {
        let folder = Self::beside(out);
        let run = Run::open_or_replace(&folder, &named(asked))?;
        Ok(Self { folder, run: run.into() })
    }

    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// All is done.
    pub fn done(self) -> Result<()> {
        fs::remove_dir_all(&self.folder)
            .map_err(|source| Error::Io { path: self.folder.clone(), source })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let is_stage =
            |entry: DirEntry| entry.path().extension().is_some_and(|e| e == "safetensors");
        let stages = fs::read_dir(&self.folder).map(|all| all.flatten().any(is_stage));
        if let Ok(false) = stages {
            // What stopped the command is what there is to tell.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn named<const N: usize>(asked: [(&str, String); N]) -> Configuration {
    asked.map(|(name, value)| (name.to_owned(), value)).into()
}
