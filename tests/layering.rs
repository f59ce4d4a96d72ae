//! Dependencies inside the crate point one way: what each module of `src/` names, against a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every room, and which others it may name; everyone may name `error`, and itself.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("whole_file", &[]),
    ("hash", &[]),
    ("ranks", &[]),
    ("adam", &[]),
    ("seeds", &["hash"]),
    ("report", &["whole_file"]),
    ("program", &[]),
    ("conic", &[]),
    ("data", &["hash"]),
    ("layer", &["program", "conic"]),
    ("gradcheck", &["layer"]),
    ("choose", &["seeds", "ranks", "program", "data"]),
    ("value", &["seeds", "adam", "choose", "data"]),
    ("learn", &["whole_file", "hash", "seeds", "layer", "data"]),
    ("joint", &["seeds", "ranks", "adam", "program", "layer", "learn", "data", "choose", "value"]),
    (
        "experiment",
        &[
            "whole_file",
            "seeds",
            "program",
            "layer",
            "learn",
            "data",
            "choose",
            "value",
            "joint",
            "report",
        ],
    ),
];

#[test]
fn every_module_names_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let front_door = tokens(&std::fs::read_to_string(src.join("lib.rs")).unwrap());
    let homes = re_exports(&front_door);
    let table: BTreeMap<&str, &[&str]> = MAY_NAME.iter().copied().collect();
    let (mut complaints, mut seen) = (Vec::new(), 0);
    for file in files(&src) {
        let depth = file.components().count();
        let module = file.iter().next().and_then(|first| first.to_str()).unwrap();
        let module = module.trim_end_matches(".rs");
        let name = file.display();
        // The command line is a crate of its own, behind the public door.
        if module == "lib" || module == "bin" {
            continue;
        }
        if depth > 4 {
            complaints.push(format!("{name}: folders in a room are two levels deep"));
        }
        let Some(allowed) = table.get(module) else {
            complaints.push(format!("{name}: module {module} has no row in the table"));
            continue;
        };
        // `src/a.rs` and `src/a/mod.rs` are one step below the root, `src/a/b.rs` two.
        let below = depth - usize::from(file.ends_with("mod.rs"));
        let source = std::fs::read_to_string(src.join(&file)).unwrap();
        for named in named_modules(&tokens(&source), below) {
            let home = homes.get(&named).unwrap_or(&named).as_str();
            if home != module && home != "error" && !allowed.contains(&home) {
                complaints.push(format!("{name}: {module} may not name {named}"));
            }
        }
        seen += 1;
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(seen > 20, "only {seen} files under {}", src.display());
}

/// Rust files below `src`, relative to it, sorted.
fn files(src: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![src.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path.strip_prefix(src).unwrap().to_path_buf());
            }
        }
    }
    found
}

/// Names directly below the crate root that are reached through `crate::` or enough `super::`, in a
/// file `below` steps under the root.
fn named_modules(tokens: &[String], below: usize) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let start = matches!(tokens[at].as_str(), "crate" | "super" | "self");
        let inside = at > 0 && matches!(tokens[at - 1].as_str(), "::" | "$");
        if !start || inside || tokens.get(at + 1).is_none_or(|next| next != "::") {
            at += 1;
            continue;
        }
        for path in paths(tokens, &mut at) {
            let ups = path.iter().filter(|part| *part == "super").count();
            let from_root = path[0] == "crate" || ups >= below;
            let head =
                path.iter().find(|part| !matches!(part.as_str(), "crate" | "super" | "self"));
            if let (true, Some(head)) = (from_root, head) {
                named.insert(head.clone());
            }
        }
    }
    named
}

/// `pub use module::…` of the front door: the name users see, and the module it lives in.
fn re_exports(tokens: &[String]) -> BTreeMap<String, String> {
    let mut homes = BTreeMap::new();
    let mut at = 0;
    while at < tokens.len() {
        at += 1;
        if tokens[at - 1] == "use" {
            for path in paths(tokens, &mut at) {
                let plain: Vec<&String> =
                    path.iter().filter(|part| !matches!(part.as_str(), "crate" | "self")).collect();
                if let (Some(module), Some(name)) = (plain.first(), plain.last()) {
                    homes.insert(name.to_string(), module.to_string());
                }
            }
        }
    }
    homes
}

/// All paths of the tree `a::{b, c::{d, e as f}}` that starts at `at`; `at` moves behind it.
fn paths(tokens: &[String], at: &mut usize) -> Vec<Vec<String>> {
    let mut stem = Vec::new();
    loop {
        match tokens.get(*at).map(String::as_str) {
            Some("{") => {
                *at += 1;
                let mut all = Vec::new();
                while tokens.get(*at).is_some_and(|token| token != "}") {
                    if tokens[*at] == "," {
                        *at += 1;
                        continue;
                    }
                    let before = *at;
                    for branch in paths(tokens, at) {
                        all.push([stem.clone(), branch].concat());
                    }
                    *at = (*at).max(before + 1);
                }
                *at += 1;
                return all;
            }
            Some(part) if is_word(part) || part == "*" => {
                stem.push(part.to_string());
                *at += 1;
            }
            _ => return vec![stem],
        }
        if tokens.get(*at).is_some_and(|token| token == "as") {
            *at += 1;
            stem.extend(tokens.get(*at).cloned()); // the new name counts as the last part
            *at += 1;
        }
        if tokens.get(*at).is_none_or(|token| token != "::") {
            return vec![stem];
        }
        *at += 1;
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, `::` and single signs of the code proper: no comments, no literals, no `#[cfg(test)]` items.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let code: Vec<char> = without_comments_and_literals(source).chars().collect();
    let mut at = 0;
    while at < code.len() {
        let start = at;
        let word = |c: &char| c.is_alphanumeric() || *c == '_';
        if code[at].is_whitespace() {
            at += 1;
            continue;
        } else if word(&code[at]) {
            at += code[at..].iter().take_while(|c| word(c)).count();
        } else {
            at += if code[at..].starts_with(&[':', ':']) { 2 } else { 1 };
        }
        tokens.push(code[start..at].iter().collect());
    }
    without_tests(tokens)
}

fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let attribute = tokens[at..].iter().zip(ATTRIBUTE).filter(|(found, part)| found == part);
        if attribute.count() < ATTRIBUTE.len() {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // The item ends with its first `;` outside braces, or where its braces close.
        let mut depth = 0;
        while at < tokens.len() {
            let token = tokens[at].as_str();
            at += 1;
            depth += i32::from(token == "{") - i32::from(token == "}");
            if depth == 0 && matches!(token, "}" | ";") {
                break;
            }
        }
    }
    kept
}

