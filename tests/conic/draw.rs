//! Random programs with a known solution: draw `s` and `z` complementary, `x`, `P` and `A`; then `b = A x + s` and
//! `q = -(P x + A'z)` make them optimal.

use gleaner::conic::{Cone, ConicProgram, Pattern, Values};
use nalgebra::{DMatrix, DVector};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A program, its values and its solution.
pub struct Drawn {
    pub program: ConicProgram,
    pub p: Vec<f64>,
    pub q: Vec<f64>,
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub x: Vec<f64>,
    pub s: Vec<f64>,
    pub z: Vec<f64>,
    /// Whether `P` stays positive definite under small changes.
    pub curved: bool,
}

impl Drawn {
    pub fn values(&self) -> Values<'_> {
        Values { quadratic: &self.p, linear: &self.q, constraints: &self.a, right: &self.b }
    }

    /// The values moved along a direction, by `h`.
    pub fn moved(&self, along: &Direction, h: f64) -> Direction {
        let by = |values: &[f64], along: &[f64]| {
            values.iter().zip(along).map(|(v, d)| v + h * d).collect::<Vec<f64>>()
        };
        Direction {
            p: by(&self.p, &along.p),
            q: by(&self.q, &along.q),
            a: by(&self.a, &along.a),
            b: by(&self.b, &along.b),
        }
    }
}

/// A change of all values, or values that were changed.
pub struct Direction {
    pub p: Vec<f64>,
    pub q: Vec<f64>,
    pub a: Vec<f64>,
    pub b: Vec<f64>,
}

impl Direction {
    pub fn values(&self) -> Values<'_> {
        Values { quadratic: &self.p, linear: &self.q, constraints: &self.a, right: &self.b }
    }
}

pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

pub fn normals(rng: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| normal(rng)).collect()
}

/// Which cones a program may have.
pub const SMOOTH: &[&str] = &["zero", "nonnegative", "second order"];
pub const CURVED: &[&str] = &["zero", "nonnegative", "second order", "exponential", "power"];
pub const ALL: &[&str] =
    &["zero", "nonnegative", "second order", "exponential", "power", "semidefinite"];

pub fn program(seed: u64, kinds: &[&str]) -> Drawn {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rng = &mut rng;
    let n = rng.random_range(1..=12);
    let mut cones = Vec::new();
    let (mut s, mut z) = (Vec::new(), Vec::new());
    for _ in 0..rng.random_range(1..=4) {
        // Without a choice there would be none; the lists above are not empty.
        let kind = kinds.choose(rng).copied().unwrap_or("zero");
        let cone = cone(kind, n, rng);
        let (slack, multiplier) = pair(&cone, rng);
        assert_eq!(slack.len(), cone.rows());
        cones.push(cone);
        s.extend(slack);
        z.extend(multiplier);
    }
    let m = s.len();
    let x = normals(rng, n);
    let (p_pattern, p, curved) = quadratic(n, rng);
    let density = *[0.3, 0.6, 1.0].choose(rng).unwrap_or(&1.0);
    let mut places = Vec::new();
    for i in 0..m {
        let before = places.len();
        places.extend((0..n).filter(|_| rng.random::<f64>() < density).map(|j| (i, j)));
        if places.len() == before {
            places.push((i, rng.random_range(0..n)));
        }
    }
    let (a_pattern, _) = Pattern::from_places(m, n, &places).unwrap();
    let a = normals(rng, a_pattern.len());
    let (mut q, mut b) = (vec![0.0; n], s.clone());
    for ((i, j), value) in p_pattern.places().zip(&p) {
        q[i] -= value * x[j];
        if i != j {
            q[j] -= value * x[i];
        }
    }
    for ((i, j), value) in a_pattern.places().zip(&a) {
        b[i] += value * x[j];
        q[j] -= value * z[i];
    }
    let program = ConicProgram::new(p_pattern, a_pattern, cones).unwrap();
    Drawn { program, p, q, a, b, x, s, z, curved }
}

/// `P`: positive definite and full, diagonal with zeros, of low rank, or nothing.
fn quadratic(n: usize, rng: &mut ChaCha8Rng) -> (Pattern, Vec<f64>, bool) {
    let full = |matrix: DMatrix<f64>| {
        let pattern = Pattern::upper_triangle(n);
        let values = pattern.places().map(|place| matrix[place]).collect();
        (pattern, values)
    };
    match rng.random_range(0..5) {
        0..=2 => {
            let root = DMatrix::from_fn(n, n, |_, _| normal(rng));
            let (pattern, values) = full(&root * root.transpose() + DMatrix::identity(n, n) * 0.1);
            (pattern, values, true)
        }
        3 => {
            let rank = rng.random_range(1..=n);
            let root = DMatrix::from_fn(n, rank, |_, _| normal(rng));
            let (pattern, values) = full(&root * root.transpose());
            (pattern, values, false)
        }
        _ => (Pattern::empty(n, n), Vec::new(), false),
    }
}

