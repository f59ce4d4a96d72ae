//! Text columns while a file is read: each value a code, each code a block of zeros and ones at the end.

use std::collections::{BTreeMap, HashMap};

use crate::data::rows::Complaint;
use crate::data::table::categories::{Categories, MOST_VALUES, Values};
use crate::data::table::key::Key;

/// What an empty field of a text column stands for, as many tables write it themselves.
pub(super) const MISSING: &str = "?";

/// The code of a value that is not among those known.
const UNKNOWN: f32 = -1.0;

/// Whether a field says nothing.
pub(super) fn is_missing(text: &str) -> bool {
    text.is_empty() || text == MISSING
}

/// What a feature column holds.
#[derive(Clone)]
pub(super) enum Kind {
    Number,
    /// Text, and what shows that.
    Whole(String),
    /// So many letters.
    Letters(usize),
}

/// What is wrong with a value of a text column.
pub(crate) enum Misfit {
    OfRow(Complaint),
    OfColumn(Complaint),
}

/// How the features of a row become numbers.
#[derive(Default)]
pub(crate) struct Coder {
    /// For each feature column; `None` for numbers. Empty: there is no text.
    columns: Vec<Option<Column>>,
    /// As they were asked for; `None`: there may be no text.
    categories: Option<Categories>,
}

struct Column {
    /// One for each position; a text as a whole has one.
    blocks: Vec<Block>,
    is_letters: bool,
    /// What shows that this is text.
    because: String,
}

#[derive(Default)]
struct Block {
    codes: HashMap<String, u32>,
    /// Whether values that are met are added.
    open: bool,
}

/// A table's features, what they are called, and what the text columns hold.
pub(super) struct Coded {
    pub(super) width: usize,
    pub(super) values: Vec<f32>,
    pub(super) names: Vec<String>,
    pub(super) categories: Option<Categories>,
}

impl Coder {
    /// Where there is no text to be found.
    pub(super) fn numbers(categories: Option<&Categories>) -> Self {
        Self { columns: Vec::new(), categories: categories.cloned() }
    }

    /// Of features called `names` with values that are known.
    pub(super) fn known(
        names: &[String],
        values: &BTreeMap<String, Values>,
        categories: &Categories,
    ) -> Self {
        let column = |name| {
            let values: &Values = values.get(name)?;
            let blocks = values
                .blocks()
                .into_iter()
                .map(|values| Block { codes: values.into_iter().zip(0..).collect(), open: false });
            let is_letters = matches!(values, Values::Letters(_));
            Some(Column { blocks: blocks.collect(), is_letters, because: String::new() })
        };
        let columns = names.iter().map(column).collect();
        Self { columns, categories: Some(categories.clone()) }
    }

    /// Of features whose values will be met.
    pub(super) fn open(kinds: Vec<Kind>, categories: &Categories) -> Self {
        let block = || Block { codes: HashMap::new(), open: true };
        let column = |kind| {
            let (length, is_letters, because) = match kind {
                Kind::Number => return None,
                Kind::Whole(because) => (1, false, because),
                Kind::Letters(length) => (length, true, String::new()),
            };
            let blocks = (0..length).map(|_| block()).collect();
            Some(Column { blocks, is_letters, because })
        };
        let columns = kinds.into_iter().map(column).collect();
        Self { columns, categories: Some(categories.clone()) }
    }

    pub(super) fn is_text(&self, feature: usize) -> bool {
        self.columns.get(feature).is_some_and(Option::is_some)
    }

    /// Numbers that hold a feature column while the file is read.
    pub(super) fn codes(&self, feature: usize) -> usize {
        match self.columns.get(feature) {
            Some(Some(column)) => column.blocks.len(),
            _ => 1,
        }
    }

    /// Those of all features.
    pub(super) fn width(&self, features: usize) -> usize {
        (0..features).map(|feature| self.codes(feature)).sum()
    }

    /// Adds the codes of `text`, or NaN for each; does nothing where there are numbers.
    pub(super) fn push(
        &mut self,
        feature: usize,
        text: Option<&str>,
        codes: &mut Vec<f32>,
    ) -> Result<(), Misfit> {
        let Some(Some(column)) = self.columns.get_mut(feature) else { return Ok(()) };
        let before = codes.len();
        let done = text.map_or(Ok(()), |text| column.push(text, codes));
        codes.resize(before + column.blocks.len(), f32::NAN);
        done
    }

