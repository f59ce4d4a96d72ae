//! The folder of a run that can be killed at any moment and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::learn::checkpoint::{Checkpoint, unwritable};
use crate::whole_file::write_bytes;

const CONFIGURATION: &str = "configuration.json";
const PARTIAL: &str = "configuration.json.partial";
const LOCK: &str = "lock";

/// What a run is asked to do: every setting that its results depend on, as text.
pub type Configuration = BTreeMap<String, String>;

/// The folder of a run: its configuration, and a checkpoint for each of its stages.
///
/// A stage that finds its own checkpoint goes on from there, so the same command started again after a
/// kill ends with the same bits as one that was never interrupted. The configuration is written first
/// and compared ever after: a folder never holds parts of two different runs.
///
/// # Example
/// ```
/// use gleaner::learn::Checkpoint;
/// use gleaner::experiment::{Configuration, Run};
/// # let folder = tempfile::tempdir().unwrap();
///
/// let asked = Configuration::from([("epochs".into(), "10".into())]);
/// let run = Run::open(folder.path(), &asked)?;
/// assert!(run.load("stage")?.is_none());
/// run.save("stage", &Checkpoint::new())?;
/// assert!(run.load("stage")?.is_some());
/// drop(run);
///
/// let other = Configuration::from([("epochs".into(), "12".into())]);
/// let refused = Run::open(folder.path(), &other).unwrap_err().to_string();
/// assert!(refused.contains("epochs = 10") && refused.contains("epochs = 12"));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Debug)]
pub struct Run {
    keep: Keep,
}

#[derive(Debug)]
enum Keep {
    Memory(Mutex<BTreeMap<String, Checkpoint>>),
    /// The lock is held open: the system gives it back however the process ends.
    Folder {
        path: PathBuf,
        _lock: File,
    },
}

impl Run {
    /// A run that is kept in memory only, and gone with the process.
    pub fn in_memory() -> Self {
        Self { keep: Keep::Memory(Mutex::default()) }
    }

    /// Opens the run in `folder`, or starts one there.
    ///
    /// The version of this crate is part of every configuration, since another one may round
    /// differently.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the run there was started with another configuration, or another
    /// process is at work on it; [`Error::Io`] and [`Error::File`] if the folder cannot be used, or holds states of
    /// nobody knows what.
    pub fn open(folder: impl AsRef<Path>, configuration: &Configuration) -> Result<Self> {
        Self::opened(folder.as_ref(), configuration, compare)
    }

    /// The same for what is soon found again: a run there that was started with another configuration makes way.
    ///
    /// # Errors
    /// As [`Run::open`], for another process at work and folders that cannot be used.
    pub fn open_or_replace(
        folder: impl AsRef<Path>,
        configuration: &Configuration,
    ) -> Result<Self> {
        let folder = folder.as_ref();
        Self::opened(folder, configuration, |path, stored, asked| {
            match compare(path, stored, asked) {
                // Its stages first: what is left if this is killed is still a part of the old run.
                Err(_) => {
                    remove_files(&stages(folder)?)?;
                    write_configuration(path, asked)
                }
                same => same,
            }
        })
    }

