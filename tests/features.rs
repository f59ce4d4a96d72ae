//! Tables of ready-made features: what each format gives, and what is refused. Every file is written
//! here, arrays and parquet by other crates than those that read them where there are such.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use gleaner::Error;
use gleaner::data::Malformed;
use gleaner::data::table::{self, Table, TableOptions};
use npyz::WriterBuilder;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

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
    let table = table::load(write(&folder, "t.csv", SMALL), &all_roles()).unwrap();
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

#[test]
fn features_come_in_the_order_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.CSV", SMALL);
    let features = vec!["b".to_owned(), "cost".to_owned(), "a".to_owned()];
    let options = TableOptions { features, ..Default::default() };
    let table = table::load(path, &options).unwrap();
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
        (&["1.0", "0.0", "1"], &["0", "1"], &[1, 0, 1]),
        (&["dog", " cat ", "dog"], &["cat", "dog"], &[1, 0, 1]),
        (&["b", "10", "9"], &["9", "10", "b"], &[2, 1, 0]),
    ];
    for (labels, names, numbers) in cases {
        let lines: String = labels.iter().map(|label| format!("1,{label}\n")).collect();
        let path = write(&folder, "t.csv", format!("x,label\n{lines}"));
        let table = table::load(path, &TableOptions::default()).unwrap();
        assert_eq!(table.class_names, names, "{labels:?}");
        assert_eq!(table.data.labels(), numbers, "{labels:?}");
        assert_eq!(table.data.classes(), names.len());
    }
    // A test file in which a class is missing, with the numbers of the training file.
    let path = write(&folder, "t.csv", "x,label\n1,dog\n2,cow\n");
    let class_names = Some(["cat", "cow", "dog"].map(str::to_owned).to_vec());
    let told = TableOptions { class_names, ..Default::default() };
    let table = table::load(&path, &told).unwrap();
    assert_eq!((table.data.labels(), table.data.classes()), (&[2, 1][..], 3));
    let told = TableOptions { class_names: Some(vec!["dog".to_owned()]), ..Default::default() };
    let error = table::load(&path, &told).unwrap_err().to_string();
    assert!(error.contains("cow") && error.contains("line 3"), "{error}");
    assert_eq!(table::load(&path, &skip(told)).unwrap().skipped, [1]);
}

#[test]
fn without_labels_there_is_one_class() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "x,y\n1,2\n3,4\n");
    let table = table::load(path, &TableOptions { label: None, ..Default::default() }).unwrap();
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
        let error = table::load(&path, &all_roles()).unwrap_err();
        assert!(matches!(&error, Error::File { path: named, .. } if *named == path));
        assert!(error.to_string().contains(place), "{line}: {error}");
        let table = table::load(&path, &skip(all_roles())).unwrap();
        assert_eq!(rows(&table), [[1.0, 2.0], [3.0, 4.0]], "{line}");
        assert_eq!((table.data.labels(), &table.skipped[..]), (&[0, 1][..], &[1][..]), "{line}");
        assert_eq!((table.groups.unwrap().ids, table.costs.unwrap()), (vec![0, 1], vec![1.0, 2.0]));
    }
    let path = write(&folder, "t.csv", b"a,label\n1,\xFF\xFE\n");
    assert!(matches!(table::load(path, &TableOptions::default()), Err(Error::File { .. })));
}

