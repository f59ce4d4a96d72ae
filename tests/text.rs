//! Texts: every way a file can be written or broken, encodings that never change, and learners of
//! texts with exact derivatives.

use std::io::Write;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor, Var};
use gleaner::Error;
use gleaner::data::Malformed;
use gleaner::data::text::encode::{Characters, HashedWords, TextEncoder};
use gleaner::data::text::tfidf::{TfIdf, TfIdfOptions};
use gleaner::data::text::{TextCsv, TextLayout, TextOptions};
use gleaner::data::{Dataset, Source, Subset, shuffled_batches};
use gleaner::learn::optimiser::{Optimiser, OptimiserOptions};
use gleaner::learn::{
    FastText, FastTextOptions, Learner, TextLearner, Vdcnn, VdcnnDepth, VdcnnOptions,
    accuracy_in_batches, cross_entropy,
};
use nalgebra::DMatrix;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

/// A file of these bytes, which lives as long as the folder.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("texts.csv");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open(bytes: &[u8], options: &TextOptions) -> gleaner::Result<TextCsv> {
    let (_folder, path) = file(bytes);
    TextCsv::open(path, options, HashedWords::default())
}

fn skipping() -> TextOptions {
    TextOptions { malformed: Malformed::Skip, ..Default::default() }
}

