//! Tables of ready-made features: what each format gives, and what is refused. Every file is written
//! here, arrays and parquet by other crates than those that read them where there are such.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use gleaner::Error;
use gleaner::data::table::{self, Categories, Table, TableOptions, Values};
use gleaner::data::{Malformed, Source};
use npyz::WriterBuilder;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

/// Reads a table whose extent was told before.
fn read_table(path: impl AsRef<Path>, options: &TableOptions) -> gleaner::Result<Table> {
    let told = table::extent(&path, options);
    let loaded = table::load(&path, options);
    stays_the_same_on_disk(path.as_ref(), options, &loaded);
    let table = loaded?;
    let told = told.unwrap();
    if told.exact {
        assert_eq!(told.rows, table.data.len() + table.skipped.len());
    }
    // What malformed rows say is not known before.
    if told.exact && table.skipped.is_empty() {
        assert_eq!(told.features, table.data.inputs().dim(1)?);
    }
    Ok(table)
}

/// The same rows, or the same complaint, where features stay on disk; but for what cannot.
fn stays_the_same_on_disk(path: &Path, options: &TableOptions, loaded: &gleaner::Result<Table>) {
    let stored = table::store(path, options, std::env::temp_dir());
    let (table, stored) = match (loaded, stored) {
        (Ok(table), Ok(stored)) => (table, stored),
        (Err(loaded), Err(stored)) => return assert_eq!(loaded.to_string(), stored.to_string()),
        (Ok(_), Err(error)) => {
            let told = error.to_string();
            return assert!(
                told.contains("Fortran order") || told.contains("text among the features"),
                "{told}"
            );
        }
        (Err(error), Ok(_)) => panic!("only in memory: {error}"),
    };
    let points = table.data.len();
    let backwards: Vec<usize> = (0..points).rev().collect();
    assert_eq!(stored.labels(), table.data.labels());
    assert_eq!(stored.width(), table.data.inputs().dim(1).unwrap());
    assert_eq!(stored.skipped(), table.skipped.len());
    assert_eq!(
        (&stored.columns, &stored.class_names, &stored.ids, &stored.groups, &stored.costs),
        (&table.columns, &table.class_names, &table.ids, &table.groups, &table.costs)
    );
    for order in [(0..points).collect(), backwards] {
        let rows = |inputs: Tensor| inputs.to_vec2::<f32>().unwrap();
        let expected = rows(table.data.inputs_at(&order).unwrap());
        assert_eq!(rows(stored.inputs_at(&order).unwrap()), expected);
    }
    let left = (0..points + table.skipped.len()).filter(|row| !table.skipped.contains(row));
    for (point, row) in left.enumerate() {
        assert_eq!(stored.origin(point).unwrap(), (0, row));
    }
}

/// More than waits in memory at a time, with malformed rows here and there; two files, of which one stays as it is.
#[test]
fn rows_leave_memory_in_blocks() -> gleaner::Result<()> {
    const ROWS: usize = 7_000;
    const WIDTH: usize = 100;
    let folder = TempDir::new().unwrap();
    let mut values: Vec<f64> = (0..ROWS * WIDTH).map(|k| k as f64).collect();
    let bad = [0, 1, 2_621, 2_622, 6_999];
    bad.iter().for_each(|row| values[row * WIDTH + row % WIDTH] = f64::NAN);
    let shape = [ROWS as u64, WIDTH as u64];
    let double = write(&folder, "double.npy", npy(&shape, npyz::Order::C, &values));
    let single: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let single = write(&folder, "single.npy", npy(&shape, npyz::Order::C, &single));
    let labels: Vec<u64> = (0..ROWS as u64).map(|row| row % 3).collect();
    write(&folder, "label.npy", npy(&[ROWS as u64], npyz::Order::C, &labels));
    let options = skip(TableOptions::default());
    let table = read_table(&double, &options)?;
    assert_eq!(table.skipped, bad);
    read_table(&single, &options)?;

    let mut both = table::store(&double, &options, folder.path())?;
    both.append(table::store(&single, &options, folder.path())?)?;
    let each = ROWS - bad.len();
    assert_eq!((both.points(), both.skipped(), both.classes()), (2 * each, 10, 3));
    assert_eq!(both.origin(each)?, (1, 2));
    let across: Vec<usize> = (each - 5..each + 5).collect();
    let rows = both.inputs_at(&across)?.to_vec2::<f32>().unwrap();
    assert_eq!(rows[4][0], (6_998 * WIDTH) as f32);
    assert_eq!(rows[5][0], (2 * WIDTH) as f32);
    assert!(both.inputs_at(&[2 * each]).is_err() && both.origin(2 * each).is_err());
    // What is in the folder is what was there: scratch files have no names.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    // A file that was cut afterwards is an error, not other numbers.
    fs::File::options().write(true).open(&single).unwrap().set_len(1_000).unwrap();
    assert!(matches!(both.inputs_at(&across), Err(Error::Io { .. })));
    Ok(())
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn rows(table: &Table) -> Vec<Vec<f32>> {
    table.data.inputs().to_vec2().unwrap()
}

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

fn skip(options: TableOptions) -> TableOptions {
    TableOptions { malformed: Malformed::Skip, ..options }
}

/// All roles under their plain names.
fn all_roles() -> TableOptions {
    TableOptions { group: some("group"), cost: some("cost"), ..Default::default() }
}

// Comma-separated values.

const SMALL: &str = "a,label,b,group,cost\n1,0,2.5,x,10\n-3,1,4e2,y,0.5\n5,1,6,x,7\n";

#[test]
fn columns_are_found_by_name_and_all_others_are_features() {
    let folder = TempDir::new().unwrap();
    let table = read_table(write(&folder, "t.csv", SMALL), &all_roles()).unwrap();
    assert_eq!(rows(&table), [[1.0, 2.5], [-3.0, 400.0], [5.0, 6.0]]);
    assert_eq!(table.feature_names, ["a", "b"]);
    assert_eq!(table.data.labels(), [0, 1, 1]);
    assert_eq!(
        (table.data.classes(), table.class_names),
        (2, vec!["0".to_owned(), "1".to_owned()])
    );
    let groups = table.groups.unwrap();
    assert_eq!((groups.ids, groups.names), (vec![0, 1, 0], vec!["x".to_owned(), "y".to_owned()]));
    assert_eq!(table.costs.unwrap(), [10.0, 0.5, 7.0]);
    assert!(table.skipped.is_empty());
}

/// Beyond the first mebibyte rows are as long as before.
#[test]
fn the_extent_of_a_long_file_is_estimated() {
    let folder = TempDir::new().unwrap();
    let mut text = String::from("x,colour,label\n");
    (0..200_000).for_each(|k| text += &format!("{k:06}.5,{},{}\n", ["red", "blue"][k % 2], k % 3));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let compressed = write(&folder, "t.csv.gz", gzip.finish().unwrap());
    for path in [write(&folder, "t.csv", text), compressed] {
        let options =
            TableOptions { categories: Some(Categories::default()), ..Default::default() };
        let told = table::extent(&path, &options).unwrap();
        assert!(!told.exact && told.features == 3, "{told:?}");
        assert!((199_000..=201_000).contains(&told.rows), "{told:?}");
    }
}

#[test]
fn features_come_in_the_order_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.CSV", SMALL);
    let features = vec!["b".to_owned(), "cost".to_owned(), "a".to_owned()];
    let options = TableOptions { features, ..Default::default() };
    let table = read_table(path, &options).unwrap();
    assert_eq!(rows(&table)[0], [2.5, 10.0, 1.0]);
    assert!(table.groups.is_none() && table.costs.is_none());
}

#[test]
fn labels_are_numbered_in_order_or_as_told() {
    let folder = TempDir::new().unwrap();
    // (labels, names found, numbers)
    type Case = (&'static [&'static str], &'static [&'static str], &'static [u32]);
    let cases: [Case; 5] = [
        (&["2", "0", "1"], &["0", "1", "2"], &[2, 0, 1]),
        (&["10", "9", "-1"], &["-1", "9", "10"], &[2, 1, 0]),
        (&["1.0", "0.0", "1"], &["0.0", "1", "1.0"], &[2, 0, 1]),
        (&["dog", " cat ", "dog"], &["cat", "dog"], &[1, 0, 1]),
        (&["b", "10", "9"], &["9", "10", "b"], &[2, 1, 0]),
    ];
    for (labels, names, numbers) in cases {
        let lines: String = labels.iter().map(|label| format!("1,{label}\n")).collect();
        let path = write(&folder, "t.csv", format!("x,label\n{lines}"));
        let table = read_table(path, &TableOptions::default()).unwrap();
        assert_eq!(table.class_names, names, "{labels:?}");
        assert_eq!(table.data.labels(), numbers, "{labels:?}");
        assert_eq!(table.data.classes(), names.len());
    }
    // A test file in which a class is missing, with the numbers of the training file.
    let path = write(&folder, "t.csv", "x,label\n1,dog\n2,cow\n");
    let class_names = Some(["cat", "cow", "dog"].map(str::to_owned).to_vec());
    let told = TableOptions { class_names, ..Default::default() };
    let table = read_table(&path, &told).unwrap();
    assert_eq!((table.data.labels(), table.data.classes()), (&[2, 1][..], 3));
    let told = TableOptions { class_names: Some(vec!["dog".to_owned()]), ..Default::default() };
    let error = read_table(&path, &told).unwrap_err().to_string();
    assert!(error.contains("cow") && error.contains("line 3"), "{error}");
    assert_eq!(read_table(&path, &skip(told)).unwrap().skipped, [1]);
}

