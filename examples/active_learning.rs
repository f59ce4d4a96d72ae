//! Buying labels in rounds: a cheap learner says which images, or texts, are worth one.
//!
//! `cargo run --release --example active_learning -- --data DIR [--quick]`, DIR holding
//! `cifar-10-batches-bin`; or `--data FILE.csv --learner fasttext`, with lines `"class","title","text"`,
//! plain or gzipped, or with a header and `--label` and `--text` to name its columns.
//!
//! Killed at any moment and started again with the same flags, it goes on where it was; a label that was
//! paid for is never asked for again.

#[path = "shared/device.rs"]
mod device;
#[path = "shared/models.rs"]
mod models;
#[path = "shared/proxy.rs"]
mod proxy;
#[path = "shared/threads.rs"]
mod threads;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use candle_core::{DType, Device};
use clap::Parser;
use gleaner::choose::{self, Strategy};
use gleaner::data::cifar::{CifarOptions, load};
use gleaner::data::text::{TextCsv, TextLayout, TextOptions};
use gleaner::data::{Malformed, Part, Source, stratified_split};
use gleaner::experiment::{
    ActiveLearning, KnownLabels, Model, Rounds, Stages, Task, active_learning,
};
use gleaner::experiment::{Configuration, Run};
use gleaner::learn::TextLearner;
use gleaner::learn::{Length, Recipe};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use device::DeviceKind;
use models::{Build, image_builder, image_recipe, shrunk};
use proxy::{Bars, Row, error_chart, error_table, note_recipe, report_seconds, write_summary};

/// Buys labels in rounds with several strategies and tests the target after each round.
#[derive(Parser)]
struct Flags {
    /// The folder that holds cifar-10-batches-bin, or a CSV file of texts.
    #[arg(long)]
    data: PathBuf,
    /// A CSV file of test texts; a fifth of the rows of --data unless given.
    #[arg(long)]
    test: Option<PathBuf>,
    /// Classes of a CSV file without a header, whose first column counts them from 1.
    #[arg(long, default_value_t = 2)]
    classes: usize,
    /// The column of the labels in a CSV file with a header.
    #[arg(long, requires = "text")]
    label: Option<String>,
    /// The columns of the text in a CSV file with a header, separated by commas.
    #[arg(long, value_delimiter = ',', requires = "label")]
    text: Vec<String>,
    /// Leave out and count rows that are malformed, rather than stop at the first.
    #[arg(long)]
    skip_malformed: bool,
    /// The learner that chooses and the one that is tested, in one: fasttext, vdcnn9, vdcnn29, or a network
    /// for images.
    #[arg(long)]
    learner: Option<String>,
    /// The learner that chooses [default: preact8 for images, fasttext for texts].
    #[arg(long, conflicts_with = "learner")]
    proxy: Option<String>,
    /// The learner that is tested [default: preact20 for images, fasttext for texts].
    #[arg(long, conflicts_with = "learner")]
    target: Option<String>,
    /// Strategies by name, separated by commas, or all that need no labels [default: a handful].
    #[arg(long, value_delimiter = ',')]
    strategy: Vec<String>,
    /// Random labels to begin with.
    #[arg(long)]
    initial: Option<usize>,
    /// Labels of each round after that.
    #[arg(long)]
    round: Option<usize>,
    /// Number of rounds after the first.
    #[arg(long)]
    rounds: Option<usize>,
    /// Epochs of every training.
    #[arg(long)]
    epochs: Option<usize>,
    /// Let the proxy go on from its weights of the round before.
    #[arg(long)]
    warm: bool,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Few images at half their height and width, or few rounds; under ten minutes on two cores.
    #[arg(long)]
    quick: bool,
    /// Where the run, tables and pictures go.
    #[arg(long, default_value = "target/gleaner/active_learning")]
    out: PathBuf,
    /// Where tensors live; images at full size are meant for a GPU.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

/// Strategies that ask for no label.
const LABEL_FREE: [&str; 10] = [
    "convex",
    "least-confidence",
    "margin",
    "entropy",
    "k-center",
    "badge",
    "herding",
    "facility-location",
    "graph-cut",
    "log-determinant",
];

/// What is asked for, with the numbers that were not.
struct Plan {
    initial: usize,
    round: usize,
    rounds: usize,
    epochs: usize,
    names: [String; 2],
    strategies: Vec<Box<dyn Strategy>>,
}

/// Data and learners, of either kind.
struct Setting {
    train: Box<dyn Source>,
    test: Option<Box<dyn Source>>,
    models: [(Box<Build>, Recipe); 2],
    /// The data's name, and what there is of it.
    name: String,
    what: String,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    threads::with_thread_count(1)?;
    let device = flags.device.open()?;
    let images = flags.data.is_dir();
    let plan = plan(&flags, images)?;
    let setting =
        if images { images_of(&flags, &plan, &device)? } else { texts_of(&flags, &plan, &device)? };
    let [(build_proxy, proxy_recipe), (build_target, target_recipe)] = &setting.models;
    let [proxy, target] = &plan.names;
    let proxy = Model { name: proxy.clone(), build: &**build_proxy, recipe: proxy_recipe.clone() };
    let target =
        Model { name: target.clone(), build: &**build_target, recipe: target_recipe.clone() };
    let rounds =
        Rounds { warm: flags.warm, ..Rounds::equal(plan.initial, plan.round, plan.rounds) };

