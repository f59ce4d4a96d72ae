//! Synthetic data in which it matters which points are kept.

use candle_core::{Device, Tensor};
use rand::{Rng, RngCore, seq::SliceRandom};
use rand_distr::{Distribution, StandardNormal};

use crate::data::{Dataset, flip_labels};
use crate::error::{Error, Result};

/// Fewest training points of a cluster.
const SMALLEST_CLUSTER: usize = 3;

/// What [`clusters`] draws.
///
/// ```
/// use gleaner::data::synthetic::ClusterOptions;
/// let noisy = ClusterOptions { label_noise: 0.2, ..Default::default() };
/// assert_eq!(noisy.points, 4000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterOptions {
    /// Training points; at least 3 a cluster. Default 4000.
    pub points: usize,
    /// Clusters; at least one a class. Default 60.
    pub clusters: usize,
    /// Classes; at least 2. Default 5.
    pub classes: usize,
    /// Numbers per point; at least 1. Default 10.
    pub dimensions: usize,
    /// Exponent `a >= 0` of the cluster sizes: the cluster of rank `r = 1, 2, …` has a share
    /// proportional to `r^-a` of the training points. 0 makes them equal. Default 1.2.
    pub zipf_exponent: f64,
    /// Standard deviation of every coordinate of a cluster's centre. Default 2.
    pub centre_spread: f64,
    /// Standard deviation of every coordinate of a point around its centre. Default 0.5.
    pub point_spread: f64,
    /// Fraction of the training points that copy another training point of their cluster, up to
    /// a small jitter; in [0, 0.5]. 0 turns copies off. Default 0.1.
    pub near_duplicates: f64,
    /// Standard deviation of every coordinate of a copy around its original. Default 0.01.
    pub duplicate_jitter: f64,
    /// Fraction of the training labels that are replaced by another class; in [0, 1]. Default 0.
    pub label_noise: f64,
    /// Validation points; at least 1. Default 100.
    pub validation: usize,
    /// Test points; at least 1. Default 3000.
    pub test: usize,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            points: 4000,
            clusters: 60,
            classes: 5,
            dimensions: 10,
            zipf_exponent: 1.2,
            centre_spread: 2.0,
            point_spread: 0.5,
            near_duplicates: 0.1,
            duplicate_jitter: 0.01,
            label_noise: 0.0,
            validation: 100,
            test: 3000,
        }
    }
}

/// What [`clusters`] returns.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// Training points in random order: unequal clusters, near-duplicates, noisy labels.
    pub train: Dataset,
    /// Validation points, drawn like the test points: every cluster equally likely, labels clean.
    pub validation: Dataset,
    /// Test points: every cluster equally likely, labels clean.
    pub test: Dataset,
    /// Cluster of each training point. Clusters are numbered by size, the largest is 0.
    pub cluster: Vec<usize>,
    /// Cluster of each test point, for accuracy by cluster.
    pub test_cluster: Vec<usize>,
    /// Whether each training label was replaced by a wrong one.
    pub flipped: Vec<bool>,
    /// For each training point that is a near-duplicate, the position of its original in `train`.
    /// Originals are not copies themselves.
    pub duplicate_of: Vec<Option<usize>>,
}

/// Draws Gaussian clusters of very unequal size, some near-duplicates, and optional label noise.
///
/// Training data over-represents a few clusters while test and validation points come from every
/// cluster alike, so a subset is good if it keeps the rare clusters and is not fooled by copies or
/// wrong labels. Each cluster has one class; clusters are dealt to the classes in turn, in random
/// order. Every option but `label_noise` shapes the points; equal generators with different
/// `label_noise` give the same points and the same clean labels.
///
/// # Errors
/// [`Error::OutOfRange`] naming the option that is outside the range given in [`ClusterOptions`];
/// [`Error::NotFinite`] if a spread is so large that a coordinate overflows `f32`.
///
/// # Example
///
/// ```
/// use gleaner::data::synthetic::{ClusterOptions, clusters};
/// use rand::SeedableRng;
///
/// let options = ClusterOptions { points: 500, clusters: 20, label_noise: 0.1, ..Default::default() };
/// let data = clusters(&options, &mut rand_chacha::ChaCha8Rng::seed_from_u64(7))?;
/// assert_eq!(data.train.inputs().dims(), [500, 10]);
/// assert_eq!(data.flipped.iter().filter(|&&flipped| flipped).count(), 50);
/// assert_eq!(data.duplicate_of.iter().flatten().count(), 50);
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn clusters(options: &ClusterOptions, rng: &mut dyn RngCore) -> Result<Clusters> {
    options.check()?;
    let mixture = Mixture::draw(options, rng);
    let sizes = zipf_sizes(options.points, options.clusters, options.zipf_exponent);
    let mut cluster: Vec<usize> = Vec::with_capacity(options.points);
    for (k, &size) in sizes.iter().enumerate() {
        cluster.resize(cluster.len() + size, k);
    }
    cluster.shuffle(rng);
    let mut rows = mixture.points(&cluster, rng);
    let duplicate_of = plant_duplicates(&mut rows, &cluster, options, rng);
    let clean = mixture.data(rows, &cluster)?;

    let (validation, _) = mixture.even_data(options.validation, rng)?;
    let (test, test_cluster) = mixture.even_data(options.test, rng)?;

    // The last draw, so that the points above do not depend on the amount of noise.
    let (labels, flipped) = flip_labels(clean.labels(), options.classes, options.label_noise, rng)?;
    let train = clean.with_labels(labels)?;
    Ok(Clusters { train, validation, test, cluster, test_cluster, flipped, duplicate_of })
}

