//! State on disk: tensors and notes in one file that is there whole or not at all.
//!
//! A file is written under another name, flushed to the disk and renamed, so whoever reads it finds the
//! old state or the new one, never a part. What belongs together goes into one [`Checkpoint`]: two
//! files could be one step apart.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::str::FromStr;

use candle_core::{Device, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, View};

use crate::error::{Error, Result};
use crate::hash::{FNV_START, fnv};
use crate::whole_file::write_bytes;

/// Where the notes are kept in the metadata of a safetensors file: under one key, because the format
/// does not keep several in order, and equal states should give equal files.
const NOTES: &str = "notes";
/// The note that tells a changed file.
const DIGEST: &str = "digest";

/// Named tensors and short notes, saved together.
///
/// The file is plain safetensors, so other tools can read the tensors.
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use gleaner::learn::Checkpoint;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("state.safetensors");
///
/// let mut state = Checkpoint::new();
/// state.set("weights", Tensor::new(&[1f32, 2.0], &Device::Cpu)?);
/// state.set_note("epoch", 3);
/// state.save(&path)?;
///
/// let again = Checkpoint::load(&path)?;
/// assert_eq!(again.tensor("weights")?.to_vec1::<f32>()?, [1.0, 2.0]);
/// assert_eq!(again.note::<usize>("epoch")?, 3);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    tensors: BTreeMap<String, Tensor>,
    notes: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a tensor under a name, in place of an older one.
    pub fn set(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.tensors.insert(name.into(), tensor.detach());
    }

    /// Puts every tensor under `prefix/name`.
    pub fn set_all(&mut self, prefix: &str, tensors: impl IntoIterator<Item = (String, Tensor)>) {
        for (name, tensor) in tensors {
            self.set(format!("{prefix}/{name}"), tensor);
        }
    }

    /// Puts copies of variables under `prefix/name`: the next step overwrites a variable in place.
    ///
    /// # Errors
    /// [`Error::Tensor`] if one cannot be copied.
    pub fn set_variables(&mut self, prefix: &str, variables: &[(String, Var)]) -> Result<()> {
        for (name, variable) in variables {
            self.set(format!("{prefix}/{name}"), variable.as_tensor().copy()?);
        }
        Ok(())
    }

    /// Puts a note under a name, in place of an older one.
    pub fn set_note(&mut self, name: impl Into<String>, note: impl ToString) {
        self.notes.insert(name.into(), note.to_string());
    }

    /// Notes where a generator stands: its key, stream and position.
    pub fn set_generator(&mut self, name: &str, generator: &ChaCha8Rng) {
        let key: String = generator.get_seed().iter().map(|byte| format!("{byte:02x}")).collect();
        let (stream, position) = (generator.get_stream(), generator.get_word_pos());
        self.set_note(name, format!("{key} {stream} {position}"));
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is none.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| unknown("tensor", name, self.tensors.keys()))
    }

    /// All tensors under `prefix/`, by what follows.
    pub fn all(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let under = |name: &String| Some(name.strip_prefix(prefix)?.strip_prefix('/')?.to_string());
        let named = self.tensors.iter();
        named.filter_map(|(name, tensor)| Some((under(name)?, tensor.clone()))).collect()
    }

    /// All tensors by name.
    pub fn into_tensors(self) -> BTreeMap<String, Tensor> {
        self.tensors
    }

    /// The note of that name, read as what the caller expects.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is none, [`Error::Shape`] if it cannot be read as a `T`.
    pub fn note<T: FromStr>(&self, name: &str) -> Result<T> {
        let note = self.notes.get(name).ok_or_else(|| unknown("note", name, self.notes.keys()))?;
        note.parse().map_err(|_| Error::Shape {
            what: "note of a checkpoint",
            expected: format!("{} under {name:?}", std::any::type_name::<T>()),
            found: note.clone(),
        })
    }

    /// Whether there is a note of that name.
    pub fn has_note(&self, name: &str) -> bool {
        self.notes.contains_key(name)
    }

    /// A generator that goes on where the one noted stood.
    ///
    /// # Errors
    /// As [`Checkpoint::note`].
    pub fn generator(&self, name: &str) -> Result<ChaCha8Rng> {
        let note = self.note::<String>(name)?;
        parse_generator(&note).ok_or_else(|| Error::Shape {
            what: "note of a checkpoint",
            expected: format!("key, stream and position of a generator under {name:?}"),
            found: note,
        })
    }

    /// Writes the file. An older one is replaced only once the new one is complete on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] if the file cannot be written; an older one is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        // A map of strings cannot fail to become JSON, but the signature says it may.
        let mut notes = self.notes.clone();
        notes.insert(DIGEST.to_string(), digest(&self.notes, self.tensors.iter()));
        let notes = serde_json::to_string(&notes).map_err(|error| unwritable(path, &error))?;
        let metadata = HashMap::from([(NOTES.to_string(), notes)]);
        let bytes = safetensors::serialize(&self.tensors, Some(metadata))
            .map_err(|error| unwritable(path, &error))?;
        write_bytes(path, &bytes)
    }

    /// Reads what [`Checkpoint::save`] wrote, or any safetensors file (which then has no notes).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is not whole safetensors or not what was
    /// written.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
        let broken = |error: &dyn std::fmt::Display| {
            let (expected, found) = ("tensors in safetensors form".into(), error.to_string());
            Error::File { path: path.to_path_buf(), expected, found }
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| broken(&error))?;
        // Files of other programs have no notes, though they may have metadata.
        let written = header.metadata().as_ref().and_then(|metadata| metadata.get(NOTES));
        let mut notes = BTreeMap::new();
        if let Some(written) = written {
            notes = serde_json::from_str(written).map_err(|error| broken(&error))?;
            let written: Option<String> = notes.remove(DIGEST);
            let whole = SafeTensors::deserialize(&bytes).map_err(|error| broken(&error))?;
            let views: BTreeMap<String, TensorView> = whole.tensors().into_iter().collect();
            if written != Some(digest(&notes, views.iter())) {
                return Err(broken(&"a file that was changed after it was written"));
            }
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| broken(&error))?;
        Ok(Self { tensors: tensors.into_iter().collect(), notes })
    }
}

