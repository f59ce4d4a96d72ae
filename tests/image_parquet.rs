//! Pictures in parquet files, as the hub keeps them.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use gleaner::Error;
use gleaner::data::cifar::{CifarLabels, Version};
use gleaner::data::{Dataset, ImageParquetOptions, load_image_parquet};
use image::{ImageEncoder, ImageFormat, Rgb, RgbImage};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

/// Nothing about this picture is symmetric.
fn png(width: u32, height: u32, base: u8) -> Vec<u8> {
    let pixel = |x, y| Rgb([base + 10 * y as u8 + x as u8, 100 + 10 * y as u8 + x as u8, 7]);
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(width, height, pixel).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// An image file, or none, and a label.
type Row = (Option<Vec<u8>>, i64);

fn file(path: &Path, groups: &[Vec<Row>]) {
    let schema = "message rows { optional group img { optional binary bytes; \
                  optional binary path (STRING); } required int64 label; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::default());
    let mut writer =
        SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, properties).unwrap();
    for rows in groups {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> =
            rows.iter().filter_map(|row| row.0.clone()).map(Into::into).collect();
        let there: Vec<i16> = rows.iter().map(|row| if row.0.is_some() { 2 } else { 0 }).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&images, Some(&there), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let none = vec![0; rows.len()];
        column.typed::<ByteArrayType>().write_batch(&[], Some(&none), None).unwrap();
        column.close().unwrap();
        let labels: Vec<i64> = rows.iter().map(|row| row.1).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// Bytes as they are: input = byte / 255.
fn plain() -> ImageParquetOptions {
    let cifar = ImageParquetOptions::cifar(Version::Cifar10);
    ImageParquetOptions { mean: [0.0; 3], std: [1.0; 3], ..cifar }
}

fn bytes(data: &Dataset) -> Vec<i32> {
    let scaled = (data.inputs().flatten_all().unwrap() * 255.0).unwrap();
    scaled.to_vec1::<f32>().unwrap().iter().map(|byte| byte.round() as i32).collect()
}

#[test]
fn pictures_become_planes_and_nothing_is_transposed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    file(
        &path,
        &[vec![(Some(png(3, 2, 0)), 4), (Some(png(3, 2, 50)), 0)], vec![(Some(png(3, 2, 90)), 9)]],
    );
    let data = load_image_parquet(&path, &plain()).unwrap();
    assert_eq!(data.inputs().dims(), [3, 3, 2, 3]);
    assert_eq!((data.labels(), data.classes()), (&[4, 0, 9][..], 10));
    let got = bytes(&data);
    assert_eq!(got[..6], [0, 1, 2, 10, 11, 12], "red");
    assert_eq!(got[6..12], [100, 101, 102, 110, 111, 112], "green");
    assert_eq!(got[12..18], [7; 6], "blue");
    assert_eq!(got[18..24], [50, 51, 52, 60, 61, 62], "second picture");
    assert_eq!(got[36..42], [90, 91, 92, 100, 101, 102], "second row group");

    let data =
        load_image_parquet(&path, &ImageParquetOptions { limit: Some(1), ..plain() }).unwrap();
    assert_eq!((data.len(), bytes(&data)[4]), (1, 11));
    let inferred = ImageParquetOptions { classes: None, limit: Some(2), ..plain() };
    assert_eq!(load_image_parquet(&path, &inferred).unwrap().classes(), 5);
    let normalised = ImageParquetOptions { mean: [0.5, 0.0, 0.0], std: [0.5, 1.0, 1.0], ..plain() };
    let values = load_image_parquet(&path, &normalised).unwrap().inputs().flatten_all().unwrap();
    assert_eq!(values.to_vec1::<f32>().unwrap()[4], (11.0 / 255.0 - 0.5) / 0.5);
}

#[test]
fn pictures_are_turned_before_their_sizes_are_compared() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    let stored = RgbImage::from_fn(2, 3, |x, y| Rgb([(10 * y + x) as u8, 0, 0]));
    let mut turned = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut turned);
    // Exif: to be turned by a quarter clockwise.
    let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    encoder.write_image(&stored, 2, 3, image::ExtendedColorType::Rgb8).unwrap();
    file(&path, &[vec![(Some(png(3, 2, 0)), 4), (Some(turned), 0)]]);
    let data = load_image_parquet(&path, &plain()).unwrap();
    assert_eq!(data.inputs().dims(), [2, 3, 2, 3]);
    assert_eq!(bytes(&data)[18..24], [20, 10, 0, 21, 11, 1]);
    let stored = ImageParquetOptions { upright: false, ..plain() };
    let error = load_image_parquet(&path, &stored).unwrap_err().to_string();
    assert!(error.contains("2 × 3 in row 1"), "{error}");
}

#[test]
fn what_is_wrong_is_named_with_its_row() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.parquet");
    let good = || (Some(png(3, 2, 0)), 1);
    let cases = [
        ("another size", (Some(png(2, 3, 0)), 1), "2 × 3 in row 2"),
        ("no picture", (Some(b"nothing".to_vec()), 1), "row 2"),
        ("a missing one", (None, 1), "row 2"),
        ("a label too large", (Some(png(3, 2, 0)), 10), "10 of 10 classes in row 2"),
        ("a negative label", (Some(png(3, 2, 0)), -1), "\"-1\" in row 2"),
    ];
    for (what, row, place) in cases {
        file(&path, &[vec![good(), good()], vec![row, good()]]);
        let error = load_image_parquet(&path, &plain()).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{what}: {error}");
        assert!(error.to_string().contains(place), "{what}: {error}");
    }
    file(&path, &[vec![good()]]);
    let load = |options| load_image_parquet(&path, &options).unwrap_err();
    let image = "image".to_owned();
    assert!(matches!(load(ImageParquetOptions { image, ..plain() }), Error::Unknown { .. }));
    assert!(matches!(
        load(ImageParquetOptions { limit: Some(0), ..plain() }),
        Error::OutOfRange { .. }
    ));
    assert!(matches!(
        load(ImageParquetOptions { std: [0.0; 3], ..plain() }),
        Error::OutOfRange { .. }
    ));
    file(&path, &[]);
    assert!(matches!(load(plain()), Error::File { .. }));
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(load(plain()), Error::File { .. }), "{length} bytes");
    }
}

#[test]
fn the_columns_of_cifar_are_known() {
    let fine = Version::Cifar100 { labels: CifarLabels::Fine };
    let coarse = Version::Cifar100 { labels: CifarLabels::Coarse };
    let label = |version| ImageParquetOptions::cifar(version).label;
    assert_eq!([label(fine), label(coarse)], ["fine_label", "coarse_label"]);
}
