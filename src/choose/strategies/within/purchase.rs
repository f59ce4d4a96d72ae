//! Points bought one by one or by the group, where a group's first point costs extra.

use nalgebra::DMatrix;
use rand::RngCore;
use rand::seq::SliceRandom;

use crate::choose::neighbours::rows::squared_distance_exact;
use crate::choose::strategies::within::affordable::{check_budget, unaffordable};
use crate::choose::strategies::within::class_balanced::members;
use crate::choose::{Choice, Evidence, Kind, Needs, Strategy, check_count, top};
use crate::error::{Error, Result};
use crate::program::{Budget, BudgetRow, Method, ProgramOptions, Regulariser, SelectionProgram};

/// What [`Purchase`] buys at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offers {
    /// Groups as a whole.
    Groups,
    /// Points, as if sessions cost nothing: that they do shows only when the money is spent.
    Points,
    /// Points, each charged an equal share of its group's session until that is paid.
    PointsWithSessions,
}

/// Buys training data for a sum of money: every point has a cost ([`Evidence::with_costs`]), and the first
/// one of a group ([`Evidence::with_groups`]) costs a session on top: consent, set-up, travel.
///
/// For [`Offers::Groups`] the program has a variable a group,
///
/// ```text
/// minimise    <D, Z> + eps/2 ||Z||^2                   D_ij: how badly point j stands in for i
/// subject to  Z >= 0,  Z 1 = 1                         every point is represented
///             Z_ij <= t_g  for every j of group g      t_g: how much of group g is bought
///             sum_g a_g t_g <= money                   a_g: a session and all of g
/// ```
///
/// where of each group only the point nearest to i may stand in for it (left as they are, the costs let
/// a point spread over k similar ones of a group, a share of 1/k each, and open the group for 1/k of the
/// price); otherwise a variable a point. Solving, buying along the weights until half of the money is gone
/// and solving again with what is owned at the price of nothing turns weights into purchases: rounded in
/// one go, weights of two offers alike would buy both.
///
/// `count` is an upper bound. In the order of the purchases.
///
/// # Cost
/// A program of all points a round, `O(N^2)` memory; the money is halved each round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Purchase {
    /// What is bought at a time.
    pub offers: Offers,
    /// Offers in a random order instead of the program's: the baseline.
    pub at_random: bool,
    /// What the first point of a group costs beside its own cost; at least 0.
    pub session: f64,
    /// What all may cost together, sessions included; positive.
    pub money: f64,
    /// eps of the program, relative to the mean squared distance of all pairs; positive. 0.1 is a good value.
    pub smoothing: f64,
}

impl Strategy for Purchase {
    fn name(&self) -> &str {
        match (self.offers, self.at_random) {
            (Offers::Groups, false) => "purchase of groups",
            (Offers::Points, false) => "purchase of points",
            (Offers::PointsWithSessions, false) => "purchase of points with sessions",
            (Offers::Groups, true) => "random purchase of groups",
            (_, true) => "random purchase of points",
        }
    }

    fn needs(&self) -> Needs {
        let paid = Needs::of(&[Kind::Groups, Kind::Costs]);
        if self.at_random { paid } else { paid.and(Needs::of(&[Kind::Features])) }
    }

    /// At most `count` points; [`Error::OutOfRange`] if nothing can be bought.
    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        check_count(evidence, count)?;
        self.check()?;
        let (durations, labels) = (evidence.costs(self.name())?, evidence.groups(self.name())?);
        let groups = members(labels);
        let mut group = vec![0; labels.len()];
        for (g, members) in groups.iter().enumerate() {
            members.iter().for_each(|i| group[*i] = g);
        }
        let market = Market { costs: durations, group, groups };
        let mut offers: Vec<Vec<usize>> = match self.offers {
            Offers::Groups => market.groups.clone(),
            _ => (0..labels.len()).map(|i| vec![i]).collect(),
        };
        let mut purse = Purse::new(&market, self, count);
        if self.at_random {
            offers.shuffle(rng);
            offers.iter().for_each(|offer| purse.buy(offer));
        } else {
            let (rows, width) = evidence.features(self.name())?;
            self.buy_in_rounds(&distances(rows, width), &offers, &mut purse)?;
        }
        if purse.bought.is_empty() {
            return Err(unaffordable(self.money));
        }
        Ok(Choice::equal(purse.bought))
    }
}

fn distances(rows: &[f32], width: usize) -> DMatrix<f64> {
    let rows: Vec<&[f32]> = rows.chunks(width).collect();
    DMatrix::from_fn(rows.len(), rows.len(), |i, j| squared_distance_exact(rows[i], rows[j]))
}

impl Purchase {
    fn check(&self) -> Result<()> {
        check_budget(self.money)?;
        if !(self.session >= 0.0 && self.session.is_finite()) {
            let (what, rule, found) = ("session", "finite and at least zero", self.session);
            return Err(Error::range(what, rule, found));
        }
        if !(self.smoothing > 0.0 && self.smoothing.is_finite()) {
            let (what, rule, found) = ("smoothing", "positive and finite", self.smoothing);
            return Err(Error::range(what, rule, found));
        }
        Ok(())
    }

