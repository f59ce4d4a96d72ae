//! How long work would take, by a trial of it on some of the rows.

use std::time::Instant;

use gleaner::choose::{Convex, CrossFit, FacilityLocation, KCenter};
use gleaner::data::Source;
use gleaner::experiment::Observations;
use gleaner::joint::Gleaner;
use gleaner::{Result, Seeds, Strategy};
use rand::seq::index::sample;

use crate::input::LARGE;

/// Rows of the two trials; fewer take less than anybody wants to know beforehand.
const ROWS: [usize; 2] = [2_000, 4_000];
/// What caches and threads take to begin with.
const WARMING: usize = 500;
/// What is kept.
const SHARE: f64 = 0.1;

/// Work that can be tried.
pub enum Work {
    KCenter,
    Convex,
    Coverage,
    Evidence,
}

impl Work {
    /// About how many seconds it takes of all rows.
    pub fn seconds(&self, data: &dyn Source, seeds: Seeds) -> Result<f64> {
        let all = data.points();
        self.trial(data, all.min(WARMING), seeds)?;
        let [few, more] = ROWS;
        if all <= more {
            return self.trial(data, all, seeds);
        }
        let (first, second) = (self.trial(data, few, seeds)?, self.trial(data, more, seeds)?);
        let (n, m) = (few as f64, more as f64);
        // Seconds are `a n + b n^2`, up to the rows that are looked at together.
        let b = ((second / m - first / n) / (m - n)).max(0.0);
        let a = (second / m - b * m).max(0.0);
        let together = self.together(all) as f64;
        Ok(all as f64 * (a + b * together))
    }

    /// Of so many rows, how many are looked at together.
    fn together(&self, all: usize) -> usize {
        match self {
            Self::KCenter if all > LARGE => 10_000,
            Self::Convex => all.min(4_096),
            _ => all,
        }
    }

    fn trial(&self, data: &dyn Source, rows: usize, seeds: Seeds) -> Result<f64> {
        let mut rng = seeds.stream(0);
        let mut some = sample(&mut rng, data.points(), rows).into_vec();
        some.sort_unstable();
        let part = gleaner::data::Subset::new(data, some)?;
        let strategy: Box<dyn Strategy> = match self {
            Self::KCenter => Box::new(KCenter),
            Self::Convex => Box::new(Convex::default()),
            Self::Coverage => Box::new(FacilityLocation::default()),
            Self::Evidence => Box::new(Gleaner::default()),
        };
        let count = ((SHARE * rows as f64).round() as usize).max(1);
        let start = Instant::now();
        let seen = match self {
            Self::Evidence => Observations::out_of_fold(&part, &CrossFit::default(), seeds)?,
            _ => Observations::inputs(&part)?,
        };
        strategy.select(&seen.evidence()?, count, &mut rng)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Seconds as people say them.
pub fn said(seconds: f64) -> String {
    match seconds {
        s if s < 0.95 => "under 1 s".into(),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5_400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3_600.0),
    }
}
