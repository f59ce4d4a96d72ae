//! Points whose distribution is near that of a target set, by an optimal transport.

use rand::RngCore;

use crate::choose::transport::{Costs, Rows, Sinkhorn, equal};
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count};
use crate::error::{Error, Result};

/// Chooses points that lie as near to the points of the validation set, the target, as an optimal transport between the
/// two can tell.
///
/// ```text
/// C_iv    ||x_i - t_v||, less the least of column v: what no choice can avoid says nothing
/// P       min <P, C> - eps entropy(P)        over P >= 0 with column sums 1 / T and bounded row sums ([`Pull`])
/// f_i     the dual variable of row i: what the transport's cost changes by for each unit of mass at i
/// ```
///
/// For data that must serve one purpose, as [`TowardsTarget`](crate::choose::TowardsTarget): that one asks that every
/// target point has one chosen point like it, this one that as many lie in each region as the target has there. Features
/// are standardised by the points. Neither labels nor a learner are asked, and nothing is drawn.
///
/// # Cost
/// `O(N T)` time for `T` target points for each of at most `sweeps` sweeps, on all cores, and `O(N (count + T))` to
/// round; `O(N T)` memory.
///
/// # Errors
/// As [`Strategy::select`]; [`Error::OutOfRange`] also unless `smoothing` lies in [1e-4, 1e4], or without a sweep,
/// [`Error::Shape`] if target points have another width. Sweeps that end before they converge are no error: they leave
/// another choice, not one of another size.
///
/// # Reference
/// F. Kang, H. A. Just et al., *Get more for less: Principled Data Selection for Warming Up Fine-Tuning in LLMs*, ICLR
/// 2024 ([`Pull::Pool`], GOT-D); M. Cuturi, *Sinkhorn Distances: Lightspeed Computation of Optimal Transport*, NeurIPS
/// 2013; J.-D. Benamou et al., *Iterative Bregman Projections for Regularized Transportation Problems*, SIAM J. Sci.
/// Comput. 2015 (partial transport, for the bounds of [`Pull::Choice`]).
///
/// # Example
/// ```
/// use gleaner::choose::{Evidence, Pull, Strategy, Transported};
/// # let mut rng = rand::rng();
///
/// // The target has three points near 0 for each one near 9; the pool has as many here as there, and others.
/// let target = Evidence::new(4).with_features(&[0.0, 0.1, 0.2, 9.0], 1)?;
/// let rows = [0.0, 8.9, 5.0, 0.1, 9.1, 4.0, 0.3, 9.2];
/// let evidence = Evidence::new(8).with_features(&rows, 1)?.with_validation(&target);
/// let mut near = Transported::default().select(&evidence, 4, &mut rng)?.indices;
/// near.sort_unstable();
/// assert_eq!(near, [0, 1, 3, 6]);
///
/// // To what the pool has too little of: more mass near 0 would bring all of it nearer.
/// let strategy = Transported { pull: Pull::Pool, ..Default::default() };
/// assert!([0, 3, 6].contains(&strategy.select(&evidence, 1, &mut rng)?.indices[0]));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transported {
    /// What is to be near the target.
    pub pull: Pull,
    /// `eps`, in units of the mean cost; 0.02 by default.
    pub smoothing: f64,
    /// Sweeps of Sinkhorn's iteration, at most, 1,000 by default; it ends before if row sums are right to a relative
    /// 1e-5.
    pub sweeps: usize,
}

/// What is to be near the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// The choice, on which all of the target's mass is to go: row sums are at most `1 / count`. Without smoothing and with
    /// `count` a multiple of `T` the best choice is a vertex of that program. Rounded: again and again a parcel of a
    /// `count`-th of the target's mass, begun at the target point of which most is left and filled up with those that send
    /// most to the same point, is given to the point that it reaches at the least cost and `-f`. In the order of the
    /// parcels, not the best first. With `count` below `T` parcels hold several target points, and what is nearest is
    /// found for each, not for all at once.
    #[default]
    Choice,
    /// The whole pool, to which the choice is a nudge: row sums are `1 / N`, and the points come by what the transport
    /// costs less for each unit of mass moved to them from all others alike, the calibrated gradient
    /// `mean of the other f - f_i`, which is their gain. GOT-D, for data that go on where a training on the whole pool
    /// ended. Without regard to one another: all may lie in the region of which the pool has least.
    Pool,
}

