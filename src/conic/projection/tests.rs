//! Every projection against what defines it, and every derivative against central differences, at all sizes and next to
//! all faces.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Face, Small, face, project, semidefinite};
use crate::conic::cone::Cone;

const NONE: Small = Small { multiplier: 0.0, slack: 0.0 };

fn cones() -> Vec<Cone> {
    let mut cones = vec![Cone::Zero(2), Cone::Nonnegative(3), Cone::SecondOrder(2)];
    cones.extend([Cone::SecondOrder(5), Cone::Exponential, Cone::Semidefinite(2)]);
    cones.extend([0.5, 0.3, 0.9, 0.01].map(Cone::Power));
    cones.push(Cone::Semidefinite(4));
    cones
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn projected(cone: Cone, w: &[f64]) -> Vec<f64> {
    let mut z = vec![0.0; w.len()];
    project(cone, w, &mut z);
    z
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// How far `s` is outside the cone, in its own units.
fn outside(cone: Cone, s: &[f64]) -> f64 {
    match cone {
        Cone::Zero(_) => norm(s),
        Cone::Nonnegative(_) => s.iter().fold(0.0, |far, s| far.max(-s)),
        Cone::SecondOrder(_) => (norm(&s[1..]) - s[0]).max(0.0),
        Cone::Exponential if s[1] > 0.0 => {
            // Over the length of its gradient: a distance.
            let (r, grow) = (s[0] / s[1], (s[0] / s[1]).exp());
            let slope = norm(&[grow, grow * (1.0 - r), 1.0]);
            let (flat, steep) = (s[0] - s[1] * (s[2] / s[1]).ln(), s[1] * grow - s[2]);
            flat.min(steep / slope).max(-s[2]).max(0.0)
        }
        Cone::Exponential => s[0].max(-s[1]).max(-s[2]).max(0.0),
        Cone::Power(alpha) => {
            let least = s[0].min(s[1]);
            let power = s[0].max(0.0).powf(alpha) * s[1].max(0.0).powf(1.0 - alpha);
            (s[2].abs() - power).max(-least).max(0.0)
        }
        Cone::Semidefinite(order) => {
            let values = semidefinite::matrix(order, s).symmetric_eigenvalues();
            values.iter().fold(0.0, |far, value| far.max(-value))
        }
    }
}

/// And the dual cone.
fn outside_dual(cone: Cone, z: &[f64]) -> f64 {
    match cone {
        Cone::Zero(_) => 0.0,
        Cone::Exponential if z[0] < 0.0 => {
            // -u exp(v / u) <= e w, or in logarithms v >= u (1 + log(w / -u)).
            let (flat, steep) = (
                z[0] * (1.0 + (z[2] / -z[0]).ln()) - z[1],
                -z[0] * (z[1] / z[0] - 1.0).exp() - z[2],
            );
            flat.min(steep).max(-z[2]).max(0.0)
        }
        Cone::Exponential => z[0].max(-z[1]).max(-z[2]).max(0.0),
        Cone::Power(alpha) => outside(cone, &[z[0] / alpha, z[1] / (1.0 - alpha), z[2]]),
        _ => outside(cone, z),
    }
}

/// Points all over: of one size, of mixed sizes, on rays next to faces.
fn point(cone: Cone, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let rows = cone.rows();
    let mut w: Vec<f64> = (0..rows).map(|_| normal(rng)).collect();
    match rng.random_range(0..3) {
        0 => {}
        1 => w.iter_mut().for_each(|w| *w *= 10f64.powf(rng.random_range(-12.0..12.0))),
        _ => {
            // Next to the surface: a projection, and a little off it.
            let z = projected(cone, &w);
            let little = 10f64.powf(rng.random_range(-10.0..-1.0));
            w = z.iter().map(|z| z + little * normal(rng)).collect();
        }
    }
    w
}

#[test]
fn a_projection_is_the_nearest_point() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for cone in cones() {
        for case in 0..4000 {
            let w = point(cone, &mut rng);
            let scale = 10f64.powf(rng.random_range(-12.0..12.0));
            let z = projected(cone, &w);
            let s: Vec<f64> = z.iter().zip(&w).map(|(z, w)| z - w).collect();
            let size = norm(&w);
            // Moreau: both parts in their cones, and orthogonal. Near its edges a power cone is as steep as can be: what
            // rounding takes from a coordinate is given back first.
            let lifted = |part: &[f64]| match cone {
                Cone::Power(_) => {
                    let rounding = 4.0 * f64::EPSILON * size;
                    vec![part[0] + rounding, part[1] + rounding, part[2]]
                }
                _ => part.to_vec(),
            };
            let outside = [outside_dual(cone, &lifted(&z)), outside(cone, &lifted(&s))];
            let off = [outside[0], outside[1], dot(&z, &s).abs() / size];
            let worst = off.iter().fold(0.0, |worst: f64, off| worst.max(*off)) / size;
            assert!(worst < 1e-13, "{cone:?} case {case}: {off:?} at {w:?} to {z:?}");
            let scaled: Vec<f64> = w.iter().map(|w| w * scale).collect();
            let again = projected(cone, &scaled);
            for (again, z) in again.iter().zip(&z) {
                let off = (again / scale - z).abs() / size;
                assert!(off < 1e-13, "{cone:?} case {case}: off by {off} at scale {scale}, {w:?}");
            }
        }
    }
}

/// `D g`.
fn derivative(face: &Face, g: &[f64]) -> Vec<f64> {
    let share = |ratio: f64| 1.0 / (1.0 + ratio);
    match face {
        Face::Whole => g.to_vec(),
        Face::Nothing => vec![0.0; g.len()],
        Face::Rows(active) => g.iter().zip(active).map(|(g, a)| g * f64::from(*a)).collect(),
        Face::SecondOrder(v, ratio) => {
            let along = dot(v, &g[1..]);
            let head = 0.5 * (g[0] + along);
            let rest =
                g[1..].iter().zip(v).map(|(g, v)| share(*ratio) * (g - along * v) + head * v);
            std::iter::once(head).chain(rest).collect()
        }
        Face::Three(basis, ratios) => {
            let parts = basis.iter().zip(ratios).map(|(q, c)| share(*c) * dot(q, g));
            let parts: Vec<f64> = parts.collect();
            (0..3).map(|i| (0..3).map(|k| basis[k][i] * parts[k]).sum()).collect()
        }
        Face::Semidefinite(q, values) => {
            let mut inner = q.tr_mul(&semidefinite::matrix(values.len(), g)) * q;
            for (i, a) in values.iter().enumerate() {
                for (j, b) in values.iter().enumerate() {
                    inner[(i, j)] *= share(Face::pair_ratio(*a, *b));
                }
            }
            let mut out = vec![0.0; g.len()];
            semidefinite::triangle(&(q * inner * q.transpose()), &mut out);
            out
        }
    }
}

#[test]
fn derivatives_are_those_of_differences() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for cone in cones() {
        let (mut compared, mut worst) = (0, 0.0_f64);
        for case in 0..2000 {
            let scale = 10f64.powf(rng.random_range(-12.0..12.0));
            let w: Vec<f64> = (0..cone.rows()).map(|_| scale * normal(&mut rng)).collect();
            let g: Vec<f64> = w.iter().map(|_| normal(&mut rng)).collect();
            let size = norm(&w);
            let analytic = derivative(&face(cone, &w, NONE).0, &g);
            let central = |h: f64| -> Vec<f64> {
                let at = |h: f64| {
                    let moved: Vec<f64> = w.iter().zip(&g).map(|(w, g)| w + h * size * g).collect();
                    projected(cone, &moved)
                };
                let (far, near) = ([at(2.0 * h), at(-2.0 * h)], [at(h), at(-h)]);
                let slope = |i: usize| 8.0 * (near[0][i] - near[1][i]) - (far[0][i] - far[1][i]);
                (0..w.len()).map(|i| slope(i) / (12.0 * h * size)).collect()
            };
            let off = |a: &[f64], b: &[f64]| {
                norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>()) / norm(&g)
            };
            // Of three steps the one whose difference agrees best with the next: the others have a kink or rounding.
            let found: Vec<Vec<f64>> = [1e-3, 1e-4, 1e-5].map(central).to_vec();
            let agree = |k: usize| off(&found[k], &found[k + 1]);
            let best = if agree(0) < agree(1) { 0 } else { 1 };
            if agree(best) > 1e-8 {
                continue;
            }
            compared += 1;
            let error = off(&analytic, &found[best]).min(off(&analytic, &found[best + 1]));
            worst = worst.max(error);
            assert!(
                error < 1e-7,
                "{cone:?} case {case}: {analytic:?}, differences {found:?} at {w:?}"
            );
        }
        println!("{cone:?}: {compared} of 2000 compared, worst {worst:.1e}");
        assert!(compared > 1800, "{cone:?}: only {compared} compared");
    }
}

