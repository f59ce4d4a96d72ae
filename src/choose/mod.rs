//! Ways to choose data that people compare with: plain evidence in, a [`Choice`] out.
//!
//! A strategy never sees a model or a tensor: [`Evidence`] is plain numbers, each kind optional, and a
//! strategy says which it [needs](Strategy::needs). Ties go to the smaller index.
//!
//! | strategy | keeps | needs |
//! | --- | --- | --- |
//! | [`Random`] | a uniform sample | nothing |
//! | [`KCenter`] | points far from one another | features |
//! | [`Herding`] | points whose mean is the mean of all | features |
//! | [`Prototypes`] | points far from, or near, the centres of clusters | features |
//! | [`SemDeDup`] | points without a near duplicate | features |
//! | [`FacilityLocation`] | points to which all others are similar | features |
//! | [`TowardsTarget`] | points like those of a target set, which cover it | features, validation |
//! | [`Transported`] | points whose distribution is near that of a target set, by an optimal transport | features, validation |
//! | [`Prune4Rel`] | confident points near all others, for learners that correct labels | probabilities, features |
//! | [`GraphCut`] | points like the rest and unlike one another | features |
//! | [`LogDeterminant`] | points that span a large volume | features |
//! | [`Convex`] | points that represent all others, by the selection program | features; takes column costs |
//! | [`LargestLoss`], [`SmallestLoss`] | what the learner finds hardest, easiest | losses |
//! | [`LeastConfidence`], [`Margin`], [`Entropy`] | what the learner is unsure of | probabilities |
//! | [`El2n`] | points with a large error | errors |
//! | [`Grand`] | points with a large gradient | errors, features |
//! | [`FullGrand`] | points with a large gradient in all weights | gradient norms |
//! | [`Averaged`] | what any score ranks first on average over several trainings | its score's, repeats |
//! | [`Badge`] | large gradients unlike one another | probabilities, features |
//! | [`Craig`] | gradients close to all others of the class | errors, labels, features |
//! | [`GradMatch`] | gradients that sum up to the mean of all | errors, features |
//! | [`Glister`] | gradients along which the validation loss falls | probabilities, labels, features, validation |
//! | [`Forgetting`] | what the learner keeps forgetting | history |
//! | [`Aum`] | what looks mislabelled all through training | margins |
//! | [`Dual`], [`BetaSampled`] | what the learner keeps changing its mind about | probabilities of the labels |
//! | [`Easiest`] | the other end of any score | its score's |
//! | [`CoverageCentric`] | every degree of a score but the hardest | its score's |
//! | [`D2`] | the hardest by a score, spread over a graph of neighbours | its score's, features |
//! | [`Window`] | the hardest by a score but the very hardest | its score's |
//! | [`Moderate`] | points at the median distance from the mean of their class | features, labels |
//! | [`ClassBalanced`] | what any strategy keeps in each class | its strategy's, labels |
//! | [`Grouped`] | whole groups by what any strategy thinks of their points | its strategy's, groups |
//! | [`Affordable`] | what a budget allows of any strategy's choice | its strategy's, costs |
//! | [`Purchase`] | points or whole groups for a sum of money, where a group's first point costs extra | groups, costs, features |
//!
//! Probabilities of a learner that has seen the labels agree with wrong ones too; those of [`CrossFit`] are out of fold.
//! Errors are what probabilities and labels make together, or the derivative of another loss
//! ([`Evidence::with_errors`]). A [`Score`] is a number a point, larger for harder ones; it is a strategy by ranking.
//!
//! # Adding a strategy
//! 1. One file with one type and its docs: rule, cost, memory, paper.
//! 2. `impl Strategy`: say what it needs and ask for it through the accessors, leave ties to [`top`]. A
//!    ranking number: `impl Score`. A submodular function: the engine in `submodular/greedy.rs`.
//! 3. Re-export it here and add its row to the table.
//! 4. Add it to the contract test in `tests/strategies.rs`, with a case solved by hand.

pub(crate) mod cells;
mod choice;
mod cross_fit;
mod evidence;
mod needs;
pub(crate) mod neighbours;
pub(crate) mod ridge;
mod stack;
pub(crate) mod strategies;
pub(crate) mod tasks;
pub(crate) mod transport;

pub use choice::Choice;
pub use cross_fit::{CrossFit, JudgedBy, OutOfFold};
pub(crate) use cross_fit::{softmax, temperature};
pub(crate) use evidence::check_table;
pub use evidence::{Evidence, check_needs};
pub use needs::{Kind, Needs};
pub use neighbours::Similarity;
pub(crate) use strategies::check_count;
pub use strategies::clusters::prototypes::{Keep, Prototypes};
pub use strategies::clusters::sem_de_dup::SemDeDup;
pub use strategies::gradients::badge::Badge;
pub use strategies::gradients::craig::Craig;
pub use strategies::gradients::glister::Glister;
pub use strategies::gradients::grad_match::GradMatch;
pub use strategies::scores::aum::Aum;
pub use strategies::scores::averaged::Averaged;
pub use strategies::scores::dual::{BetaSampled, Dual};
pub use strategies::scores::el2n::El2n;
pub use strategies::scores::forgetting::Forgetting;
pub use strategies::scores::full_grand::FullGrand;
pub use strategies::scores::grand::Grand;
pub use strategies::scores::loss::{LargestLoss, SmallestLoss};
pub use strategies::scores::score::{Easiest, Score};
pub use strategies::scores::uncertainty::{Entropy, LeastConfidence, Margin};
pub use strategies::spread::convex::Convex;
pub use strategies::spread::herding::Herding;
pub use strategies::spread::k_center::KCenter;
pub use strategies::spread::random::Random;
pub use strategies::spread::transported::{Pull, Transported};
pub use strategies::submodular::facility_location::FacilityLocation;
pub use strategies::submodular::graph_cut::GraphCut;
pub use strategies::submodular::greedy::Greedy;
pub use strategies::submodular::log_determinant::LogDeterminant;
pub use strategies::submodular::prune4rel::Prune4Rel;
pub use strategies::submodular::towards_target::TowardsTarget;
pub use strategies::within::affordable::Affordable;
pub use strategies::within::class_balanced::{ClassBalanced, Shares};
pub use strategies::within::coverage_centric::CoverageCentric;
pub use strategies::within::d2::D2;
pub use strategies::within::grouped::Grouped;
pub use strategies::within::mixed::Mixed;
pub use strategies::within::moderate::Moderate;
pub use strategies::within::purchase::{Offers, Purchase};
pub use strategies::within::weighted::Weighted;
pub use strategies::within::window::Window;
pub use strategies::{Strategy, Streaming, all, check_distinct, listed, named, top};
pub use tasks::{Asked, Candidates, Next, Tasks};
