//! Selection for data whose features are given: evidence out of fold, a head that a judge teaches, priced coverage.

use rand::seq::SliceRandom;
use rand::{Rng, RngCore};
use rayon::prelude::*;

use super::blocks::Blocks;
use super::head::{Ground, Head};
use super::judge::{Judge, Lesson, Targets, stratified};
use crate::choose::neighbours::nearest::nearest_rows;
use crate::choose::neighbours::rows::squared_distance_exact;
use crate::choose::strategies::within::class_balanced::members;
use crate::choose::{
    Choice, ClassBalanced, CrossFit, Evidence, FacilityLocation, Kind, Margin, Mixed, Needs,
    OutOfFold, Shares, Similarity, Strategy, Weighted, check_count,
};
use crate::data::Standardiser;
use crate::error::Result;
use crate::seeds::Seeds;
use crate::value::{Suspects, Trusted};

/// Chooses points whose labels hold and that represent their class:
///
/// ```text
/// 1  p        class probabilities out of fold (CrossFit); points over whose label another class stands by more than the
///             `doubt` are left out: the more are kept, the more doubt is borne
/// 2  e        what is known of a point, as ranks: margin and agreement of its label, how dense and how central it is
/// 3  w(e)     where `steps` are asked for, what a point is worth: a head learned on random batches of as many points as
///             are wanted, of those that are left, by the exact derivative of a ridge regression's validation loss in
///             every weight (Judge)
/// 4  choice   facility location within each class, classes by their shares of what is left: a point must be represented
///             by its worth, and costs `price` times what it lacks of the best; a share of the choice may be `hard` instead,
///             the points between whose two most probable classes least decides
/// ```
///
/// The head is believed as far as the half of the validation set that did not teach it confirms, and learned anew for every
/// number of points.
///
/// The evidence's features and labels are those of the points; its validation's, which teach the head, are trusted. Without validation a fifth of
/// the points of each class, at most 1,000 in all, take its place, such as have labels that hold, and none of them is drawn
/// while the head learns. Where that leaves nobody, all points are worth the same.
///
/// # Cost
/// That of [`CrossFit`], of the neighbours within each class twice, and `O(steps batch^2 fourier)`: 20,000 points with
/// 100 features take under a minute on two cores.
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, Strategy};
/// use gleaner::joint::Gleaner;
/// # let mut rng = rand::rng();
///
/// // Two clusters on a line, ten points each; the label of the fourth point is wrong.
/// let features: Vec<f32> = (0..20).map(|i| if i < 10 { i as f32 } else { 100.0 + i as f32 }).collect();
/// let labels: Vec<u32> = (0..20).map(|i| u32::from(i >= 10) ^ u32::from(i == 3)).collect();
/// let validation = Evidence::new(4).with_features(&[1.5, 6.5, 112.5, 117.5], 1)?.with_labels(&[0, 0, 1, 1])?;
/// let evidence = Evidence::new(20).with_features(&features, 1)?.with_labels(&labels)?;
/// let choice = Gleaner::default().select(&evidence.with_validation(&validation), 4, &mut rng)?;
/// assert!(choice.len() == 4 && !choice.indices.contains(&3));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gleaner {
    /// Where probabilities come from.
    pub cross_fit: CrossFit,
    /// Random features of the judge; 256 by default.
    pub fourier: usize,
    /// Points of a batch at most; 400 by default. Fewer where fewer are wanted.
    pub batch: usize,
    /// Batches that the head learns on, such as 100; none by default, which makes all points worth the same: on real
    /// tables and texts the head has gained nothing beyond the spread of the seeds so far.
    pub steps: usize,
    /// Whether the head learns through selection programs, one a class of a batch, with what the points are worth as masses
    /// and their prices as column costs: what counts is what they keep. Batches are then larger than the number of points
    /// that is wanted, at most four times. Otherwise, the default, all points of a batch count by their worth.
    pub layered: bool,
    /// What a point costs that is worth nothing, in units of a point of mean mass; 0.3 by default.
    pub price: f64,
    /// How alike standardised features are; cosine by default.
    pub similarity: Similarity,
    /// How far another class's probability may stand above the label's, for each share of the points that is kept: a tenth
    /// of them bears a tenth of it. 0.2 by default; with 0 only the most probable class is believed.
    pub doubt: f64,
    /// The share of the choice that is hard; none by default. A quarter helps where many points are kept and what is hard
    /// can be learned, and harms where classes overlap.
    pub hard: f64,
    /// What each class gives, of all its points; by default in proportion to those whose labels are believed.
    pub quota: Option<Shares>,
    /// Whether a chosen point counts for all that it stands for ([`Weighted`]), of those whose labels are believed; not by
    /// default.
    pub weighted: bool,
}

