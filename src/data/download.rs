//! Files of data sets on the Hugging Face hub, at a fixed revision, checked by their SHA-256.
//!
//! The only part of the crate that uses the network, and only when [`HubFile::fetch`] is called for a
//! file that is not in the cache yet. The hub keeps its sets as parquet:
//! [`load_image_parquet`](crate::data::load_image_parquet) reads pictures (cargo features `images` and
//! `parquet`), [`table::load`](crate::data::table::load) numbers.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// One file of a data set on the hub.
///
/// # Example
/// ```no_run
/// use gleaner::data::{ImageParquetOptions, cifar::Version, load_image_parquet};
/// use gleaner::data::download::{self, HubFile};
///
/// let [train, test] = download::cifar10();
/// let options = ImageParquetOptions::cifar(Version::Cifar10);
/// let train = load_image_parquet(train.fetch(None)?, &options)?;
/// // Once the sum is known, files are held to it.
/// let sha256 = Some(download::sha256("test.parquet")?);
/// let test = load_image_parquet(HubFile { sha256, ..test }.fetch(None)?, &options)?;
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// The data set, `owner/name`.
    pub repository: String,
    /// The commit, 40 hexadecimal digits: a branch could say something else tomorrow.
    pub revision: String,
    /// Path of the file in the repository.
    pub file: String,
    /// What the file's SHA-256 must be, 64 hexadecimal digits; `None`: not checked.
    pub sha256: Option<String>,
}

/// Training and test images of CIFAR-10 (columns `img`, `label`). The files' sums are not known to
/// this crate.
pub fn cifar10() -> [HubFile; 2] {
    let (repository, revision) = ("uoft-cs/cifar10", "0b2714987fa478483af9968de7c934580d0bb9a2");
    ["train", "test"].map(|part| hub_file(repository, revision, "plain_text", part))
}

/// Training and test images of CIFAR-100 (columns `img`, `fine_label`, `coarse_label`). The files'
/// sums are not known to this crate.
pub fn cifar100() -> [HubFile; 2] {
    let (repository, revision) = ("uoft-cs/cifar100", "aadb3af77e9048adbea6b47c21a81e47dd092ae5");
    ["train", "test"].map(|part| hub_file(repository, revision, "cifar100", part))
}

fn hub_file(repository: &str, revision: &str, folder: &str, part: &str) -> HubFile {
    HubFile {
        repository: repository.to_owned(),
        revision: revision.to_owned(),
        file: format!("{folder}/{part}-00000-of-00001.parquet"),
        sha256: None,
    }
}

impl HubFile {
    /// Path of the file in the `cache` folder, downloaded if it is not there yet. `None` is the
    /// cache that the hub's own tools use (`HF_HOME`, or `~/.cache/huggingface`). The hub's address
    /// can be changed by the environment variable `HF_ENDPOINT`.
    ///
    /// # Cost
    /// The download, once; reading the file, every time, if there is a sum to check.
    ///
    /// # Errors
    /// [`Error::File`] if an entry is malformed, or if the file has another sum than it must have: it
    /// is removed from the cache then. [`Error::Io`] if the hub cannot be reached or refuses, or if
    /// the system refuses.
    pub fn fetch(&self, cache: Option<&Path>) -> Result<PathBuf> {
        self.check()?;
        let mut builder = ApiBuilder::from_env().with_progress(false);
        if let Some(cache) = cache {
            builder = builder.with_cache_dir(cache.to_path_buf());
        }
        let refused = |error| Error::io(self.name(), io::Error::other(error));
        let (repository, revision) = (self.repository.clone(), self.revision.clone());
        let repo = Repo::with_revision(repository, RepoType::Dataset, revision);
        let api = builder.build().map_err(refused)?.repo(repo);
        let path = api.get(&self.file).map_err(refused)?;
        if let Some(expected) = &self.sha256 {
            verify(&path, expected).inspect_err(|error| remove(&path, error))?;
        }
        Ok(path)
    }

    /// What is asked for, in the shape of a path, for messages.
    fn name(&self) -> PathBuf {
        PathBuf::from(format!("{}@{}/{}", self.repository, self.revision, self.file))
    }

    fn check(&self) -> Result<()> {
        let refused = |expected: &str, found: &str| Error::File {
            path: self.name(),
            expected: expected.to_owned(),
            found: format!("{found:?}"),
        };
        let part = |part: &str| !part.is_empty() && !part.contains(['/', '\\']) && part != "..";
        if !self.repository.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name)) {
            return Err(refused("a repository owner/name", &self.repository));
        }
        if !is_hex(&self.revision, 40) {
            return Err(refused("a revision of 40 hexadecimal digits", &self.revision));
        }
        let mut steps = Path::new(&self.file).components();
        if self.file.is_empty() || !steps.all(|step| matches!(step, Component::Normal(_))) {
            return Err(refused("the path of a file in the repository", &self.file));
        }
        self.sha256.as_deref().map_or(Ok(()), |sum| check_sum(&self.name(), sum))
    }
}

/// The SHA-256 of the file at `path`, in 64 hexadecimal digits.
///
/// # Errors
/// [`Error::Io`] if the system refuses.
pub fn sha256(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let refused = |source| Error::io(path, source);
    let mut file = File::open(path).map_err(refused)?;
    let (mut digest, mut block) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut block).map_err(refused)? {
            0 => break,
            read => digest.update(&block[..read]),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Checks that the file at `path` has this SHA-256 (64 hexadecimal digits, small or capital).
///
/// # Errors
/// [`Error::File`] if it has another one, or `expected` is none; [`Error::Io`] if the system
/// refuses.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("hello");
/// use gleaner::data::download;
///
/// std::fs::write(&path, "abc").unwrap();
/// let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// assert_eq!(download::sha256(&path)?, sum);
/// std::fs::write(&path, "abd").unwrap();
/// assert!(download::verify(&path, sum).is_err());
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn verify(path: impl AsRef<Path>, expected: &str) -> Result<()> {
    let path = path.as_ref();
    check_sum(path, expected)?;
    let found = sha256(path)?;
    match found.eq_ignore_ascii_case(expected) {
        true => Ok(()),
        false => Err(Error::File {
            path: path.to_path_buf(),
            expected: format!("SHA-256 {}", expected.to_ascii_lowercase()),
            found: format!("SHA-256 {found}"),
        }),
    }
}

fn check_sum(path: &Path, sum: &str) -> Result<()> {
    match is_hex(sum, 64) {
        true => Ok(()),
        false => Err(Error::File {
            path: path.to_path_buf(),
            expected: "a SHA-256 of 64 hexadecimal digits to compare with".to_owned(),
            found: format!("{sum:?}"),
        }),
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes a file with a wrong sum from the cache, and what it may be a link to, so that the next
/// attempt downloads it again. Where that fails the sum is checked again anyway.
fn remove(path: &Path, error: &Error) {
    if matches!(error, Error::File { .. }) {
        let target = fs::canonicalize(path);
        let _ = fs::remove_file(path);
        if let Ok(target) = target {
            let _ = fs::remove_file(target);
        }
    }
}
