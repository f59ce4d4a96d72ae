//! The flags of `active_learning`, what they leave to the size of the task, and data of either kind.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use candle_core::{DType, Device};
use clap::Parser;
use gleaner::data::cifar::{CifarOptions, load};
use gleaner::data::text::{TextCsv, TextLayout, TextOptions};
use gleaner::data::{Malformed, Subset, stratified_split};
use gleaner::experiment::{Model, Rounds};
use gleaner::learn::{ImageLearner, TextLearner, TrainingOptions};
use gleaner::{Learner, Seeds, Source};

/// Buys labels in rounds with several strategies and tests the target after each round.
#[derive(Parser)]
pub struct ActiveLearningFlags {
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
    #[command(flatten)]
    pub common: super::Common,
}

/// What is asked for, with the numbers that were not.
pub struct Plan {
    pub initial: usize,
    pub round: usize,
    pub rounds: usize,
    warm: bool,
    epochs: usize,
    names: [String; 2],
    pub strategies: Vec<String>,
}

impl Plan {
    pub fn rounds(&self) -> Rounds {
        Rounds { warm: self.warm, ..Rounds::equal(self.initial, self.round, self.rounds) }
    }
}

impl ActiveLearningFlags {
    fn of_images(&self) -> bool {
        self.data.is_dir()
    }

    /// Which data, and how they are read.
    pub fn columns(&self) -> String {
        let Self { data, test, classes, label, text, skip_malformed, .. } = self;
        format!("{data:?} {test:?} {classes} {label:?} {text:?} {skip_malformed}")
    }

    pub fn plan(&self) -> Plan {
        let (images, quick) = (self.of_images(), self.common.quick);
        let [initial, round, rounds, epochs] = match (images, quick) {
            (true, true) => [200, 200, 3, 10],
            (true, false) => [1_000, 4_000, 6, 181],
            (false, true) => [200, 200, 4, 10],
            (false, false) => [500, 500, 7, 20],
        };
        let name = |own: &Option<String>, image: &str| {
            let default = if images { image } else { "fasttext" };
            own.as_ref().or(self.learner.as_ref()).map_or(default.to_string(), String::clone)
        };
        let few: &[&str] = match (images, quick) {
            (true, true) => &["entropy", "k-center"],
            (false, true) => &["margin", "k-center", "badge"],
            (_, false) => &["margin", "entropy", "k-center", "badge", "convex"],
        };
        let few = || few.iter().map(|name| name.to_string()).collect();
        Plan {
            initial: self.initial.unwrap_or(initial),
            round: self.round.unwrap_or(round),
            rounds: self.rounds.unwrap_or(rounds),
            warm: self.warm,
            epochs: self.epochs.unwrap_or(epochs),
            names: [name(&self.proxy, "preact8"), name(&self.target, "preact20")],
            strategies: if self.strategy.is_empty() { few() } else { self.strategy.clone() },
        }
    }
}

type Build = dyn Fn(u64) -> gleaner::Result<Box<dyn Learner>> + Sync;

/// Data and learners, of either kind.
pub struct Setting {
    train: Box<dyn Source>,
    pub test: Option<Box<dyn Source>>,
    learners: [(String, Box<Build>, TrainingOptions); 2],
    /// The data's name, and what there is of it.
    pub name: String,
    pub what: String,
}

impl Setting {
    pub fn read(flags: &ActiveLearningFlags, plan: &Plan, device: &Device) -> Result<Self> {
        if flags.of_images() { images(flags, plan, device) } else { texts(flags, plan, device) }
    }

    /// The proxy and the target.
    pub fn models(&self) -> [Model<'_>; 2] {
        self.learners.each_ref().map(|(name, build, training)| Model {
            name: name.clone(),
            build: &**build,
            training: training.clone(),
        })
    }

    /// The pool and, where none is given, a test part: a fifth, the same for all seeds.
    pub fn split(&self) -> Result<(Subset<'_>, Subset<'_>)> {
        let (all, points) = (self.train.as_ref(), self.train.points());
        let mut rng = Seeds::new(0).stream(0);
        let (test, rest) = stratified_split(all.labels(), (points / 5).max(1), &mut rng)?;
        let pool = if self.test.is_some() { (0..points).collect() } else { rest };
        Ok((Subset::new(all, pool)?, Subset::new(all, test)?))
    }
}

fn images(flags: &ActiveLearningFlags, plan: &Plan, device: &Device) -> Result<Setting> {
    let (train, test, shrink, batch) = match flags.common.quick {
        true => (Some(1_600), Some(1_000), 2, 32),
        false => (None, None, 1, 128),
    };
    let limits = CifarOptions { train, test, ..Default::default() };
    let cifar = load(&flags.data, &limits)?.shrunk(shrink)?;
    let (side, classes) = (32 / shrink, cifar.train.classes());
    let model = |name: &String| -> Result<(String, Box<Build>, TrainingOptions)> {
        let (learner, device): (ImageLearner, _) = (name.parse()?, device.clone());
        let build = move |seed| learner.build(side, classes, seed, DType::F32, &device);
        let training = TrainingOptions::images(plan.epochs, batch, 4 / shrink);
        Ok((name.clone(), Box::new(build), training))
    };
    let [proxy, target] = &plan.names;
    let learners = [model(proxy)?, model(target)?];
    let what = format!("{} training and {} test images", cifar.train.len(), cifar.test.len());
    let (train, test) = (Box::new(cifar.train), Box::new(cifar.test));
    let name = format!("CIFAR-10 at {side} x {side}");
    Ok(Setting { train, test: Some(test), learners, name, what })
}

fn texts(flags: &ActiveLearningFlags, plan: &Plan, device: &Device) -> Result<Setting> {
    let [proxy, target]: [TextLearner; 2] = [plan.names[0].parse()?, plan.names[1].parse()?];
    let words = |learner| learner == TextLearner::FastText;
    ensure!(
        words(proxy) == words(target),
        "one reads words and the other characters: choose proxy and target of one kind"
    );
    let open = |path: &Path, class_names: Option<Vec<String>>| -> Result<TextCsv> {
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
    let model = |learner: TextLearner| -> (String, Box<Build>, TrainingOptions) {
        let (classes, device) = (train.classes(), device.clone());
        let build = move |seed| learner.build(classes, seed, DType::F32, &device);
        (learner.to_string(), Box::new(build), TrainingOptions::texts(plan.epochs))
    };
    let learners = [model(proxy), model(target)];
    let name = flags.data.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let tested = match &test {
        Some(test) => format!("{} test texts", test.points()),
        None => "a fifth of them for the test".into(),
    };
    let what = format!("{} texts, {tested}", train.points());
    let test = test.map(|test| -> Box<dyn Source> { Box::new(test) });
    Ok(Setting { train: Box::new(train), test, learners, name, what })
}
