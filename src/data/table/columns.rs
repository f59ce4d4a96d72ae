//! A table while it is read, and what becomes of its malformed rows.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::data::rows::Complaint;
use crate::data::table::coder::{Coded, Coder, Misfit};
use crate::data::table::key::{Found, Keys};
use crate::data::table::{Groups, Table, TableOptions, file_error};
use crate::data::{Dataset, Malformed};
use crate::error::Result;

/// A table while it is read. Readers add to `values` row by row (or as one matrix), then to the
/// others; a missing number is NaN.
pub(crate) struct Columns<'a> {
    path: &'a Path,
    malformed: Malformed,
    pub(crate) values: Vec<f32>,
    /// What the text among the features becomes; set before the first row.
    pub(super) coder: Coder,
    labels: Option<Keys>,
    groups: Option<Keys>,
    ids: Option<Keys>,
    costs: Option<Vec<f64>>,
    targets: Option<Vec<f64>>,
    bad: BTreeSet<usize>,
    first_fault: Option<String>,
}

/// Which of the two columns of numbers beside the features.
#[derive(Clone, Copy)]
pub(crate) enum Amount {
    Cost,
    Target,
}

/// Which of the columns of names.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Label,
    Group,
    Id,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(path: &'a Path, options: &TableOptions) -> Self {
        Self {
            path,
            malformed: options.malformed,
            values: Vec::new(),
            coder: Coder::numbers(options.categories.as_ref()),
            labels: options.label.as_ref().map(|_| Keys::new(options.class_names.as_ref())),
            groups: options.group.as_ref().map(|_| Keys::new(None)),
            ids: options.id.as_ref().map(|_| Keys::new(None)),
            costs: options.cost.as_ref().map(|_| Vec::new()),
            targets: options.target.as_ref().map(|_| Vec::new()),
            bad: BTreeSet::new(),
            first_fault: None,
        }
    }

    /// Adds the next row's cost or target; does nothing where it was not asked for.
    pub(crate) fn push_amount(&mut self, amount: Amount, number: f64) {
        let numbers = match amount {
            Amount::Cost => &mut self.costs,
            Amount::Target => &mut self.targets,
        };
        numbers.iter_mut().for_each(|numbers| numbers.push(number));
    }

    /// Adds the next row's label, group or name; does nothing where it was not asked for.
    pub(crate) fn push_key(&mut self, role: Role, key: Found) -> Result<()> {
        self.push_key_at(role, key, |row| format!("row {row} (the first is 0)"))
    }

    pub(crate) fn push_key_at(
        &mut self,
        role: Role,
        key: Found,
        place: impl Fn(usize) -> String,
    ) -> Result<()> {
        let (keys, what) = match role {
            Role::Label => (&mut self.labels, "a label"),
            Role::Group => (&mut self.groups, "a group"),
            Role::Id => (&mut self.ids, "a name of the row"),
        };
        let Some(keys) = keys else { return Ok(()) };
        let row = keys.ids.len();
        match keys.push(key) {
            Ok(()) => Ok(()),
            Err(found) => self.fault(row, &place(row), what, &found),
        }
    }

    /// Adds the next row's value of a feature that is text.
    pub(super) fn push_text(
        &mut self,
        feature: usize,
        text: Option<&str>,
        row: usize,
        place: impl Fn() -> String,
    ) -> Result<()> {
        let done = self.coder.push(feature, text, &mut self.values);
        self.settle(done, row, place)
    }

    /// What is wrong with a row is noted, what is wrong with a whole column an error.
    pub(super) fn settle(
        &mut self,
        done: std::result::Result<(), Misfit>,
        row: usize,
        place: impl Fn() -> String,
    ) -> Result<()> {
        match done {
            Ok(()) => Ok(()),
            Err(Misfit::OfRow(Complaint { expected, found })) => {
                self.fault(row, &place(), &expected, &found)
            }
            Err(Misfit::OfColumn(Complaint { expected, found })) => {
                Err(file_error(self.path, expected, format!("{found} in {}", place())))
            }
        }
    }

    /// A malformed row: an error, or noted.
    pub(crate) fn fault(
        &mut self,
        row: usize,
        place: &str,
        expected: &str,
        found: &str,
    ) -> Result<()> {
        let found = format!("{found} in {place}");
        if self.malformed == Malformed::Refuse {
            return Err(file_error(self.path, expected, found));
        }
        self.first_fault.get_or_insert_with(|| format!("{found} (expected {expected})"));
        self.bad.insert(row);
        Ok(())
    }

    /// The table of the rows that are as they should be; `width` numbers of each are in `values`, and
    /// `columns` is what those are called in the file.
    pub(crate) fn finish(mut self, width: usize, columns: Vec<String>) -> Result<Table> {
        let rows = self.values.len() / width.max(1);
        let lengths = [
            ("labels", self.labels.as_ref().map(|keys| keys.ids.len())),
            ("groups", self.groups.as_ref().map(|keys| keys.ids.len())),
            ("names", self.ids.as_ref().map(|keys| keys.ids.len())),
            ("costs", self.costs.as_ref().map(Vec::len)),
            ("targets", self.targets.as_ref().map(Vec::len)),
        ];
        for (what, length) in lengths {
            if let Some(length) = length.filter(|&length| length != rows) {
                let found = format!("{length} for {rows} rows of features");
                return Err(file_error(self.path, format!("as many {what} as rows"), found));
            }
        }
        self.note_what_is_not_finite(width)?;
        let kept = rows - self.bad.len();
        if kept == 0 || width == 0 {
            let because =
                self.first_fault.map_or(String::new(), |fault| format!("; first {fault}"));
            let found = format!("{rows} rows, none of them usable{because}");
            return Err(file_error(self.path, "at least one row of features", found));
        }
        let Self {
            mut values,
            mut labels,
            mut groups,
            mut ids,
            mut costs,
            mut targets,
            bad,
            coder,
            ..
        } = self;
        if !bad.is_empty() {
            drop_rows(&mut values, width, &bad);
            for keys in [&mut labels, &mut groups, &mut ids].into_iter().flatten() {
                drop_rows(&mut keys.ids, 1, &bad);
            }
            for amounts in [&mut costs, &mut targets].into_iter().flatten() {
                drop_rows(amounts, 1, &bad);
            }
        }
        let classes = labels.map_or_else(|| one_class(kept), Keys::finish);
        let Coded { width, values, names, categories } = coder.expand(values, width, &columns);
        // Checked above: every number is finite, every label among the names.
        let inputs = Tensor::from_vec(values, (kept, width), &Device::Cpu)?;
        let data = Dataset::read(inputs, classes.ids, classes.names.len());
        let (class_names, groups) = (classes.names, groups.map(Keys::finish));
        Ok(Table {
            data,
            columns,
            feature_names: names,
            categories,
            class_names,
            groups,
            ids: ids.map(|ids| named(Keys::finish(ids))),
            costs,
            targets,
            skipped: bad.into_iter().collect(),
        })
    }

    fn note_what_is_not_finite(&mut self, width: usize) -> Result<()> {
        let mut faults = Vec::new();
        for (row, values) in self.values.chunks(width.max(1)).enumerate() {
            if let Some(column) = values.iter().position(|value| !value.is_finite()) {
                faults.push((
                    row,
                    format!("column {column} of the features"),
                    values[column].into(),
                ));
            }
        }
        for (what, amounts) in [("the costs", &self.costs), ("the targets", &self.targets)] {
            let amounts = amounts.iter().flatten().enumerate();
            let not_finite = amounts.filter(|(_, amount)| !amount.is_finite());
            faults.extend(not_finite.map(|(row, &amount)| (row, what.to_owned(), amount)));
        }
        for (row, column, found) in faults {
            if !self.bad.contains(&row) {
                let place = format!("row {row} (the first is 0), {column}");
                let found: f64 = found;
                self.fault(row, &place, "finite numbers", &found.to_string())?;
            }
        }
        Ok(())
    }
}

/// The name of each row.
fn named(keys: Groups) -> Vec<String> {
    keys.ids.iter().map(|id| keys.names[*id as usize].clone()).collect()
}

fn one_class(rows: usize) -> Groups {
    Groups { ids: vec![0; rows], names: vec!["all".to_owned()] }
}

/// Closes up over the rows in `bad`.
fn drop_rows<T: Copy>(values: &mut Vec<T>, width: usize, bad: &BTreeSet<usize>) {
    let rows = values.len() / width;
    let mut to = 0;
    for row in (0..rows).filter(|row| !bad.contains(row)) {
        values.copy_within(row * width..(row + 1) * width, to * width);
        to += 1;
    }
    values.truncate(to * width);
}
