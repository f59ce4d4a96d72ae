//! The exemplar memory against a plain list, and its nearest neighbours against brute force.

#[allow(dead_code)] // this file needs the number of cases only
mod common;

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use common::cases;
use gleaner::{Error, Eviction, ExemplarMemory};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Each row holds its identifier and when it was offered, so a mix-up shows.
fn rows(ids: &[usize], time: usize) -> Tensor {
    let rows: Vec<f32> = ids.iter().flat_map(|&id| [id as f32, time as f32]).collect();
    Tensor::from_vec(rows, (ids.len(), 2), &Device::Cpu).unwrap()
}

fn offer(memory: &mut ExemplarMemory, ids: &[usize], time: usize) {
    memory.insert(ids, &rows(ids, time), &mut rng(0)).unwrap();
}

fn held(memory: &ExemplarMemory) -> Vec<(usize, f32, f32)> {
    let rows = memory.rows().map_or(Vec::new(), |rows| rows.to_vec2::<f32>().unwrap());
    assert_eq!(rows.len(), memory.ids().len());
    memory.ids().iter().zip(rows).map(|(&id, row)| (id, row[0], row[1])).collect()
}

/// The memory as one would write it without tensors: algorithm R, or a ring.
struct Plain {
    capacity: usize,
    eviction: Eviction,
    slots: Vec<(usize, f32, f32)>,
    offers: u64,
    oldest: usize,
}

impl Plain {
    fn offer(&mut self, id: usize, time: usize, rng: &mut dyn RngCore) {
        let entry = (id, id as f32, time as f32);
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.0 == id) {
            *slot = entry;
            return;
        }
        self.offers += 1;
        if self.slots.len() < self.capacity {
            self.slots.push(entry);
        } else if self.eviction == Eviction::OldestOut {
            self.slots[self.oldest] = entry;
            self.oldest = (self.oldest + 1) % self.capacity;
        } else {
            let slot = rng.random_range(0..self.offers) as usize;
            if slot < self.capacity {
                self.slots[slot] = entry;
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// Few identifiers, so that they come back while held, after eviction and within one call.
    #[test]
    fn rows_stay_with_their_identifiers(
        capacity in 1usize..7,
        reservoir in any::<bool>(),
        offers in vec(vec(0usize..12, 1..9), 1..12),
        seed in any::<u64>(),
    ) {
        let eviction = if reservoir { Eviction::Reservoir } else { Eviction::OldestOut };
        let mut memory = ExemplarMemory::new(capacity, eviction).unwrap();
        let mut plain = Plain { capacity, eviction, slots: Vec::new(), offers: 0, oldest: 0 };
        let (mut one, mut other) = (rng(seed), rng(seed));
        for (time, ids) in offers.iter().enumerate() {
            memory.insert(ids, &rows(ids, time), &mut one).unwrap();
            ids.iter().for_each(|&id| plain.offer(id, time, &mut other));
            prop_assert_eq!(held(&memory), plain.slots.as_slice());
            prop_assert!(memory.len() <= capacity && !memory.is_empty());
            let distinct: BTreeSet<usize> = memory.ids().iter().copied().collect();
            prop_assert_eq!(distinct.len(), memory.len());
        }
    }

    #[test]
    fn nearest_is_brute_force_by_rank(
        // Coarse costs make ties common.
        costs in (1usize..7, 1usize..20, any::<bool>()).prop_flat_map(|(n, remembered, coarse)| {
            let cost = (0.0..3.0f64).prop_map(move |c| if coarse { c.floor() } else { c });
            vec(vec(cost, remembered), n)
        }),
        k in 0usize..20,
        exclude in prop::sample::subsequence((0..120).collect::<Vec<usize>>(), 0..48),
    ) {
        let (n, remembered) = (costs.len(), costs[0].len());
        let mut memory = ExemplarMemory::new(remembered, Eviction::OldestOut).unwrap();
        let ids: Vec<usize> = (0..remembered).map(|p| 100 + p).collect();
        offer(&mut memory, &ids, 0);
        let got = memory.nearest(&Tensor::new(costs.clone(), &Device::Cpu).unwrap(), k, &exclude).unwrap();

        let allowed: Vec<usize> = (0..remembered).filter(|p| !exclude.contains(&ids[*p])).collect();
        let everyones = wish_list(&costs, &allowed);
        prop_assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "ascending, no repeats: {got:?}");
        prop_assert!(got.len() <= k && got.iter().all(|p| allowed.contains(p)), "{got:?}");
        prop_assert!(got.len() == allowed.len() || !got.is_empty() || k == 0);
        // Whoever is kept was wished for before anyone who is not.
        let mut expected = everyones[..got.len()].to_vec();
        expected.sort_unstable();
        prop_assert_eq!(&got, &expected);
        if k >= n {
            for row in &costs {
                let nearest = allowed.iter().copied().min_by(|&a, &b| row[a].total_cmp(&row[b]).then(a.cmp(&b)));
                prop_assert!(nearest.is_none_or(|p| got.contains(&p)), "{got:?} for {row:?}");
            }
        }
    }
}

/// All allowed positions in the order they are wished for: everyone's nearest, then everyone's second
/// nearest, …; within a rank the closer first; ties to the smaller position.
fn wish_list(costs: &[Vec<f64>], allowed: &[usize]) -> Vec<usize> {
    let closer = |row: &[f64], a: usize, b: usize| row[a].total_cmp(&row[b]).then(a.cmp(&b));
    let mut orders: Vec<Vec<usize>> = Vec::new();
    for row in costs {
        let mut order = allowed.to_vec();
        order.sort_by(|&a, &b| closer(row, a, b));
        orders.push(order);
    }
    let mut wished = Vec::new();
    for rank in 0..allowed.len() {
        let mut of_rank: Vec<(f64, usize)> =
            costs.iter().zip(&orders).map(|(row, order)| (row[order[rank]], order[rank])).collect();
        of_rank.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, position) in of_rank {
            if !wished.contains(&position) {
                wished.push(position);
            }
        }
    }
    wished
}

