//! Ranks inside one process.

use std::sync::{Arc, Barrier, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::ranks::Ranks;

/// One of several threads that do one job together.
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

/// What all can read.
#[derive(Debug)]
struct Board {
    said: Vec<Mutex<Vec<f64>>>,
    all: Barrier,
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
        let said = (0..size).map(|_| Mutex::default()).collect();
        let board = Arc::new(Board { said, all: Barrier::new(size) });
        Ok((0..size).map(|rank| Self { rank, board: Arc::clone(&board) }).collect())
    }

    /// What each of `size` threads makes of `work`, by rank.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// Where `work` does, if the others do not wait for that rank.
    pub fn run<T: Send>(size: usize, work: impl Fn(&Self) -> T + Sync) -> Result<Vec<T>> {
        let ranks = Self::new(size)?;
        Ok(std::thread::scope(|scope| {
            let started: Vec<_> = ranks.iter().map(|rank| scope.spawn(|| work(rank))).collect();
            let joined = started.into_iter().map(|thread| thread.join());
            joined
                .map(|made| made.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        }))
    }

    fn said(&self, rank: usize) -> Vec<f64> {
        self.board.said[rank].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ranks for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.board.said.len()
    }

    /// Added in the order of the ranks.
    fn sum(&self, numbers: &mut [f64]) -> Result<()> {
        let all = self.gather(numbers)?;
        if let Some(other) = all.iter().find(|said| said.len() != all[0].len()) {
            return Err(Error::shape("numbers of a rank", all[0].len(), other.len()));
        }
        numbers.fill(0.0);
        for said in &all {
            numbers.iter_mut().zip(said).for_each(|(sum, number)| *sum += number);
        }
        Ok(())
    }

    fn gather(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
        let mut own = self.board.said[self.rank].lock().unwrap_or_else(PoisonError::into_inner);
        *own = numbers.to_vec();
        drop(own);
        self.board.all.wait();
        let all = (0..self.size()).map(|rank| self.said(rank)).collect();
        // Nobody says more before all have read.
        self.board.all.wait();
        Ok(all)
    }
}