#[test]
fn without_labels_there_is_one_class() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "x,y\n1,2\n3,4\n");
    let table = read_table(path, &TableOptions { label: None, ..Default::default() }).unwrap();
    assert_eq!((table.data.labels(), table.data.classes()), (&[0, 0][..], 1));
    assert_eq!(rows(&table), [[1.0, 2.0], [3.0, 4.0]]);
}

#[test]
fn malformed_lines_are_refused_with_their_place_or_left_out() {
    let folder = TempDir::new().unwrap();
    // (what is in line 3, what the message must name)
    let cases = [
        ("x,2,0,g,1", "\"x\" in column \"a\", line 3"),
        (",2,0,g,1", "\"\" in column \"a\", line 3"),
        ("NaN,2,0,g,1", "\"NaN\" in column \"a\", line 3"),
        ("1,inf,0,g,1", "\"inf\" in column \"b\", line 3"),
        ("1,1e39,0,g,1", "\"1e39\" in column \"b\", line 3"),
        ("1,2,,g,1", "column \"label\", line 3"),
        ("1,2,0,,1", "column \"group\", line 3"),
        ("1,2,0,g,?", "\"?\" in column \"cost\", line 3"),
        ("1,2,0,g", "4 fields in line 3"),
        ("1,2,0,g,1,9", "6 fields in line 3"),
    ];
    for (line, place) in cases {
        let text = format!("a,b,label,group,cost\n1,2,0,g,1\n{line}\n3,4,1,h,2\n");
        let path = write(&folder, "t.csv", text);
        let error = read_table(&path, &all_roles()).unwrap_err();
        assert!(matches!(&error, Error::File { path: named, .. } if *named == path));
        assert!(error.to_string().contains(place), "{line}: {error}");
        let table = read_table(&path, &skip(all_roles())).unwrap();
        assert_eq!(rows(&table), [[1.0, 2.0], [3.0, 4.0]], "{line}");
        assert_eq!((table.data.labels(), &table.skipped[..]), (&[0, 1][..], &[1][..]), "{line}");
        assert_eq!((table.groups.unwrap().ids, table.costs.unwrap()), (vec![0, 1], vec![1.0, 2.0]));
    }
    let path = write(&folder, "t.csv", b"a,label\n1,\xFF\xFE\n");
    assert!(matches!(read_table(path, &TableOptions::default()), Err(Error::File { .. })));
}

#[test]
fn labels_of_rows_left_out_are_no_classes() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "x,label\n1,b\n?,a\n2,c\n");
    let table = read_table(path, &skip(TableOptions::default())).unwrap();
    assert_eq!(
        (table.class_names, table.data.classes()),
        (vec!["b".to_owned(), "c".to_owned()], 2)
    );
    assert_eq!(table.data.labels(), [0, 1]);
}

#[test]
fn a_column_of_words_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "age,work,label\n39,State-gov,0\n50,Private,1\n");
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("\"work\"") && error.contains("State-gov"), "{error}");
    // Not even with malformed rows left out does it go unnoticed.
    let error = read_table(&path, &skip(TableOptions::default())).unwrap_err().to_string();
    assert!(error.contains("2 rows, none of them usable") && error.contains("work"), "{error}");
    let options = TableOptions { features: vec!["age".to_owned()], ..Default::default() };
    assert_eq!(rows(&read_table(&path, &options).unwrap()), [[39.0], [50.0]]);
}

#[test]
fn compressed_values_are_read_and_their_end_is_checked() {
    let folder = TempDir::new().unwrap();
    let packed = |text: &str| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    let whole = packed(SMALL);
    let table = read_table(write(&folder, "t.csv.gz", &whole), &all_roles()).unwrap();
    assert_eq!(rows(&table), [[1.0, 2.5], [-3.0, 400.0], [5.0, 6.0]]);
    // Several members, one after the other, are one file.
    let two = [whole.clone(), packed("8,0,9,x,1\n")].concat();
    let table = read_table(write(&folder, "t.csv.gz", two), &all_roles()).unwrap();
    assert_eq!(rows(&table)[3], [8.0, 9.0]);
    for length in 0..whole.len() {
        let path = write(&folder, "t.csv.gz", &whole[..length]);
        let error = read_table(path, &all_roles()).unwrap_err();
        assert!(matches!(error, Error::File { .. } | Error::Unknown { .. }), "{length}: {error}");
    }
}

#[test]
fn names_that_are_not_there_or_twice_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "a,a,b,label\n1,2,3,0\n");
    let load = |options: TableOptions| read_table(&path, &options).unwrap_err();
    let error = load(TableOptions { label: some("class"), ..Default::default() });
    assert!(matches!(&error, Error::Unknown { found, .. } if found == "class"), "{error}");
    assert!(error.to_string().contains("a, a, b, label"), "{error}");
    for features in [vec!["a"], vec!["b", "b"], vec!["label"]] {
        let features = features.into_iter().map(str::to_owned).collect();
        let error = load(TableOptions { features, ..Default::default() });
        assert!(matches!(error, Error::File { .. }), "{error}");
    }
    for (name, text) in
        [("t.csv", ""), ("t.csv", "label\n0\n"), ("t.csv", "x,label\n"), ("t.txt", "x")]
    {
        let path = write(&folder, name, text);
        let error = read_table(path, &TableOptions::default()).unwrap_err();
        assert!(matches!(error, Error::File { .. } | Error::Unknown { .. }), "{text:?}: {error}");
    }
    let missing = read_table(folder.path().join("no.csv"), &TableOptions::default());
    assert!(matches!(missing.unwrap_err(), Error::Io { .. }));
}

#[test]
fn quotes_marks_and_line_ends_of_other_systems_are_understood() {
    let folder = TempDir::new().unwrap();
    let text = "\u{FEFF}\"x\",label\r\n\" 1 \",\"a,\"\"b\"\"\"\r\n2,c\r\n";
    let table = read_table(write(&folder, "t.csv", text), &TableOptions::default()).unwrap();
    assert_eq!(
        (rows(&table), table.feature_names),
        (vec![vec![1.0], vec![2.0]], vec!["x".to_owned()])
    );
    assert_eq!(table.class_names, ["a,\"b\"", "c"]);
}

#[test]
fn a_quote_left_open_is_refused_with_its_line_and_costs_one_row() {
    let folder = TempDir::new().unwrap();
    let long: String = (0..1000)
        .map(|k| {
            format!("{k},{k},{}n,{}\n", ["", "\""][usize::from(k == 5)], ["dog", "cat"][k % 2])
        })
        .collect();
    // (text, what is wrong, rows kept with malformed ones left out, rows left out)
    type Case<'a> = (&'a str, &'a str, usize, &'a [usize]);
    let cases: [Case; 7] = [
        ("a,b,label\n1,2,\"cat\n3,4,dog\n5,6,dog\n", "no closing quote in line 2", 2, &[0]),
        (
            "a,b,label\n1,2,\"cat\n3,4,dog\n5,6,\"bird\"\n7,8,dog\n",
            "text after a closing quote in line 2",
            3,
            &[0],
        ),
        (&format!("a,b,note,label\n{long}"), "no closing quote in line 7", 999, &[5]),
        ("a,label\n1,cat\n2,\"dog", "no closing quote in line 3", 1, &[1]),
        ("a,label\n1,\"c\nat\"\n2,\"dog\n3,x", "no closing quote in line 4", 2, &[1]),
        ("a,label\r\n1,\"cat\r\n2,dog\r\n", "no closing quote in line 2", 1, &[0]),
        ("a,label\r1,cat\r2,\"x\"y\r3,dog", "text after a closing quote in line 3", 2, &[1]),
    ];
    let features = vec!["a".to_owned()];
    let options = TableOptions { features, ..Default::default() };
    for (text, wrong, kept, skipped) in cases {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        for path in [write(&folder, "t.csv", text), write(&folder, "t.csv.gz", packed)] {
            let error = read_table(&path, &options).unwrap_err();
            assert!(matches!(&error, Error::File { path: named, .. } if *named == path));
            assert!(error.to_string().contains(wrong), "{wrong}: {error}");
            let table = read_table(&path, &skip(options.clone())).unwrap();
            assert_eq!((table.data.len(), &table.skipped[..]), (kept, skipped), "{wrong}");
            assert!(table.class_names.iter().all(|name| !name.contains("\n2")), "{wrong}");
        }
    }
    let path = write(&folder, "t.csv", "a,\"label\n1,cat\n");
    let error = read_table(path, &skip(options)).unwrap_err().to_string();
    assert!(error.contains("no closing quote in line 1"), "{error}");
}

