//! Selection via proxy on CIFAR-10: a cheap network chooses the images that an expensive one learns from.
//!
//! `cargo run --release --example core_set -- --data DIR [--quick]`, DIR holding `cifar-10-batches-bin`.
//!
//! Killed at any moment and started again with the same flags, it goes on where it was.

#[path = "shared/device.rs"]
mod device;
#[path = "shared/models.rs"]
mod models;
#[path = "shared/proxy.rs"]
mod proxy;
#[path = "shared/threads.rs"]
mod threads;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use gleaner::choose::{self, Strategy};
use gleaner::data::cifar::{Cifar, CifarOptions, load};
use gleaner::data::stratified_split;
use gleaner::experiment::metrics::{mean_and_std, ranks};
use gleaner::experiment::{Chooser, CoreSet, CoreSetOptions, Joint, Model, Stages, Task, core_set};
use gleaner::experiment::{Configuration, Run};
use gleaner::report::{ScatterOptions, ScatterPanel, scatter_chart, text_table};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use device::DeviceKind;
use models::{image_builder, image_recipe, shrunk};
use proxy::{Bars, Row, error_chart, error_table, note_recipe, report_seconds, write_summary};

/// Trains a proxy, chooses core-sets with it, and trains the target on each.
#[derive(Parser)]
struct Flags {
    /// The folder that holds cifar-10-batches-bin.
    #[arg(long)]
    data: PathBuf,
    /// The network that chooses: cnn, preact8 and up, resnet18.
    #[arg(long, default_value = "preact8")]
    proxy: String,
    /// The network that learns from what was chosen.
    #[arg(long, default_value = "preact20")]
    target: String,
    /// Strategies by name, separated by commas, or all of them [default: a handful].
    #[arg(long, value_delimiter = ',')]
    strategy: Vec<String>,
    /// Shares of the training images to keep, separated by commas.
    #[arg(long, value_delimiter = ',')]
    fractions: Vec<f64>,
    /// Epochs of the target.
    #[arg(long)]
    epochs: Option<usize>,
    /// Epochs of the proxy.
    #[arg(long)]
    proxy_epochs: Option<usize>,
    /// Training images, the first so many; all unless given.
    #[arg(long)]
    train: Option<usize>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Leave out the target's own choices: half the time, and nothing to measure the proxy against.
    #[arg(long)]
    proxy_only: bool,
    /// Leave out the selection that is learned together with the proxy.
    #[arg(long)]
    no_joint: bool,
    /// Few images at half their height and width, few epochs; under ten minutes on two cores.
    #[arg(long)]
    quick: bool,
    /// Where the run, tables and pictures go.
    #[arg(long, default_value = "target/gleaner/core_set")]
    out: PathBuf,
    /// Where tensors live; full size is meant for a GPU.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

/// What differs between quick and full size.
struct Size {
    train: Option<usize>,
    test: Option<usize>,
    validation: usize,
    /// Side of a square of pixels that become one.
    shrink: usize,
    epochs: usize,
    proxy_epochs: usize,
    batch: usize,
    joint_steps: usize,
    fractions: &'static [f64],
    strategies: &'static [&'static str],
}

const QUICK: Size = Size {
    train: Some(1_600),
    test: Some(1_000),
    validation: 200,
    shrink: 2,
    epochs: 10,
    proxy_epochs: 4,
    batch: 32,
    joint_steps: 60,
    fractions: &[0.3, 0.5],
    strategies: &["entropy", "k-center", "forgetting"],
};

const FULL: Size = Size {
    train: None,
    test: None,
    validation: 1_000,
    shrink: 1,
    epochs: 181,
    proxy_epochs: 50,
    batch: 128,
    joint_steps: 3_000,
    fractions: &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    strategies: &["least-confidence", "margin", "entropy", "k-center", "forgetting", "el2n"],
};

