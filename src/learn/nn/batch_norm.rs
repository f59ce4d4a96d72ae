//! Batch normalisation of channel-last images or rows, with its ReLU, as one operation.
//!
//! S. Ioffe and C. Szegedy, *Batch Normalization: Accelerating Deep Network Training by Reducing
//! Internal Covariate Shift*, ICML 2015. For each channel, over the N numbers x that it has in all
//! images and pixels (or rows), with weight a and bias b:
//!
//! ```text
//! y = relu(a (x - mean) / sqrt(variance + eps) + b),    eps = 1e-5
//!
//! training:    mean and variance (divided by N) of the batch, and
//!              running := 0.9 running + 0.1 batch    (where the variance is divided by N - 1)
//! evaluation:  the running mean and variance, which start at 0 and 1
//! ```
//!
//! With g = dy where y > 0, and u = (x - mean) / sqrt(variance + eps):
//!
//! ```text
//! db = sum g,    da = sum g u,    dx = a / sqrt(variance + eps) (g - (db + u da) / N)
//! ```
//!
//! (in evaluation dx lacks what is divided by N). candle 0.11.1 sums over other dimensions than the
//! last one number at a time and makes a copy for every step of the formula; here the batch is read
//! twice and written once, forward and backward. Sums are taken over chunks whose size depends on
//! the shape alone, and added up in order in `f64`: every bit is the same for any number of threads.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, D, DType, Device, Layout, Shape, Tensor, Var, WithDType};
use candle_nn::Init;
use candle_nn::var_builder::VarBuilder;
use rayon::prelude::*;

use crate::error::Error;
use crate::layer::bridge::{cpu, is_plain, slice};
use crate::learn::SeededWeights;
use crate::learn::nn::convolution::Number;

/// What is added to a variance before its root is taken.
const EPSILON: f64 = 1e-5;

/// Share of the batch in the new running statistics.
const MOMENTUM: f64 = 0.1;

/// Numbers in a chunk: a few of them fit a core's first two caches.
const CHUNK: usize = 1 << 14;

/// Numbers that are worked on side by side, at least: short rows are taken several at a time.
const SIDE_BY_SIDE: usize = 64;

/// Which statistics normalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The batch's own; the running ones are updated.
    Training,
    /// The running ones, as they are.
    Evaluation,
}

#[derive(Clone, Debug)]
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_variance: Var,
    relu: bool,
}

impl BatchNorm {
    /// Variables `weight` and `bias` start at 1 and 0; the running statistics, `running_mean` and
    /// `running_var`, are buffers. Names are those of PyTorch.
    pub(crate) fn new(
        channels: usize,
        relu: bool,
        builder: &VarBuilder,
        weights: &SeededWeights,
    ) -> candle_core::Result<Self> {
        Ok(Self {
            weight: builder.get_with_hints(channels, "weight", Init::Const(1.0))?,
            bias: builder.get_with_hints(channels, "bias", Init::Const(0.0))?,
            running_mean: weights.buffer(channels, "running_mean", 0.0, builder)?,
            running_variance: weights.buffer(channels, "running_var", 1.0, builder)?,
            relu,
        })
    }

    /// Images (n x h x w x c) or rows (n x c) to the same shape.
    pub(crate) fn forward(&self, inputs: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let channels = self.weight.elem_count();
        if inputs.dims().last() != Some(&channels) {
            let (expected, found) =
                (format!("{channels} channels"), format!("{:?}", inputs.dims()));
            return Err(Error::Shape { what: "normalised images", expected, found }.into());
        }
        let rows = inputs.elem_count() / channels;
        if mode == Mode::Training && rows < 2 {
            let expected = "at least 2 pixels or rows in a training batch".into();
            let found = rows.to_string();
            return Err(Error::Shape { what: "normalised images", expected, found }.into());
        }
        if is_plain(inputs) { self.in_one(inputs, mode) } else { self.by_candle(inputs, mode) }
    }

