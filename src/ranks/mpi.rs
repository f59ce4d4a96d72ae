//! Ranks that are processes, on any number of machines.

use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

use crate::error::{Error, Result};
use crate::ranks::Ranks;

/// Numbers that are sent at once: counts are 32-bit there, and a copy is made.
const AT_ONCE: usize = 1 << 22;

/// One of the processes that `mpirun` started.
///
/// ```no_run
/// use gleaner::ranks::{Mpi, Ranks};
///
/// let ranks = Mpi::start()?; // once a process, in the thread that works on
/// println!("{} of {}", ranks.rank(), ranks.size());
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// A process that ends without an answer, or panics, leaves the others waiting; `mpirun` ends them all.
///
/// # Reference
/// *MPI: A Message-Passing Interface Standard*, version 3.1; needs its library and the headers of clang to build.
pub struct Mpi {
    world: SimpleCommunicator,
    /// When it goes, the process has left.
    _universe: Universe,
}

impl Mpi {
    /// Joins the others.
    ///
    /// # Errors
    /// [`Error::Unknown`] where this process has joined before.
    pub fn start() -> Result<Self> {
        let (what, expected) = ("MPI", "one start a process".into());
        let found = || "another one".into();
        let universe =
            mpi::initialize().ok_or_else(|| Error::Unknown { what, expected, found: found() })?;
        Ok(Self { world: universe.world(), _universe: universe })
    }
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize // never negative
    }

    fn size(&self) -> usize {
        self.world.size() as usize // never negative
    }

    /// By `MPI_Allreduce`: the order of the sum is the library's, the same in every run of as many ranks.
    fn sum(&self, numbers: &mut [f64]) -> Result<()> {
        let mut counts = vec![0u64; self.size()];
        self.world.all_gather_into(&(numbers.len() as u64), &mut counts[..]);
        if let Some(other) = counts.iter().find(|count| **count != counts[0]) {
            return Err(Error::shape("numbers of a rank", counts[0], *other));
        }
        for some in numbers.chunks_mut(AT_ONCE) {
            let own = some.to_vec();
            self.world.all_reduce_into(&own[..], some, SystemOperation::sum());
        }
        Ok(())
    }

    /// By `MPI_Allgatherv`.
    fn gather(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
        let ranks = self.size();
        let mut left = vec![0u64; ranks];
        self.world.all_gather_into(&(numbers.len() as u64), &mut left[..]);
        let mut all: Vec<Vec<f64>> = vec![Vec::new(); ranks];
        let mut rest = numbers;
        let most = (AT_ONCE / ranks).max(1) as u64;
        while left.iter().any(|count| *count > 0) {
            let counts: Vec<i32> = left.iter().map(|count| most.min(*count) as i32).collect();
            let starts = counts.iter().scan(0, |sum, count| {
                *sum += count;
                Some(*sum - count)
            });
            let starts: Vec<i32> = starts.collect();
            let (now, later) = rest.split_at(counts[self.rank()] as usize);
            let mut found = vec![0.0; counts.iter().map(|count| *count as usize).sum()];
            {
                let mut parts = PartitionMut::new(&mut found[..], &counts[..], &starts[..]);
                self.world.all_gather_varcount_into(now, &mut parts);
            }
            for (rank, (start, count)) in starts.iter().zip(&counts).enumerate() {
                all[rank].extend(&found[*start as usize..(start + count) as usize]);
                left[rank] -= *count as u64;
            }
            rest = later;
        }
        Ok(all)
    }
}
