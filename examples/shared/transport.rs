//! Users of `transport`: points of a source with labels, those of others who differ from it; clusters; the base learner.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::log_softmax;
use gleaner::data::Standardiser;
use gleaner::data::synthetic::{ClusterOptions, clusters};
use gleaner::experiment::metrics::mean_and_std;
use gleaner::learn::{Learner, Mlp, MlpOptions, Sampling, TrainingOptions, train};
use gleaner::report::text_table;
use gleaner::{Dataset, Seeds};
use rand::seq::SliceRandom;
use rand::{Rng, RngCore};

use super::real_data::Set;

/// Points of a user: those to learn of, whose labels only a table of results looks at, and others to be tested on.
pub struct User {
    pub seen: Dataset,
    pub unseen: Dataset,
}

/// A source with labels; a user whose labels are known, to settle numbers on; a user to serve.
pub struct Task {
    pub source: Dataset,
    pub trial: User,
    pub target: User,
}

/// What there is: with a folder of sets digits and incomes, else clusters.
pub fn names(folder: Option<&Path>) -> &'static [&'static str] {
    if folder.is_some() { &["optdigits", "adult"] } else { &["clusters"] }
}

/// Draws the points of a task.
///
/// *optdigits*: digits, and those of the same or of other writers half a pixel further right. *adult*: incomes of people
/// below 35, and of those from 50 on, their age left out. *clusters*: clusters, and the same moved.
pub fn task(name: &str, folder: Option<&Path>, seed: u64) -> Result<Task> {
    let rng = &mut Seeds::new(seed).named("task");
    match (name, folder) {
        ("optdigits", Some(folder)) => {
            let set = Set::named(name, folder)?;
            let order = shuffled(0..set.train.len(), rng);
            let (source, trial) = (set.train.subset(&order[..2_000])?, &order[2_000..]);
            let test = shuffled(0..set.test.len(), rng);
            let trial = moved(&set.train.subset(trial)?, half_a_pixel)?;
            let target = moved(&set.test.subset(&test)?, half_a_pixel)?;
            let source = moved(&source, |inputs| inputs / 16.0)?;
            Ok(Task { source, trial: halves(&trial)?, target: halves(&target)? })
        }
        ("adult", Some(folder)) => {
            let set = Set::named(name, folder)?;
            let standard = Standardiser::fit(&rows(&set.train)?, set.train.inputs().dim(1)?)?;
            let mut people = |data: &Dataset, within: fn(&f32) -> bool| -> Result<Dataset> {
                let age = data.inputs().narrow(1, 0, 1)?.flatten_all()?.to_vec1::<f32>()?;
                let some = shuffled((0..age.len()).filter(|i| within(&age[*i])), rng);
                let some = data.subset(&some[..some.len().min(3_000)])?;
                let scaled = Tensor::from_vec(
                    standard.apply(&rows(&some)?),
                    some.inputs().dims(),
                    &Device::Cpu,
                )?;
                let ageless = scaled.narrow(1, 1, scaled.dim(1)? - 1)?.contiguous()?;
                Ok(Dataset::new(ageless, some.labels().to_vec(), some.classes())?)
            };
            let source = people(&set.train, |age| *age < 35.0)?;
            let trial = people(&set.train, |age| *age >= 50.0)?;
            let target = people(&set.test, |age| *age >= 50.0)?;
            Ok(Task { source, trial: halves(&trial)?, target: halves(&target)? })
        }
        _ => {
            let options = ClusterOptions {
                points: 1_000,
                clusters: 10,
                zipf_exponent: 0.0,
                point_spread: 0.8,
                near_duplicates: 0.0,
                validation: 1_000,
                test: 1_000,
                ..Default::default()
            };
            let data = clusters(&options, rng)?;
            let by: Vec<f32> =
                (0..options.dimensions).map(|_| rng.random_range(-2.5..2.5)).collect();
            let by = Tensor::from_vec(by, options.dimensions, &Device::Cpu)?;
            let user = |data: &Dataset| halves(&moved(data, |inputs| inputs.broadcast_add(&by))?);
            Ok(Task {
                source: data.train,
                trial: user(&data.validation)?,
                target: user(&data.test)?,
            })
        }
    }
}

fn shuffled(points: impl Iterator<Item = usize>, rng: &mut dyn RngCore) -> Vec<usize> {
    let mut points: Vec<usize> = points.collect();
    points.shuffle(rng);
    points
}

