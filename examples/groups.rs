//! Buying whole speakers or single utterances for the same money: groups and costs in the budget.
//!
//! Each utterance costs its duration; a speaker's first one also costs a session. Nothing is labelled yet:
//! a way of choosing sees where utterances lie, who speaks, and what things cost (`gleaner::choose::Purchase`
//! has the programs). A fresh learner learns the words from what a fifth of the pool's cost buys, and is
//! tested on new speakers, as many of a rare accent as of a common one. Sessions for free: single utterances
//! win, those of one speaker resemble each other. A session for the price of two utterances: even. From five
//! on whole speakers win over utterances chosen without regard for sessions, which meet more speakers and
//! leave less than half as much to learn from; utterances whose price knows of sessions keep level, for they
//! may buy a part of a speaker.
//!
//! `cargo run --release --example groups`

mod shared;

use anyhow::Result;
use candle_core::Device;
use clap::Parser;
use gleaner::experiment::side_by_side;
use gleaner::experiment::tables::{Grid, Number};
use gleaner::report::{ChartOptions, Panel, Spread, line_chart};
use shared::groups::{WAYS, measure};

/// Buys whole speakers or single utterances for the same money, and tests what a learner makes of them; with
/// --quick of 24 speakers at three session costs, two seeds at most.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    common: shared::Common,
}

fn main() -> Result<()> {
    let Flags { common } = Flags::parse();
    let (seeds, speakers) = (common.seeds(16, 2), if common.quick { 24 } else { 36 });
    let sessions = if common.quick { &[0.0, 5.0, 20.0][..] } else { &[0.0, 2.0, 5.0, 10.0, 20.0] };
    let jobs: Vec<(f64, u64)> =
        sessions.iter().flat_map(|s| seeds.clone().map(move |seed| (*s, seed))).collect();
    common.open(jobs.len())?;
    println!("{speakers} speakers; an utterance costs 1 on average, a session one of {sessions:?}");
    let one = |&(session, seed): &(f64, u64)| measure(speakers, session, seed);
    let measured = side_by_side(&jobs, &Device::Cpu, one)?.concat();
    let numbers = ["accuracy", "speakers", "utterances", "seconds"];
    let numbers = numbers.map(|name| Number { name, spread: name == "accuracy" }).into();
    let grid = Grid { setting: "session_cost", numbers, measured };
    let title = "\ntest accuracy at equal cost, mean ± standard deviation over seeds";
    print!("{}", grid.means(title, "accuracy", 1.0, 3));
    let mean = |line: &str, session, name| grid.mean(line, session, name).unwrap_or(f64::NAN);
    let met = |line: &str, session| {
        let [met, bought] = ["speakers", "utterances"].map(|name| mean(line, session, name));
        format!("{met:.1} / {bought:.1}")
    };
    print!("{}", grid.text("speakers met / utterances bought, mean over seeds", met));
    let out = common.out("groups");
    grid.write(&out)?;
    let options = ChartOptions {
        title: "Whole speakers or single utterances for the same money".into(),
        x_label: "cost of a session, in utterances of mean length".into(),
        y_label: "test accuracy".into(),
        y_percent: true,
        spread: Spread::Band,
        ..Default::default()
    };
    // In two panels, so that no more than three bands overlap.
    let panels = [("chosen by the program", [0, 1, 2, 5]), ("against chance", [0, 3, 4, 5])];
    let panels = panels.map(|(title, ways)| Panel {
        title: title.into(),
        series: ways.map(|k| grid.series(WAYS[k].0, "accuracy")).into(),
    });
    line_chart(out.join("accuracy.svg"), &options, &panels)?;
    println!("written: {}/{{summary,seeds}}.csv, accuracy.svg", out.display());
    Ok(())
}
