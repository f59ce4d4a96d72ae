//! Kinds of evidence.

/// A kind of evidence that a strategy may be unable to do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Evidence::with_features`](crate::Evidence::with_features).
    Features,
    /// [`Evidence::with_losses`](crate::Evidence::with_losses).
    Losses,
    /// [`Evidence::with_probabilities`](crate::Evidence::with_probabilities).
    Probabilities,
    /// [`Evidence::with_labels`](crate::Evidence::with_labels).
    Labels,
    /// [`Evidence::with_errors`](crate::Evidence::with_errors), or probabilities and labels, which say as
    /// much.
    Errors,
    /// [`Evidence::with_history`](crate::Evidence::with_history).
    History,
    /// [`Evidence::with_margins`](crate::Evidence::with_margins).
    Margins,
    /// [`Evidence::with_label_probabilities`](crate::Evidence::with_label_probabilities).
    LabelProbabilities,
    /// [`Evidence::with_groups`](crate::Evidence::with_groups).
    Groups,
    /// [`Evidence::with_costs`](crate::Evidence::with_costs).
    Costs,
    /// [`Evidence::with_validation`](crate::Evidence::with_validation).
    Validation,
    /// [`Evidence::with_gradient_norms`](crate::Evidence::with_gradient_norms).
    GradientNorms,
    /// [`Evidence::with_repeats`](crate::Evidence::with_repeats).
    Repeats,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Features,
        Self::Losses,
        Self::Probabilities,
        Self::Labels,
        Self::Errors,
        Self::History,
        Self::Margins,
        Self::LabelProbabilities,
        Self::Groups,
        Self::Costs,
        Self::Validation,
        Self::GradientNorms,
        Self::Repeats,
    ];

    /// Its name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Losses => "losses",
            Self::Probabilities => "probabilities",
            Self::Labels => "labels",
            Self::Errors => "errors (or probabilities and labels)",
            Self::History => "history",
            Self::Margins => "margins",
            Self::LabelProbabilities => "probabilities of the labels along training",
            Self::Groups => "groups",
            Self::Costs => "costs",
            Self::Validation => "validation",
            Self::GradientNorms => "norms of the gradients",
            Self::Repeats => "repeats (further trainings)",
        }
    }
}

/// A set of kinds of evidence: what a strategy cannot do without.
///
/// # Example
/// ```
/// use gleaner::choose::{Grand, KCenter, Kind, Needs, Random, Strategy};
///
/// assert_eq!(Random.needs(), Needs::NOTHING);
/// assert_eq!(KCenter.needs(), Needs::of(&[Kind::Features]));
/// // What can be known of points without labels:
/// let label_free = Needs::of(&[Kind::Features, Kind::Probabilities]);
/// assert!(KCenter.needs().are_met_by(label_free) && !Grand.needs().are_met_by(label_free));
/// assert!(Grand.needs().are_met_by(label_free.and(Needs::of(&[Kind::Labels]))));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs(u16);

impl Needs {
    /// No evidence at all.
    pub const NOTHING: Self = Self(0);

    /// These kinds.
    pub const fn of(kinds: &[Kind]) -> Self {
        let (mut bits, mut k) = (0, 0);
        // Iterators are not for constants.
        while k < kinds.len() {
            bits |= 1 << kinds[k] as u16;
            k += 1;
        }
        Self(bits)
    }

    /// Everything.
    pub const EVERYTHING: Self = Self::of(&Kind::ALL);

    /// These and those.
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether the kind is among them.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    /// Whether `there` has all of them; probabilities and labels make errors.
    pub fn are_met_by(self, there: Self) -> bool {
        self.missing_from(there).is_none()
    }

    /// The first kind that `there` lacks.
    pub(crate) fn missing_from(self, there: Self) -> Option<Kind> {
        let makes_errors = [Kind::Probabilities, Kind::Labels].iter().all(|k| there.contains(*k));
        let there = if makes_errors { there.and(Self::of(&[Kind::Errors])) } else { there };
        Kind::ALL.into_iter().find(|kind| self.contains(*kind) && !there.contains(*kind))
    }
}
