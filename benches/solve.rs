//! Forward and backward of one program, structured against reference.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gleaner::program::{
    Budget, Method, Norm, ProgramOptions, Regulariser, SelectionProgram, Upstream,
};
use nalgebra::{DMatrix, DVector};
use rand::{Rng, SeedableRng};

/// Uniform points in 16 dimensions, eps a tenth of the median cost, budget a fifth.
fn program(n: usize, m: usize, norm: Norm) -> SelectionProgram {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let points = DMatrix::from_fn(n + m, 16, |_, _| rng.random::<f64>());
    let costs = DMatrix::from_fn(n, n + m, |i, j| (points.row(i) - points.row(j)).norm_squared());
    let mut sorted = costs.as_slice().to_vec();
    sorted.sort_by(f64::total_cmp);
    let regulariser = Regulariser::Quadratic(0.1 * sorted[sorted.len() / 2]);
    let options = ProgramOptions { norm, regulariser, ..Default::default() };
    SelectionProgram::new(costs, Budget::Fraction(0.2), options).expect("feasible with memory")
}

fn bench(criterion: &mut Criterion) {
    for (n, method) in
        [(40, Method::Structured), (128, Method::Structured), (40, Method::Reference)]
    {
        let mut group = criterion.benchmark_group(format!("{method:?} n = m = {n}"));
        group.sample_size(if method == Method::Reference { 10 } else { 50 });
        for norm in [Norm::One, Norm::Two, Norm::Infinity] {
            let program = program(n, n, norm);
            let id = |what: &str| BenchmarkId::new(what, format!("p = {norm:?}"));
            group.bench_function(id("forward"), |b| b.iter(|| program.solve(method)));
            let selection = program.solve(method).expect("solves");
            let ones = DVector::from_element(n, 1.0);
            let upstream = Upstream { weights: Some(&ones), assignment: None };
            group.bench_function(id("backward"), |b| b.iter(|| selection.pullback(upstream)));
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
