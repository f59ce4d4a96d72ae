//! `gleaner demo`.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use gleaner::Result;
use gleaner::experiment::tables::report_comparison;
use gleaner::experiment::{Configuration, Run, SyntheticStudy, one_thread_a_job};
use gleaner::report::Panel;
use serde_json::json;

use crate::context::Context;
use crate::page::{Left, PageFlags, accuracies};

#[derive(Args)]
pub struct Flags {
    /// Where tables and the picture go; what is done is kept there: the same command goes on where it was stopped.
    #[arg(long, default_value = "gleaner-demo")]
    out: PathBuf,
    /// Seeds, each with data of its own.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// A smaller task of some seconds.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    page: PageFlags,
}

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    let study = SyntheticStudy::new(flags.quick, Default::default());
    let first = context.seeds.value();
    let seeds = first..first + if flags.quick { flags.seeds.min(2) } else { flags.seeds };
    let jobs = SyntheticStudy::NOISES.len() * seeds.clone().count();
    one_thread_a_job(jobs)?;
    context.say(&format!("{study}"));
    let folder = flags.out.join(if flags.quick { "run-quick" } else { "run" });
    context.resumes(Some(&folder))?;
    let run = |noise: f64, seed: u64, asked: Configuration| {
        Run::open(folder.join(format!("noise{noise}-seed{seed}")), &asked)
    };
    let bar = context.bar(study.trainings(seeds.clone().count()));
    let watch = |progress: &gleaner::experiment::Progress| {
        bar.inc(u64::from(progress.epoch == progress.epochs));
    };
    let levels = context.step("comparing", || study.levels(seeds, &Device::Cpu, run, watch))?;
    bar.finish_and_clear();
    let tables = report_comparison(&flags.out, "Synthetic clusters", study.fractions(), &levels)?;
    let out = flags.out.display();
    let text = format!("{tables}written: {out}/{{summary,seeds,detection}}.csv, accuracy.svg\n");
    let panels: Vec<Panel> = levels.iter().map(|level| level.panel(study.fractions())).collect();
    let seeds = levels.first().map_or(0, |level| level.seeds.len());
    let report = context.complete(json!({
        "command": "demo",
        "study": study.to_string(),
        "seeds": seeds,
        "accuracies": accuracies(&panels),
        "interval": format!("Means over {seeds} seeds; bars reach a standard deviation to either side."),
        "out": flags.out,
    }));
    let path = flags.out.join("report.json");
    crate::output::write_json(&path, &report)?;
    let left = Left { report: &report, sheet: None, data: None };
    let page = flags.page.write(&path, &left, &mut context)?;
    context.tell(&(text + &page), report)
}
