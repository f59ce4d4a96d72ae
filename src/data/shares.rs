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
    }
}
