//! The sets of `real_data` and `valuation`: tables, texts and pictures as features, standardised, with a test part.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use clap::{Args, Parser};
use gleaner::choose::{BetaSampled, ClassBalanced, FacilityLocation, Random, Shares};
use gleaner::data::stratified_split;
use gleaner::data::table::{Categories, TableOptions, load};
use gleaner::data::text::encode::HashedWords;
use gleaner::data::text::tfidf::{TfIdf, TfIdfOptions};
use gleaner::data::text::{TextCsv, TextLayout, TextOptions};
use gleaner::data::{
    ImageParquetOptions, PatchOptions, Patches, cifar::Version, load_image_parquet,
};
use gleaner::experiment::{Joint, LabelNoise, PortfolioOptions, Selector};
use gleaner::joint::{Gleaner, Heads, TrainerOptions};
use gleaner::value::{Suspects, Trusted};
use gleaner::{Dataset, Seeds, Source};

/// All of them.
pub const SETS: [&str; 8] = [
    "optdigits",
    "spambase",
    "adult",
    "protein_ss",
    "newsgroups20",
    "sms_spam",
    "amazon_mds",
    "cifar10",
];
/// Pictures of `cifar10` that are chosen from, the first of a file without order.
const PICTURES: usize = 10_000;

/// Which sets.
#[derive(Args)]
pub struct SetFlags {
    /// The folder of the sets, with `tabular`, `text` and `cifar10` in it.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which of them.
    #[arg(long = "set", value_delimiter = ',', default_values = SETS)]
    names: Vec<String>,
    /// A table to choose from, instead.
    #[arg(long, requires = "test")]
    train: Option<PathBuf>,
    /// Its test part.
    #[arg(long)]
    test: Option<PathBuf>,
    /// The column of the labels of both.
    #[arg(long, default_value = "label")]
    label: String,
}

impl SetFlags {
    /// One after the other.
    pub fn sets(&self) -> Result<Vec<Set>> {
        if let (Some(train), Some(test)) = (&self.train, &self.test) {
            let categories = Some(Categories::default());
            let options =
                TableOptions { label: Some(self.label.clone()), categories, ..Default::default() };
            let name = train.file_stem().context("a file name")?.to_string_lossy();
            return Ok(vec![Set::tables(&name, train, test, options)?]);
        }
        let folder = self.data.as_ref().context("--data DIR, or --train FILE and --test FILE")?;
        self.names.iter().map(|name| Set::named(name, folder)).collect()
    }
}

/// A set with its test part, features as they were read.
pub struct Set {
    pub name: String,
    pub train: Dataset,
    pub test: Dataset,
}

impl Set {
    /// The set of that name below a folder.
    pub fn named(name: &str, folder: &Path) -> Result<Self> {
        let table = |file: &str| folder.join("tabular").join(file);
        let whole = TableOptions { categories: Some(Categories::default()), ..Default::default() };
        match name {
            "optdigits" | "adult" => {
                let [train, test] =
                    ["train", "test"].map(|part| table(&format!("{name}_{part}.csv")));
                Self::tables(name, &train, &test, whole)
            }
            "protein_ss" => {
                let letters = vec!["window".to_string()];
                let categories =
                    Some(Categories { letters: letters.clone(), ..Default::default() });
                let options = TableOptions { features: letters, categories, ..whole };
                let [train, test] =
                    ["train", "test"].map(|part| table(&format!("{name}_{part}.csv")));
                Self::tables(name, &train, &test, options)
            }
            "spambase" => {
                // Unsplit: the same thousand rows are the test part of every seed.
                let all = load(table("spambase.csv"), &whole)?.data;
                let rng = &mut Seeds::new(0).named("spambase");
                let (test, train) = stratified_split(all.labels(), 1_000, rng)?;
                Ok(Self { name: name.into(), train: all.subset(&train)?, test: all.subset(&test)? })
            }
            "newsgroups20" => Self::texts(name, folder, 20),
            "sms_spam" | "amazon_mds" => Self::texts(name, folder, 2),
            "cifar10" => Self::pictures(name, &folder.join(name)),
            other => bail!("no set {other:?}; there are {}", SETS.join(", ")),
        }
    }

    /// Two tables of one form.
    pub fn tables(name: &str, train: &Path, test: &Path, options: TableOptions) -> Result<Self> {
        let first = load(train, &options)?;
        let like_first = TableOptions {
            features: first.columns,
            categories: first.categories,
            class_names: Some(first.class_names),
            ..options
        };
        let test = load(test, &like_first)?.data;
        Ok(Self { name: name.into(), train: first.data, test })
    }

