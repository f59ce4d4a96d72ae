//! Independent jobs side by side, and the threads they compute with.

use std::panic::resume_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;

use crate::error::{Error, Result};

/// What `work` makes of every job, in the order of the jobs; what it makes of one may not depend on the
/// others, so the number of cores changes nothing.
///
/// On the CPU jobs are the parallelism, a core and a pool of one thread each: threads that wait for each
/// other's small pieces of work would cost as much as the work. On an accelerator they run one after the
/// other: threads that share one device are slower together than in turns.
///
/// # Example
/// ```
/// use candle_core::Device;
/// use gleaner::experiment::side_by_side;
///
/// let squares = side_by_side(&[3, 1, 2], &Device::Cpu, |job| Ok::<_, gleaner::Error>(job * job))?;
/// assert_eq!(squares, [9, 1, 4]);
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Errors
/// The error of one of the jobs that failed; jobs that were running then are finished, no other is begun.
/// [`Error::Start`] if the system refuses a thread.
pub fn side_by_side<J: Sync, T: Send, E: From<Error> + Send>(
    jobs: &[J],
    device: &Device,
    work: impl Fn(&J) -> std::result::Result<T, E> + Sync,
) -> std::result::Result<Vec<T>, E> {
    if !device.is_cpu() {
        return jobs.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let worker = || -> std::result::Result<Vec<(usize, T)>, E> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| start("a thread", std::io::Error::other(error)))?;
        let mut found = Vec::new();
        loop {
            let k = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(k) else { return Ok(found) };
            let result = pool.install(|| work(job));
            // Nobody begins another job after one that failed.
            found.push((k, result.inspect_err(|_| next.store(jobs.len(), Ordering::Relaxed))?));
        }
    };
    let mut found = std::thread::scope(|scope| -> std::result::Result<Vec<(usize, T)>, E> {
        let threads: Vec<_> = (0..cores().min(jobs.len())).map(|_| scope.spawn(worker)).collect();
        let mut found = Vec::new();
        for thread in threads {
            found.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(found)
    })?;
    found.sort_by_key(|(k, _)| *k);
    Ok(found.into_iter().map(|(_, result)| result).collect())
}

/// Starts the program again with a thread count that suits one job a core, unless the caller chose one by
/// `RAYON_NUM_THREADS`. To be called first in `main`: on Unix the new program takes the place of this
/// process, elsewhere this process waits and ends with it.
///
/// candle 0.11 looks the number of cores up anew (in /proc/cpuinfo) for every matrix product unless
/// `RAYON_NUM_THREADS` is set, which takes longer than a small product itself. It must be set from outside:
/// changing the environment of a running program is not safe. candle's own pool of threads gets one: it
/// waits in a busy loop, on the cores that our operations work on.
///
/// # Errors
/// [`Error::Start`] if the program cannot be started again.
pub fn one_thread_a_job(jobs: usize) -> Result<()> {
    const NAME: &str = "RAYON_NUM_THREADS";
    if std::env::var_os(NAME).is_some() {
        return Ok(());
    }
    let failed = |source| start("this program again", source);
    let mut again = Command::new(std::env::current_exe().map_err(failed)?);
    again.args(std::env::args_os().skip(1)).env(NAME, threads_each(cores(), jobs).to_string());
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        again.env("CANDLE_NUM_THREADS", "1");
    }
    become_it(again).map_err(failed)
}

/// In place of this process, so that a signal to it reaches the work.
#[cfg(unix)]
fn become_it(mut command: Command) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> std::io::Result<()> {
    std::process::exit(command.status()?.code().unwrap_or(1));
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

fn threads_each(cores: usize, jobs: usize) -> usize {
    (cores / jobs.clamp(1, cores)).max(1)
}

fn start(what: &'static str, source: std::io::Error) -> Error {
    Error::Start { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs() -> Result<()> {
        let jobs: Vec<usize> = (0..50).collect();
        let slow_first = |job: &usize| -> Result<usize> {
            std::thread::sleep(std::time::Duration::from_millis(((50 - job) % 7) as u64));
            Ok(job * 2)
        };
        let found = side_by_side(&jobs, &Device::Cpu, slow_first)?;
        assert!(found.iter().enumerate().all(|(k, result)| *result == 2 * k));
        assert!(side_by_side(&[] as &[usize], &Device::Cpu, slow_first)?.is_empty());
        Ok(())
    }

    #[test]
    fn a_failed_job_fails_all_and_no_other_begins() {
        let begun = AtomicUsize::new(0);
        let jobs = [0; 10_000];
        let refused = side_by_side(&jobs, &Device::Cpu, |_| -> Result<()> {
            begun.fetch_add(1, Ordering::Relaxed);
            Err(Error::shape("job", "one that works", "this one"))
        });
        assert!(refused.is_err() && begun.into_inner() <= cores());
    }

    #[test]
    fn cores_are_shared_out() {
        let cases = [(8, 1, 8), (8, 3, 2), (8, 8, 1), (8, 100, 1), (1, 5, 1), (8, 0, 8)];
        for (cores, jobs, each) in cases {
            assert_eq!(threads_each(cores, jobs), each, "{jobs} jobs on {cores} cores");
        }
    }
}
