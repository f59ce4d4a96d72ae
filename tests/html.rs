//! Pages of runs: whole without the network, safe with any text, small with any number of rows.

use gleaner::Error;
use gleaner::report::html::{
    self, Balance, Cells, Column, ContactSheet, Counted, Curves, Map, Mark, Passage, Passages,
    Point, Report, Table, Thumbnail, Verdict, page, sample,
};
use gleaner::report::{Panel, Series};
use serde_json::Value;

const HOSTILE: [&str; 5] = [
    "\"><img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "<!--",
    "{{script}}",
    "\u{2028}'&amp;\0",
];

/// The data of a page, as its script reads them.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn table(columns: Vec<Column>) -> Table {
    Table { title: "Rows".into(), columns, ..Default::default() }
}

fn curves(points: Vec<(f64, f64, f64)>) -> Curves {
    let series = vec![Series { name: "random".into(), points }];
    Curves {
        title: "Curves".into(),
        panels: vec![Panel { title: String::new(), series }],
        ..Default::default()
    }
}

/// A part of every kind, with one text everywhere.
fn full(text: &str) -> Report {
    let text = || text.to_owned();
    let png = [&[0x89, b'P', b'N', b'G'][..], &[7; 20]].concat();
    let point = |x: f64| Point {
        x,
        y: 1.0,
        mark: Mark::Kept,
        name: text(),
        class: text(),
        values: vec![text()],
    };
    Report {
        title: text(),
        kind: text(),
        lead: text(),
        figures: vec![(text(), text())],
        asked: vec![(text(), text())],
        notes: vec![text()],
        verdict: Some(Verdict {
            holds: true,
            text: text(),
            about: text(),
            tried: vec![Column::text(&text(), vec![text()])],
        }),
        curves: vec![Curves {
            title: text(),
            about: text(),
            x_label: text(),
            y_label: text(),
            panels: vec![Panel {
                title: text(),
                series: vec![Series { name: text(), points: vec![(0.1, 0.5, 0.1)] }],
            }],
            shown: vec![text()],
        }],
        map: Some(Map {
            about: text(),
            columns: vec![text()],
            points: vec![point(0.0), point(2.0)],
            of: vec![],
        }),
        balance: vec![Balance {
            title: text(),
            before: text(),
            after: text(),
            counts: vec![Counted { name: text(), before: 2, after: 1 }],
        }],
        tables: vec![Table {
            filter: Some(0),
            about: text(),
            ..table(vec![Column::text(&text(), vec![text()])])
        }],
        sheets: vec![ContactSheet {
            title: text(),
            pictures: vec![Thumbnail { caption: text(), image: png }],
            total: 9,
        }],
        passages: vec![Passages {
            title: text(),
            passages: vec![Passage { caption: text(), text: text() }],
            total: 1,
        }],
        timings: vec![(text(), 1.5)],
        peak_memory: Some(3_000_000),
        footer: text(),
    }
}

#[test]
fn text_stays_text_wherever_it_stands() {
    let harmless = page(&full("harmless")).unwrap();
    let count = |page: &str, what: &str| page.matches(what).count();
    for text in HOSTILE {
        let page = page(&full(text)).unwrap();
        for sign in ["<img", "<script", "</script", "<!--", "\"data:image"] {
            assert_eq!(
                count(&page, sign),
                count(&harmless, sign),
                "{sign} in a page with {text:?}"
            );
        }
        let live = data(&page);
        assert_eq!(live.as_object().unwrap().len(), 3);
        let cells =
            live.as_object().unwrap().values().find(|part| part["kind"] == "table").unwrap();
        assert_eq!(cells["columns"][0]["cells"][0], text);
    }
    let braces = page(&full("{{script}}")).unwrap();
    assert!(braces.matches("{{script}}").count() > 20);
}

#[test]
fn a_page_needs_nothing_else() {
    let page = page(&full("x")).unwrap();
    for sign in ["http:", "https:", "src=\"//", "@import", "url("] {
        // The name of a kind of element is no address that is asked for.
        let rest = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!rest.contains(sign), "{sign}");
    }
    assert!(page.contains("default-src 'none'") && page.contains("script-src 'sha256-"));
    assert!(!page.contains("unsafe-inline"));
    assert_eq!(page, html::page(&full("x")).unwrap());
}

#[test]
fn what_has_no_data_is_not_shown() {
    let empty = Report {
        title: "Nothing".into(),
        curves: vec![Curves::default(), curves(Vec::new())],
        map: Some(Map::default()),
        balance: vec![Balance::default()],
        tables: vec![Table::default(), table(vec![Column::text("a", vec![])])],
        sheets: vec![ContactSheet::default()],
        passages: vec![Passages::default()],
        ..Default::default()
    };
    let page = page(&empty).unwrap();
    assert!(!page.contains("<section") && !page.contains("<li><a href"), "{page}");
    assert_eq!(data(&page), serde_json::json!({}));
    assert_eq!(html::page(&full("x")).unwrap().matches("<section").count(), 9);
}

