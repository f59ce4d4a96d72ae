//! The exemplars remembered from earlier batches.
//!
//! Memory holds the *inputs* of the selection model, not its features: those are recomputed with
//! today's parameters whenever they are needed, so nothing goes stale.

use candle_core::{Device, Tensor};
use nalgebra::{DMatrix, RowDVector};
use rand::{Rng, RngCore};

use crate::error::{Error, Result};
use crate::layer::bridge::{dims2, to_matrix};
use crate::learn::Checkpoint;

/// Which exemplar makes room for another in a full memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// The one remembered longest: memory follows the stream.
    #[default]
    OldestOut,
    /// Reservoir sampling (Vitter 1985, algorithm R): after `t` offers each was kept with
    /// probability `capacity / t`; memory is a uniform sample of all offers.
    Reservoir,
}

/// At most `capacity` exemplars, each an identifier and a row of numbers, in a stable order.
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use gleaner::{Eviction, ExemplarMemory};
/// use rand::SeedableRng;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let mut memory = ExemplarMemory::new(2, Eviction::OldestOut)?;
/// let rows = Tensor::new(&[[0.0f32], [1.0], [2.0]], &Device::Cpu)?;
/// memory.insert(&[10, 11, 12], &rows, &mut rng)?;
/// assert_eq!(memory.ids(), [12, 11]); // 10 made room for 12
///
/// let costs = Tensor::new(&[[4.0f32, 1.0]], &Device::Cpu)?; // one incoming point, to each exemplar
/// assert_eq!(memory.nearest(&costs, 1, &[])?, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExemplarMemory {
    capacity: usize,
    eviction: Eviction,
    ids: Vec<usize>,
    rows: Option<Tensor>,
    /// Exemplars offered so far (for the reservoir).
    offers: u64,
    /// The slot that the next exemplar overwrites (oldest out).
    oldest: usize,
}

