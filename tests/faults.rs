//! What goes wrong around a run: it is killed, the disk is full, the folder is none to write in, its state is damaged,
//! another process has it, the clock is off. Nothing is lost, and nothing wrong is taken for right.
//!
//! `GLEANER_KILLS=50` kills every command fifty times.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Commands that go on where they were, and those that begin anew; each leaves its files under `out`.
const COMMANDS: [&str; 7] = [
    "select t.csv --label kind --keep 10% --method auto --out out/kept.csv",
    "select t.csv --label kind --keep 10% --out out/kept.parquet",
    "audit t.csv --label kind --out out/audit.npy",
    "train t.csv --label kind --validation 20% --batch 24 --warm-up 60 --hidden 8 --steps 160 --out out",
    "compare t.csv --label kind --keep 10% --seeds 2 --steps 30 --out out",
    "buy t.csv --ignore kind --classes oak,ash,elm --initial 12 --round 6 --rounds 1 --steps 40 --test t.csv \
     --test-label kind --out out",
    "select t.csv --label kind --keep 10% --method convex --task 1/1 --out out/kept.npy",
];

/// Three clusters of eighty points, every tenth label wrong.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut text = String::from("x,y,kind\n");
    for i in 0..240 {
        let class = if i % 10 == 9 { i + 1 } else { i } % 3;
        let near = |centre: i32, rng: &mut ChaCha8Rng| f64::from(centre) + rng.random::<f64>();
        let (x, y) = (near(2 * (i % 3), &mut rng), near(i % 3, &mut rng));
        text += &format!("{x:.4},{y:.4},{}\n", ["ash", "elm", "oak"][class as usize]);
    }
    fs::write(folder.path().join("t.csv"), text).unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    folder
}

fn command(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("gleaner"));
    command.current_dir(folder).args(words.split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, words: &str) -> Output {
    command(folder, words).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(folder: &Path, words: &str) {
    let output = run(folder, words);
    assert!(output.status.success(), "{words}: {}", told(&output));
}

/// An answer to the first question of `buy`: the second round needs it.
fn answer(folder: &Path) {
    let path = folder.join("out/ask-0.csv");
    let Ok(text) = fs::read_to_string(&path) else { return };
    let kinds = fs::read_to_string(folder.join("t.csv")).unwrap();
    let kind = |row: usize| kinds.lines().nth(row + 1).unwrap().rsplit(',').next().unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let own = |line: &str| line.split(',').next().unwrap().parse().unwrap();
    let answered = |line: &str| match line.ends_with(',') {
        true => format!("{line}{}\n", kind(own(line))),
        false => format!("{line}\n"),
    };
    fs::write(&path, format!("{header}\n{}", rows.lines().map(answered).collect::<String>()))
        .unwrap();
}

/// All there is below `out`, less what tells the time and what a browser shows of it.
fn left(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.join("out")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let bytes = match ending {
                "html" => continue,
                "json" => timeless(&path),
                _ if path.file_name().is_some_and(|name| name == "lock") => continue,
                _ => fs::read(&path).unwrap(),
            };
            found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), bytes);
        }
    }
    found
}

fn timeless(path: &Path) -> Vec<u8> {
    let mut report: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    if let Some(entries) = report.as_object_mut() {
        ["seconds", "peak_memory_bytes"].iter().for_each(|name| drop(entries.remove(*name)));
    }
    report.to_string().into_bytes()
}

/// What a run keeps on the way to its results.
fn is_state(path: &Path) -> bool {
    let names = path.components().map(|part| part.as_os_str().to_string_lossy());
    names.into_iter().any(|name| name.contains("run") || name.contains("evidence"))
}

/// Tables with a column of seconds differ in it and nowhere else.
fn same(words: &str, whole: &BTreeMap<PathBuf, Vec<u8>>, again: &BTreeMap<PathBuf, Vec<u8>>) {
    assert_eq!(whole.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>(), "{words}");
    for (path, bytes) in whole {
        // A state holds what a training took so far.
        if is_state(path) {
            continue;
        }
        let plain = |bytes: &[u8]| match path.extension().is_some_and(|ending| ending == "csv") {
            true => without_seconds(&String::from_utf8_lossy(bytes)),
            false => String::from_utf8_lossy(bytes).into_owned(),
        };
        assert!(plain(bytes) == plain(&again[path]), "{words}: {}", path.display());
    }
}

/// Names may hold commas, so cells count from the end of the line, where the seconds are.
fn without_seconds(table: &str) -> String {
    let header: Vec<&str> = table.lines().next().unwrap_or_default().rsplit(',').collect();
    let kept = |k: &usize| !header.get(*k).is_some_and(|name| name.contains("seconds"));
    let short = |line: &str| {
        let cells = line.rsplit(',').enumerate().filter(|(k, _)| kept(k));
        cells.map(|(_, cell)| cell).collect::<Vec<_>>().join(",")
    };
    table.lines().map(short).collect::<Vec<_>>().join("\n")
}

fn whole(words: &str) -> (tempfile::TempDir, Duration) {
    let folder = folder();
    let start = Instant::now();
    succeed(folder.path(), words);
    let took = start.elapsed();
    if words.starts_with("buy") {
        answer(folder.path());
        succeed(folder.path(), words);
    }
    (folder, took)
}

