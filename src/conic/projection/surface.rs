//! Cones in three dimensions with a curved surface.
//!
//! The point `v = p + n` splits into its projection `p` and a normal `n`, orthogonal to each other. Moving along `p`
//! moves the projection as much, moving along `n` does not move it, and in the third direction the surface's curvature
//! `k` at `p` decides: `d = 1 / (1 + |n| k)`. So the ratio `(1 - d) / d` is `|n| k` for the cone, and its inverse for
//! the projection on the dual cone, `Pi*(w) = w + Pi(-w)`.

use super::{Face, Small, ratio};

/// Where a point lands on a cone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landing {
    /// `p`.
    pub(super) point: [f64; 3],
    /// `n`: what is left, in the polar cone.
    pub(super) normal: [f64; 3],
    pub(super) shape: Shape,
}

/// What the cone looks like there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// The point was inside.
    Inside,
    /// The apex.
    Apex,
    /// A smooth surface: `|n| k`.
    Surface(f64),
    /// A flat piece: which coordinates move along.
    Flat([bool; 3]),
}

impl Landing {
    pub(super) fn inside(v: [f64; 3]) -> Self {
        Self { point: v, normal: [0.0; 3], shape: Shape::Inside }
    }

    pub(super) fn apex(v: [f64; 3]) -> Self {
        Self { point: [0.0; 3], normal: v, shape: Shape::Apex }
    }

    pub(super) fn flat(v: [f64; 3], moves: [bool; 3]) -> Self {
        let part = |kept: bool| std::array::from_fn(|i| if moves[i] == kept { v[i] } else { 0.0 });
        Self { point: part(true), normal: part(false), shape: Shape::Flat(moves) }
    }

    fn scaled(self, by: f64) -> Self {
        let [point, normal] = [self.point, self.normal].map(|part| part.map(|entry| entry * by));
        Self { point, normal, shape: self.shape }
    }
}

/// Where `w` lands on the dual cone: `point` and `normal` change their parts and signs. `project` gets points of size
/// one; cones do not care for size.
pub(super) fn dual(w: &[f64], project: impl Fn([f64; 3]) -> Landing) -> Landing {
    let size = w.iter().fold(0.0, |size: f64, w| size.max(w.abs()));
    if size == 0.0 {
        return Landing::inside([0.0; 3]);
    }
    let landing = project(std::array::from_fn(|i| -w[i] / size)).scaled(-size);
    Landing { point: landing.normal, normal: landing.point, shape: landing.shape }
}

/// The face of the dual cone's projection; `inside` is a point within the cone and one within its dual.
pub(super) fn face(
    w: &[f64],
    small: Small,
    project: impl Fn([f64; 3]) -> Landing,
    inside: [[f64; 3]; 2],
) -> (Face, usize) {
    let landing = dual(w, &project);
    let moved = |by: f64, along: [f64; 3]| {
        let moved: [f64; 3] = std::array::from_fn(|i| w[i] + by * along[i]);
        dual(&moved, &project).shape
    };
    let length = |v: [f64; 3]| dot(v, v).sqrt();
    let weak = match landing.shape {
        Shape::Apex => moved(-small.multiplier, inside[1]) != Shape::Apex,
        Shape::Inside => moved(small.slack, inside[0]) != Shape::Inside,
        _ => length(landing.point) <= small.multiplier || length(landing.normal) <= small.slack,
    };
    let face = match landing.shape {
        // The landing is that of -w on the cone.
        Shape::Apex => Face::Whole,
        Shape::Inside => Face::Nothing,
        Shape::Flat(moves) => {
            let ratio = moves.map(|moves| if moves { f64::INFINITY } else { 0.0 });
            Face::Three([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], ratio)
        }
        Shape::Surface(bend) => {
            let first = unit(landing.point);
            // Orthogonal already, up to the accuracy of the landing.
            let along = dot(first, landing.normal);
            let second = unit(std::array::from_fn(|i| landing.normal[i] - along * first[i]));
            let third = cross(first, second);
            Face::Three([first, second, third], [0.0, f64::INFINITY, ratio(1.0, bend)])
        }
    };
    (face, usize::from(weak))
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| {
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        a[j] * b[k] - a[k] * b[j]
    })
}

pub(super) fn unit(a: [f64; 3]) -> [f64; 3] {
    let size = a.iter().fold(f64::MIN_POSITIVE, |size, a| size.max(a.abs()));
    let scaled = a.map(|a| a / size);
    let length = dot(scaled, scaled).sqrt().max(f64::MIN_POSITIVE);
    scaled.map(|a| a / length)
}