    fn opened(
        folder: &Path,
        configuration: &Configuration,
        compare: impl FnOnce(&Path, &[u8], &Configuration) -> Result<()>,
    ) -> Result<Self> {
        let folder = folder.to_path_buf();
        fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
        let lock = lock(&folder)?;
        let mut configuration = configuration.clone();
        configuration.insert("gleaner".into(), env!("CARGO_PKG_VERSION").into());
        let path = folder.join(CONFIGURATION);
        match fs::read(&path) {
            Ok(bytes) => compare(&path, &bytes, &configuration)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let states = stages(&folder)?;
                if let Some(state) = states.iter().find(|path| !path.ends_with(PARTIAL)) {
                    return Err(Error::File {
                        path: state.clone(),
                        expected: format!("a {CONFIGURATION} that says whose state it is"),
                        found: "none".into(),
                    });
                }
                write_configuration(&path, &configuration)?;
            }
            Err(source) => return Err(Error::io(&path, source)),
        }
        Ok(Self { keep: Keep::Folder { path: folder, _lock: lock } })
    }

    /// Whether no stage has saved anything.
    pub fn is_empty(&self) -> bool {
        match &self.keep {
            Keep::Memory(states) => whole(states).is_empty(),
            Keep::Folder { path, .. } => stages(path).is_ok_and(|stages| stages.is_empty()),
        }
    }

    /// Removes what the run has kept: its stages, its configuration, and the folder if nothing else is in it. Nothing should be
    /// saved any more.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let folder = match &self.keep {
            Keep::Memory(states) => {
                whole(states).clear();
                return Ok(());
            }
            Keep::Folder { path, .. } => path,
        };
        remove_files(&stages(folder)?)?;
        remove_files(&[folder.join(CONFIGURATION), folder.join(LOCK)])?;
        // Where it holds something else, or is a link, it stays.
        let _ = fs::remove_dir(folder);
        Ok(())
    }

    /// What the stage of that name saved last, if anything.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load(&self, stage: &str) -> Result<Option<Checkpoint>> {
        match &self.keep {
            Keep::Memory(states) => Ok(whole(states).get(stage).cloned()),
            Keep::Folder { path, .. } => match Checkpoint::load(path.join(file_name(stage))) {
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
                loaded => loaded.map(Some),
            },
        }
    }

    /// Saves the state of the stage of that name.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn save(&self, stage: &str, state: &Checkpoint) -> Result<()> {
        match &self.keep {
            Keep::Memory(states) => {
                whole(states).insert(stage.to_string(), state.clone());
                Ok(())
            }
            Keep::Folder { path, .. } => state.save(path.join(file_name(stage))),
        }
    }
}

fn whole(
    states: &Mutex<BTreeMap<String, Checkpoint>>,
) -> MutexGuard<'_, BTreeMap<String, Checkpoint>> {
    // A panic elsewhere cannot leave the map half-changed: entries are inserted whole.
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_configuration(path: &Path, configuration: &Configuration) -> Result<()> {
    let text =
        serde_json::to_string_pretty(configuration).map_err(|error| unwritable(path, &error))?;
    write_bytes(path, (text + "\n").as_bytes())
}

/// The files of all stages, those that are half-written too.
fn stages(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_stage = |ending: &OsStr| ending == "safetensors" || ending == "partial";
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| Error::io(folder, source))? {
        let path = entry.map_err(|source| Error::io(folder, source))?.path();
        if path.extension().is_some_and(is_stage) {
            found.push(path);
        }
    }
    Ok(found)
}

fn remove_files(files: &[PathBuf]) -> Result<()> {
    files.iter().try_for_each(|file| match fs::remove_file(file) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io(file, source)),
        _ => Ok(()),
    })
}

/// Letters, digits and dots stay; anything else would ask too much of a file system.
fn file_name(stage: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = stage.chars().map(plain).collect();
    name + ".safetensors"
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(|source| Error::io(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::Error(source)) => Err(Error::io(&path, source)),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Configuration {
            path,
            expected: "room for no other process".into(),
            found: "another one at work".into(),
        }),
    }
}

fn compare(path: &Path, stored: &[u8], asked: &Configuration) -> Result<()> {
    let stored: Configuration = serde_json::from_slice(stored).map_err(|error| Error::File {
        path: path.to_path_buf(),
        expected: "the configuration of a run".into(),
        found: error.to_string(),
    })?;
    let all: BTreeSet<&String> = stored.keys().chain(asked.keys()).collect();
    let differing: Vec<&String> =
        all.into_iter().filter(|key| stored.get(*key) != asked.get(*key)).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let show = |of: &Configuration| {
        let setting = |key: &&String| match of.get(*key) {
            Some(value) => format!("{key} = {value}"),
            None => format!("no {key}"),
        };
        differing.iter().map(setting).collect::<Vec<_>>().join(", ")
    };
    let (expected, found) = (show(&stored), show(asked));
    Err(Error::Configuration { path: path.to_path_buf(), expected, found })
}
