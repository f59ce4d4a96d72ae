//! Synthetic utterances of speakers, each with an accent: data that comes in groups and costs money.

use candle_core::{DType, Device, Tensor};
use rand::distr::weighted::WeightedIndex;
use rand::distr::{Distribution, Uniform};
use rand::{Rng, RngCore};
use rand_distr::StandardNormal;

use crate::data::Dataset;
use crate::error::{Error, Result};

/// Numbers per utterance.
pub const DIMENSIONS: usize = 16;
/// Classes: the words that are spoken.
pub const WORDS: usize = 8;
/// Accents; of each at least one speaker is in the pool.
pub const ACCENTS: usize = 6;
/// The accent of rank r has a share proportional to `r^-ZIPF` of the pool's speakers.
pub const ZIPF: f64 = 1.2;
/// Standard deviations of every coordinate.
const WORD: f64 = 1.5;
const ACCENT: f64 = 1.2;
const VOICE: f64 = 0.8;
const UTTERANCE: f64 = 0.6;
/// Fewest and most utterances of a speaker in the pool.
const UTTERANCES: (usize, usize) = (3, 15);
/// New speakers in the test set, and utterances of each.
const TEST: (usize, usize) = (180, 16);

/// What [`speakers`] returns.
#[derive(Clone, Debug)]
pub struct Speakers {
    /// The utterances that can be had, by speaker, labelled with their words.
    pub pool: Dataset,
    /// Who says each.
    pub speaker: Vec<u32>,
    /// How long each takes, 1 on average.
    pub durations: Vec<f64>,
    /// Utterances of new speakers, as many of a rare accent as of a common one.
    pub test: Dataset,
}

/// Draws a world and `speakers` speakers of it. An utterance is the place of its word in its accent, moved
/// by the speaker's voice and by chance; accents are as frequent as they come, but each has a speaker.
///
/// ```
/// use gleaner::data::speakers::speakers;
/// use rand::SeedableRng;
///
/// let drawn = speakers(24, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0))?;
/// assert!(drawn.pool.len() == drawn.speaker.len() && drawn.pool.len() >= 24 * 3);
/// assert!(drawn.durations.iter().all(|duration| (0.5..1.5).contains(duration)));
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfRange`] for fewer speakers than accents.
pub fn speakers(speakers: usize, rng: &mut dyn RngCore) -> Result<Speakers> {
    if speakers < ACCENTS {
        let (what, rule) = ("speakers", "at least one of each of the 6 accents");
        return Err(Error::range(what, rule, speakers as f64));
    }
    let world = World::draw(rng);
    let mut pool = Rows::default();
    for s in 0..speakers {
        let accent = if s < ACCENTS { s } else { world.accents.sample(rng) };
        let who = Speaker { accent, voice: normal(VOICE, rng) };
        for _ in 0..rng.random_range(UTTERANCES.0..=UTTERANCES.1) {
            pool.push(world.utterance(&who, rng), s);
        }
    }
    // `expect`: 0.5 is below 1.5, and both are finite.
    let range = Uniform::new(0.5, 1.5).expect("a range");
    let durations = range.sample_iter(&mut *rng).take(pool.words.len()).collect();
    let mut test = Rows::default();
    for s in 0..TEST.0 {
        let who = Speaker { accent: s % ACCENTS, voice: normal(VOICE, rng) };
        (0..TEST.1).for_each(|_| test.push(world.utterance(&who, rng), s));
    }
    let speaker = pool.speaker.clone();
    Ok(Speakers { pool: pool.dataset()?, speaker, durations, test: test.dataset()? })
}

struct World {
    /// For every accent, the place of each word.
    places: Vec<Vec<Vec<f64>>>,
    accents: WeightedIndex<f64>,
}

struct Speaker {
    accent: usize,
    voice: Vec<f64>,
}

impl World {
    fn draw(rng: &mut dyn RngCore) -> Self {
        let words: Vec<Vec<f64>> = (0..WORDS).map(|_| normal(WORD, rng)).collect();
        let mut accent = || words.iter().map(|word| sum(word, &normal(ACCENT, rng))).collect();
        let places = (0..ACCENTS).map(|_| accent()).collect();
        let shares = (1..=ACCENTS).map(|rank| (rank as f64).powf(-ZIPF));
        // `expect`: there is at least one share, and all are positive and finite.
        let accents = WeightedIndex::new(shares).expect("weights");
        Self { places, accents }
    }

    fn utterance(&self, speaker: &Speaker, rng: &mut dyn RngCore) -> (Vec<f64>, u32) {
        let word = rng.random_range(0..WORDS);
        let place = sum(&self.places[speaker.accent][word], &speaker.voice);
        (sum(&place, &normal(UTTERANCE, rng)), word as u32)
    }
}

/// A table in the making.
#[derive(Default)]
struct Rows {
    numbers: Vec<f64>,
    words: Vec<u32>,
    speaker: Vec<u32>,
}

impl Rows {
    fn push(&mut self, (row, word): (Vec<f64>, u32), speaker: usize) {
        self.numbers.extend(row);
        self.words.push(word);
        self.speaker.push(speaker as u32);
    }

    fn dataset(self) -> Result<Dataset> {
        let shape = (self.words.len(), DIMENSIONS);
        let inputs = Tensor::from_vec(self.numbers, shape, &Device::Cpu)?.to_dtype(DType::F32)?;
        Dataset::new(inputs, self.words, WORDS)
    }
}

fn normal(std: f64, rng: &mut dyn RngCore) -> Vec<f64> {
    let draw = |_| std * Distribution::<f64>::sample(&StandardNormal, rng);
    (0..DIMENSIONS).map(draw).collect()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
