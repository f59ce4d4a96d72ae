//! The second-order cone, which is its own dual.

use super::{Face, Small, ratio};

pub(super) fn project(w: &[f64], z: &mut [f64]) {
    let length = norm(&w[1..]);
    if w[0] >= length {
        z.copy_from_slice(w);
    } else if w[0] <= -length {
        z.fill(0.0);
    } else {
        let head = 0.5 * (w[0] + length);
        z[0] = head;
        z[1..].iter_mut().zip(&w[1..]).for_each(|(z, w)| *z = head * (w / length));
    }
}

pub(super) fn face(w: &[f64], small: Small) -> (Face, usize) {
    let length = norm(&w[1..]);
    let (lower, upper) = (w[0] - length, w[0] + length);
    let weak = [lower, upper].iter().filter(|&&edge| small.either_side(edge)).count();
    let across = ratio(-lower, upper);
    let face = if lower >= 0.0 && upper > 0.0 {
        Face::Whole
    } else if upper <= 0.0 || across.is_infinite() {
        Face::Nothing
    } else {
        Face::SecondOrder(w[1..].iter().map(|w| w / length).collect(), across)
    };
    (face, weak)
}

/// The Euclidean norm, safe from overflow and underflow.
fn norm(w: &[f64]) -> f64 {
    let largest = w.iter().fold(0.0, |largest: f64, w| largest.max(w.abs()));
    match largest > 0.0 {
        true => largest * w.iter().map(|w| (w / largest).powi(2)).sum::<f64>().sqrt(),
        false => 0.0,
    }
}