#[test]
fn rows_of_any_length_come_through_whatever_ends_them() {
    let folder = TempDir::new().unwrap();
    // Much longer than what is read at a time, so that its ends fall on everything once.
    let text = |k: usize| format!("{}\"{k},\r\n", "é".repeat(k * 37 % 101));
    for end in ["\n", "\r\n", "\r"] {
        let mut file = format!("a,label{end}");
        for k in 0..5000 {
            file += &format!("{k},\"{}\"{end}", text(k).replace('"', "\"\""));
            if k % 3 == 0 {
                file += end; // a blank line
            }
        }
        let path = write(&folder, "t.csv", file + "bad,x");
        let table = read_table(&path, &skip(TableOptions::default())).unwrap();
        assert_eq!((table.data.len(), &table.skipped[..]), (5000, &[5000][..]));
        for (k, (row, &label)) in rows(&table).iter().zip(table.data.labels()).enumerate() {
            assert_eq!(row[..], [k as f32]);
            assert_eq!(table.class_names[label as usize], text(k).trim());
        }
        let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
        // The header, 5,000 rows of two lines, 1,667 blank ones.
        assert!(error.contains("line 11669"), "{error}");
    }
}

#[test]
fn quotes_within_a_column_and_blanks_behind_one_are_no_fault() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "a,label\n1,5\" pipe\n \"2\"\t, x\n\"3\" ,\"y\" \n");
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    // A blank before a quote makes it part of the text, as in the `csv` crate and pandas.
    assert!(error.contains("column \"a\", line 3"), "{error}");
    let table = read_table(&path, &skip(TableOptions::default())).unwrap();
    assert_eq!((rows(&table), table.skipped), (vec![vec![1.0], vec![3.0]], vec![1]));
    assert_eq!(table.class_names, ["5\" pipe", "y"]);
}

#[test]
fn marks_and_line_ends_change_nothing_and_other_encodings_are_named() {
    let folder = TempDir::new().unwrap();
    let same: [&str; 6] = [
        "a,b,label\n1,2,cat\n3,4,dog\n",
        "\u{feff}a,b,label\r\n1,2,cat\r\n3,4,dog\r\n",
        "\u{feff}\"a\",\"b\",\"label\"\r\n\"1\",\"2\",\"cat\"\r\n\"3\",\"4\",\"dog\"",
        "a,b,label\r1,2,cat\r3,4,dog\r",
        "a,b,label\r\r1,2,cat\r3,4,dog",
        "\n\r\na,b,label\n\n1,2,cat\r3,4,\"dog\"\r\n\n",
    ];
    for text in same {
        let table = read_table(write(&folder, "t.csv", text), &TableOptions::default()).unwrap();
        assert_eq!(rows(&table), [[1.0, 2.0], [3.0, 4.0]], "{text:?}");
        assert_eq!(table.class_names, ["cat", "dog"], "{text:?}");
        assert_eq!(table.feature_names, ["a", "b"], "{text:?}");
    }
    let path = write(&folder, "t.csv", "a,b,label\n1,2,\"cat\nhouse\"\n3,4,ca\0t\n");
    let table = read_table(path, &TableOptions::default()).unwrap();
    assert_eq!(table.class_names, ["ca\0t", "cat\nhouse"]);
    // In a number it makes a text of it.
    let path = write(&folder, "t.csv", "a,b,label\n1,2,cat\n3,\x004,dog\n");
    let error = read_table(path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("\"b\"") && error.contains("line 3"), "{error}");

    let utf16 = |mark: &[u8], swap: bool| {
        let pair = |code: u16| if swap { code.to_be_bytes() } else { code.to_le_bytes() };
        let text = "a,b,label\n1,2,cat\n3,4,dog\n".encode_utf16().flat_map(pair);
        [mark, &text.collect::<Vec<u8>>()].concat()
    };
    let cases: [(&str, Vec<u8>, &[&str]); 6] = [
        (
            "Latin-1",
            b"a,b,label\n1,2,K\xE4fer\n3,4,dog\n".to_vec(),
            &["WINDOWS-1252", "0xE4", "Latin-1", "column \"label\", line 2"],
        ),
        ("in a number", b"a,label\n3,x\n\xA31,y\n".to_vec(), &["Latin-1", "line 3"]),
        ("in the header", b"gr\xF6\xDFe,label\n1,2\n".to_vec(), &["Latin-1", "column 1"]),
        ("UTF-16", utf16(b"\xFF\xFE", false), &["iconv -f UTF-16 -t UTF-8", "line 1"]),
        ("UTF-16, big end first", utf16(b"\xFE\xFF", true), &["iconv -f UTF-16 -t UTF-8"]),
        ("UTF-16 without a mark", utf16(b"", false), &["iconv -f UTF-16 -t UTF-8"]),
    ];
    for (what, bytes, named) in cases {
        let path = write(&folder, "t.csv", bytes);
        let error = read_table(&path, &TableOptions::default()).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{what}: {error}");
        let error = error.to_string();
        assert!(named.iter().all(|named| error.contains(named)), "{what}: {error}");
    }
    let path = write(&folder, "t.csv", b"a,b,label\n1,2,K\xE4fer\n3,4,dog\n");
    assert_eq!(read_table(path, &skip(TableOptions::default())).unwrap().skipped, [0]);
}

#[test]
fn other_delimiters_and_decimal_commas() {
    let folder = TempDir::new().unwrap();
    // (delimiter, decimal comma, text)
    let cases = [
        (b';', true, "a;b;label;cost\n0,5;-2;cat;1,25\n1,5e1;3;a,b;2\n"),
        (b',', true, "a,b,label,cost\n\"0,5\",-2,cat,\"1,25\"\n\"1,5e1\",3,\"a,b\",2\n"),
        (b'\t', false, "a\tb\tlabel\tcost\n0.5\t-2\tcat\t1.25\n15\t3\ta,b\t2\n"),
        (b'|', false, "a|b|label|cost\n0.5|-2|cat|1.25\n1.5e1|3|a,b|2\n"),
    ];
    for (delimiter, decimal_comma, text) in cases {
        let cost = some("cost");
        let options = TableOptions { delimiter, decimal_comma, cost, ..Default::default() };
        let table = read_table(write(&folder, "t.csv", text), &options).unwrap();
        assert_eq!(rows(&table), [[0.5, -2.0], [15.0, 3.0]], "{text}");
        assert_eq!(table.class_names, ["a,b", "cat"], "{text}");
        assert_eq!(table.costs.unwrap(), [1.25, 2.0], "{text}");
    }
    let refused = |options: TableOptions, text: &str| {
        read_table(write(&folder, "t.csv", text), &options).unwrap_err()
    };
    // Neither marks between thousands nor the other sign is guessed at.
    let comma = TableOptions { decimal_comma: true, ..Default::default() };
    for number in ["\"1.234,5\"", "1.5", "\"1,234,5\""] {
        let error = refused(comma.clone(), &format!("a,label\n{number},x\n"));
        assert!(error.to_string().contains("line 2"), "{error}");
    }
    let error = refused(TableOptions::default(), "a,label\n\"1,5\",x\n").to_string();
    assert!(error.contains("\"1,5\""), "{error}");
    for delimiter in [b'"', b'\n', b'\r', 0xE9] {
        let error = refused(TableOptions { delimiter, ..Default::default() }, "a,label\n1,x\n");
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }
}

#[test]
fn labels_and_groups_are_names_even_where_they_look_like_numbers() {
    let folder = TempDir::new().unwrap();
    // Different texts that are one number, or one as 64-bit floats; in order of value, then of text.
    let names = [
        "-1",
        "0",
        "001",
        "01",
        "1",
        "1.0",
        "1e0",
        "7",
        "100",
        "1E2",
        "9007199254740992",
        "9007199254740993",
        "12345678901234567890",
        "12345678901234567891",
        "340282366920938463463374607431768211457",
        "NaN",
        "ab",
        "inf",
    ];
    let count = names.len();
    // Three of each, in an order that is not theirs.
    let shuffled: Vec<&str> = (0..3 * count).map(|k| names[(k * 7 + 3) % count]).collect();
    let lines: String = shuffled.iter().map(|name| format!("1, {name},{name} \n")).collect();
    let path = write(&folder, "t.csv", format!("x,label,group\n{lines}"));
    let options = TableOptions { group: some("group"), ..Default::default() };
    let table = read_table(&path, &options).unwrap();
    assert_eq!(table.class_names, names);
    let groups = table.groups.unwrap();
    assert_eq!((&groups.names, &groups.ids[..]), (&table.class_names, table.data.labels()));
    for (name, &label) in shuffled.iter().zip(table.data.labels()) {
        assert_eq!(names[label as usize], *name);
    }
    // The names give the same numbers again.
    let again = TableOptions { class_names: Some(table.class_names), ..options };
    assert_eq!(read_table(&path, &again).unwrap().data.labels(), table.data.labels());
    let class_names = Some(vec!["1".to_owned(), "01".to_owned(), " 1".to_owned()]);
    let error = read_table(&path, &TableOptions { class_names, ..again }).unwrap_err();
    assert!(error.to_string().contains("distinct names"), "{error}");
}

