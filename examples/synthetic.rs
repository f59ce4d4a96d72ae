//! The main job, with no data and no network: a learner and a selection model trained together on
//! synthetic clusters, and the subsets tested against every other way of choosing.
//!
//! `cargo run --release --example synthetic`

mod shared;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use gleaner::experiment::tables::report_comparison;
use gleaner::experiment::{Configuration, Run, SyntheticStudy};
use gleaner::joint::LookAhead;

/// Compares ways of choosing training data on clusters with Zipf sizes, where rare clusters matter; with
/// --quick on 1,500 points, two seeds at most, in fewer steps.
#[derive(Parser)]
struct Flags {
    /// What the validation set is asked about while learner and selection are trained.
    #[arg(long, value_enum, default_value_t)]
    look_ahead: Ahead,
    #[command(flatten)]
    common: shared::Common,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Ahead {
    /// The learner after one step.
    #[default]
    OneStep,
    /// Its last layer, trained in closed form.
    LastLayer,
    /// The learner, linearised, after five steps.
    Linearised,
}

impl From<Ahead> for LookAhead {
    fn from(ahead: Ahead) -> Self {
        match ahead {
            Ahead::OneStep => Self::default(),
            Ahead::LastLayer => Self::LastLayer { ridge: 0.1 },
            Ahead::Linearised => Self::Linearised { rate: 0.1, steps: 5 },
        }
    }
}

fn main() -> Result<()> {
    let Flags { look_ahead, common } = Flags::parse();
    let (study, seeds) = (SyntheticStudy::new(common.quick, look_ahead.into()), common.seeds(5, 2));
    let count = seeds.clone().count();
    let device = common.open(SyntheticStudy::NOISES.len() * count)?;
    let out = common.out("synthetic");
    let kept = out.join(if common.quick { "run-quick" } else { "run" });
    println!("{study}\neverything is kept in {}", kept.display());
    let run = |noise: f64, seed: u64, mut asked: Configuration| {
        asked.extend(common.configuration(&(seed..seed + 1)));
        Run::open(kept.join(format!("noise{noise}-seed{seed}")), &asked)
    };
    let bars = shared::Bars::new(study.trainings(count))?;
    let levels = study.levels(seeds, &device, run, |progress| bars.show(progress))?;
    bars.finish();
    print!("{}", report_comparison(&out, "Synthetic clusters", study.fractions(), &levels)?);
    println!("written: {}/{{summary,seeds,detection}}.csv, accuracy.svg", out.display());
    Ok(())
}
