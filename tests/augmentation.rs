//! Random crops and mirror images, on pictures whose every pixel tells where it came from.

use candle_core::{DType, Device, Tensor};
use gleaner::Error;
use gleaner::data::Augmentation;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn seeded(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A generator that says what it is told, then fails.
struct Scripted(std::vec::IntoIter<u32>);

impl RngCore for Scripted {
    fn next_u32(&mut self) -> u32 {
        self.0.next().expect("no more numbers than three a picture")
    }
    fn next_u64(&mut self) -> u64 {
        panic!("only 32-bit numbers are drawn")
    }
    fn fill_bytes(&mut self, _: &mut [u8]) {
        panic!("only 32-bit numbers are drawn")
    }
}

/// The number whose offset among `windows` is `offset`.
fn offset(offset: u32, windows: u32) -> u32 {
    (u64::from(offset) << 32).div_ceil(u64::from(windows)) as u32
}

/// One picture of one channel: 1 2 3 / 4 5 6.
fn small() -> Tensor {
    Tensor::new(&[[[[1f32, 2., 3.], [4., 5., 6.]]]], &Device::Cpu).unwrap()
}

fn rows(images: &Tensor) -> Vec<Vec<f32>> {
    images.squeeze(0).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
}

#[test]
fn every_window_and_mirror_image_is_the_one_drawn() {
    const MIRROR: u32 = 1 << 31;
    // (offset down, offset right, third number, expected) with one pixel of padding.
    type Case = (u32, u32, u32, [[f32; 3]; 2]);
    let cases: [Case; 8] = [
        (1, 1, 0, [[1., 2., 3.], [4., 5., 6.]]),
        (1, 1, MIRROR, [[3., 2., 1.], [6., 5., 4.]]),
        (1, 1, MIRROR - 1, [[1., 2., 3.], [4., 5., 6.]]),
        (0, 0, 0, [[0., 0., 0.], [0., 1., 2.]]),
        (2, 2, 0, [[5., 6., 0.], [0., 0., 0.]]),
        (0, 2, 0, [[0., 0., 0.], [2., 3., 0.]]),
        (2, 0, MIRROR, [[5., 4., 0.], [0., 0., 0.]]),
        (1, 2, MIRROR, [[0., 3., 2.], [0., 6., 5.]]),
    ];
    let augmentation = Augmentation { padding: 1, flip: true };
    for (down, right, third, expected) in cases {
        let script = vec![offset(down, 3), offset(right, 3), third];
        let moved = augmentation.apply(&small(), &mut Scripted(script.into_iter())).unwrap();
        assert_eq!(rows(&moved), expected, "down {down}, right {right}, third {third}");
    }
}

#[test]
fn channels_of_a_picture_move_together_and_pictures_apart() {
    let (n, c, h, w) = (64, 3, 6, 5);
    let plane: Vec<f32> = (1..=30u8).map(f32::from).collect();
    let values: Vec<f32> = (0..n * c)
        .flat_map(|k| plane.iter().map(move |&value| value + 100.0 * (k % c) as f32))
        .collect();
    let images = Tensor::from_vec(values, (n, c, h, w), &Device::Cpu).unwrap();
    let moved = Augmentation { padding: 2, flip: true }.apply(&images, &mut seeded(1)).unwrap();
    let values = moved.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for picture in values.chunks(c * h * w) {
        let (first, rest) = picture.split_at(h * w);
        for (k, other) in rest.chunks(h * w).enumerate() {
            let shift = 100.0 * (k + 1) as f32;
            for (&a, &b) in first.iter().zip(other) {
                assert_eq!(b, if a == 0.0 { 0.0 } else { a + shift }, "channel {}", k + 1);
            }
        }
        seen.insert(first.iter().map(|&value| value as u8).collect::<Vec<_>>());
    }
    assert!(seen.len() > 20, "only {} different windows of 50 in 64 draws", seen.len());
}

#[test]
fn all_windows_and_both_sides_are_equally_likely() {
    let augmentation = Augmentation { padding: 1, flip: true };
    let n = 18_000;
    let images = small().broadcast_as((n, 1, 2, 3)).unwrap();
    let moved = augmentation.apply(&images, &mut seeded(2)).unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for picture in moved.flatten_all().unwrap().to_vec1::<f32>().unwrap().chunks(6) {
        *counts.entry(picture.iter().map(|&value| value as u8).collect::<Vec<_>>()).or_insert(0) +=
            1;
    }
    assert_eq!(counts.len(), 18, "9 windows, 2 sides");
    // 1000 each; the deviation of a count is about 31.
    assert!(counts.values().all(|&count| (850..1150).contains(&count)), "{counts:?}");
}

#[test]
fn equal_seeds_repeat_and_the_options_do_not_move_the_stream() {
    let images = Tensor::arange(0f32, 5. * 3. * 16., &Device::Cpu).unwrap();
    let images = images.reshape((5, 3, 4, 4)).unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let apply = |padding, flip, seed| {
        let mut rng = seeded(seed);
        let moved = Augmentation { padding, flip }.apply(&images, &mut rng).unwrap();
        (values(&moved), rng.next_u64())
    };
    assert_eq!(apply(2, true, 7), apply(2, true, 7));
    assert_ne!(apply(2, true, 7).0, apply(2, true, 8).0);
    let left: Vec<u64> =
        [(0, false), (0, true), (3, false), (2, true)].map(|(p, m)| apply(p, m, 7).1).into();
    assert!(left.windows(2).all(|pair| pair[0] == pair[1]), "{left:?}");
    assert_eq!(apply(0, false, 7).0, values(&images), "nothing to do");
}

#[test]
fn types_and_layouts_are_kept() {
    let augmentation = Augmentation { padding: 1, flip: true };
    let images = Tensor::arange(0f32, 96., &Device::Cpu).unwrap().reshape((2, 3, 4, 4)).unwrap();
    let expected = augmentation.apply(&images, &mut seeded(3)).unwrap();
    for dtype in [DType::F64, DType::F16, DType::BF16, DType::U8] {
        let moved = augmentation.apply(&images.to_dtype(dtype).unwrap(), &mut seeded(3)).unwrap();
        assert_eq!(moved.dtype(), dtype);
        let moved = moved.to_dtype(DType::F32).unwrap();
        let difference = (moved - &expected).unwrap().abs().unwrap().sum_all().unwrap();
        assert_eq!(difference.to_scalar::<f32>().unwrap(), 0.0, "{dtype:?}");
    }
    let strided = images.transpose(2, 3).unwrap();
    let a = augmentation.apply(&strided, &mut seeded(4)).unwrap();
    let b = augmentation.apply(&strided.contiguous().unwrap(), &mut seeded(4)).unwrap();
    let values = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(a), values(b));
}

#[test]
fn what_is_not_a_batch_of_pictures_is_refused() {
    let apply = |images: &Tensor, padding| {
        Augmentation { padding, flip: true }.apply(images, &mut Scripted(vec![].into_iter()))
    };
    let flat = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(apply(&flat, 0).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(apply(&small(), 2).unwrap_err(), Error::OutOfRange { found: 2.0, .. }));
    let whole = small().to_dtype(DType::U32).unwrap();
    assert!(matches!(apply(&whole, 1).unwrap_err(), Error::Tensor(_)));
    let empty = Tensor::zeros((0, 3, 4, 4), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(apply(&empty, 1).unwrap().dims(), [0, 3, 4, 4]);
    let thin = Tensor::zeros((2, 3, 0, 4), DType::F32, &Device::Cpu).unwrap();
    let moved = Augmentation::default().apply(&thin, &mut seeded(0)).unwrap();
    assert_eq!(moved.dims(), [2, 3, 0, 4]);
}