#[test]
fn indices_are_no_features_unless_asked_for() {
    let folder = TempDir::new().unwrap();
    let plain = TableOptions::default();
    let named = |names: &[&str]| {
        let features = names.iter().map(|name| name.to_string()).collect();
        TableOptions { features, ..Default::default() }
    };
    // As `to_csv` of pandas writes it, with one unnamed level or two, and once more read and written.
    for text in [
        ",a,label\n100,0.5,x\n200,1.5,y\n300,2.5,x\n",
        "\"\",\"a\",\"label\"\n\"r1\",0.5,\"x\"\n\"r2\",1.5,\"y\"\n\"r3\",2.5,\"x\"\n",
        ",,a,label\n0,100,0.5,x\n0,200,1.5,y\n1,300,2.5,x\n",
        "Unnamed: 0,a,label\n100,0.5,x\n200,1.5,y\n300,2.5,x\n",
    ] {
        let table = read_table(write(&folder, "t.csv", text), &plain).unwrap();
        assert_eq!(rows(&table), [[0.5], [1.5], [2.5]], "{text}");
        assert_eq!(table.feature_names, ["a"], "{text}");
    }
    let path = write(&folder, "t.csv", ",a,label\n100,0.5,x\n200,1.5,y\n");
    let table = read_table(&path, &named(&["", "a"])).unwrap();
    assert_eq!(rows(&table), [[100.0, 0.5], [200.0, 1.5]]);
    let table = read_table(&path, &TableOptions { group: some(""), ..plain.clone() }).unwrap();
    assert_eq!(table.groups.unwrap().names, ["100", "200"]);
    // Elsewhere a column without a name is one like any other.
    let path = write(&folder, "t.csv", "a,,label\n1,2,x\n");
    assert_eq!(read_table(path, &plain).unwrap().feature_names, ["a", ""]);

    let path = folder.path().join("t.parquet");
    let fill: &Group = &|group| {
        column::<DoubleType>(group, &[0.5, 1.5, 2.5], None, None);
        column::<Int64Type>(group, &[1, 0, 1], None, None);
        column::<Int64Type>(group, &[100, 200, 300], None, None);
    };
    // (name of the last column, what pandas notes, whether it is a feature)
    let note = |index: &str| Some(format!("{{\"index_columns\": [{index}], \"columns\": []}}"));
    let cases = [
        ("__index_level_0__", note("\"__index_level_0__\""), false),
        ("__index_level_0__", None, false),
        ("user", note("\"user\""), false),
        ("user", note("{\"kind\": \"range\", \"start\": 0, \"stop\": 3, \"step\": 1}"), true),
        ("user", Some("no JSON".to_owned()), true),
        ("user", None, true),
    ];
    for (name, note, is_feature) in cases {
        let schema = format!(
            "message rows {{ required double a; required int64 label; required int64 {name}; }}"
        );
        let note = note.map(|note| vec![KeyValue::new("pandas".to_owned(), note)]);
        let properties = WriterProperties::builder().set_key_value_metadata(note).build();
        parquet_file(&path, &schema, 1, properties, fill);
        let table = read_table(&path, &plain).unwrap();
        let expected = if is_feature { vec!["a", name] } else { vec!["a"] };
        assert_eq!(table.feature_names, expected);
        let table = read_table(&path, &named(&[name])).unwrap();
        assert_eq!(rows(&table), [[100.0], [200.0], [300.0]], "{name}");
        let table =
            read_table(&path, &TableOptions { group: some(name), ..plain.clone() }).unwrap();
        assert_eq!(table.groups.unwrap().names, ["100", "200", "300"], "{name}");
    }
}

#[test]
fn targets_are_read_to_their_last_bit_from_every_format() {
    let folder = TempDir::new().unwrap();
    let targets = [0.1, -1e300, 16_777_217.0];
    let options = TableOptions { label: None, target: some("y"), ..Default::default() };
    let check = |path: &Path| {
        let table = read_table(path, &options).unwrap();
        assert_eq!(rows(&table), [[1.0], [2.0], [3.0]], "{path:?}");
        assert_eq!((table.targets.unwrap(), table.costs), (targets.to_vec(), None), "{path:?}");
        assert_eq!((table.data.classes(), table.feature_names.len()), (1, 1), "{path:?}");
    };
    let text = "x,y\n1,0.1\n2,-1e300\n3,16777217\n";
    check(&write(&folder, "t.csv", text));
    let x = npy(&[3, 1], npyz::Order::C, &[1f32, 2.0, 3.0]);
    let y = npy(&[3], npyz::Order::C, &targets);
    write(&folder, "y.npy", &y);
    check(&write(&folder, "x.npy", &x));
    check(&npz(&folder, zip::CompressionMethod::Deflated, &[("x", x), ("y", y)]));
    let x = tensor(&[1.0, 2.0, 3.0], &[3, 1], DType::F32);
    let y = Tensor::new(&targets, &Device::Cpu).unwrap();
    let path = folder.path().join("t.safetensors");
    candle_core::safetensors::save(&HashMap::from([("x", x), ("y", y)]), &path).unwrap();
    check(&path);
    let path = folder.path().join("t.parquet");
    let schema = "message rows { required double x; required double y; }";
    parquet_file(&path, schema, 1, WriterProperties::default(), &|group| {
        column::<DoubleType>(group, &[1.0, 2.0, 3.0], None, None);
        column::<DoubleType>(group, &targets, None, None);
    });
    check(&path);
    for bad in ["nan", "inf", "", "high"] {
        let path = write(&folder, "t.csv", format!("x,y\n1,{bad}\n2,3\n"));
        let error = read_table(&path, &options).unwrap_err().to_string();
        assert!(error.contains("column \"y\", line 2"), "{error}");
        let table = read_table(&path, &skip(options.clone())).unwrap();
        assert_eq!((table.targets.unwrap(), table.skipped), (vec![3.0], vec![0]));
    }
    let y = npy(&[3], npyz::Order::C, &[1.0, f64::NAN, 3.0]);
    write(&folder, "y.npy", y);
    let path = folder.path().join("x.npy");
    let error = read_table(&path, &options).unwrap_err().to_string();
    assert!(error.contains("row 1") && error.contains("targets"), "{error}");
    assert_eq!(read_table(&path, &skip(options)).unwrap().targets.unwrap(), [1.0, 3.0]);
}

#[test]
fn columns_of_one_name_are_refused_as_features_would_not_be_found_again() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "b,a,label,a,c\n1,2,x,3,4\n");
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("\"a\" as columns 2 and 4"), "{error}");
    let features = vec!["c".to_owned(), "b".to_owned()];
    let options = TableOptions { features, ..Default::default() };
    let table = read_table(&path, &options).unwrap();
    assert_eq!(rows(&table), [[4.0, 1.0]]);
    // What comes out goes in.
    let again = TableOptions { features: table.feature_names.clone(), ..options };
    assert_eq!(read_table(&path, &again).unwrap().feature_names, table.feature_names);
    let path = write(&folder, "t.csv", "a,label,label\n1,x,y\n");
    let error = read_table(path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("\"label\" as columns 2 and 3"), "{error}");
}

// Text among the features.

/// With the text columns found in the file, those named letter by letter.
fn with_text(letters: &[&str]) -> TableOptions {
    let letters = letters.iter().map(|name| name.to_string()).collect();
    let categories = Some(Categories { letters, values: None });
    TableOptions { categories, ..Default::default() }
}

/// What reads a test file as `table` was read.
fn like(table: &Table) -> TableOptions {
    TableOptions {
        features: table.columns.clone(),
        class_names: Some(table.class_names.clone()),
        categories: table.categories.clone(),
        ..Default::default()
    }
}

const MIXED: &str = "age,work,label,code\n39,Private,no,10\n50,?,yes,x\n38,\"State, \"\"gov\"\"\",no,9\n28,,no,10\n";

