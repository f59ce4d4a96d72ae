//! The command line: every command, every format, every kind of mistake.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use gleaner::Seeds;
use gleaner::choose::{Tasks, named};
use gleaner::data::Source;
use gleaner::data::table::{StoredTable, TableOptions, load, store};
use npyz::WriterBuilder;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Runs in `folder`; standard output, or standard error and the exit code.
fn gleaner(folder: &Path, arguments: &str) -> Result<String, (i32, String)> {
    let mut command = Command::cargo_bin("gleaner").unwrap();
    let output = command.current_dir(folder).args(arguments.split(' ')).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        code => Err((code.unwrap(), text(output.stderr))),
    }
}

/// Starts and is killed as soon as a file is there.
fn killed_at(folder: &Path, arguments: &str, file: &str) {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("gleaner"));
    let mut child = command.current_dir(folder).args(arguments.split(' ')).spawn().unwrap();
    let start = std::time::Instant::now();
    let there = || folder.join(file).exists();
    while !there() && start.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Three clusters of sixty points; every tenth label is wrong, `clean` is the right one; rows 0 and 1 are equal.
fn clusters(folder: &Path) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut text = String::from("key,x,y,colour,flat,kind,clean\n");
    for i in 0..180 {
        let (class, names) = (i % 3, ["ash", "elm", "oak"]);
        let label = names[if i % 10 == 9 { (class + 1) % 3 } else { class }];
        let near = |centre: f64, rng: &mut ChaCha8Rng| centre + rng.random_range(-1.0..1.0);
        let (x, y) = (near(4.0 * class as f64, &mut rng), near(-3.0 * class as f64, &mut rng));
        let colour = ["red", "blue"][i % 2];
        let clean = names[class];
        text += &format!("row-{i},{x:.4},{y:.4},{colour},1,{label},{clean}\n");
    }
    fs::write(folder.join("trees.csv"), text).unwrap();
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    clusters(folder.path());
    folder
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The named column of a CSV file.
fn column(path: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let at = lines.next().unwrap().iter().position(|column| column == name).unwrap();
    lines.map(|line| line[at].clone()).collect()
}

const TREES: &str = "trees.csv --label kind --id key --ignore clean";

#[test]
fn chosen_rows_are_right_labelled_and_the_same_every_time() {
    let folder = folder();
    let path = folder.path();
    let said =
        gleaner(path, &format!("select {TREES} --keep 10% --out kept.csv --nested 9,5%")).unwrap();
    assert!(said.starts_with("18 of 180 rows (10.0 %) by gleaner: kept.csv"), "{said}");
    let rows: Vec<usize> =
        column(&path.join("kept.csv"), "row").iter().map(|row| row.parse().unwrap()).collect();
    assert_eq!(rows.len(), 18);
    assert!(rows.iter().all(|row| row % 10 != 9), "wrong labels among {rows:?}");
    let ids = column(&path.join("kept.csv"), "id");
    assert!(ids.iter().zip(&rows).all(|(id, row)| *id == format!("row-{row}")));
    let inside = column(&path.join("kept.csv"), "in_9");
    assert_eq!(inside.iter().filter(|inside| *inside == "true").count(), 9);
    assert!(inside[..9].iter().all(|inside| inside == "true"));

    let report = json(&path.join("kept.json"));
    assert_eq!(report["kept"], 18);
    assert_eq!(report["method"], "gleaner");
    assert_eq!(report["input"]["rows"], 180);
    assert_eq!(report["input"]["features"], 5); // x, y, flat and two colours
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "asked certificate chosen_sha256 classes command gleaner input kept method out peak_memory_bytes seconds seed suspects tried weights";
    assert_eq!(keys.join(" "), expected);

    let hash = |flags: &str| {
        let flags = format!("--keep 10% --out again.parquet --json {flags}");
        let said = gleaner(path, &format!("select {TREES} {flags}")).unwrap();
        serde_json::from_str::<Value>(&said).unwrap()["chosen_sha256"].clone()
    };
    assert_eq!(hash("--threads 1"), report["chosen_sha256"]);
    assert_eq!(hash("--threads 2"), report["chosen_sha256"]);
    assert_ne!(hash("--method random"), hash("--method random --seed 1"));
}

#[test]
fn every_format_holds_the_same_rows() {
    let folder = folder();
    let path = folder.path();
    for name in ["kept.csv", "kept.npy", "kept.parquet"] {
        let flags = format!("--keep 12 --method k-center --weights --out {name}");
        gleaner(path, &format!("select {TREES} {flags}")).unwrap();
    }
    let rows = column(&path.join("kept.csv"), "row");
    let options = TableOptions {
        label: None,
        features: vec!["row".into(), "weight".into()],
        ..Default::default()
    };
    let table = load(path.join("kept.parquet"), &options).unwrap();
    let read = table.data.inputs().to_vec2::<f32>().unwrap();
    assert_eq!(read.iter().map(|row| row[0].to_string()).collect::<Vec<_>>(), rows);
    let total: f32 = read.iter().map(|row| row[1]).sum();
    assert!((total - 12.0).abs() < 1e-4); // weights sum to the number of rows
    let bytes = |name: &str| fs::read(path.join(name)).unwrap();
    let (rows_file, weights_file) = (bytes("kept.npy"), bytes("kept.weight.npy"));
    let array: Vec<i64> = npyz::NpyFile::new(&rows_file[..]).unwrap().into_vec().unwrap();
    assert_eq!(array.iter().map(i64::to_string).collect::<Vec<_>>(), rows);
    let weights = npyz::NpyFile::new(&weights_file[..]).unwrap().into_vec::<f64>();
    assert_eq!(weights.unwrap().len(), 12);
}

#[test]
fn arrays_and_features_alone_will_do() {
    let folder = folder();
    let path = folder.path();
    let mut bytes = Vec::new();
    {
        use npyz::WriterBuilder;
        let options = npyz::WriteOptions::new().default_dtype().shape(&[50, 2]);
        let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
        writer.extend((0..100).map(|k| (k % 7) as f32)).unwrap();
        writer.finish().unwrap();
    }
    fs::write(path.join("points.npy"), bytes).unwrap();
    let said = gleaner(path, "select points.npy --keep 5 --out kept.npy").unwrap();
    assert!(said.starts_with("5 of 50 rows (10.0 %) by facility-location"), "{said}");
    assert_eq!(
        gleaner(path, "info points.npy").unwrap().lines().next().unwrap(),
        "50 rows, 2 features from 1 columns, 0.0 MB in memory"
    );
}

