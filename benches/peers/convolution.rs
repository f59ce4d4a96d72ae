//! Times training steps of the image networks, in turn with the same networks in PyTorch, which
//! `convolution.py` runs in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use gleaner::learn::optimiser::{Optimiser, OptimiserOptions};
use gleaner::learn::{Cnn, CnnOptions, Learner, ResNet, ResNetKind, ResNetOptions, cross_entropy};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::row::Row;
use crate::timing::{Timing, milliseconds};

/// Network, batch, and how many steps of each side are timed.
const CASES: [(&str, usize, usize); 7] = [
    ("cnn", 64, 60),
    ("cnn", 128, 40),
    ("preact8", 64, 30),
    ("preact8", 128, 20),
    ("preact20", 64, 20),
    ("preact20", 128, 12),
    ("resnet18", 64, 5),
];

/// Untimed steps of each side.
const WARM_UP: usize = 2;

pub fn time_all(python: &Path, quick: bool, only: Option<&str>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (network, batch, steps) in CASES {
        if only.is_some_and(|only| only != network) || (quick && network == "resnet18") {
            continue;
        }
        rows.extend(time(python, network, batch, if quick { steps.div_ceil(3) } else { steps })?);
    }
    Ok(rows)
}

fn time(python: &Path, network: &str, batch: usize, steps: usize) -> Result<[Row; 3]> {
    let mut ours = Step::new(network, batch)?;
    let mut peers =
        [Peer::start(python, network, batch, false)?, Peer::start(python, network, batch, true)?];
    let mut times = [const { Vec::new() }; 3];
    for step in 0..steps + WARM_UP {
        let start = Instant::now();
        ours.take()?;
        let taken = [milliseconds(start.elapsed()), peers[0].step()?, peers[1].step()?];
        if step >= WARM_UP {
            times.iter_mut().zip(taken).for_each(|(times, taken)| times.push(taken));
        }
    }
    let parameters = ours.parameters();
    for peer in &peers {
        ensure!(
            peer.parameters == parameters,
            "{network}: {} against {parameters}",
            peer.parameters
        );
    }
    let case = format!("training step {network} (batch {batch})");
    let timings = times.map(Timing::of);
    let systems = ["gleaner", "PyTorch", "PyTorch (channels last)"];
    for (system, timing) in systems.iter().zip(&timings) {
        println!("{case}: {system}: {:.1} ms", timing.median);
    }
    let row = |system: usize| Row {
        case: case.clone(),
        n: batch,
        system: systems[system].into(),
        forward: Some(timings[system]),
        note: format!("the whole step; {parameters} parameters"),
        ..Row::default()
    };
    Ok([row(0), row(1), row(2)])
}

/// A network on noise, as in `convolution.py`.
struct Step {
    learner: Box<dyn Learner>,
    optimiser: Optimiser,
    images: Tensor,
    labels: Tensor,
}

impl Step {
    fn new(network: &str, batch: usize) -> Result<Self> {
        let learner: Box<dyn Learner> = if network == "cnn" {
            Box::new(Cnn::new(&CnnOptions::default(), 0, DType::F32, &Device::Cpu)?)
        } else {
            let options = ResNetOptions::new(network.parse::<ResNetKind>()?);
            Box::new(ResNet::new(&options, 0, DType::F32, &Device::Cpu)?)
        };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let pixels: Vec<f32> = (0..batch * 3 * 1024).map(|_| rng.sample(StandardNormal)).collect();
        let images = Tensor::from_vec(pixels, (batch, 3, 32, 32), &Device::Cpu)?;
        let labels: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
        let labels = Tensor::new(labels, &Device::Cpu)?;
        let sgd = OptimiserOptions::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        let optimiser = Optimiser::new(learner.variables().to_vec(), sgd, 0.01)?;
        Ok(Self { learner, optimiser, images, labels })
    }

    fn take(&mut self) -> Result<()> {
        let losses = cross_entropy(&self.learner.training_logits(&self.images)?, &self.labels)?;
        let gradients = losses.mean_all()?.backward()?;
        let gradients: Vec<Option<Tensor>> = (self.learner.variables().iter())
            .map(|(_, variable)| gradients.get(variable).cloned())
            .collect();
        Ok(self.optimiser.step(&gradients)?)
    }

    fn parameters(&self) -> usize {
        self.learner.variables().iter().map(|(_, variable)| variable.elem_count()).sum()
    }
}

/// PyTorch, which takes a step when told to.
struct Peer {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    parameters: usize,
}

impl Peer {
    fn start(python: &Path, network: &str, batch: usize, channels_last: bool) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/convolution.py");
        let mut command = Command::new(python);
        command.args(["-W", "ignore"]).arg(script).arg(network).arg(batch.to_string());
        if channels_last {
            command.arg("--channels-last");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let commands = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut peer = Self { child, commands, answers, parameters: 0 };
        peer.parameters = peer.answer()?.parse()?;
        Ok(peer)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "convolution.py has ended");
        Ok(line.trim().into())
    }

    /// Milliseconds of a step.
    fn step(&mut self) -> Result<f64> {
        writeln!(self.commands)?;
        Ok(self.answer()?.parse()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is nothing left to do here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