#[test]
fn text_columns_become_ones_where_their_value_stands() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "train.csv", MIXED);
    let table = read_table(&path, &with_text(&[])).unwrap();
    let names =
        ["age", "work=?", "work=Private", "work=State, \"gov\"", "code=9", "code=10", "code=x"];
    assert_eq!(table.feature_names, names);
    assert_eq!(table.columns, ["age", "work", "code"]);
    let expected_rows = [
        [39.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        [50.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        [38.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
        [28.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    ];
    assert_eq!(rows(&table), expected_rows);
    assert_eq!(
        (table.data.labels(), &table.class_names[..]),
        (&[0, 1, 0, 0][..], &["no".into(), "yes".into()][..])
    );

    // The columns in another order, a value that is not known, and none of one that is.
    let test = "code,label,work,age\n9,yes,Navy,1\nnew,no,,2\n";
    let test = read_table(write(&folder, "test.csv", test), &like(&table)).unwrap();
    assert_eq!(test.feature_names, names);
    let expected = [[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]];
    assert_eq!(rows(&test), expected);
    assert_eq!((test.data.labels(), &test.categories), (&[1, 0][..], &table.categories));

    // In the order asked for, packed, or with tabs instead of commas.
    let features = vec!["code".to_owned(), "age".to_owned()];
    let table = read_table(&path, &TableOptions { features, ..with_text(&[]) }).unwrap();
    assert_eq!(table.feature_names, ["code=9", "code=10", "code=x", "age"]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(MIXED.as_bytes()).unwrap();
    let tabs = MIXED.replace(", ", "; ").replace(',', "\t").replace('"', "");
    for (name, content) in
        [("t.csv.gz", packed.finish().unwrap()), ("t.TSV", tabs.into()), ("t.txt", MIXED.into())]
    {
        let table = read_table(write(&folder, name, content), &with_text(&[])).unwrap();
        assert_eq!(rows(&table), expected_rows, "{name}");
    }
}

#[test]
fn letters_have_a_block_for_each_position() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "id,window,label\n1,-é1,0\n2,A12,1\n3,AA1,0\n");
    let features = vec!["window".to_owned()];
    let options = TableOptions { features, ..with_text(&["window"]) };
    let table = read_table(&path, &options).unwrap();
    let names =
        "window[0]=- window[0]=A window[1]=1 window[1]=A window[1]=é window[2]=1 window[2]=2";
    assert_eq!(table.feature_names.join(" "), names);
    let expected = [
        [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
    ];
    assert_eq!(rows(&table), expected);
    let letters = vec![vec!['-', 'A'], vec!['1', 'A', 'é'], vec!['1', '2']];
    let values = table.categories.clone().unwrap().values.unwrap();
    assert_eq!(values["window"], Values::Letters(letters));

    let test = write(&folder, "test.csv", "id,window,label\n4,AB1,0\n5,A1,1\n6,A1,1\n");
    let error = read_table(&test, &like(&table)).unwrap_err().to_string();
    let named = ["3 letters", "2, \"A1\"", "column \"window\", line 3"];
    assert!(named.iter().all(|named| error.contains(named)), "{error}");
    let test = read_table(&test, &skip(like(&table))).unwrap();
    assert_eq!(rows(&test), [[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]]);
    assert_eq!(test.skipped, [1, 2]);

    let empty = write(&folder, "t.csv", "window,label\n,0\n,1\n");
    let error = read_table(empty, &with_text(&["window"])).unwrap_err().to_string();
    assert!(error.contains("letters in column \"window\""), "{error}");
}

#[test]
fn values_of_rows_left_out_are_none_and_numbers_may_miss_none() {
    let folder = TempDir::new().unwrap();
    // Too few fields, an open quote, no label, a number missing.
    let text = "a,work,label\n1,x,0\n2,y\n3,\"z,0\n4,v,\n?,w,1\n,u,1\n6,x,1\n7,r,0\n";
    let path = write(&folder, "t.csv", text);
    let error = read_table(&path, &with_text(&[])).unwrap_err().to_string();
    assert!(error.contains("2 fields in line 3"), "{error}");
    let table = read_table(&path, &skip(with_text(&[]))).unwrap();
    assert_eq!(table.feature_names, ["a", "work=r", "work=x"]);
    assert_eq!(rows(&table), [[1.0, 0.0, 1.0], [6.0, 0.0, 1.0], [7.0, 1.0, 0.0]]);
    assert_eq!((table.data.labels(), &table.skipped[..]), (&[0, 1, 0][..], &[1, 2, 3, 4, 5][..]));

    let path = write(&folder, "t.csv", "a,work,label\n1,x,0\n?,y,0\n");
    let error = read_table(&path, &with_text(&[])).unwrap_err().to_string();
    assert!(error.contains("a finite number") && error.contains("column \"a\", line 3"), "{error}");
}

#[test]
fn values_can_be_given_also_of_numbers() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "zip,b,label\n01,5,0\n1,6,1\n02,7,1\n");
    let given = |zip: &[&str]| {
        let zip = Values::Whole(zip.iter().map(|zip| zip.to_string()).collect());
        let values = Some([("zip".to_owned(), zip)].into());
        let categories = Some(Categories { values, ..Default::default() });
        TableOptions { categories, ..Default::default() }
    };
    let table = read_table(&path, &given(&["1", "01"])).unwrap();
    assert_eq!(table.feature_names, ["zip=1", "zip=01", "b"]);
    assert_eq!(rows(&table), [[0.0, 1.0, 5.0], [1.0, 0.0, 6.0], [0.0, 0.0, 7.0]]);
    for wrong in [&["1", "1"][..], &[]] {
        assert!(matches!(read_table(&path, &given(wrong)), Err(Error::Shape { .. })));
    }
    // A word in a column whose values are not given.
    let words = write(&folder, "t.csv", "zip,b,label\n01,five,0\n");
    let error = read_table(words, &given(&["01"])).unwrap_err().to_string();
    assert!(error.contains("\"five\" in column \"b\", line 2"), "{error}");
}

#[test]
fn what_cannot_be_text_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "a,label\nx,0\ny,1\n");
    for options in [
        with_text(&["b"]),
        with_text(&["label"]),
        TableOptions { features: vec!["a=x".into()], ..with_text(&[]) },
    ] {
        assert!(matches!(read_table(&path, &options), Err(Error::Unknown { .. })));
    }
    // So many values that they tell rows apart.
    for (many, expected) in [(1000, true), (1001, false)] {
        let names: String = (0..many).map(|row| format!("{row},name {row},0\n")).collect();
        let path = write(&folder, "t.csv", format!("a,name,label\n{names}"));
        match read_table(path, &with_text(&[])) {
            Ok(table) => assert!(expected && table.feature_names.len() == 1001),
            Err(error) => {
                let error = error.to_string();
                let named = ["1000 different", "\"name 0\" in line 2", "\"name\", line 1002"];
                assert!(!expected && named.iter().all(|named| error.contains(named)), "{error}");
            }
        }
    }
    let array = npy(&[2, 1], npyz::Order::C, &[1f32, 2.0]);
    let path = write(&folder, "x.npy", array);
    let unlabelled = |options| TableOptions { label: None, ..options };
    assert!(matches!(
        read_table(&path, &unlabelled(with_text(&["x"]))),
        Err(Error::Unknown { .. })
    ));
    let table = read_table(&path, &unlabelled(with_text(&[]))).unwrap();
    assert_eq!(rows(&table), [[1.0], [2.0]]);
}

// NumPy.

fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], order: npyz::Order, values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(shape)
        .order(order)
        .writer(&mut bytes)
        .begin_nd()
        .unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    bytes
}

fn labelled() -> TableOptions {
    TableOptions { label: some("labels"), ..Default::default() }
}

#[test]
fn arrays_of_every_type_and_order_give_the_same_features() {
    use npyz::Order::{C, Fortran};
    let folder = TempDir::new().unwrap();
    write(&folder, "labels.npy", npy(&[2], C, &[1i64, 0]));
    let by_rows: [i8; 6] = [1, 2, 3, -4, 5, 6];
    let by_columns: [i8; 6] = [1, -4, 2, 5, 3, 6];
    let expected = [[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0]];
    let check = |what: &str, bytes: Vec<u8>| {
        let path = write(&folder, "x.npy", bytes);
        let table = read_table(path, &labelled()).unwrap();
        assert_eq!(rows(&table), expected, "{what}");
        assert_eq!(table.data.labels(), [1, 0], "{what}");
        assert_eq!(table.feature_names, ["x"]);
    };
    let shape = [2, 3];
    check("f32", npy(&shape, C, &by_rows.map(f32::from)));
    check("f64", npy(&shape, C, &by_rows.map(f64::from)));
    check("f16", npy(&shape, C, &by_rows.map(|x| half::f16::from_f32(x.into()))));
    check("i8", npy(&shape, C, &by_rows));
    check("i32", npy(&shape, C, &by_rows.map(i32::from)));
    check("i64", npy(&shape, C, &by_rows.map(i64::from)));
    check("f32 by columns", npy(&shape, Fortran, &by_columns.map(f32::from)));
    check("i64 by columns", npy(&shape, Fortran, &by_columns.map(i64::from)));
    // The bytes of NumPy 2 for `np.array(…, dtype='>f8')`, big end first.
    let mut big = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let header = "{'descr': '>f8', 'fortran_order': False, 'shape': (2, 3), }";
    big.extend(format!("{header:<117}\n").into_bytes());
    big.extend(by_rows.iter().flat_map(|&x| f64::from(x).to_be_bytes()));
    check("big end first", big);
}

#[test]
fn unsigned_and_wide_numbers_keep_their_values() {
    let folder = TempDir::new().unwrap();
    let options = TableOptions { label: None, ..Default::default() };
    let values = [0.1f64, 1e300, 16_777_217.0];
    let path = write(&folder, "x.npy", npy(&[3, 1], npyz::Order::C, &values));
    let error = read_table(&path, &options).unwrap_err().to_string();
    assert!(error.contains("inf in row 1"), "{error}");
    let table = read_table(&path, &skip(options.clone())).unwrap();
    assert_eq!((rows(&table), table.skipped), (vec![vec![0.1f32], vec![16_777_216.0]], vec![1]));
    let path = write(&folder, "x.npy", npy(&[2, 1], npyz::Order::C, &[u64::MAX, 1 << 63]));
    let table = read_table(&path, &options).unwrap();
    assert_eq!(rows(&table), [[1.844_674_4e19], [9.223_372e18]]);
}

