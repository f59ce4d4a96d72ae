//! The targets of `tests/fuzz` on their corpora and on what small changes make of those: a short run of what cargo-fuzz
//! does for hours.
//!
//! `GLEANER_CASES=100000` asks for so many a target.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[path = "fuzz/targets/bytes.rs"]
mod bytes;
#[path = "fuzz/targets/checkpoint.rs"]
mod checkpoint;
#[path = "fuzz/targets/conic.rs"]
mod conic;
#[path = "fuzz/targets/images.rs"]
mod images;
#[path = "fuzz/targets/model.rs"]
mod model;
#[path = "fuzz/targets/program.rs"]
mod program;
#[path = "fuzz/targets/tables.rs"]
mod tables;
#[path = "fuzz/targets/texts.rs"]
mod texts;

/// Runs a target; of what makes it panic the bytes are told, to be kept in its corpus.
fn check(target: &str, run: fn(&[u8])) {
    let cases = std::env::var("GLEANER_CASES").map_or(400, |cases| cases.parse().unwrap());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let corpus: Vec<Vec<u8>> = names.iter().map(|name| fs::read(name).unwrap()).collect();
    assert!(!corpus.is_empty(), "{}", folder.display());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let changed = (0..cases).map(|_| change(&corpus, &mut rng)).collect::<Vec<_>>();
    for bytes in corpus.iter().chain(&changed) {
        assert!(catch_unwind(|| run(bytes)).is_ok(), "{target} panics at {bytes:?}");
    }
}

/// Some bytes changed, left out or repeated; or all of them new.
fn change(corpus: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = corpus.choose(rng).cloned().unwrap_or_default();
    if bytes.is_empty() || rng.random_range(0..8) == 0 {
        return (0..rng.random_range(0..120)).map(|_| rng.random()).collect();
    }
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..4) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, bytes[rng.random_range(0..bytes.len())]),
        }
    }
    bytes
}

#[test]
fn tables_are_read_or_refused() {
    check("tables", tables::run);
}

#[test]
fn texts_are_read_or_refused() {
    check("texts", texts::run);
}

#[test]
fn images_are_read_or_refused() {
    check("images", images::run);
}

#[test]
fn states_are_read_or_refused() {
    check("checkpoint", checkpoint::run);
}

#[test]
fn programs_are_solved_or_refused() {
    check("program", program::run);
}

#[test]
fn programs_of_cones_are_solved_or_refused() {
    check("conic", conic::run);
}

#[test]
fn models_are_solved_or_refused() {
    check("model", model::run);
}
