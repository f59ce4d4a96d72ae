//! One picture: from the bytes of an image file to normalised planes.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::error::{Error, Result};

/// Red, green, blue.
pub(crate) const CHANNELS: usize = 3;

/// What each of the 256 byte values of a channel becomes: `(byte / 255 - mean) / std`.
#[derive(Clone, Debug)]
pub(crate) struct Normaliser {
    tables: Vec<[f32; 256]>,
}

impl Normaliser {
    pub(crate) fn new(mean: [f32; CHANNELS], std: [f32; CHANNELS]) -> Result<Self> {
        let tables = (0..CHANNELS).map(|channel| {
            let (mean, std) = (mean[channel], std[channel]);
            if !mean.is_finite() {
                let (what, rule) = ("mean of a channel", "finite");
                return Err(Error::range(what, rule, f64::from(mean)));
            }
            // A normal number, so that what is divided by it stays finite.
            if !(std.is_normal() && std > 0.0 && std.is_finite()) {
                let (what, rule) = ("standard deviation of a channel", "positive and finite");
                return Err(Error::range(what, rule, f64::from(std)));
            }
            Ok(std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std))
        });
        Ok(Self { tables: tables.collect::<Result<_>>()? })
    }

    /// From pixels, (height, width, channel) as decoders give them, to planes, (channel, height,
    /// width): every third byte, row by row, nothing transposed.
    pub(crate) fn planes(&self, pixels: &[u8], planes: &mut [f32]) {
        let plane = (pixels.len() / CHANNELS).max(1);
        for (channel, (plane, table)) in planes.chunks_mut(plane).zip(&self.tables).enumerate() {
            let values = pixels.iter().skip(channel).step_by(CHANNELS);
            for (to, &byte) in plane.iter_mut().zip(values) {
                *to = table[usize::from(byte)];
            }
        }
    }
}

/// Decodes an image file of any format that is built in, whatever its name says, as 8-bit RGB: grey
/// is repeated, transparency and colour profiles are ignored; of an animation the first picture counts.
/// If `upright`, the picture is turned and mirrored as its Exif note says; one that makes no sense
/// does not count. What is wrong comes back in words.
pub(crate) fn decode(bytes: &[u8], upright: bool) -> std::result::Result<RgbImage, String> {
    let in_words = |error: image::ImageError| error.to_string();
    let format = image::guess_format(bytes).map_err(in_words)?;
    if format == ImageFormat::Jpeg && !ends(bytes) {
        return Err("a truncated JPEG image".to_owned());
    }
    let reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut decoder = reader.into_decoder().map_err(in_words)?;
    // A limit on memory guards against sizes that a header makes up.
    let mut limits = Limits::default();
    limits.reserve(decoder.total_bytes()).map_err(in_words)?;
    decoder.set_limits(limits).map_err(in_words)?;
    let turn = if upright { decoder.orientation().ok() } else { None };
    let picture = DynamicImage::from_decoder(decoder).map_err(in_words)?.into_rgb8();
    let Some(turn) = turn else { return Ok(picture) };
    let mut picture = DynamicImage::from(picture);
    picture.apply_orientation(turn);
    Ok(picture.into_rgb8())
}

/// Whether an end marker (FF D9) follows the last start of coded pixels (FF DA) of a JPEG file. The
/// decoder fills in grey for what is missing; within coded pixels neither marker can occur.
fn ends(jpeg: &[u8]) -> bool {
    let last = |marker: u8| jpeg.windows(2).rposition(|pair| pair == [0xFF, marker]);
    last(0xD9) > last(0xDA)
}
