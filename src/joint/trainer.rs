//! The trainer: one step, and the loop over batches.

use candle_core::{DType, Device, Tensor};
use rand_chacha::ChaCha8Rng;

use super::evidence::Asked;
use super::hypergradient::{Hypergradient, hypergradient_of, weighted_gradient_of};
use super::model::SelectionModel;
use super::options::{CostFeatures, StageSeconds, StepReport, TrainerOptions};
use super::parts::{Found, Gradient, Kept, Likes, Shared};
use crate::data::{Batch, Source, shuffled_batches};
use crate::error::{Error, Result};
use crate::joint::memory::ExemplarMemory;
use crate::layer::bridge::{to_scalar, to_vec};
use crate::layer::{LayerInputs, SelectionLayer, Status};
use crate::learn::Learner;
use crate::learn::optimiser::Optimiser;
use crate::seeds::{Part, Seeds};

/// A batch whose weights sum to less is represented by memory: there is nothing to learn from it.
const NOTHING_NEW: f64 = 1e-6;

/// A learner and a selection model in training.
pub struct Trainer<L> {
    pub(super) learner: L,
    pub(super) model: SelectionModel,
    /// Where the selection model and its programs' costs are computed.
    pub(super) place: Device,
    pub(super) options: TrainerOptions,
    /// What a checkpoint must agree with.
    pub(super) kind: String,
    pub(super) layer: SelectionLayer,
    pub(super) memory: ExemplarMemory,
    pub(super) validation: Batch,
    pub(super) asked: Asked,
    pub(super) learner_optimiser: Optimiser,
    pub(super) model_optimiser: Optimiser,
    /// Running mean of each point's loss, by its index in the data.
    pub(super) history: Vec<f64>,
    pub(super) rng: ChaCha8Rng,
    pub(super) seed: u64,
    pub(super) steps: usize,
}

/// What the selection model sees of some points: `n x d` and `n x k`.
pub(super) struct View {
    pub(super) features: Tensor,
    pub(super) evidence: Tensor,
    /// The running loss of each point, this look at it included.
    running: Vec<f64>,
    /// The loss of each point, with the way back into the learner.
    losses: Tensor,
}

/// A batch's program, solved.
struct Solved {
    weights: Tensor,
    status: Status,
}

impl<L: Learner> Trainer<L> {
    /// A trainer whose selection model answers to `validation`: points split from the training data, or
    /// a small trusted set; never test data. Where these have [numbers to predict](Source::targets), that is the task, of
    /// the batches too. `seed` determines everything that follows.
    ///
    /// # Errors
    /// From the options' own checks; [`crate::Error::Tensor`] from the learner.
    pub fn new(
        learner: L,
        validation: &dyn Source,
        options: TrainerOptions,
        seed: u64,
    ) -> Result<Self> {
        options.look_ahead.check()?;
        let mut rng = Seeds::new(seed).stream(0);
        let everything: Vec<usize> = (0..validation.points()).collect();
        let device = learner.device();
        let validation_batch = validation.batch_at(&everything)?.to_device(&device)?;
        let one = validation.batch_at(&[0])?.to_device(&device)?;
        let seen = learner.features(&one.inputs)?;
        let features = match options.cost_features {
            CostFeatures::Inputs => one.inputs.elem_count(),
            CostFeatures::Learner => seen.dim(1)?,
        };
        let dtype = seen.dtype();
        let asked = Asked::of(validation);
        let place = selection_device(&device, features);
        let model = SelectionModel::new(
            options.model.clone(),
            features,
            asked.width(),
            dtype,
            &place,
            &mut rng,
        )?;
        let learner_optimiser = Optimiser::new(
            learner.variables().to_vec(),
            options.learner_optimiser,
            options.learner_rate,
        )?;
        let model_optimiser = Optimiser::new(
            model.variables().to_vec(),
            options.model_optimiser,
            options.model_rate,
        )?;
        let points = everything.len();
        let kind = format!(
            "{options:?}; {features} cost features in {dtype:?}, {asked}, {points} validation points"
        );
        Ok(Self {
            layer: SelectionLayer::new(options.layer.clone()),
            kind,
            memory: ExemplarMemory::new(options.memory, options.eviction)?,
            validation: validation_batch,
            learner,
            model,
            place,
            options,
            asked,
            learner_optimiser,
            model_optimiser,
            history: Vec::new(),
            rng,
            seed,
            steps: 0,
        })
    }