#[test]
fn the_oldest_makes_room() {
    let mut memory = ExemplarMemory::new(3, Eviction::OldestOut).unwrap();
    assert!(memory.is_empty() && memory.rows().is_none());
    offer(&mut memory, &[1, 2, 3, 4], 0);
    assert_eq!(memory.ids(), [4, 2, 3]);
    offer(&mut memory, &[5, 6], 1);
    assert_eq!(memory.ids(), [4, 5, 6]);
    offer(&mut memory, &[7], 2);
    assert_eq!(held(&memory), [(7, 7.0, 2.0), (5, 5.0, 1.0), (6, 6.0, 1.0)]);
}

#[test]
fn a_held_exemplar_is_renewed_in_its_place() {
    for eviction in [Eviction::OldestOut, Eviction::Reservoir] {
        let mut memory = ExemplarMemory::new(3, eviction).unwrap();
        offer(&mut memory, &[1, 2], 0);
        offer(&mut memory, &[2], 1);
        assert_eq!(held(&memory), [(1, 1.0, 0.0), (2, 2.0, 1.0)], "{eviction:?}");
        offer(&mut memory, &[3, 3], 2); // twice in one call
        assert_eq!(memory.ids(), [1, 2, 3], "{eviction:?}");
    }
    // Renewed or not, it is as old as it is.
    let mut memory = ExemplarMemory::new(2, Eviction::OldestOut).unwrap();
    offer(&mut memory, &[1, 2], 0);
    offer(&mut memory, &[1], 1);
    offer(&mut memory, &[3], 2);
    assert_eq!(memory.ids(), [3, 2]);
}

/// 3,000 seeded streams of 40 offers into 8 places: each identifier stays in about 600 of them. The
/// statistic `sum (count - 600)^2 / (600 * 0.8)` of negatively correlated counts has a mean of 40 and
/// a standard deviation near `sqrt(2 * 40) = 9`; 80 is more than four of those above.
#[test]
fn the_reservoir_is_a_uniform_sample() {
    let (streams, offers, capacity) = (3000, 40, 8);
    let ids: Vec<usize> = (0..offers).collect();
    let mut counts = vec![0usize; offers];
    let mut rng = rng(5);
    for _ in 0..streams {
        let mut memory = ExemplarMemory::new(capacity, Eviction::Reservoir).unwrap();
        for part in ids.chunks(16) {
            memory.insert(part, &rows(part, 0), &mut rng).unwrap();
        }
        assert_eq!(memory.len(), capacity);
        memory.ids().iter().for_each(|&id| counts[id] += 1);
    }
    let share = capacity as f64 / offers as f64;
    let expected = streams as f64 * share;
    let statistic: f64 =
        counts.iter().map(|&c| (c as f64 - expected).powi(2) / (expected * (1.0 - share))).sum();
    assert!(statistic < 80.0, "{statistic}: {counts:?}");
}

#[test]
fn neighbours_by_hand() {
    let mut memory = ExemplarMemory::new(9, Eviction::OldestOut).unwrap();
    offer(&mut memory, &[10, 11, 12, 13], 0);
    let costs = |rows: Vec<Vec<f32>>| Tensor::new(rows, &Device::Cpu).unwrap();
    let two = costs(vec![vec![1.0, 2.0, 9.0, 8.0], vec![3.0, 9.0, 2.0, 8.0]]);
    for (what, costs, k, exclude, expected) in [
        ("everyone's nearest", &two, 2, vec![], vec![0, 2]),
        ("the closer of the two", &two, 1, vec![], vec![0]),
        ("the closer second choice", &two, 3, vec![], vec![0, 1, 2]),
        ("more than there are", &two, 9, vec![], vec![0, 1, 2, 3]),
        ("none", &two, 0, vec![], vec![]),
        ("not itself", &two, 2, vec![10, 99], vec![1, 2]),
        ("nobody left", &two, 2, vec![10, 11, 12, 13], vec![]),
        ("a tie", &costs(vec![vec![5.0, 1.0, 1.0, 1.0]]), 2, vec![], vec![1, 2]),
        (
            "a tie of two points",
            &costs(vec![vec![9.0, 9.0, 9.0, 1.0], vec![9.0, 1.0, 9.0, 9.0]]),
            1,
            vec![],
            vec![1],
        ),
    ] {
        assert_eq!(memory.nearest(costs, k, &exclude).unwrap(), expected, "{what}");
    }
}

