//! Numbers that are out of all proportion: brought nearer where the answer allows it, looked at anew where it does not.
//!
//! An inequality such as `x <= 1e20` would set the unit of all slacks, and a slope such as `1e20 x`, there to forbid `x`, that
//! of all multipliers; the digits of the others would be lost. Yet neither says how far it is: what matters is that nothing
//! presses against the one, and that the other presses `x` against its bound.

use super::cone::Cone;
use super::program::{Data, Form};
use super::scaling::largest;
use super::solution::ConicSolution;

/// How far away inequalities may be, in units of what is usual for the program.
const NEARBY: f64 = 1e5;
/// How much steeper than others slopes may be.
const STEEP: f64 = 1e4;
/// Where they are brought in turn, until bounds hold their variables there: the nearer, the more digits for the others.
pub(super) const REACHES: [f64; 2] = [1e2, 1e5];
/// Numbers that are no farther apart are of one program.
const SPREAD: f64 = 1e8;
/// What a row may be off by, in its largest term or in units that are usual, where numbers are farther apart.
const OFF: f64 = 1e-3;

/// How far away the rows and the slopes of a program are, to tell those that are out of all proportion.
pub(super) struct Away {
    /// The largest entry of every row, one where there is none.
    entries: Vec<f64>,
    /// `|b_i|` over that.
    rows: Vec<f64>,
    /// The lower median of those that are not zero and of what the objective alone would have, `|q| / |P|`; nothing where all
    /// are zero.
    usual: Option<f64>,
    /// The largest entry of every column of `A`, zero where there is none.
    columns: Vec<f64>,
    /// `|q_j|` over that, zero where there is none.
    slopes: Vec<f64>,
    /// What the objective's curvature comes to, in the same units, where rows usually are.
    curved: f64,
}

/// What was brought nearer, and by how much.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved {
    /// Inequalities: the row, and what its slack is larger by.
    far: Vec<(usize, f64)>,
    /// Slopes.
    steep: Vec<Steep>,
}

/// A slope that presses its variable against bounds: which they are, and what the multiplier of that which holds it is
/// larger by.
#[derive(Clone, Debug)]
struct Steep(Vec<(Bound, f64)>);

/// A row that says something of one variable alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) row: usize,
    pub(super) variable: usize,
    /// Its entry of `A`.
    pub(super) entry: usize,
}

impl Away {
    pub(super) fn new(form: &Form, data: &Data) -> Self {
        let mut entries = vec![0.0f64; form.rows()];
        form.constraints.add_sizes(&data.a, &vec![1.0; form.variables()], &mut entries);
        entries.iter_mut().filter(|entry| **entry == 0.0).for_each(|entry| *entry = 1.0);
        let rows: Vec<f64> =
            data.b.iter().zip(&entries).map(|(b, entry)| b.abs() / entry).collect();
        let alone = largest(&data.q) / largest(&data.p);
        let mut some: Vec<f64> = rows.iter().copied().chain([alone]).collect();
        some.retain(|away| *away > 0.0 && away.is_finite());
        let middle = some.len().checked_sub(1).map(|last| last / 2);
        let usual = middle.map(|middle| *some.select_nth_unstable_by(middle, f64::total_cmp).1);
        let mut columns = vec![0.0f64; form.variables()];
        form.constraints.add_transposed_sizes(&data.a, &vec![1.0; rows.len()], &mut columns);
        let slope = |(q, by): (&f64, &f64)| if *by > 0.0 { q.abs() / by } else { 0.0 };
        let slopes = data.q.iter().zip(&columns).map(slope).collect();
        let curved = match largest(&data.a) {
            most if most > 0.0 => largest(&data.p) * usual.unwrap_or(0.0) / most,
            _ => 0.0,
        };
        Self { entries, rows, usual, columns, slopes, curved }
    }

    /// The program with inequalities that are far away moved in to [`NEARBY`] times what is usual, and slopes that bounds
    /// may take to `reach` times; nothing where there are none.
    pub(super) fn brought_near(
        &self,
        form: &Form,
        data: &Data,
        reach: f64,
    ) -> Option<(Data, Moved)> {
        let mut near = data.clone();
        let far = self.rows_brought_near(form, &mut near);
        let steep = self.slopes_brought_near(form, &mut near, reach);
        (!far.is_empty() || !steep.is_empty()).then_some((near, Moved { far, steep }))
    }

