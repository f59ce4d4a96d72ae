//! Every relative link of the README and the guide leads to a file, and to a heading where it names one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What links and pictures point to, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let outside = text.lines().filter(|line| {
        fenced ^= line.trim_start().starts_with("```");
        !fenced
    });
    let mut found = Vec::new();
    for line in outside {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, behind)) = after.split_once(')') else { break };
            found.push(target.to_owned());
            rest = behind;
        }
    }
    found
}

/// Headings as anchors, the way that mdBook and code hosts write them.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(heading).collect()
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        in_docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.extend(["README.md", "benches/peers/README.md"].map(|name| root.join(name)));
    pages
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            // What is outside is not in the book.
            let inside = !page.parent().unwrap().ends_with("docs") || !file.starts_with("..");
            assert!(inside, "{}: {link}", page.display());
            let known = || anchors(&fs::read_to_string(&target).unwrap());
            assert!(anchor.is_empty() || known().contains(anchor), "{}: {link}", page.display());
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

/// The guide has every page, once.
#[test]
fn the_summary_lists_every_page() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut listed = links(&summary);
    let all = pages().into_iter().filter(|page| page.starts_with(&docs));
    let name = |page: PathBuf| page.file_name().unwrap().to_string_lossy().into_owned();
    let mut there: Vec<String> = all.map(name).filter(|name| name != "SUMMARY.md").collect();
    listed.sort();
    there.sort();
    assert_eq!(listed, there);
}
