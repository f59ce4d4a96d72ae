//! Pooling of channel-last sequences, n x time x channels, over time.
//!
//! candle 0.11.1 scales the gradient of its `max_pool2d` by the number of ties over the size of the
//! window, and gives every tie of a `max` the whole gradient. Here it goes to the earliest of them.

use std::ops::Range;

use crate::layer::bridge::{cpu, is_plain, slice};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::learn::nn::convolution::Number;

/// Largest of every three neighbours, at every second position: n x t x c to n x ceil(t / 2) x c.
///
/// ```text
/// y_i = max(x_{2i-1}, x_2i, x_{2i+1}),    i = 0, 1, …    (positions outside do not count)
/// ```
pub(crate) fn halve(sequences: &Tensor) -> candle_core::Result<Tensor> {
    match is_plain(sequences) {
        true => sequences.contiguous()?.apply_op1(Halve),
        false => halve_by_candle(sequences),
    }
}

/// The `k` largest of each channel in the order of time: n x t x c to n x k x c; t at least k.
///
/// N. Kalchbrenner, E. Grefenstette & P. Blunsom: *A Convolutional Neural Network for Modelling
/// Sentences*, ACL 2014.
pub(crate) fn k_max(sequences: &Tensor, k: usize) -> candle_core::Result<Tensor> {
    let values = sequences.detach().contiguous()?;
    let positions = match sequences.dtype() {
        DType::F32 if is_plain(sequences) => k_max_positions::<f32>(&values, k)?,
        DType::F64 if is_plain(sequences) => k_max_positions::<f64>(&values, k)?,
        _ => k_max_positions_by_candle(&values, k)?,
    };
    sequences.contiguous()?.gather(&positions, 1)
}

/// For devices and types our operation does not know. A neighbour outside is replaced by the
/// position itself, which is among the three anyway.
fn halve_by_candle(sequences: &Tensor) -> candle_core::Result<Tensor> {
    let time = sequences.dims3()?.1 as u32;
    let at = |shift: i64| {
        let positions: Vec<u32> = (0..time)
            .step_by(2)
            .map(|i| (i64::from(i) + shift).clamp(0, i64::from(time) - 1) as u32)
            .collect();
        let count = positions.len();
        let positions = Tensor::from_vec(positions, count, sequences.device())?;
        sequences.contiguous()?.index_select(&positions, 1)
    };
    let mut largest = at(-1)?;
    for next in [at(0)?, at(1)?] {
        largest = next.gt(&largest)?.where_cond(&next, &largest)?;
    }
    Ok(largest)
}

fn k_max_positions_by_candle(values: &Tensor, k: usize) -> candle_core::Result<Tensor> {
    let by_channel = values.transpose(1, 2)?.contiguous()?;
    let best = by_channel.arg_sort_last_dim(false)?.narrow(2, 0, k)?.contiguous()?;
    let (in_time, _) = best.sort_last_dim(true)?;
    in_time.transpose(1, 2)?.contiguous()
}

fn k_max_positions<T: Number>(values: &Tensor, k: usize) -> candle_core::Result<Tensor> {
    let (n, time, channels) = values.dims3()?;
    let (storage, layout) = values.storage_and_layout();
    let values = slice::<T>(cpu(&storage)?, layout)?;
    let mut positions = vec![0u32; n * k * channels];
    let sequences = positions
        .par_chunks_mut((k * channels).max(1))
        .zip(values.par_chunks((time * channels).max(1)));
    sequences.for_each(|(positions, sequence)| {
        let mut column: Vec<(f64, u32)> = Vec::with_capacity(time);
        for channel in 0..channels {
            column.clear();
            let values = sequence[channel..].iter().step_by(channels);
            column.extend(values.map(|x| x.to_f64()).zip(0..));
            // A total order (NaN above everything, equals by time), so the choice is one whatever
            // the algorithm.
            if k < time {
                column
                    .select_nth_unstable_by(k - 1, |(a, i), (b, j)| b.total_cmp(a).then(i.cmp(j)));
            }
            column[..k].sort_unstable_by_key(|&(_, position)| position);
            for (row, (_, position)) in positions.chunks_exact_mut(channels).zip(&column) {
                row[channel] = *position;
            }
        }
    });
    Tensor::from_vec(positions, (n, k, channels), &Device::Cpu)
}

/// [`halve`] of contiguous sequences on the CPU.
struct Halve;

