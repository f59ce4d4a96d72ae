//! The map of a table's rows.

use gleaner::data::PrincipalComponents;
use gleaner::report::html::{Map, Mark, Point, sample};
use gleaner::{Result, Seeds};

use super::features::Features;
use super::percent;
use crate::input::Data;
use crate::known::Known;

/// Rows by their first two principal components; of many, those that [`sample`] names.
pub fn map(data: &Data, marks: &[Mark]) -> Result<Map> {
    let shown = sample(marks, Map::MOST);
    let features = Features::of(data, &shown)?;
    // Of any seed the same map.
    let rng = &mut Seeds::new(0).named("map");
    let found = PrincipalComponents::of(&features.flat(), data.width(), 2, rng)?;
    let labels = data.table.data.labels();
    let point = |(k, i): (usize, &usize)| Point {
        x: found.coordinates[2 * k].into(),
        y: found.coordinates[2 * k + 1].into(),
        mark: marks[*i],
        name: data.name(*i),
        class: if data.labelled { data.class(labels[*i]) } else { String::new() },
        values: features.row(k),
    };
    let of = |mark: Mark| (mark, marks.iter().filter(|known| **known == mark).count());
    let explained = (1000.0 * found.explained.iter().sum::<f64>()).round() as usize;
    let about = format!(
        "Similar rows are near each other: the axes are the first two principal components of the standardised features \
         of the rows shown, and hold {} of their variance. {}",
        percent(explained, 1000),
        features.note()
    );
    Ok(Map {
        about: about.trim_end().to_owned(),
        columns: features.names().to_vec(),
        points: shown.iter().enumerate().map(point).collect(),
        of: Mark::ALL.map(of).to_vec(),
    })
}

/// Where each row of a result stands in the data. `None` if one is not there.
pub fn places(data: &Data, sheet: &super::Sheet) -> Option<Vec<usize>> {
    let (rows, files) = (sheet.column("row")?, sheet.column("file"));
    let (known, first) = (data.places(), data.file(0));
    let place = |(r, row): (usize, &String)| {
        let file = files.map_or(&first, |files| &files[r]);
        known.get(&(file.clone(), row.parse().ok()?)).copied()
    };
    rows.iter().enumerate().map(place).collect()
}
