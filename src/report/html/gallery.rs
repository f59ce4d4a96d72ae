//! Pictures and texts to look at.

use std::fmt::Write as _;

use super::frame::Page;
use super::table::paragraph;
use super::text::{cut, escaped, grouped};
use crate::error::{Error, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Small pictures with captions, such as the suspects with their given and their likely labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContactSheet {
    /// The heading of the section.
    pub title: String,
    /// In order; the first [`MOST`](Self::MOST) are shown.
    pub pictures: Vec<Thumbnail>,
    /// How many there are of which these are some; fewer than given means those given.
    pub total: usize,
}

/// A picture of a [`ContactSheet`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thumbnail {
    /// What it is; it is read aloud too.
    pub caption: String,
    /// The bytes of a PNG, JPEG, GIF or WebP file of at most [`MOST_BYTES`](ContactSheet::MOST_BYTES).
    pub image: Vec<u8>,
}

/// Texts, such as those that are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passages {
    /// The heading of the section.
    pub title: String,
    /// In order; the first [`MOST`](Self::MOST) are shown.
    pub passages: Vec<Passage>,
    /// How many there are of which these are some; fewer than given means those given.
    pub total: usize,
}

/// A text of [`Passages`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Such as its row and labels.
    pub caption: String,
    /// The text; of more than 600 letters, the beginning.
    pub text: String,
}

/// Letters of a passage.
const MOST_LETTERS: usize = 600;

impl ContactSheet {
    /// Pictures that are shown at most.
    pub const MOST: usize = 60;
    /// Bytes that a picture may have.
    pub const MOST_BYTES: usize = 16 * 1024;

    pub(super) fn show(&self, page: &mut Page) -> Result<()> {
        if self.pictures.is_empty() {
            return Ok(());
        }
        let shown = &self.pictures[..self.pictures.len().min(Self::MOST)];
        let mut html = shown_of(shown.len(), self.total.max(self.pictures.len()));
        html += "<ul class=\"sheet\">";
        for Thumbnail { caption, image } in shown {
            let (kind, caption) = (kind(image)?, escaped(&cut(caption, 120)));
            let _ = write!(
                html,
                "<li><figure><img alt=\"\" src=\"data:image/{kind};base64,{}\"><figcaption>{caption}</figcaption></figure></li>",
                BASE64_STANDARD.encode(image)
            );
        }
        page.section(&self.title, &(html + "</ul>"), None);
        Ok(())
    }
}

/// What kind of file it is, by its first bytes.
fn kind(image: &[u8]) -> Result<&'static str> {
    let expected = "PNG, JPEG, GIF or WebP of at most 16 KiB";
    if image.len() > ContactSheet::MOST_BYTES {
        return Err(Error::shape("picture of a contact sheet", expected, image.len()));
    }
    match image {
        [0x89, b'P', b'N', b'G', ..] => Ok("png"),
        [0xff, 0xd8, 0xff, ..] => Ok("jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Ok("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok("webp"),
        _ => Err(Error::shape("picture of a contact sheet", expected, "other bytes")),
    }
}

impl Passages {
    /// Texts that are shown at most.
    pub const MOST: usize = 100;

    pub(super) fn show(&self, page: &mut Page) {
        if self.passages.is_empty() {
            return;
        }
        let shown = &self.passages[..self.passages.len().min(Self::MOST)];
        let mut html = shown_of(shown.len(), self.total.max(self.passages.len()));
        html += "<ul class=\"passages\">";
        for Passage { caption, text } in shown {
            let _ = write!(
                html,
                "<li><p class=\"caption\">{}</p><blockquote>{}</blockquote></li>",
                escaped(&cut(caption, 120)),
                escaped(&cut(text, MOST_LETTERS))
            );
        }
        page.section(&self.title, &(html + "</ul>"), None);
    }
}

fn shown_of(shown: usize, all: usize) -> String {
    match shown < all {
        true => paragraph(&format!("{} of {} are here.", grouped(shown), grouped(all))),
        false => String::new(),
    }
}
