//! `gleaner train`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use clap::Args;
use gleaner::data::{Dataset, Standardiser, fingerprint, stratified_split};
use gleaner::experiment::{Configuration, Run};
use gleaner::joint::ChooseOptions;
use gleaner::learn::{
    Checkpoint, Length, Mlp, MlpOptions, Sampling, Schedule, TrainingOptions, accuracy_in_batches,
    train,
};
use gleaner::program::Budget;
use gleaner::{Learner, Result, Trainer, TrainerOptions};
use serde_json::{Value, json};

use crate::context::Context;
use crate::input::{Data, Extra, Input};
use crate::keep::{Keep, at_least};
use crate::known::Known;
use crate::memory::Demand;
use crate::output::{self, Column, Values};

#[derive(Args)]
#[command(after_help = "Examples:
  gleaner train train.csv --label y --test test.csv --out trained
  gleaner train features.npy --label labels --keep 20% --steps 5000 --hidden 256,64 --out trained")]
pub struct Flags {
    #[command(flatten)]
    input: Input,
    /// The test part, looked at once, at the end.
    #[arg(long)]
    test: Option<PathBuf>,
    /// Trains on these rows only: a file with a column row, as select writes it. Rows are held out from the others then.
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Rows held out, class by class, that the selection model answers to.
    #[arg(long, default_value = "10%")]
    validation: Keep,
    /// The share of every batch that is learned from.
    #[arg(long, default_value = "30%")]
    keep: Keep,
    /// Steps in all.
    #[arg(long, default_value_t = 1_700, value_parser = at_least(1))]
    steps: usize,
    /// Steps before selection begins, learning from all rows: an untrained network has nothing to say.
    #[arg(long, default_value_t = 1_000)]
    warm_up: usize,
    /// Rows of a step.
    #[arg(long, default_value_t = 48, value_parser = at_least(1))]
    batch: usize,
    /// Widths of the network's hidden layers.
    #[arg(long, value_delimiter = ',', default_value = "64", value_name = "WIDTH,…")]
    hidden: Vec<usize>,
    /// Where network, selection model, weights and report go; what is done is kept there: the same command goes on where it
    /// was stopped.
    #[arg(long)]
    out: PathBuf,
}

/// Rows of one forward pass where nothing is trained.
const CHUNK: usize = 256;
/// What a kill may cost.
const BETWEEN_SAVES: Duration = Duration::from_secs(2);
/// Steps between looks at the clock.
const STRIDE: usize = 20;
const STAGE: &str = "training";

/// The parts of the data, standardised by the training part.
struct Parts {
    standard: Standardiser,
    /// Rows of the table that are trained on.
    rows: Vec<usize>,
    pool: Dataset,
    validation: Dataset,
    test: Option<Dataset>,
}

