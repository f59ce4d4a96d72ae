//! One world of `groups`: what each way buys there, and what a fresh learner makes of it.

use std::collections::BTreeSet;
use std::time::Instant;

use candle_core::{DType, Device};
use gleaner::choose::{Offers, Purchase};
use gleaner::data::speakers::{DIMENSIONS, WORDS, speakers};
use gleaner::experiment::Observations;
use gleaner::experiment::tables::Measured;
use gleaner::learn::{Length, Mlp, MlpOptions, Sampling, TrainingOptions, evaluate};
use gleaner::{Choice, Result, Seeds, Strategy};

/// What part of the pool's cost, sessions included, may be spent.
const SHARE: f64 = 0.2;

/// What is bought, and whether at random; then all of the pool, at five times the money.
pub const WAYS: [(&str, Option<(Offers, bool)>); 6] = [
    ("speakers (groups)", Some((Offers::Groups, false))),
    ("utterances", Some((Offers::Points, false))),
    ("utterances, session-aware", Some((Offers::PointsWithSessions, false))),
    ("random speakers", Some((Offers::Groups, true))),
    ("random utterances", Some((Offers::Points, true))),
    ("everything", None),
];

/// Accuracy, speakers met, utterances bought and seconds to choose, of every way.
pub fn measure(number: usize, session: f64, seed: u64) -> Result<Vec<Measured>> {
    let drawn = speakers(number, &mut Seeds::new(seed).stream(0))?;
    let points = drawn.durations.len();
    let money = SHARE * (session * number as f64 + drawn.durations.iter().sum::<f64>());
    let seen = Observations::inputs(&drawn.pool)?;
    let evidence = seen.evidence()?.with_groups(&drawn.speaker)?.with_costs(&drawn.durations)?;
    let of = |(line, way): (&str, Option<(Offers, bool)>)| -> Result<Measured> {
        let mut rng = Seeds::new(seed).stream(1);
        let started = Instant::now();
        let choice = match way {
            None => Choice::equal((0..points).collect()),
            Some((offers, at_random)) => {
                let purchase = Purchase { offers, at_random, session, money, smoothing: 0.1 };
                purchase.select(&evidence, points, &mut rng)?
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        let shape = MlpOptions { inputs: DIMENSIONS, hidden: vec![32], classes: WORDS };
        let learner = Mlp::new(&shape, seed, DType::F32, &Device::Cpu)?;
        let length = Length::Steps(300);
        let options = TrainingOptions { length, batch: 32, ..Default::default() };
        let bought = Sampling::Fixed(&choice.indices);
        let error = evaluate(&learner, &drawn.pool, bought, &drawn.test, &options, seed)?;
        let met: BTreeSet<u32> = choice.indices.iter().map(|&i| drawn.speaker[i]).collect();
        let numbers = vec![1.0 - error, met.len() as f64, choice.len() as f64, seconds];
        Ok(Measured { line: line.into(), setting: session, seed, numbers })
    };
    WAYS.into_iter().map(of).collect()
}
