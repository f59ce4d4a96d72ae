//! `gleaner`: the training data worth keeping, and the labels worth checking, from a shell.

mod audit;
mod buy;
mod compare;
mod config;
mod context;
mod demo;
mod embedded;
mod info;
mod input;
mod keep;
mod kept;
mod known;
mod listed;
mod memory;
mod merge;
mod methods;
mod output;
mod page;
mod report;
mod score;
mod select;
mod stored;
mod summary;
mod tasks;
mod train;
mod trial;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use gleaner::Error;

use context::{Context, Global};

/// Finds the training data worth keeping.
///
/// DATA is a table with a row a point: .csv, .tsv, .txt (and .gz), .npy, .npz, .safetensors or .parquet. Columns that have
/// no other role are features; text among them becomes categories, or counts by its words with --text. A folder holds
/// pictures, one folder a class.
#[derive(Parser)]
#[command(name = "gleaner", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

const EXAMPLES: &str = "Examples:
  gleaner demo
  gleaner info train.csv --label species
  gleaner select train.csv --label species --keep 10% --out kept.csv
  gleaner select features.npy --keep 5000 --method k-center --out kept.npy
  gleaner audit train.parquet --label y --id key --out suspects.csv
  gleaner report suspects.json

What a report says was asked, or a file of TOML with command, data and flags, is run by --config FILE.
Exit codes: 0 done, 1 the system refused or nothing was found, 2 a mistake in what was asked for or in the data, 3 tasks have still
to run (merge).";

#[derive(Subcommand)]
enum Command {
    /// The main job without data or network: ways of choosing compared on clusters, with tables and a picture.
    Demo(demo::Flags),
    /// Chooses rows.
    Select(select::Flags),
    /// Makes one choice of what the tasks of select --task found.
    Merge(merge::Flags),
    /// Ranks the labels worth checking; names near duplicates, outliers and constant columns.
    Audit(audit::Flags),
    /// Trains networks on what each method chooses, and says which is better than random rows.
    Compare(compare::Flags),
    /// Gives every row the numbers that strategies rank by.
    Score(score::Flags),
    /// Trains a network and a model of which rows it should learn from, together.
    Train(train::Flags),
    /// Asks for the labels that are worth having, in rounds, by files that are filled in.
    Buy(buy::Flags),
    /// Makes the page of a run again from what it left.
    Report(report::Flags),
    /// Says what would be read, and what memory and time work on it would take.
    Info(info::Flags),
    /// Prints completions for a shell.
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    Man,
}

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gleaner: {}", told(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}

fn start() -> gleaner::Result<ExitCode> {
    let mut whole = Arguments::command();
    let line = config::expanded(std::env::args_os().collect(), &whole)?;
    let matches = whole.clone().get_matches_from(line);
    let asked = config::asked(&matches, &whole);
    let Arguments { command, global } =
        Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let context = || Context::new(global, asked);
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut whole, "gleaner", &mut script);
            std::io::Write::write_all(&mut std::io::stdout(), &script)
                .map_err(output::stdout_error)?;
        }
        Command::Man => {
            let page = clap_mangen::Man::new(whole);
            page.render(&mut std::io::stdout()).map_err(output::stdout_error)?;
        }
        Command::Merge(flags) => return merge::run(flags, anew(context()?)?),
        Command::Compare(flags) => compare::run(flags, context()?)?,
        Command::Demo(flags) => demo::run(flags, context()?)?,
        Command::Select(flags) => select::run(flags, context()?)?,
        Command::Audit(flags) => audit::run(flags, context()?)?,
        Command::Score(flags) => score::run(flags, context()?)?,
        Command::Train(flags) => train::run(flags, context()?)?,
        Command::Buy(flags) => buy::run(flags, context()?)?,
        Command::Report(flags) => report::run(flags, anew(context()?)?)?,
        Command::Info(flags) => info::run(flags, anew(context()?)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// For a command that keeps nothing to go on with.
fn anew(context: Context) -> gleaner::Result<Context> {
    context.resumes(None).map(|()| context)
}

/// What the system or the numbers refused is 1, what was asked for wrongly 2.
fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Io { .. } | Error::Tensor(_) | Error::NotConverged { .. } => 1,
        _ => 2,
    }
}

/// The error; of a name that is not there, the nearest one that is. Hundreds of columns are no help.
fn told(error: &Error) -> String {
    const MOST: usize = 50;
    let Error::Unknown { what, expected, found } = error else { return error.to_string() };
    let names = expected.split(", ").count();
    let Some(near) = nearest(expected, found) else { return error.to_string() };
    match names > MOST {
        true => format!("{what}: no {found:?} among {names}; did you mean {near:?}?"),
        false => format!("{error}; did you mean {near:?}?"),
    }
}

fn nearest<'a>(expected: &'a str, found: &str) -> Option<&'a str> {
    let alike = |name: &&str| strsim::jaro_winkler(name, found);
    let best = expected.split(", ").max_by(|a, b| alike(a).total_cmp(&alike(b)));
    best.filter(|name| alike(name) > 0.7)
}
