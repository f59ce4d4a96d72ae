//! Points in square panels, for example a proxy's ranks against the target's.

use std::path::Path;

use plotters::element::{Circle, DashedPathElement, Rectangle};
use plotters::style::{Color, FontStyle, RGBColor};

use super::axes::{Axes, Axis, MARGINS, padded_range};
use super::look::{self, CENTRED, Canvas, Drawn, INK, LEGEND_SAMPLE, PALETTE, SMALL_FONT};
use super::page::{Legend, Page, check_finite, check_length, check_some};
use crate::error::{Error, Result};

/// Points over one pair of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterPanel {
    /// Heading; may be empty.
    pub title: String,
    /// A line under the heading, for example `Spearman 0.83`; may be empty.
    pub note: String,
    /// `(x, y)`, in any order.
    pub points: Vec<(f64, f64)>,
}

/// Look of a [`scatter_chart`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterOptions {
    /// Heading of the whole figure; may be empty.
    pub title: String,
    /// Label under every x axis.
    pub x_label: String,
    /// Label at the left of each row of panels.
    pub y_label: String,
    /// x ticks in percent: 0.05 reads "5%". Default `false`.
    pub x_percent: bool,
    /// y ticks in percent. Default `false`.
    pub y_percent: bool,
    /// The dashed line y = x. Both axes then span the same range, so that it is the diagonal.
    /// Default `false`.
    pub identity: bool,
    /// The same ranges in all panels, so that they can be compared. Default `true`.
    pub shared: bool,
    /// Width of a panel with its labels, in pixels; at least 200. Default 280. Its height follows: the
    /// frame is square.
    pub panel_width: u32,
}

impl Default for ScatterOptions {
    fn default() -> Self {
        Self {
            title: String::new(),
            x_label: String::new(),
            y_label: String::new(),
            x_percent: false,
            y_percent: false,
            identity: false,
            shared: true,
            panel_width: 280,
        }
    }
}

/// Most points of a figure drawn as dots, about 100 bytes each; more become cells.
const MOST_DOTS: usize = 4000;
/// Cells along an axis, about.
const CELLS: i32 = 40;
/// Shades of cells from one point to the most.
const SHADES: u32 = 8;
/// Most panels in a row.
const MOST_COLUMNS: usize = 4;
/// More room for y ticks than elsewhere: ranks have many digits.
const TICK_ROOM: i32 = 8;
/// Room for the note under the heading.
const NOTE_HEIGHT: i32 = 20;

