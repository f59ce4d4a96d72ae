//! Texts to features without a network: weighted counts of words, and the directions in which most of
//! them lies.

use rand::RngCore;
use rayon::prelude::*;

use crate::data::svd::{Directions, Sparse};
use crate::data::text::encode::{bucket, with_word};
use crate::error::{Error, Result};
use crate::hash::FNV_START;

/// In place of a direction's row: no text of the fit has this bucket.
const UNSEEN: u32 = u32::MAX;

/// Which words count, and how many features there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TfIdfOptions {
    /// Longest n-gram, in words, at least 1; 2 counts pairs of neighbours as well, which want more bits,
    /// memory and time and need not be better: on 20 Newsgroups they are not.
    pub ngrams: usize,
    /// Words are hashed into 2^`bits` buckets, 1 to 24.
    pub bits: u32,
    /// Features of a text, at least 1; fewer where the rank of the texts is less.
    pub width: usize,
}

impl Default for TfIdfOptions {
    /// Single words in 2^18 buckets, 256 features.
    fn default() -> Self {
        Self { ngrams: 1, bits: 18, width: 256 }
    }
}

/// Latent semantic analysis: hashed words of a text, weighted by how rare they are and projected on the
/// directions in which most of the texts of the fit lies.
///
/// ```text
/// x_b = (1 + ln tf_b) (1 + ln((1 + n) / (1 + df_b))),  then x / |x|      tf: of bucket b in the text
/// features = V' x                                                       df: of the n texts that have b
/// ```
///
/// V (buckets × [`width`](Self::width)) has the right singular vectors of the largest singular values of
/// the fit's rows x: inner products of their features are those of the best approximation of that rank.
/// Words are the longest runs of letters and digits, of any script and at least 2 of them, lower-cased;
/// n-grams are hashed as those of [`HashedWords`](super::encode::HashedWords). Buckets that no text of the fit
/// has are left out of later texts before they are scaled; a text without words is all zeros.
///
/// For proxies, selection and tables of texts where no embedding network is at hand; one that was trained
/// on more than these texts knows synonyms that this cannot. Texts of a labelled file come from
/// `TextCsv::texts_at` (cargo feature `text`).
///
/// # Cost
/// O(words) for the counts, then six products of the sparse rows with m × w numbers and three orthonormal
/// bases in O(n w²), w = width + 10 and m the buckets in use; 20 m w bytes of memory for a moment and
/// 4 m width to keep. The 11,314 texts of 20 Newsgroups take 10 s to 256 features on two cores, 23 s to 512.
/// Features of other texts: width multiplications for each different word.
///
/// # Example
/// ```
/// use gleaner::data::text::tfidf::{TfIdf, TfIdfOptions};
/// use rand::SeedableRng;
///
/// let train = ["a fast red car", "the red car", "green tea", "tea and more tea"];
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let options = TfIdfOptions { width: 2, ..Default::default() };
/// let words = TfIdf::fit(&train, &options, &mut rng)?;
/// let features = words.features(&["Car!", "cars", "TEA"]);
/// let inner = |a: usize, b: usize| -> f32 { (0..2).map(|k| features[2 * a + k] * features[2 * b + k]).sum() };
/// assert!(inner(0, 0) > 0.1 && inner(2, 2) > 0.1); // each near some of the texts,
/// assert!(inner(0, 2).abs() < 1e-6); // and not near each other
/// assert_eq!(features[2..4], [0.0, 0.0]); // a word that was never met
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # References
/// S. Deerwester, S. Dumais, G. Furnas, T. Landauer & R. Harshman: *Indexing by Latent Semantic Analysis*,
/// Journal of the American Society for Information Science 41, 1990.
///
/// N. Halko, P.-G. Martinsson & J. Tropp: *Finding Structure with Randomness*, SIAM Review 53, 2011,
/// arXiv 0909.4061: algorithms 4.4 and 5.1, with 10 directions more than wanted and 2 power iterations.
/// There each multiplication by A or A' is followed by an orthonormal basis; here each pair is.
#[derive(Clone, Debug)]
pub struct TfIdf {
    options: TfIdfOptions,
    /// Of each bucket, its row among the directions.
    places: Vec<u32>,
    /// How rare the bucket of each row is: 1 + ln((1 + n) / (1 + df)).
    rarities: Vec<f64>,
    directions: Directions,
}

