//! Which feature columns hold text, and which values there are.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};

/// Most values of a text column. One with more tells rows apart (a name, a number of something, free
/// text): hardly a value would come twice, and every one is a column of the matrix.
pub(super) const MOST_VALUES: usize = 1000;

/// The text columns among the features, as [`TableOptions::categories`](super::TableOptions::categories):
/// every value, or every letter of every position, becomes a feature that is 1 where it stands and 0
/// elsewhere.
///
/// ```text
/// column     in a row    features that are 1
/// work       Private     work=Private
/// window     AC-         window[0]=A   window[1]=C   window[2]=-      (one of Categories::letters)
/// ```
///
/// An empty field of a text column is the value `?`; blanks around a value do not count. A value that
/// is not among those known, as a test file may have, is none of them: all features of its column
/// (or of its position) are 0 in that row, which is not malformed.
///
/// # Errors
/// While a table is read: [`Error::Shape`] for a value given twice, a text column without values or
/// with more than 1,000; [`Error::Unknown`] for a name that is no feature; [`Error::File`] for a column in
/// which more than 1,000 values are found. A row whose letters are more or fewer than those of the first
/// is malformed.
///
/// # Example
/// ```
/// use gleaner::data::table::{self, Categories, TableOptions};
/// # let folder = tempfile::tempdir().unwrap();
/// # let (train, test) = (folder.path().join("train.csv"), folder.path().join("test.csv"));
/// std::fs::write(&train, "age,work,window,label\n39,State,AC-,0\n50,,CC-,1\n38,Private,AC-,1\n").unwrap();
/// std::fs::write(&test, "age,work,window,label\n25,Navy,AA-,1\n").unwrap();
///
/// let categories = Categories { letters: vec!["window".into()], ..Default::default() };
/// let options = TableOptions { categories: Some(categories), ..Default::default() };
/// let table = table::load(&train, &options)?;
/// let names = "age work=? work=Private work=State window[0]=A window[0]=C window[1]=C window[2]=-";
/// assert_eq!(table.feature_names.join(" "), names);
///
/// let options = TableOptions {
///     features: table.columns,
///     class_names: Some(table.class_names),
///     categories: table.categories,
///     ..options
/// };
/// let test = table::load(&test, &options)?;
/// assert_eq!(test.data.inputs().to_vec2::<f32>()?, [[25.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]]);
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Categories {
    /// Columns of texts of one length that are read letter by letter, such as windows of a sequence.
    /// Not used where `values` says what there is.
    pub letters: Vec<String>,
    /// The text columns and their values, for example those of [`Table::categories`](super::Table::categories);
    /// all other features are numbers. `None`: those in the file, values of rows left out excepted.
    ///
    /// In `.csv` a column holds text if anything in it but `?` and nothing is no number, be it only
    /// once: give the values to make it otherwise, also to take numbers for names.
    pub values: Option<BTreeMap<String, Values>>,
}

/// The values of a text column, in the order of their features: when found, numbers by their value
/// and then other text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Of the text as a whole.
    Whole(Vec<String>),
    /// Of each position.
    Letters(Vec<Vec<char>>),
}

impl Categories {
    pub(super) fn check(&self) -> Result<()> {
        for values in self.values.iter().flat_map(BTreeMap::values) {
            let blocks = values.blocks();
            for block in &blocks {
                let distinct = block.iter().collect::<BTreeSet<_>>().len();
                if distinct < block.len() || !(1..=MOST_VALUES).contains(&distinct) {
                    let found = format!("{distinct} different of {}", block.len());
                    let expected = format!("1 to {MOST_VALUES} distinct values");
                    return Err(Error::shape("Categories::values", expected, found));
                }
            }
            if blocks.is_empty() {
                return Err(Error::shape("Categories::values", "at least one position", 0));
            }
        }
        Ok(())
    }

    /// That every column named here is a feature.
    /// Features of these columns, where the values are known.
    pub(super) fn width(&self, columns: &[String]) -> Option<usize> {
        let values = self.values.as_ref()?;
        let width = |column: &String| match values.get(column) {
            Some(values) => values.blocks().iter().map(Vec::len).sum(),
            None => 1,
        };
        Some(columns.iter().map(width).sum())
    }

    pub(super) fn check_features(&self, features: &[String]) -> Result<()> {
        let named: Vec<&String> = match &self.values {
            Some(values) => values.keys().collect(),
            None => self.letters.iter().collect(),
        };
        match named.into_iter().find(|name| !features.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let expected = match features {
                    [] => "none, for arrays hold numbers".to_owned(),
                    _ => features.join(", "),
                };
                let what = "text column among the features";
                Err(Error::Unknown { what, expected, found: name.clone() })
            }
        }
    }
}

impl Values {
    /// The values of each position; a text as a whole has one.
    pub(super) fn blocks(&self) -> Vec<Vec<String>> {
        match self {
            Self::Whole(values) => vec![values.clone()],
            Self::Letters(positions) => {
                let texts = |letters: &Vec<char>| letters.iter().map(char::to_string).collect();
                positions.iter().map(texts).collect()
            }
        }
    }
}