fn cone(kind: &str, n: usize, rng: &mut ChaCha8Rng) -> Cone {
    match kind {
        "zero" => Cone::Zero(rng.random_range(0..=n.div_ceil(3))),
        "nonnegative" => Cone::Nonnegative(rng.random_range(0..=n + 2)),
        "second order" => Cone::SecondOrder(rng.random_range(0..=6)),
        "exponential" => Cone::Exponential,
        "power" => Cone::Power(rng.random_range(0.1..0.9)),
        "semidefinite" => Cone::Semidefinite(rng.random_range(0..=4)),
        other => panic!("no cone is called {other}"),
    }
}

/// Complementary `(s, z)`, strictly: `s + z` is nowhere near an edge.
fn pair(cone: &Cone, rng: &mut ChaCha8Rng) -> (Vec<f64>, Vec<f64>) {
    let size = |rng: &mut ChaCha8Rng| rng.random_range(0.3..2.0);
    // Both on the surface more often than one of them inside.
    let side = rng.random_range(0..4);
    match *cone {
        Cone::Zero(rows) => (vec![0.0; rows], normals(rng, rows)),
        Cone::Nonnegative(rows) => (0..rows)
            .map(|_| if rng.random() { (size(rng), 0.0) } else { (0.0, size(rng)) })
            .unzip(),
        Cone::SecondOrder(rows) if rows < 2 => {
            let (s, z) = if rng.random() { (size(rng), 0.0) } else { (0.0, size(rng)) };
            (vec![s; rows], vec![z; rows])
        }
        Cone::SecondOrder(rows) => {
            let v = DVector::from_vec(normals(rng, rows - 1)).normalize();
            let ray = |length: f64, towards: f64| {
                let mut ray = vec![length];
                ray.extend(v.iter().map(|v| v * towards * length));
                ray
            };
            match side {
                0 => (ray(size(rng), 0.5), vec![0.0; rows]),
                1 => (vec![0.0; rows], ray(size(rng), 0.5)),
                _ => (ray(size(rng), 1.0), ray(size(rng), -1.0)),
            }
        }
        Cone::Exponential => {
            let r: f64 = rng.random_range(-2.0..2.0);
            let (a, c) = (size(rng), size(rng));
            let (up, down) = if side < 2 { (0.3, 0.3) } else { (0.0, 0.0) };
            let s = vec![a * r, a, a * r.exp() + up];
            let z = vec![-c, c * (r - 1.0), c * (-r).exp() + down];
            one_side(side, s, z)
        }
        Cone::Power(alpha) => {
            let (x, y, c) = (size(rng), size(rng), size(rng));
            let r = x.powf(alpha) * y.powf(1.0 - alpha);
            let sign = if rng.random() { 1.0 } else { -1.0 };
            let short = if side < 2 { 0.7 } else { 1.0 };
            let s = vec![x, y, sign * r * short];
            let z = vec![c * alpha * r / x, c * (1.0 - alpha) * r / y, -sign * c * short];
            one_side(side, s, z)
        }
        Cone::Semidefinite(order) => {
            let root = DMatrix::from_fn(order, order, |_, _| normal(rng));
            let axes = root.qr().q();
            let split = rng.random_range(0..=order);
            let mut matrix = |on: std::ops::Range<usize>| {
                let values =
                    DVector::from_fn(order, |k, _| if on.contains(&k) { size(rng) } else { 0.0 });
                triangle(&(&axes * DMatrix::from_diagonal(&values) * axes.transpose()))
            };
            (matrix(0..split), matrix(split..order))
        }
        other => panic!("no pair for {other:?}"),
    }
}

fn one_side(side: i32, s: Vec<f64>, z: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
    match side {
        0 => (s, vec![0.0; 3]),
        1 => (vec![0.0; 3], z),
        _ => (s, z),
    }
}

/// The upper triangle, column by column, entries off the diagonal times the root of two.
pub fn triangle(matrix: &DMatrix<f64>) -> Vec<f64> {
    let mut entries = Vec::new();
    for j in 0..matrix.ncols() {
        for i in 0..=j {
            entries.push(matrix[(i, j)] * if i == j { 1.0 } else { 2f64.sqrt() });
        }
    }
    entries
}
