//! The power cone `x^alpha y^(1 - alpha) >= |z|`, `x, y >= 0`.
//!
//! For `z != 0` outside the cone and its polar, the projection has `|z|` shrunk to `r` and
//!
//! ```text
//! x(r) = (x + sqrt(x^2 + 4 alpha r (|z| - r))) / 2,    y(r) likewise with 1 - alpha,    x(r)^alpha y(r)^(1 - alpha) = r
//! ```
//!
//! one equation in `r`, solved in logarithms of `r / (|z| - r)`: near both ends all digits are kept.
//!
//! Reference: L. T. K. Hien, *Differential properties of Euclidean projection onto power cone*, Mathematical Methods of
//! Operations Research 82, 2015.
//!
//! # Differences from the paper
//! Logarithms, and the derivative by the curvature of the surface.

use super::surface::{Landing, Shape, cross, dot, unit};

/// `r / (|z| - r)` beyond `e` to this is as good as none.
const FAR: f64 = 600.0;
const STEPS: usize = 200;
/// A Newton step below this is followed by one below rounding, which only circles there.
const LAST: f64 = 1e-8;

/// Within the cone, and within its dual.
pub(super) fn inside(alpha: f64) -> [[f64; 3]; 2] {
    [[1.0, 1.0, 0.0], [alpha, 1.0 - alpha, 0.0]]
}

pub(super) fn project(alpha: f64, v: [f64; 3]) -> Landing {
    let [x, y, z] = v;
    let beta = 1.0 - alpha;
    let power = |x: f64, y: f64| (alpha * x.ln() + beta * y.ln()).exp();
    let height = z.abs();
    if x >= 0.0 && y >= 0.0 && (height == 0.0 || power(x, y) >= height) {
        return Landing::inside(v);
    }
    if x <= 0.0 && y <= 0.0 && (height == 0.0 || power(-x / alpha, -y / beta) >= height) {
        return Landing::apex(v);
    }
    if height == 0.0 {
        return crease(alpha, v);
    }
    let shrunk = |u: f64| (height / (1.0 + (-u).exp()), height / (1.0 + u.exp()));
    let at = |u: f64| {
        let (r, rest) = shrunk(u);
        (positive(x, alpha * r, rest), positive(y, beta * r, rest), r)
    };
    let (mut low, mut high, mut u) = (-FAR, FAR, 0.0);
    let value = |u: f64| {
        let (x, y, r) = at(u);
        alpha * x.ln() + beta * y.ln() - r.ln()
    };
    // Regula falsi with Illinois weights would do; halving is safe and Newton finishes it.
    for _ in 0..STEPS {
        let f = value(u);
        if f > 0.0 {
            low = u;
        } else {
            high = u;
        }
        let newton = u - f / slope(alpha, v, at(u), shrunk(u).1);
        let good = newton > low && newton < high;
        let next = if good { newton } else { 0.5 * (low + high) };
        let last = if good { LAST } else { 2.0 * f64::EPSILON * u.abs().max(1.0) };
        let done = (next - u).abs() <= last;
        u = next;
        if done {
            break;
        }
    }
    surface(alpha, v, at(u), shrunk(u).1)
}

/// The positive root of `t (t - x) = a b`, without cancellation.
fn positive(x: f64, a: f64, b: f64) -> f64 {
    let root = x.hypot(2.0 * a.sqrt() * b.sqrt());
    if x >= 0.0 { 0.5 * (x + root) } else { a / (0.5 * (root - x)) * b }
}

/// The derivative in `u` of the logarithmic equation: `dr/du = r (|z| - r) / |z|`, and `t (2 t - x)' = (a b)'`.
fn slope(alpha: f64, v: [f64; 3], (x, y, r): (f64, f64, f64), rest: f64) -> f64 {
    let height = v[2].abs();
    let change = r / height * rest;
    let of =
        |share: f64, t: f64, v: f64| share * (share * (rest - r) * change) / (t * (2.0 * t - v));
    of(alpha, x, v[0]) + of(1.0 - alpha, y, v[1]) - rest / height
}

fn surface(alpha: f64, v: [f64; 3], (x, y, r): (f64, f64, f64), rest: f64) -> Landing {
    let sign = v[2].signum();
    let point = [x, y, sign * r];
    // t - v = a b / t: no cancellation where the projection moves little.
    let normal = [-alpha * r * (rest / x), -(1.0 - alpha) * r * (rest / y), sign * rest];
    let gradient = [-alpha * (r / x), -(1.0 - alpha) * (r / y), sign];
    let third = unit(cross(unit(point), unit(gradient)));
    let bend = third[0] / x - third[1] / y;
    let curvature = r * alpha * (1.0 - alpha) * bend * bend / dot(gradient, gradient).sqrt();
    let shape = Shape::Surface(curvature * dot(normal, normal).sqrt());
    Landing { point, normal, shape }
}

/// `z = 0` with one of `x, y` negative: the edge of the cone where that one is zero. Whether `z` moves along the edge's
/// face depends on the exponent of the negative one.
fn crease(alpha: f64, v: [f64; 3]) -> Landing {
    let (negative, positive, share) = if v[0] < 0.0 { (0, 1, alpha) } else { (1, 0, 1.0 - alpha) };
    let mut moves = [false, false, share < 0.5];
    moves[positive] = true;
    let landing = Landing::flat(v, moves);
    if share != 0.5 {
        return landing;
    }
    // r = (|z| - r) y / (2 |x|): linear in z on either side.
    Landing { shape: Shape::Surface(2.0 * -v[negative] / v[positive]), ..landing }
}
