//! Pictures and texts of some rows.

use gleaner::report::html::{ContactSheet, Passage, Passages, Report, Thumbnail};

use crate::input::Data;

/// Rows that are shown of each kind.
pub const SHOWN: usize = 24;

/// Puts what rows look like on a page, if they are more than their features; each with its caption. Of so many in all.
pub fn put(page: &mut Report, title: &str, data: &Data, rows: &[(usize, String)], total: usize) {
    let Some(shown) = &data.shown else { return };
    let (mut pictures, mut passages) = (Vec::new(), Vec::new());
    for (i, caption) in rows.iter().take(SHOWN) {
        if let Some(text) = shown.text(*i) {
            passages.push(Passage { caption: caption.clone(), text: text.to_owned() });
        } else if let Some(image) = shown.picture(*i) {
            pictures.push(Thumbnail { caption: caption.clone(), image });
        }
    }
    let title = title.to_owned();
    if !passages.is_empty() {
        page.passages.push(Passages { title, passages, total });
    } else if !pictures.is_empty() {
        page.sheets.push(ContactSheet { title, pictures, total });
    }
}
