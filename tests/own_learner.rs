//! Bring your own learner: a candle model, two functions, and the trainer takes it from there.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module, linear};
use gleaner::data::shuffled_batches;
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::joint::{Trainer, TrainerOptions};
use gleaner::learn::{Learner, SeededWeights, accuracy_in_batches};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Two layers with a skip connection: nothing this crate has.
struct Residual {
    stem: Linear,
    block: Linear,
    last: Linear,
    variables: Vec<(String, Var)>,
}

impl Residual {
    fn new(inputs: usize, classes: usize, seed: u64) -> Result<Self> {
        let (builder, weights) = SeededWeights::builder(seed, DType::F32, &Device::Cpu);
        let stem = linear(inputs, 32, builder.pp("stem"))?;
        let block = linear(32, 32, builder.pp("block"))?;
        let last = linear(32, classes, builder.pp("last"))?;
        Ok(Self { stem, block, last, variables: weights.variables() })
    }
}

impl Learner for Residual {
    fn features(&self, inputs: &Tensor) -> Result<Tensor> {
        let hidden = self.stem.forward(inputs)?.tanh()?;
        &hidden + self.block.forward(&hidden)?.tanh()?
    }

    fn head(&self, features: &Tensor) -> Result<Tensor> {
        self.last.forward(features)
    }

    fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }
}

#[test]
fn a_learner_of_ones_own_trains_in_the_trainer() -> gleaner::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let options =
        ClusterOptions { points: 600, clusters: 10, label_noise: 0.1, ..Default::default() };
    let data = clusters(&options, &mut rng)?;

    let learner = Residual::new(10, 5, 7)?;
    let before = accuracy_in_batches(&learner, &data.test, 500)?;
    let options = TrainerOptions { warm_up: 10, learner_rate: 1e-2, ..Default::default() };
    let mut trainer = Trainer::new(learner, &data.validation, options, 3)?;

    let mut reports = Vec::new();
    for _ in 0..3 {
        let epoch = shuffled_batches(data.train.len(), 30, &mut rng);
        let batches = epoch.iter().map(|indices| data.train.batch(indices));
        trainer.fit(batches, |report| reports.push(report.clone()))?;
    }

    assert_eq!(reports.len(), 60);
    let after = accuracy_in_batches(trainer.learner(), &data.test, 500)?;
    assert!(before < 0.5 && after > 0.8, "accuracy {before} before, {after} after");
    // After the warm-up the program decides who of the thirty counts.
    let total: f64 = reports[59].weights.iter().sum();
    assert!(reports[59].status.is_some() && total < 25.0, "{total}");
    Ok(())
}
