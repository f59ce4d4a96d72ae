//! The selection program written as mathematics: the general conic layer against the one built for it.
//!
//! ```text
//! minimise    <D, Z> + eps/2 |Z|^2           D: n x (n + m); columns 0..n are chosen in pairs
//! subject to  Z >= 0,  Z 1 = 1,  |Z_pair|_p <= t_pair,  sum t <= kappa
//! ```
//!
//! `cargo run --release --example selection_as_conic`

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use gleaner::conic::model::*;
use gleaner::{ConicLayer, Distance, LayerInputs, LayerOptions, Scale, SelectionLayer, Smoothing};
use gleaner::{layer::bridge::to_scalar, program::Norm};
use rand::Rng;

const EPS: f64 = 0.1;
type Atom = fn(Expression) -> Expression;
const NORMS: [(&str, Norm, Atom); 3] = [
    ("1", Norm::One, |z| norm1(z)),
    ("2", Norm::Two, |z| norm2(z)),
    ("inf", Norm::Infinity, |z| norm_inf(z)),
];

fn written(n: usize, width: usize, norm: Atom) -> Result<ConicLayer> {
    let (z, t) = (Variable::matrix("Z", n, width), Variable::vector("t", n / 2));
    let (d, kappa) = (Parameter::matrix("D", n, width), Parameter::scalar("kappa"));
    let weight = |pair: usize| norm(z.columns(2 * pair..2 * pair + 2)).le(t.at(pair));
    let problem = Problem::minimise(d.times(&z).sum() + 0.5 * EPS * sum_squares(&z))
        .subject_to([z.ge(0.0), z.row_sums().equals(1.0), t.sum().le(&kappa)])
        .subject_to((0..n / 2).map(weight));
    Ok(ConicLayer::new(problem.compile(&[&d, &kappa], &[&z])?, Default::default()))
}

fn main() -> Result<()> {
    let (mut rng, mut worst) = (gleaner::Seeds::new(0).stream(0), 0f64);
    println!("              largest difference in            ms forward and backward");
    println!("  n  m  p          Z  d/d costs  d/d budget    written    built");
    for (n, m) in [(8, 4), (16, 8), (32, 16)] {
        let mut draw = |rows, columns| {
            let numbers = (0..rows * columns).map(|_| rng.random_range(-1.0..1.0));
            Tensor::from_iter(numbers, &Device::Cpu)?.reshape((rows, columns))
        };
        let (points, pull) = (draw(n + m, 2)?, draw(n, n + m)?);
        let costs = Distance::SquaredEuclidean.between(&points.narrow(0, 0, n)?, &points)?;
        let (costs, kappa) = (Var::from_tensor(&costs)?, Var::new(0.2 * n as f64, &Device::Cpu)?);
        let groups: Vec<usize> = (0..n).map(|j| j / 2).collect();
        for (name, norm, atom) in NORMS {
            let general = written(n, n + m, atom)?;
            let smoothing = Smoothing::Quadratic(Scale::Absolute(EPS));
            let special = LayerOptions { norm, smoothing, ..Default::default() };
            let (special, groups) = (SelectionLayer::new(special), Some(&groups[..]));
            let inputs = LayerInputs { groups, budget: Some(&kappa), ..Default::default() };
            // Z, the gradients of <pull, Z>, and how long it took.
            let run = |general: Option<&ConicLayer>| -> Result<([Tensor; 3], f64)> {
                let start = std::time::Instant::now();
                let z = match general {
                    Some(layer) => layer.forward(&[&costs, &kappa])?.values.remove(0),
                    None => special.forward(&costs, inputs)?.assignment,
                };
                let mut slopes = (&z * &pull)?.sum_all()?.backward()?;
                let [d, k] = [&costs, &kappa].map(|of| slopes.remove(of).context("a gradient"));
                Ok(([z, d?, k?], 1e3 * start.elapsed().as_secs_f64()))
            };
            let median = |layer| -> Result<([Tensor; 3], f64)> {
                let mut runs = (0..9).map(|_| run(layer)).collect::<Result<Vec<_>>>()?;
                runs.sort_by(|a, b| a.1.total_cmp(&b.1));
                Ok(runs.swap_remove(4))
            };
            let ((a, slow), (b, fast)) = (median(Some(&general))?, median(None)?);
            let off = |k: usize| to_scalar(&(&a[k] - &b[k])?.abs()?.max_all()?);
            let (z, d, k) = (off(0)?, off(1)?, off(2)?);
            println!("{n:3} {m:2}  {name:3} {z:8.0e} {d:10.0e} {k:11.0e} {slow:10.2} {fast:8.3}");
            worst = worst.max(z).max(d).max(k);
        }
    }
    println!("the two differ by {worst:.0e} at most");
    Ok(())
}
