//! Classes or groups, before and after.

use std::fmt::Write as _;

use super::frame::Page;
use super::table::paragraph;
use super::text::{cut, escaped, grouped};

/// How many rows of each class or group there are, and how many are among those chosen or found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Balance {
    /// The heading of the section.
    pub title: String,
    /// What is counted before, such as "all rows".
    pub before: String,
    /// What is counted after, such as "kept".
    pub after: String,
    /// In order; of more than [`MOST`](Self::MOST), those of which there are most.
    pub counts: Vec<Counted>,
}

/// A class or group of a [`Balance`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// What it is called.
    pub name: String,
    /// Rows before.
    pub before: usize,
    /// Rows after.
    pub after: usize,
}

impl Balance {
    /// Classes that a page shows at most.
    pub const MOST: usize = 100;

    pub(super) fn show(&self, page: &mut Page) {
        if self.counts.is_empty() {
            return;
        }
        let (shown, about) = self.shown();
        let mut html = paragraph(&about);
        let _ = write!(
            html,
            "<p class=\"legend\"><span class=\"swatch before\"></span>{} <span class=\"swatch after\"></span>{}</p>",
            escaped(&format!("share of {}", self.before)),
            escaped(&format!("share of {}", self.after)),
        );
        html += &self.table(&shown);
        page.section(&self.title, &html, None);
    }

    /// What there is room for, and what to say where that is not all.
    fn shown(&self) -> (Vec<&Counted>, String) {
        let mut order: Vec<usize> = (0..self.counts.len()).collect();
        order.sort_by_key(|k| std::cmp::Reverse(self.counts[*k].before));
        order.truncate(Self::MOST);
        order.sort();
        let about = match self.counts.len() {
            all if all > Self::MOST => {
                format!("The {} largest of {} are here.", Self::MOST, grouped(all))
            }
            _ => String::new(),
        };
        (order.into_iter().map(|k| &self.counts[k]).collect(), about)
    }

    fn table(&self, shown: &[&Counted]) -> String {
        let sums = self.counts.iter().fold((0, 0), |s, c| (s.0 + c.before, s.1 + c.after));
        let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        let largest = shown.iter().map(|c| share(c.before, sums.0).max(share(c.after, sums.1)));
        let largest = largest.fold(f64::MIN_POSITIVE, f64::max);
        let mut html = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table class=\"balance\"><caption class=\"unseen\">{0}</caption>\
             <thead><tr><th scope=\"col\">name</th><th scope=\"col\" class=\"number\">{1}</th><th scope=\"col\" class=\"number\">{2}</th>\
             <th scope=\"col\" class=\"number\">{2} of {1}</th><th scope=\"col\" class=\"bars\">shares</th></tr></thead><tbody>",
            escaped(&self.title),
            escaped(&self.before),
            escaped(&self.after)
        );
        for Counted { name, before, after } in shown {
            let shares = [share(*before, sums.0), share(*after, sums.1)];
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{:.1} %</td><td class=\"bars\">{}</td></tr>",
                escaped(&cut(name, 80)),
                grouped(*before),
                grouped(*after),
                100.0 * share(*after, *before),
                bars(shares, largest)
            );
        }
        html + "</tbody></table></div>"
    }
}

/// Two bars; the longest of the table is as wide as there is room.
fn bars(shares: [f64; 2], largest: f64) -> String {
    let [before, after] = shares.map(|share| 100.0 * share / largest);
    let [was, is] = shares.map(|share| format!("{:.1} %", 100.0 * share));
    format!(
        "<svg role=\"img\" viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-label=\"{was}, then {is}\"><title>{was}, then {is}</title>\
         <rect class=\"before\" x=\"0\" y=\"0\" width=\"{before:.2}\" height=\"5\"/>\
         <rect class=\"after\" x=\"0\" y=\"6\" width=\"{after:.2}\" height=\"5\"/></svg>"
    )
}
