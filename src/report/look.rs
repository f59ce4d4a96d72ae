//! What all charts share to the eye: colours, fonts, markers. Lengths and sizes are pixels.

use plotters::coord::Shift;
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon, Text};
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};

pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type DrawingError = DrawingAreaErrorKind<std::io::Error>;
pub(super) type Drawn = std::result::Result<(), DrawingError>;

pub(super) const TITLE_FONT: f64 = 18.0;
pub(super) const HEADING_FONT: f64 = 15.0;
pub(super) const LABEL_FONT: f64 = 14.0;
pub(super) const SMALL_FONT: f64 = 13.0;
/// Rough width of a letter of the small font.
pub(super) const LETTER_WIDTH: f64 = 7.0;
/// Width of a sample in the legend.
pub(super) const LEGEND_SAMPLE: i32 = 38;
/// The SVG backend divides font sizes by this.
const BACKEND_FONT_FACTOR: f64 = 1.24;

pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Okabe and Ito without yellow; the strong ones first.
pub(super) const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// What tells a series from the others: colour, line pattern and marker of the k-th name.
#[derive(Clone, Copy)]
pub(super) struct Look(pub usize);

impl Look {
    pub(super) fn color(self) -> RGBColor {
        PALETTE[self.0 % PALETTE.len()]
    }

    /// The line through `line`, then a marker at each of `marks`.
    pub(super) fn draw(self, canvas: &Canvas, line: &[(i32, i32)], marks: &[(i32, i32)]) -> Drawn {
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

pub(super) const CENTRED: Pos = Pos { h_pos: HPos::Center, v_pos: VPos::Top };
pub(super) const RIGHT: Pos = Pos { h_pos: HPos::Right, v_pos: VPos::Center };
pub(super) const LEFT: Pos = Pos { h_pos: HPos::Left, v_pos: VPos::Center };

pub(super) fn font(size: f64, style: FontStyle) -> FontDesc<'static> {
    FontDesc::new(FontFamily::SansSerif, size * BACKEND_FONT_FACTOR, style)
}

pub(super) fn write(
    canvas: &Canvas,
    text: &str,
    place: (i32, i32),
    font: FontDesc<'_>,
    pos: Pos,
) -> Drawn {
    let style = TextStyle::from(font).color(&INK).pos(pos);
    canvas.draw(&Text::new(text, place, style))
}

/// Where `text` in the small font is wider than `room`, its beginning and an ellipsis.
pub(super) fn fitted(text: &str, room: i32) -> String {
    let letters = (f64::from(room) / LETTER_WIDTH).max(1.0) as usize;
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(['…']).collect()
}

/// Rough width of `text` in the small font.
pub(super) fn text_width(text: &str) -> i32 {
    (LETTER_WIDTH * text.chars().count() as f64).ceil() as i32
}