fn named(label: &str, texts: &[&str]) -> TextOptions {
    let texts = texts.iter().map(|text| text.to_string()).collect();
    let layout = TextLayout::Named { label: label.into(), texts, class_names: None };
    TextOptions { layout, ..Default::default() }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// All texts, in the order of the file.
fn texts(csv: &TextCsv) -> Vec<String> {
    csv.texts_at(&(0..csv.points()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn every_way_of_writing_a_row() {
    type Case = (&'static str, &'static str, &'static [(u32, &'static str)]);
    let cases: &[Case] = &[
        ("quoted", "\"1\",\"a\",\"b\"\n\"2\",\"c\",\"d\"\n", &[(0, "a\nb"), (1, "c\nd")]),
        ("bare", "1,a,b\n2,c,d\n", &[(0, "a\nb"), (1, "c\nd")]),
        ("no last line break", "1,a,b\n2,c,d", &[(0, "a\nb"), (1, "c\nd")]),
        ("CR LF", "1,a,b\r\n\"2\",\"c\",\"d\"\r\n", &[(0, "a\nb"), (1, "c\nd")]),
        ("blank lines", "\n1,a,b\n\r\n\n2,c,d\n\n\r\n", &[(0, "a\nb"), (1, "c\nd")]),
        ("doubled quotes", "1,\"say \"\"a\"\"\",\"\"\"\"\n", &[(0, "say \"a\"\n\"")]),
        ("delimiters and lines in quotes", "1,\"a,b\",\"c\nd\r\ne\"\n", &[(0, "a,b\nc\nd\r\ne")]),
        ("escaped line break", "1,a\\nb,c\n", &[(0, "a\nb\nc")]),
        ("empty title", "1,,b\n2,\"\",d\n", &[(0, "b"), (1, "d")]),
        ("empty text", "1,a,\n2,c,\"\"\r\n2,c,\r\n", &[(0, "a"), (1, "c"), (1, "c")]),
        ("all empty", "1,,\n2,\"\",\"\"", &[(0, ""), (1, "")]),
        ("beyond ASCII", "1,Ärger,日本\n", &[(0, "Ärger\n日本")]),
        ("CR", "1,a,b\r\r\"2\",\"c\",\"d\"\r", &[(0, "a\nb"), (1, "c\nd")]),
        (
            "CR, the last line without",
            "1,a,\"b\nB\"\r2,c,\r2,e,f",
            &[(0, "a\nb\nB"), (1, "c"), (1, "e\nf")],
        ),
        ("CR as one more character", "1,a,b\n2,c\rC,d\r\n", &[(0, "a\nb"), (1, "c\rC\nd")]),
        ("byte order mark", "\u{feff}1,a,b\n", &[(0, "a\nb")]),
        ("byte order mark before a quote", "\u{feff}\"1\",a,b\n", &[(0, "a\nb")]),
    ];
    for (what, written, expected) in cases {
        for (form, bytes) in
            [("plain", written.as_bytes().to_vec()), ("gzip", gzip(written.as_bytes()))]
        {
            let csv = open(&bytes, &TextOptions::default()).unwrap();
            let found: Vec<(u32, String)> = csv.labels().iter().copied().zip(texts(&csv)).collect();
            let expected: Vec<(u32, String)> =
                expected.iter().map(|&(label, text)| (label, text.into())).collect();
            assert_eq!(found, expected, "{what}, {form}");
            assert_eq!(csv.skipped().count, 0, "{what}, {form}");
        }
    }
}

#[test]
fn every_way_of_being_malformed() {
    let cases: &[(&str, &[u8], u64, &str)] = &[
        ("too few columns", b"1,a,b\n1,a\n2,c,d\n", 2, "3 columns, found 2"),
        ("too many columns", b"1,a,b\n1,a,b,c\n2,c,d\n", 2, "3 columns, found 4"),
        ("class 0", b"1,a,b\n0,a,b\n2,c,d\n", 2, "a class from 1 to 2, found \"0\""),
        ("class 3", b"1,a,b\n\"3\",a,b\n2,c,d\n", 2, "a class from 1 to 2, found \"3\""),
        ("no class", b"1,a,b\nx,a,b\n2,c,d\n", 2, "a class from 1 to 2, found \"x\""),
        ("a class without a digit", b"1,a,b\n,a,b\n2,c,d\n", 2, "found \"\""),
        (
            "bad UTF-8",
            b"1,a,b\n1,\xff,b\n2,c,d\n",
            2,
            "byte 0xFF, as of Latin-1 or Windows-1252, in column 2",
        ),
        ("UTF-8 cut by a comma", b"1,a,b\n1,\xc3,\xa4\n2,c,d\n", 2, "UTF-8"),
        ("a quote inside", b"1,a,b\n1,a\"b,c\n2,c,d\n", 2, "a quote inside a column"),
        ("text behind a quote", b"1,a,b\n1,\"a\"b,c\n2,c,d\n", 2, "text after a closing quote"),
        ("return behind a quote", b"1,a,b\n1,a,\"b\"\rc\n2,c,d\n", 2, "text after a closing quote"),
        ("a quote too few", b"1,a,b\n1,\"a,b\n2,\"c\",d\n", 2, "text after a closing quote"),
        ("no closing quote", b"1,a,b\n1,\"a,b\n2,c,d\n", 2, "no closing quote"),
        ("CR, a quote too few", b"1,a,b\r1,\"a,b\r2,c,d\r", 2, "no closing quote"),
        ("CR, after a line break in quotes", b"1,a,\"b\r\"\r1,a\r2,c,d\r", 3, "3 columns, found 2"),
        ("after a line break in quotes", b"1,a,\"b\n\"\n1,a\n2,c,d\n", 3, "3 columns, found 2"),
    ];
    for (what, bytes, line, complaint) in cases {
        for (form, bytes) in [("plain", bytes.to_vec()), ("gzip", gzip(bytes))] {
            let error = open(&bytes, &TextOptions::default()).unwrap_err().to_string();
            let named = error.contains("texts.csv") && error.contains(&format!("line {line}"));
            assert!(named && error.contains(complaint), "{what}, {form}: {error}");

            let csv = open(&bytes, &skipping()).unwrap();
            assert_eq!(csv.labels(), [0, 1], "{what}, {form}");
            assert_eq!(csv.texts_at(&[1]).unwrap()[0].lines().next(), Some("c"), "{what}, {form}");
            assert_eq!((csv.skipped().count, csv.skipped().first.len()), (1, 1), "{what}, {form}");
            let fault = csv.skipped().first[0].to_string();
            assert!(
                fault.contains(complaint) && fault.contains(&format!("line {line}:")),
                "{fault}"
            );
        }
    }
}

#[test]
fn skipped_rows_are_counted_and_the_first_ones_kept() {
    let mut bytes = b"1,a,b\n".to_vec();
    (0..25).for_each(|_| bytes.extend(b"broken\n"));
    bytes.extend(b"2,\"c\nd\",e\n1,x\n2,f,g");
    let csv = open(&bytes, &skipping()).unwrap();
    assert_eq!(texts(&csv), ["a\nb", "c\nd\ne", "f\ng"]);
    assert_eq!(csv.skipped().count, 26);
    let lines: Vec<u64> = csv.skipped().first.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, (2..12).collect::<Vec<_>>());
}

#[test]
fn a_row_without_end_is_not_read_into_memory() {
    let mut bytes = b"1,a,b\n2,\"c".to_vec();
    bytes.resize(17 << 20, b'x');
    bytes.extend(b"\",d\n2,e,f\n");
    let error = open(&bytes, &TextOptions::default()).unwrap_err().to_string();
    assert!(error.contains("16 MiB") && error.contains("line 2"), "{error}");
    assert_eq!(texts(&open(&bytes, &skipping()).unwrap()), ["a\nb", "e\nf"]);
}

#[test]
fn labels_by_name_have_a_stable_order() {
    let words = "id,kind,text\n7,spam,buy\n8,ham,hello\n9,spam,now\n";
    let csv = open(words.as_bytes(), &named("kind", &["text"])).unwrap();
    assert_eq!(
        (csv.class_names(), csv.labels()),
        (&["ham".into(), "spam".into()][..], &[1, 0, 1][..])
    );
    assert_eq!(texts(&csv), ["buy", "hello", "now"]);

    // Whole numbers in the order of numbers, not of their digits; columns in the order asked for.
    let numbers = "text,stars,title\na,10,A\nb,9,B\nc,-1,C\nd,10,D\n";
    let csv = open(numbers.as_bytes(), &named("stars", &["title", "text"])).unwrap();
    assert_eq!(csv.class_names(), ["-1", "9", "10"]);
    assert_eq!(csv.labels(), [2, 1, 0, 2]);
    assert_eq!(texts(&csv), ["A\na", "B\nb", "C\nc", "D\nd"]);
    // No escapes here: a backslash is a backslash.
    let csv = open(b"l,t\n1,a\\nb\n", &named("l", &["t"])).unwrap();
    assert_eq!(texts(&csv), ["a\\nb"]);

    // A test file counts as the training file did, and knows no other labels.
    let mut options = named("kind", &["text"]);
    if let TextLayout::Named { class_names, .. } = &mut options.layout {
        *class_names = Some(vec!["spam".into(), "ham".into(), "offer".into()]);
    }
    let csv = open(words.as_bytes(), &options).unwrap();
    assert_eq!((csv.classes(), csv.labels()), (3, &[0, 1, 0][..]));
    let error = open(b"kind,text\neggs,x\n", &options).unwrap_err().to_string();
    assert!(error.contains("spam, ham, offer") && error.contains("\"eggs\""), "{error}");
}

#[test]
fn other_delimiters_and_other_sets() {
    let options = TextOptions { delimiter: b'\t', ..named("v1", &["v2"]) };
    let csv = open(b"v1\tv2\nham\tone, two\n", &options).unwrap();
    assert_eq!(texts(&csv), ["one, two"]);
    let layout = TextLayout::numbered(10, 3);
    let csv = open(b"10,q,t,a\n", &TextOptions { layout, ..Default::default() }).unwrap();
    assert_eq!((csv.labels(), csv.classes(), texts(&csv)), (&[9][..], 10, vec!["q\nt\na".into()]));
    let layout = TextLayout::amazon_full();
    assert_eq!(
        open(b"5,q,t\n", &TextOptions { layout, ..Default::default() }).unwrap().labels(),
        [4]
    );
}

#[test]
fn a_limit_stops_reading() {
    let options = TextOptions { limit: Some(2), ..Default::default() };
    // The third row is malformed, but nobody looks.
    assert_eq!(open(b"1,a,b\n2,c,d\nx\n", &options).unwrap().labels(), [0, 1]);
}

#[test]
fn points_in_any_order_and_side_by_side() {
    let rows: String = (0..2000)
        .map(|k| format!("{},title {k},{}\n", 1 + k % 2, "word ".repeat(k % 50)))
        .collect();
    let (_folder, path) = file(rows.as_bytes());
    let csv = TextCsv::open(path, &TextOptions::default(), HashedWords::default()).unwrap();
    assert_eq!(csv.points(), 2000);
    let title = |k: usize| format!("title {k}");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let csv = &csv;
            scope.spawn(move || {
                let wanted: Vec<usize> = (0..500).map(|k| (k * 769 + thread * 31) % 2000).collect();
                for (k, text) in wanted.iter().zip(csv.texts_at(&wanted).unwrap()) {
                    assert_eq!(text.lines().next(), Some(title(*k).as_str()));
                }
            });
        }
    });
    // A point may come twice, and a batch is the same for any number of threads.
    let wanted = [1999, 3, 3, 0];
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| csv.inputs_at(&wanted).unwrap().to_vec2::<u32>().unwrap())
    });
    assert_eq!(one, three);
    assert_eq!(one[1], one[2]);
    let part = Subset::new(&csv, vec![3, 1999]).unwrap();
    let batch = part.batch_at(&[1, 0]).unwrap();
    assert_eq!(batch.inputs.to_vec2::<u32>().unwrap()[0], one[0]);
    assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), [1, 1]);
}

