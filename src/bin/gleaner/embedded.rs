//! Texts and pictures as features.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use gleaner::data::cifar::Version;
use gleaner::data::table::Table;
use gleaner::data::text::encode::HashedWords;
use gleaner::data::text::tfidf::{TfIdf, TfIdfOptions};
use gleaner::data::text::{TextCsv, TextLayout, TextOptions};
use gleaner::data::{
    Dataset, ImageFolder, ImageFolderOptions, ImageParquetOptions, Malformed, PatchOptions,
    Patches, Source, load_image_parquet,
};
use gleaner::{Error, Result, Seeds};
use image::{ImageFormat, RgbImage};

/// What was learned of the first set, so that another gets the same features.
pub enum Embedding {
    Words(Box<TfIdf>),
    Patches(Box<Patches>),
}

/// What people look at instead of features.
pub enum Shown {
    Texts(Vec<String>),
    Files(Vec<PathBuf>),
    /// Pictures of so many pixels either way: rows of pixels, three bytes each.
    Pixels(usize, Vec<u8>),
}

/// A data set, what was learned of it, and what it looks like.
pub struct Embedded {
    pub table: Table,
    pub embedding: Embedding,
    pub shown: Shown,
}

impl Shown {
    pub fn text(&self, i: usize) -> Option<&str> {
        match self {
            Self::Texts(texts) => texts.get(i).map(String::as_str),
            _ => None,
        }
    }

    /// A small picture file; none where there is no picture, or its file has gone.
    pub fn picture(&self, i: usize) -> Option<Vec<u8>> {
        /// Pixels of the longer side.
        const SIDE: u32 = 96;
        let (picture, format) = match self {
            Self::Texts(_) => return None,
            Self::Files(paths) => {
                let picture = image::open(paths.get(i)?).ok()?.thumbnail(SIDE, SIDE);
                (picture.into_rgb8(), ImageFormat::Jpeg)
            }
            Self::Pixels(size, bytes) => {
                let (side, length) = (u32::try_from(*size).ok()?, 3 * size * size);
                let own = bytes.get(i * length..(i + 1) * length)?.to_vec();
                (RgbImage::from_raw(side, side, own)?, ImageFormat::Png)
            }
        };
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).ok()?;
        Some(file.into_inner())
    }
}

/// Planes of numbers in [0, 1], a picture after the other, as bytes of pixels.
fn bytes(pictures: &Tensor) -> Result<Vec<u8>> {
    let pixels = pictures.permute((0, 2, 3, 1))?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    Ok(pixels.into_iter().map(|value| (255.0 * value).round() as u8).collect())
}

type Known<'a> = Option<(&'a Embedding, &'a Table)>;

/// Pictures in folders, one a class; how many pixels wide and high they are made.
pub fn folder(root: &Path, size: usize, malformed: Malformed, like: Known) -> Result<Embedded> {
    let class_names = like.map(|(_, first)| first.class_names.clone());
    let (mean, std) = ([0.0; 3], [1.0; 3]);
    let options = ImageFolderOptions {
        resize: size,
        size,
        mean,
        std,
        malformed,
        class_names,
        ..Default::default()
    };
    let folder = ImageFolder::open(root, &options)?;
    let ids = folder.paths().iter().map(|path| path.display().to_string()).collect();
    let (data, patches) = patches(&folder, size, like)?;
    let table = table("pixels", data, folder.class_names().to_vec(), Some(ids));
    let shown = Shown::Files(folder.paths().to_vec());
    Ok(Embedded { table, embedding: Embedding::Patches(patches), shown })
}

/// Pictures of one size in a column of a parquet file, and labels that are numbers.
pub fn column(path: &Path, image: &str, label: &str, like: Known) -> Result<Embedded> {
    let classes = like.map(|(_, first)| first.class_names.len());
    let options = ImageParquetOptions {
        image: image.to_owned(),
        label: label.to_owned(),
        classes,
        mean: [0.0; 3],
        std: [1.0; 3],
        ..ImageParquetOptions::cifar(Version::Cifar10)
    };
    let pictures = load_image_parquet(path, &options)?;
    let size = pictures.inputs().dim(3)?;
    let (data, patches) = patches(&pictures, size, like)?;
    let names = (0..data.classes()).map(|class| class.to_string()).collect();
    let shown = Shown::Pixels(size, bytes(pictures.inputs())?);
    let table = table("pixels", data, names, None);
    Ok(Embedded { table, embedding: Embedding::Patches(patches), shown })
}

