//! What a strategy answers.

use crate::error::{Error, Result};

/// Points that were chosen, and how much each of them counts.
///
/// # Example
/// ```
/// use gleaner::Choice;
///
/// let choice = Choice::weighted(vec![7, 2], vec![3.0, 1.0])?;
/// assert_eq!((choice.indices, choice.weights), (vec![7, 2], vec![1.5, 0.5]));
/// # Ok::<(), gleaner::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Positions in the data, no repeats, in the order in which they were chosen: the best first, unless
    /// whoever chose says otherwise.
    pub indices: Vec<usize>,
    /// How much each counts in a training loss: one weight an index, none negative, their sum the number
    /// of indices. All one where points count alike.
    pub weights: Vec<f64>,
    /// What each was chosen for, in the strategy's own unit: its score, or what it added to an objective
    /// when it was chosen. `None` where there is no such number.
    pub gains: Option<Vec<f64>>,
}

impl Choice {
    /// Points that count alike.
    pub fn equal(indices: Vec<usize>) -> Self {
        let weights = vec![1.0; indices.len()];
        Self { indices, weights, gains: None }
    }

    /// Points with weights in any unit: they are scaled to sum to the number of points. Where all of them
    /// are equal, zero too, each counts as exactly one.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are as many weights as indices, [`Error::OutOfRange`] for a weight
    /// that is negative or not finite, or a sum beyond all numbers.
    pub fn weighted(indices: Vec<usize>, weights: Vec<f64>) -> Result<Self> {
        if weights.len() != indices.len() {
            return Err(Error::shape("weights of chosen points", indices.len(), weights.len()));
        }
        let total: f64 = weights.iter().sum();
        let wrong = |weight: &&f64| !(**weight >= 0.0 && weight.is_finite());
        if let Some(&found) = weights.iter().chain([&total]).find(wrong) {
            let (what, rule) = ("weights of chosen points", "finite and at least zero");
            return Err(Error::range(what, rule, found));
        }
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(Self::equal(indices));
        }
        let points = indices.len() as f64;
        let weights = weights.into_iter().map(|weight| weight / total * points).collect();
        Ok(Self { indices, weights, gains: None })
    }

    /// The same with what each point was chosen for.
    pub fn with_gains(self, gains: Vec<f64>) -> Self {
        debug_assert_eq!(gains.len(), self.indices.len());
        Self { gains: Some(gains), ..self }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Whether all points count alike.
    pub fn is_equal(&self) -> bool {
        self.weights.iter().all(|weight| *weight == 1.0)
    }

    /// Scores by rank: the `count` largest, best first, each with its score as gain.
    pub(crate) fn top(scores: &[f64], count: usize) -> Self {
        let indices = super::top(scores, count);
        let gains = indices.iter().map(|i| scores[*i]).collect();
        Self::equal(indices).with_gains(gains)
    }

    /// The same choice where index `k` stands for `members[k]`.
    pub(crate) fn among(self, members: &[usize]) -> Self {
        let indices = self.indices.into_iter().map(|k| members[k]).collect();
        Self { indices, ..self }
    }

    /// The first `count` points, or all where there are fewer; weights are scaled anew. Of a greedy choice, and of one that
    /// ranks, that is what the strategy would have chosen of as many: the choice of 10 % contains the one of 5 %.
    ///
    /// ```
    /// use gleaner::Choice;
    ///
    /// let choice = Choice::weighted(vec![7, 2, 5], vec![3.0, 1.0, 2.0])?;
    /// assert_eq!(choice.first(2)?, Choice::weighted(vec![7, 2], vec![3.0, 1.0])?);
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`weighted`](Self::weighted), of weights that are not what that function makes.
    pub fn first(&self, count: usize) -> Result<Self> {
        self.at(&(0..count.min(self.len())).collect::<Vec<_>>())
    }

    /// The chosen points at these places of the choice, in their order; weights are scaled anew.
    pub(crate) fn at(&self, places: &[usize]) -> Result<Self> {
        let of = |all: &Vec<f64>| places.iter().map(|k| all[*k]).collect::<Vec<f64>>();
        let indices = places.iter().map(|k| self.indices[*k]).collect();
        let kept = Self::weighted(indices, of(&self.weights))?;
        Ok(Self { gains: self.gains.as_ref().map(of), ..kept })
    }

    /// Several choices in one, in an order of their points ([`take_turns`](crate::data::shares::take_turns) or
    /// [`in_proportion`](crate::data::shares::in_proportion)). Points keep their weights; gains are kept where all have
    /// some.
    pub(crate) fn in_order(choices: &[Self], order: impl Fn(&[Vec<Place>]) -> Vec<Place>) -> Self {
        let places: Vec<Vec<Place>> = (choices.iter().enumerate())
            .map(|(c, choice)| (0..choice.len()).map(|k| (c, k)).collect())
            .collect();
        let places = order(&places);
        let gain = |(c, k): &Place| choices[*c].gains.as_ref().map(|gains| gains[*k]);
        Self {
            indices: places.iter().map(|(c, k)| choices[*c].indices[*k]).collect(),
            weights: places.iter().map(|(c, k)| choices[*c].weights[*k]).collect(),
            gains: places.iter().map(gain).collect(),
        }
    }
}

/// A choice of several, and a place in it.
type Place = (usize, usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::shares::take_turns;

    #[test]
    fn weights_sum_to_the_number_of_points() -> Result<()> {
        assert_eq!(Choice::weighted(vec![4, 1, 9], vec![2.0, 0.0, 4.0])?.weights, [1.0, 0.0, 2.0]);
        assert!(Choice::weighted(vec![4, 1], vec![0.0, 0.0])?.is_equal());
        assert!(Choice::weighted(vec![], vec![])?.is_empty());
        for weights in [vec![1.0], vec![1.0, -1.0], vec![1.0, f64::NAN], vec![f64::MAX; 2]] {
            assert!(Choice::weighted(vec![0, 1], weights).is_err());
        }
        Ok(())
    }

    #[test]
    fn turns_keep_what_belongs_together() -> Result<()> {
        let first = Choice::weighted(vec![0, 1], vec![3.0, 1.0])?.with_gains(vec![9.0, 8.0]);
        let second = Choice::equal(vec![0]).with_gains(vec![7.0]).among(&[5]);
        let both = Choice::in_order(&[first.clone(), second], take_turns);
        assert_eq!((both.indices, both.weights), (vec![0, 5, 1], vec![1.5, 1.0, 0.5]));
        assert_eq!(both.gains, Some(vec![9.0, 7.0, 8.0]));
        let other = Choice::equal(vec![7]);
        assert_eq!(Choice::in_order(&[first.clone(), other], take_turns).gains, None);
        assert_eq!(first.at(&[1])?, Choice::equal(vec![1]).with_gains(vec![8.0]));
        Ok(())
    }
}
