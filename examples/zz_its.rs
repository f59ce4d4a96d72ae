// average iterations over seeds
use gleaner::program::*;
use nalgebra::DMatrix;
use rand::{Rng, SeedableRng};
fn main() {
    for (n, m) in [(40, 40), (40, 0), (128, 128), (400, 400)] {
        for share in [0.1, 0.01, 1e-4] {
            for clustered in [false, true] {
                for norm in [Norm::One, Norm::Two, Norm::Infinity] {
                    if m == 0 && norm != Norm::Infinity {
                        continue;
                    }
                    let (mut its, mut fails, seeds) = (0, 0, if n > 200 { 4 } else { 20 });
                    let mut most = 0;
                    for seed in 0..seeds {
                        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
                        let centres = DMatrix::from_fn(16, 12, |_, _| rng.random::<f64>() * 4.0);
                        let points = DMatrix::from_fn(16, n + m, |k, i| {
                            rng.random::<f64>() + if clustered { centres[(k, i % 12)] } else { 0.0 }
                        });
                        let costs = DMatrix::from_fn(n, n + m, |i, j| {
                            (points.column(i) - points.column(j)).norm_squared()
                        });
                        let mut sorted = costs.as_slice().to_vec();
                        sorted.sort_by(f64::total_cmp);
                        let options = ProgramOptions {
                            norm,
                            regulariser: Regulariser::Quadratic(share * sorted[sorted.len() / 2]),
                            ..Default::default()
                        };
                        let p =
                            SelectionProgram::new(costs, Budget::Fraction(0.2), options).unwrap();
                        match p.solve(Method::Structured) {
                            Ok(s) => {
                                its += s.verdict().iterations;
                                most = most.max(s.verdict().iterations);
                            }
                            Err(_) => fails += 1,
                        }
                    }
                    print!(
                        "{}{}:{}/{}/{} ",
                        if clustered { "c" } else { "u" },
                        norm as u8,
                        its / seeds as usize,
                        most,
                        fails
                    );
                }
            }
            println!(" n={n} m={m} share {share}");
        }
    }
}
