//! The proximal step of one group of columns, and its derivative in a form all solvers share.
//!
//! For a group with the threshold `tau >= 0` and the entries `v = nu - D`, the inner problem of the
//! dual is separable over groups:
//!
//! ```text
//! z = argmin over z >= 0 of   -<v, z> + eps sum phi(z) + tau ||z||_p
//! phi(z) = z^2 / 2 (quadratic)   or   z log z (entropic)
//! ```
//!
//! Its derivative always has the form (all divided by eps)
//!
//! ```text
//! dz/dv   = diag(d) + rho u u'       d||z||/dv   = border u'
//! dz/dtau = -border u                d||z||/dtau = -corner
//! ```
//!
//! so `d` and `u`, a number an entry, and three numbers a group serve every norm, both regularisers, single
//! columns and whole groups, the forward Newton matrix and the adjoint.

use super::Norm;

/// Below this, relative to what it changes, a step is rounding.
const LAST_DIGIT: f64 = 4.0 * f64::EPSILON;
/// What a change of this size leaves of second order is.
const FIRST_ORDER: f64 = 1e-8;
/// A change up to which the value before is a good start for the one after.
const NEAR: f64 = 0.5;

/// One live entry of the assignment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    row: u32,
    column: u32,
    /// `v = nu_row - D` on the way in, the assignment `z` on the way out.
    pub value: f64,
    pub diagonal: f64,
    pub u: f64,
}

impl Entry {
    pub fn new(row: u32, column: u32, v: f64) -> Self {
        Self { row, column, value: v, diagonal: 0.0, u: 0.0 }
    }

    pub fn row(&self) -> usize {
        self.row as usize
    }

    pub fn column(&self) -> usize {
        self.column as usize
    }
}

/// What a group has beyond its entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// `||z||_p`, the group's weight.
    pub norm: f64,
    pub rho: f64,
    pub border: f64,
    pub corner: f64,
}

/// The smallest `v` that can be live: below it an entry need not be collected.
pub(super) fn floor(norm: Norm, tau: f64) -> f64 {
    match norm {
        Norm::One => tau,
        Norm::Two | Norm::Infinity => 0.0,
    }
}

/// A column without a norm constraint (remembered), quadratic regulariser; `v > 0`.
pub(super) fn quadratic_free(entry: &mut Entry, eps: f64) {
    entry.value /= eps;
    entry.diagonal = 1.0;
}

/// A column without a norm constraint (remembered), entropic regulariser.
pub(super) fn entropic_free(entry: &mut Entry, eps: f64) {
    entry.value = (entry.value / eps - 1.0).exp();
    entry.diagonal = entry.value;
}

/// Quadratic regulariser. The entries hold `v` above [`floor`]; `None` means the whole group is zero.
pub(super) fn quadratic(norm: Norm, entries: &mut [Entry], tau: f64, eps: f64) -> Option<Block> {
    if entries.is_empty() {
        return None;
    }
    match norm {
        Norm::One => {
            let mut sum = 0.0;
            for e in entries.iter_mut() {
                e.value = (e.value - tau) / eps;
                e.diagonal = 1.0;
                e.u = 1.0;
                sum += e.value;
            }
            Some(Block { norm: sum, rho: 0.0, border: 1.0, corner: entries.len() as f64 })
        }
        Norm::Two => {
            let radius = entries.iter().map(|e| e.value * e.value).sum::<f64>().sqrt();
            if radius <= tau {
                return None;
            }
            let shrink = 1.0 - tau / radius;
            for e in entries.iter_mut() {
                let direction = e.value / radius;
                e.value *= shrink / eps;
                e.diagonal = shrink;
                e.u = direction;
            }
            let norm = (radius - tau) / eps;
            Some(Block { norm, rho: tau / radius, border: 1.0, corner: 1.0 })
        }
        Norm::Infinity => {
            let level = water_level(entries, tau, 0.0)?;
            let top = cap(entries, level, |v| (v / eps, 1.0));
            let theta = level / eps;
            top.finish(entries, theta, 1.0)
        }
    }
}