impl TfIdf {
    /// Learns the weights of words and the directions from `texts`; equal draws give equal bits, for any
    /// number of threads.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range, [`Error::Shape`] if there is no text with a
    /// word in it. Fewer texts or words than features are no error: [`width`](Self::width) is less then.
    pub fn fit(
        texts: &[impl AsRef<str> + Sync],
        options: &TfIdfOptions,
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        options.check()?;
        if u32::try_from(texts.len()).is_err() {
            return Err(Error::shape("texts", "fewer than 2^32", texts.len()));
        }
        let counts: Vec<_> = texts.par_iter().map(|text| options.counts(text.as_ref())).collect();
        let mut with = vec![0u32; 1 << options.bits];
        counts.iter().flatten().for_each(|&(bucket, _)| with[bucket as usize] += 1);
        let (mut places, mut rarities) = (vec![UNSEEN; with.len()], Vec::new());
        for (place, &with) in places.iter_mut().zip(&with).filter(|(_, with)| **with > 0) {
            *place = rarities.len() as u32; // fewer than buckets
            rarities.push(1.0 + ((1.0 + texts.len() as f64) / (1.0 + f64::from(with))).ln());
        }
        if rarities.is_empty() {
            let found = format!("{} without any", texts.len());
            return Err(Error::shape("texts", "a word of two letters in one of them", found));
        }
        let none = Directions { count: 0, rows: Vec::new() };
        let mut fitted = Self { options: *options, places, rarities, directions: none };
        let rows: Vec<_> = counts.par_iter().map(|counts| fitted.weights(counts)).collect();
        let rows = Sparse::new(&rows, fitted.rarities.len());
        fitted.directions = Directions::new(&rows, options.width, rng);
        Ok(fitted)
    }

    /// Features of a text: as many as were asked for, or the rank of the texts of the fit if that is less.
    pub fn width(&self) -> usize {
        self.directions.count
    }

    /// Features (texts, [`width`](Self::width)) of `texts`, row after row: those of the fit or any others.
    pub fn features(&self, texts: &[impl AsRef<str> + Sync]) -> Vec<f32> {
        let width = self.width();
        let mut features = vec![0.0; texts.len() * width];
        features.par_chunks_mut(width.max(1)).zip(texts).for_each(|(features, text)| {
            let mut sums = vec![0.0; width];
            for (place, weight) in self.weights(&self.options.counts(text.as_ref())) {
                let direction = &self.directions.rows[place as usize * width..][..width];
                let terms = direction.iter().map(|&entry| f64::from(weight) * f64::from(entry));
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
            features.iter_mut().zip(sums).for_each(|(feature, sum)| *feature = sum as f32);
        });
        features
    }

    /// The row x of a text, by places.
    fn weights(&self, counts: &[(u32, u32)]) -> Vec<(u32, f32)> {
        let weight = |&(bucket, count): &(u32, u32)| match self.places[bucket as usize] {
            UNSEEN => None,
            place => Some((place, (1.0 + f64::from(count).ln()) * self.rarities[place as usize])),
        };
        let weights: Vec<(u32, f64)> = counts.iter().filter_map(weight).collect();
        let length = weights.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        weights.into_iter().map(|(place, weight)| (place, (weight / length) as f32)).collect()
    }
}

impl TfIdfOptions {
    fn check(&self) -> Result<()> {
        if !(1..=24).contains(&self.bits) {
            return Err(Error::range("TfIdfOptions::bits", "from 1 to 24", f64::from(self.bits)));
        }
        for (what, found) in
            [("TfIdfOptions::ngrams", self.ngrams), ("TfIdfOptions::width", self.width)]
        {
            if found == 0 {
                return Err(Error::range(what, "at least 1", 0.0));
            }
        }
        Ok(())
    }

    /// How often `text` has which bucket, in order of the buckets.
    fn counts(&self, text: &str) -> Vec<(u32, u32)> {
        let runs = text.split(|sign: char| !sign.is_alphanumeric());
        let words = runs.filter(|run| run.chars().nth(1).is_some());
        let words: Vec<String> =
            words.map(|word| word.chars().flat_map(char::to_lowercase).collect()).collect();
        let mut buckets = Vec::new();
        for first in 0..words.len() {
            let mut hash = FNV_START;
            for word in words[first..].iter().take(self.ngrams) {
                hash = with_word(hash, word);
                buckets.push(bucket(hash, 1 << self.bits));
            }
        }
        buckets.sort_unstable();
        // A text of more than 2^32 words is longer than memory.
        buckets.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect()
    }
}
