//! What an accelerator makes of it: gradients and twenty joint steps beside the CPU's, and milliseconds a step.
//! `benches/gpu.sh` builds and runs it and PyTorch's side; without an accelerator there is nothing to do.

use std::time::Instant;

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::data::{Batch, Dataset, Source};
use gleaner::joint::{Trainer, TrainerOptions};
use gleaner::layer::bridge::{to_scalar, to_vec};
use gleaner::learn::optimiser::{Optimiser, OptimiserOptions};
use gleaner::learn::{
    Cnn, CnnOptions, Learner, Mlp, MlpOptions, ResNet, ResNetKind, ResNetOptions,
};
use gleaner::{Distance, LayerInputs, LayerOptions, SelectionLayer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const BATCH: usize = 128;
const CLASSES: usize = 10;
const SIZE: usize = 32;
const NETWORKS: [&str; 3] = ["cnn", "preact8", "preact20"];

fn main() -> Result<()> {
    let Ok(device) = Device::new_cuda(0) else {
        println!("gpu: no CUDA device here; benches/gpu.sh says how to build for one");
        return Ok(());
    };
    parity(&device)?;
    training_steps(&device)?;
    joint_steps(&device)
}

fn network(name: &str, dtype: DType, device: &Device) -> Result<Box<dyn Learner>> {
    let (channels, size, classes) = (3, SIZE, CLASSES);
    let preact = |kind| -> Result<Box<dyn Learner>> {
        let options = ResNetOptions { kind, channels, size, classes, width: 16 };
        Ok(Box::new(ResNet::new(&options, 0, dtype, device)?))
    };
    match name {
        "preact8" => preact(ResNetKind::PreAct8),
        "preact20" => preact(ResNetKind::PreAct20),
        _ => {
            let options = CnnOptions { channels, size, classes, widths: [32, 64, 64] };
            Ok(Box::new(Cnn::new(&options, 0, dtype, device)?))
        }
    }
}

/// A batch of noise, the same on every device.
fn noise(dtype: DType, device: &Device) -> Result<Batch> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let count = BATCH * 3 * SIZE * SIZE;
    let values: Vec<f32> =
        (0..count).map(|_| rand::Rng::random_range(&mut rng, -1.0..1.0)).collect();
    let inputs = Tensor::from_vec(values, (BATCH, 3, SIZE, SIZE), &Device::Cpu)?.to_dtype(dtype)?;
    let labels: Vec<u32> = (0..BATCH as u32).map(|k| k % CLASSES as u32).collect();
    let data = Dataset::new(inputs, labels, CLASSES)?;
    let everyone: Vec<usize> = (0..BATCH).collect();
    Ok(data.batch_at(&everyone)?.to_device(device)?)
}

fn loss(learner: &dyn Learner, batch: &Batch) -> Result<Tensor> {
    Ok(learner.losses(&batch.inputs, &batch.labels)?.mean_all()?)
}