#[test]
fn labels_of_rows_left_out_are_no_classes() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "x,label\n1,b\n?,a\n2,c\n");
    let table = table::load(path, &skip(TableOptions::default())).unwrap();
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
    let error = table::load(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("\"work\"") && error.contains("State-gov"), "{error}");
    // Not even with malformed rows left out does it go unnoticed.
    let error = table::load(&path, &skip(TableOptions::default())).unwrap_err().to_string();
    assert!(error.contains("2 rows, none of them usable") && error.contains("work"), "{error}");
    let options = TableOptions { features: vec!["age".to_owned()], ..Default::default() };
    assert_eq!(rows(&table::load(&path, &options).unwrap()), [[39.0], [50.0]]);
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
    let table = table::load(write(&folder, "t.csv.gz", &whole), &all_roles()).unwrap();
    assert_eq!(rows(&table), [[1.0, 2.5], [-3.0, 400.0], [5.0, 6.0]]);
    // Several members, one after the other, are one file.
    let two = [whole.clone(), packed("8,0,9,x,1\n")].concat();
    let table = table::load(write(&folder, "t.csv.gz", two), &all_roles()).unwrap();
    assert_eq!(rows(&table)[3], [8.0, 9.0]);
    for length in 0..whole.len() {
        let path = write(&folder, "t.csv.gz", &whole[..length]);
        let error = table::load(path, &all_roles()).unwrap_err();
        assert!(matches!(error, Error::File { .. } | Error::Unknown { .. }), "{length}: {error}");
    }
}

#[test]
fn names_that_are_not_there_or_twice_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "t.csv", "a,a,b,label\n1,2,3,0\n");
    let load = |options: TableOptions| table::load(&path, &options).unwrap_err();
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
        let error = table::load(path, &TableOptions::default()).unwrap_err();
        assert!(matches!(error, Error::File { .. } | Error::Unknown { .. }), "{text:?}: {error}");
    }
    let missing = table::load(folder.path().join("no.csv"), &TableOptions::default());
    assert!(matches!(missing.unwrap_err(), Error::Io { .. }));
}

#[test]
fn quotes_marks_and_line_ends_of_other_systems_are_understood() {
    let folder = TempDir::new().unwrap();
    let text = "\u{FEFF}\"x\",label\r\n\" 1 \",\"a,\"\"b\"\"\"\r\n2,c\r\n";
    let table = table::load(write(&folder, "t.csv", text), &TableOptions::default()).unwrap();
    assert_eq!(
        (rows(&table), table.feature_names),
        (vec![vec![1.0], vec![2.0]], vec!["x".to_owned()])
    );
    assert_eq!(table.class_names, ["a,\"b\"", "c"]);
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
        let table = table::load(path, &labelled()).unwrap();
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
    let error = table::load(&path, &options).unwrap_err().to_string();
    assert!(error.contains("inf in row 1"), "{error}");
    let table = table::load(&path, &skip(options.clone())).unwrap();
    assert_eq!((rows(&table), table.skipped), (vec![vec![0.1f32], vec![16_777_216.0]], vec![1]));
    let path = write(&folder, "x.npy", npy(&[2, 1], npyz::Order::C, &[u64::MAX, 1 << 63]));
    let table = table::load(&path, &options).unwrap();
    assert_eq!(rows(&table), [[1.844_674_4e19], [9.223_372e18]]);
}

#[test]
fn labels_groups_and_costs_lie_beside_the_features() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "x.npy", npy(&[3, 1], npyz::Order::C, &[1f32, 2.0, 3.0]));
    write(&folder, "label.npy", npy(&[3, 1], npyz::Order::C, &[7.0f64, 5.0, 7.0]));
    write(&folder, "group.npy", npy(&[3], npyz::Order::C, &[-1i16, 300, 300]));
    write(&folder, "cost.npy", npy(&[3], npyz::Order::C, &[1.5f64, 2.5, 3.5]));
    let table = table::load(&path, &all_roles()).unwrap();
    assert_eq!(
        (table.data.labels(), &table.class_names[..]),
        (&[1, 0, 1][..], &["5".into(), "7".into()][..])
    );
    assert_eq!(table.groups.unwrap().ids, [0, 1, 1]);
    assert_eq!(table.costs.unwrap(), [1.5, 2.5, 3.5]);
    // Halves are no labels, infinity is no cost, and there must be one of each a row.
    write(&folder, "label.npy", npy(&[3], npyz::Order::C, &[1.0f64, 0.5, 0.0]));
    let error = table::load(&path, &all_roles()).unwrap_err().to_string();
    assert!(error.contains("row 1"), "{error}");
    write(&folder, "label.npy", npy(&[3], npyz::Order::C, &[0u8, 1, 0]));
    write(&folder, "cost.npy", npy(&[3], npyz::Order::C, &[1.0f64, 1.0, f64::INFINITY]));
    let error = table::load(&path, &all_roles()).unwrap_err().to_string();
    assert!(error.contains("row 2") && error.contains("costs"), "{error}");
    assert_eq!(table::load(&path, &skip(all_roles())).unwrap().skipped, [2]);
    write(&folder, "cost.npy", npy(&[2], npyz::Order::C, &[1.0f64, 1.0]));
    let error = table::load(&path, &skip(all_roles())).unwrap_err().to_string();
    assert!(error.contains("2 for 3 rows"), "{error}");
    fs::remove_file(folder.path().join("cost.npy")).unwrap();
    assert!(matches!(table::load(&path, &all_roles()).unwrap_err(), Error::Io { .. }));
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
        let table = table::load(&path, &all_roles()).unwrap();
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
        let error = table::load(&path, &TableOptions::default()).unwrap_err().to_string();
        assert!(error.contains("emb, group, cost"), "{error}");
        let options = TableOptions { features: vec!["emb".to_owned()], ..Default::default() };
        assert_eq!(table::load(&path, &options).unwrap().data.len(), 3);
        broken_everywhere(&path, &all_roles());
    }
}

