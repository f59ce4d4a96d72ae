//! Files that are there whole or not at all, even if the process is killed or the power fails.
//!
//! A file is written beside its place as `NAME.partial`, flushed to the disk and renamed, so whoever
//! reads it finds the old file or the new one. The partial name is always the same: the next write
//! takes over what a killed one left behind. Two writers of one file at one moment are therefore the
//! caller's to keep apart, as the lock of a [`run`](crate::experiment::run) does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes what `fill` puts into the file. If anything fails, the file at `path` is as before, the partial
/// one is gone, and the error names `path`.
pub(crate) fn write_whole(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let partial = partial_name(path)?;
    let mut file = File::create(&partial).map_err(|source| Error::io(path, source))?;
    let written = fill(&mut file)
        .and_then(|()| file.sync_all().map_err(|source| Error::io(path, source)))
        .and_then(|()| fs::rename(&partial, path).map_err(|source| Error::io(path, source)))
        .and_then(|()| sync_folder(path).map_err(|source| Error::io(path, source)));
    if written.is_err() {
        // The first error is the one to tell; a file that cannot be removed either changes nothing.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// A new name is on the disk once its folder is; where folders cannot be opened the system sees to that.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) if cfg!(unix) && parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// Writes `bytes`, all of them or none.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, |file| {
        std::io::Write::write_all(file, bytes).map_err(|source| Error::io(path, source))
    })
}

fn partial_name(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(Error::File {
            path: path.to_path_buf(),
            expected: "the name of a file".to_owned(),
            found: "the name of a folder".to_owned(),
        });
    };
    let mut partial = name.to_owned();
    partial.push(".partial");
    Ok(path.with_file_name(partial))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_writer_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.bin");
        fs::write(folder.path().join("state.bin.partial"), b"longer than the new content").unwrap();
        write_bytes(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["state.bin"]);
    }

    #[test]
    fn a_failed_write_changes_nothing_and_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.bin");
        write_bytes(&path, b"old").unwrap();
        let refused = write_whole(&path, |file| {
            std::io::Write::write_all(file, b"half").unwrap();
            Err(Error::shape("rows", 2, 1))
        });
        assert!(matches!(refused, Err(Error::Shape { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        // A folder in the way: written, but not moved.
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("inside")).unwrap();
        let nowhere = folder.path().join("no/such/file");
        for path in [taken, nowhere] {
            let error = write_bytes(&path, b"new").unwrap_err();
            assert!(matches!(&error, Error::Io { path: named, .. } if *named == path), "{error}");
        }
        assert!(matches!(write_bytes(Path::new("/"), b"new"), Err(Error::File { .. })));
        assert_eq!(names(folder.path()), ["state.bin", "taken"]);
    }
}
