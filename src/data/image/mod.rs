//! Images: the CIFAR files, folders of pictures, pictures in parquet, augmentation, features of patches.

pub(crate) mod augmentation;
pub mod cifar;
#[cfg(feature = "images")]
pub(crate) mod folder;
#[cfg(all(feature = "images", feature = "parquet"))]
pub(crate) mod parquet;
pub(crate) mod patches;
#[cfg(feature = "images")]
mod picture;