/// Next to every face: the derivative there is the limit of derivatives, symmetric, with eigenvalues in `[0, 1]`.
#[test]
fn derivatives_next_to_faces_are_projections_between_zero_and_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for cone in cones() {
        for case in 0..4000 {
            let w = point(cone, &mut rng);
            let face = face(cone, &w, NONE).0;
            let [g, h] = [0, 1].map(|_| {
                let g: Vec<f64> = w.iter().map(|_| normal(&mut rng)).collect();
                let size = norm(&g);
                g.iter().map(|g| g / size).collect::<Vec<f64>>()
            });
            let (dg, dh) = (derivative(&face, &g), derivative(&face, &h));
            let skew = (dot(&dg, &h) - dot(&g, &dh)).abs();
            assert!(skew < 1e-12, "{cone:?} case {case}: not symmetric by {skew} at {w:?}");
            let (energy, square) = (dot(&g, &dg), dot(&dg, &dg));
            assert!(
                square <= energy + 1e-12 && energy <= 1.0 + 1e-12,
                "{cone:?} case {case}: {w:?}"
            );
            // Projections are homogeneous: D w = Pi(w).
            let (dw, z) = (derivative(&face, &w), projected(cone, &w));
            let off = norm(&dw.iter().zip(&z).map(|(a, b)| a - b).collect::<Vec<_>>()) / norm(&w);
            assert!(off < 1e-10, "{cone:?} case {case}: D w off by {off:.1e} at {w:?}, {face:?}");
        }
    }
}

#[test]
fn apex_and_zero_are_finite() {
    for cone in cones() {
        let w = vec![0.0; cone.rows()];
        let (face, _) = face(cone, &w, NONE);
        assert!(projected(cone, &w).iter().all(|z| *z == 0.0), "{cone:?}");
        assert!(derivative(&face, &w).iter().all(|d| d.is_finite()), "{cone:?}");
    }
}