#[test]
fn options_and_files_that_are_refused() {
    let base = TextOptions::default();
    let row = b"1,a,b\n";
    let twice = TextLayout::Numbered { class_names: vec!["a".into(), "a".into()], texts: 2 };
    for options in [
        TextOptions { limit: Some(0), ..base.clone() },
        TextOptions { delimiter: b'"', ..base.clone() },
        TextOptions { delimiter: b'\n', ..base.clone() },
        TextOptions { delimiter: 0xe9, ..base.clone() },
        TextOptions { layout: TextLayout::numbered(0, 2), ..base.clone() },
        TextOptions { layout: TextLayout::numbered(2, 0), ..base.clone() },
        named("label", &[]),
    ] {
        let error = open(row, &options).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{options:?}: {error}");
    }
    let error = open(row, &TextOptions { layout: twice, ..base.clone() }).unwrap_err();
    assert!(error.to_string().contains("distinct names"), "{error}");

    for (what, bytes, options, expected) in [
        ("empty", &b""[..], &base, "labelled rows, found no rows"),
        ("blank", b"\n\n", &base, "labelled rows, found no rows"),
        (
            "nothing good",
            b"a\nb\n",
            &skipping(),
            "2 malformed ones, first line 1: expected 3 columns",
        ),
        ("no header", b"", &named("l", &["t"]), "an empty file"),
        ("header alone", b"l,t\n", &named("l", &["t"]), "found no rows"),
        ("no such column", b"l,u\n1,a\n", &named("l", &["t"]), "no \"t\"; there is l, u"),
        ("label missing", b"l,t\n,a\n", &named("l", &["t"]), "a label, found none in line 2"),
    ] {
        let error = open(bytes, options).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
    let utf16: Vec<u8> = "\u{feff}l,t\n1,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let options = named("l", &["t"]);
    for (what, bytes, expected) in [
        ("Latin-1", &b"l,t\n1,a\n2,caf\xE9\n"[..], "WINDOWS-1252 -t UTF-8"),
        (
            "its line",
            b"l,t\n1,a\n2,caf\xE9\n",
            "0xE9, as of Latin-1 or Windows-1252, in column 2 in line 3",
        ),
        ("a label", b"l,t\n\xE9,a\n", "column 1 in line 2"),
        ("the header", b"l,t,\xE9\n1,a,b\n", "0xE9, as of Latin-1"),
        ("UTF-16", &utf16, "iconv -f UTF-16 -t UTF-8"),
    ] {
        let error = open(bytes, &options).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
    let many: String = (0..70_000).map(|k| format!("{k},a\n")).collect();
    let error = open(format!("l,t\n{many}").as_bytes(), &named("l", &["t"])).unwrap_err();
    assert!(error.to_string().contains("at most 65536 different labels"), "{error}");

    let packed = gzip(b"1,a,b\n2,c,d\n");
    let error = open(&packed[..packed.len() - 6], &base).unwrap_err().to_string();
    assert!(error.contains("a whole gzip file"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.csv");
    let error = TextCsv::open(&missing, &base, HashedWords::default()).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == missing), "{error}");
    let scratch = TextOptions { scratch: Some(folder.path().join("nowhere")), ..base };
    let error = open(&packed, &scratch).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
    let csv = open(row, &TextOptions::default()).unwrap();
    assert!(matches!(csv.texts_at(&[]), Err(Error::Shape { .. })));
    assert!(matches!(csv.inputs_at(&[1]), Err(Error::OutOfRange { .. })));
}

#[test]
fn members_of_a_gzip_file_are_read_one_after_the_other() {
    let bytes = [gzip(b"1,a,\"b\n"), gzip(b"c\"\n2,d,e\n")].concat();
    assert_eq!(texts(&open(&bytes, &TextOptions::default()).unwrap()), ["a\nb\nc", "d\ne"]);
}

#[test]
fn a_file_that_changed_is_noticed() {
    let (_folder, path) = file(b"1,a,b\n2,c,d\n");
    let csv = TextCsv::open(&path, &TextOptions::default(), HashedWords::default()).unwrap();
    std::fs::write(&path, b"1,a,b\n2,c").unwrap();
    let error = csv.texts_at(&[0, 1]).unwrap_err().to_string();
    assert!(error.contains("row 1 as it was when opened"), "{error}");
    std::fs::write(&path, b"").unwrap();
    assert!(csv.texts_at(&[0]).is_err());
}

fn ids(encoder: &dyn TextEncoder, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    encoder.encode(text, &mut ids);
    ids
}

/// FNV-1a written a second time, from its definition.
fn bucket(words: &[&str], buckets: u64) -> u32 {
    let mut hash: u64 = 14_695_981_039_346_656_037;
    for word in words {
        for byte in word.bytes().chain([255]) {
            hash ^= u64::from(byte);
            hash = hash.wrapping_mul(1_099_511_628_211);
        }
    }
    1 + ((hash ^ (hash >> 32)) % buckets) as u32
}

#[test]
fn hashed_words_are_what_the_documentation_says() {
    let words = |ngrams| HashedWords { ngrams, buckets: 1000, longest: 100 };
    let b = |words: &[&str]| bucket(words, 1000);
    assert_eq!(ids(&words(1), "One TWO\tone"), [b(&["one"]), b(&["two"]), b(&["one"])]);
    let three = ids(&words(3), "a b c");
    let expected =
        [b(&["a"]), b(&["a", "b"]), b(&["a", "b", "c"]), b(&["b"]), b(&["b", "c"]), b(&["c"])];
    assert_eq!(three, expected);
    assert_ne!(bucket(&["ab", "c"], 1 << 32), bucket(&["a", "bc"], 1 << 32));
    for (text, expected) in [
        ("don't", vec!["dont"]),
        ("don\u{2019}t", vec!["dont"]),
        ("'tis rock'n'roll!", vec!["'", "tis", "rocknroll", "!"]),
        ("ÄRGER-Straße 3.5", vec!["ärger", "-", "straße", "3", ".", "5"]),
        ("日本 ...", vec!["日本", ".", ".", "."]),
        ("", vec![]),
        (" \n ", vec![]),
    ] {
        let expected: Vec<u32> = expected.iter().map(|word| b(&[word])).collect();
        assert_eq!(ids(&words(1), text), expected, "{text:?}");
    }
    // Longest is longest, also in the middle of a word's n-grams and with ids already there.
    let all = ids(&words(2), "a b c d e");
    for longest in 0..=all.len() {
        let mut cut = vec![5];
        HashedWords { longest, ..words(2) }.encode("a b c d e", &mut cut);
        assert_eq!(cut[1..], all[..longest]);
    }
    // Zeros are ones.
    let zeros = HashedWords { ngrams: 0, buckets: 0, longest: 3 };
    assert_eq!(ids(&zeros, "a b"), [1, 1]);
}

/// If these change, every saved learner of texts is worthless.
#[test]
fn the_hash_never_changes() {
    let found = ids(&HashedWords::default(), "Best album ever!");
    assert_eq!(found, [951, 18952, 41468, 37315, 35455, 47529, 60079]);
}

#[test]
fn hashed_words_spread_over_the_buckets() {
    let encoder = HashedWords { ngrams: 1, buckets: 256, longest: usize::MAX };
    let text: String = (0..25_600).map(|k| format!("word{k} ")).collect();
    let mut counts = [0f64; 257];
    ids(&encoder, &text).iter().for_each(|&id| counts[id as usize] += 1.0);
    assert_eq!(counts[0], 0.0);
    // Chi-square of 255 degrees of freedom: 255 +- 22.6; five deviations on either side.
    let chi: f64 = counts[1..].iter().map(|count| (count - 100.0).powi(2) / 100.0).sum();
    assert!((chi - 255.0).abs() < 113.0, "{chi}");
}

#[test]
fn characters_are_those_of_the_paper() {
    assert_eq!(Characters::IDS, 69);
    let encoder = Characters { length: 8 };
    assert_eq!(ids(&encoder, "aZ 09"), [3, 28, 2, 29, 38, 0, 0, 0]);
    assert_eq!(ids(&encoder, "-}\\\n日é@A"), [39, 68, 1, 2, 1, 1, 1, 3]);
    assert_eq!(ids(&encoder, "a very long text").len(), 8);
    assert_eq!(Characters::default().length, 1014);
    let batch = encoder.batch(&["ab".into(), String::new()]).unwrap();
    assert_eq!(batch.dims(), [2, 8]);
}

#[test]
fn batches_are_as_long_as_their_longest_text() {
    let words = HashedWords { ngrams: 1, ..Default::default() };
    let batch = words.batch(&["one two three".into(), String::new(), "one".into()]).unwrap();
    let rows = batch.to_vec2::<u32>().unwrap();
    assert_eq!(batch.dims(), [3, 3]);
    assert!(rows[0].iter().all(|&id| id > 0));
    assert_eq!((&rows[1], &rows[2][1..]), (&vec![0; 3], &[0, 0][..]));
    assert_eq!(words.batch(&[String::new()]).unwrap().to_vec2::<u32>().unwrap(), [[0]]);
    assert!(matches!(words.batch(&[]), Err(Error::Shape { .. })));
}

const CPU: &Device = &Device::Cpu;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn weights(learner: &dyn Learner) -> Vec<(String, Vec<f64>)> {
    learner.variables().iter().map(|(name, v)| (name.clone(), numbers(v))).collect()
}

fn fast_text(seed: u64, dtype: DType) -> FastText {
    let options = FastTextOptions { buckets: 9, width: 4, classes: 3 };
    FastText::new(&options, seed, dtype, CPU).unwrap()
}

/// Small in everything but depth.
fn vdcnn(depth: VdcnnDepth, seed: u64, dtype: DType) -> Vdcnn {
    let options = VdcnnOptions {
        depth,
        ids: 5,
        embedding: 3,
        widths: [4, 3, 4, 5],
        k: 2,
        hidden: [6, 5],
        classes: 3,
    };
    Vdcnn::new(&options, seed, dtype, CPU).unwrap()
}

fn random_ids(n: usize, longest: usize, below: u32, seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ids: Vec<u32> = (0..n * longest).map(|_| rng.random_range(0..below)).collect();
    Tensor::from_vec(ids, (n, longest), CPU).unwrap()
}

type Logits = fn(&dyn Learner, &Tensor) -> candle_core::Result<Tensor>;

/// Central differences of the summed, unevenly weighted losses in every number of every variable,
/// at most `most` of a variable (spread over it).
///
/// Step 1e-6 in f64: rounding is about 1e-16 / 1e-6 = 1e-10 for derivatives of order 1 and
/// truncation 1e-12 times the third derivative, which normalised batches make large; 1e-6 of the
/// largest derivative is far below any wrong factor or lost position. A ReLU or a maximum that changes
/// within a step would show as an error too; the seeds are such that none does.
fn check_derivatives(learner: &dyn Learner, ids: &Tensor, logits: Logits, most: usize) {
    let n = ids.dims()[0];
    let labels = Tensor::from_vec((0..n as u32).map(|i| i % 3).collect(), n, CPU).unwrap();
    let uneven = Tensor::from_vec((0..n).map(|i| 0.5 + i as f64).collect(), n, CPU).unwrap();
    let objective = || {
        let losses = cross_entropy(&logits(learner, ids).unwrap(), &labels).unwrap();
        (losses * &uneven).unwrap().sum_all().unwrap()
    };
    let gradients = objective().backward().unwrap();
    let all: Vec<Vec<f64>> =
        learner.variables().iter().map(|(_, v)| numbers(gradients.get(v).unwrap())).collect();
    for ((name, variable), got) in learner.variables().iter().zip(all) {
        let scale = got.iter().fold(1e-2, |largest: f64, g| largest.max(g.abs()));
        let start = numbers(variable);
        let at = |k: usize, step: f64| {
            let mut moved = start.clone();
            moved[k] += step;
            variable.set(&Tensor::from_vec(moved, variable.shape(), CPU).unwrap()).unwrap();
            objective().to_scalar::<f64>().unwrap()
        };
        for (k, got) in got.iter().enumerate().step_by(got.len().div_ceil(most)) {
            let expected = (at(k, 1e-6) - at(k, -1e-6)) / 2e-6;
            let error = (got - expected).abs() / scale;
            assert!(error < 1e-6, "{name}[{k}]: {got} against {expected}");
        }
        at(0, 0.0);
    }
}

#[test]
fn derivatives_match_finite_differences() {
    let evaluation: Logits = |learner, ids| learner.logits(ids);
    let training: Logits = |learner, ids| learner.training_logits(ids);
    let ids = random_ids(4, 6, 10, 1);
    check_derivatives(&fast_text(3, DType::F64), &ids, evaluation, usize::MAX);
    let ids = random_ids(4, 19, 5, 2);
    check_derivatives(&vdcnn(VdcnnDepth::Nine, 3, DType::F64), &ids, evaluation, usize::MAX);
    check_derivatives(&vdcnn(VdcnnDepth::Nine, 4, DType::F64), &ids, training, usize::MAX);
    check_derivatives(&vdcnn(VdcnnDepth::TwentyNine, 5, DType::F64), &ids, training, 7);
}

#[test]
fn a_seed_decides_every_weight_and_names_are_sorted() {
    type Build = fn(u64) -> Box<dyn Learner>;
    let builds: [(&str, Build); 2] = [
        ("fasttext", |seed| Box::new(fast_text(seed, DType::F32))),
        ("vdcnn", |seed| Box::new(vdcnn(VdcnnDepth::Nine, seed, DType::F32))),
    ];
    for (name, build) in builds {
        let first = weights(&*build(1));
        assert_eq!(first, weights(&*build(1)), "{name}");
        for ((variable, a), (_, b)) in first.iter().zip(&weights(&*build(2))) {
            // What normalises starts at one and zero, the first bias at zero, whatever the seed.
            let constant = variable.contains("norm") || variable == "first.bias";
            assert_eq!(a == b, constant, "{name} {variable}");
        }
        assert!(first.is_sorted_by(|a, b| a.0 < b.0), "{name}");
    }
}

#[test]
fn padding_does_not_count() {
    let learner = fast_text(0, DType::F64);
    let features = |ids: &[u32]| {
        let ids = Tensor::from_slice(ids, (1, ids.len()), CPU).unwrap();
        numbers(&learner.features(&ids).unwrap())
    };
    let short = features(&[3, 9, 3]);
    assert_eq!(short, features(&[3, 9, 3, 0, 0, 0, 0]));
    assert_eq!(short, features(&[0, 3, 0, 9, 3]));
    let table = learner.variables()[0].1.to_vec2::<f64>().unwrap();
    for (k, got) in short.iter().enumerate() {
        let expected = (2.0 * table[2][k] + table[8][k]) / 3.0;
        assert!((got - expected).abs() < 1e-15, "{got} against {expected}");
    }
    assert_eq!(features(&[0, 0]), [0.0; 4]);
    // Nor does it have a gradient: no embedding but those looked up.
    let ids = Tensor::new(&[[4u32, 0, 0], [0, 0, 0]], CPU).unwrap();
    let sum = learner.features(&ids).unwrap().sum_all().unwrap();
    let gradient = sum.backward().unwrap().get(&learner.variables()[0].1).unwrap().clone();
    for (row, gradient) in gradient.to_vec2::<f64>().unwrap().iter().enumerate() {
        assert_eq!(gradient[..], [if row == 3 { 1.0 } else { 0.0 }; 4]);
    }
}

#[test]
fn gradients_are_the_same_for_any_number_of_threads() {
    let options = FastTextOptions { buckets: 1000, width: 10, classes: 3 };
    let fast_text = FastText::new(&options, 0, DType::F32, CPU).unwrap();
    let vdcnn = vdcnn(VdcnnDepth::Nine, 0, DType::F32);
    let cases: [(&(dyn Learner + Sync), Tensor); 2] =
        [(&fast_text, random_ids(37, 120, 1001, 0)), (&vdcnn, random_ids(37, 40, 5, 0))];
    for (learner, ids) in cases {
        let gradients = || {
            let sum = learner.training_logits(&ids).unwrap().sqr().unwrap().sum_all().unwrap();
            let all = sum.backward().unwrap();
            let of = |v: &Var| numbers(all.get(v).unwrap());
            learner.variables().iter().map(|(_, v)| of(v)).collect::<Vec<_>>()
        };
        let [one, two, three] = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(gradients)
        });
        assert!(one == two && one == three);
    }
}

