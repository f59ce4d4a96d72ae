use gleaner::program::*;
use nalgebra::{DMatrix, DVector};
use rand::{Rng, SeedableRng};
use std::time::Instant;
fn program(n: usize, m: usize, norm: Norm, seed: u64, share: f64) -> (DMatrix<f64>, f64) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let _ = norm;
    let points = DMatrix::from_fn(16, n + m, |_, _| rng.random::<f64>());
    let costs =
        DMatrix::from_fn(n, n + m, |i, j| (points.column(i) - points.column(j)).norm_squared());
    let mut sorted = costs.as_slice().to_vec();
    let k = sorted.len() / 2;
    let (_, med, _) = sorted.select_nth_unstable_by(k, f64::total_cmp);
    let eps = share * *med;
    (costs, eps)
}
fn med(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let sizes: Vec<(usize, usize)> = args
        .iter()
        .filter_map(|a| a.split_once('x').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())))
        .collect();
    let share: f64 = std::env::var("SHARE").ok().map_or(0.1, |s| s.parse().unwrap());
    for (n, m) in sizes {
        for norm in [Norm::One, Norm::Two, Norm::Infinity] {
            if m > 10 * n && norm != Norm::Infinity {
                continue;
            }
            let reps = (2_000_000 / (n * (n + m))).clamp(3, 400);
            let (mut f, mut b, mut w, mut its, mut wits, mut live) =
                (vec![], vec![], vec![], 0, 0, 0);
            let (costs, eps) = program(n, m, norm, 7, share);
            let options = ProgramOptions {
                norm,
                regulariser: Regulariser::Quadratic(eps),
                ..Default::default()
            };
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
            let near = costs.map(|c| c * (1.0 + 1e-3 * rng.random_range(-1.0..1.0)));
            let p = SelectionProgram::new(costs, Budget::Fraction(0.2), options.clone()).unwrap();
            let q = SelectionProgram::new(near, Budget::Fraction(0.2), options).unwrap();
            let bar = DVector::from_fn(n, |i, _| (i as f64).sin());
            for _ in 0..reps {
                let t = Instant::now();
                let s = p.solve(Method::Structured).unwrap();
                f.push(t.elapsed().as_secs_f64());
                let t = Instant::now();
                let g = s.pullback(Upstream { weights: Some(&bar), assignment: None }).unwrap();
                b.push(t.elapsed().as_secs_f64());
                its = s.verdict().iterations;
                live = s.weights().iter().filter(|w| **w > 0.0).count();
                let t = Instant::now();
                let s2 = q.solve_from(s.multipliers(), Method::Structured).unwrap();
                w.push(t.elapsed().as_secs_f64());
                wits = s2.verdict().iterations;
                std::hint::black_box(g);
            }
            println!(
                "n={n} m={m} {norm:?}: fwd {:.4} ms bwd {:.4} warm {:.4} its {its} warm {wits} live {live}",
                med(f) * 1e3,
                med(b) * 1e3,
                med(w) * 1e3
            );
        }
    }
}
