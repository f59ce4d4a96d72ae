//! Features of patches: the formula by hand, equal bits, and what is refused.

use candle_core::{DType, Device, Tensor};
use gleaner::data::{PatchOptions, Patches};
use gleaner::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn noise(points: usize, channels: usize, side: usize) -> Result<Tensor> {
    let mut rng = rng(9);
    let pixels: Vec<f32> =
        (0..points * channels * side * side).map(|_| rng.random_range(0.0..1.0)).collect();
    Ok(Tensor::from_vec(pixels, (points, channels, side, side), &Device::Cpu)?)
}

const SMALL: PatchOptions = PatchOptions {
    size: 2,
    stride: 1,
    centroids: 3,
    sampled: 60,
    rounds: 4,
    contrast: 1e-3,
    whitening: 0.1,
};

fn rows(features: Tensor) -> Result<Vec<Vec<f32>>> {
    Ok(features.to_vec2()?)
}

/// A quarter's sums are those of the quarter alone: what is nowhere else changes nothing there.
#[test]
fn every_quarter_sees_its_own_patches() -> Result<()> {
    let pictures = noise(6, 1, 8)?;
    // Patches do not overlap: four rows and columns of them, two to a quarter.
    let options = PatchOptions { stride: 2, ..SMALL };
    let patches = Patches::fit(&pictures, &options, &mut rng(0))?;
    assert_eq!(patches.width(), 12);
    let before = rows(patches.features(&pictures)?)?;
    for quarter in 0..4 {
        let (top, left) = (quarter / 2 * 4, quarter % 2 * 4);
        let inside =
            |at: usize| (top..top + 4).contains(&(at / 8)) && (left..left + 4).contains(&(at % 8));
        let mask: Vec<f32> = (0..64).map(|at| f32::from(u8::from(inside(at)))).collect();
        let mask = Tensor::from_vec(mask, (1, 1, 8, 8), &Device::Cpu)?;
        let after = rows(patches.features(&pictures.broadcast_mul(&mask)?)?)?;
        for (before, after) in before.iter().zip(&after) {
            for k in 0..4 {
                let same = before[3 * k..3 * k + 3] == after[3 * k..3 * k + 3];
                assert_eq!(same, k == quarter, "quarter {k} where {quarter} is left");
            }
        }
    }
    Ok(())
}

/// Sums over what a plain picture has in each quarter: the same vector times the number of patches there, the larger half
/// first; and a change of light and contrast hardly counts where `contrast` is small.
#[test]
fn plain_pictures_and_light() -> Result<()> {
    let pictures = noise(6, 2, 6)?;
    let patches = Patches::fit(&pictures, &SMALL, &mut rng(1))?;
    let plain = Tensor::full(0.7f32, (1, 2, 6, 6), &Device::Cpu)?;
    let features = rows(patches.features(&plain)?)?.remove(0);
    // Five rows and columns of patches: 3 x 3, 3 x 2, 2 x 3, 2 x 2.
    for (k, number) in [9.0, 6.0, 6.0, 4.0].into_iter().enumerate() {
        for j in 0..3 {
            let (found, expected) = (features[3 * k + j] / number, features[j] / 9.0);
            assert!((found - expected).abs() < 1e-5, "{features:?}");
        }
    }
    let faint = PatchOptions { contrast: 1e-9, ..SMALL };
    let patches = Patches::fit(&pictures, &faint, &mut rng(1))?;
    let light = patches.features(&((&pictures * 0.5)? + 0.25)?)?;
    let change = (light - patches.features(&pictures)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(change < 1e-3, "{change}");
    Ok(())
}

#[test]
fn equal_seeds_give_equal_bits_for_any_number_of_threads() -> Result<()> {
    let pictures = noise(300, 3, 8)?;
    let options = PatchOptions { size: 3, centroids: 20, sampled: 2_000, ..SMALL };
    let with = |threads: usize, seed: u64| -> Result<Vec<Vec<f32>>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            rows(Patches::fit(&pictures, &options, &mut rng(seed))?.features(&pictures)?)
        })
    };
    let one = with(1, 5)?;
    assert_eq!(one, with(3, 5)?);
    assert_ne!(one, with(1, 6)?);
    // A picture's features do not depend on who stands beside it.
    let patches = Patches::fit(&pictures, &options, &mut rng(5))?;
    assert_eq!(rows(patches.features(&pictures.narrow(0, 270, 1)?)?)?[0], one[270]);
    assert!(one.iter().flatten().all(|x| x.is_finite() && *x >= 0.0));
    Ok(())
}

#[test]
fn nonsense_is_refused_at_the_door() -> Result<()> {
    let pictures = noise(4, 1, 5)?;
    let fit = |options: &PatchOptions| Patches::fit(&pictures, options, &mut rng(0));
    for broken in [
        PatchOptions { size: 0, ..SMALL },
        PatchOptions { stride: 0, ..SMALL },
        PatchOptions { centroids: 0, ..SMALL },
        PatchOptions { sampled: 2, ..SMALL },
        PatchOptions { contrast: 0.0, ..SMALL },
        PatchOptions { contrast: f64::NAN, ..SMALL },
        PatchOptions { whitening: -1.0, ..SMALL },
        PatchOptions { whitening: f64::INFINITY, ..SMALL },
    ] {
        assert!(matches!(fit(&broken), Err(Error::OutOfRange { .. })), "{broken:?}");
    }
    // One patch from top to bottom is no two halves.
    for large in [
        PatchOptions { size: 5, ..SMALL },
        PatchOptions { stride: 4, ..SMALL },
        PatchOptions { size: usize::MAX, ..SMALL },
    ] {
        assert!(matches!(fit(&large), Err(Error::Shape { .. })), "{large:?}");
    }
    for shape in [vec![4, 25], vec![0, 1, 5, 5], vec![4, 0, 5, 5]] {
        let none = Tensor::zeros(shape.as_slice(), DType::F32, &Device::Cpu)?;
        let refused = Patches::fit(&none, &SMALL, &mut rng(0));
        assert!(matches!(refused, Err(Error::Shape { .. })), "{shape:?}");
    }
    let patches = fit(&SMALL)?;
    assert!(matches!(patches.features(&noise(4, 1, 6)?), Err(Error::Shape { .. })));
    assert!(matches!(patches.features(&noise(4, 3, 5)?), Err(Error::Shape { .. })));
    let mut pixels = vec![0.5f32; 50];
    pixels[28] = f32::NAN;
    let spoiled = Tensor::from_vec(pixels, (2, 1, 5, 5), &Device::Cpu)?;
    let expected = |found: Error| matches!(found, Error::NotFinite { row: 1, column: 3, .. });
    assert!(patches.features(&spoiled).is_err_and(expected));
    assert!(Patches::fit(&spoiled, &SMALL, &mut rng(0)).is_err_and(expected));
    Ok(())
}
