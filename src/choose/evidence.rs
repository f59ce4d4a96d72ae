//! What a strategy may look at: plain numbers, checked once.

use std::borrow::Cow;

use crate::choose::{Kind, Needs, Strategy};
use crate::error::{Error, Result};

/// What is known about the points; each kind is optional, and what is here is well-formed.
///
/// Tables are row-major. Nothing is copied: the evidence borrows.
///
/// # Example
/// ```
/// use gleaner::choose::{Entropy, Evidence, Strategy};
/// # let mut rng = rand::rng();
///
/// // Three points, two classes; the second point is the one the learner is least sure of.
/// let evidence = Evidence::new(3).with_probabilities(&[1.0, 0.0, 0.4, 0.6, 0.1, 0.9], 2)?;
/// assert_eq!(Entropy.select(&evidence, 2, &mut rng)?.indices, [1, 2]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    points: usize,
    features: Option<(&'a [f32], usize)>,
    losses: Option<&'a [f64]>,
    probabilities: Option<(&'a [f32], usize)>,
    labels: Option<&'a [u32]>,
    errors: Option<(&'a [f32], usize)>,
    history: Option<&'a [bool]>,
    margins: Option<&'a [f32]>,
    label_probabilities: Option<&'a [f32]>,
    remembered: Option<(&'a [f32], usize)>,
    column_costs: Option<&'a [f64]>,
    masses: Option<&'a [f64]>,
    groups: Option<&'a [u32]>,
    costs: Option<&'a [f64]>,
    validation: Option<&'a Evidence<'a>>,
    gradient_norms: Option<&'a [f64]>,
    repeats: Option<Repeats<'a>>,
}

/// What other trainings make of the points, or of some of theirs.
#[derive(Clone, Copy, Debug)]
struct Repeats<'a> {
    all: &'a [Evidence<'a>],
    /// Which; all points unless given.
    of: Option<&'a [usize]>,
}

/// How far from one the probabilities of a point may sum: softmax in `f32` over many classes.
const SUM_TOLERANCE: f64 = 1e-3;

impl<'a> Evidence<'a> {
    /// Nothing but the number of points.
    pub fn new(points: usize) -> Self {
        Self {
            points,
            features: None,
            losses: None,
            probabilities: None,
            labels: None,
            errors: None,
            history: None,
            margins: None,
            label_probabilities: None,
            remembered: None,
            column_costs: None,
            masses: None,
            groups: None,
            costs: None,
            validation: None,
            gradient_norms: None,
            repeats: None,
        }
    }

    /// With a row of `width` features a point.
    ///
    /// # Errors
    /// [`Error::Shape`] if the length is not `points * width` or remembered points have another width,
    /// [`Error::NotFinite`] for NaN or infinity.
    pub fn with_features(self, rows: &'a [f32], width: usize) -> Result<Self> {
        check_table("features", rows, self.points, width)?;
        if let Some((_, expected)) = self.remembered.filter(|(_, known)| *known != width) {
            return Err(Error::shape("width of the features", expected, width));
        }
        Ok(Self { features: Some((rows, width)), ..self })
    }

    /// With a loss a point.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NotFinite`] for NaN or infinity.
    pub fn with_losses(self, losses: &'a [f64]) -> Result<Self> {
        check_table("losses", losses, self.points, 1)?;
        Ok(Self { losses: Some(losses), ..self })
    }

    /// With the learner's probability of each class, a row of `classes` a point.
    ///
    /// # Errors
    /// [`Error::Shape`] if the length is not `points * classes`, [`Error::NotFinite`] for NaN or
    /// infinity, [`Error::OutOfRange`] for a negative entry, a row that does not sum to one within
    /// 0.001, or a label that is none of the classes.
    pub fn with_probabilities(self, rows: &'a [f32], classes: usize) -> Result<Self> {
        check_table("probabilities", rows, self.points, classes)?;
        if let Some(negative) = rows.iter().find(|p| **p < 0.0) {
            let found = f64::from(*negative);
            return Err(Error::range("probabilities", "at least zero", found));
        }
        let mut sums = rows.chunks(classes).map(|row| row.iter().map(|p| f64::from(*p)).sum());
        if let Some(found) = sums.find(|sum: &f64| (sum - 1.0).abs() > SUM_TOLERANCE) {
            let (what, rule) = ("sum of a point's probabilities", "one within 0.001");
            return Err(Error::range(what, rule, found));
        }
        Self { probabilities: Some((rows, classes)), ..self }.labels_are_classes()
    }

    /// With the class of each point.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::OutOfRange`] if probabilities are there and a
    /// label is none of their classes.
    pub fn with_labels(self, labels: &'a [u32]) -> Result<Self> {
        if labels.len() != self.points {
            return Err(Error::shape("labels", self.points, labels.len()));
        }
        Self { labels: Some(labels), ..self }.labels_are_classes()
    }

    /// With the derivative of each point's loss in the learner's outputs, a row of `width` a point: for
    /// numbers to predict and the squared error `2 (o - y)`. For classes, probabilities and labels say as
    /// much: `p - y`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the length is not `points * width`, [`Error::NotFinite`] for NaN or infinity.
    pub fn with_errors(self, rows: &'a [f32], width: usize) -> Result<Self> {
        check_table("errors", rows, self.points, width)?;
        Ok(Self { errors: Some((rows, width)), ..self })
    }

    /// With the training history: whether each point was predicted right, a row of `points` for each
    /// observed epoch, earliest first.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the length is a positive multiple of the number of points.
    pub fn with_history(self, right: &'a [bool]) -> Result<Self> {
        check_epochs("history", right.len(), self.points)?;
        Ok(Self { history: Some(right), ..self })
    }

    /// With the margins along training, `logit of the label - largest other logit`, a row of `points`
    /// for each observed epoch.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the length is a positive multiple of the number of points,
    /// [`Error::NotFinite`] for NaN or infinity.
    pub fn with_margins(self, margins: &'a [f32]) -> Result<Self> {
        check_epochs("margins", margins.len(), self.points)?;
        check_finite("margins", margins, self.points)?;
        Ok(Self { margins: Some(margins), ..self })
    }

    /// With the probability that the learner gave each point's label along training, a row of `points` for
    /// each observed epoch, earliest first.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the length is a positive multiple of the number of points,
    /// [`Error::NotFinite`] for NaN or infinity, [`Error::OutOfRange`] for a number outside [0, 1].
    pub fn with_label_probabilities(self, probabilities: &'a [f32]) -> Result<Self> {
        let what = "probabilities of the labels";
        check_epochs(what, probabilities.len(), self.points)?;
        check_finite(what, probabilities, self.points)?;
        if let Some(found) = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(Error::range(what, "between 0 and 1", f64::from(*found)));
        }
        Ok(Self { label_probabilities: Some(probabilities), ..self })
    }

    /// With the features of points that were kept before, a row of `width` each: what they cover need not
    /// be chosen again. They are no candidates and have no index. [`KCenter`](crate::choose::KCenter),
    /// [`FacilityLocation`](crate::choose::FacilityLocation) and [`Convex`](crate::choose::Convex) heed them.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the length is a multiple of `width` and `width` that of the features, if
    /// they are there; [`Error::NotFinite`] for NaN or infinity.
    pub fn with_remembered(self, rows: &'a [f32], width: usize) -> Result<Self> {
        check_table("remembered features", rows, rows.len() / width.max(1), width)?;
        if let Some((_, found)) = self.features.filter(|(_, features)| *features != width) {
            return Err(Error::shape("width of remembered features", found, width));
        }
        Ok(Self { remembered: Some((rows, width)), ..self })
    }

    /// With a price a point: what a trained selection model, or anybody else, holds against it. For
    /// [`Convex`](crate::choose::Convex) in units of a typical squared distance between features, for
    /// [`FacilityLocation`](crate::choose::FacilityLocation) of a point of mean mass that is met by itself.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NotFinite`] for NaN or infinity,
    /// [`Error::OutOfRange`] for a negative price.
    pub fn with_column_costs(self, prices: &'a [f64]) -> Result<Self> {
        check_table("column costs", prices, self.points, 1)?;
        if let Some(found) = prices.iter().copied().find(|price| *price < 0.0) {
            return Err(Error::range("column costs", "at least zero", found));
        }
        Ok(Self { column_costs: Some(prices), ..self })
    }

    /// With a mass a point, how much it counts that it is represented:
    /// [`FacilityLocation`](crate::choose::FacilityLocation) heeds it. Without, all count alike.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NotFinite`] for NaN or infinity,
    /// [`Error::OutOfRange`] for a negative mass.
    pub fn with_masses(self, masses: &'a [f64]) -> Result<Self> {
        check_table("masses", masses, self.points, 1)?;
        match masses.iter().copied().find(|mass| *mass < 0.0) {
            Some(found) => Err(Error::range("masses", "at least zero", found)),
            None => Ok(Self { masses: Some(masses), ..self }),
        }
    }

    /// With the group of each point, for what comes and goes together: a speaker, a patient, a scene.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length.
    pub fn with_groups(self, groups: &'a [u32]) -> Result<Self> {
        if groups.len() != self.points {
            return Err(Error::shape("groups", self.points, groups.len()));
        }
        Ok(Self { groups: Some(groups), ..self })
    }

    /// With what each point takes of a budget: seconds to label, bytes to keep, in any unit.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NotFinite`] for NaN or infinity,
    /// [`Error::OutOfRange`] unless all are positive.
    pub fn with_costs(self, costs: &'a [f64]) -> Result<Self> {
        check_table("costs", costs, self.points, 1)?;
        if let Some(found) = costs.iter().copied().find(|cost| *cost <= 0.0) {
            return Err(Error::range("costs", "positive", found));
        }
        Ok(Self { costs: Some(costs), ..self })
    }

    /// With a validation set of its own: features, probabilities and labels of other points, by the same
    /// learner.
    pub fn with_validation(self, validation: &'a Evidence<'a>) -> Self {
        Self { validation: Some(validation), ..self }
    }

    /// With the norm of each point's gradient in all of the learner's weights, such as
    /// [`gradient_norms`](crate::learn::gradient_norms) gives.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NotFinite`] for NaN or infinity,
    /// [`Error::OutOfRange`] for a negative norm.
    pub fn with_gradient_norms(self, norms: &'a [f64]) -> Result<Self> {
        check_table("norms of the gradients", norms, self.points, 1)?;
        match norms.iter().copied().find(|norm| *norm < 0.0) {
            Some(found) => Err(Error::range("norms of the gradients", "at least zero", found)),
            None => Ok(Self { gradient_norms: Some(norms), ..self }),
        }
    }

    /// With what further trainings of the same kind of learner, from other first weights, make of the same points:
    /// [`Averaged`](crate::choose::Averaged) asks for it.
    ///
    /// # Errors
    /// [`Error::Shape`] for none, or another number of points.
    pub fn with_repeats(self, repeats: &'a [Evidence<'a>]) -> Result<Self> {
        if repeats.is_empty() {
            return Err(Error::shape("repeats", "at least one", 0));
        }
        match repeats.iter().find(|repeat| repeat.points != self.points) {
            Some(other) => Err(Error::shape("points of a repeat", self.points, other.points)),
            None => Ok(Self { repeats: Some(Repeats { all: repeats, of: None }), ..self }),
        }
    }

    /// Number of points.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Rows of features and their width. This and the following fail with [`Error::Unknown`], in the
    /// name of the strategy that asks, if there is nothing of the kind.
    pub fn features(&self, strategy: &str) -> Result<(&'a [f32], usize)> {
        self.features.ok_or_else(|| missing(strategy, Kind::Features))
    }

    /// A loss a point.
    pub fn losses(&self, strategy: &str) -> Result<&'a [f64]> {
        self.losses.ok_or_else(|| missing(strategy, Kind::Losses))
    }

    /// Rows of probabilities and the number of classes.
    pub fn probabilities(&self, strategy: &str) -> Result<(&'a [f32], usize)> {
        self.probabilities.ok_or_else(|| missing(strategy, Kind::Probabilities))
    }

    /// A class a point.
    pub fn labels(&self, strategy: &str) -> Result<&'a [u32]> {
        self.labels.ok_or_else(|| missing(strategy, Kind::Labels))
    }

    /// Rows of the loss's derivative in the outputs, and their width; from probabilities and labels where
    /// they are not given.
    pub fn errors(&self, strategy: &str) -> Result<(Cow<'a, [f32]>, usize)> {
        if let Some((rows, width)) = self.errors {
            return Ok((Cow::Borrowed(rows), width));
        }
        let (Some((rows, classes)), Some(labels)) = (self.probabilities, self.labels) else {
            return Err(missing(strategy, Kind::Errors));
        };
        let mut errors = rows.to_vec();
        for (row, label) in errors.chunks_mut(classes).zip(labels) {
            row[*label as usize] -= 1.0;
        }
        Ok((Cow::Owned(errors), classes))
    }

    /// Whether each point was predicted right, a row an epoch.
    pub fn history(&self, strategy: &str) -> Result<&'a [bool]> {
        self.history.ok_or_else(|| missing(strategy, Kind::History))
    }

    /// Margins, a row an epoch.
    pub fn margins(&self, strategy: &str) -> Result<&'a [f32]> {
        self.margins.ok_or_else(|| missing(strategy, Kind::Margins))
    }

    /// Probabilities of the labels, a row an epoch.
    pub fn label_probabilities(&self, strategy: &str) -> Result<&'a [f32]> {
        self.label_probabilities.ok_or_else(|| missing(strategy, Kind::LabelProbabilities))
    }

    /// Rows of features of points kept before; none unless given.
    pub fn remembered(&self) -> &'a [f32] {
        self.remembered.map_or(&[], |(rows, _)| rows)
    }

    /// A price a point, if there is one: every strategy can do without.
    pub fn column_costs(&self) -> Option<&'a [f64]> {
        self.column_costs
    }

    /// A mass a point, if there is one.
    pub fn masses(&self) -> Option<&'a [f64]> {
        self.masses
    }

    /// The group of each point.
    pub fn groups(&self, strategy: &str) -> Result<&'a [u32]> {
        self.groups.ok_or_else(|| missing(strategy, Kind::Groups))
    }

    /// What each point takes of a budget.
    pub fn costs(&self, strategy: &str) -> Result<&'a [f64]> {
        self.costs.ok_or_else(|| missing(strategy, Kind::Costs))
    }

    /// The validation set's evidence, of at least one point.
    pub fn validation(&self, strategy: &str) -> Result<&'a Evidence<'a>> {
        let there = self.validation.filter(|validation| validation.points > 0);
        there.ok_or_else(|| missing(strategy, Kind::Validation))
    }

    /// The norm of each point's gradient in all weights.
    pub fn gradient_norms(&self, strategy: &str) -> Result<&'a [f64]> {
        self.gradient_norms.ok_or_else(|| missing(strategy, Kind::GradientNorms))
    }

    /// A number a point by this evidence and by each of its repeats.
    pub(crate) fn by_training(
        &self,
        strategy: &str,
        number: impl Fn(&Evidence) -> Result<Vec<f64>>,
    ) -> Result<Vec<Vec<f64>>> {
        let Repeats { all, of } = self.repeats.ok_or_else(|| missing(strategy, Kind::Repeats))?;
        let mut found = vec![number(self)?];
        for repeat in all {
            let numbers = number(repeat)?;
            found.push(match of {
                None => numbers,
                Some(of) => gather(&numbers, 1, of),
            });
        }
        Ok(found)
    }

    /// The same about some of the points, in the order given.
    pub(crate) fn part(&self, of: &[usize]) -> Gathered<'a> {
        let rows = |(rows, width)| (gather(rows, width, of), width);
        Gathered {
            points: of.len(),
            features: self.features.map(rows),
            losses: self.losses.map(|losses| gather(losses, 1, of)),
            probabilities: self.probabilities.map(rows),
            labels: self.labels.map(|labels| gather(labels, 1, of)),
            errors: self.errors.map(rows),
            history: self.history.map(|right| gather_epochs(right, self.points, of)),
            margins: self.margins.map(|margins| gather_epochs(margins, self.points, of)),
            label_probabilities: (self.label_probabilities)
                .map(|probabilities| gather_epochs(probabilities, self.points, of)),
            remembered: self.remembered,
            column_costs: self.column_costs.map(|prices| gather(prices, 1, of)),
            masses: self.masses.map(|masses| gather(masses, 1, of)),
            groups: self.groups.map(|groups| gather(groups, 1, of)),
            costs: self.costs.map(|costs| gather(costs, 1, of)),
            validation: self.validation,
            gradient_norms: self.gradient_norms.map(|norms| gather(norms, 1, of)),
            repeats: self.repeats.map(|repeats| match repeats.of {
                None => (repeats.all, of.to_vec()),
                Some(known) => (repeats.all, gather(known, 1, of)),
            }),
        }
    }

    fn labels_are_classes(self) -> Result<Self> {
        if let (Some(labels), Some((_, classes))) = (self.labels, self.probabilities)
            && let Some(label) = labels.iter().find(|label| **label as usize >= classes)
        {
            let (what, rule) = ("labels", "below the number of classes");
            return Err(Error::range(what, rule, f64::from(*label)));
        }
        Ok(self)
    }
}

