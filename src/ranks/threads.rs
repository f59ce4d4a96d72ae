//! Ranks inside one process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::ranks::Ranks;

/// One of several threads that do one job together. Where one has ended, by an error or a panic of its own, the others do not
/// wait for it: they are told [`Error::Rank`].
///
/// ```
/// use gleaner::ranks::{Ranks, Threads};
///
/// let sums = Threads::run(3, |ranks| {
///     let mut numbers = [1.0, ranks.rank() as f64];
///     ranks.sum(&mut numbers).map(|()| numbers)
/// })?;
/// assert!(sums.into_iter().all(|sum| sum.is_ok_and(|sum| sum == [3.0, 3.0])));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    board: Arc<Board>,
}

#[derive(Debug)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// What has been said in this round, by rank, and by how many.
    said: Vec<Vec<f64>>,
    arrived: usize,
    /// Rounds that are over, and what was said in the last: nobody is in the next but one before all have read it.
    rounds: u64,
    last: Arc<Vec<Vec<f64>>>,
    /// The first rank that has ended.
    gone: Option<usize>,
}

impl Threads {
    /// The ranks, one for each thread that you start.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless there is one.
    pub fn new(size: usize) -> Result<Vec<Self>> {
        if size == 0 {
            return Err(Error::range("ranks", "at least 1", 0.0));
        }
        let (said, last) = (vec![Vec::new(); size], Arc::default());
        let state = Mutex::new(State { said, arrived: 0, rounds: 0, last, gone: None });
        let board = Arc::new(Board { state, changed: Condvar::new() });
        Ok((0..size).map(|rank| Self { rank, board: Arc::clone(&board) }).collect())
    }

    /// What each of `size` threads makes of `work`, by rank.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// Where `work` does.
    pub fn run<T: Send>(size: usize, work: impl Fn(&Self) -> T + Sync) -> Result<Vec<T>> {
        let (ranks, work) = (Self::new(size)?, &work);
        Ok(std::thread::scope(|scope| {
            let start = |rank: Self| scope.spawn(move || work(&rank));
            let started: Vec<_> = ranks.into_iter().map(start).collect();
            let joined = started.into_iter().map(|thread| thread.join());
            joined
                .map(|made| made.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.board.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all say in this round.
    fn round(&self, numbers: &[f64]) -> Result<Arc<Vec<Vec<f64>>>> {
        let mut state = self.state();
        let round = state.rounds;
        state.said[self.rank] = numbers.to_vec();
        state.arrived += 1;
        if state.arrived == state.said.len() {
            let next = vec![Vec::new(); state.said.len()];
            state.last = Arc::new(std::mem::replace(&mut state.said, next));
            (state.arrived, state.rounds) = (0, round + 1);
            self.board.changed.notify_all();
        }
        while state.rounds == round {
            if let Some(failed) = state.gone {
                return Err(Error::Rank { rank: self.rank, failed });
            }
            let changed = self.board.changed.wait(state);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Arc::clone(&state.last))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut state = self.state();
        state.gone = state.gone.or(Some(self.rank));
        self.board.changed.notify_all();
    }
}

impl Ranks for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.state().said.len()
    }

    /// Added in the order of the ranks.
    fn sum(&self, numbers: &mut [f64]) -> Result<()> {
        let all = self.round(numbers)?;
        if let Some(other) = all.iter().find(|said| said.len() != all[0].len()) {
            return Err(Error::shape("numbers of a rank", all[0].len(), other.len()));
        }
        numbers.fill(0.0);
        for said in &*all {
            numbers.iter_mut().zip(said).for_each(|(sum, number)| *sum += number);
        }
        Ok(())
    }

    fn gather(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
        Ok(self.round(numbers)?.to_vec())
    }
}