/// Sums worked out by hand from the papers' sizes.
#[test]
fn numbers_of_parameters() {
    let count = |learner: &dyn Learner| -> usize {
        learner.variables().iter().map(|(_, v)| v.elem_count()).sum()
    };
    let fast_text = TextLearner::FastText.build(5, 0, DType::F32, CPU).unwrap();
    assert_eq!(count(&*fast_text), 65_536 * 20 + 20 * 5 + 5);

    // Convolutions of the first and of all later blocks of each level, each with 2 norms of 2 vectors.
    let first = [
        2 * (64 * 64 * 3) + 4 * 64,
        (64 + 128) * 128 * 3 + 4 * 128,
        (128 + 256) * 256 * 3 + 4 * 256,
        (256 + 512) * 512 * 3 + 4 * 512,
    ];
    let later = [64, 128, 256, 512].map(|width| 2 * width * width * 3 + 4 * width);
    assert_eq!(first, [24_832, 74_240, 295_936, 1_181_696]);
    assert_eq!(later, [24_832, 98_816, 394_240, 1_574_912]);
    let ends = 69 * 16 + (16 * 64 * 3 + 64) // embedding and first convolution
        + (8 * 512 * 2048 + 2048) + (2048 * 2048 + 2048) + (2048 * 2 + 2);
    for (learner, more) in
        [(TextLearner::Vdcnn9, [0, 0, 0, 0]), (TextLearner::Vdcnn29, [4, 4, 1, 1])]
    {
        let built = learner.build(2, 0, DType::F32, CPU).unwrap();
        let blocks: usize = first
            .iter()
            .zip(later)
            .zip(more)
            .map(|((first, later), more)| first + later * more)
            .sum();
        assert_eq!(count(&*built), blocks + ends, "{learner}");
        let convolutions = built.variables().iter().filter(|(_, v)| v.rank() == 4).count();
        assert_eq!(format!("vdcnn{convolutions}"), learner.name());
        // A running mean and variance for each norm, of which there is one a convolution but the first.
        assert_eq!(built.buffers().len(), 2 * (convolutions - 1));
    }
}

