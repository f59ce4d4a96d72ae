//! The strategies, by what they look at; the rule they share; and the list of them by name.

pub(crate) mod clusters;
pub(crate) mod gradients;
pub(crate) mod scores;
pub(crate) mod spread;
pub(crate) mod submodular;
pub(crate) mod within;

use rand::RngCore;

use crate::choose::tasks::deeper;
use crate::choose::*;
use crate::data::Source;
use crate::error::{Error, Result};

/// A rule that chooses points.
pub trait Strategy: Send + Sync {
    /// Its name in tables.
    fn name(&self) -> &str;

    /// The evidence it cannot do without; [`select`](Self::select) refuses to go without it.
    fn needs(&self) -> Needs;

    /// `count` different points, best first; fewer only where the strategy keeps groups whole or to a
    /// budget, and says so.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are fewer points, `count` is zero or a setting is out of range,
    /// [`Error::Unknown`] for missing evidence.
    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice>;

    /// The number a point is ranked by, larger first; `None` where points are chosen jointly.
    ///
    /// # Errors
    /// [`Error::Unknown`] for missing evidence.
    fn ranking(&self, _evidence: &Evidence) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }

    /// The strategy as one that needs no more than a part of the rows in memory, if it can go without the rest.
    fn as_streaming(&self) -> Option<&dyn Streaming> {
        None
    }
}

/// A rule that chooses from a source which may be larger than memory.
pub trait Streaming: Strategy {
    /// `count` different points, best first.
    ///
    /// # Errors
    /// As [`select`](Strategy::select), and what the source can meet.
    fn select_from(
        &self,
        source: &dyn Source,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Choice>;

    /// What a task that has these rows only gives to a choice of all, in one round of [`Tasks`].
    ///
    /// Unless overridden, what [`select_from`](Self::select_from) chooses of them: for strategies whose gains never grow, and
    /// can be compared from one source to another.
    ///
    /// # Errors
    /// As [`select_from`](Self::select_from); [`Error::Unknown`] for a choice without gains.
    fn candidates(
        &self,
        source: &dyn Source,
        asked: &Asked,
        rng: &mut dyn RngCore,
    ) -> Result<Candidates> {
        let rows = source.points();
        let choice = self.select_from(source, asked.count(rows), rng)?;
        let gains = choice.gains.ok_or_else(|| Error::Unknown {
            what: "method of several tasks",
            expected: "one that gives each row it chooses a gain".into(),
            found: self.name().into(),
        })?;
        Ok(Candidates { rows, indices: choice.indices, gains, numbers: Vec::new() })
    }

    /// What tasks are asked next, if what they found does not settle which `count` candidates have the largest gains.
    ///
    /// Unless overridden, those all of whose candidates are among these are asked for twice as many.
    ///
    /// # Errors
    /// [`Error::Shape`] for candidates that the strategy did not make.
    fn next(
        &self,
        found: &[Candidates],
        asked: &[Asked],
        count: usize,
    ) -> Result<Option<Vec<Asked>>> {
        Ok(deeper(found, asked, count))
    }
}

/// So that strategies can be picked at run time and put into wrappers.
impl Strategy for Box<dyn Strategy> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn needs(&self) -> Needs {
        (**self).needs()
    }

    fn select(&self, evidence: &Evidence, count: usize, rng: &mut dyn RngCore) -> Result<Choice> {
        (**self).select(evidence, count, rng)
    }

    fn ranking(&self, evidence: &Evidence) -> Result<Option<Vec<f64>>> {
        (**self).ranking(evidence)
    }

    fn as_streaming(&self) -> Option<&dyn Streaming> {
        (**self).as_streaming()
    }
}

/// Every strategy with its default settings, baselines first, for comparisons of all. Left out are [`Random`];
/// [`TowardsTarget`] and [`Transported`], which answer another question; and [`FullGrand`] and what is [`Averaged`], whose
/// evidence takes a backward pass a point or several trainings.
pub fn all() -> Vec<Box<dyn Strategy>> {
    vec![
        Box::new(LeastConfidence),
        Box::new(Margin),
        Box::new(Entropy),
        Box::new(KCenter),
        Box::new(Forgetting),
        Box::new(El2n),
        Box::new(Grand),
        Box::new(Aum),
        Box::new(Dual::default()),
        Box::new(BetaSampled::default()),
        Box::new(LargestLoss),
        Box::new(SmallestLoss),
        Box::new(CoverageCentric::<Aum>::default()),
        Box::new(CoverageCentric::<Aum>::default().cut_by_share()),
        Box::new(D2::<Aum>::default()),
        Box::new(Moderate),
        Box::new(Herding),
        Box::new(Prototypes::default()),
        Box::new(Prototypes { keep: Keep::Nearest, ..Default::default() }),
        Box::new(SemDeDup::default()),
        Box::new(FacilityLocation::default()),
        Box::new(Prune4Rel::default()),
        Box::new(GraphCut::default()),
        Box::new(LogDeterminant::default()),
        Box::new(Badge),
        Box::new(Craig::default()),
        Box::new(GradMatch::default()),
        Box::new(Glister::default()),
        Box::new(Convex::default()),
    ]
}

