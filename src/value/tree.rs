//! A decision tree on binned features.

use rand::Rng;

/// Bins of a feature.
const BINS: usize = 64;

/// Features as places among their own values, a column a feature.
pub(crate) struct Bins {
    places: Vec<u8>,
    points: usize,
    /// The smallest and largest value of each place, a list a feature.
    ranges: Vec<Vec<(f32, f32)>>,
}

impl Bins {
    /// From a row of `width` features a point.
    pub(crate) fn new(rows: &[f32], width: usize) -> Self {
        let points = rows.len() / width;
        let (mut places, mut ranges) = (Vec::with_capacity(rows.len()), Vec::new());
        for feature in 0..width {
            let column = || rows.iter().skip(feature).step_by(width);
            let bins = bins(column().copied().collect());
            places.extend(column().map(|x| bins.partition_point(|(_, largest)| largest < x) as u8));
            ranges.push(bins);
        }
        Self { places, points, ranges }
    }

    fn column(&self, feature: usize) -> &[u8] {
        &self.places[feature * self.points..(feature + 1) * self.points]
    }

    /// The last place that begins below the middle between two others.
    fn middle(&self, feature: usize, low: u8, high: u8) -> u8 {
        let ranges = &self.ranges[feature];
        let (below, above) = (ranges[low as usize].1, ranges[high as usize].0);
        let middle = 0.5 * (f64::from(below) + f64::from(above));
        let between = &ranges[low as usize + 1..high as usize];
        low + between.partition_point(|(smallest, _)| f64::from(*smallest) <= middle) as u8
    }
}

/// The smallest and largest value of each bin: every value its own if these are few, else as many different ones in
/// each, up to one.
fn bins(mut values: Vec<f32>) -> Vec<(f32, f32)> {
    values.sort_unstable_by(f32::total_cmp);
    values.dedup();
    let bins = values.len().min(BINS);
    let start = |k: usize| k * values.len() / bins;
    (0..bins).map(|k| (values[start(k)], values[start(k + 1) - 1])).collect()
}

/// How trees grow: each cut is the one with the least Gini impurity, of equal ones the first, halfway between the
/// values on its two sides, until leaves are pure, all of one row or as deep as allowed.
pub(crate) struct Growth<'a> {
    pub(crate) bins: &'a Bins,
    /// Below the number of classes.
    pub(crate) labels: &'a [u32],
    pub(crate) classes: usize,
    /// Cuts on the way to a leaf, at most.
    pub(crate) depth: usize,
    /// Features that a cut chooses from, at least one; constant ones do not count.
    pub(crate) features: usize,
}

/// A tree in the order in which it is walked: what lies left of a cut comes next.
pub(crate) struct Tree(Vec<Node>);

#[derive(Clone, Copy)]
enum Node {
    Leaf(u32),
    /// Places up to `last` go left.
    Cut {
        feature: usize,
        last: u8,
        right: usize,
    },
}

/// A point of a bag.
#[derive(Clone, Copy)]
struct Member {
    point: u32,
    class: u32,
    weight: u32,
}

/// The best cut so far.
#[derive(Clone, Copy)]
struct Best {
    purity: f64,
    feature: usize,
    last: u8,
}

