//! A hash that stays the same, for what is written to disk or decides a draw: std's may change between releases.

/// Start value of FNV-1a with 64 bits.
pub(crate) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: goes on from `hash` over more bytes. Two inputs of one length that differ in a single byte have
/// different hashes, for each step is a bijection.
pub(crate) fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
