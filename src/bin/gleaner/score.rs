//! `gleaner score`.

use std::path::PathBuf;

use clap::Args;
use gleaner::choose::{Needs, Strategy, all};
use gleaner::experiment::Run;
use gleaner::{Error, Result, Seeds};
use serde_json::json;

use crate::context::Context;
use crate::input::{Data, Extra, Input};
use crate::kept::Kept;
use crate::known::Known;
use crate::memory::Demand;
use crate::methods::{check, evidence, method, observed};
use crate::output::{self, Column, Values};

#[derive(Args)]
#[command(after_help = "Example:
  gleaner score train.csv --label y --by margin,entropy,el2n --out scores.parquet")]
pub struct Flags {
    #[command(flatten)]
    input: Input,
    /// The strategies [default: all that rank points and need nothing but what the table has].
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    by: Vec<String>,
    /// Where the numbers go, a row a row: .csv, .parquet or .npy.
    #[arg(long)]
    out: PathBuf,
}

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    output::check(&flags.out)?;
    context.resumes(Some(&Kept::evidence(&flags.out)))?;
    let asked = flags.by.iter().map(|name| method(Some(name), true)).collect::<Result<Vec<_>>>()?;
    let data = flags.input.read(&Extra::default(), Demand::EVIDENCE, &mut context)?;
    data.check_labels()?;
    for strategy in &asked {
        check(strategy, &data, false)?;
    }
    let usual = asked.is_empty();
    let strategies = if usual { possible(&data) } else { asked };
    let seeds = context.seeds;
    let kept = context.keep(&flags.out, "score", &data.table.data)?;
    let scores =
        context.step("scoring", || scores(&data, &strategies, usual, (seeds, kept.run())))?;
    let everyone: Vec<usize> = (0..data.len()).collect();
    let mut columns = data.keys(&everyone);
    let names: Vec<String> = scores.iter().map(|(name, _)| name.clone()).collect();
    columns.extend(scores.into_iter().map(|(name, s)| Column::new(name, Values::Real(s))));
    context.step("writing", || output::write(&flags.out, &columns))?;
    let text = format!("{} rows by {}: {}\n", data.len(), names.join(", "), flags.out.display());
    let report = json!({"command": "score", "input": data.report(), "by": names, "out": flags.out});
    let report = context.complete(report);
    kept.done()?;
    context.tell(&text, report)
}

/// All whose needs a table can meet.
fn possible(data: &Data) -> Vec<Box<dyn Strategy>> {
    all().into_iter().filter(|strategy| check(strategy, data, false).is_ok()).collect()
}

/// The numbers of those that rank; one asked for by name must.
fn scores(
    data: &Data,
    strategies: &[Box<dyn Strategy>],
    usual: bool,
    (seeds, run): (Seeds, &Run),
) -> Result<Vec<(String, Vec<f64>)>> {
    let needs = strategies.iter().map(|strategy| strategy.needs()).fold(Needs::NOTHING, Needs::and);
    let seen = observed(&data.table.data, data.labelled, needs, seeds, Some(run))?;
    let known = evidence(&seen, data)?;
    let mut found = Vec::new();
    for strategy in strategies {
        match strategy.ranking(&known)? {
            Some(scores) => found.push((strategy.name().to_owned(), scores)),
            None if usual => {}
            None => {
                let (what, expected) = ("numbers", "one that ranks rows by themselves".to_owned());
                return Err(Error::Unknown { what, expected, found: strategy.name().to_owned() });
            }
        }
    }
    Ok(found)
}
