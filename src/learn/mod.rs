//! Models being trained, behind one trait, with weights that a seed decides; and how they are trained.
//!
//! | Learner | For | Features |
//! |---|---|---|
//! | [`Mlp`] | vectors, or anything flattened | last hidden activations |
//! | [`Cnn`] | small square images, quickly | channels of the last convolution, averaged over the image |
//! | [`ResNet`] | small square images, well | channels of the last block, averaged over the image |
//! | [`FastText`] | texts, as bags of hashed n-grams | averaged embeddings |
//! | [`Vdcnn`] | texts, as characters | last hidden activations |
//!
//! A model of your own needs two functions and a list of variables; see [`Learner`].
//!
//! # Randomness
//! candle cannot be seeded on the CPU (0.11.1: `Device::set_seed` returns an error), so two equal
//! models built on a `VarMap` start with different weights, and `candle_nn::Dropout` draws from the
//! same unseedable source. `VarMap::all_vars` changes its order from instance to instance as well.
//! [`SeededWeights`] is the cure: same seed, same weights, in one order.

pub(crate) mod checkpoint;
mod gradient_norms;
pub(crate) mod learner;
pub(crate) mod loss;
mod models;
mod nn;
pub mod optimiser;
mod options;
mod sampling;
mod training;
mod weights;

pub use checkpoint::Checkpoint;
pub use gradient_norms::gradient_norms;
pub use learner::{
    Learner, accuracy_in_batches, error_in_batches, features_in_batches, losses_in_batches,
};
pub use loss::{Loss, cross_entropy, huber, squared_error};
pub use models::cnn::{Cnn, CnnOptions};
pub use models::fast_text::{FastText, FastTextOptions};
pub use models::image_learner::ImageLearner;
pub use models::mlp::{Mlp, MlpOptions};
pub use models::resnet::{ResNet, ResNetKind, ResNetOptions};
pub use models::text_learner::TextLearner;
pub use models::vdcnn::{Vdcnn, VdcnnDepth, VdcnnOptions};
pub use options::*;
pub use sampling::Sampling;
pub use training::*;
pub(crate) use weights::set_variables;
pub use weights::{SeededWeights, copy_variables, load_variables, save_variables};