/// Fifty thousand rows with eight long values each, a table of them all, a hundred groups and texts.
#[test]
fn a_page_of_many_rows_is_below_three_megabytes() {
    let rows = 50_000;
    let points: Vec<Point> = (0..rows)
        .map(|i| Point {
            x: (i as f64).sin() * 1e5,
            y: (i as f64).cos(),
            mark: if i % 10 == 0 { Mark::Kept } else { Mark::Dropped },
            name: format!("row-number-{i}"),
            class: format!("class {}", i % 50),
            values: (0..8).map(|k| format!("{:.5}", f64::from(i * 8 + k).sqrt())).collect(),
        })
        .collect();
    let text =
        |name: &str| Column::text(name, (0..rows).map(|i| format!("{name} of row {i}")).collect());
    let number =
        |name: &str| Column::number(name, (0..rows).map(|i| f64::from(i).sqrt()).collect());
    let columns = vec![
        text("id"),
        text("label"),
        text("likely"),
        number("a"),
        number("b"),
        number("c"),
        number("d"),
    ];
    let passages =
        (0..rows).map(|_| Passage { caption: "a".into(), text: "b".repeat(5_000) }).collect();
    let counts =
        (0..rows).map(|i| Counted { name: i.to_string(), before: i as usize, after: 1 }).collect();
    let report = Report {
        map: Some(Map {
            columns: (0..8).map(|k| format!("column {k}")).collect(),
            points,
            ..Default::default()
        }),
        tables: vec![table(columns)],
        passages: vec![Passages { title: "Texts".into(), passages, total: 0 }],
        balance: vec![Balance { title: "Groups".into(), counts, ..Default::default() }],
        ..Default::default()
    };
    let page = page(&report).unwrap();
    println!("{} bytes", page.len());
    assert!(page.len() < 3_000_000, "{}", page.len());
    for said in [
        "5,000 of 50,000 rows: kept 2,500 of 5,000, dropped 2,500 of 45,000.",
        "The first 10,000 of 50,000 rows are here.",
        "100 of 50,000 are here.",
        "The 100 largest of 50,000 are here.",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn what_is_no_number_is_a_dash_in_a_table_and_refused_elsewhere() {
    let numbers = vec![f64::NAN, f64::INFINITY, 0.5];
    let columns = vec![Column::number("a", numbers.clone()), Column::share("b", numbers)];
    let shown = page(&Report { tables: vec![table(columns)], ..Default::default() }).unwrap();
    assert!(shown.matches("<td class=\"number\">–</td>").count() == 4 && shown.contains("50.0 %"));
    let cells = &data(&shown)["live-1"]["columns"][0]["cells"];
    assert_eq!(*cells, serde_json::json!([null, null, 0.5]));
    let at = |x: f64| Map {
        points: vec![Point::default(), Point { x, ..Default::default() }],
        ..Default::default()
    };
    let mapped = |x: f64| page(&Report { map: Some(at(x)), ..Default::default() });
    assert!(matches!(mapped(f64::NAN), Err(Error::NotFinite { row: 1, column: 0, .. })));
    assert!(mapped(f64::MAX).is_ok() && mapped(0.0).is_ok());
    let drawn =
        |y: f64| page(&Report { curves: vec![curves(vec![(0.1, y, 0.0)])], ..Default::default() });
    assert!(
        matches!(drawn(f64::NAN), Err(Error::NotFinite { column: 1, .. })) && drawn(0.0).is_ok()
    );
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let refused = |report: Report| assert!(matches!(page(&report), Err(Error::Shape { .. })));
    let cells =
        |rows: usize| Column { name: "a".into(), cells: Cells::Text(vec![String::new(); rows]) };
    let tried = vec![cells(1), cells(2)];
    refused(Report { tables: vec![table(tried.clone())], ..Default::default() });
    refused(Report {
        verdict: Some(Verdict { tried, ..Default::default() }),
        ..Default::default()
    });
    let points = vec![Point { values: vec!["1".into()], ..Default::default() }];
    refused(Report { map: Some(Map { points, ..Default::default() }), ..Default::default() });
    let png = |bytes: usize| [&b"\x89PNG"[..], &vec![0; bytes]].concat();
    for image in [b"<svg onload=alert(1)>".to_vec(), Vec::new(), png(ContactSheet::MOST_BYTES)] {
        let pictures = vec![Thumbnail { caption: String::new(), image }];
        refused(Report {
            sheets: vec![ContactSheet { pictures, ..Default::default() }],
            ..Default::default()
        });
    }
}

#[test]
fn one_class_and_one_row_are_enough() {
    let counts = vec![Counted { name: "only".into(), before: 1, after: 0 }];
    let report = Report {
        map: Some(Map { points: vec![Point::default()], ..Default::default() }),
        balance: vec![Balance { title: "Classes".into(), counts, ..Default::default() }],
        ..Default::default()
    };
    let page = page(&report).unwrap();
    assert!(
        page.contains("1 row: nothing found 1.") && page.contains("width=\"100.00\""),
        "{page}"
    );
    assert!(!page.contains("NaN"));
}

#[test]
fn what_is_rare_is_shown_whole() {
    let marks: Vec<Mark> = (0..1000)
        .map(|i| match i {
            _ if i % 100 == 3 => Mark::Suspect,
            _ if i % 2 == 0 => Mark::Kept,
            _ => Mark::Dropped,
        })
        .collect();
    let shown = sample(&marks, 110);
    let of = |mark: Mark| shown.iter().filter(|i| marks[**i] == mark).count();
    assert_eq!((of(Mark::Suspect), of(Mark::Kept), of(Mark::Dropped)), (10, 50, 50));
    assert!(shown.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(sample(&marks, 1000).len(), 1000);
    assert!(sample(&marks, 0).is_empty() && sample(&[], 5).is_empty());
}

#[test]
fn a_page_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/page.html");
    html::write(&path, &full("first")).unwrap();
    let first = std::fs::read(&path).unwrap();
    let broken = Report {
        tables: vec![table(vec![Column::text("a", vec![]), Column::text("b", vec!["1".into()])])],
        ..Default::default()
    };
    assert!(html::write(&path, &broken).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), first);
}
