//! Residual networks: published sizes, exact derivatives, running statistics, and that they learn.

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use gleaner::Error;
use gleaner::learn::optimiser::{Optimiser, OptimiserOptions};
use gleaner::learn::{
    Learner, ResNet, ResNetKind, ResNetOptions, SeededWeights, copy_variables, cross_entropy,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CPU: &Device = &Device::Cpu;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn normal(shape: &[usize], seed: u64) -> Tensor {
    let (builder, _) = SeededWeights::builder(seed, DType::F64, CPU);
    builder.get_with_hints(shape, "x", Init::Randn { mean: 0.0, stdev: 1.0 }).unwrap().detach()
}

fn small(kind: ResNetKind, seed: u64, dtype: DType) -> ResNet {
    let width = if kind == ResNetKind::PreAct8 { 3 } else { 2 };
    let options = ResNetOptions { kind, channels: 2, size: 5, classes: 3, width };
    ResNet::new(&options, seed, dtype, CPU).unwrap()
}

/// Parameters by stage, added up by hand from kernel x kernel x inputs x outputs of convolutions and
/// twice the channels of norms.
#[test]
fn parameters_are_as_many_as_published() {
    // 3x3 stem 3 -> 16; norm of 64 and head 64 -> 10 behind basic blocks; norm of 256 and head.
    let (stem, basic_end, bottleneck_end) = (432, 128 + 650, 512 + 2_570);
    // Basic blocks of 16, 32 and 64 channels, and the first of the last two stages, where the first
    // norm and convolution have half the channels and the identity is a convolution.
    let [b16, b32, b64] = [2 * (32 + 2_304), 2 * (64 + 9_216), 2 * (128 + 36_864)];
    let [first32, first64] = [32 + 4_608 + 64 + 9_216 + 512, 64 + 18_432 + 128 + 36_864 + 2_048];
    let basic =
        |n: usize| stem + n * b16 + first32 + (n - 1) * b32 + first64 + (n - 1) * b64 + basic_end;
    // Bottlenecks 64 -> 16 -> 64, 128 -> 32 -> 128, 256 -> 64 -> 256, and the first of each stage.
    let n16 = 128 + 1_024 + 32 + 2_304 + 32 + 1_024;
    let n32 = 256 + 4_096 + 64 + 9_216 + 64 + 4_096;
    let n64 = 512 + 16_384 + 128 + 36_864 + 128 + 16_384;
    let f16 = 32 + 256 + 32 + 2_304 + 32 + 1_024 + 1_024;
    let f32 = 128 + 2_048 + 64 + 9_216 + 64 + 4_096 + 8_192;
    let f64 = 256 + 8_192 + 128 + 36_864 + 128 + 16_384 + 32_768;
    let bottleneck = stem + f16 + f32 + f64 + 17 * (n16 + n32 + n64) + bottleneck_end;
    // ResNet-18: stem and norm, pairs of blocks of 64, 128, 256, 512 channels, head.
    let pair = |c: usize| 4 * 9 * c * c + 4 * 2 * c;
    let down = |c: usize| pair(c) - 9 * c * c / 2 + c * c / 2 + 2 * c;
    let eighteen = 1_728 + 128 + pair(64) + down(128) + down(256) + down(512) + 5_130;
    for (kind, expected, published) in [
        (ResNetKind::PreAct8, basic(1), 0.08),
        (ResNetKind::PreAct14, basic(2), 0.18),
        (ResNetKind::PreAct20, basic(3), 0.27),
        (ResNetKind::PreAct56, basic(9), 0.86), // 0.85 with a parameter-free identity
        (ResNetKind::PreAct110, basic(18), 1.73),
        (ResNetKind::PreAct164, bottleneck, 1.70),
        (ResNetKind::ResNet18, eighteen, 11.17),
    ] {
        let network = ResNet::new(&ResNetOptions::new(kind), 0, DType::F32, CPU).unwrap();
        let count: usize = network.variables().iter().map(|(_, var)| var.elem_count()).sum();
        assert_eq!(count, expected, "{kind}");
        assert!((count as f64 / 1e6 - published).abs() < 0.006, "{kind}: {count}");
        // A mean and a variance for each norm's weight and bias.
        let norms: usize = (network.variables().iter())
            .filter(|(name, _)| name.contains("norm"))
            .map(|(_, var)| var.elem_count())
            .sum();
        let buffers: usize = network.buffers().iter().map(|(_, var)| var.elem_count()).sum();
        assert_eq!(buffers, norms, "{kind}");
    }
}

#[test]
fn names_are_read_and_others_refused() {
    for kind in ResNetKind::ALL {
        assert_eq!(kind.to_string().parse::<ResNetKind>().unwrap(), kind);
    }
    for name in ["", "preact9", "PreAct8", "resnet-18"] {
        let error = name.parse::<ResNetKind>().unwrap_err();
        assert!(matches!(error, Error::Unknown { what: "residual network", .. }));
        let text = error.to_string();
        assert!(text.contains("preact8, preact14") && text.contains("resnet18"), "{text}");
        assert!(text.contains(&format!("{name:?}")), "{text}");
    }
}

/// Central differences through `training_logits` of some numbers of every variable.
///
/// Step 1e-6 in f64: rounding is about 1e-16 / 1e-6 = 1e-10 of the loss, times what normalisation
/// makes of small deviations, and truncation less. Errors are those of the loss, so they are measured
/// against the largest derivative of all: normalisation leaves next to none to what is in front of
/// it. A ReLU that changes sign within a step would show as an error; with these seeds none does.
fn check_derivatives(kind: ResNetKind, inputs: &Tensor, labels: &Tensor) {
    let network = small(kind, 3, DType::F64);
    let uneven = Tensor::new(&[0.5, 1.5, 2.5], CPU).unwrap();
    let objective = || {
        let losses = cross_entropy(&network.training_logits(inputs).unwrap(), labels).unwrap();
        (losses * &uneven).unwrap().sum_all().unwrap()
    };
    let gradients = objective().backward().unwrap();
    let all: Vec<_> =
        network.variables().iter().map(|(_, v)| numbers(gradients.get(v).unwrap())).collect();
    let scale = all.iter().flatten().fold(0.0, |largest: f64, g| largest.max(g.abs()));
    for ((name, variable), got) in network.variables().iter().zip(&all) {
        let start = numbers(variable);
        let at = |k: usize, step: f64| {
            let mut moved = start.clone();
            moved[k] += step;
            variable.set(&Tensor::from_vec(moved, variable.shape(), CPU).unwrap()).unwrap();
            objective().to_scalar::<f64>().unwrap()
        };
        for (k, got) in got.iter().enumerate().step_by(got.len().div_ceil(20)) {
            let expected = (at(k, 1e-6) - at(k, -1e-6)) / 2e-6;
            let error = (got - expected).abs() / scale;
            assert!(error < 1e-6, "{kind}, {name}[{k}]: {got} against {expected}");
        }
        at(0, 0.0);
    }
}

#[test]
fn derivatives_match_finite_differences() {
    let labels = Tensor::new(&[0u32, 2, 1], CPU).unwrap();
    for kind in [ResNetKind::PreAct8, ResNetKind::PreAct14, ResNetKind::ResNet18] {
        check_derivatives(kind, &normal(&[3, 2, 5, 5], 2), &labels);
    }
}

#[test]
fn evaluation_leaves_the_buffers_alone_and_training_moves_them() {
    for kind in [ResNetKind::PreAct8, ResNetKind::PreAct164, ResNetKind::ResNet18] {
        let network = small(kind, 1, DType::F64);
        let images = normal(&[40, 2, 5, 5], 4);
        let state = || network.buffers().iter().map(|(_, b)| numbers(b)).collect::<Vec<_>>();
        let start = state();
        let before = numbers(&network.logits(&images).unwrap());
        assert_eq!(start, state(), "{kind}");
        let trained = numbers(&network.training_logits(&images).unwrap());
        for ((name, _), (old, new)) in network.buffers().iter().zip(start.iter().zip(state())) {
            assert!(*old != new, "{kind}: {name}");
        }
        assert!(before != numbers(&network.logits(&images).unwrap()), "{kind}");
        if kind == ResNetKind::PreAct164 {
            continue; // what follows takes its time, and is no different
        }
        // Of alike batches, the running statistics become those of the batch (0.9^100 is 3e-5), but
        // for variances divided by N - 1 instead of N: 40/39 where one pixel is left of an image, so
        // each norm is off by a hundredth at most, and the logits by a few of them.
        for _ in 0..100 {
            network.training_logits(&images).unwrap();
        }
        let after = numbers(&network.logits(&images).unwrap());
        let apart = |a: &[f64]| a.iter().zip(&trained).map(|(a, b)| (a - b).abs()).sum::<f64>();
        let size: f64 = trained.iter().map(|x| x.abs()).sum();
        let (start, end) = (apart(&before) / size, apart(&after) / size);
        assert!(start > 0.2 && end < 0.05, "{kind}: from {start} to {end}");
    }
}

#[test]
fn a_point_is_evaluated_the_same_in_any_batch() {
    let network = small(ResNetKind::PreAct164, 1, DType::F64);
    let images = normal(&[5, 2, 5, 5], 4);
    network.training_logits(&images).unwrap();
    let whole = network.logits(&images).unwrap();
    for i in 0..5 {
        let alone = numbers(&network.logits(&images.narrow(0, i, 1).unwrap()).unwrap());
        for (a, b) in alone.iter().zip(numbers(&whole.narrow(0, i, 1).unwrap())) {
            assert!((a - b).abs() < 1e-10 * b.abs().max(1.0), "{i}: {a} against {b}");
        }
    }
}

/// Bright stripes run down or across an image that is mostly noise.
fn stripes(count: usize, rng: &mut ChaCha8Rng) -> (Tensor, Vec<u32>) {
    let labels: Vec<u32> = (0..count).map(|_| rng.random_range(0..2)).collect();
    let mut pixels = Vec::with_capacity(count * 64);
    for &label in &labels {
        let phase = rng.random_range(0..2);
        for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
            let line = if label == 0 { y } else { x };
            let bright = if (line + phase) % 2 == 0 { 0.5 } else { -0.5 };
            pixels.push(bright + 2.0 * (rng.random::<f32>() - 0.5));
        }
    }
    (Tensor::from_vec(pixels, (count, 1, 8, 8), CPU).unwrap(), labels)
}

