//! How many threads a program computes with.

use std::process::Command;

use anyhow::Result;

/// Starts the program again with a thread count that suits one job a core, unless the caller chose one.
///
/// candle 0.11 looks the number of cores up anew (in /proc/cpuinfo) for every matrix product unless
/// RAYON_NUM_THREADS is set, which takes longer than a small product itself. It must be set from outside:
/// changing the environment of a running program is not safe. candle's own pool of threads gets one: it
/// waits in a busy loop, on the cores that our operations work on.
pub fn with_thread_count(jobs: u64) -> Result<()> {
    const NAME: &str = "RAYON_NUM_THREADS";
    if std::env::var_os(NAME).is_some() {
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let each = (cores / jobs.clamp(1, cores)).max(1);
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).env(NAME, each.to_string());
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        again.env("CANDLE_NUM_THREADS", "1");
    }
    become_it(again)
}

/// In place of this process, so that a signal to it reaches the work.
#[cfg(unix)]
fn become_it(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> Result<()> {
    std::process::exit(command.status()?.code().unwrap_or(1));
}
