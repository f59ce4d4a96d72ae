//! The page of a chart: a title, panels in rows, a legend below them all. Lengths are pixels.

use std::io::Write;
use std::path::Path;

use plotters::prelude::{IntoDrawingArea, SVGBackend};
use plotters::style::FontStyle;

use super::look::{self, Canvas, Drawn, LEGEND_SAMPLE, LETTER_WIDTH, SMALL_FONT, TITLE_FONT};
use crate::error::{Error, Result};

const TITLE_HEIGHT: i32 = 34;
const LEGEND_ROW: i32 = 24;

/// Where everything on the page goes.
pub(super) struct Page<'a> {
    pub title: &'a str,
    /// Panels in a row.
    pub columns: i32,
    pub rows: i32,
    /// Width and height of a panel with its labels.
    pub panel: (i32, i32),
    pub legend: Legend<'a>,
}

impl Page<'_> {
    /// Left and top of the k-th panel.
    pub fn corner(&self, k: usize) -> (i32, i32) {
        let (row, column) = (k as i32 / self.columns, k as i32 % self.columns);
        let top = if self.title.is_empty() { 0 } else { TITLE_HEIGHT };
        (column * self.panel.0, top + row * self.panel.1)
    }

    pub fn width(&self) -> i32 {
        self.columns * self.panel.0
    }

    pub fn legend_top(&self) -> i32 {
        self.corner(0).1 + self.rows * self.panel.1
    }

    /// Draws title and legend, its samples by `sample` (the k-th, from this left end of its middle line),
    /// then whatever `rest` draws, and writes the file.
    pub fn save(
        &self,
        path: &Path,
        sample: impl Fn(&Canvas, usize, (i32, i32)) -> Drawn,
        rest: impl FnOnce(&Canvas) -> Drawn,
    ) -> Result<()> {
        let mut svg = String::new();
        let height = self.legend_top() + self.legend.rows(self.width()) * LEGEND_ROW + 10;
        let draw = |svg: &mut String| {
            let size = (self.width() as u32, height as u32);
            let canvas = SVGBackend::with_string(svg, size).into_drawing_area();
            canvas.fill(&look::PAPER)?;
            if !self.title.is_empty() {
                let (place, font) =
                    ((self.width() / 2, 10), look::font(TITLE_FONT, FontStyle::Bold));
                look::write(&canvas, self.title, place, font, look::CENTRED)?;
            }
            rest(&canvas)?;
            self.draw_legend(&canvas, sample)?;
            canvas.present()
        };
        draw(&mut svg).map_err(|error: look::DrawingError| Error::File {
            path: path.to_path_buf(),
            expected: "a chart that can be drawn".to_owned(),
            found: error.to_string(),
        })?;
        super::write_report(path, |file| {
            file.write_all(svg.as_bytes()).map_err(|source| Error::io(path, source))
        })
    }

    fn draw_legend(
        &self,
        canvas: &Canvas,
        sample: impl Fn(&Canvas, usize, (i32, i32)) -> Drawn,
    ) -> Drawn {
        let columns = self.legend.columns(self.width());
        let column_width = (self.width() - 20) / columns.max(1);
        for (k, name) in self.legend.names.iter().enumerate() {
            let (row, column) = (k as i32 / columns, k as i32 % columns);
            let left = 14 + column * column_width;
            let y = self.legend_top() + row * LEGEND_ROW + LEGEND_ROW / 2;
            sample(canvas, k, (left, y))?;
            let font = look::font(SMALL_FONT, FontStyle::Normal);
            look::write(canvas, name, (left + LEGEND_SAMPLE + 8, y), font, look::LEFT)?;
        }
        Ok(())
    }
}

/// Names to explain, in order of first appearance; the position is the look.
pub(super) struct Legend<'a> {
    pub names: Vec<&'a str>,
}

impl<'a> Legend<'a> {
    pub fn new(all: impl Iterator<Item = &'a str>) -> Self {
        let mut names = Vec::new();
        for name in all {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self { names }
    }

    pub fn position(&self, name: &str) -> usize {
        self.names.iter().position(|known| *known == name).unwrap_or(0)
    }

    fn rows(&self, width: i32) -> i32 {
        let longest = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let entry = f64::from(LEGEND_SAMPLE) + 24.0 + LETTER_WIDTH * longest as f64;
        let fitting = ((f64::from(width) / entry) as i32).max(1);
        (self.names.len() as i32 + fitting - 1) / fitting
    }

    /// Names in a row, evenly shared out.
    fn columns(&self, width: i32) -> i32 {
        let rows = self.rows(width).max(1);
        (self.names.len() as i32 + rows - 1) / rows
    }
}

/// Refuses a length outside `smallest..=10,000` pixels.
pub(super) fn check_length(
    what: &'static str,
    rule: &'static str,
    length: u32,
    smallest: u32,
) -> Result<()> {
    if (smallest..=10_000).contains(&length) {
        return Ok(());
    }
    Err(Error::range(what, rule, f64::from(length)))
}

/// Refuses an empty list of `what`.
pub(super) fn check_some<T>(what: &'static str, list: &[T]) -> Result<()> {
    if list.is_empty() { Err(Error::shape(what, "at least one", 0)) } else { Ok(()) }
}

/// Refuses a row of numbers of which one is NaN or infinite.
pub(super) fn check_finite(what: &'static str, row: usize, numbers: &[f64]) -> Result<()> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(column) => Err(Error::NotFinite { what, row, column, found: numbers[column] }),
        None => Ok(()),
    }
}
