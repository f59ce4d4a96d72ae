//! What the ranks train, and how far apart two of them are.

use candle_core::{DType, Device};
use gleaner::data::synthetic::Clusters;
use gleaner::learn::{Mlp, MlpOptions};
use gleaner::{Learner, Trainer, TrainerOptions};

pub fn trainer(made: &Clusters) -> gleaner::Result<Trainer<Mlp>> {
    let (inputs, classes) = (made.train.inputs().dim(1)?, made.train.classes());
    let shape = MlpOptions { inputs, hidden: vec![32], classes };
    let options = TrainerOptions { warm_up: 20, learner_rate: 1e-2, ..Default::default() };
    Trainer::new(Mlp::new(&shape, 3, DType::F32, &Device::Cpu)?, &made.validation, options, 4)
}

/// The largest difference of two learners' weights.
pub fn off(a: &Mlp, b: &Mlp) -> gleaner::Result<f64> {
    let mut most = 0.0f64;
    for ((_, a), (_, b)) in a.variables().iter().zip(b.variables()) {
        let off = (a.as_tensor() - b.as_tensor())?.abs()?.max_all()?;
        most = most.max(f64::from(off.to_scalar::<f32>()?));
    }
    Ok(most)
}
