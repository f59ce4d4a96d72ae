//! Horizontal bars made of segments, for example the time a strategy takes by stage.

use std::path::Path;

use plotters::element::{DashedPathElement, PathElement, Rectangle};
use plotters::style::{Color, FontStyle};

use super::axes::{Axes, Axis};
use super::look::{
    self, Canvas, Drawn, INK, LEFT, LEGEND_SAMPLE, Look, PALETTE, PAPER, RIGHT, SMALL_FONT,
};
use super::page::{Legend, Page, check_finite, check_length, check_some};
use crate::error::{Error, Result};

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What stands at its left; cut with an ellipsis beyond 45 % of the panel.
    pub label: String,
    /// `(name, length)` from left to right, lengths at least 0. Segments of one name look alike in
    /// every bar and panel.
    pub segments: Vec<(String, f64)>,
    /// Standard deviation of the whole length; 0 draws no spread.
    pub std: f64,
}

impl Bar {
    fn total(&self) -> f64 {
        self.segments.iter().map(|segment| segment.1).sum()
    }
}

/// Bars over one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct BarPanel {
    /// Heading; may be empty.
    pub title: String,
    /// The bars, from top to bottom.
    pub bars: Vec<Bar>,
    /// Where the dashed reference line stands, for example the time without any selection.
    pub reference: Option<f64>,
}

/// Look of a [`bar_chart`].
#[derive(Clone, Debug, PartialEq)]
pub struct BarOptions {
    /// Heading of the whole figure; may be empty.
    pub title: String,
    /// Label under every x axis, with the unit: `minutes`.
    pub x_label: String,
    /// Whether there is an x axis with grid, ticks and label at all. Default `true`.
    pub x_axis: bool,
    /// What follows the number at the end of each bar, for example ` min`; may be empty.
    pub unit: String,
    /// Name of the reference line in the legend; may be empty.
    pub reference: String,
    /// The same x range in all panels, so that they can be compared. Default `true`.
    pub shared_x: bool,
    /// Most panels in a row; at least 1. Default 2.
    pub columns: usize,
    /// Width of a panel with its labels, in pixels; at least 320. Default 480, so that two panels are
    /// as wide as a page.
    pub panel_width: u32,
    /// From one bar to the next, in pixels; at least 16. Default 28.
    pub row_height: u32,
}

impl Default for BarOptions {
    fn default() -> Self {
        Self {
            title: String::new(),
            x_label: String::new(),
            x_axis: true,
            unit: String::new(),
            reference: String::new(),
            shared_x: true,
            columns: 2,
            panel_width: 480,
            row_height: 28,
        }
    }
}

/// Draws panels of horizontal stacked bars into one SVG file, with one legend below them all.
///
/// Each bar starts at 0 and ends with its spread (from total - std, but not below 0, to total + std) and
/// its total, as `12.3 ± 0.4` with three significant digits. The x axis is linear: on a logarithmic one the
/// lengths of stacked segments mean nothing. Labels take the same room in all panels.
///
/// # Errors
/// [`Error::Shape`] without panels, or for a panel without bars or a bar without segments;
/// [`Error::NotFinite`] for a number that is NaN or infinite (row: the bar; column: its segment, then the
/// deviation); [`Error::OutOfRange`] for a negative length, deviation or reference, a number above 1e300,
/// more than seven names of segments (there are no more colours to tell apart), or a size that is too
/// small; [`Error::Io`] if the system refuses. An older file is then untouched.
///
/// # Example
/// ```
/// use gleaner::report::{Bar, BarOptions, BarPanel, bar_chart};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("time.svg");
/// let bar = |label: &str, stages: [f64; 3], std| {
///     let names = ["training the proxy", "selection", "training the target"];
///     let segments = names.map(String::from).into_iter().zip(stages).collect();
///     Bar { label: label.into(), segments, std }
/// };
/// let bars = vec![bar("max entropy", [4.1, 0.2, 31.0], 0.8), bar("k-center", [4.1, 2.7, 30.8], 1.1)];
/// let panel = BarPanel { title: "half of the data".into(), bars, reference: Some(62.0) };
/// let options = BarOptions {
///     x_label: "minutes".into(),
///     unit: " min".into(),
///     reference: "training on everything".into(),
///     ..Default::default()
/// };
/// bar_chart(&path, &options, &[panel])?;
/// assert!(std::fs::read_to_string(&path).unwrap().contains("35.3 ± 0.8 min"));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn bar_chart(path: impl AsRef<Path>, options: &BarOptions, panels: &[BarPanel]) -> Result<()> {
    check(options, panels)?;
    let bars = panels.iter().flat_map(|panel| &panel.bars);
    let names = bars.flat_map(|bar| &bar.segments).map(|(name, _)| name.as_str());
    let mut legend = Legend::new(names.filter(|name| !name.is_empty()));
    let segments = legend.names.len();
    if segments > PALETTE.len() {
        let (what, rule) = ("number of names of segments", "at most 7, the colours there are");
        return Err(Error::range(what, rule, segments as f64));
    }
    if !options.reference.is_empty() && panels.iter().any(|panel| panel.reference.is_some()) {
        legend.names.push(&options.reference);
    }
    let figure = Figure::new(options, panels);
    let columns = options.columns.min(panels.len());
    let page = Page {
        title: &options.title,
        columns: columns as i32,
        rows: panels.len().div_ceil(columns) as i32,
        panel: (options.panel_width as i32, figure.panel_height),
        legend,
    };
    let sample = |canvas: &Canvas, k, (left, y)| {
        let right = left + LEGEND_SAMPLE;
        if k < segments {
            return canvas
                .draw(&Rectangle::new([(left, y - 7), (right, y + 7)], Look(k).color().filled()));
        }
        draw_dashed(canvas, vec![(left, y), (right, y)])
    };
    page.save(path.as_ref(), sample, |canvas| {
        for (k, panel) in panels.iter().enumerate() {
            let sharing = if options.shared_x { panels } else { std::slice::from_ref(panel) };
            let axes = figure.axes(page.corner(k), panel, figure.longest(sharing));
            figure.draw_panel(canvas, panel, &axes, &page.legend)?;
        }
        Ok(())
    })
}

