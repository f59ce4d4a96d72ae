//! Independent jobs side by side, one a core; their results do not depend on how many cores there are.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};

/// Starts the program again with a thread count that suits one job a core, unless the caller chose one.
///
/// candle 0.11 looks the number of cores up anew (in /proc/cpuinfo) for every matrix product unless
/// RAYON_NUM_THREADS is set, which takes longer than a small product itself. It must be set from outside:
/// changing the environment of a running program is not safe.
pub fn with_thread_count(jobs: u64) -> Result<()> {
    const NAME: &str = "RAYON_NUM_THREADS";
    if std::env::var_os(NAME).is_some() {
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let each = (cores / jobs.clamp(1, cores)).max(1);
    let mut again = std::process::Command::new(std::env::current_exe()?);
    let status = again.args(std::env::args_os().skip(1)).env(NAME, each.to_string()).status()?;
    std::process::exit(status.code().unwrap_or(1));
}

/// What `work` makes of every job, in the order of the jobs.
///
/// Jobs are the parallelism, each on a pool of one thread: threads that wait for each other's small
/// pieces of work would cost as much as the work.
pub fn one_a_core<J: Sync, T: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<(usize, T)>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let mut found = Vec::new();
        loop {
            let k = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(k) else { return Ok(found) };
            found.push((k, pool.install(|| work(job))?));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get()).min(jobs.len());
    let mut found = std::thread::scope(|scope| -> Result<Vec<(usize, T)>> {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let mut found = Vec::new();
        for thread in threads {
            found.extend(thread.join().map_err(|_| anyhow!("a worker panicked"))??);
        }
        Ok(found)
    })?;
    found.sort_by_key(|(k, _)| *k);
    Ok(found.into_iter().map(|(_, result)| result).collect())
}
