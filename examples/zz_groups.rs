use gleaner::program::*;
use nalgebra::DMatrix;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
fn main() {
    for (speakers, per) in [(12usize, 5usize), (20, 6), (36, 9)] {
        for tight in [false, true] {
            for eps in [0.1, 0.03, 0.01, 0.003] {
                let (mut fails, mut its, mut worst) = (vec![], 0, 0);
                for seed in 0..10u64 {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    let mut v = |s: f64| -> Vec<f64> {
                        (0..16)
                            .map(|_| {
                                let x: f64 = StandardNormal.sample(&mut rng);
                                s * x
                            })
                            .collect()
                    };
                    let words: Vec<Vec<f64>> = (0..8).map(|_| v(1.5)).collect();
                    let voices: Vec<Vec<f64>> = (0..speakers).map(|_| v(0.8)).collect();
                    let n = speakers * per;
                    let speaker: Vec<usize> = (0..n).map(|i| i / per).collect();
                    let noise: Vec<Vec<f64>> = (0..n).map(|_| v(0.6)).collect();
                    let w: Vec<usize> = (0..n).map(|_| rng.random_range(0..8)).collect();
                    let p: Vec<Vec<f64>> = (0..n)
                        .map(|i| {
                            (0..16)
                                .map(|k| words[w[i]][k] + voices[speaker[i]][k] + noise[i][k])
                                .collect()
                        })
                        .collect();
                    let d = DMatrix::from_fn(n, n, |i, j| {
                        p[i].iter().zip(&p[j]).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
                    });
                    let mean = d.mean();
                    let mut c = d.clone();
                    if tight {
                        c.fill(d.max());
                        for i in 0..n {
                            for s in 0..speakers {
                                let j = (s * per..(s + 1) * per)
                                    .min_by(|&a, &b| d[(i, a)].total_cmp(&d[(i, b)]))
                                    .unwrap();
                                c[(i, j)] = d[(i, j)];
                            }
                        }
                    }
                    let prices: Vec<f64> = (0..speakers)
                        .map(|_| 5.0 + per as f64 * rng.random_range(0.5..1.5))
                        .collect();
                    let limit = 0.2 * prices.iter().sum::<f64>();
                    let options = ProgramOptions {
                        regulariser: Regulariser::Quadratic(eps * mean),
                        groups: Some(speaker),
                        ..Default::default()
                    };
                    let program = SelectionProgram::new(
                        c,
                        Budget::Rows(vec![BudgetRow { coefficients: prices, limit }]),
                        options,
                    )
                    .unwrap();
                    match program.solve(Method::Structured) {
                        Ok(s) => {
                            its += s.verdict().iterations;
                            worst = worst.max(s.verdict().iterations);
                        }
                        Err(e) => fails.push((seed, e.to_string())),
                    }
                }
                println!(
                    "{speakers}x{per} tight {tight} eps {eps}: mean its {:.0} worst {worst} fails {fails:?}",
                    its as f64 / (10 - fails.len()).max(1) as f64
                );
            }
        }
    }
}
