//! The page itself: sections one after the other, their contents, and everything inline.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Report;
use super::text::{embedded, escaped, filled};

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// In the order in which they are run.
const SCRIPT: &str = concat!(
    include_str!("page/page.js"),
    include_str!("page/table.js"),
    include_str!("page/curves.js"),
    include_str!("page/map.js"),
    include_str!("page/start.js"),
);

/// A page in the making.
#[derive(Default)]
pub(super) struct Page {
    body: String,
    /// Ids and headings.
    contents: Vec<(String, String)>,
    /// By the id of the element that they bring to life.
    live: Map<String, Value>,
}

impl Page {
    /// The id of the element that the script brings to life in the next section.
    pub fn id(&self) -> String {
        format!("live-{}", self.contents.len() + 1)
    }

    /// Adds a section. `html` is markup; the data, if any, are those of its element with the [`id`](Self::id).
    pub fn section(&mut self, heading: &str, html: &str, live: Option<Value>) {
        let (section, id) = (format!("part-{}", self.contents.len() + 1), self.id());
        let _ = writeln!(
            self.body,
            "<section id=\"{section}\" aria-labelledby=\"{section}-heading\">\
             <h2 id=\"{section}-heading\">{}</h2>{html}</section>",
            escaped(heading)
        );
        self.contents.push((section, heading.to_owned()));
        self.live.extend(live.map(|data| (id, data)));
    }

    pub fn finish(self, report: &Report) -> String {
        let digest = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
        let (style, script) = (digest(STYLE), digest(SCRIPT));
        // Nothing is fetched, and nothing runs or styles but what is known by its digest.
        let policy = format!(
            "default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
             base-uri 'none'; form-action 'none'"
        );
        let contents = self
            .contents
            .iter()
            .map(|(id, heading)| format!("<li><a href=\"#{id}\">{}</a></li>", escaped(heading)));
        let data = embedded(&Value::Object(self.live));
        let figures: String = report.figures.iter().map(figure).collect();
        let figures = match figures.is_empty() {
            true => figures,
            false => format!("<ul class=\"figures\">{figures}</ul>"),
        };
        let line = |class: &str, text: &str| match text.is_empty() {
            true => String::new(),
            false => format!("<p class=\"{class}\">{}</p>", escaped(text)),
        };
        filled(
            TEMPLATE,
            &[
                ("policy", &policy),
                ("title", &escaped(&report.title)),
                ("style", STYLE),
                ("kind", &line("kind", &report.kind)),
                ("lead", &line("lead", &report.lead)),
                ("figures", &figures),
                ("contents", &contents.collect::<String>()),
                ("sections", &self.body),
                ("footer", &line("version", &report.footer)),
                ("data", &data),
                ("script", SCRIPT),
            ],
        )
    }
}

fn figure((value, name): &(String, String)) -> String {
    format!("<li><strong>{}</strong> <span>{}</span></li>", escaped(value), escaped(name))
}
