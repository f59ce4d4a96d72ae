//! The entries of the assignment that can be live near a point, so that an iteration need not touch the
//! whole cost matrix.
//!
//! An entry is zero wherever `v = nu - D <= 0`. A scan at `nu` keeps all entries with `v > -slack`: as long
//! as no row multiplier has risen by more than `slack` since, nothing outside the list can be live.

use rayon::prelude::*;

use super::scaled::Scaled;

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

/// Entries from which on a scan, which waits for memory, is shared by threads, and how many columns each looks at.
const THREADED: usize = 1 << 19;
const COLUMNS: usize = 64;

/// Lists the entries of a column that are below the limits of their rows.
fn list(scaled: &Scaled, limits: &[f64], column: usize, into: &mut Vec<Candidate>) {
    let n = limits.len();
    let costs = &scaled.program.costs.as_slice()[column * n..(column + 1) * n];
    let mut row = 0;
    for (costs, limits) in costs.chunks(LANES).zip(limits.chunks(LANES)) {
        let any = costs.iter().zip(limits).fold(false, |any, (cost, limit)| any | (cost < limit));
        if any {
            for (k, (cost, limit)) in costs.iter().zip(limits).enumerate() {
                if cost < limit {
                    let cost = scaled.cost(row + k, *cost);
                    let (row, column) = ((row + k) as u32, column as u32);
                    into.push(Candidate { row, column, cost });
                }
            }
        }
        row += LANES;
    }
}

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
        if program.costs.len() >= THREADED {
            return self.scan_on_all_threads(scaled);
        }
        for columns in program.groups.iter() {
            self.start.push(self.list.len());
            columns.iter().for_each(|&j| list(scaled, &self.limit, j, &mut self.list));
        }
        self.start.push(self.list.len());
        let remembered = program.incoming()..program.costs.ncols();
        remembered.for_each(|j| list(scaled, &self.limit, j, &mut self.list));
    }

    /// The same list, some columns a thread.
    fn scan_on_all_threads(&mut self, scaled: &Scaled) {
        let program = &scaled.program;
        let remembered = program.incoming()..program.costs.ncols();
        let grouped = program.groups.iter().flat_map(|columns| columns.iter().copied());
        let columns: Vec<usize> = grouped.chain(remembered).collect();
        let pieces: Vec<(Vec<Candidate>, Vec<usize>)> = columns
            .par_chunks(COLUMNS)
            .map(|columns| {
                let mut found = Vec::new();
                let mut counted = |j: &usize| {
                    let before = found.len();
                    list(scaled, &self.limit, *j, &mut found);
                    found.len() - before
                };
                let counts = columns.iter().map(&mut counted).collect();
                (found, counts)
            })
            .collect();
        let mut counts = pieces.iter().flat_map(|(_, counts)| counts);
        let mut end = 0;
        for columns in program.groups.iter() {
            self.start.push(end);
            end += counts.by_ref().take(columns.len()).sum::<usize>();
        }
        self.start.push(end);
        pieces.iter().for_each(|(found, _)| self.list.extend_from_slice(found));
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
