//! Runs that are really killed, at any moment, and started again: they end with the same bits.
//!
//! The process that is killed is this test program itself, asked for its one ignored test.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use gleaner::choose::{Aum, Entropy, KCenter, LargestLoss, Strategy};
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::experiment::{
    ComparisonOptions, CoreSetOptions, Joint, KnownLabels, Model, Rounds, Selector, Stages, Task,
    active_learning, compare, core_set,
};
use gleaner::experiment::{Configuration, Run};
use gleaner::joint::Heads;
use gleaner::learn::Checkpoint;
use gleaner::learn::{Learner, Mlp, MlpOptions};
use gleaner::learn::{Length, TrainingOptions};
use gleaner::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Where the child works.
const FOLDER: &str = "GLEANER_RESUME_FOLDER";
const EPOCHS: usize = 12;

fn configuration() -> Configuration {
    Configuration::from([("epochs".into(), EPOCHS.to_string()), ("seed".into(), "0".into())])
}

/// A core-set, an active-learning experiment and a comparison; the results, without seconds, go to `results`.
fn experiment(folder: &Path) -> Result<()> {
    let shape = ClusterOptions {
        points: 600,
        test: 200,
        validation: 40,
        label_noise: 0.2,
        dimensions: 6,
        ..Default::default()
    };
    let made = clusters(&shape, &mut ChaCha8Rng::seed_from_u64(5))?;
    let build = |hidden: usize| {
        move |seed: u64| -> Result<Box<dyn Learner>> {
            let options = MlpOptions { inputs: 6, hidden: vec![hidden, hidden], classes: 5 };
            Ok(Box::new(Mlp::new(&options, seed, DType::F32, &Device::Cpu)?))
        }
    };
    let (small, large) = (build(16), build(96));
    let length = Length::Epochs(EPOCHS);
    let training = TrainingOptions { length, batch: 16, ..Default::default() };
    let proxy = Model { name: "small".into(), build: &small, training: training.clone() };
    let target = Model { name: "large".into(), build: &large, training };
    let validation = Some(&made.validation as &dyn gleaner::Source);
    let task = Task { pool: &made.train, validation, test: &made.test, flipped: &made.flipped };
    let run = Run::open(folder, &configuration())?;
    let mut results = String::new();

    let strategies: [Box<dyn Strategy>; 3] = [Box::new(Entropy), Box::new(Aum), Box::new(KCenter)];
    let joint = Some(Joint { steps: 60, ..Default::default() });
    let options = CoreSetOptions { fractions: vec![0.1, 0.4], target_chooses: true, joint };
    let stages = Stages { run: &run, watch: &mut |_| {} };
    let found = core_set(task, (&proxy, &target), &strategies, &options, 0, stages)?;
    for o in &found.outcomes {
        let bits = o.error.to_bits();
        results += &format!("{} {:?} {} {bits:x}\n", o.strategy, o.chooser, o.fraction);
    }
    for a in &found.agreements {
        results += &format!("{} {:?} {:?}\n", a.strategy, a.correlation, a.proxy);
    }
    let rounds = Rounds { warm: true, ..Rounds::equal(60, 60, 3) };
    let mut oracle = KnownLabels(made.train.labels());
    let stages = Stages { run: &run, watch: &mut |_| {} };
    let found =
        active_learning(task, (&proxy, &target), &Entropy, &rounds, &mut oracle, 0, stages)?;
    let errors: Vec<u64> = found.outcomes.iter().map(|outcome| outcome.error.to_bits()).collect();
    results += &format!("{:?} {errors:x?}\n", found.bought);
    let selectors = [
        Selector::Joint(Heads::Unary),
        Selector::Suspicion(Box::new(LargestLoss)),
        Selector::FreshRandom,
    ];
    let joint = Joint { steps: 40, ..Default::default() };
    let options = ComparisonOptions { selectors: selectors.into(), fractions: vec![0.2], joint };
    let stages = Stages { run: &run, watch: &mut |_| {} };
    let found = compare(task, &target, &options, 1, stages)?;
    for o in &found.outcomes {
        results += &format!("{} {:x} {:?}\n", o.strategy, o.error.to_bits(), o.flipped);
    }
    results += &format!("{:?}\n", found.detections);
    let path = folder.join("results");
    fs::write(&path, results).map_err(|source| Error::Io { path, source })
}

