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
/// are kept in `run`, and the same call goes on from there. What is damaged is found again.
///
/// A run belongs to one evidence, with the same options and seeds: its [configuration](super::Configuration) should say which.
///
/// # Errors
/// As [`Audit::of`] and [`Run::save`].
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
/// As [`Gleaner::look`] and [`Run::save`].
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
    settings.check(features, width, labelled.0, labelled.1)?;
    seen(run, points, || {
        let find = || near_standardised(features, width, settings.neighbours, seeds);
        let lists = near(run, points, find)?.lists;
        settings.with_neighbours(features, width, labelled, &lists, seeds)
    })
}

fn near(run: &Run, points: usize, find: impl FnOnce() -> Result<Near>) -> Result<Near> {
    kept(run, "neighbours", find, near_state, |state| restored_near(state, points))
}

fn seen(run: &Run, points: usize, find: impl FnOnce() -> Result<OutOfFold>) -> Result<OutOfFold> {
    kept(run, "out of fold", find, state_of, |state| restored(state, points))
}

/// What the run has of this stage, or what is found now and kept. A state that is damaged is found again.
fn kept<T>(
    run: &Run,
    stage: &str,
    find: impl FnOnce() -> Result<T>,
    state_of: impl FnOnce(&T) -> Result<Checkpoint>,
    restored: impl FnOnce(&Checkpoint) -> Result<T>,
) -> Result<T> {
    let whole = run.load(stage).and_then(|state| state.as_ref().map(restored).transpose());
    match whole {
        Ok(Some(found)) => Ok(found),
        Err(error @ Error::Io { .. }) => Err(error),
        Ok(None) | Err(_) => {
            let found = find()?;
            run.save(stage, &state_of(&found)?)?;
            Ok(found)
        }
    }
}

fn near_state(near: &Near) -> Result<Checkpoint> {
    let (k, others, closeness) = near.lists.parts();
    let mut state = Checkpoint::new();
    state.set_note("k", k);
    state.set_note("recall", near.recall.map_or("none".into(), |recall| recall.to_string()));
    state.set("others", Tensor::from_slice(others, others.len(), &Device::Cpu)?);
    state.set("closeness", Tensor::from_slice(closeness, closeness.len(), &Device::Cpu)?);
    Ok(state)
}

fn restored_near(state: &Checkpoint, points: usize) -> Result<Near> {
    let (k, recall) = (state.note("k")?, state.note::<String>("recall")?);
    let others = state.tensor("others")?.to_vec1()?;
    let closeness = state.tensor("closeness")?.to_vec1()?;
    let found = others.len();
    let lists = Lists::from_parts(points, k, others, closeness);
    let lists = lists.ok_or_else(|| Error::shape("neighbours of a run", points * k, found))?;
    Ok(Near { lists, recall: recall.parse().ok() })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes in a circle of points, every seventh label wrong.
    fn table() -> (Vec<f32>, Vec<u32>) {
        let turn = |i: u32| f64::from(i) * 0.11;
        let features = (0..57).flat_map(|i| [turn(i).cos() as f32, turn(i).sin() as f32]).collect();
        let labels = (0..57).map(|i| (i / 19 + u32::from(i % 7 == 6)) % 3).collect();
        (features, labels)
    }

    #[test]
    fn what_is_kept_is_used_to_the_bit_and_what_is_damaged_found_again() -> Result<()> {
        let (features, labels) = table();
        let (settings, seeds, run) = (CrossFit::default(), Seeds::new(3), Run::in_memory());
        let find = |run: &Run| out_of_fold(&settings, (&features, 2), (&labels, 3), seeds, run);
        let straight = settings.classes(&features, 2, &labels, 3, seeds)?;
        assert_eq!(find(&run)?, straight);
        // Whoever had to look for anything would fail.
        let seen_without = |points| seen(&run, points, || Err(Error::range("work", "none", 1.0)));
        assert_eq!(seen_without(57)?, straight);
        let lists = near(&run, 57, || Err(Error::range("work", "none", 1.0)))?.lists;
        let expected = near_standardised(&features, 2, settings.neighbours, seeds)?.lists;
        assert_eq!(lists.parts(), expected.parts());
        // What is of other points is not taken.
        assert!(seen_without(56).is_err());
        for stage in ["out of fold", "neighbours"] {
            run.save(stage, &Checkpoint::new())?;
            assert_eq!(find(&run)?, straight, "{stage}");
        }
        Ok(())
    }
}
