//! Gleaner finds the training data worth keeping.
//!
//! Its heart is a differentiable convex subset-selection layer: a small convex program, solved exactly in
//! the forward pass, differentiated through its KKT conditions in the backward pass, usable inside candle
//! training code like any operation.
//!
//! ```text
//! minimise    <D, Z> + eps/2 ||Z||^2 + <c, s>      D_ij: how badly point j stands in for point i
//! subject to  Z >= 0,  Z 1 = 1                     every incoming point is represented
//!             s_j = ||Z_{:,j}||_p,  sum s <= kappa the weight of point j, within the budget
//! ```
//!
//! Around it: an online loop that trains the selection together with a learner on mini-batches, so that
//! the weights serve a small trusted validation set ([`trainer`]); the strategies people compare with
//! ([`strategies`]); a cheap learner that chooses for an expensive one ([`proxy`]); and honest comparisons
//! ([`comparison`]).
//!
//! # Example
//! Choose two of four points, and ask how the choice would move if the points did:
//! ```
//! use candle_core::{Device, Var};
//! use gleaner::{Distance, LayerInputs, LayerOptions, SelectionLayer, program::Budget};
//!
//! let points = Var::new(&[[0.0f64, 0.0], [0.1, 0.0], [1.0, 1.0], [0.9, 1.2]], &Device::Cpu)?;
//! let costs = Distance::SquaredEuclidean.between(&points, &points)?;
//! let layer = SelectionLayer::new(LayerOptions { budget: Budget::Absolute(2.0), ..Default::default() });
//! let selected = layer.forward(&costs, LayerInputs::default())?;
//!
//! // One unit of weight for each of the two pairs.
//! let weights = selected.weights.to_vec1::<f64>()?;
//! assert!((weights[0] + weights[1] - 1.0).abs() < 1e-6);
//! let cost = (&selected.assignment * &costs)?.sum_all()?;
//! assert!(cost.backward()?.get(&points).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules, in reading order
//! | module | holds | knows |
//! | --- | --- | --- |
//! | [`program`] | the selection program, its solvers and its derivative, in `f64` | nothing else |
//! | [`layer`] | the same as a candle operation | program, bridge |
//! | [`distance`], [`bridge`], [`memory`] | costs, tensors to matrices, remembered exemplars | |
//! | [`learners`], [`optimiser`] | models to train, and how | datasets |
//! | [`trainer`] | joint training and the final choice | all of the above |
//! | [`datasets`], [`metrics`], `report` | data in, numbers and pictures out | |
//! | [`training`], [`checkpoint`], [`run`] | a learner by itself, and runs that survive a kill | learners |
//! | [`strategies`], [`comparison`] | rivals, side by side | program |
//! | [`proxy`] | core-sets and active learning, by a cheap learner for an expensive one | all of the above |
//!
//! # Features
//! `report`: CSV tables and SVG charts. `text`: labelled texts from CSV files. `images`: folders of pictures.
//! `tables`: ready-made features from csv, npy, npz and safetensors files; `parquet`: from parquet files too,
//! and with `images` pictures in them. `download`: files of the Hugging Face hub. `cuda`, `cudnn`, `metal`,
//! `accelerate`, `mkl`: passed on to candle.

#![deny(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

pub mod bridge;
pub mod checkpoint;
pub mod comparison;
pub mod datasets;
pub mod distance;
pub mod error;
pub mod layer;
pub mod learners;
pub mod memory;
pub mod metrics;
pub mod optimiser;
pub mod program;
pub mod proxy;
#[cfg(feature = "report")]
pub mod report;
pub mod run;
mod shares;
pub mod strategies;
pub mod trainer;
pub mod training;
mod whole_file;

pub use distance::Distance;
pub use error::{Error, Result};
pub use layer::{
    BatchOutput, LayerInputs, LayerOptions, LayerOutput, Scale, SelectionLayer, Smoothing, Status,
};
pub use learners::Learner;
pub use memory::{Eviction, ExemplarMemory};
pub use program::{Selection, SelectionProgram};
pub use trainer::{Trainer, TrainerOptions};

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