impl CustomOp1 for Halve {
    fn name(&self) -> &'static str {
        "largest of three neighbours"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, time, channels) = layout.shape().dims3()?;
        let halved = match storage.dtype() {
            DType::F32 => {
                f32::to_cpu_storage_owned(largest::<f32>(slice(storage, layout)?, time, channels))
            }
            DType::F64 => {
                f64::to_cpu_storage_owned(largest::<f64>(slice(storage, layout)?, time, channels))
            }
            other => candle_core::bail!("no pooling of {other:?}"),
        };
        Ok((halved, Shape::from((n, time.div_ceil(2), channels))))
    }

    fn bwd(
        &self,
        sequences: &Tensor,
        _halved: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let gradient = match sequences.dtype() {
            DType::F32 => gradient::<f32>(sequences, upstream)?,
            DType::F64 => gradient::<f64>(sequences, upstream)?,
            other => candle_core::bail!("no pooling of {other:?}"),
        };
        Ok(Some(gradient))
    }
}

/// Positions of the neighbours of output `i`, in time, among `time`.
fn neighbours(i: usize, time: usize) -> Range<usize> {
    (2 * i).saturating_sub(1)..(2 * i + 2).min(time)
}

/// Whether `x` takes the place of `best` before it: not if they are equal. NaN does, and stays,
/// rather than become an innocent number.
fn beats<T: Number>(x: T, best: T) -> bool {
    x > best || x.partial_cmp(&x).is_none()
}

fn largest<T: Number>(sequences: &[T], time: usize, channels: usize) -> Vec<T> {
    let halved_len = time.div_ceil(2) * channels;
    let n = sequences.len() / (time * channels).max(1);
    let mut halved = vec![T::zero(); n * halved_len];
    let pairs = halved
        .par_chunks_mut(halved_len.max(1))
        .zip(sequences.par_chunks((time * channels).max(1)));
    pairs.for_each(|(halved, sequence)| {
        for (i, best) in halved.chunks_exact_mut(channels).enumerate() {
            let Range { start, end } = neighbours(i, time);
            best.copy_from_slice(&sequence[start * channels..][..channels]);
            for row in sequence[(start + 1) * channels..end * channels].chunks_exact(channels) {
                best.iter_mut()
                    .zip(row)
                    .for_each(|(best, &x)| *best = if beats(x, *best) { x } else { *best });
            }
        }
    });
    halved
}

