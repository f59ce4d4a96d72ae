//! Where every generator of a run comes from.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::hash::{FNV_START, fnv};

/// One `u64`, and every generator that a run draws from: equal seeds give equal bits, for any number of threads.
///
/// A seed is the key of ChaCha8; what must not share its draws has a stream of its own, or a name that a hash turns
/// into one:
///
/// | stream | draws |
/// | --- | --- |
/// | 0 | data, splits, the order of training points, memory, choices |
/// | 1 | augmentation; purchases |
/// | r | choices of round r of active learning |
/// | a variable's name | its first weights |
///
/// and what must share nothing at all has another [part](Seeds::part) of the run.
///
/// # Example
/// ```
/// use gleaner::Seeds;
/// use rand::Rng;
///
/// let seeds = Seeds::new(7);
/// let mut split = seeds.stream(0);
/// let mut weights = seeds.named("head.weight");
/// let (a, b): (u64, u64) = (split.random(), weights.random());
/// assert_ne!(a, b);
/// assert_eq!(a, Seeds::new(7).stream(0).random::<u64>());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds(u64);

/// A part of a run that must share no draw with the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Mini-batches of joint training.
    Batches,
    /// Targets that test what was chosen: nothing that chooses has seen their seeds.
    Targets,
}

impl Seeds {
    /// What follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own.
    pub fn stream(self, number: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.0);
        rng.set_stream(number);
        rng
    }

    /// The generator that a name stands for.
    pub fn named(self, name: &str) -> ChaCha8Rng {
        self.stream(fnv(FNV_START, name.as_bytes()))
    }

    /// The seeds of another part of the run.
    pub const fn part(self, part: Part) -> Self {
        Self(
            self.0
                ^ match part {
                    Part::Batches => 0xba7c,
                    Part::Targets => 0xf4e5,
                },
        )
    }

    /// The number itself, for what asks for one.
    pub const fn value(self) -> u64 {
        self.0
    }
}