/// Evidence about some of the points, copied out.
pub(crate) struct Gathered<'a> {
    points: usize,
    features: Option<(Vec<f32>, usize)>,
    losses: Option<Vec<f64>>,
    probabilities: Option<(Vec<f32>, usize)>,
    labels: Option<Vec<u32>>,
    errors: Option<(Vec<f32>, usize)>,
    history: Option<Vec<bool>>,
    margins: Option<Vec<f32>>,
    label_probabilities: Option<Vec<f32>>,
    column_costs: Option<Vec<f64>>,
    masses: Option<Vec<f64>>,
    groups: Option<Vec<u32>>,
    costs: Option<Vec<f64>>,
    gradient_norms: Option<Vec<f64>>,
    /// All of them, and which of their points.
    repeats: Option<(&'a [Evidence<'a>], Vec<usize>)>,
    // The last two are about other points: whole.
    remembered: Option<(&'a [f32], usize)>,
    validation: Option<&'a Evidence<'a>>,
}

impl Gathered<'_> {
    /// No checks: whatever holds for all points holds for some.
    pub(crate) fn evidence(&self) -> Evidence<'_> {
        fn borrow(table: &Option<(Vec<f32>, usize)>) -> Option<(&[f32], usize)> {
            table.as_ref().map(|(rows, width)| (rows.as_slice(), *width))
        }
        Evidence {
            points: self.points,
            features: borrow(&self.features),
            losses: self.losses.as_deref(),
            probabilities: borrow(&self.probabilities),
            labels: self.labels.as_deref(),
            errors: borrow(&self.errors),
            history: self.history.as_deref(),
            margins: self.margins.as_deref(),
            label_probabilities: self.label_probabilities.as_deref(),
            remembered: self.remembered,
            column_costs: self.column_costs.as_deref(),
            masses: self.masses.as_deref(),
            groups: self.groups.as_deref(),
            costs: self.costs.as_deref(),
            validation: self.validation,
            gradient_norms: self.gradient_norms.as_deref(),
            repeats: (self.repeats.as_ref()).map(|(all, of)| Repeats { all, of: Some(of) }),
        }
    }
}