#[test]
fn an_empty_memory_has_no_neighbours() {
    let memory = ExemplarMemory::new(4, Eviction::Reservoir).unwrap();
    let costs = Tensor::zeros((3, 0), DType::F32, &Device::Cpu).unwrap();
    assert!(memory.nearest(&costs, 5, &[]).unwrap().is_empty());
}

#[test]
fn offering_nothing_changes_nothing() {
    let none = Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap();
    let mut memory = ExemplarMemory::new(4, Eviction::Reservoir).unwrap();
    memory.insert(&[], &none, &mut rng(0)).unwrap();
    assert!(memory.is_empty() && memory.rows().is_none());
    offer(&mut memory, &[1, 2], 0);
    let before = held(&memory);
    memory.insert(&[], &none, &mut rng(0)).unwrap();
    assert_eq!(held(&memory), before);
}

#[test]
fn rows_carry_no_gradient_into_memory() {
    let row = candle_core::Var::new(&[[1f32, 2.0]], &Device::Cpu).unwrap();
    let mut memory = ExemplarMemory::new(4, Eviction::OldestOut).unwrap();
    memory.insert(&[7], &(row.as_tensor() * 2.0).unwrap(), &mut rng(0)).unwrap();
    let loss = memory.rows().unwrap().sum_all().unwrap();
    assert!(loss.backward().unwrap().get(&row).is_none());
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let error = ExemplarMemory::new(0, Eviction::OldestOut).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { what: "memory capacity", .. }), "{error}");
    let mut memory = ExemplarMemory::new(4, Eviction::OldestOut).unwrap();
    offer(&mut memory, &[1, 2], 0);
    let before = held(&memory);
    let narrow = Tensor::zeros((1, 1), DType::F32, &Device::Cpu).unwrap();
    let cube = Tensor::zeros((1, 2, 2), DType::F32, &Device::Cpu).unwrap();
    for (ids, rows) in [(vec![3, 4], rows(&[3], 1)), (vec![3], narrow)] {
        let error = memory.insert(&ids, &rows, &mut rng(0)).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
    assert!(memory.insert(&[3], &cube, &mut rng(0)).is_err());
    let error = memory.nearest(&rows(&[1, 2, 3], 0).t().unwrap(), 1, &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("columns of costs to exemplars: expected 2, found 3"),
        "{error}"
    );
    assert_eq!(held(&memory), before);
}

#[test]
fn rows_of_another_type_are_refused_and_change_nothing() {
    let mut memory = ExemplarMemory::new(4, Eviction::OldestOut).unwrap();
    offer(&mut memory, &[1, 2], 0);
    let before = held(&memory);
    let double = rows(&[3], 1).to_dtype(DType::F64).unwrap();
    assert!(memory.insert(&[3], &double, &mut rng(0)).is_err());
    assert_eq!(memory.ids(), [1, 2]);
    assert_eq!(held(&memory), before);
}

#[test]
fn no_incoming_points_need_no_neighbours() {
    let mut memory = ExemplarMemory::new(4, Eviction::OldestOut).unwrap();
    offer(&mut memory, &[1, 2], 0);
    let costs = Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap();
    assert!(memory.nearest(&costs, 1, &[]).unwrap().is_empty());
}

#[test]
fn there_are_as_many_neighbours_as_asked_for() {
    let mut memory = ExemplarMemory::new(30, Eviction::OldestOut).unwrap();
    let ids: Vec<usize> = (0..30).collect();
    offer(&mut memory, &ids, 0);
    let row = Tensor::arange(0f32, 30.0, &Device::Cpu).unwrap().reshape((1, 30)).unwrap();
    let costs = row.broadcast_as((10, 30)).unwrap();
    assert_eq!(memory.nearest(&costs, 10, &[]).unwrap(), (0..10).collect::<Vec<_>>());
}

#[test]
fn costs_that_are_not_finite_are_refused() {
    let mut memory = ExemplarMemory::new(4, Eviction::OldestOut).unwrap();
    offer(&mut memory, &[1, 2], 0);
    let costs = Tensor::new(&[[1.0f32, -f32::NAN]], &Device::Cpu).unwrap();
    let error = memory.nearest(&costs, 1, &[]).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
}
