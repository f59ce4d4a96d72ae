//! Six clusters in two coordinates, and eight more coordinates that mean nothing. An embedding sets the
//! layer's costs and learns, through the layer, which coordinates the selected points should cover.

use candle_core::{DType, Device, Module, Result, Tensor};
use clap::Parser;
use gleaner::learn::SeededWeights;
use gleaner::learn::optimiser::{Optimiser, OptimiserOptions};
use gleaner::{Distance, LayerInputs, LayerOptions, Seeds, SelectionLayer};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long, default_value_t = 100)]
    steps: usize,
}

/// How far, squared and on average, points are from those that represent them.
fn loss(embedding: &impl Module, points: &Tensor) -> Result<Tensor> {
    let places = embedding.forward(points)?;
    let costs = Distance::SquaredEuclidean.between(&places, &places)?;
    let layer = SelectionLayer::new(LayerOptions::default()); // keeps a fifth of the points
    let assignment = layer.forward(&costs, LayerInputs::default())?.assignment;
    let that_count = points.narrow(1, 0, 2)?;
    (assignment * Distance::SquaredEuclidean.between(&that_count, &that_count)?)?.sum(1)?.mean(0)
}

/// A fresh batch of 48 points.
fn draw(rng: &mut ChaCha8Rng) -> Result<Tensor> {
    let coordinate = |k: usize| -> f64 {
        let angle = (k / 10) as f64 * std::f64::consts::TAU / 6.0;
        let centre = [2.0 * angle.cos(), 2.0 * angle.sin()].get(k % 10).copied();
        let noise: f64 = StandardNormal.sample(rng);
        centre.map_or(2.0 * noise, |centre| centre + 0.2 * noise)
    };
    Tensor::from_iter((0..480).map(coordinate), &Device::Cpu)?.reshape((48, 10))
}

fn main() -> anyhow::Result<()> {
    let Options { seed, steps } = Options::parse();
    let (builder, weights) = SeededWeights::builder(seed, DType::F64, &Device::Cpu);
    let embedding = candle_nn::linear_no_bias(10, 2, builder)?;
    let mut optimiser = Optimiser::new(weights.variables(), OptimiserOptions::default(), 0.03)?;
    let mut rng = Seeds::new(seed).stream(0);
    let held_out = draw(&mut rng)?;
    let mut curve = vec![loss(&embedding, &held_out)?.to_scalar::<f64>()?];
    for step in 1..=steps {
        optimiser.backward_step(&loss(&embedding, &draw(&mut rng)?)?)?;
        curve.push(loss(&embedding, &held_out)?.to_scalar()?);
        if step % 10 == 0 {
            println!("step {step:>3}   loss {:.3}", curve[step]);
        }
    }
    anyhow::ensure!(curve[steps] < 0.5 * curve[0], "the loss only went to {:.3}", curve[steps]);
    println!("loss from {:.3} to {:.3}: it knows what counts", curve[0], curve[steps]);
    Ok(())
}
