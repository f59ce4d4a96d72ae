//! Which training points to shift, and where to, so that the model trained on them does worse on others, or better.
//!
//! ```text
//! w, c = argmin  mean log(1 + exp(-y (X w + c))) + 0.02 |w|_1 + 0.01 |w|^2      X: 60 points, two features
//! ```
//!
//! Training is a convex program that the layer solves: the loss on test points has a gradient in every training point.
//! All points are shifted along it, by 0.3 a step together: by 0.04 each, did all move alike.
//!
//! `cargo run --release --example poisoning`

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use gleaner::conic::model::{Parameter, Problem, Variable, logistic, norm1, sum_squares};
use gleaner::{ConicLayer, Seeds, choose::top, layer::bridge::to_scalar};
use rand::Rng;

const TRAIN: usize = 60;

/// Points of two overlapping classes in turn, and their labels, 1 and -1.
fn draw(count: usize, rng: &mut impl Rng) -> Result<(Tensor, Vec<f64>)> {
    let labels: Vec<f64> = (0..count).map(|i| [1.0, -1.0][i % 2]).collect();
    let mut normal = || 1.2 * rng.sample::<f64, _>(rand_distr::StandardNormal);
    let points: Vec<f64> = labels.iter().flat_map(|y| [y + normal(), 0.5 * y + normal()]).collect();
    Ok((Tensor::from_vec(points, (count, 2), &Device::Cpu)?, labels))
}

fn main() -> Result<()> {
    let rng = &mut Seeds::new(2).stream(0);
    let ((points, y), (others, truth)) = (draw(TRAIN, rng)?, draw(2_000, rng)?);
    let truth = Tensor::from_vec(truth, 2_000, &Device::Cpu)?;
    let (w, c) = (Variable::vector("w", 2), Variable::scalar("c"));
    let x = Parameter::matrix("X", TRAIN, 2);
    let loss = logistic(-(&x * &w + &c).times(&y)).sum() / TRAIN as f64;
    let problem = Problem::minimise(loss + 0.02 * norm1(&w) + 0.01 * sum_squares(&w));
    let trained = ConicLayer::new(problem.compile(&[&x], &[&w, &c])?, Default::default());

    // The margins on the test points of what these points train, and the loss.
    let tested = |points: &Tensor| -> Result<(Vec<f64>, Tensor)> {
        let model = trained.forward(&[points])?.values;
        let scores = others.broadcast_mul(&model[0])?.sum(1)?.broadcast_add(&model[1])?;
        let margins = (scores * &truth)?;
        Ok((margins.to_vec1()?, (margins.neg()?.exp()? + 1.0)?.log()?.mean_all()?))
    };
    let gradient = |points: &Var| -> Result<Tensor> {
        tested(points)?.1.backward()?.remove(points).context("a gradient")
    };

    let slopes = gradient(&Var::from_tensor(&points)?)?;
    let order = top(&slopes.sqr()?.sum(1)?.to_vec1::<f64>()?, 5);
    let (at, g) = (points.to_vec2::<f64>()?, slopes.to_vec2::<f64>()?);
    println!("point  label             place     gradient of the test loss");
    for &i in &order {
        let ([a, b], [da, db]) = ([at[i][0], at[i][1]], [g[i][0], g[i][1]]);
        println!("{i:5} {:6}  ({a:6.3}, {b:6.3})  ({da:9.6}, {db:9.6})", y[i]);
    }
    // The first entry of the first of them, by a central difference.
    let unit = (0..2 * TRAIN).map(|k| if k == 2 * order[0] { 1e-4 } else { 0.0 });
    let step = Tensor::from_iter(unit, &Device::Cpu)?.reshape((TRAIN, 2))?;
    let [up, down] = [&points + &step, &points - &step].map(|points| tested(&points?));
    let slope = (to_scalar(&up?.1)? - to_scalar(&down?.1)?) / 2e-4;
    println!("the first is {:.9}, by a central difference {slope:.9}", g[order[0]][0]);

    println!("\nshift    steps  test loss  accuracy");
    for (name, towards) in [("poison", 0.3), ("cure", -0.3)] {
        let moved = Var::from_tensor(&points.copy()?)?;
        for step in 0..=10 {
            if step % 5 == 0 {
                let (margins, loss) = tested(&moved)?;
                let right = margins.iter().filter(|margin| **margin > 0.0).count();
                println!("{name:8} {step:5} {:10.4} {:9.4}", to_scalar(&loss)?, right as f64 / 2e3);
            }
            let g = gradient(&moved)?;
            let size = to_scalar(&g.sqr()?.sum_all()?.sqrt()?)?;
            moved.set(&(moved.as_tensor() + (g * (towards / size))?)?)?;
        }
    }
    Ok(())
}