fn check(options: &BarOptions, panels: &[BarPanel]) -> Result<()> {
    let (width, height) = (options.panel_width, options.row_height);
    check_length("BarOptions::panel_width", "from 320 to 10,000 pixels", width, 320)?;
    check_length("BarOptions::row_height", "from 16 to 10,000 pixels", height, 16)?;
    if options.columns == 0 {
        return Err(Error::range("BarOptions::columns", ">= 1", 0.0));
    }
    check_some("panels of a chart", panels)?;
    for panel in panels {
        check_some("bars of a panel", &panel.bars)?;
        for (row, bar) in panel.bars.iter().enumerate() {
            check_some("segments of a bar", &bar.segments)?;
            let lengths = bar.segments.iter().map(|segment| segment.1);
            let numbers: Vec<f64> = lengths.chain([bar.std]).collect();
            check_finite("lengths and deviation of a bar", row, &numbers)?;
            numbers.into_iter().try_for_each(|number| check_drawable("length in a bar", number))?;
            check_drawable("whole length of a bar", bar.total() + bar.std)?;
        }
        panel.reference.map_or(Ok(()), |place| check_drawable("reference of a panel", place))?;
    }
    Ok(())
}

fn check_drawable(what: &'static str, found: f64) -> Result<()> {
    if (0.0..=1e300).contains(&found) {
        return Ok(());
    }
    Err(Error::range(what, "from 0 to 1e300", found))
}

/// Room above the bars of a panel, and below them with an axis and without one.
const ABOVE: i32 = 32;
const BELOW: (i32, i32) = (56, 14);
/// Space around texts beside the bars.
const GAP: i32 = 8;
/// Thickness of a bar, as a share of its row.
const THICKNESS: f64 = 0.64;

struct Figure<'a> {
    options: &'a BarOptions,
    panel_height: i32,
    /// Room for the labels at the left.
    label_width: i32,
}

