//! The flags of `core_set`, and what they leave to the size of the task.

use std::path::PathBuf;

use clap::Parser;
use gleaner::learn::ImageLearner;

/// Trains a proxy, chooses core-sets of CIFAR-10 with it, and trains the target on each.
#[derive(Parser)]
pub struct CoreSetFlags {
    /// The folder that holds cifar-10-batches-bin.
    #[arg(long)]
    pub data: PathBuf,
    /// The network that chooses: cnn, preact8 and up, resnet18.
    #[arg(long, default_value = "preact8")]
    pub proxy: ImageLearner,
    /// The network that learns from what was chosen.
    #[arg(long, default_value = "preact20")]
    pub target: ImageLearner,
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
    /// Training images, the first so many; all unless given, 1,600 with `--quick`.
    #[arg(long)]
    train: Option<usize>,
    /// Test images, the first so many; all unless given, 1,000 with `--quick`.
    #[arg(long)]
    test: Option<usize>,
    /// Leave out the target's own choices: half the time, and nothing to measure the proxy against.
    #[arg(long)]
    pub proxy_only: bool,
    /// Leave out the selection that is learned together with the proxy.
    #[arg(long)]
    pub no_joint: bool,
    #[command(flatten)]
    pub common: super::Common,
}

/// What differs between quick and full size, where no flag says otherwise.
pub struct Size {
    pub train: Option<usize>,
    pub test: Option<usize>,
    pub validation: usize,
    /// Side of a square of pixels that become one.
    pub shrink: usize,
    pub epochs: usize,
    pub proxy_epochs: usize,
    pub batch: usize,
    pub joint_steps: usize,
    pub fractions: Vec<f64>,
    pub strategies: Vec<String>,
}

impl CoreSetFlags {
    pub fn size(&self) -> Size {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let usual = match self.common.quick {
            true => Size {
                train: Some(1_600),
                test: Some(1_000),
                validation: 200,
                shrink: 2,
                epochs: 10,
                proxy_epochs: 4,
                batch: 32,
                joint_steps: 60,
                fractions: vec![0.3, 0.5],
                strategies: names(&["entropy", "k-center", "forgetting"]),
            },
            false => Size {
                train: None,
                test: None,
                validation: 1_000,
                shrink: 1,
                epochs: 181,
                proxy_epochs: 50,
                batch: 128,
                joint_steps: 3_000,
                fractions: (1..10).map(|k| f64::from(k) / 10.0).collect(),
                strategies: names(&[
                    "least-confidence",
                    "margin",
                    "entropy",
                    "k-center",
                    "forgetting",
                    "el2n",
                ]),
            },
        };
        fn or<T: Clone>(asked: &[T], usual: Vec<T>) -> Vec<T> {
            if asked.is_empty() { usual } else { asked.to_vec() }
        }
        Size {
            train: self.train.or(usual.train),
            test: self.test.or(usual.test),
            epochs: self.epochs.unwrap_or(usual.epochs),
            proxy_epochs: self.proxy_epochs.unwrap_or(usual.proxy_epochs),
            fractions: or(&self.fractions, usual.fractions),
            strategies: or(&self.strategy, usual.strategies),
            ..usual
        }
    }
}