    fn buy_in_rounds(
        &self,
        distances: &DMatrix<f64>,
        offers: &[Vec<usize>],
        purse: &mut Purse,
    ) -> Result<()> {
        /// A smaller weight is smoothing, not a choice.
        const SEEN: f64 = 1e-3;
        // Where all points coincide no distance has a scale.
        let eps = self.smoothing * if distances.max() > 0.0 { distances.mean() } else { 1.0 };
        let costs = match self.offers {
            Offers::Groups => nearest_of_each_group(distances, &purse.market.groups),
            _ => distances.clone(),
        };
        while offers.iter().any(|o| purse.price(o) > 0.0 && purse.is_affordable(o)) {
            let before = purse.bought.len();
            let weights = self.weights(&costs, eps, offers, purse)?;
            let enough = purse.money / 2.0;
            for k in top(&weights, weights.len()) {
                if weights[k] > SEEN && purse.money > enough {
                    purse.buy(&offers[k]);
                }
            }
            if purse.bought.len() == before {
                break;
            }
        }
        Ok(())
    }

    /// One solve of the program: the weight of every offer, for the money that is left.
    fn weights(
        &self,
        costs: &DMatrix<f64>,
        eps: f64,
        offers: &[Vec<usize>],
        purse: &Purse,
    ) -> Result<Vec<f64>> {
        let coefficients = offers.iter().map(|offer| self.price_tag(offer, purse)).collect();
        // Dearer than anything it could save, so that no weight goes to what the money does not buy.
        let never = costs.max() * costs.nrows() as f64;
        let column_costs = offers.iter().map(|o| if purse.is_affordable(o) { 0.0 } else { never });
        let by_group = self.offers == Offers::Groups;
        let options = ProgramOptions {
            regulariser: Regulariser::Quadratic(eps),
            groups: by_group.then(|| purse.market.group.clone()),
            column_costs: Some(column_costs.collect()),
            ..Default::default()
        };
        let budget = Budget::Rows(vec![BudgetRow { coefficients, limit: purse.money }]);
        let program = SelectionProgram::new(costs.clone(), budget, options)?;
        Ok(program.solve(Method::Auto)?.weights().as_slice().to_vec())
    }

    /// What the program is told an offer costs; nothing if it is owned.
    fn price_tag(&self, offer: &[usize], purse: &Purse) -> f64 {
        let market = purse.market;
        match (self.offers, offer) {
            (Offers::Points, &[i]) if !purse.owned[i] => market.costs[i],
            // As if the group's other points were bought along and paid their part of the session.
            (Offers::PointsWithSessions, &[i]) if !purse.met[market.group[i]] => {
                market.costs[i] + self.session / market.groups[market.group[i]].len() as f64
            }
            _ => purse.price(offer),
        }
    }
}

/// Costs with which a group is opened as a whole: a point is represented by the one that is nearest to it
/// among each group's, or not by that group.
fn nearest_of_each_group(distances: &DMatrix<f64>, groups: &[Vec<usize>]) -> DMatrix<f64> {
    let n = distances.nrows();
    let mut costs = DMatrix::from_element(n, n, distances.max());
    for i in 0..n {
        for own in groups {
            let nearer =
                |&&a: &&usize, &&b: &&usize| distances[(i, a)].total_cmp(&distances[(i, b)]);
            if let Some(&j) = own.iter().min_by(nearer) {
                costs[(i, j)] = distances[(i, j)];
            }
        }
    }
    costs
}

/// What there is to buy.
struct Market<'a> {
    costs: &'a [f64],
    group: Vec<usize>,
    groups: Vec<Vec<usize>>,
}

/// What was bought, and what is left.
struct Purse<'a> {
    market: &'a Market<'a>,
    session: f64,
    money: f64,
    count: usize,
    bought: Vec<usize>,
    owned: Vec<bool>,
    met: Vec<bool>,
}

impl<'a> Purse<'a> {
    fn new(market: &'a Market, settings: &Purchase, count: usize) -> Self {
        Self {
            market,
            session: settings.session,
            money: settings.money,
            count,
            bought: Vec::new(),
            owned: vec![false; market.costs.len()],
            met: vec![false; market.groups.len()],
        }
    }

    fn missing<'o>(&'o self, offer: &'o [usize]) -> impl Iterator<Item = &'o usize> {
        offer.iter().filter(|i| !self.owned[**i])
    }

    /// What these points of one group cost now.
    fn price(&self, offer: &[usize]) -> f64 {
        let costs: f64 = self.missing(offer).map(|i| self.market.costs[*i]).sum();
        match self.missing(offer).next() {
            Some(i) if !self.met[self.market.group[*i]] => self.session + costs,
            _ => costs,
        }
    }

    fn is_affordable(&self, offer: &[usize]) -> bool {
        let left = self.count - self.bought.len();
        self.missing(offer).count() <= left && self.price(offer) <= self.money
    }

    /// Buys what is missing of the offer, if there is the money for all of it.
    fn buy(&mut self, offer: &[usize]) {
        if !self.is_affordable(offer) {
            return;
        }
        self.money -= self.price(offer);
        for &i in offer {
            if !std::mem::replace(&mut self.owned[i], true) {
                self.bought.push(i);
            }
            self.met[self.market.group[i]] = true;
        }
    }
}
