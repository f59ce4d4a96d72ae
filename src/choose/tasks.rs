//! One choice by several tasks, each of which knows only its own rows.

use crate::choose::strategies::check_share;
use crate::choose::{Choice, Streaming};
use crate::data::Source;
use crate::error::{Error, Result};
use crate::ranks::{Ranks, agreed};
use crate::seeds::Seeds;

/// How many more candidates than its share a task gives at first.
const SURPLUS: f64 = 1.5;
/// Rounds at most: candidates double with each, and prices need eight at most.
const ROUNDS: usize = 64;

/// One choice by several tasks, on as many processes or machines as you like.
///
/// In a round every task looks at its own rows and gives [`Candidates`], with one number each by which those
/// of all tasks are compared. [`next`](Self::next) looks at no row; it has the choice, or says what some of the tasks are to be
/// asked once more. One task alone chooses what [`select_from`](Streaming::select_from) does. With several the answer depends
/// on how the rows are shared, but not on where or in which order tasks run; what it is worth:
///
/// | strategy | rounds | the choice |
/// | --- | --- | --- |
/// | [`Random`](crate::choose::Random) | 1, rarely 2 | a uniform sample of all rows |
/// | [`KCenter`](crate::choose::KCenter) | 1 where tasks have rows alike | centres under one radius `r` for all: every row is within `r` of a centre, or within `2 r` where its cell has none; `r` is at most twice the best radius of `k` centres, for every `k < count / cells` |
/// | [`Convex`](crate::choose::Convex) | 2 to 8, mostly 2 or 3 | what all programs keep at one price for all, as in one process |
/// | [`FacilityLocation`](crate::choose::FacilityLocation) | 1, more where one task has what gains most | the greedy search for what rows are worth to those of their own cell: at least `1 - 1/e` of the most there is of that |
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use gleaner::Seeds;
/// use gleaner::choose::{KCenter, Tasks};
/// use gleaner::data::{Dataset, Source};
///
/// let rows = |numbers: &[f32]| {
///     let inputs = Tensor::from_slice(numbers, (numbers.len(), 1), &Device::Cpu)?;
///     Dataset::new(inputs, vec![0; numbers.len()], 1)
/// };
/// let (first, second) = (rows(&[0.0, 0.1, 0.2, 0.3])?, rows(&[5.0, 9.0, 5.1])?);
/// let sources: [&dyn Source; 2] = [&first, &second];
/// let choice = Tasks::new(&KCenter, 2)?.choose(&sources, 3, Seeds::new(1))?;
/// // Rows of the second task are counted on from those of the first.
/// assert_eq!(choice.indices.iter().filter(|i| **i >= 4).count(), 2);
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Reference
/// P. Indyk et al., *Composable Core-sets for Diversity and Coverage Maximization*, PODS 2014, where candidates of parts are
/// chosen from once more.
#[derive(Clone, Copy)]
pub struct Tasks<'a> {
    method: &'a dyn Streaming,
    tasks: usize,
}

/// What a task is asked in a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The share of all rows that is to be kept, in (0, 1].
    pub share: f64,
    /// How many times as many of its rows are to be candidates, positive.
    pub surplus: f64,
    /// What else the strategy wants to say; nothing at first.
    pub numbers: Vec<f64>,
}

/// What a task found among its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// Number of its rows.
    pub rows: usize,
    /// Candidates, by their positions among its rows, the best first.
    pub indices: Vec<usize>,
    /// What those of all tasks are compared by, larger first: one a candidate, never growing, not NaN.
    pub gains: Vec<f64>,
    /// What else the strategy wants to know.
    pub numbers: Vec<f64>,
}

/// What follows from a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The choice is made.
    Chosen {
        /// Positions in the rows of all tasks, those of a task behind those of the one before.
        choice: Choice,
        /// The task of each chosen row, and its place among the candidates there.
        places: Vec<(usize, usize)>,
    },
    /// What each task is asked next. What a task found that is asked the same again is still right.
    Again(Vec<Asked>),
}

impl<'a> Tasks<'a> {
    /// # Errors
    /// [`Error::OutOfRange`] unless there is a task.
    pub fn new(method: &'a dyn Streaming, tasks: usize) -> Result<Self> {
        match tasks {
            0 => Err(Error::range("tasks", "at least 1", 0.0)),
            _ => Ok(Self { method, tasks }),
        }
    }

    /// What each task is asked first, to keep about that share of all rows.
    pub fn first(&self, share: f64) -> Vec<Asked> {
        let surplus = if self.tasks == 1 { 1.0 } else { SURPLUS };
        vec![Asked { share, surplus, numbers: Vec::new() }; self.tasks]
    }