/// Centres and classes of all clusters.
struct Mixture {
    centres: Vec<Vec<f64>>,
    class: Vec<u32>,
    classes: usize,
    point_spread: f64,
}

impl Mixture {
    fn draw(options: &ClusterOptions, rng: &mut dyn RngCore) -> Self {
        let origin = vec![0.0; options.dimensions];
        let centres =
            (0..options.clusters).map(|_| around(&origin, options.centre_spread, rng)).collect();
        let mut order: Vec<usize> = (0..options.clusters).collect();
        order.shuffle(rng);
        let mut class = vec![0; options.clusters];
        for (turn, k) in order.into_iter().enumerate() {
            class[k] = (turn % options.classes) as u32;
        }
        Self { centres, class, classes: options.classes, point_spread: options.point_spread }
    }

    fn points(&self, cluster: &[usize], rng: &mut dyn RngCore) -> Vec<Vec<f64>> {
        cluster.iter().map(|&k| around(&self.centres[k], self.point_spread, rng)).collect()
    }

    fn data(&self, rows: Vec<Vec<f64>>, cluster: &[usize]) -> Result<Dataset> {
        let shape = (rows.len(), self.centres[0].len());
        let numbers: Vec<f32> = rows.into_iter().flatten().map(|value| value as f32).collect();
        let labels = cluster.iter().map(|&k| self.class[k]).collect();
        Dataset::new(Tensor::from_vec(numbers, shape, &Device::Cpu)?, labels, self.classes)
    }

    /// Points from clusters chosen uniformly, whatever their training size.
    fn even_data(&self, points: usize, rng: &mut dyn RngCore) -> Result<(Dataset, Vec<usize>)> {
        let cluster: Vec<usize> =
            (0..points).map(|_| rng.random_range(0..self.centres.len())).collect();
        Ok((self.data(self.points(&cluster, rng), &cluster)?, cluster))
    }
}

/// A normal draw around `centre`, the same standard deviation in every coordinate.
fn around(centre: &[f64], deviation: f64, rng: &mut dyn RngCore) -> Vec<f64> {
    centre
        .iter()
        .map(|c| {
            let z: f64 = StandardNormal.sample(rng);
            c + deviation * z
        })
        .collect()
}

/// Replaces `round(near_duplicates · n)` rows by jittered copies of rows of their cluster, and says
/// which row each one copies. The first row of each cluster is never replaced, so there is always
/// something to copy.
fn plant_duplicates(
    rows: &mut [Vec<f64>],
    cluster: &[usize],
    options: &ClusterOptions,
    rng: &mut dyn RngCore,
) -> Vec<Option<usize>> {
    let mut seen = vec![false; options.clusters];
    let replaceable: Vec<usize> = (0..rows.len())
        .filter(|&point| std::mem::replace(&mut seen[cluster[point]], true))
        .collect();
    // At most half of the points: clusters have at least 3, so two thirds are replaceable.
    let count = (options.near_duplicates * rows.len() as f64).round() as usize;
    let mut copies: Vec<usize> = rand::seq::index::sample(rng, replaceable.len(), count)
        .into_iter()
        .map(|position| replaceable[position])
        .collect();
    copies.sort_unstable();

    let mut originals: Vec<Vec<usize>> = vec![Vec::new(); options.clusters];
    for point in 0..rows.len() {
        if copies.binary_search(&point).is_err() {
            originals[cluster[point]].push(point);
        }
    }
    let mut duplicate_of = vec![None; rows.len()];
    for copy in copies {
        let candidates = &originals[cluster[copy]];
        let original = candidates[rng.random_range(0..candidates.len())];
        rows[copy] = around(&rows[original], options.duplicate_jitter, rng);
        duplicate_of[copy] = Some(original);
    }
    duplicate_of
}

