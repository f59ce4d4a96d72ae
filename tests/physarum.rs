//! The slime mould's dynamics: closed forms, random programs against the interior point, gradients against differences.

use gleaner::Error;
use gleaner::conic::*;
use nalgebra::{DMatrix, DVector};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn options(smoothing: f64) -> PhysarumOptions {
    PhysarumOptions { smoothing, ..Default::default() }
}

/// `minimise c'x, A x = b, x >= 0`, `A` dense.
struct Linear {
    a: DMatrix<f64>,
    b: Vec<f64>,
    c: Vec<f64>,
}

impl Linear {
    /// Feasible by a point that is positive, its costs positive.
    fn draw(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Self {
        let a = DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0));
        let inside = DVector::from_fn(columns, |_, _| rng.random_range(0.1..1.0));
        let c = (0..columns).map(|_| rng.random_range(0.5..2.0)).collect();
        Self { b: (&a * inside).as_slice().to_vec(), a, c }
    }

    fn solve(&self, options: &PhysarumOptions) -> gleaner::Result<PhysarumSolution> {
        let program = Physarum::new(Pattern::dense(self.a.nrows(), self.a.ncols()))?;
        program.solve(&self.c, self.a.as_slice(), &self.b, options)
    }

    /// The optimum by the interior point.
    fn optimum(&self) -> f64 {
        let (m, n) = self.a.shape();
        let mut places: Vec<(usize, usize)> =
            (0..n).flat_map(|j| (0..m).map(move |i| (i, j))).collect();
        places.extend((0..n).map(|j| (m + j, j)));
        let (pattern, entries) = Pattern::from_places(m + n, n, &places).unwrap();
        let mut values = vec![0.0; places.len()];
        let all = self.a.iter().copied().chain(vec![-1.0; n]);
        entries.iter().zip(all).for_each(|(&at, value)| values[at] = value);
        let cones = vec![Cone::Zero(m), Cone::Nonnegative(n)];
        let program = ConicProgram::new(Pattern::empty(n, n), pattern, cones).unwrap();
        let right = [self.b.clone(), vec![0.0; n]].concat();
        let values =
            Values { quadratic: &[], linear: &self.c, constraints: &values, right: &right };
        program.solve(values, &Default::default()).unwrap().solution().unwrap().verdict().objective
    }
}

#[test]
fn on_a_simplex_the_point_is_known() {
    // x_j = mu / (c_j - p), p such that they add up to one.
    let (c, mu) = (vec![1.0, 1.5, 4.0], 0.1);
    let program = Linear { a: DMatrix::from_element(1, 3, 1.0), b: vec![1.0], c: c.clone() };
    let found = program.solve(&options(mu)).unwrap();
    let p = found.potentials()[0];
    assert!((found.x().iter().sum::<f64>() - 1.0).abs() < 1e-8);
    for (x, c) in found.x().iter().zip(&c) {
        assert!((x - mu / (c - p)).abs() < 1e-8, "{:?}", found.x());
    }
    let verdict = found.verdict();
    assert!(verdict.bound <= 1.0 && verdict.objective - verdict.bound <= 3.0 * mu + 1e-7);
}

#[test]
fn random_programs_cost_what_the_interior_point_says() {
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (m, n) = (rng.random_range(1..6), rng.random_range(6..15));
        let program = Linear::draw(m, n, &mut rng);
        let mu = 1e-7;
        let found = program.solve(&PhysarumOptions { tolerance: 1e-4, ..options(mu) }).unwrap();
        let (verdict, optimum) = (found.verdict(), program.optimum());
        assert!(found.x().iter().all(|x| *x > 0.0));
        assert!(verdict.primal_residual <= 1e-4);
        assert!((verdict.objective - optimum).abs() < 1e-3, "seed {seed}: {verdict:?}, {optimum}");
        assert!(verdict.bound <= optimum + 1e-8, "seed {seed}: {verdict:?}, {optimum}");
        assert!(
            verdict.bound >= optimum - 2.0 * n as f64 * mu,
            "seed {seed}: {verdict:?}, {optimum}"
        );
    }
}