pub fn run(flags: Flags, mut context: Context) -> Result<()> {
    flags.input.labelled()?;
    context.resumes(Some(&flags.out.join("run")))?;
    let data = flags.input.read(&Extra::default(), Demand::SAMPLE, &mut context)?;
    data.check_labels()?;
    let parts = parts(&flags, &data, &mut context)?;
    let seed = context.seeds.value();
    let run = Run::open(flags.out.join("run"), &configuration(&flags, &data, &parts, seed)?)?;
    let mut trainer =
        Trainer::new(mlp(&flags, &parts, seed)?, &parts.validation, options(&flags)?, seed)?;
    if let Some(state) = run.load(STAGE)? {
        trainer.restore(&state)?;
        context.say(&format!("going on after step {}", trainer.steps()));
    }
    let bar = context.bar(flags.steps);
    context.step("training", || {
        let mut saved = Instant::now();
        while trainer.steps() < flags.steps {
            bar.set_position(trainer.steps() as u64);
            let next = (trainer.steps() + STRIDE).min(flags.steps);
            trainer.fit_until(&parts.pool, flags.batch, next, seed, |_| ())?;
            if saved.elapsed() > BETWEEN_SAVES || next == flags.steps {
                run.save(STAGE, &trainer.checkpoint()?)?;
                saved = Instant::now();
            }
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    let plain = context.step("training on all rows alike", || plain(&flags, &parts, seed))?;
    let suspicion =
        context.step("weighing", || trainer.suspicion(&parts.pool, &ChooseOptions::default()))?;
    output::write(&flags.out.join("weights.csv"), &columns(&data, &parts, suspicion))?;
    trainer.save(flags.out.join("trainer.safetensors"))?;
    network(&flags, &data, &parts, trainer.learner())?
        .save(flags.out.join("learner.safetensors"))?;
    let accuracy = |learner: &Mlp| -> Result<Value> {
        let of = |part: &Dataset| accuracy_in_batches(learner, part, CHUNK);
        Ok(json!({
            "validation": of(&parts.validation)?,
            "test": parts.test.as_ref().map(of).transpose()?,
        }))
    };
    let (joint, plain) = (accuracy(trainer.learner())?, accuracy(&plain)?);
    let text = text(&flags, &parts, &joint, &plain);
    let report = context.complete(json!({
        "command": "train",
        "input": data.report(),
        "trained_rows": parts.rows.len(),
        "validation_rows": parts.validation.len(),
        "steps": flags.steps,
        "accuracy": {"joint": joint, "all rows alike": plain},
        "out": flags.out,
    }));
    output::write_json(&flags.out.join("report.json"), &report)?;
    context.tell(&text, report)
}

fn parts(flags: &Flags, data: &Data, context: &mut Context) -> Result<Parts> {
    let all = &data.table.data;
    let test = flags.test.as_ref();
    let test =
        test.map(|path| flags.input.read_like(path, data, context)).transpose()?.map(|t| t.data);
    let rng = &mut context.seeds.named("validation part");
    let held_out = flags.validation.of(all.len())?;
    let (validation, rows) = match &flags.rows {
        None => stratified_split(all.labels(), held_out, rng)?,
        Some(path) => {
            let rows = data.rows_in(path)?;
            let others: Vec<usize> =
                (0..all.len()).filter(|i| rows.binary_search(i).is_err()).collect();
            let labels: Vec<u32> = others.iter().map(|i| all.labels()[*i]).collect();
            let (first, _) = stratified_split(&labels, held_out.min(others.len()), rng)?;
            (first.into_iter().map(|k| others[k]).collect(), rows)
        }
    };
    let pool = all.subset(&rows)?;
    let standard = Standardiser::of(&pool)?;
    Ok(Parts {
        pool: standard.dataset(&pool)?,
        validation: standard.dataset(&all.subset(&validation)?)?,
        test: test.map(|test| standard.dataset(&test)).transpose()?,
        standard,
        rows,
    })
}

fn configuration(flags: &Flags, data: &Data, parts: &Parts, seed: u64) -> Result<Configuration> {
    let Flags { validation, keep, steps, warm_up, batch, hidden, rows, .. } = flags;
    let set = |name: &str, value: String| (name.to_owned(), value);
    Ok(Configuration::from([
        set("data", data.report().to_string()),
        set(
            "contents",
            format!("{} {}", fingerprint(&parts.pool)?, fingerprint(&parts.validation)?),
        ),
        set("rows", rows.as_ref().map_or("all".into(), |path| path.display().to_string())),
        set("validation", validation.to_string()),
        set("keep", keep.to_string()),
        set("steps", format!("{steps}, {warm_up} of them without selection")),
        set("batch", batch.to_string()),
        set("hidden", format!("{hidden:?}")),
        set("seed", seed.to_string()),
    ]))
}

fn options(flags: &Flags) -> Result<TrainerOptions> {
    let mut options = TrainerOptions { warm_up: flags.warm_up, ..Default::default() };
    let share = flags.keep.of(flags.batch)? as f64 / flags.batch as f64;
    options.layer.budget = Budget::Fraction(flags.keep.share().unwrap_or(share));
    Ok(options)
}

fn mlp(flags: &Flags, parts: &Parts, seed: u64) -> Result<Mlp> {
    let (inputs, classes) = (parts.standard.width(), parts.pool.classes());
    let shape = MlpOptions { inputs, hidden: flags.hidden.clone(), classes };
    Mlp::new(&shape, seed, DType::F32, &Device::Cpu)
}

/// The same network from the same weights, all rows counting alike, for as many steps at the same rate.
fn plain(flags: &Flags, parts: &Parts, seed: u64) -> Result<Mlp> {
    let learner = mlp(flags, parts, seed)?;
    let usual = TrainerOptions::default();
    let training = TrainingOptions {
        length: Length::Steps(flags.steps),
        batch: flags.batch,
        optimiser: usual.learner_optimiser,
        learning_rate: usual.learner_rate,
        schedule: Schedule::Constant,
        ..Default::default()
    };
    train(&learner, &parts.pool, Sampling::All, &training, seed, |_| ())?;
    Ok(learner)
}

fn columns(data: &Data, parts: &Parts, suspicion: Vec<f64>) -> Vec<Column> {
    let mut columns = data.keys(&parts.rows);
    columns.push(data.labels(&parts.rows));
    columns.push(Column::new("suspicion", Values::Real(suspicion)));
    columns
}

/// The network with all that is needed to ask it: tensors by name, the rest as notes.
fn network(flags: &Flags, data: &Data, parts: &Parts, learner: &Mlp) -> Result<Checkpoint> {
    let mut state = Checkpoint::new();
    state.set_variables("variables", learner.variables())?;
    let numbers = |values: &[f64]| Tensor::from_slice(values, values.len(), &Device::Cpu);
    state.set("features/mean", numbers(parts.standard.mean())?);
    state.set("features/scale", numbers(parts.standard.scale())?);
    state.set_note("kind", format!("mlp, hidden layers {:?}, relu", flags.hidden));
    state.set_note("classes", json!(data.table.class_names));
    state.set_note("feature_names", json!(data.table.feature_names));
    Ok(state)
}

fn text(flags: &Flags, parts: &Parts, joint: &Value, plain: &Value) -> String {
    let percent =
        |value: &Value| value.as_f64().map_or("-".into(), |a| format!("{:.1} %", 100.0 * a));
    let row = |name: &str, found: &Value| {
        vec![name.to_owned(), percent(&found["validation"]), percent(&found["test"])]
    };
    let rows = [row("joint", joint), row("all rows alike", plain)];
    let table = gleaner::report::text_table(&["training", "validation", "test"], &rows);
    let (rows, out) = (parts.rows.len(), flags.out.display());
    format!(
        "{rows} rows, {} steps; the selection model answers to {} others, so their accuracy flatters it\n{table}\
         written: {out}/{{learner,trainer}}.safetensors, weights.csv, report.json\n",
        flags.steps,
        parts.validation.len(),
    )
}