#[test]
fn labels_groups_and_costs_lie_beside_the_features() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "x.npy", npy(&[3, 1], npyz::Order::C, &[1f32, 2.0, 3.0]));
    write(&folder, "label.npy", npy(&[3, 1], npyz::Order::C, &[7.0f64, 5.0, 7.0]));
    write(&folder, "group.npy", npy(&[3], npyz::Order::C, &[-1i16, 300, 300]));
    write(&folder, "cost.npy", npy(&[3], npyz::Order::C, &[1.5f64, 2.5, 3.5]));
    let table = read_table(&path, &all_roles()).unwrap();
    assert_eq!(
        (table.data.labels(), &table.class_names[..]),
        (&[1, 0, 1][..], &["5".into(), "7".into()][..])
    );
    assert_eq!(table.groups.unwrap().ids, [0, 1, 1]);
    assert_eq!(table.costs.unwrap(), [1.5, 2.5, 3.5]);
    // What is no number is no label, infinity is no cost, and there must be one of each a row.
    write(&folder, "label.npy", npy(&[3], npyz::Order::C, &[1.0f64, f64::NAN, 0.0]));
    let error = read_table(&path, &all_roles()).unwrap_err().to_string();
    assert!(error.contains("row 1"), "{error}");
    write(&folder, "label.npy", npy(&[3], npyz::Order::C, &[0u8, 1, 0]));
    write(&folder, "cost.npy", npy(&[3], npyz::Order::C, &[1.0f64, 1.0, f64::INFINITY]));
    let error = read_table(&path, &all_roles()).unwrap_err().to_string();
    assert!(error.contains("row 2") && error.contains("costs"), "{error}");
    assert_eq!(read_table(&path, &skip(all_roles())).unwrap().skipped, [2]);
    write(&folder, "cost.npy", npy(&[2], npyz::Order::C, &[1.0f64, 1.0]));
    let error = read_table(&path, &skip(all_roles())).unwrap_err().to_string();
    assert!(error.contains("2 for 3 rows"), "{error}");
    fs::remove_file(folder.path().join("cost.npy")).unwrap();
    assert!(matches!(read_table(&path, &all_roles()).unwrap_err(), Error::Io { .. }));
}

#[test]
fn arrays_of_other_types_and_shapes_are_refused_by_name() {
    use npyz::Order::C;
    let folder = TempDir::new().unwrap();
    let entry = |kind: &str, shape: &str| {
        let header = format!("{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{header:<117}\n").into_bytes());
        bytes.extend([0; 64]);
        bytes
    };
    // (features, what the message must name)
    let cases = [
        ("long double", entry("'<f16'", "(2, 2)"), "<f16"),
        ("complex", entry("'<c16'", "(2, 2)"), "<c16"),
        ("objects", entry("'|O'", "(2, 4)"), "|O"),
        ("bfloat16, as NumPy sees it", entry("'<V2'", "(4, 8)"), "<V2"),
        ("times", entry("'<M8[D]'", "(2, 4)"), "<M8[D]"),
        ("fields", entry("[('p', '<f4'), ('q', '<f4')]", "(8,)"), "('p', '<f4')"),
        ("pictures", entry("'<f4'", "(2, 2, 2, 2)"), "[2, 2, 2, 2]"),
    ];
    for (what, features, named) in cases {
        let arrays = [("x", features), ("label", npy(&[2], C, &[0i64, 1]))];
        let path = npz(&folder, zip::CompressionMethod::Stored, &arrays);
        let error = read_table(path, &TableOptions::default()).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{what}: {error}");
        assert!(error.to_string().contains(named), "{what}: {error}");
    }
    let one_of_two = npy(&[2, 2], C, &[1i64, 0, 0, 1]);
    let arrays = [("x", npy(&[2, 1], C, &[1f32, 2.0])), ("label", one_of_two)];
    let path = npz(&folder, zip::CompressionMethod::Stored, &arrays);
    let error = read_table(path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("one dimension in \"label\"") && error.contains("[2, 2]"), "{error}");
}

#[test]
fn labels_of_arrays_are_exact() {
    use npyz::Order::C;
    let folder = TempDir::new().unwrap();
    let x = write(&folder, "x.npy", npy(&[3, 1], C, &[1f32, 2.0, 3.0]));
    let check = |bytes: Vec<u8>, names: &[&str], numbers: &[u32]| {
        write(&folder, "labels.npy", bytes);
        let table = read_table(&x, &labelled()).unwrap();
        assert_eq!(
            (table.data.labels(), table.data.classes()),
            (numbers, names.len()),
            "{names:?}"
        );
        assert_eq!(table.class_names, names);
    };
    let near = 9_007_199_254_740_992i64; // 2⁵³: one more is no 64-bit float
    check(
        npy(&[3], C, &[near + 1, near, -near - 1]),
        &["-9007199254740993", "9007199254740992", "9007199254740993"],
        &[2, 1, 0],
    );
    check(
        npy(&[3], C, &[u64::MAX, u64::MAX - 1, 1]),
        &["1", "18446744073709551614", "18446744073709551615"],
        &[2, 1, 0],
    );
    check(npy(&[3], C, &[1.5f64, -0.0, 10.0]), &["0", "1.5", "10"], &[1, 0, 2]);
    check(npy(&[3], C, &[0.1f32, 16_777_215.0, 2.0]), &["0.1", "2", "16777215"], &[0, 2, 1]);
    check(npy(&[3], C, &[true, false, true]), &["0", "1"], &[1, 0, 1]);
    check(unicode(&["01", "1", "1.0"]), &["01", "1", "1.0"], &[0, 1, 2]);
    // Class names from text find numbers and the other way round.
    let class_names = Some(["7", "2", "0.5"].map(str::to_owned).to_vec());
    let told = TableOptions { class_names, ..labelled() };
    for bytes in
        [npy(&[3], C, &[2i64, 7, 2]), npy(&[3], C, &[2f32, 7.0, 2.0]), unicode(&["2", "7", "2"])]
    {
        write(&folder, "labels.npy", bytes);
        assert_eq!(read_table(&x, &told).unwrap().data.labels(), [1, 0, 1]);
    }
    // Floats that may each be several whole numbers, written as the nearest one.
    let halves = [1.0, 2048.0, 3.0].map(half::f16::from_f32);
    for bytes in [
        npy(&[3], C, &[1.0, near as f64, 3.0]),
        npy(&[3], C, &[1f32, 16_777_216.0, 3.0]),
        npy(&[3], C, &halves),
        npy(&[3], C, &[1.0, f64::INFINITY, 3.0]),
    ] {
        write(&folder, "labels.npy", bytes);
        let error = read_table(&x, &labelled()).unwrap_err().to_string();
        assert!(error.contains("row 1"), "{error}");
        assert_eq!(read_table(&x, &skip(labelled())).unwrap().skipped, [1]);
    }
}

fn npz(folder: &TempDir, method: zip::CompressionMethod, arrays: &[(&str, Vec<u8>)]) -> PathBuf {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    write(folder, "t.npz", writer.finish().unwrap().into_inner())
}

/// The bytes of NumPy for an array of text of three characters, four bytes each.
fn unicode(texts: &[&str]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let shape = texts.len();
    let header = format!("{{'descr': '<U3', 'fortran_order': False, 'shape': ({shape},), }}");
    bytes.extend(format!("{header:<117}\n").into_bytes());
    for text in texts {
        let codes = text.chars().chain(std::iter::repeat('\0')).take(3);
        bytes.extend(codes.flat_map(|code| u32::from(code).to_le_bytes()));
    }
    bytes
}