/// Draws square panels of points into one SVG file, at most four in a row.
///
/// Up to 4,000 points in the figure are small translucent dots, darker where they lie on each other. With
/// more, every panel becomes a histogram, so that the file stays small: it is cut into about 40 by 40
/// square cells, each shaded by how many points fall into it, in eight steps of the logarithm from one
/// point to the fullest cell of the figure. The legend says how many that is. Nothing is drawn at random.
///
/// # Errors
/// [`Error::Shape`] without panels, or for a panel without points; [`Error::NotFinite`] for a number that
/// is NaN or infinite (row: the point; column: x or y); [`Error::OutOfRange`] for one beyond 1e300 or a
/// panel that is too small; [`Error::Io`] if the system refuses. An older file is then untouched.
///
/// # Example
/// ```
/// use gleaner::report::{ScatterOptions, ScatterPanel, scatter_chart};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("ranks.svg");
/// let points = (0..500).map(|k| (f64::from(k), f64::from((k + 7 * (k % 11)) % 500))).collect();
/// let panel = ScatterPanel { title: "entropy".into(), note: "Spearman 0.83".into(), points };
/// let options = ScatterOptions {
///     x_label: "rank by the proxy".into(),
///     y_label: "rank by the target".into(),
///     identity: true,
///     ..Default::default()
/// };
/// scatter_chart(&path, &options, &[panel])?;
/// assert!(std::fs::read_to_string(&path).unwrap().contains("Spearman 0.83"));
/// # Ok::<(), gleaner::Error>(())
/// ```
pub fn scatter_chart(
    path: impl AsRef<Path>,
    options: &ScatterOptions,
    panels: &[ScatterPanel],
) -> Result<()> {
    check(options, panels)?;
    let rows = panels.len().div_ceil(MOST_COLUMNS);
    let note = if panels.iter().all(|panel| panel.note.is_empty()) { 0 } else { NOTE_HEIGHT };
    let width = options.panel_width as i32;
    let explained;
    let mut page = Page {
        title: &options.title,
        columns: panels.len().div_ceil(rows) as i32,
        rows: rows as i32,
        panel: (width, MARGINS.2 + note + side(width) + MARGINS.3),
        legend: Legend { names: Vec::new() },
    };
    let settled = panels.iter().enumerate().map(|(k, panel)| {
        let sharing = if options.shared { panels } else { std::slice::from_ref(panel) };
        settle(options, sharing, page.corner(k), note)
    });
    let axes: Vec<Axes> = settled.collect();
    let dense = panels.iter().map(|panel| panel.points.len()).sum::<usize>() > MOST_DOTS;
    let cells: Option<Vec<Cells>> = dense.then(|| {
        panels.iter().zip(&axes).map(|(panel, axes)| Cells::new(&panel.points, axes)).collect()
    });
    let fullest = cells.iter().flatten().flat_map(|cells| &cells.counts).max().copied();
    if let Some(fullest) = fullest {
        explained = match fullest {
            1 => "1 point in a cell".to_owned(),
            _ => format!("1 to {fullest} points in a cell, shaded by the logarithm"),
        };
        page.legend.names.push(&explained);
    }
    let sample = |canvas: &Canvas, _, corner| draw_shades(canvas, corner);
    page.save(path.as_ref(), sample, |canvas| {
        for (k, (panel, axes)) in panels.iter().zip(&axes).enumerate() {
            axes.draw(canvas)?;
            draw_texts(canvas, options, panel, axes)?;
            if k as i32 % page.columns == 0 {
                axes.draw_y_label(canvas, &options.y_label, 6)?;
            }
            match &cells {
                Some(cells) => cells[k].draw(canvas, axes, fullest.unwrap_or(1))?,
                None => draw_dots(canvas, panel, axes)?,
            }
            if options.identity {
                draw_identity(canvas, axes)?;
            }
        }
        Ok(())
    })
}

fn check(options: &ScatterOptions, panels: &[ScatterPanel]) -> Result<()> {
    let rule = "from 200 to 10,000 pixels";
    check_length("ScatterOptions::panel_width", rule, options.panel_width, 200)?;
    check_some("panels of a chart", panels)?;
    for panel in panels {
        check_some("points of a panel", &panel.points)?;
        for (row, &(x, y)) in panel.points.iter().enumerate() {
            check_finite("points of a panel", row, &[x, y])?;
            if let Some(found) = [x, y].into_iter().find(|number| number.abs() > 1e300) {
                let (what, rule) = ("points of a panel", "from -1e300 to 1e300");
                return Err(Error::range(what, rule, found));
            }
        }
    }
    Ok(())
}

/// Width and height of the frame in a panel of this width.
fn side(panel_width: i32) -> i32 {
    panel_width - MARGINS.0 - TICK_ROOM - MARGINS.1
}

/// Square axes for all panels in `sharing`, below the heading and a note of this height.
fn settle(
    options: &ScatterOptions,
    sharing: &[ScatterPanel],
    (left, top): (i32, i32),
    note: i32,
) -> Axes {
    let points = || sharing.iter().flat_map(|panel| &panel.points);
    let mut x = padded_range(points().map(|point| point.0));
    let mut y = padded_range(points().map(|point| point.1));
    if options.identity {
        x = (x.0.min(y.0), x.1.max(y.1));
        y = x;
    }
    let width = options.panel_width as i32;
    let ticks = (f64::from(side(width)) / 45.0).min(10.0);
    let x = Axis::linear(x, ticks, options.x_percent);
    let y = Axis::linear(y, ticks, options.y_percent);
    let size = (width - TICK_ROOM, MARGINS.2 + side(width) + MARGINS.3);
    Axes::new((left + TICK_ROOM, top + note), size, x, y)
}

