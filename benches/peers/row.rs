//! One line of the results, with its spread; `report.py` makes the table and the picture of both sides' lines.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::timing::{Timing, milliseconds};

impl Timing {
    /// Times `work` at least `repeats` times after one untimed call. What it returns is dropped outside
    /// the clock.
    pub fn measure<T>(repeats: usize, mut work: impl FnMut() -> T) -> Self {
        std::hint::black_box(work());
        let mut samples = Vec::with_capacity(repeats);
        for _ in 0..repeats.max(1) {
            let start = Instant::now();
            let result = work();
            samples.push(milliseconds(start.elapsed()));
            std::hint::black_box(result);
        }
        Self::of(samples)
    }
}

/// A line of the results; what is missing does not exist for this system.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub case: String,
    pub n: usize,
    pub m: usize,
    pub p: &'static str,
    pub system: String,
    pub set_up: Option<f64>,
    pub forward: Option<Timing>,
    pub backward: Option<Timing>,
    pub objective: Option<f64>,
    pub gradient_error: Option<f64>,
    pub note: String,
}

const HEADER: [&str; 17] = [
    "case",
    "n",
    "m",
    "p",
    "system",
    "set-up_ms",
    "forward_ms",
    "forward_low",
    "forward_high",
    "forward_repeats",
    "backward_ms",
    "backward_low",
    "backward_high",
    "backward_repeats",
    "objective",
    "gradient_error",
    "note",
];

pub fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let cells = rows.iter().map(|row| {
        let mut cells = vec![row.case.clone(), row.n.to_string(), row.m.to_string()];
        cells.extend([row.p.to_owned(), row.system.clone(), number(row.set_up)]);
        cells.extend(Timing::cells(row.forward));
        cells.extend(Timing::cells(row.backward));
        cells.extend([number(row.objective), number(row.gradient_error), row.note.clone()]);
        cells
    });
    Ok(gleaner::report::write_csv(path, &HEADER, cells)?)
}