fn moved(data: &Dataset, by: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<Dataset> {
    Ok(Dataset::new(by(data.inputs())?, data.labels().to_vec(), data.classes())?)
}

/// Every pixel the mean of itself and its left neighbour, counts of 16 as ones.
fn half_a_pixel(inputs: &Tensor) -> candle_core::Result<Tensor> {
    let images = (inputs.reshape(((), 8, 8))? / 32.0)?;
    let right = images.narrow(2, 0, 7)?.pad_with_zeros(2, 1, 0)?;
    (images + right)?.flatten_from(1)
}

fn halves(data: &Dataset) -> Result<User> {
    let half = data.len() / 2;
    let part = |points: std::ops::Range<usize>| data.subset(&points.collect::<Vec<_>>());
    Ok(User { seen: part(0..half)?, unseen: part(half..data.len())? })
}

fn rows(data: &Dataset) -> Result<Vec<f32>> {
    Ok(data.inputs().flatten_all()?.to_vec1()?)
}

/// What is known of the source: its points, the share of each class, a learner trained on them.
pub struct Base {
    source: Dataset,
    pub prior: Vec<f64>,
    learner: Mlp,
    seed: u64,
}

/// Clusters of a user's points.
pub struct Clusters {
    of: Vec<usize>,
    /// Minus the mean log-probability of each class, a row a cluster.
    pub costs: Vec<Vec<f64>>,
    /// The share of the points in each.
    pub shares: Vec<f64>,
}

/// The label of each point that has one.
pub type Labels = Vec<Option<usize>>;

impl Base {
    pub fn new(source: &Dataset, seed: u64) -> Result<Self> {
        let points = source.len() as f64;
        let prior = source.class_counts().iter().map(|count| *count as f64 / points).collect();
        Ok(Self { source: source.clone(), prior, learner: learned(source, seed)?, seed })
    }

    /// Log-probabilities of the classes, a row a point; at least that of a thousandth.
    fn logs(&self, data: &Dataset) -> Result<Vec<Vec<f64>>> {
        let logits = self.learner.logits(data.inputs())?;
        let least = (log_softmax(&logits, D::Minus1)?.exp()? + 1e-3)?.log()?;
        Ok(least.to_dtype(DType::F64)?.to_vec2()?)
    }

    /// The labels that it would give itself.
    pub fn own(&self, data: &Dataset) -> Result<Labels> {
        Ok(self.logs(data)?.iter().map(|log| Some(largest(log))).collect())
    }

    pub fn clusters(&self, data: &Dataset, number: usize) -> Result<Clusters> {
        let of = k_means(data, number, &mut Seeds::new(self.seed).named("clusters"))?;
        let mut costs = vec![vec![0.0; self.prior.len()]; number];
        let mut counts = vec![0.0; number];
        for (&k, log) in of.iter().zip(self.logs(data)?) {
            counts[k] += 1.0;
            costs[k].iter_mut().zip(log).for_each(|(cost, log)| *cost -= log);
        }
        for (costs, count) in costs.iter_mut().zip(&counts) {
            costs.iter_mut().for_each(|cost| *cost /= f64::max(*count, 1.0));
        }
        let shares = counts.iter().map(|count| count / of.len() as f64).collect();
        Ok(Clusters { of, costs, shares })
    }

    /// The class of a point's cluster, unless the learner is that sure of another.
    pub fn fused(
        &self,
        data: &Dataset,
        clusters: &Clusters,
        plan: &[Vec<f64>],
        sure: f64,
    ) -> Result<Labels> {
        let class = |k: usize| Some(largest(&plan[k])).filter(|j| plan[k][*j] > 1e-6);
        let one = |(k, log): (&usize, Vec<f64>)| {
            let own = largest(&log);
            class(*k).filter(|class| *class == own || log[own].exp() < sure)
        };
        Ok(clusters.of.iter().zip(self.logs(data)?).map(one).collect())
    }

    /// How many clusters and what confidence give a trial user most right labels, the learner's own for points without.
    pub fn settled(
        &self,
        trial: &Dataset,
        numbers: &[usize],
        plan: impl Fn(&Clusters) -> Result<Vec<Vec<f64>>>,
    ) -> Result<(usize, f64)> {
        let (own, mut best) = (self.own(trial)?, (0.0, numbers[0], 0.0));
        for &number in numbers {
            let clusters = self.clusters(trial, number)?;
            let plan = plan(&clusters)?;
            for sure in [0.0, 0.5, 0.7, 0.9, 1.01] {
                let fused = self.fused(trial, &clusters, &plan, sure)?;
                let all: Labels =
                    fused.iter().zip(&own).map(|(fused, own)| fused.or(*own)).collect();
                let right = right(&all, trial);
                if right > best.0 {
                    best = (right, number, sure);
                }
            }
        }
        Ok((best.1, best.2))
    }

    /// In per cent: the share of a user's points with a label; how many of these are right, and would be the learner's own;
    /// what a learner of the source and of these gets right of unseen points.
    pub fn measured(&self, user: &User, labels: &Labels) -> Result<[f64; 4]> {
        let used = labels.iter().flatten().count() as f64 / labels.len() as f64;
        let kept: Labels =
            labels.iter().zip(self.own(&user.seen)?).map(|(label, own)| label.and(own)).collect();
        let right = [labels, &kept].map(|labels| right(labels, &user.seen) / used.max(1e-9));
        let personal = learned(&joined(&self.source, &user.seen, labels)?, self.seed)?;
        let found: Labels = personal
            .predict(user.unseen.inputs())?
            .iter()
            .map(|class| Some(*class as usize))
            .collect();
        Ok([used, right[0], right[1], self::right(&found, &user.unseen)].map(|share| 100.0 * share))
    }
}

/// The share of points whose label is right.
fn right(labels: &[Option<usize>], data: &Dataset) -> f64 {
    let pairs = labels.iter().zip(data.labels());
    pairs.filter(|(found, label)| **found == Some(**label as usize)).count() as f64
        / data.len() as f64
}

fn largest(row: &[f64]) -> usize {
    (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best })
}