#[test]
fn archives_hold_everything_stored_or_compressed() {
    use npyz::Order::C;
    let folder = TempDir::new().unwrap();
    let arrays = [
        ("emb", npy(&[3, 2], C, &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("label", npy(&[3], C, &[2i32, 0, 1])),
        ("group", unicode(&["bé", "ann", "bé"])),
        ("cost", npy(&[3], C, &[1f32, 2.0, 3.0])),
    ];
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let path = npz(&folder, method, &arrays);
        let table = read_table(&path, &all_roles()).unwrap();
        assert_eq!(rows(&table), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        assert_eq!(
            (table.data.labels(), &table.feature_names[..]),
            (&[2, 0, 1][..], &["emb".to_owned()][..])
        );
        let groups = table.groups.unwrap();
        assert_eq!(
            (groups.ids, groups.names),
            (vec![1, 0, 1], vec!["ann".to_owned(), "bé".to_owned()])
        );
        assert_eq!(table.costs.unwrap(), [1.0, 2.0, 3.0]);
        // Which array holds the features is no longer plain.
        let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
        assert!(error.contains("emb, group, cost"), "{error}");
        let options = TableOptions { features: vec!["emb".to_owned()], ..Default::default() };
        assert_eq!(read_table(&path, &options).unwrap().data.len(), 3);
        broken_everywhere(&path, &all_roles());
    }
}

/// Cuts the file at every length, and changes each of its first bytes: errors, no panic, and nothing
/// that a size made up by the file could make it allocate (which would end the test).
fn broken_everywhere(path: &Path, options: &TableOptions) {
    let whole = fs::read(path).unwrap();
    assert!(read_table(path, options).is_ok());
    for length in (0..whole.len()).step_by(1 + whole.len() / 1000) {
        fs::write(path, &whole[..length]).unwrap();
        let error = read_table(path, options).expect_err("a truncated file");
        assert!(matches!(error, Error::File { .. } | Error::Unknown { .. }), "{length}: {error}");
    }
    for at in 0..whole.len().min(800) {
        for value in [0x00, 0x39, 0xFF] {
            let mut changed = whole.clone();
            changed[at] = value;
            fs::write(path, changed).unwrap();
            // A changed number may well be a number.
            let _ = read_table(path, options);
        }
    }
    fs::write(path, whole).unwrap();
}

#[test]
fn broken_arrays_are_refused_and_sizes_are_not_believed() {
    let folder = TempDir::new().unwrap();
    let options = TableOptions { label: None, ..Default::default() };
    let path = write(&folder, "x.npy", npy(&[3, 2], npyz::Order::C, &[1f32; 6]));
    broken_everywhere(&path, &options);
    let header = |text: &str| {
        let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend([0; 64]);
        bytes
    };
    let entry = |kind: &str, shape: &str| {
        header(&format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n"))
    };
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    let cases = [
        ("too many elements", entry("<f4", "(1000000000000, 2)")),
        ("more than can be counted", entry("<f4", "(9223372036854775807, 9223372036854775807)")),
        ("a long header", long),
        ("one dimension", entry("<f4", "(16,)")),
        ("three dimensions", entry("<f4", "(2, 2, 4)")),
        ("no dimension", entry("<f4", "()")),
        ("no rows", entry("<f4", "(0, 16)")),
        ("no columns", entry("<f4", "(16, 0)")),
        ("negative", entry("<f4", "(-4, 4)")),
        ("left over", entry("<f4", "(2, 2)")),
        ("text", entry("<U1", "(4, 4)")),
        ("complex", entry("<c8", "(4, 2)")),
        ("objects", entry("|O", "(4, 2)")),
        ("wide text", entry("<U18446744073709551615", "(1, 1)")),
        (
            "a list of fields",
            header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1), }"),
        ),
        ("brackets", header(&"(".repeat(9000))),
    ];
    for (what, bytes) in cases {
        let path = write(&folder, "x.npy", bytes);
        let error = read_table(path, &options).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{what}: {error}");
    }
}

// Safetensors.

fn tensor(values: &[f32], shape: &[usize], dtype: DType) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn tensors_are_read_by_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.safetensors");
    let values = [1f32, 2.0, 3.0, -4.0, 5.0, 6.0];
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I64] {
        let tensors = HashMap::from([
            ("x", tensor(&values, &[3, 2], dtype)),
            ("label", tensor(&[1.0, 0.0, 1.0], &[3], DType::U8)),
            ("group", tensor(&[4.0, 4.0, 2.0], &[3], DType::I64)),
            ("cost", tensor(&[0.5, 1.5, 2.5], &[3], DType::F64)),
        ]);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let table = read_table(&path, &all_roles()).unwrap();
        assert_eq!(rows(&table), [[1.0, 2.0], [3.0, -4.0], [5.0, 6.0]], "{dtype:?}");
        assert_eq!(table.data.labels(), [1, 0, 1]);
        assert_eq!(
            (table.groups.unwrap().ids, table.costs.unwrap()),
            (vec![1, 1, 0], vec![0.5, 1.5, 2.5])
        );
    }
    broken_everywhere(&path, &all_roles());
    for bytes in [u64::MAX.to_le_bytes(), (1u64 << 40).to_le_bytes()] {
        let path = write(&folder, "long.safetensors", bytes);
        assert!(matches!(read_table(path, &all_roles()).unwrap_err(), Error::File { .. }));
    }
}

#[test]
fn labels_of_tensors_are_exact() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.safetensors");
    let ids = [9_007_199_254_740_993i64, 9_007_199_254_740_992, 9_007_199_254_740_993];
    let tensors = HashMap::from([
        ("x", tensor(&[1.0, 2.0, 3.0], &[3, 1], DType::F32)),
        ("label", Tensor::new(&ids, &Device::Cpu).unwrap()),
        ("group", tensor(&[0.5, 3.0, 0.5], &[3], DType::F32)),
    ]);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let options = TableOptions { group: some("group"), ..Default::default() };
    let table = read_table(&path, &options).unwrap();
    assert_eq!(table.class_names, ["9007199254740992", "9007199254740993"]);
    assert_eq!(table.data.labels(), [1, 0, 1]);
    assert_eq!(table.groups.unwrap().names, ["0.5", "3"]);
    let wide = tensor(&[1.0, 256.0, 2.0], &[3], DType::BF16);
    let x = tensor(&[1.0, 2.0, 3.0], &[3, 1], DType::F32);
    candle_core::safetensors::save(&HashMap::from([("x", x), ("label", wide)]), &path).unwrap();
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("256") && error.contains("row 1"), "{error}");
}

#[test]
fn a_number_that_is_not_finite_is_found_in_a_tensor() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.safetensors");
    let x = tensor(&[1.0, 2.0, 3.0, f32::NAN, 5.0, 6.0], &[3, 2], DType::F32);
    candle_core::safetensors::save(&HashMap::from([("x", x)]), &path).unwrap();
    let options = TableOptions { label: None, ..Default::default() };
    let error = read_table(&path, &options).unwrap_err().to_string();
    assert!(error.contains("NaN in row 1 (the first is 0), column 1"), "{error}");
    let table = read_table(&path, &skip(options)).unwrap();
    assert_eq!((rows(&table), table.skipped), (vec![vec![1.0, 2.0], vec![5.0, 6.0]], vec![1]));
}

// Parquet.

type Group<'a> = dyn Fn(&mut SerializedRowGroupWriter<'_, fs::File>) + 'a;

/// A file of several equal row groups.
fn parquet_file(
    path: &Path,
    schema: &str,
    groups: usize,
    properties: WriterProperties,
    fill: &Group,
) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for _ in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        fill(&mut group);
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// The next column: the values that are there, and for each row whether it is.
fn column<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, fs::File>,
    values: &[T::T],
    defined: Option<&[i16]>,
    repeated: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, defined, repeated).unwrap();
    column.close().unwrap();
}

const FLAT: &str = "message rows { required double a; optional float b; required int64 label; \
                    optional binary group (STRING); required double cost; }";

#[test]
fn numeric_columns_become_features() {
    use parquet::basic::Compression;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4_RAW,
    ] {
        let properties = WriterProperties::builder().set_compression(compression).build();
        parquet_file(&path, FLAT, 2, properties, &|group| {
            column::<DoubleType>(group, &[1.0, 2.0, 3.0], None, None);
            column::<FloatType>(group, &[0.5, 2.5], Some(&[1, 0, 1]), None);
            column::<Int64Type>(group, &[3, 3, 1], None, None);
            let names = ["bob", "ann", "ann"].map(ByteArray::from);
            column::<ByteArrayType>(group, &names, Some(&[1, 1, 1]), None);
            column::<DoubleType>(group, &[9.0, 8.0, 7.0], None, None);
        });
        let error = read_table(&path, &all_roles()).unwrap_err().to_string();
        assert!(error.contains("NaN in row 1 (the first is 0), column 1"), "{error}");
        let table = read_table(&path, &skip(all_roles())).unwrap();
        assert_eq!(rows(&table), [[1.0, 0.5], [3.0, 2.5], [1.0, 0.5], [3.0, 2.5]], "{compression}");
        assert_eq!(table.skipped, [1, 4]);
        assert_eq!(
            (table.data.labels(), &table.class_names[..]),
            (&[1, 0, 1, 0][..], &["1".into(), "3".into()][..])
        );
        assert_eq!(
            (table.groups.unwrap().ids, table.costs.unwrap()),
            (vec![1, 0, 1, 0], vec![9.0, 7.0, 9.0, 7.0])
        );
        assert_eq!(table.feature_names, ["a", "b"]);
    }
    broken_everywhere(&path, &skip(all_roles()));
    let words = TableOptions { cost: None, ..all_roles() };
    let words = TableOptions { group: None, ..words };
    let error = read_table(&path, &words).unwrap_err().to_string();
    assert!(error.contains("\"group\""), "{error}");
}

const LISTS: &str = "message rows { required int64 label; \
                     optional group emb (LIST) { repeated group list { optional float element; } } }";

#[test]
fn a_column_of_lists_becomes_features() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    // Rows: none, [1 2 3], [4 5], [], [6 7 8], [9 null 9], [1 1 1].
    parquet_file(&path, LISTS, 2, WriterProperties::default(), &|group| {
        column::<Int64Type>(group, &[0, 1, 2, 3, 4, 5, 6], None, None);
        let values = [1., 2., 3., 4., 5., 6., 7., 8., 9., 9., 1., 1., 1.];
        let defined = [0, 3, 3, 3, 3, 3, 1, 3, 3, 3, 3, 2, 3, 3, 3, 3];
        let repeated = [0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1];
        column::<FloatType>(group, &values, Some(&defined), Some(&repeated));
    });
    let table = read_table(&path, &skip(TableOptions::default())).unwrap();
    let half = [[1.0, 2.0, 3.0], [6.0, 7.0, 8.0], [1.0, 1.0, 1.0]];
    assert_eq!(rows(&table), [half, half].concat());
    assert_eq!(table.class_names, ["1", "4", "6"]);
    assert_eq!(table.skipped, [0, 2, 3, 5, 7, 9, 10, 12]);
    assert_eq!(table.feature_names, ["emb"]);
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("row 0") && error.contains("emb"), "{error}");
    broken_everywhere(&path, &skip(TableOptions::default()));
    // Of doubles too.
    parquet_file(
        &path,
        &LISTS.replace("float", "double"),
        1,
        WriterProperties::default(),
        &|group| {
            column::<Int64Type>(group, &[0, 1], None, None);
            let (defined, repeated) = ([3; 4], [0, 1, 0, 1]);
            column::<DoubleType>(group, &[0.5, 2.0, 3.0, -1.0], Some(&defined), Some(&repeated));
        },
    );
    let table = read_table(&path, &TableOptions::default()).unwrap();
    assert_eq!(rows(&table), [[0.5, 2.0], [3.0, -1.0]]);
}

