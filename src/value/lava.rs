//! How much each point's mass costs an optimal transport to the validation set.

use rand::RngCore;

use crate::choose::strategies::within::class_balanced::{members, numbered};
use crate::choose::transport::{Costs, Rows, Sinkhorn, equal};
use crate::choose::{Evidence, Kind, Needs};
use crate::error::{Error, Result};
use crate::value::Valuation;
use crate::value::judged::Judged;

/// Minus the derivative, in each point's mass, of the distance in optimal transport between the points and the
/// validation points, where a pair costs how far apart its features are and how far apart its labels' classes are:
///
/// ```text
/// C_iv     ||x_i - x_v|| + label_weight W(points labelled y_i, validation points labelled y_v)
/// OT       min <P, C> - eps entropy(P)        over P >= 0 with row sums 1/N and column sums b
/// f_i      the dual variable of row i
/// v_i      mean of the other f less f_i: what OT falls by if mass moves to i from all others
/// ```
///
/// `W` is the transport cost between the features of two classes, by the same method, and `b` what [`ValidationMasses`]
/// says. Features are standardised by all points. No learner is asked: a point is worth little where no validation
/// point of its class lies near. Values are about distributions; of wrong labels they find fewer than those that ask a
/// learner.
///
/// # Cost
/// `O(N M)` time for each of the sweeps of two transports, at most `sweeps` each, on all cores; `O(N M)` memory.
///
/// # Errors
/// [`Error::OutOfRange`] unless `smoothing` lies in [1e-4, 1e4] and `label_weight` in [0, 1e6], or without a sweep,
/// [`Error::Shape`] if validation points have another width.
///
/// # Reference
/// H. A. Just et al., *LAVA: Data Valuation without Pre-Specified Learning Algorithms*, ICLR 2023 (theorem 2); M.
/// Cuturi, *Sinkhorn Distances: Lightspeed Computation of Optimal Transport*, NeurIPS 2013.
///
/// # Differences from the paper
/// Validation points have equal masses there, and a class that is rarer among them than among the points costs all of
/// its points alike: what was drawn by chance hides what is wrong within a class.
///
/// # Example
/// ```
/// use gleaner::choose::Evidence;
/// use gleaner::value::{Lava, Valuation};
/// # let mut rng = rand::rng();
///
/// // On a line: three points of each class, the last one with the wrong label.
/// let validation = Evidence::new(2).with_features(&[1.0, 9.0], 1)?.with_labels(&[0, 1])?;
/// let evidence = Evidence::new(6).with_features(&[0.0, 1.0, 2.0, 8.0, 9.0, 10.0], 1)?;
/// let evidence = evidence.with_labels(&[0, 0, 0, 1, 1, 0])?.with_validation(&validation);
/// let values = Lava::default().values(&evidence, &mut rng)?;
/// let least = (0..6).min_by(|&a, &b| values[a].total_cmp(&values[b]));
/// assert_eq!(least, Some(5));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lava {
    /// `eps`, in units of the mean cost; 0.02 by default.
    pub smoothing: f64,
    /// How much a distance of labels counts beside one of features; 1 by default.
    pub label_weight: f64,
    /// Masses of the validation points.
    pub masses: ValidationMasses,
    /// Sweeps of Sinkhorn's iteration, at most, 1,000 by default; it ends before if row sums are right to a relative
    /// 1e-5. What it ends with are the dual variables for row sums as they then are.
    pub sweeps: usize,
}

/// How much each validation point weighs in a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValidationMasses {
    /// All alike.
    Equal,
    /// Classes as much as among the points, those of one class alike; classes that no point has nothing. All alike if
    /// points and validation points share no class.
    #[default]
    LikePoints,
}

impl Default for Lava {
    fn default() -> Self {
        Self {
            smoothing: 0.02,
            label_weight: 1.0,
            masses: ValidationMasses::default(),
            sweeps: 1000,
        }
    }
}

impl Valuation for Lava {
    fn name(&self) -> &str {
        "lava"
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Labels, Kind::Validation])
    }

    /// A point alone is worth zero.
    fn values(&self, evidence: &Evidence, _: &mut dyn RngCore) -> Result<Vec<f64>> {
        self.check()?;
        let judged = Judged::of(evidence, self.name())?;
        let points = judged.labels.len();
        if points < 2 {
            return Ok(vec![0.0; points]);
        }
        let mut costs = Costs::distances(judged.rows, judged.others, judged.width)?;
        let labels = self.labels(&costs, &judged);
        let ((own, _), (wanted, classes)) = (numbered(judged.labels), numbered(judged.wanted));
        for (row, own) in costs.rows_mut().zip(own) {
            let labels = &labels[own as usize * classes..][..classes];
            let pairs = row.iter_mut().zip(&wanted);
            pairs.for_each(|(cost, wanted)| *cost += self.label_weight * labels[*wanted as usize]);
        }
        let masses = self.masses.of(&judged);
        Ok(self.sinkhorn().transport(&costs, Rows::Equal, &masses).falls())
    }
}

impl Lava {
    fn check(&self) -> Result<()> {
        self.sinkhorn().check()?;
        if !(0.0..=1e6).contains(&self.label_weight) {
            return Err(Error::range(
                "label weight",
                "at least 0 and at most 1e6",
                self.label_weight,
            ));
        }
        Ok(())
    }

    fn sinkhorn(&self) -> Sinkhorn {
        Sinkhorn { smoothing: self.smoothing, sweeps: self.sweeps }
    }

    /// `W` of each class of the points (a row) and each of the validation points.
    fn labels(&self, costs: &Costs, judged: &Judged) -> Vec<f64> {
        let others = members(judged.wanted);
        let pairs = members(judged.labels).into_iter();
        let pairs = pairs.flat_map(|own| others.iter().map(move |others| (own.clone(), others)));
        let cost = |(own, others): (Vec<usize>, &Vec<usize>)| {
            let costs = costs.part(&own, others);
            self.sinkhorn().transport(&costs, Rows::Equal, &equal(others.len())).cost
        };
        pairs.map(cost).collect()
    }
}

impl ValidationMasses {
    fn of(self, judged: &Judged) -> Vec<f64> {
        let mut masses = vec![0.0; judged.wanted.len()];
        for points in members(judged.wanted) {
            let label = judged.wanted[points[0]]; // a class with members
            let there = judged.labels.iter().filter(|other| **other == label).count();
            points.iter().for_each(|v| masses[*v] = there as f64 / points.len() as f64);
        }
        let total: f64 = masses.iter().sum();
        match self == Self::Equal || total == 0.0 {
            true => equal(masses.len()),
            false => masses.into_iter().map(|mass| mass / total).collect(),
        }
    }
}
