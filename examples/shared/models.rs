//! Learners by name, with the recipe each is trained by, and images at half their size.

use anyhow::Result;
use candle_core::{DType, Device};
use gleaner::data::cifar::Cifar;
use gleaner::data::{Augmentation, Dataset};
use gleaner::learn::optimiser::OptimiserOptions;
use gleaner::learn::{Cnn, CnnOptions, Learner, ResNet, ResNetKind, ResNetOptions};
use gleaner::learn::{Length, Recipe, Schedule};

pub type Build = dyn Fn(u64) -> gleaner::Result<Box<dyn Learner>> + Sync;

/// A network for square images of 3 channels: `cnn`, or a residual one by its name.
pub fn image_builder(
    name: &str,
    size: usize,
    classes: usize,
    device: &Device,
) -> Result<Box<Build>> {
    let device = device.clone();
    if name == "cnn" {
        let options = CnnOptions { size, classes, ..Default::default() };
        return Ok(Box::new(move |seed| {
            Ok(Box::new(Cnn::new(&options, seed, DType::F32, &device)?))
        }));
    }
    let kind: ResNetKind = name.parse()?;
    let options = ResNetOptions { size, classes, ..ResNetOptions::new(kind) };
    Ok(Box::new(move |seed| Ok(Box::new(ResNet::new(&options, seed, DType::F32, &device)?))))
}

/// SGD with Nesterov momentum under a cosine, on cropped and mirrored images.
pub fn image_recipe(epochs: usize, batch: usize, shrink: usize) -> Recipe {
    Recipe {
        length: Length::Epochs(epochs),
        batch,
        optimiser: OptimiserOptions::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 },
        // In proportion to the batch: 0.1 for the usual 128.
        learning_rate: 0.1 * batch as f64 / 128.0,
        warm_up: 0.05,
        schedule: Schedule::Cosine,
        label_smoothing: 0.0,
        augmentation: Some(Augmentation { padding: 4 / shrink, flip: true }),
    }
}

/// Images whose squares of `side x side` pixels became one.
pub fn shrunk(cifar: Cifar, side: usize) -> Result<Cifar> {
    if side == 1 {
        return Ok(cifar);
    }
    let smaller = |data: Dataset| -> Result<Dataset> {
        let inputs = data.inputs().avg_pool2d(side)?;
        Ok(Dataset::new(inputs, data.labels().to_vec(), data.classes())?)
    };
    Ok(Cifar { train: smaller(cifar.train)?, test: smaller(cifar.test)?, ..cifar })
}
