//! Bytes as a table of each kind: read into memory and left on disk they are the same rows, or both are refused.

use gleaner::data::Source;
use gleaner::data::table::{Categories, TableOptions, load, store};

use crate::bytes::{Bytes, file};

const ENDINGS: [&str; 6] = ["csv", "npy", "npz", "safetensors", "parquet", "csv.gz"];

pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (ending, flags) = (ENDINGS[bytes.choice(ENDINGS.len())], bytes.byte());
    let is = |bit: u8| flags >> bit & 1 == 1;
    let path = file(&format!("table.{ending}"), bytes.0);
    let options = TableOptions {
        label: is(0).then(|| "label".into()),
        id: is(1).then(|| "id".into()),
        malformed: if is(2) { gleaner::data::Malformed::Skip } else { Default::default() },
        categories: is(3).then(Categories::default),
        delimiter: if is(4) { b';' } else { b',' },
        decimal_comma: is(5),
        ..Default::default()
    };
    let whole = load(&path, &options);
    let Ok(stored) = store(&path, &options, path.parent().unwrap()) else { return };
    let whole = whole.expect("what can be stored can be loaded");
    assert_eq!((whole.data.labels(), &whole.class_names), (stored.labels(), &stored.class_names));
    assert_eq!(whole.ids, stored.ids);
    let everyone: Vec<usize> = (0..stored.points()).collect();
    if everyone.is_empty() {
        return;
    }
    let rows = |source: &dyn Source| -> Vec<u32> {
        let inputs = source.inputs_at(&everyone).unwrap().flatten_all().unwrap();
        inputs.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    assert_eq!(rows(&whole.data), rows(&stored));
    assert!(rows(&stored).into_iter().all(|bits| f32::from_bits(bits).is_finite()));
}