/// Derivative of the sequences: what flows into an output flows on to the earliest of the largest.
fn gradient<T: Number>(sequences: &Tensor, upstream: &Tensor) -> candle_core::Result<Tensor> {
    let (_, time, channels) = sequences.dims3()?;
    let upstream = upstream.contiguous()?;
    let mut sums = vec![T::zero(); sequences.elem_count()];
    {
        let (sequences, upstream) = (sequences.storage_and_layout(), upstream.storage_and_layout());
        let values = slice::<T>(cpu(&sequences.0)?, sequences.1)?;
        let upstream = slice::<T>(cpu(&upstream.0)?, upstream.1)?;
        let len = (time * channels).max(1);
        let given =
            values.par_chunks(len).zip(upstream.par_chunks((time.div_ceil(2) * channels).max(1)));
        sums.par_chunks_mut(len).zip(given).for_each(|(sums, (values, upstream))| {
            for (i, upstream) in upstream.chunks_exact(channels).enumerate() {
                let Range { start, end } = neighbours(i, time);
                for (channel, &g) in upstream.iter().enumerate() {
                    let mut best = start * channels + channel;
                    for next in (start + 1..end).map(|t| t * channels + channel) {
                        best = if beats(values[next], values[best]) { next } else { best };
                    }
                    sums[best] += g;
                }
            }
        });
    }
    Tensor::from_vec(sums, sequences.shape(), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;
    use candle_nn::Init;

    use super::*;
    use crate::learn::SeededWeights;

    type Pool = fn(&Tensor) -> candle_core::Result<Tensor>;

    /// Each way of pooling, and the same by candle's operations, which is what other devices run.
    const POOLS: [(&str, Pool, Pool); 2] = [
        ("halve", halve, halve_by_candle),
        (
            "k_max",
            |x| k_max(x, 3),
            |x| x.contiguous()?.gather(&k_max_positions_by_candle(&x.contiguous()?, 3)?, 1),
        ),
    ];

    fn normal(shape: &[usize], name: &str, dtype: DType) -> Tensor {
        let (builder, _) = SeededWeights::builder(5, dtype, &Device::Cpu);
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        builder.get_with_hints(shape, name, init).unwrap().detach()
    }

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    /// Outputs, and the gradient of the inputs for an upstream gradient of normal numbers.
    fn answers(pool: Pool, inputs: &Var) -> [Vec<f64>; 2] {
        let outputs = pool(inputs).unwrap();
        let upstream = normal(outputs.dims(), "upstream", outputs.dtype());
        let sum = (&outputs * upstream).unwrap().sum_all().unwrap();
        [numbers(&outputs), numbers(sum.backward().unwrap().get(inputs).unwrap())]
    }

    fn tensor(numbers: &[f64]) -> Tensor {
        Tensor::from_slice(numbers, (1, numbers.len(), 1), &Device::Cpu).unwrap()
    }

    #[test]
    fn values_by_hand() {
        for (inputs, halved, best) in [
            (vec![1.0, 5.0, 2.0, 3.0, 4.0], vec![5.0, 5.0, 4.0], vec![5.0, 3.0, 4.0]),
            (vec![-3.0, -1.0, -2.0], vec![-1.0, -1.0], vec![-3.0, -1.0, -2.0]),
            (vec![7.0, 7.0, 7.0, 9.0], vec![7.0, 9.0], vec![7.0, 7.0, 9.0]),
        ] {
            let inputs = tensor(&inputs);
            for pool in [halve, halve_by_candle] {
                assert_eq!(numbers(&pool(&inputs).unwrap()), halved);
            }
            assert_eq!(numbers(&k_max(&inputs, 3).unwrap()), best);
        }
        assert_eq!(numbers(&halve(&tensor(&[2.0])).unwrap()), [2.0]);
    }

    #[test]
    fn our_operations_agree_with_candle() {
        for (name, ours, theirs) in POOLS {
            for shape in [[1, 3, 1], [2, 4, 3], [3, 9, 5], [2, 128, 16]] {
                let inputs = Var::from_tensor(&normal(&shape, "inputs", DType::F64)).unwrap();
                assert_eq!(answers(ours, &inputs), answers(theirs, &inputs), "{name} {shape:?}");
            }
        }
    }

    /// Away from ties the sum is linear in the inputs: central differences have rounding only. The
    /// inputs are transposed in memory, as any caller's may be.
    #[test]
    fn gradients_match_finite_differences() {
        for (name, pool, _) in POOLS {
            for shape in [[2usize, 3, 2], [2, 8, 3], [1, 11, 2]] {
                let [n, time, channels] = shape;
                let inputs = normal(&[n, channels, time], "inputs", DType::F64);
                let inputs = Var::from_tensor(&inputs).unwrap();
                let outputs = pool(&inputs.transpose(1, 2).unwrap()).unwrap();
                let upstream = normal(outputs.dims(), "upstream", DType::F64);
                let sum = |inputs: &Tensor| {
                    let outputs = pool(&inputs.transpose(1, 2).unwrap()).unwrap();
                    (outputs * &upstream).unwrap().sum_all().unwrap()
                };
                let got = numbers(sum(&inputs).backward().unwrap().get(&inputs).unwrap());
                let start = numbers(&inputs);
                let at = |k: usize, step: f64| {
                    let mut moved = start.clone();
                    moved[k] += step;
                    let moved = Tensor::from_vec(moved, inputs.shape(), &Device::Cpu).unwrap();
                    sum(&moved).to_scalar::<f64>().unwrap()
                };
                for (k, got) in got.iter().enumerate() {
                    let expected = (at(k, 1e-6) - at(k, -1e-6)) / 2e-6;
                    assert!((got - expected).abs() < 1e-8, "{name}[{k}]: {got} against {expected}");
                }
            }
        }
    }

    #[test]
    fn ties_go_to_the_earliest_and_nan_stays() {
        let ties = Var::from_tensor(&tensor(&[1.0, 1.0, 1.0, 1.0])).unwrap();
        for (pool, expected) in [
            (halve as Pool, [1.0, 1.0, 0.0, 0.0]),
            (halve_by_candle, [1.0, 1.0, 0.0, 0.0]),
            (|x| k_max(x, 3), [1.0, 1.0, 1.0, 0.0]),
        ] {
            let sum = pool(&ties).unwrap().sum_all().unwrap();
            assert_eq!(numbers(sum.backward().unwrap().get(&ties).unwrap()), expected);
        }
        for pool in [halve as Pool, |x| k_max(x, 2)] {
            for at in 0..4 {
                let mut inputs = vec![1.0, 2.0, 3.0, 4.0];
                inputs[at] = f64::NAN;
                assert!(
                    numbers(&pool(&tensor(&inputs)).unwrap()).iter().any(|y| y.is_nan()),
                    "{at}"
                );
            }
        }
    }

    #[test]
    fn every_bit_is_the_same_for_any_number_of_threads() {
        let inputs = Var::from_tensor(&normal(&[17, 33, 8], "inputs", DType::F32)).unwrap();
        for (name, pool, _) in POOLS {
            let [one, three] = [1, 3].map(|threads| {
                let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                threads.install(|| answers(pool, &inputs))
            });
            assert_eq!(one, three, "{name}");
        }
    }
}
