//! What every command has: seeds, threads, how much is said, and what took how long.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use gleaner::data::{Source, fingerprint};
use gleaner::{Error, Result, Seeds};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::kept::Kept;
use crate::memory::Bytes;

#[derive(Args)]
pub struct Global {
    /// Equal seeds give equal answers, for any number of threads.
    #[arg(long, global = true, default_value_t = 0)]
    seed: u64,
    /// Threads to compute with [default: all cores].
    #[arg(long, global = true, value_parser = clap::value_parser!(u64).range(1..=1024))]
    threads: Option<u64>,
    /// Says nothing but errors.
    #[arg(long, global = true)]
    quiet: bool,
    /// Prints the report as JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Refuses work that would take more memory, as 500MB or 2GB, before any file is read.
    #[arg(long, global = true, value_name = "SIZE")]
    memory_limit: Option<Bytes>,
    /// Asks for what a file says, in TOML or in the report of an earlier run; flags have the last word.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Goes on with what this command left when it was stopped, or refuses; without it the same command goes on too, or starts.
    #[arg(long, global = true)]
    resume: bool,
}

pub struct Context {
    pub seeds: Seeds,
    global: Global,
    asked: Value,
    seconds: Map<String, Value>,
}

impl Context {
    pub fn new(global: Global, asked: Value) -> Result<Self> {
        if let Some(threads) = global.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize);
            pool.build_global().map_err(|_| Error::OutOfRange {
                what: "threads",
                rule: "a number that the system can start",
                found: threads as f64,
            })?;
        }
        Ok(Self { seeds: Seeds::new(global.seed), global, asked, seconds: Map::new() })
    }

    /// What the command line asks for, less what is the machine's.
    pub fn asked(&self) -> &Value {
        &self.asked
    }

    pub fn memory_limit(&self) -> Option<Bytes> {
        self.global.memory_limit
    }

    /// Refuses to start anew where `--resume` is asked for; `folder` is where the command keeps what is done, if it keeps anything.
    ///
    /// # Errors
    /// With `--resume` [`Error::File`] where nothing was left there, [`Error::Shape`] for a command that starts anew every time.
    pub fn resumes(&self, folder: Option<&Path>) -> Result<()> {
        match folder {
            _ if !self.global.resume => Ok(()),
            Some(folder) if has_files(folder) => Ok(()),
            Some(folder) => Err(Error::File {
                path: folder.to_owned(),
                expected: "what a command left that was stopped".into(),
                found: "nothing; without --resume it starts".into(),
            }),
            None => {
                let expected = "compare, demo, train, buy, audit, score, and select by auto, by methods that look at labels, or \
                                with --task";
                let found = "a command that keeps nothing, and starts anew".into();
                Err(Error::Shape { what: "--resume", expected: expected.into(), found })
            }
        }
    }

    /// The run of what `method` finds of these rows on the way to `out`. Another one makes way, unless `--resume` asks for it.
    pub fn keep(&self, out: &Path, method: &str, source: &dyn Source) -> Result<Kept> {
        let asked = [
            ("method", method.to_owned()),
            ("contents", fingerprint(source)?),
            ("seed", self.seeds.value().to_string()),
        ];
        let folder = Kept::evidence(out);
        match self.global.resume {
            true => Kept::open(folder, asked),
            false => Kept::open_or_replace(folder, asked),
        }
    }

    /// A line for people.
    pub fn say(&self, line: &str) {
        if !self.global.quiet && !self.global.json {
            println!("{line}");
        }
    }

    /// So many pieces of work with the time left, on a terminal.
    pub fn bar(&self, pieces: usize) -> ProgressBar {
        if self.global.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style =
            ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed_precise}, {eta} left");
        let bar = ProgressBar::new(pieces as u64);
        // The template is a constant that parses; without a style there is a plain bar.
        if let Ok(style) = style { bar.with_style(style) } else { bar }
    }

    /// One step of the work: said when it begins, timed, with a sign of life on a terminal.
    pub fn step<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let alive = !self.global.quiet && std::io::stderr().is_terminal();
        let spinner = alive.then(|| {
            let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        if !alive && !self.global.quiet {
            eprintln!("{what} ...");
        }
        let start = Instant::now();
        let done = work();
        spinner.inspect(ProgressBar::finish_and_clear);
        self.seconds.insert(what.to_owned(), json!(start.elapsed().as_secs_f64()));
        done
    }

    /// The end of a command: for people as text, for programs as JSON with what every report has.
    pub fn tell(&self, text: &str, report: Value) -> Result<()> {
        if self.global.json {
            let report = serde_json::to_string_pretty(&self.complete(report));
            println!("{}", report.unwrap_or_default());
        } else if !self.global.quiet {
            print!("{text}");
        }
        Ok(())
    }

    /// A report with versions, seed, seconds and memory.
    pub fn complete(&self, report: Value) -> Value {
        let Value::Object(mut report) = report else { return report };
        report.insert("asked".into(), self.asked.clone());
        report.insert("gleaner".into(), json!(env!("CARGO_PKG_VERSION")));
        report.insert("seed".into(), json!(self.global.seed));
        report.insert("seconds".into(), Value::Object(self.seconds.clone()));
        report.insert("peak_memory_bytes".into(), json!(peak_memory()));
        Value::Object(report)
    }
}

fn has_files(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// The most memory that this process has had, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}
