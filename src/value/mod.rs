//! What a point is worth, and whether its label is right.
//!
//! | method | answers | needs |
//! | --- | --- | --- |
//! | [`ConfidentLearning`] | which labels are wrong, how many, and taken for what | probabilities out of fold, labels |
//! | [`Trusted`] | what any strategy keeps of the points whose labels hold | the same, and its strategy's |

pub(crate) mod label_quality;

pub use label_quality::confident::ConfidentLearning;
pub use label_quality::trusted::Trusted;