    /// Class, title and text; the words' weights are learned of the training texts.
    fn texts(name: &str, folder: &Path, classes: usize) -> Result<Self> {
        let read = |part: &str| -> Result<(Vec<String>, Vec<u32>)> {
            let path: PathBuf = folder.join("text").join(format!("{name}_{part}.csv"));
            let options =
                TextOptions { layout: TextLayout::numbered(classes, 2), ..Default::default() };
            let file = TextCsv::open(&path, &options, HashedWords::default())
                .with_context(|| format!("texts of {name}"))?;
            let everyone: Vec<usize> = (0..file.points()).collect();
            Ok((file.texts_at(&everyone)?, file.labels().to_vec()))
        };
        let (train, test) = (read("train")?, read("test")?);
        let rng = &mut Seeds::new(0).named("words");
        let words = TfIdf::fit(&train.0, &TfIdfOptions::default(), rng)?;
        let dataset = |(texts, labels): (Vec<String>, Vec<u32>)| -> Result<Dataset> {
            let shape = (texts.len(), words.width());
            let inputs = Tensor::from_vec(words.features(&texts), shape, &Device::Cpu)?;
            Ok(Dataset::new(inputs, labels, classes)?)
        };
        Ok(Self { name: name.into(), train: dataset(train)?, test: dataset(test)? })
    }

    /// CIFAR-10 as the hub has it; the kinds of patches are learned of the training pictures.
    fn pictures(name: &str, folder: &Path) -> Result<Self> {
        let options = ImageParquetOptions {
            mean: [0.0; 3],
            std: [1.0; 3],
            ..ImageParquetOptions::cifar(Version::Cifar10)
        };
        let first = ImageParquetOptions { limit: Some(PICTURES), ..options.clone() };
        let train = load_image_parquet(folder.join("train.parquet"), &first)?;
        let test = load_image_parquet(folder.join("test.parquet"), &options)?;
        let rng = &mut Seeds::new(0).named("patches");
        let patches = Patches::fit(train.inputs(), &PatchOptions::default(), rng)?;
        let dataset = |pictures: Dataset| -> gleaner::Result<Dataset> {
            let inputs = patches.features(pictures.inputs())?;
            Dataset::new(inputs, pictures.labels().to_vec(), pictures.classes())
        };
        Ok(Self { name: name.into(), train: dataset(train)?, test: dataset(test)? })
    }
}

/// Compares ways of choosing training data by the accuracy of networks trained on it.
#[derive(Parser)]
pub struct RealDataFlags {
    #[command(flatten)]
    pub sets: SetFlags,
    /// Points to choose from at most.
    #[arg(long, default_value_t = 4_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub points: usize,
    /// With the selection models that are trained together with a learner: the better part of a minute a seed.
    #[arg(long)]
    pub joint: bool,
    /// With the parts of the learned selection alone, and what may be added to it.
    #[arg(long)]
    pub ablation: bool,
    #[command(flatten)]
    pub common: super::Common,
}

/// The rows that a picture shows.
pub const DRAWN: [&str; 8] = [
    "random",
    "gleaner",
    "auto",
    "out-of-fold filter + coverage",
    "neighbour filter + coverage",
    "small loss",
    "margin filter + random",
    "full data",
];
/// Kinds of noise and their rates.
pub const NOISES: [LabelNoise; 3] =
    [LabelNoise::No, LabelNoise::Symmetric(0.2), LabelNoise::NextClass(0.2)];

/// Training a selection model together with a learner, as `synthetic` does.
pub fn joint(quick: bool) -> Joint {
    let (warm_up, steps) = if quick { (300, 500) } else { (1000, 1700) };
    let trainer = TrainerOptions { warm_up, ..Default::default() };
    Joint { trainer, steps, ..Default::default() }
}

/// What is compared; the simple rivals are filters of labels with coverage or random behind them. Joint training on top
/// if it is asked for.
pub fn selectors(flags: &RealDataFlags) -> Vec<Selector> {
    let random = || ClassBalanced::new(Random, Shares::Proportional);
    let named = |name: &str, strategy| Selector::OutOfFold(name.into(), strategy);
    let mut all = Selector::on_features();
    all.extend([
        // One of those above.
        Selector::Certified(PortfolioOptions::default()),
        Selector::named(
            "margin filter + random",
            Selector::Strategy(Box::new(Trusted::beyond(Suspects::Margins, random()))),
        ),
        Selector::named("dual + beta sampling", Selector::Strategy(Box::<BetaSampled>::default())),
    ]);
    if flags.ablation {
        let gleaner = |name: &str, gleaner| Selector::Gleaner(name.into(), gleaner);
        let learned = Gleaner { steps: 100, ..Default::default() };
        let filtered = Trusted::beyond(Suspects::Unlikely(0.0), random());
        let covering = ClassBalanced::new(FacilityLocation::default(), Shares::Proportional);
        all.push(named("coverage alone", Box::new(covering)));
        all.push(named("filter alone", Box::new(filtered)));
        all.push(gleaner("gleaner, weighted", Gleaner { weighted: true, ..Default::default() }));
        all.push(gleaner("gleaner, head learned", learned.clone()));
        let layered = Gleaner { layered: true, ..learned };
        all.push(gleaner("gleaner, head learned through the layer", layered));
    }
    if flags.joint {
        let trained = |name, heads| Selector::named(name, Selector::Joint(heads));
        all.push(trained("joint trainer, column costs", Heads::Unary));
        all.push(trained("joint trainer, embedding (HOST-CP)", Heads::Embedding));
    }
    all.extend([Selector::FreshRandom, Selector::ValidationAlone, Selector::FullData]);
    all
}