impl Default for Gleaner {
    fn default() -> Self {
        Self {
            cross_fit: CrossFit::default(),
            fourier: 256,
            batch: 400,
            steps: 0,
            layered: false,
            price: 0.3,
            similarity: Similarity::Cosine,
            doubt: 0.2,
            hard: 0.0,
            quota: None,
            weighted: false,
        }
    }
}

/// What a [`Gleaner`] found out before it chooses.
pub struct Gleaned {
    settings: Gleaner,
    rows: Vec<f32>,
    width: usize,
    labels: Vec<u32>,
    /// Probabilities out of fold.
    pub out_of_fold: OutOfFold,
    /// Which labels are not the most probable class.
    pub unlikely: Vec<bool>,
    /// `None` where nothing is to be learned, or by too few points.
    school: Option<School>,
    seeds: Seeds,
}

/// What the head learns on.
struct School {
    /// A row a point: the columns of [`Gleaned::EVIDENCE`].
    evidence: Vec<Vec<f64>>,
    judge: Judge,
    /// The points of each class that may be drawn.
    drawn: Vec<Vec<usize>>,
}

/// The smallest batch that teaches.
const LEAST_BATCH: usize = 40;
/// The least share of a batch that a program keeps.
const LEAST_SHARE: f64 = 0.25;
/// Batches that ridge and temperature are chosen on.
const TUNING: usize = 6;
/// The neighbour within the class whose distance says how dense it is there.
const NEIGHBOUR: usize = 15;
/// Without a validation set: the share of the points that takes its place, and how many at most.
const OWN: (usize, usize) = (5, 1000);

impl Gleaner {
    /// Collects what does not depend on the number of points.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) without features or labels, those of [`CrossFit::classes`] and
    /// [`Judge::new`].
    pub fn look(&self, evidence: &Evidence, seeds: Seeds) -> Result<Gleaned> {
        self.look_with(evidence, seeds, |table, labelled| {
            self.cross_fit.classes(table.0, table.1, labelled.0, labelled.1, seeds)
        })
    }

    /// The same by probabilities out of fold that `find` has, for a table and its width, labels and classes.
    pub(crate) fn look_with(
        &self,
        evidence: &Evidence,
        seeds: Seeds,
        find: impl FnOnce((&[f32], usize), (&[u32], usize)) -> Result<OutOfFold>,
    ) -> Result<Gleaned> {
        let (features, width) = evidence.features(NAME)?;
        let labels = evidence.labels(NAME)?;
        let validation = match evidence.validation(NAME) {
            Ok(validation) => Some((validation.features(NAME)?.0, validation.labels(NAME)?)),
            Err(_) => None,
        };
        let known = labels.iter().chain(validation.iter().flat_map(|v| v.1));
        let classes = known.max().map_or(0, |largest| *largest as usize + 1);
        let out_of_fold = find((features, width), (labels, classes))?;
        let likely = out_of_fold.likely();
        let unlikely = likely.iter().zip(labels).map(|(a, b)| a != b).collect();
        let rows = Standardiser::fit(features, width)?.apply(features);
        let (settings, labels) = (self.clone(), labels.to_vec());
        let mut gleaned =
            Gleaned { settings, rows, width, labels, out_of_fold, unlikely, school: None, seeds };
        if self.steps > 0 {
            gleaned.school = gleaned.school(features, validation)?;
        }
        Ok(gleaned)
    }
}

