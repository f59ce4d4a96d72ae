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
//! the weights serve a small trusted validation set ([`joint`]); the strategies people compare with
//! ([`choose`]); and a cheap learner that chooses for an expensive one, with honest comparisons
//! ([`experiment`]).
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
//! | room | holds | knows |
//! | --- | --- | --- |
//! | [`program`] | the selection program, its solvers and its derivative, in `f64` | nothing else |
//! | [`conic`] | any convex program with cone constraints, written as mathematics, solved and differentiated, in `f64` | nothing else |
//! | [`layer`] | both as candle operations, costs, tensors to matrices | program, conic |
//! | [`data`] | readers, splits, shares | nothing else |
//! | [`choose`] | evidence in, a choice out: the strategies | ranks, program, data |
//! | [`value`] | whether a label is right, what a point is worth | choose, data |
//! | [`learn`] | models to train, optimisers, a learner by itself | layer, data |
//! | [`joint`] | learner and selection model together, and the final choice | all of the above |
//! | [`gradcheck`] | any gradient against central differences | layer |
//! | [`experiment`] | core-sets, active learning, rivals side by side; runs that survive a kill | all of the above |
//! | `report` | tables, pictures, pages | nothing else |
//! | [`ranks`] | several processes or threads that do one job together | nothing else |
//! | [`seeds`] | where every generator of a run comes from | nothing else |
//!
//! # Features
//! `report`: CSV tables, SVG charts and pages of results. `text`: labelled texts from CSV files. `images`: folders of pictures.
//! `tables`: ready-made features from csv, npy, npz and safetensors files; `parquet`: from parquet files too,
//! and with `images` pictures in them. `download`: files of the Hugging Face hub. `mpi`: processes on several machines
//! that do one job together. `cuda`, `cudnn`, `metal`,
//! `accelerate`, `mkl`: passed on to candle.

#![deny(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adam;
pub mod choose;
pub mod conic;
pub mod data;
pub mod error;
pub mod experiment;
pub mod gradcheck;
mod hash;
pub mod joint;
pub mod layer;
pub mod learn;
pub mod program;
pub mod ranks;
#[cfg(feature = "report")]
pub mod report;
pub mod seeds;
pub mod value;
mod whole_file;

pub use choose::{Choice, Evidence, Strategy};
pub use data::{Dataset, Source};
pub use error::{Error, Result};
pub use joint::{Eviction, ExemplarMemory, Trainer, TrainerOptions};
pub use layer::{
    BatchOutput, ConicBatchOutput, ConicLayer, ConicLayerOptions, ConicOutput, Derivative,
    Distance, LayerInputs, LayerOptions, LayerOutput, Scale, SelectionLayer, Smoothing, Status,
};
pub use learn::Learner;
pub use program::{Selection, SelectionProgram};
pub use seeds::Seeds;

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// And those of the page on the user's own code.
#[cfg(doctest)]
#[doc = include_str!("../docs/in_your_code.md")]
struct InYourCode;