fn draw_texts(
    canvas: &Canvas,
    options: &ScatterOptions,
    panel: &ScatterPanel,
    axes: &Axes,
) -> Drawn {
    let (rise, font) = (21, look::font(SMALL_FONT, FontStyle::Normal));
    let place = ((axes.left + axes.right) / 2, axes.top - rise);
    look::write(canvas, &panel.note, place, font, CENTRED)?;
    let above = if panel.note.is_empty() { 24 } else { 24 + NOTE_HEIGHT };
    axes.draw_heading(canvas, &panel.title, above)?;
    axes.draw_x_label(canvas, &options.x_label)
}

fn draw_dots(canvas: &Canvas, panel: &ScatterPanel, axes: &Axes) -> Drawn {
    let style = PALETTE[0].mix(0.4).filled();
    panel
        .points
        .iter()
        .try_for_each(|&point| canvas.draw(&Circle::new(axes.pixel(point), 2, style)))
}

fn draw_identity(canvas: &Canvas, axes: &Axes) -> Drawn {
    let (low, high) = axes.x.range;
    let line = [axes.pixel((low, low)), axes.pixel((high, high))];
    canvas.draw(&DashedPathElement::new(line, 6, 4, INK.stroke_width(1)))
}

/// How many points fall into each cell of a square frame.
struct Cells {
    /// Side of a cell in pixels.
    size: i32,
    /// Cells along an axis.
    along: i32,
    /// Row by row from the top.
    counts: Vec<u32>,
}

impl Cells {
    fn new(points: &[(f64, f64)], axes: &Axes) -> Self {
        let side = axes.right - axes.left;
        let size = (side + CELLS - 1) / CELLS;
        let along = side / size + 1;
        let mut counts = vec![0; (along * along) as usize];
        for &point in points {
            let (x, y) = axes.pixel(point);
            let cell = (y - axes.top) / size * along + (x - axes.left) / size;
            counts[cell as usize] += 1;
        }
        Self { size, along, counts }
    }

    /// Neighbours of one shade in a row are drawn as one.
    fn draw(&self, canvas: &Canvas, axes: &Axes, fullest: u32) -> Drawn {
        for (row, counts) in self.counts.chunks(self.along as usize).enumerate() {
            let mut column = 0;
            for run in counts.chunk_by(|&a, &b| shade(a, fullest) == shade(b, fullest)) {
                let (left, top) =
                    (axes.left + column * self.size, axes.top + row as i32 * self.size);
                column += run.len() as i32;
                let right = (axes.left + column * self.size).min(axes.right);
                let bottom = (top + self.size).min(axes.bottom);
                let shade = shade(run[0], fullest);
                if shade > 0 {
                    let color = shade_color(shade).filled();
                    canvas.draw(&Rectangle::new([(left, top), (right, bottom)], color))?;
                }
            }
        }
        Ok(())
    }
}

/// From 1 for one point to [`SHADES`] for the fullest cell; 0 for an empty one.
fn shade(count: u32, fullest: u32) -> u32 {
    if count == 0 {
        return 0;
    }
    // Where no cell has two points, all are of the first shade.
    let share = f64::from(count).ln() / f64::from(fullest.max(2)).ln();
    1 + (f64::from(SHADES - 1) * share).round() as u32
}

/// The first colour of the palette, mixed with white.
fn shade_color(shade: u32) -> RGBColor {
    let ink = 0.1 + 0.9 * f64::from(shade) / f64::from(SHADES);
    let mixed = |channel: u8| (255.0 - ink * (255.0 - f64::from(channel))).round() as u8;
    RGBColor(mixed(PALETTE[0].0), mixed(PALETTE[0].1), mixed(PALETTE[0].2))
}

fn draw_shades(canvas: &Canvas, (left, y): (i32, i32)) -> Drawn {
    let end = |shade: u32| left + LEGEND_SAMPLE * shade as i32 / SHADES as i32;
    (1..=SHADES).try_for_each(|shade| {
        let corners = [(end(shade - 1), y - 7), (end(shade), y + 7)];
        canvas.draw(&Rectangle::new(corners, shade_color(shade).filled()))
    })
}
