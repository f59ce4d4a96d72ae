//! The files that reports are made of: tables, line, bar and scatter charts.
#![cfg(feature = "report")]

use gleaner::Error;
use gleaner::report::{
    Bar, BarOptions, BarPanel, ChartOptions, Panel, ScatterOptions, ScatterPanel, Series, Spread,
    bar_chart, line_chart, scatter_chart, text_table, write_csv,
};
use std::fs;
use std::path::Path;

fn cells(row: &[&str]) -> Vec<String> {
    row.iter().map(|&cell| cell.to_owned()).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn csv_is_quoted_where_needed_and_makes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/table.csv");
    let rows = [cells(&["1", "plain"]), cells(&["2", "with, comma and \"quotes\""])];
    write_csv(&path, &["id", "text"], rows.into_iter()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "id,text\n1,plain\n2,\"with, comma and \"\"quotes\"\"\"\n");
    write_csv(&path, &["other"], std::iter::empty()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "other\n", "replaced as a whole");
}

#[test]
fn a_failed_csv_leaves_the_old_file_and_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    write_csv(&path, &["a", "b"], [cells(&["1", "2"])].into_iter()).unwrap();
    let rows = [cells(&["3", "4"]), cells(&["5"])];
    let error = write_csv(&path, &["a", "b"], rows.into_iter()).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    assert!(matches!(write_csv(&path, &[], std::iter::empty()), Err(Error::Shape { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n1,2\n");
    assert_eq!(names_in(folder.path()), ["table.csv"]);
    // A file where a folder should be.
    let error = write_csv(path.join("x.csv"), &["a"], std::iter::empty()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn text_tables_line_up() {
    let rows =
        [cells(&["k-center", "0.84 ± 0.02", "ok"]), cells(&["é", "−1", ""]), cells(&["short"])];
    let expected = "\
name         accuracy  note
--------  -----------  ----
k-center  0.84 ± 0.02  ok
é                  −1
short
";
    assert_eq!(text_table(&["name", "accuracy", "note"], &rows), expected);
    assert_eq!(text_table(&["a"], &[]), "a\n-\n");
    assert_eq!(text_table(&[], &[]), "\n\n");
}

fn series(name: &str, level: f64) -> Series {
    let xs = [0.01, 0.02, 0.05, 0.1, 0.2];
    let points = xs.map(|x: f64| (x, level + 0.1 * x.log10(), 0.01)).to_vec();
    Series { name: name.to_owned(), points }
}

fn panels(names: usize) -> Vec<Panel> {
    let all = |shift: f64| {
        (0..names)
            .map(|k| series(&format!("series <{k}>"), 0.9 - 0.03 * k as f64 - shift))
            .collect()
    };
    vec![
        Panel { title: "clean".into(), series: all(0.0) },
        Panel { title: "noisy".into(), series: all(0.1) },
    ]
}

fn options() -> ChartOptions {
    ChartOptions {
        title: "What is kept".into(),
        x_label: "share kept".into(),
        y_label: "test accuracy".into(),
        x_log: true,
        x_percent: true,
        y_percent: true,
        ..Default::default()
    }
}

fn drawn(options: &ChartOptions, panels: &[Panel]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figures/chart.svg");
    line_chart(&path, options, panels).unwrap();
    assert_eq!(names_in(path.parent().unwrap()), ["chart.svg"]);
    fs::read_to_string(path).unwrap()
}

/// The attribute of every element that has it, as numbers.
fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
    let opening = format!(" {attribute}=\"");
    let parts = svg.split(&opening).skip(1);
    parts.map(|part| part.split('"').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_chart_names_everything_once_and_stays_on_its_page() {
    let svg = drawn(&ChartOptions { y_percent: false, ..options() }, &panels(14));
    assert!(svg.starts_with("<svg width=\"960\"") && svg.trim_end().ends_with("</svg>"));
    let texts: Vec<&str> = svg.lines().filter(|line| !line.starts_with('<')).collect();
    for text in ["What is kept", "test accuracy", "clean", "noisy", "series &lt;13&gt;"] {
        assert_eq!(texts.iter().filter(|line| **line == text).count(), 1, "{text}");
    }
    for text in ["share kept", "1%", "2%", "5%", "10%", "20%"] {
        assert_eq!(texts.iter().filter(|line| **line == text).count(), 2, "{text}");
    }
    let (width, height) = (numbers(&svg, "width")[0], numbers(&svg, "height")[0]);
    assert!(numbers(&svg, "x").iter().all(|&x| (0.0..=width).contains(&x)));
    assert!(numbers(&svg, "y").iter().all(|&y| (0.0..=height).contains(&y)));
    assert!(numbers(&svg, "cx").iter().all(|&x| (0.0..=width).contains(&x)));
}

#[test]
fn every_kind_of_spread_draws_and_drawing_repeats_itself() {
    for spread in [Spread::Bars, Spread::Band, Spread::Hidden] {
        let options = ChartOptions { spread, x_log: false, shared_y: false, ..options() };
        let svg = drawn(&options, &panels(3));
        assert_eq!(svg, drawn(&options, &panels(3)), "{spread:?}");
    }
}

#[test]
fn odd_ranges_draw() {
    let one = |points: Vec<(f64, f64, f64)>| {
        vec![Panel { title: String::new(), series: vec![Series { name: "a".into(), points }] }]
    };
    let many: Vec<_> = (1..500).map(|k| (f64::from(k), 1.0 / f64::from(k), 0.0)).collect();
    for (x_log, points) in [
        (false, vec![(0.0, 0.0, 0.0)]),
        (true, vec![(5.0, 1e9, 0.0)]),
        (false, vec![(-1e300, -1e300, 0.0), (1e300, 1e300, 0.0)]),
        (true, vec![(1e-12, 0.0, 0.0), (1e12, 1e-9, 0.0)]),
        (false, many.clone()),
        (true, many),
    ] {
        let svg = drawn(&ChartOptions { x_log, ..Default::default() }, &one(points));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}

#[test]
fn charts_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.svg");
    let refused = |options: &ChartOptions, points: Vec<(f64, f64, f64)>| {
        let series = vec![Series { name: "a".into(), points }];
        line_chart(&path, options, &[Panel { title: String::new(), series }]).unwrap_err()
    };
    let (plain, log) = (ChartOptions::default(), options());
    let narrow = ChartOptions { panel_width: 199, ..Default::default() };
    assert!(matches!(line_chart(&path, &plain, &[]).unwrap_err(), Error::Shape { .. }));
    let empty = Panel { title: String::new(), series: vec![] };
    assert!(matches!(line_chart(&path, &plain, &[empty]).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(refused(&plain, vec![]), Error::Shape { .. }));
    let not_finite = refused(&plain, vec![(0.0, 0.0, 0.0), (0.0, f64::NAN, 0.0)]);
    assert!(matches!(not_finite, Error::NotFinite { row: 1, column: 1, .. }));
    assert!(matches!(refused(&plain, vec![(0.0, 0.0, -1.0)]), Error::OutOfRange { .. }));
    assert!(matches!(refused(&log, vec![(0.0, 0.0, 0.0)]), Error::OutOfRange { .. }));
    assert!(matches!(refused(&narrow, vec![(0.0, 0.0, 0.0)]), Error::OutOfRange { .. }));
    assert!(names_in(folder.path()).is_empty());
}
/// How many texts read exactly so.
fn count(svg: &str, text: &str) -> usize {
    svg.lines().filter(|line| *line == text).count()
}

/// Elements that start like this and have this fill.
fn filled(svg: &str, element: &str, fill: &str) -> usize {
    let fill = format!("fill=\"{fill}\"");
    svg.lines().filter(|line| line.starts_with(element) && line.contains(&fill)).count()
}

/// Nothing may lie outside of the page.
fn assert_on_page(svg: &str) {
    let (width, height) = (numbers(svg, "width")[0], numbers(svg, "height")[0]);
    for (attributes, end) in [(["x", "cx"], width), (["y", "cy"], height)] {
        for attribute in attributes {
            let places = numbers(svg, attribute);
            assert!(
                places.iter().all(|place| (0.0..=end).contains(place)),
                "{attribute}: {places:?}"
            );
        }
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

fn written(draw: impl Fn(&Path) -> gleaner::Result<()>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figures/chart.svg");
    draw(&path).unwrap();
    let first = fs::read_to_string(&path).unwrap();
    draw(&path).unwrap();
    assert_eq!(first, fs::read_to_string(&path).unwrap(), "drawn twice");
    assert_eq!(names_in(path.parent().unwrap()), ["chart.svg"]);
    first
}

const STAGES: [&str; 3] = ["training the proxy", "selection", "training the target"];
const STAGE_COLORS: [&str; 3] = ["#0072B2", "#D55E00", "#009E73"];

fn bar(label: &str, lengths: [f64; 3], std: f64) -> Bar {
    let segments = STAGES.map(String::from).into_iter().zip(lengths).collect();
    Bar { label: label.to_owned(), segments, std }
}

fn bar_panel(title: &str, scale: f64) -> BarPanel {
    let bars = vec![
        bar("random", [0.0, 0.0, 60.0 * scale], 1.25),
        bar("k-center", [4.0, 6.0, 60.0 * scale], 4.0),
        bar("entropy", [4.0, 2.0, 60.0 * scale], 0.0),
    ];
    BarPanel { title: title.to_owned(), bars, reference: Some(61.0) }
}

#[test]
fn bars_have_their_segments_values_and_legend() {
    let options = BarOptions {
        title: "Time".into(),
        x_label: "minutes".into(),
        unit: " min".into(),
        reference: "everything".into(),
        ..Default::default()
    };
    let panels = [bar_panel("half", 0.5), bar_panel("all", 1.0)];
    let svg = written(|path| bar_chart(path, &options, &panels));
    assert_on_page(&svg);
    // Segments of length 0 are not drawn; each colour has one sample in the legend.
    for (color, drawn) in STAGE_COLORS.iter().zip([2 * 2, 2 * 2, 2 * 3]) {
        assert_eq!(filled(&svg, "<rect", color), drawn + 1, "{color}");
    }
    for (text, times) in [("random", 2), ("k-center", 2), ("minutes", 2), ("everything", 1)] {
        assert_eq!(count(&svg, text), times, "{text}");
    }
    for text in ["30.0 ± 1.2 min", "40.0 ± 4.0 min", "36.0 min", "70.0 ± 4.0 min"] {
        assert_eq!(count(&svg, text), 1, "{text}");
    }
    STAGES.iter().for_each(|name| assert_eq!(count(&svg, name), 1, "{name}"));
    let bare = BarOptions { x_axis: false, reference: String::new(), ..options };
    let svg = written(|path| bar_chart(path, &bare, &panels));
    assert_eq!((count(&svg, "minutes"), count(&svg, "50"), count(&svg, "everything")), (0, 0, 0));
}

#[test]
fn bars_of_one_panel_are_as_long_as_their_numbers() {
    let svg = written(|path| {
        let panel = BarPanel { reference: None, ..bar_panel("", 1.0) };
        bar_chart(path, &BarOptions::default(), &[panel])
    });
    let width = |line: &str| numbers(line, "width")[0];
    let targets: Vec<f64> = svg
        .lines()
        .filter(|line| line.starts_with("<rect") && line.contains(STAGE_COLORS[2]))
        .map(width)
        .collect();
    let selection: Vec<f64> = svg
        .lines()
        .filter(|line| line.starts_with("<rect") && line.contains(STAGE_COLORS[1]))
        .map(width)
        .collect();
    assert!(targets[..3].iter().all(|length| (length - targets[0]).abs() <= 1.0), "{targets:?}");
    // Rounded to whole pixels at both ends.
    for (length, share) in [(selection[0], 6.0 / 60.0), (selection[1], 2.0 / 60.0)] {
        assert!((length - share * targets[0]).abs() <= 1.1, "{length} of {}", targets[0]);
    }
}

#[test]
fn odd_bars_draw() {
    let plain =
        |length, std| Bar { label: String::new(), segments: vec![("".into(), length)], std };
    for bars in [
        vec![plain(0.0, 0.0)],
        vec![plain(1e300, 0.0), plain(1e-300, 0.0)],
        vec![plain(1.0, 7.0)],
        vec![Bar { label: "long ".repeat(40), ..plain(123_456.7, 0.01) }; 30],
    ] {
        let panel = BarPanel { title: String::new(), bars, reference: None };
        let svg =
            written(|path| bar_chart(path, &BarOptions::default(), std::slice::from_ref(&panel)));
        assert_on_page(&svg);
    }
}

#[test]
fn bars_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.svg");
    let refused = |options: &BarOptions, bars: Vec<Bar>, reference| {
        let panel = BarPanel { title: String::new(), bars, reference };
        bar_chart(&path, options, &[panel]).unwrap_err()
    };
    let plain = BarOptions::default();
    let good = || vec![bar("a", [1.0, 2.0, 3.0], 0.0)];
    assert!(matches!(bar_chart(&path, &plain, &[]), Err(Error::Shape { .. })));
    assert!(matches!(refused(&plain, vec![], None), Error::Shape { .. }));
    let empty = Bar { segments: vec![], ..bar("a", [0.0; 3], 0.0) };
    assert!(matches!(refused(&plain, vec![empty], None), Error::Shape { .. }));
    let error = refused(&plain, [good(), vec![bar("b", [0.0, f64::NAN, 0.0], 0.0)]].concat(), None);
    assert!(matches!(error, Error::NotFinite { row: 1, column: 1, .. }), "{error}");
    let names = |count| (0..count).map(|k| (format!("{k}"), 1.0)).collect();
    let many = Bar { segments: names(8), ..bar("a", [0.0; 3], 0.0) };
    for (options, bars, reference) in [
        (plain.clone(), vec![bar("a", [1.0, -1.0, 0.0], 0.0)], None),
        (plain.clone(), vec![bar("a", [1.0, 1.0, 0.0], -1.0)], None),
        (plain.clone(), vec![bar("a", [9e299, 9e299, 0.0], 0.0)], None),
        (plain.clone(), vec![many], None),
        (plain.clone(), good(), Some(-1.0)),
        (plain.clone(), good(), Some(f64::NAN)),
        (BarOptions { columns: 0, ..plain.clone() }, good(), None),
        (BarOptions { panel_width: 319, ..plain.clone() }, good(), None),
        (BarOptions { row_height: 15, ..plain.clone() }, good(), None),
    ] {
        let error = refused(&options, bars, reference);
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }
    assert!(names_in(folder.path()).is_empty());
}

fn cloud(title: &str, points: usize) -> ScatterPanel {
    let place = |k: usize| (k as f64, ((k * 7919) % points) as f64);
    let note = format!("note of {title}");
    ScatterPanel { title: title.to_owned(), note, points: (0..points).map(place).collect() }
}

fn scatter_options() -> ScatterOptions {
    let (x_label, y_label) = ("rank by the proxy".into(), "rank by the target".into());
    ScatterOptions { title: "Ranks".into(), x_label, y_label, identity: true, ..Default::default() }
}

#[test]
fn few_points_are_dots_and_panels_make_rows() {
    for (panels, rows, width) in [(1, 1, 280.0), (4, 1, 4.0 * 280.0), (5, 2, 3.0 * 280.0)] {
        let panels: Vec<_> = (0..panels).map(|k| cloud(&format!("strategy {k}"), 100)).collect();
        let svg = written(|path| scatter_chart(path, &scatter_options(), &panels));
        assert_on_page(&svg);
        assert_eq!(numbers(&svg, "width")[0], width);
        assert_eq!(filled(&svg, "<circle", "#0072B2"), 100 * panels.len());
        assert_eq!(count(&svg, "rank by the proxy"), panels.len());
        assert_eq!(count(&svg, "rank by the target"), rows);
        for panel in &panels {
            assert_eq!((count(&svg, &panel.title), count(&svg, &panel.note)), (1, 1));
        }
    }
}

#[test]
fn many_points_are_cells_and_the_file_stays_small() {
    let panels = [cloud("many", 50_000), cloud("few", 100)];
    let svg = written(|path| scatter_chart(path, &scatter_options(), &panels));
    assert_on_page(&svg);
    assert_eq!(svg.matches("<circle").count(), 0);
    assert!(svg.len() < 300_000, "{} bytes", svg.len());
    assert!(svg.contains("points in a cell"));

    // All points in two places: two cells, and the legend knows how many share the fuller one.
    let points = [vec![(0.0, 0.0); 3500], vec![(1.0, 1.0); 600]].concat();
    let panel = ScatterPanel { title: String::new(), note: String::new(), points };
    let options = ScatterOptions { x_percent: true, ..Default::default() };
    let svg = written(|path| scatter_chart(path, &options, std::slice::from_ref(&panel)));
    assert_eq!(count(&svg, "1 to 3500 points in a cell, shaded by the logarithm"), 1);
    assert_eq!(svg.matches("<rect").count(), 1 + 8 + 2, "paper, legend, cells");
    assert_eq!(
        filled(&svg, "<rect", "#0072B2"),
        2,
        "the fuller cell is as dark as the legend ends"
    );
    assert_eq!(count(&svg, "50%"), 1);
}

#[test]
fn odd_scatters_draw() {
    for points in [
        vec![(0.0, 0.0)],
        vec![(-1e300, 1e300), (1e300, -1e300)],
        vec![(1e300, 5.0); 5000],
        (0..4001).map(|k| (f64::from(k % 60) * 1e-200, f64::from(k / 60))).collect(),
    ] {
        for (identity, shared, panel_width) in [(false, false, 200), (true, true, 1200)] {
            let panel =
                ScatterPanel { title: String::new(), note: String::new(), points: points.clone() };
            let options = ScatterOptions { identity, shared, panel_width, ..Default::default() };
            assert_on_page(&written(|path| {
                scatter_chart(path, &options, std::slice::from_ref(&panel))
            }));
        }
    }
}

#[test]
fn scatters_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.svg");
    let refused = |options: &ScatterOptions, points| {
        let panel = ScatterPanel { title: String::new(), note: String::new(), points };
        scatter_chart(&path, options, &[panel]).unwrap_err()
    };
    let plain = ScatterOptions::default();
    assert!(matches!(scatter_chart(&path, &plain, &[]), Err(Error::Shape { .. })));
    assert!(matches!(refused(&plain, vec![]), Error::Shape { .. }));
    let error = refused(&plain, vec![(0.0, 0.0), (1.0, f64::INFINITY)]);
    assert!(matches!(error, Error::NotFinite { row: 1, column: 1, .. }), "{error}");
    assert!(matches!(refused(&plain, vec![(0.0, 1e301)]), Error::OutOfRange { .. }));
    let narrow = ScatterOptions { panel_width: 199, ..plain };
    assert!(matches!(refused(&narrow, vec![(0.0, 0.0)]), Error::OutOfRange { .. }));
    assert!(names_in(folder.path()).is_empty());
}