impl ExemplarMemory {
    /// An empty memory.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a capacity of zero.
    pub fn new(capacity: usize, eviction: Eviction) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::range("memory capacity", "at least 1", 0.0));
        }
        Ok(Self { capacity, eviction, ids: Vec::new(), rows: None, offers: 0, oldest: 0 })
    }

    /// Puts everything but capacity and eviction into a checkpoint.
    pub(super) fn keep(&self, state: &mut Checkpoint) -> Result<()> {
        let ids: Vec<i64> = self.ids.iter().map(|id| *id as i64).collect();
        state.set("memory/ids", Tensor::from_vec(ids, self.len(), &Device::Cpu)?);
        if let Some(rows) = &self.rows {
            state.set("memory/rows", rows.copy()?);
        }
        state.set_note("memory/offers", self.offers);
        state.set_note("memory/oldest", self.oldest);
        Ok(())
    }

    /// A memory of this capacity and eviction that holds what [`keep`](Self::keep) put there.
    pub(super) fn kept(&self, state: &Checkpoint, device: &Device) -> Result<Self> {
        let mut memory = Self::new(self.capacity, self.eviction)?;
        (memory.offers, memory.oldest) =
            (state.note("memory/offers")?, state.note("memory/oldest")?);
        let ids = state.tensor("memory/ids")?.to_vec1::<i64>()?;
        memory.ids = ids.into_iter().map(|id| id as usize).collect();
        if memory.len() > self.capacity || memory.oldest >= self.capacity {
            let expected = format!("at most {}", self.capacity);
            let found = format!("{}, the oldest at {}", memory.len(), memory.oldest);
            return Err(Error::Shape { what: "kept exemplars", expected, found });
        }
        if !memory.is_empty() {
            let rows = state.tensor("memory/rows")?;
            let (count, _) = dims2("exemplar rows", rows)?;
            if count != memory.len() {
                return Err(Error::shape("exemplar rows", memory.len(), count));
            }
            memory.rows = Some(rows.to_device(device)?);
        }
        Ok(memory)
    }

    /// Identifiers of the exemplars.
    pub fn ids(&self) -> &[usize] {
        &self.ids
    }

    /// The exemplars' rows, `len x d`, in the order of [`ids`](Self::ids); `None` while empty.
    pub fn rows(&self) -> Option<&Tensor> {
        self.rows.as_ref()
    }

    /// Number of exemplars.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Offers exemplars, a row each (`k x d`). One that is remembered already has its row replaced.
    ///
    /// # Cost
    /// `O(capacity d)`: the rows are gathered anew.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number or width of rows is off.
    pub fn insert(&mut self, ids: &[usize], rows: &Tensor, rng: &mut dyn RngCore) -> Result<()> {
        let (count, width) = dims2("exemplar rows", rows)?;
        if count != ids.len() {
            return Err(Error::shape("exemplar rows", ids.len(), count));
        }
        let all = match &self.rows {
            Some(held) if held.dim(1)? != width => {
                return Err(Error::shape("exemplar width", held.dim(1)?, width));
            }
            Some(held) => Tensor::cat(&[held, &rows.detach()], 0)?,
            None => rows.detach(),
        };
        // All bookkeeping happens on a copy: a failure below leaves the memory as it was.
        let mut next = self.clone();
        // Where each slot's row comes from: held rows first, then the offered ones.
        let held = self.ids.len();
        let mut source: Vec<u32> = (0..held as u32).collect();
        for (k, &id) in ids.iter().enumerate() {
            let from = (held + k) as u32;
            match next.slot_for(id, rng) {
                Some(slot) if slot < source.len() => (next.ids[slot], source[slot]) = (id, from),
                Some(_) => {
                    next.ids.push(id);
                    source.push(from);
                }
                None => {}
            }
        }
        if !next.ids.is_empty() {
            let index = Tensor::from_vec(source, next.ids.len(), all.device())?;
            next.rows = Some(all.contiguous()?.index_select(&index, 0)?);
        }
        *self = next;
        Ok(())
    }

    /// The slot an offered exemplar takes, `None` if the reservoir turns it down.
    fn slot_for(&mut self, id: usize, rng: &mut dyn RngCore) -> Option<usize> {
        if let Some(slot) = self.ids.iter().position(|&held| held == id) {
            return Some(slot);
        }
        self.offers += 1;
        if self.ids.len() < self.capacity {
            return Some(self.ids.len());
        }
        match self.eviction {
            Eviction::OldestOut => {
                let slot = self.oldest;
                self.oldest = (slot + 1) % self.capacity;
                Some(slot)
            }
            Eviction::Reservoir => {
                let slot = rng.random_range(0..self.offers);
                (slot < self.capacity as u64).then_some(slot as usize)
            }
        }
    }

    /// Positions (ascending) of up to `k` exemplars near the incoming points, by exact search.
    ///
    /// `costs` (`n x len`) are today's costs of every exemplar for every incoming point. First comes
    /// everyone's nearest exemplar, then everyone's second nearest, and so on; within a rank the
    /// closer ones first. With `k >= n` every incoming point finds its nearest exemplar. Identifiers in
    /// `exclude` (the incoming points themselves) are left out: a point must not stand in for itself
    /// for free.
    ///
    /// # Cost
    /// The costs are computed on their device; ranking takes `O(n len)` for each of the few ranks.
    ///
    /// # Errors
    /// [`Error::Shape`] if `costs` does not have a column an exemplar, [`Error::NotFinite`] for NaN or
    /// infinite costs.
    pub fn nearest(&self, costs: &Tensor, k: usize, exclude: &[usize]) -> Result<Vec<usize>> {
        let (n, width) = dims2("costs to exemplars", costs)?;
        if width != self.len() {
            return Err(Error::shape("columns of costs to exemplars", self.len(), width));
        }
        if n == 0 {
            return Ok(Vec::new());
        }
        let costs = to_matrix(costs)?;
        if let Some(p) = costs.iter().position(|cost| !cost.is_finite()) {
            let (row, column) = (p % n, p / n);
            let found = costs[(row, column)];
            return Err(Error::NotFinite { what: "costs to exemplars", row, column, found });
        }
        let allowed: Vec<usize> = (0..width).filter(|&p| !exclude.contains(&self.ids[p])).collect();
        if allowed.len() <= k {
            return Ok(allowed);
        }
        // Few ranks are needed unless neighbours are shared: look deeper only then.
        let mut depth = 2 * k.div_ceil(n) + 2;
        let mut chosen = by_rank(&costs, &allowed, depth, k);
        while chosen.len() < k {
            depth *= 2;
            chosen = by_rank(&costs, &allowed, depth, k);
        }
        chosen.sort_unstable();
        Ok(chosen)
    }
}

/// Up to `k` of the `allowed` columns: every row's nearest, then every row's second, to `depth`.
fn by_rank(costs: &DMatrix<f64>, allowed: &[usize], depth: usize, k: usize) -> Vec<usize> {
    let depth = depth.min(allowed.len());
    let nearest = |row: RowDVector<f64>| {
        let mut order = allowed.to_vec();
        let closer = |a: &usize, b: &usize| row[*a].total_cmp(&row[*b]).then(a.cmp(b));
        if depth < order.len() {
            order.select_nth_unstable_by(depth, closer);
            order.truncate(depth);
        }
        order.sort_unstable_by(closer);
        order
    };
    let lists: Vec<Vec<usize>> = costs.row_iter().map(|row| nearest(row.into_owned())).collect();
    let mut taken = vec![false; costs.ncols()];
    let mut chosen = Vec::new();
    for rank in 0..depth {
        let mut of_rank: Vec<(f64, usize)> = lists
            .iter()
            .enumerate()
            .map(|(i, list)| (costs[(i, list[rank])], list[rank]))
            .collect();
        of_rank.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, position) in of_rank {
            if chosen.len() < k && !std::mem::replace(&mut taken[position], true) {
                chosen.push(position);
            }
        }
    }
    chosen
}