const NAME: &str = "gleaner";

impl Gleaned {
    /// What the head sees of a point. The first four are ranks among all points, from -1 to 1.
    pub const EVIDENCE: [&str; 5] = [
        "margin of the label out of fold",
        "agreement of the neighbours",
        "density within the class",
        "nearness of the own centre",
        "square of the first",
    ];

    fn school(
        &self,
        features: &[f32],
        validation: Option<(&[f32], &[u32])>,
    ) -> Result<Option<School>> {
        let (labels, classes, width) = (&self.labels, self.out_of_fold.classes, self.width);
        let classes_of = members(labels);
        let held = match validation {
            Some(_) => vec![false; labels.len()],
            None => own_validation(&classes_of, &self.unlikely, self.seeds),
        };
        let free = |i: &usize| !held[*i] && !self.unlikely[*i];
        let left = |members: &Vec<usize>| members.iter().copied().filter(free).collect();
        let drawn: Vec<Vec<usize>> = classes_of.iter().map(left).collect();
        let drawn: Vec<_> = drawn.into_iter().filter(|members| !members.is_empty()).collect();
        let (own_rows, own_labels) = gathered(features, width, labels, &held);
        let (asked_rows, asked) = validation.unwrap_or((&own_rows, &own_labels));
        if asked.is_empty() || drawn.is_empty() {
            return Ok(None);
        }
        let taught = Lesson { rows: features, targets: Targets::Classes(labels, classes) };
        let asked = Lesson { rows: asked_rows, targets: Targets::Classes(asked, classes) };
        let seeds = Seeds::new(self.seeds.named("judge").random());
        let judge = Judge::new(taught, asked, width, self.settings.fourier, seeds)?;
        let evidence = ranks(&self.rows, width, labels, &self.out_of_fold);
        Ok(Some(School { evidence, judge, drawn }))
    }

    /// What each point is worth to a learner of `count` points, at most one; equal for equal evidence. And the head's numbers,
    /// one for each of [`EVIDENCE`](Self::EVIDENCE).
    ///
    /// # Errors
    /// As [`Judge::verdict`].
    pub fn worth(&self, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let Some(School { evidence, judge, drawn: classes }) = &self.school else {
            return Ok((vec![1.0; self.labels.len()], vec![0.0; Self::EVIDENCE.len()]));
        };
        let Gleaner { batch, steps, layered, similarity, price, .. } = self.settings;
        let (mut judge, mut rng) = (judge.clone(), self.seeds.named("head"));
        let share = (count as f64 / self.labels.len() as f64).max(LEAST_SHARE);
        let wanted = if layered { (count as f64 / share) as usize } else { count };
        let batch = wanted.max(LEAST_BATCH).min(batch.max(1));
        let (rows, width, labels) = (&self.rows[..], self.width, &self.labels[..]);
        let blocks = layered.then_some(Blocks { rows, width, labels, similarity, price, share });
        let ground = Ground { evidence, classes, batch, steps, blocks };
        let batches: Vec<Vec<usize>> =
            (0..TUNING).map(|_| stratified(classes, batch, &mut rng)).collect();
        judge.tune(&batches)?;
        let head = Head::learn(&judge, &ground, &mut rng)?;
        let weights: Vec<f64> = evidence.iter().map(|e| head.weight(e)).collect();
        let best = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        Ok((weights.into_iter().map(|w| w / best).collect(), head.theta))
    }

    /// So many points, by what they are [worth](Self::worth) to a learner of as many.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for none or more than there are.
    pub fn choose(&self, count: usize) -> Result<Choice> {
        check_count(&Evidence::new(self.labels.len()), count)?;
        self.choose_by(count, &self.worth(count)?.0)
    }