const THREE_LEVELS: &str = "message rows { required int64 label; optional group e (LIST) { \
                            repeated group list { optional group element (LIST) { \
                            repeated group list { optional double element; } } } } }";

#[test]
fn every_form_of_parquet_gives_the_same_or_is_refused_by_name() {
    use parquet::basic::Encoding;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    let schema = "message rows { required double a; required binary label (STRING); }";
    let fill: &Group = &|group| {
        column::<DoubleType>(group, &[0.5, 1.5, 2.5], None, None);
        column::<ByteArrayType>(group, &["x", "y", "x"].map(ByteArray::from), None, None);
    };
    let builder = || WriterProperties::builder().set_dictionary_enabled(false);
    let forms = [
        ("with a dictionary", WriterProperties::default()),
        ("plain", builder().build()),
        ("version 2", builder().set_writer_version(WriterVersion::PARQUET_2_0).build()),
        (
            "split bytes and deltas",
            builder()
                .set_column_encoding("a".into(), Encoding::BYTE_STREAM_SPLIT)
                .set_column_encoding("label".into(), Encoding::DELTA_BYTE_ARRAY)
                .build(),
        ),
    ];
    for (what, properties) in forms {
        parquet_file(&path, schema, 1, properties, fill);
        let table = read_table(&path, &TableOptions::default()).unwrap();
        assert_eq!(rows(&table), [[0.5], [1.5], [2.5]], "{what}");
        assert_eq!(
            (table.data.labels(), table.class_names),
            (&[0, 1, 0][..], vec!["x".to_owned(), "y".into()])
        );
    }

    // (schema, first column, what the message must name)
    let double: &Group = &|group| column::<DoubleType>(group, &[1.0, 2.0], None, None);
    let whole: &Group = &|group| column::<Int64Type>(group, &[125, 250], None, None);
    let label = "required int64 label";
    let cases = [
        (format!("required int64 a (DECIMAL(10,2)); {label}"), whole, ["\"a\"", "Decimal"]),
        (
            format!("required int64 a (TIMESTAMP(MICROS,true)); {label}"),
            whole,
            ["\"a\"", "Timestamp"],
        ),
        ("required double a; optional int64 label".to_owned(), double, ["a label", "row 1"]),
    ];
    for (fields, first, named) in cases {
        let schema = format!("message rows {{ {fields}; }}");
        parquet_file(&path, &schema, 1, WriterProperties::default(), &|group| {
            first(group);
            match fields.contains("optional") {
                true => column::<Int64Type>(group, &[7], Some(&[1, 0]), None),
                false => column::<Int64Type>(group, &[7, 8], None, None),
            }
        });
        let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
        assert!(named.iter().all(|named| error.contains(named)), "{fields}: {error}");
    }
    parquet_file(&path, THREE_LEVELS, 1, WriterProperties::default(), &|group| {
        column::<Int64Type>(group, &[0], None, None);
        column::<DoubleType>(group, &[1.0, 2.0], Some(&[5, 5]), Some(&[0, 2]));
    });
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("lists of numbers in column \"e\""), "{error}");
    parquet_file(&path, schema, 0, WriterProperties::default(), &|_| {});
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("at least one row") && error.contains("0 rows"), "{error}");
}

#[test]
fn labels_of_parquet_are_exact() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    let load = || read_table(&path, &TableOptions { group: some("group"), ..Default::default() });
    let schema = "message rows { required double a; required int64 label; \
                  required binary group (STRING); }";
    parquet_file(&path, schema, 1, WriterProperties::default(), &|group| {
        column::<DoubleType>(group, &[1.0, 2.0, 3.0], None, None);
        let near = 9_007_199_254_740_992;
        column::<Int64Type>(group, &[near + 1, near, near + 1], None, None);
        column::<ByteArrayType>(group, &["1", "01", "1.0"].map(ByteArray::from), None, None);
    });
    let table = load().unwrap();
    assert_eq!(table.class_names, ["9007199254740992", "9007199254740993"]);
    assert_eq!(table.data.labels(), [1, 0, 1]);
    assert_eq!(table.groups.unwrap().names, ["01", "1", "1.0"]);
    let schema = "message rows { required double a; required int64 label (INTEGER(64,false)); \
                  required float group; }";
    parquet_file(&path, schema, 1, WriterProperties::default(), &|group| {
        column::<DoubleType>(group, &[1.0, 2.0, 3.0], None, None);
        column::<Int64Type>(group, &[-1, 1, -2], None, None);
        column::<FloatType>(group, &[0.1, 3.0, 0.1], None, None);
    });
    let table = load().unwrap();
    assert_eq!(table.class_names, ["1", "18446744073709551614", "18446744073709551615"]);
    assert_eq!(table.data.labels(), [2, 0, 1]);
    assert_eq!(table.groups.unwrap().names, ["0.1", "3"]);
    // Without a sign as features too.
    let unsigned = "message rows { required int64 a (INTEGER(64,false)); required int64 label; }";
    parquet_file(&path, unsigned, 1, WriterProperties::default(), &|group| {
        column::<Int64Type>(group, &[-1, 1], None, None);
        column::<Int64Type>(group, &[0, 1], None, None);
    });
    let table = read_table(&path, &TableOptions::default()).unwrap();
    assert_eq!(rows(&table), [[u64::MAX as f32], [1.0]]);
    let schema = "message rows { required double a; required int64 label; required double group; }";
    parquet_file(&path, schema, 1, WriterProperties::default(), &|group| {
        column::<DoubleType>(group, &[1.0, 2.0], None, None);
        column::<Int64Type>(group, &[0, 1], None, None);
        column::<DoubleType>(group, &[1.0, 9_007_199_254_740_992.0], None, None);
    });
    let error = load().unwrap_err().to_string();
    assert!(error.contains("a group") && error.contains("row 1"), "{error}");
}

#[test]
fn an_unknown_compression_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    let schema = "message rows { required double only_column; }";
    parquet_file(&path, schema, 1, WriterProperties::default(), &|group| {
        column::<DoubleType>(group, &[1.0, 2.0], None, None);
    });
    let whole = fs::read(&path).unwrap();
    // Nothing at hand writes these. In the footer the name of a column is followed by its method:
    // a field of whole numbers (0x15), doubled.
    let before = b"only_column\x15";
    let at = whole.windows(before.len()).rposition(|bytes| bytes == before).unwrap();
    for (method, name) in [(4, "Brotli"), (3, "LZO")] {
        let mut changed = whole.clone();
        changed[at + before.len()] = 2 * method;
        fs::write(&path, changed).unwrap();
        let options = TableOptions { label: None, ..Default::default() };
        let error = read_table(&path, &options).unwrap_err().to_string();
        let expected = format!("{name} in column \"only_column\"");
        assert!(error.contains(&expected) && error.contains("Zstandard"), "{error}");
    }
}

/// The tests above change bytes over which the reader of parquet panics. A process of its own does
/// one of them again, with everything that it prints caught.
#[test]
fn damage_is_refused_without_a_word() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_column_of_lists_becomes_features", "--nocapture"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn text_of_parquet_becomes_the_same_features() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    let schema = "message rows { optional binary work (STRING); required double a; \
                  required binary window (STRING); required int64 label; }";
    parquet_file(&path, schema, 2, WriterProperties::default(), &|group| {
        let work = ["x", " y "].map(ByteArray::from);
        column::<ByteArrayType>(group, &work, Some(&[1, 0, 1]), None);
        column::<DoubleType>(group, &[0.5, 1.5, 2.5], None, None);
        column::<ByteArrayType>(group, &["AB", "BB", "AC"].map(ByteArray::from), None, None);
        column::<Int64Type>(group, &[0, 1, 1], None, None);
    });
    let table = read_table(&path, &with_text(&["window"])).unwrap();
    let names = "work=? work=x work=y a window[0]=A window[0]=B window[1]=B window[1]=C";
    assert_eq!(table.feature_names.join(" "), names);
    let expected = [
        [0.0, 1.0, 0.0, 0.5, 1.0, 0.0, 1.0, 0.0],
        [1.0, 0.0, 0.0, 1.5, 0.0, 1.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 2.5, 1.0, 0.0, 0.0, 1.0],
    ];
    assert_eq!(rows(&table), [expected, expected].concat());

    let csv = "work,a,window,label\nx,0.5,AB,0\n,1.5,BB,1\ny,2.5,AC,1\n";
    let csv = read_table(write(&folder, "t.csv", csv), &like(&table)).unwrap();
    assert_eq!(
        (rows(&csv), &csv.categories),
        (expected.map(Vec::from).to_vec(), &table.categories)
    );
    let again = read_table(&path, &like(&csv)).unwrap();
    assert_eq!(rows(&again), [expected, expected].concat());
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("column \"work\""), "{error}");
}