fn main() -> Result<()> {
    let flags = Flags::parse();
    threads::with_thread_count(1)?;
    let size = if flags.quick { QUICK } else { FULL };
    let device = flags.device.open()?;
    let limits =
        CifarOptions { train: flags.train.or(size.train), test: size.test, ..Default::default() };
    let cifar = shrunk(load(&flags.data, &limits)?, size.shrink)?;
    let strategies = chosen_strategies(&flags, &size)?;
    let fractions =
        if flags.fractions.is_empty() { size.fractions.to_vec() } else { flags.fractions.clone() };
    let joint = (!flags.no_joint).then(|| Joint { steps: size.joint_steps, ..Default::default() });
    let options = CoreSetOptions { fractions, target_chooses: !flags.proxy_only, joint };
    let (side, classes) = (32 / size.shrink, cifar.train.classes());
    let build_proxy = image_builder(&flags.proxy, side, classes, &device)?;
    let build_target = image_builder(&flags.target, side, classes, &device)?;
    let recipe = |epochs| image_recipe(epochs, size.batch, size.shrink);
    let proxy_epochs = recipe(flags.proxy_epochs.unwrap_or(size.proxy_epochs));
    let target_epochs = recipe(flags.epochs.unwrap_or(size.epochs));
    let proxy = Model { name: flags.proxy.clone(), build: &*build_proxy, recipe: proxy_epochs };
    let target = Model { name: flags.target.clone(), build: &*build_target, recipe: target_epochs };

    // Before the run's folder remembers what was asked for.
    options.check(cifar.train.len().saturating_sub(size.validation))?;
    choose::check_distinct(&strategies)?;
    let asked = configuration(&flags, &cifar, &strategies, &options, [&proxy, &target]);
    let run = Run::open(flags.out.join("run"), &asked)?;
    println!(
        "CIFAR-10 at {side} x {side}: {} training images, {} of them set aside for validation; {} test \
         images; {} chooses for {}; everything is kept in {}",
        cifar.train.len(),
        size.validation,
        cifar.test.len(),
        proxy.name,
        target.name,
        flags.out.join("run").display()
    );
    let seeds: Vec<u64> = (flags.seed..flags.seed + flags.seeds).collect();
    let choosers = if options.target_chooses { 2 } else { 1 };
    let joint = usize::from(options.joint.is_some());
    let each = 2 + (choosers * strategies.len() + 2 + joint) * options.fractions.len();
    let mut bars = Bars::new(each * seeds.len())?;
    let mut found = Vec::new();
    for &seed in &seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (validation, pool) = stratified_split(cifar.train.labels(), size.validation, &mut rng)?;
        let (pool, validation) = (cifar.train.subset(&pool)?, cifar.train.subset(&validation)?);
        let task = Task { pool: &pool, validation: Some(&validation), test: &cifar.test };
        let stages = Stages { run: &run, watch: &mut |progress| bars.show(progress) };
        found.push(core_set(task, (&proxy, &target), &strategies, &options, seed, stages)?);
    }
    bars.finish();
    report(&flags, &options, &target.name, &seeds, &found)
}

/// The strategies asked for, each by its name.
fn chosen_strategies(flags: &Flags, size: &Size) -> Result<Vec<Box<dyn Strategy>>> {
    let named = |name: &str| choose::named(name);
    // Random choices are always there.
    let others = |name: &&str| *name != "random";
    let strategies: gleaner::Result<Vec<_>> = match flags.strategy.as_slice() {
        [] => size.strategies.iter().copied().map(named).collect(),
        [all] if all == "all" => Ok(choose::all()),
        names => names.iter().map(String::as_str).filter(others).map(named).collect(),
    };
    Ok(strategies?)
}

/// All that the results depend on.
fn configuration(
    flags: &Flags,
    cifar: &Cifar,
    strategies: &[Box<dyn Strategy>],
    options: &CoreSetOptions,
    [proxy, target]: [&Model; 2],
) -> Configuration {
    let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name()).collect();
    let mut asked = Configuration::from([
        ("data".into(), flags.data.display().to_string()),
        ("training images".into(), cifar.train.len().to_string()),
        ("test images".into(), cifar.test.len().to_string()),
        ("image".into(), format!("{:?}", &cifar.train.inputs().dims()[1..])),
        ("proxy".into(), proxy.name.clone()),
        ("target".into(), target.name.clone()),
        ("strategies".into(), names.join(", ")),
        ("fractions".into(), format!("{:?}", options.fractions)),
        ("target chooses".into(), options.target_chooses.to_string()),
        ("joint".into(), format!("{:?}", options.joint)),
        ("seeds".into(), format!("{} from {}", flags.seeds, flags.seed)),
        ("device".into(), format!("{:?}", flags.device)),
    ]);
    note_recipe(&mut asked, "proxy", &proxy.recipe);
    note_recipe(&mut asked, "target", &target.recipe);
    asked
}

fn report(
    flags: &Flags,
    options: &CoreSetOptions,
    target: &str,
    seeds: &[u64],
    found: &[CoreSet],
) -> Result<()> {
    let own = |strategy: &str| format!("{strategy}, target chooses");
    let mut rows = Vec::new();
    for (&seed, found) in seeds.iter().zip(found) {
        rows.extend(found.outcomes.iter().map(|outcome| Row {
            strategy: match outcome.chooser {
                Chooser::Target => own(&outcome.strategy),
                Chooser::Proxy | Chooser::Nobody => outcome.strategy.clone(),
            },
            size: outcome.fraction,
            seed,
            error: outcome.error,
            seconds: outcome.seconds,
        }));
    }
    let title = format!(
        "test error of {target} in %, mean ± standard deviation over {} seeds",
        seeds.len()
    );
    error_table(&title, &rows, &options.fractions, |f| format!("{:.0} %", 100.0 * f));
    let title = format!("seconds of choosing and of training {target}, mean over seeds");
    report_seconds(&flags.out, &title, &rows)?;
    if options.target_chooses {
        agreement_table(found);
        claim(&rows, found, own);
        rank_scatter(&flags.out, found)?;
    }
    write_summary(&flags.out, "fraction", &rows)?;
    pictures(&flags.out, options, target, &rows)?;
    println!("written: {}/summary.csv and pictures", flags.out.display());
    Ok(())
}

