//! The head over evidence: from what is known about a point to what it is worth, learned from a judge.

use rand_chacha::ChaCha8Rng;

use super::blocks::Blocks;
use super::judge::{Judge, Verdict, stratified};
use crate::adam::Adam;
use crate::error::Result;

/// Weight of a point that the head thinks nothing of, where the best have one: no point vanishes while it learns.
const FLOOR: f64 = 1e-3;
/// Ridge on the head's numbers.
const DECAY: f64 = 3e-3;
/// Rate of the first step; it falls linearly.
const RATE: f64 = 0.1;
/// Batches on which the head is compared with equal weights.
const CHECKS: usize = 8;
/// How much of what was learned may be kept.
const TRUST: [f64; 3] = [0.0, 0.5, 1.0];

/// `w = floor + sigmoid(<e, theta>)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) theta: Vec<f64>,
}

/// What the head learns on: evidence, a row a point, the points of each class that may be drawn, and how many a step draws;
/// of these all count by their weight, or what a program keeps of them.
pub(crate) struct Ground<'a> {
    pub(crate) evidence: &'a [Vec<f64>],
    pub(crate) classes: &'a [Vec<usize>],
    pub(crate) batch: usize,
    pub(crate) steps: usize,
    pub(crate) blocks: Option<Blocks<'a>>,
}

impl Head {
    pub(crate) fn weight(&self, evidence: &[f64]) -> f64 {
        FLOOR + self.sigmoid(evidence)
    }

    fn sigmoid(&self, evidence: &[f64]) -> f64 {
        let logit: f64 = self.theta.iter().zip(evidence).map(|(t, e)| t * e).sum();
        1.0 / (1.0 + (-logit).exp())
    }

    /// What the judge says about a batch, with derivatives in the head's weights.
    fn verdict(&self, judge: &Judge, ground: &Ground, points: &[usize]) -> Result<Verdict> {
        let weights: Vec<f64> = points.iter().map(|i| self.weight(&ground.evidence[*i])).collect();
        let Some(blocks) = &ground.blocks else {
            return judge.verdict(points, &weights);
        };
        let kept = blocks.keep(points, &weights)?;
        let mut verdict = judge.verdict(points, &kept.weights)?;
        verdict.by_weight = kept.pullback(&verdict.by_weight)?;
        Ok(verdict)
    }

    /// Two heads, each learned from one half of the validation points; their mean, as far as the other halves confirm
    /// it: none of it, half or all, whichever has the least loss.
    pub(crate) fn learn(judge: &Judge, ground: &Ground, rng: &mut ChaCha8Rng) -> Result<Self> {
        let asked = judge.validation_points();
        let halves = [0, 1].map(|half| (half..asked).step_by(2).collect::<Vec<_>>());
        if halves[1].is_empty() {
            return Self::on(judge, ground, rng);
        }
        let judges = [judge.asking(&halves[0])?, judge.asking(&halves[1])?];
        let heads = [Self::on(&judges[0], ground, rng)?, Self::on(&judges[1], ground, rng)?];
        let batches: Vec<Vec<usize>> =
            (0..CHECKS).map(|_| stratified(ground.classes, ground.batch, rng)).collect();
        let mut best = (f64::INFINITY, 0.0);
        for trust in TRUST {
            let mut loss = 0.0;
            for (judge, head) in judges.iter().rev().zip(&heads) {
                let head = head.times(trust);
                for batch in &batches {
                    loss += head.verdict(judge, ground, batch)?.loss;
                }
            }
            best = if loss < best.0 { (loss, trust) } else { best };
        }
        let pairs = heads[0].theta.iter().zip(&heads[1].theta);
        Ok(Self { theta: pairs.map(|(a, b)| 0.5 * (a + b)).collect() }.times(best.1))
    }

    fn times(&self, factor: f64) -> Self {
        Self { theta: self.theta.iter().map(|t| t * factor).collect() }
    }

    /// Adam on the validation loss of one batch after the other.
    fn on(judge: &Judge, ground: &Ground, rng: &mut ChaCha8Rng) -> Result<Self> {
        let width = ground.evidence.first().map_or(0, Vec::len);
        let mut head = Self { theta: vec![0.0; width] };
        let mut adam = Adam::new(width);
        for step in 0..ground.steps {
            let points = stratified(ground.classes, ground.batch, rng);
            let verdict = head.verdict(judge, ground, &points)?;
            let mut slope: Vec<f64> = head.theta.iter().map(|t| DECAY * t).collect();
            for (i, by_weight) in points.iter().zip(verdict.by_weight) {
                let evidence = &ground.evidence[*i];
                let s = head.sigmoid(evidence);
                let pairs = slope.iter_mut().zip(evidence);
                pairs.for_each(|(slope, e)| *slope += by_weight * s * (1.0 - s) * e);
            }
            let rate = RATE * (1.0 - step as f64 / ground.steps as f64);
            adam.step(&mut head.theta, &slope, rate);
        }
        Ok(head)
    }
}
