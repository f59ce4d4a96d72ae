//! Lines with their spread over repetitions.

use std::path::Path;

use plotters::element::{PathElement, Polygon};
use plotters::style::Color;

use super::axes::{Axes, Axis, padded_range};
use super::look::{Canvas, Drawn, LEGEND_SAMPLE, Look};
use super::page::{Legend, Page, check_finite, check_length, check_some};
use crate::error::{Error, Result};

/// Sideways distance of neighbouring series, and the most between the first and the last.
const DODGE: (f64, f64) = (3.0, 16.0);

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
/// names first appear. Looks repeat after 21 names. If a panel has at most eight different x values, its
/// ticks are just those.
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
pub fn line_chart(path: impl AsRef<Path>, options: &ChartOptions, panels: &[Panel]) -> Result<()> {
    check_chart(options, panels)?;
    let all = panels.iter().flat_map(|panel| &panel.series);
    let page = Page {
        title: &options.title,
        columns: panels.len() as i32,
        rows: 1,
        panel: (options.panel_width as i32, options.panel_height as i32),
        legend: Legend::new(all.map(|series| series.name.as_str())),
    };
    let figure = Figure { options, legend: &page.legend };
    let sample = |canvas: &Canvas, k, (left, y)| {
        let (right, middle) = (left + LEGEND_SAMPLE, left + LEGEND_SAMPLE / 2);
        Look(k).draw(canvas, &[(left, y), (right, y)], &[(middle, y)])
    };
    page.save(path.as_ref(), sample, |canvas| {
        for (k, panel) in panels.iter().enumerate() {
            let sharing = if options.shared_y { panels } else { std::slice::from_ref(panel) };
            let x = figure.x_axis(panel);
            let axes = Axes::new(page.corner(k), page.panel, x, figure.y_axis(sharing));
            axes.draw(canvas)?;
            axes.draw_heading(canvas, &panel.title, 24)?;
            axes.draw_x_label(canvas, &options.x_label)?;
            if k == 0 {
                axes.draw_y_label(canvas, &options.y_label, 6)?;
            }
            figure.draw_spreads(canvas, panel, &axes)?;
            figure.draw_lines(canvas, panel, &axes)?;
        }
        Ok(())
    })
}

fn check_chart(options: &ChartOptions, panels: &[Panel]) -> Result<()> {
    let (width, height) = (options.panel_width, options.panel_height);
    check_length("ChartOptions::panel_width", "from 200 to 10,000 pixels", width, 200)?;
    check_length("ChartOptions::panel_height", "from 150 to 10,000 pixels", height, 150)?;
    check_some("panels of a chart", panels)?;
    for panel in panels {
        check_some("series of a panel", &panel.series)?;
        panel.series.iter().try_for_each(|series| check_series(series, options.x_log))?;
    }
    Ok(())
}

fn check_series(series: &Series, x_log: bool) -> Result<()> {
    check_some("points of a series", &series.points)?;
    for (row, &(x, mean, std)) in series.points.iter().enumerate() {
        check_finite("points of a series", row, &[x, mean, std])?;
        if std < 0.0 {
            let (what, rule) = ("standard deviation of a point", ">= 0");
            return Err(Error::range(what, rule, std));
        }
        if x_log && x <= 0.0 {
            let (what, rule) = ("x of a point", "positive on a logarithmic axis");
            return Err(Error::range(what, rule, x));
        }
    }
    Ok(())
}

struct Figure<'a> {
    options: &'a ChartOptions,
    legend: &'a Legend<'a>,
}

impl Figure<'_> {
    fn x_axis(&self, panel: &Panel) -> Axis {
        let points = panel.series.iter().flat_map(|series| &series.points);
        let xs = points.map(|point| point.0).collect();
        Axis::around(xs, self.options.x_log, 7.0, self.options.x_percent)
    }

    /// The y axis that all panels in `sharing` fit on.
    fn y_axis(&self, sharing: &[Panel]) -> Axis {
        let shown = if self.options.spread == Spread::Hidden { 0.0 } else { 1.0 };
        let points = sharing.iter().flat_map(|panel| &panel.series).flat_map(|line| &line.points);
        let ends = points.flat_map(|&(_, mean, std)| [mean - shown * std, mean + shown * std]);
        Axis::linear(padded_range(ends), 8.0, self.options.y_percent)
    }

    fn look(&self, series: &Series) -> Look {
        Look(self.legend.position(&series.name))
    }

    /// How far a series is moved sideways, so that error bars at the same x do not hide each other.
    fn dodge(&self, series: &Series) -> i32 {
        if self.options.spread != Spread::Bars || self.legend.names.len() < 2 {
            return 0;
        }
        let gaps = (self.legend.names.len() - 1) as f64;
        let step = DODGE.0.min(DODGE.1 / gaps);
        ((self.look(series).0 as f64 - gaps / 2.0) * step).round() as i32
    }

    fn draw_spreads(&self, canvas: &Canvas, panel: &Panel, axes: &Axes) -> Drawn {
        for series in panel.series.iter().rev() {
            let color = self.look(series).color();
            let dodge = self.dodge(series);
            let ends = sorted(series).into_iter().map(|(x, mean, std)| {
                let (column, high) = axes.pixel((x, mean + std));
                (column + dodge, high, axes.row(mean - std))
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
                let (column, row) = axes.pixel((x, mean));
                (column + dodge, row)
            };
            let places: Vec<(i32, i32)> = sorted(series).into_iter().map(place).collect();
            self.look(series).draw(canvas, &places, &places)?;
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