    fn in_one(&self, inputs: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let inputs = inputs.contiguous()?;
        let statistics = match mode {
            Mode::Training => {
                let statistics = match inputs.dtype() {
                    DType::F32 => Statistics::of::<f32>(&inputs)?,
                    _ => Statistics::of::<f64>(&inputs)?,
                };
                let tensor =
                    |numbers: &[f64]| Tensor::new(numbers, &Device::Cpu)?.to_dtype(inputs.dtype());
                let (mean, variance) = (tensor(&statistics.mean)?, tensor(&statistics.variance)?);
                self.update(&mean, &variance, inputs.elem_count() / statistics.mean.len())?;
                statistics
            }
            Mode::Evaluation => Statistics {
                mean: self.running_mean.to_dtype(DType::F64)?.to_vec1()?,
                variance: self.running_variance.to_dtype(DType::F64)?.to_vec1()?,
            },
        };
        let fused = Fused { statistics, mode, relu: self.relu };
        inputs.apply_op3(&self.weight, &self.bias, fused)
    }

    /// For devices and types our op does not know.
    fn by_candle(&self, inputs: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let channels = self.weight.elem_count();
        let rows = inputs.elem_count() / channels;
        let flat = inputs.reshape((rows, channels))?;
        let (centred, variance) = match mode {
            Mode::Training => {
                let mean = flat.mean_keepdim(0)?;
                let centred = flat.broadcast_sub(&mean)?;
                let variance = centred.sqr()?.mean_keepdim(0)?;
                self.update(&mean.squeeze(0)?.detach(), &variance.squeeze(0)?.detach(), rows)?;
                (centred, variance)
            }
            Mode::Evaluation => {
                let mean = self.running_mean.as_detached_tensor();
                (flat.broadcast_sub(&mean)?, self.running_variance.as_detached_tensor())
            }
        };
        let normalised = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
        let outputs = normalised.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?;
        let outputs = outputs.reshape(inputs.shape())?;
        if self.relu { outputs.relu() } else { Ok(outputs) }
    }

    /// Moves the running statistics towards mean and variance of a batch of `rows`, at least 2.
    fn update(&self, mean: &Tensor, variance: &Tensor, rows: usize) -> candle_core::Result<()> {
        let unbiased = (variance * (rows as f64 / (rows as f64 - 1.0)))?;
        for (running, batch) in [(&self.running_mean, mean), (&self.running_variance, &unbiased)] {
            let before = running.as_detached_tensor();
            running.set(&((before * (1.0 - MOMENTUM))? + (batch * MOMENTUM)?)?)?;
        }
        Ok(())
    }
}

/// Mean and variance of each channel.
struct Statistics {
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Statistics {
    /// Those of contiguous `inputs`, the variance divided by the number of rows.
    fn of<T: Number>(inputs: &Tensor) -> candle_core::Result<Self> {
        let channels = inputs.dim(D::Minus1)?;
        let (storage, layout) = inputs.storage_and_layout();
        let numbers = slice::<T>(cpu(&storage)?, layout)?;
        let columns = Columns::new(channels);
        // Each chunk about its own mean, so that nothing cancels.
        let parts: Vec<_> = (numbers.par_chunks(columns.chunk))
            .map(|chunk| {
                let count = (chunk.len() / channels) as f64;
                let mut mean = columns.sums(chunk, &columns.repeat([0.0].into_iter()), |x| x);
                mean.iter_mut().for_each(|sum| *sum /= count);
                let centre = columns.repeat(mean.iter().copied());
                let squares = columns.sums(chunk, &centre, |x| x * x);
                (count, mean, squares)
            })
            .collect();
        let rows = (numbers.len() / channels) as f64;
        let mut mean = vec![0.0; channels];
        for (count, part, _) in &parts {
            mean.iter_mut().zip(part).for_each(|(mean, x)| *mean += x * (count / rows));
        }
        let mut variance = vec![0.0; channels];
        for (count, part, squares) in &parts {
            for (k, variance) in variance.iter_mut().enumerate() {
                let apart = part[k] - mean[k];
                *variance += (squares[k] + count * apart * apart) / rows;
            }
        }
        Ok(Self { mean, variance })
    }

    /// One over the standard deviations.
    fn precision(&self) -> impl Iterator<Item = f64> {
        self.variance.iter().map(|variance| 1.0 / (variance + EPSILON).sqrt())
    }
}

/// How rows of `channels` numbers are cut up.
#[derive(Clone, Copy)]
struct Columns {
    channels: usize,
    /// Some whole rows, worked on side by side.
    width: usize,
    /// Numbers in a chunk, some whole widths.
    chunk: usize,
}

impl Columns {
    fn new(channels: usize) -> Self {
        let width = channels * SIDE_BY_SIDE.div_ceil(channels);
        Self { channels, width, chunk: width * (CHUNK / width).max(1) }
    }

