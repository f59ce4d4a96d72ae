//! The page of an audit.

use std::collections::BTreeMap;

use gleaner::Result;
use gleaner::report::html::{Balance, Cells, Column, Counted, Mark, Report, Table, grouped};

use super::looks::put;
use super::map::{map, places};
use super::{Left, Sheet, figure};
use crate::known::Known;

pub fn page(left: &Left) -> Result<Report> {
    let whole = |path: &str| left.number(path) as usize; // what is not there is zero
    let (rows, suspects) = (whole("/input/rows"), whole("/suspects"));
    let mut page = Report {
        title: format!("{} of {} labels look wrong", grouped(suspects), grouped(rows)),
        kind: left.kind(),
        lead: lead(left),
        figures: vec![
            figure(grouped(suspects), "suspect labels"),
            figure(
                format!("{:.1} %", 100.0 * left.number("/estimated_noise")),
                "of labels wrong, by estimate",
            ),
            figure(grouped(whole("/duplicates")), "near duplicates, pairs"),
            figure(grouped(whole("/outliers")), "outliers"),
        ],
        ..Default::default()
    };
    let constant: Vec<String> = left
        .list("/constant_features")
        .iter()
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect();
    if !constant.is_empty() {
        page.notes.push(format!("Features that never change: {}.", constant.join(", ")));
    }
    let found = left.number("/neighbours_found");
    if found.is_finite() {
        let found = 100.0 * found;
        page.notes.push(format!(
            "Too many rows to compare all: {found:.1} % of the nearest neighbours were found, by 256 rows."
        ));
    }
    let Some(sheet) = left.sheet else { return Ok(page) };
    let marks: Vec<Mark> = (0..sheet.rows()).map(|row| mark(sheet, row)).collect();
    if let Some((data, places)) = left.data.and_then(|data| Some((data, places(data, sheet)?))) {
        let mut of_data = vec![Mark::Plain; data.len()];
        places.iter().zip(&marks).for_each(|(place, mark)| of_data[*place] = *mark);
        page.map = Some(map(data, &of_data)?);
        if let (Some(labels), Some(likely)) = (sheet.column("label"), sheet.column("likely")) {
            let suspects = (0..sheet.rows()).filter(|row| marks[*row] == Mark::Suspect);
            let captioned = |row: usize| {
                let (name, given) = (sheet.row_name(row), &labels[row]);
                (places[row], format!("{name}: given {given}, likely {}", likely[row]))
            };
            let suspects: Vec<_> = suspects.map(captioned).collect();
            put(&mut page, "Suspects", data, &suspects, suspects.len());
        }
    }
    page.balance.extend(classes(sheet, &marks));
    page.tables.extend(issues(sheet, &marks));
    page.tables.extend(confused(sheet, &marks));
    Ok(page)
}

fn lead(left: &Left) -> String {
    let lead = "A label is suspect if models that have not seen its row are sure of another one. The most suspect come first.";
    let truth = |name: &str| left.number(&format!("/truth/{name}"));
    match left.report["truth"].is_object() {
        false => lead.to_owned(),
        true => format!(
            "{lead} Of {} labels known to be wrong {:.1} % were found, and {:.1} % of those named are wrong.",
            grouped(truth("wrong") as usize),
            100.0 * truth("recall"),
            100.0 * truth("precision")
        ),
    }
}

/// The gravest of what was found about a row.
fn mark(sheet: &Sheet, row: usize) -> Mark {
    let cell = |name: &str| sheet.column(name).map_or("", |cells| cells[row].as_str());
    if cell("wrong") == "true" {
        Mark::Suspect
    } else if cell("outlier") == "true" {
        Mark::Outlier
    } else if !cell("duplicate_of").is_empty() {
        Mark::Duplicate
    } else {
        Mark::Plain
    }
}

