//! The page of a choice.

use gleaner::Result;
use gleaner::report::html::{Balance, Column, Counted, Mark, Report, Table, Verdict, grouped};
use serde_json::Value;

use super::features::Features;
use super::looks::{SHOWN, put};
use super::map::{map, places};
use super::{Left, Sheet, figure, percent, tried};
use crate::input::Data;
use crate::known::Known;

pub fn page(left: &Left) -> Result<Report> {
    let whole = |path: &str| left.number(path) as usize; // what is not there is zero
    let (kept, rows) = (whole("/kept"), whole("/input/rows"));
    let mut page = Report {
        title: format!("{} of {} rows kept", grouped(kept), grouped(rows)),
        kind: left.kind(),
        lead: format!(
            "Chosen by the method {}. The rows are below, in the order in which they were chosen.",
            left.text("/method")
        ),
        figures: vec![
            figure(grouped(kept), "rows kept"),
            figure(percent(kept, rows), "of all rows"),
            figure(grouped(whole("/input/features")), "features"),
        ],
        verdict: verdict(left),
        ..Default::default()
    };
    let classes = left.list("/classes");
    if !classes.is_empty() {
        page.figures.push(figure(grouped(classes.len()), "classes"));
        page.balance.push(balance("Classes", classes.iter().map(class).collect()));
    }
    let Some(sheet) = left.sheet else { return Ok(page) };
    let found = left.data.and_then(|data| Some((data, places(data, sheet)?)));
    if let Some((data, places)) = &found {
        let mut marks = vec![Mark::Dropped; data.len()];
        let suspects = suspects(left, data.len());
        suspects.iter().for_each(|(i, _)| marks[*i] = Mark::Suspect);
        places.iter().for_each(|i| marks[*i] = Mark::Kept);
        page.balance.extend(groups(data, &marks));
        looks(&mut page, data, places, &marks);
        suspect(&mut page, data, &suspects, &marks);
        page.map = Some(map(data, &marks)?);
    }
    page.tables.push(rows_kept(sheet, found)?);
    Ok(page)
}

/// Rows that were kept, in their order, and some that were not, evenly of all.
fn looks(page: &mut Report, data: &Data, places: &[usize], marks: &[Mark]) {
    let labels = data.table.data.labels();
    let captioned = |i: &usize| {
        let label = data.class(labels[*i]);
        (*i, format!("{}: {label}", data.name(*i)))
    };
    let kept: Vec<(usize, String)> = places.iter().map(captioned).collect();
    let dropped: Vec<usize> = (0..data.len()).filter(|i| marks[*i] == Mark::Dropped).collect();
    let step = (dropped.len() / SHOWN).max(1);
    let some: Vec<(usize, String)> = dropped.iter().step_by(step).map(captioned).collect();
    put(page, "Kept", data, &kept, kept.len());
    put(page, "Not kept, some of them", data, &some, dropped.len());
}

/// Rows whose labels look wrong, by their place in the data, each with its likely class.
fn suspects<'a>(left: &'a Left, rows: usize) -> Vec<(usize, &'a str)> {
    let (places, likely) = (left.list("/suspects/rows"), left.list("/suspects/likely"));
    let place = |place: &Value| place.as_u64().map(|place| place as usize).filter(|i| *i < rows);
    let pairs = places.iter().zip(likely);
    pairs.filter_map(|(i, class)| Some((place(i)?, class.as_str()?))).collect()
}

fn suspect(page: &mut Report, data: &Data, suspects: &[(usize, &str)], marks: &[Mark]) {
    if suspects.is_empty() {
        return;
    }
    let kept = suspects.iter().filter(|(i, _)| marks[*i] == Mark::Kept).count();
    page.figures.push(figure(grouped(suspects.len()), "suspect labels"));
    page.figures.push(figure(grouped(kept), "of them kept"));
    page.notes.push(
        "A label is suspect if models that have not seen its row are confident of another one; gleaner audit says more."
            .into(),
    );
    let labels = data.table.data.labels();
    let captioned = |(i, likely): &(usize, &str)| {
        (*i, format!("{}: given {}, likely {likely}", data.name(*i), data.class(labels[*i])))
    };
    put(
        page,
        "Suspects",
        data,
        &suspects.iter().map(captioned).collect::<Vec<_>>(),
        suspects.len(),
    );
}

fn verdict(left: &Left) -> Option<Verdict> {
    let text = left.report["certificate"].as_str()?.to_owned();
    Some(Verdict {
        holds: !text.starts_with("no certified gain"),
        text,
        about: "Small networks were trained on what each way keeps of folds of the rows, the better half with another \
                seed, and so on; the last one was compared with random rows on folds that chose nothing."
            .into(),
        tried: tried(left.list("/tried")),
    })
}

fn class(class: &Value) -> Counted {
    let number = |name: &str| class[name].as_u64().unwrap_or(0) as usize;
    let name = class["class"].as_str().unwrap_or_default().to_owned();
    Counted { name, before: number("rows"), after: number("kept") }
}

fn balance(title: &str, counts: Vec<Counted>) -> Balance {
    let (before, after) = ("all rows".into(), "kept".into());
    Balance { title: title.into(), before, after, counts }
}

fn groups(data: &Data, marks: &[Mark]) -> Option<Balance> {
    let groups = data.table.groups.as_ref()?;
    let name = |name: &String| Counted { name: name.clone(), before: 0, after: 0 };
    let mut counts: Vec<Counted> = groups.names.iter().map(name).collect();
    for (group, mark) in groups.ids.iter().zip(marks) {
        let count = &mut counts[*group as usize];
        count.before += 1;
        count.after += usize::from(*mark == Mark::Kept);
    }
    Some(balance("Groups", counts))
}

/// In the order in which they were chosen, with some of their features.
fn rows_kept(sheet: &Sheet, found: Option<(&Data, Vec<usize>)>) -> Result<Table> {
    let rows: Vec<usize> = (0..sheet.rows().min(Table::MOST)).collect();
    let column =
        |name: &String| Some(Column { name: name.clone(), cells: sheet.cells(name, &rows)? });
    let order = Column::number("order", rows.iter().map(|r| *r as f64 + 1.0).collect());
    let mut columns = vec![order];
    columns.extend(sheet.names().iter().filter_map(column));
    let filter = columns.iter().position(|column| column.name == "label");
    let mut about = "In the order in which they were chosen.".to_owned();
    if let Some((data, mut places)) = found {
        places.truncate(Table::MOST);
        let features = Features::of(data, &places)?;
        about += &format!(" {}", features.note());
        columns.extend(features.columns());
    }
    let (title, about) = ("Rows kept".into(), about.trim_end().to_owned());
    Ok(Table { title, about, columns, filter, total: sheet.rows() })
}