/// `points` shared among `clusters` in proportion to `rank^-exponent`, descending, none below
/// [`SMALLEST_CLUSTER`]: clusters whose share would be smaller get just that many, the others share
/// the rest by largest remainder.
fn zipf_sizes(points: usize, clusters: usize, exponent: f64) -> Vec<usize> {
    let weights: Vec<f64> = (1..=clusters).map(|rank| (rank as f64).powf(-exponent)).collect();
    let mut sum = 0.0;
    let running_sums: Vec<f64> = weights
        .iter()
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect();
    let rest = |free: usize| points - SMALLEST_CLUSTER * (clusters - free);
    let quota = |k: usize, free: usize| rest(free) as f64 * weights[k] / running_sums[free - 1];
    // Shares descend, so the last one decides; a single free cluster can take whatever is left.
    let enough = |free: &usize| quota(free - 1, *free) >= SMALLEST_CLUSTER as f64;
    let free = (2..=clusters).rev().find(enough).unwrap_or(1);

    let quotas: Vec<f64> = (0..free).map(|k| quota(k, free)).collect();
    let mut sizes = largest_remainder(&quotas, rest(free));
    sizes.resize(clusters, SMALLEST_CLUSTER);
    sizes
}

/// Rounds `quotas`, which sum to `total` up to floating-point error, to whole numbers that sum to
/// `total` exactly: down, then up where the remainder is largest (ties: the earlier one).
fn largest_remainder(quotas: &[f64], total: usize) -> Vec<usize> {
    let mut shares: Vec<usize> = quotas.iter().map(|quota| quota.floor() as usize).collect();
    let mut order: Vec<usize> = (0..quotas.len()).collect();
    order.sort_by(|&a, &b| quotas[b].fract().total_cmp(&quotas[a].fract()));
    let missing = total.saturating_sub(shares.iter().sum());
    for &k in order.iter().take(missing) {
        shares[k] += 1;
    }
    shares
}

impl ClusterOptions {
    fn check(&self) -> Result<()> {
        let count = |what, rule, found: usize, holds: bool| match holds {
            true => Ok(()),
            false => Err(Error::range(what, rule, found as f64)),
        };
        let labels_fit = self.classes >= 2 && u32::try_from(self.classes).is_ok();
        count("ClusterOptions::classes", "from 2 to 2^32 - 1", self.classes, labels_fit)?;
        let classes_covered = self.clusters >= self.classes;
        let rule = "at least the number of classes";
        count("ClusterOptions::clusters", rule, self.clusters, classes_covered)?;
        let clusters_filled = self.points / SMALLEST_CLUSTER >= self.clusters;
        let rule = "at least 3 times the number of clusters";
        count("ClusterOptions::points", rule, self.points, clusters_filled)?;
        count("ClusterOptions::dimensions", "at least 1", self.dimensions, self.dimensions > 0)?;
        count("ClusterOptions::validation", "at least 1", self.validation, self.validation > 0)?;
        count("ClusterOptions::test", "at least 1", self.test, self.test > 0)?;
        self.check_reals()
    }

    fn check_reals(&self) -> Result<()> {
        for (what, largest, rule, found) in [
            ("ClusterOptions::zipf_exponent", f64::MAX, "finite and >= 0", self.zipf_exponent),
            ("ClusterOptions::centre_spread", f64::MAX, "finite and >= 0", self.centre_spread),
            ("ClusterOptions::point_spread", f64::MAX, "finite and >= 0", self.point_spread),
            (
                "ClusterOptions::duplicate_jitter",
                f64::MAX,
                "finite and >= 0",
                self.duplicate_jitter,
            ),
            ("ClusterOptions::near_duplicates", 0.5, "in [0, 0.5]", self.near_duplicates),
            ("ClusterOptions::label_noise", 1.0, "in [0, 1]", self.label_noise),
        ] {
            if !(0.0..=largest).contains(&found) {
                return Err(Error::range(what, rule, found));
            }
        }
        Ok(())
    }
}