#[test]
fn evaluation_is_by_point_and_training_by_batch() {
    let learner = vdcnn(VdcnnDepth::Nine, 1, DType::F64);
    let ids = random_ids(6, 20, 5, 3);
    let whole = numbers(&learner.logits(&ids).unwrap());
    let parts: Vec<f64> = (0..6)
        .flat_map(|i| numbers(&learner.logits(&ids.narrow(0, i, 1).unwrap()).unwrap()))
        .collect();
    assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-12));
    let buffers = || learner.buffers().iter().map(|(_, v)| numbers(v)).collect::<Vec<_>>();
    let before = buffers();
    learner.features(&ids).unwrap();
    assert_eq!(before, buffers());
    let training = numbers(&learner.training_logits(&ids).unwrap());
    assert_ne!(before, buffers());
    assert!(training.iter().zip(&whole).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn shapes_and_ids_that_are_refused() {
    let ids = |dims: (usize, usize), id: u32| {
        (Tensor::ones(dims, DType::U32, CPU).unwrap() * f64::from(id)).unwrap()
    };
    let fast_text = fast_text(0, DType::F32);
    assert!(fast_text.logits(&ids((2, 3), 9)).is_ok());
    let vdcnn = vdcnn(VdcnnDepth::Nine, 0, DType::F32);
    assert!(vdcnn.logits(&ids((2, 9), 4)).is_ok());
    let floats = Tensor::ones((2, 20), DType::F32, CPU).unwrap();
    for (what, error, expected) in [
        ("bucket", fast_text.logits(&ids((2, 3), 10)), "at most the number of buckets, found 10"),
        ("floats", fast_text.logits(&floats), "n x longest of U32"),
        ("nothing", fast_text.logits(&ids((2, 0), 1)), "[2, 0]"),
        ("character", vdcnn.logits(&ids((2, 20), 5)), "below the number of ids, found 5"),
        ("short", vdcnn.logits(&ids((2, 8), 1)), "n x at least 9 of U32"),
        ("floats", vdcnn.logits(&floats), "of F32"),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
    let base = FastTextOptions::default();
    for options in [
        FastTextOptions { buckets: 0, ..base },
        FastTextOptions { width: 0, ..base },
        FastTextOptions { classes: 0, ..base },
    ] {
        let error = FastText::new(&options, 0, DType::F32, CPU).err();
        assert!(matches!(error, Some(Error::OutOfRange { .. })), "{options:?}");
    }
    let base = VdcnnOptions::default();
    for options in [
        VdcnnOptions { ids: 0, ..base },
        VdcnnOptions { embedding: 0, ..base },
        VdcnnOptions { widths: [8, 8, 0, 8], ..base },
        VdcnnOptions { k: 0, ..base },
        VdcnnOptions { hidden: [8, 0], ..base },
        VdcnnOptions { classes: 0, ..base },
    ] {
        let error = Vdcnn::new(&options, 0, DType::F32, CPU).err();
        assert!(matches!(error, Some(Error::OutOfRange { .. })), "{options:?}");
    }
}

#[test]
fn learners_have_names() {
    for learner in TextLearner::ALL {
        assert_eq!(learner.to_string().parse::<TextLearner>().unwrap(), learner);
    }
    let error = "VDCNN".parse::<TextLearner>().unwrap_err().to_string();
    assert!(error.contains("fasttext, vdcnn9, vdcnn29"), "{error}");
}

/// Praise and complaint in random words around one that tells.
fn opinions(n: usize, seed: u64) -> (Vec<String>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let filler = ["the", "book", "film", "it", "was", "a", "plot", "i", "read"];
    let tells = [["awful", "dull", "worst"], ["great", "superb", "best"]];
    let texts = (0..n).map(|i| {
        let mut words: Vec<&str> =
            (0..6).map(|_| filler[rng.random_range(0..filler.len())]).collect();
        words.insert(rng.random_range(0..7), tells[i % 2][rng.random_range(0..3)]);
        words.join(" ")
    });
    (texts.collect(), (0..n as u32).map(|i| i % 2).collect())
}

/// Trains as a training step does, and returns the accuracy on texts never seen.
fn trained(learner: &dyn Learner, encoder: &dyn TextEncoder, epochs: usize, rate: f64) -> f64 {
    let data = |n, seed| {
        let (texts, labels) = opinions(n, seed);
        Dataset::new(encoder.batch(&texts).unwrap(), labels, 2).unwrap()
    };
    let (train, test) = (data(256, 1), data(200, 2));
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let options = OptimiserOptions::default();
    let mut optimiser = Optimiser::new(learner.variables().to_vec(), options, rate).unwrap();
    for batch in (0..epochs).flat_map(|_| shuffled_batches(train.len(), 32, &mut rng)) {
        let batch = train.batch(&batch).unwrap();
        let logits = learner.training_logits(&batch.inputs).unwrap();
        let loss = cross_entropy(&logits, &batch.labels).unwrap().mean_all().unwrap();
        optimiser.backward_step(&loss).unwrap();
    }
    accuracy_in_batches(learner, &test, 64).unwrap()
}

#[test]
fn fast_text_learns() {
    let words = HashedWords { buckets: 512, ..Default::default() };
    let options = FastTextOptions { buckets: 512, width: 10, classes: 2 };
    let learner = FastText::new(&options, 0, DType::F32, CPU).unwrap();
    let accuracy = trained(&learner, &words, 8, 0.05);
    assert!(accuracy > 0.97, "{accuracy}");
}

#[test]
fn vdcnn_learns_words_from_characters_and_repeats_bit_by_bit() {
    let run = |seed| {
        let options = VdcnnOptions {
            embedding: 8,
            widths: [16, 16, 24, 24],
            k: 3,
            hidden: [32, 32],
            ..Default::default()
        };
        let learner = Vdcnn::new(&options, seed, DType::F32, CPU).unwrap();
        let accuracy = trained(&learner, &Characters { length: 48 }, 12, 3e-3);
        let buffers: Vec<_> = learner.buffers().iter().map(|(_, v)| numbers(v)).collect();
        (accuracy, weights(&learner), buffers)
    };
    let (first, again) = (run(0), run(0));
    assert!(first.0 > 0.9, "{}", first.0);
    assert!(first == again);
}

// Weighted words and their directions.

fn fit(texts: &[impl AsRef<str> + Sync], width: usize) -> TfIdf {
    let options = TfIdfOptions { width, ..Default::default() };
    TfIdf::fit(texts, &options, &mut ChaCha8Rng::seed_from_u64(5)).unwrap()
}

/// Features of `texts`, one row each.
fn features(words: &TfIdf, texts: &[impl AsRef<str> + Sync]) -> DMatrix<f64> {
    let features = words.features(texts);
    DMatrix::from_row_slice(texts.len(), words.width(), &features).map(f64::from)
}

/// Sentences of 40 words, a few of them frequent.
fn sentences(n: usize, seed: u64) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut word = |_| format!("w{}x", rng.random_range(0u32..9) * rng.random_range(0u32..9));
    (0..n).map(|_| (0..40).map(&mut word).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn weights_of_three_texts_are_those_computed_by_hand() {
    let texts = ["Red car, red CAR, red!", "the car", "a tea"];
    let words = fit(&texts, 3);
    assert_eq!(words.width(), 3);
    // Of three texts one has "red", "the" or "tea", two have "car"; "a" is no word.
    let (rare, common) = (1.0 + (4.0f64 / 2.0).ln(), 1.0 + (4.0f64 / 3.0).ln());
    let first = [(1.0 + 3f64.ln()) * rare, (1.0 + 2f64.ln()) * common];
    let (first_length, second_length) = (first[0].hypot(first[1]), rare.hypot(common));
    let inner = first[1] / first_length * common / second_length;
    let expected =
        DMatrix::from_row_slice(3, 3, &[1.0, inner, 0.0, inner, 1.0, 0.0, 0.0, 0.0, 1.0]);
    let x = features(&words, &texts);
    assert!((&x * x.transpose() - expected).amax() < 1e-6); // features are `f32`

    // Words that were never met are left out before the length is one, single letters always.
    let again = features(&words, &["CAR a zebra the", "zebra", "", "\u{1F600} x y"]);
    assert!((again.row(0) - x.row(1)).amax() < 1e-6);
    assert_eq!(again.rows(1, 3).amax(), 0.0);
}

#[test]
fn pairs_of_words_count_if_asked_for() {
    let texts = ["red car", "car red", "blue tea"];
    let similar = |ngrams| {
        let options = TfIdfOptions { ngrams, ..Default::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let x = features(&TfIdf::fit(&texts, &options, &mut rng).unwrap(), &texts);
        x.row(0).dot(&x.row(1))
    };
    assert!((similar(1) - 1.0f64).abs() < 1e-6);
    // "red car" and "car red" are in one text each, "red" and "car" in two.
    let (rare, common) = (1.0 + (4.0f64 / 2.0).ln(), 1.0 + (4.0f64 / 3.0).ln());
    let expected = 2.0 * common * common / (2.0 * common * common + rare * rare);
    assert!((similar(2) - expected).abs() < 1e-6);
}

#[test]
fn inner_products_are_those_of_the_best_approximation() {
    // At full width they are those of the weights; what a smaller one leaves is held against nalgebra's.
    let (texts, width) = (sentences(30, 1), 6);
    let full = features(&fit(&texts, 100), &texts);
    let svd = full.svd(true, true);
    let (u, s) = (svd.u.unwrap(), svd.singular_values);
    let best = DMatrix::from_fn(30, width, |i, k| u[(i, k)] * s[k]);
    let few = features(&fit(&texts, width), &texts);
    assert_eq!(few.ncols(), width);
    let (few, best) = (&few * few.transpose(), &best * best.transpose());
    // 16 of 26 directions are searched, which leaves some of the 7th for the 6th.
    assert!((&few - &best).norm() < 1e-2 * best.norm(), "{}", (&few - &best).norm() / best.norm());
    // All of them: rounding of features to `f32` is all that is left.
    let texts = &texts[..12];
    let full = features(&fit(texts, 100), texts);
    let svd = full.svd(true, true);
    let (u, s) = (svd.u.unwrap(), svd.singular_values);
    let best = DMatrix::from_fn(12, 4, |i, k| u[(i, k)] * s[k]);
    let few = features(&fit(texts, 4), texts);
    assert!((&few * few.transpose() - &best * best.transpose()).amax() < 1e-5);
}

#[test]
fn the_rank_bounds_the_width() {
    let cases: [(&[&str], usize); 4] = [
        (&["one text alone"], 1),
        (&["same text", "Same, text!", "text same"], 1),
        (&["", "some words", "", "other things", "x"], 2),
        (&["only", "only only", "only only only"], 1),
    ];
    for (texts, rank) in cases {
        let words = fit(texts, 256);
        assert_eq!(words.width(), rank, "{texts:?}");
        for (row, text) in features(&words, texts).row_iter().zip(texts) {
            let length = if text.len() > 1 { 1.0 } else { 0.0 };
            assert!((row.norm() - length).abs() < 1e-6, "{text:?} of {texts:?}");
        }
    }
}

#[test]
fn words_of_any_script_are_found_and_hostile_texts_are_no_harm() {
    let long = "word ".repeat(100_000);
    let odd = [
        "ÉCOLE straße ΣΊΣΥΦΟΣ",
        "école STRASSE",
        "İstanbul",
        "日本語 の テキスト",
        "\u{0}\u{FFFF}\u{202E}\u{FEFF}",
        "é\u{301}\u{301} a\u{300}b",
        "٣٤ ½½",
        &long,
    ];
    let words = fit(&odd, 50);
    let x = features(&words, &odd);
    assert!(x.iter().all(|feature| feature.is_finite()));
    let lengths: Vec<bool> = x.row_iter().map(|row| row.norm() > 0.5).collect();
    assert_eq!(lengths, [true, true, true, true, false, false, true, true]);
    assert!(x.row(0).dot(&x.row(1)) > 0.1); // "école"
}

#[test]
fn features_are_the_same_for_any_number_of_threads() {
    let texts = sentences(300, 2);
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let features = pool.install(|| fit(&texts, 20).features(&texts));
        features.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let once = bits(1);
    assert!(once.iter().any(|&bits| bits != 0));
    assert!([1, 2, 5].into_iter().all(|threads| bits(threads) == once));
}

#[test]
fn options_and_texts_without_words_are_refused() {
    let fit = |texts: &[&str], options: TfIdfOptions| {
        TfIdf::fit(texts, &options, &mut ChaCha8Rng::seed_from_u64(0)).map(|_| ())
    };
    for texts in [&[][..], &[""], &["a b c", "!"]] {
        let error = fit(texts, TfIdfOptions::default());
        assert!(matches!(error, Err(Error::Shape { .. })), "{texts:?}");
    }
    for options in [
        TfIdfOptions { ngrams: 0, ..Default::default() },
        TfIdfOptions { bits: 0, ..Default::default() },
        TfIdfOptions { bits: 25, ..Default::default() },
        TfIdfOptions { width: 0, ..Default::default() },
    ] {
        assert!(
            matches!(fit(&["two words"], options), Err(Error::OutOfRange { .. })),
            "{options:?}"
        );
    }
    // One bucket for everything.
    let options = TfIdfOptions { bits: 1, width: usize::MAX, ..Default::default() };
    let words =
        TfIdf::fit(&["all the words", "in two"], &options, &mut ChaCha8Rng::seed_from_u64(0));
    assert!(words.unwrap().width() <= 2);
    assert_eq!(self::fit(&["a word"], 3).features(&[""; 0]), [0f32; 0]);
}
