//! Several processes, or threads of one, that do one job together: each has a part of the data, and all go on with the same
//! answer.
//!
//! [`Threads`] are ranks inside one process, as for several accelerators of one machine; `Mpi`, behind the feature `mpi`, is as
//! many processes as `mpirun` starts, on any number of machines. [`Tasks::choose_on`](crate::choose::Tasks::choose_on) makes one
//! choice of the rows of all ranks, [`Trainer::step_on`](crate::Trainer::step_on) one step of training on all of them.
//!
//! All ranks must make the same calls in the same order: each waits for the others. So that none waits for ever, what can fail
//! on one rank alone is told to all by [`agreed`] before they go on.

#[cfg(feature = "mpi")]
mod mpi;
mod threads;

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
pub use threads::Threads;

use crate::error::{Error, Result};

/// One of several that do one job together.
pub trait Ranks {
    /// Which one this is, from 0 on.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Replaces each number by the sum of what all ranks have in its place; to the bit the same on all of them.
    ///
    /// # Errors
    /// [`Error::Shape`] on all ranks if they have different numbers of numbers, and as [`gather`](Self::gather).
    fn sum(&self, numbers: &mut [f64]) -> Result<()>;

    /// What each rank says, by rank; they may say differently much.
    ///
    /// # Errors
    /// [`Error::Rank`] where a rank is known to have ended.
    fn gather(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>>;
}

/// What this rank made, if all ranks made theirs.
///
/// # Errors
/// Its own error on a rank that failed, on all others [`Error::Rank`] with the first that did.
///
/// # Example
/// ```
/// use gleaner::ranks::{Ranks, Threads, agreed};
/// use gleaner::{Error, Result};
///
/// let read = |ranks: &Threads| -> Result<f64> {
///     let mine = match ranks.rank() {
///         1 => Err(Error::OutOfRange { what: "row", rule: "readable", found: 7.0 }),
///         rank => Ok(rank as f64),
///     };
///     let mine = agreed(ranks, mine)?; // or rank 1 would be gone, and the others would wait for it
///     let mut sum = [mine];
///     ranks.sum(&mut sum)?;
///     Ok(sum[0])
/// };
/// let found: Vec<Result<f64>> = Threads::run(3, read)?;
/// assert!(matches!(found[0], Err(Error::Rank { failed: 1, .. })));
/// assert!(matches!(found[1], Err(Error::OutOfRange { .. })));
/// # Ok::<(), Error>(())
/// ```
pub fn agreed<T>(ranks: &dyn Ranks, mine: Result<T>) -> Result<T> {
    let failed = f64::from(u8::from(mine.is_err()));
    let all = ranks.gather(&[failed])?;
    let mine = mine?;
    match all.iter().position(|said| said.first() != Some(&0.0)) {
        None => Ok(mine),
        Some(failed) => Err(Error::Rank { rank: ranks.rank(), failed }),
    }
}