/// Cuts the file at every length, and changes each of its first bytes: errors, no panic, and nothing
/// that a size made up by the file could make it allocate (which would end the test).
fn broken_everywhere(path: &Path, options: &TableOptions) {
    let whole = fs::read(path).unwrap();
    assert!(table::load(path, options).is_ok());
    for length in (0..whole.len()).step_by(1 + whole.len() / 1000) {
        fs::write(path, &whole[..length]).unwrap();
        let error = table::load(path, options).expect_err("a truncated file");
        assert!(matches!(error, Error::File { .. } | Error::Unknown { .. }), "{length}: {error}");
    }
    for at in 0..whole.len().min(800) {
        for value in [0x00, 0x39, 0xFF] {
            let mut changed = whole.clone();
            changed[at] = value;
            fs::write(path, changed).unwrap();
            // A changed number may well be a number.
            let _ = table::load(path, options);
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
        let error = table::load(path, &options).unwrap_err();
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
        let table = table::load(&path, &all_roles()).unwrap();
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
        assert!(matches!(table::load(path, &all_roles()).unwrap_err(), Error::File { .. }));
    }
}

#[test]
fn a_number_that_is_not_finite_is_found_in_a_tensor() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.safetensors");
    let x = tensor(&[1.0, 2.0, 3.0, f32::NAN, 5.0, 6.0], &[3, 2], DType::F32);
    candle_core::safetensors::save(&HashMap::from([("x", x)]), &path).unwrap();
    let options = TableOptions { label: None, ..Default::default() };
    let error = table::load(&path, &options).unwrap_err().to_string();
    assert!(error.contains("NaN in row 1 (the first is 0), column 1"), "{error}");
    let table = table::load(&path, &skip(options)).unwrap();
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
        let error = table::load(&path, &all_roles()).unwrap_err().to_string();
        assert!(error.contains("NaN in row 1 (the first is 0), column 1"), "{error}");
        let table = table::load(&path, &skip(all_roles())).unwrap();
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
    let error = table::load(&path, &words).unwrap_err().to_string();
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
    let table = table::load(&path, &skip(TableOptions::default())).unwrap();
    let half = [[1.0, 2.0, 3.0], [6.0, 7.0, 8.0], [1.0, 1.0, 1.0]];
    assert_eq!(rows(&table), [half, half].concat());
    assert_eq!(table.class_names, ["1", "4", "6"]);
    assert_eq!(table.skipped, [0, 2, 3, 5, 7, 9, 10, 12]);
    assert_eq!(table.feature_names, ["emb"]);
    let error = table::load(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("row 0") && error.contains("emb"), "{error}");
    broken_everywhere(&path, &skip(TableOptions::default()));
}