/// A network with one hidden layer, trained on these.
fn learned(data: &Dataset, seed: u64) -> Result<Mlp> {
    let inputs = data.inputs().dim(1)?;
    let options = MlpOptions { inputs, hidden: vec![64], classes: data.classes() };
    let mlp = Mlp::new(&options, seed, DType::F32, &Device::Cpu)?;
    train(&mlp, data, Sampling::All, &TrainingOptions::default(), seed, |_| {})?;
    Ok(mlp)
}

/// The cluster of each point by k-means, the best of four starts as k-means++ draws them, 30 rounds each.
fn k_means(data: &Dataset, clusters: usize, rng: &mut dyn RngCore) -> Result<Vec<usize>> {
    let points = data.inputs().to_vec2::<f32>()?;
    let runs = (0..4).map(|_| one_run(&points, clusters, rng));
    let best = runs.min_by(|a, b| a.1.total_cmp(&b.1));
    Ok(best.context("a run")?.0)
}

fn one_run(points: &[Vec<f32>], clusters: usize, rng: &mut dyn RngCore) -> (Vec<usize>, f64) {
    let apart = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from((a - b).powi(2))).sum()
    };
    let mut centres = vec![points[rng.random_range(0..points.len())].clone()];
    let mut nearest = vec![f64::INFINITY; points.len()];
    while centres.len() < clusters {
        let last = &centres[centres.len() - 1];
        nearest.iter_mut().zip(points).for_each(|(d, point)| *d = d.min(apart(point, last)));
        let mut left = rng.random_range(0.0..1.0) * nearest.iter().sum::<f64>();
        let next = nearest.iter().position(|d| {
            left -= d;
            left <= 0.0
        });
        centres.push(points[next.unwrap_or(0)].clone());
    }
    let closest = |point: &Vec<f32>, centres: &[Vec<f32>]| {
        let all = centres.iter().map(|centre| apart(point, centre)).enumerate();
        all.fold((0, f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
    };
    for _ in 0..30 {
        let of: Vec<usize> = points.iter().map(|point| closest(point, &centres).0).collect();
        for (k, centre) in centres.iter_mut().enumerate() {
            let members = of.iter().zip(points).filter(|(of, _)| **of == k).map(|(_, point)| point);
            let count = members.clone().count();
            if count > 0 {
                *centre = vec![0.0; centre.len()];
                members.for_each(|point| {
                    centre.iter_mut().zip(point).for_each(|(c, x)| *c += x / count as f32)
                });
            }
        }
    }
    let found: Vec<(usize, f64)> = points.iter().map(|point| closest(point, &centres)).collect();
    (found.iter().map(|found| found.0).collect(), found.iter().map(|found| found.1).sum())
}

/// The source's points and those of a user that have a label.
fn joined(source: &Dataset, user: &Dataset, labels: &[Option<usize>]) -> Result<Dataset> {
    let some: Vec<usize> = (0..labels.len()).filter(|i| labels[*i].is_some()).collect();
    let found = labels.iter().flatten().map(|label| *label as u32);
    let all = source.labels().iter().copied().chain(found).collect();
    let inputs = match some.is_empty() {
        true => source.inputs().clone(),
        false => Tensor::cat(&[source.inputs(), user.subset(&some)?.inputs()], 0)?,
    };
    Ok(Dataset::new(inputs, all, source.classes())?)
}

/// A table, a row a way of labelling, and what the last of them gains over the first.
pub fn report(name: &str, ways: &[&str], found: &[Vec<[f64; 4]>]) {
    let text = |numbers: Vec<f64>| {
        let (mean, std) = mean_and_std(&numbers);
        format!("{mean:.1} ± {std:.1}")
    };
    let row = |(way, rows): (&&str, &Vec<[f64; 4]>)| {
        let labelled = rows.iter().any(|row| row[0] > 0.0);
        let cell = |k: usize| match labelled || k == 3 {
            true => text(rows.iter().map(|row| row[k]).collect()),
            false => "-".into(),
        };
        [vec![way.to_string()], (0..4).map(cell).collect()].concat()
    };
    let rows: Vec<Vec<String>> = ways.iter().zip(found).map(row).collect();
    println!(
        "{name}: per cent, mean ± standard deviation over seeds; accuracy on points that nobody saw"
    );
    print!("{}", text_table(&["labels by", "used", "right", "by the learner", "accuracy"], &rows));
    let last = found.len() - 1;
    let gain = found[last].iter().zip(&found[0]).map(|(last, first)| last[3] - first[3]).collect();
    println!("{} against {}: {}\n", ways[last], ways[0], text(gain));
}