/// The features of pictures of so many pixels either way.
fn patches(pictures: &dyn Source, size: usize, like: Known) -> Result<(Dataset, Box<Patches>)> {
    /// Pictures in memory at a time, and those that the kinds of patches are learned of.
    const CHUNK: usize = 4096;
    let patches = match like {
        Some((Embedding::Patches(patches), _)) => patches.clone(),
        _ => {
            let step = pictures.points().div_ceil(CHUNK).max(1);
            let some: Vec<usize> = (0..pictures.points()).step_by(step).collect();
            let usual = PatchOptions::default();
            let options = PatchOptions { size: usual.size.min(size), ..usual };
            let rng = &mut Seeds::new(0).named("patches");
            Box::new(Patches::fit(&pictures.inputs_at(&some)?, &options, rng)?)
        }
    };
    let everyone: Vec<usize> = (0..pictures.points()).collect();
    let features = |chunk: &[usize]| patches.features(&pictures.inputs_at(chunk)?);
    let rows = everyone.chunks(CHUNK).map(features).collect::<Result<Vec<_>>>()?;
    let labels = pictures.labels().to_vec();
    Ok((Dataset::new(Tensor::cat(&rows, 0)?, labels, pictures.classes())?, patches))
}

/// Which columns of a file hold text.
pub enum Texts<'a> {
    Named {
        label: &'a str,
        texts: &'a [String],
    },
    /// A file without a header: the class, counted from 1, then texts.
    Numbered,
}

/// Texts by their words.
pub fn texts(path: &Path, columns: &Texts, delimiter: u8, like: Known) -> Result<Embedded> {
    let layout = match *columns {
        Texts::Numbered => {
            let (classes, texts) = numbered(path, delimiter)?;
            let classes = like.map_or(classes, |(_, first)| first.class_names.len());
            TextLayout::numbered(classes, texts)
        }
        Texts::Named { label, texts } => TextLayout::Named {
            label: label.to_owned(),
            texts: texts.to_vec(),
            class_names: like.map(|(_, first)| first.class_names.clone()),
        },
    };
    let options = TextOptions { layout, delimiter, ..Default::default() };
    let file = TextCsv::open(path, &options, HashedWords::default())?;
    let everyone: Vec<usize> = (0..file.points()).collect();
    let texts = file.texts_at(&everyone)?;
    let words = match like {
        Some((Embedding::Words(words), _)) => words.clone(),
        _ => {
            let rng = &mut Seeds::new(0).named("words");
            Box::new(TfIdf::fit(&texts, &TfIdfOptions::default(), rng)?)
        }
    };
    let shape = (texts.len(), words.width());
    let inputs = Tensor::from_vec(words.features(&texts), shape, &Device::Cpu)?;
    let data = Dataset::new(inputs, file.labels().to_vec(), file.classes())?;
    let table = table("words", data, file.class_names().to_vec(), None);
    Ok(Embedded { table, embedding: Embedding::Words(words), shown: Shown::Texts(texts) })
}

/// The largest class, and the columns behind it.
fn numbered(path: &Path, delimiter: u8) -> Result<(usize, usize)> {
    let wrong = |found: String| Error::File {
        path: path.to_path_buf(),
        expected: "rows of a class, counted from 1, and texts".into(),
        found,
    };
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).delimiter(delimiter).from_path(path);
    let (mut classes, mut texts) = (0, 0);
    for record in reader.map_err(|error| wrong(error.to_string()))?.byte_records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let first = String::from_utf8_lossy(record.get(0).unwrap_or_default()).trim().to_owned();
        let class: usize = first.parse().map_err(|_| wrong(format!("{first:?}")))?;
        classes = classes.max(class);
        texts = texts.max(record.len() - 1);
    }
    Ok((classes, texts))
}

fn table(column: &str, data: Dataset, class_names: Vec<String>, ids: Option<Vec<String>>) -> Table {
    Table {
        data,
        columns: vec![column.to_owned()],
        feature_names: vec![column.to_owned()],
        categories: None,
        class_names,
        groups: None,
        ids,
        costs: None,
        targets: None,
        skipped: Vec::new(),
    }
}