impl<'a> Figure<'a> {
    fn new(options: &'a BarOptions, panels: &[BarPanel]) -> Self {
        let bars = panels.iter().flat_map(|panel| &panel.bars);
        let widest = bars.map(|bar| look::text_width(&bar.label)).max().unwrap_or(0);
        let most = panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0) as i32;
        let below = if options.x_axis { BELOW.0 } else { BELOW.1 };
        Self {
            options,
            panel_height: ABOVE + most * options.row_height as i32 + below,
            label_width: widest.min(9 * options.panel_width as i32 / 20),
        }
    }

    /// Pixels between the start of the bars and the right edge of their panel.
    fn room(&self) -> i32 {
        self.options.panel_width as i32 - self.label_width - 2 * GAP - 14
    }

    /// Where the x axis must end for all bars of `sharing`, with their values behind them, to fit.
    fn longest(&self, sharing: &[BarPanel]) -> f64 {
        let room = f64::from(self.room());
        let bars = sharing.iter().flat_map(|panel| &panel.bars).map(|bar| {
            let text = f64::from(look::text_width(&self.value(bar)) + 2 * GAP);
            (bar.total() + bar.std) * room / (room - text).max(room / 8.0)
        });
        let references = sharing.iter().filter_map(|panel| panel.reference);
        let longest = bars.chain(references.map(|place| 1.04 * place)).fold(0.0, f64::max);
        if longest > 0.0 { longest } else { 1.0 }
    }

    fn axes(&self, (left, top): (i32, i32), panel: &BarPanel, longest: f64) -> Axes {
        let left = left + self.label_width + 2 * GAP;
        let count = (f64::from(self.room()) / 48.0).clamp(2.0, 7.0);
        let rows = panel.bars.len() as i32 * self.options.row_height as i32;
        let x = Axis::linear((0.0, longest), count, false);
        // Rows are counted from the top.
        let y = Axis {
            range: (panel.bars.len() as f64, 0.0),
            log: false,
            percent: false,
            ticks: vec![],
        };
        let (right, top) = (left + self.room(), top + ABOVE);
        Axes { left, right, top, bottom: top + rows, x, y }
    }

    /// The total with three significant digits, the deviation with as many decimals.
    fn value(&self, bar: &Bar) -> String {
        let (total, unit) = (bar.total(), &self.options.unit);
        let number = |value: f64| match (1e-3..1e6).contains(&total) || total == 0.0 {
            true => format!("{value:.*}", decimals(total)),
            false => format!("{value:.2e}"),
        };
        match bar.std > 0.0 {
            true => format!("{} ± {}{unit}", number(total), number(bar.std)),
            false => format!("{}{unit}", number(total)),
        }
    }

    fn draw_panel(
        &self,
        canvas: &Canvas,
        panel: &BarPanel,
        axes: &Axes,
        legend: &Legend<'_>,
    ) -> Drawn {
        axes.draw_heading(canvas, &panel.title, 24)?;
        if self.options.x_axis {
            axes.draw_x(canvas)?;
            axes.draw_x_label(canvas, &self.options.x_label)?;
        }
        let rows = || panel.bars.iter().enumerate().map(|(k, bar)| (bar, axes.row(k as f64 + 0.5)));
        rows().try_for_each(|(bar, y)| self.draw_segments(canvas, bar, axes, y, legend))?;
        let (left, top, bottom) = (axes.left, axes.top, axes.bottom);
        canvas.draw(&PathElement::new(vec![(left, top), (left, bottom)], INK))?;
        if let Some(place) = panel.reference {
            let x = axes.column(place);
            draw_dashed(canvas, vec![(x, top), (x, bottom)])?;
        }
        rows().try_for_each(|(bar, y)| self.draw_texts(canvas, bar, axes, y))
    }

    /// Half the thickness of a bar.
    fn half(&self) -> i32 {
        (THICKNESS * f64::from(self.options.row_height) / 2.0).round() as i32
    }

    fn draw_segments(
        &self,
        canvas: &Canvas,
        bar: &Bar,
        axes: &Axes,
        y: i32,
        legend: &Legend<'_>,
    ) -> Drawn {
        let mut start = 0.0;
        for (name, length) in &bar.segments {
            let (left, right) = (axes.column(start), axes.column(start + length));
            start += length;
            if left < right {
                let color = Look(legend.position(name)).color().filled();
                let corners = [(left, y - self.half()), (right, y + self.half())];
                canvas.draw(&Rectangle::new(corners, color))?;
            }
        }
        Ok(())
    }

    /// Label, spread and value of the bar around the row `y`.
    fn draw_texts(&self, canvas: &Canvas, bar: &Bar, axes: &Axes, y: i32) -> Drawn {
        let small = look::font(SMALL_FONT, FontStyle::Normal);
        let label = look::fitted(&bar.label, self.label_width);
        look::write(canvas, &label, (axes.left - GAP, y), small.clone(), RIGHT)?;
        let (total, std) = (bar.total(), bar.std);
        let (low, high) = (axes.column((total - std).max(0.0)), axes.column(total + std));
        if std > 0.0 {
            canvas.draw(&PathElement::new(vec![(low, y), (high, y)], INK))?;
            for x in [low, high] {
                canvas.draw(&PathElement::new(vec![(x, y - 4), (x, y + 4)], INK))?;
            }
        }
        let text = self.value(bar);
        // Grid and reference stay off the number.
        let (left, right) = (high + GAP - 3, high + GAP + look::text_width(&text));
        let behind = [(left, y - self.half()), (right, y + self.half())];
        canvas.draw(&Rectangle::new(behind, PAPER.filled()))?;
        look::write(canvas, &text, (high + GAP, y), small, LEFT)
    }
}

fn draw_dashed(canvas: &Canvas, line: Vec<(i32, i32)>) -> Drawn {
    canvas.draw(&DashedPathElement::new(line, 6, 4, INK.stroke_width(2)))
}

/// Decimals for three significant digits.
fn decimals(value: f64) -> usize {
    if value == 0.0 { 0 } else { (2 - value.log10().floor() as i32).clamp(0, 12) as usize }
}
