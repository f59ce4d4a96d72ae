//! The layer inside candle: computing costs, one program, a batch on all cores, and the memory's lookup.

use std::time::Duration;

use candle_core::{DType, Device, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use gleaner::{Distance, Eviction, ExemplarMemory, LayerInputs, LayerOptions, SelectionLayer};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn points(count: usize, width: usize, seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = (0..count * width).map(|_| rng.random()).collect();
    Tensor::from_vec(values, (count, width), &Device::Cpu).expect("sizes match")
}

fn costs(n: usize, m: usize, width: usize, seed: u64) -> Tensor {
    let all = points(n + m, width, seed);
    let incoming = all.narrow(0, 0, n).expect("within");
    Distance::SquaredEuclidean.between(&incoming, &all).expect("same width")
}

/// `|a|^2 + |b|^2 - 2 a b'` of rows less their mean, forward and backward free of checks: what `f32` distances that are
/// right for near pairs are compared with.
fn expanded(a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
    let mean = b.mean_keepdim(0)?;
    let (a, b) = (a.broadcast_sub(&mean)?, b.broadcast_sub(&mean)?);
    let (lengths, others) = (a.sqr()?.sum_keepdim(1)?, b.sqr()?.sum_keepdim(1)?);
    lengths.broadcast_add(&others.t()?)?.sub(&(a.matmul(&b.t()?)? * 2.0)?)?.relu()
}

fn distances(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("f32 distances");
    group.measurement_time(Duration::from_secs(2)).sample_size(30);
    for (n, m, width) in [(48, 400, 64), (128, 1_000, 512), (400, 4_000, 64)] {
        let single = |count, seed| points(count, width, seed).to_dtype(DType::F32).expect("floats");
        let (a, b) = (single(n, 1), single(m, 2));
        group.bench_function(format!("ours, {n} x {m}, {width} features"), |bencher| {
            bencher.iter(|| Distance::SquaredEuclidean.between(&a, &b));
        });
        group.bench_function(format!("expanded, {n} x {m}, {width} features"), |bencher| {
            bencher.iter(|| expanded(&a, &b));
        });
    }
    group.finish();
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer");
    group.measurement_time(Duration::from_secs(1)).sample_size(30);
    group.warm_up_time(Duration::from_millis(300));
    let layer = SelectionLayer::new(LayerOptions::default());
    for n in [40, 128] {
        group.bench_function(format!("costs from 512 features, n = m = {n}"), |b| {
            let all = points(2 * n, 512, 1);
            let incoming = all.narrow(0, 0, n).expect("within");
            b.iter(|| Distance::SquaredEuclidean.between(&incoming, &all));
        });
        let costs = Var::from_tensor(&costs(n, n, 16, 0)).expect("copies");
        group.bench_function(format!("forward, n = m = {n}"), |b| {
            b.iter(|| layer.forward(&costs, LayerInputs::default()));
        });
        group.bench_function(format!("forward and backward, n = m = {n}"), |b| {
            b.iter(|| -> gleaner::Result<_> {
                let weights = layer.forward(&costs, LayerInputs::default())?.weights;
                Ok(weights.sqr()?.sum_all()?.backward()?)
            });
        });
    }
    for count in [64, 1_024] {
        let many: Vec<Tensor> = (0..count).map(|seed| costs(40, 40, 16, seed)).collect();
        let many = Var::from_tensor(&Tensor::stack(&many, 0).expect("one shape")).expect("copies");
        group.bench_function(format!("batch of {count}, forward and backward, n = m = 40"), |b| {
            b.iter(|| -> gleaner::Result<_> {
                let weights = layer.forward_batch(&many, LayerInputs::default())?.weights;
                Ok(weights.sqr()?.sum_all()?.backward()?)
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("memory");
    group.measurement_time(Duration::from_secs(1)).sample_size(30);
    group.warm_up_time(Duration::from_millis(300));
    for capacity in [400, 4000] {
        let mut memory = ExemplarMemory::new(capacity, Eviction::OldestOut).expect("positive");
        let ids: Vec<usize> = (0..capacity).collect();
        let rows = points(capacity, 64, 2).to_dtype(DType::F32).expect("floats");
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        memory.insert(&ids, &rows, &mut rng).expect("same width");
        let batch = points(40, 64, 3).to_dtype(DType::F32).expect("floats");
        group.bench_function(format!("nearest 40 of {capacity}, 64 features"), |b| {
            b.iter(|| -> gleaner::Result<_> {
                let held = memory.rows().expect("filled");
                memory.nearest(&Distance::SquaredEuclidean.between(&batch, held)?, 40, &[])
            });
        });
    }
    group.finish();
}

criterion_group!(benches, distances, bench);
criterion_main!(benches);
