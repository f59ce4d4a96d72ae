//! The points and those that judge them.

use crate::choose::Evidence;
use crate::error::{Error, Result};

/// Features and labels of the points and of the validation points; there is at least one of these.
pub(crate) struct Judged<'a> {
    /// Features, a row a point.
    pub(crate) rows: &'a [f32],
    pub(crate) width: usize,
    pub(crate) labels: &'a [u32],
    /// Features of the validation points.
    pub(crate) others: &'a [f32],
    /// Their labels.
    pub(crate) wanted: &'a [u32],
}

impl<'a> Judged<'a> {
    /// [`Error::Unknown`] in the name of who asks, [`Error::Shape`] if validation points have another width.
    pub(crate) fn of(evidence: &Evidence<'a>, name: &str) -> Result<Self> {
        let (rows, width) = evidence.features(name)?;
        let labels = evidence.labels(name)?;
        let validation = evidence.validation(name)?;
        let (others, found) = validation.features(name)?;
        if found != width {
            return Err(Error::shape("width of validation features", width, found));
        }
        Ok(Self { rows, width, labels, others, wanted: validation.labels(name)? })
    }
}