    /// A number for each column of `width`, from one for each channel.
    fn repeat<T: Number>(self, numbers: impl Iterator<Item = f64> + Clone) -> Vec<T> {
        numbers.cycle().take(self.width).map(<T as WithDType>::from_f64).collect()
    }

    /// Sums over a chunk of `f(x - centre)`, for each channel.
    fn sums<T: Number>(self, chunk: &[T], centre: &[T], f: impl Fn(T) -> T) -> Vec<f64> {
        let mut sums = vec![T::zero(); self.width];
        for rows in chunk.chunks(self.width) {
            let (sums, centre) = (&mut sums[..rows.len()], &centre[..rows.len()]);
            for k in 0..rows.len() {
                sums[k] += f(rows[k] - centre[k]);
            }
        }
        self.by_channel(&sums)
    }

    /// Sums for each column of `width` to sums for each channel.
    fn by_channel<T: Number>(self, sums: &[T]) -> Vec<f64> {
        let mut by_channel = vec![0.0; self.channels];
        for row in sums.chunks_exact(self.channels) {
            by_channel.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.to_f64());
        }
        by_channel
    }
}

/// Inputs (… x c), weight (c) and bias (c), all of them contiguous, to normalised inputs.
struct Fused {
    /// Of this batch, or the running ones.
    statistics: Statistics,
    mode: Mode,
    relu: bool,
}

/// What the outputs are made of, `scale * x + shift`, for each column of [`Columns`].
struct Line<T> {
    scale: Vec<T>,
    shift: Vec<T>,
}

impl Fused {
    fn line<T: Number>(&self, weight: &[T], bias: &[T]) -> Line<T> {
        let columns = Columns::new(weight.len());
        let scale: Vec<f64> =
            weight.iter().zip(self.statistics.precision()).map(|(a, p)| a.to_f64() * p).collect();
        let shift = (bias.iter().zip(&scale).zip(&self.statistics.mean))
            .map(|((b, scale), mean)| b.to_f64() - scale * mean);
        Line { shift: columns.repeat(shift), scale: columns.repeat(scale.iter().copied()) }
    }

    fn forward<T: Number>(&self, inputs: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let columns = Columns::new(weight.len());
        let (line, least) = (self.line(weight, bias), self.least());
        let mut outputs = vec![T::zero(); inputs.len()];
        let chunks = outputs.par_chunks_mut(columns.chunk).zip(inputs.par_chunks(columns.chunk));
        chunks.for_each(|(outputs, inputs)| {
            let rows = outputs.chunks_mut(columns.width).zip(inputs.chunks(columns.width));
            for (outputs, inputs) in rows {
                let n = inputs.len();
                let (outputs, scale, shift) =
                    (&mut outputs[..n], &line.scale[..n], &line.shift[..n]);
                for k in 0..n {
                    let y = inputs[k] * scale[k] + shift[k];
                    // Not a maximum, which would turn NaN into an innocent zero.
                    outputs[k] = if y < least { least } else { y };
                }
            }
        });
        outputs
    }

