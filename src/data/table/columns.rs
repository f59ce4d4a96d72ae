//! A table while it is read, and what becomes of its malformed rows.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::data::rows::Complaint;
use crate::data::table::coder::{Coded, Coder, Misfit};
use crate::data::table::key::{Found, Keys};
use crate::data::table::stored::Spool;
use crate::data::table::{Groups, Table, TableOptions, file_error};
use crate::data::{Dataset, Malformed};
use crate::error::Result;

/// A table while it is read. Readers add to `values` row by row (or as one matrix), then to the
/// others; a missing number is NaN.
pub(crate) struct Columns<'a> {
    path: &'a Path,
    malformed: Malformed,
    pub(crate) values: Vec<f32>,
    /// Where rows go instead of staying in `values`, and how many have gone.
    spool: Option<Spool>,
    pub(crate) gone: usize,
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
            spool: None,
            gone: 0,
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

    /// The same where rows do not stay in memory.
    pub(super) fn spooled(self, spool: Spool) -> Self {
        Self { spool: Some(spool), ..self }
    }

    /// Whether rows leave memory; if so, a file that has them as they are to be may keep them.
    pub(super) fn leaves(&mut self, offset: Option<u64>) -> bool {
        if let (Some(spool), Some(offset)) = (&mut self.spool, offset) {
            *spool = Spool::InPlace { offset };
        }
        self.spool.is_some()
    }

    /// Lets whole rows go once there are many, or all; to be called when nothing more is added to them.
    pub(crate) fn spill(&mut self, width: usize) -> Result<()> {
        /// Numbers that may wait.
        const MOST: usize = 1 << 18;
        if self.spool.is_none() || width == 0 || self.values.len() < MOST {
            return Ok(());
        }
        self.spill_all(width)
    }

    pub(super) fn spill_all(&mut self, width: usize) -> Result<()> {
        let rows = self.values.len() / width.max(1);
        self.note_what_is_not_finite(width)?;
        if let Some(spool) = &mut self.spool {
            spool.take(&self.values[..rows * width])?;
            self.values.drain(..rows * width);
            self.gone += rows;
        }
        Ok(())
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
        self.note_what_is_not_finite(width)?;
        let mut values = std::mem::take(&mut self.values);
        let coder = std::mem::replace(&mut self.coder, Coder::numbers(None));
        let Beside { labels, groups, ids, costs, targets, bad, .. } =
            self.beside(values.len() / width.max(1), width)?;
        if !bad.is_empty() {
            drop_rows(&mut values, width, &bad);
        }
        let kept = values.len() / width;
        let Coded { width, values, names, categories } = coder.expand(values, width, &columns);
        // Checked above: every number is finite, every label among the names.
        let inputs = Tensor::from_vec(values, (kept, width), &Device::Cpu)?;
        let data = Dataset::read(inputs, labels.ids, labels.names.len());
        Ok(Table {
            data,
            columns,
            feature_names: names,
            categories,
            class_names: labels.names,
            groups,
            ids,
            costs,
            targets,
            skipped: bad.into_iter().collect(),
        })
    }

    /// What there is beside features in `rows` rows, of those that are as they should be.
    pub(super) fn beside(mut self, rows: usize, width: usize) -> Result<Beside> {
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
        self.note_amounts()?;
        let kept = rows - self.bad.len();
        if kept == 0 || width == 0 {
            let because =
                self.first_fault.map_or(String::new(), |fault| format!("; first {fault}"));
            let found = format!("{rows} rows, none of them usable{because}");
            return Err(file_error(self.path, "at least one row of features", found));
        }
        let Self { mut labels, mut groups, mut ids, mut costs, mut targets, bad, spool, .. } = self;
        if !bad.is_empty() {
            for keys in [&mut labels, &mut groups, &mut ids].into_iter().flatten() {
                drop_rows(&mut keys.ids, 1, &bad);
            }
            for amounts in [&mut costs, &mut targets].into_iter().flatten() {
                drop_rows(amounts, 1, &bad);
            }
        }
        Ok(Beside {
            labels: labels.map_or_else(|| one_class(kept), Keys::finish),
            groups: groups.map(Keys::finish),
            ids: ids.map(|ids| named(Keys::finish(ids))),
            costs,
            targets,
            bad,
            spool,
        })
    }

    fn note_what_is_not_finite(&mut self, width: usize) -> Result<()> {
        let values = std::mem::take(&mut self.values);
        let is_wrong = |value: &f32| !value.is_finite();
        for (row, values) in (self.gone..).zip(values.chunks_exact(width.max(1))) {
            if let Some(column) = values.iter().position(is_wrong) {
                let place = format!("column {column} of the features");
                self.note(row, &place, values[column].into())?;
            }
        }
        self.values = values;
        Ok(())
    }

    fn note_amounts(&mut self) -> Result<()> {
        let mut faults = Vec::new();
        for (what, amounts) in [("the costs", &self.costs), ("the targets", &self.targets)] {
            let amounts = amounts.iter().flatten().enumerate();
            let not_finite = amounts.filter(|(_, amount)| !amount.is_finite());
            faults.extend(not_finite.map(|(row, &amount)| (row, what, amount)));
        }
        faults.into_iter().try_for_each(|(row, what, amount)| self.note(row, what, amount))
    }

    fn note(&mut self, row: usize, column: &str, found: f64) -> Result<()> {
        if self.bad.contains(&row) {
            return Ok(());
        }
        let place = format!("row {row} (the first is 0), {column}");
        self.fault(row, &place, "finite numbers", &found.to_string())
    }
}

/// What is known of the good rows of a table beside features, and which are bad.
pub(super) struct Beside {
    pub(super) labels: Groups,
    pub(super) groups: Option<Groups>,
    pub(super) ids: Option<Vec<String>>,
    pub(super) costs: Option<Vec<f64>>,
    pub(super) targets: Option<Vec<f64>>,
    pub(super) bad: BTreeSet<usize>,
    pub(super) spool: Option<Spool>,
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
