//! Labels and groups: names, even where they look like numbers, so that `01` and `1` stay two.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::data::rows;
use crate::data::table::Groups;

/// A label or group as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// From a column of numbers. Its name is how the number is usually written.
    Number(i128),
    Text(String),
}

/// A key, or what there is instead, in words.
pub(crate) type Found = std::result::Result<Key, String>;

impl Key {
    /// Blanks around do not count.
    pub(crate) fn text(text: &str) -> Found {
        match text.trim() {
            "" => Err("nothing".to_owned()),
            text => Ok(Self::Text(text.to_owned())),
        }
    }

    pub(crate) fn bytes(bytes: &[u8]) -> Found {
        rows::utf8(bytes).map_err(|complaint| complaint.found).and_then(Self::text)
    }

    /// From a type of floating-point numbers that has every whole number below 2^`bits`. From there
    /// on different ones have become one when the file was written.
    pub(crate) fn real(real: impl Into<f64> + fmt::Display + Copy, bits: i32) -> Found {
        let (value, most): (f64, f64) = (real.into(), 2f64.powi(bits));
        if !value.is_finite() {
            Err(value.to_string())
        } else if value.abs() >= most {
            Err(format!("{value}, which such a float cannot tell from its neighbours,"))
        } else if value.fract() == 0.0 {
            Ok(Self::Number(value as i128))
        } else {
            Ok(Self::Text(real.to_string()))
        }
    }

    /// The whole number that is usually written like this.
    pub(crate) fn whole(&self) -> Option<i128> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok().filter(|whole: &i128| whole.to_string() == *text),
        }
    }

    /// Numbers by their value, then other text; what is equal so far by how it is written.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let order = |key: &Self| {
            let text = key.to_string();
            let value = text.parse().ok().filter(|value: &f64| value.is_finite());
            let value = value.unwrap_or(f64::INFINITY);
            // Whole numbers that round to the same float have an order still.
            (value, text.parse().unwrap_or(value as i128), text)
        };
        let (this, other) = (order(self), order(other));
        let by_value = this.0.total_cmp(&other.0);
        by_value.then_with(|| (this.1, this.2).cmp(&(other.1, other.2)))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Where a value is missing.
const MISSING: u32 = u32::MAX;

/// The labels or groups of the rows, numbered as they come.
pub(super) struct Keys {
    pub(super) ids: Vec<u32>,
    known: HashMap<Key, u32>,
    /// The names in order, if no others are allowed.
    names: Option<Vec<String>>,
}

impl Keys {
    pub(super) fn new(names: Option<&Vec<String>>) -> Self {
        let mut known = HashMap::new();
        for (id, name) in names.into_iter().flatten().enumerate() {
            let Ok(key) = Key::text(name) else { continue };
            // The same class, whether the file has text or numbers.
            known.extend(key.whole().map(|whole| (Key::Number(whole), id as u32)));
            known.insert(key, id as u32);
        }
        Self { ids: Vec::new(), known, names: names.cloned() }
    }

    /// Adds a row; what is wrong with it comes back in words.
    pub(super) fn push(&mut self, key: Found) -> std::result::Result<(), String> {
        let (id, fault) = match key {
            Err(found) => (MISSING, Some(found)),
            Ok(key) => match self.known.get(&key) {
                Some(&id) => (id, None),
                None if self.names.is_some() => {
                    (MISSING, Some(format!("{:?}, which is no given class,", key.to_string())))
                }
                None => {
                    let id = self.known.len() as u32; // fewer than rows, and those than 2³²
                    self.known.insert(key, id);
                    (id, None)
                }
            },
        };
        self.ids.push(id);
        fault.map_or(Ok(()), Err)
    }

    /// Numbers in the order of the names, of the rows that were kept.
    pub(super) fn finish(self) -> Groups {
        if let Some(names) = self.names {
            return Groups { ids: self.ids, names };
        }
        let used: BTreeSet<u32> = self.ids.iter().copied().collect();
        let mut sorted: Vec<(Key, u32)> =
            self.known.into_iter().filter(|(_, id)| used.contains(id)).collect();
        sorted.sort_by(|(a, _), (b, _)| a.compare(b));
        let order: HashMap<u32, u32> = sorted.iter().map(|(_, id)| *id).zip(0..).collect();
        let names = sorted.iter().map(|(key, _)| key.to_string()).collect();
        Groups { ids: self.ids.iter().map(|id| order[id]).collect(), names }
    }
}
