//! Evidence of many rows takes minutes: each part of it is kept in a run as soon as it is there.

use candle_core::{Device, Tensor};

use super::Run;
use crate::choose::neighbours::near::{Lists, Near, near_standardised};
use crate::choose::{CrossFit, Evidence, JudgedBy, OutOfFold};
use crate::error::{Error, Result};
use crate::joint::{Gleaned, Gleaner};
use crate::learn::Checkpoint;
use crate::seeds::Seeds;
use crate::value::{Audit, AuditOptions};

/// [`Audit::of`] of many rows, which can be killed at any moment: the nearest others, then the probabilities out of fold
/// are kept in `run`, and the same call goes on from there.
///
/// A run belongs to one evidence, with the same options and seeds: its [configuration](super::Configuration) should say which.
///
/// # Errors
/// As [`Audit::of`], [`Run::load`] and [`Run::save`]; [`Error::Shape`] if the run holds what was found of other points.
///
/// # Example
/// ```
/// use gleaner::Seeds;
/// use gleaner::choose::Evidence;
/// use gleaner::experiment::{Run, audited};
/// use gleaner::value::{Audit, AuditOptions};
///
/// let features: Vec<f32> = (0..20).map(|i| if i < 10 { i as f32 } else { 100.0 + i as f32 }).collect();
/// let labels: Vec<u32> = (0..20).map(|i| u32::from(i >= 10) ^ u32::from(i == 3)).collect();
/// let evidence = Evidence::new(20).with_features(&features, 1)?.with_labels(&labels)?;
/// let (options, seeds, run) = (AuditOptions::default(), Seeds::new(0), Run::in_memory());
/// let first = audited(&evidence, &options, seeds, &run)?;
/// assert_eq!(first, Audit::of(&evidence, &options, seeds)?);
/// assert_eq!(first, audited(&evidence, &options, seeds, &run)?); // nothing is computed again
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn audited(
    evidence: &Evidence,
    options: &AuditOptions,
    seeds: Seeds,
    run: &Run,
) -> Result<Audit> {
    let points = evidence.points();
    let near = near(run, points, || Audit::near(evidence, options, seeds))?;
    let seen = seen(run, points, || Audit::out_of_fold(evidence, options, &near, seeds))?;
    Audit::made(evidence, options, near, &seen)
}

/// [`Gleaner::look`] at many points, which can be killed at any moment: what is found out of fold is kept in `run`, and the
/// same call goes on from there. A run belongs to one evidence, with the same settings and seeds.
///
/// # Errors
/// As [`Gleaner::look`], [`Run::load`] and [`Run::save`]; [`Error::Shape`] if the run holds what was found of other points.
pub fn gleaned(
    settings: &Gleaner,
    evidence: &Evidence,
    seeds: Seeds,
    run: &Run,
) -> Result<Gleaned> {
    settings.look_with(evidence, seeds, |table, labelled| {
        out_of_fold(&settings.cross_fit, table, labelled, seeds, run)
    })
}

/// As [`CrossFit::classes`] finds it.
pub(super) fn out_of_fold(
    settings: &CrossFit,
    (features, width): (&[f32], usize),
    labelled: (&[u32], usize),
    seeds: Seeds,
    run: &Run,
) -> Result<OutOfFold> {
    let points = labelled.0.len();
    seen(run, points, || {
        let find = || near_standardised(features, width, settings.neighbours, seeds);
        let lists = near(run, points, find)?.lists;
        settings.with_neighbours(features, width, labelled, &lists, seeds)
    })
}

fn near(run: &Run, points: usize, find: impl FnOnce() -> Result<Near>) -> Result<Near> {
    const STAGE: &str = "neighbours";
    if let Some(state) = run.load(STAGE)? {
        let (k, recall) = (state.note("k")?, state.note::<String>("recall")?);
        let others = state.tensor("others")?.to_vec1()?;
        let closeness = state.tensor("closeness")?.to_vec1()?;
        let found = others.len();
        let lists = Lists::from_parts(points, k, others, closeness);
        let lists = lists.ok_or_else(|| Error::shape("neighbours of a run", points * k, found))?;
        return Ok(Near { lists, recall: recall.parse().ok() });
    }
    let found = find()?;
    let (k, others, closeness) = found.lists.parts();
    let mut state = Checkpoint::new();
    state.set_note("k", k);
    state.set_note("recall", found.recall.map_or("none".into(), |recall| recall.to_string()));
    state.set("others", Tensor::from_slice(others, others.len(), &Device::Cpu)?);
    state.set("closeness", Tensor::from_slice(closeness, closeness.len(), &Device::Cpu)?);
    run.save(STAGE, &state)?;
    Ok(found)
}

fn seen(run: &Run, points: usize, find: impl FnOnce() -> Result<OutOfFold>) -> Result<OutOfFold> {
    const STAGE: &str = "out of fold";
    match run.load(STAGE)? {
        Some(state) => restored(&state, points),
        None => {
            let found = find()?;
            run.save(STAGE, &state_of(&found)?)?;
            Ok(found)
        }
    }
}

fn state_of(seen: &OutOfFold) -> Result<Checkpoint> {
    let numbers = |numbers: &[f32]| Tensor::from_slice(numbers, numbers.len(), &Device::Cpu);
    let folds: Vec<u32> = seen.folds.iter().map(|fold| *fold as u32).collect(); // no more than points
    let judge = |(judge, share): &(JudgedBy, f64)| match *judge {
        JudgedBy::Linear { ridge, temperature } => [0.0, ridge, temperature, *share],
        JudgedBy::Smooth { ridge, temperature } => [1.0, ridge, temperature, *share],
        JudgedBy::Local => [2.0, 0.0, 0.0, *share],
    };
    let judges: Vec<f64> = seen.judges.iter().flat_map(judge).collect();
    let mut state = Checkpoint::new();
    state.set_note("classes", seen.classes);
    state.set("probabilities", numbers(&seen.probabilities)?);
    state.set("votes", numbers(&seen.votes)?);
    state.set("folds", Tensor::from_slice(&folds, folds.len(), &Device::Cpu)?);
    state.set("judges", Tensor::from_slice(&judges, judges.len(), &Device::Cpu)?);
    Ok(state)
}

fn restored(state: &Checkpoint, points: usize) -> Result<OutOfFold> {
    let classes: usize = state.note("classes")?;
    let (probabilities, votes) = (state.tensor("probabilities")?, state.tensor("votes")?);
    let probabilities = probabilities.to_vec1()?;
    if probabilities.len() != points * classes {
        let found = probabilities.len();
        return Err(Error::shape("probabilities of a run", points * classes, found));
    }
    let judge = |row: &[f64]| {
        let (ridge, temperature) = (row[1], row[2]);
        let judge = match row[0] {
            0.0 => JudgedBy::Linear { ridge, temperature },
            1.0 => JudgedBy::Smooth { ridge, temperature },
            _ => JudgedBy::Local,
        };
        (judge, row[3])
    };
    let folds = state.tensor("folds")?.to_vec1::<u32>()?;
    Ok(OutOfFold {
        probabilities,
        votes: votes.to_vec1()?,
        classes,
        folds: folds.into_iter().map(|fold| fold as usize).collect(),
        judges: state.tensor("judges")?.to_vec1()?.chunks_exact(4).map(judge).collect(),
    })
}