fn gather<T: Copy>(rows: &[T], width: usize, of: &[usize]) -> Vec<T> {
    of.iter().flat_map(|i| &rows[i * width..(i + 1) * width]).copied().collect()
}

fn gather_epochs<T: Copy>(rows: &[T], points: usize, of: &[usize]) -> Vec<T> {
    rows.chunks(points).flat_map(|epoch| of.iter().map(|i| epoch[*i])).collect()
}

pub(crate) fn check_table<T>(
    what: &'static str,
    rows: &[T],
    points: usize,
    width: usize,
) -> Result<()>
where
    T: Copy + Into<f64>,
{
    if width == 0 || points.checked_mul(width) != Some(rows.len()) {
        return Err(Error::shape(what, (points, width), rows.len()));
    }
    check_finite(what, rows, width)
}

fn check_finite<T: Copy + Into<f64>>(what: &'static str, rows: &[T], width: usize) -> Result<()> {
    match rows.iter().position(|x| !Into::<f64>::into(*x).is_finite()) {
        None => Ok(()),
        Some(k) => {
            let (row, column, found) = (k / width, k % width, rows[k].into());
            Err(Error::NotFinite { what, row, column, found })
        }
    }
}

fn check_epochs(what: &'static str, length: usize, points: usize) -> Result<()> {
    if length == 0 || !length.is_multiple_of(points) {
        return Err(Error::shape(what, ("a row for each of one or more epochs", points), length));
    }
    Ok(())
}

fn missing(strategy: &str, kind: Kind) -> Error {
    Error::Unknown {
        what: "evidence",
        expected: format!("nothing of that kind, and {strategy} needs it"),
        found: kind.name().into(),
    }
}

/// Refuses a strategy that needs more than there will be: for callers who want to know before they pay
/// for the evidence.
///
/// # Errors
/// [`Error::Unknown`] with the first kind that is missing, in the name of the strategy.
pub fn check_needs(strategy: &dyn Strategy, there: Needs) -> Result<()> {
    match strategy.needs().missing_from(there) {
        None => Ok(()),
        Some(kind) => Err(missing(strategy.name(), kind)),
    }
}