#[test]
fn killed_at_any_moment_a_run_ends_as_if_it_had_not_been() {
    let kills = std::env::var("GLEANER_KILLS").map_or(3, |kills| kills.parse().unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for words in COMMANDS {
        let (straight, took) = whole(words);
        let expected = left(straight.path());
        let folder = folder();
        let path = folder.path();
        for _ in 0..kills {
            let mut child: Child = command(path, words).spawn().unwrap();
            std::thread::sleep(took.mul_f64(rng.random_range(0.0..1.1)));
            child.kill().unwrap();
            child.wait().unwrap();
            // What is under its own name is whole: the very file that an unbroken run leaves, or one of its states.
            for (file, bytes) in left(path) {
                let partial = file.extension().is_some_and(|ending| ending == "partial");
                let state = is_state(&file);
                if !partial && !state && file.extension().is_some_and(|ending| ending != "csv") {
                    assert!(Some(&bytes) == expected.get(&file), "{words}: {}", file.display());
                }
            }
            if words.starts_with("buy") {
                answer(path);
            }
        }
        succeed(path, words);
        if words.starts_with("buy") {
            answer(path);
            succeed(path, words);
        }
        same(words, &expected, &left(path));
    }
}

/// No file may grow beyond so many blocks, as where a disk is full.
#[cfg(target_os = "linux")]
fn run_on_a_full_disk(folder: &Path, words: &str, blocks: usize) -> Output {
    let binary = assert_cmd::cargo::cargo_bin("gleaner");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {} {words}", binary.display());
    Command::new("bash").arg("-c").arg(script).current_dir(folder).output().unwrap()
}

/// It is an error that says so; an old result stays as it was, and once there is room a run goes on to its end.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    for words in &COMMANDS[..5] {
        let (straight, _) = whole(words);
        let before = left(straight.path());
        let folder = folder();
        for blocks in [0, 1] {
            let output = run_on_a_full_disk(folder.path(), words, blocks);
            let text = told(&output);
            let full = !output.status.success() && text.contains("too large");
            assert!(full, "{words}, {blocks}: {text}");
            // The same folder again, but for a run of another seed, which is refused before anything is written.
            let again = run_on_a_full_disk(straight.path(), &format!("{words} --seed 5"), blocks);
            assert!(!again.status.success(), "{words}, {blocks}");
            let now = left(straight.path());
            for (file, bytes) in &before {
                assert!(now.get(file) == Some(bytes), "{words}, {blocks}: {}", file.display());
            }
        }
        succeed(folder.path(), words);
        same(words, &before, &left(folder.path()));
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = folder();
    for words in COMMANDS {
        let words = words.replace("out/", "t.csv/").replace("--out out", "--out t.csv");
        let output = run(folder.path(), &words);
        let text = told(&output);
        assert!(!output.status.success() && text.contains("t.csv"), "{words}: {text}");
        assert!(!text.contains("panicked"), "{words}: {text}");
    }
    assert!(fs::read_to_string(folder.path().join("t.csv")).unwrap().starts_with("x,y,kind\n"));
}

/// One bit of any file of a run, or its end: the error names the file, or the result is the right one.
#[test]
fn a_damaged_run_is_told_or_does_no_harm() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for words in [COMMANDS[3], COMMANDS[4]] {
        let (folder, _) = whole(words);
        let path = folder.path();
        let expected = left(path);
        let run_of = |file: &&PathBuf| {
            file.components().any(|part| part.as_os_str() == "run") && file.extension().is_some()
        };
        let states: Vec<PathBuf> = expected.keys().filter(run_of).cloned().collect();
        assert!(!states.is_empty(), "{words}");
        for file in states.iter().step_by(states.len().div_ceil(4)) {
            let state = path.join(file);
            let bytes = fs::read(&state).unwrap();
            for cut in [true, false] {
                let mut damaged = bytes.clone();
                let at = rng.random_range(0..bytes.len());
                match cut {
                    true => damaged.truncate(at),
                    false => damaged[at] ^= 1 << rng.random_range(0..8),
                }
                fs::write(&state, damaged).unwrap();
                let output = run(path, words);
                let text = told(&output);
                match output.status.success() {
                    true => same(words, &expected, &left(path)),
                    false => {
                        let name = file.file_name().unwrap().to_string_lossy();
                        assert!(text.contains(&*name), "{words}, {name} at {at}: {text}");
                    }
                }
                fs::write(&state, &bytes).unwrap();
            }
        }
        succeed(path, words);
        same(words, &expected, &left(path));
    }
}

/// The second of two that want one run is sent away at once; the first ends as if it had been alone. Then the files are from
/// the next century, as after a clock was set: nothing is done anew, nothing differs.
#[test]
fn one_run_is_one_process_and_no_clock_matters() {
    let words = COMMANDS[3];
    let (straight, _) = whole(words);
    let folder = folder();
    let path = folder.path();
    let mut first = command(path, words).spawn().unwrap();
    let start = Instant::now();
    while !path.join("out/run/lock").exists() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let second = run(path, words);
    let alone = first.try_wait().unwrap().is_none();
    assert!(first.wait().unwrap().success());
    let text = told(&second);
    // On a slow machine the first may have ended before.
    assert!(!alone || (!second.status.success() && text.contains("out/run")), "{text}");
    same(words, &left(straight.path()), &left(path));

    let later = SystemTime::now() + Duration::from_secs(3_000_000_000);
    for file in left(path).keys() {
        fs::File::options().write(true).open(path.join(file)).unwrap().set_modified(later).unwrap();
    }
    succeed(path, words);
    same(words, &left(straight.path()), &left(path));
}