    /// What task `task` finds, from 0 on. Equal seeds give equal candidates, in every round.
    ///
    /// # Errors
    /// As [`select_from`](Streaming::select_from); [`Error::OutOfRange`] if there is no such task, or nothing is asked.
    pub fn candidates(
        &self,
        task: usize,
        source: &dyn Source,
        asked: &Asked,
        seeds: Seeds,
    ) -> Result<Candidates> {
        if task >= self.tasks {
            let rule = "below the number of tasks";
            return Err(Error::range("task", rule, task as f64));
        }
        asked.check()?;
        let rng = &mut seeds.stream(task as u64);
        if self.tasks > 1 {
            return self.method.candidates(source, asked, rng);
        }
        let rows = source.points();
        let count = (asked.share * rows as f64).round().max(1.0) as usize;
        let choice = self.method.select_from(source, count, rng)?;
        // Whatever they are, its own order is the one that counts.
        let falling = |gains: &Vec<f64>| gains.is_sorted_by(|a, b| a >= b);
        let places = 0..choice.len();
        let by_place = || places.map(|place| -(place as f64)).collect();
        let gains = choice.gains.filter(falling).unwrap_or_else(by_place);
        Ok(Candidates { rows, indices: choice.indices, gains, numbers: Vec::new() })
    }

    /// `count` of all rows, or what the tasks are asked next; by what they were asked, and found.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are as many of both as tasks, or for candidates that are not as [`Candidates`] says; [`Error::OutOfRange`] unless there are `count` rows.
    pub fn next(&self, parts: &[Candidates], asked: &[Asked], count: usize) -> Result<Next> {
        for (what, found) in
            [("candidates of tasks", parts.len()), ("what tasks were asked", asked.len())]
        {
            if found != self.tasks {
                return Err(Error::shape(what, self.tasks, found));
            }
        }
        parts.iter().try_for_each(Candidates::check)?;
        check_share(parts.iter().map(|part| part.rows).sum(), count)?;
        let again = match parts {
            [only] if only.indices.len() >= count => None,
            [only] => Some(self.first(count as f64 / only.rows as f64)),
            _ => self.method.next(parts, asked, count)?,
        };
        Ok(again.map_or_else(|| best(parts, count), Next::Again))
    }

    /// All rounds in this process, one task after the other.
    ///
    /// # Errors
    /// As [`candidates`](Self::candidates) and [`next`](Self::next); [`Error::Shape`] unless there is a source a task.
    pub fn choose(&self, sources: &[&dyn Source], count: usize, seeds: Seeds) -> Result<Choice> {
        if sources.len() != self.tasks {
            return Err(Error::shape("sources", self.tasks, sources.len()));
        }
        let rows: usize = sources.iter().map(|source| source.points()).sum();
        self.rounds(rows, count, |parts: &mut [Candidates], asked, which| {
            for task in which {
                parts[task] = self.candidates(task, sources[task], &asked[task], seeds)?;
            }
            Ok(())
        })
    }

    /// The same on several ranks, each of which is the task of its number and has the rows of `source`; all ranks return
    /// the choice, in which rows of later ranks are counted on from those of earlier ones.
    ///
    /// In a round each rank that is asked anything new looks at its own rows, and what it finds goes to all others.
    ///
    /// # Errors
    /// As [`choose`](Self::choose); [`Error::Shape`] unless there are as many tasks as ranks, [`Error::Rank`] where another
    /// rank fails.
    pub fn choose_on(
        &self,
        ranks: &dyn Ranks,
        source: &dyn Source,
        count: usize,
        seeds: Seeds,
    ) -> Result<Choice> {
        let task = ranks.rank();
        let fits = ranks.size() == self.tasks;
        agreed(
            ranks,
            if fits { Ok(()) } else { Err(Error::shape("ranks", self.tasks, ranks.size())) },
        )?;
        let mut rows = [source.points() as f64];
        ranks.sum(&mut rows)?;
        self.rounds(rows[0] as usize, count, |parts: &mut [Candidates], asked, which| {
            let found = match which.contains(&task) {
                true => self.candidates(task, source, &asked[task], seeds).map(|c| c.to_numbers()),
                false => Ok(Vec::new()),
            };
            let all = ranks.gather(&agreed(ranks, found)?)?;
            let new = parts.iter_mut().zip(&all).filter(|(_, said)| !said.is_empty());
            new.for_each(|(part, said)| *part = Candidates::of_numbers(said));
            Ok(())
        })
    }