fn agreement_table(found: &[CoreSet]) {
    let names = found.first().map_or(&[][..], |first| &first.agreements);
    let lines = names.iter().enumerate().map(|(k, first)| {
        let all: Option<Vec<f64>> = found.iter().map(|f| f.agreements[k].correlation).collect();
        let cell = all.map_or("-".into(), |all| {
            let (mean, std) = mean_and_std(&all);
            format!("{mean:.3} ± {std:.3}")
        });
        vec![first.strategy.clone(), cell]
    });
    println!("Spearman's correlation of the proxy's and the target's ranking");
    println!("{}", text_table(&["strategy", "correlation"], &lines.collect::<Vec<_>>()));
}

/// The first seed's ranks, a dot a point: 0 % is what the model would keep first.
fn rank_scatter(dir: &Path, found: &[CoreSet]) -> Result<()> {
    let Some(first) = found.first() else { return Ok(()) };
    let share = |values: &[f64]| -> Result<Vec<f64>> {
        let (ranks, points) = (ranks(values)?, values.len() as f64);
        Ok(ranks.iter().map(|rank| 1.0 - rank / points).collect())
    };
    let mut panels = Vec::new();
    for agreement in &first.agreements {
        let points = share(&agreement.proxy)?.into_iter().zip(share(&agreement.target)?).collect();
        let note =
            agreement.correlation.map_or("no ranks".into(), |rho| format!("Spearman {rho:.2}"));
        panels.push(ScatterPanel { title: agreement.strategy.clone(), note, points });
    }
    let options = ScatterOptions {
        title: "what the proxy and the target would keep first".into(),
        x_label: "rank by the proxy".into(),
        y_label: "rank by the target".into(),
        x_percent: true,
        y_percent: true,
        identity: true,
        ..Default::default()
    };
    Ok(scatter_chart(dir.join("ranks.svg"), &options, &panels)?)
}

/// What the proxy saves, and what it costs.
fn claim(rows: &[Row], found: &[CoreSet], own: impl Fn(&str) -> String) {
    let Some(first) = found.first() else { return };
    let mut lines = Vec::new();
    for name in first.agreements.iter().map(|agreement| &agreement.strategy) {
        let pairs: Vec<(&Row, &Row)> = rows
            .iter()
            .filter(|row| row.strategy == *name)
            .filter_map(|row| {
                let same = |other: &&Row| {
                    other.strategy == own(name) && other.size == row.size && other.seed == row.seed
                };
                Some((row, rows.iter().find(same)?))
            })
            .collect();
        let choice = |row: &Row| row.seconds.training + row.seconds.selection;
        let ratios: Vec<f64> = pairs.iter().map(|(a, b)| choice(b) / choice(a)).collect();
        let errors: Vec<f64> = pairs.iter().map(|(a, b)| 100.0 * (a.error - b.error)).collect();
        let ((ratio, ratio_std), (error, error_std)) =
            (mean_and_std(&ratios), mean_and_std(&errors));
        lines.push(vec![
            name.clone(),
            format!("{ratio:.1} ± {ratio_std:.1}"),
            format!("{error:+.1} ± {error_std:.1}"),
        ]);
    }
    println!("the proxy's choice against the target's own, over fractions and seeds");
    let header = ["strategy", "times faster to choose", "difference of the error, points"];
    println!("{}", text_table(&header, &lines));
}

fn pictures(dir: &Path, options: &CoreSetOptions, target: &str, rows: &[Row]) -> Result<()> {
    let own = |row: &&Row| row.strategy.ends_with("target chooses");
    let proxy: Vec<Row> = rows.iter().filter(|row| !own(row)).cloned().collect();
    let mut panels = vec![("the proxy chooses", proxy)];
    if options.target_chooses {
        let plain = |row: &Row| Row {
            strategy: row.strategy.trim_end_matches(", target chooses").into(),
            ..row.clone()
        };
        let baselines = ["random", "fresh-random", "full data"];
        let kept = rows.iter().filter(|row| own(row) || baselines.contains(&row.strategy.as_str()));
        panels.push(("the target chooses for itself", kept.map(plain).collect()));
    }
    let title = format!("{target} on core-sets of CIFAR-10");
    let x = "share of the training images kept";
    error_chart(&dir.join("error.svg"), title, x, true, &panels, &options.fractions)
}