/// A fifth of the labels wrong, and few rows kept: what looks at labels is surely better than random.
#[test]
fn the_certified_choice_says_what_it_gains() {
    let folder = folder();
    let path = folder.path();
    let flags = "--keep 10% --method auto --weights --out kept.csv";
    let said = gleaner(path, &format!("select {TREES} {flags}")).unwrap();
    assert!(said.contains("over random") || said.contains("no certified gain"), "{said}");
    let report = json(&path.join("kept.json"));
    assert!(said.contains(report["certificate"].as_str().unwrap()));
    assert!(said.contains(&format!("by {}: kept.csv", report["method"].as_str().unwrap())));
    assert!(!path.join("kept.run").exists());
    // Killed on the way, it goes on, and nothing is there before its end.
    let line = format!("select {TREES} --keep 10% --method auto --out again.csv");
    killed_at(path, &line, "again.run/configuration.json");
    assert!(!path.join("again.csv").exists());
    gleaner(path, &format!("{line} --resume")).unwrap();
    assert_eq!(json(&path.join("again.json"))["chosen_sha256"], report["chosen_sha256"]);
    // Nothing is left to go on with, here and where nothing ever is.
    for line in [line, format!("select {TREES} --keep 9 --out again.csv"), format!("info {TREES}")]
    {
        let refused = gleaner(path, &format!("{line} --resume"));
        assert!(
            refused.is_err_and(|(code, told)| code == 2 && told.contains("--resume")),
            "{line}"
        );
    }
    let weights = column(&path.join("kept.csv"), "weight");
    let total: f64 = weights.iter().map(|weight| weight.parse::<f64>().unwrap()).sum();
    assert!((total - 18.0).abs() < 1e-9);
}

/// What was found of the rows is there for the next try, is used, and is nobody else's.
#[test]
fn evidence_is_kept_until_all_is_written() {
    let folder = folder();
    let path = folder.path();
    let told = |line: &str| gleaner(path, line).unwrap_err();
    for command in ["audit TREES", "select TREES --keep 10%"] {
        let line = command.replace("TREES", TREES);
        gleaner(path, &format!("{line} --out whole.csv")).unwrap();
        let again = format!("{line} --out again.csv");
        let stage = path.join("again.evidence/out-of-fold.safetensors");
        assert_eq!(told(&format!("{again} --report trees.csv/r.json")).0, 1);
        let bytes = fs::read(&stage).unwrap();
        // Other labels are other evidence.
        let other = again
            .replace("--label kind", "--label colour")
            .replace("--ignore clean", "--ignore clean,kind");
        let (code, refused) = told(&format!("{other} --resume"));
        assert!(code == 2 && refused.contains("contents"), "{refused}");
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        for kept in [&bytes[..], &bytes[..bytes.len() / 2]] {
            fs::write(&stage, kept).unwrap();
            gleaner(path, &format!("{again} --resume")).unwrap();
            assert_eq!(read("again.csv"), read("whole.csv"), "{again}");
            assert!(!path.join("again.evidence").exists());
            told(&format!("{again} --report trees.csv/r.json"));
        }
        // States without a word of whose they are.
        fs::remove_file(path.join("again.evidence/configuration.json")).unwrap();
        assert!(told(&again).1.contains("again.evidence"), "{again}");
        fs::remove_dir_all(path.join("again.evidence")).unwrap();

        told(&format!("{again} --report trees.csv/r.json"));
        gleaner(path, &other).unwrap();
        gleaner(path, &other.replace("again.csv", "other.csv")).unwrap();
        assert_eq!(read("again.csv"), read("other.csv"), "{other}");
    }
    // The usual method keeps to quotas, and to each class its labels that are believed.
    for quota in ["equal", "class"] {
        let line = format!("select {TREES} --keep 10% --quota {quota} --out quota.csv");
        gleaner(path, &line).unwrap();
        let report = json(&path.join("quota.json"));
        let kept = |class: &Value| class["kept"].as_u64().unwrap();
        let classes = report["classes"].as_array().unwrap();
        assert_eq!(classes.iter().map(kept).collect::<Vec<_>>(), [6, 6, 6], "{quota}");
        let suspects: Vec<String> =
            report["suspects"]["rows"].as_array().unwrap().iter().map(Value::to_string).collect();
        assert!(column(&path.join("quota.csv"), "row").iter().all(|row| !suspects.contains(row)));
    }
    // A folder of somebody else's is not touched.
    fs::create_dir(path.join("theirs.evidence")).unwrap();
    fs::write(path.join("theirs.evidence/model.safetensors"), "weights").unwrap();
    let (code, refused) = told(&format!("audit {TREES} --out theirs.csv"));
    assert!(code == 2 && refused.contains("theirs.evidence"), "{refused}");
    assert!(
        path.join("theirs.evidence/model.safetensors").exists()
            && !path.join("theirs.csv").exists()
    );
    // The page of a choice shows the labels that look wrong; one that looks at no label knows of none.
    let suspects = &json(&path.join("whole.json"))["suspects"];
    let rows = suspects["rows"].as_array().unwrap();
    assert!((9..=30).contains(&rows.len()) && suspects["likely"][0].is_string(), "{suspects}");
    let page = fs::read_to_string(path.join("whole.html")).unwrap();
    assert!(page.contains("suspect labels") && page.contains("of them kept"));
    gleaner(path, &format!("select {TREES} --keep 9 --method k-center --out near.csv")).unwrap();
    assert!(json(&path.join("near.json"))["suspects"].is_null());
}

