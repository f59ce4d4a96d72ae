//! A policy that learns Riccati's gain by trying: it looks one step ahead, at what it believes the rest will cost.
//!
//! ```text
//! u(x) = argmin  |u|^2 + |root x+|^2   subject to  x+ = A x + B u,  |u| <= bound
//! ```
//!
//! The root is learned from simulated costs, sum |x|^2 + |u|^2, by their gradient through every program on the way. With
//! a bound that never binds no policy beats Riccati's gain: there it must end. With a tight one no formula is best.
//!
//! `cargo run --release --example control`

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use gleaner::conic::model::{Expression, Parameter, Problem, Variable, norm_inf, sum_squares};
use gleaner::layer::bridge::{to_matrix, to_tensor};
use gleaner::{ConicLayer, Seeds};
use nalgebra::DMatrix as Matrix;
use rand::Rng;

/// The policy of four states and two controls, given the root and where the state would go by itself.
fn policy(b: &Matrix<f64>, bound: f64) -> Result<ConicLayer> {
    let (u, next) = (Variable::vector("u", 2), Variable::vector("next", 4));
    let (root, free) = (Parameter::matrix("root", 4, 4), Parameter::vector("free", 4));
    let dynamics = next.equals(&free + Expression::from(b.clone()) * &u);
    let problem = Problem::minimise(sum_squares(&u) + sum_squares(&root * &next))
        .subject_to([dynamics, norm_inf(&u).le(bound)]);
    Ok(ConicLayer::new(problem.compile(&[&root, &free], &[&u, &next])?, Default::default()))
}

/// What it costs, on average, to follow a policy from each row of `starts`.
fn cost(policy: &ConicLayer, a: &Tensor, root: &Tensor, starts: &Tensor) -> Result<Tensor> {
    let (mut x, mut total) = (starts.clone(), starts.sqr()?.sum_all()?);
    for _ in 0..30 {
        let step = policy.forward_batch(&[root, &x.matmul(&a.t()?)?])?.values;
        total = ((total + step[0].sqr()?.sum_all()?)? + step[1].sqr()?.sum_all()?)?;
        x = step[1].clone();
    }
    Ok((total / starts.dim(0)? as f64)?)
}

fn main() -> Result<()> {
    let mut rng = Seeds::new(14).stream(0);
    let mut draw = |n, m, size: f64| Matrix::from_fn(n, m, |_, _| rng.random_range(-size..size));
    let (a, b, eye) = (draw(4, 4, 0.9), draw(4, 2, 1.0), Matrix::identity(4, 4));
    let (mut gain, mut rest) = (Matrix::zeros(2, 4), eye.clone());
    for _ in 0..1000 {
        let curvature = Matrix::identity(2, 2) + b.transpose() * &rest * &b;
        gain = curvature.try_inverse().context("convex")? * b.transpose() * &rest * &a;
        rest = &eye + a.transpose() * &rest * (&a - &b * &gain);
    }
    let riccati = rest.cholesky().context("convex")?.l().transpose();
    let tensor = |matrix: &Matrix<f64>| to_tensor(matrix, &Tensor::new(0f64, &Device::Cpu)?);
    let (a, eye, riccati) = (tensor(&a)?, tensor(&eye)?, tensor(&riccati)?);
    let (starts, others) = (tensor(&draw(20, 4, 3.0))?, tensor(&draw(20, 4, 3.0))?);

    println!("bound  steps  gain off Riccati's  mean cost of 20 starts  of 20 others");
    for (bound, first, seen, steps) in [(1e3, &eye, &eye, 600), (0.3, &riccati, &starts, 100)] {
        let (policy, root) = (policy(&b, bound)?, Var::from_tensor(&first.copy()?)?);
        let settings = ParamsAdamW { weight_decay: 0.0, beta2: 0.9, ..Default::default() };
        let mut adam = AdamW::new(vec![root.clone()], settings)?;
        for step in 0..=steps {
            if step % steps == 0 {
                // The controls at small unit vectors are the columns of minus the gain.
                let controls = policy.forward_batch(&[&root, &(a.t()? * 1e-2)?])?.values.remove(0);
                let off = (to_matrix(&controls)?.transpose() * 1e2 + &gain).norm() / gain.norm();
                let [seen, new] = [&starts, &others].map(|from| cost(&policy, &a, &root, from));
                let (seen, new) = (seen?.to_scalar::<f64>()?, new?.to_scalar::<f64>()?);
                println!("{bound:5} {step:6} {off:19.1e} {seen:23.3} {new:13.3}");
            }
            adam.set_learning_rate(0.1 * f64::from(steps - step) / f64::from(steps));
            adam.backward_step(&cost(&policy, &a, &root, seen)?)?;
        }
    }
    Ok(())
}
