//! What many steps leave behind: nothing. Alone in its process, since memory is counted for all of it.

use candle_core::{DType, Device, Tensor, Var};
use gleaner::{Distance, LayerInputs, LayerOptions, Result, SelectionLayer};
use rand::{Rng, SeedableRng};

/// Resident memory in KiB, where the system tells.
fn resident() -> Option<i64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<i64>().ok()? * 4)
}

/// A leak of one step's costs alone would be 70 MiB; 5 are what an allocator may keep for itself.
#[test]
fn steps_leave_nothing_behind() -> Result<()> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(8);
    let values: Vec<f64> = (0..40 * 8).map(|_| rng.random()).collect();
    let points = Var::from_tensor(&Tensor::from_vec(values, (40, 8), &Device::Cpu)?)?;
    assert_eq!(points.dtype(), DType::F64);
    let layer = SelectionLayer::new(LayerOptions::default());
    let mut start = None;
    for step in 0..6_000 {
        let costs = Distance::SquaredEuclidean.between(&points, &points)?;
        let answer = layer.forward(&costs, LayerInputs::default())?;
        let found = (&answer.assignment * &costs)?.sum_all()?.backward()?;
        assert!(found.get(&points).is_some());
        if step == 200 {
            start = resident();
        }
    }
    if let (Some(start), Some(end)) = (start, resident()) {
        assert!(end - start < 5 << 10, "{} KiB more", end - start);
    }
    Ok(())
}