    /// Several numbers of points, in the order in which they are asked for, each choice contained in every larger one: all
    /// are beginnings of the largest.
    ///
    /// # Errors
    /// As [`choose`](Self::choose).
    pub fn nested(&self, counts: &[usize]) -> Result<Vec<Choice>> {
        for count in counts {
            check_count(&Evidence::new(self.labels.len()), *count)?;
        }
        let Some(most) = counts.iter().max() else {
            return Ok(Vec::new());
        };
        // Neighbourhoods that reach as far as the fewest need.
        let reach = most.div_ceil(counts.iter().min().copied().unwrap_or(*most)); // at least one
        let whole = self.covering(*most, &self.worth(*most)?.0, reach)?;
        counts.iter().map(|count| whole.first(*count)).collect()
    }

    /// So many points by a worth of the caller's own, in [0, 1].
    ///
    /// # Errors
    /// As [`choose`](Self::choose), and those of [`Evidence::with_masses`] and
    /// [`Evidence::with_column_costs`].
    pub fn choose_by(&self, count: usize, worth: &[f64]) -> Result<Choice> {
        self.covering(count, worth, 1)
    }

    fn covering(&self, count: usize, worth: &[f64], times_share: usize) -> Result<Choice> {
        let prices: Vec<f64> = worth.iter().map(|w| self.settings.price * (1.0 - w)).collect();
        let p = &self.out_of_fold;
        let evidence = Evidence::new(self.labels.len())
            .with_features(&self.rows, self.width)?
            .with_probabilities(&p.probabilities, p.classes)?
            .with_labels(&self.labels)?
            .with_masses(worth)?
            .with_column_costs(&prices)?;
        let Gleaner { similarity, doubt, hard, quota, weighted, .. } = self.settings;
        let covering = FacilityLocation { similarity, times_share, ..Default::default() };
        let suspects = Suspects::Unlikely(doubt * count as f64 / self.labels.len() as f64);
        let rng = &mut self.seeds.named("choice");
        let within = Mixed::new(covering, Margin, hard)?;
        let weighed = |within: Box<dyn Strategy>| -> Box<dyn Strategy> {
            if weighted { Box::new(Weighted::new(within, similarity)) } else { within }
        };
        match quota {
            None => {
                let within = ClassBalanced::new(within, Shares::Proportional);
                let trusted = Trusted::beyond(suspects, weighed(Box::new(within)));
                trusted.select(&evidence, count, rng)
            }
            // Of a class that gives more than is believed the least suspect.
            Some(shares) => {
                let trusted = Trusted::beyond(suspects, weighed(Box::new(within)));
                ClassBalanced::new(trusted, shares).select(&evidence, count, rng)
            }
        }
    }
}

impl Strategy for Gleaner {
    fn name(&self) -> &str {
        NAME
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels])
    }

    /// [`look`](Self::look), then [`choose`](Gleaned::choose): who wants several choices looks once.
    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        self.look(evidence, Seeds::new(rng.next_u64()))?.choose(count)
    }
}

/// The evidence of every point.
fn ranks(rows: &[f32], width: usize, labels: &[u32], seen: &OutOfFold) -> Vec<Vec<f64>> {
    let classes = seen.classes;
    let of = |table: &[f32], i: usize| -> f64 {
        let (row, own) = (&table[i * classes..(i + 1) * classes], labels[i] as usize);
        let others = row.iter().enumerate().filter(|(c, _)| *c != own).map(|(_, p)| *p);
        f64::from(row[own]) - f64::from(others.fold(0.0, f32::max))
    };
    let points = 0..labels.len();
    let margins: Vec<f64> = points.clone().map(|i| of(&seen.probabilities, i)).collect();
    let votes: Vec<f64> = match seen.votes.is_empty() {
        true => vec![0.0; labels.len()],
        false => points.clone().map(|i| of(&seen.votes, i)).collect(),
    };
    let members = members(labels);
    let columns = [
        ranked(&margins),
        ranked(&votes),
        ranked(&density(rows, width, &members)),
        ranked(&nearness(rows, width, labels, &members)),
    ];
    points
        .map(|i| {
            let margin = columns[0][i];
            columns.iter().map(|c| c[i]).chain([margin * margin]).collect()
        })
        .collect()
}

