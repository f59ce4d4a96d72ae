//! How many points each group gives, and in which order they come.

/// As equal as the sizes allow: small groups give everything, the others share the rest; what does not
/// divide goes to the larger groups, of equal ones to the later. Sums to `count`, which is at most the
/// sum of the sizes.
pub(crate) fn near_equal(sizes: &[usize], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|group| sizes[*group]);
    let (mut shares, mut left) = (vec![0; sizes.len()], count);
    for (k, group) in order.into_iter().enumerate() {
        // The last group is asked for all that is left, and has it: groups before it gave either
        // everything or the mean, rounded down, of what was then asked of groups no smaller.
        shares[group] = sizes[group].min(left / (sizes.len() - k));
        left -= shares[group];
    }
    shares
}

/// `count * size / total`, rounded down, then up where the remainder is largest (of equal ones the
/// earlier), until it sums to `count`, which is at most the total.
pub(crate) fn proportional(sizes: &[usize], count: usize) -> Vec<usize> {
    let total = sizes.iter().sum::<usize>().max(1) as u128;
    let exact = |group: usize| count as u128 * sizes[group] as u128;
    let mut shares: Vec<usize> =
        (0..sizes.len()).map(|group| (exact(group) / total) as usize).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|group| std::cmp::Reverse(exact(*group) % total));
    let left = count - shares.iter().sum::<usize>();
    order.into_iter().take(left).for_each(|group| shares[group] += 1);
    shares
}

/// The first of every group, then the second of every group, and so on: the beginning of the list
/// serves all groups too.
pub(crate) fn take_turns<T: Copy>(groups: &[Vec<T>]) -> Vec<T> {
    let rounds = groups.iter().map(Vec::len).max().unwrap_or(0);
    (0..rounds).flat_map(|k| groups.iter().filter_map(move |group| group.get(k))).copied().collect()
}

/// The groups' members by how far through their own group they are, the middles of equal steps, of equal ones the earlier
/// group: the beginning of the list holds of every group its share, up to a rounding.
pub(crate) fn in_proportion<T: Copy>(groups: &[Vec<T>]) -> Vec<T> {
    let mut all: Vec<(usize, usize)> = (groups.iter().enumerate())
        .flat_map(|(group, members)| (0..members.len()).map(move |k| (group, k)))
        .collect();
    // (2 k + 1) / size, compared without a rounding.
    let over = |k: usize, size: usize| (2 * k as u128 + 1) * size as u128;
    all.sort_by(|a, b| over(a.1, groups[b.0].len()).cmp(&over(b.1, groups[a.0].len())));
    all.into_iter().map(|(group, k)| groups[group][k]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_hand() {
        // Sizes, count, near-equal, proportional.
        let cases = [
            ([4, 2, 1], 4, [2, 1, 1], [2, 1, 1]),
            ([8, 8, 8], 8, [2, 3, 3], [3, 3, 2]),
            ([1, 9, 2], 11, [1, 8, 2], [1, 8, 2]),
            ([3, 0, 5], 8, [3, 0, 5], [3, 0, 5]),
            ([5, 1, 5], 2, [1, 0, 1], [1, 0, 1]),
            ([7, 0, 0], 3, [3, 0, 0], [3, 0, 0]),
        ];
        for (sizes, count, equal, fair) in cases {
            assert_eq!(near_equal(&sizes, count), equal, "{count} of {sizes:?}");
            assert_eq!(proportional(&sizes, count), fair, "{count} of {sizes:?}");
        }
    }

    #[test]
    fn shares_sum_up_and_nobody_gives_more_than_it_has() {
        for code in 0..6usize.pow(4) {
            let sizes: Vec<usize> = (0..4).map(|k| code / 6usize.pow(k) % 6).collect();
            for count in 0..=sizes.iter().sum() {
                for shares in [near_equal(&sizes, count), proportional(&sizes, count)] {
                    assert_eq!(shares.iter().sum::<usize>(), count, "{count} of {sizes:?}");
                    assert!(shares.iter().zip(&sizes).all(|(share, size)| share <= size));
                }
            }
        }
    }

    #[test]
    fn turns_by_hand() {
        assert_eq!(take_turns(&[vec![7], vec![], vec![1, 2, 3], vec![9, 8]]), [7, 1, 9, 2, 8, 3]);
        assert!(take_turns::<usize>(&[]).is_empty());
        assert_eq!(
            in_proportion(&[vec![7], vec![], vec![1, 2, 3], vec![9, 8]]),
            [1, 9, 7, 2, 8, 3]
        );
        assert!(in_proportion::<usize>(&[]).is_empty());
    }

    #[test]
    fn every_beginning_holds_its_share_of_each_group() {
        for code in 1..6usize.pow(4) {
            let sizes: Vec<usize> = (0..4).map(|k| code / 6usize.pow(k) % 6).collect();
            let groups: Vec<Vec<usize>> = (0..4).map(|group| vec![group; sizes[group]]).collect();
            let (order, total) = (in_proportion(&groups), sizes.iter().sum::<usize>() as f64);
            for count in 0..=order.len() {
                for group in 0..4 {
                    let found = order[..count].iter().filter(|g| **g == group).count() as f64;
                    let share = sizes[group] as f64 / total;
                    // Half a member of its own, and its share of half a member of each group.
                    let off = (found - count as f64 * share).abs();
                    assert!(off <= 0.5 + 2.0 * share, "{count} of {sizes:?}: {found} of {group}");
                }
            }
        }
    }
}