/// Of every tensor and note with its name.
fn digest<'a, T: View + 'a>(
    notes: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a String, &'a T)>,
) -> String {
    let part = |hash, bytes: &[u8]| fnv(fnv(hash, &bytes.len().to_le_bytes()), bytes);
    let notes = notes
        .iter()
        .fold(FNV_START, |hash, (name, note)| part(part(hash, name.as_bytes()), note.as_bytes()));
    let all = tensors.fold(notes, |hash, (name, tensor)| {
        let shape = format!("{name} {:?} {:?}", tensor.dtype(), tensor.shape());
        part(part(hash, shape.as_bytes()), &tensor.data())
    });
    format!("{all:016x}")
}

fn unknown<'a>(what: &'static str, name: &str, names: impl Iterator<Item = &'a String>) -> Error {
    let expected = names.map(String::as_str).collect::<Vec<_>>().join(", ");
    Error::Unknown { what, expected, found: name.to_string() }
}

fn parse_generator(note: &str) -> Option<ChaCha8Rng> {
    let mut parts = note.split(' ');
    let (key, stream, position) = (parts.next()?, parts.next()?, parts.next()?);
    let mut seed = [0; 32];
    if key.len() != 2 * seed.len() || !key.is_ascii() {
        return None;
    }
    for (k, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&key[2 * k..2 * k + 2], 16).ok()?;
    }
    let mut generator = ChaCha8Rng::from_seed(seed);
    generator.set_stream(stream.parse().ok()?);
    generator.set_word_pos(position.parse().ok()?);
    Some(generator)
}

pub(crate) fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let (expected, found) = ("a file that can be written".into(), error.to_string());
    Error::File { path: path.to_path_buf(), expected, found }
}
