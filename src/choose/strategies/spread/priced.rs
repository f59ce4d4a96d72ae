//! One price for the rows of several tasks, found from what each says it would keep.
//!
//! Prices are natural logarithms.

use crate::choose::Candidates;
use crate::error::{Error, Result};

/// The surplus that is left to the worths, and the one that is aimed at.
const MOST: f64 = 1.06;
const AIM: f64 = 1.03;
/// Prices at which all rows are looked at, at most.
const PASSES: usize = 6;
/// How steeply the number that is kept falls with the price, as long as nobody knows: both by logarithms.
const SLOPE: f64 = -0.5;

/// What one task would keep.
pub(crate) struct Offer {
    pub(crate) rows: usize,
    /// The typical cost.
    pub(crate) unit: f64,
    /// Prices, rising, each with the number of rows.
    pub(crate) kept: Vec<(f64, f64)>,
}

impl Offer {
    pub(crate) fn into_candidates(self) -> Candidates {
        let pairs = self.kept.iter().flat_map(|(price, kept)| [*price, *kept]);
        let numbers = std::iter::once(self.unit).chain(pairs).collect();
        Candidates { rows: self.rows, indices: Vec::new(), gains: Vec::new(), numbers }
    }

    fn of(found: &Candidates) -> Result<Self> {
        match &found.numbers[..] {
            [unit, kept @ ..] if *unit > 0.0 && !kept.is_empty() && kept.len() % 2 == 0 => {
                Ok(Self { rows: found.rows, unit: *unit, kept: pairs(kept) })
            }
            other => Err(wrong("a typical cost and pairs of a price and a number", other)),
        }
    }

    /// The number of rows at any price, by logarithms between those that are known.
    fn at(&self, price: f64) -> f64 {
        let log = |kept: f64| kept.max(0.5).ln();
        let after = self.kept.partition_point(|(known, _)| *known < price);
        let along = |(known, kept): (f64, f64), slope: f64| log(kept) + slope * (price - known);
        let log = match (after.checked_sub(1).map(|k| self.kept[k]), self.kept.get(after)) {
            (Some(a), Some(b)) => along(a, (log(b.1) - log(a.1)) / (b.0 - a.0)),
            (Some(end), None) => along(end, SLOPE),
            (None, Some(end)) => along(*end, SLOPE),
            (None, None) => 0.0, // there are some
        };
        log.exp().min(self.rows as f64)
    }
}

/// The price at which the offers of all tasks are about `count`, and the mean of what is typical.
pub(crate) fn agreed(found: &[Candidates], count: usize) -> Result<Priced> {
    /// Enough to part any two numbers.
    const HALVINGS: usize = 200;
    let offers = found.iter().map(Offer::of).collect::<Result<Vec<_>>>()?;
    let rows: usize = offers.iter().map(|offer| offer.rows).sum();
    let unit = offers.iter().map(|o| o.unit * (o.rows as f64 / rows as f64)).sum();
    let prices = || offers.iter().flat_map(|offer| &offer.kept).map(|(price, _)| *price);
    let reach = 2.0 * (rows as f64).ln().max(1.0);
    let mut low = prices().fold(f64::INFINITY, f64::min) - reach;
    let mut high = prices().fold(f64::NEG_INFINITY, f64::max) + reach;
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        let kept: f64 = offers.iter().map(|offer| offer.at(middle)).sum();
        if kept > AIM * count as f64 { low = middle } else { high = middle }
    }
    Ok(Priced { unit, tried: Vec::new(), now: low })
}

/// Prices for all tasks.
pub(crate) struct Priced {
    /// The typical cost of all.
    pub(crate) unit: f64,
    /// Those that have been tried, each with the number of rows that all tasks kept.
    tried: Vec<(f64, f64)>,
    /// The one that is tried next.
    pub(crate) now: f64,
}

impl Priced {
    /// What tasks are asked; `None` where they are asked for offers.
    ///
    /// # Errors
    /// [`Error::Shape`] for numbers that are not from here.
    pub(crate) fn of(numbers: &[f64]) -> Result<Option<Self>> {
        match numbers {
            [] => Ok(None),
            [unit, tried @ .., now] if *unit > 0.0 && tried.len() % 2 == 0 => {
                Ok(Some(Self { unit: *unit, tried: pairs(tried), now: *now }))
            }
            other => {
                Err(wrong("a typical cost, pairs of a price and a number, and a price", other))
            }
        }
    }

    pub(crate) fn into_numbers(self) -> Vec<f64> {
        let tried = self.tried.iter().flat_map(|(price, kept)| [*price, *kept]);
        std::iter::once(self.unit).chain(tried).chain([self.now]).collect()
    }

    /// The next price to try, if what was kept now is not a little more than `count`.
    ///
    /// # Errors
    /// [`Error::Shape`] for candidates that were not found at a price.
    pub(crate) fn next(mut self, found: &[Candidates], count: usize) -> Result<Option<Self>> {
        let kept = |found: &Candidates| match found.numbers[..] {
            [kept] => Ok(kept),
            _ => Err(wrong("the number of rows kept at a price", &found.numbers)),
        };
        let kept = found.iter().map(kept).sum::<Result<f64>>()?;
        let fits = kept >= count as f64 && kept <= MOST * count as f64;
        self.tried.push((self.now, kept));
        if fits || self.tried.len() >= PASSES {
            return Ok(None);
        }
        let off = |kept: f64| (kept.max(1.0) / (AIM * count as f64)).ln();
        let steepness = |pair: &[(f64, f64)]| match pair {
            [a, b] if a.0 != b.0 => (off(b.1) - off(a.1)) / (b.0 - a.0),
            _ => SLOPE,
        };
        let slope = self.tried.windows(2).next_back().map_or(SLOPE, steepness).clamp(-2.0, -0.1);
        let next = self.now - off(kept) / slope;
        // Between prices that were too low and too high it stays, and away from them.
        let prices = |high: bool| {
            self.tried
                .iter()
                .filter(move |(_, kept)| (off(*kept) < 0.0) == high)
                .map(|tried| tried.0)
        };
        let low = prices(false).reduce(f64::max);
        let high = prices(true).reduce(f64::min);
        self.now = match (low, high) {
            (Some(low), Some(high)) if low < high => {
                let edge = 0.1 * (high - low);
                next.clamp(low + edge, high - edge)
            }
            _ => next,
        };
        Ok(Some(self))
    }
}

fn pairs(numbers: &[f64]) -> Vec<(f64, f64)> {
    numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn wrong(expected: &str, found: &[f64]) -> Error {
    let found = format!("{} numbers", found.len());
    Error::Shape { what: "numbers of tasks that share a price", expected: expected.into(), found }
}