impl Growth<'_> {
    /// Of the points, each as often as its weight says; some weight must be positive.
    pub(crate) fn tree(&self, weights: &[u32], rng: &mut impl Rng) -> Tree {
        let counted = (0..).zip(self.labels).zip(weights).filter(|(_, weight)| **weight > 0);
        let mut members: Vec<Member> = counted
            .map(|((point, class), weight)| Member { point, class: *class, weight: *weight })
            .collect();
        let mut sorted = members.clone();
        let mut features: Vec<usize> = (0..self.bins.ranges.len()).collect();
        let mut nodes = Vec::new();
        // First and last member, depth, the cut whose right side it is.
        let mut open = vec![(0, members.len(), 0, None)];
        while let Some((first, end, depth, parent)) = open.pop() {
            let here = nodes.len();
            if let Some(Node::Cut { right, .. }) = parent.map(|at: usize| &mut nodes[at]) {
                *right = here;
            }
            let members = &mut members[first..end];
            let counts = self.counts(members);
            let pure = counts.iter().filter(|count| **count > 0).count() == 1;
            let best = match pure || depth == self.depth {
                true => None,
                false => self.cut(members, &counts, &mut sorted, &mut features, rng),
            };
            let Some(Best { feature, last, .. }) = best else {
                nodes.push(Node::Leaf(heaviest(&counts)));
                continue;
            };
            let column = self.bins.column(feature);
            let left = partition(members, |member| column[member.point as usize] <= last);
            nodes.push(Node::Cut { feature, last, right: 0 });
            open.push((first + left, end, depth + 1, Some(here)));
            open.push((first, first + left, depth + 1, None));
        }
        Tree(nodes)
    }

    fn counts(&self, members: &[Member]) -> Vec<u64> {
        let mut counts = vec![0; self.classes];
        members.iter().for_each(|member| counts[member.class as usize] += u64::from(member.weight));
        counts
    }

    /// Features in the order of their numbers, or drawn one after another until enough of them can cut.
    fn cut(
        &self,
        members: &[Member],
        counts: &[u64],
        sorted: &mut [Member],
        features: &mut [usize],
        rng: &mut impl Rng,
    ) -> Option<Best> {
        let (mut best, mut tried) = (None, 0);
        for k in 0..features.len() {
            if self.features < features.len() {
                features.swap(k, rng.random_range(k..features.len()));
            }
            let sorted = &mut sorted[..members.len()];
            if !sort(members, self.bins.column(features[k]), sorted) {
                continue;
            }
            self.sweep(features[k], sorted, counts, &mut best);
            tried += 1;
            if tried == self.features {
                break;
            }
        }
        best
    }

    /// All cuts of a feature, from left to right: sums of squared counts change by a member at a time, in whole
    /// numbers.
    fn sweep(&self, feature: usize, sorted: &[Member], counts: &[u64], best: &mut Option<Best>) {
        let column = self.bins.column(feature);
        let place = |member: &Member| column[member.point as usize];
        let (mut left, mut right) = (vec![0u64; self.classes], counts.to_vec());
        let (mut left_sum, mut right_sum) = (0, counts.iter().sum::<u64>());
        let (mut left_squares, mut right_squares) = (0, counts.iter().map(|n| n * n).sum::<u64>());
        for pair in sorted.windows(2) {
            let (class, weight) = (pair[0].class, u64::from(pair[0].weight));
            let (l, r) = (&mut left[class as usize], &mut right[class as usize]);
            left_squares += weight * (2 * *l + weight);
            right_squares -= weight * (2 * *r - weight);
            (*l, *r) = (*l + weight, *r - weight);
            (left_sum, right_sum) = (left_sum + weight, right_sum - weight);
            let (low, high) = (place(&pair[0]), place(&pair[1]));
            if low < high {
                // The last member is still on the right: neither sum is zero.
                let purity =
                    left_squares as f64 / left_sum as f64 + right_squares as f64 / right_sum as f64;
                if best.is_none_or(|best| purity > best.purity) {
                    let last = self.bins.middle(feature, low, high);
                    *best = Some(Best { purity, feature, last });
                }
            }
        }
    }
}

/// By place; whether there are different ones. The order of those at one place is free: sums of them are exact.
fn sort(members: &[Member], column: &[u8], sorted: &mut [Member]) -> bool {
    /// Members that are sorted faster than their places are counted.
    const FEW: usize = 20;
    let place = |member: &Member| column[member.point as usize] as usize;
    if members.iter().all(|member| place(member) == place(&members[0])) {
        return false;
    }
    if members.len() <= FEW {
        sorted.copy_from_slice(members);
        sorted.sort_unstable_by_key(place);
        return true;
    }
    let mut starts = [0u32; BINS + 1];
    members.iter().for_each(|member| starts[place(member) + 1] += 1);
    (0..BINS).for_each(|place| starts[place + 1] += starts[place]);
    for member in members {
        let start = &mut starts[place(member)];
        sorted[*start as usize] = *member;
        *start += 1;
    }
    true
}

/// Those that go left first; how many there are.
fn partition(members: &mut [Member], left: impl Fn(&Member) -> bool) -> usize {
    let mut next = 0;
    for k in 0..members.len() {
        if left(&members[k]) {
            members.swap(next, k);
            next += 1;
        }
    }
    next
}