/// The largest difference of two gradients, relative to the largest entry.
fn apart(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let all = || a.iter().flatten().zip(b.iter().flatten());
    let size = all().map(|(a, _)| a.abs()).fold(f64::MIN_POSITIVE, f64::max);
    all().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

/// CPU against device: gradients of the networks and of the layer, and twenty joint steps.
fn parity(device: &Device) -> Result<()> {
    println!("what,type,difference,bound");
    let check = |what: &str, dtype: DType, found: f64, bound: f64| -> Result<()> {
        println!("{what},{dtype:?},{found:.1e},{bound:.0e}");
        ensure!(found <= bound, "{what} {dtype:?}: {found:e} > {bound:e}");
        Ok(())
    };
    for name in NETWORKS {
        // Sums over 128 images of 1,024 places, normalised again by each of up to twenty layers, in another order.
        for (dtype, bound) in
            [(DType::F32, if name == "cnn" { 1e-5 } else { 1e-2 }), (DType::F64, 1e-10)]
        {
            let gradient = |device: &Device| -> Result<Vec<Vec<f64>>> {
                let learner = network(name, dtype, device)?;
                let found = loss(&*learner, &noise(dtype, device)?)?.backward()?;
                let all = learner.variables().iter();
                all.map(|(_, var)| Ok(found.get(var).map_or(Ok(Vec::new()), to_vec)?)).collect()
            };
            check(
                &format!("gradient of {name}"),
                dtype,
                apart(&gradient(&Device::Cpu)?, &gradient(device)?),
                bound,
            )?;
        }
    }
    for (dtype, bound) in [(DType::F32, 1e-4), (DType::F64, 1e-10)] {
        let gradient = |device: &Device| -> Result<Vec<Vec<f64>>> {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let values: Vec<f64> =
                (0..60 * 8).map(|_| rand::Rng::random::<f64>(&mut rng)).collect();
            let points = Tensor::from_vec(values, (60, 8), &Device::Cpu)?.to_dtype(dtype)?;
            let points = candle_core::Var::from_tensor(&points.to_device(device)?)?;
            let costs = Distance::SquaredEuclidean.between(&points, &points)?;
            let layer = SelectionLayer::new(LayerOptions::default());
            let answer = layer.forward(&costs, LayerInputs::default())?;
            let found =
                (answer.weights.sqr()?.sum_all()? + (answer.assignment * costs)?.sum_all()?)?;
            Ok(vec![to_vec(found.backward()?.get(&points).unwrap_or(&points))?])
        };
        check(
            "gradient of the layer",
            dtype,
            apart(&gradient(&Device::Cpu)?, &gradient(device)?),
            bound,
        )?;
        let run = |device: &Device| -> Result<Vec<Vec<f64>>> {
            let (mut trainer, data) = small(dtype, device)?;
            trainer.fit_steps(&data, 40, 20, 0, |_| {})?;
            trainer.learner().variables().iter().map(|(_, var)| Ok(to_vec(var)?)).collect()
        };
        // Small differences grow from step to step.
        let bound = if dtype == DType::F64 { bound } else { 1e-3 };
        check(
            "weights after 20 joint steps",
            dtype,
            apart(&run(&Device::Cpu)?, &run(device)?),
            bound,
        )?;
    }
    Ok(())
}

/// The synthetic example's small network, its selection model and its data; no warm-up.
fn small(dtype: DType, device: &Device) -> Result<(Trainer<Mlp>, Dataset)> {
    let shape = ClusterOptions::default();
    let made = clusters(&shape, &mut ChaCha8Rng::seed_from_u64(0))?;
    let to = |data: &Dataset| -> Result<Dataset> {
        let inputs = data.inputs().to_dtype(dtype)?;
        Ok(Dataset::new(inputs, data.labels().to_vec(), data.classes())?.to_device(device)?)
    };
    let (train, validation) = (to(&made.train)?, to(&made.validation)?);
    let options =
        MlpOptions { inputs: shape.dimensions, hidden: vec![64, 64], classes: shape.classes };
    let learner = Mlp::new(&options, 0, dtype, device)?;
    let options = TrainerOptions { warm_up: 0, ..Default::default() };
    Ok((Trainer::new(learner, &validation, options, 0)?, train))
}

fn median(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 9 / 10] - times[times.len() / 10])
}

/// Milliseconds of forward, backward and update of a batch of 128, as PyTorch's eager mode would do them.
fn training_steps(device: &Device) -> Result<()> {
    println!("training step,ms,spread");
    for name in NETWORKS {
        let learner = network(name, DType::F32, device)?;
        let batch = noise(DType::F32, device)?;
        let options = OptimiserOptions::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        let mut optimiser = Optimiser::new(learner.variables().to_vec(), options, 0.01)?;
        let mut times = Vec::new();
        for step in 0..60 {
            let start = Instant::now();
            let loss = loss(&*learner, &batch)?;
            let found = loss.backward()?;
            let gradient: Vec<Option<Tensor>> = learner
                .variables()
                .iter()
                .map(|(_, var)| found.get(var).map(Tensor::detach))
                .collect();
            optimiser.step(&gradient)?;
            to_scalar(&loss)?;
            device.synchronize()?;
            if step >= 10 {
                times.push(1e3 * start.elapsed().as_secs_f64());
            }
        }
        let (middle, spread) = median(times);
        println!("{name},{middle:.2},{spread:.2}");
    }
    Ok(())
}

/// Milliseconds of a joint step of the small network, by stage.
fn joint_steps(device: &Device) -> Result<()> {
    println!("joint step on,ms,spread,evidence,selection,hypergradient,update");
    for (name, device) in [("cpu", &Device::Cpu), ("cuda", device)] {
        let (mut trainer, data) = small(DType::F32, device)?;
        let (mut times, mut stages) = (Vec::new(), [0.0; 4]);
        let mut last = Instant::now();
        trainer.fit_steps(&data, 40, 220, 0, |report| {
            let now = Instant::now();
            if report.step >= 20 {
                times.push(1e3 * (now - last).as_secs_f64());
                let s = report.seconds;
                let each = [s.evidence, s.selection, s.hypergradient, s.update];
                stages.iter_mut().zip(each).for_each(|(sum, s)| *sum += 1e3 * s / 200.0);
            }
            last = now;
        })?;
        let (middle, spread) = median(times);
        let stages = stages.map(|s| format!("{s:.2}")).join(",");
        println!("{name},{middle:.2},{spread:.2},{stages}");
    }
    Ok(())
}
