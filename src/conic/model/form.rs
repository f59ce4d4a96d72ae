//! Vectors whose entries are polynomials: of degree two at most in the columns of the program, affine in the parameters.

/// `value * theta[parameter] * x[first] * x[second]` in one row. Columns and parameters count from one; zero is none of
/// them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) row: usize,
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) parameter: usize,
    pub(super) value: f64,
}

impl Term {
    fn key(&self) -> (usize, usize, usize, usize) {
        (self.row, self.first, self.second, self.parameter)
    }

    pub(super) fn constant(row: usize, value: f64) -> Self {
        Self { row, first: 0, second: 0, parameter: 0, value }
    }

    pub(super) fn column(row: usize, column: usize) -> Self {
        Self { row, first: column + 1, second: 0, parameter: 0, value: 1.0 }
    }
}

/// Terms by row, then by what they multiply; none twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Form {
    terms: Vec<Term>,
}

impl Form {
    pub(super) fn new(mut terms: Vec<Term>) -> Self {
        if !terms.is_sorted_by_key(Term::key) {
            // Stable, so that sums do not depend on anything but the order they are written in.
            terms.sort_by_key(Term::key);
        }
        terms.dedup_by(|next, kept| {
            let same = next.key() == kept.key();
            kept.value += if same { next.value } else { 0.0 };
            same
        });
        terms.retain(|term| term.value != 0.0);
        Self { terms }
    }

    pub(super) fn filled(rows: usize, value: f64) -> Self {
        Self::new((0..rows).map(|row| Term::constant(row, value)).collect())
    }

    pub(super) fn columns(columns: impl Iterator<Item = usize>) -> Self {
        Self::new(columns.enumerate().map(|(row, column)| Term::column(row, column)).collect())
    }

    pub(super) fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The terms of some rows.
    pub(super) fn rows(&self, rows: std::ops::Range<usize>) -> &[Term] {
        let at = |row: usize| self.terms.partition_point(|term| term.row < row);
        &self.terms[at(rows.start)..at(rows.end)]
    }

    /// Row `k` goes to row `to(k)`; those that meet are added up.
    pub(super) fn moved(&self, to: impl Fn(usize) -> Option<usize>) -> Self {
        let terms = self.terms.iter();
        Self::new(terms.filter_map(|t| to(t.row).map(|row| Term { row, ..*t })).collect())
    }

    pub(super) fn total(&self) -> Self {
        self.moved(|_| Some(0))
    }

    /// One row, repeated.
    pub(super) fn spread(&self, rows: usize) -> Self {
        let row = |row| self.terms.iter().map(move |term| Term { row, ..*term });
        Self::new((0..rows).flat_map(row).collect())
    }

    pub(super) fn scaled(&self, by: f64) -> Self {
        let terms = self.terms.iter();
        Self::new(terms.map(|term| Term { value: by * term.value, ..*term }).collect())
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self::new(self.terms.iter().chain(&other.terms).copied().collect())
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        self.plus(&other.scaled(-1.0))
    }

    /// Below each other; each with its number of rows.
    pub(super) fn stacked(parts: &[(&Self, usize)]) -> Self {
        let (mut terms, mut from) = (Vec::new(), 0);
        for (part, rows) in parts {
            terms.extend(part.terms.iter().map(|term| Term { row: from + term.row, ..*term }));
            from += rows;
        }
        Self::new(terms)
    }

    /// The first row of each, the second row of each, ..
    pub(super) fn interleaved(parts: &[&Self]) -> Self {
        let place = |k: usize, row: usize| row * parts.len() + k;
        let moved = parts.iter().enumerate().flat_map(|(k, part)| {
            part.terms.iter().map(move |term| Term { row: place(k, term.row), ..*term })
        });
        Self::new(moved.collect())
    }

    /// The product of a `rows x inner` matrix and an `inner x columns` one, of which one has no columns and one no
    /// parameters.
    pub(super) fn product(&self, other: &Self, inner: usize, columns: usize) -> Self {
        let mut terms = Vec::new();
        for a in &self.terms {
            let (i, k) = (a.row / inner, a.row % inner);
            for b in other.rows(k * columns..(k + 1) * columns) {
                terms.push(multiplied(a, b, i * columns + b.row % columns));
            }
        }
        Self::new(terms)
    }

    /// Every row times the single row of `factor`.
    pub(super) fn times_scalar(&self, factor: &Self) -> Self {
        let terms = self.terms.iter();
        let products = |a| factor.terms.iter().map(move |b| multiplied(a, b, a.row));
        Self::new(terms.flat_map(products).collect())
    }

    /// Row by row.
    pub(super) fn times(&self, other: &Self) -> Self {
        let products = |a: &Term| {
            let a = *a;
            other.rows(a.row..a.row + 1).iter().map(move |b| multiplied(&a, b, a.row))
        };
        Self::new(self.terms.iter().flat_map(products).collect())
    }
}

/// One of the two has no columns, one no parameters.
fn multiplied(a: &Term, b: &Term, row: usize) -> Term {
    Term {
        row,
        first: a.first + b.first,
        second: a.second + b.second,
        parameter: a.parameter + b.parameter,
        value: a.value * b.value,
    }
}
