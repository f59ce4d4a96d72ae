//! Files of the hub: sums, what is refused, and the cache; nothing here reaches out to a network.

use std::fs;
use std::path::PathBuf;

use gleaner::Error;
use gleaner::data::download::{self, HubFile};
use tempfile::TempDir;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// SHA-256 of nothing, and of "abc" (FIPS 180-2, appendix B.1).
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn hub_file() -> HubFile {
    HubFile {
        repository: "owner/set".to_owned(),
        revision: REVISION.to_owned(),
        file: "data/train.parquet".to_owned(),
        sha256: None,
    }
}

/// A cache that holds `content` already: a link to where the bytes are.
fn cached(content: &str) -> (TempDir, PathBuf, PathBuf) {
    let cache = TempDir::new().unwrap();
    let set = cache.path().join("datasets--owner--set");
    let blob = set.join("blobs/etag");
    let pointer = set.join("snapshots").join(REVISION).join("data/train.parquet");
    for folder in [blob.parent().unwrap(), pointer.parent().unwrap(), &set.join("refs")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(set.join("refs").join(REVISION), REVISION).unwrap();
    fs::write(&blob, content).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&blob, &pointer).unwrap();
    #[cfg(not(unix))]
    fs::copy(&blob, &pointer).unwrap();
    (cache, blob, pointer)
}

#[test]
fn sums_are_those_of_the_standard() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    for (content, sum) in [("", EMPTY), ("abc", ABC)] {
        fs::write(&path, content).unwrap();
        assert_eq!(download::sha256(&path).unwrap(), sum);
        download::verify(&path, sum).unwrap();
        download::verify(&path, &sum.to_ascii_uppercase()).unwrap();
    }
    // More than one block.
    fs::write(&path, vec![b'a'; 1_000_000]).unwrap();
    let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    assert_eq!(download::sha256(&path).unwrap(), million);
    let missing = folder.path().join("missing");
    assert!(matches!(download::sha256(missing).unwrap_err(), Error::Io { .. }));
}

#[test]
fn a_wrong_sum_names_both() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "abc").unwrap();
    let error = download::verify(&path, EMPTY).unwrap_err();
    assert!(matches!(&error, Error::File { .. }));
    let text = error.to_string();
    assert!(text.contains(EMPTY) && text.contains(ABC) && text.contains("file"), "{text}");
    assert!(path.exists(), "a file of the caller's own stays");
    for nonsense in ["", "abc", &ABC[1..], &ABC.replace('b', "x")] {
        let error = download::verify(&path, nonsense).unwrap_err();
        assert!(error.to_string().contains("64 hexadecimal digits"), "{error}");
    }
}

#[test]
fn a_cached_file_is_used_if_its_sum_is_right() {
    let (cache, _, pointer) = cached("abc");
    let path = hub_file().fetch(Some(cache.path())).unwrap();
    assert_eq!(path, pointer);
    let checked = HubFile { sha256: Some(ABC.to_owned()), ..hub_file() };
    assert_eq!(fs::read(checked.fetch(Some(cache.path())).unwrap()).unwrap(), b"abc");
}

#[test]
fn a_cached_file_with_a_wrong_sum_is_removed() {
    let (cache, blob, pointer) = cached("abd");
    let checked = HubFile { sha256: Some(ABC.to_owned()), ..hub_file() };
    let error = checked.fetch(Some(cache.path())).unwrap_err();
    assert!(error.to_string().contains(ABC), "{error}");
    assert!(fs::symlink_metadata(&pointer).is_err(), "the link is gone");
    assert!(cfg!(not(unix)) || !blob.exists(), "and the bytes");
}

#[test]
fn what_is_not_pinned_or_leaves_the_cache_is_refused() {
    let cache = TempDir::new().unwrap();
    let sha256 = Some("abc".to_owned());
    let refused = [
        HubFile { repository: "set".to_owned(), ..hub_file() },
        HubFile { repository: "owner/../set".to_owned(), ..hub_file() },
        HubFile { repository: "../set".to_owned(), ..hub_file() },
        HubFile { revision: "main".to_owned(), ..hub_file() },
        HubFile { revision: REVISION[1..].to_owned(), ..hub_file() },
        HubFile { file: String::new(), ..hub_file() },
        HubFile { file: "../train.parquet".to_owned(), ..hub_file() },
        HubFile { file: "/etc/hosts".to_owned(), ..hub_file() },
        HubFile { sha256, ..hub_file() },
    ];
    for file in refused {
        let error = file.fetch(Some(cache.path())).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{file:?}: {error}");
    }
}

#[test]
fn known_files_are_pinned() {
    for file in download::cifar10().into_iter().chain(download::cifar100()) {
        assert_eq!(file.revision.len(), 40);
        assert!(file.file.ends_with(".parquet") && file.repository.starts_with("uoft-cs/"));
        assert_eq!(file.sha256, None);
    }
}