#[test]
fn networks_learn_where_stripes_run_and_repeat_themselves() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let ((train, labels), (test, test_labels)) = (stripes(320, &mut rng), stripes(200, &mut rng));
    for kind in [ResNetKind::PreAct14, ResNetKind::ResNet18] {
        let run = || {
            let options = ResNetOptions { kind, channels: 1, size: 8, classes: 2, width: 4 };
            let network = ResNet::new(&options, 5, DType::F32, CPU).unwrap();
            let sgd = OptimiserOptions::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
            let mut optimiser = Optimiser::new(network.variables().to_vec(), sgd, 0.05).unwrap();
            for step in 0..60 {
                let from = step % 10 * 32;
                let batch = train.narrow(0, from, 32).unwrap();
                let labels = Tensor::new(&labels[from..from + 32], CPU).unwrap();
                let losses = cross_entropy(&network.training_logits(&batch).unwrap(), &labels);
                let loss = losses.unwrap().mean_all().unwrap();
                let gradients = loss.backward().unwrap();
                let gradients: Vec<Option<Tensor>> = (network.variables().iter())
                    .map(|(_, variable)| gradients.get(variable).cloned())
                    .collect();
                optimiser.step(&gradients).unwrap();
            }
            let found = network.predict(&test).unwrap();
            let right = found.iter().zip(&test_labels).filter(|(a, b)| a == b).count();
            (right, numbers(&network.logits(&test).unwrap()))
        };
        let (right, logits) = run();
        assert!(right >= 190, "{kind}: {right} of 200");
        assert!(logits == run().1, "{kind}: repeats itself");
    }
}

