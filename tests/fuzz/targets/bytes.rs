//! What a target makes of its bytes: choices, numbers of every kind, files.

#![allow(dead_code, reason = "no target needs all")]

use std::path::PathBuf;

/// Bytes that are used up; zeros after their end.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Below `count`.
    pub fn choice(&mut self, count: usize) -> usize {
        self.byte() as usize % count
    }

    pub fn is(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Mostly small ones with a fraction, so that programs have solutions; now and then anything.
    pub fn number(&mut self) -> f64 {
        const ODD: [f64; 12] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            1e-300,
            5e-324,
            1e300,
            -1e300,
            f64::INFINITY,
            f64::NAN,
            1e14,
            1e-14,
        ];
        match self.byte() {
            odd @ 240.. => match ODD.get((odd - 240) as usize) {
                Some(odd) => *odd,
                None => f64::from_bits(u64::from_le_bytes(std::array::from_fn(|_| self.byte()))),
            },
            plain => (f64::from(plain) - 120.0) / 16.0,
        }
    }

    pub fn numbers(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.number()).collect()
    }
}

/// A file of these bytes in a folder of its own, which goes with the process.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    let path = FOLDER.with(|folder| folder.path().join(name));
    std::fs::write(&path, bytes).unwrap();
    path
}
