//! A number a point, larger for harder ones, and the ranking by it.

pub(crate) mod aum;
pub(crate) mod averaged;
pub(crate) mod dual;
pub(crate) mod el2n;
pub(crate) mod forgetting;
pub(crate) mod full_grand;
pub(crate) mod grand;
pub(crate) mod loss;
pub(crate) mod score;
pub(crate) mod uncertainty;