    fn rows_brought_near(&self, form: &Form, data: &mut Data) -> Vec<(usize, f64)> {
        let Some(usual) = self.usual else { return Vec::new() };
        let reach = NEARBY * usual;
        let inequalities =
            form.parts.iter().filter(|(cone, _)| matches!(cone, Cone::Nonnegative(_)));
        let rows = inequalities.flat_map(|(_, rows)| rows.clone());
        let mut far = Vec::new();
        for row in rows.filter(|row| self.rows[*row] > reach) {
            if data.b[row] > 0.0 {
                let near = reach * self.entries[row];
                far.push((row, data.b[row] - near));
                data.b[row] = near;
            }
        }
        far
    }

    fn slopes_brought_near(&self, form: &Form, data: &mut Data, reach: f64) -> Vec<Steep> {
        let slopes = self.slopes.iter().copied().chain([self.curved]);
        let Some(usual) = below_the_gap(slopes, STEEP) else { return Vec::new() };
        let reach = reach * usual;
        let bounds = bounds(form);
        let mut steep = Vec::new();
        for (j, slope) in self.slopes.iter().enumerate().filter(|(_, slope)| **slope > reach) {
            let near = reach * self.columns[j] * data.q[j].signum();
            let by = data.q[j] - near;
            let may_hold = |(bound, is_equation): &(Bound, bool)| {
                let multiplier = -by / data.a[bound.entry];
                let fits = (*is_equation || multiplier > 0.0) && multiplier.is_finite();
                fits.then_some((*bound, multiplier))
            };
            let held: Vec<_> = bounds[j].iter().filter_map(may_hold).collect();
            if slope.is_finite() && !held.is_empty() {
                data.q[j] = near;
                steep.push(Steep(held));
            }
        }
        steep
    }

    /// Whether every row holds in its own units, where the largest numbers of the answer are out of all proportion to them:
    /// a residual that is little beside those may be all that another row says.
    pub(super) fn leaves_rows(&self, form: &Form, data: &Data, found: &ConicSolution) -> bool {
        let Some(usual) = self.usual else { return true };
        let mut terms: Vec<f64> = data.b.iter().map(|b| b.abs()).collect();
        form.constraints.add_sizes(&data.a, found.x(), &mut terms);
        let smallest = self.entries.iter().fold(f64::INFINITY, |least, entry| least.min(*entry));
        if largest(&terms) <= SPREAD * usual * smallest {
            return true;
        }
        let mut residuals: Vec<f64> = found.s().iter().zip(&data.b).map(|(s, b)| s - b).collect();
        form.constraints.add_product(&data.a, found.x(), &mut residuals);
        // What is no number is not little.
        let is_little = |(residual, (term, entry)): (&f64, (&f64, &f64))| {
            residual.abs() <= OFF * term.max(usual * entry)
        };
        residuals.iter().zip(terms.iter().zip(&self.entries)).all(is_little)
    }

    /// The same for slopes: where the objective is curved one that is left moves the answer, however huge the multipliers that
    /// it is the rounding of.
    pub(super) fn leaves_slopes(&self, form: &Form, data: &Data, found: &ConicSolution) -> bool {
        if self.curved == 0.0 {
            return true;
        }
        let mut terms: Vec<f64> = data.q.iter().map(|q| q.abs()).collect();
        form.full.add_symmetric_sizes(&data.p, found.x(), &mut terms);
        form.constraints.add_transposed_sizes(&data.a, found.z(), &mut terms);
        let mut curved = vec![0.0f64; terms.len()];
        form.full.add_symmetric_sizes(&data.p, &vec![1.0; terms.len()], &mut curved);
        let slopes = self.slopes.iter().copied().chain([self.curved]);
        let usual = below_the_gap(slopes, SPREAD).unwrap_or(self.curved).min(self.curved);
        let size = |j: usize| terms[j] / if self.columns[j] > 0.0 { self.columns[j] } else { 1.0 };
        if (0..terms.len()).all(|j| size(j) <= SPREAD * usual) {
            return true;
        }
        let mut residuals = data.q.clone();
        form.full.add_symmetric(&data.p, found.x(), &mut residuals);
        form.constraints.add_transposed(&data.a, found.z(), &mut residuals);
        // A bound takes whatever there is.
        found.held().iter().for_each(|(bound, _)| residuals[bound.variable] = 0.0);
        let away = self.usual.unwrap_or(0.0);
        // What is no number is not little.
        let is_little = |j: usize| {
            let least = if curved[j] > 0.0 { curved[j] * away } else { terms[j] };
            residuals[j].abs() <= OFF * least
        };
        (0..terms.len()).all(is_little)
    }
}

