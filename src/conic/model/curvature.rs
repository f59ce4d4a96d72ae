//! How an expression bends and which sign it has, and the rules by which both are passed on.

/// How an expression depends on variables and parameters together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curvature {
    /// On neither.
    Constant,
    /// Affine in the variables, for any parameters, and the other way round.
    Affine,
    /// Convex.
    Convex,
    /// Concave.
    Concave,
    /// Not known to be any of these.
    Unknown,
}

impl Curvature {
    /// Affine or constant.
    pub fn is_affine(self) -> bool {
        matches!(self, Self::Constant | Self::Affine)
    }

    /// Convex, affine or constant.
    pub fn is_convex(self) -> bool {
        self.is_affine() || self == Self::Convex
    }

    /// Concave, affine or constant.
    pub fn is_concave(self) -> bool {
        self.is_affine() || self == Self::Concave
    }

    pub(super) fn negative(self) -> Self {
        match self {
            Self::Convex => Self::Concave,
            Self::Concave => Self::Convex,
            other => other,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Constant, any) | (any, Self::Constant) => any,
            (Self::Affine, any) | (any, Self::Affine) => any,
            (one, same) if one == same => one,
            _ => Self::Unknown,
        }
    }

    /// Times a factor without variables.
    pub(super) fn times(self, factor: Sign) -> Self {
        match self {
            Self::Constant | Self::Affine => self,
            _ if factor.nonnegative => self,
            _ if factor.nonpositive => self.negative(),
            _ => Self::Unknown,
        }
    }
}

/// What is known of the sign of all entries; zero is both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sign {
    /// No entry is negative.
    pub nonnegative: bool,
    /// No entry is positive.
    pub nonpositive: bool,
}

impl Sign {
    pub(super) const NONNEGATIVE: Self = Self { nonnegative: true, nonpositive: false };
    pub(super) const UNKNOWN: Self = Self { nonnegative: false, nonpositive: false };

    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let both = Self { nonnegative: true, nonpositive: true };
        values.fold(both, |sign, value| Self {
            nonnegative: sign.nonnegative && value >= 0.0,
            nonpositive: sign.nonpositive && value <= 0.0,
        })
    }

    pub(super) fn negative(self) -> Self {
        Self { nonnegative: self.nonpositive, nonpositive: self.nonnegative }
    }

    /// Of what is one or the other, and of their sum.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            nonnegative: self.nonnegative && other.nonnegative,
            nonpositive: self.nonpositive && other.nonpositive,
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let (a, b) = (self, other);
        let same = (a.nonnegative && b.nonnegative) || (a.nonpositive && b.nonpositive);
        let opposite = (a.nonnegative && b.nonpositive) || (a.nonpositive && b.nonnegative);
        Self { nonnegative: same, nonpositive: opposite }
    }
}

/// How an atom answers to one of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slope {
    Rises,
    Falls,
    Either,
}

impl Slope {
    /// Of a function of the size of its argument.
    pub(super) fn of_size(sign: Sign) -> Self {
        match sign {
            Sign { nonnegative: true, .. } => Self::Rises,
            Sign { nonpositive: true, .. } => Self::Falls,
            _ => Self::Either,
        }
    }

    /// Whether a function of curvature `outer` with this slope keeps it around an argument that bends like `inner`.
    pub(super) fn keeps(self, outer: Curvature, inner: Curvature) -> bool {
        let inner = if outer == Curvature::Concave { inner.negative() } else { inner };
        match self {
            _ if inner.is_affine() => true,
            Self::Rises => inner == Curvature::Convex,
            Self::Falls => inner == Curvature::Concave,
            Self::Either => false,
        }
    }
}