    /// The learner.
    pub fn learner(&self) -> &L {
        &self.learner
    }

    /// The selection model.
    pub fn model(&self) -> &SelectionModel {
        &self.model
    }

    /// The settings.
    pub fn options(&self) -> &TrainerOptions {
        &self.options
    }

    /// Steps done so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The exemplars remembered so far.
    pub fn memory(&self) -> &ExemplarMemory {
        &self.memory
    }

    /// The learner's optimiser, for its state and learning rate.
    pub fn learner_optimiser(&mut self) -> &mut Optimiser {
        &mut self.learner_optimiser
    }

    /// The selection model's optimiser, for its state and learning rate.
    pub fn model_optimiser(&mut self) -> &mut Optimiser {
        &mut self.model_optimiser
    }

    /// Steps over all batches, in order, telling `watch` about each.
    ///
    /// # Errors
    /// The first error of a batch or a step ends the loop; what was learned until then stays.
    pub fn fit(
        &mut self,
        batches: impl IntoIterator<Item = Result<Batch>>,
        mut watch: impl FnMut(&StepReport),
    ) -> Result<()> {
        for batch in batches {
            watch(&self.step(&batch?)?);
        }
        Ok(())
    }

    /// `steps` steps on shuffled batches of `data`, epoch after epoch, telling `watch` about each.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_steps(
        &mut self,
        data: &dyn Source,
        batch: usize,
        steps: usize,
        seed: u64,
        watch: impl FnMut(&StepReport),
    ) -> Result<()> {
        self.fit_some(data, batch, 0..steps, seed, watch)
    }

    /// As [`fit_steps`](Self::fit_steps) of a new trainer, less what this one has done already: `steps` counts from
    /// the first step of all, so a trainer that was stopped, saved and loaded again goes on with the next batch.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_until(
        &mut self,
        data: &dyn Source,
        batch: usize,
        steps: usize,
        seed: u64,
        watch: impl FnMut(&StepReport),
    ) -> Result<()> {
        self.fit_some(data, batch, self.steps..steps, seed, watch)
    }

    /// Steps over some of the batches in the order that `seed` decides.
    fn fit_some(
        &mut self,
        data: &dyn Source,
        batch: usize,
        which: std::ops::Range<usize>,
        seed: u64,
        watch: impl FnMut(&StepReport),
    ) -> Result<()> {
        let device = self.learner.device();
        let some = whole_batches(data.points(), batch, seed).take(which.end).skip(which.start);
        self.fit(some.map(|b| data.batch_at(&b)?.to_device(&device)), watch)
    }

    /// One step on one batch.
    ///
    /// # Errors
    /// [`crate::Error::NotConverged`] and the program's other errors, [`crate::Error::Tensor`]. Unless an
    /// update itself is refused (a gradient that is not finite), learner and selection model are then as
    /// before.
    pub fn step(&mut self, batch: &Batch) -> Result<StepReport> {
        self.step_parts(std::slice::from_ref(batch)).map(|mut reports| reports.remove(0))
    }

    /// One step on several batches, each with a program of its own: from the same learner and selection model each finds its
    /// gradients, and both models follow their means over the batches. A batch of which memory represents all has no say.
    /// What is remembered and seen is remembered and seen of all, in their order. The reports are of the batches.
    ///
    /// # Errors
    /// As [`step`](Self::step); [`Error::Shape`] without batches.
    pub fn step_parts(&mut self, batches: &[Batch]) -> Result<Vec<StepReport>> {
        if batches.is_empty() {
            return Err(Error::shape("batches of a step", "at least one", 0));
        }
        let parts = batches.iter().map(|batch| self.part(batch)).collect::<Result<Vec<_>>>()?;
        let mut reports: Vec<StepReport> = parts.iter().map(|part| part.report.clone()).collect();
        let mut clock = Clock::start();
        self.take(Shared::of(parts, &self.likes())?)?;
        let seconds = clock.lap() / reports.len() as f64;
        reports.iter_mut().for_each(|report| {
            report.seconds.update += seconds;
            report.remembered = self.memory.len();
        });
        Ok(reports)
    }

    /// What a batch finds; changes nothing.
    pub(super) fn part(&self, batch: &Batch) -> Result<Found> {
        if batch.indices.is_empty() {
            return Err(Error::shape("points of a batch", "at least one", 0));
        }
        let mut clock = Clock::start();
        let view = self.view(batch)?;
        let seconds = StageSeconds { evidence: clock.lap(), ..Default::default() };
        let report = StepReport {
            step: self.steps,
            training_loss: 0.0,
            validation_loss: None,
            weights: vec![1.0; batch.indices.len()],
            status: None,
            model_gradient: 0.0,
            remembered: self.memory.len(),
            seconds,
        };
        let seen = batch.indices.iter().copied().zip(view.running.iter().copied()).collect();
        let mut part = Found { report, seen, learner: None, model: None, kept: None };
        let report = &mut part.report;
        if self.steps < self.options.warm_up {
            let (loss, gradient) =
                weighted_gradient_of(&self.learner, &view.losses, &report.weights)?;
            report.training_loss = loss;
            part.learner = Some(gradient);
            report.seconds.hypergradient = clock.lap();
            return Ok(part);
        }
        let solved = self.solve(batch, &view)?;
        report.weights = to_vec(&solved.weights)?;
        report.status = Some(solved.status);
        report.seconds.selection = clock.lap();
        if report.weights.iter().sum::<f64>() <= NOTHING_NEW {
            return Ok(part);
        }
        let found = self.look_ahead(batch, &view, &report.weights)?;
        report.seconds.hypergradient = clock.lap();
        report.training_loss = found.training_loss;
        report.validation_loss = Some(found.validation_loss);
        (part.model, report.model_gradient) = self.model_direction(&solved.weights, &found)?;
        part.kept = self.kept(batch, &view, &report.weights)?;
        part.learner = Some(found.gradient);
        report.seconds.update = clock.lap();
        Ok(part)
    }

    /// Both models follow what all parts found.
    pub(super) fn take(&mut self, shared: Shared) -> Result<()> {
        if let Some(gradient) = &shared.learner {
            self.learner_optimiser.step(gradient)?;
        }
        if let Some(gradient) = &shared.model {
            self.model_optimiser.step(gradient)?;
        }
        for Kept { ids, rows } in &shared.kept {
            self.memory.insert(ids, rows, &mut self.rng)?;
        }
        for (index, loss) in shared.seen {
            if self.history.len() <= index {
                self.history.resize(index + 1, f64::NAN);
            }
            self.history[index] = loss;
        }
        self.steps += 1;
        Ok(())
    }

    /// What gradients and remembered rows are like.
    pub(super) fn likes(&self) -> Likes {
        let of = |variables: &[(String, candle_core::Var)]| -> Vec<Tensor> {
            variables.iter().map(|(_, var)| var.as_detached_tensor()).collect()
        };
        let (learner, model) = (of(self.learner.variables()), of(self.model.variables()));
        let dtype = model.first().or(learner.first()).map_or(DType::F32, Tensor::dtype);
        Likes { learner, model, rows: (dtype, self.place.clone()) }
    }

    fn look_ahead(&self, batch: &Batch, view: &View, weights: &[f64]) -> Result<Hypergradient> {
        let (seen, look_ahead) = ((batch, &view.losses), self.options.look_ahead);
        hypergradient_of(&self.learner, seen, weights, &self.validation, look_ahead)
    }

    /// The gradient of the validation loss after the look-ahead with respect to every variable of the
    /// selection model, with the loss itself: what step 5 follows, before any scaling. Changes nothing.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn model_gradient(&self, batch: &Batch) -> Result<(f64, Vec<Option<Tensor>>)> {
        let view = self.view(batch)?;
        let solved = self.solve(batch, &view)?;
        let found = self.look_ahead(batch, &view, &to_vec(&solved.weights)?)?;
        Ok((found.validation_loss, self.through(&solved.weights, &found.by_weight)?))
    }

    /// Gradients of `sum_j stop(upstream_j) w_j(phi)` in the order of the model's variables.
    fn through(&self, weights: &Tensor, upstream: &[f64]) -> Result<Vec<Option<Tensor>>> {
        let upstream = Tensor::from_slice(upstream, upstream.len(), &Device::Cpu)?
            .to_dtype(weights.dtype())?
            .to_device(weights.device())?;
        let grads = (weights * upstream)?.sum_all()?.backward()?;
        Ok(self
            .model
            .variables()
            .iter()
            .map(|(_, var)| grads.get(var).map(Tensor::detach))
            .collect())
    }

    /// The gradient step 5 follows, and its norm. The weights' gradients are first scaled to mean
    /// absolute one, so that the steps do not fade with the validation loss; `None` if there is no
    /// signal at all.
    fn model_direction(
        &self,
        weights: &Tensor,
        found: &Hypergradient,
    ) -> Result<(Option<Gradient>, f64)> {
        let upstream = &found.by_weight;
        let typical = upstream.iter().map(|g| g.abs()).sum::<f64>() / upstream.len() as f64;
        if typical == 0.0 {
            return Ok((None, 0.0));
        }
        let scaled: Vec<f64> = upstream.iter().map(|g| g / typical).collect();
        let gradient = self.through(weights, &scaled)?;
        let mut square = 0.0;
        for part in gradient.iter().flatten() {
            square += to_scalar(&part.sqr()?.sum_all()?)?;
        }
        Ok((Some(gradient), square.sqrt()))
    }

    /// The rows of the points that are to be remembered.
    fn kept(&self, batch: &Batch, view: &View, weights: &[f64]) -> Result<Option<Kept>> {
        let kept: Vec<usize> =
            (0..weights.len()).filter(|&j| weights[j] > self.options.threshold).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let rows = Tensor::cat(&[&view.features, &view.evidence], 1)?.contiguous()?;
        let index: Vec<u32> = kept.iter().map(|&j| j as u32).collect();
        let index = Tensor::from_vec(index, kept.len(), rows.device())?;
        let ids = kept.iter().map(|&j| batch.indices[j]).collect();
        Ok(Some(Kept { ids, rows: rows.index_select(&index, 0)? }))
    }

    /// The program of a batch: its own points, the nearest exemplars, today's `phi`.
    fn solve(&self, batch: &Batch, view: &View) -> Result<Solved> {
        let place = self.model.embed(&view.features, &view.evidence)?;
        let mut costs = without_diagonal(&self.options.distance.between(&place, &place)?)?;
        if let Some(exemplars) = self.exemplars(&place, &batch.indices)? {
            costs = Tensor::cat(&[&costs, &self.options.distance.between(&place, &exemplars)?], 1)?;
        }
        let unit = typical_cost(&costs)?;
        let column_costs =
            self.model.column_costs(&view.evidence)?.map(|c| c * unit).transpose()?;
        let inputs = LayerInputs { column_costs: column_costs.as_ref(), ..Default::default() };
        let output = self.layer.forward(&costs, inputs)?;
        Ok(Solved { weights: output.weights, status: output.status })
    }

    /// Today's embeddings of the exemplars nearest to the batch.
    fn exemplars(&self, place: &Tensor, batch: &[usize]) -> Result<Option<Tensor>> {
        let Some(rows) = self.memory.rows() else { return Ok(None) };
        if self.options.remembered == 0 {
            return Ok(None);
        }
        let (features, evidence) = self.asked.apart(rows)?;
        let all = self.model.embed(&features, &evidence)?;
        let costs = self.options.distance.between(&place.detach(), &all.detach())?;
        let nearest = self.memory.nearest(&costs, self.options.remembered, batch)?;
        if nearest.is_empty() {
            return Ok(None);
        }
        let index: Vec<u32> = nearest.iter().map(|&p| p as u32).collect();
        let index = Tensor::from_vec(index, nearest.len(), all.device())?;
        Ok(Some(all.index_select(&index, 0)?))
    }

    /// What the selection model may look at: nothing but the losses carries a gradient into the learner.
    pub(super) fn view(&self, batch: &Batch) -> Result<View> {
        self.asked.check(&batch.labels)?;
        let n = batch.indices.len();
        let learned = self.learner.features(&batch.inputs)?;
        let logits = self.learner.head(&learned)?;
        let losses = self.learner.losses_of(&logits, &batch.labels)?;
        let features = match self.options.cost_features {
            CostFeatures::Inputs => batch.inputs.reshape((n, ()))?.detach(),
            CostFeatures::Learner => learned.detach(),
        };
        let (logits, each) = (logits.detach(), to_vec(&losses.detach())?);
        let pairs = batch.indices.iter().zip(&each);
        let running: Vec<f64> =
            pairs.map(|(&index, &loss)| self.running_loss(index, loss)).collect();
        let (logits, labels) =
            (logits.to_device(&self.place)?, batch.labels.to_device(&self.place)?);
        let features = features.to_device(&self.place)?;
        let evidence = self.asked.evidence(&logits, &labels, &each, &running)?;
        Ok(View { features, evidence, running, losses })
    }

    /// The running mean loss of a point after this look at it.
    fn running_loss(&self, index: usize, loss: f64) -> f64 {
        /// Share of the past in the running mean.
        const PAST: f64 = 0.8;
        let seen = self.history.get(index).copied().filter(|past| past.is_finite());
        seen.map_or(loss, |past| PAST * past + (1.0 - PAST) * loss)
    }
}