    /// Gradients of inputs, weight and bias.
    fn backward<T: Number>(
        &self,
        inputs: &[T],
        weight: &[T],
        bias: &[T],
        upstream: &[T],
    ) -> [Vec<T>; 3] {
        let columns = Columns::new(weight.len());
        let (line, least) = (self.line(weight, bias), self.least());
        let mean = columns.repeat::<T>(self.statistics.mean.iter().copied());
        let [on_bias, on_weight] = self.sums(columns, inputs, upstream, &line, &mean);
        let precision: Vec<f64> = self.statistics.precision().collect();
        let on_weight: Vec<f64> = on_weight.iter().zip(&precision).map(|(g, p)| g * p).collect();

        // dx = scale g + slope (x - mean) + level
        let (mut slope, mut level) =
            (vec![T::zero(); columns.width], vec![T::zero(); columns.width]);
        if self.mode == Mode::Training {
            let rows = (inputs.len() / columns.channels) as f64;
            let scale = weight.iter().zip(&precision).map(|(a, p)| a.to_f64() * p);
            let each = scale.zip(&precision).zip(on_weight.iter().zip(&on_bias));
            let each: Vec<(f64, f64)> = each
                .map(|((scale, p), (da, db))| (-scale * p * da / rows, -scale * db / rows))
                .collect();
            slope = columns.repeat(each.iter().map(|(slope, _)| *slope));
            level = columns.repeat(each.iter().map(|(_, level)| *level));
        }
        let mut on_inputs = vec![T::zero(); inputs.len()];
        let chunks = on_inputs.par_chunks_mut(columns.chunk);
        let given = inputs.par_chunks(columns.chunk).zip(upstream.par_chunks(columns.chunk));
        chunks.zip(given).for_each(|(on_inputs, (inputs, upstream))| {
            let rows = on_inputs.chunks_mut(columns.width);
            let given = inputs.chunks(columns.width).zip(upstream.chunks(columns.width));
            for (on_inputs, (inputs, upstream)) in rows.zip(given) {
                let n = inputs.len();
                let (on_inputs, upstream) = (&mut on_inputs[..n], &upstream[..n]);
                let (scale, shift) = (&line.scale[..n], &line.shift[..n]);
                let (mean, slope, level) = (&mean[..n], &slope[..n], &level[..n]);
                for k in 0..n {
                    let (x, g) = (inputs[k], upstream[k]);
                    let g = if x * scale[k] + shift[k] > least { g } else { T::zero() };
                    on_inputs[k] = scale[k] * g + (slope[k] * (x - mean[k]) + level[k]);
                }
            }
        });
        let numbers = |sums: Vec<f64>| sums.into_iter().map(<T as WithDType>::from_f64).collect();
        [on_inputs, numbers(on_weight), numbers(on_bias)]
    }

    /// Sums over all rows of g and of g (x - mean), for each channel.
    fn sums<T: Number>(
        &self,
        columns: Columns,
        inputs: &[T],
        upstream: &[T],
        line: &Line<T>,
        mean: &[T],
    ) -> [Vec<f64>; 2] {
        let least = self.least();
        let chunks = inputs.par_chunks(columns.chunk).zip(upstream.par_chunks(columns.chunk));
        let parts: Vec<[Vec<f64>; 2]> = chunks
            .map(|(inputs, upstream)| {
                let [mut plain, mut apart] = [(); 2].map(|()| vec![T::zero(); columns.width]);
                let rows = inputs.chunks(columns.width).zip(upstream.chunks(columns.width));
                for (inputs, upstream) in rows {
                    let n = inputs.len();
                    let (plain, apart) = (&mut plain[..n], &mut apart[..n]);
                    let (upstream, mean) = (&upstream[..n], &mean[..n]);
                    let (scale, shift) = (&line.scale[..n], &line.shift[..n]);
                    for k in 0..n {
                        let (x, g) = (inputs[k], upstream[k]);
                        let g = if x * scale[k] + shift[k] > least { g } else { T::zero() };
                        plain[k] += g;
                        apart[k] += g * (x - mean[k]);
                    }
                }
                [columns.by_channel(&plain), columns.by_channel(&apart)]
            })
            .collect();
        [0, 1].map(|which| {
            let mut sums = vec![0.0; columns.channels];
            for part in &parts {
                sums.iter_mut().zip(&part[which]).for_each(|(sum, x)| *sum += x);
            }
            sums
        })
    }