    /// Rounds until there is a choice; `ask` lets some of the tasks find what they are asked for.
    fn rounds(
        &self,
        rows: usize,
        count: usize,
        ask: impl Fn(&mut [Candidates], &[Asked], Vec<usize>) -> Result<()>,
    ) -> Result<Choice> {
        check_share(rows, count)?;
        let mut asked = self.first(count as f64 / rows as f64);
        let mut parts = vec![Candidates::default(); self.tasks];
        ask(&mut parts, &asked, (0..self.tasks).collect())?;
        for _ in 0..ROUNDS {
            let again = match self.next(&parts, &asked, count)? {
                Next::Chosen { choice, .. } => return Ok(choice),
                Next::Again(again) => again,
            };
            let new = (0..self.tasks).filter(|task| asked[*task] != again[*task]).collect();
            ask(&mut parts, &again, new)?;
            asked = again;
        }
        let (method, tolerance) = ("a choice by tasks", 0.0);
        Err(Error::NotConverged { method, iterations: ROUNDS, residual: 1.0, tolerance })
    }
}

impl Asked {
    /// How many of so many rows are to be candidates.
    pub fn count(&self, rows: usize) -> usize {
        ((self.share * self.surplus * rows as f64).ceil() as usize).clamp(1, rows.max(1))
    }

    fn check(&self) -> Result<()> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Err(Error::range("share of all rows", "in (0, 1]", self.share));
        }
        match self.surplus > 0.0 && self.surplus.is_finite() {
            true => Ok(()),
            false => Err(Error::range("surplus of candidates", "positive", self.surplus)),
        }
    }
}

impl Candidates {
    /// As ranks tell one another: how many rows and candidates, their positions, which are exact below 2^53, and the rest.
    fn to_numbers(&self) -> Vec<f64> {
        let sizes = [self.rows, self.indices.len()].into_iter().chain(self.indices.iter().copied());
        sizes
            .map(|n| n as f64)
            .chain(self.gains.iter().copied())
            .chain(self.numbers.clone())
            .collect()
    }

    /// What [`to_numbers`](Self::to_numbers) made.
    fn of_numbers(said: &[f64]) -> Self {
        let count = said[1] as usize;
        let (indices, rest) = said[2..].split_at(count);
        let (gains, numbers) = rest.split_at(count);
        let indices = indices.iter().map(|index| *index as usize).collect();
        Self { rows: said[0] as usize, indices, gains: gains.to_vec(), numbers: numbers.to_vec() }
    }

    fn check(&self) -> Result<()> {
        let outside = self.indices.iter().any(|index| *index >= self.rows);
        let falling =
            self.gains.is_sorted_by(|a, b| a >= b) && !self.gains.iter().any(|g| g.is_nan());
        match self.rows > 0 && self.gains.len() == self.indices.len() && !outside && falling {
            true => Ok(()),
            false => Err(Error::Shape {
                what: "candidates of a task",
                expected: format!("positions below {} with a falling gain each", self.rows),
                found: format!("{} positions, {} gains", self.indices.len(), self.gains.len()),
            }),
        }
    }
}

/// Of the candidates of all tasks those with the largest gains; of equal ones those of the earlier task.
fn best(parts: &[Candidates], count: usize) -> Next {
    let of = |(task, part): (usize, &Candidates)| (0..part.gains.len()).map(move |k| (task, k));
    let mut places: Vec<(usize, usize)> = parts.iter().enumerate().flat_map(of).collect();
    let gain = |(task, k): &(usize, usize)| parts[*task].gains[*k];
    places.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    places.truncate(count);
    let before =
        parts.iter().scan(0, |rows, part| Some(std::mem::replace(rows, *rows + part.rows)));
    let before: Vec<usize> = before.collect();
    let row = |(task, k): &(usize, usize)| before[*task] + parts[*task].indices[*k];
    // A zero that stands behind others has a sign.
    let gains = places.iter().map(|place| gain(place) + 0.0).collect();
    let choice = Choice::equal(places.iter().map(row).collect()).with_gains(gains);
    Next::Chosen { choice, places }
}

/// Tasks all of whose candidates are better than the `count`-th of all, so that rows behind them may be too, are asked for twice
/// as many; nothing where there are no such tasks.
pub(crate) fn deeper(parts: &[Candidates], asked: &[Asked], count: usize) -> Option<Vec<Asked>> {
    let mut gains: Vec<f64> = parts.iter().flat_map(|part| &part.gains).copied().collect();
    let least = (gains.len() >= count)
        .then(|| *gains.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a)).1);
    let short = |part: &Candidates| {
        let last = part.gains.last().copied().unwrap_or(f64::INFINITY);
        part.indices.len() < part.rows && least.is_none_or(|least| last > least)
    };
    let next = |(part, asked): (&Candidates, &Asked)| match short(part) {
        true => Asked { surplus: 2.0 * asked.surplus, ..asked.clone() },
        false => asked.clone(),
    };
    parts.iter().any(short).then(|| parts.iter().zip(asked).map(next).collect())
}