/// Shuffled batches, epoch after epoch. A last short batch may be too small for the program's budget: it is left out.
pub(super) fn whole_batches(
    points: usize,
    batch: usize,
    seed: u64,
) -> impl Iterator<Item = Vec<usize>> {
    let mut rng = Seeds::new(seed).part(Part::Batches).stream(0);
    let epochs = std::iter::repeat_with(move || shuffled_batches(points, batch, &mut rng));
    epochs.flatten().filter(move |b| b.len() == batch.min(points))
}

/// Where the selection of a batch is computed: many small operations about a program that is solved on the CPU
/// anyway. An accelerator pays for each of them, and for every look at a number; it wins where features are so
/// many that costs are real work.
fn selection_device(learner: &Device, features: usize) -> Device {
    /// Cost features a point from which on the accelerator keeps the selection.
    const MANY: usize = 1 << 14;
    if features < MANY { Device::Cpu } else { learner.clone() }
}

/// Self-costs are zero, whatever rounding or the embedding made of them.
pub(super) fn without_diagonal(costs: &Tensor) -> Result<Tensor> {
    let eye = Tensor::eye(costs.dim(0)?, DType::F32, costs.device())?.to_dtype(costs.dtype())?;
    Ok((costs * (1.0 - eye)?)?)
}

/// The median cost, as a constant: the unit of column costs.
fn typical_cost(costs: &Tensor) -> Result<f64> {
    Ok(crate::program::typical(&crate::layer::bridge::to_matrix(&costs.detach())?))
}

/// A stopwatch.
pub(super) struct Clock(std::time::Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(super) fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        self.0 = std::time::Instant::now();
        seconds
    }
}
