//! The exponential cone `y exp(x / y) <= z`, `y > 0`, and its closure.
//!
//! A boundary ray `p(r) = (r, 1, e^r)` has the outer normal `n(r) = (1, 1 - r, -e^-r)` (scaled by `e^-r`), orthogonal
//! to it. Matching the first two coordinates of `v = a p + c n` gives
//!
//! ```text
//! a = ((r - 1) x + y) / q,    c = (x - r y) / q,    q = r^2 - r + 1
//! ```
//!
//! and the third, `a e^r - c e^-r = z`, is one increasing equation in `r` between the zeros of `a` and `c`.
//!
//! Reference: H. A. Friberg, *Projection onto the exponential cone: a univariate root-finding problem*, Optimization
//! Methods and Software 38(3), 2023.
//!
//! # Differences from the paper
//! The bracket starts at the zeros of `a` and `c` within what `exp` can hold, and is halved where Newton leaves it.

use super::surface::{Landing, Shape};

/// Within the cone, and within its dual.
pub(super) const INSIDE: [[f64; 3]; 2] = [[0.0, 1.0, 2.0], [-1.0, 1.0, 1.0]];
/// `exp` of more than this is beyond every number of size one that it is compared with.
const FAR: f64 = 300.0;
/// Newton steps and halvings: a bracket of 600 is down to rounding after about 60 halvings.
const STEPS: usize = 200;
/// A Newton step below this is followed by one below rounding, which only circles there.
const LAST: f64 = 1e-8;

pub(super) fn project(v: [f64; 3]) -> Landing {
    let [x, y, z] = v;
    if (y > 0.0 && z > 0.0 && x <= y * (z / y).ln()) || (y == 0.0 && x <= 0.0 && z >= 0.0) {
        return Landing::inside(v);
    }
    // The polar cone: n(r) above.
    let polar = x > 0.0 && z < 0.0 && y <= x * (1.0 + (-z / x).ln());
    if polar || (x == 0.0 && y <= 0.0 && z <= 0.0) {
        return Landing::apex(v);
    }
    if x <= 0.0 && y <= 0.0 {
        return Landing::flat(v, [true, false, z > 0.0]);
    }
    let (low, high) = bracket(v);
    if low >= FAR {
        return Landing::flat(v, [false, false, z > 0.0]);
    }
    if high <= -FAR {
        return Landing::flat(v, [true, true, false]);
    }
    surface(v, root(v, low.max(-FAR), high.min(FAR)))
}

/// Where neither `a` nor `c` is negative.
fn bracket([x, y, _]: [f64; 3]) -> (f64, f64) {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    if x > 0.0 {
        low = low.max(1.0 - y / x);
    } else if x < 0.0 {
        high = high.min(1.0 - y / x);
    }
    if y > 0.0 {
        high = high.min(x / y);
    } else if y < 0.0 {
        low = low.max(x / y);
    }
    (low, high)
}

/// The zero of `a e^r - c e^-r - z`.
fn root([x, y, z]: [f64; 3], mut low: f64, mut high: f64) -> f64 {
    let value = |r: f64| {
        let q = r * (r - 1.0) + 1.0;
        let (a, c) = (((r - 1.0) * x + y) / q, (x - r * y) / q);
        let change = (2.0 * r - 1.0) / q;
        let (grow, fall) = (r.exp(), (-r).exp());
        let slope = (x / q - a * change + a) * grow + (y / q + c * change + c) * fall;
        (a * grow - c * fall - z, slope)
    };
    let (mut r, mut before) = (0.5 * (low + high), high - low);
    for _ in 0..STEPS {
        let (f, slope) = value(r);
        if f > 0.0 {
            high = r;
        } else {
            low = r;
        }
        let newton = r - f / slope;
        // Far out on an exponential Newton's steps are of length one, each as long as the last: halving is faster.
        let good = newton > low && newton < high && (newton - r).abs() <= 0.5 * before;
        let next = if good { newton } else { 0.5 * (low + high) };
        before = (next - r).abs();
        let last =
            if good { LAST * r.abs().clamp(LAST, 1.0) } else { 2.0 * f64::EPSILON * r.abs() };
        r = next;
        if before <= last {
            break;
        }
    }
    r
}

/// The landing on the ray `r`. Near the zeros of `a` and `c` their digits cancel; then the third coordinate has them.
///
/// With `t = p x n` the third direction and `'` the derivative in `r`, the surface's ratio is
///
/// ```text
/// c (t n') / (a (t p')) = c (e^r + (r^2 + 1) e^-r) / (a (e^-r + ((r - 1)^2 + 1) e^r))
/// ```
fn surface([x, y, z]: [f64; 3], r: f64) -> Landing {
    let q = r * (r - 1.0) + 1.0;
    let (grow, fall) = (r.exp(), (-r).exp());
    // Each value with the size of what was added up for it: rounding is a share of that.
    let a = (((r - 1.0) * x + y) / q, (((r - 1.0) * x).abs() + y.abs()) / q);
    let c = ((x - r * y) / q, (x.abs() + (r * y).abs()) / q);
    let (z_abs, c_fall, a_grow) = (z.abs(), c.0.max(0.0) * fall, a.0.max(0.0) * grow);
    let other_a = ((z + c_fall) * fall, (z_abs + c.1 * fall) * fall);
    let other_c = ((a_grow - z) * grow, (z_abs + a.1 * grow) * grow);
    let finer = |one: (f64, f64), other: (f64, f64)| {
        (if one.1 <= other.1 { one.0 } else { other.0 }).max(0.0)
    };
    let (a, c) = (finer(a, other_a), finer(c, other_c));
    let point = [a * r, a, a * grow];
    let normal = [c, c * (1.0 - r), -c * fall];
    let with_normal = c * (grow + (r * r + 1.0) * fall);
    let with_point = a * (fall + ((r - 1.0) * (r - 1.0) + 1.0) * grow);
    Landing { point, normal, shape: Shape::Surface(with_normal / with_point) }
}