#[test]
fn buffers_are_copied_like_variables() {
    let [source, target] = [1, 2].map(|seed| small(ResNetKind::PreAct8, seed, DType::F32));
    let images = normal(&[4, 2, 5, 5], 4).to_dtype(DType::F32).unwrap();
    source.training_logits(&images).unwrap();
    copy_variables(source.variables(), target.variables()).unwrap();
    let [a, b] = [&source, &target].map(|network| numbers(&network.logits(&images).unwrap()));
    assert!(a != b);
    copy_variables(source.buffers(), target.buffers()).unwrap();
    assert_eq!(a, numbers(&target.logits(&images).unwrap()));
}

#[test]
fn refused_options_and_images() {
    let base = ResNetOptions::default();
    for options in [
        ResNetOptions { channels: 0, ..base },
        ResNetOptions { classes: 0, ..base },
        ResNetOptions { size: 0, ..base },
        ResNetOptions { width: 0, ..base },
    ] {
        let error = ResNet::new(&options, 0, DType::F32, CPU).err();
        assert!(matches!(error, Some(Error::OutOfRange { .. })), "{options:?}");
    }
    let network = small(ResNetKind::PreAct8, 0, DType::F32);
    let wrong = Tensor::zeros((1, 5, 5, 2), DType::F32, CPU).unwrap();
    let error = network.features(&wrong).unwrap_err().to_string();
    assert!(error.contains("n x 2 x 5 x 5"), "{error}");
    // One image whose last stage has more than one pixel left trains; a single pixel does not.
    let one = Tensor::zeros((1, 2, 5, 5), DType::F32, CPU).unwrap();
    assert_eq!(network.training_logits(&one).unwrap().dims(), [1, 3]);
    let options = ResNetOptions { size: 1, ..ResNetOptions::new(ResNetKind::PreAct8) };
    let pixel = ResNet::new(&options, 0, DType::F32, CPU).unwrap();
    let one = Tensor::zeros((1, 3, 1, 1), DType::F32, CPU).unwrap();
    assert_eq!(pixel.logits(&one).unwrap().dims(), [1, 10]);
    let error = pixel.training_logits(&one).unwrap_err().to_string();
    assert!(error.contains("at least 2 pixels or rows"), "{error}");
}
