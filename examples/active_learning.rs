//! Choosing in rounds which points are worth a label: images of CIFAR-10, or texts from a CSV file.
//!
//! `cargo run --release --example active_learning -- --data DIR [--quick]`, DIR holding
//! `cifar-10-batches-bin`; or `--data FILE.csv --learner fasttext`, with lines `"class","title","text"`,
//! plain or gzipped, or with a header and `--label` and `--text` to name its columns.
//!
//! Killed at any moment and started again with the same flags, it goes on where it was; a label that was
//! paid for is never asked for again.

mod shared;

use anyhow::Result;
use clap::Parser;
use gleaner::choose::{Random, listed};
use gleaner::experiment::tables::report_active_learning;
use gleaner::experiment::{KNOWN_WITHOUT_LABELS, KnownLabels, Run, Stages, Task, active_learning};
use gleaner::{Source, Strategy};
use shared::active_learning::{ActiveLearningFlags as Flags, Setting};

fn main() -> Result<()> {
    let flags = Flags::parse();
    let common = &flags.common;
    let (seeds, device) = (common.seeds(3, u64::MAX), common.open(1)?);
    let plan = flags.plan();
    let mut strategies = listed(&plan.strategies, KNOWN_WITHOUT_LABELS)?;
    strategies.push(Box::new(Random));
    let rounds = plan.rounds();
    let setting = Setting::read(&flags, &plan, &device)?;
    let [proxy, target] = setting.models();
    let (pool, test) = setting.split()?;
    let test: &dyn Source = setting.test.as_deref().unwrap_or(&test);

    // Before the run's folder remembers what was asked for.
    rounds.check(pool.points())?;
    let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name()).collect();
    let mut asked = common.configuration(&seeds);
    asked.insert("data".into(), flags.columns());
    asked.insert("what".into(), setting.what.clone());
    asked.insert("strategies".into(), names.join(", "));
    asked.insert("labels".into(), format!("{rounds:?}"));
    proxy.note("proxy", &mut asked);
    target.note("target", &mut asked);
    let out = common.out("active_learning");
    let run = Run::open(out.join("run"), &asked)?;
    println!(
        "{}: {}; {} chooses for {}; {} labels at first, {} rounds of {}; everything is kept in {}",
        setting.name,
        setting.what,
        proxy.name,
        target.name,
        plan.initial,
        plan.rounds,
        plan.round,
        out.join("run").display()
    );
    // Random choices, the last strategy, train no proxy.
    let each = (2 * strategies.len() - 1) * plan.rounds + strategies.len();
    let bars = shared::Bars::new(each * seeds.clone().count())?;
    let mut outcomes = Vec::new();
    for seed in seeds {
        for strategy in &strategies {
            let task = Task { pool: &pool, validation: None, test, flipped: &[] };
            let (models, mut oracle) = ((&proxy, &target), KnownLabels(pool.labels()));
            let stages = Stages { run: &run, watch: &mut |progress| bars.show(progress) };
            let found =
                active_learning(task, models, strategy, &rounds, &mut oracle, seed, stages)?;
            outcomes.extend(found.outcomes);
        }
    }
    bars.finish();
    print!("{}", report_active_learning(&out, &target.name, &setting.name, &outcomes)?);
    println!("written: {}/summary.csv and pictures", out.display());
    Ok(())
}