#[test]
fn several_files_are_one_table() {
    let folder = folder();
    let path = folder.path();
    let text = fs::read_to_string(path.join("trees.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (name, rows) in [("a.csv", &lines[1..101]), ("b.csv", &lines[101..])] {
        fs::write(path.join(name), format!("{}\n{}\n", lines[0], rows.join("\n"))).unwrap();
    }
    let flags = "--label kind --id key --ignore clean --keep 20 --method k-center --out kept.csv";
    gleaner(path, &format!("select trees.csv {flags}")).unwrap();
    let whole = column(&path.join("kept.csv"), "id");
    gleaner(path, &format!("select a.csv b.csv {flags}")).unwrap();
    assert_eq!(column(&path.join("kept.csv"), "id"), whole);
    let files = column(&path.join("kept.csv"), "file");
    let rows = column(&path.join("kept.csv"), "row");
    let flags = "--label kind --id key --ignore clean --by margin --out scores.csv";
    gleaner(path, &format!("score a.csv b.csv {flags}")).unwrap();
    assert_eq!(column(&path.join("scores.csv"), "file")[99..101], ["a.csv", "b.csv"]);
    for ((file, row), id) in files.iter().zip(&rows).zip(&whole) {
        let before = if file == "a.csv" { 0 } else { 100 };
        assert_eq!(format!("row-{}", before + row.parse::<usize>().unwrap()), *id);
    }
}

#[test]
fn an_audit_finds_what_is_wrong() {
    let folder = folder();
    let path = folder.path();
    let text = fs::read_to_string(path.join("trees.csv")).unwrap();
    let twin = text.lines().nth(4).unwrap().replace("row-3", "twin");
    fs::write(path.join("trees.csv"), format!("{text}{twin}\n")).unwrap();
    let said = gleaner(path, "audit trees.csv --label kind --id key --truth clean").unwrap();
    // The ranking is perfect; confident learning holds fewer to be wrong than are, and none that is not.
    assert!(said.contains("precision 1.000, recall 0."), "{said}");
    assert!(said.contains("average precision 1.000"), "{said}");
    assert!(said.contains("near duplicates: row-3 and twin"), "{said}");
    assert!(said.contains("1 constant features: flat"), "{said}");
    let table = path.join("audit.csv");
    let (ids, wrong) = (column(&table, "id"), column(&table, "wrong"));
    assert_eq!(ids.len(), 181);
    assert!(ids[..18].iter().all(|id| id.ends_with('9')), "{ids:?}");
    let held = wrong.iter().filter(|wrong| *wrong == "true").count();
    assert!((12..=18).contains(&held), "{held}");
    let likely = column(&table, "likely");
    let clean = |id: &str| ["ash", "elm", "oak"][id[4..].parse::<usize>().unwrap() % 3];
    assert!(ids[..18].iter().zip(&likely).all(|(id, likely)| clean(id) == likely));
    assert_eq!(json(&path.join("audit.json"))["truth"]["wrong"], 18);
}

#[test]
fn scores_are_a_number_a_row() {
    let folder = folder();
    let path = folder.path();
    gleaner(path, &format!("score {TREES} --by margin,el2n --out scores.csv")).unwrap();
    let scores = column(&path.join("scores.csv"), "el2n");
    let scores: Vec<f64> = scores.iter().map(|score| score.parse().unwrap()).collect();
    assert_eq!(scores.len(), 180);
    let mean = |wrong: bool| {
        let of = (0..180).filter(|i| (i % 10 == 9) == wrong).map(|i| scores[i]);
        of.clone().sum::<f64>() / of.count() as f64
    };
    assert!(mean(true) > 2.0 * mean(false));
    let said = gleaner(path, &format!("score {TREES} --out all.csv")).unwrap();
    assert!(said.contains("margin") && said.contains("largest-loss"), "{said}");
}

#[test]
fn groups_quotas_budgets_and_targets_are_heard() {
    let folder = folder();
    let path = folder.path();
    // Ten rows a group; rows of the last hundred cost three, the others one.
    let text = fs::read_to_string(path.join("trees.csv")).unwrap();
    let more = text.lines().enumerate().map(|(k, line)| match k {
        0 => format!("{line},plot,price"),
        k => format!("{line},plot-{},{}", (k - 1) / 10, if k > 80 { 3 } else { 1 }),
    });
    fs::write(path.join("plots.csv"), more.collect::<Vec<_>>().join("\n")).unwrap();
    let plots = "select plots.csv --label kind --ignore clean,key,price --group plot";
    gleaner(path, &format!("{plots} --keep 35 --out kept.csv")).unwrap();
    let rows = column(&path.join("kept.csv"), "row");
    let mut plots: Vec<usize> = rows.iter().map(|row| row.parse::<usize>().unwrap() / 10).collect();
    plots.sort();
    assert_eq!(plots.len(), 30);
    assert!(plots.chunks(10).all(|plot| plot.iter().all(|p| *p == plot[0])), "{plots:?}");
    let prices = "select plots.csv --label kind --ignore clean,key,plot --cost price --budget 12";
    gleaner(path, &format!("{prices} --keep 20 --method k-center --out kept.csv")).unwrap();
    let rows = column(&path.join("kept.csv"), "row");
    let price = |row: &String| if row.parse::<usize>().unwrap() >= 80 { 3 } else { 1 };
    let paid: usize = rows.iter().map(price).sum();
    assert!((10..=12).contains(&paid), "{paid}");
    let flags = "--keep 9 --quota equal --method random --out kept.csv";
    gleaner(path, &format!("select {TREES} {flags}")).unwrap();
    let labels = column(&path.join("kept.csv"), "label");
    for kind in ["ash", "elm", "oak"] {
        assert_eq!(labels.iter().filter(|label| *label == kind).count(), 3);
    }
    let text = fs::read_to_string(path.join("trees.csv")).unwrap();
    let oaks = text.lines().filter(|line| line.ends_with("oak,oak") || line.starts_with("key"));
    fs::write(path.join("oaks.csv"), oaks.collect::<Vec<_>>().join("\n")).unwrap();
    let flags = "--keep 8 --method towards-target --target-set oaks.csv --out kept.csv";
    gleaner(path, &format!("select {TREES} {flags}")).unwrap();
    let rows = column(&path.join("kept.csv"), "row");
    assert!(rows.iter().all(|row| row.parse::<usize>().unwrap() % 3 == 2), "{rows:?}");
}

/// One line that says what to do, exit code 2, and nothing written.
#[test]
fn mistakes_are_told_at_the_door() {
    let folder = folder();
    let path = folder.path();
    for (arguments, expected) in [
        ("select trees.csv --label kine --keep 5 --out x.csv", "did you mean \"kind\"?"),
        (
            "select trees.csv --label kind --keep 5 --method k-centre --out x.csv",
            "did you mean \"k-center\"?",
        ),
        ("select trees.csv --label kind --keep 500 --out x.csv", "at most the 180 rows"),
        ("select trees.csv --label kind --keep 5 --nested 6 --out x.csv", "at most the 5 rows"),
        ("select trees.csv --label kind --keep 5 --out x.txt", ".csv, .npy or .parquet"),
        ("select trees.csv --keep 5 --method entropy --out x.csv", "--label for this method"),
        (
            "select trees.csv --label kind --keep 5 --method towards-target --out x.csv",
            "--target-set for",
        ),
        (
            "select trees.csv --label kind --keep 5 --method forgetting --out x.csv",
            "a network must be trained",
        ),
        (
            "select trees.csv --label kind --ignore colr --keep 5 --out x.csv",
            "did you mean \"colour\"?",
        ),
        ("select trees.csv --label kind --keep 0% --out x.csv", "expected a share as 10%"),
        ("select trees.csv --label kind --keep 101% --out x.csv", "expected a share as 10%"),
        ("select trees.csv --label kind --keep some --out x.csv", "expected a share as 10%"),
        ("select trees.csv --label key --keep 5 --out x.csv", "180 classes of 180 rows"),
        ("audit trees.csv", "--label and the column of the labels"),
        ("score trees.csv --label kind --by k-center --out x.csv", "one that ranks rows"),
        ("compare trees.csv --label kind --keep 5 --out x", "shares as 10%"),
        (
            "select trees.csv --label kind --keep 5 --method auto --quota equal --out x.csv",
            "but auto",
        ),
        (
            "select trees.csv --label kind --keep 5 --target-set trees.csv --out x.csv",
            "towards-target",
        ),
        ("select trees.csv --label kind --keep 5 --cost x --out x.csv", "--budget"),
        ("info trees.xlsx", "gleaner:"),
        ("selekt trees.csv", "select"),
    ] {
        let (code, said) = gleaner(path, arguments).unwrap_err();
        assert!(said.contains(expected), "{arguments}: {said}");
        let missing = arguments.contains(".xlsx");
        assert_eq!(code, if missing { 1 } else { 2 }, "{arguments}: {said}");
    }
    let names = fs::read_dir(path).unwrap().count();
    assert_eq!(names, 1, "something was written");
}

#[test]
fn a_comparison_says_who_beats_random() {
    let folder = folder();
    let path = folder.path();
    let flags = "--keep 10% --seeds 2 --steps 30 --out compared";
    let said = gleaner(path, &format!("compare {TREES} {flags}")).unwrap();
    assert!(
        said.contains("random") && said.contains("auto") && said.contains("full data"),
        "{said}"
    );
    let ways = column(&path.join("compared/summary.csv"), "way");
    assert!(ways.iter().filter(|way| *way == "auto").count() == 2, "{ways:?}");
    assert!(path.join("compared/trees.svg").exists());
    assert_eq!(json(&path.join("compared/report.json"))["test_rows"], 36);
}

/// The same command again finds everything done and writes the same tables.
#[test]
fn folds_test_every_row_and_chance_is_measured() {
    let folder = folder();
    let path = folder.path();
    let flags = "--keep 20% --folds 3 --seeds 1 --steps 20 --out folds";
    gleaner(path, &format!("compare {TREES} {flags}")).unwrap();
    let table = path.join("folds/summary.csv");
    let (ways, seeds) = (column(&table, "way"), column(&table, "seed"));
    let of_random = ways.iter().zip(&seeds).filter(|(way, _)| *way == "random");
    assert_eq!(of_random.map(|(_, seed)| seed.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(json(&path.join("folds/report.json"))["test_rows"], 60);

    let flags = "--study reproducibility --keep 20% --steps 60 --noise 10% --out chance";
    let said = gleaner(path, &format!("compare {TREES} {flags}")).unwrap();
    assert!(said.contains("rows in another order"), "{said}");
    let table = path.join("chance/reproducibility.csv");
    let (changes, same) = (column(&table, "change"), column(&table, "same_bits"));
    assert_eq!(changes.len(), 2 * 14);
    for (change, same) in changes.iter().zip(&same) {
        match change.as_str() {
            "first run" | "same seed again" | "2 threads" => assert_eq!(same, "true", "{change}"),
            _ => assert_eq!(same, "false", "{change}"),
        }
    }
    assert!(path.join("chance/reproducibility.svg").exists());
    let (code, said) =
        gleaner(path, &format!("compare {TREES} --study reproducibility --out x")).unwrap_err();
    assert!(code == 2 && said.contains("one share"), "{said}");
}

#[test]
fn the_demo_needs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let said = gleaner(path, "demo --quick --seeds 1 --out demo").unwrap();
    assert!(said.contains("gleaner (unary)") && said.contains("fresh-random"), "{said}");
    assert!(path.join("demo/accuracy.svg").exists());
    let table = fs::read(path.join("demo/summary.csv")).unwrap();
    gleaner(path, "demo --quick --seeds 1 --out demo").unwrap();
    assert_eq!(fs::read(path.join("demo/summary.csv")).unwrap(), table);
}

/// What programs read: names of what a report holds, command by command, in their order.
#[test]
fn reports_keep_their_form() {
    let folder = folder();
    let path = folder.path();
    let always = ["asked", "command", "gleaner", "peak_memory_bytes", "seconds", "seed"];
    for (command, own) in [
        ("info TREES", "classes columns feature_bytes feature_names input work"),
        (
            "select TREES --keep 9 --out x.csv",
            "certificate chosen_sha256 classes input kept method out suspects tried weights",
        ),
        (
            "audit TREES --out x.csv",
            "constant_features duplicates estimated_noise input neighbours_found out outliers suspects truth",
        ),
        (
            "select trees.csv --features x,y --keep 9 --method random --task 1/1 --out t.csv",
            "parts task tasks",
        ),
        ("merge t.parts", "chosen_sha256 classes input kept method out tasks told"),
        ("score TREES --by margin --out x.csv", "by input out"),
        (
            "train TREES --steps 4 --warm-up 2 --batch 9 --out x",
            "accuracy input out steps trained_rows validation_rows",
        ),
        (
            "buy trees.csv --classes a,b --ignore kind,clean,key --initial 9 --rounds 0 --out y",
            "input out wanted",
        ),
        (
            "compare TREES --keep 20% --steps 9 --seeds 1 --out z",
            "accuracies certificates drawn folds input interval keep noise out rows seeds set test_rows",
        ),
        (
            "compare TREES --keep 20% --steps 9 --study reproducibility --out w",
            "input keep noise out repeats rows set study test_rows",
        ),
        ("demo --quick --seeds 1 --out v", "accuracies interval out seeds study"),
    ] {
        let said = gleaner(path, &format!("{} --json", command.replace("TREES", TREES))).unwrap();
        let report: Value = serde_json::from_str(&said).unwrap();
        let found: BTreeSet<&str> =
            report.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: BTreeSet<&str> = own.split(' ').chain(always).collect();
        assert_eq!(found, expected, "{command}");
        let files = report["input"]["files"].as_array();
        assert!(files.is_none_or(|files| files[0]["sha256"].as_str().unwrap().len() == 64));
    }
}

/// What a report says was asked, and what a file says, are the same as flags.
#[test]
fn what_was_asked_once_is_asked_again() {
    let folder = folder();
    let path = folder.path();
    let flags = "--keep 12 --method k-center --seed 3 --nested 4,6 --out kept.csv";
    gleaner(path, &format!("select {TREES} {flags}")).unwrap();
    let first = json(&path.join("kept.json"));
    let hash = |said: &str| serde_json::from_str::<Value>(said).unwrap()["chosen_sha256"].clone();
    assert_eq!(first["asked"]["command"], "select");
    assert_eq!(first["asked"]["nested"], serde_json::json!(["4", "6"]));
    let again = gleaner(path, "--config kept.json --out again.csv --json").unwrap();
    assert_eq!(hash(&again), first["chosen_sha256"]);
    assert!(column(&path.join("again.csv"), "in_6").contains(&"false".to_owned()));

    let asked = "command = \"select\"\ndata = [\"trees.csv\"]\nlabel = \"kind\"\nid = \"key\"\n\
                 ignore = [\"clean\"]\nkeep = 12\nmethod = \"k-center\"\nseed = 3\nweights = false\n";
    fs::write(path.join("run.toml"), asked).unwrap();
    let again = gleaner(path, "select --config=run.toml --out=again.csv --json").unwrap();
    assert_eq!(hash(&again), first["chosen_sha256"]);
    // Flags have the last word.
    gleaner(path, "select --config run.toml --keep 5 --method random --out few.npy").unwrap();
    let few = json(&path.join("few.json"));
    assert_eq!((&few["kept"], &few["method"]), (&5.into(), &"random".into()));

    fs::write(path.join("typo.toml"), asked.replace("method", "methud")).unwrap();
    fs::write(path.join("torn.toml"), "keep = [").unwrap();
    for (arguments, expected, code) in [
        ("audit --config run.toml", "a configuration of audit, found one of select", 2),
        ("select --config typo.toml --out x.csv", "--method", 2),
        ("select --config torn.toml --out x.csv", "a configuration in TOML", 2),
        ("select --config none.toml --out x.csv", "none.toml", 1),
    ] {
        let (found, said) = gleaner(path, arguments).unwrap_err();
        assert!(said.contains(expected) && found == code, "{arguments}: {found} {said}");
    }
}

#[test]
fn what_takes_more_memory_than_allowed_is_refused_unread() {
    let folder = folder();
    let path = folder.path();
    let flags = "--keep 9 --out kept.csv";
    // The last line cannot be read: nobody gets that far.
    let text = fs::read_to_string(path.join("trees.csv")).unwrap();
    fs::write(path.join("trees.csv"), text + "\"torn").unwrap();
    let limited =
        |limit: &str| gleaner(path, &format!("select {TREES} {flags} --memory-limit {limit}"));
    let (code, said) = limited("1MB").unwrap_err();
    assert!(code == 2 && said.contains("for 181 rows of 5 features, found 1.0 MB"), "{said}");
    let (code, said) = limited("8GB").unwrap_err();
    assert!(code == 2 && said.contains("whole quotes"), "{said}");
    assert!(limited("8").unwrap_err().1.contains("500MB"));
}

#[test]
fn patterns_texts_and_pictures_are_read() {
    let folder = folder();
    let path = folder.path();
    let text = fs::read_to_string(path.join("trees.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (name, rows) in [("part-1.csv", &lines[1..101]), ("part-2.csv", &lines[101..])] {
        fs::write(path.join(name), format!("{}\n{}\n", lines[0], rows.join("\n"))).unwrap();
    }
    let said = gleaner(path, "info part-*.csv --label kind --ignore clean,key --json").unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["input"]["files"].as_array().unwrap().len(), 2);
    assert_eq!(said["input"]["rows"], 180);
    let (code, said) = gleaner(path, "info none-*.csv").unwrap_err();
    assert!(code == 2 && said.contains("files match"), "{said}");

    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut text = String::from("kind,said\n");
    let mut numbered = String::new();
    for i in 0..90 {
        let of = [["wet", "rain", "cloud"], ["dry", "sun", "sand"]][i % 2];
        let words: Vec<&str> = (0..6).map(|_| of[rng.random_range(0..3)]).collect();
        let label = if i % 15 == 14 { 1 - i % 2 } else { i % 2 };
        text += &format!("{},\"{}\"\n", ["bad", "good"][label], words.join(" "));
        numbered += &format!("{},\"{}\"\n", label + 1, words.join(" "));
    }
    fs::write(path.join("weather.csv"), text).unwrap();
    fs::write(path.join("numbered.csv"), numbered).unwrap();
    for flags in ["weather.csv --label kind --text said", "numbered.csv --numbered-texts"] {
        gleaner(path, &format!("audit {flags} --out told.csv")).unwrap();
        let rows = column(&path.join("told.csv"), "row");
        let wrong = rows[..6].iter().filter(|row| row.parse::<usize>().unwrap() % 15 == 14).count();
        assert!(wrong >= 5, "{flags}: {rows:?}");
        let page = fs::read_to_string(path.join("told.html")).unwrap();
        assert!(page.contains(">Suspects<") && page.contains("rain"), "{flags}");
    }

    for (class, colour) in [("day", [250u8, 250, 200]), ("night", [10, 10, 60])] {
        fs::create_dir_all(path.join("sky").join(class)).unwrap();
        for k in 0..12 {
            let mut shade = |at: usize| colour[at] ^ rng.random_range(0..8u8);
            let pixel = image::Rgb([shade(0), shade(1), shade(2)]);
            let mut picture = image::RgbImage::from_pixel(12, 12, pixel);
            picture.put_pixel(k % 12, 3, image::Rgb([128, 128, 128]));
            picture.save(path.join("sky").join(class).join(format!("{k}.png"))).unwrap();
        }
    }
    let said =
        gleaner(path, "select sky --size 8 --keep 4 --method random --quota equal --out sky.csv")
            .unwrap();
    assert!(said.starts_with("4 of 24 rows"), "{said}");
    let page = fs::read_to_string(path.join("sky.html")).unwrap();
    assert!(page.contains("data:image/jpeg;base64") && page.contains("Not kept, some of them"));
    for flags in [
        "sky --label kind",
        "sky --letters said",
        "sky --id key",
        "weather.csv --label kind --text said --decimal-comma",
    ] {
        let line = format!("select {flags} --keep 4 --out x.csv");
        let (code, said) = gleaner(path, &line).unwrap_err();
        assert!(code == 2 && said.contains("for tables only"), "{flags}: {said}");
    }
    let (ids, labels) =
        (column(&path.join("sky.csv"), "id"), column(&path.join("sky.csv"), "label"));
    assert!(ids.iter().zip(&labels).all(|(id, label)| id.starts_with(&format!("sky/{label}/"))));
}

/// Network and selection model are saved; a run that was killed ends as one that was not.
#[test]
fn joint_training_goes_on_where_it_was_killed() {
    let folder = folder();
    let path = folder.path();
    let flags = "--validation 20% --batch 24 --warm-up 100 --hidden 8";
    gleaner(path, &format!("train {TREES} {flags} --steps 260 --test trees.csv --out whole"))
        .unwrap();
    let report = json(&path.join("whole/report.json"));
    assert_eq!((&report["trained_rows"], &report["validation_rows"]), (&144.into(), &36.into()));
    assert!(report["accuracy"]["joint"]["test"].as_f64().unwrap() > 0.7, "{report}");
    assert!(report["accuracy"]["all rows alike"]["validation"].as_f64().unwrap() > 0.6);
    let suspicion = column(&path.join("whole/weights.csv"), "suspicion");
    assert_eq!(suspicion.len(), 144);
    let network = gleaner::learn::Checkpoint::load(path.join("whole/learner.safetensors")).unwrap();
    assert_eq!(network.tensor("features/mean").unwrap().dims(), [5]);
    assert!(network.note::<String>("classes").unwrap().contains("oak"));

    let line = format!("train {TREES} {flags} --steps 260 --test trees.csv --out killed");
    killed_at(path, &line, "killed/run/training.safetensors");
    gleaner(path, &line).unwrap();
    for file in ["weights.csv", "learner.safetensors", "trainer.safetensors"] {
        let read = |run: &str| fs::read(path.join(run).join(file)).unwrap();
        assert!(read("whole") == read("killed"), "{file}");
    }
    gleaner(path, &format!("select {TREES} --keep 30 --out kept.csv")).unwrap();
    let few = "--steps 40 --warm-up 20 --batch 10 --rows kept.csv --out few";
    gleaner(path, &format!("train {TREES} {few}")).unwrap();
    let report = json(&path.join("few/report.json"));
    assert_eq!((&report["trained_rows"], &report["validation_rows"]), (&30.into(), &18.into()));
    fs::write(path.join("kept.csv"), "row\n3\n180\n").unwrap();
    let (code, said) = gleaner(path, &format!("train {TREES} {few}0")).unwrap_err();
    assert!(code == 2 && said.contains("row 180"), "{said}");

    let other = line.replace("--hidden 8", "--hidden 9");
    let (code, said) = gleaner(path, &other).unwrap_err();
    assert!(code == 2 && said.contains("hidden = [8]") && said.contains("hidden = [9]"), "{said}");
}

/// Fills what is asked for from the column `clean`, until nothing more is.
#[test]
fn labels_are_bought_in_rounds() {
    let folder = folder();
    let path = folder.path();
    let clean = column(&path.join("trees.csv"), "clean");
    let pool = "buy trees.csv --id key --ignore kind,clean --classes oak,ash,elm --initial 12 --round 6 --rounds 2";
    let line = format!("{pool} --steps 40 --test trees.csv --test-label clean --out labels");
    for (round, rows) in [12, 6, 6].into_iter().enumerate() {
        let said = gleaner(path, &line).unwrap();
        assert!(said.starts_with(&format!("{rows} labels wanted")), "{said}");
        let file = path.join(format!("labels/ask-{round}.csv"));
        let text = fs::read_to_string(&file).unwrap();
        let answered = |line: &str| {
            let row: usize = line.split(',').next().unwrap().parse().unwrap();
            format!("{line}{}\n", clean[row])
        };
        let lines: Vec<&str> = text.lines().collect();
        let answers: String = lines[1..].iter().map(|line| answered(line)).collect();
        // A file half filled and a name that is none are told; nothing is lost.
        let half = format!(
            "{}\n{}{}\n",
            lines[0],
            answers.split_once('\n').unwrap().0,
            "\n".to_owned() + &lines[2..].join("\n")
        );
        fs::write(&file, half).unwrap();
        assert!(gleaner(path, &line).unwrap().contains(&format!("{} of {rows} labels", rows - 1)));
        fs::write(&file, format!("{}\n{}", lines[0], answers.replacen('\n', "h\n", 1))).unwrap();
        let (code, said) = gleaner(path, &line).unwrap_err();
        assert!(code == 2 && said.contains("did you mean"), "{said}");
        fs::write(&file, format!("{}\n{answers}", lines[0])).unwrap();
    }
    let said = gleaner(path, &line).unwrap();
    assert!(said.starts_with("24 labels bought by margin"), "{said}");
    let rows = column(&path.join("labels/bought.csv"), "row");
    let labels = column(&path.join("labels/bought.csv"), "label");
    assert!(rows.iter().zip(&labels).all(|(row, l)| clean[row.parse::<usize>().unwrap()] == *l));
    let report = json(&path.join("labels/report.json"));
    assert_eq!(report["rounds"].as_array().unwrap().len(), 3);
    assert!(report["rounds"][2]["accuracy"].as_f64().unwrap() > 0.8, "{report}");
    // All is answered: the same again at once.
    assert_eq!(gleaner(path, &line).unwrap(), said);
}

/// Everything that the README tells to type works as it stands there.
#[test]
fn the_readmes_commands_run() {
    let folder = folder();
    let path = folder.path();
    let text = fs::read_to_string(path.join("trees.csv")).unwrap().replace("kind,", "species,");
    fs::write(path.join("train.csv"), text).unwrap();
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let commands = readme.lines().filter_map(|line| line.strip_prefix("gleaner "));
    let commands: Vec<&str> = commands.filter(|command| !command.starts_with('=')).collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        gleaner(path, command).unwrap();
    }
}

#[test]
fn help_completions_and_manual_are_there() {
    let folder = folder();
    let path = folder.path();
    let help = gleaner(path, "--help").unwrap();
    for command in ["select", "audit", "score", "train", "buy", "info", "completions", "man"] {
        assert!(help.contains(command));
    }
    assert!(gleaner(path, "select --help").unwrap().contains("gleaner select train.csv"));
    assert!(gleaner(path, "completions bash").unwrap().contains("_gleaner"));
    assert!(gleaner(path, "man").unwrap().contains(".TH gleaner"));
    assert!(gleaner(path, "info trees.csv --label kind --quiet").unwrap().is_empty());
}

/// The same page from what a run left as the run wrote itself; without the data, one that says so.
#[test]
fn a_page_is_made_again_from_what_a_run_left() {
    let folder = folder();
    let path = folder.path();
    let page = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    let ids = format!("{TREES} --weights --keep 10%");
    for (command, report, name) in [
        (format!("select {ids} --out kept.csv"), "kept.json", "kept.html"),
        (format!("select {ids} --out kept.parquet --report p.json"), "p.json", "p.html"),
        ("audit trees.csv --label kind --id key --truth clean".into(), "audit.json", "audit.html"),
        ("demo --quick --seeds 1 --out demo".into(), "demo", "demo/report.html"),
    ] {
        let said = gleaner(path, &command).unwrap();
        assert!(said.contains(&format!("page: {name}")), "{said}");
        let first = page(name);
        gleaner(path, &format!("report {report} --page again/{name}")).unwrap();
        assert_eq!(page(&format!("again/{name}")), first, "{command}");
    }
    let text = page("kept.html");
    assert!(text.contains("18 of 180 rows kept") && text.contains("class=\"map\""));
    assert!(text.contains("select trees.csv --id=key"));
    assert!(page("audit.html").contains("Label issues"));

    fs::write(path.join("trees.csv"), "key,x,kind\na,1,elm\n").unwrap();
    gleaner(path, "report kept.json --page later.html").unwrap();
    let later = page("later.html");
    assert!(later.contains("there is no map") && !later.contains("class=\"map\""));
    assert!(later.contains("Rows kept") && later.contains("18 of 180 rows kept"));

    for (arguments, expected) in
        [("report again", "found none"), ("report trees.csv", "one report of select")]
    {
        let (code, said) = gleaner(path, arguments).unwrap_err();
        assert!(code == 2 && said.contains(expected), "{arguments}: {said}");
    }
    let (code, said) = gleaner(path, "report .").unwrap_err();
    assert!(code == 2 && said.contains("name one"), "{said}");
}

#[test]
fn a_page_can_be_left_out() {
    let folder = folder();
    let path = folder.path();
    let flags = "--keep 9 --method random --out kept.csv";
    gleaner(path, &format!("select {TREES} {flags} --no-page")).unwrap();
    assert!(!path.join("kept.html").exists());
    gleaner(path, &format!("select {TREES} {flags} --page seen/here.html")).unwrap();
    assert!(path.join("seen/here.html").exists() && !path.join("kept.html").exists());
}

/// So many rows that features stay on disk: the same answer for any number of threads, within the memory that was said.
/// Five files of unequal length in three tasks: what the library chooses of the same rows in one process, in any order, with a
/// task that is killed and one that is there twice.
#[test]
fn tasks_make_one_choice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for (file, rows) in [300, 20, 410, 7, 90].into_iter().enumerate() {
        let line = |row: usize, rng: &mut ChaCha8Rng| {
            let class = rng.random_range(0..3);
            let near = |k: usize| (class * k) as f64 + rng.random::<f64>();
            let cells = [1, 2].map(near).map(|x| format!("{x:.4}")).join(",");
            format!("{file}-{row},{cells},{}\n", ["ash", "elm", "oak"][class])
        };
        let lines: String = (0..rows).map(|row| line(row, &mut rng)).collect();
        fs::write(path.join(format!("part-{file}.csv")), format!("key,x,y,kind\n{lines}")).unwrap();
    }
    let files = |task: usize| {
        &["part-0.csv", "part-1.csv", "part-2.csv", "part-3.csv", "part-4.csv"]
            [5 * task / 3..5 * (task + 1) / 3]
    };
    let options =
        TableOptions { label: Some("kind".into()), id: Some("key".into()), ..Default::default() };
    let tables: Vec<StoredTable> = (0..3)
        .map(|task| {
            let mut stored =
                files(task).iter().map(|name| store(path.join(name), &options, path).unwrap());
            let mut first = stored.next().unwrap();
            stored.for_each(|table| first.append(table).unwrap());
            first
        })
        .collect();
    let keys: Vec<&String> = tables.iter().flat_map(|table| table.ids.as_ref().unwrap()).collect();
    let sources: Vec<&dyn Source> = tables.iter().map(|table| table as &dyn Source).collect();
    for (method, rounds) in
        [("random", 1), ("k-center", 1), ("convex", 2), ("facility-location", 1)]
    {
        let words = format!(
            "select part-*.csv --label kind --id key --keep 99 --method {method} --seed 4 --out {method}.csv"
        );
        let task = |k: usize| gleaner(path, &format!("{words} --task {k}/3"));
        let mut ran = 0;
        let merged = loop {
            for k in [3, 1, 2, 1] {
                let said = task(k).unwrap();
                assert!(said.contains("done already") || said.contains("candidates of"), "{said}");
            }
            ran += 1;
            match gleaner(path, &format!("merge {method}.parts --nested 5% --json")) {
                Ok(said) => break said,
                Err((3, _)) => assert!(ran < 8, "{method} goes on and on"),
                Err(other) => panic!("{method}: {other:?}"),
            }
        };
        assert!(ran >= rounds, "{method} took {ran} rounds");
        let chosen = Tasks::new(named(method).unwrap().as_streaming().unwrap(), 3)
            .and_then(|tasks| tasks.choose(&sources, 99, Seeds::new(4)))
            .unwrap();
        let expected: Vec<&String> = chosen.indices.iter().map(|i| keys[*i]).collect();
        let out = path.join(format!("{method}.csv"));
        assert!(column(&out, "id").iter().eq(expected), "{method}: not what one process chooses");
        let (ids, files, rows) = (column(&out, "id"), column(&out, "file"), column(&out, "row"));
        for ((id, file), row) in ids.iter().zip(files).zip(rows) {
            assert_eq!(*id, format!("{}-{row}", &file[5..6]));
        }
        assert_eq!(column(&out, "in_5%").iter().filter(|inside| *inside == "true").count(), 41);
        let report: Value = serde_json::from_str(&merged).unwrap();
        assert_eq!((&report["kept"], &report["input"]["rows"]), (&99.into(), &827.into()));
        let again = gleaner(path, &format!("--config {method}.json --json")).unwrap();
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["chosen_sha256"], report["chosen_sha256"]);
        let classes = report["classes"].as_array().unwrap();
        let sum = |name: &str| classes.iter().map(|c| c[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("rows"), sum("kept"), classes.len()), (827, 99, 3));
        assert!(
            fs::read_to_string(out.with_extension("html")).unwrap().contains("99 of 827 rows kept")
        );
        // Of one task what is left is damaged: it is not taken for whole, and made again.
        let part = path.join(format!("{method}.parts/task-2-of-3/part.safetensors"));
        let whole = fs::read(&part).unwrap();
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        for damaged in [&whole[..whole.len() / 2], &changed] {
            fs::write(&part, damaged).unwrap();
            let refused = gleaner(path, &format!("merge {method}.parts"));
            assert!(
                refused.is_err_and(|(code, told)| code == 2 && told.contains("part.safetensors"))
            );
            assert!(
                task(2).is_err_and(|(code, told)| code == 2 && told.contains("part.safetensors"))
            );
        }
        fs::remove_file(&part).unwrap();
        let missing = gleaner(path, &format!("merge {method}.parts"));
        assert!(missing.is_err_and(|(code, _)| code == 3));
        task(2).unwrap();
        assert_eq!(fs::read(&part).unwrap(), whole);
    }
    let words =
        "select part-*.csv --label kind --id key --keep 99 --method random --out random.csv";
    for (words, expected) in [
        // Another seed, another number of tasks, other data.
        (format!("{words} --seed 5 --task 1/3"), "seed"),
        (format!("{words} --seed 4 --task 1/2"), ""),
        (format!("{words} --task 1/6"), "6 or more"),
        (format!("{words} --task 0/3"), "0/3"),
        (format!("{words} --task 4/3"), "4/3"),
        (format!("{words} --task 1/3 --quota class"), "--quota"),
        ("select part-*.csv --keep 9 --method herding --task 1/3 --out h.csv".into(), "k-center"),
        ("merge trees.parts".into(), "trees.parts"),
    ] {
        match gleaner(path, &words) {
            // Two numbers of tasks in one folder are told apart when they are merged.
            Ok(_) => {
                let both = gleaner(path, "merge random.parts");
                assert!(
                    both.is_err_and(|(code, told)| code == 2 && told.contains("{2, 3}")),
                    "{words}"
                );
            }
            Err((code, told)) => assert!(code < 3 && told.contains(expected), "{words}: {told}"),
        }
    }
}

