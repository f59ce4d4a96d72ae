//! Texts to numbers: hashed word n-grams for a bag of words, characters for a convolution.
//!
//! An encoding is a list of ids, all of them positive; 0 is what short texts are padded with.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::hash::{FNV_START, fnv};

/// Stands between the words of an n-gram while it is hashed; no byte of UTF-8 has this value.
const WORD_END: u8 = 0xff;

/// Makes ids of a text. [`HashedWords`] and [`Characters`] do; a tokeniser of your own can.
pub trait TextEncoder: Send + Sync {
    /// Appends the ids of `text` to `ids`, each at least 1 unless it is padding.
    ///
    /// Equal texts must give equal ids. A text without ids is padding only.
    fn encode(&self, text: &str, ids: &mut Vec<u32>);

    /// Ids (n x longest, `u32`, on the CPU) of `texts`, the shorter ones followed by zeros; at
    /// least one column, even if all texts are empty. Texts are encoded side by side.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no text.
    fn batch(&self, texts: &[String]) -> Result<Tensor> {
        if texts.is_empty() {
            return Err(Error::shape("texts", "at least one", 0));
        }
        let encoded: Vec<Vec<u32>> = (texts.par_iter())
            .map(|text| {
                let mut ids = Vec::new();
                self.encode(text, &mut ids);
                ids
            })
            .collect();
        let longest = encoded.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut padded = vec![0; texts.len() * longest];
        for (row, ids) in padded.chunks_exact_mut(longest).zip(&encoded) {
            row[..ids.len()].copy_from_slice(ids);
        }
        Ok(Tensor::from_vec(padded, (texts.len(), longest), &Device::Cpu)?)
    }
}

/// So that an encoder can be picked at run time.
impl TextEncoder for Box<dyn TextEncoder> {
    fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        (**self).encode(text, ids);
    }
}

/// Word n-grams, hashed into buckets: no vocabulary to build, so that a stream can be encoded and
/// the same text has the same ids in every run, on every machine.
///
/// Words are the longest runs of letters and digits, lower-cased, apostrophes within a word
/// left out ("don't" is "dont"); every other sign but white space is a word of its own. A text of
/// words w_1 … w_m has the ids, in this order, of
///
/// ```text
/// w_1,  w_1 w_2,  …,  w_1 … w_n,    w_2,  w_2 w_3,  …        n = ngrams
///
/// id = 1 + (h xor (h >> 32)) mod buckets
/// h  = FNV-1a, 64 bits, of the words' UTF-8 bytes, each word followed by the byte 255
/// ```
///
/// An n-gram that occurs twice has its id twice. What lies behind the first `longest` ids is lost.
///
/// # Example
///
/// ```
/// use gleaner::data::text::encode::{HashedWords, TextEncoder};
///
/// let words = HashedWords { ngrams: 2, ..Default::default() };
/// let (mut shout, mut whisper) = (Vec::new(), Vec::new());
/// words.encode("GREAT book", &mut shout);
/// words.encode("great  book", &mut whisper);
/// assert_eq!(shout, whisper);
/// assert_eq!(shout.len(), 3); // great, great book, book
/// ```
///
/// # Reference
/// A. Joulin, E. Grave, P. Bojanowski & T. Mikolov: *Bag of Tricks for Efficient Text
/// Classification*, EACL 2017, arXiv 1607.01759 (hashed n-grams). There single words have a
/// vocabulary and only longer n-grams are hashed; here everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashedWords {
    /// Longest n-gram, in words; 0 counts as 1.
    pub ngrams: usize,
    /// Different ids; 0 counts as 1.
    pub buckets: u32,
    /// Most ids of a text.
    pub longest: usize,
}

impl Default for HashedWords {
    /// Words and pairs of words in 2^16 buckets, at most 2,048 of them.
    fn default() -> Self {
        Self { ngrams: 2, buckets: 1 << 16, longest: 2048 }
    }
}

impl TextEncoder for HashedWords {
    fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        // Enough words for `longest` ids: every word begins at least one n-gram.
        let words = words(text, self.longest);
        let from = ids.len();
        for first in 0..words.len() {
            let mut hash = FNV_START;
            for word in words[first..].iter().take(self.ngrams.max(1)) {
                if ids.len() - from == self.longest {
                    return;
                }
                hash = with_word(hash, word);
                ids.push(1 + bucket(hash, self.buckets.max(1))); // the largest is `buckets`
            }
        }
    }
}

/// The hash of an n-gram that goes on with `word`.
pub(super) fn with_word(hash: u64, word: &str) -> u64 {
    fnv(fnv(hash, word.as_bytes()), &[WORD_END])
}

/// Where a hash lies among `buckets`, at least 1.
pub(super) fn bucket(hash: u64, buckets: u32) -> u32 {
    ((hash ^ (hash >> 32)) % u64::from(buckets)) as u32 // below `buckets`
}

/// The first `most` words of `text`.
fn words(text: &str, most: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for sign in text.chars() {
        if sign.is_alphanumeric() {
            if !open {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(sign.to_lowercase());
            }
            open = true;
        } else if !(open && matches!(sign, '\'' | '\u{2019}')) {
            open = false;
            if !sign.is_whitespace() {
                words.push(sign.to_string());
            }
        }
        if words.len() > most {
            break;
        }
    }
    words.truncate(most);
    words
}

/// The characters that have an id of their own, from [`Characters::FIRST`] on.
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/|_#$%^&*~`+=<>()[]{}";

/// The characters of a text, lower-cased, for a convolution over them; exactly `length` ids.
///
/// 0 pads, 1 is any character without an id of its own, 2 is white space, and from 3 on come the 26
/// letters, the 10 digits and 30 punctuation marks of the paper's dictionary: 69 ids in all. What lies
/// behind the first `length` characters is lost.
///
/// # Example
///
/// ```
/// use gleaner::data::text::encode::{Characters, TextEncoder};
///
/// let mut ids = Vec::new();
/// Characters { length: 6 }.encode("B a!", &mut ids);
/// assert_eq!(ids, [4, 2, 3, 43, 0, 0]);
/// ```
///
/// # Reference
/// A. Conneau, H. Schwenk, L. Barrault & Y. LeCun: *Very Deep Convolutional Networks for Text
/// Classification*, EACL 2017, arXiv 1606.01781, section 4.1: dictionary and length; after
/// X. Zhang, J. Zhao & Y. LeCun: *Character-level Convolutional Networks for Text
/// Classification*, NeurIPS 2015, arXiv 1509.01626.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Characters {
    /// Ids of every text.
    pub length: usize,
}

impl Characters {
    /// Number of different ids, padding included.
    pub const IDS: usize = Self::FIRST as usize + ALPHABET.len();

    /// The id of `a`.
    const FIRST: u32 = 3;
}

impl Default for Characters {
    /// 1,014 characters, as in both papers.
    fn default() -> Self {
        Self { length: 1014 }
    }
}

impl TextEncoder for Characters {
    fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let end = ids.len() + self.length;
        ids.extend(text.chars().take(self.length).map(character));
        ids.resize(end, 0);
    }
}

fn character(sign: char) -> u32 {
    if sign.is_whitespace() {
        return 2;
    }
    // The alphabet is ASCII, so its bytes are its characters; capitals of other scripts are unknown.
    match ALPHABET.bytes().position(|byte| char::from(byte) == sign.to_ascii_lowercase()) {
        Some(at) => Characters::FIRST + at as u32,
        None => 1,
    }
}