/// The source with comments, strings and characters blanked.
fn without_comments_and_literals(source: &str) -> String {
    let code: Vec<char> = source.chars().collect();
    let (mut kept, mut at) = (String::new(), 0);
    while at < code.len() {
        let rest = &code[at..];
        let length = if rest.starts_with(&['/', '/']) {
            rest.iter().take_while(|c| **c != '\n').count()
        } else if rest.starts_with(&['/', '*']) {
            block_comment(rest)
        } else if rest[0] == 'r' && raw_string(rest) > 0 {
            raw_string(rest)
        } else if rest[0] == '"' {
            quoted(rest, '"')
        } else if rest.starts_with(&['\'', '\\']) || (rest[0] == '\'' && rest.get(2) == Some(&'\''))
        {
            quoted(rest, '\'') // a character; a lifetime has no closing quote
        } else {
            kept.push(rest[0]);
            at += 1;
            continue;
        };
        kept.push(' ');
        at += length;
    }
    kept
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of `r"…"`, `r#"…"#`, …; zero if there is none.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[hashes + 2..];
    let length = body.windows(end.len()).position(|window| window == end);
    length.map_or(rest.len(), |length| hashes + 2 + length + end.len())
}

/// Block comments nest.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match rest[at..] {
            ['/', '*', ..] => 1,
            ['*', '/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            break;
        }
    }
    at
}

#[test]
fn the_scanner_finds_what_is_named_and_nothing_else() {
    // (what, source, steps below the root, modules named)
    let cases: &[(&str, &str, usize, &[&str])] = &[
        ("plain use", "use crate::layer::Layer;", 1, &["layer"]),
        (
            "path in code",
            "fn f() -> u8 { crate::bridge::to_vec(&crate::layer::X) }",
            1,
            &["bridge", "layer"],
        ),
        (
            "grouped",
            "use crate::{bridge::{to_vec, self}, layer as l, memory};",
            1,
            &["bridge", "layer", "memory"],
        ),
        ("grouped over lines", "use crate\n  ::{\n a ,\n b::C,\n};", 1, &["a", "b"]),
        ("everything", "use crate::*;", 1, &["*"]),
        ("visibility", "pub(in crate::trainer) fn f() {} pub(crate) fn g() {}", 1, &["trainer"]),
        ("turbofish", "crate::layer::new::<crate::memory::M>()", 1, &["layer", "memory"]),
        ("super of a module", "use super::memory::M;", 1, &["memory"]),
        ("super within a folder", "use super::{Strategy, top};", 2, &[]),
        (
            "super twice",
            "use super::super::layer::Layer; use super::{super::{memory, bridge}};",
            2,
            &["layer", "memory", "bridge"],
        ),
        ("self", "use self::inner::X; self.x; self::y::z()", 1, &[]),
        ("line comments", "// crate::a\n/// [`crate::b`]\n//! crate::c\nuse std::fmt;", 1, &[]),
        ("block comments", "/* crate::a /* crate::b */ crate::c */ use crate::d;", 1, &["d"]),
        (
            "strings",
            r##"let s = "crate::a \" crate::b"; let r = r#"crate::c " crate::d"#; crate::e"##,
            1,
            &["e"],
        ),
        (
            "characters and lifetimes",
            "let c = '\"'; fn f<'a>(x: &'a str) { crate::a } let d = '\\''; crate::b",
            1,
            &["a", "b"],
        ),
        (
            "test modules",
            "use crate::a; #[cfg(test)] mod tests { use crate::b; fn f() { crate::c } } crate::d",
            1,
            &["a", "d"],
        ),
        ("test imports", "#[cfg(test)]\nuse crate::{a, b};\nuse crate::c;", 1, &["c"]),
        ("other crates", "use candle_core::{Tensor}; use my::crate_like::x; $crate::a", 1, &[]),
    ];
    for (what, source, below, expected) in cases {
        let expected: BTreeSet<String> = expected.iter().map(|name| name.to_string()).collect();
        assert_eq!(named_modules(&tokens(source), *below), expected, "{what}");
    }
}

#[test]
fn the_front_door_tells_where_a_name_lives() {
    let homes = re_exports(&tokens("pub mod a;\npub use a::{B, c::D as E};\npub use f::G;"));
    let expected = [("B", "a"), ("E", "a"), ("G", "f")];
    assert_eq!(homes, expected.map(|(name, module)| (name.into(), module.into())).into());
}