/// Ranks scaled to [-1, 1], equal numbers at their mean; all zero where there is nothing to tell points apart.
fn ranked(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
    let (last, mut ranks) =
        (numbers.len().saturating_sub(1).max(1) as f64, vec![0.0; numbers.len()]);
    let mut first = 0;
    for group in order.chunk_by(|a, b| numbers[*a] == numbers[*b]) {
        let middle = first as f64 + (group.len() - 1) as f64 / 2.0;
        group.iter().for_each(|i| ranks[*i] = 2.0 * middle / last - 1.0);
        first += group.len();
    }
    ranks
}

/// Minus the distance to the [`NEIGHBOUR`]-th neighbour within the class, or the farthest; a point alone is as dense as can
/// be.
fn density(rows: &[f32], width: usize, classes: &[Vec<usize>]) -> Vec<f64> {
    let mut density = vec![0.0; rows.len() / width];
    for members in classes {
        let own: Vec<f32> =
            members.iter().flat_map(|i| &rows[i * width..(i + 1) * width]).copied().collect();
        let nearest = nearest_rows(&own, width, NEIGHBOUR);
        for (i, list) in members.iter().zip(nearest) {
            density[*i] = list.last().map_or(0.0, |(_, closeness)| *closeness);
        }
    }
    density
}

/// How much nearer the own class's centre is than the nearest of the others, in units of both together.
fn nearness(rows: &[f32], width: usize, labels: &[u32], classes: &[Vec<usize>]) -> Vec<f64> {
    let centre = |members: &Vec<usize>| -> (u32, Vec<f32>) {
        let mut sum = vec![0.0; width];
        for i in members {
            let row = &rows[i * width..(i + 1) * width];
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let mean = sum.iter().map(|x| (x / members.len() as f64) as f32).collect();
        (labels[members[0]], mean) // a class with members
    };
    let centres: Vec<(u32, Vec<f32>)> = classes.iter().map(centre).collect();
    let of = |(row, label): (&[f32], &u32)| {
        let (mut own, mut other) = (0.0, f64::INFINITY);
        for (class, centre) in &centres {
            let distance = squared_distance_exact(row, centre).sqrt();
            if class == label {
                own = distance;
            } else {
                other = other.min(distance);
            }
        }
        match own + other {
            both if both > 0.0 && both.is_finite() => (other - own) / both,
            _ => 0.0,
        }
    };
    rows.par_chunks(width).zip(labels).map(of).collect()
}

/// Which points take the place of a validation set: some of each class whose labels hold.
fn own_validation(classes: &[Vec<usize>], wrong: &[bool], seeds: Seeds) -> Vec<bool> {
    let (mut held, mut rng) = (vec![false; wrong.len()], seeds.named("own validation"));
    let (share, most) = OWN;
    for members in classes {
        let limit = (members.len() / share).min((most * members.len()).div_ceil(wrong.len()));
        let mut sure: Vec<usize> = members.iter().copied().filter(|i| !wrong[*i]).collect();
        sure.shuffle(&mut rng);
        sure.into_iter().take(limit).for_each(|i| held[i] = true);
    }
    held
}

fn gathered(
    features: &[f32],
    width: usize,
    labels: &[u32],
    which: &[bool],
) -> (Vec<f32>, Vec<u32>) {
    let of: Vec<usize> = (0..labels.len()).filter(|i| which[*i]).collect();
    let rows = of.iter().flat_map(|i| &features[i * width..(i + 1) * width]).copied().collect();
    (rows, of.iter().map(|i| labels[*i]).collect())
}
