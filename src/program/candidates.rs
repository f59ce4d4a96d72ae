//! The entries of the assignment that can be live near a point, so that an iteration need not touch the
//! whole cost matrix.
//!
//! An entry is zero wherever `v = nu - D <= 0`. A scan at `nu` keeps all entries with `v > -slack`: as long
//! as no row multiplier has risen by more than `slack` since, nothing outside the list can be live.

use super::dual::Scaled;

/// One entry that may be live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub row: u32,
    pub column: u32,
    /// In the solver's units.
    pub cost: f64,
}

/// Candidates group by group, those of remembered columns last.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    /// Where each group starts, then where the remembered columns start.
    start: Vec<usize>,
    list: Vec<Candidate>,
    /// Row multipliers at the scan.
    nu: Vec<f64>,
    slack: f64,
    /// What a cost (as given) must stay below to be listed, a row each.
    limit: Vec<f64>,
}

/// Rows tested at once; where none is near, which is almost everywhere, the test is all there is.
const LANES: usize = 8;

impl Candidates {
    /// All entries: for regularisers under which every entry is live.
    pub fn all(scaled: &Scaled) -> Self {
        let mut all = Self::default();
        all.scan(scaled, &vec![0.0; scaled.program.incoming()], f64::INFINITY);
        all
    }

    /// Whether no entry outside the list can be live at `nu`.
    pub fn cover(&self, nu: &[f64]) -> bool {
        !self.nu.is_empty() && nu.iter().zip(&self.nu).all(|(now, then)| now - then <= self.slack)
    }

    /// The largest change of a row multiplier since the scan.
    pub fn distance(&self, nu: &[f64]) -> f64 {
        nu.iter().zip(&self.nu).map(|(now, then)| (now - then).abs()).fold(0.0, f64::max)
    }

    /// Lists anew, `slack >= 0`. `O(n (n + m))`, one comparison an entry.
    pub fn scan(&mut self, scaled: &Scaled, nu: &[f64], slack: f64) {
        let program = &scaled.program;
        self.slack = slack;
        self.nu.clear();
        self.nu.extend_from_slice(nu);
        self.limit.clear();
        // Beside a large shift a sum may round down to the shift itself: the next number is above what it should be.
        let limits = nu.iter().zip(&scaled.row_shift);
        self.limit
            .extend(limits.map(|(nu, shift)| (shift + (nu + slack) * scaled.scale).next_up()));
        self.start.clear();
        self.list.clear();
        for columns in program.groups.iter() {
            self.start.push(self.list.len());
            columns.iter().for_each(|&j| self.column(scaled, j));
        }
        self.start.push(self.list.len());
        (program.incoming()..program.costs.ncols()).for_each(|j| self.column(scaled, j));
    }

    fn column(&mut self, scaled: &Scaled, column: usize) {
        let n = self.limit.len();
        let costs = &scaled.program.costs.as_slice()[column * n..(column + 1) * n];
        let mut row = 0;
        for (costs, limits) in costs.chunks(LANES).zip(self.limit.chunks(LANES)) {
            let any =
                costs.iter().zip(limits).fold(false, |any, (cost, limit)| any | (cost < limit));
            if any {
                for (k, (cost, limit)) in costs.iter().zip(limits).enumerate() {
                    if cost < limit {
                        let cost = scaled.cost(row + k, *cost);
                        let (row, column) = ((row + k) as u32, column as u32);
                        self.list.push(Candidate { row, column, cost });
                    }
                }
            }
            row += LANES;
        }
    }

    /// Candidates of one group.
    pub fn of(&self, group: usize) -> &[Candidate] {
        &self.list[self.start[group]..self.start[group + 1]]
    }

    /// Candidates of the remembered columns.
    pub fn remembered(&self) -> &[Candidate] {
        &self.list[self.start[self.start.len() - 1]..]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.list.iter()
    }
}