/// The first class with the largest count.
fn heaviest(counts: &[u64]) -> u32 {
    let classes = (0..).zip(counts);
    classes
        .fold((0, 0), |best, (class, count)| if *count > best.1 { (class, *count) } else { best })
        .0
}

impl Tree {
    /// What the tree takes a point for.
    pub(crate) fn class(&self, bins: &Bins, point: usize) -> u32 {
        let mut at = 0;
        loop {
            match self.0[at] {
                Node::Leaf(class) => return class,
                Node::Cut { feature, last, right } => {
                    at = if bins.column(feature)[point] <= last { at + 1 } else { right };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seeds;

    /// The purest of all cuts of some members, by trying them.
    fn plainly(
        bins: &Bins,
        labels: &[u32],
        weights: &[u32],
        among: &[usize],
    ) -> Option<(usize, u8)> {
        let mut best: Option<(f64, usize, u8)> = None;
        for feature in 0..bins.ranges.len() {
            let column = bins.column(feature);
            for last in 0..BINS as u8 {
                let purity = |left: bool| -> Option<f64> {
                    let side = || among.iter().filter(|i| (column[**i] <= last) == left);
                    let weight = |c: Option<u32>| -> f64 {
                        let of = side().filter(|i| c.is_none_or(|c| labels[**i] == c));
                        of.map(|i| f64::from(weights[*i])).sum()
                    };
                    let all = weight(None);
                    (all > 0.0).then(|| (0..3).map(|c| weight(Some(c)).powi(2)).sum::<f64>() / all)
                };
                if let (Some(left), Some(right)) = (purity(true), purity(false))
                    && best.is_none_or(|best| left + right > best.0)
                {
                    best = Some((left + right, feature, last));
                }
            }
        }
        best.map(|(_, feature, last)| (feature, last))
    }

    /// Every node of grown trees against all cuts tried plainly.
    #[test]
    fn every_cut_is_the_best() {
        let mut rng = Seeds::new(4).stream(0);
        for _ in 0..20 {
            let (points, width) = (30, 3);
            let rows: Vec<f32> =
                (0..points * width).map(|_| rng.random_range(0..7) as f32).collect();
            let labels: Vec<u32> = (0..points).map(|_| rng.random_range(0..3)).collect();
            let weights: Vec<u32> = (0..points).map(|_| rng.random_range(0..3)).collect();
            let bins = Bins::new(&rows, width);
            let growth = Growth {
                bins: &bins,
                labels: &labels,
                classes: 3,
                depth: usize::MAX,
                features: width,
            };
            let tree = growth.tree(&weights, &mut rng);
            let members = (0..points).filter(|i| weights[*i] > 0).collect::<Vec<_>>();
            let mut open = vec![(0, members)];
            while let Some((at, members)) = open.pop() {
                let pure = members.iter().all(|i| labels[*i] == labels[members[0]]);
                let best = plainly(&bins, &labels, &weights, &members);
                match tree.0[at] {
                    Node::Leaf(_) => assert!(pure || best.is_none()),
                    Node::Cut { feature, last, right } => {
                        let (of, low) = best.unwrap();
                        let places = members.iter().map(|i| bins.column(feature)[*i]);
                        let high = places.filter(|place| *place > low).min().unwrap();
                        assert!(feature == of && (low..high).contains(&last));
                        let (low, high) =
                            (members.iter()).partition(|i| bins.column(feature)[**i] <= last);
                        open.extend([(at + 1, low), (right, high)]);
                    }
                }
            }
        }
    }

    #[test]
    fn many_values_share_bins_and_few_have_their_own() {
        let many: Vec<f32> = (0..1000).map(|x| x as f32).collect();
        let bins = Bins::new(&many, 1);
        assert_eq!((bins.places[0], bins.places[999]), (0, BINS as u8 - 1));
        assert!(
            (0..BINS as u8)
                .all(|k| (15..=16).contains(&bins.places.iter().filter(|p| **p == k).count()))
        );
        let bins = Bins::new(&[3.0, -1e30, 3.0, 1e30, 5.0, 2e30], 1);
        assert_eq!(bins.places, [1, 0, 1, 3, 2, 4]);
        // What is not in a bag goes to the nearer side.
        assert_eq!((bins.middle(0, 1, 3), bins.middle(0, 0, 2), bins.middle(0, 3, 4)), (2, 0, 3));
    }
}
