//! Axes: what a panel spans, where its ticks are, and how they are written.

use plotters::element::PathElement;
use plotters::style::{FontStyle, FontTransform};

use super::look::{
    self, CENTRED, Canvas, Drawn, GRID, HEADING_FONT, INK, LABEL_FONT, RIGHT, SMALL_FONT,
};

/// Room around the data of a panel for its heading, ticks and labels: left, right, top, bottom.
pub(super) const MARGINS: (i32, i32, i32, i32) = (68, 14, 32, 56);
/// Free space between the data and the frame, as a share of the axis.
const AXIS_PADDING: f64 = 0.05;
/// Fewest pixels between two x ticks.
const TICK_DISTANCE: i32 = 36;

/// One direction: its range (of logarithms on a logarithmic axis) and its ticks.
pub(super) struct Axis {
    pub range: (f64, f64),
    pub log: bool,
    /// Ticks in percent.
    pub percent: bool,
    pub ticks: Vec<f64>,
}

impl Axis {
    /// A linear axis with about `count` round ticks.
    pub fn linear(range: (f64, f64), count: f64, percent: bool) -> Self {
        Self { range, log: false, percent, ticks: round_ticks(range, count) }
    }

    /// An axis with some room around `values`, with ticks at the values themselves if they are few,
    /// otherwise at about `count` round numbers.
    pub fn around(mut values: Vec<f64>, log: bool, count: f64, percent: bool) -> Self {
        values.sort_by(f64::total_cmp);
        values.dedup();
        let range = padded_range(values.iter().map(|&x| if log { x.log10() } else { x }));
        let ticks = match (values.len() <= 8, log) {
            (true, _) => values,
            (false, true) => round_log_ticks(range),
            (false, false) => round_ticks(range, count),
        };
        Self { range, log, percent, ticks }
    }

    /// How far along the axis a value lies; 0 and 1 are its ends.
    fn share(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        let value = if self.log { value.log10() } else { value };
        (value - low) / (high - low)
    }
}

/// The axes of a panel, and the pixels of their frame.
pub(super) struct Axes {
    pub left: i32,
    pub right: i32,
    pub top: i32,
    pub bottom: i32,
    pub x: Axis,
    pub y: Axis,
}

impl Axes {
    /// Axes with the usual margins in a panel of this corner and size. Of x ticks that would touch, the
    /// first one stays.
    pub fn new(corner: (i32, i32), size: (i32, i32), x: Axis, y: Axis) -> Self {
        let (left, right, top, bottom) = MARGINS;
        let mut axes = Self {
            left: corner.0 + left,
            right: corner.0 + size.0 - right,
            top: corner.1 + top,
            bottom: corner.1 + size.1 - bottom,
            x,
            y,
        };
        axes.part_x_ticks();
        axes
    }

    fn part_x_ticks(&mut self) {
        let mut last = None;
        let mut ticks = std::mem::take(&mut self.x.ticks);
        ticks.retain(|&tick| {
            let column = self.column(tick);
            let far = last.is_none_or(|last| column - last >= TICK_DISTANCE);
            if far {
                last = Some(column);
            }
            far
        });
        self.x.ticks = ticks;
    }

    pub fn column(&self, x: f64) -> i32 {
        let width = f64::from(self.right - self.left);
        (f64::from(self.left) + width * self.x.share(x)).round() as i32
    }

    pub fn row(&self, y: f64) -> i32 {
        let height = f64::from(self.bottom - self.top);
        (f64::from(self.bottom) - height * self.y.share(y)).round() as i32
    }

    pub fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (self.column(x), self.row(y))
    }

    /// Grid, ticks and frame.
    pub fn draw(&self, canvas: &Canvas) -> Drawn {
        self.draw_x(canvas)?;
        let (height, (low, high)) = (f64::from(self.bottom - self.top), self.y.range);
        for &tick in &self.y.ticks {
            let y = self.bottom - (height * (tick - low) / (high - low)).round() as i32;
            canvas.draw(&PathElement::new(vec![(self.left, y), (self.right, y)], GRID))?;
            let text = tick_text(tick, self.y.percent);
            look::write(canvas, &text, (self.left - 7, y), small(), RIGHT)?;
        }
        let (left, right, top, bottom) = (self.left, self.right, self.top, self.bottom);
        canvas.draw(&PathElement::new(vec![(left, top), (left, bottom), (right, bottom)], INK))
    }

    /// The vertical grid and its ticks.
    pub fn draw_x(&self, canvas: &Canvas) -> Drawn {
        for &tick in &self.x.ticks {
            let x = self.column(tick);
            canvas.draw(&PathElement::new(vec![(x, self.top), (x, self.bottom)], GRID))?;
            let text = tick_text(tick, self.x.percent);
            look::write(canvas, &text, (x, self.bottom + 7), small(), CENTRED)?;
        }
        Ok(())
    }

    /// The heading, its upper edge `rise` pixels above the frame.
    pub fn draw_heading(&self, canvas: &Canvas, heading: &str, rise: i32) -> Drawn {
        let place = ((self.left + self.right) / 2, self.top - rise);
        look::write(canvas, heading, place, look::font(HEADING_FONT, FontStyle::Bold), CENTRED)
    }

    pub fn draw_x_label(&self, canvas: &Canvas, label: &str) -> Drawn {
        let place = ((self.left + self.right) / 2, self.bottom + 29);
        look::write(canvas, label, place, look::font(LABEL_FONT, FontStyle::Normal), CENTRED)
    }

    /// The label of the y axis, upwards, its left edge in column `left`.
    pub fn draw_y_label(&self, canvas: &Canvas, label: &str, left: i32) -> Drawn {
        let font = look::font(LABEL_FONT, FontStyle::Normal).transform(FontTransform::Rotate270);
        let place = (left, (self.top + self.bottom) / 2);
        look::write(canvas, label, place, font, CENTRED)
    }
}

fn small() -> plotters::style::FontDesc<'static> {
    look::font(SMALL_FONT, FontStyle::Normal)
}

/// Smallest and largest of `values`, of which there is one, with some room on either side.
pub(super) fn padded_range(values: impl Iterator<Item = f64>) -> (f64, f64) {
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
