//! Choosing training data where a number is to be predicted: any table with a column for it.
//!
//! `cargo run --release --example regression -- --data FILE.csv --column rmsd [--quick]`, for instance with the
//! CASP proteins of the UCI repository (45,730 rows, 9 features).

mod shared;

use anyhow::Result;
use candle_core::DType;
use clap::Parser;
use gleaner::choose::{Craig, El2n, GradMatch, Grand, KCenter, LargestLoss, Random, SmallestLoss};
use gleaner::experiment::tables::{Grid, Measured, Number};
use gleaner::experiment::{
    ComparisonOptions, Joint, Model, Run, Selector, Stages, Task, compare, side_by_side,
};
use gleaner::joint::Heads;
use gleaner::learn::{Length, Loss, Mlp, MlpOptions, TrainingOptions};
use gleaner::{Learner, Seeds, TrainerOptions};
use shared::regression::{RegressionFlags as Flags, Standardised, split};

fn main() -> Result<()> {
    let flags = Flags::parse();
    let common = &flags.common;
    let seeds: Vec<u64> = common.seeds(3, u64::MAX).collect();
    let device = common.open(seeds.len())?;
    let Standardised { data, unit } = flags.read(&device)?;
    let steps = if common.quick { 400 } else { 2_000 };
    println!("{} rows, a fifth of them for the test, 200 to ask; {steps} steps each", data.len());
    let shape = MlpOptions { inputs: data.inputs().dim(1)?, hidden: vec![64, 64], classes: 1 };
    let build = |seed| -> gleaner::Result<Box<dyn Learner>> {
        Ok(Box::new(Mlp::new(&shape, seed, DType::F32, &device)?))
    };
    let loss = flags.huber.map_or(Loss::Own, Loss::Huber);
    let training = TrainingOptions { length: Length::Steps(steps), loss, ..Default::default() };
    let model = Model { name: "mlp".into(), build: &build, training };
    let found = side_by_side(&seeds, &device, |&seed| {
        let selectors = vec![
            Selector::Strategy(Box::new(Random)),
            Selector::FreshRandom,
            Selector::OnInputs(Box::new(KCenter)),
            Selector::Strategy(Box::new(SmallestLoss)),
            Selector::Strategy(Box::new(LargestLoss)),
            Selector::Strategy(Box::new(El2n)),
            Selector::Strategy(Box::new(Grand)),
            Selector::Strategy(Box::new(GradMatch::default())),
            Selector::Strategy(Box::new(Craig::default())),
            Selector::Joint(Heads::Unary),
            Selector::ValidationAlone,
            Selector::FullData,
        ];
        let fractions = vec![0.02, 0.05, 0.1, 0.2];
        let trainer = TrainerOptions { warm_up: steps / 2, ..Default::default() };
        let joint = Joint { trainer, steps, ..Default::default() };
        let options = ComparisonOptions { selectors, fractions, joint };
        let mut rng = Seeds::new(seed).stream(0);
        let [test, validation, pool] = split(&data, &mut rng)?;
        let task = Task { pool: &pool, validation: Some(&validation), test: &test, flipped: &[] };
        let run = Run::in_memory();
        compare(task, &model, &options, seed, Stages { run: &run, watch: &mut |_| {} })
    })?;
    let measured = found.iter().flat_map(|seed| &seed.outcomes).map(|o| Measured {
        line: o.strategy.clone(),
        setting: o.fraction,
        seed: o.seed,
        numbers: vec![unit * o.error, o.seconds.sum()],
    });
    let (numbers, measured) = (["error", "seconds"], measured.collect());
    let numbers = numbers.map(|name| Number { name, spread: true }).into();
    let grid = Grid { setting: "share", numbers, measured };
    let title = "\nroot of the mean squared test error, mean ± standard deviation over seeds";
    print!("{}", grid.means(title, "error", 1.0, 3));
    let out = common.out("regression");
    grid.write(&out)?;
    println!("written: {}/{{summary,seeds}}.csv", out.display());
    Ok(())
}