/// The strategy of that name with its default settings; `class-balanced NAME` takes equal shares of every
/// class.
///
/// ```
/// use gleaner::choose::{Strategy, named};
/// assert_eq!(named("k-center")?.name(), "k-center");
/// assert_eq!(named("class-balanced entropy")?.name(), "class-balanced entropy");
/// assert!(named("entropie").is_err_and(|error| error.to_string().contains("entropy")));
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`] with all the names there are.
pub fn named(name: &str) -> Result<Box<dyn Strategy>> {
    if let Some(inner) = name.strip_prefix("class-balanced ") {
        return Ok(Box::new(ClassBalanced::new(named(inner)?, Shares::Equal)));
    }
    let mut all = all();
    all.push(Box::new(Random));
    all.push(Box::new(TowardsTarget::default()));
    all.push(Box::new(Transported::default()));
    all.push(Box::new(FullGrand));
    all.push(Box::new(Averaged(El2n)));
    all.push(Box::new(Averaged(Grand)));
    all.push(Box::new(Averaged(FullGrand)));
    let names: Vec<String> = all.iter().map(|strategy| strategy.name().to_string()).collect();
    let found = all.into_iter().find(|strategy| strategy.name() == name);
    found.ok_or(Error::Unknown { what: "strategy", expected: names.join(", "), found: name.into() })
}

/// The strategies of these names, all different: `all` alone stands for every one that `there` meets the
/// [needs](Strategy::needs) of. Those that need nothing are left out, for random choices stand beside every
/// experiment anyway.
///
/// ```
/// use gleaner::choose::{Kind, Needs, listed};
///
/// let there = Needs::of(&[Kind::Losses]);
/// let names = |asked: &[&str]| -> gleaner::Result<Vec<String>> {
///     Ok(listed(asked, there)?.iter().map(|strategy| strategy.name().into()).collect())
/// };
/// assert_eq!(names(&["all"])?, ["largest-loss", "smallest-loss"]);
/// assert_eq!(names(&["smallest-loss", "random"])?, ["smallest-loss"]);
/// assert!(names(&["entropy"]).is_err() && names(&["smallest-loss"; 2]).is_err());
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`] for an unknown name or needs that are not met, [`Error::Shape`] for a name twice.
pub fn listed<S: AsRef<str>>(names: &[S], there: Needs) -> Result<Vec<Box<dyn Strategy>>> {
    if let [only] = names
        && only.as_ref() == "all"
    {
        return Ok(all().into_iter().filter(|s| s.needs().are_met_by(there)).collect());
    }
    let mut found = names.iter().map(|name| named(name.as_ref())).collect::<Result<Vec<_>>>()?;
    found.retain(|strategy| strategy.needs() != Needs::NOTHING);
    found.iter().try_for_each(|strategy| check_needs(strategy, there))?;
    check_distinct(&found)?;
    Ok(found)
}

/// Refuses two strategies of one name, whose results could not be told apart.
///
/// # Errors
/// [`Error::Shape`] that says which.
pub fn check_distinct(strategies: &[Box<dyn Strategy>]) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    match strategies.iter().find(|strategy| !names.insert(strategy.name())) {
        None => Ok(()),
        Some(twice) => {
            let (expected, found) = ("different names".into(), format!("{:?} twice", twice.name()));
            Err(Error::Shape { what: "strategies", expected, found })
        }
    }
}

/// Positions of the `count` largest scores, best first; equal scores keep the smaller position first.
pub fn top(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // Stable; adding zero makes -0 and 0 the tie they are.
    order.sort_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
    order.truncate(count);
    order
}

pub(crate) fn check_count(evidence: &Evidence, count: usize) -> Result<()> {
    check_share(evidence.points(), count)
}

pub(crate) fn check_share(points: usize, count: usize) -> Result<()> {
    if count == 0 || count > points {
        let rule = "between 1 and the number of points";
        return Err(Error::range("points to select", rule, count as f64));
    }
    Ok(())
}
