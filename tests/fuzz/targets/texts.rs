//! Bytes as a file of labelled texts: what was found is found again where it stands.

use gleaner::data::Source;
use gleaner::data::text::encode::HashedWords;
use gleaner::data::text::{TextCsv, TextLayout, TextOptions};

use crate::bytes::{Bytes, file};

pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let flags = bytes.byte();
    let is = |bit: u8| flags >> bit & 1 == 1;
    let layout = match is(0) {
        true => TextLayout::numbered(3, 1 + bytes.choice(2)),
        false => TextLayout::Named {
            label: "label".into(),
            texts: vec!["text".into()],
            class_names: is(1).then(|| vec!["a".into(), "b".into()]),
        },
    };
    let options = TextOptions {
        layout,
        malformed: if is(2) { gleaner::data::Malformed::Skip } else { Default::default() },
        delimiter: if is(3) { b'\t' } else { b',' },
        ..Default::default()
    };
    let path = file(if is(4) { "texts.csv.gz" } else { "texts.csv" }, bytes.0);
    let Ok(texts) = TextCsv::open(&path, &options, HashedWords::default()) else { return };
    let everyone: Vec<usize> = (0..texts.points()).collect();
    let found = texts.texts_at(&everyone).expect("rows stand where they were found");
    assert_eq!(found.len(), texts.points());
    assert!(texts.labels().iter().all(|label| (*label as usize) < texts.classes()));
    let last = [everyone.len() - 1];
    assert_eq!(texts.texts_at(&last).unwrap(), found[last[0]..]);
}
