//! What rows hold, as people read it: a column of text by its value, not by its features.

use gleaner::Result;
use gleaner::data::table::Values;
use gleaner::report::html::{Cells, Column};

use crate::input::Data;
use crate::known::Known;

/// Columns that are shown of every row.
const MOST: usize = 8;

/// Some columns of some rows.
pub struct Features {
    names: Vec<String>,
    /// A row a vector.
    rows: Vec<Vec<f32>>,
    read: Vec<Read>,
    /// Columns there are.
    all: usize,
}

/// From which features a column is read.
enum Read {
    Number(usize),
    /// Of each letter or text as a whole, where its features begin and what they stand for.
    Text(Vec<(usize, Vec<String>)>),
}

impl Features {
    pub fn of(data: &Data, rows: &[usize]) -> Result<Self> {
        let columns = columns(data);
        let all = columns.len();
        let (names, read) = columns.into_iter().take(MOST).unzip();
        let rows = data.table.data.subset(rows)?.inputs().to_vec2::<f32>()?;
        Ok(Self { names, rows, read, all })
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// That there are more, where there are.
    pub fn note(&self) -> String {
        match self.all > self.names.len() {
            true => format!("The first {} of {} columns are shown.", self.names.len(), self.all),
            false => String::new(),
        }
    }

    /// The features themselves, one row after the other.
    pub fn flat(&self) -> Vec<f32> {
        self.rows.concat()
    }

    /// What the k-th row has in each column.
    pub fn row(&self, k: usize) -> Vec<String> {
        self.read.iter().map(|read| read.cell(&self.rows[k])).collect()
    }

    pub fn columns(&self) -> Vec<Column> {
        let column = |(name, read): (&String, &Read)| {
            let cells = match read {
                Read::Number(at) => {
                    Cells::Number(self.rows.iter().map(|row| f64::from(row[*at])).collect())
                }
                Read::Text(_) => Cells::Text(self.rows.iter().map(|row| read.cell(row)).collect()),
            };
            Column { name: name.clone(), cells }
        };
        self.names.iter().zip(&self.read).map(column).collect()
    }
}

impl Read {
    fn cell(&self, row: &[f32]) -> String {
        match self {
            // Of 24 bits there are seven digits; fewer are easier to read.
            Self::Number(at) => {
                let short: f64 = format!("{:.4e}", row[*at]).parse().unwrap_or(f64::NAN);
                short.to_string()
            }
            Self::Text(blocks) => {
                let value = |(start, values): &(usize, Vec<String>)| {
                    let at = (0..values.len()).find(|k| row[start + k] == 1.0);
                    at.map_or("–".into(), |k| values[k].clone())
                };
                blocks.iter().map(value).collect()
            }
        }
    }
}

/// All columns in the order of their features; those of an array are its features.
fn columns(data: &Data) -> Vec<(String, Read)> {
    let known = data.table.categories.as_ref().and_then(|categories| categories.values.as_ref());
    let (mut columns, mut next) = (Vec::new(), 0);
    for name in &data.table.columns {
        let blocks = match known.and_then(|values| values.get(name)) {
            None => {
                columns.push((name.clone(), Read::Number(next)));
                next += 1;
                continue;
            }
            Some(Values::Whole(values)) => vec![values.clone()],
            Some(Values::Letters(letters)) => {
                let texts = |letters: &Vec<char>| letters.iter().map(char::to_string).collect();
                letters.iter().map(texts).collect()
            }
        };
        let begin = |values: Vec<String>| {
            next += values.len();
            (next - values.len(), values)
        };
        columns.push((name.clone(), Read::Text(blocks.into_iter().map(begin).collect())));
    }
    if next != data.width() {
        return (0..data.width()).map(|k| (data.feature(k), Read::Number(k))).collect();
    }
    columns
}