/// Entropic regulariser; every entry of the group is present and stays positive.
pub(super) fn entropic(norm: Norm, entries: &mut [Entry], tau: f64, eps: f64) -> Option<Block> {
    if entries.is_empty() {
        return None;
    }
    match norm {
        Norm::One => {
            let mut sum = 0.0;
            for e in entries.iter_mut() {
                e.value = ((e.value - tau) / eps - 1.0).exp();
                e.diagonal = e.value;
                e.u = e.value;
                sum += e.value;
            }
            Some(Block { norm: sum, rho: 0.0, border: 1.0, corner: sum })
        }
        Norm::Two => Some(entropic_two(entries, tau, eps)),
        Norm::Infinity => {
            let level = water_level(entries, tau, f64::NEG_INFINITY)?;
            let exp = |v: f64| (v / eps - 1.0).exp();
            let top = cap(entries, level, |v| (exp(v), exp(v)));
            let theta = exp(level);
            top.finish(entries, theta, theta)
        }
    }
}

/// The level `L >= lowest` with `sum (v - L)_+ = tau`; `None` if even `lowest` leaves less than `tau`.
///
/// Newton's iteration on a convex, decreasing, piecewise linear function, started left of the root,
/// rises monotonically and ends after finitely many pieces.
fn water_level(entries: &[Entry], tau: f64, lowest: f64) -> Option<f64> {
    let max = entries.iter().map(|e| e.value).fold(f64::NEG_INFINITY, f64::max);
    if tau == 0.0 {
        return (max > lowest).then_some(max);
    }
    // At max - tau the largest entry alone accounts for tau, so the root is not below it.
    let mut level = lowest.max(max - tau);
    loop {
        let (mut above, mut count) = (0.0, 0usize);
        for e in entries {
            if e.value > level {
                above += e.value - level;
                count += 1;
            }
        }
        if level == lowest && above <= tau {
            return None;
        }
        if count == 0 {
            return Some(level);
        }
        let next = level + (above - tau) / count as f64;
        // Anything but a rise (NaN included) ends the loop.
        if next > level {
            level = next;
        } else {
            return Some(level);
        }
    }
}

/// The cap of p = inf in units of `v`, minus infinity for a group that is zero.
pub(super) fn level(entries: &[Entry], tau: f64, lowest: f64) -> f64 {
    water_level(entries, tau, lowest).unwrap_or(f64::NEG_INFINITY)
}

/// The entries that a cap holds at the common value `theta`.
struct Capped {
    count: usize,
}

/// Splits the entries at `level`: those below keep `free(v) = (z, curvature)`, the others are marked.
fn cap(entries: &mut [Entry], level: f64, free: impl Fn(f64) -> (f64, f64)) -> Capped {
    let mut count = 0;
    for e in entries.iter_mut() {
        if e.value >= level {
            e.u = 1.0;
            count += 1;
        } else {
            (e.value, e.diagonal) = free(e.value);
        }
    }
    if count == 0 {
        // Rounding put the level a hair above the largest entry: that entry is the one held.
        if let Some(e) = entries.iter_mut().max_by(|a, b| a.value.total_cmp(&b.value)) {
            (e.u, e.diagonal) = (1.0, 0.0);
        }
        count = 1;
    }
    Capped { count }
}

impl Capped {
    fn finish(self, entries: &mut [Entry], theta: f64, curvature: f64) -> Option<Block> {
        let share = curvature / self.count as f64;
        entries.iter_mut().filter(|e| e.u > 0.0).for_each(|e| e.value = theta);
        Some(Block { norm: theta, rho: share, border: share, corner: share })
    }
}

/// p = 2, entropic: with `y = q z`, `q = tau / (eps ||z||)`, stationarity reads
/// `y + log y = log q + v/eps - 1` for every entry and `||y|| = tau / eps`: one unknown, `log q`.
///
/// A step of Newton's iteration that takes all entries for alike, `||y|| ~ y` and `y + log y = log q + c`, with the `y`
/// that has the slope of `log ||y||`: exact where they are, and where one outweighs the others.
fn entropic_two(entries: &mut [Entry], tau: f64, eps: f64) -> Block {
    let target = tau / eps;
    let z_free = |v: f64| (v / eps - 1.0).exp();
    if target < 1e-300 {
        entries.iter_mut().for_each(|e| e.value = z_free(e.value));
    } else {
        let largest = entries.iter().map(|e| e.value).fold(f64::NEG_INFINITY, f64::max);
        // One entry alone at y = target gives an upper bound, all of them a lower one.
        let peak = |y: f64| y + y.ln() - (largest / eps - 1.0);
        let mut high = peak(target);
        let mut low = peak(target / (entries.len() as f64).sqrt());
        let mut log_q = 0.5 * (low + high);
        // `u` holds `y` until the end.
        entries.iter_mut().for_each(|e| e.u = omega(log_q + e.value / eps - 1.0));
        for _ in 0..100 {
            let (mut square, mut slope) = (0.0, 0.0);
            for e in entries.iter() {
                square += e.u * e.u;
                slope += e.u * e.u / (1.0 + e.u);
            }
            let share = target / square.sqrt();
            let excess = -share.ln();
            if excess > 0.0 {
                high = log_q
            } else {
                low = log_q
            }
            let newton = log_q + (square / slope - 1.0) * (share - 1.0) - excess;
            let next = if newton >= low && newton <= high { newton } else { 0.5 * (low + high) };
            let moved = next - log_q;
            log_q = next;
            let last = FIRST_ORDER.max(LAST_DIGIT * (1.0 + log_q.abs()));
            if moved.abs() <= last || excess.abs() <= LAST_DIGIT {
                entries.iter_mut().for_each(|e| e.u *= 1.0 + moved / (1.0 + e.u));
                break;
            }
            for e in entries.iter_mut() {
                let x = log_q + e.value / eps - 1.0;
                e.u = if moved.abs() <= NEAR {
                    omega_near(e.u * (1.0 + moved / (1.0 + e.u)), x)
                } else {
                    omega(x)
                };
            }
        }
        let q = log_q.exp();
        entries.iter_mut().for_each(|e| e.value = e.u / q);
    }
    let radius = entries.iter().map(|e| e.value * e.value).sum::<f64>().sqrt();
    entropic_two_block(entries, radius, target)
}