#[test]
fn gradients_are_those_of_the_point() {
    for (seed, mu) in [(0, 1.0), (1, 0.1), (2, 0.01), (3, 1e-3)] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (m, n) = (3, 7);
        let program = Linear::draw(m, n, &mut rng);
        let pull: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
        let tight = PhysarumOptions { tolerance: 1e-11, ..options(mu) };
        let loss = |program: &Linear| -> f64 {
            let found = program.solve(&tight).unwrap();
            found.x().iter().zip(&pull).map(|(x, g)| x * g).sum()
        };
        let slopes = program.solve(&tight).unwrap().pullback(&pull).unwrap();
        let h = 1e-4 * mu.sqrt();
        let check = |what: &str, found: &[f64], shifted: &dyn Fn(usize, f64) -> Linear| {
            let size = found.iter().fold(1e-2, |size: f64, g| size.max(g.abs()));
            for (k, found) in found.iter().enumerate() {
                let at = |by: f64| loss(&shifted(k, by * h));
                let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
                let off = (found - slope).abs() / size;
                assert!(off < 1e-6, "mu {mu}, {what} {k}: {found} for {slope}, off by {off:.1e}");
            }
        };
        let copy = || Linear { a: program.a.clone(), b: program.b.clone(), c: program.c.clone() };
        check("b", &slopes.right, &|k, h| {
            let mut p = copy();
            p.b[k] += h;
            p
        });
        check("c", &slopes.costs, &|k, h| {
            let mut p = copy();
            p.c[k] += h;
            p
        });
        check("A", &slopes.constraints, &|k, h| {
            let mut p = copy();
            p.a[k] += h;
            p
        });
    }
}

#[test]
fn at_a_vertex_it_is_the_linear_programs_own_derivative() {
    // Columns 0 and 2 are the basis: x = B^-1 b; the others cost more than they are worth.
    let a = DMatrix::from_row_slice(2, 4, &[2.0, 1.0, 0.5, 0.3, 1.0, 1.0, 2.0, 0.2]);
    let program = Linear { a, b: vec![3.0, 4.0], c: vec![1.0, 3.0, 1.0, 2.0] };
    // Rounding leaves of x s about 1e-16, that is 1e-8 in units of mu.
    let found = program.solve(&PhysarumOptions { tolerance: 1e-6, ..options(1e-8) }).unwrap();
    let basis = DMatrix::from_row_slice(2, 2, &[2.0, 0.5, 1.0, 2.0]);
    let inverse = basis.try_inverse().unwrap();
    let x = &inverse * DVector::from_vec(program.b.clone());
    for (found, expected) in found.x().iter().zip([x[0], 0.0, x[1], 0.0]) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
    let slopes = found.pullback(&[1.0, 0.0, 0.0, 0.0]).unwrap();
    (0..2).for_each(|i| assert!((slopes.right[i] - inverse[(0, i)]).abs() < 1e-6, "{slopes:?}"));
    assert!(slopes.costs.iter().all(|g| g.abs() < 1e-6), "{slopes:?}");
}

#[test]
fn equations_may_repeat() {
    // A square of four ways, one equation a corner: they add up to nothing.
    let places = [(0, 0), (1, 0), (1, 1), (3, 1), (0, 2), (2, 2), (2, 3), (3, 3)];
    let (pattern, entries) = Pattern::from_places(4, 4, &places).unwrap();
    let mut a = vec![0.0; 8];
    entries.iter().enumerate().for_each(|(k, &at)| a[at] = if k % 2 == 0 { 1.0 } else { -1.0 });
    let square = Physarum::new(pattern).unwrap();
    let found =
        square.solve(&[1.0, 1.0, 2.0, 1.0], &a, &[1.0, 0.0, 0.0, -1.0], &options(1e-6)).unwrap();
    assert!((found.verdict().objective - 2.0).abs() < 1e-5, "{:?}", found.verdict());
    let apart = square.solve(&[1.0; 4], &a, &[1.0, 0.0, 0.0, 0.0], &options(1e-6)).unwrap_err();
    assert!(matches!(apart, Error::NoSolution { .. }), "{apart}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let program = Physarum::new(Pattern::dense(2, 2)).unwrap();
    let a = [1.0, 1.0, -1.0, 1.0]; // x_0 - x_1 = b_0, x_0 + x_1 = b_1
    let solve =
        |c: &[f64], a: &[f64], b: &[f64], mu| program.solve(c, a, b, &options(mu)).unwrap_err();
    assert!(matches!(solve(&[1.0, 0.0], &a, &[0.0, 1.0], 1e-3), Error::OutOfRange { .. }));
    assert!(matches!(solve(&[1.0, f64::NAN], &a, &[0.0, 1.0], 1e-3), Error::NotFinite { .. }));
    assert!(matches!(solve(&[1.0, 1.0], &a[..3], &[0.0, 1.0], 1e-3), Error::Shape { .. }));
    assert!(matches!(solve(&[1.0, 1.0], &a, &[0.0, 1.0], 0.0), Error::OutOfRange { .. }));
    assert!(matches!(solve(&[1.0, 1.0], &a, &[0.0, 1.0], f64::NAN), Error::OutOfRange { .. }));
    // x_1 would be -1/4.
    let found = solve(&[1.0, 1.0], &a, &[1.0, 0.5], 1e-6);
    assert!(matches!(found, Error::NoSolution { .. }), "{found}");
    assert!(Physarum::new(Pattern::dense(0, 2)).is_err());
    let short = program.solve(&[1.0, 1.0], &a, &[0.0, 1.0], &options(1e-3)).unwrap();
    assert!(matches!(short.pullback(&[1.0]), Err(Error::Shape { .. })));
}
