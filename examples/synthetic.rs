//! The main job, with no data and no network: a learner and a selection model trained together on
//! synthetic clusters, and the subsets tested against every other way of choosing.
//!
//! `cargo run --release --example synthetic`

mod shared;

use anyhow::Result;
use candle_core::DType;
use clap::{Parser, ValueEnum};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::experiment::{ComparisonOptions, Data, Joint, Model, Selector};
use gleaner::joint::{ChooseOptions, LookAhead, TrainerOptions};
use gleaner::learn::{Length, Mlp, MlpOptions, TrainingOptions};
use gleaner::{Learner, Seeds};

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
    let seeds = common.seeds(5, 2);
    let device = common.open(shared::comparison::NOISES.len() * seeds.clone().count())?;
    let shape = if common.quick {
        ClusterOptions { points: 1500, clusters: 30, near_duplicates: 0.0, ..Default::default() }
    } else {
        ClusterOptions { near_duplicates: 0.0, ..Default::default() }
    };
    let (warm_up, steps, fresh) = if common.quick { (300, 500, 300) } else { (1000, 1700, 600) };
    let trainer = TrainerOptions { warm_up, look_ahead: look_ahead.into(), ..Default::default() };
    let joint = Joint { trainer, batch: 48, steps, choose: ChooseOptions::default() };
    let fractions = vec![0.05, 0.1, 0.2];
    let options = ComparisonOptions { selectors: Selector::usual(), fractions, joint };
    println!(
        "{} points in {} clusters of Zipf({}) sizes, {} classes, {} trusted validation points, {} test \
         points spread evenly over the clusters; {fresh} optimiser steps for every fresh learner",
        shape.points,
        shape.clusters,
        shape.zipf_exponent,
        shape.classes,
        shape.validation,
        shape.test,
    );
    let mlp = MlpOptions { inputs: shape.dimensions, hidden: vec![64, 64], classes: shape.classes };
    let build = |seed| -> gleaner::Result<Box<dyn Learner>> {
        Ok(Box::new(Mlp::new(&mlp, seed, DType::F32, &device)?))
    };
    let training = TrainingOptions { length: Length::Steps(fresh), ..Default::default() };
    let model = Model { name: "mlp".into(), build: &build, training };
    let data = |noise: f64, seed: u64| {
        let mut rng = Seeds::new(seed).stream(0);
        let made = clusters(&ClusterOptions { label_noise: noise, ..shape }, &mut rng)?;
        let (pool, validation, test) = (made.train, made.validation, made.test);
        Ok(Data { pool, validation, test, flipped: made.flipped })
    };
    let names = ("synthetic", "Synthetic clusters", format!("{shape:?}"));
    shared::comparison::run(&common, names, seeds, (&model, &options), &device, data)
}