/// Inverse of the local Hessian `diag(1/z + c/r) - (c/r^3) z z'`, `c = tau/eps`, by Sherman-Morrison.
fn entropic_two_block(entries: &mut [Entry], radius: f64, c: f64) -> Block {
    if radius == 0.0 {
        entries.iter_mut().for_each(|e| e.u = 0.0);
        return Block { norm: 0.0, rho: 0.0, border: 0.0, corner: 0.0 };
    }
    // rest = 1 - (c/r) pull, summed without the cancellation.
    let (mut pull, mut rest) = (0.0, 0.0);
    for e in entries.iter_mut() {
        let z = e.value;
        e.diagonal = z / (1.0 + c * z / radius);
        e.u = e.diagonal * z / radius;
        pull += e.u * z / radius;
        rest += (z / radius) * (z / radius) / (1.0 + c * z / radius);
    }
    let rho = (c / radius) / rest;
    // H^{-1} (z/r) = u + rho u (u'z/r) = u (1 + rho pull)
    let border = 1.0 + rho * pull;
    Block { norm: radius, rho, border, corner: border * pull }
}

/// Wright's omega function: the `y > 0` with `y + log y = x`.
///
/// Reference: P. W. Lawrence, R. M. Corless, D. J. Jeffrey, *Algorithm 917: complex double-precision evaluation of the
/// Wright omega function*, ACM Transactions on Mathematical Software 38, 2012: starts, step and its error, on the reals.
fn omega(x: f64) -> f64 {
    let start = match x {
        x if x < -2.0 => x.exp(),
        x if x < 1.0 => (2.0 / 3.0 * (x - 1.0)).exp(),
        x => x - x.ln() * (1.0 - 1.0 / x),
    };
    omega_near(start, x)
}