fn classes(sheet: &Sheet, marks: &[Mark]) -> Option<Balance> {
    let labels = sheet.column("label")?;
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (label, mark) in labels.iter().zip(marks) {
        let count = counts.entry(label).or_default();
        count.0 += 1;
        count.1 += usize::from(*mark == Mark::Suspect);
    }
    let counted = |(name, (before, after)): (&str, (usize, usize))| Counted {
        name: name.into(),
        before,
        after,
    };
    let mut counts: Vec<Counted> = counts.into_iter().map(counted).collect();
    // Numbers by their value, as `2, 10`, before other names.
    let number = |c: &Counted| c.name.parse::<f64>().unwrap_or(f64::INFINITY);
    counts.sort_by(|a, b| number(a).total_cmp(&number(b)));
    let (before, after) = ("all rows".into(), "suspect".into());
    Some(Balance { title: "Classes".into(), before, after, counts })
}

/// Rows that something was found about, and those whose label is not the likely one.
fn issues(sheet: &Sheet, marks: &[Mark]) -> Option<Table> {
    let (labels, likely) = (sheet.column("label")?, sheet.column("likely")?);
    let twins = sheet.column("duplicate_of")?;
    let worth = |row: &usize| marks[*row] != Mark::Plain || labels[*row] != likely[*row];
    let rows: Vec<usize> = (0..sheet.rows()).filter(worth).collect();
    let text = |of: &dyn Fn(usize) -> String| rows.iter().map(|row| of(*row)).collect();
    let finding = |row: usize| match marks[row] {
        Mark::Plain => "unsure".to_owned(),
        mark => mark.name().to_owned(),
    };
    let share = |name: &str, heading: &str| match sheet.cells(name, &rows) {
        Some(Cells::Number(numbers)) => Column::share(heading, numbers),
        _ => Column::share(heading, vec![f64::NAN; rows.len()]),
    };
    let mut columns = vec![
        Column::text("row", text(&|row| sheet.row_name(row))),
        Column::text("label", text(&|row| labels[row].clone())),
        Column::text("likely", text(&|row| likely[row].clone())),
        Column::text("finding", text(&finding)),
        share("label_probability", "P(label)"),
        share("likely_probability", "P(likely)"),
        share("neighbours_agree", "neighbours agree"),
    ];
    if rows.iter().any(|row| !twins[*row].is_empty()) {
        columns.push(Column::text("duplicate of", text(&|row| twins[row].clone())));
    }
    Some(Table {
        title: "Label issues".into(),
        about: "P is the probability that models give the label, and the likely class, without having seen the row; \
                neighbours agree is the share of the nearest other rows with the same label. Unsure rows have a likely class \
                of another name, but not surely so."
            .into(),
        columns,
        filter: Some(1),
        total: 0,
    })
}

/// Which labels are suspected to stand for which.
fn confused(sheet: &Sheet, marks: &[Mark]) -> Option<Table> {
    let (labels, likely) = (sheet.column("label")?, sheet.column("likely")?);
    let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let suspects = (0..sheet.rows()).filter(|row| marks[*row] == Mark::Suspect);
    suspects.clone().for_each(|r| *pairs.entry((&labels[r], &likely[r])).or_default() += 1);
    let all = suspects.count();
    let mut pairs: Vec<((&str, &str), usize)> = pairs.into_iter().collect();
    pairs.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows)); // stable: then by name
    let columns = vec![
        Column::text("label", pairs.iter().map(|((label, _), _)| label.to_string()).collect()),
        Column::text("likely", pairs.iter().map(|((_, likely), _)| likely.to_string()).collect()),
        Column::number("suspects", pairs.iter().map(|(_, rows)| *rows as f64).collect()),
        Column::share(
            "of all suspects",
            pairs.iter().map(|(_, rows)| *rows as f64 / all as f64).collect(),
        ),
    ];
    let about = "How often each label is suspected to stand for which class.".to_owned();
    Some(Table { title: "Labels given for others".into(), about, columns, filter: None, total: 0 })
}
