//! The learners, one a file.

pub(crate) mod cnn;
pub(crate) mod fast_text;
pub(crate) mod image_learner;
pub(crate) mod mlp;
pub(crate) mod resnet;
pub(crate) mod text_learner;
pub(crate) mod vdcnn;