    /// The features that `codes` of the `columns` stand for, `width` of them a row.
    pub(super) fn expand(self, codes: Vec<f32>, width: usize, columns: &[String]) -> Coded {
        let Self { columns: coders, categories } = self;
        if coders.iter().all(Option::is_none) {
            let values = Some(BTreeMap::new());
            let categories = categories.map(|categories| Categories { values, ..categories });
            return Coded { width, values: codes, names: columns.to_vec(), categories };
        }
        let (mut slots, mut names, mut found) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (name, coder) in columns.iter().zip(coders) {
            let Some(coder) = coder else {
                slots.push(Slot { from: names.len(), places: None });
                names.push(name.clone());
                continue;
            };
            let is_letters = coder.is_letters;
            let mut blocks = Vec::new();
            for (position, block) in coder.blocks.into_iter().enumerate() {
                let at = slots.len();
                let (values, places) = block.in_order(codes.iter().skip(at).step_by(width));
                slots.push(Slot { from: names.len(), places: Some(places) });
                names.extend(values.iter().map(|value| match is_letters {
                    true => format!("{name}[{position}]={value}"),
                    false => format!("{name}={value}"),
                }));
                blocks.push(values);
            }
            found.insert(name.clone(), as_values(blocks, is_letters));
        }
        let values = filled(&codes, &slots, names.len());
        let categories =
            categories.map(|categories| Categories { values: Some(found), ..categories });
        Coded { width: names.len(), values, names, categories }
    }
}

impl Column {
    fn push(&mut self, text: &str, codes: &mut Vec<f32>) -> Result<(), Misfit> {
        if !self.is_letters {
            let text = if is_missing(text) { MISSING } else { text };
            self.blocks.iter_mut().for_each(|block| codes.push(block.code(text)));
        } else if text.chars().count() == self.blocks.len() {
            let mut buffer = [0; 4];
            let letters = text.chars().zip(&mut self.blocks);
            codes
                .extend(letters.map(|(letter, block)| block.code(letter.encode_utf8(&mut buffer))));
        } else {
            let (expected, found) = (self.blocks.len(), text.chars().count());
            let expected = format!("{expected} letters, as in other rows");
            return Err(Misfit::OfRow(Complaint::new(expected, format!("{found}, {text:?},"))));
        }
        match self.blocks.iter().any(|block| block.codes.len() > MOST_VALUES) {
            false => Ok(()),
            true => {
                let expected =
                    format!("numbers, or text of at most {MOST_VALUES} different values");
                let because = &self.because;
                let found =
                    format!("more values than that (text because of {because}) up to {text:?}");
                Err(Misfit::OfColumn(Complaint::new(expected, found)))
            }
        }
    }
}

impl Block {
    fn code(&mut self, value: &str) -> f32 {
        // A code is at most MOST_VALUES: exact in `f32`.
        match self.codes.get(value) {
            Some(&code) => code as f32,
            None if !self.open => UNKNOWN,
            None => {
                let code = self.codes.len() as u32;
                self.codes.insert(value.to_owned(), code);
                code as f32
            }
        }
    }

    /// The values in order, and where among them each code is; what is in none of the `codes` of
    /// the rows kept was never met.
    fn in_order<'a>(self, codes: impl Iterator<Item = &'a f32>) -> (Vec<String>, Vec<usize>) {
        let mut used = vec![!self.open; self.codes.len()];
        codes.filter(|&&code| code >= 0.0).for_each(|&code| used[code as usize] = true);
        let sorted = self.codes.into_iter().filter(|&(_, code)| used[code as usize]);
        let mut sorted: Vec<(Key, u32)> =
            sorted.map(|(value, code)| (Key::Text(value), code)).collect();
        match self.open {
            true => sorted.sort_by(|(a, _), (b, _)| a.compare(b)),
            false => sorted.sort_by_key(|(_, code)| *code),
        }
        let mut places = vec![0; used.len()];
        sorted.iter().enumerate().for_each(|(place, (_, code))| places[*code as usize] = place);
        (sorted.into_iter().map(|(value, _)| value.to_string()).collect(), places)
    }
}

fn as_values(mut blocks: Vec<Vec<String>>, is_letters: bool) -> Values {
    match is_letters {
        false => Values::Whole(blocks.pop().unwrap_or_default()),
        true => {
            let letters =
                |block: &Vec<String>| block.iter().flat_map(|value| value.chars()).collect();
            Values::Letters(blocks.iter().map(letters).collect())
        }
    }
}

/// What becomes of a number of a row.
struct Slot {
    /// First of its features.
    from: usize,
    /// Where behind that the 1 of each code is; `None` for a number.
    places: Option<Vec<usize>>,
}

/// Rows of `width` features.
fn filled(codes: &[f32], slots: &[Slot], width: usize) -> Vec<f32> {
    let mut values = vec![0.0; codes.len() / slots.len() * width];
    for (row, codes) in values.chunks_mut(width).zip(codes.chunks(slots.len())) {
        for (&code, slot) in codes.iter().zip(slots) {
            match &slot.places {
                None => row[slot.from] = code,
                Some(places) if code >= 0.0 => row[slot.from + places[code as usize]] = 1.0,
                Some(_) => {} // a value that is not known
            }
        }
    }
    values
}
