//! An optimiser's step on the CPU: one pass over a variable, where candle would make a dozen with a copy
//! each.

use candle_core::{Device, Tensor, WithDType};
use nalgebra::RealField;
use rayon::prelude::*;

use super::{Optimiser, OptimiserOptions, Slot, Update};
use crate::layer::bridge::{cpu, slice};

impl Optimiser {
    /// What the operations of [`OptimiserOptions`] come to, number for number.
    pub(super) fn in_one_pass<T: WithDType + RealField>(
        &self,
        slot: &Slot,
        x: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Update> {
        let c = <T as WithDType>::from_f64;
        let rate = self.learning_rate;
        let all: Vec<&Tensor> = [x, gradient].into_iter().chain(&slot.moments).collect();
        match self.options {
            OptimiserOptions::Sgd { momentum, nesterov, weight_decay } => {
                let (decay, momentum, rate) = (c(weight_decay), c(momentum), c(rate));
                each(&all, |[x, g, b, _]: [T; 4]| {
                    let g = if weight_decay == 0.0 { g } else { g + x * decay };
                    if slot.moments.is_empty() {
                        return [x - g * rate, b, b];
                    }
                    let b = b * momentum + g;
                    let direction = if nesterov { g + b * momentum } else { b };
                    [x - direction * rate, b, b]
                })
            }
            OptimiserOptions::AdamW { beta1, beta2, epsilon, weight_decay } => {
                let t = (slot.steps + 1) as f64;
                let unbiased = c(1.0 / (1.0 - beta2.powf(t)).sqrt());
                let (rest1, rest2) = (c(1.0 - beta1), c(1.0 - beta2));
                let (keep, rate) = (c(1.0 - rate * weight_decay), c(rate / (1.0 - beta1.powf(t))));
                let (beta1, beta2, epsilon) = (c(beta1), c(beta2), c(epsilon));
                each(&all, |[x, g, m, v]: [T; 4]| {
                    let m = m * beta1 + g * rest1;
                    let v = v * beta2 + g * g * rest2;
                    let direction = m / (v.sqrt() * unbiased + epsilon);
                    [x * keep - direction * rate, m, v]
                })
            }
        }
    }
}

/// Applies `rule` to the numbers at each place of variable, gradient and up to two moments (contiguous, on
/// the CPU): what becomes of the variable and its moments. No place knows of another, so every bit is the
/// same for any number of threads.
fn each<T: WithDType + RealField>(
    tensors: &[&Tensor],
    rule: impl Fn([T; 4]) -> [T; 3] + Sync,
) -> candle_core::Result<Update> {
    const CHUNK: usize = 1 << 13;
    let guards: Vec<_> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let slices = guards.iter().map(|(storage, layout)| slice::<T>(cpu(storage)?, layout));
    let slices = slices.collect::<candle_core::Result<Vec<&[T]>>>()?;
    let (length, moments) = (slices[0].len(), slices.len() - 2);
    let mut new: [Vec<T>; 3] = [vec![T::zero(); length], Vec::new(), Vec::new()];
    new[1..=moments].iter_mut().for_each(|moment| moment.resize(length, T::zero()));
    {
        let [x, first, second] = &mut new;
        // A moment that is not kept gets empty pieces.
        let mut pieces = [first, second].map(|moment| moment.chunks_mut(CHUNK));
        let mut piece = |k: usize| pieces[k].next().unwrap_or_default();
        let work: Vec<_> = x
            .chunks_mut(CHUNK)
            .enumerate()
            .map(|(k, x)| (k * CHUNK, x, [piece(0), piece(1)]))
            .collect();
        work.into_par_iter().for_each(|(start, x, mut kept)| {
            for (k, x) in x.iter_mut().enumerate() {
                let at = start + k;
                let moment = |m: usize| slices.get(2 + m).map_or(T::zero(), |moment| moment[at]);
                let [new, first, second] =
                    rule([slices[0][at], slices[1][at], moment(0), moment(1)]);
                *x = new;
                for (kept, value) in kept.iter_mut().zip([first, second]) {
                    if let Some(place) = kept.get_mut(k) {
                        *place = value;
                    }
                }
            }
        });
    }
    let shape = tensors[0].shape();
    let mut new = new.into_iter().take(1 + moments);
    let tensor = |numbers: Vec<T>| Tensor::from_vec(numbers, shape, &Device::Cpu);
    let value = tensor(new.next().unwrap_or_default())?;
    Ok(Update { value, moments: new.map(tensor).collect::<candle_core::Result<_>>()? })
}