#[test]
#[ignore = "run by the test below as a process that can be killed"]
fn child() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        experiment(Path::new(&folder)).unwrap();
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Tensors of all states but the seconds of the rounds.
fn states(folder: &Path) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.ends_with(".partial"), "{name} was left behind");
        if name.ends_with(".safetensors") {
            let tensors = Checkpoint::load(&path).unwrap().into_tensors();
            let tensors = tensors.iter().filter(|(name, _)| *name != "seconds");
            let text = |tensor: &candle_core::Tensor| {
                let flat = tensor.flatten_all().unwrap();
                match tensor.dtype() {
                    DType::F32 => format!("{:?}", flat.to_vec1::<f32>().unwrap()),
                    DType::F64 => format!("{:?}", flat.to_vec1::<f64>().unwrap()),
                    DType::I64 => format!("{:?}", flat.to_vec1::<i64>().unwrap()),
                    DType::U32 => format!("{:?}", flat.to_vec1::<u32>().unwrap()),
                    _ => format!("{:?}", flat.to_vec1::<u8>().unwrap()),
                }
            };
            all.push((name, tensors.map(|(name, t)| format!("{name} {}", text(t))).collect()));
        }
    }
    all.sort();
    all
}

#[test]
fn killed_and_started_again_it_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let straight = folder.path().join("straight");
    let started = Instant::now();
    assert!(start(&straight).wait().unwrap().success());
    let whole = started.elapsed();

    let killed = folder.path().join("killed");
    let mut kills = 0;
    // Short lives first: every kill comes after a little more work than the one before.
    for life in 1..200u32 {
        let mut child = start(&killed);
        let end =
            Instant::now() + whole.mul_f64(0.03 * f64::from(life)).max(Duration::from_millis(20));
        let finished = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() >= end => break None,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        if let Some(status) = finished {
            assert!(status.success(), "after {kills} kills");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 4, "only {kills} kills in {whole:?}");
    let read = |folder: &Path| fs::read_to_string(folder.join("results")).unwrap();
    assert_eq!(read(&killed), read(&straight), "after {kills} kills");
    assert!(states(&killed) == states(&straight), "after {kills} kills");
}

#[test]
fn another_configuration_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(folder.path(), &configuration()).unwrap();
    // While one process works there, no other may.
    let busy = Run::open(folder.path(), &configuration()).unwrap_err();
    assert!(busy.to_string().contains("no other process"), "{busy}");
    drop(run);
    Run::open(folder.path(), &configuration()).unwrap();
    let mut other = configuration();
    other.insert("epochs".into(), "13".into());
    other.insert("strategy".into(), "entropy".into());
    other.remove("seed");
    let refused = Run::open(folder.path(), &other).unwrap_err();
    assert!(matches!(refused, Error::Configuration { .. }));
    let text = refused.to_string();
    for part in ["epochs = 12", "epochs = 13", "no strategy", "strategy = entropy", "seed = 0"] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    Run::open(folder.path(), &configuration()).unwrap();
}

#[test]
fn a_damaged_state_is_named_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(folder.path(), &configuration()).unwrap();
    let mut state = Checkpoint::new();
    state.set_note("epoch", 3);
    state.set_generator("order", &ChaCha8Rng::seed_from_u64(1));
    run.save("a stage", &state).unwrap();
    let path = folder.path().join("a-stage.safetensors");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        let refused = run.load("a stage");
        assert!(matches!(refused, Err(Error::File { path: p, .. }) if p == path), "{length} bytes");
    }
    fs::write(&path, &bytes).unwrap();
    let state = run.load("a stage").unwrap().unwrap();
    assert_eq!(state.note::<usize>("epoch").unwrap(), 3);
    assert!(matches!(state.note::<usize>("order"), Err(Error::Shape { .. })));
    assert!(matches!(state.note::<usize>("step"), Err(Error::Unknown { .. })));
    assert!(matches!(state.generator("epoch"), Err(Error::Shape { .. })));
    assert_eq!(state.generator("order").unwrap(), ChaCha8Rng::seed_from_u64(1));
    assert!(run.load("another stage").unwrap().is_none());
}