    /// Gradients pass where an output is larger, so the ReLU's derivative is zero at zero too. A
    /// number where a flag would do, because the loops above are vectorised only without a branch.
    fn least<T: Number>(&self) -> T {
        <T as WithDType>::from_f64(if self.relu { 0.0 } else { f64::NEG_INFINITY })
    }
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        "batch normalisation"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        fn run<T: Number>(
            op: &Fused,
            [inputs, weight, bias]: [(&CpuStorage, &Layout); 3],
        ) -> candle_core::Result<CpuStorage> {
            let (inputs, weight) = (slice::<T>(inputs.0, inputs.1)?, slice(weight.0, weight.1)?);
            let outputs = op.forward(inputs, weight, slice(bias.0, bias.1)?);
            Ok(T::to_cpu_storage_owned(outputs))
        }
        let all = [(inputs, inputs_layout), (weight, weight_layout), (bias, bias_layout)];
        let outputs = match inputs.dtype() {
            DType::F32 => run::<f32>(self, all)?,
            DType::F64 => run::<f64>(self, all)?,
            other => candle_core::bail!("no batch normalisation of {other:?}"),
        };
        Ok((outputs, inputs_layout.shape().clone()))
    }

    fn bwd(
        &self,
        inputs: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _outputs: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        fn run<T: Number>(
            op: &Fused,
            tensors: [&Tensor; 4],
        ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
            let all = tensors.map(Tensor::storage_and_layout);
            let [inputs, weight, bias, upstream] = [&all[0], &all[1], &all[2], &all[3]]
                .map(|(storage, layout)| slice::<T>(cpu(storage)?, layout));
            let gradients = op.backward(inputs?, weight?, bias?, upstream?);
            let [inputs, weight, bias] = gradients;
            let tensor = |numbers: Vec<T>, like: &Tensor| {
                Tensor::from_vec(numbers, like.shape(), like.device()).map(Some)
            };
            Ok((
                tensor(inputs, tensors[0])?,
                tensor(weight, tensors[1])?,
                tensor(bias, tensors[2])?,
            ))
        }
        let upstream = upstream.contiguous()?;
        match inputs.dtype() {
            DType::F32 => run::<f32>(self, [inputs, weight, bias, &upstream]),
            DType::F64 => run::<f64>(self, [inputs, weight, bias, &upstream]),
            other => candle_core::bail!("no batch normalisation of {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Init = Init::Randn { mean: 0.5, stdev: 2.0 };
    const MODES: [Mode; 2] = [Mode::Training, Mode::Evaluation];

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    /// A layer that has seen a batch and whose parameters are not at their start.
    struct Case {
        layer: BatchNorm,
        inputs: Var,
        upstream: Tensor,
    }

    impl Case {
        fn new(dims: &[usize], relu: bool, dtype: DType) -> Self {
            let (builder, weights) = SeededWeights::builder(3, dtype, &Device::Cpu);
            let channels = *dims.last().unwrap();
            let mut layer = BatchNorm::new(channels, relu, &builder, &weights).unwrap();
            let draw = |dims: &[usize], name: &str| builder.get_with_hints(dims, name, NORMAL);
            layer.weight = draw(&[channels], "a").unwrap();
            layer.bias = draw(&[channels], "b").unwrap();
            layer.running_mean.set(&draw(&[channels], "mean").unwrap().detach()).unwrap();
            let variance = draw(&[channels], "variance").unwrap().detach().sqr().unwrap();
            layer.running_variance.set(&variance).unwrap();
            let inputs = Var::from_tensor(&draw(dims, "inputs").unwrap()).unwrap();
            Self { layer, inputs, upstream: draw(dims, "upstream").unwrap().detach() }
        }

        /// Outputs, gradients of inputs, weight and bias, and the running statistics afterwards.
        fn answers(
            &self,
            normalise: impl Fn(&BatchNorm, &Tensor) -> candle_core::Result<Tensor>,
        ) -> [Vec<f64>; 6] {
            let BatchNorm { running_mean, running_variance, .. } = &self.layer;
            let before = [running_mean, running_variance].map(|var| var.copy().unwrap());
            let outputs = normalise(&self.layer, &self.inputs).unwrap();
            let sum = (&outputs * &self.upstream).unwrap().sum_all().unwrap();
            let gradients = sum.backward().unwrap();
            let of = |tensor: &Tensor| numbers(gradients.get(tensor).unwrap());
            let (weight, bias) = (of(&self.layer.weight), of(&self.layer.bias));
            let answers = [numbers(&outputs), of(&self.inputs), weight, bias];
            let [outputs, inputs, weight, bias] = answers;
            let after = [running_mean, running_variance].map(|var| numbers(var));
            running_mean.set(&before[0]).unwrap();
            running_variance.set(&before[1]).unwrap();
            let [mean, variance] = after;
            [outputs, inputs, weight, bias, mean, variance]
        }
    }

    /// The textbook formula in candle's operations, whose derivatives candle works out by itself.
    #[test]
    fn one_operation_agrees_with_the_textbook() {
        // Rows and images; less than a chunk, several, and rows that do not divide a width.
        let dims: [&[usize]; 5] = [&[2, 1], &[7, 3], &[3, 5, 4, 6], &[900, 70], &[9, 30, 31, 16]];
        for (dims, relu, mode) in dims.into_iter().flat_map(|dims| {
            [false, true].into_iter().flat_map(move |relu| MODES.map(|mode| (dims, relu, mode)))
        }) {
            let case = Case::new(dims, relu, DType::F64);
            let ours = case.answers(|layer, inputs| layer.in_one(inputs, mode));
            let theirs = case.answers(|layer, inputs| layer.by_candle(inputs, mode));
            let parts = ["outputs", "inputs", "weight", "bias", "running mean", "running variance"];
            for (what, (ours, theirs)) in parts.into_iter().zip(ours.iter().zip(&theirs)) {
                assert_eq!(ours.len(), theirs.len());
                // Rounding of sums over up to 8,370 rows.
                let largest = theirs.iter().fold(1.0, |largest: f64, x| largest.max(x.abs()));
                for (ours, theirs) in ours.iter().zip(theirs) {
                    let close = (ours - theirs).abs() < 1e-11 * largest;
                    assert!(close, "{dims:?}, {mode:?}, {what}: {ours} against {theirs}");
                }
            }
        }
    }

    /// Third derivatives of the normalisation are of order 1 here: with steps of 1e-5 truncation
    /// and rounding are each about 1e-10, if no ReLU changes sign within a step.
    #[test]
    fn gradients_match_finite_differences() {
        for (relu, mode) in
            [false, true].into_iter().flat_map(|relu| MODES.map(|mode| (relu, mode)))
        {
            let case = Case::new(&[4, 3, 2, 3], relu, DType::F64);
            let [_, inputs, weight, bias, ..] =
                case.answers(|layer, inputs| layer.forward(inputs, mode));
            for (what, tensor, gradient) in [
                ("inputs", case.inputs.as_tensor(), inputs),
                ("weight", &case.layer.weight, weight),
                ("bias", &case.layer.bias, bias),
            ] {
                let start = numbers(tensor);
                let at = |k: usize, step: f64| {
                    let mut moved = start.clone();
                    moved[k] += step;
                    let moved = Tensor::from_vec(moved, tensor.shape(), &Device::Cpu).unwrap();
                    let mut layer = case.layer.clone();
                    let mut inputs = case.inputs.as_tensor().clone();
                    match what {
                        "inputs" => inputs = moved,
                        "weight" => layer.weight = moved,
                        _ => layer.bias = moved,
                    }
                    let outputs = layer.forward(&inputs, mode).unwrap();
                    let sum = (outputs * &case.upstream).unwrap().sum_all().unwrap();
                    sum.to_scalar::<f64>().unwrap()
                };
                for (k, got) in gradient.iter().enumerate() {
                    let expected = (at(k, 1e-5) - at(k, -1e-5)) / 2e-5;
                    let close = (got - expected).abs() < 1e-7;
                    assert!(close, "{mode:?}, {what}[{k}]: {got} against {expected}");
                }
            }
        }
    }

    #[test]
    fn training_normalises_and_evaluation_does_not_depend_on_the_batch() {
        let Case { mut layer, inputs, .. } = Case::new(&[50, 4], false, DType::F64);
        layer.weight = layer.weight.ones_like().unwrap();
        layer.bias = layer.bias.zeros_like().unwrap();
        let trained = layer.forward(&inputs, Mode::Training).unwrap();
        for column in trained.t().unwrap().to_vec2::<f64>().unwrap() {
            let mean = column.iter().sum::<f64>() / 50.0;
            let variance = column.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 50.0;
            // Epsilon takes 1e-5 / variance away, and inputs have a variance of about 4.
            assert!(mean.abs() < 1e-13 && (variance - 1.0).abs() < 1e-5, "{mean}, {variance}");
        }
        let whole = layer.forward(&inputs, Mode::Evaluation).unwrap();
        let row = layer.forward(&inputs.narrow(0, 7, 1).unwrap(), Mode::Evaluation).unwrap();
        assert_eq!(numbers(&whole.narrow(0, 7, 1).unwrap()), numbers(&row));
        let apart = numbers(&(&whole - &trained).unwrap());
        assert!(apart.iter().any(|x| x.abs() > 0.1));
    }

    /// After k batches all alike the start has a share of 0.9^k left.
    #[test]
    fn running_statistics_converge_to_those_of_the_batch() {
        let Case { layer, inputs, .. } = Case::new(&[50, 4], true, DType::F64);
        for _ in 0..300 {
            layer.forward(&inputs, Mode::Training).unwrap();
        }
        let columns = inputs.t().unwrap().to_vec2::<f64>().unwrap();
        let (means, variances) = (numbers(&layer.running_mean), numbers(&layer.running_variance));
        for (column, (mean, variance)) in columns.iter().zip(means.iter().zip(variances)) {
            let expected = column.iter().sum::<f64>() / 50.0;
            let unbiased = column.iter().map(|x| (x - expected).powi(2)).sum::<f64>() / 49.0;
            assert!((mean - expected).abs() < 1e-12, "{mean} against {expected}");
            assert!((variance - unbiased).abs() < 1e-11, "{variance} against {unbiased}");
        }
    }

    /// A mean that is large beside the deviation costs few digits, also in `f32`.
    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        let numbers: Vec<f32> = (0..20_000).map(|k| 1000.0 + (k % 2) as f32).collect();
        let inputs = Tensor::from_vec(numbers, (20_000, 1), &Device::Cpu).unwrap();
        let Statistics { mean, variance } = Statistics::of::<f32>(&inputs).unwrap();
        assert!((mean[0] - 1000.5).abs() < 1e-3 && (variance[0] - 0.25).abs() < 1e-5);
    }

    #[test]
    fn every_bit_is_the_same_for_any_number_of_threads() {
        let case = Case::new(&[40, 8, 9, 24], true, DType::F32);
        for mode in MODES {
            let [one, two, three] = [1, 2, 3].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| case.answers(|layer, inputs| layer.forward(inputs, mode)))
            });
            assert!(one == two && one == three, "{mode:?}");
        }
    }

    #[test]
    fn what_cannot_be_normalised_is_refused() {
        let layer = Case::new(&[5, 4], true, DType::F32).layer;
        let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        let error = layer.forward(&zeros(&[5, 3]), Mode::Evaluation).unwrap_err().to_string();
        assert!(error.contains("4 channels, found [5, 3]"), "{error}");
        let error = layer.forward(&zeros(&[1, 4]), Mode::Training).unwrap_err().to_string();
        assert!(error.contains("at least 2 pixels or rows"), "{error}");
        assert_eq!(layer.forward(&zeros(&[1, 4]), Mode::Evaluation).unwrap().dims(), [1, 4]);
        assert_eq!(layer.forward(&zeros(&[0, 4]), Mode::Evaluation).unwrap().dims(), [0, 4]);
        let images = zeros(&[1, 2, 1, 4]);
        assert_eq!(layer.forward(&images, Mode::Training).unwrap().dims(), [1, 2, 1, 4]);
    }
}
