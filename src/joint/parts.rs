//! A step of several parts: what each part finds from the same learner and selection model, and what all of them do to both.

use candle_core::{DType, Device, Tensor};

use super::options::StepReport;
use crate::error::Result;
use crate::layer::bridge::to_vec;
use crate::ranks::{Ranks, agreed};

/// In the order of some variables; none for those that nothing depends on.
pub(super) type Gradient = Vec<Option<Tensor>>;

/// What one batch with its own program finds; nothing has changed yet.
pub(super) struct Found {
    pub(super) report: StepReport,
    /// Points and their running losses.
    pub(super) seen: Vec<(usize, f64)>,
    /// Of the learner; none where memory represents the batch.
    pub(super) learner: Option<Gradient>,
    /// Of the selection model; none where there is no signal.
    pub(super) model: Option<Gradient>,
    pub(super) kept: Option<Kept>,
}

/// Points to be remembered, a row each.
pub(super) struct Kept {
    pub(super) ids: Vec<usize>,
    pub(super) rows: Tensor,
}

/// What all parts do.
pub(super) struct Shared {
    pub(super) seen: Vec<(usize, f64)>,
    pub(super) learner: Option<Gradient>,
    pub(super) model: Option<Gradient>,
    pub(super) kept: Vec<Kept>,
}

impl Shared {
    /// Of one part or several of one process.
    pub(super) fn of(parts: Vec<Found>, like: &Likes) -> Result<Self> {
        let mut shared = Self { seen: Vec::new(), learner: None, model: None, kept: Vec::new() };
        let (mut learner, mut model) = (Vec::new(), Vec::new());
        for part in parts {
            shared.seen.extend(part.seen);
            shared.kept.extend(part.kept);
            learner.push(part.learner);
            model.push(part.model);
        }
        shared.learner = mean(learner, &like.learner)?;
        shared.model = mean(model, &like.model)?;
        Ok(shared)
    }

    /// Of one part a rank, the same on all of them.
    pub(super) fn on(ranks: &dyn Ranks, part: Found, like: &Likes) -> Result<Self> {
        let own = flat(&part, like);
        let mut own = agreed(ranks, own)?;
        let (learner, model) = own.gradients.split_at_mut(own.of_learner);
        ranks.sum(learner)?;
        ranks.sum(model)?;
        let mut shared = Self {
            seen: Vec::new(),
            learner: averaged(learner, &like.learner)?,
            model: averaged(model, &like.model)?,
            kept: Vec::new(),
        };
        for said in ranks.gather(&own.seen)? {
            shared.seen.extend(said.chunks_exact(2).map(|pair| (pair[0] as usize, pair[1])));
        }
        for said in ranks.gather(&own.kept)? {
            // Ids first, then a row each.
            let count = said.first().map_or(0, |count| *count as usize);
            if count > 0 {
                let (ids, rows) = said[1..].split_at(count);
                let rows = Tensor::from_slice(rows, (count, rows.len() / count), &Device::Cpu)?;
                let rows = rows.to_dtype(like.rows.0)?.to_device(&like.rows.1)?;
                shared.kept.push(Kept { ids: ids.iter().map(|id| *id as usize).collect(), rows });
            }
        }
        Ok(shared)
    }
}

/// The variables that gradients are of, and type and place of remembered rows.
pub(super) struct Likes {
    pub(super) learner: Vec<Tensor>,
    pub(super) model: Vec<Tensor>,
    pub(super) rows: (DType, Device),
}

/// A part as numbers; whole numbers are exact below 2^53.
struct Flat {
    gradients: Vec<f64>,
    /// How many of them are of the learner.
    of_learner: usize,
    seen: Vec<f64>,
    kept: Vec<f64>,
}

fn flat(part: &Found, like: &Likes) -> Result<Flat> {
    let mut gradients = numbers(part.learner.as_ref(), &like.learner)?;
    let of_learner = gradients.len();
    gradients.extend(numbers(part.model.as_ref(), &like.model)?);
    let seen = part.seen.iter().flat_map(|(index, loss)| [*index as f64, *loss]).collect();
    let mut kept = Vec::new();
    if let Some(Kept { ids, rows }) = &part.kept {
        kept.push(ids.len() as f64);
        kept.extend(ids.iter().map(|id| *id as f64));
        kept.extend(to_vec(rows)?);
    }
    Ok(Flat { gradients, of_learner, seen, kept })
}

/// A one where there is a gradient, a one for each variable that has one, and their entries.
fn numbers(gradient: Option<&Gradient>, like: &[Tensor]) -> Result<Vec<f64>> {
    let mut numbers = vec![f64::from(u8::from(gradient.is_some()))];
    for (k, variable) in like.iter().enumerate() {
        match gradient.and_then(|gradient| gradient[k].as_ref()) {
            Some(of) => {
                numbers.push(1.0);
                numbers.extend(to_vec(of)?);
            }
            None => numbers.resize(numbers.len() + 1 + variable.elem_count(), 0.0),
        }
    }
    Ok(numbers)
}

/// From sums of [`numbers`], the mean of the gradients there are.
fn averaged(sums: &[f64], like: &[Tensor]) -> Result<Option<Gradient>> {
    let (parts, mut rest) = (sums[0], &sums[1..]);
    if parts == 0.0 {
        return Ok(None);
    }
    let mut gradient = Vec::with_capacity(like.len());
    for variable in like {
        let (own, later) = rest.split_at(1 + variable.elem_count());
        rest = later;
        if own[0] == 0.0 {
            gradient.push(None);
            continue;
        }
        let mean: Vec<f64> = own[1..].iter().map(|sum| sum / parts).collect();
        let mean = Tensor::from_vec(mean, variable.shape(), &Device::Cpu)?;
        gradient.push(Some(mean.to_dtype(variable.dtype())?.to_device(variable.device())?));
    }
    Ok(Some(gradient))
}

/// The mean of the gradients there are, as ranks would have it; of one, that itself.
fn mean(mut gradients: Vec<Option<Gradient>>, like: &[Tensor]) -> Result<Option<Gradient>> {
    if gradients.len() == 1 {
        return Ok(gradients.remove(0));
    }
    let mut sums = Vec::new();
    for gradient in gradients {
        let numbers = numbers(gradient.as_ref(), like)?;
        sums.resize(numbers.len(), 0.0);
        sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
    }
    averaged(&sums, like)
}
