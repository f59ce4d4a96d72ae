//! A learner for a user without labels: clusters of the user's points are mapped to the classes of a source by a transport
//! program, and what the map and the source's learner say together becomes a training set of the user's own.
//!
//! ```text
//! minimise  <C, T>,  T >= 0     C: clusters x classes, minus the mean log-probability by the source's learner
//! one to one                    T 1 <= 1,  1'T = 1
//! many to one                   T 1 = shares of the clusters,  0.7 prior <= 1'T <= 1.3 prior
//! ```
//!
//! A point takes its cluster's class if the source's learner agrees, or is not sure of another. How many clusters, and what
//! is sure: by a trial user whose labels are known. After R. Fallahzadeh et al., *Personalized Activity Recognition Using
//! Partially Available Target Data*, IEEE Transactions on Mobile Computing 22(1), 2023 (OptiMapper), but for the clusters.
//!
//! `cargo run --release --example transport -- [--data DIR]`: seeded clusters, or digits and incomes.

mod shared;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::Parser;
use gleaner::ConicLayer;
use gleaner::conic::model::{Parameter, Problem, Variable};
use shared::transport::{Base, Clusters, Labels, names, report, task};

#[derive(Parser)]
struct Flags {
    /// The folder of the sets, with `tabular` in it.
    #[arg(long)]
    data: Option<std::path::PathBuf>,
    #[arg(long, default_value_t = 3)]
    seeds: u64,
}

fn plan(clusters: &Clusters, prior: &[f64], many: bool) -> Result<Vec<Vec<f64>>> {
    let (k, classes) = (clusters.shares.len(), prior.len());
    let (t, costs) = (Variable::matrix("T", k, classes), Parameter::matrix("C", k, classes));
    let (of_clusters, of_classes) = (t.row_sums(), t.column_sums().t());
    let times = |by: f64| prior.iter().map(|share| by * share).collect::<Vec<f64>>();
    let whole = of_clusters.equals(clusters.shares.clone());
    let sums = match many {
        true => vec![whole, of_classes.ge(times(0.7)), of_classes.le(times(1.3))],
        false => vec![of_clusters.le(1.0), of_classes.equals(1.0)],
    };
    let problem = Problem::minimise(costs.times(&t).sum()).subject_to([t.ge(0.0)]);
    let model = problem.subject_to(sums).compile(&[&costs], &[&t])?;
    let costs = Tensor::new(clusters.costs.clone(), &Device::Cpu)?;
    Ok(ConicLayer::new(model, Default::default()).forward(&[&costs])?.values[0].to_vec2()?)
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    for name in names(flags.data.as_deref()) {
        let ways = ["the source's learner", "its own labels", "one to one", "many to one"];
        let mut found = ways.map(|_| Vec::new());
        for seed in 0..flags.seeds {
            let task = task(name, flags.data.as_deref(), seed)?;
            let (base, user) = (Base::new(&task.source, seed)?, &task.target);
            let none: Labels = vec![None; user.seen.len()];
            found[0].push(base.measured(user, &none)?);
            found[1].push(base.measured(user, &base.own(&user.seen)?)?);
            for (way, many, numbers) in
                [(2, false, &[base.prior.len()][..]), (3, true, &[20, 40, 80])]
            {
                let plan = |clusters: &Clusters| plan(clusters, &base.prior, many);
                let (number, sure) = base.settled(&task.trial.seen, numbers, plan)?;
                let clusters = base.clusters(&user.seen, number)?;
                let labels = base.fused(&user.seen, &clusters, &plan(&clusters)?, sure)?;
                found[way].push(base.measured(user, &labels)?);
            }
        }
        report(name, &ways, &found);
    }
    Ok(())
}
