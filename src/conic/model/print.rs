//! Expressions as one would write them, shortened where they are long.

use std::fmt::{self, Write};

use super::expression::{Axis, Expression, Kind, Move, Node, Shape};

/// Characters after which a printed expression is cut; also what keeps shared parts from being printed without end.
const ENOUGH: usize = 240;
/// Numbers of a constant and summands that are printed.
const SHOWN: usize = 6;

/// How tightly what is around an expression binds.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Around {
    Nothing,
    Sum,
    Product,
    Suffix,
}

/// As text.
pub(super) fn printed(node: &Node) -> String {
    let mut page = Page { text: String::new() };
    page.node(node, Around::Nothing);
    if page.text.len() > ENOUGH {
        let end = (0..=ENOUGH).rev().find(|&at| page.text.is_char_boundary(at)).unwrap_or(0);
        page.text.truncate(end);
        page.text.push_str(" ..");
    }
    page.text
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printed(&self.0))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printed(&self.0))
    }
}

struct Page {
    text: String,
}

impl Page {
    fn put(&mut self, part: impl fmt::Display) {
        // Writing to a string never fails.
        let _ = write!(self.text, "{part}");
    }

    fn node(&mut self, node: &Node, around: Around) {
        if self.text.len() > ENOUGH {
            return;
        }
        let own = match &node.kind {
            Kind::Sum(_) => Around::Nothing,
            Kind::Negative(_) => Around::Sum,
            Kind::Product(..) => Around::Sum,
            _ => Around::Suffix,
        };
        let brackets = own < around;
        self.put(if brackets { "(" } else { "" });
        self.inside(node);
        self.put(if brackets { ")" } else { "" });
    }

    fn inside(&mut self, node: &Node) {
        match &node.kind {
            Kind::Constant(entries) => self.constant(entries, node.shape),
            Kind::Variable(leaf) => self.put(&leaf.name),
            Kind::Parameter(leaf) => self.put(&leaf.name),
            Kind::Sum(parts) => self.sum(parts),
            Kind::Negative(of) => {
                self.put("-");
                self.node(&of.0, Around::Product);
            }
            Kind::Product(a, b) => {
                self.node(&a.0, Around::Sum);
                self.put(" * ");
                self.node(&b.0, Around::Product);
            }
            Kind::Times(a, b) => self.call("times", &[a.clone(), b.clone()], None),
            Kind::Moved(by, of) => self.moved(by, of),
            Kind::Stacked(parts, Axis::Rows) => self.call("vstack", parts, None),
            Kind::Stacked(parts, Axis::Columns) => self.call("hstack", parts, None),
            Kind::Atom(atom, arguments) => self.call(atom.name(), arguments, atom.number()),
        }
    }

    fn sum(&mut self, parts: &[Expression]) {
        for (k, part) in parts.iter().take(SHOWN).enumerate() {
            let (sign, term) = match &part.0.kind {
                Kind::Negative(of) if k > 0 => (" - ", of),
                _ => (if k > 0 { " + " } else { "" }, part),
            };
            self.put(sign);
            self.node(&term.0, Around::Sum);
        }
        if parts.len() > SHOWN {
            self.put(format_args!(" + .. ({} terms)", parts.len()));
        }
    }

    fn call(&mut self, name: &str, arguments: &[Expression], number: Option<f64>) {
        self.put(format_args!("{name}("));
        for (k, argument) in arguments.iter().take(SHOWN).enumerate() {
            self.put(if k > 0 { ", " } else { "" });
            self.node(&argument.0, Around::Nothing);
        }
        if arguments.len() > SHOWN {
            self.put(format_args!(", .. ({} parts)", arguments.len()));
        }
        if let Some(number) = number {
            self.put(format_args!(", {number}"));
        }
        self.put(")");
    }

    fn moved(&mut self, by: &Move, of: &Expression) {
        let call = match by {
            Move::Sum => "sum",
            Move::RowSums => "row_sums",
            Move::ColumnSums => "column_sums",
            Move::Reshape => "reshape",
            Move::Trace => "trace",
            Move::Diagonal => "diagonal",
            Move::ToDiagonal => "to_diagonal",
            Move::Transpose | Move::Block(..) | Move::Pick(_) => {
                self.node(&of.0, Around::Suffix);
                return self.suffix(by, of.0.shape);
            }
        };
        self.call(call, std::slice::from_ref(of), None);
    }

    fn suffix(&mut self, by: &Move, of: Shape) {
        let range = |range: &std::ops::Range<usize>, size: usize| match range.len() {
            1 => range.start.to_string(),
            all if all == size => "..".into(),
            _ => format!("{}..{}", range.start, range.end),
        };
        match by {
            Move::Block(rows, _) if of.1 == 1 => {
                self.put(format_args!("[{}]", range(rows, of.0)));
            }
            Move::Block(rows, columns) => {
                self.put(format_args!("[{}, {}]", range(rows, of.0), range(columns, of.1)));
            }
            Move::Pick(entries) if entries.len() == 1 => self.put(format_args!("[{}]", entries[0])),
            Move::Pick(entries) => self.put(format_args!("[{} entries]", entries.len())),
            _ => self.put("'"),
        }
    }

    fn constant(&mut self, entries: &[(usize, f64)], shape: Shape) {
        let length = shape.0 * shape.1;
        if length > SHOWN || (shape.1 != 1 && length > 1) {
            return self.put(format_args!("constant({} x {})", shape.0, shape.1));
        }
        let mut values = vec![0.0; length];
        entries.iter().for_each(|&(place, value)| values[place] = value);
        match values.as_slice() {
            [value] => self.put(value),
            values => {
                let values: Vec<String> = values.iter().map(f64::to_string).collect();
                self.put(format_args!("[{}]", values.join(", ")));
            }
        }
    }
}
