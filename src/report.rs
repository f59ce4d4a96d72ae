//! Results on paper: CSV tables, plain-text tables and SVG line charts.
//!
//! Needs the feature `report`. Files appear whole or not at all: they are written under a temporary
//! name beside their place and renamed, and missing parent folders are made.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon, Text};
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle,
};

use crate::error::{Error, Result};

/// Writes a CSV file: the header, then the rows as they come.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("results/accuracy.csv");
/// let rows = [("random", 0.71), ("k-center", 0.84)].map(|(name, x)| vec![name.into(), x.to_string()]);
/// gleaner::report::write_csv(&path, &["strategy", "accuracy"], rows.into_iter())?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "strategy,accuracy\nrandom,0.71\nk-center,0.84\n");
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the header is empty or a row has another length, [`Error::Io`] if the system
/// refuses. An older file at `path` is then untouched.
pub fn write_csv(
    path: impl AsRef<Path>,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<()> {
    let path = path.as_ref();
    if header.is_empty() {
        return Err(Error::shape("header", "at least one column", 0));
    }
    write_whole(path, |file| {
        let mut table = csv::Writer::from_writer(BufWriter::new(file));
        table.write_record(header).map_err(|error| csv_error(path, error))?;
        for row in rows {
            if row.len() != header.len() {
                return Err(Error::shape("row of the table", header.len(), row.len()));
            }
            table.write_record(&row).map_err(|error| csv_error(path, error))?;
        }
        table.flush().map_err(|source| io_error(path, source))
    })
}

/// A table in plain text: columns aligned by spaces, a rule under the header, no trailing blanks.
///
/// A column whose cells all start like a number is aligned right, any other one left. Short rows
/// are filled with empty cells; cells beyond the header get an empty heading.
///
/// ```
/// let rows = [vec!["random".into(), "71.0 %".into()], vec!["k-center".into(), "4.5 %".into()]];
/// let table = gleaner::report::text_table(&["strategy", "accuracy"], &rows);
/// assert_eq!(table, "\
/// strategy  accuracy
/// --------  --------
/// random      71.0 %
/// k-center     4.5 %
/// ");
/// ```
pub fn text_table(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).chain([header.len()]).max().unwrap_or(0);
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let widths: Vec<usize> = (0..columns)
        .map(|k| rows.iter().chain([&header]).map(|row| cell(row, k).chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let numeric: Vec<bool> =
        (0..columns).map(|k| rows.iter().all(|row| starts_like_number(&cell(row, k)))).collect();
    let line = |row: &[String]| {
        let cells: Vec<String> = (0..columns)
            .map(|k| match numeric[k] {
                true => format!("{:>width$}", cell(row, k), width = widths[k]),
                false => format!("{:<width$}", cell(row, k), width = widths[k]),
            })
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    let mut table = line(&header) + &line(&rule);
    table.extend(rows.iter().map(|row| line(row)));
    table
}

fn starts_like_number(cell: &str) -> bool {
    let unsigned = cell.trim_start().trim_start_matches(['-', '+', '−', '±', '.']);
    cell.trim().is_empty() || unsigned.starts_with(|first: char| first.is_ascii_digit())
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend. Series of one name look alike in every panel.
    pub name: String,
    /// `(x, mean, standard deviation)`, in any order; a deviation of 0 draws no spread.
    pub points: Vec<(f64, f64, f64)>,
}

/// One pair of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Heading; may be empty.
    pub title: String,
    /// The lines. The first one is drawn on top.
    pub series: Vec<Series>,
}

/// How the standard deviation is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// Bars from mean - std to mean + std. With several series every line is moved a few pixels
    /// sideways, so that bars at the same x stay apart.
    #[default]
    Bars,
    /// A tinted band; best for few series.
    Band,
    /// Not at all.
    Hidden,
}

/// Look of a [`line_chart`].
#[derive(Clone, Debug, PartialEq)]
pub struct ChartOptions {
    /// Heading of the whole figure; may be empty.
    pub title: String,
    /// Label under every x axis.
    pub x_label: String,
    /// Label at the left of the figure.
    pub y_label: String,
    /// Logarithmic x axis. Default `false`.
    pub x_log: bool,
    /// x ticks in percent: 0.05 reads "5%". Default `false`.
    pub x_percent: bool,
    /// y ticks in percent. Default `false`.
    pub y_percent: bool,
    /// The same y range in all panels, so that they can be compared. Default `true`.
    pub shared_y: bool,
    /// How standard deviations are drawn. Default bars.
    pub spread: Spread,
    /// Width of a panel with its labels, in pixels; at least 200. Default 480, so that two panels
    /// are as wide as a page.
    pub panel_width: u32,
    /// Height of a panel with its labels, in pixels; at least 150. Default 380.
    pub panel_height: u32,
}

impl Default for ChartOptions {
    fn default() -> Self {
        Self {
            title: String::new(),
            x_label: String::new(),
            y_label: String::new(),
            x_log: false,
            x_percent: false,
            y_percent: false,
            shared_y: true,
            spread: Spread::default(),
            panel_width: 480,
            panel_height: 380,
        }
    }
}

/// Draws panels side by side into one SVG file, with one legend below them all.
///
/// Series are told apart by colour, marker and line pattern together, in the order in which their
/// names first appear; the colours are those of Okabe and Ito, which colour-blind readers can tell
/// apart, without the yellow, which is too pale on white. Looks repeat after 21 names. If a panel has at
/// most eight different x values, its ticks are just those.
///
/// # Errors
/// [`Error::Shape`] without panels, or for a panel without series or a series without points;
/// [`Error::NotFinite`] for a number that is NaN or infinite (row: the point; column: x, mean or
/// std); [`Error::OutOfRange`] for a negative standard deviation, an `x <= 0` on a logarithmic axis
/// or a panel that is too small; [`Error::Io`] if the system refuses. An older file is then untouched.
///
/// # Example
///
/// ```
/// use gleaner::report::{ChartOptions, Panel, Series, line_chart};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("accuracy.svg");
/// let points = vec![(0.05, 0.71, 0.02), (0.1, 0.80, 0.01), (0.2, 0.86, 0.01)];
/// let panel = Panel {
///     title: "clean labels".into(),
///     series: vec![Series { name: "random".into(), points }],
/// };
/// let options = ChartOptions { x_label: "share kept".into(), x_percent: true, ..Default::default() };
/// line_chart(&path, &options, &[panel])?;
/// assert!(std::fs::read_to_string(&path).unwrap().contains("share kept"));
/// # Ok::<(), gleaner::Error>(())
/// ```
///
/// # Reference
/// M. Okabe and K. Ito, "Color Universal Design", 2008: the palette.
pub fn line_chart(path: impl AsRef<Path>, options: &ChartOptions, panels: &[Panel]) -> Result<()> {
    let path = path.as_ref();
    check_chart(options, panels)?;
    let figure = Figure::new(options, panels);
    let mut svg = String::new();
    figure.draw(&mut svg).map_err(|error| Error::File {
        path: path.to_path_buf(),
        expected: "a chart that can be drawn".to_owned(),
        found: error.to_string(),
    })?;
    write_whole(path, |mut file| {
        file.write_all(svg.as_bytes()).map_err(|source| io_error(path, source))
    })
}

fn check_chart(options: &ChartOptions, panels: &[Panel]) -> Result<()> {
    for (what, found, smallest, rule) in [
        ("ChartOptions::panel_width", options.panel_width, 200, "from 200 to 10,000 pixels"),
        ("ChartOptions::panel_height", options.panel_height, 150, "from 150 to 10,000 pixels"),
    ] {
        if !(smallest..=10_000).contains(&found) {
            return Err(Error::OutOfRange { what, rule, found: f64::from(found) });
        }
    }
    if panels.is_empty() {
        return Err(Error::shape("panels of a chart", "at least one", 0));
    }
    for panel in panels {
        if panel.series.is_empty() {
            return Err(Error::shape("series of a panel", "at least one", 0));
        }
        for series in &panel.series {
            check_series(series, options.x_log)?;
        }
    }
    Ok(())
}

fn check_series(series: &Series, x_log: bool) -> Result<()> {
    if series.points.is_empty() {
        return Err(Error::shape("points of a series", "at least one", 0));
    }
    for (row, &(x, mean, std)) in series.points.iter().enumerate() {
        for (column, found) in [x, mean, std].into_iter().enumerate() {
            if !found.is_finite() {
                return Err(Error::NotFinite { what: "points of a series", row, column, found });
            }
        }
        if std < 0.0 {
            let (what, rule) = ("standard deviation of a point", ">= 0");
            return Err(Error::OutOfRange { what, rule, found: std });
        }
        if x_log && x <= 0.0 {
            let (what, rule) = ("x of a point", "positive on a logarithmic axis");
            return Err(Error::OutOfRange { what, rule, found: x });
        }
    }
    Ok(())
}

// Everything below draws. Lengths and sizes are pixels.

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

const TITLE_FONT: f64 = 18.0;
const HEADING_FONT: f64 = 15.0;
const LABEL_FONT: f64 = 14.0;
const SMALL_FONT: f64 = 13.0;
/// The SVG backend divides font sizes by this.
const BACKEND_FONT_FACTOR: f64 = 1.24;
/// Rough width of a letter of the small font, for room in the legend.
const LETTER_WIDTH: f64 = 7.0;

const TITLE_HEIGHT: i32 = 34;
const LEGEND_ROW: i32 = 24;
const LEGEND_SAMPLE: i32 = 38;
/// Room around the axes of a panel: left, right, top, bottom.
const MARGINS: (i32, i32, i32, i32) = (68, 14, 32, 56);
/// Free space between the data and the frame, as a share of the axis.
const AXIS_PADDING: f64 = 0.05;
/// Fewest pixels between two x ticks.
const TICK_DISTANCE: i32 = 36;
/// Sideways distance of neighbouring series, and the most between the first and the last.
const DODGE: (f64, f64) = (3.0, 16.0);

const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Okabe and Ito without yellow; the strong ones first.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A whole chart: its panels with their axes settled, and the look of each name.
struct Figure<'a> {
    options: &'a ChartOptions,
    panels: Vec<(&'a Panel, Axes)>,
    /// Names in order of first appearance; the position is the look.
    names: Vec<&'a str>,
}

impl<'a> Figure<'a> {
    fn new(options: &'a ChartOptions, panels: &'a [Panel]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for series in panels.iter().flat_map(|panel| &panel.series) {
            if !names.contains(&series.name.as_str()) {
                names.push(&series.name);
            }
        }
        let top = if options.title.is_empty() { 0 } else { TITLE_HEIGHT };
        let settled = panels.iter().enumerate().map(|(k, panel)| {
            let sharing = if options.shared_y { panels } else { std::slice::from_ref(panel) };
            (panel, Axes::new(options, panel, sharing, k as i32 * options.panel_width as i32, top))
        });
        Self { options, panels: settled.collect(), names }
    }

    fn width(&self) -> i32 {
        self.options.panel_width as i32 * self.panels.len() as i32
    }

    /// Columns and rows of the legend.
    fn legend_shape(&self) -> (i32, i32) {
        let longest = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let entry = f64::from(LEGEND_SAMPLE) + 24.0 + LETTER_WIDTH * longest as f64;
        let names = self.names.len() as i32;
        let fitting = ((f64::from(self.width()) / entry) as i32).clamp(1, names);
        let rows = (names + fitting - 1) / fitting;
        ((names + rows - 1) / rows, rows)
    }

    fn draw(&self, svg: &mut String) -> Drawn {
        let top = self.panels[0].1.top - MARGINS.2;
        let legend_top = top + self.options.panel_height as i32;
        let height = legend_top + self.legend_shape().1 * LEGEND_ROW + 10;
        let canvas =
            SVGBackend::with_string(svg, (self.width() as u32, height as u32)).into_drawing_area();
        canvas.fill(&PAPER)?;
        if !self.options.title.is_empty() {
            let place = (self.width() / 2, 10);
            write(&canvas, &self.options.title, place, font(TITLE_FONT, FontStyle::Bold), CENTRED)?;
        }
        for (k, (panel, axes)) in self.panels.iter().enumerate() {
            axes.draw(&canvas, self.options, &panel.title, k == 0)?;
            self.draw_spreads(&canvas, panel, axes)?;
            self.draw_lines(&canvas, panel, axes)?;
        }
        self.draw_legend(&canvas, legend_top)?;
        canvas.present()
    }

    fn look(&self, series: &Series) -> Look {
        Look(self.names.iter().position(|name| *name == series.name).unwrap_or(0))
    }

    /// How far a series is moved sideways, so that error bars at the same x do not hide each other.
    fn dodge(&self, series: &Series) -> i32 {
        if self.options.spread != Spread::Bars || self.names.len() < 2 {
            return 0;
        }
        let gaps = (self.names.len() - 1) as f64;
        let step = DODGE.0.min(DODGE.1 / gaps);
        ((self.look(series).0 as f64 - gaps / 2.0) * step).round() as i32
    }

    fn draw_spreads(&self, canvas: &Canvas, panel: &Panel, axes: &Axes) -> Drawn {
        for series in panel.series.iter().rev() {
            let color = self.look(series).color();
            let dodge = self.dodge(series);
            let ends = sorted(series).into_iter().map(|(x, mean, std)| {
                let (column, high) = axes.pixel(x, mean + std);
                (column + dodge, high, axes.pixel(x, mean - std).1)
            });
            match self.options.spread {
                Spread::Hidden => {}
                Spread::Band => {
                    let ends: Vec<_> = ends.collect();
                    let upper = ends.iter().map(|&(x, high, _)| (x, high));
                    let lower = ends.iter().rev().map(|&(x, _, low)| (x, low));
                    let outline: Vec<_> = upper.chain(lower).collect();
                    canvas.draw(&Polygon::new(outline, color.mix(0.15).filled()))?;
                }
                Spread::Bars => {
                    let thin = color.mix(0.65).stroke_width(1);
                    for (x, high, low) in ends.filter(|&(_, high, low)| high != low) {
                        canvas.draw(&PathElement::new(vec![(x, high), (x, low)], thin))?;
                        for y in [high, low] {
                            canvas.draw(&PathElement::new(vec![(x - 3, y), (x + 3, y)], thin))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn draw_lines(&self, canvas: &Canvas, panel: &Panel, axes: &Axes) -> Drawn {
        for series in panel.series.iter().rev() {
            let dodge = self.dodge(series);
            let place = |(x, mean, _)| {
                let (column, row) = axes.pixel(x, mean);
                (column + dodge, row)
            };
            let places: Vec<(i32, i32)> = sorted(series).into_iter().map(place).collect();
            self.look(series).draw(canvas, &places, &places)?;
        }
        Ok(())
    }

    fn draw_legend(&self, canvas: &Canvas, top: i32) -> Drawn {
        let (columns, _) = self.legend_shape();
        let column_width = (self.width() - 20) / columns;
        for (k, name) in self.names.iter().enumerate() {
            let (row, column) = (k as i32 / columns, k as i32 % columns);
            let (left, y) = (14 + column * column_width, top + row * LEGEND_ROW + LEGEND_ROW / 2);
            let (right, middle) = (left + LEGEND_SAMPLE, left + LEGEND_SAMPLE / 2);
            Look(k).draw(canvas, &[(left, y), (right, y)], &[(middle, y)])?;
            write(canvas, name, (right + 8, y), font(SMALL_FONT, FontStyle::Normal), LEFT)?;
        }
        Ok(())
    }
}

/// Points by ascending x.
fn sorted(series: &Series) -> Vec<(f64, f64, f64)> {
    let mut points = series.points.clone();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// The frame of a panel, what it spans, and where its ticks are.
struct Axes {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    /// Range of x after [`Axes::scale`].
    x: (f64, f64),
    y: (f64, f64),
    x_log: bool,
    x_ticks: Vec<f64>,
    y_ticks: Vec<f64>,
}

impl Axes {
    /// Axes of `panel`, with the y range of all panels in `sharing`.
    fn new(options: &ChartOptions, panel: &Panel, sharing: &[Panel], x: i32, y: i32) -> Self {
        let scaled = |x: f64| if options.x_log { x.log10() } else { x };
        let points = panel.series.iter().flat_map(|series| &series.points);
        let mut xs: Vec<f64> = points.map(|point| point.0).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let shown = if options.spread == Spread::Hidden { 0.0 } else { 1.0 };
        let ys = sharing.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
        let ys = ys.flat_map(|&(_, mean, std)| [mean - shown * std, mean + shown * std]);
        let (left, right, top, bottom) = MARGINS;
        let mut axes = Self {
            left: x + left,
            right: x + options.panel_width as i32 - right,
            top: y + top,
            bottom: y + options.panel_height as i32 - bottom,
            x: padded_range(xs.iter().map(|&x| scaled(x))),
            y: padded_range(ys),
            x_log: options.x_log,
            x_ticks: Vec::new(),
            y_ticks: Vec::new(),
        };
        axes.y_ticks = round_ticks(axes.y, 8.0);
        axes.x_ticks = axes.choose_x_ticks(xs);
        axes
    }

    fn scale(&self, x: f64) -> f64 {
        if self.x_log { x.log10() } else { x }
    }

    fn pixel(&self, x: f64, y: f64) -> (i32, i32) {
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        let (width, height) =
            (f64::from(self.right - self.left), f64::from(self.bottom - self.top));
        let column = f64::from(self.left) + width * share(self.scale(x), self.x);
        let row = f64::from(self.bottom) - height * share(y, self.y);
        (column.round() as i32, row.round() as i32)
    }

    /// The x values themselves if they are few, otherwise round numbers; none too close to the last.
    fn choose_x_ticks(&self, values: Vec<f64>) -> Vec<f64> {
        let candidates = match (values.len() <= 8, self.x_log) {
            (true, _) => values,
            (false, true) => round_log_ticks(self.x),
            (false, false) => round_ticks(self.x, 7.0),
        };
        let mut ticks: Vec<f64> = Vec::new();
        for x in candidates {
            let far = |&last: &f64| self.pixel(x, 0.0).0 - self.pixel(last, 0.0).0 >= TICK_DISTANCE;
            if ticks.last().is_none_or(far) {
                ticks.push(x);
            }
        }
        ticks
    }

    fn draw(&self, canvas: &Canvas, options: &ChartOptions, title: &str, first: bool) -> Drawn {
        let small = font(SMALL_FONT, FontStyle::Normal);
        for &tick in &self.x_ticks {
            let (x, _) = self.pixel(tick, self.y.0);
            canvas.draw(&PathElement::new(vec![(x, self.top), (x, self.bottom)], GRID))?;
            let text = tick_text(tick, options.x_percent);
            write(canvas, &text, (x, self.bottom + 7), small.clone(), CENTRED)?;
        }
        for &tick in &self.y_ticks {
            let row = f64::from(self.bottom - self.top) * (tick - self.y.0) / (self.y.1 - self.y.0);
            let y = self.bottom - row.round() as i32;
            canvas.draw(&PathElement::new(vec![(self.left, y), (self.right, y)], GRID))?;
            let text = tick_text(tick, options.y_percent);
            write(canvas, &text, (self.left - 7, y), small.clone(), RIGHT)?;
        }
        let (left, right, top, bottom) = (self.left, self.right, self.top, self.bottom);
        canvas.draw(&PathElement::new(vec![(left, top), (left, bottom), (right, bottom)], INK))?;

        let middle = ((left + right) / 2, (top + bottom) / 2);
        let label = font(LABEL_FONT, FontStyle::Normal);
        write(canvas, title, (middle.0, top - 24), font(HEADING_FONT, FontStyle::Bold), CENTRED)?;
        write(canvas, &options.x_label, (middle.0, bottom + 29), label.clone(), CENTRED)?;
        if first {
            let upwards = label.transform(FontTransform::Rotate270);
            write(canvas, &options.y_label, (left - MARGINS.0 + 6, middle.1), upwards, CENTRED)?;
        }
        Ok(())
    }
}

/// Smallest and largest of `values`, of which there is one, with some room on either side.
fn padded_range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = values.fold(start, |(low, high), value| (low.min(value), high.max(value)));
    // Halved first: the difference of two finite numbers may overflow.
    let room = AXIS_PADDING * 2.0 * (high / 2.0 - low / 2.0);
    let room = if room > 1e-9 * low.abs().max(high.abs()) { room } else { 0.1 + 0.1 * high.abs() };
    (low - room, high + room)
}

/// Multiples of 1, 2, 2.5 or 5 times a power of ten inside the range, about `count` of them.
fn round_ticks((low, high): (f64, f64), count: f64) -> Vec<f64> {
    let rough = (high - low) / count;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0].map(|factor| factor * power).into_iter();
    let step = step.filter(|step| *step >= rough).fold(10.0 * power, f64::min);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    (0..=(last - first).max(0.0) as usize).map(|k| (first + k as f64) * step).collect()
}

/// 1, 2 and 5 times powers of ten inside the range of logarithms; round numbers if those are few.
fn round_log_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let decades = low.floor() as i32..=high.ceil() as i32;
    let steps = if high - low > 4.0 { vec![1.0] } else { vec![1.0, 2.0, 5.0] };
    let ticks =
        decades.flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)).collect::<Vec<_>>());
    let ticks: Vec<f64> = ticks.filter(|x| (low..=high).contains(&x.log10())).collect();
    if ticks.len() < 3 { round_ticks((10f64.powf(low), 10f64.powf(high)), 6.0) } else { ticks }
}

/// A tick in at most six digits.
fn tick_text(value: f64, percent: bool) -> String {
    let value = if percent { 100.0 * value } else { value };
    let unit = if percent { "%" } else { "" };
    let size = value.abs();
    if size < 1e-12 {
        return format!("0{unit}");
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{}{unit}", shortest(format!("{value:.3e}")));
    }
    let decimals = (5 - size.log10().floor() as i32).max(0) as usize;
    format!("{}{unit}", shortest(format!("{value:.decimals$}")))
}

/// Without the zeros that end a fraction.
fn shortest(number: String) -> String {
    let (digits, exponent) = match number.split_once('e') {
        Some((digits, exponent)) => (digits, format!("e{exponent}")),
        None => (number.as_str(), String::new()),
    };
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    format!("{digits}{exponent}")
}

/// What tells a series from the others: colour, line pattern and marker of the k-th name.
#[derive(Clone, Copy)]
struct Look(usize);

impl Look {
    fn color(self) -> RGBColor {
        PALETTE[self.0 % PALETTE.len()]
    }

    /// The line through `line`, then a marker at each of `marks`.
    fn draw(self, canvas: &Canvas, line: &[(i32, i32)], marks: &[(i32, i32)]) -> Drawn {
        let style = self.color().stroke_width(2);
        let line = line.to_vec();
        match self.round() % 3 {
            0 => canvas.draw(&PathElement::new(line, style))?,
            1 => canvas.draw(&DashedPathElement::new(line, 8, 5, style))?,
            _ => canvas.draw(&DashedPathElement::new(line, 2, 4, style))?,
        }
        marks.iter().try_for_each(|&place| self.draw_marker(canvas, place))
    }

    /// How often the palette was used up before.
    fn round(self) -> usize {
        self.0 / PALETTE.len()
    }

    fn draw_marker(self, canvas: &Canvas, (x, y): (i32, i32)) -> Drawn {
        // Moved on by one a round, so that one colour comes with different shapes.
        let outline: &[(i32, i32)] = match (self.0 + self.round()) % 7 {
            0 => return self.draw_disc(canvas, (x, y)),
            1 => &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
            2 => &[(0, -5), (5, 4), (-5, 4)],
            3 => &[(0, -6), (5, 0), (0, 6), (-5, 0)],
            4 => &[(0, 5), (5, -4), (-5, -4)],
            5 => &[(-5, 0), (4, -5), (4, 5)],
            _ => &[(5, 0), (-4, -5), (-4, 5)],
        };
        let mut outline: Vec<_> = outline.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        canvas.draw(&Polygon::new(outline.clone(), self.fill()))?;
        outline.push(outline[0]);
        canvas.draw(&PathElement::new(outline, self.color().stroke_width(2)))
    }

    fn draw_disc(self, canvas: &Canvas, place: (i32, i32)) -> Drawn {
        canvas.draw(&Circle::new(place, 4, self.fill()))?;
        canvas.draw(&Circle::new(place, 4, self.color().stroke_width(2)))
    }

    /// Full markers in the first round, hollow ones after it.
    fn fill(self) -> ShapeStyle {
        if self.round() == 0 { self.color().filled() } else { PAPER.filled() }
    }
}

const CENTRED: Pos = Pos { h_pos: HPos::Center, v_pos: VPos::Top };
const RIGHT: Pos = Pos { h_pos: HPos::Right, v_pos: VPos::Center };
const LEFT: Pos = Pos { h_pos: HPos::Left, v_pos: VPos::Center };

fn font(size: f64, style: FontStyle) -> FontDesc<'static> {
    FontDesc::new(FontFamily::SansSerif, size * BACKEND_FONT_FACTOR, style)
}

fn write(canvas: &Canvas, text: &str, place: (i32, i32), font: FontDesc<'_>, pos: Pos) -> Drawn {
    let style = TextStyle::from(font).color(&INK).pos(pos);
    canvas.draw(&Text::new(text, place, style))
}

// Files.

/// Runs `fill` on a new file beside `path`, then moves it there. If anything fails, `path` is as
/// before and the new file is gone.
fn write_whole(path: &Path, fill: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| io_error(path, source))?;
    }
    let (temporary, file) = create_beside(path)?;
    let filled = fill(&file)
        .and_then(|()| file.sync_all().map_err(|source| io_error(path, source)))
        .and_then(|()| fs::rename(&temporary, path).map_err(|source| io_error(path, source)));
    if filled.is_err() {
        // The first error is the one to tell; a file that cannot be removed either changes nothing.
        let _ = fs::remove_file(&temporary);
    }
    filled
}

/// A new file in the folder of `path`, under a name that nobody else has.
fn create_beside(path: &Path) -> Result<(PathBuf, File)> {
    let Some(name) = path.file_name() else {
        return Err(Error::File {
            path: path.to_path_buf(),
            expected: "the name of a file".to_owned(),
            found: "the name of a folder".to_owned(),
        });
    };
    let mut number = 0u32;
    loop {
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.{number}.part", std::process::id()));
        let temporary = path.with_file_name(hidden);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(source) => return Err(io_error(path, source)),
        }
    }
}

fn io_error(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.to_path_buf(), source }
}

fn csv_error(path: &Path, error: csv::Error) -> Error {
    let found = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => io_error(path, source),
        _ => Error::File {
            path: path.to_path_buf(),
            expected: "a table that can be written".to_owned(),
            found,
        },
    }
}
