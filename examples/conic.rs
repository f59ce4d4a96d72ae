//! Markowitz' portfolio with trading costs as a layer: twelve assets, how much of each to hold, and how that answers to
//! the forecasts.
//!
//! cargo run --release --example conic

use candle_core::{DType, Device, Tensor, Var};
use gleaner::conic::model::{Parameter, Problem, Variable, abs, norm1, power, sum_squares};
use gleaner::{ConicLayer, ConicLayerOptions, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ASSETS: usize = 12;
const FACTORS: usize = 3;

fn main() -> Result<()> {
    // maximise  forecast'x - 5 (|F x|^2 + |s x|^2) - costs(x - before)   subject to  sum x = 1, x >= 0
    let hold = Variable::vector("hold", ASSETS);
    let forecast = Parameter::vector("forecast", ASSETS);
    let factors = Parameter::matrix("factors", FACTORS, ASSETS);
    let own_risk = Parameter::vector("own_risk", ASSETS);
    let before = Parameter::vector("before", ASSETS);
    let risk = sum_squares(&factors * &hold) + sum_squares(own_risk.times(&hold));
    let trade = &hold - &before;
    let costs = 0.002 * norm1(&trade) + 0.02 * power(abs(&trade), 1.5).sum();
    let budget = hold.sum().equals(1.0);
    let problem = Problem::maximise(forecast.dot(&hold) - 5.0 * risk - costs)
        .subject_to([budget.clone(), hold.ge(0.0)]);
    let model = problem.compile(&[&forecast, &factors, &own_risk, &before], &[&hold])?;
    let layer = ConicLayer::new(model.with_duals(&[&budget])?, ConicLayerOptions::default());

    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut draw = |n: usize, low: f64, high: f64| -> Vec<f64> {
        (0..n).map(|_| rng.random_range(low..high)).collect()
    };
    let device = Device::Cpu;
    let forecast = Var::from_vec(draw(ASSETS, 0.0, 0.12), ASSETS, &device)?;
    let factors = Tensor::from_vec(draw(FACTORS * ASSETS, -0.1, 0.25), (FACTORS, ASSETS), &device)?;
    let own_risk = Tensor::from_vec(draw(ASSETS, 0.05, 0.2), ASSETS, &device)?;
    let before = Tensor::full(1.0 / ASSETS as f64, ASSETS, &device)?;

    let answer = layer.forward(&[forecast.as_tensor(), &factors, &own_risk, &before])?;
    let hold = &answer.values[0];
    let verdict = answer.solution.verdict();
    println!("residuals {:.0e}, {:.0e}", verdict.primal_residual, verdict.dual_residual);
    // How the largest holding answers to every forecast.
    let largest = hold.argmax(0)?.to_scalar::<u32>()? as usize;
    let gradients = hold.get(largest)?.backward()?;
    let zero = Tensor::zeros(ASSETS, DType::F64, &device)?;
    let slopes = gradients.get(&forecast).unwrap_or(&zero).to_vec1::<f64>()?;
    println!("asset  forecast  hold    d hold[{largest}] / d forecast");
    let (forecast, hold) = (forecast.to_vec1::<f64>()?, hold.to_vec1::<f64>()?);
    for k in 0..ASSETS {
        println!("{k:5}  {:8.4}  {:6.4}  {:9.4}", forecast[k], hold[k], slopes[k]);
    }
    Ok(())
}