impl Moved {
    /// Whether bringing slopes elsewhere makes another program.
    pub(super) fn is_steep(&self) -> bool {
        !self.steep.is_empty()
    }

    /// Slacks and multipliers of a start that was found with all this where it was.
    pub(super) fn start(&self, start: &ConicSolution) -> (Vec<f64>, Vec<f64>) {
        let (mut s, mut z) = (start.s().to_vec(), start.z().to_vec());
        self.far.iter().for_each(|(row, by)| s[*row] = (s[*row] - by).max(0.0));
        for (bound, by) in self.steep.iter().filter_map(|steep| steep.holding(start.z())) {
            let z = &mut z[bound.row];
            *z = if by > 0.0 { (*z - by).max(0.0) } else { *z - by };
        }
        (s, z)
    }

    /// The answer with all this where it was; nothing if it would be another one: where something presses against an
    /// inequality that was far away, or no bound holds a variable.
    pub(super) fn taken_back(self, mut found: ConicSolution) -> Option<ConicSolution> {
        let z = found.z();
        let free = self.far.iter().all(|(row, _)| z[*row] == 0.0);
        let held: Option<Vec<_>> = self.steep.iter().map(|steep| steep.holding(z)).collect();
        found.move_out(&self.far, held.filter(|_| free)?);
        found.is_finite().then_some(found)
    }

    /// A proof that nothing is feasible, to be one without the inequalities that are farther away.
    pub(super) fn without_far(&self, mut certificate: Vec<f64>) -> Vec<f64> {
        self.far.iter().for_each(|(row, _)| certificate[*row] = 0.0);
        certificate
    }
}

impl Steep {
    /// The bound with the largest multiplier, if there is any on it.
    fn holding(&self, z: &[f64]) -> Option<(Bound, f64)> {
        let size = |(bound, _): &&(Bound, f64)| z[bound.row].abs();
        let most = self.0.iter().max_by(|a, b| size(a).total_cmp(&size(b)))?;
        (z[most.0.row] != 0.0).then_some(*most)
    }
}

/// Of every variable the equations and inequalities for it alone, and whether they are equations.
fn bounds(form: &Form) -> Vec<Vec<(Bound, bool)>> {
    let mut counts = vec![0usize; form.rows()];
    form.constraints.indices().iter().for_each(|row| counts[*row] += 1);
    let mut kinds = vec![None; form.rows()];
    for (cone, rows) in &form.parts {
        match cone {
            Cone::Zero(_) => kinds[rows.clone()].fill(Some(true)),
            Cone::Nonnegative(_) => kinds[rows.clone()].fill(Some(false)),
            _ => {}
        }
    }
    let mut bounds = vec![Vec::new(); form.variables()];
    for (entry, (row, variable)) in form.constraints.places().enumerate() {
        if let (Some(is_equation), 1) = (kinds[row], counts[row]) {
            bounds[variable].push((Bound { row, variable, entry }, is_equation));
        }
    }
    bounds
}

/// The largest of the values that are not zero below the highest place where one is more than `gap` times the next smaller.
pub(super) fn below_the_gap(values: impl Iterator<Item = f64>, gap: f64) -> Option<f64> {
    let mut some: Vec<f64> = values.filter(|value| *value > 0.0).collect();
    some.sort_unstable_by(f64::total_cmp);
    some.windows(2).rev().find(|pair| pair[1] > gap * pair[0]).map(|pair| pair[0])
}
