//! Labelled data in memory, how it is cut into batches and splits, and where it comes from.
//!
//! | Data set | Function | Input of a point | Classes | Points | Source |
//! |---|---|---|---|---|---|
//! | Utterances of speakers, in groups and at a price | [`speakers::speakers`] | 16 | 8 words | any | drawn here |
//! | Gaussian clusters of very unequal size | [`synthetic::clusters`] | `dimensions` | any | any | drawn here |
//! | CIFAR-10 | [`cifar::load`] | 3 × 32 × 32 | 10 | 50,000 + 10,000 | binary version, on disk |
//! | CIFAR-100 | [`cifar::load`] | 3 × 32 × 32 | 100 or 20 | 50,000 + 10,000 | binary version, on disk |
//! | any texts, such as Amazon reviews | `text::TextCsv` (feature `text`) | ids, see [`text::encode`], or [`text::tfidf`] | any | any | CSV file, plain or gzip |
//! | Folders of pictures, as ImageNet comes | `ImageFolder` (`images`) | 3 × `size` × `size` | any | any | files, decoded on demand |
//! | Pictures in parquet, as on the hub | `load_image_parquet` (`images`, `parquet`) | 3 × height × width | any | any | one file |
//! | Ready-made features | `table::load` (`tables`, `parquet`) | any length | any | any | csv, tsv, npy, npz, safetensors, parquet |
//!
//! Names in brackets are cargo features. Pictures become rows of features by [`Patches`], texts by [`text::tfidf`], both
//! without labels. Nothing is downloaded, unless `download::HubFile::fetch`
//! (`download`) is asked to. Anything else becomes a [`Dataset`] through [`Dataset::new`], or
//! implements [`Source`].
//!
//! # Adding a data set
//!
//! 1. One file here, named after it, with one public function that returns [`Dataset`]s.
//! 2. Plain options with `Default`; every option and every byte read is checked, and an error names the file.
//! 3. Inputs are `f32` on the CPU, points along the first dimension; randomness is the last argument.
//! 4. A row in the table above: what a point is, how many there are, where they come from.
//! 5. A test in `tests/datasets.rs` that writes a tiny copy, and one broken copy per way to be broken.

pub(crate) mod dataset;
#[cfg(feature = "download")]
pub mod download;
mod fingerprint;
mod image;
mod principal;
#[cfg(any(feature = "text", feature = "tables"))]
mod rows;
pub(crate) mod shares;
pub(crate) mod source;
pub mod speakers;
mod split;
mod standard;
mod svd;
pub mod synthetic;
#[cfg(feature = "tables")]
pub mod table;
pub mod text;

pub use dataset::{Batch, Dataset};
pub use fingerprint::fingerprint;
pub use image::augmentation::Augmentation;
pub use image::cifar;
#[cfg(feature = "images")]
pub use image::folder::{ImageFolder, ImageFolderOptions};
#[cfg(all(feature = "images", feature = "parquet"))]
pub use image::parquet::{ImageParquetOptions, load_image_parquet};
pub use image::patches::{PatchOptions, Patches};
pub use principal::PrincipalComponents;
pub use source::{Source, Subset};
pub use split::{
    flip_labels, flip_labels_to_next, shuffled_batches, stratified_folds, stratified_split,
};
pub use standard::Standardiser;

/// What becomes of a row, or a picture, that is not what it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Malformed {
    /// The first one is an error that names the file, the line or row, and what was found.
    #[default]
    Refuse,
    /// It is left out; what was left out can be read afterwards.
    Skip,
}
