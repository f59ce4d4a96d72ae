//! The program itself: forward cold and warm, backward, by size and norm; the reference solver for scale.
//!
//! Uniform points in 16 dimensions, squared distances, eps a tenth of the median cost, a budget of a fifth.
//! Each measurement goes round eight programs, since the number of Newton steps varies.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use gleaner::program::{
    Budget, Method, Norm, ProgramOptions, Regulariser, Selection, SelectionProgram, Upstream,
};
use nalgebra::{DMatrix, DVector};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const NORMS: [Norm; 3] = [Norm::One, Norm::Two, Norm::Infinity];

/// A program, and the same with its costs changed by up to a thousandth.
fn programs(n: usize, m: usize, norm: Norm, seed: u64) -> [SelectionProgram; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let points = DMatrix::from_fn(16, n + m, |_, _| rng.random::<f64>());
    let costs =
        DMatrix::from_fn(n, n + m, |i, j| (points.column(i) - points.column(j)).norm_squared());
    let mut sorted = costs.as_slice().to_vec();
    sorted.sort_by(f64::total_cmp);
    let regulariser = Regulariser::Quadratic(0.1 * sorted[sorted.len() / 2]);
    let options = ProgramOptions { norm, regulariser, ..Default::default() };
    let near = costs.map(|cost| cost * (1.0 + rng.random_range(-1e-3..1e-3)));
    [costs, near].map(|costs| {
        SelectionProgram::new(costs, Budget::Fraction(0.2), options.clone())
            .expect("feasible with memory")
    })
}

/// Runs over the items, one an iteration.
fn round<'a, T>(items: &'a [T]) -> impl FnMut() -> &'a T {
    let mut next = 0;
    move || {
        next = (next + 1) % items.len();
        &items[next]
    }
}

fn bench(criterion: &mut Criterion) {
    for n in [40, 128, 400, 1000] {
        let mut group = criterion.benchmark_group(format!("structured n = m = {n}"));
        group.sample_size(if n > 128 { 10 } else { 50 });
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        for norm in NORMS {
            let count = if n > 128 { 2 } else { 8 };
            let pairs: Vec<_> = (0..count).map(|seed| programs(n, n, norm, seed)).collect();
            let solve =
                |program: &SelectionProgram| program.solve(Method::Structured).expect("solves");
            let id = |what: &str| BenchmarkId::new(what, format!("p = {}", name(norm)));
            let mut next = round(&pairs);
            group.bench_function(id("forward"), |b| b.iter(|| solve(&next()[0])));
            let solved: Vec<(Selection, &SelectionProgram)> =
                pairs.iter().map(|[one, near]| (solve(one), near)).collect();
            let mut next = round(&solved);
            group.bench_function(id("forward, warm"), |b| {
                b.iter(|| {
                    let (before, program) = next();
                    program.solve_from(before.multipliers(), Method::Structured)
                });
            });
            let bar = DVector::from_fn(n, |i, _| (i as f64).sin());
            let upstream = Upstream { weights: Some(&bar), assignment: None };
            // A fresh solution each time: what a pullback looks up is kept for the next.
            let mut programs = round(&pairs);
            let mut backward = |what: &str, pull: &dyn Fn(Selection)| {
                group.bench_function(id(what), |b| {
                    b.iter_batched(|| solve(&programs()[0]), pull, BatchSize::SmallInput);
                });
            };
            backward("backward", &|solved| {
                black_box(solved.pullback(upstream).expect("pulls back"));
            });
            backward("backward, perturbed", &|solved| {
                black_box(solved.pullback_perturbed(upstream, 0.05, Method::Structured).is_ok());
            });
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("reference n = m = 40");
    group.sample_size(10);
    for norm in NORMS {
        let [program, _] = programs(40, 40, norm, 0);
        group.bench_function(BenchmarkId::new("forward", format!("p = {}", name(norm))), |b| {
            b.iter(|| black_box(program.solve(Method::Reference)));
        });
    }
    group.finish();
}

fn name(norm: Norm) -> &'static str {
    match norm {
        Norm::One => "1",
        Norm::Two => "2",
        Norm::Infinity => "inf",
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