#[test]
fn large_tables_stay_on_disk() {
    const ROWS: usize = 100_001;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let number = |k: usize| ((k * 7_919 % 100_003) as f32 / 1e3).sin() * (1 + k % 5) as f32;
    let write = |name: &str, shape: &[u64], values: Vec<f32>| {
        let mut file = std::fs::File::create(path.join(name)).unwrap();
        let options = npyz::WriteOptions::new().default_dtype().shape(shape);
        let mut writer = options.writer(&mut file).begin_nd().unwrap();
        writer.extend(values).unwrap();
        writer.finish().unwrap();
    };
    write("x.npy", &[ROWS as u64, 2], (0..2 * ROWS).map(number).collect());
    write("y.npy", &[ROWS as u64], (0..ROWS).map(|row| (row % 3) as f32).collect());
    for method in ["k-center", "convex", "random", "facility-location"] {
        let chosen = |threads: usize, form: &str| {
            let words = format!(
                "select x.npy --label y --keep 500 --method {method} --nested 10 --threads {threads} --memory-limit 60MB \
                 --out {method}{threads}.{form} --no-page --json"
            );
            let report: Value = serde_json::from_str(&gleaner(path, &words).unwrap()).unwrap();
            assert_eq!(
                (&report["kept"], &report["input"]["stored"]),
                (&Value::from(500), &Value::from(true))
            );
            assert!(report["peak_memory_bytes"].as_f64().unwrap() < 60e6, "{report}");
            report["chosen_sha256"].clone()
        };
        assert_eq!(chosen(1, "csv"), chosen(2, "npy"), "{method}");
        let written = std::fs::read_to_string(path.join(format!("{method}1.csv"))).unwrap();
        let mut lines = written.lines();
        assert!(lines.next().unwrap().starts_with("row,label"));
        for line in lines {
            let mut cells = line.split(',');
            let row: usize = cells.next().unwrap().parse().unwrap();
            assert_eq!(cells.next().unwrap(), (row % 3).to_string());
        }
    }
    let audited = |threads: usize| {
        let words = format!(
            "audit x.npy --label y --truth y --threads {threads} --memory-limit 200MB --out k-center-{threads}.csv --json"
        );
        let report: Value = serde_json::from_str(&gleaner(path, &words).unwrap()).unwrap();
        assert!(report["peak_memory_bytes"].as_f64().unwrap() < 200e6, "{report}");
        assert!(report["neighbours_found"].as_f64().unwrap() > 0.9, "{report}");
        let page = std::fs::read_to_string(path.join(format!("k-center-{threads}.html"))).unwrap();
        assert!(page.contains("of the nearest neighbours were found"));
        std::fs::read(path.join(format!("k-center-{threads}.csv"))).unwrap()
    };
    assert!(audited(1) == audited(2), "an audit depends on threads");
    // Text becomes numbers in memory only; where it is met late, nothing is taken for malformed and left out.
    for (name, at) in [("text.csv", 0), ("late.csv", ROWS + 19_999)] {
        let kind = |row: usize| if row >= at { "late".to_owned() } else { (row % 7).to_string() };
        let rows: String =
            (0..ROWS + 20_000).map(|row| format!("{},{}\n", number(row), kind(row))).collect();
        std::fs::write(path.join(name), format!("x,kind\n{rows}")).unwrap();
    }
    let of = |name: &str| {
        let words = "--keep 5 --method random --skip-malformed --out random.csv --no-page";
        gleaner(path, &format!("select {name} {words}"))
    };
    assert!(of("text.csv").unwrap().contains("5 of 120001 rows"));
    assert!(of("late.csv").is_err_and(|(code, told)| code == 2 && told.contains("text among")));
    let refused =
        gleaner(path, "select x.npy --keep 5 --method k-center --memory-limit 5MB --out k.csv");
    assert!(refused.is_err_and(|(code, told)| code == 2 && told.contains("--memory-limit")));
    // Nothing is left but what was asked for: scratch files have no names.
    let made = ["k-center", "convex", "random", "facility-location"];
    let known = ["x.npy", "y.npy", "text.csv", "late.csv"].into_iter().chain(made);
    for entry in std::fs::read_dir(path).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let asked = known.clone().any(|start| name.starts_with(start));
        assert!(asked && !name.ends_with(".partial"), "{name}");
    }
}
