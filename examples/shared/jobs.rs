//! Independent jobs, on the CPU side by side; their results do not depend on how many cores there are.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use candle_core::Device;

/// What `work` makes of every job, in the order of the jobs.
///
/// On the CPU jobs are the parallelism, a core and a pool of one thread each: threads that wait for each other's
/// small pieces of work would cost as much as the work. On an accelerator they run one after the other: threads
/// that share one device are slower together than in turns.
pub fn side_by_side<J: Sync, T: Send>(
    jobs: &[J],
    device: &Device,
    work: impl Fn(&J) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if !device.is_cpu() {
        return jobs.iter().map(work).collect();
    }
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
