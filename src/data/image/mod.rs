//! Images: the CIFAR files, folders of pictures, pictures in parquet, augmentation.

pub(crate) mod augmentation;
pub mod cifar;
#[cfg(feature = "images")]
pub(crate) mod folder;
#[cfg(all(feature = "images", feature = "parquet"))]
pub(crate) mod parquet;
#[cfg(feature = "images")]
mod picture;