impl Default for Transported {
    fn default() -> Self {
        Self { pull: Pull::default(), smoothing: 0.02, sweeps: 1000 }
    }
}

impl Strategy for Transported {
    fn name(&self) -> &str {
        match self.pull {
            Pull::Choice => "transported",
            Pull::Pool => "transported-pool",
        }
    }

    fn needs(&self) -> Needs {
        Needs::of(&[Kind::Features, Kind::Validation])
    }

    fn select(&self, evidence: &Evidence, count: usize, _: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        let costs = self.costs(evidence)?;
        match self.pull {
            Pull::Choice => Ok(Choice::equal(self.nearest(&costs, count))),
            Pull::Pool => Ok(Choice::top(&self.falls(&costs), count)),
        }
    }

    fn ranking(&self, evidence: &Evidence) -> Result<Option<Vec<f64>>> {
        match self.pull {
            Pull::Choice => Ok(None),
            Pull::Pool => Ok(Some(self.falls(&self.costs(evidence)?))),
        }
    }
}

impl Transported {
    fn engine(&self) -> Sinkhorn {
        Sinkhorn { smoothing: self.smoothing, sweeps: self.sweeps }
    }

    /// Of checked evidence, with checked settings.
    fn costs(&self, evidence: &Evidence) -> Result<Costs> {
        self.engine().check()?;
        let (rows, width) = evidence.features(self.name())?;
        let (target, found) = evidence.validation(self.name())?.features(self.name())?;
        if found != width {
            return Err(Error::shape("width of the validation features", width, found));
        }
        Ok(Costs::distances(rows, target, width)?.above_least())
    }

    /// What moving mass to each point saves; a point alone has nothing to save.
    fn falls(&self, costs: &Costs) -> Vec<f64> {
        match costs.of.len() / costs.columns {
            1 => vec![0.0],
            _ => self.engine().transport(costs, Rows::Equal, &equal(costs.columns)).falls(),
        }
    }

    /// The rounded transport to `count` points.
    fn nearest(&self, costs: &Costs, count: usize) -> Vec<usize> {
        let rows = Rows::AtMost(1.0 / count as f64);
        let found = self.engine().transport(costs, rows, &equal(costs.columns));
        let columns = costs.transposed();
        let mut prices: Vec<f64> = found.duals.iter().map(|f| -f).collect();
        let mut left = vec![count as f64 / costs.columns as f64; costs.columns];
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let most = least(left.iter().map(|mass| -mass));
            let alone = cheapest(&columns, &prices, &[(most, 1.0)]);
            let far = |v: usize| costs.row(alone)[v] - found.column_duals[v];
            let parcel = parcel(&mut left, most, far);
            let point = match parcel.len() {
                1 => alone,
                _ => cheapest(&columns, &prices, &parcel),
            };
            prices[point] = f64::INFINITY;
            chosen.push(point);
        }
        chosen
    }
}

/// Takes what one point can hold off what is left of the target points: first off this one, then off the nearest.
fn parcel(left: &mut [f64], first: usize, far: impl Fn(usize) -> f64) -> Vec<(usize, f64)> {
    let mut others = Vec::new();
    if left[first] < 1.0 {
        others = (0..left.len()).filter(|v| *v != first && left[*v] > 0.0).collect();
        others.sort_by(|a, b| far(*a).total_cmp(&far(*b)));
    }
    let (mut parcel, mut room) = (Vec::new(), 1.0f64);
    for v in std::iter::once(first).chain(others) {
        let mass = room.min(left[v]);
        left[v] -= mass;
        room -= mass;
        parcel.push((v, mass));
        if room <= 0.0 {
            break;
        }
    }
    parcel
}

/// The point that a parcel reaches at the least cost and price; those that are taken have no finite price.
fn cheapest(columns: &Costs, prices: &[f64], parcel: &[(usize, f64)]) -> usize {
    let mut all = prices.to_vec();
    for (v, mass) in parcel {
        all.iter_mut().zip(columns.row(*v)).for_each(|(sum, cost)| *sum += mass * cost);
    }
    least(all.into_iter())
}

/// The first of the least; zero of none.
fn least(all: impl Iterator<Item = f64>) -> usize {
    let first = (0, f64::INFINITY);
    all.enumerate().fold(first, |best, (k, x)| if x < best.1 { (k, x) } else { best }).0
}
