//! One price for the rows of several tasks, found from what each says it would keep.
//!
//! Prices are natural logarithms.

use crate::choose::Candidates;
use crate::error::{Error, Result};

/// The surplus that is left to the worths, and the one that is aimed at.
const MOST: f64 = 1.06;
const AIM: f64 = 1.03;
/// Prices at which all rows are looked at, at most.
pub(crate) const PASSES: usize = 6;
/// How steeply the number that is kept falls with the price, as long as nobody knows: both by logarithms.
const SLOPE: f64 = -0.5;
/// Prices that are far apart.
const FAR: f64 = 4.0;

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
        self.tried.push((self.now, kept));
        let next = match self.tried.len() {
            few if few < PASSES => next_price(&self.tried, count),
            // Of those tried the best is the one at which rows are kept.
            PASSES => next_price(&self.tried, count)
                .and(best(&self.tried, count))
                .filter(|best| *best != self.now),
            _ => None,
        };
        Ok(next.map(|now| Self { now, ..self }))
    }
}

/// The next price to try, if what was kept at the last one is not a little more than `count`; of prices that were tried, each
/// with the number that was kept.
pub(crate) fn next_price(tried: &[(f64, f64)], count: usize) -> Option<f64> {
    let (now, kept) = *tried.last()?;
    if kept >= count as f64 && kept <= MOST * count as f64 {
        return None;
    }
    let off = |kept: f64| off(kept, count);
    let of = |dear: bool| tried.iter().filter(move |(_, kept)| (off(*kept) < 0.0) == dear).copied();
    let low = of(false).max_by(|a, b| a.0.total_cmp(&b.0));
    let high = of(true).min_by(|a, b| a.0.total_cmp(&b.0));
    // Between a price that was too low and one too high, and away from both; otherwise as steeply as before.
    if let (Some(low), Some(high)) = (low, high)
        && low.0 < high.0
    {
        let share = off(low.1) / (off(low.1) - off(high.1));
        return Some(low.0 + share.clamp(0.1, 0.9) * (high.0 - low.0));
    }
    let slope = match tried {
        // Prices far apart keep the same number, and farther ones will.
        [.., a, b] if a.1 == b.1 && (a.0 - b.0).abs() > FAR => return None,
        [.., a, b] if a.0 != b.0 => (off(b.1) - off(a.1)) / (b.0 - a.0),
        _ => SLOPE,
    };
    Some(now - off(kept) / slope.clamp(-20.0, -0.1))
}

/// The price at which the number kept was nearest to what is aimed at, by its logarithm.
pub(crate) fn best(tried: &[(f64, f64)], count: usize) -> Option<f64> {
    let off = |kept: f64| off(kept, count).abs();
    tried.iter().min_by(|a, b| off(a.1).total_cmp(&off(b.1))).map(|tried| tried.0)
}

/// By how much a number is more than what is aimed at, as a logarithm.
fn off(kept: f64, count: usize) -> f64 {
    (kept.max(1.0) / (AIM * count as f64)).ln()
}

fn pairs(numbers: &[f64]) -> Vec<(f64, f64)> {
    numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn wrong(expected: &str, found: &[f64]) -> Error {
    let found = format!("{} numbers", found.len());
    Error::Shape { what: "numbers of tasks that share a price", expected: expected.into(), found }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that falls all of a sudden, as where all distances are alike; one that cannot be reached; and one that is
    /// hardly there.
    #[test]
    fn prices_are_found_in_few_passes() {
        let sudden = |p: f64| 1e6 / (1.0 + (12.0 * (p - 4.7)).exp());
        for (kept, count, fits) in [
            (&sudden as &dyn Fn(f64) -> f64, 10_000, true),
            (&|p: f64| 1e5 * (-0.5 * p).exp(), 700, true),
            (&|p: f64| if p < 4.0 { 900.0 } else { 80.0 }, 500, false),
            (&|_| 8.0, 3, false),
            (&|_| 8.0, 30, false),
        ] {
            let (mut price, mut tried) = (3.0, Vec::new());
            while tried.len() < PASSES {
                tried.push((price, kept(price)));
                let Some(next) = next_price(&tried, count) else { break };
                assert!(next.is_finite());
                price = next;
            }
            let share = kept(best(&tried, count).unwrap()) / count as f64;
            assert_eq!((0.95..=MOST).contains(&share), fits, "{count}: {tried:?}");
            assert!(tried.len() < 5 || kept(1.0) != kept(9.0), "{count}: {tried:?}");
        }
        assert_eq!(best(&[(1.0, 5.0), (2.0, 7.0), (3.0, 6.0)], 10), Some(2.0), "the nearest");
    }
}