/// The same from a `y` close by, by the steps of Fritsch, Shafer and Crowley, of fourth order.
fn omega_near(mut y: f64, x: f64) -> f64 {
    // Beyond these `y` or `log y` is less than the last digit of the other.
    if x < -40.0 {
        return x.exp();
    }
    if x > 1e20 {
        return x;
    }
    for _ in 0..8 {
        let (off, above) = (x - y - y.ln(), 1.0 + y);
        let size = 2.0 * above * (above + 2.0 / 3.0 * off);
        let error = (2.0 * y * y - 8.0 * y - 1.0).abs() * off.powi(4);
        let exact = error <= 72.0 * f64::EPSILON * above.powi(6);
        y *= 1.0 + off / above * (size - off) / (size - 2.0 * off);
        if exact {
            break;
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(
        entropy: bool,
        norm: Norm,
        v: &[f64],
        tau: f64,
        eps: f64,
    ) -> (Vec<f64>, Option<Block>, Vec<Entry>) {
        let keep = if entropy { f64::NEG_INFINITY } else { floor(norm, tau) };
        let mut entries: Vec<Entry> = v
            .iter()
            .enumerate()
            .filter(|(_, v)| **v > keep)
            .map(|(i, v)| Entry::new(i as u32, 0, *v))
            .collect();
        let block = if entropy {
            entropic(norm, &mut entries, tau, eps)
        } else {
            quadratic(norm, &mut entries, tau, eps)
        };
        let mut z = vec![0.0; v.len()];
        if block.is_some() {
            entries.iter().for_each(|e| z[e.row()] = e.value);
        }
        (z, block, entries)
    }

    /// Each closed-form derivative against central differences (step 1e-6, error about 1e-9).
    #[test]
    fn blocks_are_the_derivatives() {
        let v = [0.9, 0.35, -0.2, 0.8, 0.1];
        let (tau, eps, step) = (0.3, 0.2, 1e-6);
        for entropy in [false, true] {
            for norm in [Norm::One, Norm::Two, Norm::Infinity] {
                let (_, block, entries) = solve(entropy, norm, &v, tau, eps);
                let block = block.expect("active");
                for i in 0..v.len() {
                    let shifted = |h: f64| {
                        let mut v = v;
                        v[i] += h;
                        solve(entropy, norm, &v, tau, eps)
                    };
                    let (plus, minus) = (shifted(step), shifted(-step));
                    let own = entries.iter().find(|e| e.row() == i);
                    for e in &entries {
                        let difference = (plus.0[e.row()] - minus.0[e.row()]) / (2.0 * step);
                        let diagonal = if e.row() == i { e.diagonal } else { 0.0 };
                        let u_i = own.map_or(0.0, |o| o.u);
                        let exact = (diagonal + block.rho * e.u * u_i) / eps;
                        assert!(
                            (difference - exact).abs() < 1e-7,
                            "{norm:?} {entropy} {difference} {exact}"
                        );
                    }
                    let norms = (plus.1.unwrap().norm - minus.1.unwrap().norm) / (2.0 * step);
                    let exact = block.border * own.map_or(0.0, |o| o.u) / eps;
                    assert!(
                        (norms - exact).abs() < 1e-7,
                        "{norm:?} {entropy} norm {norms} {exact}"
                    );
                }
                let plus = solve(entropy, norm, &v, tau + step, eps);
                let minus = solve(entropy, norm, &v, tau - step, eps);
                for e in &entries {
                    let difference = (plus.0[e.row()] - minus.0[e.row()]) / (2.0 * step);
                    assert!(
                        (difference + block.border * e.u / eps).abs() < 1e-7,
                        "{norm:?} {entropy} tau"
                    );
                }
                let corner = -(plus.1.unwrap().norm - minus.1.unwrap().norm) / (2.0 * step);
                assert!((corner - block.corner / eps).abs() < 1e-7, "{norm:?} {entropy} corner");
            }
        }
    }

    /// 1e-14: some last digits of the larger of the two that add up to `x`.
    #[test]
    fn omega_solves_its_equation() {
        let near = (-600..6000).map(|k| k as f64 * 0.07);
        let far = (0..=30).map(|k| 10f64.powi(k));
        for x in near.chain(far) {
            let y = omega(x);
            assert!((y + y.ln() - x).abs() <= 1e-14 * (1.0 + x.abs()), "{x}: {y}");
            for moved in [-NEAR, -0.1, 1e-3, NEAR] {
                let close = omega_near(y * (1.0 + moved / (1.0 + y)), x + moved);
                let exact = omega(x + moved);
                let digits = 1e-15 * (1.0 + x.abs() / (1.0 + y));
                assert!((close - exact).abs() <= digits * exact, "{x} + {moved}: {close} {exact}");
            }
        }
        assert!(omega(f64::NAN).is_nan() && omega(f64::NEG_INFINITY) == 0.0);
        assert_eq!(omega(f64::INFINITY), f64::INFINITY);
    }

    proptest::proptest! {
        /// Entries alike, many orders apart, and thresholds beside eps from none to all: stationarity of every entry.
        /// 1e-12: `v / eps` is up to a hundred, and every digit of it one of the logarithm. Below 1e-140 squares vanish.
        #[test]
        fn entropic_two_is_stationary(
            v in proptest::collection::vec(-1.0..1.0f64, 1..40),
            spread in -3..3i32,
            tau in -6.0..3.0f64,
        ) {
            let (eps, tau) = (1.0, 10f64.powf(tau));
            let v: Vec<f64> = v.iter().map(|v| v * 10f64.powi(spread)).collect();
            let (z, block, _) = solve(true, Norm::Two, &v, tau, eps);
            let norm = block.expect("live").norm;
            for (v, z) in v.iter().zip(z).filter(|(_, z)| *z > 1e-140) {
                let off = eps * (1.0 + z.ln()) + tau * z / norm - v;
                proptest::prop_assert!(off.abs() <= 1e-12 * (1.0 + v.abs() + tau), "{v} {z}: {off:e}");
            }
        }
    }
}