    let (pool, test) = split(&setting)?;
    // Before the run's folder remembers what was asked for.
    rounds.check(pool.points())?;
    let asked = configuration(&flags, &plan, &setting, [&proxy, &target]);
    let run = Run::open(flags.out.join("run"), &asked)?;
    println!(
        "{}: {}; {} chooses for {}; {} labels at first, {} rounds of {}; everything is kept in {}",
        setting.name,
        setting.what,
        proxy.name,
        target.name,
        plan.initial,
        plan.rounds,
        plan.round,
        flags.out.join("run").display()
    );
    let test: &dyn Source = setting.test.as_deref().unwrap_or(&test);
    let seeds: Vec<u64> = (flags.seed..flags.seed + flags.seeds).collect();
    // Random choices train no proxy.
    let each = plan.strategies.len() * (2 * plan.rounds + 1) + plan.rounds + 1;
    let mut bars = Bars::new(each * seeds.len())?;
    let random: Box<dyn Strategy> = Box::new(choose::Random);
    let mut rows = Vec::new();
    for &seed in &seeds {
        let task = Task { pool: &pool, validation: None, test };
        for strategy in plan.strategies.iter().chain([&random]) {
            let mut oracle = KnownLabels(pool.labels());
            let stages = Stages { run: &run, watch: &mut |progress| bars.show(progress) };
            let models = (&proxy, &target);
            let found = active_learning(
                task,
                models,
                strategy.as_ref(),
                &rounds,
                &mut oracle,
                seed,
                stages,
            )?;
            rows.extend(lines(strategy.name(), seed, &found));
        }
    }
    bars.finish();
    report(&flags, &target.name, &setting.name, &rows)
}

fn plan(flags: &Flags, images: bool) -> Result<Plan> {
    let [initial, round, rounds, epochs] = match (images, flags.quick) {
        (true, true) => [200, 200, 3, 10],
        (true, false) => [1_000, 4_000, 6, 181],
        (false, true) => [200, 200, 4, 10],
        (false, false) => [500, 500, 7, 20],
    };
    let name = |own: &Option<String>, image: &str| {
        let default = if images { image } else { "fasttext" };
        own.as_ref().or(flags.learner.as_ref()).map_or(default.to_string(), String::clone)
    };
    let few: &[&str] = match (images, flags.quick) {
        (true, true) => &["entropy", "k-center"],
        (false, true) => &["margin", "k-center", "badge"],
        (_, false) => &["margin", "entropy", "k-center", "badge", "convex"],
    };
    let asked: Vec<&str> = match flags.strategy.as_slice() {
        [] => few.to_vec(),
        [all] if all == "all" => LABEL_FREE.to_vec(),
        names => names.iter().map(String::as_str).collect(),
    };
    // Random choices are always there.
    let others = asked.into_iter().filter(|name| *name != "random");
    let strategies = others.map(choose::named).collect::<gleaner::Result<Vec<_>>>()?;
    choose::check_distinct(&strategies)?;
    Ok(Plan {
        initial: flags.initial.unwrap_or(initial),
        round: flags.round.unwrap_or(round),
        rounds: flags.rounds.unwrap_or(rounds),
        epochs: flags.epochs.unwrap_or(epochs),
        names: [name(&flags.proxy, "preact8"), name(&flags.target, "preact20")],
        strategies,
    })
}

fn images_of(flags: &Flags, plan: &Plan, device: &Device) -> Result<Setting> {
    let (train, test, shrink, batch) =
        if flags.quick { (Some(1_600), Some(1_000), 2, 32) } else { (None, None, 1, 128) };
    let limits = CifarOptions { train, test, ..Default::default() };
    let cifar = shrunk(load(&flags.data, &limits)?, shrink)?;
    let side = 32 / shrink;
    let model = |name: &String| -> Result<(Box<Build>, Recipe)> {
        let build = image_builder(name, side, cifar.train.classes(), device)?;
        Ok((build, image_recipe(plan.epochs, batch, shrink)))
    };
    let models = [model(&plan.names[0])?, model(&plan.names[1])?];
    let (train, test) = (cifar.train.len(), cifar.test.len());
    let name = format!("CIFAR-10 at {side} x {side}");
    let what = format!("{train} training and {test} test images");
    let test: Option<Box<dyn Source>> = Some(Box::new(cifar.test));
    Ok(Setting { train: Box::new(cifar.train), test, models, name, what })
}

fn texts_of(flags: &Flags, plan: &Plan, device: &Device) -> Result<Setting> {
    let [proxy, target]: [TextLearner; 2] = [plan.names[0].parse()?, plan.names[1].parse()?];
    let words = |learner| learner == TextLearner::FastText;
    ensure!(
        words(proxy) == words(target),
        "one reads words and the other characters: choose proxy and target of one kind"
    );
    let open = |path: &PathBuf, class_names: Option<Vec<String>>| -> Result<TextCsv> {
        let layout = match &flags.label {
            Some(label) => {
                TextLayout::Named { label: label.clone(), texts: flags.text.clone(), class_names }
            }
            None => TextLayout::numbered(flags.classes, 2),
        };
        let malformed = if flags.skip_malformed { Malformed::Skip } else { Malformed::Refuse };
        let options = TextOptions { layout, malformed, ..Default::default() };
        let file = TextCsv::open(path, &options, proxy.encoder())?;
        if file.skipped().count > 0 {
            eprintln!("{}: {} malformed rows left out", path.display(), file.skipped().count);
        }
        Ok(file)
    };
    let train = open(&flags.data, None)?;
    let names = train.class_names().to_vec();
    let test = flags.test.as_ref().map(|path| open(path, Some(names))).transpose()?;
    let model = |learner: TextLearner| -> (Box<Build>, Recipe) {
        let (classes, device) = (train.classes(), device.clone());
        let build = move |seed| learner.build(classes, seed, DType::F32, &device);
        (Box::new(build), text_recipe(plan.epochs))
    };
    let models = [model(proxy), model(target)];
    let name = flags.data.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let tested = match &test {
        Some(test) => format!("{} test texts", test.points()),
        None => "a fifth of them for the test".into(),
    };
    let what = format!("{} texts, {tested}", train.points());
    let test = test.map(|test| -> Box<dyn Source> { Box::new(test) });
    Ok(Setting { train: Box::new(train), test, models, name, what })
}

/// AdamW under a cosine.
fn text_recipe(epochs: usize) -> Recipe {
    Recipe { length: Length::Epochs(epochs), batch: 32, learning_rate: 1e-2, ..Default::default() }
}

/// The pool and, where none is given, a test part: a fifth, the same for all seeds.
fn split(setting: &Setting) -> Result<(Part<'_>, Part<'_>)> {
    let all = setting.train.as_ref();
    let points = all.points();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (test, rest) = stratified_split(all.labels(), (points / 5).max(1), &mut rng)?;
    let pool = if setting.test.is_some() { (0..points).collect() } else { rest };
    Ok((Part::new(all, pool)?, Part::new(all, test)?))
}

/// All that the results depend on.
fn configuration(
    flags: &Flags,
    plan: &Plan,
    setting: &Setting,
    [proxy, target]: [&Model; 2],
) -> Configuration {
    let names: Vec<&str> = plan.strategies.iter().map(|strategy| strategy.name()).collect();
    let mut asked = Configuration::from([
        ("data".into(), flags.data.display().to_string()),
        ("test".into(), format!("{:?}", flags.test)),
        ("what".into(), setting.what.clone()),
        ("columns".into(), format!("{:?} {:?}", flags.label, flags.text)),
        ("classes".into(), setting.train.classes().to_string()),
        ("skip malformed".into(), flags.skip_malformed.to_string()),
        ("proxy".into(), proxy.name.clone()),
        ("target".into(), target.name.clone()),
        ("strategies".into(), names.join(", ")),
        ("labels".into(), format!("{} + {} x {}", plan.initial, plan.rounds, plan.round)),
        ("warm".into(), flags.warm.to_string()),
        ("seeds".into(), format!("{} from {}", flags.seeds, flags.seed)),
        ("device".into(), format!("{:?}", flags.device)),
    ]);
    note_recipe(&mut asked, "proxy", &proxy.recipe);
    note_recipe(&mut asked, "target", &target.recipe);
    asked
}

fn lines(strategy: &str, seed: u64, found: &ActiveLearning) -> Vec<Row> {
    let row = |round: &gleaner::experiment::Round| Row {
        strategy: strategy.to_string(),
        size: round.budget as f64,
        seed,
        error: round.error,
        seconds: round.seconds,
    };
    found.rounds.iter().map(row).collect()
}

fn report(flags: &Flags, target: &str, data: &str, rows: &[Row]) -> Result<()> {
    let mut budgets: Vec<f64> = rows.iter().map(|row| row.size).collect();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    let title = format!(
        "test error of {target} in % by labels bought, mean ± standard deviation over {} seeds",
        flags.seeds
    );
    error_table(&title, rows, &budgets, |budget| format!("{budget}"));
    let title = format!("seconds of choosing and of training {target}, mean over seeds");
    report_seconds(&flags.out, &title, rows)?;
    write_summary(&flags.out, "budget", rows)?;
    let title = format!("{target}, {data}");
    let panels = [("", rows.to_vec())];
    error_chart(&flags.out.join("error.svg"), title, "labels bought", false, &panels, &budgets)?;
    println!("written: {}/summary.csv and pictures", flags.out.display());
    Ok(())
}
